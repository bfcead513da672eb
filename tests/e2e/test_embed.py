"""Protects `nexus embed`: the model that ships, its options, what it says of long texts, and that the
commands which generate refuse an embedding model."""
import json
import math
import os
import unittest

import harness
from harness import Case, nexus

SHIPPED = os.path.join(harness.ROOT, "models", "all-minilm-l6-v2.gguf")


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@unittest.skipUnless(os.path.exists(SHIPPED), "skipped: no models/all-minilm-l6-v2.gguf")
class Embed(Case):
    def rows(self, *args, stdin=b""):
        out = self.ok(nexus("embed", *args, stdin=stdin)).out.decode()
        return [[float(x) for x in line.split()] for line in out.splitlines()]

    def json(self, *args, stdin=b""):
        return json.loads(self.ok(nexus("embed", "--json", *args, stdin=stdin)).out)

    def test_meaning(self):
        cat, kitten, tax = self.rows("A cat sleeps on the sofa.", "A kitten naps on the couch.",
                                     "The tax law changes in spring.")
        self.assertEqual(len(cat), 384)
        self.assertAlmostEqual(math.hypot(*cat), 1, places=5)
        self.assertGreater(cosine(cat, kitten), 0.6)
        self.assertLess(cosine(cat, tax), 0.3)

    def test_json_and_lines(self):
        answer = self.json("--lines", "-", stdin=b"first\n\nthird")
        self.assertEqual(answer["dimensions"], 384)
        self.assertEqual(len(answer["embeddings"]), 3)
        self.assertEqual(answer["tokens"], 3 + 2 + 3)
        self.assertEqual(answer["embeddings"][0], self.json("first")["embeddings"][0])
        whole = self.json("-", stdin=b"first\n\nthird")
        self.assertEqual(len(whole["embeddings"]), 1)

    def test_dimensions(self):
        full, = self.rows("hello")
        short, = self.rows("--dimensions", "64", "hello")
        self.assertEqual(len(short), 64)
        self.assertAlmostEqual(math.hypot(*short), 1, places=5)
        self.assertAlmostEqual(cosine(short, full[:64]), 1, places=5)
        done = nexus("embed", "--dimensions", "385", "hello")
        self.assertEqual(done.rc, 1)
        self.assertIn("384", done.err)

    def test_long(self):
        text = "word " * 400
        done = nexus("embed", text)
        self.assertEqual((done.rc, done.out), (1, b""))
        self.assertIn("402 tokens", done.err)
        self.assertIn("256", done.err)
        cut = self.json("--long", "cut", text)
        self.assertEqual((cut["long"], cut["tokens"], cut["tokens_cut"]), (1, 256, 146))
        self.assertEqual(cut["embeddings"][0], self.json("word " * 254)["embeddings"][0])
        windows = self.json("--long", "windows", text)
        self.assertEqual((windows["long"], windows["windows"], windows["tokens"]), (1, 2, 404))
        self.assertGreater(cosine(windows["embeddings"][0], cut["embeddings"][0]), 0.9)
        done = nexus("embed", "short", text)
        self.assertIn("text 2 of 2", done.err)

    def test_wrong_use(self):
        self.assertEqual(nexus("embed").rc, 2)
        self.assertEqual(nexus("embed", "--long", "maybe", "x").rc, 2)
        done = nexus("generate", "-m", SHIPPED, "-p", "x")
        self.assertEqual(done.rc, 1)
        self.assertIn("nexus embed", done.err)
        done = nexus("embed", "-m", os.path.join(harness.ROOT, "models", "nexus-mini.gguf"), "x")
        self.assertEqual(done.rc, 1)
        self.assertIn("generates", done.err)


if __name__ == "__main__":
    harness.main()
