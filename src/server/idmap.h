/* idmap.h - from a key's id to something: what keys, quotas and today's usage are found by.
 *
 * Ids are only added, never taken away. Thread: whoever owns it guards it.
 */
#ifndef NX_SERVER_IDMAP_H
#define NX_SERVER_IDMAP_H

#include "base/error.h"

#define NX_KEY_ID_CAP 9 /* 8 characters and a NUL; "" is the id of whoever has no key */

/* Zero-initialise. What the values point to is the caller's. */
typedef struct nx_idmap {
    struct nx_idmap_slot {
        char  id[NX_KEY_ID_CAP];
        void *value; /* NULL: free */
    }     *slots;    /* [cap], cap 0 or a power of two */
    size_t n, cap;
} nx_idmap;

void *nx_idmap_find(const nx_idmap *m, const char *id); /* NULL: not there */

/* Add an id that isn't there, with a value that isn't NULL; an id of more than 8 bytes is cut. NX_ENOMEM:
 * the map is as before. */
nx_status nx_idmap_add(nx_idmap *m, const char *id, void *value, nx_error *err);

/* Make room for one more, so that the next nx_idmap_add can't fail. */
nx_status nx_idmap_reserve(nx_idmap *m, nx_error *err);

void nx_idmap_free(nx_idmap *m);

#endif
