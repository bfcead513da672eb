/* bound.h - a filter bound to the payload indexes of its collection: which condition has which, and,
 * for conditions on texts, the words that are asked for.
 *
 * A condition belongs to an index when its path is the index's, step by step; within NESTED, the path of
 * the array and `[]` stand before it.
 *
 * Owns:   its list, tokenizers. Borrows filter and settings.
 * Thread: one at a time: make one for each.
 */
#ifndef NX_STORE_BOUND_H
#define NX_STORE_BOUND_H

#include "store/filter.h"
#include "store/words.h"

typedef struct nx_bound nx_bound;

/* The words of a condition on texts, in their order. */
typedef struct nx_asked {
    nx_str *words; /* [n] */
    size_t  n;
} nx_asked;

/* *out NULL: no condition has an index. f, s may be NULL. NX_ENOMEM. */
nx_status nx_bound_create(nx_bound **out, const nx_filter *f, const nx_settings *s, nx_error *err);
void      nx_bound_destroy(nx_bound *b); /* NULL does nothing */

/* The condition's index, or NULL; b may be NULL. *asked (may be NULL): its words, when it is one of
 * WORDS, WORDS_ANY, PHRASE on a text index. */
const nx_index_spec *nx_bound_index(const nx_bound *b, const nx_condition *c,
                                    const nx_asked **asked);

/* Does text fit the condition, by words? False when it isn't bound to a text index: *fits is then not
 * written. */
bool nx_bound_test(nx_bound *b, const nx_condition *c, nx_str text, bool *fits);

/* A test that ran out of memory since; its answers count for nothing. */
nx_status nx_bound_status(const nx_bound *b);

#endif
