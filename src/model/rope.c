/* rope.c - rotary angles, in double precision where it costs nothing. */
#include "model/rope.h"

#include <math.h>

#define PI 3.14159265358979323846

/* YaRN's eq. 23 leaves frequencies that turn often as they are, divides those that turn seldom,
 * and blends between: the share that is left for frequency i. */
static double yarn_share(const nx_hparams *hp, int32_t i)
{
    double dims = hp->n_freq_dims, ctx = hp->rope_ctx_original;
    double per = dims / (2 * log(hp->rope_base));
    double low = per * log(ctx / (hp->yarn_beta_fast * 2 * PI));
    double high = per * log(ctx / (hp->yarn_beta_slow * 2 * PI));

    if (hp->yarn_truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, dims - 1);
    if (low == high) high += 0.001;
    return 1 - fmin(fmax((i - low) / (high - low), 0), 1);
}

static double dynamic_base(const nx_hparams *hp, int32_t n_seq)
{
    double dims = hp->n_freq_dims, ctx = hp->rope_ctx_original;

    if (n_seq <= hp->rope_ctx_original) return hp->rope_base;
    return hp->rope_base *
           pow(hp->rope_scale * n_seq / ctx - (hp->rope_scale - 1), dims / (dims - 2));
}

static double stretched(const nx_hparams *hp, double f, int32_t i)
{
    switch (hp->rope_scaling) {
    case NX_ROPE_SCALING_LINEAR: return f / hp->rope_scale;
    case NX_ROPE_SCALING_YARN: {
        double share = yarn_share(hp, i);
        return f / hp->rope_scale * (1 - share) + f * share;
    }
    default: return f;
    }
}

void nx_rope_frequencies(float *freq, const nx_model *m, nx_rope_set set, int32_t n_seq)
{
    const nx_hparams *hp = &m->hp;
    bool              local = set == NX_ROPE_LOCAL;
    double            base = local ? hp->rope_base_local : hp->rope_base;
    const float      *factors = local ? NULL : m->rope_factors;

    if (!local && hp->rope_scaling == NX_ROPE_SCALING_DYNAMIC) base = dynamic_base(hp, n_seq);
    if (!local && nx_rope_epoch(m, n_seq) > 0) factors = m->rope_factors_long;
    for (int32_t i = 0; i < hp->n_rot / 2; i++) {
        double f = pow(base, -2.0 * i / hp->n_freq_dims);
        if (!local) f = stretched(hp, f, i);
        freq[i] = (float)(factors ? f / (double)factors[i] : f);
    }
}

int32_t nx_rope_epoch(const nx_model *m, int32_t n_seq)
{
    return m->hp.rope_scaling == NX_ROPE_SCALING_LONGROPE && n_seq > m->hp.rope_ctx_original;
}

void nx_rope_table(float *cs, const float *freq, int32_t n_rot, float magnitude, int32_t pos0,
                   int32_t T)
{
    int32_t half = n_rot / 2;

    for (int32_t t = 0; t < T; t++) {
        for (int32_t i = 0; i < half; i++, cs += 2) {
            float angle = (float)(pos0 + t) * freq[i];
            cs[0] = (float)cos((double)angle) * magnitude;
            cs[1] = (float)sin((double)angle) * magnitude;
        }
    }
}
