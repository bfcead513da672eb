/* handle_admin.c - the routes under /admin: what runs, models, usage, keys, the end. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "server/answer.h"
#include "server/handlers.h"
#include "server/keys_json.h"
#include "server/server_in.h"

/* ---- What runs ---- */

static const char *state_name(nx_job_state s)
{
    static const char *const names[] = {"waiting", "prefill", "decode", "paused", "done"};

    return names[s];
}

static void add_request(nx_jw *w, const nx_call *c, const nx_job_progress *p)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "id", c->request_id);
    nx_jw_text(w, "model", c->model->name);
    nx_jw_text(w, "route", c->route->path);
    nx_jw_text(w, "state", state_name(p->state));
    if (c->key.number)
        nx_jw_text(w, "key", c->key.id);
    else
        nx_jw_null(w, "key");
    nx_jw_int(w, "prompt_tokens", p->n_prompt);
    nx_jw_int(w, "tokens_read", p->n_read);
    nx_jw_int(w, "cached_tokens", p->n_cached);
    nx_jw_int(w, "generated_tokens", p->n_new);
    nx_jw_int(w, "age_ms", (nx_clock_ns() - nx_exchange_begun_ns(c->x)) / 1000000);
    nx_jw_close(w, '}');
}

static void add_requests(nx_jw *w, nx_server *s, bool waiting)
{
    nx_job_progress p;

    for (nx_call *c = s->calls; c; c = c->next) {
        nx_answer_progress(c->answer, &p);
        if ((p.state == NX_JOB_WAITING) == waiting && p.state != NX_JOB_DONE) add_request(w, c, &p);
    }
}

void nx_handle_admin_requests(nx_call *c)
{
    nx_server *s = c->server;
    nx_jw      w = {.buf.max = NX_REPLY_MAX};

    pthread_mutex_lock(&s->lock);
    nx_jw_open(&w, NULL, '{');
    nx_jw_open(&w, "running", '[');
    add_requests(&w, s, false);
    nx_jw_close(&w, ']');
    nx_jw_open(&w, "waiting", '[');
    add_requests(&w, s, true);
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    pthread_mutex_unlock(&s->lock);
    nx_call_reply(c, 200, &w);
}

/* ---- Models ---- */

static void add_time(nx_jw *w, const char *key, int64_t s)
{
    if (s)
        nx_jw_int(w, key, s);
    else
        nx_jw_null(w, key);
}

/* Of embeddings. */
static void add_cache(nx_jw *w, const nx_embed_cache_stats *s)
{
    uint64_t all = s->n_hits + s->n_misses;

    nx_jw_open(w, "cache", '{');
    nx_jw_int(w, "size", s->n);
    nx_jw_int(w, "max_size", s->n_max);
    nx_jw_u64(w, "hits", s->n_hits);
    nx_jw_u64(w, "misses", s->n_misses);
    nx_jw_number(w, "hit_rate", all ? (double)s->n_hits / (double)all : 0, 6);
    nx_jw_close(w, '}');
}

static void add_model(void *ctx, const nx_model_view *v)
{
    nx_jw *w = ctx;
    bool   unloading = v->state == NX_MODEL_UNLOADING;

    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "name", v->name);
    nx_jw_text(w, "path", v->path);
    nx_jw_text(w, "state", nx_model_state_name(unloading ? NX_MODEL_UNLOADED : v->state));
    nx_jw_bool(w, "default", v->is_default);
    nx_jw_bool(w, "pinned", false);
    nx_jw_u64(w, "loaded_bytes", v->bytes);
    nx_jw_u64(w, "planned_bytes", v->planned_bytes);
    nx_jw_int(w, "running", v->has_stats ? v->stats.n_running : 0);
    nx_jw_int(w, "waiting", v->has_stats ? v->stats.n_waiting : 0);
    add_time(w, "last_used_at", v->last_used_s);
    nx_jw_text(w, "purpose", nx_model_use_name(v->purpose));
    if (v->purpose == NX_MODEL_EMBEDS) add_cache(w, &v->cache);
    if (v->error.status)
        nx_jw_text(w, "error", v->error.text);
    else
        nx_jw_null(w, "error");
    nx_jw_close(w, '}');
}

void nx_handle_admin_models(nx_call *c)
{
    nx_server *s = c->server;
    nx_jw      w = {.buf.max = NX_REPLY_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_open(&w, "models", '[');
    nx_models_visit(s->models, add_model, &w);
    nx_jw_close(&w, ']');
    nx_jw_u64(&w, "memory_bytes", s->opt.memory_bytes);
    nx_jw_u64(&w, "memory_used_bytes", nx_models_memory_used(s->models));
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

typedef struct one_model {
    nx_jw *w;
    nx_str name;
} one_model;

static void add_if_named(void *ctx, const nx_model_view *v)
{
    const one_model *o = ctx;

    if (nx_str_eq(o->name, nx_str_of(v->name))) add_model(o->w, v);
}

static void reply_model(nx_call *c, nx_str name)
{
    nx_jw     w = {.buf.max = NX_REPLY_MAX};
    one_model o = {&w, name};

    nx_models_visit(c->server->models, add_if_named, &o);
    nx_call_reply(c, 200, &w);
}

/* A model that isn't known yet is one that the opener may find by this name. On the desk: it looks for
 * files. */
static void load(void *ctx)
{
    nx_call   *c = ctx;
    nx_models *m = c->server->models;
    nx_str     name = nx_field_string(c->route->request, c->body, "model");
    nx_error   err;
    nx_status  st = nx_models_load(m, name, &err);

    if (st == NX_ENOENT) {
        char    *text = nx_strndup(name.p, name.len);
        uint64_t bytes;
        st = text ? c->server->opt.opener.plan(c->server->opt.opener.ctx, text, &bytes, &err)
                  : nx_fail(&err, NX_ENOMEM, "model");
        if (!st) st = nx_models_add(m, text, text, &err);
        if (!st) st = nx_models_load(m, name, &err);
        if (st && st != NX_ENOMEM) st = err.status = NX_ENOENT; /* named by the client, not by us */
        nx_free(text);
    }
    if (st)
        nx_call_refuse_error(c, &err, "model");
    else
        reply_model(c, name);
    nx_call_release(c);
}

void nx_handle_admin_models_load(nx_call *c)
{
    nx_call_retain(c);
    nx_desk_post(c->server->desk, &c->task, load, c);
}

/* On the desk: freeing a model's memory takes a while. */
static void unload(void *ctx)
{
    nx_call  *c = ctx;
    nx_str    name = nx_field_string(c->route->request, c->body, "model");
    nx_error  err;
    nx_status st = nx_models_unload(c->server->models, name, &err);

    if (st == NX_EBUSY)
        nx_call_refuse(c, 409, "model", NULL, 1, "%s", err.text);
    else if (st)
        nx_call_refuse_error(c, &err, "model");
    else
        reply_model(c, name);
    nx_call_release(c);
}

void nx_handle_admin_models_unload(nx_call *c)
{
    nx_call_retain(c);
    nx_desk_post(c->server->desk, &c->task, unload, c);
}

/* ---- Usage ---- */

/* "2026-03-31", checked to have that form, to days since 1970; false: no such day. */
static bool parse_day(int64_t *day, const char *text)
{
    struct tm tm = {0}, back;
    time_t    t;

    if (sscanf(text, "%4d-%2d-%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) != 3) return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm as_said = tm;
    t = timegm(&tm);
    if (!gmtime_r(&t, &back) || back.tm_mday != as_said.tm_mday || back.tm_mon != as_said.tm_mon)
        return false;
    *day = (int64_t)t / 86400 - ((int64_t)t % 86400 < 0);
    return true;
}

static void day_text(char out[16], int64_t day)
{
    time_t    t = (time_t)(day * 86400);
    struct tm tm = {0};

    gmtime_r(&t, &tm);
    snprintf(out, 16, "%04d-%02d-%02d", (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100,
             tm.tm_mday % 100); /* %Y writes the year 77 with two digits */
}

static void reply_usage(nx_call *c, int64_t from, int64_t to, const nx_usage_row *rows, size_t n)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};
    char  text[16];

    nx_jw_open(&w, NULL, '{');
    day_text(text, from);
    nx_jw_text(&w, "from", text);
    day_text(text, to);
    nx_jw_text(&w, "to", text);
    nx_jw_open(&w, "rows", '[');
    for (size_t i = 0; i < n; i++) {
        day_text(text, rows[i].day);
        nx_jw_open(&w, NULL, '{');
        nx_jw_text(&w, "day", text);
        if (rows[i].key[0])
            nx_jw_text(&w, "key", rows[i].key);
        else
            nx_jw_null(&w, "key");
        nx_jw_text(&w, "model", rows[i].model);
        nx_jw_int(&w, "requests", rows[i].counts.requests);
        nx_jw_int(&w, "prompt_tokens", rows[i].counts.prompt_tokens);
        nx_jw_int(&w, "generated_tokens", rows[i].counts.generated_tokens);
        nx_jw_int(&w, "cached_tokens", rows[i].counts.cached_tokens);
        nx_jw_close(&w, '}');
    }
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

static void query_usage(void *ctx)
{
    nx_call      *c = ctx;
    int64_t       today = nx_clock_unix_ms() / 86400000, from = today, to = today;
    const char   *from_text = nx_exchange_query(c->x, "from"), *bad = NULL;
    const char   *to_text = nx_exchange_query(c->x, "to"), *key = nx_exchange_query(c->x, "key");
    nx_usage_row *rows = NULL;
    size_t        n = 0;
    nx_error      err;

    if (from_text && !parse_day(&from, from_text)) bad = "from";
    if (to_text && !parse_day(&to, to_text)) bad = "to";
    if (bad) {
        nx_call_refuse(c, 400, bad, NULL, -1, "%s: there is no such day", bad);
    } else if (nx_usage_query(c->server->usage, &rows, &n, from, to, key, &err)) {
        nx_call_refuse_error(c, &err, NULL);
    } else {
        reply_usage(c, from, to, rows, n);
        nx_free(rows);
    }
    nx_call_release(c);
}

void nx_handle_admin_usage(nx_call *c)
{
    nx_call_retain(c);
    nx_desk_post(c->server->desk, &c->task, query_usage, c);
}

/* ---- Keys: the disk is waited for, so on the desk ---- */

static void create_key(void *ctx)
{
    nx_call       *c = ctx;
    nx_key_options opt;
    nx_key_record  record;
    char           text[NX_KEY_TEXT_CAP];
    nx_error       err;
    int64_t        now = nx_clock_unix_ms() / 1000;
    nx_jw          w = {.buf.max = NX_REPLY_MAX};
    nx_status      st = nx_key_options_read(&opt, c->body, now, &err);

    if (!st) st = nx_keys_create(c->server->keys, &opt, now, text, &record, &err);
    if (st) {
        nx_call_refuse_error(c, &err, NULL);
    } else {
        nx_key_write(&w, NULL, &record, text);
        explicit_bzero(text, sizeof text);
        nx_call_reply(c, 201, &w);
    }
    nx_call_release(c);
}

void nx_handle_admin_keys_create(nx_call *c)
{
    nx_call_retain(c);
    nx_desk_post(c->server->desk, &c->task, create_key, c);
}

void nx_handle_admin_keys_list(nx_call *c)
{
    nx_key_record *list = NULL;
    size_t         n = 0;
    nx_error       err;
    nx_jw          w = {.buf.max = NX_REPLY_MAX};

    if (nx_keys_list(c->server->keys, &list, &n, &err)) {
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_keys_write(&w, list, n);
    nx_free(list);
    nx_call_reply(c, 200, &w);
}

static void revoke_key(void *ctx)
{
    nx_call      *c = ctx;
    nx_key_record record;
    char          named[128], id[NX_KEY_ID_CAP] = "";
    nx_error      err;
    nx_jw         w = {.buf.max = NX_REPLY_MAX};
    nx_status     st;

    snprintf(named, sizeof named, "%.*s",
             (int)(c->params[0].len < sizeof named ? c->params[0].len : sizeof named - 1),
             c->params[0].p);
    if (!nx_key_id_of(id, named))
        st = nx_fail(&err, NX_ENOENT, "there is no key '%.100s'", named);
    else
        st = nx_keys_revoke(c->server->keys, id, nx_clock_unix_ms() / 1000, &record, &err);
    if (st) {
        nx_call_refuse_error(c, &err, "id");
    } else {
        nx_key_write_revoked(&w, &record);
        nx_call_reply(c, 200, &w);
    }
    nx_call_release(c);
}

void nx_handle_admin_keys_revoke(nx_call *c)
{
    nx_call_retain(c);
    nx_desk_post(c->server->desk, &c->task, revoke_key, c);
}

/* ---- The end ---- */

void nx_handle_admin_stop(nx_call *c)
{
    nx_server *s = c->server;
    nx_jw      w = {.buf.max = NX_REPLY_MAX};
    bool       given = c->body && nx_field_get(c->body, "drain");
    int64_t    drain = given ? nx_field_int(c->route->request, c->body, "drain") : s->opt.drain_s;

    pthread_mutex_lock(&s->lock);
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", "stopping");
    nx_jw_int(&w, "drain", drain);
    nx_jw_int(&w, "running", s->n_calls);
    nx_jw_close(&w, '}');
    s->stop_asked = true;
    s->stop_drain_s = (int32_t)drain;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    nx_call_reply(c, 200, &w);
}
