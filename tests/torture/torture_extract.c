/* torture_extract.c - thousands of damaged documents of each kind through their extractors.
 *
 * Protects: each is refused with a reason, or becomes a document that keeps its promises (doc.h), within two seconds of a processor.
 * The sanitizers it is built with watch the rest.
 *
 *   torture_extract [-s SEED] [-n COUNT] [KIND]    COUNT, of each kind, also from NX_TORTURE_COUNT
 */
#define _GNU_SOURCE /* clock_gettime */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "rag/extract_in.h"

enum { COUNT_DEFAULT = 300, MUTANT_MAX = 64 << 10 };

#define SECONDS_MAX 2.0

typedef struct base {
    nx_doc_kind   kind;
    nx_extract_fn extract;
    const char   *text;
} base;

static const base bases[] = {
    {NX_DOC_TEXT, nx_extract_text,
     "Title\n=====\n\nOne line,\nand another.\n\n- an item\n- a second\n  that goes on\n\n12. x\r\n"
     "\xC3\xA9t\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x8C\x8D\n\nHead\n----\nEnd"},
    {NX_DOC_MARKDOWN, nx_extract_markdown,
     "---\ntitle: Page\n---\n# One\n\nText *with* `marks` and [links](x).\n\nTwo\n---\n\n- a\n  - b\n    1. c\n"
     "\n> quoted\n> > twice\n\n```c\nint x;\n```\n\n| a | b |\n|---|--:|\n| 1 | \xC3\xA9 |\n\n    code\n\n"
     "<div>\nhtml\n</div>\n\n[^1]: note\n~~~\nopen"},
    {NX_DOC_CODE, nx_extract_code,
     "#!/bin/sh\n# What it does.\n\nf()\n{\n    echo \"x\"\n\n    return 0\n}\n\n/* c */\nint main(void)\n{\n}\n"},
    {NX_DOC_CSV, nx_extract_csv,
     "name,price,\"long\nhead\"\r\nx,1.5,\"a \"\"b\"\"\"\ny;2;3\n\n\xC3\xA9,,\n"},
    {NX_DOC_TSV, nx_extract_tsv, "name\tprice\nx\t1\n\"y\t\"\t2\n"},
    {NX_DOC_JSON, nx_extract_json,
     "{\"a\": [1, 2, {\"b\": \"c \\\" \\u00e9\"}], \"d\": {\"e\": null},\n \"f\": [[[[1.5e3]]], true]}\n"},
    {NX_DOC_JSONL, nx_extract_jsonl, "{\"a\": 1}\n{\"a\": \"\xC3\xA9\"}\r\n\n[1,2]\nbroken\n"},
    {NX_DOC_ROFF, nx_extract_roff,
     "'\\\" t\n.\\\" c\n.TH LS 1 \"2026\"\n.SH NAME\nls \\- list \\fIfiles\\fP \\(em \\[u00E9]\n.ds X y\\*(lq\n"
     ".SH \"THE OPTIONS\"\n.TP\n\\fB\\-a\\fR\nall \\*X \\*(Xy \\s-1A\\s0\n.ie n \\{\\\n.nf\n  code \\e\n.fi\n.\\}\n.el x\n"
     ".IP \\(bu 2\npoint\n.TS\ntab(;);\nl l.\na;T{\nb\nT}\nc;d\n.TE\n.de Q\n.B \\\\$1\n..\n.Q words\n.EX\nint x;\n.EE\n"
     ".if \\n(.g .if t .br\n.BR ls (1),\n.UR http://x\nlink\n.UE\n.so man1/x.1\n"},
    {NX_DOC_ROFF, nx_extract_roff,
     ".Dd January 1, 2026\n.Dt X 1\n.Os\n.Sh NAME\n.Nm x\n.Nd does it\n.Sh SYNOPSIS\n.Nm\n.Op Fl a Ar b Ns = Ns Op Ar c\n"
     ".Bl -tag -width a\n.It Fl a Ar b\ntext\n.Bl -bullet\n.It\none\n.El\n.El\n.Bd -literal\ncode\n.Ed\n.Xr ls 1 ,\n"
     ".Fo f\n.Fa \"int x\"\n.Fc\n.Dq Pq Em word .\n.Bl -column a b\n.It a Ta b\n.El\n"},
    {NX_DOC_EMAIL, nx_extract_email,
     "From: =?utf-8?Q?J=C3=BCrgen?= =?utf-8?B?IE3DvGxsZXI=?= <j@example.org>\nTo: Ann\n <a@example.org>\n"
     "Subject: =?iso-8859-2?Q?x=B1?=\nContent-Type: multipart/mixed; boundary=\"x y\"\n\n--x y\n"
     "Content-Type: multipart/alternative; boundary=in\n\n--in\nContent-Type: text/plain; charset=utf-16le\n"
     "Content-Transfer-Encoding: base64\n\nSABpAA==\n--in\nContent-Type: text/html\n\n<p>Hi<table><tr><td>x\n--in--\n"
     "--x y\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n<p>=C3=A9 =\n</p>\n"
     "--x y\nContent-Type: application/pdf; name=a\nContent-Disposition: attachment; filename*=utf-8''b\n\nx\n"
     "--x y\nContent-Type: message/rfc822\n\nSubject: In\n\nInner\n--x y--\n"},
    {NX_DOC_HTML, nx_extract_html,
     "<!doctype html><title>T</title><h1>One</h1><p>Text &amp; <b>more</b><ul><li>a<li>b</ul><table><tr><th>x<th>y"
     "<tr><td colspan=2>1</table><pre>code\n  x</pre><script>no</script><!-- c --><h2>\xC3\xA9</h2></html>"},
};

typedef struct run {
    uint64_t    state;
    const char *kind; /* NULL: all */
    int64_t     count, n_read, n_refused;
    double      worst;
} run;

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t next(run *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

static size_t below(run *r, size_t n)
{
    return n ? (size_t)(next(r) % n) : 0;
}

/* ---- Damage ---- */

static void insert(run *r, nx_buf *m, const char *p, size_t n)
{
    size_t at = below(r, m->len + 1);

    if (m->len + n > MUTANT_MAX || !nx_buf_room(m, n, NULL)) return;
    memmove(m->data + at + n, m->data + at, m->len - at);
    memcpy(m->data + at, p, n);
    m->len += n;
}

/* What parsers stumble over. */
static void insert_odd(run *r, nx_buf *m)
{
    static const char *const odd[] = {
        "\"",           "\\",
        "\n",           "\r\n",
        "\n\n",         "\n.",
        "\\{",          "\\}",
        "\\*(",         "\\[",
        "\\f",          "[[[[",
        "{{{{",         "((((",
        ">>>>",         "****",
        "```\n",        "|",
        "\t",           "=?utf-8?",
        "?=",           "--x y\n",
        "--in",         "=",
        "<div>",        "</",
        "&#x",          "\n- ",
        "\xC3",         "\xFF\xFE",
        "\xEF\xBB\xBF", "\x01",
        "\n.if ",       ".TS\n",
        ".TE\n",        "T{",
        ".de\n",        ".ds X \\*X\\*X\n",
        ".El\n",        ".Bl -tag\n",
        ".It ",
    };
    const char *s = odd[below(r, sizeof odd / sizeof *odd)];

    for (size_t n = below(r, 8) ? 1 : 1 + below(r, 2000); n > 0; n--) insert(r, m, s, strlen(s));
}

static void repeat(run *r, nx_buf *m)
{
    size_t from = below(r, m->len), n = 1 + below(r, m->len - from);
    char  *piece = nx_strndup(m->data + from, n);

    for (size_t k = 1 + below(r, below(r, 10) ? 4 : 400); piece && k > 0; k--)
        insert(r, m, piece, n);
    nx_free(piece);
}

static void spoil(run *r, nx_buf *m)
{
    if (!m->len) return;
    switch (below(r, 6)) {
    case 0: m->data[below(r, m->len)] ^= (char)(1u << below(r, 8)); return;
    case 1: m->data[below(r, m->len)] = (char)next(r); return;
    case 2: m->len -= below(r, m->len); return;
    case 3: repeat(r, m); return;
    case 4: {
        size_t at = below(r, m->len), n = 1 + below(r, m->len - at);
        memmove(m->data + at, m->data + at + n, m->len - at - n);
        m->len -= n;
        return;
    }
    default: insert_odd(r, m);
    }
}

/* ---- Runs ---- */

static bool fail(const base *b, int64_t i, const nx_buf *m, const char *why)
{
    char  path[64];
    FILE *f;

    snprintf(path, sizeof path, "torture_extract-%s-%lld", nx_doc_kind_name(b->kind), (long long)i);
    fprintf(stderr, "%s: %s\n", path, why);
    f = fopen(path, "wb");
    if (f) {
        fwrite(m->data, 1, m->len, f);
        fclose(f);
    }
    return false;
}

static bool try_one(run *r, const base *b, int64_t i)
{
    nx_extract_limits limits;
    nx_buf            m = {.max = 4 * MUTANT_MAX};
    nx_doc            doc = {0};
    nx_error          err = {0};
    bool              ok = true;

    nx_extract_limits_default(&limits);
    if (nx_buf_add(&m, b->text, strlen(b->text), &err)) return false;
    for (size_t n = below(r, 8); n > 0; n--) spoil(r, &m);
    char *exact = nx_strndup(m.data, m.len); /* to the byte, so that a sanitizer guards its end */
    if (!exact) return false;
    double    start = cpu_seconds();
    nx_status st = b->extract(&doc, NX_STR("damaged"), (nx_str){exact, m.len}, &limits, &err);
    double    s = cpu_seconds() - start;
    if (s > r->worst) r->worst = s;
    if (s > SECONDS_MAX) ok = fail(b, i, &m, "takes too long");
    if (st && !err.text[0]) ok = fail(b, i, &m, "refused without a reason");
    if (!st && nx_doc_check(&doc, &err)) ok = fail(b, i, &m, err.text);
    if (!st && doc.origin == NX_ORIGIN_FILE &&
        (doc.text.len != m.len || (m.len && memcmp(doc.text.data, m.data, m.len) != 0)))
        ok = fail(b, i, &m, "its text is not the file");
    *(st ? &r->n_refused : &r->n_read) += 1;
    nx_doc_free(&doc);
    nx_free(exact);
    nx_buf_free(&m);
    return ok;
}

static bool try_kind(run *r, const base *b)
{
    r->n_read = r->n_refused = 0;
    r->worst = 0;
    for (int64_t i = 0; i < r->count; i++)
        if (!try_one(r, b, i)) return false;
    printf("%-8s %lld damaged files: %lld read, %lld refused, worst %.3f s\n",
           nx_doc_kind_name(b->kind), (long long)r->count, (long long)r->n_read,
           (long long)r->n_refused, r->worst);
    return true;
}

int main(int argc, char **argv)
{
    const char *count = getenv("NX_TORTURE_COUNT");
    run         r = {.state = 20261126, .count = count ? atoll(count) : COUNT_DEFAULT};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            r.count = atoll(argv[++i]);
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            r.state = strtoull(argv[++i], NULL, 10) | 1;
        else
            r.kind = argv[i];
    }
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        if (!r.kind || strcmp(r.kind, nx_doc_kind_name(bases[i].kind)) == 0)
            if (!try_kind(&r, &bases[i])) return 1;
    return 0;
}
