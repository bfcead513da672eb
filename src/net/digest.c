/* digest.c - over GnuTLS, which uses the processor's own SHA instructions. */
#include "net/digest.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

static gnutls_digest_algorithm_t algorithm(nx_digest_kind kind)
{
    return kind == NX_DIGEST_SHA256 ? GNUTLS_DIG_SHA256 : GNUTLS_DIG_SHA1;
}

nx_status nx_digest_begin(nx_digest *d, nx_digest_kind kind, nx_error *err)
{
    gnutls_hash_hd_t hash;

    nx_digest_abort(d);
    int rc = gnutls_hash_init(&hash, algorithm(kind));
    if (rc < 0) return nx_fail(err, NX_ENOMEM, "SHA: %s", gnutls_strerror(rc));
    *d = (nx_digest){hash, kind};
    return NX_OK;
}

void nx_digest_add(nx_digest *d, const void *bytes, size_t n)
{
    if (n) gnutls_hash(d->state, bytes, n);
}

static void write_hex(char hex[NX_DIGEST_HEX_MAX], const unsigned char *raw, int n)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < n; i++) {
        hex[2 * i] = digits[raw[i] >> 4];
        hex[2 * i + 1] = digits[raw[i] & 15];
    }
    hex[2 * n] = '\0';
}

void nx_digest_end(nx_digest *d, char hex[NX_DIGEST_HEX_MAX])
{
    unsigned char raw[32];

    gnutls_hash_deinit(d->state, raw);
    d->state = NULL;
    write_hex(hex, raw, (int)gnutls_hash_get_len(algorithm(d->kind)));
}

void nx_sha256(char hex[NX_DIGEST_HEX_MAX], const void *bytes, size_t n)
{
    unsigned char raw[32] = {0};
    int           rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, n ? bytes : "", n, raw);

    assert(rc == 0);
    (void)rc;
    write_hex(hex, raw, 32);
}

void nx_digest_abort(nx_digest *d)
{
    if (d->state) gnutls_hash_deinit(d->state, NULL);
    d->state = NULL;
}

nx_status nx_hmac(unsigned char out[NX_HMAC_BYTES], const void *key, size_t key_bytes,
                  const void *bytes, size_t n, nx_error *err)
{
    int rc = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key_bytes, bytes, n, out);

    return rc < 0 ? nx_fail(err, NX_ENOMEM, "HMAC: %s", gnutls_strerror(rc)) : NX_OK;
}

bool nx_secret_equal(const void *a, const void *b, size_t n)
{
    return gnutls_memcmp(a, b, n) == 0;
}
