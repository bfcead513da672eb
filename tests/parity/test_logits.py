"""Protects the transformer: `nexus logits` on random tiny Llama models against transformers.

With an f32 KV cache, within 1e-4 of the logits' standard deviation. With f16, within 1e-3 for
models as transformers initialises them; models made to be sharp move further by the rounding of
the cache alone, in any implementation, so they are held to a walk in double precision that rounds
where we do: within 2e-4 in the mean square (now and then a value falls on the other side of a
rounding boundary, so the largest difference says little). Quantised models are compared with
transformers on the decoded weights; what differs is the 8-bit rounding of activations, so the
bound is on the mean square and loose: a wrong scale or a swapped nibble is beyond it by an order
of magnitude.

Usage: test_logits.py [PROGRAM]     (default: $NEXUS_BIN)
"""
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import tiny_llama
import torch
import walk_f64
from blocks import TYPES, sane_blocks
from gguf import GGMLQuantizationType
from tiny_llama import Spec

LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_context": 64}
LLAMA3_32 = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
             "original_context": 128}

SPECS = [
    Spec("gqa 4/2, tied", 1, hidden=64, heads=4, heads_kv=2, ffn=160, vocab=384, tied=True),
    Spec("gqa 8/1, untied", 2, hidden=128, heads=8, heads_kv=1, ffn=352, vocab=512, layers=3),
    Spec("heads 3/1, odd sizes", 3, hidden=90, heads=3, heads_kv=1, ffn=77, vocab=331),
    Spec("heads 5/5, odd sizes", 4, hidden=110, heads=5, heads_kv=5, ffn=211, vocab=401, tied=True),
    Spec("heads 7/7, dim 2", 5, hidden=14, heads=7, heads_kv=7, ffn=31, vocab=277),
    Spec("head_dim above hidden / heads", 6, hidden=48, heads=4, heads_kv=2, ffn=101, vocab=300,
         head_dim=32),
    Spec("head_dim below, odd hidden", 7, hidden=99, heads=3, heads_kv=3, ffn=130, vocab=309,
         head_dim=10),
    Spec("llama 3 scaling, untied", 8, hidden=128, heads=4, heads_kv=2, ffn=300, vocab=500,
         theta=500000.0, llama3=LLAMA3),
    Spec("llama 3 scaling by 32, tied, head_dim", 9, hidden=66, heads=6, heads_kv=2, ffn=133,
         vocab=333, head_dim=64, theta=500000.0, llama3=LLAMA3_32, tied=True),
    Spec("one deep", 10, hidden=64, heads=4, heads_kv=4, ffn=128, vocab=288, layers=8, eps=1e-6),
    Spec("own init, 4/2, tied", 31, hidden=64, heads=4, heads_kv=2, ffn=160, vocab=384, tied=True,
         gain=None),
    Spec("own init, 8/1", 32, hidden=64, heads=8, heads_kv=1, ffn=172, vocab=512, gain=None),
    Spec("own init, 3/1, odd sizes", 33, hidden=45, heads=3, heads_kv=1, ffn=77, vocab=331,
         head_dim=16, gain=None),
    Spec("own init, 5/5, odd sizes, tied", 34, hidden=50, heads=5, heads_kv=5, ffn=131, vocab=401,
         tied=True, gain=None),
    Spec("own init, llama 3 scaling", 35, hidden=64, heads=4, heads_kv=2, ffn=150, vocab=400,
         theta=500000.0, llama3=LLAMA3, gain=None),
]
LENGTHS = [1, 2, 33, 300]    # ids in a sequence

QUANTISED = Spec("", 20, hidden=256, heads=8, heads_kv=4, ffn=512, vocab=512)
QUANTISED_RMS_MAX = 0.05


def nexus_logits(program, path, ids, n_vocab, *options):
    done = subprocess.run(
        [program, "logits", "-m", path, "--prompt-ids", ",".join(map(str, ids)), "--raw", *options],
        capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"exit status {done.returncode}: "
                           + done.stderr.decode(errors="replace").strip())
    rows = np.frombuffer(done.stdout, np.float32)
    if rows.size != len(ids) * n_vocab:
        raise RuntimeError(f"{rows.size} numbers, expected {len(ids)} rows of {n_vocab}")
    return rows.reshape(len(ids), n_vocab)


def worst(got, want):
    """Largest difference over the deviation; NaN and infinity count as infinite."""
    return np.nan_to_num(np.abs(got - want), nan=np.inf).max() / want.std()


def rms(got, want):
    return float(np.sqrt(np.mean((got - want) ** 2)) / want.std())


def check_f32(program, folder, spec):
    """Lines about what is wrong. Prints distances over std: of an f32 and an f16 cache to
    transformers, and to the walk in double precision (with f16 where we round)."""
    model = tiny_llama.build(spec)
    path = os.path.join(folder, "model.gguf")
    tiny_llama.write_gguf(path, model, spec)
    rng = np.random.default_rng(spec.seed)
    wrong, figures = [], dict.fromkeys(("f32", "f32 f64", "f16", "f16 f64 rms"), 0.0)
    for n in LENGTHS:
        ids = rng.integers(0, spec.vocab, n).tolist()
        want = tiny_llama.logits(model, ids)
        f32 = nexus_logits(program, path, ids, spec.vocab, "--kv-type", "f32")
        f16 = nexus_logits(program, path, ids, spec.vocab, "--kv-type", "f16")
        errors = {
            "f32": worst(f32, want), "f32 f64": worst(f32, walk_f64.logits(path, ids)),
            "f16": worst(f16, want),
            "f16 f64 rms": rms(f16, walk_f64.logits(path, ids, np.float16)),
        }
        limits = {"f32": 1e-4, "f32 f64": 1e-4, "f16 f64 rms": 2e-4}
        if spec.gain is None:
            limits["f16"] = 1e-3
        for what, limit in limits.items():
            if not errors[what] <= limit:
                wrong.append(f"{n} ids, {what}: {errors[what]:.3g} of std, at most {limit:g}")
        figures = {what: max(figures[what], errors[what]) for what in figures}
    print(f"{spec.name}: " + ", ".join(f"{what} {e:.2g}" for what, e in figures.items()))
    return wrong


def quantise(model, spec, rng, name):
    """GGUF name -> (type, blocks) of every matrix, whose decoded values go into the model too."""
    qtype, out = GGMLQuantizationType[name], {}
    for tensor, value in tiny_llama.tensors(model, spec).items():
        if value.ndim != 2:
            continue
        try:
            blocks = gguf.quants.quantize(value, qtype)
        except NotImplementedError:    # the package only decodes this type
            blocks = sane_blocks(rng, name, value.shape, value.std())
        out[tensor] = (qtype, blocks)
    return out


def decoded(model, spec, quantised):
    """Put the decoded values of the blocks into the model, rows in its own order."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            found = tiny_llama.gguf_name(name)
            if found not in quantised:
                continue
            qtype, blocks = quantised[found]
            value = gguf.quants.dequantize(blocks, qtype).astype(np.float32)
            if "q_proj" in name or "k_proj" in name:
                value = tiny_llama.unpermute(
                    value, spec.heads if "q_proj" in name else spec.heads_kv)
            p.copy_(torch.from_numpy(value))


def check_quantised(program, folder, name):
    spec, rng = QUANTISED, np.random.default_rng(3)
    model = tiny_llama.build(spec)
    quantised = quantise(model, spec, rng, name)
    path = os.path.join(folder, "model.gguf")
    tiny_llama.write_gguf(path, model, spec, quantised)
    decoded(model, spec, quantised)
    ids = rng.integers(0, spec.vocab, 100).tolist()
    want = tiny_llama.logits(model, ids)
    got = nexus_logits(program, path, ids, spec.vocab, "--kv-type", "f32")
    error = rms(got, want)
    agree = float(np.mean(got.argmax(-1) == want.argmax(-1)))
    print(f"{name.lower()}: rms {error:.2g} of std, largest {worst(got, want):.2g}, "
          f"same best token in {agree:.0%}")
    exact = name in ("F32", "F16", "BF16")
    limit = 1e-4 if exact else QUANTISED_RMS_MAX
    return [] if error <= limit else [f"rms {error:.3g} of std, at most {limit:g}"]


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["NEXUS_BIN"]
    cases = [(s.name, check_f32, s) for s in SPECS] + [(t, check_quantised, t) for t in TYPES]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, check, what in cases:
            try:
                wrong = check(program, folder, what)
            except RuntimeError as e:
                wrong = [str(e)]
            for line in wrong:
                print(f"{name}: {line}")
            failed += bool(wrong)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(main())
