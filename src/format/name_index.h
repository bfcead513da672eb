/* name_index.h - names of a file to their positions: built once, then only read.
 *
 * Idea:   a sorted array. It finds duplicates on the way, looks up in log2(n) comparisons, and no
 *         choice of names by a hostile file can make it slow, as it could a hash table.
 * Thread: any, once built.
 */
#ifndef NX_FORMAT_NAME_INDEX_H
#define NX_FORMAT_NAME_INDEX_H

#include "base/buf.h"

typedef struct nx_name_entry {
    nx_str  name; /* borrowed: the file's bytes must outlive the index */
    int64_t at;
} nx_name_entry;

typedef struct nx_name_index {
    nx_name_entry *entries; /* [n], by name once sorted */
    int64_t        n;
} nx_name_index;

/* Room for n entries, which the caller fills before nx_name_index_sort. NX_ENOMEM. */
nx_status nx_name_index_alloc(nx_name_index *ix, int64_t n, nx_error *err);
void      nx_name_index_free(nx_name_index *ix);

/* Sort; false when two entries share a name: *first and *second are their positions. */
bool nx_name_index_sort(nx_name_index *ix, int64_t *first, int64_t *second);

int64_t nx_name_index_find(const nx_name_index *ix, nx_str name); /* position, or -1 */

#endif
