"""Random tiny models of every architecture: made by transformers, saved as its users save them.

One call: for case in CASES: model = build(case); save(model, folder, dtype)
          rows = logits(model, ids); texts, gaps = greedy(model, prompts, n)
"""
import dataclasses
import json
import os

import numpy as np
import tokenizers
import torch
import transformers as tf

VOCAB = 300    # of the tokenizer; the models' may be larger


@dataclasses.dataclass
class Case:
    kind: str                 # model_type
    name: str                 # what is particular about it
    config: tf.PretrainedConfig
    no_llama: str = ""        # why llama.cpp can't judge it


def rope(kind="default", theta=10000.0, **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


def sized(hidden, ffn, heads, heads_kv, layers=2, **more):
    return {"vocab_size": VOCAB, "hidden_size": hidden, "intermediate_size": ffn,
            "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": heads_kv, "max_position_embeddings": 512, **more}


IGNORED = "llama.cpp reads no sliding window for this architecture"
FIXED = "llama.cpp has this fixed in its code"


def llamas():
    yield Case("llama", "gqa 4/2", tf.LlamaConfig(**sized(64, 160, 4, 2)))
    yield Case("llama", "tied, biases, head_dim", tf.LlamaConfig(
        **sized(96, 130, 3, 1, head_dim=48, tie_word_embeddings=True, attention_bias=True,
                mlp_bias=True)))
    yield Case("llama", "vocabulary beyond the tokenizer's", tf.LlamaConfig(
        **(sized(48, 100, 6, 6, layers=3, rms_norm_eps=1e-5) | {"vocab_size": 337})))
    llama3 = rope("llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=64)
    yield Case("llama", "rope llama3", tf.LlamaConfig(
        **sized(64, 120, 2, 1, rope_parameters=llama3)))
    yarn = rope("yarn", factor=4.0, original_max_position_embeddings=64)
    yield Case("llama", "rope yarn", tf.LlamaConfig(**sized(64, 120, 2, 2, rope_parameters=yarn)))
    yield Case("llama", "rope linear", tf.LlamaConfig(
        **sized(64, 120, 4, 2, rope_parameters=rope("linear", factor=3.0))))
    for name, context in (("beyond its context", 32), ("within", 128)):
        dynamic = sized(64, 120, 4, 2, rope_parameters=rope("dynamic", factor=4.0))
        yield Case("llama", f"rope dynamic, {name}", tf.LlamaConfig(**(dynamic | {
            "max_position_embeddings": context})), "llama.cpp knows no dynamic scaling")


def mistrals():
    yield Case("mistral", "gqa 8/2", tf.MistralConfig(**sized(64, 160, 8, 2, sliding_window=None)))
    yield Case("mistral", "window 11, head_dim, theta", tf.MistralConfig(
        **sized(80, 111, 4, 1, head_dim=32, sliding_window=11,
                rope_parameters=rope(theta=1e6))), IGNORED)
    yield Case("mistral", "tied, three layers", tf.MistralConfig(
        **sized(48, 100, 3, 3, layers=3, tie_word_embeddings=True, sliding_window=4096)))


def mixtrals():
    yield Case("mixtral", "2 of 8", tf.MixtralConfig(**sized(64, 96, 4, 2)))
    yield Case("mixtral", "3 of 5, window 9", tf.MixtralConfig(
        **sized(48, 64, 3, 1, num_local_experts=5, num_experts_per_tok=3, sliding_window=9)),
        IGNORED)
    yield Case("mixtral", "1 of 4, head_dim, tied", tf.MixtralConfig(
        **sized(64, 80, 4, 4, layers=3, head_dim=24, num_local_experts=4, num_experts_per_tok=1,
                tie_word_embeddings=True)))


def qwens():
    yield Case("qwen2", "gqa 4/2", tf.Qwen2Config(**sized(64, 160, 4, 2)))
    yield Case("qwen2", "tied, theta", tf.Qwen2Config(
        **sized(96, 112, 6, 3, tie_word_embeddings=True, rope_parameters=rope(theta=1e6))))
    yield Case("qwen2", "window 13 from layer 1", tf.Qwen2Config(
        **sized(48, 100, 3, 1, layers=4, use_sliding_window=True, sliding_window=13,
                max_window_layers=1)), IGNORED)
    moe = {"moe_intermediate_size": 48, "shared_expert_intermediate_size": 80}
    yield Case("qwen2_moe", "3 of 6 and a shared one", tf.Qwen2MoeConfig(
        **sized(64, 120, 4, 2, num_experts=6, num_experts_per_tok=3, **moe)))
    yield Case("qwen2_moe", "2 of 4, normalised, sparse steps", tf.Qwen2MoeConfig(
        **sized(48, 90, 3, 1, layers=4, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True,
                decoder_sparse_step=2, mlp_only_layers=[3], **moe)), FIXED)
    yield Case("qwen2_moe", "1 of 8, tied", tf.Qwen2MoeConfig(
        **sized(64, 64, 2, 2, num_experts=8, num_experts_per_tok=1, tie_word_embeddings=True,
                **moe)))
    yield Case("qwen3", "gqa 4/2", tf.Qwen3Config(**sized(64, 160, 4, 2, head_dim=32)))
    yield Case("qwen3", "tied, theta", tf.Qwen3Config(
        **sized(72, 130, 3, 1, head_dim=24, tie_word_embeddings=True,
                rope_parameters=rope(theta=1e6))))
    yield Case("qwen3", "biases, window 7 from layer 2", tf.Qwen3Config(
        **sized(64, 100, 4, 4, layers=3, head_dim=16, attention_bias=True, use_sliding_window=True,
                sliding_window=7, max_window_layers=2)), IGNORED)
    moe = {"moe_intermediate_size": 40, "head_dim": 32}
    yield Case("qwen3_moe", "2 of 8", tf.Qwen3MoeConfig(
        **sized(64, 120, 4, 2, num_experts=8, num_experts_per_tok=2, norm_topk_prob=True, **moe)))
    yield Case("qwen3_moe", "4 of 6, not normalised, a dense layer", tf.Qwen3MoeConfig(
        **sized(48, 90, 3, 1, layers=3, num_experts=6, num_experts_per_tok=4, mlp_only_layers=[1],
                **moe)), FIXED)
    yield Case("qwen3_moe", "3 of 16, tied", tf.Qwen3MoeConfig(
        **sized(64, 64, 2, 2, num_experts=16, num_experts_per_tok=3, norm_topk_prob=True,
                tie_word_embeddings=True, **moe)))


def gemmas():
    yield Case("gemma2", "gqa 4/2, window 16", tf.Gemma2Config(
        **sized(64, 160, 4, 2, layers=3, head_dim=32, query_pre_attn_scalar=32,
                sliding_window=16)))
    yield Case("gemma2", "tight caps, own scale", tf.Gemma2Config(
        **sized(72, 100, 3, 1, head_dim=24, query_pre_attn_scalar=40, sliding_window=9,
                attn_logit_softcapping=2.0, final_logit_softcapping=4.0)), FIXED)
    yield Case("gemma2", "no caps, biases", tf.Gemma2Config(
        **sized(48, 96, 2, 2, head_dim=16, query_pre_attn_scalar=16, attention_bias=True,
                attn_logit_softcapping=None, final_logit_softcapping=None)), FIXED)

    def gemma3(local, full):
        return {"sliding_attention": rope(theta=local), "full_attention": full}
    yield Case("gemma3_text", "gqa 4/2, window 16", tf.Gemma3TextConfig(
        **sized(64, 160, 4, 2, layers=7, head_dim=32, query_pre_attn_scalar=32, sliding_window=16,
                rope_parameters=gemma3(10000.0, rope(theta=1e6)))))
    yield Case("gemma3_text", "linear scaling, window 8", tf.Gemma3TextConfig(
        **sized(72, 100, 3, 1, layers=6, head_dim=24, query_pre_attn_scalar=24, sliding_window=8,
                rope_parameters=gemma3(10000.0, rope("linear", 1e6, factor=8.0)))))
    yield Case("gemma3_text", "own scale, own layers, a cap", tf.Gemma3TextConfig(
        **sized(48, 96, 2, 2, layers=3, head_dim=16, query_pre_attn_scalar=20, sliding_window=11,
                layer_types=["full_attention", "sliding_attention", "full_attention"],
                final_logit_softcapping=5.0,
                rope_parameters=gemma3(5000.0, rope(theta=2e5)))), FIXED)


def phis():
    pad = {"pad_token_id": None}
    yield Case("phi3", "gqa 4/2, window 12", tf.Phi3Config(
        **sized(64, 160, 4, 2, sliding_window=12, **pad)), IGNORED)
    yield Case("phi3", "partial rotary, tied", tf.Phi3Config(
        **sized(64, 100, 2, 1, tie_word_embeddings=True,
                rope_parameters=rope(partial_rotary_factor=0.75), **pad)))
    yield Case("phi3", "all heads", tf.Phi3Config(**sized(96, 120, 6, 6, layers=3, **pad)))
    rng = np.random.default_rng(5)
    for name, original, partial in (("long factors", 16, 1.0), ("short factors", 256, 0.5)):
        n = int(32 * partial) // 2
        factors = {"short_factor": (1 + rng.random(n)).round(3).tolist(),
                   "long_factor": (1 + 3 * rng.random(n)).round(3).tolist()}
        yield Case("phi3", f"longrope, {name}", tf.Phi3Config(
            **sized(64, 100, 2, 1, original_max_position_embeddings=original,
                    rope_parameters=rope("longrope", partial_rotary_factor=partial, **factors,
                                         original_max_position_embeddings=original), **pad)))


def gpts():
    def gpt2(n_embd, n_layer, n_head, **more):
        return tf.GPT2Config(vocab_size=VOCAB, n_positions=128, n_embd=n_embd, n_layer=n_layer,
                             n_head=n_head, **more)
    yield Case("gpt2", "4 heads", gpt2(64, 2, 4))
    yield Case("gpt2", "untied, own width", gpt2(48, 3, 3, n_inner=100, tie_word_embeddings=False))
    yield Case("gpt2", "relu, scaled by layer", gpt2(
        60, 3, 2, activation_function="relu", scale_attn_by_inverse_layer_idx=True), FIXED)

    def neox(hidden, ffn, heads, partial, **more):
        parts = sized(hidden, ffn, heads, heads, **more)
        del parts["num_key_value_heads"]
        return tf.GPTNeoXConfig(**parts, rope_parameters=rope(partial_rotary_factor=partial))
    yield Case("gpt_neox", "parallel, a quarter rotates", neox(64, 160, 2, 0.25))
    yield Case("gpt_neox", "one after the other, all rotates", neox(
        72, 100, 3, 1.0, use_parallel_residual=False, layers=3))
    yield Case("gpt_neox", "tied, no attention bias", neox(
        64, 120, 4, 0.5, attention_bias=False, tie_word_embeddings=True),
        "llama.cpp asks for the biases")


def others():
    yield Case("olmo2", "gqa 4/2", tf.Olmo2Config(**sized(64, 160, 4, 2)))
    yield Case("olmo2", "all heads, theta", tf.Olmo2Config(
        **sized(96, 100, 6, 6, layers=3, rope_parameters=rope(theta=500000.0))))
    yield Case("olmo2", "tied", tf.Olmo2Config(**sized(64, 80, 4, 1, tie_word_embeddings=True)))
    yield Case("olmo2", "biases", tf.Olmo2Config(**sized(48, 80, 3, 1, attention_bias=True)),
               "llama.cpp reads no biases here")
    yield Case("starcoder2", "gqa 4/2", tf.Starcoder2Config(
        **sized(64, 160, 4, 2, residual_dropout=0.0, embedding_dropout=0.0)))
    yield Case("starcoder2", "no biases, window 10, untied", tf.Starcoder2Config(
        **sized(72, 100, 3, 1, use_bias=False, sliding_window=10, tie_word_embeddings=False)),
        IGNORED)
    yield Case("starcoder2", "all heads, theta", tf.Starcoder2Config(
        **sized(48, 96, 2, 2, layers=3, rope_parameters=rope(theta=1e5))))
    scales = {"embedding_multiplier": 6.0, "residual_multiplier": 0.4, "logits_scaling": 3.0}
    yield Case("granite", "scales", tf.GraniteConfig(
        **sized(64, 160, 4, 2, attention_multiplier=0.2, **scales)))
    yield Case("granite", "tied, biases", tf.GraniteConfig(
        **sized(48, 80, 3, 1, attention_multiplier=0.05, tie_word_embeddings=True,
                attention_bias=True, mlp_bias=True, **scales)))
    yield Case("granite", "all heads, theta", tf.GraniteConfig(
        **sized(96, 100, 4, 4, layers=3, attention_multiplier=0.1, embedding_multiplier=2.0,
                residual_multiplier=1.5, rope_parameters=rope(theta=1e5))))
    yield Case("smollm3", "gqa 4/2, five layers", tf.SmolLM3Config(
        **sized(64, 160, 4, 2, layers=5, pad_token_id=None)))
    yield Case("smollm3", "untied, theta", tf.SmolLM3Config(
        **sized(72, 100, 3, 1, layers=4, tie_word_embeddings=False, pad_token_id=None,
                rope_parameters=rope(theta=2e6))))
    yield Case("smollm3", "own rope layers, biases, window 9", tf.SmolLM3Config(
        **sized(48, 80, 2, 2, layers=3, no_rope_layers=[0, 1, 0], attention_bias=True,
                mlp_bias=True, use_sliding_window=True, sliding_window=9, pad_token_id=None,
                layer_types=["full_attention", "sliding_attention", "sliding_attention"])), FIXED)


tf.utils.logging.set_verbosity_error()    # our vocabulary lacks the classes' default ids
tf.utils.logging.disable_progress_bar()
CASES = [case for group in (llamas, mistrals, mixtrals, qwens, gemmas, phis, gpts, others)
         for case in group()]


def build(case, seed):
    """The model, with weights such that all of them matter: norms differ from 1, biases from 0,
    attention isn't flat, and the layers outweigh the embedding."""
    torch.manual_seed(seed)
    case.config._experts_implementation = "eager"    # the grouped form wants sizes by 16 bytes
    model = tf.AutoModelForCausalLM.from_config(case.config, attn_implementation="eager")
    model = model.float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                centre = 1.0 if "gemma" not in case.kind and is_norm(name) else 0.0
                p.copy_(centre + 0.2 * torch.randn(p.shape))
            elif "embed" in name or "wte" in name or "wpe" in name:
                gemma = "gemma" in case.kind    # it scales them by sqrt(hidden)
                p.copy_((p.shape[1] ** -0.5 if gemma else 0.3) * torch.randn(p.shape))
            else:
                inputs = p.shape[0] if case.kind == "gpt2" and p.dim() == 2 else p.shape[-1]
                p.copy_(1.5 * torch.randn(p.shape) / inputs ** 0.5)
    return model


def is_norm(name):
    return name.endswith(".weight") and ("norm" in name or ".ln_" in name)


def byte_tokenizer():
    """Byte-level BPE as GPT-2's, of VOCAB tokens."""
    tok = tokenizers.Tokenizer(tokenizers.models.BPE())
    tok.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = ["the model reads what it was given and says what comes next"] * 4
    words += ["alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron"]
    tok.train_from_iterator(words, trainer)
    assert tok.get_vocab_size() == VOCAB, tok.get_vocab_size()
    return tok


def save(model, folder, dtype):
    """As save_pretrained does, with a tokenizer beside it."""
    os.makedirs(folder)
    model.to(dtype).save_pretrained(folder)
    byte_tokenizer().save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>",
                   "eos_token": "<|endoftext|>", "add_bos_token": False}, f)


def load(folder):
    """The saved weights, whatever their type, in f32."""
    config = tf.AutoConfig.from_pretrained(folder)
    config._experts_implementation = "eager"
    return tf.AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager").eval()


def logits(model, ids) -> np.ndarray:
    """[n_ids, n_vocab] f32."""
    with torch.no_grad():
        return model(torch.tensor([list(ids)]), use_cache=False).logits[0].float().numpy()


def greedy(model, prompts, n):
    """For each prompt (of one length) the n likeliest tokens, one after the other, with a cache; and
    the least lead of a winner over the second, in deviations of its row: [prompts, n], [prompts]."""
    out, gap, cache, feed = [], torch.full((len(prompts),), np.inf), None, torch.tensor(prompts)
    with torch.no_grad():
        while len(out) < n:
            got = model(feed, past_key_values=cache, use_cache=True)
            cache, rows = got.past_key_values, got.logits[:, -1].float()
            best = rows.topk(2)
            gap = torch.minimum(gap, (best.values[:, 0] - best.values[:, 1]) / rows.std(-1))
            feed = best.indices[:, :1]
            out.append(feed)
    return torch.cat(out, 1).tolist(), gap.tolist()
