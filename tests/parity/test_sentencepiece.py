"""Protects SentencePiece models: the ids of random texts, and the text that they decode to, equal
those of the `sentencepiece` library, for models of each kind trained here.

Usage: test_sentencepiece.py [PROGRAM] [TEXTS]      (default: the build folder's, $NX_SP_TEXTS)
"""
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import gguf
import sentencepiece
from random_texts import random_text

SEED = 20261123
USERS = ["<sep>", "\u2581\u2581", "foo bar", "\u00e9\u00e8", "1,000", "\n"]

CASES = {
    "unigram": dict(model_type="unigram"),
    "unigram, bytes": dict(model_type="unigram", byte_fallback=True),
    "unigram, nfkc_cf": dict(model_type="unigram", normalization_rule_name="nmt_nfkc_cf"),
    "unigram, identity, users": dict(model_type="unigram", normalization_rule_name="identity",
                                     user_defined_symbols=USERS),
    "unigram, suffix": dict(model_type="unigram", treat_whitespace_as_suffix=True,
                            add_dummy_prefix=True),
    "bpe": dict(model_type="bpe"),
    "bpe, like Llama 2": dict(model_type="bpe", byte_fallback=True,
                              normalization_rule_name="identity", split_digits=True,
                              remove_extra_whitespaces=False, allow_whitespace_only_pieces=True),
    "bpe, like Gemma": dict(model_type="bpe", byte_fallback=True, add_dummy_prefix=False,
                            normalization_rule_name="identity", split_by_whitespace=False,
                            remove_extra_whitespaces=False, user_defined_symbols=USERS),
    "bpe, users, nfkc": dict(model_type="bpe", normalization_rule_name="nfkc",
                             user_defined_symbols=USERS),
    "bpe, suffix": dict(model_type="bpe", treat_whitespace_as_suffix=True, byte_fallback=True),
    "characters": dict(model_type="char", user_defined_symbols=USERS),
    "words": dict(model_type="word"),
}


def train(folder, name, options, rng):
    text = folder / "text.txt"
    if not text.exists():
        lines = [random_text(rng, pieces=12).replace("\n", " ").replace("\r", " ")
                 for _ in range(250)]
        words = pathlib.Path(__file__).read_text() + sys.modules["random_texts"].__doc__
        text.write_text("\n".join(lines + words.splitlines() * 20), encoding="utf-8")
    prefix = folder / name.replace(" ", "_").replace(",", "")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(prefix), vocab_size=3000, character_coverage=0.98,
        hard_vocab_limit=False, num_threads=1, minloglevel=2, max_sentence_length=100000, **options)
    return prefix.with_suffix(".model")


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def read_varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def unuse(path, rng):
    """The same model with some pieces declared unused: type 5 is put behind a piece's fields. All of
    ModelProto's own fields are messages."""
    data, at, out = path.read_bytes(), 0, b""
    while at < len(data):
        key, at = read_varint(data, at)
        length, at = read_varint(data, at)
        body, at = data[at:at + length], at + length
        if key == 1 << 3 | 2 and b"\x18" not in body and rng.random() < 0.2:
            body += b"\x18\x05"
        out += varint(key) + varint(len(body)) + body
    unused = path.with_name(path.stem + "_unused.model")
    unused.write_bytes(out)
    return unused


def fields(data):
    """The fields of a message whose own fields are all messages, texts or numbers."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 2:
            length, at = read_varint(data, at)
            yield key >> 3, data[at:at + length]
            at += length
        else:
            value, at = read_varint(data, at)
            yield key >> 3, value


def as_gguf(path):
    """The same model under GGUF's keys, as T5's are."""
    sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
    normaliser = next(body for field, body in fields(path.read_bytes()) if field == 3)
    charsmap = next((body for field, body in fields(normaliser) if field == 2), b"")
    ids = range(sp.get_piece_size())
    out = gguf.GGUFWriter(path.with_suffix(".gguf"), "t5")
    out.add_tokenizer_model("t5")
    out.add_token_list([sp.id_to_piece(i).encode() for i in ids])
    out.add_token_scores([sp.get_score(i) for i in ids])
    out.add_token_types([2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i)
                         else 5 if sp.is_unused(i) else 1 for i in ids])
    out.add_precompiled_charsmap(charsmap)
    out.add_remove_extra_whitespaces(True)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.close()
    return path.with_suffix(".gguf"), path


def check(program, path, texts):
    path, model = path if isinstance(path, tuple) else (path, path)
    judge = sentencepiece.SentencePieceProcessor(model_file=str(model))
    done = subprocess.run([program, str(path)], check=True, capture_output=True,
                          input="".join(t + "\0" for t in texts).encode())
    answers = done.stdout.decode().split("\0")[:-1]
    assert len(answers) == len(texts), (len(answers), len(texts))
    wrong = []
    for text, answer in zip(texts, answers):
        ids, _, back = answer.partition("\n")
        ids = [int(i) for i in ids.split()]
        want = judge.encode(text)
        if ids != want:
            wrong.append((text, ids, want))
        elif back != judge.decode(want):
            wrong.append((text, back, judge.decode(want)))
    return wrong


def main():
    build = pathlib.Path(os.environ.get("NX_BUILD_DIR", "build"))
    program = str(sys.argv[1] if len(sys.argv) > 1 else build / "tests/parity/sp_tokens")
    n = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("NX_SP_TEXTS", 1000))
    rng = random.Random(SEED)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        paths = [(name, train(pathlib.Path(folder), name, options, rng))
                 for name, options in CASES.items()]
        paths += [(name + ", unused", unuse(path, rng)) for name, path in paths
                  if name in ("unigram", "bpe", "bpe, like Llama 2")]
        paths += [(name + ", GGUF", as_gguf(path)) for name, path in paths
                  if name in ("unigram", "unigram, bytes", "unigram, nfkc_cf")]
        texts = [random_text(rng, extra=USERS + ["<s>", "</s>", "<unk>", "\u2581a", "<0x41>"])
                 for _ in range(n)]
        texts += ["", " ", "  ", "\u2581", " \u2581 ", "\n"]
        for name, path in paths:
            wrong = check(program, path, texts)
            print(f"{name}: {len(wrong)} of {len(texts)} differ")
            for text, got, want in wrong[:2]:
                print(f"  {text!a}\n    {got!a}\n    expected {want!a}")
            failed += len(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
