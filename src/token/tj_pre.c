/* tj_pre.c - the pre-tokenizers of tokenizer.json: from a text to words.
 *
 * Idea:   stage k cuts its piece and gives each part to stage k + 1; behind the last one stands the
 *         model. So no list of all words exists; each stage has a buffer where it changes text.
 *         Behaviours that look at neighbouring parts keep a list of ranges for one piece.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/scripts.h"
#include "token/tj.h"
#include "token/unicode.h"

#define TEXT_MAX (SIZE_MAX / 4)

static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* ---- Reading ---------------------------------------------------------------------------------- */

static nx_status add(nx_tj_pre *pres, int *n, const nx_json *v, nx_tj_pre pre, nx_error *err)
{
    if (*n == NX_TJ_STAGES_MAX) {
        nx_tj_pre_free(&pre);
        return nx_tj_bad(v, err, "over %d pre-tokenizers", NX_TJ_STAGES_MAX);
    }
    pres[(*n)++] = pre;
    return NX_OK;
}

static nx_status read_behaviour(nx_tj_behaviour *out, const nx_json *v, nx_error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const nx_json           *b = nx_json_get(v, "behavior");

    if (!b) return NX_OK;
    for (int i = 0; i < 5; i++) {
        if (nx_json_is(b, names[i])) {
            *out = (nx_tj_behaviour)i;
            return NX_OK;
        }
    }
    return nx_tj_bad(b, err,
                     "behavior: expected Removed, Isolated, MergedWithPrevious, "
                     "MergedWithNext or Contiguous");
}

static nx_status read_split(nx_tj_pre *p, nx_arena *arena, const nx_json *v, nx_error *err)
{
    nx_status st;

    p->kind = NX_TJ_SPLIT;
    (void)((st = read_behaviour(&p->behaviour, v, err)) ||
           (st = nx_tj_get_bool(v, "invert", &p->invert, err)) ||
           (st = nx_tj_pattern_read(&p->pattern, arena, nx_json_get(v, "pattern"), err)));
    return st;
}

static nx_status read_byte_level(nx_tj_pre *p, const nx_json *v, nx_error *err)
{
    nx_status st;

    p->kind = NX_TJ_BYTE_LEVEL;
    p->prefix = true;
    p->use_regex = true;
    p->behaviour = NX_TJ_ISOLATED;
    st = nx_tj_get_bool(v, "add_prefix_space", &p->prefix, err);
    if (!st) st = nx_tj_get_bool(v, "use_regex", &p->use_regex, err);
    if (st || !p->use_regex) return st;
    return nx_tj_pattern_compile(&p->pattern, nx_str_of(gpt2_pattern), err);
}

static nx_status read_metaspace(nx_tj_pre *p, nx_arena *arena, const nx_json *v, nx_error *err)
{
    static const char *const names[] = {"always", "never", "first"};
    const nx_json           *scheme = nx_json_get(v, "prepend_scheme");
    bool                     prefix = true;
    int                      i = 0;
    nx_status                st;

    p->kind = NX_TJ_METASPACE;
    p->mark = NX_STR(NX_SPACE_MARK);
    p->split = true;
    p->behaviour = NX_TJ_MERGED_WITH_NEXT;
    (void)((st = nx_tj_get_str(v, "replacement", arena, &p->mark, err)) ||
           (st = nx_tj_char_of(v, "replacement", p->mark, &p->character, err)) ||
           (st = nx_tj_get_bool(v, "split", &p->split, err)) ||
           (st = nx_tj_get_bool(v, "add_prefix_space", &prefix, err)));
    if (st) return st;
    p->scheme = prefix ? NX_TJ_ALWAYS : NX_TJ_NEVER;
    if (nx_json_absent(scheme)) return NX_OK;
    while (i < 3 && !nx_json_is(scheme, names[i])) i++;
    if (i == 3) return nx_tj_bad(scheme, err, "prepend_scheme: expected always, never or first");
    p->scheme = (nx_tj_scheme)i;
    return NX_OK;
}

static nx_status read_class(nx_tj_pre *p, nx_arena *arena, nx_str type, const nx_json *v,
                            nx_error *err)
{
    bool      individual = false;
    nx_str    text = {0};
    nx_status st = NX_OK;

    p->kind = NX_TJ_CLASS;
    if (nx_str_eq(type, NX_STR("WhitespaceSplit"))) {
        *p = (nx_tj_pre){.kind = NX_TJ_CLASS, .of = NX_TJ_WHITE, .behaviour = NX_TJ_REMOVED};
    } else if (nx_str_eq(type, NX_STR("Punctuation"))) {
        p->of = NX_TJ_PUNCTUATION;
        p->behaviour = NX_TJ_ISOLATED;
        st = read_behaviour(&p->behaviour, v, err);
    } else if (nx_str_eq(type, NX_STR("Digits"))) {
        p->of = NX_TJ_NUMERIC;
        st = nx_tj_get_bool(v, "individual_digits", &individual, err);
        p->behaviour = individual ? NX_TJ_ISOLATED : NX_TJ_CONTIGUOUS;
    } else {
        p->of = NX_TJ_ONE_CHARACTER;
        p->behaviour = NX_TJ_REMOVED;
        st = nx_tj_get_str(v, "delimiter", arena, &text, err);
        if (!st) st = nx_tj_char_of(v, "delimiter", text, &p->character, err);
    }
    return st;
}

static nx_status read_bert(nx_tj_pre *pres, int *n, const nx_json *v, nx_error *err)
{
    nx_tj_pre white = {.kind = NX_TJ_CLASS, .of = NX_TJ_WHITE, .behaviour = NX_TJ_REMOVED};
    nx_tj_pre marks = {.kind = NX_TJ_CLASS, .of = NX_TJ_PUNCTUATION, .behaviour = NX_TJ_ISOLATED};
    nx_status st = add(pres, n, v, white, err);

    return st ? st : add(pres, n, v, marks, err);
}

static nx_status read_length(nx_tj_pre *p, const nx_json *v, nx_error *err)
{
    int64_t   length = 5;
    nx_status st = nx_tj_get_int(v, "length", &length, 1, INT32_MAX, err);

    p->kind = NX_TJ_FIXED_LENGTH;
    p->length = (size_t)length;
    return st;
}

static bool is_class(nx_str type)
{
    return nx_str_eq(type, NX_STR("WhitespaceSplit")) || nx_str_eq(type, NX_STR("Punctuation")) ||
           nx_str_eq(type, NX_STR("Digits")) || nx_str_eq(type, NX_STR("CharDelimiterSplit"));
}

nx_status nx_tj_pre_read(nx_tj_pre *pres, int *n, nx_arena *arena, nx_str type, const nx_json *v,
                         nx_error *err)
{
    nx_tj_pre p = {0};
    nx_status st = NX_OK;

    if (nx_str_eq(type, NX_STR("BertPreTokenizer"))) return read_bert(pres, n, v, err);
    if (nx_str_eq(type, NX_STR("Split"))) {
        st = read_split(&p, arena, v, err);
    } else if (nx_str_eq(type, NX_STR("ByteLevel"))) {
        st = read_byte_level(&p, v, err);
    } else if (nx_str_eq(type, NX_STR("Metaspace"))) {
        st = read_metaspace(&p, arena, v, err);
    } else if (is_class(type)) {
        st = read_class(&p, arena, type, v, err);
    } else if (nx_str_eq(type, NX_STR("Whitespace"))) {
        p.kind = NX_TJ_WORDS;
    } else if (nx_str_eq(type, NX_STR("UnicodeScripts"))) {
        p.kind = NX_TJ_SCRIPTS;
    } else if (nx_str_eq(type, NX_STR("FixedLength"))) {
        st = read_length(&p, v, err);
    } else {
        nx_tj_bad(v, err, "pre-tokenizer of type \"%.*s\": we don't have that",
                  (int)(type.len % 64), type.p);
        if (err) err->status = NX_EUNSUPPORTED;
        return NX_EUNSUPPORTED;
    }
    if (st) {
        nx_tj_pre_free(&p);
        return st;
    }
    return add(pres, n, v, p, err);
}

void nx_tj_pre_free(nx_tj_pre *p)
{
    nx_tj_pattern_free(&p->pattern);
    *p = (nx_tj_pre){0};
}

/* ---- Ranges ----------------------------------------------------------------------------------- */

static nx_status add_range(nx_tj_ranges *r, size_t from, size_t to, bool match, nx_error *err)
{
    if (r->n == r->cap) {
        size_t       cap = r->cap < 64 ? 64 : 2 * r->cap;
        nx_tj_range *list = nx_realloc(r->list, cap, sizeof *list);
        if (!list) return nx_fail(err, NX_ENOMEM, "%zu parts of a text", cap);
        r->list = list;
        r->cap = cap;
    }
    r->list[r->n++] = (nx_tj_range){from, to, match};
    return NX_OK;
}

static bool is_in(const nx_tj_pre *p, uint32_t c)
{
    switch (p->of) {
    case NX_TJ_WHITE: return nx_uc_is_space(c);
    case NX_TJ_PUNCTUATION: return nx_uc_of(c)->flags & NX_UC_PUNCT_BERT;
    case NX_TJ_NUMERIC: return nx_uc_of(c)->flags & NX_UC_NUMERIC;
    case NX_TJ_ONE_CHARACTER: return c == p->character;
    }
    return false;
}

/* The next match of p at or after s->from, whatever kind of pattern p has. */
static nx_status next(const nx_tj_pre *p, nx_tj_pre_work *w, nx_tj_search *s,
                      const nx_tj_piece *piece, size_t m[2], bool *found, nx_error *err)
{
    if (p->kind != NX_TJ_CLASS && p->kind != NX_TJ_METASPACE) {
        return nx_tj_next(&p->pattern, w->matcher, s, piece->p, piece->len, m, found, err);
    }
    *found = false;
    for (size_t i = s->from, n; i < piece->len && !*found; i += n) {
        uint32_t c = nx_utf8_decode(piece->p + i, piece->len - i, &n);
        *found = p->kind == NX_TJ_METASPACE ? c == p->character : is_in(p, c);
        m[0] = i;
        s->from = m[1] = i + n;
    }
    return NX_OK;
}

/* Every match, and what lies between. */
static nx_status find_ranges(const nx_tj_pre *p, nx_tj_pre_work *w, nx_tj_ranges *r,
                             const nx_tj_piece *piece, nx_error *err)
{
    nx_tj_search s = {0};
    nx_status    st = NX_OK;
    size_t       at = 0, m[2];
    bool         found = true;

    r->n = 0;
    while (!st && found) {
        st = next(p, w, &s, piece, m, &found, err);
        if (st || !found) break;
        if (m[0] > at) st = add_range(r, at, m[0], p->invert, err);
        if (!st) st = add_range(r, m[0], m[1], !p->invert, err);
        at = m[1];
    }
    if (!st && at < piece->len) st = add_range(r, at, piece->len, p->invert, err);
    return st;
}

static void merge_forwards(nx_tj_ranges *r, bool contiguous)
{
    bool   before = false;
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++) {
        nx_tj_range one = r->list[i];
        bool        joins = contiguous ? one.match == before : one.match && !before;
        if (joins && n)
            r->list[n - 1].to = one.to;
        else
            r->list[n++] = one;
        before = one.match;
    }
    r->n = n;
}

static void merge_backwards(nx_tj_ranges *r)
{
    bool   before = false;
    size_t n = r->n;

    for (size_t i = r->n; i-- > 0;) {
        nx_tj_range one = r->list[i];
        if (one.match && !before && n < r->n)
            r->list[n].from = one.from;
        else
            r->list[--n] = one;
        before = one.match;
    }
    memmove(r->list, r->list + n, (r->n - n) * sizeof *r->list);
    r->n -= n;
}

/* ---- Stages ----------------------------------------------------------------------------------- */

static nx_status stage(nx_tj_pre_work *w, int k, nx_tj_piece piece, nx_error *err);

static nx_tj_piece part(const nx_tj_piece *piece, size_t from, size_t to)
{
    return (nx_tj_piece){piece->p + from, to - from, piece->first && from == 0};
}

/* What a stage does with a part: ByteLevel spells its bytes as characters. */
static nx_status pass(nx_tj_pre_work *w, int k, nx_tj_piece piece, nx_error *err)
{
    if (piece.len == 0) return NX_OK;
    if (w->pres[k].kind == NX_TJ_BYTE_LEVEL && !(w->raw_bytes && k + 1 == w->n)) {
        nx_buf_clear(&w->spelled[k]);
        nx_status st = nx_tj_spell_bytes(&w->map, &w->spelled[k], piece.p, piece.len, err);
        if (st) return st;
        piece.p = w->spelled[k].data;
        piece.len = w->spelled[k].len;
    }
    return stage(w, k + 1, piece, err);
}

static nx_status split_merged(nx_tj_pre_work *w, int k, const nx_tj_piece *piece, nx_error *err)
{
    const nx_tj_pre *p = &w->pres[k];
    nx_tj_ranges    *r = &w->ranges[k];
    nx_status        st = find_ranges(p, w, r, piece, err);

    if (st) return st;
    if (p->behaviour == NX_TJ_MERGED_WITH_NEXT)
        merge_backwards(r);
    else
        merge_forwards(r, p->behaviour == NX_TJ_CONTIGUOUS);
    for (size_t i = 0; !st && i < r->n; i++) {
        st = pass(w, k, part(piece, r->list[i].from, r->list[i].to), err);
    }
    return st;
}

/* A hand-written splitter leaves no gaps: all that it finds are matches. */
static nx_status split_cut(nx_tj_pre_work *w, int k, const nx_tj_piece *piece, nx_error *err)
{
    const nx_cut *cut = w->pres[k].pattern.cut;
    nx_status     st = NX_OK;

    for (size_t at = 0, n; !st && at < piece->len; at += n) {
        n = nx_cut_next(cut, piece->p + at, piece->len - at);
        st = pass(w, k, part(piece, at, at + n), err);
    }
    return st;
}

/* Isolated and Removed need no list. */
static nx_status split(nx_tj_pre_work *w, int k, const nx_tj_piece *piece, nx_error *err)
{
    const nx_tj_pre *p = &w->pres[k];
    nx_tj_search     s = {0};
    nx_status        st = NX_OK;
    size_t           at = 0, m[2];
    bool             found = true, removes = p->behaviour == NX_TJ_REMOVED;
    bool             gaps = !(removes && p->invert), matches = !(removes && !p->invert);

    if (p->behaviour != NX_TJ_ISOLATED && !removes) return split_merged(w, k, piece, err);
    if (p->pattern.cut && matches) return split_cut(w, k, piece, err);
    while (!st && found) {
        st = next(p, w, &s, piece, m, &found, err);
        if (st || !found) break;
        if (gaps) st = pass(w, k, part(piece, at, m[0]), err);
        if (!st && matches) st = pass(w, k, part(piece, m[0], m[1]), err);
        at = m[1];
    }
    return st || !gaps ? st : pass(w, k, part(piece, at, piece->len), err);
}

/* piece becomes a copy in the stage's buffer with `front` before it. */
static nx_status put_before(nx_tj_pre_work *w, int k, nx_str front, nx_tj_piece *piece,
                            nx_error *err)
{
    nx_buf *b = &w->buf[k];

    nx_buf_clear(b);
    nx_status st = nx_buf_add(b, front.p, front.len, err);
    if (!st) st = nx_buf_add(b, piece->p, piece->len, err);
    piece->p = b->data;
    piece->len = b->len;
    return st;
}

static nx_status byte_level(nx_tj_pre_work *w, int k, nx_tj_piece piece, nx_error *err)
{
    const nx_tj_pre *p = &w->pres[k];
    nx_status        st = NX_OK;

    if (p->prefix && piece.p[0] != ' ') st = put_before(w, k, NX_STR(" "), &piece, err);
    if (st) return st;
    return p->use_regex ? split(w, k, &piece, err) : pass(w, k, piece, err);
}

static bool begins(const nx_tj_piece *piece, nx_str text)
{
    return piece->len >= text.len && memcmp(piece->p, text.p, text.len) == 0;
}

static nx_status metaspace(nx_tj_pre_work *w, int k, nx_tj_piece piece, nx_error *err)
{
    const nx_tj_pre *p = &w->pres[k];
    nx_buf          *b = &w->buf[k];
    bool             wants = p->scheme == NX_TJ_ALWAYS || (p->scheme == NX_TJ_FIRST && piece.first);
    nx_status        st = NX_OK;

    nx_buf_clear(b);
    if (wants && piece.p[0] != ' ' && !begins(&piece, p->mark)) {
        st = nx_buf_add(b, p->mark.p, p->mark.len, err);
    }
    for (size_t i = 0; !st && i < piece.len;) {
        const char *space = memchr(piece.p + i, ' ', piece.len - i);
        size_t      end = space ? (size_t)(space - piece.p) : piece.len;
        st = nx_buf_add(b, piece.p + i, end - i, err);
        if (!st && space) st = nx_buf_add(b, p->mark.p, p->mark.len, err);
        i = end + (space != NULL);
    }
    if (st) return st;
    piece.p = b->data;
    piece.len = b->len;
    return p->split ? split(w, k, &piece, err) : pass(w, k, piece, err);
}

/* \w+|[^\w\s]+ */
static nx_status words(nx_tj_pre_work *w, int k, const nx_tj_piece *piece, nx_error *err)
{
    nx_status st = NX_OK;
    size_t    from = 0;
    unsigned  last = NX_UC_SPACE;

    for (size_t i = 0, n; !st && i < piece->len; i += n) {
        uint32_t c = nx_utf8_decode(piece->p + i, piece->len - i, &n);
        unsigned now = nx_tj_is_word(c) ? NX_UC_WORD : nx_uc_of(c)->flags & NX_UC_SPACE;
        if (now == last) continue;
        if (last != NX_UC_SPACE) st = pass(w, k, part(piece, from, i), err);
        from = i;
        last = now;
    }
    if (!st && last != NX_UC_SPACE) st = pass(w, k, part(piece, from, piece->len), err);
    return st;
}

static uint32_t script_of(uint32_t c)
{
    int lo = 0, hi = nx_n_script_ranges;

    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (nx_script_ranges[mid].last < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nx_n_script_ranges && nx_script_ranges[lo].first <= c ? nx_script_ranges[lo].script
                                                                      : 0;
}

/* Cut where the script changes. What belongs to any at the beginning is lost, as in `tokenizers`. */
static nx_status scripts(nx_tj_pre_work *w, int k, const nx_tj_piece *piece, nx_error *err)
{
    nx_status st = NX_OK;
    size_t    from = piece->len;
    uint32_t  last = 0;

    for (size_t i = 0, n; !st && i < piece->len; i += n) {
        uint32_t now = script_of(nx_utf8_decode(piece->p + i, piece->len - i, &n));
        if (now == 0 || now == last) continue;
        if (last) st = pass(w, k, part(piece, from, i), err);
        from = i;
        last = now;
    }
    return st ? st : pass(w, k, part(piece, from, piece->len), err);
}

static nx_status fixed_length(nx_tj_pre_work *w, int k, const nx_tj_piece *piece, nx_error *err)
{
    nx_status st = NX_OK;
    size_t    from = 0, chars = 0;

    for (size_t i = 0, n; !st && i < piece->len; i += n) {
        nx_utf8_decode(piece->p + i, piece->len - i, &n);
        if (++chars < w->pres[k].length) continue;
        st = pass(w, k, part(piece, from, i + n), err);
        from = i + n;
        chars = 0;
    }
    return st ? st : pass(w, k, part(piece, from, piece->len), err);
}

static nx_status stage(nx_tj_pre_work *w, int k, nx_tj_piece piece, nx_error *err)
{
    /* The second test is for gcc -O3, which unrolls the recursion. */
    if (k >= w->n || k >= NX_TJ_STAGES_MAX) return w->on_word(w->ctx, piece.p, piece.len, err);
    switch (w->pres[k].kind) {
    case NX_TJ_SPLIT:
    case NX_TJ_CLASS: return split(w, k, &piece, err);
    case NX_TJ_BYTE_LEVEL: return byte_level(w, k, piece, err);
    case NX_TJ_METASPACE: return metaspace(w, k, piece, err);
    case NX_TJ_WORDS: return words(w, k, &piece, err);
    case NX_TJ_FIXED_LENGTH: return fixed_length(w, k, &piece, err);
    case NX_TJ_SCRIPTS: return scripts(w, k, &piece, err);
    }
    return NX_OK;
}

nx_status nx_tj_pre_tokenize(nx_tj_pre_work *w, nx_tj_piece piece, nx_error *err)
{
    return piece.len ? stage(w, 0, piece, err) : NX_OK;
}

void nx_tj_pre_work_init(nx_tj_pre_work *w, const nx_tj_pre *pres, int n, bool raw_bytes,
                         nx_tj_matcher *matcher)
{
    *w = (nx_tj_pre_work){.pres = pres, .n = n, .raw_bytes = raw_bytes, .matcher = matcher};
    for (int i = 0; i < NX_TJ_STAGES_MAX; i++) w->buf[i].max = w->spelled[i].max = TEXT_MAX;
    nx_bytemap_init(&w->map);
}

void nx_tj_pre_work_free(nx_tj_pre_work *w)
{
    for (int i = 0; i < NX_TJ_STAGES_MAX; i++) {
        nx_buf_free(&w->buf[i]);
        nx_buf_free(&w->spelled[i]);
        nx_free(w->ranges[i].list);
    }
}
