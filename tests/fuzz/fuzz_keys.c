/* fuzz_keys.c - any bytes as what the keys read. The first byte says which:
 *   0  the text of a key that a request came with: never good, never another answer than "no"
 *   1  the body of POST /admin/keys: refused with its field, or options that a key can be made with,
 *      and that come back the same when written and read again
 *   2  a server's answer, for the command
 *   3  the lock file and a key named by a person
 *   4  the pepper: exactly 32 bytes are one
 *   5  nexus.db: refused, or opened and used
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/dir.h"
#include "server/keys_json.h"
#include "server/pepper.h"
#include "server/usage.h"

#define NOW 1800000000

static nx_datadir dir;
static nx_db     *db;
static nx_keys   *keys;
static char       good[NX_KEY_TEXT_CAP];

static void open_all(void)
{
    static char    top[] = "/tmp/nx_fuzz_keys_XXXXXX";
    nx_key_options opt;
    nx_key_record  r;

    if (keys) return;
    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    nx_key_options_default(&opt);
    if (!mkdtemp(top) || nx_datadir_open(&dir, top, NULL) || nx_db_open(&db, dir.db, NULL) ||
        nx_keys_open(&keys, &dir, db, NULL) || nx_keys_create(keys, &opt, NOW, good, &r, NULL))
        abort();
}

static void clean_up(void)
{
    nx_keys_close(keys);
    nx_db_close(db);
    nx_datadir_close(&dir);
    nx_dir_remove_all(dir.path, NULL);
}

static void present(const char *text)
{
    nx_key_record  r;
    nx_key_verdict v = nx_keys_check(keys, text, NOW, &r);
    bool           whole = strcmp(text, good) == 0;

    if ((v == NX_KEY_OK) != whole) abort();
    if (!whole && (v > NX_KEY_UNKNOWN || r.number || !*nx_key_message(v))) abort();
}

static void body(const char *text, size_t len)
{
    nx_json_doc    doc;
    nx_key_options opt, back;
    nx_error       err;
    nx_jw          w = {.buf.max = 4096};

    if (nx_json_parse(&doc, "body", text, len, 0, NULL)) return;
    nx_status st = nx_key_options_read(&opt, doc.root, NOW, &err);
    nx_json_doc_free(&doc);
    if (st && (st != NX_EINVAL || !strchr(err.text, ':'))) abort();
    if (st) return;
    nx_key_options_write(&w, &opt);
    if (w.st || nx_json_parse(&doc, "back", w.buf.data, w.buf.len, 0, NULL) ||
        nx_key_options_read(&back, doc.root, NOW, NULL) || strcmp(back.name, opt.name) != 0 ||
        back.scopes != opt.scopes || back.priority != opt.priority || back.expires != opt.expires)
        abort();
    nx_json_doc_free(&doc);
    nx_buf_free(&w.buf);
}

static void answer(const char *text, size_t len)
{
    nx_json_doc   doc;
    nx_key_record r;
    char          key[NX_KEY_TEXT_CAP], id[NX_KEY_ID_CAP];

    if (nx_json_parse(&doc, "answer", text, len, 0, NULL)) return;
    nx_status st = nx_key_read(&r, key, doc.root, NULL);
    if (st && st != NX_EFORMAT) abort();
    if (!st && (!nx_key_id_of(id, r.id) || (*key && !nx_key_parse(id, key)))) abort();
    nx_json_doc_free(&doc);
}

static void named(const char *text, size_t len)
{
    char id[NX_KEY_ID_CAP];

    if (nx_datadir_pid(text, len) < 0) abort();
    if (nx_key_id_of(id, text) && strlen(id) != NX_KEY_ID_CAP - 1) abort();
}

static void put_file(char *path, size_t cap, const char *name, const void *bytes, size_t n)
{
    if (!nx_path_write(path, cap, "%s/%s", dir.path, name)) abort();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n) abort();
    close(fd);
}

static void pepper(const char *bytes, size_t n)
{
    char          path[NX_DATADIR_PATH_MAX];
    unsigned char out[NX_PEPPER_BYTES];

    put_file(path, sizeof path, "other_pepper", bytes, n);
    nx_status st = nx_pepper_load(out, path, true, NULL);
    if (n == NX_PEPPER_BYTES ? st || memcmp(out, bytes, n) != 0 : st != NX_EFORMAT) abort();
}

static void database(const char *bytes, size_t n)
{
    char           path[NX_DATADIR_PATH_MAX], text[NX_KEY_TEXT_CAP];
    nx_db         *other = NULL;
    nx_keys       *found = NULL;
    nx_usage      *usage = NULL;
    nx_usage_row  *rows = NULL;
    nx_key_options opt;
    nx_key_record  r;
    size_t         n_rows;

    put_file(path, sizeof path, "other.db-journal", "", 0);
    put_file(path, sizeof path, "other.db", bytes, n);
    nx_key_options_default(&opt);
    if (!nx_db_open(&other, path, NULL) && !nx_keys_open(&found, &dir, other, NULL)) {
        if (!nx_keys_create(found, &opt, NOW, text, &r, NULL) &&
            nx_keys_check(found, text, NOW, &r) != NX_KEY_OK)
            abort();
        (void)nx_keys_revoke(found, r.id, NOW, NULL, NULL);
    }
    if (other && !nx_usage_open(&usage, other, NOW, NULL)) {
        nx_usage_entry e = {"abcdefgh", "m", {1, 1, 1, 1}, NOW};
        nx_usage_add(usage, &e, NULL, NULL);
        (void)nx_usage_query(usage, &rows, &n_rows, 0, INT32_MAX, NULL, NULL);
        nx_free(rows);
    }
    nx_usage_close(usage);
    nx_keys_close(found);
    nx_db_close(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool registered;

    if (size == 0 || size > 65536) return 0;
    open_all();
    if (!registered) registered = atexit(clean_up) == 0;
    char *text = nx_strndup((const char *)data + 1, size - 1);
    if (!text) abort();
    switch (data[0] % 6) {
    case 0: present(text); break;
    case 1: body(text, size - 1); break;
    case 2: answer(text, size - 1); break;
    case 3: named(text, size - 1); break;
    case 4: pepper(text, size - 1); break;
    default: database(text, size - 1); break;
    }
    nx_free(text);
    return 0;
}
