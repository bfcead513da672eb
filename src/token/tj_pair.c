/* tj_pair.c - how two texts become one sequence, from the post-processor of a tokenizer.json.
 *
 * Forms:  TemplateProcessing's `pair`, a list of special tokens and the sequences A and B, each with
 *         a type (its segment); BertProcessing, [CLS] A [SEP] B [SEP] with B in segment 1; and
 *         RobertaProcessing, <s> A </s></s> B </s>.
 * Refuses: nothing: whoever only reads single texts needs none of this. What isn't understood leaves
 *         the vocabulary without pairs.
 */
#include <string.h>

#include "token/tj.h"

/* What is put in so far: the list that grows, and whether all is as we can have it. */
typedef struct pairing {
    nx_vocab      *v;
    const nx_json *tokens; /* special_tokens */
    int            n_sequences;
    bool           sound;
} pairing;

static nx_ids *list_at(pairing *p)
{
    nx_vocab_pair *pair = &p->v->pair;

    return p->n_sequences == 0   ? &pair->before
           : p->n_sequences == 1 ? &pair->between
                                 : &pair->after;
}

/* The segment of the two texts, and of what stands beside them: 0, and from B on that of B. */
static void see_type(pairing *p, const nx_json *v, bool is_b)
{
    int64_t type = 0;

    nx_json_get_int(v, "type_id", &type);
    if (is_b) p->v->pair.segments = type == 1;
    int64_t expected = p->n_sequences == 2 ? p->v->pair.segments : 0;
    p->sound = p->sound && type == expected;
}

static nx_status add_special(pairing *p, const nx_json *v, nx_error *err)
{
    nx_str         name;
    nx_status      st = NX_OK;
    const nx_json *ids = NULL;

    if (nx_json_get_string(v, "id", &name))
        ids = nx_json_get(nx_json_get_str(p->tokens, name), "ids");
    p->sound = p->sound && ids && ids->type == NX_JSON_ARRAY;
    see_type(p, v, false);
    for (size_t i = 0; !st && p->sound && i < ids->array.n; i++) {
        const nx_json *id = &ids->array.items[i];
        p->sound = id->type == NX_JSON_INT && id->i >= 0 && id->i < p->v->n;
        if (p->sound) st = nx_ids_add(list_at(p), (int32_t)id->i, err);
    }
    return st;
}

static void see_sequence(pairing *p, const nx_json *v)
{
    static const char *const names[] = {"A", "B"};
    nx_str                   name;

    p->sound = p->sound && p->n_sequences < 2 && nx_json_get_string(v, "id", &name) &&
               nx_str_eq(name, nx_str_of(names[p->n_sequences]));
    if (!p->sound) return;
    p->n_sequences++;
    see_type(p, v, p->n_sequences == 2);
}

static nx_status read_template(pairing *p, const nx_json *post, nx_error *err)
{
    const nx_json *list = nx_json_get(post, "pair");
    nx_status      st = NX_OK;

    p->tokens = nx_json_get(post, "special_tokens");
    p->sound = list && list->type == NX_JSON_ARRAY;
    for (size_t i = 0; !st && p->sound && i < list->array.n; i++) {
        const nx_json *e = &list->array.items[i];
        const nx_json *special = nx_json_get(e, "SpecialToken"), *text = nx_json_get(e, "Sequence");
        if (special)
            st = add_special(p, special, err);
        else if (text)
            see_sequence(p, text);
        else
            p->sound = false;
    }
    p->sound = p->sound && p->n_sequences == 2;
    return st;
}

/* BERT's and RoBERTa's own: the ids around one text are those around the two. */
static nx_status take_around(pairing *p, int n_between, bool segments, nx_error *err)
{
    const nx_tj *tj = p->v->impl;

    if (tj->front.n != 1 || tj->back.n != 1) return NX_OK;
    nx_status st = nx_ids_add(&p->v->pair.before, tj->front.ids[0], err);
    for (int i = 0; !st && i < n_between; i++)
        st = nx_ids_add(&p->v->pair.between, tj->back.ids[0], err);
    if (!st) st = nx_ids_add(&p->v->pair.after, tj->back.ids[0], err);
    p->v->pair.segments = segments;
    p->sound = true;
    return st;
}

/* The only one that puts anything; NULL: none, or several. *n counts them. */
static const nx_json *find_post(const nx_json *v, int *n)
{
    const nx_json *found = NULL, *list = nx_json_get(v, "processors");
    nx_str         type;

    if (nx_json_absent(v) || !nx_json_get_string(v, "type", &type)) return NULL;
    if (nx_str_eq(type, NX_STR("ByteLevel"))) return NULL;
    if (!nx_str_eq(type, NX_STR("Sequence"))) {
        (*n)++;
        return v;
    }
    for (size_t i = 0; list && list->type == NX_JSON_ARRAY && i < list->array.n; i++) {
        const nx_json *one = find_post(&list->array.items[i], n);
        if (one) found = one;
    }
    return found;
}

nx_status nx_tj_read_pair(nx_vocab *v, const nx_json *root, nx_error *err)
{
    pairing        p = {.v = v};
    int            n = 0;
    const nx_json *post = find_post(nx_json_get(root, "post_processor"), &n);
    nx_str         type;
    nx_status      st = NX_OK;

    if (!post || n != 1 || !nx_json_get_string(post, "type", &type)) return NX_OK;
    if (nx_str_eq(type, NX_STR("TemplateProcessing"))) st = read_template(&p, post, err);
    if (nx_str_eq(type, NX_STR("BertProcessing"))) st = take_around(&p, 1, true, err);
    if (nx_str_eq(type, NX_STR("RobertaProcessing"))) st = take_around(&p, 2, false, err);
    v->pairs = p.sound && !st;
    return st;
}
