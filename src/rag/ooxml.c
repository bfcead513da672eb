/* ooxml.c - packages, their parts and references (ECMA-376, part 2). */
#include "rag/ooxml.h"

#include <string.h>

#include "base/alloc.h"
#include "format/printable.h"

static const char *last_word(nx_str uri, size_t *n)
{
    size_t at = uri.len;

    while (at && uri.p[at - 1] != '/') at--;
    *n = uri.len - at;
    return uri.p + at;
}

bool nx_ooxml_keep(nx_ooxml *o, nx_str *out, nx_str s)
{
    char *copy = nx_arena_strndup(&o->arena, s.p, s.len);

    if (!copy) {
        nx_fail(o->err, NX_ENOMEM, "no memory for names");
        return false;
    }
    *out = (nx_str){copy, s.len};
    return true;
}

/* ---- References ---- */

typedef struct links_reader {
    nx_ooxml       *o;
    nx_ooxml_links *out;
    nx_str          from;
} links_reader;

static nx_status grow(nx_ooxml *o, nx_ooxml_links *l)
{
    if (l->n < l->cap) return NX_OK;
    size_t         cap = l->cap ? l->cap * 2 : 16;
    nx_ooxml_link *grown = nx_arena_alloc(&o->arena, cap, sizeof *grown);

    if (!grown) return nx_fail(o->err, NX_ENOMEM, "no memory for %zu references", cap);
    if (l->n) memcpy(grown, l->links, l->n * sizeof *grown);
    l->links = grown;
    l->cap = cap;
    return NX_OK;
}

static nx_status on_link(void *ctx, const nx_xml_element *e)
{
    links_reader *r = ctx;
    nx_str        id, type, target;
    nx_buf        path = {0};

    if (strcmp(e->name, "Relationship") != 0 || nx_xml_is(e, "TargetMode", "External"))
        return NX_OK;
    if (!nx_xml_attribute(e, "Id", NULL, &id) || !nx_xml_attribute(e, "Target", NULL, &target))
        return NX_OK;
    nx_xml_attribute(e, "Type", NULL, &type);
    nx_status st = grow(r->o, r->out);
    if (!st) st = nx_archive_resolve(&path, r->from, target, true, r->o->err);
    if (st == NX_ELIMIT) {
        nx_buf_free(&path); /* no member has such a name */
        return NX_OK;
    }
    if (st) goto out;
    nx_ooxml_link *l = &r->out->links[r->out->n];
    type.p = last_word(type, &type.len);
    if (!nx_ooxml_keep(r->o, &l->id, id) || !nx_ooxml_keep(r->o, &l->type, type) ||
        !nx_ooxml_keep(r->o, &l->target, path.len ? (nx_str){path.data, path.len} : NX_STR("")))
        st = NX_ENOMEM;
    else
        r->out->n++;
out:
    nx_buf_free(&path);
    return st;
}

/* "word/_rels/document.xml.rels" of "word/document.xml". */
static nx_status links_name(nx_buf *out, nx_str from, nx_error *err)
{
    size_t      n;
    const char *last = last_word(from, &n);
    nx_status   st = nx_buf_add(out, from.p, from.len - n, err);

    if (!st) st = nx_buf_add(out, "_rels/", 6, err);
    if (!st) st = nx_buf_add(out, last, n, err);
    return st ? st : nx_buf_add(out, ".rels", 5, err);
}

nx_status nx_ooxml_read_links(nx_ooxml *o, nx_ooxml_links *out, nx_str from)
{
    static const nx_xml_handler h = {.start = on_link};
    links_reader                r = {o, out, from};
    nx_buf                      name = {.max = 1 << 16};

    *out = (nx_ooxml_links){0};
    nx_status st = links_name(&name, from, o->err);
    if (!st && nx_archive_has(o->zip, (nx_str){name.data, name.len}))
        st = nx_ooxml_read(o, (nx_str){name.data, name.len}, &h, &r);
    nx_buf_free(&name);
    return st;
}

const nx_ooxml_link *nx_ooxml_by_id(const nx_ooxml_links *l, nx_str id)
{
    for (size_t i = 0; i < l->n; i++)
        if (nx_str_eq(l->links[i].id, id)) return &l->links[i];
    return NULL;
}

const nx_ooxml_link *nx_ooxml_by_type(const nx_ooxml_links *l, const char *type)
{
    for (size_t i = 0; i < l->n; i++)
        if (nx_str_eq(l->links[i].type, nx_str_of(type))) return &l->links[i];
    return NULL;
}

/* ---- The file ---- */

nx_status nx_ooxml_open(nx_ooxml *o, nx_str bytes, const nx_extract_limits *limits, nx_error *err)
{
    nx_ooxml_links top;

    *o = (nx_ooxml){.limits = limits, .watch = nx_watch_start(limits), .err = err};
    nx_status st = nx_archive_open(&o->zip, bytes, limits, &o->watch, err);
    if (!st) st = nx_ooxml_read_links(o, &top, NX_STR(""));
    if (st) return st;
    const nx_ooxml_link *main = nx_ooxml_by_type(&top, "officeDocument");
    o->main = main ? main->target : NX_STR("");
    return NX_OK;
}

void nx_ooxml_close(nx_ooxml *o)
{
    nx_archive_close(o->zip);
    nx_buf_free(&o->part);
    nx_arena_free(&o->arena);
}

nx_status nx_ooxml_read(nx_ooxml *o, nx_str name, const nx_xml_handler *h, void *ctx)
{
    char      what[160];
    nx_status st = nx_archive_read(o->zip, &o->part, name, o->err);

    if (st) return st;
    nx_printable(what, sizeof what, name);
    return nx_xml_read((nx_str){o->part.data, o->part.len}, what, h, ctx, o->limits->depth,
                       &o->watch, o->err);
}

/* ---- Title ---- */

typedef struct title_reader {
    bool   within;
    nx_buf text;
} title_reader;

static nx_status title_start(void *ctx, const nx_xml_element *e)
{
    title_reader *r = ctx;

    r->within = strcmp(e->name, "title") == 0 && r->text.len == 0;
    return NX_OK;
}

static nx_status title_end(void *ctx, const char *name)
{
    (void)name;
    ((title_reader *)ctx)->within = false;
    return NX_OK;
}

static nx_status title_text(void *ctx, nx_str s)
{
    title_reader *r = ctx;

    if (r->within) nx_buf_add(&r->text, s.p, s.len, NULL); /* longer than max: without the rest */
    return NX_OK;
}

nx_status nx_ooxml_read_title(nx_ooxml *o, nx_compose *c, nx_str name)
{
    static const nx_xml_handler h = {title_start, title_end, title_text};
    title_reader                r = {.text = {.max = 4096}};

    if (!nx_archive_has(o->zip, name)) return NX_OK;
    nx_status st = nx_ooxml_read(o, name, &h, &r);
    if (st == NX_EFORMAT) st = NX_OK; /* a title isn't worth a document */
    if (!st && r.text.len) nx_compose_title(c, (nx_str){r.text.data, r.text.len});
    nx_buf_free(&r.text);
    return st;
}
