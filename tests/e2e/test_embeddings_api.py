"""Protects POST /v1/embeddings: OpenAI's shapes of input and output, its errors, usage in the ledger, and
that one long request keeps nobody else waiting."""
import base64
import concurrent.futures
import http.client
import json
import math
import os
import re
import struct
import subprocess
import tempfile
import time
import unittest

import harness
from harness import Case

SHIPPED = os.path.join(harness.ROOT, "models", "all-minilm-l6-v2.gguf")
NAME = "all-minilm-l6-v2"


class Server:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.log = open(os.path.join(self.folder.name, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [harness.NEXUS, "serve", "--port", "0", "--data", self.folder.name + "/data",
             "--access-log", "", "--positions", "8192"], stderr=self.log, stdout=subprocess.DEVNULL)
        self.port, end = None, time.time() + 60
        while self.port is None and time.time() < end:
            with open(self.log.name, encoding="utf-8") as f:
                found = re.search(r"http://127\.0\.0\.1:(\d+)", f.read())
            self.port = int(found[1]) if found else time.sleep(0.05)

    def ask(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        c.request(method, path, None if body is None else json.dumps(body),
                  {"Content-Type": "application/json"})
        r = c.getresponse()
        answer = json.loads(r.read())
        c.close()
        return r.status, answer

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()
        self.folder.cleanup()


@unittest.skipUnless(os.path.exists(SHIPPED), "skipped: no models/all-minilm-l6-v2.gguf")
class Embeddings(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def embed(self, text, status=200, **more):
        got, answer = self.server.ask("POST", "/v1/embeddings", {"input": text, **more})
        self.assertEqual(got, status, answer)
        return answer

    def rows(self, text, **more):
        return [d["embedding"] for d in self.embed(text, **more)["data"]]

    def refused(self, param, words, text, status=400, **more):
        error = self.embed(text, status, **more)["error"]
        self.assertEqual(error["param"], param)
        self.assertIn(words, error["message"])

    def test_shapes(self):
        answer = self.embed("hello world", model=NAME)
        self.assertEqual((answer["object"], answer["model"]), ("list", NAME))
        self.assertEqual(answer["usage"], {"prompt_tokens": 4, "total_tokens": 4})
        one = answer["data"][0]
        self.assertEqual((one["object"], one["index"], len(one["embedding"])), ("embedding", 0, 384))
        self.assertAlmostEqual(math.hypot(*one["embedding"]), 1, places=5)
        many = self.rows(["other", "hello world", ""])
        self.assertEqual(many[1], one["embedding"])
        for ids in ([7592, 2088], [101, 7592, 2088, 102]):
            self.assertEqual(self.rows(ids), [one["embedding"]])
        self.assertEqual(self.rows([[7592, 2088], [7592]])[0], one["embedding"])
        self.assertEqual(self.embed("x", model=None, user="u", input_type="query")["model"], NAME)

    def test_base64_and_dimensions(self):
        full = self.rows("hello world")[0]
        packed, = self.rows("hello world", encoding_format="base64")
        self.assertEqual(list(struct.unpack("<384f", base64.b64decode(packed))),
                         [struct.unpack("f", struct.pack("f", x))[0] for x in full])
        for n in (1, 2, 3, 4, 5, 127):
            short, = self.rows("hello world", dimensions=n)
            length = math.hypot(*full[:n])
            for a, b in zip(short, full):
                self.assertAlmostEqual(a, b / length, places=5)
            packed, = self.rows("hello world", dimensions=n, encoding_format="base64")
            self.assertEqual(len(base64.b64decode(packed, validate=True)), 4 * n)

    def test_long(self):
        text = "word " * 400
        self.refused("input", "input[1]: a text of 402 tokens", ["short", text])
        self.assertNotIn("long", self.embed("short"))
        cut = self.embed(text, long="cut")
        self.assertEqual(cut["long"], {"texts": 1, "windows": 1, "tokens_cut": 146})
        self.assertEqual(cut["usage"]["total_tokens"], 256)
        windows = self.embed(["short", text], long="windows")
        self.assertEqual(windows["long"], {"texts": 1, "windows": 2, "tokens_cut": 0})
        self.assertEqual(windows["usage"]["total_tokens"], 404 + 3)

    def test_errors(self):
        self.refused("input", "input", [])
        self.embed(["x"] * 2049, 400)
        self.refused("input", "input", 5)
        self.refused("input", "token 1 is 40000, expected 0 to 30521", [1, 40000])
        self.refused("encoding_format", "encoding_format", "x", encoding_format="hex")
        self.refused("dimensions", "384", "x", dimensions=385)
        self.refused("dimensions", "dimensions", "x", dimensions=0)
        self.refused("model", "nexus-mini", "x", model="nexus-mini")
        self.refused("model", "no model", "x", 404, model="text-embedding-3-small")
        for path, body in (("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
                           ("/v1/completions", {"prompt": "x"}), ("/llm/generate", {"prompt": "x"})):
            status, answer = self.server.ask("POST", path, {"model": NAME, **body})
            self.assertIn(status, (400, 422))
            self.assertIn("/v1/embeddings", json.dumps(answer))

    def test_ledger_and_cache(self):
        before = self.admin_model()["cache"]["hits"]
        self.rows(["a text for the cache"])
        self.rows(["a text for the cache"])
        model = self.admin_model()
        self.assertEqual((model["purpose"], model["state"]), ("embeds", "ready"))
        self.assertGreater(model["cache"]["hits"], before)
        _, usage = self.server.ask("GET", "/admin/usage")
        self.assertIn(NAME, json.dumps(usage))

    def admin_model(self):
        _, answer = self.server.ask("GET", "/admin/models")
        return next(m for m in answer["models"] if m["name"] == NAME)

    def test_a_long_request_keeps_nobody_waiting(self):
        self.rows("loaded?")
        start = time.time()
        self.rows([f"text {i}" for i in range(16)])
        # A server under a sanitizer needs a second for what takes a hundredth: there short texts will do.
        more = " of a large request" + " and more" * 8 if time.time() - start < 0.3 else ""
        bulk = [f"{i}{more}" for i in range(96)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            start = time.time()
            jobs = [pool.submit(self.rows, [f"{k} {t}" for t in bulk]) for k in range(2)]
            time.sleep(0.1)
            self.rows("a short question")
            short = time.time() - start
            rows = [len(j.result()) for j in jobs]
            whole = time.time() - start
        self.assertEqual(rows, [96] * 2)
        self.assertLess(short, whole / 2)


if __name__ == "__main__":
    harness.main()
