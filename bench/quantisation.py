#!/usr/bin/env python3
"""quantisation.py - what each type costs the model that ships: the table of docs/quantisation.md.

    bench/quantisation.py [NEXUS] [CHUNKS]

The text is that of tools/mini/exam.jsonl.gz: package descriptions which the model never saw. A is the
model as it ships (Q8_0), B the same quantised once more while loading.
"""
import gzip
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TYPES = ["int8", "q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "iq4_nl", "iq4_xs", "q4_0", "nf4",
         "nf4-dq", "fp4"]


def main():
    nexus = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/release/nexus")
    chunks = sys.argv[2] if len(sys.argv) > 2 else "60"
    model = os.path.join(ROOT, "models", "nexus-mini.gguf")
    with gzip.open(os.path.join(ROOT, "tools/mini/exam.jsonl.gz"), "rt", encoding="utf-8") as f:
        text = "\n".join(f"{d['name']}: {d['synopsis']}\n{d['detail']}\n" for d in map(json.loads, f))
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        print("| type | perplexity B / A | mean divergence, nats | 99 % | same first choice |")
        print("|---|---|---|---|---|")
        for kind in TYPES:
            done = subprocess.run([nexus, "compare", "--quantize", kind, model, f.name, "--chunks",
                                   chunks, "--json"], capture_output=True, text=True, check=True)
            r = json.loads(done.stdout)
            print(f"| {kind} | {r['perplexity_ratio']:.4f} ± {r['log_ratio_standard_error']:.4f} | "
                  f"{r['kl_mean']:.4f} | {r['kl_p99']:.3f} | {100 * r['top1_agreement']:.1f} % |",
                  flush=True)
        print(f"\n{r['tokens_compared']} tokens compared; perplexity of A {r['perplexity_a']:.2f}.")


if __name__ == "__main__":
    main()
