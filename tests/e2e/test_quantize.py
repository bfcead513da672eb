"""Protects `nexus quantize` and `--quantize`: what is written is there whole or not at all, refusals
say why, and a model quantised while loading answers as the file that was written."""
import json
import os
import struct
import unittest

import harness
from harness import nexus

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 96, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 128, "rope_theta": 10000.0, "tie_word_embeddings": False,
    "hidden_act": "silu", "torch_dtype": "float32"}


def weights():
    yield "model.embed_tokens.weight", [96, 64]
    for i in range(2):
        p = f"model.layers.{i}."
        for name, shape in (("q", [64, 64]), ("k", [32, 64]), ("v", [32, 64]), ("o", [64, 64])):
            yield p + f"self_attn.{name}_proj.weight", shape
        for name, shape in (("gate", [128, 64]), ("up", [128, 64]), ("down", [64, 128])):
            yield p + f"mlp.{name}_proj.weight", shape
        yield p + "input_layernorm.weight", [64]
        yield p + "post_attention_layernorm.weight", [64]
    yield "model.norm.weight", [64]
    yield "lm_head.weight", [96, 64]


def make_folder(path):
    os.mkdir(path)
    header, data, seed = {}, b"", 1
    for name, shape in weights():
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        numbers = []
        for _ in range(n):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            numbers.append(1.0 if len(shape) == 1 else (seed / 0x7FFFFFFF - 0.5) * 0.4)
        raw = struct.pack(f"<{n}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(path, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as f:
        json.dump(CONFIG, f, indent=2)
    with open(os.path.join(path, "LICENSE"), "w", encoding="utf-8") as f:
        f.write("Do what you like.\n")
    return path


class Quantize(harness.Case):
    def folder(self):
        return make_folder(os.path.join(self.tmp, "model"))

    def out(self, name):
        return os.path.join(self.tmp, name)

    def logits(self, model, *words):
        return self.ok(nexus("logits", "-m", model, "--raw", "--prompt-ids", "5,17,80,3,3,41",
                             "--kv-type", "f32", *words)).out

    def test_folder_and_on_the_fly(self):
        source = self.folder()
        for kind in ("nf4", "nf4-dq", "fp4", "int8"):
            out = self.out(kind)
            os.mkdir(out + ".partial")    # what a killed run left
            with open(os.path.join(out + ".partial", "junk"), "wb") as f:
                f.write(b"junk")
            self.ok(nexus("quantize", source, out, "--type", kind))
            self.assertFalse(os.path.exists(out + ".partial"))
            self.assertEqual(sorted(os.listdir(out)), ["LICENSE", "config.json",
                                                       "model.safetensors"])
            self.assertEqual(self.logits(out), self.logits(source, "--quantize", kind), kind)

    def test_gguf_and_on_the_fly(self):
        source = self.folder()
        for kind in ("q8_0", "q4_0", "q5_1", "f16", "f32"):
            out = self.out(kind + ".gguf")
            self.ok(nexus("quantize", source, out, "--type", kind))
            self.assertFalse(os.path.exists(out + ".partial"))
            if kind in ("f16", "f32"):    # elsewhere the order of q's rows matters to nobody
                self.assertEqual(len(self.logits(out)), 6 * 96 * 4)
        again = self.out("again.gguf")
        self.ok(nexus("quantize", self.out("f32.gguf"), again, "--type", "q8_0"))
        with open(again, "rb") as a, open(self.out("q8_0.gguf"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_f32_files_compute_as_their_folder(self):
        """With no word about the cache: both take f32, a smaller file doesn't."""
        ids = ["--prompt-ids", ",".join(map(str, range(1, 41))), "--raw"]
        source, out, small = self.folder(), self.out("f32.gguf"), self.out("small.gguf")
        self.ok(nexus("quantize", source, out, "--type", "f32"))
        self.ok(nexus("quantize", out, small, "--type", "q8_0"))
        a = self.ok(nexus("logits", "-m", source, *ids)).out
        b = self.ok(nexus("logits", "-m", out, *ids)).out
        worst = max(abs(x - y) for x, y in zip(struct.unpack(f"<{len(a) // 4}f", a),
                                               struct.unpack(f"<{len(b) // 4}f", b)))
        self.assertLess(worst, 1e-5)
        self.assertIn("nexus.kv_type", self.ok(nexus("info", out, "--metadata")).out.decode())
        self.assertNotIn("nexus.kv_type", self.ok(nexus("info", small, "--metadata")).out.decode())

    def test_shards(self):
        out = self.out("shards")
        self.ok(nexus("quantize", self.folder(), out, "--type", "nf4", "--shard-size", "30KB"))
        self.assertIn("model.safetensors.index.json", os.listdir(out))
        self.assertEqual(len(self.logits(out)), 6 * 96 * 4)

    def test_refusals(self):
        source = self.folder()
        out = self.out("nf4")
        self.refused(nexus("quantize", source, out), 2, "--type")
        self.refused(nexus("quantize", source, out, "--type", "nf5"), 2, "nf5", "q4_k_m")
        self.ok(nexus("quantize", source, out, "--type", "nf4"))
        self.refused(nexus("quantize", source, out, "--type", "nf4"), 1, "is there already")
        self.refused(nexus("quantize", out, self.out("b"), "--type", "int8"), 1, "already")
        self.refused(nexus("quantize", harness.any_model(), self.out("c"), "--type", "nf4"), 1,
                     "GGUF", "folder")
        self.refused(nexus("logits", "-m", source, "--prompt-ids", "1", "--quantize", "q9"), 1,
                     "--quantize", "q9")
        self.refused(nexus("quantize", source, "/nowhere/at/all", "--type", "q8_0"), 1, "/nowhere")
        self.assertFalse(os.path.exists(self.out("b")))
        self.assertFalse(os.path.exists(self.out("c")))


if __name__ == "__main__":
    harness.main()
