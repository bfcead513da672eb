"""Any of our sixteen architectures, made tiny and random by transformers, as a GGUF file in
llama.cpp's conventions: q and k permuted for pair rope, Gemma's norms with their 1, experts
stacked, GPT-NeoX's qkv in three parts, GPT-2's Conv1D transposed. Names come from the gguf
package's own maps; this is the independent judge of what our reader takes a GGUF file for.

One call: write(path, model). model is a transformers causal language model in f32.
"""
import math

import gguf
import numpy as np
import tiny_llama
from gguf import MODEL_ARCH, GGMLQuantizationType

ARCHS = {
    "llama": MODEL_ARCH.LLAMA, "mistral": MODEL_ARCH.LLAMA, "mixtral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2, "qwen2_moe": MODEL_ARCH.QWEN2MOE, "qwen3": MODEL_ARCH.QWEN3,
    "qwen3_moe": MODEL_ARCH.QWEN3MOE, "gemma2": MODEL_ARCH.GEMMA2,
    "gemma3_text": MODEL_ARCH.GEMMA3, "phi3": MODEL_ARCH.PHI3, "gpt2": MODEL_ARCH.GPT2,
    "gpt_neox": MODEL_ARCH.GPTNEOX, "olmo2": MODEL_ARCH.OLMO2,
    "starcoder2": MODEL_ARCH.STARCODER2, "granite": MODEL_ARCH.GRANITE,
    "smollm3": MODEL_ARCH.SMOLLM3,
}
PAIRS = ("llama", "mistral", "mixtral", "granite", "smollm3")
ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
               "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
DEFAULTS = {"gpt2": "gelu_tanh", "gpt_neox": "gelu", "starcoder2": "gelu_tanh",
            "gemma2": "gelu_tanh", "gemma3_text": "gelu_tanh"}


def get(config, *names):
    """The first of these fields that the config has and that isn't None."""
    for name in names:
        value = getattr(config, name, None)
        if value is not None:
            return value
    return None


def head_dim(config) -> int:
    return get(config, "head_dim") or config.hidden_size // config.num_attention_heads


def rope_of(config) -> dict:
    rope = dict(get(config, "rope_parameters") or {})
    return rope.get("full_attention") or rope


def rotary(config) -> int:
    return int(head_dim(config) * rope_of(config).get("partial_rotary_factor", 1.0))


# ---- Metadata ----

def add_sizes(w, config):
    w.add_vocab_size(config.vocab_size)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_block_count(config.num_hidden_layers)
    w.add_feed_forward_length(get(config, "intermediate_size", "n_inner")
                              or 4 * config.hidden_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(get(config, "num_key_value_heads") or config.num_attention_heads)
    w.add_key_length(head_dim(config))
    w.add_value_length(head_dim(config))
    if config.model_type in ("gpt2", "gpt_neox", "starcoder2"):
        w.add_layer_norm_eps(get(config, "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon"))
    else:
        w.add_layer_norm_rms_eps(config.rms_norm_eps)


def add_rope(w, config):
    rope = rope_of(config)
    if not rope:
        return {}
    dims, original = rotary(config), rope.get("original_max_position_embeddings")
    kind, factor = rope.get("rope_type", "default"), rope.get("factor")
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_rope_dimension_count(dims + dims % 2)
    if dims % 2:
        w.add_uint32("nexus.rope_freq_dims", dims)
    if config.model_type == "gemma3_text":
        w.add_float32("gemma3.rope.freq_base_swa",
                      config.rope_parameters["sliding_attention"]["rope_theta"])
    if kind == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(factor)
    elif kind == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(factor)
        w.add_rope_scaling_orig_ctx_len(original)
        if rope.get("attention_factor") is not None:
            w.add_rope_scaling_attn_factors(
                rope["attention_factor"] / (1 + 0.1 * math.log(factor)))
        if rope.get("beta_fast") is not None:
            w.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
            w.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    elif kind == "dynamic":
        w.add_float32("nexus.rope_dynamic_factor", factor)
    elif kind == "longrope":
        ratio = config.max_position_embeddings / original
        w.add_rope_scaling_orig_ctx_len(original)
        w.add_rope_scaling_attn_factors(
            math.sqrt(1 + math.log(ratio) / math.log(original)) if ratio > 1 else 1.0)
        return {"rope_factors_short.weight": np.array(rope["short_factor"], np.float32),
                "rope_factors_long.weight": np.array(rope["long_factor"], np.float32)}
    elif kind == "llama3":
        spec = tiny_llama.Spec("", 0, config.hidden_size, config.num_attention_heads, 1, 1, 1,
                               head_dim=head_dim(config), theta=rope["rope_theta"],
                               llama3={"factor": factor, "original_context": original,
                                       "low_freq_factor": rope["low_freq_factor"],
                                       "high_freq_factor": rope["high_freq_factor"]})
        return {"rope_freqs.weight": tiny_llama.rope_factors(spec)}
    return {}


def sliding_layers(config):
    n, window = config.num_hidden_layers, get(config, "sliding_window")
    if not window:
        return None
    if get(config, "layer_types") and config.model_type != "mistral":
        flags = [t == "sliding_attention" for t in config.layer_types]
        return flags if any(flags) else None
    return [True] * n


def add_attention(w, config, arch):
    flags = sliding_layers(config)
    if flags:
        w.add_sliding_window(config.sliding_window)
        w.add_array(f"{arch}.attention.sliding_window_pattern", flags)
    if config.model_type == "granite":
        w.add_attention_scale(config.attention_multiplier)
        w.add_embedding_scale(config.embedding_multiplier)
        w.add_residual_scale(config.residual_multiplier)
        w.add_logit_scale(config.logits_scaling)
    if config.model_type.startswith("gemma"):
        w.add_attention_scale(config.query_pre_attn_scalar ** -0.5)
        w.add_final_logit_softcapping(config.final_logit_softcapping or 0.0)
    if config.model_type == "gemma2":
        w.add_attn_logit_softcapping(config.attn_logit_softcapping or 0.0)
    if config.model_type == "gpt_neox":
        w.add_parallel_residual(config.use_parallel_residual)
    if config.model_type == "smollm3":
        w.add_array("nexus.rope_layers", [bool(x) for x in config.no_rope_layers])
    if config.model_type == "gpt2" and not config.scale_attn_weights:
        w.add_attention_scale(1.0)
    if get(config, "scale_attn_by_inverse_layer_idx"):
        w.add_bool("nexus.attention_scale_by_layer", True)
    act = ACTIVATIONS[get(config, "hidden_act", "hidden_activation", "activation_function")]
    if act != DEFAULTS.get(config.model_type, "silu"):
        w.add_string("nexus.activation", act)


def add_experts(w, config):
    n = get(config, "num_local_experts", "num_experts")
    if not n:
        return
    w.add_expert_count(n)
    w.add_expert_used_count(config.num_experts_per_tok)
    if config.model_type == "mixtral":
        return
    w.add_expert_feed_forward_length(config.moe_intermediate_size)
    w.add_expert_weights_norm(config.norm_topk_prob)
    if config.model_type == "qwen2_moe":
        w.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    sparse = [i not in config.mlp_only_layers and (i + 1) % config.decoder_sparse_step == 0
              for i in range(config.num_hidden_layers)]
    if not all(sparse):
        w.add_array("nexus.expert_layers", sparse)


# ---- Tensors ----

def three_parts(x, heads):
    """GPT-NeoX: rows head by head, q k v in each -> all q, all k, all v."""
    return x.reshape(heads, 3, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)


def permuted(name, x, config):
    heads = get(config, "num_key_value_heads") if ".k_proj." in name \
        else config.num_attention_heads
    rows = x.reshape(len(x), -1)
    return tiny_llama.permute(rows, heads).reshape(x.shape)


def converted(name, x, config):
    kind = config.model_type
    if kind in PAIRS and (".q_proj." in name or ".k_proj." in name):
        return permuted(name, x, config)
    if kind.startswith("gemma") and name.endswith("norm.weight"):
        return x + 1
    if kind == "gpt_neox" and "query_key_value" in name:
        return three_parts(x, config.num_attention_heads)
    if kind == "gpt2" and x.ndim == 2 and ".h." in name:
        return x.T
    return x


def gguf_name(names, name):
    for one in names:
        found = one.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is not None:
            return found
    raise KeyError(name)


def tensors(model):
    config = model.config
    # A layer without experts between others has the names of Llama.
    names = [gguf.get_tensor_name_map(arch, config.num_hidden_layers)
             for arch in (ARCHS[config.model_type], MODEL_ARCH.LLAMA)]
    out = {}
    for name, p in model.state_dict().items():
        x = p.detach().float().numpy().copy()
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if name.endswith("experts.gate_up_proj"):
            layer = name.split(".")[2]
            gate, up = np.split(x, 2, axis=1)
            out[f"blk.{layer}.ffn_gate_exps.weight"] = gate
            out[f"blk.{layer}.ffn_up_exps.weight"] = up
        elif name.endswith("experts.down_proj"):
            out[f"blk.{name.split('.')[2]}.ffn_down_exps.weight"] = x
        else:
            if config.model_type == "mixtral":
                name = name.replace(".mlp.gate.", ".block_sparse_moe.gate.")
            out[gguf_name(names, name)] = converted(name, x, config)
    return out


def write(path, model, n_tokens=None) -> None:
    """n_tokens: fewer than the embedding has rows."""
    config = model.config
    arch = gguf.MODEL_ARCH_NAMES[ARCHS[config.model_type]]
    w = gguf.GGUFWriter(path, arch)
    w.add_name(f"tiny {config.model_type}")
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_sizes(w, config)
    add_attention(w, config, arch)
    add_experts(w, config)
    values = add_rope(w, config)
    values.update(tensors(model))
    tiny_llama.add_vocabulary(w, n_tokens or config.vocab_size)
    for name, value in values.items():
        w.add_tensor(name, np.ascontiguousarray(value, np.float32),
                     raw_dtype=GGMLQuantizationType.F32)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
