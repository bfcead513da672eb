/* tj_unigram.c - the model Unigram of tokenizer.json, over the Viterbi search of unigram.h.
 *
 * Neighbouring unknown characters become one; what it spells may be a token after all (one that
 * scores worse than they do), else bytes where the file has them, else unk.
 */
#include <math.h>

#include "base/alloc.h"
#include "token/tj.h"

nx_status nx_tj_unigram_read(nx_tj_model *m, nx_arena *arena, const nx_json *v, nx_error *err)
{
    nx_unigram_options options = {.score_min = INFINITY};
    int64_t            unk = -1;
    size_t             n = 0;
    nx_status          st;

    (void)arena;
    st = nx_tj_get_int(v, "unk_id", &unk, 0, m->count - 1, err);
    if (!st) st = nx_tj_get_bool(v, "byte_fallback", &m->byte_fallback, err);
    if (st) return st;
    m->unk = (int32_t)unk;
    m->unk_text = unk >= 0 ? m->texts[unk] : (nx_str){0};
    nx_unigram_token *tokens = nx_calloc((size_t)m->count, sizeof *tokens);
    if (!tokens) return nx_fail(err, NX_ENOMEM, "%d tokens", m->count);
    for (int32_t i = 0; i < m->count; i++) {
        if (m->scores[i] < options.score_min) options.score_min = m->scores[i];
        if (m->keys[i].len == 0) continue;
        tokens[n++] = (nx_unigram_token){.text = m->keys[i], .id = i, .score = m->scores[i]};
    }
    st = nx_unigram_create(&m->unigram, tokens, n, &options, err);
    nx_free(tokens);
    return st;
}

typedef struct way {
    const nx_tj_model *m;
    nx_ids            *out;
    const char        *unknown; /* NULL: none waits */
    size_t             unknown_len;
} way;

static nx_status say_unknown(way *w, nx_error *err)
{
    const char *p = w->unknown;
    bool        all = false;
    nx_status   st;

    if (!p) return NX_OK;
    w->unknown = NULL;
    int32_t id = nx_tj_model_find(w->m, p, w->unknown_len);
    if (id >= 0) return nx_ids_add(w->out, id, err);
    if (w->m->byte_fallback) {
        st = nx_tj_add_bytes(w->m, w->out, p, w->unknown_len, &all, err);
        if (st || all) return st;
    }
    return nx_tj_add_unk(w->m, w->out, err);
}

static nx_status on_token(void *ctx, int32_t id, const char *text, size_t len, nx_error *err)
{
    way      *w = ctx;
    nx_status st;

    if (id == NX_UNIGRAM_UNKNOWN || id == w->m->unk) {
        if (!w->unknown) w->unknown_len = 0;
        if (!w->unknown) w->unknown = text;
        w->unknown_len += len;
        return NX_OK;
    }
    st = say_unknown(w, err);
    return st ? st : nx_ids_add(w->out, id, err);
}

nx_status nx_tj_unigram_encode(const nx_tj_model *m, nx_tj_model_work *w, nx_ids *out,
                               const char *word, size_t len, nx_error *err)
{
    way       on = {.m = m, .out = out};
    nx_status st = nx_unigram_encode(m->unigram, &w->unigram, word, len, on_token, &on, err);

    return st ? st : say_unknown(&on, err);
}
