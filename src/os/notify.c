/* notify.c - one datagram to $NOTIFY_SOCKET. */
#include "os/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define STATUS_MAX 512

/* A path, or "@name" for a name in the abstract space, which begins with a NUL. */
static nx_status read_address(struct sockaddr_un *at, socklen_t *len, const char *name,
                              nx_error *err)
{
    const size_t n = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || n < 2 || n > sizeof at->sun_path)
        return nx_fail(err, NX_EINVAL,
                       "NOTIFY_SOCKET=%.200s: expected /PATH or @NAME of at most %zu bytes", name,
                       sizeof at->sun_path);
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(at->sun_path, name, n);
    if (name[0] == '@') at->sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return NX_OK;
}

/* "KEY=VALUE\nSTATUS=...": a line break in the status would begin a message of its own. */
static size_t write_message(char *out, size_t cap, const char *state, const char *status)
{
    int n = snprintf(out, cap, "%s%s%s%.*s", state ? state : "", state && status ? "\n" : "",
                     status ? "STATUS=" : "", STATUS_MAX, status ? status : "");

    if (n < 0) return 0;
    if ((size_t)n >= cap) n = (int)cap - 1;
    for (char *p = out + (state ? strlen(state) + 1 : 0); p < out + n; p++)
        if (*p == '\n' || *p == '\r') *p = ' ';
    return (size_t)n;
}

static nx_status send_message(const struct sockaddr_un *at, socklen_t at_len, const char *message,
                              size_t len, nx_error *err)
{
    const struct timeval patience = {.tv_sec = 1};
    ssize_t              sent;
    int                  failed;

    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return nx_fail(err, NX_EIO, "NOTIFY_SOCKET: no socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    do sent = sendto(fd, message, len, MSG_NOSIGNAL, (const struct sockaddr *)at, at_len);
    while (sent < 0 && errno == EINTR);
    failed = sent < 0 ? errno : 0;
    close(fd);
    if (!failed) return NX_OK;
    return nx_fail(err, NX_EIO, "NOTIFY_SOCKET: the service manager takes no message: %s",
                   strerror(failed));
}

nx_status nx_notify(const char *state, const char *status, nx_error *err)
{
    const char        *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at;
    socklen_t          at_len = 0;
    char               message[2 * STATUS_MAX];

    if (!name || !*name) return NX_OK;
    nx_status st = read_address(&at, &at_len, name, err);
    if (st) return st;
    const size_t len = write_message(message, sizeof message, state, status);
    return len ? send_message(&at, at_len, message, len, err) : NX_OK;
}
