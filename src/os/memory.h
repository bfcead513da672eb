/* memory.h - large anonymous memory, and how much of it the machine has left. Any thread. */
#ifndef NX_OS_MEMORY_H
#define NX_OS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Private pages of our own, page-aligned. */
typedef struct nx_memory {
    void  *data;
    size_t bytes;
} nx_memory;

/* Zeroed memory with huge pages advised (a sweep over it gains 7 to 16 % over small pages). Nothing
 * is touched yet: the first write to each page pays for it. NX_ENOMEM. */
nx_status nx_memory_map(nx_memory *out, size_t bytes, nx_error *err);
void      nx_memory_unmap(nx_memory *m); /* an all-zero struct is fine */

/* Bytes that this process could still take without swapping: what the system has available, or
 * what its cgroup leaves when that is less. UINT64_MAX when nobody says. */
uint64_t nx_memory_available(void);

/* Largest resident size of this process so far, in bytes; 0 when unknown. */
uint64_t nx_memory_peak(void);

#endif
