/* resolve.h - what a batch means now: operations become blocks, in the record and in the stage. */
#ifndef NX_STORE_RESOLVE_H
#define NX_STORE_RESOLVE_H

#include "store/stage.h"
#include "store/writes.h"

/* Append the batch's blocks to record, and let the stage have their effects. Under the
 * collection's lock. NX_ENOMEM, NX_ELIMIT, NX_EINVAL (a payload that would nest too deep), NX_EIO,
 * NX_EFORMAT. */
nx_status nx_resolve(nx_stage *g, nx_buf *record, const nx_writes *b, nx_write_result *result,
                     nx_error *err);

#endif
