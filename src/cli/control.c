/* control.c - HTTP over a socket file that only we can open. */
#include "cli/control.h"

#include <stdio.h>

#include "server/datadir.h"

/* What the server says is wrong: {"error": {"message": ..}} or {"error": ".."}. */
static nx_status refusal(int status, const nx_json *answer, nx_error *err)
{
    const nx_json  *e = nx_json_get(answer, "error");
    nx_str          text = {0};
    const nx_status st = status == 404 ? NX_ENOENT : NX_EINVAL;

    if (!nx_json_get_string(answer, "error", &text)) (void)nx_json_get_string(e, "message", &text);
    if (!text.len) return nx_fail(err, st, "the server refuses: status %d", status);
    return nx_fail(err, st, "the server refuses: %.*s", (int)(text.len < 300 ? text.len : 300),
                   text.p);
}

nx_status nx_control_ask(nx_http *http, const char *socket, const char *method, const char *path,
                         nx_str body, nx_json_doc *doc, nx_buf *text, nx_error *err)
{
    char          url[256];
    nx_http_reply reply;
    nx_http_call  call = {.method = method, .url = url, .unix_path = socket, .body = body};

    *doc = (nx_json_doc){0};
    snprintf(url, sizeof url, "http://localhost%s", path);
    nx_status st = nx_http_send(http, &reply, &call, text, err);
    if (st && reply.unreachable) return NX_EBUSY;
    if (st) return nx_fail_prefix(err, st, "%s", socket);
    st = nx_json_parse(doc, "the server's answer", text->data ? text->data : "", text->len, 0, err);
    if (reply.status >= 200 && reply.status < 300) return st;
    return refusal(reply.status, doc->root, err);
}

nx_status nx_control_ask_once(const char *data, const char *method, const char *path, nx_str body,
                              nx_json_doc *doc, nx_buf *text, nx_error *err)
{
    nx_datadir dir;
    nx_http   *http = NULL;
    nx_status  st = nx_datadir_find(&dir, data, err);

    *doc = (nx_json_doc){0};
    if (!st) st = nx_http_create(&http, err);
    if (!st) st = nx_control_ask(http, dir.socket, method, path, body, doc, text, err);
    if (st == NX_EBUSY)
        nx_fail(err, st, "no server runs over %s. Start one: nexus serve", dir.path);
    nx_http_destroy(http);
    return st;
}
