"""Protects vocabularies in tiktoken's form: ids of random texts, and the bytes that they decode to,
equal those of `tiktoken` with the same ranks and pattern; Llama 3's own ranks where they are there.

Usage: test_tiktoken.py [PROGRAM] [TEXTS]       (default: the build folder's, $NX_TIKTOKEN_TEXTS)
"""
import base64
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import tiktoken
from random_texts import random_text

SEED = 20261123
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
          r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace("{1,3}", "")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join([rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENDING}",
                  rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENDING}", r"\p{N}{1,3}",
                  r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
PATTERNS = {"tiktoken-gpt2": GPT2, "tiktoken-cl100k": CL100K, "tiktoken-o200k": O200K,
            "llama-bpe": LLAMA3, "tiktoken-qwen": QWEN}


def trained(texts, rng, n_merges=1500):
    """Ranks as byte pairs of a text's words suggest them, sooner or later; and some that no merge
    leads to, which only whole words meet."""
    order = list(range(256))
    rng.shuffle(order)
    tokens = [bytes([b]) for b in order]
    known = set(tokens)
    data = [t.encode() for t in texts]
    while len(tokens) < 256 + n_merges:
        text = rng.choice(data)
        at = rng.randrange(len(text))
        halves = [text[at:at + rng.randrange(1, 5)], None]
        at += len(halves[0])
        halves[1] = text[at:at + rng.randrange(1, 5)]
        joined = halves[0] + halves[1]
        odd = rng.random() < 0.1
        if not halves[1] or joined in known or not (odd or (halves[0] in known and halves[1] in known)):
            continue
        known.add(joined)
        tokens.append(joined)
    return {t: i for i, t in enumerate(tokens)}


def check(program, path, pre, ranks, texts):
    judge = tiktoken.Encoding("judge", pat_str=PATTERNS[pre], mergeable_ranks=ranks,
                              special_tokens={})
    done = subprocess.run([program, str(path), pre], check=True, capture_output=True,
                          input="".join(t + "\0" for t in texts).encode())
    answers = done.stdout.split(b"\0")[:-1]
    assert len(answers) == len(texts), (len(answers), len(texts))
    wrong = []
    for text, answer in zip(texts, answers):
        ids, _, back = answer.partition(b"\n")
        ids = [int(i) for i in ids.split()]
        want = judge.encode_ordinary(text)
        if ids != want or back != judge.decode_bytes(want):
            wrong.append((text, ids, want))
    return wrong


def main():
    build = pathlib.Path(os.environ.get("NX_BUILD_DIR", "build"))
    program = str(sys.argv[1] if len(sys.argv) > 1 else build / "tests/parity/sp_tokens")
    n = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("NX_TIKTOKEN_TEXTS", 1500))
    root = pathlib.Path(__file__).resolve().parents[2]
    shared = pathlib.Path(os.environ.get("NX_SHARED", root.parent / "shared"))
    rng = random.Random(SEED)
    texts = [random_text(rng, extra=["<|endoftext|>", "<|eot_id|>"]) for _ in range(n)]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for pre in PATTERNS:
            ranks = trained(texts[:500], rng)
            path = pathlib.Path(folder) / f"{pre}.tiktoken"
            path.write_text("".join(f"{base64.b64encode(t).decode()} {i}\n" for t, i in ranks.items()))
            cases.append((pre, path, ranks))
        llama3 = shared / "data/vocab/llama3-tokenizer.model"
        if llama3.exists():
            lines = (line.split() for line in llama3.read_bytes().splitlines())
            cases.append(("llama-bpe", llama3, {base64.b64decode(t): int(i) for t, i in lines}))
        else:
            print(f"skipped {llama3.name}: not here")
        for pre, path, ranks in cases:
            wrong = check(program, path, pre, ranks, texts)
            print(f"{path.name} ({pre}): {len(wrong)} of {len(texts)} differ")
            for text, got, want in wrong[:2]:
                print(f"  {text!a}\n    {got}\n    expected {want}")
            failed += len(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
