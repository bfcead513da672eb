/* hf_reader.h - what the two halves of the translation share: fields taken from config.json, keys
 * put into the metadata. Only for hf_config.c and hf_rope.c.
 *
 * Errors: the first one sticks. What is taken after it is the fallback, what is put is dropped.
 */
#ifndef NX_FORMAT_HF_READER_H
#define NX_FORMAT_HF_READER_H

#include "format/gguf_write.h"
#include "format/hf_config.h"

#define NX_HF_LAYERS_MAX 4096

typedef struct nx_hf_reader {
    nx_hf_config      *out;
    const char        *file;
    const nx_json     *root; /* of the language model */
    const nx_hf_arch  *arch;
    const nx_hf_facts *facts;
    nx_gguf_writer    *w;
    nx_status          st;
    nx_error          *err;
    /* What several fields need. */
    int64_t n_layers, n_embd, n_heads, head_dim, n_ctx;
} nx_hf_reader;

/* "FILE: FIELD: ..." */
void nx_hf_refuse(nx_hf_reader *r, nx_status st, const char *field, const char *fmt, ...)
    NX_PRINTF(4, 5);

/* The first of these fields, "hidden_size|n_embd", that is there and not null; *name gets it, else
 * the first name. */
const nx_json *nx_hf_field(nx_hf_reader *r, const nx_json *in, const char *fields,
                           const char **name);

/* A whole number from min to max. Absent or null: fallback, which may lie outside. */
int64_t nx_hf_int(nx_hf_reader *r, const nx_json *in, const char *fields, int64_t fallback,
                  int64_t min, int64_t max);
/* A finite number. */
double nx_hf_number(nx_hf_reader *r, const nx_json *in, const char *fields, double fallback);
bool   nx_hf_bool(nx_hf_reader *r, const nx_json *in, const char *fields, bool fallback);
bool   nx_hf_bool_of(nx_hf_reader *r, const nx_json *v, const char *field, bool fallback);

/* Put ARCH.key, or `key` itself where it begins with "nexus.", "general." or
 * "tokenizer."; fields: where it came
 * from, as above. */
void nx_hf_put_u32(nx_hf_reader *r, const char *key, const char *fields, int64_t x);
void nx_hf_put_f32(nx_hf_reader *r, const char *key, const char *fields, double x);
void nx_hf_put_bool(nx_hf_reader *r, const char *key, const char *fields, bool x);
void nx_hf_put_string(nx_hf_reader *r, const char *key, const char *fields, const char *text);
/* Nothing where p is NULL. */
void nx_hf_put_str(nx_hf_reader *r, const char *key, const char *fields, nx_str text);
void nx_hf_put_bools(nx_hf_reader *r, const char *key, const char *fields, const bool *x,
                     int64_t n);

/* The rope keys and factor tensors (hf_rope.c). */
void nx_hf_read_rope(nx_hf_reader *r);

#endif
