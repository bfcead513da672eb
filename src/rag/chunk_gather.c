/* chunk_gather.c - where a chunk could end: whole parts while they fit, then pieces of one.
 *
 * Nothing here counts tokens. Guesses are made from bytes in one pass, and whoever asks corrects them by what he
 * has counted. A guess is at least one sixteenth of a token for each byte, so a chunk's bytes are bounded, too.
 */
#include "base/utf8.h"
#include "rag/chunk_in.h"
#include "token/unicode.h"

enum { BACK_MAX = 16, WORD_COST = 16, LETTER_COST = 2 };

/* ---- Guesses ---- */

/* A word costs one token and an eighth for each further letter; a mark costs one; a character of three bytes
 * (mostly Chinese, Japanese) one, of two (in words of Europe, the Near East) half of one or so, of four one and a
 * half. */
static inline nx_guess cost_of(unsigned char c, bool *in_word)
{
    bool was = *in_word;

    *in_word = (unsigned)(c | 32) - 'a' < 26 || (unsigned)c - '0' < 10;
    if (*in_word) return was ? LETTER_COST : WORD_COST;
    if (c <= ' ') return 1;
    if (c < 0x80) return 16;
    if (c < 0xC0) return 1;
    if (c < 0xE0) {
        *in_word = was;
        return 9;
    }
    return c < 0xF0 ? 16 : 24;
}

nx_guess nx_guess_of(const char *p, size_t n, nx_guess max, size_t *used)
{
    nx_guess sum = 0;
    size_t   i = 0;
    bool     in_word = false;

    for (; i < n && sum <= max; i++) sum += cost_of((unsigned char)p[i], &in_word);
    if (used) *used = i;
    return sum;
}

static nx_guess guess_between(const nx_chunker *m, uint64_t begin, uint64_t end, nx_guess max)
{
    return begin < end ? nx_guess_of(m->doc->text.data + begin, (size_t)(end - begin), max, NULL)
                       : 0;
}

/* ---- Cursors ---- */

nx_cursor nx_cursor_skip(const nx_doc *doc, nx_cursor c)
{
    for (; c.part < doc->n_parts; c.part++) {
        const nx_part *p = &doc->parts[c.part];
        if (c.at < p->begin) c.at = p->begin;
        if (c.at < p->end) {
            nx_str part = {doc->text.data, (size_t)p->end};
            c.at = nx_sentence_skip(part, (size_t)c.at);
        }
        if (c.at < p->end) return c;
    }
    c.at = doc->text.len;
    return c;
}

/* A part's end without the blanks that it ends with. */
static uint64_t part_end(const nx_doc *doc, size_t i)
{
    const nx_part *p = &doc->parts[i];
    uint64_t       end = p->end;

    while (end > p->begin && (unsigned char)doc->text.data[end - 1] <= ' ') end--;
    return end;
}

static bool is_start(const char *p)
{
    return ((unsigned char)*p & 0xC0) != 0x80;
}

/* ---- Pieces of a part ---- */

/* Does the character at p[0..n) belong to the one before it: an accent, a skin tone, a joiner? */
static bool hangs_on(const char *p, size_t n)
{
    size_t   len;
    uint32_t c = nx_utf8_decode(p, n, &len);

    return c >= 0x300 && (nx_uc_in(c, NX_GCS_M) || c == 0x200D || (c >= 0x1F3FB && c <= 0x1F3FF));
}

static bool joins(const char *p, uint64_t begin, uint64_t at)
{
    return at - begin >= 3 && p[at - 3] == '\xE2' && p[at - 2] == '\x80' && p[at - 1] == '\x8D';
}

/* A place to cut at or before `at`, between two characters as people see them if one is near; behind begin. */
static uint64_t cut_between(const char *p, uint64_t begin, uint64_t at, uint64_t end)
{
    uint64_t cut = at;

    while (cut > begin && cut < end && !is_start(p + cut)) cut--;
    if (cut == begin) /* one character at least */
        for (cut = begin + 1; cut < end && !is_start(p + cut);) cut++;
    uint64_t best = cut;
    for (int i = 0; i < BACK_MAX && best > begin; i++) {
        bool whole =
            best >= end || (!hangs_on(p + best, (size_t)(end - best)) && !joins(p, begin, best) &&
                            !(p[best] == '\n' && p[best - 1] == '\r'));
        if (whole) return best;
        for (best--; best > begin && !is_start(p + best);) best--;
    }
    return cut;
}

/* The end of a piece of [begin, end) that is guessed to be no more than room: behind a word if there is one in
 * its second half. */
static uint64_t cut_words(const char *p, uint64_t begin, uint64_t end, nx_guess room)
{
    size_t   used;
    nx_guess sum = nx_guess_of(p + begin, (size_t)(end - begin), room, &used);

    if (sum <= room) return end;
    uint64_t over = begin + used - 1; /* the byte that was too much */
    for (uint64_t at = over; at > begin + used / 2; at--)
        if ((unsigned char)p[at] <= ' ') {
            while (at > begin && (unsigned char)p[at - 1] <= ' ') at--;
            if (at > begin) return at;
            break;
        }
    return cut_between(p, begin, over, end);
}

static uint64_t line_end(const char *p, uint64_t begin, uint64_t end)
{
    uint64_t at = begin;

    while (at < end && p[at] != '\n') at++;
    while (at > begin && (unsigned char)p[at - 1] <= ' ') at--;
    return at;
}

/* The end of the sentence or line that begins at `at`. Far ahead of what room allows nobody looks. */
static uint64_t piece_end(const nx_chunker *m, size_t part, uint64_t at, nx_guess room)
{
    const char *p = m->doc->text.data;
    uint64_t    end = part_end(m->doc, part), far = end;

    if (end - at > room) {
        far = at + room; /* a byte costs one at least */
        while (far < end && !is_start(p + far)) far++;
    }
    if (m->doc->parts[part].kind == NX_PART_CODE) return line_end(p, at, far);
    return at + nx_sentence_end((nx_str){p + at, (size_t)(far - at)}, 0);
}

/* ---- Gathering ---- */

typedef struct gathering {
    const nx_chunker *m;
    nx_gathered       g, good; /* good: the last end behind which it could end well */
    nx_guess          room;
    bool              some, has_content, has_good;
} gathering;

static bool ends_badly(nx_part_kind kind)
{
    return kind == NX_PART_HEADING || kind == NX_PART_TABLE_HEAD;
}

static void take(gathering *w, nx_cursor at, uint64_t end, nx_guess guess)
{
    nx_gathered *g = &w->g;

    if (!w->some) g->begin = at.at;
    g->end = end;
    g->guess += guess;
    g->last_part = at.part;
    g->next = nx_cursor_skip(w->m->doc, (nx_cursor){at.part, end});
    w->some = true;
    if (ends_badly(w->m->doc->parts[at.part].kind)) return;
    w->has_content = w->has_good = true;
    w->good = *g;
}

static nx_guess left(const gathering *w)
{
    return w->g.guess < w->room ? w->room - w->g.guess : 0;
}

static bool is_half_full(const gathering *w)
{
    return w->g.guess >= w->room / 2;
}

/* Is a line of code at `at` behind a blank line? A good place to begin a chunk. */
static bool behind_blank_line(const char *p, uint64_t begin, uint64_t at)
{
    int lines = 0;

    while (at > begin && (unsigned char)p[at - 1] <= ' ') lines += p[--at] == '\n';
    return lines >= 2;
}

/* Fill up with pieces of a part that doesn't fit as a whole. */
static void take_pieces(gathering *w, nx_cursor at)
{
    const nx_chunker *m = w->m;
    const char       *p = m->doc->text.data;
    bool              is_code = m->doc->parts[at.part].kind == NX_PART_CODE;
    gathering         nice = *w;
    bool              has_nice = false;

    for (size_t part = at.part; at.part == part; at = w->g.next) {
        uint64_t end = piece_end(m, part, at.at, w->room);
        nx_guess gap = w->some ? guess_between(m, w->g.end, at.at, w->room) : 0;
        nx_guess guess = guess_between(m, at.at, end, w->room);

        if (is_code && w->some && is_half_full(w) && behind_blank_line(p, w->g.begin, at.at)) {
            nice = *w;
            has_nice = true;
        }
        if (gap + guess > left(w)) {
            if (w->some && (w->has_content || at.at > m->doc->parts[part].begin)) break;
            nx_guess room = left(w) > gap ? left(w) - gap : 1;
            end = cut_words(p, at.at, end, room);
            guess = guess_between(m, at.at, end, w->room);
        }
        take(w, at, end, gap + guess);
        if (w->g.guess >= w->room) break;
    }
    if (has_nice) *w = nice;
    w->g.full = true;
}

/* Would the chunk rather end before this part, which doesn't fit as a whole? */
static bool leaves_part(const gathering *w, const nx_part *p)
{
    if (!w->has_content) return false;
    switch (p->kind) {
    case NX_PART_HEADING:
    case NX_PART_TABLE_HEAD:
    case NX_PART_TABLE_ROW:
    case NX_PART_RECORD: return true;
    default: return is_half_full(w);
    }
}

static bool whole_part(gathering *w, nx_cursor at)
{
    const nx_chunker *m = w->m;
    uint64_t          end = part_end(m->doc, at.part);
    nx_guess          room = left(w), gap;

    gap = w->some ? guess_between(m, w->g.end, at.at, room) : 0;
    if (gap > room) return false;
    nx_guess guess = guess_between(m, at.at, end, room - gap);
    if (gap + guess > room) return false;
    take(w, at, end, gap + guess);
    return true;
}

void nx_gather(const nx_chunker *m, nx_cursor from, nx_guess room, nx_gathered *out)
{
    gathering      w = {.m = m, .room = room};
    const nx_part *parts = m->doc->parts;
    nx_cursor      at = from;

    while (at.part < m->doc->n_parts) {
        const nx_part *p = &parts[at.part];
        if (w.has_content && p->kind == NX_PART_HEADING && is_half_full(&w)) break;
        if (!whole_part(&w, at)) {
            if (w.some && leaves_part(&w, p))
                w.g.full = true;
            else
                take_pieces(&w, at);
            break;
        }
        /* The end of a record that was too long for one chunk stands alone. */
        if (p->kind == NX_PART_RECORD && at.part == from.part && from.at > p->begin &&
            nx_sentence_skip((nx_str){m->doc->text.data, (size_t)p->end}, (size_t)p->begin) <
                from.at)
            break;
        at = w.g.next;
    }
    bool full = w.g.full;
    if (w.has_good && w.g.next.part < m->doc->n_parts) w.g = w.good;
    w.g.full = full;
    *out = w.g;
}

/* ---- Overlap ---- */

static bool may_repeat(nx_part_kind kind)
{
    return kind == NX_PART_PARAGRAPH || kind == NX_PART_ITEM || kind == NX_PART_CODE;
}

nx_cursor nx_overlap(const nx_chunker *m, const nx_gathered *done, size_t first_part, nx_guess most)
{
    const nx_doc *doc = m->doc;
    nx_cursor     best = done->next;
    size_t        part = done->last_part;

    if (best.part >= doc->n_parts || !may_repeat(doc->parts[best.part].kind)) return best;
    for (;; part--) {
        nx_cursor at = {part, doc->parts[part].begin};
        bool      found = false;

        if (!may_repeat(doc->parts[part].kind)) break;
        if (at.at < done->begin) at.at = done->begin;
        at = nx_cursor_skip(doc, at);
        /* From its beginning: where sentences end is known only from there. */
        while (at.part == part && at.at < done->end) {
            if (at.at > done->begin && guess_between(m, at.at, done->end, most) <= most) {
                best = at;
                found = true;
                break;
            }
            at.at = piece_end(m, part, at.at, (nx_guess)m->opt.size * 32);
            at = nx_cursor_skip(doc, at);
        }
        if (!found || best.at > doc->parts[part].end || part == first_part || part == 0) break;
        uint64_t begin = nx_cursor_skip(doc, (nx_cursor){part, doc->parts[part].begin}).at;
        if (best.at > begin) break; /* not all of this part: no more of those before */
    }
    return best;
}
