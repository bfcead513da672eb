/* jinja_str.h - operations on strings that methods and filters share. */
#ifndef NX_TOKEN_JINJA_STR_H
#define NX_TOKEN_JINJA_STR_H

#include "token/jinja_chars.h"
#include "token/jinja_value.h"

enum { JJ_LEFT = 1, JJ_RIGHT = 2 };

/* Without white space, or the characters of `chars`, at its ends. */
nx_status jj_strip(jj *j, jj_val *out, const jj_str *s, const jj_str *chars, int sides);
nx_status jj_recase(jj *j, jj_val *out, const jj_str *s, jj_case to);
nx_status jj_capitalize(jj *j, jj_val *out, const jj_str *s);
nx_status jj_replace(jj *j, jj_val *out, const jj_str *s, const jj_str *from, const jj_str *to,
                     int64_t n_max); /* negative: all */
nx_status jj_center(jj *j, jj_val *out, const jj_str *s, int64_t width, const jj_str *fill);
nx_status jj_split_lines(jj *j, jj_val *out, const jj_str *s, bool keep_ends);
bool      jj_all_case(const jj_str *s, unsigned flag); /* islower, isupper by JJ_LOWER, JJ_UPPER */

/* Go through characters: the code point at *at, which moves on. */
uint32_t jj_next_char(const jj_str *s, size_t *at);

#endif
