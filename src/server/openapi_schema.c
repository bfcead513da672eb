/* openapi_schema.c - tables of fields as JSON Schema (2020-12, as OpenAPI 3.1 has it).
 *
 * Idea: what nx_fields_check accepts is what the schema accepts, and the other way round; so bounds
 *       are written that go without saying, as those of an integer of 64 bits.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/openapi.h"

/* ---- Which schemas there are ---- */

static void add_field(nx_schemas *s, const nx_field *f)
{
    nx_schemas_add(s, f->fields);
    if (f->kind == NX_FIELD_ARRAY || f->kind == NX_FIELD_MAP) add_field(s, f->of);
    if (f->kind == NX_FIELD_ONE_OF)
        for (const nx_field *one = f->of; one->kind; one++) add_field(s, one);
}

void nx_schemas_add(nx_schemas *s, const nx_fields *fields)
{
    if (!fields) return;
    for (size_t i = 0; i < s->n; i++)
        if (s->list[i] == fields) return;
    assert(s->n < NX_SCHEMAS_MAX); /* our own tables; a test counts them */
    if (s->n == NX_SCHEMAS_MAX) return;
    s->list[s->n++] = fields;
    for (const nx_field *f = fields->list; f->kind; f++) add_field(s, f);
}

/* ---- One field ---- */

static void text(nx_jw *w, const char *key, const char *value)
{
    if (value) nx_jw_text(w, key, value);
}

void nx_schema_write_ref(nx_jw *w, const char *key, const nx_fields *fields)
{
    char ref[128] = "#/components/schemas/";

    strncat(ref, fields->name, sizeof ref - strlen(ref) - 1);
    nx_jw_open(w, key, '{');
    nx_jw_text(w, "$ref", ref);
    nx_jw_close(w, '}');
}

static void type(nx_jw *w, const nx_field *f, const char *name)
{
    if (!f->nullable) {
        nx_jw_text(w, "type", name);
        return;
    }
    nx_jw_open(w, "type", '[');
    nx_jw_text(w, NULL, name);
    nx_jw_text(w, NULL, "null");
    nx_jw_close(w, ']');
}

/* Sizes: of strings, arrays, maps. */
static void sizes(nx_jw *w, nx_range r, const char *min, const char *max)
{
    if (r.has & NX_RANGE_MIN) nx_jw_int(w, min, (int64_t)r.min);
    if (r.has & NX_RANGE_MAX) nx_jw_int(w, max, (int64_t)r.max);
}

static void integer(nx_jw *w, const nx_field *f, nx_range r)
{
    type(w, f, "integer");
    nx_jw_text(w, "format", "int64");
    nx_jw_int(w, "minimum", (r.has & NX_RANGE_MIN) ? (int64_t)r.min : INT64_MIN);
    nx_jw_int(w, "maximum", (r.has & NX_RANGE_MAX) ? (int64_t)r.max : INT64_MAX);
}

static void number(nx_jw *w, const nx_field *f, nx_range r)
{
    type(w, f, "number");
    if (r.has & NX_RANGE_MIN)
        nx_jw_number(w, (r.has & NX_RANGE_ABOVE) ? "exclusiveMinimum" : "minimum", r.min, 15);
    if (r.has & NX_RANGE_MAX) nx_jw_number(w, "maximum", r.max, 15);
}

static void string(nx_jw *w, const nx_field *f, nx_range r)
{
    type(w, f, "string");
    sizes(w, r, "minLength", "maxLength");
    if (f->format == NX_FORMAT_DATE) nx_jw_text(w, "format", "date");
    if (!f->choices) return;
    nx_jw_open(w, "enum", '[');
    for (const char *p = f->choices;; p++) {
        size_t len = strcspn(p, "|");
        nx_jw_string(w, NULL, (nx_str){p, len});
        p += len;
        if (!*p) break;
    }
    if (f->nullable) nx_jw_null(w, NULL);
    nx_jw_close(w, ']');
}

static void map(nx_jw *w, const nx_field *f, nx_range r, const nx_field_limits *limits)
{
    type(w, f, "object");
    sizes(w, r, "minProperties", "maxProperties");
    if (f->format == NX_FORMAT_DECIMAL) {
        nx_jw_open(w, "propertyNames", '{');
        nx_jw_text(w, "pattern", "^[0-9]+$");
        nx_jw_close(w, '}');
    }
    nx_schema_write_field(w, "additionalProperties", f->of, limits);
}

static void null_schema(nx_jw *w)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "type", "null");
    nx_jw_close(w, '}');
}

static void object(nx_jw *w, const nx_field *f)
{
    char ref[128] = "#/components/schemas/";

    if (!f->fields) {
        type(w, f, "object");
    } else if (f->nullable) {
        nx_jw_open(w, "anyOf", '[');
        nx_schema_write_ref(w, NULL, f->fields);
        null_schema(w);
        nx_jw_close(w, ']');
    } else {
        strncat(ref, f->fields->name, sizeof ref - strlen(ref) - 1);
        nx_jw_text(w, "$ref", ref);
    }
}

/* anyOf, not oneOf: an empty array is an array of everything. */
static void one_of(nx_jw *w, const nx_field *f, const nx_field_limits *limits)
{
    nx_jw_open(w, "anyOf", '[');
    for (const nx_field *one = f->of; one->kind; one++) nx_schema_write_field(w, NULL, one, limits);
    if (f->nullable) null_schema(w);
    nx_jw_close(w, ']');
}

/* A default above the maximum that the start decided is that maximum. */
static void preset(nx_jw *w, const nx_field *f, nx_range r)
{
    if (!f->preset) return;
    if (f->kind == NX_FIELD_INT && (r.has & NX_RANGE_MAX) && strtod(f->preset, NULL) > r.max)
        nx_jw_int(w, "default", (int64_t)r.max);
    else
        nx_jw_raw(w, "default", nx_str_of(f->preset));
}

void nx_schema_write_field(nx_jw *w, const char *key, const nx_field *f,
                           const nx_field_limits *limits)
{
    nx_range r = nx_field_range(f, limits);

    nx_jw_open(w, key, '{');
    text(w, "description", f->about);
    switch (f->kind) {
    case NX_FIELD_INT: integer(w, f, r); break;
    case NX_FIELD_NUMBER: number(w, f, r); break;
    case NX_FIELD_BOOL: type(w, f, "boolean"); break;
    case NX_FIELD_STRING: string(w, f, r); break;
    case NX_FIELD_ARRAY:
        type(w, f, "array");
        sizes(w, r, "minItems", "maxItems");
        nx_schema_write_field(w, "items", f->of, limits);
        break;
    case NX_FIELD_OBJECT: object(w, f); break;
    case NX_FIELD_MAP: map(w, f, r, limits); break;
    case NX_FIELD_ONE_OF: one_of(w, f, limits); break;
    case NX_FIELD_ANY:
    case NX_FIELD_END: break;
    }
    preset(w, f, r);
    nx_jw_close(w, '}');
}

/* ---- One table ---- */

static void required(nx_jw *w, const nx_fields *fields)
{
    bool any = false;

    for (const nx_field *f = fields->list; f->kind; f++) any = any || f->required;
    if (!any) return;
    nx_jw_open(w, "required", '[');
    for (const nx_field *f = fields->list; f->kind; f++)
        if (f->required) nx_jw_text(w, NULL, f->name);
    nx_jw_close(w, ']');
}

static void required_one(nx_jw *w, nx_str name)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_open(w, "required", '[');
    nx_jw_string(w, NULL, name);
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
}

static void any(nx_jw *w, const char *names)
{
    if (!names) return;
    nx_jw_open(w, "anyOf", '[');
    for (const char *p = names;; p++) {
        size_t len = strcspn(p, "|");
        required_one(w, (nx_str){p, len});
        p += len;
        if (!*p) break;
    }
    nx_jw_close(w, ']');
}

/* {"if": {"required": [a], "properties": {a: {"not": {"type": "null"}}}}, "then": {the neighbour is
 * true}} */
static void need(nx_jw *w, const nx_field *f)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_open(w, "if", '{');
    nx_jw_open(w, "required", '[');
    nx_jw_text(w, NULL, f->name);
    nx_jw_close(w, ']');
    nx_jw_open(w, "properties", '{');
    nx_jw_open(w, f->name, '{');
    nx_jw_raw(w, "not", NX_STR("{\"type\":\"null\"}"));
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_jw_open(w, "then", '{');
    nx_jw_open(w, "required", '[');
    nx_jw_text(w, NULL, f->needs);
    nx_jw_close(w, ']');
    nx_jw_open(w, "properties", '{');
    nx_jw_raw(w, f->needs, NX_STR("{\"const\":true}"));
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
}

static void needs(nx_jw *w, const nx_fields *fields)
{
    bool some = false;

    for (const nx_field *f = fields->list; f->kind; f++) some = some || f->needs;
    if (!some) return;
    nx_jw_open(w, "allOf", '[');
    for (const nx_field *f = fields->list; f->kind; f++)
        if (f->needs) need(w, f);
    nx_jw_close(w, ']');
}

void nx_schema_write_object(nx_jw *w, const char *key, const nx_fields *fields,
                            const nx_field_limits *limits)
{
    nx_jw_open(w, key, '{');
    text(w, "description", fields->about);
    nx_jw_text(w, "type", "object");
    nx_jw_open(w, "properties", '{');
    for (const nx_field *f = fields->list; f->kind; f++)
        nx_schema_write_field(w, f->name, f, limits);
    nx_jw_close(w, '}');
    required(w, fields);
    any(w, fields->any);
    needs(w, fields);
    nx_jw_close(w, '}');
}
