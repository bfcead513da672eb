/* jsonwrite.c - one JSON value, built key by key. */
#include "base/jsonwrite.h"

#include <string.h>

#include "base/json.h"

/* The comma and the key before a value. */
static void lead(nx_jw *w, const char *key)
{
    if (!w->st && w->comma) w->st = nx_buf_add(&w->buf, ",", 1, &w->err);
    w->comma = true;
    if (!key) return;
    if (!w->st) w->st = nx_json_add_string(&w->buf, key, strlen(key), &w->err);
    if (!w->st) w->st = nx_buf_add(&w->buf, ":", 1, &w->err);
}

static void add(nx_jw *w, const char *key, const char *text)
{
    lead(w, key);
    if (!w->st) w->st = nx_buf_add(&w->buf, text, strlen(text), &w->err);
}

void nx_jw_open(nx_jw *w, const char *key, char bracket)
{
    add(w, key, bracket == '{' ? "{" : "[");
    w->comma = false;
}

void nx_jw_close(nx_jw *w, char bracket)
{
    if (!w->st) w->st = nx_buf_add(&w->buf, &bracket, 1, &w->err);
    w->comma = true;
}

void nx_jw_int(nx_jw *w, const char *key, int64_t x)
{
    lead(w, key);
    if (!w->st) w->st = nx_buf_addf(&w->buf, &w->err, "%lld", (long long)x);
}

void nx_jw_u64(nx_jw *w, const char *key, uint64_t x)
{
    lead(w, key);
    if (!w->st) w->st = nx_buf_addf(&w->buf, &w->err, "%llu", (unsigned long long)x);
}

void nx_jw_number(nx_jw *w, const char *key, double x, int digits)
{
    lead(w, key);
    if (!w->st) w->st = nx_json_add_number(&w->buf, x, digits, &w->err);
}

void nx_jw_float(nx_jw *w, const char *key, float x)
{
    lead(w, key);
    if (!w->st) w->st = nx_json_add_float(&w->buf, x, &w->err);
}

void nx_jw_double(nx_jw *w, const char *key, double x)
{
    lead(w, key);
    if (!w->st) w->st = nx_json_add_double(&w->buf, x, &w->err);
}

void nx_jw_key(nx_jw *w, nx_str key)
{
    nx_jw_string(w, NULL, key);
    if (!w->st) w->st = nx_buf_add(&w->buf, ":", 1, &w->err);
    w->comma = false;
}

void nx_jw_bool(nx_jw *w, const char *key, bool x)
{
    add(w, key, x ? "true" : "false");
}

void nx_jw_null(nx_jw *w, const char *key)
{
    add(w, key, "null");
}

void nx_jw_string(nx_jw *w, const char *key, nx_str s)
{
    lead(w, key);
    if (!w->st) w->st = nx_json_add_string(&w->buf, s.p, s.len, &w->err);
}

void nx_jw_text(nx_jw *w, const char *key, const char *c_string)
{
    nx_jw_string(w, key, nx_str_of(c_string));
}

void nx_jw_ids(nx_jw *w, const char *key, const int32_t *ids, size_t n)
{
    nx_jw_open(w, key, '[');
    for (size_t i = 0; i < n; i++) nx_jw_int(w, NULL, ids[i]);
    nx_jw_close(w, ']');
}

void nx_jw_raw(nx_jw *w, const char *key, nx_str json)
{
    lead(w, key);
    if (!w->st) w->st = nx_buf_add(&w->buf, json.p, json.len, &w->err);
}
