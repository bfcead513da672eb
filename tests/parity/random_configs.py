"""Configurations of every architecture with fields drawn by chance, for long counts of
test_architectures.py: --random N.

One call: case = draw(kind, seed)
"""
import architectures as arch
import numpy as np
import transformers as tf
from architectures import Case, rope, sized

CONFIGS = {
    "llama": tf.LlamaConfig, "mistral": tf.MistralConfig, "mixtral": tf.MixtralConfig,
    "qwen2": tf.Qwen2Config, "qwen2_moe": tf.Qwen2MoeConfig, "qwen3": tf.Qwen3Config,
    "qwen3_moe": tf.Qwen3MoeConfig, "gemma2": tf.Gemma2Config, "gemma3_text": tf.Gemma3TextConfig,
    "phi3": tf.Phi3Config, "gpt2": tf.GPT2Config, "gpt_neox": tf.GPTNeoXConfig,
    "olmo2": tf.Olmo2Config, "starcoder2": tf.Starcoder2Config, "granite": tf.GraniteConfig,
    "smollm3": tf.SmolLM3Config,
}
WINDOWED = {"mistral", "mixtral", "phi3", "starcoder2"}
BIASED = {"llama", "qwen3", "qwen3_moe", "gemma2", "gemma3_text", "olmo2", "granite", "smollm3"}
HEADED = {"llama", "mistral", "mixtral", "qwen3", "qwen3_moe", "gemma2", "gemma3_text"}


class Draw:
    """One configuration in the making."""

    def __init__(self, kind, seed):
        self.kind, self.rng = kind, np.random.default_rng([seed, list(CONFIGS).index(kind)])
        self.dim = 2 * self.between(4, 20)
        self.heads_kv = self.between(1, 4)
        self.heads = self.heads_kv * self.between(1, 4)
        self.layers = self.between(1, 5)

    def between(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def maybe(self, share=0.5):
        return bool(self.rng.random() < share)

    def one_of(self, *values):
        return values[self.between(0, len(values) - 1)]

    def real(self, low, high):
        return round(float(self.rng.uniform(low, high)), 3)

    def rope(self):
        theta = float(self.one_of(10000.0, 500000.0, 1e6, 777.0))
        more = {}
        if self.kind in ("phi3", "gpt_neox") and self.maybe():
            more["partial_rotary_factor"] = self.one_of(0.25, 0.5, 0.75)
        kinds = ["default", "default", "linear", "dynamic", "yarn", "llama3"]
        kind = self.one_of(*["default", "longrope"] if self.kind == "phi3" else kinds)
        if kind in ("linear", "dynamic", "yarn", "llama3"):
            more["factor"] = self.real(1.5, 8)
        if kind in ("yarn", "llama3"):
            more["original_max_position_embeddings"] = self.one_of(16, 64, 256)
        if kind == "llama3":
            more |= {"low_freq_factor": 1.0, "high_freq_factor": float(self.between(2, 6))}
        if kind == "yarn" and self.maybe(0.3):
            more |= {"beta_fast": float(self.between(8, 40)), "beta_slow": float(self.between(1, 4))}
        if kind == "yarn" and self.maybe(0.3):
            more["attention_factor"] = self.real(0.8, 1.5)
        if kind == "longrope":
            n = int(self.dim * more.get("partial_rotary_factor", 1.0)) // 2
            more |= {"short_factor": [self.real(1, 3) for _ in range(n)],
                     "long_factor": [self.real(1, 6) for _ in range(n)],
                     "original_max_position_embeddings": self.one_of(16, 256)}
        return rope(kind, theta, **more)

    def common(self):
        fields = sized(self.dim * self.heads, self.between(20, 150), self.heads, self.heads_kv,
                       layers=self.layers, rope_parameters=self.rope(),
                       tie_word_embeddings=self.maybe(), pad_token_id=None)
        fields["vocab_size"] += self.one_of(0, 0, 0, 1, 37)
        eps = self.one_of(1e-6, 1e-5, 1e-3)
        layer_norm = {"starcoder2": "norm_epsilon", "gpt_neox": "layer_norm_eps"}
        fields[layer_norm.get(self.kind, "rms_norm_eps")] = eps
        if self.kind in HEADED and self.maybe():
            fields["hidden_size"] = self.heads * self.between(2, 140 // self.heads)
            fields["head_dim"] = self.dim
        elif self.kind in HEADED:
            fields["head_dim"] = self.dim
        if self.kind in WINDOWED:
            fields["sliding_window"] = self.one_of(None, None, self.between(1, 39))
        if self.kind in BIASED:
            fields["attention_bias"] = self.maybe(0.4)
        if self.kind in ("llama", "granite", "smollm3"):
            fields["mlp_bias"] = self.maybe(0.4)
        if self.kind not in ("gemma2", "gemma3_text") and self.maybe(0.3):
            fields["hidden_act"] = self.one_of("gelu", "gelu_new", "relu", "silu",
                                               "gelu_pytorch_tanh")
        return fields

    def layer_types(self):
        return [self.one_of("full_attention", "sliding_attention") for _ in range(self.layers)]

    def own(self):
        """What only this kind has."""
        return getattr(self, self.kind, dict)()

    def experts(self):
        n = self.between(2, 9)
        return n, self.between(1, n)

    def mixtral(self):
        n, k = self.experts()
        return {"num_local_experts": n, "num_experts_per_tok": k}

    def qwen2(self):
        return {"use_sliding_window": self.maybe(), "sliding_window": self.between(1, 39),
                "max_window_layers": self.between(0, self.layers)}

    qwen3 = qwen2

    def qwen2_moe(self):
        fields = self.qwen3_moe() | {"shared_expert_intermediate_size": self.between(10, 90),
                                     "qkv_bias": self.maybe(0.7)}
        return fields | {"max_window_layers": self.between(0, self.layers)}

    def qwen3_moe(self):
        n, k = self.experts()
        return {"num_experts": n, "num_experts_per_tok": k, "norm_topk_prob": self.maybe(),
                "moe_intermediate_size": self.between(10, 90),
                "decoder_sparse_step": self.one_of(1, 1, 2),
                "mlp_only_layers": [0] if self.maybe(0.2) else [],
                "use_sliding_window": self.maybe(0.3), "sliding_window": self.between(1, 39)}

    def gemma2(self):
        fields = {"query_pre_attn_scalar": self.between(8, 80),
                  "sliding_window": self.between(1, 39),
                  "attn_logit_softcapping": self.one_of(None, 50.0, self.real(1, 9)),
                  "final_logit_softcapping": self.one_of(None, 30.0, self.real(1, 9)),
                  "hidden_activation": self.one_of("gelu_pytorch_tanh", "gelu", "silu")}
        return fields | ({"layer_types": self.layer_types()} if self.maybe(0.4) else {})

    def gemma3_text(self):
        full = rope("linear", 1e6, factor=8.0) if self.maybe() else rope(theta=2e5)
        local = rope(theta=float(self.one_of(10000.0, 5000.0)))
        return self.gemma2() | {
            "attn_logit_softcapping": None,
            "rope_parameters": {"full_attention": full, "sliding_attention": local}}

    def phi3(self):
        return {"original_max_position_embeddings": 512}

    def granite(self):
        return {"embedding_multiplier": self.real(0.5, 12), "logits_scaling": self.real(0.5, 9),
                "residual_multiplier": self.real(0.1, 2), "attention_multiplier": self.real(0.02, 0.5)}

    def smollm3(self):
        fields = {"no_rope_layer_interval": self.between(2, 4)}
        if self.maybe(0.4):
            fields["no_rope_layers"] = [self.between(0, 1) for _ in range(self.layers)]
        if self.maybe(0.3):
            fields |= {"use_sliding_window": True, "sliding_window": self.between(1, 39),
                       "layer_types": self.layer_types()}
        return fields

    def gpt_neox(self):
        return {"use_parallel_residual": self.maybe(), "attention_bias": self.maybe(0.7),
                "num_key_value_heads": None}

    def starcoder2(self):
        return {"use_bias": self.maybe(), "residual_dropout": 0.0, "embedding_dropout": 0.0}

    def gpt2(self):
        return {"vocab_size": arch.VOCAB, "n_positions": 80, "n_embd": self.dim * self.heads,
                "n_layer": self.layers, "n_head": self.heads,
                "n_inner": self.one_of(None, self.between(20, 150)),
                "activation_function": self.one_of("gelu_new", "gelu", "relu", "silu"),
                "tie_word_embeddings": self.maybe(), "scale_attn_weights": self.maybe(0.8),
                "scale_attn_by_inverse_layer_idx": self.maybe(0.3),
                "layer_norm_epsilon": self.one_of(1e-5, 1e-3)}


def draw(kind, seed):
    d = Draw(kind, seed)
    fields = d.own() if kind == "gpt2" else d.common() | d.own()
    fields = {k: v for k, v in fields.items() if v is not None or k not in ("num_key_value_heads",)}
    return Case(kind, f"random {seed}", CONFIGS[kind](**fields), "random")
