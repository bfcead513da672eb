/* jinja_filters.c - the table of filters, and those for single values and texts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/jinja_call.h"
#include "token/jinja_lex.h"
#include "token/jinja_print.h"
#include "token/jinja_str.h"

#define FILTER(name)                                                                               \
    static nx_status name(jj *j, jj_val *out, const jj_val *in, const jj_val *arg, const jj_call *c)
#define UNUSED (void)j, (void)out, (void)in, (void)arg, (void)c

static bool absent(const jj_val *v)
{
    return v->type == JJ_MISSING || v->type == JJ_NONE;
}

static nx_status want_int(jj *j, const jj_val *v, int64_t preset, int64_t *out)
{
    *out = preset;
    if (v->type == JJ_MISSING || jj_as_int(v, out)) return NX_OK;
    if (v->type == JJ_UNDEFINED) return jj_undefined_used(j, v);
    return jj_type_error(j, "'%s' object cannot be interpreted as an integer", jj_type_name(v));
}

static nx_status want_str(jj *j, const jj_val *v, const jj_str **out)
{
    if (v->type == JJ_UNDEFINED) return jj_undefined_used(j, v);
    if (v->type != JJ_STR) return jj_type_error(j, "must be str, not %s", jj_type_name(v));
    *out = v->s;
    return NX_OK;
}

/* ---- Texts ---- */

FILTER(upper)
{
    jj_val s;

    UNUSED;
    TRY(jj_to_str(j, &s, in));
    return jj_recase(j, out, s.s, JJ_TO_UPPER);
}

FILTER(lower)
{
    jj_val s;

    UNUSED;
    TRY(jj_to_str(j, &s, in));
    return jj_recase(j, out, s.s, JJ_TO_LOWER);
}

FILTER(capitalize)
{
    jj_val s;

    UNUSED;
    TRY(jj_to_str(j, &s, in));
    return jj_capitalize(j, out, s.s);
}

static bool begins_word(uint32_t cp)
{
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' ||
           jj_char_flags(cp) & JJ_SPACE;
}

/* One word or one run of what stands between: first letter large, the others small. */
static nx_status title_word(jj *j, jj_out *o, const jj_str *s, size_t from, size_t to)
{
    size_t   first = from;
    jj_val   rest;
    uint32_t form[3], cp = jj_next_char(s, &first);
    size_t   n = jj_char_map(cp, JJ_TO_UPPER, form);

    for (size_t i = 0; i < n; i++) jj_put_cp(o, form[i], jj_user_at(s, from));
    TRY(jj_slice_bytes(j, &rest, s, first, to));
    TRY(jj_recase(j, &rest, rest.s, JJ_TO_LOWER));
    jj_put_str(o, rest.s);
    return o->st;
}

FILTER(title)
{
    jj_out o = {.j = j};
    jj_val text;

    UNUSED;
    TRY(jj_to_str(j, &text, in));
    const jj_str *s = text.s;
    TRY(jj_steps(j, s->len / 4));
    for (size_t at = 0, end; at < s->len; at = end) {
        end = at;
        bool between = begins_word(jj_next_char(s, &end));
        for (size_t next = end; next < s->len; end = next) {
            if (begins_word(jj_next_char(s, &next)) != between) break;
        }
        TRY(title_word(j, &o, s, at, end));
    }
    return jj_out_str(&o, out);
}

FILTER(trim)
{
    jj_val        s;
    const jj_str *chars = NULL;

    UNUSED;
    TRY(jj_to_str(j, &s, in));
    if (!absent(&arg[0])) TRY(want_str(j, &arg[0], &chars));
    return jj_strip(j, out, s.s, chars, JJ_LEFT | JJ_RIGHT);
}

FILTER(replace)
{
    jj_val  s, from, to;
    int64_t n_max = -1;

    UNUSED;
    TRY(jj_to_str(j, &s, in));
    TRY(jj_to_str(j, &from, &arg[0]));
    TRY(jj_to_str(j, &to, &arg[1]));
    if (arg[2].type != JJ_NONE) TRY(want_int(j, &arg[2], -1, &n_max));
    return jj_replace(j, out, s.s, from.s, to.s, n_max);
}

FILTER(center)
{
    static const jj_str space = {.p = " ", .len = 1, .n_chars = 1};
    jj_val              s;
    int64_t             width;

    UNUSED;
    TRY(want_int(j, &arg[0], 80, &width));
    TRY(jj_to_str(j, &s, in));
    return jj_center(j, out, s.s, width, &space);
}

FILTER(indent)
{
    static const jj_str space = {.p = " ", .len = 1, .n_chars = 1};
    jj_out              by = {.j = j}, o = {.j = j};
    const jj_str       *s = NULL;
    jj_val              indention, lines;
    int64_t             width;
    bool                first = jj_truth(&arg[1]), blank = jj_truth(&arg[2]);

    UNUSED;
    TRY(want_str(j, in, &s));
    if (arg[0].type == JJ_STR) {
        indention = arg[0];
    } else {
        TRY(want_int(j, &arg[0], 4, &width));
        jj_put_fill(&by, &space, width);
        TRY(jj_out_str(&by, &indention));
    }
    jj_out with_end = {.j = j};
    jj_put_str(&with_end, s);
    jj_put_text(&with_end, "\n");
    TRY(jj_out_str(&with_end, &lines));
    TRY(jj_split_lines(j, &lines, lines.s, false));
    for (size_t i = 0; i < lines.list->n; i++) {
        const jj_str *line = lines.list->v[i].s;
        if (i) jj_put_text(&o, "\n");
        if (i ? blank || line->len : first) jj_put_str(&o, indention.s);
        jj_put_str(&o, line);
    }
    return jj_out_str(&o, out);
}

FILTER(truncate)
{
    static const jj_str dots = {.p = "...", .len = 3, .n_chars = 3};
    jj_out              o = {.j = j};
    const jj_str       *s = NULL, *end = &dots;
    int64_t             length, leeway = 5;
    size_t              n = 0;

    UNUSED;
    TRY(want_int(j, &arg[0], 255, &length));
    if (arg[2].type != JJ_MISSING) TRY(want_str(j, &arg[2], &end));
    if (!absent(&arg[3])) TRY(want_int(j, &arg[3], 5, &leeway));
    if (length < end->n_chars || leeway < 0) {
        return jj_type_error(j, "expected a length of at least %u", (unsigned)end->n_chars);
    }
    if (!jj_length(in, &n))
        return jj_type_error(j, "object of type '%s' has no len()", jj_type_name(in));
    if ((int64_t)n <= length + leeway) {
        *out = *in;
        return NX_OK;
    }
    TRY(want_str(j, in, &s));
    size_t to = jj_str_at(s, (size_t)(length - end->n_chars));
    if (!jj_truth(&arg[1])) {
        size_t space = jj_str_rfind(s, to, NX_STR(" "));
        if (space != SIZE_MAX) to = space;
    }
    jj_put_range(&o, s, 0, to);
    jj_put_str(&o, end);
    return jj_out_str(&o, out);
}

FILTER(wordcount)
{
    jj_val  s;
    int64_t n = 0;
    bool    inside = false;

    UNUSED;
    TRY(jj_to_str(j, &s, in));
    TRY(jj_steps(j, s.s->len / 4));
    for (size_t at = 0; at < s.s->len;) {
        uint32_t cp = jj_next_char(s.s, &at);
        bool     word =
            cp == '_' || jj_char_flags(cp) & (JJ_ALPHA | JJ_DECIMAL | JJ_DIGIT | JJ_NUMERIC);
        n += word && !inside;
        inside = word;
    }
    *out = jj_int(n);
    return NX_OK;
}

FILTER(string)
{
    UNUSED;
    if (in->type != JJ_STR) return jj_to_str(j, out, in);
    *out = *in;
    return NX_OK;
}

static nx_status as_markup(jj *j, jj_val *out, const jj_val *in, bool escape)
{
    jj_out o = {.j = j};
    jj_val s;

    TRY(jj_to_str(j, &s, in));
    if (escape && !(in->type == JJ_STR && in->s->markup))
        jj_put_escaped(&o, s.s);
    else
        jj_put_str(&o, s.s);
    TRY(jj_out_str(&o, out));
    ((jj_str *)(uintptr_t)out->s)->markup = true;
    return NX_OK;
}

FILTER(safe)
{
    UNUSED;
    return as_markup(j, out, in, false);
}

FILTER(escape)
{
    UNUSED;
    return as_markup(j, out, in, true);
}

FILTER(forceescape)
{
    jj_val s;

    UNUSED;
    TRY(jj_to_str(j, &s, in));
    return as_markup(j, out, &s, true);
}

FILTER(format)
{
    jj_val s, values;

    UNUSED;
    TRY(jj_to_str(j, &s, in));
    if (c->n_pos && c->n_kw) {
        return jj_type_error(j, "format can't handle positional and keyword arguments at once");
    }
    if (c->n_kw) {
        jj_val key;
        TRY(jj_dict_new(j, &values));
        for (size_t i = 0; i < c->n_kw; i++) {
            TRY(jj_str_view(j, &key, c->kw[i].p, c->kw[i].len, false));
            TRY(jj_dict_set(j, values.dict, key, c->kw_value[i]));
        }
    } else {
        TRY(jj_list_new(j, &values, JJ_TUPLE, 0));
        values.list->v = c->pos;
        values.list->n = c->n_pos;
    }
    return jj_percent(j, out, s.s, &values);
}

/* ---- URLs, sizes ---- */

static void put_quoted(jj_out *o, const jj_str *s, bool query)
{
    static const char hex[] = "0123456789ABCDEF";

    if (!o->st) o->st = jj_steps(o->j, s->len / 4);
    for (size_t i = 0; i < s->len && !o->st; i++) {
        const unsigned char b = (unsigned char)s->p[i];
        bool plain = (b >= '0' && b <= '9') || ((b | 32) >= 'a' && (b | 32) <= 'z') ||
                     (b && strchr("_.-~", b)) || (b == '/' && !query);
        char code[3] = {'%', hex[b >> 4], hex[b & 15]};
        if (plain)
            jj_put_range(o, s, i, i + 1);
        else if (b == ' ' && query)
            jj_put(o, "+", 1, jj_user_at(s, i));
        else
            jj_put(o, code, 3, jj_user_at(s, i));
    }
}

static nx_status put_pair(jj *j, jj_out *o, const jj_val *pair)
{
    jj_val *kv, text;
    size_t  n;

    TRY(jj_items_of(j, pair, &kv, &n));
    if (n != 2) return jj_type_error(j, "urlencode wants pairs");
    for (size_t i = 0; i < 2; i++) {
        if (i) jj_put_text(o, "=");
        TRY(jj_to_str(j, &text, &kv[i]));
        put_quoted(o, text.s, true);
    }
    return o->st;
}

FILTER(urlencode)
{
    jj_out  o = {.j = j};
    jj_val  s, pairs = *in, *items;
    jj_view view = {in->dict, 'i'};
    size_t  n;

    UNUSED;
    if (in->type == JJ_STR || !jj_iterable(in)) {
        TRY(jj_to_str(j, &s, in));
        put_quoted(&o, s.s, false);
        return jj_out_str(&o, out);
    }
    if (in->type == JJ_DICT) pairs = (jj_val){.type = JJ_VIEW, .view = &view};
    TRY(jj_items_of(j, &pairs, &items, &n));
    for (size_t i = 0; i < n; i++) {
        if (i) jj_put_text(&o, "&");
        TRY(put_pair(j, &o, &items[i]));
    }
    return jj_out_str(&o, out);
}

static nx_status to_float(jj *j, const jj_val *v, double *out, bool *ok)
{
    *ok = true;
    if (v->type == JJ_UNDEFINED) return jj_undefined_used(j, v);
    if (v->type == JJ_STR)
        *ok = jj_parse_float(jj_bytes(v->s), out);
    else
        *ok = jj_as_double(v, out);
    return NX_OK;
}

FILTER(filesizeformat)
{
    static const char *const units[2][8] = {
        {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
        {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"},
    };
    jj_out o = {.j = j};
    double bytes, unit, base;
    bool   ok, binary = jj_truth(&arg[0]);
    int    i = 0;

    UNUSED;
    TRY(to_float(j, in, &bytes, &ok));
    if (!ok) return jj_type_error(j, "could not convert to float");
    base = binary ? 1024 : 1000;
    if (bytes == 1) return jj_str_new(j, out, "1 Byte", 6, false);
    if (bytes < base) {
        char text[64];
        snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes));
        return jj_str_new(j, out, text, strlen(text), false);
    }
    for (unit = base * base; i < 7 && !(bytes < unit); i++) unit *= base;
    jj_put_fixed(&o, base * bytes / unit, 1, 'f', false);
    jj_put_text(&o, " ");
    jj_put_text(&o, units[binary][i]);
    return jj_out_str(&o, out);
}

/* ---- Numbers ---- */

static nx_status truncated(jj *j, jj_val *out, double x)
{
    if (fabs(x) >= 9223372036854775808.0) {
        return jj_fail(j, NX_ELIMIT, "an integer of more than 64 bits");
    }
    *out = jj_int((int64_t)x);
    return NX_OK;
}

FILTER(int_)
{
    const jj_val zero = jj_int(0);
    int64_t      base, i;
    double       x = 0;
    bool         large, ok;

    UNUSED;
    TRY(want_int(j, &arg[1], 10, &base));
    *out = arg[0].type == JJ_MISSING ? zero : arg[0];
    if (in->type == JJ_STR) {
        if (base != 0 && (base < 2 || base > 36)) base = 99; /* no number at all, for Python too */
        if (base != 99 && jj_parse_int(jj_bytes(in->s), (int)base, &i, &large)) {
            *out = jj_int(i);
            return NX_OK;
        }
        if (base != 99 && large) return jj_fail(j, NX_ELIMIT, "an integer of more than 64 bits");
    }
    if (in->type == JJ_BIG) {
        *out = *in;
        return NX_OK;
    }
    if (jj_as_int(in, &i)) {
        *out = jj_int(i);
        return NX_OK;
    }
    if (in->type == JJ_FLOAT && isinf(in->f)) {
        return jj_type_error(j, "cannot convert float infinity to integer");
    }
    TRY(to_float(j, in, &x, &ok));
    return ok && isfinite(x) ? truncated(j, out, x) : NX_OK;
}

FILTER(float_)
{
    double x = 0;
    bool   ok;

    UNUSED;
    TRY(to_float(j, in, &x, &ok));
    *out = ok ? jj_float(x) : arg[0].type == JJ_MISSING ? jj_float(0) : arg[0];
    return NX_OK;
}

FILTER(abs_)
{
    UNUSED;
    if (in->type == JJ_FLOAT) {
        *out = jj_float(fabs(in->f));
        return NX_OK;
    }
    if (in->type == JJ_INT && in->i < 0) return jj_unary(j, out, '-', in);
    if (!jj_is_number(in))
        return jj_type_error(j, "bad operand type for abs(): '%s'", jj_type_name(in));
    *out = in->type == JJ_BOOL ? jj_int(in->b) : *in;
    return NX_OK;
}

/* Half to even, as Python rounds integers to tens. */
static nx_status round_int(jj *j, jj_val *out, int64_t i, int64_t digits)
{
    int64_t ten = 1;

    for (int64_t d = digits; d < 0; d++) {
        if (__builtin_mul_overflow(ten, 10, &ten)) {
            *out = jj_int(0);
            return NX_OK;
        }
    }
    int64_t rest = i % ten, size = rest < 0 ? -rest : rest;
    int64_t low = i - rest;
    bool    up = size > ten - size || (size == ten - size && size && low / ten % 2 != 0);
    if (up && __builtin_add_overflow(low, rest < 0 ? -ten : ten, &low)) {
        return jj_fail(j, NX_ELIMIT, "an integer of more than 64 bits");
    }
    *out = jj_int(low);
    return NX_OK;
}

static double round_float(double x, int64_t digits)
{
    char text[800];

    if (!isfinite(x) || digits > 322) return x;
    if (digits < -308) return copysign(0, x);
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, x);
        return strtod(text, NULL);
    }
    double ten = pow(10, (double)-digits);
    return nearbyint(x / ten) * ten;
}

FILTER(round_)
{
    int64_t digits, i = 0;
    double  x = 0;
    bool    common = arg[1].type == JJ_MISSING || jj_text_is(&arg[1], "common");
    bool    up = jj_text_is(&arg[1], "ceil");

    UNUSED;
    TRY(want_int(j, &arg[0], 0, &digits));
    if (!common && !up && !jj_text_is(&arg[1], "floor")) {
        return jj_type_error(j, "method must be common, ceil or floor");
    }
    if (in->type == JJ_UNDEFINED) return jj_undefined_used(j, in);
    if (!jj_as_double(in, &x))
        return jj_type_error(j, "type %s doesn't define __round__ method", jj_type_name(in));
    if (common && jj_as_int(in, &i)) return round_int(j, out, i, digits);
    if (common) {
        *out = jj_float(round_float(x, digits));
        return NX_OK;
    }
    double ten = pow(10, (double)digits), y = x * ten;
    if (!isfinite(y)) return jj_type_error(j, "cannot convert float infinity or NaN to integer");
    *out = jj_float((up ? ceil(y) : floor(y)) / ten);
    return NX_OK;
}

/* ---- Others ---- */

FILTER(default_)
{
    UNUSED;
    bool take = in->type == JJ_UNDEFINED || (jj_truth(&arg[1]) && !jj_truth(in));
    if (!take) {
        *out = *in;
        return NX_OK;
    }
    *out = arg[0];
    return arg[0].type == JJ_MISSING ? jj_str_view(j, out, "", 0, false) : NX_OK;
}

FILTER(attr)
{
    jj_val name;

    UNUSED;
    TRY(jj_to_str(j, &name, &arg[0]));
    return jj_attr_only(j, out, in, jj_bytes(name.s));
}

static nx_status json_indent(jj *j, const jj_val *v, const jj_str **out)
{
    static const jj_str space = {.p = " ", .len = 1, .n_chars = 1};
    jj_out              o = {.j = j};
    jj_val              s;
    int64_t             width;

    *out = NULL;
    if (absent(v)) return NX_OK;
    if (v->type == JJ_STR) {
        *out = v->s;
        return NX_OK;
    }
    TRY(want_int(j, v, 0, &width));
    jj_put_fill(&o, &space, width);
    TRY(jj_out_str(&o, &s));
    *out = s.s;
    return NX_OK;
}

FILTER(tojson)
{
    static const jj_str comma = {.p = ", ", .len = 2, .n_chars = 2},
                        colon = {.p = ": ", .len = 2, .n_chars = 2};
    jj_out        o = {.j = j};
    jj_json_style style = {
        .item = &comma, .key = &colon, .ascii = jj_truth(&arg[0]), .sorted = jj_truth(&arg[3])};
    jj_str  tight = comma;
    jj_val *items;
    size_t  n;

    UNUSED;
    TRY(json_indent(j, &arg[1], &style.indent));
    tight.len = tight.n_chars = 1;
    if (style.indent) style.item = &tight;
    if (!absent(&arg[2])) {
        TRY(jj_items_of(j, &arg[2], &items, &n));
        if (n != 2) return jj_type_error(j, "separators are two");
        TRY(want_str(j, &items[0], &style.item));
        TRY(want_str(j, &items[1], &style.key));
    }
    jj_put_json(&o, in, &style);
    return jj_out_str(&o, out);
}

FILTER(unsupported)
{
    UNUSED;
    return jj_fail(j, NX_EUNSUPPORTED, "this filter isn't supported");
}

const jj_filter_def jj_text_filters[] = {
    {"abs", "", 0, abs_},
    {"attr", "name", 1, attr},
    {"capitalize", "", 0, capitalize},
    {"center", "width", 0, center},
    {"d", "default_value boolean", 0, default_},
    {"default", "default_value boolean", 0, default_},
    {"e", "", 0, escape},
    {"escape", "", 0, escape},
    {"filesizeformat", "binary", 0, filesizeformat},
    {"float", "default", 0, float_},
    {"forceescape", "", 0, forceescape},
    {"format", "", -1, format},
    {"indent", "width first blank", 0, indent},
    {"int", "default base", 0, int_},
    {"lower", "", 0, lower},
    {"pprint", "", -1, unsupported},
    {"random", "", -1, unsupported},
    {"replace", "old new count", 2, replace},
    {"round", "precision method", 0, round_},
    {"safe", "", 0, safe},
    {"string", "", 0, string},
    {"striptags", "", -1, unsupported},
    {"title", "", 0, title},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, tojson},
    {"trim", "chars", 0, trim},
    {"truncate", "length killwords end leeway", 0, truncate},
    {"upper", "", 0, upper},
    {"urlencode", "", 0, urlencode},
    {"urlize", "", -1, unsupported},
    {"wordcount", "", 0, wordcount},
    {"wordwrap", "", -1, unsupported},
    {"xmlattr", "", -1, unsupported},
    {NULL, NULL, 0, NULL},
};

/* ---- The table: texts from 0, sequences from SEQ ---- */

#define SEQ 1000

int jj_filter_find(nx_str name)
{
    for (int i = 0; jj_text_filters[i].name; i++) {
        if (nx_str_eq(name, nx_str_of(jj_text_filters[i].name))) return i;
    }
    for (int i = 0; jj_seq_filters[i].name; i++) {
        if (nx_str_eq(name, nx_str_of(jj_seq_filters[i].name))) return SEQ + i;
    }
    return -1;
}

nx_status jj_filter_run(jj *j, jj_val *out, int filter, const jj_val *in, const jj_call *c)
{
    const jj_filter_def *f =
        filter < SEQ ? &jj_text_filters[filter] : &jj_seq_filters[filter - SEQ];
    const jj_val value = *in; /* out may be in */
    jj_val       arg[JJ_ARGS_MAX];

    TRY(jj_steps(j, 1));
    if (f->n_required >= 0) TRY(jj_bind(j, f->name, f->params, f->n_required, c, arg));
    return f->run(j, out, &value, arg, c);
}
