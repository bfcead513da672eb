/* head.c - rows in chunks, ids in a table that grows by being replaced. */
#include "store/head.h"

#include <stdlib.h>

#include "base/alloc.h"

struct nx_head_table {
    nx_head_table   *older; /* readers may still be in it: freed with the head */
    uint32_t         mask;
    _Atomic uint32_t slots[]; /* row + 1; 0 empty */
};

struct nx_slab {
    nx_slab *next;
    void    *data;
};

static uint32_t hash_id(nx_point_id id)
{
    uint64_t x = id.lo ^ (id.hi * 0x9E3779B97F4A7C15u) ^ id.is_uuid;

    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    return (uint32_t)(x ^ (x >> 32));
}

static nx_head_table *create_table(uint32_t n_slots)
{
    nx_head_table *t = nx_calloc(1, sizeof *t + n_slots * sizeof t->slots[0]);

    if (t) t->mask = n_slots - 1;
    return t;
}

nx_head *nx_head_create(void)
{
    nx_head       *h = nx_calloc(1, sizeof *h);
    nx_head_table *t = create_table(64);

    if (!h || !t) {
        nx_free(h);
        nx_free(t);
        return NULL;
    }
    atomic_init(&h->refs, 1);
    atomic_init(&h->table, t);
    return h;
}

void nx_head_retain(nx_head *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
}

void nx_head_release(nx_head *h)
{
    if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) > 1) return;
    for (nx_head_table *t = atomic_load(&h->table), *older; t; t = older) {
        older = t->older;
        nx_free(t);
    }
    for (nx_slab *s = h->slabs, *next; s; s = next) {
        next = s->next;
        nx_slab_destroy(s);
    }
    for (int i = 0; i < NX_HEAD_CHUNKS_MAX && h->chunks[i]; i++) nx_free(h->chunks[i]);
    nx_free(h);
}

nx_slab *nx_slab_create(void)
{
    return nx_calloc(1, sizeof(nx_slab));
}

void nx_slab_destroy(nx_slab *slab)
{
    if (!slab) return;
    nx_free(slab->data);
    nx_free(slab);
}

void nx_head_take_slab(nx_head *h, nx_slab *slab, void *data)
{
    slab->data = data;
    slab->next = h->slabs;
    h->slabs = slab;
}

/* The slot of that id, or the empty one where it would go. */
static _Atomic uint32_t *slot_of(const nx_head *h, nx_head_table *t, nx_point_id id)
{
    for (uint32_t i = hash_id(id);; i++) {
        _Atomic uint32_t *slot = &t->slots[i & t->mask];
        uint32_t          row = atomic_load_explicit(slot, memory_order_acquire);
        if (row == 0) return slot;
        if (nx_id_compare(nx_block_id(nx_head_row_at(h, row - 1)->block), id) == 0) return slot;
    }
}

/* Half of the slots stay empty. */
static nx_status grow_table(nx_head *h, uint32_t n_ids, nx_error *err)
{
    nx_head_table *old = atomic_load_explicit(&h->table, memory_order_relaxed);
    uint64_t       n = (uint64_t)old->mask + 1;

    if (n_ids <= n / 2) return NX_OK;
    while (n_ids > n / 2) n *= 2;
    nx_head_table *t = create_table((uint32_t)n);
    if (!t) return nx_fail(err, NX_ENOMEM, "%llu ids", (unsigned long long)n);
    for (uint32_t i = 0; i <= old->mask; i++) {
        uint32_t row = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (row == 0) continue;
        nx_point_id id = nx_block_id(nx_head_row_at(h, row - 1)->block);
        atomic_store_explicit(slot_of(h, t, id), row, memory_order_relaxed);
    }
    t->older = old;
    atomic_store_explicit(&h->table, t, memory_order_release);
    return NX_OK;
}

nx_status nx_head_reserve(nx_head *h, uint32_t n, nx_error *err)
{
    uint32_t rows = nx_head_n_rows(h);

    if (n > NX_HEAD_ROWS_MAX - rows) return nx_fail(err, NX_ELIMIT, "%u points in one request", n);
    for (uint32_t c = rows / NX_HEAD_CHUNK; n && c <= (rows + n - 1) / NX_HEAD_CHUNK; c++) {
        if (h->chunks[c]) continue;
        h->chunks[c] = nx_calloc(NX_HEAD_CHUNK, sizeof *h->chunks[c]);
        if (!h->chunks[c]) return nx_fail(err, NX_ENOMEM, "%u points", n);
    }
    return grow_table(h, h->n_ids + n, err);
}

void nx_head_append(nx_head *h, const nx_block *block, uint64_t birth)
{
    uint32_t          i = nx_head_n_rows(h);
    nx_head_row      *row = nx_head_row_at(h, i);
    nx_head_table    *t = atomic_load_explicit(&h->table, memory_order_relaxed);
    _Atomic uint32_t *slot = slot_of(h, t, nx_block_id(block));
    uint32_t          before = atomic_load_explicit(slot, memory_order_relaxed);

    row->block = block;
    row->birth = birth;
    row->prev = before ? before - 1 : NX_NO_ROW;
    atomic_store_explicit(&h->n_rows, i + 1, memory_order_release);
    atomic_store_explicit(slot, i + 1, memory_order_release);
    h->n_ids += before == 0;
    h->n_live++;
    h->bytes += block->bytes;
    h->bytes_live += block->bytes;
}

void nx_head_kill(nx_head *h, uint32_t i, uint64_t seq)
{
    nx_head_row *row = nx_head_row_at(h, i);

    atomic_store_explicit(&row->death, seq, memory_order_release);
    h->n_live--;
    h->bytes_live -= row->block->bytes;
}

uint32_t nx_head_find(const nx_head *h, nx_point_id id, uint64_t seq, bool *known)
{
    nx_head_table *t = atomic_load_explicit(&h->table, memory_order_acquire);
    uint32_t       i = atomic_load_explicit(slot_of(h, t, id), memory_order_acquire) - 1;

    *known = false;
    while (i != NX_NO_ROW && nx_head_row_at(h, i)->birth > seq) i = nx_head_row_at(h, i)->prev;
    if (i == NX_NO_ROW) return i;
    *known = true;
    uint64_t death = atomic_load_explicit(&nx_head_row_at(h, i)->death, memory_order_acquire);
    return nx_alive_at(death, seq) ? i : NX_NO_ROW;
}
