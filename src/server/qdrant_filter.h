/* qdrant_filter.h - filters of Qdrant's API, from JSON: what the files that read them share.
 *
 *     {"must": [{"key": "city", "match": {"value": "Oslo"}}, {"key": "n", "range": {"gt": 3}}],
 *      "must_not": {"is_empty": {"key": "tags"}}}
 *
 * Bounds:  filters nest at most NX_QD_FILTER_DEPTH_MAX deep and hold at most NX_QD_CONDITIONS_MAX
 *          conditions.
 * Errors:  NX_EINVAL in the words of Qdrant's reader, with the place behind them: "Format error in JSON
 *          body: ... at must[0].match".
 * Thread:  any; one at a time.
 */
#ifndef NX_SERVER_QDRANT_FILTER_H
#define NX_SERVER_QDRANT_FILTER_H

#include "base/arena.h"
#include "base/jsonread.h"
#include "store/filter.h"

enum {
    NX_QD_CONDITIONS_MAX = 16384,
    /* Less than the store's own: what is added to a filter (tags, ids that a query names) has room. */
    NX_QD_FILTER_DEPTH_MAX = NX_FILTER_DEPTH_MAX - 8,
};

/* Read a filter: v is an object. out is in the arena, and views the document. */
nx_status nx_qd_filter_read(const nx_filter **out, nx_arena *arena, const nx_config *config,
                            const nx_json *v, nx_error *err);

/* ---- Between qdrant_filter.c and qdrant_field.c ---- */

/* Where in the document a reader is: a list of steps, on its stack. */
typedef struct nx_qd_place {
    const struct nx_qd_place *up;
    const char               *key; /* NULL: item idx of an array */
    size_t                    idx;
} nx_qd_place;

typedef struct nx_qd_reader {
    nx_arena        *arena;
    const nx_config *config;
    int32_t          n_conditions;
    nx_error        *err;
} nx_qd_reader;

/* NX_EINVAL: "Format error in JSON body: <what> at <place>". */
nx_status nx_qd_malformed(const nx_qd_reader *r, const nx_qd_place *at, const char *fmt, ...)
    NX_PRINTF(3, 4);
/* How many bytes of a text a message shows: whole characters. */
int       nx_qd_shown(nx_str s);
nx_status nx_qd_no_memory(const nx_qd_reader *r);

/* Room for so many conditions; NULL: *st says why. */
nx_condition *nx_qd_conditions(nx_qd_reader *r, const nx_qd_place *at, size_t n, nx_status *st);

/* {"key": path, "match"|"range"|...: ...}: where several are given, one of them is enough. */
nx_status nx_qd_field(nx_qd_reader *r, nx_condition *out, const nx_json *v, const nx_qd_place *at);

/* The path in a text value. */
nx_status nx_qd_path(nx_qd_reader *r, nx_path *out, const nx_json *v, const nx_qd_place *at);

#endif
