/* handle_aliases.c - other names for collections.
 *
 * Thread: the store's desk.
 */
#include "base/alloc.h"
#include "server/handlers.h"
#include "server/qdrant.h"
#include "server/server_in.h"

/* ---- Changes ---- */

static nx_status read_name(nx_str *out, const nx_json *action, const char *member, nx_error *err)
{
    if (nx_json_get_string(action, member, out)) return NX_OK;
    return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "actions: missing field `%s`", member);
}

static nx_status read_change(nx_alias_change *out, const nx_json *v, nx_error *err)
{
    const nx_json *create = nx_json_get(v, "create_alias"), *drop = nx_json_get(v, "delete_alias");
    const nx_json *rename = nx_json_get(v, "rename_alias");
    nx_status      st;

    if (create) {
        out->kind = NX_ALIAS_CREATE;
        st = read_name(&out->alias, create, "alias_name", err);
        return st ? st : read_name(&out->to, create, "collection_name", err);
    }
    if (drop) {
        out->kind = NX_ALIAS_DELETE;
        return read_name(&out->alias, drop, "alias_name", err);
    }
    if (rename) {
        out->kind = NX_ALIAS_RENAME;
        st = read_name(&out->alias, rename, "old_alias_name", err);
        return st ? st : read_name(&out->to, rename, "new_alias_name", err);
    }
    return nx_fail(err, NX_EINVAL,
                   NX_QD_FORMAT "actions: expected one of `create_alias`, `delete_alias`, "
                                "`rename_alias`");
}

/* May who asks change the collection that the change is about: the one an alias gets, and the one that it
 * had. A key that is bound to collections makes no alias of a name that stands for another's. */
static bool may(const nx_call *c, const nx_alias_change *change)
{
    nx_collection *coll;
    bool           ok = true;

    if (change->kind == NX_ALIAS_CREATE && !nx_rights_allow(c, change->to, NX_RIGHT_MANAGE))
        return false;
    if (nx_store_find(&coll, c->server->vault.store, change->alias, NULL) == NX_OK) {
        ok = nx_rights_allow(c, nx_collection_name(coll), NX_RIGHT_MANAGE);
        nx_collection_release(coll);
    } else if (change->kind != NX_ALIAS_CREATE) {
        ok = nx_rights_allow(c, change->alias, NX_RIGHT_MANAGE);
    }
    return ok;
}

static void change_aliases(nx_call *c)
{
    const nx_json   *actions = nx_json_get(c->body, "actions");
    size_t           n = actions->array.n;
    nx_alias_change *changes = nx_arena_alloc(&c->kept, n, sizeof *changes);
    nx_error         err;
    nx_status        st = changes ? NX_OK : nx_fail(&err, NX_ENOMEM, "%zu aliases", n);

    for (size_t i = 0; !st && i < n; i++) {
        st = read_change(&changes[i], &actions->array.items[i], &err);
        if (st || may(c, &changes[i])) continue;
        nx_call_refuse(c, 403, NULL, NULL, -1, "Forbidden: this key may not change this alias");
        return;
    }
    if (!st && n > 0) st = nx_store_change_aliases(c->server->vault.store, changes, n, &err);
    if (!st)
        nx_qd_reply_bool(c, true);
    else if (st == NX_EBUSY)
        nx_call_refuse(c, 409, NULL, NULL, -1, NX_QD_WRONG "%s", err.text);
    else
        nx_qd_refuse_error(c, &err);
}

void nx_handle_qd_aliases_change(nx_call *c)
{
    nx_qd_start(c, change_aliases);
}

/* ---- Lists ---- */

/* Those of one collection (its own name), or all that may be seen (empty). */
static void reply_list(nx_call *c, nx_str of)
{
    nx_alias *list;
    size_t    n;
    nx_error  err;
    nx_jw     w;

    if (nx_store_list_aliases(c->server->vault.store, &list, &n, &err)) {
        nx_qd_refuse_error(c, &err);
        return;
    }
    nx_qd_open(&w);
    nx_jw_open(&w, NX_QD_RESULT, '{');
    nx_jw_open(&w, "aliases", '[');
    for (size_t i = 0; i < n; i++) {
        nx_str name = nx_str_of(list[i].collection);
        if (!nx_rights_allow(c, name, NX_RIGHT_READ) || (of.len && !nx_str_eq(name, of))) continue;
        nx_jw_open(&w, NULL, '{');
        nx_jw_text(&w, "alias_name", list[i].alias);
        nx_jw_text(&w, "collection_name", list[i].collection);
        nx_jw_close(&w, '}');
    }
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    nx_free(list);
    nx_qd_reply(c, 200, &w);
}

static void list_all(nx_call *c)
{
    reply_list(c, NX_STR(""));
}

void nx_handle_qd_aliases(nx_call *c)
{
    nx_qd_start(c, list_all);
}

static void list_of_one(nx_call *c)
{
    nx_collection *coll = nx_qd_collection(c, NX_RIGHT_READ);

    if (!coll) return;
    reply_list(c, nx_collection_name(coll));
    nx_collection_release(coll);
}

void nx_handle_qd_collection_aliases(nx_call *c)
{
    nx_qd_start(c, list_of_one);
}
