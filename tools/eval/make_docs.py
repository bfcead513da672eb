#!/usr/bin/env python3
"""make_docs.py - writes the three office files of examples/docs, the same bytes every time.

    tools/eval/make_docs.py [FOLDER]       default: examples/docs

customers/service-levels.docx, customers/prices-2026.xlsx and hardware/station-manual.pdf. Their words stand below,
where a diff shows them; what is committed beside the other papers is this script's output. Needs Python alone.
"""
import pathlib
import sys
import zipfile
from xml.sax.saxutils import escape

STAMP = (2026, 1, 5, 9, 0, 0)

LEVELS_TITLE = "Service levels, valid from 1 January 2026"
LEVELS = [
    ("h", "What we promise"),
    ("p", "This page belongs to every contract of the plans Business and Carrier. The plan Starter has no promises, only our "
          "best effort."),
    ("t", [
        ["What", "Business", "Carrier"],
        ["Doors open at the first attempt", "99.7 % of attempts in a month", "99.9 % of attempts in a month"],
        ["The API answers", "99.5 % of minutes", "99.95 % of minutes"],
        ["Codes reach the customer", "95 % within 60 seconds", "98 % within 30 seconds"],
        ["Answer of support", "next working day", "within one hour, day and night"],
    ]),
    ("h", "What happens when we miss it"),
    ("p", "For each level that was missed in a month, 5 % of that month's fee are credited for Business and 10 % for Carrier, "
          "at most 30 % in all. The credit is on the next invoice without being asked for. It ends all claims for "
          "that month, apart from damage that was done on purpose."),
    ("h", "What does not count"),
    ("p", "Planned work that was announced five days ahead does not count, nor do failures of a mobile network that last for "
          "less than ten minutes, nor stations that were vandalised. Storms count; we build for them."),
    ("h", "How it is measured"),
    ("p", "We measure at the station, not in the data centre. The figures of each month are published on the third "
          "working day of the next one at status.wrenfield.example, unrounded."),
    ("h", "Ending the contract"),
    ("p", "Business may end the contract at the end of each month, with 30 days' notice. Carrier contracts run for two years and "
          "end with six months' notice. Three missed months in a row allow either of them to leave at once."),
]

PRICES = {
    "Plans": [
        ["Plan", "Monthly fee (EUR)", "Parcel S (EUR)", "Parcel M (EUR)", "Parcel L (EUR)", "Minimum term"],
        ["Starter", 0, 1.15, 1.45, 1.95, "none"],
        ["Business", 49, 0.82, 1.05, 1.48, "one month"],
        ["Carrier", 1900, 0.46, 0.58, 0.81, "two years"],
    ],
    "Extras": [
        ["Extra", "Price (EUR)", "Unit", "Remark"],
        ["Hold beyond 72 hours", 0.40, "day", "at most two days more"],
        ["Unused reservation", 0.15, "reservation", "after 24 hours"],
        ["Age check at the door", 0.65, "parcel", "document shown to the camera"],
        ["Cash on delivery by card", 0.95, "parcel", "plus 1.2 % of the amount"],
        ["Own logo on the screen", 85, "month", "all stations of one town"],
        ["Return label", 0.20, "parcel", "free for Carrier"],
        ["Station on your own ground", 210, "month", "36 compartments, power not included"],
    ],
    "Discounts": [
        ["From parcels in a month", "Discount (%)", "Applies to"],
        [1000, 3, "Business"],
        [10000, 7, "Business, Carrier"],
        [100000, 12, "Carrier"],
        ["Charities", 25, "all plans, on request"],
    ],
}

MANUAL = [
    [
        ("h", "Station manual, model C"),
        ("p", "For the field service. Edition 3, November 2025. Written by Samir Haddad."),
        ("h", "1 Before you open the master"),
        ("p", "Switch the station to service mode with your phone: hold it to the reader for six seconds, "
              "until the screen turns blue. Couriers and customers then see that the station is closed."),
        ("p", "The mains switch is behind the lower panel of the master, on the left. Wait for 30 seconds "
              "after switching off: the supply holds 48 volts until its capacitors are empty."),
        ("p", "Never work on an open station in rain. Use the tent from the van."),
    ],
    [
        ("h", "2 Changing a lock"),
        ("p", "Locks of model C are held by two Torx T20 screws. Tighten them with 2.5 newton metres; a "
              "lock that is tightened harder sticks in frost."),
        ("p", "After the change teach the lock its number: keep the door open, press the small button for "
              "three seconds, and close the door when the light blinks green."),
        ("h", "3 Battery"),
        ("p", "The battery is a 12 volt, 18 ampere hour block of lead and gel. It carries the station for about "
              "9 hours. Change it every four years, or when the Sunday test reports less than 70 percent."),
        ("p", "Used batteries go to the depot in Port Ansel, never into the bins of the town."),
    ],
    [
        ("h", "4 Placing a station"),
        ("p", "The ground may slope by no more than 2 percent. A station of model C weighs 640 kilograms empty and "
              "needs a slab of concrete of 3.2 by 0.8 metres. Leave 1.5 metres free in front of the doors "
              "for wheelchairs."),
        ("p", "Two anchors at each end are enough on firm ground; on the coast use four, since wind "
              "above 130 kilometres an hour has moved a station in the past."),
        ("h", "5 Working temperature"),
        ("p", "From minus 25 to plus 50 degrees Celsius. Above 60 degrees inside, the computer switches the "
              "screen off to save itself; below minus 10 the heaters of the locks run all the time and the "
              "battery lasts for 5 hours instead of 9."),
        ("h", "6 Cleaning"),
        ("p", "Water and soap. No solvents on the screen, and no high-pressure cleaner: the doors keep out rain, "
              "but not a jet."),
    ],
]


def zip_write(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in members:
            info = zipfile.ZipInfo(name, STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + text)


PKG = "http://schemas.openxmlformats.org/package/2006"
DOC = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def rels(targets):
    rows = "".join(f'<Relationship Id="rId{i}" Type="{DOC}/{kind}" Target="{target}"/>'
                   for i, (kind, target) in enumerate(targets, 1))
    return f'<Relationships xmlns="{PKG}/relationships">{rows}</Relationships>'


def types(parts):
    rows = "".join(f'<Override PartName="{name}" ContentType="application/vnd.openxmlformats-officedocument.{kind}+xml"/>'
                   for name, kind in parts)
    return (f'<Types xmlns="{PKG}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Default Extension="xml" ContentType="application/xml"/>{rows}</Types>')


def docx(path):
    def para(text, style=None):
        look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f'<w:p>{look}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'

    body = [para(LEVELS_TITLE, "Title")]
    for kind, what in LEVELS:
        if kind == "h":
            body.append(para(what, "Heading1"))
        elif kind == "p":
            body.append(para(what))
        else:
            rows = "".join("<w:tr>" + "".join(f"<w:tc><w:tcPr/>{para(cell)}</w:tc>" for cell in row) + "</w:tr>"
                           for row in what)
            body.append(f"<w:tbl><w:tblPr/><w:tblGrid/>{rows}</w:tbl>")
    ns = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    styles = "".join(f'<w:style w:type="paragraph" w:styleId="{i}"><w:name w:val="{n}"/></w:style>'
                     for i, n in (("Title", "Title"), ("Heading1", "heading 1")))
    zip_write(path, [
        ("[Content_Types].xml", types([("/word/document.xml", "wordprocessingml.document.main"),
                                       ("/word/styles.xml", "wordprocessingml.styles")])),
        ("_rels/.rels", rels([("officeDocument", "word/document.xml")])),
        ("word/_rels/document.xml.rels", rels([("styles", "styles.xml")])),
        ("word/styles.xml", f"<w:styles {ns}>{styles}</w:styles>"),
        ("word/document.xml", f"<w:document {ns}><w:body>{''.join(body)}<w:sectPr/></w:body></w:document>"),
    ])


def xlsx(path):
    ns = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings = []
    sheets = []
    for rows in PRICES.values():
        lines = []
        for y, row in enumerate(rows, 1):
            cells = []
            for x, value in enumerate(row):
                at = f"{chr(65 + x)}{y}"
                if isinstance(value, str):
                    if value not in strings:
                        strings.append(value)
                    cells.append(f'<c r="{at}" t="s"><v>{strings.index(value)}</v></c>')
                else:
                    cells.append(f'<c r="{at}"><v>{value}</v></c>')
            lines.append(f'<row r="{y}">{"".join(cells)}</row>')
        sheets.append(f'<worksheet {ns}><sheetData>{"".join(lines)}</sheetData></worksheet>')
    names = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="rId{i}"/>' for i, name in enumerate(PRICES, 1))
    parts = [("/xl/workbook.xml", "spreadsheetml.sheet.main"), ("/xl/sharedStrings.xml", "spreadsheetml.sharedStrings")]
    parts += [(f"/xl/worksheets/sheet{i}.xml", "spreadsheetml.worksheet") for i in range(1, len(sheets) + 1)]
    links = [("worksheet", f"worksheets/sheet{i}.xml") for i in range(1, len(sheets) + 1)]
    shared = "".join(f"<si><t>{escape(s)}</t></si>" for s in strings)
    zip_write(path, [
        ("[Content_Types].xml", types(parts)),
        ("_rels/.rels", rels([("officeDocument", "xl/workbook.xml")])),
        ("xl/_rels/workbook.xml.rels", rels(links + [("sharedStrings", "sharedStrings.xml")])),
        ("xl/workbook.xml", f'<workbook {ns} xmlns:r="{DOC}"><sheets>{names}</sheets></workbook>'),
        ("xl/sharedStrings.xml", f'<sst {ns} count="{len(strings)}" uniqueCount="{len(strings)}">{shared}</sst>'),
    ] + [(f"xl/worksheets/sheet{i}.xml", s) for i, s in enumerate(sheets, 1)])


def wrap(text, width):
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return lines + [line]


def page(blocks):
    """One page's drawing: Helvetica, 14 points for headings and 11 for the rest."""
    out, y = [], 780
    for kind, text in blocks:
        font, size, width, lead = ("F2", 14, 60, 22) if kind == "h" else ("F1", 11, 84, 15)
        y -= 12
        for line in wrap(text, width):
            shown = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            out.append(f"BT /{font} {size} Tf 60 {y} Td ({shown}) Tj ET")
            y -= lead
    return "\n".join(out).encode("ascii")


def pdf(path):
    n = len(MANUAL)
    kids = " ".join(f"{5 + 2 * i} 0 R" for i in range(n))
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>"
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {n} >>".encode(),
               (font % "Helvetica").encode(), (font % "Helvetica-Bold").encode()]
    for i, blocks in enumerate(MANUAL):
        drawing = page(blocks)
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {6 + 2 * i} 0 R "
                       "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>".encode())
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing))
    objects.append(b"<< /Title (Station manual, model C) /Author (Samir Haddad) >>")
    data, at = b"%PDF-1.4\n", []
    for i, body in enumerate(objects, 1):
        at.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (i, body)
    table = b"".join(b"%010d 00000 n \n" % a for a in at)
    data += b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, table, len(objects) + 1, len(objects), len(data))
    path.write_bytes(data)


def main():
    root = pathlib.Path(__file__).resolve().parents[2] / "examples" / "docs"
    if len(sys.argv) > 1:
        root = pathlib.Path(sys.argv[1])
    for folder in ("customers", "hardware"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    docx(root / "customers" / "service-levels.docx")
    xlsx(root / "customers" / "prices-2026.xlsx")
    pdf(root / "hardware" / "station-manual.pdf")


if __name__ == "__main__":
    main()
