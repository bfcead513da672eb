/* jinja_print.h - values as text: Python's str and repr, and JSON. */
#ifndef NX_TOKEN_JINJA_PRINT_H
#define NX_TOKEN_JINJA_PRINT_H

#include "token/jinja_value.h"

void      jj_put_val(jj_out *o, const jj_val *v);  /* str(v) */
void      jj_put_repr(jj_out *o, const jj_val *v); /* repr(v) */
void      jj_put_ascii(jj_out *o, const jj_val *v);
nx_status jj_to_str(jj *j, jj_val *out, const jj_val *v); /* str(v); a string as it is */

/* Digits of the shortest text that reads back as x: "125" with *exponent 2 for 125.0 (the point
 * stands after the first digit). x finite and not negative. */
void jj_shortest(double x, char digits[32], int *exponent);
void jj_put_float(jj_out *o, double x);

typedef struct jj_json_style {
    const jj_str *item, *key; /* separators */
    const jj_str *indent;     /* one level; NULL: all on one line */
    bool          ascii, sorted;
} jj_json_style;

void jj_put_json(jj_out *o, const jj_val *v, const jj_json_style *style);

#endif
