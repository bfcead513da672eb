#!/usr/bin/env python3
"""Write src/token/unicode_tables.c: what the tokenizers' own libraries know of Unicode.

Those libraries disagree with each other, and with any one version of Unicode: the regexes of
`tokenizers` and `tiktoken` are newer than PCRE2's, its normalisation is older, BERT's punctuation
older still. So nothing is believed: every property is asked of the judge, one character at a time.
What the judge can't be asked directly (combining classes, which pairs compose) is taken from
Python's unicodedata and kept where the judge shows it.

Usage: build/venv/bin/python tools/unicode/tables.py > src/token/unicode_tables.c
"""
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

BLOCK = 128
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TEXT = "".join(map(chr, ALL))

# In the order of enum nx_gc.
CATEGORIES = ("Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf "
              "Cs Co").split()


def by_regex(pattern):
    """The characters that match, in the regex engine of `tokenizers`."""
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(c) for piece, _ in split.pre_tokenize_str(TEXT) for c in piece}


def isolated(pre):
    return {c for c in ALL if len(pre.pre_tokenize_str("a" + chr(c) + "a")) == 3}


def becomes(normalizer, what):
    return {c for c in ALL if normalizer.normalize_str("a" + chr(c) + "a") == what(c)}


def bert(**on):
    options = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False,
                   lowercase=False)
    return normalizers.BertNormalizer(**(options | on))


def flags():
    """In the order of the NX_UC_ bits."""
    return [
        by_regex(r"\s"),
        by_regex(r"\w"),
        isolated(pre_tokenizers.Digits(individual_digits=True)),
        isolated(pre_tokenizers.BertPreTokenizer()),
        becomes(bert(strip_accents=True), lambda c: "aa"),
        becomes(bert(clean_text=True), lambda c: "aa"),
        becomes(bert(handle_chinese_chars=True), lambda c: f"a {chr(c)} a"),
        becomes(normalizers.StripAccents(), lambda c: "aa"),
    ]


# ---- Normal forms

NFD, NFKD, NFC = normalizers.NFD(), normalizers.NFKD(), normalizers.NFC()


def is_hangul(c):
    return 0xAC00 <= c < 0xAC00 + 11172


def decompositions(normalizer):
    found = {}
    for c in ALL:
        text = normalizer.normalize_str(chr(c))
        if text != chr(c) and not is_hangul(c):
            found[c] = [ord(x) for x in text]
    return found


def judge_class(c):
    """The combining class of c where the judge puts characters in its order, else 0."""
    ccc = unicodedata.combining(chr(c))
    if not ccc:
        return 0
    # U+0334 has class 1, U+0345 240, U+0301 230: each is known to every version.
    before, after = (0x0334, 0x0345) if ccc not in (1, 240) else (0x0301, 0x0301)
    if ccc > 1 and NFD.normalize_str("a" + chr(c) + chr(before)) != NFD.normalize_str(
            "a" + chr(before) + chr(c)):
        return 0
    if ccc < 240 and NFD.normalize_str("a" + chr(after) + chr(c)) != NFD.normalize_str(
            "a" + chr(c) + chr(after)):
        return 0
    return ccc


def compositions(canonical):
    pairs = []
    for c in ALL:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) != 2 or parts[0].startswith("<") or c not in canonical:
            continue
        first, second = (int(p, 16) for p in parts)
        if NFC.normalize_str(chr(first) + chr(second)) == chr(c):
            pairs.append((first, second, c))
    return sorted(pairs)


def lower():
    normalizer, pairs, special = normalizers.Lowercase(), [], {}
    for c in ALL:
        text = normalizer.normalize_str(chr(c))
        if text == chr(c):
            continue
        if len(text) == 1:
            pairs.append((c, ord(text)))
        else:
            special[c] = text
    assert special == {0x130: "i\u0307"}, special
    return pairs


# ---- Output

def numbers(name, kind, values, form="{}"):
    print(f"const {kind} {name}[{len(values)}] = {{")
    line = "   "
    for v in values:
        text = " " + form.format(v) + ","
        if len(line) + len(text) > 100:
            print(line)
            line = "   "
        line += text
    print(line + "\n};\n")


def rows(name, kind, values):
    numbers(name, kind, ["{" + ", ".join(map(str, v)) + "}" for v in values])


def write_classes(categories, ccc, normal):
    properties, records, index = flags() + normal, [], {}
    record_of = bytearray(0x110000)
    # Record 0 is that of every code point that no one knows.
    for c in [0x10FFFE] + ALL:
        gc = categories.get(c, 0)
        bits = sum(1 << i for i, p in enumerate(properties) if c in p)
        key = (gc, bits, ccc.get(c, 0))
        if key not in index:
            index[key] = len(records)
            records.append(key)
        record_of[c] = index[key]
    assert len(records) <= 256, len(records)
    for c in range(0xD800, 0xE000):
        record_of[c] = 0
    blocks, stage1, stage2 = {}, [], []
    for start in range(0, 0x110000, BLOCK):
        block = bytes(record_of[start:start + BLOCK])
        if block not in blocks:
            blocks[block] = len(blocks)
            stage2 += block
        stage1.append(blocks[block])
    rows("nx_uc_records", "nx_uc", records)
    numbers("nx_uc_stage1", "uint16_t", stage1)
    numbers("nx_uc_stage2", "uint8_t", stage2)


def write_decompositions(canonical, compatible):
    pool, entries = [], []
    for c in sorted(set(canonical) | set(compatible)):
        row = [c]
        for form in (canonical, compatible):
            text = form.get(c, [c])
            if form is compatible and text == canonical.get(c, [c]):
                row += row[1:3]
                continue
            if text == [c]:
                row += [0, 0]
                continue
            row += [len(pool), len(text)]
            pool += text
        entries.append(row)
    rows("nx_uc_decompositions", "nx_uc_decomposition", entries)
    print(f"const int nx_uc_n_decompositions = {len(entries)};\n")
    numbers("nx_uc_pool", "uint32_t", pool)


def ranges(chars):
    out = []
    for c in sorted(chars):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def write_extras(categories):
    """For each category, and each first letter: what the judge counts to it and Unicode 14, which
    PCRE2 10.42 has, does not."""
    groups = {}
    for c in ALL:
        new, old = CATEGORIES[categories.get(c, 0)], unicodedata.category(chr(c))
        if new == "Cn":
            continue
        if new != old:
            groups.setdefault(new, set()).add(c)
        if new[0] != old[0]:
            groups.setdefault(new[0], set()).add(c)
    print("const nx_uc_extra nx_uc_extras[] = {")
    for name in sorted(groups):
        print(f'    {{"{name}",')
        line = ""
        for a, b in ranges(groups[name]):
            text = f"\\\\x{{{a:X}}}" + (f"-\\\\x{{{b:X}}}" if b > a else "")
            if len(line) + len(text) > 84:
                print(f'     "{line}"')
                line = ""
            line += text
        print(f'     "{line}"}},')
    print("    {NULL, NULL},\n};\n")


def main():
    assert unicodedata.unidata_version == "14.0.0", "the extras are counted from Unicode 14"
    categories = {}
    for i, name in enumerate(CATEGORIES):
        if name not in ("Cn", "Cs"):
            categories.update((c, i) for c in by_regex(rf"\p{{{name}}}"))
    canonical, compatible = decompositions(NFD), decompositions(NFKD)
    ccc = {c: judge_class(c) for c in ALL}
    print("/* unicode_tables.c - generated by tools/unicode/tables.py; do not edit.\n"
          " * Made of the answers of the `tokenizers` library, see there. */")
    print('#include "token/unicode_tables.h"\n\n#include <stddef.h>\n\n/* clang-format off */\n')
    pairs = compositions(canonical)
    seconds = {second for _, second, _ in pairs}
    write_classes(categories, ccc, [set(canonical), set(compatible), seconds])
    write_decompositions(canonical, compatible)
    rows("nx_uc_compositions", "nx_uc_composition", pairs)
    print(f"const int nx_uc_n_compositions = {len(pairs)};\n")
    small = lower()
    rows("nx_uc_lowers", "nx_uc_lower_pair", small)
    print(f"const int nx_uc_n_lowers = {len(small)};\n")
    write_extras(categories)
    print("/* clang-format on */")


if __name__ == "__main__":
    sys.exit(main())
