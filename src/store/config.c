/* config.c - a collection's configuration. */
#include "store/config.h"

#include <string.h>

#include "base/utf8.h"
#include "store/record.h"

static nx_status check_text(nx_str s, size_t max, const char *what, nx_error *err)
{
    if (s.len > max) return nx_fail(err, NX_EINVAL, "%s: %zu bytes, at most %zu", what, s.len, max);
    if (!nx_utf8_valid(s.p, s.len, NULL)) return nx_fail(err, NX_EINVAL, "%s: not UTF-8", what);
    return NX_OK;
}

static nx_status check_slot(const nx_slot *s, nx_error *err)
{
    nx_status st = check_text(s->name, NX_SLOT_NAME_MAX, "name of a vector", err);

    if (!st) st = check_text(s->model, NX_SLOT_TEXT_MAX, "name of a model", err);
    if (!st) st = check_text(s->prompt, NX_SLOT_TEXT_MAX, "prompt", err);
    if (st) return st;
    bool sparse = s->form == NX_FORM_SPARSE;
    if (s->form < NX_FORM_DENSE || s->form > NX_FORM_MULTI || s->distance > NX_MANHATTAN ||
        s->storage > NX_STORE_F16_SQ8 || (s->storage && s->form != NX_FORM_DENSE) ||
        (s->idf && !sparse))
        return nx_fail(err, NX_EINVAL, "vector \"%.*s\": no such kind", (int)s->name.len,
                       s->name.p);
    if (sparse ? s->dim != 0 : s->dim < 1 || s->dim > NX_DIM_MAX)
        return nx_fail(err, NX_EINVAL, "vector \"%.*s\": dimension %d, expected 1 to %d",
                       (int)s->name.len, s->name.p, s->dim, NX_DIM_MAX);
    return NX_OK;
}

nx_status nx_config_check(const nx_config *c, nx_error *err)
{
    if (c->n_slots < 0 || c->n_slots > NX_SLOTS_MAX)
        return nx_fail(err, NX_EINVAL, "%d vectors, at most %d", c->n_slots, NX_SLOTS_MAX);
    for (int32_t i = 0; i < c->n_slots; i++) {
        nx_status st = check_slot(&c->slots[i], err);
        if (st) return st;
        if (nx_config_slot(c, c->slots[i].name) != i)
            return nx_fail(err, NX_EINVAL, "vector \"%.*s\" is there twice",
                           (int)c->slots[i].name.len, c->slots[i].name.p);
    }
    return check_text(c->note, NX_CONFIG_NOTE_MAX, "note", err);
}

int32_t nx_config_slot(const nx_config *c, nx_str name)
{
    for (int32_t i = 0; i < c->n_slots; i++)
        if (nx_str_eq(c->slots[i].name, name)) return i;
    return -1;
}

/* ---- Bytes ---- */

static nx_status add_slot(nx_buf *out, const nx_slot *s, nx_error *err)
{
    uint8_t   kinds[4] = {(uint8_t)s->form, (uint8_t)s->distance, (uint8_t)s->storage, s->idf};
    uint32_t  dim = (uint32_t)s->dim;
    nx_status st = nx_buf_add(out, kinds, 4, err);

    if (!st) st = nx_buf_add(out, &dim, 4, err);
    if (!st) st = nx_record_add_text(out, s->name, err);
    if (!st) st = nx_record_add_text(out, s->model, err);
    if (!st) st = nx_record_add_text(out, s->prompt, err);
    return st;
}

nx_status nx_config_write(nx_buf *out, const nx_config *c, nx_error *err)
{
    uint16_t  n = (uint16_t)c->n_slots;
    nx_status st = nx_buf_add(out, &n, 2, err);

    for (int32_t i = 0; !st && i < c->n_slots; i++) st = add_slot(out, &c->slots[i], err);
    return st ? st : nx_record_add_text(out, c->note, err);
}

static void read_slot(nx_slot *s, nx_record *r)
{
    *s = (nx_slot){.form = nx_record_u8(r)};
    s->distance = nx_record_u8(r);
    s->storage = nx_record_u8(r);
    s->idf = nx_record_u8(r) != 0;
    uint32_t dim = nx_record_u32(r);
    s->dim = dim <= NX_DIM_MAX ? (int32_t)dim : -1;
    s->name = nx_record_text(r);
    s->model = nx_record_text(r);
    s->prompt = nx_record_text(r);
}

nx_status nx_config_read(nx_config *out, const void *bytes, size_t n, nx_error *err)
{
    nx_record r = {bytes, n, false};
    uint16_t  n_slots = nx_record_u16(&r);
    nx_error  inner;

    *out = (nx_config){0};
    if (n_slots > NX_SLOTS_MAX) r.bad = true;
    for (int i = 0; !r.bad && i < n_slots; i++) read_slot(&out->slots[out->n_slots++], &r);
    out->note = nx_record_text(&r);
    if (nx_record_bad(&r)) return nx_fail(err, NX_EFORMAT, "configuration: cut, or too long");
    if (nx_config_check(out, &inner))
        return nx_fail(err, NX_EFORMAT, "configuration: %s", inner.text);
    return NX_OK;
}
