/* timeline.c - reads tokens in slices and keeps what the model remembers of them. */
#include "engine/timeline.h"

#include <string.h>

#include "base/alloc.h"
#include "model/rope.h"

struct nx_timeline {
    const nx_llm      *llm;
    nx_kv              kv;
    nx_walk           *walk;
    int32_t           *ids;    /* [n_ctx] */
    float             *logits; /* [n_vocab] */
    bool               has_logits;
    int32_t            n, n_ctx, n_batch;
    int32_t            epoch; /* of the keys in kv (rope.h); -1: none that can be used */
    const atomic_bool *cancel;
};

static nx_status choose_sizes(nx_timeline *tl, const nx_timeline_options *opt, nx_error *err)
{
    int32_t n_ctx_model = tl->llm->model->hp.n_ctx;
    int32_t n_ctx_default = n_ctx_model < NX_CTX_DEFAULT_MAX ? n_ctx_model : NX_CTX_DEFAULT_MAX;

    tl->n_ctx = opt->n_ctx ? opt->n_ctx : n_ctx_default;
    tl->n_batch = opt->n_batch ? opt->n_batch : NX_BATCH_DEFAULT;
    if (tl->n_ctx < 1 || tl->n_batch < 1)
        return nx_fail(err, NX_EINVAL, "context of %d, batch of %d: expected 1 or more", tl->n_ctx,
                       tl->n_batch);
    if (tl->n_ctx > n_ctx_model)
        return nx_fail(err, NX_ELIMIT,
                       "a context of %d tokens was asked for, the model was made for %d", tl->n_ctx,
                       n_ctx_model);
    return NX_OK;
}

static nx_status take_memory(nx_timeline *tl, nx_dtype kv_dtype, nx_error *err)
{
    const nx_model *m = tl->llm->model;
    nx_walk_sizes   sizes = {.n_batch = tl->n_batch, .n_pos = tl->n_ctx};
    nx_status       st = nx_kv_open(&tl->kv, &m->hp, tl->llm->be, kv_dtype, 1, tl->n_ctx, err);

    if (!st) st = nx_walk_create(&tl->walk, m, tl->llm->be, &sizes, err);
    if (st) return st;
    tl->ids = nx_alloc((size_t)tl->n_ctx, sizeof *tl->ids);
    tl->logits = nx_alloc((size_t)m->hp.n_vocab, sizeof *tl->logits);
    if (tl->ids && tl->logits) return NX_OK;
    return nx_fail(err, NX_ENOMEM, "a timeline of %d tokens", tl->n_ctx);
}

nx_status nx_timeline_create(nx_timeline **out, const nx_llm *llm, const nx_timeline_options *opt,
                             nx_error *err)
{
    *out = NULL;
    nx_timeline *tl = nx_calloc(1, sizeof *tl);
    if (!tl) return nx_fail(err, NX_ENOMEM, "timeline");
    tl->llm = llm;
    tl->cancel = opt->cancel;
    nx_status st = nx_llm_check_generates(llm, err);
    if (!st) st = choose_sizes(tl, opt, err);
    if (!st) st = take_memory(tl, opt->kv_dtype, err);
    if (st) {
        nx_timeline_destroy(tl);
        return st;
    }
    *out = tl;
    return NX_OK;
}

void nx_timeline_destroy(nx_timeline *tl)
{
    if (!tl) return;
    nx_walk_destroy(tl->walk);
    nx_kv_close(&tl->kv);
    nx_free(tl->ids);
    nx_free(tl->logits);
    nx_free(tl);
}

static nx_status check_ids(const nx_timeline *tl, const int32_t *ids, size_t n, nx_error *err)
{
    int32_t n_vocab = tl->llm->model->hp.n_vocab;

    if (n < 1) return nx_fail(err, NX_EINVAL, "no tokens to read");
    if (n > (size_t)(tl->n_ctx - tl->n))
        return nx_fail(err, NX_ELIMIT,
                       "%zu tokens after %d already read don't fit the context of %d. Use a larger "
                       "--ctx or a shorter text",
                       n, tl->n, tl->n_ctx);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return nx_fail(err, NX_EINVAL, "token %zu is %d, expected 0 to %d", i, ids[i],
                           n_vocab - 1);
    return NX_OK;
}

/* ---- Where logits go ---- */

static void keep_logits(void *ctx, int32_t t, const float *logits)
{
    nx_timeline *tl = ctx;

    (void)t;
    memcpy(tl->logits, logits, (size_t)tl->llm->model->hp.n_vocab * sizeof *logits);
}

typedef struct each {
    nx_timeline *tl;
    nx_logits_fn fn;
    void        *ctx;
    int32_t      done, n; /* rows of earlier slices; of all */
} each;

static void pass_logits(void *ctx, int32_t t, const float *logits)
{
    each *e = ctx;

    e->fn(e->ctx, e->done + t, logits);
    if (e->done + t == e->n - 1) keep_logits(e->tl, t, logits);
}

/* ---- Reading ---- */

typedef struct reading {
    nx_progress_fn progress;
    nx_logits_fn   on_logits;
    void          *ctx;
} reading;

/* n tokens from position `from` on, of which `done` are read; the text then has n_seq. */
typedef struct stretch {
    const int32_t *ids;
    int32_t        from, done, n, n_seq;
    bool           quiet; /* nobody wants its logits */
} stretch;

/* The whole context is one page. */
static const int32_t only_page[] = {0};

static void read_slice(nx_timeline *tl, const stretch *s, int32_t T, const reading *how)
{
    each        e = {.tl = tl, .fn = how->on_logits, .ctx = how->ctx, .done = s->done, .n = s->n};
    nx_walk_seq step = {.ids = s->ids + s->done,
                        .pages = only_page,
                        .T = T,
                        .pos0 = s->from + s->done,
                        .n_seq = s->n_seq};

    if (how->on_logits) {
        step.n_logits = T;
        nx_walk_step(tl->walk, &tl->kv, &step, 1, pass_logits, &e);
    } else {
        step.n_logits = s->done + T == s->n && !s->quiet ? 1 : 0;
        nx_walk_step(tl->walk, &tl->kv, &step, 1, keep_logits, tl);
    }
}

static nx_status read_stretch(nx_timeline *tl, stretch s, const reading *how, nx_error *err)
{
    while (s.done < s.n) {
        /* Rows written for positions beyond tl->n are nobody's until tl->n moves. */
        if (tl->cancel && atomic_load(tl->cancel))
            return nx_fail(err, NX_ECANCELLED, "cancelled after %d of %d tokens", s.done, s.n);
        int32_t T = s.n - s.done < tl->n_batch ? s.n - s.done : tl->n_batch;
        read_slice(tl, &s, T, how);
        s.done += T;
        if (how->progress) how->progress(how->ctx, s.done, s.n);
    }
    return NX_OK;
}

/* A text that outgrows its rope's short factors (or shrinks back) has all its keys computed again:
 * what transformers does, too. Interrupted, the keys are of no use until it is done. */
static nx_status renew_keys(nx_timeline *tl, int32_t n_seq, nx_error *err)
{
    int32_t   epoch = nx_rope_epoch(tl->llm->model, n_seq);
    nx_status st = NX_OK;

    if (epoch == tl->epoch) return NX_OK;
    tl->epoch = -1;
    if (tl->n > 0)
        st = read_stretch(tl, (stretch){.ids = tl->ids, .n = tl->n, .n_seq = n_seq, .quiet = true},
                          &(reading){0}, err);
    if (!st) tl->epoch = epoch;
    return st;
}

static nx_status read_all(nx_timeline *tl, const int32_t *ids, size_t n_ids, const reading *how,
                          nx_error *err)
{
    nx_status st = check_ids(tl, ids, n_ids, err);
    if (st) return st;

    int32_t n = (int32_t)n_ids;
    stretch all = {.ids = ids, .from = tl->n, .n = n, .n_seq = tl->n + n};
    st = renew_keys(tl, all.n_seq, err);
    if (!st) st = read_stretch(tl, all, how, err);
    if (!st) st = tl->llm->be->ops->wait(tl->llm->be, err);
    if (st) return st;
    memcpy(tl->ids + tl->n, ids, n_ids * sizeof *ids);
    tl->n += n;
    tl->has_logits = true;
    return NX_OK;
}

nx_status nx_timeline_eval(nx_timeline *tl, const int32_t *ids, size_t n, nx_progress_fn progress,
                           void *ctx, nx_error *err)
{
    return read_all(tl, ids, n, &(reading){.progress = progress, .ctx = ctx}, err);
}

nx_status nx_timeline_eval_each(nx_timeline *tl, const int32_t *ids, size_t n,
                                nx_logits_fn on_logits, void *ctx, nx_error *err)
{
    return read_all(tl, ids, n, &(reading){.on_logits = on_logits, .ctx = ctx}, err);
}

const float *nx_timeline_logits(const nx_timeline *tl)
{
    return tl->has_logits ? tl->logits : NULL;
}

const int32_t *nx_timeline_ids(const nx_timeline *tl)
{
    return tl->ids;
}

int32_t nx_timeline_length(const nx_timeline *tl)
{
    return tl->n;
}

int32_t nx_timeline_ctx(const nx_timeline *tl)
{
    return tl->n_ctx;
}

const nx_llm *nx_timeline_llm(const nx_timeline *tl)
{
    return tl->llm;
}

void nx_timeline_rewind(nx_timeline *tl, int32_t n_keep)
{
    if (n_keep < 0 || n_keep >= tl->n) return;
    tl->n = n_keep;
    tl->has_logits = false;
}

uint64_t nx_timeline_kv_bytes(const nx_timeline *tl)
{
    return nx_kv_bytes(&tl->llm->model->hp, tl->kv.dtype, tl->n_ctx);
}

uint64_t nx_timeline_work_bytes(const nx_timeline *tl)
{
    return nx_walk_bytes(tl->walk);
}
