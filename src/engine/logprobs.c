/* logprobs.c - log-probabilities as the model gives them, before any sampling change. */
#include <math.h>

#include "engine/sampler.h"

static double log_sum_exp(const float *logits, int32_t n)
{
    double max = -INFINITY, sum = 0;

    for (int32_t i = 0; i < n; i++)
        if ((double)logits[i] > max) max = (double)logits[i];
    for (int32_t i = 0; i < n; i++) sum += exp((double)logits[i] - max);
    return max + log(sum);
}

/* Insert into top[0..n_in), which is in order and has room for n. */
static int32_t insert(nx_logprob *top, int32_t n_in, int32_t n, nx_logprob x)
{
    int32_t at = n_in;

    while (at > 0 && x.logprob > top[at - 1].logprob) at--; /* ties: the earlier id stays */
    if (at == n) return n_in;
    if (n_in < n) n_in++;
    for (int32_t i = n_in - 1; i > at; i--) top[i] = top[i - 1];
    top[at] = x;
    return n_in;
}

void nx_logprobs(nx_logprob *top, int32_t n, float *of_id, int32_t id, const float *logits,
                 int32_t n_vocab)
{
    double  norm = log_sum_exp(logits, n_vocab);
    int32_t n_in = 0;

    for (int32_t i = 0; n > 0 && i < n_vocab; i++)
        if (n_in < n || logits[i] > top[n - 1].logprob) /* holds logits until the end */
            n_in = insert(top, n_in, n, (nx_logprob){i, logits[i]});
    for (int32_t i = 0; i < n_in; i++) top[i].logprob = (float)((double)top[i].logprob - norm);
    if (id >= 0 && id < n_vocab && of_id) *of_id = (float)((double)logits[id] - norm);
}
