/* routes_qdrant.c - the routes of collections, as Qdrant's clients know them: what they hold, other names,
 * indexes, snapshots. Points: routes_qdrant_points.c. */
#include "server/route_tables.h"

/* ---- Answers ---- */

const nx_fields nx_qd_said_true =
    NX_FIELDS("QdrantDone", NX_F_BOOL("result", NULL, .required = true), NX_QD_F_ENVELOPE);

static const nx_fields update_result =
    NX_FIELDS("QdrantUpdateResult",
              NX_F_INT("operation_id", "The number of the request in the collection.",
                       .required = true, .range = NX_FROM(0)),
              NX_F_STRING("status", "completed: it is on the disk and readers see it (?wait=true).",
                          .required = true, .choices = "acknowledged|completed"));

const nx_fields nx_qd_said_update = NX_FIELDS(
    "QdrantUpdated", NX_F_OBJECT("result", NULL, .required = true, .fields = &update_result),
    NX_QD_F_ENVELOPE);

/* ---- Names in paths, and queries ---- */

const nx_fields nx_qd_of_collection = NX_FIELDS(
    "QdrantCollectionName",
    NX_F_STRING("collection_name", "The collection's name, or an alias of it.", .required = true));

static const nx_fields of_field = NX_FIELDS(
    "QdrantFieldName",
    NX_F_STRING("collection_name", "The collection's name, or an alias of it.", .required = true),
    NX_F_STRING("field_name", "The path in payloads.", .required = true));

static const nx_fields of_snapshot = NX_FIELDS(
    "QdrantSnapshotName",
    NX_F_STRING("collection_name", "The collection's name, or an alias of it.", .required = true),
    NX_F_STRING("snapshot_name", "The snapshot's name, with .snapshot.", .required = true));

static const nx_fields query_upload = NX_FIELDS(
    "QdrantUploadQuery", NX_F_BOOL("wait", "Without effect: it is done when it is answered."),
    NX_F_STRING("priority", "Without effect on one node.", .choices = "no_sync|snapshot|replica"),
    NX_F_STRING("checksum", "SHA-256 of the file; checked where it is given."));

const nx_fields nx_qd_query_write = NX_FIELDS(
    "QdrantWriteQuery",
    NX_F_BOOL("wait", "Answer when it is on the disk and readers see it.", .preset = "false"),
    NX_F_STRING("ordering", "Without effect on one node.", .choices = "weak|medium|strong"),
    NX_F_INT("timeout", "Seconds; without effect.", .range = NX_FROM(1)));

const nx_fields nx_qd_query_read = NX_FIELDS(
    "QdrantReadQuery",
    NX_F_STRING("consistency", "A number, majority, quorum or all; without effect on one node."),
    NX_F_INT("timeout", "Seconds; without effect.", .range = NX_FROM(1)));

static const nx_fields query_timeout = NX_FIELDS(
    "QdrantTimeoutQuery", NX_F_INT("timeout", "Seconds; without effect.", .range = NX_FROM(1)));

/* ---- Configuration ---- */

static const nx_fields hnsw =
    NX_FIELDS("QdrantHnswConfig", NX_F_INT("m", NULL, .nullable = true, .range = NX_FROM(0)),
              NX_F_INT("ef_construct", NULL, .nullable = true, .range = NX_FROM(4)),
              NX_F_INT("full_scan_threshold", NULL, .nullable = true, .range = NX_FROM(0)),
              NX_F_INT("max_indexing_threads", NULL, .nullable = true, .range = NX_FROM(0)),
              NX_F_BOOL("on_disk", NULL, .nullable = true),
              NX_F_INT("payload_m", NULL, .nullable = true, .range = NX_FROM(0)));

static const nx_fields creation = NX_FIELDS(
    "QdrantCreateCollection",
    NX_F_OBJECT(
        "vectors",
        "One vector's {size, distance}, or such by names. Of ours: model and prompt, with which "
        "texts are embedded.",
        .nullable = true),
    NX_F_MAP("sparse_vectors", "By names: {modifier: idf}.", .nullable = true,
             .of = NX_ONE(.kind = NX_FIELD_OBJECT, .nullable = true)),
    NX_F_OBJECT("hnsw_config", "Kept as words: every search is exact.", .nullable = true,
                .fields = &hnsw),
    NX_F_OBJECT(
        "quantization_config",
        "scalar: 8-bit codes beside the vectors, scanned first; other kinds are kept as words.",
        .nullable = true),
    NX_F_OBJECT("optimizers_config", "Kept as words.", .nullable = true),
    NX_F_OBJECT("wal_config", "Kept as words.", .nullable = true),
    NX_F_BOOL("on_disk_payload", "Kept as a word.", .nullable = true),
    NX_F_INT("shard_number", "Kept as a word.", .nullable = true, .range = NX_FROM(1)),
    NX_F_INT("replication_factor", "Kept as a word.", .nullable = true, .range = NX_FROM(1)),
    NX_F_INT("write_consistency_factor", "Kept as a word.", .nullable = true, .range = NX_FROM(1)),
    NX_F_OBJECT("strict_mode_config", "Kept as words.", .nullable = true),
    NX_F_OBJECT("metadata", "The caller's own.", .nullable = true));

static const nx_fields change = NX_FIELDS(
    "QdrantUpdateCollection",
    NX_F_OBJECT("vectors", "Words by names of vectors; \"\" is the only one.", .nullable = true),
    NX_F_OBJECT("sparse_vectors", NULL, .nullable = true),
    NX_F_OBJECT("params", NULL, .nullable = true),
    NX_F_OBJECT("hnsw_config", NULL, .nullable = true, .fields = &hnsw),
    NX_F_OBJECT("optimizers_config", NULL, .nullable = true),
    NX_F_ANY("quantization_config",
             "Words, or \"Disabled\": how vectors are stored stays as it is.", .nullable = true),
    NX_F_OBJECT("strict_mode_config", NULL, .nullable = true),
    NX_F_OBJECT("metadata", "Merged.", .nullable = true));

static const nx_fields alias_changes = NX_FIELDS(
    "QdrantChangeAliases",
    NX_F_ARRAY("actions",
               "Each an object with one member: create_alias, delete_alias, rename_alias.",
               .required = true, .of = NX_ONE(.kind = NX_FIELD_OBJECT)));

static const nx_fields index_schema = NX_FIELDS(
    "QdrantCreateIndex",
    NX_F_STRING("field_name", "The path in payloads.", .required = true, .range = NX_FROM(1)),
    NX_F_ANY("field_schema",
             "keyword, integer, float, bool, geo, datetime, uuid, text, or {type, ...}.",
             .nullable = true));

static const nx_fields nothing = {.name = "QdrantCreateSnapshot", .list = NX_LIST({0})};

static const nx_fields recovery = NX_FIELDS(
    "QdrantRecoverSnapshot",
    NX_F_STRING("location", "file:// and the path of a snapshot that this server made.",
                .required = true),
    NX_F_STRING("priority", "Without effect on one node.", .nullable = true,
                .choices = "no_sync|snapshot|replica"),
    NX_F_STRING("checksum", "SHA-256 of the file; checked where it is given.", .nullable = true),
    NX_F_STRING("api_key", "Without effect.", .nullable = true));

/* ---- What is told ---- */

static const nx_fields one_name =
    NX_FIELDS("QdrantCollectionDescription", NX_F_STRING("name", NULL, .required = true));

static const nx_fields names = NX_FIELDS(
    "QdrantCollectionList", NX_F_ARRAY("collections", NULL, .required = true,
                                       .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &one_name)));

static const nx_fields said_names =
    NX_FIELDS("QdrantCollections", NX_F_OBJECT("result", NULL, .required = true, .fields = &names),
              NX_QD_F_ENVELOPE);

static const nx_fields existence =
    NX_FIELDS("QdrantExistence", NX_F_BOOL("exists", NULL, .required = true));

static const nx_fields said_exists =
    NX_FIELDS("QdrantExists", NX_F_OBJECT("result", NULL, .required = true, .fields = &existence),
              NX_QD_F_ENVELOPE);

static const nx_fields info = NX_FIELDS(
    "QdrantCollectionInfo",
    NX_F_STRING("status", NULL, .required = true, .choices = "green|yellow|grey|red"),
    NX_F_ANY("optimizer_status", "ok, or {error}.", .required = true),
    NX_F_INT("indexed_vectors_count", "In a graph: 0, every search is exact."),
    NX_F_INT("points_count", NULL, .range = NX_FROM(0)),
    NX_F_INT("segments_count", NULL, .required = true, .range = NX_FROM(0)),
    NX_F_OBJECT("config", "What its creator gave, with Qdrant's defaults.", .required = true),
    NX_F_OBJECT("payload_schema", "Indexes, by path.", .required = true));

static const nx_fields said_info =
    NX_FIELDS("QdrantCollection", NX_F_OBJECT("result", NULL, .required = true, .fields = &info),
              NX_QD_F_ENVELOPE);

static const nx_fields one_alias =
    NX_FIELDS("QdrantAliasDescription", NX_F_STRING("alias_name", NULL, .required = true),
              NX_F_STRING("collection_name", NULL, .required = true));

static const nx_fields aliases = NX_FIELDS(
    "QdrantAliasList", NX_F_ARRAY("aliases", NULL, .required = true,
                                  .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &one_alias)));

static const nx_fields said_aliases =
    NX_FIELDS("QdrantAliases", NX_F_OBJECT("result", NULL, .required = true, .fields = &aliases),
              NX_QD_F_ENVELOPE);

static const nx_fields said_snapshots =
    NX_FIELDS("QdrantSnapshots",
              NX_F_ARRAY("result", NULL, .required = true, .of = NX_ONE(.kind = NX_FIELD_OBJECT)),
              NX_QD_F_ENVELOPE);

static const nx_fields said_object =
    NX_FIELDS("QdrantAnswer", NX_F_OBJECT("result", NULL, .required = true), NX_QD_F_ENVELOPE);

/* ---- Routes ---- */

static const nx_route routes[] = {
    {
        .method = "GET",
        .path = "/collections",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Collections",
        .query = &query_timeout,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Those that the key may see.",
             .body = &said_names,
             .example =
                 "{\"result\": {\"collections\": [{\"name\": \"docs\"}]}, \"status\": \"ok\", \"time\": 0.0001}"}),
        .handle = nx_handle_qd_collections,
    },
    {
        .method = "GET",
        .path = "/collections/{collection_name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "A collection",
        .params = &nx_qd_of_collection,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "What it holds and how it was made.",
             .body = &said_info,
             .example =
                 "{\"result\": {\"status\": \"green\", \"optimizer_status\": \"ok\", \"indexed_vectors_count\": 0, \"points_count\": 2, \"segments_count\": 1, \"config\": {\"params\": {\"vectors\": {\"size\": 4, \"distance\": \"Cosine\"}}}, \"payload_schema\": {}}, \"status\": \"ok\", \"time\": 0.0002}"}),
        .handle = nx_handle_qd_collection,
    },
    {
        .method = "PUT",
        .path = "/collections/{collection_name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Make a collection",
        .params = &nx_qd_of_collection,
        .query = &query_timeout,
        .request = &creation,
        .example = "{\"vectors\": {\"size\": 384, \"distance\": \"Cosine\"}}",
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "Done.",
                        .body = &nx_qd_said_true,
                        .example = "{\"result\": true, \"status\": \"ok\", \"time\": 0.002}"},
                       {.status = 409, .about = "There is one of that name."},
                       {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_collection_create,
    },
    {
        .method = "PATCH",
        .path = "/collections/{collection_name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Change the words of a collection",
        .params = &nx_qd_of_collection,
        .query = &query_timeout,
        .request = &change,
        .example = "{\"metadata\": {\"owner\": \"alice\"}}",
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "Done.",
                        .body = &nx_qd_said_true,
                        .example = "{\"result\": true, \"status\": \"ok\", \"time\": 0.002}"}),
        .handle = nx_handle_qd_collection_patch,
    },
    {
        .method = "DELETE",
        .path = "/collections/{collection_name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Drop a collection",
        .about = "With all in it; false: there was none of that name.",
        .params = &nx_qd_of_collection,
        .query = &query_timeout,
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "Done.",
                        .body = &nx_qd_said_true,
                        .example = "{\"result\": true, \"status\": \"ok\", \"time\": 0.002}"}),
        .handle = nx_handle_qd_collection_drop,
    },
    {
        .method = "GET",
        .path = "/collections/{collection_name}/exists",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Is there a collection of that name?",
        .params = &nx_qd_of_collection,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Whether there is.",
             .body = &said_exists,
             .example = "{\"result\": {\"exists\": true}, \"status\": \"ok\", \"time\": 0.0001}"}),
        .handle = nx_handle_qd_collection_exists,
    },
    {
        .method = "POST",
        .path = "/collections/aliases",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Change aliases",
        .about = "All of them, or none.",
        .query = &query_timeout,
        .request = &alias_changes,
        .example =
            "{\"actions\": [{\"create_alias\": {\"collection_name\": \"docs-2\", \"alias_name\": \"docs\"}}]}",
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "Done.",
                        .body = &nx_qd_said_true,
                        .example = "{\"result\": true, \"status\": \"ok\", \"time\": 0.002}"},
                       {.status = 404, .about = "There is no such collection, or no such alias."},
                       {.status = 409, .about = "There is a collection of that name."}),
        .handle = nx_handle_qd_aliases_change,
    },
    {
        .method = "GET",
        .path = "/aliases",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Aliases",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Those of collections that the key may see.",
             .body = &said_aliases,
             .example =
                 "{\"result\": {\"aliases\": [{\"alias_name\": \"docs\", \"collection_name\": \"docs-2\"}]}, \"status\": \"ok\", \"time\": 0.0001}"}),
        .handle = nx_handle_qd_aliases,
    },
    {
        .method = "GET",
        .path = "/collections/{collection_name}/aliases",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Aliases of a collection",
        .params = &nx_qd_of_collection,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Its aliases.",
             .body = &said_aliases,
             .example =
                 "{\"result\": {\"aliases\": [{\"alias_name\": \"docs\", \"collection_name\": \"docs-2\"}]}, \"status\": \"ok\", \"time\": 0.0001}"}),
        .handle = nx_handle_qd_collection_aliases,
    },
    {
        .method = "PUT",
        .path = "/collections/{collection_name}/index",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Index a path of payloads",
        .about = "What is there is indexed meanwhile. One of the same path is replaced.",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &index_schema,
        .example = "{\"field_name\": \"city\", \"field_schema\": \"keyword\"}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"}),
        .handle = nx_handle_qd_index_create,
    },
    {
        .method = "DELETE",
        .path = "/collections/{collection_name}/index/{field_name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Drop an index",
        .params = &of_field,
        .query = &nx_qd_query_write,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"}),
        .handle = nx_handle_qd_index_drop,
    },
    {
        .method = "GET",
        .path = "/collections/{collection_name}/snapshots",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Snapshots of a collection",
        .params = &nx_qd_of_collection,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Those that were made.",
             .body = &said_snapshots,
             .example =
                 "{\"result\": [{\"name\": \"docs-1795648512345-2026-11-25-23-15-12.snapshot\", \"creation_time\": \"2026-11-25T23:15:12\", \"size\": 4096, \"checksum\": null}], \"status\": \"ok\", \"time\": 0.01}"}),
        .handle = nx_handle_qd_snapshots,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/snapshots",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Make a snapshot",
        .about = "One file with all that readers see now; writers go on meanwhile.",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &nothing,
        .bodyless = true,
        .example = "{}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "It is on the disk.",
             .body = &said_object,
             .example =
                 "{\"result\": {\"name\": \"docs-1795648512345-2026-11-25-23-15-12.snapshot\", \"creation_time\": \"2026-11-25T23:15:12\", \"size\": 4096, \"checksum\": null}, \"status\": \"ok\", \"time\": 0.01}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_snapshot_create,
    },
    {
        .method = "GET",
        .path = "/collections/{collection_name}/snapshots/{snapshot_name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Fetch a snapshot",
        .params = &of_snapshot,
        .replies =
            NX_REPLIES({.status = 200, .about = "The file.", .type = "application/octet-stream"}),
        .handle = nx_handle_qd_snapshot,
    },
    {
        .method = "DELETE",
        .path = "/collections/{collection_name}/snapshots/{snapshot_name}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Drop a snapshot",
        .params = &of_snapshot,
        .query = &nx_qd_query_write,
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "Done.",
                        .body = &nx_qd_said_true,
                        .example = "{\"result\": true, \"status\": \"ok\", \"time\": 0.002}"}),
        .handle = nx_handle_qd_snapshot_drop,
    },
    {
        .method = "PUT",
        .path = "/collections/{collection_name}/snapshots/recover",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Make a collection from a snapshot of this server",
        .about =
            "In the place of the one of that name, in one step, once every byte of the file was checked.",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &recovery,
        .example = "{\"location\": \"file:///data/snapshots/docs/docs-1.snapshot\"}",
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "Done.",
                        .body = &nx_qd_said_true,
                        .example = "{\"result\": true, \"status\": \"ok\", \"time\": 0.002}"}),
        .handle = nx_handle_qd_snapshot_recover,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/snapshots/upload",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Make a collection from a snapshot that is sent",
        .about = "A file of our own format, as GET gives it, as the first part of the form.",
        .params = &nx_qd_of_collection,
        .query = &query_upload,
        .upload = true,
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "Done.",
                        .body = &nx_qd_said_true,
                        .example = "{\"result\": true, \"status\": \"ok\", \"time\": 0.002}"}),
        .handle = nx_handle_qd_snapshot_upload,
    },
    {
        .method = "GET",
        .path = "/collections/{collection_name}/cluster",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Where a collection lies",
        .about = "One shard, here.",
        .params = &nx_qd_of_collection,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Its only shard.",
             .body = &said_object,
             .example =
                 "{\"result\": {\"peer_id\": 0, \"shard_count\": 1, \"local_shards\": [{\"shard_id\": 0, \"points_count\": 2, \"state\": \"Active\"}], \"remote_shards\": [], \"shard_transfers\": []}, \"status\": \"ok\", \"time\": 0.0001}"}),
        .handle = nx_handle_qd_collection_cluster,
    },
    {
        .method = "GET",
        .path = "/cluster",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Is this a cluster?",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "It is one node.",
             .body = &said_object,
             .example =
                 "{\"result\": {\"status\": \"disabled\"}, \"status\": \"ok\", \"time\": 0.0001}"}),
        .handle = nx_handle_qd_cluster,
    },
};

const nx_route_group nx_routes_qdrant = {
    .tag = "Collections",
    .about =
        "Points with vectors and payloads, in the words of Qdrant's REST API. Errors are `{\"status\": "
        "{\"error\": \"...\"}, \"time\": s}`, of keys plain text.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
