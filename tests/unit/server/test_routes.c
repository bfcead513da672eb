/* Protects the way of a request to its route, and what the table must hold for all who read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "no_handlers.h"

static const char *path_of(const char *method, const char *path, nx_str params[2])
{
    const nx_route *r = nx_route_find(method, path, params, NULL);

    return r ? r->path : NULL;
}

static void test_finding(void **state)
{
    nx_str params[NX_ROUTE_PARAMS_MAX];

    (void)state;
    assert_string_equal(path_of("POST", "/v1/chat/completions", params), "/v1/chat/completions");
    assert_null(params[0].p);
    assert_string_equal(path_of("GET", "/", params), "/");
    assert_string_equal(path_of("GET", "/v1/models", params), "/v1/models");
    assert_string_equal(path_of("HEAD", "/v1/models", params), "/v1/models");
    assert_string_equal(path_of("GET", "/v1/models/mini", params), "/v1/models/{model+}");
    assert_true(nx_str_eq(params[0], NX_STR("mini")));
    assert_string_equal(path_of("GET", "/v1/models/org/name:tag", params), "/v1/models/{model+}");
    assert_true(nx_str_eq(params[0], NX_STR("org/name:tag")));
    assert_string_equal(path_of("DELETE", "/admin/keys/k-1", params), "/admin/keys/{id}");
    assert_true(nx_str_eq(params[0], NX_STR("k-1")));
    assert_ptr_equal(nx_route_find("POST", "/admin/keys", params, NULL)->handle,
                     nx_handle_admin_keys_create);
    assert_ptr_equal(nx_route_find("GET", "/admin/keys", params, NULL)->handle,
                     nx_handle_admin_keys_list);
}

static void test_not_finding(void **state)
{
    static const char *const paths[] = {
        "",     "//",          "/v1",          "/v1/",           "/v1/models/", "/v1/model",
        "v1",   "/v1/modelsx", "/V1/models",   "/v1/models/../", "/docs/",      "/docs/docs.html",
        "/llm", "/metrics/",   "/admin/keys/", "/{model+}",      "*",           "/admin",
    };
    nx_str params[NX_ROUTE_PARAMS_MAX];
    bool   known;

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!strcmp(paths[i], "/v1/models/../")) continue; /* a name as any other */
        if (nx_route_find("PATCH", paths[i], params, &known) || known) fail_msg("%s", paths[i]);
    }
    assert_null(nx_route_find("GET", "/admin/keys/a/b", params, &known));
    assert_false(known);
    assert_null(nx_route_find("GET", "/llm/generate", params, &known));
    assert_true(known);
    assert_null(nx_route_find("HEAD", "/llm/generate", params, &known));
    assert_null(nx_route_find("get", "/health", params, &known));
    assert_true(known);
    assert_null(nx_route_find("", "/health", params, &known));
}

static void test_allow(void **state)
{
    char out[64];

    (void)state;
    nx_route_allow("/admin/keys", out, sizeof out);
    assert_string_equal(out, "GET, HEAD, POST");
    nx_route_allow("/llm/generate", out, sizeof out);
    assert_string_equal(out, "POST");
    nx_route_allow("/admin/keys/k-1", out, sizeof out);
    assert_string_equal(out, "DELETE");
    nx_route_allow("/nothing", out, sizeof out);
    assert_string_equal(out, "");
    nx_route_allow("/admin/keys", out, 6);
    assert_string_equal(out, "GET, ");
}

/* A segment in braces stands for a name that no route has. */
static void fill(char *out, const char *path)
{
    for (; *path; path++) {
        if (*path != '{') {
            *out++ = *path;
            continue;
        }
        *out++ = 'x';
        path = strchr(path, '}');
    }
    *out = '\0';
}

static void test_every_route_is_whole(void **state)
{
    const nx_route *r;
    size_t          n = 0;

    (void)state;
    for (size_t i = 0; (r = nx_route_at(i)); i++, n++) {
        nx_str params[NX_ROUTE_PARAMS_MAX];
        char   path[256];

        fill(path, r->path);
        assert_ptr_equal(nx_route_find(r->method, path, params, NULL), r);
        assert_true(r->scope >= NX_SCOPE_PUBLIC && r->scope <= NX_SCOPE_ADMIN);
        assert_non_null(r->summary);
        assert_non_null(r->handle);
        assert_non_null(r->replies);
        assert_true(r->replies[0].status >= 200);
        assert_int_equal(strchr(r->path, '{') != NULL, r->params != NULL);
        assert_int_equal(params[0].p != NULL, r->params != NULL);
        if (strcmp(r->method, "POST") == 0 && !r->upload) assert_true(r->request && r->example);
        if (strncmp(r->path, "/admin/", 7) == 0) assert_int_equal(r->scope, NX_SCOPE_ADMIN);
        if (strncmp(r->path, "/v1/", 4) == 0) {
            assert_int_equal(r->scope, NX_SCOPE_INFER);
            assert_int_equal(r->dialect, NX_DIALECT_OPENAI);
        }
        if (strncmp(r->path, "/llm/", 5) == 0) assert_int_equal(r->dialect, NX_DIALECT_SEED);
    }
    assert_int_equal(n, 32 + 13 + 12 + 7 + 33 + 16);
}

/* Examples are what the tables say, so a reader can copy them. */
static void check_example(const nx_route *r, const char *what, const nx_fields *fields,
                          const char *example)
{
    nx_json_doc doc;
    nx_error    err;
    nx_fault    fault;

    if (nx_json_parse(&doc, what, example, strlen(example), 0, &err))
        fail_msg("%s %s: %s", r->path, what, err.text);
    if (!nx_fields_check(fields, doc.root, NULL, &fault))
        fail_msg("%s %s: %s", r->path, what, fault.text);
    nx_json_doc_free(&doc);
}

/* Each event of a stream. */
static void check_events(const nx_route *r, const nx_fields *fields, const char *text)
{
    char event[1024];

    for (const char *end; (end = strstr(text, "\n\n")); text = end + 2) {
        size_t len = (size_t)(end - text);
        assert_true(len > 6 && len < sizeof event && !strncmp(text, "data: ", 6));
        memcpy(event, text + 6, len - 6);
        event[len - 6] = '\0';
        if (strcmp(event, "[DONE]") != 0) check_example(r, "event", fields, event);
    }
    assert_string_equal(text, "");
}

static void test_examples_fit_their_tables(void **state)
{
    const nx_route *r;

    (void)state;
    for (size_t i = 0; (r = nx_route_at(i)); i++) {
        if (r->request) check_example(r, "request", r->request, r->example);
        for (const nx_reply_doc *d = r->replies; d->status; d++) {
            if (!d->body) continue;
            assert_non_null(d->example);
            if (d->type && !strcmp(d->type, "text/event-stream"))
                check_events(r, d->body, d->example);
            else
                check_example(r, "reply", d->body, d->example);
        }
    }
}

/* What the contract says of /llm/generate, word for word. */
static void test_the_contract_of_generate(void **state)
{
    static const struct {
        const char *name, *preset;
        double      min, max;
    } contract[] = {
        {"max_new_tokens", "512", 1, 4096},
        {"temperature", "0.7", 0, 2},
        {"top_p", "0.9", 0, 1},
        {"top_k", "50", 0, 200},
        {"repetition_penalty", "1.1", 1, 2},
    };
    nx_str           params[NX_ROUTE_PARAMS_MAX];
    const nx_fields *t = nx_route_find("POST", "/llm/generate", params, NULL)->request;

    (void)state;
    for (size_t i = 0; i < sizeof contract / sizeof *contract; i++) {
        const nx_field *f = nx_field_find(t, nx_str_of(contract[i].name));
        assert_string_equal(f->preset, contract[i].preset);
        assert_true(f->range.min == contract[i].min && f->range.max == contract[i].max);
        assert_int_equal(f->range.has, NX_RANGE_MIN | NX_RANGE_MAX);
        assert_false(f->required);
    }
    assert_true(nx_field_find(t, NX_STR("prompt"))->required);
    assert_true(nx_field_bool(t, NULL, "do_sample"));
    assert_false(nx_field_bool(t, NULL, "stream"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finding),
        cmocka_unit_test(test_not_finding),
        cmocka_unit_test(test_allow),
        cmocka_unit_test(test_every_route_is_whole),
        cmocka_unit_test(test_examples_fit_their_tables),
        cmocka_unit_test(test_the_contract_of_generate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
