/* handle_rerank.c - /v1/rerank, as Cohere's and Jina's clients know it.
 *
 * Thread: the desk's. A request is worked off a few documents at a time, and goes to the end of the
 *         desk's list in between, as embeddings do. Usage by key is on the disk before the reply is sent.
 */
#include <string.h>

#include "base/alloc.h"
#include "engine/reranker.h"
#include "server/handlers.h"
#include "server/server_in.h"

#define GROUP 8 /* documents of one turn on the desk */

typedef struct reranking {
    nx_call          *call;
    nx_arena          arena;
    nx_str            query;
    nx_str           *documents; /* [n] */
    float            *logits;    /* [n] */
    nx_rerank_hit    *hits;      /* [n] */
    int32_t           n, done, top_n;
    bool              raw, with_documents;
    nx_rerank_options opt;
    nx_rerank_report  sum;
    nx_buf            body;
} reranking;

static void reranking_free(reranking *r)
{
    nx_arena_free(&r->arena);
    nx_buf_free(&r->body);
    nx_free(r);
}

/* Refuse, and let go. */
static void give_up(reranking *r, const nx_error *err, const char *field)
{
    nx_call *c = r->call;

    nx_call_refuse_error(c, err, field);
    reranking_free(r);
    nx_call_release(c);
}

/* ---- The request ---- */

static void read_options(reranking *r)
{
    const nx_fields *f = r->call->route->request;
    const nx_json   *body = r->call->body;

    nx_rerank_options_default(&r->opt);
    r->opt.cut = nx_str_eq(nx_field_string(f, body, "long"), NX_STR("cut"));
    r->opt.cancel = &r->call->server->cut;
    r->raw = nx_field_bool(f, body, "raw_scores");
    r->with_documents = nx_field_bool(f, body, "return_documents");
    r->query = nx_field_string(f, body, "query");
}

/* Documents are texts, or objects that hold one. */
static nx_status read_documents(reranking *r, nx_error *err)
{
    const nx_fields *f = r->call->route->request;
    const nx_json   *list = nx_field_get(r->call->body, "documents");
    size_t           n = list->array.n;

    r->n = r->top_n = (int32_t)n;
    r->documents = nx_arena_alloc(&r->arena, n, sizeof *r->documents);
    r->logits = nx_arena_alloc(&r->arena, n, sizeof *r->logits);
    r->hits = nx_arena_alloc(&r->arena, n, sizeof *r->hits);
    if (!r->documents || !r->logits || !r->hits) return nx_fail(err, NX_ENOMEM, "%zu documents", n);
    for (size_t i = 0; i < n; i++) {
        const nx_json *d = &list->array.items[i];
        r->documents[i] = (nx_str){"", 0};
        if (d->type == NX_JSON_STRING)
            r->documents[i] = d->text;
        else
            nx_json_get_string(d, "text", &r->documents[i]);
    }
    if (nx_field_get(r->call->body, "top_n")) {
        int64_t top = nx_field_int(f, r->call->body, "top_n");
        if (top < r->n) r->top_n = (int32_t)top;
    }
    return NX_OK;
}

/* ---- The reply ---- */

static void write_hit(const reranking *r, nx_jw *w, const nx_rerank_hit *hit)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_int(w, "index", hit->index);
    nx_jw_number(w, "relevance_score", r->raw ? (double)hit->logit : nx_rerank_score(hit->logit),
                 9);
    if (r->with_documents) {
        nx_jw_open(w, "document", '{');
        nx_jw_string(w, "text", r->documents[hit->index]);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, '}');
}

static void write_body(const reranking *r, nx_jw *w)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "object", "list");
    nx_jw_text(w, "model", r->call->model->name);
    nx_jw_open(w, "results", '[');
    for (int32_t i = 0; i < r->top_n; i++) write_hit(r, w, &r->hits[i]);
    nx_jw_close(w, ']');
    nx_jw_open(w, "usage", '{');
    nx_jw_int(w, "prompt_tokens", r->sum.n_tokens);
    nx_jw_int(w, "total_tokens", r->sum.n_tokens);
    nx_jw_close(w, '}');
    if (r->sum.n_long) {
        nx_jw_open(w, "long", '{');
        nx_jw_int(w, "documents", r->sum.n_long);
        nx_jw_int(w, "tokens_cut", r->sum.n_cut);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, '}');
}

/* On the ledger's thread, or on the desk's where there is no key. */
static void on_counted(void *ctx, nx_status st)
{
    reranking *r = ctx;
    nx_call   *c = r->call;

    if (st) nx_metrics_usage_write_failed(c->server->metrics);
    nx_call_reply_bytes(c, 200, "application/json", &r->body);
    reranking_free(r);
    nx_call_release(c);
}

static void finish(reranking *r)
{
    nx_call *c = r->call;
    nx_jw    w = {.buf.max = NX_REPLY_MAX};

    nx_rerank_sort(r->hits, r->logits, r->n);
    write_body(r, &w);
    if (w.st) {
        nx_error err = w.err;
        nx_buf_free(&w.buf);
        give_up(r, &err, NULL);
        return;
    }
    r->body = w.buf;
    nx_call_count(c, r->sum.n_tokens, on_counted, r);
}

/* ---- The work ---- */

static void run_group(void *ctx)
{
    reranking       *r = ctx;
    nx_rerank_report one;
    nx_error         err;
    int32_t          n = r->n - r->done < GROUP ? r->n - r->done : GROUP;

    if (nx_exchange_is_gone(r->call->x)) { /* nobody waits: the rest isn't computed */
        nx_fail(&err, NX_EBUSY, "the client left");
        give_up(r, &err, NULL);
        return;
    }
    nx_status st = nx_reranker_run(r->call->model->parts.reranker, r->logits + r->done, r->query,
                                   r->documents + r->done, n, &r->opt, &one, &err);
    if (st == NX_ECANCELLED) {
        err.status = NX_EBUSY;
        give_up(r, &err, NULL);
        return;
    }
    if (st) {
        if (one.failed >= 0) nx_fail_prefix(&err, st, "documents[%d]", r->done + one.failed);
        give_up(r, &err, "documents");
        return;
    }
    r->sum.n_tokens += one.n_tokens;
    r->sum.n_cut += one.n_cut;
    r->sum.n_long += one.n_long;
    r->done += n;
    if (r->done < r->n)
        nx_desk_post(r->call->server->desk, &r->call->task, run_group, r);
    else
        finish(r);
}

static void rerank(nx_call *c)
{
    reranking *r = nx_calloc(1, sizeof *r);
    nx_error   err;

    if (!r) {
        nx_call_refuse(c, 503, NULL, NULL, 2, "out of memory");
        return;
    }
    r->call = c;
    nx_call_retain(c); /* until its reply */
    read_options(r);
    if (read_documents(r, &err))
        give_up(r, &err, "documents");
    else
        nx_desk_post(c->server->desk, &c->task, run_group, r);
}

void nx_handle_v1_rerank(nx_call *c)
{
    nx_call_with_model(c, NX_MODEL_RERANKS, rerank);
}
