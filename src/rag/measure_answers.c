/* measure_answers.c - see measure_answers.h. Texts are compared by letters and digits, whatever the case: lines are
 * broken and marked up differently in a file, an extraction and an answer. */
#include "rag/measure_answers.h"

#include <string.h>

#include "base/alloc.h"
#include "rag/answer.h"

static bool counts(unsigned char c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t bare(char *out, nx_str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (counts((unsigned char)c)) out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    return n;
}

/* Does text hold words? No words: false. */
static nx_status holds(bool *out, nx_str text, nx_str words, nx_error *err)
{
    char *a = nx_alloc(text.len + words.len + 1, 1);

    if (!a) return nx_fail(err, NX_ENOMEM, "no memory to compare %zu bytes", text.len);
    char  *b = a + text.len;
    size_t n = bare(a, text), m = bare(b, words);
    *out = false;
    for (size_t i = 0; m && i + m <= n && !*out; i++) *out = memcmp(a + i, b, m) == 0;
    nx_free(a);
    return NX_OK;
}

/* As measured in plain bytes: "nologin" is in "/usr/sbin/nologin", "8" isn't in "18". */
static bool is_word_edge(nx_str s, size_t i)
{
    return i == 0 || i == s.len || !counts((unsigned char)s.p[i - 1]) ||
           !counts((unsigned char)s.p[i]);
}

static bool same_folded(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char x = a[i] >= 'A' && a[i] <= 'Z'     ? (char)(a[i] + 32)
                 : a[i] == '\n' || a[i] == '\t' ? ' '
                                                : a[i];
        char y = b[i] >= 'A' && b[i] <= 'Z' ? (char)(b[i] + 32) : b[i];
        if (x != y) return false;
    }
    return true;
}

/* A short phrase ("8", "noon") must be a word of its own; a longer one is compared by letters and digits. */
enum { SHORT = 4 };

static nx_status has_phrase(bool *out, nx_str answer, nx_str phrase, nx_error *err)
{
    if (phrase.len >= SHORT) return holds(out, answer, phrase, err);
    *out = false;
    for (size_t i = 0; phrase.len && i + phrase.len <= answer.len && !*out; i++)
        *out = is_word_edge(answer, i) && is_word_edge(answer, i + phrase.len) &&
               same_folded(answer.p + i, phrase.p, phrase.len);
    return NX_OK;
}

/* Without "[1]": a phrase "1" is not a citation. out has room for answer.len. */
static nx_str without_marks(char *out, nx_str answer)
{
    size_t n = 0;

    for (size_t i = 0; i < answer.len; i++) {
        size_t k = i + 1;
        while (answer.p[i] == '[' && k < answer.len && answer.p[k] >= '0' && answer.p[k] <= '9')
            k++;
        if (answer.p[i] == '[' && k > i + 1 && k < answer.len && answer.p[k] == ']')
            i = k;
        else
            out[n++] = answer.p[i];
    }
    return (nx_str){out, n};
}

static nx_status find_phrase(bool *out, const nx_gold *g, nx_str answer, nx_error *err)
{
    const nx_json *phrases = nx_json_get(g->line, "phrases");
    char          *room;
    nx_status      st = NX_OK;

    *out = false;
    if (!phrases || phrases->type != NX_JSON_ARRAY || phrases->array.n == 0)
        return nx_fail(err, NX_EFORMAT, "\"%.*s\" is answerable and has no phrases",
                       (int)(g->question.len < 200 ? g->question.len : 200), g->question.p);
    room = nx_alloc(answer.len + 1, 1);
    if (!room) return nx_fail(err, NX_ENOMEM, "no memory for an answer");
    nx_str bare_answer = without_marks(room, answer);
    for (size_t i = 0; i < phrases->array.n && !st && !*out; i++)
        if (phrases->array.items[i].type == NX_JSON_STRING)
            st = has_phrase(out, bare_answer, phrases->array.items[i].text, err);
    nx_free(room);
    return st;
}

/* ---- Citations ---- */

static nx_status is_right(bool *out, const nx_gold *g, const nx_said_citation *c, nx_str answer,
                          nx_error *err)
{
    nx_status st = NX_OK;

    *out = false;
    for (size_t i = 0; i < g->n_spans && !st && !*out; i++)
        if (nx_source_is(c->source, g->spans[i].source))
            st = holds(out, c->passage, g->spans[i].text, err);
    if (st || *out || !c->quoted) return st;
    /* What is said to be quoted must be: in the passage and in the answer. */
    st = holds(out, c->passage, c->cited, err);
    return st || !*out ? st : holds(out, answer, c->cited, err);
}

static nx_status count_citations(nx_answer_measure *m, const nx_gold *g, const nx_said_answer *said,
                                 nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0; i < said->n_citations && !st; i++) {
        bool right;
        st = is_right(&right, g, &said->citations[i], said->text, err);
        if (st) break;
        m->n_citations++;
        m->n_citations_right += right;
    }
    m->n_cited += said->n_citations > 0;
    return st;
}

/* ---- Answers ---- */

nx_status nx_measure_answer(nx_answer_measure *m, const nx_gold *g, const nx_said_answer *said,
                            nx_verdict *verdict, nx_error *err)
{
    bool       declined = said->text.len == 0 || nx_answer_declines(said->text), right = declined;
    nx_str     kind = NX_STR("");
    nx_verdict unused;
    nx_status  st = NX_OK;

    if (!verdict) verdict = &unused;
    if (g->answerable) {
        st = find_phrase(&right, g, said->text, err);
        if (st) return st;
        m->n_answerable++;
        m->n_phrase += right;
        m->n_refused += declined && !right;
        *verdict = right ? NX_VERDICT_RIGHT : declined ? NX_VERDICT_REFUSED : NX_VERDICT_WRONG;
        return count_citations(m, g, said, err);
    }
    (void)nx_json_get_string(g->line, "kind", &kind);
    bool out = nx_str_eq(kind, NX_STR("out"));
    *(out ? &m->n_out : &m->n_near) += 1;
    *(out ? &m->n_out_declined : &m->n_near_declined) += declined;
    *verdict = declined ? NX_VERDICT_RIGHT : NX_VERDICT_WRONG;
    return NX_OK;
}

static double share(size_t part, size_t all)
{
    return all ? (double)part / (double)all : -1;
}

nx_answer_figures nx_answer_measure_figures(const nx_answer_measure *m)
{
    return (nx_answer_figures){
        .phrase = share(m->n_phrase, m->n_answerable),
        .false_refusals = share(m->n_refused, m->n_answerable),
        .near = share(m->n_near_declined, m->n_near),
        .out = share(m->n_out_declined, m->n_out),
        .citations = share(m->n_citations_right, m->n_citations),
    };
}
