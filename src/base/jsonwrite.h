/* jsonwrite.h - builds one JSON value in a buffer, key by key.
 *
 *     nx_jw w = {.buf.max = NX_JW_MAX};
 *     nx_jw_open(&w, NULL, '{');
 *     nx_jw_int(&w, "count", 3);
 *     nx_jw_close(&w, '}');
 *     if (!w.st) use(w.buf.data, w.buf.len);
 *     nx_buf_free(&w.buf);
 *
 * Thread: one at a time.
 */
#ifndef NX_BASE_JSONWRITE_H
#define NX_BASE_JSONWRITE_H

#include <stdint.h>

#include "base/buf.h"

/* Zero-initialise with a ceiling. key is NULL inside arrays and for the outermost value. Failures
 * (NX_ELIMIT, NX_ENOMEM) stick in st, with their message in err; look once, at the end. */
typedef struct nx_jw {
    nx_buf    buf;
    bool      comma;
    nx_status st;
    nx_error  err;
} nx_jw;

#define NX_JW_MAX ((size_t)1 << 30)

void nx_jw_open(nx_jw *w, const char *key, char bracket); /* '{' or '[' */
void nx_jw_close(nx_jw *w, char bracket);                 /* '}' or ']' */
void nx_jw_int(nx_jw *w, const char *key, int64_t x);
void nx_jw_u64(nx_jw *w, const char *key, uint64_t x);
void nx_jw_number(nx_jw *w, const char *key, double x, int digits); /* significant digits */
void nx_jw_bool(nx_jw *w, const char *key, bool x);
void nx_jw_text(nx_jw *w, const char *key, const char *c_string);
void nx_jw_string(nx_jw *w, const char *key, nx_str s);
void nx_jw_null(nx_jw *w, const char *key);
void nx_jw_ids(nx_jw *w, const char *key, const int32_t *ids, size_t n); /* [1,2,3] */
void nx_jw_float(nx_jw *w, const char *key, float x);   /* as short as it can be: base/json.h */
void nx_jw_double(nx_jw *w, const char *key, double x); /* likewise */
void nx_jw_key(nx_jw *w, nx_str key); /* of the value that comes next, whose own key is NULL */
void nx_jw_raw(nx_jw *w, const char *key, nx_str json); /* a value that is JSON text already */

#endif
