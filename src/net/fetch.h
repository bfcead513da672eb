/* fetch.h - GET a document from a host that somebody allowed, and from nowhere else.
 *
 *     nx_fetched got;
 *     nx_buf     body = {0};
 *     st = nx_fetch(&body, &got, &(nx_fetch_request){.url = url, .allow = hosts, .n_allow = n}, err);
 *
 * Trust:   http and https alone, and never from https to http. Each hop's host must be on the list, and the address
 *          that is really connected to must be a public one: not this machine, a private or a link's network, a
 *          carrier's, multicast, a tunnel (6to4, Teredo), IPv4 dressed as IPv6, or one that is reserved. A host that
 *          is on the list as an address ("127.0.0.1", "[::1]") is that address, whatever its kind; "localhost" may be
 *          this machine. An entry with a port ("127.0.0.1:8080") allows that port alone, one without allows any.
 *          Names in URLs (user:password@) are refused. Certificates are checked.
 * Proxies: none are used, whatever the environment says: through a proxy nobody sees which address is asked.
 * Thread:  any; waits for the network, up to `seconds`.
 */
#ifndef NX_NET_FETCH_H
#define NX_NET_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { NX_FETCH_URL_MAX = 4096, NX_FETCH_REDIRECTS_MAX = 5 };

typedef struct nx_fetch_request {
    const char        *url;
    const nx_str      *allow; /* [n_allow] "HOST" or "HOST:PORT" */
    size_t             n_allow;
    uint64_t           bytes_max; /* of the document; 0: 64 MiB */
    int32_t            seconds;   /* for all of it; 0: 60 */
    int32_t            redirects; /* 0: NX_FETCH_REDIRECTS_MAX; -1: none */
    const atomic_bool *cancel;    /* may be NULL */
} nx_fetch_request;

typedef struct nx_fetched {
    char    url[NX_FETCH_URL_MAX]; /* where it came from in the end */
    char    type[128];             /* "text/html; charset=utf-8"; "": not said */
    int64_t modified_s;            /* Unix time; 0: not said */
    int32_t n_redirects;
} nx_fetched;

/* out is cleared, its ceiling set. NX_EINVAL (the URL, or a host or address that isn't allowed: which, and why),
 * NX_ENOENT (404, 410), NX_EIO (no answer, or another status), NX_ELIMIT (bytes, seconds, redirects: with the
 * number), NX_ECANCELLED, NX_ENOMEM. out is then empty. */
nx_status nx_fetch(nx_buf *out, nx_fetched *got, const nx_fetch_request *rq, nx_error *err);

/* The host of an http or https URL in lower case, as it is compared with the list (without brackets); for those
 * who want to know before they ask. false: no such URL, or longer than cap. */
bool nx_fetch_host(char *out, size_t cap, const char *url);

struct sockaddr;
/* May a host that is no address itself be there? */
bool nx_address_is_public(const struct sockaddr *address);

#endif
