/* cache_key.c - everything that decides a retrieval, as one digest.
 *
 * Idea:   each thing is written with its length or its kind before it, so that no two questions write the same
 *         bytes. Of a filter everything is written, whatever it means: two ways to say the same are two keys.
 */
#include <string.h>

#include "net/digest.h"
#include "rag/cache.h"

_Static_assert((int)NX_FINDS_KEY == (int)NX_DIGEST_HEX_MAX, "a key is a digest");

static void add_u64(nx_digest *d, uint64_t x)
{
    nx_digest_add(d, &x, sizeof x);
}

static void add_double(nx_digest *d, double x)
{
    nx_digest_add(d, &x, sizeof x);
}

static void add_text(nx_digest *d, nx_str s)
{
    add_u64(d, s.len);
    if (s.len) nx_digest_add(d, s.p, s.len);
}

/* ---- A filter ---- */

static nx_status add_filter(nx_digest *d, const nx_filter *f, int depth, nx_error *err);

static void add_path(nx_digest *d, const nx_path *p)
{
    add_u64(d, (uint64_t)p->n);
    for (int i = 0; i < p->n; i++) {
        add_u64(d, (uint64_t)p->steps[i].kind);
        if (p->steps[i].kind == NX_STEP_KEY) add_text(d, p->steps[i].key);
        if (p->steps[i].kind == NX_STEP_INDEX) add_u64(d, p->steps[i].index);
    }
}

static void add_point(nx_digest *d, nx_geo_point p)
{
    add_double(d, p.lon);
    add_double(d, p.lat);
}

static void add_rings(nx_digest *d, const nx_condition *c)
{
    add_u64(d, c->n_rings);
    for (size_t i = 0; i < c->n_rings; i++) {
        add_u64(d, c->rings[i].n);
        for (size_t k = 0; k < c->rings[i].n; k++) add_point(d, c->rings[i].points[k]);
    }
}

static void add_range(nx_digest *d, const nx_value_range *r)
{
    add_u64(d, (uint64_t)(r->has_gt | r->has_gte << 1 | r->has_lt << 2 | r->has_lte << 3));
    add_double(d, r->has_gt ? r->gt : 0);
    add_double(d, r->has_gte ? r->gte : 0);
    add_double(d, r->has_lt ? r->lt : 0);
    add_double(d, r->has_lte ? r->lte : 0);
}

static void add_times(nx_digest *d, const nx_time_range *r)
{
    add_u64(d, (uint64_t)(r->has_gt | r->has_gte << 1 | r->has_lt << 2 | r->has_lte << 3));
    add_u64(d, r->has_gt ? (uint64_t)r->gt : 0);
    add_u64(d, r->has_gte ? (uint64_t)r->gte : 0);
    add_u64(d, r->has_lt ? (uint64_t)r->lt : 0);
    add_u64(d, r->has_lte ? (uint64_t)r->lte : 0);
}

static void add_texts(nx_digest *d, const nx_condition *c)
{
    add_u64(d, c->n_texts);
    for (size_t i = 0; i < c->n_texts; i++) add_text(d, c->texts[i]);
}

static void add_ids(nx_digest *d, const nx_condition *c)
{
    add_u64(d, c->n_ids);
    for (size_t i = 0; i < c->n_ids; i++) {
        add_u64(d, c->ids[i].hi);
        add_u64(d, c->ids[i].lo);
        add_u64(d, c->ids[i].is_uuid);
    }
}

static nx_status add_condition(nx_digest *d, const nx_condition *c, int depth, nx_error *err)
{
    add_u64(d, (uint64_t)c->kind);
    add_path(d, &c->path);
    switch (c->kind) {
    case NX_COND_TEXT_ANY:
    case NX_COND_TEXT_EXCEPT:
    case NX_COND_WORDS:
    case NX_COND_WORDS_ANY:
    case NX_COND_PHRASE:
    case NX_COND_PREFIX: add_texts(d, c); break;
    case NX_COND_INT_ANY:
    case NX_COND_INT_EXCEPT:
        add_u64(d, c->n_ints);
        if (c->n_ints) nx_digest_add(d, c->ints, c->n_ints * sizeof *c->ints);
        break;
    case NX_COND_BOOL: add_u64(d, c->boolean); break;
    case NX_COND_RANGE:
    case NX_COND_COUNT: add_range(d, &c->range); break;
    case NX_COND_DATETIME: add_times(d, &c->times); break;
    case NX_COND_EMPTY:
    case NX_COND_NULL: break;
    case NX_COND_GEO_BOX:
        add_point(d, c->top_left);
        add_point(d, c->bottom_right);
        break;
    case NX_COND_GEO_RADIUS:
        add_point(d, c->centre);
        add_double(d, c->metres);
        break;
    case NX_COND_GEO_POLYGON: add_rings(d, c); break;
    case NX_COND_NESTED:
    case NX_COND_FILTER: return add_filter(d, c->filter, depth + 1, err);
    case NX_COND_ID: add_ids(d, c); break;
    case NX_COND_VECTOR: add_u64(d, (uint64_t)c->slot); break;
    case NX_COND_SLICE:
        add_u64(d, c->slice.index);
        add_u64(d, c->slice.total);
        break;
    }
    return NX_OK;
}

static nx_status add_filter(nx_digest *d, const nx_filter *f, int depth, nx_error *err)
{
    add_u64(d, f != NULL);
    if (!f) return NX_OK;
    if (depth > NX_FILTER_DEPTH_MAX)
        return nx_fail(err, NX_EINVAL, "a filter nested more than %d deep", NX_FILTER_DEPTH_MAX);
    const nx_condition *lists[] = {f->must, f->must_not, f->should, f->min_should};
    const int32_t       n[] = {f->n_must, f->n_must_not, f->n_should, f->n_min_should};
    nx_status           st = NX_OK;
    for (int k = 0; k < 4; k++) {
        add_u64(d, (uint64_t)n[k]);
        for (int32_t i = 0; !st && i < n[k]; i++) st = add_condition(d, &lists[k][i], depth, err);
    }
    add_u64(d, (uint64_t)f->min_count);
    return st;
}

/* ---- The whole ---- */

static void add_question(nx_digest *d, nx_shelf *s, const nx_question *q)
{
    const nx_config *c = nx_collection_config(nx_shelf_collection(s));
    int32_t          dim = q->vector ? c->slots[nx_shelf_dense(s)].dim : 0;

    add_text(d, q->text);
    add_u64(d, (uint64_t)dim);
    if (dim) nx_digest_add(d, q->vector, (size_t)dim * sizeof *q->vector);
    add_u64(d, (uint64_t)q->mode);
    add_u64(d, (uint64_t)q->top_k);
    add_u64(d, (uint64_t)(q->has_min_score | q->keep_doubles << 1 | q->no_join << 2));
    add_double(d, q->has_min_score ? (double)q->min_score : 0);
    add_text(d, q->reranker ? nx_str_of(nx_checkpoint_path(nx_reranker_llm(q->reranker)->cp))
                            : (nx_str){0});
    add_text(d, nx_shelf_get_settings(s)->language);
}

nx_status nx_finds_key(char key[NX_FINDS_KEY], nx_shelf *s, nx_snapshot *snap, const nx_question *q,
                       nx_error *err)
{
    nx_digest d = {0};
    nx_status st = nx_digest_begin(&d, NX_DIGEST_SHA256, err);

    if (st) return st;
    add_u64(&d, nx_collection_incarnation(nx_shelf_collection(s)));
    add_u64(&d, nx_snapshot_seq(snap));
    add_question(&d, s, q);
    st = add_filter(&d, q->filter, 0, err);
    if (st)
        nx_digest_abort(&d);
    else
        nx_digest_end(&d, key);
    return st;
}
