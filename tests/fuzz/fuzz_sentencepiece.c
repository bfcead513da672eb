/* fuzz_sentencepiece.c - a SentencePiece model file and a text, both made of the input.
 *
 * The first two bytes are the text's length, the next is one bit for each choice of the caller; then
 * the text, then the model. What a model says of its texts can't be known, but ids lie in the
 * vocabulary, and streamed text is whole characters and the same as at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "input.h"
#include "token/sp.h"

static void check(const nx_vocab *v, nx_str text, unsigned flags)
{
    nx_ids     ids = {0};
    nx_buf     whole = {.max = 1 << 26}, streamed = {.max = 1 << 26};
    nx_decoder d = {.keep_control = flags & 1};

    nx_status st = nx_vocab_encode(v, &ids, text.p, text.len, flags, NULL);
    if (st) abort();
    if (nx_vocab_decode(v, &whole, ids.ids, ids.n, flags & 1, NULL)) abort();
    for (size_t i = 0; i < ids.n; i++) {
        if (ids.ids[i] < 0 || ids.ids[i] >= nx_vocab_size(v)) abort();
        if (nx_decoder_push(&d, v, ids.ids[i], &streamed, NULL)) abort();
    }
    if (nx_decoder_finish(&d, &streamed, NULL)) abort();
    if (whole.len != streamed.len) abort();
    if (whole.len && memcmp(whole.data, streamed.data, whole.len)) abort();
    nx_decoder_free(&d);
    nx_buf_free(&whole);
    nx_buf_free(&streamed);
    nx_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input         in = {(const char *)data, size};
    size_t        len = (size_t)input_byte(&in) << 8;
    nx_spmodel    m;
    nx_vocab     *v = NULL;
    nx_sp_options o = {.special = {-1, -1, -1, -1, -1, -1, false, false}};

    len |= (size_t)input_byte(&in);
    int how = input_byte(&in);
    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    o.add_bos = how & 1;
    o.add_eos = how >> 1 & 1;
    o.first_prefix_only = how >> 2 & 1;
    nx_str text = input_take(&in, len);
    if (nx_spmodel_read(&m, "model", (nx_str){in.p, in.len}, NULL)) return 0;
    if (nx_sp_create(&v, &m, &o, NULL)) return 0;
    for (unsigned flags = 0; flags < 4; flags++) check(v, text, flags);
    nx_vocab_close(v);
    return 0;
}
