/* keys_json.h - keys as JSON: what POST, GET and DELETE /admin/keys take and give, written and read by
 * the same lines for server and command.
 *
 *     POST   {name, scopes: [..], priority, requests_per_minute, tokens_per_day, expires_at,
 *             collections: [..], read_only, tags: [..]}
 *            -> {id, key, name, scopes, priority, requests_per_minute, tokens_per_day, created_at,
 *                expires_at, collections, read_only, tags}
 *     GET    -> {keys: [{id, name, ..., expires_at, revoked_at, last_used_at}]}
 *     DELETE -> {id, revoked_at}
 *
 * Times are Unix seconds or null; limits are 0 where there is none.
 * Thread: any.
 */
#ifndef NX_SERVER_KEYS_JSON_H
#define NX_SERVER_KEYS_JSON_H

#include "base/jsonread.h"
#include "base/jsonwrite.h"
#include "server/keys.h"

/* ---- The server's half ---- */

/* Options out of a POST's body; what it doesn't say is the default, fields that we don't know are
 * passed over. NX_EINVAL names the field: "scopes[1]: ...". */
nx_status nx_key_options_read(nx_key_options *opt, const nx_json *body, int64_t now_s,
                              nx_error *err);

/* One key; with its text (the only time that it is shown) as POST answers, without (NULL) as GET. */
void nx_key_write(nx_jw *w, const char *key, const nx_key_record *r, const char *text);
void nx_keys_write(nx_jw *w, const nx_key_record *v, size_t n); /* GET's whole answer */
void nx_key_write_revoked(nx_jw *w, const nx_key_record *r);    /* DELETE's */

/* ---- The client's half ---- */

void nx_key_options_write(nx_jw *w, const nx_key_options *opt);

/* What nx_key_write wrote; text[NX_KEY_TEXT_CAP] (may be NULL) gets the key, or "". DELETE's answer can
 * be read too. NX_EFORMAT. */
nx_status nx_key_read(nx_key_record *r, char *text, const nx_json *from, nx_error *err);

/* ---- Words ---- */

uint32_t    nx_key_scope_of(nx_str word); /* a bit of NX_KEY_ALL; 0: no such scope */
const char *nx_key_priority_name(nx_job_priority p);

#define NX_KEY_SCOPES_CAP 24
void nx_key_scopes_text(char out[NX_KEY_SCOPES_CAP], uint32_t scopes); /* "infer,rag" */

#endif
