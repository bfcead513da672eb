/* Protects: ids, vectors and configurations mean what Qdrant's clients mean, and wrong ones are refused in
 * Qdrant's words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "server/collection_json.h"

static nx_call call;

static const nx_json *parse(const char *text)
{
    const nx_json *v;
    nx_error       err;

    if (nx_json_parse_into(&call.kept, &v, "t", text, strlen(text), 0, &err))
        fail_msg("%s", err.text);
    return v;
}

static int end_call(void **state)
{
    (void)state;
    nx_arena_free(&call.kept);
    call = (nx_call){0};
    return 0;
}

static void ids(void **state)
{
    static const char *const wrong[] = {
        "\"7\"", "-1", "1.5", "null", "[1]", "\"\"", "18446744073709551616"};
    nx_point_id id;
    nx_error    err;
    nx_jw       w = {.buf.max = 1000};

    (void)state;
    assert_int_equal(nx_qd_id(&id, parse("18446744073709551615"), &err), NX_OK);
    assert_true(id.lo == UINT64_MAX && !id.is_uuid);
    assert_int_equal(nx_qd_id(&id, parse("\"550E8400e29b41d4a716446655440000\""), &err), NX_OK);
    nx_qd_write_id(&w, NULL, id);
    assert_string_equal(w.buf.data, "\"550e8400-e29b-41d4-a716-446655440000\"");
    nx_buf_free(&w.buf);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(nx_qd_id(&id, parse(wrong[i]), &err), NX_EINVAL);
        assert_non_null(strstr(err.text, "is not a valid point ID"));
    }
}

static void values_come_back(void **state)
{
    static const char text[] =
        "{\"a\":[1,1.0,-0.5,18446744073709551615,null,true],\"b\":{\"\":\"x\\n\"}}";
    nx_value v;
    nx_jw    w = {.buf.max = 1000};

    (void)state;
    assert_int_equal(nx_qd_value(&v, &call, parse(text), NULL), NX_OK);
    nx_qd_write_value(&w, NULL, v);
    assert_string_equal(w.buf.data, text);
    nx_buf_free(&w.buf);
}

static void configurations(void **state)
{
    static const struct {
        const char *body, *words;
        nx_status   st;
    } wrong[] = {
        {"{\"vectors\":{\"size\":4,\"distance\":\"Cosinus\"}}", "unknown variant `Cosinus`",
         NX_EINVAL},
        {"{\"vectors\":{\"distance\":\"Dot\"}}", "missing field `size`", NX_EINVAL},
        {"{\"vectors\":{\"size\":65537,\"distance\":\"Dot\"}}", "must be from 1 to 65536",
         NX_EINVAL},
        {"{\"vectors\":{\"a\":{\"size\":1,\"distance\":\"Dot\",\"datatype\":\"uint8\"}}}",
         "not supported: datatype uint8", NX_EUNSUPPORTED},
        {"{\"sparse_vectors\":{\"s\":{\"modifier\":\"odd\"}}}", "modifier", NX_EINVAL},
    };
    nx_config c;
    nx_error  err;

    (void)state;
    assert_int_equal(
        nx_collection_json_read(
            &c, &call,
            parse("{\"vectors\":{\"\":{\"size\":3,\"distance\":\"Euclid\",\"model\":\"m\"}},"
                  "\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"}},"
                  "\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}}}"),
            &err),
        NX_OK);
    assert_int_equal(c.n_slots, 2);
    assert_int_equal(c.slots[0].storage, NX_STORE_SQ8);
    assert_int_equal(c.slots[0].distance, NX_EUCLID);
    assert_true(nx_str_eq(c.slots[0].model, NX_STR("m")));
    assert_true(c.slots[1].idf && c.slots[1].form == NX_FORM_SPARSE);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(nx_collection_json_read(&c, &call, parse(wrong[i].body), &err),
                         wrong[i].st);
        if (!strstr(err.text, wrong[i].words)) fail_msg("%s", err.text);
    }
}

static void vectors(void **state)
{
    static const struct {
        const char *vector, *words;
    } wrong[] = {
        {"[1,2]", "Vector dimension error: expected dim: 3, got 2"},
        {"{\"x\":[1,2,3]}", "Not existing vector name error: x"},
        {"[1,2,1e300]", "beyond f32"},
        {"[1,2,\"3\"]", "expected f32"},
        {"{\"s\":{\"indices\":[1],\"values\":[]}}", "must be the same length"},
        {"{\"s\":{\"indices\":[1,1],\"values\":[1,2]}}", "must be unique"},
        {"{\"s\":{\"indices\":[4294967296],\"values\":[1]}}", "expected u32"},
        {"{\"m\":[[1,2],[1]]}", "expected dim: 2, got 1"},
        {"{\"m\":[[1,2],1]}", "expected an array"},
        {"7", "expected an array"},
    };
    nx_config c;
    nx_vector v[NX_SLOTS_MAX];
    int32_t   n;
    nx_error  err;

    (void)state;
    assert_int_equal(
        nx_collection_json_read(
            &c, &call,
            parse(
                "{\"vectors\":{\"\":{\"size\":3,\"distance\":\"Dot\"},\"m\":{\"size\":2,\"distance\":"
                "\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}}},"
                "\"sparse_vectors\":{\"s\":{}}}"),
            &err),
        NX_OK);
    assert_int_equal(nx_qd_vectors(v, &n, &call, &c,
                                   parse("{\"m\":[[1,2],[3,4]],\"s\":{\"indices\":[9,2,5],"
                                         "\"values\":[9,2,5]}}"),
                                   &err),
                     NX_OK);
    assert_int_equal(n, 2);
    assert_true(v[0].n == 2 && v[0].values[3] == 4);
    for (int i = 0; i < 3; i++) assert_true((float)v[1].indices[i] == v[1].values[i]);
    assert_true(v[1].indices[0] == 2 && v[1].indices[2] == 9);
    assert_int_equal(nx_qd_vectors(v, &n, &call, &c, parse("{\"m\":[5,6]}"), &err), NX_OK);
    assert_true(v[0].form == NX_FORM_MULTI && v[0].n == 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(nx_qd_vectors(v, &n, &call, &c, parse(wrong[i].vector), &err), NX_EINVAL);
        if (!strstr(err.text, wrong[i].words)) fail_msg("%s: %s", wrong[i].vector, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(ids, end_call),
        cmocka_unit_test_teardown(values_come_back, end_call),
        cmocka_unit_test_teardown(configurations, end_call),
        cmocka_unit_test_teardown(vectors, end_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
