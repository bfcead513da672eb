/* fuzz_extract_markdown.c - any bytes as Markdown. */
#include "extract_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_extract(nx_extract_markdown, data, size, false);
    return 0;
}
