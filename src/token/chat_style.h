/* chat_style.h - how chat models mark who speaks, as data.
 *
 * A style says what stands before and after a message of each role. It becomes text with spans:
 * marks, in which control tokens count, and messages, in which they don't.
 */
#ifndef NX_TOKEN_CHAT_STYLE_H
#define NX_TOKEN_CHAT_STYLE_H

#include "token/chat.h"
#include "token/encode.h"

/* In the strings of a style: the vocabulary's own bos and eos. */
#define NX_CHAT_BOS "\x01"
#define NX_CHAT_EOS "\x02"

typedef struct nx_chat_style {
    const char *name;
    const char *tells[2];  /* texts that a model's template of this style holds, all of them */
    const char *needs[2];  /* control tokens without which it can't be spoken */
    const char *begin;     /* before the first message */
    const char *again;     /* before every later turn that isn't an answer */
    const char *system[2]; /* before and after */
    const char *user[2];
    const char *assistant[2]; /* [0] opens the answer, and is all that the model is given */
    const char *gap;          /* between that and the answer's text, where it isn't generated */
    bool        folds_system; /* the system text stands inside the user's turn after it: */
    const char *opens_user;   /* these marks of that turn then come before the system text */
    bool        trims;        /* white space around messages goes */
} nx_chat_style;

extern const nx_chat_style nx_chat_styles[];      /* the last has no name */
extern const char *const   nx_chat_style_names[]; /* theirs, in the same order; NULL-terminated */

const nx_chat_style *nx_chat_style_find(const char *name);          /* or NULL */
const nx_chat_style *nx_chat_style_recognise(nx_str chat_template); /* or NULL */

/* A conversation written out. Zero-initialise with text.max set; nx_chat_text_free. */
typedef struct nx_chat_text {
    nx_buf   text;
    nx_span *spans; /* [n_spans], room for cap */
    size_t   n_spans, cap;
} nx_chat_text;

/* bos and eos: how the vocabulary spells them, or empty. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_chat_style_write(const nx_chat_style *s, nx_chat_text *out, nx_str bos, nx_str eos,
                              const nx_chat_message *messages, size_t n, bool answer,
                              nx_error *err);
void      nx_chat_text_free(nx_chat_text *t);

#endif
