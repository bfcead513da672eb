/* printable.c - bytes from a file, made safe for a message. Any thread. */
#include "format/printable.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* One character of s[0..len) to out[5]: itself, or \xNN. Returns the bytes written; *used is
 * how many bytes of s it stands for. */
static size_t show_one(char *out, const char *s, size_t len, size_t *used)
{
    uint32_t cp = nx_utf8_decode(s, len, used);

    if (cp != NX_UTF8_BAD && cp >= 0x20 && (cp < 0x7F || cp > 0x9F)) {
        memcpy(out, s, *used);
        return *used;
    }
    *used = 1; /* of a C1 control character the lead byte; its tail comes next, as bad UTF-8 */
    return (size_t)snprintf(out, 5, "\\x%02X", (unsigned)(unsigned char)s[0]);
}

const char *nx_printable(char *out, size_t cap, nx_str s)
{
    size_t at = 0, len = 0, used;
    size_t cut = 0; /* the longest beginning that leaves room for "..." */
    char   one[8];

    while (at < s.len) {
        size_t n = show_one(one, s.p + at, s.len - at, &used);
        if (len + n + 1 > cap) {
            memcpy(out + cut, "...", 4);
            return out;
        }
        memcpy(out + len, one, n);
        len += n;
        at += used;
        if (len + 4 <= cap) cut = len;
    }
    out[len] = '\0';
    return out;
}

const char *nx_printable_path(char *out, size_t cap, const char *path)
{
    size_t len = strlen(path);

    if (len < cap) return nx_printable(out, cap, nx_str_of(path));
    const char *tail = path + (len - (cap - 4));
    while (((unsigned char)*tail & 0xC0) == 0x80) tail++; /* not in the middle of a character */
    memcpy(out, "...", 3);
    nx_printable(out + 3, cap - 3, nx_str_of(tail));
    return out;
}
