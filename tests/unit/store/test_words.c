/* Protects: words are Qdrant's words, of every kind and through every stage; BM25 vectors are
 * fastembed's, whose answers stand here (fastembed 0.9.1, Qdrant/bm25, with NLTK's stopwords). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "store/words.h"

static bool add_word(void *ctx, nx_str word)
{
    nx_buf *out = ctx;

    if (out->len) assert_int_equal(nx_buf_add(out, "|", 1, NULL), NX_OK);
    assert_int_equal(nx_buf_add(out, word.p, word.len, NULL), NX_OK);
    return true;
}

static void expect(const nx_words_spec *spec, bool asking, const char *text, const char *words)
{
    nx_buf    out = {.max = 1 << 16};
    nx_error  err = {0};
    nx_words *w;

    if (nx_words_create(&w, spec, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_words_each(w, nx_str_of(text), asking, add_word, &out, &err), NX_OK);
    assert_string_equal(out.data ? out.data : "", words);
    nx_words_destroy(w);
    nx_buf_free(&out);
}

static void pieces(void **state)
{
    nx_words_spec word = {.lowercase = true}, as_is = {0};
    nx_words_spec blank = {.kind = NX_WORDS_WHITESPACE, .lowercase = true};
    nx_words_spec many = {.kind = NX_WORDS_MULTILINGUAL};

    (void)state;
    expect(&word, false, "Hello, world! Привет, МИР!", "hello|world|привет|мир");
    expect(&as_is, false, "Hello, МИР", "Hello|МИР");
    expect(&word, false, "foo_bar it's x2 3.5", "foo|bar|it|s|x2|3|5");
    expect(&word, false, "हिन्दी", "हिन|दी");
    expect(&word, false, "ΣΊΣΥΦΟΣ İstanbul Straße", "σίσυφος|i̇stanbul|straße");
    expect(&word, false,
           "a\xFF"
           "b \xC3",
           "a|b");
    expect(&word, false, "", "");
    expect(&word, false, " .,;", "");
    expect(&blank, false, "  Don't\tpanic,\xC2\xA0now\n", "don't|panic,|now");
    expect(&many, false, "今天 Qdrantの42 x1", "今|天|qdrant|の|x1");
}

static void stages(void **state)
{
    nx_str        stops[] = {{"The", 3}, {"über", 5}};
    nx_words_spec spec = {.lowercase = true, .stopwords = stops, .n_stopwords = 2};
    nx_words_spec folds = {.lowercase = true, .ascii_folding = true};
    nx_words_spec sized = {.lowercase = true, .min_chars = 2, .max_chars = 4};
    nx_words_spec stems = {.lowercase = true, .stemmer = {"english", 7}};

    (void)state;
    expect(&spec, false, "the THE theory Über", "theory");
    expect(&spec, true, "the theory", "theory");
    spec.lowercase = false;
    expect(&spec, false, "the The theory", "the|theory");
    expect(&folds, false, "Ünïcödé ÆRØ Straße ﬁne Łódź мир", "unicode|aero|strasse|fine|lodz|мир");
    expect(&sized, false, "a ab abcd abcde äöüß äöüßx", "ab|abcd|äöüß");
    expect(&stems, false, "Testing generously RUNNING", "test|generous|run");
}

static void beginnings(void **state)
{
    nx_str        stops[] = {{"the", 3}};
    nx_words_spec spec = {.kind = NX_WORDS_PREFIX, .lowercase = true, .max_chars = 4};
    nx_words_spec some = {
        .kind = NX_WORDS_PREFIX, .min_chars = 2, .stopwords = stops, .n_stopwords = 1};
    char *word = nx_alloc(70001, 1);

    (void)state;
    expect(&spec, false, "Hello, мир!", "h|he|hel|hell|м|ми|мир");
    expect(&spec, true, "Hello, мир!", "hell|мир");
    expect(&some, false, "the theory a", "th|the|theo|theor|theory");
    expect(&some, true, "the t theory", "the|theory");
    memset(word, 'x', 70000); /* its beginnings are bounded */
    word[70000] = '\0';
    nx_words *w;
    nx_buf    out = {.max = 1 << 20};
    assert_int_equal(nx_words_create(&w, &some, NULL), NX_OK);
    assert_int_equal(nx_words_each(w, nx_str_of(word), false, add_word, &out, NULL), NX_OK);
    assert_int_equal(out.len, (2 + NX_WORDS_PREFIX_MAX) * (NX_WORDS_PREFIX_MAX - 1) / 2 +
                                  NX_WORDS_PREFIX_MAX - 2);
    nx_words_destroy(w);
    nx_buf_free(&out);
    nx_free(word);
}

static void refusals(void **state)
{
    nx_words_spec spec = {.stemmer = {"klingon", 7}};
    nx_error      err = {0};
    nx_words     *w;

    (void)state;
    assert_int_equal(nx_words_create(&w, &spec, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "english"));
    spec = (nx_words_spec){.min_chars = 5, .max_chars = 4};
    assert_int_equal(nx_words_create(&w, &spec, &err), NX_EINVAL);
    spec = (nx_words_spec){.min_chars = -1};
    assert_int_equal(nx_words_create(&w, &spec, &err), NX_EINVAL);
    assert_null(w);
    nx_words_destroy(NULL);
    for (int64_t n = 0; n < 12; n++) { /* out of memory at each place */
        nx_str        stops[] = {{"a", 1}, {"b", 1}};
        nx_words_spec all = {.lowercase = true, .stopwords = stops, .n_stopwords = 2};
        nx_buf        out = {.max = 1 << 10};
        assert_int_equal(nx_buf_add(&out, "room room", 9, NULL), NX_OK);
        nx_alloc_fail_after(n);
        nx_status st = nx_words_create(&w, &all, &err);
        if (!st) st = nx_words_each(w, NX_STR("One Word"), false, add_word, &out, &err);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
        nx_words_destroy(w);
        nx_buf_free(&out);
    }
}

static void stopwords(void **state)
{
    size_t n;

    (void)state;
    assert_non_null(nx_stopwords(NX_STR("english"), &n));
    assert_int_equal(n, 179);
    assert_non_null(nx_stopwords(NX_STR("german"), &n));
    assert_int_equal(n, 232);
    assert_null(nx_stopwords(NX_STR("klingon"), &n));
    assert_int_equal(n, 0);
}

/* ---- BM25 ---- */

typedef struct known {
    uint32_t id;
    float    value;
} known;

static void expect_vector(const char *text, const char *language, bool asking, const known *want,
                          size_t n)
{
    nx_bm25_options opt = {.language = nx_str_of(language)};
    nx_buf          ids = {.max = 1 << 16}, values = {.max = 1 << 16};
    nx_error        err = {0};

    if (nx_bm25_vector(&ids, &values, nx_str_of(text), asking, &opt, &err))
        fail_msg("%s", err.text);
    assert_int_equal(ids.len, 4 * n);
    assert_int_equal(values.len, 4 * n);
    for (size_t i = 0; i < n; i++) {
        uint32_t id;
        float    x;
        memcpy(&id, ids.data + 4 * i, 4);
        memcpy(&x, values.data + 4 * i, 4);
        assert_int_equal(id, want[i].id);
        assert_float_equal(x, asking ? 1 : want[i].value, 2e-7);
    }
    nx_buf_free(&ids);
    nx_buf_free(&values);
}

static void vectors(void **state)
{
    static const known english[] = {
        {226376294u, 1.63911525f},  {243905464u, 1.87858572f},  {741580288u, 1.63911525f},
        {756638508u, 1.63911525f},  {771291085u, 1.63911525f},  {1304640163u, 1.63911525f},
        {1312749093u, 1.87858572f}, {1572539931u, 1.63911525f}, {1621867415u, 1.63911525f},
        {1913189942u, 1.63911525f},
    };
    static const known german[] = {
        {18554856u, 1.66973021f},   {769423932u, 1.66973021f},  {1620730712u, 1.66973021f},
        {1805060172u, 1.66973021f}, {1962405504u, 1.66973021f},
    };
    const char *text = "The quick brown fox jumps over the lazy dogs; the dogs don't run, running "
                       "foo_bar naïve İstanbul _ xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

    (void)state;
    expect_vector(text, "english", false, english, sizeof english / sizeof english[0]);
    expect_vector(text, "", true, english, sizeof english / sizeof english[0]);
    expect_vector("Die größten Häuser der Straße, ΣΊΣΥΦΟΣ und ÄRGER", "german", false, german,
                  sizeof german / sizeof german[0]);
    expect_vector("the and", "english", false, english, 0);
    expect_vector("the the", "none", true, (const known[]){{nx_bm25_id(NX_STR("the")), 1}}, 1);
    nx_bm25_options opt = {.language = {"klingon", 7}};
    nx_buf          b = {.max = 100};
    assert_int_equal(nx_bm25_vector(&b, &b, NX_STR("x"), false, &opt, NULL), NX_EINVAL);
}

static void murmur(void **state)
{
    (void)state;
    assert_int_equal(nx_bm25_id(NX_STR("")), 0u);
    assert_int_equal(nx_bm25_id(NX_STR("a")), 1009084850u);
    assert_int_equal(nx_bm25_id(NX_STR("ab")), 1681926305u);
    assert_int_equal(nx_bm25_id(NX_STR("abc")), 1277324294u);
    assert_int_equal(nx_bm25_id(NX_STR("abcd")), 1139631978u);
    assert_int_equal(nx_bm25_id(NX_STR("hello world")), 1586663183u);
    assert_int_equal(nx_bm25_id(NX_STR("größt")), 166638149u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces),   cmocka_unit_test(stages),    cmocka_unit_test(beginnings),
        cmocka_unit_test(refusals), cmocka_unit_test(stopwords), cmocka_unit_test(vectors),
        cmocka_unit_test(murmur),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
