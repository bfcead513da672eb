/* fuzz_extract_json.c - any bytes as JSON. */
#include "extract_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_extract(nx_extract_json, data, size, true);
    return 0;
}
