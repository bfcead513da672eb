/* alloc.c - the heap's one door. */
#include "base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local int64_t allocs_left = -1; /* -1: no limit */

static bool refused(void)
{
    if (allocs_left < 0) return false;
    if (allocs_left == 0) return true;
    allocs_left--;
    return false;
}

static bool product(size_t *out, size_t n, size_t size)
{
    if (__builtin_mul_overflow(n, size, out)) return false;
    if (*out == 0) *out = 1;
    return true;
}

void nx_alloc_fail_after(int64_t n)
{
    allocs_left = n;
}

void *nx_alloc(size_t n, size_t size)
{
    size_t bytes;

    return product(&bytes, n, size) && !refused() ? malloc(bytes) : NULL;
}

void *nx_calloc(size_t n, size_t size)
{
    return refused() ? NULL : calloc(n ? n : 1, size ? size : 1);
}

void *nx_realloc(void *p, size_t n, size_t size)
{
    size_t bytes;

    return product(&bytes, n, size) && !refused() ? realloc(p, bytes) : NULL;
}

void *nx_alloc_aligned(size_t n, size_t size, size_t align)
{
    size_t bytes;
    void  *p = NULL;

    if (!product(&bytes, n, size) || refused()) return NULL;
    return posix_memalign(&p, align, bytes) == 0 ? p : NULL;
}

void nx_free(void *p)
{
    free(p);
}

char *nx_strndup(const char *s, size_t len)
{
    char *copy = len == SIZE_MAX ? NULL : nx_alloc(len + 1, 1);

    if (!copy) return NULL;
    if (len) memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *nx_strdup(const char *s)
{
    return nx_strndup(s, strlen(s));
}
