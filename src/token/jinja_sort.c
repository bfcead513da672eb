/* jinja_sort.c - merge sort. */
#include "token/jinja_sort.h"

#include <string.h>

typedef struct sorter {
    jj           *j;
    const jj_val *keys;
    uint32_t     *spare;
    bool          reverse;
} sorter;

/* Does b come before a, which stands before it? */
static nx_status overtakes(sorter *s, uint32_t a, uint32_t b, bool *out)
{
    return s->reverse ? jj_less(s->j, &s->keys[a], &s->keys[b], "<", out)
                      : jj_less(s->j, &s->keys[b], &s->keys[a], "<", out);
}

static nx_status merge(sorter *s, uint32_t *v, size_t mid, size_t n)
{
    size_t a = 0, b = mid, at = 0;
    bool   second;

    memcpy(s->spare, v, n * sizeof *v);
    while (a < mid && b < n) {
        TRY(overtakes(s, s->spare[a], s->spare[b], &second));
        v[at++] = second ? s->spare[b++] : s->spare[a++];
    }
    while (a < mid) v[at++] = s->spare[a++];
    while (b < n) v[at++] = s->spare[b++];
    return NX_OK;
}

static nx_status sort(sorter *s, uint32_t *v, size_t n)
{
    if (n < 2) return NX_OK;
    TRY(sort(s, v, n / 2));
    TRY(sort(s, v + n / 2, n - n / 2));
    return merge(s, v, n / 2, n);
}

nx_status jj_sort(jj *j, uint32_t *order, const jj_val *keys, size_t n, bool reverse)
{
    sorter s = {.j = j, .keys = keys, .reverse = reverse};

    s.spare = jj_alloc(j, n, sizeof *s.spare);
    if (!s.spare) return j->err->status;
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    return sort(&s, order, n);
}
