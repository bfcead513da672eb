/* Protects: what office files and books say comes out in order, under its headings, with its place; what attacks
 * (bombs, entities, depth, damage, too much of anything) ends in one clear line and leaves an empty document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "office_files.h"
#include "rag/archive.h"
#include "rag/cell_format.h"
#include "rag/extract_in.h"

typedef nx_status (*extract_fn)(nx_doc *, nx_str, nx_str, const nx_extract_limits *, nx_error *);

static char zip[1 << 20];

static nx_extract_limits usual(void)
{
    return (nx_extract_limits){64 << 20, 64 << 20, 200, 512, 5000, 60, 10000, NULL};
}

static nx_status extract(extract_fn fn, nx_doc *doc, size_t n, const nx_extract_limits *l,
                         nx_error *err)
{
    *doc = (nx_doc){0};
    nx_status st = fn(doc, NX_STR("x"), (nx_str){zip, n}, l, err);

    if (st) {
        assert_int_equal(err->status, st);
        assert_null(strchr(err->text, '\n'));
    } else {
        assert_int_equal(nx_doc_check(doc, err), NX_OK);
    }
    return st;
}

static void check(extract_fn fn, const zip_file *files, const char *title, const char *want,
                  const char *warnings)
{
    nx_extract_limits l = usual();
    nx_doc            doc;
    nx_error          err = {0};
    nx_buf            shape = {0};

    if (extract(fn, &doc, zip_make(zip, sizeof zip, files), &l, &err)) fail_msg("%s", err.text);
    zip_shape(&shape, &doc);
    assert_string_equal(shape.data, want);
    assert_string_equal(doc.title.data ? doc.title.data : "", title);
    assert_string_equal(doc.warnings.data ? doc.warnings.data : "", warnings);
    nx_buf_free(&shape);
    nx_doc_free(&doc);
}

static void word(void **state)
{
    (void)state;
    check(
        nx_extract_docx, docx_files, "Word & title",
        "H1 Top\nP One two three\nP A note.\nI item\nH2 Sub\nT Name | Age\nR Ann Lee | 41\nP box\n",
        "");
}

static void powerpoint(void **state)
{
    (void)state;
    check(nx_extract_pptx, pptx_files, "Plan",
          "H1@1 Plan\nI@1 point\nP@1 say this\nH1@2 Slide 2\nT@2 k | v\n", "");
}

static void excel(void **state)
{
    (void)state;
    check(nx_extract_xlsx, xlsx_files, "",
          "H1@1 Staff\nP@1 All staff\nT@1 Name | Since |  | Part\nR@1 Ann | 2024-03-01 |  | 25%\n"
          "R@1  | TRUE | 0.3\nH1@2 List\nT@2 h\nR@2 1\n",
          "");
}

static void opendocument(void **state)
{
    (void)state;
    check(nx_extract_odt, odt_files, "Odt title",
          "H2 Head\nP Some text more\nP the note\nI item\nT a | b\nR x | x\n", "");
}

static void book(void **state)
{
    (void)state;
    check(nx_extract_epub, epub_files, "A Book", "H1 One\nP caf\xC3\xA9 & bar\nH1 Two\nP words\n",
          "chapter 4 is missing\n");
}

static void formats(void **state)
{
    char out[NX_CELL_TEXT_MAX];
    const struct {
        const char *code, *value, *want;
    } t[] = {
        {"General", "0.1", "0.1"},
        {"General", "0.10000000000000001", "0.1"},
        {"0.0%", "0.125", "12.5%"},
        {"yyyy-mm-dd", "1", "1900-01-01"},
        {"d/m/yy", "59", "1900-02-28"},
        {"d/m/yy", "60", "1900-02-29"},
        {"d/m/yy", "61", "1900-03-01"},
        {"d.m.yyyy hh:mm", "45352.5", "2024-03-01 12:00"},
        {"hh:mm:ss", "0.5003", "12:00:26"},
        {"[h]:mm", "1.5", "36:00"},
        {"[Red]0.00", "5", "5"},
        {"\"day\" 0", "5", "5"},
        {"0.00E+00", "12", "12"},
        {"mmm", "45352", "2024-03-01"},
        {"yyyy", "2958465", "9999-12-31"},
        {"yyyy", "-5", "-5"},
        {"yyyy", "1e300", "1e300"},
        {"yyyy", "nan", "nan"},
        {"0", "0x10", "0x10"},
        {"0", "", ""},
        {"d", "45351.9999999", "2024-03-01"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        nx_cell_text(out, nx_str_of(t[i].value), nx_cell_kind_of_code(nx_str_of(t[i].code)), false);
        assert_string_equal(out, t[i].want);
    }
    nx_cell_text(out, NX_STR("0"), NX_CELL_DATE, true);
    assert_string_equal(out, "1904-01-01");
    nx_cell_text(out, NX_STR("43890"), NX_CELL_DATE, true);
    assert_string_equal(out, "2024-03-01");
}

static void paths(void **state)
{
    const struct {
        const char *from, *target, *want;
        bool        url;
    } t[] = {
        {"ppt/slides/b.xml", "../media/a.xml", "ppt/media/a.xml", true},
        {"ppt/b.xml", "/x/y", "x/y", true},
        {"a/b", "../../../../etc/passwd", "etc/passwd", true},
        {"a/b", "c%20d#e", "a/c d", true},
        {"a/b", "c%20d", "a/c%20d", false},
        {"", "./x//y/", "x/y", true},
        {"a/b", "", "a", true},
    };
    nx_buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(
            nx_archive_resolve(&out, nx_str_of(t[i].from), nx_str_of(t[i].target), t[i].url, NULL),
            NX_OK);
        assert_int_equal(out.len, strlen(t[i].want));
        assert_memory_equal(out.data, t[i].want, out.len);
    }
    nx_buf_free(&out);
}

/* ---- Attacks ---- */

static const struct {
    extract_fn      fn;
    const zip_file *files;
    const char     *main;
} kinds[] = {
    {nx_extract_docx, docx_files, "word/document.xml"},
    {nx_extract_pptx, pptx_files, "ppt/slides/slide2.xml"},
    {nx_extract_xlsx, xlsx_files, "xl/worksheets/sheet1.xml"},
    {nx_extract_odt, odt_files, "content.xml"},
    {nx_extract_epub, epub_files, "OEBPS/book.opf"},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* The file with its main member replaced. */
static size_t with_main(int k, const char *text, size_t n)
{
    zip_file files[16];
    size_t   i = 0;

    for (; kinds[k].files[i].name; i++) {
        files[i] = kinds[k].files[i];
        if (strcmp(files[i].name, kinds[k].main) == 0) files[i].text = text, files[i].n = n;
    }
    files[i] = (zip_file){NULL, NULL, 0};
    return zip_make(zip, sizeof zip, files);
}

static void refused(int k, size_t n, const nx_extract_limits *l, nx_status want, const char *says)
{
    nx_doc    doc;
    nx_error  err = {0};
    nx_status st = extract(kinds[k].fn, &doc, n, l, &err);

    if (st != want || !strstr(err.text, says))
        fail_msg("%s: %d %s; expected %d %s", kinds[k].main, st, err.text, want, says);
    nx_doc_free(&doc);
}

static void bombs(void **state)
{
    nx_extract_limits l = usual();
    size_t            n = (size_t)70 << 20;
    char             *blanks = malloc(n);

    (void)state;
    assert_non_null(blanks);
    memset(blanks, ' ', n);
    for (int k = 0; k < N_KINDS; k++)
        refused(k, with_main(k, blanks, n), &l, NX_ELIMIT, "zip bomb");
    l.ratio = 1000000;
    for (int k = 0; k < N_KINDS; k++)
        refused(k, with_main(k, blanks, n), &l, NX_ELIMIT, "(the limit)");
    free(blanks);
}

static void entities(void **state)
{
    static const char laughs[] =
        "<!DOCTYPE a [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">]><a>&b;</a>";
    static const char outside[] =
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
    static const char param[] =
        "<!DOCTYPE a [<!ENTITY % p SYSTEM \"http://127.0.0.1:9/\"> %p;]><a/>";
    nx_extract_limits l = usual();

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        refused(k, with_main(k, laughs, 0), &l, NX_EFORMAT, "entities");
        refused(k, with_main(k, outside, 0), &l, NX_EFORMAT, "entities");
        refused(k, with_main(k, param, 0), &l, NX_EFORMAT, "entities");
        refused(k, with_main(k, "<a>&nothing;</a>", 0), &l, NX_EFORMAT, "line 1");
        refused(k, with_main(k, "<a><b></a>", 0), &l, NX_EFORMAT, "line 1");
    }
}

static void depth(void **state)
{
    nx_extract_limits l = usual();
    char             *text = malloc(300001);

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < 100000; i++) memcpy(text + 3 * i, "<a>", 4);
    for (int k = 0; k < N_KINDS; k++)
        refused(k, with_main(k, text, 300000), &l, NX_ELIMIT, "nested deeper");
    free(text);
}

/* Thousands of attributes: quadratic work for a parser, were there no limit. */
static void attributes(void **state)
{
    enum { N = 60000 };
    nx_extract_limits l = usual();
    char             *text = malloc(N * 16 + 16);
    size_t            n = 2;

    (void)state;
    assert_non_null(text);
    memcpy(text, "<a", 3);
    for (int i = 0; i < N; i++) n += (size_t)sprintf(text + n, " a%x='1'", (unsigned)i);
    n += (size_t)sprintf(text + n, "/>");
    for (int k = 0; k < N_KINDS; k++) {
        nx_doc   doc;
        nx_error err = {0};
        extract(kinds[k].fn, &doc, with_main(k, text, n), &l, &err);
        nx_doc_free(&doc);
    }
    free(text);
}

static void limits(void **state)
{
    atomic_bool       yes = true;
    nx_extract_limits l = usual();

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        size_t n = zip_make(zip, sizeof zip, kinds[k].files);
        l = usual(), l.members = 2;
        refused(k, n, &l, NX_ELIMIT, "more than 2 files");
        l = usual(), l.text_bytes = 5;
        refused(k, n, &l, NX_ELIMIT, "the limit");
        l = usual(), l.cancel = &yes;
        refused(k, n, &l, NX_ECANCELLED, "cancelled");
    }
    l = usual(), l.pages = 1;
    refused(1, zip_make(zip, sizeof zip, pptx_files), &l, NX_ELIMIT, "more than 1 slides");
    refused(2, zip_make(zip, sizeof zip, xlsx_files), &l, NX_ELIMIT, "more than 1 sheets");
}

static void not_what_it_says(void **state)
{
    static const zip_file other[] = {{"a.txt", "b", 0}, {NULL, NULL, 0}};
    nx_extract_limits     l = usual();

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        refused(k, zip_make(zip, sizeof zip, other), &l, NX_EFORMAT, "without");
        memset(zip, 'x', 1000);
        refused(k, 1000, &l, NX_EFORMAT, "damaged archive");
        refused(k, 0, &l, NX_EFORMAT, "damaged archive");
        size_t n = zip_make(zip, sizeof zip, kinds[k].files);
        refused(k, n / 2, &l, NX_EFORMAT, "damaged archive");
    }
}

/* The number of the packing, in both of a member's headers, says lzma; then that it is encrypted. */
static void packing(void **state)
{
    nx_extract_limits l = usual();

    (void)state;
    for (int flags = 0; flags < 2; flags++) {
        size_t n = zip_make(zip, sizeof zip, odt_files);
        for (size_t i = 0; i + 12 < n; i++) {
            size_t at = memcmp(zip + i, "PK\3\4", 4) == 0   ? i + 6
                        : memcmp(zip + i, "PK\1\2", 4) == 0 ? i + 8
                                                            : 0;
            if (at && flags) zip[at] |= 1;
            if (at && !flags) zip[at + 2] = 14;
        }
        refused(3, n, &l, flags ? NX_EUNSUPPORTED : NX_EFORMAT,
                flags ? "encrypted" : "packed in a way");
    }
}

static void without_memory(void **state)
{
    nx_extract_limits l = usual();

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        size_t    n = zip_make(zip, sizeof zip, kinds[k].files);
        nx_status st = NX_ENOMEM;
        for (int64_t after = 0; st; after++) {
            nx_doc   doc;
            nx_error err = {0};
            nx_alloc_fail_after(after);
            doc = (nx_doc){0};
            st = kinds[k].fn(&doc, NX_STR("x"), (nx_str){zip, n}, &l, &err);
            nx_alloc_fail_after(-1);
            if (st) assert_int_equal(st, NX_ENOMEM);
            nx_doc_free(&doc);
            assert_true(after < 10000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word),
        cmocka_unit_test(powerpoint),
        cmocka_unit_test(excel),
        cmocka_unit_test(opendocument),
        cmocka_unit_test(book),
        cmocka_unit_test(formats),
        cmocka_unit_test(paths),
        cmocka_unit_test(bombs),
        cmocka_unit_test(entities),
        cmocka_unit_test(depth),
        cmocka_unit_test(attributes),
        cmocka_unit_test(limits),
        cmocka_unit_test(not_what_it_says),
        cmocka_unit_test(packing),
        cmocka_unit_test(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
