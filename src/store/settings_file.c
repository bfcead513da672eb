/* settings_file.c - settings, framed by a head and a checksum. */
#include "store/settings_file.h"

#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "store/whole.h"

enum { HEAD = 32 };

static const char magic[8] = "NXSET\0\0\1";

static nx_status check_frame(const uint8_t *p, size_t n, uint64_t incarnation, const char *dir,
                             nx_error *err)
{
    uint64_t fields[3], crc;

    if (n < HEAD + 8 || memcmp(p, magic, 8) != 0)
        return nx_fail(err, NX_EFORMAT, "%s/settings: %zu bytes that are no settings. Truncated?",
                       dir, n);
    memcpy(fields, p + 8, sizeof fields);
    memcpy(&crc, p + n - 8, 8);
    if (fields[0] != n || crc != nx_crc32c(0, p, n - 8) || fields[2] > n - HEAD - 8 ||
        n - HEAD - 8 - fields[2] > 7)
        return nx_fail(err, NX_EFORMAT, "%s/settings: damaged: it doesn't have its checksum", dir);
    if (fields[1] != incarnation)
        return nx_fail(err, NX_EFORMAT, "%s/settings: of another collection", dir);
    return NX_OK;
}

nx_status nx_settings_load(const nx_settings **out, nx_disk *disk, const char *dir,
                           uint64_t incarnation, nx_error *err)
{
    static const uint8_t none[16];
    void                *bytes;
    size_t               n;
    uint64_t             used;
    nx_status st = nx_whole_read(&bytes, &n, disk, dir, "settings", NX_SETTINGS_MAX, err);

    *out = NULL;
    if (st == NX_ENOENT) return nx_settings_read(out, none, sizeof none, err);
    if (!st) st = check_frame(bytes, n, incarnation, dir, err);
    if (!st) {
        memcpy(&used, (uint8_t *)bytes + 24, 8);
        st = nx_settings_read(out, (uint8_t *)bytes + HEAD, (size_t)used, err);
        if (st) nx_fail_prefix(err, st, "%s", dir);
    }
    nx_free(bytes);
    return st;
}

nx_status nx_settings_save(const nx_settings *s, nx_disk *disk, const char *dir,
                           uint64_t incarnation, bool *unclear, nx_error *err)
{
    static const char zeros[HEAD];
    nx_buf            b = {.max = NX_SETTINGS_MAX};
    uint64_t          crc;
    nx_status         st = nx_buf_add(&b, zeros, HEAD, err);

    *unclear = false;
    if (!st) st = nx_settings_write(&b, s, err);
    uint64_t used = st ? 0 : b.len - HEAD;
    if (!st && b.len % 8) st = nx_buf_add(&b, zeros, 8 - b.len % 8, err);
    if (!st) {
        uint64_t fields[3] = {b.len + 8, incarnation, used};
        memcpy(b.data, magic, 8);
        memcpy(b.data + 8, fields, sizeof fields);
        crc = nx_crc32c(0, b.data, b.len);
        st = nx_buf_add(&b, &crc, 8, err);
    }
    if (!st) st = nx_whole_write(disk, dir, "settings", &b, unclear, err);
    nx_buf_free(&b);
    return st;
}
