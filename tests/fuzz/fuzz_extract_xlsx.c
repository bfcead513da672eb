/* fuzz_extract_xlsx.c - any bytes as an Excel file, or as its sheet, strings, styles or workbook. */
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
    case 0: fuzz_extract(nx_extract_xlsx, text, size); return 0; /* a file as it is */
    case 1: {
        static const char *const members[] = {
            "_rels/.rels",
            RELS(REL("a", "officeDocument", "x/w.xml")),
            "x/_rels/w.xml.rels",
            RELS(REL("s", "worksheet", "s.xml") REL("t", "sharedStrings", "t.xml")
                     REL("y", "styles", "y.xml")),
            "x/w.xml",
            "<w xmlns:r='x/relationships'><sheet name='S' r:id='s'/></w>",
            "x/s.xml",
            NULL,
            "x/t.xml",
            "<sst><si><t>a</t></si><si><t>b</t></si></sst>",
            "x/y.xml",
            "<y><cellXfs><xf numFmtId='14'/><xf numFmtId='9'/></cellXfs></y>",
            NULL};
        fuzz_extract(nx_extract_xlsx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    case 2: {
        static const char *const members[] = {
            "_rels/.rels",
            RELS(REL("a", "officeDocument", "x/w.xml")),
            "x/_rels/w.xml.rels",
            RELS(REL("s", "worksheet", "s.xml") REL("t", "sharedStrings", "t.xml")
                     REL("y", "styles", "y.xml")),
            "x/w.xml",
            "<w xmlns:r='x/relationships'><sheet name='S' r:id='s'/></w>",
            "x/s.xml",
            "<s><row><c t='s'><v>0</v></c><c t='s' s='1'><v>1</v></c></row><row><c r='C2' s='1'><v>45000.5</v></c></row></s>",
            "x/t.xml",
            NULL,
            NULL};
        fuzz_extract(nx_extract_xlsx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    case 3: {
        static const char *const members[] = {
            "_rels/.rels",
            RELS(REL("a", "officeDocument", "x/w.xml")),
            "x/_rels/w.xml.rels",
            RELS(REL("s", "worksheet", "s.xml") REL("t", "sharedStrings", "t.xml")
                     REL("y", "styles", "y.xml")),
            "x/w.xml",
            "<w xmlns:r='x/relationships'><sheet name='S' r:id='s'/></w>",
            "x/s.xml",
            "<s><row><c t='s'><v>0</v></c><c t='s' s='1'><v>1</v></c></row><row><c r='C2' s='1'><v>45000.5</v></c></row></s>",
            "x/y.xml",
            NULL,
            NULL};
        fuzz_extract(nx_extract_xlsx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    default: {
        static const char *const members[] = {
            "_rels/.rels",
            RELS(REL("a", "officeDocument", "x/w.xml")),
            "x/_rels/w.xml.rels",
            RELS(REL("s", "worksheet", "s.xml") REL("t", "sharedStrings", "t.xml")
                     REL("y", "styles", "y.xml")),
            "x/s.xml",
            "<s><row><c t='s'><v>0</v></c><c t='s' s='1'><v>1</v></c></row><row><c r='C2' s='1'><v>45000.5</v></c></row></s>",
            "x/w.xml",
            NULL,
            NULL};
        fuzz_extract(nx_extract_xlsx, zip, fuzz_zip(zip, sizeof zip, members, text, size));
        return 0;
    }
    }
}
