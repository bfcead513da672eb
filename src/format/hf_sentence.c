/* hf_sentence.c - reads the side files of sentence-transformers. */
#include "format/hf_sentence.h"

#include <stdio.h>
#include <string.h>

#include "format/hf.h"
#include "format/printable.h"

enum { LEN_MAX = 1 << 28, PROMPT_MAX = 4096 };

static nx_status parse(nx_json_doc *doc, const nx_hf *hf, const char *name, bool *there,
                       nx_error *err)
{
    char   shown[360];
    nx_str text = nx_hf_side_text(hf, name);

    *there = text.p != NULL;
    if (!text.p) return NX_OK;
    snprintf(shown, sizeof shown, "%s/%s", hf->shown, name);
    return nx_json_parse(doc, shown, text.p, text.len, NX_JSON_PYTHON, err);
}

static nx_status NX_PRINTF(5, 6)
    refuse(const nx_hf *hf, const char *name, nx_status st, nx_error *err, const char *fmt, ...)
{
    char    text[240];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return nx_fail(err, st, "%s/%s: %s", hf->shown, name, text);
}

/* ---- Pooling ---- */

static const struct {
    const char *name, *field; /* of version 6, and before */
    int         pooling;      /* 0: not ours */
} modes[] = {
    {"cls", "pooling_mode_cls_token", 2},
    {"max", "pooling_mode_max_tokens", 0},
    {"mean", "pooling_mode_mean_tokens", 1},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", 0},
    {"weightedmean", "pooling_mode_weightedmean_tokens", 0},
    {"lasttoken", "pooling_mode_lasttoken", 3},
};

enum { N_MODES = sizeof modes / sizeof *modes };

static nx_status take_mode(nx_hf_sentence *s, const nx_hf *hf, const char *file, int mode,
                           nx_error *err)
{
    if (s->pooling)
        return refuse(hf, file, NX_EUNSUPPORTED, err,
                      "more than one way of pooling at once is not supported");
    if (!modes[mode].pooling)
        return refuse(hf, file, NX_EUNSUPPORTED, err,
                      "pooling \"%s\" is not supported (supported: mean, cls, lasttoken)",
                      modes[mode].name);
    s->pooling = modes[mode].pooling;
    return NX_OK;
}

static nx_status take_named(nx_hf_sentence *s, const nx_hf *hf, const char *file, const nx_json *v,
                            nx_error *err)
{
    char shown[48];

    for (int i = 0; i < N_MODES; i++)
        if (nx_json_is(v, modes[i].name)) return take_mode(s, hf, file, i, err);
    return refuse(hf, file, NX_EFORMAT, err, "pooling_mode in line %u: \"%s\" is unknown", v->line,
                  v->type == NX_JSON_STRING ? nx_printable(shown, sizeof shown, v->text)
                                            : nx_json_type_name(v));
}

static nx_status read_modes(nx_hf_sentence *s, const nx_hf *hf, const char *file,
                            const nx_json *root, nx_error *err)
{
    const nx_json *named = nx_json_get(root, "pooling_mode");
    nx_status      st = NX_OK;
    bool           on;

    if (!nx_json_absent(named) && named->type == NX_JSON_ARRAY) {
        for (size_t i = 0; !st && i < named->array.n; i++)
            st = take_named(s, hf, file, &named->array.items[i], err);
    } else if (!nx_json_absent(named)) {
        st = take_named(s, hf, file, named, err);
    } else {
        for (int i = 0; !st && i < N_MODES; i++)
            if (nx_json_get_bool(root, modes[i].field, &on) && on)
                st = take_mode(s, hf, file, i, err);
    }
    if (!st && !s->pooling) s->pooling = 1; /* as its class has it */
    return st;
}

static nx_status read_pooling(nx_hf_sentence *s, const nx_hf *hf, nx_str path, nx_error *err)
{
    nx_json_doc doc = {0};
    char        file[160], shown[120];
    bool        there, with_prompt = true;

    snprintf(file, sizeof file, "%s/config.json", nx_printable(shown, sizeof shown, path));
    nx_status st = parse(&doc, hf, file, &there, err);
    if (!st && !there) st = refuse(hf, file, NX_ENOENT, err, "no such file: modules.json names it");
    if (!st) st = read_modes(s, hf, file, doc.root, err);
    if (!st && nx_json_get_bool(doc.root, "include_prompt", &with_prompt))
        s->leave_out_prompt = !with_prompt;
    nx_json_doc_free(&doc);
    return st;
}

/* ---- Modules ---- */

/* "Pooling" of "sentence_transformers.models.Pooling". */
static bool is_module(nx_str type, const char *name)
{
    size_t n = strlen(name);

    return type.len >= n && memcmp(type.p + type.len - n, name, n) == 0 &&
           (type.len == n || type.p[type.len - n - 1] == '.');
}

static nx_status read_module(nx_hf_sentence *s, const nx_hf *hf, const nx_json *v, nx_error *err)
{
    nx_str type, path = NX_STR("");
    char   shown[96];

    if (!nx_json_get_string(v, "type", &type))
        return refuse(hf, "modules.json", NX_EFORMAT, err, "line %u: no type, expected a module",
                      v->line);
    nx_json_get_string(v, "path", &path);
    if (is_module(type, "Transformer")) {
        if (path.len == 0) return NX_OK;
        return refuse(hf, "modules.json", NX_EUNSUPPORTED, err,
                      "line %u: the model lies in the folder %s. Name that one", v->line,
                      nx_printable(shown, sizeof shown, path));
    }
    if (is_module(type, "Pooling")) return read_pooling(s, hf, path, err);
    if (is_module(type, "Normalize")) {
        s->normalise = true;
        return NX_OK;
    }
    return refuse(hf, "modules.json", NX_EUNSUPPORTED, err,
                  "line %u: module %s is not supported (supported: Transformer, Pooling, "
                  "Normalize)",
                  v->line, nx_printable(shown, sizeof shown, type));
}

static nx_status read_modules(nx_hf_sentence *s, const nx_hf *hf, nx_error *err)
{
    nx_json_doc doc = {0};
    nx_status   st = parse(&doc, hf, "modules.json", &s->present, err);

    if (!st && s->present && doc.root->type != NX_JSON_ARRAY)
        st = refuse(hf, "modules.json", NX_EFORMAT, err, "%s, expected an array",
                    nx_json_type_name(doc.root));
    for (size_t i = 0; !st && s->present && i < doc.root->array.n; i++)
        st = read_module(s, hf, &doc.root->array.items[i], err);
    nx_json_doc_free(&doc);
    return st;
}

/* ---- Lengths and prompts ---- */

static nx_status read_lengths(nx_hf_sentence *s, const nx_hf *hf, nx_error *err)
{
    static const char file[] = "sentence_bert_config.json";
    nx_json_doc       doc = {0};
    bool              there;
    int64_t           n;
    nx_status         st = parse(&doc, hf, file, &there, err);

    if (!st && there && nx_json_get_int(doc.root, "max_seq_length", &n)) {
        s->max_len = n;
        if (n < 3 || n > LEN_MAX)
            st = refuse(hf, file, NX_EFORMAT, err, "max_seq_length: %lld, expected 3 to %d",
                        (long long)n, LEN_MAX);
    }
    if (!st && there) nx_json_get_bool(doc.root, "do_lower_case", &s->lowercase);
    nx_json_doc_free(&doc);
    if (st || s->max_len) return st;
    /* Not said there: what the tokenizer was made for. Some say 1e30, which is no integer. */
    st = parse(&doc, hf, "tokenizer_config.json", &there, err);
    if (!st && there && nx_json_get_int(doc.root, "model_max_length", &n) && n >= 3 && n < LEN_MAX)
        s->max_len = n;
    nx_json_doc_free(&doc);
    return st;
}

static void take_prompt(nx_str *out, const nx_json *prompts, nx_str name)
{
    const nx_json *v = nx_json_get_str(prompts, name);

    if (!out->p && v && v->type == NX_JSON_STRING) *out = v->text;
}

static nx_status read_prompts(nx_hf_sentence *s, const nx_hf *hf, nx_error *err)
{
    static const char        file[] = "config_sentence_transformers.json";
    static const char *const passages[] = {"document", "passage", "corpus"};
    bool                     there;
    nx_str                   name;
    nx_status                st = parse(&s->settings, hf, file, &there, err);

    if (st || !there) return st;
    const nx_json *prompts = nx_json_get(s->settings.root, "prompts");
    take_prompt(&s->query, prompts, NX_STR("query"));
    for (size_t i = 0; i < sizeof passages / sizeof *passages; i++)
        take_prompt(&s->passage, prompts, nx_str_of(passages[i]));
    if (nx_json_get_string(s->settings.root, "default_prompt_name", &name))
        take_prompt(&s->usual, prompts, name);
    if (s->query.len > PROMPT_MAX || s->passage.len > PROMPT_MAX || s->usual.len > PROMPT_MAX)
        return refuse(hf, file, NX_ELIMIT, err, "prompts: longer than %d bytes", PROMPT_MAX);
    return NX_OK;
}

/* ---- The whole ---- */

nx_status nx_hf_sentence_read(nx_hf_sentence *s, const nx_hf *hf, nx_error *err)
{
    if (s->ranks) return read_lengths(s, hf, err);
    nx_status st = read_modules(s, hf, err);

    if (st || !s->present) return st;
    st = read_lengths(s, hf, err);
    return st ? st : read_prompts(s, hf, err);
}

void nx_hf_sentence_free(nx_hf_sentence *s)
{
    nx_json_doc_free(&s->settings);
    *s = (nx_hf_sentence){0};
}

void nx_hf_put_sentence(nx_hf_reader *r, const nx_hf_sentence *s)
{
    if (s && s->max_len)
        nx_hf_put_u32(r, "nexus.embedding.length_max", "max_seq_length", s->max_len);
    if (!s || !s->present) return;
    if (s->pooling) nx_hf_put_u32(r, "pooling_type", "pooling_mode", s->pooling);
    nx_hf_put_bool(r, "nexus.embedding.normalise", "modules", s->normalise);
    if (s->leave_out_prompt)
        nx_hf_put_bool(r, "nexus.embedding.pools_prompt", "include_prompt", false);
    if (s->lowercase) nx_hf_put_bool(r, "nexus.embedding.lowercase", "do_lower_case", true);
    nx_hf_put_str(r, "nexus.embedding.prompt_query", "prompts", s->query);
    nx_hf_put_str(r, "nexus.embedding.prompt_passage", "prompts", s->passage);
    nx_hf_put_str(r, "nexus.embedding.prompt", "default_prompt_name", s->usual);
}
