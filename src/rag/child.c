/* child.c - posix_spawn, prlimit and poll. */
#define _GNU_SOURCE /* pipe2, prlimit, addclosefrom_np */
#include "rag/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/utf8.h"

#define TICK_MS       50 /* between two looks at the clock and at cancel */
#define DESCRIPTORS   64
#define DEFAULT_PATH  "/usr/local/bin:/usr/bin:/bin"
#define COMPLAINT_MAX ((size_t)4096)

/* Our ends and its ends. -1: closed. */
typedef struct wires {
    int in, out, err;
    int its_in, its_out, its_err;
} wires;

static void close_one(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void close_all(wires *w)
{
    close_one(&w->in);
    close_one(&w->out);
    close_one(&w->err);
    close_one(&w->its_in);
    close_one(&w->its_out);
    close_one(&w->its_err);
}

/* A descriptor of 3 or more: 0 to 2 may be closed here, and are what they become there. */
static bool lift(int *fd)
{
    if (*fd > 2) return true;
    int higher = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    close(*fd);
    *fd = higher;
    return higher >= 0;
}

static nx_status lay_wires(wires *w, nx_error *err)
{
    int in[2], out[2], say[2];

    *w = (wires){-1, -1, -1, -1, -1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == 0)
        w->in = in[0], w->its_in = in[1];
    if (pipe2(out, O_CLOEXEC) == 0) w->out = out[0], w->its_out = out[1];
    if (pipe2(say, O_CLOEXEC) == 0) w->err = say[0], w->its_err = say[1];
    if (w->in >= 0 && w->out >= 0 && w->err >= 0 && lift(&w->its_in) && lift(&w->its_out) &&
        lift(&w->its_err))
        return NX_OK;
    int why = errno;
    close_all(w);
    return nx_fail(err, NX_EIO, "pipes for another program: %s", strerror(why));
}

/* ---- Start ---- */

static int start(pid_t *pid, const nx_child *job, const wires *w)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t          attr;
    char                       path[4096];
    const char                *ours = getenv("PATH");
    sigset_t                   none, all;
    char                       lang[] = "LC_ALL=C.UTF-8", home[] = "HOME=/nonexistent";

    snprintf(path, sizeof path, "PATH=%s", ours && strlen(ours) < 4000 ? ours : DEFAULT_PATH);
    char *env[] = {path, lang, home, NULL};
    if (posix_spawn_file_actions_init(&files)) return ENOMEM;
    if (posix_spawnattr_init(&attr)) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_adddup2(&files, w->its_in, 0);
    if (!rc) rc = posix_spawn_file_actions_adddup2(&files, w->its_out, 1);
    if (!rc) rc = posix_spawn_file_actions_adddup2(&files, w->its_err, 2);
    if (!rc) rc = posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    if (!rc)
        rc = posix_spawnp(pid, job->argv[0], &files, &attr, (char *const *)(uintptr_t)job->argv,
                          env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static bool limit(pid_t pid, __rlimit_resource_t what, uint64_t value)
{
    struct rlimit now, next = {value, value};

    if (prlimit(pid, what, NULL, &now) != 0) return false;
    if (now.rlim_max < next.rlim_max) next = (struct rlimit){now.rlim_max, now.rlim_max};
    return prlimit(pid, what, &next, NULL) == 0;
}

static bool limit_all(pid_t pid, const nx_child *job)
{
    uint64_t seconds = job->watch->seconds > 0 ? (uint64_t)job->watch->seconds : 1;

    return limit(pid, RLIMIT_AS, job->memory_bytes) && limit(pid, RLIMIT_CPU, seconds) &&
           limit(pid, RLIMIT_FSIZE, 0) && limit(pid, RLIMIT_CORE, 0) &&
           limit(pid, RLIMIT_NOFILE, DESCRIPTORS);
}

/* ---- Talk ---- */

static void feed(wires *w, nx_str *rest)
{
    if (rest->len) {
        ssize_t n = send(w->in, rest->p, rest->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n < 0) rest->len = 0; /* it has heard enough */
        if (n > 0) rest->p += n, rest->len -= (size_t)n;
    }
    if (rest->len == 0) close_one(&w->in);
}

static nx_status take(nx_child *job, wires *w, nx_error *err)
{
    char    piece[65536];
    ssize_t n = read(w->out, piece, sizeof piece);

    if (n < 0 && errno == EINTR) return NX_OK;
    if (n <= 0) {
        close_one(&w->out);
        return NX_OK;
    }
    nx_status st = nx_buf_add(job->out, piece, (size_t)n, err);
    if (st == NX_ELIMIT)
        return nx_fail(err, st, "its text is over %zu bytes (the limit)", job->out->max);
    return st;
}

/* The beginning of its complaints is kept, the rest goes unheard. */
static void listen_to(wires *w, nx_buf *said)
{
    char    piece[4096];
    ssize_t n = read(w->err, piece, sizeof piece);

    if (n < 0 && errno == EINTR) return;
    if (n <= 0) {
        close_one(&w->err);
        return;
    }
    size_t room = said->max - said->len;
    nx_buf_add(said, piece, (size_t)n < room ? (size_t)n : room, NULL);
}

static nx_status talk(nx_child *job, wires *w, nx_buf *said, nx_error *err)
{
    nx_str    rest = job->input;
    nx_status st = NX_OK;

    while (!st && (w->out >= 0 || w->err >= 0)) {
        struct pollfd p[3] = {{w->in, POLLOUT, 0}, {w->out, POLLIN, 0}, {w->err, POLLIN, 0}};
        st = nx_watch_check(job->watch, err);
        if (st || poll(p, 3, TICK_MS) <= 0) continue;
        if (p[0].revents && w->in >= 0) feed(w, &rest);
        if (p[2].revents && w->err >= 0) listen_to(w, said);
        if (p[1].revents && w->out >= 0) st = take(job, w, err);
    }
    return st;
}

/* ---- End ---- */

static int outcome(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? -WTERMSIG(status) : 255;
}

/* It has closed its outputs, so it is about to end; but nobody waits for that without a limit. */
static nx_status reap(nx_child *job, pid_t pid, nx_status st, nx_error *err)
{
    int   status = 0;
    pid_t got = 0;

    for (int ms = 0; !st && got == 0; ms = ms < 10 ? ms + 1 : 10) {
        got = waitpid(pid, &status, WNOHANG);
        if (got == 0) {
            poll(NULL, 0, ms);
            st = nx_watch_check(job->watch, err);
        }
    }
    if (got == 0) {
        kill(-pid, SIGKILL);
        do got = waitpid(pid, &status, 0);
        while (got < 0 && errno == EINTR);
    }
    job->status = got == pid ? outcome(status) : 0; /* somebody else reaped it: SIGCHLD ignored */
    return st;
}

/* The first line of what it said, fit to be shown. */
static void first_line(nx_child *job, const nx_buf *said)
{
    size_t n = 0, k;

    for (size_t i = 0; i < said->len && n + 4 < sizeof job->said; i += k) {
        uint32_t cp = nx_utf8_decode(said->data + i, said->len - i, &k);
        if (cp == '\n' && n) break;
        if (cp < ' ' || cp == 0x7F || cp == NX_UTF8_BAD || (cp >= 0x80 && cp < 0xA0)) {
            if (n) job->said[n++] = ' ';
            continue;
        }
        memcpy(job->said + n, said->data + i, k);
        n += k;
    }
    job->said[n] = '\0';
}

nx_status nx_child_run(nx_child *job, nx_error *err)
{
    wires     w;
    pid_t     pid;
    nx_buf    said = {.max = COMPLAINT_MAX};
    nx_status st = lay_wires(&w, err);

    job->said[0] = '\0';
    job->status = 0;
    if (st) return st;
    int rc = start(&pid, job, &w);
    close_one(&w.its_in);
    close_one(&w.its_out);
    close_one(&w.its_err);
    if (rc) {
        close_all(&w);
        return nx_fail(err,
                       rc == ENOENT   ? NX_ENOENT
                       : rc == ENOMEM ? NX_ENOMEM
                                      : NX_EIO,
                       "%s: %s", job->argv[0], strerror(rc));
    }
    if (!limit_all(pid, job))
        st = nx_fail(err, NX_EIO, "limits for %s: %s", job->argv[0], strerror(errno));
    if (!st) st = talk(job, &w, &said, err);
    st = reap(job, pid, st, err);
    first_line(job, &said);
    close_all(&w);
    nx_buf_free(&said);
    return st;
}
