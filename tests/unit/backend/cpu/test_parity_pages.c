/* Protects: a cache in pages. Wherever the pages of a sequence lie, how long they are, whom it shares
 * them with and what stands beside it in a step: its bits are those that it has alone in a cache of
 * one page, on every variant and any number of threads. Bytes of other pages stay as they were. */
#include "rig_ops.h"

static const nx_dtype types[] = {NX_DTYPE_F32, NX_DTYPE_F16, NX_DTYPE_Q8_0};

#define SEQS_MAX  9
#define POS_MAX   700
#define PAGES_MAX (SEQS_MAX * POS_MAX + 7)

/* ---- Sequences, and the pages that they lie in ---- */

typedef struct scene {
    nx_dtype k_dtype, v_dtype;
    int32_t  H, n_kv, D, page_len, window;
    float    softcap;
    int32_t  n_seqs;
    int32_t  pos0[SEQS_MAX], T[SEQS_MAX];
    int32_t n_shared; /* positions of its beginning that each has of sequence 0, if it is as long */
} scene;

/* What each sequence's keys, values and queries are. */
typedef struct numbers {
    float *k[SEQS_MAX], *v[SEQS_MAX]; /* [pos0 + T, n_kv, D] */
    float *q;                         /* [rows, H, D] */
    float *expected; /* like q: each sequence alone, in one page, by the reference */
} numbers;

typedef struct pages {
    nx_kv_view  k, v;
    int32_t     table[SEQS_MAX][POS_MAX];
    nx_seq_rows seqs[SEQS_MAX];
    int32_t     n_rows;
    bool        used[PAGES_MAX];
    rig_buf     kb, vb;
} pages;

static int32_t length_of(const scene *c, int32_t s)
{
    return c->pos0[s] + c->T[s];
}

/* Pages of sequence 0 that sequence s has, too: whole ones, before any row of the step. */
static int32_t shared_pages(const scene *c, int32_t s)
{
    int32_t n = c->n_shared;

    if (s == 0) return 0;
    if (n > c->pos0[s]) n = c->pos0[s];
    if (n > c->pos0[0]) n = c->pos0[0];
    return n / c->page_len;
}

static nx_kv_view view_of(const scene *c, nx_dtype dtype, void *data, int32_t n_pages,
                          int32_t page_len)
{
    return (nx_kv_view){data, dtype, n_pages, page_len, c->n_kv, c->D};
}

static size_t row_bytes(const scene *c, nx_dtype dtype)
{
    return nx_dtype_row_bytes(dtype, (int64_t)c->n_kv * c->D);
}

static void make_pages(pages *p, const scene *c)
{
    int32_t n_pages = 7, free_page[PAGES_MAX];

    *p = (pages){0};
    for (int32_t s = 0; s < c->n_seqs; s++)
        n_pages += (length_of(c, s) + c->page_len - 1) / c->page_len;
    for (int32_t i = 0; i < n_pages; i++) free_page[i] = i;
    for (int32_t i = n_pages; i-- > 1;) {
        int32_t j = (int32_t)(rig_u64() % (uint64_t)(i + 1)), other = free_page[j];
        free_page[j] = free_page[i];
        free_page[i] = other;
    }
    for (int32_t s = 0, next = 0; s < c->n_seqs; s++) {
        int32_t n = (length_of(c, s) + c->page_len - 1) / c->page_len;
        for (int32_t i = 0; i < n; i++) {
            p->table[s][i] = i < shared_pages(c, s) ? p->table[0][i] : free_page[next++];
            p->used[p->table[s][i]] = true;
        }
        p->seqs[s] = (nx_seq_rows){p->table[s], p->n_rows, c->T[s], c->pos0[s]};
        p->n_rows += c->T[s];
    }
    size_t positions = (size_t)n_pages * (size_t)c->page_len;
    p->kb = rig_buf_make(positions * row_bytes(c, c->k_dtype), 0);
    p->vb = rig_buf_make(positions * row_bytes(c, c->v_dtype), 0);
    memset(p->kb.p, 0x5A, p->kb.bytes);
    memset(p->vb.p, 0x5A, p->vb.bytes);
    p->k = view_of(c, c->k_dtype, p->kb.p, n_pages, c->page_len);
    p->v = view_of(c, c->v_dtype, p->vb.p, n_pages, c->page_len);
}

static void free_pages(pages *p)
{
    rig_buf_free(&p->kb);
    rig_buf_free(&p->vb);
}

/* ---- What each sequence is alone ---- */

static void expect_alone(const numbers *n, const scene *c, int32_t s, int32_t row0)
{
    static const int32_t one_page[] = {0};
    nx_backend          *ref = variants.b[0].be;
    int32_t              length = length_of(c, s);
    uint8_t             *kc = nx_calloc((size_t)length, row_bytes(c, c->k_dtype));
    uint8_t             *vc = nx_calloc((size_t)length, row_bytes(c, c->v_dtype));

    assert_true(kc && vc);
    const nx_kv_view  k = view_of(c, c->k_dtype, kc, 1, length);
    const nx_kv_view  v = view_of(c, c->v_dtype, vc, 1, length);
    const nx_seq_rows all = {one_page, 0, length, 0}, seq = {one_page, 0, c->T[s], c->pos0[s]};
    const nx_attention_opts opts = {.scale = 0.125f, .softcap = c->softcap, .window = c->window};
    int64_t                 at = (int64_t)row0 * c->H * c->D;
    ref->ops->kv_store(ref, &k, n->k[s], &all, 1);
    ref->ops->kv_store(ref, &v, n->v[s], &all, 1);
    ref->ops->attention(ref, n->expected + at, n->q + at, &k, &v, &seq, 1, c->H, &opts);
    nx_free(kc);
    nx_free(vc);
}

static void make_numbers(numbers *n, const scene *c, const pages *p)
{
    int64_t width = (int64_t)c->n_kv * c->D, all = (int64_t)p->n_rows * c->H * c->D;

    n->q = noise(all, 2.0f);
    n->expected = noise(all, 1.0f);
    for (int32_t s = 0; s < c->n_seqs; s++) {
        size_t same = (size_t)(shared_pages(c, s) * c->page_len * width) * sizeof(float);
        n->k[s] = noise(length_of(c, s) * width, 2.0f);
        n->v[s] = noise(length_of(c, s) * width, 2.0f);
        memcpy(n->k[s], n->k[0], same);
        memcpy(n->v[s], n->v[0], same);
        expect_alone(n, c, s, p->seqs[s].row0);
    }
}

static void free_numbers(numbers *n, const scene *c)
{
    for (int32_t s = 0; s < c->n_seqs; s++) {
        nx_free(n->k[s]);
        nx_free(n->v[s]);
    }
    nx_free(n->q);
    nx_free(n->expected);
}

/* ---- In pages ---- */

/* What stood before the step, one sequence after the other, in odd slices. */
static void store_before(nx_backend *be, const pages *p, const scene *c, const numbers *n)
{
    int64_t width = (int64_t)c->n_kv * c->D;

    for (int32_t s = 0; s < c->n_seqs; s++)
        for (int32_t at = shared_pages(c, s) * c->page_len, T; at < c->pos0[s]; at += T) {
            T = c->pos0[s] - at < 37 ? c->pos0[s] - at : 37;
            const nx_seq_rows slice = {p->table[s], 0, T, at};
            be->ops->kv_store(be, &p->k, n->k[s] + at * width, &slice, 1);
            be->ops->kv_store(be, &p->v, n->v[s] + at * width, &slice, 1);
        }
}

/* The rows of the step, all at once. */
static void store_step(nx_backend *be, const pages *p, const scene *c, float *const from[],
                       const nx_kv_view *to)
{
    int64_t width = (int64_t)c->n_kv * c->D;
    float  *src = noise(p->n_rows * width, 1.0f);

    for (int32_t s = 0; s < c->n_seqs; s++)
        memcpy(src + p->seqs[s].row0 * width, from[s] + c->pos0[s] * width,
               (size_t)(c->T[s] * width) * sizeof(float));
    be->ops->kv_store(be, to, src, p->seqs, c->n_seqs);
    nx_free(src);
}

static void expect_others_untouched(const pages *p, const nx_kv_view *kv, const char *what)
{
    size_t bytes =
        nx_dtype_row_bytes(kv->dtype, (int64_t)kv->n_heads * kv->head_dim) * (size_t)kv->page_len;

    for (int32_t i = 0; i < kv->n_pages; i++)
        for (size_t b = 0; !p->used[i] && b < bytes; b++)
            if (((uint8_t *)kv->data)[(size_t)i * bytes + b] != 0x5A)
                fail_msg("%s: wrote into page %d, which is nobody's", what, i);
}

static void check(const scene *c)
{
    static pages            p;
    numbers                 n = {0};
    const nx_attention_opts opts = {.scale = 0.125f, .softcap = c->softcap, .window = c->window};

    make_pages(&p, c);
    make_numbers(&n, c, &p);
    int64_t all = (int64_t)p.n_rows * c->H * c->D;
    rig_buf out = rig_buf_make((size_t)all * sizeof(float), 0);
    for (int i = 0; i < variants.n; i++) {
        nx_backend *be = variants.b[i].be;
        memset(p.kb.p, 0x5A, p.kb.bytes);
        memset(p.vb.p, 0x5A, p.vb.bytes);
        store_before(be, &p, c, &n);
        store_step(be, &p, c, n.k, &p.k);
        store_step(be, &p, c, n.v, &p.v);
        rig_buf_check(&p.kb, variants.name[i]);
        rig_buf_check(&p.vb, variants.name[i]);
        expect_others_untouched(&p, &p.k, variants.name[i]);
        expect_others_untouched(&p, &p.v, variants.name[i]);
        memset(out.p, 0x11, (size_t)all * sizeof(float));
        be->ops->attention(be, out.p, n.q, &p.k, &p.v, p.seqs, c->n_seqs, c->H, &opts);
        rig_buf_check(&out, variants.name[i]);
        expect_same(out.p, n.expected, all, variants.name[i]);
    }
    rig_buf_free(&out);
    free_numbers(&n, c);
    free_pages(&p);
}

/* ---- Cases ---- */

static const int32_t page_lens[] = {1, 3, 16, 64};

/* Long and short, many rows and one; of the shared beginning all, some, none. */
static const scene mixed = {.H = 6,
                            .n_kv = 2,
                            .D = 64,
                            .n_seqs = 6,
                            .pos0 = {130, 0, 97, 64, 15, 200},
                            .T = {1, 19, 3, 1, 2, 1},
                            .n_shared = 100};

static void every_type_in_every_page(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof page_lens / sizeof *page_lens; i++)
        for (size_t k = 0; k < 3; k++)
            for (size_t v = 0; v < 3; v++) {
                scene c = mixed;
                c.page_len = page_lens[i];
                c.k_dtype = types[k];
                c.v_dtype = types[v];
                check(&c);
            }
}

static void windows_begin_anywhere(void **state)
{
    static const int32_t windows[] = {1, 5, 16, 33, 60, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof page_lens / sizeof *page_lens; i++)
        for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
            scene c = mixed;
            c.page_len = page_lens[i];
            c.k_dtype = c.v_dtype = types[w % 3];
            c.window = windows[w];
            c.softcap = w % 2 ? 2.5f : 0;
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
            scene c = mixed;
            c.page_len = page_lens[(size_t)group % 4];
            c.k_dtype = types[group % 2];
            c.v_dtype = types[i % 2];
            c.D = dims[i];
            c.n_kv = group == 5 ? 1 : 2;
            c.H = c.n_kv * group;
            check(&c);
        }
}

/* Of one sequence and of many, rows and heads, more and less than there are threads. */
static void steps_of_any_shape(void **state)
{
    const scene shapes[] = {
        {.H = 1, .n_kv = 1, .D = 32, .n_seqs = 1, .pos0 = {0}, .T = {1}},
        {.H = 1, .n_kv = 1, .D = 32, .n_seqs = 1, .pos0 = {600}, .T = {1}},
        {.H = 1, .n_kv = 1, .D = 32, .n_seqs = 1, .pos0 = {40}, .T = {129}},
        {.H = 3, .n_kv = 3, .D = 32, .n_seqs = 2, .pos0 = {690, 0}, .T = {1, 1}},
        {.H = 4, .n_kv = 1, .D = 32, .n_seqs = 3, .pos0 = {0, 0, 0}, .T = {1, 1, 1}},
        {.H = 2,
         .n_kv = 2,
         .D = 32,
         .n_seqs = 9,
         .pos0 = {5, 699, 0, 3, 32, 31, 690, 2, 15},
         .T = {60, 1, 1, 1, 1, 2, 1, 1, 1}},
    };
    static const int32_t windows[] = {0, 7, 200};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t w = 0; w < 3; w++) {
            scene c = shapes[i];
            c.page_len = 16;
            c.k_dtype = c.v_dtype = types[w];
            c.window = windows[w];
            check(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_in_every_page),
        cmocka_unit_test(windows_begin_anywhere),
        cmocka_unit_test(any_head),
        cmocka_unit_test(steps_of_any_shape),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
