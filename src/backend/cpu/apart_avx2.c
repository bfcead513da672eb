/* apart_avx2.c - nf4, fp4 and int8 with AVX2, and q8_0 as floats.
 *
 * Idea:   a nibble is looked up in sixteen floats held in two registers; the same steps decode a row
 *         into memory, or feed the products of a single token. Bits: those of tensor/backend.h.
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/apart_avx2.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/lanes_avx2.h"
#include "num/blocks.h"
#include "num/levels.h"

typedef struct lookup {
    __m256 low, high; /* levels 0..7, 8..15 */
    bool   mirrored;  /* fp4: the high ones are the low ones with the other sign */
} lookup;

NX_INLINE lookup levels_of(nx_dtype dtype)
{
    const float *levels = dtype == NX_DTYPE_NF4 ? nx_nf4_levels : nx_fp4_levels;

    return (lookup){_mm256_loadu_ps(levels), _mm256_loadu_ps(levels + 8), dtype == NX_DTYPE_FP4};
}

NX_INLINE __m256 look_up(lookup l, __m256i code)
{
    const __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(code, 28));
    const __m256 low = _mm256_permutevar8x32_ps(l.low, code);

    if (l.mirrored) return _mm256_xor_ps(low, _mm256_and_ps(bit3, _mm256_set1_ps(-0.0f)));
    return _mm256_blendv_ps(low, _mm256_permutevar8x32_ps(l.high, code), bit3);
}

/* nx_scale_at without a division for the nested blocks that bitsandbytes writes. */
NX_INLINE float scale_of(const nx_tensor_scales *s, int64_t block)
{
    float f;

    if (s->absmax) {
        memcpy(&f, s->absmax + 4 * block, sizeof f);
        return f;
    }
    if (s->nested_len != 256) return nx_scale_at(s, block);
    memcpy(&f, s->nested + 4 * (block >> 8), sizeof f);
    f *= s->map[s->codes[block]];
    return f + s->offset;
}

/* Sixteen numbers from eight bytes, scaled. */
NX_INLINE void decode16(__m256 *a, __m256 *b, const uint8_t *p, lookup l, __m256 scale)
{
    const __m128i mask = _mm_set1_epi8(15);
    __m128i       bytes = _mm_loadl_epi64((const void *)p);
    __m128i       first = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
    __m128i       codes = _mm_unpacklo_epi8(first, _mm_and_si128(bytes, mask));

    *a = _mm256_mul_ps(look_up(l, _mm256_cvtepu8_epi32(codes)), scale);
    *b = _mm256_mul_ps(look_up(l, _mm256_cvtepu8_epi32(_mm_srli_si128(codes, 8))), scale);
}

/* ---- Rows into memory ---- */

static void decode_nibbles(float *dst, const nx_tensor *w, int64_t row, int64_t n_rows)
{
    const nx_tensor_scales *s = w->scales;
    const uint8_t          *src = (const uint8_t *)w->data + (size_t)row * (size_t)(w->ne[0] / 2);
    int64_t                 n = n_rows * w->ne[0];
    int64_t                 block = (w->first_number + row * w->ne[0]) / s->block_len;
    const lookup            l = levels_of(w->dtype);

    for (int64_t i = 0; i < n; block++) {
        const __m256 scale = _mm256_set1_ps(scale_of(s, block));
        int64_t      end = i + s->block_len < n ? i + s->block_len : n;
        for (; i < end; i += 16) {
            __m256 a, b;
            decode16(&a, &b, src + i / 2, l, scale);
            _mm256_storeu_ps(dst + i, a);
            _mm256_storeu_ps(dst + i + 8, b);
        }
    }
}

/* q8_0: whole blocks, since rows are. */
static void decode_q8(float *dst, const nx_tensor *w, int64_t row, int64_t n_rows)
{
    const uint8_t *src = (const uint8_t *)w->data + (size_t)row * nx_tensor_row_bytes(w);
    const int64_t  n = n_rows * w->ne[0];

    for (int64_t i = 0; i < n; i += 32, src += sizeof(nx_block_q8_0)) {
        uint16_t half;
        memcpy(&half, src + offsetof(nx_block_q8_0, d), sizeof half);
        __m256 d = _mm256_set1_ps(_cvtsh_ss(half));
        for (int j = 0; j < 32; j += 8) {
            __m128i q = _mm_loadl_epi64((const void *)(src + offsetof(nx_block_q8_0, qs) + j));
            __m256  y = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
            _mm256_storeu_ps(dst + i + j, _mm256_mul_ps(d, y));
        }
    }
}

void nx_decode_rows_avx2(float *dst, const nx_tensor *w, int64_t row, int64_t n_rows)
{
    bool nibbles = w->dtype == NX_DTYPE_NF4 || w->dtype == NX_DTYPE_FP4;

    if (nibbles && w->ne[0] % 16 == 0 && w->scales->block_len % 16 == 0 &&
        (w->first_number + row * w->ne[0]) % w->scales->block_len == 0)
        decode_nibbles(dst, w, row, n_rows);
    else if (w->dtype == NX_DTYPE_Q8_0)
        decode_q8(dst, w, row, n_rows);
    else
        nx_tensor_decode(dst, w, row, n_rows);
}

/* ---- One token ---- */

#define STREAMS 4 /* rows read side by side, far apart: memory likes several long streams */

/* y[r] = row (row + r * band) . x   for r < R. */
NX_INLINE void dot_rows(float *y, int R, const nx_tensor *w, int64_t row, int64_t band,
                        const float *x, lookup l)
{
    const nx_tensor_scales *s = w->scales;
    const int64_t           K = w->ne[0], per_row = K / s->block_len;
    const uint8_t          *p[STREAMS];
    int64_t                 block[STREAMS];
    __m256                  lo[STREAMS], hi[STREAMS];

    for (int r = 0; r < R; r++) {
        p[r] = (const uint8_t *)w->data + (size_t)(row + r * band) * (size_t)(K / 2);
        block[r] = w->first_number / s->block_len + (row + r * band) * per_row;
        lo[r] = hi[r] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < per_row; b++) {
        __m256 scale[STREAMS];
        for (int r = 0; r < R; r++) {
            scale[r] = _mm256_set1_ps(scale_of(s, block[r] + b));
            nx_prefetch(p[r] + b * s->block_len / 2);
        }
        for (int64_t i = b * s->block_len; i < (b + 1) * s->block_len; i += 16) {
            const __m256 x_lo = _mm256_loadu_ps(x + i), x_hi = _mm256_loadu_ps(x + i + 8);
            for (int r = 0; r < R; r++) {
                __m256 a, c;
                decode16(&a, &c, p[r] + i / 2, l, scale[r]);
                lo[r] = _mm256_fmadd_ps(a, x_lo, lo[r]);
                hi[r] = _mm256_fmadd_ps(c, x_hi, hi[r]);
            }
        }
    }
    for (int r = 0; r < R; r++) y[r] = nx_fold16(lo[r], hi[r]);
}

NX_INLINE void gemv(float *out, const nx_tensor *w, nx_dtype dtype, int64_t row, int64_t n_rows,
                    const float *x, bool add)
{
    const lookup  l = levels_of(dtype);
    const int64_t band = n_rows / STREAMS;
    float         y[STREAMS];

    for (int64_t i = 0; i < band; i++) {
        dot_rows(y, STREAMS, w, row + i, band, x, l);
        for (int r = 0; r < STREAMS; r++) {
            float *o = out + i + r * band;
            *o = add ? *o + y[r] : y[r];
        }
    }
    for (int64_t i = band * STREAMS; i < n_rows; i++) {
        dot_rows(y, 1, w, row + i, 0, x, l);
        out[i] = add ? out[i] + y[0] : y[0];
    }
}

void nx_gemv_nibbles_avx2(float *out, const nx_tensor *w, int64_t row, int64_t n_rows,
                          const float *x, bool add)
{
    if (w->dtype == NX_DTYPE_NF4)
        gemv(out, w, NX_DTYPE_NF4, row, n_rows, x, add);
    else
        gemv(out, w, NX_DTYPE_FP4, row, n_rows, x, add);
}

/* ---- int8 ---- */

/* Activations as halves, and their magnitudes. */
NX_INLINE __m256 halve(const float *x)
{
    return _mm256_cvtph_ps(_mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT));
}

NX_INLINE float halve1(float x)
{
    return _cvtsh_ss(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT));
}

/* The largest magnitude below the threshold (all, when it is 0); NaN when there is one. */
static float row_max(const float *x, int64_t K, float threshold)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 limit = _mm256_set1_ps(threshold > 0 ? threshold : INFINITY);
    __m256       max = _mm256_setzero_ps(), nan = _mm256_setzero_ps();
    float        lanes[8], amax = 0;
    int64_t      i = 0;

    for (; i + 8 <= K; i += 8) {
        __m256 m = _mm256_andnot_ps(sign, halve(x + i));
        __m256 in = _mm256_cmp_ps(m, limit, _CMP_LT_OQ);
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(m, m, _CMP_UNORD_Q));
        if (!(threshold > 0)) in = _mm256_cmp_ps(m, m, _CMP_ORD_Q); /* infinities count */
        max = _mm256_max_ps(max, _mm256_and_ps(m, in));
    }
    if (_mm256_movemask_ps(nan)) return NAN;
    _mm256_storeu_ps(lanes, max);
    for (int l = 0; l < 8; l++) amax = lanes[l] > amax ? lanes[l] : amax;
    for (; i < K; i++) {
        float m = fabsf(halve1(x[i]));
        if (m != m) return NAN;
        if (threshold > 0 && m >= threshold) continue;
        amax = m > amax ? m : amax;
    }
    return amax;
}

void nx_quantize_int8_avx2(const nx_act *a, int32_t t)
{
    const float *x = a->x + t * a->K;
    int8_t      *q = a->q + t * a->K;
    const float  amax = row_max(x, a->K, a->threshold);
    const bool   usable = amax > 0 && amax <= NX_F16_MAX;
    const float  scale = 1.0f / amax * 127.0f; /* two roundings, as bitsandbytes */

    a->d[t] = amax <= NX_F16_MAX ? amax : NAN;
    if (!usable) {
        memset(q, 0, (size_t)a->K);
        return;
    }
    for (int64_t i = 0; i < a->K; i++) {
        float h = halve1(x[i]);
        q[i] = a->threshold > 0 && fabsf(h) >= a->threshold
                   ? 0
                   : (int8_t)_mm_cvtss_si32(_mm_set_ss(h * scale));
    }
    for (int32_t j = 0; j < a->n_outliers; j++) q[a->outliers[j]] = 0;
}

NX_INLINE int32_t sum8(__m256i v)
{
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1)));
}

/* |w| as unsigned bytes times q with w's sign: 128 * 127 * 2 fits int16 (q is never -128). */
NX_INLINE void sum_rows(int32_t *sums, int R, const int8_t *w, const int8_t *q, int64_t K)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i       acc[4];
    int64_t       i = 0;

    for (int r = 0; r < R; r++) acc[r] = _mm256_setzero_si256();
    for (; i + 32 <= K; i += 32) {
        const __m256i x = _mm256_loadu_si256((const void *)(q + i));
        for (int r = 0; r < R; r++) {
            __m256i v = _mm256_loadu_si256((const void *)(w + r * K + i));
            nx_prefetch((const uint8_t *)w + r * K + i);
            __m256i pair = _mm256_maddubs_epi16(_mm256_abs_epi8(v), _mm256_sign_epi8(x, v));
            acc[r] = _mm256_add_epi32(acc[r], _mm256_madd_epi16(pair, ones));
        }
    }
    for (int r = 0; r < R; r++) {
        sums[r] = sum8(acc[r]);
        for (int64_t j = i; j < K; j++) sums[r] += w[r * K + j] * q[j];
    }
}

void nx_sum_int8_avx2(int32_t *sums, const int8_t *w, int n_rows, const int8_t *q, int64_t K)
{
    if (n_rows == 4) {
        sum_rows(sums, 4, w, q, K);
        return;
    }
    for (int r = 0; r < n_rows; r++) sum_rows(sums + r, 1, w + r * K, q, K);
}
