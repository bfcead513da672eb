/* fuzz_jinja.c - any bytes as a chat template: refused with its line, or rendered within its limits,
 * with spans that cover the text, and alike the second time. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "token/jinja.h"

static const char talk[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"S \\u00e9\"},"
    "{\"role\":\"user\",\"content\":\"u\\n <b>\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\","
    "\"arguments\":{\"a\":[1,2.5,18446744073709551615]}}}]},"
    "{\"role\":\"user\",\"content\":\"x\"}],\"n\":7,\"f\":-2.5,\"s\":\"Hello\",\"l\":[3,1,2],"
    "\"d\":{\"b\":1,\"a\":null}}";

static nx_jinja_limits small(void)
{
    nx_jinja_limits l = nx_jinja_limits_default();

    l.steps = 200000;
    l.memory_bytes = (size_t)32 << 20;
    l.value_bytes = (size_t)1 << 20;
    l.output_bytes = (size_t)1 << 20;
    return l;
}

static void check_spans(const nx_jinja_result *r)
{
    size_t from = 0;

    for (size_t i = 0; i < r->n_spans; from = r->spans[i++].end) {
        if (r->spans[i].end <= from || r->spans[i].end > r->text.len) abort();
    }
    if (from != r->text.len || !nx_utf8_valid(r->text.data, r->text.len, NULL)) abort();
}

static nx_status render(const nx_jinja *t, nx_jinja_result *r, const nx_json *vars, nx_error *err)
{
    nx_jinja_var             v[8];
    nx_jinja_options         o = {.unix_ms = 1700000000000};
    static const char *const names[] = {"messages", "n", "f", "s", "l", "d"};

    for (size_t i = 0; i < 6; i++) {
        v[i] = (nx_jinja_var){names[i], nx_json_get(vars, names[i]), {0}, i % 2 == 0};
    }
    return nx_jinja_render(t, r, v, 6, &o, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_json_doc doc;
    nx_jinja_limits    limits = small();
    nx_jinja          *t;
    nx_jinja_result    a = {0}, b = {0};
    nx_error           err = {0};

    if (!doc.root && nx_json_parse(&doc, "talk", talk, sizeof talk - 1, 0, NULL)) abort();
    if (nx_jinja_compile(&t, "fuzz", (nx_str){(const char *)data, size}, &limits, &err)) {
        if (strncmp(err.text, "fuzz: line ", 11) != 0) abort();
        return 0;
    }
    nx_status st = render(t, &a, doc.root, &err);
    if (st && strncmp(err.text, "fuzz: line ", 11) != 0) abort();
    if (st != render(t, &b, doc.root, &err)) abort();
    if (!st) {
        check_spans(&a);
        if (a.text.len != b.text.len || memcmp(a.text.data, b.text.data, a.text.len)) abort();
    }
    nx_jinja_result_free(&a);
    nx_jinja_result_free(&b);
    nx_jinja_free(t);
    return 0;
}
