/* info.h - what `nexus info` knows about a file: gathered once, shown as text or as JSON. */
#ifndef NX_CLI_INFO_H
#define NX_CLI_INFO_H

#include "cli/cli.h"

typedef struct nx_info_type {
    int64_t  n_tensors;
    uint64_t bytes;
} nx_info_type;

typedef struct nx_info {
    nx_checkpoint *cp;
    nx_str         arch, name; /* empty when the file doesn't say */
    nx_info_type   types[NX_DTYPE_COUNT];
    uint64_t       n_params, tensors_bytes;

    nx_model *model;     /* NULL: can't run, and model_err says why */
    nx_error  model_err; /* status NX_OK beside no model: a vocabulary alone */
    nx_vocab *vocab;     /* NULL: vocab_err says why */
    nx_error  vocab_err;

    /* Memory that it takes, known when there is a model. */
    int32_t  n_ctx, n_batch;
    nx_dtype kv_dtype;
    uint64_t kv_bytes, work_bytes;

    char        cpu[96];
    const char *backend; /* "cpu-avx2" */
} nx_info;

/* To stdout; what went wrong with it is said by nx_out_finish. */
void nx_info_print(const nx_info *info, bool tensors, bool metadata);

/* One JSON object: the tensors when asked for, the metadata always. Returns the exit code. */
int nx_info_print_json(const nx_info *info, bool tensors);

/* A metadata value in at most cap - 1 bytes, as a person reads it: 32, llama, array of 32000
 * string. */
void nx_info_meta_text(char *out, size_t cap, const nx_meta *m);

/* The same as a JSON value; an array as {"array":"string","n":32000}. */
void nx_info_meta_json(nx_jw *w, const char *key, const nx_meta *m);

#endif
