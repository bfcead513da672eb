/* routes_qdrant_query.c - the routes that ask a collection, as Qdrant's clients know them. */
#include "server/route_tables.h"

/* ---- What is asked ---- */

/* Members that most bodies share. What is ANY is read, and refused, by qdrant_query.c. */
#define F_FILTER NX_F_OBJECT("filter", "Only points for which it holds.", .nullable = true)
#define F_PARAMS                                                                                   \
    NX_F_OBJECT("params",                                                                          \
                "{hnsw_ef, exact, indexed_only, quantization: {ignore, rescore, oversampling}}.",  \
                .nullable = true)
#define F_PARTS                                                                                    \
    NX_F_ANY("with_payload", "true, false, keys, {include}, {exclude}.", .nullable = true),        \
        NX_F_ANY("with_vector", "true, false, or names.", .nullable = true)
#define F_THRESHOLD                                                                                \
    NX_F_NUMBER("score_threshold", "Only points that are at least as good.", .nullable = true)
#define F_LIMIT                                                                                    \
    NX_F_INT("limit", "At most so many.", .nullable = true, .range = NX_FROM(1), .preset = "10")
/* Counts of points may be beyond 63 bits: they are clamped to what is there. */
#define F_POINTS                                                                                   \
    NX_F_NUMBER("limit", "At most so many.", .nullable = true, .range = NX_FROM(1), .preset = "10")
#define F_POINTS_GIVEN                                                                             \
    NX_F_NUMBER("limit", "At most so many.", .required = true, .range = NX_FROM(1))
#define F_LIMIT_GIVEN NX_F_INT("limit", "At most so many.", .required = true, .range = NX_FROM(1))
#define F_OFFSET                                                                                   \
    NX_F_NUMBER("offset", "Leave out the first so many.", .nullable = true, .range = NX_FROM(0),   \
                .preset = "0")
#define F_USING                                                                                    \
    NX_F_STRING("using", "Which of the named vectors; absent: the one without a name.",            \
                .nullable = true)
#define F_LOOKUP_FROM                                                                              \
    NX_F_OBJECT("lookup_from", "{collection, vector}: where ids in the query are looked up.",      \
                .nullable = true)
#define F_GROUP_BY                                                                                 \
    NX_F_STRING("group_by", "The path of a text or an integer.", .required = true,                 \
                .range = NX_FROM(1))
#define F_WITH_LOOKUP                                                                              \
    NX_F_ANY("with_lookup",                                                                        \
             "A collection, or {collection, with_payload, with_vectors}: to each group its point " \
             "whose id is the group's.",                                                           \
             .nullable = true)
#define F_GROUP_SIZE_GIVEN                                                                         \
    NX_F_INT("group_size", "Points of a group, at most.", .required = true, .range = NX_FROM(1))

#define F_QUERY                                                                                    \
    NX_F_ANY("query",                                                                              \
             "A vector, an id, a text ({text, model}), or {nearest}, {recommend}, {order_by}, "    \
             "{fusion}, {rrf}, {sample}. Absent: points by id.",                                   \
             .nullable = true),                                                                    \
        NX_F_ANY("prefetch",                                                                       \
                 "A query, or a list of them, whose points this one scores, orders or fuses.",     \
                 .nullable = true)

static const nx_fields query = NX_FIELDS("QdrantQuery", F_QUERY, F_USING, F_FILTER, F_PARAMS,
                                         F_THRESHOLD, F_POINTS, F_OFFSET, F_PARTS, F_LOOKUP_FROM);

static const nx_fields query_groups =
    NX_FIELDS("QdrantQueryGroups", F_GROUP_BY,
              NX_F_INT("group_size", "Points of a group, at most.", .nullable = true,
                       .range = NX_FROM(1), .preset = "3"),
              F_LIMIT, F_QUERY, F_USING, F_FILTER, F_PARAMS, F_THRESHOLD, F_PARTS, F_LOOKUP_FROM,
              F_WITH_LOOKUP);

#define F_VECTOR                                                                                   \
    NX_F_ANY("vector", "A vector, or {name, vector} with the vector of that name.",                \
             .required = true)

static const nx_fields search = NX_FIELDS("QdrantSearch", F_VECTOR, F_POINTS_GIVEN, F_OFFSET,
                                          F_FILTER, F_PARAMS, F_THRESHOLD, F_PARTS);

static const nx_fields search_groups =
    NX_FIELDS("QdrantSearchGroups", F_VECTOR, F_GROUP_BY, F_GROUP_SIZE_GIVEN, F_LIMIT_GIVEN,
              F_FILTER, F_PARAMS, F_THRESHOLD, F_PARTS, F_WITH_LOOKUP);

#define F_EXAMPLES                                                                                 \
    NX_F_ARRAY("positive", "Ids or vectors: as these.", .nullable = true,                          \
               .of = NX_ONE(.kind = NX_FIELD_ANY)),                                                \
        NX_F_ARRAY("negative", "Ids or vectors: not as these.", .nullable = true,                  \
                   .of = NX_ONE(.kind = NX_FIELD_ANY)),                                            \
        NX_F_STRING("strategy", NULL, .nullable = true,                                            \
                    .choices = "average_vector|best_score|sum_scores")

static const nx_fields recommend =
    NX_FIELDS("QdrantRecommend", F_EXAMPLES, F_POINTS_GIVEN, F_OFFSET, F_USING, F_FILTER, F_PARAMS,
              F_THRESHOLD, F_PARTS, F_LOOKUP_FROM);

static const nx_fields recommend_groups =
    NX_FIELDS("QdrantRecommendGroups", F_EXAMPLES, F_GROUP_BY, F_GROUP_SIZE_GIVEN, F_LIMIT_GIVEN,
              F_USING, F_FILTER, F_PARAMS, F_THRESHOLD, F_PARTS, F_LOOKUP_FROM, F_WITH_LOOKUP);

#define BATCH(name_, of_)                                                                          \
    NX_FIELDS(name_, NX_F_ARRAY("searches", "Each is answered by itself.", .required = true,       \
                                .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = (of_))))

static const nx_fields query_batch = BATCH("QdrantQueryBatch", &query);
static const nx_fields search_batch = BATCH("QdrantSearchBatch", &search);
static const nx_fields recommend_batch = BATCH("QdrantRecommendBatch", &recommend);

static const nx_fields facet = NX_FIELDS(
    "QdrantFacet",
    NX_F_STRING("key", "The path of a text, an integer or a boolean that has an index.",
                .required = true, .range = NX_FROM(1)),
    F_LIMIT, F_FILTER,
    NX_F_BOOL("exact", "Without effect: it always is.", .nullable = true, .preset = "false"));

static const nx_fields anything =
    NX_FIELDS("QdrantNotSupported", NX_F_INT("limit", "Isn't looked at.", .nullable = true));

/* ---- What is told ---- */

static const nx_fields scored = NX_FIELDS(
    "QdrantScoredPoint", NX_F_ANY("id", "A number or a UUID.", .required = true),
    NX_F_INT("version", "The request that wrote it.", .required = true, .range = NX_FROM(0)),
    NX_F_NUMBER("score", "How near; 1 where nothing was compared.", .required = true),
    NX_F_OBJECT("payload", NULL), NX_F_ANY("vector", NULL),
    NX_F_NUMBER("order_value", "By what it was ordered."));

#define SCORED_LIST(name_, about_)                                                                 \
    NX_F_ARRAY(name_, about_, .required = true,                                                    \
               .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &scored))

static const nx_fields points =
    NX_FIELDS("QdrantQueryResult", SCORED_LIST("points", "Best first."));

static const nx_fields group =
    NX_FIELDS("QdrantGroup", NX_F_ANY("id", "The value that its points share.", .required = true),
              SCORED_LIST("hits", "Best first."), NX_F_OBJECT("lookup", "The point of that id."));

static const nx_fields groups =
    NX_FIELDS("QdrantGroups", NX_F_ARRAY("groups", "By their best points.", .required = true,
                                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &group)));

static const nx_fields facet_hit =
    NX_FIELDS("QdrantFacetHit", NX_F_ANY("value", NULL, .required = true),
              NX_F_INT("count", "Points that have it.", .required = true, .range = NX_FROM(0)));

static const nx_fields facet_hits = NX_FIELDS(
    "QdrantFacetResult", NX_F_ARRAY("hits", "Most first.", .required = true,
                                    .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &facet_hit)));

#define SAID(name_, of_)                                                                           \
    NX_FIELDS(name_, NX_F_OBJECT("result", NULL, .required = true, .fields = (of_)),               \
              NX_QD_F_ENVELOPE)

static const nx_fields said_points = SAID("QdrantQueried", &points);
static const nx_fields said_groups = SAID("QdrantGrouped", &groups);
static const nx_fields said_facet = SAID("QdrantFaceted", &facet_hits);
static const nx_fields said_list =
    NX_FIELDS("QdrantSearched", SCORED_LIST("result", "Best first."), NX_QD_F_ENVELOPE);
static const nx_fields said_points_many =
    NX_FIELDS("QdrantQueriedMany",
              NX_F_ARRAY("result", "In the order of the queries.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &points)),
              NX_QD_F_ENVELOPE);
static const nx_fields said_lists =
    NX_FIELDS("QdrantSearchedMany",
              NX_F_ARRAY("result", "In the order of the searches.", .required = true,
                         .of = NX_ONE(.kind = NX_FIELD_ARRAY,
                                      .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &scored))),
              NX_QD_F_ENVELOPE);

/* ---- Examples ---- */

#define HIT        "{\"id\": 1, \"version\": 3, \"score\": 0.91, \"payload\": {\"city\": \"Berlin\"}}"
#define POINTS     "{\"points\": [" HIT "]}"
#define GROUPS     "{\"groups\": [{\"id\": \"Berlin\", \"hits\": [" HIT "]}]}"
#define OK(result) "{\"result\": " result ", \"status\": \"ok\", \"time\": 0.0004}"

#define QUERY     "{\"query\": [0.1, 0.2, 0.3, 0.4], \"limit\": 3, \"with_payload\": true}"
#define SEARCH    "{\"vector\": [0.1, 0.2, 0.3, 0.4], \"limit\": 3, \"with_payload\": true}"
#define RECOMMEND "{\"positive\": [1], \"negative\": [[0.4, 0.3, 0.2, 0.1]], \"limit\": 3}"

/* ---- Routes ---- */

#define ROUTE(path_, summary_, about_, request_, example_, body_, reply_, name_)                   \
    {                                                                                              \
        .method = "POST", .path = "/collections/{collection_name}" path_, .scope = NX_SCOPE_RAG,   \
        .dialect = NX_DIALECT_QDRANT, .summary = (summary_), .about = (about_),                    \
        .params = &nx_qd_of_collection, .query = &nx_qd_query_read, .request = (request_),         \
        .example = example_,                                                                       \
        .replies = NX_REPLIES(                                                                     \
            {.status = 200, .about = "The answer.", .body = (body_), .example = OK(reply_)}),      \
        .handle = nx_handle_qd_##name_,                                                            \
    }

#define NOT_THERE(path_, summary_, name_)                                                          \
    {                                                                                              \
        .method = "POST", .path = "/collections/{collection_name}" path_, .scope = NX_SCOPE_RAG,   \
        .dialect = NX_DIALECT_QDRANT, .summary = (summary_),                                       \
        .about = "Known, but not supported here: answers 400.", .params = &nx_qd_of_collection,    \
        .query = &nx_qd_query_read, .request = &anything, .bodyless = true, .example = "{}",       \
        .replies = NX_REPLIES({.status = 400, .about = "Not supported."}),                         \
        .handle = nx_handle_qd_##name_,                                                            \
    }

static const nx_route routes[] = {
    ROUTE("/points/query", "Ask for points",
          "Nearest to a vector, a point or a text; recommended by examples; ordered; sampled; or "
          "fused from several such queries (`prefetch`).",
          &query, QUERY, &said_points, POINTS, query),
    ROUTE("/points/query/batch", "Ask many times", NULL, &query_batch,
          "{\"searches\": [" QUERY "]}", &said_points_many, "[" POINTS "]", query_batch),
    ROUTE("/points/query/groups", "Ask for the best points of each value", NULL, &query_groups,
          "{\"query\": [0.1, 0.2, 0.3, 0.4], \"group_by\": \"city\"}", &said_groups, GROUPS,
          query_groups),
    ROUTE("/points/search", "Search by a vector", "As older clients ask.", &search, SEARCH,
          &said_list, "[" HIT "]", search),
    ROUTE("/points/search/batch", "Search many times", NULL, &search_batch,
          "{\"searches\": [" SEARCH "]}", &said_lists, "[[" HIT "]]", search_batch),
    ROUTE("/points/search/groups", "Search for the best points of each value", NULL, &search_groups,
          "{\"vector\": [0.1, 0.2, 0.3, 0.4], \"group_by\": \"city\", \"group_size\": 2, "
          "\"limit\": 3}",
          &said_groups, GROUPS, search_groups),
    ROUTE("/points/recommend", "Recommend by examples", "As older clients ask.", &recommend,
          RECOMMEND, &said_list, "[" HIT "]", recommend),
    ROUTE("/points/recommend/batch", "Recommend many times", NULL, &recommend_batch,
          "{\"searches\": [" RECOMMEND "]}", &said_lists, "[[" HIT "]]", recommend_batch),
    ROUTE("/points/recommend/groups", "Recommend the best points of each value", NULL,
          &recommend_groups,
          "{\"positive\": [1], \"group_by\": \"city\", \"group_size\": 2, \"limit\": 3}",
          &said_groups, GROUPS, recommend_groups),
    ROUTE("/facet", "Which values, and how often?", "Of a path that has an index.", &facet,
          "{\"key\": \"city\"}", &said_facet, "{\"hits\": [{\"value\": \"Berlin\", \"count\": 2}]}",
          facet),
    NOT_THERE("/points/discover", "Discover points", discover),
    NOT_THERE("/points/discover/batch", "Discover many times", discover),
    NOT_THERE("/points/search/matrix/pairs", "Distances between sampled points, as pairs", matrix),
    NOT_THERE("/points/search/matrix/offsets", "Distances between sampled points, as a matrix",
              matrix),
};

const nx_route_group nx_routes_qdrant_query = {
    .tag = "Qdrant: queries",
    .about = "As Qdrant's clients ask. What isn't there yet is refused with its name: \"not "
             "supported: discover\".",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
