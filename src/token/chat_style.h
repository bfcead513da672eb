/* chat_style.h - built-in chat templates, by name. */
#ifndef NX_TOKEN_CHAT_STYLE_H
#define NX_TOKEN_CHAT_STYLE_H

typedef struct nx_chat_style {
    const char *name;
    const char *needs[2]; /* control tokens of the vocabulary without which it makes no sense */
    const char *text;     /* Jinja */
} nx_chat_style;

extern const nx_chat_style nx_chat_styles[];      /* ended by a NULL name */
extern const char *const   nx_chat_style_names[]; /* the same names, NULL at the end */
const nx_chat_style       *nx_chat_style_find(const char *name);

#endif
