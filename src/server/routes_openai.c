/* routes_openai.c - the routes under /v1, as OpenAI's clients know them.
 *
 * Null counts as absent everywhere: the clients send it for what their callers left out.
 */
#include "server/route_tables.h"

/* ---- What chat and text completions share ---- */

#define F_MAX_TOKENS(name, least, preset_)                                                         \
    NX_F_INT(name, "How many tokens at most. What is left of the context caps it.",                \
             .range = NX_BETWEEN(least, NX_INT32_MAX), .nullable = true, .preset = preset_)

#define F_SAMPLING                                                                                 \
    NX_F_NUMBER("temperature", "How freely to choose; 0: always the likeliest token.",             \
                .range = NX_BETWEEN(0, 2), .nullable = true, .preset = "1"),                       \
        NX_F_NUMBER("top_p",                                                                       \
                    "Choose among the likeliest tokens that together have this probability.",      \
                    .range = NX_BETWEEN(0, 1), .nullable = true, .preset = "1"),                   \
        NX_F_INT("n", "How many answers.", .range = NX_BETWEEN(1, 16), .nullable = true,           \
                 .preset = "1"),                                                                   \
        NX_F_INT("seed", "The same seed gives the same text. Absent: a random one.",               \
                 .nullable = true),                                                                \
        NX_F_STOP,                                                                                 \
        NX_F_NUMBER("presence_penalty", "Taken from tokens that were generated already.",          \
                    .range = NX_BETWEEN(-2, 2), .nullable = true, .preset = "0"),                  \
        NX_F_NUMBER("frequency_penalty", "The same, for each time they were.",                     \
                    .range = NX_BETWEEN(-2, 2), .nullable = true, .preset = "0"),                  \
        NX_F_MAP("logit_bias", "Added to tokens before choosing, by their id; -100: never.",       \
                 .range = NX_UP_TO(1024), .nullable = true, .format = NX_FORMAT_DECIMAL,           \
                 .of = NX_ONE(.kind = NX_FIELD_NUMBER, .range = NX_BETWEEN(-100, 100)))

#define F_STREAM                                                                                   \
    NX_F_BOOL("stream", "Send every token as it is born, as server-sent events.",                  \
              .nullable = true, .preset = "false"),                                                \
        NX_F_OBJECT("stream_options", "Of a stream.", .nullable = true, .fields = &stream_options)

#define F_OURS                                                                                     \
    NX_F_INT("top_k", "Ours. Choose among this many of the likeliest tokens; 0: among all.",       \
             .range = NX_BETWEEN(0, NX_INT32_MAX), .nullable = true, .preset = "0"),               \
        NX_F_NUMBER("min_p",                                                                       \
                    "Ours. Choose among tokens at least this probable, as a part of the "          \
                    "likeliest one's probability.",                                                \
                    .range = NX_BETWEEN(0, 1), .nullable = true, .preset = "0"),                   \
        NX_F_NUMBER("repetition_penalty",                                                          \
                    "Ours. How much to avoid tokens that were there already; 1: not.",             \
                    .range = NX_ABOVE_UP_TO(0, 2), .nullable = true, .preset = "1"),               \
        NX_F_BOOL("ignore_eos", "Ours. Go on where the model would end.", .nullable = true,        \
                  .preset = "false"),                                                              \
        NX_F_STRING("priority", "Ours. High first; never higher than the key's.",                  \
                    .choices = "high|normal|low", .nullable = true, .preset = "\"normal\"")

#define F_USER                                                                                     \
    NX_F_STRING("user", "The caller's own name for the end user. Not kept.", .nullable = true),    \
        NX_F_ANY("metadata", "The caller's own. Not kept.", .nullable = true)

static const nx_fields stream_options =
    NX_FIELDS("StreamOptions",
              NX_F_BOOL("include_usage", "One more event at the end: no choices, but the usage.",
                        .nullable = true, .preset = "false"));

static const nx_fields prompt_details = NX_FIELDS(
    "PromptTokensDetails", NX_F_INT("cached_tokens", "Those that were known from earlier requests.",
                                    .required = true, .range = NX_FROM(0)));

static const nx_fields usage = NX_FIELDS(
    "Usage", NX_F_INT("prompt_tokens", "Of the prompt.", .required = true, .range = NX_FROM(0)),
    NX_F_INT("completion_tokens", "Generated, in all answers.", .required = true,
             .range = NX_FROM(0)),
    NX_F_INT("total_tokens", "Both.", .required = true, .range = NX_FROM(0)),
    NX_F_OBJECT("prompt_tokens_details", NULL, .required = true, .fields = &prompt_details));

#define F_ANSWER_HEAD(object_)                                                                     \
    NX_F_STRING("id", "Of this answer; the same in all events of a stream.", .required = true),    \
        NX_F_STRING("object", NULL, .required = true, .choices = object_),                         \
        NX_F_INT("created", "Unix seconds.", .required = true, .range = NX_FROM(0)),               \
        NX_F_STRING("model", "Which model answered.", .required = true),                           \
        NX_F_STRING("system_fingerprint", "Changes when the server or the model's file does.",     \
                    .required = true, .nullable = true)
#define F_USAGE NX_F_OBJECT("usage", NULL, .required = true, .fields = &usage)
#define F_STREAM_USAGE                                                                             \
    NX_F_OBJECT("usage", "With include_usage: null, but in the last event.", .nullable = true,     \
                .fields = &usage)
#define F_INDEX NX_F_INT("index", "Which of the n answers.", .required = true, .range = NX_FROM(0))

#define F_FINISH                                                                                   \
    NX_F_STRING(                                                                                   \
        "finish_reason",                                                                           \
        "stop: the model ended, or one of the stop texts came; length: the token limit, or "       \
        "the end of the context.",                                                                 \
        .required = true, .choices = "stop|length|tool_calls|content_filter")
#define F_STREAM_FINISH                                                                            \
    NX_F_STRING("finish_reason", "null, but in the last event of this answer.", .required = true,  \
                .nullable = true, .choices = "stop|length|tool_calls|content_filter")

#define SSE_ABOUT                                                                                  \
    "With \"stream\": true: such events, then `data: [DONE]`. If the answer can't be finished, "   \
    "an event with \"error\" comes instead."

/* ---- Chat: the request ---- */

static const nx_fields text_part =
    NX_FIELDS("TextPart", NX_F_STRING("type", NULL, .required = true, .choices = "text"),
              NX_F_STRING("text", NULL, .required = true));

static const nx_fields called_function =
    NX_FIELDS("CalledFunction", NX_F_STRING("name", NULL, .required = true),
              NX_F_STRING("arguments", "JSON, as text.", .required = true));

static const nx_fields tool_call =
    NX_FIELDS("ToolCall", NX_F_STRING("id", NULL, .required = true),
              NX_F_STRING("type", NULL, .required = true, .choices = "function"),
              NX_F_OBJECT("function", NULL, .required = true, .fields = &called_function));

static const nx_fields chat_message = NX_FIELDS(
    "ChatMessage",
    NX_F_STRING("role", "Who says it.", .required = true,
                .choices = "system|developer|user|assistant|tool"),
    NX_F_ONE_OF(
        "content", "What is said; parts are joined.", .nullable = true,
        .of = NX_LIST(NX_F_STRING(NULL, NULL),
                      NX_F_ARRAY(NULL, NULL, .range = NX_UP_TO(NX_MESSAGES_MAX),
                                 .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &text_part)))),
    NX_F_STRING("name", "Of the speaker, for templates that know names.", .nullable = true),
    NX_F_ARRAY("tool_calls", "Of an assistant: which tools it called.", .nullable = true,
               .range = NX_UP_TO(256), .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &tool_call)),
    NX_F_STRING("tool_call_id", "Of a tool: which call this answers.", .nullable = true));

static const nx_fields tool_function = NX_FIELDS(
    "ToolFunction", NX_F_STRING("name", NULL, .required = true, .range = NX_BETWEEN(1, 256)),
    NX_F_STRING("description", "What it does, for the model.", .nullable = true),
    NX_F_OBJECT("parameters", "A JSON Schema.", .nullable = true));

static const nx_fields tool =
    NX_FIELDS("Tool", NX_F_STRING("type", NULL, .required = true, .choices = "function"),
              NX_F_OBJECT("function", NULL, .required = true, .fields = &tool_function));

static const nx_fields response_format = NX_FIELDS(
    "ResponseFormat",
    NX_F_STRING("type", "Only \"text\": json_object and json_schema are not supported yet.",
                .required = true, .choices = "text"));

static const nx_fields chat_request = NX_FIELDS(
    "ChatCompletionRequest",
    NX_F_ARRAY("messages", "The conversation so far, oldest first.", .required = true,
               .range = NX_BETWEEN(1, NX_MESSAGES_MAX),
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &chat_message)),
    NX_F_MODEL, F_MAX_TOKENS("max_completion_tokens", 1, NULL),
    NX_F_INT("max_tokens", "The older name of max_completion_tokens, which goes before it.",
             .range = NX_BETWEEN(1, NX_INT32_MAX), .nullable = true),
    F_STREAM, F_SAMPLING,
    NX_F_BOOL("logprobs", "Tell the log-probability of every token.", .nullable = true,
              .preset = "false"),
    NX_F_INT("top_logprobs", "And of this many likeliest tokens at each place.",
             .range = NX_BETWEEN(0, 20), .nullable = true, .needs = "logprobs"),
    NX_F_ARRAY("tools", "What the model may call; passed to its template.", .nullable = true,
               .range = NX_UP_TO(256), .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &tool)),
    NX_F_ONE_OF("tool_choice", "Passed to the template.", .nullable = true,
                .of = NX_LIST(NX_F_STRING(NULL, NULL, .choices = "none|auto|required"),
                              NX_F_OBJECT(NULL, NULL))),
    NX_F_OBJECT("response_format", NULL, .nullable = true, .fields = &response_format), F_USER,
    F_OURS);

/* ---- Chat: the answer ---- */

#define F_TOKEN_LOGPROB                                                                            \
    NX_F_STRING("token", "Its text; bytes that are no text become U+FFFD.", .required = true),     \
        NX_F_NUMBER("logprob", "The natural logarithm of its probability.", .required = true),     \
        NX_F_ARRAY("bytes", "Its bytes: those of all tokens, joined, are the text.",               \
                   .required = true, .nullable = true,                                             \
                   .of = NX_ONE(.kind = NX_FIELD_INT, .range = NX_BETWEEN(0, 255)))

static const nx_fields top_logprob = NX_FIELDS("TopLogprob", F_TOKEN_LOGPROB);

static const nx_fields token_logprob =
    NX_FIELDS("TokenLogprob", F_TOKEN_LOGPROB,
              NX_F_ARRAY("top_logprobs", "The likeliest tokens at this place, likeliest first.",
                         .required = true, .range = NX_UP_TO(20),
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &top_logprob)));

static const nx_fields chat_logprobs =
    NX_FIELDS("ChatLogprobs",
              NX_F_ARRAY("content", "One for each token.", .required = true, .nullable = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &token_logprob)),
              NX_F_ANY("refusal", "Always null.", .required = true, .nullable = true));

#define F_CHAT_LOGPROBS                                                                            \
    NX_F_OBJECT("logprobs", "null unless asked for.", .required = true, .nullable = true,          \
                .fields = &chat_logprobs)

static const nx_fields url_citation = NX_FIELDS(
    "UrlCitation",
    NX_F_INT("start_index", "Characters of the content: of \"[1]\".", .required = true),
    NX_F_INT("end_index", NULL, .required = true), NX_F_STRING("title", NULL, .required = true),
    NX_F_STRING("url", "The document's own address, or the cited range of it on this server.",
                .required = true));

static const nx_fields cited_document = NX_FIELDS(
    "CitedDocument", NX_F_INT("number", "As it stands in the content.", .required = true),
    NX_F_STRING("document_id", NULL, .required = true),
    NX_F_STRING("source", NULL, .required = true), NX_F_STRING("title", NULL, .required = true),
    NX_F_INT("page", NULL, .required = true, .nullable = true),
    NX_F_INT("start_pos", "Bytes of the document's text.", .required = true, .range = NX_FROM(0)),
    NX_F_INT("end_pos", NULL, .required = true, .range = NX_FROM(0)),
    NX_F_BOOL("quoted", "The content has it word for word.", .required = true),
    NX_F_STRING("text", "What stands there.", .required = true));

static const nx_fields annotation = NX_FIELDS(
    "ChatAnnotation", NX_F_STRING("type", NULL, .required = true, .choices = "url_citation"),
    NX_F_OBJECT("url_citation", NULL, .required = true, .fields = &url_citation),
    NX_F_OBJECT("document", "Ours: where it stands.", .required = true, .fields = &cited_document));

#define F_ANNOTATIONS                                                                              \
    NX_F_ARRAY("annotations",                                                                      \
               "Of the model \"rag:COLLECTION\": where the content leans on documents. In a "      \
               "stream: in the last delta.",                                                       \
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &annotation))

static const nx_fields answer_message = NX_FIELDS(
    "ChatAnswerMessage", NX_F_STRING("role", NULL, .required = true, .choices = "assistant"),
    NX_F_STRING("content", "The answer.", .required = true, .nullable = true),
    NX_F_STRING("refusal", "Always null.", .required = true, .nullable = true), F_ANNOTATIONS,
    NX_F_ARRAY("tool_calls", "Which tools the model calls; absent without any.",
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &tool_call)));

static const nx_fields chat_choice =
    NX_FIELDS("ChatChoice", F_INDEX,
              NX_F_OBJECT("message", NULL, .required = true, .fields = &answer_message),
              F_CHAT_LOGPROBS, F_FINISH);

static const nx_fields chat_completion =
    NX_FIELDS("ChatCompletion", F_ANSWER_HEAD("chat.completion"),
              NX_F_ARRAY("choices", "The answers, as many as n.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &chat_choice)),
              F_USAGE);

static const nx_fields delta = NX_FIELDS(
    "ChatDelta", NX_F_STRING("role", "In the first event of an answer.", .choices = "assistant"),
    NX_F_STRING("content", "The next piece of the text.", .nullable = true),
    NX_F_STRING("refusal", "Always null.", .nullable = true), F_ANNOTATIONS);

static const nx_fields chunk_choice =
    NX_FIELDS("ChatChunkChoice", F_INDEX,
              NX_F_OBJECT("delta", "What is new.", .required = true, .fields = &delta),
              F_CHAT_LOGPROBS, F_STREAM_FINISH);

static const nx_fields chat_chunk =
    NX_FIELDS("ChatCompletionChunk", F_ANSWER_HEAD("chat.completion.chunk"),
              NX_F_ARRAY("choices", "One; none in the event with the usage.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &chunk_choice)),
              F_STREAM_USAGE);

/* ---- Text completions ---- */

#define TOKEN_ID  .kind = NX_FIELD_INT, .range = NX_BETWEEN(0, NX_INT32_MAX)
#define TOKEN_IDS .kind = NX_FIELD_ARRAY, .range = NX_FROM(1), .of = NX_ONE(TOKEN_ID)

static const nx_fields completion_request = NX_FIELDS(
    "CompletionRequest",
    NX_F_ONE_OF("prompt", "What to continue: a text, several, the ids of one, or of several.",
                .required = true,
                .of =
                    NX_LIST(NX_F_STRING(NULL, NULL, .range = NX_FROM(1)),
                            NX_F_ARRAY(NULL, NULL, .range = NX_BETWEEN(1, NX_PROMPTS_MAX),
                                       .of = NX_ONE(.kind = NX_FIELD_STRING, .range = NX_FROM(1))),
                            {TOKEN_IDS},
                            NX_F_ARRAY(NULL, NULL, .range = NX_BETWEEN(1, NX_PROMPTS_MAX),
                                       .of = NX_ONE(TOKEN_IDS)))),
    NX_F_MODEL, F_MAX_TOKENS("max_tokens", 0, "16"), F_STREAM, F_SAMPLING,
    NX_F_BOOL("echo", "Put the prompt before the text.", .nullable = true, .preset = "false"),
    NX_F_INT("logprobs", "Tell the log-probability of every token, and of this many likeliest.",
             .range = NX_BETWEEN(0, 20), .nullable = true),
    NX_F_INT("best_of", "Not supported beyond n: leave it out.", .range = NX_BETWEEN(1, 16),
             .nullable = true),
    NX_F_STRING("suffix", "Not supported: null, or empty.", .range = NX_UP_TO(0), .nullable = true),
    F_USER, F_OURS);

static const nx_fields text_logprobs = NX_FIELDS(
    "TextLogprobs",
    NX_F_ARRAY("tokens", "Their texts.", .required = true, .of = NX_ONE(.kind = NX_FIELD_STRING)),
    NX_F_ARRAY("token_logprobs", "null for the first token of an echoed prompt.", .required = true,
               .of = NX_ONE(.kind = NX_FIELD_NUMBER, .nullable = true)),
    NX_F_ARRAY("top_logprobs", "The likeliest tokens of each place, by their text.",
               .required = true, .nullable = true,
               .of = NX_ONE(.kind = NX_FIELD_MAP, .nullable = true,
                            .of = NX_ONE(.kind = NX_FIELD_NUMBER))),
    NX_F_ARRAY("text_offset", "Where each begins in the text, in characters.", .required = true,
               .of = NX_ONE(.kind = NX_FIELD_INT, .range = NX_FROM(0))));

#define F_TEXT NX_F_STRING("text", NULL, .required = true)
#define F_TEXT_LOGPROBS                                                                            \
    NX_F_OBJECT("logprobs", "null unless asked for.", .required = true, .nullable = true,          \
                .fields = &text_logprobs)

static const nx_fields text_choice =
    NX_FIELDS("CompletionChoice", F_INDEX, F_TEXT, F_TEXT_LOGPROBS, F_FINISH);

static const nx_fields completion = NX_FIELDS(
    "Completion", F_ANSWER_HEAD("text_completion"),
    NX_F_ARRAY("choices", "n for each prompt, in the order of the prompts.", .required = true,
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &text_choice)),
    F_USAGE);

static const nx_fields text_chunk_choice =
    NX_FIELDS("CompletionChunkChoice", F_INDEX, F_TEXT, F_TEXT_LOGPROBS, F_STREAM_FINISH);

static const nx_fields completion_chunk =
    NX_FIELDS("CompletionChunk", F_ANSWER_HEAD("text_completion"),
              NX_F_ARRAY("choices", "One; none in the event with the usage.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &text_chunk_choice)),
              F_STREAM_USAGE);

/* ---- Embeddings ---- */

#define INPUTS_MAX 2048 /* as OpenAI has it */

static const nx_fields embedding_request = NX_FIELDS(
    "EmbeddingRequest",
    NX_F_ONE_OF("input", "What to embed: a text, several, the ids of one, or of several.",
                .required = true,
                .of = NX_LIST(NX_F_STRING(NULL, NULL),
                              NX_F_ARRAY(NULL, NULL, .range = NX_BETWEEN(1, INPUTS_MAX),
                                         .of = NX_ONE(.kind = NX_FIELD_STRING)),
                              {TOKEN_IDS},
                              NX_F_ARRAY(NULL, NULL, .range = NX_BETWEEN(1, INPUTS_MAX),
                                         .of = NX_ONE(TOKEN_IDS)))),
    NX_F_STRING("model", "Which embedding model, by its name in /v1/models. Absent: the first one.",
                .nullable = true),
    NX_F_STRING("encoding_format", "base64: the bytes of the floats, little-endian, as one string.",
                .choices = "float|base64", .nullable = true, .preset = "\"float\""),
    NX_F_INT("dimensions",
             "Only the first so many numbers, at unit length again: for models made for it.",
             .range = NX_BETWEEN(1, NX_INT32_MAX), .nullable = true),
    NX_F_STRING("input_type", "Ours. What the texts are for, where the model has a prompt for it.",
                .choices = "plain|query|passage|document", .nullable = true, .preset = "\"plain\""),
    NX_F_STRING("long",
                "Ours. A text longer than the model takes is an error; or cut; or read in windows, "
                "whose mean it becomes.",
                .choices = "error|cut|windows", .nullable = true, .preset = "\"error\""),
    F_USER);

static const nx_fields embedding = NX_FIELDS(
    "Embedding", NX_F_STRING("object", NULL, .required = true, .choices = "embedding"),
    NX_F_INT("index", "Which of the inputs.", .required = true, .range = NX_FROM(0)),
    NX_F_ONE_OF("embedding", "The vector; of unit length, unless the model's makers had it else.",
                .required = true,
                .of = NX_LIST(NX_F_ARRAY(NULL, NULL, .of = NX_ONE(.kind = NX_FIELD_NUMBER)),
                              NX_F_STRING(NULL, NULL))));

static const nx_fields embedding_usage =
    NX_FIELDS("EmbeddingUsage",
              NX_F_INT("prompt_tokens", "Read, with those around a text.", .required = true,
                       .range = NX_FROM(0)),
              NX_F_INT("total_tokens", "The same.", .required = true, .range = NX_FROM(0)));

static const nx_fields embedding_long = NX_FIELDS(
    "EmbeddingLong",
    NX_F_INT("texts", "Inputs longer than the model takes.", .required = true, .range = NX_FROM(1)),
    NX_F_INT("windows", "In which they were read.", .required = true, .range = NX_FROM(1)),
    NX_F_INT("tokens_cut", "Left out, where they were cut.", .required = true,
             .range = NX_FROM(0)));

static const nx_fields embeddings =
    NX_FIELDS("EmbeddingList", NX_F_STRING("object", NULL, .required = true, .choices = "list"),
              NX_F_ARRAY("data", "In the order of the inputs.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &embedding)),
              NX_F_STRING("model", "Which model answered.", .required = true),
              NX_F_OBJECT("usage", NULL, .required = true, .fields = &embedding_usage),
              NX_F_OBJECT("long", "Ours. Only where an input was longer than the model takes.",
                          .fields = &embedding_long));

/* ---- Reranking ---- */

static const nx_fields rerank_document =
    NX_FIELDS("RerankDocument", NX_F_STRING("text", NULL, .required = true));

static const nx_fields rerank_request = NX_FIELDS(
    "RerankRequest",
    NX_F_STRING("model", "Which reranker, by its name in /v1/models. Absent: the first one.",
                .nullable = true),
    NX_F_STRING("query", "What is asked.", .required = true),
    NX_F_ARRAY("documents", "The passages: texts, or objects with a text.", .required = true,
               .range = NX_BETWEEN(1, INPUTS_MAX),
               .of = NX_ONE(.kind = NX_FIELD_ONE_OF,
                            .of = NX_LIST(NX_F_STRING(NULL, NULL),
                                          NX_F_OBJECT(NULL, NULL, .fields = &rerank_document)))),
    NX_F_INT("top_n", "Only the best so many. Absent: all.", .range = NX_BETWEEN(1, NX_INT32_MAX),
             .nullable = true),
    NX_F_BOOL("return_documents", "Give the text of each result back.", .nullable = true,
              .preset = "false"),
    NX_F_BOOL("raw_scores", "Ours. The model's own number in place of one between 0 and 1.",
              .nullable = true, .preset = "false"),
    NX_F_STRING("long",
                "Ours. Query and document longer than the model takes are an error; or cut, the "
                "longer of the two first.",
                .choices = "error|cut", .nullable = true, .preset = "\"error\""));

static const nx_fields rerank_result =
    NX_FIELDS("RerankResult",
              NX_F_INT("index", "Which of the documents.", .required = true, .range = NX_FROM(0)),
              NX_F_NUMBER("relevance_score", "How well it answers: 0 to 1, unless raw_scores.",
                          .required = true),
              NX_F_OBJECT("document", "With return_documents.", .fields = &rerank_document));

static const nx_fields rerank_long =
    NX_FIELDS("RerankLong",
              NX_F_INT("documents", "Pairs that were cut.", .required = true, .range = NX_FROM(1)),
              NX_F_INT("tokens_cut", "Left out.", .required = true, .range = NX_FROM(0)));

static const nx_fields reranked = NX_FIELDS(
    "RerankResponse", NX_F_STRING("object", NULL, .required = true, .choices = "list"),
    NX_F_STRING("model", "Which model answered.", .required = true),
    NX_F_ARRAY("results", "Best first; equal ones in the order of the documents.", .required = true,
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &rerank_result)),
    NX_F_OBJECT("usage", NULL, .required = true, .fields = &embedding_usage),
    NX_F_OBJECT("long", "Ours. Only where a pair was cut.", .fields = &rerank_long));

/* ---- Models ---- */

static const nx_fields model = NX_FIELDS(
    "Model", NX_F_STRING("id", "Its name in requests.", .required = true),
    NX_F_STRING("object", NULL, .required = true, .choices = "model"),
    NX_F_INT("created", "Unix seconds of its file.", .required = true, .range = NX_FROM(0)),
    NX_F_STRING("owned_by", NULL, .required = true),
    NX_F_INT("max_model_len", "Positions of one conversation; null: unknown until loaded.",
             .required = true, .nullable = true, .range = NX_FROM(1)));

static const nx_fields models =
    NX_FIELDS("ModelList", NX_F_STRING("object", NULL, .required = true, .choices = "list"),
              NX_F_ARRAY("data", NULL, .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &model)));

static const nx_fields model_param =
    NX_FIELDS("ModelPath", NX_F_STRING("model", "Its name; it may hold slashes.", .required = true,
                                       .range = NX_FROM(1)));

/* ---- Tokens ---- */

static const nx_fields tokenize_request = {
    .name = "TokenizeRequest",
    .about = "text or prompt; text goes before prompt.",
    .any = "text|prompt",
    .list = NX_LIST(NX_F_STRING("text", "The text to cut into tokens."),
                    NX_F_STRING("prompt", "Another name of text."), NX_F_MODEL,
                    NX_F_BOOL("add_special", "Add what the model wants around a text.",
                              .nullable = true, .preset = "true"),
                    NX_F_BOOL("parse_special", "Read control tokens that are written in the text.",
                              .nullable = true, .preset = "true")),
};

static const nx_fields tokenize_response =
    NX_FIELDS("TokenizeResponse",
              NX_F_ARRAY("tokens", "Their ids.", .required = true, .of = NX_ONE(TOKEN_ID)),
              NX_F_INT("count", "How many.", .required = true, .range = NX_FROM(0)),
              NX_F_INT("max_model_len", "Positions of one conversation.", .required = true,
                       .range = NX_FROM(1)));

static const nx_fields detokenize_request =
    NX_FIELDS("DetokenizeRequest",
              NX_F_ARRAY("tokens", "Ids.", .required = true, .of = NX_ONE(TOKEN_ID)), NX_F_MODEL);

static const nx_fields detokenize_response =
    NX_FIELDS("DetokenizeResponse",
              NX_F_STRING("text", "Bytes that are no text become U+FFFD.", .required = true));

/* ---- Examples ---- */

#define HEAD_EXAMPLE(id, object)                                                                   \
    "{\"id\": \"" id "\", \"object\": \"" object                                                   \
    "\", \"created\": 1774915200, \"model\": \"mini\", "                                           \
    "\"system_fingerprint\": \"nx_5c1f\", "
#define USAGE_EXAMPLE                                                                              \
    "\"usage\": {\"prompt_tokens\": 17, \"completion_tokens\": 8, \"total_tokens\": 25, "          \
    "\"prompt_tokens_details\": {\"cached_tokens\": 16}}}"
#define MODEL_EXAMPLE                                                                              \
    "{\"id\": \"mini\", \"object\": \"model\", \"created\": 1774915200, \"owned_by\": \"nexus\", " \
    "\"max_model_len\": 2048}"

static const char chat_stream_example[] = "data: " HEAD_EXAMPLE(
    "chatcmpl-7f",
    "chat.completion.chunk") "\"choices\": [{\"index\": 0, \"delta\": {\"role\": \"assistant\", \"content\": \"\"}, "
                             "\"logprobs\": null, \"finish_reason\": null}]}\n\n"
                             "data: " HEAD_EXAMPLE(
                                 "chatcmpl-7f",
                                 "chat.completion.chunk") "\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"Memory\"}, "
                                                          "\"logprobs\": null, \"finish_reason\": null}]}\n\n"
                                                          "data: " HEAD_EXAMPLE(
                                                              "chatcmpl-7f",
                                                              "chat.completion.chunk") "\"choices\": [{\"index\": 0, \"delta\": {}, "
                                                                                       "\"logprobs\": null, \"finish_reason\": \"stop\"}]}\n\n"
                                                                                       "data: [DONE]\n\n";

static const char text_stream_example[] = "data: " HEAD_EXAMPLE(
    "cmpl-7f",
    "text_completion") "\"choices\": [{\"index\": 0, \"text\": \" there\", "
                       "\"logprobs\": null, \"finish_reason\": null}]}\n\n"
                       "data: " HEAD_EXAMPLE(
                           "cmpl-7f",
                           "text_completion") "\"choices\": [{\"index\": 0, \"text\": \"\", "
                                              "\"logprobs\": null, \"finish_reason\": \"length\"}]}\n\n"
                                              "data: [DONE]\n\n";

static const nx_route routes[] = {
    {
        .method = "POST",
        .path = "/v1/chat/completions",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_OPENAI,
        .summary = "Answer a conversation",
        .request = &chat_request,
        .example = "{\"model\": \"mini\", \"messages\": [{\"role\": \"system\", \"content\": "
                   "\"Answer in one sentence.\"}, {\"role\": \"user\", \"content\": \"What is a "
                   "page cache?\"}], \"max_completion_tokens\": 64}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "The answer.",
             .body = &chat_completion,
             .example = HEAD_EXAMPLE(
                 "chatcmpl-7f",
                 "chat.completion") "\"choices\": [{\"index\": 0, \"message\": {\"role\": \"assistant\", "
                                    "\"content\": \"Memory that keeps parts of files.\", \"refusal\": null}, "
                                    "\"logprobs\": null, \"finish_reason\": \"stop\"}], " USAGE_EXAMPLE},
            {.status = 200,
             .about = SSE_ABOUT,
             .body = &chat_chunk,
             .type = "text/event-stream",
             .example = chat_stream_example}),
        .handle = nx_handle_v1_chat_completions,
    },
    {
        .method = "POST",
        .path = "/v1/completions",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_OPENAI,
        .summary = "Continue a text",
        .request = &completion_request,
        .example = "{\"model\": \"mini\", \"prompt\": \"Once upon a time\", \"max_tokens\": 32}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "The text that follows.",
             .body = &completion,
             .example = HEAD_EXAMPLE(
                 "cmpl-7f",
                 "text_completion") "\"choices\": [{\"index\": 0, \"text\": \" there was a girl named Lily.\", "
                                    "\"logprobs\": null, \"finish_reason\": \"length\"}], " USAGE_EXAMPLE},
            {.status = 200,
             .about = SSE_ABOUT,
             .body = &completion_chunk,
             .type = "text/event-stream",
             .example = text_stream_example}),
        .handle = nx_handle_v1_completions,
    },
    {
        .method = "POST",
        .path = "/v1/embeddings",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_OPENAI,
        .summary = "Turn texts into vectors",
        .about = "Texts that mean the same have vectors that lie near each other. A text that was "
                 "asked for lately comes from a cache.",
        .request = &embedding_request,
        .example = "{\"model\": \"all-minilm-l6-v2\", \"input\": [\"What is a page cache?\"]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "A vector for each input.",
             .body = &embeddings,
             .example =
                 "{\"object\": \"list\", \"data\": [{\"object\": \"embedding\", \"index\": 0, "
                 "\"embedding\": [0.0123, -0.0456]}], \"model\": \"all-minilm-l6-v2\", "
                 "\"usage\": {\"prompt_tokens\": 8, \"total_tokens\": 8}}"}),
        .handle = nx_handle_v1_embeddings,
    },
    {
        .method = "POST",
        .path = "/v1/rerank",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_OPENAI,
        .summary = "Order passages by how well they answer",
        .about =
            "As Cohere's and Jina's clients speak. A cross-encoder reads the question with each "
            "passage: for the few dozen that a search found.",
        .request = &rerank_request,
        .example = "{\"model\": \"ms-marco\", \"query\": \"What is a page cache?\", "
                   "\"documents\": [\"Memory that keeps parts of files.\", \"A kind of cake.\"], "
                   "\"top_n\": 1}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "The best first.",
             .body = &reranked,
             .example = "{\"object\": \"list\", \"model\": \"ms-marco\", \"results\": [{\"index\": "
                        "0, \"relevance_score\": 0.98}], \"usage\": {\"prompt_tokens\": 31, "
                        "\"total_tokens\": 31}}"}),
        .handle = nx_handle_v1_rerank,
    },
    {
        .method = "GET",
        .path = "/v1/models",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_OPENAI,
        .summary = "All models",
        .replies = NX_REPLIES({.status = 200,
                               .about = "Those that requests may name.",
                               .body = &models,
                               .example = "{\"object\": \"list\", \"data\": [" MODEL_EXAMPLE "]}"}),
        .handle = nx_handle_v1_models,
    },
    {
        .method = "GET",
        .path = "/v1/models/{model+}",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_OPENAI,
        .summary = "One model",
        .params = &model_param,
        .replies = NX_REPLIES(
            {.status = 200, .about = "It is here.", .body = &model, .example = MODEL_EXAMPLE}),
        .handle = nx_handle_v1_model,
    },
    {
        .method = "POST",
        .path = "/v1/tokenize",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_OPENAI,
        .summary = "From text to tokens",
        .request = &tokenize_request,
        .example = "{\"text\": \"Once upon a time\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "The tokens.",
                               .body = &tokenize_response,
                               .example = "{\"tokens\": [1, 403, 407, 261, 378], \"count\": 5, "
                                          "\"max_model_len\": 2048}"}),
        .handle = nx_handle_v1_tokenize,
    },
    {
        .method = "POST",
        .path = "/v1/detokenize",
        .scope = NX_SCOPE_INFER,
        .dialect = NX_DIALECT_OPENAI,
        .summary = "From tokens to text",
        .request = &detokenize_request,
        .example = "{\"tokens\": [403, 407, 261, 378]}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "The text.",
                               .body = &detokenize_response,
                               .example = "{\"text\": \"Once upon a time\"}"}),
        .handle = nx_handle_v1_detokenize,
    },
};

const nx_route_group nx_routes_openai = {
    .tag = "OpenAI",
    .about =
        "As OpenAI's clients speak: set their base URL to `/v1`. Fields that aren't listed are "
        "ignored; null counts as absent. Errors are `{\"error\": {\"message\", \"type\", "
        "\"param\", \"code\"}}`.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
