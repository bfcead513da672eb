/* reranker.c - pairs become sequences, sequences rows, rows a number.
 *
 * Head:  h = act(W row + b), normed where the model has a norm ; logit = w . h + b0.
 *        BERT: its pooler and classifier; RoBERTa: dense and out_proj; ModernBERT: head and classifier.
 *        It is small beside the walk, and is computed in doubles.
 */
#include "engine/reranker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/turns.h"
#include "model/walk.h"

#define SEQS_MAX   128
#define LENGTH_KEY "nexus.embedding.length_max"
#define MEAN_KEY   "nexus.rank_mean"

struct nx_reranker {
    nx_llm              *llm;
    const nx_vocab_pair *pair;
    int32_t              length_max;
    bool                 mean; /* of all rows, else the first */
    float               *w;    /* [n_embd, n_embd] */
    float               *out;  /* [n_embd] */

    nx_turns    turns; /* whose it is owns what follows */
    nx_walk    *walk;
    int32_t     n_batch;
    nx_walk_seq seqs[SEQS_MAX];
    double     *row, *h; /* [n_embd] */
};

void nx_rerank_options_default(nx_rerank_options *opt)
{
    *opt = (nx_rerank_options){0};
}

bool nx_reranker_present(const nx_checkpoint *cp)
{
    return nx_embed_pooling_of(cp) == NX_POOLING_RANK;
}

/* ---- Life ---- */

static nx_status make_walk(nx_reranker *r, int32_t n_batch, nx_error *err)
{
    nx_walk            *walk;
    int32_t             n_ctx = r->llm->model->hp.n_ctx;
    const nx_walk_sizes sizes = {.n_batch = n_batch,
                                 .n_pos = n_batch < n_ctx ? n_batch : n_ctx,
                                 .n_seqs_max = SEQS_MAX,
                                 .no_logits = true};
    nx_status           st = nx_walk_create(&walk, r->llm->model, r->llm->be, &sizes, err);

    if (st) return st;
    nx_walk_destroy(r->walk);
    r->walk = walk;
    r->n_batch = n_batch;
    return NX_OK;
}

static nx_status read_head(nx_reranker *r, nx_error *err)
{
    const nx_model *m = r->llm->model;
    size_t          D = (size_t)m->hp.n_embd;

    r->w = nx_alloc(D, D * sizeof *r->w);
    r->out = nx_alloc(D, sizeof *r->out);
    r->row = nx_alloc(D, sizeof *r->row);
    r->h = nx_alloc(D, sizeof *r->h);
    if (!r->w || !r->out || !r->row || !r->h) return nx_fail(err, NX_ENOMEM, "reranker");
    nx_tensor_decode(r->w, &m->rank, 0, (int64_t)D);
    nx_tensor_decode(r->out, &m->rank_out, 0, 1);
    return nx_meta_bool(r->llm->cp, MEAN_KEY, &r->mean, false, err);
}

static nx_status open_parts(nx_reranker *r, nx_error *err)
{
    const nx_llm *llm = r->llm;
    const char   *path = nx_checkpoint_path(llm->cp);
    int64_t       n = llm->model->hp.n_ctx;

    if (!llm->model->hp.ranks)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%.300s: no reranker. Scores of pairs need a model that was made for them",
                       path);
    r->pair = llm->vocab ? nx_vocab_pairs(llm->vocab) : NULL;
    if (!r->pair)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%.300s: its vocabulary doesn't say how two texts become one", path);
    nx_status st = nx_meta_int(llm->cp, LENGTH_KEY, &n, 3, INT32_MAX, false, err);
    if (st) return st;
    r->length_max = n < llm->model->hp.n_ctx ? (int32_t)n : llm->model->hp.n_ctx;
    st = read_head(r, err);
    return st ? st : make_walk(r, NX_EMBED_BATCH_DEFAULT, err);
}

nx_status nx_reranker_open(nx_reranker **out, nx_llm *llm, nx_error *err)
{
    nx_reranker *r = nx_calloc(1, sizeof *r);

    *out = NULL;
    if (!r) {
        nx_llm_close(llm);
        return nx_fail(err, NX_ENOMEM, "reranker");
    }
    r->llm = llm;
    nx_turns_init(&r->turns);
    nx_status st = open_parts(r, err);
    if (st) {
        nx_reranker_close(r);
        return st;
    }
    *out = r;
    return NX_OK;
}

void nx_reranker_close(nx_reranker *r)
{
    if (!r) return;
    nx_walk_destroy(r->walk);
    nx_turns_free(&r->turns);
    nx_free(r->w);
    nx_free(r->out);
    nx_free(r->row);
    nx_free(r->h);
    nx_llm_close(r->llm);
    nx_free(r);
}

int32_t nx_reranker_length_max(const nx_reranker *r)
{
    return r->length_max;
}

const nx_llm *nx_reranker_llm(const nx_reranker *r)
{
    return r->llm;
}

/* ---- Pairs ---- */

typedef struct pair_at {
    size_t  at; /* in ids */
    int32_t n, second;
} pair_at;

typedef struct request {
    nx_reranker             *r;
    const nx_rerank_options *opt;
    nx_rerank_report        *report;
    float                   *logits;
    nx_ids                   ids;
    pair_at                 *pairs; /* [n] */
    int32_t                  n, first;
    nx_error                *err;
} request;

static nx_status add_all(nx_ids *out, const int32_t *ids, size_t n, nx_error *err)
{
    nx_status st = nx_ids_reserve(out, n, err);

    for (size_t i = 0; !st && i < n; i++) st = nx_ids_add(out, ids[i], err);
    return st;
}

/* How much of a and b is kept, together at most `most`: the longer is cut first, and when both are
 * longer than half of it each gets its half (tokenizers' LongestFirst). */
static void share_room(size_t *a, size_t *b, size_t most)
{
    bool   swapped = *a > *b;
    size_t less = swapped ? *b : *a, more;

    more = less > most ? less : less > most - less ? less : most - less;
    if (less + more > most) {
        less = most / 2;
        more = less + most % 2;
    }
    if (swapped ? *a > more : *a > less) *a = swapped ? more : less;
    if (swapped ? *b > less : *b > more) *b = swapped ? less : more;
}

static nx_status fit(request *q, size_t *a, size_t *b)
{
    const nx_vocab_pair *p = q->r->pair;
    size_t around = p->before.n + p->between.n + p->after.n, most = (size_t)q->r->length_max;
    size_t all = around + *a + *b;

    if (all <= most) return NX_OK;
    if (!q->opt->cut || around >= most)
        return nx_fail(q->err, NX_ELIMIT,
                       "query and document are %zu tokens together, and the model takes %zu. Let "
                       "them be cut, or make them shorter",
                       all, most);
    share_room(a, b, most - around);
    q->report->n_long++;
    q->report->n_cut += (int64_t)(all - around - *a - *b);
    return NX_OK;
}

static nx_status add_pair(request *q, const nx_ids *query, const nx_ids *passage, pair_at *out)
{
    const nx_vocab_pair *p = q->r->pair;
    bool                 two = p->segments && q->r->llm->model->hp.n_types > 1;
    size_t               a = query->n, b = passage->n;
    nx_status            st = fit(q, &a, &b);

    out->at = q->ids.n;
    if (!st) st = add_all(&q->ids, p->before.ids, p->before.n, q->err);
    if (!st) st = add_all(&q->ids, query->ids, a, q->err);
    if (!st) st = add_all(&q->ids, p->between.ids, p->between.n, q->err);
    if (st) return st;
    out->second = two ? (int32_t)(q->ids.n - out->at) : 0;
    st = add_all(&q->ids, passage->ids, b, q->err);
    if (!st) st = add_all(&q->ids, p->after.ids, p->after.n, q->err);
    out->n = (int32_t)(q->ids.n - out->at);
    if (!st && out->n == 0) st = nx_fail(q->err, NX_EINVAL, "a pair without any token");
    return st;
}

static nx_status encode(const nx_reranker *r, nx_ids *out, nx_str text, nx_error *err)
{
    out->n = 0;
    return nx_vocab_encode(r->llm->vocab, out, text.p ? text.p : "", text.len,
                           NX_ENCODE_PARSE_SPECIAL, err);
}

static nx_status make_pairs(request *q, nx_str query, const nx_str *passages)
{
    nx_ids    a = {0}, b = {0};
    nx_status st = encode(q->r, &a, query, q->err);

    for (int32_t i = 0; !st && i < q->n; i++) {
        st = encode(q->r, &b, passages[i], q->err);
        if (!st) st = add_pair(q, &a, &b, &q->pairs[i]);
        if (st) q->report->failed = i;
        if (!st) q->report->n_tokens += q->pairs[i].n;
    }
    nx_ids_free(&a);
    nx_ids_free(&b);
    return st;
}

/* ---- The head ---- */

static void norm_row(double *h, const float *weight, const float *bias, int32_t D, double eps)
{
    double mean = 0, var = 0;

    for (int32_t i = 0; i < D; i++) mean += h[i];
    mean /= D;
    for (int32_t i = 0; i < D; i++) var += (h[i] - mean) * (h[i] - mean);
    double s = 1 / sqrt(var / D + eps);
    for (int32_t i = 0; i < D; i++)
        h[i] = (h[i] - mean) * s * (double)weight[i] + (bias ? (double)bias[i] : 0);
}

static double bend(double x, nx_rank_head kind)
{
    return kind == NX_RANK_HEAD_TANH ? tanh(x) : x * 0.5 * (1 + erf(x * sqrt(0.5)));
}

static float score(nx_reranker *r)
{
    const nx_model *m = r->llm->model;
    int32_t         D = m->hp.n_embd;
    double          y = m->rank_out_b ? (double)m->rank_out_b[0] : 0;

    for (int32_t o = 0; o < D; o++) {
        const float *w = r->w + (int64_t)o * D;
        double       sum = m->rank_b ? (double)m->rank_b[o] : 0;
        for (int32_t i = 0; i < D; i++) sum += (double)w[i] * r->row[i];
        r->h[o] = bend(sum, m->arch->rank_head);
    }
    if (m->rank_norm) norm_row(r->h, m->rank_norm, m->rank_norm_b, D, (double)m->hp.norm_eps);
    for (int32_t i = 0; i < D; i++) y += (double)r->out[i] * r->h[i];
    return (float)y;
}

static void on_hidden(void *ctx, int32_t seq, const float *rows, int32_t T)
{
    request     *q = ctx;
    nx_reranker *r = q->r;
    int32_t      D = r->llm->model->hp.n_embd, n = r->mean ? T : 1;

    for (int32_t i = 0; i < D; i++) r->row[i] = 0;
    for (int32_t t = 0; t < n; t++)
        for (int32_t i = 0; i < D; i++) r->row[i] += (double)rows[(int64_t)t * D + i] / n;
    q->logits[q->first + seq] = score(r);
}

/* ---- Steps ---- */

/* A step takes the longest pair whole. Rows by powers of two, so that this happens seldom. */
static nx_status make_room(request *q)
{
    nx_reranker *r = q->r;
    int32_t      longest = 0, n = r->n_batch;

    for (int32_t i = 0; i < q->n; i++)
        if (q->pairs[i].n > longest) longest = q->pairs[i].n;
    if (longest <= n) return NX_OK;
    while (n < longest) n = n > INT32_MAX / 2 ? longest : n * 2;
    if (n > r->length_max) n = r->length_max;
    return make_walk(r, n, q->err);
}

static nx_status step(request *q)
{
    nx_reranker *r = q->r;
    int32_t      n = 0, rows = 0;

    nx_turns_wait(&r->turns);
    nx_status st = make_room(q);
    for (; !st && n < SEQS_MAX && q->first + n < q->n; n++) {
        const pair_at *p = &q->pairs[q->first + n];
        if (p->n > r->n_batch - rows) break;
        rows += p->n;
        r->seqs[n] =
            (nx_walk_seq){.ids = q->ids.ids + p->at, .T = p->n, .n_seq = p->n, .second = p->second};
    }
    if (!st) nx_walk_encode(r->walk, r->seqs, n, on_hidden, q);
    q->first += n;
    nx_turns_end(&r->turns);
    return st;
}

/* ---- Order ---- */

static int best_first(const void *pa, const void *pb)
{
    const nx_rerank_hit *a = pa, *b = pb;

    if (isnan(a->logit) != isnan(b->logit)) return isnan(a->logit) ? 1 : -1;
    if (a->logit > b->logit || a->logit < b->logit) return a->logit > b->logit ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

void nx_rerank_sort(nx_rerank_hit *hits, const float *logits, int32_t n)
{
    for (int32_t i = 0; i < n; i++) hits[i] = (nx_rerank_hit){i, logits[i]};
    if (n > 1) qsort(hits, (size_t)n, sizeof *hits, best_first);
}

double nx_rerank_score(float logit)
{
    return 1 / (1 + exp(-(double)logit));
}

/* ---- One request ---- */

nx_status nx_reranker_run(nx_reranker *r, float *logits, nx_str query, const nx_str *passages,
                          int32_t n, const nx_rerank_options *opt, nx_rerank_report *report,
                          nx_error *err)
{
    request q = {.r = r, .opt = opt, .report = report, .logits = logits, .n = n, .err = err};

    *report = (nx_rerank_report){.failed = -1};
    if (n == 0) return NX_OK;
    q.pairs = nx_calloc((size_t)n, sizeof *q.pairs);
    nx_status st =
        q.pairs ? make_pairs(&q, query, passages) : nx_fail(err, NX_ENOMEM, "%d pairs", n);
    while (!st && q.first < n) {
        if (opt->cancel && atomic_load(opt->cancel))
            st = nx_fail(err, NX_ECANCELLED, "cancelled while reranking");
        if (!st) st = step(&q);
    }
    nx_ids_free(&q.ids);
    nx_free(q.pairs);
    return st;
}
