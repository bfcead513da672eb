/* utf8.c - decode, encode, validate UTF-8. */
#include "base/utf8.h"

/* Length that the lead byte announces and the range allowed for the second byte, which is where
 * RFC 3629 excludes overlong forms, surrogates and code points above U+10FFFF. 0: no lead. */
static size_t lead_info(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (c < 0x80) return 1;
    if (c < 0xC2) return 0;
    if (c < 0xE0) return 2;
    if (c < 0xF0) {
        if (c == 0xE0) *lo = 0xA0;
        if (c == 0xED) *hi = 0x9F;
        return 3;
    }
    if (c > 0xF4) return 0;
    if (c == 0xF0) *lo = 0x90;
    if (c == 0xF4) *hi = 0x8F;
    return 4;
}

/* How many bytes of s[0..len) are a correct beginning of the character that s[0] announces. */
static size_t good_prefix(const unsigned char *s, size_t len, size_t *want)
{
    unsigned char lo, hi;
    size_t        n = *want = lead_info(s[0], &lo, &hi);

    if (n == 0) return 0;
    for (size_t i = 1; i < n; i++) {
        if (i == len || s[i] < lo || s[i] > hi) return i;
        lo = 0x80;
        hi = 0xBF;
    }
    return n;
}

uint32_t nx_utf8_decode(const char *s, size_t len, size_t *n)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t               want;

    if (good_prefix(u, len, &want) != want || want == 0) {
        *n = 1;
        return NX_UTF8_BAD;
    }
    *n = want;
    if (want == 1) return u[0];
    uint32_t cp = u[0] & (0xFFu >> (want + 1));
    for (size_t i = 1; i < want; i++) cp = cp << 6 | (u[i] & 0x3Fu);
    return cp;
}

size_t nx_utf8_encode(char *out, uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00u >> n & 0xFF) | cp);
    return n;
}

bool nx_utf8_valid(const char *s, size_t len, size_t *bad_at)
{
    for (size_t i = 0, n; i < len; i += n) {
        if (nx_utf8_decode(s + i, len - i, &n) == NX_UTF8_BAD) {
            if (bad_at) *bad_at = i;
            return false;
        }
    }
    return true;
}

size_t nx_utf8_bad_length(const char *s, size_t len)
{
    size_t want, n = good_prefix((const unsigned char *)s, len, &want);

    return n ? n : 1;
}

size_t nx_utf8_partial_tail(const char *s, size_t len)
{
    size_t most = len < 3 ? len : 3, want;

    for (size_t back = 1; back <= most; back++) {
        const unsigned char *u = (const unsigned char *)s + len - back;
        if ((*u & 0xC0) == 0x80) continue;
        return good_prefix(u, back, &want) == back && want > back ? back : 0;
    }
    return 0;
}

bool nx_utf8_is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0x2028 || cp == 0x2029 ||
           (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069);
}
