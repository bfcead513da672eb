/* stage.h - what a request will do, worked out before anything is changed.
 *
 * Owns:   the blocks that points become; borrows the collection, whose lock the caller holds.
 * Idea:   each point that is touched has one entry: where it is now, and what it becomes. Only
 *         when the log has the record does commit change the head, and that can't fail.
 */
#ifndef NX_STORE_STAGE_H
#define NX_STORE_STAGE_H

#include "store/collection.h"

typedef enum nx_stage_state {
    NX_STAGE_AS_IS, /* not changed yet */
    NX_STAGE_PUT,   /* becomes the block at `at` */
    NX_STAGE_GONE,  /* is deleted, or never was */
} nx_stage_state;

typedef struct nx_stage_entry {
    nx_point_id    id;
    nx_stage_state state;
    size_t         at;   /* in blocks */
    nx_head       *head; /* where it lives now: in a head, in a segment, or (both NULL) nowhere */
    nx_seg        *seg;
    uint64_t       row;
} nx_stage_entry;

typedef struct nx_stage {
    nx_collection  *c;
    nx_buf          blocks; /* whole points */
    nx_buf          base;   /* scratch: a point as it is */
    nx_stage_entry *entries;
    uint32_t        n, cap;
    uint32_t       *table; /* entry + 1, by id; [mask + 1] */
    uint32_t        mask;
    nx_slab        *slab; /* for blocks, when they move into the head */
} nx_stage;

nx_status nx_stage_init(nx_stage *g, nx_collection *c, nx_error *err);
void      nx_stage_free(nx_stage *g); /* after init, also a failed one */

/* The entry of that id. The pointer lives until the next call. NX_ENOMEM, NX_EIO, NX_EFORMAT. */
nx_status nx_stage_find(nx_stage *g, nx_stage_entry **out, nx_point_id id, nx_error *err);

/* Is there an entry? No looking elsewhere. */
bool nx_stage_has(const nx_stage *g, nx_point_id id);

/* Does the point exist, as far as this request has come? */
bool nx_stage_exists(const nx_stage_entry *e);

/* Its block as it is now, valid until the next call; it exists. */
nx_status nx_stage_load(nx_stage *g, const nx_block **out, const nx_stage_entry *e, nx_error *err);

/* Let a checked block do what it says. A patch of a point that isn't there does nothing. */
nx_status nx_stage_apply(nx_stage *g, const nx_block *b, nx_error *err);

/* All that could fail in commit. */
nx_status nx_stage_reserve(nx_stage *g, nx_error *err);
void      nx_stage_commit(nx_stage *g, uint64_t seq);

#endif
