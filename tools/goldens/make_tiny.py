#!/usr/bin/env python3
"""Freeze two random tiny Llama models with the logits that transformers computes on them.

Writes to tests/golden/tiny-llama/, for each model,
    NAME.gguf   the model, F32, as llama.cpp's converter writes real ones (by the gguf package)
    NAME.f32    the logits of transformers in f32, one row for each position listed
    NAME.json   the ids, the positions, the sizes, and the versions that made them
Run: python tools/goldens/make_tiny.py   (in an environment of tests/parity/requirements.txt)
"""
import importlib.metadata
import json
import pathlib
import sys

import numpy as np
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "parity"))
import tiny_llama  # noqa: E402
import walk_f64  # noqa: E402

# (model, how many ids, the positions whose logits are kept)
MODELS = [
    (tiny_llama.Spec("gqa-tied", seed=101, hidden=32, heads=4, heads_kv=2, ffn=29, vocab=271,
                     tied=True), 48, [0, 1, 2, 7, 15, 31, 46, 47]),
    (tiny_llama.Spec("rope-factors", seed=102, hidden=32, heads=2, heads_kv=1, ffn=29, vocab=271,
                     tied=True, theta=500000.0,
                     llama3={"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                             "original_context": 64}), 200, [0, 1, 17, 63, 64, 130, 198, 199]),
]


def main() -> None:
    folder = ROOT / "tests" / "golden" / "tiny-llama"
    folder.mkdir(parents=True, exist_ok=True)
    for spec, n_ids, rows in MODELS:
        model = tiny_llama.build(spec)
        path = folder / f"{spec.name}.gguf"
        tiny_llama.write_gguf(path, model, spec)
        ids = np.random.default_rng(spec.seed).integers(0, spec.vocab, n_ids)
        all_rows = tiny_llama.logits(model, ids)
        exact = walk_f64.logits(path, ids)
        error = float(np.abs(all_rows - exact).max() / exact.std())
        assert error < 1e-5, f"transformers and the f64 walk over the file disagree: {error}"
        (folder / f"{spec.name}.f32").write_bytes(all_rows[rows].astype(np.float32).tobytes())
        answer = {
            "ids": ids.tolist(), "rows": rows, "n_vocab": spec.vocab,
            "std": float(exact.std()), "max_error_of_transformers": error,
            "torch": torch.__version__, "transformers": transformers.__version__,
            "gguf": importlib.metadata.version("gguf"), "numpy": np.__version__,
        }
        (folder / f"{spec.name}.json").write_text(json.dumps(answer) + "\n")
        print(f"{spec.name}: {path.stat().st_size} bytes, error against f64 {error:.2g} of std")


if __name__ == "__main__":
    main()
