/* answer.h - from passages to an answer: a context under a budget, citations checked, or the best sentences
 * themselves.
 *
 * Idea:   passages are numbered, delimited and marked as text that isn't to be obeyed. What a model answers is read
 *         for [1], [2]; each becomes a citation of the passage's span, and what stands in quotes is looked for in
 *         the source. `extract` needs no language model: it answers with sentences of the passages, or says that
 *         the documents don't tell.
 * Thread: any; plain functions over what they are given.
 */
#ifndef NX_RAG_ANSWER_H
#define NX_RAG_ANSWER_H

#include "rag/retrieve.h"

#define NX_NOT_IN_DOCUMENTS "The documents do not say."

/* ---- Context ---- */

/* A question to a language model, as messages. */
typedef struct nx_rag_prompt {
    nx_buf  system, user; /* system: "" when the template has none */
    size_t *in; /* [n_in] which passages are in it, ascending; passage i is number i + 1 */
    size_t  n_in;
    size_t  n_used; /* the first so many were given to the model, but for those too long; 0: none */
    int32_t n_tokens;
} nx_rag_prompt;

void nx_rag_prompt_free(nx_rag_prompt *p);

/* Tokens of the whole prompt, template and all, as the model will read it. */
typedef nx_status (*nx_prompt_count_fn)(void *ctx, nx_str system, nx_str user, int32_t *n,
                                        nx_error *err);

/* The prompt with as many passages as fit into budget tokens, best first, none of them cut; a passage too long is
 * left out and the next tried. template: see docs/rag.md ({passages} or {context}, {question}); empty: the
 * built-in one. Lines of a passage that look like what divides passages are written so that they don't.
 * NX_ELIMIT: not even the question fits (both numbers). NX_EINVAL: the template. NX_ENOMEM, what count returns. */
nx_status nx_rag_prompt_build(nx_rag_prompt *out, nx_str template, nx_str question,
                              const nx_passage *passages, size_t n, int32_t budget,
                              nx_prompt_count_fn count, void *ctx, nx_error *err);

/* The seed's context: "Context Information:", then "[Document i] (relevance: 0.82)" and the text. */
nx_status nx_seed_context(nx_buf *out, const nx_passage *passages, size_t n, nx_error *err);

/* The same with one passage that must be in it: a whole document. NX_ELIMIT: it doesn't fit (both numbers). */
nx_status nx_rag_prompt_whole(nx_rag_prompt *out, nx_str template, nx_str question,
                              const nx_passage *document, int32_t budget, nx_prompt_count_fn count,
                              void *ctx, nx_error *err);

/* A passage that no search found: given by hand, or a whole document. Texts borrowed; positions from 0. */
void nx_passage_given(nx_passage *out, nx_str text, nx_str title, nx_str source);

/* NX_EINVAL says what is wrong with it: a placeholder that is
 * missing, a size over NX_TEMPLATE_MAX, bytes that aren't UTF-8. */
#define NX_TEMPLATE_MAX ((size_t)64 << 10)
nx_status nx_template_check(nx_str template, nx_error *err);

/* The built-in template for a model by its name: nexus-mini has a form of its own, that it was trained on. */
nx_str nx_template_builtin(nx_str model);

/* Does an answer only say that the documents don't tell? Such an answer cites nothing. */
bool nx_answer_declines(nx_str answer);

/* What to ask a model so that it rewrites a question after a conversation to one that stands by itself. */
nx_status nx_rewrite_prompt(nx_buf *system, nx_buf *user, nx_str question, const nx_turn *turns,
                            size_t n, nx_error *err);
/* Its answer, if it can be used: one line, not longer than reason, of words that are known; else "". */
nx_str nx_rewrite_read(nx_str answer, nx_str question);

/* ---- Citations ---- */

typedef struct nx_citation {
    int32_t  number;     /* as it stands in the answer */
    size_t   passage;    /* which one */
    size_t   at, at_end; /* bytes of the answer: "[1]" */
    uint64_t start_pos,
        end_pos; /* bytes of the document's text: the quoted span, the best sentence for the
                                  * statement, or the passage */
    bool quoted; /* the span's words stand in the answer, word for word */
    bool
        derived; /* the answer had no numbers; this one was put behind a sentence that a passage holds */
} nx_citation;

typedef struct nx_citations {
    nx_citation *list; /* [n], in the answer's order */
    size_t       n, cap;
    size_t       n_unknown;   /* numbers of no passage: taken out of the answer */
    size_t       n_misquoted; /* quotes that no passage holds */
} nx_citations;

void nx_citations_free(nx_citations *c);

/* Read them; answer (in and out) loses numbers of passages that there aren't, and "[1, 2]" becomes "[1][2]". A
 * number is corrected where the words leave no doubt that another passage is meant. An answer without any gets
 * them behind sentences that are a passage's own, and nowhere else. A passage that no citation names wasn't used.
 * NX_ELIMIT (an answer over a megabyte), NX_ENOMEM; answer stays as it was. */
nx_status nx_citations_read(nx_citations *out, nx_buf *answer, const nx_passage *passages, size_t n,
                            nx_error *err);

/* ---- extract ---- */

enum { NX_EXTRACT_SENTENCES_MAX = 3, NX_EXTRACT_WORDS_MAX = 80 };

typedef struct nx_extracted {
    bool         found; /* false: text is NX_NOT_IN_DOCUMENTS */
    nx_buf       text;  /* sentences, word for word, each followed by its number: "... [1]" */
    nx_citations citations;
    float        confidence; /* 0 to 1, calibrated: docs/rag.md */
} nx_extracted;

void nx_extracted_free(nx_extracted *x);

/* The best sentences. q->vector and the embedder (may be NULL: words alone) weigh them. NX_ENOMEM, NX_ECANCELLED. */
nx_status nx_extract_answer(nx_extracted *out, const nx_question *q, const nx_passages *passages,
                            nx_embedder *e, nx_error *err);

/* How likely is it that these passages answer the question: 0 to 1; below NX_RELEVANT nobody is asked to answer.
 * From cosine, share of the question's weighty words found, ranks; calibrated in docs/rag.md. */
#define NX_RELEVANT 0.5f
float nx_relevance(const nx_question *q, const nx_passages *passages);

#endif
