/* gguf_read.h - one GGUF file in memory, parsed and checked. docs/formats/gguf.md has its bytes.
 *
 * Owns:    the lists of metadata and tensors; all of them view the file's bytes.
 * Refuses: files, split sets (checkpoint.c), the meaning of any key but general.alignment.
 * Thread:  any, once read.
 */
#ifndef NX_FORMAT_GGUF_READ_H
#define NX_FORMAT_GGUF_READ_H

#include "base/arena.h"
#include "format/checkpoint.h"
#include "format/name_index.h"

#define NX_GGUF_ALIGNMENT     32 /* of tensor data, where general.alignment is absent */
#define NX_GGUF_ALIGNMENT_MAX (1 << 20)
#define NX_GGUF_KEY_MAX       65535
#define NX_GGUF_NAME_MAX      64
#define NX_GGUF_META_MAX      65536   /* entries; the largest files known have about 60 */
#define NX_GGUF_TENSORS_MAX   1048576 /* the largest known have about 30,000 */
#define NX_GGUF_PADDING_MAX   4096    /* zero bytes that may follow the last tensor */

typedef struct nx_gguf_tensor {
    nx_tensor t;        /* first, so that a pointer to it leads here */
    uint64_t  entry_at; /* byte of its directory entry in its file, for messages */
    uint64_t  data_at;  /* byte of its data, from the beginning of the data section */
    int32_t   part;     /* 0-based, in a split set */
} nx_gguf_tensor;

/* Zero-initialise. */
typedef struct nx_gguf {
    char                 name[160]; /* of the file, printable, for messages */
    const unsigned char *data;      /* borrowed */
    size_t               bytes;
    uint32_t             version;
    uint64_t             alignment;
    uint64_t             header_bytes; /* end of the tensor directory */
    uint64_t             data_at;      /* the data section's first byte in the file */
    nx_meta             *meta;         /* [n_meta] */
    int64_t              n_meta;
    nx_gguf_tensor      *tensors; /* [n_tensors], in file order */
    int64_t              n_tensors;
    nx_name_index        meta_index, tensor_index;
    nx_arena             names; /* NUL-terminated tensor names */
} nx_gguf;

/* Parse data[0..bytes), which must outlive g, and check everything structural. On an error g may
 * be half filled: nx_gguf_free it in every case. path is for messages alone. */
nx_status nx_gguf_read(nx_gguf *g, const char *path, const void *data, size_t bytes, nx_error *err);

/* The same for a header alone, of a file that will be file_bytes long: tensors' data pointers stay
 * NULL. The writer proves with it that what it is about to write can be read. */
nx_status nx_gguf_read_header(nx_gguf *g, const char *path, const void *data, size_t bytes,
                              uint64_t file_bytes, nx_error *err);

void nx_gguf_free(nx_gguf *g);

/* The integer in m, when m holds one (of any width and sign) that fits int64_t. */
bool nx_meta_as_int(const nx_meta *m, int64_t *out);

/* Bytes of one value, 0 for strings and arrays, whose values carry their length. */
size_t nx_meta_type_bytes(nx_meta_type t);

/* Little-endian numbers from unaligned bytes. */
uint32_t nx_gguf_u32(const unsigned char *p);
uint64_t nx_gguf_u64(const unsigned char *p);

/* x up to the next multiple of alignment, a power of two; false when it wraps around. */
bool nx_gguf_pad(uint64_t *out, uint64_t x, uint64_t alignment);

#endif
