/* httpd_request.c - the head of a request: checked, decoded, kept.
 *
 * Idea:   reject, never repair: whatever two readers could understand differently is refused with
 *         400, so that no proxy in front can be made to see other requests than we do.
 * Method: libmicrohttpd (0.9) accepts lines that end in a bare LF, folded lines, and NULs; its
 *         strings no longer show them. But they point into the head as it was read, where every
 *         line end became NULs in place: if each line begins two bytes after the one before ends,
 *         every line ended in CRLF, none was folded, and no NUL cut one short.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "net/httpd_in.h"

#define VERSION_LEN 8 /* "HTTP/1.1": libmicrohttpd takes no other length */

/* The walk over libmicrohttpd's headers. */
typedef struct walk {
    size_t      n, bytes; /* fields, and their text with NULs */
    nx_field   *out;      /* NULL: only count and check */
    char       *text;
    const char *line; /* where the next line should begin; NULL: not looked at */
    int         n_host, n_length, n_encoding;
    unsigned    seen_once; /* a bit for each of `once` */
    const char *length, *encoding;
    const char *wrong;
} walk;

/* ---- Characters ---- */

static bool is_token_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_token_byte((unsigned char)s[i])) return false;
    return n > 0;
}

static bool is_value(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f) return false;
    return true;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Decode s[0..n) to `to`, with a NUL; returns its length, or -1: a bad escape, a control character,
 * no UTF-8. */
static ptrdiff_t decode(char *to, const char *s, size_t n, bool plus_is_space)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)s[i];
        if (c == '%') {
            int a = i + 2 < n ? hex(s[i + 1]) : -1, b = a < 0 ? -1 : hex(s[i + 2]);
            if (b < 0) return -1;
            c = a * 16 + b;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        to[len++] = (char)c;
    }
    to[len] = '\0';
    return nx_utf8_valid(to, len, NULL) && (plus_is_space || is_value(to, len)) &&
                   !memchr(to, 0, len)
               ? (ptrdiff_t)len
               : -1;
}

/* ---- Headers ---- */

/* Headers that decide who asks: of two, one reader would take the first, another the last. */
static const char *const once[] = {"Authorization", "x-api-key", "api-key", "Origin"};

static void count_once(walk *w, const char *name)
{
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
        if (strcasecmp(name, once[i]) != 0) continue;
        if (w->seen_once & 1u << i)
            w->wrong = "more than one Authorization, x-api-key, api-key or Origin";
        w->seen_once |= 1u << i;
    }
}

static void count_header(walk *w, const char *name, const char *value)
{
    count_once(w, name);
    if (strcasecmp(name, "Host") == 0) w->n_host++;
    if (strcasecmp(name, "Content-Length") == 0) {
        w->n_length++;
        w->length = value;
    }
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        w->n_encoding++;
        w->encoding = value;
    }
}

static void check_line(walk *w, const char *name, size_t n_name, const char *value, size_t n_value)
{
    if (!is_token(name, n_name)) w->wrong = "a header's name with characters that no name has";
    if (!is_value(value, n_value)) w->wrong = "a header with control characters";
    if (w->line && name != w->line)
        w->wrong = "a header line that is folded, holds a NUL, or doesn't end in CR LF";
    if (w->line) w->line = value + n_value + 2;
}

static const char *keep(walk *w, const char *s, size_t n)
{
    char *to = w->text;

    memcpy(to, s, n);
    to[n] = '\0';
    w->text += n + 1;
    return to;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                 size_t n_name, const char *value, size_t n_value)
{
    walk *w = cls;

    (void)kind;
    if (!value) value = "", n_value = 0;
    if (w->out) {
        /* White space around a value is none of it; libmicrohttpd drops only what is before. */
        while (n_value > 0 && (value[n_value - 1] == ' ' || value[n_value - 1] == '\t')) n_value--;
        w->out[w->n].name = keep(w, name, n_name);
        w->out[w->n].value = keep(w, value, n_value);
    } else {
        check_line(w, name, n_name, value, n_value);
        count_header(w, name, value);
        w->bytes += n_name + n_value + 2;
    }
    w->n++;
    return MHD_YES;
}

/* Where the first header line begins, or NULL when this libmicrohttpd checks lines by itself. */
static const char *first_line(const char *version)
{
    return MHD_VERSION < 0x01000000 && strncmp(MHD_get_version(), "0.9.", 4) == 0
               ? version + VERSION_LEN + 2
               : NULL;
}

static void check_end(walk *w, struct MHD_Connection *mhd, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    if (!w->line || !info) return;
    if (w->line + 2 != method + info->header_size)
        w->wrong = "a head whose lines don't end in CR LF";
}

static nx_status check_framing(nx_exchange *x, const walk *w, bool is_1_1, nx_error *err)
{
    if (w->wrong) return nx_fail(err, NX_EINVAL, "malformed request: %s", w->wrong);
    if (w->n_host > 1) return nx_fail(err, NX_EINVAL, "malformed request: more than one Host");
    if (is_1_1 && w->n_host == 0) return nx_fail(err, NX_EINVAL, "malformed request: no Host");
    if (w->n_length > 1)
        return nx_fail(err, NX_EINVAL, "malformed request: more than one Content-Length");
    if (w->n_encoding && w->n_length)
        return nx_fail(err, NX_EINVAL,
                       "malformed request: both Transfer-Encoding and Content-Length");
    if (w->n_encoding && (w->n_encoding > 1 || strcasecmp(w->encoding, "chunked") != 0 || !is_1_1))
        return nx_fail(err, NX_EINVAL,
                       "malformed request: Transfer-Encoding, expected chunked alone, in HTTP/1.1");
    x->is_chunked = w->n_encoding == 1;
    /* Digits alone, and no overflow: libmicrohttpd has refused the rest. */
    for (const char *p = w->length; p && *p >= '0' && *p <= '9'; p++)
        x->content_length = x->content_length * 10 + (uint64_t)(*p - '0');
    return NX_OK;
}

/* ---- Target ---- */

static size_t count_byte(const char *s, char c)
{
    size_t n = 0;

    for (; *s; s++) n += *s == c;
    return n;
}

/* ?a=b&c: the fields that follow the headers. False: an escape that can't be. */
static bool read_query(nx_exchange *x, walk *w, const char *query)
{
    while (*query) {
        size_t      n = strcspn(query, "&");
        const char *equals = memchr(query, '=', n);
        size_t      n_name = equals ? (size_t)(equals - query) : n;
        nx_field   *f = &x->fields[x->n_headers + x->n_query];
        if (n > 0) {
            ptrdiff_t a = decode(w->text, query, n_name, true);
            if (a < 0) return false;
            f->name = w->text;
            w->text += a + 1;
            a = equals ? decode(w->text, equals + 1, n - n_name - 1, true) : 0;
            if (a < 0) return false;
            if (!equals) w->text[0] = '\0';
            f->value = w->text;
            w->text += a + 1;
            x->n_query++;
        }
        query += n + (query[n] == '&');
    }
    return true;
}

static nx_status read_target(nx_exchange *x, walk *w, nx_error *err)
{
    const char *mark = strchr(x->uri, '?');
    size_t      n = mark ? (size_t)(mark - x->uri) : strlen(x->uri);
    bool        star = strcmp(x->uri, "*") == 0 && strcmp(x->method, "OPTIONS") == 0;

    if (x->uri[0] != '/' && !star)
        return nx_fail(err, NX_EINVAL,
                       "malformed request: the target must be a path that begins with /");
    ptrdiff_t len = decode(w->text, x->uri, n, false);
    if (len < 0)
        return nx_fail(err, NX_EINVAL,
                       "malformed request: the path holds a bad %% escape, a control character, or "
                       "no UTF-8");
    x->path = w->text;
    w->text += len + 1;
    if (!mark || read_query(x, w, mark + 1)) return NX_OK;
    return nx_fail(err, NX_EINVAL,
                   "malformed request: the query holds a bad %% escape or no UTF-8");
}

/* ---- The whole ---- */

nx_status nx_request_read(nx_exchange *x, struct MHD_Connection *mhd, const char *method,
                          const char *version, nx_error *err)
{
    walk   w = {.line = first_line(version)};
    size_t n_method = strlen(method), n_query = count_byte(x->uri, '&') + 1;

    if (!is_token(method, n_method))
        return nx_fail(err, NX_EINVAL, "malformed request: its method is no word");
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_header, &w);
    check_end(&w, mhd, method);
    nx_status st = check_framing(x, &w, strcmp(version, "HTTP/1.0") != 0, err);
    if (st) return st;

    x->n_headers = w.n;
    x->fields = nx_calloc(w.n + n_query, sizeof *x->fields);
    /* The query decodes to no more than it is, and a NUL for each name and value. */
    x->text = nx_alloc(w.bytes + n_method + 1 + strlen(x->uri) + 2 + 2 * n_query, 1);
    if (!x->fields || !x->text) {
        x->n_headers = 0;
        return nx_fail(err, NX_ENOMEM, "out of memory");
    }
    w = (walk){.out = x->fields, .text = x->text};
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_header, &w);
    x->is_head = strcmp(method, "HEAD") == 0;
    x->method = keep(&w, method, n_method);
    if (x->is_head) x->method = "GET";
    return read_target(x, &w, err);
}

/* ---- What hooks may ask ---- */

const char *nx_exchange_method(const nx_exchange *x)
{
    return x->method;
}

bool nx_exchange_is_head(const nx_exchange *x)
{
    return x->is_head;
}

const char *nx_exchange_uri(const nx_exchange *x)
{
    return x->uri;
}

const char *nx_exchange_path(const nx_exchange *x)
{
    return x->path;
}

int nx_exchange_tag(const nx_exchange *x)
{
    return x->conn->tag;
}

const char *nx_exchange_peer(const nx_exchange *x)
{
    return x->conn->peer;
}

bool nx_exchange_is_tls(const nx_exchange *x)
{
    return x->conn->is_tls;
}

const char *nx_exchange_header(const nx_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->n_headers; i++)
        if (strcasecmp(x->fields[i].name, name) == 0) return x->fields[i].value;
    return NULL;
}

const char *nx_exchange_query(const nx_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->n_query; i++)
        if (strcmp(x->fields[x->n_headers + i].name, name) == 0)
            return x->fields[x->n_headers + i].value;
    return NULL;
}

nx_str nx_exchange_body(const nx_exchange *x)
{
    return (nx_str){x->body.data ? x->body.data : "", x->body.len};
}

int64_t nx_exchange_begun_ns(const nx_exchange *x)
{
    return x->begun_ns;
}

void nx_exchange_limit_body(nx_exchange *x, size_t bytes)
{
    x->body_bytes_max = bytes;
}

void nx_exchange_set_user(nx_exchange *x, void *user)
{
    x->user = user;
}

void *nx_exchange_user(const nx_exchange *x)
{
    return x->user;
}
