/* rope.h - the angles of rotary position embedding (Su et al. 2021, arXiv 2104.09864, eq. 34), and
 * what stretches them: linear interpolation, YaRN (Peng et al. 2023, arXiv 2309.00071), LongRoPE
 * (Ding et al. 2024, arXiv 2402.13753), dynamic NTK. */
#ifndef NX_MODEL_ROPE_H
#define NX_MODEL_ROPE_H

#include "model/model.h"

/* freq [n_rot / 2] of a set, for a text of n_seq tokens (longrope and dynamic scaling look at it):
 * base^(-2i / n_freq_dims), stretched. The local set is never stretched. */
void nx_rope_frequencies(float *freq, const nx_model *m, nx_rope_set set, int32_t n_seq);

/* Texts of one epoch have keys that fit together. Where a text grows from one into the next, the
 * keys that it has stored no longer mean the same: they must be computed again. */
int32_t nx_rope_epoch(const nx_model *m, int32_t n_seq);

/* cs [T, n_rot/2, 2]: cosine and sine of (pos0 + t) * freq[i], times magnitude. The angle is
 * rounded to f32 first, as the reference implementations do. */
void nx_rope_table(float *cs, const float *freq, int32_t n_rot, float magnitude, int32_t pos0,
                   int32_t T);

#endif
