/* hf.h - a Hugging Face folder: config.json, weights as safetensors, side files.
 *
 *   folder.c      which kind of folder is this
 *   hf.c          opens it: files, then metadata, then tensors; messages in the folder's words
 *   hf_config.c   config.json -> GGUF's metadata      hf_arch.c   tensor names -> GGUF's
 *   hf_sentence.c what sentence-transformers adds
 *   hf_files.c    side files, shards and their index
 *   hf_bnb.c      bitsandbytes' tensors with scales   hf_layout.c rows that GGUF orders otherwise
 *
 * Owns:    the mappings of its files, and the few tensors that had to be rearranged.
 * Refuses: weights as Python pickles: reading them runs what they say.
 * Thread:  any, once open.
 */
#ifndef NX_FORMAT_HF_H
#define NX_FORMAT_HF_H

#include "format/checkpoint_in.h"
#include "format/hf_config.h"
#include "format/safetensors.h"

/* The names in a folder, sorted. */
typedef struct nx_listing {
    char **names; /* [n], one block: nx_free */
    size_t n;
} nx_listing;

bool nx_listing_has(const nx_listing *l, const char *name);

typedef struct nx_hf_shard {
    nx_file_map    map;
    nx_safetensors st;
} nx_hf_shard;

/* One tensor of any shard. */
typedef struct nx_hf_raw {
    const nx_st_tensor *t;
    int32_t             shard;
    bool                used; /* of bitsandbytes' side tensors: some weight has it */
} nx_hf_raw;

/* Beside each of the checkpoint's tensors: what the folder calls it. shard -1: config.json. */
typedef struct nx_hf_source {
    nx_str  name;
    int32_t shard;
} nx_hf_source;

typedef struct nx_hf_side {
    char       *name; /* "tokenizer.json", "additional_chat_templates/rag.jinja" */
    nx_file_map map;
} nx_hf_side;

struct nx_hf {
    char          shown[160]; /* the folder, printable, for messages */
    char          config_shown[176];
    nx_json_doc   config_doc;
    nx_hf_config  config;
    nx_hf_shard  *shards; /* [n_shards] */
    int32_t       n_shards;
    nx_hf_raw    *raws; /* [n_raws], by shard, then by place */
    int64_t       n_raws;
    nx_name_index raw_index;
    nx_hf_source *sources; /* [cp->n_tensors] */
    nx_hf_side   *sides;   /* [n_sides] */
    int32_t       n_sides, sides_cap;
    nx_arena      arena; /* names, scales */
    void        **owned; /* [n_owned] large blocks */
    int32_t       n_owned, owned_cap;
};

/* ---- For checkpoint.c ---- */

/* A folder is opened as what it holds: *file gets the path of its one GGUF model (nx_free), or NULL
 * when it is a Hugging Face folder. */
nx_status nx_folder_look(char **file, const char *path, nx_error *err);

/* NX_EUNSUPPORTED, saying what to do instead, when this file is a pickle or one shard of a folder;
 * by its first bytes or its name. */
nx_status nx_folder_check_file(const char *path, const unsigned char *data, size_t bytes,
                               nx_error *err);

/* Fill cp, which is zero but for its path. On an error cp may be half filled: close it. */
nx_status nx_hf_open(nx_checkpoint *cp, nx_error *err);
void      nx_hf_close(nx_hf *hf); /* NULL does nothing */

/* What nx_tensor_fail and nx_meta_fail say of a folder; i: the tensor's position, or -1. */
nx_status nx_hf_tensor_fail(const nx_checkpoint *cp, const char *name, int64_t i, nx_status st,
                            nx_error *err, const char *text);
nx_status nx_hf_meta_fail(const nx_hf *hf, const char *key, bool found, nx_status st, nx_error *err,
                          const char *text);

/* ---- Among hf*.c ---- */

/* hf_files.c: map the side files that are there; map and list the weights. */
nx_status nx_hf_open_sides(nx_checkpoint *cp, const nx_listing *d, nx_error *err);
nx_status nx_hf_open_shards(nx_checkpoint *cp, const nx_listing *d, nx_error *err);
nx_str    nx_hf_side_text(const nx_hf *hf, const char *name); /* p NULL: not there */

/* "FILE: tensor NAME: ..." */
nx_status  nx_hf_raw_fail(const nx_hf *hf, const nx_hf_raw *raw, nx_status st, nx_error *err,
                          const char *fmt, ...) NX_PRINTF(5, 6);
nx_hf_raw *nx_hf_find(const nx_hf *hf, nx_str name); /* or NULL */

/* n bytes that live as long as hf, for whole tensors. */
void *nx_hf_own(nx_hf *hf, size_t n, nx_error *err);

/* Is this a side tensor of bitsandbytes, by the end of its name? */
bool nx_hf_bnb_side(nx_str name);

/* If raw is a quantised weight, fill t (type, shape, data, scales) and set *is. NX_EFORMAT with
 * expected and found when its side tensors don't fit it. */
nx_status nx_hf_bnb_read(nx_hf *hf, nx_hf_raw *raw, nx_tensor *t, bool *is, nx_error *err);

/* Bring t's rows into GGUF's order, in memory of their own. */
nx_status nx_hf_rearrange(nx_hf *hf, const nx_hf_raw *raw, nx_hf_layout layout, nx_tensor *t,
                          nx_error *err);

#endif
