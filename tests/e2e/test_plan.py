"""Protects the memory plan: figures of Llama 3.3 70B from its config.json alone, what is said of
GPUs that are too small, and the refusal of a model that can't fit."""
import json
import os
import shutil
import sys
import tempfile
import time
import unittest

import harness
from harness import nexus

sys.path.insert(0, os.path.join(harness.ROOT, "tests", "torture"))
import quantise_big  # noqa: E402

# The shape of meta-llama/Llama-3.3-70B-Instruct.
LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False,
    "head_dim": 128, "hidden_act": "silu", "hidden_size": 8192, "intermediate_size": 28672,
    "max_position_embeddings": 131072, "mlp_bias": False, "num_attention_heads": 64,
    "num_hidden_layers": 80, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}


class Plan(harness.Case):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        with open(os.path.join(self.folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump(LLAMA_70B, f)

    def plan(self, *words):
        return json.loads(self.ok(nexus("info", self.folder, "--plan", "--json", *words)).out)

    def test_seventy_billion(self):
        plan = self.plan()
        self.assertEqual(plan["parameters"], 70_553_706_496)
        self.assertEqual(plan["kv_bytes_per_position"], 327_680)
        found = {p["type"]: p for p in plan["plans"]}
        for name, expected in (("bf16", 141.11e9), ("nf4", 42.71e9), ("nf4-dq", 39.52e9),
                               ("int8", 72.68e9)):
            self.assertLess(abs(found[name]["weights_bytes"] / expected - 1), 0.001, name)
            sizes = [g["memory_bytes"] for g in found[name]["gpus"]]
            self.assertEqual(sizes, [16e9, 24e9, 48e9, 80e9])
            self.assertFalse(found[name]["gpus"][0]["fits"], name)
        self.assertTrue(found["nf4"]["gpus"][2]["fits"])

    def test_offload_adds_up(self):
        plan = self.plan("--quantize", "nf4", "--gpu-memory", "16GiB", "--ctx", "8192")
        p, = plan["plans"]
        g, = p["gpus"]
        self.assertEqual(p["kv_bytes"], 8192 * 327_680)
        self.assertEqual(g["gpu_bytes"] + g["ram_bytes"], p["weights_bytes"] + p["kv_bytes"])
        self.assertLess(g["gpu_bytes"] + p["work_bytes"], 16 << 30)
        left = p["layers_bytes"] * (80 - g["layers"]) / 80
        self.assertAlmostEqual(g["bus_bytes_per_token"] / left, 1, 2)

    def test_words(self):
        out = self.ok(nexus("info", self.folder, "--plan")).out.decode()
        self.assertIn("16GB of GPU memory cannot hold it", out)
        self.assertIn("Offload: ", out)
        self.assertIn("over\n  the bus", out)
        self.refused(nexus("info", self.folder, "--plan", "--gpu-memory", "big"), 1,
                     "--gpu-memory", "big")
        self.refused(nexus("info", self.folder, "--plan", "--ctx", "131073"), 1, "131072")
        self.refused(nexus("info", self.folder, "--plan", "--quantize", "nf5"), 1, "nf5", "nf4")

    def test_weights_that_are_there(self):
        path = harness.any_model()
        plan = json.loads(self.ok(nexus("info", path, "--plan", "--json")).out)
        info = json.loads(self.ok(nexus("info", path, "--json")).out)
        self.assertEqual(plan["plans"][0]["weights_bytes"], info["tensors_bytes"])


def memory_available():
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise unittest.SkipTest("skipped: /proc/meminfo says nothing of MemAvailable")


class TooLarge(harness.Case):
    def test_refused_in_the_first_second(self):
        """Weights of one and a half times the memory, all holes in sparse files."""
        layers = int(memory_available() * 1.5 / 436e6) + 1
        folder = os.path.join(self.tmp, "large")
        quantise_big.make(folder, layers)
        start = time.monotonic()
        done = nexus("logits", "-m", folder, "--prompt-ids", "1,2,3")
        self.assertLess(time.monotonic() - start, 3.0)    # it takes 0.1 s; machines are busy
        self.refused(done, 1, "needs", "this machine has", "Would fit: ",
                     "--quantize nf4-dq (", "--no-memory-check")


if __name__ == "__main__":
    harness.main()
