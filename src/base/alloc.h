/* alloc.h - the one door to the heap, which tests can close at will.
 *
 * Every nx_* allocation elsewhere comes through here. Counts are multiplied with an overflow
 * check, so a number from a file can't wrap around into a small block. Any thread.
 */
#ifndef NX_BASE_ALLOC_H
#define NX_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* n * size bytes, uninitialised; NULL when out of memory or when n * size overflows.
 * n or size of 0 gives a valid block of 1 byte. Owned by the caller: nx_free. */
void *nx_alloc(size_t n, size_t size);
void *nx_calloc(size_t n, size_t size);           /* the same, zeroed */
void *nx_realloc(void *p, size_t n, size_t size); /* on NULL p still stands; keeps no alignment */
void  nx_free(void *p);                           /* nx_free(NULL) does nothing */

/* n * size bytes at a multiple of align (a power of two >= sizeof(void *)); nx_free. */
void *nx_alloc_aligned(size_t n, size_t size, size_t align);

/* Copies with a NUL at the end; nx_free. strndup copies exactly len bytes (s may be NULL if 0). */
char *nx_strdup(const char *s);
char *nx_strndup(const char *s, size_t len);

/* Tests: let `n` more allocations of this thread succeed, then fail all. -1: never fail. */
void nx_alloc_fail_after(int64_t n);

#endif
