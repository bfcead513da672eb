/* rag_access.h - what the handlers of /rag and /llm/rag share: names, models, the desk, who may set what.
 *
 * Thread: the call's.
 */
#ifndef NX_SERVER_RAG_ACCESS_H
#define NX_SERVER_RAG_ACCESS_H

#include "server/call.h"

/* "collection_name" of the body, or the default one. */
nx_str nx_rag_collection_of(const nx_call *c);

/* Go on at the store's desk, with the call retained until then returns. */
void nx_rag_at_desk(nx_call *c, void (*then)(nx_call *c));

/* May who asks change what holds for everybody? A key that is bound may not: refused. */
bool nx_rag_may_set(nx_call *c);

/* The models that answer and embed where nobody names one: the first of each kind. */
typedef struct nx_rag_models {
    char writer[256], embedder[256]; /* "": there is none */
    bool writer_loaded, embedder_loaded, embedder_failed;
} nx_rag_models;

void nx_rag_look_at_models(nx_server *s, nx_rag_models *out);

/* The 204 of a route that has nothing to say. */
void nx_rag_reply_nothing(nx_call *c);

#endif
