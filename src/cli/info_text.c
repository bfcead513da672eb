/* info_text.c - `nexus info` for people: a page of figures. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/info.h"
#include "format/printable.h"

#define LABEL "%-15s"

static void line_str(const char *label, nx_str s)
{
    char text[160];

    if (s.len) nx_out_printf(LABEL "%s\n", label, nx_printable(text, sizeof text, s));
}

static void print_file(const nx_info *info)
{
    char path[200], bytes[32], count[32];

    nx_printable_path(path, sizeof path, nx_checkpoint_path(info->cp));
    nx_format_bytes(bytes, sizeof bytes, nx_checkpoint_bytes(info->cp));
    if (nx_checkpoint_version(info->cp))
        nx_out_printf(LABEL "%s (GGUF %" PRIu32 ", %s)\n", "file", path,
                      nx_checkpoint_version(info->cp), bytes);
    else
        nx_out_printf(LABEL "%s (Hugging Face, %s)\n", "folder", path, bytes);
    line_str("name", info->name);
    line_str("architecture", info->arch);
    nx_format_count(count, sizeof count, (double)info->n_params);
    nx_format_bytes(bytes, sizeof bytes, info->tensors_bytes);
    if (!nx_checkpoint_n_tensors(info->cp))
        nx_out_printf(LABEL "none: a %s alone, which can't run\n", "tensors",
                      nx_checkpoint_version(info->cp) ? "vocabulary" : "description");
    else
        nx_out_printf(LABEL "%s in %" PRId64 " tensors, %s\n", "parameters", count,
                      nx_checkpoint_n_tensors(info->cp), bytes);
}

static void print_types(const nx_info *info)
{
    const char *label = "types";

    for (int t = 0; t < NX_DTYPE_COUNT; t++) {
        const nx_info_type *i = &info->types[t];
        char                bytes[32];
        if (!i->n_tensors) continue;
        nx_format_bytes(bytes, sizeof bytes, i->bytes);
        nx_out_printf(LABEL "%-7s %5" PRId64 " tensors, %s\n", label,
                      nx_dtype_get((nx_dtype)t)->name, i->n_tensors, bytes);
        label = "";
    }
}

static void print_experts(const nx_hparams *hp)
{
    if (!hp->n_experts) return;
    nx_out_printf(LABEL "%d of %d for each token, feed-forward %d", "experts", hp->n_experts_used,
                  hp->n_experts, hp->n_ff_expert);
    if (hp->n_ff_shared) nx_out_printf(", a shared one of %d", hp->n_ff_shared);
    nx_out_printf("\n");
}

static void print_attention(const nx_model *m)
{
    const nx_hparams *hp = &m->hp;
    const int32_t     n_sliding = nx_model_n_sliding(m);

    nx_out_printf(LABEL "%d heads of %d over %d for keys and values", "attention", hp->n_heads,
                  hp->head_dim, hp->n_heads_kv);
    if (n_sliding)
        nx_out_printf(", a window of %d in %d of %d layers", hp->window, n_sliding, hp->n_layers);
    if (hp->attn_softcap > 0) nx_out_printf(", scores capped at %g", (double)hp->attn_softcap);
    if (hp->final_softcap > 0) nx_out_printf(", logits capped at %g", (double)hp->final_softcap);
    nx_out_printf("\n");
}

static void print_rope(const nx_model *m)
{
    const nx_hparams *hp = &m->hp;

    if (hp->n_rot == 0) {
        nx_out_printf(LABEL "learned, one vector for each\n", "positions");
        return;
    }
    nx_out_printf(LABEL "%d of %d rotated, base %g", "rope", hp->n_rot, hp->head_dim,
                  hp->rope_base);
    if (hp->rope_base_local > 0) nx_out_printf(", %g in windows", hp->rope_base_local);
    if (hp->rope_scaling != NX_ROPE_SCALING_NONE)
        nx_out_printf(", %s scaling", nx_rope_scaling_name(hp->rope_scaling));
    if (hp->rope_scale != 1) nx_out_printf(" by %g", hp->rope_scale);
    if (m->rope_factors) nx_out_printf(", frequency factors");
    if (nx_model_n_nope(m)) nx_out_printf(", none in %d layers", nx_model_n_nope(m));
    nx_out_printf("\n");
}

static void print_model(const nx_info *info)
{
    const nx_model *m = info->model;

    if (!m) return;
    const nx_hparams *hp = &m->hp;
    nx_out_printf(LABEL "%d layers, %d wide, feed-forward %d, %s\n", "shape", hp->n_layers,
                  hp->n_embd, hp->n_ff, nx_activation_name(hp->activation));
    print_experts(hp);
    print_attention(m);
    print_rope(m);
    nx_out_printf(LABEL "%d positions\n", "context", hp->n_ctx);
    nx_out_printf(LABEL "%s\n", "head", m->head_tied ? "tied to the embedding" : "its own");
}

static void print_special(const nx_vocab *v, const char *what, int32_t id)
{
    char text[64];

    if (id < 0) return;
    nx_out_printf(", %s %d %s", what, id, nx_printable(text, sizeof text, nx_vocab_text(v, id)));
}

static void print_vocab(const nx_info *info)
{
    const nx_vocab *v = info->vocab;

    if (!v) {
        nx_out_printf(LABEL "none that nexus reads: %s\n", "vocabulary", info->vocab_err.text);
        return;
    }
    const nx_vocab_special *s = nx_vocab_special_ids(v);
    nx_out_printf(LABEL "%s, %d tokens", "vocabulary", nx_vocab_kind(v), nx_vocab_size(v));
    print_special(v, "bos", s->bos);
    print_special(v, "eos", s->eos);
    if (s->eot != s->eos) print_special(v, "eot", s->eot);
    nx_out_printf("\n");
}

static void print_memory(const nx_info *info)
{
    char weights[32], kv[32], work[32], sum[32];

    if (!info->model) return;
    nx_format_bytes(weights, sizeof weights, nx_checkpoint_bytes(info->cp));
    nx_format_bytes(kv, sizeof kv, info->kv_bytes);
    nx_format_bytes(work, sizeof work, info->work_bytes);
    nx_format_bytes(sum, sizeof sum,
                    nx_checkpoint_bytes(info->cp) + info->kv_bytes + info->work_bytes);
    nx_out_printf(LABEL "%s at %d positions: weights %s (mapped), KV cache %s in %s, activations "
                        "%s for batches of %d\n",
                  "memory", sum, info->n_ctx, weights, kv, nx_dtype_get(info->kv_dtype)->name, work,
                  info->n_batch);
}

static void print_tensors(const nx_checkpoint *cp)
{
    nx_out_printf("\n%-40s %-7s %-24s %s\n", "tensor", "type", "shape", "bytes");
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        char             name[96], shape[96];
        int              len = 0;
        for (int32_t d = 0; d < t->n_dims; d++)
            len += snprintf(shape + len, sizeof shape - (size_t)len, "%s%" PRId64, d ? ", " : "[",
                            t->ne[d]);
        snprintf(shape + len, sizeof shape - (size_t)len, "]");
        nx_out_printf("%-40s %-7s %-24s %zu\n", nx_printable(name, sizeof name, nx_str_of(t->name)),
                      nx_dtype_get(t->dtype)->name, shape, t->bytes);
    }
}

static void print_metadata(const nx_checkpoint *cp)
{
    nx_out_printf("\n%-48s %s\n", "metadata", "value");
    for (int64_t i = 0; i < nx_checkpoint_n_meta(cp); i++) {
        const nx_meta *m = nx_checkpoint_meta_at(cp, i);
        char           key[128], text[100];
        nx_info_meta_text(text, sizeof text, m);
        nx_out_printf("%-48s %s\n", nx_printable(key, sizeof key, m->key), text);
    }
}

void nx_info_print(const nx_info *info, bool tensors, bool metadata)
{
    print_file(info);
    print_types(info);
    print_model(info);
    print_vocab(info);
    print_memory(info);
    nx_out_printf(LABEL "%s on %s\n", "computed by", info->backend, info->cpu);
    if (info->model_err.status) nx_out_printf(LABEL "no: %s\n", "can run", info->model_err.text);
    if (metadata) print_metadata(info->cp);
    if (tensors) print_tensors(info->cp);
}
