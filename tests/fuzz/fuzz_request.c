/* fuzz_request.c - any bytes as the body of any route: refused with a place and words that are clean, or
 * every field reads as what its table says. The first byte chooses the route. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/server/no_handlers.h"
#include "base/utf8.h"
#include "server/fields.h"

static void check_text(const char *s)
{
    if (!*s || !nx_utf8_valid(s, strlen(s), NULL)) abort();
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7F) abort();
}

static void check_fault(const nx_fault *f)
{
    nx_jw       w = {.buf.max = 1 << 20};
    nx_json_doc doc;

    check_text(f->path);
    check_text(f->text);
    if (strncmp(f->text, f->path, strlen(f->path)) != 0) abort();
    nx_fault_write_loc(f, &w, NULL, "body");
    if (w.st || nx_json_parse(&doc, "loc", w.buf.data, w.buf.len, 0, NULL)) abort();
    if (doc.root->array.n != (size_t)f->n_steps + 1 || f->n_steps > NX_FAULT_STEPS_MAX) abort();
    nx_json_doc_free(&doc);
    nx_buf_free(&w.buf);
}

static void check_range(const nx_field *f, double x)
{
    if (!isfinite(x)) abort();
    if ((f->range.has & NX_RANGE_MIN) && x < f->range.min) abort();
    if ((f->range.has & NX_RANGE_ABOVE) && x <= f->range.min) abort();
    if ((f->range.has & NX_RANGE_MAX) && x > f->range.max) abort();
}

/* What a handler does: read by name. An absent field without a preset reads as nothing, in no range. */
static void read_fields(const nx_fields *t, const nx_json *body)
{
    for (const nx_field *f = t->list; f->kind; f++) {
        bool there = f->preset || nx_field_get(body, f->name);
        if (f->required && !nx_field_get(body, f->name) && !f->nullable) abort();
        switch (f->kind) {
        case NX_FIELD_INT: {
            int64_t i = nx_field_int(t, body, f->name);
            if (there) check_range(f, (double)i);
            break;
        }
        case NX_FIELD_NUMBER: {
            double x = nx_field_number(t, body, f->name);
            if (there) check_range(f, x);
            break;
        }
        case NX_FIELD_BOOL: nx_field_bool(t, body, f->name); break;
        case NX_FIELD_STRING: {
            nx_str s = nx_field_string(t, body, f->name);
            if (!nx_utf8_valid(s.p, s.len, NULL)) abort();
            break;
        }
        default: break;
        }
        if (f->kind == NX_FIELD_OBJECT && f->fields && nx_field_get(body, f->name))
            read_fields(f->fields, nx_field_get(body, f->name));
    }
}

static const nx_route *route_with_body(size_t which)
{
    size_t          n = 0;
    const nx_route *r;

    for (size_t i = 0; (r = nx_route_at(i)); i++) n += r->request != NULL;
    which %= n;
    for (size_t i = 0; (r = nx_route_at(i)); i++)
        if (r->request && which-- == 0) return r;
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_json_doc doc;
    nx_error    err;
    nx_fault    fault;
    const char *text = (const char *)data + 1;

    if (size == 0 || size > 1 << 16) return 0;
    const nx_route *r = route_with_body(data[0]);
    if (nx_json_parse(&doc, "body", text, size - 1, NX_JSON_PYTHON, &err)) {
        nx_fault_of_parse(&fault, &err, text, size - 1);
        check_fault(&fault);
        return 0;
    }
    if (nx_fields_check(r->request, doc.root, NULL, &fault))
        read_fields(r->request, doc.root);
    else
        check_fault(&fault);
    nx_json_doc_free(&doc);
    return 0;
}
