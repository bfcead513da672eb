/* onload.c - quantises the tensors of an open checkpoint in place. */
#include "format/onload.h"

#include <string.h>

#include "base/alloc.h"
#include "os/cpu.h"
#include "os/memory.h"

#define PIECE_NUMBERS (1 << 22) /* between two looks at the cancel flag */

/* What a tensor became: its codes, and scales that lie apart behind them. */
typedef struct replaced {
    nx_memory        memory;
    nx_tensor_scales scales;
} replaced;

typedef struct work {
    nx_checkpoint         *cp;
    nx_recipe              recipe;
    const nx_recipe_model *rules;
    nx_pool               *pool;
    const atomic_bool     *cancel;
    nx_recode_progress_fn  progress;
    void                  *ctx;
    int64_t                done, total;
    nx_error              *err;
} work;

static void release(void *p)
{
    replaced *r = p;

    nx_memory_unmap(&r->memory);
    nx_free(r);
}

static nx_dtype type_for(const work *w, const nx_tensor *t)
{
    nx_dtype to = nx_recipe_type(w->recipe, w->rules, t->name, t->n_dims, t->ne, t->dtype);

    return t->n_dims < 2 ? t->dtype : to; /* vectors are copied to f32 by the model anyway */
}

static int64_t numbers_of(const nx_tensor *t)
{
    return t->ne[0] * nx_tensor_rows(t);
}

/* ---- One tensor ---- */

static size_t align(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Codes; then scales, or their codes and the scales of those. */
static size_t bytes_for(const nx_recoder *r, nx_recipe recipe)
{
    size_t  bytes = align(nx_recoder_bytes(r, 0, r->n_units));
    int64_t n = r->n_scales;

    if (n == 0) return bytes;
    if (recipe != NX_RECIPE_NF4_DQ) return bytes + (size_t)n * sizeof(float);
    return bytes + align((size_t)n) +
           (size_t)((n + NX_BNB_NESTED_BLOCK - 1) / NX_BNB_NESTED_BLOCK) * sizeof(float);
}

static void store_scales(replaced *to, const nx_recoder *r, nx_recipe recipe, int64_t n_cols)
{
    uint8_t *at = (uint8_t *)to->memory.data + align(nx_recoder_bytes(r, 0, r->n_units));
    bool     nested = recipe == NX_RECIPE_NF4_DQ;

    to->scales = (nx_tensor_scales){
        .n = r->n_scales,
        .block_len = r->to == NX_DTYPE_INT8 ? (int32_t)n_cols : NX_BNB_BLOCK,
        .threshold = r->to == NX_DTYPE_INT8 ? NX_BNB_THRESHOLD : 0,
    };
    if (!nested) {
        memcpy(at, r->scales, (size_t)r->n_scales * sizeof(float));
        to->scales.absmax = at;
        return;
    }
    uint8_t *second = at + align((size_t)r->n_scales);
    nx_bnb_nest(at, (float *)(void *)second, &to->scales.offset, r->scales, r->n_scales,
                nx_cpu_count());
    to->scales.codes = at;
    to->scales.nested = second;
    to->scales.map = nx_bnb_dynamic_map;
    to->scales.nested_len = NX_BNB_NESTED_BLOCK;
}

static nx_status run_pieces(work *w, nx_recoder *r, const nx_tensor *t, uint8_t *dst)
{
    int64_t step = PIECE_NUMBERS / r->unit ? PIECE_NUMBERS / r->unit : 1;
    size_t  from = 0;

    for (int64_t u = 0; u < r->n_units; u += step) {
        int64_t n = r->n_units - u < step ? r->n_units - u : step;
        if (w->cancel && atomic_load(w->cancel))
            return nx_fail(w->err, NX_ECANCELLED, "cancelled while quantising");
        nx_recoder_run(r, dst, u, n);
        dst += nx_recoder_bytes(r, u, n);
        int64_t numbers = n * r->unit;
        size_t  read = nx_dtype_row_bytes(t->dtype, numbers);
        if (read > t->bytes - from) read = t->bytes - from;
        nx_checkpoint_forget(w->cp, (const uint8_t *)t->data + from, read);
        from += read;
        w->done += numbers;
        if (w->progress && w->done < w->total) w->progress(w->ctx, w->done, w->total);
    }
    return NX_OK;
}

static nx_status replace(work *w, int64_t i, nx_dtype to)
{
    const nx_tensor *t = nx_checkpoint_tensor_at(w->cp, i);
    nx_numbers       from = nx_numbers_of(t);
    nx_recoder       r = {0};
    replaced        *made = nx_calloc(1, sizeof *made);

    if (!made) return nx_fail(w->err, NX_ENOMEM, "out of memory for %s", t->name);
    nx_status st = nx_recoder_open(&r, &from, to, w->pool, w->err);
    if (!st) st = nx_memory_map(&made->memory, bytes_for(&r, w->recipe), w->err);
    if (!st) st = run_pieces(w, &r, t, made->memory.data);
    if (st) {
        nx_recoder_close(&r);
        release(made);
        return nx_fail_prefix(w->err, st, "%.200s: tensor %.80s", nx_checkpoint_path(w->cp),
                              t->name);
    }
    nx_tensor now = *t;
    now.dtype = to;
    now.data = made->memory.data;
    now.bytes = nx_recoder_bytes(&r, 0, r.n_units);
    now.scales = NULL;
    now.first_number = 0;
    if (r.n_scales) {
        store_scales(made, &r, w->recipe, t->ne[0]);
        now.scales = &made->scales;
    }
    nx_recoder_close(&r);
    st = nx_checkpoint_own(w->cp, made, release, w->err);
    if (!st) nx_checkpoint_replace(w->cp, i, &now);
    return st;
}

/* ---- All ---- */

nx_status nx_checkpoint_quantise(nx_checkpoint *cp, nx_recipe r, const nx_recipe_model *m,
                                 nx_pool *pool, const atomic_bool *cancel,
                                 nx_recode_progress_fn progress, void *ctx, nx_error *err)
{
    work      w = {.cp = cp,
                   .recipe = r,
                   .rules = m,
                   .pool = pool,
                   .cancel = cancel,
                   .progress = progress,
                   .ctx = ctx,
                   .err = err};
    nx_status st = NX_OK;

    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        if (type_for(&w, t) != t->dtype) w.total += numbers_of(t);
    }
    for (int64_t i = 0; !st && i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        nx_dtype         to = type_for(&w, t);
        if (to != t->dtype) st = replace(&w, i, to);
    }
    return st;
}
