/* Protects: whatever is put, removed, queued, worked on, embedded, in whatever order, with the store closed and opened
 * between: the shelf holds what a plain list of documents holds. No chunk twice, none without its document; counts,
 * states and n_waiting are right; one that stays has its vector. The seed of a failure is in its message. */
#include "shelves.h"

#include <pthread.h>

#include "rag/shelf_in.h"

enum { SOURCES = 6, TEXTS = 8, STEPS = 70, ROUNDS = 6, LINES = 5 };

static nx_embedder *model;

/* A document as it must be: which text is found, which one waits. -1: none. */
typedef struct known {
    bool there, failed;
    int  text, queued;
} known;

typedef struct game {
    shelves  x;
    known    known[SOURCES];
    uint32_t seed, rng;
    int      n_queued;
    int      queue[STEPS + 1]; /* documents in the order of their coming */
} game;

static uint32_t roll(game *g, uint32_t n)
{
    g->rng = g->rng * 1664525u + 1013904223u;
    return (g->rng >> 8) % n;
}

#define MUST(g, is)                                                                                \
    do                                                                                             \
        if (!(is)) fail_msg("seed %u: not so: %s (line %d)", (g)->seed, #is, __LINE__);            \
    while (0)

#define RUN(g, call)                                                                               \
    do                                                                                             \
        if (call) fail_msg("seed %u: %s: %s", (g)->seed, #call, err.text);                         \
    while (0)

/* Texts share paragraphs, at other places, some of them twice. The last is none that can be read. */
static nx_incoming make_incoming(char *room, size_t n, int source, int text)
{
    static const char *const names[SOURCES] = {"/m/0.txt", "/m/1.txt", "/m/2.txt",
                                               "/m/3.txt", "/m/4.md",  "/m/5.txt"};
    size_t                   at = 0;

    for (int i = 0; i < LINES + text % 3 && text < TEXTS - 1; i++) {
        int topic = (i * (text + 1)) % 6;
        for (int k = 0; k < 3; k++)
            at += (size_t)snprintf(room + at, n - at,
                                   "Topic %d, sentence %d: the parcel of street %d waits in locker "
                                   "%d until somebody comes. ",
                                   topic, k, topic * 7 + k, topic * 3);
        at += (size_t)snprintf(room + at, n - at, "\n\n");
    }
    if (text == TEXTS - 1) {
        memcpy(room, "\xFF\x00\x01", 3);
        at = 3;
    }
    return (nx_incoming){.source = nx_str_of(names[source]), .bytes = room, .n = at};
}

/* ---- Moves of the game ---- */

static void forget_queued(game *g, int source)
{
    int n = 0;

    for (int i = 0; i < g->n_queued; i++)
        if (g->queue[i] != source) g->queue[n++] = g->queue[i];
    g->n_queued = n;
    g->known[source].queued = -1;
}

static void put(game *g)
{
    char          room[8192];
    int           source = (int)roll(g, SOURCES), text = (int)roll(g, TEXTS);
    nx_incoming   in = make_incoming(room, sizeof room, source, text);
    known        *k = &g->known[source];
    nx_put_report r;
    nx_error      err;
    nx_status     st = nx_shelf_put(g->x.s, &in, g->x.e, &r, &err);

    if (text == TEXTS - 1) {
        MUST(g, st != NX_OK); /* and everything stays */
        return;
    }
    RUN(g, st);
    MUST(g, r.was_there == k->there);
    MUST(g, r.unchanged == (k->there && !k->failed && k->queued < 0 && k->text == text));
    MUST(g, r.n_chunks == r.n_new + r.n_kept);
    forget_queued(g, source);
    *k = (known){.there = true, .text = text, .queued = -1};
}

static void queue(game *g)
{
    char        room[8192];
    int         source = (int)roll(g, SOURCES), text = (int)roll(g, TEXTS);
    nx_incoming in = make_incoming(room, sizeof room, source, text);
    nx_point_id id;
    nx_error    err;

    RUN(g, nx_shelf_queue(g->x.s, &in, &id, &err));
    forget_queued(g, source);
    if (!g->known[source].there) g->known[source] = (known){.there = true, .text = -1};
    g->known[source].queued = text;
    g->known[source].failed = false;
    g->queue[g->n_queued++] = source;
}

static void work(game *g)
{
    bool          did;
    nx_put_report r;
    nx_error      err;

    RUN(g, nx_shelf_work_queued(g->x.s, g->x.e, &did, &r, &err));
    MUST(g, did == (g->n_queued > 0));
    if (!did) return;
    int    source = g->queue[0];
    known *k = &g->known[source];
    int    text = k->queued;
    forget_queued(g, source);
    k->failed = text == TEXTS - 1;
    if (!k->failed) k->text = text;
}

static nx_point_id id_of(int source)
{
    char room[8192];

    return nx_document_id(make_incoming(room, sizeof room, source, 0).source);
}

static void take_away(game *g)
{
    int       source = (int)roll(g, SOURCES);
    nx_error  err;
    nx_status st = nx_shelf_remove(g->x.s, id_of(source), NULL, &err);

    MUST(g, st == (g->known[source].there ? NX_OK : NX_ENOENT));
    forget_queued(g, source);
    g->known[source] = (known){.text = -1, .queued = -1};
}

static void embed(game *g)
{
    int32_t  n, max = (int32_t)roll(g, 9) + 1;
    nx_error err;

    RUN(g, nx_shelf_embed(g->x.s, g->x.e, max, NULL, &n, &err));
    MUST(g, n <= max);
}

static void open_again(game *g)
{
    shelves_close_store(&g->x);
    shelves_open_store(&g->x);
    shelves_open_shelf(&g->x);
}

/* ---- Is it so? ---- */

static uint64_t n_waiting(game *g, nx_snapshot *snap, nx_point_id doc)
{
    nx_arena         a = {0};
    nx_condition     has = {.kind = NX_COND_VECTOR, .slot = nx_shelf_dense(g->x.s)};
    nx_filter        lacks = {.must_not = &has, .n_must_not = 1};
    const nx_filter *f;
    uint64_t         n = 0;
    nx_error         err;

    RUN(g, nx_shelf_filter_chunks(&a, &doc, &lacks, &f, &err));
    RUN(g, nx_snapshot_count_where(snap, &n, f, &err));
    nx_arena_free(&a);
    return n;
}

static void check_document(game *g, nx_snapshot *snap, int source)
{
    const known  *k = &g->known[source];
    nx_point_copy copy = {0};
    nx_document   doc;
    char          room[8192], sha256[NX_BLOB_NAME];
    nx_error      err;
    nx_status     st = nx_shelf_get(g->x.s, snap, &doc, &copy, id_of(source), NULL, &err);

    MUST(g, st == (k->there ? NX_OK : NX_ENOENT));
    if (k->there) {
        uint64_t lacks = n_waiting(g, snap, doc.id), said = nx_field_uint(doc.payload, "n_waiting");
        nx_incoming in = make_incoming(room, sizeof room, source, k->text < 0 ? 0 : k->text);
        nx_blob_name(sha256, in.bytes, in.n);
        if (k->text >= 0) MUST(g, strcmp(doc.sha256, sha256) == 0);
        MUST(g, (doc.n_chunks > 0) == (k->text >= 0));
        MUST(g, nx_value_member(doc.payload, NX_STR("queued")).n ? k->queued >= 0 : k->queued < 0);
        MUST(g, (doc.state == NX_DOCUMENT_QUEUED) == (k->queued >= 0));
        MUST(g, (doc.state == NX_DOCUMENT_FAILED) == k->failed);
        MUST(g, (doc.error.len > 0) == k->failed);
        if (doc.state == NX_DOCUMENT_READY) MUST(g, lacks == 0 && said == 0);
        if (doc.state == NX_DOCUMENT_WORDS) MUST(g, said > 0 && lacks <= said);
    }
    nx_point_copy_free(&copy);
}

static void check(game *g)
{
    nx_snapshot   *snap = nx_snapshot_take(nx_shelf_collection(g->x.s));
    nx_shelf_stats stats;
    size_t         there = 0, failed = 0;
    nx_error       err;

    for (int i = 0; i < SOURCES; i++) {
        check_document(g, snap, i);
        there += g->known[i].there;
        failed += g->known[i].failed;
    }
    shelf_seen seen = shelves_check(&g->x);
    RUN(g, nx_shelf_read_stats(g->x.s, &stats, &err));
    MUST(g, seen.n_documents == there && stats.n_documents == there);
    MUST(g, stats.n_chunks == seen.n_chunks);
    MUST(g, stats.n_unembedded == seen.n_chunks - seen.n_vectors);
    MUST(g, stats.n_failed == failed && stats.n_queued == (uint64_t)g->n_queued);
    MUST(g, nx_snapshot_count(snap) == there + seen.n_chunks + 1); /* and the settings */
    nx_snapshot_release(snap);
}

static void play(uint32_t seed)
{
    game           g = {.seed = seed, .rng = seed};
    nx_shelf_stats stats;
    nx_error       err;

    for (int i = 0; i < SOURCES; i++) g.known[i] = (known){.text = -1, .queued = -1};
    shelves_open(&g.x, model);
    for (int i = 0; i < STEPS; i++) {
        uint32_t what = roll(&g, 20);
        if (what < 7)
            put(&g);
        else if (what < 10)
            queue(&g);
        else if (what < 13)
            work(&g);
        else if (what < 15)
            take_away(&g);
        else if (what < 19)
            embed(&g);
        else
            open_again(&g);
        check(&g);
    }
    shelves_embed(&g.x, 32);
    check(&g);
    RUN(&g, nx_shelf_read_stats(g.x.s, &stats, &err));
    MUST(&g, stats.n_unembedded == 0);
    shelves_close(&g.x);
}

static void it_is_as_a_list_would_be(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= ROUNDS; i++) play(i * 7919);
}

/* ---- Several writers of the same few documents ---- */

typedef struct hand {
    shelves *x;
    uint32_t number;
} hand;

/* A failure of one of these is reported, and the test ends: cmocka's way out is another thread's. */
static void *write_some(void *ctx)
{
    hand *h = ctx;
    game  g = {.rng = h->number * 31 + 1};

    for (int i = 0; i < 40; i++) {
        char          room[8192];
        int           source = (int)roll(&g, 2), text = (int)roll(&g, TEXTS - 1);
        nx_incoming   in = make_incoming(room, sizeof room, source, text);
        nx_put_report r;
        nx_point_id   id;
        bool          did;
        int32_t       n;
        nx_error      err;
        nx_status     st = NX_OK;
        switch (roll(&g, 6)) {
        case 0: st = nx_shelf_queue(h->x->s, &in, &id, &err); break;
        case 1: st = nx_shelf_work_queued(h->x->s, h->x->e, &did, &r, &err); break;
        case 2: (void)nx_shelf_remove(h->x->s, id_of(source), NULL, &err); break;
        case 3: st = nx_shelf_embed(h->x->s, h->x->e, 2, NULL, &n, &err); break;
        default: st = nx_shelf_put(h->x->s, &in, h->x->e, &r, &err); break;
        }
        if (st) {
            fprintf(stderr, "hand %u: %s\n", h->number, err.text);
            abort();
        }
    }
    return NULL;
}

static void writers_of_the_same(void **state)
{
    shelves        x;
    hand           hands[4];
    pthread_t      threads[4];
    nx_put_report  r;
    nx_shelf_stats stats;
    nx_error       err;

    (void)state;
    shelves_open(&x, model);
    for (uint32_t i = 0; i < 4; i++) {
        hands[i] = (hand){&x, i};
        pthread_create(&threads[i], NULL, write_some, &hands[i]);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    shelves_check(&x);
    for (bool did = true; did;)
        if (nx_shelf_work_queued(x.s, x.e, &did, &r, &err)) fail_msg("%s", err.text);
    shelves_embed(&x, 32);
    shelf_seen seen = shelves_check(&x);
    assert_int_equal(nx_shelf_read_stats(x.s, &stats, &err), NX_OK);
    assert_int_equal(seen.n_chunks, seen.n_vectors);
    assert_int_equal(stats.n_queued + stats.n_failed + stats.n_unembedded, 0);
    shelves_close(&x);
}

static int open_model(void **state)
{
    (void)state;
    model = shelves_model();
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    nx_embedder_close(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_as_a_list_would_be),
        cmocka_unit_test(writers_of_the_same),
    };

    return cmocka_run_group_tests(tests, open_model, close_model);
}
