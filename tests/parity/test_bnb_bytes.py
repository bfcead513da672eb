"""Protects num/bnb.c: the bytes of NF4, FP4, doubly quantised scales and INT8 are those of
bitsandbytes on this CPU, on random tensors of many shapes, sizes of block and distributions.

    test_bnb_bytes.py        NX_BNB_TENSORS: how many (default 120)
"""
import os
import random
import subprocess
import sys
import warnings

import bitsandbytes.functional as bnb
import numpy as np
import torch

PROGRAM = os.path.join(os.environ["NX_BUILD_DIR"], "tests", "parity", "encode_bnb")
COUNT = int(os.environ.get("NX_BNB_TENSORS", "120"))
KINDS = {
    "normal": torch.randn,
    "uniform": lambda n: torch.rand(n) * 2 - 1,
    "heavy": lambda n: torch.distributions.StudentT(1.2).sample((n,)).clamp(-3e38, 3e38),
    "zero": torch.zeros,
    "constant": lambda n: torch.full((n,), 0.37),
    "denormal": lambda n: torch.randn(n) * 1e-41,
    "half zero": lambda n: torch.randn(n) * (torch.arange(n) >= n // 2),
}


def ours(x, *words):
    done = subprocess.run([PROGRAM, *map(str, words)], input=x.float().numpy().tobytes(),
                          capture_output=True, check=True)
    return done.stdout


def theirs_int8(x):
    q, s, _ = bnb.int8_vectorwise_quant(x.half())
    return q.numpy().tobytes() + s.numpy().tobytes()


def theirs_4bit(x, kind, block):
    q, state = bnb.quantize_4bit(x, blocksize=block, quant_type=kind)
    _, nested = bnb.quantize_4bit(x, blocksize=block, quant_type=kind, compress_statistics=True)
    parts = [q, state.absmax, nested.absmax, nested.state2.absmax, nested.offset.reshape(1)]
    return b"".join(p.numpy().tobytes() for p in parts)


def one(seed, rng):
    torch.manual_seed(seed)
    dtype = rng.choice([torch.float32, torch.bfloat16, torch.float16])
    name = rng.choice(list(KINDS))
    kind = rng.choice(["nf4", "nf4", "fp4", "int8"])
    if kind == "int8":
        rows, cols = rng.randint(1, 40), rng.randint(1, 900)
        x = KINDS[name](rows * cols).clamp(-6e4, 6e4).to(dtype).reshape(rows, cols)
        return f"{kind} {name} {dtype} {rows}x{cols}", ours(x, kind, cols), theirs_int8(x)
    block = rng.choice([32, 64, 64, 128, 256, 512, 1024, 2048, 4096])
    n = rng.choice([rng.randint(1, 3 * block), block * rng.randint(1, 60),
                    rng.randint(1, 99_000), rng.randint(1, 9_000), 64 * rng.randint(1, 36_000)])
    x = KINDS[name](n).to(dtype)
    threads = torch.get_num_threads()
    return (f"{kind}/{block} {name} {dtype} {n}", ours(x, kind, block, threads),
            theirs_4bit(x, kind, block))


def sheet_vector():
    """w_i = (i - 31.5) / 31.5 * 0.1."""
    x = (torch.arange(64) - 31.5) / 31.5 * 0.1
    packed = ours(x, "nf4", 64)[:32].hex()
    return packed == "00000111111112222233344445556667788899aaabbbccccddddeeeeeeefffff"


def main():
    warnings.simplefilter("ignore")
    rng = random.Random(11)
    wrong = 0 if sheet_vector() else 1
    print("the vector of 64 numbers:", "wrong" if wrong else "right")
    for seed in range(COUNT):
        what, a, b = one(seed, rng)
        if a == b:
            continue
        wrong += 1
        same = len(a) == len(b) and np.flatnonzero(
            np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8))[:4]
        print(f"seed {seed}: {what}: {len(a)} bytes, theirs {len(b)}, first differences at {same}")
    print(f"{COUNT} tensors, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
