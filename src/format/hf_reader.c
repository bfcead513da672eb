/* hf_reader.c - fields from config.json, keys into the metadata. */
#include "format/hf_reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

void nx_hf_refuse(nx_hf_reader *r, nx_status st, const char *field, const char *fmt, ...)
{
    char    text[320];
    va_list args;

    if (r->st) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)nx_fail(r->err, st, "%s: %s: %s", r->file, field, text);
    r->st = st;
}

/* ---- Taking ---- */

/* Bytes of the first of "a|b|c". */
static size_t first_length(const char *fields)
{
    return strcspn(fields, "|");
}

/* A name of the list as a string of its own. */
static const char *name_of(nx_hf_reader *r, const char *fields)
{
    size_t n = first_length(fields);

    if (fields[n] == '\0') return fields;
    const char *copy = nx_arena_strndup(&r->out->arena, fields, n);
    if (copy) return copy;
    nx_hf_refuse(r, NX_ENOMEM, "fields", "out of memory");
    return "";
}

const nx_json *nx_hf_field(nx_hf_reader *r, const nx_json *in, const char *fields,
                           const char **name)
{
    for (const char *f = fields;;) {
        size_t         n = first_length(f);
        const nx_json *v = nx_json_get_str(in, (nx_str){f, n});
        if (!nx_json_absent(v)) {
            *name = name_of(r, f);
            return v;
        }
        if (f[n] == '\0') break;
        f += n + 1;
    }
    *name = name_of(r, fields);
    return NULL;
}

int64_t nx_hf_int(nx_hf_reader *r, const nx_json *in, const char *fields, int64_t fallback,
                  int64_t min, int64_t max)
{
    const char    *name;
    const nx_json *v = nx_hf_field(r, in, fields, &name);

    if (!v) return fallback;
    if (v->type != NX_JSON_INT && v->type != NX_JSON_UINT)
        nx_hf_refuse(r, NX_EFORMAT, name, "%s in line %u, expected a whole number",
                     nx_json_type_name(v), v->line);
    else if (v->type == NX_JSON_UINT || v->i < min || v->i > max)
        nx_hf_refuse(r, NX_EFORMAT, name,
                     "%" PRId64 " in line %u, expected %" PRId64 " to %" PRId64,
                     v->type == NX_JSON_UINT ? INT64_MAX : v->i, v->line, min, max);
    else
        return v->i;
    return fallback;
}

double nx_hf_number(nx_hf_reader *r, const nx_json *in, const char *fields, double fallback)
{
    const char    *name;
    const nx_json *v = nx_hf_field(r, in, fields, &name);
    double         x;

    if (!v) return fallback;
    if (!nx_json_number(v, &x) || !isfinite(x) || fabs(x) > 3e38) {
        nx_hf_refuse(r, NX_EFORMAT, name, "%s in line %u, expected a finite number",
                     nx_json_type_name(v), v->line);
        return fallback;
    }
    return x;
}

bool nx_hf_bool_of(nx_hf_reader *r, const nx_json *v, const char *field, bool fallback)
{
    if (nx_json_absent(v)) return fallback;
    if (v->type == NX_JSON_BOOL) return v->boolean;
    if (v->type == NX_JSON_INT && (v->i == 0 || v->i == 1)) return v->i == 1;
    nx_hf_refuse(r, NX_EFORMAT, field, "%s in line %u, expected true or false",
                 nx_json_type_name(v), v->line);
    return fallback;
}

bool nx_hf_bool(nx_hf_reader *r, const nx_json *in, const char *fields, bool fallback)
{
    const char    *name;
    const nx_json *v = nx_hf_field(r, in, fields, &name);

    return nx_hf_bool_of(r, v, name, fallback);
}

/* ---- Putting ---- */

/* Note where the key comes from; its full name, or NULL after an error. */
static const char *note(nx_hf_reader *r, const char *key, const char *fields)
{
    nx_hf_config *c = r->out;
    bool          whole = strncmp(key, "nexus.", 6) == 0 || strncmp(key, "general.", 8) == 0 ||
                 strncmp(key, "tokenizer.", 10) == 0;

    if (r->st) return NULL;
    if (c->n_origins == c->origins_cap) {
        int32_t cap = c->origins_cap ? c->origins_cap * 2 : 64;
        void   *grown = nx_realloc(c->origins, (size_t)cap, sizeof *c->origins);
        if (!grown) {
            nx_hf_refuse(r, NX_ENOMEM, key, "out of memory");
            return NULL;
        }
        c->origins = grown;
        c->origins_cap = cap;
    }
    nx_hf_origin *o = &c->origins[c->n_origins++];
    snprintf(o->key, sizeof o->key, "%s%s%s", whole ? "" : r->arch->gguf, whole ? "" : ".", key);
    const nx_json *v = nx_hf_field(r, r->root, fields, &o->field);
    o->line = v ? v->line : 0;
    return r->st ? NULL : o->key;
}

void nx_hf_put_u32(nx_hf_reader *r, const char *key, const char *fields, int64_t x)
{
    const char *full = note(r, key, fields);

    if (full) nx_gguf_put_int(r->w, full, NX_META_U32, x);
}

void nx_hf_put_f32(nx_hf_reader *r, const char *key, const char *fields, double x)
{
    const char *full = note(r, key, fields);

    if (full) nx_gguf_put_f32(r->w, full, (float)x);
}

void nx_hf_put_bool(nx_hf_reader *r, const char *key, const char *fields, bool x)
{
    const char *full = note(r, key, fields);

    if (full) nx_gguf_put_bool(r->w, full, x);
}

void nx_hf_put_string(nx_hf_reader *r, const char *key, const char *fields, const char *text)
{
    const char *full = note(r, key, fields);

    if (full) nx_gguf_put_string(r->w, full, nx_str_of(text));
}

void nx_hf_put_str(nx_hf_reader *r, const char *key, const char *fields, nx_str text)
{
    const char *full = text.p ? note(r, key, fields) : NULL;

    if (full) nx_gguf_put_string(r->w, full, text);
}

void nx_hf_put_bools(nx_hf_reader *r, const char *key, const char *fields, const bool *x, int64_t n)
{
    const char *full = note(r, key, fields);

    if (full) nx_gguf_put_bools(r->w, full, x, n);
}
