/* routes_rag.c - the routes under /rag that read, /rag/index, and /llm/rag: the contract of the service that
 * Nexus takes the place of, where its names, defaults and ranges stand. What we add may be left out and may
 * be overlooked.
 *
 * Scope: rag, for all of them. An answer without documents needs infer as well (handle_rag_llm.c).
 */
#include "server/rag_config.h"
#include "server/route_tables.h"

enum { DOCUMENTS_MAX = 10000, HISTORY_MAX = 256, TAGS_MAX = 64 };

/* ---- Fields that several have ---- */

#define F_QUERY                                                                                    \
    NX_F_STRING("query", "The question, or words.", .required = true,                              \
                .range = NX_BETWEEN(1, 100000))
#define F_COLLECTION                                                                               \
    NX_F_STRING("collection_name", "The collection of documents.", .nullable = true,               \
                .range = NX_UP_TO(255), .preset = "\"" NX_RAG_COLLECTION "\"")
#define F_INCLUDE_METADATA                                                                         \
    NX_F_BOOL("include_metadata", "Tell where each text is from, and the settings.",               \
              .preset = "true")
#define F_TOP_K                                                                                    \
    NX_F_INT("top_k", "How many at most. Absent: what /rag/config says.",                          \
             .range = NX_BETWEEN(1, NX_RAG_TOP_K_MAX), .preset = "5", .nullable = true)
#define F_FILTER                                                                                   \
    NX_F_OBJECT("filter",                                                                          \
                "Only documents for which this holds: a filter as the collections API "            \
                "has it.",                                                                         \
                .nullable = true)
#define F_RERANK                                                                                   \
    NX_F_STRING("rerank",                                                                          \
                "The name of a reranker of this server, which puts the best passages in their "    \
                "last order.",                                                                     \
                .nullable = true, .range = NX_FROM(1))
#define F_DOCUMENT                                                                                 \
    NX_F_STRING("document_id", "Only of this document: its UUID.", .nullable = true,               \
                .range = NX_FROM(1))
#define F_MESSAGE NX_F_STRING("message", "Where nothing was found: why.")
#define F_PRIVACY NX_F_BOOL("privacy_enabled", "Always false.", .required = true)

static const nx_fields metadata = {
    .name = "RagMetadata",
    .about = "Where a text is from; and what was given with its document.",
    .list = NX_LIST(
        NX_F_INT("chunk_id", "Counted from 0 within the document.", .required = true,
                 .range = NX_FROM(0)),
        NX_F_INT("start_pos", "Bytes of the file, or of its extraction (origin).", .required = true,
                 .range = NX_FROM(0)),
        NX_F_INT("end_pos", NULL, .required = true, .range = NX_FROM(0)),
        NX_F_INT("start_char", "The same in characters.", .required = true, .range = NX_FROM(0)),
        NX_F_INT("end_char", NULL, .required = true, .range = NX_FROM(0)),
        NX_F_INT("chunk_size", "Characters.", .required = true, .range = NX_FROM(0)),
        NX_F_STRING("doc_id", "UUID of the document.", .required = true),
        NX_F_STRING("source", "A path, a URL, a name.", .required = true),
        NX_F_STRING("title", NULL, .required = true),
        NX_F_ARRAY("headings", "The path down to it.", .of = NX_ONE(.kind = NX_FIELD_STRING)),
        NX_F_STRING("origin", "What positions are in.", .required = true, .choices = "file|text"),
        NX_F_INT("page", "From 1, where there are pages.", .range = NX_FROM(1)),
        NX_F_INT("page_end", NULL, .range = NX_FROM(1)),
        NX_F_STRING("place", "What page counts: page, slide or sheet.")),
};

static const nx_fields found_document = NX_FIELDS(
    "RagFoundDocument", NX_F_STRING("text", "As it stands there.", .required = true),
    NX_F_NUMBER("score", "The cosine of question and text; 0 where it is less.", .required = true),
    NX_F_STRING("id", "Of the passage.", .required = true),
    NX_F_OBJECT("metadata", "Unless include_metadata is false.", .fields = &metadata),
    NX_F_STRING("explain", "Where it was asked for: why it was found."));

#define METADATA_EXAMPLE                                                                           \
    "{\"chunk_id\": 0, \"start_pos\": 0, \"end_pos\": 51, \"start_char\": 0, \"end_char\": 51, "   \
    "\"chunk_size\": 51, \"doc_id\": \"b0e8a3c0-4f8d-5a52-9f0e-7a1f0d8c2b11\", \"source\": "       \
    "\"notes.txt\", \"title\": \"notes.txt\", \"origin\": \"file\"}"
#define TEXT_EXAMPLE "\"text\": \"The page cache keeps parts of files in free memory.\""
#define FOUND_EXAMPLE                                                                              \
    "{" TEXT_EXAMPLE ", \"score\": 0.8213, \"id\": \"0c5d9a8e-6a0c-5a5e-8a44-5a1c2c9d7e01\", "     \
    "\"metadata\": " METADATA_EXAMPLE "}"

/* ---- /rag/index ---- */

static const nx_fields given_document = NX_FIELDS(
    "RagGivenDocument", NX_F_STRING("text", "The text.", .required = true, .range = NX_FROM(1)),
    NX_F_OBJECT("metadata",
                "Anything. \"id\", \"doc_id\" or \"source\" say which document it is: one that is "
                "there already is replaced. \"title\" is its title.",
                .nullable = true),
    NX_F_ARRAY("access_tags", "Keys that are bound to tags see it only with one of these.",
               .nullable = true, .range = NX_UP_TO(TAGS_MAX),
               .of = NX_ONE(.kind = NX_FIELD_STRING, .range = NX_BETWEEN(1, 255))));

static const nx_fields index_request =
    NX_FIELDS("RagIndexRequest",
              NX_F_ARRAY("documents", "What to keep.", .required = true,
                         .range = NX_BETWEEN(1, DOCUMENTS_MAX),
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &given_document)),
              F_COLLECTION);

static const nx_fields indexed = NX_FIELDS(
    "RagIndexed", NX_F_STRING("status", NULL, .required = true, .choices = "success"),
    NX_F_INT("documents_indexed", NULL, .required = true, .range = NX_FROM(1)),
    NX_F_INT("chunks_created", "Of all of them together.", .required = true, .range = NX_FROM(0)),
    NX_F_STRING("collection", NULL, .required = true),
    NX_F_INT("vector_size", "Numbers of each vector.", .required = true, .range = NX_FROM(1)),
    F_PRIVACY,
    NX_F_ARRAY("document_ids", "In the order of the documents.", .required = true,
               .of = NX_ONE(.kind = NX_FIELD_STRING)));

/* ---- /rag/search ---- */

static const nx_fields search_request =
    NX_FIELDS("RagSearchRequest", F_QUERY, F_COLLECTION, F_TOP_K,
              NX_F_NUMBER("min_score",
                          "Cosine of question and text at least; 0 counts, too. Absent: what "
                          "/rag/config says.",
                          .range = NX_BETWEEN(0, 1), .preset = "0.7", .nullable = true),
              F_INCLUDE_METADATA,
              NX_F_STRING("search", "By meaning and words together, or by one of them.",
                          .choices = "hybrid|dense|words", .preset = "\"hybrid\""),
              F_FILTER, F_DOCUMENT, F_RERANK,
              NX_F_BOOL("explain", "Say why each was found.", .preset = "false"));

static const nx_fields search_config =
    NX_FIELDS("RagSearchConfig", NX_F_INT("top_k", NULL, .required = true),
              NX_F_NUMBER("min_score", NULL, .required = true),
              NX_F_STRING("collection", NULL, .required = true));

static const nx_fields search_response =
    NX_FIELDS("RagSearchResponse", NX_F_STRING("query", "As it was sent.", .required = true),
              NX_F_INT("num_results", NULL, .required = true, .range = NX_FROM(0)),
              NX_F_ARRAY("documents", "Best first.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &found_document)),
              NX_F_OBJECT("config", "null where include_metadata is false.", .required = true,
                          .nullable = true, .fields = &search_config),
              F_MESSAGE);

/* ---- /rag/query ---- */

static const nx_fields query_request =
    NX_FIELDS("RagQueryRequest", F_QUERY, F_COLLECTION, F_INCLUDE_METADATA);

static const nx_fields query_config =
    NX_FIELDS("RagQueryConfig", NX_F_INT("top_k", NULL, .required = true),
              NX_F_NUMBER("min_score", NULL, .required = true), F_PRIVACY,
              NX_F_STRING("model", "Which model embedded the question.", .required = true));

static const nx_fields query_response = NX_FIELDS(
    "RagQueryResponse", NX_F_STRING("query", "As it was sent.", .required = true),
    NX_F_STRING("context", "Ready to be put before a question; empty where nothing was found.",
                .required = true),
    NX_F_INT("num_docs", NULL, .required = true, .range = NX_FROM(0)),
    NX_F_ARRAY("retrieved_documents", "null where include_metadata is false.", .required = true,
               .nullable = true, .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &found_document)),
    NX_F_OBJECT("config", "null where include_metadata is false.", .required = true,
                .nullable = true, .fields = &query_config),
    F_MESSAGE);

/* ---- Collections, cache, health ---- */

static const nx_fields name_param =
    NX_FIELDS("RagCollectionPath",
              NX_F_STRING("name", "The collection's.", .required = true, .range = NX_FROM(1)));

static const nx_fields nothing = NX_FIELDS("RagNothing", NX_F_ANY("ignored", "No field counts."));

#define F_CACHE(what)                                                                              \
    NX_F_INT("cache_size", what " that are kept.", .required = true, .range = NX_FROM(0)),         \
        NX_F_INT("max_size", "How many at most.", .required = true, .range = NX_FROM(0)),          \
        NX_F_NUMBER("hit_rate", "Of the requests, those that were there.", .required = true,       \
                    .range = NX_BETWEEN(0, 1)),                                                    \
        NX_F_INT("total_requests", NULL, .required = true, .range = NX_FROM(0))

static const nx_fields vector_cache = NX_FIELDS("RagVectorCache", F_CACHE("Vectors of texts"));

static const nx_fields cache_stats =
    NX_FIELDS("RagCacheStats", F_CACHE("Searches"),
              NX_F_OBJECT("vectors", "Of all loaded models that embed.", .required = true,
                          .fields = &vector_cache));

static const nx_fields health = NX_FIELDS(
    "RagHealth", NX_F_STRING("status", NULL, .required = true, .choices = "healthy|unhealthy"),
    NX_F_BOOL("gpu_available", NULL, .required = true), F_PRIVACY,
    NX_F_STRING("embedding_model", "null: there is none.", .required = true, .nullable = true),
    NX_F_STRING("collection_name", "Where nobody names one.", .required = true),
    NX_F_STRING("detail", "What is wrong."));

/* ---- /rag/collections/{name} ---- */

#define F_TEMPLATE                                                                                 \
    NX_F_STRING("template",                                                                        \
                "How a question and its passages are put to a language model: a text with "        \
                "{question}, and {passages} or {context}; what stands before a line --- is the "   \
                "system message. null: the built-in one.",                                         \
                .nullable = true, .range = NX_BETWEEN(0, 65536))

static const nx_fields collection_request = NX_FIELDS("RagCollectionRequest", F_TEMPLATE);

static const nx_fields collection_response =
    NX_FIELDS("RagCollection", NX_F_STRING("collection", NULL, .required = true),
              NX_F_STRING("model", "The embedding model.", .required = true),
              NX_F_INT("vector_size", NULL, .required = true),
              NX_F_STRING("chunk_unit", NULL, .required = true, .choices = "tokens|characters"),
              NX_F_INT("chunk_size", "0: what suits the model.", .required = true),
              NX_F_INT("chunk_overlap", NULL, .required = true),
              NX_F_STRING("language", "Of the search by words.", .required = true), F_TEMPLATE);

#define COLLECTION_EXAMPLE                                                                         \
    "{\"collection\": \"handbook\", \"model\": \"all-minilm-l6-v2\", \"vector_size\": 384, "       \
    "\"chunk_unit\": \"tokens\", \"chunk_size\": 0, \"chunk_overlap\": 0, \"language\": "          \
    "\"english\", \"template\": null}"

/* ---- /rag/config ---- */

#define F_PRIVACY_ASKED                                                                            \
    NX_F_BOOL("enable_privacy", "true is refused with 501: not built in yet.", .nullable = true)

static const nx_fields config_request = NX_FIELDS(
    "RagConfigRequest",
    NX_F_INT("top_k", NULL, .range = NX_BETWEEN(1, NX_RAG_TOP_K_MAX), .nullable = true),
    NX_F_NUMBER("min_score", NULL, .range = NX_BETWEEN(0, 1), .nullable = true),
    NX_F_INT("chunk_size", "Characters, of /rag/index.",
             .range = NX_BETWEEN(NX_RAG_CHUNK_SIZE_MIN, NX_RAG_CHUNK_SIZE_MAX), .nullable = true),
    NX_F_INT("chunk_overlap", "Characters; less than chunk_size.",
             .range = NX_BETWEEN(0, NX_RAG_CHUNK_OVERLAP_MAX), .nullable = true),
    F_PRIVACY_ASKED,
    NX_F_NUMBER("privacy_epsilon", NULL, .range = NX_BETWEEN(0.1, 10), .nullable = true));

static const nx_fields updated =
    NX_FIELDS("RagUpdatedFields", NX_F_INT("top_k", NULL), NX_F_NUMBER("min_score", NULL),
              NX_F_INT("chunk_size", NULL), NX_F_INT("chunk_overlap", NULL),
              NX_F_BOOL("enable_privacy", NULL), NX_F_NUMBER("privacy_epsilon", NULL));

static const nx_fields current =
    NX_FIELDS("RagCurrentConfig", NX_F_INT("top_k", NULL, .required = true),
              NX_F_NUMBER("min_score", NULL, .required = true),
              NX_F_INT("chunk_size", NULL, .required = true),
              NX_F_INT("chunk_overlap", NULL, .required = true),
              NX_F_BOOL("enable_privacy", NULL, .required = true),
              NX_F_NUMBER("privacy_epsilon", NULL, .required = true));

static const nx_fields config_response = NX_FIELDS(
    "RagConfigResponse", NX_F_STRING("status", NULL, .required = true, .choices = "success"),
    NX_F_OBJECT("updated_fields", "Those of the request, as they are now.", .required = true,
                .fields = &updated),
    NX_F_OBJECT("current_config", "All of them.", .required = true, .fields = &current));

static const nx_fields not_yet =
    NX_FIELDS("RagNotYet", NX_F_STRING("detail", "What isn't there yet.", .required = true));

/* ---- /llm/rag/query ---- */

static const nx_fields turn =
    NX_FIELDS("RagTurn",
              NX_F_STRING("role", "Who said it.", .required = true,
                          .choices = "system|user|assistant|tool|developer"),
              NX_F_STRING("content", "What was said.", .required = true));

#define F_TURNS(name_)                                                                             \
    NX_F_ARRAY(name_, "What was said before, oldest first: the question is understood after it.",  \
               .nullable = true, .range = NX_UP_TO(HISTORY_MAX),                                   \
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &turn))

static const nx_fields ask_request = NX_FIELDS(
    "RagAskRequest", F_QUERY, F_COLLECTION,
    NX_F_INT("max_new_tokens", "How many tokens at most. What is left of the context caps it.",
             .range = NX_BETWEEN(1, 4096), .limit = NX_LIMIT_NEW_TOKENS, .preset = "512"),
    NX_F_NUMBER("temperature", "How freely to choose; 0: always the likeliest token.",
                .range = NX_BETWEEN(0, 2), .preset = "0.7"),
    NX_F_BOOL("use_rag", "false: the model alone answers.", .preset = "true"),
    NX_F_BOOL("include_sources", "List what the answer is from.", .preset = "true"),
    NX_F_BOOL("stream", "Send the answer as it is born, as server-sent events.", .preset = "false"),
    NX_F_STRING("mode",
                "extract: sentences of the documents, word for word, no model asked; generate: the "
                "model answers. Absent: generate, where a model beyond the small shipped one is "
                "there to answer.",
                .choices = "extract|generate", .nullable = true),
    F_TOP_K,
    NX_F_NUMBER("min_score",
                "Cosine of question and text at least. Absent: what is relevant is "
                "judged by cosine and words together.",
                .range = NX_BETWEEN(0, 1), .nullable = true),
    F_FILTER, F_RERANK,
    NX_F_STRING("document_id",
                "Only of this document, by its UUID; all of it, where it fits the context.",
                .nullable = true, .range = NX_FROM(1)),
    NX_F_STRING("context", "A text to answer from, instead of documents.", .nullable = true,
                .range = NX_BETWEEN(1, 1000000)),
    F_TURNS("history"), F_TURNS("messages"),
    NX_F_BOOL("explain", "Tell how the passages were found.", .preset = "false"),
    NX_F_INT("seed", "The same seed gives the same text. Absent: a random one.",
             .range = NX_FROM(0), .nullable = true),
    NX_F_STOP, NX_F_MODEL);

static const nx_fields source = NX_FIELDS(
    "RagSource", NX_F_INT("number", "As the answer cites it: [1].", .required = true),
    NX_F_STRING("text", "Its first 200 characters.", .required = true),
    NX_F_NUMBER("score", "The cosine of question and text; 0 where it is less.", .required = true),
    NX_F_OBJECT("metadata", NULL, .required = true, .fields = &metadata),
    NX_F_BOOL("used", "Does the answer cite it? Absent in a stream, where it isn't known yet."));

static const nx_fields citation = NX_FIELDS(
    "RagCitation", NX_F_INT("number", "As it stands in the answer: [1].", .required = true),
    NX_F_STRING("document_id", NULL, .required = true),
    NX_F_STRING("source", NULL, .required = true), NX_F_STRING("title", NULL, .required = true),
    NX_F_INT("page", NULL, .required = true, .nullable = true),
    NX_F_INT("start_pos", "Bytes of the document's text.", .required = true, .range = NX_FROM(0)),
    NX_F_INT("end_pos", NULL, .required = true, .range = NX_FROM(0)),
    NX_F_BOOL("quoted", "The answer has it word for word.", .required = true),
    NX_F_STRING("text", "What stands there.", .required = true));

static const nx_fields ask_usage =
    NX_FIELDS("RagUsage", NX_F_INT("prompt_tokens", NULL, .required = true, .range = NX_FROM(0)),
              NX_F_INT("completion_tokens", NULL, .required = true, .range = NX_FROM(0)),
              NX_F_INT("total_tokens", NULL, .required = true, .range = NX_FROM(0)),
              NX_F_INT("cached_tokens", NULL, .required = true, .range = NX_FROM(0)));

#define F_SOURCES(required_)                                                                       \
    NX_F_ARRAY("sources", "What the answer is from, or what the model read.",                      \
               .required = (required_), .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &source))
#define F_CITATIONS(required_)                                                                     \
    NX_F_ARRAY("citations", "In the order of the answer; every place was looked up.",              \
               .required = (required_),                                                            \
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &citation))
#define F_MODE(required_)                                                                          \
    NX_F_STRING("mode", "How it was answered; plain: without documents.", .required = (required_), \
                .choices = "extract|generate|plain")
#define F_ANSWERED_BY(required_)                                                                   \
    NX_F_STRING("model", "Which model answered; null: none was asked.", .required = (required_),   \
                .nullable = true)
#define F_FINISH(required_)                                                                        \
    NX_F_STRING("finish_reason", "length: max_new_tokens, or the end of the context.",             \
                .required = (required_), .choices = "stop|length")

static const nx_fields ask_response = NX_FIELDS(
    "RagAskResponse", NX_F_STRING("query", "As it was sent.", .required = true),
    NX_F_STRING("answer", NULL, .required = true), NX_F_BOOL("used_rag", NULL, .required = true),
    F_SOURCES(true),
    NX_F_INT("num_sources", "Also where include_sources is false.", .required = true,
             .range = NX_FROM(0)),
    F_CITATIONS(true), F_MODE(true), F_ANSWERED_BY(true), F_FINISH(true),
    NX_F_OBJECT("usage", "Tokens of this request.", .required = true, .fields = &ask_usage),
    F_MESSAGE, NX_F_STRING("question", "As it was understood after the conversation."),
    NX_F_NUMBER("confidence", "Of an extract.", .range = NX_BETWEEN(0, 1)),
    NX_F_OBJECT("explain", "Where it was asked for."));

static const nx_fields ask_event = NX_FIELDS(
    "RagAskEvent",
    NX_F_STRING("type", "In this order; an event with \"error\" ends an answer that failed.",
                .required = true, .choices = "metadata|sources|token|done"),
    NX_F_STRING("query", "metadata."), NX_F_BOOL("used_rag", "metadata."),
    NX_F_INT("num_sources", "metadata.", .range = NX_FROM(0)), F_SOURCES(false),
    NX_F_STRING("content", "token: the next piece of the text."), F_CITATIONS(false),
    NX_F_ARRAY("used", "done: numbers of the sources that the answer cites.",
               .of = NX_ONE(.kind = NX_FIELD_INT)),
    NX_F_STRING("answer", "done: where the text differs from the pieces, since a number of no "
                          "source was taken out."),
    F_MODE(false), F_ANSWERED_BY(false), F_FINISH(false),
    NX_F_OBJECT("usage", "done.", .fields = &ask_usage), F_MESSAGE,
    NX_F_OBJECT("explain", "done: where it was asked for."));

#define SOURCE_EXAMPLE(more)                                                                       \
    "{\"number\": 1, " TEXT_EXAMPLE ", \"score\": 0.8213, \"metadata\": " METADATA_EXAMPLE more "}"
#define CITATIONS_EXAMPLE                                                                          \
    "\"citations\": [{\"number\": 1, \"document_id\": \"b0e8a3c0-4f8d-5a52-9f0e-7a1f0d8c2b11\", "  \
    "\"source\": \"notes.txt\", \"title\": \"notes.txt\", \"page\": null, \"start_pos\": 0, "      \
    "\"end_pos\": 51, \"quoted\": true, " TEXT_EXAMPLE "}]"
#define END_EXAMPLE                                                                                \
    "\"mode\": \"extract\", \"model\": null, \"finish_reason\": \"stop\", \"usage\": "             \
    "{\"prompt_tokens\": 0, \"completion_tokens\": 0, \"total_tokens\": 0, \"cached_tokens\": 0}"

/* ---- The toggle ---- */

static const nx_fields toggled =
    NX_FIELDS("RagToggled", NX_F_STRING("status", NULL, .required = true, .choices = "success"),
              NX_F_BOOL("rag_enabled", "As it is now, also after a restart.", .required = true));

static const nx_fields llm_status = NX_FIELDS(
    "RagStatus", NX_F_BOOL("rag_enabled", NULL, .required = true),
    NX_F_STRING("llm_model", "null: there is none.", .required = true, .nullable = true),
    NX_F_BOOL("llm_loaded", "Is it in memory?", .required = true),
    NX_F_STRING("rag_collection", "Where nobody names one.", .required = true),
    NX_F_STRING("embedding_model", "null: there is none.", .required = true, .nullable = true),
    NX_F_INT("max_context_docs", "Passages of one answer at most.", .required = true,
             .range = NX_FROM(1)),
    NX_F_STRING("default_mode", "Of a question that says none.", .required = true,
                .choices = "extract|generate"));

#define DISK_FULL                                                                                  \
    {                                                                                              \
        .status = 507, .about = "The disk is full: nothing was changed.", .body = &not_yet,        \
        .example = "{\"detail\": \"no room on the disk\"}"                                         \
    }

static const nx_route routes[] = {
    {
        .method = "POST",
        .path = "/rag/index",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Keep texts, so that questions find them",
        .about = "When the reply comes, words and meaning find them. The same text twice makes no "
                 "double. A collection that isn't there is made.",
        .request = &index_request,
        .example = "{\"documents\": [{\"text\": \"The page cache keeps parts of files in free "
                   "memory.\", \"metadata\": {\"source\": \"notes.txt\"}}]}",
        .replies = NX_REPLIES({.status = 201,
                               .about = "They are kept.",
                               .body = &indexed,
                               .example = "{\"status\": \"success\", \"documents_indexed\": 1, "
                                          "\"chunks_created\": 1, \"collection\": "
                                          "\"knowledge_base\", \"vector_size\": 384, "
                                          "\"privacy_enabled\": false, \"document_ids\": "
                                          "[\"b0e8a3c0-4f8d-5a52-9f0e-7a1f0d8c2b11\"]}"},
                              DISK_FULL),
        .handle = nx_handle_rag_index,
    },
    {
        .method = "POST",
        .path = "/rag/search",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "The passages that matter",
        .request = &search_request,
        .example = "{\"query\": \"What does the page cache keep?\", \"top_k\": 5, \"min_score\": "
                   "0.3}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "What was found, or why nothing.",
             .body = &search_response,
             .example = "{\"query\": \"What does the page cache keep?\", \"num_results\": 1, "
                        "\"documents\": [" FOUND_EXAMPLE "], \"config\": {\"top_k\": 5, "
                        "\"min_score\": 0.3, \"collection\": \"knowledge_base\"}}"}),
        .handle = nx_handle_rag_search,
    },
    {
        .method = "POST",
        .path = "/rag/query",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "A context for a question",
        .request = &query_request,
        .example = "{\"query\": \"What does the page cache keep?\"}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "The passages as one text, and one by one.",
             .body = &query_response,
             .example =
                 "{\"query\": \"What does the page cache keep?\", \"context\": \"Context "
                 "Information:\\n\\n[Document 1] (relevance: 0.82)\\nThe page cache keeps parts of "
                 "files in free memory.\\n\", \"num_docs\": 1, \"retrieved_documents\": "
                 "[" FOUND_EXAMPLE "], \"config\": {\"top_k\": 5, \"min_score\": 0.7, "
                 "\"privacy_enabled\": false, \"model\": \"all-minilm-l6-v2\"}}"}),
        .handle = nx_handle_rag_query,
    },
    {
        .method = "GET",
        .path = "/rag/collections",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Collections of documents",
        .replies = NX_REPLIES({.status = 200,
                               .about = "A list of names: those that the key may read.",
                               .type = "application/json",
                               .texts = true,
                               .example = "[\"handbook\", \"knowledge_base\"]"}),
        .handle = nx_handle_rag_collections,
    },
    {
        .method = "GET",
        .path = "/rag/collections/{name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "What a collection of documents is set to",
        .params = &name_param,
        .replies = NX_REPLIES({.status = 200,
                               .about = "As it is in force.",
                               .body = &collection_response,
                               .example = COLLECTION_EXAMPLE},
                              {.status = 422,
                               .about = "It isn't made of documents.",
                               .body = &not_yet,
                               .example = "{\"detail\": \"points: not made of documents\"}"}),
        .handle = nx_handle_rag_collection,
    },
    {
        .method = "PATCH",
        .path = "/rag/collections/{name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Change the template of a collection",
        .params = &name_param,
        .request = &collection_request,
        .example =
            "{\"template\": \"Answer from these texts alone.\\n---\\n{passages}\\n\\n{question}\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "As it is in force now, and after a restart.",
                               .body = &collection_response,
                               .example = COLLECTION_EXAMPLE}),
        .handle = nx_handle_rag_collection_change,
    },
    {
        .method = "DELETE",
        .path = "/rag/collections/{name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Drop a collection with all its documents",
        .params = &name_param,
        .replies = NX_REPLIES({.status = 204, .about = "It is gone."},
                              {.status = 422,
                               .about = "It isn't made of documents.",
                               .body = &not_yet,
                               .example = "{\"detail\": \"points: not made of documents\"}"}),
        .handle = nx_handle_rag_collection_drop,
    },
    {
        .method = "GET",
        .path = "/rag/cache/stats",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "What the caches hold",
        .replies = NX_REPLIES(
            {.status = 200,
             .about =
                 "Searches whose answer is kept, each for the access tags that it was asked with.",
             .body = &cache_stats,
             .example =
                 "{\"cache_size\": 12, \"max_size\": 10000, \"hit_rate\": 0.25, \"total_requests\": 16, \"vectors\": {\"cache_size\": 12, \"max_size\": 10000, \"hit_rate\": 0.25, \"total_requests\": 16}}"}),
        .handle = nx_handle_rag_cache_stats,
    },
    {
        .method = "POST",
        .path = "/rag/cache/clear",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Forget what is cached",
        .request = &nothing,
        .bodyless = true,
        .example = "{}",
        .replies = NX_REPLIES({.status = 204, .about = "They are forgotten."}),
        .handle = nx_handle_rag_cache_clear,
    },
    {
        .method = "GET",
        .path = "/rag/health",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Can documents be kept and found?",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "They can.",
             .body = &health,
             .example = "{\"status\": \"healthy\", \"gpu_available\": false, \"privacy_enabled\": "
                        "false, \"embedding_model\": \"all-minilm-l6-v2\", \"collection_name\": "
                        "\"knowledge_base\"}"},
            {.status = 503,
             .about = "The disk refuses, or no model embeds.",
             .body = &health,
             .example = "{\"status\": \"unhealthy\", \"gpu_available\": false, "
                        "\"privacy_enabled\": false, \"embedding_model\": null, "
                        "\"collection_name\": \"knowledge_base\", \"detail\": \"there is no model "
                        "that embeds: start the server with one\"}"}),
        .handle = nx_handle_rag_health,
    },
    {
        .method = "PATCH",
        .path = "/rag/config",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Change the settings",
        .about = "They hold for everybody, and after a restart. A key that is bound to "
                 "collections, reading or tags changes nothing.",
        .request = &config_request,
        .example = "{\"top_k\": 8, \"min_score\": 0.4}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "In force.",
             .body = &config_response,
             .example = "{\"status\": \"success\", \"updated_fields\": {\"top_k\": 8, "
                        "\"min_score\": 0.4}, \"current_config\": {\"top_k\": 8, \"min_score\": "
                        "0.4, \"chunk_size\": 512, \"chunk_overlap\": 50, \"enable_privacy\": "
                        "false, \"privacy_epsilon\": 1}}"},
            {.status = 501,
             .about = "enable_privacy isn't built in yet.",
             .body = &not_yet,
             .example = "{\"detail\": \"enable_privacy: private search isn't built into this "
                        "server yet; nothing was changed\"}"},
            DISK_FULL),
        .handle = nx_handle_rag_config,
    },
    {
        .method = "POST",
        .path = "/llm/rag/query",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Answer a question from documents",
        .about = "With sources, and citations that lead back to bytes of a document. Where the "
                 "documents don't tell, the answer says so. Without documents (use_rag false, or "
                 "/llm/rag/disable) the key needs the scope infer as well.",
        .request = &ask_request,
        .example = "{\"query\": \"What does the page cache keep?\"}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "The answer.",
             .body = &ask_response,
             .example =
                 "{\"query\": \"What does the page cache keep?\", \"answer\": \"The page cache "
                 "keeps parts of files in free memory. [1]\", \"used_rag\": true, \"sources\": "
                 "[" SOURCE_EXAMPLE(", \"used\": true") "], \"num_sources\": 1, " CITATIONS_EXAMPLE
                                                        ", " END_EXAMPLE ", \"confidence\": 0.93}"},
            {.status = 200,
             .about = "With \"stream\": true: metadata, sources (the passages that are read), "
                      "tokens, done, then `data: [DONE]`. If the answer can't be finished, an "
                      "event with \"error\" comes instead of done.",
             .body = &ask_event,
             .type = "text/event-stream",
             .example =
                 "data: {\"type\": \"metadata\", \"query\": \"What does the page cache keep?\", "
                 "\"used_rag\": true, \"num_sources\": 1}\n\ndata: {\"type\": \"sources\", "
                 "\"sources\": [" SOURCE_EXAMPLE(
                     "") "]}\n\ndata: {\"type\": \"token\", \"content\": \"The page cache\"}\n\n"
                         "data: {\"type\": \"done\", " CITATIONS_EXAMPLE
                         ", \"used\": [1], " END_EXAMPLE "}\n\ndata: [DONE]\n\n"}),
        .handle = nx_handle_llm_rag_query,
    },
    {
        .method = "POST",
        .path = "/llm/rag/enable",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Answer from documents",
        .request = &nothing,
        .bodyless = true,
        .example = "{}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "From now on.",
                               .body = &toggled,
                               .example = "{\"status\": \"success\", \"rag_enabled\": true}"},
                              DISK_FULL),
        .handle = nx_handle_llm_rag_enable,
    },
    {
        .method = "POST",
        .path = "/llm/rag/disable",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Answer without documents",
        .about = "/llm/rag/query then asks the model alone.",
        .request = &nothing,
        .bodyless = true,
        .example = "{}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "From now on.",
                               .body = &toggled,
                               .example = "{\"status\": \"success\", \"rag_enabled\": false}"},
                              DISK_FULL),
        .handle = nx_handle_llm_rag_disable,
    },
    {
        .method = "GET",
        .path = "/llm/rag/status",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "How questions to documents are answered",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Now.",
             .body = &llm_status,
             .example = "{\"rag_enabled\": true, \"llm_model\": \"mini\", \"llm_loaded\": true, "
                        "\"rag_collection\": \"knowledge_base\", \"embedding_model\": "
                        "\"all-minilm-l6-v2\", \"max_context_docs\": 5, \"default_mode\": "
                        "\"extract\"}"}),
        .handle = nx_handle_llm_rag_status,
    },
};

const nx_route_group nx_routes_rag = {
    .tag = "Questions",
    .about =
        "Texts in, cited answers out. Every route sees what the key may see. Faults of a field "
        "are told as `{\"detail\": [{\"loc\", \"msg\", \"type\"}]}`, all others as "
        "`{\"detail\": \"...\"}`.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
