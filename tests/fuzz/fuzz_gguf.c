/* fuzz_gguf.c - any bytes as a GGUF file: parsed, every value asked for in every way, every
 * tensor's ends read, then vocabulary and weights bound.
 *
 * The corpus in corpus/gguf/ was made by `torture_gguf -o DIR` (its small files).
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "model/model.h"
#include "token/vocab.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    return 0;
}

/* A refusal without a message is a fault of ours. */
static void check(nx_status st, const nx_error *err)
{
    if (st && st != NX_ENOMEM && (err->status != st || !strstr(err->text, "fuzz: "))) abort();
}

/* Every byte of s, so that a sanitizer sees them. */
static void read_bytes(const void *p, size_t n)
{
    static volatile unsigned char sink;

    for (size_t i = 0; i < n; i++) sink = ((const unsigned char *)p)[i];
    (void)sink;
}

static void ask_scalars(const nx_checkpoint *cp, const char *key)
{
    nx_error err = {0};
    int64_t  i;
    double   d;
    bool     b;
    nx_str   s = {0};

    check(nx_meta_int(cp, key, &i, -5, 1 << 20, true, &err), &err);
    check(nx_meta_float(cp, key, &d, true, &err), &err);
    check(nx_meta_bool(cp, key, &b, true, &err), &err);
    check(nx_meta_string(cp, key, &s, true, &err), &err);
    read_bytes(s.p, s.len);
}

static void ask_arrays(const nx_checkpoint *cp, const char *key)
{
    nx_error err = {0};
    int64_t  n, *ints;
    float   *floats;
    nx_str  *strings;

    check(nx_meta_ints(cp, key, &ints, &n, true, &err), &err);
    check(nx_meta_floats(cp, key, &floats, &n, true, &err), &err);
    check(nx_meta_strings(cp, key, &strings, &n, true, &err), &err);
    for (int64_t i = 0; strings && i < n; i++) read_bytes(strings[i].p, strings[i].len);
    nx_free(ints);
    nx_free(floats);
    nx_free(strings);
}

static void ask_all(const nx_checkpoint *cp)
{
    for (int64_t i = 0; i < nx_checkpoint_n_meta(cp); i++) {
        const nx_meta *m = nx_checkpoint_meta_at(cp, i);
        char          *key = nx_strndup(m->key.p, m->key.len);
        if (!key) abort();
        if (strlen(key) == m->key.len && nx_checkpoint_meta(cp, key) != m) abort();
        ask_scalars(cp, key);
        ask_arrays(cp, key);
        nx_free(key);
    }
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        if (nx_checkpoint_tensor(cp, t->name) != t) abort();
        read_bytes(t->data, t->bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_checkpoint *cp;
    nx_vocab      *vocab = NULL;
    nx_model      *model = NULL;
    nx_error       err = {0};
    nx_status      st = nx_checkpoint_open_bytes(&cp, "fuzz", data, size, &err);

    check(st, &err);
    if (st) return 0;
    ask_all(cp);
    check(nx_vocab_open(&vocab, cp, &err), &err);
    check(nx_model_open(&model, cp, &err), &err);
    nx_vocab_close(vocab);
    nx_model_close(model);
    nx_checkpoint_close(cp);
    return 0;
}
