/* walk.h - one walk over a transformer: token ids in, logits or hidden states out.
 *
 * Owns:    the activations of one step (backend memory), planned once.
 * Refuses: text, sampling, schedules.
 * Thread:  one at a time; the backend's workers do the arithmetic.
 */
#ifndef NX_MODEL_WALK_H
#define NX_MODEL_WALK_H

#include "model/kv.h"

typedef struct nx_walk nx_walk;

/* The largest step that a walk is planned for. */
typedef struct nx_walk_sizes {
    int32_t n_batch;    /* rows of one step, of all its sequences together; at least 1 */
    int32_t n_pos;      /* positions of the longest sequence; at least 1 */
    int32_t n_seqs_max; /* sequences in one step; 0: one */
    int32_t logit_rows; /* rows of logits computed at once; 0: NX_LOGIT_ROWS_DEFAULT. More than
                         * n_batch are never needed nor taken */
    bool    no_logits;  /* only nx_walk_encode will be called */
} nx_walk_sizes;

/* With a vocabulary of 128 k a row takes half a megabyte. */
#define NX_LOGIT_ROWS_DEFAULT 8

/* model and be are borrowed. NX_EINVAL: sizes that can't be; NX_EUNSUPPORTED names a tensor whose
 * type the backend can't compute; NX_ENOMEM. */
nx_status nx_walk_create(nx_walk **out, const nx_model *model, nx_backend *be,
                         const nx_walk_sizes *sizes, nx_error *err);
void      nx_walk_destroy(nx_walk *w);
uint64_t  nx_walk_bytes(const nx_walk *w); /* activations it holds */

/* The same without a model's weights: bytes of activations that a walk would hold. */
uint64_t nx_walk_bytes_planned(const nx_hparams *hp, const nx_walk_sizes *sizes);

/* Likewise of the backend's scratch. */
uint64_t nx_walk_scratch_planned(const nx_hparams *hp, const nx_backend *be,
                                 const nx_walk_sizes *sizes);

/* Receives the logits [n_vocab] of a row of the step; borrowed for the call. Rows are counted over
 * the whole step, from 0. */
typedef void (*nx_logits_fn)(void *ctx, int32_t row, const float *logits);

/* What a step computes of one sequence: ids[0..T) at positions pos0 .. pos0+T-1. T >= 1,
 * pos0 + T <= n_pos, ids in the vocabulary, pages in the cache (asserted). Everything is borrowed
 * for the call. */
typedef struct nx_walk_seq {
    const int32_t *ids;
    const int32_t *pages; /* position p is kept in page pages[p / page_len], at place p % page_len.
                           * Those below pos0 were stored before, perhaps for another sequence that
                           * begins the same; those from pos0 on are no other sequence's */
    int32_t        T, pos0;
    int32_t n_seq;    /* tokens of the text as far as it is known, >= pos0 + T: longrope and dynamic
                       * rope scaling look at it (rope.h) */
    int32_t n_logits; /* the last 0..T rows whose logits are wanted */
    int32_t second;   /* rows from here on are the second segment of a pair; 0: there is none */
} nx_walk_seq;

/* Compute 1..n_seqs_max sequences side by side, n_batch rows in all at most: the rows of each follow
 * those of the one before. Their keys and values are stored in kv; the wanted logits go to on_logits
 * in ascending order of row. No bit of a sequence depends on what stands beside it, nor on where its
 * pages lie, nor on how its rows are cut into steps (unless a weight is int8: backend.h tells why). */
void nx_walk_step(nx_walk *w, nx_kv *kv, const nx_walk_seq *seqs, int32_t n_seqs,
                  nx_logits_fn on_logits, void *ctx);

/* Receives rows [T, n_embd] of sequence `seq` of the step, behind the model's last norm; borrowed for
 * the call. */
typedef void (*nx_hidden_fn)(void *ctx, int32_t seq, const float *rows, int32_t T);

/* Compute whole sequences side by side: pos0 is 0, pages and n_logits are ignored, and nothing is
 * left behind. Tokens see both ways where the model says so. As many sequences and rows, and as
 * little difference what stands beside one, as in nx_walk_step. */
void nx_walk_encode(nx_walk *w, const nx_walk_seq *seqs, int32_t n_seqs, nx_hidden_fn on_hidden,
                    void *ctx);

#endif
