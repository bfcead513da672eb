/* jinja_value.c - budgets, strings that know who wrote them, and building such strings. */
#include "token/jinja_value.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* ---- Budgets and errors ---- */

void jj_say(jj *j, nx_status st, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    nx_fail_v(j->err, st, fmt, args);
    va_end(args);
    nx_fail_prefix(j->err, st, "%s: line %u", j->name, (unsigned)j->line);
}

void *jj_alloc(jj *j, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > j->memory_max ||
        j->arena->used_bytes > j->memory_max - bytes) {
        jj_say(j, NX_ELIMIT, "the template wants more than %zu MB of memory", j->memory_max >> 20);
        return NULL;
    }
    void *p = nx_arena_alloc(j->arena, n ? n : 1, size);
    if (!p) jj_say(j, NX_ENOMEM, "%zu bytes", bytes);
    return p;
}

/* What jj_alloc has said. */
static nx_status alloc_status(const jj *j)
{
    return j->err->status;
}

nx_status jj_steps(jj *j, size_t n)
{
    j->steps -= n > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)n;
    if (j->steps >= 0) return NX_OK;
    j->steps = 0;
    return jj_fail(j, NX_ELIMIT, "the template takes too many steps: an endless loop?");
}

nx_status jj_work(jj *j, size_t n_bytes)
{
    return jj_steps(j, n_bytes / 32 + 1);
}

nx_status jj_search(jj *j, size_t n_bytes, size_t n_needle)
{
    return jj_work(j, n_bytes * (n_needle / 32 + 1));
}

nx_status jj_enter(jj *j)
{
    if (j->depth >= j->depth_max) {
        return jj_fail(j, NX_ELIMIT, "nested deeper than %d levels", j->depth_max);
    }
    j->depth++;
    return NX_OK;
}

void jj_leave(jj *j)
{
    j->depth--;
}

/* ---- Values ---- */

nx_status jj_undefined(jj *j, jj_val *out, const char *fmt, ...)
{
    char      text[256];
    va_list   args;
    jj_undef *u = jj_alloc(j, 1, sizeof *u);

    *out = (jj_val){.type = JJ_UNDEFINED};
    if (!u) return alloc_status(j);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    u->message = nx_arena_strndup(j->arena, text, strlen(text));
    if (!u->message) return jj_fail(j, NX_ENOMEM, "a message");
    out->undef = u;
    return NX_OK;
}

void jj_say_undefined(jj *j, const jj_val *v)
{
    jj_say(j, NX_EINVAL, "%s", v->undef ? v->undef->message : "an undefined value is used");
}

const char *jj_type_name(const jj_val *v)
{
    static const char *const names[] = {
        [JJ_UNDEFINED] = "Undefined",
        [JJ_NONE] = "NoneType",
        [JJ_BOOL] = "bool",
        [JJ_INT] = "int",
        [JJ_BIG] = "int",
        [JJ_FLOAT] = "float",
        [JJ_STR] = "str",
        [JJ_LIST] = "list",
        [JJ_TUPLE] = "tuple",
        [JJ_DICT] = "dict",
        [JJ_NAMESPACE] = "Namespace",
        [JJ_RANGE] = "range",
        [JJ_ITER] = "generator",
        [JJ_VIEW] = "dict view",
        [JJ_MACRO] = "Macro",
        [JJ_FUNCTION] = "function",
        [JJ_METHOD] = "method",
        [JJ_LOOP] = "LoopContext",
        [JJ_CYCLER] = "Cycler",
        [JJ_JOINER] = "Joiner",
        [JJ_MISSING] = "missing",
    };
    return names[v->type];
}

bool jj_truth(const jj_val *v)
{
    size_t n;

    switch (v->type) {
    case JJ_UNDEFINED:
    case JJ_NONE:
    case JJ_MISSING: return false;
    case JJ_BOOL: return v->b;
    case JJ_INT: return v->i != 0;
    case JJ_FLOAT: return v->f != 0;
    default: return !jj_length(v, &n) || n > 0;
    }
}

bool jj_is_number(const jj_val *v)
{
    return v->type >= JJ_BOOL && v->type <= JJ_FLOAT;
}

bool jj_as_int(const jj_val *v, int64_t *out)
{
    if (v->type == JJ_BOOL) *out = v->b;
    if (v->type == JJ_INT) *out = v->i;
    return v->type == JJ_BOOL || v->type == JJ_INT;
}

bool jj_as_double(const jj_val *v, double *out)
{
    switch (v->type) {
    case JJ_BOOL: *out = v->b; return true;
    case JJ_INT: *out = (double)v->i; return true;
    case JJ_BIG: *out = (double)v->u; return true;
    case JJ_FLOAT: *out = v->f; return true;
    default: return false;
    }
}

bool jj_text_is(const jj_val *v, const char *text)
{
    return v->type == JJ_STR && nx_str_eq(jj_bytes(v->s), nx_str_of(text));
}

/* ---- Strings ---- */

nx_str jj_bytes(const jj_str *s)
{
    return (nx_str){s->p, s->len};
}

static uint32_t count_chars(const char *p, size_t len)
{
    uint32_t n = 0;

    for (size_t i = 0; i < len; i++) n += ((unsigned char)p[i] & 0xC0) != 0x80;
    return n;
}

nx_status jj_str_view(jj *j, jj_val *out, const char *p, size_t len, bool user)
{
    if (len > j->value_max) {
        return jj_fail(j, NX_ELIMIT, "a string of %zu bytes, at most %zu", len, j->value_max);
    }
    jj_str *s = jj_alloc(j, 1, sizeof *s);
    if (!s) return alloc_status(j);
    *s = (jj_str){
        .p = p ? p : "", .len = (uint32_t)len, .n_chars = count_chars(p, len), .user = user && len};
    *out = jj_of_str(s);
    return NX_OK;
}

nx_status jj_str_new(jj *j, jj_val *out, const char *p, size_t len, bool user)
{
    if (len > j->value_max) return jj_str_view(j, out, p, len, user); /* refuses */
    char *copy = jj_alloc(j, len + 1, 1);
    if (!copy) return alloc_status(j);
    if (len) memcpy(copy, p, len);
    return jj_str_view(j, out, copy, len, user);
}

bool jj_str_eq(const jj_str *a, const jj_str *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

/* UTF-8 keeps the order of code points. */
int jj_str_cmp(const jj_str *a, const jj_str *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int    c = n ? memcmp(a->p, b->p, n) : 0;

    return c ? c : a->len < b->len ? -1 : a->len > b->len;
}

size_t jj_str_at(const jj_str *s, size_t i_char)
{
    size_t at = 0;

    if (i_char >= s->n_chars) return s->len;
    if (s->n_chars == s->len) return i_char;
    for (; i_char; i_char--) {
        for (at++; at < s->len && ((unsigned char)s->p[at] & 0xC0) == 0x80;) at++;
    }
    return at;
}

size_t jj_str_char_of(const jj_str *s, size_t at)
{
    return s->n_chars == s->len ? at : count_chars(s->p, at);
}

/* A byte that is nowhere is found so fast; the caller pays for the bytes. */
static const char *find(const char *p, size_t len, nx_str needle)
{
    if (needle.len == 0) return p;
    while (len >= needle.len) {
        const char *hit = memchr(p, needle.p[0], len - needle.len + 1);
        if (!hit) return NULL;
        if (memcmp(hit, needle.p, needle.len) == 0) return hit;
        len -= (size_t)(hit + 1 - p);
        p = hit + 1;
    }
    return NULL;
}

size_t jj_str_find(const jj_str *s, size_t from, nx_str needle)
{
    const char *hit = from <= s->len ? find(s->p + from, s->len - from, needle) : NULL;

    return hit ? (size_t)(hit - s->p) : SIZE_MAX;
}

size_t jj_str_rfind(const jj_str *s, size_t to, nx_str needle)
{
    if (needle.len > to) return SIZE_MAX;
    for (size_t at = to - needle.len;; at--) {
        if (needle.len == 0 || memcmp(s->p + at, needle.p, needle.len) == 0) return at;
        if (at == 0) return SIZE_MAX;
    }
}

nx_status jj_slice_bytes(jj *j, jj_val *out, const jj_str *s, size_t from, size_t to)
{
    if (from >= to) return jj_str_view(j, out, "", 0, false);
    if (from == 0 && to == s->len && !s->markup) {
        *out = jj_of_str(s);
        return NX_OK;
    }
    if (s->n_runs == 0) return jj_str_view(j, out, s->p + from, to - from, s->user);
    jj_out o = {.j = j};
    jj_put_range(&o, s, from, to);
    return jj_out_str(&o, out);
}

bool jj_user_at(const jj_str *s, size_t at)
{
    if (s->n_runs == 0) return s->user;
    uint32_t lo = 0, hi = s->n_runs - 1;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (s->runs[mid].end <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return s->runs[lo].user;
}

/* ---- Building ---- */

static bool grow_runs(jj_out *o)
{
    size_t  cap = o->cap_runs ? 2 * o->cap_runs : 8;
    jj_run *runs = jj_alloc(o->j, cap, sizeof *runs);

    if (!runs) {
        o->st = alloc_status(o->j);
        return false;
    }
    if (o->n_runs) memcpy(runs, o->runs, o->n_runs * sizeof *runs);
    o->runs = runs;
    o->cap_runs = cap;
    return true;
}

static bool grow_bytes(jj_out *o, size_t len)
{
    size_t max = o->max ? o->max : o->j->value_max, cap = o->cap ? o->cap : 64;

    if (len > max - o->len) {
        o->st = jj_fail(o->j, NX_ELIMIT, "a text of more than %zu bytes", max);
        return false;
    }
    while (cap < o->len + len) cap *= 2;
    char *p = jj_alloc(o->j, cap, 1);
    if (!p) {
        o->st = alloc_status(o->j);
        return false;
    }
    if (o->len) memcpy(p, o->p, o->len);
    o->p = p;
    o->cap = cap;
    return true;
}

void jj_put(jj_out *o, const char *p, size_t len, bool user)
{
    bool same = o->n_runs && o->runs[o->n_runs - 1].user == user;

    if (o->st || len == 0) return;
    if (o->cap - o->len < len && !grow_bytes(o, len)) return;
    if (!same && o->n_runs == o->cap_runs && !grow_runs(o)) return;
    memcpy(o->p + o->len, p, len);
    o->len += len;
    if (!same) o->runs[o->n_runs++].user = user;
    o->runs[o->n_runs - 1].end = (uint32_t)o->len;
}

void jj_put_cp(jj_out *o, uint32_t cp, bool user)
{
    char utf8[4];

    if (cp == NX_UTF8_BAD) cp = 0xFFFD;
    jj_put(o, utf8, nx_utf8_encode(utf8, cp), user);
}

void jj_put_text(jj_out *o, const char *text)
{
    jj_put(o, text, strlen(text), false);
}

void jj_put_str(jj_out *o, const jj_str *s)
{
    jj_put_range(o, s, 0, s->len);
}

void jj_put_range(jj_out *o, const jj_str *s, size_t from, size_t to)
{
    if (s->n_runs == 0 && to > from) jj_put(o, s->p + from, to - from, s->user);
    for (uint32_t i = 0; i < s->n_runs && from < to; i++) {
        if (s->runs[i].end <= from) continue;
        size_t end = s->runs[i].end < to ? s->runs[i].end : to;
        jj_put(o, s->p + from, end - from, s->runs[i].user);
        from = end;
    }
}

void jj_put_fill(jj_out *o, const jj_str *fill, int64_t n)
{
    char    chunk[256];
    int64_t per = fill->n_runs || fill->len == 0 ? 1 : (int64_t)(sizeof chunk / fill->len);

    if (n <= 0 || fill->len == 0 || o->st) return;
    if ((uint64_t)n > o->j->value_max / fill->len) {
        o->st = jj_fail(o->j, NX_ELIMIT, "a text of more than %zu bytes", o->j->value_max);
        return;
    }
    o->st = jj_steps(o->j, (size_t)n / 16);
    if (per > 1) {
        for (int64_t i = 0; i < per; i++) memcpy(chunk + i * fill->len, fill->p, fill->len);
        for (; n >= per && !o->st; n -= per) {
            jj_put(o, chunk, (size_t)per * fill->len, fill->user);
        }
    }
    for (int64_t i = 0; i < n && !o->st; i++) jj_put_str(o, fill);
}

nx_status jj_out_str(jj_out *o, jj_val *out)
{
    if (o->st) return o->st;
    bool user = o->n_runs && (o->n_runs > 1 || o->runs[0].user);
    TRY(jj_str_view(o->j, out, o->p, o->len, user));
    if (o->n_runs > 1) {
        jj_str *s = (jj_str *)(uintptr_t)out->s;
        s->runs = o->runs;
        s->n_runs = (uint32_t)o->n_runs;
    }
    return NX_OK;
}
