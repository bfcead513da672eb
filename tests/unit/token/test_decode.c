/* Protects: a stream never shows half a character, loses no byte that can be shown, and the raw
 * decoding is exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "maker.h"

#define FFFD "\xEF\xBF\xBD"

static void expect_stream(const nx_vocab *v, const int32_t *ids, size_t n, const char *text)
{
    nx_decoder d = {0};
    nx_buf     out = {.max = 1 << 16};
    size_t     shown = 0;

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(nx_decoder_push(&d, v, ids[i], &out, NULL), NX_OK);
        if (out.data) assert_true(nx_utf8_valid(out.data + shown, out.len - shown, NULL));
        shown = out.len;
    }
    assert_int_equal(nx_decoder_finish(&d, &out, NULL), NX_OK);
    if (*text)
        assert_string_equal(out.data, text);
    else
        assert_int_equal(out.len, 0);
    assert_int_equal(d.n_held, 0);
    nx_buf_free(&out);
}

#define STREAM(v, text, ...)                                                                       \
    expect_stream(v, (const int32_t[]){__VA_ARGS__},                                               \
                  sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), text)

static void characters_are_whole(void **state)
{
    static maker m;

    (void)state;
    maker_bpe(&m, "gpt-2");
    nx_vocab *v = maker_open(&m);
    STREAM(v, "a", 'a');
    STREAM(v, "\xF0\x9F\xA6\x99!", 0xF0, 0x9F, 0xA6, 0x99, '!');
    STREAM(v, FFFD, 0xF0);
    /* One mark for the longest correct beginning, as Python's errors="replace" counts. */
    STREAM(v, FFFD "a", 0xF0, 0x9F, 0xA6, 'a');
    STREAM(v, FFFD, 0xF0, 0x9F, 0xA6);
    STREAM(v, FFFD FFFD "b", 0xF0, 0x9F, 0xE2, 0x82, 'b');
    STREAM(v, FFFD "\xC3\xA9", 0xC3, 0xC3, 0xA9);
    STREAM(v, FFFD FFFD "x", 0xFF, 0x80, 'x');
    STREAM(v, FFFD FFFD FFFD, 0xED, 0xA0, 0x80); /* a surrogate is no character */
    nx_vocab_close(v);
}

enum { MARK_A = 259, A, USER, TWO };

static nx_vocab *open_spm(maker *m)
{
    maker_spm(m);
    maker_say(m,
              NX_STR("\xE2\x96\x81"
                     "a")
                  .p,
              NX_TOKEN_NORMAL, 0);
    maker_say(m, "a", NX_TOKEN_NORMAL, 0);
    maker_say(m, "<user>", NX_TOKEN_USER_DEFINED, 0);
    maker_say(m, "\xE2\x96\x81\xE2\x96\x81", NX_TOKEN_NORMAL, 0);
    return maker_open(m);
}

static void sentencepieces_first_space(void **state)
{
    static maker m;
    nx_vocab    *v = open_spm(&m);

    (void)state;
    STREAM(v, "a a", MARK_A, MARK_A);
    STREAM(v, "aa", A, A);
    STREAM(v, " a", TWO, A);
    STREAM(v, "a<user>a a", MARK_A, USER, MARK_A, MARK_A);
    STREAM(v, "aa", MARK_A, 1, MARK_A);  /* control tokens are silent */
    STREAM(v, "a a", MARK_A, 0, MARK_A); /* so is unk, which begins no text */
    STREAM(v, "\xC3\xA9 a", 3 + 0xC3, 3 + 0xA9, MARK_A);
    STREAM(v, "a", 3 + ' ', A); /* the added space may be a byte token */
    nx_decoder d = {.started = true};
    nx_buf     out = {.max = 64};
    assert_int_equal(nx_decoder_push(&d, v, MARK_A, &out, NULL), NX_OK);
    assert_string_equal(out.data, " a"); /* goes on with a text that has begun */
    nx_buf_free(&out);
    nx_vocab_close(v);
}

static void control_tokens_on_request(void **state)
{
    static maker  m;
    nx_vocab     *v = open_spm(&m);
    nx_buf        out = {.max = 64};
    const int32_t ids[] = {1, MARK_A, 2, 0};
    nx_decoder    d = {.keep_control = true};

    (void)state;
    assert_int_equal(nx_vocab_decode(v, &out, ids, 4, true, NULL), NX_OK);
    assert_string_equal(out.data, "<s>a</s><unk>");
    nx_buf_clear(&out);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(nx_decoder_push(&d, v, ids[i], &out, NULL), NX_OK);
    }
    assert_string_equal(out.data, "<s>a</s><unk>");
    nx_buf_free(&out);
    nx_vocab_close(v);
}

static void failures_change_nothing(void **state)
{
    static maker m;
    nx_vocab    *v = open_spm(&m);
    nx_buf       out = {.max = 2};
    nx_decoder   d = {.started = true};
    nx_error     err = {0};

    (void)state;
    assert_int_equal(nx_decoder_push(&d, v, 264, &out, &err), NX_EINVAL);
    assert_string_equal(err.text, "token id 264, the vocabulary has 0 to 262");
    assert_int_equal(nx_decoder_push(&d, v, -1, &out, &err), NX_EINVAL);
    assert_int_equal(nx_decoder_push(&d, v, A, &out, &err), NX_OK);
    assert_int_equal(nx_decoder_push(&d, v, 3 + 0xC3, &out, &err), NX_OK);
    assert_int_equal(d.n_held, 1);
    assert_int_equal(nx_decoder_push(&d, v, 3 + 0xA9, &out, &err), NX_ELIMIT);
    assert_int_equal(d.n_held, 1);
    assert_string_equal(out.data, "a");
    assert_int_equal(nx_decoder_finish(&d, &out, &err), NX_ELIMIT);
    assert_string_equal(out.data, "a");
    assert_int_equal(nx_vocab_decode(v, &out, (const int32_t[]){A, MARK_A}, 2, false, &err),
                     NX_ELIMIT);
    assert_string_equal(out.data, "a");
    assert_int_equal(nx_vocab_decode(v, &out, (const int32_t[]){A, 999}, 2, false, &err),
                     NX_EINVAL);
    assert_string_equal(out.data, "a");
    nx_buf_free(&out);
    nx_vocab_close(v);
}

/* Any bytes, cut anywhere into tokens, streamed: as if all had been cleaned at once. */
static void random_streams(void **state)
{
    static maker               m;
    uint32_t                   seed = 3;
    static const unsigned char bytes[] = {'a',  0xC3, 0xA9, 0xE2, 0x82, 0xAC,
                                          0xF0, 0x9F, 0xA6, 0x99, 0xFF};

    (void)state;
    maker_bpe(&m, "gpt-2");
    for (int i = 0; i < 200; i++) {
        maker_merge(&m, i < 20 ? bytes[i % 11] : (int32_t)(maker_random(&seed) % (uint32_t)m.src.n),
                    bytes[maker_random(&seed) % 11]);
        if (m.texts[m.src.n - 1].len > 20) m.src.n--, m.src.n_merges--;
    }
    m.src.n_types = m.src.n_scores = m.src.n;
    nx_vocab *v = maker_open(&m);
    for (int round = 0; round < 500; round++) {
        int32_t ids[64];
        nx_buf  raw = {.max = 1 << 12}, clean = {.max = 1 << 14};
        for (int i = 0; i < 64; i++) {
            ids[i] = maker_random(&seed) % 2 ? bytes[maker_random(&seed) % 11]
                                             : (int32_t)(maker_random(&seed) % (uint32_t)m.src.n);
        }
        assert_int_equal(nx_vocab_decode(v, &raw, ids, 64, false, NULL), NX_OK);
        for (size_t i = 0, n; i < raw.len; i += n) {
            bool bad = nx_utf8_decode(raw.data + i, raw.len - i, &n) == NX_UTF8_BAD;
            if (bad) n = nx_utf8_bad_length(raw.data + i, raw.len - i);
            nx_buf_add(&clean, bad ? FFFD : raw.data + i, bad ? 3 : n, NULL);
        }
        expect_stream(v, ids, 64, clean.data);
        nx_buf_free(&raw);
        nx_buf_free(&clean);
    }
    nx_vocab_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_whole),
        cmocka_unit_test(sentencepieces_first_space),
        cmocka_unit_test(control_tokens_on_request),
        cmocka_unit_test(failures_change_nothing),
        cmocka_unit_test(random_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
