/* digest.h - SHA-256 and SHA-1 of bytes that come in pieces; a keyed hash of a short text.
 *
 * SHA-1 only because git names its blobs so; nothing here relies on it against an attacker.
 * Thread: one at a time.
 */
#ifndef NX_NET_DIGEST_H
#define NX_NET_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

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

/* The SHA-256 of bytes that are all there, in hexadecimal. Takes no memory, so it can't fail. */
void nx_sha256(char hex[NX_DIGEST_HEX_MAX], const void *bytes, size_t n);

/* ---- Secrets ---- */

#define NX_HMAC_BYTES 32

/* HMAC-SHA-256 (RFC 2104) of bytes[0..n) under key[0..key_bytes). Any thread. NX_ENOMEM. */
nx_status nx_hmac(unsigned char out[NX_HMAC_BYTES], const void *key, size_t key_bytes,
                  const void *bytes, size_t n, nx_error *err);

/* Are a[0..n) and b[0..n) the same? Takes as long whether or not, and wherever they differ. */
bool nx_secret_equal(const void *a, const void *b, size_t n);

#endif
