/* path.h - the way to a place in a payload: `a.b`, `a[].b`, `a[0][2]`, `"a key".b`.
 *
 * A key is letters, digits, _ and - (and anything beyond ASCII), or any text but quotes in quotes.
 * `[]` stands for every item of an array. So Qdrant writes paths.
 */
#ifndef NX_STORE_PATH_H
#define NX_STORE_PATH_H

#include "store/value.h"

#define NX_PATH_STEPS_MAX 32

typedef enum nx_step_kind { NX_STEP_KEY, NX_STEP_INDEX, NX_STEP_EVERY } nx_step_kind;

typedef struct nx_path {
    int n; /* 0: the whole payload */
    struct {
        nx_step_kind kind;
        nx_str       key; /* a view into the text */
        uint32_t     index;
    } steps[NX_PATH_STEPS_MAX];
} nx_path;

/* text outlives the path. NX_EINVAL says at which byte it is none. */
nx_status nx_path_parse(nx_path *out, nx_str text, nx_error *err);

/* fn(ctx, v) for each value at the path, until one returns false. Returns false if one did. */
bool nx_path_visit(const nx_path *path, nx_value root, bool (*fn)(void *ctx, nx_value v),
                   void *ctx);

/* Append root with src's members merged into the object at the path: a null removes its key; what
 * is missing on the way is made, what is no object becomes one; an index beyond an array changes
 * nothing. NX_ELIMIT, NX_ENOMEM; out then holds a part. */
nx_status nx_path_set(nx_buf *out, nx_value root, const nx_path *path, nx_value src, nx_error *err);

/* Append root without what is at the path (n >= 1). A last `[]` empties its array, a last index
 * takes nothing out: the items behind it keep their places. */
nx_status nx_path_remove(nx_buf *out, nx_value root, const nx_path *path, nx_error *err);

#endif
