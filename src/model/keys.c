/* keys.c - reads numbers of metadata, each with its range. */
#include <stdio.h>

#include "model/arch.h"

const char *nx_key_full(nx_key_reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->prefix, name);
    return r->key;
}

nx_status nx_key_int(nx_key_reader *r, const char *name, int32_t *out, int64_t min, int64_t max,
                     int64_t fallback)
{
    int64_t   value = fallback;
    nx_status st =
        nx_meta_int(r->cp, nx_key_full(r, name), &value, min, max, fallback < min, r->err);

    *out = (int32_t)value;
    return st;
}

nx_status nx_key_positive(nx_key_reader *r, const char *name, double *out, bool required)
{
    nx_status st = nx_meta_float(r->cp, nx_key_full(r, name), out, required, r->err);

    if (st || *out > 0) return st;
    return nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err, "%g, expected a number above 0", *out);
}

nx_status nx_key_not_negative(nx_key_reader *r, const char *name, float *out)
{
    double    x = (double)*out;
    nx_status st = nx_meta_float(r->cp, nx_key_full(r, name), &x, false, r->err);

    *out = (float)x;
    if (st || (*out >= 0 && *out < 1e30f)) return st;
    return nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err, "%g, expected a number from 0", x);
}
