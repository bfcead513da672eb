/* ingest_report.c - how it stands, in words that fit on a line. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "rag/ingest_in.h"

enum { LINE_MAX_BYTES = 16384 };

void nx_ingest_init(nx_ingest *i)
{
    *i = (nx_ingest){0};
    pthread_mutex_init(&i->lock, NULL);
}

void nx_ingest_free(nx_ingest *i)
{
    for (size_t k = 0; k < i->n_skips; k++) {
        nx_free(i->skips[k].source);
        nx_free(i->skips[k].reason);
    }
    nx_free(i->skips);
    pthread_mutex_destroy(&i->lock);
    *i = (nx_ingest){0};
}

static nx_status escape_byte(nx_buf *out, unsigned char c, nx_error *err)
{
    if (c == '\n') return nx_buf_add(out, "\\n", 2, err);
    if (c == '\t') return nx_buf_add(out, "\\t", 2, err);
    return nx_buf_addf(out, err, "\\x%02X", c);
}

nx_status nx_ingest_escape(nx_buf *out, nx_str text, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t at = 0, n; !st && at < text.len; at += n) {
        uint32_t c = nx_utf8_decode(text.p + at, text.len - at, &n);
        if (c != NX_UTF8_BAD && !nx_utf8_is_control(c))
            st = nx_buf_add(out, text.p + at, n, err);
        else
            for (size_t k = 0; !st && k < n; k++)
                st = escape_byte(out, (unsigned char)text.p[at + k], err);
    }
    return st;
}

static char *line_of(nx_str text)
{
    nx_buf b = {.max = LINE_MAX_BYTES};
    char  *s = nx_ingest_escape(&b, text, NULL) && !b.data ? NULL
                                                           : nx_strndup(b.data ? b.data : "", b.len);

    nx_buf_free(&b);
    return s;
}

/* Under lock. False: no memory for one more, or as many as are kept. */
static bool room_for_skip(nx_ingest *i)
{
    if (i->n_skips < i->cap_skips) return true;
    if (i->n_skips >= NX_SKIPS_MAX) return false;
    size_t   cap = i->cap_skips ? 2 * i->cap_skips : 16;
    nx_skip *grown = nx_realloc(i->skips, cap, sizeof *grown);
    if (!grown) return false;
    i->skips = grown;
    i->cap_skips = cap;
    return true;
}

void nx_ingest_skip(nx_ingest *i, const char *source, const char *fmt, ...)
{
    char    reason[NX_ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(reason, sizeof reason, fmt, args);
    va_end(args);
    nx_skip skip = {line_of(nx_str_of(source)), line_of(nx_str_of(reason))};
    pthread_mutex_lock(&i->lock);
    i->n_skipped++;
    bool kept = skip.source && skip.reason && room_for_skip(i);
    if (kept) i->skips[i->n_skips++] = skip;
    pthread_mutex_unlock(&i->lock);
    if (kept) return;
    nx_free(skip.source);
    nx_free(skip.reason);
}

void nx_ingest_tell(nx_ingest *i, const char *current)
{
    nx_buf b = {.max = LINE_MAX_BYTES};
    size_t n = sizeof i->current - 1, from = 0;

    (void)nx_ingest_escape(&b, nx_str_of(current), NULL);
    if (b.len > n) from = b.len - n; /* the end of a path says most */
    while (from < b.len && ((unsigned char)b.data[from] & 0xC0) == 0x80) from++;
    pthread_mutex_lock(&i->lock);
    if (b.len) memcpy(i->current, b.data + from, b.len - from);
    i->current[b.len - from] = '\0';
    pthread_mutex_unlock(&i->lock);
    nx_buf_free(&b);
}
