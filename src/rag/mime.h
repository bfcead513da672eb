/* mime.h - how mail writes bytes and words in ASCII: base64, quoted-printable, encoded words, parameters.
 *
 * Thread: any.
 * Errors: NX_ELIMIT (out's own ceiling), NX_ENOMEM. What is damaged is read as far as it makes sense: mail on its
 *         way loses line ends and padding.
 * Source: RFC 2045, 2047, 2231.
 */
#ifndef NX_RAG_MIME_H
#define NX_RAG_MIME_H

#include "base/buf.h"
#include "rag/extract_in.h"

nx_status nx_mime_base64(nx_buf *out, nx_str s,
                         nx_error *err); /* other characters are passed over */

/* word: of a header ("Q"), where "_" is a blank. */
nx_status nx_mime_quoted(nx_buf *out, nx_str s, bool word, nx_error *err);

/* Append s as UTF-8 without NUL: from charset; where that is empty, UTF-8 or unknown, as it looks. *known (may be
 * NULL): false where the charset isn't. NX_EUNSUPPORTED: no text at all. */
nx_status nx_mime_utf8(nx_buf *out, nx_str s, const char *charset, bool *known, nx_error *err);

/* A header's value with its encoded words ("=?utf-8?Q?caf=C3=A9?=") read. */
nx_status nx_mime_words(nx_buf *out, nx_str s, nx_error *err);

/* The parameter of that name in 'text/plain; charset="x"', quotes undone, cut to fit; false: none. */
bool nx_mime_param(char *out, size_t room, nx_str value, const char *name);

#endif
