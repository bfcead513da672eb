/* answer_in.h - what relevance.c and extract_answer.c share: what is seen of a question and its passages, as numbers.
 *
 * Two logistic regressions weigh them. Their coefficients come from tools/eval/calibrate.py (docs/rag.md), which
 * has the numbers from bench/extract.c, so nothing here is computed twice in two languages.
 */
#ifndef NX_RAG_ANSWER_IN_H
#define NX_RAG_ANSWER_IN_H

#include "rag/answer.h"
#include "rag/asked.h"
#include "rag/units.h"

enum { NX_JUDGED_PASSAGES_MAX = 8 }; /* the best so many are looked at */

/* Of the passages. */
typedef enum nx_relevance_feature {
    NX_REL_COSINE,       /* the best */
    NX_REL_COSINE_MEAN,  /* of the three best */
    NX_REL_SHARE,        /* of the question's weight: in one passage, the best */
    NX_REL_SHARE_ALL,    /* in all together */
    NX_REL_MISSING,      /* the weight of the heaviest word that none has; 0: all are there */
    NX_REL_MISSING_RARE, /* the share of rare words that none has */
    NX_REL_MISSING_NAME, /* the share of names and numbers that none has */
    NX_REL_WORDS,        /* BM25 of the best, for each word of the question, squeezed to 0..1 */
    NX_REL_AGREE, /* 1: the best by cosine is among the two best by words, or the other way round */
    NX_REL_LENGTH, /* words of the question, squeezed to 0..1 */
    NX_REL_FEATURES
} nx_relevance_feature;

/* Of a sentence. */
typedef enum nx_unit_feature {
    NX_UNIT_SHARE,      /* of the question's weight: in itself */
    NX_UNIT_SHARE_LEAD, /* with what it stands under */
    NX_UNIT_COSINE,     /* with what it stands under; 0: not known */
    NX_UNIT_WANT,       /* it holds such a thing as is wanted */
    NX_UNIT_WANT_NOT,   /* such a thing is wanted, and it holds none */
    NX_UNIT_RANK,       /* 1 in the first passage, 1/2 in the second, ... */
    NX_UNIT_PASSAGE,    /* the passage's cosine */
    NX_UNIT_LINE,       /* a row or a line of code */
    NX_UNIT_SHORT,      /* fewer than four words */
    NX_UNIT_LENGTH,     /* words, squeezed to 0..1 */
    NX_UNIT_NAMES, /* the share of the question's names in it, with what it stands under; 1: it has none */
    NX_UNIT_NEW, /* the share of its words that are not the question's */
    NX_UNIT_FEATURES
} nx_unit_feature;

/* Of the best sentences, beside those of the passages. */
typedef enum nx_found_feature {
    NX_FOUND_SCORE = NX_REL_FEATURES, /* the best one's score */
    NX_FOUND_COSINE,
    NX_FOUND_SHARE,
    NX_FOUND_SHARE_LEAD,
    NX_FOUND_WANT_NOT, /* such a thing is wanted, and the best holds none */
    NX_FOUND_FEATURES
} nx_found_feature;

nx_status nx_relevance_features(float out[NX_REL_FEATURES], const nx_question *q,
                                const nx_question_words *asked, const nx_passages *passages,
                                nx_error *err);

float nx_relevance_weigh(const float f[NX_REL_FEATURES]);
float nx_unit_weigh(const float f[NX_UNIT_FEATURES]);
float nx_found_weigh(const float f[NX_FOUND_FEATURES]);

/* A sentence that may be quoted, with what is known of it. */
typedef struct nx_choice {
    size_t  passage;
    nx_unit unit;
    float   f[NX_UNIT_FEATURES];
    float   score;
    bool   before_fits; /* the unit before it belongs to it, and is at [before_begin, before_end) */
    size_t before_begin, before_end;
} nx_choice;

typedef struct nx_choices {
    nx_choice *list; /* [n], best first */
    size_t     n, cap;
} nx_choices;

void nx_choices_free(nx_choices *c);

/* Sentences of the passages, weighed. e may be NULL. NX_ENOMEM, NX_ECANCELLED, the embedder's. */
nx_status nx_choices_make(nx_choices *out, const nx_question *q, const nx_question_words *asked,
                          const nx_passages *passages, nx_embedder *e, nx_error *err);

#endif
