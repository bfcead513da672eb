/* fuzz_bpe.c - a byte-level BPE vocabulary and a text, both made of the input.
 *
 * The first byte chooses the pre-tokenizer and how the vocabulary is made: from all bytes and
 * merges of two tokens there are (then every text must come back), or from tokens and merges as
 * the input spells them. The rest is the text.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/token/maker.h"
#include "base/log.h"
#include "input.h"

/* Pairs of token numbers, and special tokens: type, length, text. A count comes first. */
static void read_good(maker *m, input *in)
{
    for (int n = input_byte(in); n > 0 && in->len; n--) {
        int kind = input_byte(in);
        if (kind & 1) {
            int32_t left = (int32_t)((input_byte(in) | (kind & 2) << 7) % m->src.n);
            int32_t right = (int32_t)((input_byte(in) | (kind & 4) << 6) % m->src.n);
            bool    text = m->types[left] == NX_TOKEN_NORMAL && m->types[right] == NX_TOKEN_NORMAL;
            if (text && m->texts[left].len + m->texts[right].len < 48) maker_merge(m, left, right);
        } else {
            nx_str text = input_take(in, input_byte(in) % 32);
            maker_add(m, text.p, text.len, kind & 2 ? NX_TOKEN_CONTROL : NX_TOKEN_USER_DEFINED, 0);
        }
    }
}

static void read_any(maker *m, input *in)
{
    for (int n = input_byte(in); n > 0 && in->len; n--) {
        int    type = input_byte(in) % 9;
        nx_str text = input_take(in, input_byte(in) % 48);
        if (type == 8)
            m->merges[m->src.n_merges++] = maker_keep(m, text.p, text.len);
        else
            maker_add(m, text.p, text.len, (nx_token_type)type, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const pres[] = {"default", "gpt-2", "llama-bpe", ""};
    static maker             m;
    input                    in = {(const char *)data, size};
    int                      how = input_byte(&in);
    nx_vocab                *v = NULL;

    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    maker_bpe(&m, pres[how & 3]);
    if (how & 4) {
        m.src.n = m.src.n_types = m.src.n_scores = how & 8 ? 100 : 0;
        read_any(&m, &in);
    } else {
        read_good(&m, &in);
    }
    if (how & 16) m.src.special.unk = input_byte(&in);
    nx_status st = nx_vocab_create(&v, &m.src, NULL);
    if (st && st != NX_EFORMAT) abort();
    if (st) return 0;
    fuzz_text(v, in, !(how & 4));
    nx_vocab_close(v);
    return 0;
}
