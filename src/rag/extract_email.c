/* extract_email.c - a mail: who, to whom, when, about what; then its texts.
 *
 * Idea:   of versions of the same (multipart/alternative) the plain one is read, else the page. Mails in mails are
 *         read like the outer one. What is attached and is no text is named in a warning.
 * Source: RFC 5322, 2045, 2046.
 */
#include <string.h>
#include <strings.h>

#include "rag/html.h"
#include "rag/mime.h"

enum { DEPTH_MAX = 16, HEADER_MAX = 64 << 10 };

typedef struct mail {
    nx_compose               c;
    const nx_extract_limits *limits;
    nx_watch                 watch;
    nx_error                *err;
    int32_t                  n_entities;
} mail;

typedef enum coding { PLAIN, BASE64, QUOTED } coding;

/* What an entity's header says of its body. */
typedef struct head {
    char   type[64], charset[48], boundary[128], name[128];
    coding coding;
    bool   attached;
} head;

static bool begins(nx_str s, const char *with)
{
    size_t n = strlen(with);

    return s.len >= n && strncasecmp(s.p, with, n) == 0;
}

/* ---- Headers ---- */

/* The field at *at, unfolded: its name, its value in `value`. false: the header is over, *at the body. */
static bool next_field(nx_str s, size_t *at, nx_str *name, nx_buf *value)
{
    nx_line     l;
    const char *colon;

    nx_buf_clear(value);
    if (!nx_line_at(&l, s, *at)) return false;
    if (l.begin == l.end) {
        *at = l.next;
        return false;
    }
    colon = memchr(s.p + l.begin, ':', l.end - l.begin);
    if (!colon) { /* "From ..." of a mailbox, or no header at all */
        *name = NX_STR("");
        if (*at > 0) return false;
        *at = begins(s, "From ") || begins(s, ">From ") ? l.next : *at;
        return *at > 0;
    }
    *name = (nx_str){s.p + l.begin, (size_t)(colon - s.p) - l.begin};
    (void)nx_buf_add(value, colon + 1, (size_t)(s.p + l.end - colon) - 1, NULL);
    for (*at = l.next; nx_line_at(&l, s, *at); *at = l.next) {
        if (l.begin == l.end || (s.p[l.begin] != ' ' && s.p[l.begin] != '\t')) break;
        /* One that is too long stays cut. */
        (void)nx_buf_add(value, s.p + l.begin, l.end - l.begin, NULL);
    }
    return true;
}

static bool is_field(nx_str name, const char *what)
{
    while (name.len && (name.p[name.len - 1] == ' ' || name.p[name.len - 1] == '\t')) name.len--;
    return name.len == strlen(what) && strncasecmp(name.p, what, name.len) == 0;
}

static nx_str trimmed(const nx_buf *b)
{
    nx_str s = {b->data ? b->data : "", b->len};

    while (s.len && strchr(" \t\r\n", s.p[0])) s = (nx_str){s.p + 1, s.len - 1};
    while (s.len && strchr(" \t\r\n", s.p[s.len - 1])) s.len--;
    return s;
}

static void read_type(head *h, nx_str value)
{
    size_t n = 0;

    while (n < value.len && n + 1 < sizeof h->type && !strchr("; \t\r\n", value.p[n])) n++;
    memcpy(h->type, value.p, n);
    h->type[n] = '\0';
    (void)nx_mime_param(h->charset, sizeof h->charset, value, "charset");
    (void)nx_mime_param(h->boundary, sizeof h->boundary, value, "boundary");
    if (!h->name[0]) (void)nx_mime_param(h->name, sizeof h->name, value, "name");
}

static void read_field(head *h, nx_str name, nx_str value)
{
    if (is_field(name, "Content-Type")) {
        read_type(h, value);
    } else if (is_field(name, "Content-Transfer-Encoding")) {
        h->coding = begins(value, "base64")             ? BASE64
                    : begins(value, "quoted-printable") ? QUOTED
                                                        : PLAIN;
    } else if (is_field(name, "Content-Disposition")) {
        h->attached = begins(value, "attachment");
        (void)nx_mime_param(h->name, sizeof h->name, value, "filename");
    }
}

/* Fields that people read, as lines. */
static void show_field(mail *m, nx_str name, nx_str value)
{
    static const char *const shown[] = {"From", "To", "Cc", "Date", "Subject"};

    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        if (!is_field(name, shown[i]) || !value.len || m->c.st) continue;
        nx_buf    words = {.max = (size_t)HEADER_MAX * 4};
        nx_status st = nx_mime_words(&words, value, m->err);
        nx_str    s = {words.data ? words.data : "", words.len};
        if (st) nx_compose_fail(&m->c, st, "the header \"%s\" can't be read", shown[i]);
        nx_compose_line(&m->c);
        nx_compose_text(&m->c, nx_str_of(shown[i]));
        nx_compose_text(&m->c, NX_STR(": "));
        nx_compose_text(&m->c, s);
        if (i == 4) nx_compose_title(&m->c, s);
        nx_buf_free(&words);
    }
}

/* Read a header; where the body begins. m NULL: nothing is shown. */
static size_t read_head(head *h, mail *m, nx_str s)
{
    nx_buf value = {.max = HEADER_MAX};
    nx_str name;
    size_t at = 0;

    *h = (head){.type = "text/plain"};
    if (m) nx_compose_part(&m->c, NX_PART_PARAGRAPH, 0);
    while (next_field(s, &at, &name, &value)) {
        read_field(h, name, trimmed(&value));
        if (m) show_field(m, name, trimmed(&value));
    }
    nx_buf_free(&value);
    return at;
}

/* ---- Bodies ---- */

static void write_plain(mail *m, nx_str s)
{
    nx_line l;
    bool    fresh = true;

    nx_compose_part(&m->c, NX_PART_PARAGRAPH, 0);
    for (size_t at = 0; !m->c.st && nx_line_at(&l, s, at); at = l.next) {
        nx_status st = nx_watch_often(&m->watch, m->err);
        if (st) m->c.st = st;
        if (nx_line_blank(&l)) {
            nx_compose_part(&m->c, NX_PART_PARAGRAPH, 0);
            fresh = true;
            continue;
        }
        if (nx_line_bullet(s, &l))
            nx_compose_part(&m->c, NX_PART_ITEM, 0);
        else if (!fresh)
            nx_compose_line(&m->c);
        nx_compose_text(&m->c, (nx_str){s.p + l.first, l.end - l.first});
        fresh = false;
    }
}

static void write_text(mail *m, const head *h, nx_str body)
{
    nx_buf    text = {.max = (size_t)m->limits->text_bytes + 64};
    bool      known = true;
    nx_status st;

    if (begins(nx_str_of(h->type), "text/html") && !h->charset[0]) {
        char     encoding[24];
        uint64_t odd = 0;
        st = nx_html_utf8(&text, encoding, body, &odd, m->err);
    } else {
        st = nx_mime_utf8(&text, body, h->charset, &known, m->err);
    }
    nx_str s = {text.data ? text.data : "", text.len};
    if (st == NX_EUNSUPPORTED)
        nx_compose_warn(&m->c, "a part that says it is %s holds no text", h->type);
    else if (st)
        m->c.st = st;
    else if (begins(nx_str_of(h->type), "text/html"))
        nx_html_compose(&m->c, s, m->limits->depth, &m->watch);
    else
        write_plain(m, s);
    if (!known)
        nx_compose_warn(&m->c, "the encoding \"%s\" is unknown; it was guessed", h->charset);
    nx_buf_free(&text);
}

static void entity(mail *m, nx_str s, bool whole, int depth);

/* ---- Parts ---- */

/* Is it the line that divides parts? 2: the last one. */
static int divides(nx_str s, const nx_line *l, const char *boundary)
{
    size_t n = strlen(boundary), len = l->end - l->begin;

    if (len < n + 2 || s.p[l->begin] != '-' || s.p[l->begin + 1] != '-' ||
        memcmp(s.p + l->begin + 2, boundary, n) != 0)
        return 0;
    size_t at = l->begin + 2 + n;
    int    kind = l->end - at >= 2 && s.p[at] == '-' && s.p[at + 1] == '-' ? 2 : 1;
    for (at += kind == 2 ? 2 : 0; at < l->end; at++)
        if (s.p[at] != ' ' && s.p[at] != '\t') return 0;
    return kind;
}

/* The next part from *at on; false: there is none. A part that isn't closed goes to the end. */
static bool next_part(nx_str s, size_t *at, const char *boundary, nx_str *part)
{
    nx_line l;
    size_t  from = *at, end = s.len;
    int     kind = 0;

    if (from >= s.len) return false;
    for (size_t i = from; nx_line_at(&l, s, i); i = l.next)
        if ((kind = divides(s, &l, boundary)) != 0) {
            end = l.begin;
            *at = l.next;
            break;
        }
    if (!kind || kind == 2) *at = s.len;
    *part = (nx_str){s.p + from, end - from};
    return true;
}

/* Where the first part begins: behind the first line that divides. */
static size_t first_part(nx_str s, const char *boundary)
{
    nx_line l;

    for (size_t at = 0; nx_line_at(&l, s, at); at = l.next) {
        int kind = divides(s, &l, boundary);
        if (kind) return kind == 1 ? l.next : s.len;
    }
    return s.len;
}

/* Which one of several versions to read, from 0: the first plain text; else the last version of all. */
static int32_t choose(nx_str s, const char *boundary)
{
    nx_str  part;
    int32_t last = 0;
    head    h;
    size_t  at = first_part(s, boundary);

    for (int32_t i = 0; next_part(s, &at, boundary, &part); i++) {
        (void)read_head(&h, NULL, part);
        if (begins(nx_str_of(h.type), "text/plain") && !h.attached) return i;
        last = i;
    }
    return last;
}

static void multipart(mail *m, const head *h, nx_str body, int depth)
{
    bool    versions = begins(nx_str_of(h->type), "multipart/alternative");
    int32_t chosen = versions ? choose(body, h->boundary) : -1;
    size_t  at = first_part(body, h->boundary);
    nx_str  part;

    if (at >= body.len) { /* nothing divides it: what there is */
        write_text(m, &(head){.type = "text/plain"}, body);
        return;
    }
    for (int32_t i = 0; !m->c.st && next_part(body, &at, h->boundary, &part); i++)
        if (!versions || i == chosen) entity(m, part, false, depth + 1);
}

static void body_of(mail *m, const head *h, nx_str body, int depth)
{
    if (begins(nx_str_of(h->type), "multipart/") && h->boundary[0]) {
        multipart(m, h, body, depth);
    } else if (begins(nx_str_of(h->type), "message/rfc822")) {
        entity(m, body, true, depth + 1);
    } else if (!h->attached &&
               (begins(nx_str_of(h->type), "text/") || begins(nx_str_of(h->type), "multipart/"))) {
        write_text(m, h, body);
    } else if (begins(nx_str_of(h->type), "text/plain") || begins(nx_str_of(h->type), "message/")) {
        write_text(m, h, body); /* attached, but as readable as the mail */
    } else {
        nx_compose_warn(&m->c, "attachment \"%s\" (%s) was not read", h->name, h->type);
    }
}

/* A header and its body. whole: a mail, whose header is shown. */
static void entity(mail *m, nx_str s, bool whole, int depth)
{
    head   h;
    nx_buf bytes = {.max = (size_t)m->limits->file_bytes + 64};
    nx_str body;

    if (m->c.st) return;
    if (depth > DEPTH_MAX) {
        nx_compose_warn(&m->c, "parts within parts, over %d deep, were not read", DEPTH_MAX);
        return;
    }
    if (++m->n_entities > m->limits->members) {
        nx_compose_fail(&m->c, NX_ELIMIT, "the mail has more than %d parts", m->limits->members);
        return;
    }
    size_t    at = read_head(&h, whole ? m : NULL, s);
    nx_status st = NX_OK;
    body = (nx_str){s.p + at, s.len - at};
    if (h.coding != PLAIN && !begins(nx_str_of(h.type), "multipart/")) {
        st = h.coding == BASE64 ? nx_mime_base64(&bytes, body, m->err)
                                : nx_mime_quoted(&bytes, body, false, m->err);
        body = (nx_str){bytes.data ? bytes.data : "", bytes.len};
    }
    if (st)
        m->c.st = st;
    else
        body_of(m, &h, body, depth);
    nx_buf_free(&bytes);
}

nx_status nx_extract_email(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                           nx_error *err)
{
    mail m = {.limits = limits, .watch = nx_watch_start(limits), .err = err};

    (void)name;
    nx_compose_start(&m.c, doc, NX_DOC_EMAIL, limits, err);
    memcpy(doc->encoding, "utf-8", sizeof "utf-8");
    if (bytes.len >= 3 && memcmp(bytes.p, "\xEF\xBB\xBF", 3) == 0)
        bytes = (nx_str){bytes.p + 3, bytes.len - 3};
    entity(&m, bytes, true, 0);
    return nx_compose_finish(&m.c);
}
