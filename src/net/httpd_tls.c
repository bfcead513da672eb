/* httpd_tls.c - says what is wrong with a certificate or key before libmicrohttpd refuses it. */
#include <gnutls/gnutls.h>
#include <string.h>

#include "net/httpd_in.h"

static gnutls_datum_t datum(const char *text)
{
    return (gnutls_datum_t){.data = (unsigned char *)(uintptr_t)text,
                            .size = (unsigned)strlen(text)};
}

nx_status nx_tls_check(const char *cert, const char *key, nx_error *err)
{
    gnutls_certificate_credentials_t cred = NULL;

    if (!cert || !key)
        return nx_fail(err, NX_EINVAL,
                       "TLS needs both a certificate and its key: the %s is missing",
                       cert ? "key" : "certificate");
    if (gnutls_certificate_allocate_credentials(&cred) != GNUTLS_E_SUCCESS)
        return nx_fail(err, NX_ENOMEM, "TLS credentials");
    gnutls_datum_t c = datum(cert), k = datum(key);
    int            e = gnutls_certificate_set_x509_key_mem(cred, &c, &k, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(cred);
    if (e >= 0) return NX_OK;
    return nx_fail(err, NX_EINVAL,
                   "TLS certificate or key: %s. Expected PEM, the chain with the server's own "
                   "certificate first, and the key that belongs to it",
                   gnutls_strerror(e));
}
