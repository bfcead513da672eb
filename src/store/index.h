/* index.h - the payload indexes of a segment: made from its rows when first wanted, and kept with it.
 *
 * What an index holds depends on its kind alone, and answers as a test of each payload would:
 *   keyword, uuid   terms: each text
 *   bool            terms: "f", "t"
 *   integer         ranks: each integer (lookup), each number (range)
 *   float           ranks: each number
 *   datetime        ranks: each text that is a time, microseconds since 1970
 *   geo             ranks: the cell of each place on a grid; see nx_geo_cell
 *   text            terms: each word
 * Of an array at the path, its items count, as in filters.
 *
 * Owns:   what it made, until the segment goes. All indexes of the process together take at most
 *         NX_INDEX_BYTES_MAX; beyond that no more are made, and payloads are tested one by one.
 * Thread: any that holds the segment. No lock: while one thread makes an index of a segment, the others go
 *         on without it.
 */
#ifndef NX_STORE_INDEX_H
#define NX_STORE_INDEX_H

#include "store/filter.h"
#include "store/segment.h"
#include "store/settings.h"
#include "store/terms.h"

#define NX_INDEX_BYTES_MAX ((uint64_t)2 << 30)

enum {
    NX_SEG_INDEXES_MAX = 2 * NX_INDEXES_MAX
}; /* of one segment, those of old settings included */

typedef struct nx_index nx_index;
struct nx_index {
    nx_index *next;
    nx_buf    identity; /* bytes of its specification */
    nx_terms  terms;
    nx_ranks  ints, numbers; /* numbers: times and cells, too */
    uint64_t *any;           /* a bit for each row that has an entry; n_any of them */
    uint64_t  n_any;
    uint64_t
            *filled; /* a bit for each row that isn't empty there, whatever it has: NX_COND_EMPTY */
    bool     many;   /* some row has several texts: all words may be there, but in no text */
    uint64_t bytes;
};

/* The index, made now where there is none; *out NULL: go on without. It lives as long as the segment.
 * NX_EIO, NX_EFORMAT: a row can't be read. */
nx_status nx_seg_index(nx_seg *s, const nx_index **out, const nx_index_spec *spec, nx_error *err);

/* Make those of all settings; for a segment that isn't published yet. Errors likewise. */
nx_status nx_seg_index_all(nx_seg *s, const nx_settings *settings, nx_error *err);

/* Has a payload an entry in such an index? For points that lie in none. */
typedef struct nx_index_test nx_index_test;

nx_status nx_index_test_create(nx_index_test **out, const nx_index_spec *spec, nx_error *err);
nx_status nx_index_test_payload(nx_index_test *t, bool *has, nx_value payload, nx_error *err);
void      nx_index_test_destroy(nx_index_test *t); /* NULL does nothing */

uint64_t nx_seg_index_bytes(const nx_seg *s);
void     nx_seg_index_free(nx_seg *s); /* the last reference goes */

/* The grid: 1024 bands of latitude, each of 2048 cells. Places that no map has are in a cell of their own,
 * which every question about places looks into. */
#define NX_GEO_ODD INT64_MAX
int64_t nx_geo_cell(nx_geo_point p);

#endif
