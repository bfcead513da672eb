/* info_meta.c - metadata values of any type, for people and for machines.
 *
 * The checkpoint has checked every value's bounds; num/dtype.c refuses to build on a host that
 * isn't little-endian, so a value is its bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/info.h"
#include "format/printable.h"

typedef enum kind { WHOLE, NATURAL, REAL, BOOL, STRING, ARRAY } kind;

typedef struct value {
    kind     kind;
    int64_t  i;
    uint64_t u;
    double   real;
    nx_str   s;
} value;

#define INTEGER_CASE(TYPE, ctype)                                                                  \
    case TYPE: {                                                                                   \
        ctype x;                                                                                   \
        memcpy(&x, m->data, sizeof x);                                                             \
        v.i = (int64_t)x;                                                                          \
        return v;                                                                                  \
    }

static value integer_of(const nx_meta *m)
{
    value v = {.kind = WHOLE};

    switch (m->type) {
        INTEGER_CASE(NX_META_U8, uint8_t)
        INTEGER_CASE(NX_META_I8, int8_t)
        INTEGER_CASE(NX_META_U16, uint16_t)
        INTEGER_CASE(NX_META_I16, int16_t)
        INTEGER_CASE(NX_META_U32, uint32_t)
        INTEGER_CASE(NX_META_I32, int32_t)
    default: break;
    }
    memcpy(&v.u, m->data, sizeof v.u);
    memcpy(&v.i, m->data, sizeof v.i);
    v.kind = m->type == NX_META_U64 ? NATURAL : WHOLE;
    return v;
}

static value value_of(const nx_meta *m)
{
    value    v = {.kind = REAL};
    float    f;
    uint64_t len;

    switch (m->type) {
    case NX_META_F32:
        memcpy(&f, m->data, sizeof f);
        v.real = (double)f;
        return v;
    case NX_META_F64: memcpy(&v.real, m->data, sizeof v.real); return v;
    case NX_META_BOOL: return (value){.kind = BOOL, .i = m->data[0]};
    case NX_META_ARRAY: return (value){.kind = ARRAY};
    case NX_META_STRING:
        memcpy(&len, m->data, sizeof len);
        return (value){.kind = STRING, .s = {(const char *)m->data + sizeof len, (size_t)len}};
    default: return integer_of(m);
    }
}

void nx_info_meta_text(char *out, size_t cap, const nx_meta *m)
{
    value v = value_of(m);

    switch (v.kind) {
    case WHOLE: snprintf(out, cap, "%" PRId64, v.i); break;
    case NATURAL: snprintf(out, cap, "%" PRIu64, v.u); break;
    case REAL: snprintf(out, cap, "%.9g", v.real); break;
    case BOOL: snprintf(out, cap, "%s", v.i ? "true" : "false"); break;
    case STRING: nx_printable(out, cap, v.s); break;
    case ARRAY:
        snprintf(out, cap, "array of %" PRIu64 " %s", m->n, nx_meta_type_name(m->elem_type));
        break;
    }
}

void nx_info_meta_json(nx_jw *w, const char *key, const nx_meta *m)
{
    value v = value_of(m);

    switch (v.kind) {
    case WHOLE: nx_jw_int(w, key, v.i); break;
    case NATURAL: nx_jw_u64(w, key, v.u); break;
    case REAL: nx_jw_number(w, key, v.real, m->type == NX_META_F32 ? 9 : 17); break;
    case BOOL: nx_jw_bool(w, key, v.i != 0); break;
    case STRING: nx_jw_string(w, key, v.s); break;
    case ARRAY:
        nx_jw_open(w, key, '{');
        nx_jw_text(w, "array", nx_meta_type_name(m->elem_type));
        nx_jw_u64(w, "n", m->n);
        nx_jw_close(w, '}');
        break;
    }
}
