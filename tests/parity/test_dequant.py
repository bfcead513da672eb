"""Protects decoding from file to number: random valid blocks of every type, written to a GGUF file
by the gguf package, dumped by `nexus info --dump`, equal `gguf.quants.dequantize` bit for bit.

Usage: test_dequant.py [PROGRAM]     (default: $NEXUS_BIN)
"""
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np
from blocks import TYPES, random_blocks
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

SEED = 5
SHAPES = [(1, 1), (3, 1), (7, 5), (33, 9)]    # rows, blocks in a row


def make_tensors(rng):
    """name -> (type, bytes as the writer wants them, expected f32 values)"""
    tensors = {}
    for name in TYPES:
        qtype = GGMLQuantizationType[name]
        _, block_bytes = GGML_QUANT_SIZES[qtype]
        for rows, per_row in SHAPES:
            blocks = random_blocks(rng, name, rows * per_row)
            want = gguf.quants.dequantize(blocks, qtype).astype(np.float32, copy=False)
            if name not in ("F32", "F16"):
                blocks = blocks.reshape(rows, per_row * block_bytes)
            else:
                blocks = blocks.reshape(rows, per_row)
            tensors[f"{name}.{rows}x{per_row}"] = (qtype, blocks, want.ravel())
    return tensors


def write(path, tensors):
    writer = gguf.GGUFWriter(path, "llama")
    for name, (qtype, blocks, _) in tensors.items():
        writer.add_tensor(name, blocks, raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(program, path, name, want):
    """None, or what is wrong."""
    done = subprocess.run([program, "info", "--dump", name, path], capture_output=True, check=False)
    if done.returncode != 0:
        return f"exit status {done.returncode}: {done.stderr.decode(errors='replace').strip()}"
    if len(done.stdout) != 4 * want.size:
        return f"{len(done.stdout)} bytes, expected {4 * want.size}"
    got = np.frombuffer(done.stdout, np.uint32)
    wrong = np.flatnonzero(got != want.view(np.uint32))
    if wrong.size:
        i = wrong[0]
        return (f"{wrong.size} of {want.size} numbers differ; number {i} is "
                f"{got.view(np.float32)[i]!r}, expected {want[i]!r}")
    return None


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["NEXUS_BIN"]
    tensors = make_tensors(np.random.default_rng(SEED))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "blocks.gguf")
        write(path, tensors)
        for name, (_, _, want) in tensors.items():
            wrong = check(program, path, name, want)
            if wrong:
                print(f"{name}: {wrong}")
                failed += 1
    print(f"{len(tensors) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
