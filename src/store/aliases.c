/* aliases.c - a sorted list of names, read and written. */
#include "store/aliases.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "os/dir.h"
#include "store/folder_name.h"
#include "store/record.h"
#include "store/whole.h"

enum { PATH_CAP = 4096 };

#define ALIASES_BYTES_MAX ((size_t)16 << 20)

static const char magic[8] = "NXALI\0\0\1";

void nx_aliases_free(nx_aliases *a)
{
    nx_free(a->list);
    *a = (nx_aliases){0};
}

static int by_text(nx_str a, nx_str b)
{
    int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int by_alias(const void *pa, const void *pb)
{
    return by_text(((const nx_alias_pair *)pa)->alias, ((const nx_alias_pair *)pb)->alias);
}

const char *nx_aliases_find(const nx_aliases *a, nx_str alias)
{
    size_t lo = 0, hi = a->n;

    if (alias.len == 0) return NULL;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int    c = by_text(nx_str_of(a->list[mid].alias), alias);
        if (c == 0) return a->list[mid].collection;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static char *add_name(char **at, nx_str s)
{
    char *name = *at;

    memcpy(name, s.p, s.len);
    name[s.len] = '\0';
    *at += s.len + 1;
    return name;
}

nx_status nx_aliases_make(nx_aliases *out, nx_alias_pair *pairs, size_t n, nx_error *err)
{
    size_t bytes = n * sizeof *out->list;

    *out = (nx_aliases){0};
    if (n == 0) return NX_OK;
    for (size_t i = 0; i < n; i++) bytes += pairs[i].alias.len + pairs[i].collection.len + 2;
    out->list = nx_alloc(bytes, 1);
    if (!out->list) return nx_fail(err, NX_ENOMEM, "a list of aliases");
    qsort(pairs, n, sizeof *pairs, by_alias);
    char *at = (char *)(out->list + n);
    for (; out->n < n; out->n++) {
        out->list[out->n].alias = add_name(&at, pairs[out->n].alias);
        out->list[out->n].collection = add_name(&at, pairs[out->n].collection);
    }
    return NX_OK;
}

/* ---- The file ---- */

static bool is_name(nx_str s)
{
    char folder[NX_FOLDER_MAX + 1];

    return !nx_folder_of(folder, s, NULL);
}

static nx_status read_pairs(nx_aliases *out, nx_alias_pair *pairs, uint32_t n, nx_record r,
                            const char *name, nx_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        pairs[i].alias = nx_record_text(&r);
        pairs[i].collection = nx_record_text(&r);
        if (r.bad || !is_name(pairs[i].alias) || !is_name(pairs[i].collection) ||
            (i && by_alias(&pairs[i - 1], &pairs[i]) >= 0))
            return nx_fail(err, NX_EFORMAT, "%s: alias %u: none can be so", name, i);
    }
    return nx_aliases_make(out, pairs, n, err);
}

nx_status nx_aliases_parse(nx_aliases *out, const void *bytes, size_t n, const char *name,
                           nx_error *err)
{
    nx_status st = nx_frame_check(bytes, n, magic, name, err);

    *out = (nx_aliases){0};
    if (st) return st;
    nx_record r = {(const uint8_t *)bytes + NX_FRAME_HEAD, n - NX_FRAME_HEAD - NX_FRAME_TAIL,
                   false};
    uint32_t  n_pairs = nx_record_u32(&r);
    if (n_pairs > NX_ALIASES_MAX || n_pairs > r.left / 8)
        return nx_fail(err, NX_EFORMAT, "%s: byte %d: %u aliases", name, NX_FRAME_HEAD, n_pairs);
    nx_alias_pair *pairs = nx_alloc((size_t)n_pairs + 1, sizeof *pairs);
    if (!pairs) return nx_fail(err, NX_ENOMEM, "%u aliases", n_pairs);
    st = read_pairs(out, pairs, n_pairs, r, name, err);
    nx_free(pairs);
    return st;
}

nx_status nx_aliases_load(nx_aliases *out, nx_disk *disk, const char *dir, nx_error *err)
{
    char      name[PATH_CAP];
    void     *bytes;
    size_t    n;
    nx_error  why = {0};
    nx_status st = nx_whole_read(&bytes, &n, disk, dir, ".aliases", ALIASES_BYTES_MAX, &why);

    *out = (nx_aliases){0};
    (void)nx_path_write(name, sizeof name, "%s/.aliases", dir);
    if (!st) st = nx_aliases_parse(out, bytes, n, name, &why);
    nx_free(bytes);
    if (st == NX_ENOENT) return NX_OK;
    if (st == NX_EFORMAT) {
        out->why = why;
        return NX_OK;
    }
    if (st && err) *err = why;
    return st;
}

nx_status nx_aliases_save(const nx_aliases *a, nx_disk *disk, const char *dir, nx_error *err)
{
    nx_buf    b = {.max = ALIASES_BYTES_MAX};
    uint32_t  n = (uint32_t)a->n;
    nx_status st = nx_frame_begin(&b, magic, err);

    if (!st) st = nx_buf_add(&b, &n, sizeof n, err);
    for (uint32_t i = 0; !st && i < n; i++) {
        st = nx_record_add_text(&b, nx_str_of(a->list[i].alias), err);
        if (!st) st = nx_record_add_text(&b, nx_str_of(a->list[i].collection), err);
    }
    if (!st) st = nx_frame_end(&b, err);
    if (!st) st = nx_whole_write(disk, dir, ".aliases", &b, NULL, err);
    nx_buf_free(&b);
    return st;
}
