/* fields_fault.c - a fault in words: where, what was expected, what was found.
 *
 * What a client sent is shown short, without control characters: it goes into logs and terminals.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "server/fields_fault.h"

/* Text of a fixed size that drops what doesn't fit, at a character's boundary. */
typedef struct line {
    char  *p;
    size_t cap, len;
} line;

static void put(line *l, const char *s, size_t len)
{
    size_t room = l->cap - 1 - l->len;

    if (len > room) len = room - nx_utf8_partial_tail(s, room);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        l->p[l->len++] = c < 0x20 || c == 0x7F ? '?' : (char)c;
    }
    l->p[l->len] = '\0';
}

static void puts_to(line *l, const char *s)
{
    put(l, s, strlen(s));
}

NX_PRINTF(2, 3) static void putf(line *l, const char *fmt, ...)
{
    char    text[128];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n > 0) put(l, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* At most max bytes of s. */
static void put_short(line *l, nx_str s, size_t max)
{
    size_t len = s.len <= max ? s.len : max - nx_utf8_partial_tail(s.p, max);

    put(l, s.p, len);
    if (len < s.len) puts_to(l, "...");
}

/* ---- The place ---- */

static void put_path(line *l, const nx_fault *f)
{
    if (f->n_steps == 0) puts_to(l, "body");
    for (int i = 0; i < f->n_steps; i++) {
        const nx_fault_step *s = &f->steps[i];
        if (s->key.p) {
            if (i > 0) puts_to(l, ".");
            put_short(l, s->key.len ? s->key : NX_STR("\"\""), 48);
        } else {
            putf(l, "[%zu]", s->idx);
        }
    }
}

void nx_fault_write_loc(const nx_fault *fault, nx_jw *w, const char *key, const char *where)
{
    nx_jw_open(w, key, '[');
    nx_jw_text(w, NULL, where);
    for (int i = 0; i < fault->n_steps; i++) {
        const nx_fault_step *s = &fault->steps[i];
        if (s->key.p)
            nx_jw_string(w, NULL, s->key);
        else
            nx_jw_u64(w, NULL, s->idx);
    }
    nx_jw_close(w, ']');
}

const char *nx_fault_kind_name(nx_fault_kind kind)
{
    static const char *const names[] = {
        [NX_FAULT_MISSING] = "missing",   [NX_FAULT_TYPE] = "type_error",
        [NX_FAULT_RANGE] = "range_error", [NX_FAULT_CHOICE] = "choice_error",
        [NX_FAULT_TWICE] = "duplicate",   [NX_FAULT_JSON] = "json_invalid",
    };

    return names[kind];
}

/* ---- What was expected ---- */

static void put_range(line *l, nx_range r)
{
    if ((r.has & NX_RANGE_ABOVE) && (r.has & NX_RANGE_MAX))
        putf(l, " above %.15g and at most %.15g", r.min, r.max);
    else if (r.has & NX_RANGE_ABOVE)
        putf(l, " above %.15g", r.min);
    else if ((r.has & NX_RANGE_MIN) && (r.has & NX_RANGE_MAX))
        putf(l, " from %.15g to %.15g", r.min, r.max);
    else if (r.has & NX_RANGE_MIN)
        putf(l, " of at least %.15g", r.min);
    else if (r.has & NX_RANGE_MAX)
        putf(l, " of at most %.15g", r.max);
}

/* " of 1 to 64 characters" */
static void put_count(line *l, nx_range r, const char *one, const char *many)
{
    if ((r.has & NX_RANGE_MIN) && (r.has & NX_RANGE_MAX))
        putf(l, " of %.15g to %.15g %s", r.min, r.max, r.max == 1 ? one : many);
    else if (r.has & NX_RANGE_MIN)
        putf(l, " of at least %.15g %s", r.min, r.min == 1 ? one : many);
    else if (r.has & NX_RANGE_MAX)
        putf(l, " of at most %.15g %s", r.max, r.max == 1 ? one : many);
}

static void put_choices(line *l, const char *choices)
{
    puts_to(l, "one of ");
    for (const char *p = choices;; p++) {
        size_t len = strcspn(p, "|");
        put(l, p, len);
        p += len;
        if (!*p) return;
        puts_to(l, ", ");
    }
}

static void put_string(line *l, const nx_field *f, nx_range r)
{
    if (f->choices) {
        put_choices(l, f->choices);
    } else if (f->format == NX_FORMAT_DATE) {
        puts_to(l, "a date as 2026-03-31");
    } else if (f->format == NX_FORMAT_DECIMAL) {
        puts_to(l, "a number as its name");
    } else {
        puts_to(l, "a string");
        put_count(l, r, "character", "characters");
    }
}

static void put_array(line *l, const nx_field *f, nx_range r)
{
    static const char *const many[] = {
        [NX_FIELD_INT] = "integers",   [NX_FIELD_NUMBER] = "numbers", [NX_FIELD_BOOL] = "booleans",
        [NX_FIELD_STRING] = "strings", [NX_FIELD_ARRAY] = "arrays",   [NX_FIELD_OBJECT] = "objects",
        [NX_FIELD_MAP] = "objects",    [NX_FIELD_ANY] = "items",      [NX_FIELD_ONE_OF] = "items",
        [NX_FIELD_END] = "items",
    };
    static const char *const one[] = {
        [NX_FIELD_INT] = "integer",   [NX_FIELD_NUMBER] = "number", [NX_FIELD_BOOL] = "boolean",
        [NX_FIELD_STRING] = "string", [NX_FIELD_ARRAY] = "array",   [NX_FIELD_OBJECT] = "object",
        [NX_FIELD_MAP] = "object",    [NX_FIELD_ANY] = "item",      [NX_FIELD_ONE_OF] = "item",
        [NX_FIELD_END] = "item",
    };
    nx_field_kind of = f->of->kind;

    puts_to(l, "an array");
    if (r.has)
        put_count(l, r, one[of], many[of]);
    else
        putf(l, " of %s", many[of]);
}

static void put_expected(line *l, const nx_finder *w, const nx_field *f)
{
    nx_range r = nx_field_range(f, w->limits);

    switch (f->kind) {
    case NX_FIELD_INT:
        puts_to(l, "an integer");
        put_range(l, r);
        break;
    case NX_FIELD_NUMBER:
        puts_to(l, "a number");
        put_range(l, r);
        break;
    case NX_FIELD_BOOL: puts_to(l, "true or false"); break;
    case NX_FIELD_STRING: put_string(l, f, r); break;
    case NX_FIELD_ARRAY: put_array(l, f, r); break;
    case NX_FIELD_OBJECT: puts_to(l, "an object"); break;
    case NX_FIELD_MAP:
        puts_to(l, "an object");
        put_count(l, r, "entry", "entries");
        break;
    case NX_FIELD_ONE_OF:
        for (const nx_field *one = f->of; one->kind; one++) {
            if (one != f->of) puts_to(l, " or ");
            put_expected(l, w, one);
        }
        break;
    case NX_FIELD_ANY:
    case NX_FIELD_END: puts_to(l, "a value"); break;
    }
}

/* ---- What was found ---- */

static void put_float(line *l, double x)
{
    if (isnan(x))
        puts_to(l, "NaN");
    else if (isinf(x))
        puts_to(l, x < 0 ? "-Infinity" : "Infinity");
    else
        putf(l, "%.15g", x);
}

/* A value of the wrong size is told by its size. */
static void put_size(line *l, const nx_json *v)
{
    if (v->type == NX_JSON_STRING) {
        size_t n = nx_count_chars(v->text);
        putf(l, "%zu character%s", n, n == 1 ? "" : "s");
    } else if (v->type == NX_JSON_ARRAY) {
        putf(l, "%zu", v->array.n);
    } else if (v->type == NX_JSON_OBJECT) {
        putf(l, "%zu", v->object.n);
    }
}

static void put_found(line *l, const nx_json *v, nx_fault_kind kind)
{
    if (!v) {
        puts_to(l, "nothing");
        return;
    }
    switch (v->type) {
    case NX_JSON_NULL: puts_to(l, "null"); break;
    case NX_JSON_BOOL: puts_to(l, v->boolean ? "true" : "false"); break;
    case NX_JSON_INT: putf(l, "%lld", (long long)v->i); break;
    case NX_JSON_UINT: putf(l, "%llu", (unsigned long long)v->u); break;
    case NX_JSON_FLOAT: put_float(l, v->f); break;
    case NX_JSON_STRING:
    case NX_JSON_ARRAY:
    case NX_JSON_OBJECT:
        if (kind == NX_FAULT_RANGE) {
            put_size(l, v);
        } else if (v->type == NX_JSON_STRING) {
            puts_to(l, "'");
            put_short(l, v->text, 60);
            puts_to(l, "'");
        } else {
            puts_to(l, nx_json_type_name(v));
        }
        break;
    }
}

/* ---- Together ---- */

static void begin(nx_fault *fault, line *text)
{
    line path = {fault->path, sizeof fault->path, 0};

    put_path(&path, fault);
    *text = (line){fault->text, sizeof fault->text, 0};
    puts_to(text, fault->path);
    puts_to(text, ": ");
}

void nx_finding_tell(const nx_finder *w, const nx_finding *at, nx_fault *fault)
{
    line text;

    *fault = (nx_fault){.kind = at->kind, .field = at->field, .n_steps = at->n_steps};
    memcpy(fault->steps, at->steps, sizeof fault->steps);
    begin(fault, &text);
    if (at->needs) {
        putf(&text, "only with %s: true", at->field->needs);
        return;
    }
    if (at->kind == NX_FAULT_TWICE) {
        puts_to(&text, "stands there twice");
        return;
    }
    puts_to(&text, "expected ");
    put_expected(&text, w, at->field);
    puts_to(&text, ", found ");
    put_found(&text, at->name.type == NX_JSON_STRING ? &at->name : at->found, at->kind);
}

void nx_fault_say(nx_fault *fault, const char *message)
{
    line text;

    begin(fault, &text);
    puts_to(&text, message);
}

void nx_fault_set(nx_fault *fault, nx_fault_kind kind, const nx_fields *fields, const char *name,
                  const char *fmt, ...)
{
    nx_error message = {0};
    va_list  args;

    *fault = (nx_fault){.kind = kind, .n_steps = 1};
    fault->steps[0].key = nx_str_of(name);
    fault->field = fields ? nx_field_find(fields, fault->steps[0].key) : NULL;
    va_start(args, fmt);
    nx_fail_v(&message, NX_EINVAL, fmt, args);
    va_end(args);
    nx_fault_say(fault, message.text);
}
