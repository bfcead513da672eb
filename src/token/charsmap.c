/* charsmap.c - walks a double array that nobody vouches for: each step stays inside it. */
#include "token/charsmap.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

#define KEY_MAX 1024 /* bytes; the makers' keys have at most a few dozen */

struct nx_charsmap {
    uint32_t *units;
    uint32_t  n;
    char     *texts; /* [texts_len], the last is NUL */
    size_t    texts_len;
};

static uint32_t le32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;

    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static nx_status check(nx_str bytes, size_t *trie, nx_error *err)
{
    if (bytes.len < 4) {
        return nx_fail(err, NX_EFORMAT, "character map: %zu bytes, expected at least 4", bytes.len);
    }
    *trie = le32(bytes.p);
    if (*trie % 4 || *trie > bytes.len - 4) {
        return nx_fail(err, NX_EFORMAT,
                       "character map: a trie of %zu bytes in %zu, expected a multiple of 4 that "
                       "fits",
                       *trie, bytes.len);
    }
    if (*trie + 4 < bytes.len && bytes.p[bytes.len - 1]) {
        return nx_fail(err, NX_EFORMAT, "character map: the last replacement has no end");
    }
    return NX_OK;
}

nx_status nx_charsmap_open(nx_charsmap **out, nx_str bytes, nx_error *err)
{
    size_t    trie = 0;
    nx_status st = check(bytes, &trie, err);

    *out = NULL;
    if (st) return st;
    nx_charsmap *m = nx_calloc(1, sizeof *m);
    size_t       texts_len = bytes.len - 4 - trie;
    if (m) m->units = nx_alloc(trie / 4, sizeof *m->units);
    if (m) m->texts = nx_alloc(texts_len, 1);
    if (!m || !m->units || !m->texts) {
        nx_charsmap_close(m);
        return nx_fail(err, NX_ENOMEM, "character map of %zu bytes", bytes.len);
    }
    m->n = (uint32_t)(trie / 4);
    m->texts_len = texts_len;
    for (uint32_t i = 0; i < m->n; i++) m->units[i] = le32(bytes.p + 4 + 4 * (size_t)i);
    if (texts_len) memcpy(m->texts, bytes.p + 4 + trie, texts_len);
    *out = m;
    return NX_OK;
}

void nx_charsmap_close(nx_charsmap *m)
{
    if (!m) return;
    nx_free(m->units);
    nx_free(m->texts);
    nx_free(m);
}

static uint32_t children_at(uint32_t unit)
{
    return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

static size_t find(const nx_charsmap *m, const char *p, size_t len, bool shortest, nx_str *out)
{
    size_t best = 0;

    if (m->n == 0) return 0;
    uint32_t at = children_at(m->units[0]);
    for (size_t i = 0; i < len && i < KEY_MAX; i++) {
        unsigned char c = (unsigned char)p[i];
        at ^= c;
        if (at >= m->n) return best;
        uint32_t unit = m->units[at];
        if ((unit & (1u << 31 | 0xFF)) != c) return best;
        at ^= children_at(unit);
        if (!(unit >> 8 & 1)) continue;
        uint32_t value = at < m->n ? m->units[at] & ~(1u << 31) : UINT32_MAX;
        if (value >= m->texts_len) continue;
        best = i + 1;
        *out = nx_str_of(m->texts + value);
        if (shortest) return best;
    }
    return best;
}

size_t nx_charsmap_longest(const nx_charsmap *m, const char *p, size_t len, nx_str *out)
{
    return find(m, p, len, false, out);
}

size_t nx_charsmap_shortest(const nx_charsmap *m, const char *p, size_t len, nx_str *out)
{
    return find(m, p, len, true, out);
}
