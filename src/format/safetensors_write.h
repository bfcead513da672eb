/* safetensors_write.h - writes the weights of a Hugging Face folder: one model.safetensors, or
 * numbered shards with their index, as save_pretrained names them.
 *
 *     nx_safetensors_writer *w;
 *     st = nx_safetensors_writer_open(&w, "out", NX_ST_SHARD_BYTES, &err);
 *     nx_safetensors_add(w, "model.norm.weight", NX_ST_F32, 1, (int64_t[]){64});
 *     st = nx_safetensors_begin(w, &err);
 *     st = nx_safetensors_write(w, norm, sizeof norm, &err);
 *     st = nx_safetensors_commit(w, &err);
 *     nx_safetensors_writer_destroy(w);
 *
 * Idea:   a shard holds a run of tensors in the order of their adding. Within it the wider types
 *         lie first, since readers view the data in place and want them aligned, and the format
 *         allows no gaps; so the place of a tensor is not its turn, and each is written to its
 *         place.
 * Errors: the first one sticks. Calls after it do nothing; begin, write and commit return it.
 * Owns:   NAME.partial of the shard being written until that is complete.
 * Thread: one at a time.
 */
#ifndef NX_FORMAT_SAFETENSORS_WRITE_H
#define NX_FORMAT_SAFETENSORS_WRITE_H

#include "format/safetensors.h"

#define NX_ST_SHARD_BYTES UINT64_C(5000000000)

typedef struct nx_safetensors_writer nx_safetensors_writer;

/* Into `folder`, which exists. shard_bytes_max: no shard's data grow beyond it, unless one tensor
 * alone does. NX_ENOMEM. */
nx_status nx_safetensors_writer_open(nx_safetensors_writer **out, const char *folder,
                                     uint64_t shard_bytes_max, nx_error *err);
/* Shards that were completed before an error remain: the caller wrote into a folder of its own. */
void nx_safetensors_writer_destroy(nx_safetensors_writer *w);

/* The next tensor, before begin. shape: the slowest side first, as PyTorch says it. The name is
 * copied. */
void nx_safetensors_add(nx_safetensors_writer *w, const char *name, nx_st_dtype t, int n_dims,
                        const int64_t *shape);

/* Divide into shards and begin the first. A name twice, or no tensor at all: NX_EINVAL. */
nx_status nx_safetensors_begin(nx_safetensors_writer *w, nx_error *err);
uint64_t nx_safetensors_writer_bytes(const nx_safetensors_writer *w); /* of all data; after begin */

/* The next bytes of data: tensors in the order of their adding, each in as many calls as you like,
 * none across two tensors. An empty tensor needs no call. */
nx_status nx_safetensors_write(nx_safetensors_writer *w, const void *bytes, size_t n,
                               nx_error *err);

/* All data written? Then complete the last shard and write the index. */
nx_status nx_safetensors_commit(nx_safetensors_writer *w, nx_error *err);

#endif
