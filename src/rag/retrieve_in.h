/* retrieve_in.h - what the files of a retrieval share: candidates, from the search to the passages.
 *
 *   gather.c    the two searches, and each candidate read once: its cosine, its BM25, its payload
 *   blend.c     one order made of both
 *   fold.c      near duplicates
 *   join.c      neighbours
 *   retrieve.c  the way through them
 *
 * Memory: everything lives in the retrieval's arena; what passages keep is copied into theirs.
 */
#ifndef NX_RAG_RETRIEVE_IN_H
#define NX_RAG_RETRIEVE_IN_H

#include "rag/retrieve.h"

enum {
    NX_ASKED_WORDS_MAX = 64, /* of a question, told apart in `matched` */
    NX_JOIN_MAX = 4,         /* chunks of one passage */
    NX_LOOKED_AT_MIN = 100,  /* candidates of each search, at least ... */
    NX_LOOKED_AT_EACH = 4,   /* ... and for each passage wanted */
};

/* Words of the question, as the caller wrote them, with the id of their stem (store/words.h). */
typedef struct nx_asked {
    nx_str   words[NX_ASKED_WORDS_MAX];
    uint32_t ids[NX_ASKED_WORDS_MAX];
    size_t   n;
} nx_asked;

typedef struct nx_prospect {
    nx_point_id   id;
    nx_chunk_view view;
    double        score;
    float         dense, words;
    bool          has_dense, gone, has_rerank; /* gone: it is not to be shown */
    int32_t       rank_dense, rank_words;
    float         rerank;
    uint64_t      matched; /* bits of nx_asked */
    const nx_str *also;    /* [n_folded] sources */
    int32_t       n_folded;
} nx_prospect;

/* What is being done for one question. */
typedef struct nx_retrieval {
    nx_passages       *out;
    nx_arena           arena;
    nx_shelf          *shelf;
    nx_snapshot       *snap;
    const nx_question *q;
    nx_pool           *pool;
    const float       *unit; /* [dim] the question's vector at unit length; NULL: none */
    int32_t            dense, words, dim; /* slots */
    double             words_bound;       /* no passage's BM25 is more */
    nx_asked           asked;
    nx_prospect       *list; /* [n] */
    size_t             n;
    nx_error          *err;
} nx_retrieval;

nx_status nx_retrieval_gather(nx_retrieval *r);

/* Scores from cosine, BM25 and ranks; then the best first, ties by id. */
void nx_retrieval_blend(nx_retrieval *r);
void nx_retrieval_rank(nx_prospect *list, size_t n);

/* Among the first candidates those that say nearly the same as a better one are gone, until `enough` are
 * left. */
nx_status nx_retrieval_fold(nx_retrieval *r, size_t enough);

/* Do two texts say nearly the same, with the same numbers? NX_ENOMEM. */
nx_status nx_texts_alike(bool *alike, nx_str a, nx_str b, nx_error *err);

/* Candidates that aren't gone, best first, become at most q->top_k passages. */
nx_status nx_retrieval_join(nx_retrieval *r);

static inline bool nx_retrieval_cancelled(const nx_retrieval *r)
{
    return r->q->cancel && atomic_load(r->q->cancel);
}

#endif
