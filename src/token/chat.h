/* chat.h - a conversation as the text, and the ids, that a chat model was trained to read.
 *
 * The model's own template is run by jinja.h: tokenizer.chat_template of a GGUF file (and its named
 * ones, tokenizer.chat_template.NAME), chat_template.jinja, additional_chat_templates/NAME.jinja or
 * chat_template in tokenizer_config.json of a folder. Built-in ones (chatml, llama3, ...) stand in
 * where a model has none, or by name.
 * Owns:   nothing of its vocabulary, which must outlive it.
 * Thread: any, once open.
 */
#ifndef NX_TOKEN_CHAT_H
#define NX_TOKEN_CHAT_H

#include "token/jinja.h"
#include "token/vocab.h"

typedef struct nx_chat nx_chat;

typedef enum nx_chat_role { NX_CHAT_SYSTEM, NX_CHAT_USER, NX_CHAT_ASSISTANT } nx_chat_role;

typedef struct nx_chat_message {
    nx_chat_role role;
    nx_str       text;
} nx_chat_message;

/* name NULL: the model's own template; where it has none, the built-in one whose marks its
 * vocabulary has. Else a named template of the model, a built-in one, or a file. cp and vocab may
 * be NULL where name is a built-in one or a file: then there are no ids. NX_EUNSUPPORTED: a name
 * that isn't known (with those that are), no template at all, or a built-in one whose marks the
 * vocabulary lacks; NX_EFORMAT: a template that doesn't compile, with line and reason; NX_EIO,
 * NX_ELIMIT, NX_ENOMEM. */
nx_status nx_chat_open(nx_chat **out, const nx_checkpoint *cp, const nx_vocab *vocab,
                       const char *name, nx_error *err);
void      nx_chat_close(nx_chat *c);

const char        *nx_chat_name(const nx_chat *c); /* "chatml"; the model's own: "the model's" */
const char *const *nx_chat_names(void); /* the built-in ones, NULL-terminated: for help */

/* What a template is told. Messages: an array of objects with role, content and what else the
 * template knows (tool_calls, name, ...); tools, documents: arrays or NULL. Of a model's templates
 * the one named tool_use is taken when there are tools and no name was given. */
typedef struct nx_chat_request {
    const nx_json      *messages, *tools, *documents;
    const nx_jinja_var *vars; /* [n_vars] more variables; bos_token and eos_token replace ours */
    size_t              n_vars;
    bool                answer;       /* add_generation_prompt: open the assistant's turn */
    bool                folds_system; /* when the template refuses a system message, put its text
                                       * before the first user's and ask again */
    nx_jinja_options    options;
} nx_chat_request;

/* The text, exactly as the template writes it. NX_EINVAL: the template refuses, with its words. */
nx_status nx_chat_render(const nx_chat *c, nx_jinja_result *out, const nx_chat_request *r,
                         nx_error *err);

/* Append the ids of that text; BOS stands before them where the vocabulary wants one and the
 * template hasn't written it. The template's marks become their control tokens; control tokens
 * spelled in messages, tools or documents stay text. Errors as above; out then keeps what it had. */
nx_status nx_chat_encode_request(const nx_chat *c, nx_ids *out, const nx_chat_request *r,
                                 nx_error *err);

/* The same for plain messages, system texts folded where the template wants none. */
nx_status nx_chat_encode(const nx_chat *c, nx_ids *out, const nx_chat_message *messages, size_t n,
                         bool answer, nx_error *err);

#endif
