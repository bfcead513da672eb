/* fuzz_extract_csv.c - any bytes as a table in text. */
#include "extract_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_extract(nx_extract_csv, data, size, true);
    return 0;
}
