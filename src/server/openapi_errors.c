/* openapi_errors.c - errors that routes share: which can come where, and how each dialect tells them. */
#include <stddef.h>

#include "server/openapi.h"
#include "server/route_tables.h"

/* ---- Bodies ---- */

static const nx_fields openai_error = NX_FIELDS(
    "OpenAIErrorDetail", NX_F_STRING("message", "What is wrong, and what to do.", .required = true),
    NX_F_STRING("type", NULL, .required = true),
    NX_F_STRING("param", "Which field; null: none.", .required = true, .nullable = true),
    NX_F_STRING("code", "For programs.", .required = true, .nullable = true));

static const nx_fields openai_body =
    NX_FIELDS("OpenAIError", NX_F_OBJECT("error", NULL, .required = true, .fields = &openai_error));

static const nx_fields llm_field_fault = NX_FIELDS(
    "LlmFieldFault",
    NX_F_ARRAY("loc", "The place: \"body\", then names and indexes.", .required = true,
               .of = NX_ONE(.kind = NX_FIELD_ONE_OF,
                            .of = NX_LIST(NX_F_STRING(NULL, NULL), NX_F_INT(NULL, NULL)))),
    NX_F_STRING("msg", "What was expected, and what was found.", .required = true),
    NX_F_STRING("type", NULL, .required = true));

static const nx_fields llm_field_body = NX_FIELDS(
    "LlmFieldError",
    NX_F_ONE_OF(
        "detail", "The fields that are wrong, or a sentence.", .required = true,
        .of = NX_LIST(NX_F_ARRAY(NULL, NULL,
                                 .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &llm_field_fault)),
                      NX_F_STRING(NULL, NULL))));

static const nx_fields llm_body = NX_FIELDS(
    "LlmError", NX_F_STRING("detail", "What is wrong, and what to do.", .required = true));

static const nx_fields plain_body =
    NX_FIELDS("Error", NX_F_STRING("error", "What is wrong, and what to do.", .required = true));

static const nx_fields qdrant_status =
    NX_FIELDS("QdrantErrorStatus", NX_F_STRING("error", "What is wrong.", .required = true));

static const nx_fields qdrant_body = NX_FIELDS(
    "QdrantError", NX_F_OBJECT("status", NULL, .required = true, .fields = &qdrant_status),
    NX_F_NUMBER("time", "Seconds.", .required = true));

const nx_fields *nx_error_fields(nx_dialect dialect, int status)
{
    switch (dialect) {
    case NX_DIALECT_OPENAI: return &openai_body;
    case NX_DIALECT_SEED: return status == 422 ? &llm_field_body : &llm_body;
    case NX_DIALECT_QDRANT: return &qdrant_body;
    case NX_DIALECT_PLAIN: break;
    }
    return &plain_body;
}

const char *nx_dialect_name(nx_dialect dialect)
{
    switch (dialect) {
    case NX_DIALECT_OPENAI: return "OpenAI";
    case NX_DIALECT_SEED: return "LLM";
    case NX_DIALECT_QDRANT: return "Qdrant";
    case NX_DIALECT_PLAIN: break;
    }
    return "Plain";
}

/* ---- Which can come where ---- */

static bool always(const nx_route *r)
{
    return r != NULL;
}

static bool has_key(const nx_route *r)
{
    return r->scope != NX_SCOPE_PUBLIC;
}

static bool has_body(const nx_route *r)
{
    return r->request || r->upload;
}

/* A name that may be of nothing: in the path, or of a model, a collection or a document beside it. */
static bool has_name(const nx_route *r)
{
    return r->params || (r->query && nx_field_find(r->query, NX_STR("collection"))) ||
           (r->request && (nx_field_find(r->request, NX_STR("model")) ||
                           nx_field_find(r->request, NX_STR("collection")) ||
                           nx_field_find(r->request, NX_STR("collection_name"))));
}

/* The LLM dialect has a status of its own for fields. */
static bool has_field_status(const nx_route *r)
{
    return (r->dialect == NX_DIALECT_SEED || r->dialect == NX_DIALECT_QDRANT) &&
           (r->request || r->query || r->upload);
}

static const nx_shared_reply shared[] = {
    {400, "The request is malformed, or a field isn't as described.", "invalid_request_error", NULL,
     false, always},
    {401, "No key, or one that isn't valid (any more).", "authentication_error", "invalid_api_key",
     false, has_key},
    {403, "The key's scopes don't cover this, or the Host or Origin header isn't allowed.",
     "permission_error", NULL, false, always},
    {404, "There is nothing of that name.", "not_found_error", "model_not_found", false, has_name},
    {413, "The body is larger than the server allows.", "invalid_request_error", NULL, false,
     has_body},
    {414, "The address is longer than the server allows. A page in HTML.", NULL, NULL, false,
     always},
    {422, "The body is no JSON, or a field isn't as described.", "invalid_request_error", NULL,
     false, has_field_status},
    {429, "The key's quota is spent, or the queue is full.", "rate_limit_error",
     "rate_limit_exceeded", true, has_key},
    {431, "The head of the request is larger than the server allows. A page in HTML.", NULL, NULL,
     false, always},
    {500, "A fault of the server.", "server_error", NULL, false, always},
    {503, "The model is being loaded, or the server is overloaded or about to stop.",
     "server_error", "unavailable", true, always},
};

const nx_shared_reply *nx_shared_replies(size_t *n)
{
    *n = NX_COUNT_OF(shared);
    return shared;
}

bool nx_route_may_answer(const nx_route *r, int status)
{
    for (const nx_reply_doc *d = r->replies; d->status; d++)
        if (d->status == status) return true;
    for (size_t i = 0; i < NX_COUNT_OF(shared); i++)
        if (shared[i].status == status && shared[i].when(r)) return true;
    return false;
}
