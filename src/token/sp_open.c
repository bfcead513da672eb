/* sp_open.c - tokenizer.model of a Hugging Face folder, with what the JSON files beside it say. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/jsonread.h"
#include "token/sp.h"

#define ADDED_MAX (1 << 20)

typedef struct opening {
    const nx_checkpoint *cp;
    nx_spmodel           model;
    nx_arena             arena; /* texts of added tokens; taken by the vocabulary */
    nx_json_doc          config, map, added, generation;
    nx_sp_options        options;
    nx_str              *texts;
    int64_t             *types;
    int64_t              cap;
} opening;

static nx_status read_beside(nx_json_doc *doc, const nx_checkpoint *cp, const char *name,
                             nx_error *err)
{
    nx_str text = nx_checkpoint_file(cp, name);

    return text.len ? nx_json_parse(doc, name, text.p, text.len, NX_JSON_PYTHON, err) : NX_OK;
}

/* A token as these files write it: its text, or an object with "content". */
static nx_str text_of(const nx_json *v)
{
    nx_str s = {0};

    if (!v) return s;
    if (v->type == NX_JSON_STRING) return v->text;
    nx_json_get_string(v, "content", &s);
    return s;
}

/* ---- Added tokens ----------------------------------------------------------------------------- */

/* Does special_tokens_map.json, or tokenizer_config.json, name this text as special? */
static bool is_named(const nx_json *root, nx_str text)
{
    for (size_t i = 0; root && root->type == NX_JSON_OBJECT && i < root->object.n; i++) {
        const nx_json *v = &root->object.members[i].value;
        nx_str         key = root->object.members[i].key;
        if (key.len < 5 || memcmp(key.p + key.len - 5, "token", 5) != 0) {
            if (!nx_str_eq(key, NX_STR("additional_special_tokens"))) continue;
        }
        if (v->type != NX_JSON_ARRAY && nx_str_eq(text_of(v), text)) return true;
        for (size_t k = 0; v->type == NX_JSON_ARRAY && k < v->array.n; k++) {
            if (nx_str_eq(text_of(&v->array.items[k]), text)) return true;
        }
    }
    return false;
}

static nx_status grow(opening *o, int64_t n, nx_error *err)
{
    if (n <= o->cap) return NX_OK;
    int64_t cap = n + n / 2 + 64;
    nx_str *texts = nx_realloc(o->texts, (size_t)cap, sizeof *texts);
    if (texts) o->texts = texts;
    int64_t *types = nx_realloc(o->types, (size_t)cap, sizeof *types);
    if (types) o->types = types;
    if (!texts || !types) return nx_fail(err, NX_ENOMEM, "%lld added tokens", (long long)n);
    for (int64_t i = o->cap; i < cap; i++) {
        texts[i] = (nx_str){0};
        types[i] = NX_TOKEN_UNUSED;
    }
    o->cap = cap;
    return NX_OK;
}

/* Token id is text; ids of the model's own pieces only change their type. */
static nx_status add_token(opening *o, const char *file, int64_t id, nx_str text, bool special,
                           nx_error *err)
{
    nx_spmodel *m = &o->model;
    int64_t     type = special ? NX_TOKEN_CONTROL : NX_TOKEN_USER_DEFINED;

    if (id < 0 || id >= m->n + ADDED_MAX) {
        return nx_fail(err, NX_EFORMAT, "%s: token id %lld, expected 0 to %lld", file,
                       (long long)id, (long long)(m->n + ADDED_MAX - 1));
    }
    if (id < m->n) {
        if (special && m->types[id] == NX_TOKEN_NORMAL) m->types[id] = type;
        return NX_OK;
    }
    int64_t   i = id - m->n;
    nx_status st = grow(o, i + 1, err);
    if (st) return st;
    char *copy = nx_arena_strndup(&o->arena, text.p, text.len);
    if (!copy) return nx_fail(err, NX_ENOMEM, "added token %lld", (long long)id);
    o->texts[i] = (nx_str){copy, text.len};
    o->types[i] = type;
    if (i >= o->options.n_added) o->options.n_added = i + 1;
    return NX_OK;
}

static nx_status read_added(opening *o, nx_error *err)
{
    const nx_json *root = o->added.root;
    nx_status      st = NX_OK;

    for (size_t i = 0; !st && root && root->type == NX_JSON_OBJECT && i < root->object.n; i++) {
        const nx_json_member *m = &root->object.members[i];
        if (m->value.type != NX_JSON_INT) {
            return nx_fail(err, NX_EFORMAT,
                           "added_tokens.json: line %u: expected a token's id, "
                           "found %s",
                           m->value.line, nx_json_type_name(&m->value));
        }
        bool special = is_named(o->map.root, m->key) || is_named(o->config.root, m->key);
        st = add_token(o, "added_tokens.json", m->value.i, m->key, special, err);
    }
    return st;
}

/* tokenizer_config.json: "added_tokens_decoder": {"32000": {"content": ..., "special": ...}} */
static nx_status read_decoder(opening *o, nx_error *err)
{
    const nx_json *list = nx_json_get(o->config.root, "added_tokens_decoder");
    nx_status      st = NX_OK;

    for (size_t i = 0; !st && list && list->type == NX_JSON_OBJECT && i < list->object.n; i++) {
        const nx_json_member *m = &list->object.members[i];
        char                  digits[24] = "", *end;
        bool                  special = false;
        memcpy(digits, m->key.p, m->key.len < 23 ? m->key.len : 23);
        long long id = strtoll(digits, &end, 10);
        if (end == digits || *end) id = -1;
        nx_json_get_bool(&m->value, "special", &special);
        st = add_token(o, "tokenizer_config.json", id, text_of(&m->value), special, err);
    }
    return st;
}

/* ---- Special ids ------------------------------------------------------------------------------ */

static int32_t find_token(const opening *o, nx_str text)
{
    if (text.len == 0) return -1;
    for (int64_t i = o->options.n_added - 1; i >= 0; i--) {
        if (nx_str_eq(o->texts[i], text)) return (int32_t)(o->model.n + i);
    }
    for (int64_t i = 0; i < o->model.n; i++) {
        if (nx_str_eq(o->model.texts[i], text)) return (int32_t)i;
    }
    return -1;
}

static int32_t named_id(const opening *o, const char *key)
{
    int32_t id = find_token(o, text_of(nx_json_get(o->config.root, key)));

    return id >= 0 ? id : find_token(o, text_of(nx_json_get(o->map.root, key)));
}

static void read_config(opening *o)
{
    nx_sp_options *p = &o->options;
    bool           legacy = true, add_bos = true, add_eos = false;

    nx_json_get_bool(o->config.root, "legacy", &legacy);
    nx_json_get_bool(o->config.root, "add_bos_token", &add_bos);
    nx_json_get_bool(o->config.root, "add_eos_token", &add_eos);
    p->first_prefix_only = !legacy;
    p->add_bos = add_bos;
    p->add_eos = add_eos;
    p->special = (nx_vocab_special){.bos = named_id(o, "bos_token"),
                                    .eos = named_id(o, "eos_token"),
                                    .unk = named_id(o, "unk_token"),
                                    .pad = named_id(o, "pad_token"),
                                    .sep = named_id(o, "sep_token"),
                                    .eot = -1};
}

/* generation_config.json: "eos_token_id" is an id, or several. */
static void mark_ends(const opening *o, nx_vocab *v)
{
    const nx_json *e = nx_json_get(o->generation.root, "eos_token_id");
    size_t         n = e && e->type == NX_JSON_ARRAY ? e->array.n : e != NULL;

    for (size_t i = 0; i < n; i++) {
        const nx_json *id = e->type == NX_JSON_ARRAY ? &e->array.items[i] : e;
        if (id->type == NX_JSON_INT && id->i >= 0 && id->i < v->n) v->marks[id->i] |= NX_MARK_ENDS;
    }
}

/* ---- The whole -------------------------------------------------------------------------------- */

static nx_status open_all(opening *o, nx_vocab **out, const char *name, nx_str bytes, nx_error *err)
{
    nx_status st;

    (void)((st = nx_spmodel_read(&o->model, name, bytes, err)) ||
           (st = read_beside(&o->config, o->cp, "tokenizer_config.json", err)) ||
           (st = read_beside(&o->map, o->cp, "special_tokens_map.json", err)) ||
           (st = read_beside(&o->added, o->cp, "added_tokens.json", err)) ||
           (st = read_beside(&o->generation, o->cp, "generation_config.json", err)) ||
           (st = read_added(o, err)) || (st = read_decoder(o, err)));
    if (st) return st;
    read_config(o);
    o->options.cp = o->cp;
    o->options.added = o->texts;
    o->options.added_types = o->types;
    st = nx_sp_create(out, &o->model, &o->options, err);
    if (st) return st;
    ((nx_sp *)(*out)->impl)->texts = o->arena; /* which the texts of added tokens lie in */
    o->arena = (nx_arena){0};
    mark_ends(o, *out);
    return NX_OK;
}

nx_status nx_sp_open(nx_vocab **out, const nx_checkpoint *cp, const char *name, nx_str bytes,
                     nx_error *err)
{
    opening   o = {.cp = cp};
    nx_status st;

    *out = NULL;
    st = open_all(&o, out, name, bytes, err);
    nx_spmodel_free(&o.model);
    nx_json_doc_free(&o.config);
    nx_json_doc_free(&o.map);
    nx_json_doc_free(&o.added);
    nx_json_doc_free(&o.generation);
    nx_arena_free(&o.arena);
    nx_free(o.texts);
    nx_free(o.types);
    return st ? nx_fail_prefix(err, st, "%s", nx_checkpoint_path(cp)) : NX_OK;
}
