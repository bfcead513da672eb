/* httpd_listen.c - listening sockets: addresses, socket files, and what to say when one fails. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/httpd_in.h"

#define BACKLOG 1024

bool nx_host_is_loopback(const char *host)
{
    struct in_addr  v4;
    struct in6_addr v6;

    if (!host) return false;
    if (strcasecmp(host, "localhost") == 0) return true;
    if (inet_pton(AF_INET, host, &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) != 1) return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

/* ---- TCP ---- */

static nx_status tcp_failed(const char *host, uint16_t port, int e, nx_error *err)
{
    switch (e) {
    case EADDRINUSE:
        return nx_fail(
            err, NX_EIO,
            "listening on %s, port %u: in use. Is another server running? Choose another "
            "port, or stop it",
            host, port);
    case EACCES:
        return nx_fail(err, NX_EIO,
                       "listening on %s, port %u: not allowed. Ports below 1024 need privileges",
                       host, port);
    case EADDRNOTAVAIL:
        return nx_fail(err, NX_EIO,
                       "listening on %s, port %u: this machine has no such address. 127.0.0.1 is "
                       "this machine only, 0.0.0.0 all its addresses",
                       host, port);
    default: return nx_fail(err, NX_EIO, "listening on %s, port %u: %s", host, port, strerror(e));
    }
}

/* A listening socket at one resolved address; -1 with errno. */
static int open_at(const struct addrinfo *a)
{
    int on = 1, off = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t               len = sizeof a;

    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static nx_status open_tcp(nx_listener *l, const char *host, uint16_t port, nx_error *err)
{
    struct addrinfo  hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char             service[8];

    if (!host) host = "127.0.0.1";
    /* Both 127.0.0.1 and ::1 are called localhost: every client tries the first of them. */
    const char *node = strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    snprintf(service, sizeof service, "%u", port);
    int e = getaddrinfo(node, service, &hints, &found);
    if (e)
        return nx_fail(err, NX_EIO, "listening on %s: %s. Expected an address like 127.0.0.1", host,
                       gai_strerror(e));
    errno = EADDRNOTAVAIL;
    for (const struct addrinfo *a = found; a && l->fd < 0; a = a->ai_next) l->fd = open_at(a);
    e = errno;
    freeaddrinfo(found);
    if (l->fd < 0) return tcp_failed(host, port, e, err);
    l->port = port_of(l->fd);
    return NX_OK;
}

/* ---- Socket files ---- */

/* A socket file that nobody answers on is what a killed server left behind: remove it. */
static nx_status clear_path(const struct sockaddr_un *a, nx_error *err)
{
    struct stat st;

    if (lstat(a->sun_path, &st) != 0) return NX_OK; /* bind says what else is wrong */
    if (!S_ISSOCK(st.st_mode))
        return nx_fail(err, NX_EIO, "%s: exists, and is no socket. Choose another path",
                       a->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return nx_fail(err, NX_EIO, "%s: %s", a->sun_path, strerror(errno));
    int failed = connect(fd, (const struct sockaddr *)a, sizeof *a);
    int e = errno;
    close(fd);
    if (failed && e == ECONNREFUSED) {
        if (unlink(a->sun_path) == 0 || errno == ENOENT) return NX_OK;
        return nx_fail(err, NX_EIO, "%s: an old socket that can't be removed: %s", a->sun_path,
                       strerror(errno));
    }
    if (failed && e != EAGAIN) return nx_fail(err, NX_EIO, "%s: %s", a->sun_path, strerror(e));
    return nx_fail(err, NX_EIO, "%s: in use by another server. Choose another path, or stop it",
                   a->sun_path);
}

static nx_status open_unix(nx_listener *l, const char *path, nx_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat        st;
    size_t             len = strlen(path);

    if (len == 0 || len >= sizeof a.sun_path)
        return nx_fail(err, NX_EINVAL, "socket path of %zu bytes, expected 1 to %zu", len,
                       sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, len + 1);
    nx_status failed = clear_path(&a, err);
    if (failed) return failed;
    l->unix_path = nx_strdup(path);
    if (!l->unix_path) return nx_fail(err, NX_ENOMEM, "listener");

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The mode before bind, so that the file never has another one. */
    if (fd >= 0 && fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0) {
        if (listen(fd, BACKLOG) == 0 && lstat(path, &st) == 0) {
            l->fd = fd;
            l->unix_dev = st.st_dev;
            l->unix_ino = st.st_ino;
            return NX_OK;
        }
        unlink(path);
    }
    int e = errno;
    if (fd >= 0) close(fd);
    nx_free(l->unix_path);
    l->unix_path = NULL;
    return nx_fail(err, NX_EIO, "listening on %s: %s", path, strerror(e));
}

nx_status nx_listener_open(nx_listener *l, const nx_listen *where, nx_error *err)
{
    l->fd = -1;
    l->is_unix = where->unix_path != NULL;
    return l->is_unix ? open_unix(l, where->unix_path, err)
                      : open_tcp(l, where->host, where->port, err);
}

void nx_listener_close(nx_listener *l)
{
    struct stat st;

    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
    /* Another server may have replaced our file: that one is not ours to remove. */
    if (l->unix_path && lstat(l->unix_path, &st) == 0 && st.st_dev == l->unix_dev &&
        st.st_ino == l->unix_ino)
        unlink(l->unix_path);
    nx_free(l->unix_path);
    l->unix_path = NULL;
}
