/* side.c - the JSON files beside a tokenizer.model: added tokens, special ids, flags. */
#include "token/side.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define ADDED_MAX (1 << 20)

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

static nx_status grow(nx_side *o, int64_t n, nx_error *err)
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
static nx_status add_token(nx_side *o, const char *file, int64_t id, nx_str text, bool special,
                           nx_error *err)
{
    int64_t type = special ? NX_TOKEN_CONTROL : NX_TOKEN_USER_DEFINED;

    if (id < 0 || id >= o->n_base + ADDED_MAX) {
        return nx_fail(err, NX_EFORMAT, "%s: token id %lld, expected 0 to %lld", file,
                       (long long)id, (long long)(o->n_base + ADDED_MAX - 1));
    }
    if (id < o->n_base) {
        if (special && o->base_types[id] == NX_TOKEN_NORMAL) o->base_types[id] = type;
        return NX_OK;
    }
    int64_t   i = id - o->n_base;
    nx_status st = grow(o, i + 1, err);
    if (st) return st;
    char *copy = nx_arena_strndup(&o->arena, text.p, text.len);
    if (!copy) return nx_fail(err, NX_ENOMEM, "added token %lld", (long long)id);
    o->texts[i] = (nx_str){copy, text.len};
    o->types[i] = type;
    if (i >= o->n_added) o->n_added = i + 1;
    return NX_OK;
}

static nx_status read_added(nx_side *o, nx_error *err)
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
static nx_status read_decoder(nx_side *o, nx_error *err)
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

static int32_t find_token(const nx_side *o, nx_str text)
{
    if (text.len == 0) return -1;
    for (int64_t i = o->n_added - 1; i >= 0; i--) {
        if (nx_str_eq(o->texts[i], text)) return (int32_t)(o->n_base + i);
    }
    for (int64_t i = 0; i < o->n_base; i++) {
        if (nx_str_eq(o->base_texts[i], text)) return (int32_t)i;
    }
    return -1;
}

static int32_t named_id(const nx_side *o, const char *key)
{
    int32_t id = find_token(o, text_of(nx_json_get(o->config.root, key)));

    return id >= 0 ? id : find_token(o, text_of(nx_json_get(o->map.root, key)));
}

static void read_config(nx_side *o)
{
    bool legacy = true, add_bos = true, add_eos = false;

    nx_json_get_bool(o->config.root, "legacy", &legacy);
    nx_json_get_bool(o->config.root, "add_bos_token", &add_bos);
    nx_json_get_bool(o->config.root, "add_eos_token", &add_eos);
    o->first_prefix_only = !legacy;
    o->add_bos = add_bos;
    o->add_eos = add_eos;
    o->special = (nx_vocab_special){.bos = named_id(o, "bos_token"),
                                    .eos = named_id(o, "eos_token"),
                                    .unk = named_id(o, "unk_token"),
                                    .pad = named_id(o, "pad_token"),
                                    .sep = named_id(o, "sep_token"),
                                    .eot = -1};
}

/* generation_config.json: "eos_token_id" is an id, or several. */
void nx_side_mark_ends(const nx_side *o, nx_vocab *v)
{
    const nx_json *e = nx_json_get(o->generation.root, "eos_token_id");
    size_t         n = e && e->type == NX_JSON_ARRAY ? e->array.n : e != NULL;

    for (size_t i = 0; i < n; i++) {
        const nx_json *id = e->type == NX_JSON_ARRAY ? &e->array.items[i] : e;
        if (id->type == NX_JSON_INT && id->i >= 0 && id->i < v->n) v->marks[id->i] |= NX_MARK_ENDS;
    }
}

/* ---- The whole -------------------------------------------------------------------------------- */

nx_status nx_side_read(nx_side *o, const nx_checkpoint *cp, nx_error *err)
{
    nx_status st;

    (void)((st = read_beside(&o->config, cp, "tokenizer_config.json", err)) ||
           (st = read_beside(&o->map, cp, "special_tokens_map.json", err)) ||
           (st = read_beside(&o->added, cp, "added_tokens.json", err)) ||
           (st = read_beside(&o->generation, cp, "generation_config.json", err)) ||
           (st = read_added(o, err)) || (st = read_decoder(o, err)));
    if (!st) read_config(o);
    return st;
}

nx_arena nx_side_take_texts(nx_side *o)
{
    nx_arena arena = o->arena;

    o->arena = (nx_arena){0};
    return arena;
}

void nx_side_free(nx_side *o)
{
    nx_json_doc_free(&o->config);
    nx_json_doc_free(&o->map);
    nx_json_doc_free(&o->added);
    nx_json_doc_free(&o->generation);
    nx_arena_free(&o->arena);
    nx_free(o->texts);
    nx_free(o->types);
    *o = (nx_side){0};
}
