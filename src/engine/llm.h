/* llm.h - a loaded language model: checkpoint, vocabulary, weights, and what computes them.
 *
 * Owns:   all four. The backend is handed in (floors above know which there are).
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_LLM_H
#define NX_ENGINE_LLM_H

#include "model/model.h"
#include "token/vocab.h"

typedef struct nx_llm {
    nx_checkpoint *cp;
    nx_vocab      *vocab;
    nx_model      *model;
    nx_backend    *be;
} nx_llm;

/* Open the model at path. Takes be in any case: it is destroyed with the llm, or on error. The
 * vocabulary may be absent from the file (random weights for benchmarks): then vocab is NULL. */
nx_status nx_llm_open(nx_llm **out, const char *path, nx_backend *be, nx_error *err);

/* The same over a checkpoint that is open already; takes cp as well. */
nx_status nx_llm_take(nx_llm **out, nx_checkpoint *cp, nx_backend *be, nx_error *err);
void      nx_llm_close(nx_llm *llm);

/* NX_EUNSUPPORTED: an encoder, which generates nothing. */
nx_status nx_llm_check_generates(const nx_llm *llm, nx_error *err);

#endif
