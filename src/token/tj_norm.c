/* tj_norm.c - the normalizers of tokenizer.json.
 *
 * Idea:   each reads a text and appends to a buffer; a chain writes two buffers in turn. Whether the
 *         piece still begins where the text begins is kept as `tokenizers` would see it: dropping
 *         what stands first moves the beginning, replacing one character doesn't.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/charsmap.h"
#include "token/tj.h"
#include "token/unicode.h"

#define NORMAL_MAX (SIZE_MAX / 4)

/* ---- Reading ---------------------------------------------------------------------------------- */

static nx_status add(nx_tj_norm *norms, int *n, const nx_json *v, nx_tj_norm norm, nx_error *err)
{
    if (*n == NX_TJ_STAGES_MAX) {
        nx_tj_norm_free(&norm);
        return nx_tj_bad(v, err, "over %d normalizers", NX_TJ_STAGES_MAX);
    }
    norms[(*n)++] = norm;
    return NX_OK;
}

static nx_status add_kind(nx_tj_norm *norms, int *n, const nx_json *v, nx_tj_norm_kind kind,
                          nx_error *err)
{
    return add(norms, n, v, (nx_tj_norm){.kind = kind}, err);
}

static nx_status read_bert(nx_tj_norm *norms, int *n, const nx_json *v, nx_error *err)
{
    bool      clean = true, ideographs = true, lower = true;
    nx_status st;

    (void)((st = nx_tj_get_bool(v, "clean_text", &clean, err)) ||
           (st = nx_tj_get_bool(v, "handle_chinese_chars", &ideographs, err)) ||
           (st = nx_tj_get_bool(v, "lowercase", &lower, err)));
    bool bare = lower; /* null: as lowercase says */
    if (!st) st = nx_tj_get_bool(v, "strip_accents", &bare, err);
    if (!st && clean) st = add_kind(norms, n, v, NX_TJ_CLEAN, err);
    if (!st && ideographs) st = add_kind(norms, n, v, NX_TJ_IDEOGRAPHS, err);
    if (!st && bare) st = add_kind(norms, n, v, NX_TJ_NFD, err);
    if (!st && bare) st = add_kind(norms, n, v, NX_TJ_BARE, err);
    if (!st && lower) st = add_kind(norms, n, v, NX_TJ_LOWERCASE, err);
    return st;
}

static nx_status read_replace(nx_tj_norm *norms, int *n, nx_arena *arena, const nx_json *v,
                              nx_error *err)
{
    nx_tj_norm norm = {.kind = NX_TJ_REPLACE};
    nx_status  st = nx_tj_get_str(v, "content", arena, &norm.text, err);

    if (!st) st = nx_tj_pattern_read(&norm.pattern, arena, nx_json_get(v, "pattern"), err);
    return st ? st : add(norms, n, v, norm, err);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Into out, room for 3/4 of text; the length, or SIZE_MAX: not base64. */
static size_t base64_decode(char *out, nx_str text)
{
    uint32_t bits = 0;
    size_t   n = 0;
    int      have = 0;

    while (text.len && text.p[text.len - 1] == '=') text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int v = base64_value(text.p[i]);
        if (v < 0) return SIZE_MAX;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[n++] = (char)(bits >> have & 255);
    }
    return n;
}

static nx_status read_precompiled(nx_tj_norm *norms, int *n, const nx_json *v, nx_error *err)
{
    nx_tj_norm norm = {.kind = NX_TJ_PRECOMPILED};
    nx_str     text = {0};
    nx_status  st;

    if (!nx_json_get_string(v, "precompiled_charsmap", &text)) {
        if (nx_json_absent(nx_json_get(v, "precompiled_charsmap"))) return NX_OK; /* maps nothing */
        return nx_tj_bad(v, err, "precompiled_charsmap: expected a string");
    }
    if (text.len == 0) return NX_OK;
    char *bytes = nx_alloc(text.len, 1);
    if (!bytes) return nx_fail(err, NX_ENOMEM, "precompiled_charsmap");
    size_t len = base64_decode(bytes, text);
    st = len == SIZE_MAX ? nx_tj_bad(v, err, "precompiled_charsmap: expected base64")
                         : nx_charsmap_open(&norm.map, (nx_str){bytes, len}, err);
    nx_free(bytes);
    if (!st) st = nx_tj_pattern_graphemes(&norm.pattern, err);
    if (!st) return add(norms, n, v, norm, err);
    nx_tj_norm_free(&norm);
    return st;
}

static const struct {
    const char     *type;
    nx_tj_norm_kind kind;
} plain[] = {
    {"NFC", NX_TJ_NFC},
    {"NFD", NX_TJ_NFD},
    {"NFKC", NX_TJ_NFKC},
    {"NFKD", NX_TJ_NFKD},
    {"Lowercase", NX_TJ_LOWERCASE},
    {"StripAccents", NX_TJ_STRIP_ACCENTS},
    {"Nmt", NX_TJ_NMT},
    {"ByteLevel", NX_TJ_BYTES},
};

nx_status nx_tj_norm_read(nx_tj_norm *norms, int *n, nx_arena *arena, nx_str type, const nx_json *v,
                          nx_error *err)
{
    nx_tj_norm norm = {0};
    nx_status  st;

    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (nx_str_eq(type, nx_str_of(plain[i].type))) {
            return add_kind(norms, n, v, plain[i].kind, err);
        }
    }
    if (nx_str_eq(type, NX_STR("BertNormalizer"))) return read_bert(norms, n, v, err);
    if (nx_str_eq(type, NX_STR("Replace"))) return read_replace(norms, n, arena, v, err);
    if (nx_str_eq(type, NX_STR("Precompiled"))) return read_precompiled(norms, n, v, err);
    if (nx_str_eq(type, NX_STR("Prepend"))) {
        norm.kind = NX_TJ_PREPEND;
        st = nx_tj_get_str(v, "prepend", arena, &norm.text, err);
        return st ? st : add(norms, n, v, norm, err);
    }
    if (nx_str_eq(type, NX_STR("Strip"))) {
        norm.kind = NX_TJ_STRIP;
        st = nx_tj_get_bool(v, "strip_left", &norm.left, err);
        if (!st) st = nx_tj_get_bool(v, "strip_right", &norm.right, err);
        return st ? st : add(norms, n, v, norm, err);
    }
    nx_tj_bad(v, err, "normalizer of type \"%.*s\": we don't have that", (int)(type.len % 64),
              type.p);
    if (err) err->status = NX_EUNSUPPORTED;
    return NX_EUNSUPPORTED;
}

void nx_tj_norm_free(nx_tj_norm *n)
{
    nx_tj_pattern_free(&n->pattern);
    nx_charsmap_close(n->map);
    *n = (nx_tj_norm){0};
}

/* ---- Character by character ------------------------------------------------------------------- */

#define DROP NX_UTF8_BAD

static uint32_t nmt_of(uint32_t c)
{
    if ((c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F ||
        c == 0x9F) {
        return DROP;
    }
    if (c == 9 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
        (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
        c == 0xFFFD) {
        return ' ';
    }
    return c;
}

static uint32_t clean_of(uint32_t c)
{
    unsigned flags = nx_uc_of(c)->flags;

    if (c == 0 || c == 0xFFFD || (flags & NX_UC_DROPPED_BERT)) return DROP;
    return c == '\t' || c == '\n' || c == '\r' || (flags & NX_UC_SPACE) ? ' ' : c;
}

/* What one character becomes, or DROP. */
static uint32_t mapped(nx_tj_norm_kind kind, uint32_t c)
{
    switch (kind) {
    case NX_TJ_NMT: return nmt_of(c);
    case NX_TJ_CLEAN: return clean_of(c);
    case NX_TJ_BARE: return nx_uc_of(c)->flags & NX_UC_ACCENT_BERT ? DROP : c;
    default: return nx_uc_of(c)->flags & NX_UC_ACCENT ? DROP : c; /* StripAccents */
    }
}

static nx_status map_chars(nx_tj_norm_kind kind, nx_tj_piece *piece, nx_buf *out, nx_error *err)
{
    char *to = nx_buf_room(out, piece->len, err); /* none grows */
    char *at = to;

    if (!to) return err ? err->status : NX_ENOMEM;
    for (size_t i = 0, n; i < piece->len; i += n) {
        uint32_t c = nx_utf8_decode(piece->p + i, piece->len - i, &n), m = mapped(kind, c);
        if (m == DROP && at == to) piece->first = false;
        if (m == c) memcpy(at, piece->p + i, n);
        if (m != DROP) at += m == c ? n : nx_utf8_encode(at, m);
    }
    *at = '\0';
    out->len += (size_t)(at - to);
    return NX_OK;
}

static nx_status space_ideographs(const nx_tj_piece *piece, nx_buf *out, nx_error *err)
{
    nx_status st = NX_OK;
    size_t    from = 0;

    for (size_t i = 0, n; !st && i < piece->len; i += n) {
        uint32_t c = nx_utf8_decode(piece->p + i, piece->len - i, &n);
        if (!(nx_uc_of(c)->flags & NX_UC_IDEOGRAPH_BERT)) continue;
        st = nx_buf_add(out, piece->p + from, i - from, err);
        if (!st) st = nx_buf_addf(out, err, " %.*s ", (int)n, piece->p + i);
        from = i + n;
    }
    return st ? st : nx_buf_add(out, piece->p + from, piece->len - from, err);
}

/* ---- Whole texts ------------------------------------------------------------------------------ */

static void strip(const nx_tj_norm *n, nx_tj_piece *piece)
{
    size_t from = 0, to = piece->len, len;

    while (n->left && from < to) {
        if (!nx_uc_is_space(nx_utf8_decode(piece->p + from, to - from, &len))) break;
        from += len;
    }
    while (n->right && to > from) {
        size_t at = to - 1;
        while (at > from && ((unsigned char)piece->p[at] & 0xC0) == 0x80) at--;
        if (!nx_uc_is_space(nx_utf8_decode(piece->p + at, to - at, &len))) break;
        to = at;
    }
    *piece = (nx_tj_piece){piece->p + from, to - from, piece->first && from == 0};
}

static nx_status replace(const nx_tj_norm *n, nx_tj_matcher *m, nx_tj_piece *piece, nx_buf *out,
                         nx_error *err)
{
    nx_tj_search search = {0};
    nx_status    st = NX_OK;
    size_t       at = 0, bounds[2];
    bool         found = true;

    while (!st && found) {
        st = nx_tj_next(&n->pattern, m, &search, piece->p, piece->len, bounds, &found, err);
        if (st || !found) break;
        if (bounds[0] == 0 && bounds[1] > 0) {
            size_t one;
            nx_utf8_decode(piece->p, piece->len, &one);
            if (bounds[1] > one || n->text.len == 0) piece->first = false;
        }
        st = nx_buf_add(out, piece->p + at, bounds[0] - at, err);
        if (!st) st = nx_buf_add(out, n->text.p, n->text.len, err);
        at = bounds[1];
    }
    return st ? st : nx_buf_add(out, piece->p + at, piece->len - at, err);
}

static nx_status prepend(const nx_tj_norm *n, const nx_tj_piece *piece, nx_buf *out, nx_error *err)
{
    nx_status st = piece->len ? nx_buf_add(out, n->text.p, n->text.len, err) : NX_OK;

    return st ? st : nx_buf_add(out, piece->p, piece->len, err);
}

nx_status nx_tj_spell_bytes(const nx_bytemap *map, nx_buf *out, const char *p, size_t len,
                            nx_error *err)
{
    char *to = nx_buf_room(out, 2 * len, err), *at = to;

    if (!to) return err ? err->status : NX_ENOMEM;
    for (size_t i = 0; i < len; i++) at += nx_utf8_encode(at, map->char_of[(unsigned char)p[i]]);
    *at = '\0';
    out->len += (size_t)(at - to);
    return NX_OK;
}

/* Where the grapheme at `from` ends. Two ASCII characters are never one, but for CR LF. */
static nx_status grapheme_end(const nx_tj_norm *n, nx_tj_matcher *m, const nx_tj_piece *piece,
                              size_t from, size_t *end, nx_error *err)
{
    const unsigned char *p = (const unsigned char *)piece->p + from;
    nx_tj_search         search = {.from = from};
    size_t               bounds[2];
    bool                 found;

    *end = from + 1;
    if (p[0] < 0x80 && p[0] != '\r' && (from + 1 == piece->len || p[1] < 0x80)) return NX_OK;
    nx_status st = nx_tj_next(&n->pattern, m, &search, piece->p, piece->len, bounds, &found, err);
    if (!st && found && bounds[1] > from) *end = bounds[1];
    return st;
}

/* The bytes that a key of p[0..len) covers and what stands for them; 0 also where that is no UTF-8,
 * which the stages behind this one couldn't read. */
static size_t shortest(const nx_tj_norm *n, const char *p, size_t len, nx_str *to)
{
    size_t covered = nx_charsmap_shortest(n->map, p, len, to);

    return covered && nx_utf8_valid(to->p, to->len, NULL) ? covered : 0;
}

/* A grapheme of up to five bytes is looked up as a whole first, then each character. `tokenizers`
 * takes the shortest key that such a text begins with, and drops what stands behind it. */
static nx_status precompiled(const nx_tj_norm *n, nx_tj_matcher *m, const nx_tj_piece *piece,
                             nx_buf *out, nx_error *err)
{
    nx_status st = NX_OK;
    nx_str    to;

    for (size_t from = 0, end, len; !st && from < piece->len; from = end) {
        st = grapheme_end(n, m, piece, from, &end, err);
        if (st) return st;
        if (end - from < 6 && shortest(n, piece->p + from, end - from, &to)) {
            st = nx_buf_add(out, to.p, to.len, err);
            continue;
        }
        for (size_t i = from; !st && i < end; i += len) {
            nx_utf8_decode(piece->p + i, end - i, &len);
            bool has = shortest(n, piece->p + i, len, &to);
            st = has ? nx_buf_add(out, to.p, to.len, err) : nx_buf_add(out, piece->p + i, len, err);
        }
    }
    return st;
}

/* ---- The chain -------------------------------------------------------------------------------- */

static bool is_ascii(const nx_tj_piece *piece)
{
    uint64_t all = 0, w;
    size_t   i = 0;

    for (; piece->len - i >= 8; i += 8) {
        memcpy(&w, piece->p + i, 8);
        all |= w;
    }
    for (; i < piece->len; i++) all |= (unsigned char)piece->p[i];
    return !(all & 0x8080808080808080u);
}

static nx_status apply(const nx_tj_norm *n, nx_tj_norm_work *w, nx_tj_piece *piece, nx_buf *out,
                       nx_error *err)
{
    switch (n->kind) {
    case NX_TJ_NFC: return nx_uc_normalise(out, piece->p, piece->len, NX_NFC, err);
    case NX_TJ_NFD: return nx_uc_normalise(out, piece->p, piece->len, NX_NFD, err);
    case NX_TJ_NFKC: return nx_uc_normalise(out, piece->p, piece->len, NX_NFKC, err);
    case NX_TJ_NFKD: return nx_uc_normalise(out, piece->p, piece->len, NX_NFKD, err);
    case NX_TJ_LOWERCASE: return nx_uc_lower(out, piece->p, piece->len, err);
    case NX_TJ_REPLACE: return replace(n, w->matcher, piece, out, err);
    case NX_TJ_PREPEND: return prepend(n, piece, out, err);
    case NX_TJ_BYTES: return nx_tj_spell_bytes(&w->map, out, piece->p, piece->len, err);
    case NX_TJ_IDEOGRAPHS: return space_ideographs(piece, out, err);
    case NX_TJ_STRIP_ACCENTS:
    case NX_TJ_NMT:
    case NX_TJ_CLEAN:
    case NX_TJ_BARE: return map_chars(n->kind, piece, out, err);
    case NX_TJ_PRECOMPILED: return precompiled(n, w->matcher, piece, out, err);
    case NX_TJ_STRIP: break;
    }
    return NX_OK;
}

/* Some leave ASCII as it is, and needn't be asked. */
static bool changes_nothing(const nx_tj_norm *n, const nx_tj_piece *piece)
{
    switch (n->kind) {
    case NX_TJ_NFC:
    case NX_TJ_NFD:
    case NX_TJ_NFKC:
    case NX_TJ_NFKD:
    case NX_TJ_STRIP_ACCENTS:
    case NX_TJ_IDEOGRAPHS:
    case NX_TJ_BARE: return is_ascii(piece);
    default: return piece->len == 0;
    }
}

nx_status nx_tj_normalise(const nx_tj_norm *norms, int n, nx_tj_norm_work *w, nx_tj_piece *piece,
                          nx_error *err)
{
    for (int i = 0, k = 0; i < n; i++) {
        nx_buf *out = &w->buf[k];
        if (changes_nothing(&norms[i], piece)) continue;
        if (norms[i].kind == NX_TJ_STRIP) {
            strip(&norms[i], piece);
            continue;
        }
        nx_buf_clear(out);
        nx_status st = apply(&norms[i], w, piece, out, err);
        if (st) return st;
        piece->p = out->data ? out->data : "";
        piece->len = out->len;
        k ^= 1;
    }
    return NX_OK;
}

void nx_tj_norm_work_init(nx_tj_norm_work *w, nx_tj_matcher *matcher)
{
    *w = (nx_tj_norm_work){.buf = {{.max = NORMAL_MAX}, {.max = NORMAL_MAX}}, .matcher = matcher};
    nx_bytemap_init(&w->map);
}

void nx_tj_norm_work_free(nx_tj_norm_work *w)
{
    nx_buf_free(&w->buf[0]);
    nx_buf_free(&w->buf[1]);
}
