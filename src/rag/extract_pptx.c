/* extract_pptx.c - PowerPoint files: slides in the order of the show, each under its title, notes behind it.
 *
 * Idea:   a slide is read twice, its title first: that stands above all else on it, wherever it was drawn. What
 *         numbers slides, dates them or repeats on all of them is left out. Pages are slides.
 */
#include <stdio.h>
#include <string.h>

#include "rag/extract_in.h"
#include "rag/ooxml.h"

typedef enum place_holder {
    P_NONE, /* a shape by itself */
    P_TITLE,
    P_BODY,
    P_OTHER, /* number, date, footer, header */
} place_holder;

typedef struct pptx {
    nx_ooxml      *o;
    nx_compose    *c;
    nx_ooxml_links links;  /* of the presentation */
    nx_buf         ids;    /* of nx_str: the slides' references, in order */
    bool           titles; /* this pass takes titles, and nothing else */
    bool           notes;  /* this is a page of notes: bodies alone */
    bool           any;    /* the pass found words */
    int32_t        skip;
    place_holder   holder; /* of the shape under way */
    bool           in_text, in_table;
    int32_t        n_cells, n_rows;
} pptx;

/* ---- The order of slides ---- */

static nx_status on_slide_id(void *ctx, const nx_xml_element *e)
{
    pptx  *p = ctx;
    nx_str id;

    if (strcmp(e->name, "sldId") != 0 || !nx_xml_attribute(e, "id", NX_OOXML_RELATIONSHIPS, &id))
        return NX_OK;
    if (p->ids.len / sizeof id >= (size_t)(p->o->limits->pages > 0 ? p->o->limits->pages : 0))
        return nx_fail(p->o->err, NX_ELIMIT, "more than %d slides (the limit)",
                       p->o->limits->pages);
    if (!nx_ooxml_keep(p->o, &id, id)) return NX_ENOMEM;
    return nx_buf_add(&p->ids, &id, sizeof id, p->o->err);
}

/* ---- One slide ---- */

static place_holder holder_of(const nx_xml_element *e)
{
    nx_str type;

    if (!nx_xml_attribute(e, "type", NULL, &type) || nx_str_eq(type, NX_STR("body")) ||
        nx_str_eq(type, NX_STR("obj")) || nx_str_eq(type, NX_STR("subTitle")))
        return P_BODY;
    if (nx_str_eq(type, NX_STR("title")) || nx_str_eq(type, NX_STR("ctrTitle"))) return P_TITLE;
    if (nx_str_eq(type, NX_STR("sldNum")) || nx_str_eq(type, NX_STR("dt")) ||
        nx_str_eq(type, NX_STR("ftr")) || nx_str_eq(type, NX_STR("hdr")) ||
        nx_str_eq(type, NX_STR("sldImg")))
        return P_OTHER;
    return P_NONE;
}

/* Does this pass take the words of the shape under way? */
static bool wanted(const pptx *p)
{
    if (p->notes) return p->holder == P_BODY;
    return p->titles ? p->holder == P_TITLE : p->holder == P_NONE || p->holder == P_BODY;
}

static void paragraph(pptx *p, bool begins)
{
    if (p->in_table)
        nx_compose_space(p->c);
    else if (p->titles)
        nx_compose_space(p->c); /* a title of two lines is one heading */
    else
        nx_compose_part(
            p->c, begins && p->holder == P_BODY && !p->notes ? NX_PART_ITEM : NX_PART_PARAGRAPH, 0);
}

static void end_row(pptx *p)
{
    if (p->n_rows++ == 0 && p->n_cells > 1) nx_compose_kind(p->c, NX_PART_TABLE_HEAD);
    nx_compose_part(p->c, NX_PART_TABLE_ROW, 0);
    p->n_cells = 0;
}

static void start(pptx *p, const nx_xml_element *e)
{
    if (strcmp(e->name, "sp") == 0 || strcmp(e->name, "graphicFrame") == 0) {
        p->holder = P_NONE;
    } else if (strcmp(e->name, "ph") == 0) {
        p->holder = holder_of(e);
    } else if (!wanted(p)) {
        return;
    } else if (strcmp(e->name, "t") == 0) {
        p->in_text = true;
    } else if (strcmp(e->name, "p") == 0) {
        paragraph(p, true);
    } else if (strcmp(e->name, "br") == 0) {
        if (p->titles)
            nx_compose_space(p->c);
        else
            nx_compose_line(p->c);
    } else if (strcmp(e->name, "tbl") == 0 && !p->titles) {
        p->in_table = true;
        p->n_rows = p->n_cells = 0;
        nx_compose_part(p->c, NX_PART_TABLE_ROW, 0);
    } else if (strcmp(e->name, "tc") == 0 && p->in_table) {
        p->n_cells++;
        nx_compose_cell(p->c);
    }
}

static nx_status on_start(void *ctx, const nx_xml_element *e)
{
    pptx *p = ctx;

    if (p->skip || strcmp(e->name, "Fallback") == 0)
        p->skip++;
    else
        start(p, e);
    return p->c->st;
}

static nx_status on_end(void *ctx, const char *name)
{
    pptx *p = ctx;

    if (p->skip) {
        p->skip--;
        return NX_OK;
    }
    if (strcmp(name, "t") == 0) {
        p->in_text = false;
    } else if (strcmp(name, "p") == 0 && wanted(p)) {
        paragraph(p, false);
    } else if (strcmp(name, "tr") == 0 && p->in_table) {
        end_row(p);
    } else if (strcmp(name, "tbl") == 0 && p->in_table) {
        p->in_table = false;
        nx_compose_part(p->c, NX_PART_PARAGRAPH, 0);
    }
    return p->c->st;
}

static nx_status on_text(void *ctx, nx_str s)
{
    pptx *p = ctx;

    if (p->in_text && !p->skip) {
        nx_compose_text(p->c, s);
        p->any = true;
    }
    return p->c->st;
}

static nx_status pass(pptx *p, nx_str part, bool titles, bool notes)
{
    static const nx_xml_handler h = {on_start, on_end, on_text};

    p->titles = titles;
    p->notes = notes;
    p->skip = 0;
    p->holder = P_NONE;
    p->any = p->in_text = p->in_table = false;
    nx_compose_part(p->c, titles ? NX_PART_HEADING : NX_PART_PARAGRAPH, 1);
    return nx_ooxml_read(p->o, part, &h, p);
}

static nx_status read_slide(pptx *p, nx_str part, int32_t number)
{
    nx_ooxml_links links;
    char           name[32];
    nx_status      st = pass(p, part, true, false);

    if (!st && !p->any) { /* what stands here isn't under the title of the slide before */
        int n = snprintf(name, sizeof name, "Slide %d", number);
        nx_compose_text(p->c, (nx_str){name, (size_t)n});
    }
    if (!st) st = pass(p, part, false, false);
    if (!st) st = nx_ooxml_read_links(p->o, &links, part);
    const nx_ooxml_link *notes = st ? NULL : nx_ooxml_by_type(&links, "notesSlide");
    if (notes && nx_archive_has(p->o->zip, notes->target)) st = pass(p, notes->target, false, true);
    if (!st) nx_compose_part(p->c, NX_PART_PARAGRAPH, 0); /* ends on this slide */
    return st;
}

static nx_status read_slides(pptx *p)
{
    size_t    n = p->ids.len / sizeof(nx_str);
    nx_status st = NX_OK;

    p->c->doc->n_pages = (int32_t)n;
    for (size_t i = 0; i < n && !st; i++) {
        const nx_ooxml_link *l = nx_ooxml_by_id(&p->links, ((nx_str *)(void *)p->ids.data)[i]);
        p->c->page = (int32_t)i + 1;
        if (l && nx_archive_has(p->o->zip, l->target))
            st = read_slide(p, l->target, (int32_t)i + 1);
        else
            nx_compose_warn(p->c, "slide %zu is missing", i + 1);
    }
    return st;
}

static nx_status read_all(pptx *p)
{
    static const nx_xml_handler h = {.start = on_slide_id};
    nx_ooxml                   *o = p->o;
    nx_str                      main = o->main.len ? o->main : NX_STR("ppt/presentation.xml");

    if (!nx_archive_has(o->zip, main))
        return nx_fail(o->err, NX_EFORMAT, "a PowerPoint file without a presentation in it");
    nx_status st = nx_ooxml_read_links(o, &p->links, main);
    if (!st) st = nx_ooxml_read(o, main, &h, p);
    if (!st) st = nx_ooxml_read_title(o, p->c, NX_STR("docProps/core.xml"));
    return st ? st : read_slides(p);
}

nx_status nx_extract_pptx(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_ooxml   o;
    nx_compose c;
    pptx       p = {.o = &o, .c = &c, .ids.max = (size_t)1 << 30};

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_PPTX, limits, err);
    doc->place = NX_PLACE_SLIDE;
    nx_status st = nx_ooxml_open(&o, bytes, limits, err);
    if (!st) st = read_all(&p);
    if (!st) nx_compose_title_of_heading(&c);
    if (!st) st = nx_compose_finish(&c);
    nx_ooxml_close(&o);
    nx_buf_free(&p.ids);
    return st;
}
