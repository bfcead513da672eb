/* ingest.c - the question: how soon do words find the files of a folder, and do vectors follow as fast as the
 * embedding engine makes them?
 *
 *   bench_ingest FOLDER... [--files 5000] [--model models/all-minilm-l6-v2.gguf] [--threads 0] [--seconds 0]
 *
 * The first so many files of the folders (in the order of their names, links and other kinds left out) are copied
 * beside, so that all of them are read for the first time; then: one run, its words and its vectors; a second run
 * over what is unchanged; and the engine alone on the same texts, in batches of the same size. --seconds: the
 * vectors are stopped after so long, and the engine is asked for as many.
 * Output: key=value on stdout. Exit 1: a bound of the issue wasn't kept (90 s for words, 0.8 of the engine's rate,
 * 1.5 GB, 5 s for the second run).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lib/backends.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/dir.h"
#include "os/file.h"
#include "rag/ingest.h"

enum { BATCH = 512 };

typedef struct bench {
    char         dir[128], files[160];
    const char  *model;
    int          n_files, threads, seconds;
    uint64_t     n_copied, bytes;
    nx_store    *store;
    nx_blobs    *blobs;
    nx_shelf    *s;
    nx_embedder *e;
    atomic_bool  stop;
} bench;

static void fail(const char *why)
{
    fprintf(stderr, "bench_ingest: %s\n", why);
    exit(2);
}

static double since(int64_t ns)
{
    return (double)(nx_clock_ns() - ns) * 1e-9;
}

static double peak_gb(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss * 1024e-9;
}

/* ---- Files ---- */

static void copy_file(bench *b, const char *path, const char *name)
{
    nx_buf      bytes = {.max = (size_t)1 << 30};
    char        to[4096];
    nx_error    err;
    nx_file_out out;

    if (nx_file_read_all(&bytes, path, &err)) return;
    nx_path_write(to, sizeof to, "%s/%02d/%05d-%s", b->files, (int)(b->n_copied % 50),
                  (int)b->n_copied, name);
    if (nx_dir_make_above(to, &err) || nx_file_out_open(&out, to, &err)) fail(err.text);
    FILE *f = fopen(out.path_partial, "w");
    if (!f || fwrite(bytes.data ? bytes.data : "", 1, bytes.len, f) != bytes.len) fail(to);
    fclose(f);
    if (rename(out.path_partial, to)) fail(to);
    close(out.fd);
    nx_free(out.path);
    nx_free(out.path_partial);
    b->n_copied++;
    b->bytes += bytes.len;
    nx_buf_free(&bytes);
}

static void copy_folder(bench *b, const char *folder)
{
    char   **names;
    size_t   n;
    nx_error err;

    if (nx_dir_list(&names, &n, folder, &err)) fail(err.text);
    for (size_t i = 0; i < n && b->n_copied < (uint64_t)b->n_files; i++) {
        char        path[4096];
        struct stat is;
        if (!nx_path_write(path, sizeof path, "%s/%s", folder, names[i]) || lstat(path, &is))
            continue;
        if (S_ISDIR(is.st_mode)) copy_folder(b, path);
        if (S_ISREG(is.st_mode) && !nx_extract_hopeless(nx_str_of(names[i])))
            copy_file(b, path, names[i]);
    }
    nx_free(names);
}

/* ---- A run ---- */

static void open_all(bench *b)
{
    nx_store_options  opt = {.background = true};
    nx_shelf_settings set = {.model = NX_STR("bench"), .language = NX_STR("english")};
    nx_backend       *be;
    nx_llm           *llm;
    char              path[200];
    nx_error          err;

    if (nx_backends_create(&be, b->threads, NX_PRECISION_FINE, &err) ||
        nx_llm_open(&llm, b->model, be, &err) || nx_embedder_open(&b->e, llm, NULL, &err) ||
        nx_backends_distances(&opt.distances, &err))
        fail(err.text);
    set.dim = nx_embedder_dims(b->e);
    set.chunking.limit = nx_embedder_spec(b->e)->length_max;
    snprintf(path, sizeof path, "%s/store", b->dir);
    if (nx_store_open(&b->store, path, &opt, &err)) fail(err.text);
    snprintf(path, sizeof path, "%s/blobs", b->dir);
    if (nx_blobs_open(&b->blobs, path, &err) ||
        nx_shelf_open(&b->s, b->store, b->blobs, NX_STR("bench"), &set, &err))
        fail(err.text);
}

static void close_all(bench *b)
{
    nx_shelf_close(b->s);
    nx_store_close(b->store);
    nx_blobs_close(b->blobs);
    nx_embedder_close(b->e);
}

static void *stop_later(void *ctx)
{
    bench *b = ctx;

    sleep((unsigned)b->seconds);
    atomic_store(&b->stop, true);
    return NULL;
}

static nx_ingest run(bench *b, bool words_only)
{
    nx_str            root = nx_str_of(b->files);
    nx_ingest_options opt = {
        .paths = &root, .n_paths = 1, .n_threads = b->threads, .words_only = words_only};
    nx_ingest i;
    nx_error  err;

    nx_extract_limits_default(&opt.limits);
    nx_ingest_init(&i);
    if (nx_ingest_run(&i, b->s, b->e, &opt, &err)) fail(err.text);
    return i;
}

/* Batches until all are there, or until the time is over. Returns how many a second. */
static double embed(bench *b, uint64_t *total)
{
    pthread_t thread;
    int32_t   n = 1;
    int64_t   begin = nx_clock_ns();
    nx_error  err;

    *total = 0;
    if (b->seconds && pthread_create(&thread, NULL, stop_later, b) == 0) pthread_detach(thread);
    while (n > 0 && !atomic_load(&b->stop)) {
        if (nx_shelf_embed(b->s, b->e, BATCH, NULL, &n, &err)) fail(err.text);
        *total += (uint64_t)n;
    }
    return (double)*total / since(begin);
}

/* ---- The engine alone ---- */

static double engine_alone(bench *b, uint64_t want)
{
    nx_snapshot     *snap = nx_snapshot_take(nx_shelf_collection(b->s));
    nx_arena         a = {0};
    nx_condition     has = {.kind = NX_COND_VECTOR, .slot = nx_shelf_dense(b->s)};
    nx_filter        own = {.must = &has, .n_must = 1};
    const nx_filter *f;
    nx_point_id     *ids = calloc(want + 1, sizeof *ids);
    float           *out = calloc((size_t)BATCH * (size_t)nx_embedder_dims(b->e), sizeof *out);
    nx_point_copy    copy = {0};
    size_t           n = 0;
    double           seconds = 0;
    nx_error         err;

    if (nx_shelf_filter_chunks(&a, NULL, &own, &f, &err) ||
        nx_snapshot_scroll(snap, ids, &n, want, NULL, f, &err))
        fail(err.text);
    nx_embedder_cache_clear(b->e);
    for (size_t from = 0; from < n; from += BATCH) {
        nx_embed_text    texts[BATCH];
        nx_buf           bytes[BATCH];
        nx_embed_options opt;
        nx_embed_report  report;
        int32_t          k = 0;
        for (; k < BATCH && from + (size_t)k < n; k++) {
            nx_chunk_view v;
            bytes[k] = (nx_buf){.max = 1 << 20};
            if (nx_snapshot_get(snap, &copy, ids[from + (size_t)k], &err) ||
                nx_chunk_view_read(&v, ids[from + (size_t)k], copy.point.payload, &err) ||
                nx_chunk_text(&bytes[k], v.title, v.headings, v.context, v.text, &err))
                fail(err.text);
            texts[k] = (nx_embed_text){.text = {bytes[k].data, bytes[k].len}};
        }
        nx_embed_options_default(&opt);
        opt.long_texts = NX_LONG_WINDOWS;
        opt.input_type = NX_INPUT_PASSAGE;
        int64_t begin = nx_clock_ns();
        if (nx_embedder_run(b->e, out, texts, k, &opt, &report, &err)) fail(err.text);
        seconds += since(begin);
        for (int32_t i = 0; i < k; i++) nx_buf_free(&bytes[i]);
    }
    nx_point_copy_free(&copy);
    nx_arena_free(&a);
    nx_snapshot_release(snap);
    free(ids);
    free(out);
    return seconds > 0 ? (double)n / seconds : 0;
}

/* ---- */

static int measure(bench *b)
{
    char     cpu[64];
    uint64_t n_vectors;
    int      bad = 0;

    nx_cpu_name(cpu, sizeof cpu);
    open_all(b);
    nx_ingest one = run(b, true);
    double    words_s = (double)(one.words_ns - one.started_ns) * 1e-9;
    double    mb = (double)one.bytes * 1e-6;
    printf("machine=%s cores=%d\n", cpu, nx_cpu_count());
    printf("files=%llu bytes=%llu skipped=%llu chunks=%llu\n", (unsigned long long)one.n_added,
           (unsigned long long)one.bytes, (unsigned long long)one.n_skipped,
           (unsigned long long)one.n_chunks_new);
    printf("words_s=%.1f mb_per_s=%.2f files_per_s=%.0f\n", words_s, mb / words_s,
           (double)one.n_added / words_s);
    nx_ingest_free(&one);
    nx_ingest two = run(b, true);
    double    again_s = (double)(two.words_ns - two.started_ns) * 1e-9;
    printf("again_s=%.2f unchanged=%llu read=%llu\n", again_s, (unsigned long long)two.n_unchanged,
           (unsigned long long)two.bytes);
    nx_ingest_free(&two);
    double rate = embed(b, &n_vectors);
    double peak = peak_gb();
    double alone = engine_alone(b, n_vectors);
    printf("vectors=%llu vectors_per_s=%.1f engine_per_s=%.1f ratio=%.2f peak_gb=%.2f\n",
           (unsigned long long)n_vectors, rate, alone, alone > 0 ? rate / alone : 0, peak);
    bad = words_s > 90 || again_s > 5 || peak > 1.5 || rate < 0.8 * alone;
    close_all(b);
    return bad;
}

int main(int argc, char **argv)
{
    bench    b = {.n_files = 5000, .model = "models/all-minilm-l6-v2.gguf"};
    nx_error err;

    snprintf(b.dir, sizeof b.dir, "/tmp/nx_bench_ingest_XXXXXX");
    if (!mkdtemp(b.dir)) fail(b.dir);
    snprintf(b.files, sizeof b.files, "%s/files", b.dir);
    for (int i = 1; i < argc; i++) {
        bool has = i + 1 < argc;
        if (strcmp(argv[i], "--files") == 0 && has)
            b.n_files = atoi(argv[++i]);
        else if (strcmp(argv[i], "--threads") == 0 && has)
            b.threads = atoi(argv[++i]);
        else if (strcmp(argv[i], "--seconds") == 0 && has)
            b.seconds = atoi(argv[++i]);
        else if (strcmp(argv[i], "--model") == 0 && has)
            b.model = argv[++i];
        else if (argv[i][0] == '-')
            fail("bench_ingest FOLDER... [--files N] [--model FILE] "
                 "[--threads N] [--seconds N]");
        else
            copy_folder(&b, argv[i]);
    }
    if (!b.n_copied) fail("no files; name a folder behind the options");
    int bad = measure(&b);
    if (nx_dir_remove_all(b.dir, &err)) fail(err.text);
    return bad;
}
