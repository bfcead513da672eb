/* guard.c - who may come in: browsers sent by strangers' pages, keys, scopes, rates.
 *
 * A page of another site can make a browser send requests to us. Where no key is needed, two headers
 * that pages can't forge tell such requests apart: Host names the site that the browser thinks it is
 * talking to (a name that a stranger pointed at 127.0.0.1: DNS rebinding), Origin the page's own site.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "os/clock.h"
#include "server/server_in.h"

static bool is_port(const char *s)
{
    return *s == '\0' || (*s == ':' && s[1 + strspn(s + 1, "0123456789")] == '\0');
}

/* The name in "name", "name:port", "[::1]:port", without the port; empty: it has another form. */
static nx_str host_of(const char *header)
{
    size_t before = header[0] == '[', len = strcspn(header + before, before ? "]" : ":");
    size_t end = before + len + (before && header[before + len] == ']');

    if (before && header[end - 1] != ']') return (nx_str){header, 0};
    return (nx_str){header + before, is_port(header + end) ? len : 0};
}

static bool same_name(nx_str a, const char *b)
{
    return strlen(b) == a.len && strncasecmp(a.p, b, a.len) == 0;
}

static bool is_our_host(const nx_server *s, const char *header)
{
    nx_str host = host_of(header);
    char   name[256];

    if (host.len == 0 || host.len >= sizeof name) return false;
    memcpy(name, host.p, host.len);
    name[host.len] = '\0';
    if (nx_host_is_loopback(name)) return true;
    if (s->opt.host && same_name(host, s->opt.host)) return true;
    for (size_t i = 0; i < s->opt.n_hosts; i++)
        if (same_name(host, s->opt.hosts[i])) return true;
    return false;
}

static bool is_allowed_origin(const nx_server *s, const char *origin)
{
    for (size_t i = 0; i < s->opt.n_origins; i++)
        if (!strcmp(s->opt.origins[i], "*") || !strcasecmp(s->opt.origins[i], origin)) return true;
    return false;
}

/* Our own page: its origin is the host that the request goes to. */
static bool is_same_site(const nx_call *c, const char *origin)
{
    const char *host = nx_exchange_header(c->x, "Host"), *at = strstr(origin, "://");

    return host && at && !strcasecmp(at + 3, host);
}

static void add_cors(nx_call *c, const char *origin)
{
    nx_error err;

    nx_exchange_add_header(c->x, "Access-Control-Allow-Origin", origin, &err);
    nx_exchange_add_header(c->x, "Vary", "Origin", &err);
    nx_exchange_add_header(c->x, "Access-Control-Expose-Headers", "x-request-id, retry-after",
                           &err);
}

/* What a browser asks before the request itself. */
static void answer_preflight(nx_call *c)
{
    nx_error err;
    nx_buf   none = {0};

    nx_exchange_add_header(c->x, "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE",
                           &err);
    nx_exchange_add_header(c->x, "Access-Control-Allow-Headers",
                           "authorization, content-type, x-api-key, api-key, x-request-id", &err);
    nx_exchange_add_header(c->x, "Access-Control-Max-Age", "600", &err);
    nx_call_reply_bytes(c, 204, NULL, &none);
}

static bool deny(nx_call *c, nx_metrics_auth why, const char *text)
{
    nx_metrics_auth_failed(c->server->metrics, why);
    nx_metrics_rejected(c->server->metrics, NX_METRICS_REJECT_AUTH);
    nx_call_refuse(c, 403, NULL, NULL, -1, "%s", text);
    return false;
}

bool nx_guard_let_in(nx_call *c)
{
    const nx_server *s = c->server;
    const char      *origin = nx_exchange_header(c->x, "Origin");
    const char      *host = nx_exchange_header(c->x, "Host");
    bool             open = !nx_keys_any(s->keys);

    if (nx_exchange_tag(c->x) == NX_TAG_OPS || nx_exchange_tag(c->x) == NX_TAG_CONTROL) return true;
    if (open && host && strcmp(nx_exchange_peer(c->x), "unix") && !is_our_host(s, host))
        return deny(c, NX_METRICS_AUTH_ORIGIN,
                    "Host: this server has no such name. Start it with --allow-host NAME");
    if (!origin) return true;
    if (is_allowed_origin(s, origin)) {
        add_cors(c, origin);
        if (strcmp(nx_exchange_method(c->x), "OPTIONS")) return true;
        answer_preflight(c);
        return false;
    }
    if (is_same_site(c, origin)) return true;
    return deny(c, NX_METRICS_AUTH_ORIGIN,
                "Origin: pages of this site may not call. Start the server with --cors-origin URL");
}

/* ---- Keys ---- */

static const char *presented_key(const nx_call *c)
{
    const char *bearer = nx_exchange_header(c->x, "Authorization");

    if (bearer) {
        if (strncasecmp(bearer, "Bearer ", 7)) return "";
        for (bearer += 7; *bearer == ' ';) bearer++;
        return bearer;
    }
    const char *key = nx_exchange_header(c->x, "x-api-key");
    return key ? key : nx_exchange_header(c->x, "api-key"); /* as clients of Qdrant say it */
}

static bool refuse_key(nx_call *c, nx_key_verdict v)
{
    static const nx_metrics_auth why[] = {
        [NX_KEY_MISSING] = NX_METRICS_AUTH_MISSING, [NX_KEY_MALFORMED] = NX_METRICS_AUTH_UNKNOWN,
        [NX_KEY_UNKNOWN] = NX_METRICS_AUTH_UNKNOWN, [NX_KEY_REVOKED] = NX_METRICS_AUTH_REVOKED,
        [NX_KEY_EXPIRED] = NX_METRICS_AUTH_EXPIRED,
    };

    if (v == NX_KEY_FAULT) {
        nx_call_refuse(c, 503, NULL, NULL, 1, "%s", nx_key_message(v));
        return false;
    }
    nx_metrics_auth_failed(c->server->metrics, why[v]);
    nx_metrics_rejected(c->server->metrics, NX_METRICS_REJECT_AUTH);
    nx_call_refuse(c, 401, NULL, "invalid_api_key", -1, "%s", nx_key_message(v));
    return false;
}

static bool within_quota(nx_call *c)
{
    nx_quota_answer a;

    if (nx_quota_take(c->server->quota, &c->key, nx_clock_ns(), nx_clock_unix_ms() / 1000, &a))
        return true;
    bool rate = a.why == NX_QUOTA_REQUESTS;
    nx_metrics_quota_exceeded(c->server->metrics,
                              rate ? NX_METRICS_QUOTA_RATE : NX_METRICS_QUOTA_TOKENS);
    nx_metrics_rejected(c->server->metrics,
                        rate ? NX_METRICS_REJECT_RATE : NX_METRICS_REJECT_QUOTA);
    nx_call_refuse(c, 429, NULL, rate ? "rate_limit_exceeded" : "insufficient_quota",
                   a.retry_after_s, "this key has used up its %lld %s", (long long)a.limit,
                   rate ? "requests a minute" : "tokens of today");
    return false;
}

static uint32_t bit_of(nx_scope scope)
{
    switch (scope) {
    case NX_SCOPE_INFER: return NX_KEY_INFER;
    case NX_SCOPE_RAG: return NX_KEY_RAG;
    case NX_SCOPE_ADMIN: return NX_KEY_ADMIN;
    case NX_SCOPE_PUBLIC: break;
    }
    return 0;
}

bool nx_guard_know(nx_call *c)
{
    nx_server *s = c->server;
    nx_scope   scope = c->route->scope;

    c->trusted = nx_exchange_tag(c->x) == NX_TAG_CONTROL;
    if (scope == NX_SCOPE_PUBLIC || c->trusted) return true;
    /* The listener for operators serves probes and metrics to whoever reaches it, and nothing else. */
    if (nx_exchange_tag(c->x) == NX_TAG_OPS) return true;
    if (!nx_keys_any(s->keys)) return true;
    nx_key_verdict v = nx_keys_check(s->keys, presented_key(c), nx_clock_unix_ms() / 1000, &c->key);
    if (v != NX_KEY_OK) {
        c->key.number = 0;
        return refuse_key(c, v);
    }
    if (!(c->key.scopes & bit_of(scope))) {
        nx_metrics_auth_failed(s->metrics, NX_METRICS_AUTH_SCOPE);
        nx_metrics_rejected(s->metrics, NX_METRICS_REJECT_AUTH);
        nx_call_refuse(c, 403, NULL, "missing_scope", -1, "this key lacks the scope '%s'",
                       nx_scope_name(scope));
        return false;
    }
    return within_quota(c);
}
