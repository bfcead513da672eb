/* error.c - writes and extends error messages. Any thread: touches only its arguments. */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#undef nx_fail
#undef nx_fail_v
#undef nx_fail_prefix

/* vsnprintf may cut a UTF-8 character in half: drop the half. */
static void trim_half_character(char *s, size_t len)
{
    size_t start = len;

    while (start > 0 && ((unsigned char)s[start - 1] & 0xC0) == 0x80) start--;
    if (start == 0) return;
    unsigned char lead = (unsigned char)s[start - 1];
    size_t        want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (len - (start - 1) < want) s[start - 1] = '\0';
}

nx_status nx_fail_v(nx_error *err, nx_status st, const char *fmt, va_list args)
{
    if (!err) return st;
    err->status = st;
    err->text[0] = '\0';
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    if (n >= (int)sizeof err->text) trim_half_character(err->text, sizeof err->text - 1);
    return st;
}

nx_status nx_fail(nx_error *err, nx_status st, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    st = nx_fail_v(err, st, fmt, args);
    va_end(args);
    return st;
}

nx_status nx_fail_prefix(nx_error *err, nx_status st, const char *fmt, ...)
{
    char    tail[sizeof err->text];
    va_list args;

    if (!err) return st;
    memcpy(tail, err->text, sizeof tail);
    va_start(args, fmt);
    nx_fail_v(err, st, fmt, args);
    va_end(args);
    size_t len = strlen(err->text);
    int    n = snprintf(err->text + len, sizeof err->text - len, ": %s", tail);
    if (n >= (int)(sizeof err->text - len)) trim_half_character(err->text, sizeof err->text - 1);
    return st;
}

const char *nx_status_name(nx_status st)
{
    switch (st) {
#define X(name, text)                                                                              \
    case NX_##name: return #name;
        NX_STATUS_TABLE(X)
#undef X
    }
    return "?";
}

const char *nx_status_text(nx_status st)
{
    switch (st) {
#define X(name, text)                                                                              \
    case NX_##name: return text;
        NX_STATUS_TABLE(X)
#undef X
    }
    return "unknown status";
}
