/* tally_values.h - plain payload values, each once: a table from their bytes to a number.
 *
 * Owns:   its table and a copy of the bytes. Thread: one at a time.
 */
#ifndef NX_STORE_TALLY_VALUES_H
#define NX_STORE_TALLY_VALUES_H

#include "store/value.h"

/* Zero-initialise; nx_values_free. */
typedef struct nx_values {
    struct nx_values_entry {
        size_t   at; /* in bytes */
        uint32_t n;
    }      *v; /* [n], in the order they came */
    size_t  n, cap;
    size_t *table; /* [mask + 1]: a number and 1; 0: free */
    size_t  mask;
    nx_buf  bytes;
} nx_values;

void nx_values_free(nx_values *t);

/* Its number: the one it has, or the next. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_values_add(nx_values *t, nx_value v, size_t *number, nx_error *err);

/* Its number, or SIZE_MAX. */
size_t nx_values_find(const nx_values *t, nx_value v);

/* A view, until the next nx_values_add. */
nx_value nx_values_at(const nx_values *t, size_t number);

/* -1: a comes first: booleans, then integers, then texts; each ascending, texts by their bytes. */
int nx_values_compare(nx_value a, nx_value b);

#endif
