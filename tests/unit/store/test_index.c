/* Protects: whatever indexes there are, a filter finds what a test of each payload says: counted,
 * scrolled, searched by dense and sparse vectors, deleted; with points in heads and segments. Words of
 * text indexes mean what they should.
 *
 * NX_INDEX_SEEDS (12) seeds of NX_INDEX_FILTERS (250) filters. */
#include <pthread.h>

#include "model.h"

#include "base/alloc.h"
#include "store/bound.h"
#include "store/index.h"
#include "store/terms.h"

enum { POINTS = 160, TEXTS_MAX = 6, CONDS = 64, D = 3 };

static int setting(const char *name, int otherwise)
{
    const char *s = getenv(name);

    return s && atoi(s) > 0 ? atoi(s) : otherwise;
}

/* ---- Random payloads ---- */

static const char *const words[] = {"red", "Green",   "blue",  "sky",     "SEA", "theory",
                                    "the", "sailing", "sails", "Ünïcödé", "x1",  "a-b"};

static const char *word(uint64_t *rng)
{
    return words[sim_random(rng) % (sizeof words / sizeof words[0])];
}

static void put_sentence(nx_buf *b, uint64_t *rng)
{
    int n = (int)(sim_random(rng) % 5);

    nx_buf_addf(b, NULL, "\"");
    for (int i = 0; i < n; i++) nx_buf_addf(b, NULL, i ? " %s" : "%s", word(rng));
    nx_buf_addf(b, NULL, "\"");
}

static void put_number(nx_buf *b, uint64_t *rng)
{
    switch (sim_random(rng) % 6) {
    case 0: nx_buf_addf(b, NULL, "%d.5", (int)(sim_random(rng) % 20) - 10); break;
    case 1: nx_buf_addf(b, NULL, "%d.0", (int)(sim_random(rng) % 20) - 10); break;
    case 2: nx_buf_addf(b, NULL, "%llu", 18446744073709551600ull + sim_random(rng) % 10); break;
    case 3: nx_buf_addf(b, NULL, "-0.0"); break;
    default: nx_buf_addf(b, NULL, "%d", (int)(sim_random(rng) % 20) - 10); break;
    }
}

static void put_time(nx_buf *b, uint64_t *rng)
{
    if (sim_random(rng) % 8 == 0)
        nx_buf_addf(b, NULL, "\"no time\"");
    else
        nx_buf_addf(b, NULL, "\"20%02d-0%d-1%dT0%d:00:00Z\"", (int)(sim_random(rng) % 30),
                    1 + (int)(sim_random(rng) % 9), (int)(sim_random(rng) % 9),
                    (int)(sim_random(rng) % 10));
}

static void put_place(nx_buf *b, uint64_t *rng)
{
    int lon = (int)(sim_random(rng) % 361) - 180, lat = (int)(sim_random(rng) % 181) - 90;

    if (sim_random(rng) % 10 == 0) lon += 360;
    if (sim_random(rng) % 8 == 0)
        nx_buf_addf(b, NULL, "{\"lon\":%d}", lon);
    else
        nx_buf_addf(b, NULL, "{\"lon\":%d.25,\"lat\":%d}", lon, lat);
}

static void put_plain(nx_buf *b, char kind, uint64_t *rng)
{
    if (sim_random(rng) % 12 == 0) { /* of another kind than one thinks */
        static const char *const other[] = {"null", "true", "7", "\"red\"", "[[\"red\"]]", "{}"};
        nx_buf_addf(b, NULL, "%s", other[sim_random(rng) % 6]);
        return;
    }
    switch (kind) {
    case 'k': nx_buf_addf(b, NULL, "\"%s\"", word(rng)); break;
    case 'b': nx_buf_addf(b, NULL, sim_random(rng) % 3 ? "true" : "false"); break;
    case 't': put_time(b, rng); break;
    case 'g': put_place(b, rng); break;
    case 'w': put_sentence(b, rng); break;
    default: put_number(b, rng); break;
    }
}

/* A value, or an array of some. */
static void put_value(nx_buf *b, char kind, uint64_t *rng)
{
    if (sim_random(rng) % 4) {
        put_plain(b, kind, rng);
        return;
    }
    nx_buf_addf(b, NULL, "[");
    for (int i = 0, n = (int)(sim_random(rng) % 4); i < n; i++) {
        if (i) nx_buf_addf(b, NULL, ",");
        put_plain(b, kind, rng);
    }
    nx_buf_addf(b, NULL, "]");
}

static const char paths[][8] = {"k", "b",   "i",     "f",     "t",    "g",
                                "w", "o.k", "n[].k", "n[].i", "n[].w"};
enum { N_PATHS = sizeof paths / sizeof paths[0] };

static void put_payload(nx_buf *out, uint64_t *rng)
{
    nx_buf      json = {.max = 1 << 16};
    nx_json_doc doc;

    nx_buf_addf(&json, NULL, "{\"z\":1");
    for (const char *k = "kbiftgw"; *k; k++) {
        if (sim_random(rng) % 5 == 0) continue;
        nx_buf_addf(&json, NULL, ",\"%c\":", *k);
        put_value(&json, *k, rng);
    }
    nx_buf_addf(&json, NULL, ",\"o\":{\"k\":");
    put_value(&json, 'k', rng);
    nx_buf_addf(&json, NULL, "},\"n\":[");
    for (int i = 0, n = (int)(sim_random(rng) % 3); i < n; i++) {
        nx_buf_addf(&json, NULL, i ? ",{\"k\":" : "{\"k\":");
        put_value(&json, 'k', rng);
        nx_buf_addf(&json, NULL, ",\"i\":");
        put_value(&json, 'i', rng);
        nx_buf_addf(&json, NULL, ",\"w\":");
        put_value(&json, 'w', rng);
        nx_buf_addf(&json, NULL, "}");
    }
    nx_buf_addf(&json, NULL, "]}");
    nx_buf_clear(out);
    out->max = 1 << 16;
    assert_int_equal(nx_json_parse(&doc, "test", json.data, json.len, 0, NULL), NX_OK);
    assert_int_equal(nx_value_add_json(out, doc.root, NULL), NX_OK);
    nx_json_doc_free(&doc);
    nx_buf_free(&json);
}

/* ---- Random filters ---- */

typedef struct pool {
    nx_condition c[CONDS];
    nx_filter    f[CONDS];
    nx_str       texts[CONDS][TEXTS_MAX];
    int64_t      ints[CONDS][TEXTS_MAX];
    nx_point_id  ids[CONDS][TEXTS_MAX];
    nx_geo_point points[CONDS][4];
    nx_geo_ring  rings[CONDS];
    char         sentences[CONDS][80];
    int          n, n_filters;
    uint64_t    *rng;
} pool;

static void random_numbers(nx_value_range *r, uint64_t *rng)
{
    r->has_gt = sim_random(rng) % 4 == 0;
    r->has_gte = sim_random(rng) % 3 == 0;
    r->has_lt = sim_random(rng) % 4 == 0;
    r->has_lte = sim_random(rng) % 3 == 0;
    r->gt = (double)(sim_random(rng) % 20) - 10;
    r->gte = (double)(sim_random(rng) % 40) / 2 - 10;
    r->lt = sim_random(rng) % 5 ? (double)(sim_random(rng) % 20) - 8 : 1e300;
    r->lte = sim_random(rng) % 9 ? (double)(sim_random(rng) % 20) - 8 : (double)NAN;
}

static int64_t random_time(uint64_t *rng)
{
    return (946684800 + (int64_t)(sim_random(rng) % (30ull * 31557600))) * 1000000;
}

static void random_times(nx_time_range *r, uint64_t *rng)
{
    r->has_gte = sim_random(rng) % 2;
    r->has_gt = !r->has_gte && sim_random(rng) % 2;
    r->has_lt = sim_random(rng) % 2;
    r->has_lte = !r->has_lt && sim_random(rng) % 2;
    r->gte = r->gt = random_time(rng);
    r->lt = r->lte = random_time(rng);
}

static nx_geo_point random_place(uint64_t *rng)
{
    return (nx_geo_point){(double)(sim_random(rng) % 361) - 180,
                          (double)(sim_random(rng) % 181) - 90};
}

static nx_filter *random_filter(pool *p, int depth, bool nested);

static void random_geo(pool *p, int at)
{
    nx_condition *c = &p->c[at];
    uint64_t     *rng = p->rng;

    switch (c->kind) {
    case NX_COND_GEO_BOX:
        c->top_left = random_place(rng);
        c->bottom_right = random_place(rng);
        break;
    case NX_COND_GEO_RADIUS:
        c->centre = random_place(rng);
        c->metres = (double)(sim_random(rng) % 9) * (sim_random(rng) % 2 ? 1e5 : 2.5e6);
        break;
    default:
        for (int i = 0; i < 4; i++) p->points[at][i] = random_place(rng);
        p->rings[at] = (nx_geo_ring){p->points[at], 4};
        c->rings = &p->rings[at];
        c->n_rings = 1;
        break;
    }
}

static void random_lists(pool *p, int at)
{
    nx_condition *c = &p->c[at];
    size_t        n = sim_random(p->rng) % TEXTS_MAX;

    for (size_t i = 0; i < TEXTS_MAX; i++) {
        p->texts[at][i] = nx_str_of(word(p->rng));
        p->ints[at][i] = (int64_t)(sim_random(p->rng) % 20) - 10;
        p->ids[at][i] = nx_id_number(sim_random(p->rng) % (POINTS + 10));
    }
    if (c->kind == NX_COND_ID) {
        c->ids = p->ids[at];
        c->n_ids = n * 2 % TEXTS_MAX;
    } else if (c->kind == NX_COND_INT_ANY || c->kind == NX_COND_INT_EXCEPT) {
        c->ints = p->ints[at];
        c->n_ints = n;
    } else {
        c->texts = p->texts[at];
        c->n_texts = n;
    }
}

static void random_text(pool *p, int at)
{
    nx_condition *c = &p->c[at];
    int           n = 1 + (int)(sim_random(p->rng) % 3);
    size_t        len = 0;

    for (int i = 0; i < n; i++) {
        const char *w = word(p->rng);
        int         k = snprintf(p->sentences[at] + len, 80 - len, i ? " %s" : "%s", w);
        len += (size_t)k;
    }
    if (c->kind == NX_COND_PREFIX || sim_random(p->rng) % 6 == 0) len = sim_random(p->rng) % 4;
    while (len && ((unsigned char)p->sentences[at][len] & 0xC0) == 0x80) len--;
    p->texts[at][0] = (nx_str){p->sentences[at], len};
    c->texts = p->texts[at];
    c->n_texts = 1;
}

static void random_condition(pool *p, int at, int depth, bool nested)
{
    nx_condition *c = &p->c[at];
    const char   *path = paths[sim_random(p->rng) % (nested ? 1 : N_PATHS)];

    if (nested) path = (const char *const[]){"k", "i", "w"}[sim_random(p->rng) % 3];
    *c = (nx_condition){.kind = (nx_cond_kind)(sim_random(p->rng) % (NX_COND_SLICE + 1))};
    /* mostly what the path may have */
    if (sim_random(p->rng) % 3) {
        char last = path[strlen(path) - 1];
        if (last == 'k') c->kind = sim_random(p->rng) % 4 ? NX_COND_TEXT_ANY : NX_COND_PREFIX;
        if (last == 'b') c->kind = NX_COND_BOOL;
        if (last == 'i') c->kind = sim_random(p->rng) % 2 ? NX_COND_RANGE : NX_COND_INT_ANY;
        if (last == 'f') c->kind = NX_COND_RANGE;
        if (last == 't') c->kind = NX_COND_DATETIME;
        if (last == 'g') c->kind = NX_COND_GEO_BOX + (nx_cond_kind)(sim_random(p->rng) % 3);
        if (last == 'w') c->kind = NX_COND_WORDS + (nx_cond_kind)(sim_random(p->rng) % 3);
    }
    if (depth == 0 && (c->kind == NX_COND_NESTED || c->kind == NX_COND_FILTER))
        c->kind = NX_COND_TEXT_ANY;
    if (c->kind == NX_COND_NESTED) path = sim_random(p->rng) % 2 ? "n" : "n[]";
    assert_int_equal(nx_path_parse(&c->path, nx_str_of(path), NULL), NX_OK);
    switch (c->kind) {
    case NX_COND_TEXT_ANY:
    case NX_COND_TEXT_EXCEPT:
    case NX_COND_INT_ANY:
    case NX_COND_INT_EXCEPT:
    case NX_COND_ID: random_lists(p, at); break;
    case NX_COND_BOOL: c->boolean = sim_random(p->rng) % 2; break;
    case NX_COND_WORDS:
    case NX_COND_WORDS_ANY:
    case NX_COND_PHRASE:
    case NX_COND_PREFIX: random_text(p, at); break;
    case NX_COND_RANGE:
    case NX_COND_COUNT: random_numbers(&c->range, p->rng); break;
    case NX_COND_DATETIME: random_times(&c->times, p->rng); break;
    case NX_COND_GEO_BOX:
    case NX_COND_GEO_RADIUS:
    case NX_COND_GEO_POLYGON: random_geo(p, at); break;
    case NX_COND_NESTED: c->filter = random_filter(p, depth - 1, true); break;
    case NX_COND_FILTER: c->filter = random_filter(p, depth - 1, nested); break;
    case NX_COND_VECTOR: c->slot = (int32_t)(sim_random(p->rng) % 2); break;
    case NX_COND_SLICE:
        c->slice.total = 3;
        c->slice.index = (uint32_t)(sim_random(p->rng) % 3);
        break;
    case NX_COND_EMPTY:
    case NX_COND_NULL: break;
    }
}

static const nx_condition *random_list(pool *p, int32_t *n, int depth, bool nested)
{
    int from = p->n;

    *n = (int32_t)(sim_random(p->rng) % 3);
    if (p->n + *n > CONDS - 8) *n = 0;
    p->n += *n;
    for (int i = 0; i < *n; i++) random_condition(p, from + i, depth, nested);
    return &p->c[from];
}

static nx_filter *random_filter(pool *p, int depth, bool nested)
{
    nx_filter *f = &p->f[p->n_filters++];

    assert_true(p->n_filters <= CONDS);
    *f = (nx_filter){0};
    f->must = random_list(p, &f->n_must, depth, nested);
    if (sim_random(p->rng) % 3 == 0) f->must_not = random_list(p, &f->n_must_not, depth, nested);
    if (sim_random(p->rng) % 3 == 0) f->should = random_list(p, &f->n_should, depth, nested);
    if (sim_random(p->rng) % 6 == 0) {
        f->min_should = random_list(p, &f->n_min_should, depth, nested);
        f->min_count = (int32_t)(sim_random(p->rng) % 3);
    }
    return f;
}

/* ---- The collection, and a copy of it ---- */

typedef struct rig {
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    nx_buf         payloads[POINTS];
    uint8_t        vectors[POINTS]; /* bits */
    bool           there[POINTS];
    uint64_t       rng;
} rig;

static void open_rig(rig *r, uint64_t seed)
{
    nx_error         err = {0};
    nx_store_options opt = {.distances = &plain_distances, .head_bytes_max = 20000};
    nx_config        config = {.n_slots = 2,
                               .slots = {{.name = {"d", 1}, .form = NX_FORM_DENSE, .dim = D},
                                         {.name = {"s", 1}, .form = NX_FORM_SPARSE}}};

    memset(r, 0, sizeof *r);
    r->rng = seed;
    sim_init(&r->disk);
    opt.disk = &r->disk.base;
    if (nx_store_open(&r->store, "store", &opt, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_store_create_collection(r->store, NX_STR("c"), &config, &err), NX_OK);
    assert_int_equal(nx_store_find(&r->c, r->store, NX_STR("c"), &err), NX_OK);
}

static void close_rig(rig *r)
{
    for (int i = 0; i < POINTS; i++) nx_buf_free(&r->payloads[i]);
    nx_collection_release(r->c);
    nx_store_close(r->store);
    sim_free(&r->disk);
}

static void write_points(rig *r, int n)
{
    nx_writes *b = nx_writes_create(r->c);
    nx_error   err = {0};

    for (int k = 0; k < n; k++) {
        int       i = (int)(sim_random(&r->rng) % POINTS);
        float     dense[D] = {model_float(&r->rng), model_float(&r->rng), 1}, one = 1;
        uint32_t  index = 7;
        nx_vector all[2] = {
            {.slot = 0, .form = NX_FORM_DENSE, .n = D, .values = dense},
            {.slot = 1, .form = NX_FORM_SPARSE, .n = 1, .values = &one, .indices = &index}};
        nx_point p = {.id = nx_id_number((uint64_t)i), .vectors = all};
        r->vectors[i] = (uint8_t)(sim_random(&r->rng) % 4);
        if (!(r->vectors[i] & 1)) p.vectors = all + 1;
        p.n_vectors = (r->vectors[i] & 1) + (r->vectors[i] >> 1);
        put_payload(&r->payloads[i], &r->rng);
        p.payload = (nx_value){(const uint8_t *)r->payloads[i].data, (uint32_t)r->payloads[i].len};
        r->there[i] = true;
        if (nx_writes_put(b, &p, NX_PUT, &err)) fail_msg("%s", err.text);
    }
    if (nx_collection_write(r->c, b, true, NULL, &err)) fail_msg("%s", err.text);
    nx_writes_destroy(b);
}

/* An index of a random path, of the kind that belongs to it, or (rarely) of any. */
static void random_index(rig *r)
{
    const char   *path = paths[sim_random(&r->rng) % N_PATHS];
    nx_index_spec spec = {.path = nx_str_of(path), .lookup = true, .range = true};
    nx_str        stops[] = {{"the", 3}};

    switch (path[strlen(path) - 1]) {
    case 'k': spec.kind = sim_random(&r->rng) % 2 ? NX_INDEX_KEYWORD : NX_INDEX_UUID; break;
    case 'b': spec.kind = NX_INDEX_BOOL; break;
    case 'i': spec.kind = NX_INDEX_INTEGER; break;
    case 'f': spec.kind = NX_INDEX_FLOAT; break;
    case 't': spec.kind = NX_INDEX_DATETIME; break;
    case 'g': spec.kind = NX_INDEX_GEO; break;
    default: spec.kind = NX_INDEX_TEXT; break;
    }
    if (sim_random(&r->rng) % 10 == 0) spec.kind = (nx_index_kind)(sim_random(&r->rng) % 8);
    if (spec.kind == NX_INDEX_INTEGER) {
        spec.lookup = sim_random(&r->rng) % 3;
        spec.range = !spec.lookup || sim_random(&r->rng) % 3;
    }
    if (spec.kind == NX_INDEX_TEXT) {
        spec.words.kind = (nx_word_kind)(sim_random(&r->rng) % 4);
        spec.words.lowercase = sim_random(&r->rng) % 3;
        spec.words.ascii_folding = sim_random(&r->rng) % 2;
        if (sim_random(&r->rng) % 3 == 0) spec.words.stemmer = NX_STR("english");
        if (sim_random(&r->rng) % 3 == 0) {
            spec.words.stopwords = stops;
            spec.words.n_stopwords = 1;
        }
    }
    nx_error err = {0};
    if (sim_random(&r->rng) % 4 == 0) {
        nx_status st = nx_collection_drop_index(r->c, spec.path, &err);
        assert_true(st == NX_OK || st == NX_ENOENT);
    } else if (nx_collection_create_index(r->c, &spec, &err)) {
        fail_msg("%s", err.text);
    }
}

/* ---- The comparison ---- */

static bool holds(rig *r, int i, const nx_filter *f, nx_bound *bound)
{
    nx_value payload = {(const uint8_t *)r->payloads[i].data, (uint32_t)r->payloads[i].len};

    return r->there[i] &&
           nx_filter_test_bound(f, nx_id_number((uint64_t)i), payload, r->vectors[i], bound);
}

static void compare(rig *r, const nx_filter *f, const bool want[POINTS], const char *when)
{
    nx_point_id  ids[POINTS];
    nx_hit       hits[POINTS];
    nx_plan_hit  sparse[POINTS];
    bool         seen[POINTS] = {0};
    float        query[D] = {1, 2, 3}, one = 1;
    uint32_t     index = 7;
    uint64_t     count, about, n_want = 0;
    size_t       n = 0, n_sparse = 0, at = 0, want_sparse = 0;
    int32_t      n_hits = 0, want_hits = 0;
    nx_snapshot *s = nx_snapshot_take(r->c);
    nx_search    search = {.slot = 0, .query = query, .k = POINTS, .filter = f};
    nx_vector    t = {.slot = 1, .form = NX_FORM_SPARSE, .n = 1, .values = &one, .indices = &index};
    nx_error     err = {0};

    if (nx_snapshot_count_where(s, &count, f, &err) ||
        nx_snapshot_scroll(s, ids, &n, POINTS, NULL, f, &err) ||
        nx_snapshot_search(s, hits, &n_hits, &search, NULL, &err) ||
        nx_sparse_search(s, sparse, &n_sparse, POINTS, 1, &t, f, false, 0, &err) ||
        nx_snapshot_estimate(s, &about, f, &err))
        fail_msg("%s: %s", when, err.text);
    nx_snapshot_release(s);
    for (int i = 0; i < POINTS; i++) {
        n_want += want[i];
        want_hits += want[i] && r->vectors[i] & 1;
        want_sparse += want[i] && r->vectors[i] & 2;
        if (!want[i]) continue;
        if (at >= n || ids[at].lo != (uint64_t)i) fail_msg("%s: scroll lacks %d", when, i);
        at++;
    }
    if (count != n_want || at != n || n_hits != want_hits || n_sparse != want_sparse)
        fail_msg("%s: count %llu of %llu, scroll %zu, search %d of %d, sparse %zu of %zu", when,
                 (unsigned long long)count, (unsigned long long)n_want, n, n_hits, want_hits,
                 n_sparse, want_sparse);
    if (about != count)
        fail_msg("%s: about %llu", when, (unsigned long long)about); /* so few: all */
    for (int32_t i = 0; i < n_hits; i++) {
        assert_true(want[hits[i].id.lo] && !seen[hits[i].id.lo]);
        seen[hits[i].id.lo] = true;
    }
    for (size_t i = 0; i < n_sparse; i++) assert_true(want[sparse[i].id.lo]);
}

/* Indexes count the points that they have entries of, wherever these lie. */
static void compare_counts(rig *r, const char *when)
{
    const nx_settings *settings = nx_collection_settings(r->c);
    nx_snapshot       *s = nx_snapshot_take(r->c);

    for (size_t k = 0; k < settings->n_indexes; k++) {
        nx_index_test *test;
        uint64_t       n, want = 0;
        bool           has;
        assert_int_equal(nx_index_test_create(&test, &settings->indexes[k], NULL), NX_OK);
        for (int i = 0; i < POINTS; i++) {
            nx_value payload = {(const uint8_t *)r->payloads[i].data, (uint32_t)r->payloads[i].len};
            if (!r->there[i]) continue;
            assert_int_equal(nx_index_test_payload(test, &has, payload, NULL), NX_OK);
            want += has;
        }
        nx_index_test_destroy(test);
        assert_int_equal(nx_snapshot_count_indexed(s, &n, &settings->indexes[k], NULL), NX_OK);
        if (n != want)
            fail_msg("%s: index %zu of %llu points, counted %llu", when, k,
                     (unsigned long long)want, (unsigned long long)n);
    }
    nx_snapshot_release(s);
    nx_settings_release(settings);
}

static void delete_them(rig *r, const nx_filter *f, const bool want[POINTS])
{
    nx_writes *b = nx_writes_create(r->c);
    nx_error   err = {0};

    assert_int_equal(nx_writes_delete_if(b, f, &err), NX_OK);
    if (nx_collection_write(r->c, b, true, NULL, &err)) fail_msg("%s", err.text);
    nx_writes_destroy(b);
    for (int i = 0; i < POINTS; i++) r->there[i] &= !want[i];
}

static int one_filter(rig *r, int seed, int k)
{
    static pool p;
    char        when[80];
    bool        want[POINTS];
    int         n = 0;
    nx_bound   *bound;

    p.n = p.n_filters = 0;
    p.rng = &r->rng;
    nx_filter         *f = random_filter(&p, 2, false);
    const nx_settings *settings = nx_collection_settings(r->c);
    assert_int_equal(nx_bound_create(&bound, f, settings, NULL), NX_OK);
    for (int i = 0; i < POINTS; i++) n += want[i] = holds(r, i, f, bound);
    nx_bound_destroy(bound);
    nx_settings_release(settings);
    snprintf(when, sizeof when, "seed %d, filter %d", seed, k);
    compare(r, f, want, when);
    compare_counts(r, when);
    if (n < POINTS / 8 && sim_random(&r->rng) % 4 == 0) {
        delete_them(r, f, want);
        memset(want, 0, sizeof want);
        compare(r, f, want, when);
    }
    return n > 0 && n < POINTS;
}

static void indexes_change_no_answer(void **state)
{
    int n_seeds = setting("NX_INDEX_SEEDS", 12), n = setting("NX_INDEX_FILTERS", 250), n_some = 0;

    (void)state;
    for (int seed = 0; seed < n_seeds; seed++) {
        static rig r;
        open_rig(&r, (uint64_t)seed * 104729 + 11);
        write_points(&r, POINTS);
        for (int k = 0; k < n; k++) {
            if (sim_random(&r.rng) % 3 == 0) random_index(&r);
            if (sim_random(&r.rng) % 8 == 0) write_points(&r, 10);
            if (sim_random(&r.rng) % 20 == 0)
                assert_int_equal(nx_store_maintain(r.store, NULL), NX_OK);
            if (sim_random(&r.rng) % 20 == 0)
                assert_int_equal(nx_collection_flush(r.c, NULL), NX_OK);
            n_some += one_filter(&r, seed, k);
        }
        close_rig(&r);
    }
    assert_true(n_some > n_seeds * n / 8);
}

/* ---- Many at once ---- */

typedef struct counter {
    rig             *r;
    const nx_filter *f;
    uint64_t         want;
    int              n_wrong;
} counter;

static void *count_again(void *ctx)
{
    counter *c = ctx;

    for (int i = 0; i < 60; i++) {
        uint64_t     n = 0;
        nx_snapshot *s = nx_snapshot_take(c->r->c);
        nx_status    st = nx_snapshot_count_where(s, &n, c->f, NULL);
        nx_snapshot_release(s);
        c->n_wrong += st || n != c->want;
    }
    return NULL;
}

/* Readers that want the same indexes at once, while these come and go. */
static void readers_share_what_one_makes(void **state)
{
    static rig   r;
    nx_str       red = NX_STR("red");
    nx_condition both[2] = {{.kind = NX_COND_TEXT_ANY, .texts = &red, .n_texts = 1},
                            {.kind = NX_COND_RANGE, .range = {.has_gte = true, .gte = -5}}};
    nx_filter    f = {.must = both, .n_must = 2};
    counter      c[4];
    pthread_t    threads[4];
    uint64_t     want = 0;

    (void)state;
    open_rig(&r, 77);
    for (int i = 0; i < 4; i++) write_points(&r, POINTS);
    assert_int_equal(nx_collection_flush(r.c, NULL), NX_OK);
    assert_int_equal(nx_path_parse(&both[0].path, NX_STR("k"), NULL), NX_OK);
    assert_int_equal(nx_path_parse(&both[1].path, NX_STR("i"), NULL), NX_OK);
    for (int i = 0; i < POINTS; i++) want += holds(&r, i, &f, NULL);
    assert_true(want > 0);
    for (int i = 0; i < 4; i++) {
        c[i] = (counter){&r, &f, want, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, count_again, &c[i]), 0);
    }
    for (int i = 0; i < 40; i++) {
        nx_index_spec k = {.path = NX_STR("k"), .kind = i % 2 ? NX_INDEX_KEYWORD : NX_INDEX_UUID};
        nx_index_spec n = {
            .path = NX_STR("i"), .kind = NX_INDEX_INTEGER, .range = true, .lookup = i % 3 > 0};
        assert_int_equal(nx_collection_create_index(r.c, &k, NULL), NX_OK);
        assert_int_equal(nx_collection_create_index(r.c, &n, NULL), NX_OK);
        if (i % 5 == 0) assert_int_equal(nx_collection_drop_index(r.c, k.path, NULL), NX_OK);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(c[i].n_wrong, 0);
    }
    nx_collection_stats stats;
    nx_collection_read_stats(r.c, &stats);
    assert_true(stats.index_bytes > 0);
    close_rig(&r);
}

/* ---- Words ---- */

static bool fits(const nx_words_spec *words_spec, nx_cond_kind kind, const char *asked,
                 const char *text)
{
    nx_index_spec spec = {.path = NX_STR("w"), .kind = NX_INDEX_TEXT, .words = *words_spec};
    nx_settings   settings = {.indexes = &spec, .n_indexes = 1};
    nx_str        question = nx_str_of(asked);
    nx_condition  c = {.kind = kind, .texts = &question, .n_texts = 1};
    nx_filter     f = {.must = &c, .n_must = 1};
    nx_buf        b = {.max = 1 << 12};
    nx_bound     *bound;
    size_t        mark;

    assert_int_equal(nx_path_parse(&c.path, NX_STR("w"), NULL), NX_OK);
    assert_int_equal(nx_bound_create(&bound, &f, &settings, NULL), NX_OK);
    assert_non_null(bound);
    assert_int_equal(nx_value_open(&b, NX_VALUE_OBJECT, &mark, NULL), NX_OK);
    assert_int_equal(nx_value_add_key(&b, NX_STR("w"), NULL), NX_OK);
    assert_int_equal(nx_value_add_text(&b, nx_str_of(text), NULL), NX_OK);
    nx_value_close(&b, mark, 1);
    nx_value v = {(const uint8_t *)b.data, (uint32_t)b.len};
    bool     r = nx_filter_test_bound(&f, nx_id_number(1), v, 0, bound);
    assert_int_equal(nx_bound_status(bound), NX_OK);
    nx_bound_destroy(bound);
    nx_buf_free(&b);
    return r;
}

static void words_are_the_index_s(void **state)
{
    nx_str        stops[] = {{"the", 3}};
    nx_words_spec plain = {.lowercase = true};
    nx_words_spec full = {.lowercase = true,
                          .ascii_folding = true,
                          .stemmer = {"english", 7},
                          .stopwords = stops,
                          .n_stopwords = 1};
    nx_words_spec prefix = {.kind = NX_WORDS_PREFIX, .lowercase = true};

    (void)state;
    assert_true(fits(&plain, NX_COND_WORDS, "sea RED", "Red sky, calm sea"));
    assert_false(fits(&plain, NX_COND_WORDS, "sea red", "Red sky"));
    assert_false(fits(&plain, NX_COND_WORDS, "re", "Red sky"));
    assert_true(fits(&plain, NX_COND_WORDS, "red red", "Red sky"));
    assert_false(fits(&plain, NX_COND_WORDS, "", "Red sky"));
    assert_false(fits(&plain, NX_COND_WORDS_ANY, " ,", "Red sky"));
    assert_true(fits(&plain, NX_COND_WORDS_ANY, "blue sky", "Red sky"));
    assert_false(fits(&plain, NX_COND_WORDS_ANY, "blue sea", "Red sky"));
    assert_true(fits(&plain, NX_COND_PHRASE, "red sky", "a red, red sky"));
    assert_true(fits(&plain, NX_COND_PHRASE, "a a b", "a a a b"));
    assert_true(fits(&plain, NX_COND_PHRASE, "a b a c", "a b a b a c"));
    assert_false(fits(&plain, NX_COND_PHRASE, "sky red", "red sky"));
    assert_false(fits(&plain, NX_COND_PHRASE, "red sky", "red and sky"));
    assert_true(fits(&full, NX_COND_WORDS, "the Sailor sailing", "A SAILÖR sails"));
    assert_false(fits(&full, NX_COND_WORDS, "the", "the the"));
    assert_true(fits(&prefix, NX_COND_WORDS, "the sk", "theory of skies"));
    assert_false(fits(&prefix, NX_COND_WORDS, "heo", "theory"));
    assert_true(fits(&prefix, NX_COND_PHRASE, "theory of", "theory of skies"));
    assert_false(fits(&prefix, NX_COND_PHRASE, "theo of", "theory of skies"));
}

/* ---- Lists ---- */

static void lists_are_found(void **state)
{
    nx_terms t = {0};
    nx_ranks r = {0};
    char     key[16];

    (void)state;
    for (uint32_t row = 0; row < 3000; row++) {
        snprintf(key, sizeof key, "%u", row % 700);
        assert_int_equal(nx_terms_add(&t, nx_str_of(key), row, NULL), NX_OK);
        assert_int_equal(nx_terms_add(&t, nx_str_of(key), row, NULL), NX_OK);
        assert_int_equal(nx_terms_add(&t, NX_STR(""), row, NULL), NX_OK);
        assert_int_equal(nx_ranks_add(&r, (int64_t)(row * 7919 % 1000) - 500, row, NULL), NX_OK);
    }
    assert_int_equal(nx_terms_finish(&t, NULL), NX_OK);
    assert_int_equal(nx_ranks_finish(&r, NULL), NX_OK);
    assert_int_equal(t.n_keys, 701);
    nx_span s = nx_terms_find(&t, NX_STR("13"));
    assert_int_equal(s.n, 5);
    for (uint32_t i = 0; i < s.n; i++) assert_int_equal(s.rows[i], 13 + 700 * i);
    assert_int_equal(nx_terms_find(&t, NX_STR("")).n, 3000);
    assert_int_equal(nx_terms_find(&t, NX_STR("700")).n, 0);
    assert_int_equal(nx_ranks_between(&r, -500, 499).n, 3000);
    assert_int_equal(nx_ranks_between(&r, 0, 0).n, 3);
    assert_int_equal(nx_ranks_between(&r, 5, 4).n, 0);
    assert_int_equal(nx_ranks_between(&r, INT64_MIN, INT64_MAX).n, 3000);
    nx_terms_free(&t);
    nx_ranks_free(&r);
    assert_int_equal(nx_terms_find(&t, NX_STR("x")).n, 0);
    const double in_order[] = {-INFINITY, -1e300, -2, -1e-300, 0, 1e-300, 1, 1.5, 1e300, INFINITY};
    for (int i = 1; i < 10; i++) assert_true(nx_rank_of(in_order[i - 1]) < nx_rank_of(in_order[i]));
    assert_true(nx_rank_of(-0.0) == nx_rank_of(0.0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_change_no_answer),
        cmocka_unit_test(readers_share_what_one_makes),
        cmocka_unit_test(words_are_the_index_s),
        cmocka_unit_test(lists_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
