/* extract_csv.c - tables in text: each record a row, the first one their head where it looks like one.
 * Source: RFC 4180; the divider is the one of , ; tab | that the first record has most of.
 */
#include <string.h>

#include "rag/extract_in.h"

/* The end of the record that begins at `at`, without its line end: quotes may hold line ends. *cells: how many;
 * *words: those that hold a letter. */
static size_t record_end(nx_str t, size_t at, char divider, int32_t *cells, int32_t *words)
{
    bool quoted = false, word = false, fresh = true;

    *cells = 1;
    *words = 0;
    for (; at < t.len; at++) {
        char c = t.p[at];
        if (c == '"' && quoted && at + 1 < t.len && t.p[at + 1] == '"') {
            at++; /* a quote within quotes */
            continue;
        }
        /* Only where a cell begins it opens one: 5" is a length. */
        if (c == '"') quoted = !quoted && fresh;
        fresh = false;
        if (!quoted && c == '\n') break;
        if (!quoted && c == divider) {
            ++*cells;
            *words += word;
            word = false;
            fresh = true;
        } else {
            word |= ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 0x80);
        }
    }
    *words += word;
    return at;
}

static char find_divider(nx_str t, size_t at)
{
    char    best = ',';
    int32_t most = 1, n, words;

    for (const char *d = ",;\t|"; *d; d++) {
        record_end(t, at, *d, &n, &words);
        if (n > most) {
            most = n;
            best = *d;
        }
    }
    return best;
}

static nx_status read_records(nx_doc *doc, size_t at, char divider, nx_watch *watch, nx_error *err)
{
    nx_str    t = {doc->text.data, doc->text.len};
    nx_status st = NX_OK;

    if (!divider) divider = find_divider(t, at);
    for (bool first = true; !st && at < t.len;) {
        int32_t cells, words;
        size_t  stop = record_end(t, at, divider, &cells, &words), end = stop;
        while (end > at && strchr(" \t\r\n", t.p[end - 1])) end--;
        if (end > at) {
            /* A head has a word in every cell. */
            bool head = first && cells > 1 && words == cells;
            st = nx_doc_add_part(doc,
                                 (nx_part){.begin = at,
                                           .end = end,
                                           .kind = head ? NX_PART_TABLE_HEAD : NX_PART_TABLE_ROW},
                                 err);
            first = false;
            if (!st) st = nx_watch_often(watch, err);
        }
        at = stop + 1;
    }
    return st;
}

static nx_status extract(nx_doc *doc, nx_str bytes, char divider, const nx_extract_limits *limits,
                         nx_error *err)
{
    nx_watch  watch = nx_watch_start(limits);
    size_t    begin;
    nx_status st = nx_text_read(doc, bytes, limits, &begin, err);

    return st ? st : read_records(doc, begin, divider, &watch, err);
}

nx_status nx_extract_csv(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                         nx_error *err)
{
    (void)name;
    return extract(doc, bytes, '\0', limits, err);
}

nx_status nx_extract_tsv(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                         nx_error *err)
{
    (void)name;
    return extract(doc, bytes, '\t', limits, err);
}
