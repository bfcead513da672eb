"""Protects the encoders of GGUF types: on many kinds of numbers, the error of ours is at most one
hundredth above llama.cpp's (ggml_quantize_chunk of the library that node-llama-cpp carries)."""
import ctypes
import glob
import os
import subprocess
import sys
import unittest

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

BUILD = os.environ.get("NX_BUILD_DIR", "build/release")
ROOT = os.environ.get("NX_SOURCE_DIR", ".")
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
         "IQ4_XS"]
N, K = 64, 1024


def library():
    found = glob.glob(os.path.join(ROOT, "build", "node", "**", "linux-x64", "libggml-base.so"),
                      recursive=True)
    if not found:
        raise unittest.SkipTest("skipped: no libggml-base.so in build/node (node-llama-cpp)")
    lib = ctypes.CDLL(found[0])
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                        ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                        ctypes.c_void_p]
    return lib


def numbers(seed):
    r = np.random.default_rng(seed)
    normal = r.standard_normal((N, K))
    yield "normal", normal * 0.02
    yield "uniform", r.uniform(-1, 1, (N, K))
    yield "laplace", r.laplace(0, 1, (N, K))
    yield "student", r.standard_t(3, (N, K)) * 0.02
    yield "cauchy", np.clip(r.standard_cauchy((N, K)), -1e4, 1e4)
    yield "positive", np.abs(normal)
    yield "sparse", normal * (r.uniform(size=(N, K)) < 0.1)
    yield "shifted", normal * np.exp(r.standard_normal((N, 1))) + 0.5
    yield "outliers", np.where(r.uniform(size=(N, K)) < 0.001, 50, 1) * normal
    yield "small", normal * 1e-4
    yield "tiny", normal * 1e-6
    yield "line", np.linspace(-1, 1, N * K).reshape(N, K)
    yield "constant", np.full((N, K), 0.37)
    yield "negative constant", np.full((N, K), -0.37)
    yield "zero", np.zeros((N, K))


def theirs(lib, name, x):
    kind = GGMLQuantizationType[name]
    out = np.zeros(x.size * 4, dtype=np.uint8)
    n = lib.ggml_quantize_chunk(int(kind), x.ctypes.data, out.ctypes.data, 0, N, K, None)
    return dequantize(out[:n].reshape(N, -1), kind)


def ours(name, x):
    done = subprocess.run([os.path.join(BUILD, "tests", "parity", "encode_rows"), name],
                          input=x.tobytes(), stdout=subprocess.PIPE, check=True)
    return np.frombuffer(done.stdout, dtype=np.float32).reshape(x.shape)


class Error(unittest.TestCase):
    def test_no_larger_than_llama_cpp(self):
        lib = library()
        worst = {}
        for kind, x in numbers(int(os.environ.get("NX_SEED", "1"))):
            x = np.ascontiguousarray(x, dtype=np.float32)
            for name in TYPES:
                a = np.sqrt(np.mean((ours(name, x) - x) ** 2, dtype=np.float64))
                b = np.sqrt(np.mean((theirs(lib, name, x) - x) ** 2, dtype=np.float64))
                with self.subTest(type=name, numbers=kind):
                    self.assertLessEqual(a, 1.01 * b)
                if b:
                    worst[name] = max(worst.get(name, 0), float(a / b))
        print("ours / llama.cpp, worst:", {k: round(v, 3) for k, v in worst.items()})


if __name__ == "__main__":
    program = unittest.main(exit=False)
    sys.exit(77 if program.result.skipped else not program.result.wasSuccessful())
