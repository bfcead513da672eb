/* Protects models from other files than GGUF: SentencePiece's and tiktoken's forms are read strictly,
 * every allocation may fail, and what they say is what texts become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "token/sp.h"
#include "token/tiktoken.h"

static const nx_sp_options plain = {.special = {-1, -1, -1, -1, -1, -1, false, false}};

/* ---- A model, written by hand ----------------------------------------------------------------- */

typedef struct model {
    char   bytes[4096];
    size_t len;
} model;

static void piece(model *m, const char *text, float score, int type)
{
    size_t n = strlen(text);
    char  *p = m->bytes + m->len;

    assert_true(n < 100);
    *p++ = 0x0A;
    *p++ = (char)(2 + n + 5 + 2);
    *p++ = 0x0A;
    *p++ = (char)n;
    memcpy(p, text, n);
    p += n;
    *p++ = 0x15;
    memcpy(p, &score, 4);
    p += 4;
    *p++ = 0x18;
    *p++ = (char)type;
    m->len = (size_t)(p - m->bytes);
}

static void field(model *m, const char *bytes, size_t len)
{
    memcpy(m->bytes + m->len, bytes, len);
    m->len += len;
}

/* ids: 0 unk, 1 <s>, 2 </s>, 3 the mark, 4 a, 5 b, 6 ab, 7 mark ab, 8 <x> (user-defined) */
static void start(model *m, bool bpe)
{
    m->len = 0;
    piece(m, "<unk>", 0, 2);
    piece(m, "<s>", 0, 3);
    piece(m, "</s>", 0, 3);
    piece(m, "\xE2\x96\x81", -3, 1);
    piece(m, "a", -4, 1);
    piece(m, "b", -5, 1);
    piece(m, "ab", -2, 1);
    piece(m,
          "\xE2\x96\x81"
          "ab",
          -1, 1);
    piece(m, "<x>", 0, 4);
    field(m, bpe ? "\x12\x02\x18\x02" : "\x12\x02\x18\x01", 4);
}

static nx_status open_model(nx_vocab **v, const model *m, const nx_sp_options *o, nx_error *err)
{
    nx_spmodel sm;
    nx_status  st = nx_spmodel_read(&sm, "m", (nx_str){m->bytes, m->len}, err);

    *v = NULL;
    return st ? st : nx_sp_create(v, &sm, o, err);
}

static void becomes(const nx_vocab *v, const char *text, const char *want, const char *back)
{
    nx_ids ids = {0};
    nx_buf out = {.max = 1 << 16};
    char   got[256] = "";

    assert_int_equal(nx_vocab_encode(v, &ids, text, strlen(text), 0, NULL), NX_OK);
    for (size_t i = 0; i < ids.n; i++) {
        snprintf(got + strlen(got), sizeof got - strlen(got), "%d ", ids.ids[i]);
    }
    assert_string_equal(got, want);
    assert_int_equal(nx_vocab_decode(v, &out, ids.ids, ids.n, false, NULL), NX_OK);
    assert_string_equal(out.data ? out.data : "", back);
    nx_buf_free(&out);
    nx_ids_free(&ids);
}

static void texts(void **state)
{
    nx_vocab *v;
    model     m;

    (void)state;
    for (int bpe = 0; bpe < 2; bpe++) {
        start(&m, bpe);
        assert_int_equal(open_model(&v, &m, &plain, NULL), NX_OK);
        assert_string_equal(nx_vocab_kind(v),
                            bpe ? "SentencePiece (BPE)" : "SentencePiece (Unigram)");
        becomes(v, "ab", "7 ", "ab");
        becomes(v, "  ab   ab ", "7 7 ", "ab ab");
        becomes(v, "ab<x>ab", "7 8 6 ", "ab<x>ab");
        becomes(v, "", "", "");
        becomes(v, " ", "", "");
        becomes(v, "zz", "3 0 ", " \xE2\x81\x87 ");
        assert_int_equal(nx_vocab_special_ids(v)->bos, 1);
        assert_int_equal(nx_vocab_special_ids(v)->eos, 2);
        assert_int_equal(nx_vocab_special_ids(v)->pad, -1);
        nx_vocab_close(v);
    }
}

static void refuses(const model *m, nx_status want, const char *says)
{
    nx_vocab *v;
    nx_error  err = {0};

    assert_int_equal(open_model(&v, m, &plain, &err), want);
    assert_null(v);
    if (!strstr(err.text, says)) fail_msg("%s: expected %s in it", err.text, says);
}

static void bad_models(void **state)
{
    model m;

    (void)state;
    m.len = 0;
    refuses(&m, NX_EFORMAT, "no pieces");
    start(&m, true);
    m.len -= 1; /* in the trainer's message */
    refuses(&m, NX_EFORMAT, "beyond the end");
    start(&m, true);
    piece(&m, "", 0, 1);
    refuses(&m, NX_EFORMAT, "empty");
    start(&m, true);
    piece(&m, "c", 0, 7);
    refuses(&m, NX_EFORMAT, "type");
    m.len = 0;
    piece(&m, "c", 0, 1);
    refuses(&m, NX_EFORMAT, "unknown");
    start(&m, true);
    field(&m, "\x12\x03\x98\x02\x01", 5); /* byte fallback without byte pieces */
    refuses(&m, NX_EFORMAT, "byte fallback");
    start(&m, true);
    field(&m, "\x1A\x04\x12\x02xx", 6); /* a character map of two bytes */
    refuses(&m, NX_EFORMAT, "character map");
    start(&m, true);
    field(&m, "\x0B", 1);
    refuses(&m, NX_EFORMAT, "wire type");
}

static void sweep(nx_status (*make)(nx_vocab **, nx_error *))
{
    nx_status st = NX_ENOMEM;

    for (int64_t n = 0; st; n++) {
        nx_vocab *v = NULL;
        nx_ids    ids = {0};
        nx_error  err = {0};
        assert_true(n < 5000);
        nx_alloc_fail_after(n);
        st = make(&v, &err);
        if (!st) st = nx_vocab_encode(v, &ids, "ab<x> zab", 9, 3, &err);
        nx_alloc_fail_after(-1);
        nx_ids_free(&ids);
        nx_vocab_close(v);
        if (st) assert_int_equal(st, NX_ENOMEM);
    }
}

static nx_status make_bpe(nx_vocab **v, nx_error *err)
{
    static model m;

    start(&m, true);
    return open_model(v, &m, &plain, err);
}

static nx_status make_unigram(nx_vocab **v, nx_error *err)
{
    static model m;

    start(&m, false);
    return open_model(v, &m, &plain, err);
}

static nx_status make_ranks(nx_vocab **v, nx_error *err)
{
    return nx_tiktoken_create(v, NULL, "ranks",
                              NX_STR("YQ== 0\nYg== 1\nYWI= 2\nPA== 3\neA== 4\nPg== 5\nIA== 6\neg== "
                                     "7\n"),
                              "llama-bpe", err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    sweep(make_bpe);
    sweep(make_unigram);
    sweep(make_ranks);
}

/* ---- tiktoken --------------------------------------------------------------------------------- */

static void ranks_are_checked(void **state)
{
    static const char *const bad[] = {"YQ== 0\nYg==\n",          "YQ== 0\nYg== x\n",
                                      "YQ== 0\n!!!! 1\n",        "YQ== 0\nYg== 0\n",
                                      "YQ== 0\nYg== 99999999\n", "YQ== 0\n 1\n"};
    nx_vocab                *v;
    nx_error                 err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(nx_tiktoken_is(nx_str_of(bad[i])));
        assert_int_equal(nx_tiktoken_create(&v, NULL, "r", nx_str_of(bad[i]), "llama-bpe", &err),
                         NX_EFORMAT);
        assert_null(v);
        if (!strstr(err.text, "line 2")) fail_msg("%s", err.text);
    }
    assert_false(nx_tiktoken_is(NX_STR("\n\x0E\n\x05<unk>")));
    assert_false(nx_tiktoken_is((nx_str){0}));
    assert_int_equal(make_ranks(&v, &err), NX_OK);
    becomes(v, "ab", "2 ", "ab");
    becomes(v, "aab", "0 2 ", "aab");
    assert_int_equal(nx_vocab_size(v), 8 + 256);
    assert_int_equal(nx_vocab_find(v, NX_STR("<|eot_id|>")), 8 + 9);
    nx_vocab_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(bad_models),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(ranks_are_checked),
    };
    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
