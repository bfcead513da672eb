/* kv.h - keys and values of every position that a model has read.
 *
 * Owns:   one block of backend memory: for each layer, keys then values,
 *         [n_layers, 2, n_pos, n_heads_kv, head_dim].
 * Thread: one at a time.
 */
#ifndef NX_MODEL_KV_H
#define NX_MODEL_KV_H

#include "model/model.h"

typedef struct nx_kv {
    nx_backend *be;
    void       *data;
    nx_dtype    dtype;
    int32_t     n_pos, n_heads, head_dim;
} nx_kv;

/* Bytes for n_pos positions, or 0 when dtype can't hold this model's heads. */
uint64_t nx_kv_bytes(const nx_hparams *hp, nx_dtype dtype, int32_t n_pos);

/* dtype: F16, F32 or Q8_0 (head_dim must be a multiple of 32: NX_EUNSUPPORTED). NX_ENOMEM. */
nx_status nx_kv_open(nx_kv *kv, const nx_hparams *hp, nx_backend *be, nx_dtype dtype, int32_t n_pos,
                     nx_error *err);
void      nx_kv_close(nx_kv *kv); /* an all-zero struct is fine */

nx_kv_view nx_kv_keys(const nx_kv *kv, int32_t layer);
nx_kv_view nx_kv_values(const nx_kv *kv, int32_t layer);

#endif
