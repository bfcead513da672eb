/* serve_models.c - plans and opens a model for many answers at once. */
#include "cli/serve_models.h"

#include <stdio.h>
#include <string.h>

#include "engine/embedder.h"
#include "engine/plan.h"
#include "engine/reranker.h"

/* The cache may take a quarter of the budget, unless somebody says more. */
#define KV_SHARE 4

static nx_batch_options batch_options(const nx_serve_opts *o, const nx_checkpoint *cp,
                                      const nx_hparams *hp)
{
    nx_batch_options b;
    int64_t          all;

    nx_batch_options_default(&b);
    b.kv_dtype = nx_kv_choice(&o->m, cp);
    b.n_slots = o->parallel;
    b.n_queue = o->queue;
    b.n_slice = o->slice;
    b.n_draft = o->draft;
    b.n_batch = o->m.batch;
    b.n_ctx =
        o->m.ctx ? o->m.ctx : (hp->n_ctx < NX_CTX_DEFAULT_MAX ? hp->n_ctx : NX_CTX_DEFAULT_MAX);
    all = o->positions ? o->positions : (int64_t)b.n_slots * b.n_ctx;
    uint64_t each = nx_kv_bytes(hp, b.kv_dtype, 1), left = o->memory_bytes / KV_SHARE;
    if (!o->positions && each && (uint64_t)all * each > left) all = (int64_t)(left / each);
    if (all < b.n_ctx) all = b.n_ctx;
    b.n_pos_all = all < INT32_MAX / 2 ? (int32_t)all : INT32_MAX / 2;
    return b;
}

static nx_model_use purpose_of(const nx_checkpoint *cp)
{
    if (nx_reranker_present(cp)) return NX_MODEL_RERANKS;
    return nx_embed_spec_present(cp) ? NX_MODEL_EMBEDS : NX_MODEL_GENERATES;
}

/* Weights, a step's activations, and a full cache of vectors; or a head in floats. */
static void plan_encoder(nx_serve_plan *out, const nx_plan *p, bool reranks)
{
    uint64_t rows = reranks ? (uint64_t)p->hp.n_embd : NX_EMBED_CACHE_DEFAULT;
    uint64_t cache = rows * (uint64_t)p->hp.n_embd * sizeof(float);

    *out = (nx_serve_plan){.weights = p->weights, .work = p->work + cache, .n_ctx = p->n_ctx};
}

static nx_status plan_checkpoint(nx_serve_plan *out, const nx_serve_opts *o,
                                 const nx_checkpoint *cp, nx_error *err)
{
    nx_plan         p;
    nx_plan_options po = {.kv_dtype = nx_kv_choice(&o->m, cp),
                          .n_ctx = o->m.ctx,
                          .n_batch = o->m.batch ? o->m.batch : NX_BATCH_DEFAULT};
    nx_status       st = nx_parse_recipe(&po.recipe, &o->m, err);

    nx_model_use purpose = purpose_of(cp);
    if (purpose != NX_MODEL_GENERATES) po.n_ctx = 0;
    if (!st) st = nx_plan_make(&p, cp, NULL, &po, err);
    if (st) return st;
    if (purpose != NX_MODEL_GENERATES) {
        plan_encoder(out, &p, purpose == NX_MODEL_RERANKS);
        nx_plan_free(&p);
        return NX_OK;
    }
    nx_batch_options b = batch_options(o, cp, &p.hp);
    uint64_t         kv = nx_kv_bytes(&p.hp, b.kv_dtype, b.n_pos_all);
    uint64_t         beside = nx_batch_bytes_planned(&p.hp, NULL, &b);
    *out = (nx_serve_plan){.weights = p.weights,
                           .kv = kv,
                           .work = beside > kv ? beside - kv : 0,
                           .n_ctx = b.n_ctx,
                           .n_positions = b.n_pos_all,
                           .parallel = b.n_slots};
    snprintf(out->kv_type, sizeof out->kv_type, "%s", nx_dtype_get(b.kv_dtype)->name);
    nx_plan_free(&p);
    return NX_OK;
}

nx_status nx_serve_plan_make(nx_serve_plan *out, const nx_serve_opts *o, const char *path,
                             nx_error *err)
{
    nx_checkpoint *cp = NULL;
    nx_status      st = nx_open_checkpoint(&cp, path, err);

    if (!st) st = plan_checkpoint(out, o, cp, err);
    nx_checkpoint_close(cp);
    return st;
}

static nx_model_use opener_purpose(void *ctx, const char *path)
{
    nx_checkpoint *cp = NULL;

    (void)ctx;
    if (nx_open_checkpoint(&cp, path, NULL)) return NX_MODEL_GENERATES; /* loading will tell why */
    nx_model_use purpose = purpose_of(cp);
    nx_checkpoint_close(cp);
    return purpose;
}

static nx_status opener_plan(void *ctx, const char *path, uint64_t *bytes, nx_error *err)
{
    nx_serve_plan p;
    nx_status     st = nx_serve_plan_make(&p, ctx, path, err);

    *bytes = st ? 0 : p.weights + p.kv + p.work;
    return st;
}

/* The type of most bytes of its matrices. */
static void name_quant(char *out, size_t cap, const nx_checkpoint *cp)
{
    uint64_t bytes[NX_DTYPE_COUNT] = {0};
    nx_dtype most = NX_DTYPE_F32;

    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        bytes[t->dtype] += t->bytes;
        if (bytes[t->dtype] > bytes[most]) most = t->dtype;
    }
    snprintf(out, cap, "%s", nx_dtype_get(most)->name);
}

static nx_status open_encoder(const nx_serve_opts *o, const nx_model_opts *m, nx_model_parts *out,
                              nx_error *err)
{
    nx_model_opts fine = *m;
    nx_serve_plan plan;

    fine.fine = true; /* as nexus embed has it */
    fine.ctx = 0;
    nx_status st = nx_open_llm(&out->llm, &fine, err);
    bool      reranks = !st && nx_reranker_present(out->llm->cp);
    if (!st)
        st = reranks ? nx_reranker_open(&out->reranker, out->llm, err)
                     : nx_embedder_open(&out->embedder, out->llm, NULL, err);
    if (!st) st = plan_checkpoint(&plan, o, out->llm->cp, err);
    if (st) {
        nx_embedder_close(out->embedder);
        nx_reranker_close(out->reranker);
        *out = (nx_model_parts){0};
        return st;
    }
    out->bytes = plan.weights + plan.kv + plan.work;
    return NX_OK;
}

static nx_status open_batch(const nx_serve_opts *o, const nx_model_opts *m,
                            const nx_service_watch *watch, nx_model_parts *out, nx_error *err)
{
    nx_serve_plan plan;
    nx_status     st = nx_open_llm(&out->llm, m, err);

    if (st) return st;
    nx_batch_options b = batch_options(o, out->llm->cp, &out->llm->model->hp);
    b.watch = *watch;
    st = nx_batch_create(&out->service, out->llm, &b, err);
    if (!st) st = plan_checkpoint(&plan, o, out->llm->cp, err);
    if (st) {
        if (out->service) out->service->ops->destroy(out->service);
        nx_llm_close(out->llm);
        *out = (nx_model_parts){0};
        return st;
    }
    out->bytes = plan.weights + plan.kv + plan.work;
    return NX_OK;
}

static nx_status opener_open(void *ctx, const char *path, const nx_service_watch *watch,
                             nx_model_parts *out, nx_error *err)
{
    const nx_serve_opts *o = ctx;
    nx_model_opts        m = o->m;

    m.model = path;
    m.unattended = true;
    *out = (nx_model_parts){0};
    nx_status st = opener_purpose(ctx, path) == NX_MODEL_GENERATES
                       ? open_batch(o, &m, watch, out, err)
                       : open_encoder(o, &m, out, err);
    if (st) return st;
    name_quant(out->quant, sizeof out->quant, out->llm->cp);
    snprintf(out->device, sizeof out->device, "cpu");
    snprintf(out->arch, sizeof out->arch, "%s", out->llm->model->arch->name);
    return NX_OK;
}

static void opener_close(void *ctx, nx_model_parts *parts)
{
    (void)ctx;
    if (parts->service) parts->service->ops->destroy(parts->service);
    nx_embedder_close(parts->embedder); /* and its llm */
    nx_reranker_close(parts->reranker); /* likewise */
    if (!parts->embedder && !parts->reranker) nx_llm_close(parts->llm);
    *parts = (nx_model_parts){0};
}

nx_model_opener nx_serve_opener(nx_serve_opts *o)
{
    return (nx_model_opener){.ctx = o,
                             .purpose = opener_purpose,
                             .plan = opener_plan,
                             .open = opener_open,
                             .close = opener_close};
}
