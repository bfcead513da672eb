/* jinja_print.c - values as text. */
#include "token/jinja_print.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "token/jinja_chars.h"
#include "token/jinja_eval.h"
#include "token/jinja_sort.h"

/* ---- Numbers ---- */

void jj_shortest(double x, char digits[32], int *exponent)
{
    char text[48];

    for (int n = 0; n < 17; n++) {
        snprintf(text, sizeof text, "%.*e", n, x);
        if (strtod(text, NULL) == x) break;
    }
    char  *e = strchr(text, 'e');
    size_t len = 0;
    for (char *p = text; p < e; p++) { /* whatever the locale's point is */
        if (*p >= '0' && *p <= '9') digits[len++] = *p;
    }
    while (len > 1 && digits[len - 1] == '0') len--;
    digits[len] = '\0';
    *exponent = atoi(e + 1);
}

static void put_zeros(jj_out *o, int n)
{
    while (n-- > 0) jj_put_text(o, "0");
}

void jj_put_float(jj_out *o, double x)
{
    char digits[32], tail[24];
    int  e;

    if (isnan(x)) {
        jj_put_text(o, "nan");
        return;
    }
    if (signbit(x)) jj_put_text(o, "-");
    if (isinf(x)) {
        jj_put_text(o, "inf");
        return;
    }
    jj_shortest(fabs(x), digits, &e);
    int n = (int)strlen(digits);
    if (e < -4 || e >= 16) {
        jj_put(o, digits, 1, false);
        if (n > 1) jj_put_text(o, ".");
        jj_put_text(o, digits + 1);
        snprintf(tail, sizeof tail, "e%c%02d", e < 0 ? '-' : '+', abs(e));
        jj_put_text(o, tail);
    } else if (e < 0) {
        jj_put_text(o, "0.");
        put_zeros(o, -e - 1);
        jj_put_text(o, digits);
    } else {
        int whole = e + 1 < n ? e + 1 : n;
        jj_put(o, digits, (size_t)whole, false);
        put_zeros(o, e + 1 - whole);
        jj_put_text(o, ".");
        jj_put_text(o, whole < n ? digits + whole : "0");
    }
}

static void put_number(jj_out *o, const jj_val *v)
{
    char text[32];

    if (v->type == JJ_FLOAT) {
        jj_put_float(o, v->f);
        return;
    }
    if (v->type == JJ_BIG)
        snprintf(text, sizeof text, "%" PRIu64, v->u);
    else
        snprintf(text, sizeof text, "%" PRId64, v->i);
    jj_put_text(o, text);
}

/* ---- Quoted strings ---- */

static void put_escape(jj_out *o, uint32_t cp, bool user)
{
    char text[16];

    snprintf(text, sizeof text,
             cp < 0x100     ? "\\x%02x"
             : cp < 0x10000 ? "\\u%04x"
                            : "\\U%08x",
             (unsigned)cp);
    jj_put(o, text, strlen(text), user);
}

static const char *short_escape(uint32_t cp, char quote)
{
    if (cp == (unsigned char)quote) return quote == '"' ? "\\\"" : "\\'";
    switch (cp) {
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

static void put_quoted(jj_out *o, const jj_str *s, bool ascii)
{
    bool single = s->len && memchr(s->p, '\'', s->len);
    bool both = single && memchr(s->p, '"', s->len);
    char quote = single && !both ? '"' : '\'';

    if (!o->st) o->st = jj_steps(o->j, s->len / 4);
    jj_put(o, &quote, 1, false);
    for (size_t at = 0, n; at < s->len && !o->st; at += n) {
        uint32_t    cp = nx_utf8_decode(s->p + at, s->len - at, &n);
        const char *escape = short_escape(cp, quote);
        if (escape)
            jj_put(o, escape, 2, jj_user_at(s, at));
        else if (cp < 0x20 || cp == 0x7F || (cp > 0x7F && ascii) ||
                 (cp > 0x7F && !(jj_char_flags(cp) & JJ_PRINTABLE)))
            put_escape(o, cp, jj_user_at(s, at));
        else
            jj_put(o, s->p + at, n, jj_user_at(s, at));
    }
    jj_put(o, &quote, 1, false);
}

/* ---- Containers ---- */

static void put_any(jj_out *o, const jj_val *v, bool ascii);

static void put_list(jj_out *o, const jj_val *v, size_t n, const char *open, const char *close,
                     bool ascii)
{
    jj_put_text(o, open);
    for (size_t i = 0; i < n; i++) {
        if (i) jj_put_text(o, ", ");
        put_any(o, &v[i], ascii);
    }
    jj_put_text(o, close);
}

static void put_dict(jj_out *o, const jj_dict *d, bool ascii)
{
    jj_put_text(o, "{");
    for (size_t i = 0; i < d->n && !o->st; i++) {
        if (i) jj_put_text(o, ", ");
        put_any(o, &d->e[i].key, ascii);
        jj_put_text(o, ": ");
        put_any(o, &d->e[i].value, ascii);
    }
    jj_put_text(o, "}");
}

static void put_view(jj_out *o, const jj_val *v, bool ascii)
{
    jj_val *items;
    size_t  n;
    char    kind = v->view->kind;

    o->st = jj_items_of(o->j, v, &items, &n);
    if (o->st) return;
    put_list(o, items, n,
             kind == 'k'   ? "dict_keys(["
             : kind == 'v' ? "dict_values(["
                           : "dict_items([",
             "])", ascii);
}

static void put_range(jj_out *o, const jj_range *r)
{
    char text[96];

    if (r->step == 1)
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", r->start, r->stop);
    else
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", r->start,
                 r->stop, r->step);
    jj_put_text(o, text);
}

static void put_object(jj_out *o, const jj_val *v, bool ascii)
{
    switch (v->type) {
    case JJ_LIST: put_list(o, v->list->v, v->list->n, "[", "]", ascii); break;
    case JJ_TUPLE:
        put_list(o, v->list->v, v->list->n, "(", v->list->n == 1 ? ",)" : ")", ascii);
        break;
    case JJ_DICT: put_dict(o, v->dict, ascii); break;
    case JJ_NAMESPACE:
        jj_put_text(o, "<Namespace ");
        put_dict(o, v->dict, ascii);
        jj_put_text(o, ">");
        break;
    case JJ_RANGE: put_range(o, v->range); break;
    case JJ_VIEW: put_view(o, v, ascii); break;
    case JJ_MACRO: jj_put_macro(o, v->macro); break;
    case JJ_LOOP: jj_put_loop(o, v->loop); break;
    default:
        o->st = jj_fail(o->j, NX_EINVAL, "a %s has no text%s", jj_type_name(v),
                        v->type == JJ_ITER ? ": add |list" : "");
    }
}

static void put_any(jj_out *o, const jj_val *v, bool ascii)
{
    if (o->st) return;
    o->st = jj_steps(o->j, 1);
    switch (v->type) {
    case JJ_UNDEFINED: jj_put_text(o, "Undefined"); return;
    case JJ_MISSING:
    case JJ_NONE: jj_put_text(o, "None"); return;
    case JJ_BOOL: jj_put_text(o, v->b ? "True" : "False"); return;
    case JJ_INT:
    case JJ_BIG:
    case JJ_FLOAT: put_number(o, v); return;
    case JJ_STR:
        if (v->s->markup) jj_put_text(o, "Markup(");
        put_quoted(o, v->s, ascii);
        if (v->s->markup) jj_put_text(o, ")");
        return;
    default: break;
    }
    if (!o->st) o->st = jj_enter(o->j);
    if (o->st) return;
    put_object(o, v, ascii);
    jj_leave(o->j);
}

void jj_put_repr(jj_out *o, const jj_val *v)
{
    put_any(o, v, false);
}

void jj_put_ascii(jj_out *o, const jj_val *v)
{
    put_any(o, v, true);
}

void jj_put_val(jj_out *o, const jj_val *v)
{
    if (v->type == JJ_STR)
        jj_put_str(o, v->s);
    else if (v->type != JJ_UNDEFINED)
        put_any(o, v, false);
}

nx_status jj_to_str(jj *j, jj_val *out, const jj_val *v)
{
    jj_out o = {.j = j};

    if (v->type == JJ_STR && !v->s->markup) {
        *out = *v;
        return NX_OK;
    }
    jj_put_val(&o, v);
    return jj_out_str(&o, out);
}

/* ---- JSON, as json.dumps writes it ---- */

typedef struct json {
    jj_out              *o;
    const jj_json_style *style;
    size_t               level;
} json;

static void json_value(json *w, const jj_val *v);

static void json_unit(jj_out *o, uint32_t unit, bool user)
{
    char text[16];

    snprintf(text, sizeof text, "\\u%04x", (unsigned)unit);
    jj_put(o, text, 6, user);
}

static void json_escape(jj_out *o, uint32_t cp, bool user)
{
    const char *known = "\"\\\n\r\t\f\b", *letters = "\"\\nrtfb", *hit;
    char        text[2] = "\\";

    if (cp && cp < 0x80 && (hit = strchr(known, (int)cp))) {
        text[1] = letters[hit - known];
        jj_put(o, text, 2, user);
    } else if (cp >= 0x10000) {
        json_unit(o, 0xD800 + ((cp - 0x10000) >> 10), user);
        json_unit(o, 0xDC00 + (cp & 0x3FF), user);
    } else {
        json_unit(o, cp, user);
    }
}

static void json_string(json *w, const jj_str *s)
{
    size_t plain = 0;

    if (!w->o->st) w->o->st = jj_steps(w->o->j, s->len / 4);
    jj_put_text(w->o, "\"");
    for (size_t at = 0, n; at < s->len && !w->o->st; at += n) {
        uint32_t cp = nx_utf8_decode(s->p + at, s->len - at, &n);
        if (cp >= 0x20 && cp != '"' && cp != '\\' && (cp < 0x7F || !w->style->ascii)) continue;
        jj_put_range(w->o, s, plain, at);
        json_escape(w->o, cp, jj_user_at(s, at));
        plain = at + n;
    }
    jj_put_range(w->o, s, plain, s->len);
    jj_put_text(w->o, "\"");
}

static void json_line(json *w)
{
    if (!w->style->indent) return;
    jj_put_text(w->o, "\n");
    jj_put_fill(w->o, w->style->indent, (int64_t)w->level);
}

static void json_float(jj_out *o, double x)
{
    if (isnan(x))
        jj_put_text(o, "NaN");
    else if (isinf(x))
        jj_put_text(o, x < 0 ? "-Infinity" : "Infinity");
    else
        jj_put_float(o, x);
}

static void json_list(json *w, const jj_list *l)
{
    jj_put_text(w->o, "[");
    w->level++;
    for (size_t i = 0; i < l->n; i++) {
        if (i) jj_put_str(w->o, w->style->item);
        json_line(w);
        json_value(w, &l->v[i]);
    }
    w->level--;
    if (l->n) json_line(w);
    jj_put_text(w->o, "]");
}

static void json_key(json *w, const jj_val *key)
{
    if (key->type == JJ_STR) {
        json_string(w, key->s);
    } else if (jj_is_number(key) || key->type == JJ_NONE) {
        jj_put_text(w->o, "\"");
        json_value(w, key);
        jj_put_text(w->o, "\"");
    } else if (!w->o->st) {
        w->o->st = jj_type_error(w->o->j, "keys must be str, int, float, bool or None, not %s",
                                 jj_type_name(key));
    }
}

static void json_dict(json *w, const jj_dict *d)
{
    jj_val   *keys = NULL;
    uint32_t *order = NULL;

    if (w->style->sorted) {
        keys = jj_alloc(w->o->j, d->n, sizeof *keys);
        order = jj_alloc(w->o->j, d->n, sizeof *order);
        if (!keys || !order) {
            w->o->st = w->o->j->err->status;
            return;
        }
        for (size_t i = 0; i < d->n; i++) keys[i] = d->e[i].key;
        w->o->st = jj_sort(w->o->j, order, keys, d->n, false);
        if (w->o->st) return;
    }
    jj_put_text(w->o, "{");
    w->level++;
    for (size_t i = 0; i < d->n; i++) {
        const jj_entry *e = &d->e[order ? order[i] : i];
        if (i) jj_put_str(w->o, w->style->item);
        json_line(w);
        json_key(w, &e->key);
        jj_put_str(w->o, w->style->key);
        json_value(w, &e->value);
    }
    w->level--;
    if (d->n) json_line(w);
    jj_put_text(w->o, "}");
}

static void json_container(json *w, const jj_val *v)
{
    jj_out *o = w->o;

    o->st = jj_enter(o->j);
    if (o->st) return;
    if (v->type == JJ_DICT)
        json_dict(w, v->dict);
    else
        json_list(w, v->list);
    jj_leave(o->j);
}

static void json_value(json *w, const jj_val *v)
{
    jj_out *o = w->o;

    if (!o->st) o->st = jj_steps(o->j, 1);
    if (o->st) return;
    switch (v->type) {
    case JJ_NONE: jj_put_text(o, "null"); break;
    case JJ_BOOL: jj_put_text(o, v->b ? "true" : "false"); break;
    case JJ_INT:
    case JJ_BIG: put_number(o, v); break;
    case JJ_FLOAT: json_float(o, v->f); break;
    case JJ_STR: json_string(w, v->s); break;
    case JJ_LIST:
    case JJ_TUPLE:
    case JJ_DICT: json_container(w, v); break;
    default:
        o->st = jj_type_error(o->j, "Object of type %s is not JSON serializable", jj_type_name(v));
    }
}

void jj_put_json(jj_out *o, const jj_val *v, const jj_json_style *style)
{
    json w = {.o = o, .style = style};

    json_value(&w, v);
}
