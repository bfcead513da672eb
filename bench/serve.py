#!/usr/bin/env python3
"""serve.py - the question: what does the server add to the engine, and what do many streams gain?

    bench/serve.py [NEXUS [LOAD]]

Environment:
  BENCH_RUNS   runs of each figure; default 5. Runs of two sides are interleaved; medians are told.
  BENCH_WRAP   a command before each program, as in run.sh
  BENCH_ONLY   letters of the lines to measure: abcde
  BENCH_CSV    a file for every single run: line,side,run,figure,value

  a  64 streams of the shipped model over HTTP against the engine's own batch of 64
  b  8 streams of 1b:q4_0 against one
  c  a prompt of 2,000 tokens among 8 streams of it: p99 of the gaps against the undisturbed
  d  one stream of the shipped model over HTTP against the engine alone (without guessing, so that
     every token is one step): time to the first token, and for each token after it. The first is
     told twice: against nexus bench, whose caches are warm from the moment before, and against what
     the engine itself took for the very same request (its metrics), which is what the server adds
  e  the texts of 64 streams at once against each alone

Prints rows of Markdown. Exit 1 when a line doesn't hold. Machines that do other work at the same time
give c and d nothing to compare: look at the load that is told.
"""
import csv
import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
WRAP = shlex.split(os.environ.get("BENCH_WRAP", ""))
ONLY = os.environ.get("BENCH_ONLY", "abcde")
SHIPPED = os.path.join(ROOT, "models", "nexus-mini.gguf")
WORDS = "network package kernel library window server image format driver editor".split()

# Metrics of the engine's own time: to the first token, from the first to the last.
OF_ENGINE = ("time_to_first_token", "request_decode")

ROWS, SINGLE, BROKEN = [], [], []


def keep(line, side, run, values):
    for figure, value in values.items():
        SINGLE.append([line, side, run, figure, value])


def row(line, what, measured, limit, holds):
    ROWS.append(f"| {line} | {what} | {measured} | {limit} | {'holds' if holds else 'BROKEN'} |")
    if not holds:
        BROKEN.append(line)


class Server:
    def __init__(self, nexus, home, *args):
        data = tempfile.mkdtemp(dir=home)
        self.err = open(os.path.join(data, "err"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            WRAP + [nexus, "serve", "--port", "0", "--access-log", "", "--data",
                    os.path.join(data, "data"), *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.err)
        end = time.monotonic() + 60
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"serve: the server isn't there: {self.said()}")
            time.sleep(0.05)

    def said(self):
        with open(self.err.name, encoding="utf-8") as f:
            return f.read()

    def ready(self):
        found = re.search(r"^  address +http://.*?:(\d+) ", self.said(), re.M)
        if not found:
            return False
        self.port = found[1]
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def get(self, path):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30)

    def metric(self, name):
        text = self.get("/metrics").read().decode()
        return float(re.search(rf"^{name}(?:{{.*?}})? (\S+)$", text, re.M)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=150)
        self.err.close()


def load(program, server, **options):
    """One run of bench_load: its figures."""
    args = [program, "--port", server.port]
    for name, value in options.items():
        args += ["--" + name.replace("_", "-"), str(value)]
    done = subprocess.run(WRAP + args, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"serve: {' '.join(args)}: status {done.returncode}")
    return {k: float(v) for k, v in (pair.split("=") for pair in done.stdout.split())}


def engine(nexus, *args):
    """One run of nexus bench --parallel: its figures."""
    done = subprocess.run(WRAP + [nexus, "bench", "-r", "1", "--json", *args],
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["runs"][0]


def prompts(path, n, seed):
    """n prompts of 16 words, of which no two begin alike."""
    with open(path, "w", encoding="utf-8") as f:
        for i in range(n):
            x = seed * 1000 + i
            rest = " ".join(WORDS[(x * 7 + k * (x % 9 + 1)) % len(WORDS)] for k in range(15))
            f.write(f"{x} {rest}\n")
    return path


def median(runs, figure):
    return statistics.median(r[figure] for r in runs)


def both(line, sides, figures):
    """Each side RUNS times, in turn: {side: [its figures]}."""
    found = {name: [] for name in sides}
    for run in range(RUNS):
        for name, measure in sides.items():
            figure = measure(run)
            found[name].append(figure)
            keep(line, name, run, {f: figure[f] for f in figures if f in figure})
    return found


def line_a(nexus, program, home):
    def lines(run):
        return prompts(os.path.join(home, "a"), 64, 1 + run)

    with Server(nexus, home, "--model", SHIPPED) as s:
        load(program, s, streams=64, tokens=8, prompts=prompts(os.path.join(home, "w"), 64, 99))
        found = both("a", {
            "http": lambda r: load(program, s, streams=64, tokens=128, prompts=lines(r)),
            "engine": lambda r: engine(nexus, "--model", SHIPPED, "--parallel", "64", "-n", "128",
                                       "--prompts", lines(r)),
        }, ["tok_s", "first_ms_p50", "gap_ms_p99", "client_cpu"])
    http, alone = median(found["http"], "tok_s"), median(found["engine"], "tok_s")
    row("a", "64 streams over HTTP / batch of 64 alone",
        f"{http:.0f} / {alone:.0f} tok/s = {http / alone:.2f}; the client took "
        f"{median(found['http'], 'client_cpu'):.3f} of a processor", ">= 0.7", http / alone >= 0.7)


def line_b(nexus, program, home, model):
    with Server(nexus, home, "--model", model, "--ctx", "4096") as s:
        load(program, s, streams=8, tokens=12, prompt_words=1, salt=999)
        found = both("b", {
            name: lambda r, n=n: load(program, s, streams=n, tokens=64, prompt_words=1,
                                      salt=10 * r + n)
            for name, n in (("eight", 8), ("one", 1))}, ["tok_s", "token_ms", "gap_ms_p50"])
    eight, one = median(found["eight"], "tok_s"), median(found["one"], "tok_s")
    row("b", "8 streams of 1b:q4_0 / one", f"{eight:.1f} / {one:.1f} tok/s = {eight / one:.2f}",
        ">= 1.8", eight / one >= 1.8)


def line_c(nexus, program, home, model):
    runs, slices = [], []
    with Server(nexus, home, "--model", model, "--ctx", "4096") as s:
        load(program, s, streams=8, tokens=12, prompt_words=1, salt=998)
        for run in range(RUNS):
            runs.append(load(program, s, streams=8, tokens=2000, prompt_words=1, arrive=285,
                             after=32, salt=100 + run))
            slices.append(int(s.metric("nexus_prefill_slice_tokens")))
            keep("c", "http", run, {**runs[-1], "slice": slices[-1]})
    ratios = [r["disturbed_ms_p99"] / r["calm_ms_p99"] for r in runs]
    row("c", f"p99 gap of 8 streams while a prompt of {runs[0]['guest_prompt']:.0f} tokens is read "
        f"/ undisturbed; slices of {min(slices)} to {max(slices)} tokens; the prompt took "
        f"{median(runs, 'guest_first_ms') / 1e3:.1f} s",
        f"{median(runs, 'disturbed_ms_p99'):.0f} / {median(runs, 'calm_ms_p99'):.0f} ms; of each "
        f"run: {', '.join(f'{r:.2f}' for r in ratios)}", "<= 3", statistics.median(ratios) <= 3)


def line_d(nexus, program, home):
    def one(run):
        return prompts(os.path.join(home, "d"), 1, 200 + run)

    def over_http(s, run):
        before = [s.metric(f"nexus_{name}_seconds_sum") for name in OF_ENGINE]
        found = load(program, s, streams=1, tokens=256, prompts=one(run))
        after = [s.metric(f"nexus_{name}_seconds_sum") for name in OF_ENGINE]
        first, decode = [1e3 * (b - a) for a, b in zip(before, after)]
        return {**found, "added_first_ms": found["first_ms_p50"] - first,
                "added_token_ms": found["token_ms"] - decode / 255}

    with Server(nexus, home, "--model", SHIPPED, "--draft", "0") as s:
        load(program, s, streams=1, tokens=64, prompts=one(-1))
        found = both("d", {
            "http": lambda r: over_http(s, r),
            "engine": lambda r: engine(nexus, "--model", SHIPPED, "--parallel", "1", "-n", "256",
                                       "--draft", "0", "--prompts", one(r)),
        }, ["first_ms_p50", "token_ms", "decode_tok_s", "added_first_ms", "added_token_ms"])
    first = median(found["http"], "first_ms_p50"), median(found["engine"], "first_ms_p50")
    token = median(found["http"], "token_ms"), 1e3 / median(found["engine"], "decode_tok_s")
    added = median(found["http"], "added_first_ms")
    row("d", "first token, one stream: HTTP - the same request's time in the engine (HTTP, nexus bench)",
        f"{added:.2f} ms ({first[0]:.2f}, {first[1]:.2f})", "<= 1 ms", added <= 1)
    row("d", "each token, one stream: HTTP - engine",
        f"{token[0]:.3f} - {token[1]:.3f} = {token[0] - token[1]:.3f} ms", "<= 0.2 ms",
        token[0] - token[1] <= 0.2)


def line_e(nexus, program, home):
    """The reference: each prompt alone, on a server that never saw another at the same time."""
    all_prompts, alone = prompts(os.path.join(home, "e"), 64, 300), os.path.join(home, "alone")
    with open(all_prompts, encoding="utf-8") as f:
        lines = f.readlines()
    one, said = os.path.join(home, "one"), os.path.join(home, "said")
    with Server(nexus, home, "--model", SHIPPED) as s, open(alone, "w", encoding="utf-8") as out:
        for line in lines:
            with open(one, "w", encoding="utf-8") as f:
                f.write(line)
            load(program, s, streams=1, tokens=128, prompts=one, write=said)
            with open(said, encoding="utf-8") as f:
                out.write(f.read())
    for _ in range(RUNS):
        with Server(nexus, home, "--model", SHIPPED) as s:
            load(program, s, streams=64, tokens=128, prompts=all_prompts, expect=alone)
    row("e", f"64 texts at once = each alone, 128 tokens, {RUNS} times", "equal", "equal", True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))    # servers end with us
    build = os.path.join(ROOT, "build", "release")
    nexus = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.join(build, "nexus")
    program = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(nexus),
                                                                 "bench_load")
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        model = os.path.join(home, "1b.gguf")
        if set(ONLY) & set("bc"):
            subprocess.run([nexus, "bench", "--synthetic", "1b:q4_0", "--save", model,
                            "--log-level", "warn"], check=True)
        for line, measure in (("a", line_a), ("d", line_d), ("e", line_e)):
            if line in ONLY:
                measure(nexus, program, home)
        for line, measure in (("b", line_b), ("c", line_c)):
            if line in ONLY:
                measure(nexus, program, home, model)
    print("\n## Serving\n")
    print(f"`bench/serve.py`: medians of {RUNS} runs, the two sides in turn. Load before: "
          f"{before:.1f}.\n")
    print("| line | what | measured | limit | |\n|---|---|---|---|---|")
    print("\n".join(sorted(ROWS)))
    if os.environ.get("BENCH_CSV"):
        with open(os.environ["BENCH_CSV"], "w", encoding="utf-8", newline="") as f:
            csv.writer(f, lineterminator="\n").writerows(
                [["line", "side", "run", "figure", "value"], *SINGLE])
    return 1 if BROKEN else 0


if __name__ == "__main__":
    sys.exit(main())
