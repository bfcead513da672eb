/* explain.c - why a passage was found, and why there is none, for people. */
#include <stdio.h>
#include <string.h>

#include "rag/retrieve.h"

static const char *ending(int32_t n)
{
    if (n / 10 % 10 == 1) return "th";
    return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

static nx_status by_meaning(nx_buf *out, const nx_passages *all, const nx_passage *p, nx_error *err)
{
    if (p->rank_dense)
        return nx_buf_addf(out, err, "by meaning: %d%s of %llu looked at, cosine %.3f\n",
                           p->rank_dense, ending(p->rank_dense), (unsigned long long)all->n_dense,
                           (double)p->dense);
    if (p->has_dense)
        return nx_buf_addf(out, err, "by meaning: not among the first %llu, cosine %.3f\n",
                           (unsigned long long)all->n_dense, (double)p->dense);
    return nx_buf_addf(out, err, "by meaning: unknown, its vector isn't there\n");
}

static nx_status by_words(nx_buf *out, const nx_passages *all, const nx_passage *p, nx_error *err)
{
    nx_status st;

    if (p->rank_words)
        st = nx_buf_addf(out, err, "by words: %d%s of %llu looked at, BM25 %.2f", p->rank_words,
                         ending(p->rank_words), (unsigned long long)all->n_words, (double)p->words);
    else if (p->words > 0)
        st = nx_buf_addf(out, err, "by words: not among the first %llu, BM25 %.2f",
                         (unsigned long long)all->n_words, (double)p->words);
    else
        return nx_buf_addf(out, err, "by words: none of the question's\n");
    if (!st && p->matched.len) {
        st = nx_buf_add(out, ": ", 2, err);
        if (!st) st = nx_buf_add(out, p->matched.p, p->matched.len, err);
    }
    return st ? st : nx_buf_add(out, "\n", 1, err);
}

static nx_status together(nx_buf *out, const nx_passage *p, nx_error *err)
{
    nx_status st = NX_OK;

    if (p->has_rerank)
        st = nx_buf_addf(out, err, "the reranker gives it %.3f: %.4f\n", (double)p->rerank,
                         (double)p->score);
    else
        st = nx_buf_addf(out, err, "together: %.4f\n", (double)p->score);
    if (!st && p->n_ids > 1) st = nx_buf_addf(out, err, "joined of %d neighbours\n", p->n_ids);
    if (!st && p->n_folded)
        st = nx_buf_addf(out, err, "stands for %d more that say nearly the same:", p->n_folded);
    for (int32_t i = 0; !st && i < p->n_folded; i++) {
        st = nx_buf_add(out, i ? ", " : " ", i ? 2 : 1, err);
        if (!st) st = nx_buf_add(out, p->also[i].p, p->also[i].len, err);
    }
    return st || !p->n_folded ? st : nx_buf_add(out, "\n", 1, err);
}

nx_status nx_passage_explain(nx_buf *out, const nx_passages *all, size_t i, nx_error *err)
{
    const nx_passage *p = &all->passages[i];
    nx_status         st = by_meaning(out, all, p, err);

    if (!st) st = by_words(out, all, p, err);
    return st ? st : together(out, p, err);
}

/* Two, or as many as it takes to tell them apart. */
static int digits_between(double a, double b)
{
    char one[32], other[32];

    for (int digits = 2; digits < 6; digits++) {
        snprintf(one, sizeof one, "%.*f", digits, a);
        snprintf(other, sizeof other, "%.*f", digits, b);
        if (strcmp(one, other) != 0) return digits;
    }
    return 6;
}

nx_status nx_passages_why_none(nx_buf *out, const nx_passages *p, const nx_question *q,
                               nx_error *err)
{
    if (p->n) return NX_OK;
    if (!q->has_min_score || p->n_below == 0)
        return nx_buf_addf(out, err, "nothing was found%s",
                           q->filter ? " among what may be looked at" : "");
    int       digits = p->has_best ? digits_between((double)p->best, (double)q->min_score) : 2;
    nx_status st = nx_buf_addf(out, err, "nothing above %.*f", digits, (double)q->min_score);
    if (!st && p->has_best)
        st = nx_buf_addf(out, err, "; the best was %.*f", digits, (double)p->best);
    if (!st && p->n_unknown)
        st = nx_buf_addf(out, err, "; %llu found by words have no vector yet",
                         (unsigned long long)p->n_unknown);
    return st;
}
