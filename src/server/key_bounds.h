/* key_bounds.h - what a key is bound to: collections, reading, access tags.
 *
 * Owns:   nothing beyond itself: names lie in it, so a record of a key is copied as it is.
 * Thread: any.
 */
#ifndef NX_SERVER_KEY_BOUNDS_H
#define NX_SERVER_KEY_BOUNDS_H

#include "base/jsonread.h"
#include "base/jsonwrite.h"

enum {
    NX_KEY_NAMES_MAX = 64,   /* of each list */
    NX_KEY_NAMES_CAP = 1024, /* bytes of both lists, a NUL behind each name */
    NX_KEY_BOUNDS_CAP = 8192 /* bytes of their JSON text */
};

typedef enum nx_key_list { NX_KEY_COLLECTIONS, NX_KEY_TAGS, NX_KEY_LISTS } nx_key_list;

/* All zero: bound to nothing. */
typedef struct nx_key_bounds {
    bool     read_only;
    uint16_t n[NX_KEY_LISTS]; /* 0: any collection; any point */
    uint16_t used[NX_KEY_LISTS];
    char     names[NX_KEY_NAMES_CAP]; /* those of the first list, then those of the second */
} nx_key_bounds;

bool nx_key_bounds_any(const nx_key_bounds *b);

/* A name that is there already is there once. NX_EINVAL (empty, a NUL, not UTF-8, over 255 bytes),
 * NX_ELIMIT. */
nx_status nx_key_bounds_add(nx_key_bounds *b, nx_key_list list, nx_str name, nx_error *err);

/* Name i of a list: a view into b. */
nx_str nx_key_bounds_name(const nx_key_bounds *b, nx_key_list list, uint16_t i);
bool   nx_key_bounds_has(const nx_key_bounds *b, nx_key_list list, nx_str name);

/* Members "collections", "read_only", "tags" of an open object; and back, with those that are absent or
 * null as they were. NX_EINVAL names the member. */
void      nx_key_bounds_write(nx_jw *w, const nx_key_bounds *b);
nx_status nx_key_bounds_read(nx_key_bounds *b, const nx_json *object, nx_error *err);

/* The same as one text, "" when bound to nothing: as it is stored. NX_EFORMAT. */
nx_status nx_key_bounds_to_text(char out[NX_KEY_BOUNDS_CAP], const nx_key_bounds *b, nx_error *err);
nx_status nx_key_bounds_of_text(nx_key_bounds *b, const char *text, nx_error *err);

#endif
