/* shelf_in.h - a shelf's insides, shared by the files that put, queue, embed, move and sweep.
 *
 * Locks: a document's, one of a fixed number that all shelves of the process share (two documents may have
 *        the same). Held from looking at what is there until it is written, so that no two changes of one
 *        document mix. Who holds one takes no other; nx_shelf_lock_all takes them in order.
 */
#ifndef NX_RAG_SHELF_IN_H
#define NX_RAG_SHELF_IN_H

#include <pthread.h>

#include "rag/fields.h"
#include "rag/shelf.h"

/* Settings as they were at one time; kept until the shelf closes, since others may still read them. */
typedef struct nx_shelf_rules {
    nx_shelf_settings      settings; /* texts: views into `payload` */
    nx_buf                 payload;  /* of the settings' point */
    nx_buf                 cut;      /* what a document says it was cut by */
    struct nx_shelf_rules *before;
} nx_shelf_rules;

struct nx_shelf {
    nx_collection *c;
    nx_blobs      *blobs;
    int32_t        dense, words;

    _Atomic(nx_shelf_rules *) rules;
    pthread_mutex_t           change;    /* who replaces the rules */
    pthread_mutex_t           embedding; /* who makes vectors: two would make the same. Guards: */
    nx_point_id *waiting;   /* documents that waited for vectors when it was asked last, */
    size_t       n_waiting; /* in the order of their coming, and how far they are done */
    size_t       next_waiting;
};

/* A payload that was made in b: a view. */
static inline nx_value nx_shelf_value_of(const nx_buf *b)
{
    return (nx_value){(const uint8_t *)b->data, (uint32_t)b->len};
}

/* ---- shelf.c ---- */

static inline const nx_shelf_rules *nx_shelf_rules_now(nx_shelf *s)
{
    return atomic_load(&s->rules);
}

void nx_shelf_lock(nx_point_id doc);
bool nx_shelf_try_lock(nx_point_id doc);
void nx_shelf_unlock(nx_point_id doc);
void nx_shelf_lock_all(void);
void nx_shelf_unlock_all(void);

/* Has it the vectors that a shelf has? */
bool nx_shelf_is_made_of_documents(const nx_config *c);

/* The same as nx_shelf_open, and the name may be one that moves keep for themselves. */
nx_status nx_shelf_open_any(nx_shelf **out, nx_store *store, nx_blobs *blobs, nx_str name,
                            const nx_shelf_settings *settings, nx_error *err);

/* Microseconds since 1970, and never the same twice. */
int64_t nx_shelf_now_us(void);

/* The UUID made of a SHA-256 of these. NX_ENOMEM. */
nx_status nx_shelf_uuid(nx_point_id *out, const nx_str *parts, size_t n, nx_error *err);

/* ---- document.c ---- */

/* A point's text, and what its payload's `name` is to be: a condition in arena, or NULL when out of memory. */
nx_status nx_shelf_condition(nx_arena *a, nx_condition *out, const char *path, nx_str text,
                             nx_error *err);

/* Points of one of those documents, likewise. n: 1 or more. */
nx_status nx_shelf_condition_documents(nx_arena *a, nx_condition *out, const nx_point_id *ids,
                                       size_t n, nx_error *err);

/* Documents in that state, in the order of their coming; *ids: nx_free. Found by the indexes: only their own
 * records are read. */
nx_status nx_shelf_in_state(nx_snapshot *snap, nx_point_id **ids, size_t *n,
                            nx_document_state state, nx_error *err);

/* All ids for which the filter holds, in order; *ids: nx_free. */
nx_status nx_shelf_ids(nx_snapshot *snap, nx_point_id **ids, size_t *n, const nx_filter *filter,
                       nx_error *err);

/* Ids of a document's chunks, likewise. */
nx_status nx_shelf_chunk_ids(nx_snapshot *snap, nx_point_id **ids, size_t *n, nx_point_id doc,
                             nx_error *err);

/* A document and those chunks of it are gone, in one record. */
nx_status nx_shelf_delete(nx_shelf *s, nx_point_id doc, const nx_point_id *chunks, size_t n,
                          nx_error *err);

/* Documents are gone with all their chunks, in one record: all or none. What of ids is no document (any more) is
 * left out: ids and *n say which were taken away. NX_ELIMIT: together they have too many chunks. */
nx_status nx_shelf_remove_all(nx_shelf *s, nx_point_id *ids, size_t *n, nx_error *err);

/* Does the document that is there meet in->only_over? Asked by who holds its lock. */
nx_status nx_shelf_may_replace(nx_shelf *s, nx_snapshot *snap, const nx_incoming *in,
                               nx_error *err);

/* ---- shelf_put.c ---- */

/* Is what is there made of these bytes, and as `in` and the rules (NULL: whatever they are) want it? Neither its
 * state nor modified_ns is looked at. */
bool nx_shelf_is_same_version(const nx_shelf_rules *rules, const nx_document *was,
                              const nx_incoming *in, const char *sha256);

/* The same as nx_shelf_put, by one who holds the document's lock. */
nx_status nx_shelf_put_locked(nx_shelf *s, const nx_incoming *in, nx_embedder *counts_with,
                              nx_put_report *report, nx_error *err);

/* ---- shelf_queue.c ---- */

/* What comes in, as it was kept: texts and tags in arena, metadata a view into record. bytes aren't set. */
nx_status nx_incoming_read(nx_arena *a, nx_incoming *in, nx_value record, nx_str source,
                           nx_error *err);

/* Bytes of a blob, whole. */
nx_status nx_shelf_blob(nx_shelf *s, nx_buf *out, nx_str sha256, nx_error *err);

/* ---- shelf_embed.c ---- */

/* What is embedded of a chunk, and what its words are taken of. */
nx_status nx_chunk_view_text(nx_buf *out, const nx_chunk_view *v, nx_error *err);

/* ---- shelf_move.c ---- */

/* Is it a name as moves give it to what they make? No shelf is made under such a one. */
bool nx_shelf_keeps_name(nx_str name);

/* What a crash left of moves is dropped, while nobody moves. */
nx_status nx_shelves_drop_leftovers(nx_store *store, nx_error *err);

#endif
