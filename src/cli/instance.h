/* instance.h - the collections of a data folder, whoever holds it: the server that runs is asked through
 * the folder's control socket; where none runs, one runs inside this command for as long as it takes, with
 * the models that it needs, and is asked the same way. So there is one way to do each thing.
 *
 * Thread: one at a time, but for nx_instance_copy, which asks from a thread of its own.
 */
#ifndef NX_CLI_INSTANCE_H
#define NX_CLI_INSTANCE_H

#include "base/jsonread.h"
#include "base/jsonwrite.h"
#include "cli/cli.h"
#include "net/http.h"
#include "server/datadir.h"
#include "server/server.h"

typedef struct nx_instance {
    nx_datadir                 dir;
    nx_http                   *http;
    nx_server                 *own;    /* NULL: another process serves */
    struct nx_instance_models *models; /* what own was given */
} nx_instance;

/* data NULL: the default folder. NX_EIO, NX_EBUSY (held by a command, or a server that doesn't answer). */
nx_status nx_instance_open(nx_instance *i, const char *data, nx_error *err);

/* The same for what needs models. A server that runs has its own, and these don't count. */
typedef struct nx_instance_needs {
    nx_model_opts
        m; /* threads, ctx and so on; m.model: the language model, NULL: the one that ships */
    const char *embedding; /* NULL: the one that ships */
    bool        generates; /* a language model, too; the embedding model is there in any case */
} nx_instance_needs;
nx_status nx_instance_open_for(nx_instance *i, const char *data, const nx_instance_needs *needs,
                               nx_error *err);
void      nx_instance_close(nx_instance *i); /* zeroed or closed: does nothing */

/* The name by which the instance knows an embedding model: needs->embedding is a path or an alias, and one that
 * runs inside this command has given it a name of its own. */
const char *nx_instance_embedding(const nx_instance *i, const char *given);

/* An answer: *doc is JSON whose text is in text. */
typedef struct nx_said {
    nx_json_doc    doc;
    nx_buf         text;
    const nx_json *result; /* Qdrant's "result"; NULL: there is none */
} nx_said;

void nx_said_free(nx_said *s);

/* One exchange. body NULL: none; it is freed. NX_ENOENT (404), NX_EBUSY (409), NX_EINVAL and so on: the
 * server's words are in err. s is to be freed in any case. */
nx_status nx_instance_ask(nx_instance *i, const char *method, const char *path, nx_jw *body,
                          nx_said *s, nx_error *err);

/* A stream of events, {"type": ..} each, handed over as they come with their text, until "[DONE]". body is
 * freed. What on_event returns but NX_OK ends it. NX_ECANCELLED: cancel (may be NULL) was set; the rest as above. */
typedef nx_status (*nx_event_fn)(void *ctx, const nx_json *event, nx_str text, nx_error *err);
nx_status nx_instance_stream(nx_instance *i, const char *path, nx_jw *body, nx_event_fn on_event,
                             void *ctx, const atomic_bool *cancel, nx_error *err);

/* The same of what takes long (/admin/backup and its like): a bar, and Ctrl-C stops it. */
nx_status nx_instance_copy(nx_instance *i, const char *label, const char *path, nx_jw *body,
                           nx_said *s, nx_error *err);

/* "/collections/NAME" and what follows, the name escaped. */
nx_status nx_collection_url(nx_buf *out, const char *name, const char *rest, nx_error *err);

/* out[cap]: an absolute path. NX_ELIMIT, NX_EIO. */
nx_status nx_absolute_path(char *out, size_t cap, const char *path, nx_error *err);

/* Bytes of an answer as they are, appended to out. Failures as of nx_instance_ask. */
nx_status nx_instance_fetch(nx_instance *i, const char *path, nx_buf *out, nx_error *err);

/* What a Qdrant server's refusal says, with the status that fits: also of one elsewhere. */
nx_status nx_qdrant_refusal(int status, const nx_json *answer, nx_error *err);

#endif
