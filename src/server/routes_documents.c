/* routes_documents.c - the routes by which documents come in, are looked at and go: handle_documents.c,
 * handle_upload.c, handle_rag_jobs.c.
 */
#include "server/rag_config.h"
#include "server/route_tables.h"

#define UUID_EXAMPLE "7b8ad1f2-6a4e-5a1c-9d30-2f6f0b2f1c11"
#define JOB_EXAMPLE  "0f0c7a52-6f0e-4a63-9a57-6d9c1a1f8e22"

#define F_COUNT(name, about_) NX_F_INT(name, about_, .required = true, .range = NX_FROM(0))
#define F_TEXTS(name, about_)                                                                      \
    NX_F_ARRAY(name, about_, .of = NX_ONE(.kind = NX_FIELD_STRING, .range = NX_FROM(1)))
#define Q_LIMIT    NX_F_INT("limit", "At most so many.", .range = NX_BETWEEN(1, 1000), .preset = "100")
#define Q_ANYWHERE NX_F_STRING("collection", "Where it is. Absent: whichever collection has it.")

/* ---- Documents ---- */

#define DOCUMENT_FIELDS                                                                            \
    NX_F_STRING("document_id", "A UUID made of its source.", .required = true),                    \
        NX_F_STRING("collection", NULL, .required = true),                                         \
        NX_F_STRING("source", "A path, a URL, or an upload's name.", .required = true),            \
        NX_F_STRING("title", NULL, .required = true),                                              \
        NX_F_STRING("state",                                                                       \
                    "queued: it is kept, and will be read; words: words find it, vectors follow; " \
                    "ready; failed: error says why.",                                              \
                    .required = true, .choices = "queued|words|ready|failed"),                     \
        NX_F_STRING("type", "markdown, pdf, ..."), NX_F_STRING("encoding", "As it was found."),    \
        NX_F_STRING("origin",                                                                      \
                    "What positions are bytes of: the file, or the text that was made of it.",     \
                    .required = true, .choices = "file|text"),                                     \
        NX_F_STRING("place", "What its pages are.", .choices = "page|slide|sheet"),                \
        NX_F_INT("pages", NULL, .range = NX_FROM(1)), F_COUNT("bytes", "Of the file."),            \
        F_COUNT("text_bytes", "Of its text."), F_COUNT("chunks", NULL),                            \
        F_COUNT("tokens", "Of what is embedded."),                                                 \
        NX_F_INT("indexed_at", "Unix time.", .required = true),                                    \
        NX_F_STRING("modified", "The file's time, RFC 3339."), NX_F_STRING("error", NULL),         \
        NX_F_STRING("warnings", "What was left out, a line each."),                                \
        NX_F_ANY("access_tags", "Who may see it; absent: everybody who reads the collection."),    \
        NX_F_OBJECT("metadata", "What came with it.")

#define DOCUMENT_EXAMPLE                                                                           \
    "{\"document_id\": \"" UUID_EXAMPLE "\", \"collection\": \"papers\", \"source\": "             \
    "\"lease.md\", \"title\": \"Lease\", \"state\": \"ready\", \"type\": \"markdown\", "           \
    "\"encoding\": \"utf-8\", \"origin\": \"file\", \"bytes\": 4210, \"text_bytes\": 4210, "       \
    "\"chunks\": 6, \"tokens\": 1034, \"indexed_at\": 1795648512, \"metadata\": {\"year\": 2026}}"

static const nx_fields document = {.name = "RagDocumentRecord", .list = NX_LIST(DOCUMENT_FIELDS)};

static const nx_fields documents =
    NX_FIELDS("RagDocuments", NX_F_STRING("collection", NULL, .required = true),
              F_COUNT("total", "Of all that fit the question."),
              NX_F_ARRAY("documents", NULL, .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &document)),
              NX_F_STRING("next_offset", "To be asked for next; null: these were the last.",
                          .required = true, .nullable = true));

static const nx_fields list_query = NX_FIELDS(
    "RagDocumentsQuery",
    NX_F_STRING("collection", "Whose documents.", .preset = "\"" NX_RAG_COLLECTION "\""),
    NX_F_STRING("source", "The one of this source alone."),
    NX_F_STRING("state", "Those in this state alone.", .choices = "queued|words|ready|failed"),
    Q_LIMIT, NX_F_STRING("offset", "next_offset of the answer before."));

static const nx_fields of_document =
    NX_FIELDS("RagDocumentPath", NX_F_STRING("id", "The document's UUID.", .required = true));

static const nx_fields where_query = NX_FIELDS("RagDocumentQuery", Q_ANYWHERE);

static const nx_fields delete_query = NX_FIELDS(
    "RagDocumentDeleteQuery",
    NX_F_STRING("collection", "Whose document.", .preset = "\"" NX_RAG_COLLECTION "\""),
    NX_F_STRING("source", "Its path, URL, or name.", .required = true, .range = NX_FROM(1)));

static const nx_fields deleted = NX_FIELDS(
    "RagDocumentDeleted", NX_F_STRING("status", NULL, .required = true, .choices = "deleted"),
    NX_F_STRING("document_id", NULL, .required = true));

static const nx_fields skip = NX_FIELDS("RagSkip", NX_F_STRING("source", NULL, .required = true),
                                        NX_F_STRING("reason", NULL, .required = true));

static const nx_fields named =
    NX_FIELDS("RagDocumentNamed", NX_F_STRING("document_id", NULL, .required = true),
              NX_F_STRING("source", NULL, .required = true));

static const nx_fields accepted =
    NX_FIELDS("RagUpload", NX_F_STRING("status", NULL, .required = true, .choices = "accepted"),
              NX_F_STRING("job_id", "For GET /rag/jobs/{id}.", .required = true),
              NX_F_STRING("collection", NULL, .required = true),
              NX_F_ARRAY("documents", "What was kept.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &named)),
              NX_F_ARRAY("skipped", "What wasn't, and why.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &skip)));

/* ---- Chunks and bytes ---- */

static const nx_fields chunk = NX_FIELDS(
    "RagChunk", NX_F_STRING("id", "Of its point.", .required = true),
    F_COUNT("chunk_id", "From 0 within the document."), NX_F_STRING("text", NULL, .required = true),
    F_COUNT("start_pos", "Bytes of what /content gives: from here ..."),
    F_COUNT("end_pos", "... up to here."), F_COUNT("start_char", "The same in characters."),
    F_COUNT("end_char", NULL), F_COUNT("tokens", "Of what is embedded."),
    F_TEXTS("headings", "What it stands under, the outermost first."),
    NX_F_STRING("context", "The head of its table."), NX_F_INT("page", NULL, .range = NX_FROM(1)),
    NX_F_INT("page_end", NULL, .range = NX_FROM(1)));

static const nx_fields chunks = NX_FIELDS(
    "RagChunks", NX_F_STRING("document_id", NULL, .required = true),
    NX_F_STRING("source", NULL, .required = true), F_COUNT("total", "That the document has."),
    NX_F_ARRAY("chunks", NULL, .required = true,
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &chunk)));

static const nx_fields chunks_query = NX_FIELDS(
    "RagChunksQuery", Q_ANYWHERE, Q_LIMIT,
    NX_F_INT("offset", "The first chunk_id that is wanted.", .range = NX_FROM(0), .preset = "0"));

static const nx_fields content_query = NX_FIELDS(
    "RagContentQuery", Q_ANYWHERE,
    NX_F_STRING("range",
                "BEGIN-END: bytes from BEGIN up to, not with, END; as start_pos and end_pos "
                "of chunks and citations. Absent: all."),
    NX_F_STRING("source", "true: of the file as it came, not of its text.", .choices = "true|false",
                .preset = "\"false\""));

/* ---- Jobs ---- */

static const nx_fields job = {
    .name = "RagJob",
    .about = "How a job stands: files first, then the vectors of their chunks.",
    .list = NX_LIST(
        NX_F_STRING("job_id", NULL, .required = true),
        NX_F_STRING("kind", NULL, .required = true, .choices = "index|upload|reindex"),
        NX_F_STRING("collection", NULL, .required = true),
        NX_F_INT("created_at", "Unix time.", .required = true),
        NX_F_STRING("phase", "words: files are read; vectors: words find them all by now.",
                    .required = true, .choices = "words|vectors|done|failed|cancelled"),
        NX_F_BOOL("walked", "found is all of them.", .required = true), F_COUNT("found", "Files."),
        F_COUNT("looked_at", NULL), F_COUNT("added", NULL), F_COUNT("changed", NULL),
        F_COUNT("unchanged", NULL), F_COUNT("removed", NULL), F_COUNT("skipped", NULL),
        F_COUNT("bytes", "Of what was read."), F_COUNT("chunks", NULL), F_COUNT("chunks_new", NULL),
        F_COUNT("chunks_gone", NULL), F_COUNT("embedded", "Chunks that got their vector."),
        F_COUNT("to_embed", NULL), NX_F_NUMBER("seconds", "So far.", .range = NX_FROM(0)),
        F_TEXTS("document_ids", "Of an upload."), NX_F_STRING("current", "What it is at."),
        NX_F_STRING("error", "Of one that failed."),
        NX_F_ARRAY("skips", "Files that were left out, and why.", .required = true,
                   .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &skip)))};

#define JOB_STATE(phase_, embedded_)                                                               \
    "{\"job_id\": \"" JOB_EXAMPLE "\", \"kind\": \"upload\", \"collection\": \"papers\", "         \
    "\"created_at\": 1795648512, \"phase\": \"" phase_ "\", \"walked\": true, \"found\": 2, "      \
    "\"looked_at\": 2, \"added\": 2, \"changed\": 0, \"unchanged\": 0, \"removed\": 0, "           \
    "\"skipped\": 0, \"bytes\": 8120, \"chunks\": 11, \"chunks_new\": 0, \"chunks_gone\": 0, "     \
    "\"embedded\": " embedded_ ", \"to_embed\": 11, \"document_ids\": [\"" UUID_EXAMPLE            \
    "\"], \"skips\": []}"

static const nx_fields jobs =
    NX_FIELDS("RagJobs", NX_F_ARRAY("jobs", "The newest first.", .required = true,
                                    .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &job)));

static const nx_fields jobs_query = NX_FIELDS("RagJobsQuery", Q_LIMIT);

static const nx_fields of_job =
    NX_FIELDS("RagJobPath", NX_F_STRING("id", "As job_id.", .required = true));

static const nx_fields index_wish = NX_FIELDS(
    "AdminIndex",
    NX_F_ARRAY("paths",
               "Files and folders, absolute, on the server's machine; URLs of allow_hosts.",
               .required = true, .range = NX_BETWEEN(1, 10000),
               .of = NX_ONE(.kind = NX_FIELD_STRING, .range = NX_FROM(1))),
    NX_F_STRING("collection", "Made where missing.", .range = NX_FROM(1),
                .preset = "\"" NX_RAG_COLLECTION "\""),
    NX_F_STRING("model",
                "Of a collection that is made: the embedding model. Absent: the first there "
                "is.",
                .nullable = true),
    F_TEXTS("exclude", "Patterns of names that are left out."),
    F_TEXTS("tags", "Access tags that the documents get."),
    F_TEXTS("allow_hosts", "Hosts whose URLs may be fetched."),
    NX_F_OBJECT("metadata", "That the documents get."),
    NX_F_INT("chunk_size", "Tokens.", .range = NX_BETWEEN(16, 1 << 20)),
    NX_F_INT("chunk_overlap", "Tokens; less than chunk_size.", .range = NX_BETWEEN(0, 1 << 20)),
    NX_F_BOOL("hidden", "Names that begin with a dot, too.", .preset = "false"),
    NX_F_BOOL("keep_gone", "Keep documents whose files are gone.", .preset = "false"));

static const nx_fields reindex_wish = NX_FIELDS(
    "AdminReindex", NX_F_STRING("collection", NULL, .required = true, .range = NX_FROM(1)),
    NX_F_STRING("model", "The embedding model to move to.", .required = true, .range = NX_FROM(1)));

static const nx_fields begun =
    NX_FIELDS("RagJobBegun", NX_F_STRING("status", NULL, .required = true, .choices = "accepted"),
              NX_F_STRING("job_id", NULL, .required = true));

#define BEGUN                                                                                      \
    NX_REPLIES({.status = 202,                                                                     \
                .about = "It has begun.",                                                          \
                .body = &begun,                                                                    \
                .example = "{\"status\": \"accepted\", \"job_id\": \"" JOB_EXAMPLE "\"}"},         \
               {.status = 503, .about = "Too many jobs, or one that is in the way."})

static const nx_route routes[] = {
    {
        .method = "POST",
        .path = "/rag/documents",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Documents in, as a form",
        .about =
            "multipart/form-data: any number of files, of at most 64 MiB each and 128 MiB "
            "together, and fields beside them: collection_name, metadata (a JSON object), "
            "access_tags (a JSON array, or names divided by commas). A file's name is its "
            "source: one of the same name takes its place. When the answer comes, the files are "
            "kept; words find them soon, vectors follow.",
        .upload = true,
        .replies = NX_REPLIES(
            {.status = 202,
             .about = "They are on the disk, and will be read.",
             .body = &accepted,
             .example = "{\"status\": \"accepted\", \"job_id\": \"" JOB_EXAMPLE
                        "\", \"collection\": \"papers\", \"documents\": [{\"document_id\": "
                        "\"" UUID_EXAMPLE "\", \"source\": \"lease.md\"}], \"skipped\": []}"}),
        .handle = nx_handle_rag_documents_upload,
    },
    {
        .method = "GET",
        .path = "/rag/documents",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "The documents of a collection",
        .query = &list_query,
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "By their ids.",
                        .body = &documents,
                        .example = "{\"collection\": \"papers\", \"total\": 1, \"documents\": "
                                   "[" DOCUMENT_EXAMPLE "], \"next_offset\": null}"}),
        .handle = nx_handle_rag_documents,
    },
    {
        .method = "DELETE",
        .path = "/rag/documents",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Delete the document of a source",
        .query = &delete_query,
        .replies = NX_REPLIES({.status = 200,
                               .about = "It is gone with all its chunks.",
                               .body = &deleted,
                               .example = "{\"status\": \"deleted\", \"document_id\": "
                                          "\"" UUID_EXAMPLE "\"}"}),
        .handle = nx_handle_rag_documents_delete,
    },
    {
        .method = "GET",
        .path = "/rag/documents/{id}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "One document",
        .params = &of_document,
        .query = &where_query,
        .replies = NX_REPLIES({.status = 200,
                               .about = "As its record says.",
                               .body = &document,
                               .example = DOCUMENT_EXAMPLE}),
        .handle = nx_handle_rag_document,
    },
    {
        .method = "DELETE",
        .path = "/rag/documents/{id}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Delete a document",
        .params = &of_document,
        .query = &where_query,
        .replies = NX_REPLIES({.status = 200,
                               .about = "It is gone with all its chunks.",
                               .body = &deleted,
                               .example = "{\"status\": \"deleted\", \"document_id\": "
                                          "\"" UUID_EXAMPLE "\"}"}),
        .handle = nx_handle_rag_document_delete,
    },
    {
        .method = "GET",
        .path = "/rag/documents/{id}/chunks",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "The chunks of a document",
        .params = &of_document,
        .query = &chunks_query,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "In the document's order.",
             .body = &chunks,
             .example = "{\"document_id\": \"" UUID_EXAMPLE
                        "\", \"source\": \"lease.md\", \"total\": 6, \"chunks\": [{\"id\": "
                        "\"3d1c7a52-6f0e-5a63-9a57-6d9c1a1f8e22\", \"chunk_id\": 0, \"text\": "
                        "\"The lease ends in May.\", \"start_pos\": 120, \"end_pos\": 142, "
                        "\"start_char\": 120, \"end_char\": 142, \"tokens\": 12, \"headings\": "
                        "[\"Term\"]}]}"}),
        .handle = nx_handle_rag_document_chunks,
    },
    {
        .method = "GET",
        .path = "/rag/documents/{id}/content",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Bytes of a document",
        .about =
            "Of what positions are in: the file where it is plain text, the text that was made "
            "of it elsewhere. So a citation can be shown in its place. x-total-bytes says how "
            "many there are.",
        .params = &of_document,
        .query = &content_query,
        .replies = NX_REPLIES({.status = 200,
                               .about = "The bytes of the range.",
                               .type = "text/plain; charset=utf-8",
                               .example = "The lease ends in May."},
                              {.status = 200,
                               .about = "With source=true: of the file as it came.",
                               .type = "application/octet-stream"}),
        .handle = nx_handle_rag_document_content,
    },
    {
        .method = "GET",
        .path = "/rag/jobs",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Jobs of this key",
        .about = "Of the server's last start. A key of scope admin sees all.",
        .query = &jobs_query,
        .replies = NX_REPLIES({.status = 200,
                               .about = "How each stands.",
                               .body = &jobs,
                               .example = "{\"jobs\": [" JOB_STATE("done", "11") "]}"}),
        .handle = nx_handle_rag_jobs,
    },
    {
        .method = "GET",
        .path = "/rag/jobs/{id}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "How a job stands",
        .about =
            "With Accept: text/event-stream an event for each change, about once a second, until "
            "it is over.",
        .params = &of_job,
        .replies = NX_REPLIES(
            {.status = 200, .about = "Now.", .body = &job, .example = JOB_STATE("vectors", "4")},
            {.status = 200,
             .about = "As it goes.",
             .body = &job,
             .type = "text/event-stream",
             .example = "data: " JOB_STATE("done", "11") "\n\ndata: [DONE]\n\n"}),
        .handle = nx_handle_rag_job,
    },
    {
        .method = "DELETE",
        .path = "/rag/jobs/{id}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_SEED,
        .summary = "Cancel a job",
        .about = "What it did stays. Files of an upload that were not read yet, and had no version "
                 "before, are taken away.",
        .params = &of_job,
        .replies = NX_REPLIES({.status = 200,
                               .about = "How it stands; it stops soon.",
                               .body = &job,
                               .example = JOB_STATE("cancelled", "4")}),
        .handle = nx_handle_rag_job_cancel,
    },
    {
        .method = "POST",
        .path = "/admin/index",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Index files and folders of the server's machine",
        .about = "Through the control socket only: what nexus index asks.",
        .request = &index_wish,
        .example = "{\"paths\": [\"/home/ann/papers\"], \"collection\": \"papers\"}",
        .replies = BEGUN,
        .handle = nx_handle_admin_index,
    },
    {
        .method = "POST",
        .path = "/admin/reindex",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Move a collection to another embedding model",
        .about =
            "Through the control socket only. The old vectors serve until the new ones are all "
            "there.",
        .request = &reindex_wish,
        .example = "{\"collection\": \"papers\", \"model\": \"balanced\"}",
        .replies = BEGUN,
        .handle = nx_handle_admin_reindex,
    },
};

const nx_route_group nx_routes_documents = {
    .tag = "Documents",
    .about = "Documents in collections: in, looked at, out; and jobs over them.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
