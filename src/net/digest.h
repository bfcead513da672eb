/* digest.h - SHA-256 and SHA-1 of bytes that come in pieces.
 *
 * SHA-1 only because git names its blobs so; nothing here relies on it against an attacker.
 * Thread: one at a time.
 */
#ifndef NX_NET_DIGEST_H
#define NX_NET_DIGEST_H

#include "base/error.h"

#define NX_DIGEST_HEX_MAX 65 /* with the NUL */

typedef enum nx_digest_kind { NX_DIGEST_SHA256, NX_DIGEST_SHA1 } nx_digest_kind;

/* Zero-initialise; begin may be called again to start over. */
typedef struct nx_digest {
    void          *state;
    nx_digest_kind kind;
} nx_digest;

nx_status nx_digest_begin(nx_digest *d, nx_digest_kind kind, nx_error *err); /* NX_ENOMEM */
void      nx_digest_add(nx_digest *d, const void *bytes, size_t n);
/* The digest in lower-case hexadecimal; d is then as before begin. */
void nx_digest_end(nx_digest *d, char hex[NX_DIGEST_HEX_MAX]);
void nx_digest_abort(nx_digest *d);

#endif
