/* Protects the check of request bodies: what is in range passes, what isn't is named with its place, what
 * was expected and what was found; and what passed is read as the table says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/fields.h"

static const nx_fields part =
    NX_FIELDS("Part", NX_F_STRING("type", NULL, .required = true, .choices = "text|image"),
              NX_F_STRING("text", NULL, .required = true));

static const nx_fields message = NX_FIELDS(
    "Message", NX_F_STRING("role", NULL, .required = true, .choices = "user|assistant"),
    NX_F_ONE_OF("content", NULL, .nullable = true,
                .of = NX_LIST(NX_F_STRING(NULL, NULL),
                              NX_F_ARRAY(NULL, NULL,
                                         .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &part)))));

#define IDS .kind = NX_FIELD_ARRAY, .range = NX_FROM(1), .of = NX_ONE(.kind = NX_FIELD_INT)

static const nx_fields table = {
    .name = "Table",
    .any = "a|b",
    .list = NX_LIST(
        NX_F_INT("a", NULL), NX_F_INT("b", NULL),
        NX_F_INT("max_new_tokens", NULL, .range = NX_BETWEEN(1, 4096), .limit = NX_LIMIT_NEW_TOKENS,
                 .preset = "512"),
        NX_F_INT("seed", NULL, .nullable = true),
        NX_F_NUMBER("top_p", NULL, .range = NX_BETWEEN(0, 1), .preset = "0.9"),
        NX_F_NUMBER("penalty", NULL, .range = NX_ABOVE_UP_TO(0, 2), .preset = "-1.25"),
        NX_F_BOOL("stream", NULL, .preset = "false"), NX_F_BOOL("sample", NULL, .preset = "true"),
        NX_F_STRING("name", NULL, .range = NX_BETWEEN(1, 4), .preset = "\"anna\""),
        NX_F_STRING("day", NULL, .format = NX_FORMAT_DATE),
        NX_F_ARRAY("messages", NULL, .range = NX_BETWEEN(1, 3),
                   .of = NX_ONE(.kind = NX_FIELD_OBJECT, .fields = &message)),
        NX_F_MAP("bias", NULL, .range = NX_UP_TO(2), .format = NX_FORMAT_DECIMAL,
                 .of = NX_ONE(.kind = NX_FIELD_NUMBER, .range = NX_BETWEEN(-100, 100))),
        NX_F_ONE_OF("prompt", NULL,
                    .of = NX_LIST(NX_F_STRING(NULL, NULL, .range = NX_FROM(1)),
                                  NX_F_ARRAY(NULL, NULL, .of = NX_ONE(.kind = NX_FIELD_STRING)),
                                  {IDS}, NX_F_ARRAY(NULL, NULL, .of = NX_ONE(IDS)))),
        NX_F_BOOL("logprobs", NULL), NX_F_INT("top", NULL, .nullable = true, .needs = "logprobs"),
        NX_F_ANY("meta", NULL), NX_F_OBJECT("free", NULL)),
};

static const nx_field_limits no_limits = {{0}};

/* NULL where the body passes, else what is wrong with it. */
static const char *fault_of(const char *body, const nx_field_limits *limits, nx_fault *fault)
{
    nx_json_doc doc;

    assert_int_equal(nx_json_parse(&doc, "body", body, strlen(body), NX_JSON_PYTHON, NULL), NX_OK);
    bool fits = nx_fields_check(&table, doc.root, limits, fault);
    if (!fits) {
        nx_jw w = {.buf.max = 4096}; /* views into the document: used while it stands */
        nx_fault_write_loc(fault, &w, NULL, "body");
        assert_int_equal(w.st, NX_OK);
        nx_buf_free(&w.buf);
    }
    nx_json_doc_free(&doc);
    return fits ? NULL : fault->text;
}

static void assert_fault(const char *body, nx_fault_kind kind, const char *text)
{
    nx_fault fault;

    const char *found = fault_of(body, &no_limits, &fault);
    if (!found) fail_msg("%s passed", body);
    assert_string_equal(found, text);
    assert_int_equal(fault.kind, kind);
}

static void assert_fits(const char *body)
{
    nx_fault    fault;
    const char *text = fault_of(body, &no_limits, &fault);

    if (text) fail_msg("%s: %s", body, text);
}

static void test_what_fits(void **state)
{
    (void)state;
    assert_fits("{\"a\": 1}");
    assert_fits("{\"b\": 1.0, \"unknown\": {\"deep\": [[]]}, \"meta\": null}");
    assert_fits("{\"a\": 1, \"max_new_tokens\": 1, \"top_p\": 0, \"penalty\": 2}");
    assert_fits("{\"a\": 1, \"max_new_tokens\": 4096, \"top_p\": 1, \"penalty\": 1e-9}");
    assert_fits("{\"a\": 1, \"seed\": null, \"top\": null}");
    assert_fits("{\"a\": 1, \"seed\": -9223372036854775808}");
    assert_fits("{\"a\": 1, \"seed\": 9223372036854775807}");
    assert_fits("{\"a\": 1, \"seed\": 1e18}");
    assert_fits("{\"a\": 1, \"name\": \"\xc3\xa4\xf0\x9f\x98\x80"
                "bc\"}"); /* four characters */
    assert_fits("{\"a\": 1, \"day\": \"2024-02-29\", \"free\": {\"x\": 1}}");
    assert_fits("{\"a\": 1, \"bias\": {\"17\": -100, \"0\": 0.5}}");
    assert_fits("{\"a\": 1, \"logprobs\": true, \"top\": 3}");
    assert_fits(
        "{\"a\": 1, \"messages\": [{\"role\": \"user\"}, {\"role\": \"user\", \"content\": "
        "null}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"\"}]}]}");
    assert_fits("{\"a\": 1, \"prompt\": \"x\"}");
    assert_fits("{\"a\": 1, \"prompt\": []}");
    assert_fits("{\"a\": 1, \"prompt\": [\"x\", \"\"]}");
    assert_fits("{\"a\": 1, \"prompt\": [1, 2.0]}");
    assert_fits("{\"a\": 1, \"prompt\": [[1], [2, 3]]}");
}

static void test_scalars_that_do_not_fit(void **state)
{
    (void)state;
    assert_fault("{\"a\": 1, \"max_new_tokens\": -5}", NX_FAULT_RANGE,
                 "max_new_tokens: expected an integer from 1 to 4096, found -5");
    assert_fault("{\"a\": 1, \"max_new_tokens\": 99999999999999999999}", NX_FAULT_TYPE,
                 "max_new_tokens: expected an integer from 1 to 4096, found 1e+20");
    assert_fault("{\"a\": 1, \"max_new_tokens\": 18446744073709551615}", NX_FAULT_TYPE,
                 "max_new_tokens: expected an integer from 1 to 4096, found 18446744073709551615");
    assert_fault("{\"a\": 1, \"max_new_tokens\": 1.5}", NX_FAULT_TYPE,
                 "max_new_tokens: expected an integer from 1 to 4096, found 1.5");
    assert_fault("{\"a\": 1, \"max_new_tokens\": \"12\"}", NX_FAULT_TYPE,
                 "max_new_tokens: expected an integer from 1 to 4096, found '12'");
    assert_fault("{\"a\": 1, \"max_new_tokens\": null}", NX_FAULT_TYPE,
                 "max_new_tokens: expected an integer from 1 to 4096, found null");
    assert_fault("{\"a\": 1, \"seed\": 9223372036854775808}", NX_FAULT_TYPE,
                 "seed: expected an integer, found 9223372036854775808");
    assert_fits("{\"a\": 1, \"seed\": -9223372036854775808}");
    assert_fault("{\"a\": 1, \"seed\": -9223372036854775809}", NX_FAULT_TYPE,
                 "seed: expected an integer, found -9.22337203685478e+18");
    assert_fault("{\"a\": 1, \"seed\": 1e19}", NX_FAULT_TYPE,
                 "seed: expected an integer, found 1e+19");
    assert_fault("{\"a\": 1, \"top_p\": NaN}", NX_FAULT_RANGE,
                 "top_p: expected a number from 0 to 1, found NaN");
    assert_fault("{\"a\": 1, \"top_p\": -Infinity}", NX_FAULT_RANGE,
                 "top_p: expected a number from 0 to 1, found -Infinity");
    assert_fault("{\"a\": 1, \"top_p\": 1e999}", NX_FAULT_RANGE,
                 "top_p: expected a number from 0 to 1, found Infinity");
    assert_fault("{\"a\": 1, \"top_p\": true}", NX_FAULT_TYPE,
                 "top_p: expected a number from 0 to 1, found true");
    assert_fault("{\"a\": 1, \"penalty\": 0}", NX_FAULT_RANGE,
                 "penalty: expected a number above 0 and at most 2, found 0");
    assert_fault("{\"a\": 1, \"stream\": 1}", NX_FAULT_TYPE,
                 "stream: expected true or false, found 1");
    assert_fault("{\"a\": 1, \"name\": \"\"}", NX_FAULT_RANGE,
                 "name: expected a string of 1 to 4 characters, found 0 characters");
    assert_fault("{\"a\": 1, \"name\": \"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\"}",
                 NX_FAULT_RANGE,
                 "name: expected a string of 1 to 4 characters, found 5 characters");
    assert_fault("{\"a\": 1, \"day\": \"2026-02-29\"}", NX_FAULT_CHOICE,
                 "day: expected a date as 2026-03-31, found '2026-02-29'");
    assert_fault("{\"a\": 1, \"day\": \"2026-2-9\"}", NX_FAULT_CHOICE,
                 "day: expected a date as 2026-03-31, found '2026-2-9'");
    assert_fault("{\"a\": 1, \"top\": 3}", NX_FAULT_MISSING, "top: only with logprobs: true");
    assert_fault("{\"a\": 1, \"top\": 3, \"logprobs\": false}", NX_FAULT_MISSING,
                 "top: only with logprobs: true");
    assert_fault("{\"a\": 1, \"top_p\": 7, \"top_p\": 1}", NX_FAULT_TWICE,
                 "top_p: stands there twice");
    assert_fault("{}", NX_FAULT_MISSING, "a: expected an integer, found nothing");
    assert_fault("[]", NX_FAULT_TYPE, "body: expected an object, found an array");
    assert_fault("17", NX_FAULT_TYPE, "body: expected an object, found 17");
}

static void test_places_inside(void **state)
{
    (void)state;
    assert_fault("{\"a\": 1, \"messages\": []}", NX_FAULT_RANGE,
                 "messages: expected an array of 1 to 3 objects, found 0");
    assert_fault("{\"a\": 1, \"messages\": [{\"role\": \"user\"}, 5]}", NX_FAULT_TYPE,
                 "messages[1]: expected an object, found 5");
    assert_fault("{\"a\": 1, \"messages\": [{\"content\": \"x\"}]}", NX_FAULT_MISSING,
                 "messages[0].role: expected one of user, assistant, found nothing");
    assert_fault("{\"a\": 1, \"messages\": [{\"role\": 5, \"role\": \"user\"}]}", NX_FAULT_TWICE,
                 "messages[0].role: stands there twice");
    assert_fault("{\"a\": 1, \"messages\": [{\"role\": \"use\"}]}", NX_FAULT_CHOICE,
                 "messages[0].role: expected one of user, assistant, found 'use'");
    assert_fault("{\"a\": 1, \"messages\": [{\"role\": \"user|assistant\"}]}", NX_FAULT_CHOICE,
                 "messages[0].role: expected one of user, assistant, found 'user|assistant'");
    assert_fault("{\"a\": 1, \"messages\": [{\"role\": \"user\", \"content\": 5}]}", NX_FAULT_TYPE,
                 "messages[0].content: expected a string or an array of objects, found 5");
    assert_fault(
        "{\"a\": 1, \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]}",
        NX_FAULT_MISSING, "messages[0].content[0].text: expected a string, found nothing");
    assert_fault("{\"a\": 1, \"bias\": {\"1\": 0, \"2\": 0, \"3\": 0}}", NX_FAULT_RANGE,
                 "bias: expected an object of at most 2 entries, found 3");
    assert_fault("{\"a\": 1, \"bias\": {\"1\": 100.5}}", NX_FAULT_RANGE,
                 "bias.1: expected a number from -100 to 100, found 100.5");
    assert_fault("{\"a\": 1, \"bias\": {\"x\": 1}}", NX_FAULT_CHOICE,
                 "bias.x: expected a number as its name, found 'x'");
    assert_fault("{\"a\": 1, \"prompt\": \"\"}", NX_FAULT_RANGE,
                 "prompt: expected a string of at least 1 character, found 0 characters");
    assert_fault("{\"a\": 1, \"prompt\": [\"x\", 5]}", NX_FAULT_TYPE,
                 "prompt[1]: expected a string, found 5");
    assert_fault("{\"a\": 1, \"prompt\": [1, \"x\"]}", NX_FAULT_TYPE,
                 "prompt[1]: expected an integer, found 'x'");
    assert_fault("{\"a\": 1, \"prompt\": [[1], [2, \"x\"]]}", NX_FAULT_TYPE,
                 "prompt[1][1]: expected an integer, found 'x'");
    assert_fault("{\"a\": 1, \"prompt\": [[1], []]}", NX_FAULT_RANGE,
                 "prompt[1]: expected an array of at least 1 integer, found 0");
}

static void test_what_was_found_is_shown_short_and_clean(void **state)
{
    nx_fault fault;
    char     body[4096], *p = body;

    (void)state;
    assert_fault("{\"a\": 1, \"messages\": [{\"role\": \"x\\n\\u0000\\u001b[31m\"}]}",
                 NX_FAULT_CHOICE,
                 "messages[0].role: expected one of user, assistant, found 'x\?\?\?[31m'");
    p += sprintf(p, "{\"a\": 1, \"bias\": {\"");
    for (int i = 0; i < 500; i++) p += sprintf(p, "\xe2\x82\xac");
    sprintf(p, "\": \"y\"}}");
    assert_non_null(fault_of(body, &no_limits, &fault));
    assert_true(strlen(fault.path) < 80);
    assert_non_null(strstr(fault.text, "...: expected a number as its name, found '"));
}

static void test_the_place_as_json(void **state)
{
    const char  body[] = "{\"a\": 1, \"messages\": [{\"role\": \"user\"}, {\"role\": \"user\", "
                         "\"content\": 5}]}";
    nx_json_doc doc;
    nx_fault    fault;
    nx_jw       w = {.buf.max = 4096};

    (void)state;
    assert_int_equal(nx_json_parse(&doc, "body", body, sizeof body - 1, 0, NULL), NX_OK);
    assert_false(nx_fields_check(&table, doc.root, NULL, &fault));
    assert_string_equal(fault.path, "messages[1].content");
    nx_fault_write_loc(&fault, &w, NULL, "body");
    assert_string_equal(w.buf.data, "[\"body\",\"messages\",1,\"content\"]");
    nx_buf_free(&w.buf);
    nx_json_doc_free(&doc);

    nx_fault_set(&fault, NX_FAULT_CHOICE, &table, "name", "no model is called '%s'", "x");
    assert_string_equal(fault.path, "name");
    assert_string_equal(fault.text, "name: no model is called 'x'");
    assert_string_equal(fault.field->name, "name");
}

static void test_the_start_decides_a_maximum(void **state)
{
    const nx_field_limits more = {{[NX_LIMIT_NEW_TOKENS] = 10000}};
    nx_fault              fault;

    (void)state;
    assert_null(fault_of("{\"a\": 1, \"max_new_tokens\": 10000}", &more, &fault));
    assert_string_equal(fault_of("{\"a\": 1, \"max_new_tokens\": 10001}", &more, &fault),
                        "max_new_tokens: expected an integer from 1 to 10000, found 10001");
}

static void test_reading(void **state)
{
    const char  body[] = "{\"a\": 3.0, \"top_p\": 1, \"stream\": true, \"seed\": null}";
    nx_json_doc doc;

    (void)state;
    assert_int_equal(nx_json_parse(&doc, "body", body, sizeof body - 1, 0, NULL), NX_OK);
    assert_int_equal(nx_field_int(&table, doc.root, "a"), 3);
    assert_int_equal(nx_field_int(&table, doc.root, "b"), 0);
    assert_int_equal(nx_field_int(&table, doc.root, "max_new_tokens"), 512);
    assert_null(nx_field_get(doc.root, "seed"));
    assert_true(nx_field_number(&table, doc.root, "top_p") == 1.0);
    assert_true(nx_field_number(&table, doc.root, "penalty") == -1.25);
    assert_true(nx_field_bool(&table, doc.root, "stream"));
    assert_true(nx_field_bool(&table, doc.root, "sample"));
    assert_true(nx_str_eq(nx_field_string(&table, doc.root, "name"), NX_STR("anna")));
    assert_int_equal(nx_field_string(&table, doc.root, "day").len, 0);
    nx_json_doc_free(&doc);
    assert_true(nx_field_number(&table, NULL, "top_p") == 0.9);
}

static void assert_parse_fault(const char *body, const char *text)
{
    nx_json_doc doc;
    nx_error    err;
    nx_fault    fault;

    assert_int_equal(nx_json_parse(&doc, "body", body, strlen(body), NX_JSON_PYTHON, &err),
                     NX_EFORMAT);
    nx_fault_of_parse(&fault, &err, body, strlen(body));
    if (!strstr(fault.text, text)) fail_msg("%s: %s", body, fault.text);
    assert_int_equal(fault.kind, NX_FAULT_JSON);
}

static void test_what_is_no_json_is_placed(void **state)
{
    char deep[600] = "{\"a\": ";

    (void)state;
    assert_parse_fault("{\"prompt\": \"\\ud800\"}", "prompt: line 1, column 13: ");
    assert_parse_fault("{\"a\": 1,\n \"prompt\": \"\xff\"}",
                       "prompt: line 2, column 13: not UTF-8");
    assert_parse_fault("{\"messages\": [{\"role\": \"u\"}, {\"content\": \"\\udc00 \"}]}",
                       "messages[1].content: line 1, column ");
    assert_parse_fault("{\"a\": [1, [2, x]]}", "a[1][1]: line 1, column ");
    assert_parse_fault("{\"a\\\"b\": 01}", "a\\\"b: line 1, column ");
    assert_parse_fault("{\"a\": 1, \"b", "body: line 1, column ");
    assert_parse_fault("{\"a\": 1, }", "body: line 1, column ");
    assert_parse_fault("", "body: line 1, column 1: ");
    assert_parse_fault("{} x", "body: line 1, column 4: ");
    assert_parse_fault("\"abc", "body: line 1, column 1: ");
    memset(deep + 6, '[', 500);
    assert_parse_fault(deep, "a[0][0][0]");
}

static const char *get_text(void *ctx, const char *name)
{
    const char **pairs = ctx;

    for (; *pairs; pairs += 2)
        if (!strcmp(pairs[0], name)) return pairs[1];
    return NULL;
}

static const nx_fields query =
    NX_FIELDS("Query", NX_F_STRING("day", NULL, .format = NX_FORMAT_DATE),
              NX_F_INT("n", NULL, .range = NX_BETWEEN(-1, 9)), NX_F_BOOL("all", NULL),
              NX_F_STRING("key", NULL, .required = true));

static void test_words_of_a_query(void **state)
{
    const char *fits[] = {"day", "2026-01-31", "n", "-1", "all", "true", "key", "k", NULL};
    const char *day[] = {"day", "yesterday", "key", "k", NULL};
    const char *n[] = {"n", "1e1", "key", "k", NULL};
    const char *big[] = {"n", "99999999999999999999", "key", "k", NULL};
    const char *bytes[] = {"key", "\xff\xfe", NULL};
    const char *none[] = {NULL};
    nx_fault    fault;

    (void)state;
    assert_true(nx_fields_check_text(&query, get_text, fits, NULL, &fault));
    assert_false(nx_fields_check_text(&query, get_text, day, NULL, &fault));
    assert_string_equal(fault.text, "day: expected a date as 2026-03-31, found 'yesterday'");
    assert_false(nx_fields_check_text(&query, get_text, n, NULL, &fault));
    assert_string_equal(fault.text, "n: expected an integer from -1 to 9, found '1e1'");
    assert_false(nx_fields_check_text(&query, get_text, big, NULL, &fault));
    assert_false(nx_fields_check_text(&query, get_text, bytes, NULL, &fault));
    assert_string_equal(fault.path, "key");
    assert_false(nx_fields_check_text(&query, get_text, none, NULL, &fault));
    assert_string_equal(fault.text, "key: expected a string, found nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_fits),
        cmocka_unit_test(test_scalars_that_do_not_fit),
        cmocka_unit_test(test_places_inside),
        cmocka_unit_test(test_what_was_found_is_shown_short_and_clean),
        cmocka_unit_test(test_the_place_as_json),
        cmocka_unit_test(test_the_start_decides_a_maximum),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_what_is_no_json_is_placed),
        cmocka_unit_test(test_words_of_a_query),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
