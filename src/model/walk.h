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

/* Receives the logits [n_vocab] of row t of the step; borrowed for the call. */
typedef void (*nx_logits_fn)(void *ctx, int32_t t, const float *logits);

/* Compute ids[0..T) at positions pos0 .. pos0+T-1, 1 <= T <= n_batch, pos0 + T <= n_pos, ids in
 * range (asserted). Their keys and values are stored in kv; logits of the last n_logits rows
 * (0..T) go to on_logits, in order. */
void nx_walk_step(nx_walk *w, nx_kv *kv, const int32_t *ids, int32_t T, int32_t pos0,
                  int32_t n_logits, nx_logits_fn on_logits, void *ctx);

#endif
