/* extract_epub.c - books: their chapters in reading order, each a page of HTML.
 *
 * Idea:   META-INF/container.xml names the package file; that lists the files (manifest) and their order (spine).
 *         Navigation is left out, as on web pages. Books with keys of a shop (DRM) are refused by name.
 */
#include <string.h>

#include "rag/extract_in.h"
#include "rag/html.h"
#include "rag/ooxml.h"

typedef struct chapter {
    nx_str id, path;
    bool   is_page; /* HTML, not a picture */
} chapter;

typedef struct epub {
    nx_ooxml   *o;
    nx_compose *c;
    nx_str      package; /* "OEBPS/content.opf" */
    nx_buf      files;   /* of chapter */
    nx_buf      order;   /* of nx_str: ids */
    nx_buf      title;
    bool        in_title, had_title;
} epub;

static nx_status on_container(void *ctx, const nx_xml_element *e)
{
    epub  *b = ctx;
    nx_str path;

    if (strcmp(e->name, "rootfile") != 0 || b->package.len) return NX_OK;
    if (!nx_xml_attribute(e, "full-path", NULL, &path)) return NX_OK;
    return nx_ooxml_keep(b->o, &b->package, path) ? NX_OK : NX_ENOMEM;
}

/* ---- Package ---- */

static nx_status on_file(epub *b, const nx_xml_element *e)
{
    nx_str  href, type;
    nx_buf  path = {0};
    chapter f = {0};

    if (!nx_xml_attribute(e, "id", NULL, &f.id) || !nx_xml_attribute(e, "href", NULL, &href))
        return NX_OK;
    nx_xml_attribute(e, "media-type", NULL, &type);
    f.is_page = nx_str_eq(type, NX_STR("application/xhtml+xml")) ||
                nx_str_eq(type, NX_STR("text/html")) ||
                nx_str_eq(type, NX_STR("text/x-oeb1-document"));
    nx_status st = nx_archive_resolve(&path, b->package, href, true, b->o->err);
    if (!st &&
        (!nx_ooxml_keep(b->o, &f.id, f.id) ||
         !nx_ooxml_keep(b->o, &f.path, path.len ? (nx_str){path.data, path.len} : NX_STR(""))))
        st = NX_ENOMEM;
    if (!st) st = nx_buf_add(&b->files, &f, sizeof f, b->o->err);
    nx_buf_free(&path);
    return st == NX_ELIMIT ? NX_OK : st; /* no member has such a name */
}

static nx_status on_package(void *ctx, const nx_xml_element *e)
{
    epub  *b = ctx;
    nx_str id;

    if (strcmp(e->name, "title") == 0) {
        b->in_title = !b->had_title;
    } else if (strcmp(e->name, "item") == 0) {
        return on_file(b, e);
    } else if (strcmp(e->name, "itemref") == 0 && nx_xml_attribute(e, "idref", NULL, &id)) {
        if (!nx_ooxml_keep(b->o, &id, id)) return NX_ENOMEM;
        return nx_buf_add(&b->order, &id, sizeof id, b->o->err);
    }
    return NX_OK;
}

static nx_status package_end(void *ctx, const char *name)
{
    epub *b = ctx;

    if (strcmp(name, "title") == 0 && b->in_title) {
        b->in_title = false;
        b->had_title = true;
    }
    return NX_OK;
}

static nx_status package_text(void *ctx, nx_str s)
{
    epub *b = ctx;

    if (b->in_title)
        nx_buf_add(&b->title, s.p, s.len, NULL); /* longer than max: without the rest */
    return NX_OK;
}

/* Fonts may be garbled, that is common; all else means that the book is locked. */
static nx_status on_encryption(void *ctx, const nx_xml_element *e)
{
    nx_str algorithm;

    if (strcmp(e->name, "EncryptionMethod") != 0 ||
        !nx_xml_attribute(e, "Algorithm", NULL, &algorithm) ||
        nx_str_eq(algorithm, NX_STR("http://www.idpf.org/2008/embedding")) ||
        nx_str_eq(algorithm, NX_STR("http://ns.adobe.com/pdf/enc#RC")))
        return NX_OK;
    return nx_fail(((epub *)ctx)->o->err, NX_EUNSUPPORTED, "encrypted: the book is locked (DRM)");
}

/* ---- Chapters ---- */

static const chapter *file_of(const epub *b, nx_str id)
{
    const chapter *files = (const chapter *)(const void *)b->files.data;

    for (size_t i = 0; i < b->files.len / sizeof *files; i++)
        if (nx_str_eq(files[i].id, id)) return &files[i];
    return NULL;
}

static nx_status read_chapter(epub *b, nx_str path)
{
    nx_ooxml *o = b->o;
    char      encoding[24];
    nx_status st = nx_archive_read(o->zip, &o->part, path, o->err);
    nx_buf    html = {.max = o->part.len * 4 + 64};

    if (!st) st = nx_html_utf8(&html, encoding, (nx_str){o->part.data, o->part.len}, NULL, o->err);
    if (!st && html.len)
        st = nx_html_compose(b->c, (nx_str){html.data, html.len}, o->limits->depth, &o->watch);
    nx_buf_free(&html);
    return st;
}

static nx_status read_chapters(epub *b)
{
    const nx_str *ids = (const nx_str *)(const void *)b->order.data;
    size_t        n = b->order.len / sizeof *ids, n_read = 0;
    nx_status     st = NX_OK;

    if (n > (size_t)(b->o->limits->members > 0 ? b->o->limits->members : 0))
        return nx_fail(b->o->err, NX_ELIMIT, "a book of %zu chapters; the limit is %d", n,
                       b->o->limits->members);
    for (size_t i = 0; i < n && !st; i++) {
        const chapter *f = file_of(b, ids[i]);
        st = nx_watch_check(&b->o->watch, b->o->err);
        if (st || (f && !f->is_page)) continue;
        if (!f || !nx_archive_has(b->o->zip, f->path)) {
            nx_compose_warn(b->c, "chapter %zu is missing", i + 1);
            continue;
        }
        st = read_chapter(b, f->path);
        n_read++;
    }
    if (!st && n_read == 0) st = nx_fail(b->o->err, NX_EFORMAT, "a book without chapters");
    return st;
}

static nx_status read_all(epub *b)
{
    static const nx_xml_handler of_container = {.start = on_container};
    static const nx_xml_handler of_package = {on_package, package_end, package_text};
    static const nx_xml_handler of_encryption = {.start = on_encryption};
    nx_ooxml                   *o = b->o;
    nx_str                      container = NX_STR("META-INF/container.xml");
    nx_str                      encryption = NX_STR("META-INF/encryption.xml");
    nx_status                   st = NX_OK;

    if (!nx_archive_has(o->zip, container))
        return nx_fail(o->err, NX_EFORMAT, "a book without META-INF/container.xml in it");
    if (nx_archive_has(o->zip, encryption)) st = nx_ooxml_read(o, encryption, &of_encryption, b);
    if (!st) st = nx_ooxml_read(o, container, &of_container, b);
    if (!st && !nx_archive_has(o->zip, b->package))
        st = nx_fail(o->err, NX_EFORMAT, "a book without its package file");
    if (!st) st = nx_ooxml_read(o, b->package, &of_package, b);
    if (!st && b->title.len) nx_compose_title(b->c, (nx_str){b->title.data, b->title.len});
    return st ? st : read_chapters(b);
}

nx_status nx_extract_epub(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_ooxml   o;
    nx_compose c;
    epub       b = {.o = &o,
                    .c = &c,
                    .title.max = 4096,
                    .files.max = (size_t)1 << 28,
                    .order.max = (size_t)1 << 28};

    (void)name;
    nx_compose_start(&c, doc, NX_DOC_EPUB, limits, err);
    nx_status st = nx_ooxml_open(&o, bytes, limits, err);
    if (!st) st = read_all(&b);
    if (!st) st = nx_compose_finish(&c);
    nx_ooxml_close(&o);
    nx_buf_free(&b.files);
    nx_buf_free(&b.order);
    nx_buf_free(&b.title);
    return st;
}
