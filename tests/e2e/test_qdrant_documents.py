"""Protects texts in the place of vectors ({"text", "model"}): upserted and asked for through Qdrant's API,
embedded in process by the model that ships, or as words (BM25); what can't be is refused with the reason."""
import os
import unittest

import harness
from harness import Case
from server import Server

SHIPPED = os.path.join(harness.ROOT, "models", "all-minilm-l6-v2.gguf")
NAME = "all-minilm-l6-v2"
TEXTS = {
    1: "The cat sleeps on the warm stove all afternoon.",
    2: "Interest rates rose again, and the bank's shares fell.",
    3: "To bake bread you need flour, water, salt and yeast.",
    4: "The rocket carried three satellites into orbit.",
}
QUESTIONS = {1: "a pet that is taking a nap", 2: "finance news", 3: "recipe for a loaf",
             4: "space travel"}


def document(text, model=NAME, **options):
    return {"text": text, "model": model, **({"options": options} if options else {})}


@unittest.skipUnless(os.path.exists(SHIPPED), "skipped: no models/all-minilm-l6-v2.gguf")
class Documents(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(model=SHIPPED).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def ask(self, method, path, body=None, status=200):
        reply = self.server.ask(method, path, body)
        self.assertEqual(reply.status, status, f"{method} {path}: {reply}")
        return reply.json["result"] if status == 200 else reply.json["status"]["error"]

    def make(self, name, **config):
        self.ask("PUT", f"/collections/{name}", config)
        self.addCleanup(self.ask, "DELETE", f"/collections/{name}")

    def put(self, name, points, status=200):
        return self.ask("PUT", f"/collections/{name}/points?wait=true", {"points": points}, status)

    def test_right_text_is_found(self):
        self.make("docs", vectors={"size": 384, "distance": "Cosine"})
        self.put("docs", [{"id": i, "vector": document(t), "payload": {"text": t, "model": "no model"}}
                          for i, t in TEXTS.items()])
        for wanted, question in QUESTIONS.items():
            for model in (NAME, "sentence-transformers/all-MiniLM-L6-v2", "fast"):
                points = self.ask("POST", "/collections/docs/points/query",
                                  {"query": document(question, model), "limit": 2,
                                   "with_payload": True})["points"]
                self.assertEqual(points[0]["id"], wanted, question)
                self.assertEqual(points[0]["payload"], {"text": TEXTS[wanted], "model": "no model"})
        batch = self.ask("POST", "/collections/docs/points/query/batch", {"searches": [
            {"query": {"nearest": document(q)}, "limit": 1} for q in QUESTIONS.values()]})
        self.assertEqual([b["points"][0]["id"] for b in batch], list(QUESTIONS))

    def test_as_v1_embeddings(self):
        self.make("same", vectors={"size": 384, "distance": "Cosine"})
        self.put("same", [{"id": 7, "vector": document(TEXTS[3])}])
        stored = self.ask("POST", "/collections/same/points", {"ids": [7], "with_vector": True})[0]["vector"]
        embedded = self.server.post("/v1/embeddings", {"model": NAME, "input": TEXTS[3],
                                                       "input_type": "passage"}).json["data"][0]["embedding"]
        self.assertLess(max(abs(a - b) for a, b in zip(stored, embedded)), 1e-6)

    def test_every_way_of_storing(self):
        self.make("ways", vectors={"a": {"size": 384, "distance": "Cosine"},
                                   "b": {"size": 384, "distance": "Dot"}})
        path = "/collections/ways/points"
        self.put("ways", [{"id": 1, "vector": {"a": document(TEXTS[1]), "b": document(TEXTS[2])}}])
        self.ask("PUT", path + "?wait=true", {"batch": {
            "ids": [2, 3], "vectors": {"a": [document(TEXTS[2]), document(TEXTS[3])]}}})
        self.ask("PUT", path + "/vectors?wait=true", {"points": [
            {"id": 2, "vector": {"b": document(TEXTS[4])}}]})
        self.ask("POST", path + "/batch?wait=true", {"operations": [
            {"upsert": {"points": [{"id": 4, "vector": {"b": document(TEXTS[3])}}]}},
            {"update_vectors": {"points": [{"id": 4, "vector": {"a": document(TEXTS[4])}}]}}]})
        for using, expected in (("a", {1: 1, 2: 2, 3: 3, 4: 4}), ("b", {2: 1, 4: 2, 3: 4})):
            for topic, wanted in expected.items():
                found = self.ask("POST", path + "/query", {"query": document(QUESTIONS[topic]),
                                                           "using": using, "limit": 1})["points"]
                self.assertEqual(found[0]["id"], wanted, (using, topic))

    def test_words(self):
        self.make("words", sparse_vectors={"bm25": {"modifier": "idf"}},
                  vectors={"size": 384, "distance": "Cosine"})
        self.put("words", [{"id": i, "vector": {"": document(t), "bm25": document(t, "qdrant/bm25")}}
                           for i, t in TEXTS.items()])
        found = self.ask("POST", "/collections/words/points/query",
                         {"query": document("baking breads with yeast", "qdrant/bm25"), "using": "bm25"})
        self.assertEqual([p["id"] for p in found["points"]], [3])
        both = self.ask("POST", "/collections/words/points/query", {
            "query": {"fusion": "rrf"}, "limit": 1,
            "prefetch": [{"query": document("the bank", "Qdrant/bm25"), "using": "bm25"},
                         {"query": document("finance")}]})
        self.assertEqual(both["points"][0]["id"], 2)

    def test_long_texts(self):
        long = "word " * 2000
        self.make("long", vectors={"size": 384, "distance": "Cosine"})
        said = self.put("long", [{"id": 1, "vector": document("short")},
                                 {"id": 2, "vector": document(long)}], 400)
        self.assertRegex(said, r"text 2 of the body: .*\b200\d tokens.*\b256\b|text 2 .*256.*200\d")
        self.assertEqual(self.ask("POST", "/collections/long/points/count")["count"], 0)
        for way in ("cut", "windows"):
            self.put("long", [{"id": 3, "vector": document(long, long=way)}])
        self.assertIn("options.long", self.put(
            "long", [{"id": 3, "vector": document(long, long="maybe")}], 400))

    def test_refused(self):
        self.make("other", vectors={"size": 384, "distance": "Cosine", "model": "bge-small"},
                  sparse_vectors={"s": {}})
        self.make("small", vectors={"size": 4, "distance": "Cosine"})

        def refused(name, vector, text, slot=None):
            said = self.put(name, [{"id": 1, "vector": {slot: vector} if slot else vector}], 400)
            self.assertIn(text, said)

        refused("other", document("x"), 'was made with the model "bge-small"')
        refused("other", document("x", "nobody"), 'nobody')
        refused("other", document("x"), "qdrant/bm25", slot="s")
        refused("other", document("x", "qdrant/bm25"), "dense")
        refused("small", document("x"), "Vector dimension error: expected dim: 4, got 384")
        refused("small", {"image": "http://x", "model": NAME}, "not supported: inference of an image")
        refused("small", {"object": {}, "model": NAME}, "not supported: inference of an object")
        self.ask("POST", "/collections/nobody/points/query", {"query": document("x")}, 404)


if __name__ == "__main__":
    harness.main()
