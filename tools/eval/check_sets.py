#!/usr/bin/env python3
"""check_sets.py - are the questions of tests/eval what they claim to be?

    tools/eval/check_sets.py [--documents examples/docs] [FILE.jsonl...]

Each span must stand in its document, each expected phrase in one of the documents named; nothing twice, in one file or across
them; questions that can't be answered name nothing; the counts are those that the bounds of `make eval` were
set for. Prints a table, and what is wrong with file and line. Exit status 1 then.
"""
import argparse
import collections
import json
import pathlib
import sys

import doctext

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ("answerable", "near", "out")
AT_LEAST = {"answerable": 100, "near": 30, "out": 30}
QUESTIONS = 150


class Checker:
    def __init__(self, documents):
        self.documents = documents
        self.texts = {}
        self.unread = set()
        self.wrong = []
        self.counts = collections.Counter()
        self.seen = {}

    def text(self, source):
        if source not in self.texts:
            path = self.documents / source
            self.texts[source] = doctext.text_of(path) if path.is_file() else ""
            if self.texts[source] is None:
                self.unread.add(source)
        return self.texts[source]

    def once(self, where, what, value):
        first = self.seen.setdefault((what, value), where)
        if first != where:
            self.wrong.append(f"{where}: {what} {value!r} stands at {first} as well")

    def stands(self, source, words):
        """Does it stand there: in the file as it is, or in its text?"""
        text = self.text(source)
        if text is None:
            return True
        words = doctext.squeeze(words)
        if words in doctext.squeeze(text):
            return True
        raw = (self.documents / source).read_bytes().decode("utf-8", "replace")
        return words in doctext.squeeze(raw)

    def answerable(self, where, row):
        if not row["documents"] or not row["spans"] or not row["phrases"]:
            self.wrong.append(f"{where}: an answerable question needs documents, spans and phrases")
        for source in row["documents"]:
            if not (self.documents / source).is_file():
                self.wrong.append(f"{where}: no document {source}")
        for span in row["spans"]:
            if span["source"] not in row["documents"]:
                self.wrong.append(f"{where}: a span of {span['source']}, which isn't among the documents")
            elif not self.stands(span["source"], span["text"]):
                self.wrong.append(f"{where}: {span['source']} has no {span['text']!r}")
        texts = [self.text(s) for s in row["documents"] if (self.documents / s).is_file()]
        if None not in texts:
            everything = doctext.squeeze(" ".join(texts)).lower()
            if not any(doctext.squeeze(p).lower() in everything for p in row["phrases"]):
                self.wrong.append(f"{where}: none of {row['phrases']} in {row['documents']}")

    def row(self, where, row):
        if set(row) != {"id", "question", "documents", "spans", "phrases", "kind"}:
            self.wrong.append(f"{where}: has the fields {sorted(row)}")
            return
        self.once(where, "id", row["id"])
        self.once(where, "question", doctext.squeeze(row["question"]).lower())
        if row["kind"] not in KINDS:
            self.wrong.append(f"{where}: kind {row['kind']!r}")
            return
        self.counts[row["kind"]] += 1
        if row["kind"] == "answerable":
            self.answerable(where, row)
        elif row["documents"] or row["spans"] or row["phrases"]:
            self.wrong.append(f"{where}: a question that can't be answered names an answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=pathlib.Path, default=ROOT / "examples" / "docs")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    args = parser.parse_args()
    files = args.files or sorted((ROOT / "tests" / "eval").glob("questions-*.jsonl"))
    checker = Checker(args.documents)
    for path in files:
        before = collections.Counter(checker.counts)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            checker.row(f"{path.name}:{number}", json.loads(line))
        print(path.name, " ".join(f"{kind} {checker.counts[kind] - before[kind]}" for kind in KINDS))
    if not args.files:
        for kind, least in AT_LEAST.items():
            if checker.counts[kind] < least:
                checker.wrong.append(f"{checker.counts[kind]} of kind {kind}, {least} are wanted")
        if sum(checker.counts.values()) < QUESTIONS:
            checker.wrong.append(f"{sum(checker.counts.values())} questions, {QUESTIONS} are wanted")
    for source in sorted(checker.unread):
        print(f"{source}: not looked into, pdftotext is missing")
    for line in checker.wrong:
        print(line, file=sys.stderr)
    return 1 if checker.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
