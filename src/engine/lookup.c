/* lookup.c - n-grams looked for backwards, since what was said last is likelier to come again. */
#include "engine/lookup.h"

#define GRAM_MAX     4
#define GRAM_MIN     2
#define PATIENCE_MAX 64
#define TRUST_FIRST  0.7f
#define TRUST_NEW    0.2f

/* The last place before the end where the n_gram tokens at the end stand as well; -1: none. */
static int32_t find_gram(const int32_t *ids, int32_t n, int32_t n_gram)
{
    const int32_t *end = ids + n - n_gram;

    for (int32_t i = n - n_gram - 1; i >= 0; i--) {
        int32_t k = 0;
        while (k < n_gram && ids[i + k] == end[k]) k++;
        if (k == n_gram) return i;
    }
    return -1;
}

int32_t nx_lookup_draft(int32_t *draft, int32_t n_max, const int32_t *ids, int32_t n)
{
    for (int32_t n_gram = GRAM_MAX; n_gram >= GRAM_MIN; n_gram--) {
        int32_t at = n > n_gram ? find_gram(ids, n, n_gram) : -1, n_draft = 0;

        if (at < 0) continue;
        for (int32_t i = at + n_gram; i < n && n_draft < n_max; i++) draft[n_draft++] = ids[i];
        return n_draft;
    }
    return 0;
}

int32_t nx_lookup_wanted(nx_lookup *l, int32_t n_max)
{
    if (l->wait > 0) {
        l->wait--;
        return 0;
    }
    int32_t n = l->n_right + 2;
    return n < n_max ? n : n_max;
}

float nx_lookup_expected(const nx_lookup *l, int32_t n)
{
    float p = TRUST_FIRST + l->trust, all = 0, right = 1;

    for (int32_t i = 0; i < n; i++) all += right *= p;
    return all;
}

/* Of a draft, the guesses up to the first wrong one were put to the test. */
static void learn_trust(nx_lookup *l, int32_t n_drafted, int32_t n_accepted)
{
    float p = TRUST_FIRST + l->trust;

    for (int32_t i = 0; i < n_accepted; i++) p += TRUST_NEW * (1 - p);
    if (n_accepted < n_drafted) p -= TRUST_NEW * p;
    l->trust = p - TRUST_FIRST;
}

void nx_lookup_learn(nx_lookup *l, int32_t n_drafted, int32_t n_accepted)
{
    if (n_drafted == 0) return;
    learn_trust(l, n_drafted, n_accepted);
    l->n_right = n_accepted;
    if (n_accepted > 0) {
        l->patience = 0;
        return;
    }
    l->patience = l->patience ? l->patience * 2 : 2;
    if (l->patience > PATIENCE_MAX) l->patience = PATIENCE_MAX;
    l->wait = l->patience;
}
