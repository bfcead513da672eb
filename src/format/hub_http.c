/* hub_http.c - one voice to the hub: retries, and a sentence for each way it can say no. */
#include "format/hub_http.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "format/printable.h"

#define PATIENCE_S 300 /* the longest Retry-After that we sit out */

nx_status nx_hub_talk_begin(nx_hub_talk *t, const nx_hub *hub, const nx_hub_name *name,
                            const atomic_bool *cancel, nx_error *err)
{
    *t = (nx_hub_talk){.hub = hub, .name = name, .cancel = cancel};
    if (hub->offline)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%s: HF_HUB_OFFLINE is set, so nothing is fetched. Unset it to pull",
                       name->repo);
    return nx_http_create(&t->http, err);
}

void nx_hub_talk_end(nx_hub_talk *t)
{
    nx_http_destroy(t->http);
    t->http = NULL;
}

/* ---- What a status means ---- */

static nx_status no_permission(const nx_hub_talk *t, const nx_http_reply *r, nx_error *err)
{
    const char *repo = t->name->repo, *at = t->hub->endpoint;

    if (strcmp(r->error_code, "GatedRepo") == 0)
        return nx_fail(err, NX_EIO,
                       "%s is gated: accept its licence at %s/%s, then %s and pull again", repo, at,
                       repo,
                       t->hub->token[0] ? "wait for its owners' approval"
                                        : "set HF_TOKEN to a token of yours");
    if (!t->hub->token[0])
        return nx_fail(err, NX_EIO,
                       "%s: there is no such model at %s, or it is private or gated and needs a "
                       "token: set HF_TOKEN",
                       repo, at);
    return nx_fail(err, NX_EIO,
                   "%s: %s doesn't let this token in (%d%s%s). Is HF_TOKEN right, and the licence "
                   "accepted at %s/%s?",
                   repo, at, r->status, r->error_message[0] ? ": " : "", r->error_message, at,
                   repo);
}

static nx_status not_found(const nx_hub_talk *t, const nx_http_reply *r, const char *path,
                           nx_error *err)
{
    const char *repo = t->name->repo, *at = t->hub->endpoint;

    if (strcmp(r->error_code, "RevisionNotFound") == 0)
        return nx_fail(err, NX_ENOENT, "%s has no revision \"%s\". See %s/%s", repo,
                       t->name->revision, at, repo);
    if (path || strcmp(r->error_code, "EntryNotFound") == 0)
        return nx_fail(err, NX_ENOENT, "%s: the file %s is no longer there. Pull again", repo,
                       path ? path : "asked for");
    return nx_fail(err, NX_ENOENT, "%s: there is no such model at %s. Is the name right?", repo,
                   at);
}

static nx_status refused(const nx_hub_talk *t, const nx_http_reply *r, const char *path,
                         nx_error *err)
{
    char said[320] = "", shown[256];

    if (r->status == 401 || r->status == 403) return no_permission(t, r, err);
    if (r->status == 404 || r->status == 410) return not_found(t, r, path, err);
    if (r->error_message[0])
        snprintf(said, sizeof said, ": %s",
                 nx_printable(shown, sizeof shown, nx_str_of(r->error_message)));
    if (r->status == 429 && r->retry_after_s >= 0)
        return nx_fail(err, NX_EIO,
                       "%s: %s limits how often we may ask (429). Pull again in %d s; what was "
                       "fetched is kept",
                       t->name->repo, t->hub->endpoint, r->retry_after_s);
    if (r->status == 429)
        return nx_fail(err, NX_EIO,
                       "%s: %s limits how often we may ask (429). Pull again later, or set "
                       "HF_TOKEN; what was fetched is kept",
                       t->name->repo, t->hub->endpoint);
    return nx_fail(err, NX_EIO, "%s: %s has trouble (status %d%s)%s", t->name->repo,
                   t->hub->endpoint, r->status, said,
                   r->status >= 500 ? ". Pull again later; what was fetched is kept" : "");
}

static nx_status no_answer(const nx_hub_talk *t, const nx_http_reply *r, const char *path,
                           nx_error *err)
{
    char why[NX_ERROR_TEXT_MAX];

    if (!err) return NX_EIO;
    snprintf(why, sizeof why, "%s", err->text);
    if (r->unreachable)
        return nx_fail(err, NX_EIO,
                       "%s: no connection to %s: %s. Is the network there, and HF_ENDPOINT right?",
                       t->name->repo, t->hub->endpoint, why);
    return nx_fail(err, NX_EIO,
                   "%s: the transfer%s%s broke off: %s. Pull again: what was fetched "
                   "is kept",
                   t->name->repo, path ? " of " : "", path ? path : "", why);
}

nx_status nx_hub_talk_get(nx_hub_talk *t, nx_http_reply *reply, nx_http_request *rq,
                          const char *path, bool *again, nx_error *err)
{
    rq->bearer = t->hub->token[0] ? t->hub->token : NULL;
    rq->cancel = t->cancel;
    nx_error  mine;
    nx_status st = nx_http_get(t->http, reply, rq, &mine);

    *again = false;
    if (st && err) *err = mine;
    if (st == NX_EIO && !reply->by_caller) {
        *again = true;
        return no_answer(t, reply, path, err);
    }
    if (st) return st;
    int s = reply->status;
    if (s == 200 || s == 206 || s == 416) return NX_OK;
    *again = s == 408 || s == 429 || s >= 500;
    return refused(t, reply, path, err);
}

bool nx_hub_talk_pause(nx_hub_talk *t, const nx_http_reply *reply)
{
    int64_t ms = (int64_t)250 << t->tries;

    if (++t->tries >= NX_HUB_TRIES) return false;
    if (reply->retry_after_s > PATIENCE_S) return false;
    if (reply->retry_after_s >= 0) ms = (int64_t)reply->retry_after_s * 1000;
    for (; ms > 0; ms -= 50) {
        if (t->cancel && atomic_load(t->cancel)) return false;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return true;
}

static nx_status gather(void *ctx, const nx_http_reply *reply, const void *bytes, size_t n,
                        nx_error *err)
{
    (void)reply;
    return nx_buf_add(ctx, bytes, n, err);
}

nx_status nx_hub_talk_get_all(nx_hub_talk *t, nx_http_reply *reply, nx_http_request *rq,
                              nx_buf *out, nx_error *err)
{
    nx_status st;
    bool      again;

    rq->on_data = gather;
    rq->ctx = out;
    t->tries = 0;
    do {
        nx_buf_clear(out);
        st = nx_hub_talk_get(t, reply, rq, NULL, &again, err);
    } while (st && again && nx_hub_talk_pause(t, reply));
    return st;
}
