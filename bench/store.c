/* store.c - the questions: how near to what memory allows is an exact scan; how soon does the space
 * of deleted points come back; and what do readers notice of merging?
 *
 *   bench_store scan    [--rows 1000000] [--dim 384] [--threads 2] [--runs 15] [--form sq8|f32|f16]
 *   bench_store space   [--rows 200000]  [--dim 384] [--seconds 60] [--trickle]
 *   bench_store merging [--rows 100000]  [--dim 384] [--seconds 30] [--readers 8] [--writers 8]
 *   every one also takes --dir DIR (a new folder in /tmp, removed at the end) and --csv FILE
 *
 * scan: rows of noise, in one segment. Each run is a sweep of the machine's memory, then a search
 *   for the 10 best: GB/s are what the scan must read (codes and scales, or vectors) by the median
 *   time, the ceiling is the median of the sweeps beside it. --dir with the same rows in it from
 *   before is used as it is.
 * space: of so many points nine in ten are deleted by id, with the background thread alone to give
 *   the space back, until the folder holds at most 1.3 times what a fresh store of the rest does;
 *   fails after --seconds. --trickle: one point a tenth of a second is written all the time.
 * merging: readers search for the 10 best without a pause; writers overwrite points at a steady
 *   pace. Latencies are told apart by whether merging went on during the search.
 * Output: key=value on stdout; test,rows,dim,figure,value with --csv, behind what is there. Exit 1: a bound wasn't kept.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/cpu/sweep.h"
#include "lib/backends.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/dir.h"
#include "os/memory.h"
#include "store/store.h"

enum {
    BATCH = 500,
    K = 10,
    DIM_MAX = 4096,
    WRITE_POINTS = 20, /* merging: of a request */
    WRITE_MS = 40,     /* merging: between two requests of a writer */
};

typedef struct options {
    const char *what, *dir, *csv;
    uint64_t    rows;
    int         dim, threads, runs, seconds, readers, writers;
    bool        trickle;
    nx_storage  form;
} options;

static const char *const form_names[] = {
    [NX_STORE_F32] = "f32", [NX_STORE_SQ8] = "sq8", [NX_STORE_F16] = "f16"};

static bool read_form(nx_storage *out, const char *name)
{
    for (size_t i = 0; i < sizeof form_names / sizeof *form_names; i++) {
        if (strcmp(form_names[i], name) != 0) continue;
        *out = (nx_storage)i;
        return true;
    }
    return false;
}

typedef struct rig {
    nx_store      *store;
    nx_collection *c;
    int            dim;
} rig;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_store: %s: %s\n", what, why);
    exit(1);
}

static uint64_t random_u64(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Noise around 0, four numbers of each draw. */
static void random_vector(float *x, int dim, uint64_t *rng)
{
    for (int i = 0; i < dim; i += 4) {
        uint64_t z = random_u64(rng);
        for (int k = 0; k < 4 && i + k < dim; k++)
            x[i + k] = (float)((int)(z >> 16 * k & 0xFFFF) - 32768) / 32768;
    }
}

/* ---- A store ---- */

static void open_rig(rig *r, const char *dir, const options *o, bool background)
{
    nx_store_options opt = {.background = background};
    nx_config        config = {
               .n_slots = 1,
               .slots = {
            {.form = NX_FORM_DENSE, .distance = NX_COSINE, .storage = o->form, .dim = o->dim}}};
    nx_error err;

    r->dim = o->dim;
    if (nx_backends_distances(&opt.distances, &err)) die("kernels", err.text);
    if (nx_store_open(&r->store, dir, &opt, &err)) die("open", err.text);
    nx_status st = nx_store_create_collection(r->store, NX_STR("bench"), &config, &err);
    if (st && st != NX_EBUSY) die("create", err.text);
    if (nx_store_find(&r->c, r->store, NX_STR("bench"), &err)) die("find", err.text);
}

static void close_rig(rig *r)
{
    nx_collection_release(r->c);
    nx_store_close(r->store);
}

static void put(const rig *r, nx_writes *b, uint64_t id, uint64_t *rng)
{
    float     x[DIM_MAX];
    nx_vector v = {.form = NX_FORM_DENSE, .n = r->dim, .values = x};
    nx_point  p = {.id = nx_id_number(id), .vectors = &v, .n_vectors = 1};
    nx_error  err;

    random_vector(x, r->dim, rng);
    if (nx_writes_put(b, &p, NX_PUT, &err)) die("put", err.text);
}

static void commit(const rig *r, nx_writes *b, bool wait)
{
    nx_error err;

    if (nx_collection_write(r->c, b, wait, NULL, &err)) die("write", err.text);
    nx_writes_destroy(b);
}

/* Points 0, step, 2 step... below rows. */
static void fill(const rig *r, uint64_t rows, uint64_t step)
{
    uint64_t rng = 1;
    nx_error err;

    for (uint64_t id = 0; id < rows;) {
        nx_writes *b = nx_writes_create(r->c);
        for (int k = 0; k < BATCH && id < rows; k++, id += step) put(r, b, id, &rng);
        commit(r, b, false);
    }
    if (nx_collection_flush(r->c, &err)) die("flush", err.text);
}

/* Bytes of blocks that the files in dir and beneath it hold. */
static uint64_t disk_bytes(const char *dir)
{
    uint64_t       n = 0;
    DIR           *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        char        path[4096];
        struct stat s;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (stat(path, &s)) continue; /* it has just gone */
        n += S_ISDIR(s.st_mode) ? disk_bytes(path) : (uint64_t)s.st_blocks * 512;
    }
    if (d) closedir(d);
    return n;
}

/* ---- Numbers ---- */

static int by_value(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;

    return a < b ? -1 : a > b;
}

/* Of sorted ones. */
static double quantile(const double *v, size_t n, double q)
{
    return n ? v[(size_t)((double)(n - 1) * q + 0.5)] : 0;
}

typedef struct figure {
    const char *name;
    double      value;
} figure;

/* One line for each; name NULL ends them. */
static void write_csv(const options *o, const char *test, const figure *f)
{
    struct stat s;

    if (!o->csv) return;
    FILE *file = fopen(o->csv, "a");
    if (!file) die(o->csv, strerror(errno));
    if (fstat(fileno(file), &s) == 0 && s.st_size == 0)
        fprintf(file, "test,rows,dim,figure,value\n");
    for (; f->name; f++)
        fprintf(file, "%s,%llu,%d,%s,%.4g\n", test, (unsigned long long)o->rows, o->dim, f->name,
                f->value);
    fclose(file);
}

/* ---- scan ---- */

/* The rows lie there in one segment. */
static void make_rows(rig *r, const options *o)
{
    nx_collection_stats stats;
    nx_error            err;

    nx_collection_read_stats(r->c, &stats);
    if (stats.n_points != o->rows) fill(r, o->rows, 1);
    for (int i = 0; i < 8; i++) { /* tiers of unlike sizes are left alone: so they may stay */
        nx_collection_read_stats(r->c, &stats);
        if (stats.n_segments == 1) break;
        if (nx_collection_flush(r->c, &err)) die("flush", err.text);
    }
    if (nx_collection_check(r->c, &err)) die("check", err.text); /* once, not while it is timed */
}

static double time_search(const rig *r, nx_pool *pool, uint64_t *rng)
{
    float        q[DIM_MAX];
    nx_hit       hits[K];
    int32_t      n;
    nx_error     err;
    nx_snapshot *s = nx_snapshot_take(r->c);
    nx_search    search = {.query = q, .k = K};

    random_vector(q, r->dim, rng);
    int64_t from = nx_clock_ns();
    if (nx_snapshot_search(s, hits, &n, &search, pool, &err)) die("search", err.text);
    double ns = (double)(nx_clock_ns() - from);
    nx_snapshot_release(s);
    return ns;
}

/* The ceiling: 384 MB read by the same threads, with a loop that does nothing else. The memory is
 * taken once: taking huge pages again and again would have the system move the store's pages. */
typedef struct sweep {
    nx_memory memory;
    uint64_t (*read)(const void *p, size_t bytes);
    uint64_t sums[NX_POOL_THREADS_MAX]; /* kept, so that the reads are for something */
} sweep;

enum { SWEEP_BYTES = 384 << 20, SWEEP_GRAIN = 4096 };

static void sweep_range(void *ctx, int thread, int64_t begin, int64_t end)
{
    sweep *s = ctx;

    s->sums[thread] += s->read((const char *)s->memory.data + begin, (size_t)(end - begin));
}

static void make_sweep(sweep *s)
{
    uint32_t features;
    nx_error err;

    if (nx_cpu_features(&features, getenv("NEXUS_CPU"), &err)) die("NEXUS_CPU", err.text);
    if (nx_memory_map(&s->memory, SWEEP_BYTES, &err)) die("sweep", err.text);
    memset(s->memory.data, 1, SWEEP_BYTES);
    s->read = nx_sweep_ref;
#if defined(__x86_64__)
    if (features & NX_CPU_AVX2) s->read = nx_sweep_avx2;
#endif
}

static double time_sweep(sweep *s, nx_pool *pool)
{
    int64_t from = nx_clock_ns();

    nx_pool_run(pool, SWEEP_BYTES, SWEEP_GRAIN, sweep_range, s);
    return (double)(nx_clock_ns() - from);
}

static int run_scan(const options *o, const char *dir)
{
    rig      r;
    nx_pool *pool;
    nx_error err;
    double  *ns = calloc((size_t)o->runs, sizeof *ns), *gb = calloc((size_t)o->runs, sizeof *gb);
    static sweep ceiling_of;
    uint64_t     rng = 99, width = ((uint64_t)o->dim + 31) / 32 * 32;
    uint64_t     of_form[] = {[NX_STORE_F32] = 4 * (uint64_t)o->dim,
                              [NX_STORE_F16] = 2 * (uint64_t)o->dim,
                              [NX_STORE_SQ8] = width + 8};
    uint64_t     row_bytes = of_form[o->form];
    char         test[16];

    if (!ns || !gb) die("scan", "no memory");
    open_rig(&r, dir, o, false);
    make_rows(&r, o);
    if (nx_pool_create(&pool, o->threads, &err)) die("pool", err.text);
    make_sweep(&ceiling_of);
    for (int i = -1; i < o->runs; i++) { /* one to warm up */
        double swept = time_sweep(&ceiling_of, pool);
        double took = time_search(&r, pool, &rng);
        if (i >= 0) ns[i] = took;
        if (i >= 0) gb[i] = SWEEP_BYTES / swept;
    }
    qsort(ns, (size_t)o->runs, sizeof *ns, by_value);
    qsort(gb, (size_t)o->runs, sizeof *gb, by_value);
    nx_collection_stats stats;
    nx_collection_read_stats(r.c, &stats);
    double ms = quantile(ns, (size_t)o->runs, 0.5) / 1e6;
    double gb_s = (double)(stats.n_points * row_bytes) / ms / 1e6;
    double ceiling = quantile(gb, (size_t)o->runs, 0.5);
    printf("scan %s rows=%llu dim=%d segments=%d threads=%d ms=%.2f best_ms=%.2f GB/s=%.2f "
           "ceiling=%.2f fraction=%.3f\n",
           form_names[o->form], (unsigned long long)stats.n_points, o->dim, stats.n_segments,
           o->threads, ms, ns[0] / 1e6, gb_s, ceiling, gb_s / ceiling);
    snprintf(test, sizeof test, "scan-%s", form_names[o->form]);
    write_csv(o, test,
              (figure[]){{"threads", o->threads},
                         {"median_ms", ms},
                         {"best_ms", ns[0] / 1e6},
                         {"gb_s", gb_s},
                         {"ceiling_gb_s", ceiling},
                         {"fraction", gb_s / ceiling},
                         {NULL, 0}});
    nx_pool_destroy(pool);
    close_rig(&r);
    free(ns);
    free(gb);
    nx_memory_unmap(&ceiling_of.memory);
    return 0;
}

/* ---- space ---- */

static uint64_t fresh_bytes(const options *o, const char *dir)
{
    char path[4096];
    rig  r;

    snprintf(path, sizeof path, "%s/fresh", dir);
    open_rig(&r, path, o, false);
    fill(&r, o->rows, 10);
    close_rig(&r);
    return disk_bytes(path);
}

static void delete_most(const rig *r, uint64_t rows)
{
    nx_error err;

    for (uint64_t id = 0; id < rows;) {
        nx_writes *b = nx_writes_create(r->c);
        for (int k = 0; k < BATCH && id < rows; k++, id++)
            if (id % 10 && nx_writes_delete(b, nx_id_number(id), &err)) die("delete", err.text);
        commit(r, b, true);
    }
}

/* Seconds until the folder is small enough; -1: not in time. */
static double wait_small(const options *o, const rig *r, const char *path, uint64_t fresh)
{
    int64_t  from = nx_clock_ns();
    uint64_t rng = 7;

    for (;;) {
        double s = (double)(nx_clock_ns() - from) / 1e9;
        if ((double)disk_bytes(path) <= 1.3 * (double)fresh) return s;
        if (s > o->seconds) return -1;
        if (o->trickle) {
            nx_writes *b = nx_writes_create(r->c);
            put(r, b, random_u64(&rng) % o->rows / 10 * 10, &rng);
            commit(r, b, true);
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

static int run_space(const options *o, const char *dir)
{
    char     path[4096];
    rig      r;
    uint64_t fresh = fresh_bytes(o, dir);

    snprintf(path, sizeof path, "%s/store", dir);
    open_rig(&r, path, o, true);
    fill(&r, o->rows, 1);
    uint64_t full = disk_bytes(path);
    delete_most(&r, o->rows);
    double   s = wait_small(o, &r, path, fresh);
    uint64_t then = disk_bytes(path);
    printf("space rows=%llu dim=%d trickle=%d full_MB=%.1f fresh_MB=%.1f then_MB=%.1f ratio=%.3f "
           "seconds=%.1f%s\n",
           (unsigned long long)o->rows, o->dim, o->trickle, (double)full / 1e6, (double)fresh / 1e6,
           (double)then / 1e6, (double)then / (double)fresh, s, s < 0 ? " NOT IN TIME" : "");
    write_csv(o, o->trickle ? "space-trickle" : "space",
              (figure[]){{"full_mb", (double)full / 1e6},
                         {"fresh_mb", (double)fresh / 1e6},
                         {"then_mb", (double)then / 1e6},
                         {"ratio", (double)then / (double)fresh},
                         {"seconds", s},
                         {NULL, 0}});
    close_rig(&r);
    return s < 0;
}

/* ---- merging ---- */

typedef struct sample {
    double ms;
    bool   merging;
} sample;

typedef struct load {
    const options *o;
    rig            r;
    atomic_bool    stop;
    atomic_ullong  n_writes;
} load;

typedef struct task {
    load     *l;
    int       who;
    pthread_t thread;
    sample   *v;
    size_t    n, cap;
} task;

static bool merges(const load *l)
{
    nx_collection_stats stats;

    nx_collection_read_stats(l->r.c, &stats);
    return stats.merging;
}

static void *search_on(void *ctx)
{
    task    *t = ctx;
    uint64_t rng = (uint64_t)t->who + 1000;

    while (!atomic_load(&t->l->stop)) {
        bool   before = merges(t->l);
        double ms = time_search(&t->l->r, NULL, &rng) / 1e6;
        if (t->n == t->cap) {
            t->cap = t->cap ? 2 * t->cap : 1024;
            t->v = realloc(t->v, t->cap * sizeof *t->v);
            if (!t->v) die("samples", "no memory");
        }
        t->v[t->n++] = (sample){ms, before || merges(t->l)};
    }
    return NULL;
}

static void *write_on(void *ctx)
{
    task    *t = ctx;
    uint64_t rng = (uint64_t)t->who;

    while (!atomic_load(&t->l->stop)) {
        nx_writes *b = nx_writes_create(t->l->r.c);
        for (int i = 0; i < WRITE_POINTS; i++)
            put(&t->l->r, b, random_u64(&rng) % t->l->o->rows, &rng);
        commit(&t->l->r, b, true);
        atomic_fetch_add(&t->l->n_writes, 1);
        nanosleep(&(struct timespec){.tv_nsec = WRITE_MS * 1000000L}, NULL);
    }
    return NULL;
}

/* Those of all readers with, or without, merging; sorted. */
static size_t collect(double *out, const task *tasks, int n, bool merging)
{
    size_t n_out = 0;

    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < tasks[i].n; k++)
            if (tasks[i].v[k].merging == merging) out[n_out++] = tasks[i].v[k].ms;
    qsort(out, n_out, sizeof *out, by_value);
    return n_out;
}

static int report_merging(const options *o, const load *l, const task *tasks)
{
    size_t n_all = 0;

    for (int i = 0; i < o->readers; i++) n_all += tasks[i].n;
    double *v = calloc(n_all + 1, sizeof *v), p50[2], p99[2];
    size_t  n[2];
    if (!v) die("samples", "no memory");
    for (int m = 0; m < 2; m++) {
        n[m] = collect(v, tasks, o->readers, m);
        p50[m] = quantile(v, n[m], 0.5);
        p99[m] = quantile(v, n[m], 0.99);
    }
    free(v);
    double ratio = n[0] && n[1] ? p99[1] / p99[0] : 0;
    printf("merging rows=%llu dim=%d readers=%d writers=%d seconds=%d writes=%llu "
           "quiet: n=%zu p50=%.2f p99=%.2f ms; merging: n=%zu p50=%.2f p99=%.2f ms; ratio=%.2f\n",
           (unsigned long long)o->rows, o->dim, o->readers, o->writers, o->seconds,
           (unsigned long long)atomic_load(&l->n_writes), n[0], p50[0], p99[0], n[1], p50[1],
           p99[1], ratio);
    write_csv(o, "merging",
              (figure[]){{"readers", o->readers},
                         {"writers", o->writers},
                         {"seconds", o->seconds},
                         {"quiet_n", (double)n[0]},
                         {"quiet_p50_ms", p50[0]},
                         {"quiet_p99_ms", p99[0]},
                         {"merging_n", (double)n[1]},
                         {"merging_p50_ms", p50[1]},
                         {"merging_p99_ms", p99[1]},
                         {"ratio", ratio},
                         {NULL, 0}});
    if (n[0] < 1000 || n[1] < 1000) printf("merging: too few of one kind to say much\n");
    return ratio > 2;
}

static int run_merging(const options *o, const char *dir)
{
    load  l = {.o = o};
    task *tasks = calloc((size_t)(o->readers + o->writers), sizeof *tasks);

    if (!tasks) die("threads", "no memory");
    open_rig(&l.r, dir, o, true);
    fill(&l.r, o->rows, 1);
    for (int i = 0; i < o->readers + o->writers; i++) {
        tasks[i] = (task){.l = &l, .who = i};
        if (pthread_create(&tasks[i].thread, NULL, i < o->readers ? search_on : write_on,
                           &tasks[i]))
            die("thread", "can't be started");
    }
    nanosleep(&(struct timespec){.tv_sec = o->seconds}, NULL);
    atomic_store(&l.stop, true);
    for (int i = 0; i < o->readers + o->writers; i++) pthread_join(tasks[i].thread, NULL);
    int rc = report_merging(o, &l, tasks);
    for (int i = 0; i < o->readers; i++) free(tasks[i].v);
    free(tasks);
    close_rig(&l.r);
    return rc;
}

/* ---- main ---- */

static int usage(void)
{
    fprintf(stderr,
            "usage: bench_store scan|space|merging [--option value]...; see bench/store.c\n");
    return 2;
}

static bool parse(options *o, int argc, char **argv)
{
    const struct {
        const char *name;
        int        *value;
    } numbers[] = {{"--dim", &o->dim},         {"--threads", &o->threads},
                   {"--runs", &o->runs},       {"--seconds", &o->seconds},
                   {"--readers", &o->readers}, {"--writers", &o->writers}};

    if (argc < 2) return false;
    o->what = argv[1];
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--trickle") == 0) {
            o->trickle = true;
            continue;
        }
        if (!value) return false;
        i++;
        bool known = true;
        if (strcmp(name, "--rows") == 0)
            o->rows = strtoull(value, NULL, 10);
        else if (strcmp(name, "--form") == 0)
            known = read_form(&o->form, value);
        else if (strcmp(name, "--dir") == 0)
            o->dir = value;
        else if (strcmp(name, "--csv") == 0)
            o->csv = value;
        else
            known = false;
        for (size_t k = 0; !known && k < sizeof numbers / sizeof *numbers; k++) {
            if (strcmp(name, numbers[k].name) != 0) continue;
            *numbers[k].value = atoi(value);
            known = true;
        }
        if (!known) return false;
    }
    return o->dim > 0 && o->dim <= DIM_MAX && o->runs > 0 && o->threads > 0 && o->readers > 0 &&
           o->writers >= 0;
}

int main(int argc, char **argv)
{
    options o = {
        .form = NX_STORE_SQ8, .dim = 384, .threads = 2, .runs = 15, .readers = 8, .writers = 8};
    char made[] = "/tmp/nexus-bench-XXXXXX";
    int  rc;

    if (!parse(&o, argc, argv)) return usage();
    bool scan = strcmp(o.what, "scan") == 0, space = strcmp(o.what, "space") == 0;
    if (!o.rows) o.rows = scan ? 1000000 : space ? 200000 : 100000;
    if (!o.seconds) o.seconds = space ? 60 : 30;
    const char *dir = o.dir ? o.dir : mkdtemp(made);
    if (!dir) die(made, strerror(errno));
    if (scan)
        rc = run_scan(&o, dir);
    else if (space)
        rc = run_space(&o, dir);
    else if (strcmp(o.what, "merging") == 0)
        rc = run_merging(&o, dir);
    else
        rc = usage();
    if (!o.dir) nx_dir_remove_all(dir, NULL);
    return rc;
}
