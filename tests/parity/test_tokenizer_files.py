"""Protects what a tokenizer means in its other clothes: a folder's small files beside
tokenizer.json, judged by transformers' AutoTokenizer; and the same vocabulary exported to GGUF's
keys and read again, which must give the ids of the folder.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from tokenizers import AddedToken, Tokenizer, pre_tokenizers  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

import test_tokenizer_json as judge  # noqa: E402

N_TEXTS = int(os.environ.get("NX_TOKENIZER_TEXTS", "120"))
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64,
          "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4,
          "num_key_value_heads": 2, "vocab_size": 4000, "rms_norm_eps": 1e-5}


def ask(path, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([judge.PROGRAM, path], input=lines.encode(), capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def first_difference(texts, got, want):
    wrong = [(t, g, w) for t, g, w in zip(texts, got, want) if g != w]
    if not wrong:
        return None
    text, g, w = min(wrong, key=lambda x: len(x[0]))
    return f"{len(wrong)} of {len(texts)} differ; {text!r}:\n  ours   {g}\n  theirs {w}"


# ---- Folders --------------------------------------------------------------------------------------

# tokenizer_config.json, and what else lies beside tokenizer.json.
SIDE_FILES = {
    "plain": {"tokenizer_config.json": {}},
    "bos": {"tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>",
                                      "add_bos_token": True, "add_eos_token": False}},
    "both": {"tokenizer_config.json": {"bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>", "special": True,
                                                     "normalized": False, "lstrip": False,
                                                     "rstrip": False, "single_word": False},
                                       "add_bos_token": True, "add_eos_token": True}},
    "neither": {"tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>",
                                          "add_bos_token": False}},
    "new-special": {"tokenizer_config.json": {"bos_token": "<s>", "pad_token": "<new-pad>",
                                              "additional_special_tokens": ["<|im|>", "the"]}},
    "decoder": {"tokenizer_config.json": {
        "bos_token": "<s>", "added_tokens_decoder": {
            "9001": {"content": "<late>", "lstrip": True, "rstrip": False, "normalized": False,
                     "single_word": False, "special": True},
            "9000": {"content": "soon", "lstrip": False, "rstrip": True, "normalized": True,
                     "single_word": True, "special": False}}}},
}
EXTRA_WORDS = ["<|im|>", " <late>", "soon ", "the", "<new-pad>", "</s>", "<s> "]


def check_folder(folder, t, side):
    (folder / "config.json").write_text(json.dumps(CONFIG))
    t.save(str(folder / "tokenizer.json"))
    for name, value in side.items():
        (folder / name).write_text(json.dumps(value | {"tokenizer_class": "TokenizersBackend"}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rng = random.Random(7)
    texts = ["", "a"] + ["".join(rng.choice([judge.random_text(rng), rng.choice(EXTRA_WORDS)])
                                 for _ in range(3)) for _ in range(N_TEXTS)]
    want = []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        want.append([ids, tokenizer(text, add_special_tokens=False)["input_ids"],
                     tokenizer.decode(ids, skip_special_tokens=True,
                                      clean_up_tokenization_spaces=False),
                     tokenizer.decode(ids, clean_up_tokenization_spaces=False)])
    return first_difference(texts, ask(folder, texts), want)


# ---- GGUF -----------------------------------------------------------------------------------------

def with_all_merges(t):
    """As SentencePiece merges: whatever two tokens make a third, the earlier-learnt third first."""
    config = json.loads(t.to_str())
    vocab = config["model"]["vocab"]
    merges = [(vocab[token], token[:k], token[k:]) for token in vocab for k in range(1, len(token))
              if token[:k] in vocab and token[k:] in vocab and vocab[token] > 258]
    config["model"]["merges"] = [[a, b] for _, a, b in
                                 sorted(merges, key=lambda m: (m[0], len(m[1]), len(m[2])))]
    return Tokenizer.from_str(json.dumps(config))


def exported(texts):
    make = dict(judge.configurations(texts))
    for name in ("gpt2", "llama3", "qwen2", "gpt4o"):
        yield name, make[name]()
    starcoder = judge.byte_level(texts)
    starcoder.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)])
    yield "starcoder", starcoder
    for name in ("llama2-legacy", "mistral", "gemma"):
        yield name, with_all_merges(make[name]())


def check_export(folder, name, t):
    t.add_special_tokens([AddedToken("<|im|>", special=True, normalized=False)])
    t.add_tokens([AddedToken("<|user|>", special=False, normalized=False)])
    source, out = folder / f"{name}.json", folder / f"{name}.gguf"
    t.save(str(source))
    done = subprocess.run([judge.PROGRAM, source, out], capture_output=True)
    if done.returncode:
        return done.stderr.decode()
    rng = random.Random(11)
    texts = ["", "a"] + [judge.random_text(rng) for _ in range(N_TEXTS)]
    # GGUF has no words for a literal mark, nor for NFC.
    texts = [re.sub("\u2581|<unk>|<0x41>|<s>|</s>", "", text) for text in texts]
    if name == "qwen2":
        texts = [judge.normalizers.NFC().normalize_str(text) for text in texts]
    if name == "mistral":  # Metaspace takes a leading space for the prefix, SentencePiece adds one
        texts = [text.lstrip(" ") for text in texts]
    texts += ["a<|im|>b", "x <|user|> y"] if "2-" not in name and name != "mistral" else []
    return first_difference(texts, [a and a[1] for a in ask(out, texts)],
                            [a and a[1] for a in ask(source, texts)])


def main():
    texts = judge.corpus(random.Random(judge.SEED))
    make = dict(judge.configurations(texts))
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for base in ("llama3", "mistral"):
            for name, side in SIDE_FILES.items():
                t = make[base]()
                t.add_special_tokens(["<s>", "</s>"])
                folder = scratch / f"{base}-{name}"
                folder.mkdir()
                wrong = check_folder(folder, t, side)
                print(f"folder {base}, {name}: {wrong or 'equal'}", flush=True)
                failed += wrong is not None
        for name, t in exported(texts):
            wrong = check_export(scratch, name, t)
            print(f"export {name}: {wrong or 'equal'}", flush=True)
            failed += wrong is not None
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
