/* citations.c - "[1]" in an answer becomes a place in a document.
 *
 * Idea:   marks are found first, then each is settled: what stands in quotes before it is looked for word for
 *         word, else the sentence of the passage that has most of the statement's words is its place. A number is
 *         moved to another passage only where the words say so beyond doubt: a quote that only that one holds, or
 *         nearly all words where the cited one has hardly any. Then the answer is written anew, "[1, 2]" as
 *         "[1][2]". An answer without any mark gets them where a sentence is taken from a passage.
 * Not marks: what stands in code, and what a passage holds literally ("argv[1]").
 * Bounds: CITATIONS_MAX marks, QUOTE_MAX bytes of a quote; the rest is left as it is.
 * Thread: any.
 */
#include <string.h>

#include "base/alloc.h"
#include "rag/answer.h"
#include "rag/chunk.h"
#include "rag/passage_find.h"
#include "rag/wordset.h"

enum {
    CITATIONS_MAX = 256,
    GROUP_MAX = 32, /* numbers in one bracket */
    NUMBER_MAX = 9999,
    QUOTE_MIN = 6, /* bytes; shorter ones are names, not quotes */
    QUOTE_MAX = 600,
};
#define ANSWER_MAX ((size_t)1 << 20)

/* A bracket of the answer, and what becomes of it. */
typedef struct mark {
    size_t  at, end;
    int32_t numbers[GROUP_MAX];
    size_t  n;
} mark;

typedef struct reader {
    nx_citations     *out;
    const nx_passage *passages;
    size_t            n;
    nx_str            answer; /* as it came */
    nx_buf            text;   /* as it will be */
    nx_words         *words;
    nx_error         *err;
} reader;

void nx_citations_free(nx_citations *c)
{
    nx_free(c->list);
    *c = (nx_citations){0};
}

static nx_status add_citation(nx_citations *c, nx_citation one, nx_error *err)
{
    if (c->n == c->cap) {
        size_t       cap = c->cap ? c->cap * 2 : 8;
        nx_citation *list = nx_realloc(c->list, cap, sizeof *list);
        if (!list) return nx_fail(err, NX_ENOMEM, "no memory for %zu citations", cap);
        c->list = list;
        c->cap = cap;
    }
    c->list[c->n++] = one;
    return NX_OK;
}

/* ---- Marks ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Words that models put before a number, at s[at..): their length, 0: none. */
static size_t label(nx_str s, size_t at)
{
    static const char *const labels[] = {"passage ",  "document ",  "source ", "doc ",
                                         "passages ", "documents ", "sources "};

    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        size_t n = strlen(labels[i]), k = 0;
        while (k < n && at + k < s.len && (s.p[at + k] | 32) == labels[i][k]) k++;
        if (k == n) return n;
    }
    return 0;
}

/* "[1]", "[1, 2]", "[1-3]", "[Passage 1]" at s[at..). */
static bool read_mark(nx_str s, size_t at, mark *out)
{
    size_t i = at + 1;
    bool   range = false;

    *out = (mark){.at = at};
    while (i < s.len) {
        int32_t v = 0;
        i += label(s, i);
        if (i >= s.len || !is_digit(s.p[i])) return false;
        for (; i < s.len && is_digit(s.p[i]); i++)
            if ((v = v * 10 + (s.p[i] - '0')) > NUMBER_MAX) return false;
        if (out->n == GROUP_MAX) return false;
        if (range)
            for (int32_t k = out->numbers[out->n - 1] + 1; k < v && out->n < GROUP_MAX - 1; k++) {
                out->numbers[out->n] = k;
                out->n++;
            }
        out->numbers[out->n++] = v;
        while (i < s.len && s.p[i] == ' ') i++;
        if (i < s.len && s.p[i] == ']') {
            out->end = i + 1;
            return true;
        }
        if (i >= s.len || (s.p[i] != ',' && s.p[i] != ';' && s.p[i] != '-')) return false;
        range = s.p[i++] == '-';
        while (i < s.len && s.p[i] == ' ') i++;
    }
    return false;
}

/* The end of code that begins at s[at..) with one or three backticks; at itself: none. */
static size_t code_end(nx_str s, size_t at)
{
    size_t ticks = s.len - at >= 3 && memcmp(s.p + at, "```", 3) == 0 ? 3 : 1;

    for (size_t i = at + ticks; i + ticks <= s.len; i++) {
        if (ticks == 1 && s.p[i] == '\n') return at + 1;
        if (s.p[i] == '`' && memcmp(s.p + i, "```", ticks) == 0) return i + ticks;
    }
    return ticks == 3 ? s.len : at + 1;
}

/* The run of bytes without a blank that ends with the mark: "argv[1]". */
static bool is_literal(const reader *r, const mark *m)
{
    size_t from = m->at;

    while (from > 0 && m->at - from < 100 && (unsigned char)r->answer.p[from - 1] > ' ' &&
           r->answer.p[from - 1] != ']')
        from--;
    nx_str run = {r->answer.p + from, m->end - from};
    bool   zero = m->n == 1 && (m->numbers[0] == 0 || (size_t)m->numbers[0] > r->n);
    if (from == m->at && !zero) return false;
    for (size_t i = 0; i < r->n; i++)
        if (nx_passage_holds(r->passages[i].chunk.text, run)) return true;
    return false;
}

/* ---- What a mark is said of ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Does a sentence end at s[i] (a mark and a blank behind, or a line's end)? */
static bool is_stop(nx_str s, size_t i)
{
    if (s.p[i] == '\n') return true;
    return (s.p[i] == '.' || s.p[i] == '!' || s.p[i] == '?') && i + 1 < s.len &&
           is_space(s.p[i + 1]);
}

/* The statement that ends before `at`: its own sentence, or the one before when nothing else stands between. Marks
 * in a row share one. */
static nx_str statement(nx_str s, size_t at)
{
    size_t end = at, from;

    for (;;) {
        while (end && is_space(s.p[end - 1])) end--;
        size_t open = end;
        if (end == 0 || s.p[end - 1] != ']') break;
        while (open && s.p[open - 1] != '[' && end - open < 60) open--;
        mark m;
        if (open == 0 || s.p[open - 1] != '[' || !read_mark(s, open - 1, &m) || m.end != end) break;
        end = open - 1;
    }
    from = end;
    if (from && (s.p[from - 1] == '.' || s.p[from - 1] == '!' || s.p[from - 1] == '?')) from--;
    while (from && !is_stop(s, from - 1)) from--;
    while (from < end && is_space(s.p[from])) from++;
    return (nx_str){s.p + from, end - from};
}

/* The next run in quotes of s from *at on; false: no more. */
static bool next_quote(nx_str s, size_t *at, nx_str *out)
{
    static const char *const open[] = {"\"", "\xE2\x80\x9C", "\xE2\x80\x9E", "\xC2\xAB"};
    static const char *const shut[] = {"\"", "\xE2\x80\x9D", "\xE2\x80\x9C", "\xC2\xBB"};

    for (size_t i = *at; i < s.len; i++)
        for (size_t k = 0; k < 4; k++) {
            size_t n = strlen(open[k]), m = strlen(shut[k]);
            if (s.len - i < n || memcmp(s.p + i, open[k], n) != 0) continue;
            for (size_t j = i + n; j + m <= s.len; j++) {
                if (memcmp(s.p + j, shut[k], m) != 0) continue;
                *out = (nx_str){s.p + i + n, j - i - n};
                *at = j + m;
                return true;
            }
        }
    return false;
}

/* ---- Settling ---- */

static void place(nx_citation *c, const nx_passage *p, size_t begin, size_t end)
{
    const nx_chunk_view *v = &p->chunk;
    bool exact = v->end_pos >= v->start_pos && v->end_pos - v->start_pos == v->text.len;

    c->start_pos = exact ? v->start_pos + begin : v->start_pos;
    c->end_pos = exact ? v->start_pos + end : v->end_pos;
}

/* A quote of the statement, in the cited passage or, if that one lacks it, in another. */
static bool settle_quote(reader *r, nx_citation *c, nx_str said)
{
    nx_str quote;
    size_t at = 0, begin, end;
    bool   found = false;

    while (!found && next_quote(said, &at, &quote)) {
        if (quote.len < QUOTE_MIN || quote.len > QUOTE_MAX) continue;
        for (size_t k = 0; k <= r->n && !found; k++) { /* the cited one first */
            size_t i = k == 0 ? c->passage : k - 1;
            if (!nx_passage_find(r->passages[i].chunk.text, quote, &begin, &end)) continue;
            found = true;
            c->passage = i;
            c->quoted = true;
            place(c, &r->passages[i], begin, end);
        }
        r->out->n_misquoted += !found;
    }
    return found;
}

static nx_status share_of(const reader *r, const nx_wordset *said, size_t i, float *share)
{
    nx_wordset held = {0};
    nx_str     text = nx_passage_scanned(r->passages[i].chunk.text);
    nx_status  st = nx_wordset_read(&held, r->words, text, r->err);

    *share = said->n ? (float)nx_wordset_common(said, &held) / (float)said->n : 0;
    nx_wordset_free(&held);
    return st;
}

/* Another passage, if it has nearly all words and the cited one hardly any. */
static nx_status settle_words(reader *r, nx_citation *c, nx_str said)
{
    nx_wordset words = {0};
    float      share = 0, best = 0;
    size_t     best_at = c->passage, begin, end;
    nx_status  st = nx_wordset_read(&words, r->words, said, r->err);

    if (!st) st = share_of(r, &words, c->passage, &share);
    for (size_t i = 0; i < r->n && !st && words.n >= 3 && share < 0.35f; i++) {
        float other;
        st = share_of(r, &words, i, &other);
        if (other > best) best = other, best_at = i;
    }
    if (best >= 0.75f) c->passage = best_at;
    if (!st)
        st = nx_passage_best_sentence(r->passages[c->passage].chunk.text, r->words, &words, &begin,
                                      &end, r->err);
    if (!st) place(c, &r->passages[c->passage], begin, end);
    nx_wordset_free(&words);
    return st;
}

static nx_status add_number(reader *r, const nx_citation *settled)
{
    nx_citation c = *settled;

    c.number = (int32_t)c.passage + 1;
    c.at = r->text.len;
    nx_status st = nx_buf_addf(&r->text, r->err, "[%d]", c.number);
    c.at_end = r->text.len;
    return st ? st : add_citation(r->out, c, r->err);
}

static nx_status settle(reader *r, const mark *m)
{
    nx_str    said = statement(r->answer, m->at);
    nx_status st = NX_OK;
    size_t    first = r->out->n;

    for (size_t i = 0; i < m->n && !st; i++) {
        nx_citation c = {.passage = (size_t)m->numbers[i] - 1};
        bool        double_one = false;
        if (m->numbers[i] < 1 || (size_t)m->numbers[i] > r->n) {
            r->out->n_unknown++;
            continue;
        }
        if (!settle_quote(r, &c, said)) st = settle_words(r, &c, said);
        for (size_t k = first; k < r->out->n; k++)
            double_one |= r->out->list[k].passage == c.passage;
        if (!st && !double_one) st = add_number(r, &c);
    }
    /* "so it is [9]." becomes "so it is." */
    while (!st && r->out->n == first && r->text.len && r->text.data[r->text.len - 1] == ' ')
        r->text.data[--r->text.len] = '\0';
    return st;
}

/* ---- An answer without marks ---- */

/* The passage that holds a sentence of the answer, word for word; r->n: none. Most of its words aren't enough: a
 * small model that loses the thread does so in words of the passages. */
static nx_status origin(reader *r, nx_str said, nx_citation *c)
{
    nx_wordset words = {0};
    size_t     begin, end;
    nx_status  st = nx_wordset_read(&words, r->words, said, r->err);

    c->passage = r->n;
    while (said.len && strchr(".!?\"'`", said.p[said.len - 1])) said.len--;
    for (size_t i = 0; i < r->n && !st && words.n >= 1; i++) {
        if (said.len > QUOTE_MAX || !nx_passage_find(r->passages[i].chunk.text, said, &begin, &end))
            continue;
        c->passage = i;
        c->quoted = true;
        place(c, &r->passages[i], begin, end);
        break;
    }
    nx_wordset_free(&words);
    return st;
}

static nx_status derive(reader *r)
{
    nx_str    s = r->answer;
    nx_status st = NX_OK;

    r->text.len = 0;
    for (size_t at = 0; at < s.len && !st;) {
        size_t from = nx_sentence_skip(s, at);
        size_t end = from < s.len ? nx_sentence_end(s, from) : s.len;
        st = nx_buf_add(&r->text, s.p + at, end - at, r->err);
        at = end;
        if (st || from >= end || r->out->n >= CITATIONS_MAX) continue;
        nx_citation c = {.derived = true};
        st = origin(r, (nx_str){s.p + from, end - from}, &c);
        if (st || c.passage == r->n) continue;
        st = nx_buf_add(&r->text, " ", 1, r->err);
        if (!st) st = add_number(r, &c);
    }
    return st;
}

/* ---- All of it ---- */

static nx_status read_all(reader *r, bool *any)
{
    nx_str    s = r->answer;
    size_t    from = 0;
    nx_status st = NX_OK;
    mark      m;

    for (size_t i = 0; i < s.len && !st;) {
        if (s.p[i] == '`') {
            i = code_end(s, i);
            continue;
        }
        if (s.p[i] != '[' || r->out->n + GROUP_MAX > CITATIONS_MAX || !read_mark(s, i, &m) ||
            is_literal(r, &m)) {
            i++;
            continue;
        }
        *any = true;
        st = nx_buf_add(&r->text, s.p + from, i - from, r->err);
        if (!st) st = settle(r, &m);
        from = i = m.end;
    }
    return st ? st : nx_buf_add(&r->text, s.p + from, s.len - from, r->err);
}

nx_status nx_citations_read(nx_citations *out, nx_buf *answer, const nx_passage *passages, size_t n,
                            nx_error *err)
{
    reader    r = {.out = out,
                   .passages = passages,
                   .n = n,
                   .err = err,
                   .answer = {answer->data ? answer->data : "", answer->len},
                   .text = {.max = ANSWER_MAX + ANSWER_MAX / 4}};
    bool      any = false;
    nx_status st;

    *out = (nx_citations){0};
    if (answer->len > ANSWER_MAX)
        return nx_fail(err, NX_ELIMIT, "an answer of %zu bytes; at most %zu", answer->len,
                       ANSWER_MAX);
    st = nx_words_create_bm25(&r.words, NX_STR("english"), err);
    if (!st) st = read_all(&r, &any);
    if (!st && !any && n && !nx_answer_declines(r.answer)) st = derive(&r);
    if (!st) {
        size_t max = answer->max;
        nx_buf_free(answer);
        *answer = r.text;
        answer->max = max > r.text.len ? max : r.text.len;
        r.text = (nx_buf){0};
    }
    if (st) nx_citations_free(out);
    nx_buf_free(&r.text);
    nx_words_destroy(r.words);
    return st;
}
