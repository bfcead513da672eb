/* curves_avx2.c - layer norm, activations, sums and soft caps with AVX2: the reference's steps, eight
 * numbers at a time.
 *
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/lanes_avx2.h"
#include "backend/cpu/ref/kernels_ref.h"
#include "backend/cpu/walk_avx2.h"
#include "num/curves.h"

/* lanes16 sum of x, and lanes16(n, d * d) with d = x - mean. */
static float sum_of(const float *x, int64_t n)
{
    __m256  lo = _mm256_setzero_ps(), hi = lo;
    int64_t i = 0;
    float   acc[16];

    for (; i + 16 <= n; i += 16) {
        lo = _mm256_add_ps(lo, _mm256_loadu_ps(x + i));
        hi = _mm256_add_ps(hi, _mm256_loadu_ps(x + i + 8));
    }
    _mm256_storeu_ps(acc, lo);
    _mm256_storeu_ps(acc + 8, hi);
    for (int64_t l = 0; i + l < n; l++) acc[l] += x[i + l];
    return nx_fold16(_mm256_loadu_ps(acc), _mm256_loadu_ps(acc + 8));
}

static float sum_of_deviations(const float *x, int64_t n, float mean)
{
    __m256  lo = _mm256_setzero_ps(), hi = lo, m = _mm256_set1_ps(mean);
    int64_t i = 0;
    float   acc[16];

    for (; i + 16 <= n; i += 16) {
        __m256 a = _mm256_sub_ps(_mm256_loadu_ps(x + i), m);
        __m256 b = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), m);
        lo = _mm256_fmadd_ps(a, a, lo);
        hi = _mm256_fmadd_ps(b, b, hi);
    }
    _mm256_storeu_ps(acc, lo);
    _mm256_storeu_ps(acc + 8, hi);
    for (int64_t l = 0; i + l < n; l++) acc[l] = fmaf(x[i + l] - mean, x[i + l] - mean, acc[l]);
    return nx_fold16(_mm256_loadu_ps(acc), _mm256_loadu_ps(acc + 8));
}

void nx_layernorm_avx2(float *out, const float *x, const float *w, const float *b, int64_t D,
                       float eps)
{
    float   mean = sum_of(x, D) / (float)D;
    float   r = 1.0f / sqrtf(sum_of_deviations(x, D, mean) / (float)D + eps);
    __m256  m = _mm256_set1_ps(mean), rs = _mm256_set1_ps(r);
    int64_t i = 0;

    for (; i + 8 <= D; i += 8) {
        __m256 y = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), m), rs);
        __m256 g = _mm256_loadu_ps(w + i);
        y = b ? _mm256_fmadd_ps(y, g, _mm256_loadu_ps(b + i)) : _mm256_mul_ps(y, g);
        _mm256_storeu_ps(out + i, y);
    }
    for (; i < D; i++) {
        float y = (x[i] - mean) * r;
        out[i] = b ? fmaf(y, w[i], b[i]) : y * w[i];
    }
}

/* -------- the curves of num/curves.h -------- */

NX_INLINE __m256 magnitude(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

/* y >= 0 or NaN, with the sign of x. */
NX_INLINE __m256 with_sign(__m256 y, __m256 x)
{
    return _mm256_or_ps(y, _mm256_and_ps(_mm256_set1_ps(-0.0f), x));
}

/* p * x + c, c a constant. */
NX_INLINE __m256 step(__m256 p, __m256 x, float c)
{
    return _mm256_fmadd_ps(p, x, _mm256_set1_ps(c));
}

NX_INLINE __m256 tanh8(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f), two = _mm256_set1_ps(2.0f);
    __m256       a = magnitude(x), s = _mm256_mul_ps(x, x);
    __m256       p = step(_mm256_set1_ps(NX_TANH_T4), s, NX_TANH_T3);

    p = step(step(step(p, s, NX_TANH_T2), s, NX_TANH_T1), s, NX_TANH_T0);
    __m256 small = _mm256_fmadd_ps(_mm256_mul_ps(p, s), x, x);
    __m256 e = nx_exp8(_mm256_mul_ps(two, a));
    __m256 large = _mm256_sub_ps(one, _mm256_div_ps(two, _mm256_add_ps(e, one)));
    return _mm256_blendv_ps(with_sign(large, x), small,
                            _mm256_cmp_ps(a, _mm256_set1_ps(NX_TANH_SMALL), _CMP_LT_OQ));
}

/* nx_expf of numbers from -80 to 0, or NaN: its steps without those for what lies outside, and with one
 * power of two where two only matter for tiny results. The same bits. */
NX_INLINE __m256 exp8_inside(__m256 x)
{
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(NX_EXP_LOG2E)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-NX_EXP_LN2_HI), x);

    r = _mm256_fmadd_ps(n, _mm256_set1_ps(-NX_EXP_LN2_LO), r);
    __m256 p = step(_mm256_set1_ps(NX_EXP_C7), r, NX_EXP_C6);
    p = step(step(step(step(p, r, NX_EXP_C5), r, NX_EXP_C4), r, NX_EXP_C3), r, NX_EXP_C2);
    p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r), _mm256_set1_ps(1.0f));
    __m256i k = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(k, 23)));
}

NX_INLINE __m256 erf8(__m256 x)
{
    __m256 a = magnitude(x), s = _mm256_mul_ps(x, x);
    __m256 p = step(_mm256_set1_ps(NX_ERF_S5), s, NX_ERF_S4);

    p = step(step(step(step(p, s, NX_ERF_S3), s, NX_ERF_S2), s, NX_ERF_S1), s, NX_ERF_S0);
    __m256 small = _mm256_fmadd_ps(p, x, x);
    __m256 is_small = _mm256_cmp_ps(a, _mm256_set1_ps(NX_ERF_SMALL), _CMP_LT_OQ);

    a = _mm256_min_ps(_mm256_set1_ps(NX_ERF_ONE), a); /* a NaN stays */
    p = step(_mm256_set1_ps(NX_ERF_L5), a, NX_ERF_L4);
    p = step(step(step(step(p, a, NX_ERF_L3), a, NX_ERF_L2), a, NX_ERF_L1), a, NX_ERF_L0);
    /* p a lies between -17 and 0: a is at most NX_ERF_ONE */
    __m256 large = _mm256_sub_ps(_mm256_set1_ps(1.0f), exp8_inside(_mm256_mul_ps(p, a)));
    return _mm256_blendv_ps(with_sign(large, x), small, is_small);
}

NX_INLINE __m256 activate8(__m256 x, nx_activation kind)
{
    const __m256 minus = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    __m256       u;

    switch (kind) {
    case NX_ACTIVATION_RELU: return _mm256_max_ps(_mm256_setzero_ps(), x); /* -0 and NaN stay */
    case NX_ACTIVATION_GELU_ERF:
        u = erf8(_mm256_mul_ps(x, _mm256_set1_ps(NX_SQRT_HALF_F)));
        return _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.5f), x), _mm256_add_ps(one, u));
    case NX_ACTIVATION_GELU_TANH:
        u = step(_mm256_set1_ps(NX_GELU_C3), _mm256_mul_ps(x, x), NX_GELU_C1);
        u = _mm256_mul_ps(x, u);
        break;
    default: u = _mm256_xor_ps(x, minus); break;
    }
    return _mm256_div_ps(x, _mm256_add_ps(one, nx_exp8(u)));
}

NX_INLINE void act_mul(float *out, const float *gate, const float *up, int64_t n,
                       nx_activation kind)
{
    int64_t i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 y = activate8(_mm256_loadu_ps(gate + i), kind);
        if (up) y = _mm256_mul_ps(y, _mm256_loadu_ps(up + i));
        _mm256_storeu_ps(out + i, y);
    }
    nx_act_mul_ref(out + i, gate + i, up ? up + i : NULL, n - i, kind);
}

void nx_act_mul_avx2(float *out, const float *gate, const float *up, int64_t n, nx_activation kind)
{
    switch (kind) { /* each a loop of its own */
    case NX_ACTIVATION_GELU_TANH: act_mul(out, gate, up, n, NX_ACTIVATION_GELU_TANH); break;
    case NX_ACTIVATION_GELU_ERF: act_mul(out, gate, up, n, NX_ACTIVATION_GELU_ERF); break;
    case NX_ACTIVATION_RELU: act_mul(out, gate, up, n, NX_ACTIVATION_RELU); break;
    default: act_mul(out, gate, up, n, NX_ACTIVATION_SILU); break;
    }
}

void nx_add_avx2(float *out, const float *a, int64_t n, float scale)
{
    const __m256 s = _mm256_set1_ps(scale);
    int64_t      i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 y = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), s, _mm256_loadu_ps(out + i));
        _mm256_storeu_ps(out + i, y);
    }
    nx_add_ref(out + i, a + i, n - i, scale);
}

void nx_softcap_avx2(float *x, int64_t n, float scale, float cap)
{
    const __m256 s = _mm256_set1_ps(scale), c = _mm256_set1_ps(cap);
    int64_t      i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 y = _mm256_mul_ps(_mm256_loadu_ps(x + i), s);
        if (cap > 0) y = _mm256_mul_ps(c, tanh8(_mm256_div_ps(y, c)));
        _mm256_storeu_ps(x + i, y);
    }
    nx_softcap_ref(x + i, n - i, scale, cap);
}
