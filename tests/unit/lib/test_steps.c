/* Protects: many sequences walked side by side over a cache in pages. Whatever stands beside a
 * sequence, however its rows are cut into steps and wherever its pages lie, its logits are to the bit
 * those that it has alone in a timeline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/synthetic.h"
#include "lib/backends.h"

#define N_SEQS   7
#define LEN_MAX  64
#define PAGE_LEN 16
#define N_BATCH  48

static const int32_t lengths[N_SEQS] = {40, 1, 17, 64, 5, 33, 16};

static uint64_t state_of_noise = 1;

static int32_t below(int32_t n)
{
    state_of_noise = state_of_noise * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((state_of_noise >> 33) % (uint64_t)n);
}

/* ---- A model, and what its sequences are alone ---- */

typedef struct scene {
    nx_synthetic image;
    nx_llm      *llm;
    nx_dtype     kv_dtype;
    float       *learned; /* positions that the model has learned, or NULL */
    int32_t      ids[N_SEQS][LEN_MAX];
    float       *expected[N_SEQS]; /* [length, n_vocab] */
    float       *collecting;
} scene;

static void open_scene(scene *s, const char *text, const char *cpu, nx_dtype kv_dtype)
{
    nx_synthetic_shape shape;
    nx_dtype           dtype;
    nx_backend        *be;
    nx_checkpoint     *cp;
    nx_error           err;

    *s = (scene){.kv_dtype = kv_dtype};
    assert_int_equal(nx_synthetic_parse(&shape, &dtype, text, &err), NX_OK);
    assert_int_equal(nx_synthetic_create(&s->image, &shape, dtype, 3, 2, NULL, NULL, &err), NX_OK);
    assert_int_equal(nx_synthetic_open(&cp, &s->image, &err), NX_OK);
    if (cpu) assert_int_equal(setenv("NEXUS_CPU", cpu, 1), 0);
    assert_int_equal(nx_backends_create(&be, 2, false, &err), NX_OK);
    if (cpu) assert_int_equal(unsetenv("NEXUS_CPU"), 0);
    assert_int_equal(nx_llm_take(&s->llm, cp, be, &err), NX_OK);
    for (int i = 0; i < N_SEQS; i++)
        for (int t = 0; t < lengths[i]; t++) s->ids[i][t] = below(shape.n_vocab);
}

static void collect(void *ctx, int32_t t, const float *logits)
{
    scene *s = ctx;
    size_t n = (size_t)s->llm->model->hp.n_vocab;

    memcpy(s->collecting + (size_t)t * n, logits, n * sizeof *logits);
}

static void read_alone(scene *s)
{
    nx_timeline_options opt = {.n_ctx = LEN_MAX, .n_batch = 24, .kv_dtype = s->kv_dtype};
    nx_timeline        *tl;
    nx_error            err;

    for (int i = 0; i < N_SEQS; i++) {
        size_t n = (size_t)lengths[i];
        s->expected[i] = s->collecting =
            nx_calloc(n * (size_t)s->llm->model->hp.n_vocab, sizeof(float));
        assert_non_null(s->expected[i]);
        assert_int_equal(nx_timeline_create(&tl, s->llm, &opt, &err), NX_OK);
        assert_int_equal(nx_timeline_eval_each(tl, s->ids[i], n, collect, s, &err), NX_OK);
        nx_timeline_destroy(tl);
    }
}

static void close_scene(scene *s)
{
    for (int i = 0; i < N_SEQS; i++) nx_free(s->expected[i]);
    nx_llm_close(s->llm);
    nx_free(s->learned);
    nx_synthetic_destroy(&s->image);
}

/* ---- The same side by side ---- */

typedef struct together {
    scene      *s;
    nx_kv       kv;
    nx_walk    *walk;
    int32_t     pages[N_SEQS][LEN_MAX / PAGE_LEN];
    int32_t     done[N_SEQS];
    nx_walk_seq step[N_SEQS];
    int32_t     who[N_SEQS], n_seqs; /* of the step */
    int32_t     row_seq[N_BATCH], row_pos[N_BATCH];
    bool        wanted[N_BATCH];
    int32_t     last_row, n_seen;
} together;

static void hand_out_pages(together *g)
{
    int32_t order[N_SEQS * LEN_MAX / PAGE_LEN], n = N_SEQS * LEN_MAX / PAGE_LEN;

    for (int32_t i = 0; i < n; i++) order[i] = i;
    for (int32_t i = n; i-- > 1;) {
        int32_t j = below(i + 1), other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
    memcpy(g->pages, order, sizeof g->pages);
}

static void expect_row(void *ctx, int32_t row, const float *logits)
{
    together *g = ctx;
    size_t    n = (size_t)g->s->llm->model->hp.n_vocab;

    assert_true(row > g->last_row && row < N_BATCH && g->wanted[row]);
    g->last_row = row;
    g->n_seen++;
    const float *expected = g->s->expected[g->row_seq[row]] + (size_t)g->row_pos[row] * n;
    if (memcmp(logits, expected, n * sizeof *logits))
        fail_msg("sequence %d, position %d: other logits than alone", g->row_seq[row],
                 g->row_pos[row]);
}

/* A few rows of every sequence that isn't done yet, in an order of its own in every step; logits of
 * some, but of the last row of each text always. Returns the number of logits wanted. */
static int32_t plan_step(together *g)
{
    int32_t rows = 0, n_wanted = 0, begin = below(N_SEQS);

    g->n_seqs = 0;
    memset(g->wanted, 0, sizeof g->wanted);
    for (int32_t k = 0; k < N_SEQS; k++) {
        int32_t i = (begin + k) % N_SEQS, left = lengths[i] - g->done[i];
        if (left == 0 || rows == N_BATCH) continue;
        int32_t T = 1 + below(below(2) ? 3 : 30);
        if (T > left) T = left;
        if (T > N_BATCH - rows) T = N_BATCH - rows;
        int32_t n_logits = T == left ? 1 + below(T) : below(T + 1);
        g->step[g->n_seqs++] = (nx_walk_seq){.ids = g->s->ids[i] + g->done[i],
                                             .pages = g->pages[i],
                                             .T = T,
                                             .pos0 = g->done[i],
                                             .n_seq = lengths[i],
                                             .n_logits = n_logits};
        for (int32_t t = 0; t < T; t++) {
            g->row_seq[rows + t] = i;
            g->row_pos[rows + t] = g->done[i] + t;
            g->wanted[rows + t] = t >= T - n_logits;
        }
        rows += T;
        n_wanted += n_logits;
        g->done[i] += T;
    }
    return n_wanted;
}

static void walk_together(scene *s, int32_t logit_rows)
{
    together      g = {.s = s};
    nx_walk_sizes sizes = {
        .n_batch = N_BATCH, .n_pos = LEN_MAX, .n_seqs_max = N_SEQS, .logit_rows = logit_rows};
    nx_error err;

    hand_out_pages(&g);
    assert_int_equal(nx_kv_open(&g.kv, &s->llm->model->hp, s->llm->be, s->kv_dtype,
                                N_SEQS * LEN_MAX / PAGE_LEN, PAGE_LEN, &err),
                     NX_OK);
    assert_int_equal(nx_walk_create(&g.walk, s->llm->model, s->llm->be, &sizes, &err), NX_OK);
    assert_int_equal(nx_walk_bytes(g.walk), nx_walk_bytes_planned(&s->llm->model->hp, &sizes));
    for (;;) {
        int32_t n_wanted = plan_step(&g);
        if (g.n_seqs == 0) break;
        g.last_row = -1;
        g.n_seen = 0;
        nx_walk_step(g.walk, &g.kv, g.step, g.n_seqs, expect_row, &g);
        assert_int_equal(g.n_seen, n_wanted);
    }
    nx_walk_destroy(g.walk);
    nx_kv_close(&g.kv);
}

static void check(scene *s)
{
    static const int32_t logit_rows[] = {0, 5, N_BATCH};

    read_alone(s);
    for (size_t i = 0; i < sizeof logit_rows / sizeof *logit_rows; i++)
        walk_together(s, logit_rows[i]);
    close_scene(s);
}

/* ---- Models ---- */

static void weights_and_caches_of_any_type(void **state)
{
    static const char *const models[] = {"tiny:f32", "tiny:q4_0", "tiny:q4_k", "tiny:bf16"};
    static const nx_dtype    caches[] = {NX_DTYPE_F16, NX_DTYPE_F32, NX_DTYPE_Q8_0};
    scene                    s;

    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t k = 0; k < 3; k++) {
            open_scene(&s, models[m], NULL, caches[k]);
            check(&s);
        }
}

static void the_reference_does_so_too(void **state)
{
    scene s;

    (void)state;
    open_scene(&s, "tiny:q8_0", "ref", NX_DTYPE_F16);
    check(&s);
}

static void layers_with_windows(void **state)
{
    scene s;

    (void)state;
    open_scene(&s, "tiny:q8_0", NULL, NX_DTYPE_F16);
    s.llm->model->layers[0].kind.window = 9;
    s.llm->model->layers[1].kind.window = 20;
    check(&s);
}

/* Angles that depend on each text's own length. */
static void ropes_that_stretch(void **state)
{
    scene       s;
    nx_hparams *hp;
    float       factors[2][256];

    (void)state;
    open_scene(&s, "tiny:q8_0", NULL, NX_DTYPE_F16);
    hp = &s.llm->model->hp;
    hp->rope_scaling = NX_ROPE_SCALING_DYNAMIC;
    hp->rope_scale = 4;
    hp->rope_ctx_original = 16;
    check(&s);

    open_scene(&s, "tiny:q8_0", NULL, NX_DTYPE_F32);
    hp = &s.llm->model->hp;
    for (int i = 0; i < 256; i++) {
        factors[0][i] = 1.0f + (float)i * 0.01f;
        factors[1][i] = 2.0f + (float)i * 0.1f;
    }
    hp->rope_scaling = NX_ROPE_SCALING_LONGROPE;
    hp->rope_ctx_original = 20;
    s.llm->model->rope_factors = factors[0];
    s.llm->model->rope_factors_long = factors[1];
    check(&s);
}

static void positions_that_were_learned(void **state)
{
    scene     s;
    nx_model *m;

    (void)state;
    open_scene(&s, "tiny:f16", NULL, NX_DTYPE_F16);
    m = s.llm->model;
    int64_t n = (int64_t)m->hp.n_embd * m->hp.n_ctx;
    s.learned = nx_calloc((size_t)n, sizeof *s.learned);
    assert_non_null(s.learned);
    for (int64_t i = 0; i < n; i++) s.learned[i] = (float)below(2001) * 0.001f - 1.0f;
    m->positions = (nx_tensor){.name = "positions",
                               .dtype = NX_DTYPE_F32,
                               .n_dims = 2,
                               .ne = {m->hp.n_embd, m->hp.n_ctx, 1, 1},
                               .data = s.learned,
                               .bytes = (size_t)n * sizeof *s.learned};
    m->hp.n_rot = 0;
    for (int32_t l = 0; l < m->hp.n_layers; l++) m->layers[l].kind.rope = NX_ROPE_NONE;
    check(&s);
}

/* Two texts that begin alike: the second is computed from where they part, over the first one's
 * pages. */
static void beginnings_may_be_shared(void **state)
{
    enum { SAME = 2 * PAGE_LEN, LENGTH = 40 };
    scene    s;
    together g = {.s = &s};
    nx_error err;

    (void)state;
    open_scene(&s, "tiny:q4_0", NULL, NX_DTYPE_F16);
    memcpy(s.ids[5], s.ids[0], SAME * sizeof(int32_t)); /* 33 tokens, and 40 */
    read_alone(&s);
    nx_walk_sizes sizes = {.n_batch = N_BATCH, .n_pos = LEN_MAX, .n_seqs_max = 2};
    assert_int_equal(nx_kv_open(&g.kv, &s.llm->model->hp, s.llm->be, s.kv_dtype, 4, PAGE_LEN, &err),
                     NX_OK);
    assert_int_equal(nx_walk_create(&g.walk, s.llm->model, s.llm->be, &sizes, &err), NX_OK);

    const int32_t     pages[2][3] = {{2, 0, 3}, {2, 0, 1}};
    const nx_walk_seq first = {.ids = s.ids[0], .pages = pages[0], .T = SAME, .n_seq = LENGTH};
    nx_walk_step(g.walk, &g.kv, &first, 1, expect_row, &g);
    const nx_walk_seq both[] = {{.ids = s.ids[0] + SAME,
                                 .pages = pages[0],
                                 .T = LENGTH - SAME,
                                 .pos0 = SAME,
                                 .n_seq = LENGTH,
                                 .n_logits = LENGTH - SAME},
                                {.ids = s.ids[5] + SAME,
                                 .pages = pages[1],
                                 .T = 1,
                                 .pos0 = SAME,
                                 .n_seq = SAME + 1,
                                 .n_logits = 1}};
    for (int32_t row = 0; row <= LENGTH - SAME; row++) {
        bool last = row == LENGTH - SAME;
        g.row_seq[row] = last ? 5 : 0;
        g.row_pos[row] = last ? SAME : SAME + row;
        g.wanted[row] = true;
    }
    g.last_row = -1;
    nx_walk_step(g.walk, &g.kv, both, 2, expect_row, &g);
    assert_int_equal(g.n_seen, LENGTH - SAME + 1);
    nx_walk_destroy(g.walk);
    nx_kv_close(&g.kv);
    close_scene(&s);
}

/* ---- Sizes ---- */

static void sizes_are_checked_and_counted(void **state)
{
    const nx_walk_sizes few = {.n_batch = 256, .n_pos = 64, .n_seqs_max = 64, .logit_rows = 8};
    nx_walk_sizes       z = few;
    nx_walk            *walk;
    nx_kv               kv;
    scene               s;
    nx_error            err;

    (void)state;
    open_scene(&s, "tiny:q4_0", NULL, NX_DTYPE_F16);
    const nx_hparams *hp = &s.llm->model->hp;
    z.logit_rows = 64;
    assert_int_equal(nx_walk_bytes_planned(hp, &z) - nx_walk_bytes_planned(hp, &few),
                     56 * 4 * ((uint64_t)hp->n_vocab + 1));
    z.n_seqs_max = -1;
    assert_int_equal(nx_walk_create(&walk, s.llm->model, s.llm->be, &z, &err), NX_EINVAL);
    assert_null(walk);
    z = few;
    z.logit_rows = -1;
    assert_int_equal(nx_walk_create(&walk, s.llm->model, s.llm->be, &z, &err), NX_EINVAL);
    z = few;
    z.n_pos = 0;
    assert_int_equal(nx_walk_create(&walk, s.llm->model, s.llm->be, &z, &err), NX_EINVAL);
    assert_int_equal(nx_kv_open(&kv, hp, s.llm->be, NX_DTYPE_F16, 0, 16, &err), NX_EINVAL);
    assert_int_equal(nx_kv_open(&kv, hp, s.llm->be, NX_DTYPE_F16, 4, 0, &err), NX_EINVAL);
    assert_int_equal(nx_kv_open(&kv, hp, s.llm->be, NX_DTYPE_F16, 1 << 20, 1 << 12, &err),
                     NX_EINVAL);
    assert_null(kv.data);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_and_caches_of_any_type),
        cmocka_unit_test(the_reference_does_so_too),
        cmocka_unit_test(layers_with_windows),
        cmocka_unit_test(ropes_that_stretch),
        cmocka_unit_test(positions_that_were_learned),
        cmocka_unit_test(beginnings_may_be_shared),
        cmocka_unit_test(sizes_are_checked_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
