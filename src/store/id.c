/* id.c - ids read and written. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "store/point.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static nx_str without_frame(nx_str s)
{
    if (s.len >= 2 && s.p[0] == '{' && s.p[s.len - 1] == '}') return (nx_str){s.p + 1, s.len - 2};
    if (s.len >= 9 && memcmp(s.p, "urn:uuid:", 9) == 0) return (nx_str){s.p + 9, s.len - 9};
    return s;
}

nx_status nx_id_parse_uuid(nx_point_id *out, nx_str text, nx_error *err)
{
    nx_str   s = without_frame(text);
    bool     hyphens = s.len == 36, ok = hyphens || s.len == 32;
    uint64_t half[2] = {0};
    int      n = 0;

    for (size_t i = 0; ok && i < s.len; i++) {
        if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23)) {
            ok = s.p[i] == '-';
            continue;
        }
        int d = hex(s.p[i]);
        ok = d >= 0;
        if (ok) half[n / 16] = half[n / 16] << 4 | (uint64_t)d;
        n++;
    }
    if (!ok)
        return nx_fail(err, NX_EINVAL, "\"%.*s\" is no UUID (and no number)",
                       (int)(text.len < 64 ? text.len : 64), text.p);
    *out = (nx_point_id){half[0], half[1], 1};
    return NX_OK;
}

char *nx_id_write(char out[NX_ID_TEXT], nx_point_id id)
{
    if (!id.is_uuid) {
        snprintf(out, NX_ID_TEXT, "%llu", (unsigned long long)id.lo);
        return out;
    }
    snprintf(out, NX_ID_TEXT, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(id.hi >> 32),
             (unsigned)(id.hi >> 16 & 0xFFFF), (unsigned)(id.hi & 0xFFFF),
             (unsigned)(id.lo >> 48 & 0xFFFF), (unsigned long long)(id.lo & 0xFFFFFFFFFFFFu));
    return out;
}
