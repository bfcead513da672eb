/* cmd_quantize.c - `nexus quantize`: a model in fewer bits, as a GGUF file or as a Hugging Face
 * folder.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/info_plan.h"
#include "engine/plan.h"
#include "format/gguf_convert.h"
#include "format/hf_quantise.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "token/chat_source.h"
#include "token/export.h"

typedef struct request {
    const char *in, *out, *type, *shard;
    int32_t     threads;
    uint64_t    shard_bytes;
    nx_recipe   recipe;
} request;

static void on_progress(void *ctx, int64_t done, int64_t total)
{
    nx_progress_at(ctx, done, total);
}

/* ---- The vocabulary of a folder, in GGUF's keys ---- */

/* The default one under GGUF's key, others under that key and their name. */
static nx_status put_templates(const nx_checkpoint *cp, nx_gguf_writer *w, nx_error *err)
{
    nx_chat_source source = {0};
    nx_status      st = nx_chat_source_read(&source, cp, err);

    for (size_t i = 0; !st && i < source.n; i++) {
        const nx_chat_template *t = &source.list[i];
        char                    key[160];
        bool                    usual = nx_str_eq(t->name, NX_STR("default"));
        if (nx_chat_source_find(&source, t->name) != t || t->name.len > 100) continue;
        snprintf(key, sizeof key, "tokenizer.chat_template%s%.*s", usual ? "" : ".",
                 usual ? 0 : (int)t->name.len, t->name.p);
        nx_gguf_put_string(w, key, t->text);
    }
    nx_chat_source_free(&source);
    return st;
}

static nx_status put_vocab(void *ctx, nx_gguf_writer *w, nx_error *err)
{
    const nx_checkpoint *cp = ctx;
    const nx_tensor     *embd = nx_checkpoint_tensor(cp, "token_embd.weight");
    nx_vocab            *vocab = NULL;

    if (!nx_vocab_present(cp)) {
        nx_log_warn("%s: has no tokenizer, so the file will have none", nx_checkpoint_path(cp));
        return NX_OK;
    }
    nx_status st = nx_vocab_open(&vocab, cp, err);
    if (!st) st = nx_vocab_export(vocab, w, embd ? embd->ne[1] : nx_vocab_size(vocab), err);
    nx_vocab_close(vocab);
    return st ? st : put_templates(cp, w, err);
}

static nx_status write_model(const request *r, const nx_checkpoint *cp, nx_pool *pool,
                             nx_error *err)
{
    nx_progress progress;
    nx_status   st;

    nx_progress_begin(&progress, "quantising", "numbers");
    nx_cli_catch_interrupt();
    if (nx_recipe_is_apart(r->recipe)) {
        nx_hf_quantise_options opt = {.recipe = r->recipe,
                                      .shard_bytes_max = r->shard_bytes,
                                      .pool = pool,
                                      .cancel = &nx_cli_cancel,
                                      .progress = on_progress,
                                      .ctx = &progress};
        st = nx_hf_quantise(cp, r->out, &opt, err);
    } else {
        nx_gguf_convert_options opt = {.recipe = r->recipe,
                                       .pool = pool,
                                       .cancel = &nx_cli_cancel,
                                       .progress = on_progress,
                                       .ctx = &progress,
                                       .put_vocab = put_vocab,
                                       .vocab_ctx = (void *)(uintptr_t)cp};
        st = nx_plan_recipe_model(&opt.rules, cp, err);
        if (!st) st = nx_gguf_convert(cp, r->out, &opt, err);
    }
    nx_cli_release_interrupt();
    nx_progress_end(&progress);
    return st;
}

static int run(const request *r)
{
    nx_checkpoint *cp = NULL, *made = NULL;
    nx_pool       *pool = NULL;
    nx_error       err;
    int64_t        start = nx_clock_ns();
    nx_status      st = nx_open_checkpoint(&cp, r->in, &err);

    if (!st) st = nx_pool_create(&pool, r->threads ? r->threads : nx_cpu_count(), &err);
    if (!st) st = write_model(r, cp, pool, &err);
    if (!st) st = nx_checkpoint_open(&made, r->out, &err);
    if (!st) {
        char before[32], after[32];
        nx_format_bytes(before, sizeof before, nx_checkpoint_bytes(cp));
        nx_format_bytes(after, sizeof after, nx_checkpoint_bytes(made));
        nx_log_info("%s: %s, from %s, in %.1f s", r->out, after, before,
                    (double)(nx_clock_ns() - start) * 1e-9);
    }
    nx_checkpoint_close(made);
    nx_checkpoint_close(cp);
    nx_pool_destroy(pool);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    return st ? nx_cli_fail(&err) : nx_out_finish();
}

int nx_cmd_quantize(int argc, char **argv)
{
    request      r = {.shard = "5GB"};
    nx_args      args;
    nx_error     err;
    const nx_opt opts[] = {
        NX_OPT("type", 0, NX_OPT_TEXT, &r.type, "TYPE",
               "nf4, nf4-dq, fp4, int8 (a folder); q4_k_m, q4_k_s, q5_k_m, q5_k_s, q6_k, q8_0, "
               "q4_0, iq4_nl, iq4_xs, f16, bf16, ... (GGUF)"),
        NX_OPT("shard-size", 0, NX_OPT_TEXT, &r.shard, "SIZE",
               "of a folder's safetensors files at most; default: 5GB"),
        NX_OPT("threads", 't', NX_OPT_INT, &r.threads, "N",
               "worker threads; default: all processors", .max = NX_POOL_THREADS_MAX, .env = true),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "quantize",
        .synopsis = "MODEL OUT --type TYPE",
        .about =
            "Write a model in fewer bits. bitsandbytes' types make a Hugging Face folder from\n"
            "a folder; GGUF's types make a GGUF file from a folder or a GGUF file. OUT appears\n"
            "whole or not at all, and the model needs little memory whatever its size.",
        .examples = "  nexus quantize llama-folder llama.q4_k_m.gguf --type q4_k_m\n"
                    "  nexus quantize llama-folder llama-nf4 --type nf4-dq",
        .options = opts,
        .n_args_min = 2,
        .n_args_max = 2,
        .args_missing = "expected MODEL and OUT",
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code != NX_CLI_GO) return code;
    if (!r.type) return nx_cli_misuse("quantize", "no --type given");
    if (nx_recipe_parse(&r.recipe, r.type, &err) || nx_parse_bytes(&r.shard_bytes, r.shard, &err))
        return nx_cli_misuse("quantize", "%s", err.text);
    r.in = args.v[0];
    r.out = args.v[1];
    return run(&r);
}
