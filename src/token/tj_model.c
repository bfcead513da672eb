/* tj_model.c - the models of tokenizer.json: what they share, and the two that only look words up.
 *
 * Idea:   a text repeats its words, so the ids of short ones are remembered in a table of fixed
 *         size, one place for each hash: a hit costs one cache line.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/tj.h"

#define TOKENS_MAX (1 << 24)
#define KEY_MAX    (1 << 16)

/* ---- Reading ---------------------------------------------------------------------------------- */

static nx_status take_memory(nx_tj_model *m, nx_arena *arena, size_t count, nx_error *err)
{
    m->count = (int32_t)count;
    m->keys = nx_arena_alloc(arena, count, sizeof *m->keys);
    m->key_ids = nx_arena_alloc(arena, count, sizeof *m->key_ids);
    if (!m->keys || !m->key_ids) return nx_fail(err, NX_ENOMEM, "%zu tokens", count);
    return NX_OK;
}

static nx_status take_key(nx_tj_model *m, nx_arena *arena, int32_t i, nx_str key, int32_t id,
                          nx_error *err)
{
    m->key_ids[i] = id;
    if (id >= m->n) m->n = id + 1;
    if (key.len > m->longest) m->longest = key.len;
    if (key.len > KEY_MAX) {
        return nx_fail(err, NX_ELIMIT, "vocab: a token of %zu bytes, at most %d", key.len, KEY_MAX);
    }
    return nx_tj_keep(arena, &m->keys[i], key, err);
}

/* {"text": id, ..} */
static nx_status read_object(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err)
{
    size_t    n = v->object.n;
    nx_status st = take_memory(m, arena, n, err);

    for (size_t i = 0; !st && i < n; i++) {
        const nx_json_member *e = &v->object.members[i];
        if (e->value.type != NX_JSON_INT || e->value.i < 0 || e->value.i >= TOKENS_MAX) {
            return nx_tj_bad(&e->value, err, "vocab: expected an id from 0 to %d", TOKENS_MAX - 1);
        }
        st = take_key(m, arena, (int32_t)i, e->key, (int32_t)e->value.i, err);
    }
    return st;
}

/* [["text", score], ..]: ids in order. */
static nx_status read_array(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err)
{
    size_t    n = v->array.n;
    nx_status st = take_memory(m, arena, n, err);

    m->scores = nx_arena_alloc(arena, n, sizeof *m->scores);
    if (!m->scores) return nx_fail(err, NX_ENOMEM, "%zu scores", n);
    for (size_t i = 0; !st && i < n; i++) {
        const nx_json *e = &v->array.items[i];
        if (e->type != NX_JSON_ARRAY || e->array.n != 2 ||
            e->array.items[0].type != NX_JSON_STRING ||
            !nx_tj_number(&e->array.items[1], &m->scores[i])) {
            return nx_tj_bad(e, err, "vocab: expected [\"text\", score]");
        }
        st = take_key(m, arena, (int32_t)i, e->array.items[0].text, (int32_t)i, err);
    }
    return st;
}

static nx_status read_vocab(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err)
{
    nx_json_type wants = m->kind == NX_TJ_UNIGRAM ? NX_JSON_ARRAY : NX_JSON_OBJECT;
    nx_status    st;

    if (!v || v->type != wants) {
        return nx_tj_bad(v, err, "vocab: %s, expected %s", nx_json_type_name(v),
                         wants == NX_JSON_ARRAY ? "an array" : "an object");
    }
    size_t n = wants == NX_JSON_ARRAY ? v->array.n : v->object.n;
    if (n > TOKENS_MAX) return nx_tj_bad(v, err, "vocab: %zu tokens, at most %d", n, TOKENS_MAX);
    st = wants == NX_JSON_ARRAY ? read_array(m, arena, v, err) : read_object(m, arena, v, err);
    if (!st && m->n > 16 * m->count + (1 << 16)) {
        st = nx_tj_bad(v, err, "vocab: ids up to %d for %d tokens", m->n - 1, m->count);
    }
    return st;
}

static nx_status index_vocab(nx_tj_model *m, nx_arena *arena, nx_error *err)
{
    nx_status st = nx_index_create(&m->index, m->keys, m->count, err);

    if (st) return st;
    m->texts = nx_arena_alloc(arena, (size_t)m->n, sizeof *m->texts);
    if (!m->texts) return nx_fail(err, NX_ENOMEM, "%d tokens", m->n);
    for (int32_t i = 0; i < m->count; i++) {
        m->texts[m->key_ids[i]] = m->keys[i];
        if (!nx_index_add(&m->index, i)) {
            return nx_fail(err, NX_EFORMAT, "vocab: too many texts with one hash");
        }
    }
    return NX_OK;
}

static nx_status read_kind(nx_tj_model *m, const nx_json *v, nx_error *err)
{
    static const char *const names[] = {"BPE", "Unigram", "WordPiece", "WordLevel"};
    const nx_json           *type = nx_json_get(v, "type"), *vocab = nx_json_get(v, "vocab");

    for (int i = 0; i < 4; i++) {
        if (nx_json_is(type, names[i])) {
            m->kind = (nx_tj_model_kind)i;
            return NX_OK;
        }
    }
    if (type) return nx_tj_bad(type, err, "model: expected BPE, Unigram, WordPiece or WordLevel");
    /* Old files leave the type to be guessed. */
    m->kind = nx_json_get(v, "merges")                     ? NX_TJ_BPE
              : vocab && vocab->type == NX_JSON_ARRAY      ? NX_TJ_UNIGRAM
              : nx_json_get(v, "max_input_chars_per_word") ? NX_TJ_WORDPIECE
                                                           : NX_TJ_WORDLEVEL;
    return NX_OK;
}

static void find_fallbacks(nx_tj_model *m)
{
    char text[8];

    for (int b = 0; b < 256; b++) {
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        m->fallback_ids[b] = nx_tj_model_find(m, text, 6);
    }
}

static nx_status read_rest(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err)
{
    nx_status st;

    if (m->kind == NX_TJ_UNIGRAM) return nx_tj_unigram_read(m, arena, v, err);
    if (m->kind == NX_TJ_WORDPIECE) m->prefix = NX_STR("##");
    if (m->kind != NX_TJ_BPE) m->unk_text = NX_STR("[UNK]");
    if (m->kind == NX_TJ_WORDLEVEL) m->unk_text = NX_STR("<unk>");
    m->chars_max = 100;
    (void)((st = nx_tj_get_str(v, "unk_token", arena, &m->unk_text, err)) ||
           (st = nx_tj_get_str(v, "continuing_subword_prefix", arena, &m->prefix, err)) ||
           (st = nx_tj_get_int(v, "max_input_chars_per_word", &m->chars_max, 0, INT32_MAX, err)));
    if (st) return st;
    m->unk = nx_tj_model_find(m, m->unk_text.p, m->unk_text.len);
    return m->kind == NX_TJ_BPE ? nx_tj_bpe_read(m, arena, v, err) : NX_OK;
}

nx_status nx_tj_model_read(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err)
{
    nx_status st;

    if (!v || v->type != NX_JSON_OBJECT) return nx_tj_bad(v, err, "model: expected an object");
    m->unk = -1;
    (void)((st = read_kind(m, v, err)) ||
           (st = read_vocab(m, arena, nx_json_get(v, "vocab"), err)) ||
           (st = index_vocab(m, arena, err)));
    if (st) return st;
    find_fallbacks(m);
    return read_rest(m, arena, v, err);
}

nx_status nx_tj_model_ready(nx_tj_model *m, nx_arena *arena, bool raw, nx_error *err)
{
    m->raw = raw;
    return m->kind == NX_TJ_BPE ? nx_tj_bpe_ready(m, arena, err) : NX_OK;
}

void nx_tj_model_free(nx_tj_model *m)
{
    nx_index_destroy(&m->index);
    nx_index_destroy(&m->by_raw);
    nx_merges_destroy(&m->merges);
    nx_unigram_destroy(m->unigram);
}

int32_t nx_tj_model_find(const nx_tj_model *m, const char *p, size_t len)
{
    int32_t i = len <= m->longest ? nx_index_find(&m->index, p, len) : -1;

    return i < 0 ? -1 : m->key_ids[i];
}

/* ---- What several kinds do -------------------------------------------------------------------- */

nx_status nx_tj_add_unk(const nx_tj_model *m, nx_ids *out, nx_error *err)
{
    if (m->unk >= 0) return nx_ids_add(out, m->unk, err);
    return nx_fail(err, NX_EUNSUPPORTED,
                   "the text holds what the vocabulary has no token for, and it has no unknown "
                   "token");
}

nx_status nx_tj_add_bytes(const nx_tj_model *m, nx_ids *out, const char *p, size_t len, bool *all,
                          nx_error *err)
{
    nx_status st = NX_OK;

    *all = true;
    for (size_t i = 0; *all && i < len; i++) *all = m->fallback_ids[(unsigned char)p[i]] >= 0;
    for (size_t i = 0; *all && !st && i < len; i++) {
        st = nx_ids_add(out, m->fallback_ids[(unsigned char)p[i]], err);
    }
    return st;
}

/* ---- WordPiece, WordLevel --------------------------------------------------------------------- */

static size_t count_chars(const char *p, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) n += ((unsigned char)p[i] & 0xC0) != 0x80;
    return n;
}

/* The longest token that begins at word[from], with the prefix before it inside a word. */
static nx_status longest_piece(const nx_tj_model *m, nx_buf *b, const char *word, size_t from,
                               size_t len, size_t *end, int32_t *id, nx_error *err)
{
    size_t    extra = from ? m->prefix.len : 0, most = m->longest > extra ? m->longest - extra : 0;
    nx_status st;

    *id = -1;
    *end = len - from < most ? len : from + most;
    while (*end > from && *end < len && ((unsigned char)word[*end] & 0xC0) == 0x80) --*end;
    nx_buf_clear(b);
    st = nx_buf_add(b, m->prefix.p, extra, err);
    if (!st) st = nx_buf_add(b, word + from, *end - from, err);
    while (!st && *end > from) {
        *id = nx_tj_model_find(m, b->data, extra + *end - from);
        if (*id >= 0) break;
        do --*end;
        while (*end > from && ((unsigned char)word[*end] & 0xC0) == 0x80);
    }
    return st;
}

static nx_status wordpiece(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out, const char *word,
                           size_t len, nx_error *err)
{
    size_t    before = out->n, end = 0;
    nx_status st = NX_OK;
    int32_t   id = 0;

    if (count_chars(word, len) > (size_t)m->chars_max) return nx_tj_add_unk(m, out, err);
    for (size_t from = 0; !st && from < len; from = end) {
        st = longest_piece(m, &w->word, word, from, len, &end, &id, err);
        if (st) return st;
        if (id < 0) {
            out->n = before;
            return nx_tj_add_unk(m, out, err);
        }
        st = nx_ids_add(out, id, err);
    }
    return st;
}

static nx_status wordlevel(const nx_tj_model *m, nx_ids *out, const char *word, size_t len,
                           nx_error *err)
{
    int32_t id = nx_tj_model_find(m, word, len);

    return id >= 0 ? nx_ids_add(out, id, err) : nx_tj_add_unk(m, out, err);
}

/* ---- Remembered words ------------------------------------------------------------------------- */

#define CACHE_SIZE 16384u /* places: a megabyte */
#define CACHE_TEXT 2048   /* a shorter text isn't worth it */
#define CACHED_LEN 26
#define CACHED_IDS 8

struct nx_tj_cached {
    uint32_t hash;
    uint8_t  len, n; /* len 0: empty */
    char     word[CACHED_LEN];
    int32_t  ids[CACHED_IDS];
};

_Static_assert(sizeof(nx_tj_cached) == 64, "one cache line");

nx_status nx_tj_model_work_init(nx_tj_model_work *w, size_t text_len, nx_error *err)
{
    *w = (nx_tj_model_work){.word.max = SIZE_MAX / 4};
    if (text_len < CACHE_TEXT) return NX_OK;
    w->cache = nx_calloc(CACHE_SIZE, sizeof *w->cache);
    return w->cache ? NX_OK : nx_fail(err, NX_ENOMEM, "words to remember");
}

void nx_tj_model_work_free(nx_tj_model_work *w)
{
    nx_bpe_work_free(&w->bpe);
    nx_unigram_work_free(&w->unigram);
    nx_buf_free(&w->word);
    nx_free(w->cache);
}

static nx_status encode(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out, const char *word,
                        size_t len, nx_error *err)
{
    switch (m->kind) {
    case NX_TJ_BPE: return nx_tj_bpe_encode(m, w, out, word, len, err);
    case NX_TJ_UNIGRAM: return nx_tj_unigram_encode(m, w, out, word, len, err);
    case NX_TJ_WORDPIECE: return wordpiece(m, w, out, word, len, err);
    case NX_TJ_WORDLEVEL: return wordlevel(m, out, word, len, err);
    }
    return NX_OK;
}

nx_status nx_tj_model_encode(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out,
                             const char *word, size_t len, nx_error *err)
{
    if (len == 0) return NX_OK;
    if (!w->cache || len > CACHED_LEN) return encode(m, w, out, word, len, err);
    uint64_t      hash = nx_hash_bytes(word, len);
    nx_tj_cached *c = &w->cache[(hash >> 32) % CACHE_SIZE];
    if (c->len == len && c->hash == (uint32_t)hash && memcmp(c->word, word, len) == 0) {
        nx_status st = nx_ids_reserve(out, CACHED_IDS, err);
        if (st) return st;
        memcpy(out->ids + out->n, c->ids, sizeof c->ids);
        out->n += c->n;
        return NX_OK;
    }
    size_t    before = out->n;
    nx_status st = encode(m, w, out, word, len, err);
    if (st || out->n - before > CACHED_IDS) return st;
    c->hash = (uint32_t)hash;
    c->len = (uint8_t)len;
    c->n = (uint8_t)(out->n - before);
    memcpy(c->word, word, len);
    if (c->n) memcpy(c->ids, out->ids + before, c->n * sizeof *c->ids);
    return NX_OK;
}
