/* measure.h - how well documents are found: questions whose answers are known, and figures.
 *
 * A set is a file of JSON lines:
 *   {"question": "Who is on call?", "documents": ["handbook/oncall.md"], "kind": "answerable",
 *    "spans": [{"source": "handbook/oncall.md", "text": "Daniel Okafor is"}]}
 * documents: the ends of the sources that are right; spans: words in them that answer. kind "out" and "near" mark
 * questions that the documents don't answer; other members are somebody else's.
 *
 *     nx_question_set set = {0};
 *     nx_question_set_read(&set, "questions.jsonl", err);
 *     nx_measure by_document = {.k = 5};
 *     for (size_t i = 0; i < set.n; i++) {
 *         if (!set.list[i].answerable) continue;
 *         ... found[0..n) for set.list[i].question ...
 *         nx_measure_documents(&by_document, &set.list[i], found, n, err);
 *     }
 *     nx_figures f = nx_measure_figures(&by_document);
 *     nx_question_set_free(&set);
 *
 * Thread: one at a time.
 */
#ifndef NX_RAG_MEASURE_H
#define NX_RAG_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/jsonread.h"

typedef struct nx_gold_span {
    nx_str source, text;
} nx_gold_span;

typedef struct nx_gold {
    nx_str              question, id; /* id: "" where there is none */
    bool                answerable;
    const nx_str       *documents; /* [n_documents] */
    size_t              n_documents;
    const nx_gold_span *spans; /* [n_spans] */
    size_t              n_spans;
    const nx_json      *line; /* all of it */
} nx_gold;

typedef struct nx_question_set {
    nx_gold *list; /* [n] */
    size_t   n, n_answerable, n_spans;
    nx_arena arena;
    nx_buf   text;
} nx_question_set;

/* NX_ENOENT, NX_EIO, NX_ELIMIT (over 1 GiB), NX_ENOMEM; NX_EFORMAT with the line: no JSON, no question, or an
 * answerable one without documents and spans. */
nx_status nx_question_set_read(nx_question_set *out, const char *path, nx_error *err);
void      nx_question_set_free(nx_question_set *s); /* zeroed: does nothing */

/* What was found, best first. */
typedef struct nx_found {
    nx_str source, text;
} nx_found;

/* Is source the document of that name: the same, or its end behind a '/'? */
bool nx_source_is(nx_str source, nx_str name);

/* Sums over questions. k: how many results recall looks at. */
typedef struct nx_measure {
    int32_t k;
    size_t  n;
    double  recall, mrr, ndcg;
} nx_measure;

/* One question. documents: the list of different sources, each at the place of its best passage. spans: the list of
 * passages; one is right when it is of that source and holds the span, letters and digits alone compared.
 * *rank (may be NULL): of the first right one, from 1; 0: none. NX_ENOMEM. */
nx_status nx_measure_documents(nx_measure *m, const nx_gold *g, const nx_found *found, size_t n,
                               size_t *rank, nx_error *err);
nx_status nx_measure_spans(nx_measure *m, const nx_gold *g, const nx_found *found, size_t n,
                           size_t *rank, nx_error *err);

/* Means: recall@k (the share of what is right among the first k), MRR (1 / place of the first right one),
 * nDCG@10 (every right one counts 1). 0 of no question. */
typedef struct nx_figures {
    double recall, mrr, ndcg;
} nx_figures;

nx_figures nx_measure_figures(const nx_measure *m);

#endif
