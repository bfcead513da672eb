/* jinja_call.h - arguments, and everything a template can call or apply: filters, tests, methods,
 * operators, global functions. */
#ifndef NX_TOKEN_JINJA_CALL_H
#define NX_TOKEN_JINJA_CALL_H

#include "token/jinja_value.h"

typedef struct jj_call {
    jj_val *pos; /* [n_pos] */
    size_t  n_pos;
    nx_str *kw; /* [n_kw] */
    jj_val *kw_value;
    size_t  n_kw;
} jj_call;

#define JJ_ARGS_MAX 8

/* Put the arguments of c where params ("old new count") says; those not given are JJ_MISSING. */
nx_status jj_bind(jj *j, const char *who, const char *params, int n_required, const jj_call *c,
                  jj_val arg[JJ_ARGS_MAX]);

/* ---- Filters and tests, by an index that the parser finds; -1: there is none ---- */

int       jj_filter_find(nx_str name);
nx_status jj_filter_run(jj *j, jj_val *out, int filter, const jj_val *in, const jj_call *c);
int       jj_test_find(nx_str name);
nx_status jj_test_run(jj *j, bool *out, int test, const jj_val *in, const jj_call *c);

typedef struct jj_filter_def {
    const char *name, *params;
    int         n_required; /* -1: takes its arguments as they come, from call */
    nx_status (*run)(jj *j, jj_val *out, const jj_val *in, const jj_val *arg, const jj_call *c);
} jj_filter_def;

extern const jj_filter_def jj_seq_filters[], jj_text_filters[]; /* ended by a NULL name */

/* ---- Attributes, items, methods (jinja_attr.c, jinja_methods.c, jinja_str.c) ---- */

typedef struct jj_method_def {
    const char *name,
        *params; /* as of filters; NULL run: the sandbox refuses it, it would mutate */
    int n_required;
    nx_status (*run)(jj *j, jj_val *out, const jj_val *self, const jj_val *arg, const jj_call *c);
} jj_method_def;

extern const jj_method_def jj_str_methods[], jj_list_methods[], jj_tuple_methods[],
    jj_dict_methods[], jj_range_methods[], jj_fromkeys_method[], jj_number_methods[],
    jj_loop_methods[], jj_cycler_methods[];

nx_status jj_attr(jj *j, jj_val *out, const jj_val *of, nx_str name); /* of.name */
nx_status jj_attr_only(jj *j, jj_val *out, const jj_val *of, nx_str name);
nx_status jj_item(jj *j, jj_val *out, const jj_val *of, const jj_val *item); /* of[item] */
nx_status jj_slice(jj *j, jj_val *out, const jj_val *of, const jj_val *from, const jj_val *to,
                   const jj_val *step);
nx_status jj_path(jj *j, jj_val *out, const jj_val *of, const jj_val *path, const jj_val *preset);

/* ---- Operators (jinja_arith.c) ---- */

nx_status jj_binary(jj *j, jj_val *out, int op, const jj_val *a, const jj_val *b);
nx_status jj_unary(jj *j, jj_val *out, int op, const jj_val *a);
nx_status jj_order(jj *j, int op, const jj_val *a, const jj_val *b, bool *out); /* < > <= >= */
void      jj_put_escaped(jj_out *o, const jj_str *s); /* & < > ' " as HTML writes them */

/* ---- Formatting (jinja_format.c, jinja_percent.c) ---- */

nx_status jj_percent(jj *j, jj_val *out, const jj_str *fmt, const jj_val *args);
nx_status jj_format(jj *j, jj_val *out, const jj_str *fmt, const jj_call *c);
nx_status jj_format_value(jj_out *o, const jj_val *v, nx_str spec);

/* x with n digits after the point ('f', 'e', 'g' as printf knows them), with a point in every
 * locale; alt keeps the point. */
void jj_put_fixed(jj_out *o, double x, int n, char how, bool alt);

/* ---- Global functions (jinja_global.c) and calling (jinja_eval.c) ---- */

int       jj_global_find(nx_str name); /* -1: none */
nx_status jj_global_run(jj *j, jj_val *out, int function, const jj_call *c);
nx_status jj_call_value(jj *j, jj_val *out, const jj_val *callee, const jj_call *c);

#endif
