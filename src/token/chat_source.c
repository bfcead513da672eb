/* chat_source.c - finds the templates that a model brings along. */
#include "token/chat_source.h"

#include <string.h>

#include "base/alloc.h"

#define KEY     "tokenizer.chat_template"
#define FOLDER  "additional_chat_templates/"
#define ENDING  ".jinja"
#define DEFAULT NX_STR("default")

static nx_status add(nx_chat_source *s, nx_str name, nx_str text, nx_error *err)
{
    if (s->n == s->cap) {
        size_t            cap = s->cap ? 2 * s->cap : 4;
        nx_chat_template *grown = nx_realloc(s->list, cap, sizeof *grown);
        if (!grown) return nx_fail(err, NX_ENOMEM, "%zu chat templates", cap);
        s->list = grown;
        s->cap = cap;
    }
    s->list[s->n++] = (nx_chat_template){name, text};
    return NX_OK;
}

static bool begins(nx_str s, const char *with)
{
    size_t n = strlen(with);

    return s.len >= n && memcmp(s.p, with, n) == 0;
}

/* ---- GGUF ---- */

/* tokenizer.chat_template and tokenizer.chat_template.NAME; the array tokenizer.chat_templates of
 * their names isn't needed. */
static nx_status from_keys(nx_chat_source *s, const nx_checkpoint *cp, nx_error *err)
{
    nx_status st = NX_OK;

    for (int64_t i = 0; i < nx_checkpoint_n_meta(cp) && !st; i++) {
        const nx_meta *m = nx_checkpoint_meta_at(cp, i);
        nx_str         text = {0}, name = DEFAULT;
        char           key[256];
        if (!begins(m->key, KEY) || m->key.len >= sizeof key) continue;
        nx_str rest = {m->key.p + sizeof KEY - 1, m->key.len - (sizeof KEY - 1)};
        if (rest.len && rest.p[0] != '.') continue;
        if (rest.len) name = (nx_str){rest.p + 1, rest.len - 1};
        memcpy(key, m->key.p, m->key.len);
        key[m->key.len] = '\0';
        st = nx_meta_string(cp, key, &text, true, err);
        if (!st) st = add(s, name, text, err);
    }
    return st;
}

/* ---- Folders ---- */

static nx_status from_files(nx_chat_source *s, const nx_checkpoint *cp, nx_error *err)
{
    nx_str      text = nx_checkpoint_file(cp, "chat_template.jinja");
    nx_status   st = text.p ? add(s, DEFAULT, text, err) : NX_OK;
    const char *file;

    for (int32_t i = 0; !st && (file = nx_checkpoint_file_name(cp, i)); i++) {
        nx_str name = nx_str_of(file);
        if (!begins(name, FOLDER) || name.len < sizeof FOLDER + sizeof ENDING - 2) continue;
        if (strcmp(file + name.len - (sizeof ENDING - 1), ENDING) != 0) continue;
        name = (nx_str){file + sizeof FOLDER - 1, name.len - sizeof FOLDER - sizeof ENDING + 2};
        st = add(s, name, nx_checkpoint_file(cp, file), err);
    }
    return st;
}

/* chat_template: a text, or a list of {"name": ..., "template": ...}. */
static nx_status from_value(nx_chat_source *s, const nx_json *v, nx_error *err)
{
    nx_status st = NX_OK;

    if (v->type == NX_JSON_STRING) return add(s, DEFAULT, v->text, err);
    for (size_t i = 0; v->type == NX_JSON_ARRAY && i < v->array.n && !st; i++) {
        nx_str name, text;
        if (nx_json_get_string(&v->array.items[i], "name", &name) &&
            nx_json_get_string(&v->array.items[i], "template", &text))
            st = add(s, name, text, err);
    }
    return st;
}

static nx_status from_config(nx_chat_source *s, const nx_checkpoint *cp, const char *file,
                             nx_error *err)
{
    nx_str text = nx_checkpoint_file(cp, file);

    if (!text.p || s->config.root) return NX_OK;
    nx_status st = nx_json_parse(&s->config, file, text.p, text.len, NX_JSON_PYTHON, err);
    if (st) return nx_fail_prefix(err, st, "%s", nx_checkpoint_path(cp));
    const nx_json *v = nx_json_get(s->config.root, "chat_template");
    if (!nx_json_absent(v)) return from_value(s, v, err);
    nx_json_doc_free(&s->config);
    s->config = (nx_json_doc){0};
    return NX_OK;
}

nx_status nx_chat_source_read(nx_chat_source *s, const nx_checkpoint *cp, nx_error *err)
{
    *s = (nx_chat_source){0};
    nx_status st = from_keys(s, cp, err);
    if (!st) st = from_files(s, cp, err);
    if (!st) st = from_config(s, cp, "tokenizer_config.json", err);
    if (!st) st = from_config(s, cp, "chat_template.json", err);
    return st;
}

void nx_chat_source_free(nx_chat_source *s)
{
    nx_free(s->list);
    nx_json_doc_free(&s->config);
    *s = (nx_chat_source){0};
}

const nx_chat_template *nx_chat_source_find(const nx_chat_source *s, nx_str name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (nx_str_eq(s->list[i].name, name)) return &s->list[i];
    }
    return NULL;
}
