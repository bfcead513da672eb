/* extract_input.h - any bytes as a document of one kind: refused with a reason, or a document that keeps its
 * promises. */
#ifndef NX_TESTS_FUZZ_EXTRACT_INPUT_H
#define NX_TESTS_FUZZ_EXTRACT_INPUT_H

#include <stdlib.h>
#include <string.h>

#include "rag/extract_in.h"

/* Is there a byte outside the parts [from, to) that is no white space or mark? */
static inline bool fuzz_all_blank(const nx_buf *text, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        if ((unsigned char)text->data[i] > ' ' && (unsigned char)text->data[i] < 0x7F) return false;
    return true;
}

/* covered: all that is no white space lies in some part. */
static inline void fuzz_extract(nx_extract_fn extract, const uint8_t *data, size_t size,
                                bool covered)
{
    nx_extract_limits limits;
    nx_doc            doc = {0};
    nx_error          err = {0};
    nx_str            bytes = {size ? (const char *)data : "", size};
    uint64_t          at = 0;

    nx_extract_limits_default(&limits);
    nx_status st = extract(&doc, NX_STR("fuzz"), bytes, &limits, &err);
    if (st && !err.text[0]) abort();
    if (!st) {
        if (nx_doc_check(&doc, &err)) abort();
        if (doc.origin == NX_ORIGIN_FILE &&
            (doc.text.len != size || (size && memcmp(doc.text.data, data, size) != 0)))
            abort();
        for (size_t i = 0; covered && i < doc.n_parts; i++) {
            if (!fuzz_all_blank(&doc.text, at, doc.parts[i].begin)) abort();
            at = doc.parts[i].end;
        }
        if (covered && !fuzz_all_blank(&doc.text, at, doc.text.len)) abort();
    }
    nx_doc_free(&doc);
}

#endif
