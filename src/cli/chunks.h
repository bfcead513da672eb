/* chunks.h - a text as the pieces that perplexity and compare read, as llama.cpp cuts them, so that
 * figures can be compared: the text's tokens in chunks of n_ctx, the rest is dropped. Each is read from
 * an empty cache; its first token is replaced by BOS where the vocabulary adds one; the tokens of its
 * second half but the first are scored, each given all before it in the chunk.
 */
#ifndef NX_CLI_CHUNKS_H
#define NX_CLI_CHUNKS_H

#include "token/vocab.h"

typedef struct nx_text_chunks {
    nx_ids  ids;
    int32_t n_ctx;
    int64_t n;       /* chunks */
    int32_t bos;     /* -1: none is put */
    int32_t n_quiet; /* first tokens of a chunk that are read for their keys and values alone */
    int32_t n_rows;  /* tokens after them that predict the next: the scored ones */
} nx_text_chunks;

/* The usual 512, or as many as a model of n_ctx positions has. */
static inline int32_t nx_text_chunks_ctx_default(int32_t n_ctx)
{
    return n_ctx < 512 ? n_ctx : 512;
}

/* The tokens of a text (path "-": stdin), as a whole text is encoded. NX_EUNSUPPORTED: no vocabulary;
 * NX_EINVAL: fewer than n_min tokens. */
nx_status nx_text_chunks_read_ids(nx_ids *out, const nx_vocab *vocab, const char *path,
                                  int64_t n_min, nx_error *err);

/* Cut into chunks of n_ctx >= 4; n_max 0: all. NX_EINVAL: less than one chunk. */
nx_status nx_text_chunks_read(nx_text_chunks *c, const nx_vocab *vocab, const char *path,
                              int32_t n_ctx, int32_t n_max, nx_error *err);
void      nx_text_chunks_free(nx_text_chunks *c);

/* Chunk i: [n_ctx] ids, BOS in its place. The targets of its rows are ids[n_quiet + 1 ...]. */
const int32_t *nx_text_chunks_at(nx_text_chunks *c, int64_t i);

/* ---- Figures over tokens ---- */

typedef struct nx_tally {
    int64_t n;
    double  sum, sum_squares;
} nx_tally;

void   nx_tally_add(nx_tally *t, double x);
double nx_tally_mean(const nx_tally *t);
double nx_tally_standard_error(const nx_tally *t); /* of the mean; 0 for a single number */

#endif
