/* jinja_chars.c - looking characters up in the tables. */
#include "token/jinja_chars.h"

#define SHIFT 7 /* as in tools/unicode/chars.py */

static const jj_char *record(uint32_t cp)
{
    if (cp >= 0x110000) return &jj_char_records[0];
    uint32_t block = jj_char_blocks[cp >> SHIFT];
    return &jj_char_records[jj_char_ids[(block << SHIFT) + (cp & ((1u << SHIFT) - 1))]];
}

unsigned jj_char_flags(uint32_t cp)
{
    return record(cp)->flags;
}

static const jj_char_special *special(uint32_t cp)
{
    int lo = 0, hi = jj_char_n_specials;

    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (jj_char_specials[mid].cp < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return &jj_char_specials[lo];
}

size_t jj_char_map(uint32_t cp, jj_case to, uint32_t out[3])
{
    const jj_char *r = record(cp);
    size_t         n = 0;

    if (!(r->flags & JJ_SPECIAL)) {
        out[0] = cp >= 0x110000 ? cp : cp + (uint32_t)r->delta[to];
        return 1;
    }
    const uint32_t *form = special(cp)->form[to];
    while (n < 3 && form[n]) {
        out[n] = form[n];
        n++;
    }
    return n;
}
