"""Quantises a folder of a real model's size, and watches the memory that it takes.

A bf16 folder of Llama 3 8B's shape (16 GB) is made in a scratch folder: its weights are holes in
sparse files but for a few blocks, so making it takes no disk. `nexus quantize --type nf4-dq` must stay
below 3 GB of resident memory, a killed run must leave neither folder nor file under OUT's name, and a
rerun must clean up after it.

    quantise_big.py [NEXUS]    environment:
      NX_BIG_LAYERS     how many layers (default 2, with a small vocabulary; the whole model has 32)
      NX_BIG_TYPE       nf4-dq
      NX_BIG_RSS_MAX    bytes (default 3e9)
      NX_BIG_SCRATCH    folder (default: the system's temporary one)
"""
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

EMBD, FF, KV = 4096, 14336, 1024
LAYERS = int(os.environ.get("NX_BIG_LAYERS", "2"))
VOCAB = 128256 if LAYERS >= 8 else 16384
SHARD = 5_000_000_000


def tensors(layers):
    yield "model.embed_tokens.weight", (VOCAB, EMBD)
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (EMBD,)
        yield p + "mlp.down_proj.weight", (EMBD, FF)
        yield p + "mlp.gate_proj.weight", (FF, EMBD)
        yield p + "mlp.up_proj.weight", (FF, EMBD)
        yield p + "post_attention_layernorm.weight", (EMBD,)
        for name, rows in (("k", KV), ("o", EMBD), ("q", EMBD), ("v", KV)):
            yield p + f"self_attn.{name}_proj.weight", (rows, EMBD)
    yield "model.norm.weight", (EMBD,)
    yield "lm_head.weight", (VOCAB, EMBD)


def shards(layers):
    now, size = [], 0
    for name, shape in tensors(layers):
        n = 2
        for side in shape:
            n *= side
        if now and size + n > SHARD:
            yield now, size
            now, size = [], 0
        now.append((name, shape, size, size + n))
        size += n
    yield now, size


def write_shard(path, entries, size, rng):
    header = {"__metadata__": {"format": "pt"}}
    for name, shape, begin, end in entries:
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + size)
        for _, _, begin, end in entries:    # something else than zeros here and there
            f.seek(8 + len(text) + begin)
            numbers = [0x3C00 + rng.randrange(0x200) | rng.randrange(2) << 15 for _ in range(2048)]
            f.write(struct.pack("<2048H", *numbers)[:end - begin])


def make(folder, layers):
    rng = random.Random(1)
    os.makedirs(folder)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": EMBD,
        "intermediate_size": FF, "num_hidden_layers": layers, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": VOCAB, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8192, "rope_theta": 500000.0, "tie_word_embeddings": False,
        "hidden_act": "silu", "torch_dtype": "bfloat16"}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)
    parts, index, total = list(shards(layers)), {}, 0
    for i, (entries, size) in enumerate(parts):
        name = f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors"
        write_shard(os.path.join(folder, name), entries, size, rng)
        index.update({e[0]: name for e in entries})
        total += size
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": index}, f)
    return total


def resident(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def run(command, kill_after=None):
    """Exit status, the largest resident size seen, seconds."""
    start, most = time.monotonic(), 0
    with subprocess.Popen(command) as p:
        while p.poll() is None:
            most = max(most, resident(p.pid))
            if kill_after is not None and time.monotonic() - start > kill_after:
                p.send_signal(signal.SIGKILL)
            time.sleep(0.02)
    return p.returncode, most, time.monotonic() - start


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["NEXUS_BIN"]
    layers = LAYERS
    kind = os.environ.get("NX_BIG_TYPE", "nf4-dq")
    limit = float(os.environ.get("NX_BIG_RSS_MAX", "3e9"))
    scratch = tempfile.mkdtemp(dir=os.environ.get("NX_BIG_SCRATCH"))
    try:
        source, out = os.path.join(scratch, "bf16"), os.path.join(scratch, kind)
        total = make(source, layers)
        room = shutil.disk_usage(scratch).free
        if room < total * 0.5 + 1e9:
            print(f"skipped: {scratch} has {room / 1e9:.1f} GB left")
            return 77
        command = [program, "quantize", source, out, "--type", kind]
        rc, _, _ = run(command, kill_after=0.5)
        assert rc == -signal.SIGKILL, f"finished within half a second: {rc}"
        assert not os.path.exists(out), "a killed run left its output"
        rc, most, seconds = run(command)
        assert rc == 0, f"exit status {rc}"
        assert sorted(os.listdir(scratch)) == ["bf16", kind], os.listdir(scratch)
        print(f"{total / 1e9:.1f} GB to {kind}: resident {most / 1e9:.2f} GB, {seconds:.0f} s, "
              f"{total / seconds / 1e9:.2f} GB/s")
        if most > limit:
            print(f"more than {limit / 1e9:.1f} GB of resident memory")
            return 1
    finally:
        shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
