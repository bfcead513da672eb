/* nexus.h - a language model on your own machine, from C.
 *
 * 1. One call deep: open a model, ask, read the text as it comes.
 *
 *     static int on_text(void *ctx, const char *text, size_t len)
 *     {
 *         fwrite(text, 1, len, stdout);
 *         return 0;                               // anything else stops the generation
 *     }
 *
 *     nx_error   err;
 *     nx_engine *engine = NULL;
 *     if (nx_engine_open(&engine, "model.gguf", NULL, &err)) { puts(err.text); return 1; }
 *     nx_session *s = NULL;
 *     nx_session_create(&s, engine, NULL, &err);
 *     nx_session_generate(s, "Once upon a time", NULL, on_text, NULL, NULL, &err);
 *     nx_session_destroy(s);
 *     nx_engine_close(engine);
 *
 * 2. Options are structs with defaults: nx_generate_options_default(&opt); opt.temperature = 0;
 * 3. Token by token: nx_tokenize, nx_session_eval, nx_session_logits.
 *
 * Words: an *engine* is a loaded model (weights, vocabulary, worker threads); a *session* is one
 * conversation's timeline (its KV cache). Results are a status; messages are in nx_error.
 * Threads: an engine and its sessions are used by one thread at a time. Different engines are
 * independent. Nothing here ends the process, and nothing writes to stdout or stderr.
 */
#ifndef NEXUS_NEXUS_H
#define NEXUS_NEXUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NX_API __attribute__((visibility("default")))
#else
#define NX_API
#endif

#define NX_VERSION "0.1.0"

/* ---- Status and errors ---------------------------------------------------------------------- */

#define NX_STATUS_TABLE(X)                                                                         \
    X(OK, "done")                                                                                  \
    X(EINVAL, "wrong argument")                                                                    \
    X(ENOMEM, "out of memory")                                                                     \
    X(ENOENT, "not found")                                                                         \
    X(EIO, "input or output failed")                                                               \
    X(EFORMAT, "malformed file")                                                                   \
    X(EUNSUPPORTED, "not supported")                                                               \
    X(ELIMIT, "beyond a limit")                                                                    \
    X(EBUSY, "busy, try again later")                                                              \
    X(ECANCELLED, "cancelled")                                                                     \
    X(EINTERNAL, "a fault of ours")                                                                \
    X(EFULL, "the disk is full")

typedef enum nx_status {
#define X(name, text) NX_##name,
    NX_STATUS_TABLE(X)
#undef X
} nx_status;

#define NX_ERROR_TEXT_MAX 512

/* Filled only when a call returns something else than NX_OK. Plain data: copy it freely. */
typedef struct nx_error {
    nx_status status;
    char      text[NX_ERROR_TEXT_MAX]; /* what, where, expected, found, hint; UTF-8 */
} nx_error;

NX_API const char *nx_status_name(nx_status st); /* "EFORMAT" */
NX_API const char *nx_status_text(nx_status st); /* "malformed file" */
NX_API const char *nx_version(void);             /* NX_VERSION of the library in use */

/* ---- Engine: a loaded model ----------------------------------------------------------------- */

typedef struct nx_engine nx_engine;

typedef struct nx_engine_options {
    int32_t n_threads; /* 0: as many as this process has processors */
} nx_engine_options;

NX_API void nx_engine_options_default(nx_engine_options *opt);

/* Open a GGUF file (or the first of a split set). The file is mapped, not copied, and must not
 * change while the engine is open. opt may be NULL. On error *out is NULL.
 * Errors: NX_ENOENT, NX_EIO, NX_EFORMAT, NX_EUNSUPPORTED (architecture, tensor type, tokenizer:
 * named in the message), NX_ENOMEM. */
NX_API nx_status nx_engine_open(nx_engine **out, const char *path, const nx_engine_options *opt,
                                nx_error *err);
NX_API void      nx_engine_close(nx_engine *engine); /* after its sessions; NULL does nothing */

typedef struct nx_engine_info {
    const char *architecture; /* "llama"; borrowed from the engine, as is name */
    const char *name;         /* general.name, or "" */
    uint64_t    n_params;
    uint64_t    weights_bytes;
    int32_t     n_vocab, n_ctx_model, n_layers, n_embd;
} nx_engine_info;

NX_API void nx_engine_get_info(const nx_engine *engine, nx_engine_info *out);

/* ---- Text and tokens ------------------------------------------------------------------------ */

/* Encode text[0..len) (UTF-8; other bytes are encoded as bytes). Writes at most cap ids and sets
 * *n_ids to the full count, so a call with cap 0 measures. with_special adds what the model wants
 * around a text (BOS) and reads control tokens written in it.
 * Errors: NX_ELIMIT (cap too small; *n_ids is right), NX_ENOMEM, NX_EINVAL. */
NX_API nx_status nx_tokenize(const nx_engine *engine, int32_t *ids, size_t cap, size_t *n_ids,
                             const char *text, size_t len, bool with_special, nx_error *err);

/* The bytes of ids, at most cap of them; *len is the full count. Control tokens give no bytes. */
NX_API nx_status nx_detokenize(const nx_engine *engine, char *text, size_t cap, size_t *len,
                               const int32_t *ids, size_t n_ids, nx_error *err);

/* ---- Sessions ------------------------------------------------------------------------------- */

typedef struct nx_session nx_session;

typedef enum nx_kv_type { NX_KV_F16, NX_KV_F32, NX_KV_Q8_0 } nx_kv_type;

typedef struct nx_session_options {
    int32_t    n_ctx;   /* positions; 0: the model's context, at most 4096 */
    int32_t    n_batch; /* tokens computed together while reading a prompt; default 256 */
    nx_kv_type kv_type; /* default NX_KV_F16 */
} nx_session_options;

NX_API void nx_session_options_default(nx_session_options *opt);

/* All memory of the session is taken here. Errors: NX_ELIMIT (n_ctx above the model's), NX_EINVAL,
 * NX_ENOMEM. */
NX_API nx_status nx_session_create(nx_session **out, nx_engine *engine,
                                   const nx_session_options *opt, nx_error *err);
NX_API void      nx_session_destroy(nx_session *session);

/* Feed n_ids tokens. After NX_OK, logits are those after the last one. After an error the session
 * is as it was before the call. NX_ELIMIT when the context can't hold them: both numbers are in
 * the message. */
NX_API nx_status    nx_session_eval(nx_session *session, const int32_t *ids, size_t n_ids,
                                    nx_error *err);
NX_API const float *nx_session_logits(const nx_session *session); /* [n_vocab], until next eval */
NX_API int32_t      nx_session_length(const nx_session *session); /* positions in use */
NX_API nx_status    nx_session_rewind(nx_session *session, int32_t n_keep, nx_error *err);

/* ---- Generation ----------------------------------------------------------------------------- */

typedef struct nx_generate_options {
    int32_t            n_predict;      /* new tokens at most; default 256; capped by the context */
    float              temperature;    /* 0: greedy; default 0.8 */
    int32_t            top_k;          /* 0: off; default 40 */
    float              top_p;          /* 1: off; default 0.95 */
    float              min_p;          /* 0: off; default 0.05 */
    float              typical_p;      /* 1: off, the default */
    float              repeat_penalty; /* 1: off, the default */
    float              frequency_penalty; /* 0: off, the default */
    float              presence_penalty;  /* 0: off, the default */
    int32_t            penalty_window;    /* last tokens that penalties see; default 64; -1: all */
    uint64_t           seed; /* the same seed gives the same text; default 0: a random one */
    const char *const *stop; /* [n_stop] texts that end the answer and are not part of it */
    size_t             n_stop;
} nx_generate_options;

NX_API void nx_generate_options_default(nx_generate_options *opt);

/* Pieces of whole UTF-8 characters, as they are born. Return 0 to go on. */
typedef int (*nx_text_fn)(void *ctx, const char *text, size_t len);

typedef enum nx_finish { NX_FINISH_STOP, NX_FINISH_LENGTH, NX_FINISH_CANCELLED } nx_finish;

typedef struct nx_generate_result {
    int32_t   n_prompt, n_new;
    nx_finish finish;
    uint64_t  seed; /* the one in force */
    double    prefill_s, decode_s;
} nx_generate_result;

/* Continue the session with prompt (UTF-8, special tokens as in nx_tokenize; BOS only at the
 * session's beginning) and stream the answer to on_text. opt, result and err may be NULL.
 * What was said stays in the session, but for the token that ended the answer (its last, or the
 * model's own end): nothing needed its logits, so it wasn't fed. */
NX_API nx_status nx_session_generate(nx_session *session, const char *prompt,
                                     const nx_generate_options *opt, nx_text_fn on_text, void *ctx,
                                     nx_generate_result *result, nx_error *err);

#ifdef __cplusplus
}
#endif
#endif
