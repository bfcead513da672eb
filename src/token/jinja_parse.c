/* jinja_parse.c - the parser's half for statements. */
#include <string.h>

#include "token/jinja_call.h"
#include "token/jinja_node.h"

#define DEPTH_MAX 400 /* of a tree: a + b + c + ... is one level a term */

static nx_status statements(jj_parser *p, jj_node **out, const char *const *ends);

/* ---- Tools of both halves ---- */

static const jj_tok *cur(const jj_parser *p)
{
    return &p->tok[p->at];
}

jj_node *jj_node_new(jj_parser *p, jj_kind kind, uint32_t line)
{
    jj_node *n = jj_alloc(p->j, 1, sizeof *n);

    if (n) {
        n->kind = (uint8_t)kind;
        n->line = line;
    }
    return n;
}

static void deeper(jj_node *n, const jj_node *part)
{
    if (part && part->depth >= n->depth) n->depth = (uint16_t)(part->depth + 1);
}

static void deeper_args(jj_node *n, const jj_args *a)
{
    if (!a) return;
    for (uint32_t i = 0; i < a->n_pos; i++) deeper(n, a->pos[i]);
    for (uint32_t i = 0; i < a->n_kw; i++) deeper(n, a->kw_value[i]);
    deeper(n, a->star);
    deeper(n, a->star_star);
}

nx_status jj_node_done(jj_parser *p, jj_node *n)
{
    deeper(n, n->a);
    deeper(n, n->b);
    deeper(n, n->c);
    for (uint32_t i = 0; i < n->n; i++) deeper(n, n->kid[i]);
    if (n->kind == JJ_N_CALL) deeper_args(n, n->args);
    deeper_args(n, n->filter_args);
    if (n->depth <= DEPTH_MAX) return NX_OK;
    p->j->line = n->line;
    return jj_fail(p->j, NX_ELIMIT, "nested deeper than %d levels", DEPTH_MAX);
}

nx_status jj_nodes_add(jj_parser *p, jj_nodes *l, jj_node *node)
{
    if (l->n == l->cap) {
        uint32_t  cap = l->cap ? 2 * l->cap : 4;
        jj_node **grown = jj_alloc(p->j, cap, sizeof(jj_node *));
        if (!grown) return p->j->err->status;
        if (l->n) memcpy(grown, l->v, l->n * sizeof(jj_node *));
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = node;
    return NX_OK;
}

static uint64_t hash_name(nx_str s)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < s.len; i++) h = (h ^ (unsigned char)s.p[i]) * 0x100000001B3u;
    return h ^ h >> 32;
}

static nx_status grow_names(jj_parser *p)
{
    uint32_t  cap = p->cap_names ? 2 * p->cap_names : 64;
    nx_str   *names = jj_alloc(p->j, cap, sizeof *names);
    uint32_t *slots = jj_alloc(p->j, 4 * (size_t)cap, sizeof *slots);

    if (!names || !slots) return p->j->err->status;
    if (p->n_names) memcpy(names, p->names, p->n_names * sizeof *names);
    p->names = names;
    p->cap_names = cap;
    p->slots = slots;
    p->n_slots = 4 * (size_t)cap;
    for (uint32_t i = 0; i < p->n_names; i++) {
        size_t at = hash_name(names[i]) & (p->n_slots - 1);
        while (slots[at]) at = (at + 1) & (p->n_slots - 1);
        slots[at] = i + 1;
    }
    return NX_OK;
}

nx_status jj_name_id(jj_parser *p, uint32_t *out, nx_str name)
{
    if (p->n_names == p->cap_names) TRY(grow_names(p));
    size_t at = hash_name(name) & (p->n_slots - 1);
    for (; p->slots[at]; at = (at + 1) & (p->n_slots - 1)) {
        *out = p->slots[at] - 1;
        if (nx_str_eq(p->names[*out], name)) return NX_OK;
    }
    *out = p->n_names;
    p->names[p->n_names++] = name;
    p->slots[at] = p->n_names;
    return NX_OK;
}

static const char *describe(const jj_tok *t, char out[80])
{
    switch (t->type) {
    case JJ_TOK_EOF: return "the end of the template";
    case JJ_TOK_DATA: return "text";
    case JJ_TOK_BLOCK_BEGIN: return "'{%'";
    case JJ_TOK_BLOCK_END: return "'%}'";
    case JJ_TOK_VAR_BEGIN: return "'{{'";
    case JJ_TOK_VAR_END: return "'}}'";
    case JJ_TOK_STRING: return "a string";
    case JJ_TOK_OPERATOR:
        if (t->op >= JJ_OP_FLOORDIV) {
            static const char *const pairs[] = {"'//'", "'**'", "'=='", "'!='", "'>='", "'<='"};
            return pairs[t->op - JJ_OP_FLOORDIV];
        }
        memcpy(out, "'?'", 4);
        out[1] = (char)t->op;
        return out;
    default: {
        size_t n = t->text.len < 60 ? t->text.len : 60;
        out[0] = '\'';
        memcpy(out + 1, t->text.p, n);
        memcpy(out + 1 + n, "'", 2);
        return out;
    }
    }
}

nx_status jj_expected(jj_parser *p, const char *what)
{
    char got[80];

    p->j->line = cur(p)->line;
    return jj_fail(p->j, NX_EFORMAT, "expected %s, got %s%s%s", what, describe(cur(p), got),
                   p->open_tag ? ", in the block of " : "", p->open_tag ? p->open_tag : "");
}

bool jj_is_op(const jj_parser *p, int op)
{
    return cur(p)->type == JJ_TOK_OPERATOR && cur(p)->op == op;
}

bool jj_is_word(const jj_parser *p, const char *word)
{
    return cur(p)->type == JJ_TOK_NAME && nx_str_eq(cur(p)->text, nx_str_of(word));
}

bool jj_skip_op(jj_parser *p, int op)
{
    bool is = jj_is_op(p, op);

    p->at += is;
    return is;
}

bool jj_skip_word(jj_parser *p, const char *word)
{
    bool is = jj_is_word(p, word);

    p->at += is;
    return is;
}

nx_status jj_want_op(jj_parser *p, int op)
{
    char         text[80];
    const jj_tok want = {.type = JJ_TOK_OPERATOR, .op = op};

    return jj_skip_op(p, op) ? NX_OK : jj_expected(p, describe(&want, text));
}

static nx_status want_type(jj_parser *p, jj_tok_type type, const char *what)
{
    if (cur(p)->type != type) return jj_expected(p, what);
    p->at++;
    return NX_OK;
}

static nx_status want_name(jj_parser *p, uint32_t *id)
{
    if (cur(p)->type != JJ_TOK_NAME) return jj_expected(p, "a name");
    return jj_name_id(p, id, p->tok[p->at++].text);
}

/* ---- Bodies ---- */

/* After the tag's words: "%}", the statements up to one of `ends`, whose word is passed. */
static nx_status body(jj_parser *p, jj_node **out, const char *const *ends)
{
    jj_skip_op(p, ':'); /* as Python writes it */
    TRY(want_type(p, JJ_TOK_BLOCK_END, "'%}'"));
    return statements(p, out, ends);
}

/* The word that ended the last body. */
static nx_str end_word(const jj_parser *p)
{
    return p->tok[p->at - 1].text;
}

static nx_status body_until(jj_parser *p, jj_node **out, const char *end)
{
    const char *const ends[] = {end, NULL};

    return body(p, out, ends);
}

static nx_status new_node(jj_parser *p, jj_node **out, jj_kind kind, uint32_t line)
{
    *out = jj_node_new(p, kind, line);
    return *out ? NX_OK : p->j->err->status;
}

/* ---- Statements; the word of the tag is passed ---- */

static nx_status parse_if(jj_parser *p, jj_node *n)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    jj_nodes                 l = {0};
    jj_node                 *part;

    do {
        TRY(jj_parse_tuple(p, &part, (jj_tuple_how){.no_condition = true}));
        TRY(jj_nodes_add(p, &l, part));
        TRY(body(p, &part, ends));
        TRY(jj_nodes_add(p, &l, part));
    } while (nx_str_eq(end_word(p), NX_STR("elif")));
    if (nx_str_eq(end_word(p), NX_STR("else"))) {
        TRY(body_until(p, &part, "endif"));
        TRY(jj_nodes_add(p, &l, part));
    }
    n->kid = l.v;
    n->n = l.n;
    return NX_OK;
}

static nx_status parse_for(jj_parser *p, jj_node *n)
{
    static const char *const ends[] = {"endfor", "else", NULL};

    TRY(jj_parse_target(p, &n->a, false, "in"));
    if (!jj_skip_word(p, "in")) return jj_expected(p, "'in'");
    TRY(jj_parse_tuple(p, &n->b, (jj_tuple_how){.no_condition = true, .end = "recursive"}));
    if (jj_skip_word(p, "if")) TRY(jj_parse_expr(p, &n->c));
    n->recursive = jj_skip_word(p, "recursive");
    n->kid = jj_alloc(p->j, 2, sizeof(jj_node *));
    if (!n->kid) return p->j->err->status;
    TRY(body(p, &n->kid[0], ends));
    n->n = 1;
    if (nx_str_eq(end_word(p), NX_STR("endfor"))) return NX_OK;
    TRY(body_until(p, &n->kid[1], "endfor"));
    n->n = 2;
    return NX_OK;
}

static nx_status parse_set(jj_parser *p, jj_node *n)
{
    TRY(jj_parse_target(p, &n->a, true, NULL));
    if (jj_skip_op(p, '=')) return jj_parse_tuple(p, &n->b, (jj_tuple_how){0});
    n->kind = JJ_N_SETBLOCK;
    TRY(jj_parse_filters(p, &n->b, NULL, false));
    return body_until(p, &n->c, "endset");
}

static nx_status signature(jj_parser *p, jj_signature *s)
{
    jj_nodes names = {0}, presets = {0};
    jj_node *name, *preset;
    bool     any_preset = false;

    TRY(jj_want_op(p, '('));
    while (!jj_is_op(p, ')')) {
        if (names.n) TRY(jj_want_op(p, ','));
        TRY(new_node(p, &name, JJ_N_NAME, cur(p)->line));
        TRY(want_name(p, &name->name));
        preset = NULL;
        if (jj_skip_op(p, '=')) {
            TRY(jj_parse_expr(p, &preset));
            any_preset = true;
        } else if (any_preset) {
            p->j->line = cur(p)->line;
            return jj_fail(p->j, NX_EFORMAT, "non-default argument follows default argument");
        }
        TRY(jj_nodes_add(p, &names, name));
        TRY(jj_nodes_add(p, &presets, preset));
    }
    p->at++;
    s->n = names.n;
    s->preset = presets.v;
    s->name = jj_alloc(p->j, names.n, sizeof *s->name);
    if (!s->name) return p->j->err->status;
    for (uint32_t i = 0; i < names.n; i++) s->name[i] = names.v[i]->name;
    return NX_OK;
}

static nx_status new_signature(jj_parser *p, jj_node *n)
{
    n->macro = jj_alloc(p->j, 1, sizeof *n->macro);
    return n->macro ? NX_OK : p->j->err->status;
}

static nx_status parse_macro(jj_parser *p, jj_node *n)
{
    TRY(new_signature(p, n));
    TRY(want_name(p, &n->name));
    TRY(signature(p, n->macro));
    return body_until(p, &n->c, "endmacro");
}

static nx_status parse_call(jj_parser *p, jj_node *n)
{
    TRY(new_signature(p, n));
    if (jj_is_op(p, '(')) TRY(signature(p, n->macro));
    TRY(jj_parse_expr(p, &n->a));
    if (n->a->kind != JJ_N_CALL) {
        p->j->line = n->line;
        return jj_fail(p->j, NX_EFORMAT, "expected call");
    }
    return body_until(p, &n->c, "endcall");
}

/* A body of its own scope, like a macro that is called where it stands. */
static nx_status parse_generation(jj_parser *p, jj_node *n)
{
    return body_until(p, &n->c, "endgeneration");
}

static nx_status parse_filter(jj_parser *p, jj_node *n)
{
    TRY(jj_parse_filters(p, &n->b, NULL, true));
    return body_until(p, &n->c, "endfilter");
}

static nx_status parse_with(jj_parser *p, jj_node *n)
{
    jj_nodes l = {0};
    jj_node *part;

    while (cur(p)->type != JJ_TOK_BLOCK_END) {
        if (l.n) TRY(jj_want_op(p, ','));
        TRY(jj_parse_target(p, &part, false, NULL));
        TRY(jj_nodes_add(p, &l, part));
        TRY(jj_want_op(p, '='));
        TRY(jj_parse_expr(p, &part));
        TRY(jj_nodes_add(p, &l, part));
    }
    n->kid = l.v;
    n->n = l.n;
    return body_until(p, &n->c, "endwith");
}

static nx_status parse_block(jj_parser *p, jj_node *n)
{
    TRY(want_name(p, &n->name));
    nx_str name = end_word(p);
    n->flag = jj_skip_word(p, "scoped");
    jj_skip_word(p, "required");
    TRY(body_until(p, &n->c, "endblock"));
    if (cur(p)->type == JJ_TOK_NAME && nx_str_eq(cur(p)->text, name)) p->at++;
    return NX_OK;
}

static nx_status parse_print(jj_parser *p, jj_node *n)
{
    jj_nodes l = {0};
    jj_node *part, *out;

    while (cur(p)->type != JJ_TOK_BLOCK_END) {
        if (l.n) TRY(jj_want_op(p, ','));
        TRY(jj_parse_expr(p, &part));
        TRY(new_node(p, &out, JJ_N_OUTPUT, part->line));
        out->a = part;
        TRY(jj_node_done(p, out));
        TRY(jj_nodes_add(p, &l, out));
    }
    n->kid = l.v;
    n->n = l.n;
    return NX_OK;
}

static nx_status parse_autoescape(jj_parser *p, jj_node *n)
{
    TRY(jj_parse_expr(p, &n->a));
    return body_until(p, &n->c, "endautoescape");
}

/* include, import, from, extends: read over. */
static nx_status parse_refused(jj_parser *p, jj_node *n)
{
    n->attr = end_word(p);
    TRY(jj_parse_expr(p, &n->a));
    while (cur(p)->type != JJ_TOK_BLOCK_END && cur(p)->type != JJ_TOK_EOF) p->at++;
    return NX_OK;
}

static nx_status parse_nothing(jj_parser *p, jj_node *n)
{
    (void)p;
    (void)n;
    return NX_OK;
}

typedef struct statement {
    const char *word;
    jj_kind     kind;
    nx_status (*parse)(jj_parser *p, jj_node *n);
} statement;

static const statement known[] = {
    {"if", JJ_N_IF, parse_if},
    {"for", JJ_N_FOR, parse_for},
    {"set", JJ_N_SET, parse_set},
    {"macro", JJ_N_MACRO, parse_macro},
    {"call", JJ_N_CALLBLOCK, parse_call},
    {"filter", JJ_N_FILTERBLOCK, parse_filter},
    {"with", JJ_N_WITH, parse_with},
    {"block", JJ_N_BLOCK, parse_block},
    {"print", JJ_N_BODY, parse_print},
    {"generation", JJ_N_SCOPE, parse_generation},
    {"autoescape", JJ_N_AUTOESCAPE, parse_autoescape},
    {"break", JJ_N_BREAK, parse_nothing},
    {"continue", JJ_N_CONTINUE, parse_nothing},
    {"include", JJ_N_REFUSED, parse_refused},
    {"import", JJ_N_REFUSED, parse_refused},
    {"from", JJ_N_REFUSED, parse_refused},
    {"extends", JJ_N_REFUSED, parse_refused},
};

static nx_status unknown_tag(jj_parser *p, const char *const *ends)
{
    char   looking[96] = "";
    nx_str word = cur(p)->text;

    for (int i = 0; ends && ends[i]; i++) {
        strcat(strcat(strcat(looking, i ? " or '" : "'"), ends[i]), "'");
    }
    p->j->line = cur(p)->line;
    return jj_fail(p->j, NX_EFORMAT, "unknown tag '%.*s'%s%s", (int)(word.len < 60 ? word.len : 60),
                   word.p, ends ? ", expected " : "", looking);
}

static nx_status one_statement(jj_parser *p, jj_node **out, const char *const *ends)
{
    const uint32_t   line = cur(p)->line;
    const statement *s = NULL;

    if (cur(p)->type != JJ_TOK_NAME) return jj_expected(p, "a tag's name");
    for (size_t i = 0; i < sizeof known / sizeof *known && !s; i++) {
        if (jj_is_word(p, known[i].word)) s = &known[i];
    }
    if (!s) return unknown_tag(p, ends);
    const char *outer = p->open_tag;
    p->open_tag = s->word;
    p->at++;
    TRY(new_node(p, out, s->kind, line));
    TRY(jj_enter(p->j));
    TRY(s->parse(p, *out));
    jj_leave(p->j);
    p->open_tag = outer;
    TRY(jj_node_done(p, *out));
    return want_type(p, JJ_TOK_BLOCK_END, "'%}'");
}

static nx_status output(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;

    if (cur(p)->type == JJ_TOK_DATA) {
        TRY(new_node(p, out, JJ_N_DATA, line));
        TRY(jj_str_view(p->j, &(*out)->value, cur(p)->text.p, cur(p)->text.len, false));
        p->at++;
        return NX_OK;
    }
    p->at++;
    TRY(new_node(p, out, JJ_N_OUTPUT, line));
    TRY(jj_parse_tuple(p, &(*out)->a, (jj_tuple_how){0}));
    TRY(jj_node_done(p, *out));
    return want_type(p, JJ_TOK_VAR_END, "'}}'");
}

static nx_status eof(jj_parser *p, const char *const *ends)
{
    char looking[96] = "";

    for (int i = 0; ends[i]; i++) {
        strcat(strcat(strcat(looking, i ? " or '" : "'"), ends[i]), "'");
    }
    return jj_expected(p, looking);
}

/* Statements up to one of `ends` (NULL: up to the template's end). */
static nx_status statements(jj_parser *p, jj_node **out, const char *const *ends)
{
    jj_nodes       l = {0};
    jj_node       *n = NULL;
    const uint32_t line = cur(p)->line;

    for (bool done = false; !done;) {
        if (cur(p)->type == JJ_TOK_EOF) {
            if (ends) return eof(p, ends);
            break;
        }
        if (cur(p)->type == JJ_TOK_DATA || cur(p)->type == JJ_TOK_VAR_BEGIN) {
            TRY(output(p, &n));
            TRY(jj_nodes_add(p, &l, n));
            continue;
        }
        p->at++; /* {% */
        for (int i = 0; ends && ends[i] && !done; i++) done = jj_skip_word(p, ends[i]);
        if (done) break;
        TRY(one_statement(p, &n, ends));
        TRY(jj_nodes_add(p, &l, n));
    }
    TRY(new_node(p, out, JJ_N_BODY, line));
    (*out)->kid = l.v;
    (*out)->n = l.n;
    return jj_node_done(p, *out);
}

nx_status jj_parse(jj_parser *p, jj_node **out)
{
    return statements(p, out, NULL);
}
