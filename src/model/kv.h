/* kv.h - keys and values of every position that a model has read, in pages.
 *
 * Owns:    one block of backend memory: for each layer, keys then values,
 *          [n_layers, 2, n_pages, page_len, n_heads_kv, head_dim].
 * Refuses: to know which page is whose: each sequence of a step brings its table of pages
 *          (nx_walk_seq), and who hands out pages keeps the books. Page i is a part of every layer.
 *          One sequence alone needs no more than one page as long as its context.
 * Thread:  one at a time.
 */
#ifndef NX_MODEL_KV_H
#define NX_MODEL_KV_H

#include "model/model.h"

typedef struct nx_kv {
    nx_backend *be;
    void       *data;
    nx_dtype    dtype;
    int32_t     n_pages, page_len; /* page_len: positions in a page */
    int32_t     n_heads, head_dim;
} nx_kv;

/* Bytes for n_pos positions, or 0 when dtype can't hold this model's heads. */
uint64_t nx_kv_bytes(const nx_hparams *hp, nx_dtype dtype, int32_t n_pos);

/* dtype: F16, F32 or Q8_0 (head_dim must be a multiple of 32: NX_EUNSUPPORTED). NX_EINVAL: a count
 * below 1, or more positions than an int32_t counts; NX_ENOMEM. */
nx_status nx_kv_open(nx_kv *kv, const nx_hparams *hp, nx_backend *be, nx_dtype dtype,
                     int32_t n_pages, int32_t page_len, nx_error *err);
void      nx_kv_close(nx_kv *kv); /* an all-zero struct is fine */

nx_kv_view nx_kv_keys(const nx_kv *kv, int32_t layer);
nx_kv_view nx_kv_values(const nx_kv *kv, int32_t layer);

#endif
