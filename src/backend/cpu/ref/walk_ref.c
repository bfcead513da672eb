/* walk_ref.c - the small ops of a transformer's walk: norm, rope, attention. The reference.
 *
 * Thread: any; each call writes its own outputs.
 */
#include <math.h>

#include "backend/cpu/ref/kernels_ref.h"
#include "backend/cpu/ref/lanes_ref.h"
#include "num/blocks.h"
#include "num/expf.h"
#include "num/half.h"

void nx_rmsnorm_ref(float *out, const float *x, const float *w, int64_t D, float eps)
{
    float acc[16] = {0};

    for (int64_t i = 0; i < D; i++) acc[i % 16] = fmaf(x[i], x[i], acc[i % 16]);
    float r = 1.0f / sqrtf(nx_lanes_fold(acc) / (float)D + eps);
    for (int64_t i = 0; i < D; i++) out[i] = x[i] * r * w[i];
}

static void rotate(float *a, float *b, float cos, float sin)
{
    float x = *a, y = *b;

    *a = fmaf(x, cos, -(y * sin));
    *b = fmaf(x, sin, y * cos);
}

void nx_rope_ref(float *x, const float *cs, nx_rope_kind kind, int32_t H, int32_t D, int32_t n_rot)
{
    int32_t half = n_rot / 2;

    for (int32_t h = 0; h < H; h++, x += D) {
        for (int32_t i = 0; i < half; i++) {
            if (kind == NX_ROPE_PAIRS)
                rotate(&x[2 * i], &x[2 * i + 1], cs[2 * i], cs[2 * i + 1]);
            else
                rotate(&x[i], &x[i + half], cs[2 * i], cs[2 * i + 1]);
        }
    }
}

/* Cache rows are decoded a piece at a time, so that no head is too long for the stack. */
#define PIECE 256

/* With an f16 cache, the query that meets it is rounded to f16 too (backend.h tells why). */
static float as_cached(float x, nx_dtype dtype)
{
    return dtype == NX_DTYPE_F16 ? nx_f16_to_f32(nx_f32_to_f16(x)) : x;
}

static float dot_cached(const float *q, const uint8_t *row, nx_dtype dtype, int32_t D)
{
    const nx_dtype_info *info = nx_dtype_get(dtype);
    float                piece[PIECE], acc[16] = {0};

    for (int32_t i0 = 0; i0 < D; i0 += PIECE) {
        int32_t n = D - i0 < PIECE ? D - i0 : PIECE;
        info->decode(piece, row + nx_dtype_row_bytes(dtype, i0), n);
        for (int32_t i = 0; i < n; i++)
            acc[(i0 + i) % 16] = fmaf(as_cached(q[i0 + i], dtype), piece[i], acc[(i0 + i) % 16]);
    }
    return nx_lanes_fold(acc);
}

static void add_cached(float *out, float e, const uint8_t *row, nx_dtype dtype, int32_t D)
{
    const nx_dtype_info *info = nx_dtype_get(dtype);
    float                piece[PIECE];

    for (int32_t i0 = 0; i0 < D; i0 += PIECE) {
        int32_t n = D - i0 < PIECE ? D - i0 : PIECE;
        info->decode(piece, row + nx_dtype_row_bytes(dtype, i0), n);
        for (int32_t i = 0; i < n; i++) out[i0 + i] = fmaf(e, piece[i], out[i0 + i]);
    }
}

/* scores to weights e_p; returns 1 / their sum. */
static float soften(float *scores, int32_t n_pos)
{
    float max = scores[0], acc[16] = {0};

    for (int32_t p = 1; p < n_pos; p++)
        if (scores[p] > max) max = scores[p];
    for (int32_t p = 0; p < n_pos; p++) {
        scores[p] = nx_expf(scores[p] - max);
        acc[p % 16] += scores[p];
    }
    return 1.0f / nx_lanes_fold(acc);
}

/* The cached row of position p of the span. */
static const uint8_t *row_at(const nx_cached *c, const nx_attend_span *s, int32_t p)
{
    int32_t page = s->pages[(s->first + p) / s->page_len], place = (s->first + p) % s->page_len;

    return c->base + (size_t)page * c->page_bytes + (size_t)place * c->stride;
}

void nx_attend_ref(float *out, const float *q, int64_t ld, int32_t n_q, int32_t D,
                   const nx_attend_span *span, float scale, float softcap, float *scores)
{
    const nx_cached *k = &span->k, *v = &span->v;
    int32_t          n_pos = span->n_pos;

    for (int32_t h = 0; h < n_q; h++, q += ld, out += ld) {
        for (int32_t p = 0; p < n_pos; p++)
            scores[p] = dot_cached(q, row_at(k, span, p), k->dtype, D);
        nx_softcap_ref(scores, n_pos, scale, 0);
        for (int32_t p = 0; span->bias[h] && p < n_pos; p++) scores[p] += span->bias[h][p];
        if (softcap > 0) nx_softcap_ref(scores, n_pos, 1.0f, softcap);
        float r = soften(scores, n_pos);

        for (int32_t i = 0; i < D; i++) out[i] = 0;
        for (int32_t p = 0; p < n_pos; p++)
            add_cached(out, scores[p] * r, row_at(v, span, p), v->dtype, D);
    }
}

void nx_kernels_add_ref(nx_kernels *k)
{
    k->name = "cpu-ref";
    k->quantize_q8 = nx_quantize_q8_ref;
    k->quantize_q8k = nx_quantize_q8k_ref;
    k->quantize_q15 = nx_quantize_q15_ref;
    k->matmul_q15 = nx_matmul_q15_ref;
    nx_matmul_add_ref(k);
    nx_apart_add_ref(k);
    k->rmsnorm = nx_rmsnorm_ref;
    k->layernorm = nx_layernorm_ref;
    k->rope = nx_rope_ref;
    k->store_f16 = nx_store_f16_ref;
    k->store_q8_0 = nx_store_q8_0_ref;
    k->attend = nx_attend_ref;
    k->act_mul = nx_act_mul_ref;
    k->add = nx_add_ref;
    k->softcap = nx_softcap_ref;
    k->route = nx_route_ref;
}
