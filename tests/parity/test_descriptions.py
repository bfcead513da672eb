"""Protects the description of every architecture: tiny random models of transformers, written as
GGUF by the gguf package in llama.cpp's conventions, give the logits of transformers here (40
tokens, within 1e-4 of their deviation) and the same 32 greedy tokens.

Usage: test_descriptions.py [PROGRAM] [NAME...]     (default: $NEXUS_BIN, all)
"""
import json
import logging
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import tiny_gguf
import torch
import transformers
from test_logits import nexus_logits, worst

LIMIT = 1e-4
N_IDS, N_GREEDY = 40, 32
BASE = dict(vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256)
GPT2 = dict(vocab_size=320, n_embd=60, n_layer=3, n_head=4, n_positions=96)
NEOX = dict({k: v for k, v in BASE.items() if k != "num_key_value_heads"})
EXPERTS = dict(BASE, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=40)
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=64)


def rope(kind, theta=10000.0, **more):
    return {"rope_parameters": dict(rope_type=kind, rope_theta=theta, **more)}


def longrope(n, original):
    return dict(rope("longrope", short_factor=[1 + 0.1 * i for i in range(n)],
                     long_factor=[1 + 0.7 * i for i in range(n)]),
                original_max_position_embeddings=original)


CASES = {
    "llama": ("Llama", BASE),
    "llama biases, tied": ("Llama", dict(BASE, attention_bias=True, mlp_bias=True,
                                         tie_word_embeddings=True)),
    "llama llama3 rope, head_dim": ("Llama", dict(BASE, head_dim=24, rope_parameters=LLAMA3)),
    "llama linear": ("Llama", dict(BASE, **rope("linear", factor=4.0))),
    "llama yarn": ("Llama", dict(BASE, **rope("yarn", factor=4.0,
                                              original_max_position_embeddings=64))),
    "llama yarn, own factor": ("Llama", dict(BASE, **rope(
        "yarn", factor=8.0, original_max_position_embeddings=32, attention_factor=1.3,
        beta_fast=16.0, beta_slow=2.0))),
    "llama dynamic": ("Llama", dict(BASE, **rope("dynamic", factor=3.0),
                                    ) | dict(max_position_embeddings=24)),
    "mistral": ("Mistral", dict(BASE, sliding_window=None)),
    "mistral window": ("Mistral", dict(BASE, sliding_window=11, head_dim=20)),
    "mixtral": ("Mixtral", dict(BASE, num_local_experts=4, num_experts_per_tok=2)),
    "mixtral window, 8 of 3": ("Mixtral", dict(BASE, num_local_experts=8, num_experts_per_tok=3,
                                               sliding_window=9)),
    "qwen2": ("Qwen2", BASE),
    "qwen2 window, tied": ("Qwen2", dict(BASE, use_sliding_window=True, sliding_window=7,
                                         max_window_layers=1, tie_word_embeddings=True)),
    "qwen2_moe": ("Qwen2Moe", dict(EXPERTS, shared_expert_intermediate_size=72)),
    "qwen2_moe normalised, mixed": ("Qwen2Moe", dict(
        EXPERTS, shared_expert_intermediate_size=120, norm_topk_prob=True, decoder_sparse_step=2,
        qkv_bias=False)),
    "qwen3": ("Qwen3", dict(BASE, head_dim=32)),
    "qwen3 biases, window": ("Qwen3", dict(BASE, head_dim=12, attention_bias=True,
                                           use_sliding_window=True, sliding_window=5,
                                           max_window_layers=2, tie_word_embeddings=True)),
    "qwen3_moe": ("Qwen3Moe", dict(EXPERTS, head_dim=16)),
    "qwen3_moe normalised, mixed": ("Qwen3Moe", dict(EXPERTS, head_dim=16, norm_topk_prob=True,
                                                     mlp_only_layers=[1])),
    "gemma2": ("Gemma2", dict(BASE, head_dim=16, sliding_window=10, query_pre_attn_scalar=16)),
    "gemma2 other scale, no caps": ("Gemma2", dict(
        BASE, head_dim=24, sliding_window=6, query_pre_attn_scalar=40, attention_bias=True,
        attn_logit_softcapping=None, final_logit_softcapping=None)),
    "gemma3": ("Gemma3Text", dict(BASE, head_dim=16, sliding_window=8, num_hidden_layers=7,
                                  query_pre_attn_scalar=16)),
    "gemma3 linear, cap": ("Gemma3Text", dict(
        BASE, head_dim=20, sliding_window=8, query_pre_attn_scalar=30, final_logit_softcapping=20.0,
        layer_types=["full_attention", "sliding_attention", "full_attention"], rope_parameters={
            "full_attention": dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
            "sliding_attention": dict(rope_type="default", rope_theta=5000.0)})),
    "phi3": ("Phi3", dict(BASE, pad_token_id=0)),
    "phi3 window, partial": ("Phi3", dict(BASE, pad_token_id=0, sliding_window=13, **rope(
        "default", partial_rotary_factor=0.75))),
    "phi3 longrope, short": ("Phi3", dict(BASE, pad_token_id=0, **longrope(8, 128))),
    "phi3 longrope, long": ("Phi3", dict(BASE, pad_token_id=0, **longrope(8, 32))),
    "phi3 longrope, crossing": ("Phi3", dict(BASE, pad_token_id=0, **longrope(8, 56))),
    "gpt2": ("GPT2", GPT2),
    "gpt2 scales, inner": ("GPT2", dict(GPT2, n_inner=100, scale_attn_by_inverse_layer_idx=True,
                                        activation_function="gelu")),
    "gpt2 unscaled, untied": ("GPT2", dict(GPT2, scale_attn_weights=False,
                                           tie_word_embeddings=False)),
    "gpt_neox": ("GPTNeoX", NEOX),
    "gpt_neox serial": ("GPTNeoX", dict(NEOX, use_parallel_residual=False, hidden_act="gelu_fast",
                                        **rope("default", partial_rotary_factor=1.0))),
    "gpt_neox odd rotary, no bias": ("GPTNeoX", dict(NEOX, hidden_size=48, attention_bias=False,
                                                     tie_word_embeddings=True)),
    "olmo2": ("Olmo2", BASE),
    "olmo2 biases": ("Olmo2", dict(BASE, attention_bias=True, num_key_value_heads=4)),
    "starcoder2": ("Starcoder2", dict(BASE, sliding_window=None)),
    "starcoder2 window, no bias": ("Starcoder2", dict(BASE, sliding_window=9, use_bias=False,
                                                      tie_word_embeddings=False)),
    "granite": ("Granite", dict(BASE, embedding_multiplier=12.0, residual_multiplier=0.22,
                                attention_multiplier=0.0625, logits_scaling=8.0)),
    "granite biases": ("Granite", dict(BASE, attention_bias=True, mlp_bias=True,
                                       embedding_multiplier=3.0, residual_multiplier=0.7,
                                       attention_multiplier=0.3, logits_scaling=0.5)),
    "smollm3": ("SmolLM3", dict(BASE, num_hidden_layers=5, pad_token_id=0)),
    "smollm3 window, own list": ("SmolLM3", dict(
        BASE, pad_token_id=0, no_rope_layers=[0, 1, 0], use_sliding_window=True, sliding_window=12,
        attention_bias=True, mlp_bias=True)),
}


def build(name, fields, seed):
    config = getattr(transformers, name + "Config")(
        **fields, bos_token_id=1, eos_token_id=2, attn_implementation="eager")
    suffix = "LMHeadModel" if name == "GPT2" else "ForCausalLM"
    name = name.replace("Gemma3Text", "Gemma3")
    torch.manual_seed(seed)
    model = getattr(transformers, name + suffix)(config).float().eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if key.endswith("bias"):
                p.copy_(0.3 * torch.randn(p.shape))
            elif p.dim() == 1:
                p.copy_((0.0 if "Gemma" in name else 1.0) + 0.2 * torch.randn(p.shape))
            elif "emb" in key or "wte" in key or "wpe" in key:
                p.copy_(torch.randn(p.shape) * (0.2 if "Gemma" in name else 1.0))
            else:
                n_in = p.shape[-2] if name == "GPT2" else p.shape[-1]
                p.copy_(torch.randn(p.shape) / math.sqrt(n_in))
    return model


def greedy(model, ids):
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), max_new_tokens=N_GREEDY, do_sample=False,
                             min_new_tokens=N_GREEDY, eos_token_id=None, pad_token_id=0)
    return out[0, len(ids):].tolist()


def nexus_greedy(program, path, ids):
    done = subprocess.run(
        [program, "generate", "-m", path, "--prompt-ids", ",".join(map(str, ids)), "--temp", "0",
         "--kv-type", "f32", "-n", str(N_GREEDY), "--ignore-eos", "--json",
         "--logprobs", "0"],
        capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace").strip())
    return [step["id"] for step in json.loads(done.stdout)["steps"]]


def check(program, folder, name, number):
    kind, fields = CASES[name]
    model = build(kind, fields, number)
    path = os.path.join(folder, "model.gguf")
    tiny_gguf.write(path, model)
    ids = np.random.default_rng(number).integers(3, fields["vocab_size"], N_IDS).tolist()
    with torch.no_grad():
        want = model(torch.tensor([ids]), use_cache=False).logits[0].numpy()
    got = nexus_logits(program, path, ids, want.shape[1], "--kv-type", "f32")
    error = worst(got, want)
    expected, found = greedy(model, ids), nexus_greedy(program, path, ids)
    same = sum(np.cumprod([a == b for a, b in zip(expected, found)]))
    print(f"{name}: {error:.2g} of std, {same} of {N_GREEDY} greedy tokens", flush=True)
    wrong = [] if error <= LIMIT else [f"{error:.3g} of std, at most {LIMIT:g}"]
    return wrong if expected == found else wrong + [f"greedy: expected {expected}, found {found}"]


def check_padded(program, folder):
    """Rows of the embedding that no token has are computed and chosen like any other."""
    model, n_tokens = build("Qwen2", dict(BASE, vocab_size=640), 7), 270
    path = os.path.join(folder, "model.gguf")
    tiny_gguf.write(path, model, n_tokens)
    ids = list(range(3, 20))
    found = nexus_greedy(program, path, ids)
    expected = greedy(model, ids)
    beyond = sum(token >= n_tokens for token in expected)
    print(f"padded vocabulary: {beyond} of {N_GREEDY} tokens are beyond it")
    if not beyond:
        return ["nothing to see here: choose another seed"]
    return [] if expected == found else [f"padded: expected {expected}, found {found}"]


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["NEXUS_BIN"]
    names = sys.argv[2:] or list(CASES)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for line in check_padded(program, folder):
            print(line)
            failed += 1
        for name in names:
            try:
                wrong = check(program, folder, name, 1 + list(CASES).index(name))
            except RuntimeError as e:
                wrong = [str(e)]
            for line in wrong:
                print(f"{name}: {line}")
            failed += bool(wrong)
    print(f"{len(names) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    sys.exit(main())
