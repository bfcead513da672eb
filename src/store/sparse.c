/* sparse.c - a sparse vector's lists are added up, some ten thousand rows at a time.
 *
 * Idea:   the target's entries in the order of their indexes, one list after the other, into an array of
 *         sums that stays in the cache; then whoever was touched may enter the best. Heads have no lists:
 *         each of their vectors is merged with the target.
 * Order:  every sum runs in the order of the indexes, in float, so that a score is the same in a head and
 *         in a segment.
 * Memory: one array of sums, the lists' places, a heap; whatever the number of points.
 */
#include "store/sparse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "os/fault.h"
#include "store/collection.h"
#include "store/match.h"
#include "store/postings_seg.h"
#include "store/topk.h"

enum { CHUNK_ROWS = 32768 }; /* whose sums are made together: 128 KiB */

typedef struct search {
    nx_snapshot *s;
    int32_t      slot;
    size_t       n;       /* entries of the target */
    uint32_t    *indices; /* [n], ascending */
    float       *weights; /* [n] */
    nx_list     *lists;   /* [n], of the segment at hand */
    uint64_t    *at;      /* [n]: how far each list is read */
    float       *sums;    /* [CHUNK_ROWS] */
    uint64_t    *touched; /* [CHUNK_ROWS / 64] */
    nx_match     match;
    nx_wanted    wanted; /* of the segment at hand */
    nx_topk      best;
} search;

/* ---- The target ---- */

typedef struct entry {
    uint32_t index, place;
} entry;

static int by_index(const void *pa, const void *pb)
{
    const entry *a = pa, *b = pb;

    return a->index < b->index ? -1 : a->index > b->index;
}

static nx_status check_target(const nx_snapshot *s, int32_t slot, const nx_vector *v, nx_error *err)
{
    const nx_config *c = &s->c->manifest.config;

    if (slot < 0 || slot >= c->n_slots || c->slots[slot].form != NX_FORM_SPARSE)
        return nx_fail(err, NX_EINVAL, "no sparse vector %d in this collection", slot);
    if (v->form != NX_FORM_SPARSE || v->n < 0 || v->n > NX_SPARSE_MAX)
        return nx_fail(err, NX_EINVAL, "expected a sparse vector of at most %d values",
                       NX_SPARSE_MAX);
    for (int32_t i = 0; i < v->n; i++)
        if (!isfinite(v->values[i])) return nx_fail(err, NX_EINVAL, "a query that isn't finite");
    return NX_OK;
}

/* In the order of the indexes, places in v beside them: nx_free. */
static nx_status sort_target(entry **out, const nx_vector *v, nx_error *err)
{
    size_t n = (size_t)v->n;
    entry *e = nx_alloc(n, sizeof *e);

    *out = NULL;
    if (!e) return nx_fail(err, NX_ENOMEM, "a sparse search");
    for (size_t i = 0; i < n; i++) e[i] = (entry){v->indices[i], (uint32_t)i};
    if (n > 1) qsort(e, n, sizeof *e, by_index);
    for (size_t i = 1; i < n; i++) {
        if (e[i].index != e[i - 1].index) continue;
        nx_fail(err, NX_EINVAL, "a sparse vector with index %u twice", e[i].index);
        nx_free(e);
        return NX_EINVAL;
    }
    *out = e;
    return NX_OK;
}

/* ---- How often ---- */

/* fn(ctx, v) for each vector of the slot that a reader of s sees in h. */
static void each_of_head(const nx_snapshot *s, nx_head *h, int32_t slot,
                         void (*fn)(void *ctx, const nx_block *b, const nx_vector *v), void *ctx)
{
    uint32_t n = h ? nx_head_n_rows(h) : 0;

    for (uint32_t i = 0; i < n; i++) {
        const nx_head_row *row = nx_head_row_at(h, i);
        nx_vector          v;
        if (row->birth > s->seq) break;
        if (nx_alive_at(atomic_load_explicit(&row->death, memory_order_acquire), s->seq) &&
            nx_block_vector(row->block, &s->c->manifest.config, slot, &v))
            fn(ctx, row->block, &v);
    }
}

typedef struct tally {
    const uint32_t *indices; /* [n], ascending */
    size_t          n;
    uint64_t       *df; /* [n] */
} tally;

static void count_vector(void *ctx, const nx_block *b, const nx_vector *v)
{
    tally *t = ctx;

    (void)b;
    for (size_t i = 0, k = 0; i < t->n && k < (size_t)v->n;) {
        if (t->indices[i] == v->indices[k])
            t->df[i++]++, k++;
        else if (t->indices[i] < v->indices[k])
            i++;
        else
            k++;
    }
}

typedef struct counting {
    nx_seg        *seg;
    const nx_list *lists;
    uint64_t      *df;
    size_t         n;
    uint64_t       seq;
} counting;

/* Entries of each list whose row lives. */
static void do_count(void *ctx)
{
    counting *c = ctx;
    bool      dead = atomic_load_explicit(&c->seg->n_dead, memory_order_acquire) > 0;

    for (size_t i = 0; i < c->n; i++) {
        const nx_list *l = &c->lists[i];
        c->df[i] = dead ? 0 : l->n;
        for (uint64_t k = 0; dead && k < l->n; k++)
            c->df[i] += l->rows[k] < c->seg->head.n_rows &&
                        nx_alive_at(nx_seg_death(c->seg, l->rows[k]), c->seq);
    }
}

static nx_status unreadable(const nx_seg *seg, nx_error *err)
{
    return nx_fail(err, NX_EIO, "%s: can't be read from the disk", seg->path);
}

static nx_status count_seg(const nx_snapshot *s, nx_seg *seg, int32_t slot, tally *t,
                           nx_list *lists, uint64_t *df, nx_error *err)
{
    counting  c = {seg, lists, df, t->n, s->seq};
    nx_status st = nx_seg_lists(seg, lists, slot, t->indices, t->n, err);

    if (!st && !nx_fault_run(do_count, &c)) st = unreadable(seg, err);
    for (size_t i = 0; !st && i < t->n; i++) t->df[i] += df[i];
    return st;
}

static nx_status count_all(nx_snapshot *s, int32_t slot, tally *t, nx_error *err)
{
    nx_list  *lists = nx_alloc(t->n, sizeof *lists);
    uint64_t *df = nx_alloc(t->n, sizeof *df);
    nx_status st = lists && df ? NX_OK : nx_fail(err, NX_ENOMEM, "a sparse search");

    if (!st) {
        each_of_head(s, s->head, slot, count_vector, t);
        each_of_head(s, s->frozen, slot, count_vector, t);
    }
    for (int i = 0; !st && i < s->n_segs; i++)
        st = count_seg(s, s->segs[i], slot, t, lists, df, err);
    nx_free(lists);
    nx_free(df);
    return st;
}

static nx_status weigh(nx_snapshot *s, int32_t slot, float *weights, const uint32_t *indices,
                       size_t n, nx_error *err)
{
    tally t = {.indices = indices, .n = n};

    if (!s->c->manifest.config.slots[slot].idf) return NX_OK;
    t.df = nx_calloc(n, sizeof *t.df);
    if (!t.df) return nx_fail(err, NX_ENOMEM, "a sparse search");
    nx_status st = count_all(s, slot, &t, err);
    for (size_t i = 0; !st && i < n; i++) {
        double df = (double)t.df[i];
        weights[i] *= (float)log(((double)nx_snapshot_count(s) - df + 0.5) / (df + 0.5) + 1);
    }
    nx_free(t.df);
    return st;
}

nx_status nx_sparse_weigh(nx_snapshot *s, float *weights, const nx_vector *target, nx_error *err)
{
    nx_error  inner = {0};
    entry    *e = NULL;
    size_t    n = target->n > 0 ? (size_t)target->n : 0;
    uint32_t *indices = NULL;
    float    *sorted = NULL;
    nx_status st = nx_collection_failed(s->c, true, &inner);

    if (!st) st = check_target(s, target->slot, target, &inner);
    if (!st) st = sort_target(&e, target, &inner);
    if (!st) {
        indices = nx_alloc(n, sizeof *indices);
        sorted = nx_alloc(n, sizeof *sorted);
        if (!indices || !sorted) st = nx_fail(&inner, NX_ENOMEM, "a sparse search");
    }
    for (size_t i = 0; !st && i < n; i++) {
        indices[i] = e[i].index;
        sorted[i] = target->values[e[i].place];
    }
    if (!st) st = weigh(s, target->slot, sorted, indices, n, &inner);
    for (size_t i = 0; !st && i < n; i++) weights[e[i].place] = sorted[i];
    nx_free(e);
    nx_free(indices);
    nx_free(sorted);
    if (!st) return NX_OK;
    if (err) *err = inner;
    return nx_read_failed(s->c, st, &inner);
}

/* ---- Heads ---- */

static void add_of_head(void *ctx, const nx_block *b, const nx_vector *v)
{
    search       *x = ctx;
    nx_topk_entry e = {.id = nx_block_id(b)};
    bool          shared = false;

    for (size_t i = 0, k = 0; i < x->n && k < (size_t)v->n;) {
        if (x->indices[i] == v->indices[k]) {
            e.key += x->weights[i++] * v->values[k++];
            shared = true;
        } else if (x->indices[i] < v->indices[k]) {
            i++;
        } else {
            k++;
        }
    }
    if (shared && nx_topk_wants(&x->best, e.key) && nx_match_block(&x->match, b))
        nx_topk_push(&x->best, e);
}

/* ---- Segments ---- */

typedef struct chunk {
    search  *x;
    uint64_t from, end; /* rows */
} chunk;

/* Lists that don't ascend, or leave the segment, end where that shows. */
static void do_sum(void *ctx)
{
    chunk  *c = ctx;
    search *x = c->x;

    for (size_t i = 0; i < x->n; i++) {
        const nx_list *l = &x->lists[i];
        float          w = x->weights[i];
        uint64_t       k = x->at[i];
        for (; k < l->n; k++) {
            uint64_t row = l->rows[k];
            if (row >= c->end || row < c->from) break;
            x->sums[row - c->from] += w * l->weights[k];
            x->touched[(row - c->from) / 64] |= (uint64_t)1 << (row - c->from) % 64;
        }
        x->at[i] = k;
    }
}

/* Those that were touched, among the best; sums and marks are zeros again. */
static nx_status take_chunk(chunk *c, nx_seg *seg, bool any_dead, nx_error *err)
{
    search   *x = c->x;
    nx_status st = NX_OK;

    for (size_t w = 0; w < CHUNK_ROWS / 64; w++) {
        uint64_t bits = x->touched[w];
        x->touched[w] = 0;
        for (; bits; bits &= bits - 1) {
            size_t        i = w * 64 + (size_t)__builtin_ctzll(bits);
            nx_topk_entry e = {.key = x->sums[i], .row = (uint32_t)(c->from + i)};
            bool          fits = true;
            x->sums[i] = 0;
            if (st || !nx_wanted_has(&x->wanted, e.row) || !nx_topk_wants(&x->best, e.key))
                continue;
            if (any_dead && !nx_alive_at(nx_seg_death(seg, e.row), x->s->seq)) continue;
            st = nx_seg_id(seg, &e.id, e.row, err);
            if (!st && !x->wanted.exact) st = nx_match_row(&x->match, &fits, seg, e.row, e.id, err);
            if (!st && fits) nx_topk_push(&x->best, e);
        }
    }
    return st;
}

/* The least row that some list has still before it; n_rows when there is none. */
static void do_next(void *ctx)
{
    chunk  *c = ctx;
    search *x = c->x;

    c->from = UINT64_MAX;
    for (size_t i = 0; i < x->n; i++)
        if (x->at[i] < x->lists[i].n && x->lists[i].rows[x->at[i]] < c->from)
            c->from = x->lists[i].rows[x->at[i]];
}

static nx_status sum_seg(search *x, nx_seg *seg, nx_error *err)
{
    uint64_t  n_rows = seg->head.n_rows, before = 0;
    bool      any_dead = atomic_load_explicit(&seg->n_dead, memory_order_acquire) > 0;
    chunk     c = {.x = x};
    nx_status st = nx_seg_lists(seg, x->lists, x->slot, x->indices, x->n, err);

    memset(x->at, 0, x->n * sizeof *x->at);
    while (!st) {
        if (!nx_fault_run(do_next, &c)) return unreadable(seg, err);
        if (c.from >= n_rows || c.from < before) break;
        c.end = n_rows - c.from < CHUNK_ROWS ? n_rows : c.from + CHUNK_ROWS;
        bool read = nx_fault_run(do_sum, &c);
        st = take_chunk(&c, seg, any_dead, err);
        if (!read) return unreadable(seg, err);
        before = c.end;
    }
    return st;
}

static nx_status search_seg(search *x, nx_seg *seg, nx_error *err)
{
    nx_status st = nx_match_wanted(&x->match, &x->wanted, seg, err);

    if (!st && x->wanted.n) st = sum_seg(x, seg, err);
    nx_wanted_free(&x->wanted);
    return st;
}

/* ---- One search ---- */

static nx_status prepare(search *x, const nx_vector *target, nx_error *err)
{
    entry    *e;
    nx_status st = sort_target(&e, target, err);

    if (st) return st;
    x->n = (size_t)target->n;
    x->indices = nx_alloc(x->n, sizeof *x->indices);
    x->weights = nx_alloc(x->n, sizeof *x->weights);
    x->lists = nx_alloc(x->n, sizeof *x->lists);
    x->at = nx_alloc(x->n, sizeof *x->at);
    x->sums = nx_calloc(CHUNK_ROWS, sizeof *x->sums);
    x->touched = nx_calloc(CHUNK_ROWS / 64, sizeof *x->touched);
    if (!x->indices || !x->weights || !x->lists || !x->at || !x->sums || !x->touched)
        st = nx_fail(err, NX_ENOMEM, "a sparse search");
    for (size_t i = 0; !st && i < x->n; i++) {
        x->indices[i] = e[i].index;
        x->weights[i] = target->values[e[i].place];
    }
    nx_free(e);
    return st ? st : weigh(x->s, x->slot, x->weights, x->indices, x->n, err);
}

static size_t n_rows_of(const nx_snapshot *s)
{
    uint64_t n = nx_head_n_rows(s->head) + (s->frozen ? nx_head_n_rows(s->frozen) : 0);

    for (int i = 0; i < s->n_segs; i++) n += s->segs[i]->head.n_rows;
    return (size_t)n;
}

static nx_status run(search *x, size_t k, const nx_vector *target, nx_error *err)
{
    nx_snapshot *s = x->s;
    size_t       n_rows = n_rows_of(s);

    if (k == 0 || n_rows == 0) return NX_OK;
    nx_status st = prepare(x, target, err);
    if (!st) st = nx_match_begin(&x->match, err);
    if (!st) st = nx_topk_init(&x->best, k < n_rows ? k : n_rows, err);
    for (int i = 0; !st && i < s->n_segs; i++) st = search_seg(x, s->segs[i], err);
    if (st) return st;
    each_of_head(s, s->head, x->slot, add_of_head, x);
    each_of_head(s, s->frozen, x->slot, add_of_head, x);
    nx_topk_sort(&x->best);
    return nx_match_end(&x->match, err);
}

static void free_search(search *x)
{
    nx_free(x->indices);
    nx_free(x->weights);
    nx_free(x->lists);
    nx_free(x->at);
    nx_free(x->sums);
    nx_free(x->touched);
    nx_match_free(&x->match);
    nx_settings_release(x->match.settings);
    nx_topk_free(&x->best);
}

nx_status nx_sparse_search(nx_snapshot *s, nx_plan_hit *hits, size_t *n, size_t k, int32_t slot,
                           const nx_vector *target, const nx_filter *filter, bool has_threshold,
                           float threshold, nx_error *err)
{
    const nx_config *config = &s->c->manifest.config;
    nx_error         inner = {0};
    search    x = {.s = s, .slot = slot, .match = (nx_match){.filter = filter, .config = config}};
    nx_status st = nx_collection_failed(s->c, true, &inner);

    *n = 0;
    if (!st) st = check_target(s, slot, target, &inner);
    if (!st && filter) st = nx_filter_check(filter, config, &inner);
    if (!st && filter) x.match.settings = nx_collection_settings(s->c);
    if (!st) st = run(&x, k, target, &inner);
    for (size_t i = 0; !st && i < x.best.n; i++) {
        if (has_threshold && !(x.best.v[i].key >= threshold)) break;
        hits[(*n)++] = (nx_plan_hit){.id = x.best.v[i].id, .score = x.best.v[i].key};
    }
    free_search(&x);
    if (!st) return NX_OK;
    if (err) *err = inner;
    return nx_read_failed(s->c, st, &inner);
}
