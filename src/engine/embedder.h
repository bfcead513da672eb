/* embedder.h - texts in, vectors out.
 *
 * One call:
 *   nx_embedder_open(&e, llm, NULL, &err);
 *   nx_embed_options_default(&opt);
 *   nx_embedder_run(e, out, (nx_embed_text[]){{.text = NX_STR("What is rust?")}}, 1, &opt, &report,
 *                   &err);
 *
 * Idea:   texts become ids; those of many texts go through the model in one step, packed without
 *         padding; their rows are pooled, made unit length, and cut to the dimensions asked for. No
 *         bit of a vector depends on what was computed beside it. A long request takes many steps,
 *         and others come between them.
 * Owns:   the model, the activations of one step, and a cache of the vectors asked for last.
 * Thread: any; steps take turns in the order in which they were asked for.
 */
#ifndef NX_ENGINE_EMBEDDER_H
#define NX_ENGINE_EMBEDDER_H

#include <stdatomic.h>

#include "engine/embed_cache.h"
#include "engine/embed_spec.h"
#include "engine/llm.h"

typedef struct nx_embedder nx_embedder;

/* What is done with a text that is longer than the model takes. */
typedef enum nx_long_text {
    NX_LONG_ERROR,
    NX_LONG_CUT,    /* its beginning alone */
    NX_LONG_WINDOWS /* in as few windows as do, of nearly equal length, side by side; the vector is
                     * the mean of theirs, each weighted by its tokens */
} nx_long_text;

/* A text, or the ids of one. Ids get those that stand around a text of their own accord, unless they
 * are there already; they know no prompt. */
typedef struct nx_embed_text {
    nx_str         text;
    const int32_t *ids; /* [n_ids]; NULL: text counts */
    size_t         n_ids;
} nx_embed_text;

typedef struct nx_embed_options {
    nx_long_text       long_texts;
    nx_input_type      input_type;
    int32_t            n_dims; /* the first so many numbers, at unit length again; 0: all */
    const atomic_bool *cancel; /* may be NULL; looked at between steps */
} nx_embed_options;

void nx_embed_options_default(nx_embed_options *opt);

/* What was done, all texts together. */
typedef struct nx_embed_report {
    int64_t n_tokens;  /* that the model read, or had read when it came from the cache */
    int64_t n_cut;     /* tokens left out, with NX_LONG_CUT */
    int32_t n_long;    /* texts longer than the model takes */
    int32_t n_windows; /* pieces that they were read in; with NX_LONG_CUT one each */
    int32_t n_cached;  /* texts whose vector was there already */
    int32_t failed;    /* an error: the text that is to blame, or -1 */
} nx_embed_report;

typedef struct nx_embedder_options {
    int32_t n_cache; /* vectors kept at most; 0: none */
    int32_t n_batch; /* rows of a step; 0: NX_EMBED_BATCH_DEFAULT. A longer text makes it grow */
} nx_embedder_options;

#define NX_EMBED_CACHE_DEFAULT 10000
#define NX_EMBED_BATCH_DEFAULT 256

/* Takes llm, also on an error. opt NULL: the defaults. NX_EUNSUPPORTED: a model that doesn't embed, or
 * has no vocabulary; NX_EINVAL (sizes), NX_ENOMEM. */
nx_status nx_embedder_open(nx_embedder **out, nx_llm *llm, const nx_embedder_options *opt,
                           nx_error *err);
void      nx_embedder_close(nx_embedder *e); /* NULL does nothing */

/* The vectors of n texts: out [n, n_dims] (or [n, n_embd]).
 * Errors: NX_ELIMIT (a text is too long, and long_texts says error; its tokens and the most that fit
 * are in the message), NX_EINVAL (n_dims, an id that isn't in the vocabulary, a text without any
 * token), NX_ECANCELLED, NX_ENOMEM. report is filled in every case; out then holds nothing. */
nx_status nx_embedder_run(nx_embedder *e, float *out, const nx_embed_text *texts, int32_t n,
                          const nx_embed_options *opt, nx_embed_report *report, nx_error *err);

/* Tokens of a text, with its prompt and those around it. It fits when they are no more than the
 * specification's length_max. Any thread, at any time. NX_ENOMEM. */
nx_status nx_embedder_count(const nx_embedder *e, int32_t *n, nx_str text, nx_input_type type,
                            nx_error *err);

int32_t              nx_embedder_dims(const nx_embedder *e); /* n_embd */
const nx_embed_spec *nx_embedder_spec(const nx_embedder *e);
const nx_llm        *nx_embedder_llm(const nx_embedder *e);

nx_embed_cache_stats nx_embedder_cache(nx_embedder *e);
void                 nx_embedder_cache_clear(nx_embedder *e);

#endif
