/* merges.c - the map of merges. */
#include "token/merges.h"

#include "base/alloc.h"

nx_status nx_merges_create(nx_merges *m, int64_t n, nx_error *err)
{
    uint64_t size = 16;

    while (size < (uint64_t)n + (uint64_t)n / 2) size *= 2;
    *m = (nx_merges){.slots = nx_alloc(size, sizeof *m->slots), .mask = (uint32_t)(size - 1)};
    if (!m->slots) return nx_fail(err, NX_ENOMEM, "table of %lld merges", (long long)n);
    for (uint64_t i = 0; i < size; i++) m->slots[i].left = -1;
    return NX_OK;
}

void nx_merges_destroy(nx_merges *m)
{
    nx_free(m->slots);
    *m = (nx_merges){0};
}

/* The slot of the pair, or the empty one where it belongs; NULL: probed too long. */
static inline nx_merge *probe(const nx_merges *m, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t at = (uint32_t)nx_hash_mix(key ^ 0x9E3779B97F4A7C15u, 0xD6E8FEB86659FD93u);

    for (uint32_t i = 0; i < NX_PROBES_MAX; i++) {
        nx_merge *s = &m->slots[(at + i) & m->mask];
        if (s->left < 0 || (s->left == left && s->right == right)) return s;
    }
    return NULL;
}

bool nx_merges_add(nx_merges *m, nx_merge merge)
{
    nx_merge *s = probe(m, merge.left, merge.right);

    if (!s) return false;
    if (s->left < 0) *s = merge;
    return true;
}

const nx_merge *nx_merges_find(const nx_merges *m, int32_t left, int32_t right)
{
    const nx_merge *s = probe(m, left, right);

    return s && s->left >= 0 ? s : NULL;
}
