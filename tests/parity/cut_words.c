/* cut_words.c - for test_cuts.py: how stdin's texts, each ended by a NUL, are cut into words.
 *
 *     cut_words patterns          the patterns that are cut by hand, each ended by a NUL
 *     cut_words PATTERN-NUMBER    words by nx_cut_next
 *     cut_words GGUF-NAME         words by that pre-tokenizer
 *
 * Each word is ended by U+0001, each text by a NUL. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/cut.h"
#include "token/pretoken.h"

#define TEXT_MAX (1 << 26)

static const char *const patterns[] = {NX_CUT_GPT2,  NX_CUT_LLAMA3, NX_CUT_QWEN2,  NX_CUT_QWEN35,
                                       NX_CUT_GPT4O, NX_CUT_TEKKEN, NX_CUT_BAILING};
#define N (sizeof patterns / sizeof *patterns)

static nx_status write_word(void *ctx, const char *word, size_t len, nx_error *err)
{
    nx_buf   *out = ctx;
    nx_status st = nx_buf_add(out, word, len, err);

    return st ? st : nx_buf_add(out, "\1", 1, err);
}

static nx_status by_hand(const nx_cut *c, nx_buf *out, const char *text, size_t len)
{
    nx_status st = NX_OK;

    for (size_t n; !st && len; text += n, len -= n) {
        n = nx_cut_next(c, text, len);
        st = write_word(out, text, n, NULL);
    }
    return st;
}

static int convert(const char *how, nx_buf *out, const char *in, size_t n)
{
    const nx_cut *c = NULL;
    nx_pretoken   p = {0};
    nx_splitter   s = {0};
    nx_status     st = NX_OK;

    if (isdigit((unsigned char)how[0])) {
        c = nx_cut_find(nx_str_of(patterns[(unsigned)atoi(how) % N]));
        if (!c) return 1;
    } else {
        st = nx_pretoken_create(&p, nx_str_of(how), NULL);
        if (!st) st = nx_splitter_create(&s, &p, write_word, out, NULL);
    }
    for (size_t at = 0, len; !st && at < n; at += len + 1) {
        len = strnlen(in + at, n - at);
        st = c ? by_hand(c, out, in + at, len) : nx_splitter_run(&s, in + at, len, NULL);
        if (!st) st = nx_buf_add(out, "", 1, NULL);
    }
    nx_splitter_destroy(&s);
    nx_pretoken_destroy(&p);
    return st != NX_OK;
}

int main(int argc, char **argv)
{
    char  *in = malloc(TEXT_MAX);
    nx_buf out = {.max = (size_t)4 * TEXT_MAX};

    if (argc != 2 || !in) return 2;
    if (!strcmp(argv[1], "patterns")) {
        for (size_t i = 0; i < N; i++) fwrite(patterns[i], 1, strlen(patterns[i]) + 1, stdout);
        return 0;
    }
    size_t n = fread(in, 1, TEXT_MAX, stdin);
    if (convert(argv[1], &out, in, n)) return 1;
    fwrite(out.data, 1, out.len, stdout);
    nx_buf_free(&out);
    free(in);
    return 0;
}
