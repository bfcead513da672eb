/* hub_http.h - talking to a hub: who asks, what is tried again, and what a refusal means.
 *
 * Within format/ only. Thread: one a talk.
 */
#ifndef NX_FORMAT_HUB_HTTP_H
#define NX_FORMAT_HUB_HTTP_H

#include "format/hub.h"
#include "net/http.h"

#define NX_HUB_TRIES 6 /* in a row without a byte of progress */

typedef struct nx_hub_talk {
    const nx_hub      *hub;
    const nx_hub_name *name;
    const atomic_bool *cancel;
    nx_http           *http;
    int                tries; /* failures in a row */
} nx_hub_talk;

/* NX_EUNSUPPORTED when HF_HUB_OFFLINE is set. */
nx_status nx_hub_talk_begin(nx_hub_talk *t, const nx_hub *hub, const nx_hub_name *name,
                            const atomic_bool *cancel, nx_error *err);
void      nx_hub_talk_end(nx_hub_talk *t);

/* One request with token and cancellation, without a second try. NX_OK: reply->status is 200, 206
 * or 416. Else the failure, as the user should read it; *again: trying again may help, after
 * nx_hub_talk_pause. path: the file asked for, or NULL. */
nx_status nx_hub_talk_get(nx_hub_talk *t, nx_http_reply *reply, nx_http_request *rq,
                          const char *path, bool *again, nx_error *err);

/* Wait before another try: what the server asked for, else longer each time. False: enough tries,
 * or the server asks for more patience than we have; err then stands. */
bool nx_hub_talk_pause(nx_hub_talk *t, const nx_http_reply *reply);

/* The whole answer as text, tried again where that helps. */
nx_status nx_hub_talk_get_all(nx_hub_talk *t, nx_http_reply *reply, nx_http_request *rq,
                              nx_buf *out, nx_error *err);

#endif
