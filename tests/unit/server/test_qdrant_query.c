/* Protects: the body of a query becomes the plan that it says; ids in it are looked up and left out of the
 * answer; a key bound to tags looks up no point that it may not see; what is wrong is refused in Qdrant's
 * words. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../store/plain_distances.h"
#include "no_handlers.h"
#include "os/dir.h"
#include "server/qdrant_query.h"
#include "server/server_in.h"

static char           dir[64];
static nx_server      server;
static nx_collection *things, *others;

/* One call: a body, and what was made of it. */
typedef struct asked {
    nx_call     call;
    nx_json_doc doc;
    nx_plan     plan;
    nx_error    err;
    nx_status   st;
} asked;

static void done(asked *a)
{
    nx_json_doc_free(&a->doc);
    nx_arena_free(&a->call.kept);
}

static void parse(asked *a, const char *body)
{
    *a = (asked){.call = {.server = &server}};
    if (nx_json_parse(&a->doc, "body", body, strlen(body), 0, &a->err)) fail_msg("%s", a->err.text);
    a->call.body = a->doc.root;
}

static nx_status plan_of(asked *a)
{
    nx_snapshot *s = nx_snapshot_take(things);

    a->st = nx_qd_plan(&a->plan, &a->call, things, s, a->call.body, &a->err);
    nx_snapshot_release(s);
    return a->st;
}

static void ask(asked *a, const char *body)
{
    parse(a, body);
    if (plan_of(a)) fail_msg("%s: %s", body, a->err.text);
}

static void refused(const char *body, nx_status st, const char *text)
{
    asked a;

    parse(&a, body);
    if (plan_of(&a) != st) fail_msg("%s: %d %s", body, a.st, a.err.text);
    if (!strstr(a.err.text, text)) fail_msg("%s: %s", body, a.err.text);
    done(&a);
}

static void is_vector(const nx_vector *v, int32_t slot, const float *values, int32_t n)
{
    assert_int_equal(v->slot, slot);
    for (int32_t i = 0; i < n; i++)
        if (fabsf(v->values[i] - values[i]) > 1e-6f) fail_msg("%d: %g", i, (double)v->values[i]);
}

/* Does the plan's filter let this point of `things` through? */
static bool lets(const asked *a, uint64_t id)
{
    return !a->plan.filter || nx_filter_test(a->plan.filter, nx_id_number(id), (nx_value){0}, 0);
}

static void test_nearest(void **state)
{
    asked a;

    (void)state;
    ask(&a, "{\"query\": [3, 4]}");
    assert_int_equal(a.plan.kind, NX_PLAN_NEAREST);
    assert_int_equal(a.plan.limit, 10);
    assert_int_equal(a.plan.offset, 0);
    assert_null(a.plan.filter);
    is_vector(&a.plan.target, 0, (float[]){3, 4}, 2);
    done(&a);
    ask(&a, "{\"query\": {\"nearest\": 2, \"mmr\": null}, \"limit\": 999999999, \"offset\": 5, "
            "\"score_threshold\": 0.5, \"filter\": {\"must_not\": {\"has_id\": [3]}}, "
            "\"params\": {\"hnsw_ef\": 64, \"exact\": true, \"indexed_only\": false, "
            "\"quantization\": {\"ignore\": false, \"rescore\": true, \"oversampling\": 2.5}}}");
    is_vector(&a.plan.target, 0, (float[]){0, 1}, 2);
    assert_int_equal(a.plan.limit, 999999999);
    assert_int_equal(a.plan.offset, 5);
    assert_true(a.plan.has_threshold && a.plan.threshold == 0.5f);
    assert_true(a.plan.ignore_codes && a.plan.oversampling == 2.5f);
    assert_true(lets(&a, 1) && !lets(&a, 2) && !lets(&a, 3));
    done(&a);
    ask(&a, "{\"query\": {\"indices\": [7, 3], \"values\": [1, 2]}, \"using\": \"words\"}");
    assert_int_equal(a.plan.target.form, NX_FORM_SPARSE);
    assert_int_equal(a.plan.target.indices[0], 3);
    done(&a);
    ask(&a, "{\"query\": [[1, 0], [0, 1]], \"using\": \"rows\"}");
    assert_int_equal(a.plan.target.form, NX_FORM_MULTI);
    assert_int_equal(a.plan.target.n, 2);
    done(&a);
    ask(&a, "{}");
    assert_int_equal(a.plan.kind, NX_PLAN_IDS);
    done(&a);
}

static void test_recommend(void **state)
{
    asked a;

    (void)state;
    ask(&a, "{\"query\": {\"recommend\": {\"positive\": [1, [0, 3]], \"negative\": [2]}}}");
    assert_int_equal(a.plan.kind, NX_PLAN_NEAREST);
    is_vector(&a.plan.target, 0, (float[]){1, 3 - 1}, 2); /* 2 * (.5, 1.5) - (0, 1) */
    assert_true(!lets(&a, 1) && !lets(&a, 2) && lets(&a, 3));
    done(&a);
    ask(&a, "{\"query\": {\"recommend\": {\"positive\": [1, 3], \"negative\": [2], \"strategy\": "
            "\"average_vector\"}}, \"using\": \"words\"}");
    assert_int_equal(a.plan.target.n, 3); /* 1: {1: 2, 5: 4}, 3 has none, 2: {5: 1, 9: 1} */
    is_vector(&a.plan.target, 1, (float[]){4, 7, -1}, 3);
    assert_int_equal(a.plan.target.indices[2], 9);
    done(&a);
    ask(&a, "{\"query\": {\"recommend\": {\"positive\": [[[1, 2], [3, 4]]], \"negative\": [[5, "
            "6]]}}, \"using\": \"rows\"}");
    assert_int_equal(a.plan.target.n, 3);
    is_vector(&a.plan.target, 2, (float[]){1, 2, 3, 4, -5, -6}, 6);
    done(&a);
    ask(&a, "{\"query\": {\"recommend\": {\"positive\": [], \"negative\": [2, [1, 1]], "
            "\"strategy\": \"best_score\"}}}");
    assert_int_equal(a.plan.kind, NX_PLAN_BEST);
    assert_int_equal(a.plan.n_positive, 0);
    assert_int_equal(a.plan.n_negative, 2);
    done(&a);
    ask(&a, "{\"query\": {\"recommend\": {\"positive\": [2], \"strategy\": \"sum_scores\"}}}");
    assert_int_equal(a.plan.kind, NX_PLAN_SUM);
    done(&a);
}

static void test_lookup(void **state)
{
    asked a;

    (void)state;
    ask(&a, "{\"query\": 1, \"lookup_from\": {\"collection\": \"others\", \"vector\": \"v\"}}");
    is_vector(&a.plan.target, 0, (float[]){0.6f, 0.8f}, 2);
    assert_true(lets(&a, 1)); /* that is another point 1 */
    done(&a);
    ask(&a, "{\"query\": 1, \"lookup_from\": {\"collection\": \"things\"}}");
    assert_false(lets(&a, 1));
    done(&a);
    refused("{\"query\": 1, \"lookup_from\": {\"collection\": \"others\"}}", NX_EINVAL,
            "Not existing vector name error: ");
    refused("{\"query\": 1, \"lookup_from\": {\"collection\": \"nobody\"}}", NX_ENOENT, "nobody");
    refused("{\"query\": 1, \"lookup_from\": {\"collection\": \"others\", \"vector\": \"long\"}}",
            NX_EINVAL, "Vector dimension error: expected dim: 2, got 3");
    refused("{\"query\": 1, \"lookup_from\": {}}", NX_EINVAL, "missing field `collection`");
}

static void test_order_sample_fusion(void **state)
{
    asked a;

    (void)state;
    ask(&a, "{\"query\": {\"order_by\": \"n\"}}");
    assert_int_equal(a.plan.kind, NX_PLAN_ORDER);
    assert_false(a.plan.order.descending || a.plan.order.has_start);
    done(&a);
    ask(&a, "{\"query\": {\"order_by\": {\"key\": \"n\", \"direction\": \"desc\", \"start_from\": "
            "\"1970-01-01T00:00:01Z\"}}}");
    assert_true(a.plan.order.descending && a.plan.order.start.i == 1000000);
    done(&a);
    ask(&a, "{\"query\": {\"sample\": \"random\"}, \"offset\": 3}");
    assert_int_equal(a.plan.kind, NX_PLAN_SAMPLE);
    assert_int_equal(a.plan.offset, 0);
    assert_true(a.plan.seed != 0);
    done(&a);
    ask(&a, "{\"query\": {\"fusion\": \"dbsf\"}, \"prefetch\": [{\"query\": 2, \"limit\": 3}, "
            "{\"query\": {\"fusion\": \"rrf\"}, \"prefetch\": {\"query\": [1, 1], \"filter\": "
            "{\"must\": {\"has_id\": [5]}}}}]}");
    assert_int_equal(a.plan.kind, NX_PLAN_DBSF);
    assert_int_equal(a.plan.n_sources, 2);
    assert_int_equal(a.plan.sources[0].limit, 3);
    assert_int_equal(a.plan.sources[1].kind, NX_PLAN_RRF);
    assert_int_equal(a.plan.sources[1].n_sources, 1);
    assert_non_null(a.plan.sources[1].sources[0].filter);
    assert_true(!lets(&a, 2) && lets(&a, 1)); /* named anywhere in the query */
    done(&a);
    ask(&a, "{\"query\": {\"rrf\": {\"k\": 5, \"weights\": [1, 0.5]}}, \"prefetch\": [{}, {}]}");
    assert_int_equal(a.plan.rrf.k, 5);
    assert_true(a.plan.rrf.weights[1] == 0.5f);
    done(&a);
}

static void test_faults(void **state)
{
    (void)state;
    refused("{\"query\": 77}", NX_ENOENT, "Not found: No point with id 77 found");
    refused("{\"query\": 3, \"using\": \"words\"}", NX_ENOENT, "Vector with name \"words\"");
    refused("{\"query\": [1, 2, 3]}", NX_EINVAL, "Vector dimension error: expected dim: 2, got 3");
    refused("{\"query\": [1, 2], \"using\": \"x\"}", NX_EINVAL,
            "Wrong input: Not existing vector name error: x");
    refused("{\"query\": \"seven\"}", NX_EINVAL, "is not a valid point ID");
    refused("{\"query\": {\"nearest\": [1, 2], \"mmr\": {}}}", NX_EUNSUPPORTED,
            "not supported: mmr");
    refused("{\"query\": {\"discover\": {}}}", NX_EUNSUPPORTED, "not supported: discover");
    refused("{\"query\": {\"context\": []}}", NX_EUNSUPPORTED, "not supported: context");
    refused("{\"query\": {\"formula\": {}}}", NX_EUNSUPPORTED, "not supported: formula");
    refused("{\"query\": {\"relevance_feedback\": {}}}", NX_EUNSUPPORTED,
            "not supported: relevance_feedback");
    refused("{\"query\": [1, 2], \"params\": {\"acorn\": {\"enable\": true}}}", NX_EUNSUPPORTED,
            "not supported: acorn");
    refused("{\"query\": {}}", NX_EINVAL, "untagged enum QueryInterface");
    refused("{\"query\": {\"fusion\": \"rrf\"}}", NX_EINVAL,
            "cannot apply Fusion without prefetches");
    refused("{\"query\": {\"fusion\": \"rrf\"}, \"prefetch\": {}, \"using\": \"words\"}", NX_EINVAL,
            "cannot be combined with the 'using' field");
    refused("{\"query\": {\"fusion\": \"max\"}, \"prefetch\": {}}", NX_EINVAL, "unknown variant");
    refused("{\"query\": {\"rrf\": {\"weights\": [1]}}, \"prefetch\": [{}, {}]}", NX_EINVAL,
            "must match the number of prefetches");
    refused("{\"query\": {\"rrf\": {\"k\": 0}}, \"prefetch\": {}}", NX_EINVAL,
            "rrf.k: value 0 invalid, must be 1 or larger");
    refused("{\"prefetch\": {}}", NX_EINVAL, "A query is needed to merge the prefetches");
    refused("{\"score_threshold\": 1}", NX_EINVAL, "A query is needed to use the score_threshold");
    refused("{\"query\": {\"order_by\": \"n\"}, \"score_threshold\": 1}", NX_EINVAL,
            "Can't use score_threshold with an order_by query");
    refused("{\"query\": {\"order_by\": \"city\"}}", NX_EINVAL,
            "No range index for `order_by` key: `city`");
    refused("{\"query\": {\"order_by\": {\"key\": \"n\", \"direction\": \"up\"}}}", NX_EINVAL,
            "expected `asc` or `desc`");
    refused("{\"query\": [1, 2], \"prefetch\": {\"limit\": 0}}", NX_EINVAL,
            "limit: value 0 invalid, must be 1 or larger");
    refused("{\"query\": [1, 2], \"limit\": -1}", NX_EINVAL, "integer `-1`, expected usize");
    refused("{\"query\": [1, 2], \"prefetch\": [5]}", NX_EINVAL, "prefetch: expected an object");
    refused("{\"query\": [1, 2], \"params\": {\"quantization\": {\"oversampling\": 0.5}}}",
            NX_EINVAL, "must be 1.0 or larger");
    refused("{\"query\": {\"recommend\": {\"negative\": [1]}}}", NX_EINVAL,
            "Positive vectors should not be empty with `average` strategy");
    refused("{\"query\": {\"recommend\": {\"strategy\": \"best_score\"}}}", NX_EINVAL,
            "At least one positive or negative vector ID required");
    refused("{\"query\": {\"sample\": \"first\"}}", NX_EINVAL, "expected `random`");
}

static void test_bounds(void **state)
{
    char *text = test_malloc(1 << 20);
    int   n = 0;

    (void)state;
    for (int i = 0; i < NX_PLAN_DEPTH_MAX; i++)
        n += sprintf(text + n, "{\"query\":[1,2],\"prefetch\":");
    n += sprintf(text + n, "{}");
    for (int i = 0; i < NX_PLAN_DEPTH_MAX; i++) n += sprintf(text + n, "}");
    refused(text, NX_EINVAL, "nest more than 16 deep");
    n = sprintf(text, "{\"query\":[1,2],\"prefetch\":[");
    for (int i = 0; i <= NX_PLAN_SOURCES_MAX; i++) n += sprintf(text + n, "%s{}", i ? "," : "");
    sprintf(text + n, "]}");
    refused(text, NX_EINVAL, "more than 256 prefetches");
    n = sprintf(text, "{\"query\":{\"recommend\":{\"positive\":[");
    for (int i = 0; i <= NX_PLAN_EXAMPLES_MAX; i++) n += sprintf(text + n, "%s1", i ? "," : "");
    sprintf(text + n, "]}}}");
    refused(text, NX_EINVAL, "more than 1024 examples");
    test_free(text);
}

/* A tagged key: point 1 is free of tags, point 2 is of "a", point 3 of "b". */
static void test_tags(void **state)
{
    asked    a;
    nx_str   tag = NX_STR("b");
    nx_error err;

    (void)state;
    for (int id = 1; id <= 3; id++) {
        char body[64];
        snprintf(body, sizeof body, "{\"query\": %d}", id);
        parse(&a, body);
        assert_int_equal(nx_key_bounds_add(&a.call.key.bounds, NX_KEY_TAGS, tag, &err), NX_OK);
        nx_status st = plan_of(&a);
        assert_int_equal(st, id == 2 ? NX_ENOENT : NX_OK);
        if (id == 2) assert_string_equal(a.err.text, "Not found: No point with id 2 found");
        if (!st) assert_non_null(a.plan.filter);
        done(&a);
    }
}

static void test_older_bodies(void **state)
{
    asked          a;
    const nx_json *v;
    nx_snapshot   *s = nx_snapshot_take(things);

    (void)state;
    parse(&a,
          "{\"vector\": {\"name\": \"words\", \"vector\": {\"indices\": [1], \"values\": [2]}}, "
          "\"limit\": 3, \"with_payload\": true}");
    v = nx_qd_body_of_search(&a.call, a.call.body);
    assert_int_equal(nx_qd_plan(&a.plan, &a.call, things, s, v, &a.err), NX_OK);
    assert_int_equal(a.plan.target.slot, 1);
    assert_int_equal(a.plan.limit, 3);
    assert_true(nx_json_get(v, "with_payload")->boolean);
    done(&a);
    parse(&a, "{\"vector\": [1, 2], \"limit\": 3, \"score_threshold\": null}");
    v = nx_qd_body_of_search(&a.call, a.call.body);
    assert_int_equal(nx_qd_plan(&a.plan, &a.call, things, s, v, &a.err), NX_OK);
    is_vector(&a.plan.target, 0, (float[]){1, 2}, 2);
    done(&a);
    parse(&a, "{\"positive\": [1], \"negative\": [2], \"strategy\": \"best_score\", \"limit\": 3}");
    v = nx_qd_body_of_recommend(&a.call, a.call.body);
    assert_int_equal(nx_qd_plan(&a.plan, &a.call, things, s, v, &a.err), NX_OK);
    assert_int_equal(a.plan.kind, NX_PLAN_BEST);
    done(&a);
    nx_snapshot_release(s);
}

/* Prefetches of what comes in groups find as many times more, as Qdrant's do. */
static void test_groups(void **state)
{
    asked        a;
    nx_snapshot *s = nx_snapshot_take(things);

    (void)state;
    parse(&a,
          "{\"query\": {\"fusion\": \"rrf\"}, \"prefetch\": [{\"limit\": 7}, {\"query\": [1, 2], "
          "\"limit\": 18446744073709551615, \"prefetch\": {\"limit\": 2}}]}");
    assert_int_equal(nx_qd_plan_of_groups(&a.plan, &a.call, things, s, a.call.body, 5, &a.err),
                     NX_OK);
    assert_int_equal(a.plan.sources[0].limit, 35);
    assert_int_equal(a.plan.sources[1].limit, UINT64_MAX);
    assert_int_equal(a.plan.sources[1].sources[0].limit, 10);
    done(&a);
    nx_snapshot_release(s);
}

/* ---- The collections ---- */

static void put(nx_collection *c, uint64_t id, const nx_vector *v, int32_t n, const char *payload)
{
    nx_writes  *w = nx_writes_create(c);
    nx_buf      b = {.max = 1 << 16};
    nx_json_doc doc;
    nx_error    err;

    assert_int_equal(nx_json_parse(&doc, "payload", payload, strlen(payload), 0, &err), NX_OK);
    assert_int_equal(nx_value_add_json(&b, doc.root, &err), NX_OK);
    nx_point p = {.id = nx_id_number(id),
                  .vectors = v,
                  .n_vectors = n,
                  .payload = {(const uint8_t *)b.data, (uint32_t)b.len}};
    if (nx_writes_put(w, &p, NX_PUT, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_collection_write(c, w, true, NULL, &err), NX_OK);
    nx_writes_destroy(w);
    nx_buf_free(&b);
    nx_json_doc_free(&doc);
}

static nx_vector dense(int32_t slot, const float *x, int32_t n)
{
    return (nx_vector){.slot = slot, .form = NX_FORM_DENSE, .n = n, .values = x};
}

static void fill(void)
{
    nx_vector words1 = {1, NX_FORM_SPARSE, 2, (float[]){2, 4}, (uint32_t[]){1, 5}};
    nx_vector words2 = {1, NX_FORM_SPARSE, 2, (float[]){1, 1}, (uint32_t[]){5, 9}};
    nx_vector one[] = {dense(0, (float[]){1, 0}, 2), words1};
    nx_vector two[] = {dense(0, (float[]){0, 1}, 2), words2};
    nx_vector three[] = {dense(0, (float[]){1, 1}, 2)};
    nx_vector other[] = {dense(0, (float[]){0.6f, 0.8f}, 2), dense(1, (float[]){1, 2, 3}, 3)};

    put(things, 1, one, 2, "{}");
    put(things, 2, two, 2, "{\"access_tags\": [\"a\"]}");
    put(things, 3, three, 1, "{\"access_tags\": \"b\"}");
    put(others, 1, other, 2, "{}");
}

static int setup(void **state)
{
    nx_config own = {
        .n_slots = 3,
        .slots = {{.form = NX_FORM_DENSE, .distance = NX_DOT, .dim = 2},
                  {.name = NX_STR("words"), .form = NX_FORM_SPARSE, .distance = NX_DOT},
                  {.name = NX_STR("rows"), .form = NX_FORM_MULTI, .distance = NX_DOT, .dim = 2}}};
    nx_config theirs = {
        .n_slots = 2,
        .slots = {{.name = NX_STR("v"), .form = NX_FORM_DENSE, .distance = NX_DOT, .dim = 2},
                  {.name = NX_STR("long"), .form = NX_FORM_DENSE, .distance = NX_DOT, .dim = 3}}};
    nx_store_options opt = {.distances = &plain_distances};
    nx_index_spec    index = {
           .path = NX_STR("n"), .kind = NX_INDEX_INTEGER, .lookup = true, .range = true};
    nx_store *store;
    nx_error  err;

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/nx-query-XXXXXX");
    if (!mkdtemp(dir) || nx_store_open(&store, dir, &opt, &err)) return -1;
    server.vault.store = store;
    if (nx_store_create_collection(store, NX_STR("things"), &own, &err) ||
        nx_store_create_collection(store, NX_STR("others"), &theirs, &err) ||
        nx_store_find(&things, store, NX_STR("things"), &err) ||
        nx_store_find(&others, store, NX_STR("others"), &err) ||
        nx_collection_create_index(things, &index, &err)) {
        print_error("%s\n", err.text);
        return -1;
    }
    fill();
    return 0;
}

static int teardown(void **state)
{
    nx_error err;

    (void)state;
    nx_collection_release(things);
    nx_collection_release(others);
    nx_store_close(server.vault.store);
    return nx_dir_remove_all(dir, &err) ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest), cmocka_unit_test(test_recommend),
        cmocka_unit_test(test_lookup),  cmocka_unit_test(test_order_sample_fusion),
        cmocka_unit_test(test_faults),  cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_tags),    cmocka_unit_test(test_older_bodies),
        cmocka_unit_test(test_groups),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
