/* chat.c - chooses a template for a model, runs it, and encodes what it writes. */
#include "token/chat.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "os/file.h"
#include "token/chat_source.h"
#include "token/chat_style.h"
#include "token/encode.h"

#define TEMPLATE_BYTES_MAX ((size_t)4 << 20)

struct nx_chat {
    nx_jinja            *text, *with_tools; /* with_tools may be NULL */
    char                *name;
    const nx_chat_style *style; /* NULL: the model's own, or a file */
    const nx_vocab      *vocab; /* may be NULL */
};

const char *const *nx_chat_names(void)
{
    return nx_chat_style_names;
}

/* ---- Choosing ---- */

static void list_names(char *out, size_t cap, const nx_chat_source *own)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < own->n && len < cap; i++) {
        len += (size_t)snprintf(out + len, cap - len, "%s%.*s", len ? ", " : "",
                                (int)own->list[i].name.len, own->list[i].name.p);
    }
    for (const nx_chat_style *s = nx_chat_styles; s->name && len < cap; s++) {
        len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? ", " : "", s->name);
    }
}

/* A special token spelled so. */
static bool has_mark(const nx_vocab *v, const char *text)
{
    int32_t       id = nx_vocab_find(v, nx_str_of(text));
    nx_token_type type = id < 0 ? NX_TOKEN_NORMAL : nx_vocab_type(v, id);

    return type == NX_TOKEN_CONTROL || type == NX_TOKEN_USER_DEFINED;
}

static bool fits(const nx_chat_style *s, const nx_vocab *v, const char **lacks)
{
    for (int i = 0; v && i < 2 && s->needs[i]; i++) {
        *lacks = s->needs[i];
        if (!has_mark(v, s->needs[i])) return false;
    }
    return true;
}

/* A file without a template: the style whose control tokens its vocabulary has. */
static const nx_chat_style *by_marks(const nx_vocab *v)
{
    const char *lacks;

    for (const nx_chat_style *s = nx_chat_styles; v && s->name; s++) {
        if (s->needs[0] && s->needs[1] && fits(s, v, &lacks)) return s;
    }
    return NULL;
}

static nx_status compile(nx_chat *c, nx_jinja **out, const char *name, const char *file,
                         nx_str text, nx_error *err)
{
    nx_status st = nx_jinja_compile(out, file, text, NULL, err);

    if (!st && !c->name) c->name = nx_strdup(name);
    if (!st && !c->name) st = nx_fail(err, NX_ENOMEM, "template %s", name);
    return st;
}

static nx_status use_style(nx_chat *c, const nx_chat_style *s, const char *path, nx_error *err)
{
    const char *lacks = NULL;

    if (!fits(s, c->vocab, &lacks)) {
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%s: chat template %s needs the token %s, which the vocabulary lacks. Name "
                       "another: plain needs none",
                       path, s->name, lacks);
    }
    c->style = s;
    return compile(c, &c->text, s->name, s->name, nx_str_of(s->text), err);
}

static nx_status use_own(nx_chat *c, const nx_chat_template *t, const char *path, nx_error *err)
{
    char name[128];
    bool is_default = nx_str_eq(t->name, NX_STR("default"));

    snprintf(name, sizeof name, is_default ? "the model's" : "%.*s",
             (int)(t->name.len < 100 ? t->name.len : 100), t->name.p);
    nx_status st = compile(c, &c->text, name, is_default ? "chat template" : name, t->text, err);
    return st ? nx_fail_prefix(err, st, "%s", path) : st;
}

static nx_status use_file(nx_chat *c, const char *path, nx_error *err)
{
    nx_buf    text = {.max = TEMPLATE_BYTES_MAX};
    nx_status st = nx_file_read_all(&text, path, err);

    if (!st) st = compile(c, &c->text, path, path, (nx_str){text.data, text.len}, err);
    nx_buf_free(&text);
    return st;
}

static nx_status use_named(nx_chat *c, const nx_chat_source *own, const char *path,
                           const char *name, nx_error *err)
{
    const nx_chat_template *t = nx_chat_source_find(own, nx_str_of(name));
    const nx_chat_style    *s = nx_chat_style_find(name);
    char                    names[400];

    if (t) return use_own(c, t, path, err);
    if (s) return use_style(c, s, path, err);
    if (nx_file_exists(name)) return use_file(c, name, err);
    list_names(names, sizeof names, own);
    return nx_fail(err, NX_EUNSUPPORTED, "chat template \"%.64s\": no such file, we have: %s", name,
                   names);
}

/* The model's own, or the built-in one that its vocabulary tells. */
static nx_status use_default(nx_chat *c, const nx_chat_source *own, const char *path, nx_error *err)
{
    const nx_chat_template *t = nx_chat_source_find(own, NX_STR("default"));
    const nx_chat_template *tools = nx_chat_source_find(own, NX_STR("tool_use"));
    const nx_chat_style    *s = t ? NULL : by_marks(c->vocab);
    char                    names[400];
    nx_status               st;

    if (t) {
        st = use_own(c, t, path, err);
        if (!st && tools) st = compile(c, &c->with_tools, "", "tool_use", tools->text, err);
        return st;
    }
    if (s) return use_style(c, s, path, err);
    list_names(names, sizeof names, own);
    return nx_fail(err, NX_EUNSUPPORTED,
                   "%s: has no chat template: not a chat model? Name one to try: %s", path, names);
}

nx_status nx_chat_open(nx_chat **out, const nx_checkpoint *cp, const nx_vocab *vocab,
                       const char *name, nx_error *err)
{
    nx_chat_source own = {0};
    const char    *path = cp ? nx_checkpoint_path(cp) : "no model";
    nx_chat       *c = nx_calloc(1, sizeof *c);
    nx_status      st = c ? NX_OK : nx_fail(err, NX_ENOMEM, "a chat template");

    *out = NULL;
    if (st) return st;
    c->vocab = vocab;
    if (cp) st = nx_chat_source_read(&own, cp, err);
    if (!st) st = name ? use_named(c, &own, path, name, err) : use_default(c, &own, path, err);
    nx_chat_source_free(&own);
    if (st)
        nx_chat_close(c);
    else
        *out = c;
    return st;
}

void nx_chat_close(nx_chat *c)
{
    if (!c) return;
    nx_jinja_free(c->text);
    nx_jinja_free(c->with_tools);
    nx_free(c->name);
    nx_free(c);
}

const char *nx_chat_name(const nx_chat *c)
{
    return c->name;
}

/* ---- Rendering ---- */

#define VARS_MAX 64

typedef struct variables {
    nx_jinja_var v[VARS_MAX];
    size_t       n;
} variables;

static void add_json(variables *l, const char *name, const nx_json *v, bool user)
{
    l->v[l->n++] = (nx_jinja_var){.name = name, .json = v, .user = user};
}

/* A special token of the vocabulary, when it has one; our own templates count on bos and eos. */
static void add_token(variables *l, const nx_chat *c, const char *name, int32_t id, bool needed)
{
    nx_str text = id < 0 ? (nx_str){0} : nx_vocab_text(c->vocab, id);

    if (text.len || needed) l->v[l->n++] = (nx_jinja_var){.name = name, .text = text};
}

static nx_status collect(variables *l, const nx_chat *c, const nx_chat_request *r, nx_error *err)
{
    static const nx_json none = {.type = NX_JSON_NULL};
    static const nx_json yes = {.type = NX_JSON_BOOL, .boolean = true};
    static const nx_json no = {.type = NX_JSON_BOOL};
    nx_vocab_special     ids = {.bos = -1, .eos = -1, .unk = -1, .sep = -1, .pad = -1};

    if (c->vocab) ids = *nx_vocab_special_ids(c->vocab);
    add_token(l, c, "bos_token", ids.bos, c->style);
    add_token(l, c, "eos_token", ids.eos, c->style);
    add_token(l, c, "unk_token", ids.unk, false);
    add_token(l, c, "sep_token", ids.sep, false);
    add_token(l, c, "pad_token", ids.pad, false);
    add_json(l, "messages", r->messages, true);
    add_json(l, "tools", r->tools ? r->tools : &none, true);
    add_json(l, "documents", r->documents ? r->documents : &none, true);
    add_json(l, "add_generation_prompt", r->answer ? &yes : &no, false);
    if (r->n_vars > VARS_MAX - l->n) {
        return nx_fail(err, NX_ELIMIT, "%zu variables for a chat template, at most %zu", r->n_vars,
                       VARS_MAX - l->n);
    }
    for (size_t i = 0; i < r->n_vars; i++) l->v[l->n++] = r->vars[i];
    return NX_OK;
}

static nx_status render_once(const nx_chat *c, nx_jinja_result *out, const nx_chat_request *r,
                             nx_error *err)
{
    variables       l = {.n = 0};
    const nx_jinja *t = r->tools && c->with_tools ? c->with_tools : c->text;
    nx_status       st = collect(&l, c, r, err);

    return st ? st : nx_jinja_render(t, out, l.v, l.n, &r->options, err);
}

/* ---- Folding a system message into the first user's ---- */

static bool is_message(const nx_json *m, const char *role, nx_str *content)
{
    return nx_json_is(nx_json_get(m, "role"), role) && nx_json_get_string(m, "content", content);
}

/* The two first messages as one; false: there is nothing to fold. */
static nx_status fold(nx_arena *a, nx_json *out, const nx_json *messages, bool *folded,
                      nx_error *err)
{
    const nx_json *items = messages->array.items;
    nx_str         system, user;

    *folded = messages->type == NX_JSON_ARRAY && messages->array.n >= 2 &&
              is_message(&items[0], "system", &system) && is_message(&items[1], "user", &user);
    if (!*folded) return NX_OK;
    const size_t    n = messages->array.n - 1, n_keys = items[1].object.n;
    nx_json        *list = nx_arena_alloc(a, n, sizeof *list);
    nx_json_member *keys = nx_arena_alloc(a, n_keys, sizeof *keys);
    char           *text = nx_arena_alloc(a, system.len + user.len + 2, 1);
    if (!list || !keys || !text) return nx_fail(err, NX_ENOMEM, "conversation of %zu messages", n);
    memcpy(text, system.p, system.len);
    memcpy(text + system.len, "\n\n", 2);
    if (user.len) memcpy(text + system.len + 2, user.p, user.len);
    memcpy(list, items + 1, n * sizeof *list);
    memcpy(keys, items[1].object.members, n_keys * sizeof *keys);
    for (size_t i = 0; i < n_keys; i++) {
        if (!nx_str_eq(keys[i].key, NX_STR("content"))) continue;
        keys[i].value.text = (nx_str){text, system.len + 2 + user.len};
    }
    list[0].object.members = keys;
    *out = (nx_json){.type = NX_JSON_ARRAY, .array = {list, n}};
    return NX_OK;
}

nx_status nx_chat_render(const nx_chat *c, nx_jinja_result *out, const nx_chat_request *r,
                         nx_error *err)
{
    nx_status       st = render_once(c, out, r, err);
    nx_error        first, second;
    nx_arena        a = {0};
    nx_json         messages;
    bool            folded = false;
    nx_chat_request again = *r;

    if (st != NX_EINVAL || !out->raised || !r->folds_system) return st;
    first = err ? *err : (nx_error){0};
    if (fold(&a, &messages, r->messages, &folded, &second) == NX_OK && folded) {
        again.messages = &messages;
        st = render_once(c, out, &again, &second);
    }
    nx_arena_free(&a);
    if (st && err) *err = first; /* what the template said of the messages as they are */
    return st;
}

/* ---- Ids ---- */

static nx_status encode_result(const nx_chat *c, nx_ids *out, const nx_jinja_result *r,
                               nx_error *err)
{
    const nx_vocab_special *ids = nx_vocab_special_ids(c->vocab);
    const size_t            n_before = out->n;
    nx_status               st = NX_OK;
    nx_span                *spans = nx_alloc(r->n_spans, sizeof *spans);

    if (!spans) return nx_fail(err, NX_ENOMEM, "conversation of %zu spans", r->n_spans);
    for (size_t i = 0; i < r->n_spans; i++) {
        spans[i] = (nx_span){.end = r->spans[i].end, .control = !r->spans[i].user};
    }
    if (ids->add_bos && ids->bos >= 0) st = nx_ids_add(out, ids->bos, err);
    const size_t n_bos = out->n;
    if (!st) st = nx_encode_spans(c->vocab, out, r->text.data, spans, r->n_spans, err);
    if (!st && n_bos > n_before && out->n > n_bos && out->ids[n_bos] == ids->bos) {
        out->n--; /* the template has written it already */
        memmove(out->ids + n_before, out->ids + n_bos, (out->n - n_before) * sizeof *out->ids);
    }
    if (st) out->n = n_before;
    nx_free(spans);
    return st;
}

nx_status nx_chat_encode_request(const nx_chat *c, nx_ids *out, const nx_chat_request *r,
                                 nx_error *err)
{
    nx_jinja_result text = {0};
    nx_status       st;

    if (!c->vocab) return nx_fail(err, NX_EINVAL, "no vocabulary, so a text has no ids");
    st = nx_chat_render(c, &text, r, err);
    if (!st) st = encode_result(c, out, &text, err);
    nx_jinja_result_free(&text);
    return st;
}

static const char *const role_names[] = {"system", "user", "assistant"};

/* {"role": ..., "content": ...} for each. */
static nx_status to_json(nx_arena *a, nx_json *out, const nx_chat_message *messages, size_t n,
                         nx_error *err)
{
    nx_json        *list = nx_arena_alloc(a, n, sizeof *list);
    nx_json_member *keys = nx_arena_alloc(a, 2 * n, sizeof *keys);

    if (!list || !keys) return nx_fail(err, NX_ENOMEM, "conversation of %zu messages", n);
    for (size_t i = 0; i < n; i++) {
        nx_json_member *m = keys + 2 * i;
        m[0].key = NX_STR("role");
        m[0].value =
            (nx_json){.type = NX_JSON_STRING, .text = nx_str_of(role_names[messages[i].role])};
        m[1].key = NX_STR("content");
        m[1].value = (nx_json){.type = NX_JSON_STRING, .text = messages[i].text};
        list[i] = (nx_json){.type = NX_JSON_OBJECT, .object = {m, 2}};
    }
    *out = (nx_json){.type = NX_JSON_ARRAY, .array = {list, n}};
    return NX_OK;
}

nx_status nx_chat_encode(const nx_chat *c, nx_ids *out, const nx_chat_message *messages, size_t n,
                         bool answer, nx_error *err)
{
    nx_arena        a = {0};
    nx_json         list;
    nx_chat_request r = {.messages = &list, .answer = answer, .folds_system = true};
    nx_status       st = to_json(&a, &list, messages, n, err);

    if (!st) st = nx_chat_encode_request(c, out, &r, err);
    nx_arena_free(&a);
    return st;
}
