/* sp_tokens.c - for test_sentencepiece.py and test_tiktoken.py: ids and texts of a vocabulary.
 *
 *     sp_tokens MODEL             a SentencePiece model, or a GGUF file with a vocabulary
 *     sp_tokens RANKS PRE         ranks in tiktoken's form, words cut by that pre-tokenizer
 *
 * stdin: texts, each ended by a NUL. stdout: for each its ids, separated by spaces, a newline, the
 * text that they decode to, and a NUL. Streamed decoding must say the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "token/sp.h"
#include "token/tiktoken.h"

#define TEXT_MAX (1 << 27)

static nx_str read_all(FILE *f)
{
    char  *p = malloc(TEXT_MAX);
    size_t n = p && f ? fread(p, 1, TEXT_MAX, f) : 0;

    if (f && f != stdin) fclose(f);
    return (nx_str){p, n};
}

static nx_status open_gguf(nx_vocab **v, nx_checkpoint **cp, nx_str bytes, nx_error *err)
{
    nx_status st = nx_checkpoint_open_bytes(cp, "model", bytes.p, bytes.len, err);

    return st ? st : nx_vocab_open(v, *cp, err);
}

static nx_status open_sp(nx_vocab **v, nx_str bytes, nx_error *err)
{
    nx_spmodel    m;
    nx_sp_options o = {.special = {-1, -1, -1, -1, -1, -1, false, false}};
    nx_status     st = nx_spmodel_read(&m, "model", bytes, err);

    return st ? st : nx_sp_create(v, &m, &o, err);
}

static nx_status stream(const nx_vocab *v, const nx_ids *ids, nx_buf *out)
{
    nx_decoder d = {0};
    nx_status  st = NX_OK;

    for (size_t i = 0; !st && i < ids->n; i++) st = nx_decoder_push(&d, v, ids->ids[i], out, NULL);
    if (!st) st = nx_decoder_finish(&d, out, NULL);
    nx_decoder_free(&d);
    return st;
}

static nx_status answer(const nx_vocab *v, const char *text, size_t len, nx_error *err)
{
    nx_ids    ids = {0};
    nx_buf    whole = {.max = TEXT_MAX}, streamed = {.max = TEXT_MAX};
    nx_status st = nx_vocab_encode(v, &ids, text, len, 0, err);

    if (!st) st = nx_vocab_decode(v, &whole, ids.ids, ids.n, false, err);
    if (!st) st = stream(v, &ids, &streamed);
    for (size_t i = 0; !st && i < ids.n; i++) printf("%s%d", i ? " " : "", ids.ids[i]);
    printf("\n");
    if (whole.len) fwrite(whole.data, 1, whole.len, stdout);
    if (whole.len != streamed.len || (whole.len && memcmp(whole.data, streamed.data, whole.len))) {
        printf("STREAMED:%.*s", (int)streamed.len, streamed.data);
    }
    putchar('\0');
    nx_buf_free(&whole);
    nx_buf_free(&streamed);
    nx_ids_free(&ids);
    return st;
}

int main(int argc, char **argv)
{
    nx_str         file = read_all(argc > 1 ? fopen(argv[1], "rb") : NULL), in = read_all(stdin);
    nx_checkpoint *cp = NULL;
    nx_vocab      *v = NULL;
    nx_error       err = {0};
    bool           gguf = file.len > 4 && memcmp(file.p, "GGUF", 4) == 0;
    nx_status      st = argc > 2 ? nx_tiktoken_create(&v, NULL, "ranks", file, argv[2], &err)
                        : gguf   ? open_gguf(&v, &cp, file, &err)
                                 : open_sp(&v, file, &err);

    for (size_t at = 0, len; !st && at < in.len; at += len + 1) {
        len = strnlen(in.p + at, in.len - at);
        st = answer(v, in.p + at, len, &err);
    }
    if (st) fprintf(stderr, "%s\n", err.text);
    nx_vocab_close(v);
    nx_checkpoint_close(cp);
    free((void *)(uintptr_t)file.p);
    free((void *)(uintptr_t)in.p);
    return st != NX_OK;
}
