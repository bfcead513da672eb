/* routes_admin.c - the routes under /admin: what runs, models, usage, keys, the end. */
#include "server/keys.h"
#include "server/route_tables.h"

#define F_COUNT(name, about_) NX_F_INT(name, about_, .required = true, .range = NX_FROM(0))
#define F_TIME(name, about_)                                                                       \
    NX_F_INT(name, about_, .required = true, .nullable = true, .range = NX_FROM(0))

/* ---- Requests ---- */

static const nx_fields request = NX_FIELDS(
    "RunningRequest", NX_F_STRING("id", "As in the x-request-id header.", .required = true),
    NX_F_STRING("model", NULL, .required = true), NX_F_STRING("route", NULL, .required = true),
    NX_F_STRING("state", "paused: its client doesn't read.", .required = true,
                .choices = "waiting|prefill|decode|paused"),
    NX_F_STRING("key", "Id of the key that asked; null: none was needed.", .required = true,
                .nullable = true),
    F_COUNT("prompt_tokens", NULL), F_COUNT("tokens_read", "Of the prompt, by now."),
    F_COUNT("cached_tokens", "Of the prompt, known from earlier requests."),
    F_COUNT("generated_tokens", NULL), F_COUNT("age_ms", "Since it came."));

static const nx_fields requests =
    NX_FIELDS("RequestList",
              NX_F_ARRAY("running", NULL, .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &request)),
              NX_F_ARRAY("waiting", NULL, .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &request)));

/* ---- Models ---- */

static const nx_fields cache = NX_FIELDS(
    "EmbeddingCache", F_COUNT("size", "Embeddings kept."), F_COUNT("max_size", "At most."),
    F_COUNT("hits", "Texts whose embedding was there."), F_COUNT("misses", "Those computed."),
    NX_F_NUMBER("hit_rate", "Hits of all.", .required = true, .range = NX_BETWEEN(0, 1)));

static const nx_fields model = NX_FIELDS(
    "AdminModel", NX_F_STRING("name", "In requests.", .required = true),
    NX_F_STRING("path", "Its file or folder.", .required = true),
    NX_F_STRING("state", NULL, .required = true, .choices = "unloaded|loading|ready|failed"),
    NX_F_BOOL("default", "Answers requests that name no model.", .required = true),
    NX_F_BOOL("pinned", "Isn't unloaded for others.", .required = true),
    F_COUNT("loaded_bytes", "In memory now."), F_COUNT("planned_bytes", "What it takes in all."),
    F_COUNT("running", "Requests that it answers."), F_COUNT("waiting", "Requests in its queue."),
    F_TIME("last_used_at", "Unix seconds; null: never."),
    NX_F_STRING("purpose", NULL, .required = true, .choices = "generates|embeds|reranks"),
    NX_F_OBJECT("cache", "Of a model that embeds.", .fields = &cache),
    NX_F_STRING("error", "Why it couldn't be loaded.", .required = true, .nullable = true));

static const nx_fields models =
    NX_FIELDS("AdminModelList",
              NX_F_ARRAY("models", NULL, .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &model)),
              F_COUNT("memory_bytes", "What models may take together."),
              F_COUNT("memory_used_bytes", "What they take now."));

static const nx_fields model_name = NX_FIELDS(
    "AdminModelName", NX_F_STRING("model", "By its name.", .required = true, .range = NX_FROM(1)));

static const nx_fields conflict =
    NX_FIELDS("Conflict", NX_F_STRING("error", "What is in the way.", .required = true));

/* ---- Usage ---- */

static const nx_fields usage_query = NX_FIELDS(
    "UsageQuery",
    NX_F_STRING("from", "The first day, in UTC. Absent: today.", .format = NX_FORMAT_DATE),
    NX_F_STRING("to", "The last day, in UTC. Absent: today.", .format = NX_FORMAT_DATE),
    NX_F_STRING("key", "Only this key's, by its id."));

static const nx_fields usage_row =
    NX_FIELDS("UsageRow", NX_F_STRING("day", "In UTC.", .required = true, .format = NX_FORMAT_DATE),
              NX_F_STRING("key", "The key's id; null: requests without a key.", .required = true,
                          .nullable = true),
              NX_F_STRING("model", NULL, .required = true), F_COUNT("requests", NULL),
              F_COUNT("prompt_tokens", NULL), F_COUNT("generated_tokens", NULL),
              F_COUNT("cached_tokens", "Of the prompts' tokens, known from earlier requests."));

static const nx_fields usage =
    NX_FIELDS("UsageReport", NX_F_STRING("from", NULL, .required = true, .format = NX_FORMAT_DATE),
              NX_F_STRING("to", NULL, .required = true, .format = NX_FORMAT_DATE),
              NX_F_ARRAY("rows", "By day, key and model.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &usage_row)));

/* ---- Keys ---- */

#define SCOPES .kind = NX_FIELD_STRING, .choices = "infer|rag|admin"

#define F_NAMES(name_, about_, ...)                                                                \
    NX_F_ARRAY(name_, about_, .range = NX_UP_TO(NX_KEY_NAMES_MAX),                                 \
               .of = NX_ONE(.kind = NX_FIELD_STRING, .range = NX_BETWEEN(1, 255)), __VA_ARGS__)

static const nx_fields key_request = NX_FIELDS(
    "KeyRequest",
    NX_F_STRING("name", "For people: whose it is. At most 100 bytes of UTF-8.", .required = true,
                .range = NX_UP_TO(100)),
    NX_F_ARRAY("scopes", "What it may do.", .nullable = true, .range = NX_BETWEEN(1, 3),
               .preset = "[\"infer\", \"rag\"]", .of = NX_ONE(SCOPES)),
    NX_F_STRING("priority", "Its requests' place in the queue.", .nullable = true,
                .choices = "high|normal|low", .preset = "\"normal\""),
    NX_F_INT("requests_per_minute", "0: no limit.", .nullable = true, .preset = "0",
             .range = NX_BETWEEN(0, NX_KEY_RPM_MAX)),
    NX_F_INT("tokens_per_day", "Of prompts and answers, by UTC day; 0: no limit.", .nullable = true,
             .preset = "0", .range = NX_BETWEEN(0, NX_KEY_TOKENS_DAY_MAX)),
    NX_F_INT("expires_at", "Unix seconds. Absent: never.", .nullable = true,
             .range = NX_BETWEEN(0, 253402300799)),
    F_NAMES("collections", "The only ones it may see, by their own names. Absent: all.",
            .nullable = true),
    NX_F_BOOL("read_only", "May change nothing in collections.", .nullable = true,
              .preset = "false"),
    F_NAMES("tags",
            "Of points in collections it sees those without `access_tags` and those that have one "
            "of these there. Absent: all.",
            .nullable = true));

#define F_KEY_BOUNDS                                                                               \
    F_NAMES("collections", "The only ones it may see; none: all.", .required = true),              \
        NX_F_BOOL("read_only", NULL, .required = true),                                            \
        F_NAMES("tags", "Of points that it may see; none: all.", .required = true)

#define F_KEY_HEAD                                                                                 \
    NX_F_STRING("id", "Its public name.", .required = true),                                       \
        NX_F_STRING("name", NULL, .required = true),                                               \
        NX_F_ARRAY("scopes", NULL, .required = true, .of = NX_ONE(SCOPES)),                        \
        NX_F_STRING("priority", NULL, .required = true, .choices = "high|normal|low"),             \
        F_COUNT("requests_per_minute", "0: no limit."), F_COUNT("tokens_per_day", "0: no limit."), \
        F_COUNT("created_at", "Unix seconds."),                                                    \
        F_TIME("expires_at", "Unix seconds; null: never."), F_KEY_BOUNDS

static const nx_fields new_key = NX_FIELDS(
    "NewKey", NX_F_STRING("key", "The secret. Shown this once.", .required = true), F_KEY_HEAD);

static const nx_fields key =
    NX_FIELDS("Key", F_KEY_HEAD, F_TIME("revoked_at", "Unix seconds; null: it isn't."),
              F_TIME("last_used_at", "Unix seconds; null: never."));

static const nx_fields keys =
    NX_FIELDS("KeyList", NX_F_ARRAY("keys", NULL, .required = true,
                                    .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &key)));

static const nx_fields key_param =
    NX_FIELDS("KeyPath", NX_F_STRING("id", "Of the key.", .required = true, .range = NX_FROM(1)));

static const nx_fields revoked =
    NX_FIELDS("RevokedKey", NX_F_STRING("id", NULL, .required = true),
              F_COUNT("revoked_at", "Unix seconds; for a key revoked before, those of then."));

/* ---- The end ---- */

static const nx_fields stop_request = NX_FIELDS(
    "StopRequest",
    NX_F_INT("drain", "Seconds that running answers get. Absent: as the server was started.",
             .nullable = true, .range = NX_BETWEEN(0, 86400)));

static const nx_fields stopping =
    NX_FIELDS("Stopping", NX_F_STRING("status", NULL, .required = true, .choices = "stopping"),
              F_COUNT("drain", "Seconds."), F_COUNT("running", "Requests that are answered now."));

#define MODEL_EXAMPLE(state, loaded)                                                                                           \
    "{\"name\": \"mini\", \"path\": \"/srv/models/mini.gguf\", \"state\": \"" state "\", "                                     \
    "\"default\": true, \"pinned\": false, \"loaded_bytes\": " loaded                                                          \
    ", \"planned_bytes\": 5242880, \"running\": 0, \"waiting\": 0, \"last_used_at\": 1774915200, \"purpose\": \"generates\", " \
    "\"error\": null}"
#define REQUEST_EXAMPLE                                                                            \
    "{\"id\": \"req-7f3a\", \"model\": \"mini\", \"route\": \"/v1/chat/completions\", "            \
    "\"state\": \"decode\", \"key\": \"k-9d2c\", \"prompt_tokens\": 17, \"tokens_read\": 17, "     \
    "\"cached_tokens\": 16, \"generated_tokens\": 5, \"age_ms\": 41}"
#define KEY_EXAMPLE                                                                                  \
    "\"id\": \"k-9d2c\", \"name\": \"editors\", \"scopes\": [\"infer\"], \"priority\": \"normal\", " \
    "\"requests_per_minute\": 600, \"tokens_per_day\": 0, \"created_at\": 1774915200, "              \
    "\"expires_at\": null, \"collections\": [\"handbook\"], \"read_only\": true, \"tags\": []"

static const nx_route routes[] = {
    {
        .method = "GET",
        .path = "/admin/requests",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "What runs, and what waits",
        .replies = NX_REPLIES({.status = 200,
                               .about = "Both, oldest first.",
                               .body = &requests,
                               .example = "{\"running\": [" REQUEST_EXAMPLE "], \"waiting\": []}"}),
        .handle = nx_handle_admin_requests,
    },
    {
        .method = "GET",
        .path = "/admin/models",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "All models, and their memory",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Those that the server knows.",
             .body = &models,
             .example = "{\"models\": [" MODEL_EXAMPLE(
                 "ready",
                 "5242880") "], \"memory_bytes\": 8589934592, \"memory_used_bytes\": 5242880}"}),
        .handle = nx_handle_admin_models,
    },
    {
        .method = "POST",
        .path = "/admin/models/load",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Load a model",
        .about = "Others may be unloaded to make room. Requests that name a model load it, too.",
        .request = &model_name,
        .example = "{\"model\": \"mini\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "It is loaded, or being loaded.",
                               .body = &model,
                               .example = MODEL_EXAMPLE("loading", "0")}),
        .handle = nx_handle_admin_models_load,
    },
    {
        .method = "POST",
        .path = "/admin/models/unload",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Unload a model",
        .about = "Not while it answers: then it is refused with 409.",
        .request = &model_name,
        .example = "{\"model\": \"mini\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "It is unloaded.",
                               .body = &model,
                               .example = MODEL_EXAMPLE("unloaded", "0")},
                              {.status = 409,
                               .about = "It answers something, or is being loaded.",
                               .body = &conflict,
                               .example = "{\"error\": \"model mini is in use\"}"}),
        .handle = nx_handle_admin_models_unload,
    },
    {
        .method = "GET",
        .path = "/admin/usage",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Tokens by day, key and model",
        .query = &usage_query,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Of all requests that were answered.",
             .body = &usage,
             .example = "{\"from\": \"2026-03-31\", \"to\": \"2026-03-31\", \"rows\": [{\"day\": "
                        "\"2026-03-31\", \"key\": \"k-9d2c\", \"model\": \"mini\", \"requests\": "
                        "12, \"prompt_tokens\": 204, \"generated_tokens\": 96, \"cached_tokens\": "
                        "176}]}"}),
        .handle = nx_handle_admin_usage,
    },
    {
        .method = "GET",
        .path = "/admin/keys",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "All keys",
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "Without their secrets, which nobody knows.",
                        .body = &keys,
                        .example = "{\"keys\": [{" KEY_EXAMPLE
                                   ", \"revoked_at\": null, \"last_used_at\": 1774918800}]}"}),
        .handle = nx_handle_admin_keys_list,
    },
    {
        .method = "POST",
        .path = "/admin/keys",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Create a key",
        .request = &key_request,
        .example = "{\"name\": \"editors\", \"requests_per_minute\": 600}",
        .replies = NX_REPLIES({.status = 201,
                               .about = "The key. Its secret isn't shown again.",
                               .body = &new_key,
                               .example = "{\"key\": \"nx-k-9d2c-...\", " KEY_EXAMPLE "}"}),
        .handle = nx_handle_admin_keys_create,
    },
    {
        .method = "DELETE",
        .path = "/admin/keys/{id}",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Revoke a key",
        .about = "From now on it opens nothing. Its usage stays.",
        .params = &key_param,
        .replies = NX_REPLIES({.status = 200,
                               .about = "It is revoked.",
                               .body = &revoked,
                               .example = "{\"id\": \"k-9d2c\", \"revoked_at\": 1774918800}"}),
        .handle = nx_handle_admin_keys_revoke,
    },
    {
        .method = "POST",
        .path = "/admin/stop",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Stop the server",
        .about = "As SIGTERM does: no new requests; running answers are finished, as long as drain "
                 "lasts.",
        .request = &stop_request,
        .bodyless = true,
        .example = "{\"drain\": 30}",
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "It is about to.",
                        .body = &stopping,
                        .example = "{\"status\": \"stopping\", \"drain\": 30, \"running\": 2}"}),
        .handle = nx_handle_admin_stop,
    },
};

const nx_route_group nx_routes_admin = {
    .tag = "Administration",
    .about = "For keys of scope admin. Errors are `{\"error\": \"...\"}`.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
