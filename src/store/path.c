/* path.c - paths parsed, followed, and values rewritten along them. */
#include "store/path.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* ---- Parsing ---- */

typedef struct parser {
    nx_str    text;
    size_t    at;
    nx_path  *out;
    nx_error *err;
} parser;

static nx_status wrong(const parser *p, const char *what)
{
    return nx_fail(p->err, NX_EINVAL, "path \"%.*s\", byte %zu: %s",
                   (int)(p->text.len < 200 ? p->text.len : 200), p->text.p, p->at, what);
}

static int peek(const parser *p)
{
    return p->at < p->text.len ? (unsigned char)p->text.p[p->at] : -1;
}

static bool in_key(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c >= 0x80;
}

static nx_status add_step(parser *p, nx_step_kind kind, nx_str key, uint32_t index)
{
    if (p->out->n == NX_PATH_STEPS_MAX) return wrong(p, "more than 32 steps");
    p->out->steps[p->out->n].kind = kind;
    p->out->steps[p->out->n].key = key;
    p->out->steps[p->out->n++].index = index;
    return NX_OK;
}

static nx_status parse_key(parser *p)
{
    size_t from = p->at;

    if (peek(p) == '"') {
        for (p->at++, from++; peek(p) >= 0 && peek(p) != '"';) p->at++;
        if (peek(p) < 0) return wrong(p, "a quote that isn't closed");
        return add_step(p, NX_STEP_KEY, (nx_str){p->text.p + from, p->at++ - from}, 0);
    }
    while (in_key(peek(p))) p->at++;
    if (p->at == from) return wrong(p, "expected a key: letters, digits, _, -, or text in quotes");
    return add_step(p, NX_STEP_KEY, (nx_str){p->text.p + from, p->at - from}, 0);
}

static nx_status parse_index(parser *p)
{
    uint64_t index = 0;
    size_t   from = ++p->at;

    while (peek(p) >= '0' && peek(p) <= '9' && index <= UINT32_MAX)
        index = index * 10 + (uint64_t)(p->text.p[p->at++] - '0');
    if (index > UINT32_MAX) return wrong(p, "an index beyond 4294967295");
    if (peek(p) != ']') return wrong(p, "expected digits and ]");
    nx_step_kind kind = p->at == from ? NX_STEP_EVERY : NX_STEP_INDEX;
    p->at++;
    return add_step(p, kind, (nx_str){"", 0}, (uint32_t)index);
}

nx_status nx_path_parse(nx_path *out, nx_str text, nx_error *err)
{
    parser    p = {text, 0, out, err};
    nx_status st;

    out->n = 0;
    st = parse_key(&p);
    while (!st && peek(&p) >= 0) {
        if (peek(&p) == '[') {
            st = parse_index(&p);
        } else if (peek(&p) == '.') {
            p.at++;
            st = parse_key(&p);
        } else {
            st = wrong(&p, "expected . or [");
        }
    }
    return st;
}

/* ---- Following ---- */

static bool visit(const nx_path *path, int step, nx_value v, bool (*fn)(void *ctx, nx_value v),
                  void *ctx)
{
    if (v.n == 0) return true;
    if (step == path->n) return fn(ctx, v);
    if (path->steps[step].kind == NX_STEP_KEY)
        return visit(path, step + 1, nx_value_member(v, path->steps[step].key), fn, ctx);
    if (path->steps[step].kind == NX_STEP_INDEX)
        return visit(path, step + 1, nx_value_item(v, path->steps[step].index), fn, ctx);
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        key;
    while (!it.keys && nx_value_next(&it, &key, &item))
        if (!visit(path, step + 1, item, fn, ctx)) return false;
    return true;
}

bool nx_path_visit(const nx_path *path, nx_value root, bool (*fn)(void *ctx, nx_value v), void *ctx)
{
    return visit(path, 0, root, fn, ctx);
}

/* ---- Merging one object into another ---- */

typedef struct member {
    nx_str   key;
    nx_value value;
    bool     used;
} member;

static int by_key(const void *pa, const void *pb)
{
    const member *a = pa, *b = pb;
    size_t        n = a->key.len < b->key.len ? a->key.len : b->key.len;
    int           c = n ? memcmp(a->key.p, b->key.p, n) : 0;

    return c ? c : a->key.len < b->key.len ? -1 : a->key.len > b->key.len;
}

/* src's members, sorted by key: nx_free. NULL when out of memory. */
static member *sorted_members(nx_value src, size_t n)
{
    member       *m = nx_alloc(n, sizeof *m);
    nx_value_iter it = nx_value_each(src);

    if (!m) return NULL;
    for (size_t i = 0; i < n; i++) {
        m[i].used = false;
        if (!nx_value_next(&it, &m[i].key, &m[i].value)) break;
    }
    if (n > 1) qsort(m, n, sizeof *m, by_key);
    return m;
}

static member *find_member(member *m, size_t n, nx_str key)
{
    member want = {.key = key};

    return n ? bsearch(&want, m, n, sizeof *m, by_key) : NULL;
}

static bool is_null(nx_value v)
{
    return nx_value_kind_of(v) == NX_VALUE_NULL;
}

static nx_status add_member(nx_buf *out, nx_str key, nx_value v, uint32_t *n, nx_error *err)
{
    nx_status st = nx_value_add_key(out, key, err);

    (*n)++;
    return st ? st : nx_value_add(out, v, err);
}

/* dest's members in their places, replaced by src's of the same key; then src's others. */
static nx_status add_merged(nx_buf *out, nx_value dest, nx_value src, member *m, uint32_t *n,
                            nx_error *err)
{
    size_t        n_src = nx_value_count(src);
    nx_value_iter it = nx_value_each(dest);
    nx_status     st = NX_OK;
    nx_value      v;
    nx_str        key;

    while (!st && it.keys && nx_value_next(&it, &key, &v)) {
        member *other = find_member(m, n_src, key);
        if (other) other->used = true;
        if (other) v = other->value;
        if (!other || !is_null(v)) st = add_member(out, key, v, n, err);
    }
    it = nx_value_each(src);
    while (!st && nx_value_next(&it, &key, &v)) {
        member *own = find_member(m, n_src, key);
        if (own && !own->used && !is_null(v)) st = add_member(out, key, v, n, err);
    }
    return st;
}

static nx_status merge(nx_buf *out, nx_value dest, nx_value src, nx_error *err)
{
    size_t   mark;
    uint32_t n = 0;
    member  *m = sorted_members(src, nx_value_count(src));

    if (!m) return nx_fail(err, NX_ENOMEM, "payload");
    nx_status st = nx_value_open(out, NX_VALUE_OBJECT, &mark, err);
    if (!st) st = add_merged(out, dest, src, m, &n, err);
    if (!st) nx_value_close(out, mark, n);
    nx_free(m);
    return st;
}

/* ---- Rewriting along a path ---- */

typedef struct edit {
    const nx_path *path;
    nx_value       src; /* n == 0: remove */
    nx_error      *err;
} edit;

static nx_status rewrite(nx_buf *out, nx_value v, const edit *e, int step);

static bool of_kind(nx_value v, nx_value_kind kind)
{
    return v.n > 0 && nx_value_kind_of(v) == kind;
}

static bool removes_here(const edit *e, int step)
{
    return e->src.n == 0 && step + 1 == e->path->n;
}

/* Behind a key that is missing: what set makes of nothing. */
static nx_status add_missing(nx_buf *out, nx_str key, const edit *e, int step, uint32_t *n)
{
    nx_status st = nx_value_add_key(out, key, e->err);

    (*n)++;
    return st ? st : rewrite(out, (nx_value){0}, e, step + 1);
}

static nx_status rewrite_members(nx_buf *out, nx_value v, const edit *e, int step, uint32_t *n)
{
    nx_value_iter it = nx_value_each(v);
    nx_str        want = e->path->steps[step].key, key;
    nx_status     st = NX_OK;
    bool          found = false;
    nx_value      item;

    while (!st && it.keys && nx_value_next(&it, &key, &item)) {
        bool here = nx_str_eq(key, want);
        found |= here;
        if (here && removes_here(e, step)) continue;
        st = nx_value_add_key(out, key, e->err);
        if (!st) st = here ? rewrite(out, item, e, step + 1) : nx_value_add(out, item, e->err);
        (*n)++;
    }
    if (!st && !found && e->src.n > 0) st = add_missing(out, want, e, step, n);
    return st;
}

static nx_status rewrite_items(nx_buf *out, nx_value v, const edit *e, int step, uint32_t *n)
{
    bool          every = e->path->steps[step].kind == NX_STEP_EVERY;
    nx_value_iter it = nx_value_each(v);
    nx_status     st = NX_OK;
    nx_value      item;
    nx_str        key;

    if (!of_kind(v, NX_VALUE_ARRAY) || (every && removes_here(e, step))) return NX_OK;
    for (uint32_t i = 0; !st && nx_value_next(&it, &key, &item); i++) {
        bool here = (every || i == e->path->steps[step].index) && !removes_here(e, step);
        st = here ? rewrite(out, item, e, step + 1) : nx_value_add(out, item, e->err);
        (*n)++;
    }
    return st;
}

static nx_status rewrite(nx_buf *out, nx_value v, const edit *e, int step)
{
    size_t    mark;
    uint32_t  n = 0;
    nx_status st;

    if (step == e->path->n) return merge(out, v, e->src, e->err);
    bool          key = e->path->steps[step].kind == NX_STEP_KEY;
    nx_value_kind kind = key ? NX_VALUE_OBJECT : NX_VALUE_ARRAY;
    if (e->src.n == 0 && !of_kind(v, kind)) return nx_value_add(out, v, e->err); /* nothing there */
    st = nx_value_open(out, kind, &mark, e->err);
    if (!st) st = key ? rewrite_members(out, v, e, step, &n) : rewrite_items(out, v, e, step, &n);
    if (!st) nx_value_close(out, mark, n);
    return st;
}

nx_status nx_path_set(nx_buf *out, nx_value root, const nx_path *path, nx_value src, nx_error *err)
{
    return rewrite(out, root, &(edit){path, src, err}, 0);
}

nx_status nx_path_remove(nx_buf *out, nx_value root, const nx_path *path, nx_error *err)
{
    return rewrite(out, root, &(edit){path, {0}, err}, 0);
}
