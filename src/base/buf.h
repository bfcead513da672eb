/* buf.h - byte spans, and a growing byte buffer that declares its ceiling when born. */
#ifndef NX_BASE_BUF_H
#define NX_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Borrowed bytes, not NUL-terminated, not necessarily UTF-8. */
typedef struct nx_str {
    const char *p;
    size_t      len;
} nx_str;

#define NX_STR(literal) ((nx_str){(literal), sizeof(literal) - 1})

bool   nx_str_eq(nx_str a, nx_str b);
nx_str nx_str_of(const char *c_string); /* NULL gives the empty span */

/* Zero-initialised with a ceiling: nx_buf b = {.max = 1 << 20}. One owner, one thread.
 * data is NUL-terminated one byte past len whenever it isn't NULL. */
typedef struct nx_buf {
    char  *data;
    size_t len, cap, max;
} nx_buf;

void nx_buf_free(nx_buf *b);  /* leaves an empty buffer with the same ceiling */
void nx_buf_clear(nx_buf *b); /* len = 0, memory kept */

/* Append. NX_ELIMIT beyond max, NX_ENOMEM; the buffer is then unchanged. bytes must not lie in the
 * buffer itself: growing moves it. */
nx_status nx_buf_add(nx_buf *b, const void *bytes, size_t n, nx_error *err);
nx_status nx_buf_addf(nx_buf *b, nx_error *err, const char *fmt, ...) NX_PRINTF(3, 4);

/* Make room for n more bytes and a NUL and return where they go, or NULL (NX_ELIMIT, NX_ENOMEM).
 * Who writes there adds to len and puts the NUL behind. */
char *nx_buf_room(nx_buf *b, size_t n, nx_error *err);

#endif
