/* sp.h - a SentencePiece model as a vocabulary: the inside, shared by sp_*.c.
 *
 * A text is normalised (character map, white space), cut into pieces by the model's own kind, and
 * what has no piece is spelled in bytes or unknown: as the `sentencepiece` library does, to the id.
 */
#ifndef NX_TOKEN_SP_H
#define NX_TOKEN_SP_H

#include "base/arena.h"
#include "token/charsmap.h"
#include "token/spmodel.h"
#include "token/tables.h"
#include "token/unigram.h"

typedef struct nx_sp {
    nx_spmodel   model; /* its lists are borrowed by the vocabulary's source only */
    nx_charsmap *map;   /* NULL: none */
    nx_unigram  *trie;  /* of a Unigram model */
    nx_unigram  *users; /* user-defined pieces; NULL: none */
    bool         has_unused;
    bool         first_prefix_only; /* no dummy prefix after a special token */
    nx_arena     texts;             /* of added tokens */
} nx_sp;

/* Append text as the model's normaliser makes it. prefix: with the dummy prefix, if it has one. */
nx_status nx_sp_normalise(const nx_sp *sp, nx_buf *out, const char *text, size_t len, bool prefix,
                          nx_error *err);

/* The ways of nx_vocab_ops. */
nx_status nx_sp_encode(const nx_vocab *v, nx_ids *out, const char *text, size_t len, bool fresh,
                       bool first, nx_error *err);
nx_status nx_sp_decode(const nx_vocab *v, nx_buf *out, const int32_t *ids, size_t n,
                       bool keep_control, nx_error *err);
nx_status nx_sp_push(nx_decoder *d, const nx_vocab *v, int32_t id, nx_buf *out, nx_error *err);
nx_status nx_sp_finish(nx_decoder *d, nx_buf *out, nx_error *err);
void      nx_sp_drop(void *state);

/* What a vocabulary needs beside the model. Lists are borrowed for the call. */
typedef struct nx_sp_options {
    const nx_checkpoint *cp;               /* for messages; NULL: none */
    int                  add_bos, add_eos; /* 0, 1 */
    nx_vocab_special     special;          /* -1: as the model says */
    const nx_str        *added;            /* [n_added] tokens behind the model's pieces */
    const int64_t       *added_types;      /* [n_added] nx_token_type */
    int64_t              n_added;
    bool                 first_prefix_only; /* no dummy prefix after a special token */
} nx_sp_options;

/* A vocabulary of a model: m is taken whatever comes back; its bytes, and the texts of added tokens,
 * must outlive *out. NX_EFORMAT (no unknown piece, byte pieces missing), NX_ENOMEM. */
nx_status nx_sp_create(nx_vocab **out, nx_spmodel *m, const nx_sp_options *options, nx_error *err);

bool nx_sp_is(const nx_vocab *v); /* made by nx_sp_create? */

/* tokenizer.model in SentencePiece's form, with tokenizer_config.json and added_tokens.json. */
nx_status nx_sp_open(nx_vocab **out, const nx_checkpoint *cp, const char *name, nx_str bytes,
                     nx_error *err);

#endif
