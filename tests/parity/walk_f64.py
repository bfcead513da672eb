"""The llama walk in double precision with numpy alone, from a GGUF file: the judge between Nexus
and transformers, and of what our files mean. Written to be read, not to be fast."""
import gguf
import numpy as np


def field(reader, name, default=None):
    f = reader.get_field(name)
    return default if f is None else f.contents()


def read(path):
    reader = gguf.GGUFReader(path)
    weights = {}
    for t in reader.tensors:
        values = gguf.quants.dequantize(t.data, t.tensor_type)
        weights[t.name] = values.reshape([int(n) for n in t.shape][::-1]).astype(np.float64)
    return reader, weights


def rmsnorm(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def rotate(x, angle):
    """x [T, H, D], pairs (x[2i], x[2i + 1]) by angle [T, D/2]."""
    a, b, cos, sin = x[..., 0::2], x[..., 1::2], np.cos(angle)[:, None], np.sin(angle)[:, None]
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = a * cos - b * sin, a * sin + b * cos
    return out


def attention(q, k, v):
    """q [T, H, D], k and v [T, H_kv, D], causal."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    score = np.einsum("thd,shd->hts", q, k) / np.sqrt(q.shape[-1])
    score = np.where(np.tri(len(q), dtype=bool)[None], score, -np.inf)
    e = np.exp(score - score.max(-1, keepdims=True))
    return np.einsum("hts,shd->thd", e / e.sum(-1, keepdims=True), v)


def logits(path, ids, cache=np.float64):
    """[n_ids, n_vocab] f64. With cache=np.float16, keys, values and the queries that meet them are
    rounded to it, as src/tensor/backend.h says of an f16 cache."""
    reader, w = read(path)
    heads = int(field(reader, "llama.attention.head_count"))
    heads_kv = int(field(reader, "llama.attention.head_count_kv"))
    eps = float(field(reader, "llama.attention.layer_norm_rms_epsilon"))
    base = float(field(reader, "llama.rope.freq_base"))
    dim = int(field(reader, "llama.rope.dimension_count"))
    freq = base ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)
    if "rope_freqs.weight" in w:
        freq = freq / w["rope_freqs.weight"]
    angle = np.arange(len(ids))[:, None] * freq
    x = w["token_embd.weight"][list(ids)]
    for i in range(int(field(reader, "llama.block_count"))):
        part = {n[len(f"blk.{i}."):-len(".weight")]: v for n, v in w.items()
                if n.startswith(f"blk.{i}.")}
        h = rmsnorm(x, part["attn_norm"], eps)
        q = (h @ part["attn_q"].T).reshape(len(ids), heads, -1)
        k = (h @ part["attn_k"].T).reshape(len(ids), heads_kv, -1)
        v = (h @ part["attn_v"].T).reshape(len(ids), heads_kv, -1)
        q, k, v = (a.astype(cache).astype(np.float64)
                   for a in (rotate(q, angle), rotate(k, angle), v))
        o = attention(q, k, v).reshape(len(ids), -1)
        x = x + o @ part["attn_output"].T
        h = rmsnorm(x, part["ffn_norm"], eps)
        gate, up = h @ part["ffn_gate"].T, h @ part["ffn_up"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ part["ffn_down"].T
    head = w.get("output.weight", w["token_embd.weight"])
    return rmsnorm(x, w["output_norm.weight"], eps) @ head.T
