/* index.c - a hash map from byte strings to token ids. */
#include "token/index.h"

#include <string.h>

#include "base/alloc.h"

#define K0 0x9E3779B97F4A7C15u
#define K1 0xD6E8FEB86659FD93u
#define K2 0xA0761D6478BD642Fu

uint64_t nx_hash_bytes(const char *p, size_t len)
{
    uint64_t h = K0 ^ (len * K1), w;

    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&w, p, 8);
        h = nx_hash_mix(h ^ w, K1);
    }
    w = 0;
    for (size_t i = 0; i < len; i++) w |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return nx_hash_mix(h ^ w, K2);
}

nx_status nx_index_create(nx_index *x, const nx_str *texts, int32_t n, nx_error *err)
{
    uint32_t size = 16;

    while (size < 2 * (uint32_t)n) size *= 2;
    *x = (nx_index){.slots = nx_calloc(size, sizeof *x->slots), .mask = size - 1, .texts = texts};
    if (!x->slots) return nx_fail(err, NX_ENOMEM, "index of %d tokens", n);
    return NX_OK;
}

void nx_index_destroy(nx_index *x)
{
    nx_free(x->slots);
    *x = (nx_index){0};
}

/* The slot that holds the text, or the empty one where it belongs; NULL: probed too long. */
static nx_index_slot *probe(const nx_index *x, const char *p, size_t len, uint32_t *hash)
{
    uint64_t h = nx_hash_bytes(p, len);

    *hash = (uint32_t)(h >> 32);
    for (uint32_t i = 0, at = (uint32_t)h & x->mask; i < NX_PROBES_MAX; i++) {
        nx_index_slot *s = &x->slots[at];
        if (s->id_plus_1 == 0) return s;
        if (s->hash == *hash) {
            nx_str t = x->texts[s->id_plus_1 - 1];
            if (t.len == len && memcmp(t.p, p, len) == 0) return s;
        }
        at = (at + 1) & x->mask;
    }
    return NULL;
}

bool nx_index_add(nx_index *x, int32_t id)
{
    nx_str   t = x->texts[id];
    uint32_t hash;

    if (t.len == 0) return true;
    nx_index_slot *s = probe(x, t.p, t.len, &hash);
    if (!s) return false;
    *s = (nx_index_slot){.hash = hash, .id_plus_1 = (uint32_t)id + 1};
    return true;
}

int32_t nx_index_find(const nx_index *x, const char *p, size_t len)
{
    uint32_t hash;

    if (len == 0) return -1;
    const nx_index_slot *s = probe(x, p, len, &hash);
    return s ? (int32_t)s->id_plus_1 - 1 : -1;
}
