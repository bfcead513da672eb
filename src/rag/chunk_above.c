/* chunk_above.c - what a chunk stands under: title, heading path, the head of its table; shortened, where they
 * would leave the span too little room.
 */
#include <string.h>

#include "rag/chunk_in.h"

enum { CONTEXT_BYTES_MAX = 2000, CONTEXT_BYTES_MIN = 12 };

/* ---- Texts of one line ---- */

static bool is_blank(char c)
{
    return (unsigned char)c <= ' ';
}

/* At most `most` bytes of p[0..n): whole characters, and whole words if that costs no more than half. */
static size_t cut_text(const char *p, size_t n, size_t most)
{
    if (n <= most) return n;
    size_t cut = most;
    while (cut > 0 && ((unsigned char)p[cut] & 0xC0) == 0x80) cut--;
    for (size_t at = cut; at > cut / 2; at--)
        if (is_blank(p[at])) {
            while (at > 0 && is_blank(p[at - 1])) at--;
            return at;
        }
    return cut;
}

/* Append text as one line, its blanks single, cut to `most` bytes; *n: what was appended. */
static nx_status add_line(nx_buf *out, nx_str text, size_t most, size_t *n, nx_error *err)
{
    size_t begin = out->len;
    size_t from = nx_sentence_skip(text, 0), end = from;

    text.len = from + cut_text(text.p + from, text.len - from, most);
    while (end < text.len) {
        while (end < text.len && !is_blank(text.p[end])) end++;
        nx_status st = nx_buf_add(out, text.p + from, end - from, err);
        while (end < text.len && is_blank(text.p[end])) end++;
        if (!st && end < text.len) st = nx_buf_add(out, " ", 1, err);
        if (st) return st;
        from = end;
    }
    *n = out->len - begin;
    return NX_OK;
}

/* ---- Title ---- */

static nx_str title_of(const nx_chunker *m)
{
    return (nx_str){m->out->words.data, m->out->title_len};
}

/* Tokens that what stands above may have, beside those around any text. */
static int32_t tokens_above(const nx_chunker *m)
{
    return m->opt.unit == NX_CHUNK_TOKENS ? m->opt.size / 3 : m->opt.limit / 3;
}

/* What to make of `len` bytes that count `n` and may count `most`: less, in any case. */
static size_t scaled(size_t len, int32_t n, int32_t most)
{
    size_t to = most > 0 ? (size_t)((double)len * most / n * 0.95) : 0;

    return to < len ? to : len - 1;
}

nx_status nx_chunker_title(nx_chunker *m)
{
    nx_buf   *words = &m->out->words;
    nx_str    all = {m->doc->title.data, m->doc->title.len};
    int32_t   around, n, most = tokens_above(m) / 2;
    size_t    len = 0;
    nx_status st = nx_chunker_count(m, (nx_str){"", 0}, &around);

    if (!st && all.len) st = add_line(words, all, NX_NAME_BYTES_MAX, &len, m->err);
    while (!st && len) {
        st = nx_chunker_count(m, (nx_str){words->data, len}, &n);
        if (st || n - around <= most) break;
        len = cut_text(words->data, len, scaled(len, n - around, most));
    }
    if (words->data) words->data[len] = '\0';
    words->len = len;
    m->out->title_len = len;
    m->around = around;
    return st;
}

/* ---- Paths ---- */

static void close_to(nx_path *path, const nx_doc *doc, int32_t level)
{
    while (path->n > 0 && doc->parts[path->parts[path->n - 1]].level >= level) path->n--;
}

static void enter(nx_path *path, const nx_doc *doc, size_t part)
{
    close_to(path, doc, doc->parts[part].level);
    if (path->n == NX_PATH_MAX) path->n--;
    path->parts[path->n++] = part;
}

void nx_chunker_walk(nx_chunker *m, size_t part)
{
    for (; m->opened < part; m->opened++) {
        switch (m->doc->parts[m->opened].kind) {
        case NX_PART_HEADING:
            enter(&m->open, m->doc, m->opened);
            m->table = SIZE_MAX;
            break;
        case NX_PART_TABLE_HEAD: m->table = m->opened; break;
        case NX_PART_TABLE_ROW: break;
        default: m->table = SIZE_MAX;
        }
    }
}

/* The headings under which all of the parts stand: those open before, those that they begin with, less those
 * that are closed among them. */
static nx_path path_of(const nx_chunker *m, size_t first, size_t last)
{
    nx_path path = m->open;
    bool    has_content = false;

    for (size_t i = first; i <= last; i++) {
        const nx_part *p = &m->doc->parts[i];
        if (p->kind != NX_PART_HEADING)
            has_content = true;
        else if (has_content)
            close_to(&path, m->doc, p->level);
        else
            enter(&path, m->doc, i);
    }
    return path;
}

/* ---- Above ---- */

static nx_status add_headings(nx_chunker *m, nx_above *a)
{
    nx_buf   *words = &m->out->words;
    nx_status st = NX_OK;

    a->headings = words->len;
    for (int i = 0; !st && i < a->path.n; i++) {
        const nx_part *p = &m->doc->parts[a->path.parts[i]];
        size_t         n = 0;
        nx_str name = {m->doc->text.data + p->name_begin, (size_t)(p->name_end - p->name_begin)};
        bool   divided = words->len > a->headings;
        if (divided) st = nx_buf_add(words, "\n", 1, m->err);
        if (!st) st = add_line(words, name, NX_NAME_BYTES_MAX, &n, m->err);
        if (!n && divided) words->len--; /* a heading without words */
    }
    a->headings_len = words->len - a->headings;
    return st;
}

static nx_status count_above(nx_chunker *m, nx_above *a)
{
    const char *words = m->out->words.data;
    nx_status   st;

    if (!words) {
        a->n = m->around;
        return NX_OK;
    }
    nx_buf_clear(&m->text);
    st = nx_chunk_text(&m->text, title_of(m), (nx_str){words + a->headings, a->headings_len},
                       (nx_str){words + a->context, a->context_len}, (nx_str){"", 0}, m->err);
    return st ? st : nx_chunker_count(m, (nx_str){m->text.data, m->text.len}, &a->n);
}

/* One step of making it shorter; false: there is nothing left to be made so. */
static bool shorten(nx_chunker *m, nx_above *a, int32_t n, int32_t most)
{
    const char *words = m->out->words.data;

    if (a->context_len) {
        size_t over = (size_t)(n - most), all = (size_t)n;
        size_t total = a->context_len + a->headings_len + m->out->title_len;
        size_t less = total * over / all + 2;
        size_t to = less < a->context_len ? a->context_len - less : 0;
        a->context_len = cut_text(words + a->context, a->context_len, to);
        if (a->context_len < CONTEXT_BYTES_MIN) a->context_len = 0;
        return true;
    }
    if (!a->headings_len) return false;
    const char *line = memchr(words + a->headings, '\n', a->headings_len);
    if (line) {
        size_t gone = (size_t)(line + 1 - (words + a->headings));
        a->headings += gone;
        a->headings_len -= gone;
    } else {
        a->headings_len =
            cut_text(words + a->headings, a->headings_len, scaled(a->headings_len, n, most));
    }
    return true;
}

/* Nothing of what was left out stays in words. */
static void pack(nx_chunker *m, nx_above *a, size_t begin)
{
    nx_buf *words = &m->out->words;

    if (!words->data) return;
    memmove(words->data + begin, words->data + a->headings, a->headings_len);
    memmove(words->data + begin + a->headings_len, words->data + a->context, a->context_len);
    a->headings = begin;
    a->context = begin + a->headings_len;
    words->len = a->context + a->context_len;
    words->data[words->len] = '\0';
}

static nx_status make_above(nx_chunker *m, nx_above *a)
{
    nx_buf   *words = &m->out->words;
    size_t    begin = words->len;
    int32_t   most = tokens_above(m);
    nx_status st = add_headings(m, a);

    a->context = words->len;
    if (!st && a->head != SIZE_MAX) {
        const nx_part *p = &m->doc->parts[a->head];
        nx_str         head = {m->doc->text.data + p->begin, (size_t)(p->end - p->begin)};
        st = add_line(words, head, CONTEXT_BYTES_MAX, &a->context_len, m->err);
    }
    if (!st) st = count_above(m, a);
    while (!st && a->n - m->around > most && shorten(m, a, a->n - m->around, most))
        st = count_above(m, a);
    pack(m, a, begin);
    return st;
}

nx_status nx_chunker_look_above(nx_chunker *m, size_t first, size_t last)
{
    nx_above a = {.path = path_of(m, first, last), .head = SIZE_MAX, .known = true};

    if (m->doc->parts[first].kind == NX_PART_TABLE_ROW) a.head = m->table;
    if (m->above.known && m->above.head == a.head && m->above.path.n == a.path.n &&
        memcmp(m->above.path.parts, a.path.parts, (size_t)a.path.n * sizeof *a.path.parts) == 0)
        return NX_OK;
    nx_status st = make_above(m, &a);
    if (!st) m->above = a;
    return st;
}
