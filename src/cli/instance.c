/* instance.c - asks the server of a data folder, or is it for a moment. */
#include "cli/instance.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/model_list.h"
#include "cli/serve_models.h"
#include "lib/backends.h"
#include "os/memory.h"

#define ANSWER_MAX ((size_t)512 << 20)
#define POLL_NS    100000000
#define TRIES      50 /* while another command holds the folder, or a server starts */
#define LONG_S     86400

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- Opening ---- */

/* One answer at a time is asked for; what is opened is told by nobody but the command itself. */
struct nx_instance_models {
    nx_serve_opts opts;
    nx_model_list list;
};

static nx_status find_models(nx_instance *i, const nx_instance_needs *needs, nx_error *err)
{
    nx_str                     given = nx_str_of(needs->m.model);
    const nx_texts             named = {.v = &given, .n = needs->m.model != NULL};
    struct nx_instance_models *m = i->models = nx_calloc(1, sizeof *m);

    if (!m) return nx_fail(err, NX_ENOMEM, "models");
    m->opts = (nx_serve_opts){.m = needs->m,
                              .parallel = 1,
                              .queue = 8,
                              .draft = NX_DRAFT_DEFAULT,
                              .memory_bytes = nx_memory_available()};
    m->opts.m.unattended = true;
    nx_status st = needs->generates ? nx_model_list_make(&m->list, &named, err) : NX_OK;
    return st ? st : nx_model_list_add_embedding(&m->list, needs->embedding, err);
}

static nx_status run_own(nx_instance *i, const char *data, nx_error *err)
{
    nx_server_options o;
    char              socket[NX_DATADIR_PATH_MAX];

    nx_server_options_default(&o);
    snprintf(socket, sizeof socket, "%.2000s/command.sock", i->dir.path);
    o.data = data;
    o.unix_path = socket; /* and no port */
    o.inside = true;
    if (i->models) {
        o.models = i->models->list.specs;
        o.n_models = i->models->list.n;
        o.opener = nx_serve_opener(&i->models->opts);
        o.memory_bytes = i->models->opts.m.no_memory_check ? 0 : i->models->opts.memory_bytes;
    }
    nx_status st = nx_backends_distances(&o.distances, err);
    return st ? st : nx_server_start(&i->own, &o, err);
}

static bool answers(nx_instance *i)
{
    nx_said  s = {0};
    nx_error err;

    nx_status st = nx_instance_ask(i, "GET", "/admin/backup", NULL, &s, &err);
    nx_said_free(&s);
    return !st;
}

nx_status nx_instance_open_for(nx_instance *i, const char *data, const nx_instance_needs *needs,
                               nx_error *err)
{
    *i = (nx_instance){0};
    nx_status st = nx_datadir_find(&i->dir, data, err);
    if (!st) st = nx_http_create(&i->http, err);
    if (!st && needs && !answers(i)) st = find_models(i, needs, err);
    for (int tries = 0; !st; tries++) {
        st = run_own(i, data, err);
        if (!st || st != NX_EBUSY || answers(i)) break;
        if (tries == TRIES) return st; /* its message names the process */
        pause_ns(POLL_NS);
        st = NX_OK;
    }
    return st == NX_EBUSY ? NX_OK : st;
}

nx_status nx_instance_open(nx_instance *i, const char *data, nx_error *err)
{
    return nx_instance_open_for(i, data, NULL, err);
}

const char *nx_instance_embedding(const nx_instance *i, const char *given)
{
    const nx_model_list *l = i->own && i->models ? &i->models->list : NULL;

    return given && l && l->n ? l->specs[l->n - 1].name : given;
}

void nx_instance_close(nx_instance *i)
{
    if (i->own) nx_server_stop(i->own, 0, NULL, NULL);
    if (i->models) nx_model_list_free(&i->models->list);
    nx_free(i->models);
    nx_http_destroy(i->http);
    *i = (nx_instance){0};
}

/* ---- Asking ---- */

void nx_said_free(nx_said *s)
{
    nx_json_doc_free(&s->doc);
    nx_buf_free(&s->text);
    *s = (nx_said){0};
}

static nx_status status_of(int status)
{
    switch (status) {
    case 404: return NX_ENOENT;
    case 409: return NX_EBUSY;
    case 507: return NX_EFULL;
    case 501: return NX_EUNSUPPORTED;
    default: return status >= 500 ? NX_EIO : NX_EINVAL;
    }
}

nx_status nx_qdrant_refusal(int status, const nx_json *answer, nx_error *err)
{
    const nx_json *inner = nx_json_get(answer, "status");
    nx_str         text = {0};

    if (!nx_json_get_string(inner, "error", &text) && !nx_json_get_string(answer, "error", &text))
        (void)nx_json_get_string(nx_json_get(answer, "error"), "message", &text);
    const nx_json *detail = nx_json_get(answer, "detail");
    if (!text.len && detail && detail->type == NX_JSON_ARRAY && detail->array.n)
        (void)nx_json_get_string(&detail->array.items[0], "msg", &text); /* a field's fault */
    if (!text.len) (void)nx_json_get_string(answer, "detail", &text);
    if (!text.len) return nx_fail(err, status_of(status), "the server refuses: status %d", status);
    return nx_fail(err, status_of(status), "%.*s", (int)(text.len < 400 ? text.len : 400), text.p);
}

static nx_status ask(const char *socket, nx_http *http, const char *method, const char *path,
                     nx_str body, int32_t stall_s, nx_said *s, nx_error *err)
{
    nx_buf        url = {.max = 8192};
    nx_http_reply reply;

    *s = (nx_said){.text.max = ANSWER_MAX};
    nx_status st = nx_buf_addf(&url, err, "http://localhost%s", path);
    if (!st) {
        nx_http_call call = {.method = method,
                             .url = url.data,
                             .unix_path = socket,
                             .body = body,
                             .stall_s = stall_s};
        st = nx_http_send(http, &reply, &call, &s->text, err);
    }
    nx_buf_free(&url);
    if (st) return st;
    st = nx_json_parse(&s->doc, "the server's answer", s->text.data ? s->text.data : "",
                       s->text.len, 0, err);
    if (reply.status < 200 || reply.status >= 300)
        return nx_qdrant_refusal(reply.status, s->doc.root, err);
    if (!st) s->result = nx_json_get(s->doc.root, "result");
    return st;
}

/* The body's text, or its failure. */
static nx_status body_of(nx_str *out, nx_jw *body, nx_error *err)
{
    *out = (nx_str){0};
    if (!body) return NX_OK;
    *out = (nx_str){body->buf.data, body->buf.len};
    return body->st ? nx_fail(err, body->st, "%s", body->err.text) : NX_OK;
}

nx_status nx_instance_ask(nx_instance *i, const char *method, const char *path, nx_jw *body,
                          nx_said *s, nx_error *err)
{
    nx_str    text;
    nx_status st = body_of(&text, body, err);

    *s = (nx_said){0};
    if (!st) st = ask(i->dir.socket, i->http, method, path, text, LONG_S, s, err);
    if (body) nx_buf_free(&body->buf);
    if (st == NX_EIO && !s->text.len)
        return nx_fail_prefix(err, st, "the server left without an answer");
    return st;
}

/* ---- Bytes, and events ---- */

static nx_status refused(int status, const nx_buf *said, nx_error *err)
{
    nx_json_doc doc;
    nx_error    ignored;
    nx_status   st = nx_json_parse(&doc, "the server's answer", said->data ? said->data : "",
                                   said->len, 0, &ignored);

    st = nx_qdrant_refusal(status, st ? NULL : doc.root, err);
    nx_json_doc_free(&doc);
    return st;
}

nx_status nx_instance_fetch(nx_instance *i, const char *path, nx_buf *out, nx_error *err)
{
    nx_buf        url = {.max = 8192}, said = {.max = ANSWER_MAX};
    nx_http_reply reply;
    nx_status     st = nx_buf_addf(&url, err, "http://localhost%s", path);

    if (!st) {
        nx_http_call call = {
            .method = "GET", .url = url.data, .unix_path = i->dir.socket, .stall_s = LONG_S};
        st = nx_http_send(i->http, &reply, &call, &said, err);
    }
    if (!st && (reply.status < 200 || reply.status >= 300)) st = refused(reply.status, &said, err);
    if (!st) st = nx_buf_add(out, said.data, said.len, err);
    nx_buf_free(&url);
    nx_buf_free(&said);
    return st;
}

/* The lines of a stream: "data: {..}"; others (comments, names, blanks) are passed over. */
typedef struct events {
    nx_buf      line;
    nx_event_fn on_event;
    void       *ctx;
    bool        done;
} events;

static nx_status take_line(events *e, nx_error *err)
{
    nx_str      text = {e->line.data, e->line.len};
    nx_json_doc doc;
    nx_status   st = NX_OK;

    if (text.len && text.p[text.len - 1] == '\r') text.len--;
    if (text.len < 5 || memcmp(text.p, "data:", 5) != 0 || e->done) return NX_OK;
    text = (nx_str){text.p + 5, text.len - 5};
    while (text.len && *text.p == ' ') text = (nx_str){text.p + 1, text.len - 1};
    e->done = nx_str_eq(text, NX_STR("[DONE]"));
    if (e->done) return NX_OK;
    st = nx_json_parse(&doc, "the server's event", text.p, text.len, 0, err);
    if (st) return st;
    st = e->on_event(e->ctx, doc.root, text, err);
    nx_json_doc_free(&doc);
    return st;
}

static nx_status take_bytes(void *ctx, const nx_http_reply *reply, const void *bytes, size_t n,
                            nx_error *err)
{
    events     *e = ctx;
    const char *p = bytes, *end = p + n;
    nx_status   st = NX_OK;

    (void)reply;
    while (p < end && !st) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        st = nx_buf_add(&e->line, p, (size_t)((nl ? nl : end) - p), err);
        if (!nl) break;
        if (!st) st = take_line(e, err);
        nx_buf_clear(&e->line);
        p = nl + 1;
    }
    return st;
}

nx_status nx_instance_stream(nx_instance *i, const char *path, nx_jw *body, nx_event_fn on_event,
                             void *ctx, const atomic_bool *cancel, nx_error *err)
{
    nx_buf        url = {.max = 8192}, said = {.max = ANSWER_MAX};
    events        e = {.line.max = ANSWER_MAX, .on_event = on_event, .ctx = ctx};
    nx_http_reply reply;
    nx_str        text;
    nx_status     st = body_of(&text, body, err);

    if (!st) st = nx_buf_addf(&url, err, "http://localhost%s", path);
    if (!st) {
        nx_http_call call = {.method = body ? "POST" : "GET",
                             .url = url.data,
                             .unix_path = i->dir.socket,
                             .body = text,
                             .stall_s = LONG_S,
                             .cancel = cancel,
                             .on_data = take_bytes,
                             .ctx = &e};
        st = nx_http_send(i->http, &reply, &call, &said, err);
    }
    if (!st && reply.status != 200) st = refused(reply.status, &said, err);
    if (!st && !e.done) st = nx_fail(err, NX_EIO, "the server's answer broke off");
    nx_buf_free(&url);
    nx_buf_free(&said);
    nx_buf_free(&e.line);
    if (body) nx_buf_free(&body->buf);
    return st;
}

/* ---- What takes long ---- */

typedef struct copying {
    nx_instance *i;
    nx_http     *http;
    const char  *path;
    nx_str       body;
    nx_said     *s;
    nx_status    st;
    nx_error    *err;
    atomic_bool  done;
} copying;

static void *copy_main(void *ctx)
{
    copying *x = ctx;

    x->st = ask(x->i->dir.socket, x->http, "POST", x->path, x->body, LONG_S, x->s, x->err);
    atomic_store(&x->done, true);
    return NULL;
}

static void show(nx_instance *i, nx_progress *bar)
{
    nx_said s = {0};
    int64_t done = 0, total = 0;

    if (!nx_instance_ask(i, "GET", "/admin/backup", NULL, &s, NULL)) {
        (void)nx_json_get_int(s.doc.root, "done", &done);
        (void)nx_json_get_int(s.doc.root, "total", &total);
        nx_progress_at(bar, done, total);
    }
    nx_said_free(&s);
}

static void watch(copying *x, const char *label)
{
    nx_progress bar;
    bool        stopped = false;
    nx_said     s;

    nx_progress_begin(&bar, label, "B");
    nx_cli_catch_interrupt();
    while (!atomic_load(&x->done)) {
        if (atomic_load(&nx_cli_cancel) && !stopped) {
            stopped = true;
            (void)nx_instance_ask(x->i, "DELETE", "/admin/backup", NULL, &s, NULL);
            nx_said_free(&s);
        }
        pause_ns(POLL_NS / 5);
        if (!atomic_load(&x->done) && nx_terminal_get()->err_redraw) show(x->i, &bar);
    }
    nx_cli_release_interrupt();
    nx_progress_end(&bar);
}

nx_status nx_instance_copy(nx_instance *i, const char *label, const char *path, nx_jw *body,
                           nx_said *s, nx_error *err)
{
    copying   x = {.i = i, .path = path, .s = s, .err = err};
    pthread_t thread;
    nx_status st = body_of(&x.body, body, err);

    *s = (nx_said){0};
    if (!st) st = nx_http_create(&x.http, err);
    if (!st && pthread_create(&thread, NULL, copy_main, &x))
        st = nx_fail(err, NX_ENOMEM, "a thread did not start");
    if (!st) {
        watch(&x, label);
        pthread_join(thread, NULL);
        st = x.st;
    }
    nx_http_destroy(x.http);
    if (body) nx_buf_free(&body->buf);
    return st;
}

/* ---- Names ---- */

nx_status nx_collection_url(nx_buf *out, const char *name, const char *rest, nx_error *err)
{
    nx_status st = nx_buf_addf(out, err, "/collections/");

    if (!st) st = nx_url_add_escaped(out, name, false, err);
    return st ? st : nx_buf_addf(out, err, "%s", rest);
}

nx_status nx_absolute_path(char *out, size_t cap, const char *path, nx_error *err)
{
    char here[NX_DATADIR_PATH_MAX];

    if (path[0] == '/') {
        if ((size_t)snprintf(out, cap, "%s", path) < cap) return NX_OK;
    } else {
        if (!getcwd(here, sizeof here)) return nx_fail(err, NX_EIO, "this folder has no path");
        if ((size_t)snprintf(out, cap, "%s/%s", here, path) < cap) return NX_OK;
    }
    return nx_fail(err, NX_ELIMIT, "%.100s...: too long a path", path);
}
