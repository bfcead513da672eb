/* stage.c - a request's effects, before they are. */
#include "store/stage.h"

#include <string.h>

#include "base/alloc.h"

enum { TABLE_FIRST = 64 };

#define STAGE_BYTES_MAX ((size_t)512 << 20)

nx_status nx_stage_init(nx_stage *g, nx_collection *c, nx_error *err)
{
    *g = (nx_stage){.c = c, .blocks.max = STAGE_BYTES_MAX, .base.max = NX_BLOCK_MAX};
    g->table = nx_calloc(TABLE_FIRST, sizeof *g->table);
    g->mask = TABLE_FIRST - 1;
    return g->table ? NX_OK : nx_fail(err, NX_ENOMEM, "a request");
}

void nx_stage_free(nx_stage *g)
{
    nx_buf_free(&g->blocks);
    nx_buf_free(&g->base);
    nx_free(g->entries);
    nx_free(g->table);
    nx_slab_destroy(g->slab);
    *g = (nx_stage){0};
}

/* ---- Entries by id ---- */

static uint32_t *slot_of(const nx_stage *g, nx_point_id id)
{
    uint64_t x = (id.lo ^ (id.hi * 0x9E3779B97F4A7C15u)) * 0xD6E8FEB86659FD93u + id.is_uuid;

    for (uint32_t i = (uint32_t)(x >> 32);; i++) {
        uint32_t *slot = &g->table[i & g->mask];
        if (*slot == 0 || nx_id_compare(g->entries[*slot - 1].id, id) == 0) return slot;
    }
}

static nx_status grow(nx_stage *g, nx_error *err)
{
    if (g->n == g->cap) {
        uint32_t        cap = g->cap ? 2 * g->cap : 32;
        nx_stage_entry *grown = nx_realloc(g->entries, cap, sizeof *grown);
        if (!grown) return nx_fail(err, NX_ENOMEM, "a request on %u points", cap);
        g->entries = grown;
        g->cap = cap;
    }
    if (g->n < g->mask / 2) return NX_OK;
    uint32_t *table = nx_calloc(2 * ((size_t)g->mask + 1), sizeof *table);
    if (!table) return nx_fail(err, NX_ENOMEM, "a request on %u points", g->n);
    nx_free(g->table);
    g->table = table;
    g->mask = 2 * g->mask + 1;
    for (uint32_t i = 0; i < g->n; i++) *slot_of(g, g->entries[i].id) = i + 1;
    return NX_OK;
}

/* The living row of that id, in heads and segments. */
static nx_status find_place(nx_collection *c, nx_stage_entry *e, nx_error *err)
{
    nx_head *heads[2] = {c->head, c->frozen};

    for (int i = 0; i < 2 && heads[i]; i++) {
        bool     known;
        uint32_t row = nx_head_find(heads[i], e->id, UINT64_MAX, &known);
        if (row != NX_NO_ROW) {
            e->head = heads[i];
            e->row = row;
        }
        if (known) return NX_OK;
    }
    for (int i = c->n_segs - 1; i >= 0; i--) {
        bool      same;
        uint64_t  row;
        nx_status st = nx_seg_lower_bound(c->segs[i], &row, &same, e->id, err);
        if (st) return st;
        if (!same || nx_seg_death(c->segs[i], row)) continue;
        e->seg = c->segs[i];
        e->row = row;
        return NX_OK;
    }
    return NX_OK;
}

bool nx_stage_has(const nx_stage *g, nx_point_id id)
{
    return *slot_of(g, id) != 0;
}

nx_status nx_stage_find(nx_stage *g, nx_stage_entry **out, nx_point_id id, nx_error *err)
{
    uint32_t *slot = slot_of(g, id);

    if (*slot) {
        *out = &g->entries[*slot - 1];
        return NX_OK;
    }
    nx_stage_entry e = {.id = id};
    nx_status      st = find_place(g->c, &e, err);
    if (!st) st = grow(g, err);
    if (st) return st;
    e.state = e.head || e.seg ? NX_STAGE_AS_IS : NX_STAGE_GONE;
    g->entries[g->n++] = e;
    *slot_of(g, id) = g->n;
    *out = &g->entries[g->n - 1];
    return NX_OK;
}

bool nx_stage_exists(const nx_stage_entry *e)
{
    return e->state != NX_STAGE_GONE;
}

nx_status nx_stage_load(nx_stage *g, const nx_block **out, const nx_stage_entry *e, nx_error *err)
{
    nx_status st = NX_OK;

    nx_buf_clear(&g->base);
    if (e->state == NX_STAGE_PUT) { /* a copy: `blocks` may move */
        const nx_block *b = (const nx_block *)(const void *)(g->blocks.data + e->at);
        st = nx_buf_add(&g->base, b, b->bytes, err);
    } else if (e->head) {
        *out = nx_head_row_at(e->head, (uint32_t)e->row)->block;
        return NX_OK;
    } else {
        st = nx_seg_row(e->seg, &g->base, e->row, err);
    }
    *out = (const nx_block *)(const void *)g->base.data;
    return st;
}

/* ---- Applying ---- */

static nx_status apply_patch(nx_stage *g, nx_stage_entry *e, const nx_block *b, nx_error *err)
{
    const nx_block *base;
    size_t          at = g->blocks.len;
    nx_status       st = nx_stage_load(g, &base, e, err);

    if (!st) st = nx_block_add_patched(&g->blocks, &g->c->manifest.config, base, b, err);
    if (st) return st;
    e->at = at;
    e->state = NX_STAGE_PUT;
    return NX_OK;
}

nx_status nx_stage_apply(nx_stage *g, const nx_block *b, nx_error *err)
{
    nx_stage_entry *e;
    nx_status       st = nx_stage_find(g, &e, nx_block_id(b), err);

    if (st) return st;
    if (b->kind == NX_BLOCK_PATCH) return nx_stage_exists(e) ? apply_patch(g, e, b, err) : NX_OK;
    if (b->kind == NX_BLOCK_DELETE) {
        e->state = NX_STAGE_GONE;
        return NX_OK;
    }
    size_t at = g->blocks.len;
    st = nx_buf_add(&g->blocks, b, b->bytes, err);
    if (st) return st;
    e->at = at;
    e->state = NX_STAGE_PUT;
    return NX_OK;
}

/* ---- Commit ---- */

nx_status nx_stage_reserve(nx_stage *g, nx_error *err)
{
    nx_status st = nx_head_reserve(g->c->head, g->n, err);

    if (!st && !g->slab) g->slab = nx_slab_create();
    if (!st && !g->slab) st = nx_fail(err, NX_ENOMEM, "a request");
    if (st || g->blocks.len == 0) return st;
    char *tight = nx_realloc(g->blocks.data, g->blocks.len, 1); /* it may stay for long */
    if (tight) {
        g->blocks.data = tight;
        g->blocks.cap = g->blocks.len;
    }
    return NX_OK;
}

static void end_old(nx_collection *c, const nx_stage_entry *e, uint64_t seq)
{
    c->n_deaths += e->head || e->seg;
    if (e->head) nx_head_kill(e->head, (uint32_t)e->row, seq);
    if (e->seg) {
        nx_seg_kill(e->seg, e->row, seq);
        c->n_seg_deaths++;
    }
}

void nx_stage_commit(nx_stage *g, uint64_t seq)
{
    nx_collection *c = g->c;
    char          *blocks = g->blocks.data;

    nx_head_take_slab(c->head, g->slab, blocks);
    g->slab = NULL;
    g->blocks = (nx_buf){.max = STAGE_BYTES_MAX};
    for (uint32_t i = 0; i < g->n; i++) {
        const nx_stage_entry *e = &g->entries[i];
        if (e->state == NX_STAGE_AS_IS) continue;
        end_old(c, e, seq);
        if (e->state == NX_STAGE_PUT)
            nx_head_append(c->head, (const nx_block *)(const void *)(blocks + e->at), seq);
    }
    c->head->last_seq = seq;
}
