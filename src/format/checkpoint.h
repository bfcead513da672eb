/* checkpoint.h - every checkpoint looks the same above this floor: named tensors, hyper-parameters,
 * vocabulary, chat template.
 *
 * Keys are those of GGUF ("llama.block_count", "tokenizer.ggml.tokens"); other formats translate.
 * Owns:   the mapping of its files. Tensors, strings and arrays are views that die with it.
 * Thread: any, once open: nothing changes.
 */
#ifndef NX_FORMAT_CHECKPOINT_H
#define NX_FORMAT_CHECKPOINT_H

#include "base/buf.h"
#include "tensor/tensor.h"

typedef struct nx_checkpoint nx_checkpoint;

/* Open a GGUF file (of a split set, any part's name loads all parts), a Hugging Face folder, or a
 * folder that holds one GGUF model. Everything structural is checked here: after NX_OK every tensor
 * lies inside its mapping and every metadata value is readable. A folder with config.json alone is
 * a description: it opens without tensors.
 * Errors: NX_ENOENT, NX_EIO, NX_EINVAL (a folder of several models), NX_EFORMAT (field and byte
 * offset, or the field of config.json, in the message), NX_EUNSUPPORTED (a tensor type, an
 * architecture, by name; pickled weights), NX_ENOMEM. */
nx_status nx_checkpoint_open(nx_checkpoint **out, const char *path, nx_error *err);
void      nx_checkpoint_close(nx_checkpoint *cp); /* NULL does nothing */

/* The same for a file that lies in memory already: bytes[0..n) are borrowed until close. `name`
 * stands for the path in messages. A part of a split set is refused. */
nx_status nx_checkpoint_open_bytes(nx_checkpoint **out, const char *name, const void *bytes,
                                   size_t n, nx_error *err);

const char      *nx_checkpoint_path(const nx_checkpoint *cp);    /* of a split set: of part 1 */
uint32_t         nx_checkpoint_version(const nx_checkpoint *cp); /* of GGUF; 0: a folder */
uint64_t         nx_checkpoint_bytes(const nx_checkpoint *cp);   /* of all its files */
int64_t          nx_checkpoint_n_tensors(const nx_checkpoint *cp);
const nx_tensor *nx_checkpoint_tensor_at(const nx_checkpoint *cp, int64_t i);
const nx_tensor *nx_checkpoint_tensor(const nx_checkpoint *cp, const char *name); /* or NULL */

/* st with the message "FILE: tensor NAME at byte N: ..." (or "... missing between byte A and byte
 * B: ..."): for the floors above, which know what tensors a model should have. name is GGUF's; of a
 * folder the message says its own name too. */
nx_status nx_tensor_fail(const nx_checkpoint *cp, const char *name, nx_status st, nx_error *err,
                         const char *fmt, ...) NX_PRINTF(5, 6);

/* The bytes of a file that lies beside the weights of a Hugging Face folder ("tokenizer.json",
 * "chat_template.jinja"), or an empty span with p NULL when there is none; a GGUF file has none.
 * A view into a mapping that dies with cp. */
nx_str nx_checkpoint_file(const nx_checkpoint *cp, const char *name);

/* The names of those files, additional_chat_templates/NAME.jinja among them: i from 0, NULL behind
 * the last. */
const char *nx_checkpoint_file_name(const nx_checkpoint *cp, int32_t i);

/* Advise the kernel to read the weights in, in file order. */
void nx_checkpoint_willneed(const nx_checkpoint *cp);

/* [data, data + bytes) was read and won't be needed soon: where it is mapped from a file, its pages
 * leave this process's memory (not the page cache). Other memory is left alone. */
void nx_checkpoint_forget(const nx_checkpoint *cp, const void *data, size_t bytes);

/* Give tensor i the type, data, scales and bytes of t, which has the same shape: for those who make
 * a checkpoint smaller while they load it. Before anybody else looks at cp. */
void nx_checkpoint_replace(nx_checkpoint *cp, int64_t i, const nx_tensor *t);

/* cp owns p from now on, and frees it by release(p) when it is closed. NX_ENOMEM: p is released. */
nx_status nx_checkpoint_own(nx_checkpoint *cp, void *p, void (*release)(void *p), nx_error *err);

/* ---- Metadata ---- */

/* GGUF's value types, with its numbers. */
typedef enum nx_meta_type {
    NX_META_U8,
    NX_META_I8,
    NX_META_U16,
    NX_META_I16,
    NX_META_U32,
    NX_META_I32,
    NX_META_F32,
    NX_META_BOOL,
    NX_META_STRING,
    NX_META_ARRAY,
    NX_META_U64,
    NX_META_I64,
    NX_META_F64,
} nx_meta_type;

typedef struct nx_meta {
    nx_str               key;
    nx_meta_type         type;
    nx_meta_type         elem_type; /* arrays: type of elements, never NX_META_ARRAY */
    uint64_t             n;         /* arrays: number of elements; else 1 */
    const unsigned char *data;      /* first byte of the value, or of the first element; unaligned.
                                  Of a string that is its length, a u64; its bytes follow */
    uint64_t             offset;    /* of data in its file, for messages */
} nx_meta;

int64_t        nx_checkpoint_n_meta(const nx_checkpoint *cp);
const nx_meta *nx_checkpoint_meta_at(const nx_checkpoint *cp, int64_t i);
const nx_meta *nx_checkpoint_meta(const nx_checkpoint *cp, const char *key); /* or NULL */

const char *nx_meta_type_name(nx_meta_type t); /* "u32" */

/* st with the message "FILE: KEY at byte N: ..." (or "... missing between byte A and byte B: ..."):
 * for the floors above, which know what a key's value should be. */
nx_status nx_meta_fail(const nx_checkpoint *cp, const char *key, nx_status st, nx_error *err,
                       const char *fmt, ...) NX_PRINTF(5, 6);

/* Typed access. An absent key leaves *out alone and returns NX_OK when `required` is false;
 * NX_EFORMAT, naming key, offset, expected and found, for an absent required key, a wrong type
 * or a value that doesn't fit. Integers of any width and sign convert when the value fits. */
nx_status nx_meta_int(const nx_checkpoint *cp, const char *key, int64_t *out, int64_t min,
                      int64_t max, bool required, nx_error *err);
nx_status nx_meta_float(const nx_checkpoint *cp, const char *key, double *out, bool required,
                        nx_error *err); /* finite values only */
nx_status nx_meta_bool(const nx_checkpoint *cp, const char *key, bool *out, bool required,
                       nx_error *err);
nx_status nx_meta_string(const nx_checkpoint *cp, const char *key, nx_str *out, bool required,
                         nx_error *err);

/* Arrays. n_out is the number of elements. The caller frees *out with nx_free (strings are views;
 * the array of views is the caller's). NULL and 0 when absent and not required, and on errors.
 * Floats must be finite; integers of any width and sign convert. An array of 0 elements gives a
 * block that must be freed as well. */
nx_status nx_meta_strings(const nx_checkpoint *cp, const char *key, nx_str **out, int64_t *n_out,
                          bool required, nx_error *err);
nx_status nx_meta_floats(const nx_checkpoint *cp, const char *key, float **out, int64_t *n_out,
                         bool required, nx_error *err);
nx_status nx_meta_ints(const nx_checkpoint *cp, const char *key, int64_t **out, int64_t *n_out,
                       bool required, nx_error *err);

#endif
