/* extract.c - finds out what a file is, and has it read. */
#include "rag/extract.h"

#include "rag/extract_in.h"
#include "rag/sniff.h"

void nx_extract_limits_default(nx_extract_limits *l)
{
    *l = (nx_extract_limits){.file_bytes = (uint64_t)64 << 20,
                             .text_bytes = (uint64_t)64 << 20,
                             .ratio = 200,
                             .depth = 512,
                             .pages = 5000,
                             .seconds = 60,
                             .members = 10000};
}

static nx_status extract_plain(nx_doc *out, nx_str name, nx_str type, nx_str bytes,
                               const nx_extract_limits *limits, nx_error *err)
{
    nx_doc_kind kind = nx_sniff(name, type, bytes);
    nx_status   st;

    if (kind == NX_DOC_KINDS)
        return nx_fail(err, NX_EUNSUPPORTED, "it is %s, which holds no text that can be read",
                       nx_sniff_foreign(bytes));
    if (!nx_extractors[kind])
        return nx_fail(err, NX_EUNSUPPORTED, "%s files can't be read here", nx_doc_kind_name(kind));
    st = nx_extractors[kind](out, name, bytes, limits, err);
    out->kind = kind;
    if (!st) st = nx_doc_check(out, err);
    if (st) nx_doc_free(out);
    return st;
}

/* name.gz is read as what is in it, once: a gzip within a gzip is no document. */
static nx_status extract_gzip(nx_doc *out, nx_str name, nx_str bytes,
                              const nx_extract_limits *limits, nx_error *err)
{
    nx_buf    inner = {0};
    nx_status st = nx_gunzip(&inner, bytes, limits, err);
    nx_str    text = {inner.data ? inner.data : "", inner.len};

    if (name.len > 3) name.len -= 3;
    if (!st && text.len > 1 && text.p[0] == '\x1F' && text.p[1] == '\x8B')
        st = nx_fail(err, NX_EUNSUPPORTED, "it is packed twice");
    if (!st) st = extract_plain(out, name, NX_STR(""), text, limits, err);
    /* Positions in what was packed are none in the file. */
    if (!st) out->origin = NX_ORIGIN_TEXT;
    nx_buf_free(&inner);
    return st;
}

nx_status nx_extract(nx_doc *out, nx_str name, nx_str type, const void *bytes, size_t n,
                     const nx_extract_limits *limits, nx_error *err)
{
    nx_extract_limits usual;
    nx_str            s = {n ? bytes : "", n};

    if (!limits) {
        nx_extract_limits_default(&usual);
        limits = &usual;
    }
    *out = (nx_doc){0};
    if (n > limits->file_bytes)
        return nx_fail(err, NX_ELIMIT, "it has %.1f MiB; the limit is %.1f MiB",
                       (double)n / (1 << 20), (double)limits->file_bytes / (1 << 20));
    if (n > 2 && s.p[0] == '\x1F' && s.p[1] == '\x8B')
        return extract_gzip(out, name, s, limits, err);
    return extract_plain(out, name, type, s, limits, err);
}
