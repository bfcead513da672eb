/* unicode.c - normal forms and lower case over the generated tables.
 *
 * Idea:   ASCII passes by the byte. A stretch of other characters (with the one ASCII character
 *         before it, which may take an accent) becomes an array of code points, is decomposed, its
 *         marks are sorted by class, and composed again; where no character of it needs any of
 *         that, it is copied.
 */
#include "token/unicode.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/unicode_tables.h"

#define RAW_BYTE 0x80000000u /* | a byte that is no UTF-8: no class, joins nothing */

#define HANGUL     0xAC00u
#define HANGUL_L   0x1100u
#define HANGUL_V   0x1161u
#define HANGUL_T   0x11A7u
#define HANGUL_NL  19u
#define HANGUL_NV  21u
#define HANGUL_NT  28u
#define HANGUL_ALL (HANGUL_NL * HANGUL_NV * HANGUL_NT)

typedef struct work {
    uint32_t *chars, *spare; /* [cap] */
    size_t    n, cap;
} work;

static nx_status work_reserve(work *w, size_t n, nx_error *err)
{
    if (n <= w->cap) return NX_OK;
    size_t    cap = n + n / 2 + 256;
    uint32_t *chars = nx_realloc(w->chars, cap, sizeof *chars);
    if (chars) w->chars = chars;
    uint32_t *spare = nx_realloc(w->spare, cap, sizeof *spare);
    if (spare) w->spare = spare;
    if (!chars || !spare) return nx_fail(err, NX_ENOMEM, "normal form of %zu characters", n);
    w->cap = cap;
    return NX_OK;
}

/* ---- Decomposing ------------------------------------------------------------------------------ */

static const nx_uc_decomposition *find_decomposition(uint32_t c)
{
    int lo = 0, hi = nx_uc_n_decompositions;

    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (nx_uc_decompositions[mid].c < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nx_uc_n_decompositions && nx_uc_decompositions[lo].c == c
               ? &nx_uc_decompositions[lo]
               : NULL;
}

static void decompose_hangul(work *w, uint32_t s)
{
    uint32_t t = s % HANGUL_NT;

    w->chars[w->n++] = HANGUL_L + s / (HANGUL_NV * HANGUL_NT);
    w->chars[w->n++] = HANGUL_V + s % (HANGUL_NV * HANGUL_NT) / HANGUL_NT;
    if (t) w->chars[w->n++] = HANGUL_T + t;
}

static nx_status decompose(work *w, uint32_t c, bool compatible, nx_error *err)
{
    unsigned                   flag = compatible ? NX_UC_DECOMPOSES_K : NX_UC_DECOMPOSES;
    const nx_uc_decomposition *d = NULL;

    if (nx_uc_of(c)->flags & flag) d = find_decomposition(c);
    size_t    at = d ? (compatible ? d->k_at : d->at) : 0;
    size_t    len = d ? (compatible ? d->k_len : d->len) : 1;
    nx_status st = work_reserve(w, w->n + len + 3, err);
    if (st) return st;
    if (c - HANGUL < HANGUL_ALL) {
        decompose_hangul(w, c - HANGUL);
    } else if (d) {
        memcpy(w->chars + w->n, nx_uc_pool + at, len * sizeof *w->chars);
        w->n += len;
    } else {
        w->chars[w->n++] = c;
    }
    return NX_OK;
}

/* ---- Ordering: marks by class, equals as they stand ------------------------------------------- */

static void sort_few(uint32_t *c, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint32_t moving = c[i];
        size_t   k = i;
        for (; k > 0 && nx_uc_of(c[k - 1])->ccc > nx_uc_of(moving)->ccc; k--) c[k] = c[k - 1];
        c[k] = moving;
    }
}

/* A counting sort, so that a megabyte of accents takes its linear time. */
static void sort_many(uint32_t *c, size_t n, uint32_t *spare)
{
    size_t at[257] = {0};

    for (size_t i = 0; i < n; i++) at[nx_uc_of(c[i])->ccc + 1]++;
    for (int k = 0; k < 256; k++) at[k + 1] += at[k];
    for (size_t i = 0; i < n; i++) spare[at[nx_uc_of(c[i])->ccc]++] = c[i];
    memcpy(c, spare, n * sizeof *c);
}

static void order_marks(work *w)
{
    for (size_t i = 0, end; i < w->n; i = end) {
        end = i + 1;
        if (nx_uc_of(w->chars[i])->ccc == 0) continue;
        while (end < w->n && nx_uc_of(w->chars[end])->ccc) end++;
        if (end - i < 24)
            sort_few(w->chars + i, end - i);
        else
            sort_many(w->chars + i, end - i, w->spare);
    }
}

/* ---- Composing -------------------------------------------------------------------------------- */

/* The character that a and b make, or 0. */
static uint32_t compose_pair(uint32_t a, uint32_t b)
{
    int lo = 0, hi = nx_uc_n_compositions;

    if (a - HANGUL_L < HANGUL_NL && b - HANGUL_V < HANGUL_NV) {
        return HANGUL + ((a - HANGUL_L) * HANGUL_NV + (b - HANGUL_V)) * HANGUL_NT;
    }
    if (a - HANGUL < HANGUL_ALL && (a - HANGUL) % HANGUL_NT == 0 && b - HANGUL_T - 1 < 27) {
        return a + (b - HANGUL_T);
    }
    if (!(nx_uc_of(b)->flags & NX_UC_COMPOSES)) return 0;
    while (lo < hi) {
        int                      mid = (lo + hi) / 2;
        const nx_uc_composition *m = &nx_uc_compositions[mid];
        if (m->first < a || (m->first == a && m->second < b))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == nx_uc_n_compositions) return 0;
    const nx_uc_composition *found = &nx_uc_compositions[lo];
    return found->first == a && found->second == b ? found->both : 0;
}

static void compose(work *w)
{
    size_t n = 0, starter = SIZE_MAX;
    int    last = -1; /* class of the character before, once one stands between */

    for (size_t i = 0; i < w->n; i++) {
        uint32_t c = w->chars[i], both = 0;
        int      ccc = nx_uc_of(c)->ccc;
        if (starter != SIZE_MAX && last < ccc) both = compose_pair(w->chars[starter], c);
        if (both) {
            w->chars[starter] = both;
            continue;
        }
        if (ccc == 0) {
            starter = n;
            last = -1;
        } else {
            last = ccc;
        }
        w->chars[n++] = c;
    }
    w->n = n;
}

/* ---- A text ----------------------------------------------------------------------------------- */

/* Does this form change nothing in text[0..len), whatever stands before? */
static bool is_plain(const char *text, size_t len, nx_normal_form form)
{
    unsigned flag = form == NX_NFC || form == NX_NFD ? NX_UC_DECOMPOSES : NX_UC_DECOMPOSES_K;
    bool     composes = form == NX_NFC || form == NX_NFKC;

    for (size_t i = 0, n; i < len; i += n) {
        uint32_t     c = nx_utf8_decode(text + i, len - i, &n);
        const nx_uc *u = nx_uc_of(c);
        if (c == NX_UTF8_BAD) continue;
        if ((u->flags & flag) || u->ccc) return false;
        if (composes && ((u->flags & NX_UC_COMPOSES) || (c >= HANGUL_L && c < HANGUL_T + 28))) {
            return false;
        }
        if (!composes && c - HANGUL < HANGUL_ALL) return false;
    }
    return true;
}

static nx_status write_chars(nx_buf *out, const work *w, nx_error *err)
{
    char      some[512];
    size_t    len = 0;
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < w->n; i++) {
        uint32_t c = w->chars[i];
        if (c & RAW_BYTE)
            some[len++] = (char)(c & 0xFF);
        else
            len += nx_utf8_encode(some + len, c);
        if (len > sizeof some - 4) {
            st = nx_buf_add(out, some, len, err);
            len = 0;
        }
    }
    return st ? st : nx_buf_add(out, some, len, err);
}

static nx_status stretch(nx_buf *out, work *w, const char *text, size_t len, nx_normal_form form,
                         nx_error *err)
{
    nx_status st = NX_OK;

    if (is_plain(text, len, form)) return nx_buf_add(out, text, len, err);
    w->n = 0;
    for (size_t i = 0, n; !st && i < len; i += n) {
        uint32_t c = nx_utf8_decode(text + i, len - i, &n);
        if (c == NX_UTF8_BAD) c = RAW_BYTE | (unsigned char)text[i];
        st = decompose(w, c, form == NX_NFKC || form == NX_NFKD, err);
    }
    if (st) return st;
    order_marks(w);
    if (form == NX_NFC || form == NX_NFKC) compose(w);
    return write_chars(out, w, err);
}

static size_t ascii_run(const char *text, size_t len)
{
    size_t   i = 0;
    uint64_t eight;

    for (; len - i >= 8; i += 8) {
        memcpy(&eight, text + i, 8);
        if (eight & 0x8080808080808080u) break;
    }
    while (i < len && (unsigned char)text[i] < 0x80) i++;
    return i;
}

nx_status nx_uc_normalise(nx_buf *out, const char *text, size_t len, nx_normal_form form,
                          nx_error *err)
{
    work      w = {0};
    size_t    before = out->len;
    nx_status st = NX_OK;

    for (size_t at = 0; !st && at < len;) {
        size_t ascii = ascii_run(text + at, len - at), end = at + ascii;
        if (end < len && ascii) ascii--; /* what stands before an accent belongs to it */
        st = nx_buf_add(out, text + at, ascii, err);
        while (end < len && (unsigned char)text[end] >= 0x80) end++;
        at += ascii;
        if (!st && end > at) st = stretch(out, &w, text + at, end - at, form, err);
        at = end;
    }
    nx_free(w.chars);
    nx_free(w.spare);
    if (st && out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return st;
}

/* ---- Lower case ------------------------------------------------------------------------------- */

uint32_t nx_uc_lower_of(uint32_t c)
{
    int lo = 0, hi = nx_uc_n_lowers;

    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c == 0x130) return 'i';
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (nx_uc_lowers[mid].c < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nx_uc_n_lowers && nx_uc_lowers[lo].c == c ? nx_uc_lowers[lo].lower : c;
}

static nx_status lower(nx_buf *out, const char *text, size_t len, nx_error *err)
{
    char      some[512];
    size_t    used = 0;
    nx_status st = NX_OK;

    for (size_t i = 0, n; !st && i < len; i += n) {
        uint32_t c = nx_utf8_decode(text + i, len - i, &n);
        if (c == NX_UTF8_BAD)
            some[used++] = text[i];
        else
            used += nx_utf8_encode(some + used, nx_uc_lower_of(c));
        if (c == 0x130) used += nx_utf8_encode(some + used, 0x307);
        if (used > sizeof some - 8) {
            st = nx_buf_add(out, some, used, err);
            used = 0;
        }
    }
    return st ? st : nx_buf_add(out, some, used, err);
}

nx_status nx_uc_lower(nx_buf *out, const char *text, size_t len, nx_error *err)
{
    size_t    before = out->len;
    nx_status st = lower(out, text, len, err);

    if (st && out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return st;
}

const char *nx_uc_pcre_extra(const char *name, size_t len)
{
    for (const nx_uc_extra *e = nx_uc_extras; e->name; e++) {
        if (strlen(e->name) == len && memcmp(e->name, name, len) == 0) return e->ranges;
    }
    return "";
}
