/* fuzz_hf_config.c - any text as a config.json: translated into metadata that our GGUF reader takes,
 * or refused with a message that names the file. */
#include <stdlib.h>
#include <string.h>

#include "base/jsonread.h"
#include "format/gguf_read.h"
#include "format/hf_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_json_doc  doc;
    nx_hf_config c = {0};
    nx_gguf      g = {0};
    nx_error     err = {0};

    if (size == 0 || size > 8192) return 0;
    nx_hf_facts facts = {.model_name = "fuzz"};
    if (nx_json_parse(&doc, "fuzz", (const char *)data + 1, size - 1, NX_JSON_PYTHON, &err))
        return 0;
    nx_status st = nx_hf_config_read(&c, "fuzz", doc.root, &facts, &err);
    if (st && (err.status != st || !strstr(err.text, "fuzz") || strlen(err.text) < 20)) abort();
    if (!st && nx_gguf_read(&g, "fuzz", c.gguf.data, c.gguf.len, &err)) abort();
    if (!st && (c.n_layers < 1 || c.n_heads < 1 || c.head_dim < 1)) abort();
    for (int64_t i = 0; !st && i < g.n_meta; i++) {
        char key[128];
        if (g.meta[i].key.len >= sizeof key) abort();
        memcpy(key, g.meta[i].key.p, g.meta[i].key.len);
        key[g.meta[i].key.len] = '\0';
        if (!nx_hf_config_origin(&c, key)) abort(); /* every key says where it came from */
    }
    nx_gguf_free(&g);
    nx_hf_config_free(&c);
    nx_json_doc_free(&doc);
    return 0;
}
