/* format_openai.h - the shapes of OpenAI's answers. */
#ifndef NX_SERVER_FORMAT_OPENAI_H
#define NX_SERVER_FORMAT_OPENAI_H

#include "server/answer.h"

extern const nx_format nx_format_chat, nx_format_completion;

/* A chat's answer from documents that no model was asked for: its body, or its events but [DONE]. */
void nx_chat_direct_whole(nx_rag_talk *t, nx_str text, nx_jw *w);
void nx_chat_direct_events(nx_rag_talk *t, nx_str text, nx_buf *out);

#endif
