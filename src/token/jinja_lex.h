/* jinja_lex.h - template text as tokens.
 *
 * As jinja2's lexer with trim_blocks and lstrip_blocks: the line end after a statement goes, and so
 * do the spaces before one that begins its line; - and + inside the marks say otherwise.
 */
#ifndef NX_TOKEN_JINJA_LEX_H
#define NX_TOKEN_JINJA_LEX_H

#include "token/jinja_value.h"

typedef enum jj_tok_type {
    JJ_TOK_EOF,
    JJ_TOK_DATA,
    JJ_TOK_BLOCK_BEGIN,
    JJ_TOK_BLOCK_END,
    JJ_TOK_VAR_BEGIN,
    JJ_TOK_VAR_END,
    JJ_TOK_NAME,
    JJ_TOK_STRING,
    JJ_TOK_INTEGER,
    JJ_TOK_FLOAT,
    JJ_TOK_OPERATOR,
} jj_tok_type;

enum { /* operators of two characters; the others are their own code */
       JJ_OP_FLOORDIV = 256,
       JJ_OP_POW,
       JJ_OP_EQ,
       JJ_OP_NE,
       JJ_OP_GE,
       JJ_OP_LE,
};

typedef struct jj_tok {
    jj_tok_type type;
    uint32_t    line;
    int         op;
    nx_str      text; /* data, names; strings without their escapes */
    jj_val      number;
} jj_tok;

/* All tokens of text, the last one JJ_TOK_EOF, in j's arena. NX_EFORMAT with the line. */
nx_status jj_lex(jj *j, jj_tok **out, size_t *n, nx_str text);

/* Python's int(text, base) and float(text), white space and underscores included. False: it isn't
 * one; *too_large: it is one that we can't hold. */
bool jj_parse_int(nx_str text, int base, int64_t *out, bool *too_large);
bool jj_parse_float(nx_str text, double *out);

#endif
