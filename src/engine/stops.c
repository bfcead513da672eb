/* stops.c - stop texts in a stream. */
#define _GNU_SOURCE /* memmem */
#include "engine/stops.h"

#include <string.h>

/* Length of the longest ending of text that is a proper beginning of stop. */
static size_t overlap(nx_str text, nx_str stop)
{
    size_t most = stop.len - 1 < text.len ? stop.len - 1 : text.len;

    for (size_t n = most; n > 0; n--)
        if (memcmp(text.p + text.len - n, stop.p, n) == 0) return n;
    return 0;
}

bool nx_stops_scan(const nx_stops *s, size_t *n_ready)
{
    nx_str text = {s->held.data, s->held.len};
    bool   found = false;
    size_t keep = 0;

    *n_ready = text.len;
    for (size_t i = 0; i < s->n_stop && text.len > 0; i++) {
        nx_str stop = s->stop[i];
        if (stop.len == 0) continue;
        const char *at = memmem(text.p, text.len, stop.p, stop.len);
        if (at && (size_t)(at - text.p) < *n_ready + !found) {
            *n_ready = (size_t)(at - text.p);
            found = true;
        }
        size_t n = overlap(text, stop);
        if (n > keep) keep = n;
    }
    if (!found) *n_ready = text.len - keep;
    return found;
}

void nx_stops_drop(nx_stops *s, size_t n)
{
    if (n == 0) return;
    memmove(s->held.data, s->held.data + n, s->held.len - n);
    s->held.len -= n;
    s->held.data[s->held.len] = '\0';
}
