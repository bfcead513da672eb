"""Random tiny encoders of every kind: made by transformers, saved as sentence-transformers does.

One call: for case in CASES: model = build(case, seed); save(model, case, folder)
          rows = hidden(model, ids); vector = pool(rows, case.pooling)
"""
import dataclasses
import json
import os

import numpy as np
import tokenizers
import torch
import transformers as tf

VOCAB = 300
WORDS = ("the model reads what it was given and says what comes next alpha beta gamma delta epsilon "
         "zeta eta theta iota kappa lambda mu nu xi omicron question answer passage query").split()


@dataclasses.dataclass
class Case:
    kind: str                 # model_type
    name: str                 # what is particular about it
    config: tf.PretrainedConfig
    pooling: str = "mean"     # mean, cls, lasttoken
    length: int = 64          # max_seq_length
    prompts: dict = dataclasses.field(default_factory=dict)
    include_prompt: bool = True


def sized(hidden, ffn, heads, layers=2, **more):
    return {"vocab_size": VOCAB, "hidden_size": hidden, "intermediate_size": ffn,
            "num_hidden_layers": layers, "num_attention_heads": heads,
            "max_position_embeddings": 128, "pad_token_id": 0, **more}


def berts():
    yield Case("bert", "heads of 16", tf.BertConfig(**sized(64, 160, 4)))
    yield Case("bert", "odd sizes, cls, three layers", tf.BertConfig(
        **sized(90, 77, 3, layers=3, layer_norm_eps=1e-5, hidden_act="gelu_new")), "cls")
    yield Case("bert", "prompts, relu, one segment", tf.BertConfig(
        **sized(48, 96, 6, hidden_act="relu", type_vocab_size=1)),
        prompts={"query": "query: ", "document": "passage: "})
    yield Case("bert", "prompt left out of the mean", tf.BertConfig(**sized(32, 64, 2)),
               prompts={"query": "the question "}, include_prompt=False)


def robertas():
    yield Case("xlm-roberta", "positions from 2", tf.XLMRobertaConfig(
        **sized(64, 128, 4, type_vocab_size=1) | {"pad_token_id": 1, "max_position_embeddings": 130}))
    yield Case("xlm-roberta", "cls, positions from 1", tf.XLMRobertaConfig(
        **sized(48, 100, 3, layers=3, type_vocab_size=1)), "cls")
    yield Case("roberta", "positions from 2", tf.RobertaConfig(
        **sized(32, 96, 2, type_vocab_size=1) | {"pad_token_id": 1}))


def mpnets():
    yield Case("mpnet", "far distances", tf.MPNetConfig(
        **sized(64, 128, 4) | {"pad_token_id": 1, "max_position_embeddings": 514}), length=384)
    yield Case("mpnet", "cls, three layers", tf.MPNetConfig(
        **sized(48, 64, 6, layers=3) | {"pad_token_id": 1}), "cls")


def nomics():
    yield Case("nomic_bert", "rope, gated", tf.NomicBertConfig(**sized(64, 96, 4)))
    yield Case("nomic_bert", "theta, prompts", tf.NomicBertConfig(
        **sized(48, 80, 2, layers=3, rope_parameters={"rope_type": "default", "rope_theta": 500.0})),
        prompts={"query": "search_query: ", "document": "search_document: "})


def moderns():
    yield Case("modernbert", "local 16 of 4 layers", tf.ModernBertConfig(
        **sized(64, 96, 4, layers=4, local_attention=16)), length=120)
    yield Case("modernbert", "local 6, biases, cls, thetas", tf.ModernBertConfig(
        **sized(48, 64, 3, layers=3, local_attention=6, attention_bias=True, rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 5000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}})), "cls", length=120)


def decoders():
    yield Case("qwen3", "last token", tf.Qwen3Config(
        **sized(64, 128, 4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True)),
        "lasttoken", prompts={"query": "Instruct: find what answers. Query: "})


tf.utils.logging.set_verbosity_error()
tf.utils.logging.disable_progress_bar()
CASES = [c for group in (berts, robertas, mpnets, nomics, moderns, decoders) for c in group()]


def build(case, seed):
    """The model, with weights such that all of them matter."""
    torch.manual_seed(seed)
    model = tf.AutoModel.from_config(case.config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                norm = name.endswith(".weight") and "norm" in name.lower()
                p.copy_((1.0 if norm else 0.0) + 0.2 * torch.randn(p.shape))
            elif "embed" in name or "relative_attention_bias" in name:
                p.copy_(0.3 * torch.randn(p.shape))
            else:
                p.copy_(1.5 * torch.randn(p.shape) / p.shape[-1] ** 0.5)
    return model


def wordpiece():
    """BERT's tokenizer, of VOCAB tokens."""
    tok = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = tokenizers.normalizers.BertNormalizer()
    tok.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789.,:!?")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters),
              *sorted(set(WORDS)), *("##" + e for e in ("ing", "ed", "ly", "er", "est"))]
    vocab = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
    while len(vocab) < VOCAB:
        vocab[f"[unused{len(vocab)}]"] = len(vocab)
    tok.model = tokenizers.models.WordPiece(vocab, unk_token="[UNK]")
    tok.decoder = tokenizers.decoders.WordPiece()
    tok.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tok.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])])
    assert tok.get_vocab_size() == VOCAB
    return tok, {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]",
                 "sep_token": "[SEP]", "mask_token": "[MASK]"}


def tokenizer_of(case):
    return wordpiece()


def dump(folder, name, value):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)


def save(model, case, folder, normalize=False):
    """With the small files of sentence-transformers beside it."""
    os.makedirs(folder)
    model.save_pretrained(folder)
    tok, special = tokenizer_of(case)
    tok.save(os.path.join(folder, "tokenizer.json"))
    dump(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **special})
    modules = ["Transformer", "Pooling"] + (["Normalize"] if normalize else [])
    dump(folder, "modules.json",
         [{"idx": i, "name": str(i), "path": f"{i}_{m}" if i else "",
           "type": f"sentence_transformers.models.{m}"} for i, m in enumerate(modules)])
    fields = {"cls": "cls_token", "mean": "mean_tokens", "lasttoken": "lasttoken"}
    dump(folder, "1_Pooling/config.json",
         {"word_embedding_dimension": case.config.hidden_size, "include_prompt": case.include_prompt,
          **{f"pooling_mode_{f}": m == case.pooling for m, f in fields.items()}})
    dump(folder, "sentence_bert_config.json", {"max_seq_length": case.length, "do_lower_case": False})
    dump(folder, "config_sentence_transformers.json", {"prompts": case.prompts})


def texts(rng, n, length=0):
    out = ["", "the", "query: what?", "Ünïcödé answers, PLAYING the model."]
    if length > 100:
        out.append(" ".join(rng.choice(WORDS) for _ in range(length // 2)))
    while len(out) < n:
        out.append(" ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 40))))
    return out


def hidden(model, ids) -> np.ndarray:
    """[n_ids, hidden] f32, behind the last norm."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([list(ids)])).last_hidden_state[0].float().numpy()


def pool(rows, pooling, skip=0):
    if pooling == "cls":
        return rows[0]
    return rows[-1] if pooling == "lasttoken" else rows[skip:].mean(0)
