/* jsonout.c - a JSON value to stdout. */
#include "cli/cli.h"

int nx_jw_finish(nx_jw *w)
{
    int code;

    if (!w->st) w->st = nx_buf_add(&w->buf, "\n", 1, &w->err);
    if (w->st) {
        code = nx_cli_fail(&w->err);
    } else {
        nx_out_write(w->buf.data, w->buf.len);
        code = nx_out_finish();
    }
    nx_buf_free(&w->buf);
    return code;
}
