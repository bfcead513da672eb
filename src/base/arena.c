/* arena.c - bump allocation in chunks. */
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

#define ALIGN 16u

struct nx_arena_chunk {
    nx_arena_chunk *next;
    size_t          used, cap; /* bytes of data[] */
    _Alignas(ALIGN) unsigned char data[];
};

static nx_arena_chunk *push_chunk(nx_arena *a, size_t need)
{
    size_t cap = a->chunk_bytes ? a->chunk_bytes : (size_t)64 * 1024;

    if (cap < need) cap = need;
    if (cap > SIZE_MAX - sizeof(nx_arena_chunk)) return NULL;
    nx_arena_chunk *c = nx_alloc_aligned(sizeof *c + cap, 1, ALIGN);
    if (!c) return NULL;
    *c = (nx_arena_chunk){.next = a->head, .cap = cap};
    a->head = c;
    return c;
}

void *nx_arena_alloc(nx_arena *a, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - ALIGN) return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    nx_arena_chunk *c = a->head;
    if (!c || c->cap - c->used < bytes) c = push_chunk(a, bytes);
    if (!c) return NULL;
    void *p = c->data + c->used;
    c->used += bytes;
    a->used_bytes += bytes;
    return memset(p, 0, bytes);
}

char *nx_arena_strndup(nx_arena *a, const char *s, size_t len)
{
    char *copy = len == SIZE_MAX ? NULL : nx_arena_alloc(a, len + 1, 1);

    if (copy && len) memcpy(copy, s, len);
    return copy;
}

static void free_chunks(nx_arena_chunk *c)
{
    while (c) {
        nx_arena_chunk *next = c->next;
        nx_free(c);
        c = next;
    }
}

void nx_arena_reset(nx_arena *a)
{
    if (a->head) {
        free_chunks(a->head->next);
        a->head->next = NULL;
        a->head->used = 0;
    }
    a->used_bytes = 0;
}

void nx_arena_free(nx_arena *a)
{
    free_chunks(a->head);
    a->head = NULL;
    a->used_bytes = 0;
}
