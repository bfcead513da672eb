/* fuzz_extract_pptx.c - any bytes as a PowerPoint file, or as its slide, notes or list of slides. */
#include "extracted.h"

#define RELS(inside)          "<Relationships>" inside "</Relationships>"
#define REL(id, type, target) "<Relationship Id='" id "' Type='x/" type "' Target='" target "'/>"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t zip[1 << 17];

    if (size == 0 || size > 1 << 15) return 0;
    const uint8_t *text = data + 1;
    size--;
    switch (data[0] % 4) {
    case 0: fuzz_extract(nx_extract_pptx, text, size); return 0; /* a file as it is */
    case 1: {
        static const char *const members[] = {"_rels/.rels",
                                              RELS(REL("a", "officeDocument", "p/p.xml")),
                                              "p/_rels/p.xml.rels",
                                              RELS(REL("s", "slide", "s.xml")),
                                              "p/p.xml",
                                              "<p xmlns:r='x/relationships'><sldId r:id='s'/></p>",
                                              "p/s.xml",
                                              NULL,
                                              NULL};
        fuzz_extract(nx_extract_pptx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    case 2: {
        static const char *const members[] = {"_rels/.rels",
                                              RELS(REL("a", "officeDocument", "p/p.xml")),
                                              "p/_rels/p.xml.rels",
                                              RELS(REL("s", "slide", "s.xml")),
                                              "p/p.xml",
                                              "<p xmlns:r='x/relationships'><sldId r:id='s'/></p>",
                                              "p/s.xml",
                                              "<s><t>a</t></s>",
                                              "p/_rels/s.xml.rels",
                                              RELS(REL("n", "notesSlide", "n.xml")),
                                              "p/n.xml",
                                              NULL,
                                              NULL};
        fuzz_extract(nx_extract_pptx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    default: {
        static const char *const members[] = {"_rels/.rels",
                                              RELS(REL("a", "officeDocument", "p/p.xml")),
                                              "p/_rels/p.xml.rels",
                                              RELS(REL("s", "slide", "s.xml")),
                                              "p/p.xml",
                                              NULL,
                                              "p/s.xml",
                                              "<s><p><t>a</t></p></s>",
                                              NULL};
        fuzz_extract(nx_extract_pptx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    }
}
