/* jinja.h - chat templates: the part of Jinja that they use, with Python's values and texts.
 *
 * Semantics are those of jinja2 3.1 in the environment of Hugging Face's transformers: a sandbox
 * without mutation, trim_blocks and lstrip_blocks, break and continue, {% generation %}, tojson
 * without HTML escapes, raise_exception, strftime_now. No files are read: include, import and
 * extends fail where they are reached.
 *
 * A template is a stranger's program: its steps, depth, memory and output are limited. What people
 * wrote (messages, tools, documents) stays marked through all string operations, so that the caller
 * can tell template text, in which control tokens are meant, from user text, in which they aren't.
 *
 *     nx_jinja *t;
 *     nx_status st = nx_jinja_compile(&t, "chat_template.jinja", source, NULL, err);
 *     nx_jinja_var vars[] = {{.name = "messages", .json = messages, .user = true},
 *                            {.name = "bos_token", .text = NX_STR("<s>")}};
 *     nx_jinja_result r = {0};
 *     if (!st) st = nx_jinja_render(t, &r, vars, 2, NULL, err);
 *     ... r.text.data, r.spans ...
 *     nx_jinja_result_free(&r);
 *     nx_jinja_free(t);
 */
#ifndef NX_TOKEN_JINJA_H
#define NX_TOKEN_JINJA_H

#include "base/jsonread.h"

typedef struct nx_jinja nx_jinja;

typedef struct nx_jinja_limits {
    int64_t steps;        /* nodes visited and pieces of work done by one rendering */
    int     depth;        /* nested calls, blocks and values */
    size_t  memory_bytes; /* of one rendering, and of one compilation */
    size_t  value_bytes;  /* of one string */
    size_t  output_bytes;
    size_t  source_bytes; /* of a template */
} nx_jinja_limits;

nx_jinja_limits nx_jinja_limits_default(void);

/* Compile source; name stands for it in messages: "NAME: line 12: expected 'endif'...". NULL
 * limits are the default. NX_EFORMAT, NX_ELIMIT, NX_ENOMEM. The source isn't needed afterwards. */
nx_status nx_jinja_compile(nx_jinja **out, const char *name, nx_str source,
                           const nx_jinja_limits *limits, nx_error *err);
void      nx_jinja_free(nx_jinja *t);

/* A variable: json when it isn't NULL, else text. Borrowed for the call. user: every string in it
 * is what people wrote, keys included, but for the well-known names of roles in messages' "role",
 * from which templates build control tokens ('<|' + role + '|>'). */
typedef struct nx_jinja_var {
    const char    *name;
    const nx_json *json;
    nx_str         text;
    bool           user;
} nx_jinja_var;

typedef struct nx_jinja_span { /* up to end, from the end of the one before */
    size_t end;
    bool   user;
} nx_jinja_span;

typedef struct nx_jinja_result {
    nx_buf         text; /* valid UTF-8 */
    nx_jinja_span *spans;
    size_t         n_spans;
    bool           raised; /* the rendering failed because the template called raise_exception */
} nx_jinja_result;

typedef struct nx_jinja_options {
    int64_t unix_ms; /* what strftime_now says, in the local time zone; 0: now */
} nx_jinja_options;

/* Render with variables (of one name, the last counts). options may be NULL. Zero-initialise the
 * result; free it also after a failure, where only `raised` says something. NX_EINVAL (the template
 * refuses, or does what can't be done: "NAME: line 3: ..."), NX_ELIMIT, NX_ENOMEM. Any thread. */
nx_status nx_jinja_render(const nx_jinja *t, nx_jinja_result *out, const nx_jinja_var *vars,
                          size_t n_vars, const nx_jinja_options *options, nx_error *err);
void      nx_jinja_result_free(nx_jinja_result *r);

#endif
