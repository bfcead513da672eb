"""Protects `nexus tokenize` and `nexus detokenize`: the expected ids of real vocabularies, bytes
that come back as they went in, and files that hold a vocabulary and no tensors."""
import json
import os
import random
import unittest

import harness
from harness import Case, any_model, gguf, nexus, shared

SEPARATOR = "\n__ggml_vocab_test__\n"
VOCABULARIES = ["llama-spm", "phi-3", "gpt-2", "llama-bpe"]


def vocabulary(name):
    """A vocabulary of the data folder; Llama 3's is made by a golden test of this build."""
    if name != "llama-bpe":
        return shared("vocab", f"ggml-vocab-{name}.gguf")
    build = os.environ.get("NX_BUILD_DIR", os.path.join(harness.ROOT, "build", "release"))
    made = os.path.join(build, "goldens", "llama3-vocab.gguf")
    if not os.path.exists(made):
        raise unittest.SkipTest(f"skipped: no {made} (golden/make_llama3_vocab makes it)")
    return made


class Golden(Case):
    def check(self, name):
        model = vocabulary(name)
        with open(shared("vocab", f"ggml-vocab-{name}.gguf.inp"), encoding="utf-8") as f:
            texts = f.read().split(SEPARATOR)[:-1]    # each text ends with one
        with open(shared("vocab", f"ggml-vocab-{name}.gguf.out"), encoding="utf-8") as f:
            expected = [line.split() for line in f.read().splitlines()]
        self.assertEqual(len(texts), len(expected))
        for text, ids in zip(texts, expected):
            with self.subTest(text=text):
                done = self.ok(nexus("tokenize", "-m", model, "--no-special", "-",
                                     stdin=text.encode()))
                self.assertEqual(done.out.decode(), " ".join(ids) + "\n")
                back = self.ok(nexus("detokenize", "-m", model, "-", stdin=done.out))
                self.assertEqual(back.out, text.encode())


for vocab in VOCABULARIES:
    setattr(Golden, "test_" + vocab.replace("-", "_"), lambda self, v=vocab: self.check(v))


class RoundTrip(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = any_model()

    def back(self, raw):
        ids = self.ok(nexus("tokenize", "-m", self.model, "--no-special", "-", stdin=raw)).out
        return self.ok(nexus("detokenize", "-m", self.model, "-", stdin=ids)).out

    def test_texts(self):
        for text in ("", "a", " two  spaces ", "\n\n\ttabs\r\n", "¿Qué? 你好 🙂 naïve",
                     "e\u0301", "<s> </s> <|im_end|>", "x" * 5000):
            with self.subTest(text=text[:20]):
                self.assertEqual(self.back(text.encode()), text.encode())

    def test_any_bytes(self):
        rng = random.Random(1)
        for n in (1, 2, 3, 17, 1000):
            raw = bytes(rng.randrange(256) for _ in range(n))
            self.assertEqual(self.back(raw), raw)
        self.assertEqual(self.back(bytes(range(256))), bytes(range(256)))

    def test_argument_and_stdin_agree(self):
        a = self.ok(nexus("tokenize", "-m", self.model, "Once upon")).out
        b = self.ok(nexus("tokenize", "-m", self.model, "-", stdin=b"Once upon")).out
        self.assertEqual(a, b)

    def test_text_that_begins_with_a_dash(self):
        a = self.ok(nexus("tokenize", "-m", self.model, "--no-special", "--", "-1 --help")).out
        b = self.ok(nexus("tokenize", "-m", self.model, "--no-special", "-", stdin=b"-1 --help"))
        self.assertEqual(a, b.out)

    def test_ids_as_arguments(self):
        ids = self.ok(nexus("tokenize", "-m", self.model, "--no-special", "Once upon")).out.split()
        for args in (ids, [b",".join(ids)]):
            self.assertEqual(self.ok(nexus("detokenize", "-m", self.model, *args)).out,
                             b"Once upon")

    def test_json_and_pieces(self):
        plain = [int(i) for i in self.ok(nexus("tokenize", "-m", self.model, "Once upon")).out.split()]
        full = self.ok(nexus("tokenize", "-m", self.model, "--json", "--pieces", "Once upon")).json
        self.assertEqual(full["ids"], plain)
        self.assertEqual(len(full["pieces"]), len(plain))
        lines = self.ok(nexus("tokenize", "-m", self.model, "--pieces", "Once upon")).out.decode()
        shown = [line.split(maxsplit=1) for line in lines.splitlines()]
        self.assertEqual([int(i) for i, _ in shown], plain)
        self.assertEqual([json.loads(p) for _, p in shown], full["pieces"])

    def test_wrong_ids(self):
        self.refused(nexus("detokenize", "-m", self.model, "99999999"), 1, "99999999")
        self.refused(nexus("detokenize", "-m", self.model, "1", "two"), 1, "'two'", "id 2")


class VocabularyAlone(Case):
    """A file with a vocabulary and no tensors."""

    def model(self):
        bytes_ = [f"<0x{i:02X}>" for i in range(256)]
        words = ["▁", "▁h", "i", "▁hi"]
        return self.file("words.gguf", gguf({
            "general.architecture": "llama",
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"] + bytes_ + words,
            "tokenizer.ggml.scores": [0.0] * 259 + [-1.0, -2.0, -3.0, -1.5],
            "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(words),
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.ggml.unknown_token_id": 0,
        }))

    def test_tokenize(self):
        model = self.model()
        done = self.ok(nexus("tokenize", "-m", model, "hi"))
        self.assertEqual(done.out, b"1 262\n")
        self.assertEqual(self.ok(nexus("tokenize", "-m", model, "--no-special", "hi")).out, b"262\n")
        self.assertEqual(self.ok(nexus("detokenize", "-m", model, "1", "262")).out, b"hi")
        self.assertEqual(self.ok(nexus("detokenize", "-m", model, "--control", "1", "262")).out,
                         b"<s>hi")

    def test_control_tokens_spelled_in_a_text(self):
        model = self.model()
        self.assertEqual(self.ok(nexus("tokenize", "-m", model, "hi</s>")).out, b"1 262 2\n")
        plain = self.ok(nexus("tokenize", "-m", model, "--no-special", "hi</s>")).out.split()
        self.assertNotIn(b"2", plain)

    def test_generate_says_that_weights_are_missing(self):
        done = nexus("generate", "-m", self.model(), "-p", "hi")
        self.refused(done, 1, "words.gguf")


if __name__ == "__main__":
    harness.main()
