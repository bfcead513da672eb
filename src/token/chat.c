/* chat.c - chooses a style for a model, and encodes conversations in it. */
#include "token/chat.h"

#include <stdio.h>

#include "base/alloc.h"
#include "token/chat_style.h"

#define KEY "tokenizer.chat_template"

struct nx_chat {
    const nx_chat_style *style;
    const nx_vocab      *vocab;
    nx_str               bos, eos;
    bool                 begins_with_bos;
};

const char *const *nx_chat_names(void)
{
    return nx_chat_style_names;
}

static void list_names(char *out, size_t cap)
{
    size_t len = 0;

    for (const nx_chat_style *s = nx_chat_styles; s->name && len < cap; s++) {
        len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? ", " : "", s->name);
    }
}

/* A special token spelled so. */
static bool has_mark(const nx_vocab *v, const char *text)
{
    nx_token_type type = nx_vocab_type(v, nx_vocab_find(v, nx_str_of(text)));

    return nx_vocab_find(v, nx_str_of(text)) >= 0 &&
           (type == NX_TOKEN_CONTROL || type == NX_TOKEN_USER_DEFINED);
}

static bool fits(const nx_chat_style *s, const nx_vocab *v, const char **lacks)
{
    for (int i = 0; i < 2 && s->needs[i]; i++) {
        *lacks = s->needs[i];
        if (!has_mark(v, s->needs[i])) return false;
    }
    return true;
}

/* A file without a template: the style whose control tokens its vocabulary has. */
static const nx_chat_style *by_marks(const nx_vocab *v)
{
    const char *lacks;

    for (const nx_chat_style *s = nx_chat_styles; s->name; s++) {
        if (s->needs[0] && s->needs[1] && fits(s, v, &lacks)) return s;
    }
    return NULL;
}

static nx_status choose(const nx_chat_style **out, const char *path, nx_str model_template,
                        const nx_vocab *v, const char *name, nx_error *err)
{
    char        names[384];
    const char *lacks;

    list_names(names, sizeof names);
    *out = name                 ? nx_chat_style_find(name)
           : model_template.len ? nx_chat_style_recognise(model_template)
                                : by_marks(v);
    if (!*out && name) {
        return nx_fail(err, NX_EUNSUPPORTED, "chat template \"%.64s\", we have: %s", name, names);
    }
    if (!*out && model_template.len) {
        return nx_fail(err, NX_EUNSUPPORTED, "%s: " KEY " is of no kind that we know. Name one: %s",
                       path, names);
    }
    if (!*out) {
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%s: no " KEY ": not a chat model? Name a template to try: %s", path, names);
    }
    if (fits(*out, v, &lacks)) return NX_OK;
    return nx_fail(err, NX_EUNSUPPORTED,
                   "%s: chat template %s needs the token %s, which the vocabulary lacks. Name "
                   "another: %s",
                   path, (*out)->name, lacks, names);
}

static bool mentions_bos(nx_str model_template)
{
    static const char word[] = "bos_token";

    for (size_t i = 0; i + sizeof word - 1 <= model_template.len; i++) {
        if (nx_str_eq((nx_str){model_template.p + i, sizeof word - 1}, NX_STR(word))) return true;
    }
    return false;
}

nx_status nx_chat_open(nx_chat **out, const nx_checkpoint *cp, const nx_vocab *vocab,
                       const char *name, nx_error *err)
{
    const nx_vocab_special *ids = nx_vocab_special_ids(vocab);
    const nx_chat_style    *style = NULL;
    nx_str                  model_template = {0};
    nx_status               st;

    *out = NULL;
    st = nx_meta_string(cp, KEY, &model_template, false, err);
    if (!st) st = choose(&style, nx_checkpoint_path(cp), model_template, vocab, name, err);
    if (st) return st;
    nx_chat *c = nx_calloc(1, sizeof *c);
    if (!c) return nx_fail(err, NX_ENOMEM, "chat template %s", style->name);
    *c = (nx_chat){.style = style,
                   .vocab = vocab,
                   .bos = nx_vocab_text(vocab, ids->bos),
                   .eos = nx_vocab_text(vocab, ids->eos),
                   .begins_with_bos = ids->add_bos || mentions_bos(model_template)};
    *out = c;
    return NX_OK;
}

void nx_chat_close(nx_chat *c)
{
    nx_free(c);
}

const char *nx_chat_name(const nx_chat *c)
{
    return c->style->name;
}

nx_status nx_chat_encode(const nx_chat *c, nx_ids *out, const nx_chat_message *messages, size_t n,
                         bool answer, nx_error *err)
{
    nx_chat_text t = {.text.max = SIZE_MAX / 4};
    size_t       n_before = out->n;
    int32_t      bos = nx_vocab_special_ids(c->vocab)->bos;
    nx_status    st = nx_chat_style_write(c->style, &t, c->bos, c->eos, messages, n, answer, err);

    if (!st && c->begins_with_bos && bos >= 0) st = nx_ids_add(out, bos, err);
    if (!st) st = nx_encode_spans(c->vocab, out, t.text.data, t.spans, t.n_spans, err);
    if (st) out->n = n_before;
    nx_chat_text_free(&t);
    return st;
}
