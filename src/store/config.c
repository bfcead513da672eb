/* config.c - a collection's configuration. */
#include "store/config.h"

#include <string.h>

#include "base/utf8.h"

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
        s->storage > NX_STORE_SQ8 || (s->storage && s->form != NX_FORM_DENSE) ||
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

static nx_status add_text(nx_buf *out, nx_str s, nx_error *err)
{
    uint32_t  len = (uint32_t)s.len;
    nx_status st = nx_buf_add(out, &len, 4, err);

    return st || len == 0 ? st : nx_buf_add(out, s.p, s.len, err);
}

static nx_status add_slot(nx_buf *out, const nx_slot *s, nx_error *err)
{
    uint8_t   kinds[4] = {(uint8_t)s->form, (uint8_t)s->distance, (uint8_t)s->storage, s->idf};
    uint32_t  dim = (uint32_t)s->dim;
    nx_status st = nx_buf_add(out, kinds, 4, err);

    if (!st) st = nx_buf_add(out, &dim, 4, err);
    if (!st) st = add_text(out, s->name, err);
    if (!st) st = add_text(out, s->model, err);
    if (!st) st = add_text(out, s->prompt, err);
    return st;
}

nx_status nx_config_write(nx_buf *out, const nx_config *c, nx_error *err)
{
    uint16_t  n = (uint16_t)c->n_slots;
    nx_status st = nx_buf_add(out, &n, 2, err);

    for (int32_t i = 0; !st && i < c->n_slots; i++) st = add_slot(out, &c->slots[i], err);
    return st ? st : add_text(out, c->note, err);
}

typedef struct reader {
    const char *p;
    size_t      left;
    bool        bad;
} reader;

static const void *take(reader *r, size_t n)
{
    static const char zeros[8];

    if (r->bad || n > r->left) {
        r->bad = true;
        return zeros;
    }
    const char *p = r->p;
    r->p += n;
    r->left -= n;
    return p;
}

static nx_str take_text(reader *r)
{
    uint32_t len;

    memcpy(&len, take(r, 4), 4);
    const char *p = take(r, len);
    return r->bad ? (nx_str){"", 0} : (nx_str){p, len};
}

static void read_slot(nx_slot *s, reader *r)
{
    uint8_t  kinds[4];
    uint32_t dim;

    memcpy(kinds, take(r, 4), 4);
    memcpy(&dim, take(r, 4), 4);
    *s = (nx_slot){.form = kinds[0],
                   .distance = kinds[1],
                   .storage = kinds[2],
                   .idf = kinds[3] != 0,
                   .dim = dim <= NX_DIM_MAX ? (int32_t)dim : -1};
    s->name = take_text(r);
    s->model = take_text(r);
    s->prompt = take_text(r);
}

nx_status nx_config_read(nx_config *out, const void *bytes, size_t n, nx_error *err)
{
    reader   r = {bytes, n, false};
    uint16_t n_slots;
    nx_error inner;

    *out = (nx_config){0};
    memcpy(&n_slots, take(&r, 2), 2);
    if (n_slots > NX_SLOTS_MAX) r.bad = true;
    for (int i = 0; !r.bad && i < n_slots; i++) read_slot(&out->slots[out->n_slots++], &r);
    out->note = take_text(&r);
    if (r.bad || r.left > 0) return nx_fail(err, NX_EFORMAT, "configuration: cut, or too long");
    if (nx_config_check(out, &inner))
        return nx_fail(err, NX_EFORMAT, "configuration: %s", inner.text);
    return NX_OK;
}
