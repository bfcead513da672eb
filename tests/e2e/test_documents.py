"""Protects the way of documents into the server and out again: uploads, folders of the machine, jobs and their
events, chunks and bytes, deletion, another start in between, and what a key bound to access tags sees of it all.
"""
import json
import os
import time
import unittest
import uuid

import harness
from server import Server

EMBEDDER = os.path.join(harness.ROOT, "models", "all-minilm-l6-v2.gguf")

LEASE = """# Lease

## Term

The lease of the workshop ends on 31 May 2031. Notice must be given twelve months before.

## Rent

| Month | Euro |
|-------|------|
| May   | 1200 |
| June  | 1250 |
"""
BOAT = "The blue boat is called Mathilda. It lies at pier seven, behind the old customs house.\n"


def form(files, **fields):
    """(body, headers) of multipart/form-data."""
    mark = uuid.uuid4().hex
    parts = []
    for name, value in fields.items():
        parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, data in files:
        data = data if isinstance(data, bytes) else data.encode()
        parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
                     f'Content-Type: application/octet-stream\r\n\r\n'.encode() + data + b"\r\n")
    parts.append(f"--{mark}--\r\n".encode())
    return b"".join(parts), {"Content-Type": f"multipart/form-data; boundary={mark}"}


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = Server(model=EMBEDDER)
        cls.addClassCleanup(cls.s.close)

    def setUp(self):
        self.key = None

    def ask(self, method, path, body=None, headers=None, status=200):
        headers = dict(headers or {})
        if self.key:
            headers.update(self.s.bearer(self.key))
        got = self.s.ask(method, path, body, headers=headers)
        self.assertEqual(got.status, status, f"{method} {path}: {got}")
        return got

    def upload(self, files, status=202, **fields):
        body, headers = form(files, **fields)
        return self.ask("POST", "/rag/documents", body, headers, status).json

    def until_done(self, job, seconds=60, ask=None):
        end = time.monotonic() + seconds
        while True:
            got = (ask or self.ask)("GET", f"/rag/jobs/{job}").json
            if got["phase"] in ("done", "failed", "cancelled"):
                return got
            self.assertLess(time.monotonic(), end, got)
            time.sleep(0.05)

    def list(self, collection, **query):
        tail = "".join(f"&{k}={v}" for k, v in query.items())
        return self.ask("GET", f"/rag/documents?collection={collection}{tail}").json

    # ---- In and out ----

    def test_an_upload_and_its_way(self):
        up = self.upload([("lease.md", LEASE), ("boat.txt", BOAT), ("photo.png", b"\x89PNG\r\n\x1a\n")],
                         collection_name="papers", metadata='{"year": 2026, "by": "Ann"}')
        self.assertEqual(up["collection"], "papers")
        self.assertEqual([d["source"] for d in up["documents"]], ["lease.md", "boat.txt"])
        self.assertEqual([s["source"] for s in up["skipped"]], ["photo.png"])
        job = self.until_done(up["job_id"])
        self.assertEqual((job["phase"], job["found"], job["added"], job["skipped"]), ("done", 3, 2, 1))
        self.assertEqual(job["embedded"], job["chunks"])
        self.assertGreaterEqual(job["chunks"], 2)
        self.assertEqual([s["source"] for s in job["skips"]], ["photo.png"])
        self.assertIn(job["job_id"], [j["job_id"] for j in self.ask("GET", "/rag/jobs").json["jobs"]])

        found = self.list("papers")
        self.assertEqual((found["total"], found["next_offset"]), (2, None))
        lease = next(d for d in found["documents"] if d["source"] == "lease.md")
        self.assertEqual((lease["state"], lease["title"], lease["type"]), ("ready", "Lease", "markdown"))
        self.assertEqual(lease["metadata"], {"year": 2026, "by": "Ann"})
        self.assertEqual(lease["origin"], "file")
        page = self.list("papers", limit=1)
        self.assertEqual((len(page["documents"]), page["total"]), (1, 2))
        rest = self.list("papers", limit=1, offset=page["next_offset"])
        self.assertIsNone(rest["next_offset"])
        self.assertEqual({d["source"] for d in page["documents"] + rest["documents"]}, {"lease.md", "boat.txt"})
        self.assertEqual(self.list("papers", source="boat.txt")["total"], 1)
        self.assertEqual(self.list("papers", state="failed")["total"], 0)

        doc = f"/rag/documents/{lease['document_id']}"
        self.assertEqual(self.ask("GET", doc).json["source"], "lease.md")
        got = self.ask("GET", f"{doc}/content")
        self.assertEqual(got.body, LEASE.encode())
        self.assertTrue(got.headers["content-type"].startswith("text/plain"))
        chunks = self.ask("GET", f"{doc}/chunks").json
        self.assertEqual(chunks["total"], len(chunks["chunks"]))
        for i, chunk in enumerate(chunks["chunks"]):
            self.assertEqual(chunk["chunk_id"], i)
            piece = self.ask("GET", f"{doc}/content?range={chunk['start_pos']}-{chunk['end_pos']}").body
            self.assertEqual(piece.decode(), chunk["text"])
        self.assertEqual(self.ask("GET", f"{doc}/chunks?offset={len(chunks['chunks'])}").json["chunks"], [])

        self.ask("DELETE", f"{doc}")
        self.ask("GET", doc, status=404)
        self.ask("GET", f"{doc}/content", status=404)
        self.ask("DELETE", "/rag/documents?collection=papers&source=boat.txt")
        self.ask("DELETE", "/rag/documents?collection=papers&source=boat.txt", status=404)
        self.assertEqual(self.list("papers")["total"], 0)

    def test_a_file_again_takes_its_place(self):
        first = self.until_done(self.upload([("a.txt", BOAT)], collection_name="again")["job_id"])
        up = self.upload([("a.txt", BOAT.replace("seven", "nine"))], collection_name="again")
        self.until_done(up["job_id"])
        found = self.list("again")
        self.assertEqual(found["total"], 1)
        doc = f"/rag/documents/{found['documents'][0]['document_id']}"
        self.assertIn(b"pier nine", self.ask("GET", f"{doc}/content?collection=again").body)
        self.assertEqual(first["document_ids"], [found["documents"][0]["document_id"]])

    def test_content_of_what_is_no_text(self):
        page = b"<html><head><title>Ships</title></head><body><p>Blue <b>boats</b> sail.</p></body></html>"
        up = self.upload([("ships.html", page)], collection_name="pages")
        self.until_done(up["job_id"])
        doc = f"/rag/documents/{up['documents'][0]['document_id']}"
        self.assertEqual(self.ask("GET", doc).json["origin"], "text")
        text = self.ask("GET", f"{doc}/content").body
        self.assertIn(b"Blue boats sail.", text)
        self.assertNotIn(b"<b>", text)
        got = self.ask("GET", f"{doc}/content?source=true")
        self.assertEqual(got.body, page)
        self.assertEqual(got.headers["content-type"], "application/octet-stream")
        self.assertEqual(self.ask("GET", f"{doc}/content?range=5-9").body, text[5:9])
        self.assertEqual(self.ask("GET", f"{doc}/content?range=5-").body, text[5:])
        self.assertEqual(self.ask("GET", f"{doc}/content?range=100000-200000").body, b"")

    def test_what_is_refused(self):
        self.ask("POST", "/rag/documents", {"not": "a form"}, status=422)
        self.upload([], status=422, collection_name="papers")
        self.upload([("a.txt", "x")], status=422, metadata="[1]")
        self.upload([("a.txt", "x")], status=422, metadata="{broken")
        self.upload([("a.png", "x")], status=422)
        self.ask("GET", "/rag/documents?collection=nowhere", status=404)
        self.ask("GET", f"/rag/documents/{uuid.uuid4()}", status=404)
        self.ask("GET", "/rag/documents/abc", status=404)
        self.ask("GET", f"/rag/jobs/{uuid.uuid4()}", status=404)
        self.ask("DELETE", f"/rag/jobs/{uuid.uuid4()}", status=404)
        self.ask("POST", "/admin/index", {"paths": ["/etc"]}, status=403)
        self.ask("POST", "/admin/reindex", {"collection": "a", "model": "b"}, status=403)
        self.assertEqual(self.s.control("POST", "/admin/index", {"paths": ["relative"]}).status, 400)
        self.assertEqual(self.s.control("POST", "/admin/index", {"paths": ["/tmp"], "collection": "x",
                                                                 "chunk_size": 100,
                                                                 "chunk_overlap": 100}).status, 400)

    def test_a_file_that_cannot_be_read_says_why(self):
        up = self.upload([("broken.docx", b"PK\x03\x04 no archive"), ("boat.txt", BOAT)], collection_name="half")
        job = self.until_done(up["job_id"])
        self.assertEqual((job["phase"], job["added"], job["skipped"]), ("done", 1, 1))
        self.assertEqual(job["skips"][0]["source"], "broken.docx")
        self.assertTrue(job["skips"][0]["reason"])
        self.assertEqual(self.list("half", state="failed")["total"], 1)

    def test_events(self):
        up = self.upload([(f"{i}.md", LEASE * (i + 1)) for i in range(8)], collection_name="events")
        got = self.ask("GET", f"/rag/jobs/{up['job_id']}", headers={"Accept": "text/event-stream"})
        self.assertTrue(got.headers["content-type"].startswith("text/event-stream"))
        events = [e[6:] for e in got.body.decode().split("\n\n") if e.startswith("data: ")]
        self.assertEqual(events[-1], "[DONE]")
        last = json.loads(events[-2])
        self.assertEqual((last["phase"], last["added"]), ("done", 8))
        self.assertEqual(last["embedded"], last["to_embed"])

    # ---- Folders of the machine ----

    def folder(self, **files):
        top = os.path.join(self.s.home, uuid.uuid4().hex)
        os.makedirs(top)
        for name, text in files.items():
            with open(os.path.join(top, name.replace("_", ".")), "w", encoding="utf-8") as f:
                f.write(text)
        return top

    def index(self, top, collection, **more):
        got = self.s.control("POST", "/admin/index", {"paths": [top], "collection": collection, **more})
        self.assertEqual(got.status, 202, got)
        return self.until_done(got.json["job_id"], ask=self.s.control)

    def test_a_folder(self):
        top = self.folder(lease_md=LEASE, boat_txt=BOAT)
        job = self.index(top, "folder")
        self.assertEqual((job["phase"], job["added"], job["embedded"]), ("done", 2, job["chunks"]))
        job = self.index(top, "folder")
        self.assertEqual((job["added"], job["unchanged"]), (0, 2))
        os.remove(os.path.join(top, "boat.txt"))
        self.assertEqual(self.index(top, "folder")["removed"], 1)
        self.assertEqual([d["title"] for d in self.list("folder")["documents"]], ["Lease"])

    def test_a_job_is_cancelled(self):
        top = self.folder(**{f"f{i}_md": LEASE * 20 + f"\nNumber {i}.\n" for i in range(60)})
        got = self.s.control("POST", "/admin/index", {"paths": [top], "collection": "cancelled"})
        self.s.control("DELETE", f"/rag/jobs/{got.json['job_id']}")
        job = self.until_done(got.json["job_id"], ask=self.s.control)
        self.assertIn(job["phase"], ("cancelled", "done"))

    def test_an_upload_is_cancelled(self):
        names = [f"{i}.md" for i in range(120)]
        self.until_done(self.upload([(n, BOAT) for n in names], collection_name="back")["job_id"])
        up = self.upload([(n, f"# New\n\n{n}\n" + LEASE * 40) for n in names + ["new.md"]],
                         collection_name="back")
        self.ask("DELETE", f"/rag/jobs/{up['job_id']}")
        self.assertIn(self.until_done(up["job_id"])["phase"], ("cancelled", "done"))
        end = time.monotonic() + 60
        while any(self.list("back", state=s)["total"] for s in ("queued", "words")):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        found = self.list("back", limit=1000)["documents"]
        old = [d for d in found if d["bytes"] == len(BOAT)]
        self.assertGreater(len(old), 0, "the worker read them all before the cancel came")
        self.assertNotIn("new.md", [d["source"] for d in found])
        self.assertEqual({d["state"] for d in found}, {"ready"})

    # ---- What a restart finds ----

    def test_a_start_sweeps_what_no_document_names(self):
        lost = "ab" + "c0" * 31
        with Server(model=EMBEDDER) as s:
            body, headers = form([("boat.txt", BOAT)], collection_name="swept")
            self.assertEqual(s.ask("POST", "/rag/documents", body, headers=headers).status, 202)
            folder = os.path.join(s.data, "blobs", lost[:2])
            os.makedirs(folder, exist_ok=True)
            path = os.path.join(folder, lost[2:])
            with open(path, "w", encoding="utf-8") as f:
                f.write("of nobody")
            os.utime(path, (1, 1))
            s.stop()
            with Server(model=EMBEDDER, data=s.data) as again:
                end = time.monotonic() + 60
                while os.path.exists(path):
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.05)
                doc = again.get("/rag/documents?collection=swept").json["documents"][0]
                got = again.get(f"/rag/documents/{doc['document_id']}/content?source=true")
                self.assertEqual(got.body, BOAT.encode())

    def test_another_start_goes_on(self):
        with Server(model=EMBEDDER) as s:
            body, headers = form([(f"{i}.md", LEASE * 30) for i in range(20)], collection_name="later")
            got = s.ask("POST", "/rag/documents", body, headers=headers)
            self.assertEqual(got.status, 202, got)
            s.process.kill()
            s.process.wait()
            with Server(model=EMBEDDER, data=s.data) as again:
                end = time.monotonic() + 120
                while True:
                    found = again.get("/rag/documents?collection=later").json
                    states = {d["state"] for d in found["documents"]}
                    if states == {"ready"}:
                        break
                    self.assertLess(time.monotonic(), end, states)
                    time.sleep(0.1)
                self.assertEqual(found["total"], 20)


class Rights(Documents):
    """A server with keys; the tests above with one that may all, and more."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = {"all": cls.s.new_key("--scope", "rag"),
                    "sales": cls.s.new_key("--scope", "rag", "--tag", "sales"),
                    "board": cls.s.new_key("--scope", "rag", "--tag", "board"),
                    "reader": cls.s.new_key("--scope", "rag", "--read-only")}

    def setUp(self):
        self.key = self.keys["all"]

    def test_tags(self):
        self.until_done(self.upload([("open.txt", "Open to all. " + BOAT)], collection_name="tagged")["job_id"])
        self.key = self.keys["board"]
        self.upload([("plan.txt", "The secret plan.")], status=422, collection_name="tagged")
        self.upload([("plan.txt", "The secret plan.")], status=422, collection_name="tagged", access_tags="sales")
        up = self.upload([("plan.txt", "The secret plan.")], collection_name="tagged", access_tags='["board"]')
        self.until_done(up["job_id"])
        plan = up["documents"][0]["document_id"]
        self.assertEqual({d["source"] for d in self.list("tagged")["documents"]}, {"open.txt", "plan.txt"})

        self.key = self.keys["sales"]
        found = self.list("tagged")
        self.assertEqual((found["total"], [d["source"] for d in found["documents"]]), (1, ["open.txt"]))
        for path in ("", "/chunks", "/content", "/content?source=true&collection=tagged"):
            self.ask("GET", f"/rag/documents/{plan}{path}", status=404)
        self.ask("GET", f"/rag/jobs/{up['job_id']}", status=404)
        self.assertEqual(self.ask("GET", "/rag/jobs").json["jobs"], [])
        self.ask("DELETE", f"/rag/documents/{plan}", status=404)
        self.ask("DELETE", "/rag/documents?collection=tagged&source=plan.txt", status=404)
        self.ask("DELETE", "/rag/documents?collection=tagged&source=open.txt", status=404)  # not theirs to change
        self.upload([("plan.txt", "Mine.")], status=422, collection_name="tagged", access_tags="sales")
        self.upload([("new.txt", "Mine.")], status=403, collection_name="of-sales", access_tags="sales")

        self.key = self.keys["reader"]
        self.upload([("x.txt", "x")], status=403, collection_name="tagged")
        self.ask("DELETE", f"/rag/documents/{plan}?collection=tagged", status=403)

        self.key = self.keys["board"]
        self.assertEqual(self.ask("GET", f"/rag/documents/{plan}/content").body, b"The secret plan.")
        self.ask("DELETE", f"/rag/documents/{plan}")


if __name__ == "__main__":
    unittest.main()
