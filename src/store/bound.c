/* bound.c - one walk over the filter; then a short list. */
#include "store/bound.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

typedef struct entry {
    const nx_condition  *c;
    const nx_index_spec *spec;
    bool                 by_words; /* WORDS, WORDS_ANY, PHRASE with a text index */
    nx_words            *words;
    nx_buf               bytes; /* of the words that are asked for */
    nx_asked             asked;
    uint32_t            *back; /* [asked.n]: PHRASE: as Knuth, Morris and Pratt have it */
    uint8_t             *seen; /* [asked.n]: WORDS: scratch */
} entry;

struct nx_bound {
    const nx_settings *settings;
    nx_path           *paths; /* [settings->n_indexes] */
    entry             *v;
    size_t             n, cap;
    nx_status          st;
};

/* ---- Words that are asked for ---- */

typedef struct taking {
    entry    *e;
    nx_error *err;
    nx_status st;
} taking;

/* Lengths first: texts move while the buffer grows. */
static bool take_word(void *ctx, nx_str word)
{
    taking *t = ctx;
    size_t  len = word.len;

    t->st = nx_buf_add(&t->e->bytes, &len, sizeof len, t->err);
    if (!t->st) t->st = nx_buf_add(&t->e->bytes, word.p, len, t->err);
    t->e->asked.n += !t->st;
    return t->st == NX_OK;
}

static bool among(const nx_asked *a, size_t n, nx_str word)
{
    for (size_t i = 0; i < n; i++)
        if (nx_str_eq(a->words[i], word)) return true;
    return false;
}

/* Each word once, but for a phrase. */
static nx_status list_words(entry *e, nx_error *err)
{
    size_t n = e->asked.n, at = 0, kept = 0;

    e->asked.words = nx_alloc(n, sizeof *e->asked.words);
    e->back = nx_calloc(n + 1, sizeof *e->back);
    e->seen = nx_calloc(n, 1);
    if (!e->asked.words || !e->back || !e->seen)
        return nx_fail(err, NX_ENOMEM, "words of a filter");
    for (size_t i = 0; i < n; i++) {
        size_t len;
        memcpy(&len, e->bytes.data + at, sizeof len);
        nx_str word = {e->bytes.data + at + sizeof len, len};
        at += sizeof len + len;
        if (e->c->kind != NX_COND_PHRASE && among(&e->asked, kept, word)) continue;
        e->asked.words[kept++] = word;
    }
    e->asked.n = kept;
    for (size_t i = 1, k = 0; i < kept; i++) {
        while (k && !nx_str_eq(e->asked.words[i], e->asked.words[k])) k = e->back[k];
        k += nx_str_eq(e->asked.words[i], e->asked.words[k]);
        e->back[i + 1] = (uint32_t)k;
    }
    return NX_OK;
}

static nx_status take_question(entry *e, nx_error *err)
{
    taking t = {e, err, NX_OK};

    e->bytes.max = (size_t)1 << 30;
    nx_status st = nx_words_create(&e->words, &e->spec->words, err);
    if (!st && e->c->n_texts)
        st = nx_words_each(e->words, e->c->texts[0], true, take_word, &t, err);
    if (!st) st = t.st;
    return st ? st : list_words(e, err);
}

/* ---- The walk ---- */

static bool same_path(const nx_path *a, const nx_path *b)
{
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++) {
        if (a->steps[i].kind != b->steps[i].kind) return false;
        if (a->steps[i].kind == NX_STEP_KEY && !nx_str_eq(a->steps[i].key, b->steps[i].key))
            return false;
        if (a->steps[i].kind == NX_STEP_INDEX && a->steps[i].index != b->steps[i].index)
            return false;
    }
    return true;
}

/* before, then path. False: too long for any index. */
static bool join(nx_path *out, const nx_path *before, const nx_path *path)
{
    if (before->n + path->n > NX_PATH_STEPS_MAX) return false;
    *out = *before;
    for (int i = 0; i < path->n; i++) out->steps[out->n++] = path->steps[i];
    return true;
}

static nx_status add_entry(nx_bound *b, const nx_condition *c, const nx_index_spec *spec,
                           nx_error *err)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 8;
        entry *v = nx_realloc(b->v, cap, sizeof *v);
        if (!v) return nx_fail(err, NX_ENOMEM, "a filter");
        b->v = v;
        b->cap = cap;
    }
    entry *e = &b->v[b->n++];
    *e = (entry){.c = c, .spec = spec};
    e->by_words =
        spec->kind == NX_INDEX_TEXT &&
        (c->kind == NX_COND_WORDS || c->kind == NX_COND_WORDS_ANY || c->kind == NX_COND_PHRASE);
    return e->by_words ? take_question(e, err) : NX_OK;
}

static nx_status bind_path(nx_bound *b, const nx_condition *c, const nx_path *before, nx_error *err)
{
    nx_path full;

    if (!join(&full, before, &c->path)) return NX_OK;
    for (size_t i = 0; i < b->settings->n_indexes; i++)
        if (same_path(&full, &b->paths[i])) return add_entry(b, c, &b->settings->indexes[i], err);
    return NX_OK;
}

static nx_status walk(nx_bound *b, const nx_filter *f, const nx_path *before, nx_error *err);

static nx_status walk_nested(nx_bound *b, const nx_condition *c, const nx_path *before,
                             nx_error *err)
{
    nx_path inside;

    if (!join(&inside, before, &c->path)) return NX_OK;
    if (inside.n == 0 || inside.steps[inside.n - 1].kind != NX_STEP_EVERY) {
        if (inside.n == NX_PATH_STEPS_MAX) return NX_OK;
        inside.steps[inside.n++].kind = NX_STEP_EVERY;
    }
    return walk(b, c->filter, &inside, err);
}

static nx_status walk_list(nx_bound *b, const nx_condition *c, int32_t n, const nx_path *before,
                           nx_error *err)
{
    nx_status st = NX_OK;

    for (int32_t i = 0; !st && i < n; i++) {
        switch (c[i].kind) {
        case NX_COND_FILTER: st = walk(b, c[i].filter, before, err); break;
        case NX_COND_NESTED: st = walk_nested(b, &c[i], before, err); break;
        case NX_COND_ID:
        case NX_COND_VECTOR:
        case NX_COND_SLICE: break;
        default: st = bind_path(b, &c[i], before, err); break;
        }
    }
    return st;
}

static nx_status walk(nx_bound *b, const nx_filter *f, const nx_path *before, nx_error *err)
{
    nx_status st = walk_list(b, f->must, f->n_must, before, err);

    if (!st) st = walk_list(b, f->must_not, f->n_must_not, before, err);
    if (!st) st = walk_list(b, f->should, f->n_should, before, err);
    return st ? st : walk_list(b, f->min_should, f->n_min_should, before, err);
}

static int by_condition(const void *pa, const void *pb)
{
    const entry *a = pa, *b = pb;

    return a->c < b->c ? -1 : a->c > b->c;
}

static nx_status parse_paths(nx_bound *b, nx_error *err)
{
    size_t n = b->settings->n_indexes;

    b->paths = nx_alloc(n, sizeof *b->paths);
    if (!b->paths) return nx_fail(err, NX_ENOMEM, "a filter");
    for (size_t i = 0; i < n; i++)
        if (nx_path_parse(&b->paths[i], b->settings->indexes[i].path, NULL)) b->paths[i].n = -1;
    return NX_OK;
}

nx_status nx_bound_create(nx_bound **out, const nx_filter *f, const nx_settings *s, nx_error *err)
{
    nx_path top = {0};

    *out = NULL;
    if (!f || !s || s->n_indexes == 0) return NX_OK;
    nx_bound *b = nx_calloc(1, sizeof *b);
    if (!b) return nx_fail(err, NX_ENOMEM, "a filter");
    b->settings = s;
    nx_status st = parse_paths(b, err);
    if (!st) st = walk(b, f, &top, err);
    if (!st && b->n > 1) qsort(b->v, b->n, sizeof *b->v, by_condition);
    if (st || b->n == 0)
        nx_bound_destroy(b);
    else
        *out = b;
    return st;
}

void nx_bound_destroy(nx_bound *b)
{
    for (size_t i = 0; b && i < b->n; i++) {
        nx_words_destroy(b->v[i].words);
        nx_buf_free(&b->v[i].bytes);
        nx_free(b->v[i].asked.words);
        nx_free(b->v[i].back);
        nx_free(b->v[i].seen);
    }
    if (b) {
        nx_free(b->paths);
        nx_free(b->v);
    }
    nx_free(b);
}

static entry *find(const nx_bound *b, const nx_condition *c)
{
    size_t lo = 0, hi = b ? b->n : 0;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (b->v[mid].c == c) return &b->v[mid];
        if (b->v[mid].c < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const nx_index_spec *nx_bound_index(const nx_bound *b, const nx_condition *c,
                                    const nx_asked **asked)
{
    const entry *e = find(b, c);

    if (asked) *asked = e && e->by_words ? &e->asked : NULL;
    return e ? e->spec : NULL;
}

nx_status nx_bound_status(const nx_bound *b)
{
    return b ? b->st : NX_OK;
}

/* ---- Tests ---- */

typedef struct testing {
    entry *e;
    size_t n; /* words found; of a phrase: the words that just came, one behind the other */
    bool   fits;
} testing;

static bool test_word(void *ctx, nx_str word)
{
    testing *t = ctx;
    entry   *e = t->e;

    if (e->c->kind == NX_COND_PHRASE) {
        while (t->n && !nx_str_eq(e->asked.words[t->n], word)) t->n = e->back[t->n];
        t->n += nx_str_eq(e->asked.words[t->n], word);
        t->fits = t->n == e->asked.n;
        return !t->fits;
    }
    for (size_t i = 0; i < e->asked.n; i++) {
        if (e->seen[i] || !nx_str_eq(e->asked.words[i], word)) continue;
        e->seen[i] = 1;
        t->n++;
        break;
    }
    t->fits = t->n == (e->c->kind == NX_COND_WORDS_ANY ? 1 : e->asked.n);
    return !t->fits;
}

bool nx_bound_test(nx_bound *b, const nx_condition *c, nx_str text, bool *fits)
{
    entry  *e = find(b, c);
    testing t = {e, 0, false};

    if (!e || !e->by_words) return false;
    *fits = false;
    if (e->asked.n == 0) return true;
    memset(e->seen, 0, e->asked.n);
    /* Beginnings of words don't stand one behind the other: a phrase is of whole words. */
    bool      whole = c->kind == NX_COND_PHRASE && e->spec->words.kind == NX_WORDS_PREFIX;
    nx_status st = nx_words_each(e->words, text, whole, test_word, &t, NULL);
    if (st) b->st = st;
    *fits = !st && t.fits;
    return true;
}
