/* encode_rows.c - for scripts: f32 numbers from stdin, encoded as argv[1] and decoded again, to
 * stdout; or, with a second argument, the encoded bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "num/quantise.h"

int main(int argc, char **argv)
{
    enum { N = 4096 }; /* a multiple of every block */
    static float   x[N];
    static uint8_t bytes[4 * N];
    nx_dtype       t;
    size_t         n;

    if (argc < 2 || !nx_dtype_by_name(&t, argv[1]) || !nx_quantise_supports(t)) return 2;
    while ((n = fread(x, sizeof *x, N, stdin)) > 0) {
        if (n % nx_dtype_get(t)->block_len) return 3;
        nx_quantise_row(t, bytes, x, (int64_t)n);
        nx_dtype_get(t)->decode(x, bytes, (int64_t)n);
        if (argc > 2 ? fwrite(bytes, 1, nx_dtype_row_bytes(t, (int64_t)n), stdout) == 0
                     : fwrite(x, sizeof *x, n, stdout) != n)
            return 4;
    }
    return 0;
}
