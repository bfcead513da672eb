/* extract_in.h - what extract.c calls: one function for each kind. */
#ifndef NX_RAG_EXTRACT_IN_H
#define NX_RAG_EXTRACT_IN_H

#include "rag/extract.h"

#define NX_EXTRACT_DECLARE(kind)                                                                   \
    nx_status nx_extract_##kind(nx_doc *doc, nx_str name, nx_str bytes,                            \
                                const nx_extract_limits *limits, nx_error *err)

NX_EXTRACT_DECLARE(html);
NX_EXTRACT_DECLARE(docx);
NX_EXTRACT_DECLARE(pptx);
NX_EXTRACT_DECLARE(xlsx);
NX_EXTRACT_DECLARE(odt);
NX_EXTRACT_DECLARE(epub);
NX_EXTRACT_DECLARE(pdf);

#endif
