/* tables.h - the inside of a vocabulary, shared by the files of this folder. */
#ifndef NX_TOKEN_TABLES_H
#define NX_TOKEN_TABLES_H

#include "token/encode.h"
#include "token/index.h"
#include "token/merges.h"
#include "token/pretoken.h"
#include "token/specials.h"
#include "token/vocab.h"

#define NX_SPACE_MARK     "\xE2\x96\x81" /* U+2581, SentencePiece's visible space */
#define NX_SPACE_MARK_LEN 3

enum {                          /* nx_vocab.marks */
       NX_MARK_ENDS = 1 << 0,   /* ends an answer */
       NX_MARK_STRIPS = 1 << 1, /* swallows the white space that follows it in a text */
       NX_MARK_MERGES = 1 << 2, /* may come out of merging: normal and unused tokens */
       NX_MARK_SILENT = 1 << 3, /* of a tokenizer.json: left out of decoded text */
};

/* A vocabulary of another make than GGUF's llama and gpt2 brings its own ways; NULL members: the
 * built-in ones. The tables up to `kind` are filled in any case, raw and specials may be empty. */
typedef struct nx_vocab_ops {
    /* nx_encode_spans; out is put back by the caller after an error. */
    nx_status (*encode)(const nx_vocab *v, nx_ids *out, const char *text, const nx_span *spans,
                        size_t n_spans, nx_error *err);
    /* Or only this: the ids of a stretch without special tokens. fresh: it begins the text, or
     * follows a special token. `first`: it begins the text. */
    nx_status (*plain)(const nx_vocab *v, nx_ids *out, const char *text, size_t len, bool fresh,
                       bool first, nx_error *err);
    /* The ids that NX_ENCODE_ADD_SPECIAL puts before (or after) a text. */
    void (*around)(const nx_vocab *v, bool after, const int32_t **ids, size_t *n);
    /* nx_vocab_decode; out is put back by the caller after an error. */
    nx_status (*decode)(const nx_vocab *v, nx_buf *out, const int32_t *ids, size_t n,
                        bool keep_control, nx_error *err);
    /* One step of a stream, and its end. d->state is theirs, made at the first push. */
    nx_status (*push)(nx_decoder *d, const nx_vocab *v, int32_t id, nx_buf *out, nx_error *err);
    nx_status (*finish)(nx_decoder *d, nx_buf *out, nx_error *err);
    void (*drop)(void *state); /* frees d->state */
    void (*close)(void *impl); /* frees v->impl, which may be half made */
} nx_vocab_ops;

struct nx_vocab {
    const nx_vocab_ops *ops; /* NULL: none */
    void               *impl;

    bool             bpe; /* byte-level BPE; else SentencePiece */
    int32_t          n;
    nx_str          *texts; /* [n] as the file spells them: views into the checkpoint */
    nx_str          *raw;   /* [n] the bytes each stands for: views into it or into pool */
    char            *pool;
    uint8_t         *types; /* [n] nx_token_type */
    uint8_t         *marks; /* [n] NX_MARK_* */
    nx_index         by_text;
    nx_specials      specials; /* control and user-defined tokens, to be found in texts */
    nx_vocab_special special;
    int32_t          byte_ids[256]; /* the token of one byte, or -1 */
    size_t           longest;       /* bytes of the longest text that may come out of merging */
    bool             misses_bytes;  /* some byte has no token */
    bool             pairs;         /* it knows how two texts become one: */
    nx_vocab_pair    pair;          /* owned */
    char             kind[48];

    /* SentencePiece */
    float *scores; /* [n] */
    bool   add_space_prefix;
    bool   crosses_words; /* some token holds a space mark after something else */
    bool   spells_mark;   /* byte tokens for U+2581 itself: a literal one survives */

    /* byte-level BPE */
    nx_merges   merges;
    nx_pretoken pretoken;
    nx_index    by_raw; /* whole words that are tokens; only where merges are ignored */
};

/* Mark the tokens that end an answer by their spelling, and eos and eot, which is set to the first of
 * them where it is -1. by_text, types and special are ready. */
void nx_vocab_mark_ends(nx_vocab *v);

/* Append bytes as UTF-8, with U+FFFD for what can't belong to a character. */
nx_status nx_decode_clean(nx_buf *out, const char *p, size_t len, nx_error *err);

/* v->pair of bos first eos second eos, with `n_between` of those between: 1 as BERT has it, 2 as
 * RoBERTa. Nothing where v has no such ids. */
nx_status nx_vocab_pair_usual(nx_vocab *v, int n_between, bool segments, nx_error *err);

static inline bool nx_vocab_merges_to(const nx_vocab *v, int32_t id)
{
    return id >= 0 && (v->marks[id] & NX_MARK_MERGES);
}

#endif
