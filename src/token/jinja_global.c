/* jinja_global.c - range, namespace, dict, raise_exception, strftime_now and their like. */
#include <locale.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"
#include "token/jinja_eval.h"
#include "token/jinja_print.h"

#define RANGE_MAX 100000 /* the original sandbox's */

/* ---- range ---- */

static nx_status range(jj *j, jj_val *out, const jj_call *c)
{
    int64_t arg[3] = {0, 0, 1};

    if (c->n_kw || c->n_pos < 1 || c->n_pos > 3)
        return jj_type_error(j, "range takes 1 to 3 numbers");
    for (size_t i = 0; i < c->n_pos; i++) {
        if (c->pos[i].type == JJ_UNDEFINED) return jj_undefined_used(j, &c->pos[i]);
        if (!jj_as_int(&c->pos[i], &arg[c->n_pos == 1 ? 1 : i])) {
            return jj_type_error(j, "'%s' object cannot be interpreted as an integer",
                                 jj_type_name(&c->pos[i]));
        }
    }
    if (arg[2] == 0) return jj_type_error(j, "range() arg 3 must not be zero");
    __extension__ typedef __int128 wide;
    wide span = arg[2] > 0 ? (wide)arg[1] - arg[0] : (wide)arg[0] - arg[1];
    wide step = arg[2] > 0 ? (wide)arg[2] : -(wide)arg[2];
    wide n = span > 0 ? (span + step - 1) / step : 0;
    if (n > RANGE_MAX) {
        return jj_fail(j, NX_ELIMIT, "Range too big: more than %d items", RANGE_MAX);
    }
    jj_range *r = jj_alloc(j, 1, sizeof *r);
    if (!r) return j->err->status;
    *r = (jj_range){arg[0], arg[1], arg[2], (size_t)n};
    *out = (jj_val){.type = JJ_RANGE, .range = r};
    return NX_OK;
}

/* ---- dict, namespace ---- */

static nx_status add_pairs(jj *j, jj_dict *d, const jj_val *from)
{
    jj_val *items, *pair;
    size_t  n, two;

    if (from->type == JJ_DICT || from->type == JJ_NAMESPACE) {
        for (size_t i = 0; i < from->dict->n; i++) {
            TRY(jj_dict_set(j, d, from->dict->e[i].key, from->dict->e[i].value));
        }
        return NX_OK;
    }
    TRY(jj_items_of(j, from, &items, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(jj_items_of(j, &items[i], &pair, &two));
        if (two != 2)
            return jj_type_error(j, "dict() wants pairs, item %zu has length %zu", i, two);
        TRY(jj_dict_set(j, d, pair[0], pair[1]));
    }
    return NX_OK;
}

static nx_status dict(jj *j, jj_val *out, const jj_call *c)
{
    jj_val d, key;

    if (c->n_pos > 1)
        return jj_type_error(j, "dict expected at most 1 argument, got %zu", c->n_pos);
    TRY(jj_dict_new(j, &d));
    if (c->n_pos) TRY(add_pairs(j, d.dict, &c->pos[0]));
    for (size_t i = 0; i < c->n_kw; i++) {
        TRY(jj_str_view(j, &key, c->kw[i].p, c->kw[i].len, false));
        TRY(jj_dict_set(j, d.dict, key, c->kw_value[i]));
    }
    *out = d;
    return NX_OK;
}

static nx_status namespace(jj *j, jj_val *out, const jj_call *c)
{
    TRY(dict(j, out, c));
    for (size_t i = 0; i < out->dict->n; i++) {
        const jj_val *key = &out->dict->e[i].key;
        if (key->type == JJ_STR && key->s->len && key->s->p[0] == '_') {
            return jj_type_error(j, "a namespace's attributes can't begin with an underscore");
        }
    }
    out->type = JJ_NAMESPACE;
    return NX_OK;
}

/* ---- raise_exception, strftime_now ---- */

static nx_status raise(jj *j, const jj_call *c)
{
    jj_val arg[JJ_ARGS_MAX], text;

    TRY(jj_bind(j, "raise_exception", "message", 1, c, arg));
    TRY(jj_to_str(j, &text, &arg[0]));
    jj_eval_of(j)->raised = true;
    return jj_fail(j, NX_EINVAL, "the template refuses: %.*s",
                   (int)(text.s->len < 400 ? text.s->len : 400), text.s->p);
}

/* The format without what a time that knows no zone leaves empty; %f is microseconds. */
static void prepare(jj_out *o, const jj_str *f, int64_t ms)
{
    char micros[8];

    for (size_t i = 0; i < f->len; i++) {
        if (f->p[i] != '%' || i + 1 == f->len) {
            jj_put_range(o, f, i, i + 1);
            continue;
        }
        i++;
        if (f->p[i] == 'f') {
            int us = (int)(ms % 1000 * 1000);
            for (int d = 5; d >= 0; d--, us /= 10) micros[d] = (char)('0' + us % 10);
            jj_put(o, micros, 6, false);
        } else if (f->p[i] == ':' && i + 1 < f->len && f->p[i + 1] == 'z') {
            i++;
        } else if (f->p[i] != 'z' && f->p[i] != 'Z') {
            jj_put_range(o, f, i - 1, i + 1);
        }
    }
}

static nx_status format_time(jj *j, jj_val *out, const jj_str *format, const struct tm *tm)
{
    char     text[1024];
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);

    if (!plain) return jj_fail(j, NX_ENOMEM, "a locale");
    char *f = jj_alloc(j, (size_t)format->len + 1, 1);
    if (f && format->len) memcpy(f, format->p, format->len);
    size_t n = f && format->len ? strftime_l(text, sizeof text, f, tm, plain) : 0;
    freelocale(plain);
    if (!f) return j->err->status;
    return jj_str_new(j, out, text, n, format->user);
}

static nx_status strftime_now(jj *j, jj_val *out, const jj_call *c)
{
    jj_val    arg[JJ_ARGS_MAX], f;
    jj_out    o = {.j = j};
    struct tm tm;
    int64_t   ms = jj_eval_of(j)->unix_ms;

    TRY(jj_bind(j, "strftime_now", "format", 1, c, arg));
    if (arg[0].type != JJ_STR) return jj_type_error(j, "strftime_now wants a format, a str");
    time_t seconds = (time_t)(ms / 1000);
    if (!localtime_r(&seconds, &tm)) return jj_fail(j, NX_EINVAL, "no date for this time");
    prepare(&o, arg[0].s, ms);
    TRY(jj_out_str(&o, &f));
    return format_time(j, out, f.s, &tm);
}

/* ---- cycler, joiner ---- */

static nx_status cycler(jj *j, jj_val *out, const jj_call *c)
{
    jj_cycler *cy = jj_alloc(j, 1, sizeof *cy);

    if (!cy) return j->err->status;
    if (c->n_pos == 0 || c->n_kw) return jj_type_error(j, "at least one item has to be provided");
    *cy = (jj_cycler){.v = c->pos, .n = c->n_pos};
    *out = (jj_val){.type = JJ_CYCLER, .cycler = cy};
    return NX_OK;
}

static nx_status joiner(jj *j, jj_val *out, const jj_call *c)
{
    jj_val     arg[JJ_ARGS_MAX];
    jj_joiner *jo = jj_alloc(j, 1, sizeof *jo);

    if (!jo) return j->err->status;
    TRY(jj_bind(j, "joiner", "sep", 0, c, arg));
    jo->sep = arg[0];
    if (arg[0].type == JJ_MISSING) TRY(jj_str_view(j, &jo->sep, ", ", 2, false));
    *out = (jj_val){.type = JJ_JOINER, .joiner = jo};
    return NX_OK;
}

/* ---- The table ---- */

static const char *const names[] = {"range",        "dict",   "namespace", "raise_exception",
                                    "strftime_now", "cycler", "joiner",    "lipsum"};

int jj_global_find(nx_str name)
{
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        if (nx_str_eq(name, nx_str_of(names[i]))) return i;
    }
    return -1;
}

nx_status jj_global_run(jj *j, jj_val *out, int function, const jj_call *c)
{
    switch (function) {
    case 0: return range(j, out, c);
    case 1: return dict(j, out, c);
    case 2: return namespace(j, out, c);
    case 3: return raise(j, c);
    case 4: return strftime_now(j, out, c);
    case 5: return cycler(j, out, c);
    case 6: return joiner(j, out, c);
    default: return jj_fail(j, NX_EUNSUPPORTED, "%s isn't supported", names[function]);
    }
}
