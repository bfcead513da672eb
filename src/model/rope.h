/* rope.h - the angles of rotary position embedding (Su et al. 2021, arXiv 2104.09864, eq. 34). */
#ifndef NX_MODEL_ROPE_H
#define NX_MODEL_ROPE_H

#include "model/model.h"

/* freq[i] = base^(-2i / n_rot) / scale / factors[i], for i < n_rot / 2. factors may be NULL. */
void nx_rope_frequencies(float *freq, const nx_hparams *hp, const float *factors);

/* cs [T, n_rot/2, 2]: cosine and sine of (pos0 + t) * freq[i]. The angle is rounded to f32 first,
 * as the reference implementations do. */
void nx_rope_table(float *cs, const float *freq, int32_t n_rot, int32_t pos0, int32_t T);

#endif
