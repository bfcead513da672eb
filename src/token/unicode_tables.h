/* unicode_tables.h - the shape of the generated tables that only unicode.c reads. */
#ifndef NX_TOKEN_UNICODE_TABLES_H
#define NX_TOKEN_UNICODE_TABLES_H

#include "token/unicode.h"

/* Full decompositions, in nx_uc_pool; a length of 0: none. Sorted by c. */
typedef struct nx_uc_decomposition {
    uint32_t c;
    uint16_t at, len;     /* canonical */
    uint16_t k_at, k_len; /* compatible */
} nx_uc_decomposition;

typedef struct nx_uc_composition { /* sorted by first, second */
    uint32_t first, second, both;
} nx_uc_composition;

typedef struct nx_uc_lower_pair { /* sorted by c */
    uint32_t c, lower;
} nx_uc_lower_pair;

typedef struct nx_uc_extra {
    const char *name, *ranges;
} nx_uc_extra;

extern const nx_uc_decomposition nx_uc_decompositions[];
extern const int                 nx_uc_n_decompositions;
extern const uint32_t            nx_uc_pool[];
extern const nx_uc_composition   nx_uc_compositions[];
extern const int                 nx_uc_n_compositions;
extern const nx_uc_lower_pair    nx_uc_lowers[];
extern const int                 nx_uc_n_lowers;
extern const nx_uc_extra         nx_uc_extras[]; /* ends with a name of NULL */

#endif
