/* input.h - reading a fuzz input piece by piece, and what must hold for its text. */
#ifndef NX_TESTS_FUZZ_INPUT_H
#define NX_TESTS_FUZZ_INPUT_H

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "token/vocab.h"

typedef struct input {
    const char *p;
    size_t      len;
} input;

static inline int input_byte(input *in)
{
    if (in->len == 0) return 0;
    in->len--;
    return (unsigned char)*in->p++;
}

static inline nx_str input_take(input *in, size_t len)
{
    nx_str s = {in->p, len < in->len ? len : in->len};

    in->p += s.len;
    in->len -= s.len;
    return s;
}

/* Streamed, every step's output is whole characters. */
static inline void fuzz_stream(const nx_vocab *v, const nx_ids *ids)
{
    nx_decoder d = {0};
    nx_buf     out = {.max = 1 << 26};
    size_t     shown = 0;

    for (size_t i = 0; i < ids->n; i++) {
        if (ids->ids[i] < 0 || ids->ids[i] >= nx_vocab_size(v)) abort();
        if (nx_decoder_push(&d, v, ids->ids[i], &out, NULL)) abort();
        if (out.data && !nx_utf8_valid(out.data + shown, out.len - shown, NULL)) abort();
        shown = out.len;
    }
    if (nx_decoder_finish(&d, &out, NULL)) abort();
    nx_decoder_free(&d);
    nx_buf_free(&out);
}

/* Encode what is left of the input, with and without control tokens; decode it again. whole: the
 * vocabulary has all bytes, so the text must come back. */
static inline void fuzz_text(const nx_vocab *v, input in, bool whole)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        nx_ids    ids = {0};
        nx_buf    back = {.max = 1 << 26};
        nx_status st = nx_vocab_encode(v, &ids, in.p, in.len, flags, NULL);
        if (st && (st != NX_EUNSUPPORTED || whole || ids.n)) abort();
        if (nx_vocab_decode(v, &back, ids.ids, ids.n, flags & 1, NULL)) abort();
        if (!st && flags == 0 && whole) {
            if (back.len != in.len || (in.len && memcmp(back.data, in.p, in.len))) abort();
        }
        fuzz_stream(v, &ids);
        nx_buf_free(&back);
        nx_ids_free(&ids);
    }
}

#endif
