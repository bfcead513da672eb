/* format_rag.h - the shapes of answers from documents: /llm/rag/query's body and events, and what OpenAI's
 * chat gets beside its own shape.
 *
 * Thread: the call's.
 */
#ifndef NX_SERVER_FORMAT_RAG_H
#define NX_SERVER_FORMAT_RAG_H

#include "server/rag_talk.h"

extern const nx_rag_shape nx_rag_shape_llm;  /* {"query", "answer", "sources", ...} */
extern const nx_rag_shape nx_rag_shape_chat; /* chat.completion, with annotations */

/* "annotations": [...] into an open message or delta: where the text leans on documents. The text is whole. */
void nx_rag_write_annotations(nx_jw *w, nx_rag_talk *t);

#endif
