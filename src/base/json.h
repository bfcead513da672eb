/* json.h - writing JSON text. Reading: jsonread.h. */
#ifndef NX_BASE_JSON_H
#define NX_BASE_JSON_H

#include "base/buf.h"

/* Append s as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD each, so the
 * output is always valid JSON. */
nx_status nx_json_add_string(nx_buf *b, const char *s, size_t len, nx_error *err);

/* Append a number with `digits` (1 to 17) significant digits, in any locale with a point; JSON has
 * no NaN or infinity: null. */
nx_status nx_json_add_number(nx_buf *b, double x, int digits, nx_error *err);

/* Append the shortest decimal (a float's may be one digit more, rarely) that is read back as the same
 * number; 1 is "1.0", so that it stays no integer. null as above. */
nx_status nx_json_add_float(nx_buf *b, float x, nx_error *err);
nx_status nx_json_add_double(nx_buf *b, double x, nx_error *err);

#endif
