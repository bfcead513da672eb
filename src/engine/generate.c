/* generate.c - the loop of generation. */
#include "engine/generate.h"

#include "engine/stops.h"
#include "os/clock.h"

#define TEXT_MAX (64u << 20) /* held text is short: stop texts and one token's piece */

/* What one run needs beside its options. */
typedef struct run {
    nx_generation *g;
    nx_timeline   *tl;
    nx_stops       stops;
    nx_decoder     decoder;
    bool           refused; /* on_text asked to end */
} run;

static bool is_cancelled(const run *r)
{
    return r->refused || (r->g->cancel && atomic_load(r->g->cancel));
}

static void hand_out(run *r, size_t n)
{
    if (n == 0) return;
    if (r->g->on_text && r->g->on_text(r->g->ctx, r->stops.held.data, n)) r->refused = true;
    nx_stops_drop(&r->stops, n);
}

/* Decode id and hand out what can be said. *stopped when a stop text is complete. */
static nx_status say(run *r, int32_t id, bool *stopped, nx_error *err)
{
    const nx_vocab *vocab = nx_timeline_llm(r->tl)->vocab;
    size_t          n_ready;

    *stopped = false;
    if (!vocab || id >= nx_vocab_size(vocab)) return NX_OK; /* a row without a token */
    nx_status st = nx_decoder_push(&r->decoder, vocab, id, &r->stops.held, err);
    if (st) return st;
    *stopped = nx_stops_scan(&r->stops, &n_ready);
    hand_out(r, n_ready);
    return NX_OK;
}

/* What was held back in vain: half a character, the beginning of a stop text. */
static nx_status say_rest(run *r, nx_error *err)
{
    size_t    n_ready;
    nx_status st = nx_decoder_finish(&r->decoder, &r->stops.held, err);

    if (st) return st;
    bool stopped = nx_stops_scan(&r->stops, &n_ready);
    hand_out(r, stopped ? n_ready : r->stops.held.len);
    if (stopped) r->g->finish = NX_FINISH_STOP;
    return NX_OK;
}

static nx_status next_token(run *r, int32_t *id, nx_error *err)
{
    return nx_sampler_next(r->g->sampler, id, nx_timeline_logits(r->tl), nx_timeline_ids(r->tl),
                           (size_t)nx_timeline_length(r->tl), err);
}

static bool ends_answer(const run *r, int32_t id)
{
    const nx_vocab *vocab = nx_timeline_llm(r->tl)->vocab;

    return vocab && !r->g->ignore_end && nx_vocab_ends_answer(vocab, id);
}

static void report(const run *r, int32_t id)
{
    nx_step step = {.id = id,
                    .logits = nx_timeline_logits(r->tl),
                    .n_vocab = nx_timeline_llm(r->tl)->model->hp.n_vocab};

    if (r->g->on_step) r->g->on_step(r->g->ctx, &step);
}

/* One new token. *done when the answer is complete. */
static nx_status step(run *r, bool *done, nx_error *err)
{
    nx_generation *g = r->g;
    bool           stopped;
    int32_t        id;
    nx_status      st = next_token(r, &id, err);

    *done = true;
    if (st) return st;
    if (ends_answer(r, id)) {
        g->finish = NX_FINISH_STOP;
        return say_rest(r, err);
    }
    g->n_new++;
    report(r, id);
    st = say(r, id, &stopped, err);
    if (st) return st;
    if (stopped) {
        g->finish = NX_FINISH_STOP;
        return NX_OK;
    }
    bool full = nx_timeline_length(r->tl) == nx_timeline_ctx(r->tl);
    if (full || g->n_new == g->n_predict) {
        g->finish = NX_FINISH_LENGTH;
        return say_rest(r, err);
    }
    *done = false;
    return nx_timeline_eval(r->tl, &id, 1, NULL, NULL, err);
}

static nx_status decode(run *r, nx_error *err)
{
    nx_generation *g = r->g;
    int64_t        start = nx_clock_ns();
    bool           done = g->n_predict == 0;
    nx_status      st = NX_OK;

    g->finish = NX_FINISH_LENGTH;
    while (!st && !done) {
        if (is_cancelled(r)) {
            g->finish = NX_FINISH_CANCELLED;
            st = say_rest(r, err);
            break;
        }
        st = step(r, &done, err);
    }
    /* A cancel that arrived inside a step comes back from eval: what was said stands. */
    if (st == NX_ECANCELLED) {
        g->finish = NX_FINISH_CANCELLED;
        st = say_rest(r, err);
    }
    g->decode_s = (double)(nx_clock_ns() - start) * 1e-9;
    return st;
}

/* Whether the answer continues a text, rather than begins one: a SentencePiece vocabulary spells
 * the space before a text's first word, but nobody wrote it. */
static bool continues_text(const nx_timeline *tl)
{
    const nx_vocab *vocab = nx_timeline_llm(tl)->vocab;

    for (int32_t i = nx_timeline_length(tl); vocab && i-- > 0;)
        if (nx_vocab_type(vocab, nx_timeline_ids(tl)[i]) != NX_TOKEN_CONTROL) return true;
    return false;
}

nx_status nx_generate_run(nx_generation *g, nx_timeline *tl, const int32_t *prompt, size_t n,
                          nx_error *err)
{
    run     r = {.g = g, .tl = tl, .stops = {.stop = g->stop, .n_stop = g->n_stop}};
    int64_t start = nx_clock_ns();

    r.stops.held.max = TEXT_MAX;
    g->n_new = 0;
    g->n_prompt = 0;
    g->prefill_s = g->decode_s = 0;
    g->finish = NX_FINISH_CANCELLED;
    nx_status st = nx_timeline_eval(tl, prompt, n, g->on_prefill, g->ctx, err);
    g->prefill_s = (double)(nx_clock_ns() - start) * 1e-9;
    if (st == NX_ECANCELLED) return NX_OK;
    if (st) return st;
    g->n_prompt = (int32_t)n;
    r.decoder.started = continues_text(tl);
    st = decode(&r, err);
    nx_decoder_free(&r.decoder);
    nx_buf_free(&r.stops.held);
    return st;
}
