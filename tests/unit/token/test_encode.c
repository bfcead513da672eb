/* Protects: both mergers give what the plain, slow statement of their rule gives; special tokens
 * are seen where they should be and only there; and nothing of a text is ever lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/alloc.h"
#include "maker.h"
#include "token/tables.h"

#define TEXT_MAX 512

static void expect_ids(const nx_vocab *v, const char *text, size_t len, unsigned flags,
                       const int32_t *ids, size_t n)
{
    nx_ids   got = {0};
    nx_error err = {0};

    if (nx_vocab_encode(v, &got, text, len, flags, &err)) fail_msg("%s", err.text);
    assert_int_equal(got.n, n);
    if (n) assert_memory_equal(got.ids, ids, n * sizeof *ids);
    nx_ids_free(&got);
}

#define EXPECT(v, text, flags, ...)                                                                \
    expect_ids(v, text, sizeof(text) - 1, flags, (const int32_t[]){__VA_ARGS__},                   \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void expect_round_trip(const nx_vocab *v, const char *text, size_t len)
{
    nx_ids   ids = {0};
    nx_buf   back = {.max = 1 << 20};
    nx_error err = {0};

    if (nx_vocab_encode(v, &ids, text, len, 0, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_vocab_decode(v, &back, ids.ids, ids.n, false, &err), NX_OK);
    assert_int_equal(back.len, len);
    if (len) assert_memory_equal(back.data, text, len);
    nx_ids_free(&ids);
    nx_buf_free(&back);
}

/* ---- Plain statements of the rules ------------------------------------------------------------ */

typedef struct part {
    size_t  at, len;
    int32_t id;
} part;

static size_t join(part *parts, size_t n, size_t i, int32_t id)
{
    parts[i].len += parts[i + 1].len;
    parts[i].id = id;
    memmove(parts + i + 1, parts + i + 2, (n - i - 2) * sizeof *parts);
    return n - 1;
}

/* SentencePiece on text whose spaces are marks already: the best score, leftmost of equals. */
static size_t slow_spm(const nx_vocab *v, part *parts, size_t n, const char *text)
{
    for (;;) {
        size_t  best = n;
        int32_t best_id = -1;
        for (size_t i = 0; i + 1 < n; i++) {
            nx_str  joint = {text + parts[i].at, parts[i].len + parts[i + 1].len};
            int32_t id = nx_vocab_find(v, joint);
            if (id < 0 || nx_vocab_type(v, id) != NX_TOKEN_NORMAL) continue;
            if (best == n || v->scores[id] > v->scores[best_id]) {
                best = i;
                best_id = id;
            }
        }
        if (best == n) return n;
        n = join(parts, n, best, best_id);
    }
}

/* BPE: the lowest rank, leftmost of equals; the merges as the file lists them. */
static size_t slow_bpe(const maker *m, const nx_vocab *v, part *parts, size_t n)
{
    for (int64_t rank = 0; rank < m->src.n_merges;) {
        size_t i = 0;
        for (; i + 1 < n; i++) {
            nx_str a = v->texts[parts[i].id], b = v->texts[parts[i + 1].id], r = m->merges[rank];
            if (r.len == a.len + 1 + b.len && memcmp(r.p, a.p, a.len) == 0 && r.p[a.len] == ' ' &&
                memcmp(r.p + a.len + 1, b.p, b.len) == 0) {
                break;
            }
        }
        if (i + 1 >= n) {
            rank++;
            continue;
        }
        char   joint[128];
        nx_str a = v->texts[parts[i].id], b = v->texts[parts[i + 1].id];
        memcpy(joint, a.p, a.len);
        memcpy(joint + a.len, b.p, b.len);
        n = join(parts, n, i, nx_vocab_find(v, (nx_str){joint, a.len + b.len}));
        rank = 0;
    }
    return n;
}

/* ---- Random vocabularies ---------------------------------------------------------------------- */

static const char *const letters[] = {"a", "b", "c", NX_SPACE_MARK, "\xC3\xA9"};

static void random_spm(maker *m, uint32_t *seed, bool crosses)
{
    char text[64];

    maker_spm(m);
    for (int i = 0; i < 5; i++) {
        if (maker_random(seed) % 8) maker_say(m, letters[i], NX_TOKEN_NORMAL, -100);
    }
    for (int i = 0; i < 60; i++) {
        size_t   len = 0;
        uint32_t n = 2 + maker_random(seed) % 5;
        for (uint32_t k = 0; k < n; k++) {
            const char *c = letters[maker_random(seed) % (k && !crosses ? 3 : 5)];
            memcpy(text + len, c, strlen(c));
            len += strlen(c);
        }
        maker_add(m, text, len, NX_TOKEN_NORMAL, -(float)(maker_random(seed) % 20));
    }
}

static size_t random_text(char *text, uint32_t *seed)
{
    static const char *const pieces[] = {"a", "b", "c", " ", "\xC3\xA9", "a", "b", " "};
    uint32_t                 n = maker_random(seed) % 100;
    size_t                   len = 0;

    for (uint32_t i = 0; i < n; i++) {
        const char *p = pieces[maker_random(seed) % 8];
        memcpy(text + len, p, strlen(p));
        len += strlen(p);
    }
    return len;
}

static void check_spm(const nx_vocab *v, const char *text, size_t len)
{
    char    marked[3 * TEXT_MAX];
    part    parts[TEXT_MAX + 1];
    int32_t want[3 * TEXT_MAX];
    size_t  n = 0, at = 0, n_want = 0;

    for (size_t i = 0, bytes; i < len + 1 && len; i += i == 0 ? 1 : bytes) {
        const char *p = i == 0 ? " " : text + i - 1;
        nx_utf8_decode(p, i == 0 ? 1 : len - i + 1, &bytes);
        size_t wide = *p == ' ' ? 3 : bytes;
        memcpy(marked + at, *p == ' ' ? NX_SPACE_MARK : p, wide);
        parts[n++] = (part){at, wide, nx_vocab_find(v, (nx_str){marked + at, wide})};
        at += wide;
    }
    n = slow_spm(v, parts, n, marked);
    for (size_t i = 0; i < n; i++) {
        bool space = parts[i].id < 0 && memcmp(marked + parts[i].at, NX_SPACE_MARK, 3) == 0;
        if (parts[i].id >= 0)
            want[n_want++] = parts[i].id;
        else if (space)
            want[n_want++] = 3 + ' ';
        for (size_t k = 0; parts[i].id < 0 && !space && k < parts[i].len; k++) {
            want[n_want++] = 3 + (unsigned char)marked[parts[i].at + k];
        }
    }
    expect_ids(v, text, len, 0, want, n_want);
    expect_round_trip(v, text, len);
}

static void spm_equals_the_slow_way(void **state)
{
    static maker m;
    uint32_t     seed = 20261123;
    char         text[TEXT_MAX];

    (void)state;
    for (int round = 0; round < 200; round++) {
        random_spm(&m, &seed, round % 2);
        nx_vocab *v = maker_open(&m);
        for (int i = 0; i < 20; i++) check_spm(v, text, random_text(text, &seed));
        nx_vocab_close(v);
    }
}

static void random_bpe(maker *m, uint32_t *seed)
{
    static const int32_t start[] = {'a', 'b', 'c', ' ', 0xC3, 0xA9};
    int32_t              pool[80];
    int                  n = 6;

    memcpy(pool, start, sizeof start);
    maker_bpe(m, maker_random(seed) % 2 ? "gpt-2" : "default");
    for (int i = 0; i < 60; i++) {
        int32_t left = pool[maker_random(seed) % (uint32_t)n];
        int32_t right = pool[maker_random(seed) % (uint32_t)n];
        if (m->texts[left].len + m->texts[right].len > 24) continue;
        pool[n++] = maker_merge(m, left, right);
    }
}

typedef struct slow {
    const maker    *m;
    const nx_vocab *v;
    int32_t         want[TEXT_MAX];
    size_t          n;
} slow;

static nx_status slow_word(void *ctx, const char *word, size_t len, nx_error *err)
{
    slow *s = ctx;
    part  parts[TEXT_MAX];

    (void)err;
    for (size_t i = 0; i < len; i++) parts[i] = (part){i, 1, (unsigned char)word[i]};
    size_t n = slow_bpe(s->m, s->v, parts, len);
    for (size_t i = 0; i < n; i++) s->want[s->n++] = parts[i].id;
    return NX_OK;
}

static void bpe_equals_the_slow_way(void **state)
{
    static maker m;
    uint32_t     seed = 4711;
    char         text[TEXT_MAX];

    (void)state;
    for (int round = 0; round < 100; round++) {
        random_bpe(&m, &seed);
        nx_vocab *v = maker_open(&m);
        for (int i = 0; i < 10; i++) {
            slow        s = {.m = &m, .v = v};
            nx_splitter splitter;
            size_t      len = random_text(text, &seed);
            if (i % 3 == 0) { /* one long word: the heap instead of the scan */
                for (size_t k = 0; k < len; k++) text[k] = "abc"[maker_random(&seed) % 3];
            }
            assert_int_equal(nx_splitter_create(&splitter, &v->pretoken, slow_word, &s, NULL),
                             NX_OK);
            assert_int_equal(nx_splitter_run(&splitter, text, len, NULL), NX_OK);
            nx_splitter_destroy(&splitter);
            expect_ids(v, text, len, 0, s.want, s.n);
            expect_round_trip(v, text, len);
        }
        nx_vocab_close(v);
    }
}

static void random_bytes_come_back(void **state)
{
    static maker m;
    uint32_t     seed = 99;
    char         text[TEXT_MAX];

    (void)state;
    for (int round = 0; round < 60; round++) {
        if (round % 2)
            random_bpe(&m, &seed);
        else
            random_spm(&m, &seed, round % 4 == 0);
        nx_vocab *v = maker_open(&m);
        for (int i = 0; i < 50; i++) {
            size_t len = maker_random(&seed) % TEXT_MAX;
            for (size_t k = 0; k < len; k++) text[k] = (char)maker_random(&seed);
            expect_round_trip(v, text, len);
        }
        expect_round_trip(v, "a " NX_SPACE_MARK "b" NX_SPACE_MARK, 9); /* a literal mark */
        nx_vocab_close(v);
    }
}

/* ---- Special tokens --------------------------------------------------------------------------- */

enum { MARK = 259, MARK_A, A, B, USER };

static nx_vocab *spm_with_specials(maker *m)
{
    maker_spm(m);
    maker_say(m, NX_SPACE_MARK, NX_TOKEN_NORMAL, -1);
    maker_say(m, NX_SPACE_MARK "a", NX_TOKEN_NORMAL, -2);
    maker_say(m, "a", NX_TOKEN_NORMAL, -3);
    maker_say(m, "b", NX_TOKEN_NORMAL, -3);
    maker_say(m, "b" NX_SPACE_MARK "b", NX_TOKEN_USER_DEFINED, 0);
    return maker_open(m);
}

static void spm_specials(void **state)
{
    static maker  m;
    nx_vocab     *v = spm_with_specials(&m);
    const int32_t lt = 3 + '<', gt = 3 + '>', s = 3 + 's';

    (void)state;
    EXPECT(v, "a", NX_ENCODE_ADD_SPECIAL, 1, MARK_A);
    EXPECT(v, "a</s>", NX_ENCODE_PARSE_SPECIAL, MARK_A, 2);
    EXPECT(v, "a<s>a", NX_ENCODE_PARSE_SPECIAL, MARK_A, 1, MARK_A);
    EXPECT(v, "a<s>a", 0, MARK_A, lt, s, gt, A);
    EXPECT(v, "<unk>a", NX_ENCODE_PARSE_SPECIAL, 0, MARK_A);
    EXPECT(v, "ab ba", 0, MARK_A, USER, MARK_A); /* spelled with marks in the file */
    EXPECT(v, "a b", 0, MARK_A, MARK, B);
    expect_ids(v, "", 0, 0, NULL, 0);
    expect_ids(v, NULL, 0, 0, NULL, 0);
    expect_ids(v, "", 0, NX_ENCODE_ADD_SPECIAL, (const int32_t[]){1}, 1);
    expect_round_trip(v, " ab ba b bb b", 13);
    nx_vocab_close(v);

    /* A user-defined token is a piece of text, never what merging makes of an added space. */
    maker_say(&m, NX_SPACE_MARK "b", NX_TOKEN_USER_DEFINED, 0);
    v = maker_open(&m);
    EXPECT(v, "b", 0, MARK, B);
    EXPECT(v, "a b", 0, MARK_A, USER + 1);
    expect_round_trip(v, "b a b b b", 9);
    nx_vocab_close(v);

    m.src.add_space_prefix = 0;
    m.src.add_bos = 0;
    m.src.add_eos = 1;
    v = maker_open(&m);
    EXPECT(v, "a a", NX_ENCODE_ADD_SPECIAL, A, MARK_A, 2);
    expect_round_trip(v, " a", 2);
    nx_vocab_close(v);
}

/* Phi-3: white space after a special token is a part of it, but not after these three. */
static void strips_after_special(void **state)
{
    static maker m;
    nx_vocab    *v;

    (void)state;
    maker_spm(&m);
    maker_say(&m, NX_SPACE_MARK "a", NX_TOKEN_NORMAL, -2);
    maker_say(&m, "<|end|>", NX_TOKEN_CONTROL, 0);
    maker_say(&m, NX_SPACE_MARK, NX_TOKEN_NORMAL, -1);
    m.src.strips_after_special = true;
    v = maker_open(&m);
    EXPECT(v, "<|end|>\n \ta", NX_ENCODE_PARSE_SPECIAL, 260, 259);
    EXPECT(v, "<s>\na", NX_ENCODE_PARSE_SPECIAL, 1, 261, 3 + '\n', 3 + 'a');
    nx_vocab_close(v);
}

static void bpe_specials(void **state)
{
    static maker m;
    nx_vocab    *v;

    (void)state;
    maker_bpe(&m, "llama-bpe");
    int32_t ab = maker_merge(&m, 'a', 'b');
    int32_t word = maker_say(&m, "word", NX_TOKEN_NORMAL, 0); /* no merges lead to it */
    int32_t end = maker_say(&m, "<|end|>", NX_TOKEN_CONTROL, 0);
    int32_t cc = maker_say(&m, "c c", NX_TOKEN_USER_DEFINED, 0);
    maker_say(&m, "ba", NX_TOKEN_CONTROL, 0); /* spells a whole word, yet isn't text */
    m.src.special.bos = end;
    v = maker_open(&m);
    EXPECT(v, "word ab", NX_ENCODE_ADD_SPECIAL, end, word, ' ', ab);
    EXPECT(v, "words", 0, 'w', 'o', 'r', 'd', 's');
    EXPECT(v, "ac cb<|end|>", NX_ENCODE_PARSE_SPECIAL, 'a', cc, 'b', end);
    EXPECT(v, "<|end|>", 0, '<', '|', 'e', 'n', 'd', '|', '>');
    EXPECT(v, "ba", 0, 'b', 'a');
    nx_vocab_close(v);
}

static void bytes_without_token(void **state)
{
    static maker m;
    nx_ids       ids = {0};
    nx_error     err = {0};

    (void)state;
    maker_bpe(&m, "gpt-2");
    m.types['q'] = NX_TOKEN_UNUSED;
    m.texts['q'] = NX_STR("other");
    nx_vocab *v = maker_open(&m);
    assert_int_equal(nx_vocab_encode(v, &ids, "aq", 2, 0, &err), NX_EUNSUPPORTED);
    assert_string_equal(err.text,
                        "the vocabulary has no token for byte 0x71, and no unknown token");
    assert_int_equal(ids.n, 0);
    nx_vocab_close(v);
    m.src.special.unk = '?';
    v = maker_open(&m);
    EXPECT(v, "aqb", 0, 'a', '?', 'b');
    nx_vocab_close(v);

    maker_start(&m, "llama"); /* no bytes at all: one unk for each character */
    m.src.scores = m.scores;
    maker_say(&m, "<unk>", NX_TOKEN_UNKNOWN, 0);
    maker_say(&m, "a", NX_TOKEN_NORMAL, 0);
    m.src.add_space_prefix = 0;
    v = maker_open(&m);
    EXPECT(v, "a\xC3\xA9 a\xFF", 0, 1, 0, 0, 1, 0);
    nx_vocab_close(v);
    nx_ids_free(&ids);
}

/* ---- Limits ----------------------------------------------------------------------------------- */

static void a_megabyte_of_one_word(void **state)
{
    static maker m;
    size_t       len = 1 << 20;
    char        *text = malloc(len);
    uint32_t     seed = 5;

    (void)state;
    assert_non_null(text);
    for (int round = 0; round < 2; round++) {
        if (round)
            random_bpe(&m, &seed);
        else
            random_spm(&m, &seed, true);
        nx_vocab *v = maker_open(&m);
        nx_ids    ids = {0};
        for (size_t i = 0; i < len; i++) text[i] = "abc"[maker_random(&seed) % 3];
        assert_int_equal(nx_vocab_encode(v, &ids, text, len, 0, NULL), NX_OK);
        assert_true(ids.n > 0 && ids.n <= len + 1);
        nx_ids_free(&ids);
        nx_vocab_close(v);
    }
    free(text);
}

typedef struct worker {
    const nx_vocab *v;
    const char     *text;
    nx_ids          ids;
    pthread_t       thread;
} worker;

static void *encode_again_and_again(void *ctx)
{
    worker *w = ctx;

    for (int i = 0; i < 50; i++) {
        w->ids.n = 0;
        if (nx_vocab_encode(w->v, &w->ids, w->text, strlen(w->text), 3, NULL)) return ctx;
    }
    return NULL;
}

/* One vocabulary, four threads (`make tsan` watches). */
static void any_thread(void **state)
{
    static maker m;
    uint32_t     seed = 12;
    worker       w[4] = {{0}};

    (void)state;
    for (int round = 0; round < 2; round++) {
        void *failed = NULL;
        if (round)
            random_bpe(&m, &seed);
        else
            random_spm(&m, &seed, false);
        nx_vocab *v = maker_open(&m);
        for (int i = 0; i < 4; i++) {
            w[i] = (worker){.v = v, .text = "ab cab  abc aab\xC3\xA9\xFF abcabc"};
            assert_int_equal(pthread_create(&w[i].thread, NULL, encode_again_and_again, &w[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_join(w[i].thread, &failed), 0);
            assert_null(failed);
            assert_int_equal(w[i].ids.n, w[0].ids.n);
            assert_memory_equal(w[i].ids.ids, w[0].ids.ids, w[0].ids.n * sizeof(int32_t));
        }
        for (int i = 0; i < 4; i++) nx_ids_free(&w[i].ids);
        nx_vocab_close(v);
    }
}

static void every_allocation_may_fail(void **state)
{
    static maker m;
    uint32_t     seed = 8;
    char         text[TEXT_MAX];

    (void)state;
    for (int round = 0; round < 2; round++) {
        nx_status st = NX_ENOMEM;
        if (round)
            random_bpe(&m, &seed);
        else
            random_spm(&m, &seed, false);
        memset(text, 'a', sizeof text);
        for (int n = 0; st; n++) {
            nx_vocab *v = NULL;
            nx_ids    ids = {0};
            nx_buf    back = {.max = 1 << 16};
            nx_error  err = {0};
            assert_true(n < 1000);
            nx_alloc_fail_after(n);
            st = nx_vocab_create(&v, &m.src, &err);
            if (!st) st = nx_vocab_encode(v, &ids, text, sizeof text, 1, &err);
            if (!st) st = nx_vocab_decode(v, &back, ids.ids, ids.n, true, &err);
            nx_alloc_fail_after(-1);
            if (st) assert_int_equal(st, NX_ENOMEM);
            if (st) assert_true(ids.n == 0 || v);
            nx_buf_free(&back);
            nx_ids_free(&ids);
            nx_vocab_close(v);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spm_equals_the_slow_way),
        cmocka_unit_test(bpe_equals_the_slow_way),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(spm_specials),
        cmocka_unit_test(strips_after_special),
        cmocka_unit_test(bpe_specials),
        cmocka_unit_test(bytes_without_token),
        cmocka_unit_test(a_megabyte_of_one_word),
        cmocka_unit_test(any_thread),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
