/* test_extract_roff.c - manual pages: words without macros, headings, items, code, tables; what attacks ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/alloc.h"
#include "extract_rig.h"

static void a_page_has_headings_items_and_code(void **state)
{
    nx_doc            doc;
    static const char p[] =
        ".\\\" a comment\n.TH LS 1 \"January 2026\" \"GNU\" \"User Commands\"\n.SH NAME\n"
        "ls \\- list directory contents\n.SH \"THE OPTIONS\"\nList \\fIfiles\\fR\n(\\fB\\-a\\fP).\n.PP\n"
        "Second.\n.TP\n\\fB\\-a\\fR, \\fB\\-\\-all\\fR\ndo not ignore\n.TP\n.BR \\-l \" [\" x ]\nlong\n"
        ".nf\n  $ ls -l \\e\n\n  x\n.fi\n.SS Sub\n.IP \\(bu 2\npoint\n.SH \"SEE ALSO\"\n.BR cat (1),\n.BR ls (1)\n";

    (void)state;
    assert_string_equal(
        rig_parts("ls.1", p, sizeof p - 1, &doc),
        "H1 NAME|P ls - list directory contents|H1 THE OPTIONS|P List files (-a).|P Second.|"
        "I -a, --all\ndo not ignore|I -l [x]\nlong|C   $ ls -l \\\n\n  x|H2 Sub|I \xE2\x80\xA2 point|"
        "H1 SEE ALSO|P cat(1), ls(1)");
    assert_string_equal(doc.title.data, "ls(1)");
    assert_int_equal(doc.kind, NX_DOC_ROFF);
    assert_int_equal(doc.origin, NX_ORIGIN_TEXT);
    nx_doc_free(&doc);
}

static void mdoc_is_read_too(void **state)
{
    (void)state;
    assert_string_equal(
        RIG_PARTS(
            "x.1",
            ".Dd January 1, 2026\n.Dt X 1\n.Os\n.Sh NAME\n.Nm x\n.Nd does it\n.Sh SYNOPSIS\n.Nm\n"
            ".Op Fl a\n.Ar file\n.Sh DESCRIPTION\n.Bl -tag -width a\n.It Fl a Ar b\ntext\n.El\n"
            ".Bd -literal\nint x;\n.Ed\n.Xr ls 1 .\n"),
        "H1 NAME|P x \xE2\x80\x94 does it|H1 SYNOPSIS|P x [-a] file|H1 DESCRIPTION|I -a b\ntext|C int x;|P ls(1).");
}

static void escapes_conditions_and_strings_are_decided(void **state)
{
    (void)state;
    assert_string_equal(
        RIG_PARTS("x.1", ".TH X 1\n\\(lqa\\(rq \\(em \\[u00E9] \\*(Xy\\s-1B\\s0 C\\&.\\\" no\n"),
        "P \xE2\x80\x9C"
        "a\xE2\x80\x9D \xE2\x80\x94 \xC3\xA9 B C.");
    assert_string_equal(RIG_PARTS("x.1",
                                  ".TH X 1\n.ds Q one\\\" c\n.ie n \\{\\\nterminal \\*Q\n.\\}\n"
                                  ".el \\{\\\npaper\n.\\}\n.if t no\n.de M\nbody\n..\n.M words\n"),
                        "P terminal one words");
}

static void tables_are_rows(void **state)
{
    (void)state;
    assert_string_equal(
        RIG_PARTS("x.1", ".TH X 1\n.TS\ntab(;);\nl l.\na;T{\nb\nc\nT}\n_\nd;e\n.TE\nafter\n"),
        "R a | b c|R d | e|P after");
}

/* pod2man's and rst2man's preambles are long, and hold lines that aren't requests. */
static void pages_that_are_pulled_in_are_named(void **state)
{
    (void)state;
    assert_string_equal(RIG_PARTS("x.1", ".TH X 1\nOne\n.so man1/y.1\n.so /etc/passwd\nEnd\n"),
                        "P One\nSee man1/y.1\nSee /etc/passwd\nEnd");
}

static void a_long_preamble_hides_no_page(void **state)
{
    char   page[16384];
    size_t n = 0;
    nx_doc doc;

    (void)state;
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(page + n, sizeof page - n, ".\\\" comment %d\n", i);
    n += (size_t)snprintf(page + n, sizeof page - n,
                          ".de1 X\n\\\\$1\ntext\n..\n.TH P 3pm\n.SH NAME\np\n");
    assert_string_equal(rig_parts("p.3pm", page, n, &doc), "H1 NAME|P p");
    assert_int_equal(doc.kind, NX_DOC_ROFF);
    nx_doc_free(&doc);
    /* A log that was put aside is none. */
    rig_parts("syslog.1", "one\n.TH two\n", 12, &doc);
    assert_int_equal(doc.kind, NX_DOC_TEXT);
    nx_doc_free(&doc);
}

/* n bytes of c, gzipped: *packed (nx_free). */
static size_t gzip(char **packed, const char *bytes, size_t n)
{
    z_stream z = {0};
    size_t   room = n + 4096;

    *packed = nx_alloc(room, 1);
    assert_non_null(*packed);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)*packed;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static void packed_pages_are_read_and_bombs_refused(void **state)
{
    static const char page[] = ".TH X 1\n.SH NAME\nx\n";
    char             *packed, *zeros = nx_calloc(32 << 20, 1);
    size_t            n = gzip(&packed, page, sizeof page - 1);

    (void)state;
    assert_non_null(zeros);
    assert_string_equal(rig_parts("x.1.gz", packed, n, NULL), "H1 NAME|P x");
    assert_non_null(
        strstr(rig_parts("x.1.gz", packed, n - 9, NULL), "error: gzip data ends too soon"));
    nx_free(packed);
    n = gzip(&packed, zeros, 32 << 20);
    assert_non_null(strstr(rig_parts("x.1.gz", packed, n, NULL), "a bomb"));
    nx_free(packed);
    nx_free(zeros);
}

/* Strings made of themselves, conditions in conditions, lists in lists: each ends, soon. */
static void attacks_end(void **state)
{
    nx_buf b = {.max = 8 << 20};

    (void)state;
    assert_int_equal(nx_buf_addf(&b, NULL, ".TH X 1\n.ds X "), NX_OK);
    for (int i = 0; i < 1000; i++) assert_int_equal(nx_buf_addf(&b, NULL, "\\*X"), NX_OK);
    assert_int_equal(nx_buf_addf(&b, NULL, "\n\\*X\\*X end\n.if n "), NX_OK);
    for (int i = 0; i < 100000; i++) assert_int_equal(nx_buf_addf(&b, NULL, ".if n "), NX_OK);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(nx_buf_addf(&b, NULL, "\n.Bl -tag\n.RS"), NX_OK);
    assert_non_null(strstr(rig_parts("x.1", b.data, b.len, NULL), "P end"));
    nx_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_has_headings_items_and_code),
        cmocka_unit_test(mdoc_is_read_too),
        cmocka_unit_test(escapes_conditions_and_strings_are_decided),
        cmocka_unit_test(tables_are_rows),
        cmocka_unit_test(pages_that_are_pulled_in_are_named),
        cmocka_unit_test(a_long_preamble_hides_no_page),
        cmocka_unit_test(packed_pages_are_read_and_bombs_refused),
        cmocka_unit_test(attacks_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
