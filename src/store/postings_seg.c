/* postings_seg.c - posting lists of the file, checked; or made anew. */
#include "store/postings_seg.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/fault.h"

/* ---- In memory ---- */

typedef struct source {
    nx_seg *s;
    int32_t slot;
    nx_buf  row;
} source;

static nx_status row_of(void *ctx, uint64_t i, nx_vector *v, bool *has, nx_error *err)
{
    source *x = ctx;

    nx_buf_clear(&x->row);
    nx_status st = nx_seg_row_bare(x->s, &x->row, i, err);
    if (!st)
        *has =
            nx_block_vector((const nx_block *)(const void *)x->row.data, x->s->config, x->slot, v);
    return st;
}

static void free_one(nx_seg_postings *p)
{
    if (p) nx_free(p->memory);
    nx_free(p);
}

/* The bytes that the file would have. */
static nx_status fill(nx_seg_postings *p, const nx_tally *t, source *x, nx_error *err)
{
    uint64_t head = nx_tally_head_bytes(t);

    p->bytes = head + 8 * t->n_entries;
    p->memory = nx_calloc((size_t)p->bytes, 1);
    if (!p->memory)
        return nx_fail(err, NX_ENOMEM, "%s: %llu bytes of posting lists", x->s->path,
                       (unsigned long long)p->bytes);
    nx_tally_write_head(t, p->memory);
    nx_status st = nx_tally_fill(t, p->memory + head, 0, t->n_keys, row_of, x, err);
    if (!st && !nx_postings_view(&p->view, p->memory, p->bytes, t->n_rows))
        st = nx_fail(err, NX_EFORMAT, "%s: rows that differ each time they are read", x->s->path);
    return st;
}

static nx_status make(nx_seg *s, nx_seg_postings **out, int32_t slot, nx_error *err)
{
    source           x = {s, slot, {.max = NX_BLOCK_MAX}};
    nx_tally         t = {0};
    nx_seg_postings *p = nx_calloc(1, sizeof *p);
    nx_status        st = p ? NX_OK : nx_fail(err, NX_ENOMEM, "%s: posting lists", s->path);

    *out = NULL;
    if (!st) st = nx_tally_count(&t, s->head.n_rows, row_of, &x, err);
    if (!st && p) st = fill(p, &t, &x, err);
    nx_tally_free(&t);
    nx_buf_free(&x.row);
    if (st)
        free_one(p);
    else
        *out = p;
    return st;
}

/* ---- In the file ---- */

typedef struct looking {
    nx_postings *out;
    const void  *bytes;
    uint64_t     n, n_rows;
    bool         fits;
} looking;

static void do_look(void *ctx)
{
    looking *l = ctx;

    l->fits = nx_postings_view(l->out, l->bytes, l->n, l->n_rows);
}

/* All but the lists is checked here. NULL: damaged. */
static nx_seg_postings *bind(nx_seg *s, const nx_section *x)
{
    uint64_t         head[2];
    const void      *bytes;
    nx_seg_postings *p = nx_calloc(1, sizeof *p);

    if (!p || x->bytes < sizeof head || nx_seg_copy(s, head, x->at, sizeof head, NULL) ||
        head[1] > x->bytes / 8 || nx_seg_need(s, x->at, x->bytes - 8 * head[1], &bytes, NULL)) {
        nx_free(p);
        return NULL;
    }
    looking l = {&p->view, bytes, x->bytes, s->head.n_rows, false};
    if (nx_fault_run(do_look, &l) && l.fits) return p;
    nx_free(p);
    return NULL;
}

/* Put `p` in the place of `old`. Where another thread was faster, its lists are taken. */
static nx_seg_postings *publish(nx_seg *s, int32_t slot, nx_seg_postings *old, nx_seg_postings *p)
{
    p->older = old;
    if (atomic_compare_exchange_strong(&s->lists[slot], &old, p)) return p;
    free_one(p);
    return old;
}

static nx_status make_anew(nx_seg *s, const nx_seg_postings **out, int32_t slot,
                           nx_seg_postings *old, nx_error *err)
{
    nx_seg_postings *p;

    if (s->postings[slot])
        nx_log_warn("%s: posting lists are damaged, and made anew in memory", s->path);
    nx_status st = make(s, &p, slot, err);
    if (!st) *out = publish(s, slot, old, p);
    return st;
}

nx_status nx_seg_postings_get(nx_seg *s, const nx_seg_postings **out, int32_t slot, nx_error *err)
{
    nx_seg_postings *p = atomic_load_explicit(&s->lists[slot], memory_order_acquire);

    if (!p && s->postings[slot]) {
        p = bind(s, s->postings[slot]);
        if (p) p = publish(s, slot, NULL, p);
    }
    *out = p;
    return p ? NX_OK : make_anew(s, out, slot, NULL, err);
}

/* ---- Lists ---- */

typedef struct finding {
    const nx_postings *p;
    nx_list           *out;
    const uint32_t    *keys;
    size_t             n;
} finding;

static void do_find(void *ctx)
{
    finding *f = ctx;

    for (size_t i = 0; i < f->n; i++) f->out[i] = nx_postings_find(f->p, f->keys[i]);
}

/* False: a byte of them can't be had. */
static bool checked(nx_seg *s, const nx_seg_postings *p, const nx_list *lists, size_t n)
{
    const void *bytes;

    for (size_t i = 0; !p->memory && i < n; i++) {
        if (lists[i].n == 0) continue;
        uint64_t at = (uint64_t)((const uint8_t *)lists[i].rows - s->map.data);
        if (nx_seg_need(s, at, 8 * lists[i].n, &bytes, NULL)) return false;
    }
    return true;
}

nx_status nx_seg_lists(nx_seg *s, nx_list *out, int32_t slot, const uint32_t *keys, size_t n,
                       nx_error *err)
{
    const nx_seg_postings *p;
    nx_status              st = nx_seg_postings_get(s, &p, slot, err);
    finding                f = {NULL, out, keys, n};

    if (st) return st;
    f.p = &p->view;
    if (nx_fault_run(do_find, &f) && checked(s, p, out, n)) return NX_OK;
    st = make_anew(s, &p, slot, (nx_seg_postings *)(uintptr_t)p, err);
    f.p = st ? NULL : &p->view;
    if (!st) do_find(&f);
    return st;
}

typedef struct counting {
    const nx_postings *p;
    nx_seg            *s;
    uint64_t           seq, n;
} counting;

static void do_count(void *ctx)
{
    counting *c = ctx;
    uint64_t  n = 0;
    bool      dead = atomic_load_explicit(&c->s->n_dead, memory_order_acquire) > 0;

    for (uint64_t w = 0; w < (c->p->n_rows + 63) / 64; w++) {
        uint64_t bits = c->p->present[w];
        if (!dead) n += (uint64_t)__builtin_popcountll(bits);
        for (; dead && bits; bits &= bits - 1) {
            uint64_t row = w * 64 + (uint64_t)__builtin_ctzll(bits);
            n += row < c->p->n_rows &&
                 (nx_seg_death(c->s, row) == 0 || nx_seg_death(c->s, row) > c->seq);
        }
    }
    c->n = n;
}

nx_status nx_seg_count_present(nx_seg *s, uint64_t *n, int32_t slot, uint64_t seq, nx_error *err)
{
    const nx_seg_postings *p;
    nx_status              st = nx_seg_postings_get(s, &p, slot, err);
    counting               c = {NULL, s, seq, 0};

    *n = 0;
    if (st) return st;
    c.p = &p->view;
    if (!nx_fault_run(do_count, &c)) {
        st = make_anew(s, &p, slot, (nx_seg_postings *)(uintptr_t)p, err);
        if (st) return st;
        c.p = &p->view;
        do_count(&c);
    }
    *n = c.n;
    return NX_OK;
}

nx_status nx_seg_postings_check(nx_seg *s, int32_t slot, nx_error *err)
{
    const nx_seg_postings *p;
    const nx_section      *x = s->postings[slot];
    const void            *bytes;
    nx_status              st = nx_seg_postings_get(s, &p, slot, err);

    if (st || p->memory || !x || nx_seg_need(s, x->at, x->bytes, &bytes, NULL) == NX_OK) return st;
    return make_anew(s, &p, slot, (nx_seg_postings *)(uintptr_t)p, err);
}

uint64_t nx_seg_postings_bytes(const nx_seg *s)
{
    uint64_t n = 0;

    for (int i = 0; i < NX_SLOTS_MAX; i++) {
        const nx_seg_postings *p = atomic_load_explicit(&s->lists[i], memory_order_acquire);
        for (; p; p = p->older) n += p->bytes;
    }
    return n;
}

void nx_seg_postings_free(nx_seg *s)
{
    for (int i = 0; i < NX_SLOTS_MAX; i++) {
        for (nx_seg_postings *p = atomic_load(&s->lists[i]), *older; p; p = older) {
            older = p->older;
            free_one(p);
        }
    }
}
