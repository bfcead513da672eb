/* Protects /openapi.json: it is JSON, names every route with its scope, and refers to nothing that isn't
 * there. Whether it is OpenAPI, a validator of others says (tests/e2e). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "no_handlers.h"
#include "server/openapi.h"
#include "server/web.h"

typedef struct document {
    nx_buf      text;
    nx_json_doc doc;
} document;

static void open_document(document *d, const nx_field_limits *limits)
{
    nx_error err = {0};

    *d = (document){.text.max = NX_OPENAPI_BYTES_MAX};
    assert_int_equal(nx_openapi_write(&d->text, limits, "1.2.3", &err), NX_OK);
    if (nx_json_parse(&d->doc, "openapi.json", d->text.data, d->text.len, 0, &err))
        fail_msg("%s", err.text);
}

static void close_document(document *d)
{
    nx_json_doc_free(&d->doc);
    nx_buf_free(&d->text);
}

/* Down a path of names, "a b c". */
static const nx_json *at(const nx_json *v, const char *names)
{
    for (const char *p = names; *p;) {
        size_t len = strcspn(p, " ");
        v = nx_json_get_str(v, (nx_str){p, len});
        p += len + (p[len] == ' ');
    }
    return v;
}

static void test_every_route_is_there(void **state)
{
    document        d;
    const nx_route *r;

    (void)state;
    open_document(&d, NULL);
    assert_true(nx_json_is(at(d.doc.root, "openapi"), "3.1.0"));
    assert_true(nx_json_is(at(d.doc.root, "info version"), "1.2.3"));
    for (size_t i = 0; (r = nx_route_at(i)); i++) {
        char   path[128], method[8] = "";
        size_t n = 0;
        for (const char *p = r->path; *p; p++)
            if (*p != '+') path[n++] = *p;
        path[n] = '\0';
        for (size_t j = 0; r->method[j]; j++) method[j] = (char)(r->method[j] | 0x20);
        const nx_json *op = at(nx_json_get(at(d.doc.root, "paths"), path), method);
        if (!op) fail_msg("%s %s isn't described", r->method, r->path);
        assert_true(nx_json_is(at(op, "x-scope"), nx_scope_name(r->scope)));
        assert_int_equal(at(op, "security")->array.n, r->scope == NX_SCOPE_PUBLIC ? 0 : 2);
        assert_int_equal(at(op, "requestBody") != NULL, r->request || r->upload);
        const nx_json *replies = at(op, "responses");
        for (size_t j = 0; j < replies->object.n; j++) {
            const char *status = replies->object.members[j].key.p;
            int         code = (status[0] - '0') * 100 + (status[1] - '0') * 10 + status[2] - '0';
            assert_true(nx_route_may_answer(r, code));
        }
        assert_true(nx_route_may_answer(r, r->replies[0].status));
        assert_false(nx_route_may_answer(r, 418));
        assert_int_equal(nx_route_may_answer(r, 401), r->scope != NX_SCOPE_PUBLIC);
    }
    close_document(&d);
}

static void check_refs(const nx_json *root, const nx_json *v, size_t *n_refs)
{
    if (v->type == NX_JSON_ARRAY)
        for (size_t i = 0; i < v->array.n; i++) check_refs(root, &v->array.items[i], n_refs);
    if (v->type != NX_JSON_OBJECT) return;
    for (size_t i = 0; i < v->object.n; i++) {
        const nx_json_member *m = &v->object.members[i];
        check_refs(root, &m->value, n_refs);
        for (size_t j = 0; j < i; j++) /* a name twice would hide one */
            assert_false(nx_str_eq(m->key, v->object.members[j].key));
        if (!nx_str_eq(m->key, NX_STR("$ref"))) continue;
        const nx_json *to = root;
        nx_str         ref = m->value.text;
        assert_memory_equal(ref.p, "#/", 2);
        for (size_t p = 2; p <= ref.len;) {
            size_t end = p;
            while (end < ref.len && ref.p[end] != '/') end++;
            to = nx_json_get_str(to, (nx_str){ref.p + p, end - p});
            p = end + 1;
        }
        if (!to) fail_msg("nothing at %.*s", (int)ref.len, ref.p);
        ++*n_refs;
    }
}

static void test_what_is_referred_to_is_there(void **state)
{
    document d;
    size_t   n_refs = 0;

    (void)state;
    open_document(&d, NULL);
    check_refs(d.doc.root, d.doc.root, &n_refs);
    assert_in_range(n_refs, 100, 10000);
    assert_in_range(at(d.doc.root, "components schemas")->object.n, 40, NX_SCHEMAS_MAX - 1);
    close_document(&d);
}

static void test_the_limits_of_the_start_are_told(void **state)
{
    static const char      name[] = "components schemas GenerateRequest properties max_new_tokens";
    const nx_field_limits  more = {{[NX_LIMIT_NEW_TOKENS] = 100000}};
    const nx_field_limits  less = {{[NX_LIMIT_NEW_TOKENS] = 100}};
    const nx_field_limits *limits[] = {NULL, &more, &less};
    const int64_t          max[] = {4096, 100000, 100}, preset[] = {512, 512, 100};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        document d;
        open_document(&d, limits[i]);
        assert_int_equal(at(d.doc.root, name)->object.n, 6);
        assert_int_equal(at(at(d.doc.root, name), "maximum")->i, max[i]);
        assert_int_equal(at(at(d.doc.root, name), "default")->i, preset[i]);
        close_document(&d);
    }
}

static void test_without_memory_it_says_so(void **state)
{
    nx_error err = {0};
    nx_buf   out = {.max = NX_OPENAPI_BYTES_MAX}, small = {.max = 100};

    (void)state;
    for (int n = 0; n < 8; n++) {
        nx_alloc_fail_after(n);
        nx_status st = nx_openapi_write(&out, NULL, "1", &err);
        nx_alloc_fail_after(-1);
        assert_int_equal(st, NX_ENOMEM);
        assert_int_equal(out.len, 0);
    }
    nx_buf_free(&out);
    assert_int_equal(nx_openapi_write(&small, NULL, "1", &err), NX_ELIMIT);
    nx_buf_free(&small);
}

/* What is embedded is the file, byte by byte. */
static void check_embedded(const char *path, const char *file)
{
    nx_str      bytes;
    const char *type;
    char        read[1 << 16];
    FILE       *f = fopen(file, "rb");

    assert_non_null(f);
    size_t n = fread(read, 1, sizeof read, f);
    fclose(f);
    assert_true(nx_web_file(path, &bytes, &type));
    assert_int_equal(bytes.len, n);
    assert_memory_equal(bytes.p, read, n);
}

static void test_the_page_is_there(void **state)
{
    nx_str      bytes;
    const char *type;

    (void)state;
    assert_true(nx_web_file("/docs", &bytes, &type));
    assert_string_equal(type, "text/html; charset=utf-8");
    assert_memory_equal(bytes.p, "<!doctype html>", 15);
    assert_true(nx_web_file("/docs/docs.css", &bytes, &type));
    assert_string_equal(type, "text/css; charset=utf-8");
    assert_true(nx_web_file("/docs/docs.js", &bytes, &type));
    assert_string_equal(type, "text/javascript; charset=utf-8");
    check_embedded("/docs", NX_SOURCE_DIR "/web/docs.html");
    check_embedded("/docs/docs.css", NX_SOURCE_DIR "/web/docs.css");
    check_embedded("/docs/docs.js", NX_SOURCE_DIR "/web/docs.js");
    assert_false(nx_web_file("/docs/", &bytes, &type));
    assert_false(nx_web_file("/docs/other.js", &bytes, &type));
    assert_false(nx_web_file("/docs/../docs.js", &bytes, &type));
    assert_false(nx_web_file("", &bytes, &type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_there),
        cmocka_unit_test(test_what_is_referred_to_is_there),
        cmocka_unit_test(test_the_limits_of_the_start_are_told),
        cmocka_unit_test(test_without_memory_it_says_so),
        cmocka_unit_test(test_the_page_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
