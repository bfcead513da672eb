/* extract_answer.c - an answer made of the documents' own sentences, or that they don't tell.
 *
 * Idea:   choices.c weighs sentences. The best is taken, what it leans on before it, then others that are nearly as
 *         good, within three sentences and eighty words. Whether it is an answer at all is judged before, by the
 *         passages (relevance.c) and by the best sentence together.
 * Exact:  each piece is the document's bytes, unchanged; its citation is just that range.
 * Thread: any.
 */
#include <string.h>

#include "base/alloc.h"
#include "rag/answer_in.h"
#include "rag/chunk.h"

/* Another sentence is added when its score is at least this much of the best one's. */
#define NEARLY 0.35f

enum { TEXT_MAX = 64 << 10 };

void nx_extracted_free(nx_extracted *x)
{
    nx_buf_free(&x->text);
    nx_citations_free(&x->citations);
    *x = (nx_extracted){0};
}

/* A piece of a passage that will be quoted. */
typedef struct piece {
    size_t       passage, begin, end;
    nx_unit_kind kind;
} piece;

typedef struct picked {
    piece   list[NX_EXTRACT_SENTENCES_MAX];
    size_t  n;
    int32_t sentences, words;
} picked;

static int32_t sentences_of(nx_str s)
{
    int32_t n = 0;

    for (size_t at = nx_sentence_skip(s, 0); at < s.len; n++) {
        size_t end = nx_sentence_end(s, at);
        at = nx_sentence_skip(s, end > at ? end : s.len);
    }
    return n;
}

static nx_str text_of(const nx_passages *p, size_t passage, size_t begin, size_t end)
{
    nx_str text = p->passages[passage].chunk.text;

    return (nx_str){text.p + begin, end - begin};
}

static bool same_words(nx_str a, nx_str b)
{
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

/* Take a piece if it fits; false: it doesn't. One that is there already fits. */
static bool take(picked *out, const nx_passages *p, piece x)
{
    nx_str  s = text_of(p, x.passage, x.begin, x.end);
    int32_t sentences = sentences_of(s), words = nx_count_words(s);

    for (size_t i = 0; i < out->n; i++) {
        const piece *y = &out->list[i];
        if (same_words(s, text_of(p, y->passage, y->begin, y->end))) return true;
    }
    if (out->n == NX_EXTRACT_SENTENCES_MAX ||
        out->sentences + sentences > NX_EXTRACT_SENTENCES_MAX ||
        out->words + words > NX_EXTRACT_WORDS_MAX)
        return false;
    out->list[out->n++] = x;
    out->sentences += sentences;
    out->words += words;
    return true;
}

static bool is_before(const piece *a, const piece *b)
{
    return a->passage != b->passage ? a->passage < b->passage : a->begin < b->begin;
}

static void pick(picked *out, const nx_choices *c, const nx_passages *p)
{
    *out = (picked){0};
    for (size_t i = 0; i < c->n && out->n < NX_EXTRACT_SENTENCES_MAX; i++) {
        const nx_choice *x = &c->list[i];
        if (i && x->score < NEARLY * c->list[0].score) break;
        if (!take(out, p, (piece){x->passage, x->unit.begin, x->unit.end, x->unit.kind})) continue;
        if (x->before_fits)
            take(out, p, (piece){x->passage, x->before_begin, x->before_end, x->unit.kind});
    }
    /* The best one's passage first, within it as in the document. */
    size_t first = out->n ? out->list[0].passage : 0;
    for (size_t i = 1; i < out->n; i++)
        for (size_t k = i; k > 0; k--) {
            piece a = out->list[k - 1], b = out->list[k];
            bool  a_first = a.passage == first, b_first = b.passage == first;
            if (a_first != b_first ? a_first : is_before(&a, &b)) break;
            out->list[k - 1] = b;
            out->list[k] = a;
        }
}

static nx_status cite(nx_extracted *out, const nx_passages *p, const piece *x, nx_error *err)
{
    const nx_chunk_view *v = &p->passages[x->passage].chunk;
    bool         exact = v->end_pos >= v->start_pos && v->end_pos - v->start_pos == v->text.len;
    nx_citation *c = &out->citations.list[out->citations.n];
    nx_status    st = nx_buf_add(&out->text, " ", 1, err);

    *c = (nx_citation){.number = (int32_t)x->passage + 1, .passage = x->passage, .quoted = true};
    c->start_pos = exact ? v->start_pos + x->begin : v->start_pos;
    c->end_pos = exact ? v->start_pos + x->end : v->end_pos;
    c->at = out->text.len;
    if (!st) st = nx_buf_addf(&out->text, err, "[%d]", c->number);
    c->at_end = out->text.len;
    out->citations.n += !st;
    return st;
}

static nx_status write(nx_extracted *out, const picked *chosen, const nx_passages *p, nx_error *err)
{
    nx_status st = NX_OK;

    out->citations.list = nx_calloc(NX_EXTRACT_SENTENCES_MAX, sizeof *out->citations.list);
    if (!out->citations.list) return nx_fail(err, NX_ENOMEM, "no memory for citations");
    out->citations.cap = NX_EXTRACT_SENTENCES_MAX;
    for (size_t i = 0; i < chosen->n && !st; i++) {
        const piece *x = &chosen->list[i];
        nx_str       s = text_of(p, x->passage, x->begin, x->end);
        if (i) st = nx_buf_add(&out->text, x->kind == NX_UNIT_SENTENCE ? " " : "\n", 1, err);
        if (!st) st = nx_buf_add(&out->text, s.p, s.len, err);
        if (!st) st = cite(out, p, x, err);
    }
    return st;
}

/* How sure: the passages' features and the best sentence's. */
static nx_status judge(float *confidence, const nx_question *q, const nx_question_words *asked,
                       const nx_passages *p, const nx_choice *best, nx_error *err)
{
    float     f[NX_FOUND_FEATURES];
    nx_status st = nx_relevance_features(f, q, asked, p, err);

    if (st) return st;
    f[NX_FOUND_SCORE] = best->score;
    f[NX_FOUND_COSINE] = best->f[NX_UNIT_COSINE] > 0 ? best->f[NX_UNIT_COSINE] : f[NX_REL_COSINE];
    f[NX_FOUND_SHARE] = best->f[NX_UNIT_SHARE];
    f[NX_FOUND_SHARE_LEAD] = best->f[NX_UNIT_SHARE_LEAD];
    f[NX_FOUND_WANT_NOT] = best->f[NX_UNIT_WANT_NOT];
    *confidence = nx_found_weigh(f);
    return NX_OK;
}

nx_status nx_extract_answer(nx_extracted *out, const nx_question *q, const nx_passages *passages,
                            nx_embedder *e, nx_error *err)
{
    nx_question_words asked = {0};
    nx_choices        choices = {0};
    picked            chosen = {0};
    nx_status         st;

    *out = (nx_extracted){.text = {.max = TEXT_MAX}};
    st = nx_question_words_read(&asked, q->text, err);
    if (!st) st = nx_choices_make(&choices, q, &asked, passages, e, err);
    if (!st && choices.n) {
        st = judge(&out->confidence, q, &asked, passages, &choices.list[0], err);
        pick(&chosen, &choices, passages);
    }
    out->found = !st && chosen.n > 0 && out->confidence >= NX_RELEVANT;
    if (out->found) st = write(out, &chosen, passages, err);
    if (!st && !out->found)
        st = nx_buf_add(&out->text, NX_NOT_IN_DOCUMENTS, strlen(NX_NOT_IN_DOCUMENTS), err);
    nx_choices_free(&choices);
    nx_question_words_free(&asked);
    if (st) nx_extracted_free(out);
    return st;
}
