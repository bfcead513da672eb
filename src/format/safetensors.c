/* safetensors.c - parses and checks one safetensors file in memory.
 *
 * Idea:      the header is JSON; base/jsonread.h reads it. Each tensor's shape and type give its
 *            size, its offsets must agree; sorted by offset they must follow one another from the
 *            first byte of the data section to its last, so no byte belongs to two or to none.
 */
#include "format/safetensors.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "format/printable.h"

enum { LENGTH_BYTES = 8 };

typedef struct type_row {
    const char *name;
    int         bits;
} type_row;

static const type_row types[] = {
#define X(NAME, bits) {#NAME, bits},
    NX_ST_TABLE(X)
#undef X
};

const char *nx_st_dtype_name(nx_st_dtype t)
{
    return types[t].name;
}

int nx_st_dtype_bits(nx_st_dtype t)
{
    return types[t].bits;
}

/* ---- Messages ---- */

static nx_status NX_PRINTF(5, 6)
    refuse(const nx_safetensors *s, nx_str name, nx_status st, nx_error *err, const char *fmt, ...)
{
    char    text[320], shown[120];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return nx_fail(err, st, "%s: tensor %s: %s", s->name, nx_printable(shown, sizeof shown, name),
                   text);
}

/* ---- One entry of the header ---- */

static nx_status take_dtype(const nx_safetensors *s, nx_st_tensor *t, const nx_json *v,
                            nx_error *err)
{
    char   shown[40];
    nx_str text;

    if (!nx_json_get_string(v, "dtype", &text))
        return refuse(s, t->name, NX_EFORMAT, err, "dtype is %s, expected a string",
                      nx_json_type_name(nx_json_get(v, "dtype")));
    for (int i = 0; i < NX_ST_COUNT; i++) {
        if (!nx_str_eq(text, nx_str_of(types[i].name))) continue;
        t->dtype = (nx_st_dtype)i;
        return NX_OK;
    }
    return refuse(s, t->name, NX_EUNSUPPORTED, err,
                  "type \"%s\" is none that this program knows. Damaged file, or newer than the "
                  "program?",
                  nx_printable(shown, sizeof shown, text));
}

/* Shape, and from it and the type the size in bytes. */
static nx_status take_shape(const nx_safetensors *s, nx_st_tensor *t, const nx_json *v,
                            nx_error *err)
{
    const nx_json *shape = nx_json_get(v, "shape");
    uint64_t       n = 1, bits;

    if (!shape || shape->type != NX_JSON_ARRAY)
        return refuse(s, t->name, NX_EFORMAT, err, "shape is %s, expected an array",
                      nx_json_type_name(shape));
    if (shape->array.n > NX_ST_DIMS_MAX)
        return refuse(s, t->name, NX_EUNSUPPORTED, err, "%zu dimensions, expected at most %d",
                      shape->array.n, NX_ST_DIMS_MAX);
    t->n_dims = (int32_t)shape->array.n;
    for (int32_t d = 0; d < t->n_dims; d++) {
        const nx_json *side = &shape->array.items[d];
        if (side->type != NX_JSON_INT || side->i < 0 ||
            __builtin_mul_overflow(n, (uint64_t)side->i, &n) || n > INT64_MAX)
            return refuse(s, t->name, NX_EFORMAT, err,
                          "side %d of its shape: expected a whole number, and a product below "
                          "2^63. Damaged file?",
                          d);
        t->shape[d] = side->i;
    }
    if (__builtin_mul_overflow(n, (uint64_t)types[t->dtype].bits, &bits) || bits % 8 != 0)
        return refuse(s, t->name, NX_EFORMAT, err, "%" PRIu64 " numbers of %d bits are no bytes", n,
                      types[t->dtype].bits);
    t->bytes = (size_t)(bits / 8);
    return NX_OK;
}

static nx_status take_offsets(const nx_safetensors *s, nx_st_tensor *t, const nx_json *v,
                              nx_error *err)
{
    const nx_json *o = nx_json_get(v, "data_offsets");
    uint64_t       room = s->bytes - s->data_at;

    if (!o || o->type != NX_JSON_ARRAY || o->array.n != 2 ||
        o->array.items[0].type != NX_JSON_INT || o->array.items[1].type != NX_JSON_INT)
        return refuse(s, t->name, NX_EFORMAT, err,
                      "data_offsets is %s, expected an array of two whole numbers",
                      nx_json_type_name(o));
    int64_t from = o->array.items[0].i, to = o->array.items[1].i;
    if (from < 0 || to < from || (uint64_t)to > room)
        return refuse(s, t->name, NX_EFORMAT, err,
                      "data_offsets %" PRId64 " to %" PRId64 ", expected to lie in the %" PRIu64
                      " bytes after the header. Truncated download?",
                      from, to, room);
    if ((uint64_t)(to - from) != t->bytes)
        return refuse(s, t->name, NX_EFORMAT, err,
                      "data_offsets %" PRId64 " to %" PRId64 " are %" PRId64
                      " bytes, expected %zu from its shape and type %s",
                      from, to, to - from, t->bytes, types[t->dtype].name);
    t->at = s->data_at + (uint64_t)from;
    t->data = s->data + t->at;
    return NX_OK;
}

static nx_status take_entry(nx_safetensors *s, const nx_json_member *m, nx_error *err)
{
    nx_st_tensor *t = &s->tensors[s->n_tensors];
    nx_status     st;

    *t = (nx_st_tensor){.name = m->key};
    if (m->key.len == 0 || memchr(m->key.p, '\0', m->key.len))
        return refuse(s, m->key, NX_EFORMAT, err, "expected a name without zero bytes");
    if (m->value.type != NX_JSON_OBJECT)
        return refuse(s, m->key, NX_EFORMAT, err, "%s, expected an object",
                      nx_json_type_name(&m->value));
    st = take_dtype(s, t, &m->value, err);
    if (!st) st = take_shape(s, t, &m->value, err);
    if (!st) st = take_offsets(s, t, &m->value, err);
    if (!st) s->n_tensors++;
    return st;
}

/* __metadata__ maps strings to strings. */
static nx_status take_metadata(nx_safetensors *s, const nx_json *v, nx_error *err)
{
    if (s->metadata) return nx_fail(err, NX_EFORMAT, "%s: __metadata__ twice", s->name);
    if (v->type != NX_JSON_OBJECT)
        return nx_fail(err, NX_EFORMAT, "%s: __metadata__: %s, expected an object", s->name,
                       nx_json_type_name(v));
    for (size_t i = 0; i < v->object.n; i++)
        if (v->object.members[i].value.type != NX_JSON_STRING)
            return nx_fail(err, NX_EFORMAT, "%s: __metadata__: a value is %s, expected a string",
                           s->name, nx_json_type_name(&v->object.members[i].value));
    s->metadata = v;
    return NX_OK;
}

/* ---- The whole header ---- */

static nx_status parse_header(nx_safetensors *s, nx_error *err)
{
    uint64_t len = 0;

    if (s->bytes < LENGTH_BYTES)
        return nx_fail(err, NX_EFORMAT,
                       "%s: %zu bytes, expected at least the 8 of a safetensors header's length. "
                       "Truncated download?",
                       s->name, s->bytes);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) len = len << 8 | s->data[i];
    if (len > NX_ST_HEADER_MAX || len > s->bytes - LENGTH_BYTES)
        return nx_fail(err, NX_EFORMAT,
                       "%s: header of %" PRIu64 " bytes, expected at most %d, and %zu remain. Not "
                       "a safetensors file, or truncated?",
                       s->name, len, NX_ST_HEADER_MAX, s->bytes - LENGTH_BYTES);
    s->data_at = LENGTH_BYTES + len;
    if (len == 0 || s->data[LENGTH_BYTES] != '{')
        return nx_fail(err, NX_EFORMAT,
                       "%s: byte 8: expected the '{' of a header. Not a safetensors file?",
                       s->name);
    nx_status st = nx_json_parse(&s->header, s->name, (const char *)s->data + LENGTH_BYTES,
                                 (size_t)len, 0, err);
    return st ? nx_fail_prefix(err, st, "header") : NX_OK;
}

static nx_status read_entries(nx_safetensors *s, nx_error *err)
{
    const nx_json *root = s->header.root;
    nx_status      st = NX_OK;

    if (root->object.n > NX_ST_TENSORS_MAX)
        return nx_fail(err, NX_EFORMAT, "%s: %zu tensors, expected at most %d", s->name,
                       root->object.n, NX_ST_TENSORS_MAX);
    s->tensors = nx_alloc(root->object.n, sizeof *s->tensors);
    if (!s->tensors)
        return nx_fail(err, NX_ENOMEM, "%s: out of memory for %zu tensors", s->name,
                       root->object.n);
    for (size_t i = 0; i < root->object.n && !st; i++) {
        const nx_json_member *m = &root->object.members[i];
        if (nx_str_eq(m->key, NX_STR("__metadata__")))
            st = take_metadata(s, &m->value, err);
        else
            st = take_entry(s, m, err);
    }
    return st;
}

static int by_place(const void *pa, const void *pb)
{
    const nx_st_tensor *a = pa, *b = pb;

    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1; /* empty ones come first */
    return (a->name.p > b->name.p) - (a->name.p < b->name.p);
}

static nx_status check_tiling(nx_safetensors *s, nx_error *err)
{
    uint64_t end = s->data_at;

    qsort(s->tensors, (size_t)s->n_tensors, sizeof *s->tensors, by_place);
    for (int64_t i = 0; i < s->n_tensors; i++) {
        const nx_st_tensor *t = &s->tensors[i];
        if (t->at != end)
            return refuse(s, t->name, NX_EFORMAT, err,
                          "begins at byte %" PRIu64 ", expected %" PRIu64
                          " where the one before ends. Damaged header?",
                          t->at, end);
        end = t->at + t->bytes;
    }
    if (end == s->bytes) return NX_OK;
    return nx_fail(err, NX_EFORMAT,
                   "%s: its tensors end at byte %" PRIu64 ", expected the file's end at %zu",
                   s->name, end, s->bytes);
}

static nx_status index_names(nx_safetensors *s, nx_error *err)
{
    int64_t   first, second;
    nx_status st = nx_name_index_alloc(&s->index, s->n_tensors, err);

    if (st) return st;
    for (int64_t i = 0; i < s->n_tensors; i++)
        s->index.entries[i] = (nx_name_entry){s->tensors[i].name, i};
    if (nx_name_index_sort(&s->index, &first, &second)) return NX_OK;
    return refuse(s, s->tensors[first].name, NX_EFORMAT, err, "is in the header twice");
}

nx_status nx_safetensors_read(nx_safetensors *s, const char *path, const void *data, size_t bytes,
                              nx_error *err)
{
    nx_printable_path(s->name, sizeof s->name, path);
    s->data = data;
    s->bytes = bytes;
    nx_status st = parse_header(s, err);
    if (!st) st = read_entries(s, err);
    if (!st) st = check_tiling(s, err);
    return st ? st : index_names(s, err);
}

void nx_safetensors_free(nx_safetensors *s)
{
    nx_json_doc_free(&s->header);
    nx_free(s->tensors);
    nx_name_index_free(&s->index);
    *s = (nx_safetensors){0};
}

const nx_st_tensor *nx_safetensors_find(const nx_safetensors *s, nx_str name)
{
    int64_t i = nx_name_index_find(&s->index, name);

    return i < 0 ? NULL : &s->tensors[i];
}
