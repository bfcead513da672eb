/* chat_rag.h - a conversation with a collection of documents: `nexus chat --rag COLLECTION`.
 *
 * Each turn is a question of its own to the documents, asked together with what was said before it, so that "and
 * when is it open?" is understood. The server retrieves, answers and cites; nothing but the conversation is
 * kept here.
 * Thread: main thread.
 */
#ifndef NX_CLI_CHAT_RAG_H
#define NX_CLI_CHAT_RAG_H

#include "cli/cli.h"

typedef struct nx_chat_rag {
    const char   *data, *collection, *embedding;
    nx_model_opts m;
    int           mode; /* nx_ask_mode */
    int32_t       n_predict;
    float         temperature; /* below 0: the server's */
    bool          show, no_history;
} nx_chat_rag;

/* Until the input ends; the exit code. */
int nx_chat_rag_run(const nx_chat_rag *o);

#endif
