/* recode.h - numbers from one type to another, in pieces, on all processors.
 *
 * Idea:   whoever has numbers hands them out as floats, some at a time (nx_numbers); whoever wants
 *         them in a type asks for some units of them. A unit is what can be encoded alone: a row, or
 *         for NF4 and FP4 a run of blocks. A whole tensor in floats is never held.
 * Thread: one caller; the pool's threads call `load` at once.
 */
#ifndef NX_FORMAT_RECODE_H
#define NX_FORMAT_RECODE_H

#include "format/recipe.h"
#include "os/pool.h"

/* n_rows rows of n_cols numbers. load writes numbers first .. first + n - 1, row-major, to dst;
 * asked for runs of whole rows, or with `flat` also for runs that begin at NX_RECODE_RUNs. */
typedef struct nx_numbers {
    int64_t n_cols, n_rows;
    bool    flat;
    void (*load)(const void *ctx, float *dst, int64_t first, int64_t n);
    const void *ctx;
} nx_numbers;

#define NX_RECODE_RUN 4096 /* numbers: whole blocks of every type, bitsandbytes' among them */

/* Those of a tensor, which is borrowed. */
nx_numbers nx_numbers_of(const nx_tensor *t);

/* ---- A piece at a time ---- */

typedef struct nx_recoder {
    nx_numbers from;
    nx_dtype   to;
    nx_pool   *pool;
    int64_t    unit; /* numbers in a unit; the last one may be shorter */
    int64_t    n_units;
    float     *scratch; /* [threads, unit's multiple] */
    int64_t    scratch_len;
    float     *scales; /* NF4, FP4, INT8: all of the tensor's, filled piece by piece; else NULL */
    int64_t    n_scales;
} nx_recoder;

/* A row must be a multiple of the block of `to` (NF4, FP4: `flat` instead). NX_EUNSUPPORTED names a type that nobody encodes; NX_ENOMEM. pool and
 * from.ctx are borrowed. */
nx_status nx_recoder_open(nx_recoder *r, const nx_numbers *from, nx_dtype to, nx_pool *pool,
                          nx_error *err);
void      nx_recoder_close(nx_recoder *r); /* an all-zero struct is fine */

/* Bytes of units unit .. unit + n - 1. */
size_t nx_recoder_bytes(const nx_recoder *r, int64_t unit, int64_t n);

/* Encode them to dst; scales of types that keep them apart go to r->scales. */
void nx_recoder_run(nx_recoder *r, void *dst, int64_t unit, int64_t n);

/* NF4, FP4: only their scales. */
void nx_recoder_scales(nx_recoder *r, int64_t unit, int64_t n);

#endif
