/* cell_format.c - serial days, formats (ECMA-376, part 1, 18.8.30). */
#include "rag/cell_format.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Formats ---- */

nx_cell_kind nx_cell_kind_of_id(int64_t id)
{
    if (id == 9 || id == 10) return NX_CELL_PERCENT;
    if ((id >= 14 && id <= 17) || (id >= 27 && id <= 31) || id == 36 || (id >= 50 && id <= 58))
        return NX_CELL_DATE;
    if ((id >= 18 && id <= 21) || (id >= 32 && id <= 35) || (id >= 45 && id <= 47))
        return NX_CELL_TIME;
    return id == 22 ? NX_CELL_DATE_TIME : NX_CELL_NUMBER;
}

/* Where the words at p end that are no format letters: "...", \x, [...], _x, *x; 0: this is a letter. */
static size_t literal(const char *p, size_t n)
{
    size_t i = 1;

    switch (*p) {
    case '"':
        while (i < n && p[i] != '"') i++;
        return i < n ? i + 1 : n;
    case '[':
        if (n > 2 && strchr("hHmMsS", p[1]) && strchr("hHmMsS]", p[2])) return 0; /* [h]:mm */
        while (i < n && p[i] != ']') i++;
        return i < n ? i + 1 : n;
    case '\\':
    case '_':
    case '*': return n > 1 ? 2 : 1;
    default: return 0;
    }
}

nx_cell_kind nx_cell_kind_of_code(nx_str code)
{
    bool day = false, hour = false, month = false, percent = false, any = false;

    for (size_t i = 0, n; i < code.len && code.p[i] != ';'; i += n) {
        n = literal(code.p + i, code.len - i);
        if (n) continue;
        n = 1;
        int c = tolower((unsigned char)code.p[i]);
        if (c == 'g' && code.len - i >= 7) { /* "General" */
            n = 7;
            continue;
        }
        day = day || c == 'y' || c == 'd' || c == 'e';
        hour = hour || c == 'h' || c == 's';
        month = month || c == 'm';
        percent = percent || c == '%';
        any = any || c == '0' || c == '#' || c == '?';
    }
    if (percent) return NX_CELL_PERCENT;
    if (any && !hour && !(day && month)) return NX_CELL_NUMBER; /* 0.00E+00; "Stand: "0 */
    if (day || (month && !hour)) return hour ? NX_CELL_DATE_TIME : NX_CELL_DATE;
    return hour ? NX_CELL_TIME : NX_CELL_NUMBER;
}

/* ---- Values ---- */

/* Days since 0000-03-01 to a date of our calendar. */
static void civil(int64_t days, int64_t *y, int *m, int *d)
{
    int64_t era = days / 146097, doe = days % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = yoe + era * 400 + (*m <= 2);
}

/* Day 1 is 1900-01-01; day 60 a 29th of February that never was. Or day 0 is 1904-01-01. */
static int print_date(char *out, size_t cap, double days, bool since_1904)
{
    int64_t y, n = (int64_t)days;
    int     m, d;

    if (since_1904) n += 1462;
    if (!since_1904 && n == 60) return snprintf(out, cap, "1900-02-29");
    if (n < 60 && !since_1904) n++;
    civil(n + 693899, &y, &m, &d); /* 1899-12-30 */
    return snprintf(out, cap, "%04d-%02d-%02d", (int)y, m, d);
}

static int print_time(char *out, size_t cap, double part, bool whole_hours)
{
    int64_t s = (int64_t)floor(part * 86400 + 0.5);

    if (!whole_hours) s %= 86400;
    if (s % 60 == 0) return snprintf(out, cap, "%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60));
    return snprintf(out, cap, "%02d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

static size_t as_it_is(char out[NX_CELL_TEXT_MAX], nx_str value)
{
    size_t n = value.len < NX_CELL_TEXT_MAX - 1 ? value.len : NX_CELL_TEXT_MAX - 1;

    while (n && n < value.len && ((unsigned char)value.p[n] & 0xC0) == 0x80) n--;
    if (n) memcpy(out, value.p, n);
    out[n] = '\0';
    return n;
}

size_t nx_cell_text(char out[NX_CELL_TEXT_MAX], nx_str value, nx_cell_kind kind, bool since_1904)
{
    char   number[NX_CELL_TEXT_MAX], *end;
    size_t n = as_it_is(number, value);
    double v = strtod(number, &end);
    int    len = 0;

    if (n == 0 || n != value.len || *end || !isfinite(v) || isalpha((unsigned char)number[0]) ||
        strpbrk(number, "xXpP"))
        return as_it_is(out, value);
    if (kind == NX_CELL_PERCENT) return (size_t)snprintf(out, NX_CELL_TEXT_MAX, "%.10g%%", v * 100);
    if (kind == NX_CELL_NUMBER) { /* 0.1 is kept as 0.10000000000000001 */
        if (n < 16) return as_it_is(out, value);
        return (size_t)snprintf(out, NX_CELL_TEXT_MAX, "%.15g", v);
    }
    if (v < 0 || v >= 2958466) return as_it_is(out, value); /* 9999-12-31 */
    double seconds = floor(v * 86400 + 0.5), days = floor(seconds / 86400);
    if (kind == NX_CELL_TIME) return (size_t)print_time(out, NX_CELL_TEXT_MAX, v, true);
    len = print_date(out, NX_CELL_TEXT_MAX, days, since_1904);
    if (kind == NX_CELL_DATE_TIME && seconds > days * 86400) {
        out[len++] = ' ';
        len += print_time(out + len, NX_CELL_TEXT_MAX - (size_t)len, seconds / 86400 - days, false);
    }
    return (size_t)len;
}
