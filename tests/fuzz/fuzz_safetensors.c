/* fuzz_safetensors.c - any bytes as a safetensors file: read or refused, never more. */
#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_safetensors s = {0};
    nx_error       err = {0};

    if (nx_safetensors_read(&s, "fuzz", data, size, &err) == NX_OK) {
        volatile unsigned char sink = 0;
        for (int64_t i = 0; i < s.n_tensors; i++) {
            const nx_st_tensor *t = &s.tensors[i];
            if (t->bytes) sink = t->data[0] ^ t->data[t->bytes - 1];
            if (nx_safetensors_find(&s, t->name) != t) __builtin_trap();
        }
        (void)sink;
    }
    nx_safetensors_free(&s);
    return 0;
}
