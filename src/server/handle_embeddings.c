/* handle_embeddings.c - /v1/embeddings, as OpenAI's clients know it.
 *
 * Thread: the desk's. A request is embedded a few texts at a time, and goes to the end of the desk's list
 *         in between: one of thousands of texts keeps nobody's short question waiting, nor the last
 *         words of somebody's answer. Usage by key is on the disk before the reply is sent.
 */
#include <string.h>

#include "base/alloc.h"
#include "engine/embedder.h"
#include "server/handlers.h"
#include "server/server_in.h"

#define GROUP 16 /* texts of one turn on the desk */

typedef struct embedding {
    nx_call         *call;
    nx_arena         arena; /* lists, ids */
    nx_embed_text   *texts; /* [n] */
    int32_t          n, done, n_dims;
    float           *vectors; /* [n, n_dims] */
    bool             base64;
    nx_embed_options opt;
    nx_embed_report  sum;
    nx_buf           body;
} embedding;

static void embedding_free(embedding *e)
{
    nx_arena_free(&e->arena);
    nx_free(e->vectors);
    nx_buf_free(&e->body);
    nx_free(e);
}

/* Refuse, and let go. */
static void give_up(embedding *e, const nx_error *err, const char *field)
{
    nx_call *c = e->call;

    nx_call_refuse_error(c, err, field);
    embedding_free(e);
    nx_call_release(c);
}

/* ---- The request ---- */

static nx_status read_ids(embedding *e, nx_embed_text *out, const nx_json *list, nx_error *err)
{
    size_t   n = list->array.n;
    int32_t *ids = nx_arena_alloc(&e->arena, n, sizeof *ids);

    if (!ids) return nx_fail(err, NX_ENOMEM, "%zu tokens", n);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)nx_json_whole(&list->array.items[i]);
    *out = (nx_embed_text){.ids = ids, .n_ids = n};
    return NX_OK;
}

/* A text, texts, ids, or lists of ids. */
static nx_status read_input(embedding *e, const nx_json *in, nx_error *err)
{
    bool           list = in->type == NX_JSON_ARRAY;
    nx_json_type   first = list && in->array.n ? in->array.items[0].type : NX_JSON_STRING;
    bool           many = list && (first == NX_JSON_STRING || first == NX_JSON_ARRAY);
    const nx_json *items = many ? in->array.items : in;
    nx_status      st = NX_OK;

    e->n = many ? (int32_t)in->array.n : 1;
    e->texts = nx_arena_alloc(&e->arena, (size_t)e->n, sizeof *e->texts);
    if (!e->texts) return nx_fail(err, NX_ENOMEM, "%d texts", e->n);
    for (int32_t i = 0; !st && i < e->n; i++) {
        if (items[i].type == NX_JSON_STRING)
            e->texts[i] = (nx_embed_text){.text = items[i].text};
        else
            st = read_ids(e, &e->texts[i], &items[i], err);
    }
    return st;
}

static void read_options(embedding *e)
{
    const nx_fields *f = e->call->route->request;
    const nx_json   *body = e->call->body;
    nx_str           policy = nx_field_string(f, body, "long");
    nx_str           type = nx_field_string(f, body, "input_type");

    nx_embed_options_default(&e->opt);
    if (nx_str_eq(policy, NX_STR("cut"))) e->opt.long_texts = NX_LONG_CUT;
    if (nx_str_eq(policy, NX_STR("windows"))) e->opt.long_texts = NX_LONG_WINDOWS;
    if (nx_str_eq(type, NX_STR("query"))) e->opt.input_type = NX_INPUT_QUERY;
    if (nx_str_eq(type, NX_STR("passage")) || nx_str_eq(type, NX_STR("document")))
        e->opt.input_type = NX_INPUT_PASSAGE;
    e->base64 = nx_str_eq(nx_field_string(f, body, "encoding_format"), NX_STR("base64"));
    e->opt.cancel = &e->call->server->cut;
}

static nx_status read_dims(embedding *e, nx_error *err)
{
    const nx_fields *f = e->call->route->request;
    int32_t          all = nx_embedder_dims(e->call->model->parts.embedder);
    int64_t          n = all;

    if (nx_field_get(e->call->body, "dimensions")) n = nx_field_int(f, e->call->body, "dimensions");
    if (n > all)
        return nx_fail(err, NX_EINVAL, "dimensions: %lld, and this model has %d", (long long)n,
                       all);
    e->n_dims = (int32_t)n;
    e->opt.n_dims = (int32_t)n;
    return NX_OK;
}

/* ---- The reply ---- */

/* Floats as their bytes, little-endian, in base64 (RFC 4648): the form that OpenAI's clients ask for. */
static nx_status add_base64(nx_buf *out, const float *x, int32_t n, nx_error *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)x;
    size_t               bytes = (size_t)n * sizeof *x;
    nx_status            st = NX_OK;

    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the bytes of a float as they lie");
    nx_buf_clear(out);
    for (size_t i = 0; !st && i < bytes; i += 3) {
        size_t   left = bytes - i;
        uint32_t b = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        const char four[] = {digits[b >> 18], digits[b >> 12 & 63],
                             left > 1 ? digits[b >> 6 & 63] : '=', left > 2 ? digits[b & 63] : '='};
        st = nx_buf_add(out, four, sizeof four, err);
    }
    return st;
}

static void write_vector(const embedding *e, nx_jw *w, const float *x, nx_buf *text)
{
    if (e->base64) {
        if (!w->st) w->st = add_base64(text, x, e->n_dims, &w->err);
        if (!w->st) nx_jw_string(w, "embedding", (nx_str){text->data, text->len});
        return;
    }
    nx_jw_open(w, "embedding", '[');
    for (int32_t d = 0; d < e->n_dims; d++) nx_jw_number(w, NULL, (double)x[d], 9);
    nx_jw_close(w, ']');
}

static void write_body(const embedding *e, nx_jw *w)
{
    nx_buf text = {.max = NX_REPLY_MAX};

    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "object", "list");
    nx_jw_open(w, "data", '[');
    for (int32_t i = 0; i < e->n; i++) {
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "object", "embedding");
        nx_jw_int(w, "index", i);
        write_vector(e, w, e->vectors + (int64_t)i * e->n_dims, &text);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_jw_text(w, "model", e->call->model->name);
    nx_jw_open(w, "usage", '{');
    nx_jw_int(w, "prompt_tokens", e->sum.n_tokens);
    nx_jw_int(w, "total_tokens", e->sum.n_tokens);
    nx_jw_close(w, '}');
    if (e->sum.n_long) {
        nx_jw_open(w, "long", '{');
        nx_jw_int(w, "texts", e->sum.n_long);
        nx_jw_int(w, "windows", e->sum.n_windows);
        nx_jw_int(w, "tokens_cut", e->sum.n_cut);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, '}');
    nx_buf_free(&text);
}

/* On the ledger's thread, or on the desk's where there is no key. */
static void on_counted(void *ctx, nx_status st)
{
    embedding *e = ctx;
    nx_call   *c = e->call;

    if (st) nx_metrics_usage_write_failed(c->server->metrics);
    nx_call_reply_bytes(c, 200, "application/json", &e->body);
    embedding_free(e);
    nx_call_release(c);
}

static void finish(embedding *e)
{
    nx_call *c = e->call;
    nx_jw    w = {.buf.max = NX_REPLY_MAX};

    write_body(e, &w);
    if (w.st) {
        nx_error err = w.err;
        nx_buf_free(&w.buf);
        give_up(e, &err, NULL);
        return;
    }
    e->body = w.buf;
    nx_call_count(c, e->sum.n_tokens, on_counted, e);
}

/* ---- The work ---- */

static void add_report(nx_embed_report *sum, const nx_embed_report *r)
{
    sum->n_tokens += r->n_tokens;
    sum->n_cut += r->n_cut;
    sum->n_long += r->n_long;
    sum->n_windows += r->n_windows;
}

static void run_group(void *ctx)
{
    embedding      *e = ctx;
    nx_embed_report r;
    nx_error        err;
    int32_t         n = e->n - e->done < GROUP ? e->n - e->done : GROUP;

    if (nx_exchange_is_gone(e->call->x)) { /* nobody waits: the rest isn't computed */
        nx_fail(&err, NX_EBUSY, "the client left");
        give_up(e, &err, NULL);
        return;
    }
    nx_status st =
        nx_embedder_run(e->call->model->parts.embedder, e->vectors + (int64_t)e->done * e->n_dims,
                        e->texts + e->done, n, &e->opt, &r, &err);
    if (st == NX_ECANCELLED) {
        err.status = NX_EBUSY;
        give_up(e, &err, NULL);
        return;
    }
    if (st) {
        if (r.failed >= 0 && e->n > 1) nx_fail_prefix(&err, st, "input[%d]", e->done + r.failed);
        give_up(e, &err, "input");
        return;
    }
    add_report(&e->sum, &r);
    e->done += n;
    if (e->done < e->n)
        nx_desk_post(e->call->server->desk, &e->call->task, run_group, e);
    else
        finish(e);
}

static void embed(nx_call *c)
{
    embedding  *e = nx_calloc(1, sizeof *e);
    const char *field = "input";
    nx_error    err;
    nx_status   st;

    if (!e) {
        nx_call_refuse(c, 503, NULL, NULL, 2, "out of memory");
        return;
    }
    e->call = c;
    nx_call_retain(c); /* until its reply */
    read_options(e);
    st = read_input(e, nx_field_get(c->body, "input"), &err);
    if (!st) {
        field = "dimensions";
        st = read_dims(e, &err);
    }
    if (!st) e->vectors = nx_calloc((size_t)e->n, (size_t)e->n_dims * sizeof *e->vectors);
    if (!st && !e->vectors) st = nx_fail(&err, NX_ENOMEM, "%d embeddings", e->n);
    if (st)
        give_up(e, &err, field);
    else
        nx_desk_post(c->server->desk, &c->task, run_group, e);
}

void nx_handle_v1_embeddings(nx_call *c)
{
    nx_call_with_model(c, NX_MODEL_EMBEDS, embed);
}
