/* Protects: a chunk's range gives its text, whatever the document was: bytes start_pos to end_pos of the file itself
 * (origin "file"), or of the extraction that is kept of it (origin "text"); and start_char, end_char say the same place
 * in characters. Over every kind of file in examples/docs. */
#include "shelves.h"

#include "rag/ingest.h"

#define DOCS NX_SOURCE_DIR "/examples/docs"

typedef struct seen {
    size_t n_file, n_text; /* chunks */
} seen;

/* The file at a path, whole. */
static void read_whole(nx_buf *out, nx_str path)
{
    char     name[4096], part[65536];
    nx_error err;

    snprintf(name, sizeof name, "%.*s", (int)path.len, path.p);
    FILE *f = fopen(name, "rb");
    if (!f) fail_msg("%s can't be opened", name);
    nx_buf_clear(out);
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        if (nx_buf_add(out, part, n, &err)) fail_msg("%s", err.text);
    fclose(f);
}

static uint64_t count_chars(const char *p, uint64_t n)
{
    uint64_t chars = 0;

    for (uint64_t i = 0; i < n; i++) chars += ((unsigned char)p[i] & 0xC0) != 0x80;
    return chars;
}

static void check_chunk(const nx_chunk_view *v, const nx_buf *bytes)
{
    int n = (int)v->source.len;

    if (v->end_pos > bytes->len || v->end_pos - v->start_pos != v->text.len ||
        memcmp(bytes->data + v->start_pos, v->text.p, v->text.len) != 0)
        fail_msg("%.*s: chunk %d isn't bytes %d to %d", n, v->source.p, (int)v->chunk_id,
                 (int)v->start_pos, (int)v->end_pos);
    if (count_chars(bytes->data, v->start_pos) != v->start_char ||
        count_chars(bytes->data, v->end_pos) != v->end_char)
        fail_msg("%.*s: chunk %d isn't characters %d to %d", n, v->source.p, (int)v->chunk_id,
                 (int)v->start_char, (int)v->end_char);
}

static void check_document(shelves *x, nx_snapshot *snap, const nx_document *doc, seen *all)
{
    nx_arena         a = {0};
    nx_point_copy    copy = {0};
    const nx_filter *f;
    nx_buf           bytes = {.max = (size_t)1 << 30};
    size_t           n;
    nx_error         err;

    if (doc->origin == NX_ORIGIN_FILE)
        read_whole(&bytes, doc->source);
    else if (nx_blobs_read(x->blobs, &bytes, doc->text_sha256, 0, UINT64_MAX, NULL, &err))
        fail_msg("%.*s: %s", (int)doc->source.len, doc->source.p, err.text);
    if (nx_shelf_filter_chunks(&a, &doc->id, NULL, &f, &err)) fail_msg("%s", err.text);
    nx_point_id *ids = shelves_ids(snap, f, &n);
    for (size_t i = 0; i < n; i++) {
        nx_chunk_view v;
        if (nx_snapshot_get(snap, &copy, ids[i], &err) ||
            nx_chunk_view_read(&v, ids[i], copy.point.payload, &err))
            fail_msg("%s", err.text);
        assert_int_equal(v.origin, doc->origin);
        check_chunk(&v, &bytes);
        *(v.origin == NX_ORIGIN_FILE ? &all->n_file : &all->n_text) += 1;
    }
    free(ids);
    nx_buf_free(&bytes);
    nx_arena_free(&a);
    nx_point_copy_free(&copy);
}

static nx_embedder *model;

static void every_kind_of_file(void **state)
{
    shelves           x;
    seen              all = {0};
    nx_ingest         i;
    nx_str            path = NX_STR(DOCS);
    nx_ingest_options opt = {.paths = &path, .n_paths = 1, .n_threads = 2, .words_only = true};
    nx_arena          a = {0};
    nx_point_copy     copy = {0};
    const nx_filter  *f;
    size_t            n;
    nx_error          err;

    (void)state;
    nx_extract_limits_default(&opt.limits);
    shelves_open(&x, model);
    nx_ingest_init(&i);
    if (nx_ingest_run(&i, x.s, x.e, &opt, &err)) fail_msg("%s", err.text);
    nx_ingest_free(&i);
    shelves_check(&x);
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(x.s));
    if (nx_shelf_filter_documents(&a, NULL, &f, &err)) fail_msg("%s", err.text);
    nx_point_id *ids = shelves_ids(snap, f, &n);
    for (size_t k = 0; k < n; k++) {
        nx_document doc;
        if (nx_shelf_get(x.s, snap, &doc, &copy, ids[k], NULL, &err)) fail_msg("%s", err.text);
        check_document(&x, snap, &doc, &all);
    }
    assert_true(n >= 50);
    assert_true(all.n_file > 50 && all.n_text > 50);
    free(ids);
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    nx_arena_free(&a);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_of_file)};

    return cmocka_run_group_tests(tests, open_model, close_model);
}
