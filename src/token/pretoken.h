/* pretoken.h - cuts a text into the words that byte-level BPE merges within.
 *
 * Owns:   compiled PCRE2 patterns; what a match needs lives in an nx_splitter, one per call of
 *         encode, so that any thread may use one pretoken.
 * Idea:   a pre-tokenizer is a list of patterns. Each cuts what the one before left into matches
 *         and gaps; most have one pattern, which leaves no gaps.
 * Bytes that are not UTF-8 never reach PCRE2: a run of them is a word of its own.
 */
#ifndef NX_TOKEN_PRETOKEN_H
#define NX_TOKEN_PRETOKEN_H

#include "base/buf.h"
#include "token/cut.h"

#define NX_PATTERNS_MAX 6

typedef struct nx_pretoken_kind nx_pretoken_kind; /* a row of the table in pretoken.c */

typedef struct nx_pretoken {
    const nx_pretoken_kind *kind;
    const nx_cut           *cuts[NX_PATTERNS_MAX];  /* by hand; NULL: by pattern */
    void                   *codes[NX_PATTERNS_MAX]; /* pcre2_code */
    bool                    jit[NX_PATTERNS_MAX];
    int                     n;
    char                    name[32];
} nx_pretoken;

/* name as in tokenizer.ggml.pre. NX_EUNSUPPORTED lists the names that we have. */
nx_status nx_pretoken_create(nx_pretoken *p, nx_str name, nx_error *err);
void      nx_pretoken_destroy(nx_pretoken *p);

const char *nx_pretoken_name(const nx_pretoken *p);           /* "llama-bpe" */
bool        nx_pretoken_ignores_merges(const nx_pretoken *p); /* a word that is a token is taken */
bool        nx_pretoken_adds_bos(const nx_pretoken *p);       /* where the file doesn't say */

/* Called with each word in order; anything but NX_OK ends the split. */
typedef nx_status (*nx_word_fn)(void *ctx, const char *word, size_t len, nx_error *err);

typedef struct nx_splitter {
    const nx_pretoken *pretoken;
    void              *match[NX_PATTERNS_MAX]; /* pcre2_match_data */
    void              *limits;                 /* pcre2_match_context */
    nx_word_fn         on_word;
    void              *ctx;
} nx_splitter;

nx_status nx_splitter_create(nx_splitter *s, const nx_pretoken *p, nx_word_fn on_word, void *ctx,
                             nx_error *err);
void      nx_splitter_destroy(nx_splitter *s);
nx_status nx_splitter_run(nx_splitter *s, const char *text, size_t len, nx_error *err);

#endif
