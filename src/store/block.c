/* block.c - points as bytes. */
#include "store/block.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/half.h"

typedef struct vector_head {
    uint16_t slot;
    uint8_t  form, zero;
    uint32_t bytes;
} vector_head;

_Static_assert(sizeof(vector_head) == 8, "the head of a vector is 8 bytes");

/* ---- Checking ---- */

/* Without a way out of the loop, so that the compiler takes many at once. */
static bool all_finite(const void *p, size_t n)
{
    uint32_t strange = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, (const char *)p + 4 * i, 4);
        strange |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return !strange;
}

/* Does binary16 hold all of these finite numbers exactly? Below 2^-14 it has multiples of 2^-24, as f32
 * has from 0.5 on; above, ten bits behind the first. No calls and no way out: a replay asks it of millions. */
static bool all_halves(const void *p, size_t n)
{
    uint32_t strange = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, (const char *)p + 4 * i, 4);
        bits &= 0x7FFFFFFFu;
        float    x = nx_f32_from_bits(bits);
        uint32_t small = bits < 0x38800000u, coarse = (x + 0.5f) - 0.5f == x;
        uint32_t fits = (bits & 0x1FFFu) == 0 && bits < 0x47800000u;
        strange |= small ? !coarse : !fits;
    }
    return !strange;
}

static bool ascending(const uint8_t *p, size_t n)
{
    uint32_t before = 0, x;

    for (size_t i = 0; i < n; i++, before = x) {
        memcpy(&x, p + 4 * i, 4);
        if (i > 0 && x <= before) return false;
    }
    return true;
}

static bool vector_fits(const nx_slot *s, int kind, const vector_head *h, const uint8_t *data)
{
    size_t n = h->bytes / 4;

    if (h->zero || h->bytes % 4) return false;
    if (h->form == NX_FORM_GONE) return kind == NX_BLOCK_PATCH && h->bytes == 0;
    if (h->form != (uint8_t)s->form) return false;
    if (s->form == NX_FORM_SPARSE)
        return h->bytes % 8 == 0 && n / 2 <= NX_SPARSE_MAX && ascending(data, n / 2) &&
               all_finite(data + 4 * (n / 2), n / 2);
    bool rows = s->form == NX_FORM_MULTI;
    if (rows ? n == 0 || n % (size_t)s->dim || n > NX_MULTI_MAX : n != (size_t)s->dim) return false;
    return all_finite(data, n) && (!nx_slot_halves(s) || all_halves(data, n));
}

static bool vectors_fit(const nx_config *c, const nx_block *b)
{
    const uint8_t *p = (const uint8_t *)(b + 1);
    size_t         left = b->vectors_bytes;
    int            before = -1;

    for (int i = 0; i < b->n_vectors; i++) {
        vector_head h;
        if (left < sizeof h) return false;
        memcpy(&h, p, sizeof h);
        if (h.bytes > left - sizeof h || h.slot >= c->n_slots || h.slot <= before) return false;
        if (!vector_fits(&c->slots[h.slot], b->kind, &h, p + sizeof h)) return false;
        before = h.slot;
        p += sizeof h + h.bytes;
        left -= sizeof h + h.bytes;
    }
    return left == 0;
}

static bool payload_fits(const nx_block *b)
{
    const uint8_t *p = (const uint8_t *)(b + 1) + b->vectors_bytes;

    if (b->payload_bytes == 0) return true;
    return b->payload_bytes <= NX_PAYLOAD_MAX && nx_value_check(p, b->payload_bytes) &&
           p[0] == NX_VALUE_OBJECT;
}

bool nx_block_check(const nx_config *c, const void *p, size_t n)
{
    const nx_block *b = p;

    if (n < sizeof *b || b->bytes < sizeof *b || b->bytes > n || b->bytes % 8) return false;
    if (b->kind < NX_BLOCK_PUT || b->kind > NX_BLOCK_DELETE || b->is_uuid > 1) return false;
    if (!b->is_uuid && b->hi) return false;
    size_t content = (size_t)b->vectors_bytes + b->payload_bytes, room = b->bytes - sizeof *b;
    if (content > room || room - content >= 8) return false;
    if (b->kind == NX_BLOCK_DELETE && (content || b->n_vectors)) return false;
    return vectors_fit(c, b) && payload_fits(b);
}

/* ---- Reading ---- */

nx_value nx_block_payload(const nx_block *b)
{
    return (nx_value){(const uint8_t *)(b + 1) + b->vectors_bytes, b->payload_bytes};
}

nx_vector_iter nx_block_vectors(const nx_block *b)
{
    return (nx_vector_iter){(const uint8_t *)(b + 1), b->n_vectors};
}

bool nx_vector_next(nx_vector_iter *it, const nx_config *c, nx_vector *v)
{
    vector_head h;

    if (it->left-- <= 0) return false;
    memcpy(&h, it->p, sizeof h);
    const uint8_t *data = it->p + sizeof h;
    *v = (nx_vector){.slot = h.slot, .form = h.form, .values = (const float *)(const void *)data};
    if (h.form == NX_FORM_DENSE) v->n = (int32_t)(h.bytes / 4);
    if (h.form == NX_FORM_MULTI) v->n = (int32_t)(h.bytes / 4) / c->slots[h.slot].dim;
    if (h.form == NX_FORM_SPARSE) {
        v->n = (int32_t)(h.bytes / 8);
        v->indices = (const uint32_t *)(const void *)data;
        v->values = (const float *)(const void *)(data + 4 * (size_t)v->n);
    }
    it->p = data + h.bytes;
    return true;
}

bool nx_block_vector(const nx_block *b, const nx_config *c, int32_t slot, nx_vector *v)
{
    nx_vector_iter it = nx_block_vectors(b);

    while (nx_vector_next(&it, c, v))
        if (v->slot == slot) return v->form != NX_FORM_GONE;
    return false;
}

/* ---- Making ---- */

static size_t vector_bytes(const nx_config *c, const nx_vector *v)
{
    switch (v->form) {
    case NX_FORM_GONE: return 0;
    case NX_FORM_DENSE: return 4 * (size_t)v->n;
    case NX_FORM_SPARSE: return 8 * (size_t)v->n;
    case NX_FORM_MULTI: return 4 * (size_t)v->n * (size_t)c->slots[v->slot].dim;
    }
    return 0;
}

static nx_status add_vector(nx_buf *out, const nx_config *c, const nx_vector *v, nx_error *err)
{
    vector_head h = {(uint16_t)v->slot, (uint8_t)v->form, 0, (uint32_t)vector_bytes(c, v)};
    nx_status   st = nx_buf_add(out, &h, sizeof h, err);
    bool        sparse = v->form == NX_FORM_SPARSE;

    if (st || h.bytes == 0) return st;
    if (sparse) st = nx_buf_add(out, v->indices, 4 * (size_t)v->n, err);
    return st ? st : nx_buf_add(out, v->values, sparse ? 4 * (size_t)v->n : h.bytes, err);
}

/* The head of a new block; its sizes follow in close_block. */
static nx_status open_block(nx_buf *out, int kind, nx_point_id id, uint64_t version, size_t *mark,
                            nx_error *err)
{
    nx_block b = {.kind = (uint8_t)kind,
                  .is_uuid = id.is_uuid != 0,
                  .version = version,
                  .hi = id.hi,
                  .lo = id.lo};

    *mark = out->len;
    return nx_buf_add(out, &b, sizeof b, err);
}

static nx_status close_block(nx_buf *out, size_t mark, int n_vectors, nx_value payload,
                             nx_error *err)
{
    static const char zeros[8];
    size_t            vectors_bytes = out->len - mark - sizeof(nx_block);
    nx_status         st = payload.n ? nx_buf_add(out, payload.p, payload.n, err) : NX_OK;
    size_t            bytes = out->len - mark;
    nx_block          b;

    if (!st && bytes > NX_BLOCK_MAX)
        st = nx_fail(err, NX_ELIMIT, "a point of %zu bytes, at most %zu", bytes, NX_BLOCK_MAX);
    if (!st && bytes % 8) st = nx_buf_add(out, zeros, 8 - bytes % 8, err);
    if (st) return st;
    memcpy(&b, out->data + mark, sizeof b);
    b.bytes = (uint32_t)(out->len - mark);
    b.n_vectors = (uint16_t)n_vectors;
    b.vectors_bytes = (uint32_t)vectors_bytes;
    b.payload_bytes = payload.n;
    memcpy(out->data + mark, &b, sizeof b);
    return NX_OK;
}

static nx_status undo(nx_buf *out, size_t mark, nx_status st)
{
    if (st) {
        out->len = mark;
        if (out->data) out->data[mark] = '\0';
    }
    return st;
}

nx_status nx_block_add_point(nx_buf *out, const nx_config *c, const nx_point *p, nx_error *err)
{
    size_t    mark;
    nx_status st = open_block(out, NX_BLOCK_PUT, p->id, p->version, &mark, err);

    for (int32_t i = 0; !st && i < p->n_vectors; i++) st = add_vector(out, c, &p->vectors[i], err);
    if (!st) st = close_block(out, mark, p->n_vectors, p->payload, err);
    return undo(out, mark, st);
}

/* Vectors of both, by slot; of a slot in both, the patch's, or none when it is gone. */
static nx_status merge_vectors(nx_buf *out, const nx_config *c, const nx_block *base,
                               const nx_block *patch, int *n, nx_error *err)
{
    nx_vector_iter ia = nx_block_vectors(base), ib = nx_block_vectors(patch);
    nx_vector      a, b;
    bool           has_a = nx_vector_next(&ia, c, &a), has_b = nx_vector_next(&ib, c, &b);
    nx_status      st = NX_OK;

    while (!st && (has_a || has_b)) {
        bool       take_b = has_b && (!has_a || b.slot <= a.slot);
        bool       same = has_a && has_b && a.slot == b.slot;
        nx_vector *v = take_b ? &b : &a;
        if (v->form != NX_FORM_GONE) {
            st = add_vector(out, c, v, err);
            (*n)++;
        }
        if (!take_b || same) has_a = nx_vector_next(&ia, c, &a);
        if (take_b) has_b = nx_vector_next(&ib, c, &b);
    }
    return st;
}

nx_status nx_block_add_patched(nx_buf *out, const nx_config *c, const nx_block *base,
                               const nx_block *patch, nx_error *err)
{
    size_t    mark;
    int       n = 0;
    nx_status st = open_block(out, NX_BLOCK_PUT, nx_block_id(base), patch->version, &mark, err);

    if (!st) st = merge_vectors(out, c, base, patch, &n, err);
    const nx_block *from = patch->payload_bytes ? patch : base;
    if (!st) st = close_block(out, mark, n, nx_block_payload(from), err);
    return undo(out, mark, st);
}

/* ---- Making from what a caller says ---- */

static nx_status wrong(const nx_config *c, const nx_vector *v, nx_error *err, const char *what)
{
    nx_str name = c->slots[v->slot].name;

    return nx_fail(err, NX_EINVAL, "vector \"%.*s\": %s", (int)name.len, name.p, what);
}

static nx_status check_vector(const nx_config *c, int kind, const nx_vector *v, nx_error *err)
{
    if (v->slot < 0 || v->slot >= c->n_slots)
        return nx_fail(err, NX_EINVAL, "no vector %d in this collection", v->slot);
    const nx_slot *s = &c->slots[v->slot];
    if (v->form == NX_FORM_GONE && kind == NX_BLOCK_PATCH) return NX_OK;
    if (v->form != s->form) return wrong(c, v, err, "another form than the collection's");
    if (v->form == NX_FORM_DENSE && v->n != s->dim)
        return nx_fail(err, NX_EINVAL, "Vector dimension error: expected dim: %d, got %d", s->dim,
                       v->n);
    if (v->n < 0 || (v->form == NX_FORM_MULTI && v->n == 0))
        return wrong(c, v, err, "a multivector without rows");
    if (v->form == NX_FORM_SPARSE && v->n > NX_SPARSE_MAX)
        return wrong(c, v, err, "more values than a sparse vector may have");
    if (v->form == NX_FORM_MULTI && (int64_t)v->n * s->dim > NX_MULTI_MAX)
        return wrong(c, v, err, "more numbers than a multivector may have");
    size_t n = vector_bytes(c, v) / (v->form == NX_FORM_SPARSE ? 8 : 4);
    if (!all_finite(v->values, n)) return wrong(c, v, err, "a number that isn't finite");
    return NX_OK;
}

/* In f64: no square overflows, and what is read back is the same on every machine. */
static void make_unit(float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    if (sum == 0) return;
    double r = 1 / sqrt(sum);
    for (size_t i = 0; i < n; i++) x[i] = (float)((double)x[i] * r);
}

/* To the nearest of binary16, ties to even; *big: a number that is none of it. False: there is one. */
static bool round_to_halves(float *x, size_t n, float *big)
{
    for (size_t i = 0; i < n; i++) {
        float y = nx_f16_to_f32(nx_f32_to_f16(x[i]));
        if (isinf(y)) {
            *big = x[i];
            return false;
        }
        x[i] = y;
    }
    return true;
}

typedef struct index_value {
    uint32_t index;
    float    value;
} index_value;

static int by_index(const void *pa, const void *pb)
{
    const index_value *a = pa, *b = pb;

    return a->index < b->index ? -1 : a->index > b->index;
}

/* u32 index [n], f32 value [n] at p into order, with `pairs` as scratch. False: an index twice. */
static bool sort_sparse(uint8_t *p, size_t n, index_value *pairs)
{
    if (ascending(p, n)) return true;
    for (size_t i = 0; i < n; i++) {
        memcpy(&pairs[i].index, p + 4 * i, 4);
        memcpy(&pairs[i].value, p + 4 * (n + i), 4);
    }
    qsort(pairs, n, sizeof *pairs, by_index);
    for (size_t i = 0; i < n; i++) {
        memcpy(p + 4 * i, &pairs[i].index, 4);
        memcpy(p + 4 * (n + i), &pairs[i].value, 4);
    }
    return ascending(p, n);
}

/* Put the vector just written at `at` into the form that the store keeps. */
static nx_status settle_vector(nx_buf *out, size_t at, const nx_config *c, const nx_vector *v,
                               nx_error *err)
{
    const nx_slot *s = &c->slots[v->slot];
    uint8_t       *data = (uint8_t *)out->data + at + sizeof(vector_head);

    if (v->form == NX_FORM_SPARSE) {
        nx_buf scratch = {.max = 16 * (size_t)NX_SPARSE_MAX};
        if (ascending(data, (size_t)v->n)) return NX_OK;
        void *pairs = nx_buf_room(&scratch, 8 * (size_t)v->n, err);
        if (!pairs) return nx_fail(err, NX_ENOMEM, "a sparse vector");
        bool ok = sort_sparse(data, (size_t)v->n, pairs);
        nx_buf_free(&scratch);
        return ok ? NX_OK : wrong(c, v, err, "an index that is there twice");
    }
    if (s->distance == NX_COSINE) {
        int32_t rows = v->form == NX_FORM_MULTI ? v->n : v->form == NX_FORM_DENSE;
        for (int32_t r = 0; r < rows; r++)
            make_unit((float *)(void *)data + (size_t)r * (size_t)s->dim, (size_t)s->dim);
    }
    float big = 0;
    if (v->form == NX_FORM_DENSE && nx_slot_halves(s) &&
        !round_to_halves((float *)(void *)data, (size_t)s->dim, &big))
        return nx_fail(err, NX_EINVAL, "vector \"%.*s\": %.9g doesn't fit in float16",
                       (int)s->name.len, s->name.p, (double)big);
    return NX_OK;
}

static nx_status add_settled(nx_buf *out, const nx_config *c, const nx_vector *v, nx_error *err)
{
    size_t    at = out->len;
    nx_status st = add_vector(out, c, v, err);

    return st ? st : settle_vector(out, at, c, v, err);
}

/* order[i]: the place of slot i's vector in p, or -1. */
static nx_status order_vectors(int32_t order[NX_SLOTS_MAX], const nx_config *c, int kind,
                               const nx_point *p, nx_error *err)
{
    for (int i = 0; i < NX_SLOTS_MAX; i++) order[i] = -1;
    for (int32_t i = 0; i < p->n_vectors; i++) {
        nx_status st = check_vector(c, kind, &p->vectors[i], err);
        if (st) return st;
        if (order[p->vectors[i].slot] >= 0)
            return wrong(c, &p->vectors[i], err, "given twice for one point");
        order[p->vectors[i].slot] = i;
    }
    return NX_OK;
}

static nx_status check_payload(nx_value v, nx_error *err)
{
    if (v.n == 0) return NX_OK;
    if (v.n > NX_PAYLOAD_MAX)
        return nx_fail(err, NX_ELIMIT, "a payload of %u bytes, at most %zu", v.n, NX_PAYLOAD_MAX);
    if (!nx_value_check(v.p, v.n) || v.p[0] != NX_VALUE_OBJECT)
        return nx_fail(err, NX_EINVAL, "a payload is an object, nested at most %d deep",
                       NX_VALUE_DEPTH_MAX);
    return NX_OK;
}

nx_status nx_block_add(nx_buf *out, const nx_config *c, int kind, const nx_point *p, nx_error *err)
{
    int32_t   order[NX_SLOTS_MAX];
    size_t    mark = out->len;
    nx_status st = order_vectors(order, c, kind, p, err);

    if (!st && !p->id.is_uuid && p->id.hi) st = nx_fail(err, NX_EINVAL, "no such id");
    if (!st) st = check_payload(p->payload, err);
    if (!st) st = open_block(out, kind, p->id, 0, &mark, err);
    for (int i = 0; !st && i < c->n_slots; i++)
        if (order[i] >= 0) st = add_settled(out, c, &p->vectors[order[i]], err);
    if (!st) st = close_block(out, mark, p->n_vectors, p->payload, err);
    return undo(out, mark, st);
}
