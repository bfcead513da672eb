/* chat.h - a conversation as the ids that a chat model was trained to read.
 *
 * Built-in templates by name (chatml, llama3, ...). The model's own tokenizer.chat_template tells
 * which of them it is; it isn't interpreted.
 * Owns:   nothing of its vocabulary, which must outlive it.
 * Thread: any, once open.
 */
#ifndef NX_TOKEN_CHAT_H
#define NX_TOKEN_CHAT_H

#include "token/vocab.h"

typedef struct nx_chat nx_chat;

typedef enum nx_chat_role { NX_CHAT_SYSTEM, NX_CHAT_USER, NX_CHAT_ASSISTANT } nx_chat_role;

typedef struct nx_chat_message {
    nx_chat_role role;
    nx_str       text;
} nx_chat_message;

/* name NULL: the one that cp's chat template is recognised as. NX_EUNSUPPORTED: a name that isn't
 * known (with those that are), a template that isn't recognised, or one whose marks the vocabulary
 * lacks; the hint is to name one. NX_ENOMEM. */
nx_status nx_chat_open(nx_chat **out, const nx_checkpoint *cp, const nx_vocab *vocab,
                       const char *name, nx_error *err);
void      nx_chat_close(nx_chat *c);

const char        *nx_chat_name(const nx_chat *c); /* "chatml" */
const char *const *nx_chat_names(void);            /* all of them, NULL-terminated: for help */

/* Append the ids of messages[0..n), BOS included where the template wants it, and, with `answer`,
 * the opening of the assistant's turn. Marks become their control tokens; control tokens spelled
 * in a message stay text. The ids of n messages begin with those of the first n - 1, so that a KV
 * cache can be kept between turns. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_chat_encode(const nx_chat *c, nx_ids *out, const nx_chat_message *messages, size_t n,
                         bool answer, nx_error *err);

#endif
