/* mime.c - base64, quoted-printable, encoded words, parameters. */
#include "rag/mime.h"

#include <string.h>
#include <strings.h>

/* ---- Bytes ---- */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

nx_status nx_mime_base64(nx_buf *out, nx_str s, nx_error *err)
{
    char    *to = nx_buf_room(out, s.len / 4 * 3 + 3, err);
    uint32_t bits = 0;
    int      n = 0;

    if (!to) return nx_fail(err, NX_ELIMIT, "no room for %zu bytes of base64", s.len);
    for (size_t i = 0; i < s.len; i++) {
        int d = base64_digit(s.p[i]);
        if (d < 0) continue;
        bits = bits << 6 | (uint32_t)d;
        n += 6;
        if (n < 8) continue;
        n -= 8;
        *to++ = (char)(bits >> n);
        bits &= (1u << n) - 1;
    }
    *to = '\0';
    out->len = (size_t)(to - out->data);
    return NX_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "=" at the end of a line, blanks behind it or not: the line goes on. Its length; 0: it is none. */
static size_t soft_break(nx_str s, size_t at)
{
    size_t i = at + 1;

    while (i < s.len && (s.p[i] == ' ' || s.p[i] == '\t')) i++;
    if (i < s.len && s.p[i] == '\r') i++;
    if (i == s.len) return i - at;
    return s.p[i] == '\n' ? i + 1 - at : 0;
}

nx_status nx_mime_quoted(nx_buf *out, nx_str s, bool word, nx_error *err)
{
    char  *to = nx_buf_room(out, s.len, err);
    size_t skip;

    if (!to) return nx_fail(err, NX_ELIMIT, "no room for %zu quoted bytes", s.len);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        int  high = c == '=' && i + 2 < s.len ? hex_digit(s.p[i + 1]) : -1;
        int  low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
        if (low >= 0) {
            *to++ = (char)(high << 4 | low);
            i += 2;
        } else if (c == '=' && !word && (skip = soft_break(s, i)) > 0) {
            i += skip - 1;
        } else {
            *to++ = word && c == '_' ? ' ' : c;
        }
    }
    *to = '\0';
    out->len = (size_t)(to - out->data);
    return NX_OK;
}

/* ---- Text ---- */

static bool is_usual(const char *charset)
{
    return !charset[0] || strcasecmp(charset, "utf-8") == 0 || strcasecmp(charset, "utf8") == 0 ||
           strcasecmp(charset, "us-ascii") == 0 || strcasecmp(charset, "ascii") == 0;
}

/* As it looks: the rules of files of text. */
static nx_status guess(nx_buf *out, nx_str s, nx_error *err)
{
    nx_extract_limits limits;
    nx_doc            text = {0};
    size_t            begin;

    nx_extract_limits_default(&limits);
    limits.text_bytes = out->max > out->len ? out->max - out->len : 1;
    nx_status st = nx_text_read(&text, s, &limits, &begin, err);
    if (!st && text.text.len > begin)
        st = nx_buf_add(out, text.text.data + begin, text.text.len - begin, err);
    nx_doc_free(&text);
    return st;
}

nx_status nx_mime_utf8(nx_buf *out, nx_str s, const char *charset, bool *known, nx_error *err)
{
    uint64_t  n_bad = 0;
    nx_status st = NX_EUNSUPPORTED;

    if (known) *known = true;
    if (!s.len) return NX_OK;
    if (!is_usual(charset)) {
        /* "latin1" in mail is what Windows calls so. */
        const char *really = strcasecmp(charset, "iso-8859-1") == 0 ? "windows-1252" : charset;
        nx_buf      own = {.max = out->max};
        st = nx_text_convert(&own, s, really, &n_bad, err);
        if (!st && own.len) st = nx_buf_add(out, own.data, own.len, err);
        nx_buf_free(&own);
        if (known) *known = st != NX_EUNSUPPORTED;
    }
    return st == NX_EUNSUPPORTED ? guess(out, s, err) : st;
}

/* ---- Encoded words ---- */

typedef struct word {
    nx_str charset, text;
    char   how;    /* 'q', 'b' */
    size_t length; /* of all of it, from =? to ?= */
} word;

static bool take_until(nx_str s, size_t *at, nx_str *out)
{
    const char *mark = memchr(s.p + *at, '?', s.len - *at);

    if (!mark) return false;
    *out = (nx_str){s.p + *at, (size_t)(mark - s.p) - *at};
    *at += out->len + 1;
    return true;
}

static bool word_at(word *w, nx_str s, size_t at)
{
    nx_str how;
    size_t from = at;

    s.len = s.len - at > 1024 ? at + 1024 : s.len; /* they are at most 75 long, by the RFC */
    if (s.len - at < 8 || s.p[at] != '=' || s.p[at + 1] != '?') return false;
    at += 2;
    if (!take_until(s, &at, &w->charset) || !take_until(s, &at, &how) || how.len != 1 ||
        !take_until(s, &at, &w->text) || at >= s.len || s.p[at] != '=')
        return false;
    w->how = (char)(how.p[0] | 32);
    w->length = at + 1 - from;
    /* utf-8*en: the language is of no use here. */
    const char *star = memchr(w->charset.p, '*', w->charset.len);
    if (star) w->charset.len = (size_t)(star - w->charset.p);
    return (w->how == 'q' || w->how == 'b') && w->charset.len && w->charset.len < 40;
}

static nx_status flush(nx_buf *out, nx_buf *pending, nx_str charset, nx_error *err)
{
    char      name[48] = "";
    nx_status st;

    if (!pending->len) return NX_OK;
    memcpy(name, charset.p, charset.len);
    st = nx_mime_utf8(out, (nx_str){pending->data, pending->len}, name, NULL, err);
    nx_buf_clear(pending);
    return st == NX_EUNSUPPORTED ? NX_OK : st; /* no text: it says nothing */
}

static bool only_blanks(nx_str s, size_t from, size_t to)
{
    while (from < to && strchr(" \t\r\n", s.p[from])) from++;
    return from == to;
}

/* Words of one charset behind each other are joined before they are converted: a character may be cut. */
nx_status nx_mime_words(nx_buf *out, nx_str s, nx_error *err)
{
    nx_buf    pending = {.max = s.len + 64};
    nx_str    charset = NX_STR("");
    size_t    from = 0; /* what stands from here on isn't written yet */
    nx_status st = NX_OK;
    word      w;

    for (size_t at = 0; !st && at < s.len;) {
        if (s.p[at] != '=' || !word_at(&w, s, at)) {
            at++;
            continue;
        }
        bool follows = charset.len && only_blanks(s, from, at);
        bool same = follows && w.charset.len == charset.len &&
                    strncasecmp(w.charset.p, charset.p, charset.len) == 0;
        if (!same) st = flush(out, &pending, charset, err);
        if (!st && !follows) st = nx_mime_utf8(out, (nx_str){s.p + from, at - from}, "", NULL, err);
        if (st == NX_EUNSUPPORTED) st = NX_OK;
        charset = w.charset;
        if (!st)
            st = w.how == 'q' ? nx_mime_quoted(&pending, w.text, true, err)
                              : nx_mime_base64(&pending, w.text, err);
        from = at += w.length;
    }
    if (!st) st = flush(out, &pending, charset, err);
    if (!st) st = nx_mime_utf8(out, (nx_str){s.p + from, s.len - from}, "", NULL, err);
    nx_buf_free(&pending);
    return st == NX_EUNSUPPORTED ? NX_OK : st;
}

/* ---- Parameters ---- */

/* Copy the value at s[at], quoted or up to the next ";"; where it ends. */
static size_t copy_value(char *out, size_t room, nx_str s, size_t at)
{
    bool   quoted = at < s.len && s.p[at] == '"';
    size_t n = 0;

    for (at += quoted; at < s.len && (quoted ? s.p[at] != '"' : !strchr("; \t\r\n", s.p[at]));
         at++) {
        if (quoted && s.p[at] == '\\' && at + 1 < s.len) at++;
        if (n + 1 < room && s.p[at]) out[n++] = s.p[at];
    }
    if (room) out[n] = '\0';
    return at + (quoted && at < s.len);
}

bool nx_mime_param(char *out, size_t room, nx_str value, const char *name)
{
    size_t n = strlen(name);

    for (size_t at = 0; at < value.len;) {
        const char *semi = memchr(value.p + at, ';', value.len - at);
        if (!semi) break;
        at = (size_t)(semi - value.p) + 1;
        while (at < value.len && strchr(" \t\r\n", value.p[at])) at++;
        size_t from = at;
        while (at < value.len && value.p[at] != '=' && value.p[at] != ';') at++;
        size_t end = at;
        while (end > from && strchr(" \t*", value.p[end - 1])) end--;
        if (at == value.len || value.p[at] == ';') continue;
        at++;
        while (at < value.len && strchr(" \t\r\n", value.p[at])) at++;
        if (end - from == n && strncasecmp(value.p + from, name, n) == 0) {
            copy_value(out, room, value, at);
            return out[0] != '\0';
        }
        at = copy_value(NULL, 0, value, at);
    }
    return false;
}
