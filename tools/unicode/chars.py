#!/usr/bin/env python3
"""chars.py - writes src/token/jinja_chars_data.c: what Python's str methods know of each character.

    tools/unicode/chars.py > src/token/jinja_chars_data.c

Asked of the running Python itself, since its str is what chat templates were written for.
"""
import sys
import unicodedata

FLAGS = ["ALPHA", "DECIMAL", "DIGIT", "NUMERIC", "LOWER", "UPPER", "TITLE", "SPACE", "PRINTABLE",
         "CASED", "IGNORABLE", "ID_START", "ID_CONTINUE", "SPECIAL"]
SHIFT = 7


def is_ignorable(c):
    return ("A" + c + "Σ").lower()[-1] == "ς" and (c + "Σ").lower()[-1] == "σ"


def record(cp, special):
    c = chr(cp)
    if 0xD800 <= cp < 0xE000:
        return (0, 0, 0, 0, 0)
    has = [c.isalpha(), c.isdecimal(), c.isdigit(), c.isnumeric(), c.islower(), c.isupper(),
           unicodedata.category(c) == "Lt", c.isspace(), c.isprintable(),
           c.islower() or c.isupper() or unicodedata.category(c) == "Lt", is_ignorable(c),
           c.isidentifier(), ("a" + c).isidentifier(), False]
    forms = [c.upper(), c.lower(), c.title(), c.casefold()]
    if any(len(f) != 1 for f in forms):
        has[-1] = True
        special.append((cp, forms))
        forms = [c] * 4
    flags = sum(1 << i for i, yes in enumerate(has) if yes)
    return (flags, *(ord(f) - cp for f in forms))


def rows(numbers, width=100):
    line = "   "
    for n in numbers:
        text = f" {n},"
        if len(line) + len(text) > width:
            yield line
            line = "   "
        line += text
    yield line


def main():
    special, records, blocks, index = [], {}, {}, []
    for block in range(0x110000 >> SHIFT):
        ids = []
        for cp in range(block << SHIFT, (block + 1) << SHIFT):
            r = record(cp, special)
            ids.append(records.setdefault(r, len(records)))
        index.append(blocks.setdefault(tuple(ids), len(blocks)))
    out = ["/* jinja_chars_data.c - made by tools/unicode/chars.py from Python "
           f"{sys.version.split()[0]}, Unicode {unicodedata.unidata_version}.", " * Not for editing. */",
           "/* clang-format off */",
           '#include "token/jinja_chars.h"', "",
           f"const jj_char jj_char_records[{len(records)}] = {{"]
    out += [f"    {{0x{r[0]:x}, {{{r[1]}, {r[2]}, {r[3]}, {r[4]}}}}}," for r in records]
    out += ["};", "", f"const uint16_t jj_char_blocks[{len(index)}] = {{"]
    out += list(rows(index)) + ["};", "", f"const uint16_t jj_char_ids[{len(blocks) << SHIFT}] = {{"]
    out += list(rows(i for ids in blocks for i in ids)) + ["};", ""]
    out += [f"const jj_char_special jj_char_specials[{len(special)}] = {{"]
    for cp, forms in special:
        cells = ", ".join("{" + ", ".join(f"0x{ord(x):x}" for x in f) + "}" for f in forms)
        out.append(f"    {{0x{cp:x}, {{{cells}}}}},")
    out += ["};", f"const int jj_char_n_specials = {len(special)};", "/* clang-format on */"]
    print("\n".join(out))


main()
