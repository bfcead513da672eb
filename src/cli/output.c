/* output.c - standard output, where a failure is never lost.
 *
 * Owns:      the buffer before stdout, and the first failure.
 * Invariant: after a failure nothing more is written.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

static struct {
    char   data[16384];
    size_t len;
    int    failed; /* errno of the first failed write; 0: none */
} out;

static nx_status send_all(const char *p, size_t n)
{
    while (n > 0 && !out.failed) {
        ssize_t done = write(1, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            out.failed = errno;
            break;
        }
        p += done;
        n -= (size_t)done;
    }
    return out.failed ? NX_EIO : NX_OK;
}

nx_status nx_out_flush(void)
{
    nx_status st = send_all(out.data, out.len);

    out.len = 0;
    return st;
}

nx_status nx_out_write(const void *bytes, size_t n)
{
    if (n > sizeof out.data - out.len && nx_out_flush()) return NX_EIO;
    if (n > sizeof out.data) return send_all(bytes, n);
    memcpy(out.data + out.len, bytes, n);
    out.len += n;
    return out.failed ? NX_EIO : NX_OK;
}

nx_status nx_out_printf(const char *fmt, ...)
{
    char    line[1024];
    va_list args;
    char   *text = line;
    int     n;

    va_start(args, fmt);
    n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n < 0) return NX_EINTERNAL;
    if ((size_t)n >= sizeof line) {
        text = nx_alloc((size_t)n + 1, 1);
        if (!text) return NX_ENOMEM;
        va_start(args, fmt);
        vsnprintf(text, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    nx_status st = nx_out_write(text, (size_t)n);
    if (text != line) nx_free(text);
    return st;
}

bool nx_out_gone(void)
{
    return out.failed == EPIPE;
}

int nx_out_finish(void)
{
    nx_out_flush();
    if (!out.failed) return NX_CLI_DONE;
    if (!nx_out_gone()) nx_log_error("stdout: %s", strerror(out.failed));
    return NX_CLI_FAILED;
}
