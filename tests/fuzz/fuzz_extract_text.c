/* fuzz_extract_text.c - any bytes as plain text, in any encoding. */
#include "extract_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_extract(nx_extract_text, data, size, true);
    return 0;
}
