/* sampler.c - the steps from logits to a token, in the order that sampler.h fixes. */
#include "engine/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/candidates.h"
#include "num/rng.h"

struct nx_sampler_desk {
    int32_t       n_vocab;
    float        *logits; /* [n_vocab]: the changed copy */
    int32_t      *counts; /* [n_vocab]: times in the window; zero between calls */
    nx_candidates set;
};

struct nx_sampler {
    nx_sampler_options opt;
    nx_logit_bias     *bias; /* [opt.n_bias], owned */
    nx_sampler_desk   *desk;
    bool               own_desk;
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

static nx_status desk_create(nx_sampler_desk **out, int32_t n_vocab, bool with_typical,
                             nx_error *err)
{
    nx_sampler_desk *d = nx_calloc(1, sizeof *d);
    size_t           n = (size_t)n_vocab;
    nx_status        st = NX_OK;

    *out = NULL;
    if (!d) return nx_fail(err, NX_ENOMEM, "sampler for %d tokens", n_vocab);
    d->n_vocab = n_vocab;
    d->logits = nx_alloc(n, sizeof *d->logits);
    d->counts = nx_calloc(n, sizeof *d->counts);
    if (!d->logits || !d->counts) st = nx_fail(err, NX_ENOMEM, "sampler for %d tokens", n_vocab);
    if (!st) st = nx_candidates_open(&d->set, n, with_typical, err);
    if (st)
        nx_sampler_desk_destroy(d);
    else
        *out = d;
    return st;
}

nx_status nx_sampler_desk_create(nx_sampler_desk **out, int32_t n_vocab, nx_error *err)
{
    return desk_create(out, n_vocab, true, err);
}

void nx_sampler_desk_destroy(nx_sampler_desk *d)
{
    if (!d) return;
    nx_candidates_close(&d->set);
    nx_free(d->logits);
    nx_free(d->counts);
    nx_free(d);
}

static nx_status open_sampler(nx_sampler *s, const nx_sampler_options *opt, nx_error *err)
{
    s->opt = *opt;
    s->bias = nx_alloc(opt->n_bias, sizeof *s->bias);
    if (!s->bias) return nx_fail(err, NX_ENOMEM, "logit biases");
    if (opt->n_bias) memcpy(s->bias, opt->bias, opt->n_bias * sizeof *s->bias);
    s->opt.bias = s->bias;
    nx_rng_seed(&s->rng, opt->seed);
    return NX_OK;
}

/* desk NULL: one of its own. */
static nx_status create(nx_sampler **out, const nx_sampler_options *opt, int32_t n_vocab,
                        nx_sampler_desk *desk, nx_error *err)
{
    *out = NULL;
    nx_status st = check_options(opt, n_vocab, err);
    if (st) return st;
    nx_sampler *s = nx_calloc(1, sizeof *s);
    if (!s) return nx_fail(err, NX_ENOMEM, "sampler");
    s->desk = desk;
    s->own_desk = !desk;
    st = open_sampler(s, opt, err);
    if (!st && !desk) st = desk_create(&s->desk, n_vocab, opt->typical_p < 1, err);
    if (st) {
        nx_sampler_destroy(s);
        return st;
    }
    *out = s;
    return NX_OK;
}

nx_status nx_sampler_create(nx_sampler **out, const nx_sampler_options *opt, int32_t n_vocab,
                            nx_error *err)
{
    return create(out, opt, n_vocab, NULL, err);
}

nx_status nx_sampler_create_at(nx_sampler **out, const nx_sampler_options *opt,
                               nx_sampler_desk *desk, nx_error *err)
{
    return create(out, opt, desk->n_vocab, desk, err);
}

void nx_sampler_destroy(nx_sampler *s)
{
    if (!s) return;
    if (s->own_desk) nx_sampler_desk_destroy(s->desk);
    nx_free(s->bias);
    nx_free(s);
}

/* ---- Steps 1 and 2: change logits ---- */

static void add_bias(nx_sampler *s)
{
    for (size_t i = 0; i < s->opt.n_bias; i++) s->desk->logits[s->bias[i].id] += s->bias[i].bias;
}

static void penalise(nx_sampler *s, int32_t id)
{
    float *logit = &s->desk->logits[id];
    float  r = s->opt.repeat_penalty;

    *logit = *logit > 0 ? *logit / r : *logit * r;
    *logit -= s->opt.frequency_penalty * (float)s->desk->counts[id];
    *logit -= s->opt.presence_penalty;
}

static bool has_penalties(const nx_sampler_options *o)
{
    return o->repeat_penalty != 1 || o->frequency_penalty != 0 || o->presence_penalty != 0;
}

static void add_penalties(nx_sampler *s, const int32_t *history, size_t n)
{
    const nx_sampler_options *o = &s->opt;
    int32_t                  *counts = s->desk->counts, n_vocab = s->desk->n_vocab;

    if (!has_penalties(o)) return;
    if (o->penalty_window >= 0 && n > (size_t)o->penalty_window) {
        history += n - (size_t)o->penalty_window;
        n = (size_t)o->penalty_window;
    }
    for (size_t i = 0; i < n; i++)
        if (history[i] < n_vocab) counts[history[i]]++;
    for (size_t i = 0; i < n; i++) {
        if (history[i] >= n_vocab || counts[history[i]] == 0) continue; /* done before */
        penalise(s, history[i]);
        counts[history[i]] = 0;
    }
}

/* ---- Steps 3 to 8: choose ---- */

static nx_status no_candidate(nx_error *err)
{
    return nx_fail(err, NX_EINTERNAL,
                   "the model gave no usable logit (all NaN or forbidden). Damaged weights?");
}

static nx_status gather(nx_sampler *s, nx_error *err)
{
    nx_candidates *set = &s->desk->set;

    set->n = set->n_sorted = 0;
    for (int32_t id = 0; id < s->desk->n_vocab; id++) {
        float x = s->desk->logits[id];
        /* +inf (overflow: damaged weights, a penalty near 0) has no difference to itself. */
        if (x > -INFINITY) set->c[set->n++] = (nx_candidate){id, x < FLT_MAX ? x : FLT_MAX};
    }
    return set->n > 0 ? NX_OK : no_candidate(err);
}

/* The largest number of x[0..n), NaN aside; -inf when there is none. In eight lanes, so that the
 * compiler makes vector instructions of it. */
static float largest(const float *x, int32_t n)
{
    float   m[8];
    int32_t i = 0;

    for (int l = 0; l < 8; l++) m[l] = -INFINITY;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) m[l] = x[i + l] > m[l] ? x[i + l] : m[l];
    for (; i < n; i++) m[0] = x[i] > m[0] ? x[i] : m[0];
    for (int l = 1; l < 8; l++) m[0] = m[l] > m[0] ? m[l] : m[0];
    return m[0];
}

/* The lowest id of the largest logit. */
static nx_status likeliest(int32_t *id, const float *logits, int32_t n_vocab, nx_error *err)
{
    float max = largest(logits, n_vocab);

    if (max == -INFINITY) return no_candidate(err);
    for (*id = 0; logits[*id] != max;) ++*id;
    return NX_OK;
}

bool nx_sampler_is_plain_greedy(const nx_sampler *s)
{
    return s->opt.temperature == 0 && s->opt.n_bias == 0 && !has_penalties(&s->opt);
}

nx_status nx_sampler_next(nx_sampler *s, int32_t *id, const float *logits, const int32_t *history,
                          size_t n_history, nx_error *err)
{
    const nx_sampler_options *o = &s->opt;
    nx_sampler_desk          *d = s->desk;

    if (nx_sampler_is_plain_greedy(s)) return likeliest(id, logits, d->n_vocab, err);
    memcpy(d->logits, logits, (size_t)d->n_vocab * sizeof *logits);
    add_bias(s);
    add_penalties(s, history, n_history);
    if (o->temperature == 0) return likeliest(id, d->logits, d->n_vocab, err);
    nx_status st = gather(s, err);
    if (st) return st;
    if (o->top_k > 0) nx_candidates_top_k(&d->set, (size_t)o->top_k);
    if (o->typical_p < 1) nx_candidates_typical(&d->set, (double)o->typical_p);
    if (o->top_p < 1) nx_candidates_top_p(&d->set, (double)o->top_p);
    if (o->min_p > 0) nx_candidates_min_p(&d->set, (double)o->min_p);
    *id = nx_candidates_draw(&d->set, (double)o->temperature, nx_rng_uniform(&s->rng));
    return NX_OK;
}
