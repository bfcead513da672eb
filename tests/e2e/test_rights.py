"""Protects what a key is bound to: collections, reading only, access tags. Whatever route of the
collections API such a key takes, it learns nothing of points that it may not see, and changes none.
"""
import unittest

import harness
from server import Server

HIDDEN, WORD = 3, "classified"  # the point that nobody but its readers may notice, and a word in it

POINTS = [
    {"id": 1, "vector": [1, 0, 0, 0], "payload": {"n": 1, "kind": "a", "access_tags": ["sales"]}},
    {"id": 2, "vector": [0, 1, 0, 0], "payload": {"n": 2, "kind": "b"}},
    {"id": HIDDEN, "vector": [0, 0, 1, 0], "payload": {"n": 3, "kind": WORD, "access_tags": ["board"]}},
    {"id": 4, "vector": [0, 0, 0, 1], "payload": {"n": 4, "kind": "a", "access_tags": ["sales", "board"]}},
]
SEEN = [1, 2, 4]


class Rights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Server(model=None, ready=False)
        cls.addClassCleanup(cls.s.close)
        cls.keys = {"all": cls.s.new_key("--scope", "rag"),
                    "sales": cls.s.new_key("--scope", "rag", "--tag", "sales"),
                    "handbook": cls.s.new_key("--scope", "rag", "--collection", "handbook"),
                    "reader": cls.s.new_key("--scope", "rag", "--read-only"),
                    "infer": cls.s.new_key("--scope", "infer")}

    def ask(self, who, method, path, body=None):
        return self.s.ask(method, path, body, headers=self.s.bearer(self.keys[who]))

    def ok(self, who, method, path, body=None):
        got = self.ask(who, method, path, body)
        self.assertEqual(got.status, 200, f"{who} {method} {path}: {got}")
        return got.json["result"]

    def refused(self, who, method, path, body=None, status=403):
        got = self.ask(who, method, path, body)
        self.assertEqual(got.status, status, f"{who} {method} {path}: {got}")
        return got

    def setUp(self):
        for name in ("handbook", "other"):
            self.ask("all", "DELETE", f"/collections/{name}")
            self.ok("all", "PUT", f"/collections/{name}",
                    {"vectors": {"size": 4, "distance": "Dot"}})
            self.ok("all", "PUT", f"/collections/{name}/points?wait=true", {"points": POINTS})
            for field, kind in (("n", "integer"), ("kind", "keyword")):
                self.ok("all", "PUT", f"/collections/{name}/index?wait=true",
                        {"field_name": field, "field_schema": kind})

    # ---- Collections ----

    def test_other_collections_are_closed(self):
        names = [c["name"] for c in self.ok("handbook", "GET", "/collections")["collections"]]
        self.assertEqual(names, ["handbook"])
        self.ok("handbook", "GET", "/collections/handbook")
        self.ok("handbook", "POST", "/collections/handbook/points/query", {"query": [1, 0, 0, 0]})
        for method, path, body in (
                ("GET", "/collections/other", None),
                ("DELETE", "/collections/other", None),
                ("PUT", "/collections/new", {"vectors": {"size": 4, "distance": "Dot"}}),
                ("POST", "/collections/other/points/scroll", {}),
                ("POST", "/collections/other/points/query", {"query": [1, 0, 0, 0]}),
                ("PUT", "/collections/other/points", {"points": POINTS}),
                ("POST", "/collections/aliases", {"actions": [{"create_alias": {
                    "collection_name": "other", "alias_name": "door"}}]})):
            self.refused("handbook", method, path, body)
        got = self.ask("handbook", "POST", "/collections/handbook/points/query",
                       {"query": 1, "lookup_from": {"collection": "other"}})
        self.assertIn(got.status, (403, 404), got)  # as if it weren't there
        self.assertEqual(len(self.ok("all", "POST", "/collections/other/points/scroll", {})["points"]), 4)

    def test_an_alias_opens_no_door(self):
        self.ok("all", "POST", "/collections/aliases", {"actions": [
            {"create_alias": {"collection_name": "other", "alias_name": "door"}}]})
        self.refused("handbook", "GET", "/collections/door")
        self.refused("handbook", "POST", "/collections/door/points/scroll", {})
        self.assertNotIn("door", str(self.ok("handbook", "GET", "/aliases")))

    def test_another_scope_is_refused(self):
        self.refused("infer", "GET", "/collections")

    # ---- Reading only ----

    def test_a_reader_changes_nothing(self):
        self.ok("reader", "POST", "/collections/handbook/points/scroll", {})
        for method, path, body in (
                ("DELETE", "", None),
                ("PATCH", "", {"optimizers_config": {}}),
                ("PUT", "/points", {"points": POINTS}),
                ("POST", "/points/delete", {"points": [1]}),
                ("POST", "/points/payload", {"payload": {"n": 9}, "points": [1]}),
                ("PUT", "/points/payload", {"payload": {"n": 9}, "points": [1]}),
                ("POST", "/points/payload/clear", {"points": [1]}),
                ("POST", "/points/payload/delete", {"keys": ["n"], "points": [1]}),
                ("PUT", "/points/vectors", {"points": [{"id": 1, "vector": [1, 1, 1, 1]}]}),
                ("POST", "/points/vectors/delete", {"points": [1], "vector": [""]}),
                ("POST", "/points/batch", {"operations": [{"delete": {"points": [1]}}]}),
                ("PUT", "/index", {"field_name": "x", "field_schema": "keyword"}),
                ("DELETE", "/index/n", None),
                ("POST", "/snapshots", None)):
            self.refused("reader", method, f"/collections/handbook{path}", body)
        points = self.ok("all", "POST", "/collections/handbook/points/scroll", {"with_vector": True})
        self.assertEqual([p["id"] for p in points["points"]], [1, 2, 3, 4])

    # ---- Tags ----

    def sees(self, path, body, ids):
        """What comes out holds exactly these ids, and nothing of the hidden point."""
        got = self.ask("sales", "POST", f"/collections/handbook/points{path}", body)
        self.assertEqual(got.status, 200, f"{path} {body}: {got}")
        self.assertNotIn(WORD, got.body.decode())
        result = got.json["result"]
        if isinstance(result, dict):
            result = result.get("points", result.get("groups"))
        found = [h["id"] for g in result for h in g["hits"]] if result and "hits" in result[0] else [
            p["id"] for p in result]
        self.assertEqual(sorted(found), ids, f"{path} {body}")

    def test_hidden_points_are_not_there(self):
        q = [0, 0, 1, 0]
        self.sees("/scroll", {"with_payload": True}, SEEN)
        self.sees("/scroll", {"order_by": "n"}, SEEN)
        self.sees("/scroll", {"filter": {"must": [{"has_id": [HIDDEN]}]}}, [])
        self.sees("/scroll", {"filter": {"should": [{"has_id": [HIDDEN]}, {"has_id": [1]}]}}, [1])
        self.sees("/scroll", {"filter": {"must_not": [{"has_id": [1]}]}}, [2, 4])
        self.sees("", {"ids": [1, HIDDEN]}, [1])
        self.sees("/query", {"query": q}, SEEN)
        self.sees("/query", {}, SEEN)
        self.sees("/query", {"query": {"order_by": "n"}}, SEEN)
        self.sees("/query", {"query": {"sample": "random"}}, SEEN)
        self.sees("/query", {"query": {"fusion": "rrf"}, "prefetch": [{"query": q}, {"query": [1, 0, 0, 0]}]},
                  SEEN)
        self.sees("/query", {"query": q, "prefetch": {"query": q, "prefetch": {"query": q}}}, SEEN)
        self.sees("/query", {"query": {"recommend": {"positive": [1], "strategy": "best_score"}}}, [2, 4])
        self.sees("/search", {"vector": q, "limit": 10}, SEEN)
        self.sees("/recommend", {"positive": [1], "limit": 10}, [2, 4])
        self.sees("/query/groups", {"query": q, "group_by": "kind", "group_size": 5}, SEEN)
        self.sees("/search/groups", {"vector": q, "group_by": "kind", "group_size": 5, "limit": 5}, SEEN)
        self.assertEqual(self.ok("sales", "POST", "/collections/handbook/points/count", {"exact": True}),
                         {"count": 3})
        self.assertEqual(self.ok("sales", "POST", "/collections/handbook/facet", {"key": "kind"})["hits"],
                         [{"value": "a", "count": 2}, {"value": "b", "count": 1}])
        batch = self.ok("sales", "POST", "/collections/handbook/points/query/batch",
                        {"searches": [{"query": q}, {"query": q, "with_payload": True}]})
        self.assertEqual([sorted(p["id"] for p in b["points"]) for b in batch], [SEEN, SEEN])

    def test_a_hidden_id_is_as_one_that_is_not_there(self):
        for path, body in (("/points/query", {"query": "ID"}),
                           ("/points/query", {"query": {"recommend": {"positive": ["ID"]}}}),
                           ("/points/query", {"query": [1, 0, 0, 0], "prefetch": {"query": "ID"}}),
                           ("/points/recommend", {"positive": ["ID"], "limit": 3}),
                           ("/points/query", {"query": "ID", "lookup_from": {"collection": "other"}})):
            said = []
            for point in (HIDDEN, 999):
                text = repr(body).replace("'ID'", str(point))
                got = self.ask("sales", "POST", f"/collections/handbook{path}", eval(text))
                said.append((got.status, got.body.decode().replace(str(point), "N").split('"time"')[0]))
            self.assertEqual(said[0], said[1], f"{path} {body}")
            self.assertEqual(said[0][0], 404, said)
        said = [self.ask("sales", "GET", f"/collections/handbook/points/{p}") for p in (HIDDEN, 999)]
        self.assertEqual([r.status for r in said], [404, 404])

    def test_hidden_points_are_not_changed(self):
        c = "/collections/handbook/points"
        mine = {"access_tags": ["sales"]}
        for method, path, body in (
                ("POST", "/delete", {"points": [2, HIDDEN]}),
                ("POST", "/delete", {"filter": {"must": [{"has_id": [2, HIDDEN]}]}}),
                ("POST", "/payload", {"payload": {"n": 9, **mine}, "points": [2, HIDDEN]}),
                ("PUT", "/payload", {"payload": {"n": 9, **mine}, "points": [2, HIDDEN]}),
                ("POST", "/payload/delete", {"keys": ["n"], "points": [2, HIDDEN]}),
                ("PUT", "/vectors", {"points": [{"id": HIDDEN, "vector": [9, 9, 9, 9]},
                                                {"id": 2, "vector": [9, 9, 9, 9]}]}),
                ("POST", "/vectors/delete", {"points": [2, HIDDEN], "vector": [""]}),
                ("PUT", "", {"points": [{"id": HIDDEN, "vector": [9, 9, 9, 9], "payload": mine}]}),
                ("PUT", "", {"batch": {"ids": [HIDDEN], "vectors": [[9, 9, 9, 9]], "payloads": [mine]}}),
                ("POST", "/batch", {"operations": [
                    {"delete": {"points": [HIDDEN]}}, {"clear_payload": {"points": [HIDDEN]}},
                    {"upsert": {"points": [{"id": HIDDEN, "vector": [9, 9, 9, 9], "payload": mine}]}}]})):
            got = self.ask("sales", method, f"{c}{path}?wait=true", body)
            self.assertLess(got.status, 500, got)
            now = self.ok("all", "POST", c, {"ids": [2, HIDDEN], "with_payload": True, "with_vector": True})
            self.assertEqual([{k: p[k] for k in ("id", "vector", "payload")} for p in now],
                             [POINTS[1], POINTS[2]], f"{method} {path} {body}")

    def test_what_a_tagged_key_writes_stays_its_own(self):
        c = "/collections/handbook/points"
        for payload in (None, {}, {"access_tags": []}, {"access_tags": ["board"]},
                        {"access_tags": ["sales", "board"]}):
            got = self.ask("sales", "PUT", f"{c}?wait=true",
                           {"points": [{"id": 10, "vector": [1, 1, 1, 1], "payload": payload}]})
            self.assertIn(got.status, (400, 403), f"{payload}: {got}")
        self.ok("sales", "PUT", f"{c}?wait=true", {"points": [
            {"id": 10, "vector": [1, 1, 1, 1], "payload": {"access_tags": ["sales"]}}]})
        for method, path, body in (
                ("POST", "/payload", {"payload": {"access_tags": ["board"]}, "points": [10]}),
                ("PUT", "/payload", {"payload": {"n": 1}, "points": [10]}),
                ("POST", "/payload/delete", {"keys": ["access_tags"], "points": [10]}),
                ("POST", "/payload/delete", {"keys": ["access_tags[0]"], "points": [10]}),
                ("POST", "/payload/clear", {"points": [10]})):
            got = self.ask("sales", method, f"{c}{path}?wait=true", body)
            self.assertIn(got.status, (400, 403), f"{method} {path}: {got}")
        got, = self.ok("all", "POST", c, {"ids": [10], "with_payload": True})
        self.assertEqual(got["payload"], {"access_tags": ["sales"]})
        self.ok("sales", "POST", f"{c}/payload?wait=true", {"payload": {"n": 7}, "points": [10]})
        self.ok("sales", "POST", f"{c}/delete?wait=true", {"points": [10]})
        self.assertEqual(self.ok("all", "POST", c, {"ids": [10]}), [])

    def test_a_tagged_key_manages_nothing(self):
        for method, path, body in (("POST", "/snapshots", None), ("DELETE", "", None),
                                   ("PUT", "/index", {"field_name": "x", "field_schema": "keyword"})):
            self.refused("sales", method, f"/collections/handbook{path}", body)


if __name__ == "__main__":
    harness.main()
