/* html.c - tags and text of libxml2's HTML parser, turned into parts. */
#define _GNU_SOURCE /* strcasestr */
#include "rag/html.h"

#include <libxml/HTMLparser.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "rag/xml.h"

/* Old pages leave tags open by the hundred. But each end tag that fits nothing is looked for in all
 * that are open: there must be a limit. */
#define DEPTH_FACTOR 8
#define TABLES_MAX   16 /* tables within tables that are told apart */
#define LISTS_MAX    32 /* lists within lists that are numbered */
/* Bytes of different names of tags and attributes, beyond which new ones are dropped: see xml.c. */
#define NAMES_MAX    16384

typedef enum tag {
    T_OTHER, /* inline, or unknown: as if it weren't there */
    T_SKIP,
    T_NAV,
    T_BLOCK,
    T_MAIN,
    T_H1,
    T_H2,
    T_H3,
    T_H4,
    T_H5,
    T_H6,
    T_PRE,
    T_LIST,
    T_NUMBERED,
    T_ITEM,
    T_TABLE,
    T_THEAD,
    T_ROW,
    T_CELL,
    T_HEAD_CELL,
    T_LINE,
    T_TITLE,
    T_ROOT,
} tag;

static const struct {
    const char *name;
    tag         tag;
} tags[] = {
    /* in the alphabet's order */
    {"address", T_BLOCK}, {"article", T_MAIN},  {"aside", T_BLOCK},    {"blockquote", T_BLOCK},
    {"body", T_ROOT},     {"br", T_LINE},       {"button", T_SKIP},    {"canvas", T_SKIP},
    {"caption", T_BLOCK}, {"center", T_BLOCK},  {"datalist", T_SKIP},  {"dd", T_ITEM},
    {"details", T_BLOCK}, {"dialog", T_BLOCK},  {"dir", T_LIST},       {"div", T_BLOCK},
    {"dl", T_BLOCK},      {"dt", T_ITEM},       {"fieldset", T_BLOCK}, {"figcaption", T_BLOCK},
    {"figure", T_BLOCK},  {"footer", T_BLOCK},  {"form", T_BLOCK},     {"h1", T_H1},
    {"h2", T_H2},         {"h3", T_H3},         {"h4", T_H4},          {"h5", T_H5},
    {"h6", T_H6},         {"header", T_BLOCK},  {"hgroup", T_BLOCK},   {"hr", T_BLOCK},
    {"html", T_ROOT},     {"iframe", T_SKIP},   {"legend", T_BLOCK},   {"li", T_ITEM},
    {"listing", T_PRE},   {"main", T_MAIN},     {"menu", T_LIST},      {"nav", T_NAV},
    {"noframes", T_SKIP}, {"noscript", T_SKIP}, {"ol", T_NUMBERED},    {"p", T_BLOCK},
    {"plaintext", T_PRE}, {"pre", T_PRE},       {"script", T_SKIP},    {"search", T_SKIP},
    {"section", T_BLOCK}, {"select", T_SKIP},   {"style", T_SKIP},     {"summary", T_BLOCK},
    {"svg", T_SKIP},      {"table", T_TABLE},   {"td", T_CELL},        {"template", T_SKIP},
    {"textarea", T_SKIP}, {"th", T_HEAD_CELL},  {"thead", T_THEAD},    {"title", T_TITLE},
    {"tr", T_ROW},        {"ul", T_LIST},       {"xmp", T_PRE},
};

/* A table under way. */
typedef struct table {
    bool    layout; /* it only places blocks on the page: its cells are no cells */
    bool    in_head, in_row, all_heads;
    int32_t n_cells, n_rows;
} table;

typedef struct page {
    nx_compose    *c;
    xmlParserCtxt *parser;
    nx_watch      *watch;
    int32_t        depth_max;
    int64_t        depth; /* of elements that began and did not end */
    int64_t        skip;  /* the depth at which leaving out began; 0: it didn't */
    bool           skip_nav;
    bool           in_title;
    char           title[512];
    size_t         title_len;
    int32_t        n_pre, n_items, n_lists, n_tables;
    int32_t        numbers[LISTS_MAX]; /* of the list's last item; -1: without numbers */
    int32_t        number;             /* to be said before the next word; 0: none */
    table          tables[TABLES_MAX];
} page;

static int by_name(const void *key, const void *entry)
{
    return strcmp(key, *(const char *const *)entry);
}

static tag tag_of(const xmlChar *name)
{
    const char *colon = strchr((const char *)name, ':'); /* <xhtml:p> */
    const void *found = bsearch(colon ? colon + 1 : (const char *)name, tags,
                                sizeof tags / sizeof *tags, sizeof *tags, by_name);

    return found ? tags[((const char *)found - (const char *)tags) / (ptrdiff_t)sizeof *tags].tag
                 : T_OTHER;
}

/* ---- Blocks ---- */

static table *the_table(page *p)
{
    return p->n_tables > 0 && p->n_tables <= TABLES_MAX ? &p->tables[p->n_tables - 1] : NULL;
}

/* Is this within a row that is a row? */
static bool in_row(page *p)
{
    const table *t = the_table(p);

    return t && t->in_row && !t->layout;
}

/* A block begins or ends: words before and behind it are of two parts. */
static void block(page *p)
{
    if (in_row(p))
        nx_compose_space(p->c);
    else if (p->n_pre > 0)
        nx_compose_line(p->c);
    else
        nx_compose_part(p->c, p->n_items > 0 ? NX_PART_ITEM : NX_PART_PARAGRAPH, 0);
}

/* Something that no cell of a real table holds: the table is there for the layout's sake. */
static void lay_out(page *p)
{
    table *t = the_table(p);

    if (!t || t->layout) return;
    if (t->in_row) nx_compose_kind(p->c, NX_PART_PARAGRAPH);
    t->layout = true;
}

static void heading(page *p, tag t, bool begins)
{
    if (begins) lay_out(p);
    if (begins && p->n_pre == 0)
        nx_compose_part(p->c, NX_PART_HEADING, (int32_t)(t - T_H1) + 1);
    else
        block(p);
}

static void pre(page *p, bool begins)
{
    if (begins) lay_out(p);
    if (!begins && p->n_pre > 0) p->n_pre--;
    if (begins && p->n_pre++ == 0)
        nx_compose_part(p->c, NX_PART_CODE, 0);
    else
        block(p);
}

static void list(page *p, bool numbered, bool begins)
{
    block(p);
    if (begins) {
        if (p->n_lists < LISTS_MAX) p->numbers[p->n_lists] = numbered ? 0 : -1;
        p->n_lists++;
    } else if (p->n_lists > 0) {
        p->n_lists--;
    }
}

static void item(page *p, bool begins)
{
    if (begins)
        p->n_items++;
    else if (p->n_items > 0)
        p->n_items--;
    block(p);
    p->number = 0;
    if (!begins || in_row(p) || p->n_lists < 1 || p->n_lists > LISTS_MAX) return;
    int32_t *n = &p->numbers[p->n_lists - 1];
    if (*n >= 0 && *n < INT32_MAX) p->number = ++*n;
}

/* Words that are seen; an item's number before its first one. */
static void words(page *p, nx_str s)
{
    char   number[16];
    size_t i = 0;

    while (i < s.len && (unsigned char)s.p[i] <= ' ') i++;
    if (p->number && i < s.len) {
        int n = snprintf(number, sizeof number, "%d. ", p->number);
        p->number = 0;
        nx_compose_text(p->c, (nx_str){number, (size_t)n});
    }
    nx_compose_text(p->c, s);
}

/* ---- Tables ---- */

static void end_row(page *p, table *t)
{
    if (!t->in_row) return;
    t->in_row = false;
    if (!t->layout && t->n_cells > 1 && (t->in_head || t->all_heads))
        nx_compose_kind(p->c, NX_PART_TABLE_HEAD);
    else if (!t->layout && t->n_cells <= 1 && t->n_rows == 0 && !t->in_head)
        nx_compose_kind(p->c, NX_PART_PARAGRAPH);
    t->n_rows++;
    nx_compose_part(p->c, NX_PART_PARAGRAPH, 0);
}

static void begin_row(page *p, table *t)
{
    end_row(p, t);
    t->in_row = true;
    t->all_heads = true;
    t->n_cells = 0;
    if (t->layout)
        block(p);
    else
        nx_compose_part(p->c, NX_PART_TABLE_ROW, 0);
}

static void cell(page *p, bool head, bool begins)
{
    table *t = the_table(p);

    if (!t || t->layout || (!begins && !t->in_row)) {
        block(p);
        return;
    }
    if (!begins) return;
    if (!t->in_row) begin_row(p, t);
    t->n_cells++;
    t->all_heads = t->all_heads && head;
    nx_compose_cell(p->c);
}

static void row(page *p, bool begins)
{
    table *t = the_table(p);

    if (!t)
        block(p);
    else if (begins)
        begin_row(p, t);
    else
        end_row(p, t);
}

static void the_head(page *p, bool begins)
{
    table *t = the_table(p);

    if (!t) return;
    end_row(p, t);
    t->in_head = begins;
}

static void begin_or_end_table(page *p, bool begins)
{
    if (begins) {
        if (in_row(p)) lay_out(p);
        block(p);
        p->n_tables++;
        table *t = the_table(p);
        if (t) *t = (table){.layout = p->n_pre > 0};
    } else if (p->n_tables > 0) {
        table *t = the_table(p);
        if (t) end_row(p, t);
        p->n_tables--;
        block(p);
    }
}

/* ---- SAX ---- */

static void handle(page *p, tag t, bool begins)
{
    switch (t) {
    case T_OTHER:
    case T_SKIP:
    case T_ROOT: break;
    case T_NAV:
    case T_MAIN:
    case T_BLOCK: block(p); break;
    case T_H1:
    case T_H2:
    case T_H3:
    case T_H4:
    case T_H5:
    case T_H6: heading(p, t, begins); break;
    case T_PRE: pre(p, begins); break;
    case T_LIST: list(p, false, begins); break;
    case T_NUMBERED: list(p, true, begins); break;
    case T_ITEM: item(p, begins); break;
    case T_TABLE: begin_or_end_table(p, begins); break;
    case T_THEAD: the_head(p, begins); break;
    case T_ROW: row(p, begins); break;
    case T_CELL: cell(p, false, begins); break;
    case T_HEAD_CELL: cell(p, true, begins); break;
    case T_LINE:
        if (begins) nx_compose_line(p->c);
        break;
    case T_TITLE: p->in_title = begins && p->title_len == 0; break;
    }
}

/* Does style say display:none, whatever the blanks? */
static bool shows_nothing(const char *style)
{
    const char *at = strcasestr(style, "display");

    if (!at) return false;
    for (at += 7; *at == ' ' || *at == ':'; at++) continue;
    return strncasecmp(at, "none", 4) == 0;
}

static bool is_hidden(const xmlChar **attributes)
{
    for (; attributes && *attributes; attributes += 2) {
        const char *name = (const char *)attributes[0];
        const char *value = attributes[1] ? (const char *)attributes[1] : "";
        if (strcasecmp(name, "hidden") == 0 && strcasecmp(value, "until-found") != 0) return true;
        if (strcasecmp(name, "aria-hidden") == 0 && strcasecmp(value, "true") == 0) return true;
        if (strcasecmp(name, "style") == 0 && shows_nothing(value)) return true;
    }
    return false;
}

static void stop_if_failed(page *p)
{
    if (p->c->st) xmlStopParser(p->parser);
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar **attributes)
{
    page *p = ctx;
    tag   t = tag_of(name);

    if (p->c->st) return;
    if (++p->depth > (int64_t)p->depth_max * DEPTH_FACTOR)
        nx_compose_fail(p->c, NX_ELIMIT, "its tags are nested deeper than %lld (the limit)",
                        (long long)p->depth_max * DEPTH_FACTOR);
    if (!p->c->st) p->c->st = nx_watch_often(p->watch, p->c->err);
    if (p->skip && p->skip_nav && t == T_MAIN) p->skip = 0; /* somebody forgot to close it */
    if (!p->skip && (t == T_SKIP || t == T_NAV || (t != T_ROOT && is_hidden(attributes)))) {
        p->skip = p->depth;
        p->skip_nav = t == T_NAV;
    }
    if (!p->skip) handle(p, t, true);
    stop_if_failed(p);
}

static void on_end(void *ctx, const xmlChar *name)
{
    page *p = ctx;
    bool  skipped = p->skip != 0;

    if (p->c->st) return;
    if (p->skip && p->depth <= p->skip) p->skip = 0;
    if (p->depth > 0) p->depth--;
    if (!skipped) handle(p, tag_of(name), false);
    stop_if_failed(p);
}

static void add_title(page *p, const xmlChar *s, int n)
{
    size_t room = sizeof p->title - p->title_len, k = (size_t)n < room ? (size_t)n : room;

    memcpy(p->title + p->title_len, s, k);
    p->title_len += k;
}

static void on_text(void *ctx, const xmlChar *s, int n)
{
    page *p = ctx;

    if (p->c->st || p->skip || n <= 0) return;
    if (p->in_title)
        add_title(p, s, n);
    else
        words(p, (nx_str){(const char *)s, (size_t)n});
    stop_if_failed(p);
}

/* What is wrong with a page is nobody's business; but tags that fit nothing are told of here alone. */
static void on_error(void *ctx, const xmlError *e)
{
    page *p = ctx;

    (void)e;
    if (!p->c->st) p->c->st = nx_watch_often(p->watch, p->c->err);
    stop_if_failed(p);
}

/* Our names first: they are never dropped. */
static void learn_names(xmlDict *dict)
{
    static const char *const attributes[] = {"hidden", "aria-hidden", "style"};

    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        xmlDictLookup(dict, (const xmlChar *)tags[i].name, -1);
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        xmlDictLookup(dict, (const xmlChar *)attributes[i], -1);
    xmlDictSetLimit(dict, NAMES_MAX);
}

nx_status nx_html_compose(nx_compose *c, nx_str html, int32_t depth, nx_watch *watch)
{
    page p = {.c = c, .watch = watch, .depth_max = depth};

    if (c->st) return c->st;
    if (html.len > INT_MAX - 16) nx_compose_fail(c, NX_ELIMIT, "a page of %zu bytes", html.len);
    nx_xml_library_start();
    p.parser = c->st ? NULL : htmlNewParserCtxt();
    if (!p.parser) nx_compose_fail(c, NX_ENOMEM, "HTML parser");
    if (c->st) return c->st;
    nx_compose_part(c, NX_PART_PARAGRAPH, 0);
    *p.parser->sax = (xmlSAXHandler){.initialized = 1,
                                     .startElement = on_start,
                                     .endElement = on_end,
                                     .characters = on_text,
                                     .cdataBlock = on_text,
                                     .ignorableWhitespace = on_text,
                                     .serror = (xmlStructuredErrorFunc)on_error};
    p.parser->userData = &p;
    learn_names(p.parser->dict);
    if (html.len)
        htmlCtxtReadMemory(p.parser, html.p, (int)html.len, NULL, "UTF-8",
                           HTML_PARSE_NONET | HTML_PARSE_NODEFDTD | HTML_PARSE_IGNORE_ENC);
    const xmlError *e = xmlCtxtGetLastError(p.parser);
    if (e && e->code == XML_ERR_NO_MEMORY) nx_compose_fail(c, NX_ENOMEM, "HTML parser");
    if (p.parser->myDoc) xmlFreeDoc(p.parser->myDoc);
    htmlFreeParserCtxt(p.parser);
    nx_compose_part(c, NX_PART_PARAGRAPH, 0);
    p.title_len -= nx_utf8_partial_tail(p.title, p.title_len);
    nx_compose_title(c, (nx_str){p.title, p.title_len});
    nx_compose_title_of_heading(c);
    return c->st;
}
