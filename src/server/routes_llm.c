/* routes_llm.c - the routes under /llm: the contract of the service that Nexus takes the place of.
 *
 * Names, defaults and ranges are the contract's. What we add (model, stop, seed; usage, finish_reason)
 * may be left out and may be overlooked.
 */
#include "server/route_tables.h"

#define F_MAX_NEW_TOKENS                                                                           \
    NX_F_INT("max_new_tokens", "How many tokens at most. What is left of the context caps it.",    \
             .range = NX_BETWEEN(1, 4096), .limit = NX_LIMIT_NEW_TOKENS, .preset = "512")
#define F_TEMPERATURE                                                                              \
    NX_F_NUMBER("temperature", "How freely to choose; 0: always the likeliest token.",             \
                .range = NX_BETWEEN(0, 2), .preset = "0.7")
#define F_TOP_P                                                                                    \
    NX_F_NUMBER("top_p", "Choose among the likeliest tokens that together have this probability.", \
                .range = NX_BETWEEN(0, 1), .preset = "0.9")
#define F_STREAM                                                                                   \
    NX_F_BOOL("stream", "Send every token as it is born, as server-sent events.", .preset = "false")
#define F_SEED                                                                                     \
    NX_F_INT("seed", "The same seed gives the same text. Absent: a random one.",                   \
             .range = NX_FROM(0), .nullable = true)

#define F_FINISH                                                                                   \
    NX_F_STRING(                                                                                   \
        "finish_reason",                                                                           \
        "stop: the model ended, or one of the stop texts came; length: max_new_tokens, or "        \
        "the end of the context.",                                                                 \
        .required = true, .choices = "stop|length")
#define F_SEED_USED                                                                                \
    NX_F_INT("seed", "The seed that was used.", .required = true, .range = NX_FROM(0))
#define F_USAGE NX_F_OBJECT("usage", "Tokens of this request.", .required = true, .fields = &usage)

static const nx_fields usage = NX_FIELDS(
    "LlmUsage", NX_F_INT("prompt_tokens", "Of the prompt.", .required = true, .range = NX_FROM(0)),
    NX_F_INT("completion_tokens", "Generated.", .required = true, .range = NX_FROM(0)),
    NX_F_INT("total_tokens", "Both.", .required = true, .range = NX_FROM(0)),
    NX_F_INT("cached_tokens", "Of the prompt's, those that were known from earlier requests.",
             .required = true, .range = NX_FROM(0)));

static const nx_fields event =
    NX_FIELDS("LlmEvent", NX_F_STRING("token", "The next piece of the text.", .required = true));

#define STREAM_ABOUT                                                                               \
    "With \"stream\": true: one event for each piece of the text, then `data: [DONE]`. If the "    \
    "answer can't be finished, an event with \"error\" comes instead."
#define STREAM_EXAMPLE                                                                             \
    "data: {\"token\": \"Once\"}\n\ndata: {\"token\": \" upon\"}\n\ndata: [DONE]\n\n"

/* ---- /llm/generate ---- */

static const nx_fields generate_request = NX_FIELDS(
    "GenerateRequest",
    NX_F_STRING("prompt", "The text to continue.", .required = true, .range = NX_FROM(1)),
    F_MAX_NEW_TOKENS, F_TEMPERATURE, F_TOP_P,
    NX_F_INT("top_k", "Choose among this many of the likeliest tokens; 0: among all.",
             .range = NX_BETWEEN(0, 200), .preset = "50"),
    NX_F_NUMBER("repetition_penalty", "How much to avoid tokens that were there already; 1: not.",
                .range = NX_BETWEEN(1, 2), .preset = "1.1"),
    NX_F_BOOL("do_sample", "false: always the likeliest token, whatever the temperature.",
              .preset = "true"),
    F_STREAM, F_SEED, NX_F_STOP, NX_F_MODEL);

static const nx_fields generate_response = NX_FIELDS(
    "GenerateResponse", NX_F_STRING("prompt", "As it was sent.", .required = true),
    NX_F_STRING("generated_text", "What follows the prompt.", .required = true),
    NX_F_STRING("model", "Which model answered.", .required = true),
    NX_F_NUMBER("generation_time_ms", "From the start of reading the prompt to the last token.",
                .required = true, .range = NX_FROM(0)),
    F_USAGE, F_FINISH, F_SEED_USED);

/* ---- /llm/chat ---- */

static const nx_fields message =
    NX_FIELDS("LlmMessage",
              NX_F_STRING("role", "Who says it.", .required = true,
                          .choices = "system|user|assistant|tool|developer"),
              NX_F_STRING("content", "What is said.", .required = true));

static const nx_fields chat_request =
    NX_FIELDS("LlmChatRequest",
              NX_F_ARRAY("messages", "The conversation so far, oldest first.", .required = true,
                         .range = NX_BETWEEN(1, NX_MESSAGES_MAX),
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &message)),
              F_MAX_NEW_TOKENS, F_TEMPERATURE, F_TOP_P, F_STREAM, F_SEED, NX_F_STOP, NX_F_MODEL);

static const nx_fields reply_message = NX_FIELDS(
    "LlmReplyMessage", NX_F_STRING("role", NULL, .required = true, .choices = "assistant"),
    NX_F_STRING("content", "The answer.", .required = true));

static const nx_fields chat_response = NX_FIELDS(
    "LlmChatResponse",
    NX_F_OBJECT("message", "What the model says.", .required = true, .fields = &reply_message),
    NX_F_STRING("model", "Which model answered.", .required = true), F_USAGE, F_FINISH,
    F_SEED_USED);

/* ---- /llm/batch/generate ---- */

static const nx_fields batch_request =
    NX_FIELDS("BatchGenerateRequest",
              NX_F_ARRAY("prompts", "Texts to continue; they run as one batch.", .required = true,
                         .range = NX_BETWEEN(1, NX_PROMPTS_MAX),
                         .of = NX_ONE(.kind = NX_FIELD_STRING, .range = NX_FROM(1))),
              F_MAX_NEW_TOKENS, F_TEMPERATURE, F_SEED, NX_F_STOP, NX_F_MODEL);

static const nx_fields batch_result =
    NX_FIELDS("BatchResult", NX_F_STRING("prompt", "As it was sent.", .required = true),
              NX_F_STRING("generated_text", "What follows it.", .required = true), F_FINISH);

static const nx_fields batch_response = NX_FIELDS(
    "BatchGenerateResponse",
    NX_F_ARRAY("results", "In the order of the prompts.", .required = true,
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &batch_result)),
    NX_F_INT("count", "How many results.", .required = true, .range = NX_FROM(1)),
    NX_F_STRING("model", "Which model answered.", .required = true), F_USAGE, F_SEED_USED);

/* ---- About the model ---- */

static const nx_fields model_info =
    NX_FIELDS("ModelInfo", NX_F_STRING("model_name", "Of the default model.", .required = true),
              NX_F_BOOL("loaded", "Is it in memory?", .required = true),
              NX_F_STRING("device", "Where it computes: \"cpu\".", .required = true),
              NX_F_STRING("quantization",
                          "How its weights are stored: \"Q4_K_M\"; null: unknown until loaded.",
                          .required = true, .nullable = true),
              NX_F_INT("gpu_count", NULL, .required = true, .range = NX_FROM(0)),
              NX_F_INT("gpu_memory", "Bytes in all; 0 without a GPU.", .required = true,
                       .range = NX_FROM(0)));

static const nx_fields health = NX_FIELDS(
    "LlmHealth", NX_F_STRING("status", NULL, .required = true, .choices = "healthy|loading|failed"),
    NX_F_BOOL("llm_loaded", "Is the default model in memory?", .required = true),
    NX_F_STRING("llm_model", "Its name; null: there is none.", .required = true, .nullable = true),
    NX_F_BOOL("rag_enabled", "Does /llm/rag/query look into documents?", .required = true),
    NX_F_BOOL("gpu_available", NULL, .required = true));

static const nx_route routes[] = {
    {
        .method = "POST",
        .path = "/llm/generate",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_SEED,
        .summary = "Continue a text",
        .request = &generate_request,
        .example = "{\"prompt\": \"Once upon a time\", \"max_new_tokens\": 64}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "The text that follows.",
             .body = &generate_response,
             .example = "{\"prompt\": \"Once upon a time\", \"generated_text\": \" there was a "
                        "girl named Lily.\", \"model\": \"mini\", \"generation_time_ms\": 41.7, "
                        "\"usage\": {\"prompt_tokens\": 5, \"completion_tokens\": 8, "
                        "\"total_tokens\": 13, \"cached_tokens\": 0}, \"finish_reason\": \"stop\", "
                        "\"seed\": 3141592653}"},
            {.status = 200,
             .about = STREAM_ABOUT,
             .body = &event,
             .type = "text/event-stream",
             .example = STREAM_EXAMPLE}),
        .handle = nx_handle_llm_generate,
    },
    {
        .method = "POST",
        .path = "/llm/chat",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_SEED,
        .summary = "Answer a conversation",
        .request = &chat_request,
        .example = "{\"messages\": [{\"role\": \"user\", \"content\": \"What is a page cache?\"}]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "The answer.",
             .body = &chat_response,
             .example = "{\"message\": {\"role\": \"assistant\", \"content\": \"Memory that keeps "
                        "parts of files.\"}, \"model\": \"mini\", \"usage\": {\"prompt_tokens\": "
                        "17, \"completion_tokens\": 8, \"total_tokens\": 25, \"cached_tokens\": "
                        "0}, \"finish_reason\": \"stop\", \"seed\": 3141592653}"},
            {.status = 200,
             .about = STREAM_ABOUT,
             .body = &event,
             .type = "text/event-stream",
             .example = STREAM_EXAMPLE}),
        .handle = nx_handle_llm_chat,
    },
    {
        .method = "POST",
        .path = "/llm/batch/generate",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_SEED,
        .summary = "Continue several texts at once",
        .request = &batch_request,
        .example = "{\"prompts\": [\"Once upon a time\", \"The kernel\"], \"max_new_tokens\": 32}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "All results, when the last is there.",
             .body = &batch_response,
             .example = "{\"results\": [{\"prompt\": \"Once upon a time\", \"generated_text\": \" "
                        "there was a girl.\", \"finish_reason\": \"stop\"}, {\"prompt\": \"The "
                        "kernel\", \"generated_text\": \" boots.\", \"finish_reason\": \"stop\"}], "
                        "\"count\": 2, \"model\": \"mini\", \"usage\": {\"prompt_tokens\": 7, "
                        "\"completion_tokens\": 9, \"total_tokens\": 16, \"cached_tokens\": 0}, "
                        "\"seed\": 3141592653}"}),
        .handle = nx_handle_llm_batch_generate,
    },
    {
        .method = "GET",
        .path = "/llm/model/info",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_SEED,
        .summary = "The default model",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Its name, and how it is stored.",
             .body = &model_info,
             .example = "{\"model_name\": \"mini\", \"loaded\": true, \"device\": \"cpu\", "
                        "\"quantization\": \"Q4_0\", \"gpu_count\": 0, \"gpu_memory\": 0}"}),
        .handle = nx_handle_llm_model_info,
    },
    {
        .method = "GET",
        .path = "/llm/health",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_SEED,
        .summary = "Can the model answer?",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "It can.",
             .body = &health,
             .example = "{\"status\": \"healthy\", \"llm_loaded\": true, \"llm_model\": \"mini\", "
                        "\"rag_enabled\": true, \"gpu_available\": false}"},
            {.status = 503,
             .about = "It is being loaded, or can't be.",
             .body = &health,
             .example = "{\"status\": \"loading\", \"llm_loaded\": false, \"llm_model\": \"mini\", "
                        "\"rag_enabled\": true, \"gpu_available\": false}"}),
        .handle = nx_handle_llm_health,
    },
};

const nx_route_group nx_routes_llm = {
    .tag = "LLM",
    .about =
        "Plain text in, text out. Faults of a field are told as `{\"detail\": [{\"loc\", \"msg\", "
        "\"type\"}]}`, all others as `{\"detail\": \"...\"}`.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
