/* pdf_rig.h - PDF files made in memory: pages of lines in Helvetica. */
#ifndef NX_TESTS_PDF_RIG_H
#define NX_TESTS_PDF_RIG_H

#include <stdlib.h>

#include "base/buf.h"

/* One page for each of the n texts, whose lines are divided by '\n' ("": a page without words), copies times over.
 * extra goes into the trailer. Brackets and backslashes in text are the caller's to escape. */
static inline void pdf_make(nx_buf *out, const char *const *texts, int n, int copies,
                            const char *extra)
{
    int     n_pages = n * copies, n_objects = 3 + 2 * n_pages;
    size_t *at = calloc((size_t)n_objects + 1, sizeof *at);
    nx_buf  page = {.max = 1 << 20};

    if (!at) abort();
    out->max = (size_t)1 << 30;
    nx_buf_clear(out);
    nx_buf_addf(out, NULL, "%%PDF-1.4\n");
    at[1] = out->len;
    nx_buf_addf(out, NULL, "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n");
    at[2] = out->len;
    nx_buf_addf(out, NULL, "2 0 obj<</Type/Pages/Count %d/Kids[", n_pages);
    for (int i = 0; i < n_pages; i++) nx_buf_addf(out, NULL, "%d 0 R ", 4 + 2 * i);
    nx_buf_addf(out, NULL, "]>>endobj\n");
    at[3] = out->len;
    nx_buf_addf(
        out, NULL,
        "3 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>endobj\n");
    for (int i = 0; i < n_pages; i++) {
        const char *s = texts[i % n];
        nx_buf_clear(&page);
        nx_buf_addf(&page, NULL, "BT /F1 11 Tf 12 TL 50 780 Td ");
        while (*s) {
            size_t k = 0;
            while (s[k] && s[k] != '\n') k++;
            nx_buf_addf(&page, NULL, "(%.*s) Tj T* ", (int)k, s);
            s += k + (s[k] == '\n');
        }
        nx_buf_addf(&page, NULL, "ET");
        at[4 + 2 * i] = out->len;
        nx_buf_addf(
            out, NULL,
            "%d 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
            "/Contents %d 0 R>>endobj\n",
            4 + 2 * i, 5 + 2 * i);
        at[5 + 2 * i] = out->len;
        nx_buf_addf(out, NULL, "%d 0 obj<</Length %zu>>stream\n%s\nendstream endobj\n", 5 + 2 * i,
                    page.len, page.data);
    }
    size_t xref = out->len;
    nx_buf_addf(out, NULL, "xref\n0 %d\n0000000000 65535 f \n", n_objects + 1);
    for (int i = 1; i <= n_objects; i++) nx_buf_addf(out, NULL, "%010zu 00000 n \n", at[i]);
    nx_buf_addf(out, NULL, "trailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%zu\n%%%%EOF\n",
                n_objects + 1, extra, xref);
    nx_buf_free(&page);
    free(at);
}

#endif
