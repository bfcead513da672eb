/* measure_answers.h - how well questions are answered: expected phrases, refusals, citations.
 *
 * Over a set as in measure.h, with two more members: "phrases", of which an answer must hold one, and "kind":
 * "answerable", "near" (about the same things, but no document tells) or "out" (about something else).
 *
 *     nx_answer_measure m = {0};
 *     for (size_t i = 0; i < set.n; i++)
 *         ... said for set.list[i].question ... nx_measure_answer(&m, &set.list[i], &said, &verdict, err);
 *     nx_answer_figures f = nx_answer_measure_figures(&m);
 *
 * A citation is right when its passage holds one of the spans, or the words that stand in the answer.
 * Thread: one at a time.
 */
#ifndef NX_RAG_MEASURE_ANSWERS_H
#define NX_RAG_MEASURE_ANSWERS_H

#include "rag/measure.h"

/* One citation of an answer. */
typedef struct nx_said_citation {
    nx_str source;  /* its document */
    nx_str passage; /* the text of the passage that the number stands for */
    nx_str cited;   /* the part of it that is cited */
    bool   quoted;  /* cited stands in the answer, word for word */
} nx_said_citation;

typedef struct nx_said_answer {
    nx_str                  text;
    const nx_said_citation *citations; /* [n_citations] */
    size_t                  n_citations;
} nx_said_answer;

typedef enum nx_verdict {
    NX_VERDICT_RIGHT,   /* the phrase is there; or nothing is said where nothing is known */
    NX_VERDICT_WRONG,   /* something else is said */
    NX_VERDICT_REFUSED, /* nothing is said, though a document tells */
} nx_verdict;

typedef struct nx_answer_measure {
    size_t n_answerable, n_phrase,
        n_refused; /* questions; the phrase is in the answer; no answer */
    size_t n_near, n_near_declined, n_out, n_out_declined;
    size_t n_citations, n_citations_right; /* of answers to answerable questions */
    size_t n_cited;                        /* answers to them that cite */
} nx_answer_measure;

/* Shares from 0 to 1; -1 where nothing was there to count. */
typedef struct nx_answer_figures {
    double phrase, false_refusals, near, out, citations;
} nx_answer_figures;

/* verdict may be NULL. NX_ENOMEM; NX_EFORMAT: an answerable question without phrases. */
nx_status nx_measure_answer(nx_answer_measure *m, const nx_gold *g, const nx_said_answer *said,
                            nx_verdict *verdict, nx_error *err);

nx_answer_figures nx_answer_measure_figures(const nx_answer_measure *m);

#endif
