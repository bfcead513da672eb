/* tj.h - a tokenizer.json as the pipeline that it describes: the inside, shared by tj_*.c.
 *
 *   text -> added tokens cut out -> normalizers -> added tokens of normalised spelling cut out
 *        -> pre-tokenizers -> words -> model -> ids -> post-processor
 *   ids  -> texts of tokens -> decoders -> text
 *
 * The semantics are those of the `tokenizers` library; offsets are not kept, but for one bit: does
 * a piece begin where the text begins (Metaspace's prepend_scheme "first" asks for it)?
 * Owns:    copies of every text; the JSON document is gone once nx_tj_open returns.
 * Thread:  any, once open; what a call changes lies in nx_tj_work and nx_tj_stream.
 */
#ifndef NX_TOKEN_TJ_H
#define NX_TOKEN_TJ_H

#include "base/arena.h"
#include "base/jsonread.h"
#include "token/bpe.h"
#include "token/bytemap.h"
#include "token/cut.h"
#include "token/tables.h"
#include "token/unigram.h"

#define NX_TJ_STAGES_MAX 24 /* normalizers, pre-tokenizers or decoders, Sequences counted flat */

/* ---- Patterns: tj_regex.c --------------------------------------------------------------------- */

typedef struct nx_tj_pattern {
    nx_str        literal; /* where code is NULL; an empty one matches nowhere */
    void         *code;    /* pcre2_code */
    bool          jit;
    const nx_cut *cut; /* a hand-written splitter that gives the same matches, or NULL */
} nx_tj_pattern;

/* What matching needs in one call. Zero-initialise; nx_tj_matcher_free. */
typedef struct nx_tj_matcher {
    void    *data, *limits; /* pcre2_match_data, pcre2_match_context */
    int64_t  deadline_ns;   /* 0: not started */
    unsigned calls;
} nx_tj_matcher;

/* Where a search goes on; zero-initialise for each text. */
typedef struct nx_tj_search {
    size_t from, matched_to;
    bool   matched, ended;
} nx_tj_search;

/* Oniguruma's pattern text as PCRE2's. NX_EFORMAT, NX_EUNSUPPORTED say what is wrong in it. */
nx_status nx_tj_translate(nx_buf *out, nx_str onig, nx_error *err);

/* {"Regex": ..} or {"String": ..}. */
nx_status nx_tj_pattern_read(nx_tj_pattern *p, nx_arena *arena, const nx_json *v, nx_error *err);
nx_status nx_tj_pattern_compile(nx_tj_pattern *p, nx_str onig, nx_error *err);
nx_status nx_tj_pattern_graphemes(nx_tj_pattern *p, nx_error *err); /* one grapheme cluster */
void      nx_tj_pattern_free(nx_tj_pattern *p);

/* The next match as Oniguruma's iterator gives them: an empty one never right behind another match.
 * text is valid UTF-8. NX_ELIMIT: the pattern takes too long on this text. */
nx_status nx_tj_next(const nx_tj_pattern *p, nx_tj_matcher *m, nx_tj_search *s, const char *text,
                     size_t len, size_t bounds[2], bool *found, nx_error *err);
void      nx_tj_matcher_free(nx_tj_matcher *m);

/* ---- Normalizers: tj_norm.c ------------------------------------------------------------------- */

typedef enum nx_tj_norm_kind {
    NX_TJ_NFC,
    NX_TJ_NFD,
    NX_TJ_NFKC,
    NX_TJ_NFKD,
    NX_TJ_LOWERCASE,
    NX_TJ_STRIP_ACCENTS,
    NX_TJ_STRIP,
    NX_TJ_REPLACE,
    NX_TJ_PREPEND,
    NX_TJ_NMT,
    NX_TJ_PRECOMPILED,
    NX_TJ_BYTES,      /* ByteLevel */
    NX_TJ_CLEAN,      /* BertNormalizer's steps: clean_text, */
    NX_TJ_IDEOGRAPHS, /* handle_chinese_chars, */
    NX_TJ_BARE,       /* and strip_accents after NFD */
} nx_tj_norm_kind;

typedef struct nx_tj_norm {
    nx_tj_norm_kind     kind;
    bool                left, right; /* STRIP */
    nx_tj_pattern       pattern;     /* REPLACE */
    nx_str              text;        /* REPLACE, PREPEND */
    struct nx_charsmap *map;         /* PRECOMPILED; NULL: it maps nothing */
} nx_tj_norm;

/* A piece of text on its way; `first`: it begins where the whole text begins. */
typedef struct nx_tj_piece {
    const char *p;
    size_t      len;
    bool        first;
} nx_tj_piece;

/* Two buffers that a chain of normalizers writes in turn. */
typedef struct nx_tj_norm_work {
    nx_buf         buf[2];
    nx_bytemap     map;
    nx_tj_matcher *matcher;
} nx_tj_norm_work;

/* Some types are several stages: adds them at norms[*n], at most NX_TJ_STAGES_MAX in all. */
nx_status nx_tj_norm_read(nx_tj_norm *norms, int *n, nx_arena *arena, nx_str type, const nx_json *v,
                          nx_error *err);
void      nx_tj_norm_free(nx_tj_norm *n);

/* *piece becomes a view into w, or stays what it is where nothing changes. */
nx_status nx_tj_normalise(const nx_tj_norm *norms, int n, nx_tj_norm_work *w, nx_tj_piece *piece,
                          nx_error *err);
void      nx_tj_norm_work_init(nx_tj_norm_work *w, nx_tj_matcher *matcher);
void      nx_tj_norm_work_free(nx_tj_norm_work *w);

/* ---- Added tokens: tj_added.c ----------------------------------------------------------------- */

typedef struct nx_tj_added {
    nx_str  content;
    nx_str  pattern; /* content, normalised where `normalized` says so */
    int32_t id;
    bool    single_word, lstrip, rstrip, normalized, special;
} nx_tj_added;

typedef struct nx_tj_finder {
    const nx_tj_added **list; /* [n] sorted by pattern */
    int32_t             n;
    bool                first[256];
} nx_tj_finder;

nx_status nx_tj_finder_create(nx_tj_finder *f, const nx_tj_added *all, int32_t n, bool normalized,
                              nx_error *err);
void      nx_tj_finder_free(nx_tj_finder *f);

typedef nx_status (*nx_tj_on_gap)(void *ctx, nx_tj_piece piece, nx_error *err);
typedef nx_status (*nx_tj_on_token)(void *ctx, int32_t id, nx_error *err);

/* May the special token that stands at text[from..to) be read as such? NULL: all may. */
typedef struct nx_tj_permit {
    bool (*ask)(void *ctx, const char *from, const char *to);
    void *ctx;
} nx_tj_permit;

/* Cut piece into added tokens and what lies between, in order. */
nx_status nx_tj_cut_added(const nx_tj_finder *f, nx_tj_piece piece, const nx_tj_permit *permit,
                          nx_tj_on_gap gap, nx_tj_on_token token, void *ctx, nx_error *err);

/* ---- Pre-tokenizers: tj_pre.c ----------------------------------------------------------------- */

typedef enum nx_tj_behaviour {
    NX_TJ_REMOVED,
    NX_TJ_ISOLATED,
    NX_TJ_MERGED_WITH_PREVIOUS,
    NX_TJ_MERGED_WITH_NEXT,
    NX_TJ_CONTIGUOUS,
} nx_tj_behaviour;

typedef enum nx_tj_pre_kind {
    NX_TJ_SPLIT,      /* pattern, behaviour, invert */
    NX_TJ_BYTE_LEVEL, /* prefix; pattern where use_regex; then bytes become characters */
    NX_TJ_METASPACE,
    NX_TJ_CLASS, /* characters of a class, behaviour: no pattern needed */
    NX_TJ_WORDS, /* Whitespace: runs of word characters, and of what is neither that nor white */
    NX_TJ_SCRIPTS,
    NX_TJ_FIXED_LENGTH,
} nx_tj_pre_kind;

typedef enum nx_tj_class {
    NX_TJ_WHITE,        /* WhitespaceSplit */
    NX_TJ_PUNCTUATION,  /* Punctuation, BertPreTokenizer */
    NX_TJ_NUMERIC,      /* Digits */
    NX_TJ_ONE_CHARACTER /* CharDelimiterSplit */
} nx_tj_class;

typedef enum nx_tj_scheme { NX_TJ_ALWAYS, NX_TJ_NEVER, NX_TJ_FIRST } nx_tj_scheme;

typedef struct nx_tj_pre {
    nx_tj_pre_kind  kind;
    nx_tj_pattern   pattern;
    nx_tj_behaviour behaviour;
    bool            invert;
    bool            prefix;    /* BYTE_LEVEL: add_prefix_space */
    bool            use_regex; /* BYTE_LEVEL */
    nx_tj_class     of;        /* CLASS */
    uint32_t        character; /* CLASS of one character */
    nx_str          mark;      /* METASPACE: replacement, one character */
    nx_tj_scheme    scheme;
    bool            split;
    size_t          length; /* FIXED_LENGTH, in characters */
} nx_tj_pre;

/* Some types are several stages: adds them at pres[*n], at most NX_TJ_STAGES_MAX in all. */
nx_status nx_tj_pre_read(nx_tj_pre *pres, int *n, nx_arena *arena, nx_str type, const nx_json *v,
                         nx_error *err);
void      nx_tj_pre_free(nx_tj_pre *p);

typedef struct nx_tj_range {
    size_t from, to;
    bool   match;
} nx_tj_range;

typedef struct nx_tj_ranges {
    nx_tj_range *list;
    size_t       n, cap;
} nx_tj_ranges;

/* Scratch of all stages, and where words go. */
typedef struct nx_tj_pre_work {
    const nx_tj_pre *pres;
    int              n;
    bool             raw_bytes; /* the last stage leaves bytes as they are */
    nx_buf           buf[NX_TJ_STAGES_MAX], spelled[NX_TJ_STAGES_MAX];
    nx_tj_ranges     ranges[NX_TJ_STAGES_MAX];
    nx_bytemap       map;
    nx_tj_matcher   *matcher;
    nx_status (*on_word)(void *ctx, const char *word, size_t len, nx_error *err);
    void *ctx;
} nx_tj_pre_work;

void      nx_tj_pre_work_init(nx_tj_pre_work *w, const nx_tj_pre *pres, int n, bool raw_bytes,
                              nx_tj_matcher *matcher);
nx_status nx_tj_pre_tokenize(nx_tj_pre_work *w, nx_tj_piece piece, nx_error *err);
void      nx_tj_pre_work_free(nx_tj_pre_work *w);

/* ---- Models: tj_bpe.c, tj_unigram.c, tj_words.c ----------------------------------------------- */

typedef enum nx_tj_model_kind {
    NX_TJ_BPE,
    NX_TJ_UNIGRAM,
    NX_TJ_WORDPIECE,
    NX_TJ_WORDLEVEL,
} nx_tj_model_kind;

typedef struct nx_tj_model {
    nx_tj_model_kind kind;
    nx_str          *keys;    /* [count] the tokens as the file lists them */
    int32_t         *key_ids; /* [count] */
    int32_t          count;
    nx_str          *texts;   /* [n] by id, of the model alone; p NULL: no such id */
    int32_t          n;       /* one past the largest id */
    nx_index         index;   /* over keys */
    size_t           longest; /* bytes of the longest key */
    nx_str           unk_text;
    int32_t          unk; /* -1: none, or not in the vocabulary */
    bool             byte_fallback, fuse_unk, ignore_merges;
    nx_str           prefix, suffix;    /* continuing_subword_prefix, end_of_word_suffix */
    int32_t          fallback_ids[256]; /* "<0x00>" .., or -1 */

    /* BPE */
    nx_merges merges;
    nx_str   *merge_texts; /* [2 * n_merges] both sides, best first */
    int32_t   n_merges;
    bool      raw;           /* words come as bytes: byte_ids instead of characters */
    bool      raw_complete;  /* every byte has a token */
    int32_t   char_ids[256]; /* raw: the token of a byte; else of an ASCII character; or -1 */
    nx_str   *raw_keys;      /* raw and ignore_merges: [count] the bytes of each key, or empty */
    nx_index  by_raw;

    /* Unigram */
    double            *scores; /* [count] */
    struct nx_unigram *unigram;

    /* WordPiece */
    int64_t chars_max;
} nx_tj_model;

typedef struct nx_tj_cached nx_tj_cached;

/* Scratch of one call of encode. nx_tj_model_work_init; .._free. */
typedef struct nx_tj_model_work {
    nx_bpe_work     bpe;
    nx_unigram_work unigram;
    nx_buf          word;
    nx_tj_cached   *cache; /* NULL: the text is short */
} nx_tj_model_work;

nx_status nx_tj_model_read(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err);
/* raw: its words will come as bytes, before a byte-level pre-tokenizer has spelled them. */
nx_status nx_tj_model_ready(nx_tj_model *m, nx_arena *arena, bool raw, nx_error *err);
void      nx_tj_model_free(nx_tj_model *m);
int32_t   nx_tj_model_find(const nx_tj_model *m, const char *p, size_t len); /* or -1 */

nx_status nx_tj_model_work_init(nx_tj_model_work *w, size_t text_len, nx_error *err);
void      nx_tj_model_work_free(nx_tj_model_work *w);
nx_status nx_tj_model_encode(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out,
                             const char *word, size_t len, nx_error *err);

/* The parts of the above that concern one kind. */
nx_status nx_tj_bpe_read(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err);
nx_status nx_tj_bpe_ready(nx_tj_model *m, nx_arena *arena, nx_error *err);
nx_status nx_tj_bpe_encode(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out, const char *word,
                           size_t len, nx_error *err);
nx_status nx_tj_unigram_read(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err);
nx_status nx_tj_unigram_encode(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out,
                               const char *word, size_t len, nx_error *err);

/* The tokens of p's bytes, if each has one: then *all. */
nx_status nx_tj_add_bytes(const nx_tj_model *m, nx_ids *out, const char *p, size_t len, bool *all,
                          nx_error *err);
/* unk, or NX_EUNSUPPORTED when there is none. */
nx_status nx_tj_add_unk(const nx_tj_model *m, nx_ids *out, nx_error *err);

/* ---- Decoders: tj_dec.c ----------------------------------------------------------------------- */

typedef enum nx_tj_dec_kind {
    NX_TJ_DEC_BYTE_LEVEL,
    NX_TJ_DEC_METASPACE,
    NX_TJ_DEC_WORDPIECE,
    NX_TJ_DEC_BPE,
    NX_TJ_DEC_BYTE_FALLBACK,
    NX_TJ_DEC_FUSE,
    NX_TJ_DEC_STRIP,
    NX_TJ_DEC_REPLACE,
    NX_TJ_DEC_CTC,
    NX_TJ_DEC_SPACES, /* no decoder: tokens with a space between them */
} nx_tj_dec_kind;

typedef struct nx_tj_dec {
    nx_tj_dec_kind kind;
    nx_str         text;        /* METASPACE and STRIP: the character; prefix; suffix; pad_token */
    nx_str         content;     /* REPLACE; CTC: word_delimiter_token */
    nx_tj_pattern  pattern;     /* REPLACE */
    bool           prefix;      /* METASPACE: the first mark goes */
    bool           cleanup;     /* WORDPIECE, CTC */
    int64_t        start, stop; /* STRIP */
} nx_tj_dec;

nx_status nx_tj_dec_read(nx_tj_dec *d, nx_arena *arena, nx_str type, const nx_json *v,
                         nx_error *err);
void      nx_tj_dec_free(nx_tj_dec *d);

/* ---- The whole -------------------------------------------------------------------------------- */

#define NX_TJ_SEQUENCE (-1) /* in a post-processor's list: the text's own ids stand here */

typedef struct nx_tj {
    nx_arena     arena; /* texts */
    nx_tj_norm   norms[NX_TJ_STAGES_MAX];
    nx_tj_pre    pres[NX_TJ_STAGES_MAX];
    nx_tj_dec    decs[NX_TJ_STAGES_MAX];
    int          n_norms, n_pres, n_decs;
    bool         raw_bytes;    /* words stay bytes: the model reads them so */
    bool         spells_bytes; /* some stage writes bytes as characters */
    nx_tj_model  model;
    nx_tj_added *added; /* [n_added] in the order in which they were added */
    int32_t      n_added;
    nx_tj_finder find_raw, find_normalised;
    nx_ids       front, back; /* what the post-processor puts around */
    int32_t     *added_at; /* [v->n] index into added, or -1; NULL: each id decodes to its text */
} nx_tj;

/* nx_vocab_ops' functions, by file. */
nx_status nx_tj_encode(const nx_vocab *v, nx_ids *out, const char *text, const nx_span *spans,
                       size_t n_spans, nx_error *err);
nx_status nx_tj_decode(const nx_vocab *v, nx_buf *out, const int32_t *ids, size_t n,
                       bool keep_control, nx_error *err);
nx_status nx_tj_push(nx_decoder *d, const nx_vocab *v, int32_t id, nx_buf *out, nx_error *err);
nx_status nx_tj_finish(nx_decoder *d, nx_buf *out, nx_error *err);
void      nx_tj_drop(void *state);

/* The vocabulary of a tokenizer.json, and of the files beside it where cp isn't NULL. NX_EFORMAT,
 * NX_EUNSUPPORTED, NX_ELIMIT, NX_ENOMEM: the message names file, line and member. */
bool      nx_tj_is(const nx_vocab *v); /* is v->impl an nx_tj? */
nx_status nx_tj_create(nx_vocab **out, const nx_checkpoint *cp, nx_str json, nx_error *err);

/* tj_pair.c: v->pair as the post-processor of this tokenizer.json has it; v->pairs stays false where
 * there is none, or one that does more than put special tokens around the two. NX_ENOMEM. */
nx_status nx_tj_read_pair(nx_vocab *v, const nx_json *root, nx_error *err);

/* ---- Small things that several of the files say ----------------------------------------------- */

nx_status nx_tj_bad(const nx_json *v, nx_error *err, const char *fmt, ...) NX_PRINTF(3, 4);
nx_status nx_tj_keep(nx_arena *arena, nx_str *out, nx_str text, nx_error *err);
/* A member that is a string (kept), a boolean, an integer; absent or null: *out stays. */
nx_status nx_tj_get_str(const nx_json *v, const char *key, nx_arena *arena, nx_str *out,
                        nx_error *err);
nx_status nx_tj_get_bool(const nx_json *v, const char *key, bool *out, nx_error *err);
nx_status nx_tj_get_int(const nx_json *v, const char *key, int64_t *out, int64_t min, int64_t max,
                        nx_error *err);
/* A number as the JSON reader of `tokenizers` understands it: a long fraction may be off by one in
 * the last place, and sums of scores that are equal to us aren't to it. */
bool      nx_tj_number(const nx_json *v, double *out);
nx_status nx_tj_char_of(const nx_json *v, const char *key, nx_str text, uint32_t *c, nx_error *err);

/* \w of Rust's regexes: Oniguruma's, less the fractions and superscripts that it counts in below
 * U+0100, with the joiners. */
bool nx_tj_is_word(uint32_t c);

/* Every character of text, and there is one, stands for a byte. */
bool nx_tj_is_spelled(const nx_bytemap *map, nx_str text);

/* Append bytes as the visible characters that stand for them. */
nx_status nx_tj_spell_bytes(const nx_bytemap *map, nx_buf *out, const char *p, size_t len,
                            nx_error *err);

#endif
