"""Random tiny Llama models: made by transformers, written by the gguf package as llama.cpp's
converter writes real ones, with logits that transformers computes.

One call: spec = Spec(...); model = build(spec); write_gguf(path, model, spec);
          rows = logits(model, ids)
"""
import dataclasses
import math

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType
from transformers import LlamaConfig, LlamaForCausalLM


@dataclasses.dataclass
class Spec:
    name: str
    seed: int
    hidden: int
    heads: int
    heads_kv: int
    ffn: int
    vocab: int                     # at least 260: three control tokens, 256 bytes, one word
    layers: int = 2
    head_dim: int | None = None    # None: hidden / heads
    tied: bool = False
    theta: float = 10000.0
    eps: float = 1e-5
    context: int = 512
    llama3: dict | None = None     # factor, low_freq_factor, high_freq_factor, original_context
    gain: float | None = 1.0       # weights have a deviation of gain / sqrt(inputs); None: 0.02,
                                   # norms of 1: transformers' own initialisation

    @property
    def dim(self) -> int:
        return self.head_dim or self.hidden // self.heads


def config(spec: Spec) -> LlamaConfig:
    rope = {"rope_type": "default", "rope_theta": spec.theta}
    if spec.llama3:
        rope = {
            "rope_type": "llama3", "rope_theta": spec.theta, "factor": spec.llama3["factor"],
            "low_freq_factor": spec.llama3["low_freq_factor"],
            "high_freq_factor": spec.llama3["high_freq_factor"],
            "original_max_position_embeddings": spec.llama3["original_context"],
        }
    return LlamaConfig(
        vocab_size=spec.vocab, hidden_size=spec.hidden, intermediate_size=spec.ffn,
        num_hidden_layers=spec.layers, num_attention_heads=spec.heads,
        num_key_value_heads=spec.heads_kv, head_dim=spec.head_dim,
        max_position_embeddings=spec.context, rms_norm_eps=spec.eps, rope_parameters=rope,
        tie_word_embeddings=spec.tied, attn_implementation="eager")


def build(spec: Spec) -> LlamaForCausalLM:
    """A model with random weights; with a gain, such that all matter: norms differ from 1,
    attention is not flat."""
    torch.manual_seed(spec.seed)
    model = LlamaForCausalLM(config(spec)).float().eval()
    if spec.gain is None:
        return model
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(1.0 + 0.2 * torch.randn(p.shape))
            elif "embed_tokens" in name:
                p.copy_(torch.randn(p.shape))
            else:
                p.copy_(torch.randn(p.shape) * spec.gain / math.sqrt(p.shape[1]))
    return model


def logits(model: LlamaForCausalLM, ids) -> np.ndarray:
    """[n_ids, n_vocab] f32."""
    with torch.no_grad():
        out = model(torch.tensor([list(ids)]), use_cache=False)
    return out.logits[0].float().numpy()


def permute(w: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q and k from halves (x[i], x[i + dim/2]) to pairs (x[2i], x[2i + 1])."""
    return (w.reshape(heads, 2, w.shape[0] // heads // 2, w.shape[1])
            .swapaxes(1, 2).reshape(w.shape))


def unpermute(w: np.ndarray, heads: int) -> np.ndarray:
    """Back from pairs to halves."""
    return (w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1])
            .swapaxes(1, 2).reshape(w.shape))


def rope_factors(spec: Spec) -> np.ndarray:
    """What the converter puts into rope_freqs.weight: each frequency is divided by its factor."""
    s = spec.llama3
    low_wavelen = s["original_context"] / s["low_freq_factor"]
    high_wavelen = s["original_context"] / s["high_freq_factor"]
    freqs = 1.0 / (spec.theta ** (torch.arange(0, spec.dim, 2, dtype=torch.float32) / spec.dim))
    factors = []
    for freq in freqs.tolist():
        wavelen = 2 * math.pi / freq
        if wavelen < high_wavelen:
            factors.append(1.0)
        elif wavelen > low_wavelen:
            factors.append(s["factor"])
        else:
            smooth = ((s["original_context"] / wavelen - s["low_freq_factor"])
                      / (s["high_freq_factor"] - s["low_freq_factor"]))
            factors.append(1.0 / ((1.0 - smooth) / s["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


LAYER_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name: str) -> str:
    """model.layers.3.self_attn.q_proj.weight -> blk.3.attn_q.weight"""
    whole = {"model.embed_tokens.weight": "token_embd.weight",
             "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{LAYER_NAMES[rest.removesuffix('.weight')]}.weight"


def tensors(model: LlamaForCausalLM, spec: Spec) -> dict[str, np.ndarray]:
    """GGUF name -> f32 values, in the converter's row order."""
    out = {}
    if spec.llama3:
        out["rope_freqs.weight"] = rope_factors(spec)
    for name, p in model.named_parameters():
        value = p.detach().numpy().copy()
        if "q_proj" in name:
            value = permute(value, spec.heads)
        elif "k_proj" in name:
            value = permute(value, spec.heads_kv)
        out[gguf_name(name)] = value
    return out


def add_vocabulary(writer: gguf.GGUFWriter, n: int) -> None:
    """A SentencePiece-style vocabulary of n tokens: controls, bytes, then made-up words."""
    tokens, scores, types = [b"<unk>", b"<s>", b"</s>"], [0.0] * 3, [2, 3, 3]
    for byte in range(256):
        tokens.append(f"<0x{byte:02X}>".encode())
        scores.append(0.0)
        types.append(6)
    for i in range(n - len(tokens)):
        tokens.append(f"\u2581w{i}".encode())
        scores.append(-1.0 - i)
        types.append(1)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def write_gguf(path, model: LlamaForCausalLM, spec: Spec, quantised=None) -> None:
    """quantised: GGUF name -> (type, blocks) to write in place of the f32 values."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(spec.name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(spec.vocab)
    writer.add_context_length(spec.context)
    writer.add_embedding_length(spec.hidden)
    writer.add_block_count(spec.layers)
    writer.add_feed_forward_length(spec.ffn)
    writer.add_head_count(spec.heads)
    writer.add_head_count_kv(spec.heads_kv)
    writer.add_layer_norm_rms_eps(spec.eps)
    writer.add_rope_freq_base(spec.theta)
    writer.add_rope_dimension_count(spec.dim)
    if spec.head_dim:
        writer.add_key_length(spec.head_dim)
        writer.add_value_length(spec.head_dim)
    add_vocabulary(writer, spec.vocab)
    for name, value in tensors(model, spec).items():
        if quantised and name in quantised:
            qtype, blocks = quantised[name]
            writer.add_tensor(name, blocks, raw_dtype=qtype)
        else:
            writer.add_tensor(name, value, raw_dtype=GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
