/* torture_chunk.c - random documents cut for the tokenizers at hand.
 *
 * Protects: no chunk is longer than the model takes, with all that is put in front of it and around it; ranges are
 * whole characters and give the chunk's bytes; nothing is left out; a chunk counts what it says.
 *
 *   torture_chunk [-s SEED] [-n COUNT]     COUNT also from NX_CHUNK_DOCS; documents for each tokenizer
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../unit/rag/random_docs.h"
#include "token/vocab.h"

enum { COUNT_DEFAULT = 150, FAILURES_MAX = 10 };

static const char *const vocabularies[] = {
    NX_SOURCE_DIR "/models/all-minilm-l6-v2.gguf",
    NX_SOURCE_DIR "/models/nexus-mini.gguf",
    NX_SOURCE_DIR "/../shared/data/vocab/ggml-vocab-bert-bge.gguf",
    NX_SOURCE_DIR "/../shared/data/vocab/ggml-vocab-gpt-2.gguf",
    NX_SOURCE_DIR "/../shared/data/vocab/ggml-vocab-llama-spm.gguf",
    NX_SOURCE_DIR "/../shared/data/vocab/ggml-vocab-phi-3.gguf",
    NX_SOURCE_DIR "/../shared/data/vocab/ggml-vocab-deepseek-llm.gguf",
};

typedef struct counting {
    const nx_vocab *vocab;
    nx_ids          ids;
    uint64_t        n_bytes; /* counted, all together */
} counting;

static nx_status count(void *ctx, nx_str text, int32_t *n, nx_error *err)
{
    counting      *c = ctx;
    const int32_t *ids;
    size_t         front, back;

    c->ids.n = 0;
    c->n_bytes += text.len;
    nx_vocab_around(c->vocab, false, &ids, &front);
    nx_vocab_around(c->vocab, true, &ids, &back);
    nx_status st =
        nx_vocab_encode(c->vocab, &c->ids, text.p, text.len, NX_ENCODE_PARSE_SPECIAL, err);
    *n = (int32_t)(c->ids.n + front + back);
    return st;
}

typedef struct tally {
    uint64_t n_docs, n_chunks, n_bytes, n_counted, n_refused;
    int      n_failures;
} tally;

static void run_one(tally *t, const nx_counter *counter, const char *name, uint64_t seed)
{
    nx_rng    r;
    nx_doc    doc;
    nx_chunks chunks;
    nx_error  err;
    size_t    which = 0;

    nx_rng_seed(&r, seed);
    random_doc(&doc, &r);
    nx_chunk_options o = random_options(&r);
    nx_status        st = nx_doc_check(&doc, &err);
    if (st) abort(); /* a fault of the test's */
    uint64_t before = ((counting *)counter->ctx)->n_bytes;
    st = nx_chunks_make(&chunks, &doc, &o, counter, &err);
    t->n_counted += ((counting *)counter->ctx)->n_bytes - before;
    t->n_docs++;
    t->n_bytes += doc.text.len;
    t->n_chunks += chunks.n;
    const char *broken = st == NX_OK ? check_chunks(&doc, &chunks, &o, counter, &which) : err.text;
    /* A single character that is more than a tiny model takes. */
    if (st == NX_ELIMIT) {
        t->n_refused++;
        broken = NULL;
    }
    if (broken && t->n_failures++ < FAILURES_MAX)
        printf("%s: seed %llu, size %d, overlap %d, limit %d, chunk %zu: %s\n", name,
               (unsigned long long)seed, o.size, o.overlap, o.limit, which, broken);
    nx_chunks_free(&chunks);
    nx_doc_free(&doc);
}

/* *run: it was there. */
static tally run_all(const char *path, uint64_t seed, uint64_t n, bool *run)
{
    nx_checkpoint *cp = NULL;
    nx_vocab      *vocab = NULL;
    nx_error       err;
    tally          t = {0};
    const char    *name = strrchr(path, '/') + 1;

    *run = access(path, R_OK) == 0;
    if (!*run) {
        printf("%-28s skipped: not here\n", name);
        return t;
    }
    nx_status st = nx_checkpoint_open(&cp, path, &err);
    if (!st) st = nx_vocab_open(&vocab, cp, &err);
    if (st) {
        printf("%s: %s\n", name, err.text);
        t.n_failures = 1;
    } else {
        counting   c = {.vocab = vocab};
        nx_counter counter = {&c, count};
        for (uint64_t i = 0; i < n; i++) run_one(&t, &counter, name, seed + i);
        nx_ids_free(&c.ids);
        printf("%-28s %llu documents, %.1f MB, %llu chunks, counted %.2f times; %llu refused, %d "
               "failures\n",
               name, (unsigned long long)t.n_docs, (double)t.n_bytes / 1e6,
               (unsigned long long)t.n_chunks, (double)t.n_counted / (double)(t.n_bytes + 1),
               (unsigned long long)t.n_refused, t.n_failures);
    }
    fflush(stdout);
    nx_vocab_close(vocab);
    nx_checkpoint_close(cp);
    return t;
}

int main(int argc, char **argv)
{
    const char *set = getenv("NX_CHUNK_DOCS");
    uint64_t    n = set ? strtoull(set, NULL, 10) : COUNT_DEFAULT, seed = 1;
    int         option, n_failures = 0, n_run = 0;

    while ((option = getopt(argc, argv, "s:n:")) != -1) {
        if (option == 's') seed = strtoull(optarg, NULL, 10);
        if (option == 'n') n = strtoull(optarg, NULL, 10);
        if (option == '?') return 2;
    }
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++) {
        bool  run;
        tally t = run_all(vocabularies[i], seed, n, &run);
        n_run += run;
        n_failures += t.n_failures;
    }
    if (!n_run) return 77;
    return n_failures ? 1 : 0;
}
