/* tensor.c - the numbers of a tensor, whatever its type. */
#include "tensor/tensor.h"

#include <string.h>

static float load_f32(const uint8_t *p, int64_t i)
{
    float f;

    memcpy(&f, p + 4 * i, sizeof f);
    return f;
}

float nx_scale_at(const nx_tensor_scales *s, int64_t block)
{
    if (s->absmax) return load_f32(s->absmax, block);
    /* A product, then a sum, each rounded: as bitsandbytes does it. */
    float scaled = s->map[s->codes[block]] * load_f32(s->nested, block / s->nested_len);
    return scaled + s->offset;
}

/* The stretch of numbers first .. first + n - 1 of the tensor that has the scales. */
static void apply(float *dst, const nx_tensor_scales *s, int64_t first, int64_t n, float divide)
{
    for (int64_t i = 0; i < n;) {
        int64_t block = (first + i) / s->block_len;
        int64_t end = (block + 1) * s->block_len - first;
        float   scale = nx_scale_at(s, block) / divide;
        for (; i < n && i < end; i++) dst[i] *= scale;
    }
}

void nx_tensor_decode_numbers(float *dst, const nx_tensor *t, int64_t first, int64_t n)
{
    const uint8_t *data = (const uint8_t *)t->data + nx_dtype_row_bytes(t->dtype, first);

    nx_dtype_get(t->dtype)->decode(dst, data, n);
    if (nx_dtype_scales_apart(t->dtype))
        apply(dst, t->scales, t->first_number + first, n,
              t->dtype == NX_DTYPE_INT8 ? 127.0f : 1.0f);
}

void nx_tensor_decode(float *dst, const nx_tensor *t, int64_t row, int64_t n_rows)
{
    nx_tensor_decode_numbers(dst, t, row * t->ne[0], n_rows * t->ne[0]);
}
