/* db.c - SQLite, with its results as our statuses. */
#include "server/db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/utf8.h"

#define SCHEMA_VERSION 2
#define BUSY_MS        5000

struct nx_db {
    sqlite3        *h;
    char           *path;
    pthread_mutex_t mutex;
};

/* Times are Unix seconds, 0: never. Days are Unix seconds / 86400. */
static const char schema[] =
    "CREATE TABLE keys("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT," /* who shares fairly; never given twice */
    "  id TEXT NOT NULL UNIQUE,"
    "  hash BLOB NOT NULL," /* HMAC-SHA-256(pepper, the whole key) */
    "  name TEXT NOT NULL,"
    "  scopes INTEGER NOT NULL,"
    "  priority INTEGER NOT NULL,"
    "  requests_per_minute INTEGER NOT NULL,"
    "  tokens_per_day INTEGER NOT NULL,"
    "  created INTEGER NOT NULL,"
    "  expires INTEGER NOT NULL,"
    "  revoked INTEGER NOT NULL,"
    "  last_used INTEGER NOT NULL,"
    "  bounds TEXT NOT NULL DEFAULT '') STRICT;" /* key_bounds.h */
    "CREATE TABLE usage("
    "  day INTEGER NOT NULL,"
    "  key TEXT NOT NULL," /* '': asked without one */
    "  model TEXT NOT NULL,"
    "  requests INTEGER NOT NULL,"
    "  prompt_tokens INTEGER NOT NULL,"
    "  generated_tokens INTEGER NOT NULL,"
    "  cached_tokens INTEGER NOT NULL,"
    "  PRIMARY KEY(day, key, model)) STRICT, WITHOUT ROWID;"
    "PRAGMA user_version=2;";

/* From the version before, when keys were bound to nothing. */
static const char upgrade[] = "ALTER TABLE keys ADD COLUMN bounds TEXT NOT NULL DEFAULT '';"
                              "PRAGMA user_version=2;";

static const char pragmas[] = "PRAGMA journal_mode=PERSIST;"
                              "PRAGMA journal_size_limit=1048576;"
                              "PRAGMA synchronous=FULL;"
                              "PRAGMA mmap_size=0;"
                              "PRAGMA trusted_schema=OFF;"
                              "PRAGMA cell_size_check=ON;"
                              "PRAGMA temp_store=MEMORY;";

static nx_status status_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return NX_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return NX_EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: return NX_EFORMAT; /* our SQL is right: then the tables aren't ours */
    case SQLITE_TOOBIG: return NX_ELIMIT;
    default: return NX_EIO;
    }
}

static const char *hint_of(nx_status st)
{
    switch (st) {
    case NX_EFORMAT: return ". Put a copy from a backup in its place, or move it away";
    case NX_EBUSY: return ". Another program holds it open for writing";
    default: return "";
    }
}

static nx_status fail(nx_db *db, int rc, nx_error *err)
{
    nx_status st = status_of(rc);

    if (!db->h) return nx_fail(err, st, "%s: %s", db->path, sqlite3_errstr(rc));
    return nx_fail(err, st, "%s: %s%s", db->path, sqlite3_errmsg(db->h), hint_of(st));
}

sqlite3 *nx_db_handle(nx_db *db)
{
    return db->h;
}

nx_status nx_db_exec(nx_db *db, const char *sql, nx_error *err)
{
    int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? NX_OK : fail(db, rc, err);
}

nx_status nx_db_prepare(sqlite3_stmt **out, nx_db *db, const char *sql, nx_error *err)
{
    int rc = sqlite3_prepare_v2(db->h, sql, -1, out, NULL);

    return rc == SQLITE_OK ? NX_OK : fail(db, rc, err);
}

nx_status nx_db_step(nx_db *db, sqlite3_stmt *s, bool *row, nx_error *err)
{
    int rc = sqlite3_step(s);

    *row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? NX_OK : fail(db, rc, err);
}

nx_status nx_db_run(nx_db *db, sqlite3_stmt *s, nx_error *err)
{
    bool      row;
    nx_status st = nx_db_step(db, s, &row, err);

    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return st;
}

nx_status nx_db_begin(nx_db *db, nx_error *err)
{
    return nx_db_exec(db, "BEGIN IMMEDIATE", err);
}

nx_status nx_db_commit(nx_db *db, nx_error *err)
{
    nx_status st = nx_db_exec(db, "COMMIT", err);

    if (st) nx_db_rollback(db);
    return st;
}

void nx_db_rollback(nx_db *db)
{
    if (!sqlite3_get_autocommit(db->h)) (void)nx_db_exec(db, "ROLLBACK", NULL);
}

void nx_db_lock(nx_db *db)
{
    pthread_mutex_lock(&db->mutex);
}

void nx_db_unlock(nx_db *db)
{
    pthread_mutex_unlock(&db->mutex);
}

/* ---- Columns ---- */

static nx_status bad_column(nx_db *db, sqlite3_stmt *s, int column, nx_error *err)
{
    return nx_fail(err, NX_EFORMAT, "%s: a value of column %s is out of its range%s", db->path,
                   sqlite3_column_name(s, column), hint_of(NX_EFORMAT));
}

nx_status nx_db_int(int64_t *out, nx_db *db, sqlite3_stmt *s, int column, int64_t min, int64_t max,
                    nx_error *err)
{
    int64_t v = sqlite3_column_int64(s, column);

    if (sqlite3_column_type(s, column) != SQLITE_INTEGER || v < min || v > max)
        return bad_column(db, s, column, err);
    *out = v;
    return NX_OK;
}

nx_status nx_db_text(char *out, size_t cap, nx_db *db, sqlite3_stmt *s, int column, nx_error *err)
{
    const char *p = (const char *)sqlite3_column_text(s, column);
    size_t      n = p ? (size_t)sqlite3_column_bytes(s, column) : 0;

    if (!p || n >= cap || memchr(p, '\0', n) || !nx_utf8_valid(p, n, NULL))
        return bad_column(db, s, column, err);
    memcpy(out, p, n);
    out[n] = '\0';
    return NX_OK;
}

nx_status nx_db_blob(void *out, size_t n, nx_db *db, sqlite3_stmt *s, int column, nx_error *err)
{
    const void *p = sqlite3_column_blob(s, column);

    if (sqlite3_column_type(s, column) != SQLITE_BLOB || !p ||
        (size_t)sqlite3_column_bytes(s, column) != n)
        return bad_column(db, s, column, err);
    memcpy(out, p, n);
    return NX_OK;
}

/* ---- Opening ---- */

/* SQLite gives its journal the mode of the file, so the file is made by us first. */
static nx_status make_private(const char *path, nx_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) return nx_fail(err, NX_EIO, "%s: can't be opened: %s", path, strerror(errno));
    close(fd);
    return NX_OK;
}

static nx_status user_version(int64_t *out, nx_db *db, nx_error *err)
{
    sqlite3_stmt *s = NULL;
    bool          row = false;
    nx_status     st = nx_db_prepare(&s, db, "PRAGMA user_version", err);

    if (!st) st = nx_db_step(db, s, &row, err);
    if (!st && !row) st = fail(db, SQLITE_CORRUPT, err);
    if (!st) st = nx_db_int(out, db, s, 0, INT32_MIN, INT32_MAX, err);
    sqlite3_finalize(s);
    return st;
}

static nx_status make_tables(nx_db *db, nx_error *err)
{
    int64_t   version = 0;
    nx_status st = user_version(&version, db, err);

    if (st || version == SCHEMA_VERSION) return st;
    if (version != 0 && version != 1)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%s: tables of version %lld, expected %d. Written by a newer nexus?",
                       db->path, (long long)version, SCHEMA_VERSION);
    st = nx_db_begin(db, err);
    if (!st) st = nx_db_exec(db, version ? upgrade : schema, err);
    if (!st) return nx_db_commit(db, err);
    nx_db_rollback(db);
    return st;
}

static nx_status open_handle(nx_db *db, nx_error *err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    nx_status st = make_private(db->path, err);

    if (st) return st;
    int rc = sqlite3_open_v2(db->path, &db->h, flags, NULL);
    if (rc != SQLITE_OK) return fail(db, rc, err);
    sqlite3_busy_timeout(db->h, BUSY_MS);
    sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->h, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db->h, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_limit(db->h, SQLITE_LIMIT_LENGTH, 1 << 20);
    st = nx_db_exec(db, pragmas, err);
    return st ? st : make_tables(db, err);
}

nx_status nx_db_open(nx_db **out, const char *path, nx_error *err)
{
    nx_db *db = nx_calloc(1, sizeof *db);

    *out = NULL;
    if (!db) return nx_fail(err, NX_ENOMEM, "database %s", path);
    pthread_mutex_init(&db->mutex, NULL);
    db->path = nx_strdup(path);
    nx_status st = db->path ? open_handle(db, err) : nx_fail(err, NX_ENOMEM, "database %s", path);
    if (st) {
        nx_db_close(db);
        return st;
    }
    *out = db;
    return NX_OK;
}

void nx_db_close(nx_db *db)
{
    if (!db) return;
    sqlite3_close(db->h);
    pthread_mutex_destroy(&db->mutex);
    nx_free(db->path);
    nx_free(db);
}
