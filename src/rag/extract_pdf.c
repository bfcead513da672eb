/* extract_pdf.c - PDF files, by pdftotext in a child process under limits.
 *
 * Idea:   we never parse a PDF: what takes its text out may crash, hang or eat memory, and then dies alone. It is
 *         asked for one page more than the limit, so a file of too many pages is known as such early.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "rag/child.h"
#include "rag/extract_in.h"
#include "rag/pdf_text.h"

#define MEMORY_BYTES ((uint64_t)2 << 30)

/* Why it took no text, in our words. */
static nx_status failed(const nx_child *job, nx_error *err)
{
    if (strstr(job->said, "ncorrect password"))
        return nx_fail(err, NX_EUNSUPPORTED, "encrypted: needs a password");
    if (job->status == 3 || strstr(job->said, "ermission"))
        return nx_fail(err, NX_EUNSUPPORTED, "protected: it doesn't allow its text to be copied");
    if (job->status == -SIGXCPU || job->status == -SIGKILL)
        return nx_fail(err, NX_ELIMIT, "reading it takes more than %d s (the limit)",
                       job->watch->seconds);
    if (job->status < 0 || strstr(job->said, "bad_alloc") || strstr(job->said, "Out of memory"))
        return nx_fail(err, NX_EFORMAT, "damaged PDF: pdftotext ended by signal %d%s%s",
                       -job->status, job->said[0] ? ": " : "", job->said);
    return nx_fail(err, NX_EFORMAT, "damaged PDF: %s",
                   job->said[0] ? job->said : "pdftotext failed");
}

static nx_status read_text(nx_buf *text, nx_str bytes, const nx_extract_limits *limits,
                           nx_watch *watch, nx_error *err)
{
    char        last[16];
    int32_t     pages = limits->pages > 0 && limits->pages < INT32_MAX ? limits->pages : 1;
    const char *argv[] = {"pdftotext", "-enc", "UTF-8", "-l", last, "-", "-", NULL};
    nx_child    job = {
           .argv = argv, .input = bytes, .watch = watch, .memory_bytes = MEMORY_BYTES, .out = text};

    snprintf(last, sizeof last, "%d", pages + 1);
    nx_status st = nx_child_run(&job, err);
    if (st == NX_ENOENT)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "no pdftotext here, which reads PDF files: apt-get install poppler-utils");
    if (st) return st;
    if (job.status != 0) return failed(&job, err);
    if (text->len == 0)
        return nx_fail(err, NX_EFORMAT, "damaged PDF: %s",
                       job.said[0] ? job.said : "it has no pages");
    if (nx_pdf_count_pages((nx_str){text->data, text->len}) > pages)
        return nx_fail(err, NX_ELIMIT, "more than %d pages (the limit)", pages);
    return NX_OK;
}

nx_status nx_extract_pdf(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                         nx_error *err)
{
    nx_watch   watch = nx_watch_start(limits);
    nx_buf     text = {.max = (size_t)limits->text_bytes};
    nx_compose c;

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_PDF, limits, err);
    doc->place = NX_PLACE_PAGE;
    nx_status st = read_text(&text, bytes, limits, &watch, err);
    if (!st) st = nx_pdf_text_compose(&c, (nx_str){text.data, text.len}, &watch);
    nx_buf_free(&text);
    return st ? st : nx_compose_finish(&c);
}
