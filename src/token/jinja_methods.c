/* jinja_methods.c - methods of lists, tuples, dicts, numbers and cyclers. */
#include <math.h>
#include <string.h>

#include "token/jinja_call.h"

#define METHOD(name)                                                                               \
    static nx_status name(jj *j, jj_val *out, const jj_val *self, const jj_val *arg,               \
                          const jj_call *c)
#define UNUSED (void)j, (void)out, (void)self, (void)arg, (void)c

/* ---- Lists and tuples ---- */

METHOD(list_count)
{
    int64_t n = 0;
    bool    same;

    UNUSED;
    for (size_t i = 0; i < self->list->n; i++) {
        TRY(jj_equal(j, &self->list->v[i], &arg[0], &same));
        n += same;
    }
    *out = jj_int(n);
    return NX_OK;
}

METHOD(list_index)
{
    int64_t n = (int64_t)self->list->n, from = 0, to = n;
    bool    same;

    UNUSED;
    jj_as_int(&arg[1], &from);
    jj_as_int(&arg[2], &to);
    if (from < 0) from = from + n < 0 ? 0 : from + n;
    if (to < 0) to += n;
    for (int64_t i = from; i < to && i < n; i++) {
        TRY(jj_equal(j, &self->list->v[i], &arg[0], &same));
        if (!same) continue;
        *out = jj_int(i);
        return NX_OK;
    }
    return jj_type_error(j, "the value is not in the %s", jj_type_name(self));
}

METHOD(same_self)
{
    UNUSED;
    *out = *self;
    return NX_OK;
}

const jj_method_def jj_list_methods[] = {
    {"count", "value", 1, list_count},
    {"index", "value start stop", 1, list_index},
    {"copy", "", 0, same_self},
    {"append", "", 0, NULL},
    {"clear", "", 0, NULL},
    {"pop", "", 0, NULL},
    {"reverse", "", 0, NULL},
    {"insert", "", 0, NULL},
    {"sort", "", 0, NULL},
    {"extend", "", 0, NULL},
    {"remove", "", 0, NULL},
    {NULL, NULL, 0, NULL},
};

const jj_method_def jj_tuple_methods[] = {
    {"count", "value", 1, list_count},
    {"index", "value start stop", 1, list_index},
    {NULL, NULL, 0, NULL},
};

/* ---- Ranges ---- */

static bool in_range(const jj_range *r, const jj_val *v, int64_t *at)
{
    int64_t i = 0;

    if (v->type == JJ_FLOAT) {
        if (floor(v->f) != v->f || fabs(v->f) > 9e15) return false;
        i = (int64_t)v->f;
    } else if (!jj_as_int(v, &i)) {
        return false;
    }
    for (size_t k = 0; k < r->n; k++) {
        *at = (int64_t)k;
        if (r->start + *at * r->step == i) return true;
    }
    return false;
}

METHOD(range_count)
{
    int64_t at;

    UNUSED;
    TRY(jj_steps(j, self->range->n / 8));
    *out = jj_int(in_range(self->range, &arg[0], &at));
    return NX_OK;
}

METHOD(range_index)
{
    int64_t at = 0;

    UNUSED;
    TRY(jj_steps(j, self->range->n / 8));
    if (!in_range(self->range, &arg[0], &at)) return jj_type_error(j, "the value is not in range");
    *out = jj_int(at);
    return NX_OK;
}

const jj_method_def jj_range_methods[] = {
    {"count", "value", 1, range_count},
    {"index", "value", 1, range_index},
    {NULL, NULL, 0, NULL},
};

/* ---- Dicts ---- */

METHOD(dict_get)
{
    jj_val *held;

    UNUSED;
    if (c->n_kw) return jj_type_error(j, "get() takes no keyword arguments");
    TRY(jj_dict_get(j, self->dict, &arg[0], &held));
    *out = held ? *held : arg[1].type == JJ_MISSING ? JJ_VAL_NONE : arg[1];
    return NX_OK;
}

static nx_status view(jj *j, jj_val *out, const jj_val *self, char kind)
{
    jj_view *v = jj_alloc(j, 1, sizeof *v);

    if (!v) return j->err->status;
    *v = (jj_view){self->dict, kind};
    *out = (jj_val){.type = JJ_VIEW, .view = v};
    return NX_OK;
}

METHOD(dict_items)
{
    UNUSED;
    return view(j, out, self, 'i');
}

METHOD(dict_keys)
{
    UNUSED;
    return view(j, out, self, 'k');
}

METHOD(dict_values)
{
    UNUSED;
    return view(j, out, self, 'v');
}

METHOD(dict_fromkeys)
{
    jj_val *items, d;
    size_t  n;

    UNUSED;
    TRY(jj_items_of(j, &arg[0], &items, &n));
    TRY(jj_dict_new(j, &d));
    for (size_t i = 0; i < n; i++) {
        TRY(jj_dict_set(j, d.dict, items[i], arg[1].type == JJ_MISSING ? JJ_VAL_NONE : arg[1]));
    }
    *out = d;
    return NX_OK;
}

const jj_method_def jj_fromkeys_method[] = {
    /* of dict itself */
    {"fromkeys", "iterable value", 1, dict_fromkeys},
    {NULL, NULL, 0, NULL},
};

const jj_method_def jj_dict_methods[] = {
    {"get", "key default", 1, dict_get},
    {"items", "", 0, dict_items},
    {"keys", "", 0, dict_keys},
    {"values", "", 0, dict_values},
    {"copy", "", 0, same_self},
    {"fromkeys", "iterable value", 1, dict_fromkeys},
    {"clear", "", 0, NULL},
    {"pop", "", 0, NULL},
    {"popitem", "", 0, NULL},
    {"setdefault", "", 0, NULL},
    {"update", "", 0, NULL},
    {NULL, NULL, 0, NULL},
};

/* ---- Numbers ---- */

METHOD(is_integer)
{
    UNUSED;
    if (self->type != JJ_FLOAT) return jj_type_error(j, "only a float has is_integer()");
    *out = jj_bool(isfinite(self->f) && floor(self->f) == self->f);
    return NX_OK;
}

METHOD(bit_length)
{
    int64_t i = 0, n = 0;

    UNUSED;
    if (!jj_as_int(self, &i)) return jj_type_error(j, "only an int has bit_length()");
    for (uint64_t m = i < 0 ? 0 - (uint64_t)i : (uint64_t)i; m; m >>= 1) n++;
    *out = jj_int(n);
    return NX_OK;
}

const jj_method_def jj_number_methods[] = {
    {"is_integer", "", 0, is_integer},
    {"bit_length", "", 0, bit_length},
    {"conjugate", "", 0, same_self},
    {NULL, NULL, 0, NULL},
};

/* ---- Cyclers ---- */

METHOD(cycler_next)
{
    jj_cycler *cy = self->cycler;

    UNUSED;
    *out = cy->v[cy->at];
    cy->at = (cy->at + 1) % cy->n;
    return NX_OK;
}

METHOD(cycler_reset)
{
    UNUSED;
    self->cycler->at = 0;
    *out = JJ_VAL_NONE;
    return NX_OK;
}

const jj_method_def jj_cycler_methods[] = {
    {"next", "", 0, cycler_next},
    {"reset", "", 0, cycler_reset},
    {NULL, NULL, 0, NULL},
};
