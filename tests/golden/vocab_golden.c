/* Protects: the ids that our tokenizers give are those that models were trained on, and the text
 * comes back from them byte for byte.
 *
 * 46 texts each of llama.cpp's vocabulary tests (shared data, vocab/): the .inp file holds the
 * texts, the .out file a line of ids for each. The Llama 3 vocabulary is made by
 * tools/goldens/make_llama3_vocab.py; NX_LLAMA3_VOCAB names it, else it is looked for in the build
 * folder's goldens/. A vocabulary that isn't there is skipped by name; if none is, so is the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "format/checkpoint.h"
#include "token/tiktoken.h"
#include "token/vocab.h"

#define N_TEXTS   46
#define SEPARATOR "\n__ggml_vocab_test__\n"
#define FILE_MAX  (1 << 20)
#define RANKS_MAX (1 << 23)

static int n_checked;

static const char *shared(char path[1024], const char *name)
{
    const char *folder = getenv("NX_SHARED");

    snprintf(path, 1024, "%s/data/vocab/%s", folder ? folder : NX_SOURCE_DIR "/../shared", name);
    return path;
}

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *data = calloc(1, FILE_MAX);

    assert_non_null(f);
    assert_non_null(data);
    assert_true(fread(data, 1, FILE_MAX - 1, f) < FILE_MAX - 1);
    fclose(f);
    return data;
}

static nx_vocab *open_vocab(nx_checkpoint **cp, const char *path)
{
    nx_vocab *v = NULL;
    nx_error  err = {0};

    if (nx_checkpoint_open(cp, path, &err) || nx_vocab_open(&v, *cp, &err))
        fail_msg("%s", err.text);
    return v;
}

static void expect_ids(const nx_ids *got, char *line, int text)
{
    size_t n = 0;

    for (char *id = strtok(line, " "); id; id = strtok(NULL, " "), n++) {
        if (n >= got->n || got->ids[n] != atoi(id)) {
            fail_msg("text %d: id %zu of %zu is %d, expected %s", text, n, got->n,
                     n < got->n ? got->ids[n] : -1, id);
        }
    }
    if (n != got->n) fail_msg("text %d: %zu ids, expected %zu", text, got->n, n);
}

/* The text whole and streamed: both must give it back. */
static void expect_text(const nx_vocab *v, const nx_ids *ids, const char *text, size_t len)
{
    nx_buf     whole = {.max = FILE_MAX}, streamed = {.max = FILE_MAX};
    nx_decoder d = {0};

    assert_int_equal(nx_vocab_decode(v, &whole, ids->ids, ids->n, false, NULL), NX_OK);
    for (size_t i = 0; i < ids->n; i++) {
        assert_int_equal(nx_decoder_push(&d, v, ids->ids[i], &streamed, NULL), NX_OK);
    }
    assert_int_equal(nx_decoder_finish(&d, &streamed, NULL), NX_OK);
    assert_int_equal(whole.len, len);
    assert_int_equal(streamed.len, len);
    if (len) assert_memory_equal(whole.data, text, len);
    if (len) assert_memory_equal(streamed.data, text, len);
    nx_buf_free(&whole);
    nx_buf_free(&streamed);
}

/* back: the text comes back, byte for byte (WordPiece forgets case and white space). */
static void check_text(const nx_vocab *v, const char *text, size_t len, char *line, int i,
                       bool back)
{
    nx_ids   ids = {0};
    nx_error err = {0};

    if (nx_vocab_encode(v, &ids, text, len, 0, &err)) fail_msg("text %d: %s", i, err.text);
    expect_ids(&ids, line, i);
    if (back) expect_text(v, &ids, text, len);
    nx_ids_free(&ids);
}

/* Whatever bytes: they come back. Half of each text is drawn from few values, so that there are
 * words, spaces and pieces of characters in it. */
static void check_random_bytes(const nx_vocab *v)
{
    static const char few[] = "  e'st\nin\xE2\x96\x81\xC3\xA9";
    uint32_t          x = 20261123;
    char              text[300];

    for (int round = 0; round < 1000; round++) {
        nx_ids   ids = {0};
        nx_error err = {0};
        size_t   len = round % sizeof text;
        for (size_t i = 0; i < len; i++) {
            x = x * 1664525 + 1013904223;
            text[i] = i % 40 < 20 ? (char)(x >> 24) : few[(x >> 24) % (sizeof few - 1)];
        }
        nx_status st = nx_vocab_encode(v, &ids, text, len, 0, &err);
        if (st == NX_EUNSUPPORTED) { /* DeepSeek's have no token for some bytes */
            nx_ids_free(&ids);
            continue;
        }
        if (st) fail_msg("%s", err.text);
        nx_buf back = {.max = FILE_MAX};
        assert_int_equal(nx_vocab_decode(v, &back, ids.ids, ids.n, false, NULL), NX_OK);
        assert_int_equal(back.len, len);
        if (len) assert_memory_equal(back.data, text, len);
        nx_buf_free(&back);
        nx_ids_free(&ids);
    }
}

static void check_texts(const nx_vocab *v, const char *name, bool back)
{
    char path[1024], file[256];

    snprintf(file, sizeof file, "ggml-vocab-%s.gguf.inp", name);
    char *texts = read_all(shared(path, file));
    snprintf(file, sizeof file, "ggml-vocab-%s.gguf.out", name);
    char *lines = read_all(shared(path, file));
    char *text = texts, *line = lines, *end;
    int   n = 0;

    for (; (end = strstr(text, SEPARATOR)); text = end + strlen(SEPARATOR), n++) {
        char *newline = strchr(line, '\n');
        assert_non_null(newline);
        *newline = '\0';
        check_text(v, text, (size_t)(end - text), line, n, back);
        line = newline + 1;
    }
    assert_int_equal(n, N_TEXTS);
    n_checked++;
    free(texts);
    free(lines);
}

static void check_vocab(const char *vocab_path, const char *name, bool back)
{
    nx_checkpoint *cp = NULL;

    if (access(vocab_path, R_OK) != 0) {
        printf("skipped %s: no %s\n", name, vocab_path);
        skip();
    }
    nx_vocab *v = open_vocab(&cp, vocab_path);
    check_texts(v, name, back);
    if (back) check_random_bytes(v);
    nx_vocab_close(v);
    nx_checkpoint_close(cp);
}

static void llama_spm(void **state)
{
    char path[1024];

    (void)state;
    check_vocab(shared(path, "ggml-vocab-llama-spm.gguf"), "llama-spm", true);
}

static void phi_3(void **state)
{
    char path[1024];

    (void)state;
    check_vocab(shared(path, "ggml-vocab-phi-3.gguf"), "phi-3", true);
}

static void gpt_2(void **state)
{
    char path[1024];

    (void)state;
    check_vocab(shared(path, "ggml-vocab-gpt-2.gguf"), "gpt-2", true);
}

static void deepseek_llm(void **state)
{
    char path[1024];

    (void)state;
    check_vocab(shared(path, "ggml-vocab-deepseek-llm.gguf"), "deepseek-llm", true);
}

static void deepseek_coder(void **state)
{
    char path[1024];

    (void)state;
    check_vocab(shared(path, "ggml-vocab-deepseek-coder.gguf"), "deepseek-coder", true);
}

static void bert_bge(void **state)
{
    char path[1024];

    (void)state;
    check_vocab(shared(path, "ggml-vocab-bert-bge.gguf"), "bert-bge", false);
}

static void llama_bpe(void **state)
{
    const char *named = getenv("NX_LLAMA3_VOCAB"), *build = getenv("NX_BUILD_DIR");
    char        path[1024];

    (void)state;
    snprintf(path, sizeof path, "%s/goldens/llama3-vocab.gguf", build ? build : "build");
    check_vocab(named ? named : path, "llama-bpe", true);
}

/* The same from Meta's own file, in tiktoken's form. */
static void llama_3_ranks(void **state)
{
    char      path[1024];
    nx_vocab *v = NULL;
    nx_error  err = {0};

    (void)state;
    FILE *f = fopen(shared(path, "llama3-tokenizer.model"), "rb");
    if (!f) skip();
    char  *bytes = malloc(RANKS_MAX);
    size_t n = bytes ? fread(bytes, 1, RANKS_MAX, f) : 0;
    fclose(f);
    if (nx_tiktoken_create(&v, NULL, path, (nx_str){bytes, n}, "llama-bpe", &err)) {
        fail_msg("%s", err.text);
    }
    free(bytes);
    assert_int_equal(nx_vocab_size(v), 128256);
    assert_int_equal(nx_vocab_find(v, NX_STR("<|eot_id|>")), 128009);
    check_texts(v, "llama-bpe", true);
    check_random_bytes(v);
    nx_vocab_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_spm),      cmocka_unit_test(phi_3),
        cmocka_unit_test(gpt_2),          cmocka_unit_test(deepseek_llm),
        cmocka_unit_test(deepseek_coder), cmocka_unit_test(llama_bpe),
        cmocka_unit_test(bert_bge),       cmocka_unit_test(llama_3_ranks),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    if (!failed && n_checked == 0) puts("skipped: none of the vocabularies is here");
    return failed ? failed : n_checked ? 0 : 77;
}
