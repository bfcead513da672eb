/* Protects: the data folder is one server's; a key is good exactly as long as it should be, also after
 * a restart; nothing that is presented, or found in the files, passes for a key; the pepper is never
 * replaced in silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "os/dir.h"
#include "os/file.h"
#include "server/keys.h"
#include "server/keys_json.h"

#define NOW 1800000000

typedef struct world {
    char       top[64];
    nx_datadir dir;
    nx_db     *db;
    nx_keys   *keys;
    nx_error   err;
} world;

static nx_status world_try(world *w)
{
    nx_status st = nx_datadir_open(&w->dir, w->top, &w->err);

    if (!st) st = nx_db_open(&w->db, w->dir.db, &w->err);
    if (!st) st = nx_keys_open(&w->keys, &w->dir, w->db, &w->err);
    return st;
}

static void world_shut(world *w)
{
    nx_keys_close(w->keys);
    nx_db_close(w->db);
    nx_datadir_close(&w->dir);
    w->keys = NULL;
    w->db = NULL;
}

static void world_open(world *w)
{
    if (world_try(w)) fail_msg("%s", w->err.text);
}

static int setup(void **state)
{
    world *w = nx_calloc(1, sizeof *w);

    snprintf(w->top, sizeof w->top, "/tmp/nx_test_keys_XXXXXX");
    if (!mkdtemp(w->top)) return -1;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;

    world_shut(w);
    nx_dir_remove_all(w->top, NULL);
    nx_free(w);
    return 0;
}

static void make_key(world *w, nx_key_options *opt, char *text, nx_key_record *r)
{
    nx_key_options plain;

    nx_key_options_default(&plain);
    if (nx_keys_create(w->keys, opt ? opt : &plain, NOW, text, r, &w->err))
        fail_msg("%s", w->err.text);
}

static unsigned mode_of(const char *path)
{
    struct stat s;

    assert_int_equal(stat(path, &s), 0);
    return s.st_mode & 0777;
}

/* ---- The folder ---- */

static void folder_is_private(void **state)
{
    world *w = *state;

    assert_int_equal(chmod(w->top, 0755), 0);
    world_open(w);
    assert_int_equal(mode_of(w->top), 0700);
    assert_int_equal(mode_of(w->dir.db), 0600);
    assert_int_equal(mode_of(w->dir.pepper), 0600);
}

static void folder_is_one_servers(void **state)
{
    world     *w = *state;
    nx_datadir second;
    char       pid[32];

    world_open(w);
    assert_int_equal(nx_datadir_open(&second, w->top, &w->err), NX_EBUSY);
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(w->err.text, pid));
    assert_non_null(strstr(w->err.text, "nexus stop"));
    assert_int_equal(second.pid, getpid());
    assert_string_equal(second.socket, w->dir.socket);
    nx_datadir_close(&second);
    world_shut(w);
    assert_int_equal(nx_datadir_open(&second, w->top, &w->err), NX_OK);
    nx_datadir_close(&second);
}

static void folder_is_found(void **state)
{
    world     *w = *state;
    nx_datadir d;
    char       longer[3000];

    setenv("XDG_DATA_HOME", "/somewhere", 1);
    assert_int_equal(nx_datadir_find(&d, NULL, NULL), NX_OK);
    assert_string_equal(d.path, "/somewhere/nexus");
    setenv("XDG_DATA_HOME", "relative", 1);
    setenv("HOME", "/home/me", 1);
    assert_int_equal(nx_datadir_find(&d, "", NULL), NX_OK);
    assert_string_equal(d.db, "/home/me/.local/share/nexus/nexus.db");
    assert_int_equal(nx_datadir_find(&d, "here", NULL), NX_OK);
    assert_string_equal(d.pepper, "here/pepper");
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    assert_int_equal(nx_datadir_find(&d, NULL, &w->err), NX_EINVAL);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(nx_datadir_find(&d, longer, &w->err), NX_ELIMIT);
}

static void lock_texts(void **state)
{
    (void)state;
    assert_int_equal(nx_datadir_pid("123\n", 4), 123);
    assert_int_equal(nx_datadir_pid("12", 1), 1);
    assert_int_equal(nx_datadir_pid("", 0), 0);
    assert_int_equal(nx_datadir_pid("-5", 2), 0);
    assert_int_equal(nx_datadir_pid("99999999999999999999", 20), 0);
}

/* ---- The life of a key ---- */

static void made_and_checked(void **state)
{
    world         *w = *state;
    char           text[NX_KEY_TEXT_CAP], id[NX_KEY_ID_CAP];
    nx_key_record  r, seen;
    nx_key_options opt;

    world_open(w);
    assert_false(nx_keys_any(w->keys));
    nx_key_options_default(&opt);
    assert_int_equal(nx_key_options_name(&opt, NX_STR("Zoë"), NULL), NX_OK);
    opt.scopes = NX_KEY_ADMIN;
    opt.priority = NX_PRIORITY_HIGH;
    opt.requests_per_minute = 60;
    opt.tokens_per_day = 1000;
    opt.expires = NOW + 10;
    make_key(w, &opt, text, &r);
    assert_true(nx_keys_any(w->keys));
    assert_int_equal(strlen(text), NX_KEY_TEXT_LEN);
    assert_true(nx_key_parse(id, text));
    assert_string_equal(id, r.id);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(nx_keys_check(w->keys, text, NOW + 5, &seen), NX_KEY_OK);
        assert_string_equal(seen.name, "Zoë");
        assert_int_equal(seen.number, r.number);
        assert_int_equal(seen.scopes, NX_KEY_ADMIN);
        assert_int_equal(seen.priority, NX_PRIORITY_HIGH);
        assert_int_equal(seen.requests_per_minute, 60);
        assert_int_equal(seen.tokens_per_day, 1000);
        assert_int_equal(nx_keys_check(w->keys, text, NOW + 10, &seen), NX_KEY_EXPIRED);
        world_shut(w);
        world_open(w);
    }
}

static void revoked_at_once_and_for_good(void **state)
{
    world        *w = *state;
    char          text[NX_KEY_TEXT_CAP];
    nx_key_record r, seen;

    world_open(w);
    make_key(w, NULL, text, &r);
    assert_int_equal(nx_keys_revoke(w->keys, "nosuchid", NOW, NULL, &w->err), NX_ENOENT);
    assert_int_equal(nx_keys_revoke(w->keys, r.id, NOW + 1, &seen, NULL), NX_OK);
    assert_int_equal(seen.revoked, NOW + 1);
    assert_int_equal(nx_keys_check(w->keys, text, NOW, &seen), NX_KEY_REVOKED);
    assert_int_equal(nx_keys_revoke(w->keys, r.id, NOW + 9, &seen, NULL), NX_OK);
    assert_int_equal(seen.revoked, NOW + 1);
    world_shut(w);
    world_open(w);
    assert_int_equal(nx_keys_check(w->keys, text, NOW, &seen), NX_KEY_REVOKED);
    assert_true(nx_keys_any(w->keys)); /* the last key's end opens nothing */
    assert_string_equal(nx_key_message(NX_KEY_REVOKED), nx_key_message(NX_KEY_UNKNOWN));
    assert_string_equal(nx_key_message(NX_KEY_REVOKED), nx_key_message(NX_KEY_MALFORMED));
}

static void nothing_else_passes(void **state)
{
    world        *w = *state;
    char          text[NX_KEY_TEXT_CAP], other[NX_KEY_TEXT_CAP], bent[128];
    nx_key_record r, seen;

    world_open(w);
    make_key(w, NULL, text, &r);
    make_key(w, NULL, other, &r);
    assert_int_equal(nx_keys_check(w->keys, NULL, NOW, &seen), NX_KEY_MISSING);
    assert_int_equal(nx_keys_check(w->keys, "", NOW, &seen), NX_KEY_MISSING);
    for (size_t i = 0; i < NX_KEY_TEXT_LEN; i++) { /* each letter matters */
        for (const char *c = "AQgaz09_-. \n\x80"; *c; c++) {
            memcpy(bent, text, sizeof text);
            if (bent[i] == *c) continue;
            bent[i] = *c;
            nx_key_verdict v = nx_keys_check(w->keys, bent, NOW, &seen);
            assert_true(v == NX_KEY_MALFORMED || v == NX_KEY_UNKNOWN);
            assert_int_equal(seen.number, 0);
        }
    }
    memcpy(bent, other, 12); /* one's id with another's secret */
    memcpy(bent + 12, text + 12, sizeof text - 12);
    assert_int_equal(nx_keys_check(w->keys, bent, NOW, &seen), NX_KEY_UNKNOWN);
    snprintf(bent, sizeof bent, "%sA", text);
    assert_int_equal(nx_keys_check(w->keys, bent, NOW, &seen), NX_KEY_MALFORMED);
    text[NX_KEY_TEXT_LEN - 1] = '\0';
    assert_int_equal(nx_keys_check(w->keys, text, NOW, &seen), NX_KEY_MALFORMED);
}

static void many_keys(void **state)
{
    enum { N = 150 };
    world        *w = *state;
    static char   text[N][NX_KEY_TEXT_CAP];
    nx_key_record r, *all;
    size_t        n;

    world_open(w);
    for (int i = 0; i < N; i++) make_key(w, NULL, text[i], &r);
    world_shut(w);
    world_open(w);
    assert_int_equal(nx_keys_list(w->keys, &all, &n, NULL), NX_OK);
    assert_int_equal(n, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(nx_keys_check(w->keys, text[i], NOW, &r), NX_KEY_OK);
        assert_string_equal(r.id, all[i].id);
        assert_int_equal(r.number, i + 1);
        assert_memory_equal(text[i] + 3, r.id, 8);
    }
    nx_free(all);
}

static void options_are_checked(void **state)
{
    world         *w = *state;
    char           text[NX_KEY_TEXT_CAP], longer[NX_KEY_NAME_MAX + 2];
    nx_key_record  r;
    nx_key_options good, o;

    world_open(w);
    nx_key_options_default(&good);
    memset(longer, 'x', sizeof longer);
    assert_int_equal(nx_key_options_name(&good, (nx_str){longer, sizeof longer}, NULL), NX_EINVAL);
    assert_int_equal(nx_key_options_name(&good, NX_STR("a\nb"), NULL), NX_EINVAL);
    assert_int_equal(nx_key_options_name(&good, NX_STR("a\0b"), NULL), NX_EINVAL);
    assert_int_equal(nx_key_options_name(&good, NX_STR("\xff"), NULL), NX_EINVAL);
#define BAD(field, value)                                                                          \
    o = good;                                                                                      \
    o.field = value;                                                                               \
    assert_int_equal(nx_keys_create(w->keys, &o, NOW, text, &r, &w->err), NX_EINVAL);              \
    assert_string_equal(text, "")
    BAD(scopes, 0);
    BAD(scopes, 8);
    BAD(requests_per_minute, -1);
    BAD(requests_per_minute, NX_KEY_RPM_MAX + 1);
    BAD(tokens_per_day, INT64_MIN);
    BAD(tokens_per_day, INT64_MAX);
    BAD(expires, NOW);
    BAD(expires, -1);
    BAD(expires, INT64_MAX);
    assert_non_null(strstr(w->err.text, "expires_at"));
    assert_false(nx_keys_any(w->keys));
}

/* ---- Damage ---- */

static void put_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void pepper_is_never_replaced(void **state)
{
    world        *w = *state;
    char          text[NX_KEY_TEXT_CAP];
    nx_key_record r;
    nx_buf        before = {.max = 100}, after = {.max = 100};

    world_open(w);
    make_key(w, NULL, text, &r);
    world_shut(w);
    assert_int_equal(nx_file_read_all(&before, w->dir.pepper, NULL), NX_OK);
    assert_int_equal(before.len, 32);
    put_file(w->dir.pepper, "short", 5);
    assert_int_equal(world_try(w), NX_EFORMAT);
    assert_non_null(strstr(w->err.text, "5 bytes, expected 32"));
    world_shut(w);
    assert_int_equal(nx_file_read_all(&after, w->dir.pepper, NULL), NX_OK);
    assert_int_equal(after.len, 5);
    assert_int_equal(unlink(w->dir.pepper), 0);
    assert_int_equal(world_try(w), NX_ENOENT);
    world_shut(w);
    assert_false(nx_file_exists(w->dir.pepper));
    put_file(w->dir.pepper, before.data, before.len);
    world_open(w);
    assert_int_equal(nx_keys_check(w->keys, text, NOW, &r), NX_KEY_OK);
    nx_buf_free(&before);
    nx_buf_free(&after);
}

static void damaged_databases(void **state)
{
    static const char *const harm[] = {
        "UPDATE keys SET scopes=99",
        "UPDATE keys SET priority=-1",
        "UPDATE keys SET hash=x'00'",
        "UPDATE keys SET id='../../..'",
        "UPDATE keys SET id='ABCDEFGH'",
        "UPDATE keys SET name=CAST(x'ff' AS TEXT)",
        "UPDATE keys SET name=printf('%.200c','x')",
        "UPDATE keys SET created=-1",
        "UPDATE keys SET tokens_per_day=-5",
        "UPDATE keys SET bounds='{\"tags\":1}'",
        "UPDATE keys SET bounds='{}'",
        "UPDATE keys SET bounds='all'",
        "DROP TABLE keys",
        "PRAGMA writable_schema=RESET; DROP TABLE keys; CREATE TABLE keys(a)",
    };
    world        *w = *state;
    char          text[NX_KEY_TEXT_CAP];
    nx_key_record r;

    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        world_open(w);
        make_key(w, NULL, text, &r);
        if (nx_db_exec(w->db, harm[i], &w->err)) fail_msg("%s: %s", harm[i], w->err.text);
        world_shut(w);
        assert_int_equal(world_try(w), NX_EFORMAT);
        world_shut(w);
        unlink(w->dir.db);
    }
    world_open(w);
    assert_int_equal(nx_db_exec(w->db, "PRAGMA user_version=7", NULL), NX_OK);
    world_shut(w);
    assert_int_equal(world_try(w), NX_EUNSUPPORTED);
    world_shut(w);
    put_file(w->dir.db, "this is no database, but a text that is long enough to be one", 60);
    assert_int_equal(world_try(w), NX_EFORMAT);
    assert_non_null(strstr(w->err.text, "nexus.db"));
}

/* A disk that takes nothing: no key is made, none is revoked, and what was is still so. */
static void failing_disk(void **state)
{
    world         *w = *state;
    char           text[NX_KEY_TEXT_CAP], second[NX_KEY_TEXT_CAP];
    nx_key_record  r, seen;
    nx_key_options opt;

    world_open(w);
    make_key(w, NULL, text, &r);
    nx_key_options_default(&opt);
    assert_int_equal(nx_db_exec(w->db, "PRAGMA query_only=1", NULL), NX_OK);
    assert_int_equal(nx_keys_create(w->keys, &opt, NOW, second, &seen, &w->err), NX_EIO);
    assert_string_equal(second, "");
    assert_int_equal(nx_keys_revoke(w->keys, r.id, NOW, NULL, &w->err), NX_EIO);
    assert_int_equal(nx_keys_check(w->keys, text, NOW, &seen), NX_KEY_OK);
    assert_int_equal(nx_db_exec(w->db, "PRAGMA query_only=0", NULL), NX_OK);
    assert_int_equal(nx_keys_revoke(w->keys, r.id, NOW, NULL, &w->err), NX_OK);
}

/* Each allocation fails once: a message, and all as before. */
static void out_of_memory(void **state)
{
    world         *w = *state;
    char           text[NX_KEY_TEXT_CAP];
    nx_key_record  r, *all;
    nx_key_options opt;
    size_t         n;
    int64_t        i = 0;
    nx_status      st;

    world_open(w);
    nx_key_options_default(&opt);
    do {
        nx_alloc_fail_after(i++);
        st = nx_keys_create(w->keys, &opt, NOW, text, &r, &w->err);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || (st == NX_ENOMEM && !*text));
        assert_int_equal(nx_keys_any(w->keys), st == NX_OK);
    } while (st);
    assert_true(i > 3);
    nx_alloc_fail_after(0);
    assert_int_equal(nx_keys_list(w->keys, &all, &n, &w->err), NX_ENOMEM);
    nx_alloc_fail_after(-1);
    i = 0;
    do {
        world_shut(w);
        nx_alloc_fail_after(i++);
        st = world_try(w);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
    } while (st);
    assert_int_equal(nx_keys_check(w->keys, text, NOW, &r), NX_KEY_OK);
}

/* kill -9 right after each answer: what was answered is so. */
static void killed_after_every_answer(void **state)
{
    world        *w = *state;
    nx_key_record r;
    int           n_rounds = 8;

    for (int i = 0; i < n_rounds; i++) {
        struct told {
            char text[2][NX_KEY_TEXT_CAP];
        } told;
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            if (world_try(w)) _exit(1);
            nx_key_options opt;
            nx_key_options_default(&opt);
            for (int k = 0; k < 2; k++)
                if (nx_keys_create(w->keys, &opt, NOW, told.text[k], &r, NULL)) _exit(1);
            if (nx_keys_revoke(w->keys, r.id, NOW, NULL, NULL)) _exit(1);
            if (write(ends[1], &told, sizeof told) != sizeof told) _exit(1);
            for (;;) pause();
        }
        assert_int_equal(read(ends[0], &told, sizeof told), sizeof told);
        assert_int_equal(kill(child, SIGKILL), 0);
        waitpid(child, NULL, 0);
        close(ends[0]);
        close(ends[1]);
        world_open(w);
        assert_int_equal(nx_keys_check(w->keys, told.text[0], NOW, &r), NX_KEY_OK);
        assert_int_equal(nx_keys_check(w->keys, told.text[1], NOW, &r), NX_KEY_REVOKED);
        world_shut(w);
    }
}

/* ---- Threads ---- */

typedef struct checker {
    world       *w;
    const char  *text;
    atomic_bool *stop, *revoked;
    int          n_wrong;
} checker;

static void *check_on(void *ctx)
{
    checker      *c = ctx;
    nx_key_record r;

    while (!atomic_load(c->stop)) {
        bool           before = atomic_load(c->revoked);
        nx_key_verdict v = nx_keys_check(c->w->keys, c->text, NOW, &r);
        if (v != NX_KEY_OK && v != NX_KEY_REVOKED) c->n_wrong++;
        if (before && v != NX_KEY_REVOKED) c->n_wrong++;
    }
    return NULL;
}

static void checked_while_keys_come_and_go(void **state)
{
    world        *w = *state;
    char          text[NX_KEY_TEXT_CAP], more[NX_KEY_TEXT_CAP];
    nx_key_record first, r, *all;
    atomic_bool   stop = false, revoked = false;
    pthread_t     threads[4];
    checker       c[4];
    size_t        n;

    world_open(w);
    make_key(w, NULL, text, &first);
    for (int i = 0; i < 4; i++) {
        c[i] = (checker){w, text, &stop, &revoked, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, check_on, &c[i]), 0);
    }
    for (int i = 0; i < 80; i++) {
        make_key(w, NULL, more, &r);
        assert_int_equal(nx_keys_list(w->keys, &all, &n, NULL), NX_OK);
        nx_free(all);
    }
    assert_int_equal(nx_keys_revoke(w->keys, first.id, NOW, NULL, NULL), NX_OK);
    atomic_store(&revoked, true);
    usleep(20000);
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(c[i].n_wrong, 0);
    }
}

/* ---- JSON ---- */

static nx_status read_body(nx_key_options *opt, const char *text, nx_error *err)
{
    nx_json_doc doc;
    nx_status   st = nx_json_parse(&doc, "body", text, strlen(text), 0, err);

    assert_int_equal(st, NX_OK);
    st = nx_key_options_read(opt, doc.root, NOW, err);
    nx_json_doc_free(&doc);
    return st;
}

static void bodies(void **state)
{
    static const char *const bad[][2] = {
        {"[]", "body"},
        {"{\"name\":5}", "name"},
        {"{\"name\":\"a\\u0000b\"}", "name"},
        {"{\"scopes\":\"infer\"}", "scopes"},
        {"{\"scopes\":[]}", "scopes"},
        {"{\"scopes\":[\"rag\",\"root\"]}", "scopes[1]"},
        {"{\"priority\":\"urgent\"}", "priority"},
        {"{\"priority\":1}", "priority"},
        {"{\"requests_per_minute\":1.5}", "requests_per_minute"},
        {"{\"requests_per_minute\":-1}", "requests_per_minute"},
        {"{\"tokens_per_day\":99999999999999999999}", "tokens_per_day"},
        {"{\"tokens_per_day\":true}", "tokens_per_day"},
        {"{\"expires_at\":\"soon\"}", "expires_at"},
        {"{\"expires_at\":0}", "expires_at"},
        {"{\"expires_at\":1}", "expires_at"},
    };
    world         *w = *state;
    nx_key_options opt;

    assert_int_equal(read_body(&opt, "{\"else\":1,\"expires_at\":null}", &w->err), NX_OK);
    assert_int_equal(opt.scopes, NX_KEY_INFER | NX_KEY_RAG);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_body(&opt, bad[i][0], &w->err), NX_EINVAL);
        if (strncmp(w->err.text, bad[i][1], strlen(bad[i][1])) != 0)
            fail_msg("%s: %s", bad[i][0], w->err.text);
    }
}

static void json_there_and_back(void **state)
{
    world         *w = *state;
    nx_key_options opt, back;
    nx_key_record  r = {.id = "abcdefgh", .name = "a \"b\"", .scopes = 5, .priority = 2};
    nx_key_record  s;
    nx_json_doc    doc;
    char           text[NX_KEY_TEXT_CAP];
    nx_jw          j = {.buf.max = 4096};

    nx_key_options_default(&opt);
    assert_int_equal(nx_key_options_name(&opt, NX_STR("Zoë \\"), NULL), NX_OK);
    opt.expires = NOW + 1;
    opt.tokens_per_day = NX_KEY_TOKENS_DAY_MAX;
    assert_int_equal(nx_key_bounds_add(&opt.bounds, NX_KEY_TAGS, NX_STR("sales"), NULL), NX_OK);
    nx_key_options_write(&j, &opt);
    assert_int_equal(read_body(&back, j.buf.data, &w->err), NX_OK);
    assert_string_equal(back.name, opt.name);
    assert_int_equal(back.expires, opt.expires);
    assert_true(nx_key_bounds_has(&back.bounds, NX_KEY_TAGS, NX_STR("sales")));
    assert_int_equal(back.tokens_per_day, opt.tokens_per_day);
    nx_buf_free(&j.buf);
    j = (nx_jw){.buf.max = 4096};
    r.created = 5;
    r.revoked = 7;
    nx_keys_write(&j, &r, 1);
    assert_string_equal(j.buf.data,
                        "{\"keys\":[{\"id\":\"abcdefgh\",\"name\":\"a \\\"b\\\"\",\"scopes\":"
                        "[\"infer\",\"admin\"],\"priority\":\"low\",\"requests_per_minute\":0,"
                        "\"tokens_per_day\":0,\"created_at\":5,\"expires_at\":null,"
                        "\"collections\":[],\"read_only\":false,\"tags\":[],"
                        "\"revoked_at\":7,\"last_used_at\":null}]}");
    assert_int_equal(nx_json_parse(&doc, "x", j.buf.data, j.buf.len, 0, &w->err), NX_OK);
    const nx_json *one = &nx_json_get(doc.root, "keys")->array.items[0];
    assert_int_equal(nx_key_read(&s, text, one, &w->err), NX_OK);
    assert_memory_equal(&s, &r, sizeof s);
    assert_string_equal(text, "");
    nx_json_doc_free(&doc);
    nx_buf_free(&j.buf);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(folder_is_private),
        T(folder_is_one_servers),
        T(folder_is_found),
        T(lock_texts),
        T(made_and_checked),
        T(revoked_at_once_and_for_good),
        T(nothing_else_passes),
        T(many_keys),
        T(options_are_checked),
        T(pepper_is_never_replaced),
        T(damaged_databases),
        T(failing_disk),
        T(out_of_memory),
        T(killed_after_every_answer),
        T(checked_while_keys_come_and_go),
        T(bodies),
        T(json_there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
