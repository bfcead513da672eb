/* seq.h - one answer under way: its tokens, the pages that hold their keys, what it says.
 *
 * Owns:      a reference to its job, sampler, speech, page table. Pages are lent by the book.
 * Thread:    the engine's.
 * Invariant: pages [0, n_nodes) are nodes of the tree, held; [n_nodes, n_pages) are in our hands alone.
 *            Keys and values of tokens [0, n_done) are stored in them.
 */
#ifndef NX_ENGINE_SEQ_H
#define NX_ENGINE_SEQ_H

#include "engine/llm.h"
#include "engine/lookup.h"
#include "engine/pages.h"
#include "engine/queue.h"
#include "engine/speech.h"

/* What the sequences of one engine share; borrowed. */
typedef struct nx_seq_home {
    const nx_llm    *llm;
    nx_pages        *book;
    nx_sampler_desk *desk;
    int32_t          n_ctx, page_len;
} nx_seq_home;

typedef struct nx_seq {
    nx_queue_item      item; /* first: the queue's */
    const nx_seq_home *home;
    nx_job            *job;
    nx_ids             ids; /* prompt and answer */
    int32_t            n_prompt, n_new, n_predict;
    int32_t            n_done;   /* tokens whose keys are stored */
    int32_t            n_cached; /* of the prompt, found in the tree */
    nx_page           *pages;    /* [n_pages] */
    int32_t            n_pages, n_nodes, pages_cap;
    int32_t            epoch; /* of the stored keys (model/rope.h) */
    bool               began;
    nx_sampler        *sampler;
    nx_speech          speech;
    nx_lookup          lookup;
    int32_t            draft[NX_DRAFT_MAX + 1]; /* the next row, and guesses behind it */
    /* Steps whose text isn't shown yet, where log-probabilities are wanted. */
    struct nx_seq_step *steps; /* [n_steps] */
    nx_logprob         *top;   /* [n_steps, n_top] */
    size_t              n_steps, steps_cap;
    /* Of the step at work. */
    uint64_t  in_step, looked_at; /* the last step it was part of, or considered for */
    int32_t   row0, n_rows, n_logits, n_draft, n_right;
    nx_finish finish;
    bool      finished;
    nx_error  error;
} nx_seq;

/* The job's limits are clamped to what is left of the context. NX_EINVAL, NX_ENOMEM. */
nx_status nx_seq_create(nx_seq **out, const nx_seq_home *home, nx_job *job, nx_error *err);
void      nx_seq_destroy(nx_seq *s); /* lets go of its pages */

/* Hold the pages of the tree that begin as we do, from n_done on. All but the last token at most: that
 * one's logits are wanted. Call it at a page's beginning. */
void nx_seq_adopt(nx_seq *s);

/* Have pages for n more tokens. false: there is none left. */
bool nx_seq_make_room(nx_seq *s, int32_t n);

/* n more tokens are stored: publish the pages that are full. */
void nx_seq_stored(nx_seq *s, int32_t n);

/* Let go of all pages: the sequence is to be computed anew. */
void nx_seq_drop_pages(nx_seq *s);

/* Keys of an earlier epoch are of no use for a text of n tokens: drop them. */
void nx_seq_enter_epoch(nx_seq *s, int32_t n);

/* Logits of its last token: choose the next, say it. Sets finished with finish, or error.
 * Returns the id; -1: an end, or an error. */
int32_t nx_seq_choose(nx_seq *s, const float *logits);

/* Hand the rest to the job and end it. */
void nx_seq_finish(nx_seq *s, nx_finish finish);

static inline int32_t nx_seq_lag(const nx_seq *s) /* tokens that aren't stored yet */
{
    return (int32_t)s->ids.n - s->n_done;
}

/* Is the page that s needs next (it stands at its beginning) the one that b is computing? */
bool nx_seq_waits_for(const nx_seq *s, const nx_seq *b);

#endif
