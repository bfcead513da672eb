/* shelf.h - a collection as documents and their chunks.
 *
 * Idea:   everything is a point of the collection, in its one log: a document's point (no vectors) and its
 *         chunks' (words at once, the dense vector when it is made). One record replaces a document, so no
 *         crash leaves a chunk without its document, or two of a kind. A chunk's id is made of its document and
 *         what it says, so a chunk that stays the same keeps its id and its vector.
 * Fields of the payloads: docs/rag.md. "kind" is "document", "chunk" or "settings".
 * Owns:   a reference to the collection; nx_shelf_close.
 * Thread: any; changes of one document take turns.
 */
#ifndef NX_RAG_SHELF_H
#define NX_RAG_SHELF_H

#include <stdatomic.h>

#include "base/arena.h"
#include "engine/embedder.h"
#include "rag/blobs.h"
#include "rag/chunk.h"
#include "rag/extract.h"
#include "store/plan.h"

#define NX_SHELF_DENSE "dense" /* slots: f16 with 8-bit codes, cosine */
#define NX_SHELF_WORDS "words" /* BM25, idf */

typedef struct nx_shelf nx_shelf;

/* What a collection of documents is set to. Texts borrowed going in, in the shelf coming out. */
typedef struct nx_shelf_settings {
    nx_str           model; /* the embedding model's name */
    int32_t          dim;
    nx_chunk_options chunking;
    nx_str           language; /* of BM25: "english" */
    nx_str template;           /* of the question to a language model; "": the built-in one */
} nx_shelf_settings;

/* The shelf of that collection; with settings it is made where missing (what is there stays as it is: a
 * different model is NX_EINVAL; so is a name that moves keep for theirs, "docs.moving"). A collection that has no such slots is NX_EUNSUPPORTED: "not made of documents". */
nx_status nx_shelf_open(nx_shelf **out, nx_store *store, nx_blobs *blobs, nx_str name,
                        const nx_shelf_settings *settings, nx_error *err);
void      nx_shelf_close(nx_shelf *s); /* NULL does nothing */

nx_collection           *nx_shelf_collection(nx_shelf *s);
nx_blobs                *nx_shelf_blobs(nx_shelf *s);
const nx_shelf_settings *nx_shelf_get_settings(nx_shelf *s);
int32_t                  nx_shelf_dense(const nx_shelf *s); /* slot numbers */
int32_t                  nx_shelf_words(const nx_shelf *s);
nx_status                nx_shelf_set_template(nx_shelf *s, nx_str text, nx_error *err);
nx_status nx_shelf_set_chunking(nx_shelf *s, const nx_chunk_options *opt, nx_error *err);

/* ---- Documents ---- */

typedef enum nx_document_state {
    NX_DOCUMENT_QUEUED, /* its bytes are kept, nothing is searchable of this version */
    NX_DOCUMENT_WORDS,  /* words find it; vectors follow */
    NX_DOCUMENT_READY,
    NX_DOCUMENT_FAILED, /* see error */
} nx_document_state;

const char *nx_document_state_name(nx_document_state s); /* "queued", "words", "ready", "failed" */

/* One document's record. Texts are views into the copy that it was read with. */
typedef struct nx_document {
    nx_point_id       id;     /* a UUID made of the source */
    nx_str            source; /* an absolute path, a URL, or an upload's name */
    nx_str            root;   /* the PATH of `nexus index` that it came by; "": another way */
    nx_str            title, type, encoding, error, warnings;
    nx_document_state state;
    uint64_t          bytes, text_bytes, n_chunks, n_tokens;
    int64_t           modified_ns; /* the file's; with bytes: unchanged at a glance */
    int64_t           indexed_s;   /* Unix time */
    nx_origin         origin;
    nx_place          place;
    int32_t           n_pages;
    char              sha256[NX_BLOB_NAME],
        text_sha256[NX_BLOB_NAME]; /* source; extraction ("": the source itself) */
    nx_value payload;              /* all of it: access_tags, metadata */
} nx_document;

/* What comes in. */
typedef struct nx_incoming {
    nx_str      source, root, type; /* type: a media type, or empty */
    nx_str      title;              /* "": the document's own, or its name */
    const void *bytes;
    size_t      n;
    int64_t     modified_ns; /* 0: unknown */
    bool
        modified_lately; /* so little before it was read that it may change again at the same time */
    nx_value                 metadata; /* an object; n == 0: none */
    const nx_str            *tags;     /* [n_tags] access tags */
    size_t                   n_tags;
    const nx_extract_limits *limits; /* NULL: the defaults */
    /* What a document that has the source already must meet (NULL: whatever it is), looked at in the step that
     * replaces it: else NX_EINVAL, *barred (may be NULL) true, and nothing is written. */
    const nx_filter *only_over;
    bool            *barred;
} nx_incoming;

typedef struct nx_put_report {
    nx_point_id id;
    bool        was_there;
    bool     unchanged; /* bytes, tags, metadata, settings are as they were: nothing was written */
    uint64_t n_chunks, n_new, n_kept, n_gone; /* chunks */
    uint64_t n_tokens;
} nx_put_report;

/* Extract, chunk, compare, and write what differs, durably, in one record. Words find it when it returns.
 * Errors: nx_extract's, nx_chunks_make's, the store's; the document that was there stays. */
nx_status nx_shelf_put(nx_shelf *s, const nx_incoming *in, nx_embedder *counts_with,
                       nx_put_report *report, nx_error *err);

/* Would nx_shelf_put of such a file, of so many bytes, find it unchanged? By its size and time alone; in->bytes isn't
 * looked at. */
bool nx_shelf_at_a_glance(nx_shelf *s, nx_snapshot *snap, const nx_incoming *in, uint64_t bytes);

/* Keep bytes and a record in state queued: durable; nx_shelf_work_queued does the rest, also after a crash. */
nx_status nx_shelf_queue(nx_shelf *s, const nx_incoming *in, nx_point_id *id, nx_error *err);

/* What was queued until then (microseconds since 1970) isn't wanted any more: a version that was there is as it was,
 * a document that nobody had is gone. NX_OK also where nothing waits. */
nx_status nx_shelf_unqueue(nx_shelf *s, nx_point_id id, int64_t until_us, nx_error *err);

/* Work on one queued document: *did false when none is left. What can't be read becomes failed, with its reason
 * (NX_OK); an error is one of the store's. */
nx_status nx_shelf_work_queued(nx_shelf *s, nx_embedder *counts_with, bool *did,
                               nx_put_report *report, nx_error *err);

/* Make up to max missing vectors, documents in the order of their coming; *n: how many. 0: all are there. */
nx_status nx_shelf_embed(nx_shelf *s, nx_embedder *e, int32_t max, const atomic_bool *cancel,
                         int32_t *n, nx_error *err);

/* Chunks without their vector, and documents by state; counted by indexes. */
typedef struct nx_shelf_stats {
    uint64_t n_documents, n_chunks, n_unembedded, n_queued, n_failed;
} nx_shelf_stats;
nx_status nx_shelf_read_stats(nx_shelf *s, nx_shelf_stats *out, nx_error *err);

/* Gone with all its chunks, in one record. only_if (may be NULL): a filter that its record must meet. NX_ENOENT. */
nx_status nx_shelf_remove(nx_shelf *s, nx_point_id id, const nx_filter *only_if, nx_error *err);

/* The id of a source. */
nx_point_id nx_document_id(nx_str source);

/* Document by id, if filter (may be NULL) holds for it. copy holds what out points to. NX_ENOENT. */
nx_status nx_shelf_get(nx_shelf *s, nx_snapshot *snap, nx_document *out, nx_point_copy *copy,
                       nx_point_id id, const nx_filter *filter, nx_error *err);
nx_status nx_document_read(nx_document *out, nx_value payload, nx_error *err); /* NX_EFORMAT */

/* Filters, borrowed by the caller, in arena: points that are documents or chunks, of one document (NULL: all),
 * and for which own (NULL: all) holds. */
nx_status nx_shelf_filter_documents(nx_arena *a, const nx_filter *own, const nx_filter **out,
                                    nx_error *err);
nx_status nx_shelf_filter_chunks(nx_arena *a, const nx_point_id *doc, const nx_filter *own,
                                 const nx_filter **out, nx_error *err);

/* ---- Chunks as they come back ---- */

typedef struct nx_chunk_view {
    nx_point_id id, doc;
    nx_str      text, source, title, headings, context, hash; /* headings: parts divided by '\n' */
    uint64_t    chunk_id, start_pos, end_pos, start_char,
        end_char; /* chunk_id: from 0 within its document */
    int32_t   page, page_end, n_tokens;
    nx_place  place;
    nx_origin origin;
    nx_value  metadata, payload;
} nx_chunk_view;

nx_status nx_chunk_view_read(nx_chunk_view *out, nx_point_id id, nx_value payload, nx_error *err);

/* Another embedding model: a new collection is made beside the old one, which serves on, filled, caught up,
 * and put in its place in one step. tell: done of total chunks; false stops (NX_ECANCELLED), and nothing happened. */
nx_status nx_shelf_move(nx_store *store, nx_blobs *blobs, nx_str name, const nx_shelf_settings *to,
                        nx_embedder *e, bool (*tell)(void *ctx, uint64_t done, uint64_t total),
                        void *ctx, nx_error *err);

/* Is it such a collection, that is being made beside another? Lists of collections leave it out. */
bool nx_shelf_is_beside(nx_store *store, nx_str name);

/* Blobs that no document of any collection names are removed, but for those of the last hour; and what a crash left
 * of moves. May run beside all else; *stop (NULL: never) ends it with NX_ECANCELLED. */
nx_status nx_shelves_sweep(nx_store *store, nx_blobs *blobs, const atomic_bool *stop, uint64_t *n,
                           nx_error *err);

#endif
