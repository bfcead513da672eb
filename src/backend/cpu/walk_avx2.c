/* walk_avx2.c - norm and rope with AVX2: the reference's steps, eight numbers at a time.
 *
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/walk_avx2.h"

#include "backend/cpu/lanes_avx2.h"

/* lanes16(n, x * x). */
static float sum_of_squares(const float *x, int64_t n)
{
    __m256  lo = _mm256_setzero_ps(), hi = lo;
    int64_t i = 0;
    float   acc[16];

    for (; i + 16 <= n; i += 16) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        lo = _mm256_fmadd_ps(a, a, lo);
        hi = _mm256_fmadd_ps(b, b, hi);
    }
    _mm256_storeu_ps(acc, lo);
    _mm256_storeu_ps(acc + 8, hi);
    for (int64_t l = 0; i + l < n; l++) acc[l] = fmaf(x[i + l], x[i + l], acc[l]);
    return nx_fold16(_mm256_loadu_ps(acc), _mm256_loadu_ps(acc + 8));
}

void nx_rmsnorm_avx2(float *out, const float *x, const float *w, int64_t D, float eps)
{
    float   r = 1.0f / sqrtf(sum_of_squares(x, D) / (float)D + eps);
    __m256  rs = _mm256_set1_ps(r);
    int64_t i = 0;

    for (; i + 8 <= D; i += 8) {
        __m256 y = _mm256_mul_ps(_mm256_loadu_ps(x + i), rs);
        _mm256_storeu_ps(out + i, _mm256_mul_ps(y, _mm256_loadu_ps(w + i)));
    }
    for (; i < D; i++) out[i] = x[i] * r * w[i];
}

/* Eight neighbours, four pairs. cs: cos and sin of each. Even lanes: a * cos - (b * sin), odd
 * ones: a * sin + (b * cos), the second product rounded before. */
NX_INLINE __m256 rotate_pairs(__m256 x, __m256 cs)
{
    const __m256 minus = _mm256_setr_ps(-0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f, 0);
    __m256       a = _mm256_moveldup_ps(x), b = _mm256_movehdup_ps(x);
    __m256       second = _mm256_mul_ps(b, _mm256_permute_ps(cs, 0xB1));

    return _mm256_fmadd_ps(a, cs, _mm256_xor_ps(second, minus));
}

/* cos and sin of eight angles from eight pairs. */
NX_INLINE void split_pairs(__m256 *cos, __m256 *sin, const float *cs)
{
    __m256 u = _mm256_loadu_ps(cs), v = _mm256_loadu_ps(cs + 8);
    __m256 a = _mm256_permute2f128_ps(u, v, 0x20), b = _mm256_permute2f128_ps(u, v, 0x31);

    *cos = _mm256_shuffle_ps(a, b, 0x88);
    *sin = _mm256_shuffle_ps(a, b, 0xDD);
}

static void rope_pairs(float *x, const float *cs, int32_t n_rot)
{
    int32_t i = 0;

    for (; i + 8 <= n_rot; i += 8)
        _mm256_storeu_ps(x + i, rotate_pairs(_mm256_loadu_ps(x + i), _mm256_loadu_ps(cs + i)));
    for (; i + 2 <= n_rot; i += 2) {
        float a = x[i], b = x[i + 1];
        x[i] = fmaf(a, cs[i], -(b * cs[i + 1]));
        x[i + 1] = fmaf(a, cs[i + 1], b * cs[i]);
    }
}

static void rope_halves(float *x, const float *cs, int32_t n_rot)
{
    int32_t i = 0, half = n_rot / 2;
    float  *y = x + half;

    for (; i + 8 <= half; i += 8) {
        const __m256 minus = _mm256_set1_ps(-0.0f);
        __m256       a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(y + i), cos, sin;
        split_pairs(&cos, &sin, cs + 2 * i);
        __m256 bs = _mm256_mul_ps(b, sin), bc = _mm256_mul_ps(b, cos);
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(a, cos, _mm256_xor_ps(bs, minus)));
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(a, sin, bc));
    }
    for (; i < half; i++) {
        float a = x[i], b = y[i], cos = cs[2 * i], sin = cs[2 * i + 1];
        x[i] = fmaf(a, cos, -(b * sin));
        y[i] = fmaf(a, sin, b * cos);
    }
}

void nx_rope_avx2(float *x, const float *cs, nx_rope_kind kind, int32_t H, int32_t D, int32_t n_rot)
{
    for (int32_t h = 0; h < H; h++, x += D) {
        if (kind == NX_ROPE_PAIRS)
            rope_pairs(x, cs, n_rot);
        else
            rope_halves(x, cs, n_rot);
    }
}
