#!/usr/bin/env python3
"""words.py - writes src/store/words_tables.c: what counts as part of a word beyond letters and numbers.

    build/venv/bin/python tools/unicode/words.py > src/store/words_tables.c

Rust's char::is_alphanumeric is Unicode's Alphabetic or a number. Letters and numbers are general
categories, which utf8proc knows; the rest of Alphabetic (vowel signs of Indic scripts above all)
isn't, and is asked of the Python package `regex`.
"""
import unicodedata

import regex

alphabetic = regex.compile(r"\p{Alphabetic}")
ranges = []
for cp in range(0x110000):
    if 0xD800 <= cp < 0xE000:
        continue
    c = chr(cp)
    category = unicodedata.category(c)
    if not alphabetic.match(c) or category[0] in "LN":
        continue
    if ranges and ranges[-1][1] == cp - 1:
        ranges[-1][1] = cp
    else:
        ranges.append([cp, cp])

print("/* Written by tools/unicode/words.py. */")
print('#include "store/words_tables.h"\n')
print("const nx_words_range nx_words_marks[] = {")
for i in range(0, len(ranges), 4):
    print("    " + " ".join(f"{{0x{a:X}, 0x{b:X}}}," for a, b in ranges[i:i + 4]))
print("};\n")
print(f"const size_t nx_words_n_marks = {len(ranges)};")
