/* chat_source.h - the templates that a model brings along.
 *
 * Owns: the list and what it had to unpack; other texts are views into the checkpoint.
 */
#ifndef NX_TOKEN_CHAT_SOURCE_H
#define NX_TOKEN_CHAT_SOURCE_H

#include "base/jsonread.h"
#include "format/checkpoint.h"

typedef struct nx_chat_template {
    nx_str name; /* "default" for the one that counts without a name */
    nx_str text;
} nx_chat_template;

typedef struct nx_chat_source {
    nx_chat_template *list; /* [n]; of one name, the first counts */
    size_t            n, cap;
    nx_json_doc       config; /* tokenizer_config.json, when its texts are used */
} nx_chat_source;

/* NX_EFORMAT: a key or file that should hold a template and doesn't. NX_ENOMEM. *s needs
 * nx_chat_source_free in any case. */
nx_status nx_chat_source_read(nx_chat_source *s, const nx_checkpoint *cp, nx_error *err);
void      nx_chat_source_free(nx_chat_source *s);

const nx_chat_template *nx_chat_source_find(const nx_chat_source *s, nx_str name); /* or NULL */

#endif
