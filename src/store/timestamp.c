/* timestamp.c - times as payloads spell them. */
#include "store/filter.h"

typedef struct reader {
    nx_str s;
    size_t at;
} reader;

static bool digits(reader *r, int n, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++, r->at++) {
        if (r->at >= r->s.len || r->s.p[r->at] < '0' || r->s.p[r->at] > '9') return false;
        *out = *out * 10 + (r->s.p[r->at] - '0');
    }
    return true;
}

static bool skip(reader *r, char a, char b)
{
    if (r->at >= r->s.len || (r->s.p[r->at] != a && r->s.p[r->at] != b)) return false;
    r->at++;
    return true;
}

/* Days from 1970-01-01 of a date of the Gregorian calendar: years begin in March, so that a leap
 * day comes last. */
static int64_t days_from(int y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400, of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool read_date(reader *r, int64_t *days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int              y, m, d;

    if (!digits(r, 4, &y) || !skip(r, '-', '-') || !digits(r, 2, &m) || !skip(r, '-', '-') ||
        !digits(r, 2, &d) || m < 1 || m > 12)
        return false;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d < 1 || d > lengths[m - 1] + (m == 2 && leap)) return false;
    *days = days_from(y, m, d);
    return true;
}

/* hh:mm[:ss[.f...]] */
static bool read_time(reader *r, int64_t *us)
{
    int     h, m, sec = 0;
    int64_t unit = 100000, part = 0;

    if (!digits(r, 2, &h) || !skip(r, ':', ':') || !digits(r, 2, &m) || h > 23 || m > 59)
        return false;
    if (skip(r, ':', ':') && (!digits(r, 2, &sec) || sec > 60)) return false;
    if (skip(r, '.', '.')) {
        if (r->at >= r->s.len || r->s.p[r->at] < '0' || r->s.p[r->at] > '9') return false;
        for (; r->at < r->s.len && r->s.p[r->at] >= '0' && r->s.p[r->at] <= '9'; unit /= 10)
            part += unit * (r->s.p[r->at++] - '0');
    }
    *us = ((int64_t)h * 3600 + m * 60 + sec) * 1000000 + part;
    return true;
}

/* Z, +hh:mm, +hhmm, +hh, or nothing. */
static bool read_zone(reader *r, int64_t *us)
{
    int h, m = 0, sign = 0;

    *us = 0;
    if (r->at == r->s.len || skip(r, 'Z', 'z')) return true;
    if (skip(r, '+', '+'))
        sign = 1;
    else if (skip(r, '-', '-'))
        sign = -1;
    if (!sign || !digits(r, 2, &h) || h > 23) return false;
    if (r->at < r->s.len) {
        skip(r, ':', ':');
        if (!digits(r, 2, &m) || m > 59) return false;
    }
    *us = (int64_t)sign * (h * 3600 + m * 60) * 1000000;
    return true;
}

bool nx_time_parse(int64_t *out, nx_str text)
{
    reader  r = {text, 0};
    int64_t days, us = 0, zone = 0;

    if (!read_date(&r, &days)) return false;
    if (r.at < text.len) {
        if (!skip(&r, 'T', ' ') && !skip(&r, 't', 't')) return false;
        if (!read_time(&r, &us)) return false;
        skip(&r, ' ', ' ');
        if (!read_zone(&r, &zone)) return false;
    }
    *out = days * 86400000000 + us - zone;
    return r.at == text.len;
}
