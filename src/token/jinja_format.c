/* jinja_format.c - str.format and its little language of widths and kinds. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "token/jinja_call.h"
#include "token/jinja_print.h"
#include "token/jinja_str.h"

#define DIGITS_MAX 250  /* after the point */
#define BODY_MAX   1200 /* a number's text */
#define WIDTH_MAX  (1 << 20)

/* ---- Numbers through printf, with a point in every locale ---- */

static size_t fixed(char out[BODY_MAX], double x, int n, char how, bool alt)
{
    char   text[BODY_MAX], fmt[8] = "%";
    size_t len = 0;

    snprintf(fmt, sizeof fmt, alt ? "%%#.*%c" : "%%.*%c", how);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, fmt, n, x);
#pragma GCC diagnostic pop
    for (const char *p = text; *p; p++) {
        if (strchr("0123456789+-eEinfaINFA", *p))
            out[len++] = *p;
        else if (len == 0 || out[len - 1] != '.')
            out[len++] = '.';
    }
    out[len] = '\0';
    return len;
}

void jj_put_fixed(jj_out *o, double x, int n, char how, bool alt)
{
    char body[BODY_MAX];

    if (n > DIGITS_MAX && !o->st)
        o->st = jj_fail(o->j, NX_ELIMIT, "more than %d digits", DIGITS_MAX);
    if (o->st) return;
    jj_put(o, body, fixed(body, x, n, how, alt), false);
}

/* ---- The specification ---- */

typedef struct spec {
    uint32_t fill;
    char     align; /* 0: by the value's kind */
    char     sign, group, type;
    bool     alt, zero, has_precision;
    int64_t  width, precision;
} spec;

static int64_t number(nx_str s, size_t *at)
{
    int64_t n = 0;

    while (*at < s.len && s.p[*at] >= '0' && s.p[*at] <= '9' && n < WIDTH_MAX * 16) {
        n = 10 * n + (s.p[(*at)++] - '0');
    }
    return n;
}

static bool is_align(nx_str s, size_t at)
{
    return at < s.len && strchr("<>=^", s.p[at]) && s.p[at];
}

static nx_status read_spec(jj *j, spec *f, nx_str s)
{
    size_t at = 0, n = 0;

    *f = (spec){.fill = ' '};
    if (s.len) nx_utf8_decode(s.p, s.len, &n);
    if (s.len && is_align(s, n)) {
        f->fill = nx_utf8_decode(s.p, s.len, &n);
        f->align = s.p[n];
        at = n + 1;
    } else if (is_align(s, 0)) {
        f->align = s.p[at++];
    }
    if (at < s.len && s.p[at] && strchr("+- ", s.p[at])) f->sign = s.p[at++];
    if (at < s.len && s.p[at] == '#') f->alt = at++ + 1 > 0;
    if (at < s.len && s.p[at] == '0') {
        f->zero = true;
        if (!f->align) f->fill = '0';
        if (!f->align) f->align = '=';
        at++;
    }
    f->width = number(s, &at);
    if (at < s.len && (s.p[at] == ',' || s.p[at] == '_')) f->group = s.p[at++];
    if (at < s.len && s.p[at] == '.') {
        size_t before = ++at;
        f->precision = number(s, &at);
        f->has_precision = true;
        if (at == before) return jj_type_error(j, "Format specifier missing precision");
    }
    if (at < s.len) f->type = s.p[at++];
    if (at < s.len) return jj_type_error(j, "Invalid format specifier");
    if (f->width > WIDTH_MAX) return jj_fail(j, NX_ELIMIT, "a width of more than %d", WIDTH_MAX);
    return NX_OK;
}

static void put_fill(jj_out *o, uint32_t fill, int64_t n)
{
    char   utf8[4];
    size_t len = nx_utf8_encode(utf8, fill);

    for (int64_t i = 0; i < n && !o->st; i++) jj_put(o, utf8, len, false);
}

/* ---- Texts ---- */

static nx_status format_text(jj_out *o, const jj_str *s, const spec *f)
{
    if (f->type && f->type != 's') {
        return jj_type_error(o->j, "Unknown format code '%c' for object of type 'str'", f->type);
    }
    if (f->sign || f->alt || f->group || (f->align == '=' && !f->zero)) {
        return jj_type_error(o->j, "Sign, '=' and the like not allowed for a str");
    }
    size_t  end = f->has_precision ? jj_str_at(s, (size_t)f->precision) : s->len;
    int64_t pad = f->width - (int64_t)jj_str_char_of(s, end);
    int64_t left = pad <= 0 ? 0 : f->align == '>' ? pad : f->align == '^' ? pad / 2 : 0;
    put_fill(o, f->fill, left);
    jj_put_range(o, s, 0, end);
    put_fill(o, f->fill, pad - left);
    return o->st;
}

/* ---- Numbers ---- */

static void put_grouped(jj_out *o, const char *digits, size_t n, char group, int every)
{
    for (size_t i = 0; i < n; i++) {
        jj_put(o, &digits[i], 1, false);
        if (group && i + 1 < n && (n - i - 1) % (size_t)every == 0) jj_put(o, &group, 1, false);
    }
}

/* sign, prefix, the digits before the point (grouped), the rest. */
static nx_status put_number(jj_out *o, const spec *f, bool negative, const char *prefix,
                            const char *body)
{
    const char *sign = negative ? "-" : f->sign == '+' ? "+" : f->sign == ' ' ? " " : "";
    int         every = f->group == '_' && f->type && strchr("boxX", f->type) ? 4 : 3;
    size_t      whole = 0, hex = f->type == 'x' || f->type == 'X';
    jj_out      text = {.j = o->j};
    jj_val      v;

    while (body[whole] && (hex ? strchr("0123456789abcdefABCDEF", body[whole]) != NULL
                               : body[whole] >= '0' && body[whole] <= '9'))
        whole++;
    int64_t digits = (int64_t)whole;
    if (f->group && f->align == '=' && f->fill == '0') { /* zeros are grouped too */
        int64_t rest = (int64_t)(strlen(sign) + strlen(prefix) + strlen(body) - whole);
        while (digits + (digits - 1) / every + rest < f->width) digits++;
    }
    jj_out padded = {.j = o->j};
    put_fill(&padded, '0', digits - (int64_t)whole);
    jj_put(&padded, body, whole, false);
    if (padded.st) return padded.st;
    put_grouped(&text, padded.p ? padded.p : "", padded.len, f->group, every);
    jj_put_text(&text, body + whole);
    TRY(jj_out_str(&text, &v));
    int64_t pad = f->width - (int64_t)(strlen(sign) + strlen(prefix) + v.s->len);
    if (pad < 0) pad = 0;
    char    align = f->align ? f->align : '>';
    int64_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    put_fill(o, f->fill, left);
    jj_put_text(o, sign);
    jj_put_text(o, prefix);
    if (align == '=') put_fill(o, f->fill, pad);
    jj_put_str(o, v.s);
    if (align != '=') put_fill(o, f->fill, pad - left);
    return o->st;
}

static nx_status format_int(jj_out *o, bool negative, uint64_t m, const spec *f)
{
    char        body[80];
    size_t      at = sizeof body - 1;
    unsigned    base = f->type == 'b'                     ? 2
                       : f->type == 'o'                   ? 8
                       : f->type == 'x' || f->type == 'X' ? 16
                                                          : 10;
    const char *digits = f->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    const char *prefix = "";

    if (f->has_precision)
        return jj_type_error(o->j, "Precision not allowed in integer format specifier");
    body[at] = '\0';
    do {
        body[--at] = digits[m % base];
        m /= base;
    } while (m);
    if (f->alt)
        prefix = base == 2        ? "0b"
                 : base == 8      ? "0o"
                 : f->type == 'x' ? "0x"
                 : base == 16     ? "0X"
                                  : "";
    return put_number(o, f, negative, prefix, body + at);
}

static nx_status format_char(jj_out *o, int64_t cp, spec *f)
{
    char   utf8[4];
    jj_val v;

    if (cp < 0 || cp >= 0x110000 || (cp >= 0xD800 && cp < 0xE000)) {
        return jj_type_error(o->j, "%%c arg not in range(0x110000)");
    }
    TRY(jj_str_new(o->j, &v, utf8, nx_utf8_encode(utf8, (uint32_t)cp), false));
    f->type = 's';
    return format_text(o, v.s, f);
}

static nx_status format_float(jj_out *o, double x, const spec *f)
{
    char    body[BODY_MAX];
    char    how = f->type == '%' ? 'f' : f->type == 'n' ? 'g' : f->type;
    int64_t n = f->has_precision ? f->precision : 6;
    double  size = fabs(x);
    jj_out  text = {.j = o->j};

    if (n > DIGITS_MAX) return jj_fail(o->j, NX_ELIMIT, "more than %d digits", DIGITS_MAX);
    if (f->type == '%') size *= 100;
    if (!f->type && !f->has_precision) {
        jj_put_float(&text, size);
        if (text.st) return text.st;
        memcpy(body, text.p, text.len);
        body[text.len] = '\0';
    } else if (isfinite(size)) {
        fixed(body, size, (int)n, how ? how : 'g', f->alt);
        if (!how && !strpbrk(body, ".e")) strcat(body, ".0");
    } else {
        strcpy(body, isnan(size) ? "nan" : "inf");
        if (how >= 'A' && how <= 'Z') strcpy(body, isnan(size) ? "NAN" : "INF");
    }
    if (f->type == '%') strcat(body, "%");
    return put_number(o, f, signbit(x) && !isnan(x), "", body);
}

static nx_status format_number(jj_out *o, const jj_val *v, spec *f)
{
    int64_t i = 0;
    double  x = 0;

    if (f->type == 'd' || f->type == 'b' || f->type == 'o' || f->type == 'x' || f->type == 'X' ||
        f->type == 'c' || ((!f->type || f->type == 'n') && v->type != JJ_FLOAT)) {
        if (v->type == JJ_FLOAT) {
            return jj_type_error(o->j, "Unknown format code '%c' for object of type 'float'",
                                 f->type);
        }
        if (v->type == JJ_BIG) return format_int(o, false, v->u, f);
        jj_as_int(v, &i);
        if (f->type == 'c') return format_char(o, i, f);
        return format_int(o, i < 0, i < 0 ? 0 - (uint64_t)i : (uint64_t)i, f);
    }
    if (f->type && !strchr("eEfFgGn%", f->type)) {
        return jj_type_error(o->j, "Unknown format code '%c'", f->type);
    }
    jj_as_double(v, &x);
    return format_float(o, x, f);
}

nx_status jj_format_value(jj_out *o, const jj_val *v, nx_str text)
{
    spec f;

    if (text.len == 0) {
        jj_put_val(o, v);
        return o->st;
    }
    TRY(read_spec(o->j, &f, text));
    if (v->type == JJ_STR) return format_text(o, v->s, &f);
    if (jj_is_number(v)) return format_number(o, v, &f);
    return jj_type_error(o->j, "unsupported format string passed to %s.__format__",
                         jj_type_name(v));
}

/* ---- "{0.name[key]!r:>10}" ---- */

typedef struct formatter {
    jj_out        *o;
    const jj_call *c;
    int            next; /* automatic field; -1: numbers are given */
} formatter;

static nx_status fields(formatter *w, const jj_str *s, size_t from, size_t to, int depth,
                        jj_out *o);

static bool whole_number(nx_str s, size_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || *out > 100000) return false;
        *out = 10 * *out + (size_t)(s.p[i] - '0');
    }
    return s.len > 0;
}

static nx_status first_value(formatter *w, jj_val *out, nx_str name)
{
    size_t i;

    if (name.len == 0 || whole_number(name, &i)) {
        if (name.len ? w->next > 0 : w->next < 0) {
            return jj_type_error(w->o->j, "cannot switch between automatic field numbering and "
                                          "manual field specification");
        }
        if (name.len == 0)
            i = (size_t)w->next++;
        else
            w->next = -1;
        if (i >= w->c->n_pos) {
            return jj_type_error(w->o->j,
                                 "Replacement index %zu out of range for positional args "
                                 "tuple",
                                 i);
        }
        *out = w->c->pos[i];
        return NX_OK;
    }
    for (size_t k = 0; k < w->c->n_kw; k++) {
        if (!nx_str_eq(w->c->kw[k], name)) continue;
        *out = w->c->kw_value[k];
        return NX_OK;
    }
    return jj_type_error(w->o->j, "no argument '%.*s'", (int)(name.len < 60 ? name.len : 60),
                         name.p);
}

static nx_status field_value(formatter *w, jj_val *out, nx_str name)
{
    size_t at = 0, i;
    jj_val key, of;

    while (at < name.len && name.p[at] != '.' && name.p[at] != '[') at++;
    TRY(first_value(w, out, (nx_str){name.p, at}));
    while (at < name.len) {
        bool   dot = name.p[at++] == '.';
        size_t end = at;
        while (end < name.len &&
               (dot ? name.p[end] != '.' && name.p[end] != '[' : name.p[end] != ']'))
            end++;
        if (end == at) return jj_type_error(w->o->j, "Empty attribute in format string");
        const nx_str part = {name.p + at, end - at};
        of = *out;
        if (dot) {
            TRY(jj_attr(w->o->j, out, &of, part));
        } else {
            if (end == name.len) return jj_type_error(w->o->j, "Missing ']' in format string");
            if (whole_number(part, &i))
                key = jj_int((int64_t)i);
            else
                TRY(jj_str_view(w->o->j, &key, part.p, part.len, false));
            TRY(jj_item(w->o->j, out, &of, &key));
            end++;
            if (end < name.len && name.p[end] != '.' && name.p[end] != '[') {
                return jj_type_error(w->o->j,
                                     "Only '.' or '[' may follow ']' in format field specifier");
            }
        }
        at = end;
    }
    return NX_OK;
}

static nx_status converted(jj *j, jj_val *v, char how)
{
    jj_out o = {.j = j};

    if (how == 's')
        return jj_to_str(j, v, v);
    else if (how == 'r')
        jj_put_repr(&o, v);
    else if (how == 'a')
        jj_put_ascii(&o, v);
    else
        return jj_type_error(j, "Unknown conversion specifier in format string");
    return jj_out_str(&o, v);
}

/* One field, s[from..to) between its braces. */
static nx_status field(formatter *w, const jj_str *s, size_t from, size_t to, int depth, jj_out *o)
{
    size_t name = from, spec_from;
    jj_out text = {.j = o->j};
    jj_val v;
    bool   in_brackets = false;

    while (name < to && (in_brackets || (s->p[name] != '!' && s->p[name] != ':'))) {
        if (s->p[name] == '[') in_brackets = true;
        if (s->p[name] == ']') in_brackets = false;
        name++;
    }
    TRY(field_value(w, &v, (nx_str){s->p + from, name - from}));
    spec_from = name;
    if (name < to && s->p[name] == '!') {
        if (name + 1 >= to) return jj_type_error(o->j, "unmatched '{' in format spec");
        TRY(converted(o->j, &v, s->p[name + 1]));
        spec_from = name + 2;
        if (spec_from < to && s->p[spec_from] != ':') {
            return jj_type_error(o->j, "expected ':' after conversion specifier");
        }
    }
    if (spec_from < to) spec_from++;
    if (depth > 1) return jj_type_error(o->j, "Max string recursion exceeded");
    TRY(fields(w, s, spec_from, to, depth + 1, &text));
    return jj_format_value(o, &v, (nx_str){text.p ? text.p : "", text.len});
}

static nx_status fields(formatter *w, const jj_str *s, size_t from, size_t to, int depth, jj_out *o)
{
    for (size_t at = from; at < to;) {
        size_t plain = at;
        while (plain < to && s->p[plain] != '{' && s->p[plain] != '}') plain++;
        jj_put_range(o, s, at, plain);
        if (plain == to) break;
        at = plain + 1;
        if (at < to && s->p[at] == s->p[plain]) {
            jj_put_range(o, s, at, at + 1);
            at++;
            continue;
        }
        if (s->p[plain] == '}')
            return jj_type_error(o->j, "Single '}' encountered in format string");
        size_t end = at, open = 1;
        for (; end < to; end++) {
            open += s->p[end] == '{';
            open -= s->p[end] == '}';
            if (open == 0) break;
        }
        if (end == to) return jj_type_error(o->j, "expected '}' before end of string");
        TRY(jj_steps(o->j, 1));
        TRY(field(w, s, at, end, depth, o));
        at = end + 1;
    }
    return o->st;
}

nx_status jj_format(jj *j, jj_val *out, const jj_str *fmt, const jj_call *c)
{
    jj_out    o = {.j = j};
    formatter w = {.o = &o, .c = c};

    TRY(jj_work(j, fmt->len));
    TRY(fields(&w, fmt, 0, fmt->len, 0, &o));
    return jj_out_str(&o, out);
}
