/* sampler.c - the steps from logits to a token, in the order that sampler.h fixes. */
#include "engine/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/candidates.h"
#include "num/rng.h"

struct nx_sampler {
    nx_sampler_options opt;
    nx_logit_bias     *bias; /* [opt.n_bias], owned */
    int32_t            n_vocab;
    float             *logits; /* [n_vocab]: the changed copy */
    int32_t           *counts; /* [n_vocab]: times in the window; zero between calls */
    nx_candidates      set;
    nx_rng             rng;
};

void nx_sampler_options_default(nx_sampler_options *opt)
{
    *opt = (nx_sampler_options){
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .typical_p = 1,
        .min_p = 0.05f,
        .repeat_penalty = 1,
        .penalty_window = 64,
    };
}

static nx_status check_options(const nx_sampler_options *o, int32_t n_vocab, nx_error *err)
{
    const struct {
        const char *name;
        double      value, min, max;
        bool        above; /* min itself is excluded */
    } ranges[] = {
        {"temperature", (double)o->temperature, 0, 1e6, false},
        {"top-k", o->top_k, 0, INT32_MAX, false},
        {"top-p", (double)o->top_p, 0, 1, true},
        {"typical-p", (double)o->typical_p, 0, 1, true},
        {"min-p", (double)o->min_p, 0, 1, false},
        {"repetition penalty", (double)o->repeat_penalty, 0, 1e6, true},
        {"frequency penalty", (double)o->frequency_penalty, -1e6, 1e6, false},
        {"presence penalty", (double)o->presence_penalty, -1e6, 1e6, false},
        {"penalty window", o->penalty_window, -1, INT32_MAX, false},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        double v = ranges[i].value;
        if (v >= ranges[i].min && v <= ranges[i].max && !(ranges[i].above && v == ranges[i].min))
            continue;
        return nx_fail(err, NX_EINVAL, "%s is %g, expected %s%g to %g", ranges[i].name, v,
                       ranges[i].above ? "above " : "", ranges[i].min, ranges[i].max);
    }
    for (size_t i = 0; i < o->n_bias; i++)
        if (o->bias[i].id < 0 || o->bias[i].id >= n_vocab || isnan(o->bias[i].bias) ||
            o->bias[i].bias == INFINITY)
            return nx_fail(err, NX_EINVAL,
                           "logit bias %g for token %d: expected a number or -inf for a token "
                           "from 0 to %d",
                           (double)o->bias[i].bias, o->bias[i].id, n_vocab - 1);
    return NX_OK;
}

static nx_status take_memory(nx_sampler *s, nx_error *err)
{
    size_t n = (size_t)s->n_vocab;

    s->logits = nx_alloc(n, sizeof *s->logits);
    s->counts = nx_calloc(n, sizeof *s->counts);
    s->bias = nx_alloc(s->opt.n_bias, sizeof *s->bias);
    if (!s->logits || !s->counts || !s->bias)
        return nx_fail(err, NX_ENOMEM, "sampler for %d tokens", s->n_vocab);
    if (s->opt.n_bias) memcpy(s->bias, s->opt.bias, s->opt.n_bias * sizeof *s->bias);
    s->opt.bias = s->bias;
    return nx_candidates_open(&s->set, n, s->opt.typical_p < 1, err);
}

nx_status nx_sampler_create(nx_sampler **out, const nx_sampler_options *opt, int32_t n_vocab,
                            nx_error *err)
{
    *out = NULL;
    nx_status st = check_options(opt, n_vocab, err);
    if (st) return st;
    nx_sampler *s = nx_calloc(1, sizeof *s);
    if (!s) return nx_fail(err, NX_ENOMEM, "sampler");
    s->opt = *opt;
    s->n_vocab = n_vocab;
    nx_rng_seed(&s->rng, opt->seed);
    st = take_memory(s, err);
    if (st) {
        nx_sampler_destroy(s);
        return st;
    }
    *out = s;
    return NX_OK;
}

void nx_sampler_destroy(nx_sampler *s)
{
    if (!s) return;
    nx_candidates_close(&s->set);
    nx_free(s->logits);
    nx_free(s->counts);
    nx_free(s->bias);
    nx_free(s);
}

/* ---- Steps 1 and 2: change logits ---- */

static void add_bias(nx_sampler *s)
{
    for (size_t i = 0; i < s->opt.n_bias; i++) s->logits[s->bias[i].id] += s->bias[i].bias;
}

static void penalise(nx_sampler *s, int32_t id)
{
    float *logit = &s->logits[id];
    float  r = s->opt.repeat_penalty;

    *logit = *logit > 0 ? *logit / r : *logit * r;
    *logit -= s->opt.frequency_penalty * (float)s->counts[id];
    *logit -= s->opt.presence_penalty;
}

static void add_penalties(nx_sampler *s, const int32_t *history, size_t n)
{
    const nx_sampler_options *o = &s->opt;

    if (o->repeat_penalty == 1 && o->frequency_penalty == 0 && o->presence_penalty == 0) return;
    if (o->penalty_window >= 0 && n > (size_t)o->penalty_window) {
        history += n - (size_t)o->penalty_window;
        n = (size_t)o->penalty_window;
    }
    for (size_t i = 0; i < n; i++)
        if (history[i] < s->n_vocab) s->counts[history[i]]++;
    for (size_t i = 0; i < n; i++) {
        if (history[i] >= s->n_vocab || s->counts[history[i]] == 0) continue; /* done before */
        penalise(s, history[i]);
        s->counts[history[i]] = 0;
    }
}

/* ---- Steps 3 to 8: choose ---- */

static nx_status gather(nx_sampler *s, nx_error *err)
{
    nx_candidates *set = &s->set;

    set->n = set->n_sorted = 0;
    for (int32_t id = 0; id < s->n_vocab; id++) {
        float x = s->logits[id];
        /* +inf (overflow: damaged weights, a penalty near 0) has no difference to itself. */
        if (x > -INFINITY) set->c[set->n++] = (nx_candidate){id, x < FLT_MAX ? x : FLT_MAX};
    }
    if (set->n > 0) return NX_OK;
    return nx_fail(err, NX_EINTERNAL,
                   "the model gave no usable logit (all NaN or forbidden). Damaged weights?");
}

static int32_t likeliest(const nx_candidates *set)
{
    const nx_candidate *best = &set->c[0];

    for (size_t i = 1; i < set->n; i++)
        if (set->c[i].logit > best->logit) best = &set->c[i]; /* ties: lowest id came first */
    return best->id;
}

nx_status nx_sampler_next(nx_sampler *s, int32_t *id, const float *logits, const int32_t *history,
                          size_t n_history, nx_error *err)
{
    const nx_sampler_options *o = &s->opt;

    memcpy(s->logits, logits, (size_t)s->n_vocab * sizeof *logits);
    add_bias(s);
    add_penalties(s, history, n_history);
    nx_status st = gather(s, err);
    if (st) return st;
    if (o->temperature == 0) {
        *id = likeliest(&s->set);
        return NX_OK;
    }
    if (o->top_k > 0) nx_candidates_top_k(&s->set, (size_t)o->top_k);
    if (o->typical_p < 1) nx_candidates_typical(&s->set, (double)o->typical_p);
    if (o->top_p < 1) nx_candidates_top_p(&s->set, (double)o->top_p);
    if (o->min_p > 0) nx_candidates_min_p(&s->set, (double)o->min_p);
    *id = nx_candidates_draw(&s->set, (double)o->temperature, nx_rng_uniform(&s->rng));
    return NX_OK;
}
