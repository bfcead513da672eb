/* Protects: a document and its chunks come, change and go in one step; what stays the same keeps its id and its
 * vector; positions are the document's bytes; words find it at once, vectors follow, and "ready" is said when all
 * are there; what is queued survives; running out of memory changes nothing; a collection moves to another model, with what waits and what failed. */
#include "shelves.h"

#include <pthread.h>

#include "rag/shelf_in.h"
#include "store/words.h"

static nx_embedder *model;

#define FOX    "The quick brown fox jumps over the lazy dog.\n\n"
#define HEN    "A hen broods over her eggs in the straw.\n\n"
#define PARCEL "Parcels are kept in the locker for seven days.\n\n"

static nx_incoming incoming(const char *source, const char *text)
{
    return (nx_incoming){.source = nx_str_of(source),
                         .bytes = text,
                         .n = strlen(text),
                         .modified_ns = 1700000000123456789};
}

static nx_put_report put(shelves *x, const nx_incoming *in)
{
    nx_put_report r;
    nx_error      err;

    if (nx_shelf_put(x->s, in, x->e, &r, &err)) fail_msg("%s", err.text);
    return r;
}

static nx_put_report put_text(shelves *x, const char *source, const char *text)
{
    nx_incoming in = incoming(source, text);

    return put(x, &in);
}

static nx_shelf_stats stats_of(shelves *x)
{
    nx_shelf_stats s;
    nx_error       err;

    if (nx_shelf_read_stats(x->s, &s, &err)) fail_msg("%s", err.text);
    return s;
}

static nx_document_state state_of(shelves *x, const char *source)
{
    nx_snapshot  *snap = nx_snapshot_take(nx_shelf_collection(x->s));
    nx_point_copy copy = {0};
    nx_document   doc;
    nx_error      err;

    if (nx_shelf_get(x->s, snap, &doc, &copy, nx_document_id(nx_str_of(source)), NULL, &err))
        fail_msg("%s", err.text);
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    return doc.state;
}

/* How many chunks hold one of these words. */
static size_t find_words(shelves *x, const char *words)
{
    nx_buf     ids = {.max = 65536}, values = {.max = 65536};
    nx_plan    plan = {.kind = NX_PLAN_NEAREST, .limit = 100};
    nx_results r = {0};
    nx_error   err;

    if (nx_bm25_vector(&ids, &values, nx_str_of(words), true, NULL, &err)) fail_msg("%s", err.text);
    plan.target = (nx_vector){.slot = nx_shelf_words(x->s),
                              .form = NX_FORM_SPARSE,
                              .n = (int32_t)(ids.len / 4),
                              .values = (const float *)(const void *)values.data,
                              .indices = (const uint32_t *)(const void *)ids.data};
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(x->s));
    if (nx_plan_run(snap, &plan, &r, NULL, &err)) fail_msg("%s", err.text);
    size_t n = r.n;
    nx_snapshot_release(snap);
    nx_results_free(&r);
    nx_buf_free(&ids);
    nx_buf_free(&values);
    return n;
}

static void words_at_once_vectors_later(void **state)
{
    shelves x;

    (void)state;
    shelves_open(&x, model);
    nx_put_report r = put_text(&x, "/a/fox.txt", FOX HEN PARCEL);
    assert_false(r.unchanged || r.was_there);
    assert_true(r.n_chunks >= 1 && r.n_new == r.n_chunks);
    assert_int_equal(find_words(&x, "hens"), 1);
    assert_int_equal(find_words(&x, "whale"), 0);
    assert_int_equal(state_of(&x, "/a/fox.txt"), NX_DOCUMENT_WORDS);
    assert_int_equal(stats_of(&x).n_unembedded, r.n_chunks);
    assert_int_equal(shelves_embed(&x, 100), r.n_chunks);
    assert_int_equal(state_of(&x, "/a/fox.txt"), NX_DOCUMENT_READY);
    assert_int_equal(stats_of(&x).n_unembedded, 0);
    assert_int_equal(shelves_embed(&x, 100), 0);
    shelf_seen seen = shelves_check(&x);
    assert_int_equal(seen.n_documents, 1);
    assert_int_equal(seen.n_vectors, r.n_chunks);

    uint64_t seq = nx_snapshot_seq(nx_snapshot_take(nx_shelf_collection(x.s)));
    r = put_text(&x, "/a/fox.txt", FOX HEN PARCEL);
    assert_true(r.unchanged && r.was_there);
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(x.s));
    assert_int_equal(nx_snapshot_seq(snap), seq); /* nothing was written */
    nx_snapshot_release(snap);
    nx_snapshot_release(snap); /* of the first question, too */

    assert_int_equal(put_text(&x, "/a/empty.txt", "").n_chunks, 0);
    assert_int_equal(state_of(&x, "/a/empty.txt"), NX_DOCUMENT_READY);
    shelves_close(&x);
}

/* 14 paragraphs, each of its own words and longer than half a chunk. */
static char *long_text(int changed, int without)
{
    static const char *const words[] = {"locker",  "parcel", "courier", "street", "evening",
                                        "battery", "winter", "signal",  "door",   "engine"};
    char                    *text = calloc(1, 200000), *p = text;

    for (int i = 0; i < 14; i++) {
        if (i == without) continue;
        for (int k = 0; k < 22; k++)
            p += sprintf(p, "%s%d%s", words[(i * 7 + k * k) % 10], i * 131 + k,
                         k % 11 == 10 ? ". " : " ");
        if (i == changed) p += sprintf(p, "Changed it is.");
        p += sprintf(p, "\n\n");
    }
    return text;
}

static void what_stays_keeps_its_vector(void **state)
{
    shelves x;
    char   *one = long_text(-1, -1), *two = long_text(8, -1), *three = long_text(8, 2);

    (void)state;
    shelves_open(&x, model);
    nx_put_report r = put_text(&x, "/a/long.txt", one);
    assert_true(r.n_chunks >= 14);
    assert_int_equal(shelves_embed(&x, 7), r.n_chunks);
    assert_int_equal(state_of(&x, "/a/long.txt"), NX_DOCUMENT_READY);
    r = put_text(&x, "/a/long.txt", two);
    assert_true(r.was_there && r.n_new >= 1 && r.n_new <= 4 && r.n_gone >= 1);
    assert_true(r.n_kept > r.n_chunks - 5);
    assert_int_equal(find_words(&x, "changed"), 1);
    assert_int_equal(state_of(&x, "/a/long.txt"), NX_DOCUMENT_WORDS);
    assert_int_equal(shelves_embed(&x, 100), r.n_new);
    assert_int_equal(state_of(&x, "/a/long.txt"), NX_DOCUMENT_READY);
    shelves_check(&x);
    r = put_text(&x, "/a/long.txt", three); /* what follows has moved */
    assert_true(r.n_kept > 6 && r.n_new < 8);
    shelves_check(&x);
    shelves_embed(&x, 100);
    shelf_seen seen = shelves_check(&x);
    assert_int_equal(seen.n_vectors, seen.n_chunks);
    r = put_text(&x, "/a/long.txt", "Short now.");
    assert_int_equal(r.n_chunks, 1);
    assert_int_equal(shelves_check(&x).n_chunks, 1);
    free(one);
    free(two);
    free(three);
    shelves_close(&x);
}

static void its_like_twice(void **state)
{
    shelves x;
    char   *text = calloc(1, 100000), *p = text;

    (void)state;
    for (int i = 0; i < 12; i++) {
        for (int k = 0; k < 25; k++) p += sprintf(p, "again %d ", k);
        p += sprintf(p, "\n\n");
    }
    shelves_open(&x, model);
    nx_put_report r = put_text(&x, "/a/like.txt", text);
    assert_true(r.n_chunks >= 12);
    assert_int_equal(r.n_new, r.n_chunks);
    shelf_seen seen = shelves_check(&x);
    assert_int_equal(seen.n_chunks, r.n_chunks);
    put_text(&x, "/a/other.txt", text); /* another document's, each its own */
    assert_int_equal(shelves_check(&x).n_chunks, 2 * r.n_chunks);
    free(text);
    shelves_close(&x);
}

static void gone_with_all_its_chunks(void **state)
{
    shelves       x;
    nx_arena      a = {0};
    nx_str        tag = NX_STR("red"), other = NX_STR("blue");
    nx_condition  is = {.kind = NX_COND_TEXT_ANY, .texts = &other, .n_texts = 1};
    nx_filter     f = {.must = &is, .n_must = 1};
    nx_point_id   id = nx_document_id(NX_STR("/a/fox.txt"));
    nx_error      err;
    nx_point_copy copy = {0};
    nx_document   doc;

    (void)state;
    shelves_open(&x, model);
    nx_incoming in = incoming("/a/fox.txt", FOX HEN);
    in.tags = &tag;
    in.n_tags = 1;
    put(&x, &in);
    put_text(&x, "/a/hen.txt", HEN);
    assert_int_equal(nx_path_parse(&is.path, NX_STR("access_tags"), &err), NX_OK);
    assert_int_equal(nx_shelf_remove(x.s, id, &f, &err), NX_ENOENT);
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(x.s));
    assert_int_equal(nx_shelf_get(x.s, snap, &doc, &copy, id, &f, &err), NX_ENOENT);
    other = tag;
    assert_int_equal(nx_shelf_get(x.s, snap, &doc, &copy, id, &f, &err), NX_OK);
    assert_true(nx_str_eq(doc.source, NX_STR("/a/fox.txt")));
    assert_true(nx_str_eq(doc.title, NX_STR("fox.txt")));
    nx_snapshot_release(snap);
    assert_int_equal(nx_shelf_remove(x.s, id, &f, &err), NX_OK);
    assert_int_equal(nx_shelf_remove(x.s, id, NULL, &err), NX_ENOENT);
    assert_int_equal(shelves_check(&x).n_documents, 1);
    in.n_tags = 0; /* other tags are a change */
    put(&x, &in);
    in.n_tags = 1;
    assert_false(put(&x, &in).unchanged);
    assert_true(put(&x, &in).unchanged);
    nx_point_copy_free(&copy);
    nx_arena_free(&a);
    shelves_close(&x);
}

static void what_is_queued_waits(void **state)
{
    shelves       x;
    nx_put_report r;
    nx_point_id   id;
    bool          did;
    nx_error      err;
    nx_incoming   in = incoming("upload/one.txt", FOX),
                two = incoming("upload/two.txt", "\xFF\x00\x01");

    (void)state;
    two.n = 3;
    shelves_open(&x, model);
    assert_int_equal(nx_shelf_queue(x.s, &in, &id, &err), NX_OK);
    assert_int_equal(nx_shelf_queue(x.s, &two, &id, &err), NX_OK);
    assert_int_equal(state_of(&x, "upload/one.txt"), NX_DOCUMENT_QUEUED);
    assert_int_equal(find_words(&x, "fox"), 0);
    assert_int_equal(stats_of(&x).n_queued, 2);
    shelves_close_store(&x);
    shelves_open_store(&x);
    shelves_open_shelf(&x);
    assert_int_equal(nx_shelf_work_queued(x.s, x.e, &did, &r, &err), NX_OK);
    assert_true(did && r.n_new == 1); /* the one that came first */
    assert_int_equal(state_of(&x, "upload/one.txt"), NX_DOCUMENT_WORDS);
    assert_int_equal(find_words(&x, "fox"), 1);
    assert_int_equal(nx_shelf_work_queued(x.s, x.e, &did, &r, &err), NX_OK);
    assert_true(did);
    assert_int_equal(state_of(&x, "upload/two.txt"), NX_DOCUMENT_FAILED);
    assert_int_equal(nx_shelf_work_queued(x.s, x.e, &did, &r, &err), NX_OK);
    assert_false(did);
    assert_int_equal(stats_of(&x).n_failed, 1);

    /* A new version waits: the old one is found. One that can't be read leaves it. */
    in.bytes = HEN;
    in.n = strlen(HEN);
    assert_int_equal(nx_shelf_queue(x.s, &in, &id, &err), NX_OK);
    assert_int_equal(find_words(&x, "fox"), 1);
    assert_int_equal(nx_shelf_work_queued(x.s, x.e, &did, &r, &err), NX_OK);
    assert_int_equal(find_words(&x, "fox"), 0);
    assert_int_equal(find_words(&x, "hen"), 1);
    in.bytes = "\xFF\x00\x01";
    in.n = 3;
    assert_int_equal(nx_shelf_queue(x.s, &in, &id, &err), NX_OK);
    assert_int_equal(nx_shelf_work_queued(x.s, x.e, &did, &r, &err), NX_OK);
    assert_int_equal(state_of(&x, "upload/one.txt"), NX_DOCUMENT_FAILED);
    assert_int_equal(find_words(&x, "hen"), 1);
    assert_int_equal(shelves_embed(&x, 10), 1); /* of a version that failed to be replaced */
    shelves_check(&x);
    shelves_close(&x);
}

/* A version that is no longer wanted: what was there is as it was. */
static void what_is_queued_is_taken_back(void **state)
{
    const int64_t ever = INT64_MAX;
    shelves       x;
    nx_put_report r;
    nx_point_id   id;
    bool          did;
    nx_error      err;
    nx_incoming   in = incoming("upload/one.txt", FOX);

    (void)state;
    shelves_open(&x, model);
    assert_int_equal(nx_shelf_queue(x.s, &in, &id, &err), NX_OK);
    assert_int_equal(nx_shelf_unqueue(x.s, id, 1, &err), NX_OK); /* it came later */
    assert_int_equal(state_of(&x, "upload/one.txt"), NX_DOCUMENT_QUEUED);
    assert_int_equal(nx_shelf_unqueue(x.s, id, ever, &err), NX_OK);
    assert_int_equal(stats_of(&x).n_documents, 0);
    assert_int_equal(nx_shelf_unqueue(x.s, id, ever, &err), NX_OK);

    put(&x, &in);
    in.bytes = HEN;
    in.n = strlen(HEN);
    for (int ready = 0; ready < 2; ready++) {
        nx_document_state was = ready ? NX_DOCUMENT_READY : NX_DOCUMENT_WORDS;
        assert_int_equal(state_of(&x, "upload/one.txt"), was);
        assert_int_equal(nx_shelf_queue(x.s, &in, &id, &err), NX_OK);
        assert_int_equal(nx_shelf_unqueue(x.s, id, ever, &err), NX_OK);
        assert_int_equal(state_of(&x, "upload/one.txt"), was);
        assert_int_equal(nx_shelf_work_queued(x.s, x.e, &did, &r, &err), NX_OK);
        assert_false(did);
        assert_int_equal(shelves_embed(&x, 10), ready ? 0 : 1);
    }
    assert_int_equal(find_words(&x, "fox"), 1);
    assert_int_equal(find_words(&x, "hen"), 0);

    /* Never read at all: it failed, and still has. */
    in = incoming("upload/two.txt", "\xFF\x00\x01");
    in.n = 3;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(nx_shelf_queue(x.s, &in, &id, &err), NX_OK);
        if (i == 0)
            assert_int_equal(nx_shelf_work_queued(x.s, x.e, &did, &r, &err), NX_OK);
        else
            assert_int_equal(nx_shelf_unqueue(x.s, id, ever, &err), NX_OK);
        assert_int_equal(state_of(&x, "upload/two.txt"), NX_DOCUMENT_FAILED);
    }
    shelves_check(&x);
    shelves_close(&x);
}

/* Whose a document is, is looked at in the step that replaces it: of two that come at once one is second. */
static void another_s_document_stays(void **state)
{
    const nx_str  mine = NX_STR("mine"), theirs = NX_STR("theirs");
    nx_condition  has = {.kind = NX_COND_TEXT_ANY, .texts = &theirs, .n_texts = 1};
    nx_filter     own = {.must = &has, .n_must = 1};
    bool          barred = false;
    shelves       x;
    nx_put_report r;
    nx_point_id   id;
    nx_error      err;
    nx_incoming   in = incoming("upload/one.txt", FOX), other = incoming("upload/one.txt", HEN);

    (void)state;
    shelves_open(&x, model);
    assert_int_equal(nx_path_parse(&has.path, NX_STR("access_tags"), &err), NX_OK);
    in.tags = &mine;
    other.tags = &theirs;
    in.n_tags = other.n_tags = 1;
    other.only_over = &own;
    other.barred = &barred;
    assert_int_equal(nx_shelf_queue(x.s, &in, &id, &err), NX_OK);
    assert_int_equal(nx_shelf_queue(x.s, &other, &id, &err), NX_EINVAL);
    assert_true(barred);
    barred = false;
    assert_int_equal(nx_shelf_put(x.s, &other, x.e, &r, &err), NX_EINVAL);
    assert_true(barred);
    assert_false(put(&x, &in).unchanged);
    assert_int_equal(nx_shelf_put(x.s, &other, x.e, &r, NULL), NX_EINVAL);
    assert_int_equal(find_words(&x, "fox"), 1);
    assert_int_equal(find_words(&x, "hen"), 0);
    other.source = NX_STR("upload/two.txt"); /* a name that nobody has, and then one's own */
    barred = false;
    assert_int_equal(nx_shelf_put(x.s, &other, x.e, &r, &err), NX_OK);
    assert_int_equal(nx_shelf_queue(x.s, &other, &id, &err), NX_OK);
    assert_false(barred);
    shelves_check(&x);
    shelves_close(&x);
}

static void settings_stay_and_cut_anew(void **state)
{
    shelves           x;
    nx_shelf         *other;
    nx_shelf_settings set = shelves_settings();
    nx_chunk_options  opt = {.size = 40, .overlap = 10};
    nx_error          err;
    char             *text = long_text(-1, -1);

    (void)state;
    shelves_open(&x, model);
    uint64_t n = put_text(&x, "/a/long.txt", text).n_chunks;
    assert_int_equal(nx_shelf_set_template(x.s, NX_STR("{context} {question}"), &err), NX_OK);
    opt.overlap = 40;
    assert_int_equal(nx_shelf_set_chunking(x.s, &opt, &err), NX_EINVAL);
    opt.overlap = 10;
    assert_int_equal(nx_shelf_set_chunking(x.s, &opt, &err), NX_OK);
    set.model = NX_STR("other");
    assert_int_equal(nx_shelf_open(&other, x.store, x.blobs, NX_STR("docs"), &set, &err),
                     NX_EINVAL);
    assert_non_null(strstr(err.text, "reindex"));
    assert_int_equal(nx_shelf_open(&other, x.store, x.blobs, NX_STR("none"), NULL, &err),
                     NX_ENOENT);
    nx_config c = {.n_slots = 1};
    c.slots[0] = (nx_slot){.form = NX_FORM_DENSE, .dim = 3};
    assert_int_equal(nx_store_create_collection(x.store, NX_STR("plain"), &c, &err), NX_OK);
    assert_int_equal(nx_shelf_open(&other, x.store, x.blobs, NX_STR("plain"), NULL, &err),
                     NX_EUNSUPPORTED);
    shelves_close_store(&x);
    shelves_open_store(&x);
    shelves_open_shelf(&x);
    const nx_shelf_settings *now = nx_shelf_get_settings(x.s);
    assert_true(nx_str_eq(now->template, NX_STR("{context} {question}")));
    assert_int_equal(now->chunking.size, 40);
    assert_int_equal(now->chunking.limit, 256);
    assert_true(nx_str_eq(now->model, NX_STR("minilm")));
    nx_put_report r = put_text(&x, "/a/long.txt", text);
    assert_false(r.unchanged);
    (void)n;
    shelves_check(&x);
    free(text);
    shelves_close(&x);
}

/* ---- Many hands ---- */

typedef struct hand {
    shelves *x;
    int      number;
} hand;

static void *change_documents(void *ctx)
{
    hand *h = ctx;

    for (int i = 0; i < 30; i++) {
        char source[40], *text = calloc(1, 4000), *p = text;
        snprintf(source, sizeof source, "/a/%d.txt", (i + h->number) % 5);
        for (int k = 0; k < 3; k++)
            p += sprintf(p, "Text %d of hand %d stands here, line %d.\n\n", i % 7, h->number, k);
        nx_incoming   in = incoming(source, text);
        nx_put_report r;
        nx_error      err;
        if (nx_shelf_put(h->x->s, &in, h->x->e, &r, &err)) fail_msg("%s", err.text);
        if (i % 6 == 5) (void)nx_shelf_remove(h->x->s, r.id, NULL, &err);
        free(text);
    }
    return NULL;
}

static void *embed_meanwhile(void *ctx)
{
    hand *h = ctx;

    for (int i = 0; i < 60; i++) {
        int32_t  n;
        nx_error err;
        if (nx_shelf_embed(h->x->s, h->x->e, 3, NULL, &n, &err)) fail_msg("%s", err.text);
    }
    return NULL;
}

static void many_hands(void **state)
{
    shelves   x;
    hand      hands[4];
    pthread_t threads[4];

    (void)state;
    shelves_open(&x, model);
    for (int i = 0; i < 4; i++) {
        hands[i] = (hand){&x, i};
        pthread_create(&threads[i], NULL, i < 3 ? change_documents : embed_meanwhile, &hands[i]);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    shelves_check(&x);
    shelves_embed(&x, 50);
    shelf_seen seen = shelves_check(&x);
    assert_int_equal(seen.n_chunks, seen.n_vectors);
    for (int i = 0; i < 5; i++) {
        char     source[40];
        nx_error err;
        snprintf(source, sizeof source, "/a/%d.txt", i);
        nx_point_id id = nx_document_id(nx_str_of(source));
        nx_status   st = nx_shelf_remove(x.s, id, NULL, &err);
        assert_true(st == NX_OK || st == NX_ENOENT);
    }
    assert_int_equal(shelves_check(&x).n_chunks, 0);
    shelves_close(&x);
}

/* ---- No memory ---- */

static void no_memory_changes_nothing(void **state)
{
    shelves       x;
    nx_put_report r;
    nx_error      err;
    nx_status     st = NX_ENOMEM;
    nx_incoming   in = incoming("/a/fox.txt", FOX HEN PARCEL);

    (void)state;
    shelves_open(&x, model);
    put_text(&x, "/a/fox.txt", FOX HEN);
    uint64_t before = shelves_check(&x).n_chunks;
    int64_t  n = 0;
    for (; st; n += 1 + n / 50) {
        nx_alloc_fail_after(n);
        st = nx_shelf_put(x.s, &in, x.e, &r, &err);
        nx_alloc_fail_after(-1);
        if (st && st != NX_ENOMEM) fail_msg("allocation %d: %s", (int)n, err.text);
        if (st) assert_int_equal(shelves_check(&x).n_chunks, before);
    }
    assert_true(n > 10);
    shelves_check(&x);
    assert_int_equal(find_words(&x, "parcel"), 1);
    shelves_close(&x);
}

/* ---- Another model ---- */

typedef struct telling {
    shelves *x;
    int      n_calls, stop_at;
} telling;

static bool tell(void *ctx, uint64_t done, uint64_t total)
{
    telling *t = ctx;

    assert_true(done <= total);
    if (t->n_calls == 0) put_text(t->x, "/a/new.txt", "It came while the others moved: an owl.");
    assert_true(find_words(t->x, "fox") == 1); /* the old one serves */
    return ++t->n_calls != t->stop_at;
}

static void it_moves_to_another_model(void **state)
{
    shelves           x;
    nx_shelf_settings to = shelves_settings();
    telling           t = {.x = &x, .stop_at = 2};
    nx_error          err;
    uint64_t          n = 0;
    char             *text = long_text(-1, -1);

    (void)state;
    to.model = NX_STR("minilm, again");
    shelves_open(&x, model);
    put_text(&x, "/a/fox.txt", FOX);
    put_text(&x, "/a/long.txt", text);
    put_text(&x, "/a/gone.txt", HEN);
    nx_incoming queued = incoming("/a/queued.txt", PARCEL);
    nx_point_id id;
    assert_int_equal(nx_shelf_queue(x.s, &queued, &id, &err), NX_OK);
    shelves_embed(&x, 100);
    assert_int_equal(nx_shelf_move(x.store, x.blobs, NX_STR("docs"), &to, x.e, tell, &t, &err),
                     NX_ECANCELLED);
    nx_collection *beside;
    assert_int_equal(nx_store_find(&beside, x.store, NX_STR("docs.moving"), &err), NX_ENOENT);
    shelves_check(&x);
    assert_int_equal(nx_shelf_remove(x.s, nx_document_id(NX_STR("/a/gone.txt")), NULL, &err),
                     NX_OK);
    t.stop_at = -1;
    if (nx_shelf_move(x.store, x.blobs, NX_STR("docs"), &to, x.e, tell, &t, &err))
        fail_msg("%s", err.text);
    nx_put_report r;
    assert_int_equal(nx_shelf_put(x.s, &queued, x.e, &r, &err), NX_ENOENT); /* the old handle */
    nx_shelf_close(x.s);
    if (nx_shelf_open(&x.s, x.store, x.blobs, NX_STR("docs"), &to, &err)) fail_msg("%s", err.text);
    shelf_seen seen = shelves_check(&x);
    assert_int_equal(seen.n_documents, 4);
    assert_int_equal(seen.n_vectors, seen.n_chunks);
    assert_int_equal(find_words(&x, "owl"), 1);
    assert_int_equal(find_words(&x, "hen"), 0);
    assert_int_equal(state_of(&x, "/a/queued.txt"), NX_DOCUMENT_QUEUED);
    bool did;
    assert_int_equal(nx_shelf_work_queued(x.s, x.e, &did, &r, &err), NX_OK);
    assert_true(did);
    assert_int_equal(find_words(&x, "parcels"), 1);
    assert_int_equal(nx_shelves_sweep(x.store, x.blobs, NULL, &n, &err), NX_OK);
    shelves_check(&x);
    free(text);
    shelves_close(&x);
}

/* What comes of a document while it moves: its bytes are there already, but a version waits, or failed. */
typedef struct change {
    shelves *x;
    int      n_calls;
    bool     worked; /* the queue is worked on once, too */
} change;

static bool queue_meanwhile(void *ctx, uint64_t done, uint64_t total)
{
    change       *c = ctx;
    nx_incoming   hen = incoming("/a/fox.txt", HEN), bad = incoming("/a/hen.txt", "\xFF\x00\x01");
    nx_point_id   id;
    nx_put_report r;
    nx_error      err;
    bool          did;

    (void)done;
    (void)total;
    if (c->n_calls++) return true;
    bad.n = 3;
    if (nx_shelf_queue(c->x->s, &hen, &id, &err)) fail_msg("%s", err.text);
    if (nx_shelf_queue(c->x->s, &bad, &id, &err)) fail_msg("%s", err.text);
    if (c->worked)
        for (did = true; did;)
            if (nx_shelf_work_queued(c->x->s, c->x->e, &did, &r, &err)) fail_msg("%s", err.text);
    return true;
}

static void what_waits_moves_along(bool worked)
{
    shelves           x;
    nx_shelf_settings to = shelves_settings();
    change            c = {.x = &x, .worked = worked};
    nx_put_report     r;
    nx_error          err;

    to.model = NX_STR("minilm, again");
    shelves_open(&x, model);
    put_text(&x, "/a/fox.txt", FOX);
    put_text(&x, "/a/hen.txt", PARCEL);
    shelves_embed(&x, 100);
    if (nx_shelf_move(x.store, x.blobs, NX_STR("docs"), &to, x.e, queue_meanwhile, &c, &err))
        fail_msg("%s", err.text);
    nx_shelf_close(x.s);
    if (nx_shelf_open(&x.s, x.store, x.blobs, NX_STR("docs"), &to, &err)) fail_msg("%s", err.text);
    for (bool did = true; did;)
        if (nx_shelf_work_queued(x.s, x.e, &did, &r, &err)) fail_msg("%s", err.text);
    assert_int_equal(state_of(&x, "/a/hen.txt"), NX_DOCUMENT_FAILED);
    assert_int_equal(find_words(&x, "parcels"), 1);
    assert_int_equal(find_words(&x, "lazy"), 0);
    assert_int_equal(find_words(&x, "broods"), 1);
    shelves_embed(&x, 100);
    assert_int_equal(state_of(&x, "/a/fox.txt"), NX_DOCUMENT_READY);
    shelf_seen seen = shelves_check(&x);
    assert_int_equal(seen.n_vectors, seen.n_chunks);
    assert_int_equal(seen.n_documents, 2);
    shelves_close(&x);
}

static void it_moves_while_versions_come(void **state)
{
    (void)state;
    what_waits_moves_along(false);
    what_waits_moves_along(true);
}

static void remove_blobs(shelves *x)
{
    char     path[300];
    nx_error err;

    nx_blobs_close(x->blobs);
    snprintf(path, sizeof path, "%s/blobs", x->dir);
    if (nx_dir_remove_all(path, &err)) fail_msg("%s", err.text);
    if (nx_blobs_open(&x->blobs, path, &err)) fail_msg("%s", err.text);
}

/* The collection came from elsewhere, without its blobs: its chunks move as they are. */
static void it_moves_without_blobs(void **state)
{
    shelves           x;
    nx_shelf_settings to = shelves_settings();
    nx_error          err;

    (void)state;
    to.model = NX_STR("minilm, again");
    shelves_open(&x, model);
    put_text(&x, "/a/fox.txt", FOX);
    put_text(&x, "/a/empty.txt", "");
    shelves_embed(&x, 100);
    nx_shelf_close(x.s);
    x.s = NULL;
    remove_blobs(&x);
    if (nx_shelf_move(x.store, x.blobs, NX_STR("docs"), &to, x.e, NULL, NULL, &err))
        fail_msg("%s", err.text);
    if (nx_shelf_open(&x.s, x.store, x.blobs, NX_STR("docs"), &to, &err)) fail_msg("%s", err.text);
    assert_int_equal(find_words(&x, "fox"), 1);
    assert_int_equal(state_of(&x, "/a/fox.txt"), NX_DOCUMENT_READY);
    assert_int_equal(state_of(&x, "/a/empty.txt"), NX_DOCUMENT_READY);
    assert_int_equal(stats_of(&x).n_unembedded, 0);
    assert_int_equal(stats_of(&x).n_chunks, 1);
    shelves_close(&x);
}

/* What somebody said of a document's type still holds when it is cut anew. */
static void it_moves_as_what_it_was(void **state)
{
    shelves           x;
    nx_shelf_settings to = shelves_settings();
    nx_incoming       in = incoming("upload/notes", "# Foxes\n\nA fox is quick.\n");
    nx_document       doc;
    nx_point_copy     copy = {0};
    nx_error          err;

    (void)state;
    to.model = NX_STR("minilm, again");
    in.type = NX_STR("text/markdown");
    shelves_open(&x, model);
    put(&x, &in);
    if (nx_shelf_move(x.store, x.blobs, NX_STR("docs"), &to, x.e, NULL, NULL, &err))
        fail_msg("%s", err.text);
    nx_shelf_close(x.s);
    if (nx_shelf_open(&x.s, x.store, x.blobs, NX_STR("docs"), &to, &err)) fail_msg("%s", err.text);
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(x.s));
    if (nx_shelf_get(x.s, snap, &doc, &copy, nx_document_id(in.source), NULL, &err))
        fail_msg("%s", err.text);
    assert_true(nx_str_eq(doc.type, NX_STR("markdown")));
    assert_true(nx_str_eq(doc.title, NX_STR("Foxes")));
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    shelves_check(&x);
    shelves_close(&x);
}

static bool is_there(shelves *x, const char *name)
{
    nx_collection *c;
    bool           is = !nx_store_find(&c, x->store, nx_str_of(name), NULL);

    if (is) nx_collection_release(c);
    return is;
}

/* A crash in a move leaves a shelf beside: it is in no list, and goes; somebody's own points of such a name don't. */
static void what_moves_leave_goes(void **state)
{
    shelves           x;
    nx_shelf         *half;
    nx_shelf_settings set = shelves_settings();
    nx_config         plain = {.n_slots = 1};
    nx_error          err;
    uint64_t          n;

    (void)state;
    plain.slots[0] = (nx_slot){.form = NX_FORM_DENSE, .dim = 3};
    shelves_open(&x, model);
    assert_int_equal(nx_shelf_open(&half, x.store, x.blobs, NX_STR("a.moving"), &set, &err),
                     NX_EINVAL);
    if (nx_shelf_open_any(&half, x.store, x.blobs, NX_STR("docs.moving"), &set, &err))
        fail_msg("%s", err.text);
    nx_shelf_close(half);
    if (nx_store_create_collection(x.store, NX_STR("own.moving"), &plain, &err))
        fail_msg("%s", err.text);
    assert_true(nx_shelf_is_beside(x.store, NX_STR("docs.moving")));
    assert_false(nx_shelf_is_beside(x.store, NX_STR("own.moving")));
    assert_false(nx_shelf_is_beside(x.store, NX_STR("docs")));
    assert_false(nx_shelf_is_beside(x.store, NX_STR(".moving")));
    assert_int_equal(nx_shelves_sweep(x.store, x.blobs, NULL, &n, &err), NX_OK);
    assert_false(is_there(&x, "docs.moving"));
    assert_true(is_there(&x, "own.moving"));
    assert_true(is_there(&x, "docs"));
    shelves_close(&x);
}

static void many_go_together(void **state)
{
    shelves     x;
    nx_point_id ids[40];
    size_t      n = 40;
    nx_error    err;

    (void)state;
    shelves_open(&x, model);
    for (int i = 0; i < 50; i++) {
        char source[40], text[80];
        snprintf(source, sizeof source, "/a/%d.txt", i);
        snprintf(text, sizeof text, "Document number %d is about foxes.", i);
        nx_point_id id = put_text(&x, source, text).id;
        if (i < 40) ids[i] = id;
    }
    assert_int_equal(nx_shelf_remove(x.s, ids[3], NULL, &err), NX_OK);
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(x.s));
    uint64_t     seq = nx_snapshot_seq(snap);
    nx_snapshot_release(snap);
    assert_int_equal(nx_shelf_remove_all(x.s, ids, &n, &err), NX_OK);
    assert_int_equal(n, 39);
    snap = nx_snapshot_take(nx_shelf_collection(x.s));
    assert_int_equal(nx_snapshot_seq(snap), seq + 1); /* one record */
    nx_snapshot_release(snap);
    assert_int_equal(shelves_check(&x).n_documents, 10);
    assert_int_equal(find_words(&x, "foxes"), 10);
    assert_int_equal(nx_shelf_remove_all(x.s, ids, &n, &err), NX_OK);
    assert_int_equal(n, 0);
    shelves_close(&x);
}

static void times_are_written_as_they_are_read(void **state)
{
    const int64_t us[] = {0,
                          1,
                          -1,
                          951782400000000,
                          1700000000123456,
                          253402300799999999,
                          -62135596800000000,
                          4102444800000000,
                          -2208988800000001};

    (void)state;
    for (size_t i = 0; i < sizeof us / sizeof *us; i++) {
        char    text[NX_TIME_TEXT];
        int64_t back;
        assert_true(nx_time_parse(&back, nx_time_text(text, us[i])));
        assert_int_equal(back, us[i]);
    }
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
        cmocka_unit_test(words_at_once_vectors_later),
        cmocka_unit_test(what_stays_keeps_its_vector),
        cmocka_unit_test(its_like_twice),
        cmocka_unit_test(gone_with_all_its_chunks),
        cmocka_unit_test(what_is_queued_waits),
        cmocka_unit_test(what_is_queued_is_taken_back),
        cmocka_unit_test(another_s_document_stays),
        cmocka_unit_test(settings_stay_and_cut_anew),
        cmocka_unit_test(many_hands),
        cmocka_unit_test(no_memory_changes_nothing),
        cmocka_unit_test(it_moves_to_another_model),
        cmocka_unit_test(it_moves_while_versions_come),
        cmocka_unit_test(it_moves_without_blobs),
        cmocka_unit_test(it_moves_as_what_it_was),
        cmocka_unit_test(what_moves_leave_goes),
        cmocka_unit_test(many_go_together),
        cmocka_unit_test(times_are_written_as_they_are_read),
    };

    return cmocka_run_group_tests(tests, open_model, close_model);
}
