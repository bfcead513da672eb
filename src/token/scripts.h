/* scripts.h - the scripts of characters, as the pre-tokenizer UnicodeScripts knows them. */
#ifndef NX_TOKEN_SCRIPTS_H
#define NX_TOKEN_SCRIPTS_H

#include <stdint.h>

typedef struct nx_script_range {
    uint32_t first, last;
    uint32_t script; /* from 1; 0 stands for any */
} nx_script_range;

extern const nx_script_range nx_script_ranges[]; /* scripts.c, generated */
extern const int             nx_n_script_ranges;

#endif
