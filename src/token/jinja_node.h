/* jinja_node.h - a template as a tree, and the template itself.
 *
 * Owns:   everything lies in the template's arena; nothing changes after compilation, so any
 *         number of threads may render one template.
 */
#ifndef NX_TOKEN_JINJA_NODE_H
#define NX_TOKEN_JINJA_NODE_H

#include "token/jinja.h"
#include "token/jinja_lex.h"

typedef enum jj_kind {
    /* Expressions: what a, b, c and kid are stands behind each. */
    JJ_N_CONST,   /* value */
    JJ_N_NAME,    /* name */
    JJ_N_NSREF,   /* name.attr as the target of set */
    JJ_N_LIST,    /* kid */
    JJ_N_TUPLE,   /* kid */
    JJ_N_DICT,    /* kid: key, value, key, value... */
    JJ_N_COND,    /* a if b else c (may be NULL) */
    JJ_N_OR,      /* a, b */
    JJ_N_AND,     /* a, b */
    JJ_N_NOT,     /* a */
    JJ_N_COMPARE, /* a, kid, ops */
    JJ_N_BINARY,  /* op, a, b */
    JJ_N_UNARY,   /* op, a */
    JJ_N_CONCAT,  /* kid */
    JJ_N_ATTR,    /* a.attr */
    JJ_N_ITEM,    /* a[b] */
    JJ_N_SLICE,   /* a:b:c, each may be NULL; only as the b of an item */
    JJ_N_CALL,    /* a, args */
    JJ_N_FILTER,  /* a (NULL in blocks), op (-1: unknown), attr, args */
    JJ_N_TEST,    /* a, op (-1: unknown), attr, args */
    /* Statements. */
    JJ_N_BODY,        /* kid, one after the other */
    JJ_N_DATA,        /* value */
    JJ_N_OUTPUT,      /* a */
    JJ_N_IF,          /* kid: test, body, test, body..., else body (an odd last one) */
    JJ_N_FOR,         /* a target, b iterable, c test (NULL), kid: body, else body (NULL) */
    JJ_N_SET,         /* a target, b value */
    JJ_N_SETBLOCK,    /* a target, b filter (NULL), c body */
    JJ_N_MACRO,       /* name, macro, c body */
    JJ_N_CALLBLOCK,   /* a call, macro, c body */
    JJ_N_FILTERBLOCK, /* b filter, c body */
    JJ_N_WITH,        /* kid: target, value, ...; c body */
    JJ_N_BLOCK,       /* name, c body, flag: scoped */
    JJ_N_SCOPE,       /* c body */
    JJ_N_AUTOESCAPE,  /* a, c body */
    JJ_N_BREAK,
    JJ_N_CONTINUE,
    JJ_N_REFUSED, /* attr: "include"; reached, it fails */
} jj_kind;

typedef struct jj_node jj_node;

typedef struct jj_args {
    jj_node **pos; /* [n_pos] */
    uint32_t *kw;  /* [n_kw] names */
    jj_node **kw_value;
    uint32_t  n_pos, n_kw;
    jj_node  *star, *star_star;
} jj_args;

typedef struct jj_signature {
    uint32_t *name;   /* [n] */
    jj_node **preset; /* [n], NULL where an argument must be given */
    uint32_t  n;
    bool      uses_caller, uses_kwargs, uses_varargs;
    bool      own_caller, own_kwargs, own_varargs; /* named in the signature */
} jj_signature;

struct jj_node {
    uint8_t  kind; /* jj_kind */
    bool     flag; /* FOR: its body names `loop`; BLOCK: scoped */
    bool     recursive;
    uint16_t depth; /* of the tree below */
    uint32_t line;
    int32_t  op;
    uint32_t name; /* index of names */
    uint32_t n;
    jj_node *a, *b, *c, **kid; /* [n] */
    union {
        jj_val        value;
        nx_str        attr;
        jj_args      *args; /* of CALL */
        int          *ops;  /* [n] of COMPARE */
        jj_signature *macro;
    };
    jj_args  *filter_args; /* of FILTER and TEST */
    uint32_t *hidden;      /* [n_hidden] of BODY: names without a value before it sets them */
    uint32_t  n_hidden;
};

enum { /* ops of COMPARE beside the lexer's, and '<', '>' */
       JJ_OP_IN = 300,
       JJ_OP_NOT_IN,
};

struct nx_jinja {
    nx_arena        arena;
    nx_jinja_limits limits;
    char           *name;
    jj_node        *root;
    nx_str         *names; /* [n_names] every name of the template, once */
    uint32_t        n_names;
};

/* ---- Parsing (jinja_parse.c, jinja_expr.c) ---- */

typedef struct jj_parser {
    jj         *j;
    jj_tok     *tok;
    size_t      at;
    nx_str     *names; /* [n_names] */
    uint32_t    n_names, cap_names;
    uint32_t   *slots; /* [n_slots] name + 1, by hash */
    size_t      n_slots;
    const char *open_tag; /* the innermost block, for messages */
    uint32_t    n_loop;   /* the name "loop" */
} jj_parser;

nx_status jj_parse(jj_parser *p, jj_node **out);
nx_status jj_find_hidden(jj_parser *p, jj_node *root); /* jinja_scope.c; after jj_check */
nx_status jj_check(jj_parser *p,
                   jj_node   *root); /* what is wrong wherever it runs (jinja_check.c) */

/* For the two halves of the parser. */
jj_node  *jj_node_new(jj_parser *p, jj_kind kind, uint32_t line);
nx_status jj_name_id(jj_parser *p, uint32_t *out, nx_str name);
nx_status jj_expected(jj_parser *p, const char *what); /* "expected X, got Y" */
bool      jj_is_op(const jj_parser *p, int op);
bool      jj_is_word(const jj_parser *p, const char *word);
bool      jj_skip_op(jj_parser *p, int op);
bool      jj_skip_word(jj_parser *p, const char *word);
nx_status jj_want_op(jj_parser *p, int op);

typedef struct jj_tuple_how {
    bool simple; /* names and literals only */
    bool no_condition;
    bool parens;     /* inside ( ): may be empty */
    bool namespace;  /* ns.attr may be a target */
    const char *end; /* a word that ends it */
} jj_tuple_how;

nx_status jj_parse_tuple(jj_parser *p, jj_node **out, jj_tuple_how how);
nx_status jj_parse_expr(jj_parser *p, jj_node **out);
nx_status jj_parse_filters(jj_parser *p, jj_node **out, jj_node *inner, bool at_name);
nx_status jj_parse_target(jj_parser *p, jj_node **out, bool namespace, const char *end);

/* A growing list of nodes. */
typedef struct jj_nodes {
    jj_node **v;
    uint32_t  n, cap;
} jj_nodes;

nx_status jj_nodes_add(jj_parser *p, jj_nodes *l, jj_node *node);
nx_status jj_node_done(jj_parser *p, jj_node *n); /* its depth, checked; after its parts stand */

#endif
