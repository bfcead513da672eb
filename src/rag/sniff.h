/* sniff.h - what kind of document bytes are.
 *
 * Thread: any.
 */
#ifndef NX_RAG_SNIFF_H
#define NX_RAG_SNIFF_H

#include "rag/doc.h"

/* TEXT where nothing tells; NX_DOC_KINDS where the bytes are something else altogether. */
nx_doc_kind nx_sniff(nx_str name, nx_str type, nx_str bytes);

/* What to say as a type of a document that was found to be of this kind ("markdown"), so that it is found again; "":
 * its bytes or its name tell. */
nx_str nx_media_type_of(nx_str kind);

/* "a PNG image": what bytes are that hold no text for us; NULL: nothing that is known. */
const char *nx_sniff_foreign(nx_str bytes);

/* What stands behind a name's last dot, or the name itself without one: a view. */
nx_str nx_name_end(nx_str name);

#endif
