/* access_log.c - a bounded queue of lines, and the thread that writes them.
 *
 * Owns:      `waiting`, filled by callers, and `writing`, which the thread takes in exchange for it:
 *            the lock is held for a copy of one line, never for a write.
 * Invariant: n_lines and n_bytes count the lines of both buffers, so the bounds hold for all of it.
 * Idea:      a pipe with PIPE_BUF bytes of room takes that much without blocking, and poll says when
 *            it has; so the thread never sits in a write that closing can't end. (O_NONBLOCK would
 *            change stdout for everyone who shares it.)
 */
#include "server/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/jsonwrite.h"
#include "base/log.h"
#include "base/utf8.h"
#include "os/clock.h"

#define WORD_MAX       256          /* bytes of an id, a name, a template */
#define PATH_BYTES     1024         /* of the path as it was asked */
#define PROMPT_MAX     (64u << 10)  /* of the prompt */
#define LINE_MAX_BYTES (512u << 10) /* escapes make six bytes of one */
#define KEEP_BYTES     (256u << 10) /* a buffer that a burst made larger is given back */
#define POLL_MS        100

struct nx_access_log {
    nx_access_log_options opt;
    char                 *path; /* NULL: fd isn't ours */

    /* The thread's. */
    pthread_t thread;
    int       fd;
    bool      is_file; /* a regular file: writes don't wait for a reader */
    bool      torn;    /* the last byte written wasn't the end of a line */
    nx_buf    writing;
    uint64_t  n_told;     /* drops that a line has told */
    int64_t   give_up_ns; /* 0: not closing, or no reader has kept us waiting yet */

    _Atomic uint64_t n_dropped;
    atomic_bool      stop; /* changed under lock */

    /* Under lock. */
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    nx_buf          waiting;
    size_t          n_waiting; /* lines in `waiting` */
    size_t          n_lines, n_bytes;
    bool            reopen;
};

void nx_access_log_options_default(nx_access_log_options *opt)
{
    *opt = (nx_access_log_options){
        .fd = 1, .lines_max = 4096, .bytes_max = (size_t)4 << 20, .flush_ms = 5000};
}

void nx_access_entry_default(nx_access_entry *e)
{
    *e = (nx_access_entry){.bytes = -1,
                           .duration_ms = -1,
                           .queue_ms = -1,
                           .ttft_ms = -1,
                           .n_prompt = -1,
                           .n_cached = -1,
                           .n_generated = -1};
}

/* ---- One line ---- */

/* n digits of lower-case hex, not all of them 0 unless zeros may be. */
static bool is_hex(const char *s, size_t n, bool zeros)
{
    bool any = zeros;

    for (size_t i = 0; i < n; i++) {
        if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f')) return false;
        if (s[i] != '0') any = true;
    }
    return any;
}

/* version "-" trace-id "-" parent-id "-" flags: 2, 32, 16 and 2 digits. Version 00 ends there; a
 * later one may go on behind another "-"; ff is none. */
bool nx_traceparent_read(char trace_id[33], const char *header)
{
    const size_t n = 55;

    trace_id[0] = '\0';
    if (!header || strnlen(header, n + 1) < n) return false;
    if (!is_hex(header, 2, true) || strncmp(header, "ff", 2) == 0) return false;
    if (header[2] != '-' || header[35] != '-' || header[52] != '-') return false;
    if (!is_hex(header + 3, 32, false) || !is_hex(header + 36, 16, false)) return false;
    if (!is_hex(header + 53, 2, true)) return false;
    if (header[n] && (strncmp(header, "00", 2) == 0 || header[n] != '-')) return false;
    memcpy(trace_id, header + 3, 32);
    trace_id[32] = '\0';
    return true;
}

/* RFC 3339 with milliseconds: 2026-11-25T18:00:00.123Z */
static void add_time(nx_jw *w)
{
    const int64_t ms = nx_clock_unix_ms();
    const time_t  seconds = (time_t)(ms / 1000);
    struct tm     tm;
    char          day[32], text[48];

    gmtime_r(&seconds, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "%s.%03dZ", day, (int)(ms % 1000));
    nx_jw_text(w, "ts", text);
}

static void add_cut(nx_jw *w, const char *key, nx_str s, size_t max)
{
    if (!s.p) return;
    if (s.len > max) s.len = max - nx_utf8_partial_tail(s.p, max);
    nx_jw_string(w, key, s);
}

static void add_text(nx_jw *w, const char *key, const char *text, size_t max)
{
    if (text) add_cut(w, key, (nx_str){text, strnlen(text, max + 1)}, max);
}

static void add_count(nx_jw *w, const char *key, int64_t n)
{
    if (n >= 0) nx_jw_int(w, key, n);
}

/* Milliseconds, to the microsecond. */
static void add_ms(nx_jw *w, const char *key, double ms)
{
    if (ms >= 0 && ms < 1e12) nx_jw_number(w, key, (double)(int64_t)(ms * 1000 + 0.5) / 1000, 15);
}

static void add_request(nx_jw *w, const nx_access_entry *e)
{
    char trace_id[33];

    add_text(w, "request_id", e->request_id, WORD_MAX);
    if (nx_traceparent_read(trace_id, e->traceparent)) nx_jw_text(w, "trace_id", trace_id);
    add_text(w, "key_id", e->key_id, WORD_MAX);
    add_text(w, "peer", e->peer, WORD_MAX);
    add_text(w, "method", e->method, WORD_MAX);
    add_text(w, "route", e->route, WORD_MAX);
    add_text(w, "path", e->path, PATH_BYTES);
    nx_jw_int(w, "status", e->status);
    nx_jw_bool(w, "complete", e->complete);
    add_count(w, "bytes", e->bytes);
    add_ms(w, "duration_ms", e->duration_ms);
    add_ms(w, "queue_ms", e->queue_ms);
    add_ms(w, "ttft_ms", e->ttft_ms);
    add_count(w, "prompt_tokens", e->n_prompt);
    add_count(w, "cached_tokens", e->n_cached);
    add_count(w, "generated_tokens", e->n_generated);
    add_text(w, "finish_reason", e->finish_reason, WORD_MAX);
    add_text(w, "model", e->model, WORD_MAX);
}

static void begin_line(nx_jw *w, const char *level, const char *event)
{
    nx_jw_open(w, NULL, '{');
    add_time(w);
    nx_jw_text(w, "level", level);
    nx_jw_text(w, "event", event);
}

static void end_line(nx_jw *w)
{
    nx_jw_close(w, '}');
    if (!w->st) w->st = nx_buf_add(&w->buf, "\n", 1, &w->err);
}

/* ---- The queue ---- */

static void drop(nx_access_log *log, size_t n_lines)
{
    atomic_fetch_add_explicit(&log->n_dropped, n_lines, memory_order_relaxed);
}

static void push(nx_access_log *log, const char *line, size_t len)
{
    bool full;

    pthread_mutex_lock(&log->lock);
    full = log->n_lines >= log->opt.lines_max || len > log->opt.bytes_max - log->n_bytes ||
           nx_buf_add(&log->waiting, line, len, NULL);
    if (!full) {
        log->n_waiting++;
        log->n_lines++;
        log->n_bytes += len;
        pthread_cond_signal(&log->wake);
    }
    pthread_mutex_unlock(&log->lock);
    if (full) drop(log, 1);
}

void nx_access_log_write(nx_access_log *log, const nx_access_entry *e)
{
    nx_jw w = {.buf.max = LINE_MAX_BYTES};

    begin_line(&w, e->status >= 500 ? "error" : "info", "request");
    add_request(&w, e);
    if (log->opt.with_prompts) add_cut(&w, "prompt", e->prompt, PROMPT_MAX);
    end_line(&w);
    if (w.st)
        drop(log, 1);
    else
        push(log, w.buf.data, w.buf.len);
    nx_buf_free(&w.buf);
}

void nx_access_log_reopen(nx_access_log *log)
{
    pthread_mutex_lock(&log->lock);
    log->reopen = log->path != NULL;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
}

uint64_t nx_access_log_dropped(const nx_access_log *log)
{
    return atomic_load_explicit(&log->n_dropped, memory_order_relaxed);
}

/* ---- The writing thread ---- */

/* Until fd takes PIPE_BUF bytes at once. False: closing has waited for it long enough. */
static bool wait_writable(nx_access_log *log)
{
    struct pollfd p = {.fd = log->fd, .events = POLLOUT};

    while (poll(&p, 1, POLL_MS) <= 0) {
        if (!atomic_load(&log->stop)) continue;
        if (!log->give_up_ns)
            log->give_up_ns = nx_clock_ns() + (int64_t)log->opt.flush_ms * 1000000;
        if (nx_clock_ns() >= log->give_up_ns) return false;
    }
    return true; /* or an error, which the write will tell */
}

/* As much of s as can be written; returns how much that was. */
static size_t write_bytes(nx_access_log *log, const char *s, size_t len)
{
    size_t done = 0;

    while (done < len) {
        size_t n = len - done;
        if (!log->is_file) {
            if (n > PIPE_BUF) n = PIPE_BUF;
            if (!wait_writable(log)) break;
        }
        const ssize_t got = write(log->fd, s + done, n);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) break;
        done += (size_t)got;
        log->torn = s[done - 1] != '\n';
    }
    return done;
}

/* The same for whole lines, apart from what a failed write has left of one. */
static size_t write_some(nx_access_log *log, const char *lines, size_t len)
{
    if (log->torn && !write_bytes(log, "\n", 1)) return 0;
    return write_bytes(log, lines, len);
}

static size_t count_lines(const char *s, size_t len)
{
    size_t n = 0;

    for (const char *end = s + len; s < end; n++) {
        const char *line = memchr(s, '\n', (size_t)(end - s));
        s = line ? line + 1 : end;
    }
    return n;
}

/* After lost lines: how many are missing. */
static void tell_dropped(nx_access_log *log)
{
    const uint64_t n = nx_access_log_dropped(log);
    nx_jw          w = {.buf.max = 1024};

    if (n == log->n_told) return;
    begin_line(&w, "warn", "log_dropped");
    nx_jw_u64(&w, "dropped", n - log->n_told);
    end_line(&w);
    if (!w.st && write_some(log, w.buf.data, w.buf.len) == w.buf.len) log->n_told = n;
    nx_buf_free(&w.buf);
}

static void write_lines(nx_access_log *log, const char *lines, size_t len)
{
    tell_dropped(log);
    const size_t done = write_some(log, lines, len);
    if (done < len) drop(log, count_lines(lines + done, len - done));
    tell_dropped(log);
}

static void look_at_fd(nx_access_log *log)
{
    struct stat st;

    log->is_file = fstat(log->fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

static void open_again(nx_access_log *log)
{
    const int fd = open_path(log->path);

    if (fd < 0) {
        nx_log_warn("access log %s: can't be opened again: %s. The old file stays in use",
                    log->path, strerror(errno));
        return;
    }
    close(log->fd);
    log->fd = fd;
    log->torn = false;
    look_at_fd(log);
}

/* Wait for something to do, and take it: lines into log->writing. False: nothing more comes. */
static bool take(nx_access_log *log, size_t *n_lines, bool *reopen)
{
    pthread_mutex_lock(&log->lock);
    while (!log->n_waiting && !log->reopen && !atomic_load(&log->stop))
        pthread_cond_wait(&log->wake, &log->lock);
    const nx_buf lines = log->waiting;
    log->waiting = log->writing;
    log->writing = lines;
    *n_lines = log->n_waiting;
    log->n_waiting = 0;
    *reopen = log->reopen;
    log->reopen = false;
    pthread_mutex_unlock(&log->lock);
    return *n_lines || *reopen;
}

/* The lines of log->writing are done with: there is room again. */
static void give_room(nx_access_log *log, size_t n_lines)
{
    pthread_mutex_lock(&log->lock);
    log->n_lines -= n_lines;
    log->n_bytes -= log->writing.len;
    pthread_mutex_unlock(&log->lock);
    if (log->writing.cap > KEEP_BYTES) nx_buf_free(&log->writing);
    nx_buf_clear(&log->writing);
}

static void *writer_main(void *arg)
{
    nx_access_log *log = arg;
    size_t         n_lines;
    bool           reopen;

    while (take(log, &n_lines, &reopen)) {
        if (reopen) open_again(log);
        if (n_lines) write_lines(log, log->writing.data, log->writing.len);
        give_room(log, n_lines);
    }
    return NULL;
}

/* ---- Life ---- */

static void destroy(nx_access_log *log)
{
    if (log->path && log->fd >= 0) close(log->fd);
    nx_buf_free(&log->waiting);
    nx_buf_free(&log->writing);
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->lock);
    nx_free(log->path);
    nx_free(log);
}

/* Signals belong to the program's main thread; a closed pipe is an error of write, not the end. */
static nx_status start(nx_access_log *log, nx_error *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&log->thread, NULL, writer_main, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? nx_fail(err, NX_ENOMEM, "access log: its thread did not start") : NX_OK;
}

static nx_status set_up(nx_access_log *log, nx_error *err)
{
    const char *path = log->opt.path;

    log->opt.path = NULL;
    if (path) {
        log->fd = -1;
        log->path = nx_strdup(path);
        if (!log->path) return nx_fail(err, NX_ENOMEM, "access log %s", path);
        log->fd = open_path(path);
        if (log->fd < 0)
            return nx_fail(err, NX_EIO,
                           "access log %s: %s. Does the folder exist, may we write there?", path,
                           strerror(errno));
    }
    look_at_fd(log);
    return start(log, err);
}

nx_status nx_access_log_open(nx_access_log **out, const nx_access_log_options *opt, nx_error *err)
{
    if (!opt->lines_max || !opt->bytes_max)
        return nx_fail(err, NX_EINVAL, "access log: room for %zu lines of %zu bytes, expected more",
                       opt->lines_max, opt->bytes_max);
    nx_access_log *log = nx_calloc(1, sizeof *log);
    if (!log) return nx_fail(err, NX_ENOMEM, "access log");
    log->opt = *opt;
    log->fd = opt->fd;
    log->waiting.max = log->writing.max = opt->bytes_max;
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->wake, NULL);
    nx_status st = set_up(log, err);
    if (st)
        destroy(log);
    else
        *out = log;
    return st;
}

void nx_access_log_close(nx_access_log *log)
{
    if (!log) return;
    pthread_mutex_lock(&log->lock);
    atomic_store(&log->stop, true);
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->thread, NULL);
    destroy(log);
}
