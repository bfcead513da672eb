"""vocab.py - the byte-level BPE vocabulary of Nexus mini.

Owns:     vocab.json (a `tokenizers` file) and the names of the special tokens.
Refuses:  everything that happens after a text became ids.
Idea:     the split is the one that GGUF names "llama-bpe" (Llama 3's pattern,
          digits in runs of up to three), so that engines need no new code. The
          256 byte tokens come first after the specials: any bytes encode.
"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

BOS, START, END = "<|bos|>", "<|im_start|>", "<|im_end|>"
SPECIALS = [BOS, START, END]

# ChatML. BOS is not written here: the vocabulary's add_bos flag puts it in front.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")

LLAMA_BPE = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
             r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def rows(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def empty():
    # ignore_merges: a piece that is a token as a whole is that token, as llama-bpe says.
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_BPE), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def corpus(data, rng):
    """Package names, synopses and prose in about the proportions of the training."""
    for row in rows(data / "packages.jsonl"):
        text = f"Package: {row['name']}\nDescription: {row['synopsis']}\n"
        yield text + (row["description"][0] if row["description"] and rng.random() < 0.5 else "")
    for name, share in (("manuals", 0.5), ("pages", 0.25), ("glosses", 0.3)):
        for row in rows(data / f"{name}.jsonl"):
            if rng.random() < share:
                yield row["text"]


def load(path):
    return Tokenizer.from_file(str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("build/mini"))
    parser.add_argument("--size", type=int, default=6144)
    args = parser.parse_args()
    tokenizer = empty()
    trainer = trainers.BpeTrainer(vocab_size=args.size, special_tokens=SPECIALS, min_frequency=2,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(corpus(args.data, random.Random(0)), trainer)
    tokenizer.save(str(args.data / "vocab.json"))
    print(f"vocab.json: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
