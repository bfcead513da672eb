/* Protects: a filter of Qdrant's API means what it says there, and what isn't one is refused, with the
 * place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/qdrant_filter.h"

static const nx_config config = {
    .n_slots = 2,
    .slots = {{.name = {"", 0}, .form = NX_FORM_DENSE, .dim = 2},
              {.name = {"words", 5}, .form = NX_FORM_SPARSE}},
};

#define PAYLOAD                                                                                                         \
    "{\"city\": \"Oslo\", \"n\": 5, \"x\": 1.5, \"ok\": true, \"tags\": [\"a\", \"b\"], "                               \
    "\"none\": null, \"mixed\": [null, 1], \"list\": [], \"when\": \"2024-02-29T10:00:00Z\", \"text\": \"red green\", " \
    "\"at\": {\"lon\": 10.75, \"lat\": 59.91}, "                                                                        \
    "\"rooms\": [{\"w\": 1, \"c\": \"red\"}, {\"w\": 2, \"c\": \"blue\"}]}"

typedef struct reading {
    nx_json_doc      doc;
    nx_arena         arena;
    const nx_filter *filter;
    nx_error         err;
} reading;

static nx_status read(reading *r, const char *text)
{
    *r = (reading){0};
    assert_int_equal(nx_json_parse(&r->doc, "body", text, strlen(text), NX_JSON_PYTHON, &r->err),
                     NX_OK);
    return nx_qd_filter_read(&r->filter, &r->arena, &config, r->doc.root, &r->err);
}

static void done(reading *r)
{
    nx_json_doc_free(&r->doc);
    nx_arena_free(&r->arena);
}

/* Does the filter hold for point 7 with PAYLOAD and the first vector? */
static bool holds(const char *filter)
{
    reading     r;
    nx_json_doc doc;
    nx_buf      b = {.max = 1 << 16};
    nx_error    err;

    if (read(&r, filter)) fail_msg("%s: %s", filter, r.err.text);
    assert_int_equal(nx_filter_check(r.filter, &config, &err), NX_OK);
    assert_int_equal(nx_json_parse(&doc, "payload", PAYLOAD, strlen(PAYLOAD), 0, &err), NX_OK);
    assert_int_equal(nx_value_add_json(&b, doc.root, &err), NX_OK);
    nx_value payload = {(const uint8_t *)b.data, (uint32_t)b.len};
    bool     is = nx_filter_test(r.filter, nx_id_number(7), payload, 1);
    nx_buf_free(&b);
    nx_json_doc_free(&doc);
    done(&r);
    return is;
}

static bool one(const char *condition)
{
    char text[2048];
    bool in_list, alone;

    snprintf(text, sizeof text, "{\"must\": [%s]}", condition);
    in_list = holds(text);
    snprintf(text, sizeof text, "{\"must\": %s, \"must_not\": null}", condition);
    alone = holds(text);
    snprintf(text, sizeof text, "{\"must_not\": [%s]}", condition);
    assert_int_equal(in_list, alone);
    assert_int_equal(in_list, !holds(text));
    return in_list;
}

static const char *const true_conditions[] = {
    "{\"key\": \"city\", \"match\": {\"value\": \"Oslo\"}}",
    "{\"key\": \"n\", \"match\": {\"value\": 5}}",
    "{\"key\": \"ok\", \"match\": {\"value\": true}}",
    "{\"key\": \"tags\", \"match\": {\"value\": \"b\"}}",
    "{\"key\": \"tags[]\", \"match\": {\"value\": \"b\"}}",
    "{\"key\": \"tags\", \"match\": {\"any\": [\"z\", \"b\"]}}",
    "{\"key\": \"n\", \"match\": {\"any\": [4, 5]}}",
    "{\"key\": \"n\", \"match\": {\"except\": [4]}}",
    "{\"key\": \"city\", \"match\": {\"except\": [\"Rome\"]}}",
    "{\"key\": \"city\", \"match\": {\"except\": []}}",
    "{\"key\": \"text\", \"match\": {\"text\": \"red\"}}",
    "{\"key\": \"text\", \"match\": {\"text_any\": \"blue green\"}}",
    "{\"key\": \"text\", \"match\": {\"phrase\": \"red green\"}}",
    "{\"key\": \"city\", \"match\": {\"prefix\": \"Os\"}}",
    "{\"key\": \"n\", \"match\": {\"value\": 5.5, \"any\": [5]}}",
    "{\"key\": \"n\", \"range\": {\"gt\": 4, \"lte\": 5, \"lt\": null}}",
    "{\"key\": \"x\", \"range\": {\"gte\": 1.5}}",
    "{\"key\": \"when\", \"range\": {\"gte\": \"2024-02-29\", \"lt\": \"2024-03-01 00:00\"}}",
    ("{\"key\": \"at\", \"geo_bounding_box\": {\"top_left\": {\"lon\": 10, \"lat\": 60}, "
     "\"bottom_right\": {\"lon\": 11, \"lat\": 59}}}"),
    "{\"key\": \"at\", \"geo_radius\": {\"center\": {\"lon\": 10.7, \"lat\": 59.9}, \"radius\": 9e3}}",
    ("{\"key\": \"at\", \"geo_polygon\": {\"exterior\": {\"points\": [{\"lon\": 10, \"lat\": 59}, "
     "{\"lon\": 12, \"lat\": 59}, {\"lon\": 11, \"lat\": 61}, {\"lon\": 10, \"lat\": 59}]}}}"),
    "{\"key\": \"tags\", \"values_count\": {\"gte\": 2, \"lt\": 3}}",
    "{\"key\": \"list\", \"is_empty\": true}",
    "{\"key\": \"city\", \"is_empty\": false}",
    "{\"key\": \"none\", \"is_null\": true}",
    "{\"key\": \"mixed\", \"is_null\": true}",
    "{\"key\": \"city\", \"is_null\": false}",
    "{\"is_empty\": {\"key\": \"nowhere\"}}",
    "{\"is_empty\": {\"key\": \"list\"}}",
    "{\"is_null\": {\"key\": \"none\"}}",
    "{\"has_id\": [3, 7]}",
    "{\"has_vector\": \"\"}",
    ("{\"nested\": {\"key\": \"rooms\", \"filter\": {\"must\": [{\"key\": \"w\", \"match\": {\"value\": "
     "2}}, {\"key\": \"c\", \"match\": {\"value\": \"blue\"}}]}}}"),
    ("{\"nested\": {\"key\": \"rooms[]\", \"filter\": {\"must\": {\"key\": \"w\", \"match\": "
     "{\"value\": 1}}}}}"),
    "{\"slice\": {\"index\": 0, \"total\": 1}}",
    "{\"should\": [{\"has_id\": [1]}, {\"has_id\": [7]}]}",
    ("{\"min_should\": {\"conditions\": [{\"has_id\": [1]}, {\"has_id\": [7]}, {\"has_id\": [7]}], "
     "\"min_count\": 2}}"),
    "{\"key\": \"n\", \"match\": {\"value\": 9}, \"range\": {\"gt\": 1}}",
    "{}",
};

static const char *const false_conditions[] = {
    "{\"key\": \"city\", \"match\": {\"value\": \"oslo\"}}",
    "{\"key\": \"ok\", \"match\": {\"value\": 1}}",
    "{\"key\": \"n\", \"match\": {\"any\": []}}",
    "{\"key\": \"ok\", \"range\": {\"gte\": 0}}",
    "{\"key\": \"none\", \"match\": {\"except\": [\"a\"]}}",
    "{\"key\": \"when\", \"range\": {\"gt\": \"2024-02-29T10:00:00Z\"}}",
    "{\"key\": \"city\", \"match\": {\"prefix\": \"slo\"}}",
    "{\"key\": \"city\", \"is_null\": true}",
    "{\"key\": \"mixed\", \"is_null\": false}",
    "{\"is_null\": {\"key\": \"mixed\"}}",
    "{\"has_id\": []}",
    "{\"has_id\": [\"550e8400-e29b-41d4-a716-446655440000\"]}",
    "{\"has_vector\": \"words\"}",
    "{\"has_vector\": \"nobody\"}",
    ("{\"nested\": {\"key\": \"rooms\", \"filter\": {\"must\": [{\"key\": \"w\", \"match\": {\"value\": "
     "1}}, {\"key\": \"c\", \"match\": {\"value\": \"blue\"}}]}}}"),
    "{\"should\": [{\"has_id\": [1]}]}",
    "{\"min_should\": {\"conditions\": [{\"has_id\": [7]}], \"min_count\": 2}}",
};

static void test_conditions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof true_conditions / sizeof *true_conditions; i++)
        if (!one(true_conditions[i])) fail_msg("%s", true_conditions[i]);
    for (size_t i = 0; i < sizeof false_conditions / sizeof *false_conditions; i++)
        if (one(false_conditions[i])) fail_msg("%s", false_conditions[i]);
    assert_true(holds("{\"must\": [], \"should\": [], \"must_not\": []}"));
}

static void refused(const char *filter, const char *part)
{
    reading r;

    assert_int_equal(read(&r, filter), NX_EINVAL);
    assert_null(r.filter);
    if (!strstr(r.err.text, part)) fail_msg("%s: %s", filter, r.err.text);
    done(&r);
}

static void test_faults(void **state)
{
    (void)state;
    refused("[]", "Format error in JSON body: invalid type: an array, expected struct Filter");
    refused("{\"musty\": []}", "unknown field `musty`, expected one of `should`, `min_should`");
    refused("{\"must\": [7]}", "Expected some form of condition");
    refused("{\"must\": [{\"a\": 1}]}", "Expected some form of condition");
    refused("{\"must\": [{\"key\": \"n\", \"match\": {\"value\": 5.5}}]}",
            "data did not match any variant of untagged enum MatchInterface at "
            "filter.must[0].match");
    refused("{\"must\": [{\"key\": \"n\", \"match\": {\"any\": [1, \"a\"]}}]}", "MatchInterface");
    refused("{\"must\": [{\"key\": \"n\", \"match\": 5}]}", "expected an object");
    refused("{\"must\": {\"key\": \"n\", \"range\": {\"lt\": true}}}", "expected f64");
    refused("{\"must\": {\"key\": \"n\", \"range\": {\"lt\": NaN}}}", "out of range");
    refused("{\"must\": {\"key\": \"n\", \"range\": {\"lt\": 1e999}}}", "out of range");
    refused("{\"must\": {\"key\": \"n\", \"range\": {\"lt\": \"soon\"}}}",
            "'soon' does not match accepted datetime format");
    refused("{\"must\": {\"key\": \"n\", \"range\": {\"lt\": \"2024-01-01\", \"gt\": 1}}}",
            "date and time");
    refused("{\"must\": {\"key\": \"n\"}}", "At least one field condition must be specified");
    refused("{\"must\": {\"key\": \"a[\", \"is_null\": true}}", "Invalid json path");
    refused("{\"must\": {\"key\": null, \"is_null\": true}}", "missing field `key`");
    refused("{\"must\": {\"key\": \"n\", \"values_count\": {\"gt\": -1}}}", "expected usize");
    refused("{\"must\": {\"key\": \"n\", \"geo_radius\": {\"center\": {\"lon\": 0, \"lat\": 91}, "
            "\"radius\": 1}}}",
            "[-90;90]");
    refused("{\"must\": {\"key\": \"n\", \"geo_polygon\": {\"exterior\": {\"points\": []}}}}",
            "the size must be at least 4, got 0");
    refused("{\"must\": {\"has_id\": [1, -2]}}", "filter.must.has_id[1]");
    refused("{\"must\": {\"has_id\": [\"12\"]}}", "filter.must.has_id[0]");
    refused("{\"must\": {\"slice\": {\"index\": 4, \"total\": 4}}}", "slice 4 of 4");
    refused("{\"must\": {\"nested\": {\"key\": \"a\"}}}", "missing field `filter`");
    refused("{\"min_should\": {\"conditions\": []}}", "missing field `min_count`");
}

static void test_bounds(void **state)
{
    char   *text = test_malloc(1 << 20);
    size_t  n = 0;
    reading r;

    (void)state;
    for (int i = 0; i < NX_QD_FILTER_DEPTH_MAX - 1; i++)
        n += (size_t)sprintf(text + n, "{\"must\":");
    n +=
        (size_t)sprintf(text + n, "{\"must\":{\"key\":\"a\",\"is_null\":true,\"is_empty\":false}}");
    for (int i = 0; i < NX_QD_FILTER_DEPTH_MAX - 1; i++) n += (size_t)sprintf(text + n, "}");
    assert_int_equal(read(&r, text), NX_OK);
    assert_int_equal(nx_filter_check(r.filter, &config, &r.err), NX_OK);
    done(&r);
    n = 0;
    for (int i = 0; i < 40; i++) n += (size_t)sprintf(text + n, "{\"must\":");
    n += (size_t)sprintf(text + n, "{\"has_id\":[1]}");
    for (int i = 0; i < 40; i++) n += (size_t)sprintf(text + n, "}");
    refused(text, "recursion limit exceeded");
    n = (size_t)sprintf(text, "{\"must\":[");
    for (int i = 0; i <= NX_QD_CONDITIONS_MAX; i++)
        n += (size_t)sprintf(text + n, "%s{\"has_id\":[1]}", i ? "," : "");
    sprintf(text + n, "]}");
    refused(text, "more than 16384 conditions");
    n = (size_t)sprintf(text, "{\"must\":[");
    for (int i = 0; i < 1000; i++)
        n += (size_t)sprintf(text + n, "%s{\"has_id\":[7]}", i ? "," : "");
    sprintf(text + n, "]}");
    assert_int_equal(read(&r, text), NX_OK);
    assert_int_equal(r.filter->n_must, 1000);
    done(&r);
    test_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
