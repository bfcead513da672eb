"""Protects normal forms and lower case: equal to those of Hugging Face's `tokenizers`, for every
character alone and for random texts of base characters, marks, Hangul and what decomposes.

Usage: test_unicode.py [PROGRAM] [TEXTS]      (default: the build folder's, $NX_UNICODE_TEXTS)
"""
import os
import pathlib
import random
import subprocess
import sys
import unicodedata

from tokenizers import normalizers

SEED = 20261123
FORMS = {"NFC": normalizers.NFC(), "NFD": normalizers.NFD(), "NFKC": normalizers.NFKC(),
         "NFKD": normalizers.NFKD(), "lower": normalizers.Lowercase()}
ALL = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]


def random_texts(rng, n):
    marks = [c for c in ALL if unicodedata.category(chr(c))[0] == "M"]
    changing = [c for c in ALL if unicodedata.normalize("NFKD", chr(c)) != chr(c)]
    jamo = list(range(0x1100, 0x1200)) + list(range(0xAC00, 0xAC00 + 600))
    parts = [c for d in changing for c in map(ord, unicodedata.normalize("NFD", chr(d)))]
    pools = [marks, marks, changing, jamo, parts, list(range(0x20, 0x7F)), ALL]
    for _ in range(n):
        yield "".join(chr(rng.choice(rng.choice(pools))) for _ in range(rng.randrange(1, 40)))


def ours(program, form, texts):
    done = subprocess.run([program, form], check=True, capture_output=True,
                          input="".join(t + "\0" for t in texts).encode())
    return done.stdout.decode().split("\0")[:-1]


def main():
    build = pathlib.Path(os.environ.get("NX_BUILD_DIR", "build"))
    program = sys.argv[1] if len(sys.argv) > 1 else build / "tests/parity/unicode_forms"
    n = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("NX_UNICODE_TEXTS", 5000))
    rng = random.Random(SEED)
    texts = [chr(c) for c in ALL] + list(random_texts(rng, n))
    failed = 0
    for name, judge in FORMS.items():
        got = ours(program, name, texts)
        assert len(got) == len(texts), (len(got), len(texts))
        wrong = [(t, g) for t, g in zip(texts, got) if g != judge.normalize_str(t)]
        failed += len(wrong)
        print(f"{name}: {len(texts)} texts, {len(wrong)} differ")
        for text, result in wrong[:3]:
            print(f"  {text!a}: {result!a}, expected {judge.normalize_str(text)!a}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
