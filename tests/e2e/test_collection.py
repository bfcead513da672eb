#!/usr/bin/env python3
"""Protects `nexus collection`, `backup` and `restore`: the same words do the same with a server and without
one; a collection goes out as a file or as lines and comes back equal; a damaged file changes nothing; an
instance is restored with its keys, elsewhere, and never over what is there unasked."""
import hashlib
import json
import os
import stat
import unittest

import harness
from harness import Case, nexus
from server import Server

POINTS = [{"id": i, "vector": [1.0, 0.5, i / 8.0], "payload": {"n": i, "text": f"café {i}", "list": [1, 2.5, None]}}
          for i in range(700)]


def lines_of(points):
    return "".join(json.dumps(p) + "\n" for p in points).encode()


class Both(Case):
    """Every test runs alone, and (in the class below) with a server over the data folder."""

    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.tmp, "data")

    def run_on(self, data, *args, **how):
        return nexus(*args, "--data", data, **how)

    def collection(self, *args, **how):
        return self.run_on(self.data, "collection", *args, **how)

    def made(self, name):
        self.ok(self.collection("create", name, "--dim", "3", "--distance", "dot"))
        self.ok(self.collection("import", name, "-", stdin=lines_of(POINTS)))

    def exported(self, name, data=None):
        done = self.ok(self.run_on(data or self.data, "collection", "export", name))
        return [json.loads(x) for x in done.out.decode().splitlines()]

    def test_life(self):
        self.made("b ü")
        row, = self.ok(self.collection("list", "--json")).json
        self.assertEqual((row["name"], row["status"], row["points"], row["vectors"]),
                         ("b ü", "green", 700, "3 Dot"))
        self.assertIn("b ü", self.ok(self.collection("list")).out.decode())
        self.assertIn("3 Dot", self.ok(self.collection("info", "b ü")).out.decode())
        self.assertEqual(self.exported("b ü"), POINTS)
        path = os.path.join(self.tmp, "points.jsonl")
        self.ok(self.collection("export", "b ü", path))
        with open(path, encoding="utf-8") as f:
            self.assertEqual([json.loads(x) for x in f], POINTS)
        self.refused(self.collection("create", "b ü", "--dim", "3"), 1, "already exists")
        self.ok(self.collection("check", "b ü"))
        self.ok(self.collection("reopen", "b ü"))
        self.ok(self.collection("drop", "--yes", "b ü"))
        self.refused(self.collection("drop", "--yes", "b ü"), 1, "doesn't exist")
        self.assertEqual(self.ok(self.collection("list", "--json")).json, [])

    def test_lines_that_are_wrong(self):
        self.made("c")
        good = lines_of(POINTS[:2])
        for line, words in ((b"{\n", "line 3"), (b"[1]\n", "line 3"), (b'{"vector": [1]}\n', "line 3"),
                            (b'{"id": 1, "vector": [1, 2]}\n', "dimension")):
            self.refused(self.collection("import", "c", stdin=good + line), 1, words)
        self.ok(self.collection("import", "c", "--skip", "2", stdin=b"?\n?\n\n" + good))
        self.refused(self.collection("import", "nobody", stdin=good), 1, "doesn't exist")
        self.refused(self.collection("import", "c", os.path.join(self.tmp, "none")), 1, "none")
        self.assertEqual(len(self.exported("c")), 700)

    def test_snapshot_and_restore(self):
        self.made("c")
        path = os.path.join(self.tmp, "c.snapshot")
        sha, named = self.ok(self.collection("snapshot", "c", path)).out.decode().split()
        self.assertEqual(named, path)
        with open(path, "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), sha)
        self.ok(self.collection("restore", "d", path))
        self.assertEqual(self.exported("d"), POINTS)
        self.ok(self.collection("import", "c", stdin=lines_of([{"id": 9999, "vector": [1, 2, 3]}])))
        self.refused(self.collection("restore", "c", path), 1, "already exists", "--replace")
        with open(path, "r+b") as f:
            f.seek(5000)
            byte = f.read(1)
            f.seek(5000)
            f.write(bytes([byte[0] ^ 4]))
        self.refused(self.collection("restore", "c", path, "--replace"), 1, "c.snapshot: byte")
        self.assertEqual(len(self.exported("c")), 701)
        with open(path, "r+b") as f:
            f.seek(5000)
            f.write(byte)
        self.ok(self.collection("restore", "c", path, "--replace"))
        self.assertEqual(self.exported("c"), POINTS)

    def test_backup_and_restore(self):
        key = self.ok(self.run_on(self.data, "key", "create", "--name", "Zoë")).out.decode().strip()
        self.made("one")
        self.made("two words")
        path = os.path.join(self.tmp, "monday.nexus")
        said = self.ok(self.run_on(self.data, "backup", "--json", path)).json
        self.assertEqual((said["collections"], said["points"], said["left_out"]), (2, 1400, 0))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(said["bytes"], os.path.getsize(path))
        self.assertEqual([f for f in os.listdir(self.tmp) if "monday" in f], ["monday.nexus"])
        self.ok(nexus("restore", "--check", path))

        there = os.path.join(self.tmp, "there")
        self.ok(self.run_on(there, "restore", path))
        self.assertEqual(self.exported("one", there), POINTS)
        self.assertEqual(self.exported("two words", there), POINTS)
        row, = self.ok(self.run_on(there, "key", "list", "--json")).json["keys"]
        self.assertEqual(row["id"], key[3:11])
        self.refused(self.run_on(there, "restore", path), 1, "isn't empty", "--force")
        self.ok(self.run_on(there, "collection", "drop", "--yes", "one"))
        self.ok(self.run_on(there, "restore", "--force", path))
        self.assertEqual(self.exported("one", there), POINTS)
        self.assertIn("store", os.listdir(os.path.join(there, "before-restore")))

        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) // 2)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        self.refused(nexus("restore", "--check", path), 1, "monday.nexus: byte")
        self.refused(self.run_on(there, "restore", "--force", path), 1, "monday.nexus: byte")
        self.assertEqual(self.exported("one", there), POINTS)


class WithServer(Both):
    def setUp(self):
        super().setUp()
        self.s = Server(data=self.data)
        self.addCleanup(self.s.close)

    def test_files_are_the_owners_affair(self):
        key = self.s.new_key("--scope", "admin")
        r = self.s.post("/admin/backup", {"path": "/tmp/x"}, headers=self.s.bearer(key))
        self.assertEqual(r.status, 403, str(r))
        self.assertIn("control socket", r.json["error"])
        self.assertEqual(self.s.control("POST", "/admin/backup", {"path": "x"}).status, 400)
        self.refused(self.run_on(self.data, "restore", "/nowhere"), 1, "in use by process")


class FromAServer(Case):
    def test_a_collection_by_url(self):
        data = os.path.join(self.tmp, "data")
        with Server() as s:
            def put(path, body):
                r = s.control("PUT", path, body)
                self.assertEqual(r.status, 200, str(r))
            put("/collections/src", {"vectors": {"a": {"size": 2, "distance": "Dot"}},
                                     "sparse_vectors": {"s": {"modifier": "idf"}}})
            put("/collections/src/index?wait=true", {"field_name": "n", "field_schema": "integer"})
            points = [{"id": f"00000000-0000-0000-0000-{i:012x}" if i % 2 else i,
                       "vector": {"a": [i, 0.25], "s": {"indices": [1, i + 2], "values": [0.5, 1.5]}},
                       "payload": {"n": i}} for i in range(600)]
            put("/collections/src/points?wait=true", {"points": points})
            url = s.url + "/collections/src"
            self.ok(nexus("collection", "import", "copy", "--from", url, "--data", data))
            mine = self.ok(nexus("collection", "export", "copy", "--data", data)).out
            theirs = self.ok(nexus("collection", "export", "src", "--data", s.data)).out
            self.assertEqual(mine, theirs)
            self.assertEqual(len(mine.splitlines()), 600)
            info = self.ok(nexus("collection", "info", "copy", "--data", data, "--json")).json["result"]
            self.assertEqual(info["payload_schema"]["n"]["data_type"], "integer")
            self.ok(nexus("collection", "import", "copy", "--from", url, "--start", "300", "--data", data))
            self.refused(nexus("collection", "import", "x", "--from", url + "x", "--data", data), 1,
                         "doesn't exist")


if __name__ == "__main__":
    harness.main()
