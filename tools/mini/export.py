"""export.py - writes a checkpoint as models/nexus-mini.gguf.

Owns:     the names, the order and the types of GGUF's keys and tensors.
Refuses:  to write a file larger than the limit.
Idea:     matrices in Q8_0, norms in F32. GGUF's `llama` turns neighbouring
          pairs in RoPE, training turned halves, so the rows of q and k are
          interleaved here.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch

from model import Shape
from vocab import BOS, CHAT_TEMPLATE, END, SPECIALS, load

BYTES_MAX = 16_000_000


def interleaved(w, n_heads):
    """Rows of each head from halves (0, 1, .. | D/2, ..) to pairs (0, D/2, 1, D/2 + 1, ..)."""
    rows, cols = w.shape
    return w.reshape(n_heads, 2, rows // n_heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def tensors(state, s):
    """Yields (GGUF name, f32 array) in the order of the walk."""
    w = {name: t.float().numpy() for name, t in state.items()}
    d_kv = s.n_heads_kv * s.head_dim
    yield "token_embd.weight", w["embed.weight"]
    for i in range(s.n_layers):
        ours, theirs = f"blocks.{i}.", f"blk.{i}."
        q, k, v = np.split(w[ours + "qkv.weight"], (s.n_embd, s.n_embd + d_kv))
        gate, up = np.split(w[ours + "gate_up.weight"], 2)
        yield theirs + "attn_norm.weight", w[ours + "attn_norm.weight"]
        yield theirs + "attn_q.weight", interleaved(q, s.n_heads)
        yield theirs + "attn_k.weight", interleaved(k, s.n_heads_kv)
        yield theirs + "attn_v.weight", v
        yield theirs + "attn_output.weight", w[ours + "out.weight"]
        yield theirs + "ffn_norm.weight", w[ours + "ffn_norm.weight"]
        yield theirs + "ffn_gate.weight", gate
        yield theirs + "ffn_up.weight", up
        yield theirs + "ffn_down.weight", w[ours + "down.weight"]
    yield "output_norm.weight", w["norm.weight"]


def write_vocab(out, path):
    tokenizer = load(path)
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.get)
    assert [ids[t] for t in tokens] == list(range(len(tokens)))
    merges = json.loads(path.read_text())["model"]["merges"]
    kinds = [gguf.TokenType.CONTROL if t in SPECIALS else gguf.TokenType.NORMAL for t in tokens]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("llama-bpe")
    out.add_token_list(tokens)
    out.add_token_types(kinds)
    out.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    out.add_bos_token_id(ids[BOS])
    out.add_eos_token_id(ids[END])
    out.add_add_bos_token(True)
    out.add_chat_template(CHAT_TEMPLATE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("build/mini"))
    parser.add_argument("--checkpoint", type=Path, default=Path("build/mini/run/checkpoint.pt"))
    parser.add_argument("--out", type=Path, default=Path("models/nexus-mini.gguf"))
    args = parser.parse_args()
    state = torch.load(args.checkpoint, weights_only=True)
    s = Shape(**state["shape"])

    out = gguf.GGUFWriter(args.out, "llama")
    out.add_name("Nexus mini")
    out.add_description("A small model that answers from given passages.")
    out.add_license("apache-2.0")
    out.add_languages(["en"])
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    out.add_context_length(s.n_ctx)
    out.add_embedding_length(s.n_embd)
    out.add_block_count(s.n_layers)
    out.add_feed_forward_length(s.n_ff)
    out.add_head_count(s.n_heads)
    out.add_head_count_kv(s.n_heads_kv)
    out.add_rope_dimension_count(s.head_dim)
    out.add_rope_freq_base(s.rope_theta)
    out.add_layer_norm_rms_eps(s.norm_eps)
    out.add_vocab_size(s.n_vocab)
    write_vocab(out, args.data / "vocab.json")
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, w in tensors(state["model"], s):
        if w.ndim == 1:
            out.add_tensor(name, w)
        else:
            out.add_tensor(name, gguf.quantize(np.ascontiguousarray(w), q8), raw_dtype=q8)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    size = args.out.stat().st_size
    if size > BYTES_MAX:
        args.out.unlink()
        raise SystemExit(f"{args.out}: {size} bytes, at most {BYTES_MAX} may ship")
    print(f"{args.out}: {size} bytes, step {state['count'][0]}")


if __name__ == "__main__":
    main()
