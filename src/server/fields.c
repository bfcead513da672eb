/* fields.c - checks a document against its table, and reads what was checked.
 *
 * Idea:      one walk, led by the table and not by the document: what the table doesn't name is never
 *            looked at, so a document's depth costs nothing here.
 * Invariant: a field that passed has the C type that its getter gives, within its range.
 */
#include "server/fields.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "server/fields_fault.h"

nx_range nx_field_range(const nx_field *f, const nx_field_limits *limits)
{
    nx_range r = f->range;

    if (limits && f->limit && limits->max[f->limit] > 0) {
        r.max = (double)limits->max[f->limit];
        r.has |= NX_RANGE_MAX;
    }
    return r;
}

const nx_field *nx_field_find(const nx_fields *fields, nx_str name)
{
    for (const nx_field *f = fields->list; f->kind; f++)
        if (nx_str_eq(nx_str_of(f->name), name)) return f;
    return NULL;
}

/* ---- Scalars ---- */

static bool fail(nx_finding *at, nx_fault_kind kind, const nx_field *f, const nx_json *found)
{
    at->kind = kind;
    at->field = f;
    at->found = found;
    return false;
}

static bool in_range(const nx_field *f, const nx_field_limits *limits, double x)
{
    nx_range r = nx_field_range(f, limits);

    if ((r.has & NX_RANGE_MIN) && x < r.min) return false;
    if ((r.has & NX_RANGE_ABOVE) && x <= r.min) return false;
    return !(r.has & NX_RANGE_MAX) || x <= r.max;
}

/* 2^63, the first double beyond int64_t; -2^63 is still inside. */
#define INT64_END 9223372036854775808.0

static bool is_whole(const nx_json *v)
{
    if (v->type == NX_JSON_INT) return true;
    /* -2^63 itself comes as an integer; as a float it is what lies beneath, rounded. */
    return v->type == NX_JSON_FLOAT && v->f > -INT64_END && v->f < INT64_END && floor(v->f) == v->f;
}

int64_t nx_json_whole(const nx_json *v)
{
    if (!v || !is_whole(v)) return 0;
    return v->type == NX_JSON_INT ? v->i : (int64_t)v->f;
}

static bool check_number(const nx_finder *w, nx_finding *at, const nx_field *f, const nx_json *v)
{
    double x = 0;

    if (!nx_json_number(v, &x)) return fail(at, NX_FAULT_TYPE, f, v);
    if (f->kind == NX_FIELD_INT && !is_whole(v)) return fail(at, NX_FAULT_TYPE, f, v);
    if (!isfinite(x) || !in_range(f, w->limits, x)) return fail(at, NX_FAULT_RANGE, f, v);
    return true;
}

size_t nx_count_chars(nx_str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

static bool is_choice(const char *choices, nx_str s)
{
    for (const char *p = choices;; p++) {
        size_t len = strcspn(p, "|");
        if (nx_str_eq((nx_str){p, len}, s)) return true;
        p += len;
        if (!*p) return false;
    }
}

/* n digits as a number, or -1. */
static int digits(const char *p, int n)
{
    int x = 0;

    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') return -1;
        x = x * 10 + (p[i] - '0');
    }
    return x;
}

/* A day that there is, in the Gregorian calendar. */
static bool is_date(nx_str s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (s.len != 10 || s.p[4] != '-' || s.p[7] != '-') return false;
    int y = digits(s.p, 4), m = digits(s.p + 5, 2), d = digits(s.p + 8, 2);
    if (y < 0 || m < 1 || m > 12 || d < 1) return false;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return d <= days[m - 1] + (m == 2 && leap);
}

static bool is_decimal(nx_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.len > 0;
}

static bool has_format(nx_field_format format, nx_str s)
{
    switch (format) {
    case NX_FORMAT_DATE: return is_date(s);
    case NX_FORMAT_DECIMAL: return is_decimal(s);
    default: return true;
    }
}

static bool check_string(const nx_finder *w, nx_finding *at, const nx_field *f, const nx_json *v)
{
    if (v->type != NX_JSON_STRING) return fail(at, NX_FAULT_TYPE, f, v);
    if (f->choices && !is_choice(f->choices, v->text)) return fail(at, NX_FAULT_CHOICE, f, v);
    if (!has_format(f->format, v->text)) return fail(at, NX_FAULT_CHOICE, f, v);
    if (nx_field_range(f, w->limits).has &&
        !in_range(f, w->limits, (double)nx_count_chars(v->text)))
        return fail(at, NX_FAULT_RANGE, f, v);
    return true;
}

/* ---- What holds others ---- */

static bool check_value(const nx_finder *w, nx_finding *at, const nx_field *f, const nx_json *v);

/* Down one step and up again; after a fault the steps stay, as its place. */
static bool check_inside(const nx_finder *w, nx_finding *at, nx_fault_step step, const nx_field *f,
                         const nx_json *v)
{
    assert(at->n_steps < NX_FAULT_STEPS_MAX); /* tables are shallow */
    at->steps[at->n_steps++] = step;
    if (!check_value(w, at, f, v)) return false;
    at->n_steps--;
    return true;
}

static bool check_array(const nx_finder *w, nx_finding *at, const nx_field *f, const nx_json *v)
{
    if (v->type != NX_JSON_ARRAY) return fail(at, NX_FAULT_TYPE, f, v);
    if (!in_range(f, w->limits, (double)v->array.n)) return fail(at, NX_FAULT_RANGE, f, v);
    for (size_t i = 0; i < v->array.n; i++) {
        nx_fault_step step = {.idx = i};
        if (!check_inside(w, at, step, f->of, &v->array.items[i])) return false;
    }
    return true;
}

static bool check_map(const nx_finder *w, nx_finding *at, const nx_field *f, const nx_json *v)
{
    static const nx_field name_kind[NX_FORMAT_COUNT] = {
        [NX_FORMAT_DATE] = {.kind = NX_FIELD_STRING, .format = NX_FORMAT_DATE},
        [NX_FORMAT_DECIMAL] = {.kind = NX_FIELD_STRING, .format = NX_FORMAT_DECIMAL},
    };

    if (v->type != NX_JSON_OBJECT) return fail(at, NX_FAULT_TYPE, f, v);
    if (!in_range(f, w->limits, (double)v->object.n)) return fail(at, NX_FAULT_RANGE, f, v);
    for (size_t i = 0; i < v->object.n; i++) {
        const nx_json_member *m = &v->object.members[i];
        nx_fault_step         step = {.key = m->key};
        if (!has_format(f->format, m->key)) {
            at->steps[at->n_steps++] = step;
            at->name = (nx_json){.type = NX_JSON_STRING, .text = m->key};
            return fail(at, NX_FAULT_CHOICE, &name_kind[f->format], NULL);
        }
        if (!check_inside(w, at, step, f->of, &m->value)) return false;
    }
    return true;
}

/* Of the names in `any`, one is there. */
static bool check_any(nx_finding *at, const nx_fields *fields, const nx_json *v)
{
    const char *p = fields->any;
    size_t      len = 0;

    for (; p && *p; p += len + (p[len] == '|')) {
        len = strcspn(p, "|");
        if (!nx_json_absent(nx_json_get_str(v, (nx_str){p, len}))) return true;
    }
    if (!p) return true;
    nx_str first = {fields->any, strcspn(fields->any, "|")};
    at->steps[at->n_steps++] = (nx_fault_step){.key = first};
    return fail(at, NX_FAULT_MISSING, nx_field_find(fields, first), NULL);
}

static bool check_needs(nx_finding *at, const nx_field *f, const nx_json *object,
                        const nx_json *value)
{
    bool given = false;

    if (!f->needs || value->type == NX_JSON_NULL) return true;
    if (nx_json_get_bool(object, f->needs, &given) && given) return true;
    at->steps[at->n_steps++] = (nx_fault_step){.key = nx_str_of(f->name)};
    at->needs = true;
    return fail(at, NX_FAULT_MISSING, f, value);
}

/* The member of that name. *twice: there are two, of which one reader takes the first, another the last;
 * and what isn't checked must not be there. */
static const nx_json *member(const nx_json *object, nx_str name, bool *twice)
{
    const nx_json *found = NULL;

    *twice = false;
    for (size_t i = 0; i < object->object.n; i++) {
        if (!nx_str_eq(object->object.members[i].key, name)) continue;
        *twice = found != NULL;
        found = &object->object.members[i].value;
        if (*twice) break;
    }
    return found;
}

static bool fail_twice(nx_finding *at, const nx_field *f)
{
    at->steps[at->n_steps++] = (nx_fault_step){.key = nx_str_of(f->name)};
    return fail(at, NX_FAULT_TWICE, f, NULL);
}

static bool check_object(const nx_finder *w, nx_finding *at, const nx_fields *fields,
                         const nx_field *f, const nx_json *v)
{
    if (!v || v->type != NX_JSON_OBJECT) return fail(at, NX_FAULT_TYPE, f, v);
    if (!fields) return true;
    for (const nx_field *m = fields->list; m->kind; m++) {
        nx_str         name = nx_str_of(m->name);
        bool           twice;
        const nx_json *value = member(v, name, &twice);
        if (twice) return fail_twice(at, m);
        if (!value && !m->required) continue;
        if (!check_inside(w, at, (nx_fault_step){.key = name}, m, value)) return false;
        if (!check_needs(at, m, v, value)) return false;
    }
    return check_any(at, fields, v);
}

/* Which of two faults says more: the one that lies deeper, or farther in the same array. */
static bool says_more(const nx_finding *a, const nx_finding *b)
{
    if (a->n_steps != b->n_steps) return a->n_steps > b->n_steps;
    return a->n_steps > 0 && a->steps[a->n_steps - 1].idx > b->steps[b->n_steps - 1].idx;
}

/* Its first element is of another type already: a list of texts isn't meant as one of numbers. */
static bool was_meant(const nx_finding *a, int depth)
{
    return !(a->kind == NX_FAULT_TYPE && a->n_steps == depth + 1 && !a->steps[depth].key.p &&
             a->steps[depth].idx == 0);
}

static bool is_better(const nx_finding *a, const nx_finding *best, int depth)
{
    if (best->n_steps < 0) return true;
    if (was_meant(a, depth) != was_meant(best, depth)) return was_meant(a, depth);
    return says_more(a, best);
}

static bool check_one_of(const nx_finder *w, nx_finding *at, const nx_field *f, const nx_json *v)
{
    nx_finding best = {.n_steps = -1};

    for (const nx_field *one = f->of; one->kind; one++) {
        nx_finding here = *at;
        if (check_value(w, &here, one, v)) return true;
        /* The wrong type from the outset: this one wasn't meant. */
        if (here.n_steps == at->n_steps && here.kind == NX_FAULT_TYPE) continue;
        if (is_better(&here, &best, at->n_steps)) best = here;
    }
    if (best.n_steps < 0) return fail(at, NX_FAULT_TYPE, f, v);
    *at = best;
    return false;
}

static bool check_value(const nx_finder *w, nx_finding *at, const nx_field *f, const nx_json *v)
{
    if (!v) return fail(at, NX_FAULT_MISSING, f, NULL);
    if (v->type == NX_JSON_NULL && f->nullable) return true;
    switch (f->kind) {
    case NX_FIELD_INT:
    case NX_FIELD_NUMBER: return check_number(w, at, f, v);
    case NX_FIELD_BOOL: return v->type == NX_JSON_BOOL || fail(at, NX_FAULT_TYPE, f, v);
    case NX_FIELD_STRING: return check_string(w, at, f, v);
    case NX_FIELD_ARRAY: return check_array(w, at, f, v);
    case NX_FIELD_OBJECT: return check_object(w, at, f->fields, f, v);
    case NX_FIELD_MAP: return check_map(w, at, f, v);
    case NX_FIELD_ONE_OF: return check_one_of(w, at, f, v);
    case NX_FIELD_ANY:
    case NX_FIELD_END: break;
    }
    return true;
}

bool nx_fields_check(const nx_fields *fields, const nx_json *json, const nx_field_limits *limits,
                     nx_fault *fault)
{
    static const nx_field document = {.kind = NX_FIELD_OBJECT};
    const nx_finder       w = {.limits = limits};
    nx_finding            at = {0};

    if (check_object(&w, &at, fields, &document, json)) return true;
    nx_finding_tell(&w, &at, fault);
    if (fault->field == &document) fault->field = NULL;
    return false;
}

/* ---- Words of a query or a path ---- */

/* The text as the scalar that the table wants; what isn't one stays a string, and fails as such. */
static nx_json scalar_of(const nx_field *f, const char *text)
{
    nx_json v = {.type = NX_JSON_STRING, .text = nx_str_of(text)};

    if (f->kind == NX_FIELD_BOOL && (!strcmp(text, "true") || !strcmp(text, "false")))
        return (nx_json){.type = NX_JSON_BOOL, .boolean = text[0] == 't'};
    if (f->kind == NX_FIELD_INT && is_decimal(nx_str_of(text + (text[0] == '-')))) {
        errno = 0;
        long long i = strtoll(text, NULL, 10);
        if (errno == 0) return (nx_json){.type = NX_JSON_INT, .i = i};
    }
    return v;
}

bool nx_fields_check_text(const nx_fields *fields, nx_field_text_fn get, void *ctx,
                          const nx_field_limits *limits, nx_fault *fault)
{
    const nx_finder w = {.limits = limits};

    for (const nx_field *f = fields->list; f->kind; f++) {
        const char   *text = get(ctx, f->name);
        nx_finding    at = {0};
        nx_fault_step step = {.key = nx_str_of(f->name)};
        bool          fits;

        assert(f->kind == NX_FIELD_INT || f->kind == NX_FIELD_BOOL || f->kind == NX_FIELD_STRING);
        if (!text && !f->required) continue;
        nx_json v = text ? scalar_of(f, text) : (nx_json){0};
        fits = check_inside(&w, &at, step, f, text ? &v : NULL);
        if (fits && v.type == NX_JSON_STRING && !nx_utf8_valid(v.text.p, v.text.len, NULL))
            fits = fail(&at, NX_FAULT_TYPE, f, &v);
        if (fits) continue;
        if (at.n_steps == 0) at.steps[at.n_steps++] = step;
        nx_finding_tell(&w, &at, fault);
        return false;
    }
    return true;
}

/* ---- Reading ---- */

/* -12.5 without locale and without rounding twice: an integer of few digits over a power of ten. */
static double preset_number(const char *text)
{
    double whole = 0, scale = 1;
    bool   minus = *text == '-', point = false;

    for (const char *p = text + minus; *p; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        whole = whole * 10 + (*p - '0');
        if (point) scale *= 10;
    }
    return (minus ? -whole : whole) / scale;
}

static const char *preset_of(const nx_fields *fields, const char *name, nx_field_kind kind)
{
    const nx_field *f = nx_field_find(fields, nx_str_of(name));

    assert(f && (f->kind == kind || f->kind == NX_FIELD_ONE_OF)); /* our own mistake else */
    (void)kind;
    return f ? f->preset : NULL;
}

const nx_json *nx_field_get(const nx_json *json, const char *name)
{
    const nx_json *v = nx_json_get(json, name);

    return nx_json_absent(v) ? NULL : v;
}

int64_t nx_field_int(const nx_fields *fields, const nx_json *json, const char *name)
{
    const char    *preset = preset_of(fields, name, NX_FIELD_INT);
    const nx_json *v = nx_field_get(json, name);

    if (v) return nx_json_whole(v);
    return preset ? (int64_t)preset_number(preset) : 0;
}

double nx_field_number(const nx_fields *fields, const nx_json *json, const char *name)
{
    const char *preset = preset_of(fields, name, NX_FIELD_NUMBER);
    double      x = 0;

    if (nx_json_number(nx_field_get(json, name), &x)) return x;
    return preset ? preset_number(preset) : 0;
}

bool nx_field_bool(const nx_fields *fields, const nx_json *json, const char *name)
{
    const char    *preset = preset_of(fields, name, NX_FIELD_BOOL);
    const nx_json *v = nx_field_get(json, name);

    if (v && v->type == NX_JSON_BOOL) return v->boolean;
    return preset && preset[0] == 't';
}

nx_str nx_field_string(const nx_fields *fields, const nx_json *json, const char *name)
{
    const char    *preset = preset_of(fields, name, NX_FIELD_STRING);
    const nx_json *v = nx_field_get(json, name);

    if (v && v->type == NX_JSON_STRING) return v->text;
    if (!preset) return (nx_str){0};
    return (nx_str){preset + 1,
                    strlen(preset) - 2}; /* without its quotes; presets need no escapes */
}
