/* rel_bias.c - biases of attention by distance (Raffel et al. 2019, arXiv 1910.10683, section 2.1; MPNet,
 * Song et al. 2020, arXiv 2004.09297): near distances have one each, farther ones share, in steps that
 * grow with the logarithm, and from 128 on there is one for all. */
#include <math.h>

#include "model/arch.h"

#define DISTANCE_MAX 128

/* In floats, as the original computes it: some distances lie on the border of two buckets. */
static int32_t bucket_of(int32_t distance, int32_t n_buckets)
{
    int32_t half = n_buckets / 2, exact = half / 2, n = distance < 0 ? -distance : distance;
    int32_t side = distance > 0 ? half : 0; /* the key stands behind the query */

    if (n < exact) return side + n;
    float share = logf((float)n / (float)exact) / (float)log((double)DISTANCE_MAX / (double)exact) *
                  (float)(half - exact);
    int32_t far = exact + (int32_t)fminf(share, (float)half);
    return side + (far < half ? far : half - 1);
}

void nx_rel_bias_spread(float *out, const nx_tensor *by_bucket, int32_t n_ctx, float *row)
{
    int64_t H = by_bucket->ne[0], width = 2 * (int64_t)n_ctx - 1;

    for (int32_t i = 0; i < width; i++) {
        nx_tensor_decode(row, by_bucket, bucket_of(i - (n_ctx - 1), (int32_t)by_bucket->ne[1]), 1);
        for (int64_t h = 0; h < H; h++) out[h * width + i] = row[h];
    }
}
