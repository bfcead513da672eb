/* attend_avx2.c - attention of up to four queries over one KV head, with AVX2.
 *
 * Idea:   the queries that see the same of a KV head go together, so that a cached row is read and
 *         converted once for all of them. Scores first (lanes16 along the head), then their
 *         softmax, then the values: each output number is one running sum over positions, so lanes
 *         lie along the head there too, sixteen numbers of all heads at a time.
 * Thread: any; each call writes its own outputs and scores.
 */
#include "backend/cpu/attend_avx2.h"

#include "backend/cpu/lanes_avx2.h"
#include "backend/cpu/walk_avx2.h"
#include "num/blocks.h"

#define HEADS NX_ATTEND_HEADS

/* Sixteen numbers from number i (a multiple of 16) of a cached row. */
NX_INLINE void load_cached(__m256 *lo, __m256 *hi, const uint8_t *row, nx_dtype dtype, int32_t i)
{
    if (dtype != NX_DTYPE_Q8_0) {
        nx_load16(lo, hi, row, dtype, i);
        return;
    }
    const uint8_t *block = row + (size_t)(i / 32) * sizeof(nx_block_q8_0);
    uint16_t       d;
    memcpy(&d, block, sizeof d);
    __m256  step = _mm256_set1_ps(_cvtsh_ss(d));
    __m128i q = _mm_loadu_si128((const void *)(block + offsetof(nx_block_q8_0, qs) + i % 32));
    *lo = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), step);
    *hi = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(q, 8))), step);
}

/* One number of a plain cached row (Q8_0 rows are whole blocks and have no rest). */
NX_INLINE float cached1(const uint8_t *row, nx_dtype dtype, int32_t i)
{
    return nx_load1(row, dtype == NX_DTYPE_F16 ? NX_DTYPE_F16 : NX_DTYPE_F32, i);
}

/* The query as an f16 cache meets it: rounded to f16. */
static void round_query(float *out, const float *q, int64_t n)
{
    int64_t i = 0;

    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(q + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(h));
    }
    for (; i < n; i++) out[i] = _cvtsh_ss(_cvtss_sh(q[i], _MM_FROUND_TO_NEAREST_INT));
}

/* lanes16 of n_q queries with one cached row: number h of the result is query h. */
NX_INLINE __m128 dot_row(const float *q, int64_t ld, int n_q, int32_t D, const uint8_t *row,
                         nx_dtype dtype)
{
    __m256  lo[HEADS], hi[HEADS];
    int32_t i = 0;

    for (int h = 0; h < HEADS; h++) lo[h] = hi[h] = _mm256_setzero_ps();
    for (; i + 16 <= D; i += 16) {
        __m256 a, b;
        load_cached(&a, &b, row, dtype, i);
        for (int h = 0; h < n_q; h++) {
            lo[h] = _mm256_fmadd_ps(_mm256_loadu_ps(q + h * ld + i), a, lo[h]);
            hi[h] = _mm256_fmadd_ps(_mm256_loadu_ps(q + h * ld + i + 8), b, hi[h]);
        }
    }
    for (int h = 0; h < n_q && i < D; h++) {
        float acc[16];
        _mm256_storeu_ps(acc, lo[h]);
        _mm256_storeu_ps(acc + 8, hi[h]);
        for (int32_t l = 0; i + l < D; l++)
            acc[l] = fmaf(q[h * ld + i + l], cached1(row, dtype, i + l), acc[l]);
        lo[h] = _mm256_loadu_ps(acc);
        hi[h] = _mm256_loadu_ps(acc + 8);
    }
    return nx_fold8_four(_mm256_add_ps(lo[0], hi[0]), _mm256_add_ps(lo[1], hi[1]),
                         _mm256_add_ps(lo[2], hi[2]), _mm256_add_ps(lo[3], hi[3]));
}

/* Positions of a span, counted from its first, that lie in one page: their rows follow each other
 * at one stride, so the loop over them has no division and no look at the table. */
typedef struct stretch {
    const int32_t *page; /* the next one */
    int32_t        place;
    int32_t        p, end; /* p .. end - 1 */
    const uint8_t *row;    /* of p */
} stretch;

NX_INLINE stretch before_first(const nx_attend_span *s)
{
    return (stretch){.page = s->pages + s->first / s->page_len, .place = s->first % s->page_len};
}

/* Move on to the next stretch, once p has come to end. False: there is none. */
NX_INLINE bool next_stretch(stretch *t, const nx_attend_span *s, const nx_cached *c)
{
    int32_t left = s->n_pos - t->end, n = s->page_len - t->place;

    if (left <= 0) return false;
    t->p = t->end;
    t->end += n < left ? n : left;
    t->row = c->base + (size_t)*t->page++ * c->page_bytes + (size_t)t->place * c->stride;
    t->place = 0;
    return true;
}

/* scores[h][p] of all positions. */
NX_INLINE void score(float *scores, const float *q, int64_t ld, int n_q, int32_t D,
                     const nx_attend_span *s, nx_dtype dtype, float scale)
{
    const size_t  stride = s->k.stride;
    const int64_t n_pos = s->n_pos;

    for (stretch t = before_first(s); next_stretch(&t, s, &s->k);) {
        for (; t.p < t.end; t.p++, t.row += stride) {
            float y[HEADS];
            _mm_storeu_ps(y, _mm_mul_ps(dot_row(q, ld, n_q, D, t.row, dtype), _mm_set1_ps(scale)));
            for (int h = 0; h < n_q; h++) scores[h * n_pos + t.p] = y[h];
        }
    }
}

static float max_of(const float *x, int32_t n)
{
    float   max = x[0];
    int32_t i = 0;

    if (n >= 8) {
        __m256 m = _mm256_loadu_ps(x);
        float  v[8];
        for (i = 8; i + 8 <= n; i += 8) m = _mm256_max_ps(_mm256_loadu_ps(x + i), m);
        _mm256_storeu_ps(v, m);
        for (int l = 0; l < 8; l++) max = v[l] > max ? v[l] : max;
    }
    for (; i < n; i++) max = x[i] > max ? x[i] : max;
    return max;
}

/* scores to weights e_p * r. A NaN anywhere makes the sum, and so every weight, NaN, whatever the
 * maximum was. */
static void soften(float *x, int32_t n)
{
    const float max = max_of(x, n);
    __m256      lo = _mm256_setzero_ps(), hi = lo;
    int32_t     i = 0;
    float       acc[16];

    for (; i + 16 <= n; i += 16) {
        __m256 a = nx_exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(max)));
        __m256 b = nx_exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i + 8), _mm256_set1_ps(max)));
        lo = _mm256_add_ps(lo, a);
        hi = _mm256_add_ps(hi, b);
        _mm256_storeu_ps(x + i, a);
        _mm256_storeu_ps(x + i + 8, b);
    }
    _mm256_storeu_ps(acc, lo);
    _mm256_storeu_ps(acc + 8, hi);
    for (int32_t l = 0; i + l < n; l++) acc[l] += x[i + l] = nx_expf(x[i + l] - max);

    float r = 1.0f / nx_fold16(_mm256_loadu_ps(acc), _mm256_loadu_ps(acc + 8));
    for (i = 0; i + 8 <= n; i += 8)
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(r)));
    for (; i < n; i++) x[i] *= r;
}

/* out[h] = sum over p of w[h][p] * v_p, positions ascending. n_q is constant. */
NX_INLINE void mix(float *out, int64_t ld, const float *w, int n_q, int32_t D,
                   const nx_attend_span *s, nx_dtype dtype)
{
    const size_t  stride = s->v.stride;
    const int64_t n_pos = s->n_pos;
    int32_t       i = 0;

    for (; i + 16 <= D; i += 16) {
        __m256 lo[HEADS], hi[HEADS];
        for (int h = 0; h < n_q; h++) lo[h] = hi[h] = _mm256_setzero_ps();
        for (stretch t = before_first(s); next_stretch(&t, s, &s->v);) {
            for (; t.p < t.end; t.p++, t.row += stride) {
                __m256 a, b;
                load_cached(&a, &b, t.row, dtype, i);
                for (int h = 0; h < n_q; h++) {
                    __m256 e = _mm256_broadcast_ss(w + h * n_pos + t.p);
                    lo[h] = _mm256_fmadd_ps(e, a, lo[h]);
                    hi[h] = _mm256_fmadd_ps(e, b, hi[h]);
                }
            }
        }
        for (int h = 0; h < n_q; h++) {
            _mm256_storeu_ps(out + h * ld + i, lo[h]);
            _mm256_storeu_ps(out + h * ld + i + 8, hi[h]);
        }
    }
    for (; i < D; i++) {
        for (int h = 0; h < n_q; h++) {
            float o = 0;
            for (stretch t = before_first(s); next_stretch(&t, s, &s->v);)
                for (; t.p < t.end; t.p++, t.row += stride)
                    o = fmaf(w[h * n_pos + t.p], cached1(t.row, dtype, i), o);
            out[h * ld + i] = o;
        }
    }
}

/* The number of heads as a constant, so that their sums stay in registers. */
#define BY_HEADS(call_1, call_2, call_3, call_4)                                                   \
    switch (n_q) {                                                                                 \
    case 1: call_1; break;                                                                         \
    case 2: call_2; break;                                                                         \
    case 3: call_3; break;                                                                         \
    default: call_4; break;                                                                        \
    }

#define DEFINE_FOR(NAME)                                                                           \
    static void score_##NAME(float *x, const float *q, int64_t ld, int n_q, int32_t D,             \
                             const nx_attend_span *s, float scale)                                 \
    {                                                                                              \
        BY_HEADS(score(x, q, ld, 1, D, s, NX_DTYPE_##NAME, scale),                                 \
                 score(x, q, ld, 2, D, s, NX_DTYPE_##NAME, scale),                                 \
                 score(x, q, ld, 3, D, s, NX_DTYPE_##NAME, scale),                                 \
                 score(x, q, ld, 4, D, s, NX_DTYPE_##NAME, scale))                                 \
    }                                                                                              \
    static void mix_##NAME(float *out, int64_t ld, const float *x, int n_q, int32_t D,             \
                           const nx_attend_span *s)                                                \
    {                                                                                              \
        BY_HEADS(                                                                                  \
            mix(out, ld, x, 1, D, s, NX_DTYPE_##NAME), mix(out, ld, x, 2, D, s, NX_DTYPE_##NAME),  \
            mix(out, ld, x, 3, D, s, NX_DTYPE_##NAME), mix(out, ld, x, 4, D, s, NX_DTYPE_##NAME))  \
    }

DEFINE_FOR(F32)
DEFINE_FOR(F16)
DEFINE_FOR(Q8_0)

static void add_bias(float *scores, int32_t n_q, const nx_attend_span *span)
{
    for (int32_t h = 0; h < n_q && span->bias[h]; h++, scores += span->n_pos)
        for (int32_t p = 0; p < span->n_pos; p++) scores[p] += span->bias[h][p];
}

void nx_attend_avx2(float *out, const float *q, int64_t ld, int32_t n_q, int32_t D,
                    const nx_attend_span *span, float scale, float softcap, float *scores)
{
    const nx_dtype k = span->k.dtype, v = span->v.dtype;
    const int64_t  n_pos = span->n_pos;

    if (k == NX_DTYPE_F16) {
        /* out is free until values are mixed */
        for (int h = 0; h < n_q; h++) round_query(out + h * ld, q + h * ld, D);
        q = out;
    }
    if (k == NX_DTYPE_F16)
        score_F16(scores, q, ld, n_q, D, span, scale);
    else if (k == NX_DTYPE_Q8_0)
        score_Q8_0(scores, q, ld, n_q, D, span, scale);
    else
        score_F32(scores, q, ld, n_q, D, span, scale);

    add_bias(scores, n_q, span);
    if (softcap > 0) nx_softcap_avx2(scores, n_q * n_pos, 1.0f, softcap);
    for (int h = 0; h < n_q; h++) soften(scores + h * n_pos, span->n_pos);

    if (v == NX_DTYPE_F16)
        mix_F16(out, ld, scores, n_q, D, span);
    else if (v == NX_DTYPE_Q8_0)
        mix_Q8_0(out, ld, scores, n_q, D, span);
    else
        mix_F32(out, ld, scores, n_q, D, span);
}
