/* archive.c - zip members through libarchive. */
#include "rag/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "format/printable.h"

#define FREE_BYTES ((uint64_t)1 << 20) /* unpacked before the ratio counts */
#define PATH_BYTES 4096

typedef struct member {
    size_t name, name_len; /* in names */
} member;

struct nx_archive {
    nx_str                   bytes;
    const nx_extract_limits *limits;
    nx_watch                *watch;
    struct archive          *zip;
    size_t                   at; /* the next header is that of member `at` */
    uint64_t                 unpacked;
    member                  *members; /* [n] */
    size_t                   n, cap;
    nx_buf                   names;
};

static nx_status damaged(nx_archive *a, nx_error *err)
{
    const char *why = archive_error_string(a->zip);
    char        shown[160];

    if (!why) why = "its list of files is broken";
    return nx_fail(err, NX_EFORMAT, "damaged archive: %s",
                   nx_printable(shown, sizeof shown, (nx_str){why, strcspn(why, "\n")}));
}

/* Stand before the first member. */
static nx_status rewind_zip(nx_archive *a, nx_error *err)
{
    if (a->zip) archive_read_free(a->zip);
    a->at = 0;
    a->zip = archive_read_new();
    if (!a->zip) return nx_fail(err, NX_ENOMEM, "archive");
    archive_read_support_format_zip_seekable(a->zip);
    if (archive_read_open_memory(a->zip, a->bytes.p, a->bytes.len) != ARCHIVE_OK)
        return damaged(a, err);
    return NX_OK;
}

/* The next header; *e NULL: there is none. */
static nx_status next(nx_archive *a, struct archive_entry **e, nx_error *err)
{
    nx_status st = nx_watch_often(a->watch, err);
    if (st) return st;
    /* A member's time goes through mktime, which looks after the zone of the whole process: the C library has a lock
     * for that, which the thread sanitizer can't see. */
    static pthread_mutex_t zone = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&zone);
    int rc = archive_read_next_header(a->zip, e);
    pthread_mutex_unlock(&zone);
    if (rc == ARCHIVE_EOF) {
        *e = NULL;
        return NX_OK;
    }
    if (rc < ARCHIVE_WARN) return damaged(a, err);
    a->at++;
    return NX_OK;
}

static nx_status add_member(nx_archive *a, const char *name, nx_error *err)
{
    size_t len = strlen(name);

    if (a->n >= (size_t)(a->limits->members > 0 ? a->limits->members : 0))
        return nx_fail(err, NX_ELIMIT, "an archive of more than %d files (the limit)",
                       a->limits->members);
    if (len > PATH_BYTES)
        return nx_fail(err, NX_EFORMAT, "damaged archive: a name of %zu bytes", len);
    if (a->n == a->cap) {
        size_t  cap = a->cap ? a->cap * 2 : 64;
        member *grown = nx_realloc(a->members, cap, sizeof *grown);
        if (!grown) return nx_fail(err, NX_ENOMEM, "archive");
        a->members = grown;
        a->cap = cap;
    }
    a->members[a->n++] = (member){a->names.len, len};
    return nx_buf_add(&a->names, name, len, err);
}

static nx_status list(nx_archive *a, nx_error *err)
{
    for (;;) {
        struct archive_entry *e;
        nx_status             st = next(a, &e, err);
        if (st || !e) return st;
        const char *name = archive_entry_pathname_utf8(e);
        if (!name) name = archive_entry_pathname(e);
        st = add_member(a, name ? name : "", err);
        if (st) return st;
    }
}

nx_status nx_archive_open(nx_archive **out, nx_str bytes, const nx_extract_limits *limits,
                          nx_watch *watch, nx_error *err)
{
    nx_archive *a = nx_calloc(1, sizeof *a);
    nx_status   st;

    if (!a) return nx_fail(err, NX_ENOMEM, "archive");
    a->bytes = bytes;
    a->limits = limits;
    a->watch = watch;
    a->names.max = (size_t)64 << 20;
    st = rewind_zip(a, err);
    if (!st) st = list(a, err);
    if (!st && a->n == 0) st = nx_fail(err, NX_EFORMAT, "an archive without files");
    if (!st) st = rewind_zip(a, err);
    if (st) {
        nx_archive_close(a);
        a = NULL;
    }
    *out = a;
    return st;
}

void nx_archive_close(nx_archive *a)
{
    if (!a) return;
    if (a->zip) archive_read_free(a->zip);
    nx_buf_free(&a->names);
    nx_free(a->members);
    nx_free(a);
}

/* The first member of that name, or n. */
static size_t find(const nx_archive *a, nx_str name)
{
    for (size_t i = 0; i < a->n; i++) {
        const member *m = &a->members[i];
        if (m->name_len == name.len && name.len &&
            memcmp(a->names.data + m->name, name.p, name.len) == 0)
            return i;
    }
    return a->n;
}

bool nx_archive_has(const nx_archive *a, nx_str name)
{
    return find(a, name) < a->n;
}

/* n more bytes came out: is it still in proportion? */
static nx_status count(nx_archive *a, size_t n, nx_error *err)
{
    uint64_t ratio = a->limits->ratio ? a->limits->ratio : 1;

    a->unpacked += n;
    if (a->unpacked > FREE_BYTES && a->unpacked / ratio > a->bytes.len)
        return nx_fail(err, NX_ELIMIT,
                       "unpacks to more than %llu times its %zu bytes (the limit): a zip bomb?",
                       (unsigned long long)ratio, a->bytes.len);
    return nx_watch_check(a->watch, err);
}

static nx_status unpack(nx_archive *a, nx_buf *out, nx_str name, nx_error *err)
{
    char shown[160];

    for (;;) {
        const size_t piece = 65536;
        char        *room = nx_buf_room(out, piece, err);
        if (!room && out->len + piece > out->max)
            return nx_fail(err, NX_ELIMIT, "%s in it unpacks to more than %llu bytes (the limit)",
                           nx_printable(shown, sizeof shown, name),
                           (unsigned long long)a->limits->text_bytes);
        if (!room) return nx_fail(err, NX_ENOMEM, "archive");
        la_ssize_t n = archive_read_data(a->zip, room, piece);
        if (n == ARCHIVE_RETRY) continue;
        if (n < 0) return damaged(a, err);
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (n == 0) return NX_OK;
        nx_status st = count(a, (size_t)n, err);
        if (st) return st;
    }
}

/* Office files and books are packed by deflate, or not at all. What else libarchive knows may ask for gigabytes
 * before it gives the first byte (lzma's dictionaries). */
static nx_status check_packing(nx_archive *a, struct archive_entry *e, nx_error *err)
{
    const char *how = archive_format_name(a->zip);

    if (archive_entry_is_encrypted(e))
        return nx_fail(err, NX_EUNSUPPORTED, "encrypted: needs a password");
    if (how && (strstr(how, "(deflation)") || strstr(how, "(uncompressed)"))) return NX_OK;
    return nx_fail(err, NX_EFORMAT,
                   "damaged archive: packed in a way that these files never are (%.40s)",
                   how ? how : "unknown");
}

nx_status nx_archive_read(nx_archive *a, nx_buf *out, nx_str name, nx_error *err)
{
    char                  shown[160];
    size_t                want = find(a, name);
    struct archive_entry *e = NULL;
    nx_status             st = NX_OK;

    nx_buf_clear(out);
    out->max =
        (a->limits->text_bytes < SIZE_MAX / 2 ? (size_t)a->limits->text_bytes : SIZE_MAX / 2) +
        65537;
    if (want == a->n)
        return nx_fail(err, NX_ENOENT, "the archive has no %s",
                       nx_printable(shown, sizeof shown, name));
    if (a->at > want) st = rewind_zip(a, err);
    while (!st && a->at <= want) {
        st = next(a, &e, err);
        if (!st && !e) st = nx_fail(err, NX_EFORMAT, "damaged archive: its list of files changed");
    }
    if (!st) st = check_packing(a, e, err);
    return st ? st : unpack(a, out, name, err);
}

/* ---- Paths ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* One step of a path, "..", "." and "" among them. */
static nx_status step(nx_buf *out, const char *p, size_t n, nx_error *err)
{
    if (n == 0 || (n == 1 && p[0] == '.')) return NX_OK;
    if (n == 2 && p[0] == '.' && p[1] == '.') {
        while (out->len && out->data[out->len - 1] != '/') out->len--;
        if (out->len) out->len--;
        return NX_OK;
    }
    nx_status st = out->len ? nx_buf_add(out, "/", 1, err) : NX_OK;
    return st ? st : nx_buf_add(out, p, n, err);
}

static nx_status steps(nx_buf *out, const char *p, size_t n, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0, j; i <= n && !st; i = j + 1) {
        for (j = i; j < n && p[j] != '/'; j++) continue;
        st = step(out, p + i, j - i, err);
    }
    return st;
}

static nx_status unescape(nx_buf *out, nx_str s, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0; i < s.len && s.p[i] != '#' && s.p[i] != '?' && !st; i++) {
        char c = s.p[i];
        if (c == '%' && i + 2 < s.len && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            c = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
            i += 2;
        }
        st = nx_buf_add(out, &c, 1, err);
    }
    return st;
}

nx_status nx_archive_resolve(nx_buf *out, nx_str from, nx_str target, bool url, nx_error *err)
{
    nx_buf    plain = {.max = PATH_BYTES};
    size_t    dir = from.len;
    nx_status st = NX_OK;

    nx_buf_clear(out);
    if (!out->max) out->max = 3 * PATH_BYTES;
    if (url) {
        st = unescape(&plain, target, err);
        target = plain.len ? (nx_str){plain.data, plain.len} : NX_STR("");
    }
    while (dir && from.p[dir - 1] != '/') dir--;
    if (!st && !(target.len && target.p[0] == '/')) st = steps(out, from.p, dir, err);
    if (!st) st = steps(out, target.p, target.len, err);
    if (!st) st = nx_buf_add(out, "", 0, err);
    if (!st && out->data) out->data[out->len] = '\0';
    nx_buf_free(&plain);
    return st;
}
