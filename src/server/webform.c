/* webform.c - multipart/form-data read where it lies. */
#include "server/webform.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Where `what` begins in text from `from` on; text.len: nowhere. */
static size_t find_in(nx_str text, size_t from, nx_str what)
{
    for (size_t i = from; what.len <= text.len && i <= text.len - what.len; i++) {
        const char *p = memchr(text.p + i, what.p[0], text.len - what.len - i + 1);
        if (!p) break;
        i = (size_t)(p - text.p);
        if (memcmp(p, what.p, what.len) == 0) return i;
    }
    return text.len;
}

/* ---- Parameters: name="form-data"; filename="a b.txt" ---- */

/* The value that begins at s, up to its closing quote, or to what ends a token. */
static nx_str read_value(nx_str s)
{
    size_t n = 0;

    if (s.len && s.p[0] == '"') {
        s.p++;
        s.len--;
        while (n < s.len && s.p[n] != '"') n += s.p[n] == '\\' && n + 1 < s.len ? 2 : 1;
    } else {
        while (n < s.len && !strchr("; \t\r\n", s.p[n])) n++;
    }
    return (nx_str){s.p, n < s.len ? n : s.len};
}

/* The parameter of that name in a header's line; p == NULL: there is none. */
static nx_str parameter(nx_str line, const char *name)
{
    size_t n = strlen(name), i = 0;
    bool   quoted = false;

    for (; i < line.len; i++) {
        char c = line.p[i];
        if (quoted && c == '\\') i++;
        if (c == '"') quoted = !quoted;
        if (quoted || c != ';') continue;
        size_t at = i + 1;
        while (at < line.len && (line.p[at] == ' ' || line.p[at] == '\t')) at++;
        if (line.len - at > n && !strncasecmp(line.p + at, name, n) && line.p[at + n] == '=')
            return read_value((nx_str){line.p + at + n + 1, line.len - at - n - 1});
    }
    return (nx_str){0};
}

/* The value of the header of that name, among those of a part. */
static nx_str header(nx_str head, const char *name)
{
    size_t n = strlen(name);

    for (size_t at = 0; at < head.len;) {
        size_t end = find_in(head, at, NX_STR("\r\n"));
        if (end - at > n && !strncasecmp(head.p + at, name, n) && head.p[at + n] == ':') {
            at += n + 1;
            while (at < end && head.p[at] == ' ') at++;
            return (nx_str){head.p + at, end - at};
        }
        at = end + 2;
    }
    return (nx_str){0};
}

/* ---- Parts ---- */

nx_status nx_webform_open(nx_webform *f, const char *content_type, nx_str body, nx_error *err)
{
    static const char kind[] = "multipart/form-data";
    nx_str            boundary = {0};

    *f = (nx_webform){.body = body};
    if (content_type && !strncasecmp(content_type, kind, sizeof kind - 1))
        boundary = parameter(nx_str_of(content_type), "boundary");
    if (!boundary.len || boundary.len > NX_WEBFORM_BOUNDARY_MAX)
        return nx_fail(err, NX_EINVAL, "expected a body of multipart/form-data, with its boundary");
    f->n_mark =
        (size_t)snprintf(f->mark, sizeof f->mark, "\r\n--%.*s", (int)boundary.len, boundary.p);
    /* The first one may stand at the very beginning. */
    nx_str first = {f->mark + 2, f->n_mark - 2};
    size_t at = find_in(body, 0, first);
    if (at == body.len) return nx_fail(err, NX_EINVAL, "the body doesn't hold its own boundary");
    f->at = at + first.len;
    return NX_OK;
}

/* Behind a boundary: "--" ends the form, a line's end begins a part. */
static bool begins_part(nx_webform *f)
{
    nx_str body = f->body;

    f->ended = body.len - f->at >= 2 && !memcmp(body.p + f->at, "--", 2);
    if (f->ended) return false;
    while (f->at < body.len && (body.p[f->at] == ' ' || body.p[f->at] == '\t')) f->at++;
    f->broken = body.len - f->at < 2 || memcmp(body.p + f->at, "\r\n", 2) != 0;
    return !f->broken;
}

bool nx_webform_next(nx_webform *f, nx_webform_part *out)
{
    if (f->ended || f->broken || !begins_part(f)) return false;
    size_t head_end = find_in(f->body, f->at, NX_STR("\r\n\r\n"));
    size_t from = head_end + 4;
    size_t end = head_end < f->body.len ? find_in(f->body, from - 2, (nx_str){f->mark, f->n_mark})
                                        : f->body.len;
    f->broken = end == f->body.len;
    if (f->broken) return false;
    nx_str head = {f->body.p + f->at + 2, head_end - f->at > 2 ? head_end - f->at - 2 : 0};
    nx_str about = header(head, "Content-Disposition");
    *out = (nx_webform_part){.name = parameter(about, "name"),
                             .filename = parameter(about, "filename"),
                             .type = header(head, "Content-Type"),
                             .value = {f->body.p + from, end > from ? end - from : 0}};
    f->at = end + f->n_mark;
    return true;
}

nx_status nx_webform_close(const nx_webform *f, nx_error *err)
{
    if (f->ended && !f->broken) return NX_OK;
    return nx_fail(err, NX_EINVAL, "the form breaks off: byte %zu of %zu, expected a boundary",
                   f->at, f->body.len);
}
