/* torture_full.c - a file system of a few MB is filled up, made room on, and filled again.
 *
 * Protects: on a full disk a write is refused with NX_EFULL and has no effect, reads go on, and
 * writing goes on when there is room; at the end all that was acknowledged is there, also when the
 * store opens anew.
 *
 *   torture_full [-s SEED] [-n ROUNDS]      ROUNDS also from NX_FULL_ROUNDS (6)
 *
 * It mounts a tmpfs in a namespace of its own; where that isn't allowed it is skipped, and says so
 * (tests/unit/store/test_crash.c does the same on the simulated disk).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/backends.h"
#include "store/store.h"

enum {
    DIM = 64,
    IDS = 20000,
    BATCH = 50,
    BLOCK = 1 << 16,
    RETRY_MS = 3000, /* for the thread that tidies to find that there is room again */
};

typedef struct rig {
    char           dir[64], ballast[80], data[80];
    nx_store      *store;
    nx_collection *c;
    uint64_t       rng;
    int            state[IDS]; /* the number in each point; 0: not there */
    int            number;
} rig;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "torture_full: %s: %s\n", what, why);
    exit(1);
}

static int skip(const char *what)
{
    printf("skipped: %s: %s\n", what, strerror(errno));
    return 77;
}

static uint64_t random_u64(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void fill_vector(float x[DIM], int id, int number)
{
    for (int i = 0; i < DIM; i++) x[i] = (float)((id * 31 + number * 7 + i * i) % 101) - 50;
}

/* The vector is what says the number: there is no payload. */
static nx_status write_some(rig *r, nx_error *err)
{
    nx_writes *b = nx_writes_create(r->c);
    int        ids[BATCH], number = r->number + 1;
    bool       deletes = random_u64(&r->rng) % 4 == 0;

    for (int i = 0; i < BATCH; i++) {
        float x[DIM];
        ids[i] = (int)(random_u64(&r->rng) % IDS);
        fill_vector(x, ids[i], number);
        nx_vector v = {.form = NX_FORM_DENSE, .n = DIM, .values = x};
        nx_point  p = {.id = nx_id_number((uint64_t)ids[i]), .vectors = &v, .n_vectors = 1};
        if (deletes ? nx_writes_delete(b, p.id, err) : nx_writes_put(b, &p, NX_PUT, err))
            die("batch", err->text);
    }
    nx_status st = nx_collection_write(r->c, b, true, NULL, err);
    nx_writes_destroy(b);
    if (st) return st;
    r->number = number;
    for (int i = 0; i < BATCH; i++) r->state[ids[i]] = deletes ? 0 : number;
    return NX_OK;
}

static void check_all(rig *r)
{
    nx_point_copy copy = {0};
    nx_snapshot  *s = nx_snapshot_take(r->c);
    nx_error      err;
    uint64_t      n = 0;

    for (int id = 0; id < IDS; id++) {
        float     x[DIM];
        nx_status st = nx_snapshot_get(s, &copy, nx_id_number((uint64_t)id), &err);
        if (st && st != NX_ENOENT) die("get", err.text);
        if (!st != !!r->state[id])
            die("get", "an acknowledged request is lost, or a refused one there");
        fill_vector(x, id, r->state[id]);
        if (!st && memcmp(copy.vectors[0].values, x, sizeof x) != 0) die("get", "another vector");
        n += !st;
    }
    if (nx_snapshot_count(s) != n) die("count", "not as many as there are");
    float     q[DIM] = {1};
    nx_hit    hits[10];
    int32_t   n_hits;
    nx_search search = {.query = q, .k = 10};
    if (nx_snapshot_search(s, hits, &n_hits, &search, NULL, &err)) die("search", err.text);
    if (n_hits != (n < 10 ? (int32_t)n : 10)) die("search", "too few hits");
    nx_snapshot_release(s);
    nx_point_copy_free(&copy);
}

/* Take room away until `left` bytes or fewer are there. */
static void fill_disk(rig *r, uint64_t left)
{
    static char block[BLOCK];
    int         fd = open(r->ballast, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ssize_t     n;

    if (fd < 0) die(r->ballast, strerror(errno));
    while ((n = write(fd, block, sizeof block)) > 0) continue;
    off_t size = lseek(fd, 0, SEEK_END);
    if (ftruncate(fd, size > (off_t)left ? size - (off_t)left : 0))
        die("ftruncate", strerror(errno));
    close(fd);
}

static int refused_until_full(rig *r)
{
    nx_error err;
    int      n = 0, n_refused = 0;

    while (n_refused < 20) {
        nx_status st = write_some(r, &err);
        if (st && (st != NX_EFULL || !strstr(err.text, r->data))) die("a full disk", err.text);
        n_refused += st != NX_OK;
        n++;
    }
    return n - n_refused;
}

static void write_again(rig *r)
{
    nx_error  err;
    nx_status st = NX_EFULL;

    for (int ms = 0; (st = write_some(r, &err)) == NX_EFULL && ms < RETRY_MS; ms += 10)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (st) die("there is room again", err.text);
    for (int i = 0; i < 20; i++)
        if (write_some(r, &err)) die("there is room again", err.text);
}

static void open_store(rig *r)
{
    nx_store_options opt = {.background = true, .head_bytes_max = 1 << 20};
    nx_config        config = {
               .n_slots = 1,
               .slots = {
            {.form = NX_FORM_DENSE, .distance = NX_DOT, .storage = NX_STORE_SQ8, .dim = DIM}}};
    nx_error err;

    if (nx_backends_distances(&opt.distances, &err)) die("kernels", err.text);
    if (nx_store_open(&r->store, r->data, &opt, &err)) die("open", err.text);
    nx_status st = nx_store_create_collection(r->store, NX_STR("t"), &config, &err);
    if (st && st != NX_EBUSY) die("create", err.text);
    if (nx_store_find(&r->c, r->store, NX_STR("t"), &err)) die("find", err.text);
}

static void close_store(rig *r)
{
    nx_collection_release(r->c);
    nx_store_close(r->store);
}

static void one_round(rig *r, int round)
{
    uint64_t left = random_u64(&r->rng) % (1 << 21);

    fill_disk(r, left);
    int n = refused_until_full(r);
    check_all(r);
    if (round % 2) { /* and it opens on a full disk, too */
        close_store(r);
        open_store(r);
        check_all(r);
        refused_until_full(r);
    }
    if (unlink(r->ballast)) die(r->ballast, strerror(errno));
    write_again(r);
    check_all(r);
    printf("round %d: %.2f MB left, %d requests until it was full\n", round, (double)left / 1e6, n);
}

static int mount_small(rig *r)
{
    strcpy(r->dir, "/tmp/nexus-full-XXXXXX");
    if (!mkdtemp(r->dir)) die(r->dir, strerror(errno));
    snprintf(r->ballast, sizeof r->ballast, "%s/ballast", r->dir);
    snprintf(r->data, sizeof r->data, "%s/data", r->dir);
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS)) return -1;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) return -1;
    return mount("tmpfs", r->dir, "tmpfs", 0, "size=32m");
}

int main(int argc, char **argv)
{
    const char *count = getenv("NX_FULL_ROUNDS");
    int         n = count && atoi(count) > 0 ? atoi(count) : 6, opt;
    static rig  r;

    while ((opt = getopt(argc, argv, "s:n:")) != -1) {
        switch (opt) {
        case 's': r.rng = strtoull(optarg, NULL, 10); break;
        case 'n': n = atoi(optarg); break;
        default: return 2;
        }
    }
    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    if (mount_small(&r)) {
        int e = errno;
        rmdir(r.dir);
        errno = e;
        return skip("a small tmpfs can't be mounted");
    }
    open_store(&r);
    for (int i = 0; i < n; i++) one_round(&r, i);
    close_store(&r);
    open_store(&r);
    check_all(&r);
    close_store(&r);
    umount(r.dir);
    rmdir(r.dir);
    return 0;
}
