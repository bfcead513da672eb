/* group.c - the best points of each value.
 *
 * Idea:   hits are given to groups in their order, until enough groups are full. Nobody knows before
 *         how many hits that takes: some are asked for, and where they don't suffice, many times more.
 * Memory: groups and hits that were found; limits allocate nothing.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "store/collection.h"
#include "store/plan_run.h"
#include "store/tally_values.h"
#include "store/walk.h"

enum { FIRST_HITS = 256, MORE = 8 };

void nx_groups_free(nx_groups *g)
{
    nx_free(g->groups);
    nx_free(g->hits);
    nx_buf_free(&g->keys);
    *g = (nx_groups){0};
}

/* A hit that a group got. */
typedef struct member {
    size_t      group;
    nx_plan_hit hit;
} member;

typedef struct grouping {
    const nx_path     *path;
    uint64_t           n_groups, group_size;
    const nx_results  *found;
    const nx_plan_hit *hit;       /* the one at hand */
    nx_values          keys, own; /* own: those of the point at hand */
    uint64_t          *sizes;     /* [cap], of groups */
    nx_point_id       *last;      /* [cap]: the last point of a group */
    size_t             cap, n_full;
    member            *members;
    size_t             n_members, members_cap;
    nx_status          st;
    nx_error          *err;
} grouping;

static bool enough(const grouping *g)
{
    return g->keys.n >= g->n_groups && g->n_full >= g->n_groups;
}

static nx_status reserve(grouping *g, size_t group)
{
    if (group >= g->cap) {
        size_t    cap = g->cap ? 2 * g->cap : 64;
        uint64_t *sizes = nx_realloc(g->sizes, cap, sizeof *sizes);
        if (sizes) g->sizes = sizes;
        nx_point_id *last = sizes ? nx_realloc(g->last, cap, sizeof *last) : NULL;
        if (!last) return nx_fail(g->err, NX_ENOMEM, "%zu groups", cap);
        g->last = last;
        for (size_t i = g->cap; i < cap; i++) g->sizes[i] = 0;
        g->cap = cap;
    }
    if (g->n_members == g->members_cap) {
        size_t  cap = g->members_cap ? 2 * g->members_cap : 64;
        member *m = nx_realloc(g->members, cap, sizeof *m);
        if (!m) return nx_fail(g->err, NX_ENOMEM, "%zu hits", cap);
        g->members = m;
        g->members_cap = cap;
    }
    return NX_OK;
}

/* A new group while there is room for one. */
static nx_status give(grouping *g, nx_value key)
{
    size_t    i = nx_values_find(&g->keys, key);
    nx_status st = NX_OK;

    if (i == SIZE_MAX && g->keys.n >= g->n_groups) return NX_OK;
    if (i == SIZE_MAX) st = nx_values_add(&g->keys, key, &i, g->err);
    if (!st) st = reserve(g, i);
    if (st || g->sizes[i] >= g->group_size) return st;
    if (g->sizes[i] && !nx_id_compare(g->last[i], g->hit->id)) return NX_OK;
    g->members[g->n_members++] = (member){i, *g->hit};
    g->last[i] = g->hit->id;
    g->n_full += ++g->sizes[i] == g->group_size;
    return NX_OK;
}

static bool take(grouping *g, nx_value v)
{
    nx_value_kind k = nx_value_kind_of(v);
    size_t        i;

    if (k != NX_VALUE_TEXT && k != NX_VALUE_INT && k != NX_VALUE_UINT) return true;
    g->st = nx_values_add(&g->own, v, &i, g->err);
    return !g->st;
}

static bool look(void *ctx, nx_value v)
{
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        key;

    if (nx_value_kind_of(v) != NX_VALUE_ARRAY) return take(ctx, v);
    while (nx_value_next(&it, &key, &item))
        if (!take(ctx, item)) return false;
    return true;
}

static int by_value(const void *a, const void *b)
{
    return nx_values_compare(*(const nx_value *)a, *(const nx_value *)b);
}

/* The point's values in their own order, so that new groups of one point have one, too. */
static nx_status give_all(grouping *g)
{
    size_t    n = g->own.n;
    nx_value *v = nx_alloc(n, sizeof *v);
    nx_status st = v ? NX_OK : nx_fail(g->err, NX_ENOMEM, "%zu values", n);

    for (size_t i = 0; !st && i < n; i++) v[i] = nx_values_at(&g->own, i);
    if (!st && n > 1) qsort(v, n, sizeof *v, by_value);
    for (size_t i = 0; !st && i < n; i++) st = give(g, v[i]);
    nx_free(v);
    return st;
}

static nx_status group_point(void *ctx, const nx_walk_row *row, nx_error *err)
{
    grouping *g = ctx;
    nx_value  payload;
    nx_status st = nx_walk_payload(row, &payload, err);

    if (st || enough(g)) return st;
    g->err = err;
    g->hit = &g->found->hits[row->place];
    nx_path_visit(g->path, payload, look, g);
    st = g->st ? g->st : give_all(g);
    nx_values_free(&g->own);
    return st;
}

static nx_status group_all(grouping *g, nx_snapshot *s, nx_error *err)
{
    size_t       n = g->found->n;
    nx_point_id *ids = nx_alloc(n, sizeof *ids);
    nx_status    st = ids ? NX_OK : nx_fail(err, NX_ENOMEM, "%zu hits", n);

    for (size_t i = 0; !st && i < n; i++) ids[i] = g->found->hits[i].id;
    if (!st) st = nx_walk_ids(s, ids, n, group_point, g, err);
    nx_free(ids);
    return st;
}

/* Groups in the order of their first hits, which is the one they were made in. */
static nx_status write_groups(grouping *g, nx_groups *out, nx_error *err)
{
    size_t n = g->keys.n, at = 0;

    out->groups = nx_alloc(n, sizeof *out->groups);
    out->hits = nx_alloc(g->n_members, sizeof *out->hits);
    if (!out->groups || !out->hits) return nx_fail(err, NX_ENOMEM, "%zu groups", n);
    for (size_t i = 0; i < n; i++) {
        out->groups[i] = (nx_group){nx_values_at(&g->keys, i), at, 0};
        at += (size_t)g->sizes[i];
    }
    for (size_t i = 0; i < g->n_members; i++) {
        nx_group *to = &out->groups[g->members[i].group];
        out->hits[to->from + to->n++] = g->members[i].hit;
    }
    out->n = n;
    out->keys = g->keys.bytes;
    g->keys.bytes = (nx_buf){0};
    return NX_OK;
}

static void free_grouping(grouping *g)
{
    nx_values_free(&g->keys);
    nx_values_free(&g->own);
    nx_free(g->sizes);
    nx_free(g->last);
    nx_free(g->members);
}

/* With the first `limit` hits of the plan. *done: they sufficed, or there are no more. */
static nx_status try_groups(nx_snapshot *s, nx_plan *plan, const grouping *asked, bool *done,
                            nx_groups *out, nx_pool *pool, nx_error *err)
{
    nx_results found;
    grouping   g = *asked;
    nx_status  st = nx_plan_run_open(s, plan, true, &found, pool, err);

    g.found = &found;
    if (!st) st = group_all(&g, s, err);
    *done = st || found.n < plan->limit || enough(&g);
    if (!st && *done) st = write_groups(&g, out, err);
    nx_results_free(&found);
    free_grouping(&g);
    return st;
}

nx_status nx_plan_run_groups(nx_snapshot *s, const nx_plan *plan, const nx_path *path,
                             uint64_t n_groups, uint64_t group_size, nx_groups *out, nx_pool *pool,
                             nx_error *err)
{
    nx_error  inner = {0};
    nx_plan   part = *plan;
    grouping  asked = {.path = path, .n_groups = n_groups, .group_size = group_size};
    bool      done = false;
    nx_status st = NX_OK;

    *out = (nx_groups){0};
    if (group_size == 0) asked.n_groups = 0;
    part.offset = 0;
    for (part.limit = FIRST_HITS; !st && !done;) {
        st = try_groups(s, &part, &asked, &done, out, pool, &inner);
        part.limit = part.limit > UINT64_MAX / MORE ? UINT64_MAX : part.limit * MORE;
    }
    if (!st) return NX_OK;
    nx_groups_free(out);
    if (err) *err = inner;
    return nx_read_failed(s->c, st, &inner);
}
