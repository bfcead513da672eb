/* keys_json.c - over base's reader and writer. */
#include "server/keys_json.h"

#include <string.h>

static const struct scope_name {
    const char *name;
    uint32_t    bit;
} scope_names[] = {{"infer", NX_KEY_INFER}, {"rag", NX_KEY_RAG}, {"admin", NX_KEY_ADMIN}};

#define N_SCOPES (sizeof scope_names / sizeof *scope_names)

static const char *const priority_names[] = {"high", "normal", "low"};

uint32_t nx_key_scope_of(nx_str word)
{
    for (size_t i = 0; i < N_SCOPES; i++)
        if (nx_str_eq(word, nx_str_of(scope_names[i].name))) return scope_names[i].bit;
    return 0;
}

const char *nx_key_priority_name(nx_job_priority p)
{
    return priority_names[p];
}

void nx_key_scopes_text(char out[NX_KEY_SCOPES_CAP], uint32_t scopes)
{
    size_t len = 0;

    for (size_t i = 0; i < N_SCOPES; i++) {
        if (!(scopes & scope_names[i].bit)) continue;
        if (len) out[len++] = ',';
        size_t n = strlen(scope_names[i].name);
        memcpy(out + len, scope_names[i].name, n);
        len += n;
    }
    out[len] = '\0';
}

/* ---- Reading ---- */

static nx_status wrong(nx_error *err, const char *field, const char *expected, const nx_json *v)
{
    return nx_fail(err, NX_EINVAL, "%s: expected %s, found %s", field, expected,
                   nx_json_type_name(v));
}

static nx_status read_name(nx_key_options *opt, const nx_json *v, nx_error *err)
{
    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_STRING) return wrong(err, "name", "a string", v);
    return nx_key_options_name(opt, v->text, err);
}

static nx_status read_scopes(uint32_t *out, const nx_json *v, nx_error *err)
{
    uint32_t scopes = 0;

    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_ARRAY) return wrong(err, "scopes", "an array", v);
    for (size_t i = 0; i < v->array.n; i++) {
        const nx_json *item = &v->array.items[i];
        uint32_t       bit = item->type == NX_JSON_STRING ? nx_key_scope_of(item->text) : 0;
        if (!bit)
            return nx_fail(err, NX_EINVAL, "scopes[%zu]: expected \"infer\", \"rag\" or \"admin\"",
                           i);
        scopes |= bit;
    }
    *out = scopes;
    return NX_OK;
}

static nx_status read_priority(nx_job_priority *out, const nx_json *v, nx_error *err)
{
    if (nx_json_absent(v)) return NX_OK;
    for (int i = 0; i < 3; i++) {
        if (!nx_json_is(v, priority_names[i])) continue;
        *out = (nx_job_priority)i;
        return NX_OK;
    }
    return nx_fail(err, NX_EINVAL, "priority: expected \"high\", \"normal\" or \"low\"");
}

/* null, or not there: *out stays. */
static nx_status read_int(int64_t *out, const nx_json *obj, const char *field, nx_error *err)
{
    const nx_json *v = nx_json_get(obj, field);

    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_INT) return wrong(err, field, "a whole number or null", v);
    *out = v->i;
    return NX_OK;
}

static nx_status read_options(nx_key_options *opt, const nx_json *body, nx_error *err)
{
    if (!body || body->type != NX_JSON_OBJECT) return wrong(err, "body", "an object", body);
    nx_status st = read_name(opt, nx_json_get(body, "name"), err);

    if (!st) st = read_scopes(&opt->scopes, nx_json_get(body, "scopes"), err);
    if (!st) st = read_priority(&opt->priority, nx_json_get(body, "priority"), err);
    if (!st) st = read_int(&opt->requests_per_minute, body, "requests_per_minute", err);
    if (!st) st = read_int(&opt->tokens_per_day, body, "tokens_per_day", err);
    if (!st) st = read_int(&opt->expires, body, "expires_at", err);
    if (!st) st = nx_key_bounds_read(&opt->bounds, body, err);
    return st;
}

nx_status nx_key_options_read(nx_key_options *opt, const nx_json *body, int64_t now_s,
                              nx_error *err)
{
    int64_t expires = 0;

    nx_key_options_default(opt);
    nx_status st = read_options(opt, body, err);
    /* 0 is our own word for "never"; in JSON that is null, and 0 lies long ago. */
    if (!st) st = read_int(&expires, body, "expires_at", err);
    if (!st && expires == 0 && !nx_json_absent(nx_json_get(body, "expires_at")))
        st = nx_fail(err, NX_EINVAL,
                     "expires_at: expected a time to come, in Unix seconds, or null");
    return st ? st : nx_key_options_check(opt, now_s, err);
}

static nx_status read_id(nx_key_record *r, const nx_json *from, nx_error *err)
{
    nx_str id;
    char   text[NX_KEY_ID_CAP + 1] = "";

    if (!nx_json_get_string(from, "id", &id)) return wrong(err, "id", "a string", NULL);
    if (id.len == NX_KEY_ID_CAP - 1) memcpy(text, id.p, id.len);
    return nx_key_id_of(r->id, text) ? NX_OK : nx_fail(err, NX_EINVAL, "id: not that of a key");
}

static nx_status read_text(char *text, const nx_json *from, nx_error *err)
{
    nx_str s;
    char   id[NX_KEY_ID_CAP];

    text[0] = '\0';
    if (!nx_json_get_string(from, "key", &s)) return NX_OK;
    if (s.len == NX_KEY_TEXT_LEN) {
        memcpy(text, s.p, s.len);
        text[s.len] = '\0';
    }
    return nx_key_parse(id, text) ? NX_OK : nx_fail(err, NX_EINVAL, "key: not the text of a key");
}

nx_status nx_key_read(nx_key_record *r, char *text, const nx_json *from, nx_error *err)
{
    nx_key_options opt;
    nx_status      st;

    memset(r, 0, sizeof *r);
    nx_key_options_default(&opt);
    st = read_options(&opt, from, err);
    if (!st) st = read_id(r, from, err);
    if (!st && text) st = read_text(text, from, err);
    if (!st) st = read_int(&r->created, from, "created_at", err);
    if (!st) st = read_int(&r->revoked, from, "revoked_at", err);
    if (!st) st = read_int(&r->last_used, from, "last_used_at", err);
    memcpy(r->name, opt.name, sizeof r->name);
    r->scopes = opt.scopes;
    r->priority = opt.priority;
    r->requests_per_minute = opt.requests_per_minute;
    r->tokens_per_day = opt.tokens_per_day;
    r->expires = opt.expires;
    r->bounds = opt.bounds;
    if (!st) return NX_OK;
    nx_fail_prefix(err, NX_EFORMAT, "the server's answer");
    return NX_EFORMAT;
}

/* ---- Writing ---- */

static void write_time(nx_jw *w, const char *key, int64_t unix_s)
{
    if (unix_s)
        nx_jw_int(w, key, unix_s);
    else
        nx_jw_null(w, key);
}

static void write_scopes(nx_jw *w, uint32_t scopes)
{
    nx_jw_open(w, "scopes", '[');
    for (size_t i = 0; i < N_SCOPES; i++)
        if (scopes & scope_names[i].bit) nx_jw_text(w, NULL, scope_names[i].name);
    nx_jw_close(w, ']');
}

void nx_key_write(nx_jw *w, const char *key, const nx_key_record *r, const char *text)
{
    nx_jw_open(w, key, '{');
    nx_jw_text(w, "id", r->id);
    if (text) nx_jw_text(w, "key", text);
    nx_jw_text(w, "name", r->name);
    write_scopes(w, r->scopes);
    nx_jw_text(w, "priority", nx_key_priority_name(r->priority));
    nx_jw_int(w, "requests_per_minute", r->requests_per_minute);
    nx_jw_int(w, "tokens_per_day", r->tokens_per_day);
    nx_jw_int(w, "created_at", r->created);
    write_time(w, "expires_at", r->expires);
    nx_key_bounds_write(w, &r->bounds);
    if (!text) {
        write_time(w, "revoked_at", r->revoked);
        write_time(w, "last_used_at", r->last_used);
    }
    nx_jw_close(w, '}');
}

void nx_keys_write(nx_jw *w, const nx_key_record *v, size_t n)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_open(w, "keys", '[');
    for (size_t i = 0; i < n; i++) nx_key_write(w, NULL, &v[i], NULL);
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
}

void nx_key_write_revoked(nx_jw *w, const nx_key_record *r)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "id", r->id);
    write_time(w, "revoked_at", r->revoked);
    nx_jw_close(w, '}');
}

void nx_key_options_write(nx_jw *w, const nx_key_options *opt)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "name", opt->name);
    write_scopes(w, opt->scopes);
    nx_jw_text(w, "priority", nx_key_priority_name(opt->priority));
    nx_jw_int(w, "requests_per_minute", opt->requests_per_minute);
    nx_jw_int(w, "tokens_per_day", opt->tokens_per_day);
    write_time(w, "expires_at", opt->expires);
    nx_key_bounds_write(w, &opt->bounds);
    nx_jw_close(w, '}');
}
