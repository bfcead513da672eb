/* aliases.h - other names of collections, in one file that is replaced whole: docs/formats/store.md.
 *
 * Owns:   its list. Thread: one at a time.
 */
#ifndef NX_STORE_ALIASES_H
#define NX_STORE_ALIASES_H

#include "store/store.h"

enum { NX_ALIASES_MAX = 10000 };

typedef struct nx_aliases {
    nx_alias *list; /* [n] by alias, in one block with the texts; NULL when n == 0 */
    size_t    n;
    bool      stale; /* the file has more than the list: names of collections that went */
    nx_error  why;   /* status NX_EFORMAT: the file is damaged, and nobody knows what it said */
} nx_aliases;

/* What dir/.aliases says; without it: none. A damaged file is told by out->why. NX_EIO, NX_ENOMEM. */
nx_status nx_aliases_load(nx_aliases *out, nx_disk *disk, const char *dir, nx_error *err);
nx_status nx_aliases_parse(nx_aliases *out, const void *bytes, size_t n, const char *name,
                           nx_error *err);
nx_status nx_aliases_save(const nx_aliases *a, nx_disk *disk, const char *dir, nx_error *err);
void      nx_aliases_free(nx_aliases *a); /* an all-zero struct is fine */

/* Its collection, or NULL. */
const char *nx_aliases_find(const nx_aliases *a, nx_str alias);

typedef struct nx_alias_pair {
    nx_str alias, collection;
} nx_alias_pair;

/* A list of the pairs, sorted here; no alias is there twice. NX_ENOMEM. */
nx_status nx_aliases_make(nx_aliases *out, nx_alias_pair *pairs, size_t n, nx_error *err);

#endif
