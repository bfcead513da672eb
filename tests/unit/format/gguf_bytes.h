/* gguf_bytes.h - GGUF files written byte by byte, so that tests can lie in any field.
 *
 * Not through format/gguf_write.h on purpose: that one refuses to write what is wrong, and a
 * reader tested against its own writer proves little.
 */
#ifndef NX_TESTS_GGUF_BYTES_H
#define NX_TESTS_GGUF_BYTES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/checkpoint.h"

typedef struct bytes {
    unsigned char *p;
    size_t         n, cap;
} bytes;

static inline void put(bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap || !b->p) {
        b->cap = (b->n + n) * 2 + 64;
        b->p = realloc(b->p, b->cap);
        assert_non_null(b->p);
    }
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

static inline void put_uint(bytes *b, uint64_t x, size_t width)
{
    for (size_t i = 0; i < width; i++) put(b, &(unsigned char){(unsigned char)(x >> 8 * i)}, 1);
}

static inline void put_str(bytes *b, const char *s)
{
    put_uint(b, strlen(s), 8);
    put(b, s, strlen(s));
}

static inline void put_head(bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_meta)
{
    put(b, "GGUF", 4);
    put_uint(b, version, 4);
    put_uint(b, n_tensors, 8);
    put_uint(b, n_meta, 8);
}

static inline void put_key(bytes *b, const char *key, uint32_t type)
{
    put_str(b, key);
    put_uint(b, type, 4);
}

static inline void put_key_uint(bytes *b, const char *key, nx_meta_type type, uint64_t x)
{
    static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

    put_key(b, key, type);
    put_uint(b, x, width[type]);
}

static inline void put_key_array(bytes *b, const char *key, uint32_t elem, uint64_t n)
{
    put_key(b, key, NX_META_ARRAY);
    put_uint(b, elem, 4);
    put_uint(b, n, 8);
}

/* A tensor of rank 1, or of rank 2 when ne1 > 0. */
static inline void put_tensor(bytes *b, const char *name, uint32_t type, uint64_t ne0, uint64_t ne1,
                              uint64_t offset)
{
    put_str(b, name);
    put_uint(b, ne1 ? 2 : 1, 4);
    put_uint(b, ne0, 8);
    if (ne1) put_uint(b, ne1, 8);
    put_uint(b, type, 4);
    put_uint(b, offset, 8);
}

static inline void put_zeros_to(bytes *b, size_t alignment)
{
    while (b->n % alignment != 0) put(b, "", 1);
}

/* n bytes of data, none of them zero. */
static inline void put_data(bytes *b, size_t n)
{
    for (size_t i = 0; i < n; i++) put(b, &(unsigned char){(unsigned char)(i % 255 + 1)}, 1);
}

/* Open b, expect `st` and a message that holds each of the `parts` (NULL ends them). b is freed. */
static inline void expect_refusal(bytes *b, nx_status st, const char *const *parts)
{
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};
    nx_status      got = nx_checkpoint_open_bytes(&cp, "t.gguf", b->p, b->n, &err);

    if (got != st) print_error("%s: %s\n", nx_status_name(got), err.text);
    assert_int_equal(got, st);
    assert_int_equal(err.status, st);
    assert_null(cp);
    assert_memory_equal(err.text, "t.gguf: ", 8);
    for (; *parts; parts++) {
        if (!strstr(err.text, *parts)) print_error("no \"%s\" in: %s\n", *parts, err.text);
        assert_non_null(strstr(err.text, *parts));
    }
    free(b->p);
    *b = (bytes){0};
}

#define REFUSED(b, st, ...) expect_refusal(b, st, (const char *const[]){__VA_ARGS__, NULL})

static inline nx_checkpoint *expect_open(const bytes *b)
{
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};
    nx_status      st = nx_checkpoint_open_bytes(&cp, "t.gguf", b->p, b->n, &err);

    if (st) print_error("%s: %s\n", nx_status_name(st), err.text);
    assert_int_equal(st, NX_OK);
    return cp;
}

#endif
