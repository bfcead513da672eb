/* counter.h - how the chunker counts when it cuts for an embedding model.
 *
 * Thread: as nx_embedder_count: any.
 */
#ifndef NX_RAG_COUNTER_H
#define NX_RAG_COUNTER_H

#include "engine/embedder.h"
#include "rag/chunk.h"

/* Counts as e embeds a passage: with its prompt, and the tokens around. Borrows e. */
nx_counter nx_counter_of(nx_embedder *e);

#endif
