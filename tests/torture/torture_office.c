/* torture_office.c - spoiled files of every kind that we take apart ourselves, and spoiled PDFs through pdftotext:
 * each is refused with one clear line, or read into a document that keeps its promises.
 *
 * NX_TORTURE_COUNT: files of each kind (500); of PDFs a twentieth of that. NX_SEED: where the dice begin.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/rag/office_files.h"
#include "../unit/rag/pdf_rig.h"
#include "rag/extract_in.h"
#include "rag/pdf_text.h"

static uint64_t dice = 1;

static uint32_t roll(uint32_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 16) % sides;
}

/* ---- Damage ---- */

/* What parsers trip over. */
static const char *const pieces[] = {
    "<",
    ">",
    "</",
    "/>",
    "&",
    "&amp;",
    "&#0;",
    "&#x10FFFF;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "\"",
    "'",
    "=\"",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "<p>",
    "</p>",
    "<t>",
    "<row>",
    "<c r=\"XFD1\">",
    "<v>99999999999999999999</v>",
    "-1",
    "4294967296",
    "1e308",
    "../",
    "%00",
    "\xFF\xFE",
    "\xC3",
    "\xED\xA0\x80",
    "\f",
    "\n\n",
    "-\n",
    "\xE2\x80\xA2\n",
    " xmlns:r=\"/relationships\"",
    "<table>",
    "<tr><td>",
    "<li>",
    "<pre>",
    "<h1>",
    "<div hidden>",
    "<tbl>",
    "<tc>",
};

/* One change to s[0..*n) of cap bytes. */
static void change(char *s, size_t *n, size_t cap)
{
    size_t at = *n ? roll((uint32_t)*n) : 0, k;

    switch (roll(6)) {
    case 0:
        if (*n) s[at] = (char)(s[at] ^ 1 << roll(8));
        break;
    case 1:
        if (*n) s[at] = (char)roll(256);
        break;
    case 2: /* cut out */
        k = roll(40) + 1;
        if (k > *n - at) k = *n - at;
        memmove(s + at, s + at + k, *n - at - k);
        *n -= k;
        break;
    case 3: /* cut off */
        if (roll(4) == 0) *n = at;
        break;
    case 4: { /* put in */
        const char *p = pieces[roll(sizeof pieces / sizeof *pieces)];
        k = strlen(p);
        if (*n + k > cap) break;
        memmove(s + at + k, s + at, *n - at);
        memcpy(s + at, p, k);
        *n += k;
        break;
    }
    default: /* say twice */
        k = roll(200) + 1;
        if (k > *n - at) k = *n - at;
        if (*n + k > cap) break;
        memmove(s + at + k, s + at, *n - at);
        *n += k;
    }
}

static void spoil(char *s, size_t *n, size_t cap)
{
    for (uint32_t i = roll(6) + 1; i; i--) change(s, n, cap);
}

/* ---- Promises ---- */

static void try(nx_extract_fn fn, const char *kind, const char *bytes, size_t n, uint32_t i,
                int *read)
{
    nx_extract_limits l = {64 << 20, 1 << 22, 200, 512, 100, 20, 100, NULL};
    nx_doc            doc = {0};
    nx_error          err = {0};
    char             *exact = malloc(n + !n); /* a sanitizer guards its end */

    if (!exact) exit(1);
    memcpy(exact, bytes, n);
    nx_status   st = fn(&doc, NX_STR("x"), (nx_str){exact, n}, &l, &err);
    const char *broken = NULL;
    if (st && (st != err.status || !err.text[0] || strchr(err.text, '\n')))
        broken = "an error without its line";
    if (st == NX_EINTERNAL || st == NX_EINVAL || st == NX_EIO) broken = err.text;
    if (!st && nx_doc_check(&doc, &err)) broken = err.text;
    if (broken) {
        fprintf(stderr, "%s, file %u: %s (%d, %d: %s)\n", kind, i, broken, st, err.status,
                err.text);
        exit(1);
    }
    *read += st == NX_OK;
    nx_doc_free(&doc);
    free(exact);
}

/* ---- Kinds ---- */

static char zip[1 << 20], text[1 << 20];

/* A zip file with one member spoiled, or a spoiled zip file. */
static size_t spoiled_zip(const zip_file *files)
{
    zip_file changed[16];
    int      n = 0;

    while (files[n].name) n++;
    memcpy(changed, files, (size_t)(n + 1) * sizeof *files);
    if (roll(3)) {
        zip_file *f = &changed[roll((uint32_t)n)];
        f->n = strlen(f->text);
        memcpy(text, f->text, f->n);
        spoil(text, &f->n, sizeof text);
        if (f->n == 0) text[f->n++] = ' ';
        f->text = text;
        return zip_make(zip, sizeof zip, changed);
    }
    size_t bytes = zip_make(zip, sizeof zip, files);
    spoil(zip, &bytes, sizeof zip);
    return bytes;
}

static void zips(uint32_t count)
{
    static const struct {
        const char     *name;
        nx_extract_fn   fn;
        const zip_file *files;
    } kinds[] = {{"docx", nx_extract_docx, docx_files},
                 {"pptx", nx_extract_pptx, pptx_files},
                 {"xlsx", nx_extract_xlsx, xlsx_files},
                 {"odt", nx_extract_odt, odt_files},
                 {"epub", nx_extract_epub, epub_files}};

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int read = 0;
        for (uint32_t i = 0; i < count; i++)
            try(kinds[k].fn, kinds[k].name, zip, spoiled_zip(kinds[k].files), i, &read);
        printf("%s: %u spoiled files, %d still readable\n", kinds[k].name, count, read);
    }
}

static nx_status pdf_text(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_watch   watch = nx_watch_start(limits);
    nx_compose c;

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_PDF, limits, err);
    nx_pdf_text_compose(&c, bytes, &watch);
    return nx_compose_finish(&c);
}

static void texts(const char *kind, nx_extract_fn fn, const char *base, uint32_t count)
{
    int read = 0;

    for (uint32_t i = 0; i < count; i++) {
        size_t n = strlen(base);
        memcpy(text, base, n);
        spoil(text, &n, sizeof text);
        try(fn, kind, text, n, i, &read);
    }
    printf("%s: %u spoiled files, %d still readable\n", kind, count, read);
}

static void pdfs(uint32_t count)
{
    static const char *const pages[] = {"First page\nof two", "Second page"};
    nx_buf                   bytes = {0};
    int                      read = 0;

    if (system("pdftotext -v >/dev/null 2>&1") != 0) {
        printf("pdf: no pdftotext here\n");
        return;
    }
    pdf_make(&bytes, pages, 2, 1, "");
    for (uint32_t i = 0; i < count; i++) {
        size_t n = bytes.len;
        memcpy(text, bytes.data, n);
        spoil(text, &n, sizeof text);
        try(nx_extract_pdf, "pdf", text, n, i, &read);
    }
    printf("pdf: %u spoiled files through pdftotext, %d still readable\n", count, read);
    nx_buf_free(&bytes);
}

int main(void)
{
    const char *counted = getenv("NX_TORTURE_COUNT"), *seed = getenv("NX_SEED");
    uint32_t    count = counted ? (uint32_t)strtoul(counted, NULL, 10) : 500;

    dice = (seed ? strtoull(seed, NULL, 10) : 1) * 0x9E3779B97F4A7C15u | 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    zips(count);
    texts(
        "html", nx_extract_html,
        "<!doctype html><title>t</title><meta charset=utf-8><h1>One <em>two</em></h1><p style='display:none'>x<p>y"
        "<ul><li>a<ol><li>b</ol></ul><pre>\n code\n</pre><table><thead><tr><th>A<th>B</thead><tr><td>1<td><p>2<tr>"
        "<td><h2>q</h2></table><nav>n</nav><main>m<br>n &amp; &eacute; &#x41;<script>s</script></main>",
        count);
    texts(
        "pdf text", pdf_text,
        "2.1 Method\nThis is the first line of a paragraph that is as wide as its col-\numn and goes on here.\n\n"
        "\xE2\x80\xA2 item\n\xE2\x80\xA2\n\nwords\n\f\n\f1. one\n2) two\nfour\f",
        count);
    pdfs(count / 20);
    return 0;
}
