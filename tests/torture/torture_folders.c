/* torture_folders.c - thousands of damaged Hugging Face folders through the path that real ones
 * take: files, metadata, weights with their scales, now and then a step computed.
 *
 * Protects: each folder loads or is refused within a second, with a message that names the folder;
 * every byte of a tensor that loads can be read. The sanitizers it is built with watch the rest.
 *
 *   torture_folders [-s SEED] [-n COUNT] [-c CASE]      COUNT also from NX_TORTURE_COUNT
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <time.h>

#include "../unit/format/folder_maker.h"
#include "base/log.h"
#include "engine/timeline.h"
#include "lib/backends.h"
#include "num/rng.h"

enum { COUNT_DEFAULT = 2000, FILES_MAX = 4, FAILURES_MAX = 20, FILE_BYTES_MAX = 1 << 20 };

#define SECONDS_MAX 1.0

typedef struct kept_file {
    char   name[64];
    nx_buf bytes;
} kept_file;

typedef struct base_folder {
    kept_file files[FILES_MAX];
    int       n;
} base_folder;

typedef struct run {
    char        dir[64];
    base_folder bases[FOLDER_KINDS];
    nx_rng      rng;
    int64_t     n_loaded, n_refused, n_computed, n_failures;
    double      worst_s;
} run;

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

static uint64_t below(run *r, uint64_t n)
{
    return n ? nx_rng_next_u64(&r->rng) % n : 0;
}

/* ---- Loading ---- */

/* Decode the first and the last row of every tensor: data and scales are read at both ends. */
static nx_status touch(const nx_checkpoint *cp, nx_error *err)
{
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        if (t->ne[0] % nx_dtype_get(t->dtype)->block_len != 0 || t->ne[0] > 1 << 24)
            return nx_fail(err, NX_EINTERNAL, "row of %lld", (long long)t->ne[0]);
        float *row = malloc((size_t)t->ne[0] * sizeof *row);
        if (!row) exit(1);
        nx_tensor_decode(row, t, 0, 1);
        nx_tensor_decode(row, t, nx_tensor_rows(t) - 1, 1);
        free(row);
    }
    return NX_OK;
}

static nx_status compute(run *r, nx_checkpoint *cp, nx_error *err)
{
    static const int32_t ids[] = {1, 2, 3};
    nx_backend          *be = NULL;
    nx_llm              *llm = NULL;
    nx_timeline         *tl = NULL;
    nx_status            st = nx_backends_create(&be, 1, false, err);

    if (st) {
        nx_checkpoint_close(cp);
        return st;
    }
    st = nx_llm_take(&llm, cp, be, err);
    if (!st && llm->model->n_params < 1 << 20 && llm->model->hp.n_vocab > 3 &&
        llm->model->hp.n_ctx >= 3) {
        nx_timeline_options opt = {.n_ctx = 3, .n_batch = 3, .kv_dtype = NX_DTYPE_F16};
        st = nx_timeline_create(&tl, llm, &opt, err);
        if (!st) st = nx_timeline_eval(tl, ids, 3, NULL, NULL, err);
        nx_timeline_destroy(tl);
        r->n_computed++;
    }
    nx_llm_close(llm);
    return st;
}

static nx_status load(run *r, nx_error *err)
{
    nx_checkpoint *cp = NULL;
    nx_status      st = nx_checkpoint_open(&cp, r->dir, err);

    if (st) return st;
    st = touch(cp, err);
    if (st || nx_checkpoint_n_tensors(cp) == 0) {
        nx_checkpoint_close(cp);
        return st;
    }
    return compute(r, cp, err);
}

/* ---- Damage ---- */

static void flip(run *r, nx_buf *b, size_t from, size_t n)
{
    for (uint64_t k = 1 + below(r, 4); k > 0 && n > 0; k--)
        b->data[from + below(r, n)] ^= (char)(1 << below(r, 8));
}

/* Put another number in place of one that stands in JSON text. */
static void change_number(run *r, nx_buf *b, size_t from, size_t n)
{
    static const char *const numbers[] = {
        "0",    "1",    "2",          "-1",  "3.5",
        "4096", "65",   "4294967296", "1e9", "9223372036854775807",
        "null", "\"\"", "[]",         "{}",  "18446744073709551615",
        "true"};
    nx_buf out = {.max = FILE_BYTES_MAX};
    size_t at = from + below(r, n), end = from + n;

    while (at < end && (b->data[at] < '0' || b->data[at] > '9')) at++;
    size_t stop = at;
    while (stop < end && b->data[stop] >= '0' && b->data[stop] <= '9') stop++;
    if (at == stop) return;
    const char *with = numbers[below(r, sizeof numbers / sizeof *numbers)];
    (void)nx_buf_add(&out, b->data, at, NULL);
    (void)nx_buf_add(&out, with, strlen(with), NULL);
    (void)nx_buf_add(&out, b->data + stop, b->len - stop, NULL);
    nx_buf_free(b);
    *b = out;
}

/* Leave a piece out, or say it twice. */
static void splice(run *r, nx_buf *b, size_t from, size_t n)
{
    nx_buf out = {.max = FILE_BYTES_MAX};
    size_t at = from + below(r, n), len = below(r, 64);

    if (at + len > from + n) len = from + n - at;
    bool twice = below(r, 2);
    (void)nx_buf_add(&out, b->data, at + (twice ? len : 0), NULL);
    (void)nx_buf_add(&out, b->data + at + (twice ? 0 : len), b->len - at - (twice ? 0 : len), NULL);
    nx_buf_free(b);
    *b = out;
}

/* The header's length says what the header is, so that what is in it gets its turn. */
static void mend_length(nx_buf *b, size_t old_len)
{
    uint64_t header = 0;

    if (b->len < 8) return;
    for (int i = 7; i >= 0; i--) header = header << 8 | (unsigned char)b->data[i];
    header += b->len - old_len;
    for (int i = 0; i < 8; i++) b->data[i] = (char)(unsigned char)(header >> 8 * i);
}

static void damage(run *r, nx_buf *b, bool weights)
{
    size_t   from = 0, n = b->len, old_len = b->len;
    uint64_t header = 0;

    for (int i = 7; weights && i >= 0; i--) header = header << 8 | (unsigned char)b->data[i];
    bool in_header = weights && header <= b->len - 8 && below(r, 8) > 0;
    if (in_header) {
        from = 8;
        n = (size_t)header;
    }
    switch (below(r, 6)) {
    case 0: flip(r, b, from, n); break;
    case 1: b->len = below(r, b->len); break;
    case 2: splice(r, b, from, n); break;
    default: change_number(r, b, from, n); break;
    }
    if (in_header && below(r, 4) > 0) mend_length(b, old_len);
}

static void put_files(run *r, const base_folder *base, uint64_t hurt, bool remove)
{
    folder_remove(r->dir);
    mkdir(r->dir, 0700);
    for (int i = 0; i < base->n; i++) {
        const kept_file *f = &base->files[i];
        nx_buf           b = {.max = FILE_BYTES_MAX};
        if ((uint64_t)i == hurt && remove) continue;
        (void)nx_buf_add(&b, f->bytes.data, f->bytes.len, NULL);
        bool weights = strstr(f->name, ".safetensors") && !strstr(f->name, ".json");
        for (uint64_t k = 1 + below(r, 2); (uint64_t)i == hurt && k > 0 && b.len > 16; k--)
            damage(r, &b, weights);
        mk_write_file(r->dir, f->name, b.data ? b.data : "", b.len);
        nx_buf_free(&b);
    }
}

/* ---- Judging ---- */

static void failure(run *r, int64_t i, const char *what, const char *message)
{
    printf("FAILURE: case %" PRId64 ": %s: %s\n", i, what, message);
    r->n_failures++;
}

static void judge(run *r, int64_t i)
{
    nx_error  err = {0};
    double    start = cpu_seconds();
    nx_status st = load(r, &err);
    double    took = cpu_seconds() - start;

    if (took > r->worst_s) r->worst_s = took;
    if (took > SECONDS_MAX) failure(r, i, "took more than a second", err.text);
    if (st == NX_OK) {
        r->n_loaded++;
        return;
    }
    r->n_refused++;
    if (st != NX_EFORMAT && st != NX_EUNSUPPORTED && st != NX_ENOENT && st != NX_ENOMEM)
        failure(r, i, "refused for another reason", err.text);
    else if (err.status != st)
        failure(r, i, "status and message disagree", err.text);
    else if (!strstr(err.text, r->dir) && !strstr(err.text, "tensor "))
        failure(r, i, "the message names no folder", err.text);
}

static void one_case(run *r, uint64_t seed, int64_t i)
{
    nx_rng_seed(&r->rng, seed * 1000003u + (uint64_t)i);
    const base_folder *base = &r->bases[below(r, FOLDER_KINDS)];
    uint64_t           hurt = below(r, (uint64_t)base->n);
    put_files(r, base, hurt, below(r, 40) == 0);
    judge(r, i);
}

/* ---- Bases ---- */

static void keep(run *r, base_folder *base)
{
    nx_error err = {0};
    char   **names, path[256];
    size_t   n;

    mk_must(nx_dir_list(&names, &n, r->dir, &err), &err);
    for (size_t i = 0; i < n && base->n < FILES_MAX; i++) {
        kept_file *f = &base->files[base->n++];
        MK_PRINT(f->name, "%s", names[i]);
        MK_PRINT(path, "%s/%s", r->dir, names[i]);
        f->bytes.max = FILE_BYTES_MAX;
        mk_must(nx_file_read_all(&f->bytes, path, &err), &err);
    }
    free(names);
}

static void make_bases(run *r)
{
    nx_error err = {0};

    for (int kind = 0; kind < FOLDER_KINDS; kind++) {
        folder_remove(r->dir);
        mkdir(r->dir, 0700);
        folder_make(r->dir, (folder_kind)kind);
        keep(r, &r->bases[kind]);
        nx_checkpoint *cp = NULL;
        mk_must(nx_checkpoint_open(&cp, r->dir, &err), &err);
        mk_must(touch(cp, &err), &err);
        nx_checkpoint_close(cp);
    }
}

static void begin(run *r)
{
    /* Memory instead of a disk, where there is one: each case writes its folder anew. */
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    MK_PRINT(r->dir, "%s/nx-folders-XXXXXX", where);
    if (!mkdtemp(r->dir)) {
        perror(r->dir);
        exit(1);
    }
    make_bases(r);
}

int main(int argc, char **argv)
{
    static run  r;
    const char *count = getenv("NX_TORTURE_COUNT");
    int64_t     n = count ? atoll(count) : COUNT_DEFAULT, only = -1;
    uint64_t    seed = 1;
    int         c;

    while ((c = getopt(argc, argv, "s:n:c:")) != -1) {
        if (c == 's') seed = strtoull(optarg, NULL, 10);
        if (c == 'n') n = atoll(optarg);
        if (c == 'c') only = atoll(optarg);
    }
    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    begin(&r);
    if (only >= 0) {
        one_case(&r, seed, only);
        printf("kept in %s\n", r.dir);
        return r.n_failures > 0;
    }
    for (int64_t i = 0; i < n && r.n_failures < FAILURES_MAX; i++) one_case(&r, seed, i);
    folder_remove(r.dir);
    for (int k = 0; k < FOLDER_KINDS; k++)
        for (int i = 0; i < r.bases[k].n; i++) nx_buf_free(&r.bases[k].files[i].bytes);
    printf("%" PRId64 " folders: %" PRId64 " loaded (%" PRId64 " computed), %" PRId64
           " refused, slowest %.3f s, %" PRId64 " failures\n",
           n, r.n_loaded, r.n_computed, r.n_refused, r.worst_s, r.n_failures);
    return r.n_failures > 0;
}
