/* cmd_info.c - `nexus info`: what a file holds, what it takes to run, and single tensors. */
#include <stdlib.h>

#include "base/alloc.h"
#include "cli/info.h"
#include "cli/info_plan.h"
#include "lib/backends.h"
#include "model/walk.h"
#include "os/cpu.h"

#define DUMP_NUMBERS 65536 /* decoded at once: a multiple of every block length */

/* ---- Gathering ---- */

static nx_status gather_tensors(nx_info *info, nx_error *err)
{
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(info->cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(info->cp, i);
        info->types[t->dtype].n_tensors++;
        info->types[t->dtype].bytes += t->bytes;
        info->tensors_bytes += t->bytes;
        info->n_params += (uint64_t)(t->ne[0] * nx_tensor_rows(t));
    }
    nx_status st = nx_meta_string(info->cp, "general.architecture", &info->arch, false, err);
    return st ? st : nx_meta_string(info->cp, "general.name", &info->name, false, err);
}

/* What the file can't do is a finding, not a failure: its reason is kept. A file without tensors
 * is a vocabulary; nobody expects it to run. */
static nx_status gather_model(nx_info *info, nx_error *err)
{
    nx_status st = NX_OK;

    if (nx_checkpoint_n_tensors(info->cp) > 0)
        st = nx_model_open(&info->model, info->cp, &info->model_err);
    if (st == NX_ENOMEM) return nx_fail(err, st, "%s", info->model_err.text);
    if (!st) info->model_err.status = NX_OK;
    st = nx_vocab_open(&info->vocab, info->cp, &info->vocab_err);
    if (st == NX_ENOMEM) return nx_fail(err, st, "%s", info->vocab_err.text);
    if (!st) info->vocab_err.status = NX_OK;
    return NX_OK;
}

/* The activations are taken and given back: nothing is computed twice, so nothing can disagree. */
static nx_status gather_memory(nx_info *info, const nx_model_opts *m, nx_backend *be, nx_error *err)
{
    const nx_hparams *hp = &info->model->hp;
    nx_walk          *walk = NULL;

    info->n_ctx = m->ctx ? m->ctx : hp->n_ctx < NX_CTX_DEFAULT_MAX ? hp->n_ctx : NX_CTX_DEFAULT_MAX;
    info->n_batch = m->batch;
    info->kv_dtype = nx_kv_choice(m, info->cp);
    if (info->n_ctx > hp->n_ctx)
        return nx_fail(err, NX_ELIMIT, "--ctx %d: the model was made for %d positions at most",
                       info->n_ctx, hp->n_ctx);
    info->kv_bytes = nx_kv_bytes(hp, info->kv_dtype, info->n_ctx);
    if (!info->kv_bytes)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "--kv-type %s: heads of %d numbers don't fit its "
                       "blocks. Use f16",
                       nx_dtype_get(info->kv_dtype)->name, hp->head_dim);
    nx_walk_sizes sizes = {.n_batch = info->n_batch, .n_pos = info->n_ctx};
    nx_status     st = nx_walk_create(&walk, info->model, be, &sizes, err);
    if (!st) info->work_bytes = nx_walk_bytes(walk);
    nx_walk_destroy(walk);
    return st;
}

static nx_status gather(nx_info *info, const nx_model_opts *m, nx_error *err)
{
    nx_backend *be = NULL;
    nx_status   st = gather_tensors(info, err);

    if (!st) st = gather_model(info, err);
    if (!st)
        st = nx_backends_create(&be, m->threads, m->exact ? NX_PRECISION_EXACT : NX_PRECISION_CODES,
                                err);
    if (!st) {
        info->backend = be->ops->name;
        nx_cpu_name(info->cpu, sizeof info->cpu);
        if (info->model) st = gather_memory(info, m, be, err);
        be->ops->destroy(be);
    }
    return st;
}

static void forget(nx_info *info)
{
    nx_model_close(info->model);
    nx_vocab_close(info->vocab);
    nx_checkpoint_close(info->cp);
}

/* ---- Dumping ---- */

static nx_status dump(const nx_checkpoint *cp, const char *name, nx_error *err)
{
    const nx_tensor *t = nx_checkpoint_tensor(cp, name);

    if (!t)
        return nx_fail(err, NX_ENOENT, "%s: no tensor %s. `nexus info --tensors` lists all",
                       nx_checkpoint_path(cp), name);
    const nx_dtype_info *type = nx_dtype_get(t->dtype);
    const unsigned char *data = t->data;
    float               *f = nx_alloc(DUMP_NUMBERS, sizeof *f);
    if (!f) return nx_fail(err, NX_ENOMEM, "dump of %s", name);
    int64_t total = t->ne[0] * nx_tensor_rows(t);
    for (int64_t i = 0; i < total && !nx_out_gone(); i += DUMP_NUMBERS) {
        int64_t n = total - i < DUMP_NUMBERS ? total - i : DUMP_NUMBERS;
        type->decode(f, data + nx_dtype_row_bytes(t->dtype, i), n);
        nx_out_write(f, (size_t)n * sizeof *f);
    }
    nx_free(f);
    return NX_OK;
}

/* ---- The command ---- */

typedef struct request {
    nx_model_opts m;
    const char   *dump;
    bool          json, tensors, metadata, plan;
    nx_texts      gpus;
    const char   *memory;
} request;

static int run(const request *r)
{
    nx_info   info = {0};
    nx_error  err;
    int       code = NX_CLI_DONE;
    nx_status st = nx_open_checkpoint(&info.cp, r->m.model, &err);

    if (!st && r->plan)
        code = nx_info_plan(info.cp, &(nx_info_plan_request){&r->m, r->gpus, r->memory, r->json});
    else if (!st && r->dump)
        st = dump(info.cp, r->dump, &err);
    else if (!st && !(st = gather(&info, &r->m, &err))) {
        if (r->json)
            code = nx_info_print_json(&info, r->tensors);
        else
            nx_info_print(&info, r->tensors, r->metadata);
    }
    forget(&info);
    if (st) return nx_cli_fail(&err);
    return code ? code : nx_out_finish();
}

int nx_cmd_info(int argc, char **argv)
{
    request      r = {.m = NX_MODEL_OPTS_DEFAULT};
    nx_args      args;
    const nx_opt opts[] = {
        NX_OPT("tensors", 0, NX_OPT_FLAG, &r.tensors, NULL,
               "list every tensor: type, shape, bytes"),
        NX_OPT("metadata", 0, NX_OPT_FLAG, &r.metadata, NULL,
               "list every metadata key and its value"),
        NX_OPT("json", 0, NX_OPT_FLAG, &r.json, NULL, "print everything as one JSON object"),
        NX_OPT("dump", 0, NX_OPT_TEXT, &r.dump, "TENSOR",
               "write the numbers of one tensor to stdout, as little-endian f32"),
        NX_OPT_GROUP("Memory plan"),
        NX_OPT("plan", 0, NX_OPT_FLAG, &r.plan, NULL,
               "plan the memory for several types, without loading weights; a folder with "
               "config.json alone will do"),
        NX_OPT("gpu-memory", 0, NX_OPT_LIST, &r.gpus, "SIZE",
               "plan for a GPU of this size, 16GB or 24GiB; default: the usual ones (can be "
               "repeated)"),
        NX_OPT("memory", 0, NX_OPT_TEXT, &r.memory, "SIZE",
               "plan for this much RAM; default: what this machine has left"),
        NX_MODEL_OPTS(r.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "info",
        .synopsis = "[MODEL] [--tensors] [--metadata] [--json] [--dump TENSOR]",
        .about = "Say what a model file holds: architecture, sizes, types, vocabulary, context,\n"
                 "and the memory that it takes at --ctx positions.",
        .examples = "  nexus info model.gguf\n"
                    "  nexus info model.gguf --ctx 32768 --json\n"
                    "  nexus info folder --plan --gpu-memory 16GB --ctx 8192\n"
                    "  nexus info model.gguf --dump blk.0.attn_q.weight > attn_q.f32",
        .options = opts,
        .n_args_max = 1,
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code != NX_CLI_GO) return code;
    const char *usual = getenv("NEXUS_MODEL"); /* gives way to a file that is named */
    if (args.n && r.m.model && r.m.model != usual)
        return nx_cli_misuse("info", "two models given: -m %s and %s", r.m.model, args.v[0]);
    if (args.n) r.m.model = args.v[0];
    code = run(&r);
    nx_texts_free(&r.gpus);
    return code;
}
