/* side.h - what the JSON files beside a tokenizer.model say: tokens added behind the model's own,
 * special ids, flags (tokenizer_config.json, special_tokens_map.json, added_tokens.json,
 * generation_config.json; each may be missing).
 */
#ifndef NX_TOKEN_SIDE_H
#define NX_TOKEN_SIDE_H

#include "base/arena.h"
#include "base/jsonread.h"
#include "token/tables.h"

typedef struct nx_side {
    /* The model's own tokens, borrowed. A piece that these files call special becomes control. */
    const nx_str *base_texts;
    int64_t      *base_types;
    int64_t       n_base;

    nx_str          *texts; /* [n_added] of the ids from n_base on; a hole is empty */
    int64_t         *types; /* [n_added] */
    int64_t          n_added, cap;
    nx_vocab_special special; /* -1: not said */
    bool             add_bos, add_eos;
    bool             first_prefix_only; /* "legacy": false */
    nx_arena         arena;             /* of texts' bytes */
    nx_json_doc      config, map, added, generation;
} nx_side;

/* Read the files of cp into o, whose base is set and the rest zero. NX_EFORMAT names file and line;
 * NX_ENOMEM. nx_side_free in any case. */
nx_status nx_side_read(nx_side *o, const nx_checkpoint *cp, nx_error *err);
void      nx_side_free(nx_side *o);

/* The arena of texts, which is the caller's now: a vocabulary's texts are views into it. */
nx_arena nx_side_take_texts(nx_side *o);

/* Mark generation_config.json's eos_token_id, one or several. */
void nx_side_mark_ends(const nx_side *o, nx_vocab *v);

#endif
