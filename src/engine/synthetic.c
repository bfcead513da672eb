/* synthetic.c - plans the tensors of a shape, lays them out as a GGUF image, fills them.
 *
 * Idea: the plan is a list of (name, type, sizes, spread). Its order is the file's order, and the
 *       index of a tensor seeds its numbers. Filling cuts every tensor at grains that don't know
 *       about threads, so the bytes can't either.
 */
#include "engine/synthetic.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/synthetic_head.h"
#include "num/random_blocks.h"
#include "num/rng.h"
#include "os/file.h"
#include "os/pool.h"

/* Room for what the sizes of the image don't count: caches, activations, other programs. */
#define SPARE_BYTES ((uint64_t)256 << 20)

static const nx_synthetic_shape shapes[] = {
    {"1b", "Llama 3.2 1B", 16, 2048, 8192, 32, 8, 128256, 131072, true},
    {"1.4b", "the same with 19 layers", 19, 2048, 8192, 32, 8, 128256, 131072, true},
    {"8b", "Llama 3.1 8B", 32, 4096, 14336, 32, 8, 128256, 131072, false},
    {"70b", "Llama 3.1 70B", 80, 8192, 28672, 64, 8, 128256, 131072, false},
    {"tiny", "nothing real: for tests", 2, 256, 768, 4, 2, 512, 1024, true},
    {0},
};

const nx_synthetic_shape *nx_synthetic_shapes(void)
{
    return shapes;
}

static nx_status unknown_shape(const char *name, size_t len, nx_error *err)
{
    nx_buf    known = {.max = 1024};
    nx_status st = NX_OK;

    for (const nx_synthetic_shape *s = shapes; s->name && !st; s++)
        st = nx_buf_addf(&known, err, "%s%s", s == shapes ? "" : ", ", s->name);
    if (!st)
        st = nx_fail(err, NX_EINVAL, "shape %.*s: expected one of %s", (int)len, name, known.data);
    nx_buf_free(&known);
    return st;
}

nx_status nx_synthetic_parse(nx_synthetic_shape *shape, nx_dtype *dtype, const char *text,
                             nx_error *err)
{
    const char *colon = strchr(text, ':');
    size_t      len = colon ? (size_t)(colon - text) : strlen(text);

    if (!colon) return nx_fail(err, NX_EINVAL, "%s: expected SHAPE:TYPE, as in 1b:q8_0", text);
    if (!nx_dtype_by_name(dtype, colon + 1))
        return nx_fail(err, NX_EINVAL, "%s: %s is no type that nexus computes, as q4_0 is", text,
                       colon + 1);
    for (const nx_synthetic_shape *s = shapes; s->name; s++) {
        if (strlen(s->name) != len || strncmp(s->name, text, len) != 0) continue;
        *shape = *s;
        return NX_OK;
    }
    return unknown_shape(text, len, err);
}

/* ---- Plan ---- */

static void plan_add(nx_synthetic_plan *p, const char *name, int64_t K, int64_t N, float std)
{
    nx_synthetic_tensor *t = &p->tensors[p->n_tensors++];

    snprintf(t->name, sizeof t->name, "%s", name);
    t->dtype = N ? p->dtype : NX_DTYPE_F32;
    t->ne[0] = K;
    t->ne[1] = N ? N : 1;
    t->n_dims = N ? 2 : 1;
    t->std = std;
    t->bytes = nx_dtype_row_bytes(t->dtype, K) * (uint64_t)t->ne[1];
    t->offset = p->data_bytes;
    p->data_bytes += (t->bytes + NX_SYNTHETIC_ALIGN - 1) / NX_SYNTHETIC_ALIGN * NX_SYNTHETIC_ALIGN;
}

static void plan_layer_add(nx_synthetic_plan *p, int layer, const char *what, int64_t K, int64_t N,
                           float std)
{
    char name[64];

    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, what);
    plan_add(p, name, K, N, std);
}

/* Inputs of a matrix are normalised rows, so 1 / sqrt(K) keeps its outputs at size one; what goes
 * back into the residual is smaller by sqrt(2 n_layers), so that the sum of all layers is of size
 * one too. The blocks' scales bound the spread from below (num/random_blocks.h). */
static float spread(int64_t K, int n_summed)
{
    float std = 1.0f / sqrtf((float)K * (float)n_summed);

    return std < 0.001f ? 0.001f : std;
}

static void plan_layer(nx_synthetic_plan *p, const nx_synthetic_shape *s, int layer)
{
    int64_t D = s->n_embd, F = s->n_ff, D_kv = D / s->n_heads * s->n_heads_kv;
    int     n_sums = 2 * s->n_layers;

    plan_layer_add(p, layer, "attn_norm", D, 0, 0);
    plan_layer_add(p, layer, "attn_q", D, D, spread(D, 1));
    plan_layer_add(p, layer, "attn_k", D, D_kv, spread(D, 1));
    plan_layer_add(p, layer, "attn_v", D, D_kv, spread(D, 1));
    plan_layer_add(p, layer, "attn_output", D, D, spread(D, n_sums));
    plan_layer_add(p, layer, "ffn_norm", D, 0, 0);
    plan_layer_add(p, layer, "ffn_gate", D, F, spread(D, 1));
    plan_layer_add(p, layer, "ffn_up", D, F, spread(D, 1));
    plan_layer_add(p, layer, "ffn_down", F, D, spread(F, n_sums));
}

static nx_status check_rows(const nx_synthetic_shape *s, nx_dtype dtype, nx_error *err)
{
    const nx_dtype_info *t = nx_dtype_get(dtype);

    assert(s->n_embd % s->n_heads == 0 && s->n_heads % s->n_heads_kv == 0 && s->n_vocab >= 260);
    if (s->n_embd % t->block_len == 0 && s->n_ff % t->block_len == 0) return NX_OK;
    return nx_fail(err, NX_EINVAL, "shape %s: rows of %d and %d, expected multiples of %d for %s",
                   s->name, s->n_embd, s->n_ff, t->block_len, t->name);
}

/* Head of the image included. Free the plan also after an error. */
static nx_status plan(nx_synthetic_plan *p, const nx_synthetic_shape *s, nx_dtype dtype,
                      nx_error *err)
{
    *p = (nx_synthetic_plan){.dtype = dtype, .head.max = NX_SYNTHETIC_HEAD_MAX};
    nx_status st = check_rows(s, dtype, err);
    if (st) return st;
    p->tensors = nx_calloc((size_t)s->n_layers * 9 + 3, sizeof *p->tensors);
    if (!p->tensors) return nx_fail(err, NX_ENOMEM, "tensor plan of shape %s", s->name);
    plan_add(p, "token_embd.weight", s->n_embd, s->n_vocab, spread(s->n_embd, 1));
    for (int i = 0; i < s->n_layers; i++) plan_layer(p, s, i);
    plan_add(p, "output_norm.weight", s->n_embd, 0, 0);
    if (!s->head_tied) plan_add(p, "output.weight", s->n_embd, s->n_vocab, spread(s->n_embd, 1));
    snprintf(p->name, sizeof p->name, "synthetic %s %s", s->name, nx_dtype_get(dtype)->name);
    return nx_synthetic_head(p, s, err);
}

static void plan_free(nx_synthetic_plan *p)
{
    nx_free(p->tensors);
    nx_buf_free(&p->head);
}

nx_status nx_synthetic_bytes(uint64_t *out, const nx_synthetic_shape *shape, nx_dtype dtype,
                             nx_error *err)
{
    nx_synthetic_plan p;
    nx_status         st = plan(&p, shape, dtype, err);

    if (!st) *out = p.head.len + p.data_bytes;
    plan_free(&p);
    return st;
}

/* ---- Fill ---- */

typedef struct fill_job {
    unsigned char             *data;
    const nx_synthetic_tensor *tensor;
    uint64_t                   seed;
} fill_job;

static void fill_range(void *ctx, int thread, int64_t begin, int64_t end)
{
    const fill_job *j = ctx;
    nx_dtype        t = j->tensor->dtype;

    (void)thread;
    nx_random_blocks_fill(j->data + nx_dtype_row_bytes(t, begin), t, j->tensor->std, j->seed, begin,
                          end - begin);
}

static void fill_ones(unsigned char *data, int64_t n)
{
    static const float one = 1.0f;

    for (int64_t i = 0; i < n; i++) memcpy(data + (size_t)i * sizeof one, &one, sizeof one);
}

static void fill(unsigned char *image, const nx_synthetic_plan *p, uint64_t seed, nx_pool *pool,
                 nx_progress_fn progress, void *ctx)
{
    for (int64_t i = 0; i < p->n_tensors; i++) {
        const nx_synthetic_tensor *t = &p->tensors[i];
        fill_job                   job = {.data = image + p->head.len + t->offset, .tensor = t};

        job.seed = nx_splitmix64(&seed); /* advances: each tensor has its own */
        if (progress) progress(ctx, (int64_t)t->offset, (int64_t)p->data_bytes);
        if (t->std == 0.0f)
            fill_ones(job.data, t->ne[0]);
        else
            nx_pool_run(pool, t->ne[0] * t->ne[1], NX_RANDOM_GRAIN, fill_range, &job);
    }
}

static nx_status check_fits(const nx_synthetic_plan *p, nx_error *err)
{
    uint64_t bytes = p->head.len + p->data_bytes, free_bytes = nx_memory_available();
    uint64_t usable = free_bytes > SPARE_BYTES ? free_bytes - SPARE_BYTES : 0;

    if (bytes <= usable) return NX_OK;
    return nx_fail(err, NX_ELIMIT, "%s needs %.1f GB of memory, %.1f GB are free for it", p->name,
                   (double)bytes / 1e9, (double)usable / 1e9);
}

nx_status nx_synthetic_create(nx_synthetic *out, const nx_synthetic_shape *shape, nx_dtype dtype,
                              uint64_t seed, int n_threads, nx_progress_fn progress, void *ctx,
                              nx_error *err)
{
    nx_synthetic_plan p;
    nx_pool          *pool = NULL;
    nx_status         st;

    *out = (nx_synthetic){0};
    st = plan(&p, shape, dtype, err);
    if (!st) st = check_fits(&p, err);
    if (!st) st = nx_pool_create(&pool, n_threads, err);
    if (!st) st = nx_memory_map(&out->memory, p.head.len + (size_t)p.data_bytes, err);
    if (!st) {
        memcpy(out->name, p.name, sizeof out->name);
        memcpy(out->memory.data, p.head.data, p.head.len);
        fill(out->memory.data, &p, seed, pool, progress, ctx);
    }
    nx_pool_destroy(pool);
    plan_free(&p);
    return st;
}

void nx_synthetic_destroy(nx_synthetic *s)
{
    nx_memory_unmap(&s->memory);
}

nx_status nx_synthetic_open(nx_checkpoint **out, const nx_synthetic *s, nx_error *err)
{
    return nx_checkpoint_open_bytes(out, s->name, s->memory.data, s->memory.bytes, err);
}

/* ---- Save ---- */

static nx_status write_all(const nx_synthetic *s, nx_file_out *f, nx_progress_fn progress,
                           void *ctx, nx_error *err)
{
    const char  *p = s->memory.data;
    const size_t step = (size_t)16 << 20;
    nx_status    st = NX_OK;

    for (size_t at = 0; at < s->memory.bytes && !st; at += step) {
        size_t n = s->memory.bytes - at < step ? s->memory.bytes - at : step;
        if (progress) progress(ctx, (int64_t)at, (int64_t)s->memory.bytes);
        st = nx_fd_write_all(f->fd, p + at, n, f->path_partial, err);
    }
    return st;
}

nx_status nx_synthetic_save(const nx_synthetic *s, const char *path, nx_progress_fn progress,
                            void *ctx, nx_error *err)
{
    nx_file_out f;
    nx_status   st = nx_file_out_open(&f, path, err);

    if (st) return st;
    st = write_all(s, &f, progress, ctx, err);
    if (!st) return nx_file_out_commit(&f, err);
    nx_file_out_abort(&f);
    return st;
}
