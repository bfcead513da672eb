/* arch.h - architectures as data: what model.c needs to fill an nx_model.
 *
 * Idea: a slot says which tensor goes where, with which shape. Binding walks the slots; an
 *       architecture adds or renames slots and never code.
 */
#ifndef NX_MODEL_ARCH_H
#define NX_MODEL_ARCH_H

#include "model/model.h"

/* Sides of a weight, in terms of nx_hparams. */
typedef enum nx_side { NX_SIDE_ONE, NX_SIDE_EMBD, NX_SIDE_FF, NX_SIDE_Q, NX_SIDE_KV } nx_side;

/* One weight of every layer: the tensor "blk.<layer>.<name>". */
typedef struct nx_slot {
    const char *name;   /* "attn_q.weight" */
    size_t      offset; /* in nx_layer: of an nx_tensor, or of a const float * for vectors */
    nx_side     cols;   /* ne[0] */
    nx_side     rows;   /* ne[1]; NX_SIDE_ONE: a vector, kept as f32 */
} nx_slot;

/* An architecture with what only binding needs. nx_model.arch points at its first member. */
typedef struct nx_arch_plan {
    nx_arch            arch;
    const nx_slot     *slots; /* [n_slots] */
    size_t             n_slots;
    const char *const *ignored;      /* tensor names after "blk.N." that carry nothing we need */
    const char *const *refused_keys; /* metadata, without prefix, that must be absent or 0: what
                                           it asks for isn't computed here */
} nx_arch_plan;

extern const nx_arch_plan nx_arch_llama;

/* NULL when unknown. */
const nx_arch_plan *nx_arch_find(nx_str name);

/* Fill hp from the metadata of cp and the shape of the token embedding. */
nx_status nx_hparams_read(nx_hparams *hp, const nx_arch *arch, const nx_checkpoint *cp,
                          nx_error *err);

int64_t nx_side_length(const nx_hparams *hp, nx_side side);

#endif
