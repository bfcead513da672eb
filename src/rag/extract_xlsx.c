/* extract_xlsx.c - Excel files: each sheet under its name, its rows as "a | b | c".
 *
 * Idea:   strings that cells share are read once, formats only as far as they make dates of numbers. Of a formula
 *         the last value is taken. The first row of two cells or more is the head of its sheet's table; single
 *         cells above are paragraphs. Empty cells keep their place.
 *         Pages are sheets.
 */
#include <string.h>

#include "format/printable.h"
#include "rag/cell_format.h"
#include "rag/extract_in.h"
#include "rag/ooxml.h"

#define FORMATS_MAX 65536
#define COLUMNS_MAX 16384

typedef struct sheet {
    nx_str name, id;
} sheet;

typedef struct own_format {
    int64_t      id;
    nx_cell_kind kind;
} own_format;

typedef enum cell_type { C_NUMBER, C_SHARED, C_TEXT, C_BOOL, C_ERROR } cell_type;

typedef struct xlsx {
    nx_ooxml      *o;
    nx_compose    *c;
    nx_ooxml_links links;
    nx_buf         sheets;        /* of sheet */
    nx_buf         strings, ends; /* all of them; where each ends: uint64_t */
    nx_buf         own, styles;   /* of own_format; of nx_cell_kind, for each style */
    bool           in_styles;     /* within cellXfs */
    bool           since_1904;
    int32_t        skip;     /* elements under way within a phonetic guide */
    bool           in_value; /* text is the cell's */
    cell_type      type;
    nx_cell_kind   kind;
    nx_buf         value;
    int32_t        column, n_cells; /* of the next cell; of cells with a value in this row */
    bool           has_head;
} xlsx;

/* ---- Workbook, strings, styles ---- */

static nx_status on_workbook(void *ctx, const nx_xml_element *e)
{
    xlsx *x = ctx;
    sheet s;

    if (strcmp(e->name, "workbookPr") == 0)
        x->since_1904 = nx_xml_is(e, "date1904", "1") || nx_xml_is(e, "date1904", "true");
    if (strcmp(e->name, "sheet") != 0) return NX_OK;
    nx_xml_attribute(e, "name", NULL, &s.name);
    nx_xml_attribute(e, "id", NX_OOXML_RELATIONSHIPS, &s.id);
    if (x->sheets.len / sizeof s >= (size_t)(x->o->limits->pages > 0 ? x->o->limits->pages : 0))
        return nx_fail(x->o->err, NX_ELIMIT, "more than %d sheets (the limit)",
                       x->o->limits->pages);
    if (!nx_ooxml_keep(x->o, &s.name, s.name) || !nx_ooxml_keep(x->o, &s.id, s.id))
        return NX_ENOMEM;
    return nx_buf_add(&x->sheets, &s, sizeof s, x->o->err);
}

static nx_status string_start(void *ctx, const nx_xml_element *e)
{
    xlsx *x = ctx;

    if (x->skip || strcmp(e->name, "rPh") == 0)
        x->skip++;
    else
        x->in_value = strcmp(e->name, "t") == 0;
    return NX_OK;
}

static nx_status string_end(void *ctx, const char *name)
{
    xlsx *x = ctx;

    x->in_value = false;
    if (x->skip) {
        x->skip--;
    } else if (strcmp(name, "si") == 0) {
        uint64_t end = x->strings.len;
        return nx_buf_add(&x->ends, &end, sizeof end, x->o->err);
    }
    return NX_OK;
}

static nx_status string_text(void *ctx, nx_str s)
{
    xlsx *x = ctx;

    return x->in_value && !x->skip ? nx_buf_add(&x->strings, s.p, s.len, x->o->err) : NX_OK;
}

static nx_cell_kind kind_of(const xlsx *x, int64_t id)
{
    const own_format *own = (const own_format *)(const void *)x->own.data;

    for (size_t i = 0; i < x->own.len / sizeof *own; i++)
        if (own[i].id == id) return own[i].kind;
    return nx_cell_kind_of_id(id);
}

static nx_status on_style(void *ctx, const nx_xml_element *e)
{
    xlsx *x = ctx;

    if (strcmp(e->name, "numFmt") == 0 && x->own.len / sizeof(own_format) < FORMATS_MAX / 16) {
        nx_str     code;
        own_format f = {.id = nx_xml_int(e, "numFmtId", 0, INT32_MAX, -1)};
        nx_xml_attribute(e, "formatCode", NULL, &code);
        f.kind = nx_cell_kind_of_code(code);
        return nx_buf_add(&x->own, &f, sizeof f, x->o->err);
    }
    if (strcmp(e->name, "cellXfs") == 0) x->in_styles = true;
    if (!x->in_styles || strcmp(e->name, "xf") != 0 ||
        x->styles.len / sizeof(nx_cell_kind) >= FORMATS_MAX)
        return NX_OK;
    nx_cell_kind kind = kind_of(x, nx_xml_int(e, "numFmtId", 0, INT32_MAX, 0));
    return nx_buf_add(&x->styles, &kind, sizeof kind, x->o->err);
}

static nx_status style_end(void *ctx, const char *name)
{
    if (strcmp(name, "cellXfs") == 0) ((xlsx *)ctx)->in_styles = false;
    return NX_OK;
}

/* ---- Cells ---- */

static nx_str shared(const xlsx *x, nx_str number)
{
    const uint64_t *ends = (const uint64_t *)(const void *)x->ends.data;
    int64_t         i;

    if (!nx_xml_int_of(number, &i) || i < 0 || (uint64_t)i >= x->ends.len / sizeof *ends)
        return NX_STR("");
    uint64_t begin = i ? ends[i - 1] : 0;
    return ends[i] > begin ? (nx_str){x->strings.data + begin, ends[i] - begin} : NX_STR("");
}

/* "AB12" is column 27 (from 0); -1: no such name. */
static int32_t column_of(nx_str name)
{
    int32_t n = 0;

    for (size_t i = 0; i < name.len && name.p[i] >= 'A' && name.p[i] <= 'Z'; i++) {
        n = n * 26 + (name.p[i] - 'A' + 1);
        if (n > COLUMNS_MAX) return -1;
    }
    return n - 1;
}

static void begin_cell(xlsx *x, const nx_xml_element *e)
{
    nx_str  t, place;
    int32_t column = nx_xml_attribute(e, "r", NULL, &place) ? column_of(place) : -1;

    if (column < x->column) column = x->column; /* no place told, or one that is taken */
    for (; x->column <= column && x->column < COLUMNS_MAX; x->column++) nx_compose_cell(x->c);
    nx_xml_attribute(e, "t", NULL, &t);
    x->type = nx_str_eq(t, NX_STR("s"))                 ? C_SHARED
              : nx_str_eq(t, NX_STR("b"))               ? C_BOOL
              : nx_str_eq(t, NX_STR("e"))               ? C_ERROR
              : nx_str_eq(t, NX_STR("n")) || t.len == 0 ? C_NUMBER
                                                        : C_TEXT;
    int64_t style = nx_xml_int(e, "s", 0, FORMATS_MAX, 0);
    x->kind = (uint64_t)style < x->styles.len / sizeof x->kind
                  ? ((const nx_cell_kind *)(const void *)x->styles.data)[style]
                  : NX_CELL_NUMBER;
    nx_buf_clear(&x->value);
}

static void end_cell(xlsx *x)
{
    char   text[NX_CELL_TEXT_MAX];
    nx_str v = x->value.len ? (nx_str){x->value.data, x->value.len} : NX_STR("");

    switch (x->type) {
    case C_SHARED: v = shared(x, v); break;
    case C_BOOL:
        v = v.len == 0 ? v : nx_str_eq(v, NX_STR("1")) ? NX_STR("TRUE") : NX_STR("FALSE");
        break;
    case C_NUMBER:
        if (v.len < NX_CELL_TEXT_MAX)
            v = (nx_str){text, nx_cell_text(text, v, x->kind, x->since_1904)};
        break;
    case C_TEXT:
    case C_ERROR: break;
    }
    size_t before = x->c->doc->text.len;
    nx_compose_text(x->c, v);
    if (x->c->doc->text.len > before) x->n_cells++;
}

/* A row has come to its end: now it is clear what it is. Single cells at the top are titles. */
static void end_row(xlsx *x)
{
    if (x->n_cells == 0) return;
    if (!x->has_head)
        nx_compose_kind(x->c, x->n_cells > 1 ? NX_PART_TABLE_HEAD : NX_PART_PARAGRAPH);
    if (x->n_cells > 1) x->has_head = true;
    nx_compose_part(x->c, NX_PART_TABLE_ROW, 0);
}

/* Nothing but single cells: a table of one column, from part `first` on. */
static void one_column(xlsx *x, size_t first)
{
    nx_doc *doc = x->c->doc;

    if (x->has_head || doc->n_parts - first < 2) return;
    for (size_t i = first; i < doc->n_parts; i++)
        doc->parts[i].kind = i == first ? NX_PART_TABLE_HEAD : NX_PART_TABLE_ROW;
}

static nx_status on_start(void *ctx, const nx_xml_element *e)
{
    xlsx *x = ctx;

    if (x->skip || strcmp(e->name, "rPh") == 0) {
        x->skip++;
    } else if (strcmp(e->name, "row") == 0) {
        nx_compose_part(x->c, NX_PART_TABLE_ROW, 0);
        x->column = x->n_cells = 0;
    } else if (strcmp(e->name, "c") == 0) {
        begin_cell(x, e);
    } else {
        x->in_value = strcmp(e->name, "v") == 0 || strcmp(e->name, "t") == 0;
    }
    return x->c->st;
}

static nx_status on_end(void *ctx, const char *name)
{
    xlsx *x = ctx;

    x->in_value = false;
    if (x->skip)
        x->skip--;
    else if (strcmp(name, "c") == 0)
        end_cell(x);
    else if (strcmp(name, "row") == 0)
        end_row(x);
    return x->c->st;
}

static nx_status on_text(void *ctx, nx_str s)
{
    xlsx *x = ctx;

    return x->in_value && !x->skip ? nx_buf_add(&x->value, s.p, s.len, x->o->err) : NX_OK;
}

/* ---- Sheets ---- */

static nx_status read_sheet(xlsx *x, const sheet *s, int32_t number)
{
    static const nx_xml_handler h = {on_start, on_end, on_text};
    const nx_ooxml_link        *l = nx_ooxml_by_id(&x->links, s->id);
    char                        shown[120];

    x->c->page = number;
    nx_compose_part(x->c, NX_PART_HEADING, 1);
    nx_compose_text(x->c, s->name);
    nx_compose_part(x->c, NX_PART_TABLE_ROW, 0);
    if (l && nx_str_eq(l->type, NX_STR("chartsheet"))) return x->c->st;
    if (!l || !nx_archive_has(x->o->zip, l->target)) {
        nx_compose_warn(x->c, "sheet %d (%s) is missing", number,
                        nx_printable(shown, sizeof shown, s->name));
        return x->c->st;
    }
    x->has_head = x->in_value = false;
    x->column = x->n_cells = x->skip = 0;
    size_t    first = x->c->doc->n_parts;
    nx_status st = nx_ooxml_read(x->o, l->target, &h, x);
    if (!st) nx_compose_part(x->c, NX_PART_PARAGRAPH, 0);
    if (!st) one_column(x, first);
    return st;
}

static nx_status read_part(xlsx *x, const char *type, const nx_xml_handler *h)
{
    const nx_ooxml_link *l = nx_ooxml_by_type(&x->links, type);

    return l && nx_archive_has(x->o->zip, l->target) ? nx_ooxml_read(x->o, l->target, h, x) : NX_OK;
}

static nx_status read_all(xlsx *x)
{
    static const nx_xml_handler of_book = {.start = on_workbook};
    static const nx_xml_handler of_strings = {string_start, string_end, string_text};
    static const nx_xml_handler of_styles = {.start = on_style, .end = style_end};
    nx_ooxml                   *o = x->o;
    nx_str                      main = o->main.len ? o->main : NX_STR("xl/workbook.xml");

    if (nx_str_eq(o->main, NX_STR("xl/workbook.bin")))
        return nx_fail(o->err, NX_EUNSUPPORTED, "a binary workbook (.xlsb): save it as .xlsx");
    if (!nx_archive_has(o->zip, main))
        return nx_fail(o->err, NX_EFORMAT, "an Excel file without a workbook in it");
    nx_status st = nx_ooxml_read_links(o, &x->links, main);
    if (!st) st = nx_ooxml_read(o, main, &of_book, x);
    if (!st) st = read_part(x, "sharedStrings", &of_strings);
    if (!st) st = read_part(x, "styles", &of_styles);
    if (!st) st = nx_ooxml_read_title(o, x->c, NX_STR("docProps/core.xml"));
    size_t n = x->sheets.len / sizeof(sheet);
    x->c->doc->n_pages = (int32_t)n;
    for (size_t i = 0; i < n && !st; i++)
        st = read_sheet(x, (const sheet *)(const void *)x->sheets.data + i, (int32_t)i + 1);
    return st;
}

nx_status nx_extract_xlsx(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_ooxml   o;
    nx_compose c;
    size_t     max = (size_t)limits->text_bytes;
    xlsx       x = {.o = &o,
                    .c = &c,
                    .sheets.max = (size_t)1 << 30,
                    .strings.max = max,
                    .ends.max = max * 2,
                    .own.max = 1 << 24,
                    .styles.max = 1 << 24,
                    .value.max = max};

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_XLSX, limits, err);
    doc->place = NX_PLACE_SHEET;
    nx_status st = nx_ooxml_open(&o, bytes, limits, err);
    if (!st) st = read_all(&x);
    if (!st) st = nx_compose_finish(&c);
    nx_ooxml_close(&o);
    nx_buf_free(&x.sheets);
    nx_buf_free(&x.strings);
    nx_buf_free(&x.ends);
    nx_buf_free(&x.own);
    nx_buf_free(&x.styles);
    nx_buf_free(&x.value);
    return st;
}
