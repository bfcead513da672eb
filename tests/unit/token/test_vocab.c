/* Protects: every number of a vocabulary is checked, each refusal names its key, and the defaults
 * are those that files count on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "base/alloc.h"
#include "base/log.h"
#include "maker_gguf.h"

static void refuses(const maker *m, nx_status want, const char *message)
{
    nx_vocab *v = (nx_vocab *)(uintptr_t)m;
    nx_error  err = {0};

    assert_int_equal(nx_vocab_create(&v, &m->src, &err), want);
    assert_null(v);
    assert_string_equal(err.text, message);
}

#define K "vocabulary: tokenizer.ggml."

static void lengths_must_agree(void **state)
{
    static maker m;

    (void)state;
    maker_spm(&m);
    m.src.n_types--;
    refuses(&m, NX_EFORMAT, K "token_type: 258 entries for 259 tokens");
    m.src.n_types++;
    m.src.n_scores = 1;
    refuses(&m, NX_EFORMAT, K "scores: 1 entries for 259 tokens");
    m.src.scores = NULL;
    refuses(&m, NX_EFORMAT, K "scores: 1 entries for 259 tokens");
    m.src.n = 0;
    refuses(&m, NX_EFORMAT, K "tokens: 0 entries, expected 1 to 16777216");
    m.src.n = INT64_MAX;
    refuses(&m, NX_EFORMAT, K "tokens: 9223372036854775807 entries, expected 1 to 16777216");
}

static void values_are_checked(void **state)
{
    static maker m;
    static char  long_text[600];

    (void)state;
    maker_spm(&m);
    m.types[7] = 7;
    refuses(&m, NX_EFORMAT, K "token_type: element 7: 7, expected 1 to 6");
    m.types[7] = -1;
    refuses(&m, NX_EFORMAT, K "token_type: element 7: -1, expected 1 to 6");
    m.types[7] = NX_TOKEN_BYTE;
    m.texts[7] = NX_STR("<0x4g>");
    refuses(&m, NX_EFORMAT, K "tokens: element 7: of type byte, expected a text <0x00> to <0xFF>");
    m.types[7] = NX_TOKEN_NORMAL;
    m.scores[9] = NAN;
    refuses(&m, NX_EFORMAT, K "scores: element 9: not a number");
    m.scores[9] = -INFINITY;
    memset(long_text, 'x', sizeof long_text);
    m.types[7] = NX_TOKEN_CONTROL;
    m.texts[7] = (nx_str){long_text, sizeof long_text};
    refuses(&m, NX_EFORMAT, K "tokens: element 7: special token of 600 bytes, at most 512");
    m.types[7] = NX_TOKEN_NORMAL;
    m.src.special.eot = 259;
    refuses(&m, NX_EFORMAT, K "eot_token_id: 259, expected 0 to 258");
    m.src.special.eot = -2;
    refuses(&m, NX_EFORMAT, K "eot_token_id: -2, expected 0 to 258");
}

static void merges_are_checked(void **state)
{
    static maker             m;
    static const char *const malformed[] = {"", "a", "ab", " a", "a ", "  ", "ab "};

    (void)state;
    maker_bpe(&m, "gpt-2");
    m.src.n_merges = 1;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        m.merges[0] = nx_str_of(malformed[i]);
        refuses(&m, NX_EFORMAT,
                K "merges: element 0: expected two texts with a space between them");
    }
}

/* Files with merges whose tokens are missing exist; what can be used is. */
static void merges_of_missing_tokens_are_left_out(void **state)
{
    static maker m;
    nx_ids       ids = {0};

    (void)state;
    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    maker_bpe(&m, "gpt-2");
    int32_t ab = maker_merge(&m, 'a', 'b');
    m.merges[m.src.n_merges++] = NX_STR("b c");
    nx_vocab *v = maker_open(&m);
    assert_int_equal(nx_vocab_encode(v, &ids, "abc", 3, 0, NULL), NX_OK);
    assert_int_equal(ids.n, 2);
    assert_int_equal(ids.ids[0], ab);
    nx_ids_free(&ids);
    nx_vocab_close(v);
}

static void kinds_by_name(void **state)
{
    static maker m;

    (void)state;
    maker_spm(&m);
    m.src.model = NX_STR("rwkv");
    refuses(&m, NX_EUNSUPPORTED,
            K "model: \"rwkv\", we have: llama (SentencePiece), gpt2 (BPE), bert (WordPiece), t5 "
              "(Unigram)");
    maker_bpe(&m, "klingon");
    nx_vocab *none = NULL;
    nx_error  err = {0};
    assert_int_equal(nx_vocab_create(&none, &m.src, &err), NX_EUNSUPPORTED);
    const char *begins = K "pre: pre-tokenizer \"klingon\", we have: default gpt-2 ";
    assert_memory_equal(err.text, begins, strlen(begins));
    maker_bpe(&m, "");
    nx_vocab *v = maker_open(&m);
    assert_string_equal(nx_vocab_kind(v), "gpt2 (default)");
    nx_vocab_close(v);
}

/* Empty, doubled and unused texts, all of one type: odd, but no reason to fail or to crash. */
static void odd_vocabularies_work(void **state)
{
    static maker m;
    nx_buf       out = {.max = 1 << 16};

    (void)state;
    for (int type = 1; type <= 6; type++) {
        maker_bpe(&m, "llama-bpe");
        maker_say(&m, "", type == 6 ? NX_TOKEN_NORMAL : (nx_token_type)type, 0);
        maker_say(&m, "a", type == 6 ? NX_TOKEN_NORMAL : (nx_token_type)type, 0);
        maker_say(&m, "a", type == 6 ? NX_TOKEN_NORMAL : (nx_token_type)type, 0);
        nx_vocab *v = maker_open(&m);
        nx_ids    ids = {0};
        nx_buf_clear(&out);
        assert_int_equal(nx_vocab_encode(v, &ids, "a bab", 5, 0, NULL), NX_OK);
        assert_int_equal(nx_vocab_decode(v, &out, ids.ids, ids.n, false, NULL), NX_OK);
        assert_string_equal(out.data, "a bab");
        nx_ids_free(&ids);
        nx_vocab_close(v);
    }
    nx_buf_free(&out);
}

static void questions(void **state)
{
    static maker m;

    (void)state;
    maker_spm(&m);
    maker_say(&m, "<|end|>", NX_TOKEN_CONTROL, 0);
    maker_say(&m, "<|im_end|>", NX_TOKEN_NORMAL, 0); /* spelled so, but text */
    m.src.special.pad = 5;
    nx_vocab               *v = maker_open(&m);
    const nx_vocab_special *s = nx_vocab_special_ids(v);
    assert_int_equal(nx_vocab_size(v), 261);
    assert_string_equal(nx_vocab_kind(v), "llama (SentencePiece)");
    assert_int_equal(s->unk, 0);
    assert_int_equal(s->bos, 1);
    assert_int_equal(s->eos, 2);
    assert_int_equal(s->eot, 259);
    assert_int_equal(s->pad, 5);
    assert_int_equal(s->sep, -1);
    assert_true(s->add_bos);
    assert_false(s->add_eos);
    assert_true(nx_vocab_ends_answer(v, 2) && nx_vocab_ends_answer(v, 259));
    assert_false(nx_vocab_ends_answer(v, 260) || nx_vocab_ends_answer(v, 1));
    assert_false(nx_vocab_ends_answer(v, -1) || nx_vocab_ends_answer(v, 261));
    assert_int_equal(nx_vocab_type(v, 3), NX_TOKEN_BYTE);
    assert_int_equal(nx_vocab_type(v, 999), NX_TOKEN_UNKNOWN);
    assert_int_equal(nx_vocab_find(v, NX_STR("</s>")), 2);
    assert_int_equal(nx_vocab_find(v, NX_STR("nothing")), -1);
    assert_int_equal(nx_vocab_find(v, NX_STR("")), -1);
    assert_true(nx_str_eq(nx_vocab_text(v, 1), NX_STR("<s>")));
    assert_int_equal(nx_vocab_text(v, -5).len, 0);
    nx_vocab_close(v);
    nx_vocab_close(NULL);
}

static void bos_by_default(void **state)
{
    static maker m;
    static const struct {
        const char *pre;
        int         flag;
        bool        want;
    } cases[] = {{"gpt-2", -1, false},
                 {"gpt-2", 1, true},
                 {"llama-bpe", -1, true},
                 {"llama-bpe", 0, false},
                 {"default", -1, false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        maker_bpe(&m, cases[i].pre);
        m.src.add_bos = cases[i].flag;
        nx_vocab *v = maker_open(&m);
        assert_int_equal(nx_vocab_special_ids(v)->add_bos, cases[i].want);
        assert_int_equal(nx_vocab_special_ids(v)->bos, -1);
        nx_vocab_close(v);
    }
}

/* ---- From a file ------------------------------------------------------------------------------ */

static void a_file_says_the_same(void **state)
{
    static maker m;
    nx_ids       ids = {0};

    (void)state;
    maker_spm(&m);
    int32_t a = maker_say(&m,
                          "\xE2\x96\x81"
                          "a",
                          NX_TOKEN_NORMAL, -1);
    int32_t end = maker_say(&m, "<|end|>", NX_TOKEN_CONTROL, 0);
    m.src.special = (nx_vocab_special){.bos = 2, .eos = 1, .eot = 4, .unk = 0, .sep = 5, .pad = 6};
    m.src.add_bos = 0;
    m.src.add_eos = 1;
    nx_checkpoint *cp = maker_checkpoint(&m, "Tiny Phi-3 mini", NULL);
    nx_vocab      *v = NULL;
    nx_error       err = {0};
    if (nx_vocab_open(&v, cp, &err)) fail_msg("%s", err.text);
    const nx_vocab_special *s = nx_vocab_special_ids(v);
    assert_int_equal(s->bos, 2);
    assert_int_equal(s->eos, 1);
    assert_int_equal(s->eot, 4);
    assert_int_equal(s->sep, 5);
    assert_int_equal(s->pad, 6);
    assert_false(s->add_bos);
    assert_true(s->add_eos);
    assert_int_equal(nx_vocab_encode(v, &ids, "<|end|>\na", 9,
                                     NX_ENCODE_ADD_SPECIAL | NX_ENCODE_PARSE_SPECIAL, &err),
                     NX_OK);
    assert_int_equal(ids.n, 3); /* the line feed belongs to Phi-3's token */
    assert_int_equal(ids.ids[0], end);
    assert_int_equal(ids.ids[1], a);
    assert_int_equal(ids.ids[2], 1);
    nx_ids_free(&ids);
    nx_vocab_close(v);
    nx_checkpoint_close(cp);
}

static void files_are_refused(const maker *m, nx_status want, const char *key)
{
    nx_checkpoint *cp = maker_checkpoint(m, NULL, NULL);
    nx_vocab      *v = NULL;
    nx_error       err = {0};

    assert_int_equal(nx_vocab_open(&v, cp, &err), want);
    assert_null(v);
    if (!strstr(err.text, key)) fail_msg("%s: expected %s in it", err.text, key);
    nx_checkpoint_close(cp);
}

static void bad_files(void **state)
{
    static maker m;

    (void)state;
    maker_spm(&m);
    m.src.special.bos = 259;
    files_are_refused(&m, NX_EFORMAT, "tokenizer.ggml.bos_token_id");
    maker_spm(&m);
    m.src.n_types = 3;
    files_are_refused(&m, NX_EFORMAT, "tokenizer.ggml.token_type");
    maker_spm(&m);
    m.src.scores = NULL;
    files_are_refused(&m, NX_EFORMAT, "tokenizer.ggml.scores");
    maker_bpe(&m, "gpt-2");
    m.src.merges = NULL;
    files_are_refused(&m, NX_EFORMAT, "tokenizer.ggml.merges");
    maker_spm(&m);
    m.src.model = NX_STR("rwkv");
    files_are_refused(&m, NX_EUNSUPPORTED, "\"rwkv\"");
    maker_spm(&m);
    m.src.model = NX_STR("t5");
    m.src.n_types = 3;
    files_are_refused(&m, NX_EFORMAT, "tokenizer.ggml.tokens");
    maker_spm(&m);
    m.src.n = 0;
    m.src.n_types = m.src.n_scores = 0;
    files_are_refused(&m, NX_EFORMAT, "tokenizer.ggml.tokens");
}

static void every_allocation_may_fail(void **state)
{
    static maker m;
    nx_status    st = NX_ENOMEM;

    (void)state;
    maker_bpe(&m, "llama-bpe");
    maker_merge(&m, 'a', 'b');
    maker_say(&m, "<|end|>", NX_TOKEN_CONTROL, 0);
    nx_checkpoint *cp = maker_checkpoint(&m, NULL, NULL);
    for (int n = 0; st; n++) {
        nx_vocab *v = NULL;
        nx_error  err = {0};
        assert_true(n < 200);
        nx_alloc_fail_after(n);
        st = nx_vocab_open(&v, cp, &err);
        nx_alloc_fail_after(-1);
        if (st) assert_int_equal(st, NX_ENOMEM);
        assert_true((st == NX_OK) == (v != NULL));
        nx_vocab_close(v);
    }
    nx_checkpoint_close(cp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_must_agree),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(merges_are_checked),
        cmocka_unit_test(merges_of_missing_tokens_are_left_out),
        cmocka_unit_test(kinds_by_name),
        cmocka_unit_test(odd_vocabularies_work),
        cmocka_unit_test(questions),
        cmocka_unit_test(bos_by_default),
        cmocka_unit_test(a_file_says_the_same),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
