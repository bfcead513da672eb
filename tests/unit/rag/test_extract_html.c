/* Protects: what a reader of a page sees comes out in its blocks; what is hidden doesn't; encodings as browsers
 * have them; and pages that attack take bounded time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "rag/extract_in.h"
#include "zip_rig.h"

static nx_extract_limits usual(void)
{
    return (nx_extract_limits){64 << 20, 64 << 20, 200, 512, 5000, 60, 10000, NULL};
}

static nx_status html(nx_doc *doc, const char *text, size_t n, nx_error *err)
{
    nx_extract_limits l = usual();

    *doc = (nx_doc){0};
    nx_status st = nx_extract_html(doc, NX_STR("x.html"), (nx_str){text, n}, &l, err);
    if (!st) assert_int_equal(nx_doc_check(doc, err), NX_OK);
    return st;
}

static void check(const char *text, const char *want)
{
    nx_doc   doc;
    nx_error err = {0};
    nx_buf   shape = {0};

    if (html(&doc, text, strlen(text), &err)) fail_msg("%s", err.text);
    zip_shape(&shape, &doc);
    assert_string_equal(shape.data ? shape.data : "", want);
    nx_buf_free(&shape);
    nx_doc_free(&doc);
}

static void blocks(void **state)
{
    (void)state;
    check(
        "<h1>One <em>two</em></h1><p>Hello&nbsp;w&ouml;rld, bo<b>ld</b><br>line\n two<p>next<div>d</div>tail",
        "H1 One two\nP Hello w\xC3\xB6rld, bold\nline two\nP next\nP d\nP tail\n");
    check("<ul><li>a<li>b<ol><li>x<li><p>y</ol></ul>z", "I a\nI b\nI 1. x\nI 2. y\nP z\n");
    check("<p>a<pre>\n  code {\n     x\n  }\n</pre>b", "P a\nC   code {\n     x\n  }\nP b\n");
    check("<dl><dt>t<dd>d</dl><blockquote>q</blockquote>", "I t\nI d\nP q\n");
    check("", "");
    check("just text &lt;b> &#x41;&bogus;", "P just text <b> A&bogus;\n");
}

static void tables(void **state)
{
    (void)state;
    check(
        "<table><caption>c</caption><tr><th>A</th><th>B</th></tr><tr><td>1<td></tr><tr><td><td>4<p>p</p></table>",
        "P c\nT A | B\nR 1\nR  | 4 p\n");
    check("<table><thead><tr><td>A<td>B</thead><tbody><tr><th>x<td>y</table>e",
          "T A | B\nR x | y\nP e\n");
    check("<table><tr><td><h2>L</h2>x<td>y</table>", "H2 L\nP x\nP y\n");
    check("<table><tr><td>a<table><tr><th>i<th>j<tr><td>1<td>2</table>b<td>c</table>d",
          "P a\nT i | j\nR 1 | 2\nP b\nP c\nP d\n");
}

static void hidden(void **state)
{
    (void)state;
    check(
        "<head><style>s{}</style><script>var a='<p>no</p>';</script></head><nav><a>Home</a><ul><li>x</ul></nav>"
        "<p>yes<div hidden>no<p>no</div><div style='color:red; DISPLAY : none'>no</div><span aria-hidden=true>no</span>"
        "<img hidden>yes<noscript>no</noscript><template>no</template><svg><text>no</text></svg>",
        "P yes\nP yes\n");
    check("<nav>menu<p>more<main><p>text</main>", "P text\n");
    check("<body style='display:none'><p>x", "P x\n");
}

static void titles(void **state)
{
    const char *const t[][2] = {
        {"<title> A &amp;\n b </title><h1>c</h1>", "A & b"},
        {"<h2>x</h2><h1>c  d</h1>", "c d"},
        {"<p>x", ""},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        nx_doc   doc;
        nx_error err = {0};
        assert_int_equal(html(&doc, t[i][0], strlen(t[i][0]), &err), NX_OK);
        assert_string_equal(doc.title.data ? doc.title.data : "", t[i][1]);
        nx_doc_free(&doc);
    }
}

static void encodings(void **state)
{
    const struct {
        const char *text;
        size_t      n;
        const char *encoding, *want;
    } t[] = {
        {"caf\xC3\xA9", 5, "utf-8", "caf\xC3\xA9"},
        {"caf\xE9", 4, "windows-1252", "caf\xC3\xA9"},
        {"\xEF\xBB\xBF"
         "a",
         4, "utf-8", "a"},
        {"\xFF\xFE"
         "a\0\xE9\0",
         6, "utf-16le", "a\xC3\xA9"},
        {"<meta charset=\"ISO-8859-1\">\x80", 28, "windows-1252", "\xE2\x82\xAC"},
        {"<meta charset=koi8-r>\xC1", 22, "koi8-r", "\xD0\xB0"},
        {"<meta http-equiv=x content='text/html; charset=Shift_JIS'>\x82\xA0", 60, "cp932",
         "\xE3\x81\x82"},
        {"<meta charset=nonsense>\xE9", 24, "windows-1252", "\xC3\xA9"},
        {"<meta charset=utf-7>+ADw-", 25, "utf-8", "+ADw-"},
        {"<meta charset=utf-8>a\xE9z", 23, "utf-8", "a\xEF\xBF\xBDz"},
        {"<?xml version='1.0' encoding='windows-1251'?><p>\xE0", 50, "windows-1251", "\xD0\xB0"},
        {"a\0b", 3, "utf-8", "a b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        nx_doc   doc;
        nx_error err = {0};
        assert_int_equal(html(&doc, t[i].text, t[i].n, &err), NX_OK);
        assert_string_equal(doc.text.data, t[i].want);
        assert_string_equal(doc.encoding, t[i].encoding);
        nx_doc_free(&doc);
    }
}

/* piece, n times over, between two others. */
static void attack(const char *piece, size_t n, const char *tail, nx_status want)
{
    size_t   k = strlen(piece), m = strlen(tail);
    char    *text = malloc(k * n + m + 1);
    nx_doc   doc;
    nx_error err = {0};
    int64_t  begin = nx_clock_ns();

    assert_non_null(text);
    for (size_t i = 0; i < n; i++) memcpy(text + i * k, piece, k);
    memcpy(text + k * n, tail, m + 1);
    nx_status st = html(&doc, text, k * n + m, &err);
    if (st != want) fail_msg("%s...: %d %s", piece, st, err.text);
    if (nx_clock_ns() - begin > (int64_t)30000000000) fail_msg("%s...: too slow", piece);
    nx_doc_free(&doc);
    free(text);
}

static void attacks(void **state)
{
    (void)state;
    attack("<div>", 100000, "x", NX_ELIMIT);
    attack("<b>", 100000, "x", NX_ELIMIT);
    attack("<b>", 3000, "x", NX_OK);
    attack("<table><tr><td>", 100000, "x", NX_ELIMIT);
    attack("<ul><li>", 100000, "x", NX_ELIMIT);
    attack("<!--", 200000, "", NX_OK);
    attack("<a b=\"", 200000, "", NX_OK);
    attack("<", 1000000, "", NX_OK);
    attack("&#", 500000, "", NX_OK);
    attack("<script>", 200000, "", NX_OK);
    attack("</p></i>", 200000, "", NX_OK);
    attack("<p>", 200000, "", NX_OK);
    attack("<td>", 200000, "", NX_OK);
}

/* A tag of many attributes costs their square: the names are bounded together. */
static void many_attributes(void **state)
{
    enum { N = 300000 };
    char    *text = malloc(N * 8 + 16);
    size_t   n = 2;
    nx_doc   doc;
    nx_error err = {0};
    int64_t  begin = nx_clock_ns();

    (void)state;
    assert_non_null(text);
    memcpy(text, "<a", 3);
    for (int i = 0; i < N; i++) n += (size_t)sprintf(text + n, " a%x", (unsigned)i);
    n += (size_t)sprintf(text + n, ">words</a>");
    assert_int_equal(html(&doc, text, n, &err), NX_OK);
    assert_true(nx_clock_ns() - begin < (int64_t)20000000000);
    assert_string_equal(doc.text.data, "words");
    nx_doc_free(&doc);
    free(text);
}

static void without_memory(void **state)
{
    static const char text[] =
        "<title>t</title><h1>a</h1><p>b<table><tr><th>c<th>d</table><ul><li>x</ul>\xE9";
    nx_status st = NX_ENOMEM;

    (void)state;
    for (int64_t after = 0; st; after++) {
        nx_extract_limits l = usual();
        nx_doc            doc = {0};
        nx_error          err = {0};
        nx_alloc_fail_after(after);
        st = nx_extract_html(&doc, NX_STR("x"), (nx_str){text, sizeof text - 1}, &l, &err);
        nx_alloc_fail_after(-1);
        if (st) assert_int_equal(st, NX_ENOMEM);
        nx_doc_free(&doc);
        assert_true(after < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),          cmocka_unit_test(tables),
        cmocka_unit_test(hidden),          cmocka_unit_test(titles),
        cmocka_unit_test(encodings),       cmocka_unit_test(attacks),
        cmocka_unit_test(many_attributes), cmocka_unit_test(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
