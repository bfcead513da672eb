/* bnb_encode.c - for scripts: f32 numbers from stdin, encoded as bitsandbytes does, to stdout.
 *
 *     bnb_encode nf4|fp4 BLOCK THREADS   codes, scales; the scales' codes, scales of scales, offset
 *     bnb_encode int8 COLUMNS            codes, scales
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num/bnb.h"

static void put(const void *p, size_t size, int64_t n)
{
    if (fwrite(p, size, (size_t)n, stdout) != (size_t)n) exit(4);
}

static void *room(int64_t n, size_t size)
{
    void *p = calloc((size_t)n + 1, size);
    if (!p) exit(3);
    return p;
}

static void nibbles(nx_dtype t, const float *x, int64_t n, int32_t block, int threads)
{
    int64_t  n_scales = (n + block - 1) / block;
    int64_t  n_nested = (n_scales + NX_BNB_NEST_LEN - 1) / NX_BNB_NEST_LEN;
    uint8_t *codes = room((n + 1) / 2, 1), *nest = room(n_scales, 1);
    float   *scales = room(n_scales, sizeof(float)), *nested = room(n_nested, sizeof(float));
    float    offset;

    nx_bnb_encode_4bit(t, codes, scales, x, n, block);
    nx_bnb_nest(nest, nested, &offset, scales, n_scales, threads);
    put(codes, 1, (n + 1) / 2);
    put(scales, sizeof *scales, n_scales);
    put(nest, 1, n_scales);
    put(nested, sizeof *nested, n_nested);
    put(&offset, sizeof offset, 1);
    free(codes);
    free(nest);
    free(scales);
    free(nested);
}

static void rows(const float *x, int64_t n, int64_t n_cols)
{
    int8_t *codes = room(n, 1);
    float  *scales = room(n / n_cols, sizeof(float));

    for (int64_t i = 0; i < n; i += n_cols)
        nx_bnb_encode_int8(codes + i, scales + i / n_cols, x + i, n_cols);
    put(codes, 1, n);
    put(scales, sizeof *scales, n / n_cols);
    free(codes);
    free(scales);
}

int main(int argc, char **argv)
{
    size_t len = 0, size = 1 << 16;
    float *x = malloc(size * sizeof *x);

    if (argc < 3) return 2;
    for (size_t n; x && (n = fread(x + len, sizeof *x, size - len, stdin)) > 0; len += n)
        if (len + n == size) x = realloc(x, (size *= 2) * sizeof *x);
    if (!x) return 3;
    if (strcmp(argv[1], "int8") == 0)
        rows(x, (int64_t)len, atoll(argv[2]));
    else
        nibbles(strcmp(argv[1], "nf4") == 0 ? NX_DTYPE_NF4 : NX_DTYPE_FP4, x, (int64_t)len,
                atoi(argv[2]), argc > 3 ? atoi(argv[3]) : 1);
    free(x);
    return 0;
}
