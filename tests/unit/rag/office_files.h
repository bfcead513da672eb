/* office_files.h - one small file of each kind, as its members. */
#ifndef NX_TESTS_OFFICE_FILES_H
#define NX_TESTS_OFFICE_FILES_H

#include "zip_rig.h"

#define RELS(inside)                                                                                                       \
    "<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">" inside \
    "</Relationships>"
#define REL(id, type, target)                                                                      \
    "<Relationship Id=\"" id                                                                       \
    "\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/" type          \
    "\" Target=\"" target "\"/>"
#define R_NS " xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\""
#define CORE(title)                                                                                \
    {                                                                                              \
        "docProps/core.xml",                                                                       \
            "<cp:coreProperties xmlns:cp=\"c\" xmlns:dc=\"d\"><dc:title>" title                    \
            "</dc:title></cp:coreProperties>",                                                     \
            0                                                                                      \
    }

static const zip_file docx_files[] = {
    {"_rels/.rels", RELS(REL("r1", "officeDocument", "word/document.xml")), 0},
    {"word/_rels/document.xml.rels",
     RELS(REL("r1", "styles", "styles.xml") REL("r2", "footnotes", "footnotes.xml")), 0},
    {"word/styles.xml",
     "<w:styles xmlns:w=\"w\"><w:style w:styleId=\"H1\"><w:name w:val=\"heading 1\"/></w:style>"
     "<w:style w:styleId=\"Mine\"><w:name w:val=\"Mine\"/><w:basedOn w:val=\"H1\"/></w:style>"
     "<w:style w:styleId=\"L\"><w:name w:val=\"List Bullet\"/><w:pPr><w:numPr><w:numId w:val=\"3\"/></w:numPr></w:pPr>"
     "</w:style></w:styles>",
     0},
    {"word/footnotes.xml",
     "<w:footnotes xmlns:w=\"w\"><w:footnote w:type=\"separator\" w:id=\"-1\"><w:p/></w:footnote>"
     "<w:footnote w:id=\"1\"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>",
     0},
    CORE("Word &amp; title"),
    {"word/document.xml",
     "<w:document xmlns:w=\"w\" xmlns:mc=\"mc\"><w:body>"
     "<w:p><w:pPr><w:pStyle w:val=\"Mine\"/></w:pPr><w:r><w:t>Top</w:t></w:r></w:p>"
     "<w:p><w:r><w:t xml:space=\"preserve\">One </w:t></w:r><w:r><w:t>two</w:t><w:tab/><w:t>three</w:t></w:r>"
     "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:footnoteReference w:id=\"1\"/></w:r></w:p>"
     "<w:p><w:pPr><w:pStyle w:val=\"L\"/></w:pPr><w:r><w:t>item</w:t></w:r></w:p>"
     "<w:p><w:pPr><w:outlineLvl w:val=\"1\"/></w:pPr><w:r><w:t>Sub</w:t></w:r></w:p>"
     "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Name</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Age</w:t></w:r></w:p></w:tc></w:tr>"
     "<w:tr><w:tc><w:p><w:r><w:t>Ann</w:t></w:r></w:p><w:p><w:r><w:t>Lee</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>41</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
     "<mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>"
     "<mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>"
     "</w:body></w:document>",
     0},
    {NULL, NULL, 0}};

#define SLIDE(shapes)                                                                              \
    "<p:sld xmlns:p=\"p\" xmlns:a=\"a\"><p:cSld><p:spTree>" shapes "</p:spTree></p:cSld></p:sld>"
#define SHAPE(type, text)                                                                          \
    "<p:sp><p:nvSpPr><p:nvPr><p:ph type=\"" type                                                   \
    "\"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>" text                                       \
    "</a:t></a:r></a:p></p:txBody></p:sp>"

static const zip_file pptx_files[] = {
    {"_rels/.rels", RELS(REL("r1", "officeDocument", "ppt/presentation.xml")), 0},
    {"ppt/presentation.xml",
     "<p:presentation xmlns:p=\"p\"" R_NS "><p:sldIdLst><p:sldId id=\"1\" r:id=\"b\"/>"
     "<p:sldId id=\"2\" r:id=\"a\"/></p:sldIdLst></p:presentation>",
     0},
    {"ppt/_rels/presentation.xml.rels",
     RELS(REL("a", "slide", "slides/slide1.xml") REL("b", "slide", "/ppt/slides/slide2.xml")), 0},
    {"ppt/slides/slide1.xml",
     SLIDE(
         "<p:graphicFrame><a:tbl><a:tr><a:tc><a:txBody><a:p><a:r><a:t>k</a:t></a:r></a:p></a:txBody></a:tc>"
         "<a:tc><a:txBody><a:p><a:r><a:t>v</a:t></a:r></a:p></a:txBody></a:tc></a:tr></a:tbl></p:graphicFrame>"),
     0},
    {"ppt/slides/slide2.xml",
     SLIDE(SHAPE("sldNum", "7") SHAPE("body", "point") SHAPE("title", "Plan")), 0},
    {"ppt/slides/_rels/slide2.xml.rels",
     RELS(REL("n", "notesSlide", "../notesSlides/notesSlide1.xml")), 0},
    {"ppt/notesSlides/notesSlide1.xml", SLIDE(SHAPE("sldNum", "1") SHAPE("body", "say this")), 0},
    {NULL, NULL, 0}};

static const zip_file xlsx_files[] = {
    {"_rels/.rels", RELS(REL("r1", "officeDocument", "xl/workbook.xml")), 0},
    {"xl/workbook.xml",
     "<workbook" R_NS
     "><sheets><sheet name=\"Staff\" r:id=\"a\"/><sheet name=\"List\" r:id=\"b\"/></sheets></workbook>",
     0},
    {"xl/_rels/workbook.xml.rels",
     RELS(REL("a", "worksheet", "worksheets/sheet1.xml")
              REL("b", "worksheet", "worksheets/sheet2.xml")
                  REL("c", "sharedStrings", "sharedStrings.xml") REL("d", "styles", "styles.xml")),
     0},
    {"xl/sharedStrings.xml",
     "<sst><si><t>Name</t></si><si><r><t>Si</t></r><r><t>nce</t></r><rPh><t>no</t></rPh></si><si><t>Ann</t></si></sst>",
     0},
    {"xl/styles.xml",
     "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"yyyy\\-mm\\-dd\"/></numFmts>"
     "<cellStyleXfs><xf numFmtId=\"0\"/></cellStyleXfs>"
     "<cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"164\"/><xf numFmtId=\"9\"/></cellXfs></styleSheet>",
     0},
    {"xl/worksheets/sheet1.xml",
     "<worksheet><sheetData><row><c r=\"A1\" t=\"inlineStr\"><is><t>All staff</t></is></c></row>"
     "<row><c r=\"A2\" t=\"s\"><v>0</v></c><c r=\"B2\" t=\"s\"><v>1</v></c><c r=\"D2\" t=\"str\"><v>Part</v></c></row>"
     "<row><c r=\"A3\" t=\"s\"><v>2</v></c><c r=\"B3\" s=\"1\"><v>45352</v></c><c r=\"C3\"/><c r=\"D3\" s=\"2\"><v>0.25</v></c></row>"
     "<row><c r=\"B4\" t=\"b\"><v>1</v></c><c r=\"C4\"><f>1/0</f><v>0.30000000000000004</v></c></row>"
     "</sheetData></worksheet>",
     0},
    {"xl/worksheets/sheet2.xml",
     "<worksheet><sheetData><row><c t=\"str\"><v>h</v></c></row><row><c><v>1</v></c></row></sheetData></worksheet>",
     0},
    {NULL, NULL, 0}};

static const zip_file odt_files[] = {
    {"mimetype", "application/vnd.oasis.opendocument.text", 0},
    {"meta.xml",
     "<office:document-meta xmlns:office=\"o\" xmlns:dc=\"d\"><dc:title>Odt title</dc:title></office:document-meta>",
     0},
    {"content.xml",
     "<office:document-content xmlns:office=\"o\" xmlns:text=\"t\" xmlns:table=\"b\"><office:body><office:text>"
     "<text:tracked-changes><text:deletion><text:p>gone</text:p></text:deletion></text:tracked-changes>"
     "<text:h text:outline-level=\"2\">Head</text:h>"
     "<text:p>Some<text:s/>text<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>the note</text:p></text:note-body></text:note> more</text:p>"
     "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>"
     "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row>"
     "<table:table-row><table:table-cell table:number-columns-repeated=\"2\"><text:p>x</text:p></table:table-cell>"
     "<table:table-cell table:number-columns-repeated=\"16384\"/></table:table-row></table:table>"
     "</office:text></office:body></office:document-content>",
     0},
    {NULL, NULL, 0}};

static const zip_file epub_files[] = {
    {"mimetype", "application/epub+zip", 0},
    {"META-INF/container.xml",
     "<container><rootfiles><rootfile full-path=\"OEBPS/book.opf\"/></rootfiles></container>", 0},
    {"OEBPS/book.opf",
     "<package xmlns:dc=\"d\"><metadata><dc:title>A Book</dc:title><dc:title>Other</dc:title></metadata><manifest>"
     "<item id=\"b\" href=\"text/two.xhtml\" media-type=\"application/xhtml+xml\"/>"
     "<item id=\"a\" href=\"text/one%20.xhtml\" media-type=\"application/xhtml+xml\"/>"
     "<item id=\"c\" href=\"no.xhtml\" media-type=\"application/xhtml+xml\"/>"
     "<item id=\"p\" href=\"c.png\" media-type=\"image/png\"/></manifest>"
     "<spine><itemref idref=\"p\"/><itemref idref=\"a\"/><itemref idref=\"b\"/><itemref idref=\"c\"/></spine></package>",
     0},
    {"OEBPS/text/two.xhtml", "<html><body><h1>Two</h1><p>words</p></body></html>", 0},
    {"OEBPS/text/one .xhtml",
     "<?xml version=\"1.0\" encoding=\"utf-8\"?><!DOCTYPE html><html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title/></head><body><h1>One</h1><p>caf\xC3\xA9 &amp; bar</p></body></html>",
     0},
    {NULL, NULL, 0}};

#endif
