/* extracted.h - any bytes given to an extractor: refused with a status and one line, or a document that keeps
 * what doc.h promises. */
#ifndef NX_TESTS_FUZZ_EXTRACTED_H
#define NX_TESTS_FUZZ_EXTRACTED_H

#include <stdlib.h>
#include <string.h>

#include "rag/extract_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_extract(nx_extract_fn fn, const uint8_t *data, size_t size)
{
    /* Small ones, so that a small input can pass them. */
    nx_extract_limits l = {.file_bytes = 1 << 20,
                           .text_bytes = 1 << 18,
                           .ratio = 20,
                           .depth = 64,
                           .pages = 50,
                           .seconds = 5,
                           .members = 50};
    nx_doc            doc = {0};
    nx_error          err = {0};
    nx_status st = fn(&doc, (nx_str){"fuzz", 4}, (nx_str){(const char *)data, size}, &l, &err);

    if (st && (st != err.status || !err.text[0] || strchr(err.text, '\n'))) abort();
    if (st == NX_EINTERNAL || st == NX_EINVAL || st == NX_EIO) abort();
    if (!st && nx_doc_check(&doc, &err)) abort();
    nx_doc_free(&doc);
}

/* The input is the text of one member of a zip file, which is written here as it is (stored): so the fuzzer
 * reaches what lies behind the packing. members: "name", "text", ..., NULL; text NULL: the input. */
static inline size_t fuzz_zip(uint8_t *out, size_t cap, const char *const *members,
                              const uint8_t *data, size_t size);

static inline uint32_t fuzz_crc(const uint8_t *p, size_t n)
{
    uint32_t c = ~0u;

    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (0xEDB88320u & (0u - (c & 1)));
    }
    return ~c;
}

static inline uint8_t *fuzz_put(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) *p++ = (uint8_t)(v >> 8 * i);
    return p;
}

/* Version to sizes and lengths: what the local and the central header share. */
static inline uint8_t *fuzz_head(uint8_t *p, const char *name, const uint8_t *s, size_t n)
{
    p = fuzz_put(p, 20, 2);
    p = fuzz_put(p, 0, 8);
    p = fuzz_put(p, fuzz_crc(s, n), 4);
    p = fuzz_put(p, (uint32_t)n, 4);
    p = fuzz_put(p, (uint32_t)n, 4);
    p = fuzz_put(p, (uint32_t)strlen(name), 2);
    return fuzz_put(p, 0, 2);
}

static inline size_t fuzz_zip(uint8_t *out, size_t cap, const char *const *members,
                              const uint8_t *data, size_t size)
{
    uint32_t at[16];
    uint8_t *p = out;
    int      n = 0;

    for (const char *const *m = members; *m; m += 2, n++) {
        const uint8_t *s = m[1] ? (const uint8_t *)m[1] : data;
        size_t         k = m[1] ? strlen(m[1]) : size;
        if (n == 16 || (size_t)(p - out) + k + 4096 > cap) return 0;
        at[n] = (uint32_t)(p - out);
        p = fuzz_head(fuzz_put(p, 0x04034B50, 4), m[0], s, k);
        memcpy(p, m[0], strlen(m[0])), p += strlen(m[0]);
        if (k) memcpy(p, s, k);
        p += k;
    }
    uint32_t list = (uint32_t)(p - out);
    for (int i = 0; i < n; i++) {
        const char    *name = members[2 * i], *text = members[2 * i + 1];
        const uint8_t *s = text ? (const uint8_t *)text : data;
        p = fuzz_put(fuzz_put(p, 0x02014B50, 4), 20, 2);
        p = fuzz_head(p, name, s, text ? strlen(text) : size);
        p = fuzz_put(fuzz_put(p, 0, 4), 0, 2);
        p = fuzz_put(fuzz_put(p, 0, 4), at[i], 4);
        memcpy(p, name, strlen(name)), p += strlen(name);
    }
    uint32_t bytes = (uint32_t)(p - out) - list;
    p = fuzz_put(fuzz_put(p, 0x06054B50, 4), 0, 4);
    p = fuzz_put(fuzz_put(p, (uint32_t)n, 2), (uint32_t)n, 2);
    p = fuzz_put(fuzz_put(p, bytes, 4), list, 4);
    return (size_t)(fuzz_put(p, 0, 2) - out);
}

#endif
