#!/usr/bin/env python3
"""The store when something breaks, over HTTP: a full disk refuses writes and no more; a damaged collection
says what is wrong with it, the others serve, and it can be removed."""
import glob
import os
import resource
import shutil
import subprocess
import time
import unittest

import harness
from server import Server

FOUR = {"vectors": {"size": 4, "distance": "Dot"}}
POINTS = "/collections/c/points"


def point(i, bytes_of_text=0):
    return {"id": i, "vector": [i % 100, 1, 0, 0], "payload": {"i": i, "text": "x" * bytes_of_text}}


def put(s, name, points):
    return s.ask("PUT", f"/collections/{name}/points?wait=true", {"points": points})


def make(s, name):
    r = s.ask("PUT", f"/collections/{name}", FOUR)
    assert r.status == 200, str(r)


def count(s, name):
    return s.post(f"/collections/{name}/points/count", {}).json["result"]["count"]


class FullTest(harness.Case):
    def error(self, r, status):
        self.assertEqual(r.status, status, str(r))
        self.assertGreater(r.json["time"], 0, str(r))
        return r.json["status"]["error"]

    def fill(self, s, n_most):
        """Batches of about 1 MB until one is refused: that answer, and how many points there are."""
        for i in range(n_most):
            r = put(s, "c", [point(i * 4 + k, 250_000) for k in range(4)])
            if r.status != 200:
                return r, i * 4
        self.fail(f"{n_most} MB found room")

    def still_reads(self, s, n):
        self.assertEqual(count(s, "c"), n)
        got = s.get(f"{POINTS}/{n - 1}")
        self.assertEqual(got.json["result"]["payload"]["i"], n - 1, str(got))
        got = s.post(f"{POINTS}/query", {"query": [1, 0, 0, 0], "limit": 3})
        self.assertEqual(len(got.json["result"]["points"]), 3, str(got))
        got = s.post(f"{POINTS}/scroll", {"limit": 2})
        self.assertEqual(len(got.json["result"]["points"]), 2, str(got))

    def writes_again(self, s, n):
        end = time.monotonic() + 30
        while True:
            r = put(s, "c", [point(n, 250_000)])
            if r.status == 200:
                break
            self.error(r, 507)
            self.assertLess(time.monotonic(), end, f"no write in 30 s: {r}")
            time.sleep(0.2)
        self.assertEqual(count(s, "c"), n + 1)

    def test_files_that_may_not_grow(self):
        """A limit on the size of files stands for the full disk wherever nothing can be mounted."""
        data = os.path.join(self.tmp, "data")
        with Server(data=data) as s:
            make(s, "c")
            pid = s.process.pid
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (3 << 20, before[1]))
            refused, n = self.fill(s, 8)
            text = self.error(refused, 507)
            self.assertIn("log", text)
            self.assertIsNone(s.process.poll())
            self.still_reads(s, n)
            # A small one still fits, or is refused as clearly; nothing of the refused one is there.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
            self.writes_again(s, n)
            s.stop()
        with Server(data=data) as s:
            self.assertEqual(count(s, "c"), n + 1)

    def test_a_disk_that_is_full(self):
        disk = os.path.join(self.tmp, "disk")
        os.mkdir(disk)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk],
                              capture_output=True, check=False)
        if done.returncode:
            self.skipTest("mounting isn't allowed here")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        data = os.path.join(disk, "data")
        with Server(data=data) as s:
            make(s, "c")
            ballast = os.path.join(disk, "ballast")
            with open(ballast, "wb") as f:
                f.write(b"x" * (16 << 20))
            refused, n = self.fill(s, 24)
            text = self.error(refused, 507)
            self.assertRegex(text, "(?i)full|space")
            self.still_reads(s, n)
            self.assertIn(s.ask("PUT", "/collections/another", FOUR).status, (200, 507))
            self.still_reads(s, n)
            os.remove(ballast)
            self.writes_again(s, n)
            make(s, "more")
            s.stop()
        with Server(data=data) as s:
            self.assertEqual(count(s, "c"), n + 1)


class DamageTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.tmp, "data")

    def folder(self, name):
        return os.path.join(self.data, "store", name)

    def flip(self, path, at):
        with open(path, "r+b") as f:
            f.seek(at if at >= 0 else os.path.getsize(path) + at)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 0x40]))

    def filled(self, names, segments=False):
        with Server(data=self.data) as s:
            for name in names:
                make(s, name)
                n = 45 if segments else 1
                for i in range(n):    # beyond 32 MiB the head becomes a segment
                    r = put(s, name, [point(i * 4 + k, 250_000 if segments else 10)
                                      for k in range(4)])
                    self.assertEqual(r.status, 200, str(r))
            if segments:
                end = time.monotonic() + 60
                while not all(glob.glob(self.folder(name) + "/seg-*[0-9a-f]") for name in names):
                    self.assertLess(time.monotonic(), end, "no segment was written")
                    time.sleep(0.1)
            s.stop()

    def quarantined(self, s, name, *words):
        """It says why, whatever is asked of it; so does the log."""
        for method, path, body in (("GET", "", None), ("GET", "/points/1", None),
                                   ("POST", "/points/count", {}),
                                   ("POST", "/points/query", {"query": [1, 0, 0, 0]}),
                                   ("PUT", "/points?wait=true", {"points": [point(7)]})):
            r = s.ask(method, f"/collections/{name}{path}", body)
            self.assertEqual(r.status, 500, f"{method} {path}: {r}")
            error = r.json["status"]["error"]
            self.assertTrue(error.startswith("Service internal error: "), error)
            for word in words:
                self.assertIn(word, error)
            self.assertGreater(r.json["time"], 0)
        lines = [line for line in s.err.splitlines() if "quarantin" in line and name in line]
        self.assertTrue(lines, s.err)
        self.assertIn("nexus_store_quarantined_collections 1\n", s.get("/metrics").body.decode())
        self.assertIn({"name": name}, s.get("/collections").json["result"]["collections"])
        self.assertEqual(s.get(f"/collections/{name}/exists").json["result"], {"exists": True})

    def serves(self, s, name, n):
        self.assertEqual(count(s, name), n)
        self.assertEqual(put(s, name, [point(1, 10)]).status, 200)
        self.assertEqual(s.get(f"/collections/{name}/points/1").json["result"]["payload"]["i"], 1)

    def dropped(self, s, name):
        r = s.ask("DELETE", f"/collections/{name}")
        self.assertEqual((r.status, r.json["result"]), (200, True), str(r))
        self.assertFalse(os.path.exists(self.folder(name)))
        self.assertEqual(s.get(f"/collections/{name}").status, 404)
        make(s, name)    # the name is free
        self.serves_new(s, name)

    def serves_new(self, s, name):
        self.assertEqual(put(s, name, [point(1)]).status, 200)
        self.assertEqual(count(s, name), 1)
        self.assertIn("nexus_store_quarantined_collections 0\n", s.get("/metrics").body.decode())

    def test_a_damaged_manifest(self):
        for at in (0, 20, -3):
            with self.subTest(byte=at):
                shutil.rmtree(self.data, ignore_errors=True)
                self.filled(["bad", "good"])
                self.flip(os.path.join(self.folder("bad"), "manifest"), at)
                with Server(data=self.data) as s:
                    self.quarantined(s, "bad", "manifest")
                    self.serves(s, "good", 4)
                    self.dropped(s, "bad")
                    s.stop()

    def test_a_missing_manifest(self):
        self.filled(["bad", "good"])
        os.remove(os.path.join(self.folder("bad"), "manifest"))
        with Server(data=self.data) as s:
            self.quarantined(s, "bad", "manifest")
            self.serves(s, "good", 4)
            self.dropped(s, "bad")

    def test_a_damaged_log(self):
        self.filled(["bad", "good"])
        log = sorted(glob.glob(self.folder("bad") + "/log-*"), key=os.path.getsize)[-1]
        self.flip(log, 32 + 40 + 60)
        with Server(data=self.data) as s:
            self.quarantined(s, "bad", "log-")
            self.serves(s, "good", 4)
            self.dropped(s, "bad")

    def test_a_damaged_segment(self):
        """Its head is read when it is opened, its rows when they are asked for."""
        self.filled(["bad", "good"], segments=True)
        path = sorted(glob.glob(self.folder("bad") + "/seg-*"))[0]
        self.flip(path, 24)
        with Server(data=self.data) as s:
            self.quarantined(s, "bad", "seg-")
            self.serves(s, "good", 180)
            s.stop()
        self.flip(path, 24)    # as it was
        self.flip(path, os.path.getsize(path) // 2)
        with Server(data=self.data) as s:
            self.assertEqual(s.get("/collections/bad").status, 200)
            r = s.post("/collections/bad/points/scroll", {"limit": 200})
            self.assertEqual(r.status, 500, str(r)[:500])
            self.assertIn("seg-", r.json["status"]["error"])
            self.quarantined(s, "bad", "seg-")
            self.serves(s, "good", 180)
            self.dropped(s, "bad")


class LargeBodyTest(harness.Case):
    def test_a_body_of_tiny_numbers(self):
        """32 MB of "1," would be a gigabyte once parsed: refused, and what it took is given back."""
        with Server() as s:
            make(s, "c")
            r = s.ask("PUT", f"{POINTS}?wait=true", b'{"points": [' + b"1," * 16_000_000 + b"1]}",
                      headers={"Content-Type": "application/json"})
            self.assertEqual(r.status, 413, str(r))
            self.assertIn("values", r.json["status"]["error"])
            with open(f"/proc/{s.process.pid}/status", encoding="ascii") as f:
                peak = [int(line.split()[1]) for line in f if line.startswith("VmHWM")][0]
            self.assertLess(peak, 900 << 10, f"{peak} KB at the most")
            # As many in arrays of vectors are a request like any other.
            points = ",".join(f'{{"id":{i},"vector":[1,2,3,4]}}' for i in range(150_000))
            r = s.ask("PUT", f"{POINTS}?wait=true", f'{{"points":[{points}]}}'.encode(),
                      headers={"Content-Type": "application/json"})
            self.assertEqual(r.status, 200, str(r))
            self.assertEqual(count(s, "c"), 150_000)


if __name__ == "__main__":
    harness.main()
