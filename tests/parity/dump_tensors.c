/* dump_tensors.c - every tensor of a checkpoint as f32, for scripts that compare.
 *
 *   dump_tensors MODEL > OUT      for each: "NAME TYPE NE0 NE1 NE2 NE3\n", then its numbers
 */
#include <stdio.h>

#include "base/alloc.h"
#include "format/checkpoint.h"

static nx_status dump(const nx_tensor *t, nx_error *err)
{
    int64_t rows = nx_tensor_rows(t);
    float  *x = nx_alloc((size_t)(rows * t->ne[0]), sizeof *x);

    if (!x) return nx_fail(err, NX_ENOMEM, "%s", t->name);
    nx_tensor_decode(x, t, 0, rows);
    printf("%s %s %lld %lld %lld %lld\n", t->name, nx_dtype_get(t->dtype)->name,
           (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2], (long long)t->ne[3]);
    fwrite(x, sizeof *x, (size_t)(rows * t->ne[0]), stdout);
    nx_free(x);
    return NX_OK;
}

int main(int argc, char **argv)
{
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};

    if (argc != 2) return 2;
    nx_status st = nx_checkpoint_open(&cp, argv[1], &err);
    for (int64_t i = 0; !st && i < nx_checkpoint_n_tensors(cp); i++)
        st = dump(nx_checkpoint_tensor_at(cp, i), &err);
    if (st) fprintf(stderr, "%s\n", err.text);
    nx_checkpoint_close(cp);
    return st ? 1 : 0;
}
