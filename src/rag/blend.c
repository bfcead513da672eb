/* blend.c - one order made of two: by meaning and by words.
 *
 * Idea:   score = 0.65 cosine + 0.35 BM25 / bound, the bound being what a passage would have that held every word
 *         of the question endlessly often. Both shares mean the same for every question, so scores can be compared
 *         between questions; ranks (RRF) throw away by how much the first is better. Both are known for every
 *         candidate, whoever found it (gather.c), so nobody is punished for standing in one list only.
 * Chosen: docs/rag.md has the figures.
 */
#include <stdlib.h>

#include "rag/retrieve_in.h"

static const double meaning_share = 0.65;

static int best_first(const void *pa, const void *pb)
{
    const nx_prospect *a = pa, *b = pb;

    if (a->has_rerank != b->has_rerank) return a->has_rerank ? -1 : 1;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return nx_id_compare(a->id, b->id);
}

void nx_retrieval_rank(nx_prospect *list, size_t n)
{
    if (n > 1) qsort(list, n, sizeof *list, best_first);
}

/* What is assumed of passages that have no vector yet: the mean of the others. */
static double usual_cosine(const nx_retrieval *r)
{
    double sum = 0;
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++) {
        if (!r->list[i].has_dense) continue;
        sum += (double)r->list[i].dense;
        n++;
    }
    return n ? sum / (double)n : 0;
}

void nx_retrieval_blend(nx_retrieval *r)
{
    double usual = usual_cosine(r);

    for (size_t i = 0; i < r->n; i++) {
        nx_prospect *c = &r->list[i];
        double       share = r->words_bound > 0 ? (double)c->words / r->words_bound : 0;
        double       cosine = c->has_dense ? (double)c->dense : usual;
        if (r->q->mode == NX_SEARCH_DENSE)
            c->score = cosine;
        else if (r->q->mode == NX_SEARCH_WORDS || !r->unit)
            c->score = (double)c->words;
        else
            c->score = meaning_share * cosine + (1 - meaning_share) * share;
    }
    nx_retrieval_rank(r->list, r->n);
}
