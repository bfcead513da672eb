/* rig.h - what the tests of the CPU backend share: seeded noise, guarded buffers, random weights,
 * and backends of every variant and thread count. */
#ifndef NX_TESTS_BACKEND_CPU_RIG_H
#define NX_TESTS_BACKEND_CPU_RIG_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/cpu.h"
#include "base/alloc.h"
#include "num/blocks.h"
#include "num/half.h"
#include "os/cpu.h"

/* -------- seeded noise (splitmix64) -------- */

static uint64_t rig_state = 1;

static inline uint64_t rig_u64(void)
{
    uint64_t z = (rig_state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Uniform in [-1, 1). */
static inline float rig_f32(void)
{
    return (float)((double)(rig_u64() >> 40) * 0x1p-23 - 1.0);
}

static inline void rig_fill(float *x, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++) x[i] = rig_f32() * scale;
}

/* -------- guarded buffers: bytes on both sides that nobody may write -------- */

#define GUARD_BYTES 128
#define GUARD       0xA5

typedef struct rig_buf {
    uint8_t *base;
    void    *p; /* 64-byte aligned + skew */
    size_t   bytes;
} rig_buf;

static inline rig_buf rig_buf_make(size_t bytes, size_t skew)
{
    rig_buf b = {.bytes = bytes};

    b.base = nx_alloc_aligned(bytes + 2 * GUARD_BYTES + 64, 1, 64);
    assert_non_null(b.base);
    memset(b.base, GUARD, bytes + 2 * GUARD_BYTES + 64);
    b.p = b.base + GUARD_BYTES + skew;
    return b;
}

static inline void rig_buf_check(const rig_buf *b, const char *what)
{
    const uint8_t *p = b->p, *end = b->base + b->bytes + 2 * GUARD_BYTES + 64;

    for (const uint8_t *g = b->base; g < p; g++)
        if (*g != GUARD) fail_msg("%s: wrote %td bytes before its output", what, p - g);
    for (const uint8_t *g = p + b->bytes; g < end; g++)
        if (*g != GUARD) fail_msg("%s: wrote %td bytes past its output", what, g - p - b->bytes);
}

static inline void rig_buf_free(rig_buf *b)
{
    nx_free(b->base);
    *b = (rig_buf){0};
}

/* -------- weights -------- */

/* Where the halves of a block stand: d, then m or dmin (-1: none). */
static const int rig_halves[NX_DTYPE_GGUF_COUNT][2] = {
    [NX_DTYPE_F32] = {-1, -1},
    [NX_DTYPE_F16] = {-1, -1},
    [NX_DTYPE_BF16] = {-1, -1},
    [NX_DTYPE_Q4_0] = {offsetof(nx_block_q4_0, d), -1},
    [NX_DTYPE_Q4_1] = {offsetof(nx_block_q4_1, d), offsetof(nx_block_q4_1, m)},
    [NX_DTYPE_Q5_0] = {offsetof(nx_block_q5_0, d), -1},
    [NX_DTYPE_Q5_1] = {offsetof(nx_block_q5_1, d), offsetof(nx_block_q5_1, m)},
    [NX_DTYPE_Q8_0] = {offsetof(nx_block_q8_0, d), -1},
    [NX_DTYPE_Q2_K] = {offsetof(nx_block_q2_k, d), offsetof(nx_block_q2_k, dmin)},
    [NX_DTYPE_Q3_K] = {offsetof(nx_block_q3_k, d), -1},
    [NX_DTYPE_Q4_K] = {offsetof(nx_block_q4_k, d), offsetof(nx_block_q4_k, dmin)},
    [NX_DTYPE_Q5_K] = {offsetof(nx_block_q5_k, d), offsetof(nx_block_q5_k, dmin)},
    [NX_DTYPE_Q6_K] = {offsetof(nx_block_q6_k, d), -1},
    [NX_DTYPE_IQ4_NL] = {offsetof(nx_block_iq4_nl, d), -1},
    [NX_DTYPE_IQ4_XS] = {offsetof(nx_block_iq4_xs, d), -1},
};

/* Random numbers of any type at dst: every bit of the codes is noise, scales are sane (positive or
 * negative, some subnormal). */
static inline void rig_weights(uint8_t *dst, nx_dtype dtype, int64_t n)
{
    const nx_dtype_info *info = nx_dtype_get(dtype);

    for (int64_t b = 0; b < n / info->block_len; b++, dst += info->block_bytes) {
        float f = rig_f32();
        if (dtype == NX_DTYPE_F32) memcpy(dst, &f, 4);
        if (info->block_len == 1 && dtype != NX_DTYPE_F32) {
            uint16_t h = dtype == NX_DTYPE_F16 ? nx_f32_to_f16(f) : nx_f32_to_bf16(f);
            memcpy(dst, &h, 2);
        }
        if (info->block_len == 1) continue;
        for (int i = 0; i < info->block_bytes; i++) dst[i] = (uint8_t)rig_u64();
        for (int i = 0; i < 2; i++) {
            float    scale = rig_u64() % 64 == 0 ? 1e-6f : 0.02f;
            uint16_t h = nx_f32_to_f16(rig_f32() * scale);
            if (rig_halves[dtype][i] >= 0) memcpy(dst + rig_halves[dtype][i], &h, 2);
        }
    }
}

/* -------- backends -------- */

typedef struct rig_backend {
    nx_pool    *pool;
    nx_backend *be;
} rig_backend;

static inline void rig_reserve(nx_backend *be)
{
    nx_error               err = {0};
    const nx_backend_sizes sizes = {.n_rows_max = 512,
                                    .n_cols_max = 8192,
                                    .n_pos_max = 1024,
                                    .n_slots_max = 4096,
                                    .n_experts_max = 128};

    if (be->ops->reserve(be, &sizes, &err)) fail_msg("%s", err.text);
}

static inline rig_backend rig_backend_make(uint32_t features, int n_threads)
{
    rig_backend r = {0};
    nx_error    err = {0};

    if (nx_pool_create(&r.pool, n_threads, &err) ||
        nx_cpu_backend_create(&r.be, r.pool, features, &err))
        fail_msg("%s", err.text);
    rig_reserve(r.be);
    return r;
}

static inline void rig_backend_free(rig_backend *r)
{
    if (r->be) r->be->ops->destroy(r->be);
    nx_pool_destroy(r->pool);
    *r = (rig_backend){0};
}

/* Every variant this machine can run, with 1, 2 and 4 threads. The first is the reference. */
typedef struct rig_variants {
    int         n;
    rig_backend b[6];
    char        name[6][32];
} rig_variants;

static inline void rig_variants_make(rig_variants *v)
{
    nx_error err;
    uint32_t found = 0;

    v->n = 0;
    nx_cpu_features(&found, NULL, &err);
    for (int avx2 = 0; avx2 <= (found & NX_CPU_AVX2 ? 1 : 0); avx2++) {
        for (int threads = 1; threads <= 4; threads *= 2) {
            v->b[v->n] = rig_backend_make(avx2 ? NX_CPU_AVX2 : 0, threads);
            snprintf(v->name[v->n], sizeof v->name[0], "%s, %d threads", v->b[v->n].be->ops->name,
                     threads);
            v->n++;
        }
    }
}

static inline void rig_variants_free(rig_variants *v)
{
    for (int i = 0; i < v->n; i++) rig_backend_free(&v->b[i]);
}

/* -------- comparing -------- */

/* Equal to the bit, any NaN equal to any other. */
static inline int rig_same(float a, float b)
{
    return (a != a && b != b) || nx_f32_bits(a) == nx_f32_bits(b);
}

#endif
