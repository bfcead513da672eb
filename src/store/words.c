/* words.c - a text is cut, and each piece goes through the same stages in Qdrant's order: accents off,
 * lower case, no stopwords, its stem, neither too short nor too long.
 *
 * Owns:   two buffers that grow to the longest word.
 * Idea:   letters and numbers are general categories (utf8proc); what else Unicode calls alphabetic
 *         stands in words_tables.c.
 */
#include "store/words.h"

#include <libstemmer.h>
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "store/words_tables.h"

#define WORD_MAX ((size_t)256 << 20) /* bytes; a payload is shorter */

struct nx_words {
    nx_word_kind       kind;
    bool               lowercase, folding;
    bool               python; /* words as Python's \w has them, capped before they are stemmed */
    int32_t            min_chars, max_chars;
    struct sb_stemmer *stemmer; /* NULL: none */
    nx_buf             stop_bytes;
    nx_str            *stops; /* [stop_mask + 1], open addressing; p NULL: empty */
    size_t             stop_mask;
    nx_buf             word, folded;
};

/* ---- Characters ---- */

static bool is_mark(uint32_t c)
{
    size_t lo = 0, hi = nx_words_n_marks;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (nx_words_marks[mid].last < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nx_words_n_marks && nx_words_marks[lo].first <= c;
}

static bool is_letter(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);

    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_letter_or_number(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
           (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

static bool is_blank(uint32_t c)
{
    if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return c == 0x85 || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL ||
           k == UTF8PROC_CATEGORY_ZP;
}

static bool belongs(const nx_words *w, uint32_t c)
{
    if (w->kind == NX_WORDS_WHITESPACE) return !is_blank(c);
    return is_letter_or_number(c) || (w->python ? c == '_' : c >= 0x80 && is_mark(c));
}

/* Of scripts that put no blanks between words. */
static bool is_cjk(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x31F0 && c <= 0x31FF) ||
           (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFF66 && c <= 0xFF9F) ||
           (c >= 0x20000 && c <= 0x323AF);
}

/* ---- Pieces of the text ---- */

/* The next piece from *at on; false: there is none. Bytes that are no UTF-8 end a piece. */
static bool next_piece(const nx_words *w, nx_str text, size_t *at, nx_str *piece)
{
    size_t begin = *at, n = 0;
    bool   inside = false;

    while (*at < text.len) {
        uint32_t c = nx_utf8_decode(text.p + *at, text.len - *at, &n);
        bool     alone = w->kind == NX_WORDS_MULTILINGUAL && c != NX_UTF8_BAD && is_cjk(c);
        if (c == NX_UTF8_BAD || !belongs(w, c)) {
            if (inside) break;
            *at += n;
            begin = *at;
            continue;
        }
        if (alone && inside) break;
        inside = true;
        *at += n;
        /* In Python U+0130 becomes an i and a dot that is no part of a word. */
        if (alone || (w->python && c == 0x130)) break;
    }
    *piece = (nx_str){text.p + begin, *at - begin};
    return inside;
}

/* ---- Stages ---- */

static nx_status add_char(nx_buf *out, uint32_t c, nx_error *err)
{
    char   bytes[4];
    size_t n = nx_utf8_encode(bytes, c);

    return nx_buf_add(out, bytes, n, err);
}

/* Latin letters that no decomposition leads to ASCII. */
static const struct {
    uint32_t    c;
    const char *ascii;
} folds[] = {
    {0xC6, "AE"}, {0xD0, "D"},   {0xD8, "O"},   {0xDE, "TH"}, {0xDF, "ss"}, {0xE6, "ae"},
    {0xF0, "d"},  {0xF8, "o"},   {0xFE, "th"},  {0x110, "D"}, {0x111, "d"}, {0x126, "H"},
    {0x127, "h"}, {0x131, "i"},  {0x138, "q"},  {0x141, "L"}, {0x142, "l"}, {0x14A, "N"},
    {0x14B, "n"}, {0x152, "OE"}, {0x153, "oe"}, {0x166, "T"}, {0x167, "t"}, {0x180, "b"},
    {0x197, "I"}, {0x1B5, "Z"},  {0x1B6, "z"},  {0x1E4, "G"}, {0x1E5, "g"}, {0x1E9E, "SS"},
};

/* One character without its accents, where that is ASCII; else as it is. */
static nx_status add_folded(nx_buf *out, uint32_t c, nx_error *err)
{
    utf8proc_int32_t parts[32];
    int              bound = 0;
    bool             ascii = true;

    for (size_t i = 0; c >= 0x80 && i < sizeof folds / sizeof folds[0]; i++)
        if (folds[i].c == c) return nx_buf_add(out, folds[i].ascii, strlen(folds[i].ascii), err);
    if (c < 0x80) return add_char(out, c, err);
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, parts, 32,
                                UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_STRIPMARK, &bound);
    for (utf8proc_ssize_t i = 0; i < n && n <= 32; i++) ascii &= parts[i] < 0x80;
    if (n < 1 || n > 32 || !ascii) return add_char(out, c, err);
    nx_status st = NX_OK;
    for (utf8proc_ssize_t i = 0; !st && i < n; i++) st = add_char(out, (uint32_t)parts[i], err);
    return st;
}

static nx_status fold(nx_buf *out, nx_str s, nx_error *err)
{
    nx_status st = NX_OK;

    nx_buf_clear(out);
    for (size_t i = 0, n; !st && i < s.len; i += n) {
        uint32_t c = nx_utf8_decode(s.p + i, s.len - i, &n);
        st = c == NX_UTF8_BAD ? nx_buf_add(out, s.p + i, 1, err) : add_folded(out, c, err);
    }
    return st;
}

/* A sigma that ends a word has a form of its own. */
static bool ends_word(nx_str s, size_t at, bool letter_before)
{
    for (size_t i = at, n; letter_before && i < s.len; i += n) {
        uint32_t c = nx_utf8_decode(s.p + i, s.len - i, &n);
        if (c != NX_UTF8_BAD && is_letter(c)) return false;
    }
    return letter_before;
}

static nx_status lower(nx_buf *out, nx_str s, bool python, nx_error *err)
{
    nx_status st = NX_OK;
    bool      letter_before = false;

    nx_buf_clear(out);
    for (size_t i = 0, n; !st && i < s.len; i += n) {
        uint32_t c = nx_utf8_decode(s.p + i, s.len - i, &n);
        if (c == NX_UTF8_BAD) {
            st = nx_buf_add(out, s.p + i, 1, err);
            continue;
        }
        uint32_t small = c < 0x80 ? (c >= 'A' && c <= 'Z' ? c | 32 : c)
                                  : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
        if (c == 0x130) small = 'i';
        if (c == 0x3A3 && ends_word(s, i + n, letter_before)) small = 0x3C2;
        st = add_char(out, small, err);
        if (!st && c == 0x130 && !python) st = add_char(out, 0x307, err);
        letter_before |= is_letter(c);
    }
    return st;
}

static size_t n_chars(nx_str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

/* Its first `chars` characters. */
static nx_str beginning(nx_str s, size_t chars)
{
    size_t i = 0;

    for (; i < s.len; i++)
        if (((unsigned char)s.p[i] & 0xC0) != 0x80 && chars-- == 0) break;
    return (nx_str){s.p, i};
}

/* ---- Stopwords ---- */

static size_t hash_of(nx_str s)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < s.len; i++) h = (h ^ (unsigned char)s.p[i]) * 0x100000001B3u;
    return (size_t)(h ^ h >> 32);
}

static nx_str *stop_slot(const nx_words *w, nx_str s)
{
    size_t i = hash_of(s) & w->stop_mask;

    while (w->stops[i].p && !nx_str_eq(w->stops[i], s)) i = (i + 1) & w->stop_mask;
    return &w->stops[i];
}

static bool is_stopword(const nx_words *w, nx_str s)
{
    return w->stops && stop_slot(w, s)->p;
}

/* Their bytes first, so that views into them stay. */
static nx_status copy_stops(nx_words *w, const nx_str *words, size_t n, size_t *lengths,
                            nx_error *err)
{
    nx_status st = NX_OK;

    w->stop_bytes.max = WORD_MAX;
    for (size_t i = 0; !st && i < n; i++) {
        if (w->lowercase)
            st = lower(&w->word, words[i], w->python, err);
        else {
            nx_buf_clear(&w->word);
            st = nx_buf_add(&w->word, words[i].p, words[i].len, err);
        }
        lengths[i] = w->word.len;
        if (!st && w->word.len) st = nx_buf_add(&w->stop_bytes, w->word.data, w->word.len, err);
    }
    return st;
}

static nx_status take_stops(nx_words *w, const nx_str *words, size_t n, nx_error *err)
{
    size_t cap = 16, at = 0;

    if (n == 0) return NX_OK;
    while (cap < 2 * n) cap *= 2;
    size_t *lengths = nx_alloc(n, sizeof *lengths);
    w->stops = nx_calloc(cap, sizeof *w->stops);
    w->stop_mask = cap - 1;
    nx_status st = lengths && w->stops ? copy_stops(w, words, n, lengths, err)
                                       : nx_fail(err, NX_ENOMEM, "%zu stopwords", n);
    for (size_t i = 0; !st && i < n; i++) {
        nx_str s = {w->stop_bytes.data + at, lengths[i]};
        at += lengths[i];
        if (s.len) *stop_slot(w, s) = s;
    }
    nx_free(lengths);
    return st;
}

/* ---- Making ---- */

static nx_status no_stemmer(nx_str name, nx_error *err)
{
    nx_buf       names = {.max = 4096};
    const char **all = sb_stemmer_list();

    for (size_t i = 0; all[i]; i++) (void)nx_buf_addf(&names, NULL, i ? ", %s" : "%s", all[i]);
    nx_fail(err, NX_EINVAL, "no stemmer for \"%.*s\"; there are %s",
            (int)(name.len < 64 ? name.len : 64), name.p, names.data ? names.data : "none");
    nx_buf_free(&names);
    return NX_EINVAL;
}

static bool has_stemmer(const char *name)
{
    for (const char **all = sb_stemmer_list(); *all; all++)
        if (strcmp(*all, name) == 0) return true;
    return false;
}

static nx_status take_stemmer(nx_words *w, nx_str name, nx_error *err)
{
    char text[32];

    if (name.len == 0) return NX_OK;
    if (name.len >= sizeof text) return no_stemmer(name, err);
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    if (!has_stemmer(text)) return no_stemmer(name, err);
    w->stemmer = sb_stemmer_new(text, NULL);
    return w->stemmer ? NX_OK : nx_fail(err, NX_ENOMEM, "a stemmer");
}

static nx_status check_spec(const nx_words_spec *s, nx_error *err)
{
    if (s->min_chars < 0 || s->max_chars < 0 || (s->max_chars && s->max_chars < s->min_chars))
        return nx_fail(err, NX_EINVAL, "words of %d to %d characters", s->min_chars, s->max_chars);
    if ((unsigned)s->kind > NX_WORDS_MULTILINGUAL)
        return nx_fail(err, NX_EINVAL, "no kind of word %d", (int)s->kind);
    if (s->n_stopwords > NX_STOPWORDS_MAX)
        return nx_fail(err, NX_EINVAL, "%zu stopwords, at most %d", s->n_stopwords,
                       NX_STOPWORDS_MAX);
    return NX_OK;
}

static nx_status create(nx_words **out, const nx_words_spec *spec, bool python, nx_error *err)
{
    nx_words *w = nx_calloc(1, sizeof *w);

    *out = NULL;
    if (!w) return nx_fail(err, NX_ENOMEM, "words");
    w->kind = spec->kind;
    w->lowercase = spec->lowercase || spec->kind == NX_WORDS_MULTILINGUAL;
    w->folding = spec->ascii_folding;
    w->python = python;
    w->min_chars = spec->min_chars;
    w->max_chars = spec->max_chars;
    w->word.max = w->folded.max = WORD_MAX;
    nx_status st = take_stemmer(w, spec->stemmer, err);
    if (!st) st = take_stops(w, spec->stopwords, spec->n_stopwords, err);
    if (st)
        nx_words_destroy(w);
    else
        *out = w;
    return st;
}

nx_status nx_words_create(nx_words **out, const nx_words_spec *spec, nx_error *err)
{
    nx_status st = check_spec(spec, err);

    *out = NULL;
    return st ? st : create(out, spec, false, err);
}

nx_status nx_words_create_bm25(nx_words **out, nx_str language, nx_error *err)
{
    nx_words_spec spec = {.lowercase = true, .max_chars = NX_BM25_CHARS_MAX};

    if (language.len == 0) language = NX_STR("english");
    if (!nx_str_eq(language, NX_STR("none"))) {
        spec.stemmer = language;
        spec.stopwords = nx_stopwords(language, &spec.n_stopwords);
    }
    return create(out, &spec, true, err);
}

void nx_words_destroy(nx_words *w)
{
    if (!w) return;
    if (w->stemmer) sb_stemmer_delete(w->stemmer);
    nx_free(w->stops);
    nx_buf_free(&w->stop_bytes);
    nx_buf_free(&w->word);
    nx_buf_free(&w->folded);
    nx_free(w);
}

/* ---- Words ---- */

typedef struct giving {
    nx_words *w;
    bool      asking;
    bool (*fn)(void *ctx, nx_str word);
    void *ctx;
    bool  stopped;
} giving;

static void give(giving *g, nx_str word)
{
    g->stopped = !g->fn(g->ctx, word);
}

/* All beginnings of the word, from the shortest that counts. */
static void give_beginnings(giving *g, nx_str word)
{
    size_t min = g->w->min_chars > 0 ? (size_t)g->w->min_chars : 1, len = n_chars(word);
    size_t max = g->w->max_chars > 0 && g->w->max_chars < NX_WORDS_PREFIX_MAX
                     ? (size_t)g->w->max_chars
                     : NX_WORDS_PREFIX_MAX;

    if (len < min) return;
    if (g->asking) {
        give(g, beginning(word, max));
        return;
    }
    for (size_t n = min; !g->stopped && n <= max && n <= len; n++) give(g, beginning(word, n));
}

static bool too_long(const nx_words *w, nx_str s)
{
    return w->max_chars > 0 && s.len > (size_t)w->max_chars && n_chars(s) > (size_t)w->max_chars;
}

static bool has_letter(nx_str s)
{
    for (size_t i = 0, n; i < s.len; i += n) {
        uint32_t c = nx_utf8_decode(s.p + i, s.len - i, &n);
        if (c != NX_UTF8_BAD && (is_letter(c) || is_mark(c))) return true;
    }
    return false;
}

static nx_status stem(nx_words *w, nx_str *s, nx_error *err)
{
    if (!w->stemmer) return NX_OK;
    const sb_symbol *r = sb_stemmer_stem(w->stemmer, (const sb_symbol *)s->p, (int)s->len);
    if (!r) return nx_fail(err, NX_ENOMEM, "the stem of a word");
    *s = (nx_str){(const char *)r, (size_t)sb_stemmer_length(w->stemmer)};
    return NX_OK;
}

static nx_status take_piece(giving *g, nx_str s, nx_error *err)
{
    nx_words *w = g->w;
    bool      prefix = w->kind == NX_WORDS_PREFIX;
    nx_status st = NX_OK;

    if (w->kind == NX_WORDS_MULTILINGUAL && !has_letter(s)) return NX_OK;
    if (w->folding) {
        st = fold(&w->folded, s, err);
        s = (nx_str){w->folded.data, w->folded.len};
    }
    if (!st && w->lowercase) {
        st = lower(&w->word, s, w->python, err);
        s = (nx_str){w->word.data, w->word.len};
    }
    if (st || s.len == 0) return st;
    /* Who types hasn't finished the word: "the" may become "theory". */
    if (!(prefix && g->asking) && is_stopword(w, s)) return NX_OK;
    /* Of punctuation only _ belongs to a word; alone it is none. */
    if (w->python && (too_long(w, s) || nx_str_eq(s, NX_STR("_")))) return NX_OK;
    st = stem(w, &s, err);
    if (st || s.len == 0) return st;
    if (prefix)
        give_beginnings(g, s);
    else if (!(w->min_chars > 1 && n_chars(s) < (size_t)w->min_chars) && !too_long(w, s))
        give(g, s);
    return NX_OK;
}

nx_status nx_words_each(nx_words *w, nx_str text, bool asking, bool (*fn)(void *ctx, nx_str word),
                        void *ctx, nx_error *err)
{
    giving    g = {w, asking, fn, ctx, false};
    nx_str    piece;
    size_t    at = 0;
    nx_status st = NX_OK;

    if (text.len == 0) return NX_OK; /* its bytes may be nowhere */
    while (!st && !g.stopped && next_piece(w, text, &at, &piece)) st = take_piece(&g, piece, err);
    return st;
}
