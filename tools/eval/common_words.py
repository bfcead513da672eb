#!/usr/bin/env python3
"""common_words - makes src/rag/common_words.c: which English words say little about what a question is after.

A WordPiece vocabulary lists whole words by how often they stood in its corpus (English Wikipedia and books). The
stems of the first few thousand become three tables of numbers, as store/words.h makes them. Needs nltk (its Snowball
stemmer) and a vocab.txt: python3 tools/eval/common_words.py VOCAB.TXT > src/rag/common_words.c
"""

import sys

from nltk.stem.snowball import SnowballStemmer

BOUNDS = (600, 2000, 6000)   # ranks; the commonest first


def murmur3(data):
    """As nx_bm25_id: murmur3, 32 bits, seed 0, taken as signed, without its sign."""
    m, h = 0xFFFFFFFF, 0
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * 0xCC9E2D51 & m
        k = (k << 15 | k >> 17) & m
        h ^= k * 0x1B873593 & m
        h = (h << 13 | h >> 19) & m
        h = h * 5 + 0xE6546B64 & m
    if len(data) > whole:
        k = int.from_bytes(data[whole:], "little") * 0xCC9E2D51 & m
        k = (k << 15 | k >> 17) & m
        h ^= k * 0x1B873593 & m
    h ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ h >> shift) * factor & m
    h ^= h >> 16
    return h if h < 1 << 31 else (1 << 32) - h


def main():
    stem = SnowballStemmer("english").stem
    words = [w for w in open(sys.argv[1], encoding="utf-8").read().split("\n")
             if w.isascii() and w.isalpha() and len(w) > 1]
    tables, seen = [[] for _ in BOUNDS], set()
    for rank, word in enumerate(words[:BOUNDS[-1]]):
        number = murmur3(stem(word).encode())
        if number not in seen:
            seen.add(number)
            tables[next(i for i, b in enumerate(BOUNDS) if rank < b)].append(number)
    print("/* common_words.c - stems of common English words, as numbers; made by tools/eval/common_words.py.\n"
          " * Not to be edited. */\n#include \"rag/common_words.h\"\n\n#include <stddef.h>\n")
    for i, table in enumerate(tables):
        print(f"static const uint32_t words_{i}[] = {{")
        table.sort()
        for k in range(0, len(table), 8):
            print("    " + " ".join(f"{n}u," for n in table[k:k + 8]))
        print("};")
    print("""
static bool has(const uint32_t *words, size_t n, uint32_t id)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (words[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && words[lo] == id;
}

int32_t nx_word_rarity(uint32_t id)
{
    if (has(words_0, sizeof words_0 / sizeof *words_0, id)) return 0;
    if (has(words_1, sizeof words_1 / sizeof *words_1, id)) return 1;
    return has(words_2, sizeof words_2 / sizeof *words_2, id) ? 2 : 3;
}""")


if __name__ == "__main__":
    main()
