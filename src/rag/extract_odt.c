/* extract_odt.c - OpenDocument: texts (.odt), and, as they are made of the same, sheets (.ods) and slides (.odp).
 *
 * Idea:   one pass over content.xml. A cell's text is how its value is shown, so no formats are needed. Cells
 *         and rows that stand for many are read as many only as far as they hold words. Remarks, deleted text,
 *         lists of contents and forms are left out; notes stand behind what they belong to.
 */
#include <stdio.h>
#include <string.h>

#include "rag/extract_in.h"
#include "rag/ooxml.h"

#define REPEAT_MAX 64 /* of a cell with words */

typedef struct odt {
    nx_ooxml   *o;
    nx_compose *c;
    nx_place    place; /* what pages are: NONE, SHEET, SLIDE */
    int32_t     n_pages;
    int32_t     skip;
    int32_t     n_paragraphs; /* text:p and text:h under way: text counts only in them */
    int32_t     n_items, n_tables;
    int32_t     n_notes; /* notes under way */
    nx_buf      notes;   /* their text, till the block is over */
    nx_buf      cell;    /* the cell's text, if it is repeated */
    int64_t     repeat;  /* of the cell under way */
    int32_t     n_cells; /* with words, of the row under way */
    size_t      before;  /* length of the text at the cell's beginning */
    bool        has_head, in_head_rows;
} odt;

static const char *const left_out[] = {
    "annotation",
    "tracked-changes",
    "table-of-content",
    "alphabetical-index",
    "illustration-index",
    "table-index",
    "forms",
    "note-citation",
    "desc",
    "ruby-text",
    "sequence-decls",
    "shapes",
    "bibliography",
    "settings",
    "styles",
    "scripts",
    "font-face-decls",
    "automatic-styles",
    "date-time",
    "page-number",
};

static bool is_left_out(const char *name)
{
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (strcmp(name, left_out[i]) == 0) return true;
    return false;
}

/* ---- Words ---- */

static void words(odt *d, nx_str s)
{
    if (d->n_notes == 0) {
        nx_compose_text(d->c, s);
        return;
    }
    nx_status st = nx_buf_add(&d->notes, s.p, s.len, d->o->err);
    if (st && !d->c->st) d->c->st = st;
}

static void blank(odt *d)
{
    if (d->n_notes)
        words(d, NX_STR(" "));
    else
        nx_compose_space(d->c);
}

/* The notes that the block above has, as one paragraph each. */
static void tell_notes(odt *d)
{
    nx_str rest = {d->notes.data, d->notes.len};

    if (!rest.len) return;
    while (rest.len) {
        const char *end = memchr(rest.p, '\n', rest.len);
        size_t      n = end ? (size_t)(end - rest.p) : rest.len;
        nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
        nx_compose_text(d->c, (nx_str){rest.p, n});
        n += end != NULL;
        rest.p += n, rest.len -= n;
    }
    nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
    nx_buf_clear(&d->notes);
}

static void paragraph(odt *d, nx_part_kind kind, int32_t level)
{
    if (d->n_notes || d->n_tables)
        blank(d);
    else
        nx_compose_part(d->c, kind == NX_PART_PARAGRAPH && d->n_items ? NX_PART_ITEM : kind, level);
}

static void begin_paragraph(odt *d, const nx_xml_element *e, bool heading)
{
    d->n_paragraphs++;
    if (heading)
        paragraph(d, NX_PART_HEADING, (int32_t)nx_xml_int(e, "outline-level", 1, 9, 1));
    else if (nx_xml_is(e, "style-name", "Title"))
        paragraph(d, NX_PART_HEADING, 1);
    else
        paragraph(d, NX_PART_PARAGRAPH, 0);
}

static void end_paragraph(odt *d)
{
    if (d->n_paragraphs > 0) d->n_paragraphs--;
    paragraph(d, NX_PART_PARAGRAPH, 0);
    if (!d->n_notes && !d->n_tables) tell_notes(d);
}

/* ---- Tables ---- */

static void begin_cell(odt *d, const nx_xml_element *e)
{
    d->repeat = nx_xml_int(e, "number-columns-repeated", 1, INT32_MAX, 1);
    nx_compose_cell(d->c);
    d->before = d->c->doc->text.len;
}

/* What the cell says once more, as often as it is to be; empty ones are only counted. */
static void end_cell(odt *d)
{
    nx_buf *text = &d->c->doc->text;
    bool    any = text->len > d->before && !d->c->st;
    int64_t n = d->repeat < REPEAT_MAX ? d->repeat : REPEAT_MAX;
    size_t  from = d->before;

    d->n_cells += any;
    if (any && n > 1) {
        while (from < text->len && strchr(" |\n", text->data[from])) from++;
        nx_buf_clear(&d->cell);
        nx_status st = nx_buf_add(&d->cell, text->data + from, text->len - from, d->o->err);
        if (st && !d->c->st) d->c->st = st;
    }
    for (int64_t i = 1; i < n && !d->c->st; i++) {
        nx_compose_cell(d->c);
        if (any) nx_compose_text(d->c, (nx_str){d->cell.data, d->cell.len});
        d->n_cells += any;
    }
    d->repeat = 1;
}

static void begin_row(odt *d)
{
    nx_compose_part(d->c, NX_PART_TABLE_ROW, 0);
    d->n_cells = 0;
}

static void end_row(odt *d)
{
    if (d->n_cells && (d->in_head_rows || (!d->has_head && d->n_cells > 1))) {
        nx_compose_kind(d->c, NX_PART_TABLE_HEAD);
        d->has_head = true;
    } else if (d->n_cells == 1 && !d->has_head) {
        nx_compose_kind(d->c, NX_PART_PARAGRAPH);
    }
    nx_compose_part(d->c, NX_PART_TABLE_ROW, 0);
    tell_notes(d);
}

static void new_page(odt *d)
{
    if (d->n_pages >= d->o->limits->pages)
        nx_compose_fail(d->c, NX_ELIMIT, "more than %d %ss (the limit)", d->o->limits->pages,
                        nx_place_name(d->place));
    nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
    d->c->page = ++d->n_pages;
}

static void begin_table(odt *d, const nx_xml_element *e)
{
    nx_str name;

    if (d->n_tables++ > 0) return;
    if (d->place == NX_PLACE_SHEET) {
        new_page(d);
        nx_xml_attribute(e, "name", NULL, &name);
        nx_compose_part(d->c, NX_PART_HEADING, 1);
        nx_compose_text(d->c, name);
    }
    d->has_head = d->in_head_rows = false;
    nx_compose_part(d->c, NX_PART_TABLE_ROW, 0);
}

static void end_table(odt *d)
{
    if (d->n_tables > 0 && --d->n_tables == 0) nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
}

static bool is_cell(const char *name)
{
    return strcmp(name, "table-cell") == 0 || strcmp(name, "covered-table-cell") == 0;
}

/* ---- Slides ---- */

static void begin_slide(odt *d, const nx_xml_element *e)
{
    nx_str name;
    char   number[32];

    if (d->place != NX_PLACE_SLIDE) return;
    new_page(d);
    nx_compose_part(d->c, NX_PART_HEADING, 1);
    if (nx_xml_attribute(e, "name", NULL, &name) && name.len) {
        nx_compose_text(d->c, name);
    } else {
        int n = snprintf(number, sizeof number, "Slide %d", d->n_pages);
        nx_compose_text(d->c, (nx_str){number, (size_t)n});
    }
    nx_compose_part(d->c, NX_PART_PARAGRAPH, 0);
}

/* ---- SAX ---- */

static void begin_note(odt *d)
{
    if (d->n_notes++ == 0 && d->notes.len) {
        nx_status st = nx_buf_add(&d->notes, "\n", 1, d->o->err);
        if (st && !d->c->st) d->c->st = st;
    }
}

static void start_table_thing(odt *d, const nx_xml_element *e)
{
    if (strcmp(e->name, "table") == 0)
        begin_table(d, e);
    else if (strcmp(e->name, "table-row") == 0 && d->n_tables == 1)
        begin_row(d);
    else if (is_cell(e->name) && d->n_tables == 1)
        begin_cell(d, e);
    else if (strcmp(e->name, "table-header-rows") == 0 && d->n_tables == 1)
        d->in_head_rows = true;
}

static nx_status on_start(void *ctx, const nx_xml_element *e)
{
    odt *d = ctx;

    if (d->skip || is_left_out(e->name))
        d->skip++;
    else if (strcmp(e->name, "spreadsheet") == 0)
        d->place = NX_PLACE_SHEET;
    else if (strcmp(e->name, "presentation") == 0)
        d->place = NX_PLACE_SLIDE;
    else if (strcmp(e->name, "p") == 0 || strcmp(e->name, "h") == 0)
        begin_paragraph(d, e, e->name[0] == 'h');
    else if (strcmp(e->name, "list-item") == 0 || strcmp(e->name, "list-header") == 0)
        d->n_items++;
    else if (strcmp(e->name, "note-body") == 0)
        begin_note(d);
    else if (strcmp(e->name, "s") == 0 || strcmp(e->name, "tab") == 0)
        blank(d);
    else if (strcmp(e->name, "line-break") == 0 && !d->n_notes)
        nx_compose_line(d->c);
    else if (strcmp(e->name, "page") == 0)
        begin_slide(d, e);
    else
        start_table_thing(d, e);
    return d->c->st;
}

static nx_status on_end(void *ctx, const char *name)
{
    odt *d = ctx;

    if (d->skip)
        d->skip--;
    else if (strcmp(name, "p") == 0 || strcmp(name, "h") == 0)
        end_paragraph(d);
    else if (strcmp(name, "list-item") == 0 || strcmp(name, "list-header") == 0)
        d->n_items -= d->n_items > 0;
    else if (strcmp(name, "note-body") == 0)
        d->n_notes -= d->n_notes > 0;
    else if (strcmp(name, "table") == 0)
        end_table(d);
    else if (strcmp(name, "table-row") == 0 && d->n_tables == 1)
        end_row(d);
    else if (is_cell(name) && d->n_tables == 1)
        end_cell(d);
    else if (strcmp(name, "table-header-rows") == 0)
        d->in_head_rows = false;
    return d->c->st;
}

static nx_status on_text(void *ctx, nx_str s)
{
    odt *d = ctx;

    if (d->n_paragraphs > 0 && !d->skip) words(d, s);
    return d->c->st;
}

/* ---- Encryption: its manifest says so ---- */

static nx_status on_manifest(void *ctx, const nx_xml_element *e)
{
    if (strcmp(e->name, "encryption-data") != 0) return NX_OK;
    return nx_fail(((odt *)ctx)->o->err, NX_EUNSUPPORTED, "encrypted: needs a password");
}

static nx_status read_all(odt *d)
{
    static const nx_xml_handler of_manifest = {.start = on_manifest};
    static const nx_xml_handler of_text = {on_start, on_end, on_text};
    nx_ooxml                   *o = d->o;
    nx_status                   st = NX_OK;

    if (!nx_archive_has(o->zip, NX_STR("content.xml")))
        return nx_fail(o->err, NX_EFORMAT, "an OpenDocument file without content.xml in it");
    if (nx_archive_has(o->zip, NX_STR("META-INF/manifest.xml")))
        st = nx_ooxml_read(o, NX_STR("META-INF/manifest.xml"), &of_manifest, d);
    if (!st) st = nx_ooxml_read_title(o, d->c, NX_STR("meta.xml"));
    if (!st) st = nx_ooxml_read(o, NX_STR("content.xml"), &of_text, d);
    d->c->doc->place = d->place;
    d->c->doc->n_pages = d->n_pages;
    return st;
}

nx_status nx_extract_odt(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                         nx_error *err)
{
    nx_ooxml   o;
    nx_compose c;
    size_t     max = (size_t)limits->text_bytes;
    odt        d = {.o = &o, .c = &c, .notes.max = max, .cell.max = max, .repeat = 1};

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_ODT, limits, err);
    nx_status st = nx_ooxml_open(&o, bytes, limits, err);
    if (!st) st = read_all(&d);
    if (!st && d.place != NX_PLACE_SHEET) nx_compose_title_of_heading(&c);
    if (!st) st = nx_compose_finish(&c);
    nx_ooxml_close(&o);
    nx_buf_free(&d.notes);
    nx_buf_free(&d.cell);
    return st;
}
