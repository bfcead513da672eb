#!/usr/bin/env python3
"""The collections over HTTP: made, filled, changed, looked at, dropped, in Qdrant's words; what is wrong is
told in Qdrant's words, too; what was acknowledged is there after a kill."""
import hashlib
import json
import os
import signal
import unittest

import harness
from server import Server

UUID = "550e8400-e29b-41d4-a716-446655440000"
FOUR = {"vectors": {"size": 4, "distance": "Dot"}}


class CollectionsTest(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.s = Server("--qdrant-port", "0")

    @classmethod
    def tearDownClass(cls):
        cls.s.close()

    def good(self, method, path, body=None, **how):
        r = self.s.ask(method, path, body, **how)
        self.assertEqual(r.status, 200, f"{method} {path}: {r}")
        self.assertEqual(r.json["status"], "ok", str(r))
        self.assertGreaterEqual(r.json["time"], 0)
        return r.json["result"]

    def bad(self, status, words, method, path, body=None, **how):
        r = self.s.ask(method, path, body, **how)
        self.assertEqual(r.status, status, f"{method} {path}: {r}")
        error = r.json["status"]["error"]
        self.assertIn(words, error)
        return error

    def make(self, name, config=None):
        self.good("PUT", f"/collections/{name}", config or FOUR)
        self.addCleanup(lambda: self.s.ask("DELETE", f"/collections/{name}"))

    def put(self, name, points, wait=True):
        return self.good("PUT", f"/collections/{name}/points?wait={str(wait).lower()}",
                         {"points": points})

    def record(self, name, point):
        return self.good("GET", f"/collections/{name}/points/{point}")

    # ---- Collections ----

    def test_life_of_a_collection(self):
        self.assertEqual(self.good("GET", "/collections/life/exists"), {"exists": False})
        self.make("life", {**FOUR, "hnsw_config": {"m": 0, "payload_m": 16},
                           "metadata": {"owner": "a"}})
        self.assertEqual(self.good("GET", "/collections/life/exists/"), {"exists": True})
        self.assertIn({"name": "life"}, self.good("GET", "/collections")["collections"])
        self.assertEqual(self.bad(409, "already exists", "PUT", "/collections/life", FOUR),
                         "Wrong input: Collection `life` already exists!")
        info = self.good("GET", "/collections/life")
        self.assertEqual((info["status"], info["optimizer_status"], info["points_count"]),
                         ("green", "ok", 0))
        config = info["config"]
        self.assertEqual(config["params"]["vectors"], FOUR["vectors"])
        self.assertEqual((config["hnsw_config"]["m"], config["hnsw_config"]["payload_m"],
                          config["hnsw_config"]["ef_construct"]), (0, 16, 100))
        self.assertIs(self.good("PATCH", "/collections/life",
                                {"optimizers_config": {"indexing_threshold": 5},
                                 "metadata": {"team": "b"}}), True)
        config = self.good("GET", "/collections/life")["config"]
        self.assertEqual(config["optimizer_config"]["indexing_threshold"], 5)
        self.assertEqual(config["metadata"], {"owner": "a", "team": "b"})
        self.assertIs(self.good("DELETE", "/collections/life"), True)
        self.assertIs(self.good("DELETE", "/collections/life"), False)
        self.assertEqual(self.bad(404, "doesn't exist", "GET", "/collections/life"),
                         "Not found: Collection `life` doesn't exist!")

    def test_vectors_in_float16(self):
        half = {"size": 2, "distance": "Euclid", "datatype": "float16"}
        config = {"vectors": {"half": {**half, "quantization_config": {"scalar": {"type": "int8"}}},
                              "rows": {**half, "multivector_config": {"comparator": "max_sim"}},
                              "whole": {"size": 2, "distance": "Euclid", "datatype": "float32"}}}
        given = [0.1, 2049]
        self.make("halves", config)
        self.assertEqual(self.good("GET", "/collections/halves")["config"]["params"]["vectors"],
                         config["vectors"])
        self.put("halves", [{"id": 1, "vector": {"half": given, "rows": [given], "whole": given}}])
        got = self.record("halves", 1)["vector"]
        self.assertEqual(got["half"], [0.099975586, 2048])
        self.assertEqual([round(x, 6) for x in got["whole"]], given)
        self.assertEqual([round(x, 6) for x in got["rows"][0]], given)  # these stay float32
        found = self.good("POST", "/collections/halves/points/query",
                          {"query": [0.0999755859375, 2050], "using": "half"})["points"]
        self.assertEqual([(p["id"], p["score"]) for p in found], [(1, 2)])
        self.bad(400, "70000 doesn't fit in float16", "PUT", "/collections/halves/points?wait=true",
                 {"points": [{"id": 2, "vector": {"half": [1, 70000]}}]})

    def test_what_no_collection_is_made_of(self):
        for status, words, body in (
                (400, "expected one of `Cosine`", {"vectors": {"size": 4, "distance": "Cosinus"}}),
                (400, "size", {"vectors": {"distance": "Dot"}}),
                (400, "nonzero", {"vectors": {"size": 0, "distance": "Dot"}}),
                (422, "must be from 1 to 65536", {"vectors": {"size": 70000, "distance": "Dot"}}),
                (400, "not supported: datatype uint8",
                 {"vectors": {"size": 4, "distance": "Dot", "datatype": "uint8"}}),
                (422, "ef_construct: value 1 invalid, must be 4 or larger",
                 {**FOUR, "hnsw_config": {"ef_construct": 1}}),
                (400, "Format error in JSON body", b"{"),
                (400, "not supported: init_from", {**FOUR, "init_from": {"collection": "x"}})):
            self.bad(status, words, "PUT", "/collections/wrong", body)
        for name in ("a%2Fb", "..%2Fb", "a%3Ab", "%2E%2E", "x" * 300):
            self.bad(422, "Validation error in path parameters", "PUT", f"/collections/{name}", FOUR)
        self.assertEqual(self.good("GET", "/collections/wrong/exists"), {"exists": False})

    def test_aliases(self):
        self.make("one")
        self.make("two")
        self.put("two", [{"id": 1, "vector": [1, 2, 3, 4]}])
        create = lambda to: {"actions": [{"create_alias": {"collection_name": to,
                                                           "alias_name": "now"}}]}
        self.assertIs(self.good("POST", "/collections/aliases", create("one")), True)
        self.assertEqual(self.good("POST", "/collections/now/points/count", {})["count"], 0)
        self.good("POST", "/collections/aliases",
                  {"actions": [{"delete_alias": {"alias_name": "now"}}, *create("two")["actions"]]})
        self.assertEqual(self.good("POST", "/collections/now/points/count", {})["count"], 1)
        of_two = {"aliases": [{"alias_name": "now", "collection_name": "two"}]}
        self.assertEqual(self.good("GET", "/aliases"), of_two)
        self.assertEqual(self.good("GET", "/collections/two/aliases"), of_two)
        self.assertEqual(self.good("GET", "/collections/one/aliases"), {"aliases": []})
        self.good("POST", "/collections/aliases", {"actions": [
            {"rename_alias": {"old_alias_name": "now", "new_alias_name": "later"}}]})
        self.bad(404, "doesn't exist", "GET", "/collections/now")
        self.bad(404, "nope", "POST", "/collections/aliases", create("nope"))

    def test_indexes(self):
        self.make("indexed")
        self.put("indexed", [{"id": i, "vector": {}, "payload": {"n": i} if i % 2 else {"n": "no"}}
                             for i in range(10)])
        path = "/collections/indexed/index"
        done = self.good("PUT", path + "?wait=true", {"field_name": "n", "field_schema": "integer"})
        self.assertEqual(done["status"], "completed")
        words = {"type": "text", "tokenizer": "word", "lowercase": True, "min_token_len": 2}
        self.good("PUT", path, {"field_name": "a.b", "field_schema": words})
        schema = self.good("GET", "/collections/indexed")["payload_schema"]
        self.assertEqual(schema, {"n": {"data_type": "integer", "points": 5},
                                  "a.b": {"data_type": "text", "params": words, "points": 0}})
        self.good("DELETE", path + "/n")
        self.good("DELETE", path + "/n")
        self.assertEqual(list(self.good("GET", "/collections/indexed")["payload_schema"]), ["a.b"])
        self.bad(400, "unknown variant `int`", "PUT", path,
                 {"field_name": "n", "field_schema": "int"})

    # ---- Points ----

    def test_points_in_and_out(self):
        self.make("points", {"vectors": {"": {"size": 2, "distance": "Cosine"},
                                         "late": {"size": 2, "distance": "Dot",
                                                  "multivector_config": {"comparator": "max_sim"}}},
                             "sparse_vectors": {"words": {"modifier": "idf"}}})
        done = self.put("points", [
            {"id": 1, "vector": [3, 4], "payload": {"f": 1.0, "i": 2, "a": [{"x": 1, "y": None}]}},
            {"id": UUID.replace("-", "").upper(),
             "vector": {"late": [[1, 2], [3, 4]], "words": {"indices": [7, 3], "values": [1, 0.5]}}}])
        self.assertEqual(done["status"], "completed")
        self.assertEqual(self.put("points", [{"id": 2**64 - 1, "vector": {}}], wait=False)["status"],
                         "acknowledged")
        self.put("points", [])    # what was written before is there when this is
        got = self.record("points", 1)
        self.assertEqual(got["payload"], {"f": 1.0, "i": 2, "a": [{"x": 1, "y": None}]})
        self.assertIsInstance(got["payload"]["f"], float)
        self.assertAlmostEqual(got["vector"][0], 0.6, places=6)
        got = self.record("points", UUID)
        self.assertEqual(got["vector"], {"late": [[1, 2], [3, 4]],
                                         "words": {"indices": [3, 7], "values": [0.5, 1]}})
        got = self.good("POST", "/collections/points/points",
                        {"ids": [1, 5, UUID], "with_payload": ["a[].x"], "with_vector": ["words"]})
        self.assertEqual([p["id"] for p in got], [1, UUID])
        self.assertEqual(got[0]["payload"], {"a": [{"x": 1}]})
        got = self.good("POST", "/collections/points/points",
                        {"ids": [1], "with_payload": {"exclude": ["a", "f"]}})
        self.assertEqual(got, [{"id": 1, "payload": {"i": 2}}])
        self.bad(404, "Point with id 5 does not exist", "GET", "/collections/points/points/5")
        page = self.good("POST", "/collections/points/points/scroll",
                         {"limit": 2, "with_payload": False})
        self.assertEqual(page, {"points": [{"id": 1}, {"id": 2**64 - 1}],
                                "next_page_offset": UUID})
        page = self.good("POST", "/collections/points/points/scroll",
                         {"limit": 999999999, "offset": UUID, "with_payload": False})
        self.assertEqual(page, {"points": [{"id": UUID}], "next_page_offset": None})
        self.assertEqual(self.good("POST", "/collections/points/points/count"), {"count": 3})

    def test_columns_and_modes(self):
        self.make("columns")
        path = "/collections/columns/points?wait=true"
        self.good("PUT", path, {"batch": {"ids": [1, 2], "vectors": [[1, 0, 0, 0], [0, 1, 0, 0]],
                                          "payloads": [{"v": 1}, None]}})
        self.good("PUT", path, {"batch": {"ids": [2, 3], "vectors": {"": [[9, 9, 9, 9]] * 2},
                                          "payloads": [{"v": 2}, {"v": 3}]},
                                "update_mode": "insert_only"})
        self.good("PUT", path, {"points": [{"id": 4, "vector": [1, 1, 1, 1]},
                                           {"id": 1, "vector": [7, 7, 7, 7], "payload": {"v": 7}}],
                                "update_mode": "update_only"})
        got = self.good("POST", "/collections/columns/points",
                        {"ids": [1, 2, 3, 4], "with_vector": True})
        self.assertEqual([(p["id"], p["payload"].get("v"), p["vector"][0]) for p in got],
                         [(1, 7, 7), (2, None, 0), (3, 3, 9)])
        self.bad(422, "number of ids and vectors must be equal", "PUT", path,
                 {"batch": {"ids": [1], "vectors": []}})

    def test_changes(self):
        self.make("changes")
        self.put("changes", [{"id": i, "vector": [i, 0, 0, 0], "payload": {"n": i, "k": {"z": 1}}}
                             for i in range(1, 7)])
        path = "/collections/changes/points"
        one = {"must": [{"key": "n", "match": {"value": 2}}]}
        self.good("POST", path + "/payload?wait=true", {"payload": {"b": True}, "points": [1]})
        self.good("POST", path + "/payload?wait=true",
                  {"payload": {"y": 2}, "key": "k", "filter": one})
        self.good("PUT", path + "/payload?wait=true", {"payload": {"only": 1}, "points": [3]})
        self.good("POST", path + "/payload/delete?wait=true", {"keys": ["k.z"], "points": [4]})
        self.good("POST", path + "/payload/clear?wait=true", {"points": [5]})
        self.good("PUT", path + "/vectors?wait=true",
                  {"points": [{"id": 1, "vector": [5, 5, 5, 5]}]})
        self.good("POST", path + "/vectors/delete?wait=true", {"vector": [""], "points": [2]})
        self.good("POST", path + "/delete?wait=true", {"points": [6, 77]})
        payloads = {p["id"]: p["payload"] for p in
                    self.good("POST", path + "/scroll", {})["points"]}
        self.assertEqual(payloads, {1: {"n": 1, "k": {"z": 1}, "b": True},
                                    2: {"n": 2, "k": {"z": 1, "y": 2}}, 3: {"only": 1},
                                    4: {"n": 4, "k": {}}, 5: {}})
        self.assertEqual(self.record("changes", 1)["vector"], [5, 5, 5, 5])
        self.assertEqual(self.record("changes", 2)["vector"], {})
        self.bad(404, "No point with id 99 found", "POST", path + "/payload?wait=true",
                 {"payload": {"x": 1}, "points": [99]})
        self.good("POST", path + "/delete?wait=true", {"filter": one})
        self.assertEqual(self.good("POST", path + "/count", {"exact": True}), {"count": 4})

    def test_a_batch_is_one_request(self):
        self.make("batch")
        path = "/collections/batch/points/batch?wait=true"
        ops = [{"upsert": {"points": [{"id": 1, "vector": [1, 1, 1, 1]},
                                      {"id": 2, "vector": [2, 2, 2, 2]}]}},
               {"set_payload": {"payload": {"a": 1, "b": 2}, "points": [1, 2]}},
               {"delete_payload": {"keys": ["b"], "points": [1]}},
               {"overwrite_payload": {"payload": {"c": 3}, "points": [2]}},
               {"update_vectors": {"points": [{"id": 1, "vector": [4, 4, 4, 4]}]}},
               {"delete_vectors": {"vector": [""], "points": [2]}},
               {"upsert": {"points": [{"id": 3, "vector": [3, 3, 3, 3], "payload": {"d": 1}}]}},
               {"clear_payload": {"points": [3]}},
               {"delete": {"points": [3]}}]
        done = self.good("POST", path, {"operations": ops})
        self.assertEqual([d["status"] for d in done], ["completed"] * len(ops))
        self.assertEqual(self.record("batch", 1), {"id": 1, "payload": {"a": 1},
                                                   "vector": [4, 4, 4, 4]})
        self.assertEqual(self.record("batch", 2), {"id": 2, "payload": {"c": 3}, "vector": {}})
        self.bad(400, "expected one of `upsert`", "POST", path,
                 {"operations": [{"delete": {"points": [1]}}, {"explode": {}}]})
        self.assertEqual(self.good("POST", "/collections/batch/points/count", {}), {"count": 2})

    def test_scroll_in_order(self):
        self.make("ordered")
        self.put("ordered", [{"id": i, "vector": {}, "payload": {"n": (i * 7) % 10} if i else {}}
                             for i in range(10)])
        path = "/collections/ordered/points/scroll"
        self.bad(400, "No range index for `order_by` key: `n`", "POST", path, {"order_by": "n"})
        self.good("PUT", "/collections/ordered/index?wait=true",
                  {"field_name": "n", "field_schema": "integer"})
        page = self.good("POST", path, {"order_by": "n", "limit": 3})
        self.assertEqual([(p["payload"]["n"], p["order_value"]) for p in page["points"]],
                         [(1, 1), (2, 2), (3, 3)])
        self.assertIsNone(page["next_page_offset"])
        page = self.good("POST", path, {"order_by": {"key": "n", "direction": "desc",
                                                     "start_from": 4}, "limit": 99})
        self.assertEqual([p["payload"]["n"] for p in page["points"]], [4, 3, 2, 1])
        self.bad(400, "Cannot use an `offset`", "POST", path, {"order_by": "n", "offset": 3})

    # ---- What is wrong ----

    def test_wrong_points_change_nothing(self):
        self.make("strict")
        path = "/collections/strict/points?wait=true"
        point = lambda **over: {"points": [{"id": 9, "vector": [1, 2, 3, 4]},
                                           {"id": 1, "vector": [1, 2, 3, 4], **over}]}
        for status, words, body in (
                (400, "Vector dimension error: expected dim: 4, got 3", point(vector=[1, 2, 3])),
                (400, "value 7 is not a valid point ID", point(id="7")),
                (400, "value -1 is not a valid point ID", point(id=-1)),
                (400, "Not existing vector name error: x", point(vector={"x": [1, 2, 3, 4]})),
                (400, "beyond f32", point(vector=[1, 2, 3, 1e300])),
                (400, "Format error in JSON body",
                 json.dumps(point(vector=[1, 2, 3, float("nan")])).encode()),
                (400, "expected an object", point(payload=[1])),
                (400, "recursion limit exceeded",
                 b'{"points":[{"id":1,"vector":[1,2,3,4],"payload":{"x":' + b"[" * 10000 + b"]" * 10000
                 + b"}}]}"),
                (400, "Format error", {"points": 5})):
            error = self.bad(status, words, "PUT", path, body)
            self.assertRegex(error, "^(Wrong input|Format error in JSON body|Validation error)")
        self.assertEqual(self.good("POST", "/collections/strict/points/count", {}), {"count": 0})

    def test_wrong_questions(self):
        self.make("asked")
        scroll = "/collections/asked/points/scroll"
        self.bad(422, "[limit: value 0 invalid, must be 1 or larger]", "POST", scroll, {"limit": 0})
        self.bad(400, "expected usize", "POST", scroll, {"limit": -1})
        self.bad(400, "not a valid point ID", "POST", scroll, {"offset": "x"})
        self.bad(400, "consistency", "POST", scroll + "?consistency=some", {})
        self.good("POST", scroll + "?consistency=majority&timeout=3", {})
        self.bad(422, "timeout", "POST", scroll + "?timeout=0", {})
        self.bad(404, "Collection `none`", "POST", "/collections/none/points/scroll", {})
        deep = b'{"filter":' + b'{"must":[' * 10000 + b"]}" * 10000 + b"}"
        self.bad(400, "recursion limit exceeded", "POST", scroll, deep)
        r = self.s.ask("PUT", "/collections/asked/points", b"x" * (33 << 20))
        self.assertEqual(r.status, 413, str(r))
        self.assertIn("33554432", r.json["status"]["error"])

    # ---- Snapshots ----

    def test_snapshots(self):
        self.make("shot", {**FOUR, "metadata": {"who": "me"}})
        self.put("shot", [{"id": i, "vector": [i, 0, 0, 0], "payload": {"i": i}}
                          for i in range(50)])
        path = "/collections/shot/snapshots"
        made = self.good("POST", path)
        self.assertRegex(made["name"], r"^shot-.*\.snapshot$")
        self.assertEqual(self.good("GET", path), [made])
        got = self.s.get(f"{path}/{made['name']}")
        self.assertEqual((got.status, len(got.body)), (200, made["size"]), str(got)[:300])
        self.assertEqual(hashlib.sha256(got.body).hexdigest(), made["checksum"])
        self.good("POST", "/collections/shot/points/delete?wait=true", {"points": [3, 4]})
        where = f"file://{self.s.data}/snapshots/shot/{made['name']}"
        self.bad(400, "checksum mismatch", "PUT", path + "/recover",
                 {"location": where, "checksum": "0" * 64})
        self.good("PUT", path + "/recover", {"location": where, "checksum": made["checksum"]})
        self.assertEqual(self.good("POST", "/collections/shot/points/count", {}), {"count": 50})
        form = (b'--x\r\nContent-Disposition: form-data; name="snapshot"; filename="a"\r\n\r\n' +
                got.body + b"\r\n--x--\r\n")
        how = {"headers": {"Content-Type": "multipart/form-data; boundary=x"}}
        self.good("POST", "/collections/copied/snapshots/upload?priority=snapshot", form, **how)
        self.addCleanup(lambda: self.s.ask("DELETE", "/collections/copied"))
        self.assertEqual(self.record("copied", 7)["payload"], {"i": 7})
        self.assertEqual(self.good("GET", "/collections/copied")["config"]["metadata"],
                         {"who": "me"})
        broken = form[:900] + b"?" + form[901:]
        self.bad(400, "Wrong input", "POST", "/collections/copied/snapshots/upload", broken, **how)
        for what in (b"no form", b"--x\r\n\r\n", form[:-5]):
            self.bad(400, "Wrong input", "POST", "/collections/copied/snapshots/upload", what, **how)
        self.assertEqual(self.good("POST", "/collections/copied/points/count", {}), {"count": 50})
        for location in ("file:///etc/passwd", where + "/../../../pepper", "/etc/passwd"):
            self.bad(400, "location", "PUT", path + "/recover", {"location": location})
        self.bad(404, "Snapshot", "GET", path + "/none.snapshot")
        self.bad(404, "Snapshot", "GET", path + "/..")
        self.assertIs(self.good("DELETE", f"{path}/{made['name']}"), True)
        self.assertEqual(self.good("GET", path), [])

    # ---- Ways in ----

    def test_the_port_of_qdrant(self):
        found = [line for line in self.s.err.splitlines() if line.startswith("  qdrant ")]
        port = int(found[0].split("port ")[1].split(":")[0])
        banner = self.s.ask("GET", "/", port=port).json
        self.assertEqual(banner["title"], "qdrant - vector search engine")
        self.assertRegex(banner["version"], r"^1\.18\.")
        page = self.s.ask("GET", "/", port=port, headers={"Accept": "text/html,*/*"})
        self.assertEqual((page.status, page.headers["location"]), (302, "/docs"))
        for path in ("/collections", "/cluster", "/healthz", "/livez", "/readyz", "/metrics"):
            self.assertEqual(self.s.ask("GET", path, port=port).status, 200, path)
        self.assertEqual(self.s.ask("GET", "/v1/models", port=port).status, 404)
        self.assertEqual(self.s.get("/cluster").json["result"], {"status": "disabled"})
        metrics = self.s.get("/metrics").body.decode()
        for name in ("collections", "points", "segments", "log_bytes", "write_seconds_count"):
            self.assertRegex(metrics, rf"(?m)^nexus_store_{name} \d")


class KeysTest(harness.Case):
    def test_keys_and_their_bounds(self):
        with Server() as s:
            full = {"api-key": s.new_key("--name", "full", "--scope", "rag")}
            tagged = {"api-key": s.new_key("--name", "t", "--scope", "rag", "--tag", "red")}
            reader = {"api-key": s.new_key("--name", "r", "--scope", "rag", "--read-only")}
            none = s.get("/collections")
            self.assertEqual(none.status, 401)
            self.assertTrue(none.headers["content-type"].startswith("text/plain"), str(none))
            self.assertEqual(s.ask("PUT", "/collections/c", FOUR, headers=reader).status, 403)
            self.assertEqual(s.ask("PUT", "/collections/c", FOUR, headers=full).status, 200)
            points = [{"id": i, "vector": [1, 0, 0, 0], "payload": {"access_tags": t} if t else {}}
                      for i, t in enumerate((None, "red", ["blue"], ["blue", "red"]))]
            url = "/collections/c/points"
            self.assertEqual(s.ask("PUT", url + "?wait=true", {"points": points},
                                   headers=full).status, 200)
            seen = s.post(url + "/scroll", {}, headers=tagged).json["result"]["points"]
            self.assertEqual([p["id"] for p in seen], [0, 1, 3])
            self.assertEqual(s.post(url, {"ids": [2]}, headers=tagged).json["result"], [])
            self.assertEqual(s.get(url + "/2", headers=tagged).status, 404)
            self.assertEqual(s.post(url + "/count", {}, headers=tagged).json["result"]["count"], 3)
            self.assertEqual(s.post(url + "/delete?wait=true", {"points": [0, 1, 2]},
                                    headers=tagged).status, 200)
            left = s.post(url + "/scroll", {}, headers=full).json["result"]["points"]
            self.assertEqual([p["id"] for p in left], [0, 2, 3])
            for path, body in (("/payload/clear", {"points": [3]}),
                               ("/payload/delete", {"keys": ["access_tags"], "points": [3]}),
                               ("/payload", {"payload": {"access_tags": "blue"}, "points": [3]}),
                               ("/delete", None)):
                if body:
                    self.assertEqual(s.post(url + path, body, headers=tagged).status, 400, path)
            self.assertEqual(s.post(url + "/delete", {"points": [3]}, headers=reader).status, 403)


class DurabilityTest(harness.Case):
    def test_acknowledged_points_survive_a_kill(self):
        data = os.path.join(self.tmp, "data")
        with Server(data=data) as s:
            s.ask("PUT", "/collections/kept", FOUR)
            for i in range(20):
                r = s.ask("PUT", "/collections/kept/points?wait=true",
                          {"points": [{"id": i, "vector": [i, 0, 0, 1], "payload": {"i": i}}]})
                self.assertEqual(r.json["result"]["status"], "completed")
            s.process.send_signal(signal.SIGKILL)
            s.process.wait()
        with Server(data=data) as s:
            page = s.post("/collections/kept/points/scroll", {"limit": 100}).json["result"]
            self.assertEqual([p["payload"]["i"] for p in page["points"]], list(range(20)))


if __name__ == "__main__":
    harness.main()
