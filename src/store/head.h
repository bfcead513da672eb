/* head.h - the newest points, in memory: rows appended by one writer, read by any number of
 * readers.
 *
 * Owns:      its rows, their blocks (slabs handed over), its table of ids; counted references.
 * Thread:    one writer (the collection's lock); readers hold a reference and take no lock.
 * Idea:      nothing moves and nothing is freed before the head is. A row is written, then the
 *            count of rows is raised (release), then the table names it (release). A point's older
 *            rows in this head are linked behind its newest one, for readers of the past.
 * Invariant: births never descend; of one id at most one row has no death.
 */
#ifndef NX_STORE_HEAD_H
#define NX_STORE_HEAD_H

#include <stdatomic.h>

#include "store/block.h"

enum {
    NX_HEAD_CHUNK = 1024, /* rows */
    NX_HEAD_CHUNKS_MAX = 2048,
    NX_HEAD_ROWS_MAX = NX_HEAD_CHUNK * NX_HEAD_CHUNKS_MAX,
};

#define NX_NO_ROW UINT32_MAX

typedef struct nx_head_row {
    const nx_block  *block; /* a put */
    uint64_t         birth; /* the request that made it */
    _Atomic uint64_t death; /* the request that ended it; 0: it lives */
    uint32_t         prev;  /* the same point's row before, or NX_NO_ROW */
} nx_head_row;

typedef struct nx_head_table nx_head_table;
typedef struct nx_slab       nx_slab;

typedef struct nx_head {
    atomic_int               refs;
    _Atomic uint32_t         n_rows;
    nx_head_row             *chunks[NX_HEAD_CHUNKS_MAX];
    _Atomic(nx_head_table *) table;
    nx_slab                 *slabs;
    /* The writer's: */
    uint32_t n_ids;             /* in the table */
    uint32_t n_live;            /* rows without death */
    uint64_t last_seq;          /* of the requests that went into it */
    uint64_t bytes, bytes_live; /* of blocks */
} nx_head;

nx_head *nx_head_create(void); /* NULL when out of memory; one reference */
void     nx_head_retain(nx_head *h);
void     nx_head_release(nx_head *h); /* NULL does nothing */

static inline nx_head_row *nx_head_row_at(const nx_head *h, uint32_t i)
{
    return &h->chunks[i / NX_HEAD_CHUNK][i % NX_HEAD_CHUNK];
}

static inline uint32_t nx_head_n_rows(const nx_head *h)
{
    return atomic_load_explicit(&h->n_rows, memory_order_acquire);
}

/* Room for n more rows, so that nx_head_append can't fail. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_head_reserve(nx_head *h, uint32_t n, nx_error *err);

/* The memory of blocks, handed over; data came from nx_alloc. `slab` is nx_slab_create's. */
nx_slab *nx_slab_create(void); /* NULL when out of memory */
void     nx_slab_destroy(nx_slab *slab);
void     nx_head_take_slab(nx_head *h, nx_slab *slab, void *data);

/* Append a row; reserved before. Its block lies in a slab of this head. */
void nx_head_append(nx_head *h, const nx_block *block, uint64_t birth);

/* End the life of a row. */
void nx_head_kill(nx_head *h, uint32_t row, uint64_t seq);

/* The row of that id that a reader at seq sees, or NX_NO_ROW. *known: this head has a row of it
 * that was born by then, so that older places needn't be asked. seq UINT64_MAX: the newest. */
uint32_t nx_head_find(const nx_head *h, nx_point_id id, uint64_t seq, bool *known);

static inline bool nx_alive_at(uint64_t death, uint64_t seq)
{
    return death == 0 || death > seq;
}

#endif
