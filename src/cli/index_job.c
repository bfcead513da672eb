/* index_job.c - asks ten times a second how a job stands, and says so. */
#include "cli/index_job.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"

#define POLL_NS    100000000
#define LINE_EVERY 5000000000 /* where no bar can be drawn */

/* ---- Reading ---- */

static int64_t count(const nx_json *job, const char *key)
{
    int64_t n = 0;

    (void)nx_json_get_int(job, key, &n);
    return n;
}

static bool is_phase(const nx_index_news *n, const char *phase)
{
    return strcmp(n->phase, phase) == 0;
}

void nx_index_news_read(nx_index_news *out, const nx_json *job)
{
    nx_str phase = {0};

    *out = (nx_index_news){
        .found = count(job, "found"),
        .looked_at = count(job, "looked_at"),
        .added = count(job, "added"),
        .changed = count(job, "changed"),
        .unchanged = count(job, "unchanged"),
        .removed = count(job, "removed"),
        .skipped = count(job, "skipped"),
        .chunks = count(job, "chunks"),
        .chunks_new = count(job, "chunks_new"),
        .embedded = count(job, "embedded"),
        .to_embed = count(job, "to_embed"),
        .bytes = count(job, "bytes"),
    };
    (void)nx_json_get_bool(job, "walked", &out->walked);
    (void)nx_json_get_string(job, "phase", &phase);
    snprintf(out->phase, sizeof out->phase, "%.*s", (int)(phase.len < 23 ? phase.len : 23),
             phase.len ? phase.p : "");
    out->ended = is_phase(out, "done") || is_phase(out, "failed") || is_phase(out, "cancelled");
}

/* ---- Telling ---- */

typedef struct telling {
    nx_progress bar;
    char        phase[24];     /* of the bar */
    int64_t     told_ns, told; /* of the last line: when, and how much was done */
    bool        quiet;
} telling;

static void tell_line(telling *t, const nx_index_news *n)
{
    const int64_t now = nx_clock_ns();

    if (now - t->told_ns < LINE_EVERY || n->looked_at + n->embedded == t->told) return;
    t->told_ns = now;
    t->told = n->looked_at + n->embedded;
    if (is_phase(n, "vectors"))
        nx_log_info("%lld of %lld chunks have their vector", (long long)n->embedded,
                    (long long)n->to_embed);
    else
        nx_log_info("%lld of %lld%s files looked at, %lld of %lld chunks have their vector",
                    (long long)n->looked_at, (long long)n->found, n->walked ? "" : " or more",
                    (long long)n->embedded, (long long)n->to_embed);
}

static void tell(telling *t, const nx_index_news *n)
{
    const bool vectors = is_phase(n, "vectors");

    if (t->quiet) return;
    if (!nx_terminal_get()->err_redraw) {
        tell_line(t, n);
        return;
    }
    if (strcmp(t->phase, n->phase) != 0) {
        nx_progress_end(&t->bar);
        nx_progress_begin(&t->bar, vectors ? "making vectors" : "reading",
                          vectors ? "chunks" : "files");
        snprintf(t->phase, sizeof t->phase, "%s", n->phase);
        if (vectors) t->bar.base = n->embedded;
    }
    if (vectors)
        nx_progress_at(&t->bar, n->embedded, n->to_embed);
    else
        nx_progress_at(&t->bar, n->looked_at, n->found);
}

/* ---- Following ---- */

static nx_status job_path(nx_buf *out, const nx_json *job, nx_error *err)
{
    nx_str id = {0};

    if (!nx_json_get_string(job, "job_id", &id)) (void)nx_json_get_string(job, "id", &id);
    if (!id.len || id.len > 64) return nx_fail(err, NX_EFORMAT, "the server began no job");
    return nx_buf_addf(out, err, "/rag/jobs/%.*s", (int)id.len, id.p);
}

static nx_status cancel(nx_instance *i, const char *path)
{
    nx_said   s;
    nx_error  err;
    nx_status st = nx_instance_ask(i, "DELETE", path, NULL, &s, &err);

    nx_said_free(&s);
    return st;
}

static nx_status outcome(const nx_json *job, const nx_index_news *n, nx_error *err)
{
    nx_str why = NX_STR("the job failed");

    if (is_phase(n, "cancelled")) return nx_fail(err, NX_ECANCELLED, "cancelled");
    if (!is_phase(n, "failed")) return NX_OK;
    (void)nx_json_get_string(job, "error", &why);
    return nx_fail(err, NX_EIO, "%.*s", (int)(why.len < 400 ? why.len : 400), why.p);
}

static nx_status follow(nx_instance *i, const char *path, bool quiet, nx_said *said,
                        nx_index_news *news, nx_error *err)
{
    telling   t = {.quiet = quiet, .told_ns = nx_clock_ns()};
    bool      asked = false;
    nx_status st;

    for (;;) {
        if (atomic_load(&nx_cli_cancel) && !asked) {
            asked = true;
            (void)cancel(i, path);
        }
        nx_said_free(said);
        st = nx_instance_ask(i, "GET", path, NULL, said, err);
        if (st) break;
        nx_index_news_read(news, said->doc.root);
        if (news->ended) break;
        tell(&t, news);
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
    nx_progress_end(&t.bar);
    return st ? st : outcome(said->doc.root, news, err);
}

nx_status nx_index_run(nx_instance *i, const char *path, nx_jw *body, bool quiet, nx_said *said,
                       nx_index_news *news, nx_error *err)
{
    nx_buf    job = {.max = 256};
    nx_status st = nx_instance_ask(i, "POST", path, body, said, err);

    *news = (nx_index_news){0};
    if (!st) st = job_path(&job, said->doc.root, err);
    if (!st) st = follow(i, job.data, quiet, said, news, err);
    nx_buf_free(&job);
    return st;
}

/* ---- The end ---- */

static void print_skips(const nx_json *job, int64_t n)
{
    const nx_json *skips = nx_json_get(job, "skips");
    size_t         shown = skips && skips->type == NX_JSON_ARRAY ? skips->array.n : 0;

    if (n) nx_out_printf("left out, %lld:\n", (long long)n);
    for (size_t k = 0; k < shown; k++) {
        nx_str source = {0}, reason = {0};
        (void)nx_json_get_string(&skips->array.items[k], "source", &source);
        (void)nx_json_get_string(&skips->array.items[k], "reason", &reason);
        nx_out_printf("  %.*s: %.*s\n", (int)source.len, source.len ? source.p : "",
                      (int)reason.len, reason.len ? reason.p : "");
    }
    if (n > (int64_t)shown) nx_out_printf("  and %lld more\n", (long long)(n - (int64_t)shown));
}

void nx_index_summary(const nx_json *job, const nx_index_news *n, double seconds)
{
    char bytes[32];

    nx_format_bytes(bytes, sizeof bytes, (uint64_t)(n->bytes > 0 ? n->bytes : 0));
    nx_out_printf("%lld files: %lld new, %lld changed, %lld unchanged, %lld gone, %lld left out\n",
                  (long long)n->found, (long long)n->added, (long long)n->changed,
                  (long long)n->unchanged, (long long)n->removed, (long long)n->skipped);
    nx_out_printf("%s read, %lld chunks, of which %lld are new, %lld vectors, in %.1f s\n", bytes,
                  (long long)n->chunks, (long long)n->chunks_new, (long long)n->embedded, seconds);
    print_skips(job, n->skipped);
}
