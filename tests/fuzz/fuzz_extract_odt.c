/* fuzz_extract_odt.c - any bytes as an OpenDocument file, or as its content. */
#include "extracted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t zip[1 << 17];

    if (size == 0 || size > 1 << 15) return 0;
    const uint8_t *text = data + 1;
    size--;
    switch (data[0] % 2) {
    case 0: fuzz_extract(nx_extract_odt, text, size); return 0; /* a file as it is */
    default: {
        static const char *const members[] = {"mimetype", "application/vnd.oasis.opendocument.text",
                                              "content.xml", NULL, NULL};
        fuzz_extract(nx_extract_odt, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    }
}
