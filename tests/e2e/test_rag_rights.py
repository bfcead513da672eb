"""Protects what a key may not see, where documents are asked about: over random sets of tags of callers and
of documents, through every route that reads (RAG, LLM, OpenAI's chat, collections, export), no forbidden
passage is ever retrieved, counted, faceted or cited, whoever asked the same before.

NX_RAG_RIGHTS: how many pairs of a caller's and a collection's tags (default 40; make torture: 1000).
NX_RAG_SEED: of the random numbers.
"""
import os
import random
import unittest

import harness
from server import Server

PAIRS = int(os.environ.get("NX_RAG_RIGHTS", "40"))
SEED = int(os.environ.get("NX_RAG_SEED", "1"))
TAGS = ["sales", "board", "legal", "ops", "hr"]
CALLERS = 8         # of each collection
DOCUMENTS = 10
THINGS = ["kettle", "ladder", "violin", "anchor", "compass", "lantern", "hammer", "saddle", "barrel", "mirror"]


class Document:
    """One that says a secret word of its own, so that a leak is seen in whatever form it comes."""

    def __init__(self, rng, i):
        self.secret = "".join(rng.choice("bcdfghklmnprstvz") + rng.choice("aeiou") for _ in range(6))
        self.thing = THINGS[i % len(THINGS)]
        self.tags = rng.sample(TAGS, rng.choice((0, 1, 1, 2, 3)))
        self.text = (f"The {self.thing} of the warehouse is kept in room {self.secret}. "
                     f"Whoever needs the {self.thing} asks in room {self.secret} first.")
        self.given = {"text": self.text, "metadata": {"source": f"{self.secret}.txt", "thing": self.thing}}
        if self.tags:
            self.given["access_tags"] = self.tags

    def is_for(self, tags):
        return not tags or not self.tags or bool(set(tags) & set(self.tags))


class Rights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rng = random.Random(SEED)
        cls.s = Server("--ctx", "1024")
        cls.addClassCleanup(cls.s.close)
        cls.keys, cls.n_asked = {}, 0
        cls.admin = cls.s.new_key("--scope", "infer,rag,admin")

    def key(self, tags):
        """One key for each set of tags: caches that mix them up are found out."""
        name = tuple(sorted(tags))
        if name not in self.keys:
            args = [a for t in name for a in ("--tag", t)]
            self.keys[name] = self.s.new_key("--scope", "infer,rag", *args)
        return self.keys[name]

    def ask(self, key, method, path, body=None):
        type(self).n_asked += 1
        return self.s.ask(method, path, body, headers=self.s.bearer(key))

    def ok(self, key, method, path, body=None, status=200):
        got = self.ask(key, method, path, body)
        self.assertEqual(got.status, status, f"{method} {path} {body}: {got}")
        return got

    # ---- What a caller may be told ----

    def leaks_nothing(self, got, hidden, what):
        text = got.body.decode()
        for d in hidden:
            self.assertNotIn(d.secret, text, f"{what}: {text[:800]}")

    def sees(self, tags, name, documents):
        key = self.key(tags)
        seen = [d for d in documents if d.is_for(tags)]
        hidden = [d for d in documents if not d.is_for(tags)]
        about = self.rng.choice(hidden or documents)
        question = f"In which room is the {about.thing} of the warehouse kept?"
        for what, got in self.every_route(key, name, question, about, documents):
            self.assertLess(got.status, 500, f"{what}: {got}")
            self.leaks_nothing(got, hidden, f"{tags} {what}")
        self.counts(key, name, seen)
        self.finds_what_it_may(key, name, seen)
        self.opens(key, name, seen, hidden)

    def every_route(self, key, name, question, about, documents):
        """(what, answer) of all that reads. The words of the question are those of hidden documents, and
        their secrets are asked for as they are."""
        for query in (question, "warehouse room"):
            base = {"query": query, "collection_name": name}
            for search in ("hybrid", "dense", "words"):
                yield f"search {search}", self.ask(key, "POST", "/rag/search", {
                    **base, "min_score": 0, "top_k": 100, "search": search, "explain": True})
            yield "query", self.ask(key, "POST", "/rag/query", base)
            yield "extract", self.ask(key, "POST", "/llm/rag/query", {**base, "mode": "extract", "explain": True})
            yield "stream", self.ask(key, "POST", "/llm/rag/query", {**base, "mode": "extract", "stream": True})
            yield "chat", self.ask(key, "POST", "/v1/chat/completions", {
                "model": f"rag:{name}", "messages": [{"role": "user", "content": query}]})
        yield "generate", self.ask(key, "POST", "/llm/rag/query", {
            "query": question, "collection_name": name, "mode": "generate", "max_new_tokens": 4,
            "explain": True})
        yield "filtered", self.ask(key, "POST", "/rag/search", {
            "query": question, "collection_name": name, "min_score": 0,
            "filter": {"should": [{"key": "metadata.thing", "match": {"value": about.thing}},
                                  {"key": "access_tags", "match": {"any": TAGS}}]}})
        for d in self.rng.sample(documents, 2):
            yield "document", self.ask(key, "POST", "/llm/rag/query", {
                "query": question, "collection_name": name, "document_id": self.ids[d.secret]})
            # A name that the caller may have guessed; and what it says that was said before.
            source = f"{d.secret}.txt"
            if not d.is_for(self.tags_of(key)):
                got = self.ok(key, "GET", f"/rag/documents?collection={name}&source={source}")
                self.assertEqual((got.json["total"], got.json["documents"]), (0, []))
                got = self.ok(key, "DELETE", f"/rag/documents?collection={name}&source={source}", status=404)
                yield "no such source", got
        yield "conversation", self.ask(key, "POST", "/llm/rag/query", {
            "query": "And who asks there?", "collection_name": name, "mode": "extract", "explain": True,
            "history": [{"role": "user", "content": question}, {"role": "assistant", "content": "In a room."}]})
        yield "context", self.ask(key, "POST", "/llm/rag/query", {
            "query": question, "collection_name": name, "context": "The warehouse is closed.", "mode": "extract"})
        yield "jobs", self.ask(key, "GET", "/rag/jobs")
        yield "cache", self.ask(key, "GET", "/rag/cache/stats")
        yield from self.collections(key, name, question)

    def tags_of(self, key):
        return next(tags for tags, k in self.keys.items() if k == key)

    def collections(self, key, name, question):
        c = f"/collections/{name}"
        text = {"text": question, "model": "all-minilm-l6-v2"}
        words = {"text": question, "model": "qdrant/bm25"}
        for path, body in (
                ("/points/scroll", {"limit": 1000, "with_payload": True}),
                ("/points/query", {"query": text, "using": "dense", "limit": 100, "with_payload": True}),
                ("/points/query", {"query": words, "using": "words", "limit": 100, "with_payload": True}),
                ("/points/query", {"query": {"fusion": "rrf"}, "limit": 100, "with_payload": True, "prefetch": [
                    {"query": text, "using": "dense", "limit": 100},
                    {"query": words, "using": "words", "limit": 100}]}),
                ("/points/query/groups", {"query": text, "using": "dense", "group_by": "doc_id", "limit": 100,
                                          "with_payload": True}),
                ("/facet", {"key": "source", "limit": 1000}),
                ("/facet", {"key": "doc_id", "limit": 1000})):
            yield path, self.ask(key, "POST", c + path, body)
        yield "info", self.ask(key, "GET", c)
        # A file of all points is nobody's who may not see all of them.
        for method, path in (("POST", "/snapshots"), ("GET", "/snapshots")):
            yield path, self.ask(key, method, c + path)
        yield "export", self.ask(key, "POST", f"/admin/collections/{name}/export", {"path": "/tmp/x"})

    def counts(self, key, name, seen):
        """Neither more nor fewer: each document is a point, and each has one chunk."""
        for kind in ("document", "chunk"):
            got = self.ok(key, "POST", f"/collections/{name}/points/count", {
                "exact": True, "filter": {"must": [{"key": "kind", "match": {"value": kind}}]}}).json
            self.assertEqual(got["result"]["count"], len(seen), kind)
        got = self.ok(key, "POST", f"/collections/{name}/facet", {"key": "kind"}).json
        facets = {h["value"]: h["count"] for h in got["result"]["hits"]}
        self.assertEqual((facets.get("document", 0), facets.get("chunk", 0)), (len(seen), len(seen)))

    def finds_what_it_may(self, key, name, seen):
        got = self.ok(key, "POST", "/rag/search", {"query": "warehouse room", "collection_name": name,
                                                   "min_score": 0, "top_k": 100, "search": "words"}).json
        found = {d["metadata"]["source"] for d in got["documents"]}
        self.assertTrue(found <= {f"{d.secret}.txt" for d in seen})
        if seen:
            d = self.rng.choice(seen)
            got = self.ok(key, "POST", "/rag/search", {"query": d.secret, "collection_name": name, "min_score": 0,
                                                       "search": "words"}).json
            self.assertEqual(got["documents"][0]["metadata"]["source"], f"{d.secret}.txt")

    def opens(self, key, name, seen, hidden):
        """Documents one by one, by ids that the caller may have from anybody."""
        got = self.ok(key, "GET", f"/rag/documents?collection={name}&limit=1000")
        self.leaks_nothing(got, hidden, "documents")
        self.assertEqual((got.json["total"], len(got.json["documents"])), (len(seen), len(seen)))
        for d, status in [(d, 404) for d in hidden[:3]] + [(d, 200) for d in seen[:1]]:
            for what in ("", "/chunks", "/content"):
                for query in (f"?collection={name}", ""):
                    path = f"/rag/documents/{self.ids[d.secret]}{what}{query}"
                    self.leaks_nothing(self.ok(key, "GET", path, status=status), hidden, path)
        for d in hidden[:1]:
            path = f"/rag/documents/{self.ids[d.secret]}?collection={name}"
            self.leaks_nothing(self.ok(key, "DELETE", path, status=404), hidden, path)

    # ---- Pairs ----

    def fill(self, name):
        documents = [Document(self.rng, i) for i in range(DOCUMENTS)]
        got = self.ok(self.admin, "POST", "/rag/index", {
            "collection_name": name, "documents": [d.given for d in documents]}, 201).json
        self.ids = {d.secret: i for d, i in zip(documents, got["document_ids"])}
        for field in ("kind", "source", "doc_id"):
            self.ask(self.admin, "PUT", f"/collections/{name}/index?wait=true",
                     {"field_name": field, "field_schema": "keyword"})
        return documents

    def test_pairs(self):
        done = 0
        while done < PAIRS:
            name = f"docs-{done}"
            documents = self.fill(name)
            for _ in range(min(CALLERS, PAIRS - done)):
                self.sees(self.rng.sample(TAGS, self.rng.choice((1, 1, 2, 3))), name, documents)
                self.sees([], name, documents)  # who sees all fills the caches
                done += 1
            self.assertEqual(self.ask(self.admin, "DELETE", f"/rag/collections/{name}").status, 204)
        print(f"{done} pairs, {self.n_asked} requests, seed {SEED}")

    # ---- Collections, writing ----

    def test_other_collections(self):
        ids = {}
        for name in ("mine", "theirs"):
            got = self.ok(self.admin, "POST", "/rag/index", {"collection_name": name, "documents": [
                {"text": f"A sentence of {name}."}]}, 201)
            ids[name] = got.json["document_ids"][0]
        key = self.s.new_key("--scope", "infer,rag", "--collection", "mine")
        self.assertEqual(self.ok(key, "GET", "/rag/collections").json, ["mine"])
        named = [m["id"] for m in self.ok(key, "GET", "/v1/models").json["data"]]
        self.assertEqual([n for n in named if n.startswith("rag:")], ["rag:mine"])
        for there in ("theirs", "nowhere"):
            for path in ("/rag/search", "/rag/query", "/llm/rag/query"):
                self.ok(key, "POST", path, {"query": "sentence", "collection_name": there}, 403)
            self.ok(key, "POST", "/rag/index", {"collection_name": there, "documents": [{"text": "x"}]}, 403)
            self.ok(key, "DELETE", f"/rag/collections/{there}", status=403)
            # Whether such a collection or document is there isn't told, either.
            for one in (ids["theirs"], "00000000-0000-5000-8000-000000000001"):
                for what in ("", "/chunks", "/content"):
                    self.ok(key, "GET", f"/rag/documents/{one}{what}?collection={there}", status=403)
                    self.ok(key, "GET", f"/rag/documents/{one}{what}", status=404)
                self.ok(key, "DELETE", f"/rag/documents/{one}?collection={there}", status=403)
                self.ok(key, "DELETE", f"/rag/documents/{one}", status=404)
            self.ok(key, "GET", f"/rag/documents?collection={there}", status=403)
            self.ok(key, "DELETE", f"/rag/documents?source=x&collection={there}", status=403)
            self.ok(key, "POST", "/v1/chat/completions", {"model": f"rag:{there}", "messages": [
                {"role": "user", "content": "sentence"}]}, 403)

    def test_what_a_bound_key_may_not_set(self):
        for args in (("--read-only",), ("--tag", "sales"), ("--collection", "mine")):
            key = self.s.new_key("--scope", "infer,rag", *args)
            for method, path, body in (("PATCH", "/rag/config", {"top_k": 9}), ("POST", "/llm/rag/disable", {}),
                                       ("POST", "/rag/cache/clear", {})):
                self.ok(key, method, path, body, 403)

    def test_what_a_bound_key_writes(self):
        self.ok(self.admin, "POST", "/rag/index", {"collection_name": "shelf", "documents": [
            {"text": "The board's own.", "metadata": {"id": "b"}, "access_tags": ["board"]},
            {"text": "Everybody's.", "metadata": {"id": "e"}}]}, 201)
        reader = self.s.new_key("--scope", "rag", "--read-only")
        self.ok(reader, "POST", "/rag/index", {"collection_name": "shelf", "documents": [{"text": "x"}]}, 403)
        sales = self.s.new_key("--scope", "rag", "--tag", "sales")
        two = self.s.new_key("--scope", "rag", "--tag", "sales", "--tag", "ops")
        for name in ("b", "e"):
            self.ok(sales, "POST", "/rag/index", {"collection_name": "shelf", "documents": [
                {"text": "Taken over.", "metadata": {"id": name}}]}, 403)
        for key, tags in ((sales, ["board"]), (sales, ["sales", "board"]), (two, None), (two, [])):
            given = {"text": "Mine.", "metadata": {"id": "m"}}
            if tags is not None:
                given["access_tags"] = tags
            self.ok(key, "POST", "/rag/index", {"collection_name": "shelf", "documents": [given]}, 422)
        self.ok(sales, "POST", "/rag/index", {"collection_name": "shelf", "documents": [
            {"text": "Of sales alone.", "metadata": {"id": "m"}}]}, 201)
        ops = self.s.new_key("--scope", "rag", "--tag", "ops")
        for key, n in ((sales, 2), (two, 2), (ops, 1), (self.admin, 3)):
            got = self.ok(key, "POST", "/collections/shelf/points/count", {"exact": True, "filter": {
                "must": [{"key": "kind", "match": {"value": "document"}}]}}).json
            self.assertEqual(got["result"]["count"], n)
        self.ok(sales, "POST", "/rag/index", {"collection_name": "new", "documents": [{"text": "x"}]}, 403)
        self.ok(sales, "DELETE", "/rag/collections/shelf", status=403)

    def test_scopes(self):
        rag, infer = self.s.new_key("--scope", "rag"), self.s.new_key("--scope", "infer")
        self.ok(self.admin, "POST", "/rag/index", {"collection_name": "scopes", "documents": [
            {"text": "The scope of rag is documents."}]}, 201)
        asked = {"query": "What is the scope of rag?", "collection_name": "scopes"}
        self.ok(rag, "POST", "/llm/rag/query", asked)
        self.ok(rag, "POST", "/llm/rag/query", {**asked, "use_rag": False}, 403)
        self.ok(infer, "POST", "/llm/rag/query", asked, 403)
        self.ok(infer, "POST", "/v1/chat/completions", {"model": "rag:scopes", "messages": [
            {"role": "user", "content": "scope"}]}, 403)


if __name__ == "__main__":
    harness.main()
