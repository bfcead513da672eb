/* Protects tokenizer.json: each stage does what it says, each damage is refused with file and line,
 * patterns are translated, and no allocation that fails leaves anything behind. What the tokenizers
 * library says of thousands of texts: tests/parity/test_tokenizer_json.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "token/tj.h"

static nx_vocab *open_json(const char *json)
{
    nx_vocab *v;
    nx_error  err;

    if (nx_tj_create(&v, NULL, nx_str_of(json), &err)) fail_msg("%s", err.text);
    return v;
}

static void refuses(const char *json, nx_status want, const char *message)
{
    nx_vocab *v;
    nx_error  err;

    assert_int_equal(nx_tj_create(&v, NULL, nx_str_of(json), &err), want);
    assert_null(v);
    assert_string_equal(err.text, message);
}

/* The ids of text as "1 2 3". */
static const char *ids_of(const nx_vocab *v, const char *text, unsigned flags)
{
    static char out[512];
    nx_ids      ids = {0};
    nx_error    err;
    size_t      at = 0;

    if (nx_vocab_encode(v, &ids, text, strlen(text), flags, &err)) fail_msg("%s", err.text);
    out[0] = '\0';
    for (size_t i = 0; i < ids.n; i++) {
        at += (size_t)snprintf(out + at, sizeof out - at, i ? " %d" : "%d", (int)ids.ids[i]);
    }
    nx_ids_free(&ids);
    return out;
}

#define BOTH (NX_ENCODE_ADD_SPECIAL | NX_ENCODE_PARSE_SPECIAL)

/* Decoded at once, and streamed: both must say it. */
static void says(const nx_vocab *v, const char *text, bool control, const int32_t *ids, size_t n)
{
    nx_buf     out = {.max = 4096}, streamed = {.max = 4096};
    nx_decoder d = {.keep_control = control};

    assert_int_equal(nx_vocab_decode(v, &out, ids, n, control, NULL), NX_OK);
    assert_string_equal(out.data ? out.data : "", text);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(nx_decoder_push(&d, v, ids[i], &streamed, NULL), NX_OK);
    }
    assert_int_equal(nx_decoder_finish(&d, &streamed, NULL), NX_OK);
    assert_string_equal(streamed.data ? streamed.data : "", text);
    nx_decoder_free(&d);
    nx_buf_free(&out);
    nx_buf_free(&streamed);
}

#define SAYS(v, text, control, ...)                                                                \
    says(v, text, control, (const int32_t[]){__VA_ARGS__},                                         \
         sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static const char llama[] =
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"▁\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]},"
    "\"pre_tokenizer\":null,"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
    "\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
    "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
    "\"▁\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\","
    "\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false},"
    "{\"id\":1,\"content\":\"<s>\",\"special\":true,\"normalized\":false},"
    "{\"id\":9,\"content\":\"<end>\",\"special\":true,\"normalized\":false,\"lstrip\":true,"
    "\"rstrip\":true},"
    "{\"id\":10,\"content\":\"one\",\"special\":false,\"normalized\":false,\"single_word\":true}],"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,"
    "\"vocab\":{\"<unk>\":0,\"<s>\":1,\"<0xC3>\":2,\"<0xA9>\":3,\"▁\":4,\"a\":5,\"b\":6,\"ab\":7,"
    "\"▁ab\":8},\"merges\":[\"a b\",[\"▁\",\"ab\"]]}}";

static void a_pipeline(void **state)
{
    (void)state;
    nx_vocab *v = open_json(llama);

    assert_int_equal(nx_vocab_size(v), 11);
    assert_string_equal(nx_vocab_kind(v), "tokenizer.json (BPE)");
    assert_string_equal(ids_of(v, "ab ab", BOTH), "1 8 8");
    assert_string_equal(ids_of(v, "ab ab", 0), "8 8");
    assert_string_equal(ids_of(v, "\xC3\xA9", 0), "4 2 3");
    assert_string_equal(ids_of(v, "xyz\xC3\xA9", 0), "4 2 3 0"); /* bytes overtake what waits */
    assert_string_equal(ids_of(v, "", BOTH), "1");
    assert_int_equal(nx_vocab_type(v, 9), NX_TOKEN_CONTROL);
    assert_int_equal(nx_vocab_type(v, 10), NX_TOKEN_USER_DEFINED);
    assert_int_equal(nx_vocab_type(v, 0), NX_TOKEN_UNKNOWN);
    assert_int_equal(nx_vocab_type(v, 2), NX_TOKEN_BYTE);
    assert_int_equal(nx_vocab_find(v, NX_STR("<end>")), 9);
    SAYS(v, "ab ab", false, 1, 8, 8);
    SAYS(v, "<s> ab", true, 1, 8);
    SAYS(v,
         "\xC3\xA9"
         "a",
         false, 2, 3, 5);
    SAYS(v,
         "\xEF\xBF\xBD\xEF\xBF\xBD"
         "a",
         false, 2, 2, 5);
    SAYS(v, "a", false, 5, 1 << 20); /* rows beyond the vocabulary say nothing */
    nx_vocab_close(v);
}

static void added_tokens(void **state)
{
    (void)state;
    nx_vocab *v = open_json(llama);

    assert_string_equal(ids_of(v, "ab \n<end>  ab", NX_ENCODE_PARSE_SPECIAL), "8 9 8");
    assert_string_equal(ids_of(v, "one", 0), "10");
    assert_string_equal(ids_of(v, "a one,", NX_ENCODE_PARSE_SPECIAL), "4 5 4 10 4 0");
    assert_string_equal(ids_of(v, "bone", 0), "4 6 0");
    /* Unasked for, a special token is text. */
    assert_string_equal(ids_of(v, "<s>", 0), "4 0");
    assert_string_equal(ids_of(v, "<s>", NX_ENCODE_PARSE_SPECIAL), "1");
    nx_vocab_close(v);
}

static void spans_say_where_control_is(void **state)
{
    (void)state;
    nx_vocab     *v = open_json(llama);
    const nx_span spans[] = {{.end = 3, .control = true}, {.end = 6}, {.end = 9, .control = true}};
    nx_ids        ids = {0};

    assert_int_equal(nx_encode_spans(v, &ids, "<s><s><s>", spans, 3, NULL), NX_OK);
    assert_int_equal(ids.n, 4);
    assert_int_equal(ids.ids[0], 1);
    assert_int_equal(ids.ids[1], 4);
    assert_int_equal(ids.ids[3], 1);
    nx_ids_free(&ids);
    nx_vocab_close(v);
}

static void bytes_that_are_no_text(void **state)
{
    (void)state;
    nx_vocab *v = open_json(llama);

    assert_string_equal(ids_of(v,
                               "ab\xC3"
                               "ab",
                               0),
                        "8 2 8"); /* each stretch is a text */
    nx_vocab_close(v);
}

#define MODEL "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}"

static void damage_is_refused(void **state)
{
    (void)state;
#define T "tokenizer.json: tokenizer: "
    refuses("", NX_EFORMAT,
            T "tokenizer.json: line 1, column 1: the text ends where a value is expected");
    refuses("[]", NX_EFORMAT, T "line 1: expected an object");
    refuses("{}", NX_EFORMAT, T "model: expected an object");
    refuses("{\n\"normalizer\":{\"type\":\"NFX\"}}", NX_EUNSUPPORTED,
            T "line 2: normalizer of type \"NFX\": we don't have that");
    refuses("{\"pre_tokenizer\":{\"type\":\"Sequence\"}}", NX_EFORMAT,
            T "line 1: Sequence: expected an array pretokenizers");
    refuses("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", NX_EFORMAT,
            T "line 1: merges: element 0 names a token that the vocabulary lacks");
    refuses("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}}", NX_EFORMAT,
            T "line 1: merges: element 0: expected \"left right\" or [left, right]");
    refuses("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", NX_EFORMAT,
            T "line 1: vocab: expected an id from 0 to 16777215");
    refuses("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":9999999},\"merges\":[]}}", NX_EFORMAT,
            T "line 1: vocab: ids up to 9999999 for 1 tokens");
    refuses("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", NX_EFORMAT,
            T "line 1: vocab: expected [\"text\", score]");
    refuses("{\"decoder\":{\"type\":\"Strip\",\"content\":\"xy\",\"start\":0,\"stop\":0}," MODEL
            "}",
            NX_EFORMAT, T "line 1: content: expected one character");
    refuses("{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":\n"
            "{\"Regex\":\"a(b\"}}," MODEL "}",
            NX_EFORMAT, T "line 2: pattern, byte 3: ( without )");
    refuses("{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Between\",\"pattern\":"
            "{\"String\":\"a\"}}," MODEL "}",
            NX_EFORMAT,
            T "line 1: behavior: expected Removed, Isolated, MergedWithPrevious, "
              "MergedWithNext or Contiguous");
    refuses(
        "{\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"a\",7],\"cls\":[\"a\",0]}," MODEL
        "}",
        NX_EFORMAT, T "post_processor: id 7, the vocabulary has 0 to 0");
    refuses("{\"added_tokens\":[{}]," MODEL "}", NX_EFORMAT,
            T "line 1: added token: expected an object with content");
    refuses("{\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"a\"}}", NX_EFORMAT,
            T "a vocabulary without tokens");
}

#define PAIR_MODEL                                                                                 \
    "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"c\":0,\"s\":1},\"unk_token\":\"c\"}}"
#define PAIR_HEAD                                                                                  \
    "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":"              \
    "{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"c\":{\"ids\":[0]},\"s\":{"               \
    "\"ids\":[1]}},\"pair\":["
#define PAIR_S(id, type) "{\"SpecialToken\":{\"id\":\"" id "\",\"type_id\":" type "}},"
#define PAIR_T(id, type) "{\"Sequence\":{\"id\":\"" id "\",\"type_id\":" type "}}"

/* "c A s s B s", with B in capitals where it is another segment; "none" where pairs aren't known. */
static void pairs_as(const char *json, const char *want)
{
    nx_vocab            *v = open_json(json);
    const nx_vocab_pair *p = nx_vocab_pairs(v);
    char                 got[64] = "";
    size_t               at = 0;

    if (p) {
        const nx_ids *lists[] = {&p->before, &p->between, &p->after};
        for (int k = 0; k < 3; k++) {
            for (size_t i = 0; i < lists[k]->n; i++)
                at += (size_t)snprintf(got + at, sizeof got - at, "%c", "cs"[lists[k]->ids[i]]);
            if (k < 2)
                at += (size_t)snprintf(got + at, sizeof got - at, k ? "%s" : "a",
                                       p->segments ? "B" : "b");
        }
    }
    assert_string_equal(p ? got : "none", want);
    nx_vocab_close(v);
}

static void pairs(void **state)
{
    (void)state;
    pairs_as("{" PAIR_MODEL, "none");
    pairs_as(
        "{\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"s\",1],\"cls\":[\"c\",0]}," PAIR_MODEL,
        "casBs");
    pairs_as(
        "{\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":"
        "\"RobertaProcessing\",\"sep\":[\"s\",1],\"cls\":[\"c\",0]}]}," PAIR_MODEL,
        "cassbs");
    pairs_as(PAIR_HEAD PAIR_S("c", "0") PAIR_T("A", "0") "," PAIR_S("s", "0")
                 PAIR_T("B", "1") "," PAIR_S("s", "1") "{}]}," PAIR_MODEL,
             "none");
    pairs_as(PAIR_HEAD PAIR_S("c", "0") PAIR_T("A", "0") "," PAIR_S("s", "0") PAIR_S("s", "1")
                 PAIR_T("B", "1") "]}," PAIR_MODEL,
             "none"); /* a segment that begins before its text */
    pairs_as(PAIR_HEAD PAIR_S("c", "0") PAIR_T("A", "0") "," PAIR_S("s", "0")
                 PAIR_T("B", "1") "]}," PAIR_MODEL,
             "casB");
    pairs_as(PAIR_HEAD PAIR_T("A", "0") "," PAIR_T("B", "0") "]}," PAIR_MODEL, "ab");
    pairs_as(PAIR_HEAD PAIR_T("B", "0") "," PAIR_T("A", "0") "]}," PAIR_MODEL, "none");
    pairs_as(PAIR_HEAD PAIR_T("A", "0") "," PAIR_S("x", "0") PAIR_T("B", "0") "]}," PAIR_MODEL,
             "none");
    pairs_as(PAIR_HEAD "]}," PAIR_MODEL, "none");
}

static void translates(const char *onig, const char *pcre2)
{
    nx_buf   out = {.max = 1 << 16};
    nx_error err;

    if (nx_tj_translate(&out, nx_str_of(onig), &err)) fail_msg("%s", err.text);
    assert_string_equal(out.data ? out.data : "", pcre2);
    nx_buf_free(&out);
}

static void cannot_translate(const char *onig, const char *message)
{
    nx_buf   out = {.max = 1 << 16};
    nx_error err;

    assert_true(nx_tj_translate(&out, nx_str_of(onig), &err) != NX_OK);
    assert_string_equal(err.text, message);
    nx_buf_free(&out);
}

static void patterns(void **state)
{
    (void)state;
    translates("a|b*?c++", "a|b*?c++");
    translates("a{2,3}+", "(?:a{2,3})+");
    translates("a{,3}", "a{0,3}");
    translates("(ab){2}?", "(?:(ab){2,2})?");
    translates("(?m:.)(?i:x)", "(?s:.)(?i:x)");
    translates("[\\h-]", "[0-9A-Fa-f\\x{2d}]");
    translates("[^\\S\\n]", "(?:(?![^\\t-\\r\\x{20}\\x{85}\\p{Z}])[^\\x{a}])");
    translates("[a-z&&[^aeiou]]", "(?:(?=[a-z])(?:[^aeiou]))");
    translates("\\u0041\\x{1F300}\\v", "A\\x{1f300}\\x{b}");
    translates("{x", "\\x{7b}x");
    translates("[]a]", "[\\x{5d}a]");
    cannot_translate("\\y", "pattern, byte 2: this escape: we don't have that");
    cannot_translate("\\p{Klingon}", "pattern, byte 10: this property: we don't have that");
    cannot_translate("*", "pattern, byte 0: a quantifier of nothing");
    cannot_translate("[a", "pattern, byte 2: [ without ]");
    cannot_translate("[b-a]", "pattern, byte 4: an empty range");
    cannot_translate("a)", "pattern, byte 1: ) without (");
}

static void a_pattern_without_end_is_stopped(void **state)
{
    (void)state;
    nx_vocab *v =
        open_json("{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\","
                  "\"invert\":false,\"pattern\":{\"Regex\":\"(a|aa|a.)+[xy]\"}}," MODEL "}");
    char     text[200];
    nx_ids   ids = {0};
    nx_error err;

    memset(text, 'a', sizeof text);
    assert_int_equal(nx_vocab_encode(v, &ids, text, sizeof text, 0, &err), NX_ELIMIT);
    assert_int_equal(ids.n, 0);
    nx_ids_free(&ids);
    nx_vocab_close(v);
}

/* A megabyte of one character costs what a megabyte of words costs, whatever the model. */
static void long_runs_are_linear(void **state)
{
    static const char *const runs[] = {"a", " ", "\n", "\xF0\x9F\x91\x8D", "e\xCC\x81", "ab", "<"};
    static const char *const files[] = {
        llama,
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},\"model\":{\"type\":"
        "\"BPE\",\"vocab\":{\"a\":0,\"aa\":1,\"Ġ\":2,\"ĠĠ\":3,\"Ċ\":4},\"merges\":[\"a a\",\"Ġ "
        "Ġ\"]}}",
        "{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Metaspace\"},\"model\":{"
        "\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"u\",0],[\"a\",-1],[\"aa\",-1.5],[\"▁\","
        "-2]]}}",
        "{\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"model\":{\"type\":\"WordPiece\","
        "\"vocab\":{\"[UNK]\":0,\"a\":1,\"##a\":2},\"max_input_chars_per_word\":2000000}}",
    };
    size_t bytes = 1 << 20;
    char  *text = malloc(bytes);

    (void)state;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        nx_vocab *v = open_json(files[f]);
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            nx_ids   ids = {0};
            nx_error err;
            size_t   one = strlen(runs[r]);
            for (size_t i = 0; i < bytes; i++) text[i] = runs[r][i % one];
            int64_t start = nx_clock_ns();
            if (nx_vocab_encode(v, &ids, text, bytes - bytes % one, 0, &err))
                fail_msg("%s", err.text);
            assert_true(nx_clock_ns() - start < (int64_t)30e9);
            nx_ids_free(&ids);
        }
        nx_vocab_close(v);
    }
    free(text);
}

static void numbers_as_the_judge_reads_them(void **state)
{
    (void)state;
    nx_json_doc d;
    double      x;

    assert_int_equal(
        nx_json_parse(&d, "t", "[-7.5187574813559435,-1.5,3,1e-400,0.1e1]", 41, 0, NULL), NX_OK);
    assert_true(nx_tj_number(&d.root->array.items[0], &x) && x == -7.518757481355944);
    assert_true(nx_tj_number(&d.root->array.items[1], &x) && x == -1.5);
    assert_true(nx_tj_number(&d.root->array.items[2], &x) && x == 3);
    assert_true(nx_tj_number(&d.root->array.items[3], &x) && x == 0);
    assert_true(nx_tj_number(&d.root->array.items[4], &x) && x == 1);
    nx_json_doc_free(&d);
}

/* Whatever allocation fails: NX_ENOMEM, nothing leaks (the sanitizers look), out as before. */
static void memory_fails_cleanly(void **state)
{
    (void)state;
    const char *text = "ab \xC3\xA9 one <end> ab\xC3";
    nx_status   st = NX_ENOMEM;

    for (int64_t n = 0; st; n++) {
        nx_vocab *v = NULL;
        nx_ids    ids = {0};
        nx_buf    out = {.max = 4096};
        nx_error  err;
        nx_alloc_fail_after(n);
        st = nx_tj_create(&v, NULL, nx_str_of(llama), &err);
        if (!st) st = nx_vocab_encode(v, &ids, text, strlen(text), BOTH, &err);
        if (!st) st = nx_vocab_decode(v, &out, ids.ids, ids.n, true, &err);
        nx_decoder d = {0};
        for (size_t i = 0; !st && i < ids.n; i++)
            st = nx_decoder_push(&d, v, ids.ids[i], &out, &err);
        if (!st) st = nx_decoder_finish(&d, &out, &err);
        nx_alloc_fail_after(-1);
        if (st) assert_int_equal(st, NX_ENOMEM);
        nx_decoder_free(&d);
        nx_buf_free(&out);
        nx_ids_free(&ids);
        nx_vocab_close(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline),
        cmocka_unit_test(added_tokens),
        cmocka_unit_test(spans_say_where_control_is),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(pairs),
        cmocka_unit_test(patterns),
        cmocka_unit_test(a_pattern_without_end_is_stopped),
        cmocka_unit_test(long_runs_are_linear),
        cmocka_unit_test(numbers_as_the_judge_reads_them),
        cmocka_unit_test(memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
