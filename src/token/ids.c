/* ids.c - a growing list of token ids. */
#include "base/alloc.h"
#include "token/vocab.h"

nx_status nx_ids_add(nx_ids *l, int32_t id, nx_error *err)
{
    if (l->n == l->cap) {
        if (l->n >= (size_t)INT32_MAX) return nx_fail(err, NX_ELIMIT, "over 2^31 tokens");
        size_t   cap = l->cap < 64 ? 64 : l->cap + l->cap / 2;
        int32_t *ids = nx_realloc(l->ids, cap, sizeof *ids);
        if (!ids) return nx_fail(err, NX_ENOMEM, "%zu tokens", cap);
        l->ids = ids;
        l->cap = cap;
    }
    l->ids[l->n++] = id;
    return NX_OK;
}

void nx_ids_free(nx_ids *l)
{
    nx_free(l->ids);
    *l = (nx_ids){0};
}
