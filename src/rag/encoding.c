/* encoding.c - a file of text in UTF-8, whatever it was in.
 *
 * Idea:   most files are UTF-8: they stay as they are, and positions are theirs. Else a mark at the beginning says
 *         it, or the zeros of UTF-16 do; what is left is read as windows-1252, byte for byte where a file is mixed,
 *         since that is what such files mostly are, and no byte is lost.
 */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "rag/extract_in.h"

#define SAMPLE 8192

/* windows-1252's bytes 80 to 9F; 0: none. The others are Unicode's. */
static const uint16_t cp1252[32] = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178,
};

/* ---- Which one ---- */

/* UTF-16 without a mark shows by its zeros: Latin letters have one each, always on the same side. */
static const char *by_zeros(nx_str s)
{
    size_t n = s.len < SAMPLE ? s.len & ~(size_t)1 : SAMPLE, zeros[2] = {0, 0};

    for (size_t i = 0; i < n; i++) zeros[i & 1] += s.p[i] == '\0';
    if (n < 4) return NULL;
    if (zeros[1] > n / 4 && zeros[0] <= n / 50) return "utf-16le";
    if (zeros[0] > n / 4 && zeros[1] <= n / 50) return "utf-16be";
    return NULL;
}

static const char *by_mark(nx_str s, size_t *mark)
{
    static const struct {
        const char *bytes;
        size_t      n;
        const char *name;
    } marks[] = {
        {"\xEF\xBB\xBF", 3, "utf-8"},    {"\xFF\xFE\0\0", 4, "utf-32le"},
        {"\0\0\xFE\xFF", 4, "utf-32be"}, {"\xFF\xFE", 2, "utf-16le"},
        {"\xFE\xFF", 2, "utf-16be"},
    };

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (s.len >= marks[i].n && memcmp(s.p, marks[i].bytes, marks[i].n) == 0) {
            *mark = marks[i].n;
            return marks[i].name;
        }
    *mark = 0;
    return NULL;
}

/* ---- Converting ---- */

static nx_status add_char(nx_buf *out, uint32_t cp, nx_error *err)
{
    char   bytes[4];
    size_t n = nx_utf8_encode(bytes, cp ? cp : 0xFFFD);

    return nx_buf_add(out, bytes, n, err);
}

/* Valid UTF-8 stays, other bytes are windows-1252's. *n_chars: characters of more than a byte that stayed. */
static nx_status mend_bytes(nx_buf *out, nx_str s, uint64_t *n_chars, uint64_t *n_bytes,
                            nx_error *err)
{
    size_t from = 0;

    for (size_t at = 0; at <= s.len;) {
        size_t   n = 1;
        uint32_t cp = at < s.len ? nx_utf8_decode(s.p + at, s.len - at, &n) : NX_UTF8_BAD;
        if (cp != NX_UTF8_BAD && cp != 0) {
            *n_chars += n > 1;
            at += n;
            continue;
        }
        nx_status st = nx_buf_add(out, s.p + from, at - from, err);
        if (st || at == s.len) return st;
        unsigned char b = (unsigned char)s.p[at];
        st = add_char(out, b >= 0x80 && b < 0xA0 ? cp1252[b - 0x80] : b, err);
        if (st) return st;
        (*n_bytes)++;
        from = ++at;
    }
    return NX_OK;
}

nx_status nx_text_convert(nx_buf *out, nx_str bytes, const char *charset, uint64_t *n_bad,
                          nx_error *err)
{
    iconv_t   cd = iconv_open("UTF-8", charset);
    char     *in = (char *)(uintptr_t)bytes.p, piece[4096];
    size_t    left = bytes.len;
    nx_status st = NX_OK;

    if (cd == (iconv_t)-1)
        return nx_fail(err, NX_EUNSUPPORTED, "the encoding \"%.24s\" is unknown here", charset);
    while (!st && left) {
        char  *to = piece;
        size_t room = sizeof piece, r = iconv(cd, &in, &left, &to, &room);
        int    why = errno;
        st = nx_buf_add(out, piece, (size_t)(to - piece), err);
        if (st || r != (size_t)-1 || why == E2BIG) continue;
        /* A byte that is none there: it is shown as such, and the next one may be. */
        (*n_bad)++;
        st = add_char(out, 0xFFFD, err);
        in++, left--;
    }
    iconv_close(cd);
    /* A NUL is a character of many encodings, and of no text. */
    for (size_t i = 0; i < out->len; i++)
        if (!out->data[i]) out->data[i] = ' ';
    return st;
}

/* ---- Reading ---- */

static bool is_binary(nx_str s)
{
    size_t n = s.len < SAMPLE ? s.len : SAMPLE, odd = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        odd += c < 32 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\b' && c != 27;
    }
    return odd > n / 50;
}

static nx_status keep_bytes(nx_doc *doc, nx_str bytes, const char *encoding, nx_error *err)
{
    snprintf(doc->encoding, sizeof doc->encoding, "%s", encoding);
    doc->origin = NX_ORIGIN_FILE;
    return nx_buf_add(&doc->text, bytes.p, bytes.len, err);
}

static nx_status mend(nx_doc *doc, nx_str bytes, nx_error *err)
{
    uint64_t  n_chars = 0, n_bytes = 0;
    nx_status st = mend_bytes(&doc->text, bytes, &n_chars, &n_bytes, err);

    doc->origin = NX_ORIGIN_TEXT;
    snprintf(doc->encoding, sizeof doc->encoding, "%s",
             n_chars > n_bytes ? "utf-8" : "windows-1252");
    if (!st && n_chars)
        st = nx_buf_addf(
            &doc->warnings, err,
            "mixed encodings: %llu bytes that are not UTF-8 were read as windows-1252\n",
            (unsigned long long)n_bytes);
    return st;
}

static nx_status convert(nx_doc *doc, nx_str bytes, const char *encoding, nx_error *err)
{
    uint64_t  n_bad = 0;
    nx_status st;

    doc->origin = NX_ORIGIN_TEXT;
    snprintf(doc->encoding, sizeof doc->encoding, "%s", encoding);
    st = nx_text_convert(&doc->text, bytes, encoding, &n_bad, err);
    if (!st && n_bad)
        st = nx_buf_addf(&doc->warnings, err, "%llu places are not valid %s\n",
                         (unsigned long long)n_bad, encoding);
    return st;
}

nx_status nx_text_read(nx_doc *doc, nx_str bytes, const nx_extract_limits *limits, size_t *begin,
                       nx_error *err)
{
    size_t      mark, bad_at;
    const char *encoding = by_mark(bytes, &mark);
    bool        zero = bytes.len && memchr(bytes.p, '\0', bytes.len) != NULL;

    doc->text.max = (size_t)limits->text_bytes;
    doc->warnings.max = 1 << 16;
    *begin = 0;
    if (encoding && mark != 3)
        return convert(doc, (nx_str){bytes.p + mark, bytes.len - mark}, encoding, err);
    if (!zero && nx_utf8_valid(bytes.p, bytes.len, &bad_at)) {
        if (is_binary(bytes)) return nx_fail(err, NX_EUNSUPPORTED, "it is not a text");
        *begin = mark;
        return keep_bytes(doc, bytes, "utf-8", err);
    }
    if (zero && (encoding = by_zeros(bytes)) != NULL) return convert(doc, bytes, encoding, err);
    if (zero || is_binary(bytes)) return nx_fail(err, NX_EUNSUPPORTED, "it is not a text");
    return mend(doc, bytes, err);
}
