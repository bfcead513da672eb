/* Protects the cache of embeddings: what was put is found, the one asked for longest ago makes room,
 * against a model of it; and lack of memory loses entries, never an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/embed_cache.h"

#define DIMS 3

static nx_embed_key key_of(int i)
{
    nx_embed_key k = {{0}};

    memcpy(k.bytes, &(uint32_t){(uint32_t)i % 5}, 4); /* five buckets: chains are long */
    memcpy(k.bytes + 8, &i, sizeof i);
    return k;
}

static void put(nx_embed_cache *c, int i)
{
    nx_embed_key  k = key_of(i);
    nx_embed_note note = {i, 2 * i, 3};
    float         v[DIMS] = {(float)i, 1, 2};

    nx_embed_cache_put(c, &k, v, &note);
}

static bool get(nx_embed_cache *c, int i)
{
    nx_embed_key  k = key_of(i);
    nx_embed_note note = {0};
    const float  *v = nx_embed_cache_get(c, &k, &note);

    if (!v) return false;
    assert_true(v[0] == (float)i && v[1] == 1 && v[2] == 2);
    assert_true(note.n_tokens == i && note.n_cut == 2 * i && note.n_windows == 3);
    return true;
}

static nx_embed_cache *make(int32_t n_max)
{
    nx_embed_cache *c;

    assert_int_equal(nx_embed_cache_create(&c, n_max, DIMS, NULL), NX_OK);
    return c;
}

/* The keys of a list, the last asked for first. */
typedef struct model {
    int keys[64], n, n_max;
} model;

static bool touch(model *m, int key, bool add)
{
    int at = 0;

    while (at < m->n && m->keys[at] != key) at++;
    bool found = at < m->n;
    if (!found && !add) return false;
    if (found && add) return true; /* stays where it is */
    if (!found && m->n < m->n_max) m->n++;
    if (!found) at = m->n - 1;
    memmove(m->keys + 1, m->keys, (size_t)at * sizeof *m->keys);
    m->keys[0] = key;
    return found;
}

static void as_the_model(void **state)
{
    (void)state;
    for (int n_max = 1; n_max <= 64; n_max *= 4) {
        nx_embed_cache *c = make(n_max);
        model           m = {.n_max = n_max};
        uint64_t        hits = 0, misses = 0;
        for (int i = 0; i < 20000; i++) {
            int key = rand() % (n_max * 2 + 1);
            if (rand() % 3 == 0) {
                put(c, key);
                touch(&m, key, true);
                continue;
            }
            bool want = touch(&m, key, false);
            assert_int_equal(get(c, key), want);
            hits += want;
            misses += !want;
        }
        nx_embed_cache_stats s = nx_embed_cache_count(c);
        assert_true(s.n == m.n && s.n_max == n_max && s.n_hits == hits && s.n_misses == misses);
        nx_embed_cache_clear(c);
        assert_false(get(c, m.keys[0]));
        nx_embed_cache_destroy(c);
    }
}

static void of_nothing(void **state)
{
    nx_embed_cache *c = make(0);

    (void)state;
    put(c, 1);
    assert_false(get(c, 1));
    nx_embed_cache_destroy(c);
    nx_embed_cache_destroy(NULL);
    assert_int_equal(nx_embed_cache_create(&c, -1, DIMS, NULL), NX_EINVAL);
    assert_int_equal(nx_embed_cache_create(&c, 10, 0, NULL), NX_EINVAL);
}

static void without_memory(void **state)
{
    (void)state;
    for (int fail = 0; fail < 12; fail++) {
        nx_embed_cache *c = NULL;
        nx_alloc_fail_after(fail);
        if (nx_embed_cache_create(&c, 1000, DIMS, NULL) == NX_OK)
            for (int i = 0; i < 500; i++) put(c, i);
        nx_alloc_fail_after(-1);
        for (int i = 0; c && i < 500; i++) get(c, i);
        nx_embed_cache_destroy(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_model),
        cmocka_unit_test(of_nothing),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
