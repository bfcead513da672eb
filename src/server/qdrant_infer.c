/* qdrant_infer.c - texts that stand for vectors, {"text", "model", "options"}, become them in process.
 *
 * Idea:    the body's places for vectors are walked once; payloads are not, so what looks like a text
 *          there stays what it is. Texts are then sorted by model, and each model has its turn: a few
 *          texts at a time, going to the end of the desk's list in between, as /v1/embeddings does. Words
 *          (BM25) need no model. The call then goes on, on the store's desk.
 * Owns:    while it works: a reference to the collection, and to one model.
 * Thread:  the store's desk, the server's desk, and the one that loads a model, in turn.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/embedder.h"
#include "os/clock.h"
#include "server/qdrant.h"
#include "server/qdrant_filter.h"
#include "server/server_in.h"
#include "store/words.h"

enum {
    TEXTS_MAX = 16384, /* of one body */
    GROUP = 16,        /* of one turn on the desk */
};

typedef struct text {
    const nx_json_member *key; /* the object's members: what its copies share */
    nx_str                text, model;
    int32_t               slot, number; /* number: which text of the body */
    nx_long_text          long_texts;
    bool                  asking;
    nx_bm25_options       words;
    nx_vector             vector;
} text;

struct nx_qd_texts {
    nx_call         *c;
    nx_collection   *coll;
    const nx_config *config;
    text            *list; /* [n] */
    size_t           n, cap, done;
    bool             stores; /* some of them are to be stored */
    nx_loaded       *model;  /* whose turn it is */
    nx_model_waiter  waiter;
    int64_t          n_tokens; /* of that model */
    void (*then)(nx_call *c);
    nx_error err;
};

/* ---- Finding them ---- */

static bool is_string(const nx_json *v)
{
    return v && v->type == NX_JSON_STRING;
}

/* An object that asks to be embedded: a text, or what can't be. Vectors by names may be called so, too,
 * but are no strings. */
static bool is_inference(const nx_json *v)
{
    return v && v->type == NX_JSON_OBJECT && is_string(nx_json_get(v, "model")) &&
           (is_string(nx_json_get(v, "text")) || nx_json_get(v, "image") ||
            nx_json_get(v, "object"));
}

static nx_status read_bm25(nx_qd_texts *t, nx_bm25_options *out, const nx_json *options)
{
    double x;

    nx_json_get_string(options, "language", &out->language);
    if (nx_json_get_number(options, "k", &x)) out->k = (float)x;
    if (nx_json_get_number(options, "b", &x)) out->b = (float)x;
    if (nx_json_get_number(options, "avg_len", &x)) out->avg_len = (float)x;
    if (isfinite(out->k) && isfinite(out->avg_len) && out->k >= 0 && out->b >= 0 && out->b <= 1 &&
        out->avg_len >= 0)
        return NX_OK;
    return nx_fail(&t->err, NX_EINVAL,
                   NX_QD_FORMAT "options: k and avg_len are at least 0, b is from 0 to 1");
}

static nx_status read_options(nx_qd_texts *t, text *out, const nx_json *options)
{
    const nx_json *policy = nx_json_get(options, "long");

    if (nx_json_is(policy, "cut"))
        out->long_texts = NX_LONG_CUT;
    else if (nx_json_is(policy, "windows"))
        out->long_texts = NX_LONG_WINDOWS;
    else if (!nx_json_absent(policy) && !nx_json_is(policy, "error"))
        return nx_fail(&t->err, NX_EINVAL,
                       NX_QD_FORMAT "options.long: expected `error`, `cut` or `windows`");
    return read_bm25(t, &out->words, options);
}

static bool is_words(nx_str model)
{
    return nx_str_eq(model, NX_STR("qdrant/bm25")) || nx_str_eq(model, NX_STR("Qdrant/bm25"));
}

static nx_status make_room(nx_qd_texts *t)
{
    size_t cap = t->cap ? 2 * t->cap : 16;
    text  *list;

    if (t->n < t->cap) return NX_OK;
    if (t->n == TEXTS_MAX)
        return nx_fail(&t->err, NX_EINVAL, NX_QD_WRONG "more than %d texts to embed", TEXTS_MAX);
    list = nx_arena_alloc(&t->c->kept, cap, sizeof *list);
    if (!list) return nx_fail(&t->err, NX_ENOMEM, "%zu texts", cap);
    if (t->n) memcpy(list, t->list, t->n * sizeof *list);
    t->list = list;
    t->cap = cap;
    return NX_OK;
}

static nx_status check_kind(nx_qd_texts *t, const text *x)
{
    bool sparse = t->config->slots[x->slot].form == NX_FORM_SPARSE;

    if (sparse == is_words(x->model)) return NX_OK;
    if (sparse)
        return nx_fail(&t->err, NX_EINVAL,
                       NX_QD_WRONG "a sparse vector is made of a text by the model \"qdrant/bm25\" "
                                   "alone");
    return nx_fail(&t->err, NX_EINVAL,
                   NX_QD_WRONG "the model \"qdrant/bm25\" makes sparse vectors, and this one is "
                               "dense");
}

/* A place for a vector: is it a text's? name: of the slot; one that isn't there is told later, by whoever
 * reads the vector. */
static nx_status visit(nx_qd_texts *t, const nx_json *v, nx_str name, bool asking)
{
    int32_t   slot = nx_config_slot(t->config, name);
    nx_status st;
    text     *x;

    if (slot < 0 || !is_inference(v)) return NX_OK;
    if (!nx_json_absent(nx_json_get(v, "image")))
        return nx_fail(&t->err, NX_EUNSUPPORTED, "not supported: inference of an image");
    if (!nx_json_absent(nx_json_get(v, "object")))
        return nx_fail(&t->err, NX_EUNSUPPORTED, "not supported: inference of an object");
    st = make_room(t);
    if (st) return st;
    x = &t->list[t->n];
    *x = (text){.key = v->object.members, .slot = slot, .number = (int32_t)t->n, .asking = asking};
    nx_json_get_string(v, "text", &x->text);
    nx_json_get_string(v, "model", &x->model);
    st = read_options(t, x, nx_json_get(v, "options"));
    if (!st) st = check_kind(t, x);
    if (st) return st;
    t->stores = t->stores || !asking;
    t->n++;
    return NX_OK;
}

/* ---- Where vectors stand in bodies ---- */

static nx_status visit_list(nx_qd_texts *t, const nx_json *list, nx_str name, bool asking)
{
    nx_status st = NX_OK;

    if (!list || list->type != NX_JSON_ARRAY) return NX_OK;
    for (size_t i = 0; !st && i < list->array.n; i++)
        st = visit(t, &list->array.items[i], name, asking);
    return st;
}

/* One vector, or an object of them by their names. */
static nx_status visit_vector(nx_qd_texts *t, const nx_json *v)
{
    nx_status st = NX_OK;

    if (!v || v->type != NX_JSON_OBJECT) return NX_OK;
    if (is_inference(v)) return visit(t, v, NX_STR(""), false);
    for (size_t i = 0; !st && i < v->object.n; i++)
        st = visit(t, &v->object.members[i].value, v->object.members[i].key, false);
    return st;
}

/* {"ids", "vectors": [...]}, or {"vectors": {"name": [...]}}. */
static nx_status visit_columns(nx_qd_texts *t, const nx_json *columns)
{
    nx_status st = visit_list(t, columns, NX_STR(""), false);

    if (!columns || columns->type != NX_JSON_OBJECT) return st;
    for (size_t i = 0; !st && i < columns->object.n; i++)
        st =
            visit_list(t, &columns->object.members[i].value, columns->object.members[i].key, false);
    return st;
}

static nx_status visit_stored(nx_qd_texts *t, const nx_json *body)
{
    const nx_json *points = nx_json_get(body, "points");
    nx_status      st = NX_OK;

    if (points && points->type == NX_JSON_ARRAY)
        for (size_t i = 0; !st && i < points->array.n; i++)
            st = visit_vector(t, nx_json_get(&points->array.items[i], "vector"));
    return st ? st : visit_columns(t, nx_json_get(nx_json_get(body, "batch"), "vectors"));
}

static nx_status visit_query(nx_qd_texts *t, const nx_json *body)
{
    const nx_json *query = nx_json_get(body, "query"), *prefetch = nx_json_get(body, "prefetch");
    const nx_json *recommend = nx_json_get(query, "recommend");
    nx_str         name = NX_STR("");
    nx_status      st;

    nx_json_get_string(body, "using", &name);
    st = visit(t, query, name, true);
    if (!st) st = visit(t, nx_json_get(query, "nearest"), name, true);
    if (!st) st = visit_list(t, nx_json_get(recommend, "positive"), name, true);
    if (!st) st = visit_list(t, nx_json_get(recommend, "negative"), name, true);
    if (st || !prefetch) return st;
    if (prefetch->type == NX_JSON_OBJECT) return visit_query(t, prefetch);
    for (size_t i = 0; !st && prefetch->type == NX_JSON_ARRAY && i < prefetch->array.n; i++)
        st = visit_query(t, &prefetch->array.items[i]);
    return st;
}

static nx_status visit_operations(nx_qd_texts *t, const nx_json *list)
{
    nx_status st = NX_OK;

    if (!list || list->type != NX_JSON_ARRAY) return NX_OK;
    for (size_t i = 0; !st && i < list->array.n; i++) {
        st = visit_stored(t, nx_json_get(&list->array.items[i], "upsert"));
        if (!st) st = visit_stored(t, nx_json_get(&list->array.items[i], "update_vectors"));
    }
    return st;
}

static nx_status visit_body(nx_qd_texts *t, const nx_json *body)
{
    const nx_json *searches = nx_json_get(body, "searches");
    nx_status      st = visit_stored(t, body);

    if (!st) st = visit_operations(t, nx_json_get(body, "operations"));
    if (!st) st = visit_query(t, body);
    if (!searches || searches->type != NX_JSON_ARRAY) return st;
    for (size_t i = 0; !st && i < searches->array.n; i++)
        st = visit_query(t, &searches->array.items[i]);
    return st;
}

/* ---- Orders: by model to embed them, by place to find them again ---- */

static int by_model(const void *a, const void *b)
{
    const text *x = a, *y = b;
    size_t      n = x->model.len < y->model.len ? x->model.len : y->model.len;
    int         d = memcmp(x->model.p, y->model.p, n);

    if (d) return d;
    if (x->model.len != y->model.len) return x->model.len < y->model.len ? -1 : 1;
    if (x->asking != y->asking) return x->asking ? 1 : -1;
    if (x->long_texts != y->long_texts) return x->long_texts < y->long_texts ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int by_key(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const text *)a)->key, y = (uintptr_t)((const text *)b)->key;

    return x < y ? -1 : x > y;
}

const nx_vector *nx_qd_embedded(const nx_call *c, const nx_json *v)
{
    const nx_qd_texts *t = c->texts;
    const text        *found;
    text               wanted;

    if (!t || !v || v->type != NX_JSON_OBJECT) return NULL;
    wanted.key = v->object.members;
    found = bsearch(&wanted, t->list, t->n, sizeof wanted, by_key);
    return found ? &found->vector : NULL;
}

/* ---- Ends ---- */

static void let_go(nx_qd_texts *t)
{
    if (t->model) nx_models_release(t->c->server->models, t->model);
    t->model = NULL;
    nx_collection_release(t->coll);
    t->coll = NULL;
    t->config = NULL;
}

static void give_up(nx_qd_texts *t)
{
    nx_call *c = t->c;

    let_go(t);
    if (nx_exchange_is_gone(c->x)) /* nobody reads it: nothing for the log */
        nx_call_refuse(c, 503, NULL, NULL, -1, "the client left");
    else
        nx_qd_refuse_error(c, &t->err);
    nx_call_release(c);
}

static void go_on(void *ctx)
{
    nx_qd_texts *t = ctx;
    nx_call     *c = t->c;

    t->then(c);
    nx_call_release(c);
}

static void finish(nx_qd_texts *t)
{
    let_go(t);
    qsort(t->list, t->n, sizeof *t->list, by_key);
    t->c->texts = t;
    nx_desk_post(t->c->server->vault.desk, &t->c->task, go_on, t);
}

/* ---- A model's turn ---- */

static void next_model(nx_qd_texts *t);

/* Vectors of two models, or of one with two prompts, can't be compared. */
static nx_status check_slot(nx_qd_texts *t, const text *x)
{
    const nx_slot       *slot = &t->config->slots[x->slot];
    const nx_embed_spec *spec = nx_embedder_spec(t->model->parts.embedder);
    nx_str               name = nx_str_of(t->model->name);
    int32_t              dims = nx_embedder_dims(t->model->parts.embedder);

    if (slot->model.len && !nx_str_eq(slot->model, name) && !nx_str_eq(slot->model, x->model))
        return nx_fail(&t->err, NX_EINVAL,
                       NX_QD_WRONG "the vector \"%.*s\" was made with the model \"%.*s\", and this "
                                   "text is for \"%.*s\"",
                       nx_qd_shown(slot->name), slot->name.p, nx_qd_shown(slot->model),
                       slot->model.p, nx_qd_shown(name), name.p);
    if (slot->prompt.len && !nx_str_eq(slot->prompt, spec->prompt[NX_INPUT_PASSAGE]))
        return nx_fail(&t->err, NX_EINVAL,
                       NX_QD_WRONG "the vector \"%.*s\" was made with another prompt than the "
                                   "model \"%.*s\" has",
                       nx_qd_shown(slot->name), slot->name.p, nx_qd_shown(name), name.p);
    if (slot->dim != dims)
        return nx_fail(&t->err, NX_EINVAL,
                       NX_QD_WRONG "Vector dimension error: expected dim: %d, got %d", slot->dim,
                       dims);
    return NX_OK;
}

/* How many of the texts from `done` on go through the model in one step. */
static size_t next_group(const nx_qd_texts *t)
{
    const text *first = &t->list[t->done];
    size_t      n = 1;

    while (n < GROUP && t->done + n < t->n && nx_str_eq(first[n].model, first->model) &&
           first[n].asking == first->asking && first[n].long_texts == first->long_texts)
        n++;
    return n;
}

static nx_status run_model(nx_qd_texts *t, float *out, const nx_embed_text *in, size_t n)
{
    const text      *x = &t->list[t->done];
    nx_embed_options opt;
    nx_embed_report  r;
    nx_error         err;
    nx_status        st;

    nx_embed_options_default(&opt);
    opt.long_texts = x->long_texts;
    opt.input_type = x->asking ? NX_INPUT_QUERY : NX_INPUT_PASSAGE;
    opt.cancel = &t->c->server->cut;
    st = nx_embedder_run(t->model->parts.embedder, out, in, (int32_t)n, &opt, &r, &err);
    t->n_tokens += r.n_tokens;
    if (st == NX_ECANCELLED) return nx_fail(&t->err, NX_EBUSY, "the server is stopping");
    if (st && r.failed >= 0)
        return nx_fail(&t->err, st, NX_QD_WRONG "text %d of the body: %s", x[r.failed].number + 1,
                       err.text);
    if (st) t->err = err;
    return st;
}

static nx_status embed_group(nx_qd_texts *t, size_t n)
{
    text         *x = &t->list[t->done];
    int32_t       dims = nx_embedder_dims(t->model->parts.embedder);
    float        *out = nx_arena_alloc(&t->c->kept, n, (size_t)dims * sizeof *out);
    nx_embed_text in[GROUP];
    nx_status     st = NX_OK;

    if (!out) return nx_fail(&t->err, NX_ENOMEM, "%zu embeddings", n);
    for (size_t i = 0; !st && i < n; i++) {
        st = check_slot(t, &x[i]);
        in[i] = (nx_embed_text){.text = x[i].text};
        x[i].vector = (nx_vector){
            .slot = x[i].slot, .form = NX_FORM_DENSE, .n = dims, .values = out + i * (size_t)dims};
    }
    if (!st) st = run_model(t, out, in, n);
    if (!st) t->done += n;
    return st;
}

/* On the server's desk. */
static void run_group(void *ctx)
{
    nx_qd_texts *t = ctx;
    nx_str       model = t->list[t->done].model;
    nx_status    st = NX_OK;

    if (nx_exchange_is_gone(t->c->x)) st = nx_fail(&t->err, NX_EBUSY, "the client left");
    if (!st) st = embed_group(t, next_group(t));
    if (st)
        give_up(t);
    else if (t->done < t->n && nx_str_eq(t->list[t->done].model, model))
        nx_desk_post(t->c->server->desk, &t->c->task, run_group, t);
    else
        next_model(t);
}

/* ---- Words ---- */

static nx_status embed_words(nx_qd_texts *t, text *x)
{
    nx_buf    ids = {.max = (size_t)NX_SPARSE_MAX * sizeof(uint32_t)}, values = ids;
    nx_status st = nx_bm25_vector(&ids, &values, x->text, x->asking, &x->words, &t->err);
    size_t    n = ids.len / sizeof(uint32_t);
    uint32_t *kept_ids = nx_arena_alloc(&t->c->kept, n ? n : 1, sizeof *kept_ids);
    float    *kept = nx_arena_alloc(&t->c->kept, n ? n : 1, sizeof *kept);

    if (!st && (!kept_ids || !kept)) st = nx_fail(&t->err, NX_ENOMEM, "a sparse vector");
    if (!st && n) {
        memcpy(kept_ids, ids.data, n * sizeof *kept_ids);
        memcpy(kept, values.data, n * sizeof *kept);
    }
    x->vector = (nx_vector){.slot = x->slot,
                            .form = NX_FORM_SPARSE,
                            .n = (int32_t)n,
                            .values = kept,
                            .indices = kept_ids};
    nx_buf_free(&ids);
    nx_buf_free(&values);
    return st;
}

/* Their whole turn at once: a word takes less than a microsecond. */
static nx_status embed_all_words(nx_qd_texts *t)
{
    nx_status st = NX_OK;

    while (!st && t->done < t->n && is_words(t->list[t->done].model))
        st = embed_words(t, &t->list[t->done++]);
    return st;
}

/* ---- One model after the other ---- */

/* A model that isn't there is a wrong request: what the path names is there. */
static void refuse_model(nx_qd_texts *t, const nx_error *err)
{
    t->err = *err;
    if (err->status == NX_ENOENT || err->status == NX_EUNSUPPORTED)
        nx_fail(&t->err, NX_EINVAL, NX_QD_WRONG "%s", err->text);
    give_up(t);
}

static void on_model(void *ctx, nx_loaded *model, const nx_error *err)
{
    nx_qd_texts *t = ctx;

    t->model = model;
    if (model)
        nx_desk_post(t->c->server->desk, &t->c->task, run_group, t);
    else
        refuse_model(t, err);
}

static void end_turn(nx_qd_texts *t)
{
    nx_call       *c = t->c;
    nx_usage_entry entry = {.key = c->key.number ? c->key.id : NULL,
                            .counts = {.requests = 1, .prompt_tokens = t->n_tokens},
                            .unix_s = nx_clock_unix_ms() / 1000};

    if (!t->model) return;
    entry.model = t->model->name;
    nx_usage_add(c->server->usage, &entry, NULL, NULL);
    nx_models_release(c->server->models, t->model);
    t->model = NULL;
    t->n_tokens = 0;
}

static void next_model(nx_qd_texts *t)
{
    nx_error err = {0};

    end_turn(t);
    if (embed_all_words(t)) {
        give_up(t);
        return;
    }
    if (t->done == t->n) {
        finish(t);
        return;
    }
    t->waiter = (nx_model_waiter){.ready = on_model, .ctx = t};
    switch (nx_models_use(t->c->server->models, &t->model, t->list[t->done].model, NX_MODEL_EMBEDS,
                          &t->waiter, &err)) {
    case NX_USE_LATER: break; /* t is another thread's now */
    case NX_USE_READY: nx_desk_post(t->c->server->desk, &t->c->task, run_group, t); break;
    case NX_USE_REFUSED: refuse_model(t, &err); break;
    }
}

/* ---- The whole ---- */

static bool open_collection(nx_qd_texts *t)
{
    if (nx_store_find(&t->coll, t->c->server->vault.store, t->c->params[0], NULL)) return false;
    t->config = nx_collection_config(t->coll);
    return nx_rights_allow(t->c, nx_collection_name(t->coll), NX_RIGHT_READ);
}

/* Nothing is computed for who may not do what he asks: `then` says so. */
static bool has_work(nx_qd_texts *t)
{
    return t->n > 0 && nx_rights_allow(t->c, nx_collection_name(t->coll),
                                       t->stores ? NX_RIGHT_WRITE : NX_RIGHT_READ);
}

void nx_qd_infer(nx_call *c, void (*then)(nx_call *c))
{
    nx_qd_texts *t = c->body && c->params[0].p ? nx_arena_alloc(&c->kept, 1, sizeof *t) : NULL;
    nx_status    st = NX_OK;

    if (t) {
        *t = (nx_qd_texts){.c = c, .then = then};
        if (open_collection(t)) st = visit_body(t, c->body);
    }
    if (t && !st && has_work(t)) {
        nx_call_retain(c); /* until it goes on */
        qsort(t->list, t->n, sizeof *t->list, by_model);
        next_model(t);
        return;
    }
    if (t) let_go(t);
    if (st)
        nx_qd_refuse_error(c, &t->err);
    else
        then(c);
}
