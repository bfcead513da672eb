/* Protects: each request is one line of valid JSON, whatever its strings hold; no caller ever waits for
 * the file; what is lost is counted and told; nothing that waits is lost at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/jsonread.h"
#include "os/clock.h"
#include "os/file.h"
#include "server/access_log.h"

static char path[64], path_old[80];

static nx_access_log *open_log(const nx_access_log_options *opt)
{
    nx_access_log *log = NULL;
    nx_error       err;

    if (nx_access_log_open(&log, opt, &err)) fail_msg("%s", err.text);
    return log;
}

static nx_access_log *open_file(void)
{
    nx_access_log_options opt;

    unlink(path);
    nx_access_log_options_default(&opt);
    opt.path = path;
    return open_log(&opt);
}

static nx_buf file_text(const char *of)
{
    nx_buf b = {.max = 64u << 20};

    assert_int_equal(nx_file_read_all(&b, of, NULL), NX_OK);
    return b;
}

/* Parse line number `idx` of text. */
static nx_json_doc line_of(const char *text, int idx)
{
    nx_json_doc doc;
    nx_error    err;

    for (; idx > 0; idx--) {
        text = strchr(text, '\n');
        assert_non_null(text);
        text++;
    }
    const char *end = strchr(text, '\n');
    assert_non_null(end);
    if (nx_json_parse(&doc, "line", text, (size_t)(end - text), 0, &err)) fail_msg("%s", err.text);
    return doc;
}

static int count_lines(const char *text)
{
    int n = 0;

    for (; text && (text = strchr(text, '\n')) != NULL; text++) n++;
    return n;
}

static nx_access_entry whole_entry(void)
{
    nx_access_entry e;

    nx_access_entry_default(&e);
    e.request_id = "req-1";
    e.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    e.key_id = "nx_ab12";
    e.peer = "127.0.0.1";
    e.method = "POST";
    e.route = "/v1/chat/completions";
    e.path = "/v1/chat/completions";
    e.status = 200;
    e.complete = true;
    e.bytes = 1234;
    e.duration_ms = 12.3456;
    e.queue_ms = 0;
    e.ttft_ms = 5.5;
    e.n_prompt = 20;
    e.n_cached = 16;
    e.n_generated = 7;
    e.finish_reason = "stop";
    e.model = "mini";
    e.prompt = NX_STR("tell nobody");
    return e;
}

#define assert_text(doc, key, text) assert_true(nx_json_is(nx_json_get((doc).root, key), text))
#define assert_number(doc, key, x)                                                                 \
    do {                                                                                           \
        double got_ = -1;                                                                          \
        assert_true(nx_json_get_number((doc).root, key, &got_));                                   \
        assert_true(got_ == (x));                                                                  \
    } while (0)
#define assert_absent(doc, key) assert_null(nx_json_get((doc).root, key))

static void all_fields(void **state)
{
    nx_access_log        *log = open_file();
    const nx_access_entry e = whole_entry();
    nx_str                ts;
    int                   year, rest[6], end = 0;

    (void)state;
    nx_access_log_write(log, &e);
    nx_access_log_close(log);
    nx_buf      text = file_text(path);
    nx_json_doc d = line_of(text.data, 0);
    assert_int_equal(count_lines(text.data), 1);
    assert_true(nx_json_get_string(d.root, "ts", &ts));
    assert_int_equal(ts.len, strlen("2026-11-25T18:00:00.123Z"));
    assert_int_equal(sscanf(ts.p, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &rest[0], &rest[1],
                            &rest[2], &rest[3], &rest[4], &rest[5], &end),
                     7);
    assert_int_equal(end, (int)ts.len);
    assert_text(d, "level", "info");
    assert_text(d, "event", "request");
    assert_text(d, "request_id", "req-1");
    assert_text(d, "trace_id", "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_text(d, "key_id", "nx_ab12");
    assert_text(d, "peer", "127.0.0.1");
    assert_text(d, "method", "POST");
    assert_text(d, "route", "/v1/chat/completions");
    assert_text(d, "path", "/v1/chat/completions");
    assert_number(d, "status", 200);
    assert_number(d, "bytes", 1234);
    assert_number(d, "duration_ms", 12.346);
    assert_number(d, "queue_ms", 0);
    assert_number(d, "ttft_ms", 5.5);
    assert_number(d, "prompt_tokens", 20);
    assert_number(d, "cached_tokens", 16);
    assert_number(d, "generated_tokens", 7);
    assert_text(d, "finish_reason", "stop");
    assert_text(d, "model", "mini");
    assert_absent(d, "prompt");
    assert_absent(d, "traceparent");
    nx_json_doc_free(&d);
    nx_buf_free(&text);
}

static void what_is_unknown_is_absent(void **state)
{
    nx_access_log  *log = open_file();
    nx_access_entry e;
    bool            complete = true;

    (void)state;
    nx_access_entry_default(&e);
    e.status = 503;
    nx_access_log_write(log, &e);
    nx_access_log_close(log);
    nx_buf      text = file_text(path);
    nx_json_doc d = line_of(text.data, 0);
    assert_int_equal(d.root->object.n, 5);
    assert_text(d, "level", "error");
    assert_number(d, "status", 503);
    assert_true(nx_json_get_bool(d.root, "complete", &complete));
    assert_false(complete);
    nx_json_doc_free(&d);
    nx_buf_free(&text);
}

static void strange_strings(void **state)
{
    nx_access_log  *log = open_file();
    nx_access_entry e = whole_entry();
    char            longest[5000];
    nx_str          got;

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest + 1023, "\xC3\xA9", 2);
    e.request_id = "a\"b\\c\r\n{\"event\":\"forged\"}\x01\x1b[31m\x7f";
    e.path = longest;
    e.model = "\xFF\xC3";
    nx_access_log_write(log, &e);
    nx_access_log_close(log);
    nx_buf      text = file_text(path);
    nx_json_doc d = line_of(text.data, 0);
    assert_int_equal(count_lines(text.data), 1);
    for (size_t i = 0; i + 1 < text.len; i++)
        assert_true((unsigned char)text.data[i] >= 0x20 && text.data[i] != 0x7f);
    assert_text(d, "request_id", "a\"b\\c\r\n{\"event\":\"forged\"}\x01\x1b[31m\x7f");
    assert_true(nx_json_get_string(d.root, "path", &got));
    assert_int_equal(got.len, 1023);
    assert_text(d, "model", "\xEF\xBF\xBD\xEF\xBF\xBD");
    nx_json_doc_free(&d);
    nx_buf_free(&text);
}

static void prompts_only_when_asked(void **state)
{
    nx_access_log_options opt;
    nx_access_entry       e = whole_entry();
    char                 *huge = malloc(100000);
    nx_str                got;

    (void)state;
    unlink(path);
    nx_access_log_options_default(&opt);
    assert_false(opt.with_prompts);
    opt.path = path;
    opt.with_prompts = true;
    nx_access_log *log = open_log(&opt);
    nx_access_log_write(log, &e);
    memset(huge, '\1', 100000);
    e.prompt = (nx_str){huge, 100000};
    nx_access_log_write(log, &e);
    nx_access_log_close(log);
    free(huge);
    nx_buf      text = file_text(path);
    nx_json_doc d = line_of(text.data, 0);
    assert_text(d, "prompt", "tell nobody");
    nx_json_doc_free(&d);
    d = line_of(text.data, 1);
    assert_true(nx_json_get_string(d.root, "prompt", &got));
    assert_int_equal(got.len, 64 << 10);
    nx_json_doc_free(&d);
    nx_buf_free(&text);
}

static void trace_ids(void **state)
{
    static const char *const good[] = {
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000001-0000000000000001-00",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes",
    };
    static const char *const bad[] = {
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\"-00f067aa0ba902b7-01",
        "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
    };
    char id[33];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(nx_traceparent_read(id, good[i]));
        assert_int_equal(strlen(id), 32);
        assert_memory_equal(id, good[i] + 3, 32);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (nx_traceparent_read(id, bad[i])) fail_msg("taken: %s", bad[i]);
        assert_string_equal(id, "");
    }
    assert_false(nx_traceparent_read(id, NULL));
}

/* ---- The file ---- */

static void wait_for_text(const char *file, const char *text)
{
    for (int i = 0; i < 5000; i++) {
        nx_buf     b = {.max = 1 << 20};
        const bool there = nx_file_exists(file) && nx_file_read_all(&b, file, NULL) == NX_OK &&
                           b.data && strstr(b.data, text) != NULL;
        nx_buf_free(&b);
        if (there) return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fail_msg("%s: no %s", file, text);
}

static void reopened_for_logrotate(void **state)
{
    nx_access_log  *log = open_file();
    nx_access_entry e = whole_entry();

    (void)state;
    e.request_id = "before";
    nx_access_log_write(log, &e);
    wait_for_text(path, "before");
    assert_int_equal(rename(path, path_old), 0);
    e.request_id = "between";
    nx_access_log_write(log, &e);
    wait_for_text(path_old, "between");
    nx_access_log_reopen(log);
    e.request_id = "after";
    nx_access_log_write(log, &e);
    wait_for_text(path, "after");
    nx_access_log_close(log);
    nx_buf a = file_text(path_old), b = file_text(path);
    assert_int_equal(count_lines(a.data), 2);
    assert_int_equal(count_lines(b.data), 1);
    nx_buf_free(&a);
    nx_buf_free(&b);
    unlink(path_old);
}

static void appended_to(void **state)
{
    nx_access_log_options opt;
    const nx_access_entry e = whole_entry();
    struct stat           st;

    (void)state;
    unlink(path);
    nx_access_log_options_default(&opt);
    opt.path = path;
    for (int i = 0; i < 3; i++) {
        nx_access_log *log = open_log(&opt);
        nx_access_log_write(log, &e);
        nx_access_log_close(log);
    }
    nx_buf text = file_text(path);
    assert_int_equal(count_lines(text.data), 3);
    nx_buf_free(&text);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0); /* nobody else's to read */
}

static void what_is_wrong(void **state)
{
    nx_access_log_options opt;
    nx_access_log        *log = NULL;
    nx_error              err;

    (void)state;
    nx_access_log_options_default(&opt);
    opt.path = "/nonexistent/folder/access.log";
    assert_int_equal(nx_access_log_open(&log, &opt, &err), NX_EIO);
    assert_non_null(strstr(err.text, "/nonexistent/folder/access.log"));
    opt.lines_max = 0;
    assert_int_equal(nx_access_log_open(&log, &opt, &err), NX_EINVAL);
    nx_access_log_options_default(&opt);
    opt.path = path;
    for (int n = 0; n < 2; n++) {
        nx_alloc_fail_after(n);
        assert_int_equal(nx_access_log_open(&log, &opt, &err), NX_ENOMEM);
        nx_alloc_fail_after(-1);
    }
    assert_null(log);
    nx_access_log_close(NULL);
}

/* A disk that fills up: lines are lost, the next ones that fit stand on lines of their own. */
static void survives_a_full_disk(void **state)
{
    nx_access_log        *log = open_file();
    const nx_access_entry e = whole_entry();
    struct rlimit         before, small;

    (void)state;
    nx_access_log_write(log, &e);
    wait_for_text(path, "\n");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 700; /* one line and a part of the next */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 5; i++) nx_access_log_write(log, &e);
    for (int i = 0; i < 5000 && nx_access_log_dropped(log) < 5; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(nx_access_log_dropped(log), 5);
    nx_access_log_write(log, &e);
    nx_access_log_close(log);
    nx_buf      text = file_text(path);
    nx_json_doc d = line_of(text.data, 2); /* 1 is torn */
    assert_int_equal(count_lines(text.data), 4);
    assert_text(d, "event", "log_dropped");
    assert_number(d, "dropped", 5);
    nx_json_doc_free(&d);
    d = line_of(text.data, 3);
    assert_text(d, "event", "request");
    nx_json_doc_free(&d);
    nx_buf_free(&text);
}

static void counts_what_memory_cannot_hold(void **state)
{
    nx_access_log        *log = open_file();
    const nx_access_entry e = whole_entry();

    (void)state;
    nx_alloc_fail_after(0);
    nx_access_log_write(log, &e);
    nx_alloc_fail_after(-1);
    assert_int_equal(nx_access_log_dropped(log), 1);
    nx_access_log_write(log, &e);
    nx_access_log_close(log);
    nx_buf      text = file_text(path);
    nx_json_doc d = line_of(text.data, 0);
    assert_number(d, "dropped", 1);
    nx_json_doc_free(&d);
    nx_buf_free(&text);
}

/* ---- A reader that doesn't read ---- */

typedef struct drain {
    int    fd;
    nx_buf text;
} drain;

static void *read_all(void *arg)
{
    drain *d = arg;

    d->text = (nx_buf){.max = 64u << 20};
    nx_fd_read_all(&d->text, d->fd, "pipe", NULL);
    return NULL;
}

static void never_blocks(void **state)
{
    nx_access_log_options opt;
    const nx_access_entry e = whole_entry();
    const int             n = 5000;
    int                   fds[2];
    int64_t               worst = 0;
    pthread_t             thread;
    drain                 d;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    nx_access_log_options_default(&opt);
    opt.fd = fds[1];
    opt.lines_max = 1000;
    nx_access_log *log = open_log(&opt);
    for (int i = 0; i < n; i++) { /* 2 MB into a pipe of 64 KiB that nobody reads */
        const int64_t from = nx_clock_ns();
        nx_access_log_write(log, &e);
        const int64_t took = nx_clock_ns() - from;
        if (took > worst) worst = took;
    }
    assert_true(worst < 2000000000);
    const uint64_t n_dropped = nx_access_log_dropped(log);
    assert_true(n_dropped >= (uint64_t)n - 1000 - 1000);
    d.fd = fds[0];
    assert_int_equal(pthread_create(&thread, NULL, read_all, &d), 0);
    nx_access_log_close(log);
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    uint64_t n_told = 0, n_requests = 0;
    for (int i = 0; i < count_lines(d.text.data); i++) {
        nx_json_doc doc = line_of(d.text.data, i);
        int64_t     dropped = 0;
        if (nx_json_get_int(doc.root, "dropped", &dropped))
            n_told += (uint64_t)dropped;
        else
            n_requests++;
        nx_json_doc_free(&doc);
    }
    assert_int_equal(n_told, n_dropped);
    assert_int_equal(n_requests + n_told, n);
    print_message("%d lines, nobody reads: %d dropped, slowest call %.3f ms\n", n, (int)n_dropped,
                  (double)worst / 1e6);
    nx_buf_free(&d.text);
}

static void closes_though_nobody_reads(void **state)
{
    nx_access_log_options opt;
    const nx_access_entry e = whole_entry();
    int                   fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    nx_access_log_options_default(&opt);
    opt.fd = fds[1];
    opt.flush_ms = 200;
    nx_access_log *log = open_log(&opt);
    for (int i = 0; i < 1000; i++) nx_access_log_write(log, &e);
    const int64_t from = nx_clock_ns();
    nx_access_log_close(log);
    const int64_t took_ms = (nx_clock_ns() - from) / 1000000;
    assert_true(took_ms >= 150 && took_ms < 5000);
    close(fds[0]);
    close(fds[1]);
}

static void survives_a_closed_pipe(void **state)
{
    nx_access_log_options opt;
    const nx_access_entry e = whole_entry();
    int                   fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    nx_access_log_options_default(&opt);
    opt.fd = fds[1];
    nx_access_log *log = open_log(&opt);
    for (int i = 0; i < 100; i++) nx_access_log_write(log, &e);
    for (int i = 0; i < 5000 && nx_access_log_dropped(log) < 100; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(nx_access_log_dropped(log), 100);
    nx_access_log_close(log);
    close(fds[1]);
}

/* ---- Threads ---- */

#define N_THREADS 8
#define N_EACH    2000

static void *write_many(void *arg)
{
    nx_access_entry e = whole_entry();
    char            id[32];

    e.request_id = id;
    for (int i = 0; i < N_EACH; i++) {
        snprintf(id, sizeof id, "r%d", i);
        nx_access_log_write(arg, &e);
        if (i % 500 == 0) nx_access_log_reopen(arg);
    }
    return NULL;
}

static void from_many_threads(void **state)
{
    nx_access_log *log = open_file();
    pthread_t      threads[N_THREADS];

    (void)state;
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, log), 0);
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
    const uint64_t n_dropped = nx_access_log_dropped(log);
    nx_access_log_close(log);
    nx_buf   text = file_text(path);
    uint64_t n_requests = 0, n_told = 0;
    for (char *line = text.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        nx_json_doc doc;
        int64_t     dropped = 0;
        assert_int_equal(nx_json_parse(&doc, "line", line, (size_t)(end - line), 0, NULL), NX_OK);
        if (nx_json_get_int(doc.root, "dropped", &dropped))
            n_told += (uint64_t)dropped;
        else
            n_requests++;
        nx_json_doc_free(&doc);
    }
    assert_int_equal(n_told, n_dropped);
    assert_int_equal(n_requests + n_dropped, N_THREADS * N_EACH);
    nx_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields),
        cmocka_unit_test(what_is_unknown_is_absent),
        cmocka_unit_test(strange_strings),
        cmocka_unit_test(prompts_only_when_asked),
        cmocka_unit_test(trace_ids),
        cmocka_unit_test(reopened_for_logrotate),
        cmocka_unit_test(appended_to),
        cmocka_unit_test(what_is_wrong),
        cmocka_unit_test(survives_a_full_disk),
        cmocka_unit_test(counts_what_memory_cannot_hold),
        cmocka_unit_test(never_blocks),
        cmocka_unit_test(closes_though_nobody_reads),
        cmocka_unit_test(survives_a_closed_pipe),
        cmocka_unit_test(from_many_threads),
    };

    snprintf(path, sizeof path, "/tmp/nx-access-%ld.log", (long)getpid());
    snprintf(path_old, sizeof path_old, "%s.1", path);
    const int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return n_failed;
}
