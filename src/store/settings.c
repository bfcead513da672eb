/* settings.c - payload indexes and the caller's note: checked, written, read, counted.
 *
 * Idea: one block holds the struct, its lists, and the bytes that its texts are views into; so a
 *       copy is what reading its bytes gives.
 */
#include "store/settings.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "store/path.h"
#include "store/record.h"

enum {
    LOOKUP = 1 << 0,
    RANGE = 1 << 1,
    LOWERCASE = 1 << 2,
    ASCII_FOLDING = 1 << 3,
    PHRASE = 1 << 4,
    FLAGS = (1 << 5) - 1,
    STEMMER_MAX = 64, /* bytes */
    STOPWORD_MAX = 1024,
    CHARS_MAX = 1 << 20,
};

typedef struct held {
    nx_settings settings; /* first: what callers hold is this address */
    atomic_int  refs;
} held;

/* ---- Checking ---- */

static nx_status check_text(nx_str s, size_t max, const char *what, nx_error *err)
{
    if (s.len > max) return nx_fail(err, NX_ELIMIT, "%s: %zu bytes, at most %zu", what, s.len, max);
    if (!nx_utf8_valid(s.p, s.len, NULL)) return nx_fail(err, NX_EINVAL, "%s: not UTF-8", what);
    return NX_OK;
}

static nx_status check_words(const nx_words_spec *w, nx_error *err)
{
    nx_status st = check_text(w->stemmer, STEMMER_MAX, "stemmer of an index", err);

    if (!st && w->kind > NX_WORDS_MULTILINGUAL)
        st = nx_fail(err, NX_EINVAL, "index: no such kind of words: %d", (int)w->kind);
    if (!st && (w->min_chars < 0 || w->max_chars < 0 || w->min_chars > CHARS_MAX ||
                w->max_chars > CHARS_MAX || (w->max_chars && w->max_chars < w->min_chars)))
        st =
            nx_fail(err, NX_EINVAL, "index: words of %d to %d letters", w->min_chars, w->max_chars);
    if (!st && w->n_stopwords > NX_STOPWORDS_MAX)
        st = nx_fail(err, NX_ELIMIT, "index: %zu stop words, at most %d", w->n_stopwords,
                     NX_STOPWORDS_MAX);
    for (size_t i = 0; !st && i < w->n_stopwords; i++)
        st = check_text(w->stopwords[i], STOPWORD_MAX, "stop word of an index", err);
    return st;
}

static nx_status check_spec(const nx_index_spec *x, nx_error *err)
{
    nx_path   path;
    nx_status st = check_text(x->path, NX_INDEX_PATH_MAX, "path of an index", err);

    if (!st && x->path.len == 0) st = nx_fail(err, NX_EINVAL, "index: an empty path");
    if (!st) st = nx_path_parse(&path, x->path, err);
    if (!st && x->kind > NX_INDEX_TEXT)
        st = nx_fail(err, NX_EINVAL, "index: no such kind: %d", (int)x->kind);
    if (!st) st = check_text(x->note, NX_INDEX_NOTE_MAX, "note of an index", err);
    return st ? st : check_words(&x->words, err);
}

static int by_text(nx_str a, nx_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int    c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

nx_status nx_settings_check(const nx_settings *s, nx_error *err)
{
    nx_status st = check_text(s->note, NX_SETTINGS_NOTE_MAX, "note", err);

    if (!st && s->n_indexes > NX_INDEXES_MAX)
        st = nx_fail(err, NX_ELIMIT, "%zu payload indexes, at most %d", s->n_indexes,
                     NX_INDEXES_MAX);
    for (size_t i = 0; !st && i < s->n_indexes; i++) {
        st = check_spec(&s->indexes[i], err);
        if (!st && i && by_text(s->indexes[i - 1].path, s->indexes[i].path) >= 0)
            st = nx_fail(err, NX_EINVAL, "index %.*s: twice, or out of order",
                         (int)s->indexes[i].path.len, s->indexes[i].path.p);
    }
    return st;
}

const nx_index_spec *nx_settings_index(const nx_settings *s, nx_str path)
{
    size_t lo = 0, hi = s->n_indexes;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int    c = by_text(s->indexes[mid].path, path);
        if (c == 0) return &s->indexes[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* ---- Writing ---- */

static nx_status add_spec(nx_buf *out, const nx_index_spec *x, nx_error *err)
{
    const nx_words_spec *w = &x->words;
    unsigned             flags = (x->lookup ? LOOKUP : 0u) | (x->range ? RANGE : 0u) |
                     (w->lowercase ? LOWERCASE : 0u) | (w->ascii_folding ? ASCII_FOLDING : 0u) |
                     (w->phrase ? PHRASE : 0u);
    uint8_t  kinds[4] = {(uint8_t)x->kind, (uint8_t)flags, (uint8_t)w->kind, 0};
    uint32_t counts[3] = {(uint32_t)w->min_chars, (uint32_t)w->max_chars, (uint32_t)w->n_stopwords};
    nx_status st = nx_buf_add(out, kinds, sizeof kinds, err);

    if (!st) st = nx_buf_add(out, counts, sizeof counts, err);
    if (!st) st = nx_record_add_text(out, x->path, err);
    if (!st) st = nx_record_add_text(out, x->note, err);
    if (!st) st = nx_record_add_text(out, w->stemmer, err);
    for (size_t i = 0; !st && i < w->n_stopwords; i++)
        st = nx_record_add_text(out, w->stopwords[i], err);
    return st;
}

nx_status nx_settings_write(nx_buf *out, const nx_settings *s, nx_error *err)
{
    size_t    before = out->len;
    uint32_t  n = (uint32_t)s->n_indexes;
    nx_status st = nx_buf_add(out, &s->version, 8, err);

    if (!st) st = nx_record_add_text(out, s->note, err);
    if (!st) st = nx_buf_add(out, &n, 4, err);
    for (uint32_t i = 0; !st && i < n; i++) st = add_spec(out, &s->indexes[i], err);
    if (st) out->len = before;
    return st;
}

/* ---- Reading ---- */

/* One index; its stop words go to *words, when that isn't NULL, and it moves on. */
static void read_spec(nx_index_spec *x, nx_str **words, size_t *n_words, nx_record *r)
{
    nx_words_spec *w = &x->words;

    *x = (nx_index_spec){.kind = nx_record_u8(r)};
    uint8_t flags = nx_record_u8(r);
    w->kind = nx_record_u8(r);
    if (nx_record_u8(r) != 0 || flags > FLAGS) r->bad = true;
    uint32_t min = nx_record_u32(r), max = nx_record_u32(r), n = nx_record_u32(r);
    if (min > CHARS_MAX || max > CHARS_MAX || n > NX_STOPWORDS_MAX) r->bad = true;
    if (r->bad) return;
    x->lookup = flags & LOOKUP;
    x->range = flags & RANGE;
    w->lowercase = flags & LOWERCASE;
    w->ascii_folding = flags & ASCII_FOLDING;
    w->phrase = flags & PHRASE;
    w->min_chars = (int32_t)min;
    w->max_chars = (int32_t)max;
    x->path = nx_record_text(r);
    x->note = nx_record_text(r);
    w->stemmer = nx_record_text(r);
    w->stopwords = *words;
    w->n_stopwords = n;
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        nx_str word = nx_record_text(r);
        if (*words) *(*words)++ = word;
    }
    *n_words += n;
}

/* Lists may be NULL, to see how long they are. */
static bool read_all(nx_settings *s, nx_index_spec *specs, nx_str *words, size_t *n_words,
                     nx_record r)
{
    nx_index_spec one;

    *n_words = 0;
    s->version = nx_record_u64(&r);
    s->note = nx_record_text(&r);
    uint32_t n = nx_record_u32(&r);
    if (n > NX_INDEXES_MAX) r.bad = true;
    for (uint32_t i = 0; !r.bad && i < n; i++)
        read_spec(specs ? &specs[i] : &one, &words, n_words, &r);
    s->indexes = specs;
    s->n_indexes = r.bad ? 0 : n;
    return !nx_record_bad(&r);
}

nx_status nx_settings_read(const nx_settings **out, const void *bytes, size_t n, nx_error *err)
{
    nx_settings first;
    size_t      n_words;
    nx_error    inner;

    *out = NULL;
    if (!read_all(&first, NULL, NULL, &n_words, (nx_record){bytes, n, false}))
        return nx_fail(err, NX_EFORMAT, "settings: cut, or too long");
    size_t lists = first.n_indexes * sizeof(nx_index_spec) + n_words * sizeof(nx_str);
    held  *h = nx_alloc(sizeof *h + lists + n, 1); /* all bounded by n */
    if (!h) return nx_fail(err, NX_ENOMEM, "settings of %zu bytes", n);
    *h = (held){0};
    atomic_init(&h->refs, 1);
    nx_index_spec *specs = (nx_index_spec *)(void *)(h + 1);
    nx_str        *words = (nx_str *)(void *)(specs + first.n_indexes);
    uint8_t       *copy = (uint8_t *)(words + n_words);
    if (n) memcpy(copy, bytes, n);
    read_all(&h->settings, specs, words, &n_words, (nx_record){copy, n, false});
    if (nx_settings_check(&h->settings, &inner)) {
        nx_free(h);
        return nx_fail(err, NX_EFORMAT, "settings: %s", inner.text);
    }
    *out = &h->settings;
    return NX_OK;
}

/* ---- Counting ---- */

static held *held_of(const nx_settings *s)
{
    return (held *)(uintptr_t)s;
}

void nx_settings_retain(const nx_settings *s)
{
    atomic_fetch_add_explicit(&held_of(s)->refs, 1, memory_order_relaxed);
}

void nx_settings_release(const nx_settings *s)
{
    if (s && atomic_fetch_sub_explicit(&held_of(s)->refs, 1, memory_order_acq_rel) == 1)
        nx_free(held_of(s));
}
