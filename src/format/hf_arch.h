/* hf_arch.h - the architectures of Hugging Face folders, as data: what a config.json means when it
 * doesn't say, and what its tensors are called in GGUF. docs/formats/hf-keys.md is the same in
 * words.
 */
#ifndef NX_FORMAT_HF_ARCH_H
#define NX_FORMAT_HF_ARCH_H

#include "base/buf.h"

#include <stdint.h>

/* How a tensor's rows become those that GGUF knows. */
typedef enum nx_hf_layout {
    NX_HF_AS_IT_IS,
    NX_HF_TRANSPOSED, /* GPT-2's Conv1D keeps {out, in} where others keep {in, out} */
    NX_HF_POSITIONS,  /* RoBERTa counts positions from behind its padding id */
    NX_HF_HEADS,      /* GPT-NeoX: q, k and v of head 0, then of head 1, ... */
} nx_hf_layout;

/* "layers.#.self_attn.q_proj" -> "blk.#.attn_q": without the prefixes of the architecture, and
 * without ".weight" or ".bias", which stay as they are. '#' is a number, the same in both. */
typedef struct nx_hf_name {
    const char  *hf, *gguf;
    nx_hf_layout layout;
} nx_hf_name;

/* Which layers see only a window. */
typedef enum nx_hf_window {
    NX_HF_WINDOW_NEVER,
    NX_HF_WINDOW_ALL,        /* every layer, where sliding_window isn't null */
    NX_HF_WINDOW_SWITCHED,   /* every layer, where use_sliding_window says so */
    NX_HF_WINDOW_UPPER,      /* use_sliding_window: layers from max_window_layers on */
    NX_HF_WINDOW_EVEN_LOWER, /* use_sliding_window: even layers below max_window_layers */
    NX_HF_WINDOW_EVEN,       /* even layers */
    NX_HF_WINDOW_PATTERN,    /* all but each sliding_window_pattern-th */
    NX_HF_WINDOW_LOCAL,   /* local_attention: all but each global_attn_every_n_layers-th, from 0 */
    NX_HF_WINDOW_NO_ROPE, /* use_sliding_window: layers without rope */
} nx_hf_window;

enum {                            /* nx_hf_arch.traits */
       NX_HF_HALVES = 1 << 0,     /* rope rotates halves where GGUF's architecture rotates pairs */
       NX_HF_LAYER_NORM = 1 << 1, /* layer norms, with layer_norm_epsilon */
       NX_HF_GEMMA = 1 << 2,      /* norms without their 1, scaled embedding, softcaps */
       NX_HF_NO_ROPE = 1 << 3,    /* learned positions */
       NX_HF_PARTIAL = 1 << 4,    /* partial_rotary_factor counts */
       NX_HF_EXPERTS = 1 << 5,
       NX_HF_GRANITE = 1 << 6,
       NX_HF_SMOLLM3 = 1 << 7,
       NX_HF_GPT2 = 1 << 8,
       NX_HF_NEOX = 1 << 9,
       NX_HF_TWO_ROPES = 1 << 10, /* Gemma 3: windowed layers have their own rope */
       NX_HF_ENCODER = 1 << 11,   /* sees both ways, has no head */
       NX_HF_TYPES = 1 << 12,     /* segments */
       NX_HF_ROBERTA = 1 << 13,   /* positions begin at the padding id + 1 */
       NX_HF_NOMIC = 1 << 15,
       NX_HF_MODERN = 1 << 16,
       NX_HF_MPNET = 1 << 14, /* likewise, always at 2; biases by distance */
       NX_HF_RANKS = 1 << 17, /* its class for sequence classification is ours, too: rank_names */
};

typedef struct nx_hf_arch {
    const char        *model_type; /* "llama" */
    const char        *gguf;       /* general.architecture */
    const char        *stem;       /* of its classes: "Llama" in LlamaForCausalLM */
    const char *const *prefixes;   /* that names may have: "model.", longest first; NULL ends */
    const nx_hf_name  *names;      /* an entry without hf ends */
    const nx_hf_name  *rank_names; /* the head of NX_HF_RANKS, without any prefix of names */
    unsigned           traits;
    /* Defaults of the configuration class. */
    int32_t      vocab, embd, ff, layers, heads;
    int32_t      heads_kv; /* 0: as many as heads */
    int32_t      head_dim; /* 0: embd / heads */
    int32_t      ctx, window;
    double       eps, theta, partial;
    int32_t      experts, experts_used, expert_ff, shared_ff;
    bool         tied;
    const char  *activation; /* in config.json's words */
    nx_hf_window window_rule;
    /* The fields that switch biases on: NULL where the class knows none; "" where GGUF's
     * architecture could have them and this class never does. */
    const char *attn_bias, *ffn_bias;
    bool        attn_bias_default, ffn_bias_default;
} nx_hf_arch;

/* The one that is called so, or NULL. */
const nx_hf_arch *nx_hf_arch_find(nx_str model_type);
const nx_hf_arch *nx_hf_arch_at(int i); /* NULL behind the last */

/* Names of tensors that carry nothing we need: buffers that older versions saved, by the end of
 * their name. */
bool nx_hf_name_ignored(nx_str name);

/* The same for the head of a cross-encoder. */
bool nx_hf_rank_map(const nx_hf_arch *arch, nx_str name, char *out, size_t cap);

/* The GGUF name of a tensor of this architecture, with its layout, in out[cap]: false when it is
 * none of them, or too long. */
bool nx_hf_name_map(const nx_hf_arch *arch, nx_str name, char *out, size_t cap,
                    nx_hf_layout *layout);

/* The other way, for messages: what such a folder calls the tensor with that GGUF name. */
bool nx_hf_name_back(const nx_hf_arch *arch, const char *gguf, char *out, size_t cap);

#endif
