/* gather.c - candidates: what the two searches find, each read once.
 *
 * Idea:   either search knows half of what there is to know of a point. So each candidate is read, and what its
 *         search didn't say is computed from its own vectors: the cosine of what only words found, the BM25 of
 *         what only the vector found. From then on nothing depends on who found it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rag/retrieve_in.h"
#include "store/sparse.h"
#include "store/words.h"

/* What a word's value in a document never reaches: k + 1 (store/bm25.c). */
#define BM25_VALUE_MAX 2.2

/* ---- The question's words ---- */

static bool in_word(unsigned char c)
{
    return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

typedef struct asking {
    nx_asked *asked;
    nx_str    as_written;
} asking;

static bool take_word(void *ctx, nx_str stem)
{
    asking   *a = ctx;
    nx_asked *to = a->asked;
    uint32_t  id = nx_bm25_id(stem);

    for (size_t i = 0; i < to->n; i++)
        if (to->ids[i] == id) return true;
    if (to->n == NX_ASKED_WORDS_MAX) return false;
    to->words[to->n] = a->as_written;
    to->ids[to->n++] = id;
    return true;
}

static nx_status read_words(nx_asked *out, nx_str text, nx_str language, nx_error *err)
{
    nx_words *w = NULL;
    nx_status st = nx_words_create_bm25(&w, language, err);

    for (size_t at = 0, end; !st && at < text.len && out->n < NX_ASKED_WORDS_MAX; at = end) {
        for (end = at; end < text.len && in_word((unsigned char)text.p[end]);) end++;
        asking a = {out, {text.p + at, end - at}};
        if (end > at)
            st = nx_words_each(w, a.as_written, true, take_word, &a, err);
        else
            end++;
    }
    nx_words_destroy(w);
    return st;
}

/* ---- The searches ---- */

typedef struct searches {
    nx_buf     ids, values; /* of the words' vector: u32, f32 */
    float     *weights;     /* [n] of it, with idf */
    nx_vector  target;      /* the words' */
    nx_results dense, words;
} searches;

static void searches_free(searches *s)
{
    nx_buf_free(&s->ids);
    nx_buf_free(&s->values);
    nx_free(s->weights);
    nx_results_free(&s->dense);
    nx_results_free(&s->words);
}

static nx_status search_one(nx_retrieval *r, nx_results *out, const nx_vector *target)
{
    uint64_t n = (uint64_t)r->q->top_k * NX_LOOKED_AT_EACH;
    nx_plan  plan = {.kind = NX_PLAN_NEAREST,
                     .target = *target,
                     .filter = r->q->filter,
                     .limit = n > NX_LOOKED_AT_MIN ? n : NX_LOOKED_AT_MIN};

    if (nx_retrieval_cancelled(r)) return nx_fail(r->err, NX_ECANCELLED, "the search was stopped");
    return nx_plan_run(r->snap, &plan, out, r->pool, r->err);
}

static nx_status search_dense(nx_retrieval *r, searches *s)
{
    const nx_vector target = {
        .slot = r->dense, .form = NX_FORM_DENSE, .n = r->dim, .values = r->unit};

    if (!r->unit || r->q->mode == NX_SEARCH_WORDS) return NX_OK;
    return search_one(r, &s->dense, &target);
}

static nx_status search_words(nx_retrieval *r, searches *s)
{
    const nx_bm25_options opt = {.language = nx_shelf_get_settings(r->shelf)->language};

    nx_status st = nx_bm25_vector(&s->ids, &s->values, r->q->text, true, &opt, r->err);
    if (st || s->ids.len == 0) return st;
    s->target = (nx_vector){.slot = r->words,
                            .form = NX_FORM_SPARSE,
                            .n = (int32_t)(s->ids.len / sizeof(uint32_t)),
                            .values = (const float *)(const void *)s->values.data,
                            .indices = (const uint32_t *)(const void *)s->ids.data};
    s->weights = nx_alloc((size_t)s->target.n, sizeof *s->weights);
    if (!s->weights) return nx_fail(r->err, NX_ENOMEM, "a question's words");
    st = nx_sparse_weigh(r->snap, s->weights, &s->target, r->err);
    for (int32_t i = 0; !st && i < s->target.n; i++)
        r->words_bound += (double)s->weights[i] * BM25_VALUE_MAX;
    if (st || r->q->mode == NX_SEARCH_DENSE) return st;
    return search_one(r, &s->words, &s->target);
}

/* ---- Both lists, each point once ---- */

static int by_id(const void *pa, const void *pb)
{
    const nx_prospect *a = pa, *b = pb;

    return nx_id_compare(a->id, b->id);
}

static nx_status unite(nx_retrieval *r, const searches *s)
{
    size_t n = s->dense.n + s->words.n;

    r->list = nx_arena_alloc(&r->arena, n + 1, sizeof *r->list);
    if (!r->list) return nx_fail(r->err, NX_ENOMEM, "%zu candidates", n);
    for (size_t i = 0; i < s->dense.n; i++)
        r->list[i] = (nx_prospect){.id = s->dense.hits[i].id, .rank_dense = (int32_t)i + 1};
    for (size_t i = 0; i < s->words.n; i++)
        r->list[s->dense.n + i] =
            (nx_prospect){.id = s->words.hits[i].id, .rank_words = (int32_t)i + 1};
    if (n > 1) qsort(r->list, n, sizeof *r->list, by_id);
    for (size_t i = 0; i < n; i++) {
        nx_prospect *last = r->n ? &r->list[r->n - 1] : NULL;
        if (last && nx_id_compare(last->id, r->list[i].id) == 0) {
            last->rank_dense += r->list[i].rank_dense; /* one of them is 0 */
            last->rank_words += r->list[i].rank_words;
        } else {
            r->list[r->n++] = r->list[i];
        }
    }
    return NX_OK;
}

/* ---- Each candidate read ---- */

static int by_u32(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

    return a < b ? -1 : a > b;
}

static float dot(const float *a, const float *b, int32_t n)
{
    double sum = 0;

    for (int32_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

static void read_sparse(const nx_retrieval *r, const searches *s, nx_prospect *c,
                        const nx_vector *v)
{
    for (int32_t i = 0, k = 0; i < s->target.n && k < v->n;) {
        uint32_t a = s->target.indices[i], b = v->indices[k];
        if (a == b) c->words += s->weights[i] * v->values[k];
        i += a <= b;
        k += b <= a;
    }
    for (size_t i = 0; i < r->asked.n; i++)
        if (v->n > 0 &&
            bsearch(&r->asked.ids[i], v->indices, (size_t)v->n, sizeof *v->indices, by_u32))
            c->matched |= (uint64_t)1 << i;
}

static void read_vectors(const nx_retrieval *r, const searches *s, nx_prospect *c,
                         const nx_point *p)
{
    for (int32_t i = 0; i < p->n_vectors; i++) {
        const nx_vector *v = &p->vectors[i];
        if (v->slot == r->dense && r->unit) {
            c->dense = dot(r->unit, v->values, r->dim);
            c->has_dense = true;
        } else if (v->slot == r->words) {
            read_sparse(r, s, c, v);
        }
    }
}

static nx_status read_one(nx_retrieval *r, const searches *s, nx_prospect *c, nx_point_copy *copy)
{
    nx_status st = nx_snapshot_get(r->snap, copy, c->id, r->err);

    if (st) return st;
    nx_value payload = copy->point.payload;
    uint8_t *kept = nx_arena_alloc(&r->arena, payload.n + (size_t)1, 1);
    if (!kept) return nx_fail(r->err, NX_ENOMEM, "a passage");
    if (payload.n) memcpy(kept, payload.p, payload.n);
    read_vectors(r, s, c, &copy->point);
    /* What somebody else put into the collection, without a chunk's fields, is no passage. */
    c->gone = nx_chunk_view_read(&c->view, c->id, (nx_value){kept, payload.n}, NULL) != NX_OK;
    return NX_OK;
}

static nx_status read_all(nx_retrieval *r, const searches *s)
{
    nx_point_copy copy = {0};
    nx_status     st = NX_OK;
    size_t        n = 0;

    for (size_t i = 0; !st && i < r->n; i++) {
        st = read_one(r, s, &r->list[i], &copy);
        if (!r->list[i].gone) r->list[n++] = r->list[i];
    }
    r->n = n;
    nx_point_copy_free(&copy);
    return st;
}

nx_status nx_retrieval_gather(nx_retrieval *r)
{
    searches  s = {.ids.max = (size_t)1 << 24, .values.max = (size_t)1 << 24};
    nx_status st =
        read_words(&r->asked, r->q->text, nx_shelf_get_settings(r->shelf)->language, r->err);

    if (!st) st = search_dense(r, &s);
    if (!st) st = search_words(r, &s);
    if (!st) st = unite(r, &s);
    if (!st) st = read_all(r, &s);
    r->out->n_dense = s.dense.n;
    r->out->n_words = s.words.n;
    r->out->n_fused = r->n;
    searches_free(&s);
    return st;
}
