/* Protects: the file layer that the store stands on does what its header promises on a real file
 * system, says NX_EFULL for a full disk, and a page that can't be read is an error, not the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/dir.h"
#include "os/disk.h"
#include "os/fault.h"

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void files_are_written_read_and_cut(void **state)
{
    nx_disk      *d = nx_disk_real();
    nx_disk_file *f = NULL;
    nx_error      err;
    uint64_t      bytes = 0;
    char          got[8] = {0};

    (void)state;
    assert_int_equal(d->ops->open(d, &f, in_dir("a"), 0, &err), NX_ENOENT);
    assert_null(f);
    assert_int_equal(d->ops->open(d, &f, in_dir("a"), NX_DISK_CREATE, &err), NX_OK);
    assert_int_equal(d->ops->write(d, f, "hello", 5, 3, &err), NX_OK);
    assert_int_equal(d->ops->sync(d, f, &err), NX_OK);
    assert_int_equal(d->ops->size(d, f, &bytes, &err), NX_OK);
    assert_int_equal(bytes, 8);
    assert_int_equal(d->ops->read(d, f, got, 5, 3, &err), NX_OK);
    assert_string_equal(got, "hello");
    assert_int_equal(d->ops->read(d, f, got, 6, 3, &err), NX_EIO); /* one byte too many */
    assert_non_null(strstr(err.text, "ends at byte 8"));
    assert_int_equal(d->ops->truncate(d, f, 4, &err), NX_OK);
    assert_int_equal(d->ops->size(d, f, &bytes, &err), NX_OK);
    assert_int_equal(bytes, 4);
    d->ops->close(d, f);
    assert_int_equal(d->ops->open(d, &f, in_dir("a"), NX_DISK_EMPTY, &err), NX_OK);
    assert_int_equal(d->ops->size(d, f, &bytes, &err), NX_OK);
    assert_int_equal(bytes, 0);
    d->ops->close(d, f);
    d->ops->close(d, NULL);
}

static void names_come_and_go(void **state)
{
    nx_disk      *d = nx_disk_real();
    nx_disk_file *f;
    nx_error      err;
    char        **names;
    size_t        n;

    (void)state;
    assert_int_equal(d->ops->make_dir(d, in_dir("sub"), &err), NX_OK);
    assert_int_equal(d->ops->make_dir(d, in_dir("sub"), &err), NX_OK);
    assert_int_equal(d->ops->open(d, &f, in_dir("sub/x"), NX_DISK_CREATE, &err), NX_OK);
    d->ops->close(d, f);
    char from[256];
    snprintf(from, sizeof from, "%s", in_dir("sub/x"));
    assert_int_equal(d->ops->rename(d, from, in_dir("sub/y"), &err), NX_OK);
    assert_int_equal(d->ops->sync_dir(d, in_dir("sub"), &err), NX_OK);
    assert_int_equal(d->ops->list(d, &names, &n, in_dir("sub"), &err), NX_OK);
    assert_int_equal(n, 1);
    assert_string_equal(names[0], "y");
    nx_free(names);
    assert_int_equal(d->ops->remove(d, in_dir("sub/y"), &err), NX_OK);
    assert_int_equal(d->ops->remove(d, in_dir("sub/y"), &err), NX_OK); /* gone already */
    assert_int_equal(d->ops->remove_dir(d, in_dir("sub"), &err), NX_OK);
    assert_int_equal(d->ops->sync_dir(d, in_dir("sub"), &err), NX_ENOENT);
}

static void a_lock_has_one_holder(void **state)
{
    nx_disk *d = nx_disk_real();
    nx_error err;
    int      a = -1, b = -1;

    (void)state;
    assert_int_equal(d->ops->lock(d, &a, in_dir("lock"), &err), NX_OK);
    assert_int_equal(d->ops->lock(d, &b, in_dir("lock"), &err), NX_EBUSY);
    assert_int_equal(b, -1);
    d->ops->unlock(d, a);
    assert_int_equal(d->ops->lock(d, &b, in_dir("lock"), &err), NX_OK);
    d->ops->unlock(d, b);
}

/* A file-size limit stands for a disk without room: both end the write in the middle. */
static void no_room_is_an_error_with_its_reason(void **state)
{
    nx_disk      *d = nx_disk_real();
    nx_disk_file *f;
    nx_error      err;
    struct rlimit old, low;
    static char   bytes[8192];

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = (struct rlimit){4096, old.rlim_max};
    assert_int_equal(d->ops->open(d, &f, in_dir("big"), NX_DISK_CREATE, &err), NX_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    nx_status st = d->ops->write(d, f, bytes, sizeof bytes, 0, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, NX_EFULL);
    assert_non_null(strstr(err.text, "write"));
    d->ops->close(d, f);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(d->ops->open(d, &f, "/dev/full", 0, &err), NX_OK);
        assert_int_equal(d->ops->write(d, f, bytes, 1, 0, &err), NX_EFULL);
        d->ops->close(d, f);
    }
}

typedef struct touch {
    const volatile unsigned char *p;
    int                           value;
} touch;

static void do_touch(void *ctx)
{
    touch *t = ctx;

    t->value = *t->p;
}

static void a_page_that_is_gone_is_an_error(void **state)
{
    nx_disk      *d = nx_disk_real();
    nx_disk_file *f;
    nx_disk_map   m;
    nx_error      err;

    (void)state;
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
    skip(); /* its runtime takes the signal before us, and lets no jump leave the handler */
#endif
#endif
    assert_int_equal(d->ops->open(d, &f, in_dir("m"), NX_DISK_CREATE, &err), NX_OK);
    assert_int_equal(d->ops->write(d, f, "x", 1, 10000, &err), NX_OK);
    assert_int_equal(d->ops->map(d, &m, in_dir("m"), &err), NX_OK);
    assert_int_equal(m.bytes, 10001);
    touch t = {m.data + 10000, 0};
    assert_true(nx_fault_run(do_touch, &t));
    assert_int_equal(t.value, 'x');
    assert_int_equal(d->ops->truncate(d, f, 1, &err), NX_OK);
    for (int i = 0; i < 3; i++) assert_false(nx_fault_run(do_touch, &t)); /* each time anew */
    d->ops->unmap(d, &m);
    d->ops->unmap(d, &m);
    d->ops->close(d, f);
    assert_int_equal(d->ops->map(d, &m, in_dir("none"), &err), NX_ENOENT);
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/nexus-disk-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    return nx_dir_remove_all(dir, NULL) ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_written_read_and_cut),
        cmocka_unit_test(names_come_and_go),
        cmocka_unit_test(a_lock_has_one_holder),
        cmocka_unit_test(no_room_is_an_error_with_its_reason),
        cmocka_unit_test(a_page_that_is_gone_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
