/* cache.c - the ops over cached keys and values: storing the rows of a step, and attention.
 *
 * Thread: one caller at a time, the pool's owner.
 * Idea:   a step may hold one sequence of many rows or many of one row, over contexts of any length.
 *         So attention isn't cut by counts of rows but by work: the positions that they see. Every
 *         row computes the same bits wherever the cut falls.
 */
#include <assert.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"

static nx_cpu_backend *self(nx_backend *be)
{
    return (nx_cpu_backend *)be;
}

static int32_t count_rows(const nx_seq_rows *seqs, int32_t n_seqs)
{
    int32_t rows = 0;

    for (int32_t s = 0; s < n_seqs; s++) {
        assert(seqs[s].row0 == rows && seqs[s].T >= 1 && seqs[s].pos0 >= 0);
        rows += seqs[s].T;
    }
    return rows;
}

static size_t position_bytes(const nx_kv_view *kv)
{
    return nx_dtype_row_bytes(kv->dtype, kv->head_dim) * (size_t)kv->n_heads;
}

/* -------- storing -------- */

typedef struct store_job {
    const nx_kernels  *k;
    const nx_kv_view  *kv;
    const float       *src;
    const nx_seq_rows *seqs;
} store_job;

static uint8_t *place_of(const nx_kv_view *kv, const nx_seq_rows *seq, int32_t row)
{
    int32_t pos = seq->pos0 + row - seq->row0, page = seq->pages[pos / kv->page_len];

    assert(page >= 0 && page < kv->n_pages);
    return (uint8_t *)kv->data +
           ((size_t)page * (size_t)kv->page_len + (size_t)(pos % kv->page_len)) *
               position_bytes(kv);
}

/* Heads of one position lie side by side, so a position is one run of blocks. */
static void store_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const store_job   *j = ctx;
    const nx_seq_rows *seq = j->seqs;
    int64_t            n = (int64_t)j->kv->n_heads * j->kv->head_dim;

    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        while (t >= seq->row0 + seq->T) seq++;
        uint8_t     *dst = place_of(j->kv, seq, (int32_t)t);
        const float *src = j->src + t * n;
        if (j->kv->dtype == NX_DTYPE_F16)
            j->k->store_f16(dst, src, n);
        else if (j->kv->dtype == NX_DTYPE_Q8_0)
            j->k->store_q8_0(dst, src, n);
        else
            memcpy(dst, src, position_bytes(j->kv));
    }
}

void nx_cpu_kv_store(nx_backend *be, const nx_kv_view *kv, const float *src,
                     const nx_seq_rows *seqs, int32_t n_seqs)
{
    store_job j = {&self(be)->kernels, kv, src, seqs};

    nx_pool_run(self(be)->pool, count_rows(seqs, n_seqs),
                nx_cpu_grain_rows((int64_t)kv->n_heads * kv->head_dim), store_rows, &j);
}

/* -------- attention -------- */

/* An item is one row with a run of query heads that share a KV head. Items stand in the order
 * (sequence, run of heads, row), rows innermost: the keys and values of a head stay in cache from row
 * to row. Laid end to end by their work they make a line, of which every thread gets an equal part:
 * the items that begin in it. So the triangle under the causal mask is shared fairly, too. */
typedef struct attend_job {
    nx_cpu_backend          *cpu;
    float                   *out;
    const float             *q;
    const nx_kv_view        *k, *v;
    const nx_seq_rows       *seqs;
    int32_t                  n_seqs, H;
    int32_t                  group;  /* query heads per KV head */
    int32_t                  chunk;  /* query heads per item, at most */
    int32_t                  chunks; /* items of one KV head and row */
    int32_t                  parts;
    int64_t                  work; /* of all items */
    const nx_attention_opts *opts;
} attend_job;

/* What an item costs beside its positions, in positions. */
#define ITEM_WORK 16

static int32_t seen_by(const attend_job *j, const nx_seq_rows *seq, int32_t t)
{
    int32_t n_pos = seq->pos0 + t + 1, window = j->opts->window;

    return window > 0 && n_pos > window ? window : n_pos;
}

static int64_t item_work(const attend_job *j, const nx_seq_rows *seq, int32_t t)
{
    return (int64_t)seen_by(j, seq, t) + ITEM_WORK;
}

/* Work of all rows of a sequence with one run of heads: rows before the window is full see one
 * position more each. */
static int64_t run_work(const attend_job *j, const nx_seq_rows *seq)
{
    int64_t T = seq->T, window = j->opts->window, growing = T;

    if (window > 0) {
        growing = window - seq->pos0;
        growing = growing < 0 ? 0 : growing > T ? T : growing;
    }
    return growing * (seq->pos0 + 1) + growing * (growing - 1) / 2 + (T - growing) * window +
           T * ITEM_WORK;
}

static int64_t seq_work(const attend_job *j, const nx_seq_rows *seq)
{
    return run_work(j, seq) * j->k->n_heads * j->chunks;
}

static nx_cached head_of(const nx_kv_view *kv, int32_t head)
{
    size_t stride = position_bytes(kv);

    return (nx_cached){.base = (const uint8_t *)kv->data +
                               (size_t)head * nx_dtype_row_bytes(kv->dtype, kv->head_dim),
                       .page_bytes = stride * (size_t)kv->page_len,
                       .stride = stride,
                       .dtype = kv->dtype};
}

static void attend_item(const attend_job *j, const nx_seq_rows *seq, int32_t run, int32_t t,
                        float *scores)
{
    int32_t kv = run / j->chunks, first = run % j->chunks * j->chunk, D = j->k->head_dim;
    int32_t n_q = j->group - first < j->chunk ? j->group - first : j->chunk;
    int64_t at = ((int64_t)(seq->row0 + t) * j->H + (int64_t)kv * j->group + first) * D;
    int32_t seen = seen_by(j, seq, t);

    const nx_attend_span span = {.k = head_of(j->k, kv),
                                 .v = head_of(j->v, kv),
                                 .pages = seq->pages,
                                 .page_len = j->k->page_len,
                                 .first = seq->pos0 + t + 1 - seen,
                                 .n_pos = seen};
    j->cpu->kernels.attend(j->out + at, j->q + at, n_q, D, &span, j->opts->scale, j->opts->softcap,
                           scores);
}

/* The items of a sequence, which begins at `at` on the line, that begin in lo .. hi - 1. */
static void attend_seq(const attend_job *j, const nx_seq_rows *seq, int64_t at, int64_t lo,
                       int64_t hi, float *scores)
{
    int64_t per_run = run_work(j, seq);
    int32_t runs = j->k->n_heads * j->chunks;

    int64_t skipped = lo > at ? (lo - at) / per_run : 0;
    at += skipped * per_run;
    for (int32_t run = (int32_t)skipped; run < runs && at < hi; run++) {
        for (int32_t t = 0; t < seq->T && at < hi; t++) {
            if (at >= lo) attend_item(j, seq, run, t, scores);
            at += item_work(j, seq, t);
        }
    }
}

static void attend_parts(void *ctx, int thread, int64_t begin, int64_t end)
{
    const attend_job *j = ctx;
    int64_t           lo = j->work * begin / j->parts, hi = j->work * end / j->parts, at = 0;
    float            *scores =
        j->cpu->scores + (size_t)thread * NX_ATTEND_HEADS * (size_t)j->cpu->sizes.n_pos_max;

    for (int32_t s = 0; s < j->n_seqs && at < hi; s++) {
        int64_t next = at + seq_work(j, &j->seqs[s]);
        if (next > lo) attend_seq(j, &j->seqs[s], at, lo, hi, scores);
        at = next;
    }
}

void nx_cpu_attention(nx_backend *be, float *out, const float *q, const nx_kv_view *k,
                      const nx_kv_view *v, const nx_seq_rows *seqs, int32_t n_seqs, int32_t H,
                      const nx_attention_opts *opts)
{
    nx_cpu_backend *cpu = self(be);
    attend_job      j = {cpu, out, q, k, v, seqs, n_seqs, H, .opts = opts};

    assert(H % k->n_heads == 0 && k->page_len == v->page_len && count_rows(seqs, n_seqs) >= 0);
    j.group = H / k->n_heads;
    j.chunk = j.group < NX_ATTEND_HEADS ? j.group : NX_ATTEND_HEADS;
    j.chunks = (j.group + j.chunk - 1) / j.chunk;
    for (int32_t s = 0; s < n_seqs; s++) {
        assert(seqs[s].pos0 + seqs[s].T <= cpu->sizes.n_pos_max);
        j.work += seq_work(&j, &seqs[s]);
    }
    j.parts = nx_pool_threads(cpu->pool);
    nx_pool_run(cpu->pool, j.parts, 1, attend_parts, &j);
}
