/* jinja_chars.h - what Python's str methods know of a character.
 *
 * Chat templates are written for Python's str: which characters are space, letters or digits, how
 * they change case, and which a repr escapes. Tables: jinja_chars_data.c, made by
 * tools/unicode/chars.py. Any thread.
 */
#ifndef NX_TOKEN_JINJA_CHARS_H
#define NX_TOKEN_JINJA_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JJ_ALPHA = 1 << 0,
    JJ_DECIMAL = 1 << 1,
    JJ_DIGIT = 1 << 2,
    JJ_NUMERIC = 1 << 3,
    JJ_LOWER = 1 << 4,
    JJ_UPPER = 1 << 5,
    JJ_TITLE = 1 << 6, /* a letter like Dz */
    JJ_SPACE = 1 << 7,
    JJ_PRINTABLE = 1 << 8,
    JJ_CASED = 1 << 9,
    JJ_IGNORABLE = 1 << 10, /* looked through where a final sigma is decided */
    JJ_ID_START = 1 << 11,
    JJ_ID_CONTINUE = 1 << 12,
    JJ_SPECIAL = 1 << 13, /* some form has several characters: see the list */
};

typedef enum jj_case { JJ_TO_UPPER, JJ_TO_LOWER, JJ_TO_TITLE, JJ_TO_FOLD } jj_case;

typedef struct jj_char {
    uint16_t flags;
    int32_t  delta[4]; /* by jj_case: the form is the character plus this */
} jj_char;

typedef struct jj_char_special {
    uint32_t cp;
    uint32_t form[4][3]; /* by jj_case, ended by 0 when shorter */
} jj_char_special;

extern const jj_char         jj_char_records[];
extern const uint16_t        jj_char_blocks[], jj_char_ids[];
extern const jj_char_special jj_char_specials[];
extern const int             jj_char_n_specials;

unsigned jj_char_flags(uint32_t cp);
size_t   jj_char_map(uint32_t cp, jj_case to, uint32_t out[3]); /* 1 to 3 characters */

#endif
