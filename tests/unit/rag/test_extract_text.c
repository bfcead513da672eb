/* test_extract_text.c - plain text, Markdown and code become parts; encodings; what is no text is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "rag/extract.h"

/* "H1 Title|P text|I item|C code|T head|R row": parts as one line. */
static const char *parts_of(const char *name, const char *bytes, size_t n, nx_doc *keep)
{
    static char       out[4096];
    static const char letters[] = "HPICTR=";
    nx_doc            doc;
    nx_error          err = {0};
    size_t            at = 0;

    out[0] = '\0';
    if (nx_extract(&doc, nx_str_of(name), NX_STR(""), bytes, n, NULL, &err)) {
        snprintf(out, sizeof out, "error: %s", err.text);
        return out;
    }
    for (size_t i = 0; i < doc.n_parts; i++) {
        const nx_part *p = &doc.parts[i];
        bool           heading = p->kind == NX_PART_HEADING;
        uint64_t       b = heading ? p->name_begin : p->begin, e = heading ? p->name_end : p->end;
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%c", i ? "|" : "", letters[p->kind]);
        if (heading) at += (size_t)snprintf(out + at, sizeof out - at, "%d", p->level);
        at += (size_t)snprintf(out + at, sizeof out - at, " %.*s", (int)(e - b), doc.text.data + b);
    }
    if (keep)
        *keep = doc;
    else
        nx_doc_free(&doc);
    return out;
}

#define PARTS(name, text) parts_of(name, text, sizeof(text) - 1, NULL)

static void prose_has_paragraphs_items_and_headings(void **state)
{
    (void)state;
    assert_string_equal(PARTS("a.txt", "Title\n=====\n\nOne\ntwo.\n\n- a\n- b\n  c\n\r\nLast"),
                        "H1 Title|P One\ntwo.|I - a|I - b\n  c|P Last");
    assert_string_equal(PARTS("a.txt", ""), "");
    assert_string_equal(PARTS("a", "\n \n"), "");
    assert_string_equal(PARTS("README", "\xEF\xBB\xBFHello"), "P Hello");
}

static void markdown_has_its_blocks(void **state)
{
    (void)state;
    assert_string_equal(PARTS("a.md", "# One #\ntext\nmore\n\nTwo\n---\n```c\n# no\n\nint x;\n```\n"
                                      "| a | b |\n|---|--:|\n| 1 | 2 |\n| 3 | 4 |\n\n1. x\n2. y\n"),
                        "H1 One|P text\nmore|H2 Two|C ```c\n# no\n\nint x;\n```|T | a | b |\n"
                        "|---|--:||R | 1 | 2 ||R | 3 | 4 ||I 1. x|I 2. y");
    assert_string_equal(PARTS("a.md", "---\ntitle: x\n---\n#hash\n\n    code\n\n***\nend"),
                        "P title: x\n|P #hash|C     code|P end");
}

static void code_stays_in_functions(void **state)
{
    (void)state;
    assert_string_equal(PARTS("a.c", "int a(void)\n{\n    x();\n\n    y();\n}\n\nint b;\n"),
                        "C int a(void)\n{\n    x();\n\n    y();\n}|C int b;");
    assert_string_equal(PARTS("run", "#!/bin/sh\necho\n"), "C #!/bin/sh\necho");
}

static void other_encodings_become_utf8(void **state)
{
    nx_doc doc;

    (void)state;
    assert_string_equal(parts_of("a.txt", "caf\xE9 \x80", 6, &doc), "P caf\xC3\xA9 \xE2\x82\xAC");
    assert_string_equal(doc.encoding, "windows-1252");
    assert_int_equal(doc.origin, NX_ORIGIN_TEXT);
    nx_doc_free(&doc);
    assert_string_equal(parts_of("a.txt", "\xFF\xFEh\0i\0\xE9\0", 8, &doc), "P hi\xC3\xA9");
    assert_string_equal(doc.encoding, "utf-16le");
    nx_doc_free(&doc);
    assert_string_equal(parts_of("a.txt", "h\0e\0l\0l\0o\0", 10, NULL), "P hello");
    assert_string_equal(parts_of("a.txt", "\xC3\xA9\xC3\xA9\xC3\xA9\xFF", 7, &doc),
                        "P \xC3\xA9\xC3\xA9\xC3\xA9\xC3\xBF");
    assert_non_null(strstr(doc.warnings.data, "mixed encodings: 1 bytes"));
    nx_doc_free(&doc);
}

static void a_text_in_utf8_is_the_file(void **state)
{
    static const char text[] = "\xEF\xBB\xBF# \xC3\xA4\r\n\r\nb\r\n";
    nx_doc            doc;

    (void)state;
    assert_string_equal(parts_of("a.md", text, sizeof text - 1, &doc), "H1 \xC3\xA4|P b");
    assert_int_equal(doc.origin, NX_ORIGIN_FILE);
    assert_int_equal(doc.text.len, sizeof text - 1);
    assert_memory_equal(doc.text.data, text, sizeof text - 1);
    assert_string_equal(doc.title.data, "\xC3\xA4");
    nx_doc_free(&doc);
}

static void what_is_no_text_is_refused(void **state)
{
    static const char png[] = "\x89PNG\r\n\x1A\n\0\0\0\rIHDR";
    nx_extract_limits l;
    nx_error          err = {0};
    nx_doc            doc;

    (void)state;
    assert_non_null(strstr(parts_of("a.txt", png, sizeof png, NULL), "error: it is a PNG image"));
    assert_non_null(strstr(PARTS("a.bin", "\0\0\0\0\1\2\3\4\0\0\0\0"), "error: it is not a text"));
    nx_extract_limits_default(&l);
    l.file_bytes = 4;
    assert_int_equal(nx_extract(&doc, NX_STR("a"), NX_STR(""), "12345", 5, &l, &err), NX_ELIMIT);
    assert_true(nx_extract_hopeless(NX_STR("x/y.PNG")));
    assert_false(nx_extract_hopeless(NX_STR("x.png/README")));
}

static void one_long_line_is_read_in_linear_time(void **state)
{
    size_t   n = 8 << 20;
    char    *line = nx_alloc(n, 1);
    nx_doc   doc;
    nx_error err = {0};

    (void)state;
    for (size_t i = 0; i < n; i++) line[i] = i % 2 ? '|' : '-';
    assert_int_equal(nx_extract(&doc, NX_STR("a.md"), NX_STR(""), line, n, NULL, &err), NX_OK);
    nx_doc_free(&doc);
    memset(line, '>', n);
    assert_int_equal(nx_extract(&doc, NX_STR("a.md"), NX_STR(""), line, n, NULL, &err), NX_OK);
    nx_doc_free(&doc);
    nx_free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prose_has_paragraphs_items_and_headings),
        cmocka_unit_test(markdown_has_its_blocks),
        cmocka_unit_test(code_stays_in_functions),
        cmocka_unit_test(other_encodings_become_utf8),
        cmocka_unit_test(a_text_in_utf8_is_the_file),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(one_long_line_is_read_in_linear_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
