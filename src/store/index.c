/* index.c - payload indexes of segments, made. */
#include "store/index.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "store/geo.h"
#include "store/words.h"

enum { BANDS = 1024, CELLS = 2048 };

static _Atomic uint64_t bytes_all; /* of all indexes of the process */

int64_t nx_geo_cell(nx_geo_point p)
{
    if (!(fabs(p.lat) <= 90) || !(fabs(p.lon) <= 180)) return NX_GEO_ODD;
    int64_t band = (int64_t)((p.lat + 90) / 180 * BANDS),
            cell = (int64_t)((p.lon + 180) / 360 * CELLS);
    if (band == BANDS) band--;
    if (cell == CELLS) cell--;
    return band * CELLS + cell;
}

/* ---- One value ---- */

typedef struct making {
    const nx_index_spec *spec;
    nx_index            *x;
    nx_words            *words; /* of text */
    uint32_t             row;
    uint64_t             n_texts; /* of this row */
    bool                 filled;  /* this row: something that is neither null nor [] */
    nx_error            *err;
    nx_status            st;
} making;

static bool add_word(void *ctx, nx_str word)
{
    making *m = ctx;

    m->st = nx_terms_add(&m->x->terms, word, m->row, m->err);
    return m->st == NX_OK;
}

static void add_text(making *m, nx_str s)
{
    int64_t us;

    if (m->spec->kind == NX_INDEX_KEYWORD || m->spec->kind == NX_INDEX_UUID)
        m->st = nx_terms_add(&m->x->terms, s, m->row, m->err);
    if (m->spec->kind == NX_INDEX_DATETIME && nx_time_parse(&us, s))
        m->st = nx_ranks_add(&m->x->numbers, us, m->row, m->err);
    if (m->spec->kind == NX_INDEX_TEXT) {
        m->x->many |= m->n_texts++ > 0;
        nx_status st = nx_words_each(m->words, s, false, add_word, m, m->err);
        if (st) m->st = st;
    }
}

static void add_number(making *m, nx_value v)
{
    const nx_index_spec *spec = m->spec;
    bool integer = spec->kind == NX_INDEX_INTEGER, whole = nx_value_kind_of(v) == NX_VALUE_INT;

    if (integer && spec->lookup && whole)
        m->st = nx_ranks_add(&m->x->ints, nx_value_int(v), m->row, m->err);
    if (!m->st && (spec->kind == NX_INDEX_FLOAT || (integer && spec->range)))
        m->st = nx_ranks_add(&m->x->numbers, nx_rank_of(nx_value_float(v)), m->row, m->err);
}

static void add_object(making *m, nx_value v)
{
    nx_geo_point p;

    if (m->spec->kind == NX_INDEX_GEO && nx_geo_read(&p, v))
        m->st = nx_ranks_add(&m->x->numbers, nx_geo_cell(p), m->row, m->err);
}

static void add_value(making *m, nx_value v)
{
    switch (nx_value_kind_of(v)) {
    case NX_VALUE_FALSE:
    case NX_VALUE_TRUE:
        if (m->spec->kind == NX_INDEX_BOOL)
            m->st = nx_terms_add(&m->x->terms,
                                 nx_value_kind_of(v) == NX_VALUE_TRUE ? NX_STR("t") : NX_STR("f"),
                                 m->row, m->err);
        return;
    case NX_VALUE_INT:
    case NX_VALUE_UINT:
    case NX_VALUE_FLOAT: add_number(m, v); return;
    case NX_VALUE_TEXT: add_text(m, nx_value_text(v)); return;
    case NX_VALUE_OBJECT: add_object(m, v); return;
    case NX_VALUE_NULL:
    case NX_VALUE_ARRAY: return;
    }
}

static bool add_at_path(void *ctx, nx_value v)
{
    making       *m = ctx;
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        key;

    m->filled |= nx_value_kind_of(v) != NX_VALUE_NULL &&
                 !(nx_value_kind_of(v) == NX_VALUE_ARRAY && !nx_value_count(v));
    if (nx_value_kind_of(v) != NX_VALUE_ARRAY)
        add_value(m, v);
    else
        while (!m->st && nx_value_next(&it, &key, &item)) add_value(m, item);
    return m->st == NX_OK;
}

/* ---- All rows ---- */

static uint64_t n_entries(const nx_index *x)
{
    return x->terms.n + x->ints.n + x->numbers.n;
}

/* All that the payload has at the path, as row m->row. */
static nx_status add_payload(making *m, const nx_path *path, nx_value payload, bool *has)
{
    uint64_t before = n_entries(m->x);

    m->n_texts = 0;
    m->filled = false;
    nx_path_visit(path, payload, add_at_path, m);
    *has = n_entries(m->x) > before;
    return m->st;
}

static uint64_t bytes_of(const nx_index *x, uint64_t n_rows)
{
    return sizeof *x + x->identity.cap + (n_rows + 63) / 64 * 16 + nx_terms_bytes(&x->terms) +
           nx_ranks_bytes(&x->ints) + nx_ranks_bytes(&x->numbers);
}

static nx_status add_rows(making *m, nx_seg *s, const nx_path *path)
{
    nx_buf    row = {.max = NX_BLOCK_MAX};
    nx_status st = NX_OK;

    for (uint64_t i = 0; !st && i < s->head.n_rows; i++) {
        nx_buf_clear(&row);
        st = nx_seg_row_bare(s, &row, i, m->err);
        if (st) break;
        bool has;
        m->row = (uint32_t)i;
        st = add_payload(m, path, nx_block_payload((const nx_block *)(const void *)row.data), &has);
        if (!st && has) {
            m->x->any[i / 64] |= (uint64_t)1 << i % 64;
            m->x->n_any++;
        }
        if (!st && m->filled) m->x->filled[i / 64] |= (uint64_t)1 << i % 64;
        if (!st && i % 1024 == 0 &&
            atomic_load_explicit(&bytes_all, memory_order_relaxed) +
                    bytes_of(m->x, s->head.n_rows) >
                NX_INDEX_BYTES_MAX)
            st = nx_fail(m->err, NX_ELIMIT, "indexes beyond the memory for all");
    }
    nx_buf_free(&row);
    return st;
}

static nx_status fill(nx_index *x, nx_seg *s, const nx_index_spec *spec, nx_error *err)
{
    making    m = {.spec = spec, .x = x, .err = err};
    nx_path   path;
    nx_status st = nx_path_parse(&path, spec->path, err);

    x->any = nx_calloc((size_t)(s->head.n_rows + 63) / 64 + 1, sizeof *x->any);
    x->filled = nx_calloc((size_t)(s->head.n_rows + 63) / 64 + 1, sizeof *x->filled);
    if (!x->any || !x->filled) st = nx_fail(err, NX_ENOMEM, "an index");
    if (!st && spec->kind == NX_INDEX_TEXT) st = nx_words_create(&m.words, &spec->words, err);
    if (!st) st = add_rows(&m, s, &path);
    if (!st) st = nx_terms_finish(&x->terms, err);
    if (!st) st = nx_ranks_finish(&x->ints, err);
    if (!st) st = nx_ranks_finish(&x->numbers, err);
    nx_words_destroy(m.words);
    x->bytes = bytes_of(x, s->head.n_rows);
    return st;
}

static void free_index(nx_index *x)
{
    if (!x) return;
    nx_buf_free(&x->identity);
    nx_terms_free(&x->terms);
    nx_ranks_free(&x->ints);
    nx_ranks_free(&x->numbers);
    nx_free(x->any);
    nx_free(x->filled);
    nx_free(x);
}

/* What the index is of, but not what somebody noted beside it. */
static nx_status identify(nx_buf *out, const nx_index_spec *spec, nx_error *err)
{
    nx_index_spec bare = *spec;
    nx_settings   one = {.indexes = &bare, .n_indexes = 1};

    bare.note = (nx_str){"", 0};
    out->max = (size_t)64 << 20;
    return nx_settings_write(out, &one, err);
}

/* Those that came before are never changed, so the list is read without a lock. */
static const nx_index *find(nx_seg *s, const nx_buf *identity, int *n)
{
    *n = 0;
    for (const nx_index *x = atomic_load_explicit(&s->indexes, memory_order_acquire); x;
         x = x->next) {
        (*n)++;
        if (x->identity.len == identity->len &&
            memcmp(x->identity.data, identity->data, identity->len) == 0)
            return x;
    }
    return NULL;
}

/* One thread at a time: s->indexing is ours. Not enough memory is no error. */
static nx_status make(nx_seg *s, const nx_index **out, const nx_index_spec *spec, nx_buf *identity,
                      nx_error *err)
{
    nx_error  inner = {0};
    nx_index *x = nx_calloc(1, sizeof *x);
    nx_status st = x ? fill(x, s, spec, &inner) : NX_ENOMEM;

    if (!st && x) {
        x->identity = *identity;
        *identity = (nx_buf){0};
        atomic_fetch_add_explicit(&bytes_all, x->bytes, memory_order_relaxed);
        x->next = atomic_load_explicit(&s->indexes, memory_order_relaxed);
        atomic_store_explicit(&s->indexes, x, memory_order_release);
        *out = x;
        return NX_OK;
    }
    free_index(x);
    if (st != NX_EIO && st != NX_EFORMAT) return NX_OK;
    if (err) *err = inner;
    return st;
}

nx_status nx_seg_index(nx_seg *s, const nx_index **out, const nx_index_spec *spec, nx_error *err)
{
    nx_buf    identity = {0};
    nx_status st = NX_OK;
    int       n;

    *out = NULL;
    if (identify(&identity, spec, NULL)) return NX_OK;
    *out = find(s, &identity, &n);
    if (!*out && n < NX_SEG_INDEXES_MAX && !atomic_exchange(&s->indexing, true)) {
        *out = find(s, &identity, &n); /* someone has just finished it? */
        if (!*out) st = make(s, out, spec, &identity, err);
        atomic_store(&s->indexing, false);
    }
    nx_buf_free(&identity);
    return st;
}

nx_status nx_seg_index_all(nx_seg *s, const nx_settings *settings, nx_error *err)
{
    const nx_index *x;
    nx_status       st = NX_OK;

    for (size_t i = 0; !st && i < settings->n_indexes; i++)
        st = nx_seg_index(s, &x, &settings->indexes[i], err);
    return st;
}

uint64_t nx_seg_index_bytes(const nx_seg *s)
{
    uint64_t n = 0;

    for (const nx_index *x = atomic_load_explicit(&s->indexes, memory_order_acquire); x;
         x = x->next)
        n += x->bytes;
    return n;
}

void nx_seg_index_free(nx_seg *s)
{
    for (nx_index *x = atomic_load(&s->indexes), *next; x; x = next) {
        next = x->next;
        atomic_fetch_sub_explicit(&bytes_all, x->bytes, memory_order_relaxed);
        free_index(x);
    }
}

/* ---- Payloads that lie in no index ---- */

enum { TEST_ROWS = 4096 }; /* then what was added is thrown away */

struct nx_index_test {
    making   m;
    nx_index x;
    nx_path  path;
};

static void forget(nx_index_test *t)
{
    nx_terms_free(&t->x.terms);
    nx_ranks_free(&t->x.ints);
    nx_ranks_free(&t->x.numbers);
    t->x = (nx_index){0};
    t->m.row = 0;
}

nx_status nx_index_test_create(nx_index_test **out, const nx_index_spec *spec, nx_error *err)
{
    nx_index_test *t = nx_calloc(1, sizeof *t);

    *out = NULL;
    if (!t) return nx_fail(err, NX_ENOMEM, "an index");
    t->m = (making){.spec = spec, .x = &t->x};
    nx_status st = nx_path_parse(&t->path, spec->path, err);
    if (!st && spec->kind == NX_INDEX_TEXT) st = nx_words_create(&t->m.words, &spec->words, err);
    if (st)
        nx_index_test_destroy(t);
    else
        *out = t;
    return st;
}

nx_status nx_index_test_payload(nx_index_test *t, bool *has, nx_value payload, nx_error *err)
{
    if (t->m.row == TEST_ROWS) forget(t);
    t->m.err = err;
    nx_status st = add_payload(&t->m, &t->path, payload, has);
    t->m.row++;
    return st;
}

void nx_index_test_destroy(nx_index_test *t)
{
    if (!t) return;
    forget(t);
    nx_words_destroy(t->m.words);
    nx_free(t);
}
