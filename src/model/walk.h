/* walk.h - one walk over a transformer: token ids in, logits out.
 *
 * Owns:    the activations of one step (backend memory), planned once.
 * Refuses: text, sampling, schedules.
 * Thread:  one at a time; the backend's workers do the arithmetic.
 */
#ifndef NX_MODEL_WALK_H
#define NX_MODEL_WALK_H

#include "model/kv.h"

typedef struct nx_walk nx_walk;

/* Plan for at most n_batch rows in one step over at most n_pos positions. model and be are
 * borrowed. NX_EUNSUPPORTED names a tensor whose type the backend can't compute; NX_ENOMEM. */
nx_status nx_walk_create(nx_walk **out, const nx_model *model, nx_backend *be, int32_t n_batch,
                         int32_t n_pos, nx_error *err);
void      nx_walk_destroy(nx_walk *w);
uint64_t  nx_walk_bytes(const nx_walk *w); /* activations it holds */

/* The same without a model's weights: bytes of activations that a walk would hold. */
uint64_t nx_walk_bytes_planned(const nx_hparams *hp, int32_t n_batch, int32_t n_pos);

/* Likewise of the backend's scratch. */
uint64_t nx_walk_scratch_planned(const nx_hparams *hp, const nx_backend *be, int32_t n_batch,
                                 int32_t n_pos);

/* Receives the logits [n_vocab] of row t of the step; borrowed for the call. */
typedef void (*nx_logits_fn)(void *ctx, int32_t t, const float *logits);

/* The rows of one step: ids[0..T) at positions pos0 .. pos0+T-1, 1 <= T <= n_batch,
 * pos0 + T <= n_pos, ids in range (asserted). */
typedef struct nx_walk_rows {
    const int32_t *ids;
    int32_t        T, pos0;
    int32_t n_seq;    /* tokens of the text as far as it is known, >= pos0 + T: longrope and dynamic
                      rope scaling look at it (rope.h) */
    int32_t n_logits; /* the last 0..T rows whose logits go to on_logits, in order */
} nx_walk_rows;

/* Compute the rows. Their keys and values are stored in kv. */
void nx_walk_step(nx_walk *w, nx_kv *kv, const nx_walk_rows *step, nx_logits_fn on_logits,
                  void *ctx);

#endif
