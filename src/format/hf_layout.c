/* hf_layout.c - weights whose rows GGUF orders otherwise, rearranged once when a folder is opened.
 *
 * Idea: GPT-2's Conv1D is transposed number by number. GPT-NeoX keeps q, k and v of each head
 *       together; GGUF wants all q, then all k, then all v: whole runs of rows move. Scales that lie
 *       apart move with their numbers; doubly quantised ones are decoded first, since the runs cut
 *       their blocks.
 */
#include <stdio.h>
#include <string.h>

#include "format/hf.h"

enum { TILE = 32 };

/* ---- Transposition ---- */

/* Rows r0.. and columns c0.. of at most TILE each: both sides stay in the cache. */
static void transpose_tile(unsigned char *to, const unsigned char *from, int64_t rows, int64_t cols,
                           int64_t r0, int64_t c0, size_t width)
{
    int64_t r1 = r0 + TILE < rows ? r0 + TILE : rows, c1 = c0 + TILE < cols ? c0 + TILE : cols;

    for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++)
            memcpy(to + (size_t)(c * rows + r) * width, from + (size_t)(r * cols + c) * width,
                   width);
}

static nx_status transpose(nx_hf *hf, nx_tensor *t, nx_error *err)
{
    size_t         width = nx_dtype_get(t->dtype)->block_bytes;
    int64_t        cols = t->ne[0], rows = t->ne[1];
    unsigned char *to = nx_hf_own(hf, t->bytes, err);

    if (!to) return NX_ENOMEM;
    for (int64_t r = 0; r < rows; r += TILE)
        for (int64_t c = 0; c < cols; c += TILE)
            transpose_tile(to, t->data, rows, cols, r, c, width);
    t->data = to;
    t->ne[0] = rows;
    t->ne[1] = cols;
    return NX_OK;
}

/* ---- Heads ---- */

/* Runs of `chunk` bytes, from [heads, 3] to [3, heads]. */
static void regroup(unsigned char *to, const unsigned char *from, size_t chunk, int32_t heads)
{
    for (int32_t h = 0; h < heads; h++)
        for (int32_t part = 0; part < 3; part++)
            memcpy(to + (size_t)(part * heads + h) * chunk, from + (size_t)(h * 3 + part) * chunk,
                   chunk);
}

static nx_status regroup_scales(nx_hf *hf, const nx_hf_raw *raw, nx_tensor *t, int32_t heads,
                                int64_t chunk_numbers, nx_error *err)
{
    const nx_tensor_scales *old = t->scales;
    nx_tensor_scales       *s = nx_arena_alloc(&hf->arena, 1, sizeof *s);
    size_t                  bytes = (size_t)old->n * sizeof(float);

    if (chunk_numbers % old->block_len != 0)
        return nx_hf_raw_fail(hf, raw, NX_EUNSUPPORTED, err,
                              "blocks of %d numbers don't divide the %lld of a head, so its heads "
                              "can't be regrouped",
                              old->block_len, (long long)chunk_numbers);
    float         *plain = nx_hf_own(hf, bytes, err);
    unsigned char *to = plain ? nx_hf_own(hf, bytes, err) : NULL;
    if (!s || !to) return nx_fail(err, NX_ENOMEM, "%s: out of memory for scales", hf->shown);
    for (int64_t i = 0; i < old->n; i++) plain[i] = nx_scale_at(old, i);
    regroup(to, (const unsigned char *)plain,
            (size_t)(chunk_numbers / old->block_len) * sizeof(float), heads);
    *s = (nx_tensor_scales){.n = old->n, .block_len = old->block_len, .absmax = to};
    t->scales = s;
    return NX_OK;
}

static nx_status regroup_heads(nx_hf *hf, const nx_hf_raw *raw, nx_tensor *t, nx_error *err)
{
    int32_t heads = hf->config.n_heads, dim = hf->config.head_dim;
    bool    vector = t->n_dims == 1;
    int64_t rows = vector ? t->ne[0] : t->ne[1], cols = vector ? 1 : t->ne[0];

    if (t->n_dims > 2 || rows != (int64_t)3 * heads * dim)
        return nx_hf_raw_fail(hf, raw, NX_EFORMAT, err,
                              "%lld rows, expected 3 * %d heads of %d from config.json",
                              (long long)rows, heads, dim);
    unsigned char *to = nx_hf_own(hf, t->bytes, err);
    if (!to) return NX_ENOMEM;
    regroup(to, t->data, t->bytes / (size_t)(3 * (int64_t)heads), heads);
    t->data = to;
    return t->scales ? regroup_scales(hf, raw, t, heads, cols * dim, err) : NX_OK;
}

/* ---- Positions ---- */

/* A view of the rows behind those that stand for padding. */
static nx_status skip_rows(nx_hf *hf, const nx_hf_raw *raw, nx_tensor *t, nx_error *err)
{
    int64_t n = hf->config.position0, row = t->ne[0];

    if (t->n_dims != 2 || t->ne[1] <= n || t->scales)
        return nx_hf_raw_fail(hf, raw, NX_EFORMAT, err,
                              "expected a plain matrix of more than %lld rows", (long long)n);
    t->data = (const unsigned char *)t->data + (size_t)n * nx_dtype_row_bytes(t->dtype, row);
    t->ne[1] -= n;
    t->bytes -= (size_t)n * nx_dtype_row_bytes(t->dtype, row);
    return NX_OK;
}

nx_status nx_hf_rearrange(nx_hf *hf, const nx_hf_raw *raw, nx_hf_layout layout, nx_tensor *t,
                          nx_error *err)
{
    switch (layout) {
    case NX_HF_AS_IT_IS: break;
    case NX_HF_TRANSPOSED:
        /* Biases have no sides to swap; bitsandbytes quantises the transpose already. */
        if (t->n_dims == 2 && !t->scales) return transpose(hf, t, err);
        break;
    case NX_HF_POSITIONS: return skip_rows(hf, raw, t, err);
    case NX_HF_HEADS: return regroup_heads(hf, raw, t, err);
    }
    return NX_OK;
}
