/* ids.c - a growing list of token ids. */
#include "base/alloc.h"
#include "token/vocab.h"

nx_status nx_ids_reserve(nx_ids *l, size_t n, nx_error *err)
{
    if (n <= l->cap - l->n) return NX_OK;
    if (n > (size_t)INT32_MAX || l->n + n > (size_t)INT32_MAX) {
        return nx_fail(err, NX_ELIMIT, "over 2^31 tokens");
    }
    size_t cap = l->cap + l->cap / 2;
    if (cap < l->n + n) cap = l->n + n;
    if (cap < 64) cap = 64;
    int32_t *ids = nx_realloc(l->ids, cap, sizeof *ids);
    if (!ids) return nx_fail(err, NX_ENOMEM, "%zu tokens", cap);
    l->ids = ids;
    l->cap = cap;
    return NX_OK;
}

nx_status nx_ids_add(nx_ids *l, int32_t id, nx_error *err)
{
    nx_status st = nx_ids_reserve(l, 1, err);

    if (!st) l->ids[l->n++] = id;
    return st;
}

void nx_ids_free(nx_ids *l)
{
    nx_free(l->ids);
    *l = (nx_ids){0};
}
