/* relevance.c - how likely is it that passages answer a question?
 *
 * Idea:   a search always finds something. Whether it is an answer shows in three things together: how near the best
 *         passage lies, how much of what the question weighs stands in it, and above all what is missing: a name, a
 *         number, a rare word that no passage has means that the documents speak of something else.
 * How:    a logistic regression; features and coefficients: answer_in.h, docs/rag.md.
 * Thread: any.
 */
#include <math.h>

#include "rag/answer_in.h"
#include "rag/common_words.h"

static float logistic(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static float squeezed(float x, float half)
{
    return x > 0 ? x / (x + half) : 0;
}

static nx_status add_passage(nx_wordset *s, const nx_question_words *asked, const nx_passage *p,
                             nx_error *err)
{
    const nx_chunk_view *c = &p->chunk;
    const nx_str         parts[] = {c->text, c->title, c->headings, c->context};
    nx_status            st = NX_OK;

    for (size_t i = 0; i < 4 && !st; i++) st = nx_wordset_read(s, asked->cutter, parts[i], err);
    return st;
}

static void see_cosines(float *f, const nx_passages *p, size_t n)
{
    float best[3] = {0};

    for (size_t i = 0; i < n; i++) {
        float c = p->passages[i].has_dense ? p->passages[i].dense : 0;
        for (size_t k = 0; k < 3; k++)
            if (c > best[k]) {
                float lost = best[k];
                best[k] = c;
                c = lost;
            }
    }
    f[NX_REL_COSINE] = best[0];
    f[NX_REL_COSINE_MEAN] = (best[0] + best[1] + best[2]) / 3;
}

static void see_missing(float *f, const nx_question_words *asked, const nx_wordset *all)
{
    float n_rare = 0, n_names = 0, rare = 0, names = 0;

    for (size_t i = 0; i < asked->n; i++) {
        const nx_asked_word *w = &asked->words[i];
        bool missing = !nx_wordset_has(all, w->id), is_rare = nx_word_rarity(w->id) == 3;
        n_rare += is_rare;
        n_names += w->name;
        rare += is_rare && missing;
        names += w->name && missing;
        if (missing && w->weight > f[NX_REL_MISSING]) f[NX_REL_MISSING] = w->weight;
    }
    f[NX_REL_MISSING_RARE] = n_rare > 0 ? rare / n_rare : 0;
    f[NX_REL_MISSING_NAME] = n_names > 0 ? names / n_names : 0;
}

nx_status nx_relevance_features(float f[NX_REL_FEATURES], const nx_question *q,
                                const nx_question_words *asked, const nx_passages *p, nx_error *err)
{
    nx_wordset all = {0}, one = {0};
    size_t     n = p->n < NX_JUDGED_PASSAGES_MAX ? p->n : NX_JUDGED_PASSAGES_MAX;
    float      words = 0;
    nx_status  st = NX_OK;

    for (size_t i = 0; i < NX_REL_FEATURES; i++) f[i] = 0;
    for (size_t i = 0; i < n && !st; i++) {
        const nx_passage *x = &p->passages[i];
        one.n = 0;
        st = add_passage(&one, asked, x, err);
        if (!st) st = add_passage(&all, asked, x, err);
        float share = nx_share_found(asked, &one);
        if (share > f[NX_REL_SHARE]) f[NX_REL_SHARE] = share;
        if (x->words > words) words = x->words;
        if ((x->rank_dense == 1 && x->rank_words > 0 && x->rank_words <= 2) ||
            (x->rank_words == 1 && x->rank_dense > 0 && x->rank_dense <= 2))
            f[NX_REL_AGREE] = 1;
    }
    f[NX_REL_SHARE_ALL] = nx_share_found(asked, &all);
    f[NX_REL_WORDS] = squeezed(asked->n ? words / (float)asked->n : 0, 2);
    f[NX_REL_LENGTH] = squeezed((float)asked->n, 4);
    see_cosines(f, p, n);
    see_missing(f, asked, &all);
    /* Words alone: what a cosine would be on average, by the share that was found. */
    if (!q->vector || f[NX_REL_COSINE] <= 0) {
        f[NX_REL_COSINE] = n ? 0.2f + 0.4f * f[NX_REL_SHARE] : 0;
        f[NX_REL_COSINE_MEAN] = f[NX_REL_COSINE] * 0.85f;
    }
    nx_wordset_free(&all);
    nx_wordset_free(&one);
    return st;
}

/* ---- Coefficients ---- */

static float weigh(const float *f, const float *w, size_t n, float bias)
{
    for (size_t i = 0; i < n; i++) bias += f[i] * w[i];
    return logistic(bias);
}

/* Fitted by tools/eval/calibrate.py; those that aren't named weigh nothing: they didn't help on questions that were
 * kept aside. */
float nx_relevance_weigh(const float f[NX_REL_FEATURES])
{
    static const float w[NX_REL_FEATURES] = {
        [NX_REL_COSINE] = 2.22f,        [NX_REL_COSINE_MEAN] = 2.34f, [NX_REL_SHARE_ALL] = 2.60f,
        [NX_REL_MISSING_NAME] = -0.67f, [NX_REL_AGREE] = 1.09f,
    };

    return weigh(f, w, NX_REL_FEATURES, -3.63f);
}

float nx_unit_weigh(const float f[NX_UNIT_FEATURES])
{
    static const float w[NX_UNIT_FEATURES] = {
        [NX_UNIT_SHARE] = 1.57f,    [NX_UNIT_SHARE_LEAD] = 1.31f, [NX_UNIT_COSINE] = 2.67f,
        [NX_UNIT_WANT] = 0.59f,     [NX_UNIT_WANT_NOT] = -0.14f,  [NX_UNIT_RANK] = 1.96f,
        [NX_UNIT_PASSAGE] = -0.74f, [NX_UNIT_LINE] = 0.23f,       [NX_UNIT_SHORT] = -0.71f,
        [NX_UNIT_LENGTH] = 0.89f,   [NX_UNIT_NAMES] = 0.29f,      [NX_UNIT_NEW] = -1.52f,
    };

    return weigh(f, w, NX_UNIT_FEATURES, -4.99f);
}

float nx_found_weigh(const float f[NX_FOUND_FEATURES])
{
    static const float w[NX_FOUND_FEATURES] = {
        [NX_REL_COSINE] = 2.50f,  [NX_REL_SHARE_ALL] = 1.33f, [NX_REL_MISSING_NAME] = -0.62f,
        [NX_FOUND_SCORE] = 1.64f, [NX_FOUND_COSINE] = 2.36f,  [NX_FOUND_SHARE_LEAD] = 1.71f,
    };

    return weigh(f, w, NX_FOUND_FEATURES, -3.83f);
}

float nx_relevance(const nx_question *q, const nx_passages *passages)
{
    nx_question_words asked;
    float             f[NX_REL_FEATURES], p = 0;

    if (passages->n == 0 || nx_question_words_read(&asked, q->text, NULL)) return 0;
    if (!nx_relevance_features(f, q, &asked, passages, NULL)) p = nx_relevance_weigh(f);
    nx_question_words_free(&asked);
    return p;
}
