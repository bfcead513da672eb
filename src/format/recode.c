/* recode.c - decodes, encodes, and divides the work. */
#include "format/recode.h"

#include <assert.h>

#include "base/alloc.h"
#include "num/bnb.h"
#include "num/quantise.h"

/* Numbers decoded at once by one thread, unless a single unit has more: 64 KiB stay in its cache. */
#define BATCH 16384

static void load_tensor(const void *ctx, float *dst, int64_t first, int64_t n)
{
    nx_tensor_decode_numbers(dst, ctx, first, n);
}

nx_numbers nx_numbers_of(const nx_tensor *t)
{
    return (nx_numbers){.n_cols = t->ne[0],
                        .n_rows = nx_tensor_rows(t),
                        .flat = true,
                        .load = load_tensor,
                        .ctx = t};
}

static int64_t count(const nx_recoder *r)
{
    return r->from.n_cols * r->from.n_rows;
}

static nx_status plan_units(nx_recoder *r, nx_error *err)
{
    bool blocks = nx_dtype_scales_apart(r->to) && r->to != NX_DTYPE_INT8;

    if (!nx_dtype_scales_apart(r->to) && !nx_quantise_supports(r->to))
        return nx_fail(err, NX_EUNSUPPORTED, "nothing is encoded as %s here",
                       nx_dtype_get(r->to)->name);
    assert(blocks ? r->from.flat : r->from.n_cols % nx_dtype_get(r->to)->block_len == 0);
    r->unit = blocks ? NX_RECODE_RUN : r->from.n_cols;
    r->n_units = (count(r) + r->unit - 1) / r->unit;
    if (blocks) r->n_scales = (count(r) + NX_BNB_BLOCK - 1) / NX_BNB_BLOCK;
    if (r->to == NX_DTYPE_INT8) r->n_scales = r->from.n_rows;
    return NX_OK;
}

nx_status nx_recoder_open(nx_recoder *r, const nx_numbers *from, nx_dtype to, nx_pool *pool,
                          nx_error *err)
{
    *r = (nx_recoder){.from = *from, .to = to, .pool = pool};
    nx_status st = plan_units(r, err);
    if (st) return st;
    r->scratch_len = r->unit > BATCH ? r->unit : BATCH / r->unit * r->unit;
    r->scratch = nx_alloc((size_t)nx_pool_threads(pool), (size_t)r->scratch_len * sizeof(float));
    if (r->n_scales) r->scales = nx_alloc((size_t)r->n_scales, sizeof *r->scales);
    if (r->scratch && (r->scales || !r->n_scales)) return NX_OK;
    nx_recoder_close(r);
    return nx_fail(err, NX_ENOMEM, "out of memory for rows of %lld numbers", (long long)r->unit);
}

void nx_recoder_close(nx_recoder *r)
{
    nx_free(r->scratch);
    nx_free(r->scales);
    *r = (nx_recoder){0};
}

/* Bytes that n numbers from a unit's beginning take. */
static size_t bytes_of(const nx_recoder *r, int64_t n)
{
    const nx_dtype_info *info = nx_dtype_get(r->to);

    return (size_t)((n + info->block_len - 1) / info->block_len) * info->block_bytes;
}

size_t nx_recoder_bytes(const nx_recoder *r, int64_t unit, int64_t n)
{
    int64_t first = unit * r->unit, end = first + n * r->unit;

    if (end > count(r)) end = count(r);
    return bytes_of(r, end - first);
}

typedef struct piece {
    nx_recoder *r;
    uint8_t    *dst;  /* NULL: scales only */
    int64_t     unit; /* the first of the piece */
} piece;

static void encode(const nx_recoder *r, uint8_t *dst, const float *x, int64_t first, int64_t n)
{
    switch (r->to) {
    case NX_DTYPE_NF4:
    case NX_DTYPE_FP4:
        nx_bnb_encode_4bit(r->to, dst, r->scales + first / NX_BNB_BLOCK, x, n, NX_BNB_BLOCK);
        return;
    case NX_DTYPE_INT8:
        for (int64_t i = 0; i < n; i += r->unit)
            nx_bnb_encode_int8((int8_t *)dst + i, r->scales + (first + i) / r->unit, x + i,
                               r->unit);
        return;
    default: nx_quantise_row(r->to, dst, x, n);
    }
}

static void run_range(void *ctx, int thread, int64_t begin, int64_t end)
{
    const piece *p = ctx;
    nx_recoder  *r = p->r;
    float       *x = r->scratch + (int64_t)thread * r->scratch_len;
    int64_t      stop = (p->unit + end) * r->unit;

    if (stop > count(r)) stop = count(r);
    for (int64_t i = (p->unit + begin) * r->unit; i < stop; i += r->scratch_len) {
        int64_t n = stop - i < r->scratch_len ? stop - i : r->scratch_len;
        r->from.load(r->from.ctx, x, i, n);
        if (p->dst)
            encode(r, p->dst + bytes_of(r, i - p->unit * r->unit), x, i, n);
        else
            nx_bnb_scales_4bit(r->scales + i / NX_BNB_BLOCK, x, n, NX_BNB_BLOCK);
    }
}

void nx_recoder_run(nx_recoder *r, void *dst, int64_t unit, int64_t n)
{
    piece p = {.r = r, .dst = dst, .unit = unit};

    nx_pool_run(r->pool, n, 1, run_range, &p);
}

void nx_recoder_scales(nx_recoder *r, int64_t unit, int64_t n)
{
    piece p = {.r = r, .unit = unit};

    nx_pool_run(r->pool, n, 1, run_range, &p);
}
