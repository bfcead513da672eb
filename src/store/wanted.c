/* wanted.c - conditions become sets of rows, and sets are joined as the filter says.
 *
 * Idea:   a set is right on one side always: it holds every row for which the condition may hold. It
 *         is exact when it holds no other. What is joined by `must` starts with the smallest set; one
 *         that is much larger than what is left isn't worth its reading, and the rows are tested.
 * Within NESTED, conditions are about one item, and rows have many: sets are still right, never exact.
 */
#include "store/wanted.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "os/fault.h"
#include "store/postings_seg.h"

#define UNKNOWN UINT64_MAX

enum { TIMES_MORE = 16, SPARE_ROWS = 512 }; /* beyond that a further set isn't worth it */

#define METRES_PER_DEGREE 111194.9 /* of latitude, a little less than on our sphere */

typedef struct finding {
    nx_seg         *s;
    const nx_bound *bound;
    uint64_t        n_rows;
    size_t          n_words; /* of a set of bits */
    nx_error       *err;
} finding;

/* Lists of one condition: rows that are in one of them, or (all) in each. */
typedef struct lists {
    nx_span *v;
    size_t   n, cap;
    bool     all, exact, known;
} lists;

typedef struct set {
    uint64_t *bits; /* NULL: all rows */
    bool      exact;
} set;

/* ---- Bits ---- */

static nx_status empty_bits(const finding *f, uint64_t **out)
{
    *out = nx_calloc(f->n_words, 8);
    return *out ? NX_OK : nx_fail(f->err, NX_ENOMEM, "a filter");
}

static nx_status full_bits(const finding *f, uint64_t **out)
{
    nx_status st = empty_bits(f, out);

    if (st) return st;
    memset(*out, 0xFF, f->n_words * 8);
    if (f->n_rows % 64) (*out)[f->n_words - 1] = ((uint64_t)1 << f->n_rows % 64) - 1;
    return NX_OK;
}

static uint64_t popcount(const uint64_t *bits, size_t n_words)
{
    uint64_t n = 0;

    for (size_t i = 0; i < n_words; i++) n += (uint64_t)__builtin_popcountll(bits[i]);
    return n;
}

static void mark(uint64_t *bits, nx_span rows)
{
    for (uint64_t i = 0; i < rows.n; i++)
        bits[rows.rows[i] / 64] |= (uint64_t)1 << rows.rows[i] % 64;
}

/* a keeps what b has, too; takes b's bits. */
static void intersect(const finding *f, set *a, set *b)
{
    a->exact &= b->exact;
    if (!a->bits) {
        a->bits = b->bits;
        b->bits = NULL;
        return;
    }
    for (size_t i = 0; b->bits && i < f->n_words; i++) a->bits[i] &= b->bits[i];
    nx_free(b->bits);
    b->bits = NULL;
}

/* ---- Lists of one condition ---- */

static nx_status add_span(const finding *f, lists *l, nx_span s)
{
    if (l->n == l->cap) {
        size_t   cap = l->cap ? 2 * l->cap : 8;
        nx_span *v = nx_realloc(l->v, cap, sizeof *v);
        if (!v) return nx_fail(f->err, NX_ENOMEM, "a filter");
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = s;
    return NX_OK;
}

static nx_status texts_of(const finding *f, lists *l, const nx_index *x, const nx_condition *c)
{
    nx_status st = NX_OK;

    l->known = l->exact = true;
    for (size_t i = 0; !st && i < c->n_texts; i++)
        st = add_span(f, l, nx_terms_find(&x->terms, c->texts[i]));
    return st;
}

static nx_status prefixes_of(const finding *f, lists *l, const nx_index *x, const nx_condition *c)
{
    nx_str    part = c->texts[0];
    nx_status st = NX_OK;

    l->known = l->exact = true;
    for (uint64_t i = 0; !st && i < x->terms.n_keys; i++) {
        nx_span rows;
        nx_str  key = nx_terms_key(&x->terms, i, &rows);
        if (key.len >= part.len && (part.len == 0 || memcmp(key.p, part.p, part.len) == 0))
            st = add_span(f, l, rows);
    }
    return st;
}

static nx_status words_of(const finding *f, lists *l, const nx_index *x, const nx_condition *c,
                          const nx_asked *asked)
{
    nx_status st = NX_OK;

    l->known = true;
    l->all = c->kind != NX_COND_WORDS_ANY;
    l->exact = asked->n < 2 || (c->kind != NX_COND_PHRASE && (!l->all || !x->many));
    for (size_t i = 0; !st && i < asked->n; i++)
        st = add_span(f, l, nx_terms_find(&x->terms, asked->words[i]));
    return st;
}

static nx_status ints_of(const finding *f, lists *l, const nx_index *x, const nx_condition *c)
{
    nx_status st = NX_OK;

    l->known = l->exact = true;
    for (size_t i = 0; !st && i < c->n_ints; i++)
        st = add_span(f, l, nx_ranks_between(&x->ints, c->ints[i], c->ints[i]));
    return st;
}

static void narrow(int64_t *least, int64_t *most, bool has, int64_t bound, bool lower, bool strict)
{
    if (!has) return;
    if (lower && strict && bound == INT64_MAX) *most = INT64_MIN, *least = INT64_MAX;
    if (!lower && strict && bound == INT64_MIN) *most = INT64_MIN, *least = INT64_MAX;
    if (lower) {
        int64_t x = strict && bound < INT64_MAX ? bound + 1 : bound;
        if (x > *least) *least = x;
    } else {
        int64_t x = strict && bound > INT64_MIN ? bound - 1 : bound;
        if (x < *most) *most = x;
    }
}

static nx_status range_of(const finding *f, lists *l, const nx_index *x, const nx_condition *c)
{
    const nx_value_range *r = &c->range;
    int64_t               least = INT64_MIN, most = INT64_MAX;

    l->known = l->exact = true;
    if ((r->has_gt && isnan(r->gt)) || (r->has_gte && isnan(r->gte)) ||
        (r->has_lt && isnan(r->lt)) || (r->has_lte && isnan(r->lte)))
        return NX_OK;
    narrow(&least, &most, r->has_gt, nx_rank_of(r->has_gt ? r->gt : 0), true, true);
    narrow(&least, &most, r->has_gte, nx_rank_of(r->has_gte ? r->gte : 0), true, false);
    narrow(&least, &most, r->has_lt, nx_rank_of(r->has_lt ? r->lt : 0), false, true);
    narrow(&least, &most, r->has_lte, nx_rank_of(r->has_lte ? r->lte : 0), false, false);
    return add_span(f, l, nx_ranks_between(&x->numbers, least, most));
}

static nx_status times_of(const finding *f, lists *l, const nx_index *x, const nx_condition *c)
{
    const nx_time_range *r = &c->times;
    int64_t              least = INT64_MIN, most = INT64_MAX;

    l->known = l->exact = true;
    narrow(&least, &most, r->has_gt, r->gt, true, true);
    narrow(&least, &most, r->has_gte, r->gte, true, false);
    narrow(&least, &most, r->has_lt, r->lt, false, true);
    narrow(&least, &most, r->has_lte, r->lte, false, false);
    return add_span(f, l, nx_ranks_between(&x->numbers, least, most));
}

/* ---- Places: a box that holds them all ---- */

typedef struct box {
    double west, east, south, north;
} box;

static box box_of_radius(const nx_condition *c)
{
    box    b = {-180, 180, -90, 90};
    double lat = c->centre.lat, degrees = c->metres / METRES_PER_DEGREE + 1e-6;

    if (!(fabs(lat) <= 90) || !(fabs(c->centre.lon) <= 180) || !(degrees < 180)) return b;
    b.south = lat - degrees;
    b.north = lat + degrees;
    if (degrees >= 80 || b.south < -89 || b.north > 89) return b; /* a pole: every longitude */
    double rad = acos(-1.0) / 180;
    double wide = asin(fmin(1, sin(degrees * rad) / cos(lat * rad))) / rad + 1e-6;
    if (c->centre.lon - wide < -180 || c->centre.lon + wide > 180) return b;
    b.west = c->centre.lon - wide;
    b.east = c->centre.lon + wide;
    return b;
}

static box box_of_ring(const nx_geo_ring *r)
{
    box b = {INFINITY, -INFINITY, INFINITY, -INFINITY};

    for (size_t i = 0; i < r->n; i++) {
        b.west = fmin(b.west, r->points[i].lon);
        b.east = fmax(b.east, r->points[i].lon);
        b.south = fmin(b.south, r->points[i].lat);
        b.north = fmax(b.north, r->points[i].lat);
    }
    return b;
}

static box box_of(const nx_condition *c)
{
    box b = {c->top_left.lon, c->bottom_right.lon, c->bottom_right.lat, c->top_left.lat};

    if (c->kind == NX_COND_GEO_RADIUS) return box_of_radius(c);
    if (c->kind == NX_COND_GEO_POLYGON)
        return c->n_rings ? box_of_ring(&c->rings[0]) : (box){1, 0, 1, 0};
    if (b.west > b.east) b.west = -180, b.east = 180; /* across the 180th meridian */
    return b;
}

static double clamped(double x, double most)
{
    return !(x >= -most) ? -most : x > most ? most : x; /* NaN: as far as can be */
}

static nx_status places_of(const finding *f, lists *l, const nx_index *x, const nx_condition *c)
{
    box b = box_of(c);

    l->known = true;
    nx_status st = add_span(f, l, nx_ranks_between(&x->numbers, NX_GEO_ODD, NX_GEO_ODD));
    if (st || b.west > b.east || b.south > b.north) return st;
    nx_geo_point low = {clamped(b.west, 180), clamped(b.south, 90)};
    nx_geo_point high = {clamped(b.east, 180), clamped(b.north, 90)};
    if (isnan(b.east)) high.lon = 180;
    if (isnan(b.north)) high.lat = 90;
    int64_t from = nx_geo_cell(low), to = nx_geo_cell(high);
    int64_t band = from / 2048, left = from % 2048, right = to % 2048;
    for (; !st && band <= to / 2048; band++)
        st = add_span(f, l, nx_ranks_between(&x->numbers, band * 2048 + left, band * 2048 + right));
    return st;
}

/* ---- Which lists a condition has ---- */

static nx_status lists_of_index(const finding *f, lists *l, const nx_index *x,
                                const nx_index_spec *spec, const nx_condition *c,
                                const nx_asked *asked)
{
    bool    texts = spec->kind == NX_INDEX_KEYWORD || spec->kind == NX_INDEX_UUID;
    bool    integer = spec->kind == NX_INDEX_INTEGER;
    nx_span rows;

    switch (c->kind) {
    case NX_COND_TEXT_ANY: return texts ? texts_of(f, l, x, c) : NX_OK;
    case NX_COND_PREFIX: return texts ? prefixes_of(f, l, x, c) : NX_OK;
    case NX_COND_INT_ANY: return integer && spec->lookup ? ints_of(f, l, x, c) : NX_OK;
    case NX_COND_RANGE:
        return spec->kind == NX_INDEX_FLOAT || (integer && spec->range) ? range_of(f, l, x, c)
                                                                        : NX_OK;
    case NX_COND_DATETIME: return spec->kind == NX_INDEX_DATETIME ? times_of(f, l, x, c) : NX_OK;
    case NX_COND_BOOL:
        if (spec->kind != NX_INDEX_BOOL) return NX_OK;
        rows = nx_terms_find(&x->terms, c->boolean ? NX_STR("t") : NX_STR("f"));
        l->known = l->exact = true;
        return add_span(f, l, rows);
    case NX_COND_GEO_BOX:
    case NX_COND_GEO_RADIUS:
    case NX_COND_GEO_POLYGON: return spec->kind == NX_INDEX_GEO ? places_of(f, l, x, c) : NX_OK;
    default:
        /* Phrases are of whole words, stopwords among them, and these lists are of beginnings. */
        if (c->kind == NX_COND_PHRASE && spec->words.kind == NX_WORDS_PREFIX) return NX_OK;
        return asked ? words_of(f, l, x, c, asked) : NX_OK;
    }
}

/* About what isn't there, or about a number of values: no list says. */
static bool has_no_lists(nx_cond_kind kind)
{
    return kind == NX_COND_TEXT_EXCEPT || kind == NX_COND_INT_EXCEPT || kind == NX_COND_COUNT ||
           kind == NX_COND_EMPTY || kind == NX_COND_NULL;
}

/* Not known: its rows are tested. */
static nx_status lists_of(const finding *f, lists *l, const nx_condition *c)
{
    const nx_asked      *asked;
    const nx_index      *x = NULL;
    const nx_index_spec *spec = nx_bound_index(f->bound, c, &asked);

    *l = (lists){0};
    if (!spec || has_no_lists(c->kind)) return NX_OK;
    nx_status st = nx_seg_index(f->s, &x, spec, f->err);
    return st || !x ? st : lists_of_index(f, l, x, spec, c, asked);
}

static uint64_t size_of(const lists *l)
{
    uint64_t sum = 0, least = UNKNOWN;

    for (size_t i = 0; i < l->n; i++) {
        sum += l->v[i].n;
        if (l->v[i].n < least) least = l->v[i].n;
    }
    return l->all && l->n ? least : sum;
}

static nx_status set_of_lists(const finding *f, set *out, const lists *l)
{
    nx_status st = empty_bits(f, &out->bits);

    out->exact = l->exact;
    if (!st && l->n) mark(out->bits, l->v[0]);
    for (size_t i = 1; !st && !l->all && i < l->n; i++) mark(out->bits, l->v[i]);
    for (size_t i = 1; !st && l->all && i < l->n; i++) {
        set more = {.exact = true};
        st = empty_bits(f, &more.bits);
        if (st) break;
        mark(more.bits, l->v[i]);
        intersect(f, out, &more);
    }
    return st;
}

/* ---- Sets of conditions without lists ---- */

static nx_status set_of_ids(const finding *f, set *out, const nx_condition *c)
{
    nx_status st = empty_bits(f, &out->bits);

    out->exact = true;
    for (size_t i = 0; !st && i < c->n_ids; i++) {
        uint64_t row;
        bool     same = false;
        st = nx_seg_lower_bound(f->s, &row, &same, c->ids[i], f->err);
        if (!st && same) out->bits[row / 64] |= (uint64_t)1 << row % 64;
    }
    return st;
}

static nx_status set_of_vector(const finding *f, set *out, const nx_condition *c)
{
    if (f->s->config->slots[c->slot].form != NX_FORM_DENSE) return NX_OK;
    nx_status st = empty_bits(f, &out->bits);
    if (st) return st;
    out->exact = true;
    if (f->s->dense[c->slot])
        st = nx_seg_copy(f->s, out->bits, f->s->present[c->slot]->at, f->n_words * 8, f->err);
    if (f->n_rows % 64) out->bits[f->n_words - 1] &= ((uint64_t)1 << f->n_rows % 64) - 1;
    return st;
}

/* Rows that have nothing at the path. Not within NESTED: there one item may lack what another has. */
static nx_status set_of_empty(const finding *f, set *out, const nx_condition *c)
{
    const nx_index_spec *spec = nx_bound_index(f->bound, c, NULL);
    const nx_index      *x = NULL;
    nx_status            st = spec ? nx_seg_index(f->s, &x, spec, f->err) : NX_OK;

    if (st || !x) return st;
    st = full_bits(f, &out->bits);
    for (size_t i = 0; !st && i < f->n_words; i++) out->bits[i] &= ~x->filled[i];
    out->exact = true;
    return st;
}

static nx_status set_of_filter(const finding *f, set *out, const nx_filter *filter, bool nested);

static nx_status set_of(const finding *f, set *out, const nx_condition *c, bool nested)
{
    lists     l = {0};
    nx_status st = NX_OK;

    *out = (set){0};
    switch (c->kind) {
    case NX_COND_FILTER: return set_of_filter(f, out, c->filter, nested);
    case NX_COND_NESTED:
        st = set_of_filter(f, out, c->filter, true);
        out->exact = false;
        return st;
    case NX_COND_ID: st = set_of_ids(f, out, c); break;
    case NX_COND_VECTOR: st = set_of_vector(f, out, c); break;
    case NX_COND_EMPTY: return nested ? NX_OK : set_of_empty(f, out, c);
    default:
        st = lists_of(f, &l, c);
        if (!st && l.known) st = set_of_lists(f, out, &l);
        nx_free(l.v);
        break;
    }
    return st;
}

/* ---- Filters ---- */

typedef struct ranked {
    const nx_condition *c;
    uint64_t            size;
} ranked;

static int by_size(const void *pa, const void *pb)
{
    const ranked *a = pa, *b = pb;

    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    return a->c < b->c ? -1 : a->c > b->c;
}

static nx_status rank(const finding *f, ranked *out, const nx_condition *c)
{
    lists     l;
    nx_status st = lists_of(f, &l, c);

    *out = (ranked){c, l.known ? size_of(&l) : UNKNOWN};
    if (c->kind == NX_COND_ID) out->size = c->n_ids;
    nx_free(l.v);
    return st;
}

static nx_status join_must(const finding *f, set *out, const nx_condition *c, int32_t n,
                           bool nested)
{
    ranked   *order = nx_alloc((size_t)n, sizeof *order);
    uint64_t  left = f->n_rows;
    nx_status st = order ? NX_OK : nx_fail(f->err, NX_ENOMEM, "a filter");

    for (int32_t i = 0; !st && i < n; i++) st = rank(f, &order[i], &c[i]);
    if (!st && n > 1) qsort(order, (size_t)n, sizeof *order, by_size);
    for (int32_t i = 0; !st && i < n; i++) {
        set s;
        if (out->bits && order[i].size != UNKNOWN &&
            order[i].size / TIMES_MORE > left + SPARE_ROWS) {
            out->exact = false;
            continue;
        }
        st = set_of(f, &s, order[i].c, nested);
        intersect(f, out, &s);
        if (!st && out->bits) left = popcount(out->bits, f->n_words);
    }
    nx_free(order);
    return st;
}

/* Rows of one of them. Where one is about all rows, so is the whole. */
static nx_status join_should(const finding *f, set *out, const nx_condition *c, int32_t n,
                             bool nested)
{
    set       any = {.exact = true};
    bool      all = false;
    nx_status st = empty_bits(f, &any.bits);

    for (int32_t i = 0; !st && i < n; i++) {
        set s;
        st = set_of(f, &s, &c[i], nested);
        all |= !s.bits;
        any.exact &= s.exact;
        for (size_t w = 0; s.bits && w < f->n_words; w++) any.bits[w] |= s.bits[w];
        nx_free(s.bits);
    }
    if (all) {
        nx_free(any.bits);
        any.bits = NULL;
    }
    intersect(f, out, &any);
    return st;
}

static nx_status take_away(const finding *f, set *out, const nx_condition *c, bool nested)
{
    set       s = {0};
    nx_status st = nested ? NX_OK : set_of(f, &s, c, false);

    if (!st && s.exact && !out->bits) st = full_bits(f, &out->bits);
    for (size_t i = 0; !st && s.exact && i < f->n_words; i++)
        out->bits[i] &= s.bits ? ~s.bits[i] : 0;
    out->exact &= s.exact;
    nx_free(s.bits);
    return st;
}

static nx_status set_of_filter(const finding *f, set *out, const nx_filter *filter, bool nested)
{
    nx_status st = NX_OK;

    *out = (set){.exact = true};
    if (filter->n_must) st = join_must(f, out, filter->must, filter->n_must, nested);
    if (!st && filter->n_should) st = join_should(f, out, filter->should, filter->n_should, nested);
    for (int32_t i = 0; !st && i < filter->n_must_not; i++)
        st = take_away(f, out, &filter->must_not[i], nested);
    if (filter->n_min_should || filter->min_count > 0) out->exact = false;
    if (nested) out->exact = false;
    if (st) {
        nx_free(out->bits);
        out->bits = NULL;
    }
    return st;
}

nx_status nx_wanted_find(nx_wanted *out, nx_seg *s, const nx_filter *filter, const nx_bound *bound,
                         nx_error *err)
{
    uint64_t  n = s->head.n_rows;
    finding   f = {s, bound, n, (size_t)((n + 63) / 64), err};
    set       all = {.exact = true};
    nx_status st = filter ? set_of_filter(&f, &all, filter, false) : NX_OK;

    *out = (nx_wanted){.bits = all.bits, .n_rows = n, .n = n, .exact = all.exact};
    if (!st && all.bits) out->n = popcount(all.bits, f.n_words);
    return st;
}

void nx_wanted_free(nx_wanted *w)
{
    nx_free(w->bits);
    *w = (nx_wanted){0};
}

bool nx_wanted_next(const nx_wanted *w, uint64_t *row)
{
    if (*row >= w->n_rows) return false;
    if (!w->bits) return true;
    size_t   i = (size_t)(*row / 64), n = (size_t)((w->n_rows + 63) / 64);
    uint64_t bits = w->bits[i] & (UINT64_MAX << *row % 64);
    while (!bits && ++i < n) bits = w->bits[i];
    if (!bits) return false;
    *row = i * 64 + (uint64_t)__builtin_ctzll(bits);
    return true;
}

uint64_t nx_wanted_count(const nx_wanted *w, uint64_t from, uint64_t end)
{
    uint64_t n = 0;

    if (!w->bits) return end - from;
    for (uint64_t i = from / 64; i * 64 < end; i++) {
        uint64_t bits = w->bits[i];
        if (i * 64 < from) bits &= UINT64_MAX << from % 64;
        if (end - i * 64 < 64) bits &= ((uint64_t)1 << (end - i * 64)) - 1;
        n += (uint64_t)__builtin_popcountll(bits);
    }
    return n;
}
