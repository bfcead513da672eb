/* hf_bnb.c - bitsandbytes' quantised weights: codes in one tensor, scales in others beside it.
 *
 * NF4, FP4: P.weight (bytes of codes), P.weight.absmax, P.weight.quant_map, P.weight.quant_state.
 *           bitsandbytes__nf4 (JSON: block size, shape); doubly quantised also
 *           P.weight.nested_absmax and P.weight.nested_quant_map.
 * INT8:     P.weight (I8), P.SCB, P.weight_format.
 * docs/formats/safetensors.md has their bytes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/hf.h"
#include "num/levels.h"

enum { NAME_MAX_BYTES = 512, MAP_LEN = 256, NESTED_LEN_MAX = 65536 };

static bool ends_with(nx_str s, const char *end)
{
    size_t n = strlen(end);

    return s.len >= n && memcmp(s.p + s.len - n, end, n) == 0;
}

bool nx_hf_bnb_side(nx_str name)
{
    static const char *const ends[] = {
        ".weight.absmax",
        ".weight.quant_map",
        ".weight.nested_absmax",
        ".weight.nested_quant_map",
        ".SCB",
        ".weight_format",
        ".weight.quant_state.bitsandbytes__nf4",
        ".weight.quant_state.bitsandbytes__fp4",
    };

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i])) return true;
    return false;
}

/* The tensor called base and then `end`, or NULL; it counts as used. */
static nx_hf_raw *side_of(const nx_hf *hf, nx_str base, const char *end)
{
    char   name[NAME_MAX_BYTES];
    size_t n = strlen(end);

    if (base.len + n > sizeof name) return NULL;
    memcpy(name, base.p, base.len);
    memcpy(name + base.len, end, n);
    nx_hf_raw *raw = nx_hf_find(hf, (nx_str){name, base.len + n});
    if (raw) raw->used = true;
    return raw;
}

/* A side tensor of that type with n numbers, in whatever shape. */
static nx_status need(const nx_hf *hf, const nx_hf_raw *weight, nx_str base, const char *end,
                      nx_st_dtype type, int64_t n, const unsigned char **out, nx_error *err)
{
    const nx_hf_raw *raw = side_of(hf, base, end);
    uint64_t         bytes = (uint64_t)n * (uint64_t)nx_st_dtype_bits(type) / 8;

    if (!raw) return nx_hf_raw_fail(hf, weight, NX_EFORMAT, err, "its %s is missing", end + 1);
    if (raw->t->dtype != type || raw->t->bytes != bytes)
        return nx_hf_raw_fail(hf, raw, NX_EFORMAT, err,
                              "%zu bytes of %s, expected %" PRId64 " numbers of %s", raw->t->bytes,
                              nx_st_dtype_name(raw->t->dtype), n, nx_st_dtype_name(type));
    *out = raw->t->data;
    return NX_OK;
}

static float float_at(const unsigned char *p, int64_t i)
{
    float f;

    memcpy(&f, p + 4 * i, sizeof f);
    return f;
}

/* A NaN would spread into all that the model says. Only what is small is looked at: the plain scales
 * of a 70B model are gigabytes, which opening it must not read. */
static nx_status check_finite(const nx_hf *hf, const nx_hf_raw *weight, const unsigned char *p,
                              int64_t n, const char *what, nx_error *err)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(float_at(p, i)))
            return nx_hf_raw_fail(hf, weight, NX_EFORMAT, err,
                                  "its %s: number %" PRId64 " is %g, expected a finite number",
                                  what, i, (double)float_at(p, i));
    return NX_OK;
}

/* ---- INT8 ---- */

static nx_status check_weight_format(const nx_hf *hf, nx_str stem, nx_error *err)
{
    const nx_hf_raw *raw = side_of(hf, stem, ".weight_format");

    if (!raw) return NX_OK;
    if (raw->t->dtype == NX_ST_U8 && raw->t->bytes == 1 && raw->t->data[0] == 0) return NX_OK;
    return nx_hf_raw_fail(hf, raw, NX_EUNSUPPORTED, err,
                          "a GPU's own order of int8 numbers, expected 0 (rows). Save it again "
                          "with a recent bitsandbytes");
}

static nx_status read_int8(nx_hf *hf, nx_hf_raw *raw, nx_str stem, nx_tensor *t, nx_error *err)
{
    const nx_st_tensor  *w = raw->t;
    const unsigned char *scb = NULL;
    nx_tensor_scales    *s = nx_arena_alloc(&hf->arena, 1, sizeof *s);

    if (!s) return nx_fail(err, NX_ENOMEM, "%s: out of memory for scales", hf->shown);
    if (w->n_dims != 2 || w->bytes == 0 || w->shape[1] > INT32_MAX)
        return nx_hf_raw_fail(hf, raw, NX_EFORMAT, err, "%d dimensions, expected a matrix",
                              w->n_dims);
    nx_status st = need(hf, raw, stem, ".SCB", NX_ST_F32, w->shape[0], &scb, err);
    if (!st) st = check_weight_format(hf, stem, err);
    if (!st) st = check_finite(hf, raw, scb, w->shape[0], "SCB", err);
    if (st) return st;
    *s = (nx_tensor_scales){.n = w->shape[0],
                            .block_len = (int32_t)w->shape[1],
                            .absmax = scb,
                            .threshold = hf->config.int8_threshold};
    *t = (nx_tensor){.dtype = NX_DTYPE_INT8,
                     .n_dims = 2,
                     .ne = {w->shape[1], w->shape[0], 1, 1},
                     .data = w->data,
                     .bytes = w->bytes,
                     .scales = s};
    return NX_OK;
}

/* ---- NF4 and FP4 ---- */

typedef struct state {
    int64_t rows, cols, block_len, nested_len; /* nested_len 0: not doubly quantised */
    double  offset;
} state;

static nx_status bad_state(const nx_hf *hf, const nx_hf_raw *raw, const char *what, nx_error *err)
{
    return nx_hf_raw_fail(hf, raw, NX_EFORMAT, err, "%s", what);
}

static nx_status take_state(const nx_hf *hf, const nx_hf_raw *raw, const nx_json *v,
                            const char *type, state *s, nx_error *err)
{
    const nx_json *shape = nx_json_get(v, "shape");

    *s = (state){0};
    if (!nx_json_is(nx_json_get(v, "quant_type"), type))
        return bad_state(hf, raw, "quant_type is not what its name says", err);
    if (!nx_json_get_int(v, "blocksize", &s->block_len) || s->block_len < 16 ||
        s->block_len > 4096 || (s->block_len & (s->block_len - 1)))
        return bad_state(hf, raw, "blocksize: expected a power of two from 16 to 4096", err);
    if (!shape || shape->type != NX_JSON_ARRAY || shape->array.n != 2 ||
        shape->array.items[0].type != NX_JSON_INT || shape->array.items[1].type != NX_JSON_INT)
        return bad_state(hf, raw, "shape: expected two whole numbers", err);
    s->rows = shape->array.items[0].i;
    s->cols = shape->array.items[1].i;
    if (s->rows < 1 || s->cols < 2 || s->cols % 2 || s->rows > INT32_MAX || s->cols > INT32_MAX)
        return bad_state(hf, raw, "shape: expected rows of an even number of weights", err);
    if (nx_json_absent(nx_json_get(v, "nested_blocksize"))) return NX_OK;
    if (!nx_json_get_int(v, "nested_blocksize", &s->nested_len) || s->nested_len < 1 ||
        s->nested_len > NESTED_LEN_MAX || !nx_json_get_number(v, "nested_offset", &s->offset) ||
        !(fabs(s->offset) < 1e30))
        return bad_state(hf, raw, "nested_blocksize and nested_offset: expected numbers", err);
    return NX_OK;
}

static nx_status read_state(const nx_hf *hf, const nx_hf_raw *raw, const char *type, state *s,
                            nx_error *err)
{
    nx_json_doc doc;

    if (raw->t->dtype != NX_ST_U8) return bad_state(hf, raw, "expected bytes of JSON", err);
    nx_status st = nx_json_parse(&doc, hf->shards[raw->shard].st.name, (const char *)raw->t->data,
                                 raw->t->bytes, NX_JSON_PYTHON, err);
    if (st) {
        (void)nx_fail_prefix(err, st, "quant_state");
        return st;
    }
    st = take_state(hf, raw, doc.root, type, s, err);
    nx_json_doc_free(&doc);
    return st;
}

static nx_status check_levels(const nx_hf *hf, const nx_hf_raw *raw, nx_str base, bool nf4,
                              nx_error *err)
{
    const float         *levels = nf4 ? nx_nf4_levels : nx_fp4_levels;
    const unsigned char *map = NULL;
    nx_status            st = need(hf, raw, base, ".quant_map", NX_ST_F32, 16, &map, err);

    for (int i = 0; i < 16 && !st; i++)
        if (float_at(map, i) != levels[i])
            st = nx_hf_raw_fail(hf, raw, NX_EUNSUPPORTED, err,
                                "its quant_map: level %d is %.9g, expected %.9g of %s", i,
                                (double)float_at(map, i), (double)levels[i], nf4 ? "NF4" : "FP4");
    return st;
}

static nx_status read_nested(nx_hf *hf, const nx_hf_raw *raw, nx_str base, const state *q,
                             nx_tensor_scales *s, nx_error *err)
{
    const unsigned char *codes = NULL, *nested = NULL, *map = NULL;
    int64_t              n = (s->n + q->nested_len - 1) / q->nested_len;
    float               *copy = nx_arena_alloc(&hf->arena, MAP_LEN, sizeof *copy);

    if (!copy) return nx_fail(err, NX_ENOMEM, "%s: out of memory for scales", hf->shown);
    nx_status st = need(hf, raw, base, ".absmax", NX_ST_U8, s->n, &codes, err);
    if (!st) st = need(hf, raw, base, ".nested_absmax", NX_ST_F32, n, &nested, err);
    if (!st) st = need(hf, raw, base, ".nested_quant_map", NX_ST_F32, MAP_LEN, &map, err);
    if (!st) st = check_finite(hf, raw, nested, n, "nested_absmax", err);
    if (!st) st = check_finite(hf, raw, map, MAP_LEN, "nested_quant_map", err);
    if (st) return st;
    memcpy(copy, map, MAP_LEN * sizeof *copy); /* aligned, which the file doesn't promise */
    s->codes = codes;
    s->nested = nested;
    s->map = copy;
    s->nested_len = (int32_t)q->nested_len;
    s->offset = (float)q->offset;
    return NX_OK;
}

static nx_status read_scales(nx_hf *hf, const nx_hf_raw *raw, nx_str base, const state *q,
                             nx_tensor_scales *s, nx_error *err)
{
    const unsigned char *absmax = NULL;
    int64_t              numbers = q->rows * q->cols;

    *s = (nx_tensor_scales){.n = (numbers + q->block_len - 1) / q->block_len,
                            .block_len = (int32_t)q->block_len};
    if (q->nested_len) return read_nested(hf, raw, base, q, s, err);
    nx_status st = need(hf, raw, base, ".absmax", NX_ST_F32, s->n, &absmax, err);
    s->absmax = absmax;
    return st;
}

static nx_status read_4bit(nx_hf *hf, nx_hf_raw *raw, const nx_hf_raw *of_state, bool nf4,
                           nx_tensor *t, nx_error *err)
{
    const nx_st_tensor *w = raw->t;
    nx_tensor_scales   *s = nx_arena_alloc(&hf->arena, 1, sizeof *s);
    state               q = {0};

    if (!s) return nx_fail(err, NX_ENOMEM, "%s: out of memory for scales", hf->shown);
    nx_status st = read_state(hf, of_state, nf4 ? "nf4" : "fp4", &q, err);
    if (st) return st;
    int64_t bytes = q.rows * (q.cols / 2);
    if (w->bytes != (uint64_t)bytes)
        return nx_hf_raw_fail(hf, raw, NX_EFORMAT, err,
                              "%zu bytes, expected %" PRId64 " for the shape [%" PRId64 ", %" PRId64
                              "] of its quant_state",
                              w->bytes, bytes, q.rows, q.cols);
    st = check_levels(hf, raw, w->name, nf4, err);
    if (!st) st = read_scales(hf, raw, w->name, &q, s, err);
    *t = (nx_tensor){.dtype = nf4 ? NX_DTYPE_NF4 : NX_DTYPE_FP4,
                     .n_dims = 2,
                     .ne = {q.cols, q.rows, 1, 1},
                     .data = w->data,
                     .bytes = w->bytes,
                     .scales = s};
    return st;
}

/* ---- Which of them ---- */

nx_status nx_hf_bnb_read(nx_hf *hf, nx_hf_raw *raw, nx_tensor *t, bool *is, nx_error *err)
{
    static const char end[] = ".weight";
    nx_str            name = raw->t->name;

    *is = false;
    if (!ends_with(name, end)) return NX_OK;
    nx_str           stem = {name.p, name.len - (sizeof end - 1)};
    const nx_hf_raw *nf4 = side_of(hf, name, ".quant_state.bitsandbytes__nf4");
    const nx_hf_raw *fp4 = side_of(hf, name, ".quant_state.bitsandbytes__fp4");
    if (nf4 && fp4) return bad_state(hf, raw, "two quant_states", err);
    *is = nf4 || fp4 || (raw->t->dtype == NX_ST_I8);
    if (!*is) return NX_OK;
    if (nf4 || fp4) return read_4bit(hf, raw, nf4 ? nf4 : fp4, nf4 != NULL, t, err);
    return read_int8(hf, raw, stem, t, err);
}
