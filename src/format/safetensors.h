/* safetensors.h - one safetensors file in memory, parsed and checked. docs/formats/safetensors.md
 * has its bytes.
 *
 * Owns:    the lists of tensors and the parsed header; all of them view the file's bytes.
 * Refuses: files, folders, and the question which of these types may be weights.
 * Thread:  any, once read.
 */
#ifndef NX_FORMAT_SAFETENSORS_H
#define NX_FORMAT_SAFETENSORS_H

#include "base/jsonread.h"
#include "format/name_index.h"

#include <stdint.h>

#define NX_ST_HEADER_MAX  100000000 /* bytes: the reference implementation's limit */
#define NX_ST_TENSORS_MAX 4194304
#define NX_ST_DIMS_MAX    8

/* X(NAME, bits of one number), as headers spell them. */
#define NX_ST_TABLE(X)                                                                             \
    X(BOOL, 8)                                                                                     \
    X(U8, 8)                                                                                       \
    X(I8, 8)                                                                                       \
    X(F8_E5M2, 8)                                                                                  \
    X(F8_E4M3, 8)                                                                                  \
    X(F8_E8M0, 8)                                                                                  \
    X(U16, 16)                                                                                     \
    X(I16, 16)                                                                                     \
    X(F16, 16)                                                                                     \
    X(BF16, 16)                                                                                    \
    X(U32, 32)                                                                                     \
    X(I32, 32)                                                                                     \
    X(F32, 32)                                                                                     \
    X(U64, 64)                                                                                     \
    X(I64, 64)                                                                                     \
    X(F64, 64)                                                                                     \
    X(C64, 64)                                                                                     \
    X(F4, 4)                                                                                       \
    X(F6_E2M3, 6)                                                                                  \
    X(F6_E3M2, 6)                                                                                  \
    X(F8_E4M3FNUZ, 8)                                                                              \
    X(F8_E5M2FNUZ, 8)

typedef enum nx_st_dtype {
#define X(NAME, bits) NX_ST_##NAME,
    NX_ST_TABLE(X)
#undef X
        NX_ST_COUNT
} nx_st_dtype;

const char *nx_st_dtype_name(nx_st_dtype t); /* "BF16" */
int         nx_st_dtype_bits(nx_st_dtype t);

typedef struct nx_st_tensor {
    nx_str               name; /* valid UTF-8 without zero bytes */
    nx_st_dtype          dtype;
    int32_t              n_dims;                /* 0 for a single number */
    int64_t              shape[NX_ST_DIMS_MAX]; /* the slowest first, as written; 0 is allowed */
    const unsigned char *data;                  /* at any alignment */
    size_t               bytes;
    uint64_t             at; /* of data in the file, for messages */
} nx_st_tensor;

/* Zero-initialise. */
typedef struct nx_safetensors {
    char                 name[160]; /* of the file, printable, for messages */
    const unsigned char *data;      /* borrowed */
    size_t               bytes;
    uint64_t             data_at; /* the data section's first byte: 8 + the header's length */
    nx_json_doc          header;
    const nx_json       *metadata; /* the object __metadata__, or NULL */
    nx_st_tensor        *tensors;  /* [n_tensors], by their place in the file */
    int64_t              n_tensors;
    nx_name_index        index;
} nx_safetensors;

/* Parse data[0..bytes), which must outlive s. After NX_OK every tensor has as many bytes as its
 * shape and type need, and together they tile the data section without gap or overlap. On an error
 * s may be half filled: nx_safetensors_free it in every case. path is for messages alone.
 * NX_EFORMAT, NX_EUNSUPPORTED (a type, by name), NX_ENOMEM. */
nx_status nx_safetensors_read(nx_safetensors *s, const char *path, const void *data, size_t bytes,
                              nx_error *err);
void      nx_safetensors_free(nx_safetensors *s);

const nx_st_tensor *nx_safetensors_find(const nx_safetensors *s, nx_str name); /* or NULL */

#endif
