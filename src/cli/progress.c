/* progress.c - how far, how fast, how long still: one line on a terminal. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"

#define APPEARS_AFTER_NS 500000000 /* short work needs no bar */
#define REDRAW_EVERY_NS  100000000

void nx_format_count(char *out, size_t cap, double n)
{
    static const char *const suffix[] = {"", " k", " M", " G", " T"};
    int                      i = 0;

    while (n >= 999.5 && i < 4) {
        n /= 1000;
        i++;
    }
    int decimals = n >= 99.95 || (i == 0 && n == (double)(int64_t)n) ? 0 : n >= 9.995 ? 1 : 2;
    snprintf(out, cap, "%.*f%s", decimals, n, suffix[i]);
}

void nx_format_bytes(char *out, size_t cap, uint64_t bytes)
{
    char number[24];

    nx_format_count(number, sizeof number, (double)bytes);
    snprintf(out, cap, "%s%sB", number, bytes < 1000 ? " " : "");
}

static void format_time(char *out, size_t cap, double s)
{
    if (s < 60)
        snprintf(out, cap, "%.0f s", s);
    else if (s < 3600)
        snprintf(out, cap, "%d:%02d min", (int)s / 60, (int)s % 60);
    else
        snprintf(out, cap, "%d:%02d h", (int)(s / 3600), (int)(s / 60) % 60);
}

static void draw(const nx_progress *p, int64_t done, int64_t total, double elapsed_s)
{
    const char *full = "########################", *empty = "........................";
    char        line[256], rate[32], left[32];
    int         n_bar = (int)strlen(full);
    int         n_full = (int)((double)n_bar * (double)done / (double)total);
    int         n;

    double new = (double)(done - p->base); /* what came since we began */
    nx_format_count(rate, sizeof rate, new / elapsed_s);
    format_time(left, sizeof left, elapsed_s * (double)(total - done) / (new > 0 ? new : 1));
    if (strcmp(p->unit, "B") == 0) {
        char some[32], all[32];
        nx_format_bytes(some, sizeof some, (uint64_t)done);
        nx_format_bytes(all, sizeof all, (uint64_t)total);
        n = snprintf(line, sizeof line, "%s [%.*s%.*s] %s/%s, %sB/s, %s left", p->label, n_full,
                     full, n_bar - n_full, empty, some, all, rate, left);
    } else {
        n = snprintf(line, sizeof line, "%s [%.*s%.*s] %lld/%lld %s, %s/s, %s left", p->label,
                     n_full, full, n_bar - n_full, empty, (long long)done, (long long)total,
                     p->unit, rate, left);
    }
    int width = nx_terminal_width(2) - 1; /* a full last column would wrap */
    dprintf(2, "\r%.*s\033[K", n < width ? n : width, line);
}

void nx_progress_begin(nx_progress *p, const char *label, const char *unit)
{
    *p = (nx_progress){.label = label, .unit = unit, .start_ns = nx_clock_ns()};
}

void nx_progress_at(nx_progress *p, int64_t done, int64_t total)
{
    int64_t now = nx_clock_ns();

    if (!nx_terminal_get()->err_redraw || done <= 0 || total <= 0 || done > total) return;
    if (now - p->start_ns < APPEARS_AFTER_NS || now - p->drawn_ns < REDRAW_EVERY_NS) return;
    p->drawn_ns = now;
    p->shown = true;
    draw(p, done, total, (double)(now - p->start_ns) * 1e-9);
}

void nx_progress_end(nx_progress *p)
{
    if (p->shown) dprintf(2, "\r\033[K");
    p->shown = false;
}
