/* jinja_attr.c - of.name, of[item], slices.
 *
 * As the sandboxed environment looks things up: .name prefers an attribute (a method) and falls
 * back to the item, [name] the other way round; what isn't there is undefined; names with an
 * underscore in front, and methods that would change their object, are undefined as well.
 */
#include <string.h>

#include "token/jinja_eval.h"

/* ---- Methods ---- */

static const jj_method_def *methods_of(const jj_val *v)
{
    switch (v->type) {
    case JJ_STR: return jj_str_methods;
    case JJ_LIST: return jj_list_methods;
    case JJ_TUPLE: return jj_tuple_methods;
    case JJ_DICT: return jj_dict_methods;
    case JJ_FUNCTION:
        return v->function == jj_global_find(NX_STR("dict")) ? jj_fromkeys_method : NULL;
    case JJ_BOOL:
    case JJ_INT:
    case JJ_FLOAT: return jj_number_methods;
    case JJ_RANGE: return jj_range_methods;
    case JJ_LOOP: return jj_loop_methods;
    case JJ_CYCLER: return jj_cycler_methods;
    default: return NULL;
    }
}

static nx_status method(jj *j, jj_val *out, const jj_val *of, nx_str name, bool *found)
{
    const jj_method_def *def = methods_of(of);

    *found = false;
    for (; def && def->name; def++) {
        if (def->name[0] == name.p[0] && nx_str_eq(name, nx_str_of(def->name))) break;
    }
    if (!def || !def->name) return NX_OK;
    *found = true;
    if (!def->run) {
        return jj_undefined(j, out,
                            "access to attribute '%s' of '%s' object is unsafe: nothing "
                            "can be changed in place",
                            def->name, jj_type_name(of));
    }
    jj_method *m = jj_alloc(j, 1, sizeof *m);
    if (!m) return j->err->status;
    *m = (jj_method){*of, def};
    *out = (jj_val){.type = JJ_METHOD, .method = m};
    return NX_OK;
}

/* ---- Attributes that aren't methods ---- */

static nx_status macro_attr(jj *j, jj_val *out, const jj_macro *m, nx_str name, bool *found)
{
    const jj_signature *s = m->node->macro;

    *found = true;
    if (nx_str_eq(name, NX_STR("name"))) {
        if (m->name.len) return jj_str_view(j, out, m->name.p, m->name.len, false);
        *out = JJ_VAL_NONE;
    } else if (nx_str_eq(name, NX_STR("arguments"))) {
        TRY(jj_list_new(j, out, JJ_TUPLE, s->n));
        for (uint32_t i = 0; i < s->n; i++) {
            nx_str arg = jj_eval_of(j)->t->names[s->name[i]];
            TRY(jj_str_view(j, &out->list->v[i], arg.p, arg.len, false));
        }
    } else if (nx_str_eq(name, NX_STR("caller"))) {
        *out = jj_bool(s->uses_caller);
    } else if (nx_str_eq(name, NX_STR("catch_kwargs"))) {
        *out = jj_bool(s->uses_kwargs);
    } else if (nx_str_eq(name, NX_STR("catch_varargs"))) {
        *out = jj_bool(s->uses_varargs);
    } else {
        *found = false;
    }
    return NX_OK;
}

static bool number_attr(jj_val *out, const jj_val *of, nx_str name)
{
    bool whole = of->type != JJ_FLOAT;

    if (nx_str_eq(name, NX_STR("real")) || (whole && nx_str_eq(name, NX_STR("numerator"))))
        *out = of->type == JJ_BOOL ? jj_int(of->b) : *of;
    else if (nx_str_eq(name, NX_STR("imag")))
        *out = whole ? jj_int(0) : jj_float(0);
    else if (whole && nx_str_eq(name, NX_STR("denominator")))
        *out = jj_int(1);
    else
        return false;
    return true;
}

static bool range_attr(jj_val *out, const jj_range *r, nx_str name)
{
    if (nx_str_eq(name, NX_STR("start")))
        *out = jj_int(r->start);
    else if (nx_str_eq(name, NX_STR("stop")))
        *out = jj_int(r->stop);
    else if (nx_str_eq(name, NX_STR("step")))
        *out = jj_int(r->step);
    else
        return false;
    return true;
}

/* What getattr() finds. */
static nx_status attribute(jj *j, jj_val *out, const jj_val *of, nx_str name, bool *found)
{
    jj_val *held;

    *found = true;
    if (name.len == 0 || name.p[0] == '_') {
        *found = false;
        return NX_OK;
    }
    switch (of->type) {
    case JJ_NAMESPACE:
        held = jj_dict_text(j, of->dict, name);
        *found = held != NULL;
        if (held) *out = *held;
        return NX_OK;
    case JJ_LOOP:
        TRY(jj_loop_attr(j, out, of->loop, name, found));
        if (*found) return NX_OK;
        break;
    case JJ_MACRO: return macro_attr(j, out, of->macro, name, found);
    case JJ_RANGE:
        if (range_attr(out, of->range, name)) return NX_OK;
        break;
    case JJ_BOOL:
    case JJ_INT:
    case JJ_FLOAT:
        if (number_attr(out, of, name)) return NX_OK;
        break;
    case JJ_TUPLE:
        if (of->list->group && nx_str_eq(name, NX_STR("grouper"))) {
            *out = of->list->v[0];
            return NX_OK;
        }
        if (of->list->group && nx_str_eq(name, NX_STR("list"))) {
            *out = of->list->v[1];
            return NX_OK;
        }
        break;
    case JJ_CYCLER:
        if (nx_str_eq(name, NX_STR("current"))) {
            *out = of->cycler->v[of->cycler->at];
            return NX_OK;
        }
        break;
    case JJ_JOINER:
        if (nx_str_eq(name, NX_STR("sep"))) {
            *out = of->joiner->sep;
            return NX_OK;
        }
        break;
    default: break;
    }
    return method(j, out, of, name, found);
}

/* ---- Items ---- */

static nx_status at_index(jj *j, jj_val *out, const jj_val *of, int64_t i, bool *found)
{
    size_t n;

    *found = false;
    if (!jj_length(of, &n) || of->type == JJ_VIEW) return NX_OK;
    if (i < 0) i += (int64_t)n;
    if (i < 0 || (uint64_t)i >= n) return NX_OK;
    *found = true;
    if (of->type == JJ_RANGE) {
        *out = jj_int(of->range->start + i * of->range->step);
        return NX_OK;
    }
    if (of->type != JJ_STR) {
        *out = of->list->v[i];
        return NX_OK;
    }
    const jj_str *s = of->s;
    if (s->n_chars != s->len) TRY(jj_work(j, s->len));
    size_t from = jj_str_at(s, (size_t)i), to = from + 1;
    while (to < s->len && ((unsigned char)s->p[to] & 0xC0) == 0x80) to++;
    return jj_slice_bytes(j, out, s, from, to);
}

/* What of[item] finds in Python. */
static nx_status subscript(jj *j, jj_val *out, const jj_val *of, const jj_val *item, bool *found)
{
    jj_val *held;
    int64_t i;

    *found = false;
    if (of->type == JJ_DICT) {
        if (item->type == JJ_LIST || item->type == JJ_DICT) return NX_OK; /* no key can be one */
        TRY(jj_dict_get(j, of->dict, item, &held));
        *found = held != NULL;
        if (held) *out = *held;
        return NX_OK;
    }
    if (of->type == JJ_NAMESPACE || !jj_as_int(item, &i)) return NX_OK;
    return at_index(j, out, of, i, found);
}

static nx_status nothing(jj *j, jj_val *out, const jj_val *of, nx_str name)
{
    const char *type = of->type == JJ_DICT ? "dict object" : jj_type_name(of);

    if (of->type == JJ_NONE) type = "None";
    return jj_undefined(j, out, "'%s' has no attribute '%.*s'", type,
                        (int)(name.len < 100 ? name.len : 100), name.p);
}

nx_status jj_attr(jj *j, jj_val *out, const jj_val *of, nx_str name)
{
    bool found;

    if (of->type == JJ_UNDEFINED) return jj_undefined_used(j, of);
    TRY(attribute(j, out, of, name, &found));
    if (!found && of->type == JJ_DICT) {
        jj_val *held = jj_dict_text(j, of->dict, name);
        found = held != NULL;
        if (held) *out = *held;
    }
    return found ? NX_OK : nothing(j, out, of, name);
}

/* An attribute alone: a dict's items don't count. */
nx_status jj_attr_only(jj *j, jj_val *out, const jj_val *of, nx_str name)
{
    bool found;

    if (of->type == JJ_UNDEFINED) return jj_undefined_used(j, of);
    TRY(attribute(j, out, of, name, &found));
    return found ? NX_OK : nothing(j, out, of, name);
}

nx_status jj_item(jj *j, jj_val *out, const jj_val *of, const jj_val *item)
{
    bool found;

    if (of->type == JJ_UNDEFINED) return jj_undefined_used(j, of);
    TRY(subscript(j, out, of, item, &found));
    if (!found && item->type == JJ_STR) TRY(attribute(j, out, of, jj_bytes(item->s), &found));
    if (found) return NX_OK;
    if (item->type == JJ_STR) return nothing(j, out, of, jj_bytes(item->s));
    return jj_undefined(j, out, "%s object has no such element", jj_type_name(of));
}

/* ---- "a.b.0" ---- */

static bool all_digits(nx_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    }
    return s.len > 0 && s.len < 18;
}

static nx_status path_step(jj *j, jj_val *v, nx_str part, const jj_val *preset)
{
    jj_val  item;
    int64_t i = 0;

    if (all_digits(part)) {
        for (size_t k = 0; k < part.len; k++) i = 10 * i + (part.p[k] - '0');
        item = jj_int(i);
    } else {
        TRY(jj_str_view(j, &item, part.p, part.len, false));
    }
    const jj_val of = *v;
    TRY(jj_item(j, v, &of, &item));
    if (v->type == JJ_UNDEFINED && preset && preset->type != JJ_MISSING &&
        preset->type != JJ_NONE) {
        *v = *preset;
    }
    return NX_OK;
}

/* What attribute= of filters names: a path of names and numbers, or one value; none: of itself. */
nx_status jj_path(jj *j, jj_val *out, const jj_val *of, const jj_val *path, const jj_val *preset)
{
    *out = *of;
    TRY(jj_steps(j, 1));
    if (path->type == JJ_MISSING || path->type == JJ_NONE) return NX_OK;
    if (path->type != JJ_STR) {
        TRY(jj_item(j, out, of, path));
        if (out->type == JJ_UNDEFINED && preset && preset->type != JJ_MISSING &&
            preset->type != JJ_NONE)
            *out = *preset;
        return NX_OK;
    }
    const jj_str *s = path->s;
    for (size_t at = 0; at <= s->len;) {
        size_t dot = jj_str_find(s, at, NX_STR("."));
        size_t end = dot == SIZE_MAX ? s->len : dot;
        TRY(path_step(j, out, (nx_str){s->p + at, end - at}, preset));
        at = end + 1;
    }
    return NX_OK;
}

/* ---- Slices ---- */

/* A bound as Python clips it; n_low and n_high are what a step of that sign allows. */
static int64_t bound(const jj_val *v, int64_t n, int64_t preset, int64_t low, int64_t high)
{
    int64_t i;

    if (!jj_as_int(v, &i)) return preset;
    if (i < 0) i = i < -n ? -1 - n : i + n;
    return i < low ? low : i > high ? high : i;
}

static nx_status slice_text(jj *j, jj_val *out, const jj_str *s, int64_t from, int64_t step,
                            size_t count)
{
    jj_out o = {.j = j};

    TRY(jj_work(j, s->len));
    if (step == 1) {
        size_t a = jj_str_at(s, (size_t)from), b = jj_str_at(s, (size_t)from + count);
        return jj_slice_bytes(j, out, s, a, b);
    }
    TRY(jj_steps(j, count));
    if (s->n_chars == s->len) {
        for (size_t i = 0; i < count; i++) {
            size_t at = (size_t)(from + (int64_t)i * step);
            jj_put_range(&o, s, at, at + 1);
        }
        return jj_out_str(&o, out);
    }
    uint32_t *start = jj_alloc(j, (size_t)s->n_chars + 1, sizeof *start);
    if (!start) return j->err->status;
    for (size_t at = 0, k = 0; at < s->len; at++) {
        if (((unsigned char)s->p[at] & 0xC0) != 0x80) start[k++] = (uint32_t)at;
    }
    start[s->n_chars] = s->len;
    for (size_t i = 0; i < count; i++) {
        int64_t k = from + (int64_t)i * step;
        jj_put_range(&o, s, start[k], start[k + 1]);
    }
    return jj_out_str(&o, out);
}

static nx_status slice_items(jj *j, jj_val *out, const jj_val *of, int64_t from, int64_t step,
                             size_t count)
{
    jj_val part;

    if (of->type == JJ_RANGE) {
        jj_range *r = jj_alloc(j, 1, sizeof *r);
        if (!r) return j->err->status;
        *r = (jj_range){.start = of->range->start + from * of->range->step,
                        .step = of->range->step * step,
                        .n = count};
        r->stop = r->start + (int64_t)count * r->step;
        *out = (jj_val){.type = JJ_RANGE, .range = r};
        return NX_OK;
    }
    TRY(jj_steps(j, count / 8));
    TRY(jj_list_new(j, &part, of->type, count));
    for (size_t i = 0; i < count; i++) part.list->v[i] = of->list->v[from + (int64_t)i * step];
    *out = part;
    return NX_OK;
}

static bool is_index(const jj_val *v)
{
    return v->type == JJ_NONE || v->type == JJ_INT || v->type == JJ_BOOL;
}

nx_status jj_slice(jj *j, jj_val *out, const jj_val *of, const jj_val *from, const jj_val *to,
                   const jj_val *step)
{
    size_t  n_items;
    int64_t by = 1;

    if (of->type == JJ_UNDEFINED) return jj_undefined_used(j, of);
    bool fits =
        of->type == JJ_STR || of->type == JJ_LIST || of->type == JJ_TUPLE || of->type == JJ_RANGE;
    if (!fits || !is_index(from) || !is_index(to) || !is_index(step)) {
        return jj_type_error(j, "'%s' object can't be sliced so", jj_type_name(of));
    }
    jj_length(of, &n_items);
    jj_as_int(step, &by);
    if (by == 0) return jj_type_error(j, "slice step cannot be zero");
    const int64_t n = (int64_t)n_items;
    if (by > n + 1) by = n + 1;
    if (by < -n - 1) by = -n - 1;
    int64_t a = by > 0 ? bound(from, n, 0, 0, n) : bound(from, n, n - 1, -1, n - 1);
    int64_t b = by > 0 ? bound(to, n, n, 0, n) : bound(to, n, -1, -1, n - 1);
    size_t  count = by > 0 ? (b > a ? (size_t)((b - a + by - 1) / by) : 0)
                           : (a > b ? (size_t)((a - b - by - 1) / -by) : 0);
    return of->type == JJ_STR ? slice_text(j, out, of->s, a, by, count)
                              : slice_items(j, out, of, a, by, count);
}
