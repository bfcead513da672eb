/* search.c - the exact scan: every living row that has the vector is scored, and those whose score
 * would enter are asked whether the filter holds.
 *
 * Idea:    segments are cut into pieces of some thousand rows, which the pool's workers take one
 *          after the other; each keeps the best it saw. Sixty-four rows of which none would enter
 *          cost one look at their greatest score. Where a segment has 8-bit codes they are scanned first,
 *          which reads a quarter of the memory, and the best few times k are scored again with
 *          their vectors.
 * Order:   what is kept is a function of scores and ids alone, so neither the number of threads
 *          nor how points are spread over segments changes a result (with codes: as long as the
 *          rescored ones hold the best).
 * Memory:  scores of one piece and a heap for each worker; limits are clamped to the number of
 *          rows.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "os/fault.h"
#include "store/codes.h"
#include "store/collection.h"
#include "store/match.h"
#include "store/topk.h"

enum {
    PIECE_ROWS = 2048,
    FEW = 8,                   /* one row of so many is worth scoring by itself */
    HEAD_SOURCE = NX_SEGS_MAX, /* of entries that are scored for good already */
};

/* ---- One search, and what each worker has ---- */

typedef struct piece {
    int      seg;
    uint64_t from, n;
} piece;

typedef struct worker {
    struct scan *scan;
    nx_topk      exact, rough; /* rough: by codes, to be scored again */
    float       *scores;       /* [PIECE_ROWS] */
    int32_t     *sums;         /* [PIECE_ROWS] */
    nx_match     match;
    nx_status    st;
    nx_error     err;
} worker;

typedef struct scan {
    nx_snapshot           *s;
    const nx_search       *search;
    const nx_slot         *slot;
    const nx_distance_ops *ops;
    float                 *query; /* [dim], in its form */
    int8_t                *codes; /* the query's; [width] */
    float                  scale[2];
    piece                 *pieces;
    size_t                 n_pieces;
    atomic_size_t          next_piece;         /* that no worker has taken */
    bool                   rough[NX_SEGS_MAX]; /* scanned by codes */
    nx_match               match;
    nx_wanted              wanted[NX_SEGS_MAX]; /* what the filter leaves of each segment */
    size_t                 k, k_rough;
    worker                *workers;
    int                    n_workers;
} scan;

static bool less_is_better(const scan *x)
{
    return x->slot->distance == NX_EUCLID || x->slot->distance == NX_MANHATTAN;
}

/* n distances as keys: more is better. */
static void turn_keys(const scan *x, float *keys, int64_t n)
{
    if (x->slot->distance == NX_EUCLID)
        for (int64_t i = 0; i < n; i++) keys[i] = -sqrtf(keys[i]);
    if (x->slot->distance == NX_MANHATTAN)
        for (int64_t i = 0; i < n; i++) keys[i] = -keys[i];
}

/* n scores of rows that lie behind each other, as keys. */
static void score_rows(const scan *x, float *keys, const float *rows, int64_t n)
{
    const nx_distance_ops *ops = x->ops;
    const nx_distance_fn   of[] = {[NX_COSINE] = ops->dot,
                                   [NX_DOT] = ops->dot,
                                   [NX_EUCLID] = ops->euclid,
                                   [NX_MANHATTAN] = ops->manhattan};

    of[x->slot->distance](keys, x->query, rows, n, x->slot->dim, x->slot->dim);
    turn_keys(x, keys, n);
}

/* The same bits of rows that are kept in halves. */
static void score_halves(const scan *x, float *keys, const uint16_t *rows, int64_t n)
{
    const nx_distance_ops   *ops = x->ops;
    const nx_distance_f16_fn of[] = {[NX_COSINE] = ops->dot_f16,
                                     [NX_DOT] = ops->dot_f16,
                                     [NX_EUCLID] = ops->euclid_f16,
                                     [NX_MANHATTAN] = ops->manhattan_f16};

    of[x->slot->distance](keys, x->query, rows, n, x->slot->dim, x->slot->dim);
    turn_keys(x, keys, n);
}

/* ---- A piece of a segment; reading may be SIGBUS ---- */

typedef struct reading {
    const scan     *x;
    float          *keys;
    int32_t        *sums;
    const void     *rows;
    const nx_codes *codes;
    uint64_t        from, n;
} reading;

static void read_exact(void *ctx)
{
    reading *r = ctx;

    if (nx_slot_halves(r->x->slot))
        score_halves(r->x, r->keys, r->rows, (int64_t)r->n);
    else
        score_rows(r->x, r->keys, r->rows, (int64_t)r->n);
}

/* q . x is about sq * sx * sum; |q - x| squared is |q|^2 + |x|^2 - 2 q . x. */
static void read_rough(void *ctx)
{
    reading        *r = ctx;
    const nx_codes *c = r->codes;
    const float    *own = r->x->scale;

    r->x->ops->dot_i8(r->sums, r->x->codes, c->codes + r->from * c->width, (int64_t)r->n, c->width);
    const float *scale = c->scales + 2 * r->from;
    bool         squares = r->x->slot->distance == NX_EUCLID;
    for (uint64_t i = 0; i < r->n; i++) {
        float dot = own[0] * scale[2 * i] * (float)r->sums[i];
        r->keys[i] = squares ? 2 * dot - scale[2 * i + 1] : dot;
    }
}

static nx_status fill_keys(worker *w, const piece *p, nx_seg *seg)
{
    const scan *x = w->scan;
    int32_t     slot = x->search->slot;
    nx_codes    codes;
    reading     r = {x, w->scores, w->sums, NULL, &codes, p->from, p->n};
    size_t      row_bytes = nx_slot_row_bytes(x->slot);
    nx_status   st;

    if (x->rough[p->seg])
        st = nx_seg_codes_of(seg, &codes, slot, p->from, p->n, &w->err);
    else
        st = nx_seg_need(seg, seg->dense[slot]->at + p->from * row_bytes, p->n * row_bytes, &r.rows,
                         &w->err);
    if (st || nx_fault_run(x->rough[p->seg] ? read_rough : read_exact, &r)) return st;
    return nx_fail(&w->err, NX_EIO, "%s: can't be read from the disk", seg->path);
}

/* Could any of 64 keys enter? A NaN counts as the least there is, and so can't, unless that could. */
static bool any_enters(const nx_topk *best, const float *keys)
{
    float most[8];

    if (best->n < best->k || !(best->v[0].key > -INFINITY)) return true;
    for (int l = 0; l < 8; l++) most[l] = keys[l];
    for (int i = 8; i < 64; i += 8)
        for (int l = 0; l < 8; l++) most[l] = keys[i + l] > most[l] ? keys[i + l] : most[l];
    bool any = false;
    for (int l = 0; l < 8; l++) any |= !(most[l] < best->v[0].key);
    return any;
}

/* Does the filter hold? What indexes know isn't read again. */
static nx_status fits(worker *w, const nx_topk_entry *e, bool *out)
{
    const scan *x = w->scan;

    *out = x->wanted[e->source].exact;
    return *out ? NX_OK
                : nx_match_row(&w->match, out, x->s->segs[e->source], e->row, e->id, &w->err);
}

/* A row that has the vector, and whose key would enter. */
static nx_status try_row(worker *w, nx_topk *best, nx_seg *seg, nx_topk_entry e)
{
    bool good = false;

    if (atomic_load_explicit(&seg->n_dead, memory_order_acquire) > 0 &&
        !nx_alive_at(nx_seg_death(seg, e.row), w->scan->s->seq))
        return NX_OK;
    nx_status st = nx_seg_id(seg, &e.id, e.row, &w->err);
    if (!st) st = fits(w, &e, &good);
    if (!st && good) nx_topk_push(best, e);
    return st;
}

/* One row alone, by its vector. */
static nx_status scan_row(worker *w, nx_seg *seg, nx_topk_entry e)
{
    const scan *x = w->scan;
    int32_t     slot = x->search->slot;
    size_t      bytes = nx_slot_row_bytes(x->slot);
    reading     r = {x, &e.key, NULL, NULL, NULL, e.row, 1};
    bool        has = false;
    nx_status   st = nx_seg_has_dense(seg, &has, slot, e.row, &w->err);

    if (st || !has || !nx_alive_at(nx_seg_death(seg, e.row), x->s->seq)) return st;
    st = nx_seg_need(seg, seg->dense[slot]->at + e.row * bytes, bytes, &r.rows, &w->err);
    if (!st && !nx_fault_run(read_exact, &r))
        st = nx_fail(&w->err, NX_EIO, "%s: can't be read from the disk", seg->path);
    if (st || !nx_topk_wants(&w->exact, e.key)) return st;
    st = nx_seg_id(seg, &e.id, e.row, &w->err);
    if (!st) st = fits(w, &e, &has);
    if (!st && has) nx_topk_push(&w->exact, e);
    return st;
}

/* A filter that leaves few rows: only these are scored, and by no codes. */
static nx_status scan_few(worker *w, const piece *p)
{
    const nx_wanted *wanted = &w->scan->wanted[p->seg];
    nx_status        st = NX_OK;

    for (uint64_t row = p->from; !st && nx_wanted_next(wanted, &row) && row < p->from + p->n; row++)
        st = scan_row(w, w->scan->s->segs[p->seg],
                      (nx_topk_entry){.source = (uint32_t)p->seg, .row = (uint32_t)row});
    return st;
}

static nx_status scan_piece(worker *w, const piece *p)
{
    const scan      *x = w->scan;
    const nx_wanted *wanted = &x->wanted[p->seg];
    if (nx_wanted_count(wanted, p->from, p->from + p->n) < p->n / FEW) return scan_few(w, p);

    nx_seg   *seg = x->s->segs[p->seg];
    nx_topk  *best = x->rough[p->seg] ? &w->rough : &w->exact;
    uint64_t  present[PIECE_ROWS / 64], words = (p->n + 63) / 64;
    nx_status st = nx_seg_copy(seg, present, seg->present[x->search->slot]->at + p->from / 8,
                               words * 8, &w->err);

    if (!st) st = fill_keys(w, p, seg);
    for (uint64_t i = p->n; i < words * 64; i++) w->scores[i] = -INFINITY; /* no row's */
    for (uint64_t k = 0; !st && k < words; k++) {
        uint64_t left = present[k] & (wanted->bits ? wanted->bits[p->from / 64 + k] : UINT64_MAX);
        if (!left || !any_enters(best, w->scores + 64 * k)) continue;
        for (; !st && left; left &= left - 1) {
            uint64_t      i = 64 * k + (uint64_t)__builtin_ctzll(left);
            nx_topk_entry e = {
                .key = w->scores[i], .source = (uint32_t)p->seg, .row = (uint32_t)(p->from + i)};
            if (i < p->n && nx_topk_wants(best, e.key)) st = try_row(w, best, seg, e);
        }
    }
    return st;
}

/* Who is free takes the next piece: what is found doesn't depend on it. */
static void scan_pieces(void *ctx, int thread, int64_t begin, int64_t end)
{
    scan   *x = ctx;
    worker *w = &x->workers[thread];
    size_t  i;

    (void)begin;
    (void)end;
    while (!w->st &&
           (i = atomic_fetch_add_explicit(&x->next_piece, 1, memory_order_relaxed)) < x->n_pieces)
        w->st = scan_piece(w, &x->pieces[i]);
}

/* ---- The head ---- */

static void scan_head(scan *x, nx_head *h)
{
    uint32_t         n = h ? nx_head_n_rows(h) : 0;
    const nx_config *c = &x->s->c->manifest.config;
    nx_topk         *best = &x->workers[0].exact;

    for (uint32_t i = 0; i < n; i++) {
        const nx_head_row *row = nx_head_row_at(h, i);
        nx_vector          v;
        if (row->birth > x->s->seq) break;
        uint64_t death = atomic_load_explicit(&row->death, memory_order_acquire);
        if (!nx_alive_at(death, x->s->seq) || !nx_block_vector(row->block, c, x->search->slot, &v))
            continue;
        if (!nx_match_block(&x->workers[0].match, row->block)) continue;
        nx_topk_entry e = {.source = HEAD_SOURCE, .id = nx_block_id(row->block)};
        score_rows(x, &e.key, v.values, 1);
        nx_topk_push(best, e);
    }
}

/* ---- Before and after ---- */

static nx_status check_search(const nx_snapshot *s, const nx_search *q, nx_error *err)
{
    const nx_config *c = &s->c->manifest.config;

    if (q->slot < 0 || q->slot >= c->n_slots || c->slots[q->slot].form != NX_FORM_DENSE)
        return nx_fail(err, NX_EINVAL, "no dense vector %d in this collection", q->slot);
    if (q->k < 1) return nx_fail(err, NX_EINVAL, "a limit of %d, expected at least 1", q->k);
    if (q->filter && nx_filter_check(q->filter, c, err)) return NX_EINVAL;
    for (int32_t i = 0; i < c->slots[q->slot].dim; i++)
        if (!isfinite(q->query[i])) return nx_fail(err, NX_EINVAL, "a query that isn't finite");
    return NX_OK;
}

static void make_unit(float *x, int32_t n)
{
    double sum = 0;

    for (int32_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    for (int32_t i = 0; sum > 0 && i < n; i++) x[i] = (float)((double)x[i] / sqrt(sum));
}

static nx_status take_query(scan *x, nx_error *err)
{
    int32_t  D = x->slot->dim;
    uint32_t width = ((uint32_t)D + 31) / 32 * 32;

    x->query = nx_alloc_aligned((size_t)D, 4, 64);
    x->codes = nx_alloc_aligned(width, 1, 64);
    if (!x->query || !x->codes) return nx_fail(err, NX_ENOMEM, "a query");
    memcpy(x->query, x->search->query, 4 * (size_t)D);
    if (x->slot->distance == NX_COSINE) make_unit(x->query, D);
    nx_code_row(x->codes, x->scale, x->query, D, width);
    return NX_OK;
}

/* The pieces of all segments that have the vector, and how many rows there are at most. */
static nx_status cut_pieces(scan *x, uint64_t *n_rows, nx_error *err)
{
    nx_snapshot *s = x->s;
    int32_t      slot = x->search->slot;
    size_t       n = 0;

    *n_rows = nx_head_n_rows(s->head) + (s->frozen ? nx_head_n_rows(s->frozen) : 0);
    for (int i = 0; i < s->n_segs; i++) {
        if (!s->segs[i]->dense[slot]) continue;
        n += (size_t)((s->segs[i]->head.n_rows + PIECE_ROWS - 1) / PIECE_ROWS);
        *n_rows += s->segs[i]->head.n_rows;
        x->rough[i] = s->segs[i]->codes[slot] && !x->search->ignore_codes &&
                      x->slot->distance != NX_MANHATTAN;
    }
    x->pieces = nx_alloc(n, sizeof *x->pieces);
    if (!x->pieces) return nx_fail(err, NX_ENOMEM, "a scan");
    for (int i = 0; i < s->n_segs; i++) {
        uint64_t rows = s->segs[i]->dense[slot] ? s->segs[i]->head.n_rows : 0;
        if (rows) {
            nx_status st = nx_match_wanted(&x->match, &x->wanted[i], s->segs[i], err);
            if (st) return st;
            if (x->wanted[i].n == 0) rows = 0;
        }
        for (uint64_t at = 0; at < rows; at += PIECE_ROWS)
            x->pieces[x->n_pieces++] =
                (piece){i, at, rows - at < PIECE_ROWS ? rows - at : PIECE_ROWS};
    }
    return NX_OK;
}

static void choose_k(scan *x, uint64_t n_rows)
{
    double more = x->search->oversampling > 1 ? x->search->oversampling : 3;
    double rough = ceil((double)x->search->k * more) + 16;

    x->k = (uint64_t)x->search->k < n_rows ? (size_t)x->search->k : (size_t)n_rows;
    x->k_rough = rough < (double)n_rows ? (size_t)rough : (size_t)n_rows;
}

static nx_status make_workers(scan *x, int n, nx_error *err)
{
    nx_status st = NX_OK;

    x->workers = nx_calloc((size_t)n, sizeof *x->workers);
    if (!x->workers) return nx_fail(err, NX_ENOMEM, "a scan");
    for (x->n_workers = 0; !st && x->n_workers < n; x->n_workers++) {
        worker *w = &x->workers[x->n_workers];
        w->scan = x;
        w->match = (nx_match){.filter = x->search->filter,
                              .config = &x->s->c->manifest.config,
                              .settings = x->match.settings};
        st = nx_match_begin(&w->match, err);
        w->scores = nx_alloc_aligned(PIECE_ROWS, sizeof *w->scores, 64);
        w->sums = nx_alloc_aligned(PIECE_ROWS, sizeof *w->sums, 64);
        if (!st && (!w->scores || !w->sums)) st = nx_fail(err, NX_ENOMEM, "a scan");
        if (!st) st = nx_topk_init(&w->exact, x->k, err);
        if (!st) st = nx_topk_init(&w->rough, x->k_rough, err);
    }
    return st;
}

static void free_scan(scan *x)
{
    for (int i = 0; i < x->n_workers; i++) {
        worker *w = &x->workers[i];
        nx_topk_free(&w->exact);
        nx_topk_free(&w->rough);
        nx_match_free(&w->match);
        nx_free(w->scores);
        nx_free(w->sums);
    }
    for (int i = 0; i < NX_SEGS_MAX; i++) nx_wanted_free(&x->wanted[i]);
    nx_match_free(&x->match);
    nx_settings_release(x->match.settings);
    nx_free(x->workers);
    nx_free(x->pieces);
    nx_free(x->query);
    nx_free(x->codes);
}

/* What all workers found, in the first one's heaps; the first fault by worker. */
static nx_status join_workers(scan *x, nx_error *err)
{
    for (int i = 0; i < x->n_workers; i++) {
        worker *w = &x->workers[i];
        if (!w->st) w->st = nx_match_end(&w->match, &w->err);
        if (w->st) {
            *err = w->err;
            return w->st;
        }
        for (size_t k = 0; i && k < w->exact.n; k++)
            nx_topk_push(&x->workers[0].exact, w->exact.v[k]);
        for (size_t k = 0; i && k < w->rough.n; k++)
            nx_topk_push(&x->workers[0].rough, w->rough.v[k]);
    }
    return NX_OK;
}

/* Those that codes found, scored by their vectors. */
static nx_status rescore(scan *x, nx_error *err)
{
    worker   *w = &x->workers[0];
    int32_t   slot = x->search->slot;
    float    *row = nx_alloc_aligned((size_t)x->slot->dim, sizeof *row, 64);
    nx_status st = row ? NX_OK : nx_fail(err, NX_ENOMEM, "a scan");

    for (size_t i = 0; !st && i < w->rough.n; i++) {
        nx_topk_entry e = w->rough.v[i];
        nx_seg       *seg = x->s->segs[e.source];
        st = nx_seg_dense(seg, row, slot, e.row, err);
        if (st) break;
        score_rows(x, &e.key, row, 1);
        nx_topk_push(&w->exact, e);
    }
    nx_free(row);
    return st;
}

static void write_hits(scan *x, nx_hit *hits, int32_t *n)
{
    nx_topk         *best = &x->workers[0].exact;
    const nx_search *q = x->search;

    nx_topk_sort(best);
    for (size_t i = 0; i < best->n; i++) {
        float score = less_is_better(x) ? 0 - best->v[i].key : best->v[i].key;
        bool  passes = less_is_better(x) ? score <= q->threshold : score >= q->threshold;
        if (q->has_threshold && !passes) break;
        hits[(*n)++] = (nx_hit){best->v[i].id, score};
    }
}

static nx_status run(scan *x, nx_hit *hits, int32_t *n, nx_pool *pool, nx_error *err)
{
    uint64_t  n_rows = 0;
    nx_status st = take_query(x, err);

    if (x->search->filter) {
        x->match = (nx_match){.filter = x->search->filter,
                              .config = &x->s->c->manifest.config,
                              .settings = nx_collection_settings(x->s->c)};
        if (!st) st = nx_match_begin(&x->match, err);
    }
    if (!st) st = cut_pieces(x, &n_rows, err);
    if (st) return st;
    choose_k(x, n_rows);
    bool alone = !pool || x->n_pieces < 2;
    st = make_workers(x, alone ? 1 : nx_pool_threads(pool), err);
    if (st) return st;
    if (alone)
        scan_pieces(x, 0, 0, 1);
    else
        nx_pool_run(pool, nx_pool_threads(pool), 1, scan_pieces, x);
    st = join_workers(x, err);
    if (!st) st = rescore(x, err);
    if (st) return st;
    scan_head(x, x->s->head);
    scan_head(x, x->s->frozen);
    st = nx_match_end(&x->workers[0].match, err);
    if (st) return st;
    write_hits(x, hits, n);
    return NX_OK;
}

nx_status nx_snapshot_search(nx_snapshot *s, nx_hit *hits, int32_t *n, const nx_search *search,
                             nx_pool *pool, nx_error *err)
{
    nx_error  inner = {0};
    scan      x = {.s = s, .search = search, .ops = s->c->distances};
    nx_status st = nx_collection_failed(s->c, true, &inner);

    *n = 0;
    if (!st) st = check_search(s, search, &inner);
    if (!st) {
        x.slot = &s->c->manifest.config.slots[search->slot];
        st = run(&x, hits, n, pool, &inner);
        free_scan(&x);
    }
    if (!st) return NX_OK;
    if (err) *err = inner;
    return nx_read_failed(s->c, st, &inner);
}
