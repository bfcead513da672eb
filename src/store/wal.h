/* wal.h - the log of a collection: requests in order, each whole or not there.
 *
 * Files, records, and how a torn tail is told from damage: docs/formats/store.md.
 *
 * Owns:   its open file and the list of its files.
 * Thread: one at a time (the collection's writer lock), but for nx_wal_sync, which may run beside
 *         nx_wal_append; rotating and closing wait until no sync runs (the caller's affair).
 */
#ifndef NX_STORE_WAL_H
#define NX_STORE_WAL_H

#include "base/buf.h"
#include "os/disk.h"

#define NX_WAL_HEAD     40                  /* bytes that a record's buffer keeps free in front */
#define NX_WAL_BODY_MAX ((size_t)128 << 20) /* of one record */
#define NX_WAL_FILE_MAX ((size_t)1 << 30)   /* none is longer: rotated long before */

typedef struct nx_wal {
    nx_disk      *disk;
    const char   *dir; /* borrowed */
    uint64_t      incarnation;
    nx_disk_file *file;     /* the newest */
    uint64_t      end;      /* where the next record goes */
    uint64_t      next_seq; /* its number */
    bool          unsealed; /* records since the last seal, as far as is known */
    bool          broken;   /* a sync failed, or what a failed write left couldn't be cut off */
    uint64_t     *firsts;   /* [n_files] number of each file's first record, ascending */
    size_t        n_files, cap;
    uint64_t      bytes_old; /* of all files but the newest */
    uint64_t      appended;  /* bytes of records with a body, since it was opened */
} nx_wal;

/* One record. body is 8-aligned, and borrowed for the call. */
typedef nx_status (*nx_wal_fn)(void *ctx, uint64_t seq, const void *body, size_t bytes,
                               nx_error *err);

/* A new log whose first record will be `first_seq`. The file is synced; its folder is not. */
nx_status nx_wal_create(nx_wal *out, nx_disk *disk, const char *dir, uint64_t incarnation,
                        uint64_t first_seq, nx_error *err);

/* Open what is there: fn sees the records after `after`, in order; a torn tail is cut off.
 * *cut_bytes: how much. NX_EFORMAT: damaged, with the reason, and nothing was changed. On error
 * *out holds nothing. */
nx_status nx_wal_open(nx_wal *out, nx_disk *disk, const char *dir, uint64_t incarnation,
                      uint64_t after, nx_wal_fn fn, void *ctx, uint64_t *cut_bytes, nx_error *err);

/* Write a record. `record` holds NX_WAL_HEAD bytes to fill, then the body (padded to 8).
 * durable: the last record known to be synced. *seq is its number. On error nothing was written:
 * NX_ELIMIT, NX_EFULL, NX_EIO (then perhaps for good: l->broken). */
nx_status nx_wal_append(nx_wal *l, uint64_t *seq, nx_buf *record, uint64_t durable, nx_error *err);

/* All that was appended before this call is on the disk after it. NX_EIO: nobody knows what is. */
nx_status nx_wal_sync(nx_wal *l, nx_error *err);

/* Sync, append a seal (an empty record) that proves all before it, and sync again. When a sync
 * fails the log is broken: no more may be appended. NX_EFULL, NX_ENOMEM: nothing happened. */
nx_status nx_wal_seal(nx_wal *l, uint64_t *seq, nx_error *err);

/* The next record begins a new file. Everything before must be sealed. On error nothing changed. */
nx_status nx_wal_rotate(nx_wal *l, nx_error *err);

/* Is there a file for nx_wal_trim to remove? */
bool nx_wal_may_trim(const nx_wal *l, uint64_t seq);

/* Remove the files of which no record is after `seq`; never the newest. */
nx_status nx_wal_trim(nx_wal *l, uint64_t seq, nx_error *err);

uint64_t nx_wal_bytes(const nx_wal *l); /* of all files */

/* The newest file of the log in dir, which nobody writes, is put onto the disk once more: for after a
 * failed sync, when nobody knows what is there. NX_EFULL, NX_EIO, NX_ENOMEM: it is as it was. */
nx_status nx_wal_write_anew(nx_disk *disk, const char *dir, nx_error *err);

void nx_wal_close(nx_wal *l); /* no seal, no sync; an all-zero struct is fine */

/* Walk one file's bytes, as nx_wal_open does; for that, and for tests. Record `expected` is the
 * first one wanted; *expected is the number of the first one missing, *good where it would begin.
 * last: whether the end may be torn. NX_EFORMAT. */
nx_status nx_wal_walk(const uint8_t *bytes, size_t n, const char *name, uint64_t incarnation,
                      bool last, uint64_t after, uint64_t *expected, uint64_t *good, nx_wal_fn fn,
                      void *ctx, nx_error *err);

#endif
