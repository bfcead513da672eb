/* tj_open.c - a vocabulary from tokenizer.json and the small files beside it.
 *
 * tokenizer_config.json, special_tokens_map.json, added_tokens.json and generation_config.json say
 * which tokens begin, end and pad a text; the first and third may add tokens of their own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "token/tj.h"

#define ADDED_MAX     (1 << 20)
#define ADDED_LEN_MAX 4096

typedef struct opening {
    const nx_checkpoint *cp; /* NULL: there is only the JSON text */
    nx_vocab            *v;
    nx_tj               *tj;
    nx_json_doc          doc, config, map, extra, generation, model;
    nx_index             by_content; /* over contents */
    nx_str              *contents;
    int32_t              id_max; /* of added tokens, -1: none */
} opening;

/* ---- Pipelines -------------------------------------------------------------------------------- */

typedef nx_status (*read_fn)(nx_tj *tj, nx_str type, const nx_json *v, nx_error *err);

/* v, or the members of a Sequence, which may hold Sequences. */
static nx_status read_stages(nx_tj *tj, const nx_json *v, const char *members, read_fn read,
                             nx_error *err)
{
    nx_str type;

    if (nx_json_absent(v)) return NX_OK;
    if (!nx_json_get_string(v, "type", &type)) {
        return nx_tj_bad(v, err, "expected an object with a type");
    }
    if (!nx_str_eq(type, NX_STR("Sequence"))) return read(tj, type, v, err);
    const nx_json *list = nx_json_get(v, members);
    if (!list || list->type != NX_JSON_ARRAY) {
        return nx_tj_bad(v, err, "Sequence: expected an array %s", members);
    }
    nx_status st = NX_OK;
    for (size_t i = 0; !st && i < list->array.n; i++) {
        st = read_stages(tj, &list->array.items[i], members, read, err);
    }
    return st;
}

static nx_status read_norm(nx_tj *tj, nx_str type, const nx_json *v, nx_error *err)
{
    return nx_tj_norm_read(tj->norms, &tj->n_norms, &tj->arena, type, v, err);
}

static nx_status read_pre(nx_tj *tj, nx_str type, const nx_json *v, nx_error *err)
{
    return nx_tj_pre_read(tj->pres, &tj->n_pres, &tj->arena, type, v, err);
}

static nx_status read_dec(nx_tj *tj, nx_str type, const nx_json *v, nx_error *err)
{
    if (tj->n_decs == NX_TJ_STAGES_MAX) {
        return nx_tj_bad(v, err, "over %d decoders", NX_TJ_STAGES_MAX);
    }
    return nx_tj_dec_read(&tj->decs[tj->n_decs++], &tj->arena, type, v, err);
}

/* ---- Post-processors: ids before and after a text --------------------------------------------- */

static nx_status put_before(nx_ids *list, int32_t id, size_t at, nx_error *err)
{
    nx_status st = nx_ids_reserve(list, 1, err);

    if (st) return st;
    memmove(list->ids + at + 1, list->ids + at, (list->n - at) * sizeof *list->ids);
    list->ids[at] = id;
    list->n++;
    return NX_OK;
}

static nx_status template_id(nx_tj *tj, const nx_json *tokens, nx_str name, bool after, size_t *at,
                             const nx_json *v, nx_error *err)
{
    const nx_json *ids = nx_json_get(nx_json_get_str(tokens, name), "ids");
    nx_status      st = NX_OK;

    if (!ids || ids->type != NX_JSON_ARRAY) {
        return nx_tj_bad(v, err, "special_tokens lacks a token that the template names");
    }
    for (size_t i = 0; !st && i < ids->array.n; i++) {
        const nx_json *id = &ids->array.items[i];
        if (id->type != NX_JSON_INT || id->i < 0 || id->i > INT32_MAX) {
            return nx_tj_bad(id, err, "special_tokens: expected an id");
        }
        st = after ? nx_ids_add(&tj->back, (int32_t)id->i, err)
                   : put_before(&tj->front, (int32_t)id->i, (*at)++, err);
    }
    return st;
}

/* What stands before the text goes in front of what earlier processors put there. */
static nx_status read_template(nx_tj *tj, const nx_json *v, nx_error *err)
{
    const nx_json *single = nx_json_get(v, "single"), *tokens = nx_json_get(v, "special_tokens");
    bool           after = false;
    size_t         at = 0;
    nx_status      st = NX_OK;

    if (!single || single->type != NX_JSON_ARRAY) {
        return nx_tj_bad(v, err, "TemplateProcessing: expected an array single");
    }
    for (size_t i = 0; !st && i < single->array.n; i++) {
        const nx_json *e = &single->array.items[i];
        const nx_json *special = nx_json_get(e, "SpecialToken");
        nx_str         id;
        if (special && nx_json_get_string(special, "id", &id)) {
            st = template_id(tj, tokens, id, after, &at, e, err);
        } else if (nx_json_get(e, "Sequence") && !after) {
            after = true;
        } else {
            return nx_tj_bad(e, err, "single: expected special tokens around one sequence");
        }
    }
    return st || after ? st : nx_tj_bad(single, err, "single: no sequence in it");
}

static nx_status read_pair(const nx_json *v, const char *key, int32_t *id, nx_error *err)
{
    const nx_json *pair = nx_json_get(v, key);

    if (!pair || pair->type != NX_JSON_ARRAY || pair->array.n != 2 ||
        pair->array.items[1].type != NX_JSON_INT || pair->array.items[1].i < 0 ||
        pair->array.items[1].i > INT32_MAX) {
        return nx_tj_bad(v, err, "%s: expected [\"text\", id]", key);
    }
    *id = (int32_t)pair->array.items[1].i;
    return NX_OK;
}

static nx_status read_post(nx_tj *tj, nx_str type, const nx_json *v, nx_error *err)
{
    int32_t   cls = 0, sep = 0;
    nx_status st;

    if (nx_str_eq(type, NX_STR("ByteLevel"))) return NX_OK; /* it moves offsets only */
    if (nx_str_eq(type, NX_STR("TemplateProcessing"))) return read_template(tj, v, err);
    if (nx_str_eq(type, NX_STR("BertProcessing")) || nx_str_eq(type, NX_STR("RobertaProcessing"))) {
        (void)((st = read_pair(v, "cls", &cls, err)) || (st = read_pair(v, "sep", &sep, err)) ||
               (st = put_before(&tj->front, cls, 0, err)) ||
               (st = nx_ids_add(&tj->back, sep, err)));
        return st;
    }
    nx_tj_bad(v, err, "post-processor of type \"%.*s\": we don't have that", (int)(type.len % 64),
              type.p);
    if (err) err->status = NX_EUNSUPPORTED;
    return NX_EUNSUPPORTED;
}

/* ---- Added tokens ----------------------------------------------------------------------------- */

/* Where tokenizers puts a token that neither the model nor an earlier one spells. */
static int32_t new_id(const opening *o)
{
    int32_t n = o->tj->model.count;

    return o->id_max >= n || (n == 0 && o->id_max >= 0) ? o->id_max + 1 : n;
}

/* t with its content borrowed. An equal content replaces the flags that were given before, but what
 * has been special stays so, and is looked for as it was. */
static nx_status add_token(opening *o, nx_tj_added t, nx_error *err)
{
    nx_tj    *tj = o->tj;
    int32_t   i = nx_index_find(&o->by_content, t.content.p, t.content.len);
    nx_status st;

    if (t.content.len == 0) return NX_OK;
    if (t.content.len > ADDED_LEN_MAX) {
        return nx_fail(err, NX_ELIMIT, "an added token of %zu bytes, at most %d", t.content.len,
                       ADDED_LEN_MAX);
    }
    if (i >= 0) {
        t.content = tj->added[i].content;
        t.id = tj->added[i].id;
        if (tj->added[i].special) t.normalized = tj->added[i].normalized;
        t.special |= tj->added[i].special;
        tj->added[i] = t;
        return NX_OK;
    }
    t.id = nx_tj_model_find(&tj->model, t.content.p, t.content.len);
    if (t.id < 0) t.id = new_id(o);
    if (t.id > o->id_max) o->id_max = t.id;
    st = nx_tj_keep(&tj->arena, &t.content, t.content, err);
    if (st) return st;
    i = tj->n_added++;
    tj->added[i] = t;
    o->contents[i] = t.content;
    if (nx_index_add(&o->by_content, i)) return NX_OK;
    return nx_fail(err, NX_EFORMAT, "added tokens: too many texts with one hash");
}

static nx_status read_added(opening *o, const nx_json *e, bool normalized, nx_error *err)
{
    nx_tj_added t = {.normalized = normalized};
    nx_status   st;

    if (!nx_json_get_string(e, "content", &t.content)) {
        return nx_tj_bad(e, err, "added token: expected an object with content");
    }
    (void)((st = nx_tj_get_bool(e, "special", &t.special, err)) ||
           (st = nx_tj_get_bool(e, "single_word", &t.single_word, err)) ||
           (st = nx_tj_get_bool(e, "lstrip", &t.lstrip, err)) ||
           (st = nx_tj_get_bool(e, "rstrip", &t.rstrip, err)));
    if (!nx_json_get(e, "normalized")) t.normalized = !t.special;
    if (!st) st = nx_tj_get_bool(e, "normalized", &t.normalized, err);
    return st ? st : add_token(o, t, err);
}

/* Members of an object in the order of a number: {"32000": ..} or {"text": 32000}. */
typedef struct numbered {
    int64_t               number;
    const nx_json_member *member;
} numbered;

static int by_number(const void *pa, const void *pb)
{
    const numbered *a = pa, *b = pb;

    return a->number < b->number ? -1 : a->number > b->number;
}

static nx_status sorted_members(const nx_json *v, bool by_key, numbered **out, size_t *n,
                                nx_error *err)
{
    *n = v && v->type == NX_JSON_OBJECT ? v->object.n : 0;
    *out = nx_alloc(*n, sizeof **out);
    if (!*out) return nx_fail(err, NX_ENOMEM, "%zu added tokens", *n);
    for (size_t i = 0; i < *n; i++) {
        const nx_json_member *m = &v->object.members[i];
        char                  digits[24] = "";
        if (by_key && m->key.len < sizeof digits) memcpy(digits, m->key.p, m->key.len);
        (*out)[i] = (numbered){by_key                         ? strtoll(digits, NULL, 10)
                               : m->value.type == NX_JSON_INT ? m->value.i
                                                              : 0,
                               m};
    }
    if (*n > 1) qsort(*out, *n, sizeof **out, by_number);
    return NX_OK;
}

static nx_status read_more_added(opening *o, const nx_json *v, bool by_key, nx_error *err)
{
    numbered *list;
    size_t    n;
    nx_status st = sorted_members(v, by_key, &list, &n, err);

    for (size_t i = 0; !st && i < n; i++) {
        const nx_json_member *m = list[i].member;
        nx_str                content = m->key;
        if (by_key && !nx_json_get_string(&m->value, "content", &content)) continue;
        if (!by_key && nx_index_find(&o->by_content, content.p, content.len) >= 0) continue;
        st = by_key ? read_added(o, &m->value, true, err)
                    : add_token(o, (nx_tj_added){.content = content, .normalized = true}, err);
    }
    nx_free(list);
    return st;
}

/* "text", or {"content": "text"}. */
static bool token_text(const nx_json *t, nx_str *out)
{
    if (t && t->type == NX_JSON_STRING) {
        *out = t->text;
        return true;
    }
    return nx_json_get_string(t, "content", out);
}

/* A token that a configuration names is special, and added where it isn't yet. */
static nx_status add_named(opening *o, const nx_json *t, nx_error *err)
{
    nx_str content;

    if (!token_text(t, &content)) return NX_OK;
    int32_t i = nx_index_find(&o->by_content, content.p, content.len);
    if (i >= 0) {
        o->tj->added[i].special = true;
        return NX_OK;
    }
    return add_token(o, (nx_tj_added){.content = content, .special = true}, err);
}

static const char *const named_keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};
static const char *const named_lists[] = {"additional_special_tokens", "extra_special_tokens"};

#define N_NAMED_KEYS  (sizeof named_keys / sizeof *named_keys)
#define N_NAMED_LISTS (sizeof named_lists / sizeof *named_lists)

static nx_status read_named(opening *o, const nx_json *v, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < N_NAMED_KEYS; i++) {
        st = add_named(o, nx_json_get(v, named_keys[i]), err);
    }
    for (size_t i = 0; !st && i < N_NAMED_LISTS; i++) {
        const nx_json *list = nx_json_get(v, named_lists[i]);
        for (size_t k = 0; !st && list && list->type == NX_JSON_ARRAY && k < list->array.n; k++) {
            st = add_named(o, &list->array.items[k], err);
        }
    }
    return st;
}

static size_t n_named(const nx_json *v)
{
    size_t n = v ? N_NAMED_KEYS : 0;

    for (size_t i = 0; i < N_NAMED_LISTS; i++) {
        const nx_json *list = nx_json_get(v, named_lists[i]);
        if (list && list->type == NX_JSON_ARRAY) n += list->array.n;
    }
    return n;
}

static size_t n_members(const nx_json *v)
{
    return v && v->type == NX_JSON_OBJECT ? v->object.n : 0;
}

static nx_status read_all_added(opening *o, nx_error *err)
{
    const nx_json *list = nx_json_get(o->doc.root, "added_tokens");
    const nx_json *decoder = nx_json_get(o->config.root, "added_tokens_decoder");
    const nx_json *extra = o->extra.root;
    size_t         in_list = list && list->type == NX_JSON_ARRAY ? list->array.n : 0;
    size_t         n = in_list + n_members(decoder) + n_members(extra) + n_named(o->config.root) +
               n_named(o->map.root);
    nx_tj    *tj = o->tj;
    nx_status st;

    if (n > ADDED_MAX) return nx_fail(err, NX_ELIMIT, "%zu added tokens, at most %d", n, ADDED_MAX);
    tj->added = nx_arena_alloc(&tj->arena, n, sizeof *tj->added);
    o->contents = nx_arena_alloc(&tj->arena, n, sizeof *o->contents);
    if (!tj->added || !o->contents) return nx_fail(err, NX_ENOMEM, "%zu added tokens", n);
    st = nx_index_create(&o->by_content, o->contents, (int32_t)n, err);
    for (size_t i = 0; !st && i < in_list; i++) {
        st = read_added(o, &list->array.items[i], true, err);
    }
    if (!st) st = read_more_added(o, decoder, true, err);
    if (!st) st = read_more_added(o, extra, false, err);
    if (!st) st = read_named(o, o->config.root, err);
    if (!st) st = read_named(o, o->map.root, err);
    return st;
}

/* Tokens of normalised spelling are looked for as the normalizers leave them. */
static nx_status make_patterns(nx_tj *tj, nx_error *err)
{
    nx_tj_matcher   matcher = {0};
    nx_tj_norm_work w;
    nx_status       st = NX_OK;

    nx_tj_norm_work_init(&w, &matcher);
    for (int32_t i = 0; !st && i < tj->n_added; i++) {
        nx_tj_added *t = &tj->added[i];
        nx_tj_piece  piece = {t->content.p, t->content.len, true};
        t->pattern = t->content;
        if (!t->normalized || tj->n_norms == 0) continue;
        st = nx_tj_normalise(tj->norms, tj->n_norms, &w, &piece, err);
        if (!st) st = nx_tj_keep(&tj->arena, &t->pattern, (nx_str){piece.p, piece.len}, err);
    }
    nx_tj_norm_work_free(&w);
    nx_tj_matcher_free(&matcher);
    if (!st) st = nx_tj_finder_create(&tj->find_raw, tj->added, tj->n_added, false, err);
    if (!st) st = nx_tj_finder_create(&tj->find_normalised, tj->added, tj->n_added, true, err);
    return st;
}

/* ---- The vocabulary's tables ------------------------------------------------------------------ */

static nx_status take_memory(nx_vocab *v, size_t n, nx_error *err)
{
    v->n = (int32_t)n;
    v->texts = nx_calloc(n, sizeof *v->texts);
    v->types = nx_calloc(n, 1);
    v->marks = nx_calloc(n, 1);
    if (!v->texts || !v->types || !v->marks) return nx_fail(err, NX_ENOMEM, "%zu tokens", n);
    return NX_OK;
}

/* What a decoded id says is looked up among the special tokens' texts: one whose normalised
 * spelling is another is not left out. */
static bool is_special_text(const opening *o, nx_str text)
{
    int32_t i = nx_index_find(&o->by_content, text.p, text.len);

    return i >= 0 && o->tj->added[i].special;
}

/* Ids of normalised tokens decode to their normalised spelling. */
static nx_status map_spellings(opening *o, nx_error *err)
{
    nx_tj *tj = o->tj;
    bool   differs = false;

    for (int32_t i = 0; i < tj->n_added; i++) {
        differs |= !nx_str_eq(tj->added[i].pattern, tj->added[i].content);
    }
    if (!differs) return NX_OK;
    tj->added_at = nx_arena_alloc(&tj->arena, (size_t)o->v->n, sizeof *tj->added_at);
    if (!tj->added_at) return nx_fail(err, NX_ENOMEM, "%d tokens", o->v->n);
    for (int32_t i = 0; i < o->v->n; i++) tj->added_at[i] = -1;
    for (int32_t i = 0; i < tj->n_added; i++) tj->added_at[tj->added[i].id] = i;
    return NX_OK;
}

static void fill_types(const opening *o)
{
    nx_vocab          *v = o->v;
    const nx_tj       *tj = o->tj;
    const nx_tj_model *m = &tj->model;

    for (int32_t i = 0; i < v->n; i++) {
        v->types[i] = v->texts[i].p ? NX_TOKEN_NORMAL : NX_TOKEN_UNUSED;
        if (is_special_text(o, v->texts[i])) v->marks[i] |= NX_MARK_SILENT;
    }
    for (int b = 0; m->byte_fallback && b < 256; b++) {
        if (m->fallback_ids[b] >= 0) v->types[m->fallback_ids[b]] = NX_TOKEN_BYTE;
    }
    for (int32_t i = 0; i < tj->n_added; i++) {
        const nx_tj_added *t = &tj->added[i];
        v->texts[t->id] = t->content;
        v->types[t->id] = t->special ? NX_TOKEN_CONTROL : NX_TOKEN_USER_DEFINED;
        v->marks[t->id] = is_special_text(o, t->pattern) ? NX_MARK_SILENT : 0;
    }
    if (m->unk >= 0) v->types[m->unk] = NX_TOKEN_UNKNOWN;
}

static nx_status fill_tables(opening *o, nx_error *err)
{
    nx_vocab          *v = o->v;
    const nx_tj_model *m = &o->tj->model;
    int32_t            n = o->id_max >= m->n ? o->id_max + 1 : m->n;
    nx_status          st = n ? take_memory(v, (size_t)n, err)
                              : nx_fail(err, NX_EFORMAT, "a vocabulary without tokens");

    if (st) return st;
    memcpy(v->texts, m->texts, (size_t)m->n * sizeof *v->texts);
    fill_types(o);
    st = map_spellings(o, err);
    if (!st) st = nx_index_create(&v->by_text, v->texts, v->n, err);
    for (int32_t i = 0; !st && i < v->n; i++) {
        if (!nx_index_add(&v->by_text, i)) {
            st = nx_fail(err, NX_EFORMAT, "vocab: too many texts with one hash");
        }
    }
    for (int32_t i = 0; !st && i < o->tj->n_added; i++)
        nx_index_add(&v->by_text, o->tj->added[i].id);
    return st;
}

/* ---- Special ids ------------------------------------------------------------------------------ */

static int32_t special_id(const opening *o, const char *key)
{
    nx_str text;

    if (!token_text(nx_json_get(o->config.root, key), &text) &&
        !token_text(nx_json_get(o->map.root, key), &text)) {
        return -1;
    }
    return nx_vocab_find(o->v, text);
}

/* A number, or the first of a list. */
static int32_t id_in(const opening *o, const nx_json *v, const char *key)
{
    const nx_json *id = nx_json_get(v, key);

    if (id && id->type == NX_JSON_ARRAY && id->array.n) id = &id->array.items[0];
    return id && id->type == NX_JSON_INT && id->i >= 0 && id->i < o->v->n ? (int32_t)id->i : -1;
}

static int32_t or_config(const opening *o, int32_t id, const char *key)
{
    if (id < 0) id = id_in(o, o->generation.root, key);
    return id < 0 ? id_in(o, o->model.root, key) : id;
}

static void mark_list(const opening *o, const nx_json *v)
{
    const nx_json *list = nx_json_get(v, "eos_token_id");

    for (size_t i = 0; list && list->type == NX_JSON_ARRAY && i < list->array.n; i++) {
        const nx_json *id = &list->array.items[i];
        if (id->type == NX_JSON_INT && id->i >= 0 && id->i < o->v->n) {
            o->v->marks[id->i] |= NX_MARK_ENDS;
        }
    }
    int32_t one = id_in(o, v, "eos_token_id");
    if (one >= 0) o->v->marks[one] |= NX_MARK_ENDS;
}

static bool holds(const nx_ids *list, int32_t id)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->ids[i] == id) return true;
    }
    return false;
}

static void find_special(opening *o)
{
    nx_vocab_special *s = &o->v->special;
    int32_t           unk = special_id(o, "unk_token");

    *s = (nx_vocab_special){.bos = or_config(o, special_id(o, "bos_token"), "bos_token_id"),
                            .eos = or_config(o, special_id(o, "eos_token"), "eos_token_id"),
                            .eot = -1,
                            .unk = unk >= 0 ? unk : o->tj->model.unk,
                            .sep = special_id(o, "sep_token"),
                            .pad = or_config(o, special_id(o, "pad_token"), "pad_token_id")};
    mark_list(o, o->generation.root ? o->generation.root : o->model.root);
    nx_vocab_mark_ends(o->v);
}

/* Where there is no post-processor, tokenizer_config.json's add_bos_token and add_eos_token decide;
 * beside one, transformers doesn't read them either. */
static nx_status add_around(opening *o, nx_error *err)
{
    nx_vocab_special *s = &o->v->special;
    bool              bos = false, eos = false;
    nx_status         st = NX_OK;

    if (nx_json_absent(nx_json_get(o->doc.root, "post_processor"))) {
        nx_json_get_bool(o->config.root, "add_bos_token", &bos);
        nx_json_get_bool(o->config.root, "add_eos_token", &eos);
        if (bos && s->bos >= 0) st = nx_ids_add(&o->tj->front, s->bos, err);
        if (!st && eos && s->eos >= 0) st = nx_ids_add(&o->tj->back, s->eos, err);
    }
    s->add_bos = s->bos >= 0 && holds(&o->tj->front, s->bos);
    s->add_eos = s->eos >= 0 && holds(&o->tj->back, s->eos);
    return st;
}

static nx_status check_around(const nx_ids *list, int32_t n, nx_error *err)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->ids[i] < n) continue;
        return nx_fail(err, NX_EFORMAT, "post_processor: id %d, the vocabulary has 0 to %d",
                       list->ids[i], n - 1);
    }
    return NX_OK;
}

/* ---- The whole -------------------------------------------------------------------------------- */

static void around(const nx_vocab *v, bool after, const int32_t **ids, size_t *n)
{
    const nx_tj  *tj = v->impl;
    const nx_ids *list = after ? &tj->back : &tj->front;

    *ids = list->ids;
    *n = list->n;
}

static void tj_close(void *impl)
{
    nx_tj *tj = impl;

    if (!tj) return;
    for (int i = 0; i < tj->n_norms; i++) nx_tj_norm_free(&tj->norms[i]);
    for (int i = 0; i < tj->n_pres; i++) nx_tj_pre_free(&tj->pres[i]);
    for (int i = 0; i < tj->n_decs; i++) nx_tj_dec_free(&tj->decs[i]);
    nx_tj_model_free(&tj->model);
    nx_tj_finder_free(&tj->find_raw);
    nx_tj_finder_free(&tj->find_normalised);
    nx_ids_free(&tj->front);
    nx_ids_free(&tj->back);
    nx_arena_free(&tj->arena);
    nx_free(tj);
}

static const nx_vocab_ops ops = {
    .encode = nx_tj_encode,
    .around = around,
    .decode = nx_tj_decode,
    .push = nx_tj_push,
    .finish = nx_tj_finish,
    .drop = nx_tj_drop,
    .close = tj_close,
};

bool nx_tj_is(const nx_vocab *v)
{
    return v->ops == &ops;
}

/* The model reads raw bytes where the last pre-tokenizer would only spell them. */
static void choose_bytes(nx_tj *tj)
{
    const nx_tj_model *m = &tj->model;
    bool               last = tj->n_pres && tj->pres[tj->n_pres - 1].kind == NX_TJ_BYTE_LEVEL;

    tj->raw_bytes =
        last && m->kind == NX_TJ_BPE && !m->byte_fallback && !m->prefix.len && !m->suffix.len;
    for (int i = 0; i < tj->n_pres; i++) tj->spells_bytes |= tj->pres[i].kind == NX_TJ_BYTE_LEVEL;
    for (int i = 0; i < tj->n_norms; i++) tj->spells_bytes |= tj->norms[i].kind == NX_TJ_BYTES;
}

static nx_status read_pipeline(opening *o, nx_error *err)
{
    nx_tj         *tj = o->tj;
    const nx_json *root = o->doc.root;
    nx_status      st;

    if (root->type != NX_JSON_OBJECT) return nx_tj_bad(root, err, "expected an object");
    (void)((st = read_stages(tj, nx_json_get(root, "normalizer"), "normalizers", read_norm, err)) ||
           (st = read_stages(tj, nx_json_get(root, "pre_tokenizer"), "pretokenizers", read_pre,
                             err)) ||
           (st = read_stages(tj, nx_json_get(root, "decoder"), "decoders", read_dec, err)) ||
           (st = read_stages(tj, nx_json_get(root, "post_processor"), "processors", read_post,
                             err)) ||
           (st = nx_tj_model_read(&tj->model, &tj->arena, nx_json_get(root, "model"), err)));
    if (st) return st;
    if (nx_json_absent(nx_json_get(root, "decoder"))) {
        tj->decs[tj->n_decs++] = (nx_tj_dec){.kind = NX_TJ_DEC_SPACES};
    }
    choose_bytes(tj);
    return nx_tj_model_ready(&tj->model, &tj->arena, tj->raw_bytes, err);
}

static nx_status build(opening *o, nx_error *err)
{
    static const char *const kinds[] = {"BPE", "Unigram", "WordPiece", "WordLevel"};
    nx_status                st;

    (void)((st = read_pipeline(o, err)) || (st = read_all_added(o, err)) ||
           (st = make_patterns(o->tj, err)) || (st = fill_tables(o, err)));
    if (st) return st;
    find_special(o);
    (void)((st = add_around(o, err)) || (st = check_around(&o->tj->front, o->v->n, err)) ||
           (st = check_around(&o->tj->back, o->v->n, err)) ||
           (st = nx_tj_read_pair(o->v, o->doc.root, err)));
    snprintf(o->v->kind, sizeof o->v->kind, "tokenizer.json (%s)", kinds[o->tj->model.kind]);
    return st;
}

/* A file beside the weights; none, or an empty one, leaves *doc without a root. */
static nx_status read_beside(nx_json_doc *doc, const nx_checkpoint *cp, const char *name,
                             nx_error *err)
{
    nx_str text = cp ? nx_checkpoint_file(cp, name) : (nx_str){0};

    return text.len ? nx_json_parse(doc, name, text.p, text.len, NX_JSON_PYTHON, err) : NX_OK;
}

static nx_status read_files(opening *o, nx_str json, nx_error *err)
{
    nx_status st;

    (void)((st = nx_json_parse(&o->doc, "tokenizer.json", json.p, json.len, NX_JSON_PYTHON, err)) ||
           (st = read_beside(&o->config, o->cp, "tokenizer_config.json", err)) ||
           (st = read_beside(&o->map, o->cp, "special_tokens_map.json", err)) ||
           (st = read_beside(&o->extra, o->cp, "added_tokens.json", err)) ||
           (st = read_beside(&o->generation, o->cp, "generation_config.json", err)) ||
           (st = read_beside(&o->model, o->cp, "config.json", err)));
    return st;
}

static void opening_free(opening *o)
{
    nx_json_doc_free(&o->doc);
    nx_json_doc_free(&o->config);
    nx_json_doc_free(&o->map);
    nx_json_doc_free(&o->extra);
    nx_json_doc_free(&o->generation);
    nx_json_doc_free(&o->model);
    nx_index_destroy(&o->by_content);
}

nx_status nx_tj_create(nx_vocab **out, const nx_checkpoint *cp, nx_str json, nx_error *err)
{
    opening   o = {.cp = cp, .id_max = -1};
    nx_error  inner = {0};
    nx_status st = NX_OK;

    *out = NULL;
    o.v = nx_calloc(1, sizeof *o.v);
    o.tj = nx_calloc(1, sizeof *o.tj);
    if (!o.v || !o.tj) {
        nx_free(o.v);
        nx_free(o.tj);
        return nx_fail(err, NX_ENOMEM, "vocabulary");
    }
    o.v->ops = &ops;
    o.v->impl = o.tj;
    st = read_files(&o, json, &inner);
    if (!st) st = build(&o, &inner);
    opening_free(&o);
    if (st) {
        nx_vocab_close(o.v);
        return nx_fail(err, st, "%s: tokenizer: %s", cp ? nx_checkpoint_path(cp) : "tokenizer.json",
                       inner.text);
    }
    *out = o.v;
    return NX_OK;
}
