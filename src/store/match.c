/* match.c - no more of a row is read than its filter needs. */
#include "store/match.h"

static uint64_t vectors_of(const nx_block *b, const nx_config *c)
{
    nx_vector_iter it = nx_block_vectors(b);
    nx_vector      v;
    uint64_t       bits = 0;

    while (nx_vector_next(&it, c, &v)) bits |= (uint64_t)1 << v.slot;
    return bits;
}

nx_status nx_match_begin(nx_match *m, nx_error *err)
{
    return nx_bound_create(&m->bound, m->filter, m->settings, err);
}

nx_status nx_match_wanted(nx_match *m, nx_wanted *out, nx_seg *s, nx_error *err)
{
    return nx_wanted_find(out, s, m->filter, m->bound, err);
}

nx_status nx_match_end(const nx_match *m, nx_error *err)
{
    nx_status st = nx_bound_status(m->bound);

    return st ? nx_fail(err, st, "words of a text") : NX_OK;
}

bool nx_match_block(nx_match *m, const nx_block *b)
{
    if (!m->filter) return true;
    return nx_filter_test_bound(m->filter, nx_block_id(b), nx_block_payload(b),
                                vectors_of(b, m->config), m->bound);
}

static nx_status dense_of(const nx_match *m, uint64_t *bits, nx_seg *s, uint64_t row, nx_error *err)
{
    nx_status st = NX_OK;

    for (int32_t slot = 0; !st && slot < m->config->n_slots; slot++) {
        bool has;
        st = nx_seg_has_dense(s, &has, slot, row, err);
        if (has) *bits |= (uint64_t)1 << slot;
    }
    return st;
}

nx_status nx_match_row(nx_match *m, bool *out, nx_seg *s, uint64_t row, nx_point_id id,
                       nx_error *err)
{
    nx_value  payload = {0};
    uint64_t  vectors = 0;
    nx_status st = NX_OK;

    *out = true;
    if (!m->filter) return NX_OK;
    unsigned needs = nx_filter_needs(m->filter);
    if (needs) {
        nx_buf_clear(&m->row);
        m->row.max = NX_BLOCK_MAX;
        st = nx_seg_row_bare(s, &m->row, row, err);
    }
    if (!st && needs) {
        const nx_block *b = (const nx_block *)(const void *)m->row.data;
        payload = nx_block_payload(b);
        vectors = vectors_of(b, m->config);
        if (needs & NX_FILTER_VECTORS) st = dense_of(m, &vectors, s, row, err);
    }
    *out = !st && nx_filter_test_bound(m->filter, id, payload, vectors, m->bound);
    return st;
}

void nx_match_free(nx_match *m)
{
    nx_buf_free(&m->row);
    nx_bound_destroy(m->bound);
    m->bound = NULL;
}
