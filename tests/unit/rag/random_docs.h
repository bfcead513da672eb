/* random_docs.h - random documents of all kinds of parts, and what every cut of them must keep. */
#ifndef NX_TEST_RANDOM_DOCS_H
#define NX_TEST_RANDOM_DOCS_H

#include <stdio.h>
#include <string.h>

#include "num/rng.h"
#include "rag/chunk.h"

static inline uint32_t below(nx_rng *r, uint32_t n)
{
    return (uint32_t)(nx_rng_next_u64(r) >> 33) % n;
}

static inline void put(nx_doc *d, const char *text)
{
    (void)nx_buf_add(&d->text, text, strlen(text), NULL);
}

/* ---- Texts ---- */

static inline void put_word(nx_doc *d, nx_rng *r)
{
    static const char *const words[] = {
        "the",
        "of",
        "locker",
        "parcel",
        "configuration",
        "e.g.",
        "Dr.",
        "3.14",
        "/etc/fstab",
        "I",
        "internationalisation",
        "don't",
        "naïve",
        "Straße",
        "können",
        "Привет",
        "мир",
        "Ελλάδα",
        "http://example.org/a?b=c&d=%20",
        "0x7fff",
        "1,234,567.89",
        "foo_bar()",
        "--verbose",
        "שלום",
        "مرحبا",
        "हिन्दी",
        "ไทย",
        "<|endoftext|>",
        "[SEP]",
        "</s>",
        "a\xCC\x81\xCC\x82",
        "\xEF\xB7\xBA",
        "\xE2\x80\x8D",
        "\xF0\x9F\x98\x80",
        "Qx7zq",
        "WWWWWWWW",
        "ﬁne",
        "①",
        "\xC2\xA0",
    };
    size_t n = sizeof words / sizeof *words;

    put(d, words[below(r, 3) ? below(r, 12) : below(r, (uint32_t)n)]);
}

static inline void put_emoji(nx_doc *d, nx_rng *r)
{
    static const char *const emoji[] = {
        "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7", /* a family */
        "\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD", /* a skin tone */
        "\xE2\x9D\xA4\xEF\xB8\x8F", "\xF0\x9F\x87\xA9\xF0\x9F\x87\xAA", "\xF0\x9F\xA7\xBF"};

    put(d, emoji[below(r, 5)]);
}

static inline void put_cjk(nx_doc *d, nx_rng *r)
{
    char     c[4] = {0};
    uint32_t cp = below(r, 8)   ? 0x4E00 + below(r, 20000)
                  : below(r, 2) ? 0x3002
                                : 0xAC00 + below(r, 11000);

    c[0] = (char)(0xE0 | cp >> 12);
    c[1] = (char)(0x80 | (cp >> 6 & 63));
    c[2] = (char)(0x80 | (cp & 63));
    put(d, c);
}

/* Any character there is. */
static inline void put_any(nx_doc *d, nx_rng *r)
{
    char     c[5] = {0};
    uint32_t cp = 1 + below(r, below(r, 2) ? 0x10FFFE : 0x2FFF);

    if (cp >= 0xD800 && cp < 0xE000) cp = ' ';
    if (cp < 0x80) {
        c[0] = (char)cp;
    } else if (cp < 0x800) {
        c[0] = (char)(0xC0 | cp >> 6);
        c[1] = (char)(0x80 | (cp & 63));
    } else if (cp < 0x10000) {
        c[0] = (char)(0xE0 | cp >> 12);
        c[1] = (char)(0x80 | (cp >> 6 & 63));
        c[2] = (char)(0x80 | (cp & 63));
    } else {
        c[0] = (char)(0xF0 | cp >> 18);
        c[1] = (char)(0x80 | (cp >> 12 & 63));
        c[2] = (char)(0x80 | (cp >> 6 & 63));
        c[3] = (char)(0x80 | (cp & 63));
    }
    put(d, c);
}

static inline void put_prose(nx_doc *d, nx_rng *r, uint32_t n)
{
    static const char *const gaps[] = {" ",  " ",  " ",  " ",  " ",  " ",  "\n",
                                       "  ", ". ", ". ", "? ", ", ", ".\n"};
    uint32_t                 kind = below(r, 12);

    for (uint32_t i = 0; i < n; i++) {
        if (kind == 0)
            put_cjk(d, r);
        else if (kind == 1)
            put_emoji(d, r);
        else if (kind == 2)
            put_any(d, r);
        else {
            put_word(d, r);
            if (kind != 3) put(d, gaps[below(r, sizeof gaps / sizeof *gaps)]);
        }
    }
}

/* ---- Parts ---- */

static inline void put_text_of(nx_doc *d, nx_rng *r, nx_part_kind kind, uint32_t n)
{
    switch (kind) {
    case NX_PART_CODE:
        for (uint32_t i = 0; i < n / 4 + 1; i++) {
            put(d, below(r, 4) ? "    " : "");
            put_prose(d, r, below(r, 8));
            put(d, below(r, 6) ? ";\n" : ";\n\n");
        }
        break;
    case NX_PART_TABLE_HEAD:
    case NX_PART_TABLE_ROW:
        put(d, "|");
        for (uint32_t i = 0; i < n / 4 + 1; i++) {
            put_word(d, r);
            put(d, " | ");
        }
        break;
    default: put_prose(d, r, n);
    }
}

static inline void put_part(nx_doc *d, nx_rng *r, nx_part_kind kind, uint32_t n)
{
    nx_part p = {.kind = kind, .begin = d->text.len, .page = (int32_t)(d->text.len / 3000)};

    if (kind == NX_PART_HEADING) {
        p.level = 1 + (int32_t)below(r, 8);
        put(d, "## ");
    }
    p.name_begin = d->text.len;
    put_text_of(d, r, kind, n);
    p.end = p.name_end = d->text.len;
    (void)nx_doc_add_part(d, p, NULL);
    put(d, below(r, 10)  ? "\n\n"
           : below(r, 2) ? ""
                         : "<!-- between the parts, of none of them -->");
}

/* Zeroed, or freed, before. */
static inline void random_doc(nx_doc *d, nx_rng *r)
{
    uint32_t shape = below(r, 40), n_parts = below(r, 40);

    *d = (nx_doc){.text.max = 1 << 26, .title.max = 1 << 20};
    if (below(r, 2)) {
        nx_buf   text = d->text;
        uint32_t n = below(r, 8) ? below(r, 8) : below(r, 300);
        put_prose(d, r, n); /* made where the text is, then moved */
        d->title = d->text;
        d->text = text;
    }
    if (shape == 0) { /* no blank far and wide */
        nx_part  p = {.kind = (nx_part_kind)below(r, 7)};
        uint32_t n = 100000 >> below(r, 6);
        for (uint32_t i = 0; i < n; i++) put(d, shape + i % 7 ? "x" : "Q");
        p.end = p.name_end = d->text.len;
        (void)nx_doc_add_part(d, p, NULL);
    } else if (shape == 1) { /* a giant table */
        put_part(d, r, NX_PART_TABLE_HEAD, below(r, 2) ? 12 : 400);
        for (uint32_t i = 0; i < 300; i++) put_part(d, r, NX_PART_TABLE_ROW, below(r, 40));
    } else if (shape == 2) { /* records, some of them long */
        for (uint32_t i = 0; i < 30; i++)
            put_part(d, r, NX_PART_RECORD, below(r, 6) ? below(r, 30) : below(r, 900));
    } else if (shape == 3) { /* headings upon headings */
        for (uint32_t i = 0; i < 30; i++)
            put_part(d, r, below(r, 4) ? NX_PART_HEADING : NX_PART_PARAGRAPH,
                     below(r, 8) ? below(r, 12) : 200);
    } else {
        for (uint32_t i = 0; i < n_parts; i++)
            put_part(d, r, (nx_part_kind)below(r, 7), below(r, 6) ? below(r, 40) : below(r, 700));
    }
}

static inline nx_chunk_options random_options(nx_rng *r)
{
    static const int32_t limits[] = {64, 128, 256, 256, 512};
    nx_chunk_options     o = {.limit = limits[below(r, 5)]};

    if (!below(r, 6)) o.unit = NX_CHUNK_CHARS;
    if (below(r, 3)) {
        o.size = 16 + (int32_t)below(r, (uint32_t)o.limit - 15);
        o.overlap = below(r, 4) ? o.size / 8 : (int32_t)below(r, (uint32_t)o.size);
    }
    return o;
}

/* ---- Promises ---- */

static inline bool is_edge_of(const nx_doc *d, uint64_t at)
{
    return at == d->text.len ||
           (at < d->text.len && ((unsigned char)d->text.data[at] & 0xC0) != 0x80);
}

static inline uint64_t chars_of(const nx_doc *d, uint64_t begin, uint64_t end)
{
    uint64_t n = 0;

    for (uint64_t i = begin; i < end; i++) n += ((unsigned char)d->text.data[i] & 0xC0) != 0x80;
    return n;
}

/* NULL, or the promise that chunk i breaks. */
static inline const char *check_chunk(const nx_doc *d, const nx_chunks *c, size_t i,
                                      const nx_chunk_options *o, const nx_counter *counter)
{
    const nx_chunk *k = &c->chunks[i], *before = i ? k - 1 : NULL;
    nx_buf          text = {.max = 1 << 26};
    int32_t         n = -1;

    if (k->begin >= k->end || k->end > d->text.len) return "its range";
    if (!is_edge_of(d, k->begin) || !is_edge_of(d, k->end)) return "it cuts a character";
    if (before && (k->begin <= before->begin || k->end <= before->end))
        return "it brings nothing new";
    if (chars_of(d, 0, k->begin) != k->begin_char) return "begin in characters";
    if (chars_of(d, k->begin, k->end) != k->end_char - k->begin_char) return "end in characters";
    nx_str    span = {d->text.data + k->begin, (size_t)(k->end - k->begin)};
    nx_status st = nx_chunk_text(&text, nx_chunks_title(c), nx_chunk_headings(c, k),
                                 nx_chunk_context(c, k), span, NULL);
    if (!st) st = counter->count(counter->ctx, (nx_str){text.data, text.len}, &n, NULL);
    nx_buf_free(&text);
    if (st) return "it can't be counted";
    if (n != k->n_tokens) return "its number of tokens isn't that of its text";
    if (n > o->limit) return "it is longer than the model takes";
    return NULL;
}

/* Is every byte of every part that isn't a blank in a chunk? */
static inline bool all_covered(const nx_doc *d, const nx_chunks *c)
{
    uint64_t end = 0;
    size_t   next = 0;

    for (size_t i = 0; i < d->n_parts; i++) {
        nx_str text = {d->text.data, (size_t)d->parts[i].end};
        for (uint64_t at = d->parts[i].begin; at < d->parts[i].end;) {
            while (next < c->n && c->chunks[next].begin <= at) end = c->chunks[next++].end;
            if (at < end) {
                at = end;
                continue;
            }
            uint64_t to = nx_sentence_skip(text, (size_t)at);
            if (next < c->n && to > c->chunks[next].begin) to = c->chunks[next].begin;
            if (to == at) return false;
            at = to;
        }
    }
    return true;
}

static inline const char *check_chunks(const nx_doc *d, const nx_chunks *c,
                                       const nx_chunk_options *o, const nx_counter *counter,
                                       size_t *which)
{
    for (*which = 0; *which < c->n; (*which)++) {
        const char *broken = check_chunk(d, c, *which, o, counter);
        if (broken) return broken;
    }
    return all_covered(d, c) ? NULL : "a byte is in no chunk";
}

#endif
