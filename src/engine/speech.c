/* speech.c - the decoder and the stop texts, one behind the other. */
#include "engine/speech.h"

#define TEXT_MAX (64u << 20) /* held text is short: stop texts and one token's piece */

static bool continues_text(const nx_vocab *vocab, const int32_t *before, size_t n)
{
    while (vocab && n-- > 0) {
        if (before[n] >= nx_vocab_size(vocab)) continue;
        if (nx_vocab_type(vocab, before[n]) != NX_TOKEN_CONTROL) return true;
    }
    return false;
}

void nx_speech_begin(nx_speech *s, const nx_vocab *vocab, const nx_str *stop, size_t n_stop,
                     const int32_t *before, size_t n)
{
    *s = (nx_speech){.vocab = vocab, .stops = {.stop = stop, .n_stop = n_stop}};
    s->stops.held.max = TEXT_MAX;
    s->decoder.started = continues_text(vocab, before, n);
}

void nx_speech_end(nx_speech *s)
{
    nx_decoder_free(&s->decoder);
    nx_buf_free(&s->stops.held);
}

nx_status nx_speech_push(nx_speech *s, int32_t id, const char **ready, size_t *n_ready,
                         bool *stopped, nx_error *err)
{
    *stopped = false;
    *n_ready = 0;
    *ready = s->stops.held.data;
    if (!s->vocab || id >= nx_vocab_size(s->vocab)) return NX_OK; /* a row without a token */
    nx_status st = nx_decoder_push(&s->decoder, s->vocab, id, &s->stops.held, err);
    if (st) return st;
    *stopped = nx_stops_scan(&s->stops, n_ready);
    *ready = s->stops.held.data;
    return NX_OK;
}

nx_status nx_speech_finish(nx_speech *s, const char **ready, size_t *n_ready, bool *stopped,
                           nx_error *err)
{
    *stopped = false;
    *n_ready = 0;
    *ready = NULL;
    nx_status st = nx_decoder_finish(&s->decoder, &s->stops.held, err);
    if (st) return st;
    *stopped = nx_stops_scan(&s->stops, n_ready);
    if (!*stopped) *n_ready = s->stops.held.len;
    *ready = s->stops.held.data;
    return NX_OK;
}

void nx_speech_shown(nx_speech *s, size_t n)
{
    nx_stops_drop(&s->stops, n);
    s->n_dropped += n;
}

size_t nx_speech_length(const nx_speech *s)
{
    return s->n_dropped + s->stops.held.len;
}
