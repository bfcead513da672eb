/* model.h - what a collection must hold: a naive copy of it in memory, random requests on both,
 * and the comparison.
 *
 * Slots: 0 dense of 8 with cosine and codes, 1 dense of 5 with Euclid in halves, 2 sparse, 3 multi of 3 with
 * dot. Payload: up to six keys "k0".."k5" with small integers, and "doc" with a text.
 */
#ifndef NX_TESTS_STORE_MODEL_H
#define NX_TESTS_STORE_MODEL_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plain_distances.h"
#include "sim_disk.h"
#include "store/sparse.h"

enum { MODEL_IDS = 48, MODEL_KEYS = 6, DIM_A = 8, DIM_B = 5, DIM_M = 3 };

static inline nx_config model_config(void)
{
    return (nx_config){
        .n_slots = 4,
        .slots = {{.name = {"a", 1},
                   .form = NX_FORM_DENSE,
                   .distance = NX_COSINE,
                   .storage = NX_STORE_SQ8,
                   .dim = DIM_A,
                   .model = {"tiny", 4}},
                  {.name = {"", 0},
                   .form = NX_FORM_DENSE,
                   .distance = NX_EUCLID,
                   .storage = NX_STORE_F16,
                   .dim = DIM_B},
                  {.name = {"s", 1}, .form = NX_FORM_SPARSE, .idf = true},
                  {.name = {"m", 1}, .form = NX_FORM_MULTI, .distance = NX_DOT, .dim = DIM_M}},
        .note = {"note", 4},
    };
}

typedef struct model_point {
    bool     there, has[4];
    float    raw[DIM_A], a[DIM_A], raw_b[DIM_B], b[DIM_B], m[2 * DIM_M], values[4];
    uint32_t indices[4];
    int      n_sparse, n_multi;
    int      keys[MODEL_KEYS]; /* 0: not there */
    int      doc;              /* -1: none */
} model_point;

typedef struct model {
    model_point p[MODEL_IDS];
} model;

/* A third of the ids are UUIDs. */
static inline nx_point_id model_id(int i)
{
    if (i % 3) return nx_id_number((uint64_t)i * 1000003u);
    return (nx_point_id){(uint64_t)(97 - i) << 40, (uint64_t)i, 1};
}

static inline float model_float(uint64_t *rng)
{
    return (float)((int)(sim_random(rng) % 2001) - 1000) / 512;
}

static inline void model_value(nx_buf *out, const int keys[MODEL_KEYS], int doc)
{
    size_t   mark;
    uint32_t n = 0;

    out->len = 0;
    assert_int_equal(nx_value_open(out, NX_VALUE_OBJECT, &mark, NULL), NX_OK);
    for (int i = 0; i < MODEL_KEYS; i++) {
        char key[3] = {'k', (char)('0' + i), 0};
        if (!keys[i]) continue;
        assert_int_equal(nx_value_add_key(out, nx_str_of(key), NULL), NX_OK);
        assert_int_equal(nx_value_add_int(out, keys[i], NULL), NX_OK);
        n++;
    }
    if (doc >= 0) {
        char text[8];
        snprintf(text, sizeof text, "d%d", doc % 1000);
        assert_int_equal(nx_value_add_key(out, NX_STR("doc"), NULL), NX_OK);
        assert_int_equal(nx_value_add_text(out, nx_str_of(text), NULL), NX_OK);
        n++;
    }
    nx_value_close(out, mark, n);
}

/* ---- Random requests, on a batch and on the model ---- */

/* To 11 bits, ties to even, and to multiples of 2^-24: what binary16 has below 2^16. */
static inline float model_half(float x)
{
    int e;

    frexp((double)x, &e);
    double step = ldexp(1, e < -13 ? -24 : e - 11);
    return (float)(rint((double)x / step) * step);
}

/* Random vectors for slot s into p; the unit-length, or rounded, form is what comes back. */
static inline void model_random_vector(model_point *p, int s, uint64_t *rng)
{
    double sum = 0;

    p->has[s] = true;
    if (s == 0) {
        for (int i = 0; i < DIM_A; i++) p->raw[i] = p->a[i] = model_float(rng);
        for (int i = 0; i < DIM_A; i++) sum += (double)p->a[i] * (double)p->a[i];
        double r = sum > 0 ? 1 / sqrt(sum) : 0;
        for (int i = 0; i < DIM_A; i++) p->a[i] = (float)((double)p->a[i] * r);
    }
    if (s == 1)
        for (int i = 0; i < DIM_B; i++) {
            p->raw_b[i] = model_float(rng) * (i ? 1.0007f : 1e-6f);
            p->b[i] = model_half(p->raw_b[i]);
        }
    if (s == 2) {
        p->n_sparse = (int)(sim_random(rng) % 5);
        for (int i = 0; i < p->n_sparse; i++) {
            p->indices[i] = (uint32_t)(i * 100 + (int)(sim_random(rng) % 100));
            p->values[i] = model_float(rng);
        }
    }
    if (s == 3) {
        p->n_multi = 1 + (int)(sim_random(rng) % 2);
        for (int i = 0; i < p->n_multi * DIM_M; i++) p->m[i] = model_float(rng);
    }
}

static inline int model_vectors(const model_point *p, nx_vector v[4])
{
    int n = 0;

    if (p->has[3]) v[n++] = (nx_vector){3, NX_FORM_MULTI, p->n_multi, p->m, NULL};
    if (p->has[0]) v[n++] = (nx_vector){0, NX_FORM_DENSE, DIM_A, p->raw, NULL};
    if (p->has[2]) v[n++] = (nx_vector){2, NX_FORM_SPARSE, p->n_sparse, p->values, p->indices};
    if (p->has[1]) v[n++] = (nx_vector){1, NX_FORM_DENSE, DIM_B, p->raw_b, NULL};
    return n;
}

static inline nx_status model_put(nx_writes *batch, model *m, int i, nx_put_mode mode,
                                  uint64_t *rng)
{
    model_point p = {.there = true, .doc = (int)(sim_random(rng) % 6) - 1};
    nx_vector   v[4];
    nx_buf      payload = {.max = 1 << 16};

    for (int s = 0; s < 4; s++)
        if (sim_random(rng) % 4) model_random_vector(&p, s, rng);
    for (int k = 0; k < MODEL_KEYS; k++)
        if (sim_random(rng) % 2) p.keys[k] = 1 + (int)(sim_random(rng) % 100);
    model_value(&payload, p.keys, p.doc);
    nx_point  point = {.id = model_id(i),
                       .vectors = v,
                       .n_vectors = model_vectors(&p, v),
                       .payload = {(const uint8_t *)payload.data, (uint32_t)payload.len}};
    nx_status st = nx_writes_put(batch, &point, mode, NULL);
    nx_buf_free(&payload);
    if (!st && (mode == NX_PUT || m->p[i].there == (mode == NX_PUT_PRESENT))) m->p[i] = p;
    return st;
}

static inline nx_status model_set(nx_writes *batch, model *m, int i, bool overwrite, uint64_t *rng)
{
    int    keys[MODEL_KEYS] = {0};
    nx_buf payload = {.max = 1 << 16};

    for (int k = 0; k < MODEL_KEYS; k++)
        if (sim_random(rng) % 3 == 0) keys[k] = 1 + (int)(sim_random(rng) % 100);
    model_value(&payload, keys, -1);
    nx_value  v = {(const uint8_t *)payload.data, (uint32_t)payload.len};
    nx_status st = overwrite ? nx_writes_overwrite_payload(batch, model_id(i), v, NULL)
                             : nx_writes_set_payload(batch, model_id(i), v, NX_STR(""), NULL);
    nx_buf_free(&payload);
    for (int k = 0; !st && k < MODEL_KEYS; k++)
        if (keys[k] || overwrite) m->p[i].keys[k] = keys[k];
    if (!st && overwrite) m->p[i].doc = -1;
    return st;
}

static inline nx_status model_change_vectors(nx_writes *batch, model *m, int i, uint64_t *rng)
{
    model_point p = {0};
    nx_vector   v[8];
    int         n;

    for (int s = 0; s < 4; s++)
        if (sim_random(rng) % 3 == 0) model_random_vector(&p, s, rng);
    n = model_vectors(&p, v);
    for (int s = 0; s < 4; s++)
        if (!p.has[s] && sim_random(rng) % 4 == 0) {
            v[n++] = (nx_vector){.slot = s, .form = NX_FORM_GONE};
            m->p[i].has[s] = false;
        }
    for (int s = 0; s < 4; s++) m->p[i].has[s] |= p.has[s];
    if (p.has[0]) memcpy(m->p[i].a, p.a, sizeof p.a);
    if (p.has[1]) memcpy(m->p[i].b, p.b, sizeof p.b);
    if (p.has[2]) {
        memcpy(m->p[i].values, p.values, sizeof p.values);
        memcpy(m->p[i].indices, p.indices, sizeof p.indices);
        m->p[i].n_sparse = p.n_sparse;
    }
    if (p.has[3]) {
        memcpy(m->p[i].m, p.m, sizeof p.m);
        m->p[i].n_multi = p.n_multi;
    }
    nx_point point = {.id = model_id(i), .vectors = v, .n_vectors = n};
    return nx_writes_update_vectors(batch, &point, NULL);
}

static inline nx_status model_replace_document(nx_writes *batch, model *m, uint64_t *rng)
{
    int  doc = (int)(sim_random(rng) % 5);
    char text[8];

    snprintf(text, sizeof text, "d%d", doc);
    nx_status st = nx_writes_delete_where(batch, NX_STR("doc"), nx_str_of(text), NULL);
    for (int i = 0; i < MODEL_IDS; i++)
        if (m->p[i].there && m->p[i].doc == doc) m->p[i] = (model_point){.doc = -1};
    for (int n = (int)(sim_random(rng) % 3); !st && n > 0; n--)
        st = model_put(batch, m, (int)(sim_random(rng) % MODEL_IDS), NX_PUT, rng);
    return st;
}

/* ---- By a filter ---- */

/* Of those whose k1 is at least `least`, and that have no sparse vector. */
static inline bool model_passes(const model_point *p, const nx_filter *f, int least)
{
    return !f || (p->keys[1] >= least && p->keys[1] && !p->has[2]);
}

/* That filter; it stays while some batches are made after it. */
static inline const nx_filter *model_filter(int least)
{
    static struct {
        nx_filter    f;
        nx_condition range, sparse;
    } kept[64];
    static unsigned n;

    unsigned i = n++ % 64;
    kept[i].range = (nx_condition){.kind = NX_COND_RANGE, .range = {.has_gte = true, .gte = least}};
    kept[i].sparse = (nx_condition){.kind = NX_COND_VECTOR, .slot = 2};
    kept[i].f = (nx_filter){
        .must = &kept[i].range, .n_must = 1, .must_not = &kept[i].sparse, .n_must_not = 1};
    assert_int_equal(nx_path_parse(&kept[i].range.path, NX_STR("k1"), NULL), NX_OK);
    return &kept[i].f;
}

static inline nx_status model_if(nx_writes *batch, model *m, uint64_t *rng)
{
    int              least = 1 + (int)(sim_random(rng) % 150), kind = (int)(sim_random(rng) % 6);
    int              keys[MODEL_KEYS] = {(int)(sim_random(rng) % 3), (int)(sim_random(rng) % 80)};
    const nx_filter *f = model_filter(least);
    nx_buf           payload = {.max = 1 << 16};
    nx_status        st = NX_OK;

    model_value(&payload, keys, -1);
    nx_value v = {(const uint8_t *)payload.data, (uint32_t)payload.len};
    switch (kind) {
    case 0: st = nx_writes_delete_if(batch, f, NULL); break;
    case 1: st = nx_writes_set_payload_if(batch, f, v, NX_STR(""), NULL); break;
    case 2: st = nx_writes_overwrite_payload_if(batch, f, v, NULL); break;
    case 3: st = nx_writes_remove_payload_if(batch, f, (nx_str[]){NX_STR("k1")}, 1, NULL); break;
    case 4: st = nx_writes_clear_payload_if(batch, f, NULL); break;
    default: st = nx_writes_delete_vectors_if(batch, f, 1 << 0 | 1 << 3, NULL); break;
    }
    nx_buf_free(&payload);
    for (int i = 0; !st && i < MODEL_IDS; i++) {
        model_point *p = &m->p[i];
        if (!p->there || !model_passes(p, f, least)) continue;
        if (kind == 0) *p = (model_point){.doc = -1};
        if (kind == 2 || kind == 4) {
            memset(p->keys, 0, sizeof p->keys);
            p->doc = -1;
        }
        for (int k = 0; (kind == 1 || kind == 2) && k < MODEL_KEYS; k++)
            if (keys[k]) p->keys[k] = keys[k];
        if (kind == 3) p->keys[1] = 0;
        if (kind == 5) p->has[0] = p->has[3] = false;
    }
    return st;
}

/* An operation that a filter keeps off some points; on others it does what it does. */
static inline nx_status model_only_if(nx_writes *batch, model *m, uint64_t *rng)
{
    int              least = 1 + (int)(sim_random(rng) % 60), i;
    int              kind = (int)(sim_random(rng) % 5);
    const nx_filter *f = model_filter(least);
    model            kept = *m;
    nx_status        st = nx_writes_only_if(batch, f, NULL);

    i = (int)(sim_random(rng) % MODEL_IDS);
    if (st) return st;
    switch (kind) {
    case 0: st = model_put(batch, m, i, NX_PUT, rng); break;
    case 1: st = model_set(batch, m, i, false, rng); break;
    case 2: st = model_set(batch, m, i, true, rng); break;
    case 3: st = model_change_vectors(batch, m, i, rng); break;
    default:
        st = nx_writes_delete(batch, model_id(i), NULL);
        m->p[i] = (model_point){.doc = -1};
        break;
    }
    if (kept.p[i].there && !model_passes(&kept.p[i], f, least)) *m = kept;
    return st ? st : nx_writes_only_if(batch, NULL, NULL);
}

/* One random operation appended to the batch; m becomes what it must give. */
static inline nx_status model_step(nx_writes *batch, model *m, uint64_t *rng)
{
    int       i = (int)(sim_random(rng) % MODEL_IDS), k = (int)(sim_random(rng) % MODEL_KEYS);
    model     kept = *m;
    char      key[3] = {'k', (char)('0' + k), 0};
    nx_status st;

    switch (sim_random(rng) % 15) {
    case 0:
    case 1:
    case 2: st = model_put(batch, m, i, NX_PUT, rng); break;
    case 3: st = model_put(batch, m, i, NX_PUT_NEW, rng); break;
    case 4: st = model_put(batch, m, i, NX_PUT_PRESENT, rng); break;
    case 5:
        st = nx_writes_delete(batch, model_id(i), NULL);
        m->p[i] = (model_point){.doc = -1};
        break;
    case 6: st = model_set(batch, m, i, false, rng); break;
    case 7: st = model_set(batch, m, i, true, rng); break;
    case 8:
        st = nx_writes_remove_payload(batch, model_id(i), nx_str_of(key), NULL);
        m->p[i].keys[k] = 0;
        break;
    case 9:
        st = nx_writes_clear_payload(batch, model_id(i), NULL);
        memset(m->p[i].keys, 0, sizeof m->p[i].keys);
        m->p[i].doc = -1;
        break;
    case 10: st = model_change_vectors(batch, m, i, rng); break;
    case 11: st = model_if(batch, m, rng); break;
    case 12: st = model_only_if(batch, m, rng); break;
    default: st = model_replace_document(batch, m, rng); break;
    }
    for (int j = 0; j < MODEL_IDS; j++)
        if (!m->p[j].there) m->p[j] = (model_point){.doc = -1}; /* changes of what isn't there */
    if (st) *m = kept;
    return st;
}

static inline void model_init(model *m)
{
    for (int i = 0; i < MODEL_IDS; i++) m->p[i] = (model_point){.doc = -1};
}

/* ---- Comparison: "" when they agree, or what doesn't ---- */

static inline const char *model_vector_differs(const model_point *p, const nx_vector *v)
{
    if (!p->has[v->slot]) return "a vector too many";
    switch (v->slot) {
    case 0: return v->n == DIM_A && !memcmp(v->values, p->a, sizeof p->a) ? "" : "vector a";
    case 1: return v->n == DIM_B && !memcmp(v->values, p->b, sizeof p->b) ? "" : "vector b";
    case 2:
        if (v->n != p->n_sparse) return "length of s";
        return !memcmp(v->values, p->values, 4 * (size_t)v->n) &&
                       !memcmp(v->indices, p->indices, 4 * (size_t)v->n)
                   ? ""
                   : "vector s";
    default:
        return v->n == p->n_multi && !memcmp(v->values, p->m, 4 * DIM_M * (size_t)v->n)
                   ? ""
                   : "vector m";
    }
}

static inline const char *model_point_differs(const model_point *p, const nx_point *got)
{
    static char what[64];
    int         n = p->has[0] + p->has[1] + p->has[2] + p->has[3];
    nx_buf      payload = {.max = 1 << 16};
    uint32_t    n_keys = p->doc >= 0;
    char        text[8];

    (void)payload;
    if (got->n_vectors != n) return "number of vectors";
    for (int i = 0; i < n; i++) {
        const char *d = model_vector_differs(p, &got->vectors[i]);
        if (*d) return d;
    }
    for (int k = 0; k < MODEL_KEYS; k++) {
        char     key[3] = {'k', (char)('0' + k), 0};
        nx_value v = nx_value_member(got->payload, nx_str_of(key));
        n_keys += p->keys[k] != 0;
        snprintf(what, sizeof what, "payload %s, expected %d", key, p->keys[k]);
        if ((v.n > 0) != (p->keys[k] != 0)) return what;
        if (v.n && (nx_value_kind_of(v) != NX_VALUE_INT || nx_value_int(v) != p->keys[k]))
            return what;
    }
    snprintf(text, sizeof text, "d%d", p->doc % 1000);
    nx_value doc = nx_value_member(got->payload, NX_STR("doc"));
    if (p->doc >= 0 && (!doc.n || !nx_str_eq(nx_value_text(doc), nx_str_of(text)))) return "doc";
    return nx_value_count(got->payload) == n_keys ? "" : "keys of the payload";
}

static inline const char *model_differs(const model *m, nx_collection *c)
{
    static char   what[200];
    nx_snapshot  *s = nx_snapshot_take(c);
    nx_point_copy copy = {0};
    nx_point_id   ids[MODEL_IDS + 1];
    size_t        n_ids = 0, n_model = 0;
    nx_error      err = {0};
    const char   *d = "";

    what[0] = '\0';
    if (nx_snapshot_scroll(s, ids, &n_ids, MODEL_IDS + 1, NULL, NULL, &err))
        snprintf(what, sizeof what, "scroll: %.150s", err.text);
    for (int i = 0; !what[0] && i < MODEL_IDS; i++) {
        nx_status st = nx_snapshot_get(s, &copy, model_id(i), &err);
        n_model += m->p[i].there;
        if (st && st != NX_ENOENT)
            snprintf(what, sizeof what, "get: %.150s", err.text);
        else if ((st == NX_OK) != m->p[i].there)
            snprintf(what, sizeof what, "point %d is %s", i, st ? "missing" : "too many");
        else if (!st && *(d = model_point_differs(&m->p[i], &copy.point)))
            snprintf(what, sizeof what, "point %d: %s", i, d);
    }
    if (!what[0] && (n_ids != n_model || nx_snapshot_count(s) != n_model))
        snprintf(what, sizeof what, "%zu ids, count %llu, expected %zu", n_ids,
                 (unsigned long long)nx_snapshot_count(s), n_model);
    for (size_t i = 1; !what[0] && i < n_ids; i++)
        if (nx_id_compare(ids[i - 1], ids[i]) >= 0) snprintf(what, sizeof what, "order of ids");
    nx_point_copy_free(&copy);
    nx_snapshot_release(s);
    return what;
}

/* The k best by the plain way, against what a search says; with f: model_passes. */
static inline const char *model_filtered_differs(const model *m, nx_collection *c, int slot, int k,
                                                 const nx_filter *f, int least, uint64_t *rng)
{
    static char    what[200];
    float          q[DIM_A], score[MODEL_IDS];
    bool           used[MODEL_IDS] = {0};
    nx_hit         hits[MODEL_IDS + 1];
    int32_t        n = 0;
    nx_error       err;
    nx_snapshot   *s = nx_snapshot_take(c);
    nx_distance_fn fn = slot == 0 ? plain_dot : plain_euclid;
    int            D = slot == 0 ? DIM_A : DIM_B;
    double         sum = 0;

    for (int i = 0; i < D; i++) q[i] = model_float(rng);
    nx_search search = {.slot = slot, .query = q, .k = k, .filter = f};
    what[0] = '\0';
    if (nx_snapshot_search(s, hits, &n, &search, NULL, &err))
        snprintf(what, sizeof what, "search: %.150s", err.text);
    nx_snapshot_release(s);
    for (int i = 0; slot == 0 && i < D; i++) sum += (double)q[i] * (double)q[i];
    for (int i = 0; sum > 0 && i < D; i++) q[i] = (float)((double)q[i] / sqrt(sum));
    for (int i = 0; i < MODEL_IDS; i++) {
        if (!m->p[i].there || !m->p[i].has[slot] || !model_passes(&m->p[i], f, least))
            used[i] = true;
        fn(&score[i], q, slot == 0 ? m->p[i].a : m->p[i].b, 1, D, D);
        if (slot == 1) score[i] = sqrtf(score[i]);
    }
    for (int32_t h = 0; !what[0] && h <= n; h++) {
        int best = -1;
        for (int i = 0; i < MODEL_IDS; i++) {
            if (used[i]) continue;
            bool better =
                best < 0 || (slot == 0 ? score[i] > score[best] : score[i] < score[best]) ||
                (score[i] == score[best] && nx_id_compare(model_id(i), model_id(best)) < 0);
            if (better) best = i;
        }
        if (h == n && best >= 0 && n < k) snprintf(what, sizeof what, "too few hits");
        if (h == n) break;
        if (best < 0 || nx_id_compare(hits[h].id, model_id(best)) || hits[h].score != score[best])
            snprintf(what, sizeof what, "slot %d, hit %d of %d: score %g, expected point %d, %g",
                     slot, h, n, (double)hits[h].score, best, best < 0 ? 0.0 : (double)score[best]);
        if (best >= 0) used[best] = true;
    }
    return what;
}

static inline const char *model_sparse_differs(const model *m, nx_collection *c, int k,
                                               const nx_filter *f, int least, uint64_t *rng);

static inline const char *model_search_differs(const model *m, nx_collection *c, int slot, int k,
                                               uint64_t *rng)
{
    const char  *d = model_filtered_differs(m, c, slot, k, NULL, 0, rng);
    int          least = 1 + (int)(sim_random(rng) % 100);
    nx_condition range = {.kind = NX_COND_RANGE, .range = {.has_gte = true, .gte = least}};
    nx_condition sparse = {.kind = NX_COND_VECTOR, .slot = 2};
    nx_filter    f = {.must = &range, .n_must = 1, .must_not = &sparse, .n_must_not = 1};
    nx_point_id  ids[MODEL_IDS];
    size_t       n_ids = 0, want = 0;
    uint64_t     n = 0;

    assert_int_equal(nx_path_parse(&range.path, NX_STR("k1"), NULL), NX_OK);
    if (!*d) d = model_filtered_differs(m, c, slot, k, &f, least, rng);
    if (!*d) d = model_sparse_differs(m, c, k, NULL, 0, rng);
    f.n_must_not = 0;
    if (!*d) d = model_sparse_differs(m, c, k, &f, least, rng);
    f.n_must_not = 1;
    if (*d) return d;
    for (int i = 0; i < MODEL_IDS; i++) want += m->p[i].there && model_passes(&m->p[i], &f, least);
    nx_snapshot *s = nx_snapshot_take(c);
    nx_status    st = nx_snapshot_scroll(s, ids, &n_ids, MODEL_IDS, NULL, &f, NULL);
    if (!st) st = nx_snapshot_count_where(s, &n, &f, NULL);
    nx_snapshot_release(s);
    if (st) return "scroll: or count with a filter";
    return n == want && n_ids == want ? "" : "how many a filter holds for";
}

/* ---- Sparse: slot 2, with IDF ---- */

/* A random target: some indexes that points have, and some that none has. */
static inline int model_target(const model *m, uint32_t indices[8], float values[8], uint64_t *rng)
{
    int n = 0;

    for (int tries = 0; tries < 8; tries++) {
        const model_point *p = &m->p[sim_random(rng) % MODEL_IDS];
        uint32_t           index = (uint32_t)(sim_random(rng) % 500);
        bool               twice = false;
        if (p->has[2] && p->n_sparse) index = p->indices[sim_random(rng) % (uint64_t)p->n_sparse];
        for (int i = 0; i < n; i++) twice |= indices[i] == index;
        if (twice) continue;
        indices[n] = index;
        values[n++] = model_float(rng);
    }
    return n;
}

static inline int model_entry(const model_point *p, uint32_t index)
{
    for (int i = 0; p->there && p->has[2] && i < p->n_sparse; i++)
        if (p->indices[i] == index) return i;
    return -1;
}

/* The target's values, weighed: ln((N - df + .5) / (df + .5) + 1). */
static inline void model_weigh(const model *m, const uint32_t *indices, float *values, int n)
{
    double n_points = 0;

    for (int i = 0; i < MODEL_IDS; i++) n_points += m->p[i].there;
    for (int q = 0; q < n; q++) {
        double df = 0;
        for (int i = 0; i < MODEL_IDS; i++) df += model_entry(&m->p[i], indices[q]) >= 0;
        values[q] *= (float)log((n_points - df + 0.5) / (df + 0.5) + 1);
    }
}

/* Point p's score, in the order of indexes; false: it shares none. */
static inline bool model_sparse_score(const model_point *p, const uint32_t *indices,
                                      const float *weights, int n, float *score)
{
    bool shared = false;

    *score = 0;
    for (int i = 0; p->there && p->has[2] && i < p->n_sparse; i++)
        for (int q = 0; q < n; q++) {
            if (indices[q] != p->indices[i]) continue;
            *score += weights[q] * p->values[i];
            shared = true;
        }
    return shared;
}

/* With f: k1 is at least `least`. */
static inline const char *model_sparse_differs(const model *m, nx_collection *c, int k,
                                               const nx_filter *f, int least, uint64_t *rng)
{
    static char  what[200];
    uint32_t     indices[8];
    float        values[8], weights[8], score[MODEL_IDS];
    bool         used[MODEL_IDS];
    nx_plan_hit  hits[2 * MODEL_IDS];
    size_t       n_hits = 0;
    nx_error     err = {0};
    nx_snapshot *s = nx_snapshot_take(c);
    int          n = model_target(m, indices, values, rng);
    nx_vector t = {.slot = 2, .form = NX_FORM_SPARSE, .n = n, .values = values, .indices = indices};

    what[0] = '\0';
    if (nx_sparse_search(s, hits, &n_hits, (size_t)k, 2, &t, f, false, 0, &err))
        snprintf(what, sizeof what, "search: sparse: %.150s", err.text);
    else if (nx_sparse_weigh(s, weights, &t, &err))
        snprintf(what, sizeof what, "search: weights: %.150s", err.text);
    nx_snapshot_release(s);
    model_weigh(m, indices, values, n);
    for (int i = 0; !what[0] && i < n; i++)
        if (weights[i] != values[i]) snprintf(what, sizeof what, "weight of %u", indices[i]);
    for (int i = 0; i < MODEL_IDS; i++)
        used[i] = !model_sparse_score(&m->p[i], indices, values, n, &score[i]) ||
                  (f && (!m->p[i].keys[1] || m->p[i].keys[1] < least));
    for (size_t h = 0; !what[0] && h <= n_hits; h++) {
        int best = -1;
        for (int i = 0; i < MODEL_IDS; i++)
            if (!used[i] &&
                (best < 0 || score[i] > score[best] ||
                 (score[i] == score[best] && nx_id_compare(model_id(i), model_id(best)) < 0)))
                best = i;
        if (h == n_hits && best >= 0 && n_hits < (size_t)k)
            snprintf(what, sizeof what, "too few sparse hits");
        if (h == n_hits) break;
        if (best < 0 || nx_id_compare(hits[h].id, model_id(best)) || hits[h].score != score[best])
            snprintf(what, sizeof what, "sparse hit %zu of %zu: %g, expected point %d, %g", h,
                     n_hits, (double)hits[h].score, best, best < 0 ? 0.0 : (double)score[best]);
        if (best >= 0) used[best] = true;
    }
    return what;
}

#endif
