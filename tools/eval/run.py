#!/usr/bin/env python3
"""run.py - how well documents are found, and questions answered from them: figures against bounds.

    tools/eval/run.py [PROGRAM] [--pairs N] [--sets dev,held] [--folder build/eval]

Indexes examples/docs with the models that ship, into a data folder of its own, and runs `nexus eval retrieval` and `nexus
eval answers` over the sets of tests/eval; then, with --pairs, over N pairs that pairs.py makes of manual pages. Each bound
is an option. Exit status 1 when one isn't kept. `make eval` is this with 5,000 pairs, the test eval/run without.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Runner:
    def __init__(self, program, data):
        self.program, self.data = program, data
        self.rows, self.broken = [], 0

    def nexus(self, *words):
        done = subprocess.run([self.program, *map(str, words), "--data", self.data], check=False,
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"nexus {' '.join(map(str, words))}\n{done.stderr}")
        return done.stdout

    def index(self, folder, collection):
        print(self.nexus("index", folder, "--collection", collection), end="")

    def row(self, what, value, bound, at_least=True):
        """bound None: only reported."""
        kept = bound is None or (value >= bound if at_least else value <= bound)
        self.broken += not kept
        said = "" if bound is None else f"{'>=' if at_least else '<='} {bound:.2f}  {'ok' if kept else 'BROKEN'}"
        print(f"{what:58s} {value:7.3f}  {said}", flush=True)

    # ---- Questions ----

    def retrieval(self, name, path, collection, args):
        figures = json.loads(self.nexus("eval", "retrieval", path, "--collection", collection, "--mode", "all",
                                        "--json"))
        for mode in figures["modes"]:
            bound = args.recall if mode["mode"] == "hybrid" else None
            self.row(f"{name}: {mode['mode']}, recall@5", mode["recall@5"], bound)
            self.row(f"{name}: {mode['mode']}, nDCG@10", mode["ndcg@10"], None)

    def answers(self, name, path, collection, args):
        f = json.loads(self.nexus("eval", "answers", path, "--collection", collection, "--mode", "extract", "--json"))
        self.row(f"{name}: extract, the phrase is in the answer", f["phrase"], args.phrase)
        self.row(f"{name}: out of the domain, \"not in the documents\"", f["out"], args.out)
        self.row(f"{name}: near misses, \"not in the documents\"", f["near"], args.near)
        self.row(f"{name}: false refusals", f["false_refusals"], args.refusals, at_least=False)
        self.row(f"{name}: citations that hold what they stand for", f["citations"], args.citations)

    # ---- Pairs ----

    def pairs(self, path, collection):
        figures = json.loads(self.nexus("eval", "retrieval", path, "--collection", collection, "--mode", "all",
                                        "--json"))
        found = {m["mode"]: m["ndcg@10"] for m in figures["modes"]}
        for mode, value in found.items():
            self.row(f"pairs: {mode}, nDCG@10", value, None)
        better, weaker = max(found["dense"], found["words"]), min(found["dense"], found["words"])
        self.row("pairs: hybrid against the better one, less a point", found["hybrid"], better - 0.01)
        self.row("pairs: hybrid against the weaker one, and five", found["hybrid"], weaker + 0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", nargs="?", default=str(ROOT / "build" / "release" / "nexus"))
    parser.add_argument("--sets", default="dev,held")
    parser.add_argument("--pairs", type=int, default=0, help="how many; 0: none")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "eval")
    parser.add_argument("--recall", type=float, default=0.90)
    parser.add_argument("--phrase", type=float, default=0.70)
    parser.add_argument("--out", type=float, default=0.95)
    parser.add_argument("--near", type=float, default=0.50)
    parser.add_argument("--refusals", type=float, default=0.10)
    parser.add_argument("--citations", type=float, default=0.95)
    args = parser.parse_args()
    data = tempfile.mkdtemp(prefix="nexus-eval-")
    runner = Runner(args.program, data)
    try:
        runner.index(ROOT / "examples" / "docs", "eval")
        for name in args.sets.split(","):
            path = ROOT / "tests" / "eval" / f"questions-{name}.jsonl"
            runner.retrieval(name, path, "eval", args)
            runner.answers(name, path, "eval", args)
        if args.pairs:
            made = args.folder / f"pairs-{args.pairs}"
            if not (made / "test.jsonl").exists():
                subprocess.run([sys.executable, ROOT / "tools" / "eval" / "pairs.py", made, "-n", str(args.pairs)],
                               check=True)
            runner.index(made / "docs", "pairs")
            runner.pairs(made / "test.jsonl", "pairs")
    finally:
        shutil.rmtree(data, ignore_errors=True)
    if runner.broken:
        print(f"{runner.broken} bounds are broken")
    return 1 if runner.broken else 0


if __name__ == "__main__":
    sys.exit(main())
