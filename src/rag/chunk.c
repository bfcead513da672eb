/* chunk.c - chunks, one after the other: guessed, counted, corrected.
 *
 * Idea: nx_gather takes as much as a guess of room allows; the whole candidate, with what stands above it, is
 *       counted. Too much: the guess shrinks by what was counted, until it fits. Far too little, and not for the
 *       sake of a section's end: it grows, twice at most. Mostly one count is enough, so a document is tokenised
 *       about once.
 */
#include "rag/chunk.h"

#include <string.h>

#include "base/alloc.h"
#include "rag/chunk_in.h"

enum {
    SIZE_MIN = 16,
    TOKENS_DEFAULT = 200,
    CHARS_DEFAULT = 512,
    CHARS_OVERLAP_DEFAULT = 50,
    SIZE_MAX_CHARS = 1 << 20,
    GROWN_MAX = 2,
};

#define WORDS_MAX  ((size_t)1 << 30)
#define CHUNKS_MAX ((size_t)16 << 20)

void nx_chunks_free(nx_chunks *c)
{
    nx_free(c->chunks);
    nx_buf_free(&c->words);
    *c = (nx_chunks){0};
}

static nx_str words_at(const nx_chunks *c, size_t at, size_t len)
{
    return len ? (nx_str){c->words.data + at, len} : (nx_str){"", 0};
}

nx_str nx_chunks_title(const nx_chunks *c)
{
    return words_at(c, 0, c->title_len);
}

nx_str nx_chunk_headings(const nx_chunks *c, const nx_chunk *chunk)
{
    return words_at(c, chunk->headings, chunk->headings_len);
}

nx_str nx_chunk_context(const nx_chunks *c, const nx_chunk *chunk)
{
    return words_at(c, chunk->context, chunk->context_len);
}

/* Headings without a first line that is the title. */
static nx_str without_title(nx_str headings, nx_str title)
{
    const char *end = headings.len ? memchr(headings.p, '\n', headings.len) : NULL;
    size_t      n = end ? (size_t)(end - headings.p) : headings.len;

    if (n != title.len || (n && memcmp(headings.p, title.p, n) != 0)) return headings;
    n += end != NULL;
    return (nx_str){headings.p + n, headings.len - n};
}

nx_status nx_chunk_text(nx_buf *out, nx_str title, nx_str headings, nx_str context, nx_str span,
                        nx_error *err)
{
    const nx_str lines[] = {title, without_title(headings, title), context};
    nx_status    st = NX_OK;

    if (!out->max) out->max = SIZE_MAX / 4;
    for (size_t i = 0; !st && i < sizeof lines / sizeof *lines; i++) {
        if (!lines[i].len) continue;
        st = nx_buf_add(out, lines[i].p, lines[i].len, err);
        if (!st) st = nx_buf_add(out, "\n", 1, err);
    }
    return st || !span.len ? st : nx_buf_add(out, span.p, span.len, err);
}

/* ---- Options ---- */

nx_status nx_chunk_options_check(nx_chunk_options *o, nx_error *err)
{
    bool chars = o->unit == NX_CHUNK_CHARS;

    if (o->limit < SIZE_MIN)
        return nx_fail(err, NX_EINVAL, "a model that takes %d tokens: expected %d or more",
                       o->limit, SIZE_MIN);
    if (!o->size) {
        o->size = chars ? CHARS_DEFAULT : o->limit < TOKENS_DEFAULT ? o->limit : TOKENS_DEFAULT;
        if (!o->overlap) o->overlap = chars ? CHARS_OVERLAP_DEFAULT : o->size * 3 / 20;
    }
    int32_t most = chars ? SIZE_MAX_CHARS : o->limit;
    if (o->size < SIZE_MIN || o->size > most)
        return nx_fail(err, NX_EINVAL, "chunks of %d %s: expected %d to %d", o->size,
                       chars ? "characters" : "tokens", SIZE_MIN, most);
    if (o->overlap < 0 || o->overlap >= o->size)
        return nx_fail(err, NX_EINVAL, "an overlap of %d with chunks of %d: expected 0 to %d",
                       o->overlap, o->size, o->size - 1);
    return NX_OK;
}

/* ---- Counting ---- */

nx_status nx_chunker_count(nx_chunker *m, nx_str text, int32_t *n)
{
    return m->counter->count(m->counter->ctx, text, n, m->err);
}

/* Tokens of [begin, end) under m->above. */
static nx_status count_span(nx_chunker *m, uint64_t begin, uint64_t end, int32_t *n)
{
    const nx_above *a = &m->above;
    nx_str          span = {m->doc->text.data + begin, (size_t)(end - begin)};

    nx_buf_clear(&m->text);
    nx_status st = nx_chunk_text(&m->text, nx_chunks_title(m->out),
                                 words_at(m->out, a->headings, a->headings_len),
                                 words_at(m->out, a->context, a->context_len), span, m->err);
    return st ? st : nx_chunker_count(m, (nx_str){m->text.data, m->text.len}, n);
}

/* What a token of this model is in guesses, of a text that is like most: the first guess. It knows nothing of the
 * document, so that no edit of one place moves the chunks of another. */
static nx_status calibrate(nx_chunker *m)
{
    static const char sample[] =
        "The values below are read when the service starts; see section 4.2 for how they are changed while it "
        "runs. A copy of each file is kept in /var/backups for 30 days, unless \"keep = 0\" is set. Who needs "
        "more than that can write to the administrators, but shouldn't expect an immediate answer.\n";
    nx_guess  guess = nx_guess_of(sample, sizeof sample - 1, UINT64_MAX - 64, NULL);
    int32_t   n;
    nx_status st = nx_chunker_count(m, (nx_str){sample, sizeof sample - 1}, &n);

    if (st) return st;
    n = n - m->around > 1 ? n - m->around : 1;
    m->one = guess / (nx_guess)n ? guess / (nx_guess)n : 1;
    return NX_OK;
}

/* ---- Keeping ---- */

static nx_status keep(nx_chunker *m, const nx_chunk *c)
{
    nx_chunks *out = m->out;

    if (out->n == out->cap) {
        size_t    cap = out->cap ? out->cap * 2 : 16;
        nx_chunk *grown;
        if (out->n >= CHUNKS_MAX)
            return nx_fail(m->err, NX_ELIMIT, "the document has more than %zu chunks", CHUNKS_MAX);
        grown = nx_realloc(out->chunks, cap, sizeof *grown);
        if (!grown) return nx_fail(m->err, NX_ENOMEM, "%zu chunks", cap);
        out->chunks = grown;
        out->cap = cap;
    }
    out->chunks[out->n++] = *c;
    return NX_OK;
}

static uint64_t count_chars(const char *p, uint64_t n)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) sum += ((unsigned char)p[i] & 0xC0) != 0x80;
    return sum;
}

/* Characters of both ends, counted on from the chunk before. */
static void set_chars(const nx_chunker *m, nx_chunk *c)
{
    const char     *p = m->doc->text.data;
    const nx_chunk *before = m->out->n ? &m->out->chunks[m->out->n - 1] : NULL;
    uint64_t        from = before ? before->begin : 0;

    c->begin_char = (before ? before->begin_char : 0) + count_chars(p + from, c->begin - from);
    c->end_char = c->begin_char + count_chars(p + c->begin, c->end - c->begin);
}

static void set_pages(const nx_chunker *m, nx_chunk *c, size_t first, size_t last)
{
    for (size_t i = first; i <= last; i++) {
        int32_t page = m->doc->parts[i].page;
        if (!c->page) c->page = page;
        if (page) c->page_end = page;
    }
}

/* ---- One chunk ---- */

typedef struct candidate {
    nx_gathered g;
    nx_above    above; /* what it was counted under */
    int32_t     n;
} candidate;

/* How much guess stands for `most` tokens if g.guess stands for n of them. */
static nx_guess guess_for(const candidate *c, int32_t most)
{
    int32_t span = c->n - c->above.n > 0 ? c->n - c->above.n : 1;
    int32_t room = most - c->above.n > 0 ? most - c->above.n : 1;

    return (nx_guess)((double)c->g.guess * room / span);
}

static nx_status measure(nx_chunker *m, candidate *c, size_t first)
{
    nx_status st = nx_chunker_look_above(m, first, c->g.last_part);

    if (st) return st;
    c->above = m->above;
    return count_span(m, c->g.begin, c->g.end, &c->n);
}

static bool is_one_char(const nx_chunker *m, const candidate *c)
{
    return count_chars(m->doc->text.data + c->g.begin, c->g.end - c->g.begin) == 1;
}

static nx_status fail_char(const nx_chunker *m, uint64_t at, int32_t n)
{
    return nx_fail(m->err, NX_ELIMIT,
                   "the character at byte %llu is %d tokens with the title, and the model takes %d",
                   (unsigned long long)at, n, m->opt.limit);
}

/* A single character that is too long with what stands above it: under the title alone. */
static nx_status measure_bare(nx_chunker *m, candidate *c)
{
    m->above = (nx_above){.n = m->around};
    c->above = m->above;
    nx_status st = count_span(m, c->g.begin, c->g.end, &c->n);
    return st || c->n <= m->opt.limit ? st : fail_char(m, c->g.begin, c->n);
}

/* The room of the first try, for parts that begin with `first`. */
static nx_status first_room(nx_chunker *m, size_t first, nx_guess *room)
{
    nx_status st = nx_chunker_look_above(m, first, first);

    if (st) return st;
    int32_t left = m->opt.size - m->above.n;
    *room = (nx_guess)(left > 1 ? left : 1) * m->one * 9 / 10; /* a miss costs a count: aim low */
    return NX_OK;
}

/* The best chunk that begins at `from`, in *best. */
static nx_status make_one(nx_chunker *m, nx_cursor from, candidate *best)
{
    nx_guess  room, most = (nx_guess)m->opt.size * 2 * NX_CHUNK_GUESS;
    bool      has_best = false;
    int       grown = 0;
    nx_status st;

    nx_chunker_walk(m, from.part);
    st = first_room(m, from.part, &room);
    while (!st) {
        candidate c = {0};
        if (room > most) room = most;
        nx_gather(m, from, room, &c.g);
        st = measure(m, &c, from.part);
        if (st) break;
        if (c.n > m->opt.size) {
            if (has_best) break;
            if (is_one_char(m, &c)) {
                if (c.n > m->opt.limit) st = measure_bare(m, &c);
                *best = c;
                break;
            }
            nx_guess to = guess_for(&c, m->opt.size) * 15 / 16;
            if (to >= c.g.guess) to = c.g.guess - 1;
            room = to < room ? to : room / 2;
            if (room < 1) room = 1;
            continue;
        }
        *best = c;
        has_best = true;
        nx_guess to = guess_for(&c, m->opt.size) * 15 / 16;
        bool     is_short = c.g.full && c.n < m->opt.size - m->opt.size / 5;
        if (!is_short || grown++ == GROWN_MAX || to <= room + room / 16 || room == most) break;
        room = to;
    }
    return st;
}

/* If what follows c to the document's end is too little to stand alone, and fits: take it in. */
static nx_status take_rest(nx_chunker *m, candidate *c, nx_cursor from)
{
    const nx_doc *doc = m->doc;
    nx_guess      tiny = (nx_guess)m->opt.size * m->one / 4, rest;
    int32_t       most = m->opt.size + m->opt.size / 8;
    candidate     whole = {0};

    if (c->g.next.part >= doc->n_parts) return NX_OK;
    if (most > m->opt.limit) most = m->opt.limit;
    uint64_t at = c->g.next.at;
    if (doc->text.len - at > tiny) return NX_OK;
    rest = nx_guess_of(doc->text.data + at, (size_t)(doc->text.len - at), tiny, NULL);
    if (rest > tiny || doc->parts[doc->n_parts - 1].kind == NX_PART_RECORD) return NX_OK;
    whole.g = c->g;
    whole.g.next = (nx_cursor){doc->n_parts, doc->text.len};
    whole.g.last_part = doc->n_parts - 1;
    whole.g.end = doc->parts[doc->n_parts - 1].end;
    while (whole.g.end > at && (unsigned char)doc->text.data[whole.g.end - 1] <= ' ') whole.g.end--;
    nx_status st = measure(m, &whole, from.part);
    if (!st && whole.n <= most) *c = whole;
    return st;
}

static nx_status keep_candidate(nx_chunker *m, const candidate *c, size_t first)
{
    nx_chunk chunk = {.begin = c->g.begin,
                      .end = c->g.end,
                      .n_tokens = c->n,
                      .headings = c->above.headings,
                      .headings_len = c->above.headings_len,
                      .context = c->above.context,
                      .context_len = c->above.context_len};

    set_chars(m, &chunk);
    set_pages(m, &chunk, first, c->g.last_part);
    return keep(m, &chunk);
}

static nx_status cut_by_structure(nx_chunker *m)
{
    nx_cursor at = nx_cursor_skip(m->doc, (nx_cursor){0, 0}), back;
    uint64_t  before = 0; /* the end of the chunk before */
    nx_status st = NX_OK;

    back = at;
    while (!st && at.part < m->doc->n_parts) {
        candidate c = {0};
        st = make_one(m, back, &c);
        if (!st && c.g.end <= before) { /* what is repeated leaves no room for more */
            back = at;
            st = make_one(m, at, &c);
        }
        if (!st) st = take_rest(m, &c, back);
        if (!st) st = keep_candidate(m, &c, back.part);
        if (st) break;
        before = c.g.end;
        at = c.g.next;
        nx_guess most = guess_for(&c, c.above.n + m->opt.overlap);
        back = m->opt.overlap ? nx_overlap(m, &c.g, back.part, most) : at;
    }
    return st;
}

/* ---- Fixed windows of characters ---- */

/* The byte n characters behind at. */
static uint64_t chars_on(const nx_doc *doc, uint64_t at, uint64_t n)
{
    const char *p = doc->text.data;

    while (n > 0 && at < doc->text.len) {
        for (at++; at < doc->text.len && ((unsigned char)p[at] & 0xC0) == 0x80;) at++;
        n--;
    }
    return at;
}

/* A window of at most n characters from begin on that the model takes. */
static nx_status fit_window(nx_chunker *m, nx_chunk *c, uint64_t n)
{
    for (;; n = n * (uint64_t)m->opt.limit / (uint64_t)c->n_tokens * 15 / 16) {
        if (n < 1) n = 1;
        c->end = chars_on(m->doc, c->begin, n);
        nx_status st = count_span(m, c->begin, c->end, &c->n_tokens);
        if (st || c->n_tokens <= m->opt.limit) return st;
        if (n == 1) return fail_char(m, c->begin, c->n_tokens);
    }
}

static nx_status keep_window(nx_chunker *m, nx_chunk *c, size_t *part)
{
    const nx_doc *doc = m->doc;
    size_t        last;

    while (*part < doc->n_parts && doc->parts[*part].end <= c->begin) (*part)++;
    for (last = *part; last + 1 < doc->n_parts && doc->parts[last + 1].begin < c->end;) last++;
    if (*part < doc->n_parts) set_pages(m, c, *part, last);
    set_chars(m, c);
    return keep(m, c);
}

static nx_status cut_by_chars(nx_chunker *m)
{
    const nx_doc *doc = m->doc;
    nx_str        text = {doc->text.data, doc->text.len};
    uint64_t      size = (uint64_t)m->opt.size, overlap = (uint64_t)m->opt.overlap;
    uint64_t      before = 0; /* the end of the window before */
    size_t        part = 0;
    nx_status     st = NX_OK;

    m->above = (nx_above){.n = m->around};
    for (uint64_t at = 0; !st && at < text.len;) {
        nx_chunk c = {.begin = at};
        st = fit_window(m, &c, size);
        if (st) break;
        if (c.end <= before) { /* cut so short that it says nothing new */
            at = before;
            continue;
        }
        /* A window of blanks alone says nothing. */
        if (nx_sentence_skip((nx_str){text.p, (size_t)c.end}, (size_t)at) < c.end)
            st = keep_window(m, &c, &part);
        if (c.end == text.len) break;
        uint64_t n = count_chars(text.p + at, c.end - at);
        before = c.end;
        at = chars_on(doc, at, n > overlap ? n - overlap : 1);
    }
    return st;
}

/* ---- All ---- */

nx_status nx_chunks_make(nx_chunks *out, const nx_doc *doc, const nx_chunk_options *opt,
                         const nx_counter *counter, nx_error *err)
{
    nx_chunker m = {.doc = doc,
                    .counter = counter,
                    .out = out,
                    .err = err,
                    .opt = *opt,
                    .text.max = SIZE_MAX / 4,
                    .table = SIZE_MAX};
    nx_status  st;

    *out = (nx_chunks){.words.max = WORDS_MAX};
    st = nx_chunk_options_check(&m.opt, err);
    if (st || !doc->text.len) return st;
    st = nx_chunker_title(&m);
    if (!st) st = calibrate(&m);
    if (!st) st = m.opt.unit == NX_CHUNK_CHARS ? cut_by_chars(&m) : cut_by_structure(&m);
    if (st) nx_chunks_free(out);
    nx_buf_free(&m.text);
    return st;
}
