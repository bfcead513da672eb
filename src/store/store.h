/* store.h - a vector database that keeps its word: collections of points, durable and searchable.
 *
 * 1. One point in, one search:
 *
 *     nx_store         *store;
 *     nx_collection    *docs;
 *     nx_store_options  opt = {.distances = kernels, .background = true};
 *     nx_config         config = {.n_slots = 1};
 *     config.slots[0] = (nx_slot){.form = NX_FORM_DENSE, .distance = NX_COSINE, .dim = 384};
 *     nx_store_open(&store, "data/store", &opt, &err);
 *     nx_store_create_collection(store, NX_STR("docs"), &config, &err);
 *     nx_store_find(&docs, store, NX_STR("docs"), &err);
 *
 *     nx_writes *batch = nx_writes_create(docs);
 *     nx_vector v = {.slot = 0, .form = NX_FORM_DENSE, .n = 384, .values = embedding};
 *     nx_point  p = {.id = nx_id_number(7), .vectors = &v, .n_vectors = 1};
 *     nx_writes_put(batch, &p, NX_PUT, &err);
 *     nx_collection_write(docs, batch, true, NULL, &err);  // on the disk when it returns
 *     nx_writes_destroy(batch);
 *
 *     nx_snapshot *now = nx_snapshot_take(docs);           // what is acknowledged; it stays
 *     nx_hit       hits[10];
 *     int32_t      n;
 *     nx_search    search = {.slot = 0, .query = question, .k = 10};
 *     nx_snapshot_search(now, hits, &n, &search, NULL, &err);
 *     nx_snapshot_release(now);
 *     nx_collection_release(docs);
 *     nx_store_close(store);
 *
 * 2. Requests: a batch is one request. It takes effect whole or not at all, also when the power
 *    goes; nx_writes_delete_where and then nx_writes_put replace a document's points in one step.
 * 3. Readers: a snapshot never changes, waits for no writer, and may be kept; many threads may
 *    read it.
 * 4. When something breaks: a full disk refuses the write (NX_EFULL) and no more; after a failed
 *    sync a collection is read-only until it is opened anew; a damaged one is quarantined with its
 *    reason, and the others serve.
 *
 * Files: docs/formats/store.md. Thread: any, unless a function says otherwise; a batch and its
 * building belong to one thread at a time.
 */
#ifndef NX_STORE_STORE_H
#define NX_STORE_STORE_H

#include "os/disk.h"
#include "os/pool.h"
#include "store/config.h"
#include "store/filter.h"
#include "store/settings.h"
#include "tensor/distance.h"

typedef struct nx_store      nx_store;
typedef struct nx_collection nx_collection;
typedef struct nx_writes     nx_writes;
typedef struct nx_snapshot   nx_snapshot;

enum {
    NX_COLLECTION_NAME_MAX =
        255, /* bytes; and at most 240 as a folder's name, where odd bytes count 3 */
    NX_COLLECTIONS_MAX = 10000,
    NX_WRITES_OPS_MAX = 200000,
};

/* ---- The store ---- */

typedef struct nx_store_options {
    nx_disk               *disk;      /* NULL: the machine's */
    const nx_distance_ops *distances; /* kernels; borrowed, outlive the store */
    bool     background;     /* a thread of its own flushes and merges; else nx_store_maintain */
    uint64_t head_bytes_max; /* what is replayed when it opens, and kept in memory; 0: 32 MiB */
} nx_store_options;

/* Open the store in folder dir, made where missing (its parents are there). Every collection in it
 * is opened, or quarantined: see nx_store_list. NX_EBUSY (another process has it), NX_EIO,
 * NX_ENOMEM. */
nx_status nx_store_open(nx_store **out, const char *dir, const nx_store_options *options,
                        nx_error *err);

/* All collections and snapshots are released before. Unacknowledged writes are synced. */
void nx_store_close(nx_store *store);

/* NX_EINVAL (name, configuration), NX_EBUSY (exists already), NX_EFULL, NX_EIO, NX_ENOMEM. */
nx_status nx_store_create_collection(nx_store *store, nx_str name, const nx_config *config,
                                     nx_error *err);

/* Open a quarantined or read-only collection anew, from what is on the disk; one that serves stays.
 * Whoever holds it keeps the old one, which takes no writes. What had been quarantined is read whole
 * first. NX_ENOENT; NX_EFORMAT, NX_EIO, NX_EFULL, NX_ENOMEM when it is as it was. */
nx_status nx_store_reopen_collection(nx_store *store, nx_str name, nx_error *err);

/* Gone from the disk when it returns; who has it open still reads. NX_ENOENT, NX_EIO. */
nx_status nx_store_drop_collection(nx_store *store, nx_str name, nx_error *err);

/* A reference to it; nx_collection_release. NX_ENOENT; NX_EFORMAT with the reason of a
 * quarantine. */
nx_status nx_store_find(nx_collection **out, nx_store *store, nx_str name, nx_error *err);
void      nx_collection_release(nx_collection *c); /* NULL does nothing */

typedef struct nx_store_entry {
    char     *name;
    nx_status status; /* NX_OK, or why it is quarantined */
    char     *reason; /* "" when it isn't */
} nx_store_entry;

/* Names in order: one block, nx_free. NX_ENOMEM. */
nx_status nx_store_list(nx_store_entry **out, size_t *n, nx_store *store, nx_error *err);

/* ---- Other names ---- */

typedef enum nx_alias_kind { NX_ALIAS_CREATE, NX_ALIAS_DELETE, NX_ALIAS_RENAME } nx_alias_kind;

typedef struct nx_alias_change {
    nx_alias_kind kind;
    nx_str        alias;
    nx_str        to; /* CREATE: the collection; RENAME: the new alias */
} nx_alias_change;

/* All of them or none, durably, in their order; nx_store_find knows aliases from then on. CREATE moves an
 * alias that is there, DELETE of one that isn't does nothing. Dropping a collection drops its aliases.
 * NX_ENOENT (the collection, or the alias to rename), NX_EBUSY (a collection has that name), NX_EINVAL,
 * NX_ELIMIT, NX_EFULL, NX_EIO, NX_ENOMEM; NX_EFORMAT: the file of aliases is damaged. */
nx_status nx_store_change_aliases(nx_store *store, const nx_alias_change *changes, size_t n,
                                  nx_error *err);

typedef struct nx_alias {
    char *alias, *collection;
} nx_alias;

/* In order: one block, nx_free. NX_ENOMEM, NX_EFORMAT. */
nx_status nx_store_list_aliases(nx_store *store, nx_alias **out, size_t *n, nx_error *err);

/* ---- One collection as one file ---- */

/* done of total bytes; false: stop (NX_ECANCELLED). */
typedef bool (*nx_copy_fn)(void *ctx, uint64_t done, uint64_t total);

typedef struct nx_export_report {
    uint64_t bytes, n_points, seq;
    uint8_t  sha256[32]; /* of the whole file */
} nx_export_report;

/* Write what a reader sees now into the file at path: written aside, synced, renamed. Writers go on
 * meanwhile. Errors leave no file: NX_EFULL, NX_EIO, NX_ECANCELLED, NX_ENOMEM, NX_EFORMAT. */
nx_status nx_collection_export(nx_collection *c, const char *path, nx_copy_fn progress, void *ctx,
                               nx_export_report *report, nx_error *err);

/* Make collection `name` from such a file; where there is one, it is replaced in one step, once every
 * byte of the file was checked (replace false: NX_EBUSY instead). NX_EFORMAT names the fault. */
nx_status nx_store_import_collection(nx_store *store, nx_str name, const char *path, bool replace,
                                     nx_copy_fn progress, void *ctx, nx_error *err);

/* Let collection `by` take the place of `name`, in one step that a crash doesn't part: the old one, or the new
 * one. seq: the last request that name may have taken (NX_ANY_SEQ: any); when it has taken others, NX_EBUSY. Who
 * holds either keeps it, to read. Aliases of by are dropped. NX_ENOENT, NX_EINVAL, NX_EFORMAT (by is quarantined),
 * NX_EFULL, NX_EIO, NX_ENOMEM: nothing happened, or `by` can't be used any more. */
#define NX_ANY_SEQ UINT64_MAX
nx_status nx_store_replace_collection(nx_store *store, nx_str name, nx_str by, uint64_t seq,
                                      nx_error *err);

/* Do what the background thread does when nobody writes, until nothing is left to do. NX_EFULL,
 * NX_EIO, NX_ENOMEM: what is left stays for the next time. */
nx_status nx_store_maintain(nx_store *store, nx_error *err);

/* ---- Collections ---- */

const nx_config *nx_collection_config(const nx_collection *c); /* lives as long as c */
nx_str           nx_collection_name(const nx_collection *c);

/* A number made by chance with the collection: with the seq of a snapshot it names what readers see, also
 * after the collection was dropped and another of its name was made or brought back. */
uint64_t nx_collection_incarnation(const nx_collection *c);

/* What is in force; a reference: nx_settings_release. */
const nx_settings *nx_collection_settings(nx_collection *c);

/* Durable when they return, and in force for the next reader. An index is built meanwhile, or when it is
 * first wanted. create replaces one of the same path. NX_EINVAL (path, kind, words), NX_ELIMIT,
 * NX_ENOENT (drop), NX_EFULL, NX_EIO, NX_ENOMEM. */
nx_status nx_collection_create_index(nx_collection *c, const nx_index_spec *spec, nx_error *err);
nx_status nx_collection_drop_index(nx_collection *c, nx_str path, nx_error *err);
nx_status nx_collection_set_note(nx_collection *c, nx_str note, nx_error *err);

typedef struct nx_collection_stats {
    uint64_t  n_points, seq; /* as published */
    int       n_segments;
    uint64_t  log_bytes, segment_bytes, head_bytes;
    uint64_t  index_bytes; /* in memory: indexes of payloads, posting lists made anew */
    bool      read_only;   /* a sync failed */
    bool      merging;     /* segments are being merged */
    nx_status status;      /* NX_OK, or why it is quarantined or read-only */
} nx_collection_stats;

void nx_collection_read_stats(nx_collection *c, nx_collection_stats *out);

/* Put what is in memory into a segment now, though it is small; and merge what wants it. */
nx_status nx_collection_flush(nx_collection *c, nx_error *err);

/* Read every byte of the segments and compare it with its checksum. NX_EFORMAT names the first
 * fault, and the collection is quarantined; damaged derivations are made anew, with a warning in
 * the log. */
nx_status nx_collection_check(nx_collection *c, nx_error *err);

/* ---- Requests ---- */

nx_writes *nx_writes_create(nx_collection *c); /* NULL when out of memory; c outlives it */
void       nx_writes_destroy(nx_writes *b);    /* NULL does nothing */

typedef enum nx_put_mode {
    NX_PUT,         /* insert, or replace */
    NX_PUT_NEW,     /* only where there is none of that id */
    NX_PUT_PRESENT, /* only where there is one */
} nx_put_mode;

/* Each appends one operation; they happen in their order. Everything is copied. NX_EINVAL says
 * what of the point is wrong, NX_ELIMIT, NX_ENOMEM; the batch is then as before. */
nx_status nx_writes_put(nx_writes *b, const nx_point *p, nx_put_mode mode, nx_error *err);
nx_status nx_writes_delete(nx_writes *b, nx_point_id id, nx_error *err);

/* Points that have `text` at the path, itself or in an array there, as of this place in the batch.
 * Every payload is looked at, with other writers waiting. */
nx_status nx_writes_delete_where(nx_writes *b, nx_str path, nx_str text, nx_error *err);

/* Merge object's members into the payload, at the path ("": at its top); see store/path.h. */
nx_status nx_writes_set_payload(nx_writes *b, nx_point_id id, nx_value object, nx_str path,
                                nx_error *err);
nx_status nx_writes_overwrite_payload(nx_writes *b, nx_point_id id, nx_value object, nx_error *err);
nx_status nx_writes_remove_payload(nx_writes *b, nx_point_id id, nx_str path, nx_error *err);
nx_status nx_writes_clear_payload(nx_writes *b, nx_point_id id, nx_error *err);

/* Vectors in p replace those of their slots; of form NX_FORM_GONE: taken away. */
nx_status nx_writes_update_vectors(nx_writes *b, const nx_point *p, nx_error *err);

/* The same to every point for which the filter holds, as of this place in the batch. The filter is
 * borrowed until the batch is destroyed. Other writers wait while it is looked at. */
nx_status nx_writes_delete_if(nx_writes *b, const nx_filter *filter, nx_error *err);
nx_status nx_writes_set_payload_if(nx_writes *b, const nx_filter *filter, nx_value object,
                                   nx_str path, nx_error *err);
nx_status nx_writes_overwrite_payload_if(nx_writes *b, const nx_filter *filter, nx_value object,
                                         nx_error *err);
/* [n] paths, all of them from the same points. */
nx_status nx_writes_remove_payload_if(nx_writes *b, const nx_filter *filter, const nx_str *paths,
                                      size_t n, nx_error *err);
nx_status nx_writes_clear_payload_if(nx_writes *b, const nx_filter *filter, nx_error *err);
/* Bits of slots. */
nx_status nx_writes_delete_vectors_if(nx_writes *b, const nx_filter *filter, uint64_t slots,
                                      nx_error *err);

/* From here on operations on single points touch only those for which the filter holds; a put of a point
 * that isn't there goes on. NULL: no such condition any more. Borrowed likewise. */
nx_status nx_writes_only_if(nx_writes *b, const nx_filter *filter, nx_error *err);

typedef struct nx_write_result {
    uint64_t    seq;       /* the request's number; of one without effect, the last one's */
    uint64_t    n_barred;  /* operations that nx_writes_only_if kept off */
    uint64_t    n_missing; /* operations on points that weren't there: they did nothing */
    nx_point_id missing;   /* the first of them */
} nx_write_result;

/* Make the batch one request. wait: return when it is on the disk and readers see it; else when it
 * is in the log, and it will be soon. The batch is as before and may be written again. out may be
 * NULL.
 * Errors: NX_EFULL, NX_ELIMIT, NX_ENOMEM, NX_EIO: nothing happened, unless the sync failed, when
 * nobody knows, and the collection is read-only; NX_EFORMAT: quarantined. */
nx_status nx_collection_write(nx_collection *c, const nx_writes *b, bool wait, nx_write_result *out,
                              nx_error *err);

/* ---- Reading ---- */

nx_snapshot *nx_snapshot_take(nx_collection *c); /* never fails, never waits */
void         nx_snapshot_release(nx_snapshot *s);
uint64_t     nx_snapshot_seq(const nx_snapshot *s); /* the last request in it */
uint64_t     nx_snapshot_count(const nx_snapshot *s);

/* A point, in memory of its own: zero-initialise, read again and again, free at last. */
typedef struct nx_point_copy {
    nx_point  point; /* views into the rest */
    nx_vector vectors[NX_SLOTS_MAX];
    nx_buf    bytes;
} nx_point_copy;

void nx_point_copy_free(nx_point_copy *p);

/* The point of that id. NX_ENOENT, NX_ENOMEM, NX_EIO, NX_EFORMAT (and the collection is
 * quarantined). */
nx_status nx_snapshot_get(nx_snapshot *s, nx_point_copy *out, nx_point_id id, nx_error *err);

/* The first max ids from `from` on (NULL: from the beginning) for which the filter (may be NULL)
 * holds, in order. On error *n is 0. NX_EINVAL (the filter), NX_ENOMEM, NX_EIO, NX_EFORMAT. */
nx_status nx_snapshot_scroll(nx_snapshot *s, nx_point_id *ids, size_t *n, size_t max,
                             const nx_point_id *from, const nx_filter *filter, nx_error *err);

/* How many points the filter holds for. Errors likewise. */
nx_status nx_snapshot_count_where(nx_snapshot *s, uint64_t *n, const nx_filter *filter,
                                  nx_error *err);

/* How many points have an entry in that index of the collection's settings: values of its kind. Where
 * segments have their indexes, nothing is read. NX_ENOMEM, NX_EIO, NX_EFORMAT. */
nx_status nx_snapshot_count_indexed(nx_snapshot *s, uint64_t *n, const nx_index_spec *spec,
                                    nx_error *err);

/* About how many: what indexes say is counted, the rest guessed from some hundred points of each
 * segment. Errors likewise. */
nx_status nx_snapshot_estimate(nx_snapshot *s, uint64_t *n, const nx_filter *filter, nx_error *err);

typedef struct nx_hit {
    nx_point_id id;
    float       score;
} nx_hit;

typedef struct nx_search {
    int32_t          slot;   /* a dense one */
    const float     *query;  /* [dim], finite; with cosine any length: it is made unit length */
    int32_t          k;      /* at least 1; clamped to the number of points */
    const nx_filter *filter; /* borrowed; NULL: all points */
    bool             has_threshold;
    float            threshold;    /* cosine, dot: at least; Euclid, Manhattan: at most */
    bool             ignore_codes; /* scan the vectors though there are codes */
    float            oversampling; /* how many times k are rescored when there are; 0: 3 */
} nx_search;

/* The k best points that have the vector, best first, ties by id. Score: cosine and dot the
 * product, Euclid and Manhattan the distance (best is least). hits has room for k. pool (may be
 * NULL): its owner's workers share the scan, and don't change the result. On error *n is 0.
 * NX_EINVAL, NX_ENOMEM, NX_EIO, NX_EFORMAT. */
nx_status nx_snapshot_search(nx_snapshot *s, nx_hit *hits, int32_t *n, const nx_search *search,
                             nx_pool *pool, nx_error *err);

#endif
