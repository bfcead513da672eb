"""Protects whoever indexes a stranger's files: each one that attacks ends in one clear line of the summary or in a
harmless document, and everything beside it is read as ever. Through `nexus index`, and through uploads.
"""
import json
import os
import re
import shutil
import tempfile
import threading
import time
import unittest

import harness
import hostile_files as hostile
from server import Server
from test_documents import form

EMBEDDER = os.path.join(harness.ROOT, "models", "all-minilm-l6-v2.gguf")
ESCAPES = "line\nbreak \x1b[2J\x1b]0;x\x07.txt"
HOST = open("/etc/hostname", "rb").read().strip() if os.path.exists("/etc/hostname") else b""


def contents(part):
    for name, data in part.items():
        yield name, data[0] if isinstance(data, tuple) else data


def fill(top):
    """Everything hostile, in one folder."""
    for part in (hostile.GOOD, hostile.READ, hostile.EMPTY, hostile.REFUSED):
        for name, data in contents(part):
            hostile.write(os.path.join(top, name), data)
    with open(os.path.join(top, "line.log"), "wb") as f:
        f.truncate(2 << 30)
    os.mkfifo(os.path.join(top, "fifo.txt"))
    for to, name in ((".", "zz/loop"), ("l2.txt", "l1.txt"), ("l1.txt", "l2.txt"), ("/dev/zero", "zero.txt"),
                     ("/proc/self/mem", "mem.txt"), ("nowhere", "gone.txt")):
        os.symlink(to, os.path.join(top, name))
    hostile.write(os.path.join(top, ESCAPES), b"A name that moves the cursor.\n")
    hostile.write(os.path.join(top, "right\u202etxt.md"), b"# A name that turns around\n")
    hostile.write(os.fsencode(top) + b"/not\xffutf8.txt", b"x\n")
    here = os.open(top, os.O_RDONLY)
    for _ in range(24):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("deep.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


# What no upload can be: links, pipes, sizes, names.
OF_FOLDERS = {
    "line.log": "2147483648 bytes; the limit", "fifo.txt": "neither a file", "zz/loop": "link to a folder",
    "l1.txt": "leads nowhere", "l2.txt": "leads nowhere", "gone.txt": "leads nowhere", "zero.txt": "no file",
    "not\\xFFutf8.txt": "not UTF-8",
}


class Folder(harness.Case):
    """One run of `nexus index` over all of it, without a server; then what it left."""

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="nexus-")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.top, cls.data = os.path.join(cls.home, "files"), os.path.join(cls.home, "data")
        fill(cls.top)
        cls.done = harness.nexus("index", cls.top, "--data", cls.data, "--collection", "c")
        cls.lines = dict(re.findall(rf"^  {re.escape(cls.top)}/(.*?): (.*)$", cls.done.out.decode(), re.M))

    def test_every_file_that_attacks_has_its_line(self):
        self.ok(self.done)
        for name, (_, why) in hostile.REFUSED.items():
            with self.subTest(name):
                self.assertRegex(self.lines.get(name, ""), why)
        for name, why in OF_FOLDERS.items():
            with self.subTest(name):
                self.assertIn(why, self.lines.get(name, ""))
        self.assertIn("longer than", self.done.out.decode())
        n = len(hostile.REFUSED) + len(OF_FOLDERS) + 1
        self.assertIn(f" {n} left out", self.done.out.decode())

    def test_nothing_moves_the_cursor(self):
        for byte in self.done.out + self.done.err.encode():
            self.assertFalse(byte < 32 and byte not in (9, 10), self.done.out)

    def test_the_others_are_documents(self):
        with Server(model=EMBEDDER, data=self.data) as s:
            found = s.control("GET", "/rag/documents?collection=c&limit=1000").json["documents"]
            names = {d["source"][len(self.top) + 1:]: d for d in found}
            want = {*hostile.GOOD, *hostile.READ, *hostile.EMPTY, ESCAPES, "right\u202etxt.md", "mem.txt"}
            ready = {n for n, d in names.items() if d["state"] == "ready"}
            self.assertEqual(ready, want)
            self.assertNotIn("queued", {d["state"] for d in found})
            for name in ("good.md", "half.txt", "orders.md"):
                self.assertEqual(names[name]["chunks"], 1, name)
            for name in ("up.xlsx", "outside.xlsx", "loop.1", "laughs.epub"):
                text = s.control("GET", f"/rag/documents/{names[name]['document_id']}/content").body
                self.assertLess(len(text), 2000, name)
                self.assertFalse(HOST and HOST in text, name)

    def test_an_answer_moves_no_cursor_either(self):
        hostile.write(os.path.join(self.tmp, "esc.txt"), "The lamp in the hall\x1b is green\x9b\u202e.\n".encode())
        self.ok(harness.nexus("index", self.tmp, "--data", os.path.join(self.tmp, ".d"), "--collection", "e"))
        done = self.ok(harness.nexus("ask", "What is green in the hall, the lamp?", "--data", os.path.join(self.tmp, ".d"),
                                     "--collection", "e", "--show-sources"))
        self.assertIn("green", done.out.decode())
        for c in done.out.decode():
            self.assertFalse((c < " " and c not in "\n\t") or "\x7f" <= c < "\xa0" or c == "\u202e", done.out)

    def test_a_file_that_changes_while_it_is_read(self):
        top = os.path.join(self.tmp, "files")
        hostile.write(os.path.join(top, "good.txt"), b"Quiet.\n")
        path, stop = os.path.join(top, "busy.txt"), threading.Event()

        def write():
            n = 0
            while not stop.is_set():
                n += 1
                with open(path, "wb", buffering=0) as f:
                    f.write(b"Grows.\n" * (n % 50))
                    if n % 3 == 0:
                        os.ftruncate(f.fileno(), 3)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            done = self.ok(harness.nexus("index", top, "--data", os.path.join(self.tmp, "data"), "--json"))
        finally:
            stop.set()
            thread.join()
        said = done.json
        self.assertEqual(said["added"] + said["skipped"], 2, said)
        for skip in said["skips"]:
            self.assertIn("changed while it was read", skip["reason"])

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_what_may_not_be_read(self):
        hostile.write(os.path.join(self.tmp, "files", "good.txt"), b"Open.\n")
        hostile.write(os.path.join(self.tmp, "files", "shut.txt"), b"Shut.\n")
        os.mkdir(os.path.join(self.tmp, "files", "shut"), 0)
        os.chmod(os.path.join(self.tmp, "files", "shut.txt"), 0)
        said = self.ok(harness.nexus("index", os.path.join(self.tmp, "files"), "--data",
                                     os.path.join(self.tmp, "data"), "--json")).json
        self.assertEqual((said["added"], said["skipped"]), (1, 2), said)
        self.assertTrue(all("denied" in s["reason"] for s in said["skips"]), said)


class Uploads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Server(model=EMBEDDER)
        cls.addClassCleanup(cls.s.close)

    def upload(self, files, status=202, **fields):
        body, headers = form(files, **fields)
        got = self.s.ask("POST", "/rag/documents", body, headers=headers)
        self.assertEqual(got.status, status, got)
        return got.json

    def until_done(self, job, seconds=120):
        end = time.monotonic() + seconds
        while True:
            got = self.s.get(f"/rag/jobs/{job}").json
            if got["phase"] in ("done", "failed", "cancelled"):
                return got
            self.assertLess(time.monotonic(), end, got)
            time.sleep(0.05)

    def test_files_that_attack(self):
        sent = [(name, data() if callable(data) else data) for part in (hostile.GOOD, hostile.REFUSED)
                for name, data in contents(part)]
        up = self.upload(sent, collection_name="h")
        job = self.until_done(up["job_id"])
        self.assertEqual((job["phase"], job["added"], job["skipped"]),
                         ("done", len(hostile.GOOD), len(hostile.REFUSED)), job)
        lines = {s["source"]: s["reason"] for s in job["skips"]}
        for name, (_, why) in hostile.REFUSED.items():
            with self.subTest(name):
                self.assertRegex(lines.get(name, ""), why if name != "photo.png" else ".")
        got = self.s.post("/rag/search", {"query": "Where does the pantry key hang?", "min_score": 0,
                                          "collection_name": "h"}).json
        self.assertIn("behind the blue door", json.dumps(got))

    def test_names_of_files(self):
        text = b"The harbour master is called Ottilie.\n"
        for name in ("../../x.txt", "/etc/passwd", "..", "a\x1b[2J\x07b.txt"):
            self.until_done(self.upload([(name, text)], collection_name="n")["job_id"])
        found = self.s.get("/rag/documents?collection=n").json["documents"]
        self.assertEqual({d["source"] for d in found}, {"../../x.txt", "/etc/passwd", "..", "a\x1b[2J\x07b.txt"})
        for name, why in (("n" * 4000 + ".txt", "too long"), ("n" * 70000 + ".txt", "too long"), ("", "without a name"),
                          ("a\0b.txt", "not UTF-8")):
            said = self.upload([(name, text)], status=422, collection_name="n")
            self.assertIn(why, json.dumps(said))
            self.assertLess(len(json.dumps(said)), 1000)
        self.until_done(self.upload([("c.txt", text)], collection_name="../../evil")["job_id"])
        beside = {d for d in os.listdir(self.s.home)}
        self.assertLessEqual(beside, {"data", "out", "err"})
        self.assertFalse(os.path.exists(os.path.join(os.path.dirname(self.s.home), "evil")))

    def test_metadata_and_tags(self):
        text = b"The harbour master is called Ottilie.\n"
        for n, (status, fields) in enumerate((
                (202, {"metadata": json.dumps({"k": "v" * 1000000})}),
                (202, {"metadata": json.dumps({"kind": "settings", "doc_id": "x", "source": "/etc"})}),
                (422, {"metadata": json.dumps({"k": "v" * 2000000})}),
                (422, {"metadata": '{"a":' * 100000}),
                (202, {"access_tags": '["a\\u0000b","\\u001b[2J","\u202e"]'}),
                (202, {"access_tags": "a, b\n;'\"<\u00e9>"}),
                (422, {"access_tags": json.dumps([f"t{i}" for i in range(50000)])}),
                (422, {"access_tags": "[1,{}]"}))):
            with self.subTest(n):
                up = self.upload([(f"m{n}.txt", text)], status=status, collection_name="m", **fields)
                if status == 202:
                    self.assertEqual(self.until_done(up["job_id"])["added"], 1)
                else:
                    self.assertRegex(json.dumps(up), "metadata|access_tags")
        found = self.s.get("/rag/documents?collection=m").json["documents"]
        self.assertEqual({d["state"] for d in found}, {"ready"})
        self.assertEqual(len({d["document_id"] for d in found}), 4)

    def test_orders_to_the_model(self):
        files = [("orders.md", hostile.ORDERS), ("good.md", hostile.GOOD["good.md"])]
        self.until_done(self.upload(files, collection_name="o")["job_id"])
        got = self.s.post("/llm/rag/query", {"query": "When is the cellar locked?", "collection_name": "o"}).json
        self.assertIn("nine", got["answer"], got)
        self.assertNotIn("PWNED", got["answer"], got)
        n = len(got["sources"])
        self.assertTrue(got["citations"])
        for cited in got["citations"]:
            self.assertIn(cited["text"], hostile.ORDERS.decode())
        self.assertTrue(all(1 <= int(k) <= n for k in re.findall(r"\[(\d+)\]", got["answer"])), got)
        got = self.s.post("/llm/rag/query", {"query": "When does the ferry to Hven leave?",
                                             "collection_name": "o"}).json
        self.assertIn("07:45", got["answer"])
        self.assertNotIn("PWNED", got["answer"])


if __name__ == "__main__":
    harness.main()
