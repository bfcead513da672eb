/* jinja_eval.h - the state of one rendering: scopes, loops, macros. */
#ifndef NX_TOKEN_JINJA_EVAL_H
#define NX_TOKEN_JINJA_EVAL_H

#include "token/jinja_call.h"
#include "token/jinja_node.h"

/* Names and values of one block; those of the template's top lie in jj_eval.root. */
typedef struct jj_scope jj_scope;
struct jj_scope {
    jj_scope *parent;
    uint32_t *name; /* [n] */
    jj_val   *v;
    uint32_t  n, cap;
    bool      captured; /* a macro or a loop refers to it: not to be used again */
};

typedef enum jj_flow { JJ_FLOW_ON, JJ_FLOW_BREAK, JJ_FLOW_CONTINUE } jj_flow;

typedef struct jj_eval {
    jj             *j;
    const nx_jinja *t;
    jj_val         *root;  /* [n_names] */
    jj_scope       *scope; /* NULL: the top */
    jj_out         *out;
    jj_flow         flow;
    uint32_t        n_loop, n_caller, n_kwargs, n_varargs; /* names */
    int64_t         unix_ms;
    bool            raised;
} jj_eval;

typedef struct jj_macro {
    const jj_node *node;
    nx_str         name; /* empty: anonymous */
    jj_scope      *scope;
} jj_macro;

typedef struct jj_loop {
    const jj_node *node;
    jj_scope      *scope; /* around it */
    jj_val        *items;
    size_t         n, at; /* the next to come */
    jj_iter       *iter;  /* what it goes through, when that is used up on the way */
    bool           sized, filters;
    int64_t        index0, length; /* length -1: not asked yet */
    int            depth0;
    jj_val         before, current, after, changed; /* JJ_MISSING: none */
} jj_loop;

static inline jj_eval *jj_eval_of(jj *j)
{
    return j->eval;
}

/* ---- Expressions (jinja_eval.c) ---- */

nx_status jj_eval_node(jj_eval *e, jj_val *out, const jj_node *n);
nx_status jj_eval_call(jj_eval *e, jj_val *out, const jj_node *n, const jj_val *caller);
nx_status jj_eval_filter(jj_eval *e, jj_val *out, const jj_node *n, const jj_val *block);

/* ---- Statements (jinja_exec.c) ---- */

nx_status jj_exec(jj_eval *e, const jj_node *n);
nx_status jj_macro_call(jj_eval *e, jj_val *out, jj_macro *m, const jj_call *c);
nx_status jj_bind_name(jj_eval *e, uint32_t name, jj_val v); /* in the innermost scope */

/* ---- Loops (jinja_loop.c) ---- */

nx_status jj_exec_for(jj_eval *e, const jj_node *n);
nx_status jj_loop_attr(jj *j, jj_val *out, jj_loop *l, nx_str name, bool *found);
nx_status jj_loop_call(jj *j, jj_val *out, jj_loop *l, const jj_call *c);
nx_status jj_loop_length(jj_eval *e, jj_loop *l);
nx_status jj_assign(jj_eval *e, const jj_node *target, const jj_val *v);

void jj_put_macro(jj_out *o, const jj_macro *m);
void jj_put_loop(jj_out *o, jj_loop *l);

#endif
