/* Protects: what retrieval promises. Each passage's cosine and BM25 are known whoever found it; min_score is that
 * cosine; a filter holds for everything that comes out, also for what is only counted; near duplicates are
 * folded, but not what differs in its numbers; neighbours are joined, and a joined text is the document's very
 * bytes. NX_TAG_SETS (1000) random sets of documents and callers. */
#include <stdlib.h>

#include "base/alloc.h"
#include "library_rig.h"
#include "rag/retrieve_in.h"

static uint64_t next(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

static const nx_passage *find(const nx_passages *p, int doc)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->passages[i].chunk.doc.hi == (uint64_t)doc + 1) return &p->passages[i];
    return NULL;
}

/* ---- Both searches ---- */

static const slip *few(size_t *n)
{
    static float v[4][DIM];
    static slip  s[] = {
        {.doc = 1, .text = {"The crawler follows links.", 26}},
        {.doc = 2, .text = {"Spiders visit one page after another.", 37}},
        {.doc = 3, .text = {"A crawler needs a queue of links, and politeness.", 49}},
        {.doc = 4, .text = {"Bread is baked in an oven.", 26}},
    };
    const double degrees[] = {30, 10, 0, 85};

    for (int i = 0; i < 4; i++) {
        if (i != 2) s[i].vector = direction(v[i], degrees[i], i + 1);
    }
    *n = 4;
    return s;
}

static void test_both(void **state)
{
    library     l;
    nx_passages p;
    float       v[DIM];
    size_t      n;
    nx_question q = {.text = NX_STR("which crawlers follow a link"), .top_k = 10};

    (void)state;
    library_open(&l);
    const slip *s = few(&n);
    library_put(&l, s, n);
    q.vector = direction(v, 0, 1);
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 4);
    assert_int_equal(p.n_dense, 3);
    assert_int_equal(p.n_words, 2);
    const nx_passage *one = find(&p, 1), *two = find(&p, 2), *three = find(&p, 3);
    assert_float_equal(one->dense, 0.8660f, 1e-3);
    assert_int_equal(one->rank_dense, 2);
    assert_int_equal(one->rank_words, 1);
    assert_int_equal(one->matched.len, strlen("crawlers follow link"));
    assert_memory_equal(one->matched.p, "crawlers follow link", one->matched.len);
    assert_true(one->words > three->words && three->words > 0);
    assert_float_equal(two->dense, 0.9848f, 1e-3);
    assert_true(two->words <= 0 && two->rank_words == 0);
    assert_false(three->has_dense);
    assert_float_equal(p.best, 0.9848f, 1e-3);
    assert_ptr_equal(&p.passages[0], one);
    nx_passages_free(&p);

    /* Each alone knows the other's figures, too. */
    q.mode = NX_SEARCH_WORDS;
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 2);
    assert_float_equal(find(&p, 1)->dense, 0.8660f, 1e-3);
    nx_passages_free(&p);
    q.mode = NX_SEARCH_DENSE;
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 3);
    assert_true(find(&p, 1)->words > 0);
    assert_ptr_equal(&p.passages[0], find(&p, 2));
    nx_passages_free(&p);

    /* Words alone, when there is no vector. */
    q = (nx_question){.text = q.text, .top_k = 1};
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 1);
    assert_false(p.has_best);
    nx_passages_free(&p);
    library_close(&l);
}

static void test_min_score(void **state)
{
    library     l;
    nx_passages p;
    float       v[DIM];
    size_t      n;
    nx_buf      why = {.max = 1000};
    nx_question q = {.text = NX_STR("crawlers of links"), .top_k = 10, .has_min_score = true};

    (void)state;
    library_open(&l);
    const slip *s = few(&n);
    library_put(&l, s, n);
    q.vector = direction(v, 0, 1);
    q.min_score = 0.9f;
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 1);
    assert_non_null(find(&p, 2));
    assert_int_equal(p.n_below, 3);
    assert_int_equal(p.n_unknown, 1);
    nx_passages_free(&p);
    q.min_score = 0.99f;
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 0);
    assert_int_equal(nx_passages_why_none(&why, &p, &q, &l.err), NX_OK);
    assert_string_equal(why.data, "nothing above 0.99; the best was 0.98; 1 found by words have no "
                                  "vector yet");
    nx_passages_free(&p);
    nx_buf_clear(&why);
    q.min_score = 0; /* counts, too: what has no vector isn't known to be above */
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 3);
    assert_int_equal(nx_passages_why_none(&why, &p, &q, &l.err), NX_OK);
    assert_int_equal(why.len, 0);
    nx_passages_free(&p);
    nx_buf_free(&why);
    library_close(&l);
}

static void test_refusals(void **state)
{
    library     l;
    nx_passages p;
    float       v[DIM] = {0};
    atomic_bool stop = true;

    (void)state;
    library_open(&l);
    nx_question q = {.text = NX_STR("x"), .top_k = 0};
    assert_int_equal(library_ask(&l, &p, &q), NX_EINVAL);
    q.top_k = 101;
    assert_int_equal(library_ask(&l, &p, &q), NX_EINVAL);
    q.top_k = 100;
    assert_int_equal(library_ask(&l, &p, &q), NX_OK); /* an empty collection */
    assert_int_equal(p.n, 0);
    nx_passages_free(&p);
    q.text = NX_STR("the of and");
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    nx_passages_free(&p);
    q.mode = NX_SEARCH_DENSE;
    assert_int_equal(library_ask(&l, &p, &q), NX_EINVAL);
    q.vector = v; /* no direction */
    assert_int_equal(library_ask(&l, &p, &q), NX_EINVAL);
    q = (nx_question){.text = NX_STR("x"), .top_k = 1, .has_min_score = true};
    assert_int_equal(library_ask(&l, &p, &q), NX_EINVAL);
    q = (nx_question){.text = NX_STR("x"), .top_k = 1, .cancel = &stop};
    assert_int_equal(library_ask(&l, &p, &q), NX_ECANCELLED);
    library_close(&l);
}

/* ---- Who may see what ---- */

/* "access_tags" holds tag, or there are none. */
typedef struct caller {
    nx_filter    filter;
    nx_condition may[2];
    nx_str       tag;
} caller;

static void make_caller(caller *c, const char *tag)
{
    c->tag = nx_str_of(tag);
    c->may[0] = (nx_condition){.kind = NX_COND_TEXT_ANY, .texts = &c->tag, .n_texts = 1};
    c->may[1] = (nx_condition){.kind = NX_COND_EMPTY};
    for (int i = 0; i < 2; i++)
        assert_int_equal(nx_path_parse(&c->may[i].path, NX_STR("access_tags"), NULL), NX_OK);
    c->filter = (nx_filter){.should = c->may, .n_should = 2};
}

static const char *const tags[] = {NULL, "red", "green", "blue"};

static int tag_of(const nx_passages *p, const int *tag, nx_str source)
{
    (void)p;
    return tag[atoi(source.p + strlen("/docs/"))];
}

static void check_seen(const nx_passages *p, const int *tag, int caller_tag, size_t n_allowed)
{
    assert_true(p->n_fused <= n_allowed);
    assert_true(p->n_dense <= n_allowed && p->n_words <= n_allowed);
    for (size_t i = 0; i < p->n; i++) {
        int t = tag_of(p, tag, p->passages[i].chunk.source);
        assert_true(t == 0 || t == caller_tag);
        for (int32_t k = 0; k < p->passages[i].n_folded; k++) {
            t = tag_of(p, tag, p->passages[i].also[k]);
            assert_true(t == 0 || t == caller_tag);
        }
    }
}

static void one_tag_set(uint64_t seed)
{
    enum { N = 12 };
    static const char *const texts[] = {
        "The valve opens at three bar and closes by itself when pressure falls",
        "Three bar open the valve, which is closed by a spring again",
        "Pumps are looked after once a year by the people of the works",
    };
    library     l;
    float       v[N][DIM], asked[DIM];
    slip        s[N];
    int         tag[N];
    size_t      n_allowed = 0;
    caller      c;
    nx_passages p;
    double      best = -2;
    int         who = (int)(next(&seed) % 3) + 1;

    library_open(&l);
    for (int i = 0; i < N; i++) {
        tag[i] = (int)(next(&seed) % 4);
        double      degrees = (double)(next(&seed) % 80);
        const char *text = texts[next(&seed) % 3];
        s[i] = (slip){.doc = i,
                      .text = nx_str_of(text),
                      .tag = tags[tag[i]],
                      .vector = direction(v[i], degrees, 1 + (int)(next(&seed) % 7))};
        if (tag[i] && tag[i] != who) continue;
        n_allowed++;
        if ((double)v[i][0] > best) best = (double)v[i][0];
    }
    library_put(&l, s, N);
    make_caller(&c, tags[who]);
    for (int mode = 0; mode < 3; mode++) {
        nx_question q = {.text = NX_STR("at which pressure does the valve open"),
                         .vector = direction(asked, 0, 1),
                         .mode = (nx_search_mode)mode,
                         .top_k = 1 + (int)(next(&seed) % 12),
                         .filter = &c.filter};
        assert_int_equal(library_ask(&l, &p, &q), NX_OK);
        check_seen(&p, tag, who, n_allowed);
        if (p.has_best && mode != NX_SEARCH_WORDS) assert_float_equal(p.best, best, 1e-3);
        nx_passages_free(&p);
    }
    library_close(&l);
}

static void test_tags(void **state)
{
    const char *n = getenv("NX_TAG_SETS");

    (void)state;
    for (int i = 0; i < (n ? atoi(n) : 1000); i++) one_tag_set((uint64_t)i * 77 + 5);
}

/* ---- Near duplicates ---- */

static bool alike(const char *a, const char *b)
{
    bool same;

    assert_int_equal(nx_texts_alike(&same, nx_str_of(a), nx_str_of(b), NULL), NX_OK);
    return same;
}

static void test_alike(void **state)
{
    (void)state;
    assert_true(alike("A text.", "a TEXT"));
    assert_true(alike("", ""));
    assert_false(alike("A text.", "A test."));
    const char *lease =
        "The lease of the flat begins on the first day of a month and ends on the last day "
        "of one, unless both sides agree on something else in writing, with three months' "
        "notice given";
    char other[400];
    snprintf(other, sizeof other, "%s, and no less.", lease);
    assert_true(alike(lease, other));
    assert_true(
        alike("the pump of hall 7 was looked after by the works in the spring of the year",
              "The pump of hall 7 was looked after by the works, in the spring of the year."));
    assert_false(
        alike("the pump of hall 7 was looked after by the works in the spring of the year",
              "the pump of hall 8 was looked after by the works in the spring of the year"));
    assert_false(alike(lease, "Something else altogether."));
}

static void test_fold(void **state)
{
    library     l;
    float       v[4][DIM], asked[DIM];
    nx_passages p;
    const char *text =
        "Crawlers wait between two requests to the same host, so that nobody is overrun by them "
        "while the pages are fetched and the links on them are followed";
    char longer[300];

    (void)state;
    snprintf(longer, sizeof longer, "%s again.", text);
    slip s[] = {
        {.doc = 1, .text = nx_str_of(text), .vector = direction(v[0], 20, 1)},
        {.doc = 2, .text = nx_str_of(longer), .vector = direction(v[1], 10, 1)},
        {.doc = 3,
         .text = NX_STR("Price: crawlers"),
         .headings = "Lamps",
         .vector = direction(v[2], 30, 1)},
        {.doc = 4,
         .text = NX_STR("Price: crawlers"),
         .headings = "Chairs",
         .vector = direction(v[3], 31, 1)},
    };
    library_open(&l);
    library_put(&l, s, 4);
    nx_question q = {.text = NX_STR("zzz"), .vector = direction(asked, 0, 1), .top_k = 4};
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 3);
    assert_int_equal(p.n_folded, 1);
    assert_int_equal(p.passages[0].n_folded, 1);
    assert_memory_equal(p.passages[0].chunk.source.p, "/docs/2.txt", 11);
    assert_memory_equal(p.passages[0].also[0].p, "/docs/1.txt", 11);
    nx_passages_free(&p);
    q.keep_doubles = true;
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 4);
    nx_passages_free(&p);
    library_close(&l);
}

/* ---- Neighbours ---- */

/* Random documents, cut at random with overlaps and gaps: every passage is its document's bytes, no chunk is in
 * two passages, and where all touch and are found, one passage holds as many as may be. */
static void one_cutting(uint64_t seed)
{
    enum { DOCS = 3, BYTES = 600, CHUNKS = 40 };
    static char  doc[DOCS][BYTES + 1];
    static float v[DOCS * CHUNKS][DIM];
    slip         s[DOCS * CHUNKS];
    size_t       n = 0;
    library      l;
    nx_passages  p;
    float        asked[DIM];
    int          seen[DOCS][CHUNKS] = {{0}};

    for (int d = 0; d < DOCS; d++) {
        for (int i = 0; i < BYTES; i++) doc[d][i] = (char)('a' + next(&seed) % 26);
        size_t at = 0;
        for (int c = 0; c < CHUNKS && at < BYTES - 60; c++) {
            size_t len = 20 + next(&seed) % 40;
            s[n] = (slip){.doc = d,
                          .chunk_id = c,
                          .text = {doc[d] + at, len},
                          .start_pos = at,
                          .vector = direction(v[n], (double)(next(&seed) % 90), 1)};
            n++;
            at += len;
            uint64_t how = next(&seed) % 3;
            at = how == 0 ? at : how == 1 ? at - next(&seed) % 10 : at + 1 + next(&seed) % 3;
        }
    }
    library_open(&l);
    library_put(&l, s, n);
    nx_question q = {.text = NX_STR("zz"),
                     .vector = direction(asked, 0, 1),
                     .top_k = 1 + (int)(next(&seed) % 30)};
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_true(p.n <= (size_t)q.top_k && p.n > 0);
    for (size_t i = 0; i < p.n; i++) {
        const nx_passage *x = &p.passages[i];
        int               d = (int)x->chunk.doc.hi - 1;
        assert_int_equal(x->chunk.end_pos - x->chunk.start_pos, x->chunk.text.len);
        assert_memory_equal(x->chunk.text.p, doc[d] + x->chunk.start_pos, x->chunk.text.len);
        assert_true(i == 0 || x->score <= x[-1].score);
        for (int32_t k = 0; k < x->n_ids; k++) {
            assert_int_equal(seen[d][x->ids[k].lo - 1]++, 0);
            assert_true(k == 0 || x->ids[k].lo == x->ids[k - 1].lo + 1);
        }
    }
    nx_passages_free(&p);
    q.no_join = true;
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    for (size_t i = 0; i < p.n; i++) assert_int_equal(p.passages[i].n_ids, 1);
    assert_int_equal(p.n, (size_t)q.top_k < n ? (size_t)q.top_k : n);
    nx_passages_free(&p);
    library_close(&l);
}

static void test_join(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) one_cutting((uint64_t)i * 31 + 1);
}

/* A bridge: the worst of three makes one passage of the other two. */
static void test_bridge(void **state)
{
    library     l;
    float       v[3][DIM], asked[DIM];
    nx_passages p;
    slip        s[] = {
        {.doc = 1, .chunk_id = 0, .text = NX_STR("one two "), .vector = direction(v[0], 5, 1)},
        {.doc = 1,
                .chunk_id = 1,
                .start_pos = 8,
                .text = NX_STR("three four "),
                .vector = direction(v[1], 30, 1)},
        {.doc = 1,
                .chunk_id = 2,
                .start_pos = 19,
                .text = NX_STR("five six"),
                .vector = direction(v[2], 10, 1)},
    };

    (void)state;
    library_open(&l);
    library_put(&l, s, 3);
    nx_question q = {.text = NX_STR("zzz"), .vector = direction(asked, 0, 1), .top_k = 2};
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.passages[0].n_ids, 3);
    assert_int_equal(p.n_joined, 2);
    assert_int_equal(p.passages[0].chunk.chunk_id, 0);
    assert_memory_equal(p.passages[0].chunk.text.p, "one two three four five six", 27);
    nx_passages_free(&p);
    library_close(&l);
}

/* ---- When memory runs out ---- */

static void test_memory(void **state)
{
    library     l;
    nx_passages p;
    float       v[DIM];
    size_t      n;
    nx_question q = {.text = NX_STR("which crawlers follow a link"), .top_k = 10};

    (void)state;
    library_open(&l);
    const slip *s = few(&n);
    library_put(&l, s, n);
    q.vector = direction(v, 0, 1);
    for (int64_t i = 0;; i++) {
        nx_alloc_fail_after(i);
        nx_status st = library_ask(&l, &p, &q);
        nx_alloc_fail_after(-1);
        if (!st) break;
        assert_int_equal(st, NX_ENOMEM);
        assert_null(p.passages);
        assert_true(i < 10000);
    }
    assert_int_equal(p.n, 4);
    nx_passages_free(&p);
    library_close(&l);
}

/* ---- Words for people ---- */

static void test_explain(void **state)
{
    library     l;
    nx_passages p;
    float       v[DIM];
    size_t      n;
    nx_buf      b = {.max = 4000};
    nx_question q = {.text = NX_STR("which crawlers follow a link"), .top_k = 10};

    (void)state;
    library_open(&l);
    const slip *s = few(&n);
    library_put(&l, s, n);
    q.vector = direction(v, 0, 1);
    assert_int_equal(library_ask(&l, &p, &q), NX_OK);
    assert_int_equal(nx_passage_explain(&b, &p, 0, &l.err), NX_OK);
    assert_non_null(strstr(b.data, "by meaning: 2nd of 3 looked at, cosine 0.866\n"));
    assert_non_null(strstr(b.data, "by words: 1st of 2 looked at, BM25 "));
    assert_non_null(strstr(b.data, ": crawlers follow link\n"));
    nx_buf_free(&b);
    nx_passages_free(&p);
    library_close(&l);
}

static void check_context(const char *question, const char *before, const char *answer,
                          const char *expected)
{
    nx_turn turns[] = {{true, nx_str_of(before)}, {false, nx_str_of(answer)}};
    nx_buf  b = {.max = 4000};

    assert_int_equal(nx_question_in_context(&b, nx_str_of(question), turns, 2, NULL), NX_OK);
    assert_string_equal(b.data, expected);
    nx_buf_free(&b);
}

static void test_context(void **state)
{
    (void)state;
    check_context("How long is it kept?", "What is in the access log?", "Requests.",
                  "access log How long is it kept?");
    check_context("And who may read it?", "Where does nexus keep rag.json?",
                  "It lies in `data/nexus`, says Anna.",
                  "data/nexus Anna nexus keep rag.json And who may read it?");
    check_context("What is a crawler?", "Who wrote it?", "Somebody.", "What is a crawler?");
    check_context("Which command removes the files that nobody owns?", "What is a shelf?",
                  "A thing.", "Which command removes the files that nobody owns?");
    check_context("And why?", "What is a shelf?", "A thing.", "shelf And why?");
    check_context("What does that cost?", "How is the pump replaced?", "By hand.",
                  "pump replaced What does that cost?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both),     cmocka_unit_test(test_min_score),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_tags),
        cmocka_unit_test(test_alike),    cmocka_unit_test(test_fold),
        cmocka_unit_test(test_join),     cmocka_unit_test(test_bridge),
        cmocka_unit_test(test_explain),  cmocka_unit_test(test_context),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
