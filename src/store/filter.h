/* filter.h - which points a request is about: conditions on payload, id and vectors, with Qdrant's
 * meaning.
 *
 * The caller builds the tree, in memory of its own, and keeps it while it is used; nothing is
 * changed.
 *
 *     nx_condition c = {.kind = NX_COND_TEXT_ANY, .n_texts = 1, .texts = &(nx_str){"red", 3}};
 *     nx_path_parse(&c.path, NX_STR("colour"), err);
 *     nx_filter f = {.must = &c, .n_must = 1};
 *
 * A condition on a path holds when it holds for one of the values there; of an array, for one of
 * its items.
 * Thread: any.
 */
#ifndef NX_STORE_FILTER_H
#define NX_STORE_FILTER_H

#include "store/block.h"
#include "store/path.h"

enum { NX_FILTER_DEPTH_MAX = 32 };

typedef enum nx_cond_kind {
    NX_COND_TEXT_ANY,    /* one of texts */
    NX_COND_TEXT_EXCEPT, /* a value that is none of texts; a null or an object never is */
    NX_COND_INT_ANY,     /* one of ints; 1.0 is none */
    NX_COND_INT_EXCEPT,
    NX_COND_BOOL,      /* boolean */
    NX_COND_WORDS,     /* a text that holds every word of texts[0]. What a word is says the path's
                        * text index; without one, texts[0] must stand there as it is */
    NX_COND_WORDS_ANY, /* ... one of the words */
    NX_COND_PHRASE,    /* ... all words, one behind the other */
    NX_COND_PREFIX,    /* a text that begins with texts[0], byte for byte */
    NX_COND_RANGE,     /* a number in range */
    NX_COND_DATETIME,  /* a text that is a time in times, microseconds since 1970 */
    NX_COND_COUNT, /* the number of values in counts: items of an array, 0 of null; nothing has none */
    NX_COND_EMPTY,       /* nothing there, null, or [] */
    NX_COND_NULL,        /* null */
    NX_COND_GEO_BOX,     /* {"lon", "lat"} within box */
    NX_COND_GEO_RADIUS,  /* less than radius.metres from its centre */
    NX_COND_GEO_POLYGON, /* inside rings[0] and outside the others */
    NX_COND_NESTED,      /* an item of the array at path, as a payload, for which filter holds */
    NX_COND_FILTER,      /* filter holds */
    NX_COND_ID,          /* one of ids; no path */
    NX_COND_VECTOR,      /* the point has the vector of slot; no path */
    NX_COND_SLICE,       /* the id belongs to part slice.index of slice.total; no path */
} nx_cond_kind;

typedef struct nx_geo_point {
    double lon, lat;
} nx_geo_point;

typedef struct nx_geo_ring {
    const nx_geo_point *points; /* [n], closed or not */
    size_t              n;
} nx_geo_ring;

/* Bounds that aren't set are infinite. */
typedef struct nx_value_range {
    bool   has_gt, has_gte, has_lt, has_lte;
    double gt, gte, lt, lte;
} nx_value_range;

typedef struct nx_time_range {
    bool    has_gt, has_gte, has_lt, has_lte;
    int64_t gt, gte, lt, lte;
} nx_time_range;

typedef struct nx_filter nx_filter;

typedef struct nx_condition {
    nx_cond_kind kind;
    nx_path      path;
    union {
        struct {
            const nx_str *texts;
            size_t        n_texts;
        };
        struct {
            const int64_t *ints;
            size_t         n_ints;
        };
        struct {
            const nx_point_id *ids;
            size_t             n_ids;
        };
        struct {
            const nx_geo_ring *rings;
            size_t             n_rings;
        };
        struct {
            nx_geo_point top_left, bottom_right;
        };
        struct {
            nx_geo_point centre;
            double       metres;
        };
        struct {
            uint32_t index, total; /* index < total */
        } slice;
        bool             boolean;
        nx_value_range   range; /* RANGE and COUNT */
        nx_time_range    times;
        const nx_filter *filter;
        int32_t          slot;
    };
} nx_condition;

/* All of must, none of must_not, one of should (where there are any), min_count of min_should. */
struct nx_filter {
    const nx_condition *must, *must_not, *should, *min_should;
    int32_t             n_must, n_must_not, n_should, n_min_should, min_count;
};

/* NX_EINVAL: nested more than NX_FILTER_DEPTH_MAX deep, or a slot that isn't there. */
nx_status nx_filter_check(const nx_filter *f, const nx_config *c, nx_error *err);

/* Does it hold? vectors: a bit for each slot that the point has. */
bool nx_filter_test(const nx_filter *f, nx_point_id id, nx_value payload, uint64_t vectors);

/* The same, with words as the text indexes have them; bound (may be NULL): nx_bound_create's. */
struct nx_bound;
bool nx_filter_test_bound(const nx_filter *f, nx_point_id id, nx_value payload, uint64_t vectors,
                          struct nx_bound *bound);

enum {
    NX_FILTER_PAYLOAD = 1 << 0,
    NX_FILTER_VECTORS = 1 << 1,
};

/* What of a point it could depend on, beside its id. */
unsigned nx_filter_needs(const nx_filter *f);

/* "2024-02-29T10:20:30.5+02:00", with a blank for the T, without a zone (UTC), without seconds or
 * time: microseconds since 1970. False: no time. */
bool nx_time_parse(int64_t *out, nx_str text);

#endif
