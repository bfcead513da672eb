/* Protects: files of every kind get a clear answer, and a file written aside appears whole or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/file.h"

static char dir[] = "/tmp/nexus-file-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void check_content(const char *path, const char *want)
{
    nx_buf b = {.max = 1 << 20};

    assert_int_equal(nx_file_read_all(&b, path, NULL), NX_OK);
    assert_int_equal(b.len, strlen(want));
    if (b.len) assert_memory_equal(b.data, want, b.len);
    nx_buf_free(&b);
}

static void maps_a_file(void **state)
{
    nx_file_map m;

    (void)state;
    put(in_dir("a"), "hello");
    assert_int_equal(nx_file_map_open(&m, in_dir("a"), NULL), NX_OK);
    assert_int_equal(m.bytes, 5);
    assert_memory_equal(m.data, "hello", 5);
    assert_string_equal(m.path, in_dir("a"));
    nx_file_map_willneed(&m, 0, 5);
    nx_file_map_willneed(&m, 2, SIZE_MAX);
    nx_file_map_willneed(&m, 5, 1);
    nx_file_map_close(&m);
    assert_null(m.data);
    nx_file_map_close(&m);
}

static void maps_an_empty_file(void **state)
{
    nx_file_map m;

    (void)state;
    put(in_dir("empty"), "");
    assert_int_equal(nx_file_map_open(&m, in_dir("empty"), NULL), NX_OK);
    assert_null(m.data);
    assert_int_equal(m.bytes, 0);
    nx_file_map_willneed(&m, 0, 10);
    nx_file_map_close(&m);
}

static void check_map_refused(const char *path, nx_status want, const char *says)
{
    nx_file_map m;
    nx_error    err = {0};

    assert_int_equal(nx_file_map_open(&m, path, &err), want);
    assert_null(m.data);
    assert_null(m.path);
    assert_non_null(strstr(err.text, path));
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void refuses_what_is_no_file(void **state)
{
    (void)state;
    check_map_refused(in_dir("missing"), NX_ENOENT, "no such file");
    check_map_refused(dir, NX_EINVAL, "a directory");
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    check_map_refused(in_dir("fifo"), NX_EINVAL, "not a file"); /* and does not wait for it */
    check_map_refused("/dev/null", NX_EINVAL, "not a file");
    put(in_dir("a"), "x");
    check_map_refused(in_dir("a/b"), NX_EIO, "open");
    unlink(in_dir("fifo"));
}

static void reading_reports(void **state)
{
    nx_buf   b = {.max = 8};
    nx_error err;

    (void)state;
    assert_int_equal(nx_file_read_all(&b, in_dir("missing"), &err), NX_ENOENT);
    assert_int_equal(nx_file_read_all(&b, dir, &err), NX_EINVAL);
    put(in_dir("nine"), "123456789");
    assert_int_equal(nx_file_read_all(&b, in_dir("nine"), &err), NX_ELIMIT);
    assert_non_null(strstr(err.text, "nine"));
    nx_buf_free(&b);
    assert_int_equal(nx_fd_read_all(&b, -1, "stdin", &err), NX_EIO);
    assert_non_null(strstr(err.text, "stdin"));
    assert_int_equal(nx_fd_write_all(-1, "x", 1, "stdout", &err), NX_EIO);
    assert_non_null(strstr(err.text, "stdout"));
    put(in_dir("empty"), "");
    check_content(in_dir("empty"), "");
    assert_true(nx_file_exists(dir));
    assert_false(nx_file_exists(in_dir("missing")));
}

static void memory_refused(void **state)
{
    nx_file_map m;
    nx_file_out f;
    nx_error    err;

    (void)state;
    put(in_dir("a"), "x");
    nx_alloc_fail_after(0);
    assert_int_equal(nx_file_map_open(&m, in_dir("a"), &err), NX_ENOMEM);
    assert_int_equal(nx_file_out_open(&f, in_dir("b"), &err), NX_ENOMEM);
    nx_alloc_fail_after(1);
    assert_int_equal(nx_file_out_open(&f, in_dir("b"), &err), NX_ENOMEM);
    nx_alloc_fail_after(-1);
    assert_null(m.data);
    assert_false(nx_file_exists(in_dir("b.partial")));
}

/* ---- Pipes: short reads and writes, a reader that leaves ---------------------------------- */

#define PIPED (1 << 20)

static void *drain_slowly(void *arg)
{
    nx_buf *b = arg;
    int     fd = (int)b->len; /* handed over in len: the buffer is still empty */

    b->len = 0;
    usleep(20000);
    nx_fd_read_all(b, fd, "pipe", NULL);
    return NULL;
}

/* A megabyte through a pipe of 64 KiB, its writing end non-blocking: every write is short or
 * refused, and all bytes arrive. */
static void short_writes_and_a_full_pipe(void **state)
{
    int            fd[2];
    nx_buf         b = {.max = PIPED};
    pthread_t      reader;
    unsigned char *bytes = malloc(PIPED);

    (void)state;
    for (uint32_t i = 0; i < PIPED; i++) bytes[i] = (unsigned char)(i * 2654435761u >> 24);
    assert_int_equal(pipe(fd), 0);
    fcntl(fd[1], F_SETFL, O_NONBLOCK);
    b.len = (size_t)fd[0];
    assert_int_equal(pthread_create(&reader, NULL, drain_slowly, &b), 0);
    assert_int_equal(nx_fd_write_all(fd[1], bytes, PIPED, "pipe", NULL), NX_OK);
    close(fd[1]);
    pthread_join(reader, NULL);
    close(fd[0]);
    assert_int_equal(b.len, PIPED);
    assert_memory_equal(b.data, bytes, PIPED);
    nx_buf_free(&b);
    free(bytes);
}

static void closed_pipe(void **state)
{
    int      fd[2];
    nx_error err;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fd), 0);
    close(fd[0]);
    assert_int_equal(nx_fd_write_all(fd[1], "x", 1, "stdout", &err), NX_EIO);
    assert_string_equal(err.text, "stdout: write: Broken pipe");
    close(fd[1]);
}

/* ---- Files that appear whole ------------------------------------------------------------------ */

static void commit_replaces(void **state)
{
    nx_file_out f;

    (void)state;
    put(in_dir("out"), "old");
    assert_int_equal(nx_file_out_open(&f, in_dir("out"), NULL), NX_OK);
    assert_int_equal(nx_fd_write_all(f.fd, "new text", 8, f.path, NULL), NX_OK);
    check_content(in_dir("out"), "old");
    assert_int_equal(nx_file_out_commit(&f, NULL), NX_OK);
    check_content(in_dir("out"), "new text");
    assert_false(nx_file_exists(in_dir("out.partial")));
    nx_file_out_abort(&f);
    check_content(in_dir("out"), "new text");
}

static void abort_leaves_the_old(void **state)
{
    nx_file_out f;

    (void)state;
    put(in_dir("out"), "old");
    assert_int_equal(nx_file_out_open(&f, in_dir("out"), NULL), NX_OK);
    assert_int_equal(nx_fd_write_all(f.fd, "half", 4, f.path, NULL), NX_OK);
    nx_file_out_abort(&f);
    nx_file_out_abort(&f);
    check_content(in_dir("out"), "old");
    assert_false(nx_file_exists(in_dir("out.partial")));
    f = (nx_file_out){0};
    nx_file_out_abort(&f); /* must not close descriptor 0 */
    assert_true(fcntl(0, F_GETFD) != -1);
}

static void refused_places(void **state)
{
    nx_file_out f;
    nx_error    err;

    (void)state;
    assert_int_equal(nx_file_out_open(&f, in_dir("no/such/folder"), &err), NX_ENOENT);
    nx_file_out_abort(&f);
    assert_int_equal(mkdir(in_dir("sub"), 0700), 0);
    assert_int_equal(nx_file_out_open(&f, in_dir("sub"), &err), NX_OK);
    assert_int_equal(nx_file_out_commit(&f, &err), NX_EIO); /* a directory is in the way */
    assert_non_null(strstr(err.text, "rename"));
    assert_false(nx_file_exists(in_dir("sub.partial")));
    rmdir(in_dir("sub"));
}

/* The disk fills up (a file size limit stands in for it): an error, no half file. */
static void full_disk(void **state)
{
    static char   block[8192];
    nx_file_out   f;
    nx_error      err;
    struct rlimit before, small;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 5000;
    assert_int_equal(nx_file_out_open(&f, in_dir("full"), NULL), NX_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    nx_status st = nx_fd_write_all(f.fd, block, sizeof block, f.path, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(st, NX_EIO);
    nx_file_out_abort(&f);
    assert_false(nx_file_exists(in_dir("full")));
    assert_false(nx_file_exists(in_dir("full.partial")));
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const left[] = {"a", "empty", "nine", "out"};

    (void)state;
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) unlink(in_dir(left[i]));
    return rmdir(dir); /* fails, and the test with it, if anything else was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_a_file),
        cmocka_unit_test(maps_an_empty_file),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(reading_reports),
        cmocka_unit_test(memory_refused),
        cmocka_unit_test(short_writes_and_a_full_pipe),
        cmocka_unit_test(closed_pipe),
        cmocka_unit_test(commit_replaces),
        cmocka_unit_test(abort_leaves_the_old),
        cmocka_unit_test(refused_places),
        cmocka_unit_test(full_disk),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
