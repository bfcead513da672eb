"""Protects the cutting of words: what we cut by hand, and each of GGUF's pre-tokenizers, gives the
words that the regular expression gives in Hugging Face's `tokenizers`.

Usage: test_cuts.py [PROGRAM] [TEXTS]       (default: the build folder's, $NX_CUT_TEXTS)
"""
import os
import pathlib
import random
import subprocess
import sys

from tokenizers import Regex, pre_tokenizers
from random_texts import random_text

SEED = 20261123
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
KANJI = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
V3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
      r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?"
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
        r"|\s+")
SEED_CODER = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}"
              r"| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"

# By GGUF's names, as the models' makers wrote them. deepseek-llm's list of letters is too long to
# stand here twice: the 46 texts of its vocabulary (tests/golden) speak for it.
SEQUENCES = {
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "starcoder": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", KANJI, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", KANA, V3],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "kimi-k2": [KIMI],
    "seed-coder": [SEED_CODER],
}


def judge(patterns):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated") for p in patterns])


def ours(program, how, texts):
    done = subprocess.run([program, how], check=True, capture_output=True,
                          input="".join(t + "\0" for t in texts).encode())
    return [t.split("\1")[:-1] for t in done.stdout.decode().split("\0")[:-1]]


def main():
    build = pathlib.Path(os.environ.get("NX_BUILD_DIR", "build"))
    program = str(sys.argv[1] if len(sys.argv) > 1 else build / "tests/parity/cut_words")
    n = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("NX_CUT_TEXTS", 3000))
    rng = random.Random(SEED)
    texts = [t for t in (random_text(rng).replace("\1", "") for _ in range(n)) if t]
    by_hand = subprocess.run([program, "patterns"], check=True, capture_output=True).stdout
    cases = [(str(i), [p.decode()]) for i, p in enumerate(by_hand.split(b"\0")[:-1])]
    failed = 0
    for how, patterns in cases + list(SEQUENCES.items()):
        pre = judge(patterns)
        got = ours(program, how, texts)
        assert len(got) == len(texts), (len(got), len(texts))
        wrong = [(t, g) for t, g in zip(texts, got)
                 if g != [w for w, _ in pre.pre_tokenize_str(t)]]
        failed += len(wrong)
        print(f"{how if not how.isdigit() else patterns[0][:60]}: {len(wrong)} of {len(texts)} differ")
        for text, words in wrong[:2]:
            print(f"  {text!a}:\n    {words!a}\n    expected {[w for w, _ in pre.pre_tokenize_str(text)]!a}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
