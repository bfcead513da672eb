/* html_charset.c - which encoding a page is in, and the page in UTF-8. */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "rag/html.h"

#define HEAD_BYTES 4096 /* where the declaration is looked for */
#define NAME_BYTES 24

/* ---- Finding it ---- */

static size_t bom(nx_str s, const char **name)
{
    if (s.len >= 3 && memcmp(s.p, "\xEF\xBB\xBF", 3) == 0) return *name = "utf-8", 3;
    if (s.len >= 2 && memcmp(s.p, "\xFF\xFE", 2) == 0) return *name = "utf-16le", 2;
    if (s.len >= 2 && memcmp(s.p, "\xFE\xFF", 2) == 0) return *name = "utf-16be", 2;
    return 0;
}

/* Where `word` (lower case) begins in s at or behind `from`, whatever its case; s.len: nowhere. */
static size_t find(nx_str s, size_t from, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = from; i + n <= s.len; i++)
        if (strncasecmp(s.p + i, word, n) == 0) return i;
    return s.len;
}

static bool in_name(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_' ||
           c == '.' || c == ':';
}

/* The word behind "charset=" or "encoding=" in a <meta> or an <?xml ...?>: lower case; "": none. */
static void declared(char out[NAME_BYTES], nx_str s)
{
    nx_str head = {s.p, s.len < HEAD_BYTES ? s.len : HEAD_BYTES};
    bool   xml = head.len > 5 && memcmp(head.p, "<?xml", 5) == 0;
    size_t at = xml ? find(head, 0, "encoding=") + 9 : head.len, n = 0;

    out[0] = '\0';
    for (size_t tag = 0; at >= head.len && (tag = find(head, tag, "<meta")) < head.len; tag++) {
        nx_str inside = {head.p, tag};
        while (inside.len < head.len && head.p[inside.len] != '>') inside.len++;
        size_t eq = find(inside, tag, "charset");
        for (eq += 7; eq < inside.len && (head.p[eq] == ' ' || head.p[eq] == '='); eq++) continue;
        if (eq < inside.len) at = eq;
    }
    while (at < head.len && (head.p[at] == '"' || head.p[at] == '\'' || head.p[at] == ' ')) at++;
    for (; at < head.len && in_name(head.p[at]); at++, n++) {
        if (n + 1 == NAME_BYTES) {
            n = 0; /* no encoding has such a name */
            break;
        }
        out[n] = (char)(head.p[at] >= 'A' && head.p[at] <= 'Z' ? head.p[at] | 32 : head.p[at]);
    }
    out[n] = '\0';
}

/* What browsers read under that name. "": not to be believed. */
static const char *meant(const char *name)
{
    static const char *const table[][2] = {
        {"utf8", "utf-8"},
        {"unicode-1-1-utf-8", "utf-8"},
        {"utf-16", "utf-8"},
        {"utf-16le", "utf-8"},
        {"utf-16be", "utf-8"},
        {"iso-8859-1", "windows-1252"},
        {"iso8859-1", "windows-1252"},
        {"latin1", "windows-1252"},
        {"ascii", "windows-1252"},
        {"us-ascii", "windows-1252"},
        {"iso-8859-9", "windows-1254"},
        {"gb2312", "gb18030"},
        {"gbk", "gb18030"},
        {"shift_jis", "cp932"},
        {"shift-jis", "cp932"},
        {"x-sjis", "cp932"},
        {"euc-kr", "cp949"},
        {"ks_c_5601-1987", "cp949"},
        {"big5", "big5-hkscs"},
        {"utf-7", ""},
        {"x-user-defined", ""},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(name, table[i][0]) == 0) return table[i][1];
    return name;
}

/* ---- Converting ---- */

static nx_status add_clean(nx_buf *out, nx_str s, uint64_t *odd, nx_error *err)
{
    nx_status st = NX_OK;
    size_t    from = 0, i = 0, n;

    while (i < s.len && !st) {
        unsigned char c = (unsigned char)s.p[i];
        uint32_t      cp = c < 0x80 ? c : nx_utf8_decode(s.p + i, s.len - i, &n);
        if (c < 0x80) n = 1;
        if (cp != NX_UTF8_BAD && cp != 0) {
            i += n;
            continue;
        }
        st = nx_buf_add(out, s.p + from, i - from, err);
        if (!st) st = cp ? nx_buf_add(out, "\xEF\xBF\xBD", 3, err) : nx_buf_add(out, " ", 1, err);
        i += cp ? nx_utf8_bad_length(s.p + i, s.len - i) : 1;
        from = i;
        if (cp) ++*odd;
    }
    return st ? st : nx_buf_add(out, s.p + from, s.len - from, err);
}

static nx_status convert(nx_buf *out, iconv_t cd, nx_str s, uint64_t *odd, nx_error *err)
{
    char     *in = (char *)(uintptr_t)s.p, piece[4096];
    size_t    left = s.len;
    nx_status st = NX_OK;

    while (left && !st) {
        char  *to = piece;
        size_t room = sizeof piece;
        size_t rc = iconv(cd, &in, &left, &to, &room);
        int    why = rc == (size_t)-1 ? errno : 0;
        st = add_clean(out, (nx_str){piece, (size_t)(to - piece)}, odd, err);
        if (st || !why || why == E2BIG) continue;
        ++*odd;
        in++, left--;
        st = nx_buf_add(out, "\xEF\xBF\xBD", 3, err);
    }
    return st;
}

nx_status nx_html_utf8(nx_buf *out, char encoding[NAME_BYTES], nx_str bytes, uint64_t *odd,
                       nx_error *err)
{
    char        said[NAME_BYTES];
    const char *name = NULL;
    uint64_t    none = 0;
    size_t      mark = bom(bytes, &name);

    if (!odd) odd = &none;
    *odd = 0;
    bytes.p += mark, bytes.len -= mark;
    if (!mark) {
        declared(said, bytes);
        name = meant(said);
    }
    /* A page that says nothing, or says UTF-8 and isn't. */
    if (!mark && (!*name || strcmp(name, "utf-8") == 0))
        name = nx_utf8_valid(bytes.p, bytes.len, NULL) || *name ? "utf-8" : "windows-1252";
    iconv_t cd = (iconv_t)-1;
    if (strcmp(name, "utf-8") != 0 && (cd = iconv_open("UTF-8", name)) == (iconv_t)-1) {
        name = nx_utf8_valid(bytes.p, bytes.len, NULL) ? "utf-8" : "windows-1252";
        if (*name == 'w') cd = iconv_open("UTF-8", name);
    }
    snprintf(encoding, NAME_BYTES, "%s", name);
    if (cd == (iconv_t)-1) return add_clean(out, bytes, odd, err);
    nx_status st = convert(out, cd, bytes, odd, err);
    iconv_close(cd);
    return st;
}
