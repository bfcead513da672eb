/* meta.c - typed access to metadata, with the messages that go with it. Any thread. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "format/hf.h"
#include "format/printable.h"

const char *nx_meta_type_name(nx_meta_type t)
{
    static const char *const names[] = {
        [NX_META_U8] = "u8",   [NX_META_I8] = "i8",       [NX_META_U16] = "u16",
        [NX_META_I16] = "i16", [NX_META_U32] = "u32",     [NX_META_I32] = "i32",
        [NX_META_F32] = "f32", [NX_META_BOOL] = "bool",   [NX_META_STRING] = "string",
        [NX_META_U64] = "u64", [NX_META_ARRAY] = "array", [NX_META_I64] = "i64",
        [NX_META_F64] = "f64",
    };
    return (unsigned)t < sizeof names / sizeof names[0] ? names[t] : "?";
}

/* ---- Messages ---- */

nx_status nx_meta_fail(const nx_checkpoint *cp, const char *key, nx_status st, nx_error *err,
                       const char *fmt, ...)
{
    const nx_meta *m = nx_checkpoint_meta(cp, key);
    int64_t        n = nx_checkpoint_n_meta(cp);
    char           path[160], shown[80], text[256], where[64];
    va_list        args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (cp->hf) return nx_hf_meta_fail(cp->hf, key, m != NULL, st, err, text);
    if (m)
        snprintf(where, sizeof where, "at byte %" PRIu64, m->offset);
    else if (n > 0)
        snprintf(where, sizeof where, "missing between byte 24 and byte %" PRIu64,
                 nx_checkpoint_meta_at(cp, n - 1)->offset);
    else
        snprintf(where, sizeof where, "missing at byte 24, no metadata");
    return nx_fail(err, st, "%s: %s %s: %s",
                   nx_printable_path(path, sizeof path, nx_checkpoint_path(cp)),
                   nx_printable(shown, sizeof shown, nx_str_of(key)), where, text);
}

/* "array of 12 f32" */
static const char *describe(char *out, size_t cap, const nx_meta *m)
{
    if (m->type == NX_META_ARRAY)
        snprintf(out, cap, "array of %" PRIu64 " %s", m->n, nx_meta_type_name(m->elem_type));
    else
        snprintf(out, cap, "%s", nx_meta_type_name(m->type));
    return out;
}

static nx_status wrong_type(const nx_checkpoint *cp, const char *key, const nx_meta *m,
                            const char *expected, nx_error *err)
{
    char found[48];

    return nx_meta_fail(cp, key, NX_EFORMAT, err, "%s, expected %s",
                        describe(found, sizeof found, m), expected);
}

/* The entry of key, NULL where it is absent and need not be there. */
static nx_status find(const nx_checkpoint *cp, const char *key, const char *expected, bool required,
                      const nx_meta **out, nx_error *err)
{
    *out = nx_checkpoint_meta(cp, key);
    if (*out || !required) return NX_OK;
    return nx_meta_fail(cp, key, NX_EFORMAT, err, "expected %s", expected);
}

/* ---- One value ---- */

/* False for u64 above INT64_MAX and for types that are no integers. p needs no alignment. */
static bool int_at(int64_t *out, const unsigned char *p, nx_meta_type type)
{
    switch (type) {
    case NX_META_U8: *out = p[0]; return true;
    case NX_META_I8: *out = (int8_t)p[0]; return true;
    case NX_META_U16: *out = p[0] | p[1] << 8; return true;
    case NX_META_I16: *out = (int16_t)(p[0] | p[1] << 8); return true;
    case NX_META_U32: *out = nx_gguf_u32(p); return true;
    case NX_META_I32: *out = (int32_t)nx_gguf_u32(p); return true;
    case NX_META_U64: *out = (int64_t)nx_gguf_u64(p); return *out >= 0;
    case NX_META_I64: *out = (int64_t)nx_gguf_u64(p); return true;
    default: return false;
    }
}

static bool is_int(nx_meta_type t)
{
    return (t <= NX_META_I32) || t == NX_META_U64 || t == NX_META_I64;
}

static bool is_float(nx_meta_type t)
{
    return t == NX_META_F32 || t == NX_META_F64;
}

static double float_at(const unsigned char *p, nx_meta_type type)
{
    if (type == NX_META_F32) {
        uint32_t bits = nx_gguf_u32(p);
        float    f;
        memcpy(&f, &bits, sizeof f);
        return f;
    }
    uint64_t bits = nx_gguf_u64(p);
    double   d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* The string at p, whose length was checked when the file was read. Moves p past it. */
static nx_str string_at(const unsigned char **p)
{
    nx_str s = {(const char *)*p + 8, (size_t)nx_gguf_u64(*p)};

    *p += 8 + s.len;
    return s;
}

bool nx_meta_as_int(const nx_meta *m, int64_t *out)
{
    return int_at(out, m->data, m->type);
}

nx_status nx_meta_int(const nx_checkpoint *cp, const char *key, int64_t *out, int64_t min,
                      int64_t max, bool required, nx_error *err)
{
    const nx_meta *m;
    int64_t        x;
    nx_status      st = find(cp, key, "an integer", required, &m, err);

    if (st || !m) return st;
    if (!is_int(m->type)) return wrong_type(cp, key, m, "an integer", err);
    if (!int_at(&x, m->data, m->type))
        return nx_meta_fail(cp, key, NX_EFORMAT, err,
                            "%" PRIu64 ", expected %" PRId64 " to %" PRId64, nx_gguf_u64(m->data),
                            min, max);
    if (x < min || x > max)
        return nx_meta_fail(cp, key, NX_EFORMAT, err,
                            "%" PRId64 ", expected %" PRId64 " to %" PRId64, x, min, max);
    *out = x;
    return NX_OK;
}

nx_status nx_meta_float(const nx_checkpoint *cp, const char *key, double *out, bool required,
                        nx_error *err)
{
    const nx_meta *m;
    nx_status      st = find(cp, key, "a number", required, &m, err);

    if (st || !m) return st;
    if (!is_float(m->type)) return wrong_type(cp, key, m, "f32 or f64", err);
    double x = float_at(m->data, m->type);
    if (!isfinite(x))
        return nx_meta_fail(cp, key, NX_EFORMAT, err, "%g, expected a finite number", x);
    *out = x;
    return NX_OK;
}

nx_status nx_meta_bool(const nx_checkpoint *cp, const char *key, bool *out, bool required,
                       nx_error *err)
{
    const nx_meta *m;
    nx_status      st = find(cp, key, "true or false", required, &m, err);

    if (st || !m) return st;
    if (m->type != NX_META_BOOL) return wrong_type(cp, key, m, "bool", err);
    *out = m->data[0] != 0;
    return NX_OK;
}

nx_status nx_meta_string(const nx_checkpoint *cp, const char *key, nx_str *out, bool required,
                         nx_error *err)
{
    const nx_meta *m;
    nx_status      st = find(cp, key, "a string", required, &m, err);

    if (st || !m) return st;
    if (m->type != NX_META_STRING) return wrong_type(cp, key, m, "string", err);
    const unsigned char *p = m->data;
    *out = string_at(&p);
    return NX_OK;
}

/* ---- Arrays ---- */

/* Find key's array and allocate a list of its length; *m is NULL when absent and not required. */
static nx_status open_array(const nx_checkpoint *cp, const char *key, const char *expected,
                            bool fits(nx_meta_type), size_t size, bool required, const nx_meta **m,
                            void **list, nx_error *err)
{
    nx_status st = find(cp, key, expected, required, m, err);

    if (st || !*m) return st;
    if ((*m)->type != NX_META_ARRAY || !fits((*m)->elem_type))
        return wrong_type(cp, key, *m, expected, err);
    *list = nx_alloc((size_t)(*m)->n, size);
    if (*list) return NX_OK;
    return nx_fail(err, NX_ENOMEM, "out of memory for the %" PRIu64 " elements of %s", (*m)->n,
                   key);
}

static bool is_string(nx_meta_type t)
{
    return t == NX_META_STRING;
}

nx_status nx_meta_strings(const nx_checkpoint *cp, const char *key, nx_str **out, int64_t *n_out,
                          bool required, nx_error *err)
{
    const nx_meta *m;
    void          *list = NULL;

    *out = NULL;
    *n_out = 0;
    nx_status st = open_array(cp, key, "an array of strings", is_string, sizeof **out, required, &m,
                              &list, err);
    if (st || !m) return st;
    *out = list;
    *n_out = (int64_t)m->n;
    const unsigned char *p = m->data;
    for (int64_t i = 0; i < *n_out; i++) (*out)[i] = string_at(&p);
    return NX_OK;
}

nx_status nx_meta_floats(const nx_checkpoint *cp, const char *key, float **out, int64_t *n_out,
                         bool required, nx_error *err)
{
    const nx_meta *m;
    void          *list = NULL;

    *out = NULL;
    *n_out = 0;
    nx_status st = open_array(cp, key, "an array of f32 or f64", is_float, sizeof **out, required,
                              &m, &list, err);
    if (st || !m) return st;
    size_t width = nx_meta_type_bytes(m->elem_type);
    float *x = list;
    for (uint64_t i = 0; i < m->n; i++) {
        x[i] = (float)float_at(m->data + i * width, m->elem_type);
        if (isfinite(x[i])) continue;
        st = nx_meta_fail(cp, key, NX_EFORMAT, err,
                          "element %" PRIu64 " is %g, expected finite numbers", i, (double)x[i]);
        nx_free(list);
        return st;
    }
    *out = x;
    *n_out = (int64_t)m->n;
    return NX_OK;
}

nx_status nx_meta_ints(const nx_checkpoint *cp, const char *key, int64_t **out, int64_t *n_out,
                       bool required, nx_error *err)
{
    const nx_meta *m;
    void          *list = NULL;

    *out = NULL;
    *n_out = 0;
    nx_status st =
        open_array(cp, key, "an array of integers", is_int, sizeof **out, required, &m, &list, err);
    if (st || !m) return st;
    size_t   width = nx_meta_type_bytes(m->elem_type);
    int64_t *x = list;
    for (uint64_t i = 0; i < m->n; i++) {
        if (int_at(&x[i], m->data + i * width, m->elem_type)) continue;
        st = nx_meta_fail(cp, key, NX_EFORMAT, err,
                          "element %" PRIu64 " is %" PRIu64 ", expected below 2^63", i,
                          nx_gguf_u64(m->data + i * width));
        nx_free(list);
        return st;
    }
    *out = x;
    *n_out = (int64_t)m->n;
    return NX_OK;
}
