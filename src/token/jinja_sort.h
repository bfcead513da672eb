/* jinja_sort.h - a stable sort of values whose comparison may fail. */
#ifndef NX_TOKEN_JINJA_SORT_H
#define NX_TOKEN_JINJA_SORT_H

#include "token/jinja_value.h"

/* order[0..n) becomes the indices of keys in ascending order (descending with reverse; equal ones
 * keep their order in both). */
nx_status jj_sort(jj *j, uint32_t *order, const jj_val *keys, size_t n, bool reverse);

#endif
