/* fuzz_extract_pdf_text.c - any bytes as what pdftotext says. */
#include "extracted.h"
#include "rag/pdf_text.h"

static nx_status read_text(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                           nx_error *err)
{
    nx_watch   watch = nx_watch_start(limits);
    nx_compose c;

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_PDF, limits, err);
    nx_pdf_text_compose(&c, bytes, &watch);
    nx_status st = nx_compose_finish(&c);
    if (!st && doc->n_pages != nx_pdf_count_pages(bytes)) abort();
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 1 << 16) fuzz_extract(read_text, data, size);
    return 0;
}
