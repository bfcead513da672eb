/* Protects: payloads keep what their JSON said, edits along paths do what Qdrant's do, and bytes
 * that are no value, no id or no path are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/jsonwrite.h"
#include "store/path.h"
#include "store/point.h"

static void write_value(nx_jw *w, const char *key, nx_value v)
{
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        k;
    char          name[64];

    switch (nx_value_kind_of(v)) {
    case NX_VALUE_NULL: nx_jw_null(w, key); return;
    case NX_VALUE_FALSE: nx_jw_bool(w, key, false); return;
    case NX_VALUE_TRUE: nx_jw_bool(w, key, true); return;
    case NX_VALUE_INT: nx_jw_int(w, key, nx_value_int(v)); return;
    case NX_VALUE_UINT: nx_jw_u64(w, key, nx_value_uint(v)); return;
    case NX_VALUE_FLOAT: nx_jw_number(w, key, nx_value_float(v), 17); return;
    case NX_VALUE_TEXT: nx_jw_string(w, key, nx_value_text(v)); return;
    case NX_VALUE_ARRAY:
        nx_jw_open(w, key, '[');
        while (nx_value_next(&it, &k, &item)) write_value(w, NULL, item);
        nx_jw_close(w, ']');
        return;
    case NX_VALUE_OBJECT:
        nx_jw_open(w, key, '{');
        while (nx_value_next(&it, &k, &item)) {
            snprintf(name, sizeof name, "%.*s", (int)k.len, k.p);
            write_value(w, name, item);
        }
        nx_jw_close(w, '}');
        return;
    }
}

static nx_status parse(nx_buf *out, const char *json, nx_error *err)
{
    nx_json_doc doc;
    nx_status   st = nx_json_parse(&doc, "test", json, strlen(json), 0, err);

    *out = (nx_buf){.max = NX_PAYLOAD_MAX};
    if (!st) st = nx_value_add_json(out, doc.root, err);
    nx_json_doc_free(&doc);
    return st;
}

static nx_value of(const nx_buf *b)
{
    return (nx_value){(const uint8_t *)b->data, (uint32_t)b->len};
}

static void check_says(nx_value v, const char *want)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    assert_true(nx_value_check(v.p, v.n));
    write_value(&w, NULL, v);
    assert_int_equal(w.st, NX_OK);
    assert_string_equal(w.buf.data, want);
    nx_buf_free(&w.buf);
}

static void json_goes_in_and_out(void **state)
{
    static const char *const same[] = {
        "null",
        "true",
        "-9223372036854775808",
        "18446744073709551615",
        "0.5",
        "\"\\u0000a\\\"\"",
        "[]",
        "{}",
        "[1,[2,[3,{\"a\":[]}]]]",
        "{\"a\":1,\"b\":{\"c\":[true,false,null,\"x\"]}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        nx_buf b;
        assert_int_equal(parse(&b, same[i], NULL), NX_OK);
        check_says(of(&b), same[i]);
        nx_buf_free(&b);
    }
}

static void the_last_of_equal_keys_counts(void **state)
{
    nx_buf b, text = {.max = 1 << 20};

    (void)state;
    assert_int_equal(parse(&b, "{\"a\":1,\"b\":2,\"a\":3}", NULL), NX_OK);
    check_says(of(&b), "{\"b\":2,\"a\":3}");
    nx_buf_free(&b);
    nx_buf_add(&text, "{", 1, NULL);
    for (int i = 0; i < 1000; i++)
        nx_buf_addf(&text, NULL, "%s\"k%d\":%d", i ? "," : "", i % 50, i);
    nx_buf_add(&text, "}", 1, NULL);
    assert_int_equal(parse(&b, text.data, NULL), NX_OK);
    assert_int_equal(nx_value_count(of(&b)), 50);
    assert_int_equal(nx_value_int(nx_value_member(of(&b), NX_STR("k7"))), 957);
    nx_buf_free(&b);
    nx_buf_free(&text);
}

static void too_deep_and_too_large_are_refused(void **state)
{
    char     deep[500];
    nx_buf   b = {.max = 64};
    nx_error err;

    (void)state;
    assert_int_equal(parse(&b, "1e999", &err), NX_EINVAL);
    nx_buf_free(&b);
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    deep[400] = '\0';
    assert_int_equal(parse(&b, deep, &err), NX_OK);
    assert_true(nx_value_check(b.data, b.len));
    nx_buf one_more = {.max = 1 << 20};
    size_t mark;
    assert_int_equal(nx_value_open(&one_more, NX_VALUE_ARRAY, &mark, NULL), NX_OK);
    assert_int_equal(nx_value_add(&one_more, of(&b), NULL), NX_OK);
    nx_value_close(&one_more, mark, 1);
    assert_false(nx_value_check(one_more.data, one_more.len));
    nx_buf_free(&one_more);
    nx_buf_free(&b);
    b.max = 10;
    assert_int_equal(nx_value_add_text(&b, NX_STR("0123456789"), &err), NX_ELIMIT);
    nx_buf_free(&b);
}

/* Every byte changed, every length cut: refused, or another value that is whole. */
static void damaged_values_are_seen(void **state)
{
    nx_buf b;

    (void)state;
    assert_int_equal(
        parse(&b, "{\"a\":[1,2.5,\"text\",{\"b\":null}],\"c\":18446744073709551615}", NULL), NX_OK);
    for (size_t n = 0; n < b.len; n++) assert_false(nx_value_check(b.data, n));
    for (size_t i = 0; i < b.len; i++) {
        char kept = b.data[i];
        for (int x = 0; x < 256; x++) {
            b.data[i] = (char)x;
            if (!nx_value_check(b.data, b.len)) continue;
            nx_jw w = {.buf.max = NX_JW_MAX};
            write_value(&w, NULL, of(&b)); /* the sanitizers watch */
            nx_buf_free(&w.buf);
        }
        b.data[i] = kept;
    }
    nx_buf_free(&b);
}

typedef struct edit_case {
    const char *before, *path, *src, *after; /* src NULL: remove; path NULL: the whole payload */
} edit_case;

static void payloads_are_edited_along_paths(void **state)
{
    static const edit_case cases[] = {
        {"{\"a\":1,\"b\":2}", NULL, "{\"b\":3,\"c\":4}", "{\"a\":1,\"b\":3,\"c\":4}"},
        {"{\"a\":1,\"b\":2}", NULL, "{\"a\":null,\"z\":null}", "{\"b\":2}"},
        {"{}", "a.b", "{\"c\":1}", "{\"a\":{\"b\":{\"c\":1}}}"},
        {"{\"a\":{\"b\":{\"x\":0}}}", "a.b", "{\"c\":1}", "{\"a\":{\"b\":{\"x\":0,\"c\":1}}}"},
        {"{\"a\":5}", "a.b", "{\"c\":1}", "{\"a\":{\"b\":{\"c\":1}}}"},
        {"{\"a\":[{\"b\":1},2]}", "a[]", "{\"c\":1}", "{\"a\":[{\"b\":1,\"c\":1},{\"c\":1}]}"},
        {"{\"a\":[{\"b\":1},2]}", "a[1].d", "{\"c\":1}", "{\"a\":[{\"b\":1},{\"d\":{\"c\":1}}]}"},
        {"{\"a\":[{\"b\":1}]}", "a[7]", "{\"c\":1}", "{\"a\":[{\"b\":1}]}"},
        {"{\"a\":5}", "a[]", "{\"c\":1}", "{\"a\":[]}"},
        {"{\"a key\":{\"b\":1}}", "\"a key\"", "{\"c\":1}", "{\"a key\":{\"b\":1,\"c\":1}}"},
        {"{\"a\":{\"b\":1,\"c\":2},\"d\":3}", "a.b", NULL, "{\"a\":{\"c\":2},\"d\":3}"},
        {"{\"a\":{\"b\":1}}", "a.x", NULL, "{\"a\":{\"b\":1}}"},
        {"{\"a\":{\"b\":1}}", "a.b.c", NULL, "{\"a\":{\"b\":1}}"},
        {"{\"a\":[{\"b\":1,\"c\":2},{\"b\":3}]}", "a[].b", NULL, "{\"a\":[{\"c\":2},{}]}"},
        {"{\"a\":[{\"b\":1},{\"b\":3}]}", "a[0].b", NULL, "{\"a\":[{},{\"b\":3}]}"},
        {"{\"a\":[1,2]}", "a[]", NULL, "{\"a\":[]}"},
        {"{\"a\":[1,2]}", "a[0]", NULL, "{\"a\":[1,2]}"},
        {"{\"a\":1}", "a", NULL, "{}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const edit_case *c = &cases[i];
        nx_buf           before, src = {0}, after = {.max = 1 << 20};
        nx_path          path = {0};
        assert_int_equal(parse(&before, c->before, NULL), NX_OK);
        if (c->path) assert_int_equal(nx_path_parse(&path, nx_str_of(c->path), NULL), NX_OK);
        if (c->src) assert_int_equal(parse(&src, c->src, NULL), NX_OK);
        nx_status st = c->src ? nx_path_set(&after, of(&before), &path, of(&src), NULL)
                              : nx_path_remove(&after, of(&before), &path, NULL);
        assert_int_equal(st, NX_OK);
        check_says(of(&after), c->after);
        nx_buf_free(&before);
        nx_buf_free(&src);
        nx_buf_free(&after);
    }
}

static bool add_up(void *ctx, nx_value v)
{
    *(int64_t *)ctx += nx_value_int(v);
    return true;
}

static void paths_are_followed(void **state)
{
    nx_buf  b;
    nx_path p;
    int64_t sum = 0;

    (void)state;
    assert_int_equal(
        parse(&b, "{\"a\":[{\"b\":1},{\"b\":20},{\"c\":9}],\"d\":[[5,6],[700]]}", NULL), 0);
    assert_int_equal(nx_path_parse(&p, NX_STR("a[].b"), NULL), NX_OK);
    assert_true(nx_path_visit(&p, of(&b), add_up, &sum));
    assert_int_equal(sum, 21);
    assert_int_equal(nx_path_parse(&p, NX_STR("d[1][0]"), NULL), NX_OK);
    nx_path_visit(&p, of(&b), add_up, &sum);
    assert_int_equal(sum, 721);
    assert_int_equal(nx_path_parse(&p, NX_STR("a.b"), NULL), NX_OK); /* an array has no keys */
    nx_path_visit(&p, of(&b), add_up, &sum);
    assert_int_equal(sum, 721);
    nx_buf_free(&b);
}

static void what_is_no_path_is_refused(void **state)
{
    static const char *const wrong[] = {"",     ".",   "a.",  "a..b", "a[",     "a[1",
                                        "a[x]", "[0]", "a b", "\"a",  "a\"b\"", "a[4294967296]",
                                        "a]"};
    nx_path                  p;
    nx_error                 err;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(nx_path_parse(&p, nx_str_of(wrong[i]), &err), NX_EINVAL);
        assert_non_null(strstr(err.text, "byte"));
    }
}

static void ids_are_read_and_ordered(void **state)
{
    static const char *const same[] = {
        "550e8400-e29b-41d4-a716-446655440000", "550E8400E29B41D4A716446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}", "urn:uuid:550e8400-e29b-41d4-a716-446655440000"};
    char        text[NX_ID_TEXT];
    nx_point_id id;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(nx_id_parse_uuid(&id, nx_str_of(same[i]), NULL), NX_OK);
        assert_string_equal(nx_id_write(text, id), same[0]);
    }
    assert_int_equal(nx_id_parse_uuid(&id, NX_STR("12"), NULL), NX_EINVAL);
    assert_int_equal(nx_id_parse_uuid(&id, NX_STR("550e8400-e29b-41d4-a716_446655440000"), NULL),
                     NX_EINVAL);
    assert_string_equal(nx_id_write(text, nx_id_number(UINT64_MAX)), "18446744073709551615");
    assert_true(nx_id_compare(nx_id_number(UINT64_MAX), id) < 0);
    assert_true(nx_id_compare(nx_id_number(2), nx_id_number(10)) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_goes_in_and_out),
        cmocka_unit_test(the_last_of_equal_keys_counts),
        cmocka_unit_test(too_deep_and_too_large_are_refused),
        cmocka_unit_test(damaged_values_are_seen),
        cmocka_unit_test(payloads_are_edited_along_paths),
        cmocka_unit_test(paths_are_followed),
        cmocka_unit_test(what_is_no_path_is_refused),
        cmocka_unit_test(ids_are_read_and_ordered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
