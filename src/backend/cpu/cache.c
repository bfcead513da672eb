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

/* An item is one row with a run of query heads that share a KV head; or, where rows of a sequence see
 * the same and no heads share, a few rows with one head. Items stand in the order (sequence, run of
 * heads, row), rows innermost: the keys and values of a head stay in cache from row to row. Laid end
 * to end by their work they make a line, of which every thread gets an equal part: the items that
 * begin in it. So the triangle under the causal mask is shared fairly, too. */
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
    int32_t                  rows;   /* per item, at most; above 1 only where chunk is 1 */
    int32_t                  parts;
    int64_t                  work; /* of all items */
    const nx_attention_opts *opts;
} attend_job;

/* What a row of an item costs beside its positions, in positions. */
#define ITEM_WORK 16

/* The positions first .. end - 1 that row t of a sequence sees. */
typedef struct sight {
    int32_t first, end;
} sight;

static sight sight_of(const attend_job *j, const nx_seq_rows *seq, int32_t t)
{
    int32_t window = j->opts->window, pos = seq->pos0 + t, end = seq->pos0 + seq->T;
    sight   s = {0, j->opts->both_ways ? end : pos + 1};

    if (window > 0 && pos - window + 1 > 0) s.first = pos - window + 1;
    if (window > 0 && window < s.end - pos) s.end = pos + window;
    return s;
}

static int64_t row_work(const attend_job *j, const nx_seq_rows *seq, int32_t t)
{
    sight s = sight_of(j, seq, t);

    return (int64_t)(s.end - s.first) + ITEM_WORK;
}

/* Work of all rows of a sequence with one run of heads. Under the causal mask rows before the window
 * is full see one position more each. */
static int64_t run_work(const attend_job *j, const nx_seq_rows *seq)
{
    int64_t T = seq->T, window = j->opts->window, growing = T, work = 0;

    if (j->opts->both_ways && window > 0) {
        for (int32_t t = 0; t < seq->T; t++) work += row_work(j, seq, t);
        return work;
    }
    if (j->opts->both_ways) return T * (seq->pos0 + T + ITEM_WORK);
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

/* The rows of one head as a sequence's spans find them. Without pages they are the step's own. */
static nx_cached head_of(const nx_kv_view *kv, int32_t head, const nx_seq_rows *seq)
{
    size_t stride = position_bytes(kv);
    size_t row0 = seq->pages ? 0 : (size_t)seq->row0;

    return (nx_cached){.base = (const uint8_t *)kv->data + row0 * stride +
                               (size_t)head * nx_dtype_row_bytes(kv->dtype, kv->head_dim),
                       .page_bytes = stride * (size_t)kv->page_len,
                       .stride = stride,
                       .dtype = kv->dtype};
}

/* Where the bias of query q of an item begins: its head, or its row, is q further. */
static const float *bias_at(const attend_job *j, const nx_seq_rows *seq, int32_t head, int32_t t,
                            int32_t first)
{
    const nx_attention_opts *o = j->opts;

    if (!o->bias) return NULL;
    return o->bias + (int64_t)head * (2 * o->n_bias - 1) + o->n_bias - 1 - (seq->pos0 + t) + first;
}

/* Rows t .. t + n - 1, which see the same. */
static void attend_item(const attend_job *j, const nx_seq_rows *seq, int32_t run, int32_t t,
                        int32_t n, float *scores)
{
    static const int32_t one_page[] = {0};

    int32_t kv = run / j->chunks, begin = run % j->chunks * j->chunk, D = j->k->head_dim;
    int32_t head = kv * j->group + begin;
    int32_t n_q = j->group - begin < j->chunk ? j->group - begin : j->chunk;
    int64_t at = ((int64_t)(seq->row0 + t) * j->H + head) * D;
    sight   s = sight_of(j, seq, t);

    nx_attend_span span = {.k = head_of(j->k, kv, seq),
                           .v = head_of(j->v, kv, seq),
                           .pages = seq->pages ? seq->pages : one_page,
                           .page_len = j->k->page_len,
                           .first = s.first,
                           .n_pos = s.end - s.first};
    if (n > 1) n_q = n;
    for (int32_t q = 0; q < n_q; q++)
        span.bias[q] = bias_at(j, seq, head + (n > 1 ? 0 : q), t + (n > 1 ? q : 0), s.first);
    j->cpu->kernels.attend(j->out + at, j->q + at, n > 1 ? (int64_t)j->H * D : D, n_q, D, &span,
                           j->opts->scale, j->opts->softcap, scores);
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
        for (int32_t t = 0, n; t < seq->T && at < hi; t += n) {
            n = seq->T - t < j->rows ? seq->T - t : j->rows;
            if (at >= lo) attend_item(j, seq, run, t, n, scores);
            at += row_work(j, seq, t) * n;
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

static void expect_sound(const attend_job *j, const nx_seq_rows *seq)
{
    (void)j, (void)seq;
    assert(seq->pos0 + seq->T <= j->cpu->sizes.n_pos_max);
    assert(!j->opts->bias || seq->pos0 + seq->T <= j->opts->n_bias);
    assert(seq->pages ||
           (seq->pos0 == 0 && j->k->n_pages == 1 && seq->row0 + seq->T <= j->k->page_len));
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
    j.rows = opts->both_ways && opts->window == 0 && j.group == 1 ? NX_ATTEND_HEADS : 1;
    for (int32_t s = 0; s < n_seqs; s++) {
        expect_sound(&j, &seqs[s]);
        j.work += seq_work(&j, &seqs[s]);
    }
    j.parts = nx_pool_threads(cpu->pool);
    nx_pool_run(cpu->pool, j.parts, 1, attend_parts, &j);
}
