/* log.c - one line, one write.
 *
 * Invariant: options are set once, before threads start, so reading them needs no lock.
 */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"

#define TEXT_MAX 2048 /* bytes of one message; the rest is cut */

static nx_log_options log_opt = {.level = NX_LOG_INFO, .fd = 2};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const level_colours[] = {"\033[31m", "\033[33m", "\033[2m", "\033[2m"};

void nx_log_setup(const nx_log_options *opt)
{
    log_opt = *opt;
    if (log_opt.fd <= 0) log_opt.fd = 2;
}

static void write_all(const char *s, size_t len)
{
    while (len > 0) {
        ssize_t n = write(log_opt.fd, s, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; /* a log that can't be written has nobody to tell */
        s += n;
        len -= (size_t)n;
    }
}

/* 2026-11-23T03:00:00.123Z */
static void format_time(char *out, size_t cap, int64_t ms)
{
    time_t    seconds = (time_t)(ms / 1000);
    struct tm tm;
    char      day[32];

    gmtime_r(&seconds, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, cap, "%s.%03dZ", day, (int)(ms % 1000));
}

static void write_json(nx_log_level level, const char *text)
{
    nx_buf b = {.max = 6 * TEXT_MAX + 256}; /* a byte becomes at most \u0000 */
    char   when[48];

    nx_buf_add(&b, "{", 1, NULL);
    if (log_opt.clock_ms) {
        format_time(when, sizeof when, log_opt.clock_ms());
        nx_buf_addf(&b, NULL, "\"time\":\"%s\",", when);
    }
    nx_buf_addf(&b, NULL, "\"level\":\"%s\",\"message\":", level_names[level]);
    nx_json_add_string(&b, text, strlen(text), NULL);
    nx_buf_add(&b, "}\n", 2, NULL);
    if (b.data) write_all(b.data, b.len);
    nx_buf_free(&b);
}

/* A message may quote a name out of a stranger's file: no control character of it may reach the
 * terminal. (JSON escapes them.) */
static void blank_controls(char *text)
{
    for (char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) *p = '?';
    }
}

static void write_text(nx_log_level level, char *text)
{
    char        line[TEXT_MAX + 64]; /* the text, its level and its colours */
    const char *on = log_opt.colour ? level_colours[level] : "";
    const char *off = log_opt.colour ? "\033[0m" : "";
    int         n;

    blank_controls(text);
    if (level == NX_LOG_INFO)
        n = snprintf(line, sizeof line, "%s%s%s\n", on, text, off);
    else
        n = snprintf(line, sizeof line, "%snexus: %s:%s %s\n", on, level_names[level], off, text);
    write_all(line, (size_t)n);
}

void nx_log(nx_log_level level, const char *fmt, ...)
{
    char    text[TEXT_MAX];
    va_list args;

    if (level > log_opt.level) return;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0) return;
    if (n >= (int)sizeof text)
        text[sizeof text - 1 - nx_utf8_partial_tail(text, sizeof text - 1)] = '\0';
    if (log_opt.json)
        write_json(level, text);
    else
        write_text(level, text);
}
