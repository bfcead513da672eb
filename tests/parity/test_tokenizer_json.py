"""Protects tokenizer.json: ids and decoded text equal those of Hugging Face's `tokenizers`, for
tokenizers trained here over many configurations of each kind, on random Unicode strings.

The strings mix words of many scripts, emoji sequences, combining marks, control characters, very
long words and added tokens inside words. Code points are those assigned in Unicode 14 (this
Python's), a subset of what the judge knows, and those of 15 and 16 that its regexes know.

Usage: test_tokenizer_json.py [NAME...]     only the configurations whose name holds one of these
NX_TOKENIZER_TEXTS: strings for each configuration (default 150; 5000 is the full count).
NX_TOKENIZER_SEED: another seed for them, and for the texts that the tokenizers learn from.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

SEED = int(os.environ.get("NX_TOKENIZER_SEED", "20261123"))
N_TEXTS = int(os.environ.get("NX_TOKENIZER_TEXTS", "150"))
BUILD = pathlib.Path(os.environ.get("NX_BUILD_DIR", "build/release"))
PROGRAM = BUILD / "tests/parity/token_strings"

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
DEEPSEEK_LLM = [r"[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+",
                r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+"]
DEEPSEEK_V3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
               r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?"
               r"[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?"
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
        r"|\s+")
# Patterns that no hand-written splitter knows, for the translation to PCRE2.
ODD = [r"\p{Han}+|[^\S\n]+|\n|\h{2,3}+|\w+|[^\w\s]",
       r"[[:alpha:]&&[^aeiou]]+|[\p{Lu}[0-9]]+|\W|(?m:.)",
       r"(?<!\d)\d{1,3}(?=(?:\d{3})*\b)|[^\P{L}a-z]++|\s|[\W_&&[^\s]]",
       r"^\s+|\s+$|[\u0400-\u04FF]{,3}+|(?>[a-z]+)|\x{1F300}|[\x{1F300}-\x{1FAFF}\u200d]+",
       r"\p{^L}+|\p{Lower}+|\p{Upper}{2}?|\P{M}|\p{Mn}|[[:punct:]]"]

WORDS = ["the", "The", "don't", "WE'LL", "it's", "I'D", "he\u2019d", "naïve", "straße", "İstanbul",
         "ΑΣΣΟΣ", "Привет", "日本語", "カタカナ", "ひらがな", "हिन्दी", "क्षत्रिय", "العربية", "ไทย",
         "한국어", "\u1112\u1161\u11ab", "👩\u200d💻", "👨\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "🇩🇪🇫🇷", "👍🏽",
         "🦙", "e\u0301", "q\u0323\u0307", "\u0301\u0301a", "ﬁ", "Ⅷ", "①", "ｆｕｌｌ", "½", "x²", "123",
         "4567", "٣٤", "१२३", "==", "...", "#!/", "--", "_a_b", "(", ")", "«", "»", "\u00ad",
         "\u200b", "\u200c", "\ufeff", "\u180e", "\u2581", "\u2581\u2581a", "Ġ", "Ċ", "<0x41>",
         "<unk>", "[MASK]", "ſ", "K", "Å", "\u0345", "\ufffd", "\u0130", "\u01c5", "ᾳ"]
SPACES = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000",
          "\u2028", "\u0085", "\v", "\f", "\u200a", "\u1680", "\x1c", "\x00", "\x07", "\x9f"]
RANGES = [(0x20, 0x7E), (0xA0, 0x17F), (0x180, 0x24F), (0x300, 0x36F), (0x370, 0x52F),
          (0x590, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF), (0xE00, 0xE7F), (0x1100, 0x11FF),
          (0x1780, 0x17FF), (0x1E00, 0x1FFF), (0x2000, 0x2BFF), (0x3040, 0x30FF),
          (0x3300, 0x33FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
          (0xFB00, 0xFFEF), (0x10000, 0x10FFF), (0x1D100, 0x1D7FF), (0x1F100, 0x1FAFF),
          (0x20000, 0x20FFF), (0x2F800, 0x2FA1D)]
# Letters, digits and marks that came with Unicode 15 and 16.
LATE = [0x1C89, 0x1C8A, 0x897, 0x2427, 0x31350, 0x2EBF0, 0x10D40, 0x10D50, 0x10D6E, 0x1CCD6,
        0xA7CB, 0xA7DA, 0x11BC0, 0x1E5D0, 0x1F8B2, 0x1FAE9, 0x1B4E, 0x105C0]

ADDED = [AddedToken("<|plain|>", normalized=False),
         AddedToken("<|left|>", lstrip=True, normalized=False),
         AddedToken("<|right|>", rstrip=True, normalized=False),
         AddedToken("<|both|>", lstrip=True, rstrip=True, normalized=False),
         AddedToken("word", single_word=True, normalized=False),
         AddedToken("Mixed Case", normalized=True),
         AddedToken("ÉTÉ", single_word=True, normalized=True),
         AddedToken("<n>", lstrip=True, rstrip=True, normalized=True),
         AddedToken("  ", normalized=False),
         AddedToken("<|pl", normalized=False)]
SPECIAL = [AddedToken("<s>", special=True, normalized=False),
           AddedToken("</s>", special=True, normalized=False, rstrip=True),
           AddedToken("<|sp|>", special=True, normalized=True),
           AddedToken("<|sw|>", special=True, normalized=False, single_word=True)]


# ---- Strings --------------------------------------------------------------------------------------

def assigned(first, last):
    return [chr(c) for c in range(first, last + 1)
            if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


CHARS = [assigned(*r) for r in RANGES] + [[chr(c) for c in LATE]]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(0, 24)):
        kind = rng.random()
        if kind < 0.35:
            parts.append(rng.choice(WORDS))
        elif kind < 0.6:
            parts.append(rng.choice(SPACES))
        elif kind < 0.7:
            parts.append(rng.choice(ADDED + SPECIAL).content)
        elif kind < 0.72:
            parts.append(rng.choice(["a", "é", "x̣", "日", "1", " ", "👍"]) * rng.randrange(20, 300))
        else:
            chars = rng.choice(CHARS)
            parts.append("".join(rng.choice(chars) for _ in range(rng.randrange(1, 6))))
    return "".join(parts)


def corpus(rng):
    return [random_text(rng) for _ in range(400)] + [" ".join(WORDS)] * 3


# ---- Configurations -------------------------------------------------------------------------------

def train(model, trainer, texts, **parts):
    t = Tokenizer(model)
    for name, part in parts.items():
        if name in ("normalizer", "pre_tokenizer"):
            setattr(t, name, part)
    t.train_from_iterator(texts, trainer)
    for name, part in parts.items():
        setattr(t, name, part)
    return t


def bpe(**more):
    return trainers.BpeTrainer(vocab_size=1200, show_progress=False, **more)


def byte_level(texts, pattern=None, normalizer=None, ignore_merges=False, prefix=False,
               behavior="isolated", invert=False, extra=()):
    stages = [pre_tokenizers.Split(Regex(pattern), behavior, invert)] if pattern else []
    stages += list(extra)
    stages.append(pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=not pattern))
    t = train(models.BPE(), bpe(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()), texts,
              pre_tokenizer=pre_tokenizers.Sequence(stages), decoder=decoders.ByteLevel(),
              **({"normalizer": normalizer} if normalizer else {}))
    if ignore_merges:
        t.model.ignore_merges = True
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def llama2(texts, normalizer, pre_tokenizer, strip, fuse=True, fallback=True):
    special = ["<unk>", "<s>", "</s>"] + ([f"<0x{b:02X}>" for b in range(256)] if fallback else [])
    t = train(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback),
              bpe(special_tokens=special, limit_alphabet=200), texts,
              **({"normalizer": normalizer} if normalizer else {}),
              **({"pre_tokenizer": pre_tokenizer} if pre_tokenizer else {}),
              decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                         decoders.Fuse()] +
                                        ([decoders.Strip(" ", 1, 0)] if strip else [])))
    config = json.loads(t.to_str())
    config["added_tokens"] = [a for a in config["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(config))
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return t


def splits(texts, patterns, *more, **parts):
    stages = [pre_tokenizers.Split(Regex(x), "isolated") for x in patterns]
    stages += [*more, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    return train(models.BPE(), bpe(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()), texts,
                 pre_tokenizer=pre_tokenizers.Sequence(stages), decoder=decoders.ByteLevel(), **parts)


def clip(texts):
    t = train(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False),
              bpe(special_tokens=["<unk>"], end_of_word_suffix="</w>",
                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet()), texts,
              normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Replace(
                  Regex(r"\s+"), " "), normalizers.Lowercase()]),
              pre_tokenizer=pre_tokenizers.Sequence(
                  [pre_tokenizers.Split(Regex(CLIP), "removed", invert=True),
                   pre_tokenizers.ByteLevel(add_prefix_space=False)]),
              decoder=decoders.ByteLevel())
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1), add_prefix_space=False)
    return t


def neox(texts):
    t = byte_level(texts, normalizer=normalizers.NFC())
    t.add_tokens([AddedToken(" " * n, normalized=True) for n in (2, 3, 4, 8)])
    return t


def unigram(texts, normalizer, pre_tokenizer, fallback=False):
    special = ["<pad>", "</s>", "<unk>"] + ([f"<0x{b:02X}>" for b in range(256)] if fallback else [])
    t = train(models.Unigram(), trainers.UnigramTrainer(
        vocab_size=8000, show_progress=False, special_tokens=special, unk_token="<unk>"), texts,
        normalizer=normalizer, pre_tokenizer=pre_tokenizer, decoder=decoders.Metaspace())
    if fallback:
        config = json.loads(t.to_str())
        config["model"]["byte_fallback"] = True
        config["added_tokens"] = config["added_tokens"][:3]
        config["decoder"] = json.loads(decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace()]).__getstate__())
        t = Tokenizer.from_str(json.dumps(config))
    t.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return t


def wordpiece(texts, normalizer, pre_tokenizer, **decoder):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t = train(models.WordPiece(unk_token="[UNK]"),
              trainers.WordPieceTrainer(vocab_size=1500, show_progress=False,
                                        special_tokens=special, limit_alphabet=300), texts,
              normalizer=normalizer, pre_tokenizer=pre_tokenizer,
              decoder=decoders.WordPiece(**decoder))
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t


def wordlevel(texts, pre_tokenizer, normalizer=None, decoder=None):
    return train(models.WordLevel(unk_token="[UNK]"),
                 trainers.WordLevelTrainer(vocab_size=800, show_progress=False,
                                           special_tokens=["[UNK]"]), texts,
                 pre_tokenizer=pre_tokenizer,
                 **({"normalizer": normalizer} if normalizer else {}),
                 **({"decoder": decoder} if decoder else {}))


def suffixed(texts):
    t = train(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
              bpe(special_tokens=["<unk>"], end_of_word_suffix="</w>"), texts,
              normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]),
              pre_tokenizer=pre_tokenizers.Whitespace(), decoder=decoders.BPEDecoder("</w>"))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    return t


def prefixed(texts):
    return train(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"),
                 bpe(special_tokens=["<unk>"], continuing_subword_prefix="##", limit_alphabet=150),
                 texts, pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
                 decoder=decoders.WordPiece(cleanup=False))


def charsmap():
    """SentencePiece's nmt_nfkc map, from a model trained here."""
    import io
    import sentencepiece
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["some text to train on", "and some more of it"] * 20),
        model_writer=out, vocab_size=40, hard_vocab_limit=False, minloglevel=2,
        normalization_rule_name="nmt_nfkc")
    spec = field(out.getvalue(), 3)          # ModelProto.normalizer_spec
    return normalizers.Precompiled(field(spec, 2))  # .precompiled_charsmap


def field(message, wanted):
    """The bytes of a protobuf field of bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        size = {0: 0, 1: 8, 5: 4}.get(key & 7)
        size = varint() if key & 7 == 2 else size
        if key & 7 == 0:
            varint()
        if key == wanted << 3 | 2:
            return message[at:at + size]
        at += size
    return b""


def configurations(texts):
    n, p, d = normalizers, pre_tokenizers, decoders
    yield "gpt2", lambda: byte_level(texts)
    yield "gpt2-prefix", lambda: byte_level(texts, prefix=True)
    yield "llama3", lambda: byte_level(texts, LLAMA3, ignore_merges=True)
    yield "llama3-removed", lambda: byte_level(texts, LLAMA3, behavior="removed", invert=True)
    yield "qwen2", lambda: byte_level(texts, QWEN2, normalizer=n.NFC())
    yield "gpt4o", lambda: byte_level(texts, GPT4O, ignore_merges=True)
    yield "digits", lambda: byte_level(texts, QWEN2, extra=[p.Digits(individual_digits=True)])
    yield "byte-level-normalizer", lambda: train(
        models.BPE(), bpe(initial_alphabet=p.ByteLevel.alphabet()), texts,
        normalizer=n.Sequence([n.NFKC(), n.ByteLevel()]), decoder=d.ByteLevel())
    yield "falcon", lambda: train(
        models.BPE(), bpe(initial_alphabet=p.ByteLevel.alphabet()), texts,
        pre_tokenizer=p.Sequence([p.Punctuation("contiguous"), p.ByteLevel(add_prefix_space=False),
                                  p.Digits(), p.Split(Regex("[0-9][0-9][0-9]"), "isolated")]),
        decoder=d.ByteLevel())
    for i, odd in enumerate(ODD):
        for behavior in ("isolated", "merged_with_previous", "merged_with_next", "contiguous",
                         "removed")[i % 5:i % 5 + 1]:
            yield f"odd{i}-{behavior}", lambda o=odd, b=behavior, v=i % 2 == 1: byte_level(
                texts, o, behavior=b, invert=v)
    yield "llama2-legacy", lambda: llama2(
        texts, n.Sequence([n.Prepend("▁"), n.Replace(" ", "▁")]), None, True)
    yield "mistral", lambda: llama2(
        texts, None, p.Metaspace(prepend_scheme="first", split=False), True)
    yield "metaspace-always", lambda: llama2(
        texts, None, p.Metaspace(prepend_scheme="always"), True, fuse=False)
    yield "gemma", lambda: llama2(texts, n.Replace(" ", "▁"),
                                  p.Split(" ", "merged_with_previous"), False)
    yield "no-fallback", lambda: llama2(
        texts, n.Replace(Regex(r"\s{2,}"), " "), p.Metaspace(prepend_scheme="never"), False,
        fuse=True, fallback=False)
    yield "no-fallback-unfused", lambda: llama2(
        texts, n.Strip(), p.Metaspace(prepend_scheme="first"), False, fuse=False, fallback=False)
    yield "t5", lambda: unigram(texts, charsmap(), p.Metaspace())
    yield "xlmr", lambda: unigram(
        texts, n.Sequence([n.Nmt(), n.NFKC(), n.Replace(Regex(" {2,}"), " ")]),
        p.Sequence([p.WhitespaceSplit(), p.Metaspace()]))
    yield "unigram-fallback", lambda: unigram(
        texts, n.Sequence([charsmap(), n.Strip(left=False, right=True), n.Replace(Regex(" {2,}"), "▁")]),
        p.Metaspace(prepend_scheme="first"), fallback=True)
    yield "albert", lambda: unigram(texts, n.Sequence(
        [n.Replace("``", '"'), n.Replace("''", '"'), n.NFKD(), n.StripAccents(), n.Lowercase(),
         charsmap()]), p.Metaspace())
    yield "bloom", lambda: splits(texts, [BLOOM])
    yield "deepseek-llm", lambda: splits(texts, DEEPSEEK_LLM, p.Digits(individual_digits=True))
    yield "deepseek-v3", lambda: splits(texts, DEEPSEEK_V3)
    yield "kimi", lambda: splits(texts, [KIMI])
    yield "clip", lambda: clip(texts)
    yield "neox", lambda: neox(texts)
    yield "bert-uncased", lambda: wordpiece(texts, n.BertNormalizer(), p.BertPreTokenizer())
    yield "bert-cased", lambda: wordpiece(
        texts, n.BertNormalizer(lowercase=False, handle_chinese_chars=False),
        p.BertPreTokenizer(), cleanup=False)
    yield "wordpiece-nfd", lambda: wordpiece(
        texts, n.Sequence([n.NFD(), n.StripAccents(), n.Lowercase()]), p.Whitespace())
    yield "wordpiece-nfkd", lambda: wordpiece(
        texts, n.NFKD(), p.Sequence([p.WhitespaceSplit(), p.Punctuation("merged_with_next")]))
    yield "words", lambda: wordlevel(texts, p.Whitespace())
    yield "words-chars", lambda: wordlevel(texts, p.CharDelimiterSplit("a"), decoder=d.Fuse())
    yield "words-fixed", lambda: wordlevel(texts, p.FixedLength(3), n.Lowercase(),
                                           d.CTC(pad_token="the"))
    yield "scripts", lambda: wordlevel(texts, p.UnicodeScripts(), n.NFKC(), d.Sequence(
        [d.Replace(Regex(r"\p{L}(?=\p{M})"), "_"), d.Fuse(), d.Strip("a", 2, 0)]))
    yield "suffix", lambda: suffixed(texts)
    yield "prefix", lambda: prefixed(texts)


# ---- The comparison -------------------------------------------------------------------------------

def wanted(t, text):
    try:
        around = t.encode(text).ids
        return [around, t.encode(text, add_special_tokens=False).ids, t.decode(around),
                t.decode(around, skip_special_tokens=False)]
    except Exception:
        return None


def check(t, path, texts):
    """None, or the first difference."""
    t.save(str(path))
    t = Tokenizer.from_file(str(path))
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([PROGRAM, path], input=lines.encode(), capture_output=True)
    if done.returncode:
        return done.stderr.decode()
    got = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    if len(got) != len(texts):
        return f"{len(got)} answers for {len(texts)} texts"
    wrong = [(text, g, w) for text, g in zip(texts, got) if g != (w := wanted(t, text))]
    if not wrong:
        return None
    text, got, want = min(wrong, key=lambda x: len(x[0]))
    for what, g, w in zip(("ids", "ids alone", "text", "text with specials"), got or [], want or []):
        if g != w:
            at = next((i for i, (a, b) in enumerate(zip(g, w)) if a != b), min(len(g), len(w)))
            got, want = (f"{what} from {at}: {x[at:at + 40]!r}" for x in (g, w))
            break
    return f"{len(wrong)} of {len(texts)} differ; {text!r}:\n  ours   {got}\n  theirs {want}"


def main():
    names = sys.argv[1:]
    rng = random.Random(SEED)
    texts = corpus(rng)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, make in configurations(texts):
            if names and not any(n in name for n in names):
                continue
            t = make()
            t.add_tokens(ADDED)
            t.add_special_tokens(SPECIAL)
            rng = random.Random(f"{SEED} {name}")
            samples = ["", " "] + [random_text(rng) for _ in range(N_TEXTS)]
            wrong = check(t, pathlib.Path(folder) / f"{name}.json", samples)
            print(f"{name}: {wrong or 'equal'}", flush=True)
            failed += wrong is not None
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
