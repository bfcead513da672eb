/* idmap.c - open addressing, at most half full. */
#include "server/idmap.h"

#include <string.h>

#include "base/alloc.h"

static uint64_t hash_of(const char *id)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (int i = 0; i < NX_KEY_ID_CAP - 1 && id[i]; i++)
        h = (h ^ (unsigned char)id[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

/* Where id is, or would go. */
static struct nx_idmap_slot *place(const nx_idmap *m, const char *id)
{
    size_t i = hash_of(id) & (m->cap - 1);

    while (m->slots[i].value && strncmp(m->slots[i].id, id, NX_KEY_ID_CAP - 1) != 0)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void *nx_idmap_find(const nx_idmap *m, const char *id)
{
    return m->cap ? place(m, id)->value : NULL;
}

nx_status nx_idmap_reserve(nx_idmap *m, nx_error *err)
{
    nx_idmap grown = {.n = m->n, .cap = m->cap ? m->cap * 2 : 64};

    if ((m->n + 1) * 2 <= m->cap) return NX_OK;
    grown.slots = nx_calloc(grown.cap, sizeof *grown.slots);
    if (!grown.slots) return nx_fail(err, NX_ENOMEM, "table of keys");
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value) *place(&grown, m->slots[i].id) = m->slots[i];
    nx_free(m->slots);
    *m = grown;
    return NX_OK;
}

nx_status nx_idmap_add(nx_idmap *m, const char *id, void *value, nx_error *err)
{
    nx_status st = nx_idmap_reserve(m, err);

    if (st) return st;
    struct nx_idmap_slot *s = place(m, id);
    size_t                len = strnlen(id, NX_KEY_ID_CAP - 1);
    memcpy(s->id, id, len);
    s->id[len] = '\0';
    s->value = value;
    m->n++;
    return NX_OK;
}

void nx_idmap_free(nx_idmap *m)
{
    nx_free(m->slots);
    *m = (nx_idmap){0};
}
