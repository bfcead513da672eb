#!/usr/bin/env python3
"""calibrate.py - fits the coefficients of src/rag/relevance.c, and says how well they do on questions kept aside.

    build/venv/bin/python tools/eval/calibrate.py [--bench build/release/bench_extract]

Questions: the development half of tests/eval over examples/docs (never the other half); each answerable one once more
with the documents that answer it taken away, unless another passage holds the phrase (a near miss); and
calibration/elsewhere.txt, which no such document answers. Passages are found here by a search of a few lines (MiniLM and
BM25), so that no coefficient is bent to a detail of the program's own. What is seen of them comes from bench/extract.c.

Needs sentence-transformers, scikit-learn and nltk. Prints the coefficients; they are copied by hand.
"""

import argparse
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from nltk.stem.snowball import SnowballStemmer
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold

import doctext

ROOT = Path(__file__).resolve().parents[2]
TAKEN = 6           # passages for each question
CHUNK = 900         # characters of a chunk, about
# A question counts so much: what is refused wrongly costs most; a near miss made by rule may be none.
WEIGHT = {"answerable": 3, "dropped": 0.6, "near": 2, "out": 1}
REL = "cosine cosine_mean share share_all missing missing_rare missing_name words agree length".split()
UNIT = "share share_lead cosine want want_not rank passage line short length names new".split()
FOUND = REL + "score unit_cosine unit_share unit_share_lead unit_want_not".split()
REL_USED = ["cosine", "cosine_mean", "share_all", "missing_name", "agree"]
FOUND_USED = ["cosine", "share_all", "missing_name", "score", "unit_cosine", "unit_share_lead"]
STOP = set("a about all am an and any are as at be been by can did do does doing for from had has have he her his how i "
           "if in into is it its me my no nor not of on or our so than that the their them then there these they this "
           "to was we were what when where which who whom why will with you your".split())


def flat(text):
    return " ".join(text.split()).lower()


# ---- A search ----

def chunks(text, title):
    """(heading, span) of about CHUNK characters, cut at blank lines."""
    out, heading, span, under = [], "", "", ""
    for part in re.split(r"\n\s*\n", text):
        part = part.strip("\n")
        if not part.strip():
            continue
        first = part.split("\n")[0]
        named = re.match(r"#+ (.*)", part)
        if named or (first.isupper() and len(first) < 50):
            if span:
                out.append((under, span))
            span, heading = "", named.group(1) if named else first
        if span and len(span) + len(part) > CHUNK:
            out.append((under, span))
            span = ""
        under = under if span else heading
        span = f"{span}\n\n{part}" if span else part
        while len(span) > CHUNK * 1.6:
            cut = max(span.rfind("\n", 0, CHUNK), span.rfind(" ", 0, CHUNK), CHUNK // 3)
            out.append((under, span[:cut]))
            span = span[cut:].lstrip()
    if span:
        out.append((under, span))
    return [{"title": title, "headings": h, "text": t} for h, t in out]


class Corpus:
    def __init__(self, folder, model):
        self.model, self.stem = model, SnowballStemmer("english").stem
        self.chunks = []
        for path in sorted(folder.rglob("*")):
            text = doctext.text_of(path) if path.is_file() and path.parent != folder else None
            if text:
                title = re.search(r"^# (.+)$", text, re.M)
                for c in chunks(text, title.group(1) if title else path.name):
                    self.chunks.append(c | {"source": str(path.relative_to(folder))})
        self.vectors = model.encode(["\n".join((c["title"], c["headings"], c["text"])) for c in self.chunks],
                                    normalize_embeddings=True)
        self.counts, self.spread = [], {}
        for c in self.chunks:
            count = {}
            for w in self.words(" ".join((c["title"], c["headings"], c["text"]))):
                count[w] = count.get(w, 0) + 1
            self.counts.append(count)
            for w in count:
                self.spread[w] = self.spread.get(w, 0) + 1

    def words(self, text):
        return [self.stem(w) for w in re.findall(r"\w+", text.lower()) if w not in STOP]

    def bm25(self, question):
        n, out = len(self.chunks), np.zeros(len(self.chunks))
        asked = {w for w in self.words(question) if w in self.spread}
        for i, count in enumerate(self.counts):
            length = 0.25 + 0.75 * sum(count.values()) / 256
            for w in asked & count.keys():
                idf = math.log(1 + (n - self.spread[w] + 0.5) / (self.spread[w] + 0.5))
                out[i] += idf * count[w] * 2.2 / (count[w] + 1.2 * length)
        return out

    def search(self, question, without=()):
        cosines = self.vectors @ self.model.encode([question], normalize_embeddings=True)[0]
        words = self.bm25(question)
        gone = np.array([c["source"] in without for c in self.chunks])
        cosines, words = np.where(gone, -1, cosines), np.where(gone, 0, words)
        by_cosine, by_words = ((-x).argsort().argsort() + 1 for x in (cosines, words))
        best = np.argsort(-(cosines + 0.5 * words / (words.max() + 4)))[:TAKEN]
        return [self.chunks[i] | {"dense": float(cosines[i]), "words": float(words[i]),
                                  "rank_dense": int(by_cosine[i]), "rank_words": int(by_words[i]) if words[i] else 0}
                for i in best]


# ---- Questions ----

def questions(corpus):
    out = []

    def put(kind, asked, phrases=(), without=()):
        found = corpus.search(asked, without)
        if kind == "dropped" and holds(phrases, " ".join(p["text"] for p in found)):
            return
        out.append({"kind": kind, "question": asked, "phrases": list(phrases), "passages": found})

    for line in (ROOT / "tests/eval/questions-dev.jsonl").read_text(encoding="utf-8").splitlines():
        q = json.loads(line)
        put(q["kind"], q["question"], q["phrases"])
        if q["kind"] == "answerable":
            put("dropped", q["question"], q["phrases"], q["documents"])
    for line in (Path(__file__).parent / "calibration/elsewhere.txt").read_text(encoding="utf-8").splitlines():
        put("out", line)
    return out


def holds(phrases, text):
    return any(flat(p) in flat(text) for p in phrases)


# ---- Fits ----

def show(name, names, model):
    print(name, {n: round(float(w), 2) for n, w in zip(names, model.coef_[0])}, "bias",
          round(float(model.intercept_[0]), 2))


def fit_sentences(asked, seen):
    rows = [(i, x["features"], holds(a["phrases"], x["text"])) for i, (a, s) in enumerate(zip(asked, seen))
            if a["kind"] == "answerable" for x in s["sentences"]]
    group, x, y = (np.array(c) for c in zip(*rows))
    best = []
    for train, test in GroupKFold(8).split(x, y, group):
        model = LogisticRegression(max_iter=5000).fit(x[train], y[train])
        for g in np.unique(group[test]):
            here = np.where(group == g)[0]
            if y[here].any():
                best.append(y[here][np.argmax(model.decision_function(x[here]))])
    print(f"sentences: the best one holds the phrase, where one does: {np.mean(best):.3f} (kept aside)")
    model = LogisticRegression(max_iter=5000).fit(x, y)
    show("nx_unit_weigh", UNIT, model)
    return model


def fit_kinds(name, names, used, asked, rows):
    kinds = np.array([a["kind"] for a in asked])
    x, y = np.array(rows)[:, [names.index(u) for u in used]], kinds == "answerable"
    weight, score = np.array([WEIGHT[k] for k in kinds]), np.zeros(len(y))
    for train, test in StratifiedKFold(8, shuffle=True, random_state=1).split(x, y):
        model = LogisticRegression(max_iter=5000).fit(x[train], y[train], sample_weight=weight[train])
        score[test] = model.decision_function(x[test])
    print(f"{name}: below 0.5, kept aside:", {k: round(float(np.mean(score[kinds == k] < 0)), 3) for k in WEIGHT})
    show(name, used, LogisticRegression(max_iter=5000).fit(x, y, sample_weight=weight))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bench", type=Path, default=ROOT / "build/release/bench_extract")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2",
                        help="for the search: a name, or a folder")
    args = parser.parse_args()
    asked = questions(Corpus(ROOT / "examples/docs", SentenceTransformer(args.model, device="cpu")))
    lines = "".join(json.dumps(a) + "\n" for a in asked)
    done = subprocess.run([args.bench, ROOT / "models/all-minilm-l6-v2.gguf"], input=lines, text=True,
                          stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit("calibrate: bench_extract failed")
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    both = [(a, s) for a, s in zip(asked, seen, strict=True) if s["sentences"]]
    asked, seen = [a for a, _ in both], [s for _, s in both]
    units = fit_sentences(asked, seen)
    found = []
    for s in seen:
        scores = units.predict_proba([x["features"] for x in s["sentences"]])[:, 1]
        f = s["sentences"][int(np.argmax(scores))]["features"]
        found.append(s["passages"] + [scores.max(), f[2], f[0], f[1], f[4]])
    fit_kinds("nx_found_weigh", FOUND, FOUND_USED, asked, found)
    fit_kinds("nx_relevance_weigh", REL, REL_USED, asked, [s["passages"] for s in seen])


if __name__ == "__main__":
    main()
