"""Protects byte-level BPE: on thousands of random texts our ids equal those that Hugging Face's
`tokenizers` gives with the same vocabulary, merges and pre-tokenizer.

The vocabularies are those that are at hand: GPT-2's (shared data), Llama 3's (made in the build
folder by tools/goldens/make_llama3_vocab.py), and the shipped model's. All texts go through the
program at once, with an end-of-text token between them.

Usage: test_tokenizers.py [PROGRAM]     (default: $NEXUS_BIN)
"""
import os
import pathlib
import random
import subprocess
import sys

import gguf
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

SEED = 20261123
N_TEXTS = 3000
MAX_PIECES = 24

# The patterns as their makers published them.
PATTERNS = {
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                 r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}

WORDS = ["the", "The", "don't", "WE'LL", "it's", "he\u2019d", "naïve", "straße", "Привет", "日本語",
         "हिन्दी", "العربية", "ไทย", "👩\u200d💻", "🦙", "e\u0301", "123", "4567", "٣٤", "½", "x²",
         "==", "...", "#!/", "--", "(", ")", "«", "»", "\u00ad", "\u200b", "\ufeff", "\u180e"]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\u2028",
          "\u0085", "\v", "\f", "\u200a", "\u1680"]
RANGES = [(0x20, 0x7E), (0xA0, 0x17F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0x97F),
          (0xE00, 0xE7F), (0x1780, 0x17FF), (0x2000, 0x2BFF), (0x3040, 0x30FF), (0x4E00, 0x9FFF),
          (0xAC00, 0xD7A3), (0x1F300, 0x1F6FF)]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, MAX_PIECES)):
        kind = rng.random()
        if kind < 0.4:
            parts.append(rng.choice(WORDS))
        elif kind < 0.75:
            parts.append(rng.choice(SPACES))
        else:
            first, last = rng.choice(RANGES)
            parts.append("".join(chr(rng.randint(first, last)) for _ in range(rng.randrange(1, 6))))
    return "".join(parts)


def strings(reader, key):
    field = reader.fields[key]
    return [bytes(field.parts[i]).decode() for i in field.data]


def judge(tokens, merges, pre):
    bpe = models.BPE(vocab={t: i for i, t in enumerate(tokens)},
                     merges=[tuple(m.split(" ")) for m in merges],
                     ignore_merges=pre == "llama-bpe")
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERNS[pre]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizer


def ours(program, path, texts, between):
    """The ids of each text. `between` is a control token: its text and its id."""
    text, separator = between
    done = subprocess.run([program, "tokenize", "-m", str(path), "-"], check=True,
                          input=text.join(texts).encode(), capture_output=True)
    lists = [[]]
    for i in map(int, done.stdout.split()):
        if i == separator:
            lists.append([])
        else:
            lists[-1].append(i)
    return lists


def check(program, path, rng):
    """None, or what is wrong."""
    reader = gguf.GGUFReader(path)
    tokens = strings(reader, "tokenizer.ggml.tokens")
    pre = strings(reader, "tokenizer.ggml.pre")[0]
    separator = int(reader.fields["tokenizer.ggml.eos_token_id"].parts[-1][0])
    bos = int(reader.fields["tokenizer.ggml.bos_token_id"].parts[-1][0])
    texts = [t for t in (random_text(rng) for _ in range(N_TEXTS)) if tokens[separator] not in t]
    tokenizer = judge(tokens, strings(reader, "tokenizer.ggml.merges"), pre)
    lists = ours(program, path, texts, (tokens[separator], separator))
    if lists[0][:1] == [bos]:
        lists[0] = lists[0][1:]
    if len(lists) != len(texts):
        return f"{len(lists)} lists of ids for {len(texts)} texts"
    for text, got in zip(texts, lists):
        want = tokenizer.encode(text, add_special_tokens=False).ids
        if got != want:
            return f"{text!r}: {got}, expected {want}"
    return None


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["NEXUS_BIN"]
    root = pathlib.Path(__file__).resolve().parents[2]
    shared = pathlib.Path(os.environ.get("NX_SHARED", root.parent / "shared"))
    build = pathlib.Path(os.environ.get("NX_BUILD_DIR", root / "build"))
    paths = [shared / "data/vocab/ggml-vocab-gpt-2.gguf", build / "goldens/llama3-vocab.gguf",
             root / "models/nexus-mini.gguf"]
    failed = checked = 0
    for path in paths:
        if not path.exists():
            print(f"skipped {path.name}: not here")
            continue
        wrong = check(program, path, random.Random(SEED))
        print(f"{path.name}: {wrong or 'equal'}")
        failed += wrong is not None
        checked += 1
    sys.exit(1 if failed else 0 if checked else 77)


if __name__ == "__main__":
    main()
