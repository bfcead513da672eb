/* fuzz_tiktoken.c - ranks in tiktoken's form and a text, both made of the input.
 *
 * The first byte chooses the pre-tokenizer, the next two are the text's length; then the text, then
 * the ranks.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "input.h"
#include "token/tiktoken.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const pres[] = {"llama-bpe",       "tiktoken-gpt2",  "tiktoken-qwen",
                                       "tiktoken-cl100k", "tiktoken-o200k", "tiktoken-kimi"};
    input                    in = {(const char *)data, size};
    const char              *pre = pres[input_byte(&in) % 6];
    size_t                   len = (size_t)input_byte(&in) << 8;
    nx_vocab                *v = NULL;

    len |= (size_t)input_byte(&in);
    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    nx_str text = input_take(&in, len), ranks = {in.p, in.len};
    nx_tiktoken_is(ranks);
    if (nx_tiktoken_create(&v, NULL, "ranks", ranks, pre, NULL)) return 0;
    fuzz_text(v, (input){text.p, text.len}, false);
    nx_vocab_close(v);
    return 0;
}
