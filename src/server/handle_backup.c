/* handle_backup.c - collections and the whole instance to and from files of this machine.
 *
 * Only through the control socket, which opens to the folder's owner alone: paths are the asker's, and the
 * files are written and read as the server. One at a time; how far it is can be asked meanwhile, and it
 * can be stopped.
 * Thread: the store's desk, but for the questions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "server/backup.h"
#include "server/handlers.h"
#include "server/server_in.h"

static bool tell(void *ctx, uint64_t done, uint64_t total)
{
    nx_server *s = ctx;

    atomic_store(&s->copying.done, done);
    atomic_store(&s->copying.total, total);
    return !atomic_load(&s->copying.cancel) && !atomic_load(&s->cut);
}

static const char *text_of(nx_call *c, const char *name)
{
    nx_str s = {0};

    (void)nx_json_get_string(c->body, name, &s);
    char *copy = nx_arena_alloc(&c->kept, s.len + 1, 1);
    if (!copy || memchr(s.p ? s.p : "", 0, s.len)) return NULL;
    if (s.len) memcpy(copy, s.p, s.len);
    copy[s.len] = '\0';
    return copy;
}

/* The next one may come: before the answer tells who asked. */
static void finished(nx_call *c)
{
    atomic_store(&c->server->copying.busy, false);
}

/* The path of the body, or NULL: refused. */
static const char *path_of(nx_call *c)
{
    const char *path = text_of(c, "path");

    if (path && path[0] == '/') return path;
    finished(c);
    nx_call_refuse(c, 400, "path", NULL, -1, "path: expected an absolute one");
    return NULL;
}

/* ---- The way of each ---- */

static void begin(void *ctx)
{
    nx_call *c = ctx;

    c->at_desk = true;
    c->then(c);
    nx_call_release(c);
}

static void start(nx_call *c, void (*then)(nx_call *c))
{
    nx_server *s = c->server;

    if (!c->trusted) {
        nx_call_refuse(c, 403, NULL, NULL, -1,
                       "only through the control socket of the data folder: nexus backup, nexus "
                       "collection");
        return;
    }
    if (atomic_exchange(&s->copying.busy, true)) {
        nx_call_refuse(c, 409, NULL, NULL, -1,
                       "another backup or snapshot is being written or read");
        return;
    }
    atomic_store(&s->copying.cancel, false);
    atomic_store(&s->copying.done, 0);
    atomic_store(&s->copying.total, 0);
    c->then = then;
    nx_call_retain(c);
    nx_desk_post(s->vault.desk, &c->task, begin, c);
}

static void add_hex(nx_jw *w, const uint8_t sha256[32])
{
    static const char digits[] = "0123456789abcdef";
    char              hex[65];

    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digits[sha256[i] >> 4];
        hex[2 * i + 1] = digits[sha256[i] & 15];
    }
    hex[64] = '\0';
    nx_jw_text(w, "sha256", hex);
}

static void export_one(nx_call *c)
{
    nx_collection   *coll = NULL;
    nx_export_report r;
    nx_error         err;
    nx_jw            w = {.buf.max = NX_REPLY_MAX};
    const char      *path = path_of(c), *name = text_of(c, "collection");

    if (!path) return;
    nx_status st = nx_store_find(&coll, c->server->vault.store, nx_str_of(name), &err);
    if (!st) st = nx_collection_export(coll, path, tell, c->server, &r, &err);
    nx_collection_release(coll);
    finished(c);
    if (st) {
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "path", path);
    nx_jw_u64(&w, "bytes", r.bytes);
    nx_jw_u64(&w, "points", r.n_points);
    add_hex(&w, r.sha256);
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

static void say_name(nx_call *c, const char *name)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "collection", name);
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

static void import_one(nx_call *c)
{
    nx_error    err;
    bool        replace = false;
    const char *path = path_of(c), *name = text_of(c, "collection");

    if (!path) return;
    (void)nx_json_get_bool(c->body, "replace", &replace);
    nx_status st = nx_store_import_collection(c->server->vault.store, nx_str_of(name), path,
                                              replace, tell, c->server, &err);
    finished(c);
    if (st)
        nx_call_refuse_error(c, &err, NULL);
    else
        say_name(c, name);
}

static void back_up(nx_call *c)
{
    nx_server       *s = c->server;
    nx_backup_report r;
    nx_error         err;
    nx_jw            w = {.buf.max = NX_REPLY_MAX};
    const char      *path = path_of(c);

    if (!path) return;
    nx_status st = nx_backup_write(path, s->vault.store, s->db, &s->dir, tell, s, &r, &err);
    finished(c);
    if (st) {
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "path", path);
    nx_jw_u64(&w, "bytes", r.bytes);
    nx_jw_u64(&w, "collections", r.n_collections);
    nx_jw_u64(&w, "points", r.n_points);
    nx_jw_u64(&w, "left_out", r.n_left_out);
    if (r.n_left_out) nx_jw_text(&w, "first_left_out", r.left_out);
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

static void check_one(nx_call *c)
{
    nx_collection *coll = NULL;
    nx_error       err;
    const char    *name = text_of(c, "collection");

    nx_status st = nx_store_find(&coll, c->server->vault.store, nx_str_of(name), &err);
    if (!st) st = nx_collection_check(coll, &err);
    nx_collection_release(coll);
    finished(c);
    if (st)
        nx_call_refuse_error(c, &err, NULL);
    else
        say_name(c, name);
}

static void reopen_one(nx_call *c)
{
    nx_error    err;
    const char *name = text_of(c, "collection");

    nx_status st = nx_store_reopen_collection(c->server->vault.store, nx_str_of(name), &err);
    finished(c);
    if (st)
        nx_call_refuse_error(c, &err, NULL);
    else
        say_name(c, name);
}

void nx_handle_admin_check(nx_call *c)
{
    start(c, check_one);
}

void nx_handle_admin_reopen(nx_call *c)
{
    start(c, reopen_one);
}

void nx_handle_admin_export(nx_call *c)
{
    start(c, export_one);
}

void nx_handle_admin_import(nx_call *c)
{
    start(c, import_one);
}

void nx_handle_admin_backup(nx_call *c)
{
    start(c, back_up);
}

/* ---- Meanwhile ---- */

void nx_handle_admin_backup_state(nx_call *c)
{
    nx_server *s = c->server;
    nx_jw      w = {.buf.max = NX_REPLY_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_bool(&w, "running", atomic_load(&s->copying.busy));
    nx_jw_u64(&w, "done", atomic_load(&s->copying.done));
    nx_jw_u64(&w, "total", atomic_load(&s->copying.total));
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

void nx_handle_admin_backup_stop(nx_call *c)
{
    atomic_store(&c->server->copying.cancel, true);
    nx_handle_admin_backup_state(c);
}
