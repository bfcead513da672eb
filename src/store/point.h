/* point.h - what a collection is made of: ids, kinds of vectors, points.
 *
 * Thread: any; plain data.
 */
#ifndef NX_STORE_POINT_H
#define NX_STORE_POINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/value.h"

enum {
    NX_SLOTS_MAX = 48,          /* named vectors of a collection */
    NX_DIM_MAX = 65536,         /* of a dense vector */
    NX_SPARSE_MAX = 1 << 20,    /* values of a sparse vector */
    NX_MULTI_MAX = 1 << 22,     /* numbers of a multivector, all rows together */
    NX_SLOT_NAME_MAX = 255,     /* bytes of a name */
    NX_SLOT_TEXT_MAX = 4096,    /* bytes of a model's name, of a prompt */
    NX_CONFIG_NOTE_MAX = 65536, /* bytes of the caller's own text */
};

/* ---- Ids ---- */

/* A number, or a UUID. Numbers come before UUIDs; both ascend. */
typedef struct nx_point_id {
    uint64_t hi, lo; /* a number is lo; a UUID's bytes, read as two big-endian numbers */
    uint32_t is_uuid;
} nx_point_id;

static inline nx_point_id nx_id_number(uint64_t n)
{
    return (nx_point_id){0, n, 0};
}

static inline int nx_id_compare(nx_point_id a, nx_point_id b)
{
    if (a.is_uuid != b.is_uuid) return a.is_uuid < b.is_uuid ? -1 : 1;
    if (a.hi != b.hi) return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

/* A UUID as people write it: 32 hex digits, with hyphens after 8, 12, 16 and 20 of them or
 * without, in braces, or behind "urn:uuid:". NX_EINVAL. */
nx_status nx_id_parse_uuid(nx_point_id *out, nx_str text, nx_error *err);

#define NX_ID_TEXT 40 /* bytes that nx_id_write may need */

/* "7" or "550e8400-e29b-41d4-a716-446655440000"; returns out. */
char *nx_id_write(char out[NX_ID_TEXT], nx_point_id id);

/* ---- Vectors ---- */

typedef enum nx_form {
    NX_FORM_GONE, /* in changes only: the point loses this vector */
    NX_FORM_DENSE,
    NX_FORM_SPARSE,
    NX_FORM_MULTI, /* rows of one length: late interaction */
} nx_form;

typedef enum nx_distance {
    NX_COSINE, /* vectors are made unit length when they come in, and come back so */
    NX_DOT,
    NX_EUCLID,
    NX_MANHATTAN,
} nx_distance;

/* Two bits, each with its meaning alone. */
typedef enum nx_storage {
    NX_STORE_F32,
    NX_STORE_SQ8 = 1, /* 8-bit codes beside the vectors: scanned first, the best rescored */
    NX_STORE_F16 = 2, /* vectors are rounded to binary16 when they come in, and take half the room
                       * in segments; everybody else sees them as f32 */
    NX_STORE_F16_SQ8 = NX_STORE_F16 | NX_STORE_SQ8,
} nx_storage;

/* One named vector of a collection. Texts are borrowed where a function takes one. */
typedef struct nx_slot {
    nx_str      name; /* "" is a name */
    nx_form     form; /* not GONE */
    nx_distance distance;
    nx_storage  storage;       /* dense only */
    bool        idf;           /* sparse only */
    int32_t     dim;           /* 1 to NX_DIM_MAX; 0 for sparse */
    nx_str      model, prompt; /* what it was made with; "" when nobody said */
} nx_slot;

static inline bool nx_slot_halves(const nx_slot *s)
{
    return (s->storage & NX_STORE_F16) != 0;
}

/* Bytes of a dense vector in a segment. */
static inline size_t nx_slot_row_bytes(const nx_slot *s)
{
    return (size_t)s->dim * (nx_slot_halves(s) ? 2 : 4);
}

/* A vector of a point, by its slot. Borrowed memory. */
typedef struct nx_vector {
    int32_t         slot;
    nx_form         form;
    int32_t         n;       /* dense: dim; sparse: values; multi: rows */
    const float    *values;  /* dense [dim]; sparse [n]; multi [n, dim] */
    const uint32_t *indices; /* sparse only: [n] */
} nx_vector;

typedef struct nx_point {
    nx_point_id      id;
    uint64_t         version;   /* the request that last wrote it; out only */
    const nx_vector *vectors;   /* ascending by slot when they come out */
    int32_t          n_vectors; /* a point may lack vectors */
    nx_value         payload;   /* an object; n == 0: empty */
} nx_point;

#endif
