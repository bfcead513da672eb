/* fuzz_words.c - any bytes as a text and a question, any tokenizer: a text holds its own words, a BM25
 * vector ascends. The first three bytes choose the tokenizer. */
#include <stdlib.h>
#include <string.h>

#include "store/bound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hold(bool what)
{
    if (!what) abort();
}

static void check_vector(nx_str text, bool asking)
{
    nx_buf ids = {.max = 1 << 24}, values = {.max = 1 << 24};

    hold(nx_bm25_vector(&ids, &values, text, asking, NULL, NULL) == NX_OK && ids.len == values.len);
    for (size_t i = 4; i < ids.len; i += 4) {
        uint32_t a, b;
        memcpy(&a, ids.data + i - 4, 4);
        memcpy(&b, ids.data + i, 4);
        hold(a < b);
    }
    nx_buf_free(&ids);
    nx_buf_free(&values);
}

static bool count_word(void *ctx, nx_str word)
{
    (void)word;
    ++*(size_t *)ctx;
    return true;
}

/* Asked for all its words, as a set and as a phrase, a text fits; but for stopwords, which are asked for
 * where words are typed. */
static void check_own_words(const nx_words_spec *words, nx_cond_kind kind, nx_str text)
{
    nx_index_spec spec = {.path = NX_STR("a"), .kind = NX_INDEX_TEXT, .words = *words};
    nx_settings   settings = {.indexes = &spec, .n_indexes = 1};
    nx_condition  c = {.kind = kind, .texts = &text, .n_texts = 1};
    nx_filter     f = {.must = &c, .n_must = 1};
    nx_bound     *b;
    nx_words     *w;
    size_t        n = 0;
    bool          fits = false;

    hold(nx_path_parse(&c.path, NX_STR("a"), NULL) == NX_OK);
    hold(nx_words_create(&w, words, NULL) == NX_OK);
    hold(nx_words_each(w, text, true, count_word, &n, NULL) == NX_OK);
    hold(nx_bound_create(&b, &f, &settings, NULL) == NX_OK && b);
    hold(nx_bound_test(b, &c, text, &fits));
    bool typed = words->kind == NX_WORDS_PREFIX && words->n_stopwords && kind == NX_COND_WORDS;
    hold(typed || fits == (n > 0));
    nx_bound_destroy(b);
    nx_words_destroy(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 4096) return 0;
    nx_str        stops[] = {{"the", 3}, {"\xC3\xBC", 2}};
    nx_str        text = {(const char *)data + 3, size - 3};
    nx_words_spec spec = {.kind = (nx_word_kind)(data[0] % 4),
                          .lowercase = data[0] >> 2 & 1,
                          .ascii_folding = data[0] >> 3 & 1,
                          .stemmer = data[0] >> 4 & 1 ? NX_STR("english") : NX_STR(""),
                          .stopwords = stops,
                          .n_stopwords = data[0] >> 5 & 1 ? 2 : 0,
                          .min_chars = data[1] % 5};

    if (data[2] % 8) spec.max_chars = spec.min_chars + data[2] % 8;
    check_own_words(&spec, NX_COND_WORDS, text);
    check_own_words(&spec, NX_COND_PHRASE, text);
    check_vector(text, false);
    check_vector(text, true);
    return 0;
}
