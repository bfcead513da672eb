/* tj_bpe.c - the model BPE of tokenizer.json.
 *
 * Otherwise than in GGUF's vocabularies every token may come out of merging, the first symbols are
 * characters, of several merges of one pair the last one counts, and what has no token is spelled
 * in bytes, or unknown, or dropped, as the file says.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/tj.h"

#define MERGES_MAX (1 << 26)

/* ---- Reading ---------------------------------------------------------------------------------- */

/* "left right", or ["left", "right"]. */
static bool read_sides(const nx_json *v, nx_str sides[2])
{
    if (v->type == NX_JSON_ARRAY) {
        if (v->array.n != 2) return false;
        for (int i = 0; i < 2; i++) {
            if (v->array.items[i].type != NX_JSON_STRING) return false;
            sides[i] = v->array.items[i].text;
        }
        return true;
    }
    if (v->type != NX_JSON_STRING || v->text.len == 0) return false;
    const char *gap = memchr(v->text.p, ' ', v->text.len);
    if (!gap) return false;
    sides[0] = (nx_str){v->text.p, (size_t)(gap - v->text.p)};
    sides[1] = (nx_str){gap + 1, v->text.len - sides[0].len - 1};
    return !memchr(sides[1].p, ' ', sides[1].len);
}

static nx_status read_merge(nx_tj_model *m, const nx_json *v, int32_t rank, nx_buf *joined,
                            nx_error *err)
{
    nx_str    sides[2];
    nx_merge  merge = {.rank = rank};
    nx_status st;

    if (!read_sides(v, sides)) {
        return nx_tj_bad(v, err, "merges: element %d: expected \"left right\" or [left, right]",
                         rank);
    }
    size_t skip = m->prefix.len < sides[1].len ? m->prefix.len : sides[1].len;
    nx_buf_clear(joined);
    st = nx_buf_add(joined, sides[0].p, sides[0].len, err);
    if (!st) st = nx_buf_add(joined, sides[1].p + skip, sides[1].len - skip, err);
    if (st) return st;
    merge.left = nx_tj_model_find(m, sides[0].p, sides[0].len);
    merge.right = nx_tj_model_find(m, sides[1].p, sides[1].len);
    merge.id = nx_tj_model_find(m, joined->data, joined->len);
    if (merge.left < 0 || merge.right < 0 || merge.id < 0) {
        return nx_tj_bad(v, err, "merges: element %d names a token that the vocabulary lacks",
                         rank);
    }
    /* The vocabulary's own texts outlive the document. */
    m->merge_texts[2 * rank] = m->texts[merge.left];
    m->merge_texts[2 * rank + 1] = m->texts[merge.right];
    if (nx_merges_add(&m->merges, merge)) return NX_OK;
    return nx_tj_bad(v, err, "merges: too many pairs with one hash");
}

nx_status nx_tj_bpe_read(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err)
{
    const nx_json *merges = nx_json_get(v, "merges");
    nx_buf         joined = {.max = SIZE_MAX / 4};
    nx_status      st;

    (void)((st = nx_tj_get_str(v, "end_of_word_suffix", arena, &m->suffix, err)) ||
           (st = nx_tj_get_bool(v, "byte_fallback", &m->byte_fallback, err)) ||
           (st = nx_tj_get_bool(v, "fuse_unk", &m->fuse_unk, err)) ||
           (st = nx_tj_get_bool(v, "ignore_merges", &m->ignore_merges, err)));
    if (st) return st;
    if (!merges || merges->type != NX_JSON_ARRAY || merges->array.n > MERGES_MAX) {
        return nx_tj_bad(merges, err, "merges: expected an array of at most %d", MERGES_MAX);
    }
    m->n_merges = (int32_t)merges->array.n;
    m->merge_texts = nx_arena_alloc(arena, merges->array.n, 2 * sizeof *m->merge_texts);
    if (!m->merge_texts) return nx_fail(err, NX_ENOMEM, "%d merges", m->n_merges);
    st = nx_merges_create(&m->merges, m->n_merges, err);
    /* From the last: the first one added for a pair stays. */
    for (int32_t i = m->n_merges; !st && i-- > 0;) {
        st = read_merge(m, &merges->array.items[i], i, &joined, err);
    }
    nx_buf_free(&joined);
    return st;
}

/* ---- Ready for raw bytes ---------------------------------------------------------------------- */

bool nx_tj_is_spelled(const nx_bytemap *map, nx_str text)
{
    for (size_t i = 0, n; i < text.len; i += n) {
        uint32_t c = nx_utf8_decode(text.p + i, text.len - i, &n);
        if (c >= NX_BYTEMAP_CHARS || map->byte_of[c] < 0) return false;
    }
    return text.len > 0;
}

static nx_status index_raw(nx_tj_model *m, const nx_bytemap *map, nx_arena *arena, nx_error *err)
{
    nx_status st;

    m->raw_keys = nx_arena_alloc(arena, (size_t)m->count, sizeof *m->raw_keys);
    if (!m->raw_keys) return nx_fail(err, NX_ENOMEM, "%d tokens", m->count);
    st = nx_index_create(&m->by_raw, m->raw_keys, m->count, err);
    for (int32_t i = 0; !st && i < m->count; i++) {
        if (!nx_tj_is_spelled(map, m->keys[i])) continue;
        char *raw = nx_arena_alloc(arena, m->keys[i].len, 1);
        if (!raw) return nx_fail(err, NX_ENOMEM, "%d tokens", m->count);
        m->raw_keys[i] = (nx_str){raw, nx_bytemap_decode(map, raw, m->keys[i])};
        if (!nx_index_add(&m->by_raw, i)) {
            st = nx_fail(err, NX_EFORMAT, "vocab: too many texts with one hash");
        }
    }
    return st;
}

nx_status nx_tj_bpe_ready(nx_tj_model *m, nx_arena *arena, nx_error *err)
{
    nx_bytemap map;
    char       text[4];

    m->raw_complete = m->raw;
    nx_bytemap_init(&map);
    for (unsigned b = 0; b < 256; b++) {
        size_t n = nx_utf8_encode(text, m->raw ? map.char_of[b] : b);
        m->char_ids[b] = nx_tj_model_find(m, text, n);
        if (m->char_ids[b] < 0) m->raw_complete = false;
    }
    return m->raw && m->ignore_merges ? index_raw(m, &map, arena, err) : NX_OK;
}

/* ---- Encoding --------------------------------------------------------------------------------- */

/* Unknown characters on the way: one waits until a known one follows, so that fuse_unk can see
 * more of them. Bytes of a fallback go before one that waits, as in `tokenizers`. */
typedef struct unknowns {
    bool waits;
} unknowns;

static nx_status flush(const nx_tj_model *m, unknowns *u, nx_ids *out, nx_error *err)
{
    if (!u->waits) return NX_OK;
    u->waits = false;
    return nx_tj_add_unk(m, out, err);
}

static nx_status unknown(const nx_tj_model *m, unknowns *u, nx_ids *out, nx_error *err)
{
    nx_status st = NX_OK;

    if (m->unk_text.p == NULL) return NX_OK; /* no unk_token: what is unknown vanishes */
    if (u->waits && !m->fuse_unk) st = flush(m, u, out, err);
    u->waits = true;
    return st;
}

/* s with the prefix inside a word and the suffix at its end. */
static nx_status dress(const nx_tj_model *m, nx_buf *b, nx_str *s, bool first, bool last,
                       nx_error *err)
{
    nx_status st = NX_OK;

    nx_buf_clear(b);
    if (!first) st = nx_buf_add(b, m->prefix.p, m->prefix.len, err);
    if (!st) st = nx_buf_add(b, s->p, s->len, err);
    if (!st && last) st = nx_buf_add(b, m->suffix.p, m->suffix.len, err);
    *s = (nx_str){b->data, b->len};
    return st;
}

static nx_status add_symbol(const nx_tj_model *m, unknowns *u, nx_ids *out, int32_t id, nx_str s,
                            nx_error *err)
{
    bool      all = false;
    nx_status st;

    if (id >= 0) {
        st = flush(m, u, out, err);
        return st ? st : nx_ids_add(out, id, err);
    }
    if (m->byte_fallback) {
        st = nx_tj_add_bytes(m, out, s.p, s.len, &all, err);
        if (st || all) return st;
    }
    return unknown(m, u, out, err);
}

static nx_status add_symbols(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out,
                             const char *word, size_t len, nx_error *err)
{
    unknowns  u = {0};
    nx_status st = NX_OK;
    bool      dressed = m->prefix.len || m->suffix.len;

    for (size_t i = 0, n = 1; !st && i < len; i += n) {
        unsigned char c = (unsigned char)word[i];
        int32_t       id = -1;
        if (!m->raw && c >= 0x80)
            nx_utf8_decode(word + i, len - i, &n);
        else
            n = 1;
        nx_str s = {word + i, n};
        if (dressed) st = dress(m, &w->word, &s, i == 0, i + n == len, err);
        if (st) return st;
        id = !dressed && (m->raw || c < 0x80) ? m->char_ids[c] : nx_tj_model_find(m, s.p, s.len);
        st = add_symbol(m, &u, out, id, s, err);
    }
    return st ? st : flush(m, &u, out, err);
}

static int32_t whole_word(const nx_tj_model *m, const char *word, size_t len)
{
    if (!m->raw) return nx_tj_model_find(m, word, len);
    int32_t i = len <= m->longest ? nx_index_find(&m->by_raw, word, len) : -1;
    return i < 0 ? -1 : m->key_ids[i];
}

nx_status nx_tj_bpe_encode(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out, const char *word,
                           size_t len, nx_error *err)
{
    size_t    before = out->n;
    nx_status st;

    if (m->ignore_merges) {
        int32_t id = whole_word(m, word, len);
        if (id >= 0) return nx_ids_add(out, id, err);
    }
    if (m->raw_complete) {
        st = nx_ids_reserve(out, len, err);
        if (st) return st;
        for (size_t i = 0; i < len; i++) {
            out->ids[out->n + i] = m->char_ids[(unsigned char)word[i]];
        }
        out->n += len;
    } else {
        st = add_symbols(m, w, out, word, len, err);
    }
    size_t n = out->n - before;
    if (!st && n > 1) st = nx_bpe_merge(&m->merges, &w->bpe, out->ids + before, &n, err);
    if (!st) out->n = before + n;
    return st;
}
