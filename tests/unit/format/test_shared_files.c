/* test_shared_files.c - real files, by other people's writers, read as those people say. Skipped
 * where ../shared is absent. */
#include "gguf_bytes.h"

#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"

#define SHARED NX_SOURCE_DIR "/../shared/data/"

static nx_checkpoint *open_shared(const char *name)
{
    char           path[1024];
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};

    snprintf(path, sizeof path, SHARED "%s", name);
    if (access(path, R_OK) != 0) {
        print_message("%s: absent\n", path);
        skip();
    }
    if (nx_checkpoint_open(&cp, path, &err)) print_error("%s\n", err.text);
    assert_non_null(cp);
    return cp;
}

static void stories260k(void **state)
{
    static const struct {
        const char *key;
        int64_t     value;
    } ints[] = {
        {"llama.block_count", 5},          {"llama.embedding_length", 64},
        {"llama.attention.head_count", 8}, {"llama.attention.head_count_kv", 4},
        {"llama.context_length", 512},     {"tokenizer.ggml.bos_token_id", 1},
    };
    nx_checkpoint *cp = open_shared("models/stories260K.gguf");
    (void)state;

    assert_int_equal(nx_checkpoint_n_tensors(cp), 47);
    assert_int_equal(nx_checkpoint_n_meta(cp), 24);
    assert_int_equal(nx_checkpoint_bytes(cp), 1054464);
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        int64_t x;
        assert_int_equal(nx_meta_int(cp, ints[i].key, &x, 0, INT64_MAX, true, NULL), NX_OK);
        assert_int_equal(x, ints[i].value);
    }
    const nx_tensor *t = nx_checkpoint_tensor(cp, "token_embd.weight");
    assert_non_null(t);
    assert_true(t->dtype == NX_DTYPE_F32 && t->n_dims == 2 && t->ne[0] == 64 && t->ne[1] == 512);
    nx_checkpoint_close(cp);
}

static void vocabularies(void **state)
{
    static const struct {
        const char *name, *model;
        int64_t     n_tokens, n_merges;
    } files[] = {
        {"llama-spm", "llama", 32000, 0},         {"phi-3", "llama", 32064, 0},
        {"gpt-2", "gpt2", 50257, 50000},          {"deepseek-llm", "gpt2", 102400, 99757},
        {"deepseek-coder", "gpt2", 32256, 31757}, {"bert-bge", "bert", 30522, 0},
    };
    (void)state;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char    name[64];
        nx_str  model, *list;
        int64_t n;
        snprintf(name, sizeof name, "vocab/ggml-vocab-%s.gguf", files[i].name);
        nx_checkpoint *cp = open_shared(name);
        assert_int_equal(nx_checkpoint_n_tensors(cp), 0);
        assert_int_equal(nx_meta_string(cp, "tokenizer.ggml.model", &model, true, NULL), NX_OK);
        assert_true(nx_str_eq(model, nx_str_of(files[i].model)));
        assert_int_equal(nx_meta_strings(cp, "tokenizer.ggml.tokens", &list, &n, true, NULL),
                         NX_OK);
        assert_int_equal(n, files[i].n_tokens);
        nx_free(list);
        assert_int_equal(nx_meta_strings(cp, "tokenizer.ggml.merges", &list, &n, false, NULL),
                         NX_OK);
        assert_int_equal(n, files[i].n_merges);
        nx_free(list);
        nx_checkpoint_close(cp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories260k),
        cmocka_unit_test(vocabularies),
    };
    if (access(SHARED, R_OK) != 0) {
        print_message("skipped: %s is absent\n", SHARED);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
