/* models.h - the models that a server knows by name: loaded when asked for, unloaded when their memory
 * is wanted.
 *
 * Owns:    an entry for each name; of loaded ones the model, its template and the service that runs it.
 * Idea:    one budget of memory. A load reserves what the model's plan says; where that isn't left, the
 *          models that nobody uses are unloaded, least recently used first. Loading has a thread of its
 *          own, so those that are loaded answer on.
 * Refuses: to know how a model is opened: an opener is handed in (cli/ has the real one, tests others).
 * Thread:  any.
 */
#ifndef NX_SERVER_MODELS_H
#define NX_SERVER_MODELS_H

#include "engine/embedder.h"
#include "engine/llm.h"
#include "engine/reranker.h"
#include "engine/service.h"
#include "server/metrics.h"
#include "token/chat.h"

#define NX_MODELS_MAX 64

/* What a model is for. */
typedef enum nx_model_use {
    NX_MODEL_GENERATES,
    NX_MODEL_EMBEDS,
    NX_MODEL_RERANKS,
    NX_MODEL_ANY, /* of questions: whichever will do */
} nx_model_use;

const char *nx_model_use_name(nx_model_use use); /* "generates", "embeds", "reranks" */

/* An open model: one that generates has a service; the others an embedder or a reranker, which owns its
 * llm. */
typedef struct nx_model_parts {
    nx_llm      *llm;
    nx_service  *service;
    nx_embedder *embedder;
    nx_reranker *reranker;
    uint64_t     bytes;      /* what it takes, weights included */
    char         quant[32];  /* "q8_0": of most of its weights */
    char         device[32]; /* "cpu" */
    char         arch[32];
} nx_model_parts;

typedef struct nx_model_opener {
    void *ctx;
    /* What is the model at path for? Quick; NX_MODEL_GENERATES also where it can't be read. NULL: all
     * generate. */
    nx_model_use (*purpose)(void *ctx, const char *path);
    /* Bytes that the model at path will take. Quick: nothing is loaded. */
    nx_status (*plan)(void *ctx, const char *path, uint64_t *bytes, nx_error *err);
    /* Open it and start its service, watched by watch. Called on a thread of its own. */
    nx_status (*open)(void *ctx, const char *path, const nx_service_watch *watch,
                      nx_model_parts *out, nx_error *err);
    void (*close)(void *ctx, nx_model_parts *parts);
} nx_model_opener;

typedef struct nx_models nx_models;

/* A model that somebody uses: stays loaded until it is released. */
typedef struct nx_loaded {
    const char       *name;
    nx_model_parts    parts;
    nx_chat          *chat; /* NULL: chat_error tells why */
    nx_error          chat_error;
    nx_model_metrics *metrics;
} nx_loaded;

typedef struct nx_models_options {
    nx_model_opener opener;
    uint64_t        memory_bytes; /* for all models; 0: no limit */
    int32_t         keep_alive_s; /* unload what was idle for so long; 0: never */
    nx_metrics     *metrics;      /* borrowed */
    bool            quiet;        /* say nothing of models that come and go */
} nx_models_options;

nx_status nx_models_create(nx_models **out, const nx_models_options *opt, nx_error *err);

/* Waits for loads under way, unloads all. Nobody uses a model any more. */
void nx_models_destroy(nx_models *m);

/* Make a name known. The first one is the default. NX_EINVAL: a name that is there already, or isn't
 * made of printable characters; NX_ELIMIT: NX_MODELS_MAX. */
nx_status nx_models_add(nx_models *m, const char *name, const char *path, nx_error *err);

/* Begin to load; returns at once. Requests meanwhile are refused as NX_EBUSY. NX_ENOENT; NX_OK also when
 * it is loaded already. */
nx_status nx_models_load(nx_models *m, nx_str name, nx_error *err);

/* Unload: NX_EBUSY while it is in use or loading, NX_ENOENT. Waits until it is gone. */
nx_status nx_models_unload(nx_models *m, nx_str name, nx_error *err);

/* Who waits for a load. ready is called on the loading thread, with the model, or with err. */
typedef struct nx_model_waiter {
    struct nx_model_waiter *next;
    void (*ready)(void *ctx, nx_loaded *model, const nx_error *err);
    void *ctx;
} nx_model_waiter;

typedef enum nx_use { NX_USE_READY, NX_USE_LATER, NX_USE_REFUSED } nx_use;

/* Use the model of that name (empty: the first one that is for it; fast, balanced or quality: the one that
 * nx_embed_alias says, where it is here). READY: *out, until nx_models_release.
 * LATER: it is being loaded now, w->ready will be called. REFUSED: NX_ENOENT, the names that there are;
 * NX_EUNSUPPORTED: it is for something else; NX_EBUSY: it is being loaded at an operator's wish; or why
 * it can't be loaded. */
nx_use nx_models_use(nx_models *m, nx_loaded **out, nx_str name, nx_model_use purpose,
                     nx_model_waiter *w, nx_error *err);
void   nx_models_release(nx_models *m, nx_loaded *model);

/* Once a second or so: unload what was idle too long. */
void nx_models_tick(nx_models *m);

/* What the service of a loaded model counts; of one without only n_ctx says something. */
void nx_model_parts_stats(const nx_model_parts *p, nx_service_stats *out);

typedef enum nx_model_state {
    NX_MODEL_UNLOADED,
    NX_MODEL_LOADING,
    NX_MODEL_READY,
    NX_MODEL_UNLOADING,
    NX_MODEL_FAILED, /* the last load; the next use tries again */
} nx_model_state;

const char *nx_model_state_name(nx_model_state s); /* "ready" */

typedef struct nx_model_view {
    const char          *name, *path;
    nx_model_state       state;
    bool                 is_default;
    uint64_t             bytes, planned_bytes;   /* 0: unknown */
    int64_t              created_s, last_used_s; /* Unix time; 0: never */
    int32_t              n_uses;
    char                 quant[32], device[32], arch[32];
    int32_t              n_ctx;
    nx_model_use         purpose;
    bool                 has_stats;
    nx_service_stats     stats; /* while it is ready */
    nx_embed_cache_stats cache; /* while it is ready and embeds */
    nx_error             error; /* of the last load */
} nx_model_view;

/* Call visit for every model, in order of their names' coming, with the lock held: it must not call
 * this file's functions. */
void nx_models_visit(nx_models *m, void (*visit)(void *ctx, const nx_model_view *v), void *ctx);

/* Forget the vectors that loaded models keep of the texts asked for last. */
void nx_models_clear_caches(nx_models *m);

/* Of the default model; UNLOADED where there is none. */
nx_model_state nx_models_default_state(nx_models *m);

uint64_t nx_models_memory_used(nx_models *m);

/* For the scrape: what the services of loaded models count now. */
void nx_models_sample(nx_models *m);

#endif
