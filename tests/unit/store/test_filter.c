/* Protects: conditions mean what Qdrant's do, on missing values, arrays, nulls and values of
 * another kind; times and places are read and compared rightly; what is nested too deep is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/geo.h"

static nx_buf parsed(const char *json)
{
    nx_buf      b = {.max = 1 << 20};
    nx_json_doc doc;

    assert_int_equal(nx_json_parse(&doc, "test", json, strlen(json), 0, NULL), NX_OK);
    assert_int_equal(nx_value_add_json(&b, doc.root, NULL), NX_OK);
    nx_json_doc_free(&doc);
    return b;
}

static bool test_one(nx_condition *c, const char *path, const char *json)
{
    nx_filter f = {.must = c, .n_must = 1};
    nx_buf    b = parsed(json);

    if (path) assert_int_equal(nx_path_parse(&c->path, nx_str_of(path), NULL), NX_OK);
    bool r = nx_filter_test(&f, nx_id_number(7),
                            (nx_value){(const uint8_t *)b.data, (uint32_t)b.len}, 1u << 2);
    nx_buf_free(&b);
    return r;
}

#define HOLDS(c, path, json) assert_true(test_one(c, path, json))
#define FAILS(c, path, json) assert_false(test_one(c, path, json))

static void matches(void **state)
{
    nx_str       words[] = {{"red", 3}, {"blue", 4}};
    int64_t      ints[] = {3, -5};
    nx_condition any = {.kind = NX_COND_TEXT_ANY, .texts = words, .n_texts = 2};
    nx_condition except = {.kind = NX_COND_TEXT_EXCEPT, .texts = words, .n_texts = 2};
    nx_condition int_any = {.kind = NX_COND_INT_ANY, .ints = ints, .n_ints = 2};
    nx_condition int_except = {.kind = NX_COND_INT_EXCEPT, .ints = ints, .n_ints = 2};
    nx_condition yes = {.kind = NX_COND_BOOL, .boolean = true};
    nx_condition part = {.kind = NX_COND_WORDS, .texts = words, .n_texts = 1};

    (void)state;
    HOLDS(&any, "a", "{\"a\":\"red\"}");
    HOLDS(&any, "a", "{\"a\":[\"green\",\"blue\"]}");
    FAILS(&any, "a", "{\"a\":\"Red\"}");
    FAILS(&any, "a", "{\"a\":[[\"red\"]]}");
    FAILS(&any, "a", "{\"b\":\"red\"}");
    HOLDS(&any, "a[].b", "{\"a\":[{\"b\":\"x\"},{\"b\":\"red\"}]}");
    HOLDS(&except, "a", "{\"a\":\"green\"}");
    HOLDS(&except, "a", "{\"a\":[\"red\",\"green\"]}");
    HOLDS(&except, "a", "{\"a\":5}");
    HOLDS(&except, "a", "{\"a\":{\"b\":1}}"); /* as Qdrant has it */
    FAILS(&except, "a", "{\"a\":\"red\"}");
    FAILS(&except, "a", "{\"a\":null}");
    FAILS(&except, "a", "{}");
    FAILS(&except, "a", "{\"a\":[]}");
    HOLDS(&int_any, "a", "{\"a\":3}");
    FAILS(&int_any, "a", "{\"a\":3.0}");
    FAILS(&int_any, "a", "{\"a\":\"3\"}");
    FAILS(&int_any, "a", "{\"a\":true}");
    HOLDS(&int_except, "a", "{\"a\":4}");
    HOLDS(&int_except, "a", "{\"a\":\"x\"}");
    FAILS(&int_except, "a", "{\"a\":-5}");
    HOLDS(&yes, "a", "{\"a\":true}");
    FAILS(&yes, "a", "{\"a\":1}");
    HOLDS(&part, "a", "{\"a\":\"a tired man\"}");
    FAILS(&part, "a", "{\"a\":\"re\"}");
}

static void ranges_and_counts(void **state)
{
    nx_condition range = {.kind = NX_COND_RANGE,
                          .range = {.has_gt = true, .gt = 1, .has_lte = true, .lte = 2}};
    nx_condition count = {.kind = NX_COND_COUNT, .range = {.has_gte = true, .gte = 2}};
    nx_condition none = {.kind = NX_COND_COUNT, .range = {.has_lt = true, .lt = 1}};
    nx_condition empty = {.kind = NX_COND_EMPTY}, null = {.kind = NX_COND_NULL};

    (void)state;
    HOLDS(&range, "a", "{\"a\":2}");
    HOLDS(&range, "a", "{\"a\":[0,1.5]}");
    FAILS(&range, "a", "{\"a\":1}");
    FAILS(&range, "a", "{\"a\":true}");
    FAILS(&range, "a", "{\"a\":\"2\"}");
    HOLDS(&count, "a", "{\"a\":[1,2]}");
    FAILS(&count, "a", "{\"a\":\"word\"}");
    FAILS(&none, "a", "{}"); /* as Qdrant has it: what is missing has no count */
    HOLDS(&none, "a", "{\"a\":null}");
    FAILS(&none, "a", "{\"a\":0}");
    HOLDS(&empty, "a", "{}");
    HOLDS(&empty, "a", "{\"a\":null}");
    HOLDS(&empty, "a", "{\"a\":[]}");
    FAILS(&empty, "a", "{\"a\":\"\"}");
    FAILS(&empty, "a", "{\"a\":[null]}");
    HOLDS(&null, "a", "{\"a\":null}");
    FAILS(&null, "a", "{}");
    HOLDS(&null, "a[].b", "{\"a\":[{\"b\":1},{\"b\":null}]}");
}

static void ids_vectors_and_nesting(void **state)
{
    nx_point_id  ids[] = {{0, 5, 0}, {0, 7, 0}};
    nx_condition id = {.kind = NX_COND_ID, .ids = ids, .n_ids = 2};
    nx_condition vector = {.kind = NX_COND_VECTOR, .slot = 2};
    nx_str       meat = {"meat", 4};
    nx_condition both[] = {{.kind = NX_COND_TEXT_ANY, .texts = &meat, .n_texts = 1},
                           {.kind = NX_COND_BOOL, .boolean = true}};
    nx_filter    inner = {.must = both, .n_must = 2};
    nx_condition nested = {.kind = NX_COND_NESTED, .filter = &inner};

    (void)state;
    HOLDS(&id, NULL, "{}");
    ids[1].lo = 8;
    FAILS(&id, NULL, "{}");
    HOLDS(&vector, NULL, "{}");
    vector.slot = 1;
    FAILS(&vector, NULL, "{}");
    assert_int_equal(nx_path_parse(&both[0].path, NX_STR("food"), NULL), NX_OK);
    assert_int_equal(nx_path_parse(&both[1].path, NX_STR("likes"), NULL), NX_OK);
    HOLDS(&nested, "diet",
          "{\"diet\":[{\"food\":\"leaves\",\"likes\":false},{\"food\":\"meat\",\"likes\":true}]}");
    FAILS(&nested, "diet",
          "{\"diet\":[{\"food\":\"leaves\",\"likes\":true},{\"food\":\"meat\",\"likes\":false}]}");
    FAILS(&nested, "diet", "{\"diet\":{\"food\":\"meat\",\"likes\":true}}");
}

static void clauses_join(void **state)
{
    nx_point_id  seven = {0, 7, 0};
    nx_condition yes = {.kind = NX_COND_ID, .ids = &seven, .n_ids = 1}, no = {.kind = NX_COND_ID};
    nx_condition mixed[] = {no, yes, yes};
    nx_value     none = {0};
    struct {
        nx_filter f;
        bool      want;
    } cases[] = {
        {{0}, true},
        {{.must = mixed, .n_must = 3}, false},
        {{.must = mixed + 1, .n_must = 2}, true},
        {{.should = mixed, .n_should = 3}, true},
        {{.should = mixed, .n_should = 1}, false},
        {{.must_not = mixed, .n_must_not = 1}, true},
        {{.must_not = mixed, .n_must_not = 2}, false},
        {{.min_should = mixed, .n_min_should = 3, .min_count = 2}, true},
        {{.min_should = mixed, .n_min_should = 3, .min_count = 3}, false},
        {{.must = &yes, .n_must = 1, .should = &no, .n_should = 1}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(nx_filter_test(&cases[i].f, seven, none, 0), cases[i].want);
}

static void times_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t     us;
    } good[] = {
        {"1970-01-01", 0},
        {"1970-01-01T00:00:01Z", 1000000},
        {"2024-02-29T10:20:30.5Z", 1709202030500000},
        {"2024-02-29 10:20:30.5", 1709202030500000},
        {"2024-02-29T12:20:30.500000+02:00", 1709202030500000},
        {"2024-02-29T05:20:30.5-0500", 1709202030500000},
        {"2024-02-29T10:20", 1709202000000000},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"0001-01-01", -62135596800000000},
    };
    static const char *const bad[] = {"",
                                      "2024",
                                      "2023-02-29",
                                      "2024-13-01",
                                      "2024-1-1",
                                      "x024-01-01",
                                      "2024-01-01T",
                                      "2024-01-01T24:00",
                                      "2024-01-01T10:00:00.",
                                      "2024-01-01T10:00:00+",
                                      "2024-01-01T10:00:00Zx"};
    int64_t                  us;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!nx_time_parse(&us, nx_str_of(good[i].text)) || us != good[i].us)
            fail_msg("%s: %lld", good[i].text, (long long)us);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (nx_time_parse(&us, nx_str_of(bad[i]))) fail_msg("\"%s\" was taken", bad[i]);

    nx_condition c = {.kind = NX_COND_DATETIME,
                      .times = {.has_gte = true, .gte = 1709202030500000}};
    HOLDS(&c, "a", "{\"a\":[\"no time\",\"2024-02-29T10:20:30.5Z\"]}");
    FAILS(&c, "a", "{\"a\":\"2024-02-29T10:20:30.4Z\"}");
    FAILS(&c, "a", "{\"a\":1709202030500000}");
}

static void places_are_compared(void **state)
{
    nx_geo_point berlin = {13.403683, 52.520711}, paris = {2.349014, 48.864716};
    nx_condition near = {.kind = NX_COND_GEO_RADIUS, .centre = {13.4, 52.5}, .metres = 5000};
    nx_condition box = {
        .kind = NX_COND_GEO_BOX, .top_left = {170, 10}, .bottom_right = {-170, -10}};
    const nx_geo_point square[] = {{0, 0}, {10, 0}, {10, 10}, {0, 10}};
    const nx_geo_point hole[] = {{4, 4}, {6, 4}, {6, 6}, {4, 6}, {4, 4}};
    const nx_geo_ring  rings[] = {{square, 4}, {hole, 5}};
    nx_condition       area = {.kind = NX_COND_GEO_POLYGON, .rings = rings, .n_rings = 2};

    (void)state;
    assert_true(nx_geo_metres(berlin, paris) > 876000 && nx_geo_metres(berlin, paris) < 879000);
    assert_true(nx_geo_metres(berlin, berlin) == 0);
    HOLDS(&near, "at", "{\"at\":{\"lon\":13.403683,\"lat\":52.520711}}");
    HOLDS(&near, "at", "{\"at\":[{\"lon\":2,\"lat\":48},{\"lon\":13.403683,\"lat\":52.520711}]}");
    FAILS(&near, "at", "{\"at\":{\"lon\":2.3,\"lat\":48.8}}");
    FAILS(&near, "at", "{\"at\":{\"lon\":\"13.4\",\"lat\":52.5}}");
    HOLDS(&box, "at", "{\"at\":{\"lon\":-175,\"lat\":0}}"); /* across the 180th meridian */
    FAILS(&box, "at", "{\"at\":{\"lon\":0,\"lat\":0}}");
    HOLDS(&area, "at", "{\"at\":{\"lon\":2,\"lat\":5}}");
    FAILS(&area, "at", "{\"at\":{\"lon\":5,\"lat\":5}}");
    FAILS(&area, "at", "{\"at\":{\"lon\":11,\"lat\":5}}");
}

static void too_deep_is_refused(void **state)
{
    static nx_filter    f[NX_FILTER_DEPTH_MAX + 2];
    static nx_condition c[NX_FILTER_DEPTH_MAX + 2];
    nx_config           config = {0};
    nx_condition        vector = {.kind = NX_COND_VECTOR};

    (void)state;
    for (int i = 0; i <= NX_FILTER_DEPTH_MAX; i++) {
        c[i] = (nx_condition){.kind = NX_COND_FILTER, .filter = &f[i + 1]};
        f[i] = (nx_filter){.should = &c[i], .n_should = 1};
    }
    assert_int_equal(nx_filter_check(&f[0], &config, NULL), NX_EINVAL);
    assert_int_equal(nx_filter_check(&f[2], &config, NULL), NX_OK);
    assert_int_equal(nx_filter_needs(&f[0]), 0);
    f[0] = (nx_filter){.must = &vector, .n_must = 1};
    assert_int_equal(nx_filter_check(&f[0], &config, NULL), NX_EINVAL);
    assert_int_equal(nx_filter_needs(&f[0]), NX_FILTER_VECTORS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(ranges_and_counts),
        cmocka_unit_test(ids_vectors_and_nesting),
        cmocka_unit_test(clauses_join),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(places_are_compared),
        cmocka_unit_test(too_deep_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
