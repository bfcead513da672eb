/* routes_qdrant_points.c - the routes of points, as Qdrant's clients know them. */
#include "server/route_tables.h"

/* ---- What is asked ---- */

static const nx_fields of_point = NX_FIELDS(
    "QdrantPointName",
    NX_F_STRING("collection_name", "The collection's name, or an alias of it.", .required = true),
    NX_F_STRING("id", "A number or a UUID.", .required = true));

#define F_FILTER(about) NX_F_OBJECT("filter", about, .nullable = true)
#define F_POINTS                                                                                   \
    NX_F_ARRAY("points", "Ids: numbers, or UUIDs.", .nullable = true,                              \
               .of = NX_ONE(.kind = NX_FIELD_ANY))
#define F_PARTS                                                                                    \
    NX_F_ANY("with_payload", "true, false, keys, {include}, {exclude}.", .nullable = true),        \
        NX_F_ANY("with_vector", "true, false, or names.", .nullable = true)

static const nx_fields upsert = {
    .name = "QdrantUpsert",
    .list = NX_LIST(
        NX_F_ARRAY("points", "Each with id, vector, payload.", .nullable = true,
                   .of = NX_ONE(.kind = NX_FIELD_ANY)),
        NX_F_OBJECT("batch", "The same in columns: ids, vectors, payloads.", .nullable = true),
        NX_F_OBJECT("update_filter", "Of points that are there, only those are replaced.",
                    .nullable = true),
        NX_F_STRING("update_mode", NULL, .nullable = true,
                    .choices = "upsert|insert_only|update_only")),
    .any = "points|batch",
};

static const nx_fields selection = {
    .name = "QdrantPointsSelector",
    .list = NX_LIST(F_POINTS, F_FILTER("Those for which it holds.")),
    .any = "points|filter",
};

static const nx_fields payload_set = {
    .name = "QdrantSetPayload",
    .list = NX_LIST(NX_F_OBJECT("payload", NULL, .required = true), F_POINTS,
                    F_FILTER("Those for which it holds."),
                    NX_F_STRING("key", "The path at which it is merged.", .nullable = true)),
    .any = "points|filter",
};

static const nx_fields payload_delete = {
    .name = "QdrantDeletePayload",
    .list = NX_LIST(
        NX_F_ARRAY("keys", "Paths.", .required = true, .of = NX_ONE(.kind = NX_FIELD_STRING)),
        F_POINTS, F_FILTER("Those for which it holds.")),
    .any = "points|filter",
};

static const nx_fields vectors_update =
    NX_FIELDS("QdrantUpdateVectors",
              NX_F_ARRAY("points", "Each with id and vector.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT)),
              NX_F_OBJECT("update_filter", "Only points for which it holds.", .nullable = true));

static const nx_fields vectors_delete = {
    .name = "QdrantDeleteVectors",
    .list = NX_LIST(
        NX_F_ARRAY("vector", "Names.", .required = true, .of = NX_ONE(.kind = NX_FIELD_STRING)),
        F_POINTS, F_FILTER("Those for which it holds.")),
    .any = "points|filter",
};

static const nx_fields batch = NX_FIELDS(
    "QdrantUpdateOperations",
    NX_F_ARRAY("operations",
               "Each an object with one member: upsert, delete, set_payload, overwrite_payload, "
               "delete_payload, clear_payload, update_vectors or delete_vectors.",
               .required = true, .of = NX_ONE(.kind = NX_FIELD_OBJECT)));

static const nx_fields by_ids = NX_FIELDS(
    "QdrantPointRequest",
    NX_F_ARRAY("ids", NULL, .required = true, .of = NX_ONE(.kind = NX_FIELD_ANY)), F_PARTS);

static const nx_fields scroll =
    NX_FIELDS("QdrantScroll", NX_F_ANY("offset", "The id to begin at.", .nullable = true),
              NX_F_INT("limit", NULL, .nullable = true, .range = NX_FROM(1), .preset = "10"),
              F_FILTER("Those for which it holds."), F_PARTS,
              NX_F_ANY("order_by",
                       "A path with an index of numbers or times, or {key, direction, start_from}.",
                       .nullable = true));

static const nx_fields count = NX_FIELDS(
    "QdrantCount", F_FILTER("Those for which it holds."),
    NX_F_BOOL("exact", "Without effect: it always is.", .nullable = true, .preset = "true"));

/* ---- What is told ---- */

static const nx_fields record = NX_FIELDS("QdrantRecord", NX_F_ANY("id", NULL, .required = true),
                                          NX_F_OBJECT("payload", NULL), NX_F_ANY("vector", NULL));

static const nx_fields said_records =
    NX_FIELDS("QdrantRecords",
              NX_F_ARRAY("result", NULL, .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &record)),
              NX_QD_F_ENVELOPE);

static const nx_fields said_record =
    NX_FIELDS("QdrantOneRecord", NX_F_OBJECT("result", NULL, .required = true, .fields = &record),
              NX_QD_F_ENVELOPE);

static const nx_fields page =
    NX_FIELDS("QdrantScrollResult",
              NX_F_ARRAY("points", NULL, .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &record)),
              NX_F_ANY("next_page_offset", "Where the next page begins; null: this is the last.",
                       .required = true, .nullable = true));

static const nx_fields said_page =
    NX_FIELDS("QdrantScrolled", NX_F_OBJECT("result", NULL, .required = true, .fields = &page),
              NX_QD_F_ENVELOPE);

static const nx_fields number =
    NX_FIELDS("QdrantCountResult", NX_F_INT("count", NULL, .required = true, .range = NX_FROM(0)));

static const nx_fields said_count =
    NX_FIELDS("QdrantCounted", NX_F_OBJECT("result", NULL, .required = true, .fields = &number),
              NX_QD_F_ENVELOPE);

static const nx_fields said_updates =
    NX_FIELDS("QdrantUpdatedMany",
              NX_F_ARRAY("result", NULL, .required = true, .of = NX_ONE(.kind = NX_FIELD_OBJECT)),
              NX_QD_F_ENVELOPE);

/* ---- Routes ---- */

static const nx_route routes[] = {
    {
        .method = "PUT",
        .path = "/collections/{collection_name}/points",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Put points in, or in the place of others",
        .about = "The whole request, or nothing.",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &upsert,
        .example =
            "{\"points\": [{\"id\": 1, \"vector\": [0.1, 0.2, 0.3, 0.4], \"payload\": {\"city\": \"Berlin\"}}]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_points_upsert,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Points by ids",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_read,
        .request = &by_ids,
        .example = "{\"ids\": [1], \"with_payload\": true}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Those that are there.",
             .body = &said_records,
             .example =
                 "{\"result\": [{\"id\": 1, \"payload\": {\"city\": \"Berlin\"}}], \"status\": \"ok\", \"time\": 0.0003}"}),
        .handle = nx_handle_qd_points_get,
    },
    {
        .method = "GET",
        .path = "/collections/{collection_name}/points/{id}",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "A point",
        .params = &of_point,
        .query = &nx_qd_query_read,
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "It, with all it has.",
             .body = &said_record,
             .example =
                 "{\"result\": {\"id\": 1, \"payload\": {\"city\": \"Berlin\"}}, \"status\": \"ok\", \"time\": 0.0003}"}),
        .handle = nx_handle_qd_point,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points/delete",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Delete points",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &selection,
        .example = "{\"points\": [1]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_points_delete,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points/scroll",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Points, page by page",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_read,
        .request = &scroll,
        .example = "{\"limit\": 1}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "A page, by id.",
             .body = &said_page,
             .example =
                 "{\"result\": {\"points\": [{\"id\": 1, \"payload\": {\"city\": \"Berlin\"}}], \"next_page_offset\": 2}, \"status\": \"ok\", \"time\": 0.0003}"}),
        .handle = nx_handle_qd_points_scroll,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points/count",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "How many points?",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_read,
        .request = &count,
        .bodyless = true,
        .example = "{\"exact\": true}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "So many.",
             .body = &said_count,
             .example = "{\"result\": {\"count\": 2}, \"status\": \"ok\", \"time\": 0.0003}"}),
        .handle = nx_handle_qd_points_count,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points/payload",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Merge into payloads",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &payload_set,
        .example = "{\"payload\": {\"city\": \"Paris\"}, \"points\": [1]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_payload_set,
    },
    {
        .method = "PUT",
        .path = "/collections/{collection_name}/points/payload",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Replace payloads",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &payload_set,
        .example = "{\"payload\": {\"city\": \"Paris\"}, \"points\": [1]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_payload_overwrite,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points/payload/delete",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Take keys from payloads",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &payload_delete,
        .example = "{\"keys\": [\"city\"], \"points\": [1]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_payload_delete,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points/payload/clear",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Empty payloads",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &selection,
        .example = "{\"points\": [1]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_payload_clear,
    },
    {
        .method = "PUT",
        .path = "/collections/{collection_name}/points/vectors",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Replace vectors of points",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &vectors_update,
        .example = "{\"points\": [{\"id\": 1, \"vector\": [0.4, 0.3, 0.2, 0.1]}]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_vectors_update,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points/vectors/delete",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Take vectors from points",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &vectors_delete,
        .example = "{\"vector\": [\"\"], \"points\": [1]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &nx_qd_said_update,
             .example =
                 "{\"result\": {\"operation_id\": 7, \"status\": \"completed\"}, \"status\": \"ok\", \"time\": 0.003}"},
            {.status = 507, .about = "The disk is full."}),
        .handle = nx_handle_qd_vectors_delete,
    },
    {
        .method = "POST",
        .path = "/collections/{collection_name}/points/batch",
        .scope = NX_SCOPE_RAG,
        .dialect = NX_DIALECT_QDRANT,
        .summary = "Several changes",
        .about = "All of them, or none: one request of the store.",
        .params = &nx_qd_of_collection,
        .query = &nx_qd_query_write,
        .request = &batch,
        .example = "{\"operations\": [{\"delete\": {\"points\": [1]}}]}",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Done, or taken.",
             .body = &said_updates,
             .example =
                 "{\"result\": [{\"operation_id\": 7, \"status\": \"completed\"}], \"status\": \"ok\", \"time\": 0.0003}"}),
        .handle = nx_handle_qd_points_batch,
    },
};

const nx_route_group nx_routes_qdrant_points = {
    .tag = "Points",
    .about = "What collections hold. Filters, ids and vectors are spelled as in Qdrant's REST API.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
