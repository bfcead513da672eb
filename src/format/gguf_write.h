/* gguf_write.h - writes a GGUF file: metadata, tensor directory, then data as they come.
 *
 *     nx_gguf_writer *w;
 *     st = nx_gguf_writer_open(&w, "out.gguf", &err);
 *     nx_gguf_put_string(w, "general.architecture", NX_STR("llama"));
 *     nx_gguf_put_int(w, "llama.block_count", NX_META_U32, 2);
 *     nx_gguf_add_tensor(w, "output_norm.weight", NX_DTYPE_F32, 1, (int64_t[]){64});
 *     st = nx_gguf_begin(w, &err);
 *     st = nx_gguf_write(w, norm, sizeof norm, &err);
 *     st = nx_gguf_commit(w, &err);
 *     nx_gguf_writer_destroy(w);
 *
 * Errors: the first one sticks. Calls after it do nothing; begin, write and commit return it.
 * Owns:   PATH.partial until commit renames it: a run that dies leaves no half file under PATH.
 * Thread: one at a time.
 */
#ifndef NX_FORMAT_GGUF_WRITE_H
#define NX_FORMAT_GGUF_WRITE_H

#include "format/checkpoint.h"

typedef struct nx_gguf_writer nx_gguf_writer;

/* To a file, or appended to `to`, whose ceiling counts. NX_EIO, NX_ENOENT, NX_ENOMEM. */
nx_status nx_gguf_writer_open(nx_gguf_writer **out, const char *path, nx_error *err);
nx_status nx_gguf_writer_open_buf(nx_gguf_writer **out, nx_buf *to, nx_error *err);
void      nx_gguf_writer_destroy(nx_gguf_writer *w); /* without commit nothing remains */

/* Metadata, before begin. Everything is copied. */
void nx_gguf_put_int(nx_gguf_writer *w, const char *key, nx_meta_type type, int64_t x);
void nx_gguf_put_f32(nx_gguf_writer *w, const char *key, float x);
void nx_gguf_put_bool(nx_gguf_writer *w, const char *key, bool x);
void nx_gguf_put_string(nx_gguf_writer *w, const char *key, nx_str s);
void nx_gguf_put_strings(nx_gguf_writer *w, const char *key, const nx_str *s, int64_t n);
void nx_gguf_put_i32s(nx_gguf_writer *w, const char *key, const int32_t *x, int64_t n);
void nx_gguf_put_f32s(nx_gguf_writer *w, const char *key, const float *x, int64_t n);
void nx_gguf_put_bools(nx_gguf_writer *w, const char *key, const bool *x, int64_t n);
void nx_gguf_put_meta(nx_gguf_writer *w, const nx_meta *m); /* as another checkpoint has it */

/* The next tensor, before begin. ne as in nx_tensor: ne[0] is the fastest. */
void nx_gguf_add_tensor(nx_gguf_writer *w, const char *name, nx_dtype t, int n_dims,
                        const int64_t *ne);

/* Write the header. What the reader would refuse (a key twice, a name too long, rows that are no
 * whole blocks) is refused here, with the reader's message. */
nx_status nx_gguf_begin(nx_gguf_writer *w, nx_error *err);
uint64_t  nx_gguf_writer_bytes(const nx_gguf_writer *w); /* of the whole file; after begin */

/* The next bytes of data: tensors in the order of their adding, each in as many calls as you like,
 * none across two tensors. Padding comes by itself. */
nx_status nx_gguf_write(nx_gguf_writer *w, const void *bytes, size_t n, nx_error *err);

/* All data written? Then sync and rename. */
nx_status nx_gguf_commit(nx_gguf_writer *w, nx_error *err);

#endif
