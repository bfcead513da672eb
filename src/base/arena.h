/* arena.h - memory cut by lifetime: many small blocks, freed together in one line.
 *
 * Owns:   its chunks, until nx_arena_free.
 * Thread: one at a time.
 */
#ifndef NX_BASE_ARENA_H
#define NX_BASE_ARENA_H

#include <stddef.h>

typedef struct nx_arena_chunk nx_arena_chunk;

/* Zero-initialise; chunk_bytes 0 means 64 KiB. */
typedef struct nx_arena {
    nx_arena_chunk *head;
    size_t          chunk_bytes;
    size_t          used_bytes; /* handed out since the last reset */
} nx_arena;

/* n * size bytes aligned to 16, zeroed; NULL when out of memory or on overflow. Lives until
 * nx_arena_reset or nx_arena_free. */
void *nx_arena_alloc(nx_arena *a, size_t n, size_t size);
char *nx_arena_strndup(nx_arena *a, const char *s, size_t len);

void nx_arena_reset(nx_arena *a); /* keeps the newest chunk for reuse */
void nx_arena_free(nx_arena *a);

#endif
