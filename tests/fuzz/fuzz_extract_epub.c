/* fuzz_extract_epub.c - any bytes as a book, or as its package, chapter, container or list of what is encrypted. */
#include "extracted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t zip[1 << 17];

    if (size == 0 || size > 1 << 15) return 0;
    const uint8_t *text = data + 1;
    size--;
    switch (data[0] % 5) {
    case 0: fuzz_extract(nx_extract_epub, text, size); return 0; /* a file as it is */
    case 1: {
        static const char *const members[] = {"META-INF/container.xml",
                                              "<c><rootfile full-path='o.opf'/></c>",
                                              "o.opf",
                                              NULL,
                                              "a.html",
                                              "<p>a",
                                              NULL};
        fuzz_extract(nx_extract_epub, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    case 2: {
        static const char *const members[] = {
            "META-INF/container.xml",
            "<c><rootfile full-path='o.opf'/></c>",
            "o.opf",
            "<p><title>T</title><item id='a' href='a.html' media-type='text/html'/><itemref idref='a'/></p>",
            "a.html",
            NULL,
            NULL};
        fuzz_extract(nx_extract_epub, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    case 3: {
        static const char *const members[] = {
            "META-INF/container.xml",
            NULL,
            "o.opf",
            "<p><title>T</title><item id='a' href='a.html' media-type='text/html'/><itemref idref='a'/></p>",
            "a.html",
            "<p>a",
            NULL};
        fuzz_extract(nx_extract_epub, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    default: {
        static const char *const members[] = {
            "META-INF/encryption.xml",
            NULL,
            "META-INF/container.xml",
            "<c><rootfile full-path='o.opf'/></c>",
            "o.opf",
            "<p><title>T</title><item id='a' href='a.html' media-type='text/html'/><itemref idref='a'/></p>",
            "a.html",
            "<p>a",
            NULL};
        fuzz_extract(nx_extract_epub, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    }
}
