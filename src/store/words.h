/* words.h - texts cut into words: for text indexes, and for BM25.
 *
 * Owns:   a compiled specification: stopwords in a table, the stemmer.
 * Thread: one at a time; make one for each thread.
 */
#ifndef NX_STORE_WORDS_H
#define NX_STORE_WORDS_H

#include "store/settings.h"

enum {
    NX_WORDS_PREFIX_MAX = 255, /* characters of a beginning that counts */
    NX_BM25_CHARS_MAX = 40,    /* of a word, before it is stemmed: longer ones are left out */
};

typedef struct nx_words nx_words;

/* NX_EINVAL: a stemmer that isn't there, names those that are; bounds. NX_ENOMEM. */
nx_status nx_words_create(nx_words **out, const nx_words_spec *spec, nx_error *err);
void      nx_words_destroy(nx_words *w); /* NULL does nothing */

/* fn(ctx, word) for each word of text that counts, in order, until it returns false. asking: the words
 * of a question: with NX_WORDS_PREFIX not all their beginnings. The word is valid during the call.
 * NX_ENOMEM. */
nx_status nx_words_each(nx_words *w, nx_str text, bool asking, bool (*fn)(void *ctx, nx_str word),
                        void *ctx, nx_error *err);

/* The stopwords of a language as Qdrant and fastembed know them; NULL: none known. */
const nx_str *nx_stopwords(nx_str language, size_t *n);

/* ---- BM25 as a sparse vector ---- */

/* As fastembed's and Qdrant's "qdrant/bm25" make it: lower-cased words without stopwords, stemmed,
 * their ids murmur3; a document's values are the term frequencies that saturate (k, b, avg_len), a
 * question's are 1. The slot's `idf` brings the rest. */
typedef struct nx_bm25_options {
    float  k, b, avg_len; /* 0: 1.2, 0.75, 256 */
    nx_str language;      /* "": "english"; "none": no stopwords, no stemmer */
} nx_bm25_options;

/* The words of such a vector: runs of letters, numbers and _ (Python's \w). language as below. */
nx_status nx_words_create_bm25(nx_words **out, nx_str language, nx_error *err);
uint32_t  nx_bm25_id(nx_str stem); /* |murmur3-32| */

/* Append u32 ids, ascending, and f32 values; nothing after an error. opt may be NULL. NX_EINVAL (language), NX_ENOMEM. */
nx_status nx_bm25_vector(nx_buf *ids, nx_buf *values, nx_str text, bool asking,
                         const nx_bm25_options *opt, nx_error *err);

#endif
