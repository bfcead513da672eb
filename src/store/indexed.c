/* indexed.c - how many points of a snapshot have an entry in a payload index.
 *
 * Idea: a segment's index knows its rows, so that a million points are counted by their bits; the points of
 *       the heads, and those of a segment whose index found no memory, are tested one by one.
 */
#include "store/collection.h"
#include "store/index.h"

typedef struct counting {
    const nx_snapshot   *s;
    const nx_index_spec *spec;
    nx_index_test       *test;
    uint64_t             n;
    nx_error            *err;
} counting;

static nx_status count_payload(counting *c, const nx_block *block)
{
    bool      has = false;
    nx_status st = nx_index_test_payload(c->test, &has, nx_block_payload(block), c->err);

    c->n += !st && has;
    return st;
}

static nx_status count_head(counting *c, nx_head *h)
{
    uint32_t  n_rows = h ? nx_head_n_rows(h) : 0;
    nx_status st = NX_OK;

    for (uint32_t i = 0; !st && i < n_rows; i++) {
        const nx_head_row *row = nx_head_row_at(h, i);
        if (row->birth > c->s->seq) break;
        if (nx_alive_at(atomic_load_explicit(&row->death, memory_order_acquire), c->s->seq))
            st = count_payload(c, row->block);
    }
    return st;
}

static void count_bits(counting *c, const nx_seg *seg, const nx_index *x)
{
    if (atomic_load_explicit(&seg->n_dead, memory_order_acquire) == 0) {
        c->n += x->n_any;
        return;
    }
    for (uint64_t row = 0; row < seg->head.n_rows; row++)
        c->n +=
            (x->any[row / 64] >> row % 64 & 1) && nx_alive_at(nx_seg_death(seg, row), c->s->seq);
}

static nx_status count_rows(counting *c, nx_seg *seg)
{
    nx_buf    row = {.max = NX_BLOCK_MAX};
    nx_status st = NX_OK;

    for (uint64_t i = 0; !st && i < seg->head.n_rows; i++) {
        if (!nx_alive_at(nx_seg_death(seg, i), c->s->seq)) continue;
        nx_buf_clear(&row);
        st = nx_seg_row_bare(seg, &row, i, c->err);
        if (!st) st = count_payload(c, (const nx_block *)(const void *)row.data);
    }
    nx_buf_free(&row);
    return st;
}

static nx_status count_seg(counting *c, nx_seg *seg)
{
    const nx_index *x;
    nx_status       st = nx_seg_index(seg, &x, c->spec, c->err);

    if (st) return st;
    if (!x) return count_rows(c, seg);
    count_bits(c, seg, x);
    return NX_OK;
}

nx_status nx_snapshot_count_indexed(nx_snapshot *s, uint64_t *n, const nx_index_spec *spec,
                                    nx_error *err)
{
    nx_error  inner = {0};
    counting  c = {.s = s, .spec = spec, .err = &inner};
    nx_status st = nx_collection_failed(s->c, true, &inner);

    if (!st) st = nx_index_test_create(&c.test, spec, &inner);
    if (!st) st = count_head(&c, s->head);
    if (!st) st = count_head(&c, s->frozen);
    for (int i = 0; !st && i < s->n_segs; i++) st = count_seg(&c, s->segs[i]);
    nx_index_test_destroy(c.test);
    *n = st ? 0 : c.n;
    if (!st) return NX_OK;
    if (err) *err = inner;
    return nx_read_failed(s->c, st, &inner);
}
