/* fuzz_spm.c - a SentencePiece vocabulary and a text, both made of the input.
 *
 * The first byte says how the vocabulary begins: with unk, bos, eos and all bytes (then every text
 * must come back), or with nothing. Then tokens: type, score, length, text; a type of 0 ends them.
 * The rest is the text.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/token/maker.h"
#include "base/log.h"
#include "input.h"

static void read_tokens(maker *m, input *in)
{
    while (in->len && m->src.n < MAKER_TOKENS_MAX - 1) {
        int type = input_byte(in) % 9;
        if (type == 0) return;
        float  score = (float)(int8_t)input_byte(in);
        size_t len = input_byte(in) % 48;
        nx_str text = input_take(in, len);
        maker_add(m, text.p, text.len, (nx_token_type)type, score);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static maker m;
    input        in = {(const char *)data, size};
    int          how = input_byte(&in);
    nx_vocab    *v = NULL;

    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    if (how & 1) {
        maker_spm(&m);
    } else {
        maker_start(&m, "llama");
        m.src.scores = m.scores;
    }
    m.src.add_space_prefix = how & 2 ? 1 : 0;
    m.src.strips_after_special = how & 4;
    if (how & 8) m.src.special.unk = input_byte(&in);
    if (how & 16) m.src.types = NULL;
    read_tokens(&m, &in);
    nx_status st = nx_vocab_create(&v, &m.src, NULL);
    if (st && st != NX_EFORMAT) abort();
    if (st) return 0;
    fuzz_text(v, in, how & 1 && m.src.types && !m.src.strips_after_special);
    nx_vocab_close(v);
    return 0;
}
