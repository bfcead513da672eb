/* recipe.c - the table of quantisations, and their rules.
 *
 * Source: the rules by tensor are those of llama.cpp's quantize program (its documentation, and the
 *         tensor types that files made by it show); transformers' BitsAndBytesConfig for the rest.
 */
#include "format/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const nx_recipe_info table[NX_RECIPE_COUNT] = {
#define X(NAME, text, type, about) {text, about, NX_DTYPE_##type},
    NX_RECIPE_TABLE(X)
#undef X
};

const nx_recipe_info *nx_recipe_get(nx_recipe r)
{
    return &table[r];
}

nx_status nx_recipe_parse(nx_recipe *out, const char *name, nx_error *err)
{
    static const struct {
        const char *name;
        nx_recipe   r;
    } aliases[] = {{"q3_k", NX_RECIPE_Q3_K_M},
                   {"q4_k", NX_RECIPE_Q4_K_M},
                   {"q5_k", NX_RECIPE_Q5_K_M},
                   {"nf4_dq", NX_RECIPE_NF4_DQ}};
    char known[256] = "";

    for (int r = 0; r < NX_RECIPE_COUNT; r++) {
        size_t len = strlen(known);
        if (strcasecmp(name, table[r].name) == 0) {
            *out = (nx_recipe)r;
            return NX_OK;
        }
        snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", table[r].name);
    }
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcasecmp(name, aliases[i].name) == 0) {
            *out = aliases[i].r;
            return NX_OK;
        }
    return nx_fail(err, NX_EINVAL, "unknown quantisation '%.40s', expected one of %s", name, known);
}

/* ---- Names ---- */

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);

    return n >= t && strcmp(name + n - t, tail) == 0;
}

static bool has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

static bool is_embedding(const char *name)
{
    return strcmp(name, "token_embd.weight") == 0;
}

static bool is_head(const char *name)
{
    return strcmp(name, "output.weight") == 0;
}

/* "blk.12.attn_v.weight": 12; -1 for other names. */
static int layer_of(const char *name)
{
    return strncmp(name, "blk.", 4) == 0 ? atoi(name + 4) : -1;
}

/* Matrices that stay in every recipe: they are small, and much hangs on them. */
static bool is_kept(const char *name, int n_dims)
{
    return n_dims < 2 || !ends_with(name, ".weight") || ends_with(name, "_norm.weight") ||
           has(name, "ffn_gate_inp") || has(name, "position_embd") || has(name, "token_types") ||
           has(name, "attn_rel_b") || has(name, "rope_f");
}

/* ---- The rules of ggml's mixtures ---- */

/* The first and last eighth of the layers, and every third between. */
static bool more_bits(int layer, int n_layers)
{
    return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

static nx_dtype type_of_values(nx_recipe r, const nx_recipe_model *m, int layer, nx_dtype t)
{
    bool shared = m->heads_per_kv >= 4;

    if (r == NX_RECIPE_Q2_K) t = shared ? NX_DTYPE_Q4_K : NX_DTYPE_Q3_K;
    if (r == NX_RECIPE_Q3_K_M) t = layer < 2 ? NX_DTYPE_Q5_K : NX_DTYPE_Q4_K;
    if (r == NX_RECIPE_Q3_K_L) t = NX_DTYPE_Q5_K;
    if ((r == NX_RECIPE_IQ4_NL || r == NX_RECIPE_IQ4_XS) && shared) t = NX_DTYPE_Q5_K;
    if ((r == NX_RECIPE_Q4_K_M || r == NX_RECIPE_Q5_K_M) && more_bits(layer, m->n_layers))
        t = NX_DTYPE_Q6_K;
    if (r == NX_RECIPE_Q4_K_S && layer < 4) t = NX_DTYPE_Q5_K;
    /* Eight query heads share it: it is small and matters to all of them. */
    if (m->is_llama_70b && (t == NX_DTYPE_Q3_K || t == NX_DTYPE_Q4_K)) t = NX_DTYPE_Q5_K;
    return m->n_experts == 8 ? NX_DTYPE_Q8_0 : t;
}

static nx_dtype type_of_down(nx_recipe r, const nx_recipe_model *m, int layer, nx_dtype t)
{
    bool early = layer < m->n_layers / 8, more = more_bits(layer, m->n_layers);

    switch (r) {
    case NX_RECIPE_Q2_K: return NX_DTYPE_Q3_K;
    case NX_RECIPE_Q3_K_M: return layer < m->n_layers / 16 ? NX_DTYPE_Q5_K : NX_DTYPE_Q4_K;
    case NX_RECIPE_Q3_K_L: return NX_DTYPE_Q5_K;
    case NX_RECIPE_Q4_K_M:
    case NX_RECIPE_Q5_K_M: return more ? NX_DTYPE_Q6_K : t;
    case NX_RECIPE_Q4_K_S:
    case NX_RECIPE_IQ4_NL:
    case NX_RECIPE_IQ4_XS: return early ? NX_DTYPE_Q5_K : t;
    default: return t;
    }
}

static nx_dtype type_of_output(nx_recipe r, const nx_recipe_model *m, nx_dtype t)
{
    if (m->n_experts == 8 && (t == NX_DTYPE_Q2_K || t == NX_DTYPE_Q3_K || t == NX_DTYPE_Q4_K ||
                              t == NX_DTYPE_IQ4_NL || t == NX_DTYPE_IQ4_XS))
        return r == NX_RECIPE_Q3_K_L ? t : NX_DTYPE_Q5_K;
    if (m->n_experts == 8) return t;
    if (r == NX_RECIPE_Q2_K) return NX_DTYPE_Q3_K;
    if (r == NX_RECIPE_Q3_K_M) return NX_DTYPE_Q4_K;
    if (r == NX_RECIPE_Q3_K_L) return NX_DTYPE_Q5_K;
    return t;
}

static nx_dtype type_of_qkv(nx_recipe r, nx_dtype t)
{
    if (r == NX_RECIPE_Q3_K_M || r == NX_RECIPE_Q3_K_L) return NX_DTYPE_Q4_K;
    if (r == NX_RECIPE_Q4_K_M) return NX_DTYPE_Q5_K;
    return r == NX_RECIPE_Q5_K_M ? NX_DTYPE_Q6_K : t;
}

/* Where the type's block doesn't divide the row. */
static nx_dtype fallback(nx_dtype t, int64_t n_cols)
{
    static const nx_dtype next[NX_DTYPE_COUNT] = {
        [NX_DTYPE_Q2_K] = NX_DTYPE_IQ4_NL, [NX_DTYPE_Q3_K] = NX_DTYPE_IQ4_NL,
        [NX_DTYPE_Q4_K] = NX_DTYPE_Q5_0,   [NX_DTYPE_Q5_K] = NX_DTYPE_Q5_1,
        [NX_DTYPE_Q6_K] = NX_DTYPE_Q8_0,   [NX_DTYPE_IQ4_XS] = NX_DTYPE_IQ4_NL,
    };

    if (n_cols % nx_dtype_get(t)->block_len == 0) return t;
    t = next[t];
    return t && n_cols % nx_dtype_get(t)->block_len == 0 ? t : NX_DTYPE_F16;
}

static nx_dtype type_of_head(nx_dtype t, int64_t n_cols)
{
    if (n_cols % nx_dtype_get(t)->block_len != 0) return NX_DTYPE_Q8_0;
    return t == NX_DTYPE_Q8_0 ? t : NX_DTYPE_Q6_K;
}

static nx_dtype ggml_type(nx_recipe r, const nx_recipe_model *m, const char *name,
                          const int64_t *ne)
{
    nx_dtype t = table[r].dtype;
    int      layer = layer_of(name);

    if (nx_dtype_get(t)->block_len == 1) return t;
    /* A tied head is the embedding: it gets what a head gets. */
    if (is_head(name) || (is_embedding(name) && !m->has_head))
        t = type_of_head(t, ne[0]);
    else if (has(name, "attn_v.weight"))
        t = type_of_values(r, m, layer, t);
    else if (has(name, "attn_k.weight"))
        t = m->n_experts == 8 ? NX_DTYPE_Q8_0 : t;
    else if (has(name, "ffn_down"))
        t = type_of_down(r, m, layer, t);
    else if (has(name, "attn_output.weight"))
        t = type_of_output(r, m, t);
    else if (has(name, "attn_qkv.weight"))
        t = type_of_qkv(r, t);
    return fallback(t, ne[0]);
}

/* ---- All together ---- */

nx_dtype nx_recipe_type(nx_recipe r, const nx_recipe_model *m, const char *name, int n_dims,
                        const int64_t *ne, nx_dtype dtype)
{
    if (r == NX_RECIPE_NONE) return dtype;
    if (nx_recipe_is_apart(r)) {
        bool linear = !is_kept(name, n_dims) && !is_embedding(name) && !is_head(name);
        /* Two codes share a byte: views of rows need whole ones. */
        bool whole = ne[0] % nx_dtype_get(table[r].dtype)->block_len == 0;
        return linear && whole ? table[r].dtype : dtype;
    }
    /* Norms and biases are used as f32; a router is too small to matter and decides much. */
    if (is_kept(name, n_dims)) return has(name, "position_embd") ? dtype : NX_DTYPE_F32;
    return ggml_type(r, m, name, ne);
}

uint64_t nx_recipe_bytes(nx_recipe r, nx_dtype t, int64_t n_cols, int64_t n_rows)
{
    uint64_t n = (uint64_t)n_cols * (uint64_t)n_rows;

    if (t == NX_DTYPE_INT8) return n + (uint64_t)n_rows * sizeof(float);
    if (!nx_dtype_scales_apart(t))
        return (uint64_t)nx_dtype_row_bytes(t, n_cols) * (uint64_t)n_rows;
    uint64_t blocks = (n + NX_BNB_BLOCK - 1) / NX_BNB_BLOCK;
    if (r != NX_RECIPE_NF4_DQ) return (n + 1) / 2 + blocks * sizeof(float);
    uint64_t nested = (blocks + NX_BNB_NESTED_BLOCK - 1) / NX_BNB_NESTED_BLOCK;
    return (n + 1) / 2 + blocks + nested * sizeof(float) + (256 + 16) * sizeof(float);
}

int nx_recipe_file_type(nx_recipe r)
{
    static const int types[NX_RECIPE_COUNT] = {
        [NX_RECIPE_F32] = 0,     [NX_RECIPE_F16] = 1,     [NX_RECIPE_Q4_0] = 2,
        [NX_RECIPE_Q4_1] = 3,    [NX_RECIPE_Q8_0] = 7,    [NX_RECIPE_Q5_0] = 8,
        [NX_RECIPE_Q5_1] = 9,    [NX_RECIPE_Q2_K] = 10,   [NX_RECIPE_Q3_K_S] = 11,
        [NX_RECIPE_Q3_K_M] = 12, [NX_RECIPE_Q3_K_L] = 13, [NX_RECIPE_Q4_K_S] = 14,
        [NX_RECIPE_Q4_K_M] = 15, [NX_RECIPE_Q5_K_S] = 16, [NX_RECIPE_Q5_K_M] = 17,
        [NX_RECIPE_Q6_K] = 18,   [NX_RECIPE_IQ4_NL] = 25, [NX_RECIPE_IQ4_XS] = 30,
        [NX_RECIPE_BF16] = 32,
    };

    return nx_recipe_is_apart(r) ? -1 : types[r];
}
