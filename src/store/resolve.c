/* resolve.c - operations that depend on what is there become blocks that don't, so that the log
 * says the same whenever it is read. */
#include "store/resolve.h"

#include "store/match.h"
#include "store/path.h"

typedef struct resolving {
    nx_stage          *g;
    nx_buf            *record;
    const nx_writes   *batch;
    nx_write_result   *result;
    const nx_settings *settings;
    nx_buf             payload; /* scratch */
    nx_error          *err;
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

/* May the operation touch this point, which exists? */
static nx_status allows(resolving *r, bool *out, const nx_op *op, const nx_stage_entry *e)
{
    nx_match        m = {.filter = op->only, .config = config_of(r), .settings = r->settings};
    const nx_block *b;
    nx_status       st;

    *out = true;
    if (!op->only) return NX_OK;
    st = nx_match_begin(&m, r->err);
    if (st) return st;
    if (e->state == NX_STAGE_AS_IS && e->seg) {
        st = nx_match_row(&m, out, e->seg, e->row, e->id, r->err);
    } else {
        st = nx_stage_load(r->g, &b, e, r->err);
        *out = !st && nx_match_block(&m, b);
    }
    if (!st) st = nx_match_end(&m, r->err);
    nx_match_free(&m);
    r->result->n_barred += !st && !*out;
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
    bool may = true;
    if (there) st = allows(r, &may, op, e);
    return st || !may ? st : add_block(r, b);
}

static nx_status resolve_delete(resolving *r, const nx_op *op, nx_point_id id)
{
    nx_stage_entry *e;
    bool            may = false;
    nx_status       st = nx_stage_find(r->g, &e, id, r->err);

    if (!st && nx_stage_exists(e)) st = allows(r, &may, op, e);
    return st || !may ? st : add_made(r, NX_BLOCK_DELETE, &(nx_point){.id = id});
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

static nx_status resolve_payload(resolving *r, const nx_op *op, nx_point_id id)
{
    const nx_block *now;
    nx_stage_entry *e;
    bool            may;
    nx_status       st = nx_stage_find(r->g, &e, id, r->err);

    if (st) return st;
    if (!nx_stage_exists(e)) {
        note_missing(r, id);
        return NX_OK;
    }
    st = allows(r, &may, op, e);
    if (st || !may) return st;
    st = nx_stage_load(r->g, &now, e, r->err);
    if (!st) st = edit_payload(r, op, nx_block_payload(now));
    if (st) return st;
    nx_value payload = {(const uint8_t *)r->payload.data, (uint32_t)r->payload.len};
    return add_made(r, NX_BLOCK_PATCH, &(nx_point){.id = id, .payload = payload});
}

static nx_status drop_vectors(resolving *r, const nx_op *op, nx_point_id id)
{
    nx_vector gone[NX_SLOTS_MAX];
    nx_point  p = {.id = id, .vectors = gone};

    for (int32_t slot = 0; slot < config_of(r)->n_slots; slot++)
        if (op->slots >> slot & 1)
            gone[p.n_vectors++] = (nx_vector){.slot = slot, .form = NX_FORM_GONE};
    return p.n_vectors ? add_made(r, NX_BLOCK_PATCH, &p) : NX_OK;
}

/* ---- All points for which a filter holds ---- */

typedef struct looking {
    resolving *r;
    nx_match   match;
    nx_buf     ids; /* nx_point_id of those found */
} looking;

static nx_status found(looking *l, nx_point_id id)
{
    return nx_buf_add(&l->ids, &id, sizeof id, l->r->err);
}

static nx_status look_in_head(looking *l, nx_head *h)
{
    uint32_t  n = h ? nx_head_n_rows(h) : 0;
    nx_status st = NX_OK;

    for (uint32_t i = 0; !st && i < n; i++) {
        nx_head_row *row = nx_head_row_at(h, i);
        nx_point_id  id = nx_block_id(row->block);
        if (atomic_load(&row->death) || nx_stage_has(l->r->g, id)) continue;
        if (nx_match_block(&l->match, row->block)) st = found(l, id);
    }
    return st;
}

static nx_status look_in_seg(looking *l, nx_seg *s)
{
    nx_wanted w = {0};
    nx_status st = nx_match_wanted(&l->match, &w, s, l->r->err);

    for (uint64_t i = 0; !st && nx_wanted_next(&w, &i); i++) {
        nx_point_id id;
        bool        fits = true;
        if (nx_seg_death(s, i)) continue;
        st = nx_seg_id(s, &id, i, l->r->err);
        if (st || nx_stage_has(l->r->g, id)) continue;
        if (!w.exact) st = nx_match_row(&l->match, &fits, s, i, id, l->r->err);
        if (!st && fits) st = found(l, id);
    }
    nx_wanted_free(&w);
    return st;
}

/* Points that this request has touched, as it has left them. */
static nx_status look_in_stage(looking *l)
{
    nx_stage *g = l->r->g;
    nx_status st = NX_OK;

    for (uint32_t i = 0; !st && i < g->n; i++) {
        const nx_block *b;
        if (!nx_stage_exists(&g->entries[i])) continue;
        st = nx_stage_load(g, &b, &g->entries[i], l->r->err);
        if (!st && nx_match_block(&l->match, b)) st = found(l, g->entries[i].id);
    }
    return st;
}

static nx_status look(looking *l)
{
    nx_collection *c = l->r->g->c;
    nx_status      st = nx_match_begin(&l->match, l->r->err);

    if (!st) st = look_in_stage(l);
    if (!st) st = look_in_head(l, c->head);
    if (!st) st = look_in_head(l, c->frozen);
    for (int i = 0; !st && i < c->n_segs; i++) st = look_in_seg(l, c->segs[i]);
    return st ? st : nx_match_end(&l->match, l->r->err);
}

/* ---- Operations ---- */

static nx_status resolve_one(resolving *r, const nx_op *op, nx_point_id id)
{
    switch (op->kind) {
    case NX_OP_PUT:
    case NX_OP_VECTORS: return resolve_block(r, op);
    case NX_OP_DELETE:
    case NX_OP_DELETE_WHERE: return resolve_delete(r, op, id);
    case NX_OP_DROP_VECTORS: return drop_vectors(r, op, id);
    case NX_OP_SET:
    case NX_OP_OVERWRITE:
    case NX_OP_REMOVE: return resolve_payload(r, op, id);
    }
    return NX_OK;
}

/* First which points, then what becomes of them by [n] operations: a change doesn't make another point
 * fit, nor keep one from what follows. */
static nx_status resolve_all(resolving *r, const nx_op *ops, size_t n, const nx_filter *filter)
{
    looking   l = {.r = r,
                   .match = {.filter = filter, .config = config_of(r), .settings = r->settings},
                   .ids.max = (size_t)1 << 30};
    nx_status st = look(&l);

    for (size_t i = 0; !st && i < l.ids.len; i += sizeof(nx_point_id))
        for (size_t k = 0; !st && k < n; k++)
            st = resolve_one(r, &ops[k], *(const nx_point_id *)(const void *)(l.ids.data + i));
    nx_match_free(&l.match);
    nx_buf_free(&l.ids);
    return st;
}

static nx_status resolve_where(resolving *r, const nx_op *op)
{
    nx_str       text = {r->batch->data.data + op->value, op->value_n};
    nx_condition is = {.kind = NX_COND_TEXT_ANY, .texts = &text, .n_texts = 1};
    nx_filter    filter = {.must = &is, .n_must = 1};
    nx_status    st = nx_path_parse(&is.path, path_of(r, op), r->err);

    return st ? st : resolve_all(r, op, 1, &filter);
}

nx_status nx_resolve(nx_stage *g, nx_buf *record, const nx_writes *b, nx_write_result *result,
                     nx_error *err)
{
    const nx_settings *settings = nx_collection_settings(g->c);
    resolving          r = {g, record, b, result, settings, {.max = NX_PAYLOAD_MAX}, err};
    nx_status          st = NX_OK;

    for (size_t i = 0, n; !st && i < b->n; i += n) {
        const nx_op *op = &b->ops[i];
        for (n = 1; i + n < b->n && op[n].same;) n++;
        if (op->kind == NX_OP_DELETE_WHERE)
            st = resolve_where(&r, op);
        else if (op->all)
            st = resolve_all(&r, op, n, op->all);
        else
            st = resolve_one(&r, op, op->id);
    }
    nx_buf_free(&r.payload);
    nx_settings_release(settings);
    return st;
}
