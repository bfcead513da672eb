/* torture_ingest.c - a process that indexes is killed (SIGKILL) at chance moments, again and again, while it
 * indexes a folder, indexes it anew after changes, or puts and removes documents that it reports.
 *
 * Protects: whatever the moment, what is reopened holds no chunk twice, no chunk without its document, no document
 * without one of its chunks; each chunk is the bytes of its place; what was reported done is there, and at the end
 * one run makes the shelf say what the folder says, with every vector.
 *
 *   torture_ingest [KILLS [SEED]]      KILLS also from NX_INGEST_KILLS; 5
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void broken(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
#define SHELVES_FAIL broken
#include "../unit/rag/shelves.h"

#include "num/rng.h"
#include "rag/ingest.h"

enum { FILES = 40, PUTTERS = 2, TEXT_MAX = 40000, MS_MAX = 900 };

/* What a child does until it is killed. */
typedef enum work { INDEX, INDEX_WHILE_CHANGING, PUT, WORKS } work;

static nx_rng             rng;
static int                n_kill;
static unsigned long long seed = 1;

static void broken(const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "torture_ingest: kill %d, seed %llu: ", n_kill, seed);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(1);
}

static uint64_t below(uint64_t n)
{
    return nx_rng_next_u64(&rng) % n;
}

/* Some paragraphs stay from version to version, some come and go, some stand there twice. */
static size_t write_version(char *out, int file, int version)
{
    char *p = out;

    p += sprintf(p, "This is file %d in version %d.\n\n", file, version);
    for (int k = 0; k < 3 + (file + version) % 5; k++) {
        int which = (k + version) % 6;
        for (int w = 0; w < 10 + 4 * which; w++)
            p += sprintf(p, "word%d ", (which * 1000 + file * 7 + w * w) % 5000);
        p += sprintf(p, "\n\n");
        if (which == 3) p += sprintf(p, "The same again.\n\nThe same again.\n\n");
    }
    return (size_t)(p - out);
}

static void hash_version(char out[NX_BLOB_NAME], int file, int version)
{
    static char text[TEXT_MAX];

    nx_blob_name(out, text, write_version(text, file, version));
}

/* ---- The folder ---- */

static void path_of(char *out, size_t cap, const shelves *x, int file)
{
    snprintf(out, cap, "%s/files/%d/%d.txt", x->dir, file % 3, file);
}

static void put_file(const shelves *x, int file, int version)
{
    char     path[400], text[TEXT_MAX];
    nx_error err;

    path_of(path, sizeof path, x, file);
    if (version < 0) {
        unlink(path);
        return;
    }
    if (nx_dir_make_above(path, &err)) broken("%s", err.text);
    int    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    size_t n = write_version(text, file, version);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n) broken("%s can't be written", path);
    close(fd);
}

static void change_some(const shelves *x, int versions[FILES], int n)
{
    while (n-- > 0) {
        int f = (int)below(FILES);
        versions[f] = below(6) == 0 ? -1 : (int)below(1000);
        put_file(x, f, versions[f]);
    }
}

/* ---- The child ---- */

typedef struct putter {
    shelves *x;
    int      fd, first;
    uint64_t seed;
} putter;

static void tell(int fd, char what, int file, int version)
{
    char line[64];
    int  n = snprintf(line, sizeof line, "%c %d %d\n", what, file, version);

    if (write(fd, line, (size_t)n) != n) _exit(2);
}

/* Says what it begins ('p', 'd'), and what is done ('P', 'D'). */
static void *put_on(void *ctx)
{
    putter  *p = ctx;
    char    *text = malloc(TEXT_MAX), source[64];
    nx_rng   own;
    nx_error err;

    nx_rng_seed(&own, p->seed);
    for (;;) {
        int       f = (int)(nx_rng_next_u64(&own) % FILES) / PUTTERS * PUTTERS + p->first;
        int       v = (int)(nx_rng_next_u64(&own) % 1000);
        nx_status st;
        bool      put = nx_rng_next_u64(&own) % 5 != 0;
        snprintf(source, sizeof source, "put/%d", f);
        tell(p->fd, put ? 'p' : 'd', f, v);
        if (put) {
            nx_incoming   in = {.source = nx_str_of(source), .bytes = text};
            nx_put_report r;
            in.n = write_version(text, f, v);
            st = nx_shelf_put(p->x->s, &in, p->x->e, &r, &err);
        } else {
            st = nx_shelf_remove(p->x->s, nx_document_id(nx_str_of(source)), NULL, &err);
            if (st == NX_ENOENT) st = NX_OK;
        }
        if (st) broken("put: %s", err.text);
        tell(p->fd, put ? 'P' : 'D', f, v);
    }
    return NULL;
}

static void embed_on(shelves *x)
{
    int32_t  n;
    nx_error err;

    for (;;)
        if (nx_shelf_embed(x->s, x->e, 5, NULL, &n, &err)) broken("embed: %s", err.text);
}

static void index_once(shelves *x)
{
    char              path[300];
    nx_str            root;
    nx_ingest_options opt = {.paths = &root, .n_paths = 1, .n_threads = 3};
    nx_ingest         i;
    nx_error          err;

    snprintf(path, sizeof path, "%s/files", x->dir);
    root = nx_str_of(path);
    nx_extract_limits_default(&opt.limits);
    nx_ingest_init(&i);
    if (nx_ingest_run(&i, x->s, x->e, &opt, &err)) broken("index: %s", err.text);
    nx_ingest_free(&i);
}

static void child(shelves *x, work what, int fd, uint64_t chance)
{
    pthread_t threads[PUTTERS];
    putter    putters[PUTTERS];

    x->e = shelves_model();
    shelves_open_store(x);
    shelves_open_shelf(x);
    tell(fd, 'b', 0, 0);
    if (what != PUT) {
        for (;;) {
            index_once(x);
            tell(fd, 'R', 0, 0);
        }
    }
    for (int i = 0; i < PUTTERS; i++) {
        putters[i] = (putter){x, fd, i, chance + (uint64_t)i};
        pthread_create(&threads[i], NULL, put_on, &putters[i]);
    }
    embed_on(x);
}

/* ---- What was reported ---- */

typedef struct reported {
    int  versions[FILES]; /* done last; -1: none, gone */
    int  begun[FILES];    /* and perhaps done; -2: nothing */
    bool run;             /* a whole run of the folder */
} reported;

static void read_reports(reported *r, int fd)
{
    FILE *f = fdopen(fd, "r");
    char  line[64], what;
    int   file, version;

    for (int i = 0; i < FILES; i++) r->begun[i] = -2;
    r->run = false;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%c %d %d", &what, &file, &version) != 3) continue;
        if (what == 'R') r->run = true;
        if (what == 'p' || what == 'd') r->begun[file] = what == 'p' ? version : -1;
        if (what != 'P' && what != 'D') continue;
        r->versions[file] = what == 'P' ? version : -1;
        r->begun[file] = -2;
    }
    if (f) fclose(f);
}

static bool says(const char *sha256, bool there, int file, int version)
{
    char want[NX_BLOB_NAME];

    if (version < 0) return !there;
    hash_version(want, file, version);
    return there && strcmp(sha256, want) == 0;
}

/* The document's hash. False: there is none. */
static bool look(shelves *x, const char *source, char sha256[NX_BLOB_NAME])
{
    nx_snapshot  *snap = nx_snapshot_take(nx_shelf_collection(x->s));
    nx_point_copy copy = {0};
    nx_document   doc;
    nx_error      err;
    nx_status     st =
        nx_shelf_get(x->s, snap, &doc, &copy, nx_document_id(nx_str_of(source)), NULL, &err);

    if (st && st != NX_ENOENT) broken("%s: %s", source, err.text);
    if (!st) memcpy(sha256, doc.sha256, NX_BLOB_NAME);
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    return !st;
}

static void check_puts(shelves *x, reported *r)
{
    for (int f = 0; f < FILES; f++) {
        char source[64], sha256[NX_BLOB_NAME] = "";
        snprintf(source, sizeof source, "put/%d", f);
        bool there = look(x, source, sha256);
        bool done = says(sha256, there, f, r->versions[f]);
        if (!done && !(r->begun[f] > -2 && says(sha256, there, f, r->begun[f])))
            broken("document %d: version %d was reported done, %d begun; there is %s", f,
                   r->versions[f], r->begun[f], there ? sha256 : "none");
        if (!done) r->versions[f] = r->begun[f];
    }
}

static void check_files(shelves *x, const int versions[FILES])
{
    for (int f = 0; f < FILES; f++) {
        char path[400], sha256[NX_BLOB_NAME] = "";
        path_of(path, sizeof path, x, f);
        bool there = look(x, path, sha256);
        if (!says(sha256, there, f, versions[f]))
            broken("file %d is version %d; there is %s", f, versions[f], there ? sha256 : "none");
    }
}

/* ---- Rounds ---- */

static void sleep_ms(uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static void wait_for_begin(int fd)
{
    char line[6];

    if (read(fd, line, sizeof line) != sizeof line || line[0] != 'b')
        broken("the child didn't come up");
}

static void let_work(shelves *x, work what, int versions[FILES], uint64_t ms)
{
    for (uint64_t t = 0; t < ms; t += 5) {
        sleep_ms(5);
        if (what == INDEX_WHILE_CHANGING) change_some(x, versions, (int)below(3));
    }
}

static void round_of(shelves *x, int versions[FILES], reported *r)
{
    int      fds[2], status;
    work     what = (work)below(WORKS);
    uint64_t chance = nx_rng_next_u64(&rng);

    change_some(x, versions, (int)below(12));
    if (pipe(fds)) broken("no pipe");
    fcntl(fds[1], F_SETPIPE_SZ, 1 << 20); /* nobody reads until the end */
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) broken("no process");
    if (pid == 0) {
        close(fds[0]);
        child(x, what, fds[1], chance);
        _exit(3);
    }
    close(fds[1]);
    wait_for_begin(fds[0]);
    let_work(x, what, versions, below(MS_MAX));
    kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        broken("the child ended by itself: %d", status);
    read_reports(r, fds[0]);
    shelves_open_store(x);
    shelves_open_shelf(x);
    shelf_seen seen = shelves_check(x);
    check_puts(x, r);
    if (r->run && what == INDEX) check_files(x, versions);
    printf("kill %d: %s, %llu documents, %llu chunks, %llu vectors\n", n_kill,
           what == PUT     ? "putting"
           : what == INDEX ? "indexing"
                           : "indexing what changes",
           (unsigned long long)seen.n_documents, (unsigned long long)seen.n_chunks,
           (unsigned long long)seen.n_vectors);
    shelves_close_store(x);
}

/* At rest, one run is enough. */
static void finish(shelves *x, const int versions[FILES])
{
    int32_t  n = 1;
    nx_error err;

    x->e = shelves_model();
    shelves_open_store(x);
    shelves_open_shelf(x);
    index_once(x);
    while (n > 0)
        if (nx_shelf_embed(x->s, x->e, 100, NULL, &n, &err)) broken("embed: %s", err.text);
    check_files(x, versions);
    shelf_seen seen = shelves_check(x);
    if (seen.n_chunks != seen.n_vectors)
        broken("%llu chunks and %llu vectors at the end", (unsigned long long)seen.n_chunks,
               (unsigned long long)seen.n_vectors);
    nx_embedder_close(x->e);
    shelves_close(x);
}

int main(int argc, char **argv)
{
    const char *env = getenv("NX_INGEST_KILLS");
    int         kills = argc > 1 ? atoi(argv[1]) : env && *env ? atoi(env) : 5;
    int         versions[FILES];
    shelves     x = {.dir = "/tmp/nx_torture_ingest_XXXXXX"};
    reported    r;

    if (argc > 2) seed = strtoull(argv[2], NULL, 10);
    nx_rng_seed(&rng, seed);
    if (!mkdtemp(x.dir)) broken("%s can't be made", x.dir);
    for (int f = 0; f < FILES; f++) {
        r.versions[f] = -1;
        versions[f] = (int)below(1000);
        put_file(&x, f, versions[f]);
    }
    for (n_kill = 1; n_kill <= kills; n_kill++) round_of(&x, versions, &r);
    finish(&x, versions);
    printf("%d kills: nothing twice, nothing without its document, nothing lost\n", kills);
    return 0;
}
