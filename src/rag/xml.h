/* xml.h - XML as a stream of elements and text, for the insides of office files and books.
 *
 * Idea:   libxml2's SAX parser, fed piece by piece. Nothing is built, so nothing of ours recurses.
 * Trust:  nothing outside the text is ever read. A document that declares entities (the beginning of "billion
 *         laughs" and of reads of other files) is refused. Names are bounded together, depth by limits->depth.
 * Thread: any; one call each.
 */
#ifndef NX_RAG_XML_H
#define NX_RAG_XML_H

#include "rag/watch.h"

/* An element's beginning. Names are local ones, without prefix; all is borrowed for the call. */
typedef struct nx_xml_element {
    const char           *name;
    const unsigned char **attributes; /* [n][5], as SAX2 gives them */
    int                   n;
} nx_xml_element;

/* Its attribute of that local name; false: none. ns: the end of its namespace's URI, or NULL for any. */
bool nx_xml_attribute(const nx_xml_element *e, const char *name, const char *ns, nx_str *value);
bool nx_xml_is(const nx_xml_element *e, const char *name,
               const char *value); /* ... it has that value */
/* ... as a number in [min, max]; `none` where it is missing, out of range or no number. */
int64_t nx_xml_int(const nx_xml_element *e, const char *name, int64_t min, int64_t max,
                   int64_t none);
bool    nx_xml_int_of(nx_str s, int64_t *out); /* decimal, with a sign or without */

/* Anything but NX_OK ends the reading. Each may be NULL. Text may come in several pieces. */
typedef struct nx_xml_handler {
    nx_status (*start)(void *ctx, const nx_xml_element *e);
    nx_status (*end)(void *ctx, const char *name);
    nx_status (*text)(void *ctx, nx_str s);
} nx_xml_handler;

/* what: the file's name, for messages. NX_EFORMAT (line and reason), NX_ELIMIT, NX_ECANCELLED, NX_ENOMEM, or what
 * the handler returned: it has written its message itself. */
nx_status nx_xml_read(nx_str bytes, const char *what, const nx_xml_handler *h, void *ctx,
                      int32_t depth, nx_watch *watch, nx_error *err);

void nx_xml_library_start(void); /* before the first use of libxml2, by any thread */

#endif
