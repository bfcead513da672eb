/* dtype.c - the one table of data types, and the names of those that we only know by name. */
#include "num/dtype.h"

#include <assert.h>
#include <strings.h>

#include "num/blocks.h"
#include "num/decode.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "weights are mapped from little-endian files as they are");

const int8_t nx_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

static const nx_dtype_info infos[NX_DTYPE_COUNT] = {
#define X(NAME, text, type, len, id)                                                               \
    [NX_DTYPE_##NAME] = {text, len, sizeof(type), id, nx_decode_##NAME},
    NX_DTYPE_TABLE(X) NX_DTYPE_APART_TABLE(X)
#undef X
};

/* Every type number that GGUF files have ever used (ggml.h and the gguf package 0.19). Numbers 4,
 * 5, 31..33 and 36..38 were withdrawn; old files still carry them, so a refusal can name them. */
static const char *const gguf_names[] = {
    [0] = "F32",     [1] = "F16",         [2] = "Q4_0",        [3] = "Q4_1",        [4] = "Q4_2",
    [5] = "Q4_3",    [6] = "Q5_0",        [7] = "Q5_1",        [8] = "Q8_0",        [9] = "Q8_1",
    [10] = "Q2_K",   [11] = "Q3_K",       [12] = "Q4_K",       [13] = "Q5_K",       [14] = "Q6_K",
    [15] = "Q8_K",   [16] = "IQ2_XXS",    [17] = "IQ2_XS",     [18] = "IQ3_XXS",    [19] = "IQ1_S",
    [20] = "IQ4_NL", [21] = "IQ3_S",      [22] = "IQ2_S",      [23] = "IQ4_XS",     [24] = "I8",
    [25] = "I16",    [26] = "I32",        [27] = "I64",        [28] = "F64",        [29] = "IQ1_M",
    [30] = "BF16",   [31] = "Q4_0_4_4",   [32] = "Q4_0_4_8",   [33] = "Q4_0_8_8",   [34] = "TQ1_0",
    [35] = "TQ2_0",  [36] = "IQ4_NL_4_4", [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8", [39] = "MXFP4",
    [40] = "NVFP4",  [41] = "Q1_0",
};

const nx_dtype_info *nx_dtype_get(nx_dtype t)
{
    assert((unsigned)t < NX_DTYPE_COUNT);
    return &infos[t];
}

bool nx_dtype_by_name(nx_dtype *out, const char *name)
{
    for (int t = 0; t < NX_DTYPE_COUNT; t++) {
        if (strcasecmp(infos[t].name, name) != 0) continue;
        *out = (nx_dtype)t;
        return true;
    }
    return false;
}

bool nx_dtype_by_gguf_id(nx_dtype *out, uint32_t gguf_id)
{
    for (int t = 0; t < NX_DTYPE_GGUF_COUNT; t++) {
        if (infos[t].gguf_id != gguf_id) continue;
        *out = (nx_dtype)t;
        return true;
    }
    return false;
}

const char *nx_gguf_type_name(uint32_t gguf_id)
{
    return gguf_id < sizeof gguf_names / sizeof *gguf_names ? gguf_names[gguf_id] : NULL;
}
