/* collection_json.h - a collection's configuration in Qdrant's words, and what of it is ours.
 *
 * The words that its creator gave, with Qdrant's defaults where he gave none, are kept as the collection's
 * note: a JSON object that is the member "config" of what GET /collections/{c} answers. What the store
 * obeys (slots: sizes, distances, storage, models) is read from them once, when the collection is made.
 * Graph and optimiser settings are kept as words alone: every search is exact.
 */
#ifndef NX_SERVER_COLLECTION_JSON_H
#define NX_SERVER_COLLECTION_JSON_H

#include "server/qdrant.h"

/* The body of PUT /collections/{c}. Memory: c->kept. NX_EINVAL, NX_EUNSUPPORTED, NX_ELIMIT in Qdrant's
 * words. */
nx_status nx_collection_json_read(nx_config *out, nx_call *c, const nx_json *body, nx_error *err);

/* The note that is in force, as the body of PATCH /collections/{c} changes it. Memory: c->kept. */
nx_status nx_collection_json_patch(nx_str *out, nx_call *c, const nx_config *config,
                                   const nx_settings *settings, const nx_json *body, nx_error *err);

/* What stands in "config". config: where there is no note in settings, and for collections that were not
 * made by this API. */
nx_status nx_collection_json_write(nx_jw *w, const char *key, nx_call *c, const nx_config *config,
                                   const nx_settings *settings, nx_error *err);

/* JSON that was read, written again. */
void nx_json_write(nx_jw *w, const char *key, const nx_json *v);

#endif
