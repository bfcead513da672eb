"""Protects the commands for those who measure and compare: info, logits, perplexity, bench. What
they print must agree with the file's bytes, with each other, and with outside judges."""
import array
import json
import math
import os
import struct
import subprocess
import unittest

import harness
from harness import NEXUS, Case, environment, gguf, nexus, shared

N_VOCAB = 512  # of the shape "tiny", whose ids 0..255 are bytes
BOS = 510


def floats(raw):
    return array.array("f", raw)


def rows(raw, n):
    values = floats(raw)
    return [values[i:i + n] for i in range(0, len(values), n)]


def logprob(row, token):
    top = max(row)
    return row[token] - top - math.log(math.fsum(math.exp(x - top) for x in row))


class Tools(Case):
    """A test with a small model of random weights, made by bench --save."""

    def tiny(self, dtype="q8_0", *more):
        path = os.path.join(self.tmp, f"tiny-{dtype}.gguf")
        done = self.ok(nexus("bench", "--synthetic", f"tiny:{dtype}", "--save", path, *more))
        self.assertIn("written to", done.err)
        return path


class Info(Tools):
    def test_figures_agree_with_each_other(self):
        path = self.tiny("q4_k")
        d = self.ok(nexus("info", path, "--json", "--tensors", "--ctx", "1000")).json
        self.assertEqual(d["bytes"], os.path.getsize(path))
        self.assertEqual((d["architecture"], d["can_run"]), ("llama", True))
        self.assertEqual(d["tensors"], len(d["tensor_list"]))
        self.assertEqual(d["tensors_bytes"], sum(t["bytes"] for t in d["tensor_list"]))
        self.assertEqual(d["parameters"], sum(math.prod(t["shape"]) for t in d["tensor_list"]))
        for t in d["types"]:
            of_type = [x["bytes"] for x in d["tensor_list"] if x["type"] == t["type"]]
            self.assertEqual((t["tensors"], t["bytes"]), (len(of_type), sum(of_type)))
        m, memory = d["model"], d["memory"]
        kv = 2 * 2 * memory["ctx"] * m["layers"] * m["heads_kv"] * m["head_dim"]
        self.assertEqual((memory["ctx"], memory["kv_bytes"]), (1000, kv))
        self.assertGreater(memory["activations_bytes"], 4 * memory["batch"] * m["feed_forward"])
        self.assertEqual(memory["total_bytes"],
                         memory["file_bytes"] + kv + memory["activations_bytes"])
        self.assertEqual((d["vocabulary"]["tokens"], d["vocabulary"]["bos"]), (N_VOCAB, BOS))

    def test_metadata_of_every_type(self):
        keys = {"general.architecture": "frog", "a.int": 7, "a.float": 0.5, "a.bool": True,
                "a.text": "two\nlines", "a.list": ["x", "y"]}
        path = self.file("frog.gguf", gguf(keys))
        d = self.ok(nexus("info", path, "--json")).json
        found = {m["key"]: m["value"] for m in d["metadata"]}
        self.assertEqual(found, {**keys, "a.list": {"array": "string", "n": 2}})
        text = self.ok(nexus("info", path, "--metadata")).out.decode()
        for line in ("a.int 7", "a.float 0.5", "a.bool true", "a.list array of 2 string"):
            self.assertIn(line, " ".join(text.split()))
        self.assertIn("a vocabulary alone", text)

    def test_other_architectures_are_shown_and_cannot_run(self):
        tensor = ("token_embd.weight", [32, 4], 0, bytes(512))
        path = self.file("frog.gguf", gguf({"general.architecture": "frog"}, [tensor]))
        text = self.ok(nexus("info", path)).out.decode()
        self.assertIn("frog", text)
        self.assertIn('"frog" is not supported (supported: llama', text)
        d = self.ok(nexus("info", path, "--json")).json
        self.assertEqual((d["can_run"], d["model"], d["memory"]), (False, None, None))
        self.assertIn("frog", d["can_run_error"])

    def test_dump_is_the_files_numbers(self):
        path = self.tiny("f32")
        with open(path, "rb") as f:
            content = f.read()
        raw = self.ok(nexus("info", path, "--dump", "blk.1.ffn_down.weight")).out
        self.assertEqual(len(raw), 4 * 768 * 256)
        self.assertIn(raw, content)
        ones = self.ok(nexus("info", path, "--dump", "output_norm.weight")).out
        self.assertEqual(list(floats(ones)), [1.0] * 256)
        self.refused(nexus("info", path, "--dump", "blk.9.ffn_down.weight"), 1,
                     "no tensor blk.9.ffn_down.weight")

    def test_dump_decodes_blocks(self):
        raw = b"\x00\x3c" + bytes(range(32))  # q8_0: a half 1.0 and 32 codes
        path = self.file("q8.gguf", gguf({"general.architecture": "frog"},
                                         [("x", [32], 8, raw)]))
        self.assertEqual(list(floats(self.ok(nexus("info", path, "--dump", "x")).out)),
                         [float(i) for i in range(32)])

    def test_refusals(self):
        path = self.tiny()
        self.refused(nexus("info", path, "--ctx", "5000"), 1, "5000", "1024")
        self.refused(nexus("info", path, "-m", path), 2, "two models")
        self.refused(nexus("info", os.path.join(self.tmp, "no.gguf")), 1, "no such file")
        empty = os.path.join(self.tmp, "empty")
        os.mkdir(empty)
        self.refused(nexus("info", empty), 1, "no model in this folder")
        self.ok(nexus("info", os.path.dirname(path)))    # a folder with one GGUF file is that file
        self.refused(nexus("info", self.file("a.txt", b"Dear diary,\n" * 9)), 1, "gguf")
        env = {"NEXUS_MODEL": "elsewhere.gguf"}
        self.ok(nexus("info", path, env=env))


class Logits(Tools):
    ids = ",".join(str(7 * i % N_VOCAB) for i in range(40))

    def raw(self, path, *more, env=None):
        return self.ok(nexus("logits", "-m", path, "--prompt-ids", self.ids, "--raw", *more,
                             env=env)).out

    def test_same_bits_whatever_computes(self):
        for dtype in ("q4_0", "q6_k", "f16"):
            path = self.tiny(dtype)
            expected = self.raw(path)
            self.assertEqual(len(expected), 4 * 40 * N_VOCAB)
            for more in (("-t", "1"), ("-t", "2"), ("-t", "4"), ("-b", "1"), ("-b", "7")):
                self.assertEqual(self.raw(path, *more), expected, f"{dtype} {more}")
            self.assertEqual(self.raw(path, env={"NEXUS_CPU": "ref"}), expected, dtype)

    def test_kv_types_differ_a_little(self):
        path = self.tiny("f16")
        exact = floats(self.raw(path, "--kv-type", "f32"))
        spread = math.sqrt(math.fsum(x * x for x in exact) / len(exact))
        for kind, tolerance in (("f16", 1e-2), ("q8_0", 1e-1)):
            other = floats(self.raw(path, "--kv-type", kind))
            worst = max(abs(a - b) for a, b in zip(exact, other))
            self.assertGreater(worst, 0, kind)
            self.assertLess(worst, tolerance * spread, kind)

    def test_table_shows_the_likeliest(self):
        path = self.tiny()
        table = self.ok(nexus("logits", "-m", path, "--prompt-ids", "72,105", "--top", "3"))
        raw = self.ok(nexus("logits", "-m", path, "--prompt-ids", "72,105", "--raw")).out
        lines = table.out.decode().splitlines()
        self.assertEqual(len(lines), 2 * 4)
        for t, row in enumerate(rows(raw, N_VOCAB)):
            order = sorted(range(N_VOCAB), key=lambda i, row=row: (-row[i], i))[:3]
            shown = [line.split() for line in lines[4 * t + 1:4 * t + 4]]
            self.assertEqual([int(s[0]) for s in shown], order)
            for s, token in zip(shown, order):
                self.assertAlmostEqual(float(s[1]), logprob(row, token), places=3)

    def test_text_gives_the_ids_of_its_bytes(self):
        path = self.tiny()
        ids = ",".join(str(b) for b in [BOS, *"Hé!".encode()])
        self.assertEqual(self.ok(nexus("logits", "-m", path, "-p", "Hé!", "--raw")).out,
                         self.ok(nexus("logits", "-m", path, "--prompt-ids", ids, "--raw")).out)
        self.assertEqual(
            self.ok(nexus("logits", "-m", path, "-p", "-", "--raw", stdin="Hé!".encode())).out,
            self.ok(nexus("logits", "-m", path, "-p", "Hé!", "--raw")).out)

    def test_a_reader_that_leaves_is_no_failure(self):
        path = self.tiny()
        p = subprocess.Popen([NEXUS, "logits", "-m", path, "--prompt-ids", self.ids, "--raw"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        p.stdout.read(10)
        p.stdout.close()
        err = p.stderr.read().decode()
        p.stderr.close()
        p.wait()
        self.assertNotIn("error", err)

    def test_refusals(self):
        path = self.tiny()
        self.refused(nexus("logits", "-m", path), 2, "prompt")
        self.refused(nexus("logits", "-m", path, "-p", "a", "--prompt-ids", "1"), 2, "prompt")
        self.refused(nexus("logits", "-m", path, "--prompt-ids", "1,512"), 1, "512", "511")
        self.refused(nexus("logits", "-m", path, "--prompt-ids", "1,x"), 2, "found 'x'")
        self.refused(nexus("logits", "-m", path, "-c", "8", "--prompt-ids", self.ids), 1, "40",
                     "8")

    def test_outside_judge(self):
        path = shared("models", "stories260K.gguf")
        with open(shared("models", "stories260K.expected.json"), encoding="utf-8") as f:
            cases = json.load(f)["cases"]
        for case in cases:
            answer = case["prompt_tokens"] + case["tokens"]
            ids = ",".join(map(str, answer[:-1]))
            got = rows(self.ok(nexus("logits", "-m", path, "--prompt-ids", ids, "--raw")).out, 512)
            first = len(case["prompt_tokens"]) - 1
            for i, step in enumerate(case["steps"]):
                for token, expected in step["top"]:
                    self.assertAlmostEqual(logprob(got[first + i], token), expected, delta=0.01)


class Perplexity(Tools):
    text = b"Nobody reads random weights for pleasure; 0123456789.\n" * 3

    def expected(self, path, ctx):
        """As llama.cpp counts it, over rows of `nexus logits`; the text's ids are its bytes."""
        ids = [BOS, *self.text]
        nll = []
        for start in range(0, len(ids) - ctx + 1, ctx):
            chunk = [BOS, *ids[start + 1:start + ctx]]
            raw = self.ok(nexus("logits", "-m", path, "--raw", "--prompt-ids",
                                ",".join(map(str, chunk)))).out
            got = rows(raw, N_VOCAB)
            nll += [-logprob(got[t], chunk[t + 1]) for t in range(ctx // 2, ctx - 1)]
        mean = math.fsum(nll) / len(nll)
        variance = math.fsum(x * x for x in nll) / len(nll) - mean * mean
        return math.exp(mean), math.exp(mean) * math.sqrt(variance / (len(nll) - 1)), len(nll)

    def test_counts_as_llama_cpp_does(self):
        path, text = self.tiny(), self.file("text", self.text)
        for ctx in (32, 33, 80):
            d = self.ok(nexus("perplexity", "-m", path, "--ctx", str(ctx), "--json", text)).json
            value, error, n = self.expected(path, ctx)
            self.assertEqual(d["tokens_scored"], n)
            self.assertAlmostEqual(d["perplexity"] / value, 1, delta=1e-5)
            self.assertAlmostEqual(d["standard_error"] / error, 1, delta=1e-3)

    def test_words_and_stdin(self):
        path, text = self.tiny(), self.file("text", self.text)
        done = self.ok(nexus("perplexity", "-m", path, "--ctx", "32", "--chunks", "2", text))
        self.assertRegex(done.out.decode(),
                         r"^perplexity \d+\.\d{4} \+- \d+\.\d{4} \(2 chunks of 32 tokens, 30 ")
        again = nexus("perplexity", "-m", path, "--ctx", "32", "--chunks", "2", "-",
                      stdin=self.text)
        self.assertEqual(self.ok(again).out, done.out)

    def test_refusals(self):
        path, text = self.tiny(), self.file("text", self.text)
        self.refused(nexus("perplexity", "-m", path), 2, "no FILE given")
        self.refused(nexus("perplexity", "-m", path, text), 1, "163 tokens", "512")
        self.refused(nexus("perplexity", "-m", path, text + "x"), 1, "no such file")
        self.refused(nexus("perplexity", "-m", path, "--ctx", "2000", text), 1, "2000", "1024")

    def test_damaged_weights(self):
        with open(self.tiny(), "rb") as f:
            image = f.read()
        self.assertEqual(image[-4:], struct.pack("<f", 1))  # the last norm's last weight
        path = self.file("nan.gguf", image[:-4] + struct.pack("<f", math.nan))
        self.refused(nexus("perplexity", "-m", path, "--ctx", "32", self.file("text", self.text)),
                     1, "chunk 0", "Damaged weights?")


class Bench(Tools):
    def test_figures_follow_from_each_other(self):
        d = self.ok(nexus("bench", "--synthetic", "tiny:q8_0", "-p", "24", "-n", "8", "-r", "3",
                          "-d", "4", "-t", "2", "--json")).json
        self.assertEqual((d["model"], d["type"]), ("synthetic tiny q8_0", "q8_0"))
        self.assertEqual((d["runs"], d["threads"], d["ceiling_sweeps"]), (3, 2, 5))
        self.assertGreaterEqual(d["ceiling_sweep_bytes"], 1 << 30)
        prefill, decode = d["tests"]
        self.assertEqual((prefill["test"], prefill["n"], prefill["depth"]), ("prefill", 24, 0))
        self.assertEqual((decode["test"], decode["n"], decode["depth"]), ("decode", 8, 4))
        for t in (prefill, decode):
            rates = sorted(t["tokens_per_s"])
            self.assertEqual([t["tokens_per_s_min"], t["tokens_per_s_median"],
                              t["tokens_per_s_max"]], rates)
            self.assertGreater(rates[0], 0)
        # A tied head reads every weight; position i of a run reads i + 1 keys and values.
        self.assertEqual(decode["weights_bytes_per_token"], d["weights_bytes"])
        self.assertEqual(decode["kv_bytes_per_token"], int(8.5 * 2 * 2 * 2 * 2 * 64))
        moved = decode["weights_bytes_per_token"] + decode["kv_bytes_per_token"]
        self.assertAlmostEqual(decode["bytes_per_s"] / (moved * decode["tokens_per_s_median"]), 1,
                               delta=1e-4)
        self.assertAlmostEqual(
            decode["fraction_of_ceiling"] * d["ceiling_bytes_per_s"] / decode["bytes_per_s"], 1,
            delta=1e-3)

    def test_csv_and_words(self):
        path = self.tiny()
        args = ("bench", "-m", path, "-p", "8", "-n", "0", "-r", "2")
        lines = self.ok(nexus(*args, "--csv")).out.decode().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertEqual(len(lines[0].split(",")), len(lines[1].split(",")))
        self.assertIn(",prefill,8,0,2,", lines[1])
        self.assertIn("prefill", self.ok(nexus(*args)).out.decode())

    def test_same_seed_same_file(self):
        def saved(*more):
            with open(self.tiny("q4_k", *more), "rb") as f:
                return f.read()
        first = saved("-t", "1")
        self.assertEqual(saved("-t", "3"), first)
        self.assertNotEqual(saved("--seed", "2"), first)
        self.assertEqual(os.listdir(self.tmp), ["tiny-q4_k.gguf"])  # no partial file is left

    def test_refusals(self):
        self.refused(nexus("bench", "--synthetic", "70b:f32", "--save", "x"), 1, "282.2 GB",
                     "are free")
        self.refused(nexus("bench", "--synthetic", "2b:q8_0"), 1, "2b", "1b, 1.4b, 8b")
        self.refused(nexus("bench", "--synthetic", "1b:q9"), 1, "q9")
        self.refused(nexus("bench", "--synthetic", "tiny:f32", "--save",
                           os.path.join(self.tmp, "no", "x.gguf")), 1, "x.gguf")
        self.refused(nexus("bench", "--save", "x"), 2, "--synthetic")
        self.refused(nexus("bench", "--synthetic", "tiny:f32", "-p", "0", "-n", "0"), 2, "nothing")
        self.refused(nexus("bench", "--synthetic", "tiny:f32", "-p", "2000"), 1, "2000", "1024")
        self.refused(nexus("bench", "--synthetic", "tiny:f32", "--json", "--csv"), 2, "exclude")


if __name__ == "__main__":
    harness.main()
