/* ask.h - from checked fields to what an answer is asked: sampling, stop texts, prompts.
 *
 * Thread: the call's.
 */
#ifndef NX_SERVER_ASK_H
#define NX_SERVER_ASK_H

#include "server/answer.h"

/* An ask in the making: what it points to is here, and freed by nx_asking_free. */
typedef struct nx_asking {
    nx_ask   ask;
    nx_arena arena;
    nx_ids  *prompts; /* [n_prompts] */
} nx_asking;

void nx_asking_free(nx_asking *a);

/* Sampling, stop texts, seed, length, stream, priority: every field that the route's table has. n_predict
 * is left alone where the body says nothing of a length. NX_EINVAL, NX_ENOMEM; *field names the field. */
nx_status nx_asking_read(nx_asking *a, nx_call *c, const char **field, nx_error *err);

/* Room for n prompts. NX_ENOMEM. */
nx_status nx_asking_make_room(nx_asking *a, int32_t n, nx_error *err);

/* Prompt i is this text: as the vocabulary wants one, control tokens meant. NX_EINVAL: no token at all. */
nx_status nx_asking_text(nx_asking *a, const nx_call *c, int32_t i, nx_str text, nx_error *err);

/* Prompt i are these ids, an array of integers. */
nx_status nx_asking_ids(nx_asking *a, const nx_call *c, int32_t i, const nx_json *ids,
                        nx_error *err);

/* Prompt 0 is this conversation: messages as OpenAI's clients write them, tools or NULL. */
nx_status nx_asking_chat(nx_asking *a, const nx_call *c, const nx_json *messages,
                         const nx_json *tools, nx_error *err);

/* Start the answer, or refuse for st; frees a. field: what err is about, or NULL. */
void nx_asking_go(nx_asking *a, nx_call *c, nx_status st, const char *field, const nx_error *err);

#endif
