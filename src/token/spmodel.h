/* spmodel.h - a SentencePiece model file as plain data.
 *
 * Owns:   the list of pieces; texts and maps are views into the bytes, which must outlive it.
 * Form:   a protocol buffer (proto2), ModelProto. Read are:
 *
 *     1 pieces*        1 text, 2 score (f32), 3 type (1 normal ... 6 byte)
 *     2 trainer        3 kind (1 Unigram, 2 BPE, 3 word, 4 character), 24 white space as suffix,
 *                      35 byte fallback, 44 unknown's surface, 45 .. 48 texts of unk, bos, eos, pad
 *     3 normaliser     2 character map, 3 dummy prefix, 4 extra white space goes, 5 spaces marked
 *     5 denormaliser   2 character map
 */
#ifndef NX_TOKEN_SPMODEL_H
#define NX_TOKEN_SPMODEL_H

#include <stdint.h>

#include "base/buf.h"

typedef enum nx_sp_kind { NX_SP_UNIGRAM = 1, NX_SP_BPE, NX_SP_WORD, NX_SP_CHAR } nx_sp_kind;

typedef struct nx_spmodel {
    nx_str    *texts;  /* [n], none is empty or holds a NUL */
    float     *scores; /* [n] */
    int64_t   *types;  /* [n] nx_token_type */
    int64_t    n;
    nx_sp_kind kind;
    bool       byte_fallback, space_suffix;
    bool       dummy_prefix, trims_spaces, marks_spaces;
    nx_str     charsmap;     /* empty: none */
    nx_str     denormaliser; /* its map; empty: none */
    nx_str     unk_surface, unk, bos, eos, pad;
} nx_spmodel;

/* What a trainer's defaults are; no pieces. */
nx_spmodel nx_spmodel_default(void);

/* Read bytes; name stands for the file in messages. NX_EFORMAT with the byte where it went wrong,
 * NX_ELIMIT (over 2^24 pieces, a piece of 8000 bytes), NX_ENOMEM. *m then needs no free. */
nx_status nx_spmodel_read(nx_spmodel *m, const char *name, nx_str bytes, nx_error *err);
void      nx_spmodel_free(nx_spmodel *m);

/* Does it look like one (and not like a list of ranks)? */
bool nx_spmodel_is(nx_str bytes);

#endif
