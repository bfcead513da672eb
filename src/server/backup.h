/* backup.h - a whole instance as one file: docs/formats/backup.md. Collections, aliases, keys and usage,
 * the pepper: all that can't be made anew. Models aren't in it.
 *
 * Thread: any; one file is one caller's.
 */
#ifndef NX_SERVER_BACKUP_H
#define NX_SERVER_BACKUP_H

#include "server/datadir.h"
#include "server/db.h"
#include "store/store.h"

typedef struct nx_backup_report {
    uint64_t bytes, n_collections, n_points;
    uint64_t n_left_out; /* collections in quarantine: what they hold can't be read */
    char     left_out[NX_ERROR_TEXT_MAX + NX_COLLECTION_NAME_MAX +
                  4]; /* the first one's name, and why */
} nx_backup_report;

/* Write it to path (0600; aside, synced, renamed), while others read and write. NX_EFULL, NX_EIO,
 * NX_ENOMEM, NX_ECANCELLED, NX_EFORMAT (a collection or the database is damaged): no file then. */
nx_status nx_backup_write(const char *path, nx_store *store, nx_db *db, const nx_datadir *dir,
                          nx_copy_fn progress, void *ctx, nx_backup_report *out, nx_error *err);

/* Read every byte of it and compare it with its checksums. NX_EFORMAT names the fault. */
nx_status nx_backup_check(const char *path, nx_copy_fn progress, void *ctx, nx_backup_report *out,
                          nx_error *err);

/* Make the data folder, which the caller holds, from it: checked first, then made aside, then moved into
 * place. What was there goes into DATA/before-restore with force; without, it is NX_EBUSY. */
nx_status nx_backup_restore(const nx_datadir *dir, const char *path, bool force,
                            const nx_distance_ops *distances, nx_copy_fn progress, void *ctx,
                            nx_backup_report *out, nx_error *err);

#endif
