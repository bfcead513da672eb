/* qdrant_filter.c - filters: a key's tags alone. */
#include "server/qdrant.h"

nx_status nx_qd_filter(const nx_filter **out, nx_call *c, const nx_config *config, const nx_json *v,
                       nx_error *err)
{
    (void)config;
    if (!nx_json_absent(v)) return nx_fail(err, NX_EUNSUPPORTED, "not supported: filter");
    return nx_rights_filter(c, NULL, out, err);
}
