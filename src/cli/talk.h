/* talk.h - a conversation: its messages, and the timeline that has read them.
 *
 * Owns:   copies of the messages.
 * Idea:   each turn the whole conversation is put into the model's template; the ids that the
 *         timeline has read already (the common prefix) stay in its KV cache, the rest is read.
 *         When the context can't hold it with room for an answer, the oldest turns are left out.
 * Thread: one at a time.
 */
#ifndef NX_CLI_TALK_H
#define NX_CLI_TALK_H

#include "engine/generate.h"
#include "token/chat.h"

typedef struct nx_talk {
    nx_timeline     *tl;      /* borrowed */
    const nx_chat   *chat;    /* borrowed: the template */
    nx_chat_message *message; /* [n]; their texts are ours */
    size_t           n, cap;
    int32_t          n_reused, n_read; /* tokens of the last turn: kept in the cache, read anew */
    int32_t          n_forgotten;      /* turns that the last answer had to leave out for good */
} nx_talk;

void nx_talk_close(nx_talk *t);

/* Begin anew: no messages but the system text (NULL or "": none). */
nx_status nx_talk_reset(nx_talk *t, const char *system, nx_error *err);

/* Say text[0..len) and let the model answer through g, which is prepared as for nx_generate_run.
 * answer: where g's on_text gathers what the model says; read when it has spoken, and made part of
 * the conversation, even when the answer was cancelled.
 * NX_ELIMIT: this message alone doesn't fit the context (both numbers). After an error the
 * conversation is as it was before, but for turns that were left out. */
nx_status nx_talk_say(nx_talk *t, nx_generation *g, const nx_buf *answer, const char *text,
                      size_t len, nx_error *err);

#endif
