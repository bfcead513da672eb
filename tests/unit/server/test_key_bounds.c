/* test_key_bounds.c - lists of names kept, found, written and read; and what they allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/rights.h"

static void add(nx_key_bounds *b, nx_key_list list, const char *name)
{
    assert_int_equal(nx_key_bounds_add(b, list, nx_str_of(name), NULL), NX_OK);
}

static void names_are_kept(void **state)
{
    nx_key_bounds b = {0};
    (void)state;

    assert_false(nx_key_bounds_any(&b));
    add(&b, NX_KEY_TAGS, "t1");
    add(&b, NX_KEY_COLLECTIONS, "a");
    add(&b, NX_KEY_TAGS, "t2");
    add(&b, NX_KEY_COLLECTIONS, "a/b");
    add(&b, NX_KEY_COLLECTIONS, "a"); /* again */
    assert_int_equal(b.n[NX_KEY_COLLECTIONS], 2);
    assert_int_equal(b.n[NX_KEY_TAGS], 2);
    assert_true(nx_str_eq(nx_key_bounds_name(&b, NX_KEY_COLLECTIONS, 1), NX_STR("a/b")));
    assert_true(nx_str_eq(nx_key_bounds_name(&b, NX_KEY_TAGS, 0), NX_STR("t1")));
    assert_true(nx_str_eq(nx_key_bounds_name(&b, NX_KEY_TAGS, 1), NX_STR("t2")));
    assert_true(nx_key_bounds_has(&b, NX_KEY_COLLECTIONS, NX_STR("a")));
    assert_false(nx_key_bounds_has(&b, NX_KEY_COLLECTIONS, NX_STR("t1")));
    assert_false(nx_key_bounds_has(&b, NX_KEY_TAGS, NX_STR("a")));
    assert_false(nx_key_bounds_has(&b, NX_KEY_TAGS, NX_STR("t")));
}

static void too_many_are_refused(void **state)
{
    nx_key_bounds b = {0}, before;
    char          name[200];
    nx_error      err;
    nx_status     st = NX_OK;
    (void)state;

    assert_int_equal(nx_key_bounds_add(&b, NX_KEY_TAGS, NX_STR(""), &err), NX_EINVAL);
    assert_int_equal(nx_key_bounds_add(&b, NX_KEY_TAGS, NX_STR("\xff"), &err), NX_EINVAL);
    assert_int_equal(nx_key_bounds_add(&b, NX_KEY_TAGS, (nx_str){"a\0b", 3}, &err), NX_EINVAL);
    for (int i = 0; !st; i++) {
        before = b;
        snprintf(name, sizeof name, "%0150d", i);
        st = nx_key_bounds_add(&b, i % 2 ? NX_KEY_TAGS : NX_KEY_COLLECTIONS, nx_str_of(name), &err);
    }
    assert_int_equal(st, NX_ELIMIT);
    assert_memory_equal(&b, &before, sizeof b);
    assert_int_equal(b.n[0] + b.n[1], NX_KEY_NAMES_CAP / 151);
}

static void text_there_and_back(void **state)
{
    nx_key_bounds b = {.read_only = true}, back;
    char          text[NX_KEY_BOUNDS_CAP];
    nx_error      err;
    (void)state;

    add(&b, NX_KEY_COLLECTIONS, "Bücher \"1\"\n");
    add(&b, NX_KEY_TAGS, "t");
    assert_int_equal(nx_key_bounds_to_text(text, &b, &err), NX_OK);
    assert_int_equal(nx_key_bounds_of_text(&back, text, &err), NX_OK);
    assert_memory_equal(&b, &back, sizeof b);
    assert_int_equal(nx_key_bounds_to_text(text, &(nx_key_bounds){0}, &err), NX_OK);
    assert_string_equal(text, "");
    assert_int_equal(nx_key_bounds_of_text(&back, "", &err), NX_OK);
    assert_false(nx_key_bounds_any(&back));
    assert_int_equal(nx_key_bounds_of_text(&back, "[]", &err), NX_EFORMAT);
    assert_int_equal(nx_key_bounds_of_text(&back, "{\"tags\":[]}", &err), NX_EFORMAT);
    assert_int_equal(nx_key_bounds_of_text(&back, "{\"tags\":[1]}", &err), NX_EFORMAT);
    assert_int_equal(nx_key_bounds_of_text(&back, "{\"read_only\":1}", &err), NX_EFORMAT);
}

/* Every control character becomes six bytes of JSON: the text still has room. */
static void the_longest_text_fits(void **state)
{
    nx_key_bounds b = {.read_only = true}, back;
    char          text[NX_KEY_BOUNDS_CAP], name[256];
    nx_error      err;
    (void)state;

    for (int i = 0; i < 4; i++) {
        memset(name, 1 + i, 254);
        name[254] = '\0';
        add(&b, i % 2 ? NX_KEY_TAGS : NX_KEY_COLLECTIONS, name);
    }
    assert_int_equal(nx_key_bounds_to_text(text, &b, &err), NX_OK);
    assert_int_equal(nx_key_bounds_of_text(&back, text, &err), NX_OK);
    assert_memory_equal(&b, &back, sizeof b);
}

/* ---- Rights ---- */

static void what_is_allowed(void **state)
{
    static nx_call c;
    (void)state;

    assert_true(nx_rights_allow(&c, NX_STR("x"), NX_RIGHT_MANAGE)); /* no key, no bounds */
    c.key.bounds.read_only = true;
    assert_true(nx_rights_allow(&c, NX_STR("x"), NX_RIGHT_READ));
    assert_false(nx_rights_allow(&c, NX_STR("x"), NX_RIGHT_WRITE));
    assert_false(nx_rights_allow(&c, NX_STR("x"), NX_RIGHT_MANAGE));
    c.key.bounds = (nx_key_bounds){0};
    add(&c.key.bounds, NX_KEY_COLLECTIONS, "a");
    assert_true(nx_rights_allow(&c, NX_STR("a"), NX_RIGHT_MANAGE));
    assert_false(nx_rights_allow(&c, NX_STR("b"), NX_RIGHT_READ));
    add(&c.key.bounds, NX_KEY_TAGS, "t");
    assert_true(nx_rights_allow(&c, NX_STR("a"), NX_RIGHT_WRITE));
    assert_false(nx_rights_allow(&c, NX_STR("a"), NX_RIGHT_MANAGE));
    c.key.bounds = (nx_key_bounds){0};
}

/* A payload out of JSON. */
static nx_value payload(nx_buf *b, const char *json)
{
    nx_json_doc doc;
    nx_error    err;

    nx_buf_clear(b);
    assert_int_equal(nx_json_parse(&doc, "payload", json, strlen(json), 0, &err), NX_OK);
    assert_int_equal(nx_value_add_json(b, doc.root, &err), NX_OK);
    nx_json_doc_free(&doc);
    return (nx_value){(const uint8_t *)b->data, (uint32_t)b->len};
}

static void tags_filter_points(void **state)
{
    static const struct {
        const char *json;
        bool        seen, changed, written;
    } cases[] = {
        {"{}", true, false, false},
        {"{\"access_tags\": []}", true, false, false},
        {"{\"access_tags\": null}", true, false, false},
        {"{\"access_tags\": [\"red\"]}", true, true, true},
        {"{\"access_tags\": \"blue\"}", true, true, true},
        {"{\"access_tags\": [\"red\", \"green\"]}", true, true, false},
        {"{\"access_tags\": [\"green\"]}", false, false, false},
        {"{\"access_tags\": {\"red\": 1}}", false, false, false},
        {"{\"access_tags\": 1}", false, false, false},
    };
    static nx_call   c;
    nx_buf           b = {.max = 4096};
    const nx_filter *see, *change, *own = &(nx_filter){0};
    nx_error         err;
    (void)state;

    assert_int_equal(nx_rights_filter(&c, own, &see, &err), NX_OK);
    assert_ptr_equal(see, own);
    assert_int_equal(nx_rights_payload(&c, payload(&b, "{}"), &err), NX_OK);
    add(&c.key.bounds, NX_KEY_TAGS, "red");
    add(&c.key.bounds, NX_KEY_TAGS, "blue");
    assert_int_equal(nx_rights_filter(&c, NULL, &see, &err), NX_OK);
    assert_int_equal(nx_rights_change_filter(&c, own, &change, &err), NX_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nx_value v = payload(&b, cases[i].json);
        assert_int_equal(nx_filter_test(see, nx_id_number(1), v, 0), cases[i].seen);
        assert_int_equal(nx_filter_test(change, nx_id_number(1), v, 0), cases[i].changed);
        assert_int_equal(nx_rights_payload(&c, v, &err) == NX_OK, cases[i].written);
    }
    assert_int_equal(nx_rights_payload(&c, (nx_value){0}, &err), NX_EINVAL);
    nx_buf_free(&b);
    nx_arena_free(&c.kept);
    c.key.bounds = (nx_key_bounds){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_kept),      cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(text_there_and_back), cmocka_unit_test(the_longest_text_fits),
        cmocka_unit_test(what_is_allowed),     cmocka_unit_test(tags_filter_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
