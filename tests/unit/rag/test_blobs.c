/* Protects: bytes come back as they were put, under the name that SHA-256 gives them; equal bytes are kept once;
 * a sweep takes what nobody names, and nothing that was just put. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "os/dir.h"
#include "os/file.h"
#include "rag/blobs.h"

#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char      top[] = "/tmp/nx_test_blobs_XXXXXX";
static char      dir[128];
static nx_blobs *blobs;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(top)) return -1;
    (void)nx_path_write(dir, sizeof dir, "%s/deep/blobs", top);
    return nx_blobs_open(&blobs, dir, NULL);
}

static int teardown(void **state)
{
    (void)state;
    nx_blobs_close(blobs);
    nx_blobs_close(NULL);
    return nx_dir_remove_all(top, NULL);
}

static void path_of(char out[256], const char *name)
{
    assert_true(nx_path_write(out, 256, "%s/%.2s/%s", dir, name, name + 2));
}

static void make_old(const char *path)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - 1000}, {.tv_sec = time(NULL) - 1000}};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put_and_read(void **state)
{
    (void)state;
    nx_error err;
    nx_buf   out = {.max = 100};
    char     name[NX_BLOB_NAME];
    uint64_t total = 9;

    assert_int_equal(nx_blobs_put(blobs, name, "abc", 3, &err), NX_OK);
    assert_string_equal(name, ABC);
    assert_int_equal(nx_blobs_put(blobs, name, "abc", 3, &err), NX_OK);
    assert_int_equal(nx_blobs_read(blobs, &out, ABC, 0, UINT64_MAX, &total, &err), NX_OK);
    assert_int_equal(total, 3);
    assert_string_equal(out.data, "abc");
    assert_int_equal(nx_blobs_read(blobs, &out, ABC, 1, 2, NULL, &err), NX_OK);
    assert_string_equal(out.data, "abcb");
    assert_int_equal(nx_blobs_read(blobs, &out, ABC, 3, 9, &total, &err), NX_OK);
    assert_int_equal(nx_blobs_read(blobs, &out, ABC, 9, 2, &total, &err), NX_OK);
    assert_int_equal(out.len, 4);

    assert_int_equal(nx_blobs_put(blobs, name, NULL, 0, &err), NX_OK);
    assert_string_equal(name, EMPTY);
    assert_int_equal(nx_blobs_read(blobs, &out, EMPTY, 0, 10, &total, &err), NX_OK);
    assert_int_equal(total, 0);
    nx_buf_free(&out);
}

static void what_is_refused(void **state)
{
    (void)state;
    nx_error err;
    nx_buf   out = {.max = 2};
    char     name[NX_BLOB_NAME];

    assert_int_equal(nx_blobs_put(blobs, name, "abc", 3, &err), NX_OK);
    assert_int_equal(nx_blobs_read(blobs, &out, ABC, 0, 3, NULL, &err), NX_ELIMIT);
    assert_int_equal(nx_blobs_read(blobs, &out, ABC, 0, 3, NULL, NULL), NX_ELIMIT);
    assert_int_equal(nx_blobs_read(blobs, &out, "../../etc/passwd", 0, 3, NULL, &err), NX_EINVAL);
    memset(name, 'f', 64);
    assert_int_equal(nx_blobs_read(blobs, &out, name, 0, 3, NULL, &err), NX_ENOENT);
    name[3] = 'F';
    assert_int_equal(nx_blobs_read(blobs, &out, name, 0, 3, NULL, &err), NX_EINVAL);
    assert_int_equal(out.len, 0);
    nx_buf_free(&out);
}

static void a_damaged_one_is_written_anew(void **state)
{
    (void)state;
    nx_buf out = {.max = 100};
    char   name[NX_BLOB_NAME], path[256];

    assert_int_equal(nx_blobs_put(blobs, name, "whole", 5, NULL), NX_OK);
    path_of(path, name);
    assert_int_equal(truncate(path, 2), 0);
    assert_int_equal(nx_blobs_put(blobs, name, "whole", 5, NULL), NX_OK);
    assert_int_equal(nx_blobs_read(blobs, &out, name, 0, 100, NULL, NULL), NX_OK);
    assert_string_equal(out.data, "whole");
    nx_buf_free(&out);
}

static bool keep_named(void *ctx, const char *name)
{
    return strcmp(ctx, name) == 0;
}

static void what_nobody_names_is_swept(void **state)
{
    (void)state;
    char     kept[NX_BLOB_NAME], gone[NX_BLOB_NAME], young[NX_BLOB_NAME], again[NX_BLOB_NAME];
    char     path[256], partial[512], other[512];
    uint64_t n = 0;
    FILE    *f;

    assert_int_equal(nx_blobs_sweep(blobs, keep_named, dir, -10, NULL, NULL), NX_OK); /* all */
    assert_int_equal(nx_blobs_put(blobs, kept, "kept", 4, NULL), NX_OK);
    assert_int_equal(nx_blobs_put(blobs, gone, "gone", 4, NULL), NX_OK);
    assert_int_equal(nx_blobs_put(blobs, young, "young", 5, NULL), NX_OK);
    assert_int_equal(nx_blobs_put(blobs, again, "again", 5, NULL), NX_OK);
    path_of(path, kept);
    make_old(path);
    path_of(path, again);
    make_old(path);
    assert_int_equal(nx_blobs_put(blobs, again, "again", 5, NULL), NX_OK); /* young again */
    path_of(path, gone);
    make_old(path);
    assert_true(nx_path_write(partial, sizeof partial, "%s.1-2.partial", path));
    assert_true(nx_path_write(other, sizeof other, "%s.note", path));
    for (int i = 0; i < 2; i++) {
        assert_non_null(f = fopen(i ? partial : other, "w"));
        fclose(f);
        make_old(i ? partial : other);
    }
    assert_int_equal(nx_blobs_sweep(blobs, keep_named, kept, 60, &n, NULL), NX_OK);
    assert_int_equal(n, 2);
    assert_false(nx_file_exists(path));
    assert_false(nx_file_exists(partial));
    assert_true(nx_file_exists(other)); /* not ours */
    path_of(path, kept);
    assert_true(nx_file_exists(path));
    path_of(path, young);
    assert_true(nx_file_exists(path));
    path_of(path, again);
    assert_true(nx_file_exists(path));
}

static void *put_many(void *arg)
{
    char name[NX_BLOB_NAME], text[16];

    for (int i = 0; i < 40; i++) {
        int n = snprintf(text, sizeof text, "number %d", i);
        if (nx_blobs_put(blobs, name, text, (size_t)n, NULL)) return arg;
    }
    return NULL;
}

static void many_put_the_same(void **state)
{
    (void)state;
    pthread_t threads[4];
    char      name[NX_BLOB_NAME];
    nx_buf    out = {.max = 100};

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, &out), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    nx_blob_name(name, "number 39", 9);
    assert_int_equal(nx_blobs_read(blobs, &out, name, 0, 100, NULL, NULL), NX_OK);
    assert_string_equal(out.data, "number 39");
    nx_buf_free(&out);
}

static void without_memory(void **state)
{
    (void)state;
    nx_blobs *b = NULL;

    for (int i = 0; i < 3; i++) {
        nx_alloc_fail_after(i);
        nx_status st = nx_blobs_open(&b, dir, NULL);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
        assert_true((st == NX_OK) == (b != NULL));
        nx_blobs_close(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_and_read),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(a_damaged_one_is_written_anew),
        cmocka_unit_test(what_nobody_names_is_swept),
        cmocka_unit_test(many_put_the_same),
        cmocka_unit_test(without_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
