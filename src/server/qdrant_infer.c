/* qdrant_infer.c - texts that stand for vectors: there are none. */
#include "server/qdrant.h"

void nx_qd_infer(nx_call *c, void (*then)(nx_call *c))
{
    then(c);
}

const nx_vector *nx_qd_embedded(const nx_call *c, const nx_json *v)
{
    (void)c;
    (void)v;
    return NULL;
}
