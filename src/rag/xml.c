/* xml.c - over libxml2's SAX2 push parser. */
#include "rag/xml.h"

#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <pthread.h>
#include <string.h>

#include "format/printable.h"

#define PIECE     65536 /* bytes between two looks at the clock */
/* Bytes of different names that a document may use. Real ones have a few thousand; and as the parser compares each
 * attribute of a tag with all before it, many names are an attack on its time. */
#define NAMES_MAX 65536

typedef struct reader {
    const nx_xml_handler *h;
    void                 *ctx;
    xmlParserCtxt        *parser;
    const char           *what;
    nx_watch             *watch;
    int32_t               depth, depth_max;
    nx_status             st;
    nx_error             *err;
} reader;

static void start_library(void)
{
    xmlInitParser();
}

void nx_xml_library_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start_library);
}

/* ---- Attributes ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = s ? strlen(s) : 0, k = strlen(end);

    return n >= k && memcmp(s + n - k, end, k) == 0;
}

bool nx_xml_attribute(const nx_xml_element *e, const char *name, const char *ns, nx_str *value)
{
    for (int i = 0; i < e->n; i++) {
        const unsigned char **a = e->attributes + (size_t)i * 5;
        if (strcmp((const char *)a[0], name) != 0) continue;
        if (ns && !ends_with((const char *)a[2], ns)) continue;
        *value = (nx_str){(const char *)a[3], (size_t)(a[4] - a[3])};
        return true;
    }
    *value = (nx_str){"", 0};
    return false;
}

bool nx_xml_is(const nx_xml_element *e, const char *name, const char *value)
{
    nx_str s;

    return nx_xml_attribute(e, name, NULL, &s) && nx_str_eq(s, nx_str_of(value));
}

bool nx_xml_int_of(nx_str s, int64_t *out)
{
    bool    minus = s.len && s.p[0] == '-';
    int64_t v = 0;

    if (minus || (s.len && s.p[0] == '+')) s.p++, s.len--;
    if (s.len == 0 || s.len > 18) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (s.p[i] - '0');
    }
    *out = minus ? -v : v;
    return true;
}

int64_t nx_xml_int(const nx_xml_element *e, const char *name, int64_t min, int64_t max,
                   int64_t none)
{
    nx_str  s;
    int64_t v;

    if (!nx_xml_attribute(e, name, NULL, &s) || !nx_xml_int_of(s, &v) || v < min || v > max)
        return none;
    return v;
}

/* ---- SAX ---- */

static void stop(reader *r, nx_status st)
{
    if (!st || r->st) return;
    r->st = st;
    xmlStopParser(r->parser);
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                     int n_namespaces, const xmlChar **namespaces, int n, int n_defaulted,
                     const xmlChar **attributes)
{
    reader        *r = ctx;
    nx_xml_element e = {(const char *)name, attributes, n};

    (void)prefix, (void)uri, (void)n_namespaces, (void)namespaces, (void)n_defaulted;
    if (r->st) return;
    if (++r->depth > r->depth_max) {
        stop(r, nx_fail(r->err, NX_ELIMIT, "%s: nested deeper than %d (the limit)", r->what,
                        r->depth_max));
        return;
    }
    stop(r, nx_watch_often(r->watch, r->err));
    if (!r->st && r->h->start) stop(r, r->h->start(r->ctx, &e));
}

static void on_end(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    reader *r = ctx;

    (void)prefix, (void)uri;
    if (r->st) return;
    r->depth--;
    if (r->h->end) stop(r, r->h->end(r->ctx, (const char *)name));
}

static void on_text(void *ctx, const xmlChar *s, int n)
{
    reader *r = ctx;

    if (!r->st && n > 0 && r->h->text)
        stop(r, r->h->text(r->ctx, (nx_str){(const char *)s, (size_t)n}));
}

static void on_entity(void *ctx, const xmlChar *name, int type, const xmlChar *public_id,
                      const xmlChar *system_id, xmlChar *content)
{
    reader *r = ctx;

    (void)name, (void)type, (void)public_id, (void)system_id, (void)content;
    if (!r->st)
        stop(r, nx_fail(r->err, NX_EFORMAT, "%s: declares entities, which office files never do",
                        r->what));
}

/* Silence: what is wrong is asked for at the end. */
static void on_error(void *ctx, const xmlError *e)
{
    (void)ctx, (void)e;
}

static xmlSAXHandler handler(void)
{
    xmlSAXHandler sax = {0};

    sax.initialized = XML_SAX2_MAGIC;
    sax.startElementNs = on_start;
    sax.endElementNs = on_end;
    sax.characters = on_text;
    sax.cdataBlock = on_text;
    sax.ignorableWhitespace = on_text;
    sax.entityDecl = on_entity;
    sax.serror = (xmlStructuredErrorFunc)on_error;
    return sax;
}

/* "line 3: Opening and ending tag mismatch" */
static nx_status damage(reader *r)
{
    const xmlError *e = xmlCtxtGetLastError(r->parser);
    const char     *why = e && e->message ? e->message : "not well-formed";
    char            shown[160];

    if (e && e->code == XML_ERR_NO_MEMORY) return nx_fail(r->err, NX_ENOMEM, "%s", r->what);
    return nx_fail(r->err, NX_EFORMAT, "%s: line %d: %s", r->what, e ? e->line : 0,
                   nx_printable(shown, sizeof shown, (nx_str){why, strcspn(why, "\n")}));
}

nx_status nx_xml_read(nx_str bytes, const char *what, const nx_xml_handler *h, void *ctx,
                      int32_t depth, nx_watch *watch, nx_error *err)
{
    xmlSAXHandler sax = handler();
    reader r = {.h = h, .ctx = ctx, .what = what, .watch = watch, .depth_max = depth, .err = err};

    nx_xml_library_start();
    r.parser = xmlCreatePushParserCtxt(&sax, &r, NULL, 0, NULL);
    if (!r.parser) return nx_fail(err, NX_ENOMEM, "XML parser");
    xmlCtxtUseOptions(r.parser, XML_PARSE_NONET | XML_PARSE_HUGE | XML_PARSE_NOWARNING);
    xmlDictSetLimit(r.parser->dict, NAMES_MAX);
    int bad = 0;
    for (size_t at = 0; at < bytes.len && !bad && !r.st; at += PIECE) {
        size_t n = bytes.len - at < PIECE ? bytes.len - at : PIECE;
        bad = xmlParseChunk(r.parser, bytes.p + at, (int)n, at + n == bytes.len);
        if (!r.st) r.st = nx_watch_check(watch, err);
    }
    if (!r.st && (bad || bytes.len == 0 || !r.parser->wellFormed)) r.st = damage(&r);
    xmlFreeDoc(r.parser->myDoc);
    xmlFreeParserCtxt(r.parser);
    return r.st;
}
