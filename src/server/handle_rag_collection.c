/* handle_rag_collection.c - what one collection of documents is set to: told, and its template changed. */
#include "rag/answer.h"
#include "server/handlers.h"
#include "server/rag_access.h"
#include "server/rights.h"
#include "server/server_in.h"

/* The shelf of the path's name, where the key may do that; else refused, and NULL. */
static nx_shelf *find_shelf(nx_call *c, nx_right right)
{
    nx_shelf *shelf = NULL;
    nx_error  err;

    if (!nx_rights_allow(c, c->params[0], right))
        nx_call_refuse(c, 403, NULL, NULL, -1, "this key may not %s this collection",
                       right == NX_RIGHT_READ ? "read" : "manage");
    else if (nx_library_find(c->server->library, &shelf, c->params[0], &err))
        nx_call_refuse_error(c, &err, "name");
    return shelf;
}

static void reply(nx_call *c, nx_shelf *shelf)
{
    const nx_shelf_settings *s = nx_shelf_get_settings(shelf);
    nx_jw                    w = {.buf.max = NX_REPLY_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_string(&w, "collection", nx_collection_name(nx_shelf_collection(shelf)));
    nx_jw_string(&w, "model", s->model);
    nx_jw_int(&w, "vector_size", s->dim);
    nx_jw_text(&w, "chunk_unit", s->chunking.unit == NX_CHUNK_CHARS ? "characters" : "tokens");
    nx_jw_int(&w, "chunk_size", s->chunking.size);
    nx_jw_int(&w, "chunk_overlap", s->chunking.overlap);
    nx_jw_string(&w, "language", s->language);
    if (s->template.len)
        nx_jw_string(&w, "template", s->template);
    else
        nx_jw_null(&w, "template");
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

static void tell(nx_call *c)
{
    nx_shelf *shelf = find_shelf(c, NX_RIGHT_READ);

    if (shelf) reply(c, shelf);
    nx_library_release(c->server->library, shelf);
}

void nx_handle_rag_collection(nx_call *c)
{
    nx_rag_at_desk(c, tell);
}

/* null, or "": the built-in template again. */
static void change(nx_call *c)
{
    nx_str    text = nx_field_string(c->route->request, c->body, "template");
    nx_shelf *shelf = find_shelf(c, NX_RIGHT_MANAGE);
    nx_fault  fault;
    nx_error  err;
    nx_status st = NX_OK;

    if (!shelf) return;
    if (text.len) st = nx_template_check(text, &err);
    if (st) {
        nx_fault_set(&fault, NX_FAULT_RANGE, c->route->request, "template", "%s", err.text);
        nx_call_refuse_fault(c, &fault, "body");
    } else if ((st = nx_shelf_set_template(shelf, text, &err)) != NX_OK) {
        nx_vault_note_write(&c->server->vault, st, &err);
        nx_call_refuse_error(c, &err, NULL);
    } else {
        reply(c, shelf);
    }
    nx_library_release(c->server->library, shelf);
}

void nx_handle_rag_collection_change(nx_call *c)
{
    nx_rag_at_desk(c, change);
}
