/* handle_snapshots.c - snapshots of collections: files of our own format, made, listed, fetched, dropped,
 * and collections made from them.
 *
 *     DATA/snapshots/COLLECTION/NAME.snapshot            docs/formats/snapshot.md
 *     DATA/snapshots/COLLECTION/NAME.snapshot.sha256     its checksum, 64 hexadecimal digits
 *
 * Names in paths never lead elsewhere: a collection's is spelled as its folder's in the store, a
 * snapshot's has no slash and ends in .snapshot.
 * Thread: the store's desk, but for the bytes of a file that is fetched: the I/O thread reads them as the
 * socket takes them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/digest.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/file.h"
#include "server/handlers.h"
#include "server/qdrant.h"
#include "server/server_in.h"
#include "server/webform.h"
#include "store/folder_name.h"

#define PATH_CAP  4096
#define PIECE_MAX ((size_t)256 << 10)
#define HEX_CAP   65
#define SUFFIX    ".snapshot"

/* ---- Names ---- */

static nx_status folder_of(char out[PATH_CAP], const nx_call *c, nx_str collection, nx_error *err)
{
    char      folder[NX_FOLDER_MAX + 1];
    nx_status st = nx_folder_of(folder, collection, err);

    if (st) return st;
    if (nx_path_write(out, PATH_CAP, "%s/snapshots/%s", c->server->dir.path, folder)) return NX_OK;
    return nx_fail(err, NX_ELIMIT, "the data folder's path is too long");
}

static bool is_snapshot(nx_str name)
{
    size_t n = sizeof SUFFIX - 1;

    return name.len > n && name.len < 600 && name.p[0] != '.' &&
           memcmp(name.p + name.len - n, SUFFIX, n) == 0 && !memchr(name.p, '/', name.len) &&
           !memchr(name.p, 0, name.len);
}

static nx_status not_there(nx_str name, nx_error *err)
{
    return nx_fail(err, NX_ENOENT, "Not found: Snapshot %.*s not found",
                   (int)(name.len < 300 ? name.len : 300), name.p);
}

/* The file of a snapshot that is there. */
static nx_status file_of(char out[PATH_CAP], const nx_call *c, nx_str collection, nx_str name,
                         nx_error *err)
{
    char      folder[PATH_CAP];
    nx_status st = folder_of(folder, c, collection, err);

    if (st) return st;
    if (!is_snapshot(name) ||
        !nx_path_write(out, PATH_CAP, "%s/%.*s", folder, (int)name.len, name.p) ||
        !nx_file_exists(out))
        return not_there(name, err);
    return NX_OK;
}

/* "docs-1795648512345-2026-11-25-23-15-12.snapshot": no two are made in one millisecond. */
static nx_status new_file(char out[PATH_CAP], const nx_call *c, nx_str collection, nx_error *err)
{
    char      folder[PATH_CAP], name[NX_FOLDER_MAX + 1];
    int64_t   ms = nx_clock_unix_ms();
    time_t    s = (time_t)(ms / 1000);
    struct tm t;
    nx_status st = folder_of(folder, c, collection, err);

    if (!st) st = nx_folder_of(name, collection, err);
    if (!st) st = nx_dir_make(folder, err);
    if (st) return st;
    gmtime_r(&s, &t);
    if (nx_path_write(out, PATH_CAP, "%s/%.180s-%lld-%04d-%02d-%02d-%02d-%02d-%02d" SUFFIX, folder,
                      name, (long long)ms, t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                      t.tm_min, t.tm_sec))
        return NX_OK;
    return nx_fail(err, NX_ELIMIT, "the data folder's path is too long");
}

/* ---- What is told of one ---- */

static void hex_of(char out[HEX_CAP], const uint8_t *sha256)
{
    for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", sha256[i]);
}

static bool checksum_path(char out[PATH_CAP], const char *path)
{
    return nx_path_write(out, PATH_CAP, "%s.sha256", path);
}

static void read_checksum(char out[HEX_CAP], const char *path)
{
    char   beside[PATH_CAP];
    nx_buf text = {.max = HEX_CAP - 1};

    out[0] = '\0';
    if (checksum_path(beside, path) && nx_file_read_all(&text, beside, NULL) == NX_OK &&
        text.len == HEX_CAP - 1)
        memcpy(out, text.data, HEX_CAP);
    nx_buf_free(&text);
}

static nx_status write_checksum(const char *path, const char *hex, nx_error *err)
{
    char        beside[PATH_CAP];
    nx_file_out f;
    nx_status   st;

    if (!checksum_path(beside, path)) return nx_fail(err, NX_ELIMIT, "a path too long");
    st = nx_file_out_open(&f, beside, err);
    if (st) return st;
    st = nx_fd_write_all(f.fd, hex, HEX_CAP - 1, beside, err);
    if (!st) return nx_file_out_commit(&f, err);
    nx_file_out_abort(&f);
    return st;
}

static void write_one(nx_jw *w, const char *key, const char *path)
{
    struct stat s;
    struct tm   t;
    char        when[32] = "", checksum[HEX_CAP];

    if (stat(path, &s) != 0) memset(&s, 0, sizeof s);
    gmtime_r(&s.st_mtime, &t);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &t);
    read_checksum(checksum, path);
    nx_jw_open(w, key, '{');
    nx_jw_text(w, "name", strrchr(path, '/') + 1);
    nx_jw_text(w, "creation_time", when);
    nx_jw_int(w, "size", (int64_t)s.st_size);
    if (*checksum)
        nx_jw_text(w, "checksum", checksum);
    else
        nx_jw_null(w, "checksum");
    nx_jw_close(w, '}');
}

/* ---- Making and listing ---- */

static nx_status make(char path[PATH_CAP], nx_call *c, nx_collection *coll, nx_error *err)
{
    nx_export_report report;
    char             hex[HEX_CAP];
    nx_status        st = new_file(path, c, nx_collection_name(coll), err);

    if (!st) st = nx_collection_export(coll, path, NULL, NULL, &report, err);
    if (st) return st;
    hex_of(hex, report.sha256);
    return write_checksum(path, hex, err);
}

static void create_snapshot(nx_call *c)
{
    nx_collection *coll = nx_qd_collection(c, NX_RIGHT_MANAGE);
    char           path[PATH_CAP];
    nx_error       err;
    nx_jw          w;

    if (!coll) return;
    nx_status st = make(path, c, coll, &err);
    nx_collection_release(coll);
    if (st) {
        nx_qd_refuse_error(c, &err);
        return;
    }
    nx_qd_open(&w);
    write_one(&w, NX_QD_RESULT, path);
    nx_qd_reply(c, 200, &w);
}

void nx_handle_qd_snapshot_create(nx_call *c)
{
    nx_qd_start(c, create_snapshot);
}

static nx_status write_list(nx_jw *w, const nx_call *c, nx_str collection, nx_error *err)
{
    char      folder[PATH_CAP], path[PATH_CAP], **names;
    size_t    n;
    nx_status st = folder_of(folder, c, collection, err);

    if (!st) st = nx_dir_list(&names, &n, folder, err);
    if (st) return st;
    nx_jw_open(w, NX_QD_RESULT, '[');
    for (size_t i = 0; i < n; i++)
        if (is_snapshot(nx_str_of(names[i])) &&
            nx_path_write(path, PATH_CAP, "%s/%s", folder, names[i]))
            write_one(w, NULL, path);
    nx_jw_close(w, ']');
    nx_free(names);
    return NX_OK;
}

static void list_snapshots(nx_call *c)
{
    nx_collection *coll = nx_qd_collection(c, NX_RIGHT_MANAGE);
    nx_error       err;
    nx_jw          w;

    if (!coll) return;
    nx_qd_open(&w);
    nx_status st = write_list(&w, c, nx_collection_name(coll), &err);
    nx_collection_release(coll);
    if (!st) {
        nx_qd_reply(c, 200, &w);
        return;
    }
    nx_buf_free(&w.buf);
    nx_qd_refuse_error(c, &err);
}

void nx_handle_qd_snapshots(nx_call *c)
{
    nx_qd_start(c, list_snapshots);
}

/* ---- Fetching and dropping ---- */

typedef struct fetching {
    char  path[PATH_CAP];
    off_t at;
} fetching;

/* The file is opened for each piece: nothing is left to close when the client leaves. */
static nx_fill fill(void *ctx, nx_buf *out, size_t room)
{
    fetching *f = ctx;
    size_t    want = room && room < PIECE_MAX ? room : PIECE_MAX;
    char     *to = nx_buf_room(out, want, NULL);
    int       fd = to ? open(f->path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t   n = fd < 0 ? -1 : pread(fd, to, want, f->at);

    if (fd >= 0) close(fd);
    if (n < 0) return NX_FILL_BREAK;
    if (n == 0) return NX_FILL_END;
    out->len += (size_t)n;
    out->data[out->len] = '\0';
    f->at += n;
    return NX_FILL_MORE;
}

static nx_status find_file(char path[PATH_CAP], nx_call *c, nx_collection *coll, nx_error *err)
{
    return file_of(path, c, nx_collection_name(coll), c->params[1], err);
}

static void fetch_snapshot(nx_call *c)
{
    nx_collection *coll = nx_qd_collection(c, NX_RIGHT_MANAGE);
    fetching      *f = nx_arena_alloc(&c->kept, 1, sizeof *f);
    nx_error       err;

    if (!coll) return;
    nx_status st = f ? find_file(f->path, c, coll, &err) : nx_fail(&err, NX_ENOMEM, "a path");
    nx_collection_release(coll);
    if (!st) st = nx_exchange_stream(c->x, 200, "application/octet-stream", fill, f, &err);
    if (st) nx_qd_refuse_error(c, &err);
}

void nx_handle_qd_snapshot(nx_call *c)
{
    nx_qd_start(c, fetch_snapshot);
}

static nx_status drop(nx_call *c, nx_collection *coll, nx_error *err)
{
    char      path[PATH_CAP], beside[PATH_CAP];
    nx_status st = find_file(path, c, coll, err);

    if (!st) st = nx_dir_remove_all(path, err);
    if (!st && checksum_path(beside, path)) st = nx_dir_remove_all(beside, err);
    return st;
}

static void drop_snapshot(nx_call *c)
{
    nx_collection *coll = nx_qd_collection(c, NX_RIGHT_MANAGE);
    nx_error       err;

    if (!coll) return;
    nx_status st = drop(c, coll, &err);
    nx_collection_release(coll);
    if (st)
        nx_qd_refuse_error(c, &err);
    else
        nx_qd_reply_bool(c, true);
}

void nx_handle_qd_snapshot_drop(nx_call *c)
{
    nx_qd_start(c, drop_snapshot);
}

/* ---- Collections from snapshots ---- */

static nx_status check_sum(const char *path, const nx_json *checksum, nx_error *err)
{
    char        hex[NX_DIGEST_HEX_MAX];
    nx_digest   d = {0};
    nx_file_map map = {0};
    nx_status   st;

    if (nx_json_absent(checksum)) return NX_OK;
    st = nx_digest_begin(&d, NX_DIGEST_SHA256, err);
    if (!st) st = nx_file_map_open(&map, path, err);
    if (!st) nx_digest_add(&d, map.data, map.bytes);
    nx_file_map_close(&map);
    if (st) {
        nx_digest_abort(&d);
        return st;
    }
    nx_digest_end(&d, hex);
    if (nx_json_is(checksum, hex)) return NX_OK;
    return nx_fail(err, NX_EINVAL, NX_QD_WRONG "Snapshot checksum mismatch: it is %s", hex);
}

/* A file that isn't what it should be is the sender's fault, not ours. */
static nx_status import(nx_call *c, const char *path, nx_error *err)
{
    nx_status st = nx_store_import_collection(c->server->vault.store, c->params[0], path, true,
                                              NULL, NULL, err);

    if (st != NX_EFORMAT) return st;
    err->status = NX_EINVAL;
    return NX_EINVAL;
}

static bool may_replace(nx_call *c)
{
    nx_collection *coll = NULL;
    nx_str         name = c->params[0];

    /* By an alias, the collection itself would stay as it is. */
    if (nx_store_find(&coll, c->server->vault.store, name, NULL) == NX_OK)
        name = nx_collection_name(coll);
    bool ok = nx_rights_allow(c, name, NX_RIGHT_MANAGE) &&
              nx_rights_allow(c, c->params[0], NX_RIGHT_MANAGE);
    nx_collection_release(coll);
    if (!ok) nx_call_refuse(c, 403, NULL, NULL, -1, "Forbidden: this key may not do that");
    return ok;
}

/* "file:///.../docs-1.snapshot": of the folder that snapshots are made in, and of no other. */
static nx_status locate(char path[PATH_CAP], nx_call *c, nx_str location, nx_error *err)
{
    const char       *root = c->server->dir.path;
    size_t            n = strlen(root);
    static const char scheme[] = "file://", folder[] = "/snapshots/";

    if (location.len > sizeof scheme - 1 && !memcmp(location.p, scheme, sizeof scheme - 1)) {
        location.p += sizeof scheme - 1;
        location.len -= sizeof scheme - 1;
    } else if (location.len > 4 && !memcmp(location.p, "http", 4)) {
        return nx_fail(err, NX_EUNSUPPORTED, "not supported: a snapshot from http(s); upload it");
    }
    if (!nx_path_write(path, PATH_CAP, "%.*s", (int)location.len, location.p) ||
        strstr(path, "/.") || strncmp(path, root, n) != 0 ||
        strncmp(path + n, folder, sizeof folder - 1) != 0)
        return nx_fail(err, NX_EINVAL,
                       NX_QD_WRONG "location: expected a snapshot of this server, "
                                   "file://%s/snapshots/...",
                       root);
    return nx_file_exists(path) ? NX_OK : not_there(location, err);
}

/* The folder's name says whose snapshot it is: a key that may not manage that one can't read it by
 * restoring it as another. */
static bool may_read(const nx_call *c, const char *path)
{
    char        folder[NX_FOLDER_MAX + 1], name[NX_FOLDER_MAX + 1];
    const char *from = path + strlen(c->server->dir.path) + sizeof "/snapshots/" - 1;
    size_t      n = strcspn(from, "/");

    if (n > NX_FOLDER_MAX) return false;
    memcpy(folder, from, n);
    folder[n] = '\0';
    return nx_folder_name(name, folder) && nx_rights_allow(c, nx_str_of(name), NX_RIGHT_MANAGE);
}

static void recover(nx_call *c)
{
    char      path[PATH_CAP];
    nx_error  err;
    nx_status st = locate(path, c, nx_field_string(c->route->request, c->body, "location"), &err);

    if (!may_replace(c)) return;
    if (!st && !may_read(c, path)) {
        nx_call_refuse(c, 403, NULL, NULL, -1, "Forbidden: this key may not read this snapshot");
        return;
    }
    if (!st) st = check_sum(path, nx_json_get(c->body, "checksum"), &err);
    if (!st) st = import(c, path, &err);
    if (st)
        nx_qd_refuse_error(c, &err);
    else
        nx_qd_reply_bool(c, true);
}

void nx_handle_qd_snapshot_recover(nx_call *c)
{
    nx_qd_start(c, recover);
}

/* ---- Upload ---- */

/* The first file of the form; where it names none, its first part. */
static nx_status first_file(nx_str *out, nx_call *c, nx_error *err)
{
    nx_webform      form;
    nx_webform_part part;
    bool            found = false, is_file = false;
    nx_status       st = nx_webform_open(&form, nx_exchange_header(c->x, "Content-Type"),
                                         nx_exchange_body(c->x), err);

    while (!st && !is_file && nx_webform_next(&form, &part)) {
        is_file = part.filename.p != NULL;
        if (!found || is_file) *out = part.value;
        found = true;
    }
    if (!st && !is_file) st = nx_webform_close(&form, err); /* read to its end: was it one? */
    if (st) return nx_fail_prefix(err, st, "Wrong input");
    return found ? NX_OK : nx_fail(err, NX_EINVAL, NX_QD_WRONG "the body holds no file");
}

static nx_status write_file(const char *path, nx_str bytes, nx_error *err)
{
    nx_file_out f;
    nx_status   st = nx_file_out_open(&f, path, err);

    if (st) return st;
    st = nx_fd_write_all(f.fd, bytes.p, bytes.len, path, err);
    if (!st) return nx_file_out_commit(&f, err);
    nx_file_out_abort(&f);
    return st;
}

static nx_status take_upload(nx_call *c, nx_error *err)
{
    const char *given = nx_exchange_query(c->x, "checksum");
    nx_json     checksum = {.type = NX_JSON_STRING, .text = nx_str_of(given)};
    char        path[PATH_CAP];
    nx_str      bytes = {0};
    nx_status   st = first_file(&bytes, c, err);

    if (!st) st = new_file(path, c, c->params[0], err);
    if (st) return st;
    st = write_file(path, bytes, err);
    if (!st) st = check_sum(path, given ? &checksum : NULL, err);
    if (!st) st = import(c, path, err);
    nx_dir_remove_all(path, NULL); /* what is in it is in the collection, or isn't wanted */
    return st;
}

static void upload(nx_call *c)
{
    nx_error err;

    if (!may_replace(c)) return;
    if (take_upload(c, &err))
        nx_qd_refuse_error(c, &err);
    else
        nx_qd_reply_bool(c, true);
}

void nx_handle_qd_snapshot_upload(nx_call *c)
{
    nx_qd_start(c, upload);
}
