/* hf_arch.c - the table of architectures, and their tensor names. Any thread.
 *
 * Source: the configuration classes and state dicts of transformers 5.23; names on the other side
 *         are those of the `gguf` package.
 */
#include "format/hf_arch.h"

#include <stdio.h>
#include <string.h>

/* ---- Names ---- */

/* What nearly everyone has had since Llama. */
#define LLAMA_ENDS                                                                                 \
    {"embed_tokens", "token_embd", 0}, {"norm", "output_norm", 0},                                 \
    {                                                                                              \
        "lm_head", "output", 0                                                                     \
    }
#define LLAMA_QKVO                                                                                 \
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", 0},                                              \
        {"layers.#.self_attn.k_proj", "blk.#.attn_k", 0},                                          \
        {"layers.#.self_attn.v_proj", "blk.#.attn_v", 0},                                          \
    {                                                                                              \
        "layers.#.self_attn.o_proj", "blk.#.attn_output", 0                                        \
    }
#define QK_NORMS                                                                                   \
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", 0},                                         \
    {                                                                                              \
        "layers.#.self_attn.k_norm", "blk.#.attn_k_norm", 0                                        \
    }
#define LLAMA_NORMS                                                                                \
    {"layers.#.input_layernorm", "blk.#.attn_norm", 0},                                            \
    {                                                                                              \
        "layers.#.post_attention_layernorm", "blk.#.ffn_norm", 0                                   \
    }
#define LLAMA_FFN                                                                                  \
    {"layers.#.mlp.gate_proj", "blk.#.ffn_gate", 0}, {"layers.#.mlp.up_proj", "blk.#.ffn_up", 0},  \
    {                                                                                              \
        "layers.#.mlp.down_proj", "blk.#.ffn_down", 0                                              \
    }
#define QWEN_EXPERTS                                                                               \
    {"layers.#.mlp.gate", "blk.#.ffn_gate_inp", 0},                                                \
        {"layers.#.mlp.experts.#.gate_proj", "blk.#.ffn_gate.#", 0},                               \
        {"layers.#.mlp.experts.#.up_proj", "blk.#.ffn_up.#", 0},                                   \
    {                                                                                              \
        "layers.#.mlp.experts.#.down_proj", "blk.#.ffn_down.#", 0                                  \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, 0                                                                              \
    }

static const nx_hf_name llama_names[] = {LLAMA_ENDS, LLAMA_QKVO, LLAMA_NORMS, LLAMA_FFN, END};

static const nx_hf_name qwen3_names[] = {LLAMA_ENDS,  LLAMA_QKVO, QK_NORMS,
                                         LLAMA_NORMS, LLAMA_FFN,  END};

static const nx_hf_name qwen2_moe_names[] = {
    LLAMA_ENDS,
    LLAMA_QKVO,
    LLAMA_NORMS,
    LLAMA_FFN,
    QWEN_EXPERTS,
    {"layers.#.mlp.shared_expert_gate", "blk.#.ffn_gate_inp_shexp", 0},
    {"layers.#.mlp.shared_expert.gate_proj", "blk.#.ffn_gate_shexp", 0},
    {"layers.#.mlp.shared_expert.up_proj", "blk.#.ffn_up_shexp", 0},
    {"layers.#.mlp.shared_expert.down_proj", "blk.#.ffn_down_shexp", 0},
    END,
};

static const nx_hf_name qwen3_moe_names[] = {LLAMA_ENDS, LLAMA_QKVO,   QK_NORMS, LLAMA_NORMS,
                                             LLAMA_FFN,  QWEN_EXPERTS, END};

static const nx_hf_name mixtral_names[] = {
    LLAMA_ENDS,
    LLAMA_QKVO,
    LLAMA_NORMS,
    {"layers.#.block_sparse_moe.gate", "blk.#.ffn_gate_inp", 0},
    {"layers.#.block_sparse_moe.experts.#.w1", "blk.#.ffn_gate.#", 0},
    {"layers.#.block_sparse_moe.experts.#.w3", "blk.#.ffn_up.#", 0},
    {"layers.#.block_sparse_moe.experts.#.w2", "blk.#.ffn_down.#", 0},
    END,
};

#define GEMMA_NORMS                                                                                \
    {"layers.#.input_layernorm", "blk.#.attn_norm", 0},                                            \
        {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", 0},                     \
        {"layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", 0},                               \
    {                                                                                              \
        "layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", 0                            \
    }

static const nx_hf_name gemma2_names[] = {LLAMA_ENDS, LLAMA_QKVO, GEMMA_NORMS, LLAMA_FFN, END};

static const nx_hf_name gemma3_names[] = {LLAMA_ENDS,  LLAMA_QKVO, QK_NORMS,
                                          GEMMA_NORMS, LLAMA_FFN,  END};

static const nx_hf_name olmo2_names[] = {
    LLAMA_ENDS,
    LLAMA_QKVO,
    QK_NORMS,
    LLAMA_FFN,
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", 0},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", 0},
    END,
};

static const nx_hf_name phi3_names[] = {
    LLAMA_ENDS,
    LLAMA_NORMS,
    {"layers.#.self_attn.qkv_proj", "blk.#.attn_qkv", 0},
    {"layers.#.self_attn.o_proj", "blk.#.attn_output", 0},
    {"layers.#.mlp.gate_up_proj", "blk.#.ffn_up", 0},
    {"layers.#.mlp.down_proj", "blk.#.ffn_down", 0},
    END,
};

static const nx_hf_name starcoder2_names[] = {
    LLAMA_ENDS,
    LLAMA_QKVO,
    LLAMA_NORMS,
    {"layers.#.mlp.c_fc", "blk.#.ffn_up", 0},
    {"layers.#.mlp.c_proj", "blk.#.ffn_down", 0},
    END,
};

static const nx_hf_name gpt2_names[] = {
    {"wte", "token_embd", 0},
    {"wpe", "position_embd", 0},
    {"ln_f", "output_norm", 0},
    {"lm_head", "output", 0},
    {"h.#.ln_1", "blk.#.attn_norm", 0},
    {"h.#.attn.c_attn", "blk.#.attn_qkv", NX_HF_TRANSPOSED},
    {"h.#.attn.c_proj", "blk.#.attn_output", NX_HF_TRANSPOSED},
    {"h.#.ln_2", "blk.#.ffn_norm", 0},
    {"h.#.mlp.c_fc", "blk.#.ffn_up", NX_HF_TRANSPOSED},
    {"h.#.mlp.c_proj", "blk.#.ffn_down", NX_HF_TRANSPOSED},
    END,
};

static const nx_hf_name gpt_neox_names[] = {
    {"embed_in", "token_embd", 0},
    {"final_layer_norm", "output_norm", 0},
    {"embed_out", "output", 0},
    {"layers.#.input_layernorm", "blk.#.attn_norm", 0},
    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm", 0},
    {"layers.#.attention.query_key_value", "blk.#.attn_qkv", NX_HF_HEADS},
    {"layers.#.attention.dense", "blk.#.attn_output", 0},
    {"layers.#.mlp.dense_h_to_4h", "blk.#.ffn_up", 0},
    {"layers.#.mlp.dense_4h_to_h", "blk.#.ffn_down", 0},
    END,
};

#define BERT_EMBEDDING                                                                             \
    {"embeddings.word_embeddings", "token_embd", 0},                                               \
        {"embeddings.token_type_embeddings", "token_types", 0},                                    \
    {                                                                                              \
        "embeddings.LayerNorm", "token_embd_norm", 0                                               \
    }
#define BERT_ATTENTION                                                                             \
    {"encoder.layer.#.attention.self.query", "blk.#.attn_q", 0},                                   \
        {"encoder.layer.#.attention.self.key", "blk.#.attn_k", 0},                                 \
        {"encoder.layer.#.attention.self.value", "blk.#.attn_v", 0},                               \
        {"encoder.layer.#.attention.output.dense", "blk.#.attn_output", 0},                        \
    {                                                                                              \
        "encoder.layer.#.attention.output.LayerNorm", "blk.#.attn_output_norm", 0                  \
    }
#define BERT_FFN                                                                                   \
    {"encoder.layer.#.intermediate.dense", "blk.#.ffn_up", 0},                                     \
        {"encoder.layer.#.output.dense", "blk.#.ffn_down", 0},                                     \
    {                                                                                              \
        "encoder.layer.#.output.LayerNorm", "blk.#.layer_output_norm", 0                           \
    }

static const nx_hf_name bert_names[] = {
    BERT_EMBEDDING,
    {"embeddings.position_embeddings", "position_embd", 0},
    BERT_ATTENTION,
    BERT_FFN,
    END,
};

/* Of ...ForSequenceClassification: cls and cls.output as llama.cpp has them. */
static const nx_hf_name bert_rank_names[] = {
    {"bert.pooler.dense", "cls", 0},
    {"classifier", "cls.output", 0},
    END,
};

static const nx_hf_name roberta_rank_names[] = {
    {"classifier.dense", "cls", 0},
    {"classifier.out_proj", "cls.output", 0},
    END,
};

static const nx_hf_name modern_rank_names[] = {
    {"head.dense", "cls", 0},
    {"head.norm", "cls.norm", 0},
    {"classifier", "cls.output", 0},
    END,
};

static const nx_hf_name roberta_names[] = {
    BERT_EMBEDDING,
    {"embeddings.position_embeddings", "position_embd", NX_HF_POSITIONS},
    BERT_ATTENTION,
    BERT_FFN,
    END,
};

/* As transformers has it, and as its makers' own code does. */
static const nx_hf_name nomic_names[] = {
    BERT_EMBEDDING,
    LLAMA_QKVO,
    LLAMA_FFN,
    {"layers.#.post_attention_layernorm", "blk.#.attn_output_norm", 0},
    {"layers.#.post_mlp_layernorm", "blk.#.layer_output_norm", 0},
    {"emb_ln", "token_embd_norm", 0},
    {"encoder.layers.#.attn.Wqkv", "blk.#.attn_qkv", 0},
    {"encoder.layers.#.attn.out_proj", "blk.#.attn_output", 0},
    {"encoder.layers.#.norm1", "blk.#.attn_output_norm", 0},
    {"encoder.layers.#.mlp.fc11", "blk.#.ffn_up", 0},
    {"encoder.layers.#.mlp.fc12", "blk.#.ffn_gate", 0},
    {"encoder.layers.#.mlp.fc2", "blk.#.ffn_down", 0},
    {"encoder.layers.#.norm2", "blk.#.layer_output_norm", 0},
    END,
};

static const nx_hf_name modern_names[] = {
    {"embeddings.tok_embeddings", "token_embd", 0},
    {"embeddings.norm", "token_embd_norm", 0},
    {"final_norm", "output_norm", 0},
    {"layers.#.attn_norm", "blk.#.attn_norm", 0},
    {"layers.#.attn.Wqkv", "blk.#.attn_qkv", 0},
    {"layers.#.attn.Wo", "blk.#.attn_output", 0},
    {"layers.#.mlp_norm", "blk.#.ffn_norm", 0},
    {"layers.#.mlp.Wi", "blk.#.ffn_up", 0},
    {"layers.#.mlp.Wo", "blk.#.ffn_down", 0},
    END,
};

static const nx_hf_name mpnet_names[] = {
    {"embeddings.word_embeddings", "token_embd", 0},
    {"embeddings.position_embeddings", "position_embd", NX_HF_POSITIONS},
    {"embeddings.LayerNorm", "token_embd_norm", 0},
    {"encoder.relative_attention_bias", "attn_rel_b", 0},
    {"encoder.layer.#.attention.attn.q", "blk.#.attn_q", 0},
    {"encoder.layer.#.attention.attn.k", "blk.#.attn_k", 0},
    {"encoder.layer.#.attention.attn.v", "blk.#.attn_v", 0},
    {"encoder.layer.#.attention.attn.o", "blk.#.attn_output", 0},
    {"encoder.layer.#.attention.LayerNorm", "blk.#.attn_output_norm", 0},
    BERT_FFN,
    END,
};

static const char *const model_prefix[] = {"model.", NULL};
static const char *const gpt2_prefix[] = {"transformer.", NULL};
static const char *const neox_prefix[] = {"gpt_neox.", NULL};
static const char *const bert_prefixes[] = {"bert.", "", NULL};
static const char *const roberta_prefixes[] = {"roberta.", "", NULL};
static const char *const nomic_prefixes[] = {"nomic_bert.", "bert.", "", NULL};
static const char *const modern_prefixes[] = {"model.", "", NULL};
static const char *const mpnet_prefixes[] = {"mpnet.", "", NULL};
/* Alone, or as the text half of a model that sees: its names in transformers 5, and before. */
static const char *const gemma3_prefixes[] = {"model.language_model.", "language_model.model.",
                                              "language_model.", "model.", NULL};

/* ---- Architectures ---- */

static const nx_hf_arch archs[] = {
    {
        .model_type = "llama",
        .gguf = "llama",
        .stem = "Llama",
        .prefixes = model_prefix,
        .names = llama_names,
        .traits = NX_HF_HALVES,
        .vocab = 32000,
        .embd = 4096,
        .ff = 11008,
        .layers = 32,
        .heads = 32,
        .ctx = 2048,
        .eps = 1e-6,
        .theta = 10000,
        .activation = "silu",
        .attn_bias = "attention_bias",
        .ffn_bias = "mlp_bias",
    },
    {
        .model_type = "mistral",
        .gguf = "llama",
        .stem = "Mistral",
        .prefixes = model_prefix,
        .names = llama_names,
        .traits = NX_HF_HALVES,
        .vocab = 32000,
        .embd = 4096,
        .ff = 14336,
        .layers = 32,
        .heads = 32,
        .heads_kv = 8,
        .ctx = 131072,
        .window = 4096,
        .eps = 1e-6,
        .theta = 10000,
        .activation = "silu",
        .window_rule = NX_HF_WINDOW_ALL,
        .attn_bias = "",
        .ffn_bias = "",
    },
    {
        .model_type = "mixtral",
        .gguf = "llama",
        .stem = "Mixtral",
        .prefixes = model_prefix,
        .names = mixtral_names,
        .traits = NX_HF_HALVES | NX_HF_EXPERTS,
        .vocab = 32000,
        .embd = 4096,
        .ff = 14336,
        .layers = 32,
        .heads = 32,
        .heads_kv = 8,
        .ctx = 131072,
        .eps = 1e-5,
        .theta = 1e6,
        .experts = 8,
        .experts_used = 2,
        .activation = "silu",
        .window_rule = NX_HF_WINDOW_ALL,
        .attn_bias = "",
        .ffn_bias = "",
    },
    {
        .model_type = "qwen2",
        .gguf = "qwen2",
        .stem = "Qwen2",
        .prefixes = model_prefix,
        .names = llama_names,
        .vocab = 151936,
        .embd = 4096,
        .ff = 22016,
        .layers = 32,
        .heads = 32,
        .heads_kv = 32,
        .ctx = 32768,
        .window = 4096,
        .eps = 1e-6,
        .theta = 10000,
        .activation = "silu",
        .window_rule = NX_HF_WINDOW_UPPER,
    },
    {
        .model_type = "qwen2_moe",
        .gguf = "qwen2moe",
        .stem = "Qwen2Moe",
        .prefixes = model_prefix,
        .names = qwen2_moe_names,
        .traits = NX_HF_EXPERTS,
        .vocab = 151936,
        .embd = 2048,
        .ff = 5632,
        .layers = 24,
        .heads = 16,
        .heads_kv = 16,
        .ctx = 32768,
        .window = 4096,
        .eps = 1e-6,
        .theta = 10000,
        .experts = 60,
        .experts_used = 4,
        .expert_ff = 1408,
        .shared_ff = 5632,
        .activation = "silu",
        .window_rule = NX_HF_WINDOW_EVEN_LOWER,
        .attn_bias = "qkv_bias",
        .attn_bias_default = true,
    },
    {
        .model_type = "qwen3",
        .gguf = "qwen3",
        .stem = "Qwen3",
        .prefixes = model_prefix,
        .names = qwen3_names,
        .vocab = 151936,
        .embd = 4096,
        .ff = 22016,
        .layers = 32,
        .heads = 32,
        .heads_kv = 32,
        .head_dim = 128,
        .ctx = 32768,
        .window = 4096,
        .eps = 1e-6,
        .theta = 10000,
        .activation = "silu",
        .window_rule = NX_HF_WINDOW_UPPER,
        .attn_bias = "attention_bias",
    },
    {
        .model_type = "qwen3_moe",
        .gguf = "qwen3moe",
        .stem = "Qwen3Moe",
        .prefixes = model_prefix,
        .names = qwen3_moe_names,
        .traits = NX_HF_EXPERTS,
        .vocab = 151936,
        .embd = 2048,
        .ff = 6144,
        .layers = 24,
        .heads = 32,
        .heads_kv = 4,
        .ctx = 32768,
        .window = 4096,
        .eps = 1e-6,
        .theta = 10000,
        .experts = 128,
        .experts_used = 8,
        .expert_ff = 768,
        .activation = "silu",
        .window_rule = NX_HF_WINDOW_SWITCHED,
        .attn_bias = "attention_bias",
    },
    {
        .model_type = "gemma2",
        .gguf = "gemma2",
        .stem = "Gemma2",
        .prefixes = model_prefix,
        .names = gemma2_names,
        .traits = NX_HF_GEMMA,
        .vocab = 256000,
        .embd = 2304,
        .ff = 9216,
        .layers = 26,
        .heads = 8,
        .heads_kv = 4,
        .head_dim = 256,
        .ctx = 8192,
        .window = 4096,
        .eps = 1e-6,
        .theta = 10000,
        .tied = true,
        .activation = "gelu_pytorch_tanh",
        .window_rule = NX_HF_WINDOW_EVEN,
        .attn_bias = "attention_bias",
    },
    {
        .model_type = "gemma3_text",
        .gguf = "gemma3",
        .stem = "Gemma3",
        .prefixes = gemma3_prefixes,
        .names = gemma3_names,
        .traits = NX_HF_GEMMA | NX_HF_TWO_ROPES,
        .vocab = 262208,
        .embd = 2304,
        .ff = 9216,
        .layers = 26,
        .heads = 8,
        .heads_kv = 4,
        .head_dim = 256,
        .ctx = 131072,
        .window = 4096,
        .eps = 1e-6,
        .theta = 1e6,
        .tied = true,
        .activation = "gelu_pytorch_tanh",
        .window_rule = NX_HF_WINDOW_PATTERN,
        .attn_bias = "attention_bias",
    },
    {
        .model_type = "phi3",
        .gguf = "phi3",
        .stem = "Phi3",
        .prefixes = model_prefix,
        .names = phi3_names,
        .traits = NX_HF_PARTIAL,
        .vocab = 32064,
        .embd = 3072,
        .ff = 8192,
        .layers = 32,
        .heads = 32,
        .ctx = 4096,
        .eps = 1e-5,
        .theta = 10000,
        .partial = 1,
        .activation = "silu",
        .window_rule = NX_HF_WINDOW_ALL,
    },
    {
        .model_type = "gpt2",
        .gguf = "gpt2",
        .stem = "GPT2",
        .prefixes = gpt2_prefix,
        .names = gpt2_names,
        .traits = NX_HF_LAYER_NORM | NX_HF_NO_ROPE | NX_HF_GPT2,
        .vocab = 50257,
        .embd = 768,
        .layers = 12,
        .heads = 12,
        .ctx = 1024,
        .eps = 1e-5,
        .tied = true,
        .activation = "gelu_new",
    },
    {
        .model_type = "gpt_neox",
        .gguf = "gptneox",
        .stem = "GPTNeoX",
        .prefixes = neox_prefix,
        .names = gpt_neox_names,
        .traits = NX_HF_LAYER_NORM | NX_HF_PARTIAL | NX_HF_NEOX,
        .vocab = 50432,
        .embd = 6144,
        .ff = 24576,
        .layers = 44,
        .heads = 64,
        .ctx = 2048,
        .eps = 1e-5,
        .theta = 10000,
        .partial = 0.25,
        .activation = "gelu",
        .attn_bias = "attention_bias",
        .attn_bias_default = true,
    },
    {
        .model_type = "olmo2",
        .gguf = "olmo2",
        .stem = "Olmo2",
        .prefixes = model_prefix,
        .names = olmo2_names,
        .vocab = 50304,
        .embd = 4096,
        .ff = 11008,
        .layers = 32,
        .heads = 32,
        .ctx = 2048,
        .eps = 1e-5,
        .theta = 10000,
        .activation = "silu",
        .attn_bias = "attention_bias",
    },
    {
        .model_type = "starcoder2",
        .gguf = "starcoder2",
        .stem = "Starcoder2",
        .prefixes = model_prefix,
        .names = starcoder2_names,
        .traits = NX_HF_LAYER_NORM,
        .vocab = 49152,
        .embd = 3072,
        .ff = 12288,
        .layers = 30,
        .heads = 24,
        .heads_kv = 2,
        .ctx = 4096,
        .eps = 1e-5,
        .theta = 10000,
        .tied = true,
        .activation = "gelu_pytorch_tanh",
        .window_rule = NX_HF_WINDOW_ALL,
        .attn_bias = "use_bias",
        .attn_bias_default = true,
        .ffn_bias = "use_bias",
        .ffn_bias_default = true,
    },
    {
        .model_type = "granite",
        .gguf = "granite",
        .stem = "Granite",
        .prefixes = model_prefix,
        .names = llama_names,
        .traits = NX_HF_HALVES | NX_HF_GRANITE,
        .vocab = 32000,
        .embd = 4096,
        .ff = 11008,
        .layers = 32,
        .heads = 32,
        .ctx = 2048,
        .eps = 1e-6,
        .theta = 10000,
        .activation = "silu",
        .attn_bias = "attention_bias",
        .ffn_bias = "mlp_bias",
    },
    {
        .model_type = "smollm3",
        .gguf = "smollm3",
        .stem = "SmolLM3",
        .prefixes = model_prefix,
        .names = llama_names,
        .traits = NX_HF_HALVES | NX_HF_SMOLLM3,
        .vocab = 128256,
        .embd = 2048,
        .ff = 11008,
        .layers = 36,
        .heads = 16,
        .heads_kv = 4,
        .ctx = 32768,
        .eps = 1e-6,
        .theta = 2e6,
        .tied = true,
        .activation = "silu",
        .window_rule = NX_HF_WINDOW_NO_ROPE,
        .attn_bias = "attention_bias",
        .ffn_bias = "mlp_bias",
    },
    {
        .model_type = "bert",
        .gguf = "bert",
        .stem = "Bert",
        .prefixes = bert_prefixes,
        .names = bert_names,
        .rank_names = bert_rank_names,
        .traits = NX_HF_LAYER_NORM | NX_HF_NO_ROPE | NX_HF_ENCODER | NX_HF_TYPES | NX_HF_RANKS,
        .vocab = 30522,
        .embd = 768,
        .ff = 3072,
        .layers = 12,
        .heads = 12,
        .ctx = 512,
        .eps = 1e-12,
        .tied = true,
        .activation = "gelu",
    },
    {
        .model_type = "xlm-roberta",
        .gguf = "bert",
        .stem = "XLMRoberta",
        .prefixes = roberta_prefixes,
        .names = roberta_names,
        .rank_names = roberta_rank_names,
        .traits = NX_HF_LAYER_NORM | NX_HF_NO_ROPE | NX_HF_ENCODER | NX_HF_TYPES | NX_HF_ROBERTA |
                  NX_HF_RANKS,
        .vocab = 30522,
        .embd = 768,
        .ff = 3072,
        .layers = 12,
        .heads = 12,
        .ctx = 512,
        .eps = 1e-12,
        .tied = true,
        .activation = "gelu",
    },
    {
        .model_type = "roberta",
        .gguf = "bert",
        .stem = "Roberta",
        .prefixes = roberta_prefixes,
        .names = roberta_names,
        .rank_names = roberta_rank_names,
        .traits = NX_HF_LAYER_NORM | NX_HF_NO_ROPE | NX_HF_ENCODER | NX_HF_TYPES | NX_HF_ROBERTA |
                  NX_HF_RANKS,
        .vocab = 50265,
        .embd = 768,
        .ff = 3072,
        .layers = 12,
        .heads = 12,
        .ctx = 512,
        .eps = 1e-12,
        .tied = true,
        .activation = "gelu",
    },
    {
        .model_type = "mpnet",
        .gguf = "mpnet",
        .stem = "MPNet",
        .prefixes = mpnet_prefixes,
        .names = mpnet_names,
        .traits = NX_HF_LAYER_NORM | NX_HF_NO_ROPE | NX_HF_ENCODER | NX_HF_MPNET,
        .vocab = 30527,
        .embd = 768,
        .ff = 3072,
        .layers = 12,
        .heads = 12,
        .ctx = 512,
        .eps = 1e-12,
        .tied = true,
        .activation = "gelu",
    },
    {
        .model_type = "nomic_bert",
        .gguf = "nomic-bert",
        .stem = "NomicBert",
        .prefixes = nomic_prefixes,
        .names = nomic_names,
        .traits = NX_HF_LAYER_NORM | NX_HF_ENCODER | NX_HF_TYPES | NX_HF_NOMIC,
        .vocab = 30522,
        .embd = 768,
        .ff = 3072,
        .layers = 12,
        .heads = 12,
        .ctx = 2048,
        .eps = 1e-12,
        .theta = 1000,
        .tied = true,
        .activation = "silu",
    },
    {
        .model_type = "modernbert",
        .gguf = "modern-bert",
        .stem = "ModernBert",
        .prefixes = modern_prefixes,
        .names = modern_names,
        .rank_names = modern_rank_names,
        .traits = NX_HF_LAYER_NORM | NX_HF_ENCODER | NX_HF_TWO_ROPES | NX_HF_MODERN | NX_HF_RANKS,
        .vocab = 50368,
        .embd = 768,
        .ff = 1152,
        .layers = 22,
        .heads = 12,
        .ctx = 8192,
        .window = 128,
        .eps = 1e-5,
        .theta = 160000,
        .tied = true,
        .activation = "gelu",
        .window_rule = NX_HF_WINDOW_LOCAL,
        .attn_bias = "attention_bias",
    },
};

enum { N_ARCHS = sizeof archs / sizeof *archs };

const nx_hf_arch *nx_hf_arch_at(int i)
{
    return i >= 0 && i < N_ARCHS ? &archs[i] : NULL;
}

const nx_hf_arch *nx_hf_arch_find(nx_str model_type)
{
    /* The whole of Gemma 3 and its text half: what else it has is told apart by names. */
    if (nx_str_eq(model_type, NX_STR("gemma3"))) model_type = NX_STR("gemma3_text");
    for (int i = 0; i < N_ARCHS; i++)
        if (nx_str_eq(model_type, nx_str_of(archs[i].model_type))) return &archs[i];
    return NULL;
}

/* ---- Matching ---- */

static bool ends_with(nx_str s, const char *end)
{
    size_t n = strlen(end);

    return s.len >= n && memcmp(s.p + s.len - n, end, n) == 0;
}

static bool begins_with(nx_str s, const char *start)
{
    size_t n = strlen(start);

    return s.len >= n && memcmp(s.p, start, n) == 0;
}

bool nx_hf_name_ignored(nx_str name)
{
    static const char *const ends[] = {"rotary_emb.inv_freq",
                                       ".attn.bias",
                                       ".attn.masked_bias",
                                       ".attention.bias",
                                       ".attention.masked_bias",
                                       "embeddings.position_ids",
                                       "pooler.dense.weight",
                                       "pooler.dense.bias",
                                       NULL};
    /* The last two: what BERT was trained with, and the head of its first task. */
    static const char *const starts[] = {"vision_tower.",
                                         "model.vision_tower.",
                                         "multi_modal_projector.",
                                         "model.multi_modal_projector.",
                                         "cls.predictions.",
                                         "cls.seq_relationship.",
                                         "lm_head.dense.",
                                         "lm_head.layer_norm.",
                                         "decoder.bias",
                                         "head.dense.",
                                         "head.norm.",
                                         NULL};

    for (const char *const *e = ends; *e; e++)
        if (ends_with(name, *e)) return true;
    for (const char *const *s = starts; *s; s++)
        if (begins_with(name, *s)) return true;
    return false;
}

enum { NUMBERS_MAX = 2, DIGITS_MAX = 6 };

typedef struct numbers {
    nx_str text[NUMBERS_MAX];
    int    n;
} numbers;

/* The digits at s[0..len): a number without leading zeros. 0 when there is none. */
static size_t number_length(const char *s, size_t len)
{
    size_t n = 0;

    while (n < len && s[n] >= '0' && s[n] <= '9') n++;
    return n > DIGITS_MAX || (n > 1 && s[0] == '0') ? 0 : n;
}

/* Does `name` say what the pattern says? *found gets its numbers. */
static bool match(const char *pattern, nx_str name, numbers *found)
{
    const char *s = name.p, *end = name.p + name.len;

    found->n = 0;
    for (; *pattern; pattern++) {
        if (*pattern != '#') {
            if (s == end || *s++ != *pattern) return false;
            continue;
        }
        size_t n = number_length(s, (size_t)(end - s));
        if (n == 0 || found->n == NUMBERS_MAX) return false;
        found->text[found->n++] = (nx_str){s, n};
        s += n;
    }
    return s == end;
}

/* The pattern with its numbers filled in, then the suffix; false when there is no room. */
static bool fill(char *out, size_t cap, const char *pattern, const numbers *with, nx_str suffix)
{
    size_t n = 0;
    int    k = 0;

    for (; *pattern; pattern++) {
        nx_str piece = *pattern == '#' ? with->text[k++] : (nx_str){pattern, 1};
        if (piece.len >= cap - n) return false;
        memcpy(out + n, piece.p, piece.len);
        n += piece.len;
    }
    if (suffix.len >= cap - n) return false;
    memcpy(out + n, suffix.p, suffix.len);
    out[n + suffix.len] = '\0';
    return true;
}

/* Take ".weight" or ".bias" off the end of *name. */
static bool take_suffix(nx_str *name, nx_str *suffix)
{
    static const char *const known[][2] = {{".weight", ".weight"},
                                           {".bias", ".bias"},
                                           {"LayerNorm.gamma", ".weight"}, /* of the first BERTs */
                                           {"LayerNorm.beta", ".bias"}};

    for (int i = 0; i < 4; i++) {
        if (!ends_with(*name, known[i][0])) continue;
        *suffix = nx_str_of(known[i][1]);
        name->len -= strlen(strrchr(known[i][0], '.'));
        return true;
    }
    return false;
}

static bool map_stem(const nx_hf_arch *arch, nx_str stem, nx_str suffix, char *out, size_t cap,
                     nx_hf_layout *layout)
{
    numbers found;

    for (const nx_hf_name *n = arch->names; n->hf; n++) {
        if (!match(n->hf, stem, &found)) continue;
        *layout = n->layout;
        return fill(out, cap, n->gguf, &found, suffix);
    }
    return false;
}

bool nx_hf_name_map(const nx_hf_arch *arch, nx_str name, char *out, size_t cap,
                    nx_hf_layout *layout)
{
    nx_str suffix;

    if (!take_suffix(&name, &suffix)) return false;
    for (const char *const *p = arch->prefixes; *p; p++) {
        nx_str rest = name;
        if (!begins_with(name, *p)) continue;
        rest.p += strlen(*p);
        rest.len -= strlen(*p);
        if (map_stem(arch, rest, suffix, out, cap, layout)) return true;
    }
    return map_stem(arch, name, suffix, out, cap, layout);
}

bool nx_hf_rank_map(const nx_hf_arch *arch, nx_str name, char *out, size_t cap)
{
    nx_str  suffix;
    numbers found;

    if (!take_suffix(&name, &suffix)) return false;
    for (const nx_hf_name *n = arch->rank_names; n && n->hf; n++)
        if (match(n->hf, name, &found)) return fill(out, cap, n->gguf, &found, suffix);
    return false;
}

/* The last of them is that of a model on its own. */
static const char *plain_prefix(const nx_hf_arch *arch)
{
    const char *const *p = arch->prefixes;

    while (p[1]) p++;
    return *p;
}

bool nx_hf_name_back(const nx_hf_arch *arch, const char *gguf, char *out, size_t cap)
{
    nx_str  stem = nx_str_of(gguf), suffix;
    numbers found;

    if (!take_suffix(&stem, &suffix)) return false;
    for (const nx_hf_name *n = arch->names; n->hf; n++) {
        if (!match(n->gguf, stem, &found)) continue;
        bool        head = strcmp(n->gguf, "output") == 0;
        const char *prefix = head ? "" : plain_prefix(arch);
        size_t      len = strlen(prefix);
        if (len >= cap) return false;
        memcpy(out, prefix, len);
        return fill(out + len, cap - len, n->hf, &found, suffix);
    }
    for (const nx_hf_name *n = arch->rank_names; n && n->hf; n++)
        if (match(n->gguf, stem, &found)) return fill(out, cap, n->hf, &found, suffix);
    return false;
}
