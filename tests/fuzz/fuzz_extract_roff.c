/* fuzz_extract_roff.c - any bytes as a manual page. */
#include "extract_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_extract(nx_extract_roff, data, size, true);
    return 0;
}
