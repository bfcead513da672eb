/* fuzz_tokenizer_json.c - the input up to a byte 0xFF is a tokenizer.json, the rest a text.
 *
 * Whatever the file says, opening it either refuses or gives a vocabulary that encodes any bytes,
 * or says why not, and decodes every id.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "input.h"
#include "token/tj.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const nx_vocab *v, nx_str text)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        nx_ids    ids = {0};
        nx_buf    back = {.max = 1 << 26};
        nx_status st = nx_vocab_encode(v, &ids, text.p, text.len, flags, NULL);
        if (st && st != NX_EUNSUPPORTED && st != NX_ELIMIT && st != NX_EFORMAT) abort();
        if (st && ids.n) abort();
        st = nx_vocab_decode(v, &back, ids.ids, ids.n, flags & 1, NULL);
        if (st && st != NX_ELIMIT && st != NX_EFORMAT) abort();
        if (!st && back.data && !nx_utf8_valid(back.data, back.len, NULL)) abort();
        nx_decoder d = {.keep_control = flags & 1};
        nx_buf     streamed = {.max = 1 << 26};
        for (size_t i = 0; !st && i < ids.n; i++) {
            st = nx_decoder_push(&d, v, ids.ids[i], &streamed, NULL);
        }
        if (!st) st = nx_decoder_finish(&d, &streamed, NULL);
        if (!st && (streamed.len != back.len ||
                    (back.len && memcmp(streamed.data, back.data, back.len)))) {
            abort();
        }
        nx_decoder_free(&d);
        nx_buf_free(&streamed);
        nx_buf_free(&back);
        nx_ids_free(&ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0xFF, size) : NULL;
    nx_str         json = {(const char *)data, end ? (size_t)(end - data) : size};
    nx_str         text = {end ? (const char *)end + 1 : "a b", end ? size - json.len - 1 : 3};
    nx_vocab      *v = NULL;

    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    nx_status st = nx_tj_create(&v, NULL, json, NULL);
    if (st && st != NX_EFORMAT && st != NX_EUNSUPPORTED && st != NX_ELIMIT) abort();
    if (st) return 0;
    check_text(v, text);
    nx_vocab_close(v);
    return 0;
}
