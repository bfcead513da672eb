/* fuzz_json.c - any bytes as JSON: refused with a place, or a tree in which every string is UTF-8. */
#include <stdlib.h>
#include <string.h>

#include "base/jsonread.h"
#include "base/utf8.h"

static void walk(const nx_json *v)
{
    switch (v->type) {
    case NX_JSON_STRING:
        if (!nx_utf8_valid(v->text.p, v->text.len, NULL)) abort();
        break;
    case NX_JSON_ARRAY:
        for (size_t i = 0; i < v->array.n; i++) walk(&v->array.items[i]);
        break;
    case NX_JSON_OBJECT:
        for (size_t i = 0; i < v->object.n; i++) {
            const nx_json_member *m = &v->object.members[i];
            if (!nx_utf8_valid(m->key.p, m->key.len, NULL)) abort();
            if (!nx_json_get_str(v, m->key)) abort();
            walk(&m->value);
        }
        break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_json_doc doc;
    nx_error    err = {0};

    if (size == 0 || size > 4096) return 0; /* looking up every key is quadratic */
    nx_status st = nx_json_parse(&doc, "fuzz", (const char *)data + 1, size - 1,
                                 data[0] & NX_JSON_PYTHON, &err);
    if (st && (st != NX_EFORMAT || strncmp(err.text, "fuzz: line ", 11) != 0)) abort();
    if (!st) walk(doc.root);
    nx_json_doc_free(&doc);
    return 0;
}
