/* matmul_apart.h - products with weights whose scales lie apart (nf4, fp4, int8), and with any
 * weights decoded to floats first. Within backend/cpu.
 *
 * Contracts: tensor/backend.h.
 */
#ifndef NX_BACKEND_CPU_MATMUL_APART_H
#define NX_BACKEND_CPU_MATMUL_APART_H

#include "backend/cpu/backend_cpu.h"

/* Rows that are decoded at once; a thread's scratch holds so many of n_cols_max floats. */
#define NX_DECODED_ROWS 32

/* Rows of int8 that are summed together. */
#define NX_INT8_ROWS 4

/* Does this matrix go through here? */
static inline bool nx_cpu_is_apart(const nx_cpu_backend *cpu, nx_dtype dtype)
{
    if (cpu->fine && dtype == NX_DTYPE_Q8_0) return false;
    return nx_dtype_scales_apart(dtype) || (cpu->exact && nx_dtype_get(dtype)->block_len > 1);
}

/* What its kernels eat. int8 rows whose sums could leave 32 bits go through floats. */
static inline nx_act_kind nx_cpu_act_kind(const nx_cpu_backend *cpu, const nx_tensor *w)
{
    bool too_long = w->dtype == NX_DTYPE_INT8 && w->ne[0] > NX_INT8_COLS_MAX;

    if (cpu->fine && w->dtype == NX_DTYPE_Q8_0) return NX_ACT_Q15;
    return cpu->exact || too_long ? NX_ACT_F32 : nx_act_kind_of(w->dtype);
}

/* out[t * ldo + r] = row (row + r) of w . row t of a   (added when `add`), r < n_rows.
 * rows: NX_DECODED_ROWS * n_cols_max floats of this thread. */
void nx_cpu_multiply_apart(const nx_cpu_backend *cpu, float *out, int64_t ldo, const nx_tensor *w,
                           int64_t row, int64_t n_rows, const nx_act *a, bool add, float *rows);

/* Find the columns of x [T, K] with an outlier of w's threshold, for the int8 matmuls to come. */
void nx_cpu_find_outliers(nx_cpu_backend *cpu, const nx_tensor *w, const float *x, int32_t T,
                          int64_t K);

#endif
