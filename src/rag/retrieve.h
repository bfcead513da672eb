/* retrieve.h - the passages that matter for a question.
 *
 * Idea:   two plans (store/plan.h) on one snapshot, dense neighbours and BM25, each within the caller's filter.
 *         Cosine and BM25 of all that either finds make one score (rag/blend.c). Then near duplicates are folded
 *         into the better one, the best put in the reranker's order where there is one, and neighbours of one
 *         document joined. min_score is the cosine of the dense vectors.
 * Owns:   passages; nx_passages_free.
 * Thread: any.
 */
#ifndef NX_RAG_RETRIEVE_H
#define NX_RAG_RETRIEVE_H

#include "engine/reranker.h"
#include "rag/shelf.h"

enum { NX_TOP_K_MAX = 100 };

typedef enum nx_search_mode { NX_SEARCH_HYBRID, NX_SEARCH_DENSE, NX_SEARCH_WORDS } nx_search_mode;

typedef struct nx_question {
    nx_str             text;
    const float       *vector; /* [dim] of the shelf's model; NULL: words alone */
    nx_search_mode     mode;
    int32_t            top_k;
    bool               has_min_score;
    float              min_score;    /* 0 counts, too */
    const nx_filter   *filter;       /* what the caller may see and wants to; NULL: all */
    nx_reranker       *reranker;     /* NULL: none */
    bool               keep_doubles; /* don't fold */
    bool               no_join;      /* every passage one chunk */
    const atomic_bool *cancel;
} nx_question;

/* One passage: a chunk, or several neighbours of one document, joined. */
typedef struct nx_passage {
    nx_chunk_view chunk; /* of its best chunk; text, positions and pages of all that were joined */
    nx_point_id  *ids;   /* [n_ids] of its chunks, in order */
    int32_t       n_ids;
    float         score;        /* what it is ranked by */
    bool          has_dense;    /* dense: its cosine, known also where only words found it */
    float         dense, words; /* words: BM25; 0: none of the question's words */
    int32_t       rank_dense, rank_words; /* from 1; 0: not among those looked at */
    bool          has_rerank;
    float         rerank;   /* the model's number */
    int32_t       n_folded; /* near duplicates that it stands for ... */
    const nx_str *also;     /* [n_folded] ... and where they stand: sources */
    nx_str        matched;  /* words of the question that it holds, divided by ' ' */
} nx_passage;

typedef struct nx_passages {
    nx_passage *passages; /* [n], best first */
    size_t      n;
    nx_arena    arena;
    /* What became of the search: for people and for --explain. */
    uint64_t n_dense, n_words, n_fused, n_below, n_folded, n_joined; /* n_below: under min_score */
    uint64_t n_unknown; /* of those below: chunks whose vector isn't there yet */
    bool     has_best;
    float    best; /* the best cosine that there was, also below min_score */
    uint64_t seq;  /* of the snapshot */
    double   plan_s, rest_s;
} nx_passages;

void nx_passages_free(nx_passages *p);

/* The passages for a question. top_k is 1 to NX_TOP_K_MAX. A passage of which no vector is there yet has no
 * cosine, and passes no min_score.
 * NX_EINVAL (top_k; a min_score, or the mode dense, without the question's vector; a vector that is no
 * direction), NX_ECANCELLED, NX_ENOMEM, the store's. Nothing found is NX_OK. */
nx_status nx_retrieve(nx_passages *out, nx_shelf *s, nx_snapshot *snap, const nx_question *q,
                      nx_pool *pool, nx_error *err);

/* "hybrid", "dense", "words". */
const char *nx_search_mode_name(nx_search_mode mode);
bool        nx_search_mode_read(nx_search_mode *out, nx_str name);

/* "nothing above 0.70; the best was 0.52": why there is nothing. Nothing is added where there is something. */
nx_status nx_passages_why_none(nx_buf *out, const nx_passages *p, const nx_question *q,
                               nx_error *err);

/* A few lines for people: why passage i was found. */
nx_status nx_passage_explain(nx_buf *out, const nx_passages *p, size_t i, nx_error *err);

/* The question as it stands after a conversation: the words of the last turns that it leans on, put before it; as
 * it is when it stands by itself. turns: earlier messages, oldest first. For when no model rewrites it. */
typedef struct nx_turn {
    bool   user;
    nx_str text;
} nx_turn;
nx_status nx_question_in_context(nx_buf *out, nx_str question, const nx_turn *turns, size_t n,
                                 nx_error *err);

#endif
