/* rag_access.c - see rag_access.h. */
#include "server/rag_access.h"

#include <stdio.h>

#include "server/rag_config.h"
#include "server/server_in.h"

nx_str nx_rag_collection_of(const nx_call *c)
{
    nx_str name = nx_field_string(c->route->request, c->body, "collection_name");

    return name.len ? name : NX_STR(NX_RAG_COLLECTION);
}

static void begin(void *ctx)
{
    nx_call *c = ctx;

    c->at_desk = true;
    c->then(c);
    nx_call_release(c);
}

void nx_rag_at_desk(nx_call *c, void (*then)(nx_call *c))
{
    c->then = then;
    nx_call_retain(c);
    nx_desk_post(c->server->vault.desk, &c->task, begin, c);
}

bool nx_rag_may_set(nx_call *c)
{
    if (!nx_key_bounds_any(&c->key.bounds)) return true;
    nx_call_refuse(c, 403, NULL, NULL, -1,
                   "this key is bound to collections, reading or access tags: it changes nothing "
                   "that holds for everybody");
    return false;
}

static void look(void *ctx, const nx_model_view *v)
{
    nx_rag_models *m = ctx;
    bool           ready = v->state == NX_MODEL_READY;

    if (v->purpose == NX_MODEL_GENERATES && !m->writer[0]) {
        snprintf(m->writer, sizeof m->writer, "%s", v->name);
        m->writer_loaded = ready;
    }
    if (v->purpose == NX_MODEL_EMBEDS && !m->embedder[0]) {
        snprintf(m->embedder, sizeof m->embedder, "%s", v->name);
        m->embedder_loaded = ready;
        m->embedder_failed = v->state == NX_MODEL_FAILED;
    }
}

void nx_rag_look_at_models(nx_server *s, nx_rag_models *out)
{
    *out = (nx_rag_models){0};
    nx_models_visit(s->models, look, out);
}

void nx_rag_reply_nothing(nx_call *c)
{
    nx_buf none = {0};

    nx_call_reply_bytes(c, 204, NULL, &none);
}
