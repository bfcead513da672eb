/* checkpoint_in.h - what an open checkpoint is made of. Only for checkpoint.c and hf*.c. */
#ifndef NX_FORMAT_CHECKPOINT_IN_H
#define NX_FORMAT_CHECKPOINT_IN_H

#include "format/gguf_read.h"
#include "os/file.h"

typedef struct nx_hf nx_hf;

typedef struct nx_checkpoint_part {
    nx_file_map map; /* all zero for bytes that lie in memory */
    nx_gguf     g;
} nx_checkpoint_part;

/* What others made and the checkpoint frees. */
typedef struct nx_checkpoint_owned {
    struct nx_checkpoint_owned *next;
    void                       *p;
    void (*release)(void *p);
} nx_checkpoint_owned;

struct nx_checkpoint {
    char                *path;  /* of the first part, or of the folder */
    nx_checkpoint_part  *parts; /* [n_parts]; of a folder: its metadata, in GGUF's words */
    int32_t              n_parts;
    uint64_t             bytes;
    nx_gguf_tensor      *tensors; /* [n_tensors], by part, then in file order */
    int64_t              n_tensors;
    nx_name_index        tensor_index;
    nx_checkpoint_owned *owned;
    nx_hf               *hf; /* NULL for GGUF */
};

#endif
