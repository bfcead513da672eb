/* choices.c - which sentences of the passages could be the answer.
 *
 * Idea:   words first: they cost nothing, and leave a dozen. Those are embedded in one batch, each behind what it
 *         stands under, so that a row "audit log | 2 years" is known to be about retention. The embedder's cache
 *         has those that were asked about before.
 * Bounds: EMBEDDED_MAX texts of EMBEDDED_BYTES_MAX: the time of an answer.
 * Thread: any.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "rag/answer_in.h"

enum {
    EMBEDDED_MAX = 12,
    EMBEDDED_BYTES_MAX = 320, /* of a text, what it stands under included */
    LEAD_BYTES_MAX = 120,
    CHOICES_MAX = 4000,
};

void nx_choices_free(nx_choices *c)
{
    nx_free(c->list);
    *c = (nx_choices){0};
}

typedef struct chooser {
    nx_choices              *out;
    const nx_question       *q;
    const nx_question_words *asked;
    const nx_passages       *passages;
    nx_wordset               own, lead;
    nx_error                *err;
} chooser;

static nx_str slice(nx_str s, size_t begin, size_t end)
{
    return (nx_str){s.p + begin, end - begin};
}

static float names_found(const nx_question_words *asked, const nx_wordset *s)
{
    float n = 0, found = 0;

    for (size_t i = 0; i < asked->n; i++) {
        n += asked->words[i].name;
        found += asked->words[i].name && nx_wordset_has(s, asked->words[i].id);
    }
    return n > 0 ? found / n : 1;
}

/* What of its words the question hasn't said: an answer tells something. */
static float news(const nx_question_words *asked, const nx_wordset *own)
{
    size_t known = 0;

    for (size_t i = 0; i < asked->n; i++) known += nx_wordset_has(own, asked->words[i].id);
    return own->n ? (float)(own->n - known) / (float)own->n : 0;
}

/* Title, headings, table head, the line above, the sentence before: into c->lead. */
static nx_status read_lead(chooser *c, const nx_choice *x)
{
    const nx_chunk_view *v = &c->passages->passages[x->passage].chunk;
    const nx_str         parts[] = {v->title, v->headings, v->context,
                                    slice(v->text, x->unit.lead_begin, x->unit.lead_end),
                                    slice(v->text, x->before_begin, x->before_end)};
    nx_status            st = NX_OK;

    c->lead.n = 0;
    for (size_t i = 0; i < 5 && !st; i++)
        if (parts[i].len) st = nx_wordset_read(&c->lead, c->asked->cutter, parts[i], c->err);
    return st;
}

/* The share of the question's weight in either set. */
static float share_both(const chooser *c)
{
    float found = 0;

    for (size_t i = 0; i < c->asked->n; i++) {
        uint32_t id = c->asked->words[i].id;
        if (nx_wordset_has(&c->own, id) || nx_wordset_has(&c->lead, id))
            found += c->asked->words[i].weight;
    }
    return c->asked->weight > 0 ? found / c->asked->weight : 0;
}

/* All but the cosine. */
static nx_status see(chooser *c, nx_choice *x)
{
    const nx_passage *p = &c->passages->passages[x->passage];
    nx_str            text = slice(p->chunk.text, x->unit.begin, x->unit.end);
    nx_status         st;

    c->own.n = 0;
    st = nx_wordset_read(&c->own, c->asked->cutter, text, c->err);
    if (!st) st = read_lead(c, x);
    if (st) return st;
    bool met = nx_want_met(c->asked->want, text);
    x->f[NX_UNIT_SHARE] = nx_share_found(c->asked, &c->own);
    x->f[NX_UNIT_SHARE_LEAD] = share_both(c);
    x->f[NX_UNIT_WANT] = met;
    x->f[NX_UNIT_WANT_NOT] = c->asked->want != NX_WANT_ANY && !met;
    x->f[NX_UNIT_RANK] = 1.0f / (float)(x->passage + 1);
    x->f[NX_UNIT_PASSAGE] = p->has_dense ? p->dense : 0;
    x->f[NX_UNIT_LINE] = x->unit.kind == NX_UNIT_ROW || x->unit.kind == NX_UNIT_CODE;
    x->f[NX_UNIT_SHORT] = x->unit.n_words < 4;
    x->f[NX_UNIT_LENGTH] = (float)x->unit.n_words / (float)(x->unit.n_words + 15);
    float own = names_found(c->asked, &c->own), lead = names_found(c->asked, &c->lead);
    x->f[NX_UNIT_NAMES] = own > lead ? own : lead;
    x->f[NX_UNIT_NEW] = news(c->asked, &c->own);
    return NX_OK;
}

static nx_status push(nx_choices *c, const nx_choice *x, nx_error *err)
{
    if (c->n == c->cap) {
        size_t     cap = c->cap ? c->cap * 2 : 64;
        nx_choice *list = nx_realloc(c->list, cap, sizeof *list);
        if (!list) return nx_fail(err, NX_ENOMEM, "no memory for %zu sentences", cap);
        c->list = list;
        c->cap = cap;
    }
    c->list[c->n++] = *x;
    return NX_OK;
}

static nx_status add_passage(chooser *c, size_t i)
{
    nx_units  units;
    nx_status st = nx_units_read(&units, c->passages->passages[i].chunk.text, c->err);

    for (size_t k = 0; k < units.n && c->out->n < CHOICES_MAX && !st; k++) {
        nx_choice x = {.passage = i, .unit = units.list[k]};
        if (x.unit.leans && k > 0 && units.list[k - 1].kind == x.unit.kind) {
            x.before_fits = true;
            x.before_begin = units.list[k - 1].begin;
            x.before_end = units.list[k - 1].end;
        }
        st = see(c, &x);
        if (!st) st = push(c->out, &x, c->err);
    }
    nx_units_free(&units);
    return st;
}

static int by_score(const void *a, const void *b)
{
    const nx_choice *x = a, *y = b;

    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    if (x->passage != y->passage) return x->passage > y->passage ? 1 : -1;
    return (x->unit.begin > y->unit.begin) - (x->unit.begin < y->unit.begin);
}

static void weigh_all(nx_choices *c)
{
    for (size_t i = 0; i < c->n; i++) c->list[i].score = nx_unit_weigh(c->list[i].f);
    if (c->n) qsort(c->list, c->n, sizeof *c->list, by_score);
}

/* ---- Cosines ---- */

static nx_status add_cut(nx_buf *out, nx_str s, size_t max, nx_error *err)
{
    size_t n = s.len < max ? s.len : max;

    n -= nx_utf8_partial_tail(s.p, n);
    return nx_buf_add(out, s.p, n, err);
}

/* The last heading alone: "Backups", not the whole path. */
static nx_str last_heading(nx_str headings)
{
    for (size_t i = headings.len; i > 0; i--)
        if (headings.p[i - 1] == '\n') return slice(headings, i, headings.len);
    return headings;
}

static nx_status write_text(nx_buf *out, const nx_passages *p, const nx_choice *x, nx_error *err)
{
    const nx_chunk_view *v = &p->passages[x->passage].chunk;
    nx_str               lead = slice(v->text, x->unit.lead_begin, x->unit.lead_end),
           unit = slice(v->text, x->unit.begin, x->unit.end);
    nx_status st = NX_OK;

    if (x->before_fits) lead = slice(v->text, x->before_begin, x->before_end);
    if (lead.len == 0) lead = last_heading(v->headings);
    if (lead.len == 0) lead = v->title;
    st = add_cut(out, lead, LEAD_BYTES_MAX, err);
    if (!st && out->len) st = nx_buf_add(out, "\n", 1, err);
    return st ? st : add_cut(out, unit, EMBEDDED_BYTES_MAX - LEAD_BYTES_MAX, err);
}

static float dot(const float *a, const float *b, int32_t n)
{
    float sum = 0;

    for (int32_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static nx_status embed(chooser *c, nx_embedder *e)
{
    int32_t          n = c->out->n < EMBEDDED_MAX ? (int32_t)c->out->n : EMBEDDED_MAX;
    int32_t          dims = nx_embedder_dims(e);
    nx_buf           texts[EMBEDDED_MAX];
    nx_embed_text    in[EMBEDDED_MAX];
    nx_embed_options opt;
    nx_embed_report  report;
    float           *vectors = nx_alloc((size_t)EMBEDDED_MAX * (size_t)dims, sizeof *vectors);
    nx_status        st = vectors ? NX_OK : nx_fail(c->err, NX_ENOMEM, "no memory for vectors");

    for (int32_t i = 0; i < EMBEDDED_MAX; i++) texts[i] = (nx_buf){.max = EMBEDDED_BYTES_MAX + 8};
    nx_embed_options_default(&opt);
    opt.long_texts = NX_LONG_CUT;
    opt.input_type = NX_INPUT_PASSAGE;
    opt.cancel = c->q->cancel;
    for (int32_t i = 0; i < n && !st; i++) {
        st = write_text(&texts[i], c->passages, &c->out->list[i], c->err);
        in[i] = (nx_embed_text){.text = {texts[i].data, texts[i].len}};
    }
    if (!st && n) st = nx_embedder_run(e, vectors, in, n, &opt, &report, c->err);
    float length = sqrtf(dot(c->q->vector, c->q->vector, dims));
    for (int32_t i = 0; i < n && !st; i++)
        c->out->list[i].f[NX_UNIT_COSINE] =
            length > 0 ? dot(c->q->vector, vectors + (size_t)i * (size_t)dims, dims) / length : 0;
    for (int32_t i = 0; i < EMBEDDED_MAX; i++) nx_buf_free(&texts[i]);
    nx_free(vectors);
    if (!st) c->out->n = (size_t)n; /* the others can't be compared with these */
    return st;
}

nx_status nx_choices_make(nx_choices *out, const nx_question *q, const nx_question_words *asked,
                          const nx_passages *passages, nx_embedder *e, nx_error *err)
{
    chooser   c = {.out = out, .q = q, .asked = asked, .passages = passages, .err = err};
    size_t    n = passages->n < NX_JUDGED_PASSAGES_MAX ? passages->n : NX_JUDGED_PASSAGES_MAX;
    nx_status st = NX_OK;

    *out = (nx_choices){0};
    for (size_t i = 0; i < n && !st; i++) {
        if (q->cancel && atomic_load(q->cancel))
            st = nx_fail(err, NX_ECANCELLED, "cancelled");
        else
            st = add_passage(&c, i);
    }
    weigh_all(out);
    if (!st && e && q->vector && out->n) {
        st = embed(&c, e);
        weigh_all(out);
    }
    nx_wordset_free(&c.own);
    nx_wordset_free(&c.lead);
    if (st) nx_choices_free(out);
    return st;
}
