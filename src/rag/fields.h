/* fields.h - payloads made member by member, and read without trust in what stands there.
 *
 *     nx_fields f;
 *     nx_fields_begin(&f, &buf, err);
 *     nx_fields_text(&f, "kind", NX_STR("chunk"));
 *     nx_fields_int(&f, "page", 3);
 *     st = nx_fields_end(&f);      // the first error of all
 *
 * Thread: one at a time.
 */
#ifndef NX_RAG_FIELDS_H
#define NX_RAG_FIELDS_H

#include <stdint.h>

#include "store/value.h"

typedef struct nx_fields {
    nx_buf   *b;
    size_t    mark;
    uint32_t  n;
    nx_status st;
    nx_error *err;
} nx_fields;

/* Append an object to b. After an error the rest does nothing. */
void      nx_fields_begin(nx_fields *f, nx_buf *b, nx_error *err);
void      nx_fields_text(nx_fields *f, const char *key, nx_str text);
void      nx_fields_some(nx_fields *f, const char *key, nx_str text); /* nothing when it is empty */
void      nx_fields_int(nx_fields *f, const char *key, int64_t x);
void      nx_fields_uint(nx_fields *f, const char *key, uint64_t x);  /* clamped to INT64_MAX */
void      nx_fields_value(nx_fields *f, const char *key, nx_value v); /* nothing when v.n == 0 */
void      nx_fields_null(nx_fields *f, const char *key); /* in a change: the member goes */
void      nx_fields_texts(nx_fields *f, const char *key, const nx_str *texts, size_t n);
void      nx_fields_time(nx_fields *f, const char *key, int64_t us); /* RFC 3339, in UTC */
nx_status nx_fields_end(nx_fields *f);

/* What stands there, or "" and 0 where there is nothing of that kind. Whole floats count as integers. */
nx_str   nx_field_text(nx_value object, const char *key);
int64_t  nx_field_i64(nx_value object, const char *key);
uint64_t nx_field_uint(nx_value object, const char *key);
int32_t  nx_field_i32(nx_value object, const char *key);  /* 0 also where it is out of bounds */
int64_t  nx_field_time(nx_value object, const char *key); /* microseconds since 1970; 0: none */

/* "2026-02-03T04:05:06.000007Z" of microseconds since 1970, between the years 1 and 9999 (others are
 * clamped); without the part behind the point when it is 0. */
#define NX_TIME_TEXT 40
nx_str nx_time_text(char out[NX_TIME_TEXT], int64_t us);

#endif
