"""verify.py - holds the exported GGUF against two outside judges.

`transformers` computes the logits of the file's own (dequantised) weights, with
the rows of q and k put back into halves: they must agree with the checkpoint's
but for Q8_0's rounding. And every token must be told by the vocabulary alike.
"""

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from model import Model, Shape
from vocab import load


def halves(w, n_heads):
    rows, cols = w.shape
    return w.reshape(n_heads, rows // n_heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)


def judge(reader):
    """LlamaForCausalLM with the weights of the file."""
    field = lambda key: reader.fields["llama." + key].contents()
    w = {t.name: torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).copy())
         for t in reader.tensors}
    n_heads, n_kv = field("attention.head_count"), field("attention.head_count_kv")
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=w["token_embd.weight"].shape[0], hidden_size=field("embedding_length"),
        intermediate_size=field("feed_forward_length"), num_hidden_layers=field("block_count"),
        num_attention_heads=n_heads, num_key_value_heads=n_kv,
        max_position_embeddings=field("context_length"), rope_theta=field("rope.freq_base"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"), tie_word_embeddings=True)).eval()
    theirs = {"model.embed_tokens.weight": w["token_embd.weight"],
              "lm_head.weight": w["token_embd.weight"],
              "model.norm.weight": w["output_norm.weight"]}
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
             "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    for i in range(field("block_count")):
        for their, ours in names.items():
            tensor = w[f"blk.{i}.{ours}.weight"]
            if ours in ("attn_q", "attn_k"):
                tensor = halves(tensor, n_heads if ours == "attn_q" else n_kv)
            theirs[f"model.layers.{i}.{their}.weight"] = tensor
    model.load_state_dict(theirs)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("build/mini"))
    parser.add_argument("--checkpoint", type=Path, default=Path("build/mini/run/checkpoint.pt"))
    parser.add_argument("--model", type=Path, default=Path("models/nexus-mini.gguf"))
    args = parser.parse_args()
    reader = gguf.GGUFReader(args.model)
    tokenizer = load(args.data / "vocab.json")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert [tokenizer.id_to_token(i) for i in range(len(tokens))] == tokens, "vocabularies differ"

    state = torch.load(args.checkpoint, weights_only=True)
    ours = Model(Shape(**state["shape"]))
    ours.load_state_dict(state["model"])
    text = "Package: nexus\nDescription: runs language models\n The model answers from passages. "
    ids = torch.tensor([[0] + tokenizer.encode(text * 12, add_special_tokens=False).ids])
    with torch.no_grad():
        a, b = judge(reader)(ids).logits[0], ours.logits(ours.hidden(ids))[0]
    error = ((a - b).pow(2).mean().sqrt() / b.std()).item()
    same = (a.argmax(-1) == b.argmax(-1)).float().mean().item()
    print(f"{args.model}: {ids.shape[1]} ids, error {error:.4f} of the logits' deviation, "
          f"best id the same at {100 * same:.1f} %")
    if not (np.isfinite(error) and error < 0.05):
        raise SystemExit("verify: the file does not compute what was trained")


if __name__ == "__main__":
    main()
