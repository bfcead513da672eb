/* synthetic.h - models of a real shape with random weights, made in memory: to time what no
 * download is needed for.
 *
 * Idea:   a whole GGUF image is built in anonymous memory and opened by the loader that opens
 *         files, so a synthetic model takes no other way than a real one. Saved, it is a file that
 *         every command runs.
 * Owns:   the image.
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_SYNTHETIC_H
#define NX_ENGINE_SYNTHETIC_H

#include "engine/timeline.h"
#include "os/memory.h"

typedef struct nx_synthetic_shape {
    const char *name;
    const char *about; /* what has this shape */
    int32_t     n_layers, n_embd, n_ff, n_heads, n_heads_kv;
    int32_t     n_vocab; /* at least 260: 256 bytes, a merged pair, filler, bos, eos */
    int32_t     n_ctx;
    bool        head_tied; /* the head is the embedding, in the same type */
} nx_synthetic_shape;

/* All named shapes, ended by one whose name is NULL. */
const nx_synthetic_shape *nx_synthetic_shapes(void);

/* "1b:q8_0" into shape and type. NX_EINVAL names what is wrong, with the words it knows. */
nx_status nx_synthetic_parse(nx_synthetic_shape *shape, nx_dtype *dtype, const char *text,
                             nx_error *err);

typedef struct nx_synthetic {
    nx_memory memory;
    char      name[64]; /* "synthetic 1b q8_0" */
} nx_synthetic;

/* Build the image. The same shape, type and seed give the same bytes on any number of threads.
 * Matrices are dtype, norms ones in f32; the spread of each matrix follows from its sizes so that
 * activations keep their size from layer to layer. progress (may be NULL) counts bytes.
 * Errors: NX_EINVAL (a row that isn't a multiple of dtype's block), NX_ELIMIT (more than the
 * memory that is available: both numbers, before anything is taken), NX_ENOMEM. */
nx_status nx_synthetic_create(nx_synthetic *out, const nx_synthetic_shape *shape, nx_dtype dtype,
                              uint64_t seed, int n_threads, nx_progress_fn progress, void *ctx,
                              nx_error *err);
void      nx_synthetic_destroy(nx_synthetic *s); /* an all-zero struct is fine */

/* Bytes of the image, without making it. NX_EINVAL as above; NX_ENOMEM. */
nx_status nx_synthetic_bytes(uint64_t *out, const nx_synthetic_shape *shape, nx_dtype dtype,
                             nx_error *err);

/* Open the image as a checkpoint, which must be closed before s is destroyed. */
nx_status nx_synthetic_open(nx_checkpoint **out, const nx_synthetic *s, nx_error *err);

/* Write the image to path, whole or not at all. NX_EIO. */
nx_status nx_synthetic_save(const nx_synthetic *s, const char *path, nx_progress_fn progress,
                            void *ctx, nx_error *err);

#endif
