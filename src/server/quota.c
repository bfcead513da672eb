/* quota.c - the bucket as one number (the generic cell rate algorithm): the time at which it would be
 * full again. A request moves it on by a minute / rate; it may lie at most a minute ahead. */
#include "server/quota.h"

#include <pthread.h>

#include "base/alloc.h"

#define MINUTE_NS 60000000000
#define SECOND_NS 1000000000
#define DAY_S     86400

struct nx_quota {
    nx_usage       *usage;
    pthread_mutex_t mutex;
    nx_idmap        full_at; /* -> int64_t, under the mutex */
};

nx_status nx_quota_create(nx_quota **out, nx_usage *usage, nx_error *err)
{
    *out = nx_calloc(1, sizeof **out);
    if (!*out) return nx_fail(err, NX_ENOMEM, "quotas");
    (*out)->usage = usage;
    pthread_mutex_init(&(*out)->mutex, NULL);
    return NX_OK;
}

void nx_quota_destroy(nx_quota *q)
{
    if (!q) return;
    for (size_t i = 0; i < q->full_at.cap; i++) nx_free(q->full_at.slots[i].value);
    nx_idmap_free(&q->full_at);
    pthread_mutex_destroy(&q->mutex);
    nx_free(q);
}

static bool tokens_left(nx_quota *q, const nx_key_record *key, int64_t now_s, nx_quota_answer *out)
{
    if (!key->tokens_per_day || nx_usage_today(q->usage, key->id, now_s) < key->tokens_per_day)
        return true;
    *out = (nx_quota_answer){.why = NX_QUOTA_TOKENS,
                             .retry_after_s = (int32_t)(DAY_S - now_s % DAY_S),
                             .limit = key->tokens_per_day,
                             .left = 0};
    return false;
}

/* The bucket of a key; a new one is full. NULL: out of memory. */
static int64_t *bucket_of(nx_quota *q, const char *id, int64_t now_ns)
{
    int64_t *full_at = nx_idmap_find(&q->full_at, id);

    if (full_at) return full_at;
    full_at = nx_alloc(1, sizeof *full_at);
    if (!full_at) return NULL;
    *full_at = now_ns;
    if (!nx_idmap_add(&q->full_at, id, full_at, NULL)) return full_at;
    nx_free(full_at);
    return NULL;
}

static bool take(int64_t *full_at, int64_t rate, int64_t now_ns, nx_quota_answer *out)
{
    int64_t each = MINUTE_NS / rate, ahead = *full_at > now_ns ? *full_at - now_ns : 0;
    int64_t wait = ahead + each - each * rate;

    if (wait > 0) {
        out->why = NX_QUOTA_REQUESTS;
        out->retry_after_s = (int32_t)((wait + SECOND_NS - 1) / SECOND_NS);
        out->left = 0;
        return false;
    }
    *full_at = now_ns + ahead + each;
    out->left = -wait / each;
    return true;
}

bool nx_quota_take(nx_quota *q, const nx_key_record *key, int64_t now_ns, int64_t now_s,
                   nx_quota_answer *out)
{
    *out = (nx_quota_answer){.limit = key->requests_per_minute, .left = -1};
    if (!tokens_left(q, key, now_s, out)) return false;
    if (!key->requests_per_minute) return true;
    pthread_mutex_lock(&q->mutex);
    int64_t *full_at = bucket_of(q, key->id, now_ns);
    bool     ok;
    if (full_at) {
        ok = take(full_at, key->requests_per_minute, now_ns, out);
    } else {
        ok = false; /* without memory nobody can be counted: come back */
        *out = (nx_quota_answer){NX_QUOTA_REQUESTS, 1, key->requests_per_minute, 0};
    }
    pthread_mutex_unlock(&q->mutex);
    return ok;
}
