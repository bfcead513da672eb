/* keys.h - who may ask: keys made, listed, revoked, and checked on every request.
 *
 * A key is the text  nx-IIIIIIII-SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS : 8 characters of id
 * (a-z 0-9), which logs and people may see, and 43 of base64url for 32 random bytes, which is shown
 * once. What is stored is HMAC-SHA-256(pepper, the whole text).
 *
 * Owns:    all keys in memory, found by id; the rows of table `keys`.
 * Idea:    a check reads memory only: one hash, one look, one comparison of constant time; an id that
 *          isn't there costs the same. Revoked and expired keys stay, so that their owner's requests
 *          are told apart in the log, and taking the last key away doesn't open the server.
 * Durable: what create and revoke return NX_OK for is on the disk, and in force for the next check.
 * Thread:  any. create and revoke wait for the disk; check never does.
 */
#ifndef NX_SERVER_KEYS_H
#define NX_SERVER_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/job.h"
#include "server/datadir.h"
#include "server/db.h"
#include "server/idmap.h"
#include "server/key_bounds.h"

#define NX_KEY_TEXT_LEN       55
#define NX_KEY_TEXT_CAP       (NX_KEY_TEXT_LEN + 1)
#define NX_KEY_NAME_MAX       100 /* bytes */
#define NX_KEY_RPM_MAX        1000000
#define NX_KEY_TOKENS_DAY_MAX ((int64_t)1000000000000000)
#define NX_KEY_TIME_MAX       ((int64_t)253402300799) /* the end of the year 9999 */
#define NX_KEYS_MAX           100000

/* Bits of what a key may do; none implies another. */
enum {
    NX_KEY_INFER = 1 << 0,
    NX_KEY_RAG = 1 << 1,
    NX_KEY_ADMIN = 1 << 2,
    NX_KEY_ALL = 7,
};

/* Times are Unix seconds, 0: never. */
typedef struct nx_key_record {
    char            id[NX_KEY_ID_CAP];
    uint64_t        number; /* from 1, never given twice: nx_job_options.owner */
    char            name[NX_KEY_NAME_MAX + 1];
    uint32_t        scopes;
    nx_job_priority priority;
    int64_t         requests_per_minute; /* 0: any */
    int64_t         tokens_per_day;      /* 0: any; prompt and generated, by UTC day */
    int64_t         created, expires, revoked, last_used;
    nx_key_bounds   bounds;
} nx_key_record;

typedef struct nx_key_options {
    char            name[NX_KEY_NAME_MAX + 1]; /* for people; may be "" */
    uint32_t        scopes;
    nx_job_priority priority;
    int64_t         requests_per_minute, tokens_per_day, expires; /* 0: none */
    nx_key_bounds   bounds;
} nx_key_options;

typedef struct nx_keys nx_keys;

void nx_key_options_default(nx_key_options *opt); /* infer and rag, normal, no limits */

/* Put a name there. NX_EINVAL: too long, not UTF-8, or with control characters. */
nx_status nx_key_options_name(nx_key_options *opt, nx_str name, nx_error *err);

/* NX_EINVAL: "requests_per_minute: ..." names the field, and what was expected. */
nx_status nx_key_options_check(const nx_key_options *opt, int64_t now_s, nx_error *err);

/* Read all keys, and the pepper of the folder, which is made where there is none and no key. dir's
 * lock is held; db outlives the keys. NX_EIO, NX_EFORMAT, NX_ENOENT (no pepper), NX_ENOMEM. */
nx_status nx_keys_open(nx_keys **out, const nx_datadir *dir, nx_db *db, nx_error *err);
void      nx_keys_close(nx_keys *keys);

/* Make a key. text[NX_KEY_TEXT_CAP] is its only copy: show it, then explicit_bzero it. now_s: Unix
 * time. NX_EINVAL (nx_key_options_check), NX_ELIMIT (NX_KEYS_MAX), NX_EIO, NX_ENOMEM. */
nx_status nx_keys_create(nx_keys *keys, const nx_key_options *opt, int64_t now_s, char *text,
                         nx_key_record *record, nx_error *err);

/* All keys, oldest first; *out is one block (nx_free). NX_ENOMEM. */
nx_status nx_keys_list(nx_keys *keys, nx_key_record **out, size_t *n, nx_error *err);

/* Take a key's rights away; *record (may be NULL) is what it then is. One that was revoked before stays
 * as it is. NX_ENOENT, NX_EIO. */
nx_status nx_keys_revoke(nx_keys *keys, const char *id, int64_t now_s, nx_key_record *record,
                         nx_error *err);

/* Was there ever a key? Then requests need one. */
bool nx_keys_any(nx_keys *keys);

typedef enum nx_key_verdict {
    NX_KEY_OK,
    NX_KEY_MISSING,   /* NULL or "" */
    NX_KEY_MALFORMED, /* not the text of a key */
    NX_KEY_UNKNOWN,   /* no such id, or another secret */
    NX_KEY_REVOKED,
    NX_KEY_EXPIRED,
    NX_KEY_FAULT, /* ours: out of memory */
} nx_key_verdict;

/* Judge the text that a request came with. *record is filled for NX_KEY_OK, _REVOKED and _EXPIRED
 * (their secret was right), zeroed else. */
nx_key_verdict nx_keys_check(nx_keys *keys, const char *text, int64_t now_s, nx_key_record *record);

/* What a client may be told: malformed, unknown and revoked sound the same. NX_KEY_OK gives "". */
const char *nx_key_message(nx_key_verdict v);
const char *nx_key_verdict_name(nx_key_verdict v); /* "unknown": for logs */

/* The id in the text of a key, if it has a key's form. Says nothing about whether there is such a key. */
bool nx_key_parse(char id[NX_KEY_ID_CAP], const char *text);

/* The id that a person named: the id itself, with nx- before it, or a whole key. */
bool nx_key_id_of(char id[NX_KEY_ID_CAP], const char *named);

#endif
