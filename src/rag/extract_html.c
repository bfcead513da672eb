/* extract_html.c - web pages. */
#include "rag/extract_in.h"
#include "rag/html.h"

nx_status nx_extract_html(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_watch   watch = nx_watch_start(limits);
    nx_buf     html = {.max = (size_t)bytes.len * 4 + 64};
    nx_compose c;
    uint64_t   odd = 0;

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_HTML, limits, err);
    c.st = nx_html_utf8(&html, doc->encoding, bytes, &odd, err);
    nx_html_compose(&c, html.len ? (nx_str){html.data, html.len} : NX_STR(""), limits->depth,
                    &watch);
    if (odd)
        nx_compose_warn(&c, "%llu places are not valid %s", (unsigned long long)odd, doc->encoding);
    nx_buf_free(&html);
    return nx_compose_finish(&c);
}
