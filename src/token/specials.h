/* specials.h - finds control and user-defined tokens spelled in a text.
 *
 * Owns:   a sorted list of ids; the texts are views.
 * Idea:   at a place, the longest one wins; places are tried from the left. The sorted list is
 *         walked like a trie: each byte narrows the range of candidates.
 * Cost:   one table look-up per byte of text that begins no special token; else at most
 *         NX_SPECIAL_TEXT_MAX narrowing steps.
 */
#ifndef NX_TOKEN_SPECIALS_H
#define NX_TOKEN_SPECIALS_H

#include "base/buf.h"

#define NX_SPECIAL_TEXT_MAX 512

typedef struct nx_special {
    nx_str  text;
    int32_t id;
    bool    control; /* only seen when control tokens are asked for */
} nx_special;

typedef struct nx_specials {
    nx_special *list; /* [n] sorted by text; of equal texts, one of either kind */
    size_t      n;
    bool       *first; /* [2][256] can a special token begin so? row 1: control ones too */
} nx_specials;

/* Takes list (nx_alloc'ed, texts not empty) whatever comes back. NX_ENOMEM. */
nx_status nx_specials_create(nx_specials *s, nx_special *list, size_t n, nx_error *err);
void      nx_specials_destroy(nx_specials *s);

/* The first special token in text[0..len) that lies wholly inside: NULL if there is none, else
 * its entry, and where it begins in *at. */
const nx_special *nx_specials_find(const nx_specials *s, const char *text, size_t len,
                                   bool with_control, size_t *at);

#endif
