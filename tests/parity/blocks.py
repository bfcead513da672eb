"""Random valid blocks of every GGUF type that Nexus decodes."""
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Type -> byte offsets of its f16 scales in a block (src/num/blocks.h draws the layouts).
SCALES = {
    "F32": [], "F16": [0], "BF16": [],
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0],
}
TYPES = list(SCALES)


def random_blocks(rng: np.random.Generator, name: str, n_blocks: int) -> np.ndarray:
    """[n_blocks, block_bytes] uint8: any codes, any finite scales (zeros, subnormals, both signs).

    Plain types are any finite value; F32 and F16 come in their own dtype, as the gguf package
    wants them.
    """
    _, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    raw = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
    for at in SCALES[name]:
        half = raw[:, at:at + 2].copy().view(np.uint16)
        half = np.where((half & 0x7C00) == 0x7C00, half & 0xBFFF, half).astype(np.uint16)
        raw[:, at:at + 2] = half.view(np.uint8)
    if name == "BF16":    # exponent of all ones: infinity or NaN
        half = raw.view(np.uint16)
        half[(half & 0x7F80) == 0x7F80] &= 0xBFFF
    if name == "F32":
        word = raw.view(np.uint32)
        word[(word & 0x7F800000) == 0x7F800000] &= 0xBFFFFFFF
        return word.view(np.float32)
    return raw.view(np.float16) if name == "F16" else raw


def sane_blocks(rng: np.random.Generator, name: str, shape: tuple, std: float) -> np.ndarray:
    """[rows, row_bytes] uint8 of a quantised type: any codes, scales such that the numbers of
    `shape` have mean 0 and this standard deviation; for types that the gguf package can't encode.
    """
    qtype = GGMLQuantizationType[name]
    block_len, block_bytes = GGML_QUANT_SIZES[qtype]
    n_blocks = shape[0] * shape[1] // block_len
    raw = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)

    def decode(*halves):
        for at, half in zip(SCALES[name], halves):
            half = np.broadcast_to(np.asarray(half, np.float16).reshape(-1, 1), (n_blocks, 1))
            raw[:, at:at + 2] = half.copy().view(np.uint8)
        return dequantize(raw, qtype)

    offset = 0.0    # of the second scale, at d = 1
    if len(SCALES[name]) == 2:
        offset = -decode(1.0, 0.0).mean() / decode(0.0, 1.0).mean()
    d = rng.uniform(0.5, 1.5, n_blocks) * std / decode(1.0, offset).std()
    if len(SCALES[name]) == 1:
        d *= rng.choice([-1.0, 1.0], n_blocks)
    decode(d, d * offset)
    return raw.reshape(shape[0], -1)
