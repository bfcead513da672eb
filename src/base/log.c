/* log.c - one line, one write.
 *
 * Invariant: options are set once, before threads start, so reading them needs no lock.
 */
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"

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
    nx_buf b = {.max = 16384};
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

static void write_text(nx_log_level level, const char *text)
{
    char        line[2200];
    const char *on = log_opt.colour ? level_colours[level] : "";
    const char *off = log_opt.colour ? "\033[0m" : "";
    int         n;

    if (level == NX_LOG_INFO)
        n = snprintf(line, sizeof line, "%s%s%s\n", on, text, off);
    else
        n = snprintf(line, sizeof line, "%snexus: %s:%s %s\n", on, level_names[level], off, text);
    if (n >= (int)sizeof line) {
        n = (int)sizeof line - 1;
        line[n - 1] = '\n';
    }
    write_all(line, (size_t)n);
}

void nx_log(nx_log_level level, const char *fmt, ...)
{
    char    text[2048];
    va_list args;

    if (level > log_opt.level) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (log_opt.json)
        write_json(level, text);
    else
        write_text(level, text);
}
