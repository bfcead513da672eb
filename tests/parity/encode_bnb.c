/* encode_bnb.c - for scripts: f32 numbers from stdin to bitsandbytes' bytes on stdout.
 *
 *   encode_bnb nf4|fp4 BLOCK THREADS    codes, scales, then codes of scales, scales of scales, offset
 *   encode_bnb int8 COLUMNS             codes, scales
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num/bnb.h"

static float *x;
static size_t n;

static int read_all(void)
{
    size_t cap = 1 << 20, got;

    x = malloc(cap * sizeof *x);
    while (x && (got = fread(x + n, sizeof *x, cap - n, stdin)) > 0) {
        n += got;
        if (n == cap) x = realloc(x, (cap *= 2) * sizeof *x);
    }
    return x != NULL;
}

static void out(const void *p, size_t bytes)
{
    if (fwrite(p, 1, bytes, stdout) != bytes) exit(4);
}

static void rows(size_t cols)
{
    int8_t *q = malloc(n);
    float  *s = malloc(n / cols * sizeof *s);

    if (!q || !s) exit(3);
    for (size_t r = 0; r < n / cols; r++)
        nx_bnb_encode_int8(q + r * cols, s + r, x + r * cols, (int64_t)cols);
    out(q, n);
    out(s, n / cols * sizeof *s);
    free(q);
    free(s);
}

static void blocks(nx_dtype t, size_t block, int threads)
{
    size_t   n_blocks = (n + block - 1) / block, second = (n_blocks + 255) / 256;
    uint8_t *q = malloc(n / 2 + 1), *codes = malloc(n_blocks);
    float   *s = malloc(n_blocks * sizeof *s), *nested = malloc(second * sizeof *nested), offset;

    if (!q || !codes || !s || !nested) exit(3);
    nx_bnb_encode_4bit(t, q, s, x, (int64_t)n, (int32_t)block);
    nx_bnb_nest(codes, nested, &offset, s, (int64_t)n_blocks, threads);
    out(q, (n + 1) / 2);
    out(s, n_blocks * sizeof *s);
    out(codes, n_blocks);
    out(nested, second * sizeof *nested);
    out(&offset, sizeof offset);
    free(q);
    free(codes);
    free(s);
    free(nested);
}

int main(int argc, char **argv)
{
    if (argc < 3 || !read_all() || n == 0) return 2;
    if (strcmp(argv[1], "int8") == 0)
        rows((size_t)atol(argv[2]));
    else
        blocks(argv[1][0] == 'n' ? NX_DTYPE_NF4 : NX_DTYPE_FP4, (size_t)atol(argv[2]),
               argc > 3 ? atoi(argv[3]) : 1);
    free(x);
    return 0;
}
