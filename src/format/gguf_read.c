/* gguf_read.c - parses and checks one GGUF file in memory.
 *
 * Idea:      one cursor that never moves past the end. Each number is checked against the bytes
 *            that remain before it sizes anything; lists grow as entries prove to be there, so a
 *            lying count costs nothing.
 * Invariant: on success tensors tile the data section in the order of their offsets, without gap
 *            or overlap, and at most a little zero padding follows. So a changed count, size, type
 *            or offset can't shift the weights in silence.
 */
#include "format/gguf_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "format/printable.h"

enum {
    HEADER_BYTES = 24,    /* magic, version, two counts */
    META_BYTES_MIN = 14,  /* key length and one byte of key, type, the smallest value */
    ENTRY_BYTES_MIN = 33, /* name length and one byte of name, rank, one dimension, type, offset */
};

typedef struct reader {
    nx_gguf  *g;
    uint64_t  pos;        /* <= g->bytes */
    char      field[128]; /* what is being read: "metadata 17 (tokenizer.ggml.scores)" */
    nx_error *err;
} reader;

/* ---- Messages: FILE: FIELD at byte N: what was found, what was expected. Hint? ---- */

static nx_status NX_PRINTF(4, 5) refuse(reader *r, nx_status st, uint64_t at, const char *fmt, ...)
{
    char    text[sizeof r->err->text];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return nx_fail(r->err, st, "%s: %s at byte %llu: %s", r->g->name, r->field,
                   (unsigned long long)at, text);
}

static void name_field(reader *r, const char *kind, int64_t i, nx_str name)
{
    char shown[80];

    snprintf(r->field, sizeof r->field, "%s %lld (%s)", kind, (long long)i,
             nx_printable(shown, sizeof shown, name));
}

static nx_status no_memory(reader *r, const char *what)
{
    return nx_fail(r->err, NX_ENOMEM, "%s: out of memory for %s", r->g->name, what);
}

/* ---- Cursor ---- */

uint32_t nx_gguf_u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t nx_gguf_u64(const unsigned char *p)
{
    return nx_gguf_u32(p) | (uint64_t)nx_gguf_u32(p + 4) << 32;
}

static uint64_t remaining(const reader *r)
{
    return r->g->bytes - r->pos;
}

/* Let *out view the next n bytes and move past them. */
static nx_status take(reader *r, const unsigned char **out, uint64_t n, const char *what)
{
    if (n > remaining(r))
        return refuse(r, NX_EFORMAT, r->pos,
                      "%s needs %llu bytes, %llu remain. Truncated or damaged file?", what,
                      (unsigned long long)n, (unsigned long long)remaining(r));
    *out = r->g->data + r->pos;
    r->pos += n;
    return NX_OK;
}

static nx_status take_u32(reader *r, uint32_t *out, const char *what)
{
    const unsigned char *p = NULL;
    nx_status            st = take(r, &p, 4, what);

    if (!st) *out = nx_gguf_u32(p);
    return st;
}

static nx_status take_u64(reader *r, uint64_t *out, const char *what)
{
    const unsigned char *p = NULL;
    nx_status            st = take(r, &p, 8, what);

    if (!st) *out = nx_gguf_u64(p);
    return st;
}

/* A length and that many bytes. */
static nx_status take_string(reader *r, nx_str *out, const char *what)
{
    const unsigned char *p = NULL;
    uint64_t             len;
    nx_status            st = take_u64(r, &len, what);

    if (!st) st = take(r, &p, len, what);
    if (!st) *out = (nx_str){(const char *)p, (size_t)len};
    return st;
}

/* A name: a string of 1 to max bytes. */
static nx_status take_name(reader *r, nx_str *out, uint64_t max, const char *what)
{
    uint64_t  at = r->pos, len;
    nx_status st = take_u64(r, &len, what);

    if (st) return st;
    if (len == 0 || len > max)
        return refuse(r, NX_EFORMAT, at, "%s of %llu bytes, expected 1 to %llu. Damaged file?",
                      what, (unsigned long long)len, (unsigned long long)max);
    r->pos = at;
    return take_string(r, out, what);
}

/* ---- Metadata ---- */

size_t nx_meta_type_bytes(nx_meta_type t)
{
    static const uint8_t bytes[] = {
        [NX_META_U8] = 1,  [NX_META_I8] = 1,  [NX_META_U16] = 2, [NX_META_I16] = 2,
        [NX_META_U32] = 4, [NX_META_I32] = 4, [NX_META_F32] = 4, [NX_META_BOOL] = 1,
        [NX_META_U64] = 8, [NX_META_I64] = 8, [NX_META_F64] = 8,
    };
    return bytes[t];
}

static nx_status take_type(reader *r, nx_meta_type *out, const char *what)
{
    uint32_t  type;
    uint64_t  at = r->pos;
    nx_status st = take_u32(r, &type, what);

    if (st) return st;
    if (type > NX_META_F64)
        return refuse(r, NX_EFORMAT, at, "%s %u, expected 0 to %d. Damaged file?", what, type,
                      (int)NX_META_F64);
    *out = (nx_meta_type)type;
    return NX_OK;
}

static nx_status check_bools(reader *r, const nx_meta *m)
{
    for (uint64_t i = 0; i < m->n; i++) {
        if (m->data[i] <= 1) continue;
        return refuse(r, NX_EFORMAT, m->offset + i, "boolean of value %u, expected 0 or 1",
                      (unsigned)m->data[i]);
    }
    return NX_OK;
}

static nx_status take_strings(reader *r, nx_meta *m)
{
    nx_str    s;
    nx_status st = NX_OK;

    if (m->n > remaining(r) / 8)
        return refuse(r, NX_EFORMAT, r->pos,
                      "array of %llu strings, %llu bytes remain. Truncated or damaged file?",
                      (unsigned long long)m->n, (unsigned long long)remaining(r));
    for (uint64_t i = 0; i < m->n && !st; i++) st = take_string(r, &s, "string of an array");
    return st;
}

static nx_status take_numbers(reader *r, nx_meta *m, nx_meta_type type)
{
    const unsigned char *p = NULL;
    uint64_t             bytes;

    if (__builtin_mul_overflow(m->n, (uint64_t)nx_meta_type_bytes(type), &bytes) ||
        bytes > remaining(r))
        return refuse(
            r, NX_EFORMAT, r->pos, "%llu of type %s, %llu bytes remain. Truncated or damaged file?",
            (unsigned long long)m->n, nx_meta_type_name(type), (unsigned long long)remaining(r));
    nx_status st = take(r, &p, bytes, "value");
    if (!st && type == NX_META_BOOL) st = check_bools(r, m);
    return st;
}

/* Element type, count, elements. Arrays of arrays exist on paper only: no reader in use takes
 * them, and refusing them means that nothing here can recurse. */
static nx_status take_array(reader *r, nx_meta *m)
{
    uint64_t  at = r->pos;
    nx_status st = take_type(r, &m->elem_type, "array element type");

    if (st) return st;
    if (m->elem_type == NX_META_ARRAY)
        return refuse(r, NX_EUNSUPPORTED, at,
                      "array of arrays, expected an array of numbers, booleans or strings");
    st = take_u64(r, &m->n, "array length");
    if (st) return st;
    m->data = r->g->data + r->pos;
    m->offset = r->pos;
    return m->elem_type == NX_META_STRING ? take_strings(r, m) : take_numbers(r, m, m->elem_type);
}

static nx_status take_value(reader *r, nx_meta *m)
{
    nx_str s;

    m->n = 1;
    m->elem_type = m->type;
    m->data = r->g->data + r->pos;
    m->offset = r->pos;
    switch (m->type) {
    case NX_META_ARRAY: return take_array(r, m);
    case NX_META_STRING: return take_string(r, &s, "string");
    default: return take_numbers(r, m, m->type);
    }
}

static nx_status take_meta(reader *r, nx_meta *m, int64_t i)
{
    nx_status st;

    snprintf(r->field, sizeof r->field, "metadata %lld", (long long)i);
    st = take_name(r, &m->key, NX_GGUF_KEY_MAX, "key");
    if (st) return st;
    name_field(r, "metadata", i, m->key);
    st = take_type(r, &m->type, "value type");
    return st ? st : take_value(r, m);
}

/* Room for one more entry in a list that doubles. */
static void *grow(void *list, int64_t n, int64_t *cap, size_t size)
{
    if (n < *cap) return list;
    int64_t wanted = *cap ? *cap * 2 : 64;
    void   *p = nx_realloc(list, (size_t)wanted, size);
    if (p) *cap = wanted;
    return p;
}

static nx_status read_meta(reader *r, uint64_t count)
{
    nx_gguf *g = r->g;
    int64_t  cap = 0;

    for (uint64_t i = 0; i < count; i++) {
        nx_meta *list = grow(g->meta, g->n_meta, &cap, sizeof *list);
        if (!list) return no_memory(r, "the metadata");
        g->meta = list;
        list[i] = (nx_meta){0};
        nx_status st = take_meta(r, &list[i], (int64_t)i);
        if (st) return st;
        g->n_meta++;
    }
    return NX_OK;
}

static nx_status index_meta(reader *r)
{
    nx_gguf  *g = r->g;
    int64_t   first, second;
    nx_status st = nx_name_index_alloc(&g->meta_index, g->n_meta, r->err);

    if (st) return st;
    for (int64_t i = 0; i < g->n_meta; i++)
        g->meta_index.entries[i] = (nx_name_entry){g->meta[i].key, i};
    if (nx_name_index_sort(&g->meta_index, &first, &second)) return NX_OK;
    name_field(r, "metadata", second, g->meta[second].key);
    return refuse(r, NX_EFORMAT, g->meta[second].offset, "the key of metadata %lld again",
                  (long long)first);
}

static nx_status read_alignment(reader *r)
{
    int64_t i = nx_name_index_find(&r->g->meta_index, NX_STR("general.alignment"));
    int64_t a = 0;

    r->g->alignment = NX_GGUF_ALIGNMENT;
    if (i < 0) return NX_OK;
    const nx_meta *m = &r->g->meta[i];
    name_field(r, "metadata", i, m->key);
    if (!nx_meta_as_int(m, &a))
        return refuse(r, NX_EFORMAT, m->offset, "%s, expected an integer",
                      nx_meta_type_name(m->type));
    if (a < 8 || a > NX_GGUF_ALIGNMENT_MAX || (a & (a - 1)) != 0)
        return refuse(r, NX_EFORMAT, m->offset, "%lld, expected a power of two from 8 to %d",
                      (long long)a, NX_GGUF_ALIGNMENT_MAX);
    r->g->alignment = (uint64_t)a;
    return NX_OK;
}

/* ---- Tensor directory ---- */

static nx_status take_dims(reader *r, nx_tensor *t)
{
    uint32_t  n_dims;
    uint64_t  at = r->pos, total = 1;
    nx_status st = take_u32(r, &n_dims, "rank");

    if (st) return st;
    if (n_dims < 1 || n_dims > NX_TENSOR_DIMS_MAX)
        return refuse(r, NX_EFORMAT, at, "%u dimensions, expected 1 to %d. Damaged file?", n_dims,
                      NX_TENSOR_DIMS_MAX);
    t->n_dims = (int32_t)n_dims;
    for (int d = 0; d < NX_TENSOR_DIMS_MAX; d++) t->ne[d] = 1;
    for (uint32_t d = 0; d < n_dims; d++) {
        uint64_t ne;
        at = r->pos;
        st = take_u64(r, &ne, "dimension");
        if (st) return st;
        if (ne == 0 || ne > INT64_MAX || __builtin_mul_overflow(total, ne, &total) ||
            total > INT64_MAX)
            return refuse(r, NX_EFORMAT, at,
                          "dimension %u is %llu, expected 1 or more and a product below 2^63. "
                          "Damaged file?",
                          d, (unsigned long long)ne);
        t->ne[d] = (int64_t)ne;
    }
    return NX_OK;
}

static nx_status refuse_dtype(reader *r, uint64_t at, uint32_t id)
{
    const char *name = nx_gguf_type_name(id);
    char        known[160];
    size_t      len = 0;

    if (!name)
        return refuse(r, NX_EUNSUPPORTED, at,
                      "tensor type %u is none that this program knows. Damaged file, or newer "
                      "than the program?",
                      id);
    for (int i = 0; i < NX_DTYPE_GGUF_COUNT; i++) {
        const char *n = nx_gguf_type_name(nx_dtype_get((nx_dtype)i)->gguf_id);
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", n);
        if (len >= sizeof known) break;
    }
    return refuse(r, NX_EUNSUPPORTED, at,
                  "tensor type %s (%u) is not supported, expected one of %s", name, id, known);
}

/* Type number, and with it the size in bytes. */
static nx_status take_dtype(reader *r, nx_tensor *t)
{
    uint32_t  id;
    uint64_t  at = r->pos;
    nx_status st = take_u32(r, &id, "tensor type");

    if (st) return st;
    if (!nx_dtype_by_gguf_id(&t->dtype, id)) return refuse_dtype(r, at, id);
    const nx_dtype_info *info = nx_dtype_get(t->dtype);
    if (t->ne[0] % info->block_len != 0)
        return refuse(r, NX_EFORMAT, at, "rows of %lld numbers, expected a multiple of %d for %s",
                      (long long)t->ne[0], (int)info->block_len, info->name);
    uint64_t rows = (uint64_t)(t->ne[1] * t->ne[2] * t->ne[3]), bytes;
    uint64_t blocks = (uint64_t)(t->ne[0] / info->block_len) * rows;
    if (__builtin_mul_overflow(blocks, (uint64_t)info->block_bytes, &bytes) || bytes > INT64_MAX)
        return refuse(r, NX_EFORMAT, at, "%llu blocks of %d bytes exceed 2^63. Damaged file?",
                      (unsigned long long)blocks, (int)info->block_bytes);
    t->bytes = (size_t)bytes;
    return NX_OK;
}

static nx_status take_tensor(reader *r, nx_gguf_tensor *e, int64_t i)
{
    nx_str    name;
    nx_status st;

    *e = (nx_gguf_tensor){.entry_at = r->pos};
    snprintf(r->field, sizeof r->field, "tensor %lld", (long long)i);
    st = take_name(r, &name, NX_GGUF_NAME_MAX, "name");
    if (st) return st;
    name_field(r, "tensor", i, name);
    if (memchr(name.p, '\0', name.len))
        return refuse(r, NX_EFORMAT, e->entry_at, "a zero byte in its name. Damaged file?");
    e->t.name = nx_arena_strndup(&r->g->names, name.p, name.len);
    if (!e->t.name) return no_memory(r, "tensor names");

    st = take_dims(r, &e->t);
    if (!st) st = take_dtype(r, &e->t);
    uint64_t at = r->pos;
    if (!st) st = take_u64(r, &e->data_at, "data offset");
    if (!st && e->data_at % r->g->alignment != 0)
        st = refuse(r, NX_EFORMAT, at, "data offset %llu, expected a multiple of %llu",
                    (unsigned long long)e->data_at, (unsigned long long)r->g->alignment);
    return st;
}

static nx_status read_tensors(reader *r, uint64_t count)
{
    nx_gguf *g = r->g;
    int64_t  cap = 0;

    for (uint64_t i = 0; i < count; i++) {
        nx_gguf_tensor *list = grow(g->tensors, g->n_tensors, &cap, sizeof *list);
        if (!list) return no_memory(r, "the tensor directory");
        g->tensors = list;
        nx_status st = take_tensor(r, &list[i], (int64_t)i);
        if (st) return st;
        g->n_tensors++;
    }
    return NX_OK;
}

static nx_status index_tensors(reader *r)
{
    nx_gguf  *g = r->g;
    int64_t   first, second;
    nx_status st = nx_name_index_alloc(&g->tensor_index, g->n_tensors, r->err);

    if (st) return st;
    for (int64_t i = 0; i < g->n_tensors; i++)
        g->tensor_index.entries[i] = (nx_name_entry){nx_str_of(g->tensors[i].t.name), i};
    if (nx_name_index_sort(&g->tensor_index, &first, &second)) return NX_OK;
    name_field(r, "tensor", second, nx_str_of(g->tensors[second].t.name));
    return refuse(r, NX_EFORMAT, g->tensors[second].entry_at, "the name of tensor %lld again",
                  (long long)first);
}

/* ---- Where the data lie ---- */

typedef struct extent {
    uint64_t at; /* in the data section */
    int64_t  i;
} extent;

static int compare_extents(const void *pa, const void *pb)
{
    const extent *a = pa, *b = pb;

    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return (a->i > b->i) - (a->i < b->i);
}

bool nx_gguf_pad(uint64_t *out, uint64_t x, uint64_t alignment)
{
    if (__builtin_add_overflow(x, alignment - 1, out)) return false;
    *out &= ~(alignment - 1);
    return true;
}

/* Each tensor begins where the one before it ends, up to alignment. *end: of the last one's data,
 * in the data section. */
static nx_status check_tiling(reader *r, const extent *by_offset, uint64_t *end)
{
    nx_gguf *g = r->g;
    uint64_t expected = 0;

    *end = 0;
    for (int64_t k = 0; k < g->n_tensors; k++) {
        const nx_gguf_tensor *e = &g->tensors[by_offset[k].i];
        name_field(r, "tensor", by_offset[k].i, nx_str_of(e->t.name));
        if (e->data_at < expected)
            return refuse(r, NX_EFORMAT, e->entry_at,
                          "data at offset %llu overlap those of tensor %lld, which end at %llu. "
                          "Damaged file?",
                          (unsigned long long)e->data_at, (long long)by_offset[k - 1].i,
                          (unsigned long long)*end);
        if (e->data_at > expected)
            return refuse(r, NX_EFORMAT, e->entry_at,
                          "data at offset %llu, expected %llu, where the tensor before it ends. "
                          "Damaged file?",
                          (unsigned long long)e->data_at, (unsigned long long)expected);
        if (__builtin_add_overflow(e->data_at, (uint64_t)e->t.bytes, end) ||
            !nx_gguf_pad(&expected, *end, g->alignment) || expected > INT64_MAX)
            return refuse(r, NX_EFORMAT, e->entry_at, "data end beyond 2^63. Damaged file?");
    }
    return NX_OK;
}

static nx_status check_order(reader *r, uint64_t *end)
{
    nx_gguf *g = r->g;
    extent  *list = nx_alloc((size_t)g->n_tensors, sizeof *list);

    if (!list) return no_memory(r, "the order of tensors");
    for (int64_t i = 0; i < g->n_tensors; i++) list[i] = (extent){g->tensors[i].data_at, i};
    qsort(list, (size_t)g->n_tensors, sizeof *list, compare_extents);
    nx_status st = check_tiling(r, list, end);
    nx_free(list);
    return st;
}

/* The file is shorter than `wanted`: name the first tensor that misses bytes. */
static nx_status refuse_short(reader *r, uint64_t file_bytes, uint64_t wanted)
{
    nx_gguf              *g = r->g;
    const nx_gguf_tensor *first = NULL;

    for (int64_t i = 0; i < g->n_tensors; i++) {
        const nx_gguf_tensor *e = &g->tensors[i];
        if (g->data_at + e->data_at + e->t.bytes <= file_bytes) continue;
        if (!first || e->data_at < first->data_at) first = e;
    }
    name_field(r, "tensor", first - g->tensors, nx_str_of(first->t.name));
    return refuse(r, NX_EFORMAT, first->entry_at,
                  "its data end at byte %llu; expected a file of %llu bytes, found %llu. "
                  "Truncated download?",
                  (unsigned long long)(g->data_at + first->data_at + first->t.bytes),
                  (unsigned long long)wanted, (unsigned long long)file_bytes);
}

/* Bytes from `from` to `to` must be zero, and at most `max`: else counts or sizes lie. */
static nx_status check_padding(reader *r, uint64_t from, uint64_t to, uint64_t max,
                               const char *what)
{
    snprintf(r->field, sizeof r->field, "%s", what);
    if (to - from > max)
        return refuse(r, NX_EFORMAT, from,
                      "%llu bytes follow that belong to no tensor, expected at most %llu of "
                      "padding. Counts or sizes damaged?",
                      (unsigned long long)(to - from), (unsigned long long)max);
    for (uint64_t i = from; i < to; i++) {
        if (r->g->data[i] == 0) continue;
        return refuse(r, NX_EFORMAT, i, "value %u, expected 0. Counts or sizes damaged?",
                      (unsigned)r->g->data[i]);
    }
    return NX_OK;
}

/* Place the data section, *end its last tensor's end in the file. */
static nx_status layout(reader *r, uint64_t file_bytes, uint64_t *end)
{
    nx_gguf  *g = r->g;
    uint64_t  data_end = 0;
    nx_status st;

    g->data_at = g->header_bytes = r->pos;
    *end = r->pos;
    if (g->n_tensors == 0) return NX_OK;
    st = check_order(r, &data_end);
    if (st) return st;
    /* The header lies in memory and data_end < 2^63: these sums can't wrap around. */
    nx_gguf_pad(&g->data_at, g->header_bytes, g->alignment);
    *end = g->data_at + data_end;
    return *end > file_bytes ? refuse_short(r, file_bytes, *end) : NX_OK;
}

/* The zeros behind tensor i's data, up to alignment. */
static nx_status check_gap(reader *r, int64_t i)
{
    nx_gguf              *g = r->g;
    const nx_gguf_tensor *e = &g->tensors[i];
    uint64_t              from = g->data_at + e->data_at + e->t.bytes, to;
    char                  shown[80], what[128];

    if (!nx_gguf_pad(&to, from, g->alignment) || from == to || to > g->bytes) return NX_OK;
    snprintf(what, sizeof what, "padding after tensor %lld (%s)", (long long)i,
             nx_printable(shown, sizeof shown, nx_str_of(e->t.name)));
    return check_padding(r, from, to, g->alignment, what);
}

static nx_status view_data(reader *r, uint64_t end)
{
    nx_gguf  *g = r->g;
    uint64_t  tail_max = g->alignment > NX_GGUF_PADDING_MAX ? g->alignment : NX_GGUF_PADDING_MAX;
    nx_status st = NX_OK;

    if (g->n_tensors > 0)
        st = check_padding(r, g->header_bytes, g->data_at, g->alignment,
                           "padding before the tensor data");
    if (!st) st = check_padding(r, end, g->bytes, tail_max, "end of the data");
    for (int64_t i = 0; i < g->n_tensors && !st; i++) {
        g->tensors[i].t.data = g->data + g->data_at + g->tensors[i].data_at;
        st = check_gap(r, i);
    }
    return st;
}

/* ---- Header ---- */

static nx_status refuse_magic(reader *r)
{
    static const char *const older[] = {"tjgg", "algg", "lmgg", "fmgg"};
    const unsigned char     *p = r->g->data;
    char                     shown[24];

    for (size_t i = 0; i < sizeof older / sizeof older[0]; i++) {
        if (memcmp(p, older[i], 4) == 0)
            return refuse(r, NX_EUNSUPPORTED, 0,
                          "a GGML file from before GGUF. Convert the original model to GGUF");
    }
    return refuse(r, NX_EFORMAT, 0, "magic \"%s\", expected \"GGUF\". Not a GGUF file?",
                  nx_printable(shown, sizeof shown, (nx_str){(const char *)p, 4}));
}

static nx_status check_version(reader *r, uint32_t v)
{
    if (v == 2 || v == 3) return NX_OK;
    if (v == 1)
        return refuse(r, NX_EUNSUPPORTED, 4,
                      "GGUF version 1, expected 2 or 3. Convert the original model again");
    if (v != 0 && (v & 0xFFFF) == 0)
        return refuse(r, NX_EUNSUPPORTED, 4,
                      "a big-endian GGUF file, expected little-endian. Convert it, or take the "
                      "little-endian file");
    return refuse(r, NX_EUNSUPPORTED, 4, "GGUF version %u, expected 2 or 3", v);
}

static nx_status check_count(reader *r, uint64_t at, uint64_t n, uint64_t max, uint64_t bytes_min,
                             const char *what)
{
    if (n > max || n > remaining(r) / bytes_min)
        return refuse(r, NX_EFORMAT, at,
                      "%llu %s, expected at most %llu (%llu bytes remain, each takes %llu or "
                      "more). Truncated or damaged file?",
                      (unsigned long long)n, what, (unsigned long long)max,
                      (unsigned long long)remaining(r), (unsigned long long)bytes_min);
    return NX_OK;
}

static nx_status read_start(reader *r, uint64_t *n_tensors, uint64_t *n_meta)
{
    const unsigned char *p = NULL;
    nx_status            st;

    snprintf(r->field, sizeof r->field, "header");
    if (r->g->bytes >= 4 && memcmp(r->g->data, "GGUF", 4) != 0) return refuse_magic(r);
    st = take(r, &p, HEADER_BYTES, "a GGUF header");
    if (st) return st;
    r->g->version = nx_gguf_u32(p + 4);
    st = check_version(r, r->g->version);
    if (st) return st;
    *n_tensors = nx_gguf_u64(p + 8);
    *n_meta = nx_gguf_u64(p + 16);
    st = check_count(r, 8, *n_tensors, NX_GGUF_TENSORS_MAX, ENTRY_BYTES_MIN, "tensors");
    if (st) return st;
    return check_count(r, 16, *n_meta, NX_GGUF_META_MAX, META_BYTES_MIN, "metadata entries");
}

static nx_status read_all(reader *r, uint64_t file_bytes, uint64_t *end)
{
    uint64_t  n_tensors = 0, n_meta = 0;
    nx_status st = read_start(r, &n_tensors, &n_meta);

    if (!st) st = read_meta(r, n_meta);
    if (!st) st = index_meta(r);
    if (!st) st = read_alignment(r);
    if (!st) st = read_tensors(r, n_tensors);
    if (!st) st = index_tensors(r);
    return st ? st : layout(r, file_bytes, end);
}

static reader reader_of(nx_gguf *g, const char *path, const void *data, size_t bytes, nx_error *err)
{
    nx_printable_path(g->name, sizeof g->name, path);
    g->data = data;
    g->bytes = bytes;
    return (reader){.g = g, .err = err};
}

nx_status nx_gguf_read(nx_gguf *g, const char *path, const void *data, size_t bytes, nx_error *err)
{
    reader    r = reader_of(g, path, data, bytes, err);
    uint64_t  end;
    nx_status st = read_all(&r, bytes, &end);

    return st ? st : view_data(&r, end);
}

nx_status nx_gguf_read_header(nx_gguf *g, const char *path, const void *data, size_t bytes,
                              uint64_t file_bytes, nx_error *err)
{
    reader   r = reader_of(g, path, data, bytes, err);
    uint64_t end;

    return read_all(&r, file_bytes, &end);
}

void nx_gguf_free(nx_gguf *g)
{
    nx_free(g->meta);
    nx_free(g->tensors);
    nx_name_index_free(&g->meta_index);
    nx_name_index_free(&g->tensor_index);
    nx_arena_free(&g->names);
    *g = (nx_gguf){0};
}
