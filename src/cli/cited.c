/* cited.c - "[1] handbook/oncall.md, "Escalation", bytes 120-340", and what stands there. */
#include "cli/cited.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

static const nx_json *about(const nx_json *passage)
{
    const nx_json *m = nx_json_get(passage, "metadata");

    return m ? m : passage;
}

/* Without the folder that we are in. */
static nx_str shorten(nx_str source)
{
    char here[4096];

    if (!getcwd(here, sizeof here)) return source;
    const size_t n = strlen(here);
    if (n > 1 && source.len > n + 1 && !memcmp(source.p, here, n) && source.p[n] == '/')
        return (nx_str){source.p + n + 1, source.len - n - 1};
    return source;
}

/* One line of a stranger's words: what would move the cursor is left out. */
static nx_status add_line(nx_buf *out, nx_str text, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0, n; i < text.len && !st; i += n) {
        const uint32_t c = nx_utf8_decode(text.p + i, text.len - i, &n);
        if (c == '\n' || c == '\t')
            st = nx_buf_add(out, " ", 1, err);
        else if (!nx_utf8_is_control(c))
            st = nx_buf_add(out, c == NX_UTF8_BAD ? "?" : text.p + i, n, err);
    }
    return st;
}

static nx_status add_heading(nx_buf *out, const nx_json *m, nx_error *err)
{
    const nx_json *headings = nx_json_get(m, "headings");
    nx_str         last = {0};

    if (headings && headings->type == NX_JSON_ARRAY && headings->array.n) {
        const nx_json *v = &headings->array.items[headings->array.n - 1];
        if (v->type == NX_JSON_STRING) last = v->text;
    }
    if (!last.len) return NX_OK;
    nx_status st = nx_buf_addf(out, err, ", \"");
    if (!st) st = add_line(out, last, err);
    return st ? st : nx_buf_addf(out, err, "\"");
}

static nx_status add_page(nx_buf *out, const nx_json *m, nx_error *err)
{
    nx_str  place = {0};
    int64_t page = 0, last = 0;

    if (!nx_json_get_int(m, "page", &page) || page <= 0) return NX_OK;
    if (!nx_json_get_string(m, "place", &place) || !place.len) place = NX_STR("page");
    if (nx_json_get_int(m, "page_end", &last) && last > page)
        return nx_buf_addf(out, err, ", %.*ss %lld-%lld", (int)place.len, place.p, (long long)page,
                           (long long)last);
    return nx_buf_addf(out, err, ", %.*s %lld", (int)place.len, place.p, (long long)page);
}

nx_status nx_cited_place(nx_buf *out, const nx_json *passage, int64_t begin, int64_t end,
                         nx_error *err)
{
    const nx_json *m = about(passage);
    nx_str         source = NX_STR("?"), origin = {0};

    (void)nx_json_get_string(m, "source", &source);
    (void)nx_json_get_string(m, "origin", &origin);
    if (begin < 0 && !nx_json_get_int(m, "start_pos", &begin)) begin = -1;
    if (begin >= 0 && end < 0 && !nx_json_get_int(m, "end_pos", &end)) end = -1;
    nx_status st = add_line(out, shorten(source), err);
    if (!st) st = add_heading(out, m, err);
    if (!st) st = add_page(out, m, err);
    if (st || begin < 0 || end < begin) return st;
    return nx_buf_addf(out, err, ", bytes %lld-%lld%s", (long long)begin, (long long)end,
                       nx_str_eq(origin, NX_STR("text")) ? " of its text" : "");
}

void nx_cited_plain(nx_str text)
{
    size_t from = 0;

    for (size_t i = 0, n; i < text.len; i += n) {
        const uint32_t c = nx_utf8_decode(text.p + i, text.len - i, &n);
        if (c != NX_UTF8_BAD && (c == '\n' || c == '\t' || !nx_utf8_is_control(c))) continue;
        nx_out_write(text.p + from, i - from);
        if (c == NX_UTF8_BAD) nx_out_write("?", 1);
        from = i + n;
    }
    nx_out_write(text.p + from, text.len - from);
}

void nx_cited_words(nx_str text)
{
    const char *p = text.p, *end = p + text.len;

    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const char *stop = nl ? nl : end;
        nx_out_write("    ", 4);
        nx_cited_plain((nx_str){p, (size_t)(stop - p)});
        nx_out_write("\n", 1);
        p = nl ? nl + 1 : end;
    }
}

nx_status nx_cited_read_back(nx_instance *i, nx_buf *out, const char *collection,
                             const nx_json *passage, int64_t begin, int64_t end, nx_error *err)
{
    const nx_json *m = about(passage);
    nx_buf         path = {.max = 8192};
    nx_str         doc = {0};
    nx_status      st;

    if (!nx_json_get_string(m, "doc_id", &doc) || doc.len > 64)
        return nx_fail(err, NX_EFORMAT, "a source without a document");
    if (begin < 0) (void)nx_json_get_int(m, "start_pos", &begin);
    if (end < 0) (void)nx_json_get_int(m, "end_pos", &end);
    st = nx_buf_addf(&path, err,
                     "/rag/documents/%.*s/content?range=%lld-%lld&collection=", (int)doc.len, doc.p,
                     (long long)begin, (long long)end);
    if (!st) st = nx_url_add_escaped(&path, collection, false, err);
    if (!st) st = nx_instance_fetch(i, path.data, out, err);
    nx_buf_free(&path);
    return st;
}

void nx_cited_hint(nx_status st, const char *collection)
{
    if (st == NX_ENOENT)
        nx_log_info("fill it first: nexus index FOLDER%s%s", collection ? " --collection " : "",
                    collection ? collection : "");
}

/* The one point that is always there holds the collection's settings. */
void nx_cited_hint_if_empty(nx_instance *i, const char *collection)
{
    nx_buf    path = {.max = 8192};
    nx_said   said = {0};
    nx_error  err;
    int64_t   points = 0;
    nx_status st = nx_collection_url(&path, collection, "", &err);

    if (!st) st = nx_instance_ask(i, "GET", path.data, NULL, &said, &err);
    if (!st) (void)nx_json_get_int(said.result, "points_count", &points);
    if (!st && points <= 1) nx_log_info("%s has no documents yet", collection);
    if (!st && points <= 1) nx_cited_hint(NX_ENOENT, collection);
    nx_said_free(&said);
    nx_buf_free(&path);
}
