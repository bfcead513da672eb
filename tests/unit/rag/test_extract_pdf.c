/* Protects: pages and paragraphs of a PDF; and what another program may do to us: crash, hang, talk too much, be
 * missing, get too many pages, and be stopped. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pdf_rig.h"
#include "rag/child.h"
#include "rag/extract_in.h"
#include "rag/pdf_text.h"
#include "zip_rig.h"

static nx_extract_limits usual(void)
{
    return (nx_extract_limits){64 << 20, 64 << 20, 200, 512, 5000, 60, 10000, NULL};
}

static bool has_pdftotext(void)
{
    return system("pdftotext -v >/dev/null 2>&1") == 0;
}

static nx_status pdf(nx_doc *doc, const nx_buf *bytes, const nx_extract_limits *l, nx_error *err)
{
    nx_status st = nx_extract_pdf(doc, NX_STR("x.pdf"), (nx_str){bytes->data, bytes->len}, l, err);

    if (!st) assert_int_equal(nx_doc_check(doc, err), NX_OK);
    return st;
}

/* ---- What pdftotext says ---- */

static void check_text(const char *text, const char *want, const char *warnings)
{
    nx_extract_limits l = usual();
    nx_watch          w = nx_watch_start(&l);
    nx_doc            doc = {0};
    nx_compose        c;
    nx_error          err = {0};
    nx_buf            shape = {0};

    nx_compose_start(&c, &doc, NX_DOC_PDF, &l, &err);
    nx_pdf_text_compose(&c, nx_str_of(text), &w);
    if (nx_compose_finish(&c)) fail_msg("%s", err.text);
    assert_int_equal(nx_doc_check(&doc, &err), NX_OK);
    zip_shape(&shape, &doc);
    assert_string_equal(shape.data, want);
    assert_string_equal(doc.warnings.data ? doc.warnings.data : "", warnings);
    nx_buf_free(&shape);
    nx_doc_free(&doc);
}

static void paragraphs(void **state)
{
    (void)state;
    check_text(
        "2.1 Method\n"
        "This is the first line of a paragraph that is as wide as its col-\n"
        "umn and goes on here with the words \"well-known\" and some more of\n"
        "them, and ends.\n"
        "The next paragraph begins here and it is as wide as the one above\n"
        "but shorter.\n\n"
        "\xE2\x80\xA2 an item\n\xE2\x80\xA2 another\n\f",
        "H2@1 2.1 Method\n"
        "P@1 This is the first line of a paragraph that is as wide as its column and goes on here with the "
        "words \"well-known\" and some more of them, and ends.\n"
        "P@1 The next paragraph begins here and it is as wide as the one above but shorter.\n"
        "I@1 \xE2\x80\xA2 an item\nI@1 \xE2\x80\xA2 another\n",
        "");
    check_text("\xE2\x80\xA2\n\nwords behind it\n\nmore\f",
               "I@1 \xE2\x80\xA2 words behind it\nP@1 more\n", "");
    check_text("one\f\n\n\f \f\fsix\f", "P@1 one\nP@5 six\n",
               "pages 2-4 have no text (scanned?)\n");
    check_text("one\f\n\fthree\nfour", "P@1 one\nP@3 three\nfour\n",
               "page 2 has no text (scanned?)\n");
    check_text("a\xFFz\x01q\f", "P@1 a\xEF\xBF\xBDzq\n", "");
}

/* ---- The whole way ---- */

static void pages(void **state)
{
    const char *const texts[] = {"Hello first page", "", "Third \\(page\\)\nof three"};
    nx_extract_limits l = usual();
    nx_buf            bytes = {0}, shape = {0};
    nx_doc            doc = {0};
    nx_error          err = {0};

    (void)state;
    if (!has_pdftotext()) skip();
    pdf_make(&bytes, texts, 3, 1, "");
    if (pdf(&doc, &bytes, &l, &err)) fail_msg("%s", err.text);
    zip_shape(&shape, &doc);
    assert_string_equal(shape.data, "P@1 Hello first page\nP@3 Third (page)\nof three\n");
    assert_string_equal(doc.warnings.data, "page 2 has no text (scanned?)\n");
    assert_int_equal(doc.n_pages, 3);
    assert_int_equal(doc.place, NX_PLACE_PAGE);
    nx_doc_free(&doc);
    nx_buf_free(&shape);
    nx_buf_free(&bytes);
}

static void refused(const nx_buf *bytes, const nx_extract_limits *l, nx_status want,
                    const char *says)
{
    nx_doc    doc = {0};
    nx_error  err = {0};
    nx_status st = pdf(&doc, bytes, l, &err);

    if (st != want || !strstr(err.text, says) || strchr(err.text, '\n'))
        fail_msg("%d %s; expected %d %s", st, err.text, want, says);
    nx_doc_free(&doc);
}

static void refusals(void **state)
{
    const char *const words[] = {"words"}, *const none[] = {""};
    nx_extract_limits l = usual();
    nx_buf            bytes = {0};
    atomic_bool       yes = true;

    (void)state;
    if (!has_pdftotext()) skip();
    pdf_make(&bytes, words, 1, 50000, "");
    refused(&bytes, &l, NX_ELIMIT, "more than 5000 pages");
    pdf_make(&bytes, none, 1, 3, "");
    refused(&bytes, &l, NX_EFORMAT, "no text in its 3 pages");
    pdf_make(&bytes, words, 1, 3, "");
    l.cancel = &yes;
    refused(&bytes, &l, NX_ECANCELLED, "cancelled");
    l = usual(), l.text_bytes = 3;
    refused(&bytes, &l, NX_ELIMIT, "over 3 bytes");
    l = usual();
    bytes.len = 20;
    refused(&bytes, &l, NX_EFORMAT, "damaged PDF");
    bytes.len = 0;
    refused(&bytes, &l, NX_EFORMAT, "damaged PDF");
    pdf_make(&bytes, words, 1, 1,
             "/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/Length 40/P -4"
             "/O<0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20>"
             "/U<0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20>>>");
    refused(&bytes, &l, NX_EUNSUPPORTED, "encrypted: needs a password");
    char *path = strdup(getenv("PATH"));
    setenv("PATH", "/nonexistent", 1);
    refused(&bytes, &l, NX_EUNSUPPORTED, "apt-get install poppler-utils");
    setenv("PATH", path, 1);
    free(path);
    nx_buf_free(&bytes);
}

/* ---- Other programs ---- */

static nx_status run(nx_child *job, nx_buf *out, const char *script, nx_str input, int32_t seconds,
                     const atomic_bool *cancel, nx_error *err)
{
    static const char *argv[] = {"sh", "-c", NULL, NULL};
    nx_extract_limits  l = usual();

    argv[2] = script;
    l.seconds = seconds;
    l.cancel = cancel;
    nx_watch watch = nx_watch_start(&l);
    *job = (nx_child){.argv = argv,
                      .input = input,
                      .watch = &watch,
                      .memory_bytes = (uint64_t)1 << 30,
                      .out = out};
    out->max = 1 << 20;
    nx_buf_clear(out);
    return nx_child_run(job, err);
}

static void children(void **state)
{
    nx_buf   out = {0};
    nx_child job;
    nx_error err = {0};
    char    *big = calloc(1, 1 << 20);

    (void)state;
    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    assert_int_equal(run(&job, &out, "cat", (nx_str){big, 1 << 20}, 20, NULL, &err), NX_OK);
    assert_int_equal(job.status, 0);
    assert_int_equal(out.len, 1 << 20);
    assert_memory_equal(out.data, big, out.len);
    /* It doesn't listen, complains in odd bytes, and ends with a status. */
    assert_int_equal(run(&job, &out, "printf '\\001a\\377b\\nc' >&2; exit 7",
                         (nx_str){big, 1 << 20}, 20, NULL, &err),
                     NX_OK);
    assert_int_equal(job.status, 7);
    assert_string_equal(job.said, "a b");
    assert_int_equal(run(&job, &out, "kill -SEGV $$", NX_STR(""), 20, NULL, &err), NX_OK);
    assert_int_equal(job.status, -SIGSEGV);
    assert_int_equal(run(&job, &out, "cat /dev/zero", NX_STR(""), 20, NULL, &err), NX_ELIMIT);
    /* No descriptors of ours, few variables, no files. */
    int fd = dup(1);
    assert_int_equal(
        run(&job, &out,
            "read x; for i in 3 4 5 6 7 8 9; do (: >&$i) 2>/dev/null && echo $i; done; "
            "ulimit -f; ulimit -n; ulimit -v; env | wc -l",
            NX_STR("go\n"), 20, NULL, &err),
        NX_OK);
    close(fd);
    assert_true(strncmp(out.data, "0\n64\n1048576\n", 13) == 0);
    free(big);
    nx_buf_free(&out);
}

/* Time out and cancel kill it and all that it started. */
static void stopped(void **state)
{
    nx_buf      out = {0};
    nx_child    job;
    nx_error    err = {0};
    atomic_bool yes = true;
    char        script[128], count[160];

    (void)state;
    snprintf(script, sizeof script, "sleep 61.0%d & sleep 61.0%d & wait", (int)getpid(),
             (int)getpid());
    int64_t begin = nx_clock_ns();
    assert_int_equal(run(&job, &out, script, NX_STR(""), 1, NULL, &err), NX_ELIMIT);
    assert_true(nx_clock_ns() - begin < (int64_t)5000000000);
    assert_non_null(strstr(err.text, "1 s"));
    usleep(100000);
    snprintf(count, sizeof count,
             "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q 'sleep 61[.]0%d '",
             (int)getpid());
    assert_int_not_equal(system(count), 0);
    assert_int_equal(run(&job, &out, script, NX_STR(""), 20, &yes, &err), NX_ECANCELLED);
    /* It closes its outputs and stays. */
    assert_int_equal(run(&job, &out, "exec >&- 2>&-; sleep 60", NX_STR(""), 1, NULL, &err),
                     NX_ELIMIT);
    nx_buf_free(&out);
}

/* Many threads at once: nobody's child keeps another's pipe open, or its answer. */
static void *read_one(void *ctx)
{
    char              want[32], line[32];
    const char       *texts[] = {line};
    nx_extract_limits l = usual();
    nx_buf            bytes = {0};
    long              bad = 0;

    for (int i = 0; i < 8; i++) {
        nx_doc   doc = {0};
        nx_error err = {0};
        snprintf(line, sizeof line, "page of %d %d", *(int *)ctx, i);
        snprintf(want, sizeof want, "%s", line);
        pdf_make(&bytes, texts, 1, 1, "");
        nx_status st = nx_extract_pdf(&doc, NX_STR("x"), (nx_str){bytes.data, bytes.len}, &l, &err);
        bad += st || strcmp(doc.text.data, want) != 0;
        nx_doc_free(&doc);
    }
    nx_buf_free(&bytes);
    return (void *)(intptr_t)bad;
}

static void at_once(void **state)
{
    pthread_t t[4];
    int       number[4];

    (void)state;
    if (!has_pdftotext()) skip();
    for (int i = 0; i < 4; i++) {
        number[i] = i;
        assert_int_equal(pthread_create(&t[i], NULL, read_one, &number[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paragraphs), cmocka_unit_test(pages),   cmocka_unit_test(refusals),
        cmocka_unit_test(children),   cmocka_unit_test(stopped), cmocka_unit_test(at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
