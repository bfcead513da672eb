/* read.c - points of a snapshot: by id, counted, in order. */
#include <string.h>

#include "base/alloc.h"
#include "store/collection.h"
#include "store/match.h"

void nx_point_copy_free(nx_point_copy *p)
{
    nx_buf_free(&p->bytes);
    *p = (nx_point_copy){0};
}

static uint64_t death_of(const nx_head_row *row)
{
    return atomic_load_explicit(&row->death, memory_order_acquire);
}

/* ---- One point ---- */

static nx_status fill(nx_point_copy *out, const nx_config *c, uint64_t version, nx_error *err)
{
    const nx_block *b = (const nx_block *)(const void *)out->bytes.data;
    nx_vector_iter  it;

    if (!b) return nx_fail(err, NX_ENOMEM, "a point");
    it = nx_block_vectors(b);
    out->point = (nx_point){.id = nx_block_id(b),
                            .version = version ? version : b->version,
                            .vectors = out->vectors,
                            .payload = nx_block_payload(b)};
    while (out->point.n_vectors < NX_SLOTS_MAX &&
           nx_vector_next(&it, c, &out->vectors[out->point.n_vectors]))
        out->point.n_vectors++;
    return NX_OK;
}

/* Into out->bytes, when it is in one of the heads. *done: this is where it must be. */
static nx_status get_from_head(nx_snapshot *s, nx_head *h, nx_point_copy *out, nx_point_id id,
                               uint64_t *version, bool *done, nx_error *err)
{
    uint32_t row = nx_head_find(h, id, s->seq, done);

    if (row == NX_NO_ROW) return *done ? NX_ENOENT : NX_OK;
    const nx_head_row *r = nx_head_row_at(h, row);
    *version = r->birth;
    return nx_buf_add(&out->bytes, r->block, r->block->bytes, err);
}

static nx_status get_from_segs(nx_snapshot *s, nx_point_copy *out, nx_point_id id, nx_error *err)
{
    for (int i = s->n_segs - 1; i >= 0; i--) {
        uint64_t  row;
        bool      same;
        nx_status st = nx_seg_lower_bound(s->segs[i], &row, &same, id, err);
        if (st) return st;
        if (same && nx_alive_at(nx_seg_death(s->segs[i], row), s->seq))
            return nx_seg_row(s->segs[i], &out->bytes, row, err);
    }
    return NX_ENOENT;
}

nx_status nx_snapshot_get(nx_snapshot *s, nx_point_copy *out, nx_point_id id, nx_error *err)
{
    char      text[NX_ID_TEXT];
    uint64_t  version = 0;
    bool      done = false;
    nx_error  inner = {0};
    nx_status st = nx_collection_failed(s->c, true, err);

    if (st) return st;
    nx_buf_clear(&out->bytes);
    out->bytes.max = 2 * NX_BLOCK_MAX;
    st = get_from_head(s, s->head, out, id, &version, &done, &inner);
    if (!done && s->frozen) st = get_from_head(s, s->frozen, out, id, &version, &done, &inner);
    if (!done) st = get_from_segs(s, out, id, &inner);
    if (st == NX_ENOENT) return nx_fail(err, st, "no point %s", nx_id_write(text, id));
    if (!st) st = fill(out, &s->c->manifest.config, version, &inner);
    if (st) st = nx_read_failed(s->c, st, &inner);
    if (st && err) *err = inner;
    return st;
}

/* ---- How many ---- */

static uint64_t count_head(const nx_snapshot *s, nx_head *h)
{
    uint32_t n = h ? nx_head_n_rows(h) : 0;
    uint64_t alive = 0;

    for (uint32_t i = 0; i < n; i++) {
        const nx_head_row *row = nx_head_row_at(h, i);
        if (row->birth > s->seq) break;
        alive += nx_alive_at(death_of(row), s->seq);
    }
    return alive;
}

uint64_t nx_snapshot_count(const nx_snapshot *s)
{
    uint64_t n = count_head(s, s->head) + count_head(s, s->frozen);

    for (int i = 0; i < s->n_segs; i++) {
        const nx_seg *seg = s->segs[i];
        n += seg->head.n_rows;
        if (atomic_load(&seg->n_dead) == 0) continue;
        for (uint64_t r = 0; r < seg->head.n_rows; r++)
            n -= !nx_alive_at(nx_seg_death(seg, r), s->seq);
    }
    return n;
}

/* ---- In order ---- */

/* The k least ids, kept as a heap with the greatest on top. */
typedef struct least {
    nx_point_id *v;
    size_t       n, max;
} least;

static void sift_down(least *l, size_t i)
{
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= l->n) return;
        if (k + 1 < l->n && nx_id_compare(l->v[k + 1], l->v[k]) > 0) k++;
        if (nx_id_compare(l->v[k], l->v[i]) <= 0) return;
        nx_point_id t = l->v[i];
        l->v[i] = l->v[k];
        l->v[k] = t;
        i = k;
    }
}

/* False: the heap is full of lesser ones. */
static bool wants(const least *l, nx_point_id id)
{
    return l->n < l->max || nx_id_compare(id, l->v[0]) < 0;
}

/* One that is wanted. */
static void offer(least *l, nx_point_id id)
{
    if (l->n == l->max) {
        l->v[0] = id;
        sift_down(l, 0);
        return;
    }
    size_t i = l->n++;
    for (; i > 0 && nx_id_compare(l->v[(i - 1) / 2], id) < 0; i = (i - 1) / 2)
        l->v[i] = l->v[(i - 1) / 2];
    l->v[i] = id;
}

static void offer_head(const nx_snapshot *s, nx_head *h, const nx_point_id *from, nx_match *m,
                       least *l)
{
    uint32_t n = h ? nx_head_n_rows(h) : 0;

    for (uint32_t i = 0; i < n; i++) {
        const nx_head_row *row = nx_head_row_at(h, i);
        if (row->birth > s->seq) break;
        nx_point_id id = nx_block_id(row->block);
        if (nx_alive_at(death_of(row), s->seq) && (!from || nx_id_compare(id, *from) >= 0) &&
            wants(l, id) && nx_match_block(m, row->block))
            offer(l, id);
    }
}

/* Rows ascend: the first id that isn't wanted is the last to be looked at. */
static nx_status offer_seg(const nx_snapshot *s, nx_seg *seg, const nx_point_id *from, nx_match *m,
                           least *l, nx_error *err)
{
    uint64_t  row = 0;
    bool      same;
    nx_wanted w = {0};
    nx_status st = from ? nx_seg_lower_bound(seg, &row, &same, *from, err) : NX_OK;

    if (!st) st = nx_match_wanted(m, &w, seg, err);
    for (; !st && nx_wanted_next(&w, &row); row++) {
        nx_point_id id;
        bool        fits = true;
        if (!nx_alive_at(nx_seg_death(seg, row), s->seq)) continue;
        st = nx_seg_id(seg, &id, row, err);
        if (st || !wants(l, id)) break;
        if (!w.exact) st = nx_match_row(m, &fits, seg, row, id, err);
        if (!st && fits) offer(l, id);
    }
    nx_wanted_free(&w);
    return st;
}

/* The greatest goes to the end, again and again. */
static void sort_least(least *l)
{
    while (l->n > 1) {
        nx_point_id top = l->v[0];
        l->v[0] = l->v[--l->n];
        l->v[l->n] = top;
        sift_down(l, 0);
    }
}

/* May these be read, with this filter? end() in any case. */
static nx_status begin(nx_snapshot *s, nx_match *m, const nx_filter *filter, nx_error *err)
{
    nx_status st = nx_collection_failed(s->c, true, err);

    *m = (nx_match){.filter = filter, .config = &s->c->manifest.config};
    if (st || !filter) return st;
    st = nx_filter_check(filter, m->config, err);
    if (st) return st;
    m->settings = nx_collection_settings(s->c);
    return nx_match_begin(m, err);
}

/* Give back what begin took; inner holds what st says. */
static nx_status end(nx_snapshot *s, nx_match *m, nx_status st, nx_error *inner, nx_error *err)
{
    if (!st) st = nx_match_end(m, inner);
    nx_match_free(m);
    nx_settings_release(m->settings);
    if (!st) return NX_OK;
    if (err) *err = *inner;
    return nx_read_failed(s->c, st, inner);
}

nx_status nx_snapshot_scroll(nx_snapshot *s, nx_point_id *ids, size_t *n, size_t max,
                             const nx_point_id *from, const nx_filter *filter, nx_error *err)
{
    least     l = {ids, 0, max};
    nx_match  m;
    nx_error  inner = {0};
    nx_status st = begin(s, &m, filter, &inner);

    *n = 0;
    if (!st && max > 0) {
        offer_head(s, s->head, from, &m, &l);
        if (s->frozen) offer_head(s, s->frozen, from, &m, &l);
        for (int i = 0; !st && i < s->n_segs; i++)
            st = offer_seg(s, s->segs[i], from, &m, &l, &inner);
    }
    st = end(s, &m, st, &inner, err);
    if (st) return st;
    *n = l.n;
    sort_least(&l);
    return NX_OK;
}

/* ---- How many for which a filter holds ---- */

static void count_matching(const nx_snapshot *s, nx_head *h, nx_match *m, uint64_t *n)
{
    uint32_t n_rows = h ? nx_head_n_rows(h) : 0;

    for (uint32_t i = 0; i < n_rows; i++) {
        const nx_head_row *row = nx_head_row_at(h, i);
        if (row->birth > s->seq) break;
        *n += nx_alive_at(death_of(row), s->seq) && nx_match_block(m, row->block);
    }
}

static nx_status count_matching_rows(const nx_snapshot *s, nx_seg *seg, nx_match *m, uint64_t *n,
                                     nx_error *err)
{
    nx_wanted w = {0};
    nx_status st = nx_match_wanted(m, &w, seg, err);
    bool      any_dead = atomic_load_explicit(&seg->n_dead, memory_order_acquire) > 0;

    if (!st && w.exact && !any_dead) {
        *n += w.n;
        w.n_rows = 0; /* no row need be looked at */
    }
    for (uint64_t row = 0; !st && nx_wanted_next(&w, &row); row++) {
        nx_point_id id;
        bool        fits = true;
        if (any_dead && !nx_alive_at(nx_seg_death(seg, row), s->seq)) continue;
        if (!w.exact) st = nx_seg_id(seg, &id, row, err);
        if (!w.exact && !st) st = nx_match_row(m, &fits, seg, row, id, err);
        *n += !st && fits;
    }
    nx_wanted_free(&w);
    return st;
}

nx_status nx_snapshot_count_where(nx_snapshot *s, uint64_t *n, const nx_filter *filter,
                                  nx_error *err)
{
    nx_match  m;
    nx_error  inner = {0};
    nx_status st = begin(s, &m, filter, &inner);

    *n = 0;
    if (!st) count_matching(s, s->head, &m, n);
    if (!st) count_matching(s, s->frozen, &m, n);
    for (int i = 0; !st && i < s->n_segs; i++)
        st = count_matching_rows(s, s->segs[i], &m, n, &inner);
    st = end(s, &m, st, &inner, err);
    if (st) *n = 0;
    return st;
}

/* ---- About how many ---- */

enum { SAMPLES = 256 }; /* rows of a segment that are tested, where its indexes leave it open */

/* So few that they are counted. */
static bool is_few(const nx_wanted *w)
{
    return w->n < 4 * SAMPLES;
}

static nx_status estimate_rows(const nx_snapshot *s, nx_seg *seg, nx_match *m, double *n,
                               nx_error *err)
{
    nx_wanted w = {0};
    uint64_t  n_tested = 0, n_fit = 0, n_rows = seg->head.n_rows;
    nx_status st = nx_match_wanted(m, &w, seg, err);
    uint64_t  step = is_few(&w) ? 1 : n_rows / SAMPLES + 1;

    for (uint64_t row = 0; !st && nx_wanted_next(&w, &row); row += step) {
        nx_point_id id;
        bool        fits = nx_alive_at(nx_seg_death(seg, row), s->seq);
        n_tested++;
        if (fits && !w.exact) {
            st = nx_seg_id(seg, &id, row, err);
            if (!st) st = nx_match_row(m, &fits, seg, row, id, err);
        }
        n_fit += !st && fits;
    }
    if (n_tested) *n += (double)(is_few(&w) ? n_tested : w.n) * (double)n_fit / (double)n_tested;
    nx_wanted_free(&w);
    return st;
}

nx_status nx_snapshot_estimate(nx_snapshot *s, uint64_t *n, const nx_filter *filter, nx_error *err)
{
    nx_match  m;
    nx_error  inner = {0};
    double    rows = 0;
    nx_status st = begin(s, &m, filter, &inner);

    *n = 0;
    if (!st) count_matching(s, s->head, &m, n);
    if (!st) count_matching(s, s->frozen, &m, n);
    for (int i = 0; !st && i < s->n_segs; i++) st = estimate_rows(s, s->segs[i], &m, &rows, &inner);
    st = end(s, &m, st, &inner, err);
    *n = st ? 0 : *n + (uint64_t)(rows + 0.5);
    return st;
}
