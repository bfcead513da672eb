/* counter.c - a chunker's counter over an embedding model. */
#include "rag/counter.h"

static nx_status count(void *ctx, nx_str text, int32_t *n, nx_error *err)
{
    return nx_embedder_count(ctx, n, text, NX_INPUT_PASSAGE, err);
}

nx_counter nx_counter_of(nx_embedder *e)
{
    return (nx_counter){e, count};
}
