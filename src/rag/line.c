/* line.c - a text read line by line. */
#include <string.h>

#include "rag/extract_in.h"

bool nx_line_at(nx_line *out, nx_str text, size_t at)
{
    const char *nl;

    if (at >= text.len) return false;
    nl = memchr(text.p + at, '\n', text.len - at);
    *out = (nx_line){.begin = at};
    out->end = nl ? (size_t)(nl - text.p) : text.len;
    out->next = nl ? out->end + 1 : text.len;
    if (out->end > at && text.p[out->end - 1] == '\r') out->end--;
    for (out->first = at; out->first < out->end; out->first++) {
        char c = text.p[out->first];
        if (c == '\t')
            out->indent += 4 - out->indent % 4;
        else if (c == ' ' || c == '\r' || c == '\f' || c == '\v')
            out->indent++;
        else
            break;
    }
    return true;
}

size_t nx_line_bullet(nx_str text, const nx_line *l)
{
    const char *s = text.p + l->first;
    size_t      n = l->end - l->first, at = 0;

    if (!n) return 0;
    if (s[0] == '-' || s[0] == '*' || s[0] == '+') {
        at = 1;
    } else {
        while (at < n && at < 9 && s[at] >= '0' && s[at] <= '9') at++;
        if (!at || at == n || (s[at] != '.' && s[at] != ')')) return 0;
        at++;
    }
    return at < n && (s[at] == ' ' || s[at] == '\t') ? at + 1 : 0;
}
