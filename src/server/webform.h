/* webform.h - the parts of a body of multipart/form-data (RFC 7578), as views into it: nothing is copied.
 *
 *     nx_webform      form;
 *     nx_webform_part part;
 *     st = nx_webform_open(&form, content_type, body, err);
 *     while (!st && nx_webform_next(&form, &part)) ...
 *     if (!st) st = nx_webform_close(&form, err);       // did it end as it should?
 *
 * Thread: any; one form one thread.
 */
#ifndef NX_SERVER_WEBFORM_H
#define NX_SERVER_WEBFORM_H

#include "base/buf.h"

#define NX_WEBFORM_BOUNDARY_MAX 70 /* RFC 2046 */

typedef struct nx_webform_part {
    nx_str name;     /* as it stands between the quotes: \" and %22 aren't undone */
    nx_str filename; /* likewise; p == NULL: no file */
    nx_str type;     /* Content-Type; may be empty */
    nx_str value;
} nx_webform_part;

typedef struct nx_webform {
    nx_str body;
    size_t at;                                /* behind a boundary */
    char   mark[NX_WEBFORM_BOUNDARY_MAX + 5]; /* "\r\n--boundary" */
    size_t n_mark;
    bool   ended, broken;
} nx_webform;

/* content_type may be NULL. NX_EINVAL: no such form. */
nx_status nx_webform_open(nx_webform *f, const char *content_type, nx_str body, nx_error *err);
bool      nx_webform_next(nx_webform      *f,
                          nx_webform_part *out); /* false: there is none left, or it is broken */
nx_status nx_webform_close(const nx_webform *f,
                           nx_error         *err); /* NX_EINVAL: cut short, or no such form */

#endif
