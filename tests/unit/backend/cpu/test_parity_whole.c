/* Protects: attention over whole sequences without a cache, in both directions. A row sees exactly
 * the positions that it should, so its bits are those of the reference that looks at them from their
 * last one; on every variant and any number of threads, whatever stands beside a sequence. A bias is
 * added where its table says. */
#include <math.h>

#include "rig_ops.h"

#define SEQS_MAX 6

typedef struct scene {
    int32_t H, n_kv, D, window;
    bool    both_ways;
    float   softcap;
    int32_t n_seqs, T[SEQS_MAX];
} scene;

typedef struct made {
    float      *q, *k, *v, *expected;
    nx_seq_rows seqs[SEQS_MAX];
    int32_t     n_rows;
} made;

static nx_kv_view view_of(const scene *c, float *data, int32_t n_pos)
{
    return (nx_kv_view){data, NX_DTYPE_F32, 1, n_pos, c->n_kv, c->D};
}

/* Row P of a sequence, from the last position that it sees, over a cache of what it sees. */
static void expect_row(const made *m, const scene *c, const nx_seq_rows *s, int32_t P)
{
    static const int32_t    one_page[] = {0};
    nx_backend             *ref = variants.b[0].be;
    const nx_attention_opts opts = {.scale = 0.125f, .softcap = c->softcap};

    int32_t first = 0, end = c->both_ways ? s->T : P + 1;
    if (c->window && P - c->window + 1 > first) first = P - c->window + 1;
    if (c->window && P + c->window < end) end = P + c->window;
    int64_t          at = (int64_t)(s->row0 + first) * c->n_kv * c->D;
    const nx_kv_view k = view_of(c, m->k + at, end - first), v = view_of(c, m->v + at, end - first);
    const nx_seq_rows seq = {one_page, 0, 1, end - first - 1};
    int64_t           row = (int64_t)(s->row0 + P) * c->H * c->D;
    ref->ops->attention(ref, m->expected + row, m->q + row, &k, &v, &seq, 1, c->H, &opts);
}

static void make(made *m, const scene *c)
{
    *m = (made){0};
    for (int32_t s = 0; s < c->n_seqs; s++) {
        m->seqs[s] = (nx_seq_rows){.row0 = m->n_rows, .T = c->T[s]};
        m->n_rows += c->T[s];
    }
    m->q = noise((int64_t)m->n_rows * c->H * c->D, 2.0f);
    m->expected = noise((int64_t)m->n_rows * c->H * c->D, 1.0f);
    m->k = noise((int64_t)m->n_rows * c->n_kv * c->D, 2.0f);
    m->v = noise((int64_t)m->n_rows * c->n_kv * c->D, 2.0f);
    for (int32_t s = 0; s < c->n_seqs; s++)
        for (int32_t P = 0; P < c->T[s]; P++) expect_row(m, c, &m->seqs[s], P);
}

static void unmake(made *m)
{
    nx_free(m->q);
    nx_free(m->k);
    nx_free(m->v);
    nx_free(m->expected);
}

static void check_all(const made *m, const scene *c, const nx_attention_opts *opts)
{
    const nx_kv_view k = view_of(c, m->k, m->n_rows), v = view_of(c, m->v, m->n_rows);
    int64_t          all = (int64_t)m->n_rows * c->H * c->D;
    rig_buf          out = rig_buf_make((size_t)all * sizeof(float), 0);

    for (int i = 0; i < variants.n; i++) {
        nx_backend *be = variants.b[i].be;
        memset(out.p, 0x11, (size_t)all * sizeof(float));
        be->ops->attention(be, out.p, m->q, &k, &v, m->seqs, c->n_seqs, c->H, opts);
        rig_buf_check(&out, variants.name[i]);
        expect_same(out.p, m->expected, all, variants.name[i]);
    }
    rig_buf_free(&out);
}

static void check(const scene *c)
{
    const nx_attention_opts opts = {
        .scale = 0.125f, .softcap = c->softcap, .window = c->window, .both_ways = c->both_ways};
    made m;

    make(&m, c);
    check_all(&m, c, &opts);
    unmake(&m);
}

static const scene usual = {.H = 4, .n_kv = 4, .D = 32, .n_seqs = 6, .T = {1, 19, 3, 130, 4, 64}};

static void a_row_sees_both_ways(void **state)
{
    (void)state;
    for (int both = 0; both < 2; both++)
        for (int32_t window = 0; window < 70; window = window * 2 + 1) {
            scene c = usual;
            c.both_ways = both;
            c.window = window;
            c.softcap = window == 3 ? 2.5f : 0;
            check(&c);
        }
}

/* Heads whose rest isn't a multiple of sixteen, and groups of one to five query heads. */
static void any_head(void **state)
{
    static const int32_t dims[] = {1, 7, 33, 80};

    (void)state;
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int32_t group = 1; group <= 5; group++) {
            scene c = usual;
            c.both_ways = true;
            c.D = dims[i];
            c.n_kv = group == 5 ? 1 : 3;
            c.H = c.n_kv * group;
            check(&c);
        }
}

static void steps_of_any_shape(void **state)
{
    const scene shapes[] = {
        {.H = 1, .n_kv = 1, .D = 32, .n_seqs = 1, .T = {1}},
        {.H = 1, .n_kv = 1, .D = 32, .n_seqs = 1, .T = {129}},
        {.H = 3, .n_kv = 3, .D = 32, .n_seqs = 2, .T = {1, 5}},
        {.H = 12, .n_kv = 12, .D = 16, .n_seqs = 4, .T = {2, 2, 2, 2}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        scene c = shapes[i];
        c.both_ways = true;
        check(&c);
    }
}

/* ---- Bias ---- */

#define N_BIAS 140

/* One head of one row in double precision, from the contract's words. */
static void expect_biased(float *out, const made *m, const scene *c, const nx_seq_rows *s,
                          const float *bias, int32_t P, int32_t h)
{
    int32_t kv = h / (c->H / c->n_kv), D = c->D;
    double  e[N_BIAS], sum = 0, max = -1e30;

    for (int32_t p = 0; p < s->T; p++) {
        double dot = 0;
        for (int32_t i = 0; i < D; i++)
            dot += (double)m->q[((int64_t)(s->row0 + P) * c->H + h) * D + i] *
                   (double)m->k[((int64_t)(s->row0 + p) * c->n_kv + kv) * D + i];
        e[p] = dot * 0.125 + (double)bias[(int64_t)h * (2 * N_BIAS - 1) + N_BIAS - 1 + p - P];
        max = fmax(max, e[p]);
    }
    for (int32_t p = 0; p < s->T; p++) sum += e[p] = exp(e[p] - max);
    for (int32_t i = 0; i < D; i++) {
        double o = 0;
        for (int32_t p = 0; p < s->T; p++)
            o += e[p] / sum * (double)m->v[((int64_t)(s->row0 + p) * c->n_kv + kv) * D + i];
        out[i] = (float)o;
    }
}

static void expect_near_doubles(const made *m, const scene *c, const float *bias)
{
    for (int32_t s = 0; s < c->n_seqs; s++)
        for (int32_t P = 0; P < c->T[s]; P++)
            for (int32_t h = 0; h < c->H; h++) {
                float        want[64];
                const float *got = m->expected + ((int64_t)(m->seqs[s].row0 + P) * c->H + h) * c->D;
                expect_biased(want, m, c, &m->seqs[s], bias, P, h);
                for (int32_t i = 0; i < c->D; i++) assert_float_equal(got[i], want[i], 1e-4);
            }
}

static void a_bias_is_added(void **state)
{
    static const int32_t groups[] = {1, 2};

    (void)state;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        made  m;
        scene c = usual;
        c.both_ways = true;
        c.n_kv = c.H / groups[i];
        make(&m, &c);
        float                  *bias = noise((int64_t)c.H * (2 * N_BIAS - 1), 3.0f);
        const nx_attention_opts opts = {
            .scale = 0.125f, .both_ways = true, .bias = bias, .n_bias = N_BIAS};
        const nx_kv_view k = view_of(&c, m.k, m.n_rows), v = view_of(&c, m.v, m.n_rows);
        nx_backend      *ref = variants.b[0].be;
        ref->ops->attention(ref, m.expected, m.q, &k, &v, m.seqs, c.n_seqs, c.H, &opts);
        expect_near_doubles(&m, &c, bias);
        check_all(&m, &c, &opts);
        nx_free(bias);
        unmake(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_sees_both_ways),
        cmocka_unit_test(any_head),
        cmocka_unit_test(steps_of_any_shape),
        cmocka_unit_test(a_bias_is_added),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
