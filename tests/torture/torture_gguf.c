/* torture_gguf.c - thousands of damaged GGUF files through the path that real ones take: file,
 * vocabulary, weights, a short text encoded, now and then a step computed.
 *
 * Protects: each file loads or is refused within a second, with a message that names the file, the
 * field and the byte; structural damage is always refused, what is only strange loads; memory
 * stays bounded. The sanitizers it is built with watch the rest.
 *
 *   torture_gguf [-s SEED] [-n COUNT] [-c CASE] [FILE...]    COUNT also from NX_TORTURE_COUNT
 *   torture_gguf -o DIR                                      write the made files: fuzz seeds
 */
#define _GNU_SOURCE /* memfd_create */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "damage.h"
#include "engine/timeline.h"
#include "lib/backends.h"
#include "os/file.h"

enum {
    BASES_MAX = 32,
    FAILURES_MAX = 20,
    COUNT_DEFAULT = 2000,
    CUT_STEP = 4096,
    COPY_MAX = 2 << 20,       /* longer cut files are read in place */
    BYTES_PER_FILE_MAX = 16,  /* memory that a byte of a file may cost, far above what it does */
    MEMORY_FLOOR = 192 << 20, /* program, sanitizer's quarantine and shadow */
};

#define SECONDS_MAX 1.0

typedef struct run {
    base        bases[BASES_MAX];
    bool        base_loads[BASES_MAX];
    nx_buf      made[BASE_MADE];
    nx_file_map maps[BASES_MAX];
    int         n_bases, n_maps;
    size_t      longest;
    uint64_t    seed;
    int64_t     n_loaded, n_refused, n_failures, n_steps;
    double      worst_s;
    char        worst[128]; /* the case that took it */
} run;

/* Sanitizers: a huge request must come back as NULL, to be seen as NX_ENOMEM, and freed memory
 * must not pile up until it looks like a leak of ours. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=512:quarantine_size_mb=16";
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- The path that a file takes ---- */

/* Read the first and the last byte of every tensor, so that a sanitizer sees both. */
static void touch_tensors(const nx_checkpoint *cp)
{
    static volatile unsigned char sink;

    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor     *t = nx_checkpoint_tensor_at(cp, i);
        const unsigned char *p = t->data;
        sink = p[0];
        sink = p[t->bytes - 1];
    }
    (void)sink;
}

/* A vocabulary that lost its byte tokens can't spell every text, and says so: then ids stays
 * short. Anything else is a failure of the file that should have been found before. */
static nx_status encode_short(const nx_vocab *v, nx_ids *ids, nx_error *err)
{
    static const char text[] = "hello the <|im_end|> an\xc3\xafing \xf0\x9f\x8c\x8d\xff 42";
    nx_buf            out = {.max = 1 << 26}; /* a mutant's token may be a megabyte */
    nx_status         st = nx_vocab_encode(v, ids, text, sizeof text - 1,
                                           NX_ENCODE_ADD_SPECIAL | NX_ENCODE_PARSE_SPECIAL, err);

    if (st == NX_EUNSUPPORTED && err->text[0]) st = NX_OK;
    if (!st) st = nx_vocab_decode(v, &out, ids->ids, ids->n, true, err);
    nx_buf_free(&out);
    return st;
}

static nx_status compute_step(const nx_llm *llm, const nx_ids *ids, nx_error *err)
{
    nx_timeline        *tl = NULL;
    int32_t             n_ctx = llm->model->hp.n_ctx < 16 ? llm->model->hp.n_ctx : 16;
    nx_timeline_options opt = {.n_ctx = n_ctx, .n_batch = 4, .kv_dtype = NX_DTYPE_F16};
    nx_status           st = nx_timeline_create(&tl, llm, &opt, err);

    size_t n = ids->n < (size_t)n_ctx ? ids->n : (size_t)n_ctx;
    if (!st && n > 0) st = nx_timeline_eval(tl, ids->ids, n, NULL, NULL, err);
    nx_timeline_destroy(tl);
    return st;
}

/* A model whose weights are few enough that a step takes no time to speak of. */
static bool is_small(const nx_model *m)
{
    return m->n_params < 1 << 20 && m->hp.n_ff < 4096 && m->hp.n_layers < 16;
}

static nx_status load_model(run *r, nx_checkpoint *cp, bool compute, nx_error *err)
{
    nx_backend *be = NULL;
    nx_llm     *llm = NULL;
    nx_ids      ids = {0};
    nx_status   st = nx_backends_create(&be, 1, false, err);

    if (st) {
        nx_checkpoint_close(cp);
        return st;
    }
    st = nx_llm_take(&llm, cp, be, err);
    if (!st && llm->vocab) st = encode_short(llm->vocab, &ids, err);
    if (!st && compute && is_small(llm->model)) {
        st = compute_step(llm, &ids, err);
        r->n_steps++;
    }
    nx_llm_close(llm);
    nx_ids_free(&ids);
    return st;
}

static nx_status load_vocab(nx_checkpoint *cp, nx_error *err)
{
    nx_vocab *v = NULL;
    nx_ids    ids = {0};
    nx_status st = nx_vocab_open(&v, cp, err);

    if (!st) st = encode_short(v, &ids, err);
    nx_vocab_close(v);
    nx_ids_free(&ids);
    nx_checkpoint_close(cp);
    return st;
}

/* A real file, without a name on disk. */
static nx_status open_as_file(nx_checkpoint **cp, const unsigned char *p, size_t n, nx_error *err)
{
    char      path[64];
    int       fd = memfd_create("mutant", MFD_CLOEXEC);
    nx_status st;

    if (fd < 0) return nx_fail(err, NX_EINTERNAL, "mutant at byte 0: no memfd");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    st = nx_fd_write_all(fd, p, n, path, err);
    if (!st) st = nx_checkpoint_open(cp, path, err);
    close(fd);
    return st;
}

static nx_status load(run *r, const unsigned char *p, size_t n, bool as_file, nx_error *err)
{
    nx_checkpoint *cp = NULL;
    nx_status      st =
        as_file ? open_as_file(&cp, p, n, err) : nx_checkpoint_open_bytes(&cp, "mutant", p, n, err);

    if (st) return st;
    touch_tensors(cp);
    if (nx_checkpoint_n_tensors(cp) == 0) return load_vocab(cp, err);
    return load_model(r, cp, !as_file, err);
}

/* ---- Judging ---- */

static void failure(run *r, const char *where, const char *what, const char *message)
{
    printf("FAILURE: %s: %s: %s\n", where, what, message);
    r->n_failures++;
}

/* The message must say which file, which byte, and what was wrong there. */
static const char *message_fault(nx_status st, const nx_error *err)
{
    if (st != NX_EFORMAT && st != NX_EUNSUPPORTED) return "refused for another reason";
    if (err->status != st) return "status and message disagree";
    if (strncmp(err->text, "mutant: ", 8) && strncmp(err->text, "/proc/self/fd/", 14))
        return "the message doesn't begin with the file";
    if (!strstr(err->text, " byte ")) return "the message names no byte";
    if (strlen(err->text) < 30) return "the message says too little";
    return NULL;
}

static void judge(run *r, const mutant *m, bool as_file, const char *where)
{
    nx_error  err = {0};
    double    start = cpu_seconds();
    nx_status st = load(r, m->p, m->n, as_file, &err);
    double    took = cpu_seconds() - start;

    if (took > r->worst_s) {
        r->worst_s = took;
        snprintf(r->worst, sizeof r->worst, "%s", where);
    }
    if (took > SECONDS_MAX) failure(r, where, "took more than a second", err.text);
    if (st == NX_OK) {
        r->n_loaded++;
        if (m->verdict == MUST_REFUSE) failure(r, where, "structural damage loaded", "");
        return;
    }
    r->n_refused++;
    if (m->verdict == MUST_LOAD) failure(r, where, "refused without need", err.text);
    const char *fault = message_fault(st, &err);
    if (fault) failure(r, where, fault, err.text);
}

/* ---- Bases ---- */

static void add_base(run *r, const char *name, const unsigned char *data, size_t bytes)
{
    base    *b = &r->bases[r->n_bases];
    nx_error err = {0};

    *b = (base){.name = name, .data = data, .bytes = bytes};
    if (nx_gguf_read(&b->g, name, data, bytes, &err)) {
        printf("%s: not a base: %s\n", name, err.text);
        nx_gguf_free(&b->g);
        return;
    }
    b->need = b->g.header_bytes;
    for (int64_t i = 0; i < b->g.n_tensors; i++) {
        const nx_tensor *t = &b->g.tensors[i].t;
        size_t           end = (size_t)((const unsigned char *)t->data - data) + t->bytes;
        if (end > b->need) b->need = end;
    }
    r->base_loads[r->n_bases] = load(r, data, bytes, false, &err) == NX_OK;
    if (bytes > r->longest) r->longest = bytes;
    r->n_bases++;
}

static void add_file(run *r, const char *path)
{
    nx_error err = {0};

    if (r->n_bases == BASES_MAX || r->n_maps == BASES_MAX || access(path, R_OK) != 0) return;
    if (nx_file_map_open(&r->maps[r->n_maps], path, &err)) {
        printf("%s\n", err.text);
        return;
    }
    const nx_file_map *map = &r->maps[r->n_maps++];
    add_base(r, map->path, map->data, map->bytes);
}

static void add_known_files(run *r)
{
    static const char *const shared[] = {"models/stories260K.gguf", "vocab/ggml-vocab-phi-3.gguf",
                                         "vocab/ggml-vocab-gpt-2.gguf"};
    const char              *root = getenv("NX_SHARED");
    char                     path[1024];

    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++) {
        snprintf(path, sizeof path, "%s/data/%s", root ? root : NX_SOURCE_DIR "/../shared",
                 shared[i]);
        add_file(r, path);
    }
    add_file(r, NX_SOURCE_DIR "/models/nexus-mini.gguf");
}

static bool check_bases(run *r)
{
    bool good = true;

    for (int i = 0; i < r->n_bases; i++) {
        printf("base %s: %zu bytes, %lld entries, %lld tensors, %s\n", r->bases[i].name,
               r->bases[i].bytes, (long long)r->bases[i].g.n_meta,
               (long long)r->bases[i].g.n_tensors, r->base_loads[i] ? "loads" : "doesn't load");
        if (i < BASE_MADE && !r->base_loads[i]) good = false;
    }
    return good;
}

/* ---- Cases ---- */

/* Files of megabytes are slow to copy and add little: now and then only. */
static int pick_base(const run *r, rng *g)
{
    if (r->n_bases == BASE_MADE || rng_below(g, 12)) return (int)rng_below(g, BASE_MADE);
    return BASE_MADE + (int)rng_below(g, (uint64_t)(r->n_bases - BASE_MADE));
}

static void random_case(run *r, int64_t i)
{
    rng    g = {r->seed * 0x100000001B3u + (uint64_t)i};
    int    which = pick_base(r, &g);
    mutant m = {0};
    char   where[128];

    spoil(&m, &r->bases[which], &g);
    if (m.verdict == MUST_LOAD && !r->base_loads[which]) m.verdict = MAY_LOAD;
    snprintf(where, sizeof where, "seed %llu case %lld, %s of %.60s", (unsigned long long)r->seed,
             (long long)i, m.kind, r->bases[which].name);
    judge(r, &m, rng_below(&g, 16) == 0, where);
    free(m.p);
}

/* The files cut at every 4 KiB. Returns how many there were; at most `max`, from files that are
 * too long for that at a wider step. */
static int64_t cut_everywhere(run *r, int64_t max)
{
    int64_t done = 0;

    for (int b = 0; b < r->n_bases; b++) {
        const base *from = &r->bases[b];
        int64_t     share = (max - done) / (r->n_bases - b);
        size_t      step = CUT_STEP;
        while ((int64_t)(from->need / step) + 1 > share && step < from->need) step += CUT_STEP;
        for (size_t n = 0; n < from->need && r->n_failures < FAILURES_MAX && done < max;
             n += step, done++) {
            mutant m = {.n = n, .verdict = MUST_REFUSE, .p = (unsigned char *)from->data};
            char   where[128];
            snprintf(where, sizeof where, "cut at %zu of %.60s", n, from->name);
            if (n <= COPY_MAX) m.p = malloc(n ? n : 1);
            if (!m.p) exit(1);
            if (n <= COPY_MAX && n) memcpy(m.p, from->data, n);
            judge(r, &m, false, where);
            if (n <= COPY_MAX) free(m.p);
        }
    }
    return done;
}

/* ---- The whole ---- */

static void write_seeds(run *r, const char *dir)
{
    for (int i = 0; i < BASE_MADE; i++) {
        char        path[1024];
        nx_file_out f;
        nx_error    err = {0};
        snprintf(path, sizeof path, "%s/%s.gguf", dir, base_names[i]);
        must(nx_file_out_open(&f, path, &err), &err);
        must(nx_fd_write_all(f.fd, r->made[i].data, r->made[i].len, path, &err), &err);
        must(nx_file_out_commit(&f, &err), &err);
    }
}

static int64_t peak_bytes(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (int64_t)u.ru_maxrss * 1024;
}

static int64_t run_all(run *r, int64_t count)
{
    int64_t i = cut_everywhere(r, count / 4);

    for (; i < count && r->n_failures < FAILURES_MAX; i++) random_case(r, i);
    int64_t allowed = MEMORY_FLOOR + (int64_t)r->longest * BYTES_PER_FILE_MAX;
    if (peak_bytes() > allowed) failure(r, "memory", "beyond what the files can explain", "");
    return i;
}

static void close_run(run *r)
{
    for (int i = 0; i < r->n_bases; i++) nx_gguf_free(&r->bases[i].g);
    for (int i = 0; i < r->n_maps; i++) nx_file_map_close(&r->maps[i]);
    for (int i = 0; i < BASE_MADE; i++) nx_buf_free(&r->made[i]);
}

int main(int argc, char **argv)
{
    static run  r = {.seed = 1};
    const char *env = getenv("NX_TORTURE_COUNT"), *seeds = NULL;
    int64_t     count = env && *env ? atoll(env) : COUNT_DEFAULT, only = -1, done = 1;

    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    for (int opt; (opt = getopt(argc, argv, "s:n:c:o:")) != -1;) {
        if (opt == 's')
            r.seed = strtoull(optarg, NULL, 10);
        else if (opt == 'n')
            count = atoll(optarg);
        else if (opt == 'c')
            only = atoll(optarg);
        else if (opt == 'o')
            seeds = optarg;
        else
            return 2;
    }
    for (int i = 0; i < BASE_MADE; i++) {
        make_base(&r.made[i], (base_kind)i);
        add_base(&r, base_names[i], (unsigned char *)r.made[i].data, r.made[i].len);
    }
    if (seeds) {
        write_seeds(&r, seeds);
        close_run(&r);
        return 0;
    }
    add_known_files(&r);
    for (; optind < argc; optind++) add_file(&r, argv[optind]);
    if (!check_bases(&r)) return 1;
    if (only >= 0)
        random_case(&r, only);
    else
        done = run_all(&r, count);
    printf("%lld files: %lld loaded (%lld computed a step), %lld refused, %lld failures, worst "
           "time %.3f s (%s), peak memory %lld MiB\n",
           (long long)done, (long long)r.n_loaded, (long long)r.n_steps, (long long)r.n_refused,
           (long long)r.n_failures, r.worst_s, r.worst, (long long)(peak_bytes() >> 20));
    close_run(&r);
    return r.n_failures ? 1 : 0;
}
