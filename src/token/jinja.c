/* jinja.c - compiling and rendering: the door to the jinja_*.c files. */
#include "token/jinja.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "os/clock.h"
#include "token/jinja_eval.h"

nx_jinja_limits nx_jinja_limits_default(void)
{
    return (nx_jinja_limits){.steps = 8000000,
                             .depth = 600,
                             .memory_bytes = (size_t)256 << 20,
                             .value_bytes = (size_t)64 << 20,
                             .output_bytes = (size_t)64 << 20,
                             .source_bytes = (size_t)4 << 20};
}

/* ---- Compiling ---- */

static nx_status compile(nx_jinja *t, nx_str source, nx_error *err)
{
    jj        j = {.arena = &t->arena,
                   .memory_max = t->limits.memory_bytes,
                   .value_max = t->limits.source_bytes + 1,
                   .steps = t->limits.steps,
                   .depth_max = 200,
                   .name = t->name,
                   .line = 1,
                   .err = err};
    jj_parser p = {.j = &j};
    size_t    n;

    if (source.len > t->limits.source_bytes) {
        return jj_fail(&j, NX_ELIMIT, "a template of %zu bytes, at most %zu", source.len,
                       t->limits.source_bytes);
    }
    TRY(jj_lex(&j, &p.tok, &n, source));
    TRY(jj_parse(&p, &t->root));
    TRY(jj_check(&p, t->root));
    TRY(jj_find_hidden(&p, t->root));
    t->names = p.names;
    t->n_names = p.n_names;
    return NX_OK;
}

nx_status nx_jinja_compile(nx_jinja **out, const char *name, nx_str source,
                           const nx_jinja_limits *limits, nx_error *err)
{
    nx_error  own;
    nx_jinja *t = nx_calloc(1, sizeof *t);
    nx_status st = NX_ENOMEM;

    *out = NULL;
    if (t) t->name = nx_strdup(name);
    if (t && t->name) {
        t->limits = limits ? *limits : nx_jinja_limits_default();
        st = compile(t, source, err ? err : &own);
    } else {
        nx_fail(err, NX_ENOMEM, "template %s", name);
    }
    if (st)
        nx_jinja_free(t);
    else
        *out = t;
    return st;
}

void nx_jinja_free(nx_jinja *t)
{
    if (!t) return;
    nx_arena_free(&t->arena);
    nx_free(t->name);
    nx_free(t);
}

/* ---- Variables ---- */

/* From these, templates build control tokens ('<|' + role + '|>'); other roles stay text. */
static bool is_known_role(nx_str s)
{
    static const char *const roles[] = {"system",          "user",        "assistant", "tool",
                                        "developer",       "ipython",     "function",  "model",
                                        "available_tools", "observation", "documents"};

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (nx_str_eq(s, nx_str_of(roles[i]))) return true;
    }
    return false;
}

static nx_status from_json(jj *j, jj_val *out, const nx_json *v, bool user);

static nx_status list_from(jj *j, jj_val *out, const nx_json *v, bool user)
{
    TRY(jj_list_new(j, out, JJ_LIST, v->array.n));
    jj_val *items = out->list->v;
    for (size_t i = 0; i < v->array.n; i++) TRY(from_json(j, &items[i], &v->array.items[i], user));
    return NX_OK;
}

static nx_status dict_from(jj *j, jj_val *out, const nx_json *v, bool user)
{
    jj_val d, key, value;

    TRY(jj_dict_new(j, &d));
    for (size_t i = 0; i < v->object.n; i++) {
        const nx_json_member *m = &v->object.members[i];
        bool role = nx_str_eq(m->key, NX_STR("role")) && m->value.type == NX_JSON_STRING &&
                    is_known_role(m->value.text);
        TRY(jj_str_view(j, &key, m->key.p, m->key.len, user));
        TRY(from_json(j, &value, &m->value, user && !role));
        TRY(jj_dict_set(j, d.dict, key, value));
    }
    *out = d;
    return NX_OK;
}

static nx_status from_json(jj *j, jj_val *out, const nx_json *v, bool user)
{
    nx_status st = NX_OK;

    TRY(jj_enter(j));
    switch (v->type) {
    case NX_JSON_NULL: *out = JJ_VAL_NONE; break;
    case NX_JSON_BOOL: *out = jj_bool(v->boolean); break;
    case NX_JSON_INT: *out = jj_int(v->i); break;
    case NX_JSON_UINT: *out = (jj_val){.type = JJ_BIG, .u = v->u}; break;
    case NX_JSON_FLOAT: *out = jj_float(v->f); break;
    case NX_JSON_STRING: st = jj_str_view(j, out, v->text.p, v->text.len, user); break;
    case NX_JSON_ARRAY: st = list_from(j, out, v, user); break;
    case NX_JSON_OBJECT: st = dict_from(j, out, v, user); break;
    }
    jj_leave(j);
    return st;
}

static uint32_t name_of(const nx_jinja *t, nx_str name)
{
    for (uint32_t i = 0; i < t->n_names; i++) {
        if (nx_str_eq(t->names[i], name)) return i;
    }
    return UINT32_MAX;
}

static nx_status set_variable(jj_eval *e, const nx_jinja_var *v)
{
    uint32_t id = name_of(e->t, nx_str_of(v->name));
    size_t   bad;

    if (id == UINT32_MAX) return NX_OK; /* nobody asks for it */
    if (v->json) return from_json(e->j, &e->root[id], v->json, v->user);
    if (!nx_utf8_valid(v->text.p, v->text.len, &bad)) {
        return jj_fail(e->j, NX_EFORMAT, "%s isn't UTF-8", v->name);
    }
    return jj_str_view(e->j, &e->root[id], v->text.p, v->text.len, v->user);
}

static nx_status set_variables(jj_eval *e, const nx_jinja_var *vars, size_t n_vars)
{
    e->root = jj_alloc(e->j, e->t->n_names, sizeof *e->root);
    if (!e->root) return e->j->err->status;
    for (uint32_t i = 0; i < e->t->n_names; i++) {
        int f = jj_global_find(e->t->names[i]);
        e->root[i] = f < 0 ? JJ_VAL_MISSING : (jj_val){.type = JJ_FUNCTION, .function = f};
    }
    for (size_t i = 0; i < n_vars; i++) TRY(set_variable(e, &vars[i]));
    e->n_loop = name_of(e->t, NX_STR("loop"));
    e->n_caller = name_of(e->t, NX_STR("caller"));
    e->n_kwargs = name_of(e->t, NX_STR("kwargs"));
    e->n_varargs = name_of(e->t, NX_STR("varargs"));
    return NX_OK;
}

/* ---- Rendering ---- */

static nx_status give_out(const jj_out *o, nx_jinja_result *out, nx_error *err)
{
    out->spans = nx_alloc(o->n_runs, sizeof *out->spans);
    if (!out->spans) return nx_fail(err, NX_ENOMEM, "%zu spans", o->n_runs);
    out->n_spans = o->n_runs;
    for (size_t i = 0; i < o->n_runs; i++) {
        out->spans[i] = (nx_jinja_span){o->runs[i].end, o->runs[i].user};
    }
    out->text.max = o->len + 1;
    return nx_buf_add(&out->text, o->len ? o->p : "", o->len, err);
}

static nx_status render(const nx_jinja *t, nx_arena *arena, nx_jinja_result *out,
                        const nx_jinja_var *vars, size_t n_vars, int64_t unix_ms, nx_error *err)
{
    jj        j = {.arena = arena,
                   .memory_max = t->limits.memory_bytes,
                   .value_max = t->limits.value_bytes,
                   .steps = t->limits.steps,
                   .depth_max = t->limits.depth,
                   .name = t->name,
                   .line = 1,
                   .err = err};
    jj_out    o = {.j = &j, .max = t->limits.output_bytes};
    jj_eval   e = {.j = &j, .t = t, .out = &o, .unix_ms = unix_ms};
    nx_status st;

    j.eval = &e;
    st = set_variables(&e, vars, n_vars);
    if (!st) st = jj_exec(&e, t->root);
    if (!st) st = o.st;
    out->raised = e.raised;
    return st ? st : give_out(&o, out, err);
}

nx_status nx_jinja_render(const nx_jinja *t, nx_jinja_result *out, const nx_jinja_var *vars,
                          size_t n_vars, const nx_jinja_options *options, nx_error *err)
{
    nx_error  own;
    nx_arena  arena = {0};
    int64_t   ms = options && options->unix_ms ? options->unix_ms : nx_clock_unix_ms();
    nx_status st;

    nx_jinja_result_free(out);
    st = render(t, &arena, out, vars, n_vars, ms, err ? err : &own);
    nx_arena_free(&arena);
    return st;
}

void nx_jinja_result_free(nx_jinja_result *r)
{
    nx_buf_free(&r->text);
    nx_free(r->spans);
    r->spans = NULL;
    r->n_spans = 0;
    r->raised = false;
}
