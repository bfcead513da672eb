/* name_index.c - names of a file to their positions. */
#include "format/name_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static int compare_names(nx_str a, nx_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int    c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_entries(const void *pa, const void *pb)
{
    const nx_name_entry *a = pa, *b = pb;
    int                  c = compare_names(a->name, b->name);

    return c ? c : (a->at > b->at) - (a->at < b->at);
}

nx_status nx_name_index_alloc(nx_name_index *ix, int64_t n, nx_error *err)
{
    ix->entries = nx_alloc((size_t)n, sizeof *ix->entries);
    if (!ix->entries) return nx_fail(err, NX_ENOMEM, "index of %lld names", (long long)n);
    ix->n = n;
    return NX_OK;
}

void nx_name_index_free(nx_name_index *ix)
{
    nx_free(ix->entries);
    *ix = (nx_name_index){0};
}

bool nx_name_index_sort(nx_name_index *ix, int64_t *first, int64_t *second)
{
    qsort(ix->entries, (size_t)ix->n, sizeof *ix->entries, compare_entries);
    for (int64_t i = 1; i < ix->n; i++) {
        if (compare_names(ix->entries[i - 1].name, ix->entries[i].name) != 0) continue;
        *first = ix->entries[i - 1].at;
        *second = ix->entries[i].at;
        return false;
    }
    return true;
}

int64_t nx_name_index_find(const nx_name_index *ix, nx_str name)
{
    int64_t low = 0, high = ix->n;

    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        int     c = compare_names(ix->entries[mid].name, name);
        if (c == 0) return ix->entries[mid].at;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return -1;
}
