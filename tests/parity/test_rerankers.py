"""Protects cross-encoders: random tiny models of every kind, pairs as the reference's tokenizer makes
them, scores as transformers' AutoModelForSequenceClassification has them, from the folder and from the
GGUF that we write of it, and the same bits whatever is computed beside a pair. And POST /v1/rerank: its
shapes, order, errors and counts, and what becomes of models that are for something else.

Usage: test_rerankers.py [WORD...]     kinds whose name holds a word, or "http"; default: all
       NEXUS_BIN as in the other tests.
"""
import http.client
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time

import encoders
import numpy as np
import tokenizers
import torch
import transformers as tf

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAM = os.environ.get("NEXUS_BIN", os.path.join(ROOT, "build", "release", "nexus"))
LENGTH = 64     # tokens of a pair, by tokenizer_config.json


def robertas_tokenizer():
    """Byte-level, with <s> a </s></s> b </s> around pairs."""
    tok = tokenizers.Tokenizer(tokenizers.models.BPE())
    tok.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = tokenizers.decoders.ByteLevel()
    tok.train_from_iterator([" ".join(encoders.WORDS)] * 5, tokenizers.trainers.BpeTrainer(
        vocab_size=encoders.VOCAB, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], min_frequency=1,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", tok.token_to_id("<s>")), ("</s>", tok.token_to_id("</s>"))])
    return tok


def roberta_processing():
    tok = robertas_tokenizer()
    tok.post_processor = tokenizers.processors.RobertaProcessing(
        ("</s>", tok.token_to_id("</s>")), ("<s>", tok.token_to_id("<s>")))
    return tok


def bert_processing():
    tok = encoders.wordpiece()[0]
    tok.post_processor = tokenizers.processors.BertProcessing(
        ("[SEP]", tok.token_to_id("[SEP]")), ("[CLS]", tok.token_to_id("[CLS]")))
    return tok


def sized(*args, **more):
    return encoders.sized(*args, num_labels=1, **more)


ROBERTA = {"pad_token_id": 1, "type_vocab_size": 1, "max_position_embeddings": 130}
CASES = [   # name, config, tokenizer, is there a GGUF of it?
    ("bert, pooler", tf.BertConfig(**sized(64, 160, 4)), lambda: encoders.wordpiece()[0], True),
    ("bert, BertProcessing, odd sizes", tf.BertConfig(**sized(90, 77, 3, layers=3)), bert_processing,
     True),
    ("xlm-roberta, template", tf.XLMRobertaConfig(**sized(64, 128, 4) | ROBERTA), robertas_tokenizer,
     True),
    ("roberta, RobertaProcessing", tf.RobertaConfig(**sized(48, 96, 3) | ROBERTA), roberta_processing,
     True),
    ("modernbert, cls", tf.ModernBertConfig(**sized(64, 96, 4, layers=4, local_attention=16)),
     lambda: encoders.wordpiece()[0], True),
    ("modernbert, mean, biases", tf.ModernBertConfig(**sized(
        48, 64, 3, layers=3, local_attention=6, classifier_bias=True, classifier_pooling="mean")),
     lambda: encoders.wordpiece()[0], True),
]


def nexus(*args, stdin=b""):
    done = subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"nexus {args[0]}: exit status {done.returncode}: "
                           + done.stderr.decode(errors="replace").strip())
    return done.stdout


def rerank(model, query, passages, *options):
    """(logits in the order of the passages, the answer)."""
    answer = json.loads(nexus("rerank", "-m", model, "--json", *options, query, "-",
                              stdin="".join(p + "\n" for p in passages).encode()))
    logits = np.zeros(len(passages), np.float32)
    for hit in answer["results"]:
        logits[hit["index"]] = hit["logit"]
    order = sorted(range(len(passages)), key=lambda i: (-logits[i], i))
    assert [hit["index"] for hit in answer["results"]] == order, "not sorted"
    return logits, answer


def build(config, seed):
    torch.manual_seed(seed)
    model = tf.AutoModelForSequenceClassification.from_config(
        config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                norm = name.endswith(".weight") and "norm" in name.lower()
                p.copy_((1.0 if norm else 0.0) + 0.2 * torch.randn(p.shape))
            elif "embed" in name:
                p.copy_(0.3 * torch.randn(p.shape))
            else:
                p.copy_(1.5 * torch.randn(p.shape) / p.shape[-1] ** 0.5)
    return model


def score(model, encoding):
    feed = {"input_ids": torch.tensor([encoding.ids])}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        feed["token_type_ids"] = torch.tensor([encoding.type_ids])
    with torch.no_grad():
        return float(model(**feed).logits[0, 0])


def check_case(case, seed, folder):
    name, config, make_tokenizer, has_gguf = case
    model, tok = build(config, seed), make_tokenizer()
    path, gguf, wrong, worst = os.path.join(folder, "model"), os.path.join(folder, "f32.gguf"), [], 0.0
    model.save_pretrained(path)
    tok.save(os.path.join(path, "tokenizer.json"))
    encoders.dump(path, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast",
                                                  "model_max_length": LENGTH})
    if has_gguf:
        nexus("quantize", path, gguf, "--type", "f32")
    rng = random.Random(seed)
    for query in ("what is the answer?", "", "Ünï the question " * 4):
        passages = encoders.texts(rng, 12)
        pairs = [tok.encode(query, p) for p in passages]
        fitting = [p for p, e in zip(passages, pairs) if len(e.ids) <= LENGTH]
        too_long = len(passages) - len(fitting)
        tok.enable_truncation(LENGTH, strategy="longest_first")
        want = np.array([score(model, tok.encode(query, p)) for p in passages])
        tok.no_truncation()
        for source in (path, gguf)[:1 + has_gguf]:
            got, answer = rerank(source, query, passages, "--cut")
            error = float(np.nan_to_num(np.abs(got - want), nan=np.inf).max() / want.std())
            worst = max(worst, error)
            if not error <= 1e-4:
                wrong.append(f"{os.path.basename(source)}, {query!r}: {error:.3g} of the deviation")
            if answer["long"] != too_long:
                wrong.append(f"{answer['long']} pairs cut, expected {too_long}")
            if rerank(source, query, fitting[:1])[0].tobytes() != got[
                    passages.index(fitting[0])].tobytes():
                wrong.append("other bits alone")
        if too_long:
            refused = subprocess.run([PROGRAM, "rerank", "-m", path, query, *passages], check=False,
                                     capture_output=True)
            longest = next(e for e in pairs if len(e.ids) > LENGTH)
            if refused.returncode != 1 or f"{len(longest.ids)} tokens" not in refused.stderr.decode():
                wrong.append(f"a long pair: {refused.returncode}, {refused.stderr.decode()}")
    print(f"{name}: {worst:.2g}", flush=True)
    return wrong


# ---- HTTP ------------------------------------------------------------------------------------------

class Server:
    def __init__(self, folder, *models):
        self.log = os.path.join(folder, "log")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", "--port", "0", "--data", folder + "/data", "--access-log", "",
                 "--positions", "8192", *(a for m in models for a in ("-m", m))], stderr=log)
        self.port, end = None, time.time() + 60
        while self.port is None and time.time() < end and self.process.poll() is None:
            with open(self.log, encoding="utf-8") as f:
                found = re.search(r"http://127\.0\.0\.1:(\d+)", f.read())
            self.port = int(found[1]) if found else time.sleep(0.05)

    def ask(self, path, body, method="POST"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        c.request(method, path, json.dumps(body) if body else None,
                  {"Content-Type": "application/json"})
        r = c.getresponse()
        answer = json.loads(r.read())
        c.close()
        return r.status, answer

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


def check_answers(server, logits, passages):
    order = sorted(range(len(passages)), key=lambda i: (-logits[i], i))
    ask = {"query": "what is it?", "documents": passages}
    status, all_of_them = server.ask("/v1/rerank", ask)
    assert status == 200 and all_of_them["model"] == "tiny", all_of_them
    assert [r["index"] for r in all_of_them["results"]] == order
    assert "document" not in all_of_them["results"][0] and "long" not in all_of_them
    for r in all_of_them["results"]:
        assert math.isclose(r["relevance_score"], 1 / (1 + math.exp(-logits[r["index"]])), rel_tol=1e-6)
    status, raw = server.ask("/v1/rerank", ask | {"model": "tiny", "raw_scores": True})
    assert [np.float32(r["relevance_score"]) for r in raw["results"]] == [logits[i] for i in order]
    status, best = server.ask("/v1/rerank", ask | {"top_n": 2, "return_documents": True, "documents": [
        {"text": p, "id": i} if i % 2 else p for i, p in enumerate(passages)]})
    assert best["results"] == [r | {"document": {"text": passages[r["index"]]}}
                               for r in all_of_them["results"][:2]], best
    assert best["usage"] == all_of_them["usage"] and best["usage"]["total_tokens"] > 0
    _, same = server.ask("/v1/rerank", ask | {"documents": ["same"] * 20, "top_n": 99})
    assert [r["index"] for r in same["results"]] == list(range(20))


def check_refusals(server):
    def refused(status, words, body, path="/v1/rerank"):
        got, answer = server.ask(path, body)
        assert got == status and words in json.dumps(answer), (got, answer)

    ask = {"query": "what?", "documents": ["a", "b"]}
    refused(400, "documents", {"query": "what?"})
    refused(400, "documents", ask | {"documents": []})
    refused(400, "documents[1]", ask | {"documents": ["a", {"title": "b"}]})
    refused(400, "query", {"documents": ["a"]})
    refused(400, "top_n", ask | {"top_n": 0})
    refused(400, "documents[9]: query and document are", ask | {"documents": ["a"] * 9 + ["the " * 80]})
    refused(400, "is no reranker", ask | {"model": "nexus-mini"})
    refused(400, "is no reranker", ask | {"model": "all-minilm-l6-v2"})
    refused(400, "is no reranker", ask | {"model": "fast"})
    refused(404, "nexus pull sentence-transformers/all-mpnet-base-v2", ask | {"model": "balanced"})
    refused(404, "no model", ask | {"model": "rerank-v3.5"})
    refused(400, "POST /v1/rerank", {"model": "tiny", "input": "x"}, "/v1/embeddings")
    refused(400, "POST /v1/rerank", {"model": "tiny", "prompt": "x"}, "/v1/completions")
    status, cut = server.ask("/v1/rerank", ask | {"documents": ["a", "the " * 80], "long": "cut"})
    assert status == 200 and cut["long"]["documents"] == 1 and cut["long"]["tokens_cut"] > 0, cut
    status, fast = server.ask("/v1/embeddings", {"input": "x", "model": "fast"})
    assert status == 200 and fast["model"] == "all-minilm-l6-v2", fast


def check_documents(server, passages):
    """A reranker has the last word in /rag/search: its own numbers of the same texts, best first."""
    documents = [{"text": t, "metadata": {"id": str(i)}} for i, t in enumerate(sorted(set(t for t in passages if t.strip())))]
    status, put = server.ask("/rag/index", {"documents": documents})
    assert status == 201, put
    ask = {"query": "what is it?", "min_score": 0, "top_k": 8, "explain": True}
    status, found = server.ask("/rag/search", ask | {"rerank": "tiny"})
    numbers = [float(re.search(r"reranker gives it (-?[0-9.]+)", d["explain"])[1]) for d in found["documents"]]
    assert status == 200 and len(numbers) > 1 and numbers == sorted(numbers, reverse=True), (status, numbers)
    _, judged = server.ask("/v1/rerank", {"query": "what is it?", "model": "tiny", "raw_scores": True, "documents": [
        d["metadata"]["title"] + "\n" + d["text"] for d in found["documents"]]})
    theirs = {r["index"]: r["relevance_score"] for r in judged["results"]}
    assert all(abs(theirs[i] - n) < 2e-3 for i, n in enumerate(numbers)), (numbers, theirs)
    _, plain = server.ask("/rag/search", ask)
    assert "reranker" not in plain["documents"][0]["explain"], plain
    assert server.ask("/rag/search", ask | {"rerank": "nobody"})[0] == 404
    assert server.ask("/rag/search", ask | {"rerank": "all-minilm-l6-v2"})[0] in (400, 422)


def check_http(folder):
    _, config, make_tokenizer, _ = CASES[0]
    path, rng = os.path.join(folder, "model"), random.Random(3)
    build(config, 5).save_pretrained(path)
    make_tokenizer().save(os.path.join(path, "tokenizer.json"))
    encoders.dump(path, "tokenizer_config.json", {"model_max_length": LENGTH})
    passages = [t[:60] for t in encoders.texts(rng, 30)]
    logits, _ = rerank(path, "what is it?", passages)
    mini = os.path.join(ROOT, "models", "nexus-mini.gguf")
    server = Server(folder, mini, "tiny=" + path)
    try:
        check_answers(server, logits, passages)
        check_refusals(server)
        check_documents(server, passages)
        _, admin = server.ask("/admin/models", None, "GET")
        tiny = next(m for m in admin["models"] if m["name"] == "tiny")
        assert (tiny["purpose"], tiny["state"]) == ("reranks", "ready"), tiny
    finally:
        server.stop()
    print("http: ok", flush=True)
    return []


def main():
    words, failed = sys.argv[1:], 0
    checks = [(c[0], lambda f, c=c, i=i: check_case(c, i, f)) for i, c in enumerate(CASES)]
    checks.append(("http", check_http))
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
    torch.set_num_threads(1)
    sys.exit(main())
