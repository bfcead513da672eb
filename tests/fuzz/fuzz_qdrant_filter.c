/* fuzz_qdrant_filter.c - any text as a filter of Qdrant's API: refused with clean words, or a filter that
 * can be checked and tested on points. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "server/qdrant_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const nx_config config = {
    .n_slots = 2,
    .slots = {{.name = {"", 0}, .form = NX_FORM_DENSE, .dim = 2},
              {.name = {"s", 1}, .form = NX_FORM_SPARSE}},
};

static const char payload_text[] =
    "{\"a\": [{\"b\": 1}, {\"b\": \"x\"}, null], \"k\": \"red green\", \"n\": 5, \"f\": 1.5, "
    "\"t\": \"2024-02-29\", \"g\": {\"lon\": 1, \"lat\": 2}, \"l\": [1, 2], \"z\": null}";

static nx_value payload(void)
{
    static nx_buf b = {.max = 1 << 16};
    nx_json_doc   doc;

    if (b.len == 0) {
        if (nx_json_parse(&doc, "payload", payload_text, sizeof payload_text - 1, 0, NULL)) abort();
        if (nx_value_add_json(&b, doc.root, NULL)) abort();
        nx_json_doc_free(&doc);
    }
    return (nx_value){(const uint8_t *)b.data, (uint32_t)b.len};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_json_doc      doc;
    nx_arena         arena = {0};
    const nx_filter *f;
    nx_error         err;

    if (size > 1 << 16) return 0;
    if (nx_json_parse(&doc, "body", (const char *)data, size, NX_JSON_PYTHON, NULL)) return 0;
    nx_status st = nx_qd_filter_read(&f, &arena, &config, doc.root, &err);
    if (st) {
        if (f || (st != NX_EINVAL && st != NX_ENOMEM)) abort();
        if (!nx_utf8_valid(err.text, strlen(err.text), NULL)) abort();
    } else {
        if (nx_filter_check(f, &config, NULL)) abort();
        nx_filter_needs(f);
        nx_filter_test(f, nx_id_number(7), payload(), 1);
        nx_filter_test(f, (nx_point_id){1, 2, 1}, payload(), 3);
    }
    nx_arena_free(&arena);
    nx_json_doc_free(&doc);
    return 0;
}
