"""Protects the routes that ask a collection, over HTTP: those of older clients (search, recommend), batches,
groups with lookups, facets, what stands in an answer, and what a key bound to tags gets to see."""
import json
import unittest

import harness
from harness import Case
from server import Server

# On a circle: 0 is at (1, 0), 9 at (0, 1).
POINTS = [{"id": i, "vector": [10 - i, i], "payload": {"n": i, "kind": "odd" if i % 2 else "even",
                                                       "tags": ["all", f"t{i % 3}"]}} for i in range(1, 10)]


class Asking(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.ask("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        cls.ask("PUT", "/collections/c/points?wait=true", {"points": POINTS})
        cls.ask("PUT", "/collections/kinds", {"vectors": {"size": 1, "distance": "Dot"}})
        cls.ask("PUT", "/collections/kinds/points?wait=true", {"points": [
            {"id": i, "vector": [1], "payload": {"name": f"n{i}", "x": 1}} for i in (1, 9)]})

    @classmethod
    def ask(cls, method, path, body=None, status=200, **how):
        reply = cls.server.ask(method, path, body, **how)
        if reply.status != status:
            raise AssertionError(f"{method} {path} {json.dumps(body)}: {reply}")
        return reply.json["result"] if status == 200 else reply.json["status"]["error"]

    def post(self, path, body, **how):
        return self.ask("POST", "/collections/c" + path, body, **how)

    @staticmethod
    def ids(points):
        return [p["id"] for p in points]

    def test_search(self):
        found = self.post("/points/search", {"vector": [1, 0], "limit": 2})
        self.assertEqual(self.ids(found), [1, 2])
        self.assertEqual(found[0]["score"], 9)
        self.assertEqual(set(found[0]), {"id", "version", "score"})
        found = self.post("/points/search", {"vector": {"name": "", "vector": [0, 1]}, "limit": 2, "offset": 1,
                                             "with_payload": ["n"], "with_vector": True,
                                             "filter": {"must": [{"key": "kind", "match": {"value": "odd"}}]},
                                             "params": {"hnsw_ef": 128, "exact": False}})
        self.assertEqual(self.ids(found), [7, 5])
        self.assertEqual((found[0]["payload"], found[0]["vector"]), ({"n": 7}, [3, 7]))
        found = self.post("/points/search", {"vector": [1, 0], "limit": 99, "score_threshold": 7})
        self.assertEqual(self.ids(found), [1, 2, 3])
        for body in ({"limit": 2}, {"vector": [1, 0]}, {"vector": "x", "limit": 1}, {"vector": {}, "limit": 1},
                     {"vector": [1, 0, 0], "limit": 1}, {"vector": [1, 0], "limit": "2"}):
            self.post("/points/search", body, status=400)
        self.post("/points/search", {"vector": [1, 0], "limit": 0}, status=422)

    def test_recommend(self):
        found = self.post("/points/recommend", {"positive": [1, 2], "negative": [9], "limit": 3})
        self.assertEqual(self.ids(found), [3, 4, 5])
        found = self.post("/points/recommend", {"positive": [[0, 1]], "limit": 1})
        self.assertEqual(self.ids(found), [9])
        found = self.post("/points/recommend", {"positive": [1], "limit": 1, "strategy": "best_score",
                                                "score_threshold": 0.1})
        self.assertEqual(self.ids(found), [2])
        said = self.post("/points/recommend", {"positive": [77], "limit": 1}, status=404)
        self.assertEqual(said, "Not found: No point with id 77 found")
        self.post("/points/recommend", {"positive": [1], "limit": 1, "strategy": "worst"}, status=400)

    def test_batches(self):
        got = self.post("/points/search/batch", {"searches": [{"vector": [1, 0], "limit": 1},
                                                              {"vector": [0, 1], "limit": 2}]})
        self.assertEqual([self.ids(g) for g in got], [[1], [9, 8]])
        got = self.post("/points/recommend/batch", {"searches": [{"positive": [1], "limit": 1},
                                                                 {"positive": [9], "limit": 1}]})
        self.assertEqual([self.ids(g) for g in got], [[2], [8]])
        got = self.post("/points/query/batch", {"searches": [{"query": 9, "limit": 1}, {"limit": 3}]})
        self.assertEqual([self.ids(g["points"]) for g in got], [[8], [1, 2, 3]])
        self.assertEqual(self.post("/points/query/batch", {"searches": []}), [])
        self.post("/points/search/batch", {"searches": [{"vector": [1, 0], "limit": 1}, {"limit": 1}]},
                  status=400)

    def test_groups(self):
        asked = {"group_by": "kind", "group_size": 2, "limit": 5}
        for path, query in (("query", {"query": [1, 0]}), ("search", {"vector": [1, 0]}),
                            ("recommend", {"positive": [[1, 0]]})):
            got = self.post(f"/points/{path}/groups", {**query, **asked})["groups"]
            self.assertEqual([(g["id"], self.ids(g["hits"])) for g in got], [("odd", [1, 3]), ("even", [2, 4])])
        got = self.post("/points/query/groups", {"query": [1, 0], "group_by": "tags"})["groups"]
        self.assertEqual([(g["id"], len(g["hits"])) for g in got],
                         [("all", 3), ("t1", 3), ("t2", 3), ("t0", 3)])
        got = self.post("/points/query/groups", {
            "query": [1, 0], "group_by": "n", "limit": 2,
            "with_lookup": {"collection": "kinds", "with_payload": ["name"]}})["groups"]
        self.assertEqual([g.get("lookup") for g in got], [{"id": 1, "payload": {"name": "n1"}}, None])
        said = self.post("/points/query/groups", {"query": [1, 0], "group_by": "n", "with_lookup": "nobody"},
                         status=404)
        self.assertEqual(said, "Not found: Collection `nobody` doesn't exist!")

    def test_facets(self):
        self.ask("PUT", "/collections/c/index?wait=true", {"field_name": "tags", "field_schema": "keyword"})
        got = self.post("/facet", {"key": "tags", "limit": 3})["hits"]
        self.assertEqual([(h["value"], h["count"]) for h in got], [("all", 9), ("t0", 3), ("t1", 3)])
        got = self.post("/facet", {"key": "tags", "filter": {"must": {"key": "n", "range": {"lt": 2}}}})["hits"]
        self.assertEqual([(h["value"], h["count"]) for h in got], [("all", 1), ("t1", 1)])
        self.assertIn("No appropriate index for faceting: `kind`.", self.post("/facet", {"key": "kind"},
                                                                              status=400))

    def test_versions(self):
        before = {p["id"]: p["version"] for p in self.post("/points/query", {"query": [1, 0]})["points"]}
        self.ask("POST", "/collections/c/points/payload?wait=true", {"payload": {"new": 1}, "points": [4]})
        after = {p["id"]: p["version"] for p in self.post("/points/query", {"query": [1, 0]})["points"]}
        self.assertEqual([i for i in after if after[i] != before[i]], [4])

    def test_not_supported(self):
        for path, name in (("discover", "discover"), ("discover/batch", "discover"),
                           ("search/matrix/pairs", "matrix"), ("search/matrix/offsets", "matrix")):
            self.assertRegex(self.post("/points/" + path, {}, status=400), f"^not supported: .*{name}")


class Tags(Case):
    """Who is bound to access tags sees through no route what others wrote."""

    def test_nothing_leaks(self):
        with_key = Server()
        self.addCleanup(with_key.close)
        admin = with_key.bearer(with_key.new_key("--scope", "rag"))
        bound = with_key.bearer(with_key.new_key("--scope", "rag", "--tag", "blue"))

        def ask(method, path, body, headers, status=200):
            reply = with_key.ask(method, path, body, headers)
            self.assertEqual(reply.status, status, str(reply))
            return reply.json["result"] if status == 200 else reply.json["status"]["error"]

        ask("PUT", "/collections/t", {"vectors": {"size": 1, "distance": "Dot"}}, admin)
        ask("PUT", "/collections/t/index?wait=true", {"field_name": "k", "field_schema": "keyword"}, admin)
        ask("PUT", "/collections/t/points?wait=true", {"points": [
            {"id": i, "vector": [i], "payload": {"k": f"k{i}", "n": i, **({"access_tags": [tag]} if tag else {})}}
            for i, tag in ((1, "blue"), (2, "red"), (3, None), (4, "red"))]}, admin)

        def seen(path, body, pick):
            return sorted(pick(ask("POST", "/collections/t" + path, body, bound)))

        def points(result):
            return [p["id"] for p in result.get("points", [])] if isinstance(result, dict) else \
                [p["id"] for p in result]

        rrf = {"query": {"fusion": "rrf"}, "prefetch": [{"query": [1]}, {}]}
        for body in ({}, {"query": [1]}, rrf, {"query": {"sample": "random"}},
                     {"filter": {"should": [{"has_id": [2]}, {"has_id": [1]}, {"has_id": [3]}]}}):
            self.assertEqual(seen("/points/query", body, points), [1, 3], body)
        self.assertEqual(seen("/points/search", {"vector": [1], "limit": 9}, points), [1, 3])
        self.assertEqual(seen("/points/query/groups", {"query": [1], "group_by": "k"},
                              lambda r: [g["id"] for g in r["groups"]]), ["k1", "k3"])
        self.assertEqual(seen("/facet", {"key": "k"}, lambda r: [h["value"] for h in r["hits"]]), ["k1", "k3"])
        got = ask("POST", "/collections/t/points/query/groups",
                  {"query": [1], "group_by": "n", "with_lookup": "t"}, bound)["groups"]
        self.assertEqual(sorted(g["lookup"]["id"] for g in got), [1, 3])
        said = ask("POST", "/collections/t/points/query", {"query": 2}, bound, 404)
        self.assertEqual(said, "Not found: No point with id 2 found")
        ask("POST", "/collections/t/points/recommend", {"positive": [4], "limit": 1}, bound, 404)


if __name__ == "__main__":
    harness.main()
