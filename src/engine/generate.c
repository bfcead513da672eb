/* generate.c - the loop of generation. */
#include "engine/generate.h"

#include "engine/speech.h"
#include "os/clock.h"

/* What one run needs beside its options. */
typedef struct run {
    nx_generation *g;
    nx_timeline   *tl;
    nx_speech      speech;
    bool           refused; /* on_text asked to end */
} run;

static bool is_cancelled(const run *r)
{
    return r->refused || (r->g->cancel && atomic_load(r->g->cancel));
}

static void hand_out(run *r, const char *text, size_t n)
{
    if (n == 0) return;
    if (r->g->on_text && r->g->on_text(r->g->ctx, text, n)) r->refused = true;
    nx_speech_shown(&r->speech, n);
}

/* Decode id and hand out what can be said. *stopped when a stop text is complete. */
static nx_status say(run *r, int32_t id, bool *stopped, nx_error *err)
{
    const char *text;
    size_t      n;
    nx_status   st = nx_speech_push(&r->speech, id, &text, &n, stopped, err);

    if (!st) hand_out(r, text, n);
    return st;
}

static nx_status say_rest(run *r, nx_error *err)
{
    const char *text;
    size_t      n;
    bool        stopped;
    nx_status   st = nx_speech_finish(&r->speech, &text, &n, &stopped, err);

    if (st) return st;
    hand_out(r, text, n);
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

nx_status nx_generate_run(nx_generation *g, nx_timeline *tl, const int32_t *prompt, size_t n,
                          nx_error *err)
{
    run     r = {.g = g, .tl = tl};
    int64_t start = nx_clock_ns();

    g->n_new = 0;
    g->n_prompt = 0;
    g->prefill_s = g->decode_s = 0;
    g->finish = NX_FINISH_CANCELLED;
    nx_status st = nx_timeline_eval(tl, prompt, n, g->on_prefill, g->ctx, err);
    g->prefill_s = (double)(nx_clock_ns() - start) * 1e-9;
    if (st == NX_ECANCELLED) return NX_OK;
    if (st) return st;
    g->n_prompt = (int32_t)n;
    nx_speech_begin(&r.speech, nx_timeline_llm(tl)->vocab, g->stop, g->n_stop, nx_timeline_ids(tl),
                    (size_t)nx_timeline_length(tl));
    st = decode(&r, err);
    nx_speech_end(&r.speech);
    return st;
}
