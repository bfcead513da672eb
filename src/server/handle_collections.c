/* handle_collections.c - collections made, looked at, changed, dropped; other names for them.
 *
 * Thread: the store's desk: making and dropping sync folders.
 */
#include <string.h>

#include "base/alloc.h"
#include "rag/shelf.h"
#include "server/collection_json.h"
#include "server/handlers.h"
#include "server/server_in.h"

static nx_store *store_of(const nx_call *c)
{
    return c->server->vault.store;
}

static bool may(nx_call *c, nx_str name, nx_right right)
{
    if (nx_rights_allow(c, name, right)) return true;
    nx_call_refuse(c, 403, NULL, NULL, -1, "Forbidden: this key may not do that to a collection");
    return false;
}

/* ---- The list ---- */

static void list_collections(nx_call *c)
{
    nx_store_entry *list;
    size_t          n;
    nx_error        err;
    nx_jw           w;

    if (nx_store_list(&list, &n, store_of(c), &err)) {
        nx_qd_refuse_error(c, &err);
        return;
    }
    nx_qd_open(&w);
    nx_jw_open(&w, NX_QD_RESULT, '{');
    nx_jw_open(&w, "collections", '[');
    for (size_t i = 0; i < n; i++) {
        if (!nx_rights_allow(c, nx_str_of(list[i].name), NX_RIGHT_READ)) continue;
        if (nx_shelf_is_beside(store_of(c), nx_str_of(list[i].name))) continue;
        nx_jw_open(&w, NULL, '{');
        nx_jw_text(&w, "name", list[i].name);
        nx_jw_close(&w, '}');
    }
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    nx_free(list);
    nx_qd_reply(c, 200, &w);
}

void nx_handle_qd_collections(nx_call *c)
{
    nx_qd_start(c, list_collections);
}

static void tell_whether(nx_call *c)
{
    nx_collection *coll = NULL;
    nx_error       err;
    nx_status      st = nx_store_find(&coll, store_of(c), c->params[0], &err);
    bool           there = st != NX_ENOENT; /* a quarantined one is there, too */
    nx_jw          w;

    /* One that may not be seen isn't there. */
    there =
        there && nx_rights_allow(c, coll ? nx_collection_name(coll) : c->params[0], NX_RIGHT_READ);
    nx_collection_release(coll);
    nx_qd_open(&w);
    nx_jw_open(&w, NX_QD_RESULT, '{');
    nx_jw_bool(&w, "exists", there);
    nx_jw_close(&w, '}');
    nx_qd_reply(c, 200, &w);
}

void nx_handle_qd_collection_exists(nx_call *c)
{
    nx_qd_start(c, tell_whether);
}

/* ---- One ---- */

static nx_status write_schema(nx_jw *w, nx_call *c, nx_snapshot *s, const nx_settings *settings,
                              nx_error *err)
{
    static const char *const kinds[] = {
        [NX_INDEX_KEYWORD] = "keyword",   [NX_INDEX_INTEGER] = "integer",
        [NX_INDEX_FLOAT] = "float",       [NX_INDEX_BOOL] = "bool",
        [NX_INDEX_DATETIME] = "datetime", [NX_INDEX_UUID] = "uuid",
        [NX_INDEX_GEO] = "geo",           [NX_INDEX_TEXT] = "text",
    };
    nx_status st = NX_OK;

    (void)c;
    nx_jw_open(w, "payload_schema", '{');
    for (size_t i = 0; !st && i < settings->n_indexes; i++) {
        const nx_index_spec *x = &settings->indexes[i];
        uint64_t             n = 0;
        st = nx_snapshot_count_indexed(s, &n, x, err);
        nx_jw_key(w, x->path);
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "data_type", kinds[x->kind]);
        if (x->note.len) nx_jw_raw(w, "params", x->note);
        nx_jw_u64(w, "points", n);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, '}');
    return st;
}

static nx_status write_info(nx_jw *w, nx_call *c, nx_collection *coll, nx_error *err)
{
    const nx_settings  *settings = nx_collection_settings(coll);
    nx_snapshot        *s = nx_snapshot_take(coll);
    nx_collection_stats stats;
    nx_status           st;

    nx_collection_read_stats(coll, &stats);
    nx_jw_open(w, NX_QD_RESULT, '{');
    nx_jw_text(w, "status", stats.status ? "red" : "green");
    if (stats.read_only) {
        nx_jw_open(w, "optimizer_status", '{');
        nx_jw_text(w, "error",
                   "a sync failed: the collection is read-only until it is opened anew");
        nx_jw_close(w, '}');
    } else {
        nx_jw_text(w, "optimizer_status", "ok");
    }
    nx_jw_int(w, "indexed_vectors_count", 0); /* of a graph: searches are exact */
    nx_jw_u64(w, "points_count", nx_snapshot_count(s));
    nx_jw_int(w, "segments_count", stats.n_segments + 1);
    st = nx_collection_json_write(w, "config", c, nx_collection_config(coll), settings, err);
    if (!st) st = write_schema(w, c, s, settings, err);
    nx_jw_open(w, "update_queue", '{');
    nx_jw_int(w, "length", 0);
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_snapshot_release(s);
    nx_settings_release(settings);
    return st;
}

static void tell_collection(nx_call *c)
{
    nx_collection *coll = nx_qd_collection(c, NX_RIGHT_READ);
    nx_error       err;
    nx_jw          w;

    if (!coll) return;
    nx_qd_open(&w);
    nx_status st = write_info(&w, c, coll, &err);
    nx_collection_release(coll);
    if (!st) {
        nx_qd_reply(c, 200, &w);
        return;
    }
    nx_buf_free(&w.buf);
    nx_qd_refuse_error(c, &err);
}

void nx_handle_qd_collection(nx_call *c)
{
    nx_qd_start(c, tell_collection);
}

/* ---- Made and dropped ---- */

/* As Qdrant's names are: they were folders there. */
static bool is_name(nx_call *c, nx_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char x = name.p[i];
        if ((unsigned char)x >= 0x20 && !strchr("<>:\"/\\|?*", x)) continue;
        nx_call_refuse(c, 422, NULL, NULL, -1,
                       "Validation error in path parameters: [name: collection name cannot "
                       "contain \"%c\" char]",
                       (unsigned char)x < 0x20 ? '?' : x);
        return false;
    }
    if (name.len > 0 && name.len <= NX_COLLECTION_NAME_MAX && !nx_str_eq(name, NX_STR(".")) &&
        !nx_str_eq(name, NX_STR("..")))
        return true;
    nx_call_refuse(c, 422, NULL, NULL, -1,
                   "Validation error in path parameters: [name: must be from 1 to %d characters, "
                   "and neither . nor ..]",
                   NX_COLLECTION_NAME_MAX);
    return false;
}

static void create_collection(nx_call *c)
{
    nx_str    name = c->params[0];
    nx_config config;
    nx_error  err;

    if (!is_name(c, name) || !may(c, name, NX_RIGHT_MANAGE)) return;
    nx_status st = nx_collection_json_read(&config, c, c->body, &err);
    if (!st) st = nx_store_create_collection(store_of(c), name, &config, &err);
    if (!st)
        nx_qd_reply_bool(c, true);
    else if (st == NX_EBUSY)
        nx_call_refuse(c, 409, NULL, NULL, -1, NX_QD_WRONG "%s", err.text);
    else
        nx_qd_refuse_error(c, &err);
}

void nx_handle_qd_collection_create(nx_call *c)
{
    nx_qd_start(c, create_collection);
}

static void drop_collection(nx_call *c)
{
    nx_error err;

    if (!may(c, c->params[0], NX_RIGHT_MANAGE)) return;
    nx_status st = nx_store_drop_collection(store_of(c), c->params[0], &err);
    if (st && st != NX_ENOENT)
        nx_qd_refuse_error(c, &err);
    else
        nx_qd_reply_bool(c, st == NX_OK); /* one that isn't there: Qdrant says false */
}

void nx_handle_qd_collection_drop(nx_call *c)
{
    nx_qd_start(c, drop_collection);
}

static nx_status patch(nx_call *c, nx_collection *coll, nx_error *err)
{
    const nx_settings *settings = nx_collection_settings(coll);
    nx_str             note;
    nx_status          st =
        nx_collection_json_patch(&note, c, nx_collection_config(coll), settings, c->body, err);

    nx_settings_release(settings);
    return st ? st : nx_collection_set_note(coll, note, err);
}

static void patch_collection(nx_call *c)
{
    nx_collection *coll = nx_qd_collection(c, NX_RIGHT_MANAGE);
    nx_error       err;

    if (!coll) return;
    nx_status st = patch(c, coll, &err);
    nx_collection_release(coll);
    if (st)
        nx_qd_refuse_error(c, &err);
    else
        nx_qd_reply_bool(c, true);
}

void nx_handle_qd_collection_patch(nx_call *c)
{
    nx_qd_start(c, patch_collection);
}

/* ---- One node ---- */

void nx_handle_qd_cluster(nx_call *c)
{
    nx_jw w;

    nx_qd_open(&w);
    nx_jw_raw(&w, NX_QD_RESULT, NX_STR("{\"status\":\"disabled\"}"));
    nx_qd_reply(c, 200, &w);
}

static void tell_shards(nx_call *c)
{
    nx_collection      *coll = nx_qd_collection(c, NX_RIGHT_READ);
    nx_collection_stats stats;
    nx_jw               w;

    if (!coll) return;
    nx_collection_read_stats(coll, &stats);
    nx_collection_release(coll);
    nx_qd_open(&w);
    nx_jw_open(&w, NX_QD_RESULT, '{');
    nx_jw_int(&w, "peer_id", 0);
    nx_jw_int(&w, "shard_count", 1);
    nx_jw_open(&w, "local_shards", '[');
    nx_jw_open(&w, NULL, '{');
    nx_jw_int(&w, "shard_id", 0);
    nx_jw_u64(&w, "points_count", stats.n_points);
    nx_jw_text(&w, "state", "Active");
    nx_jw_close(&w, '}');
    nx_jw_close(&w, ']');
    nx_jw_raw(&w, "remote_shards", NX_STR("[]"));
    nx_jw_raw(&w, "shard_transfers", NX_STR("[]"));
    nx_jw_close(&w, '}');
    nx_qd_reply(c, 200, &w);
}

void nx_handle_qd_collection_cluster(nx_call *c)
{
    nx_qd_start(c, tell_shards);
}
