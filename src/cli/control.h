/* control.h - a word with the server that runs, through the control socket of its data folder.
 *
 * Thread: one at a time.
 */
#ifndef NX_CLI_CONTROL_H
#define NX_CLI_CONTROL_H

#include "base/jsonread.h"
#include "net/http.h"

/* One exchange. *doc is the answer's JSON, whose text is in *text (zeroed but for its ceiling); both are
 * to be freed in any case. body: JSON; p NULL: none. NX_EBUSY: nobody listens (yet); NX_ENOENT (404) and
 * NX_EINVAL: the server refuses, with its words; NX_EIO, NX_EFORMAT. */
nx_status nx_control_ask(nx_http *http, const char *socket, const char *method, const char *path,
                         nx_str body, nx_json_doc *doc, nx_buf *text, nx_error *err);

/* The same for one question to the server of a data folder (NULL: the default one). NX_EBUSY says that no
 * server runs there. */
nx_status nx_control_ask_once(const char *data, const char *method, const char *path, nx_str body,
                              nx_json_doc *doc, nx_buf *text, nx_error *err);

#endif
