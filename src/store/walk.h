/* walk.h - the living points of a snapshot, one after the other: all for which a filter holds, or
 * those of some ids.
 *
 * Owns:   scratch for one row of each worker, while a walk lasts.
 * Thread: fn is called by the pool's workers at once, each with its own number.
 * Order:  of all points: none; of ids: theirs.
 */
#ifndef NX_STORE_WALK_H
#define NX_STORE_WALK_H

#include "store/store.h"

typedef struct nx_walk_row {
    nx_point_id       id;
    int               worker; /* 0 to nx_walk_workers - 1 */
    size_t            place;  /* of its id, in nx_walk_ids */
    struct nx_walker *walker;
} nx_walk_row;

/* Not NX_OK: that worker is done. */
typedef nx_status (*nx_walk_fn)(void *ctx, const nx_walk_row *row, nx_error *err);

/* How many workers a walk with that pool (may be NULL) has at most. */
int nx_walk_workers(const nx_pool *pool);

/* fn for each point for which the filter (NULL: any) holds. The first worker's error; fn's, NX_ENOMEM,
 * NX_EIO, NX_EFORMAT. */
nx_status nx_walk(nx_snapshot *s, const nx_filter *filter, nx_walk_fn fn, void *ctx, nx_pool *pool,
                  nx_error *err);

/* fn for each of the points ids [n], whatever they hold; those that aren't there are left out. Errors
 * likewise. */
nx_status nx_walk_ids(nx_snapshot *s, const nx_point_id *ids, size_t n, nx_walk_fn fn, void *ctx,
                      nx_error *err);

/* What the row holds: views that last until fn returns, or until the next question of the same kind.
 * *has: there is such a vector. */
nx_status nx_walk_payload(const nx_walk_row *row, nx_value *out, nx_error *err);
nx_status nx_walk_vector(const nx_walk_row *row, int32_t slot, nx_vector *out, bool *has,
                         nx_error *err);

/* Rows of all heads and segments, dead ones too: no walk finds more. */
uint64_t nx_walk_rows(const nx_snapshot *s);

#endif
