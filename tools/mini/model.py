"""model.py - the transformer of Nexus mini, as the GGUF `llama` architecture computes it.

Owns:     the shape, the weights and the forward pass used in training.
Refuses:  data, files and schedules.
Idea:     plain Llama (RMSNorm, RoPE, grouped heads, SwiGLU, tied head), so that
          any engine that runs Llama runs it. RoPE turns halves here (x[i] with
          x[i + D/2]), which vectorises; export.py permutes q and k to the
          interleaved pairs of GGUF.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Shape:
    n_vocab: int = 6144
    n_layers: int = 6
    n_embd: int = 256
    n_heads: int = 4
    n_heads_kv: int = 2
    n_ff: int = 768
    n_ctx: int = 4096
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self):
        return self.n_embd // self.n_heads


class Norm(nn.Module):
    def __init__(self, n, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def rotate(x, cos, sin):
    """RoPE on x [B, H, T, D]; cos and sin [T, D/2]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        d_kv = s.n_heads_kv * s.head_dim
        self.attn_norm = Norm(s.n_embd, s.norm_eps)
        self.qkv = nn.Linear(s.n_embd, s.n_embd + 2 * d_kv, bias=False)
        self.out = nn.Linear(s.n_embd, s.n_embd, bias=False)
        self.ffn_norm = Norm(s.n_embd, s.norm_eps)
        self.gate_up = nn.Linear(s.n_embd, 2 * s.n_ff, bias=False)
        self.down = nn.Linear(s.n_ff, s.n_embd, bias=False)

    def forward(self, x, cos, sin):
        s, (B, T, _) = self.s, x.shape
        d_kv = s.n_heads_kv * s.head_dim
        q, k, v = self.qkv(self.attn_norm(x)).split((s.n_embd, d_kv, d_kv), dim=-1)
        q = rotate(q.view(B, T, s.n_heads, s.head_dim).transpose(1, 2), cos, sin)
        k = rotate(k.view(B, T, s.n_heads_kv, s.head_dim).transpose(1, 2), cos, sin)
        v = v.view(B, T, s.n_heads_kv, s.head_dim).transpose(1, 2)
        group = s.n_heads // s.n_heads_kv
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, s.n_embd))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.embed = nn.Embedding(s.n_vocab, s.n_embd)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.n_layers))
        self.norm = Norm(s.n_embd, s.norm_eps)
        freq = s.rope_theta ** (-torch.arange(0, s.head_dim, 2, dtype=torch.float64) / s.head_dim)
        angle = torch.outer(torch.arange(s.n_ctx, dtype=torch.float64), freq)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)
        self.apply(self.start)
        for block in self.blocks:   # nothing is added to the residual stream at first
            for last in (block.out, block.down):
                nn.init.zeros_(last.weight)

        self.look_back()

    @torch.no_grad()
    def look_back(self):
        """Starts two layers as a circuit that copies: what followed this id before?

        From a random start that takes longer than the training may last; training owns
        these weights from then on like all others.
        Feature 0 of the embedding is a constant, from which layer 0 makes a head that
        looks one id back and writes that id in a code of its own; layer 2 looks where
        the code of the present id was written, and copies the id that stands there.
        """
        s, D, half = self.s, self.s.head_dim, self.s.head_dim // 2
        d_kv = s.n_heads_kv * D
        group = s.n_heads // s.n_heads_kv
        freq = s.rope_theta ** (-torch.arange(half) / half)
        self.embed.weight[:, 0] = 0.12
        fast, slow = torch.arange(half) < 6, torch.arange(half) > half // 2
        slow = torch.cat((slow, slow)).float()[:, None]      # turns little within a passage
        code, write = torch.randn(2, D, s.n_embd) / s.n_embd ** 0.5
        code[:, 0] = write[:, 0] = 0

        one_back, match = self.blocks[0], self.blocks[2]
        one_back.qkv.weight[:D, 0] = 1.1 * torch.cat((freq.cos() * fast, -freq.sin() * fast))
        one_back.qkv.weight[s.n_embd:s.n_embd + D, 0] = 1.1 * torch.cat((fast, 0 * fast))
        one_back.qkv.weight[s.n_embd + d_kv:s.n_embd + d_kv + D] = code
        one_back.out.weight[:, :D] = 0.04 * write.T
        for kv in range(s.n_heads_kv):
            q, k, v = kv * group * D, s.n_embd + kv * D, s.n_embd + d_kv + kv * D
            match.qkv.weight[q:q + D] = 2.0 * slow * code
            match.qkv.weight[k:k + D] = 2.0 * slow * write
            match.out.weight[:, q:q + D] = 0.5 * match.qkv.weight[v:v + D].T

    @staticmethod
    def start(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.04)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def hidden(self, ids):
        """Final normed states [B, T, d] of ids [B, T]."""
        x = self.embed(ids)
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.bfloat16)
        cos, sin = (t[:ids.shape[1]].to(x.dtype) for t in (self.cos, self.sin))
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.norm(x)

    def logits(self, hidden):
        return F.linear(hidden, self.embed.weight)
