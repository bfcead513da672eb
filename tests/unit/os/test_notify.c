/* Protects: the service manager hears exactly what was said, by path and by abstract name, and nobody
 * else is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/notify.h"

static char got[4096];

static int listen_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const size_t       n = strlen(name);
    const int          fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    memcpy(at.sun_path, name, n);
    if (name[0] == '@') at.sun_path[0] = '\0';
    assert_int_equal(
        bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
        0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static const char *heard(int fd)
{
    const ssize_t n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);

    got[n > 0 ? n : 0] = '\0';
    return got;
}

static void check_messages(const char *name)
{
    const int fd = listen_at(name);
    char      text[3000];

    assert_int_equal(nx_notify("READY=1", NULL, NULL), NX_OK);
    assert_string_equal(heard(fd), "READY=1");
    assert_int_equal(nx_notify("STOPPING=1", "3 requests\nREADY=1", NULL), NX_OK);
    assert_string_equal(heard(fd), "STOPPING=1\nSTATUS=3 requests READY=1");
    assert_int_equal(nx_notify(NULL, "\nwell", NULL), NX_OK);
    assert_string_equal(heard(fd), "STATUS= well");
    assert_int_equal(nx_notify(NULL, NULL, NULL), NX_OK);
    assert_string_equal(heard(fd), "");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(nx_notify("READY=1", text, NULL), NX_OK);
    assert_int_equal(strlen(heard(fd)), 8 + 7 + 512);
    close(fd);
}

static void by_path(void **state)
{
    char name[100];

    (void)state;
    snprintf(name, sizeof name, "/tmp/nx-notify-%ld", (long)getpid());
    unlink(name);
    check_messages(name);
    unlink(name);
}

static void by_abstract_name(void **state)
{
    char name[100];

    (void)state;
    snprintf(name, sizeof name, "@nx-notify-%ld", (long)getpid());
    check_messages(name);
}

static void nobody(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(nx_notify("READY=1", "fine", NULL), NX_OK);
    setenv("NOTIFY_SOCKET", "", 1);
    assert_int_equal(nx_notify("READY=1", "fine", NULL), NX_OK);
}

static void says_what_is_wrong(void **state)
{
    char     name[200];
    nx_error err;

    (void)state;
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    assert_int_equal(nx_notify("READY=1", NULL, &err), NX_EIO);
    setenv("NOTIFY_SOCKET", "relative", 1);
    assert_int_equal(nx_notify("READY=1", NULL, &err), NX_EINVAL);
    setenv("NOTIFY_SOCKET", "@", 1);
    assert_int_equal(nx_notify("READY=1", NULL, &err), NX_EINVAL);
    memset(name, 'a', sizeof name - 1);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    assert_int_equal(nx_notify("READY=1", NULL, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "NOTIFY_SOCKET"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_path),
        cmocka_unit_test(by_abstract_name),
        cmocka_unit_test(nobody),
        cmocka_unit_test(says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
