/* value.h - payloads in compact binary form: what a JSON value says, ready to be read in place.
 *
 * The bytes are drawn in docs/formats/store.md. A value is a span that was checked once, by
 * nx_value_check or by making it; every other function trusts it.
 *
 *     nx_buf b = {.max = NX_PAYLOAD_MAX};
 *     nx_status st = nx_value_add_json(&b, doc.root, err);        // parsed JSON in
 *     nx_value v = {(const uint8_t *)b.data, (uint32_t)b.len};
 *     nx_value city = nx_value_member(v, NX_STR("city"));         // {NULL, 0}: not there
 *     nx_value_iter it = nx_value_each(v);                        // and out again
 *     nx_str key; nx_value item;
 *     while (nx_value_next(&it, &key, &item)) ...
 *
 * Thread: any; nothing here keeps anything.
 */
#ifndef NX_STORE_VALUE_H
#define NX_STORE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/jsonread.h"

#define NX_PAYLOAD_MAX     ((size_t)64 << 20)
#define NX_VALUE_DEPTH_MAX 200

typedef enum nx_value_kind {
    NX_VALUE_NULL,
    NX_VALUE_FALSE,
    NX_VALUE_TRUE,
    NX_VALUE_INT,
    NX_VALUE_UINT, /* above INT64_MAX */
    NX_VALUE_FLOAT,
    NX_VALUE_TEXT,
    NX_VALUE_ARRAY,
    NX_VALUE_OBJECT,
} nx_value_kind;

/* Borrowed bytes of one value; n == 0: there is none. */
typedef struct nx_value {
    const uint8_t *p;
    uint32_t       n;
} nx_value;

/* Append what v says. Of equal keys the last counts. NX_EINVAL: a number beyond double, nested
 * beyond NX_VALUE_DEPTH_MAX; NX_ELIMIT (out->max), NX_ENOMEM; out is then as it was. */
nx_status nx_value_add_json(nx_buf *out, const nx_json *v, nx_error *err);

/* The same of one plain value. */
nx_status nx_value_add_text(nx_buf *out, nx_str text, nx_error *err);
nx_status nx_value_add_int(nx_buf *out, int64_t x, nx_error *err);
nx_status nx_value_add_plain(nx_buf *out, nx_value_kind kind,
                             nx_error *err); /* null, false, true */

/* A container is opened, its values are added, and it is closed: mark is where it began.
 *     size_t mark; nx_value_open(&b, NX_VALUE_OBJECT, &mark, err);
 *     nx_value_add_key(&b, NX_STR("n"), err); nx_value_add_int(&b, 3, err);
 *     nx_value_close(&b, mark, 1);   // of one member */
nx_status nx_value_open(nx_buf *out, nx_value_kind kind, size_t *mark, nx_error *err);
nx_status nx_value_add_key(nx_buf *out, nx_str key, nx_error *err);
nx_status nx_value_add(nx_buf *out, nx_value v, nx_error *err); /* a copy */
void      nx_value_close(nx_buf *out, size_t mark, uint32_t n_items);

/* Are these bytes exactly one well-formed value? For bytes from a disk. */
bool nx_value_check(const void *bytes, size_t n);

nx_value_kind nx_value_kind_of(nx_value v);           /* v.n > 0 */
int64_t       nx_value_int(nx_value v);               /* of NX_VALUE_INT */
uint64_t      nx_value_uint(nx_value v);              /* of NX_VALUE_UINT */
double        nx_value_float(nx_value v);             /* of any of the three kinds of number */
nx_str        nx_value_text(nx_value v);              /* of NX_VALUE_TEXT */
uint32_t      nx_value_count(nx_value v);             /* items or members; 0 of others */
bool          nx_value_equal(nx_value a, nx_value b); /* byte for byte: 1 is not 1.0 */

typedef struct nx_value_iter {
    const uint8_t *p;
    uint32_t       left; /* items */
    bool           keys;
} nx_value_iter;

/* Items of an array, members of an object in their order; nothing of another kind. key is set for
 * members, empty for items. */
nx_value_iter nx_value_each(nx_value v);
bool          nx_value_next(nx_value_iter *it, nx_str *key, nx_value *item);

nx_value nx_value_member(nx_value object, nx_str key); /* {NULL, 0} where there is none */
nx_value nx_value_item(nx_value array, uint32_t i);

#endif
