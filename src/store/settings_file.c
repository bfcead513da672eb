/* settings_file.c - settings, framed by a head and a checksum. */
#include "store/settings_file.h"

#include <string.h>

#include "base/alloc.h"
#include "os/dir.h"
#include "store/record.h"
#include "store/whole.h"

enum { HEAD = NX_FRAME_HEAD + 16, PATH_CAP = 4096 };

static const char magic[8] = "NXSET\0\0\1";

static nx_status parse(const nx_settings **out, const uint8_t *p, size_t n, uint64_t incarnation,
                       const char *dir, nx_error *err)
{
    char      name[PATH_CAP];
    uint64_t  of, used;
    nx_status st;

    (void)nx_path_write(name, sizeof name, "%s/settings", dir);
    st = nx_frame_check(p, n, magic, name, err);
    if (st) return st;
    if (n < HEAD + NX_FRAME_TAIL) return nx_fail(err, NX_EFORMAT, "%s: too short", name);
    memcpy(&of, p + NX_FRAME_HEAD, 8);
    memcpy(&used, p + NX_FRAME_HEAD + 8, 8);
    if (of != incarnation) return nx_fail(err, NX_EFORMAT, "%s: of another collection", name);
    if (used > n - HEAD - NX_FRAME_TAIL)
        return nx_fail(err, NX_EFORMAT, "%s: byte 24: longer than the file", name);
    st = nx_settings_read(out, p + HEAD, (size_t)used, err);
    return st ? nx_fail_prefix(err, st, "%s", name) : NX_OK;
}

nx_status nx_settings_load(const nx_settings **out, nx_disk *disk, const char *dir,
                           uint64_t incarnation, nx_error *err)
{
    static const uint8_t none[16];
    void                *bytes;
    size_t               n;
    nx_status st = nx_whole_read(&bytes, &n, disk, dir, "settings", NX_SETTINGS_MAX, err);

    *out = NULL;
    if (st == NX_ENOENT) return nx_settings_read(out, none, sizeof none, err);
    if (!st) st = parse(out, bytes, n, incarnation, dir, err);
    nx_free(bytes);
    return st;
}

nx_status nx_settings_save(const nx_settings *s, nx_disk *disk, const char *dir,
                           uint64_t incarnation, bool *unclear, nx_error *err)
{
    nx_buf    b = {.max = NX_SETTINGS_MAX};
    uint64_t  fields[2] = {incarnation, 0};
    nx_status st = nx_frame_begin(&b, magic, err);

    *unclear = false;
    if (!st) st = nx_buf_add(&b, fields, sizeof fields, err);
    if (!st) st = nx_settings_write(&b, s, err);
    if (!st) {
        fields[1] = b.len - HEAD;
        memcpy(b.data + NX_FRAME_HEAD, fields, sizeof fields);
        st = nx_frame_end(&b, err);
    }
    if (!st) st = nx_whole_write(disk, dir, "settings", &b, unclear, err);
    nx_buf_free(&b);
    return st;
}
