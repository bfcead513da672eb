"""Protects the contract of /rag and /llm/rag: every route, every field with its type, defaults and bounds,
the order of events; and the requests of the service whose place Nexus takes, as people type them.
"""
import json
import os
import re
import shutil
import subprocess
import unittest
import uuid

import harness
from server import Server

TEXTS = {
    "locker.txt": "A parcel locker opens with a code of six digits. The code is sent by text message when "
                  "the courier closes the door. It is valid for seven days; after that the parcel goes "
                  "back to the sender.",
    "fees.txt": "Storage is free for the first three days. From the fourth day on, each day costs 1.50 "
                "euros. Business customers pay a flat fee of 40 euros a month instead.",
    "oncall.txt": "The on-call engineer answers an alert within fifteen minutes. If nobody answers, the "
                  "alert goes to the team lead, and after thirty minutes to the head of operations.",
}
QUESTION = "How long is the code of a parcel locker valid?"


def documents(texts=None):
    return [{"text": text, "metadata": {"source": name, "team": "lockers"}}
            for name, text in (texts or TEXTS).items()]


def events(reply):
    """The values of a stream; its last word has to be [DONE]."""
    found = re.findall(r"^data: (.*)$", reply.body.decode(), re.M)
    assert found and found[-1] == "[DONE]", reply
    return [json.loads(e) for e in found[:-1]]


class Contract(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.s = Server("--ctx", "1024")
        cls.addClassCleanup(cls.s.close)
        got = cls.s.post("/rag/index", {"documents": documents()})
        assert got.status == 201, got
        cls.indexed = got.json

    def ok(self, method, path, body=None, status=200, **how):
        got = self.s.ask(method, path, body, **how)
        self.assertEqual(got.status, status, f"{method} {path} {body}: {got}")
        return got.json if got.body else None

    def refused(self, method, path, body, status=422, word=""):
        got = self.s.ask(method, path, body)
        self.assertEqual(got.status, status, f"{method} {path} {body}: {got}")
        self.assertIn("detail", got.json)
        self.assertIn(word, got.body.decode())
        return got.json["detail"]

    def typed(self, value, **fields):
        """These fields are there, with these types."""
        for name, kinds in fields.items():
            self.assertIn(name, value)
            kinds = kinds if isinstance(kinds, tuple) else (kinds,)
            self.assertIn(type(value[name]), kinds, f"{name}: {value[name]!r}")

    def is_metadata(self, m):
        self.typed(m, chunk_id=int, start_pos=int, end_pos=int, chunk_size=int, doc_id=str, source=str)
        uuid.UUID(m["doc_id"])

    def is_source(self, source):
        self.typed(source, text=str, score=float, metadata=dict)
        self.assertLessEqual(len(source["text"]), 200)
        self.is_metadata(source["metadata"])

    # ---- /rag/index ----

    def test_index(self):
        self.typed(self.indexed, status=str, documents_indexed=int, chunks_created=int, collection=str,
                   vector_size=int, privacy_enabled=bool)
        self.assertEqual(self.indexed["documents_indexed"], 3)
        self.assertGreaterEqual(self.indexed["chunks_created"], 3)
        self.assertEqual(self.indexed["collection"], "knowledge_base")
        self.assertEqual(self.indexed["vector_size"], 384)
        self.assertIs(self.indexed["privacy_enabled"], False)

    def count(self, collection):
        return self.ok("POST", f"/collections/{collection}/points/count", {"exact": True})["result"]["count"]

    def test_index_twice_makes_no_double(self):
        plain = [{"text": t} for t in TEXTS.values()]
        self.ok("POST", "/rag/index", {"documents": plain, "collection_name": "twice"}, 201)
        before = self.count("twice")
        again = self.ok("POST", "/rag/index", {"documents": plain + plain, "collection_name": "twice"}, 201)
        self.assertEqual(again["documents_indexed"], 6)
        self.assertEqual(len(set(again["document_ids"])), 3)
        self.assertEqual(self.count("twice"), before)

    def test_index_replaces_what_has_the_name(self):
        for text in ("The kettle is blue.", "The kettle is red."):
            self.ok("POST", "/rag/index", {"collection_name": "named", "documents": [
                {"text": text, "metadata": {"id": 7}}]}, 201)
        found = self.ok("POST", "/rag/search", {"query": "kettle colour", "collection_name": "named",
                                                "min_score": 0})
        self.assertEqual([d["text"] for d in found["documents"]], ["The kettle is red."])

    def test_index_keeps_texts_that_share_a_source(self):
        self.ok("POST", "/rag/index", {"collection_name": "wiki", "documents": [
            {"text": f"Item {i} of the list is a {thing}.", "metadata": {"source": "wiki"}}
            for i, thing in enumerate(("spoon", "ladder", "violin"))]}, 201)
        found = self.ok("POST", "/rag/search", {"query": "item of the list", "collection_name": "wiki",
                                                "min_score": 0})
        self.assertEqual(len(found["documents"]), 3)

    def test_index_cuts_by_characters(self):
        text = "".join(f"Sentence number {i:04} says nothing new. " for i in range(100))
        got = self.ok("POST", "/rag/index", {"collection_name": "long", "documents": [{"text": text}]}, 201)
        self.assertGreaterEqual(got["chunks_created"], len(text) // 512)
        points = self.ok("POST", "/collections/long/points/scroll",
                         {"limit": 1000, "with_payload": True})["result"]["points"]
        chunks = sorted((p["payload"] for p in points if p["payload"]["kind"] == "chunk"),
                        key=lambda c: c["start_pos"])
        for c in chunks:
            self.assertLessEqual(c["chunk_size"], 512)
            self.assertEqual(text[c["start_pos"]:c["end_pos"]], c["text"])
        for a, b in zip(chunks, chunks[1:]):
            self.assertLess(b["start_pos"], a["end_pos"], "chunks overlap")

    def test_index_takes_any_text(self):
        texts = ["\x00\x01\x02", " ", "{", "<html>", "\u00fcber\x07", "a" * 5000]
        got = self.ok("POST", "/rag/index", {"collection_name": "any", "documents": [
            {"text": t} for t in texts]}, 201)
        self.assertEqual(got["documents_indexed"], len(texts))

    def test_index_bounds(self):
        self.refused("POST", "/rag/index", {}, word="documents")
        self.refused("POST", "/rag/index", {"documents": []})
        self.refused("POST", "/rag/index", {"documents": [{}]}, word="text")
        self.refused("POST", "/rag/index", {"documents": [{"text": 5}]})
        self.refused("POST", "/rag/index", {"documents": [{"text": "a", "metadata": "b"}]})
        self.refused("POST", "/rag/index", {"documents": [{"text": "a"}], "collection_name": 5})

    # ---- /rag/search ----

    def test_search(self):
        got = self.ok("POST", "/rag/search", {"query": QUESTION, "min_score": 0.2})
        self.typed(got, query=str, num_results=int, documents=list, config=dict)
        self.assertEqual(got["query"], QUESTION)
        self.assertEqual(got["num_results"], len(got["documents"]))
        self.assertGreater(got["num_results"], 0)
        self.typed(got["config"], top_k=int, min_score=float, collection=str)
        self.assertEqual((got["config"]["top_k"], got["config"]["collection"]), (5, "knowledge_base"))
        first = got["documents"][0]
        self.assertIn("seven days", first["text"])
        self.assertEqual(first["metadata"]["source"], "locker.txt")
        self.assertEqual(first["metadata"]["team"], "lockers")
        for d in got["documents"]:
            self.typed(d, text=str, score=float, metadata=dict)
            self.is_metadata(d["metadata"])
            self.assertGreaterEqual(d["score"], 0.2)

    def test_search_without_metadata(self):
        got = self.ok("POST", "/rag/search", {"query": QUESTION, "min_score": 0, "include_metadata": False})
        self.assertIsNone(got["config"])
        for d in got["documents"]:
            self.assertNotIn("metadata", d)

    def test_search_honours_min_score(self):
        self.assertEqual(self.ok("POST", "/rag/search", {"query": QUESTION})["config"]["min_score"], 0.7)
        none = self.ok("POST", "/rag/search", {"query": "volcanoes of Iceland"})
        self.assertEqual((none["num_results"], none["documents"]), (0, []))
        self.assertRegex(none["message"], r"0\.7")
        self.assertRegex(none["message"], r"best")
        everything = self.ok("POST", "/rag/search", {"query": QUESTION, "min_score": 0})
        self.assertEqual(everything["num_results"], len(TEXTS), "0 is no bound")
        self.assertTrue(all(d["score"] >= 0 for d in everything["documents"]))
        for least in (0.3, 0.5, 1):
            got = self.ok("POST", "/rag/search", {"query": QUESTION, "min_score": least})
            self.assertTrue(all(d["score"] >= least for d in got["documents"]), got)

    def test_search_by_words_alone_has_no_bound_unless_given(self):
        got = self.ok("POST", "/rag/search", {"query": "courier", "search": "words"})
        self.assertEqual(got["documents"][0]["metadata"]["source"], "locker.txt")
        self.assertEqual(got["config"]["min_score"], 0)
        self.assertEqual(self.ok("POST", "/rag/search", {"query": "courier", "search": "words",
                                                         "min_score": 1})["num_results"], 0)

    def test_search_honours_top_k(self):
        for k in (1, 2, 3):
            got = self.ok("POST", "/rag/search", {"query": QUESTION, "min_score": 0, "top_k": k})
            self.assertLessEqual(got["num_results"], k)
        self.assertEqual(got["config"]["top_k"], 3)

    def test_search_filters(self):
        got = self.ok("POST", "/rag/search", {"query": QUESTION, "min_score": 0, "filter": {
            "must": [{"key": "source", "match": {"value": "fees.txt"}}]}})
        self.assertEqual({d["metadata"]["source"] for d in got["documents"]}, {"fees.txt"})
        for search in ("hybrid", "dense", "words"):
            self.ok("POST", "/rag/search", {"query": QUESTION, "min_score": 0, "search": search})

    def test_search_bounds(self):
        for wrong in ({"top_k": 0}, {"top_k": 101}, {"min_score": -0.1}, {"min_score": 1.1}, {"top_k": "5"},
                      {"include_metadata": 1}, {"query": 5}, {"query": ""}, {"filter": {"must": 5}}):
            self.refused("POST", "/rag/search", {"query": "x", **wrong})
        self.refused("POST", "/rag/search", {}, word="query")
        for right in ({"top_k": 1}, {"top_k": 100}, {"min_score": 0}, {"min_score": 1}):
            self.ok("POST", "/rag/search", {"query": "x", **right})

    def test_a_collection_that_is_not_there(self):
        for path in ("/rag/search", "/rag/query", "/llm/rag/query"):
            self.refused("POST", path, {"query": "x", "collection_name": "nowhere"}, 404, "nowhere")

    # ---- /rag/query ----

    def test_query(self):
        self.ok("PATCH", "/rag/config", {"min_score": 0.2})
        got = self.ok("POST", "/rag/query", {"query": QUESTION})
        self.typed(got, query=str, context=str, num_docs=int, retrieved_documents=list, config=dict)
        self.assertEqual(got["num_docs"], len(got["retrieved_documents"]))
        self.assertTrue(got["context"].startswith("Context Information:"), got["context"])
        self.assertRegex(got["context"], r"\[Document 1\] \(relevance: \d\.\d\d\)")
        self.assertIn("seven days", got["context"])
        self.typed(got["config"], top_k=int, min_score=float, privacy_enabled=bool, model=str)
        self.assertEqual(got["config"]["model"], "all-minilm-l6-v2")
        bare = self.ok("POST", "/rag/query", {"query": QUESTION, "include_metadata": False})
        self.assertIsNone(bare["retrieved_documents"])
        self.assertEqual(bare["context"], got["context"])
        self.ok("PATCH", "/rag/config", {"min_score": 0.7})
        none = self.ok("POST", "/rag/query", {"query": "volcanoes of Iceland"})
        self.assertEqual((none["num_docs"], none["context"]), (0, ""))
        self.assertIn("0.7", none["message"])

    # ---- Collections ----

    def test_collections(self):
        self.ok("POST", "/rag/index", {"documents": documents(), "collection_name": "going"}, 201)
        names = self.ok("GET", "/rag/collections")
        self.assertIn("going", names)
        self.assertIn("knowledge_base", names)
        got = self.s.ask("DELETE", "/rag/collections/going")
        self.assertEqual((got.status, got.body), (204, b""))
        self.assertNotIn("going", self.ok("GET", "/rag/collections"))
        self.assertEqual(self.s.ask("DELETE", "/rag/collections/going").status, 404)
        self.ok("POST", "/rag/index", {"documents": documents(), "collection_name": "going"}, 201)
        found = self.ok("POST", "/rag/search", {"query": QUESTION, "collection_name": "going", "min_score": 0})
        self.assertGreater(found["num_results"], 0)

    def test_a_collection_of_vectors_is_none_of_documents(self):
        self.ok("PUT", "/collections/vectors", {"vectors": {"size": 4, "distance": "Dot"}})
        self.assertNotIn("vectors", self.ok("GET", "/rag/collections"))
        self.refused("POST", "/rag/search", {"query": "x", "collection_name": "vectors"}, word="documents")
        self.assertEqual(self.s.ask("DELETE", "/rag/collections/vectors").status, 422)

    # ---- Cache, health ----

    def test_cache(self):
        for _ in range(2):
            self.ok("POST", "/rag/search", {"query": "a question asked twice"})
        got = self.ok("GET", "/rag/cache/stats")
        self.typed(got, cache_size=int, max_size=int, hit_rate=float, total_requests=int)
        self.assertEqual(got["max_size"], 10000)
        self.assertGreater(got["cache_size"], 0)
        self.assertTrue(0 < got["hit_rate"] <= 1, got)
        cleared = self.s.ask("POST", "/rag/cache/clear")
        self.assertEqual((cleared.status, cleared.body), (204, b""))
        self.assertEqual(self.ok("GET", "/rag/cache/stats")["cache_size"], 0)

    def test_health(self):
        got = self.ok("GET", "/rag/health")
        self.typed(got, status=str, gpu_available=bool, privacy_enabled=bool, embedding_model=str,
                   collection_name=str)
        self.assertEqual(got["status"], "healthy")
        self.assertEqual(got["embedding_model"], "all-minilm-l6-v2")

    # ---- /rag/config ----

    def test_config(self):
        got = self.ok("PATCH", "/rag/config", {"top_k": 7, "min_score": 0})
        self.typed(got, status=str, updated_fields=dict, current_config=dict)
        self.assertEqual(got["updated_fields"], {"top_k": 7, "min_score": 0})
        self.typed(got["current_config"], top_k=int, min_score=float, chunk_size=int,
                   chunk_overlap=int, enable_privacy=bool)
        search = self.ok("POST", "/rag/search", {"query": "a parcel"})
        self.assertEqual((search["config"]["top_k"], search["config"]["min_score"]), (7, 0))
        self.assertGreater(search["num_results"], 0)
        self.assertEqual(self.ok("GET", "/llm/rag/status")["max_context_docs"], 7)
        self.ok("PATCH", "/rag/config", {"top_k": 5, "min_score": 0.7})
        self.assertEqual(self.ok("PATCH", "/rag/config", {})["updated_fields"], {})

    def tearDown(self):
        self.s.ask("PATCH", "/rag/config", {"top_k": 5, "min_score": 0.7, "chunk_size": 512, "chunk_overlap": 50})

    def test_config_bounds(self):
        before = self.ok("PATCH", "/rag/config", {})["current_config"]
        for wrong in ({"top_k": 0}, {"top_k": 101}, {"min_score": -1}, {"min_score": 2}, {"chunk_size": 99},
                      {"chunk_size": 2049}, {"chunk_overlap": -1}, {"chunk_overlap": 501},
                      {"privacy_epsilon": 0.05}, {"privacy_epsilon": 11}, {"top_k": "3"}):
            self.refused("PATCH", "/rag/config", wrong, word=next(iter(wrong)))
        for wrong in ({"chunk_size": 100, "chunk_overlap": 100}, {"chunk_size": 100, "chunk_overlap": 101},
                      {"chunk_size": 300, "chunk_overlap": 400}):
            detail = self.refused("PATCH", "/rag/config", wrong)
            self.assertEqual(detail[0]["loc"], ["body", "chunk_overlap"])
        self.assertEqual(self.ok("PATCH", "/rag/config", {})["current_config"], before)
        self.ok("PATCH", "/rag/config", {"chunk_size": 100, "chunk_overlap": 99, "privacy_epsilon": 0.1})
        self.refused("PATCH", "/rag/config", {"chunk_overlap": 100})  # of the size that is in force
        self.ok("PATCH", "/rag/config", {"chunk_size": 512, "chunk_overlap": 50, "privacy_epsilon": 1})

    def test_privacy_is_not_there_yet(self):
        detail = self.refused("PATCH", "/rag/config", {"enable_privacy": True, "top_k": 9}, 501)
        self.assertRegex(detail, r"\w+ \w+ \w+")
        off = self.ok("PATCH", "/rag/config", {"enable_privacy": False})
        self.assertEqual(off["updated_fields"], {"enable_privacy": False})
        self.assertEqual(off["current_config"]["top_k"], 5)

    # ---- /llm/rag/query ----

    def is_answer(self, got):
        self.typed(got, query=str, answer=str, used_rag=bool, sources=list, num_sources=int, citations=list,
                   mode=str)
        for source in got["sources"]:
            self.is_source(source)
        for c in got["citations"]:
            self.typed(c, number=int, document_id=str, source=str, title=str, start_pos=int, end_pos=int,
                       quoted=bool, text=str)
            self.assertIn(f"[{c['number']}]", got["answer"])
            if c["source"] in TEXTS:
                self.assertEqual(TEXTS[c["source"]].encode()[c["start_pos"]:c["end_pos"]].decode(), c["text"])

    def test_ask(self):
        got = self.ok("POST", "/llm/rag/query", {"query": QUESTION})
        self.is_answer(got)
        self.assertEqual(got["mode"], "extract", "where only the small model is, it doesn't write")
        self.assertIs(got["used_rag"], True)
        self.assertIn("seven days", got["answer"])
        self.assertEqual(got["num_sources"], len(got["sources"]))
        self.assertGreater(len(got["citations"]), 0)
        self.assertEqual({s["number"] for s in got["sources"]}, {c["number"] for c in got["citations"]})
        self.assertTrue(all(s["used"] for s in got["sources"]))

    def test_ask_without_sources(self):
        got = self.ok("POST", "/llm/rag/query", {"query": QUESTION, "include_sources": False})
        self.assertEqual(got["sources"], [])
        self.assertGreater(got["num_sources"], 0)

    def test_ask_what_no_document_says(self):
        for mode in ("extract", "generate"):
            got = self.ok("POST", "/llm/rag/query", {"query": "Which volcanoes are there in Iceland?",
                                                     "mode": mode})
            self.is_answer(got)
            self.assertEqual(got["answer"], "The documents do not say.")
            self.assertEqual((got["sources"], got["citations"], got["mode"]), ([], [], mode))

    def test_ask_the_model(self):
        got = self.ok("POST", "/llm/rag/query", {"query": QUESTION, "mode": "generate", "max_new_tokens": 24,
                                                 "temperature": 0})
        self.is_answer(got)
        self.assertEqual((got["mode"], got["model"], got["used_rag"]), ("generate", "nexus-mini", True))
        self.assertGreater(got["usage"]["completion_tokens"], 0)
        self.assertLessEqual(got["usage"]["completion_tokens"], 24)

    def test_ask_without_documents(self):
        for body in ({"use_rag": False}, {"use_rag": False, "collection_name": "nowhere"}):
            got = self.ok("POST", "/llm/rag/query", {"query": "Once upon a time", "max_new_tokens": 8, **body})
            self.is_answer(got)
            self.assertIs(got["used_rag"], False)
            self.assertEqual((got["sources"], got["num_sources"]), ([], 0))

    def in_order(self, got, used_rag=True):
        kinds = [e["type"] for e in got]
        self.assertEqual(kinds[0], "metadata")
        self.typed(got[0], query=str, used_rag=bool, num_sources=int)
        self.assertIs(got[0]["used_rag"], used_rag)
        self.assertEqual(kinds[-1], "done")
        rest = kinds[1:-1]
        if used_rag:
            self.assertEqual(rest.pop(0), "sources")
            self.assertEqual(len(got[1]["sources"]), got[0]["num_sources"])
            for source in got[1]["sources"]:
                self.is_source(source)
        self.assertEqual(set(rest) - {"token"}, set())
        return "".join(e["content"] for e in got if e["type"] == "token")

    def test_stream(self):
        whole = self.ok("POST", "/llm/rag/query", {"query": QUESTION})
        reply = self.s.post("/llm/rag/query", {"query": QUESTION, "stream": True})
        self.assertEqual(reply.status, 200, reply)
        self.assertTrue(reply.headers["content-type"].startswith("text/event-stream"))
        got = events(reply)
        self.assertEqual(self.in_order(got), whole["answer"])
        self.assertEqual(got[-1]["citations"], whole["citations"])
        self.assertEqual(got[-1]["used"], [s["number"] for s in whole["sources"]])

    def test_stream_of_the_model(self):
        reply = self.s.post("/llm/rag/query", {"query": QUESTION, "stream": True, "mode": "generate",
                                               "max_new_tokens": 16})
        got = events(reply)
        self.in_order(got)
        self.assertEqual(got[-1]["mode"], "generate")
        self.assertLessEqual(got[-1]["usage"]["completion_tokens"], 16)
        reply = self.s.post("/llm/rag/query", {"query": "Hi", "stream": True, "use_rag": False,
                                               "max_new_tokens": 4})
        self.in_order(events(reply), used_rag=False)

    def test_stream_of_nothing(self):
        reply = self.s.post("/llm/rag/query", {"query": "Which volcanoes are there?", "stream": True})
        self.assertEqual(self.in_order(events(reply)), "The documents do not say.")

    def test_ask_after_a_conversation(self):
        history = [{"role": "user", "content": "Tell me about the code of a parcel locker."},
                   {"role": "assistant", "content": "It has six digits."}]
        for name in ("history", "messages"):
            got = self.ok("POST", "/llm/rag/query", {"query": "How long is it valid?", name: history})
            self.is_answer(got)
            self.assertIn("seven days", got["answer"])
        got = self.ok("POST", "/llm/rag/query", {"query": "How long is it valid?", "history": history,
                                                 "mode": "generate", "max_new_tokens": 8})
        self.is_answer(got)

    def reads(self, body):
        """The sources that a model is given."""
        got = events(self.s.post("/llm/rag/query", {**body, "mode": "generate", "stream": True,
                                                    "max_new_tokens": 8}))
        self.in_order(got)
        return got[1]["sources"]

    def test_ask_from_a_context(self):
        text = "The harbour opens at five in the morning. The crane is painted green."
        got = self.ok("POST", "/llm/rag/query", {"query": "When does the harbour open?", "context": text,
                                                 "mode": "extract"})
        self.is_answer(got)
        self.assertIn("five in the morning", got["answer"])
        read = self.reads({"query": "When does the harbour open?", "context": text})
        self.assertEqual([s["text"] for s in read], [text])
        long = self.s.post("/llm/rag/query", {"query": "When?", "context": text * 200, "mode": "generate"})
        self.assertEqual(long.status, 422, long)    # never cut in silence

    def test_ask_one_document(self):
        fees = self.indexed["document_ids"][list(TEXTS).index("fees.txt")]
        got = self.ok("POST", "/llm/rag/query", {"query": "What does storage cost after three days?",
                                                 "document_id": fees})
        self.is_answer(got)
        self.assertEqual({c["source"] for c in got["citations"]}, {"fees.txt"})
        read, = self.reads({"query": "What does storage cost?", "document_id": fees})
        self.assertEqual((read["metadata"]["start_pos"], read["metadata"]["end_pos"]),
                         (0, len(TEXTS["fees.txt"])))
        self.refused("POST", "/llm/rag/query", {"query": "x", "document_id": "7"}, word="document_id")
        self.refused("POST", "/llm/rag/query", {"query": "x", "document_id": str(uuid.uuid4())}, 404)

    def test_ask_explains(self):
        got = self.ok("POST", "/llm/rag/query", {"query": QUESTION, "explain": True})
        self.typed(got["explain"], question=str, relevance=float, passages=list)
        self.assertTrue(all(p["why"] for p in got["explain"]["passages"]), got)

    def test_ask_bounds(self):
        for wrong in ({"max_new_tokens": 0}, {"max_new_tokens": 4097}, {"temperature": -0.1},
                      {"temperature": 2.1}, {"use_rag": "yes"}, {"include_sources": 1}, {"stream": "true"},
                      {"mode": "guess"}, {"top_k": 0}, {"top_k": 101}, {"min_score": 1.5}, {"query": ""},
                      {"history": [{"role": "user"}]}):
            self.refused("POST", "/llm/rag/query", {"query": "x", **wrong})
        self.refused("POST", "/llm/rag/query", {}, word="query")
        self.refused("POST", "/llm/rag/query", {"query": "x", "model": "nobody"}, 404, "nobody")
        for right in ({"max_new_tokens": 1}, {"max_new_tokens": 4096}, {"temperature": 0}, {"temperature": 2}):
            self.ok("POST", "/llm/rag/query", {"query": QUESTION, **right})

    # ---- The toggle ----

    def test_status(self):
        got = self.ok("GET", "/llm/rag/status")
        self.typed(got, rag_enabled=bool, llm_model=str, llm_loaded=bool, rag_collection=str,
                   embedding_model=str, max_context_docs=int)
        self.assertEqual((got["llm_model"], got["rag_collection"]), ("nexus-mini", "knowledge_base"))

    def test_toggle(self):
        self.assertIs(self.ok("POST", "/llm/rag/disable", {})["rag_enabled"], False)
        self.assertIs(self.ok("GET", "/llm/rag/status")["rag_enabled"], False)
        self.assertIs(self.ok("GET", "/llm/health")["rag_enabled"], False)
        got = self.ok("POST", "/llm/rag/query", {"query": QUESTION, "max_new_tokens": 4})
        self.assertIs(got["used_rag"], False)
        self.assertIs(self.ok("POST", "/llm/rag/enable")["rag_enabled"], True)
        self.assertIs(self.ok("GET", "/llm/rag/status")["rag_enabled"], True)


class Lasting(harness.Case):
    """What was set outlives the server, and what was indexed, too."""

    def test_it_stays(self):
        data = os.path.join(self.tmp, "data")
        with Server("--ctx", "512", data=data) as s:
            self.assertEqual(s.post("/llm/rag/disable", {}).status, 200)
            self.assertEqual(s.ask("PATCH", "/rag/config", {"top_k": 3, "chunk_size": 200}).status, 200)
            self.assertEqual(s.post("/rag/index", {"documents": documents()}).status, 201)
            own = "Be brief.\n---\n{passages}\n\n{question}"
            path = "/rag/collections/knowledge_base"
            self.assertIsNone(s.get(path).json["template"])
            self.assertEqual(s.ask("PATCH", path, {"template": own}).json["template"], own)
            self.assertEqual(s.ask("PATCH", path, {"template": "no question"}).status, 422)
            self.assertEqual(s.ask("PATCH", "/rag/collections/nowhere", {"template": own}).status, 404)
            s.process.kill()
            s.process.wait()
        with Server("--ctx", "512", data=data) as s:
            told = s.get(path).json
            self.assertEqual((told["template"], told["model"], told["vector_size"]), (own, "all-minilm-l6-v2", 384))
            self.assertIsNone(s.ask("PATCH", path, {"template": None}).json["template"])
            status = s.get("/llm/rag/status").json
            self.assertEqual((status["rag_enabled"], status["max_context_docs"]), (False, 3))
            self.assertEqual(s.ask("PATCH", "/rag/config", {}).json["current_config"]["chunk_size"], 200)
            found = s.post("/rag/search", {"query": QUESTION, "min_score": 0.2}).json
            self.assertIn("seven days", found["documents"][0]["text"])


class AsPeopleType(harness.Case):
    """The requests of the service that was there before, with curl, as its pages have them."""

    def curl(self, command):
        """The command, with the address of this server in the place of theirs; status, body."""
        text = command.replace("http://localhost:8000", self.s.url)
        done = subprocess.run(["sh", "-c", text + " -s -w '\\n%{http_code}'"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, f"{text}: {done.stderr.decode()}")
        body, status = done.stdout.decode().rsplit("\n", 1)
        return int(status), body

    def json_of(self, command, status=200):
        got, body = self.curl(command)
        self.assertEqual(got, status, f"{command}: {body}")
        return json.loads(body)

    def test_their_requests(self):
        if not shutil.which("curl"):
            raise unittest.SkipTest("skipped: no curl")
        with Server("--ctx", "1024") as self.s:
            self.index_and_search()
            self.ask()
            self.manage()

    def index_and_search(self):
        got = self.json_of("""curl -X POST http://localhost:8000/rag/index \\
  -H "Content-Type: application/json" \\
  -d '{
    "documents": [
      {"text": "Machine learning is a subset of artificial intelligence.", "metadata": {"source": "ml.txt"}},
      {"text": "Deep learning uses neural networks with many layers.", "metadata": {"source": "dl.txt"}}
    ],
    "collection_name": "knowledge_base"
  }'""", 201)
        self.assertEqual((got["documents_indexed"], got["collection"]), (2, "knowledge_base"))
        got = self.json_of("""curl -X POST http://localhost:8000/rag/search \\
  -H "Content-Type: application/json" \\
  -d '{"query": "What is machine learning?", "top_k": 3, "min_score": 0.5}'""")
        self.assertEqual(got["documents"][0]["metadata"]["source"], "ml.txt")
        got = self.json_of("""curl -X POST http://localhost:8000/rag/query \\
  -H "Content-Type: application/json" \\
  -d '{"query": "Machine learning is a subset of artificial intelligence"}'""")
        self.assertIn("subset of artificial intelligence", got["context"])

    def ask(self):
        got = self.json_of("""curl -X POST http://localhost:8000/llm/rag/query \\
  -H "Content-Type: application/json" \\
  -d '{"query": "What is machine learning?", "max_new_tokens": 256, "temperature": 0.7, "use_rag": true}'""")
        self.assertIn("subset of artificial intelligence", got["answer"])
        self.assertEqual(got["sources"][0]["metadata"]["source"], "ml.txt")
        status, body = self.curl("""curl -N -X POST http://localhost:8000/llm/rag/query \\
  -H "Content-Type: application/json" \\
  -d '{"query": "What is machine learning?", "stream": true}'""")
        self.assertEqual(status, 200)
        found = re.findall(r"^data: (.*)$", body, re.M)
        self.assertEqual(found[-1], "[DONE]")
        self.assertEqual([json.loads(e)["type"] for e in found[:2]], ["metadata", "sources"])
        self.assertEqual(json.loads(found[-2])["type"], "done")
        for verb, enabled in (("disable", False), ("enable", True)):
            got = self.json_of(f"curl -X POST http://localhost:8000/llm/rag/{verb}")
            self.assertIs(got["rag_enabled"], enabled)
        self.assertIs(self.json_of("curl http://localhost:8000/llm/rag/status")["rag_enabled"], True)

    def manage(self):
        self.assertEqual(self.json_of("curl http://localhost:8000/rag/collections"), ["knowledge_base"])
        self.assertEqual(self.json_of("curl http://localhost:8000/rag/cache/stats")["max_size"], 10000)
        self.assertEqual(self.curl("curl -X POST http://localhost:8000/rag/cache/clear"), (204, ""))
        self.assertEqual(self.json_of("curl http://localhost:8000/rag/health")["status"], "healthy")
        got = self.json_of("""curl -X PATCH http://localhost:8000/rag/config \\
  -H "Content-Type: application/json" \\
  -d '{"top_k": 10, "min_score": 0.6}'""")
        self.assertEqual(got["updated_fields"], {"top_k": 10, "min_score": 0.6})
        self.assertEqual(self.curl("curl -X DELETE http://localhost:8000/rag/collections/knowledge_base"),
                         (204, ""))
        self.assertEqual(self.json_of("curl http://localhost:8000/rag/collections"), [])


if __name__ == "__main__":
    harness.main()
