/* handle_indexes.c - indexes over payloads: made from Qdrant's schemas, and dropped.
 *
 * Thread: the store's desk.
 */
#include "server/collection_json.h"
#include "server/handlers.h"
#include "server/server_in.h"
#include "store/words.h"

#define WORD_CHARS_MAX 1000

/* ---- Texts ---- */

typedef struct word_choice {
    const char *name;
    int         value;
} word_choice;

static const word_choice kinds[] = {
    {"keyword", NX_INDEX_KEYWORD},   {"integer", NX_INDEX_INTEGER}, {"float", NX_INDEX_FLOAT},
    {"bool", NX_INDEX_BOOL},         {"geo", NX_INDEX_GEO},         {"text", NX_INDEX_TEXT},
    {"datetime", NX_INDEX_DATETIME}, {"uuid", NX_INDEX_UUID},       {NULL, 0},
};

static const word_choice tokenizers[] = {
    {"word", NX_WORDS_WORD},
    {"whitespace", NX_WORDS_WHITESPACE},
    {"prefix", NX_WORDS_PREFIX},
    {"multilingual", NX_WORDS_MULTILINGUAL},
    {NULL, 0},
};

static nx_status choose(int *out, const word_choice *list, const nx_json *v, const char *what,
                        nx_error *err)
{
    for (; list->name; list++) {
        if (!nx_json_is(v, list->name)) continue;
        *out = list->value;
        return NX_OK;
    }
    return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "%s: unknown variant `%.*s`", what,
                   v && v->type == NX_JSON_STRING && v->text.len < 60 ? (int)v->text.len : 0,
                   v && v->type == NX_JSON_STRING ? v->text.p : "");
}

static nx_status read_flag(bool *out, const nx_json *schema, const char *name, nx_error *err)
{
    const nx_json *v = nx_json_get(schema, name);

    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_BOOL)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "field_schema.%s: expected a boolean", name);
    *out = v->boolean;
    return NX_OK;
}

static nx_status read_chars(int32_t *out, const nx_json *schema, const char *name, nx_error *err)
{
    const nx_json *v = nx_json_get(schema, name);

    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_INT || v->i < 0)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "field_schema.%s: expected usize", name);
    *out = v->i < WORD_CHARS_MAX ? (int32_t)v->i : WORD_CHARS_MAX;
    return NX_OK;
}

/* Append the stopwords of a language, or one of the caller's own. */
typedef struct stops {
    nx_str *list; /* [NX_STOPWORDS_MAX] */
    size_t  n;
} stops;

static nx_status add_stop(stops *s, nx_str word, nx_error *err)
{
    if (s->n == NX_STOPWORDS_MAX)
        return nx_fail(err, NX_ELIMIT, "more than %d stopwords", NX_STOPWORDS_MAX);
    s->list[s->n++] = word;
    return NX_OK;
}

static nx_status add_language(stops *s, const nx_json *name, nx_error *err)
{
    size_t        n = 0;
    const nx_str *words = name->type == NX_JSON_STRING ? nx_stopwords(name->text, &n) : NULL;
    nx_status     st = NX_OK;

    if (!words)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "field_schema.stopwords: unknown language");
    for (size_t i = 0; !st && i < n; i++) st = add_stop(s, words[i], err);
    return st;
}

static nx_status add_each(stops *s, const nx_json *list, bool languages, nx_error *err)
{
    nx_status st = NX_OK;

    if (nx_json_absent(list)) return NX_OK;
    if (list->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "field_schema.stopwords: expected arrays");
    for (size_t i = 0; !st && i < list->array.n; i++) {
        const nx_json *v = &list->array.items[i];
        if (languages)
            st = add_language(s, v, err);
        else if (v->type == NX_JSON_STRING)
            st = add_stop(s, v->text, err);
        else
            st = nx_fail(err, NX_EINVAL, NX_QD_FORMAT "field_schema.stopwords: expected strings");
    }
    return st;
}

/* "english", or {languages, custom}. */
static nx_status read_stopwords(nx_words_spec *out, nx_call *c, const nx_json *v, nx_error *err)
{
    stops     s = {0};
    nx_status st;

    if (nx_json_absent(v)) return NX_OK;
    s.list = nx_arena_alloc(&c->kept, NX_STOPWORDS_MAX, sizeof *s.list);
    if (!s.list) return nx_fail(err, NX_ENOMEM, "stopwords");
    if (v->type == NX_JSON_STRING) {
        st = add_language(&s, v, err);
    } else {
        st = add_each(&s, nx_json_get(v, "languages"), true, err);
        if (!st) st = add_each(&s, nx_json_get(v, "custom"), false, err);
    }
    out->stopwords = s.list;
    out->n_stopwords = s.n;
    return st;
}

/* "english", or {type: snowball, language}. */
static nx_status read_stemmer(nx_words_spec *out, const nx_json *v, nx_error *err)
{
    const nx_json *language = v && v->type == NX_JSON_OBJECT ? nx_json_get(v, "language") : v;

    if (nx_json_absent(v)) return NX_OK;
    if (!language || language->type != NX_JSON_STRING)
        return nx_fail(err, NX_EINVAL,
                       NX_QD_FORMAT "field_schema.stemmer: expected {type, language}");
    out->stemmer = language->text;
    return NX_OK;
}

/* A stemmer that isn't there is refused now, not by the first search. */
static nx_status check_words(const nx_words_spec *spec, nx_error *err)
{
    nx_words *w;
    nx_status st = nx_words_create(&w, spec, err);

    if (!st) nx_words_destroy(w);
    return st;
}

static nx_status read_words(nx_words_spec *out, nx_call *c, const nx_json *schema, nx_error *err)
{
    const nx_json *tokenizer = nx_json_get(schema, "tokenizer");
    int            kind = NX_WORDS_WORD;
    nx_status      st = NX_OK;

    out->lowercase = true;
    if (!nx_json_absent(tokenizer))
        st = choose(&kind, tokenizers, tokenizer, "field_schema.tokenizer", err);
    out->kind = (nx_word_kind)kind;
    if (!st) st = read_flag(&out->lowercase, schema, "lowercase", err);
    if (!st) st = read_flag(&out->ascii_folding, schema, "ascii_folding", err);
    if (!st) st = read_flag(&out->phrase, schema, "phrase_matching", err);
    if (!st) st = read_chars(&out->min_chars, schema, "min_token_len", err);
    if (!st) st = read_chars(&out->max_chars, schema, "max_token_len", err);
    if (!st) st = read_stopwords(out, c, nx_json_get(schema, "stopwords"), err);
    if (!st) st = read_stemmer(out, nx_json_get(schema, "stemmer"), err);
    return st ? st : check_words(out, err);
}

/* ---- Schemas ---- */

static nx_status keep_words(nx_str *out, nx_call *c, const nx_json *schema, nx_error *err)
{
    nx_jw w = {.buf.max = 65536};

    nx_json_write(&w, NULL, schema);
    nx_status st = w.st ? nx_fail(err, w.st, "%s", w.err.text) : NX_OK;
    if (!st) {
        out->p = nx_arena_strndup(&c->kept, w.buf.data, w.buf.len);
        out->len = w.buf.len;
        if (!out->p) st = nx_fail(err, NX_ENOMEM, "an index");
    }
    nx_buf_free(&w.buf);
    return st;
}

/* "keyword", or {type: keyword, ...}. */
static nx_status read_schema(nx_index_spec *out, nx_call *c, const nx_json *schema, nx_error *err)
{
    bool           object = schema->type == NX_JSON_OBJECT;
    const nx_json *type = object ? nx_json_get(schema, "type") : schema;
    int            kind = 0;
    nx_status      st = choose(&kind, kinds, type, "field_schema", err);

    if (st) return st;
    out->kind = (nx_index_kind)kind;
    out->lookup = out->range = true;
    if (object) st = read_flag(&out->lookup, schema, "lookup", err);
    if (!st && object) st = read_flag(&out->range, schema, "range", err);
    if (!st && out->kind == NX_INDEX_TEXT) st = read_words(&out->words, c, schema, err);
    if (!st && object) st = keep_words(&out->note, c, schema, err);
    return st;
}

static nx_status create(nx_call *c, nx_collection *coll, nx_error *err)
{
    const nx_json *schema = nx_json_get(c->body, "field_schema");
    nx_index_spec  spec = {.path = nx_field_string(c->route->request, c->body, "field_name")};
    nx_path        path;
    nx_status      st = nx_path_parse(&path, spec.path, err);

    if (nx_json_absent(schema)) schema = nx_json_get(c->body, "field_type");
    if (!st && nx_json_absent(schema))
        st = nx_fail(err, NX_EINVAL, NX_QD_FORMAT "missing field `field_schema`");
    if (!st) st = read_schema(&spec, c, schema, err);
    return st ? st : nx_collection_create_index(coll, &spec, err);
}

static nx_status drop(nx_call *c, nx_collection *coll, nx_error *err)
{
    nx_status st = nx_collection_drop_index(coll, c->params[1], err);

    return st == NX_ENOENT ? NX_OK : st; /* there is none, as was wished */
}

/* ---- Routes ---- */

static void run(nx_call *c, nx_status (*change)(nx_call *c, nx_collection *coll, nx_error *err))
{
    nx_collection      *coll = nx_qd_collection(c, NX_RIGHT_MANAGE);
    nx_collection_stats stats;
    nx_error            err;
    nx_jw               w;

    if (!coll) return;
    nx_status st = change(c, coll, &err);
    nx_collection_read_stats(coll, &stats);
    nx_collection_release(coll);
    if (st) {
        nx_qd_refuse_error(c, &err);
        return;
    }
    nx_qd_open(&w);
    nx_jw_open(&w, NX_QD_RESULT, '{');
    nx_jw_u64(&w, "operation_id", stats.seq);
    nx_jw_text(&w, "status", nx_qd_wait(c) ? "completed" : "acknowledged");
    nx_jw_close(&w, '}');
    nx_qd_reply(c, 200, &w);
}

static void create_index(nx_call *c)
{
    run(c, create);
}

void nx_handle_qd_index_create(nx_call *c)
{
    nx_qd_start(c, create_index);
}

static void drop_index(nx_call *c)
{
    run(c, drop);
}

void nx_handle_qd_index_drop(nx_call *c)
{
    nx_qd_start(c, drop_index);
}
