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

#endif
