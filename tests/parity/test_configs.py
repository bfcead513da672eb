"""What a config.json means: our metadata beside the attributes of transformers' configuration
objects, over random configurations that leave most fields out.

Protects: the default of every class and field, aliases of fields, old and new spellings of rope,
windows and experts by layer.

    NX_CONFIGS=200 test_configs.py    how many configurations
"""
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import warnings

import transformers

ARCHS = {"llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2",
         "qwen2_moe": "qwen2moe", "qwen3": "qwen3", "qwen3_moe": "qwen3moe", "gemma2": "gemma2",
         "gemma3_text": "gemma3", "phi3": "phi3", "gpt2": "gpt2", "gpt_neox": "gptneox",
         "olmo2": "olmo2", "starcoder2": "starcoder2", "granite": "granite", "smollm3": "smollm3"}
ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh",
               "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
GEMMA = ("gemma2", "gemma3_text")
EXPERTS = ("mixtral", "qwen2_moe", "qwen3_moe")
BOTH = (True, False)


class Maker:
    """One random config.json."""

    def __init__(self, rng, kind):
        self.rng, self.kind, self.config = rng, kind, {"model_type": kind}

    def maybe(self, field, *values, chance=0.5):
        if self.rng.random() < chance:
            self.config[field] = self.rng.choice(values)

    def gpt2(self):
        if self.rng.random() < 0.5:
            heads = self.rng.choice([2, 4])
            self.config.update(n_head=heads, n_embd=heads * 16)
        self.maybe("n_layer", 1, 3, 6)
        self.maybe("n_positions", 64, 100)
        self.maybe("n_inner", None, 77)
        self.maybe("activation_function", *ACTIVATIONS)
        self.maybe("scale_attn_weights", *BOTH)
        self.maybe("scale_attn_by_inverse_layer_idx", *BOTH)
        self.maybe("layer_norm_epsilon", 1e-3)
        self.maybe("tie_word_embeddings", *BOTH)
        return self.config

    def sizes(self):
        kind, rng = self.kind, self.rng
        if rng.random() < 0.6:
            heads = rng.choice([2, 4, 8])
            self.config.update(num_attention_heads=heads, hidden_size=heads * rng.choice([16, 32]))
            null = [None] if kind in ("llama", "mistral", "phi3", "qwen2") else []
            if kind != "gpt_neox":
                self.config["num_key_value_heads"] = rng.choice([1, heads // 2, heads] + null)
        self.maybe("num_hidden_layers", *range(1, 10), chance=0.8)
        self.maybe("intermediate_size", 64, 99)
        self.maybe("max_position_embeddings", 64, 4096)
        self.maybe("vocab_size", 100, 3333)
        self.maybe("tie_word_embeddings", *BOTH)
        if kind in ("llama", "mistral", "mixtral", "qwen3", "qwen3_moe", *GEMMA):
            self.maybe("head_dim", 16, 64)
        eps = {"gpt_neox": "layer_norm_eps", "starcoder2": "norm_epsilon"}
        self.maybe(eps.get(kind, "rms_norm_eps"), 1e-3)
        act = "hidden_activation" if kind in GEMMA else "hidden_act"
        self.maybe(act, *ACTIVATIONS, chance=0.3)

    def layers(self):
        windows = (7, 50) if self.kind in GEMMA else (None, 7, 4096)
        for field in ("attention_bias", "mlp_bias", "use_bias", "qkv_bias", "norm_topk_prob",
                      "use_sliding_window", "use_parallel_residual"):
            self.maybe(field, *BOTH, chance=0.4)
        self.maybe("sliding_window", *windows)
        self.maybe("max_window_layers", *range(6))
        if self.kind == "gemma3_text":
            self.maybe("sliding_window_pattern", 2, 3, 6)
            self.maybe("rope_local_base_freq", 777.0)
        if self.kind in GEMMA:
            self.maybe("query_pre_attn_scalar", 64)
            self.maybe("attn_logit_softcapping", None, 9.0)
            self.maybe("final_logit_softcapping", None, 9.0)
        if self.kind == "granite":
            for field in ("attention_multiplier", "embedding_multiplier", "residual_multiplier",
                          "logits_scaling"):
                self.maybe(field, 0.5, 3.0)
        if self.kind == "smollm3":
            self.maybe("no_rope_layer_interval", 2, 3)

    def experts(self):
        self.maybe("num_experts_per_tok", 1, 2)
        field = "num_experts" if self.kind == "qwen2_moe" else "num_local_experts"
        self.maybe(field, *((4, 5) if "num_experts_per_tok" in self.config else (64,)))
        self.maybe("moe_intermediate_size", 48)
        self.maybe("shared_expert_intermediate_size", 56)
        self.maybe("decoder_sparse_step", 2, chance=0.3)
        self.maybe("mlp_only_layers", [0], chance=0.3)

    def rope(self):
        if self.kind == "gpt_neox":
            self.maybe("rotary_pct", 0.5, 1.0)
            self.maybe("rotary_emb_base", 5000)
        else:
            self.maybe("rope_theta", 5000.0, 1e6)
        if self.rng.random() < 0.5 or self.kind in ("gemma3_text", "phi3"):
            return
        kind = self.rng.choice(["linear", "dynamic", "llama3", "yarn", "default"])
        rope = {self.rng.choice(["type", "rope_type"]): kind}
        if kind != "default":
            rope["factor"] = self.rng.choice([2.0, 4.0])
        if kind == "llama3":
            rope.update(low_freq_factor=1.0, high_freq_factor=4.0)
        if kind in ("llama3", "yarn"):
            rope["original_max_position_embeddings"] = 32
        if self.rng.random() < 0.5:
            self.config["rope_scaling"] = rope
        else:
            self.config["rope_parameters"] = {"rope_theta": 20000.0, **rope}

    def make(self):
        if self.kind == "gpt2":
            return self.gpt2()
        self.sizes()
        self.layers()
        self.rope()
        if self.kind in EXPERTS:
            self.experts()
        return self.config


# ---- What transformers' object says, under our keys ----

def first(c, *fields):
    return next(v for f in fields if (v := getattr(c, f, None)) is not None)


def sizes(c, kind):
    heads = c.num_attention_heads
    dim = getattr(c, "head_dim", None) or c.hidden_size // heads
    norm = "layer_norm" if kind in ("gpt2", "gpt_neox", "starcoder2") else "layer_norm_rms"
    act = first(c, "activation_function", "hidden_activation", "hidden_act")
    return {
        "block_count": c.num_hidden_layers, "embedding_length": c.hidden_size,
        "context_length": c.max_position_embeddings, "vocab_size": c.vocab_size,
        "attention.head_count": heads, "attention.key_length": dim,
        "attention.value_length": dim,
        "attention.head_count_kv": getattr(c, "num_key_value_heads", None) or heads,
        "feed_forward_length": (c.n_inner or 4 * c.n_embd) if kind == "gpt2"
        else c.intermediate_size,
        f"attention.{norm}_epsilon": first(c, "layer_norm_epsilon", "layer_norm_eps",
                                           "norm_epsilon", "rms_norm_eps"),
        "nexus.activation": ACTIVATIONS[act], "nexus.head_tied": c.tie_word_embeddings,
    }


def rope(c, kind):
    rp, out = c.rope_parameters, {}
    if kind == "gemma3_text":
        out["rope.freq_base_swa"] = rp["sliding_attention"]["rope_theta"]
        rp = rp["full_attention"]
    dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    part = rp.get("partial_rotary_factor", 1.0) if kind in ("phi3", "gpt_neox") else 1.0
    how = rp["rope_type"]
    out |= {"rope.freq_base": rp["rope_theta"],
            "rope.dimension_count": (int(dim * part) + 1) // 2 * 2,
            "rope.scaling.type": how if how in ("linear", "yarn") else None,
            "rope.scaling.factor": rp["factor"] if how in ("linear", "yarn") else None,
            "nexus.rope_dynamic_factor": rp["factor"] if how == "dynamic" else None}
    if how == "yarn":
        out["rope.scaling.original_context_length"] = rp["original_max_position_embeddings"]
    return out


def window(c, kind):
    n, types = c.num_hidden_layers, getattr(c, "layer_types", None)
    size = getattr(c, "sliding_window", None)
    slide = [False] * n
    if kind in ("mistral", "mixtral", "phi3", "starcoder2", "qwen3_moe"):
        slide = [size is not None] * n
    elif kind in ("qwen2", "qwen3", "qwen2_moe", *GEMMA):
        slide = [t == "sliding_attention" and bool(size) for t in types]
    elif kind == "smollm3":
        slide = [c.use_sliding_window and t == "sliding_attention" for t in types]
    some = any(slide)
    return {"attention.sliding_window": size if some else None,
            "attention.sliding_window_pattern": slide if some else None}


def experts(c, kind):
    out = {"expert_count": first(c, "num_local_experts", "num_experts"),
           "expert_used_count": c.num_experts_per_tok}
    if kind == "mixtral":
        return out
    has = [i not in c.mlp_only_layers and (i + 1) % c.decoder_sparse_step == 0
           for i in range(c.num_hidden_layers)]
    out |= {"expert_feed_forward_length": c.moe_intermediate_size,
            "expert_weights_norm": c.norm_topk_prob,
            "nexus.expert_layers": None if all(has) else has}
    if kind == "qwen2_moe":
        out["expert_shared_feed_forward_length"] = c.shared_expert_intermediate_size
    return out


def biases(c, kind):
    if kind in ("mistral", "mixtral"):
        return {"nexus.attention_bias": False, "nexus.ffn_bias": False}
    if kind == "starcoder2":
        return {"nexus.attention_bias": c.use_bias, "nexus.ffn_bias": c.use_bias}
    out = {}
    if kind == "qwen2_moe":
        out["nexus.attention_bias"] = c.qkv_bias
    elif kind not in ("qwen2", "phi3", "gpt2"):
        out["nexus.attention_bias"] = c.attention_bias
    if kind in ("llama", "granite", "smollm3"):
        out["nexus.ffn_bias"] = c.mlp_bias
    return out


def extras(c, kind):
    out = {}
    if kind in GEMMA:
        out = {"attention.scale": 1 / math.sqrt(c.query_pre_attn_scalar),
               "final_logit_softcapping": c.final_logit_softcapping or 0,
               "embedding_scale": math.sqrt(c.hidden_size), "nexus.norm_plus_one": True,
               "attn_logit_softcapping": c.attn_logit_softcapping or 0 if kind == "gemma2"
               else None}
    if kind == "granite":
        out = {"attention.scale": c.attention_multiplier, "logit_scale": c.logits_scaling,
               "embedding_scale": c.embedding_multiplier, "residual_scale": c.residual_multiplier}
    if kind == "smollm3":
        out = {"nexus.rope_layers": [bool(x) for x in c.no_rope_layers]}
    if kind == "gpt_neox":
        out = {"use_parallel_residual": c.use_parallel_residual}
    if kind == "gpt2":
        out = {"attention.scale": None if c.scale_attn_weights else 1,
               "nexus.attention_scale_by_layer": c.scale_attn_by_inverse_layer_idx or None}
    return out


def expected(c, kind):
    keys = sizes(c, kind) | window(c, kind) | biases(c, kind) | extras(c, kind)
    if kind != "gpt2":
        keys |= rope(c, kind)
    if kind in EXPERTS:
        keys |= experts(c, kind)
    keys["nexus.rope_halves"] = True if ARCHS[kind] in ("llama", "granite", "smollm3") else None
    return {k if k.startswith("nexus.") else f"{ARCHS[kind]}.{k}": v for k, v in keys.items()}


def same(got, want):
    if isinstance(want, float) and isinstance(got, (int, float)):
        return abs(got - want) <= 1e-6 * abs(want)
    return got == want and isinstance(got, bool) == isinstance(want, bool)


def main():
    count = int(os.environ.get("NX_CONFIGS", "200"))
    tool = os.path.join(os.environ["NX_BUILD_DIR"], "tests/parity/dump_metadata")
    rng, cases, wrong, refused = random.Random(1), [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            kind = rng.choice(list(ARCHS))
            config = Maker(rng, kind).make()
            path = os.path.join(folder, str(i))
            os.mkdir(path)
            with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as f:
                json.dump(config, f)
            try:
                cases.append((path, kind, config,
                              transformers.AutoConfig.from_pretrained(path)))
            except Exception:  # pylint: disable=broad-except
                refused += 1  # a mixture that the class itself doesn't take
        lines = subprocess.run([tool] + [c[0] for c in cases], capture_output=True, check=True,
                               text=True).stdout.splitlines()
        assert len(lines) == len(cases)
    for (_, kind, config, theirs), line in zip(cases, lines):
        got = json.loads(line)
        if isinstance(got, str):
            print(f"{config}: {got}")
            wrong += 1
            continue
        for key, want in expected(theirs, kind).items():
            if not same(got.get(key), want):
                print(f"{config}: {key} is {got.get(key)}, expected {want}")
                wrong += 1
    print(f"{len(cases)} configurations, {refused} refused by transformers, {wrong} differences")
    return 1 if wrong or len(cases) < count * 0.8 else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    sys.exit(main())
