/* config.h - what a collection was made with, checked, copied, written and read.
 *
 * Owns:   its texts, in one block.
 * Thread: any, once made: nothing changes.
 */
#ifndef NX_STORE_CONFIG_H
#define NX_STORE_CONFIG_H

#include "store/point.h"

typedef struct nx_config {
    nx_slot slots[NX_SLOTS_MAX];
    int32_t n_slots; /* may be 0: points are payloads alone */
    nx_str  note;    /* the caller's own text, kept as it is */
} nx_config;

/* Is it one? Names differ, dimensions and texts are in their bounds. NX_EINVAL says what isn't. */
nx_status nx_config_check(const nx_config *c, nx_error *err);

/* Append its bytes (docs/formats/store.md). NX_ENOMEM, NX_ELIMIT. */
nx_status nx_config_write(nx_buf *out, const nx_config *c, nx_error *err);

/* From bytes that stay: texts are views into them. NX_EFORMAT. */
nx_status nx_config_read(nx_config *out, const void *bytes, size_t n, nx_error *err);

/* The slot of that name, or -1. */
int32_t nx_config_slot(const nx_config *c, nx_str name);

#endif
