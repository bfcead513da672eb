/* fuzz_extract_docx.c - any bytes as a Word file, or as its document, styles, notes or references. */
#include "extracted.h"

#define RELS(inside)          "<Relationships>" inside "</Relationships>"
#define REL(id, type, target) "<Relationship Id='" id "' Type='x/" type "' Target='" target "'/>"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t zip[1 << 17];

    if (size == 0 || size > 1 << 15) return 0;
    const uint8_t *text = data + 1;
    size--;
    switch (data[0] % 5) {
    case 0: fuzz_extract(nx_extract_docx, text, size); return 0; /* a file as it is */
    case 1: {
        static const char *const members[] = {
            "_rels/.rels",
            RELS(REL("a", "officeDocument", "w/d.xml")),
            "w/_rels/d.xml.rels",
            RELS(REL("s", "styles", "s.xml") REL("f", "footnotes", "f.xml")),
            "w/d.xml",
            NULL,
            "w/s.xml",
            "<styles><style styleId='h'><name val='heading 1'/></style></styles>",
            "w/f.xml",
            "<footnotes><footnote id='1'><p><t>note</t></p></footnote></footnotes>",
            NULL};
        fuzz_extract(nx_extract_docx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    case 2: {
        static const char *const members[] = {
            "_rels/.rels",
            RELS(REL("a", "officeDocument", "w/d.xml")),
            "w/_rels/d.xml.rels",
            RELS(REL("s", "styles", "s.xml") REL("f", "footnotes", "f.xml")),
            "w/s.xml",
            NULL,
            "w/d.xml",
            "<document><p><pPr><pStyle val='h'/></pPr><t>a</t></p></document>",
            NULL};
        fuzz_extract(nx_extract_docx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    case 3: {
        static const char *const members[] = {
            "_rels/.rels",
            RELS(REL("a", "officeDocument", "w/d.xml")),
            "w/_rels/d.xml.rels",
            RELS(REL("s", "styles", "s.xml") REL("f", "footnotes", "f.xml")),
            "w/f.xml",
            NULL,
            "w/d.xml",
            "<document><p><t>a</t><footnoteReference id='1'/></p></document>",
            NULL};
        fuzz_extract(nx_extract_docx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    default: {
        static const char *const members[] = {"_rels/.rels", NULL, "w/d.xml",
                                              "<document><p><t>a</t></p></document>", NULL};
        fuzz_extract(nx_extract_docx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    }
}
