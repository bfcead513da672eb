"""Hugging Face folders against their makers: transformers writes them, bitsandbytes quantises them,
and both say what their numbers are.

Protects: shards, old spellings of config.json, names without prefix and saved buffers load and
compute the same; a checkpoint that bitsandbytes quantised (nf4, doubly quantised, fp4, int8) decodes
to the same numbers bit for bit, and computes the same.

    test_folders.py [NEXUS]    default: $NEXUS_BIN
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

import bitsandbytes.functional as bnb
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

SIZES = dict(vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
LIMIT = 1e-4  # of the logits' deviation


def build(family, **kw):
    """A random model in which all weights matter."""
    torch.manual_seed(1)
    sizes = {k: v for k, v in {**SIZES, **kw}.items() if v is not None}
    config = getattr(transformers, family + "Config")(**sizes)
    head = "LMHeadModel" if family == "GPT2" else "ForCausalLM"
    model = getattr(transformers, family.removesuffix("Text") + head)(config).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(0.2 * torch.randn(p.shape) + ("bias" not in name))
            elif "embed" in name or "wte" in name:
                p.copy_(torch.randn(p.shape))
            else:
                p.copy_(torch.randn(p.shape) / p.shape[-1] ** 0.5)
    return model


def gpt2(**kw):
    other = {k: None for k in SIZES if k != "vocab_size"}
    return build("GPT2", n_embd=48, n_layer=2, n_head=3, n_positions=128, **{**other, **kw})


def change_config(folder, change):
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    change(config)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)


def judge_logits(program, folder, model, typical=False):
    """What is wrong, as a list of lines. typical: of the median position."""
    ids = np.random.default_rng(1).integers(3, model.config.vocab_size, 40).tolist()
    with torch.no_grad():
        want = model(torch.tensor([ids])).logits[0].float().numpy()
    done = subprocess.run([program, "logits", "-m", folder, "--raw", "--kv-type", "f32",
                           "--prompt-ids", ",".join(map(str, ids))],
                          capture_output=True, check=False)
    if done.returncode:
        return [done.stderr.decode().strip()]
    got = np.frombuffer(done.stdout, "<f4").reshape(want.shape)
    error = np.abs(got - want).max(axis=1) / want.std()
    error = float(np.median(error) if typical else error.max())
    print(f"  largest difference {error:.2g} of the deviation")
    return [] if error <= LIMIT else [f"logits differ by {error:.3g} of their deviation"]


# ---- Folders as they are found ----

def shards(program, folder):
    model = build("Mixtral", num_local_experts=4, sliding_window=10)
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len([n for n in os.listdir(folder) if n.endswith(".safetensors")]) > 5
    return judge_logits(program, folder, model)


def cache_links(program, folder):
    """As the Hub's cache lays them out: links into a folder of blobs."""
    model = build("Qwen2")
    blobs, snapshot = os.path.join(folder, "blobs"), os.path.join(folder, "snapshots", "abc")
    model.save_pretrained(blobs)
    os.makedirs(snapshot)
    for name in os.listdir(blobs):
        os.symlink(f"../../blobs/{name}", os.path.join(snapshot, name))
    return judge_logits(program, snapshot, model)


def old_llama3(program, folder):
    rope = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
                high_freq_factor=4.0, original_max_position_embeddings=32)
    model = build("Llama", rope_parameters=rope, head_dim=32, tie_word_embeddings=True)
    model.save_pretrained(folder)

    def older(c):
        r = c.pop("rope_parameters")
        c["rope_theta"] = r.pop("rope_theta")
        c["rope_scaling"] = r
        c["torch_dtype"] = c.pop("dtype")
    change_config(folder, older)
    return judge_logits(program, folder, model)


def old_gemma3(program, folder):
    rope = {"full_attention": dict(rope_type="linear", factor=8.0, rope_theta=1e6),
            "sliding_attention": dict(rope_type="default", rope_theta=5000.0)}
    model = build("Gemma3Text", num_hidden_layers=7, head_dim=32, sliding_window=8,
                  rope_parameters=rope)
    model.save_pretrained(folder)

    def older(c):
        c.pop("rope_parameters")
        c.pop("layer_types")
        c.pop("_sliding_window_pattern", None)
        c.update(rope_theta=1e6, rope_local_base_freq=5000.0, sliding_window_pattern=6,
                 rope_scaling={"rope_type": "linear", "factor": 8.0})
    change_config(folder, older)
    return judge_logits(program, folder, model)


def old_neox(program, folder):
    model = build("GPTNeoX", num_key_value_heads=None, use_parallel_residual=False)
    model.save_pretrained(folder)

    def older(c):
        c.pop("rope_parameters")
        c.update(rotary_pct=0.25, rotary_emb_base=10000)
    change_config(folder, older)
    return judge_logits(program, folder, model)


def bare_gpt2(program, folder):
    """The hub's gpt2: names without their prefix, and the masks that it once saved."""
    model = gpt2()
    model.save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    tensors = {k.removeprefix("transformer."): v for k, v in load_file(path).items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 128, 128)
    save_file(tensors, path, metadata={"format": "pt"})
    return judge_logits(program, folder, model)


# ---- bitsandbytes ----

def dump(folder):
    """GGUF name -> (type, f32 numbers) of every tensor, as our reader decodes it."""
    tool = os.path.join(os.environ["NX_BUILD_DIR"], "tests/parity/dump_tensors")
    done = subprocess.run([tool, folder], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode().strip())
    data, at, out = done.stdout, 0, {}
    while at < len(data):
        end = data.index(b"\n", at)
        name, kind, *ne = data[at:end].decode().split()
        count = int(np.prod([int(n) for n in ne]))
        out[name] = kind, np.frombuffer(data, "<f4", count, end + 1)
        at = end + 1 + 4 * count
    return out


def absmax_of(tensors, name):
    """The scales of a 4-bit weight, nested ones decoded as bitsandbytes does."""
    absmax = tensors[name + ".absmax"]
    state = json.loads(bytes(next(v for k, v in tensors.items()
                                  if k.startswith(name + ".quant_state")).tolist()))
    if absmax.dtype != torch.uint8:
        return absmax, state
    nested = bnb.QuantState(absmax=tensors[name + ".nested_absmax"],
                            code=tensors[name + ".nested_quant_map"],
                            blocksize=state["nested_blocksize"], dtype=torch.float32)
    return bnb.dequantize_blockwise(absmax, nested) + state["nested_offset"], state


def decoded(tensors, name):
    """What a quantised weight stands for, in f32."""
    weight = tensors[name]
    if weight.dtype == torch.int8:
        scb = tensors[name.removesuffix("weight") + "SCB"]
        return weight.float() * (scb / 127).reshape(-1, 1)
    absmax, state = absmax_of(tensors, name)
    codes = torch.stack([weight.flatten() >> 4, weight.flatten() & 15], 1).flatten().long()
    scale = absmax.repeat_interleave(state["blocksize"])[:len(codes)]
    value = tensors[name + ".quant_map"][codes] * scale
    if state["quant_type"] == "nf4":
        # bitsandbytes says the same; its FP4 on a CPU works from a table of rounded levels.
        own = bnb.dequantize_4bit(weight, bnb.QuantState(
            absmax=absmax, shape=torch.Size(state["shape"]), dtype=torch.float32, quant_type="nf4",
            blocksize=state["blocksize"], code=tensors[name + ".quant_map"]))
        assert torch.equal(own.flatten(), value)
    return value


NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}


def compute(program, folder, kind):
    """Logits beside bitsandbytes' own, in f32. An activation whose int8 code turns over because a
    sum differs in its last bit shows as some hundredths at its position and later ones."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # it would compute in bf16
    return judge_logits(program, folder, model, typical=kind == "int8")


def quantised(kind, options):
    def judge(program, folder):
        plain = os.path.join(folder, "plain")
        build("Llama", hidden_size=128, intermediate_size=192).save_pretrained(plain)
        model = AutoModelForCausalLM.from_pretrained(
            plain, quantization_config=BitsAndBytesConfig(**options), device_map="cpu",
            dtype=torch.float32)
        out = os.path.join(folder, "bnb")
        model.save_pretrained(out)
        theirs, ours, wrong = load_file(os.path.join(out, "model.safetensors")), dump(out), []
        for layer in range(3):
            for hf, gguf in NAMES.items():
                name = f"model.layers.{layer}.{hf}.weight"
                got_kind, got = ours[f"blk.{layer}.{gguf}.weight"]
                want = decoded(theirs, name).flatten().numpy()
                if got_kind != kind:
                    wrong.append(f"{name}: type {got_kind}, expected {kind}")
                elif not np.array_equal(got, want):
                    wrong.append(f"{name}: {int((got != want).sum())} numbers differ")
        print(f"  {len(ours)} tensors")
        return wrong + compute(program, out, kind)
    return judge


CASES = {
    "shards": shards, "links of the Hub's cache": cache_links,
    "rope_scaling of llama 3.1, before transformers 5": old_llama3,
    "two ropes of Gemma 3, before transformers 5": old_gemma3,
    "rotary_pct of GPT-NeoX": old_neox, "gpt2 without prefixes": bare_gpt2,
    "nf4": quantised("nf4", dict(load_in_4bit=True, bnb_4bit_quant_type="nf4")),
    "nf4, doubly quantised": quantised("nf4", dict(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                                   bnb_4bit_use_double_quant=True)),
    "fp4": quantised("fp4", dict(load_in_4bit=True, bnb_4bit_quant_type="fp4")),
    "int8": quantised("int8", dict(load_in_8bit=True)),
}


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["NEXUS_BIN"]
    failed = 0
    for name, judge in CASES.items():
        print(name)
        folder = tempfile.mkdtemp()
        try:
            wrong = judge(program, folder)
        except RuntimeError as e:
            wrong = [str(e)]
        finally:
            shutil.rmtree(folder)
        for line in wrong:
            print(f"  WRONG: {line}")
        failed += bool(wrong)
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    sys.exit(main())
