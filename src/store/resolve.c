/* resolve.c - operations that depend on what is there become blocks that don't, so that the log
 * says the same whenever it is read. */
#include "store/resolve.h"

#include "store/path.h"

typedef struct resolving {
    nx_stage        *g;
    nx_buf          *record;
    const nx_writes *batch;
    nx_write_result *result;
    nx_buf           payload; /* scratch */
    nx_error        *err;
} resolving;

static const nx_config *config_of(const resolving *r)
{
    return &r->g->c->manifest.config;
}

static void note_missing(resolving *r, nx_point_id id)
{
    if (r->result->n_missing++ == 0) r->result->missing = id;
}

static nx_value value_of(const resolving *r, const nx_op *op)
{
    return (nx_value){(const uint8_t *)r->batch->data.data + op->value, op->value_n};
}

static nx_str path_of(const resolving *r, const nx_op *op)
{
    return (nx_str){r->batch->data.data + op->path, op->path_n};
}

/* Into the record, and so into effect. b must not lie in the record. */
static nx_status add_block(resolving *r, const nx_block *b)
{
    nx_status st = nx_buf_add(r->record, b, b->bytes, r->err);

    return st ? st : nx_stage_apply(r->g, b, r->err);
}

static nx_status add_made(resolving *r, int kind, const nx_point *p)
{
    nx_buf    made = {.max = NX_BLOCK_MAX};
    nx_status st = nx_block_add(&made, config_of(r), kind, p, r->err);

    if (!st) st = add_block(r, (const nx_block *)(const void *)made.data);
    nx_buf_free(&made);
    return st;
}

static nx_status resolve_block(resolving *r, const nx_op *op)
{
    const nx_block *b = (const nx_block *)(const void *)(r->batch->data.data + op->block);
    nx_stage_entry *e;
    nx_status       st = nx_stage_find(r->g, &e, op->id, r->err);

    if (st) return st;
    bool there = nx_stage_exists(e);
    if (op->kind == NX_OP_VECTORS && !there) {
        note_missing(r, op->id);
        return NX_OK;
    }
    if (op->kind == NX_OP_PUT && op->mode != NX_PUT && there != (op->mode == NX_PUT_PRESENT))
        return NX_OK;
    return add_block(r, b);
}

static nx_status resolve_delete(resolving *r, nx_point_id id)
{
    nx_stage_entry *e;
    nx_status       st = nx_stage_find(r->g, &e, id, r->err);

    if (st || !nx_stage_exists(e)) return st;
    return add_made(r, NX_BLOCK_DELETE, &(nx_point){.id = id});
}

/* What the point's payload becomes, into r->payload. */
static nx_status edit_payload(resolving *r, const nx_op *op, nx_value now)
{
    nx_path   path = {0};
    nx_status st = op->path_n ? nx_path_parse(&path, path_of(r, op), r->err) : NX_OK;

    nx_buf_clear(&r->payload);
    if (st) return st;
    if (op->kind == NX_OP_OVERWRITE) return nx_value_add(&r->payload, value_of(r, op), r->err);
    if (op->kind == NX_OP_SET) return nx_path_set(&r->payload, now, &path, value_of(r, op), r->err);
    if (now.n == 0) { /* nothing to take away: an empty object */
        size_t mark;
        st = nx_value_open(&r->payload, NX_VALUE_OBJECT, &mark, r->err);
        if (!st) nx_value_close(&r->payload, mark, 0);
        return st;
    }
    return nx_path_remove(&r->payload, now, &path, r->err);
}

static nx_status resolve_payload(resolving *r, const nx_op *op)
{
    const nx_block *now;
    nx_stage_entry *e;
    nx_status       st = nx_stage_find(r->g, &e, op->id, r->err);

    if (st) return st;
    if (!nx_stage_exists(e)) {
        note_missing(r, op->id);
        return NX_OK;
    }
    st = nx_stage_load(r->g, &now, e, r->err);
    if (!st) st = edit_payload(r, op, nx_block_payload(now));
    if (st) return st;
    nx_value payload = {(const uint8_t *)r->payload.data, (uint32_t)r->payload.len};
    return add_made(r, NX_BLOCK_PATCH, &(nx_point){.id = op->id, .payload = payload});
}

/* ---- All points of which a payload says something ---- */

typedef struct looking {
    resolving *r;
    nx_path    path;
    nx_str     text;
    bool       found;
    nx_buf     ids; /* nx_point_id of those found */
} looking;

static bool is_text(nx_value v, nx_str text)
{
    return nx_value_kind_of(v) == NX_VALUE_TEXT && nx_str_eq(nx_value_text(v), text);
}

static bool look_at(void *ctx, nx_value v)
{
    looking      *l = ctx;
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        key;

    l->found = is_text(v, l->text);
    while (!l->found && !it.keys && nx_value_next(&it, &key, &item))
        l->found = is_text(item, l->text);
    return !l->found;
}

static nx_status look_in(looking *l, const nx_block *b)
{
    nx_point_id id = nx_block_id(b);

    l->found = false;
    nx_path_visit(&l->path, nx_block_payload(b), look_at, l);
    return l->found ? nx_buf_add(&l->ids, &id, sizeof id, l->r->err) : NX_OK;
}

static nx_status look_in_head(looking *l, nx_head *h)
{
    uint32_t  n = h ? nx_head_n_rows(h) : 0;
    nx_status st = NX_OK;

    for (uint32_t i = 0; !st && i < n; i++) {
        nx_head_row *row = nx_head_row_at(h, i);
        if (atomic_load(&row->death) || nx_stage_has(l->r->g, nx_block_id(row->block))) continue;
        st = look_in(l, row->block);
    }
    return st;
}

static nx_status look_in_seg(looking *l, nx_seg *s)
{
    nx_buf    row = {.max = NX_BLOCK_MAX};
    nx_status st = NX_OK;

    for (uint64_t i = 0; !st && i < s->head.n_rows; i++) {
        if (nx_seg_death(s, i)) continue;
        nx_buf_clear(&row);
        st = nx_seg_row_bare(s, &row, i, l->r->err);
        const nx_block *b = (const nx_block *)(const void *)row.data;
        if (!st && !nx_stage_has(l->r->g, nx_block_id(b))) st = look_in(l, b);
    }
    nx_buf_free(&row);
    return st;
}

static nx_status look_in_stage(looking *l)
{
    nx_stage *g = l->r->g;
    nx_status st = NX_OK;

    for (uint32_t i = 0; !st && i < g->n; i++) {
        const nx_block *b;
        if (!nx_stage_exists(&g->entries[i])) continue;
        st = nx_stage_load(g, &b, &g->entries[i], l->r->err);
        if (!st) st = look_in(l, b);
    }
    return st;
}

static nx_status resolve_delete_where(resolving *r, const nx_op *op)
{
    nx_collection *c = r->g->c;
    looking        l = {.r = r, .ids.max = (size_t)1 << 30};
    nx_status      st = nx_path_parse(&l.path, path_of(r, op), r->err);

    l.text = (nx_str){r->batch->data.data + op->value, op->value_n};
    if (!st) st = look_in_stage(&l);
    if (!st) st = look_in_head(&l, c->head);
    if (!st) st = look_in_head(&l, c->frozen);
    for (int i = 0; !st && i < c->n_segs; i++) st = look_in_seg(&l, c->segs[i]);
    for (size_t i = 0; !st && i < l.ids.len; i += sizeof(nx_point_id))
        st = resolve_delete(r, *(const nx_point_id *)(const void *)(l.ids.data + i));
    nx_buf_free(&l.ids);
    return st;
}

nx_status nx_resolve(nx_stage *g, nx_buf *record, const nx_writes *b, nx_write_result *result,
                     nx_error *err)
{
    resolving r = {g, record, b, result, {.max = NX_PAYLOAD_MAX}, err};
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < b->n; i++) {
        const nx_op *op = &b->ops[i];
        switch (op->kind) {
        case NX_OP_PUT:
        case NX_OP_VECTORS: st = resolve_block(&r, op); break;
        case NX_OP_DELETE: st = resolve_delete(&r, op->id); break;
        case NX_OP_DELETE_WHERE: st = resolve_delete_where(&r, op); break;
        case NX_OP_SET:
        case NX_OP_OVERWRITE:
        case NX_OP_REMOVE: st = resolve_payload(&r, op); break;
        }
    }
    nx_buf_free(&r.payload);
    return st;
}
