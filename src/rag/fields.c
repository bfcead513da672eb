/* fields.c - payloads made and read. */
#include "rag/fields.h"

#include <stdio.h>

#include "store/filter.h"

/* ---- Making ---- */

void nx_fields_begin(nx_fields *f, nx_buf *b, nx_error *err)
{
    *f = (nx_fields){.b = b, .err = err};
    f->st = nx_value_open(b, NX_VALUE_OBJECT, &f->mark, err);
}

/* The key is there, and its value may follow. */
static bool key(nx_fields *f, const char *name)
{
    if (!f->st) f->st = nx_value_add_key(f->b, nx_str_of(name), f->err);
    if (!f->st) f->n++;
    return !f->st;
}

void nx_fields_text(nx_fields *f, const char *name, nx_str text)
{
    if (key(f, name)) f->st = nx_value_add_text(f->b, text, f->err);
}

void nx_fields_some(nx_fields *f, const char *name, nx_str text)
{
    if (text.len) nx_fields_text(f, name, text);
}

void nx_fields_int(nx_fields *f, const char *name, int64_t x)
{
    if (key(f, name)) f->st = nx_value_add_int(f->b, x, f->err);
}

void nx_fields_uint(nx_fields *f, const char *name, uint64_t x)
{
    nx_fields_int(f, name, x > INT64_MAX ? INT64_MAX : (int64_t)x);
}

void nx_fields_value(nx_fields *f, const char *name, nx_value v)
{
    if (v.n && key(f, name)) f->st = nx_value_add(f->b, v, f->err);
}

void nx_fields_null(nx_fields *f, const char *name)
{
    if (key(f, name)) f->st = nx_value_add_plain(f->b, NX_VALUE_NULL, f->err);
}

void nx_fields_texts(nx_fields *f, const char *name, const nx_str *texts, size_t n)
{
    size_t mark = 0;

    if (!key(f, name)) return;
    f->st = nx_value_open(f->b, NX_VALUE_ARRAY, &mark, f->err);
    for (size_t i = 0; !f->st && i < n; i++) f->st = nx_value_add_text(f->b, texts[i], f->err);
    if (!f->st) nx_value_close(f->b, mark, (uint32_t)n);
}

void nx_fields_time(nx_fields *f, const char *name, int64_t us)
{
    char text[NX_TIME_TEXT];

    nx_fields_text(f, name, nx_time_text(text, us));
}

nx_status nx_fields_end(nx_fields *f)
{
    if (!f->st) nx_value_close(f->b, f->mark, f->n);
    return f->st;
}

/* ---- Reading ---- */

nx_str nx_field_text(nx_value object, const char *name)
{
    nx_value v = nx_value_member(object, nx_str_of(name));

    return v.n && nx_value_kind_of(v) == NX_VALUE_TEXT ? nx_value_text(v) : (nx_str){"", 0};
}

int64_t nx_field_i64(nx_value object, const char *name)
{
    nx_value v = nx_value_member(object, nx_str_of(name));

    if (!v.n) return 0;
    if (nx_value_kind_of(v) == NX_VALUE_INT) return nx_value_int(v);
    if (nx_value_kind_of(v) != NX_VALUE_FLOAT) return 0;
    double x = nx_value_float(v);
    return x > -9e18 && x < 9e18 ? (int64_t)x : 0;
}

uint64_t nx_field_uint(nx_value object, const char *name)
{
    int64_t x = nx_field_i64(object, name);

    return x > 0 ? (uint64_t)x : 0;
}

int32_t nx_field_i32(nx_value object, const char *name)
{
    int64_t x = nx_field_i64(object, name);

    return x >= INT32_MIN && x <= INT32_MAX ? (int32_t)x : 0;
}

int64_t nx_field_time(nx_value object, const char *name)
{
    int64_t us;

    return nx_time_parse(&us, nx_field_text(object, name)) ? us : 0;
}

/* ---- Times ---- */

enum { DAY_S = 86400 };

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days since 1970 as a date of the Gregorian calendar; years begin in March, so that a leap day comes
 * last. */
static void date_of(int64_t days, int *y, int *m, int *d)
{
    int64_t z = days + 719468, era = floor_div(z, 146097), of_era = z - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;

    *d = (int)(of_year - (153 * month + 2) / 5 + 1);
    *m = (int)(month < 10 ? month + 3 : month - 9);
    *y = (int)(year + era * 400 + (*m <= 2));
}

nx_str nx_time_text(char out[NX_TIME_TEXT], int64_t us)
{
    const int64_t first = -62135596800000000, last = 253402300799999999; /* years 1 and 9999 */
    int           y, m, d, n;

    if (us < first) us = first;
    if (us > last) us = last;
    int64_t s = floor_div(us, 1000000), part = us - s * 1000000;
    int64_t days = floor_div(s, DAY_S), of_day = s - days * DAY_S;
    date_of(days, &y, &m, &d);
    n = snprintf(out, NX_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d", y, m, d, (int)(of_day / 3600),
                 (int)(of_day / 60 % 60), (int)(of_day % 60));
    if (part) n += snprintf(out + n, NX_TIME_TEXT - (size_t)n, ".%06d", (int)part);
    n += snprintf(out + n, NX_TIME_TEXT - (size_t)n, "Z");
    return (nx_str){out, (size_t)n};
}
