/* keys.c - keys in memory, and the rows that they come from. */
#include "server/keys.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "net/digest.h"
#include "os/random.h"
#include "server/pepper.h"

#define ID_LEN       (NX_KEY_ID_CAP - 1)
#define SECRET_BYTES 32
#define SECRET_LEN   43
#define PREFIX       "nx-"
#define PREFIX_LEN   3

typedef struct entry {
    nx_key_record   record; /* under keys->lock; last_used is below */
    unsigned char   hash[NX_HMAC_BYTES];
    _Atomic int64_t last_used;
} entry;

struct nx_keys {
    nx_db           *db; /* its lock is taken first, keys->lock inside */
    unsigned char    pepper[NX_PEPPER_BYTES];
    pthread_rwlock_t lock; /* guards what follows */
    entry          **v;    /* [cap], n of them, oldest first */
    size_t           n, cap;
    nx_idmap         by_id;
};

/* ---- The text of a key ---- */

static const char id_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool is_id(const char *p)
{
    for (int i = 0; i < ID_LEN; i++)
        if (!p[i] || !strchr(id_letters, p[i])) return false;
    return true;
}

bool nx_key_parse(char id[NX_KEY_ID_CAP], const char *text)
{
    const char *secret = text + PREFIX_LEN + ID_LEN + 1;

    id[0] = '\0';
    if (strnlen(text, NX_KEY_TEXT_CAP) != NX_KEY_TEXT_LEN ||
        memcmp(text, PREFIX, PREFIX_LEN) != 0 || !is_id(text + PREFIX_LEN) || secret[-1] != '-' ||
        strspn(secret, base64url) != SECRET_LEN)
        return false;
    memcpy(id, text + PREFIX_LEN, ID_LEN);
    id[ID_LEN] = '\0';
    return true;
}

bool nx_key_id_of(char id[NX_KEY_ID_CAP], const char *named)
{
    if (nx_key_parse(id, named)) return true;
    if (strncmp(named, PREFIX, PREFIX_LEN) == 0) named += PREFIX_LEN;
    if (!is_id(named) || named[ID_LEN]) return false;
    memcpy(id, named, NX_KEY_ID_CAP);
    return true;
}

/* Eight letters, all equally likely: bytes that would favour some are thrown away. */
static nx_status random_id(char id[NX_KEY_ID_CAP], nx_error *err)
{
    const unsigned n_letters = sizeof id_letters - 1, even = 256 / n_letters * n_letters;
    unsigned char  b;
    nx_status      st = NX_OK;

    for (int i = 0; !st && i < ID_LEN;) {
        st = nx_random_bytes(&b, 1, err);
        if (!st && b < even) id[i++] = id_letters[b % n_letters];
    }
    id[ID_LEN] = '\0';
    return st;
}

/* 32 bytes are ten groups of 3 with 4 letters each, and 2 bytes with 3 letters. */
static void encode_secret(char out[SECRET_LEN], const unsigned char b[SECRET_BYTES])
{
    for (int i = 0; i < SECRET_LEN; i++) {
        int      bit = i * 6, at = bit / 8;
        unsigned pair = (unsigned)b[at] << 8 | (at + 1 < SECRET_BYTES ? b[at + 1] : 0u);
        out[i] = base64url[pair >> (10 - bit % 8) & 63];
    }
}

static nx_status make_text(char text[NX_KEY_TEXT_CAP], const char *id, nx_error *err)
{
    unsigned char secret[SECRET_BYTES];
    nx_status     st = nx_random_bytes(secret, sizeof secret, err);

    snprintf(text, NX_KEY_TEXT_CAP, PREFIX "%s-", id);
    encode_secret(text + PREFIX_LEN + ID_LEN + 1, secret);
    text[NX_KEY_TEXT_LEN] = '\0';
    explicit_bzero(secret, sizeof secret);
    return st;
}

/* ---- Options ---- */

void nx_key_options_default(nx_key_options *opt)
{
    *opt = (nx_key_options){.scopes = NX_KEY_INFER | NX_KEY_RAG, .priority = NX_PRIORITY_NORMAL};
}

static nx_status check_name(nx_str name, nx_error *err)
{
    if (name.len > NX_KEY_NAME_MAX)
        return nx_fail(err, NX_EINVAL, "name: %zu bytes, expected at most %d", name.len,
                       NX_KEY_NAME_MAX);
    if (!nx_utf8_valid(name.p, name.len, NULL)) return nx_fail(err, NX_EINVAL, "name: not UTF-8");
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.p[i] < 32 || name.p[i] == 127)
            return nx_fail(err, NX_EINVAL, "name: has a control character");
    return NX_OK;
}

nx_status nx_key_options_name(nx_key_options *opt, nx_str name, nx_error *err)
{
    nx_status st = check_name(name, err);

    if (st) return st;
    if (name.len) memcpy(opt->name, name.p, name.len);
    opt->name[name.len] = '\0';
    return NX_OK;
}

static nx_status check_range(const char *field, int64_t v, int64_t max, nx_error *err)
{
    if (v >= 0 && v <= max) return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s: expected a number from 0 (no limit) to %lld, found %lld",
                   field, (long long)max, (long long)v);
}

nx_status nx_key_options_check(const nx_key_options *opt, int64_t now_s, nx_error *err)
{
    nx_status st = check_name((nx_str){opt->name, strnlen(opt->name, sizeof opt->name)}, err);

    if (!st && (opt->scopes == 0 || opt->scopes & ~(unsigned)NX_KEY_ALL))
        st = nx_fail(err, NX_EINVAL, "scopes: expected one or more of infer, rag, admin");
    if (!st && (unsigned)opt->priority > NX_PRIORITY_LOW)
        st = nx_fail(err, NX_EINVAL, "priority: expected high, normal or low");
    if (!st) st = check_range("requests_per_minute", opt->requests_per_minute, NX_KEY_RPM_MAX, err);
    if (!st) st = check_range("tokens_per_day", opt->tokens_per_day, NX_KEY_TOKENS_DAY_MAX, err);
    if (!st && opt->expires && (opt->expires <= now_s || opt->expires > NX_KEY_TIME_MAX))
        st = nx_fail(err, NX_EINVAL, "expires_at: expected a time to come, in Unix seconds");
    return st;
}

/* ---- Memory ---- */

static nx_status reserve(nx_keys *keys, nx_error *err)
{
    if (keys->n >= NX_KEYS_MAX)
        return nx_fail(err, NX_ELIMIT, "there are %d keys already, revoked ones included",
                       NX_KEYS_MAX);
    if (keys->n == keys->cap) {
        size_t  cap = keys->cap ? keys->cap * 2 : 64;
        entry **grown = nx_realloc(keys->v, cap, sizeof *grown);
        if (!grown) return nx_fail(err, NX_ENOMEM, "list of keys");
        keys->v = grown;
        keys->cap = cap;
    }
    return nx_idmap_reserve(&keys->by_id, err);
}

/* After reserve: can't fail. */
static void add(nx_keys *keys, entry *e)
{
    (void)nx_idmap_add(&keys->by_id, e->record.id, e, NULL);
    keys->v[keys->n++] = e;
}

static void copy_record(nx_key_record *out, entry *e)
{
    *out = e->record;
    out->last_used = atomic_load_explicit(&e->last_used, memory_order_relaxed);
}

/* ---- Rows ---- */

static const char sql_all[] =
    "SELECT number, id, hash, name, scopes, priority, requests_per_minute, tokens_per_day,"
    " created, expires, revoked, last_used, bounds FROM keys ORDER BY number";

static nx_status read_numbers(entry *e, nx_db *db, sqlite3_stmt *s, nx_error *err)
{
    nx_key_record *r = &e->record;
    int64_t        number = 0, scopes = 0, priority = 0, used = 0;
    const struct {
        int64_t *out;
        int      column;
        int64_t  min, max;
    } all[] = {
        {&number, 0, 1, INT64_MAX},
        {&scopes, 4, 1, NX_KEY_ALL},
        {&priority, 5, 0, NX_PRIORITY_LOW},
        {&r->requests_per_minute, 6, 0, NX_KEY_RPM_MAX},
        {&r->tokens_per_day, 7, 0, NX_KEY_TOKENS_DAY_MAX},
        {&r->created, 8, 0, NX_KEY_TIME_MAX},
        {&r->expires, 9, 0, NX_KEY_TIME_MAX},
        {&r->revoked, 10, 0, NX_KEY_TIME_MAX},
        {&used, 11, 0, NX_KEY_TIME_MAX},
    };
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < sizeof all / sizeof *all; i++)
        st = nx_db_int(all[i].out, db, s, all[i].column, all[i].min, all[i].max, err);
    r->number = (uint64_t)number;
    r->scopes = (uint32_t)scopes;
    r->priority = (nx_job_priority)priority;
    atomic_init(&e->last_used, used);
    return st;
}

static nx_status read_bounds(nx_key_bounds *out, nx_db *db, sqlite3_stmt *s, nx_error *err)
{
    char      text[NX_KEY_BOUNDS_CAP];
    nx_status st = nx_db_text(text, sizeof text, db, s, 12, err);

    return st ? st : nx_key_bounds_of_text(out, text, err);
}

static nx_status read_row(nx_keys *keys, sqlite3_stmt *s, nx_error *err)
{
    nx_status st = reserve(keys, err);
    entry    *e = st ? NULL : nx_calloc(1, sizeof *e);

    if (!st && !e) st = nx_fail(err, NX_ENOMEM, "list of keys");
    if (!st) st = read_numbers(e, keys->db, s, err);
    if (!st) st = nx_db_text(e->record.id, sizeof e->record.id, keys->db, s, 1, err);
    if (!st) st = nx_db_blob(e->hash, sizeof e->hash, keys->db, s, 2, err);
    if (!st) st = nx_db_text(e->record.name, sizeof e->record.name, keys->db, s, 3, err);
    if (!st) st = read_bounds(&e->record.bounds, keys->db, s, err);
    if (!st && (!is_id(e->record.id) || nx_idmap_find(&keys->by_id, e->record.id)))
        st = nx_fail(err, NX_EFORMAT, "nexus.db: a key's id is malformed, or there twice");
    if (!st)
        add(keys, e);
    else
        nx_free(e);
    return st;
}

static nx_status read_all(nx_keys *keys, nx_error *err)
{
    sqlite3_stmt *s = NULL;
    bool          row = false;

    nx_db_lock(keys->db);
    nx_status st = nx_db_prepare(&s, keys->db, sql_all, err);
    if (!st) st = nx_db_step(keys->db, s, &row, err);
    while (!st && row) {
        st = read_row(keys, s, err);
        if (!st) st = nx_db_step(keys->db, s, &row, err);
    }
    sqlite3_finalize(s);
    nx_db_unlock(keys->db);
    return st;
}

nx_status nx_keys_open(nx_keys **out, const nx_datadir *dir, nx_db *db, nx_error *err)
{
    nx_keys *keys = nx_calloc(1, sizeof *keys);

    *out = NULL;
    if (!keys) return nx_fail(err, NX_ENOMEM, "list of keys");
    keys->db = db;
    pthread_rwlock_init(&keys->lock, NULL);
    nx_status st = read_all(keys, err);
    if (!st) st = nx_pepper_load(keys->pepper, dir->pepper, keys->n == 0, err);
    if (st) {
        nx_keys_close(keys);
        return st;
    }
    *out = keys;
    return NX_OK;
}

void nx_keys_close(nx_keys *keys)
{
    if (!keys) return;
    for (size_t i = 0; i < keys->n; i++) nx_free(keys->v[i]);
    nx_free(keys->v);
    nx_idmap_free(&keys->by_id);
    pthread_rwlock_destroy(&keys->lock);
    explicit_bzero(keys->pepper, sizeof keys->pepper);
    nx_free(keys);
}

/* ---- Making and revoking: the database's lock is held ---- */

static const char sql_insert[] =
    "INSERT INTO keys(id, hash, name, scopes, priority, requests_per_minute, tokens_per_day,"
    " created, expires, revoked, last_used, bounds) VALUES(?,?,?,?,?,?,?,?,?,0,0,?)";

static nx_status insert(nx_db *db, entry *e, nx_error *err)
{
    nx_key_record *r = &e->record;
    sqlite3_stmt  *s = NULL;
    char           bounds[NX_KEY_BOUNDS_CAP];
    nx_status      st = nx_key_bounds_to_text(bounds, &r->bounds, err);

    if (!st) st = nx_db_prepare(&s, db, sql_insert, err);
    if (st) return st;
    sqlite3_bind_text(s, 1, r->id, -1, SQLITE_STATIC);
    sqlite3_bind_blob(s, 2, e->hash, sizeof e->hash, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, r->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, r->scopes);
    sqlite3_bind_int64(s, 5, (int64_t)r->priority);
    sqlite3_bind_int64(s, 6, r->requests_per_minute);
    sqlite3_bind_int64(s, 7, r->tokens_per_day);
    sqlite3_bind_int64(s, 8, r->created);
    sqlite3_bind_int64(s, 9, r->expires);
    sqlite3_bind_text(s, 10, bounds, -1, SQLITE_STATIC);
    st = nx_db_run(db, s, err); /* a transaction by itself */
    sqlite3_finalize(s);
    if (!st) r->number = (uint64_t)sqlite3_last_insert_rowid(nx_db_handle(db));
    return st;
}

/* A record with a new id, and the text that goes with it. */
static nx_status fill(nx_keys *keys, entry *e, const nx_key_options *opt, int64_t now_s, char *text,
                      nx_error *err)
{
    nx_key_record *r = &e->record;
    nx_status      st;

    do st = random_id(r->id, err);
    while (!st && nx_idmap_find(&keys->by_id, r->id));
    if (!st) st = make_text(text, r->id, err);
    if (!st) st = nx_hmac(e->hash, keys->pepper, sizeof keys->pepper, text, NX_KEY_TEXT_LEN, err);
    memcpy(r->name, opt->name, sizeof r->name);
    r->scopes = opt->scopes;
    r->priority = opt->priority;
    r->requests_per_minute = opt->requests_per_minute;
    r->tokens_per_day = opt->tokens_per_day;
    r->created = now_s;
    r->expires = opt->expires;
    r->bounds = opt->bounds;
    return st;
}

static nx_status create(nx_keys *keys, entry *e, const nx_key_options *opt, int64_t now_s,
                        char *text, nx_error *err)
{
    pthread_rwlock_wrlock(&keys->lock);
    nx_status st = reserve(keys, err);
    if (!st) st = fill(keys, e, opt, now_s, text, err);
    pthread_rwlock_unlock(&keys->lock);
    if (!st) st = insert(keys->db, e, err);
    if (st) return st;
    pthread_rwlock_wrlock(&keys->lock);
    add(keys, e);
    pthread_rwlock_unlock(&keys->lock);
    return NX_OK;
}

nx_status nx_keys_create(nx_keys *keys, const nx_key_options *opt, int64_t now_s, char *text,
                         nx_key_record *record, nx_error *err)
{
    nx_status st = nx_key_options_check(opt, now_s, err);
    entry    *e = st ? NULL : nx_calloc(1, sizeof *e);

    memset(text, 0, NX_KEY_TEXT_CAP);
    if (st) return st;
    if (!e) return nx_fail(err, NX_ENOMEM, "new key");
    nx_db_lock(keys->db);
    st = create(keys, e, opt, now_s, text, err);
    if (!st) *record = e->record;
    nx_db_unlock(keys->db);
    if (!st) return NX_OK;
    nx_free(e);
    explicit_bzero(text, NX_KEY_TEXT_CAP);
    return st;
}

static nx_status revoke_row(nx_db *db, const char *id, int64_t now_s, nx_error *err)
{
    sqlite3_stmt *s = NULL;
    nx_status     st = nx_db_prepare(&s, db, "UPDATE keys SET revoked=? WHERE id=?", err);

    if (st) return st;
    sqlite3_bind_int64(s, 1, now_s);
    sqlite3_bind_text(s, 2, id, -1, SQLITE_STATIC);
    st = nx_db_run(db, s, err);
    sqlite3_finalize(s);
    return st;
}

nx_status nx_keys_revoke(nx_keys *keys, const char *id, int64_t now_s, nx_key_record *record,
                         nx_error *err)
{
    nx_status st = NX_OK;

    nx_db_lock(keys->db); /* nobody else writes: what is read stays true */
    pthread_rwlock_rdlock(&keys->lock);
    entry *e = nx_idmap_find(&keys->by_id, id);
    bool   done = e && e->record.revoked;
    pthread_rwlock_unlock(&keys->lock);
    if (!e)
        st = nx_fail(err, NX_ENOENT, "there is no key with the id %.*s", ID_LEN, id);
    else if (!done)
        st = revoke_row(keys->db, e->record.id, now_s, err);
    pthread_rwlock_wrlock(&keys->lock);
    if (!st && !done) e->record.revoked = now_s;
    if (!st && record) copy_record(record, e);
    pthread_rwlock_unlock(&keys->lock);
    nx_db_unlock(keys->db);
    return st;
}

/* ---- Reading ---- */

nx_status nx_keys_list(nx_keys *keys, nx_key_record **out, size_t *n, nx_error *err)
{
    pthread_rwlock_rdlock(&keys->lock);
    *n = 0;
    *out = nx_alloc(keys->n, sizeof **out);
    if (*out) {
        *n = keys->n;
        for (size_t i = 0; i < keys->n; i++) copy_record(*out + i, keys->v[i]);
    }
    pthread_rwlock_unlock(&keys->lock);
    return *out ? NX_OK : nx_fail(err, NX_ENOMEM, "list of keys");
}

bool nx_keys_any(nx_keys *keys)
{
    pthread_rwlock_rdlock(&keys->lock);
    bool any = keys->n > 0;
    pthread_rwlock_unlock(&keys->lock);
    return any;
}

/* Is this hash that of the key with this id? The comparison is made either way. */
static bool find_match(nx_keys *keys, const char *id, const unsigned char *hash, int64_t now_s,
                       nx_key_record *record)
{
    static const unsigned char nobody[NX_HMAC_BYTES];

    pthread_rwlock_rdlock(&keys->lock);
    entry *e = nx_idmap_find(&keys->by_id, id);
    bool   same = nx_secret_equal(e ? e->hash : nobody, hash, NX_HMAC_BYTES) && e;
    if (same) {
        copy_record(record, e);
        if (!record->revoked && (!record->expires || record->expires > now_s))
            atomic_store_explicit(&e->last_used, now_s, memory_order_relaxed);
    }
    pthread_rwlock_unlock(&keys->lock);
    return same;
}

nx_key_verdict nx_keys_check(nx_keys *keys, const char *text, int64_t now_s, nx_key_record *record)
{
    char          id[NX_KEY_ID_CAP];
    unsigned char hash[NX_HMAC_BYTES];

    memset(record, 0, sizeof *record);
    if (!text || !*text) return NX_KEY_MISSING;
    if (!nx_key_parse(id, text)) return NX_KEY_MALFORMED;
    if (nx_hmac(hash, keys->pepper, sizeof keys->pepper, text, NX_KEY_TEXT_LEN, NULL))
        return NX_KEY_FAULT;
    if (!find_match(keys, id, hash, now_s, record)) return NX_KEY_UNKNOWN;
    if (record->revoked) return NX_KEY_REVOKED;
    if (record->expires && record->expires <= now_s) return NX_KEY_EXPIRED;
    return NX_KEY_OK;
}

const char *nx_key_message(nx_key_verdict v)
{
    switch (v) {
    case NX_KEY_OK: return "";
    case NX_KEY_MISSING:
        return "No API key was given. Send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.";
    case NX_KEY_EXPIRED: return "This API key has expired.";
    case NX_KEY_FAULT: return "The API key could not be checked.";
    default: return "Incorrect API key.";
    }
}

const char *nx_key_verdict_name(nx_key_verdict v)
{
    static const char *const names[] = {"ok",      "missing", "malformed", "unknown",
                                        "revoked", "expired", "fault"};

    return names[v];
}
