/* quota.h - how often and how much a key may ask: a refusal says when to come back.
 *
 * Requests: a token bucket of `requests_per_minute`, full at first, refilled evenly.
 * Tokens:   by UTC day, out of the ledger's memory. A request is refused when the day's count has
 *           reached the quota; nothing is reserved, so the last one admitted may go beyond it.
 * Thread:   any. Never waits for the disk.
 */
#ifndef NX_SERVER_QUOTA_H
#define NX_SERVER_QUOTA_H

#include "server/keys.h"
#include "server/usage.h"

typedef struct nx_quota nx_quota;

nx_status nx_quota_create(nx_quota **out, nx_usage *usage, nx_error *err); /* usage is borrowed */
void      nx_quota_destroy(nx_quota *q);

typedef enum nx_quota_why { NX_QUOTA_OK, NX_QUOTA_REQUESTS, NX_QUOTA_TOKENS } nx_quota_why;

typedef struct nx_quota_answer {
    nx_quota_why why;
    int32_t      retry_after_s; /* of a refusal: at least 1 */
    int64_t      limit;         /* the one that was reached; else requests_per_minute */
    int64_t      left;          /* requests that could follow at once; -1: no limit */
} nx_quota_answer;

/* May a request with this key begin? True counts it. now_ns: nx_clock_ns; now_s: Unix time. */
bool nx_quota_take(nx_quota *q, const nx_key_record *key, int64_t now_ns, int64_t now_s,
                   nx_quota_answer *out);

#endif
