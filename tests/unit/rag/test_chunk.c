/* Protects: chunks follow a document's structure, keep to their sizes, name what they stand under, and keep the
 * promises of chunk.h over random documents (tests/torture/torture_chunk.c does that with real tokenizers). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "random_docs.h"

/* One token for each word and two around; for each four bytes of a longer word one. */
static nx_status words(void *ctx, nx_str text, int32_t *n, nx_error *err)
{
    size_t run = 0;

    (void)ctx;
    (void)err;
    *n = 2;
    for (size_t i = 0; i < text.len; i++) {
        run = (unsigned char)text.p[i] <= ' ' ? 0 : run + 1;
        *n += run % 4 == 1;
    }
    return NX_OK;
}

static const nx_counter counter = {NULL, words};

static nx_doc    doc;
static nx_chunks chunks;

static int clean(void **state)
{
    (void)state;
    nx_doc_free(&doc);
    nx_chunks_free(&chunks);
    doc.text.max = doc.title.max = 1 << 24;
    return 0;
}

static void part(nx_part_kind kind, int32_t level, const char *text)
{
    nx_part p = {.kind = kind, .level = level, .begin = doc.text.len, .page = 1};

    assert_int_equal(nx_buf_add(&doc.text, text, strlen(text), NULL), NX_OK);
    p.name_begin = p.begin + (kind == NX_PART_HEADING ? strspn(text, "# ") : 0);
    p.end = p.name_end = doc.text.len;
    assert_int_equal(nx_doc_add_part(&doc, p, NULL), NX_OK);
    assert_int_equal(nx_buf_add(&doc.text, "\n\n", 2, NULL), NX_OK);
}

/* n words, in sentences of ten. */
static void prose(int n)
{
    char   text[20000];
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%s", i % 10 ? "w" : "W",
                                i % 3 ? "or" : "o", i % 10 == 9 || i == n - 1 ? ". " : " ");
    text[len - 1] = '\0';
    part(NX_PART_PARAGRAPH, 0, text);
}

static void cut(int32_t size, int32_t overlap, int32_t limit)
{
    nx_chunk_options o = {.size = size, .overlap = overlap, .limit = limit};
    nx_error         err;
    size_t           which;

    assert_int_equal(nx_chunks_make(&chunks, &doc, &o, &counter, &err), NX_OK);
    const char *broken = check_chunks(&doc, &chunks, &o, &counter, &which);
    if (broken) fail_msg("chunk %zu: %s", which, broken);
}

static nx_str span(size_t i)
{
    assert_true(i < chunks.n);
    return (nx_str){doc.text.data + chunks.chunks[i].begin,
                    (size_t)(chunks.chunks[i].end - chunks.chunks[i].begin)};
}

static bool begins_with(nx_str s, const char *text)
{
    return s.len >= strlen(text) && memcmp(s.p, text, strlen(text)) == 0;
}

static void is(nx_str got, const char *want)
{
    if (!nx_str_eq(got, nx_str_of(want)))
        fail_msg("\"%.*s\", expected \"%s\"", (int)got.len, got.p, want);
}

/* ---- Structure ---- */

static void headings_begin_chunks(void **state)
{
    (void)state;
    part(NX_PART_HEADING, 1, "# Guide");
    prose(60);
    part(NX_PART_HEADING, 2, "## Install");
    prose(60);
    part(NX_PART_HEADING, 2, "## Remove");
    prose(60);
    cut(100, 0, 256);
    assert_int_equal(chunks.n, 3);
    assert_true(begins_with(span(0), "# Guide"));
    assert_true(begins_with(span(1), "## Install"));
    assert_true(begins_with(span(2), "## Remove"));
    is(nx_chunk_headings(&chunks, &chunks.chunks[0]), "Guide");
    is(nx_chunk_headings(&chunks, &chunks.chunks[1]), "Guide\nInstall");
    is(nx_chunk_headings(&chunks, &chunks.chunks[2]), "Guide\nRemove");
}

static void small_sections_go_together(void **state)
{
    (void)state;
    part(NX_PART_HEADING, 1, "# Guide");
    for (int i = 0; i < 4; i++) {
        part(NX_PART_HEADING, 2, i % 2 ? "## Odd" : "## Even");
        prose(10);
    }
    cut(200, 0, 256);
    assert_int_equal(chunks.n, 1);
    is(nx_chunk_headings(&chunks, &chunks.chunks[0]), "Guide");
}

static void no_heading_at_an_end(void **state)
{
    (void)state;
    char row[500] = "|";

    for (int i = 0; i < 80; i++) strcat(row, " col");
    prose(30);
    part(NX_PART_HEADING, 2, "## Next");
    part(NX_PART_TABLE_HEAD, 0, "| Name |");
    part(NX_PART_TABLE_ROW, 0, row);
    cut(100, 0, 256);
    assert_int_equal(chunks.n, 2);
    assert_true(begins_with(span(1), "## Next"));
}

static void paragraphs_are_cut_between_sentences(void **state)
{
    (void)state;
    prose(500);
    cut(100, 20, 128);
    assert_true(chunks.n >= 5 && chunks.n <= 9);
    for (size_t i = 0; i < chunks.n; i++) {
        nx_str s = span(i);
        assert_true(s.p[0] == 'W');
        assert_true(s.p[s.len - 1] == '.');
        if (i + 1 < chunks.n) assert_true(chunks.chunks[i].n_tokens > 70);
        if (i) {
            uint64_t twice = chunks.chunks[i - 1].end - chunks.chunks[i].begin;
            assert_true(chunks.chunks[i].begin < chunks.chunks[i - 1].end);
            assert_true(twice < 100);
        }
    }
}

static void rows_have_their_head(void **state)
{
    (void)state;
    prose(5);
    part(NX_PART_TABLE_HEAD, 0, "| Name | Size |");
    for (int i = 0; i < 60; i++) part(NX_PART_TABLE_ROW, 0, "| somebody or other | 12 |");
    prose(5);
    cut(100, 20, 256);
    assert_true(chunks.n > 3);
    is(nx_chunk_context(&chunks, &chunks.chunks[0]), "");
    for (size_t i = 1; i + 1 < chunks.n; i++) {
        is(nx_chunk_context(&chunks, &chunks.chunks[i]), "| Name | Size |");
        assert_true(begins_with(span(i), "| somebody"));
        assert_true(chunks.chunks[i].begin >= chunks.chunks[i - 1].end);
    }
}

static void a_tiny_rest_is_taken_in(void **state)
{
    (void)state;
    prose(95);
    prose(4);
    cut(98, 0, 128);
    assert_int_equal(chunks.n, 1);
    assert_true(chunks.chunks[0].n_tokens > 98);
}

static void code_is_cut_at_lines(void **state)
{
    (void)state;
    char   text[4000];
    size_t len = 0;

    for (int i = 0; i < 60; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s",
                                i % 10 ? "    x = y ;\n" : "\nint f ( )\n");
    part(NX_PART_CODE, 0, text);
    cut(64, 0, 128);
    assert_true(chunks.n > 3);
    for (size_t i = 0; i < chunks.n; i++) assert_true(begins_with(span(i), "int f"));
}

static void records_stand_alone(void **state)
{
    (void)state;
    char text[2000];

    memset(text, 0, sizeof text);
    for (int i = 0; i < 150; i++) strcat(text, "val ");
    part(NX_PART_RECORD, 0, text);
    part(NX_PART_RECORD, 0, "{second}");
    part(NX_PART_RECORD, 0, "{third}");
    cut(100, 0, 128);
    assert_int_equal(chunks.n, 3);
    assert_true(begins_with(span(2), "{second}"));
}

/* ---- What stands above ---- */

static void what_is_too_long_above_is_shortened(void **state)
{
    (void)state;
    char long_text[4001];

    for (int i = 0; i < 4000; i++) long_text[i] = i % 5 ? 'h' : ' ';
    long_text[4000] = '\0';
    assert_int_equal(nx_buf_add(&doc.title, long_text, 4000, NULL), NX_OK);
    for (int i = 1; i <= 8; i++) part(NX_PART_HEADING, i, i < 8 ? long_text : "Inner");
    part(NX_PART_TABLE_HEAD, 0, long_text);
    for (int i = 0; i < 40; i++) part(NX_PART_TABLE_ROW, 0, "| a row of a few words |");
    cut(120, 10, 128);
    nx_chunk *last = &chunks.chunks[chunks.n - 1];
    nx_str    title = nx_chunks_title(&chunks);
    assert_true(title.len > 20 && title.len <= 100);
    is(nx_chunk_headings(&chunks, last), "Inner");
    is(nx_chunk_context(&chunks, last), "");
    assert_true(last->end - last->begin > 100);
}

static void a_title_is_not_said_twice(void **state)
{
    (void)state;
    nx_buf out = {.max = 1000};

    assert_int_equal(nx_chunk_text(&out, NX_STR("Guide"), NX_STR("Guide\nInstall"), NX_STR("a | b"),
                                   NX_STR("1 | 2"), NULL),
                     NX_OK);
    assert_string_equal(out.data, "Guide\nInstall\na | b\n1 | 2");
    nx_buf_clear(&out);
    assert_int_equal(
        nx_chunk_text(&out, NX_STR("Guide"), NX_STR("Guide"), NX_STR(""), NX_STR("x"), NULL),
        NX_OK);
    assert_string_equal(out.data, "Guide\nx");
    nx_buf_clear(&out);
    assert_int_equal(
        nx_chunk_text(&out, NX_STR(""), NX_STR("Guide"), NX_STR(""), NX_STR("x"), NULL), NX_OK);
    assert_string_equal(out.data, "Guide\nx");
    nx_buf_free(&out);
}

/* ---- Sizes ---- */

static nx_status try(nx_chunk_unit unit, int32_t size, int32_t overlap, int32_t limit)
{
    nx_chunk_options o = {unit, size, overlap, limit};
    nx_status        st = nx_chunks_make(&chunks, &doc, &o, &counter, NULL);

    nx_chunks_free(&chunks);
    return st;
}

static void what_is_refused(void **state)
{
    (void)state;
    prose(100);
    assert_int_equal(try(NX_CHUNK_TOKENS, 100, 100, 256), NX_EINVAL);
    assert_int_equal(try(NX_CHUNK_TOKENS, 100, 101, 256), NX_EINVAL);
    assert_int_equal(try(NX_CHUNK_TOKENS, 100, -1, 256), NX_EINVAL);
    assert_int_equal(try(NX_CHUNK_TOKENS, 100, 99, 256), NX_OK);
    assert_int_equal(try(NX_CHUNK_TOKENS, 257, 0, 256), NX_EINVAL);
    assert_int_equal(try(NX_CHUNK_TOKENS, 15, 0, 256), NX_EINVAL);
    assert_int_equal(try(NX_CHUNK_TOKENS, -5, 0, 256), NX_EINVAL);
    assert_int_equal(try(NX_CHUNK_TOKENS, 0, 0, 8), NX_EINVAL);
    assert_int_equal(try(NX_CHUNK_CHARS, 512, 512, 256), NX_EINVAL);
    assert_int_equal(try(NX_CHUNK_CHARS, 512, 511, 256), NX_OK);
    assert_int_equal(try(NX_CHUNK_TOKENS, 0, 0, 16), NX_OK);
}

static void fixed_windows(void **state)
{
    (void)state;
    nx_chunk_options o = {.unit = NX_CHUNK_CHARS, .limit = 2000};
    size_t           which;

    for (int i = 0; i < 3; i++) prose(200);
    assert_int_equal(nx_chunks_make(&chunks, &doc, &o, &counter, NULL), NX_OK);
    assert_null(check_chunks(&doc, &chunks, &o, &counter, &which));
    for (size_t i = 0; i < chunks.n; i++) {
        assert_int_equal(chunks.chunks[i].begin_char, i * 462);
        if (i + 1 < chunks.n)
            assert_int_equal(chunks.chunks[i].end_char, i * 462 + 512);
        else
            assert_int_equal(chunks.chunks[i].end, doc.text.len);
    }
    nx_chunks_free(&chunks);
    o.limit = 32; /* shorter windows than asked for */
    assert_int_equal(nx_chunks_make(&chunks, &doc, &o, &counter, NULL), NX_OK);
    assert_null(check_chunks(&doc, &chunks, &o, &counter, &which));
}

static void nothing_to_cut(void **state)
{
    (void)state;
    cut(100, 0, 128);
    assert_int_equal(chunks.n, 0);
    part(NX_PART_PARAGRAPH, 0, " \xC2\xA0 \n");
    cut(100, 0, 128);
    assert_int_equal(chunks.n, 0);
}

/* An edit changes what is near it. */
static void an_edit_stays_local(void **state)
{
    (void)state;
    uint64_t last, n;

    for (int i = 0; i < 20; i++) {
        part(NX_PART_HEADING, 1, "# Section");
        prose(90 + i);
    }
    cut(100, 10, 128);
    last = doc.text.len - chunks.chunks[chunks.n - 2].begin;
    n = chunks.n;
    nx_chunks_free(&chunks);
    doc.text.data[12] = 'Q'; /* a longer word, somewhere at the beginning */
    doc.text.data[13] = 'q';
    cut(100, 10, 128);
    assert_int_equal(chunks.n, n);
    assert_int_equal(doc.text.len - chunks.chunks[chunks.n - 2].begin, last);
}

/* ---- All of it ---- */

static void random_documents(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        nx_rng   r;
        nx_error err;
        size_t   which;

        nx_rng_seed(&r, seed);
        random_doc(&doc, &r);
        nx_chunk_options o = random_options(&r);
        assert_int_equal(nx_doc_check(&doc, &err), NX_OK);
        assert_int_equal(nx_chunks_make(&chunks, &doc, &o, &counter, &err), NX_OK);
        const char *broken = check_chunks(&doc, &chunks, &o, &counter, &which);
        if (broken) fail_msg("seed %d, chunk %zu: %s", (int)seed, which, broken);
        nx_chunks_free(&chunks);
        nx_doc_free(&doc);
    }
}

static void without_memory(void **state)
{
    (void)state;
    nx_chunk_options o = {.limit = 64};
    nx_status        st = NX_ENOMEM;

    assert_int_equal(nx_buf_add(&doc.title, "A title", 7, NULL), NX_OK);
    part(NX_PART_HEADING, 1, "# Section");
    for (int i = 0; i < 30; i++) prose(100);
    for (int i = 0; st && i < 200; i++) {
        nx_alloc_fail_after(i);
        st = nx_chunks_make(&chunks, &doc, &o, &counter, NULL);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
        if (st) assert_null(chunks.chunks);
    }
    assert_int_equal(st, NX_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, clean, clean)
    const struct CMUnitTest tests[] = {
        T(headings_begin_chunks),
        T(small_sections_go_together),
        T(no_heading_at_an_end),
        T(paragraphs_are_cut_between_sentences),
        T(rows_have_their_head),
        T(a_tiny_rest_is_taken_in),
        T(code_is_cut_at_lines),
        T(records_stand_alone),
        T(what_is_too_long_above_is_shortened),
        T(a_title_is_not_said_twice),
        T(what_is_refused),
        T(fixed_windows),
        T(nothing_to_cut),
        T(an_edit_stays_local),
        T(random_documents),
        T(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
