#!/usr/bin/env python3
"""startup.py - the question: how long after the command does a large model's first token appear,
and how much memory does it take?

    bench/startup.py [NEXUS [MODEL]]

Without MODEL a file of 1.4 billion random parameters in q8_0 is made for the measurement and
removed afterwards. The file is read once before, so it lies in the page cache. Time is measured
from outside, over the whole life of the process; what the program says that reading the prompt and
decoding took is taken off. So the figure holds more than what stands before the first token: the
end of the process too. Memory is the peak resident size that the kernel counted.

Prints rows of Markdown. Exit 1 when the first token takes a second or more beyond the prefill, or
when more than file + KV cache + 64 MB were resident.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROMPT = "Once upon a time"
RUNS = 5
BEYOND_PREFILL_S_MAX = 1.0
SPARE_BYTES = 64_000_000


def run_once(nexus, model):
    """Seconds that are neither prefill nor decoding, seconds of prefill, peak resident bytes."""
    args = [nexus, "generate", "-m", model, "-p", PROMPT, "-n", "8", "--temp", "0", "--json",
            "--log-level", "warn"]
    begin = time.perf_counter()
    p = subprocess.Popen(args, stdout=subprocess.PIPE)
    answer = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    total_s = time.perf_counter() - begin
    p.returncode = status
    if status != 0:
        raise SystemExit(f"startup: {' '.join(args)}: status {status}")
    timings = json.loads(answer)["timings"]
    beyond_s = total_s - timings["prompt_s"] - timings["decode_s"]
    return beyond_s, timings["prompt_s"], usage.ru_maxrss * 1024


def warm(path):
    with open(path, "rb", buffering=0) as f:
        while f.read(1 << 24):
            pass


def measure(nexus, model):
    info = json.loads(subprocess.run([nexus, "info", model, "--json"], check=True,
                                     stdout=subprocess.PIPE).stdout)
    warm(model)
    runs = [run_once(nexus, model) for _ in range(RUNS)]
    beyond_s = [beyond for beyond, _, _ in runs]
    peak = max(rss for _, _, rss in runs)
    kv = info["memory"]["kv_bytes"]
    limit = info["bytes"] + kv + SPARE_BYTES
    fast, small = max(beyond_s) < BEYOND_PREFILL_S_MAX, peak <= limit
    print(f"\n## Starting on a mapped file of {info['parameters'] / 1e9:.2f} billion parameters\n")
    print("`nexus generate`, page cache warm, "
          f"{info['types'][-1]['type']}, {info['bytes'] / 1e9:.3f} GB, {RUNS} runs:\n")
    print("| what | measured | limit | |")
    print("|---|---|---|---|")
    print(f"| start beyond the prefill, median | {statistics.median(beyond_s):.3f} s | | |")
    print(f"| start beyond the prefill, slowest | {max(beyond_s):.3f} s "
          f"| < {BEYOND_PREFILL_S_MAX:.0f} s | {'holds' if fast else 'BROKEN'} |")
    print(f"| prefill itself, median | {statistics.median(p for _, p, _ in runs):.3f} s | | |")
    print(f"| resident memory, peak | {peak / 1e6:.0f} MB | {limit / 1e6:.0f} MB = file "
          f"{info['bytes'] / 1e6:.0f} + KV {kv / 1e6:.0f} + 64 | {'holds' if small else 'BROKEN'} |")
    return fast and small


def main():
    nexus = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "release", "nexus")
    if len(sys.argv) > 2:
        return measure(nexus, sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="nexus-startup-") as folder:
        model = os.path.join(folder, "1.4b-q8_0.gguf")
        subprocess.run([nexus, "bench", "--synthetic", "1.4b:q8_0", "--save", model], check=True)
        return measure(nexus, model)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
