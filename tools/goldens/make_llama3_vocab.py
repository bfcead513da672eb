#!/usr/bin/env python3
"""Make a GGUF file with the Llama 3 vocabulary, and no tensors, from its tiktoken form.

    python tools/goldens/make_llama3_vocab.py [--out build/goldens/llama3-vocab.gguf] [MODEL]

MODEL (default: ../shared/data/vocab/llama3-tokenizer.model) holds 128,000 lines, each a token in
base64 and its rank. The 256 special tokens follow from id 128000, as in Llama 3.1.

The file has no merges. tiktoken joins any two neighbours that together are a token, the lowest
rank first; a list of merges says the same when it holds, for every token in the order of ranks,
every way to cut it into two tokens.

Nothing of the result is committed: its licence is the Llama 3 Community License, and a golden test
(tests/golden/vocab_golden.c) makes do without it. Needs the package gguf
(tests/parity/requirements.txt). Exit status 77 where MODEL isn't there.
"""
import argparse
import base64
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT.parent / "shared" / "data" / "vocab" / "llama3-tokenizer.model"
OUT = ROOT / "build" / "goldens" / "llama3-vocab.gguf"

N_SPECIAL = 256
NAMED = ["<|begin_of_text|>", "<|end_of_text|>", None, None, "<|finetune_right_pad_id|>", None,
         "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"]


def read_ranks(path: pathlib.Path) -> dict[bytes, int]:
    ranks = {}
    for line in path.read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    if sorted(ranks.values()) != list(range(len(ranks))):
        sys.exit(f"{path}: ranks are not 0 to {len(ranks) - 1}, each once")
    return ranks


def special_tokens() -> list[str]:
    texts, reserved = [], 0
    for i in range(N_SPECIAL):
        text = NAMED[i] if i < len(NAMED) else None
        if text is None:
            text = f"<|reserved_special_token_{reserved}|>"
            reserved += 1
        texts.append(text)
    return texts


def byte_chars() -> list[str]:
    """GPT-2's visible character for each byte (src/token/bytemap.h)."""
    itself = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (b for b in range(256) if b not in itself)
    chars = {b: chr(b) for b in itself} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [chars[b] for b in range(256)]


def spell(token: bytes, chars: list[str]) -> str:
    return "".join(chars[b] for b in token)


def merges_of(ranks: dict[bytes, int], chars: list[str]) -> list[str]:
    merges = []
    for token in sorted(ranks, key=ranks.get):
        cuts = [(token[:i], token[i:]) for i in range(1, len(token))]
        cuts = [(a, b) for a, b in cuts if a in ranks and b in ranks]
        cuts.sort(key=lambda cut: (ranks[cut[0]], ranks[cut[1]]))
        merges += [f"{spell(a, chars)} {spell(b, chars)}" for a, b in cuts]
    return merges


def write(path: pathlib.Path, ranks: dict[bytes, int]) -> int:
    import gguf

    chars, special = byte_chars(), special_tokens()
    tokens = [spell(t, chars) for t in sorted(ranks, key=ranks.get)] + special
    types = ([gguf.TokenType.NORMAL] * len(ranks)) + ([gguf.TokenType.CONTROL] * N_SPECIAL)
    merges = merges_of(ranks, chars)

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    w = gguf.GGUFWriter(beside, "llama")
    w.add_name("llama-bpe")
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("llama-bpe")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(tokens.index("<|begin_of_text|>"))
    w.add_eos_token_id(tokens.index("<|end_of_text|>"))
    w.add_eot_token_id(tokens.index("<|eot_id|>"))
    w.add_pad_token_id(tokens.index("<|finetune_right_pad_id|>"))
    w.add_add_bos_token(True)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()
    beside.rename(path)
    return len(merges)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=pathlib.Path, default=MODEL)
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    args = parser.parse_args()
    if not args.model.exists():
        print(f"skipped: no {args.model}")
        sys.exit(77)
    ranks = read_ranks(args.model)
    n_merges = write(args.out, ranks)
    print(f"{args.out}: {len(ranks)} tokens, {N_SPECIAL} special ones, {n_merges} merges")


if __name__ == "__main__":
    main()
