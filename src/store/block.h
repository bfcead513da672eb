/* block.h - a point, or a change of one, as bytes: in the log, in the head, in segments.
 *
 * Drawn in docs/formats/store.md. A block lies at a multiple of 8 and was checked once, by
 * nx_block_check or by making it.
 *
 * Thread: any; nothing here keeps anything.
 */
#ifndef NX_STORE_BLOCK_H
#define NX_STORE_BLOCK_H

#include "store/config.h"

enum {
    NX_BLOCK_PUT = 1,
    NX_BLOCK_PATCH = 2,
    NX_BLOCK_DELETE = 3,
};

#define NX_BLOCK_MAX ((size_t)96 << 20) /* bytes of one point, all in all */

typedef struct nx_block {
    uint32_t bytes; /* a multiple of 8 */
    uint8_t  kind;
    uint8_t  is_uuid;
    uint16_t n_vectors;
    uint32_t vectors_bytes;
    uint32_t payload_bytes;
    uint64_t version;
    uint64_t hi, lo;
    /* vectors, payload, zeros */
} nx_block;

_Static_assert(sizeof(nx_block) == 40, "the head of a block is 40 bytes");

/* Is there one whole, well-formed block at p (8-aligned), within n bytes? Its slots and dimensions
 * fit the configuration, numbers are finite, and halves where the slot keeps these; cosine vectors
 * are taken as they are. */
bool nx_block_check(const nx_config *c, const void *p, size_t n);

static inline nx_point_id nx_block_id(const nx_block *b)
{
    return (nx_point_id){b->hi, b->lo, b->is_uuid};
}

nx_value nx_block_payload(const nx_block *b);

/* Its vectors, in order: for (nx_vector_iter it = nx_block_vectors(b); nx_vector_next(&it, c,
 * &v);) */
typedef struct nx_vector_iter {
    const uint8_t *p;
    int            left;
} nx_vector_iter;

nx_vector_iter nx_block_vectors(const nx_block *b);
bool           nx_vector_next(nx_vector_iter *it, const nx_config *c, nx_vector *v);

/* The vector of that slot; false when the block has none. */
bool nx_block_vector(const nx_block *b, const nx_config *c, int32_t slot, nx_vector *v);

/* ---- Making ---- */

/* Append a block: vectors checked against the configuration (NX_EINVAL says which and why), sorted
 * by slot, unit length where cosine asks for it, then rounded where the slot keeps halves, sparse
 * ones sorted by index. payload.n == 0: none. The buffer is as before after an error. */
nx_status nx_block_add(nx_buf *out, const nx_config *c, int kind, const nx_point *p, nx_error *err);

/* Append what `base` (a whole point) becomes by `patch`. */
nx_status nx_block_add_patched(nx_buf *out, const nx_config *c, const nx_block *base,
                               const nx_block *patch, nx_error *err);

/* Append a whole point of vectors and payload that were checked before, with its version. */
nx_status nx_block_add_point(nx_buf *out, const nx_config *c, const nx_point *p, nx_error *err);

#endif
