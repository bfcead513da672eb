/* fuzz_extract_html.c - any bytes as a web page. */
#include "extracted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 1 << 16) fuzz_extract(nx_extract_html, data, size);
    return 0;
}
