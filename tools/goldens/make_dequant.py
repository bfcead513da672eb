#!/usr/bin/env python3
"""Freeze what the gguf package says about quantised blocks.

Writes, for every type that we decode,
    tests/golden/dequant/TYPE.blocks   random valid blocks, as they stand in a file
    tests/golden/dequant/TYPE.f32      the numbers that gguf.quants.dequantize reads in them
and for every type that we and the package encode,
    tests/golden/quantise/input.f32    numbers
    tests/golden/quantise/TYPE.blocks  what gguf.quants.quantize makes of them

The bytes follow from the seed below; see tests/golden/dequant/README.md for the versions.
Run: python tools/goldens/make_dequant.py   (in an environment of tests/parity/requirements.txt)
"""
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "parity"))
from blocks import TYPES, random_blocks  # noqa: E402

SEED = 20261123
ENCODED = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def make_dequant(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    for name in TYPES:
        block_len, _ = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
        n_blocks = {1: 1024, 32: 64, 256: 16}[block_len]
        blocks = random_blocks(rng, name, n_blocks)
        values = gguf.quants.dequantize(blocks, GGMLQuantizationType[name])
        assert values.dtype == np.float32 and values.size == n_blocks * block_len
        (folder / f"{name.lower()}.blocks").write_bytes(blocks.tobytes())
        (folder / f"{name.lower()}.f32").write_bytes(values.tobytes())


def input_rows(rng: np.random.Generator) -> np.ndarray:
    """64 rows of 32: noise of many sizes, ties, one-sided rows, a constant row, zeros."""
    x = rng.standard_normal((64, 32)) * np.exp2(rng.integers(-12, 12, (64, 1)))
    x[8:12] = np.round(x[8:12] * 4) / 4 + rng.integers(-8, 8, (4, 32)) / 2   # halves: ties
    x[12:16] = np.abs(x[12:16])
    x[16:20] = -np.abs(x[16:20])
    x[20] = 0.0
    x[21] = 1.5
    x[22] = np.where(np.arange(32) == 7, -3.0, 0.0)
    x[23] = np.tile([127.0, 63.5, -63.5, 0.5], 8)
    x[24] = np.tile([3.0, -3.0], 16)                   # two of the largest magnitude
    return x.astype(np.float32)


def make_quantise(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(SEED + 1)
    folder.mkdir(parents=True, exist_ok=True)
    x = input_rows(rng)
    (folder / "input.f32").write_bytes(x.tobytes())
    for name in ENCODED:
        blocks = gguf.quants.quantize(x, GGMLQuantizationType[name])
        (folder / f"{name.lower()}.blocks").write_bytes(blocks.tobytes())


if __name__ == "__main__":
    make_dequant(ROOT / "tests" / "golden" / "dequant")
    make_quantise(ROOT / "tests" / "golden" / "quantise")
