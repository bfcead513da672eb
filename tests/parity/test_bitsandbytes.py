"""Protects the bytes: numbers of many kinds and shapes, encoded as NF4, FP4 (with scales quantised a
second time) and INT8, equal those of bitsandbytes on a CPU bit for bit; so do the known vectors.

NX_SEED and NX_ROUNDS (default 1 and 60) make it look elsewhere, and longer.
"""
import os
import subprocess
import unittest

import bitsandbytes.functional as bnb
import numpy as np
import torch

BUILD = os.environ.get("NX_BUILD_DIR", "build/release")
SEED = int(os.environ.get("NX_SEED", "1"))
ROUNDS = int(os.environ.get("NX_ROUNDS", "60"))
BLOCKS = [32, 64, 128, 256, 512, 1024, 2048, 4096]


def encode(x, *args):
    done = subprocess.run([os.path.join(BUILD, "tests", "parity", "bnb_encode"), *map(str, args)],
                          input=np.ascontiguousarray(x).tobytes(), stdout=subprocess.PIPE,
                          check=True)
    return done.stdout


def cut(blob, *parts):
    """Consecutive (dtype, count) of a blob."""
    at = 0
    for dtype, count in parts:
        part = np.frombuffer(blob, dtype, count, at)
        at += part.nbytes
        yield part
    assert at == len(blob)


def numbers(rng, kind, n):
    x = {
        "normal": lambda: rng.standard_normal(n),
        "uniform": lambda: rng.uniform(-1, 1, n),
        "student": lambda: rng.standard_t(2, n),
        "cauchy": lambda: rng.standard_cauchy(n),
        "zero": lambda: np.zeros(n),
        "minus zero": lambda: -np.zeros(n),
        "constant": lambda: np.full(n, rng.standard_normal()),
        "denormal": lambda: rng.standard_normal(n) * 1e-41,
        "tiny": lambda: rng.standard_normal(n) * 10.0 ** rng.integers(-40, -30),
        "huge": lambda: rng.standard_normal(n) * 1e30,
        "few values": lambda: rng.integers(-3, 4, n) * 0.25,
        "zero blocks": lambda: rng.standard_normal(n) * (np.arange(n) // 64 % 3 > 0),
        "scales": lambda: rng.standard_normal(n) * np.exp(3 * rng.standard_normal(n)),
        "halves": lambda: rng.standard_normal(n).astype(np.float16),
        "midpoints": lambda: rng.choice(MIDDLES, n),
    }[kind]()
    return x.astype(np.float32)


NF4 = bnb.get_4bit_type("nf4", device="cpu")
FP4 = bnb.get_4bit_type("fp4", device="cpu").sort().values
MIDDLES = torch.cat([(t[1:] + t[:-1]) / 2 for t in (NF4, FP4)] + [NF4, FP4]).numpy()
MIDDLES = np.concatenate([MIDDLES, np.nextafter(MIDDLES, np.float32(2)), [1, -1]])
KINDS = ["normal", "uniform", "student", "cauchy", "zero", "minus zero", "constant", "denormal",
         "tiny", "huge", "few values", "zero blocks", "scales", "halves", "midpoints"]


class Bytes(unittest.TestCase):
    def same(self, got, want, what):
        want = np.ascontiguousarray(want.numpy()).ravel().view(np.uint8)
        got = np.ascontiguousarray(got).view(np.uint8)
        self.assertEqual(got.size, want.size, what)
        wrong = np.flatnonzero(got != want)
        if wrong.size:
            i = wrong[0]
            self.fail(f"{what}: {wrong.size} bytes of {want.size} differ, first {i}: {got[i]}, "
                      f"bitsandbytes has {want[i]}")

    def four_bits(self, kind, x, form, block):
        n, n_scales = x.size, -(-x.size // block)
        blob = encode(x, form, block, torch.get_num_threads())
        codes, scales, nest, nested, offset = cut(
            blob, ("u1", (n + 1) // 2), ("f4", n_scales), ("u1", n_scales),
            ("f4", -(-n_scales // 256)), ("f4", 1))
        q, s = bnb.quantize_4bit(torch.from_numpy(x), blocksize=block, quant_type=form)
        self.same(codes, q, "codes")
        self.same(scales, s.absmax, "scales")
        q, s = bnb.quantize_4bit(torch.from_numpy(x), blocksize=block, quant_type=form,
                                 compress_statistics=True)
        if kind == "huge" and not np.isfinite(s.offset.item()):
            return
        self.same(offset, s.offset.reshape(1), "offset")
        self.same(nested, s.state2.absmax, "scales of scales")
        self.same(nest, s.absmax, "codes of scales")

    def test_four_bits(self):
        rng = np.random.default_rng(SEED)
        for i in range(ROUNDS):
            kind, block = KINDS[i % len(KINDS)], int(rng.choice(BLOCKS))
            n = int(rng.choice([rng.integers(1, 200), rng.integers(1, 20000),
                                256 * rng.integers(1, 300)]))
            x = numbers(rng, kind, n)
            for form in ("nf4", "fp4"):
                with self.subTest(form=form, kind=kind, n=n, block=block):
                    self.four_bits(kind, x, form, block)

    def test_many_scales(self):
        """More scales than one thread sums: the mean is summed in parts."""
        rng = np.random.default_rng(SEED)
        for n in (32 * 40000, 32 * 70001 + 5):
            with self.subTest(n=n):
                self.four_bits("normal", numbers(rng, "normal", n), "nf4", 32)

    def test_int8(self):
        rng = np.random.default_rng(SEED)
        for i in range(ROUNDS):
            kind = KINDS[i % len(KINDS)]
            n_rows, n_cols = int(rng.integers(1, 70)), int(rng.integers(1, 700))
            x = numbers(rng, kind, n_rows * n_cols)
            if kind == "huge":
                x *= np.float32(1e-27)  # halves have an end
            with self.subTest(kind=kind, shape=(n_rows, n_cols)):
                codes, scales = cut(encode(x, "int8", n_cols), ("i1", x.size), ("f4", n_rows))
                half = torch.from_numpy(x).reshape(n_rows, n_cols).half()
                q, s, _ = bnb.int8_vectorwise_quant(half)
                self.same(scales, s, "scales")
                self.same(codes, q, "codes")

    def test_known(self):
        """Published vectors: 64 numbers on a line; errors on N(0, 1)."""
        x = ((np.arange(64) - 31.5) / 31.5 * 0.1).astype(np.float32)
        codes, scales = cut(encode(x, "nf4", 64)[:36], ("u1", 32), ("f4", 1))
        self.assertEqual(codes.tobytes().hex(),
                         "00000111111112222233344445556667788899aaabbbccccddddeeeeeeefffff")
        self.assertEqual(scales[0], np.float32(0.1))
        levels = NF4.numpy()[np.stack([codes >> 4, codes & 15], 1).ravel()]
        self.assertAlmostEqual(float(np.abs(levels * scales[0] - x).mean()), 0.00411998, 7)

        x = np.random.default_rng(SEED).standard_normal(1 << 20).astype(np.float32)
        for form, mean, sigma in (("nf4", 0.072798, 7.4e-5), ("fp4", 0.096543, 1e-4)):
            codes, scales, *_ = cut(encode(x, form, 64, 1), ("u1", x.size // 2),
                                    ("f4", x.size // 64), ("u1", x.size // 64),
                                    ("f4", x.size // 16384), ("f4", 1))
            levels = bnb.get_4bit_type(form, device="cpu").numpy()
            y = levels[np.stack([codes >> 4, codes & 15], 1).ravel()] * np.repeat(scales, 64)
            self.assertLessEqual(float(np.abs(y - x).mean()), mean + 7 * sigma)


if __name__ == "__main__":
    unittest.main()
