/* damage.h - ways to spoil a GGUF file, each with what the spoiled file deserves.
 *
 * Idea: the undamaged file, read once, tells where each field stands; a damage overwrites fields,
 *       or writes the header anew with entries changed, added or doubled.
 */
#ifndef NX_TESTS_DAMAGE_H
#define NX_TESTS_DAMAGE_H

#include "base_files.h"
#include "format/gguf_read.h"

typedef struct base {
    const char          *name;
    const unsigned char *data;
    size_t               bytes;
    nx_gguf              g;    /* of data */
    size_t               need; /* every byte before it is wanted: end of header or of the data */
} base;

typedef enum verdict {
    MAY_LOAD, /* or be refused, politely */
    MUST_LOAD,
    MUST_REFUSE, /* structural damage */
} verdict;

typedef struct mutant {
    unsigned char *p; /* malloc'ed to the byte, so that a sanitizer guards its end */
    size_t         n, cap;
    verdict        verdict;
    const char    *kind;
} mutant;

/* ---- Bytes ---- */

static inline void mut_put(mutant *m, const void *p, size_t n)
{
    if (m->n + n > m->cap) {
        m->cap = (m->n + n) * 2;
        m->p = realloc(m->p, m->cap);
        if (!m->p) exit(1);
    }
    if (n) memcpy(m->p + m->n, p, n);
    m->n += n;
}

static inline void mut_uint(mutant *m, uint64_t x, size_t width)
{
    unsigned char b[8];

    for (size_t i = 0; i < width; i++) b[i] = (unsigned char)(x >> 8 * i);
    mut_put(m, b, width);
}

static inline void mut_key(mutant *m, nx_str key, uint32_t type)
{
    mut_uint(m, key.len, 8);
    mut_put(m, key.p, key.len);
    mut_uint(m, type, 4);
}

static inline void mut_poke(mutant *m, size_t at, uint64_t x, size_t width)
{
    for (size_t i = 0; i < width; i++) m->p[at + i] = (unsigned char)(x >> 8 * i);
}

static inline void mut_copy(mutant *m, const base *b, size_t n)
{
    mut_put(m, b->data, n);
}

static inline void mut_fit(mutant *m)
{
    unsigned char *p = malloc(m->n ? m->n : 1);

    if (!p) exit(1);
    if (m->n) memcpy(p, m->p, m->n);
    free(m->p);
    m->p = p;
    m->cap = m->n;
}

/* A number that a hostile or a broken writer might put where `was` belongs. */
static inline uint64_t odd_number(rng *r, uint64_t was)
{
    static const uint64_t odd[] = {
        0,          1,          2,          3,         31,         32,         33,
        255,        256,        65535,      65536,     1u << 24,   INT32_MAX,  1u << 31,
        UINT32_MAX, 1ull << 32, 1ull << 40, INT64_MAX, 1ull << 63, UINT64_MAX, UINT64_MAX - 31,
        1ull << 61,
    };

    switch (rng_below(r, 6)) {
    case 0: return was + 1;
    case 1: return was - 1;
    case 2: return was * 2;
    case 3: return was ^ 1ull << rng_below(r, 64);
    case 4: return rng_next(r) >> rng_below(r, 64);
    default: return odd[rng_below(r, sizeof odd / sizeof odd[0])];
    }
}

/* ---- Damage in place ---- */

static inline void flip_header(mutant *m, const base *b, rng *r)
{
    mut_copy(m, b, b->bytes);
    for (uint64_t n = 1 + rng_below(r, 4); n > 0; n--)
        m->p[rng_below(r, b->g.header_bytes)] ^= (unsigned char)(1u << rng_below(r, 8));
}

static inline void flip_anywhere(mutant *m, const base *b, rng *r)
{
    mut_copy(m, b, b->bytes);
    for (uint64_t n = 1 + rng_below(r, 64); n > 0; n--)
        m->p[rng_below(r, b->bytes)] ^= (unsigned char)(1u << rng_below(r, 8));
}

/* Fill, or copy from elsewhere, a run of the header. */
static inline void smear_header(mutant *m, const base *b, rng *r)
{
    mut_copy(m, b, b->bytes);
    size_t at = rng_below(r, b->g.header_bytes);
    size_t len = 1 + rng_below(r, 64);
    if (len > b->g.header_bytes - at) len = b->g.header_bytes - at;
    switch (rng_below(r, 3)) {
    case 0: memset(m->p + at, 0, len); break;
    case 1: memset(m->p + at, 0xFF, len); break;
    default: memmove(m->p + at, b->data + rng_below(r, b->bytes - len), len);
    }
}

static inline void cut(mutant *m, const base *b, rng *r)
{
    size_t in_header = rng_below(r, 2), end = in_header ? b->g.header_bytes : b->need;

    mut_copy(m, b, rng_below(r, end));
    m->verdict = MUST_REFUSE;
}

static inline void lie_count(mutant *m, const base *b, rng *r)
{
    bool     meta = rng_below(r, 2);
    uint64_t was = (uint64_t)(meta ? b->g.n_meta : b->g.n_tensors), x;

    mut_copy(m, b, b->bytes);
    do x = odd_number(r, was);
    while (x == was);
    mut_poke(m, meta ? 16 : 8, x, 8);
    m->verdict = MUST_REFUSE;
}

/* A lie in the directory entry of one tensor: rank, a dimension, the type or the offset. */
static inline void lie_tensor(mutant *m, const base *b, rng *r)
{
    mut_copy(m, b, b->bytes);
    if (b->g.n_tensors == 0) return;
    const nx_gguf_tensor *e = &b->g.tensors[rng_below(r, (uint64_t)b->g.n_tensors)];
    const nx_dtype_info  *info = nx_dtype_get(e->t.dtype);
    size_t                rank_at = e->entry_at + 8 + strlen(e->t.name), dims_at = rank_at + 4;
    size_t                type_at = dims_at + 8 * (size_t)e->t.n_dims;
    uint64_t              x;

    m->verdict = MUST_REFUSE;
    switch (rng_below(r, 4)) {
    case 0:
        do x = odd_number(r, (uint64_t)e->t.n_dims) & UINT32_MAX;
        while (x == (uint64_t)e->t.n_dims);
        mut_poke(m, rank_at, x, 4);
        break;
    case 1: {
        uint64_t d = rng_below(r, (uint64_t)e->t.n_dims), was = (uint64_t)e->t.ne[d];
        do x = odd_number(r, was);
        while (x == was);
        mut_poke(m, dims_at + 8 * d, x, 8);
        break;
    }
    case 2: {
        nx_dtype t;
        do x = odd_number(r, info->gguf_id) & UINT32_MAX;
        while (x == info->gguf_id);
        mut_poke(m, type_at, x, 4);
        if (nx_dtype_by_gguf_id(&t, (uint32_t)x)) { /* another type of the same size loads */
            const nx_dtype_info *o = nx_dtype_get(t);
            if (o->block_len == info->block_len && o->block_bytes == info->block_bytes)
                m->verdict = MAY_LOAD;
        }
        break;
    }
    default:
        do x = odd_number(r, e->data_at);
        while (x == e->data_at);
        mut_poke(m, type_at + 4, x, 8);
    }
}

/* A lie in one metadata entry: key length, value type, element type, or a length. */
static inline void lie_meta(mutant *m, const base *b, rng *r)
{
    const nx_meta *e = &b->g.meta[rng_below(r, (uint64_t)b->g.n_meta)];
    size_t         key_at = (size_t)((const unsigned char *)e->key.p - b->data);
    size_t         type_at = key_at + e->key.len;
    bool           array = e->type == NX_META_ARRAY;

    mut_copy(m, b, b->bytes);
    switch (rng_below(r, 4)) {
    case 0: mut_poke(m, key_at - 8, odd_number(r, e->key.len), 8); break;
    case 1: mut_poke(m, type_at, odd_number(r, e->type) & 0xFF, 4); break;
    case 2:
        if (array)
            mut_poke(m, type_at + 4, odd_number(r, e->elem_type) & 0xF, 4);
        else if (e->type == NX_META_STRING)
            mut_poke(m, e->offset, odd_number(r, 5), 8);
        else
            mut_poke(m, e->offset, rng_next(r), nx_meta_type_bytes(e->type));
        break;
    default:
        if (array)
            mut_poke(m, type_at + 8, odd_number(r, e->n), 8);
        else
            mut_poke(m, type_at + 4, rng_next(r), 1);
    }
}

/* ---- Metadata rewritten ---- */

/* Random bits, or a number that breaks models: NaN, infinities, zero, negatives. */
static inline void put_odd_scalar(mutant *m, nx_meta_type type, rng *r)
{
    static const uint32_t f32[] = {0,          0x80000000, 0x7FC00000, 0x7F800000, 0xFF800000,
                                   0xBF800000, 0x00000001, 0x7F7FFFFF, 0x3F800000};
    static const double   f64[] = {0, -1, 1e-310, 1e308, 1};
    uint64_t              bits;
    size_t                width = nx_meta_type_bytes(type);

    if (type == NX_META_BOOL) {
        mut_uint(m, rng_below(r, 2), 1);
    } else if (type == NX_META_F32) {
        mut_uint(m, f32[rng_below(r, sizeof f32 / sizeof f32[0])], 4);
    } else if (type == NX_META_F64) {
        memcpy(&bits, &f64[rng_below(r, sizeof f64 / sizeof f64[0])], 8);
        mut_uint(m, bits, 8);
    } else {
        mut_uint(m, odd_number(r, rng_below(r, 300)), width);
    }
}

/* Well-formed, of any bytes, now and then huge. */
static inline void put_odd_string(mutant *m, rng *r)
{
    uint64_t len = rng_below(r, 50) == 0 ? rng_below(r, 1 << 20) : rng_below(r, 40);

    mut_uint(m, len, 8);
    for (uint64_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)rng_next(r);
        mut_put(m, &c, 1);
    }
}

static inline void put_odd_array(mutant *m, nx_meta_type elem, uint64_t n, rng *r)
{
    mut_uint(m, elem, 4);
    mut_uint(m, n, 8);
    for (uint64_t i = 0; i < n; i++) {
        if (elem == NX_META_STRING)
            put_odd_string(m, r);
        else
            put_odd_scalar(m, elem, r);
    }
}

static inline nx_meta_type any_type(rng *r, bool array_too)
{
    nx_meta_type t;

    do t = (nx_meta_type)rng_below(r, NX_META_F64 + 1);
    while (t == NX_META_ARRAY && !array_too);
    return t;
}

/* In place of entry e: its key with another value, of its own type or of any. */
static inline void put_odd_entry(mutant *m, const nx_meta *e, rng *r)
{
    bool         keep = rng_below(r, 2);
    nx_meta_type type = keep ? e->type : any_type(r, true);
    nx_meta_type elem = keep && e->type == NX_META_ARRAY ? e->elem_type : any_type(r, false);
    uint64_t     n = e->type == NX_META_ARRAY ? e->n : rng_below(r, 20);

    if (rng_below(r, 2)) n = n + 1 - rng_below(r, 3);
    if (n > 4096) n = rng_below(r, 100);
    mut_key(m, e->key, type);
    if (type == NX_META_ARRAY)
        put_odd_array(m, elem, n, r);
    else if (type == NX_META_STRING)
        put_odd_string(m, r);
    else
        put_odd_scalar(m, type, r);
}

/* Where entry i begins; i == n_meta: where the last one ends. */
static inline size_t entry_start(const base *b, int64_t i)
{
    if (i < b->g.n_meta) return (size_t)((const unsigned char *)b->g.meta[i].key.p - b->data) - 8;
    return b->g.n_tensors ? b->g.tensors[0].entry_at : b->g.header_bytes;
}

static inline void copy_entry(mutant *m, const base *b, int64_t i)
{
    mut_put(m, b->data + entry_start(b, i), entry_start(b, i + 1) - entry_start(b, i));
}

/* In place of entry i, when it is an array of numbers: the same with some elements changed. */
static inline void put_spoiled_array(mutant *m, const base *b, int64_t i, rng *r)
{
    const nx_meta *e = &b->g.meta[i];
    size_t         start = m->n + (e->offset - entry_start(b, i));

    copy_entry(m, b, i);
    if (e->type != NX_META_ARRAY || e->elem_type == NX_META_STRING || e->n == 0) return;
    size_t width = nx_meta_type_bytes(e->elem_type);
    for (uint64_t k = 1 + rng_below(r, 3); k > 0; k--) {
        mutant one = {0};
        put_odd_scalar(&one, e->elem_type, r);
        memcpy(m->p + start + rng_below(r, e->n) * width, one.p, width);
        free(one.p);
    }
}

/* Arrays in arrays, `depth` of them. */
static inline void put_nest(mutant *m, uint64_t depth)
{
    mut_key(m, NX_STR("absurd.nest"), NX_META_ARRAY);
    for (uint64_t i = 0; i < depth; i++) {
        mut_uint(m, NX_META_ARRAY, 4);
        mut_uint(m, 1, 8);
    }
    mut_uint(m, NX_META_U8, 4);
    mut_uint(m, 1, 8);
    mut_uint(m, 7, 1);
}

typedef enum edit { EDIT_VALUE, EDIT_ELEMENTS, EDIT_DROP, EDIT_ADD, EDIT_TWICE, EDIT_NEST } edit;

static inline void put_edited(mutant *m, const base *b, int64_t i, edit how, rng *r)
{
    switch (how) {
    case EDIT_VALUE: put_odd_entry(m, &b->g.meta[i], r); return;
    case EDIT_ELEMENTS: put_spoiled_array(m, b, i, r); return;
    case EDIT_DROP: return;
    case EDIT_ADD:
        copy_entry(m, b, i);
        mut_key(m, NX_STR("somebody.else"), NX_META_STRING);
        put_odd_string(m, r);
        return;
    case EDIT_TWICE: copy_entry(m, b, i), copy_entry(m, b, i); return;
    case EDIT_NEST: copy_entry(m, b, i), put_nest(m, 1 + rng_below(r, 20000)); return;
    }
}

/* The file with one entry of metadata edited, everything else as it was. */
static inline void edit_meta(mutant *m, const base *b, rng *r)
{
    static const edit often[] = {EDIT_VALUE, EDIT_VALUE, EDIT_VALUE, EDIT_ELEMENTS, EDIT_ELEMENTS,
                                 EDIT_DROP,  EDIT_ADD,   EDIT_TWICE, EDIT_NEST};
    edit              how = often[rng_below(r, sizeof often / sizeof often[0])];
    int64_t           which = (int64_t)rng_below(r, (uint64_t)b->g.n_meta);
    int64_t           n = b->g.n_meta + (how >= EDIT_ADD) - (how == EDIT_DROP);

    mut_put(m, b->data, 16);
    mut_uint(m, (uint64_t)n, 8);
    for (int64_t i = 0; i < b->g.n_meta; i++) {
        if (i == which)
            put_edited(m, b, i, how, r);
        else
            copy_entry(m, b, i);
    }
    mut_put(m, b->data + entry_start(b, b->g.n_meta),
            b->g.header_bytes - entry_start(b, b->g.n_meta));
    if (b->g.n_tensors) {
        while (m->n % b->g.alignment != 0) mut_put(m, "", 1);
        mut_put(m, b->data + b->g.data_at, b->bytes - b->g.data_at);
    }
    m->verdict = how == EDIT_ADD ? MUST_LOAD : how >= EDIT_TWICE ? MUST_REFUSE : MAY_LOAD;
}

/* A tensor doubled in the directory, the count with it. */
static inline void double_tensor(mutant *m, const base *b, rng *r)
{
    mut_copy(m, b, b->bytes);
    if (b->g.n_tensors == 0) return;
    int64_t i = (int64_t)rng_below(r, (uint64_t)b->g.n_tensors);
    size_t  from = b->g.tensors[i].entry_at;
    size_t  to = i + 1 < b->g.n_tensors ? b->g.tensors[i + 1].entry_at : b->g.header_bytes;

    m->n = 0;
    mut_put(m, b->data, to);
    mut_put(m, b->data + from, b->g.header_bytes - from);
    mut_poke(m, 8, (uint64_t)b->g.n_tensors + 1, 8);
    while (m->n % b->g.alignment != 0) mut_put(m, "", 1);
    mut_put(m, b->data + b->g.data_at, b->bytes - b->g.data_at);
    m->verdict = MUST_REFUSE;
}

static inline void untouched(mutant *m, const base *b, rng *r)
{
    (void)r;
    mut_copy(m, b, b->bytes);
    m->verdict = MUST_LOAD;
}

typedef struct damage {
    const char *kind;
    void (*spoil)(mutant *, const base *, rng *);
    int weight;
} damage;

static const damage damages[] = {
    {"untouched", untouched, 1},
    {"bits of the header", flip_header, 20},
    {"bits anywhere", flip_anywhere, 5},
    {"smeared header", smear_header, 8},
    {"cut", cut, 8},
    {"lying count", lie_count, 8},
    {"lying tensor", lie_tensor, 15},
    {"lying metadata", lie_meta, 15},
    {"edited metadata", edit_meta, 30},
    {"doubled tensor", double_tensor, 2},
};

static inline void spoil(mutant *m, const base *b, rng *r)
{
    const damage *d = damages;
    int           total = 0;

    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) total += damages[i].weight;
    int pick = (int)rng_below(r, (uint64_t)total);
    for (; pick >= d->weight; d++) pick -= d->weight;
    m->kind = d->kind;
    d->spoil(m, b, r);
    mut_fit(m);
}

#endif
