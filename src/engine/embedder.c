/* embedder.c - packs pieces of texts into steps, pools what comes out, and remembers it.
 *
 * Locks: `lock` guards the cache, and is never held while anything is computed. Whose turn it is owns
 *        the walk.
 */
#include "engine/embedder.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/embed_pieces.h"
#include "engine/turns.h"
#include "model/walk.h"
#include "net/digest.h"

#define SEQS_MAX 128

struct nx_embedder {
    nx_llm       *llm;
    nx_embed_spec spec;

    pthread_mutex_t lock;
    nx_embed_cache *cache;

    nx_turns    turns;
    nx_walk    *walk;
    int32_t     n_batch;
    nx_walk_seq seqs[SEQS_MAX];
    double     *sum; /* [n_embd] */
};

void nx_embed_options_default(nx_embed_options *opt)
{
    *opt = (nx_embed_options){.long_texts = NX_LONG_ERROR};
}

/* ---- Life ---- */

static nx_status make_walk(nx_embedder *e, int32_t n_batch, nx_error *err)
{
    nx_walk            *walk;
    int32_t             n_ctx = e->llm->model->hp.n_ctx;
    const nx_walk_sizes sizes = {.n_batch = n_batch,
                                 .n_pos = n_batch < n_ctx ? n_batch : n_ctx,
                                 .n_seqs_max = SEQS_MAX,
                                 .no_logits = true};
    nx_status           st = nx_walk_create(&walk, e->llm->model, e->llm->be, &sizes, err);

    if (st) return st;
    nx_walk_destroy(e->walk);
    e->walk = walk;
    e->n_batch = n_batch;
    return NX_OK;
}

static nx_status open_parts(nx_embedder *e, const nx_embedder_options *opt, nx_error *err)
{
    int32_t   n_embd = e->llm->model->hp.n_embd;
    nx_status st = nx_embed_spec_read(&e->spec, e->llm->cp, e->llm->model, err);

    if (!st && !e->llm->vocab)
        st = nx_fail(err, NX_EUNSUPPORTED, "%.300s: has no vocabulary",
                     nx_checkpoint_path(e->llm->cp));
    if (!st && opt->n_batch < 0)
        st = nx_fail(err, NX_EINVAL, "a batch of %d rows: expected 1 or more", opt->n_batch);
    if (!st) st = nx_embed_cache_create(&e->cache, opt->n_cache, n_embd, err);
    if (!st && !(e->sum = nx_alloc((size_t)n_embd, sizeof *e->sum)))
        st = nx_fail(err, NX_ENOMEM, "embedder");
    if (st) return st;
    return make_walk(e, opt->n_batch ? opt->n_batch : NX_EMBED_BATCH_DEFAULT, err);
}

nx_status nx_embedder_open(nx_embedder **out, nx_llm *llm, const nx_embedder_options *opt,
                           nx_error *err)
{
    const nx_embedder_options usual = {.n_cache = NX_EMBED_CACHE_DEFAULT};
    nx_embedder              *e = nx_calloc(1, sizeof *e);

    *out = NULL;
    if (!e) {
        nx_llm_close(llm);
        return nx_fail(err, NX_ENOMEM, "embedder");
    }
    e->llm = llm;
    pthread_mutex_init(&e->lock, NULL);
    nx_turns_init(&e->turns);
    nx_status st = open_parts(e, opt ? opt : &usual, err);
    if (st) {
        nx_embedder_close(e);
        return st;
    }
    *out = e;
    return NX_OK;
}

void nx_embedder_close(nx_embedder *e)
{
    if (!e) return;
    nx_walk_destroy(e->walk);
    nx_embed_cache_destroy(e->cache);
    nx_free(e->sum);
    nx_turns_free(&e->turns);
    pthread_mutex_destroy(&e->lock);
    nx_llm_close(e->llm);
    nx_free(e);
}

int32_t nx_embedder_dims(const nx_embedder *e)
{
    return e->llm->model->hp.n_embd;
}

nx_status nx_embedder_count(const nx_embedder *e, int32_t *n, nx_str text, nx_input_type type,
                            nx_error *err)
{
    return nx_embed_count(n, &e->spec, e->llm->vocab, text, type, err);
}

const nx_embed_spec *nx_embedder_spec(const nx_embedder *e)
{
    return &e->spec;
}

const nx_llm *nx_embedder_llm(const nx_embedder *e)
{
    return e->llm;
}

nx_embed_cache_stats nx_embedder_cache(nx_embedder *e)
{
    pthread_mutex_lock(&e->lock);
    nx_embed_cache_stats s = nx_embed_cache_count(e->cache);
    pthread_mutex_unlock(&e->lock);
    return s;
}

void nx_embedder_cache_clear(nx_embedder *e)
{
    pthread_mutex_lock(&e->lock);
    nx_embed_cache_clear(e->cache);
    pthread_mutex_unlock(&e->lock);
}

/* ---- One request ---- */

typedef struct request {
    nx_embedder            *e;
    const nx_embed_text    *texts;
    int32_t                 n;
    const nx_embed_options *opt;
    nx_embed_report        *report;
    float                  *full;  /* [n, n_embd] */
    nx_embed_note          *notes; /* [n] */
    nx_embed_key           *keys;  /* [n] */
    bool                   *known; /* [n]: it came from the cache */
    nx_embed_pieces         pieces;
    int32_t                 first; /* of the pieces of this step */
    nx_error               *err;
} request;

static void request_free(request *r)
{
    nx_embed_pieces_free(&r->pieces);
    nx_free(r->full);
    nx_free(r->notes);
    nx_free(r->keys);
    nx_free(r->known);
}

static nx_status request_alloc(request *r)
{
    size_t n = (size_t)r->n, n_embd = (size_t)nx_embedder_dims(r->e);

    r->full = nx_calloc(n, n_embd * sizeof *r->full);
    r->notes = nx_calloc(n, sizeof *r->notes);
    r->keys = nx_calloc(n, sizeof *r->keys);
    r->known = nx_calloc(n, sizeof *r->known);
    if (r->full && r->notes && r->keys && r->known) return NX_OK;
    return nx_fail(r->err, NX_ENOMEM, "embeddings of %d texts", r->n);
}

/* Everything that the vector of a text depends on, but for the model: each has its own cache. */
static nx_status key_of(const request *r, int32_t i)
{
    const nx_embed_text *t = &r->texts[i];
    const unsigned char  how[] = {(unsigned char)r->opt->long_texts,
                                  (unsigned char)r->opt->input_type, t->ids != NULL};
    const void          *bytes = t->ids ? (const void *)t->ids : t->text.p;
    size_t               n = t->ids ? t->n_ids * sizeof *t->ids : t->text.len;

    return nx_hmac(r->keys[i].bytes, how, sizeof how, bytes ? bytes : "", n, r->err);
}

static nx_status look_up(request *r)
{
    int32_t   n_embd = nx_embedder_dims(r->e);
    nx_status st = NX_OK;

    for (int32_t i = 0; !st && i < r->n; i++) st = key_of(r, i);
    if (st) return st;
    pthread_mutex_lock(&r->e->lock);
    for (int32_t i = 0; i < r->n; i++) {
        const float *v = nx_embed_cache_get(r->e->cache, &r->keys[i], &r->notes[i]);
        if (!v) continue;
        memcpy(r->full + (int64_t)i * n_embd, v, (size_t)n_embd * sizeof *v);
        r->known[i] = true;
        r->report->n_cached++;
    }
    pthread_mutex_unlock(&r->e->lock);
    return NX_OK;
}

static nx_status cut_texts(request *r)
{
    const nx_llm *llm = r->e->llm;
    nx_status     st = NX_OK;

    for (int32_t i = 0; !st && i < r->n; i++) {
        if (r->known[i]) continue;
        st = nx_embed_pieces_add(&r->pieces, &r->e->spec, llm->vocab, llm->model->hp.n_vocab,
                                 &r->texts[i], i, r->opt, &r->notes[i], r->err);
        if (st) r->report->failed = i;
    }
    return st;
}

/* ---- Pooling ---- */

static void scale_to_unit(float *x, int32_t n)
{
    double squares = 0;

    for (int32_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    double r = 1 / fmax(sqrt(squares), 1e-12);
    for (int32_t i = 0; i < n; i++) x[i] = (float)((double)x[i] * r);
}

/* sum = the piece's vector. */
static void pool(const nx_embedder *e, const nx_embed_piece *p, const float *rows, int32_t T)
{
    int32_t D = nx_embedder_dims(e), first = 0, end = T;

    if (e->spec.pooling == NX_POOLING_MEAN) first = p->n_prompt;
    if (e->spec.pooling == NX_POOLING_CLS) end = 1;
    if (e->spec.pooling == NX_POOLING_LAST) first = T - 1;
    for (int32_t i = 0; i < D; i++) e->sum[i] = 0;
    for (int32_t t = first; t < end; t++)
        for (int32_t i = 0; i < D; i++) e->sum[i] += (double)rows[(int64_t)t * D + i];
    for (int32_t i = 0; i < D; i++) e->sum[i] /= end - first;
}

/* The only piece of a text is its vector; of several each adds its part. */
static void on_hidden(void *ctx, int32_t seq, const float *rows, int32_t T)
{
    request              *r = ctx;
    nx_embedder          *e = r->e;
    const nx_embed_piece *p = &r->pieces.list[r->first + seq];
    int32_t               D = nx_embedder_dims(e);
    float                *out = r->full + (int64_t)p->text * D;
    double                scale = 1, squares = 0;

    pool(e, p, rows, T);
    if (r->notes[p->text].n_windows <= 1) {
        for (int32_t i = 0; i < D; i++) out[i] = (float)e->sum[i];
        return;
    }
    for (int32_t i = 0; i < D; i++) squares += e->sum[i] * e->sum[i];
    if (e->spec.normalise) scale = 1 / fmax(sqrt(squares), 1e-12);
    for (int32_t i = 0; i < D; i++) out[i] += (float)(e->sum[i] * scale * p->weight);
}

/* ---- Steps ---- */

/* A step takes the longest text whole. Rows by powers of two, so that this happens seldom. */
static nx_status make_room(request *r)
{
    nx_embedder *e = r->e;
    int32_t      longest = 0, n = e->n_batch;

    for (int32_t i = 0; i < r->pieces.n; i++)
        if (r->pieces.list[i].n > longest) longest = r->pieces.list[i].n;
    if (longest <= n) return NX_OK;
    while (n < longest) n = n > INT32_MAX / 2 ? longest : n * 2;
    if (n > e->spec.length_max) n = e->spec.length_max;
    return make_walk(e, n, r->err);
}

/* The pieces from `first` on that fit into a step. Returns how many. */
static int32_t pack(request *r)
{
    nx_embedder *e = r->e;
    int32_t      n = 0, rows = 0;

    for (; n < SEQS_MAX && r->first + n < r->pieces.n; n++) {
        const nx_embed_piece *p = &r->pieces.list[r->first + n];
        if (p->n > e->n_batch - rows) break;
        rows += p->n;
        e->seqs[n] = (nx_walk_seq){.ids = r->pieces.ids.ids + p->at, .T = p->n, .n_seq = p->n};
    }
    return n;
}

static nx_status step(request *r)
{
    nx_turns_wait(&r->e->turns);
    nx_status st = make_room(r);
    if (!st) {
        int32_t n = pack(r);
        nx_walk_encode(r->e->walk, r->e->seqs, n, on_hidden, r);
        r->first += n;
    }
    nx_turns_end(&r->e->turns);
    return st;
}

static nx_status compute(request *r)
{
    nx_status st = NX_OK;

    while (!st && r->first < r->pieces.n) {
        if (r->opt->cancel && atomic_load(r->opt->cancel))
            st = nx_fail(r->err, NX_ECANCELLED, "cancelled while embedding");
        if (!st) st = step(r);
    }
    return st;
}

/* ---- The end ---- */

static void finish_vectors(request *r)
{
    int32_t D = nx_embedder_dims(r->e);

    for (int32_t i = 0; i < r->n; i++) {
        float *v = r->full + (int64_t)i * D;
        if (r->known[i]) continue;
        if (r->e->spec.normalise) {
            scale_to_unit(v, D);
        } else if (r->notes[i].n_windows > 1) {
            int64_t weight = 0;
            for (int32_t k = 0; k < r->pieces.n; k++)
                if (r->pieces.list[k].text == i) weight += r->pieces.list[k].weight;
            for (int32_t d = 0; d < D; d++) v[d] /= (float)weight;
        }
    }
}

static void remember(request *r)
{
    int32_t D = nx_embedder_dims(r->e);

    pthread_mutex_lock(&r->e->lock);
    for (int32_t i = 0; i < r->n; i++)
        if (!r->known[i])
            nx_embed_cache_put(r->e->cache, &r->keys[i], r->full + (int64_t)i * D, &r->notes[i]);
    pthread_mutex_unlock(&r->e->lock);
}

static void hand_out(const request *r, float *out)
{
    int32_t D = nx_embedder_dims(r->e), n_dims = r->opt->n_dims ? r->opt->n_dims : D;

    for (int32_t i = 0; i < r->n; i++, out += n_dims) {
        memcpy(out, r->full + (int64_t)i * D, (size_t)n_dims * sizeof *out);
        if (n_dims < D && r->e->spec.normalise) scale_to_unit(out, n_dims);
    }
}

static void add_up(request *r)
{
    for (int32_t i = 0; i < r->n; i++) {
        r->report->n_tokens += r->notes[i].n_tokens;
        r->report->n_cut += r->notes[i].n_cut;
        r->report->n_windows += r->notes[i].n_windows;
        r->report->n_long += r->notes[i].n_windows > 0;
    }
}

nx_status nx_embedder_run(nx_embedder *e, float *out, const nx_embed_text *texts, int32_t n,
                          const nx_embed_options *opt, nx_embed_report *report, nx_error *err)
{
    request r = {.e = e, .texts = texts, .n = n, .opt = opt, .report = report, .err = err};

    *report = (nx_embed_report){.failed = -1};
    if (opt->n_dims < 0 || opt->n_dims > nx_embedder_dims(e))
        return nx_fail(err, NX_EINVAL, "%d dimensions, expected 1 to the model's %d", opt->n_dims,
                       nx_embedder_dims(e));
    if (n == 0) return NX_OK;
    nx_status st = request_alloc(&r);
    if (!st) st = look_up(&r);
    if (!st) st = cut_texts(&r);
    if (!st) st = compute(&r);
    if (!st) {
        finish_vectors(&r);
        remember(&r);
        hand_out(&r, out);
        add_up(&r);
    }
    request_free(&r);
    return st;
}
