/* extract_docx.c - Word files: headings by style, paragraphs, list items, rows; notes behind what they belong to.
 *
 * Idea:   one pass over word/document.xml, after styles.xml (which style is a heading) and the notes (kept until they
 *         are referred to). Elements are known by their local names. Deleted text, field codes and the copies
 *         for old programs (mc:Fallback) are left out; headers, footers and comments are parts never opened.
 */
#include <string.h>
#include <strings.h>

#include "rag/extract_in.h"
#include "rag/ooxml.h"

#define STYLES_MAX 4096 /* more are not told apart */

typedef struct style {
    nx_str  id, based_on;
    int32_t level; /* of the heading that it makes; 0: none; -1: not said */
    bool    list;  /* makes items of a list */
} style;

typedef struct note {
    nx_str id;
    size_t begin, end; /* in notes.text */
} note;

typedef struct notes {
    nx_buf list; /* notes */
    nx_buf text;
} notes;

typedef struct due_note {
    const notes *of;
    const note  *which;
} due_note;

typedef struct docx {
    nx_ooxml   *o;
    nx_compose *c;
    nx_buf      styles; /* of style */
    notes       footnotes, endnotes;
    nx_buf      due;  /* of due_note: referred to, to be told */
    int32_t     skip; /* elements under way within something left out */
    bool        in_text, in_properties;
    int32_t     n_tables;
    int32_t     n_rows, n_cells;
} docx;

static const char *const left_out[] = {"Fallback",   "del",       "moveFrom",     "pPrChange",
                                       "rPrChange",  "rt",        "sectPrChange", "tblPrChange",
                                       "trPrChange", "tcPrChange"};

static bool is_left_out(const char *name)
{
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (strcmp(name, left_out[i]) == 0) return true;
    return false;
}

/* ---- Styles ---- */

static size_t n_styles(const docx *d)
{
    return d->styles.len / sizeof(style);
}

static style *style_at(docx *d, size_t i)
{
    return (style *)(void *)d->styles.data + i;
}

/* "heading 2" in any case, or "Title": a level, or -1. */
static int32_t level_of_name(nx_str name)
{
    if (name.len == 9 && strncasecmp(name.p, "heading ", 8) == 0 && name.p[8] >= '1' &&
        name.p[8] <= '9')
        return name.p[8] - '0';
    return name.len == 5 && strncasecmp(name.p, "title", 5) == 0 ? 1 : -1;
}

static nx_status on_style(void *ctx, const nx_xml_element *e)
{
    docx  *d = ctx;
    nx_str value;

    if (strcmp(e->name, "style") == 0 && n_styles(d) < STYLES_MAX) {
        style s = {.level = -1};
        nx_xml_attribute(e, "styleId", NULL, &value);
        if (!nx_ooxml_keep(d->o, &s.id, value)) return NX_ENOMEM;
        return nx_buf_add(&d->styles, &s, sizeof s, d->o->err);
    }
    if (n_styles(d) == 0) return NX_OK;
    style *s = style_at(d, n_styles(d) - 1);
    if (strcmp(e->name, "name") == 0 && nx_xml_attribute(e, "val", NULL, &value) && s->level < 0) {
        s->level = level_of_name(value);
    } else if (strcmp(e->name, "outlineLvl") == 0 && s->level < 0) {
        int64_t level = nx_xml_int(e, "val", 0, 9, 9);
        s->level = level < 9 ? (int32_t)level + 1 : 0;
    } else if (strcmp(e->name, "numId") == 0) {
        s->list = !nx_xml_is(e, "val", "0");
    } else if (strcmp(e->name, "basedOn") == 0 && nx_xml_attribute(e, "val", NULL, &value)) {
        if (!nx_ooxml_keep(d->o, &s->based_on, value)) return NX_ENOMEM;
    }
    return NX_OK;
}

/* What the style, or the nearest one beneath it that says so, makes of a paragraph. */
static void apply_style(docx *d, nx_str id)
{
    bool item = false;

    for (int hops = 0; hops < 16 && id.len; hops++) {
        const style *s = NULL;
        for (size_t i = 0; i < n_styles(d) && !s; i++)
            if (nx_str_eq(style_at(d, i)->id, id)) s = style_at(d, i);
        if (!s) break;
        item = item || s->list;
        if (s->level > 0) {
            nx_compose_part(d->c, NX_PART_HEADING, s->level);
            return;
        }
        id = s->level == 0 ? (nx_str){0} : s->based_on;
    }
    if (item) nx_compose_part(d->c, NX_PART_ITEM, 0);
}

/* ---- Notes ---- */

typedef struct notes_reader {
    docx  *d;
    notes *to;
    bool   in_text;
} notes_reader;

static nx_status note_start(void *ctx, const nx_xml_element *e)
{
    notes_reader *r = ctx;
    nx_str        id, type;

    r->in_text = strcmp(e->name, "t") == 0;
    if (strcmp(e->name, "footnote") != 0 && strcmp(e->name, "endnote") != 0) return NX_OK;
    note n = {.begin = r->to->text.len, .end = r->to->text.len};
    if (nx_xml_attribute(e, "type", NULL, &type) && !nx_str_eq(type, NX_STR("normal")))
        id = NX_STR(""); /* the line above notes */
    else
        nx_xml_attribute(e, "id", NULL, &id);
    if (!nx_ooxml_keep(r->d->o, &n.id, id)) return NX_ENOMEM;
    return nx_buf_add(&r->to->list, &n, sizeof n, r->d->o->err);
}

static nx_status note_end(void *ctx, const char *name)
{
    notes_reader *r = ctx;

    r->in_text = false;
    return strcmp(name, "p") == 0 ? nx_buf_add(&r->to->text, "\n", 1, r->d->o->err) : NX_OK;
}

static nx_status note_text(void *ctx, nx_str s)
{
    notes_reader *r = ctx;
    size_t        n = r->to->list.len / sizeof(note);

    if (!r->in_text || n == 0) return NX_OK;
    nx_status st = nx_buf_add(&r->to->text, s.p, s.len, r->d->o->err);
    ((note *)(void *)r->to->list.data)[n - 1].end = r->to->text.len;
    return st;
}

static nx_status read_notes(docx *d, notes *to, const nx_ooxml_links *links, const char *type)
{
    static const nx_xml_handler h = {note_start, note_end, note_text};
    const nx_ooxml_link        *l = nx_ooxml_by_type(links, type);
    notes_reader                r = {d, to, false};

    to->list.max = to->text.max = (size_t)d->o->limits->text_bytes;
    if (!l || !nx_archive_has(d->o->zip, l->target)) return NX_OK;
    return nx_ooxml_read(d->o, l->target, &h, &r);
}

static nx_status refer(docx *d, const notes *to, const nx_xml_element *e)
{
    nx_str id;

    if (!nx_xml_attribute(e, "id", NULL, &id) || id.len == 0) return NX_OK;
    for (size_t i = 0; i < to->list.len / sizeof(note); i++) {
        const note *n = (const note *)(const void *)to->list.data + i;
        if (!nx_str_eq(n->id, id)) continue;
        due_note due = {to, n};
        if (d->due.len + sizeof due > d->due.max)
            return nx_fail(d->o->err, NX_ELIMIT, "a paragraph with more than %zu notes (the limit)",
                           d->due.max / sizeof due);
        return nx_buf_add(&d->due, &due, sizeof due, d->o->err);
    }
    return NX_OK;
}

/* The notes that the block above refers to, each a paragraph. */
static void tell_notes(docx *d)
{
    for (size_t i = 0; i < d->due.len / sizeof(due_note); i++) {
        const due_note *due = (const due_note *)(const void *)d->due.data + i;
        const note     *n = due->which;
        nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
        if (n->end > n->begin)
            nx_compose_text(d->c, (nx_str){due->of->text.data + n->begin, n->end - n->begin});
    }
    if (d->due.len) nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
    nx_buf_clear(&d->due);
}

/* ---- The document ---- */

static void paragraph(docx *d, bool begins)
{
    if (d->n_tables > 0) {
        nx_compose_space(d->c);
        return;
    }
    nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
    if (!begins) tell_notes(d);
}

static void begin_row(docx *d)
{
    if (d->n_tables != 1) return;
    nx_compose_part(d->c, NX_PART_TABLE_ROW, 0);
    d->n_cells = 0;
}

static void end_row(docx *d)
{
    if (d->n_tables != 1) return;
    if (d->n_cells > 1 && d->n_rows == 0) nx_compose_kind(d->c, NX_PART_TABLE_HEAD);
    d->n_rows++;
    nx_compose_part(d->c, NX_PART_TABLE_ROW, 0);
    tell_notes(d);
}

/* What a paragraph says of itself before its text. */
static void property(docx *d, const nx_xml_element *e)
{
    nx_str value;

    if (d->n_tables > 0) return;
    if (strcmp(e->name, "pStyle") == 0 && nx_xml_attribute(e, "val", NULL, &value)) {
        apply_style(d, value);
    } else if (strcmp(e->name, "outlineLvl") == 0) {
        int64_t level = nx_xml_int(e, "val", 0, 8, -1);
        if (level >= 0) nx_compose_part(d->c, NX_PART_HEADING, (int32_t)level + 1);
    } else if (strcmp(e->name, "numId") == 0 && !nx_xml_is(e, "val", "0") &&
               d->c->kind == NX_PART_PARAGRAPH) {
        nx_compose_part(d->c, NX_PART_ITEM, 0);
    }
}

static void begin_table_thing(docx *d, const nx_xml_element *e)
{
    if (strcmp(e->name, "tbl") == 0) {
        if (d->n_tables++ > 0) return;
        d->n_rows = 0;
        nx_compose_part(d->c, NX_PART_TABLE_ROW, 0);
    } else if (strcmp(e->name, "tr") == 0) {
        begin_row(d);
    } else if (strcmp(e->name, "tc") == 0 && d->n_tables == 1) {
        d->n_cells++;
        nx_compose_cell(d->c);
    } else if (strcmp(e->name, "tblHeader") == 0 && d->n_tables == 1 && !nx_xml_is(e, "val", "0")) {
        nx_compose_kind(d->c, NX_PART_TABLE_HEAD);
    }
}

static nx_status begin_run_thing(docx *d, const nx_xml_element *e)
{
    if (strcmp(e->name, "t") == 0)
        d->in_text = true;
    else if (strcmp(e->name, "tab") == 0 || strcmp(e->name, "ptab") == 0)
        nx_compose_space(d->c);
    else if (strcmp(e->name, "br") == 0 || strcmp(e->name, "cr") == 0)
        nx_compose_line(d->c);
    else if (strcmp(e->name, "noBreakHyphen") == 0)
        nx_compose_text(d->c, NX_STR("-"));
    else if (strcmp(e->name, "footnoteReference") == 0)
        return refer(d, &d->footnotes, e);
    else if (strcmp(e->name, "endnoteReference") == 0)
        return refer(d, &d->endnotes, e);
    return NX_OK;
}

static nx_status on_start(void *ctx, const nx_xml_element *e)
{
    docx     *d = ctx;
    nx_status st = NX_OK;

    if (d->skip || is_left_out(e->name)) {
        d->skip++;
        return NX_OK;
    }
    if (strcmp(e->name, "p") == 0)
        paragraph(d, true);
    else if (strcmp(e->name, "pPr") == 0)
        d->in_properties = true;
    else if (d->in_properties)
        property(d, e);
    else {
        begin_table_thing(d, e);
        st = begin_run_thing(d, e);
    }
    return st ? st : d->c->st;
}

static nx_status on_end(void *ctx, const char *name)
{
    docx *d = ctx;

    if (d->skip) {
        d->skip--;
        return NX_OK;
    }
    if (strcmp(name, "t") == 0) {
        d->in_text = false;
    } else if (strcmp(name, "p") == 0) {
        paragraph(d, false);
    } else if (strcmp(name, "pPr") == 0) {
        d->in_properties = false;
    } else if (strcmp(name, "tr") == 0) {
        end_row(d);
    } else if (strcmp(name, "tbl") == 0 && d->n_tables > 0 && --d->n_tables == 0) {
        nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
    }
    return d->c->st;
}

static nx_status on_text(void *ctx, nx_str s)
{
    docx *d = ctx;

    if (d->in_text && !d->skip) nx_compose_text(d->c, s);
    return d->c->st;
}

static nx_status read_all(docx *d)
{
    static const nx_xml_handler of_styles = {.start = on_style};
    static const nx_xml_handler of_text = {on_start, on_end, on_text};
    nx_ooxml                   *o = d->o;
    nx_ooxml_links              links;
    nx_str                      main = o->main.len ? o->main : NX_STR("word/document.xml");

    if (!nx_archive_has(o->zip, main))
        return nx_fail(o->err, NX_EFORMAT, "a Word file without a document in it");
    nx_status            st = nx_ooxml_read_links(o, &links, main);
    const nx_ooxml_link *styles = nx_ooxml_by_type(&links, "styles");
    if (!st && styles && nx_archive_has(o->zip, styles->target))
        st = nx_ooxml_read(o, styles->target, &of_styles, d);
    if (!st) st = read_notes(d, &d->footnotes, &links, "footnotes");
    if (!st) st = read_notes(d, &d->endnotes, &links, "endnotes");
    if (!st) st = nx_ooxml_read_title(o, d->c, NX_STR("docProps/core.xml"));
    return st ? st : nx_ooxml_read(o, main, &of_text, d);
}

nx_status nx_extract_docx(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_ooxml   o;
    nx_compose c;
    docx       d = {.o = &o, .c = &c, .styles.max = STYLES_MAX * sizeof(style), .due.max = 1 << 20};

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_DOCX, limits, err);
    nx_status st = nx_ooxml_open(&o, bytes, limits, err);
    if (!st) st = read_all(&d);
    if (!st) nx_compose_title_of_heading(&c);
    if (!st) st = nx_compose_finish(&c);
    nx_ooxml_close(&o);
    nx_buf_free(&d.styles);
    nx_buf_free(&d.due);
    nx_buf_free(&d.footnotes.list);
    nx_buf_free(&d.footnotes.text);
    nx_buf_free(&d.endnotes.list);
    nx_buf_free(&d.endnotes.text);
    return st;
}
