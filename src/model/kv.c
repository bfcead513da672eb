/* kv.c - one block of memory for all keys and values. */
#include "model/kv.h"

static uint64_t plane_bytes(const nx_hparams *hp, nx_dtype dtype, int32_t n_pos)
{
    return (uint64_t)n_pos * (uint64_t)hp->n_heads_kv * nx_dtype_row_bytes(dtype, hp->head_dim);
}

static bool fits_heads(const nx_hparams *hp, nx_dtype dtype)
{
    return (dtype == NX_DTYPE_F32 || dtype == NX_DTYPE_F16 || dtype == NX_DTYPE_Q8_0) &&
           hp->head_dim % nx_dtype_get(dtype)->block_len == 0;
}

uint64_t nx_kv_bytes(const nx_hparams *hp, nx_dtype dtype, int32_t n_pos)
{
    uint64_t bytes;

    if (!fits_heads(hp, dtype)) return 0;
    /* A plane's factors are bounded one by one (hparams.c), not all of them times the layers. */
    if (__builtin_mul_overflow(plane_bytes(hp, dtype, n_pos), 2 * (uint64_t)hp->n_layers, &bytes))
        return UINT64_MAX;
    return bytes;
}

nx_status nx_kv_open(nx_kv *kv, const nx_hparams *hp, nx_backend *be, nx_dtype dtype,
                     int32_t n_pages, int32_t page_len, nx_error *err)
{
    int32_t n_pos;

    *kv = (nx_kv){0};
    if (n_pages < 1 || page_len < 1 || __builtin_mul_overflow(n_pages, page_len, &n_pos))
        return nx_fail(err, NX_EINVAL,
                       "KV cache of %d pages of %d positions: expected 1 or more of each, and %d "
                       "positions in all at most",
                       n_pages, page_len, INT32_MAX);
    uint64_t bytes = nx_kv_bytes(hp, dtype, n_pos);
    if (bytes == 0)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "KV cache in %s: heads of %d numbers don't fit its blocks of %d. Use f16",
                       nx_dtype_get(dtype)->name, hp->head_dim, nx_dtype_get(dtype)->block_len);
    void *data = bytes < SIZE_MAX ? be->ops->alloc(be, (size_t)bytes) : NULL;
    if (!data)
        return nx_fail(err, NX_ENOMEM,
                       "KV cache of %d positions needs %.1f GiB. Try a smaller --ctx or a smaller "
                       "--kv-type",
                       n_pos, (double)bytes / (1 << 30));
    *kv = (nx_kv){.be = be,
                  .data = data,
                  .dtype = dtype,
                  .n_pages = n_pages,
                  .page_len = page_len,
                  .n_heads = hp->n_heads_kv,
                  .head_dim = hp->head_dim};
    return NX_OK;
}

void nx_kv_close(nx_kv *kv)
{
    if (kv->data) kv->be->ops->free(kv->be, kv->data);
    *kv = (nx_kv){0};
}

static nx_kv_view view_at(const nx_kv *kv, int32_t layer, size_t half)
{
    size_t plane = (size_t)kv->n_pages * (size_t)kv->page_len * (size_t)kv->n_heads *
                   nx_dtype_row_bytes(kv->dtype, kv->head_dim);

    return (nx_kv_view){.data = (unsigned char *)kv->data + ((size_t)layer * 2 + half) * plane,
                        .dtype = kv->dtype,
                        .n_pages = kv->n_pages,
                        .page_len = kv->page_len,
                        .n_heads = kv->n_heads,
                        .head_dim = kv->head_dim};
}

nx_kv_view nx_kv_keys(const nx_kv *kv, int32_t layer)
{
    return view_at(kv, layer, 0);
}

nx_kv_view nx_kv_values(const nx_kv *kv, int32_t layer)
{
    return view_at(kv, layer, 1);
}
