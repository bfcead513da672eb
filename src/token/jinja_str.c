/* jinja_str.c - operations on strings that methods and filters share. */
#include "token/jinja_str.h"

#include <string.h>

#include "base/utf8.h"

uint32_t jj_next_char(const jj_str *s, size_t *at)
{
    size_t   n;
    uint32_t cp = nx_utf8_decode(s->p + *at, s->len - *at, &n);

    *at += n;
    return cp;
}

/* ---- Ends ---- */

static bool stripped(const jj_str *chars, uint32_t cp)
{
    if (!chars) return jj_char_flags(cp) & JJ_SPACE;
    for (size_t at = 0; at < chars->len;) {
        if (jj_next_char(chars, &at) == cp) return true;
    }
    return false;
}

nx_status jj_strip(jj *j, jj_val *out, const jj_str *s, const jj_str *chars, int sides)
{
    size_t from = 0, to = s->len;

    TRY(jj_work(j, chars ? chars->len : 0));
    while (sides & JJ_LEFT && from < to) {
        size_t at = from;
        if (!stripped(chars, jj_next_char(s, &at))) break;
        from = at;
    }
    while (sides & JJ_RIGHT && to > from) {
        size_t at = to - 1, end;
        while (at > from && ((unsigned char)s->p[at] & 0xC0) == 0x80) at--;
        end = at;
        if (!stripped(chars, jj_next_char(s, &end))) break;
        to = at;
    }
    TRY(jj_work(j, 4 * (from + s->len - to) * (chars ? (size_t)chars->len + 1 : 1)));
    return jj_slice_bytes(j, out, s, from, to);
}

/* ---- Case ---- */

/* Is the sigma that stands before `at` (its own byte is `sigma`) at the end of a word? */
static bool final_sigma(const jj_str *s, size_t sigma, size_t at)
{
    bool before = false;

    for (size_t i = sigma; i > 0;) {
        size_t start = i - 1, end;
        while (start > 0 && ((unsigned char)s->p[start] & 0xC0) == 0x80) start--;
        end = start;
        unsigned flags = jj_char_flags(jj_next_char(s, &end));
        i = start;
        if (flags & JJ_IGNORABLE) continue;
        before = flags & JJ_CASED;
        break;
    }
    while (before && at < s->len) {
        unsigned flags = jj_char_flags(jj_next_char(s, &at));
        if (flags & JJ_IGNORABLE) continue;
        return !(flags & JJ_CASED);
    }
    return before;
}

/* The character of s at *at in another case. */
static void put_case(jj_out *o, const jj_str *s, size_t *at, jj_case to)
{
    const size_t from = *at;
    uint32_t     form[3], cp = jj_next_char(s, at);
    size_t       n = jj_char_map(cp, to, form);

    if (cp == 0x3A3 && to == JJ_TO_LOWER && final_sigma(s, from, *at)) form[0] = 0x3C2;
    for (size_t i = 0; i < n; i++) jj_put_cp(o, form[i], jj_user_at(s, from));
}

nx_status jj_recase(jj *j, jj_val *out, const jj_str *s, jj_case to)
{
    jj_out o = {.j = j};

    TRY(jj_steps(j, s->len / 4));
    for (size_t at = 0; at < s->len && !o.st;) put_case(&o, s, &at, to);
    return jj_out_str(&o, out);
}

nx_status jj_capitalize(jj *j, jj_val *out, const jj_str *s)
{
    jj_out o = {.j = j};
    size_t at = 0;

    TRY(jj_steps(j, s->len / 4));
    if (s->len) put_case(&o, s, &at, JJ_TO_TITLE);
    while (at < s->len && !o.st) put_case(&o, s, &at, JJ_TO_LOWER);
    return jj_out_str(&o, out);
}

bool jj_all_case(const jj_str *s, unsigned flag)
{
    bool any = false;

    for (size_t at = 0; at < s->len;) {
        unsigned flags = jj_char_flags(jj_next_char(s, &at));
        if (flags & flag)
            any = true;
        else if (flags & (JJ_LOWER | JJ_UPPER | JJ_TITLE))
            return false;
    }
    return any;
}

/* ---- Replacing, filling, lines ---- */

/* An empty text stands between all characters. */
static void replace_empty(jj_out *o, const jj_str *s, const jj_str *to, int64_t n_max)
{
    int64_t n = 0;

    for (size_t at = 0, end; at < s->len && !o->st; at = end) {
        end = at;
        jj_next_char(s, &end);
        if (n++ < n_max || n_max < 0) jj_put_str(o, to);
        jj_put_range(o, s, at, end);
    }
    if (n < n_max || n_max < 0) jj_put_str(o, to);
}

nx_status jj_replace(jj *j, jj_val *out, const jj_str *s, const jj_str *from, const jj_str *to,
                     int64_t n_max)
{
    jj_out o = {.j = j};
    size_t at = 0;

    TRY(jj_search(j, s->len, from->len));
    if (from->len == 0) {
        TRY(jj_steps(j, s->len));
        replace_empty(&o, s, to, n_max);
        return jj_out_str(&o, out);
    }
    for (int64_t n = 0; (n < n_max || n_max < 0) && !o.st; n++) {
        size_t hit = jj_str_find(s, at, jj_bytes(from));
        if (hit == SIZE_MAX) break;
        jj_put_range(&o, s, at, hit);
        jj_put_str(&o, to);
        at = hit + from->len;
        TRY(jj_steps(j, 1));
    }
    jj_put_range(&o, s, at, s->len);
    return jj_out_str(&o, out);
}

nx_status jj_center(jj *j, jj_val *out, const jj_str *s, int64_t width, const jj_str *fill)
{
    jj_out  o = {.j = j};
    int64_t pad = width - (int64_t)s->n_chars;

    if (pad <= 0) {
        *out = jj_of_str(s);
        return NX_OK;
    }
    int64_t left = pad / 2 + (pad & width & 1);
    jj_put_fill(&o, fill, left);
    jj_put_str(&o, s);
    jj_put_fill(&o, fill, pad - left);
    return jj_out_str(&o, out);
}

static bool ends_line(uint32_t cp)
{
    return (cp >= 0x0A && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

nx_status jj_split_lines(jj *j, jj_val *out, const jj_str *s, bool keep_ends)
{
    jj_vec lines = {.j = j};
    jj_val line;

    TRY(jj_work(j, 4 * (size_t)s->len));
    for (size_t start = 0, at = 0; start < s->len; start = at) {
        size_t   end = at;
        uint32_t cp = 0;
        while (at < s->len) {
            end = at;
            cp = jj_next_char(s, &at);
            if (ends_line(cp)) break;
            end = at;
        }
        if (cp == '\r' && end < at && at < s->len && s->p[at] == '\n') at++;
        TRY(jj_slice_bytes(j, &line, s, start, keep_ends ? at : end));
        TRY(jj_vec_add(&lines, line));
    }
    return jj_vec_list(&lines, out, JJ_LIST);
}
