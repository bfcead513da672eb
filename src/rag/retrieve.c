/* retrieve.c - from a question to its passages: gather, blend, drop what is below, fold, rerank, join. */
#include "rag/retrieve.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "rag/retrieve_in.h"

enum { RERANK_MIN = 20, RERANK_EACH = 4 }; /* passages that a reranker reads */

static const char *const mode_names[] = {"hybrid", "dense", "words"};

const char *nx_search_mode_name(nx_search_mode mode)
{
    return mode_names[(unsigned)mode < 3 ? mode : 0];
}

bool nx_search_mode_read(nx_search_mode *out, nx_str name)
{
    for (int i = 0; i < 3; i++) {
        if (!nx_str_eq(name, nx_str_of(mode_names[i]))) continue;
        *out = (nx_search_mode)i;
        return true;
    }
    return false;
}

void nx_passages_free(nx_passages *p)
{
    nx_arena_free(&p->arena);
    *p = (nx_passages){0};
}

/* ---- The question ---- */

static nx_status check(const nx_question *q, nx_error *err)
{
    if (q->top_k < 1 || q->top_k > NX_TOP_K_MAX)
        return nx_fail(err, NX_EINVAL, "top_k is %d, expected 1 to %d", q->top_k, NX_TOP_K_MAX);
    if ((unsigned)q->mode > NX_SEARCH_WORDS)
        return nx_fail(err, NX_EINVAL, "no search mode %d", (int)q->mode);
    if (q->has_min_score && !isfinite(q->min_score))
        return nx_fail(err, NX_EINVAL, "a min_score that is no number");
    if (q->vector) return NX_OK;
    if (q->mode == NX_SEARCH_DENSE)
        return nx_fail(err, NX_EINVAL, "a dense search needs the question's vector");
    if (q->has_min_score)
        return nx_fail(err, NX_EINVAL,
                       "min_score is a cosine, which takes the question's vector: leave it out, or "
                       "search with an embedding model");
    return NX_OK;
}

static nx_status find_slots(nx_retrieval *r)
{
    const nx_config *c = nx_collection_config(nx_shelf_collection(r->shelf));

    r->dense = nx_shelf_dense(r->shelf);
    r->words = nx_shelf_words(r->shelf);
    r->dim = c->slots[r->dense].dim;
    if (!r->q->vector) return NX_OK;
    float *unit = nx_arena_alloc(&r->arena, (size_t)r->dim, sizeof *unit);
    double sum = 0;
    if (!unit) return nx_fail(r->err, NX_ENOMEM, "a question");
    for (int32_t i = 0; i < r->dim; i++) sum += (double)r->q->vector[i] * (double)r->q->vector[i];
    if (!isfinite(sum) || sum <= 0)
        return nx_fail(r->err, NX_EINVAL, "the question's vector is no direction");
    for (int32_t i = 0; i < r->dim; i++) unit[i] = (float)((double)r->q->vector[i] / sqrt(sum));
    r->unit = unit;
    return NX_OK;
}

/* ---- What isn't shown ---- */

static void apply_min_score(nx_retrieval *r)
{
    nx_passages *out = r->out;

    for (size_t i = 0; i < r->n; i++) {
        nx_prospect *c = &r->list[i];
        if (c->has_dense && (!out->has_best || c->dense > out->best)) {
            out->has_best = true;
            out->best = c->dense;
        }
        if (!r->q->has_min_score || (c->has_dense && c->dense >= r->q->min_score)) continue;
        c->gone = true;
        out->n_below++;
        out->n_unknown += !c->has_dense;
    }
}

static void drop_gone(nx_retrieval *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        if (!r->list[i].gone) r->list[n++] = r->list[i];
    r->n = n;
}

/* ---- The reranker's order ---- */

static size_t n_reranked(const nx_question *q)
{
    size_t n = (size_t)q->top_k * RERANK_EACH;

    if (n < RERANK_MIN) return RERANK_MIN;
    return n < NX_TOP_K_MAX ? n : NX_TOP_K_MAX;
}

/* What the model reads of each: the chunk with what it stands under. */
static nx_status rerank_texts(nx_retrieval *r, nx_buf *b, nx_str *texts, size_t *ends)
{
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < r->n; i++) {
        const nx_chunk_view *v = &r->list[i].view;
        st = nx_chunk_text(b, v->title, v->headings, v->context, v->text, r->err);
        ends[i] = b->len;
    }
    for (size_t i = 0; !st && i < r->n; i++) {
        size_t from = i ? ends[i - 1] : 0;
        texts[i] = (nx_str){b->data + from, ends[i] - from};
    }
    return st;
}

static nx_status rerank(nx_retrieval *r)
{
    nx_buf            b = {.max = (size_t)256 << 20};
    nx_rerank_options opt;
    nx_rerank_report  report;

    if (r->n == 0) return NX_OK;
    float    *logits = nx_arena_alloc(&r->arena, r->n, sizeof *logits);
    nx_str   *texts = nx_arena_alloc(&r->arena, r->n, sizeof *texts);
    size_t   *ends = nx_arena_alloc(&r->arena, r->n, sizeof *ends);
    nx_status st = logits && texts && ends ? rerank_texts(r, &b, texts, ends)
                                           : nx_fail(r->err, NX_ENOMEM, "a reranker's texts");
    nx_rerank_options_default(&opt);
    opt.cut = true; /* the order suffers less from a lost end than from a lost passage */
    opt.cancel = r->q->cancel;
    if (!st)
        st = nx_reranker_run(r->q->reranker, logits, r->q->text, texts, (int32_t)r->n, &opt,
                             &report, r->err);
    for (size_t i = 0; !st && i < r->n; i++) {
        r->list[i].has_rerank = true;
        r->list[i].rerank = logits[i];
        r->list[i].score = nx_rerank_score(logits[i]);
    }
    nx_buf_free(&b);
    return st;
}

/* ---- The whole ---- */

static nx_status choose(nx_retrieval *r)
{
    size_t    enough = r->q->reranker ? n_reranked(r->q) : (size_t)r->q->top_k * NX_JOIN_MAX;
    nx_status st = NX_OK;

    if (!r->q->keep_doubles) st = nx_retrieval_fold(r, enough);
    if (st) return st;
    drop_gone(r);
    if (r->q->reranker) {
        if (r->n > enough) r->n = enough;
        st = rerank(r);
        if (st) return st;
        nx_retrieval_rank(r->list, r->n);
    }
    return nx_retrieval_join(r);
}

nx_status nx_retrieve(nx_passages *out, nx_shelf *s, nx_snapshot *snap, const nx_question *q,
                      nx_pool *pool, nx_error *err)
{
    nx_retrieval r = {.out = out,
                      .shelf = s,
                      .snap = snap,
                      .q = q,
                      .pool = pool,
                      .err = err,
                      .arena.chunk_bytes = (size_t)256 << 10};
    int64_t      began = nx_clock_ns();

    *out = (nx_passages){.seq = nx_snapshot_seq(snap), .arena.chunk_bytes = (size_t)8 << 10};
    nx_status st = check(q, err);
    if (!st) st = find_slots(&r);
    if (!st) st = nx_retrieval_gather(&r);
    int64_t gathered = nx_clock_ns();
    if (!st) {
        nx_retrieval_blend(&r);
        apply_min_score(&r);
        drop_gone(&r);
        st = choose(&r);
    }
    if (!st && nx_retrieval_cancelled(&r))
        st = nx_fail(err, NX_ECANCELLED, "the search was stopped");
    nx_arena_free(&r.arena);
    if (st) {
        nx_passages_free(out);
        return st;
    }
    out->plan_s = (double)(gathered - began) / 1e9;
    out->rest_s = (double)(nx_clock_ns() - gathered) / 1e9;
    return NX_OK;
}
