/* rag_config.h - what the answers from documents are set to, and that it stays so: DATA/rag.json.
 *
 *     nx_rag_config *config;
 *     nx_rag_config_open(&config, "/data", &err);
 *     int32_t k = nx_rag_config_get(config).top_k;
 *     nx_rag_config_change(config, set_top_k, &eight, NULL, &err);       on the disk when it returns
 *
 * The file is JSON, {"enabled": true, "top_k": 5, ...}: written aside, synced, renamed. What it doesn't say
 * is the default; what it says wrongly is an error that names the file and the field, so that nobody serves
 * with settings that nobody chose.
 * Thread: any.
 */
#ifndef NX_SERVER_RAG_CONFIG_H
#define NX_SERVER_RAG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/jsonwrite.h"

#define NX_RAG_COLLECTION "knowledge_base" /* where nobody names one */

enum {
    NX_RAG_TOP_K_MAX = 100,
    NX_RAG_CHUNK_SIZE_MIN = 100, /* characters */
    NX_RAG_CHUNK_SIZE_MAX = 2048,
    NX_RAG_CHUNK_OVERLAP_MAX = 500,
};
#define NX_RAG_EPSILON_MIN 0.1
#define NX_RAG_EPSILON_MAX 10.0

typedef struct nx_rag_settings {
    bool    enabled;                   /* /llm/rag/query looks into documents */
    int32_t top_k;                     /* 1 to 100 */
    double  min_score;                 /* 0 to 1: of /rag/search and /rag/query */
    int32_t chunk_size, chunk_overlap; /* characters, of /rag/index: 100 to 2048, 0 to 500 */
    double  privacy_epsilon;           /* 0.1 to 10; kept for clients that set it */
} nx_rag_settings;

void nx_rag_settings_default(nx_rag_settings *s); /* true, 5, 0.7, 512, 50, 1 */

/* NX_EINVAL: "chunk_overlap: 500, expected less than chunk_size, which is 300". *field (may be NULL) names
 * the one that is to blame. */
nx_status nx_rag_settings_check(const nx_rag_settings *s, const char **field, nx_error *err);

/* The members "top_k", ... of an open object, "enabled" not among them. */
void nx_rag_settings_write(nx_jw *w, const nx_rag_settings *s);

typedef struct nx_rag_config nx_rag_config;

/* Read DATA/rag.json, if it is there. NX_EFORMAT, NX_EIO, NX_ELIMIT (path), NX_ENOMEM. */
nx_status nx_rag_config_open(nx_rag_config **out, const char *data, nx_error *err);
void      nx_rag_config_close(nx_rag_config *c); /* NULL does nothing */

nx_rag_settings nx_rag_config_get(nx_rag_config *c);

/* Change it: `change` gets what is in force and makes of it what shall be; false: leave it. Changes take
 * turns, so that two of different fields both hold. Durable and in force for the next get, or, after an
 * error, as it was. *now (may be NULL): what is in force then. NX_EINVAL (nx_rag_settings_check),
 * NX_EFULL, NX_EIO, NX_ENOMEM. */
typedef bool (*nx_rag_change_fn)(void *ctx, nx_rag_settings *s);
nx_status nx_rag_config_change(nx_rag_config *c, nx_rag_change_fn change, void *ctx,
                               nx_rag_settings *now, nx_error *err);

#endif
