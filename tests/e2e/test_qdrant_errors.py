"""Protects Qdrant's REST API where clients read it closely: the envelope, the codes, the sentences that
programs look for, and what comes of bad input. After each test the collection is as it was."""
import json
import os
import re
import urllib.parse

import harness
from server import Server

COLLECTION = {"vectors": {"size": 4, "distance": "Dot"}}
POINTS = [{"id": i, "vector": [i, 1, 0, 0.5], "payload": {"n": i, "k": "even" if i % 2 == 0 else "odd"}}
          for i in range(1, 6)]
UUID = "550e8400-e29b-41d4-a716-446655440000"


class Api(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--qdrant-port", "0", ready=False)
        cls.addClassCleanup(cls.server.close)
        cls.key = cls.server.new_key("--scope", "rag")

    def setUp(self):
        super().setUp()
        self.put("/collections/c", COLLECTION)
        self.put("/collections/c/points?wait=true", {"points": POINTS})
        self.addCleanup(self.nothing_lost)

    def nothing_lost(self):
        self.assertIsNone(self.server.process.poll(), self.server.err)
        found = self.ask("POST", "/collections/c/points/scroll", {"with_vector": True}).json["result"]
        self.assertEqual([(p["id"], p["vector"], p["payload"]) for p in found["points"]],
                         [(p["id"], p["vector"], p["payload"]) for p in POINTS])
        for c in self.ask("GET", "/collections").json["result"]["collections"]:
            name = urllib.parse.quote(c["name"], safe="")
            self.assertEqual(self.ask("DELETE", f"/collections/{name}").json["result"], True)

    def ask(self, method, path, body=None, headers=None, **how):
        return self.server.ask(method, path, body, {"api-key": self.key, **(headers or {})}, **how)

    def put(self, path, body):
        got = self.ask("PUT", path, body)
        self.assertEqual(got.status, 200, str(got))
        return self.enveloped(got)

    def enveloped(self, got):
        self.assertEqual(set(got.json) - {"usage"}, {"result", "status", "time"}, str(got))
        self.assertEqual(got.json["status"], "ok", str(got))
        self.assertGreaterEqual(got.json["time"], 0)
        return got.json["result"]

    def refused(self, got, status, pattern):
        """The error's text has the pattern, from its beginning."""
        self.assertEqual(got.status, status, str(got))
        self.assertEqual(got.headers["content-type"].split(";")[0], "application/json", str(got))
        self.assertEqual(set(got.json) - {"usage"}, {"status", "time"}, str(got))
        self.assertEqual(set(got.json["status"]), {"error"}, str(got))
        self.assertRegex(got.json["status"]["error"], "^" + pattern)
        return got

    def search(self, **body):
        return self.ask("POST", "/collections/c/points/query", {"query": [1, 0, 0, 0], **body})


class Answers(Api):
    def test_envelopes(self):
        self.assertEqual(self.enveloped(self.ask("GET", "/collections/c/exists")), {"exists": True})
        self.assertEqual(self.enveloped(self.ask("GET", "/collections/nope/exists")), {"exists": False})
        got = self.enveloped(self.ask("POST", "/collections/c/points/count", {}))
        self.assertEqual(got, {"count": 5})
        self.assertEqual(self.enveloped(self.ask("GET", "/collections")), {"collections": [{"name": "c"}]})
        self.assertEqual(self.enveloped(self.ask("GET", "/cluster"))["status"], "disabled")
        info = self.enveloped(self.ask("GET", "/collections/c"))
        self.assertEqual(info["points_count"], 5)
        for name in ("status", "optimizer_status", "segments_count", "payload_schema"):
            self.assertIn(name, info)
        for name in ("params", "hnsw_config", "optimizer_config", "wal_config"):
            self.assertIn(name, info["config"])
        self.assertEqual(info["config"]["params"]["vectors"], {"size": 4, "distance": "Dot"})

    def test_a_write_that_waits_and_one_that_does_not(self):
        path, point = "/collections/c/points", {"points": [POINTS[0]]}
        got = self.put(path + "?wait=true", point)
        self.assertEqual(got["status"], "completed")
        self.assertIsInstance(got["operation_id"], int)
        for query in ("", "?wait=false", "?wait=false&ordering=strong"):
            self.assertEqual(self.put(path + query, point)["status"], "acknowledged", query)
        for query in ("?wait=true&ordering=weak", "?wait=true&timeout=30"):
            self.assertEqual(self.put(path + query, point)["status"], "completed", query)
        got = self.ask("POST", "/collections/c/points/scroll?consistency=majority&timeout=5", {"limit": 1})
        self.assertEqual(self.enveloped(got)["next_page_offset"], 2)

    def test_a_slash_at_the_end(self):
        self.assertEqual(self.enveloped(self.ask("GET", "/collections/c/"))["points_count"], 5)
        self.assertEqual(len(self.enveloped(self.ask("GET", "/collections/"))["collections"]), 1)
        got = self.ask("POST", "/collections/c/points/count/", {"exact": True})
        self.assertEqual(self.enveloped(got)["count"], 5)

    def test_the_root_has_two_faces(self):
        for accept in (None, "*/*", "application/json", "application/json, text/plain, */*"):
            got = self.server.get("/", headers={"Accept": accept} if accept else None)
            self.assertEqual(got.status, 200, accept)
            self.assertEqual(got.json["title"], "qdrant - vector search engine")
            self.assertRegex(got.json["version"], r"^1\.18\.\d+$")
        browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
        got = self.server.get("/", headers={"Accept": browser})
        if got.status == 302:
            got = self.server.get(got.headers["location"], headers={"Accept": browser})
        self.assertEqual(got.headers["content-type"].split(";")[0], "text/html")
        self.assertIn(b"<html", got.body.lower())

    def test_the_usual_port(self):
        found = re.search(r"^  qdrant +port (\d+)", self.server.err, re.M)
        self.assertTrue(found, self.server.err)
        port = int(found[1])
        got = self.ask("GET", "/collections", port=port)
        self.assertEqual(self.enveloped(got), {"collections": [{"name": "c"}]})
        self.assertEqual(self.server.get("/", port=port).json["title"], "qdrant - vector search engine")

    def test_probes_need_no_key(self):
        for path in ("/healthz", "/livez", "/readyz"):
            got = self.server.get(path)
            self.assertIn(got.status, (200, 503), f"{path}: {got}")


class Keys(Api):
    def test_none_or_a_wrong_one(self):
        for headers in ({}, {"api-key": ""}, {"api-key": "wrong"}, {"Authorization": "Bearer wrong"}):
            got = self.server.get("/collections", headers=headers)
            self.assertEqual(got.status, 401, f"{headers}: {got}")
            self.assertEqual(got.headers["content-type"].split(";")[0], "text/plain", str(got))
            self.assertTrue(got.body, str(got))

    def test_by_either_header(self):
        for headers in ({"api-key": self.key}, {"Authorization": f"Bearer {self.key}"}):
            self.assertEqual(self.server.get("/collections", headers=headers).status, 200)

    def test_of_another_scope(self):
        infer = self.server.new_key("--scope", "infer")
        got = self.server.get("/collections", headers={"api-key": infer})
        self.assertEqual(got.status, 403, str(got))
        self.assertEqual(got.headers["content-type"].split(";")[0], "text/plain", str(got))


class Refusals(Api):
    def test_collections_that_are_not_there(self):
        sentence = r"Not found: Collection `nope` doesn't exist!$"
        for method, path, body in [
                ("GET", "", None), ("PATCH", "", {"optimizers_config": {}}),
                ("PUT", "/points", {"points": POINTS}), ("POST", "/points", {"ids": [1]}),
                ("POST", "/points/query", {"query": [1, 2, 3, 4]}), ("POST", "/points/scroll", {}),
                ("POST", "/points/count", {}), ("POST", "/points/delete", {"points": [1]}),
                ("PUT", "/index", {"field_name": "k", "field_schema": "keyword"}),
                ("POST", "/facet", {"key": "k"}), ("GET", "/points/1", None), ("GET", "/snapshots", None),
                ("POST", "/points/payload", {"payload": {"a": 1}, "points": [1]}),
                ("POST", "/points/search", {"vector": [1, 2, 3, 4], "limit": 1})]:
            self.refused(self.ask(method, "/collections/nope" + path, body), 404, sentence)
        gone = self.ask("DELETE", "/collections/nope")
        self.assertEqual((gone.status, gone.json["result"]), (200, False), str(gone))
        lookup = self.search(query=1, lookup_from={"collection": "nope"})
        self.refused(lookup, 404, sentence)
        self.refused(self.ask("POST", "/collections/aliases", {"actions": [
            {"create_alias": {"collection_name": "nope", "alias_name": "a"}}]}), 404, sentence)

    def test_a_collection_that_is_there_already(self):
        self.refused(self.ask("PUT", "/collections/c", COLLECTION), 409,
                     r"Wrong input: Collection `c` already exists!$")

    def test_points_that_are_not_there(self):
        self.refused(self.ask("GET", "/collections/c/points/77"), 404,
                     r"Not found: Point with id 77 does not exists!$")
        for path, body in [("/points/payload", {"payload": {"a": 1}, "points": [77]}),
                           ("/points/payload/delete", {"keys": ["a"], "points": [77]}),
                           ("/points/payload/clear", {"points": [77]}),
                           ("/points/vectors/delete", {"vector": [""], "points": [77]})]:
            self.refused(self.ask("POST", "/collections/c" + path + "?wait=true", body), 404,
                         r"Not found: No point with id 77 found$")
        got = self.ask("PUT", "/collections/c/points/vectors?wait=true",
                       {"points": [{"id": 77, "vector": [1, 2, 3, 4]}]})
        self.refused(got, 404, r"Not found: No point with id 77 found$")
        self.refused(self.search(query=77), 404, r"Not found: No point with id 77 found$")
        self.refused(self.search(query={"recommend": {"positive": [1, UUID]}}), 404,
                     rf"Not found: No point with id {UUID} found$")
        got = self.ask("POST", "/collections/c/points", {"ids": [77, 1]})
        self.assertEqual([p["id"] for p in got.json["result"]], [1])
        got = self.ask("POST", "/collections/c/points/delete?wait=true", {"points": [77]})
        self.assertEqual(got.json["result"]["status"], "completed")

    def test_wrong_dimensions(self):
        sentence = r"Wrong input: Vector dimension error: expected dim: 4, got "
        for vector in ([1, 2, 3], [1, 2, 3, 4, 5]):
            self.refused(self.search(query=vector), 400, sentence + str(len(vector)))
            for points in ({"points": [{"id": 1, "vector": vector}]},
                           {"points": [POINTS[0], {"id": 9, "vector": vector}]},
                           {"batch": {"ids": [1], "vectors": [vector]}}):
                got = self.ask("PUT", "/collections/c/points?wait=true", points)
                self.refused(got, 400, sentence + str(len(vector)))
        got = self.ask("PUT", "/collections/c/points/vectors?wait=true",
                       {"points": [{"id": 1, "vector": [1, 2]}]})
        self.refused(got, 400, sentence + "2")

    def test_unknown_vector_names(self):
        sentence = r"Wrong input: Not existing vector name error: nope"
        self.refused(self.search(using="nope"), 400, sentence)
        self.refused(self.search(query={"fusion": "rrf"}, prefetch=[{"query": [1, 2, 3, 4], "using": "nope"}]),
                     400, sentence)
        got = self.ask("PUT", "/collections/c/points?wait=true",
                       {"points": [{"id": 1, "vector": {"nope": [1, 2, 3, 4]}}]})
        self.refused(got, 400, sentence)
        got = self.ask("POST", "/collections/c/points/vectors/delete?wait=true",
                       {"vector": ["nope"], "points": [1]})
        self.refused(got, 400, sentence)
        self.put("/collections/named", {"vectors": {"a": {"size": 2, "distance": "Cosine"}}})
        got = self.ask("POST", "/collections/named/points/query", {"query": [1, 2]})
        self.refused(got, 400, r"Wrong input: Not existing vector name error: ")

    def test_what_is_no_number(self):
        for vector in ("[NaN, 1, 2, 3]", "[Infinity, 1, 2, 3]", "[null, 1, 2, 3]", '["1", 1, 2, 3]',
                       "[true, 1, 2, 3]", "[[], 1, 2, 3]"):
            for path, body in [("/points/query", '{"query": %s}'),
                               ("/points?wait=true", '{"points": [{"id": 1, "vector": %s}]}')]:
                got = self.ask("POST" if "query" in path else "PUT", "/collections/c" + path,
                               (body % vector).encode(), {"Content-Type": "application/json"})
                self.refused(got, 400, r"(Format error in JSON body|Wrong input): ")

    def test_ids(self):
        for bad in ("1", "12345", "abc", "", -1, 1.5, 1 << 64, None, True, [1], {"num": 1},
                    UUID + "0", UUID[:-1]):
            got = self.ask("PUT", "/collections/c/points?wait=true",
                           {"points": [{"id": bad, "vector": [1, 2, 3, 4]}]})
            self.refused(got, 400, r"Format error in JSON body: ")
            if isinstance(bad, str):
                self.assertIn(f"value {bad} is not a valid point ID, valid values are either an unsigned "
                              "integer or a UUID", got.json["status"]["error"])
            self.refused(self.ask("POST", "/collections/c/points", {"ids": [bad]}), 400, "Format error")
            if bad is not None:
                got = self.ask("POST", "/collections/c/points/delete?wait=true", {"points": [bad]})
                self.refused(got, 400, "Format error")
        self.refused(self.ask("GET", "/collections/c/points/abc"), 400, r".*abc")
        for spelled in (UUID.upper(), UUID.replace("-", ""), "urn:uuid:" + UUID, "{" + UUID + "}"):
            self.put("/collections/c/points?wait=true", {"points": [{"id": spelled, "vector": [0, 0, 0, 1]}]})
            got = self.ask("POST", "/collections/c/points", {"ids": [UUID]})
            self.assertEqual([p["id"] for p in got.json["result"]], [UUID], spelled)
            got = self.ask("POST", "/collections/c/points/delete?wait=true", {"points": [UUID]})
            self.assertEqual(got.status, 200, str(got))

    def test_wrong_types(self):
        for method, path, body in [
                ("PUT", "/points", {"points": 5}), ("PUT", "/points", {"points": [5]}), ("PUT", "/points", []),
                ("PUT", "/points", {"points": [{"id": 1}]}), ("PUT", "/points", {}),
                ("PUT", "/points", {"points": [{"id": 1, "vector": [1, 2, 3, 4], "payload": [1]}]}),
                ("PUT", "/points", {"batch": {"ids": [1, 2], "vectors": 3}}),
                ("POST", "/points/query", {"query": {"unknown": 1}}),
                ("POST", "/points/query", {"query": [1, 2, 3, 4], "limit": "ten"}),
                ("POST", "/points/query", {"query": [1, 2, 3, 4], "limit": -1}),
                ("POST", "/points/query", {"query": [1, 2, 3, 4], "filter": {"must": 3}}),
                ("POST", "/points/query", {"query": [1, 2, 3, 4], "filter": {"must": [{"key": "n"}]}}),
                ("POST", "/points/query", {"query": [1, 2, 3, 4],
                                           "filter": {"must": [{"key": "n", "match": {"near": 1}}]}}),
                ("POST", "/points/query", {"query": [1, 2, 3, 4], "filter": {"mist": []}}),
                ("POST", "/points/query", {"query": {"fusion": "sum"}, "prefetch": []}),
                ("POST", "/points/scroll", {"limit": 1.5}), ("POST", "/points/scroll", {"offset": "x"}),
                ("POST", "/points", {"ids": 1}), ("POST", "/points/delete", {"points": {"a": 1}}),
                ("POST", "/points/payload", {"payload": 5, "points": [1]}),
                ("POST", "/points/batch", {"operations": [{"explode": {}}]}),
                ("PUT", "/index", {"field_name": "k", "field_schema": "colour"})]:
            got = self.ask(method, "/collections/c" + path, body)
            self.assertIn(got.status, (400, 422), str(got))
            self.refused(got, got.status, r"(Format|Validation) error in JSON body: |Wrong input: |Bad request: ")
        self.refused(self.ask("PUT", "/collections/d", {"vectors": {"size": 4, "distance": "Far"}}), 400,
                     "Format error in JSON body: ")
        self.refused(self.ask("PUT", "/collections/d", {"vectors": {"size": "4", "distance": "Dot"}}), 400,
                     "Format error in JSON body: ")

    def test_broken_json(self):
        for body in (b"", b"{", b"{\"limit\": }", b"\xff\xfe", b"nothing", b"{\"limit\": 1} {}"):
            got = self.ask("POST", "/collections/c/points/scroll", body, {"Content-Type": "application/json"})
            self.refused(got, 400, r"")

    def test_values_out_of_range(self):
        for path, body in [("/points/scroll", {"limit": 0}), ("/points/query", {"limit": 0}),
                           ("/points/search", {"vector": [1, 2, 3, 4], "limit": 0}),
                           ("/facet", {"key": "k", "limit": 0}),
                           ("/points/query/groups", {"query": [1, 2, 3, 4], "group_by": "k",
                                                     "group_size": 0})]:
            got = self.ask("POST", "/collections/c" + path, body)
            if path in ("/points/search",) and got.status == 200:
                continue
            self.refused(got, 422, r"Validation error in JSON body: \[.*: value 0 invalid, must be 1")
        got = self.ask("PUT", "/collections/d", {"vectors": {"size": 65537, "distance": "Dot"}})
        self.refused(got, 422, r"Validation error in JSON body: \[.*size: value 65537 invalid, "
                               r"must be from 1(\.0)? to 65536")
        got = self.ask("PUT", "/collections/d", {"vectors": {"size": 0, "distance": "Dot"}})
        self.refused(got, 400, r"Format error in JSON body: .*expected a nonzero u64")
        sparse = {"vectors": {}, "sparse_vectors": {"s": {}}}
        self.put("/collections/s", sparse)
        for bad in ({"indices": [1, 1], "values": [1, 2]}, {"indices": [1], "values": [1, 2]}):
            got = self.ask("PUT", "/collections/s/points?wait=true",
                           {"points": [{"id": 1, "vector": {"s": bad}}]})
            self.refused(got, 422, r"Validation error in JSON body: \[.*must be ")
        got = self.ask("PUT", "/collections/c/points?timeout=0", {"points": POINTS})
        self.refused(got, 422, r"Validation error in query parameters: \[timeout: value 0 invalid, must be 1")

    def test_queries_that_make_no_sense(self):
        self.refused(self.search(prefetch=[{"query": [1, 2, 3, 4]}], query=None), 400,
                     r"(Bad request|Wrong input): .*")
        self.refused(self.search(query={"fusion": "rrf"}), 400, r".*[Ff]usion")
        self.refused(self.search(query={"fusion": "rrf"}, using="a", prefetch=[{}]), 400,
                     r"(Bad request: Fusion queries cannot be combined with the 'using' field|"
                     r"Wrong input: Not existing vector name error: a)")
        self.refused(self.search(query={"order_by": "n"}), 400, r".*No range index for `order_by` key: `n`\.")
        self.refused(self.search(query={"recommend": {"negative": [[1, 2, 3, 4]]}}), 400, r".*[Pp]ositive")
        got = self.ask("POST", "/collections/c/points/scroll", {"order_by": "n"})
        self.refused(got, 400, r".*No range index for `order_by` key: `n`\.")
        got = self.ask("POST", "/collections/c/facet", {"key": "k"})
        self.refused(got, 400, r".*No appropriate index for faceting: `k`\.")
        self.put("/collections/c/index?wait=true", {"field_name": "n", "field_schema": "integer"})
        got = self.ask("POST", "/collections/c/points/scroll", {"order_by": "n", "offset": 3})
        self.refused(got, 400, r".*(order_by|offset)")

    def test_what_is_not_there_yet(self):
        for body, name in [({"query": {"discover": {"target": 1, "context": []}}}, "discover"),
                           ({"query": {"context": [{"positive": 1, "negative": 2}]}}, "context"),
                           ({"query": {"formula": "$score"}, "prefetch": [{"query": 1}]}, "formula"),
                           ({"query": {"nearest": 1, "mmr": {"diversity": 0.5}}}, "mmr")]:
            got = self.ask("POST", "/collections/c/points/query", body)
            self.refused(got, 400, rf"(?s:.*{name}.*not supported|.*not supported.*{name})")
        got = self.ask("POST", "/collections/c/points/discover", {"target": 1, "limit": 3})
        self.refused(got, 400, r".*not supported")


class TooMuch(Api):
    def test_deep_filters(self):
        for depth in (200, 10000):
            nested = b'{"must":[' * depth + b'{"key":"n","match":{"value":1}}' + b"]}" * depth
            for path, body in [("/points/count", b'{"filter":' + nested + b"}"),
                               ("/points/query", b'{"query":[1,2,3,4],"filter":' + nested + b"}"),
                               ("/points/delete?wait=true", b'{"filter":' + nested + b"}")]:
                got = self.ask("POST", "/collections/c" + path, body, {"Content-Type": "application/json"})
                self.refused(got, 400, r"Format error in JSON body: recursion limit exceeded")
        arrays = b'{"payload":{"a":' + b"[" * 10000 + b"]" * 10000 + b'},"points":[1]}'
        got = self.ask("POST", "/collections/c/points/payload", arrays, {"Content-Type": "application/json"})
        self.refused(got, 400, r"Format error in JSON body: ")

    def test_deep_prefetches(self):
        prefetch = {"query": [1, 2, 3, 4]}
        for _ in range(100):
            prefetch = {"query": [1, 2, 3, 4], "prefetch": prefetch}
        self.refused(self.search(prefetch=prefetch), 400, r".*(depth|recursion|deep)")

    def test_limits_without_measure(self):
        many = 999999999
        for body in ({"limit": many}, {"limit": many, "offset": 0}, {"limit": (1 << 64) - 1, "offset": 3},
                     {"query": {"fusion": "rrf"}, "limit": many,
                      "prefetch": [{"query": [1, 0, 0, 0], "limit": many},
                                   {"query": [0, 1, 0, 0], "limit": many}]},
                     {"prefetch": {"query": [1, 0, 0, 0], "limit": many,
                                   "prefetch": {"query": [1, 0, 0, 0], "limit": many}}, "limit": many},
                     {"query": {"sample": "random"}, "limit": many}):
            got = self.search(**body)
            self.assertEqual(got.status, 200, str(got))
            n = len(got.json["result"]["points"])
            self.assertEqual(n, 5 - body.get("offset", 0), body)
        got = self.ask("POST", "/collections/c/points/scroll", {"limit": many})
        self.assertEqual(len(got.json["result"]["points"]), 5)
        got = self.search(limit=many, offset=many)
        self.assertEqual(got.json["result"]["points"], [])
        got = self.ask("POST", "/collections/c/points/query/groups", {
            "query": [1, 0, 0, 0], "group_by": "k", "limit": many, "group_size": many})
        self.assertEqual(sorted(len(g["hits"]) for g in got.json["result"]["groups"]), [2, 3])

    def test_a_body_of_100_mb(self):
        point = {"id": 1, "vector": [1, 2, 3, 4], "payload": {"text": "x" * (100 << 20)}}
        try:
            got = self.ask("PUT", "/collections/c/points?wait=true", {"points": [point]})
        except (ConnectionError, BrokenPipeError):
            return    # it hung up on us: heard enough
        self.assertIn(got.status, (400, 413), str(got))
        self.refused(got, got.status, r".*(larger than allowed|too large|larger than)")

    def test_names(self):
        before = self.files()
        for name, status in [("a/b", (400, 404, 422)), ("../up", (400, 404, 422)), ("..", (400, 404, 422)),
                             (".", (400, 404, 422)), ("a\\b", (400, 422)), ("x" * 256, (400, 422)),
                             ("a\0b", (400, 404, 422)), ("a:b", (400, 422)), ("a*", (400, 422)),
                             ("a?b", (400, 422)), ("a<b>", (400, 422))]:
            quoted = urllib.parse.quote(name, safe="").replace(".", "%2E")
            got = self.ask("PUT", f"/collections/{quoted}", COLLECTION)
            self.assertIn(got.status, status, f"{name[:20]!r}: {got}")
        self.assertEqual(self.files(), before)
        for name in ("ünï çödé", "x" * 200, "-", "a.b", "a b", "..."):
            quoted = urllib.parse.quote(name, safe="")
            got = self.ask("PUT", f"/collections/{quoted}", COLLECTION)
            self.assertEqual(got.status, 200, f"{name[:20]!r}: {got}")
            got = self.ask("GET", f"/collections/{quoted}/exists")
            self.assertEqual(got.json["result"]["exists"], True, name)

    def files(self):
        """Folders beside and in the data folder, but not those of collections."""
        home = os.path.dirname(self.server.data)
        return sorted(os.listdir(home)), sorted(os.listdir(self.server.data))

    def test_a_refused_request_changes_nothing(self):
        got = self.ask("PUT", "/collections/c/points?wait=true", {"points": [
            {"id": 1, "vector": [9, 9, 9, 9]}, {"id": 100, "vector": [9, 9, 9, 9]},
            {"id": 2, "vector": [9, 9, 9]}]})
        self.assertEqual(got.status, 400, str(got))    # nothing_lost looks whether 1 changed
        got = self.ask("GET", "/collections/c/points/100")
        self.assertEqual(got.status, 404, json.dumps(got.json))


if __name__ == "__main__":
    harness.main()
