/* Protects: what lies beneath a path comes onto the shelf, each file once, and whatever can't is named with its
 * reason in one line; unchanged files cost nothing, changed ones are put anew, gone ones vanish, but not when their
 * folder isn't there; a file that changes while it is read is never kept half; stopping keeps what is done. */
#include "shelves.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rag/ingest.h"

static nx_embedder *model;

static void write_bytes(const shelves *x, const char *name, const void *bytes, size_t n)
{
    char path[400];

    snprintf(path, sizeof path, "%s/files/%s", x->dir, name);
    nx_error err;
    if (nx_dir_make_above(path, &err)) fail_msg("%s", err.text);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void write_text(const shelves *x, const char *name, const char *text)
{
    write_bytes(x, name, text, strlen(text));
}

/* So old that its time tells. */
static void make_old(const shelves *x, const char *name)
{
    char                  path[400];
    const struct timespec t[2] = {{1600000000, 123456789}, {1600000000, 123456789}};

    snprintf(path, sizeof path, "%s/files/%s", x->dir, name);
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static nx_ingest_options options(const nx_str *paths, size_t n)
{
    nx_ingest_options opt = {.paths = paths, .n_paths = n, .n_threads = 3};

    nx_extract_limits_default(&opt.limits);
    return opt;
}

static nx_status run(shelves *x, nx_ingest *i, const nx_ingest_options *opt)
{
    nx_error  err = {0};
    nx_status st = nx_ingest_run(i, x->s, x->e, opt, &err);

    if (st && st != NX_ECANCELLED) fail_msg("%s", err.text);
    assert_true(i->n_looked_at <= i->n_found);
    return st;
}

static nx_ingest run_all(shelves *x)
{
    char              path[300];
    nx_ingest         i;
    nx_str            root;
    nx_ingest_options opt;

    snprintf(path, sizeof path, "%s/files", x->dir);
    root = nx_str_of(path);
    opt = options(&root, 1);
    nx_ingest_init(&i);
    assert_int_equal(run(x, &i, &opt), NX_OK);
    assert_int_equal(i.phase, NX_INGEST_DONE);
    assert_true(i.walked && i.words_ns >= i.started_ns && i.ended_ns >= i.words_ns);
    return i;
}

/* The reason why a file whose name ends so was left out, or "". */
static const char *why(const nx_ingest *i, const char *ending)
{
    size_t k = strlen(ending);

    for (size_t n = 0; n < i->n_skips; n++) {
        const char *s = i->skips[n].source;
        assert_null(strpbrk(s, "\n\t\x1B"));
        assert_null(strpbrk(i->skips[n].reason, "\n\t\x1B"));
        if (strlen(s) >= k && strcmp(s + strlen(s) - k, ending) == 0) return i->skips[n].reason;
    }
    return "";
}

static bool is_there(shelves *x, const char *name)
{
    char          path[400];
    nx_point_copy copy = {0};
    nx_document   doc;
    nx_error      err;
    nx_snapshot  *snap = nx_snapshot_take(nx_shelf_collection(x->s));

    snprintf(path, sizeof path, "%s/files/%s", x->dir, name);
    nx_status st =
        nx_shelf_get(x->s, snap, &doc, &copy, nx_document_id(nx_str_of(path)), NULL, &err);
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    return st == NX_OK;
}

static void all_that_lies_there(void **state)
{
    shelves x;
    char    from[400], to[400];

    (void)state;
    shelves_open(&x, model);
    write_text(&x, "a.txt", "The first text of all.\n");
    write_text(&x, "deep/er/b.txt", "The second text, deeper down.\n");
    write_text(&x, "new\nline\x1B[1m.txt", "A name that would break lines.\n");
    write_text(&x, "bad\xFFname.txt", "Its name is no UTF-8.\n");
    write_text(&x, "picture.png", "not one\n");
    write_bytes(&x, "binary.bin", "\xFF\x00\x01\x02", 4);
    write_text(&x, ".hidden.txt", "hidden\n");
    write_text(&x, "node_modules/x.txt", "junk\n");
    write_text(&x, "empty.txt", "");
    snprintf(to, sizeof to, "%s/files/deep/loop", x.dir);
    assert_int_equal(symlink("..", to), 0);
    snprintf(to, sizeof to, "%s/files/0first.txt", x.dir);
    assert_int_equal(symlink("a.txt", to), 0);
    snprintf(to, sizeof to, "%s/files/nowhere.txt", x.dir);
    assert_int_equal(symlink("nothing.txt", to), 0);
    snprintf(from, sizeof from, "%s/outside.txt", x.dir);
    snprintf(to, sizeof to, "%s/files/linked.txt", x.dir);
    FILE *f = fopen(from, "w");
    assert_non_null(f);
    fputs("It lies outside, and a link leads to it.\n", f);
    fclose(f);
    assert_int_equal(symlink(from, to), 0);
    snprintf(to, sizeof to, "%s/files/pipe", x.dir);
    assert_int_equal(mkfifo(to, 0600), 0);

    nx_ingest i = run_all(&x);
    assert_true(is_there(&x, "a.txt") && is_there(&x, "deep/er/b.txt") &&
                is_there(&x, "empty.txt"));
    assert_true(is_there(&x, "new\nline\x1B[1m.txt") && is_there(&x, "linked.txt"));
    assert_false(is_there(&x, ".hidden.txt") || is_there(&x, "0first.txt"));
    assert_int_equal(i.n_added, 5);
    assert_non_null(strstr(why(&i, "deep/loop"), "a link to a folder"));
    assert_non_null(strstr(why(&i, "0first.txt"), "another name"));
    assert_non_null(strstr(why(&i, "nowhere.txt"), "nowhere"));
    assert_non_null(strstr(why(&i, "/pipe"), "neither"));
    assert_non_null(strstr(why(&i, "bad\\xFFname.txt"), "UTF-8"));
    assert_string_not_equal(why(&i, "picture.png"), "");
    assert_string_not_equal(why(&i, "binary.bin"), "");
    assert_non_null(strstr(why(&i, "node_modules"), "left out"));
    assert_int_equal(i.n_skipped, 8);
    assert_int_equal(i.n_embedded, i.n_chunks_new);
    nx_ingest_free(&i);
    shelf_seen seen = shelves_check(&x);
    assert_int_equal(seen.n_documents, 5);
    assert_int_equal(seen.n_vectors, seen.n_chunks);
    shelves_close(&x);
}

static void only_what_differs(void **state)
{
    shelves x;

    (void)state;
    shelves_open(&x, model);
    for (int k = 0; k < 20; k++) {
        char name[40], text[80];
        snprintf(name, sizeof name, "f%d/%d.txt", k % 3, k);
        snprintf(text, sizeof text, "This is text %d of twenty.\n", k);
        write_text(&x, name, text);
        make_old(&x, name);
    }
    nx_ingest i = run_all(&x);
    assert_int_equal(i.n_added, 20);
    nx_ingest_free(&i);
    i = run_all(&x);
    assert_int_equal(i.n_unchanged, 20);
    assert_int_equal(i.bytes, 0); /* not even read */
    assert_int_equal(i.n_chunks_new + i.n_embedded, 0);
    nx_ingest_free(&i);

    char path[400];
    write_text(&x, "f0/0.txt", "This is another text 0.\n");
    write_text(&x, "f1/1.txt", "This is text 1 of twenty.\n"); /* the same, later */
    write_text(&x, "f2/new.txt", "New.\n");
    snprintf(path, sizeof path, "%s/files/f2/2.txt", x.dir);
    assert_int_equal(unlink(path), 0);
    i = run_all(&x);
    assert_int_equal(i.n_changed, 1);
    assert_int_equal(i.n_added, 1);
    assert_int_equal(i.n_removed, 1);
    assert_int_equal(i.n_unchanged, 18);
    nx_ingest_free(&i);
    assert_false(is_there(&x, "f2/2.txt"));
    assert_int_equal(shelves_check(&x).n_documents, 20);

    /* A folder that isn't there tells nothing of what was in it. */
    nx_str            gone;
    nx_ingest_options opt = options(&gone, 1);
    char              moved[400];
    snprintf(path, sizeof path, "%s/files", x.dir);
    snprintf(moved, sizeof moved, "%s/moved", x.dir);
    assert_int_equal(rename(path, moved), 0);
    gone = nx_str_of(path);
    nx_ingest_init(&i);
    assert_int_equal(run(&x, &i, &opt), NX_OK);
    assert_int_equal(i.n_skipped, 1);
    assert_int_equal(i.n_removed, 0);
    nx_ingest_free(&i);
    assert_int_equal(rename(moved, path), 0);
    /* A part of it: what is gone there. */
    snprintf(path, sizeof path, "%s/files/f0/0.txt", x.dir);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/files/f1/", x.dir);
    gone = nx_str_of(path);
    nx_ingest_init(&i);
    assert_int_equal(run(&x, &i, &opt), NX_OK);
    assert_int_equal(i.n_removed, 0);
    nx_ingest_free(&i);
    i = run_all(&x);
    assert_int_equal(i.n_removed, 1);
    nx_ingest_free(&i);
    assert_int_equal(shelves_check(&x).n_documents, 19);
    shelves_close(&x);
}

static void other_wishes(void **state)
{
    shelves x;
    char    path[400], file[400], relative[] = "files", url[] = "https://example.org/x";

    (void)state;
    shelves_open(&x, model);
    write_text(&x, "a.txt", "A text that is here.\n");
    write_text(&x, "b.log", "A log that is left out.\n");
    write_text(&x, "big.txt", "0123456789012345678901234567890123456789012345678901234567890123");
    write_text(&x, ".dot.txt", "Hidden, and wanted.\n");
    snprintf(path, sizeof path, "%s/files", x.dir);
    snprintf(file, sizeof file, "%s/files/a.txt", x.dir);
    nx_str paths[] = {nx_str_of(path), nx_str_of(file), nx_str_of(relative), nx_str_of(url)};
    nx_str logs = NX_STR("*.log"), tag = NX_STR("team");
    nx_ingest_options opt = options(paths, 4);
    nx_ingest         i;
    opt.exclude = &logs;
    opt.n_exclude = 1;
    opt.tags = &tag;
    opt.n_tags = 1;
    opt.hidden = true;
    opt.words_only = true;
    opt.limits.file_bytes = 60;
    nx_ingest_init(&i);
    assert_int_equal(run(&x, &i, &opt), NX_OK);
    assert_int_equal(i.n_added, 2);
    assert_int_equal(i.n_unchanged, 0); /* once, though it is named twice */
    assert_true(is_there(&x, ".dot.txt") && is_there(&x, "a.txt"));
    assert_non_null(strstr(why(&i, "big.txt"), "60"));
    assert_non_null(strstr(why(&i, "example.org/x"), "example.org")); /* not allowed */
    assert_string_not_equal(why(&i, "files"), "");
    assert_int_equal(i.n_embedded, 0);
    nx_ingest_free(&i);
    nx_shelf_stats stats;
    nx_error       err;
    assert_int_equal(nx_shelf_read_stats(x.s, &stats, &err), NX_OK);
    assert_int_equal(stats.n_unembedded, 2);

    atomic_bool cancel;
    atomic_init(&cancel, true);
    opt.cancel = &cancel;
    nx_ingest_init(&i);
    assert_int_equal(run(&x, &i, &opt), NX_ECANCELLED);
    assert_int_equal(i.phase, NX_INGEST_CANCELLED);
    nx_ingest_free(&i);
    assert_int_equal(shelves_check(&x).n_documents, 2);
    shelves_close(&x);
}

/* ---- A file that changes while it is read ---- */

typedef struct writer {
    char        path[400];
    atomic_bool stop;
} writer;

static void *write_on(void *ctx)
{
    writer *w = ctx;
    char    line[64];

    for (int round = 0; !atomic_load(&w->stop); round++) {
        FILE *f = fopen(w->path, "w");
        for (int k = 0; f && k < 4000 && !atomic_load(&w->stop); k++) {
            int n = snprintf(line, sizeof line, "Round %d, line %d.\n\n", round, k);
            fwrite(line, 1, (size_t)n, f);
        }
        if (f) fclose(f);
    }
    return NULL;
}

static void never_half_of_a_file(void **state)
{
    shelves   x;
    writer    w;
    pthread_t thread;

    (void)state;
    shelves_open(&x, model);
    write_text(&x, "moving.txt", "At rest.\n");
    snprintf(w.path, sizeof w.path, "%s/files/moving.txt", x.dir);
    atomic_init(&w.stop, false);
    pthread_create(&thread, NULL, write_on, &w);
    nx_str            paths[] = {nx_str_of(w.path)};
    nx_ingest_options opt = options(paths, 1);
    opt.words_only = true;
    for (int k = 0; k < 20; k++) {
        nx_ingest i;
        nx_ingest_init(&i);
        assert_int_equal(run(&x, &i, &opt), NX_OK);
        assert_int_equal(i.n_added + i.n_changed + i.n_unchanged + i.n_skipped, 1);
        nx_ingest_free(&i);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    write_text(&x, "moving.txt", "At rest again, it is.\n");
    nx_ingest i = run_all(&x);
    assert_int_equal(i.n_skipped, 0);
    nx_ingest_free(&i);
    assert_int_equal(shelves_check(&x).n_chunks, 1);
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
        cmocka_unit_test(all_that_lies_there),
        cmocka_unit_test(only_what_differs),
        cmocka_unit_test(other_wishes),
        cmocka_unit_test(never_half_of_a_file),
    };

    return cmocka_run_group_tests(tests, open_model, close_model);
}
