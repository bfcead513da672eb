/* specials.c - the sorted list of special tokens, walked like a trie. */
#include "token/specials.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static int by_text(const void *pa, const void *pb)
{
    const nx_special *a = pa, *b = pb;
    size_t            shorter = a->text.len < b->text.len ? a->text.len : b->text.len;
    int               order = memcmp(a->text.p, b->text.p, shorter);

    if (order) return order;
    if (a->text.len != b->text.len) return a->text.len < b->text.len ? -1 : 1;
    if (a->control != b->control) return a->control ? 1 : -1;
    return a->id > b->id ? -1 : a->id < b->id; /* of equals the last id leads, and stays */
}

/* One entry for each text and kind. */
static size_t drop_equals(nx_special *list, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        nx_special *last = kept ? &list[kept - 1] : NULL;
        if (last && last->control == list[i].control && nx_str_eq(last->text, list[i].text)) {
            continue;
        }
        list[kept++] = list[i];
    }
    return kept;
}

nx_status nx_specials_create(nx_specials *s, nx_special *list, size_t n, nx_error *err)
{
    bool *first = nx_calloc(2 * 256, sizeof *first);

    *s = (nx_specials){0};
    if (!first) {
        nx_free(list);
        return nx_fail(err, NX_ENOMEM, "table of %zu special tokens", n);
    }
    if (n > 1) qsort(list, n, sizeof *list, by_text);
    *s = (nx_specials){.list = list, .n = drop_equals(list, n), .first = first};
    for (size_t i = 0; i < s->n; i++) {
        unsigned char c = (unsigned char)list[i].text.p[0];
        first[256 + c] = true;
        if (!list[i].control) first[c] = true;
    }
    return NX_OK;
}

void nx_specials_destroy(nx_specials *s)
{
    nx_free(s->list);
    nx_free(s->first);
    *s = (nx_specials){0};
}

/* First entry of [lo, hi) whose byte `depth` is at least c. All agree on the bytes before, and
 * entries that end there have been skipped. */
static size_t lower_bound(const nx_special *list, size_t lo, size_t hi, size_t depth, int c)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)list[mid].text.p[depth] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest special token that begins at text. */
static const nx_special *match(const nx_specials *s, const char *text, size_t len,
                               bool with_control)
{
    const nx_special *best = NULL;
    size_t            lo = 0, hi = s->n;

    for (size_t depth = 0;; depth++) {
        for (; lo < hi && s->list[lo].text.len == depth; lo++) {
            if (with_control || !s->list[lo].control) best = &s->list[lo];
        }
        if (lo == hi || depth == len) return best;
        int c = (unsigned char)text[depth];
        lo = lower_bound(s->list, lo, hi, depth, c);
        hi = lower_bound(s->list, lo, hi, depth, c + 1);
    }
}

const nx_special *nx_specials_find(const nx_specials *s, const char *text, size_t len,
                                   bool with_control, size_t *at)
{
    const bool *first = s->first + (with_control ? 256 : 0);

    if (s->n == 0) return NULL;
    for (size_t i = 0; i < len; i++) {
        if (!first[(unsigned char)text[i]]) continue;
        const nx_special *found = match(s, text + i, len - i, with_control);
        if (found) {
            *at = i;
            return found;
        }
    }
    return NULL;
}
