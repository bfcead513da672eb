/* spmodel.c - reads SentencePiece's protocol buffer, field by field, trusting none. */
#include "token/spmodel.h"

#include <string.h>

#include "base/alloc.h"

#define PIECES_MAX    (1 << 24)
#define PIECE_LEN_MAX 8000

typedef struct reader {
    const char *name, *base; /* base: for byte numbers in messages */
    nx_str      rest;
} reader;

/* One field: a number (of any width), or bytes. */
typedef struct field {
    uint64_t number; /* which */
    bool     is_bytes;
    uint64_t value;
    nx_str   bytes;
} field;

static nx_status bad(const reader *r, nx_error *err, const char *what)
{
    return nx_fail(err, NX_EFORMAT, "%s: byte %zu: %s", r->name, (size_t)(r->rest.p - r->base),
                   what);
}

static bool read_varint(reader *r, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; r->rest.len && shift < 64; shift += 7) {
        unsigned char c = (unsigned char)*r->rest.p++;
        r->rest.len--;
        *out |= (uint64_t)(c & 127) << shift;
        if (c < 128) return true;
    }
    return false;
}

static bool read_fixed(reader *r, int n, uint64_t *out)
{
    *out = 0;
    if (r->rest.len < (size_t)n) return false;
    for (int i = 0; i < n; i++) *out |= (uint64_t)(unsigned char)r->rest.p[i] << (8 * i);
    r->rest.p += n;
    r->rest.len -= (size_t)n;
    return true;
}

static bool read_bytes(reader *r, nx_str *out)
{
    uint64_t len;

    if (!read_varint(r, &len) || len > r->rest.len) return false;
    *out = (nx_str){r->rest.p, (size_t)len};
    r->rest.p += len;
    r->rest.len -= (size_t)len;
    return true;
}

static nx_status read_field(reader *r, field *f, nx_error *err)
{
    uint64_t key;
    bool     ok = read_varint(r, &key);

    *f = (field){.number = key >> 3};
    if (!ok || f->number == 0) return bad(r, err, "expected a field");
    switch (key & 7) {
    case 0: ok = read_varint(r, &f->value); break;
    case 1: ok = read_fixed(r, 8, &f->value); break;
    case 2:
        f->is_bytes = true;
        ok = read_bytes(r, &f->bytes);
        break;
    case 5: ok = read_fixed(r, 4, &f->value); break;
    default: return bad(r, err, "a wire type that is none of 0, 1, 2, 5");
    }
    return ok ? NX_OK : bad(r, err, "a field that goes beyond the end. Truncated download?");
}

static reader inner(const reader *r, nx_str bytes)
{
    return (reader){.name = r->name, .base = r->base, .rest = bytes};
}

/* ---- Pieces ----------------------------------------------------------------------------------- */

static nx_status read_piece(nx_spmodel *m, const reader *outer, nx_str bytes, nx_error *err)
{
    reader    r = inner(outer, bytes);
    int64_t   i = m->n;
    field     f;
    nx_status st = NX_OK;

    m->texts[i] = (nx_str){0};
    m->scores[i] = 0;
    m->types[i] = 1;
    while (!st && r.rest.len) {
        st = read_field(&r, &f, err);
        if (st) return st;
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1 && f.is_bytes) m->texts[i] = f.bytes;
        if (f.number == 2 && !f.is_bytes) memcpy(&m->scores[i], &bits, 4);
        if (f.number == 3 && !f.is_bytes) m->types[i] = f.value <= 6 ? (int64_t)f.value : -1;
    }
    nx_str t = m->texts[i];
    if (t.len == 0 || memchr(t.p, 0, t.len))
        return bad(&r, err, "a piece that is empty or holds NUL");
    if (t.len >= PIECE_LEN_MAX) return bad(&r, err, "a piece of 8000 bytes or more");
    if (m->types[i] < 1) return bad(&r, err, "a piece's type that is none of 1 to 6");
    if (m->scores[i] != m->scores[i]) return bad(&r, err, "a piece's score that is no number");
    m->n++;
    return NX_OK;
}

static nx_status reserve(nx_spmodel *m, int64_t n, nx_error *err)
{
    if (n > PIECES_MAX) return nx_fail(err, NX_ELIMIT, "%lld pieces", (long long)n);
    m->texts = nx_alloc((size_t)n, sizeof *m->texts);
    m->scores = nx_alloc((size_t)n, sizeof *m->scores);
    m->types = nx_alloc((size_t)n, sizeof *m->types);
    if (m->texts && m->scores && m->types) return NX_OK;
    return nx_fail(err, NX_ENOMEM, "%lld pieces", (long long)n);
}

/* ---- The other messages ----------------------------------------------------------------------- */

static void take_trainer(nx_spmodel *m, const field *f)
{
    if (f->is_bytes) {
        if (f->number == 44) m->unk_surface = f->bytes;
        if (f->number == 45 && f->bytes.len) m->unk = f->bytes;
        if (f->number == 46 && f->bytes.len) m->bos = f->bytes;
        if (f->number == 47 && f->bytes.len) m->eos = f->bytes;
        if (f->number == 48 && f->bytes.len) m->pad = f->bytes;
        return;
    }
    if (f->number == 3) m->kind = f->value <= 4 ? (nx_sp_kind)f->value : (nx_sp_kind)0;
    if (f->number == 24) m->space_suffix = f->value != 0;
    if (f->number == 35) m->byte_fallback = f->value != 0;
}

static void take_normaliser(nx_spmodel *m, const field *f)
{
    if (f->number == 2 && f->is_bytes) m->charsmap = f->bytes;
    if (f->is_bytes) return;
    if (f->number == 3) m->dummy_prefix = f->value != 0;
    if (f->number == 4) m->trims_spaces = f->value != 0;
    if (f->number == 5) m->marks_spaces = f->value != 0;
}

static void take_denormaliser(nx_spmodel *m, const field *f)
{
    if (f->number == 2 && f->is_bytes) m->denormaliser = f->bytes;
}

static nx_status read_message(nx_spmodel *m, const reader *outer, nx_str bytes,
                              void (*take)(nx_spmodel *, const field *), nx_error *err)
{
    reader    r = inner(outer, bytes);
    field     f;
    nx_status st = NX_OK;

    while (!st && r.rest.len) {
        st = read_field(&r, &f, err);
        if (!st) take(m, &f);
    }
    return st;
}

/* ---- The whole -------------------------------------------------------------------------------- */

nx_spmodel nx_spmodel_default(void)
{
    return (nx_spmodel){.kind = NX_SP_UNIGRAM,
                        .dummy_prefix = true,
                        .trims_spaces = true,
                        .marks_spaces = true,
                        .unk_surface = NX_STR(" \xE2\x81\x87 "),
                        .unk = NX_STR("<unk>"),
                        .bos = NX_STR("<s>"),
                        .eos = NX_STR("</s>"),
                        .pad = NX_STR("<pad>")};
}

static nx_status count_pieces(reader r, int64_t *n, nx_error *err)
{
    field     f;
    nx_status st = NX_OK;

    for (*n = 0; !st && r.rest.len;) {
        st = read_field(&r, &f, err);
        if (!st && f.number == 1 && f.is_bytes) ++*n;
    }
    return st;
}

static nx_status read_model(nx_spmodel *m, reader r, nx_error *err)
{
    field     f;
    nx_status st = NX_OK;

    while (!st && r.rest.len) {
        st = read_field(&r, &f, err);
        if (st || !f.is_bytes) continue;
        if (f.number == 1) st = read_piece(m, &r, f.bytes, err);
        if (f.number == 2) st = read_message(m, &r, f.bytes, take_trainer, err);
        if (f.number == 3) st = read_message(m, &r, f.bytes, take_normaliser, err);
        if (f.number == 5) st = read_message(m, &r, f.bytes, take_denormaliser, err);
    }
    return st;
}

nx_status nx_spmodel_read(nx_spmodel *m, const char *name, nx_str bytes, nx_error *err)
{
    reader    r = {.name = name, .base = bytes.p, .rest = bytes};
    int64_t   n = 0;
    nx_status st = count_pieces(r, &n, err);

    *m = nx_spmodel_default();
    if (!st && n == 0) st = nx_fail(err, NX_EFORMAT, "%s: no pieces: not a tokenizer", name);
    if (!st) st = reserve(m, n, err);
    if (!st) st = read_model(m, r, err);
    if (!st && m->kind == 0) {
        st = nx_fail(err, NX_EUNSUPPORTED, "%s: a kind of model that is none of 1 to 4", name);
    }
    if (st) nx_spmodel_free(m);
    return st;
}

void nx_spmodel_free(nx_spmodel *m)
{
    nx_free(m->texts);
    nx_free(m->scores);
    nx_free(m->types);
    *m = (nx_spmodel){0};
}

bool nx_spmodel_is(nx_str bytes)
{
    return bytes.len > 2 && bytes.p[0] == 0x0A;
}
