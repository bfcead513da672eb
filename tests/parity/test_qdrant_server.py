#!/usr/bin/env python3
"""Where the official Python client's local mode isn't what a Qdrant server is, we are the server: each case
with the answer that is right, by the same client. docs/qdrant.md lists them in this order. What local mode
does well is test_qdrant_local.py's."""
import math
import os
import sys
import unittest
import uuid
import warnings

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

import harness  # noqa: E402
from server import Server  # noqa: E402

try:
    from qdrant_client import QdrantClient
    from qdrant_client import models as m
    from qdrant_client.http.exceptions import UnexpectedResponse
except ImportError as why:
    print(f"skipped: {why}; make test installs it")
    sys.exit(77)

warnings.filterwarnings("ignore", message=".*Api key is used with an insecure connection.*")
UUID = "550e8400-e29b-41d4-a716-446655440000"


class Case(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.key = cls.server.new_key("--scope", "infer,rag,admin")
        cls.q = QdrantClient(url=cls.server.url, api_key=cls.key, prefer_grpc=False, timeout=60)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.clear)

    def clear(self):
        self.assertIsNone(self.server.process.poll(), self.server.err)
        for c in self.q.get_collections().collections:
            self.q.delete_collection(c.name)

    # ---- Small collections ----

    def payloads(self, *payloads, **indexes):
        """Collection "p" of these payloads, ids from 1, with indexes field=schema."""
        self.q.create_collection("p", vectors_config=m.VectorParams(size=1, distance=m.Distance.DOT))
        for field, schema in indexes.items():
            self.q.create_payload_index("p", field.replace("__", "."), schema)
        self.q.upsert("p", [m.PointStruct(id=i, vector=[float(i)], payload=p)
                            for i, p in enumerate(payloads, 1)])

    def ids(self, *must, raw=None, **clauses):
        """Ids that pass: conditions of the client, or raw JSON."""
        if raw is None:
            f = m.Filter(must=list(must) or None, **clauses)
            return [p.id for p in self.q.scroll("p", f, limit=100)[0]]
        got = self.server.post("/collections/p/points/scroll", {"filter": raw, "limit": 100},
                               headers={"api-key": self.key})
        self.assertEqual(got.status, 200, str(got))
        return [p["id"] for p in got.json["result"]["points"]]

    def payload(self, i):
        return self.q.retrieve("p", [i])[0].payload

    def refused(self, status, pattern, call, *args, **how):
        with self.assertRaises(UnexpectedResponse) as caught:
            call(*args, **how)
        self.assertEqual(caught.exception.status_code, status, caught.exception)
        self.assertRegex(caught.exception.content.decode(), pattern)

    @staticmethod
    def match(key, value):
        return m.FieldCondition(key=key, match=m.MatchValue(value=value))


class Filters(Case):
    def test_booleans_are_no_numbers(self):
        self.payloads({"x": True}, {"x": 1}, {"x": 1.0}, {"x": False}, {"x": 0}, {"x": [True, 2]})
        self.assertEqual(self.ids(self.match("x", True)), [1, 6])
        self.assertEqual(self.ids(self.match("x", False)), [4])
        self.assertEqual(self.ids(self.match("x", 1)), [2])
        self.assertEqual(self.ids(m.FieldCondition(key="x", match=m.MatchAny(any=[0, 1]))), [2, 5])
        self.assertEqual(self.ids(m.FieldCondition(key="x", match=m.MatchExcept(**{"except": [1]}))),
                         [1, 3, 4, 5, 6])
        self.assertEqual(self.ids(m.FieldCondition(key="x", range=m.Range(gte=0))), [2, 3, 5, 6])

    def test_prefix_phrase_and_slice(self):
        words = {"type": "text", "tokenizer": "word", "lowercase": True, "phrase_matching": True}
        self.payloads({"t": "The quick brown fox", "k": "abc"}, {"t": "brown quick", "k": "abd"},
                      {"t": "quick   Brown", "k": ["x", "ab"]}, {"k": 5}, t=words)
        self.assertEqual(self.ids(raw={"must": [{"key": "k", "match": {"prefix": "ab"}}]}), [1, 2, 3])
        self.assertEqual(self.ids(raw={"must": [{"key": "k", "match": {"prefix": "abc"}}]}), [1])
        self.assertEqual(self.ids(raw={"must": [{"key": "t", "match": {"phrase": "quick brown"}}]}), [1, 3])
        slices = [self.ids(raw={"must": [{"slice": {"total": 3, "index": i}}]}) for i in range(3)]
        self.assertEqual(sorted(sum(slices, [])), [1, 2, 3, 4])

    def test_words_where_there_is_a_text_index(self):
        self.payloads({"t": "Applesauce and pears"}, {"t": "an apple"}, {"t": 7}, {"t": ["x", "APPLE pear"]},
                      {"t": {"apple": 1}})
        text = m.FieldCondition(key="t", match=m.MatchText(text="apple"))
        self.assertEqual(self.ids(text), [2])    # without one: as it stands there
        self.assertEqual(self.ids(m.FieldCondition(key="t", match=m.MatchText(text="pplesau"))), [1])
        self.q.create_payload_index("p", "t", m.TextIndexParams(type="text", tokenizer="word"))
        self.assertEqual(self.ids(text), [2, 4])
        both = m.FieldCondition(key="t", match=m.MatchText(text="pear Apple"))
        self.assertEqual(self.ids(both), [4])
        either = m.FieldCondition(key="t", match=m.MatchTextAny(text_any="pears an"))
        self.assertEqual(self.ids(either), [1, 2])
        self.q.delete_payload_index("p", "t")
        self.assertEqual(self.ids(text), [2])

    def test_null_is_no_value(self):
        self.payloads({"x": None}, {"x": "a"}, {"x": [None, "b"]}, {}, {"x": {"y": 1}}, {"x": 3})
        self.assertEqual(self.ids(m.FieldCondition(key="x", match=m.MatchExcept(**{"except": ["a"]}))),
                         [3, 5, 6])
        self.assertEqual(self.ids(m.IsNullCondition(is_null=m.PayloadField(key="x"))), [1])

    def test_emptiness_as_members_of_a_field(self):
        self.payloads({"x": None}, {"x": []}, {"x": [None, 1]}, {}, {"x": 0})
        for member, value, wanted in [("is_empty", True, [1, 2, 4]), ("is_empty", False, [3, 5]),
                                      ("is_null", True, [1, 3]), ("is_null", False, [2, 4, 5])]:
            self.assertEqual(self.ids(raw={"must": [{"key": "x", member: value}]}), wanted, (member, value))

    def test_arrays_in_arrays(self):
        self.payloads({"x": [[1, 2], 3]}, {"x": [1]}, {"x": [[[1]]]})
        self.assertEqual(self.ids(self.match("x", 1)), [2])
        self.assertEqual(self.ids(self.match("x[]", 1)), [1, 2])
        self.assertEqual(self.ids(self.match("x[0]", 2)), [1])

    def test_all_bounds_hold_for_one_count(self):
        self.payloads({"a": [{"l": [1]}, {"l": [1, 2, 3]}]}, {"a": [{"l": [1, 2]}]})
        two = m.FieldCondition(key="a[].l", values_count=m.ValuesCount(gt=1, lt=3))
        self.assertEqual(self.ids(two), [2])

    def test_nested_is_of_arrays_of_objects(self):
        self.payloads({"a": {"x": 1}}, {"a": [{"x": 1}, 5]}, {"a": [5]}, {"a": "x"})
        self.assertEqual(self.ids(m.NestedCondition(nested=m.Nested(
            key="a", filter=m.Filter(must=[self.match("x", 1)])))), [2])
        self.assertEqual(self.ids(m.NestedCondition(nested=m.Nested(
            key="a", filter=m.Filter(must_not=[self.match("x", 2)])))), [2])

    def test_an_empty_list_of_conditions_is_none(self):
        self.payloads({"x": 1}, {"x": 2})
        self.assertEqual(self.ids(raw={"should": []}), [1, 2])
        self.assertEqual(self.ids(raw={"must": [], "should": [], "must_not": []}), [1, 2])
        self.assertEqual(self.ids(raw={"should": {"key": "x", "match": {"value": 2}}}), [2])


class Payloads(Case):
    def test_null_takes_a_key_away(self):
        self.payloads({"a": 1, "b": 2, "o": {"x": 1, "y": 2}})
        self.q.set_payload("p", {"a": None, "c": 3}, points=[1])
        self.assertEqual(self.payload(1), {"b": 2, "c": 3, "o": {"x": 1, "y": 2}})
        self.q.set_payload("p", {"x": None, "z": 5}, points=[1], key="o")
        self.assertEqual(self.payload(1)["o"], {"y": 2, "z": 5})
        self.q.upsert("p", [m.PointStruct(id=2, vector=[1.0], payload={"a": None})])
        self.assertEqual(self.payload(2), {"a": None})

    def test_paths_of_what_is_deleted(self):
        self.payloads({"a": {"b": 1, "c": 2}, "l": [{"x": 1, "y": 2}, {"x": 3}], "k.k": 1, "m": [1, 2, 3]})
        self.q.delete_payload("p", ["a.b", "l[].x", '"k.k"', "no.such[].thing"], points=[1])
        self.assertEqual(self.payload(1), {"a": {"c": 2}, "l": [{"y": 2}, {}], "m": [1, 2, 3]})

    def test_all_keys_go_from_the_points_of_a_filter(self):
        self.payloads({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2})
        self.q.delete_payload("p", ["a", "b"], points=m.Filter(must=[self.match("a", 1)]))
        self.assertEqual([self.payload(1), self.payload(2)], [{"c": 1}, {"a": 2, "b": 2}])

    def test_points_do_not_share_what_was_set(self):
        self.payloads({}, {})
        self.q.set_payload("p", {"o": {"x": 1}}, points=[1, 2])
        self.q.set_payload("p", {"x": 2}, points=[1], key="o")
        self.assertEqual([self.payload(1), self.payload(2)], [{"o": {"x": 2}}, {"o": {"x": 1}}])

    def test_filters_and_modes_of_updates(self):
        self.payloads({"x": 1}, {"x": 2}, {"x": 3})
        self.q.update_vectors("p", [m.PointVectors(id=i, vector=[9.0]) for i in (1, 2, 3)],
                              update_filter=m.Filter(must_not=[self.match("x", 1)]))
        self.assertEqual([p.vector for p in self.q.scroll("p", with_vectors=True)[0]], [[1.0], [9.0], [9.0]])
        self.q.delete("p", [1])
        self.q.upsert("p", [m.PointStruct(id=1, vector=[5.0], payload={"x": 5})],
                      update_mode=m.UpdateMode.UPDATE_ONLY)
        self.assertEqual(self.ids(), [2, 3])
        self.q.upsert("p", [m.PointStruct(id=i, vector=[5.0], payload={"x": 5}) for i in (1, 2)],
                      update_mode=m.UpdateMode.INSERT_ONLY)
        self.assertEqual([self.payload(1), self.payload(2)], [{"x": 5}, {"x": 2}])

    def test_writes_to_points_that_are_not_there(self):
        self.payloads({"x": 1})
        for call in (lambda: self.q.set_payload("p", {"y": 1}, points=[7]),
                     lambda: self.q.overwrite_payload("p", {"y": 1}, points=[7]),
                     lambda: self.q.delete_payload("p", ["x"], points=[7]),
                     lambda: self.q.clear_payload("p", [7]),
                     lambda: self.q.update_vectors("p", [m.PointVectors(id=7, vector=[1.0])]),
                     lambda: self.q.delete_vectors("p", [""], [7])):
            self.refused(404, "Not found: No point with id 7 found", call)
        self.q.delete("p", [7])
        self.assertEqual(self.payload(1), {"x": 1})


class Indexes(Case):
    def test_order_by_wants_a_range_index(self):
        self.payloads({"n": 2}, {"n": 1}, {"n": "x"}, {"n": [0, 5]}, {"n": 1.5})
        self.refused(400, "No range index for `order_by` key: `n`", self.q.scroll, "p", order_by="n")
        self.refused(400, "No range index for `order_by` key: `n`", self.q.query_points, "p",
                     query=m.OrderByQuery(order_by="n"))
        self.q.create_payload_index("p", "n", "keyword")
        self.refused(400, "No range index", self.q.scroll, "p", order_by="n")
        self.q.create_payload_index("p", "n", m.IntegerIndexParams(type="integer", lookup=True, range=False))
        self.refused(400, "No range index", self.q.scroll, "p", order_by="n")
        self.q.create_payload_index("p", "n", "float")
        self.assertEqual([(p.id, p.order_value) for p in self.q.scroll("p", order_by="n")[0]],
                         [(4, 0), (2, 1), (5, 1.5), (1, 2), (4, 5)])
        self.refused(400, ".", self.q.scroll, "p", order_by="n", offset=2)
        self.q.delete("p", [1, 2, 3, 5])    # more values than points
        for limit in (2, 3, 99):
            self.assertEqual([p.order_value for p in self.q.scroll("p", order_by="n", limit=limit)[0]],
                             [0, 5])

    def test_facet_wants_a_match_index(self):
        other = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
        self.payloads({"k": "a", "u": UUID.upper()}, {"k": ["a", "b", "a"], "u": UUID},
                      {"k": 1, "u": other}, {"k": "b"}, {"k": "a", "u": "no uuid"})
        self.refused(400, "No appropriate index for faceting: `k`", self.q.facet, "p", "k")
        self.q.create_payload_index("p", "k", "float")
        self.refused(400, "No appropriate index", self.q.facet, "p", "k")
        self.q.create_payload_index("p", "k", "keyword")
        self.assertEqual([(h.value, h.count) for h in self.q.facet("p", "k", exact=True).hits],
                         [("a", 3), ("b", 2)])
        self.q.create_payload_index("p", "u", "uuid")
        self.assertEqual([(h.value, h.count) for h in self.q.facet("p", "u", exact=True).hits],
                         [(UUID, 2), (other, 1)])

    def test_what_is_told_of_them(self):
        self.payloads({"k": "a", "n": 1}, {"k": "b"}, k="keyword", n="integer", o__x="bool")
        schema = self.q.get_collection("p").payload_schema
        self.assertEqual({k: (v.data_type.value, v.points) for k, v in schema.items()},
                         {"k": ("keyword", 2), "n": ("integer", 1), "o.x": ("bool", 0)})
        self.q.delete_payload_index("p", "n")
        self.assertEqual(set(self.q.get_collection("p").payload_schema), {"k", "o.x"})


class Queries(Case):
    def named(self, **vectors):
        sparse = {n: c for n, c in vectors.items() if isinstance(c, m.SparseVectorParams)}
        self.q.create_collection("n", vectors_config={n: c for n, c in vectors.items() if n not in sparse},
                                 sparse_vectors_config=sparse or None)

    def hits(self, *args, **how):
        return [(p.id, round(p.score, 5)) for p in self.q.query_points(*args, **how).points]

    def test_documents_that_are_gone_count_no_more(self):
        self.named(s=m.SparseVectorParams(modifier=m.Modifier.IDF))

        def put(i, *at):
            self.q.upsert("n", [m.PointStruct(id=i, vector={"s": m.SparseVector(
                indices=list(at), values=[1.0] * len(at))})])

        def idf(df, n):
            return round(math.log((n - df + 0.5) / (df + 0.5) + 1), 5)
        put(1, 7), put(2, 7, 8), put(3, 8), put(4, 9)
        ask = {"query": m.SparseVector(indices=[7], values=[1.0]), "using": "s"}
        self.assertEqual(self.hits("n", **ask), [(1, idf(2, 4)), (2, idf(2, 4))])
        self.q.delete("n", [1])
        self.assertEqual(self.hits("n", **ask), [(2, idf(1, 3))])
        self.q.delete_vectors("n", ["s"], [2])
        self.assertEqual(self.hits("n", **ask), [])
        put(2, 7), put(2, 7), put(5, 7)
        self.assertEqual(self.hits("n", **ask), [(2, idf(2, 4)), (5, idf(2, 4))])

    def test_points_may_lack_a_multivector(self):
        multi = m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM)
        self.named(m=m.VectorParams(size=2, distance=m.Distance.DOT, multivector_config=multi),
                   a=m.VectorParams(size=1, distance=m.Distance.DOT))
        self.q.upsert("n", [m.PointStruct(id=1, vector={"a": [1.0]}),
                            m.PointStruct(id=2, vector={"m": [[1.0, 0.0], [0.0, 2.0]]})])
        self.assertEqual(self.hits("n", query=[[1.0, 1.0], [0.0, 1.0]], using="m"), [(2, 4.0)])
        self.assertEqual(self.hits("n", query=[1.0, 1.0], using="m"), [(2, 2.0)])    # a vector: one row

    def line(self):
        """Ten points on a line: i at [i, 1]."""
        self.q.create_collection("p", vectors_config=m.VectorParams(size=2, distance=m.Distance.DOT))
        self.q.upsert("p", [m.PointStruct(id=i, vector=[float(i), 1.0], payload={"n": i, "odd": i % 2 == 1})
                            for i in range(10)])

    def test_the_filter_holds_for_prefetches(self):
        self.line()
        odd, rrf = m.Filter(must=[self.match("odd", True)]), m.FusionQuery(fusion=m.Fusion.RRF)
        source = m.Prefetch(query=m.NearestQuery(nearest=[1.0, 0.0]), limit=2)
        self.assertEqual([i for i, _ in self.hits("p", prefetch=[source], query=rrf, query_filter=odd)], [9, 7])
        self.assertEqual([i for i, _ in self.hits("p", prefetch=[source], query=[-1.0, 0.0],
                                                  query_filter=odd)], [7, 9])
        both = m.Prefetch(prefetch=source, query=m.NearestQuery(nearest=[1.0, 0.0]), limit=5, filter=m.Filter(
            must=[m.FieldCondition(key="n", range=m.Range(lt=9))]))
        self.assertEqual([i for i, _ in self.hits("p", prefetch=both, query=rrf, query_filter=odd)], [7, 5])

    def test_examples_are_left_out_everywhere(self):
        self.line()
        a = m.Prefetch(query=m.NearestQuery(nearest=9), limit=2)
        b = m.Prefetch(query=m.NearestQuery(nearest=[1.0, 0.0]), limit=2)
        got = self.hits("p", prefetch=[a, b], query=m.FusionQuery(fusion=m.Fusion.RRF))
        self.assertEqual(got, [(8, 1.0), (7, round(2 / 3, 5))])
        got = self.hits("p", prefetch=[b], query=9)
        self.assertEqual([i for i, _ in got], [8, 7])

    def test_recommendation_errors(self):
        self.line()
        for recommend in (m.RecommendInput(negative=[1]), m.RecommendInput(positive=[], negative=[]),
                          m.RecommendInput(strategy=m.RecommendStrategy.BEST_SCORE)):
            self.refused(400, ".", self.q.query_points, "p", query=m.RecommendQuery(recommend=recommend))
        self.refused(404, "No point with id 77 found", self.q.query_points, "p", query=77)

    def test_scores_without_vectors(self):
        self.line()
        self.q.create_payload_index("p", "n", "integer")
        self.assertEqual({p.score for p in self.q.query_points("p").points}, {1.0})
        ordered = m.OrderByQuery(order_by=m.OrderBy(key="n", direction="desc"))
        self.assertEqual([(p.id, p.score, p.order_value) for p in self.q.query_points(
            "p", query=ordered, limit=2).points], [(9, 1.0, 9), (8, 1.0, 8)])
        sampled = self.q.query_points("p", query=m.SampleQuery(sample="random"), limit=4, offset=9).points
        self.assertEqual(len(sampled), 4)    # an offset means nothing to chance

    def test_equals_come_by_id(self):
        self.q.create_collection("p", vectors_config=m.VectorParams(size=1, distance=m.Distance.DOT))
        ids = [5, UUID, 3, 1 << 63, str(uuid.UUID(int=1)), 4]
        self.q.upsert("p", [m.PointStruct(id=i, vector=[1.0]) for i in ids])
        want = [3, 4, 5, 1 << 63, str(uuid.UUID(int=1)), UUID]
        self.assertEqual([i for i, _ in self.hits("p", query=[2.0])], want)
        a, b = (m.Prefetch(query=m.NearestQuery(nearest=[x]), limit=9) for x in (1.0, -1.0))
        self.assertEqual([i for i, _ in self.hits("p", prefetch=[a, b],
                                                  query=m.FusionQuery(fusion=m.Fusion.DBSF))], want)

    def test_groups_look_up_with_payload(self):
        self.line()
        self.q.create_collection("l", vectors_config=m.VectorParams(size=1, distance=m.Distance.DOT))
        self.q.upsert("l", [m.PointStruct(id=i, vector=[1.0], payload={"name": f"n{i}"}) for i in (3, 9)])
        got = self.q.query_points_groups("p", group_by="n", query=[1.0, 0.0], limit=2, with_lookup="l").groups
        self.assertEqual([(g.id, g.lookup and g.lookup.payload) for g in got], [(9, {"name": "n9"}), (8, None)])

    def test_a_lookup_in_another_collection(self):
        self.line()
        self.q.create_collection("l", vectors_config={"v": m.VectorParams(size=2, distance=m.Distance.COSINE)})
        self.q.upsert("l", [m.PointStruct(id=9, vector={"v": [0.0, -1.0]})])
        got = self.hits("p", query=9, lookup_from=m.LookupLocation(collection="l", vector="v"), limit=20)
        self.assertEqual(got, [(i, -1.0) for i in range(10)])    # its id is none of ours


class Documents(Case):
    """Texts that are embedded in process: what no other server of this API does."""
    MODEL = "sentence-transformers/all-MiniLM-L6-v2"

    def ask(self, method, path, body):
        got = self.server.ask(method, path, body, {"api-key": self.key})
        self.assertEqual(got.status, 200, str(got))
        return got.json

    def document(self, text, **how):
        return {"text": text, "model": self.MODEL, **how}

    def test_dense(self):
        texts = ["the cat sleeps", "stock markets fell", "a kitten naps"]
        self.ask("PUT", "/collections/d", {"vectors": {"size": 384, "distance": "Cosine"}})
        self.ask("PUT", "/collections/d/points?wait=true", {"points": [
            {"id": i, "vector": self.document(t), "payload": {"t": t}} for i, t in enumerate(texts)]})
        wanted = [e["embedding"] for e in self.ask("POST", "/v1/embeddings", {
            "model": "all-minilm-l6-v2", "input": texts})["data"]]
        for p in self.q.scroll("d", with_vectors=True)[0]:
            for a, b in zip(p.vector, wanted[p.id]):
                self.assertAlmostEqual(a, b, places=5)
        got = self.ask("POST", "/collections/d/points/query", {
            "query": self.document("a sleeping cat"), "limit": 3})["result"]["points"]
        self.assertEqual({p["id"] for p in got[:2]}, {0, 2})
        fused = self.ask("POST", "/collections/d/points/query", {
            "query": {"fusion": "rrf"}, "limit": 1,
            "prefetch": [{"query": {"nearest": self.document("finance news")}, "limit": 2}]})
        self.assertEqual(fused["result"]["points"][0]["id"], 1)

    def test_words(self):
        self.ask("PUT", "/collections/w", {"vectors": {}, "sparse_vectors": {"b": {"modifier": "idf"}}})
        texts = ["The cats are sleeping", "stock markets fell", "a market for cats"]
        self.ask("PUT", "/collections/w/points?wait=true", {"points": [
            {"id": i, "vector": {"b": {"text": t, "model": "qdrant/bm25"}}} for i, t in enumerate(texts)]})

        def ids(text):
            return [p["id"] for p in self.ask("POST", "/collections/w/points/query", {
                "query": {"text": text, "model": "Qdrant/bm25"}, "using": "b"})["result"]["points"]]
        self.assertEqual(set(ids("cat")), {0, 2})
        self.assertEqual(ids("sleep"), [0])
        self.assertEqual(set(ids("the markets")), {1, 2})
        self.assertEqual(ids("the a for"), [])

    def test_refusals(self):
        self.ask("PUT", "/collections/d", {"vectors": {"size": 8, "distance": "Cosine"}})
        for document in (self.document("x"), {"text": "x", "model": "no/such-model"}, {"text": "x"}):
            got = self.server.ask("POST", "/collections/d/points/query", {"query": document},
                                  {"api-key": self.key})
            self.assertEqual(got.status, 400, str(got))


class Lives(Case):
    """The life of a collection, by the client."""

    def test_collections(self):
        q = self.q
        self.assertTrue(q.create_collection(
            "c", vectors_config={"a": m.VectorParams(size=3, distance=m.Distance.MANHATTAN, on_disk=True)},
            sparse_vectors_config={"s": m.SparseVectorParams(modifier=m.Modifier.IDF)},
            hnsw_config=m.HnswConfigDiff(m=0, payload_m=16), optimizers_config=m.OptimizersConfigDiff(),
            on_disk_payload=True, shard_number=1, replication_factor=1, metadata={"who": "tests"}))
        self.assertTrue(q.collection_exists("c"))
        config = q.get_collection("c").config
        self.assertEqual(config.params.vectors["a"].size, 3)
        self.assertEqual(config.params.vectors["a"].distance, m.Distance.MANHATTAN)
        self.assertEqual(config.params.sparse_vectors["s"].modifier, m.Modifier.IDF)
        self.assertEqual(config.metadata, {"who": "tests"})
        q.update_collection("c", metadata={"more": 1}, optimizers_config=m.OptimizersConfigDiff(
            indexing_threshold=1000))
        self.assertEqual(q.get_collection("c").config.metadata, {"who": "tests", "more": 1})
        self.refused(409, "already exists!", q.create_collection, "c",
                     vectors_config=m.VectorParams(size=1, distance=m.Distance.DOT))
        self.assertTrue(q.delete_collection("c"))
        self.assertFalse(q.collection_exists("c"))
        self.assertEqual(q.info().title, "qdrant - vector search engine")

    def test_a_default_vector_of_the_empty_name(self):
        """LangChain makes its collections so."""
        self.q.create_collection("c", vectors_config={"": m.VectorParams(size=2, distance=m.Distance.COSINE)})
        self.q.upsert("c", [m.PointStruct(id=1, vector={"": [3.0, 4.0]}),
                            m.PointStruct(id=2, vector=[1.0, 0.0])])
        self.assertEqual(self.q.query_points("c", query=[0.0, 1.0], using="").points[0].id, 1)
        got = self.q.retrieve("c", [1], with_vectors=True)[0].vector
        self.assertEqual([round(x, 6) for x in (got[""] if isinstance(got, dict) else got)], [0.6, 0.8])

    def test_snapshots(self):
        self.payloads({"x": 1}, {"x": 2})
        made = self.q.create_snapshot("p")
        self.assertEqual([s.name for s in self.q.list_snapshots("p")], [made.name])
        self.assertEqual(len(made.checksum), 64)
        self.assertGreater(made.size, 0)
        self.q.delete("p", [1])
        path = f"/collections/p/snapshots/{made.name}"
        whole = self.server.get(path, headers={"api-key": self.key}).body
        self.assertEqual(len(whole), made.size)
        self.assertTrue(self.q.delete_snapshot("p", made.name))
        self.assertEqual(self.q.list_snapshots("p"), [])

    def test_uploads(self):
        self.q.create_collection("c", vectors_config=m.VectorParams(size=2, distance=m.Distance.EUCLID))
        self.q.upload_points("c", (m.PointStruct(id=i, vector=[float(i), 0.0], payload={"i": i})
                                   for i in range(500)), batch_size=64, wait=True)
        self.assertEqual(self.q.count("c").count, 500)
        self.assertEqual([p.id for p in self.q.query_points("c", query=[250.2, 0.0], limit=3).points],
                         [250, 251, 249])
        seen, at = [], None
        while True:
            page, at = self.q.scroll("c", limit=77, offset=at)
            seen += [p.id for p in page]
            if at is None:
                break
        self.assertEqual(seen, list(range(500)))


if __name__ == "__main__":
    unittest.TestCase.maxDiff = 4000
    harness.main()
