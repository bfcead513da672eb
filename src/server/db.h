/* db.h - the server's SQLite file: keys and usage.
 *
 * Owns:    one connection, and the lock that makes it one thread's at a time.
 * Idea:    all writers share this connection, so SQLite never says "busy" because of ourselves and
 *          nothing can wait in a circle: the lock is a leaf, taken for one transaction, and whoever
 *          holds it calls nobody but SQLite. Requests never come here; they read memory.
 * Durable: rollback journal and synchronous=FULL: what nx_db_commit said NX_OK to survives a power
 *          cut. The journal stays and its head is zeroed: with FULL SQLite syncs that, so that a commit
 *          can't come undone, as it can where the journal's name is removed and the folder isn't
 *          synced; and it is the quickest of the three ways. No WAL: 3.40 has a fault in it.
 * Trust:   the file may be damaged or a stranger's: no triggers, no views, no extensions; values that
 *          leave their range are NX_EFORMAT.
 * Thread:  any, between nx_db_lock and nx_db_unlock.
 */
#ifndef NX_SERVER_DB_H
#define NX_SERVER_DB_H

#include <sqlite3.h>

#include "base/buf.h"

typedef struct nx_db nx_db;

/* Open the file at path, made with mode 0600 and our tables where there is none. NX_EIO; NX_EFORMAT (no
 * database, or damaged); NX_EUNSUPPORTED (of a newer nexus); NX_EBUSY (another program writes in it);
 * NX_ENOMEM. */
nx_status nx_db_open(nx_db **out, const char *path, nx_error *err);
void      nx_db_close(nx_db *db); /* after all statements; NULL does nothing */

void nx_db_lock(nx_db *db);
void nx_db_unlock(nx_db *db);

/* ---- With the lock held ---- */

nx_status nx_db_exec(nx_db *db, const char *sql, nx_error *err);
nx_status nx_db_prepare(sqlite3_stmt **out, nx_db *db, const char *sql, nx_error *err);

sqlite3 *nx_db_handle(nx_db *db);

/* Run a statement that gives no rows, and make it ready for the next values. */
nx_status nx_db_run(nx_db *db, sqlite3_stmt *s, nx_error *err);

/* NX_OK with *row true (columns can be read) or false (that was all). */
nx_status nx_db_step(nx_db *db, sqlite3_stmt *s, bool *row, nx_error *err);

/* A transaction that takes the write lock at once. After an error nothing of it is there. */
nx_status nx_db_begin(nx_db *db, nx_error *err);
nx_status nx_db_commit(nx_db *db, nx_error *err);
void      nx_db_rollback(nx_db *db); /* also when none is open */

/* An integer column in [min, max], or NX_EFORMAT naming it; a text column of at most cap - 1 bytes of
 * UTF-8 without NUL; a blob of exactly n bytes. */
nx_status nx_db_int(int64_t *out, nx_db *db, sqlite3_stmt *s, int column, int64_t min, int64_t max,
                    nx_error *err);
nx_status nx_db_text(char *out, size_t cap, nx_db *db, sqlite3_stmt *s, int column, nx_error *err);
nx_status nx_db_blob(void *out, size_t n, nx_db *db, sqlite3_stmt *s, int column, nx_error *err);

#endif
