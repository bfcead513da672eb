/* vocab.h - text to token ids and back.
 *
 * Owns:   its tables; token texts are views into the checkpoint, which must outlive it.
 * Thread: any, once open: encode and decode keep their state in the caller's hands.
 */
#ifndef NX_TOKEN_VOCAB_H
#define NX_TOKEN_VOCAB_H

#include "format/checkpoint.h"

typedef struct nx_vocab nx_vocab;

/* Numbers as in tokenizer.ggml.token_type. */
typedef enum nx_token_type {
    NX_TOKEN_NORMAL = 1,
    NX_TOKEN_UNKNOWN,
    NX_TOKEN_CONTROL,
    NX_TOKEN_USER_DEFINED,
    NX_TOKEN_UNUSED,
    NX_TOKEN_BYTE,
} nx_token_type;

/* Read the tokenizer.json of a Hugging Face folder, else tokenizer.ggml.* of cp. NX_EUNSUPPORTED names a tokenizer model or pre-tokenizer that we
 * don't have, with those that we do; NX_EFORMAT names the key that is wrong. */
nx_status nx_vocab_open(nx_vocab **out, const nx_checkpoint *cp, nx_error *err);
void      nx_vocab_close(nx_vocab *v);
bool      nx_vocab_present(const nx_checkpoint *cp); /* is there anything for nx_vocab_open? */

int32_t       nx_vocab_size(const nx_vocab *v);
const char   *nx_vocab_kind(const nx_vocab *v); /* "llama (SentencePiece)", "gpt2 (llama-bpe)" */
nx_token_type nx_vocab_type(const nx_vocab *v, int32_t id);
nx_str        nx_vocab_text(const nx_vocab *v, int32_t id);  /* as the file spells it: "▁the" */
int32_t       nx_vocab_find(const nx_vocab *v, nx_str text); /* id spelled so, or -1 */

/* Special ids; -1 when the vocabulary has none. */
typedef struct nx_vocab_special {
    int32_t bos, eos, eot, unk, sep, pad;
    bool    add_bos, add_eos;
} nx_vocab_special;

const nx_vocab_special *nx_vocab_special_ids(const nx_vocab *v);

/* True for each id that ends an answer: eos, eot, and the control tokens that chat models use for
 * it (<|eot_id|>, <|im_end|>, <|end|>, <end_of_turn>, <|endoftext|>, ...). */
bool nx_vocab_ends_answer(const nx_vocab *v, int32_t id);

/* ---- Encoding ---- */

/* A growing list of ids. Zero-initialise; nx_ids_free. */
typedef struct nx_ids {
    int32_t *ids;
    size_t   n, cap;
} nx_ids;

nx_status nx_ids_add(nx_ids *l, int32_t id, nx_error *err);
nx_status nx_ids_reserve(nx_ids *l, size_t n, nx_error *err); /* room for n more */
void      nx_ids_free(nx_ids *l);

enum {
    NX_ENCODE_ADD_SPECIAL = 1 << 0,   /* bos and eos as the vocabulary wants them */
    NX_ENCODE_PARSE_SPECIAL = 1 << 1, /* control tokens spelled in the text become their ids */
};

/* Append the ids of text[0..len) to out. Any bytes are allowed: invalid UTF-8 is encoded through
 * byte tokens, or unk where the vocabulary lacks one. User-defined tokens are always recognised; of
 * special tokens the leftmost counts, and there the longest. SentencePiece's added space stands at
 * the beginning and after each special token; a U+2581 in the text is spelled in byte tokens.
 * Time is linear in len but for a factor log(len). Errors: NX_ENOMEM; NX_ELIMIT (over 2^31 ids, or
 * a gigabyte without a place to cut); NX_EUNSUPPORTED (a byte for which there is neither token nor
 * unk). out then holds what it held before. */
nx_status nx_vocab_encode(const nx_vocab *v, nx_ids *out, const char *text, size_t len,
                          unsigned flags, nx_error *err);

/* The ids that NX_ENCODE_ADD_SPECIAL puts before (after) a text: a view that dies with v. */
void nx_vocab_around(const nx_vocab *v, bool after, const int32_t **ids, size_t *n);

/* How two texts become one sequence, as in [CLS] first [SEP] second [SEP]. */
typedef struct nx_vocab_pair {
    nx_ids before, between, after; /* borrowed: not to be freed */
    bool   segments;               /* the second text, and what follows it, is another segment */
} nx_vocab_pair;

/* A view that dies with v; NULL where the vocabulary knows no pairs. */
const nx_vocab_pair *nx_vocab_pairs(const nx_vocab *v);

/* ---- Decoding ---- */

/* Streaming: bytes of a character that isn't complete are held back. Zero-initialise;
 * nx_decoder_free. started and keep_control are set before the first push. */
typedef struct nx_decoder {
    char            held[4];
    uint8_t         n_held;
    bool            started;      /* false: the next piece is the first of its text */
    bool            keep_control; /* spell control tokens out instead of dropping them */
    const nx_vocab *vocab;        /* of the first push, where the vocabulary keeps a state */
    void           *state;
} nx_decoder;

/* Append to out what token id lets us say: always whole UTF-8 characters. A byte that can't be
 * part of any character comes out as U+FFFD. NX_EINVAL for an id outside the vocabulary. */
nx_status nx_decoder_push(nx_decoder *d, const nx_vocab *v, int32_t id, nx_buf *out, nx_error *err);
nx_status nx_decoder_finish(nx_decoder *d, nx_buf *out, nx_error *err); /* flush as U+FFFD */
void      nx_decoder_free(nx_decoder *d); /* what it holds back is lost; zeroed ones too */

/* The raw bytes of ids, one after the other (not necessarily UTF-8): byte for byte what was
 * encoded, when the ids came from nx_vocab_encode without specials. Control tokens give nothing
 * unless keep_control. A vocabulary of a Hugging Face folder gives what its own decoder makes of
 * the ids: text, with U+FFFD where bytes are none. */
nx_status nx_vocab_decode(const nx_vocab *v, nx_buf *out, const int32_t *ids, size_t n,
                          bool keep_control, nx_error *err);

#endif
