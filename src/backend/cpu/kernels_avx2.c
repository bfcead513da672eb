/* kernels_avx2.c - the overlay: which slots AVX2 + FMA + F16C do better. */
#include "backend/cpu/apart_avx2.h"
#include "backend/cpu/attend_avx2.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/matmul_avx2.h"
#include "backend/cpu/walk_avx2.h"

/* From this many tokens on, spreading weights into a panel costs less than it saves. */
#define PACK_MIN 6

/* One kernel per type, so that a slot carries its type. */
#define PLAIN(NAME)                                                                                \
    static void matmul_##NAME(float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,         \
                              int64_t n_rows, const nx_act *a, bool add, void *scratch)            \
    {                                                                                              \
        (void)scratch;                                                                             \
        nx_plain_avx2(NX_DTYPE_##NAME, out, ldo, w, row_bytes, n_rows, a, add);                    \
    }

#define QUANTISED(NAME, gemm)                                                                      \
    static void matmul_##NAME(float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,         \
                              int64_t n_rows, const nx_act *a, bool add, void *scratch)            \
    {                                                                                              \
        if (a->T < PACK_MIN)                                                                       \
            nx_gemv_avx2(NX_DTYPE_##NAME, out, ldo, w, row_bytes, n_rows, a, add);                 \
        else                                                                                       \
            gemm(NX_DTYPE_##NAME, out, ldo, w, row_bytes, (int32_t)n_rows, a, add, scratch);       \
    }

PLAIN(F32)
PLAIN(F16)
PLAIN(BF16)
QUANTISED(Q4_0, nx_gemm8_avx2)
QUANTISED(Q4_1, nx_gemm8_avx2)
QUANTISED(Q5_0, nx_gemm8_avx2)
QUANTISED(Q5_1, nx_gemm8_avx2)
QUANTISED(Q8_0, nx_gemm_avx2)
QUANTISED(IQ4_NL, nx_gemm_avx2)
QUANTISED(Q2_K, nx_gemm8_avx2)
QUANTISED(Q3_K, nx_gemm8_avx2)
QUANTISED(Q4_K, nx_gemm8_avx2)
QUANTISED(Q5_K, nx_gemm8_avx2)
QUANTISED(Q6_K, nx_gemm8_avx2)
QUANTISED(IQ4_XS, nx_gemm_avx2)

void nx_kernels_add_avx2(nx_kernels *k)
{
    k->name = "cpu-avx2";
    k->quantize_q8 = nx_quantize_q8_avx2;
    k->quantize_q8k = nx_quantize_q8k_avx2;
    k->quantize_q15 = nx_quantize_q15_avx2;
    k->matmul_q15 = nx_matmul_q15_avx2;
    k->pack_min = PACK_MIN;
    for (int i = 0; i < NX_DTYPE_COUNT; i++) k->pack[i] = nx_gemm8_pack_avx2;
    k->pack[NX_DTYPE_Q8_0] = k->pack[NX_DTYPE_IQ4_NL] = nx_gemm_pack_avx2;
    k->pack[NX_DTYPE_IQ4_XS] = nx_gemm_pack_avx2;
#define X(NAME, text, type, len, gguf_id) k->matmul[NX_DTYPE_##NAME] = matmul_##NAME;
    NX_DTYPE_TABLE(X)
#undef X
    k->decode_rows = nx_decode_rows_avx2;
    k->gemv_nibbles = nx_gemv_nibbles_avx2;
    k->quantize_int8 = nx_quantize_int8_avx2;
    k->sum_int8 = nx_sum_int8_avx2;
    k->rmsnorm = nx_rmsnorm_avx2;
    k->rope = nx_rope_avx2;
    k->store_f16 = nx_store_f16_avx2;
    k->store_q8_0 = nx_store_q8_0_avx2;
    k->attend = nx_attend_avx2;
    k->layernorm = nx_layernorm_avx2;
    k->act_mul = nx_act_mul_avx2;
    k->add = nx_add_avx2;
    k->softcap = nx_softcap_avx2;
}
