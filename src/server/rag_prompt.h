/* rag_prompt.h - what a talk asks its model: the question rewritten, passages within the context. */
#ifndef NX_SERVER_RAG_PROMPT_H
#define NX_SERVER_RAG_PROMPT_H

#include "server/rag_talk.h"
#include "token/vocab.h"

/* The prompt of the answer, as ids: passages that fit (t->read and t->n_read become those), or, of
 * NX_RAG_PLAIN, the conversation alone. n_predict: tokens that shall be left for the answer, where the
 * context has them. NX_ELIMIT (both numbers), NX_EINVAL, NX_ENOMEM. */
nx_status nx_rag_prompt_make(nx_rag_talk *t, nx_ids *out, int32_t n_predict, nx_error *err);

/* t->find.document as t->lone, if it fits into half of the context with the question; opened before. *fits
 * false: it doesn't. NX_EINVAL, NX_ENOENT: for this key there is no such document. */
nx_status nx_rag_whole_document(nx_rag_talk *t, bool *fits, nx_error *err);

/* Ask the model to rewrite the question after the turns; ended is called once, on the service's thread,
 * with t. An error: it isn't asked. */
nx_status nx_rag_rewrite_start(nx_rag_talk *t, void (*ended)(void *ctx), nx_error *err);
/* What it said, counted and put into *out; nothing where that is of no use. */
nx_status nx_rag_rewrite_take(nx_rag_talk *t, nx_buf *out, nx_error *err);

#endif
