/* printable.h - bytes from a file, made safe for a message. */
#ifndef NX_FORMAT_PRINTABLE_H
#define NX_FORMAT_PRINTABLE_H

#include "base/buf.h"

/* Write s into out[cap] (cap >= 8) as text that a terminal shows as it is: control characters and
 * bytes that are not UTF-8 become \xNN, a longer text is cut and ends in "...". Returns out. */
const char *nx_printable(char *out, size_t cap, nx_str s);

/* The same for a path, of which the end says most: a longer one begins with "...". */
const char *nx_printable_path(char *out, size_t cap, const char *path);

#endif
