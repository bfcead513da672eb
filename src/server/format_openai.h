/* format_openai.h - the shapes of OpenAI's answers. */
#ifndef NX_SERVER_FORMAT_OPENAI_H
#define NX_SERVER_FORMAT_OPENAI_H

#include "server/answer.h"

extern const nx_format nx_format_chat, nx_format_completion;

#endif
