"""Protects `nexus quantize` to bitsandbytes' types: from the same folder, ours and transformers'
checkpoints hold the same tensors with the same bytes and the same quantization_config; transformers
loads ours and computes the same logits with it; we compute transformers' logits with either.

    test_bnb_checkpoints.py [NEXUS]    NX_BNB_FAMILIES: "all", or names (default: a few)
"""
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
import transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
LIMIT = 1e-3    # of the logits' deviation
SIZES = dict(hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, vocab_size=320, max_position_embeddings=256, head_dim=16,
             pad_token_id=0, bos_token_id=1, eos_token_id=2)
MOE = dict(SIZES, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64,
           shared_expert_intermediate_size=128, decoder_sparse_step=1)
FAMILIES = {
    "llama": SIZES, "qwen2": SIZES, "phi3": SIZES, "qwen2_moe": MOE,
    "gpt2": dict(n_embd=64, n_layer=2, n_head=4, vocab_size=320, n_positions=256, bos_token_id=1,
                 eos_token_id=2),
    "gemma2": SIZES, "gpt_neox": SIZES, "mistral": SIZES,
    "mixtral": dict(SIZES, num_local_experts=4, num_experts_per_tok=2), "qwen3": SIZES,
    "qwen3_moe": MOE, "gemma3_text": SIZES, "olmo2": SIZES, "starcoder2": SIZES, "granite": SIZES,
    "smollm3": SIZES,
}
USUAL = ["llama", "gpt2", "qwen2_moe"]
TYPES = {
    "nf4": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "nf4-dq": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "fp4": dict(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
    "int8": dict(load_in_8bit=True),
}


def make(family, folder, dtype):
    torch.manual_seed(7)
    config = AutoConfig.for_model(family, **FAMILIES[family])
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.randn(p.shape) / p.shape[-1] ** 0.5)
            elif "bias" in name:
                p.copy_(0.1 * torch.randn(p.shape))
    model.to(dtype).save_pretrained(folder)


def raw(folder):
    out = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            with safe_open(os.path.join(folder, name), "pt") as f:
                for key in f.keys():
                    t = f.get_tensor(key).contiguous()
                    out[key] = (t.dtype, tuple(t.shape),
                                t.reshape(-1).view(torch.uint8).numpy().tobytes())
    return out


def differences(a, b):
    wrong = [f"only there: {k}" for k in a.keys() - b.keys()]
    wrong += [f"only here: {k}" for k in b.keys() - a.keys()]
    wrong += [f"{k}: {a[k][:2]} there, {b[k][:2]} here" + (", bytes" if a[k][:2] == b[k][:2] else "")
              for k in a.keys() & b.keys() if a[k] != b[k]]
    return wrong[:5]


def quantization_config(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        return json.load(f)["quantization_config"]


def logits_of(model, ids):
    """On processors with AVX512-BF16, bitsandbytes would round everything to bf16: not so here."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def our_logits(program, folder, ids):
    done = subprocess.run([program, "logits", "-m", folder, "--raw", "--kv-type", "f32",
                           "--prompt-ids", ",".join(map(str, ids))], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return np.frombuffer(done.stdout, np.float32).reshape(len(ids), -1)


def distance(program, folder, model, kind):
    """How far our logits are, in their deviation: the worst of 40 positions. LLM.int8 rounds
    activations to 127 steps, so the last bit of a float now and then moves a number by a whole step,
    and all later positions with it: there the best of eight short prompts is judged, in which nothing
    was moved, and that whole prompt, from its first position to its last."""
    seeds, n = (range(3, 11), 8) if kind == "int8" else (range(3, 4), 40)
    far = []
    for seed in seeds:
        ids = np.random.default_rng(seed).integers(3, 320, n).tolist()
        expected = logits_of(model, ids)
        far.append(np.abs(our_logits(program, folder, ids) - expected).max() / expected.std())
    return min(far)


def judge(program, tmp, family, kind, dtype):
    base = os.path.join(tmp, f"{family}-{dtype}".replace("torch.", ""))
    if not os.path.isdir(base):
        make(family, base, dtype)
    theirs, ours = f"{base}-{kind}-theirs", f"{base}-{kind}-ours"
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype="auto", quantization_config=BitsAndBytesConfig(**TYPES[kind]))
    model.save_pretrained(theirs)
    subprocess.run([program, "quantize", base, ours, "--type", kind, "--log-level", "warn"],
                   check=True)
    wrong = differences(raw(theirs), raw(ours))
    if quantization_config(theirs) != quantization_config(ours):
        wrong.append("another quantization_config")
    ids = np.random.default_rng(3).integers(3, 320, 40).tolist()
    expected = logits_of(model, ids)
    spread = expected.std()
    loaded = logits_of(AutoModelForCausalLM.from_pretrained(ours, dtype="auto"), ids)
    far = np.abs(loaded - expected).max() / spread
    if far > 1e-6:
        wrong.append(f"transformers computes other logits with ours: {far:.1e} of their deviation")
    near = None     # of bf16 folders transformers' own sums are in bf16: no judge of ours
    if dtype == torch.float32:
        near = max(distance(program, f, model, kind) for f in (theirs, ours))
        if near > LIMIT:
            wrong.append(f"we compute other logits: {near:.1e} of their deviation")
    said = "" if near is None else f" (our logits within {near:.1e})"
    print(f"{family} {str(dtype)[6:]} {kind}: {'; '.join(wrong) or 'equal'}{said}", flush=True)
    return not wrong


def main():
    warnings.simplefilter("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["NEXUS_BIN"]
    names = os.environ.get("NX_BNB_FAMILIES", " ".join(USUAL))
    names = list(FAMILIES) if names == "all" else names.split()
    good = total = 0
    with tempfile.TemporaryDirectory() as tmp:
        for i, family in enumerate(names):
            for j, kind in enumerate(TYPES):
                for dtype in (torch.float32, torch.bfloat16):
                    if dtype == torch.bfloat16 and i != 0 and (i + j) % 4:
                        continue
                    total += 1
                    good += judge(program, tmp, family, kind, dtype)
    print(f"{good} of {total} checkpoints as they should be")
    return 0 if good == total else 1


if __name__ == "__main__":
    sys.exit(main())
