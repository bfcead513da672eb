"""Protects folders that bring tokenizer.model alone: `nexus tokenize` gives the ids of
`sentencepiece` (of `tiktoken` for Llama 3's form), with the tokens that the files beside it add.

Usage: test_tokenizer_model.py [PROGRAM]        (default: $NEXUS_BIN)
"""
import base64
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import sentencepiece
import tiktoken
from random_texts import random_text
from test_tiktoken import LLAMA3, trained

SEED = 20261123
N_TEXTS = 40


def make_folder(path, n_tokens):
    """The smallest model that opens."""
    from transformers import LlamaConfig, LlamaForCausalLM
    config = LlamaConfig(vocab_size=n_tokens, hidden_size=32, intermediate_size=32,
                         num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
    LlamaForCausalLM(config).save_pretrained(path)


def ours(program, folder, text):
    done = subprocess.run([program, "tokenize", "-m", str(folder), "-"], input=text.encode(),
                          capture_output=True, check=True)
    return [int(i) for i in done.stdout.split()]


def through_gguf(program, folder, text):
    """The ids once more, from the folder written as one file."""
    path = folder / "model.gguf"
    subprocess.run([program, "quantize", str(folder), str(path), "--type", "q8_0"], check=True,
                   capture_output=True)
    return ours(program, path, text)


def sentencepiece_folder(folder, rng):
    """Its judge: bos, then what stands between the added tokens, each from its dummy prefix on."""
    text = folder / "text.txt"
    text.write_text("\n".join(pathlib.Path(__file__).read_text().splitlines() * 30))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=400,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        hard_vocab_limit=False, minloglevel=2)
    judge = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    n = judge.get_piece_size()
    make_folder(folder, n + 2)
    (folder / "added_tokens.json").write_text(json.dumps({"<|turn|>": n, "plain<add>": n + 1}))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"add_bos_token": True, "bos_token": "<s>", "eos_token": {"content": "</s>"},
         "added_tokens_decoder": {str(n): {"content": "<|turn|>", "special": True}}}))
    parts = [random_text(rng) for _ in range(N_TEXTS)]
    text, want = "", [judge.bos_id()]
    for i, part in enumerate(parts):
        added = rng.choice([("<|turn|>", n), ("plain<add>", n + 1)])
        text += part + added[0]
        want += judge.encode(part) + [added[1]]
    return text, want


def llama3_folder(folder, rng):
    texts = [random_text(rng) for _ in range(400)]
    ranks = trained(texts, rng, 500)
    (folder / "tokenizer.model").write_text(
        "".join(f"{base64.b64encode(t).decode()} {i}\n" for t, i in ranks.items()))
    make_folder(folder, len(ranks) + 256)
    judge = tiktoken.Encoding("judge", pat_str=LLAMA3, mergeable_ranks=ranks,
                              special_tokens={"<|begin_of_text|>": len(ranks),
                                              "<|eot_id|>": len(ranks) + 9})
    text = "<|eot_id|>".join(texts[:N_TEXTS])
    return text, [len(ranks)] + judge.encode(text, allowed_special="all")


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.environ["NEXUS_BIN"]
    failed = 0
    for make in (sentencepiece_folder, llama3_folder):
        with tempfile.TemporaryDirectory() as folder:
            text, want = make(pathlib.Path(folder), random.Random(SEED))
            got = ours(program, folder, text)
            if got == want:
                got = through_gguf(program, pathlib.Path(folder), text)
            same = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), len(want))
            wrong = got != want
            print(f"{make.__name__}: {len(want)} ids, "
                  + (f"id {same} is {got[same:same + 4]}, expected {want[same:same + 4]}" if wrong
                     else "equal"))
            failed += wrong
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
