/* fuzz_extract_email.c - any bytes as a mail. */
#include "extract_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_extract(nx_extract_email, data, size, true);
    return 0;
}
