/* info_json.c - `nexus info` for machines: one JSON object. Sizes are in bytes. */
#include "cli/info.h"

static void add_types(nx_jw *w, const nx_info *info)
{
    nx_jw_open(w, "types", '[');
    for (int t = 0; t < NX_DTYPE_COUNT; t++) {
        if (!info->types[t].n_tensors) continue;
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "type", nx_dtype_get((nx_dtype)t)->name);
        nx_jw_int(w, "tensors", info->types[t].n_tensors);
        nx_jw_u64(w, "bytes", info->types[t].bytes);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
}

static void add_model(nx_jw *w, const nx_model *m)
{
    if (!m) {
        nx_jw_null(w, "model");
        return;
    }
    nx_jw_open(w, "model", '{');
    nx_jw_int(w, "layers", m->hp.n_layers);
    nx_jw_int(w, "embedding", m->hp.n_embd);
    nx_jw_int(w, "feed_forward", m->hp.n_ff);
    nx_jw_int(w, "vocabulary", m->hp.n_vocab);
    nx_jw_int(w, "context", m->hp.n_ctx);
    nx_jw_int(w, "heads", m->hp.n_heads);
    nx_jw_int(w, "heads_kv", m->hp.n_heads_kv);
    nx_jw_int(w, "head_dim", m->hp.head_dim);
    nx_jw_int(w, "rope_dims", m->hp.n_rot);
    nx_jw_number(w, "rope_base", m->hp.rope_base, 9);
    nx_jw_number(w, "rope_scale", m->hp.rope_scale, 9);
    nx_jw_bool(w, "rope_factors", m->rope_factors != NULL);
    nx_jw_text(w, "rope_scaling", nx_rope_scaling_name(m->hp.rope_scaling));
    nx_jw_number(w, "rope_base_local", m->hp.rope_base_local, 9);
    nx_jw_int(w, "layers_without_rope", nx_model_n_nope(m));
    nx_jw_text(w, "activation", nx_activation_name(m->hp.activation));
    nx_jw_int(w, "window", nx_model_n_sliding(m) ? m->hp.window : 0);
    nx_jw_int(w, "layers_with_window", nx_model_n_sliding(m));
    nx_jw_number(w, "attention_scale", (double)m->hp.attn_scale, 9);
    nx_jw_number(w, "attention_cap", (double)m->hp.attn_softcap, 9);
    nx_jw_number(w, "logit_cap", (double)m->hp.final_softcap, 9);
    nx_jw_number(w, "embedding_scale", (double)m->hp.embd_scale, 9);
    nx_jw_number(w, "residual_scale", (double)m->hp.residual_scale, 9);
    nx_jw_number(w, "logit_scale", (double)m->hp.logit_scale, 9);
    nx_jw_int(w, "experts", m->hp.n_experts);
    nx_jw_int(w, "experts_used", m->hp.n_experts_used);
    nx_jw_int(w, "expert_feed_forward", m->hp.n_ff_expert);
    nx_jw_int(w, "shared_feed_forward", m->hp.n_ff_shared);
    nx_jw_number(w, "norm_eps", (double)m->hp.norm_eps, 9);
    nx_jw_bool(w, "head_tied", m->head_tied);
    nx_jw_u64(w, "weights_bytes", m->weights_bytes);
    nx_jw_u64(w, "bytes_per_token", m->bytes_per_token);
    nx_jw_close(w, '}');
}

static void add_vocab(nx_jw *w, const nx_vocab *v)
{
    if (!v) {
        nx_jw_null(w, "vocabulary");
        return;
    }
    const nx_vocab_special *s = nx_vocab_special_ids(v);
    nx_jw_open(w, "vocabulary", '{');
    nx_jw_text(w, "kind", nx_vocab_kind(v));
    nx_jw_int(w, "tokens", nx_vocab_size(v));
    nx_jw_int(w, "bos", s->bos);
    nx_jw_int(w, "eos", s->eos);
    nx_jw_int(w, "eot", s->eot);
    nx_jw_int(w, "unk", s->unk);
    nx_jw_int(w, "sep", s->sep);
    nx_jw_int(w, "pad", s->pad);
    nx_jw_bool(w, "add_bos", s->add_bos);
    nx_jw_bool(w, "add_eos", s->add_eos);
    nx_jw_close(w, '}');
}

static void add_memory(nx_jw *w, const nx_info *info)
{
    uint64_t file_bytes = nx_checkpoint_bytes(info->cp);

    if (!info->model) {
        nx_jw_null(w, "memory");
        return;
    }
    nx_jw_open(w, "memory", '{');
    nx_jw_int(w, "ctx", info->n_ctx);
    nx_jw_int(w, "batch", info->n_batch);
    nx_jw_text(w, "kv_type", nx_dtype_get(info->kv_dtype)->name);
    nx_jw_u64(w, "file_bytes", file_bytes);
    nx_jw_u64(w, "kv_bytes", info->kv_bytes);
    nx_jw_u64(w, "activations_bytes", info->work_bytes);
    nx_jw_u64(w, "total_bytes", file_bytes + info->kv_bytes + info->work_bytes);
    nx_jw_close(w, '}');
}

/* Pairs, not an object: a key may hold any byte, and JSON's objects promise no order. */
static void add_metadata(nx_jw *w, const nx_checkpoint *cp)
{
    nx_jw_open(w, "metadata", '[');
    for (int64_t i = 0; i < nx_checkpoint_n_meta(cp); i++) {
        const nx_meta *m = nx_checkpoint_meta_at(cp, i);
        nx_jw_open(w, NULL, '{');
        nx_jw_string(w, "key", m->key);
        nx_info_meta_json(w, "value", m);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
}

static void add_tensors(nx_jw *w, const nx_checkpoint *cp)
{
    nx_jw_open(w, "tensor_list", '[');
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "name", t->name);
        nx_jw_text(w, "type", nx_dtype_get(t->dtype)->name);
        nx_jw_open(w, "shape", '[');
        for (int32_t d = 0; d < t->n_dims; d++) nx_jw_int(w, NULL, t->ne[d]);
        nx_jw_close(w, ']');
        nx_jw_u64(w, "bytes", t->bytes);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
}

static void add_error(nx_jw *w, const char *key, const nx_error *e)
{
    if (e->status) nx_jw_text(w, key, e->text);
}

int nx_info_print_json(const nx_info *info, bool tensors)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "file", nx_checkpoint_path(info->cp));
    if (nx_checkpoint_version(info->cp)) /* none: a Hugging Face folder */
        nx_jw_int(&w, "gguf_version", nx_checkpoint_version(info->cp));
    nx_jw_u64(&w, "bytes", nx_checkpoint_bytes(info->cp));
    nx_jw_string(&w, "architecture", info->arch);
    nx_jw_string(&w, "name", info->name);
    nx_jw_u64(&w, "parameters", info->n_params);
    nx_jw_int(&w, "tensors", nx_checkpoint_n_tensors(info->cp));
    nx_jw_u64(&w, "tensors_bytes", info->tensors_bytes);
    add_types(&w, info);
    nx_jw_bool(&w, "can_run", info->model != NULL);
    add_error(&w, "can_run_error", &info->model_err);
    add_model(&w, info->model);
    add_error(&w, "vocabulary_error", &info->vocab_err);
    add_vocab(&w, info->vocab);
    add_memory(&w, info);
    nx_jw_text(&w, "backend", info->backend);
    nx_jw_text(&w, "cpu", info->cpu);
    add_metadata(&w, info->cp);
    if (tensors) add_tensors(&w, info->cp);
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}
