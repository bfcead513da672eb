/* retrieve.c - the questions: are the right documents found among thousands, and how soon?
 *
 *   bench_retrieve DIR --docs FOLDER [--noise] [--limit N]
 *   bench_retrieve DIR --questions FILE.jsonl [--runs 500] [--busy] [--csv FILE]
 *   both also take --model MODEL (default models/all-minilm-l6-v2.gguf), --threads N, --batch ROWS (of an
 *   embedder's step)
 *
 * --docs: every file below FOLDER is put onto the shelf in DIR, made where missing, and gets its vectors; what is
 *   there already costs nothing, so a run that was stopped goes on. --noise: vectors of noise instead of the model's,
 *   when only time is to be measured. --limit: so many files.
 * --questions: each question of the set (tools/eval/pairs.py makes one) is embedded and asked, by meaning, by
 *   words, and by both: recall@5, MRR and nDCG@10 of the documents. Then --runs of them are timed as a server
 *   answers them, one after the other, nothing cached: the embedding, the plans, the rest, and all together.
 *   --tag: asked by a key with this access tag: what has it, or none.
 *   --busy: meanwhile a thread embeds chunks without a pause, as indexing does.
 * Output: key=value on stdout; test,figure,value with --csv, behind what is there.
 */
#define _XOPEN_SOURCE 700 /* nftw, realpath */
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "engine/embedder.h"
#include "lib/backends.h"
#include "os/clock.h"
#include "os/file.h"
#include "rag/measure.h"
#include "rag/retrieve.h"

enum { TOP_K = 25, TIMED_K = 5, MODES = 3, EMBED_AT_ONCE = 64, PATH_BYTES = 4096 };

typedef struct options {
    const char *dir, *docs, *questions, *model, *csv, *tag;
    int         threads, runs, limit, batch;
    bool        noise, busy;
} options;

typedef struct rig {
    const options *o;
    nx_store      *store;
    nx_blobs      *blobs;
    nx_shelf      *shelf;
    nx_embedder   *embedder;
    nx_pool       *pool;
    FILE          *csv;
} rig;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_retrieve: %s: %s\n", what, why);
    exit(1);
}

static void say(const rig *r, const char *test, const char *figure, double value)
{
    printf("%s %s=%.4g\n", test, figure, value);
    fflush(stdout);
    if (r->csv) fprintf(r->csv, "%s,%s,%.6g\n", test, figure, value);
}

/* ---- The rig ---- */

static void open_model(rig *r)
{
    nx_checkpoint      *cp;
    nx_backend         *be;
    nx_llm             *llm;
    nx_error            err;
    nx_embedder_options opt = {.n_batch = r->o->batch}; /* no cache: every question is read anew */

    if (nx_checkpoint_open(&cp, r->o->model, &err)) die("model", err.text);
    if (nx_backends_create(&be, r->o->threads, NX_PRECISION_FINE, &err)) die("backend", err.text);
    if (nx_llm_take(&llm, cp, be, &err)) die("model", err.text);
    if (nx_embedder_open(&r->embedder, llm, &opt, &err)) die("model", err.text);
}

static void open_rig(rig *r)
{
    char              path[PATH_BYTES];
    nx_error          err;
    nx_store_options  opt = {.background = true};
    nx_shelf_settings settings = {.model = NX_STR("bench"), .language = NX_STR("english")};

    open_model(r);
    settings.dim = nx_embedder_dims(r->embedder);
    settings.chunking.limit = nx_embedder_spec(r->embedder)->length_max;
    if (mkdir(r->o->dir, 0777) && errno != EEXIST) die(r->o->dir, strerror(errno));
    if (nx_backends_distances(&opt.distances, &err)) die("kernels", err.text);
    if (nx_pool_create(&r->pool, r->o->threads, &err)) die("pool", err.text);
    snprintf(path, sizeof path, "%s/blobs", r->o->dir);
    if (nx_blobs_open(&r->blobs, path, &err)) die("blobs", err.text);
    snprintf(path, sizeof path, "%s/store", r->o->dir);
    if (nx_store_open(&r->store, path, &opt, &err)) die("store", err.text);
    if (nx_shelf_open(&r->shelf, r->store, r->blobs, NX_STR("bench"), &settings, &err))
        die("shelf", err.text);
}

static void close_rig(rig *r)
{
    nx_shelf_close(r->shelf);
    nx_store_close(r->store);
    nx_blobs_close(r->blobs);
    nx_pool_destroy(r->pool);
    nx_embedder_close(r->embedder);
}

/* ---- Filling ---- */

static struct {
    rig     *r;
    int      n, n_failed;
    uint64_t n_chunks, bytes;
    int64_t  began;
} filling;

static int put_file(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    nx_file_map   map;
    nx_error      err;
    nx_put_report report;

    (void)at;
    if (kind != FTW_F || st->st_size == 0) return 0;
    if (filling.r->o->limit && filling.n >= filling.r->o->limit) return 0;
    if (nx_file_map_open(&map, path, &err)) die(path, err.text);
    nx_incoming in = {.source = nx_str_of(path), .bytes = map.data, .n = map.bytes};
    if (nx_shelf_put(filling.r->shelf, &in, filling.r->embedder, &report, &err)) {
        if (filling.n_failed++ < 5) fprintf(stderr, "%s: %s\n", path, err.text);
    } else {
        filling.n_chunks += report.n_chunks;
        filling.bytes += map.bytes;
    }
    filling.n++;
    nx_file_map_close(&map);
    if (filling.n % 500 == 0)
        fprintf(stderr, "%d files, %llu chunks, %.0f s\n", filling.n,
                (unsigned long long)filling.n_chunks,
                (double)(nx_clock_ns() - filling.began) / 1e9);
    return 0;
}

static void embed_missing(rig *r)
{
    nx_error err;
    int32_t  n = 1;
    uint64_t total = 0;
    int64_t  began = nx_clock_ns();

    while (n) {
        if (nx_shelf_embed(r->shelf, r->embedder, EMBED_AT_ONCE, NULL, &n, &err))
            die("embedding", err.text);
        total += (uint64_t)n;
        if (total % 2048 < EMBED_AT_ONCE && n)
            fprintf(stderr, "%llu vectors, %.0f s\n", (unsigned long long)total,
                    (double)(nx_clock_ns() - began) / 1e9);
    }
    if (total)
        say(r, "fill", "vectors_per_s", (double)total / ((double)(nx_clock_ns() - began) / 1e9));
}

/* Noise for every chunk, as many at once as a request takes well. */
static void add_noise(rig *r)
{
    nx_collection   *c = nx_shelf_collection(r->shelf);
    nx_snapshot     *snap = nx_snapshot_take(c);
    nx_arena         a = {0};
    const nx_filter *chunks;
    nx_error         err;
    int32_t          dim = nx_embedder_dims(r->embedder);
    float           *x = nx_alloc((size_t)dim, sizeof *x);
    nx_point_id      ids[512], from = {0};
    size_t           n = 512;
    uint64_t         rng = 1;

    if (!x || nx_shelf_filter_chunks(&a, NULL, NULL, &chunks, &err)) die("noise", "no memory");
    while (n == 512) {
        if (nx_snapshot_scroll(snap, ids, &n, 512, &from, chunks, &err)) die("scroll", err.text);
        nx_writes *w = nx_writes_create(c);
        for (size_t i = 0; i < n; i++) {
            for (int32_t d = 0; d < dim; d++) {
                rng = rng * 6364136223846793005u + 1442695040888963407u;
                x[d] = (float)((int)(rng >> 40 & 0xFFFF) - 32768);
            }
            nx_vector v = {
                .slot = nx_shelf_dense(r->shelf), .form = NX_FORM_DENSE, .n = dim, .values = x};
            nx_point p = {.id = ids[i], .vectors = &v, .n_vectors = 1};
            if (nx_writes_update_vectors(w, &p, &err)) die("noise", err.text);
        }
        if (n && nx_collection_write(c, w, true, NULL, &err)) die("noise", err.text);
        nx_writes_destroy(w);
        if (n) from = (nx_point_id){ids[n - 1].hi, ids[n - 1].lo + 1, ids[n - 1].is_uuid};
    }
    nx_snapshot_release(snap);
    nx_arena_free(&a);
    nx_free(x);
}

static void fill(rig *r)
{
    char *path = realpath(r->o->docs, NULL);

    if (!path) die(r->o->docs, strerror(errno));
    filling.r = r;
    filling.began = nx_clock_ns();
    nftw(path, put_file, 16, FTW_PHYS);
    double s = (double)(nx_clock_ns() - filling.began) / 1e9;
    free(path);
    say(r, "fill", "files", filling.n);
    say(r, "fill", "failed", filling.n_failed);
    say(r, "fill", "chunks", (double)filling.n_chunks);
    say(r, "fill", "mb_per_s", (double)filling.bytes / 1e6 / s);
    if (r->o->noise)
        add_noise(r);
    else
        embed_missing(r);
}

/* ---- Asking ---- */

static void embed(rig *r, float *out, nx_str question)
{
    nx_embed_options opt;
    nx_embed_report  report;
    nx_embed_text    text = {.text = question};
    nx_error         err;

    nx_embed_options_default(&opt);
    opt.input_type = NX_INPUT_QUERY;
    opt.long_texts = NX_LONG_CUT;
    if (nx_embedder_run(r->embedder, out, &text, 1, &opt, &report, &err)) die("question", err.text);
}

static nx_status measure_one(rig *r, nx_measure *m, nx_snapshot *snap, const nx_gold *g,
                             nx_question *q, nx_error *err)
{
    nx_passages p;
    nx_found    found[TOP_K];
    nx_status   st = nx_retrieve(&p, r->shelf, snap, q, r->pool, err);

    if (st) return st;
    for (size_t i = 0; i < p.n; i++)
        found[i] = (nx_found){p.passages[i].chunk.source, p.passages[i].chunk.text};
    st = nx_measure_documents(m, g, found, p.n, NULL, err);
    nx_passages_free(&p);
    return st;
}

static void measure(rig *r, const nx_question_set *set, nx_snapshot *snap, float *vector)
{
    nx_measure m[MODES] = {{.k = 5}, {.k = 5}, {.k = 5}};
    nx_error   err;

    for (size_t i = 0; i < set->n; i++) {
        const nx_gold *g = &set->list[i];
        if (!g->answerable) continue;
        embed(r, vector, g->question);
        for (int mode = 0; mode < MODES; mode++) {
            nx_question q = {.text = g->question,
                             .vector = vector,
                             .mode = (nx_search_mode)mode,
                             .top_k = TOP_K};
            if (measure_one(r, &m[mode], snap, g, &q, &err)) die("search", err.text);
        }
    }
    for (int mode = 0; mode < MODES; mode++) {
        nx_figures f = nx_measure_figures(&m[mode]);
        say(r, nx_search_mode_name((nx_search_mode)mode), "recall@5", f.recall);
        say(r, nx_search_mode_name((nx_search_mode)mode), "mrr", f.mrr);
        say(r, nx_search_mode_name((nx_search_mode)mode), "ndcg@10", f.ndcg);
    }
}

/* ---- Timing ---- */

/* What a key with that tag may see; as the server makes it. */
typedef struct caller {
    nx_filter    filter;
    nx_condition may[2];
    nx_str       tag;
} caller;

static const nx_filter *make_caller(caller *c, const char *tag)
{
    if (!tag) return NULL;
    c->tag = nx_str_of(tag);
    c->may[0] = (nx_condition){.kind = NX_COND_TEXT_ANY, .texts = &c->tag, .n_texts = 1};
    c->may[1] = (nx_condition){.kind = NX_COND_EMPTY};
    for (int i = 0; i < 2; i++)
        if (nx_path_parse(&c->may[i].path, NX_STR("access_tags"), NULL)) die("tag", "no path");
    c->filter = (nx_filter){.should = c->may, .n_should = 2};
    return &c->filter;
}

typedef struct busy {
    rig        *r;
    atomic_bool stop;
    uint64_t    n;
} busy;

/* Texts of a chunk's length, as many at once as indexing takes. */
static void *keep_busy(void *arg)
{
    enum { TEXTS = 16 };
    busy            *b = arg;
    float           *out = nx_alloc((size_t)nx_embedder_dims(b->r->embedder) * TEXTS, sizeof *out);
    char             text[TEXTS][1024];
    nx_embed_text    texts[TEXTS];
    nx_embed_options opt;
    nx_embed_report  report;
    nx_error         err;

    nx_embed_options_default(&opt);
    opt.long_texts = NX_LONG_CUT;
    for (uint64_t round = 0; out && !atomic_load(&b->stop); round++) {
        for (int i = 0; i < TEXTS; i++) {
            int n = 0;
            for (int w = 0; w < 60 + (i * 7) % 12; w++)
                n += snprintf(text[i] + n, sizeof text[i] - (size_t)n, "w%d ",
                              (int)((round * TEXTS + (uint64_t)(i * 31 + w)) % 997));
            texts[i] = (nx_embed_text){.text = {text[i], (size_t)n}};
        }
        if (nx_embedder_run(b->r->embedder, out, texts, TEXTS, &opt, &report, &err))
            die("busy", err.text);
        b->n += TEXTS;
    }
    nx_free(out);
    return NULL;
}

static int by_double(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;

    return a < b ? -1 : a > b;
}

static void say_times(const rig *r, const char *what, double *t, int n)
{
    char figure[64];

    qsort(t, (size_t)n, sizeof *t, by_double);
    snprintf(figure, sizeof figure, "%s_ms_p50", what);
    say(r, r->o->busy ? "busy" : "quiet", figure, t[n / 2] * 1e3);
    snprintf(figure, sizeof figure, "%s_ms_p95", what);
    say(r, r->o->busy ? "busy" : "quiet", figure, t[n * 95 / 100] * 1e3);
}

static void time_all(rig *r, const nx_question_set *set, nx_snapshot *snap, float *vector)
{
    int       n = r->o->runs;
    double   *t = nx_calloc((size_t)n * 4, sizeof *t);
    busy      b = {.r = r};
    caller    who;
    pthread_t thread;
    nx_error  err;
    int64_t   began = nx_clock_ns();

    const nx_filter *filter = make_caller(&who, r->o->tag);
    if (!t) die("times", "no memory");
    if (r->o->busy && pthread_create(&thread, NULL, keep_busy, &b)) die("thread", strerror(errno));
    for (int i = 0; i < n; i++) {
        const nx_gold *g = &set->list[(size_t)i % set->n];
        nx_question q = {.text = g->question, .vector = vector, .top_k = TIMED_K, .filter = filter};
        nx_passages p;
        int64_t     from = nx_clock_ns();
        embed(r, vector, g->question);
        int64_t embedded = nx_clock_ns();
        if (nx_retrieve(&p, r->shelf, snap, &q, r->pool, &err)) die("search", err.text);
        t[i] = (double)(nx_clock_ns() - from) / 1e9;
        t[n + i] = (double)(embedded - from) / 1e9;
        t[2 * n + i] = p.plan_s;
        t[3 * n + i] = p.rest_s;
        nx_passages_free(&p);
    }
    double s = (double)(nx_clock_ns() - began) / 1e9;
    if (r->o->busy) {
        atomic_store(&b.stop, true);
        pthread_join(thread, NULL);
        say(r, "busy", "texts_per_s", (double)b.n / s);
    }
    say_times(r, "embed", t + n, n);
    say_times(r, "plans", t + 2 * n, n);
    say_times(r, "rest", t + 3 * n, n);
    say_times(r, "all", t, n);
    nx_free(t);
}

static void ask(rig *r)
{
    nx_question_set set;
    nx_error        err;
    nx_snapshot    *snap = nx_snapshot_take(nx_shelf_collection(r->shelf));
    float          *vector = nx_alloc((size_t)nx_embedder_dims(r->embedder), sizeof *vector);

    if (!vector) die("question", "no memory");
    if (nx_question_set_read(&set, r->o->questions, &err)) die("questions", err.text);
    if (set.n == 0) die(r->o->questions, "no question in it");
    say(r, "points", "n", (double)nx_snapshot_count(snap));
    if (!r->o->noise) measure(r, &set, snap, vector);
    if (r->o->runs) time_all(r, &set, snap, vector);
    nx_snapshot_release(snap);
    nx_question_set_free(&set);
    nx_free(vector);
}

/* ---- The whole ---- */

static int usage(void)
{
    fprintf(
        stderr,
        "usage: bench_retrieve DIR [--docs FOLDER] [--noise] [--limit N] [--questions FILE]\n"
        "       [--runs N] [--busy] [--model MODEL] [--threads N] [--batch ROWS] [--tag TAG] [--csv FILE]\n");
    return 2;
}

static bool parse(options *o, int argc, char **argv)
{
    if (argc < 2) return false;
    o->dir = argv[1];
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--noise") == 0) {
            o->noise = true;
            continue;
        }
        if (strcmp(argv[i], "--busy") == 0) {
            o->busy = true;
            continue;
        }
        if (!value) return false;
        if (strcmp(argv[i], "--docs") == 0)
            o->docs = value;
        else if (strcmp(argv[i], "--questions") == 0)
            o->questions = value;
        else if (strcmp(argv[i], "--model") == 0)
            o->model = value;
        else if (strcmp(argv[i], "--csv") == 0)
            o->csv = value;
        else if (strcmp(argv[i], "--runs") == 0)
            o->runs = atoi(value);
        else if (strcmp(argv[i], "--limit") == 0)
            o->limit = atoi(value);
        else if (strcmp(argv[i], "--tag") == 0)
            o->tag = value;
        else if (strcmp(argv[i], "--batch") == 0)
            o->batch = atoi(value);
        else if (strcmp(argv[i], "--threads") == 0)
            o->threads = atoi(value);
        else
            return false;
        i++;
    }
    return (o->docs || o->questions) && o->runs >= 0 && o->threads > 0 && o->batch >= 0;
}

int main(int argc, char **argv)
{
    options o = {.model = "models/all-minilm-l6-v2.gguf", .threads = 2, .runs = 500};
    rig     r = {.o = &o};

    if (!parse(&o, argc, argv)) return usage();
    if (o.csv && !(r.csv = fopen(o.csv, "a"))) die(o.csv, strerror(errno));
    open_rig(&r);
    if (o.docs) fill(&r);
    if (o.questions) ask(&r);
    close_rig(&r);
    if (r.csv) fclose(r.csv);
    return 0;
}
