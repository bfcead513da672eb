"""Protects every architecture: random tiny models (architectures.py), saved by transformers in f32
and bf16, read here from the folder and from the GGUF that we write of it.

  f32      logits within 1e-4 of their deviation, 32 greedy tokens equal
  bf16     logits within 1e-4 of the same weights computed in f32 (the issue allows 2e-2)
  slices   a prompt read seven tokens at a time gives the same bits
  GGUF     as f32; and llama.cpp, where it supports the model, continues with the same tokens

llama.cpp judges where node and build/node are there (tools/node.sh). Its gelu is a table of
16-bit floats and its prompts are read in f32 sums of another order, so of eight
prompts that one is taken in whose continuation no second token comes near the winner.

Usage: test_architectures.py [WORD...]      cases whose kind or name holds a word; default: all
       test_architectures.py --random N [KIND...]    N random configurations of each kind instead
       NEXUS_BIN: the program. NX_ARCHITECTURES_REPORT=FILE: a JSON list of all figures.
"""
import json
import os
import subprocess
import sys
import tempfile

import architectures as arch
import numpy as np
import random_configs
import torch

PROMPT, STEPS = 40, 32
LIMIT = 1e-4

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NODE = os.path.join(ROOT, "build", "node")
PROGRAM = os.environ.get("NEXUS_BIN", os.path.join(ROOT, "build", "release", "nexus"))


def nexus(*args):
    done = subprocess.run([PROGRAM, *args], capture_output=True, check=False, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"nexus {args[0]}: exit status {done.returncode}: "
                           + done.stderr.decode(errors="replace").strip())
    return done.stdout


def prompt_of(ids):
    return ["--prompt-ids", ",".join(map(str, ids)), "--kv-type", "f32", "-t", "1",
            "-c", str(PROMPT + STEPS)]


def nexus_logits(path, ids, n_vocab, *options):
    out = nexus("logits", "-m", path, "--raw", *prompt_of(ids), *options)
    rows = np.frombuffer(out, np.float32)
    if rows.size != len(ids) * n_vocab:
        raise RuntimeError(f"{rows.size} numbers, expected {len(ids)} rows of {n_vocab}")
    return rows.reshape(len(ids), n_vocab)


def nexus_greedy(path, ids):
    out = nexus("generate", "-m", path, "--temp", "0", "-n", str(STEPS), "--ignore-eos", "--json",
                *prompt_of(ids))
    return json.loads(out)["tokens"]


class LlamaCpp:
    """llama.cpp in a process of its own: one line in, one line out."""

    def __init__(self):
        self.why_not, self.process = "", None
        if not os.path.exists(os.path.join(NODE, "node_modules", "node-llama-cpp")):
            self.why_not = "no build/node here (tools/node.sh makes it)"
            return
        script = os.path.join(NODE, "greedy.mjs")
        self.process = subprocess.Popen(["node", script], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)

    def greedy(self, path, ids):
        self.process.stdin.write(json.dumps({"model": path, "ids": ids, "n": STEPS}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError("llama.cpp: " + answer["error"])
        return answer["ids"]

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait(timeout=30)


def worst(got, want):
    """Largest difference over the deviation; NaN and infinity count as infinite."""
    return float(np.nan_to_num(np.abs(got - want), nan=np.inf).max() / want.std())


def choose_prompt(model):
    """Ids whose greedy continuation is no near tie, that continuation, and its least lead."""
    prompts = np.random.default_rng(1).integers(0, arch.VOCAB, (8, PROMPT)).tolist()
    texts, gaps = arch.greedy(model, prompts, STEPS)
    best = int(np.argmax(gaps))
    return prompts[best], texts[best], gaps[best]


def first_difference(got, want):
    for i, (g, w) in enumerate(zip(got, want)):
        if g != w:
            return f"token {i} is {g}, expected {w}"
    return f"{len(got)} tokens, expected {len(want)}"


class Checker:
    def __init__(self, folder, llama):
        self.folder, self.llama = folder, llama

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, case, seed):
        """(figures, lines about what is wrong)."""
        self.figures, self.wrong = {}, []
        model = arch.build(case, seed)
        arch.save(model, self.path("f32"), torch.float32)
        ids, tokens, self.figures["gap"] = choose_prompt(model)
        # A model of its own for the text: a dynamic rope remembers the longest it has seen.
        want = arch.logits(arch.build(case, seed), ids)
        self.attempt("f32", lambda: self.check_numbers("f32", "f32", ids, want, tokens))
        self.attempt("gguf", lambda: self.check_gguf(case, ids, want, tokens))
        self.attempt("bf16", lambda: self.check_bf16(model, ids))
        self.attempt("slices", lambda: self.check_slices(ids, want.shape[1]))
        return self.figures, self.wrong

    def attempt(self, what, check):
        try:
            check()
        except (RuntimeError, subprocess.TimeoutExpired) as e:
            self.wrong.append(f"{what}: {e}")

    def expect_near(self, what, got, want):
        self.figures[what] = worst(got, want)
        if not self.figures[what] <= LIMIT:
            self.wrong.append(f"{what}: {self.figures[what]:.3g} of the deviation, at most {LIMIT:g}")

    def expect_tokens(self, what, got, want):
        self.figures[what] = got == want
        if got != want:
            self.wrong.append(f"{what}: {first_difference(got, want)}")

    def check_numbers(self, what, path, ids, want, tokens):
        path = self.path(path)
        self.expect_near(what, nexus_logits(path, ids, want.shape[1]), want)
        self.expect_tokens(what + " greedy", nexus_greedy(path, ids), tokens)

    def check_gguf(self, case, ids, want, tokens):
        nexus("quantize", self.path("f32"), self.path("f32.gguf"), "--type", "f32")
        self.check_numbers("gguf", "f32.gguf", ids, want, tokens)
        if not self.llama.why_not and not case.no_llama:
            self.expect_tokens("llama.cpp greedy", self.llama.greedy(self.path("f32.gguf"), ids),
                               tokens)

    def check_slices(self, ids, n_vocab):
        """A prompt read seven tokens at a time, by two threads, gives the same bits."""
        whole = nexus_logits(self.path("f32"), ids, n_vocab)
        slices = nexus_logits(self.path("f32"), ids, n_vocab, "-b", "7", "-t", "2")
        if whole.tobytes() != slices.tobytes():
            self.wrong.append(f"read seven tokens at a time: {worst(slices, whole):.3g} of the "
                              "deviation, expected the same bits")

    def check_bf16(self, model, ids):
        arch.save(model, self.path("bf16"), torch.bfloat16)
        model = arch.load(self.path("bf16"))
        want = arch.logits(model, ids)
        got = nexus_logits(self.path("bf16"), ids, want.shape[1])
        self.expect_near("bf16", got, want)
        rounded = arch.logits(model.to(torch.bfloat16), ids)    # its own sums: for the record
        self.figures["bf16 of transformers"] = worst(rounded, want)


def show(figures):
    return ", ".join(f"{k} {v:.2g}" if isinstance(v, float) else f"{k} {'equal' if v else 'NO'}"
                     for k, v in figures.items())


def chosen(args):
    """(seed of the weights, case) of all that the arguments ask for."""
    if args[:1] == ["--random"]:
        kinds = args[2:] or random_configs.CONFIGS
        return [(i, random_configs.draw(kind, i)) for kind in kinds for i in range(int(args[1]))]
    return [(i, c) for i, c in enumerate(arch.CASES)
            if not args or any(w in f"{c.kind}, {c.name}" for w in args)]


def main():
    cases = chosen(sys.argv[1:])
    llama, failed, report = LlamaCpp(), 0, []
    if llama.why_not:
        print(f"llama.cpp skipped: {llama.why_not}")
    for seed, case in cases:
        with tempfile.TemporaryDirectory() as folder:
            figures, wrong = Checker(folder, llama).run(case, seed)
        print(f"{case.kind}, {case.name}: {show(figures)}", flush=True)
        for line in wrong:
            print(f"    {line}", flush=True)
        failed += bool(wrong)
        report.append({"kind": case.kind, "name": case.name, "no_llama": case.no_llama,
                       "figures": figures, "wrong": wrong})
    llama.close()
    if os.environ.get("NX_ARCHITECTURES_REPORT"):
        with open(os.environ["NX_ARCHITECTURES_REPORT"], "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    torch.set_num_threads(1)    # the models are tiny, and spinning threads cost more than they do
    torch.nn.init.trunc_normal_ = lambda t, *a, **k: t    # weights are ours: spare the making
    sys.exit(main())
