/* Protects synthetic weights: the same bytes however the work is cut, finite numbers, and the mean
 * and standard deviation that were asked for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "num/random_blocks.h"

#define N (1 << 20)

static void test_statistics(void **state)
{
    float   *y = malloc(N * sizeof *y);
    uint8_t *blocks = malloc(N * sizeof *y);
    (void)state;

    for (int t = 0; t < NX_DTYPE_GGUF_COUNT; t++) {
        for (float std = 0.002f; std < 200; std *= 90) {
            double sum = 0, square = 0, largest = 0;
            int    zeros = 0;

            nx_random_blocks_fill(blocks, (nx_dtype)t, std, 11, 0, N);
            nx_dtype_get((nx_dtype)t)->decode(y, blocks, N);
            for (int i = 0; i < N; i++) {
                sum += (double)y[i];
                square += (double)y[i] * (double)y[i];
                largest = fmax(largest, fabs((double)y[i]));
                zeros += y[i] == 0.0f;
            }
            double ratio = sqrt(square / N) / (double)std, mean = sum / N / (double)std;
            if (!(ratio > 0.97 && ratio < 1.03 && fabs(mean) < 0.02 && zeros < N / 6 &&
                  largest < 12 * (double)std))
                fail_msg("%s, std %g: measured std %.4f of it, mean %.4f, largest %.2f, %d zeros",
                         nx_dtype_get((nx_dtype)t)->name, (double)std, ratio, mean,
                         largest / (double)std, zeros);
        }
    }
    free(blocks);
    free(y);
}

/* Pieces of any sizes, last first; then a short end inside a grain. */
static void test_cut(void **state)
{
    const int64_t n = 64 * NX_RANDOM_GRAIN, cuts[] = {0, 1, 7, 8, 33, 64};
    (void)state;

    for (int i = 0; i < NX_DTYPE_GGUF_COUNT; i++) {
        nx_dtype t = (nx_dtype)i;
        size_t   bytes = nx_dtype_row_bytes(t, n), tail;
        uint8_t *whole = malloc(bytes), *parts = malloc(bytes + 1);
        int64_t  short_n = 3 * NX_RANDOM_GRAIN + nx_dtype_get(t)->block_len;

        nx_random_blocks_fill(whole, t, 0.02f, 5, 0, n);
        for (int c = 4; c >= 0; c--) {
            int64_t begin = cuts[c] * NX_RANDOM_GRAIN;
            nx_random_blocks_fill(parts + nx_dtype_row_bytes(t, begin), t, 0.02f, 5, begin,
                                  cuts[c + 1] * NX_RANDOM_GRAIN - begin);
        }
        assert_memory_equal(whole, parts, bytes);

        tail = nx_dtype_row_bytes(t, short_n);
        memset(parts, 0x5A, bytes + 1);
        nx_random_blocks_fill(parts, t, 0.02f, 5, 0, short_n);
        assert_memory_equal(whole, parts, tail);
        assert_int_equal(parts[tail], 0x5A); /* not a byte beyond */

        nx_random_blocks_fill(parts, t, 0.02f, 6, 0, n);
        assert_memory_not_equal(whole, parts, bytes);
        free(parts);
        free(whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
