/* folder_name.c - names and folders, both ways. */
#include "store/folder_name.h"

#include <string.h>

#include "base/utf8.h"
#include "store/store.h"

static bool plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

nx_status nx_folder_of(char *out, nx_str name, nx_error *err)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t            n = 0;

    if (name.len == 0 || name.len > NX_COLLECTION_NAME_MAX || memchr(name.p, 0, name.len) ||
        !nx_utf8_valid(name.p, name.len, NULL))
        return nx_fail(err, NX_EINVAL, "a collection's name is 1 to %d bytes of UTF-8",
                       NX_COLLECTION_NAME_MAX);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (n + 3 > NX_FOLDER_MAX)
            return nx_fail(err, NX_EINVAL, "collection %.*s: too long a name for a folder",
                           (int)name.len, name.p);
        if (plain(c)) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    out[n] = '\0';
    return NX_OK;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool nx_folder_name(char *out, const char *folder)
{
    char   again[NX_FOLDER_MAX + 1];
    size_t n = 0;

    if (strlen(folder) > NX_FOLDER_MAX) return false;
    for (const char *p = folder; *p; p++) {
        if (*p != '%') {
            out[n++] = *p;
            continue;
        }
        int hi = hex_value(p[1]), lo = hi < 0 ? -1 : hex_value(p[2]);
        if (lo < 0) return false;
        out[n++] = (char)(hi << 4 | lo);
        p += 2;
    }
    out[n] = '\0';
    return !nx_folder_of(again, (nx_str){out, n}, NULL) && strcmp(again, folder) == 0;
}
