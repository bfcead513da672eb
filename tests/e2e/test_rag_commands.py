#!/usr/bin/env python3
"""Protects `nexus index`, `search`, `ask`, `reindex` and `chat --rag`: the same with a server and without one. What
stands in a folder is found, cited with bytes that hold it, followed when it changes, and gone when it is gone; a run
that was stopped goes on; what can't be read is named."""
import json
import os
import re
import signal
import subprocess
import time

import harness
from harness import Case, nexus
from server import Server

EMBEDDING = os.path.join(harness.ROOT, "models", "all-minilm-l6-v2.gguf")

PAPERS = {
    "bakery.md": """# The bakery

## Opening

The bakery on Mill Street opens at half past six in the morning, and closes at two in the afternoon.

## Bread

Rye bread costs four crowns and eighty. On Thursdays there is walnut bread, but only until it is sold out.
""",
    "harbour.txt": "The harbour master is called Sigrid Aune. Boats longer than eleven metres moor at the outer pier, where "
                   "a night costs thirty crowns.\n\nThe crane lifts up to four tonnes and is booked a week ahead.\n",
    "sub/library.html": "<html><head><title>Library</title></head><body><h1>Library</h1><p>Books are lent for three "
                        "weeks. A lost card is replaced for two crowns.</p></body></html>",
    "people.csv": "name,job,phone\nSigrid Aune,harbour master,4417\nPer Lie,baker,4402\nAnna Moe,librarian,4420\n",
}


class Alone(Case):
    """Each command opens the data folder itself."""

    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.tmp, "data")
        self.folder = os.path.join(self.tmp, "papers")
        for name, text in PAPERS.items():
            self.write(name, text)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return path

    def run_on(self, command, *args, **how):
        return nexus(command, "--data", self.data, *args, **how)

    def index(self, *args, **how):
        return self.ok(self.run_on("index", self.folder, "--collection", "town", *args, **how))

    def counts(self, *args):
        """files, new, changed, unchanged, gone, left out: the summary's first line."""
        out = self.index(*args).out.decode()
        return [int(n) for n in re.findall(r"\d+", out.splitlines()[0])], out

    def ask(self, question, *args, **how):
        return self.ok(self.run_on("ask", question, "--collection", "town", *args, **how))

    def passages(self, words, *args):
        return self.ok(self.run_on("search", words, "--collection", "town", "--json", *args)).json["documents"]

    def sources(self, words):
        return [os.path.relpath(d["metadata"]["source"], self.folder) for d in self.passages(words, "-k", "20")]

    # ---- Found, and cited ----

    def test_found_and_cited(self):
        n, _ = self.counts()
        self.assertEqual(n, [4, 4, 0, 0, 0, 0])
        out = self.ok(self.run_on("search", "walnut bread", "--collection", "town", "-k", "1")).out.decode()
        self.assertIn("On Thursdays there is walnut bread", out)
        place = re.match(r'\[1\] (\S.*?)(?:, ".*?")?, bytes (\d+)-(\d+)', out)
        self.assertTrue(place and place[1].endswith("papers/bakery.md"), out)
        with open(os.path.join(self.folder, "bakery.md"), "rb") as f:
            self.assertIn(b"walnut", f.read()[int(place[2]):int(place[3])])
        best = self.passages("harbour master", "-k", "1")[0]
        self.assertGreater(best["score"], 0)
        self.assertIn("Sigrid", best["text"])

    def test_an_answer_and_its_words(self):
        self.index("-q")
        out = self.ask("What does a night at the outer pier cost?", "--mode", "extract", "--show-sources").out.decode()
        self.assertIn("thirty crowns", out)
        answer, _, sources = out.partition("\n\n")
        self.assertRegex(answer, r"\[1\]")
        self.assertRegex(sources, r"^\[1\] \S*papers/harbour\.txt, bytes \d+-\d+\n    ")
        self.assertIn("thirty crowns", sources)
        whole = self.ask("What does a night at the outer pier cost?", "--mode", "extract", "--json").json
        self.assertEqual((whole["used_rag"], whole["mode"]), (True, "extract"))
        self.assertTrue(all(s["metadata"]["source"].endswith("harbour.txt") for s in whole["sources"]))

    def test_what_no_document_tells(self):
        self.index("-q")
        out = self.ask("Who composed the opera about the flying Dutchman?", "--mode", "extract").out.decode()
        self.assertEqual(out.strip(), "The documents do not say.")

    def test_explain_and_modes(self):
        self.index("-q")
        for mode in ("hybrid", "dense", "words"):
            self.assertEqual(self.sources_of("crane", "--mode", mode)[0], "harbour.txt", mode)
        out = self.ok(self.run_on("search", "crane", "--collection", "town", "--explain", "-k", "1")).out.decode()
        self.assertRegex(out, r"why:\n +\S")
        done = self.ok(self.run_on("search", "crane", "--collection", "town", "--min-score", "1"))
        self.assertEqual(done.out, b"")
        self.assertIn("nothing", done.err)

    def sources_of(self, words, *args):
        return [os.path.relpath(d["metadata"]["source"], self.folder) for d in self.passages(words, *args)]

    # ---- Kept as the folder is ----

    def test_a_second_run_reads_what_changed(self):
        self.index("-q")
        self.assertEqual(self.counts()[0], [4, 0, 0, 4, 0, 0])
        self.write("bakery.md", PAPERS["bakery.md"] + "\n## Cakes\n\nA wedding cake is ordered nine days ahead.\n")
        os.remove(os.path.join(self.folder, "harbour.txt"))
        self.write("new.txt", "The ferry to Little Holm leaves at seven.\n")
        self.assertEqual(self.counts()[0], [4, 1, 1, 2, 1, 0])
        self.assertIn("bakery.md", self.sources("wedding cake"))
        self.assertIn("new.txt", self.sources("ferry"))
        self.assertNotIn("harbour.txt", self.sources("crane outer pier harbour"))

    def test_what_is_left_out_is_named(self):
        self.write("broken.docx", b"PK\3\4 and nothing more")
        self.write("noise.bin", bytes(range(256)) * 8)
        self.write("old.log", "a line\n")
        n, out = self.counts("--exclude", "*.log")
        self.assertEqual(n[1], 4)
        self.assertRegex(out, r"(?m)^  \S*broken\.docx: \S+")
        self.assertNotIn("old.log", out)
        self.assertEqual(self.run_on("search", "a line", "--collection", "town", "--json").rc, 0)

    def test_tags_and_metadata(self):
        self.index("--tag", "staff", "--metadata", "year=2026", "--metadata", "part=the harbour")
        found = self.passages("crane", "-k", "1")[0]["metadata"]
        self.assertEqual((found["year"], found["part"]), ("2026", "the harbour"))

    def test_stopped_and_gone_on_with(self):
        for k in range(200):
            self.write(f"many/{k:03}.txt", "".join(f"Sentence {j} of paper {k} speaks of item {k * 31 + j}.\n\n"
                                                   for j in range(40)))
        p = subprocess.Popen([harness.NEXUS, "index", self.folder, "--collection", "town", "--data", self.data],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=harness.environment())
        time.sleep(1.5)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130, err)
        self.assertIn(b"goes on", err)
        n, _ = self.counts("--keep-gone")
        self.assertEqual(n[0], 204)
        self.assertEqual(n[1] + n[2] + n[3], 204)
        self.assertEqual(self.counts()[0], [204, 0, 0, 204, 0, 0])
        done = self.ok(self.run_on("collection", "export", "town"))
        points = [json.loads(line)["payload"] for line in done.out.splitlines()]
        papers = [p["source"] for p in points if p["kind"] == "document"]
        self.assertEqual(len(papers), 204)
        self.assertEqual(len(set(papers)), 204)
        chunks = [(p["doc_id"], p["chunk_id"]) for p in points if p["kind"] == "chunk"]
        self.assertEqual(len(set(chunks)), len(chunks))

    def test_watch(self):
        p = subprocess.Popen([harness.NEXUS, "index", self.folder, "--collection", "town", "--data", self.data,
                              "--watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=harness.environment())
        try:
            os.set_blocking(p.stderr.fileno(), False)
            self.until(p, "watching")
            self.write("late.txt", "The lighthouse keeper feeds a one-eyed cat.\n")
            self.until(p, "1 new")
        finally:
            p.send_signal(signal.SIGINT)
            p.communicate(timeout=60)
        self.assertEqual(p.returncode, 0)
        self.assertIn("late.txt", self.sources("one-eyed cat"))

    def until(self, p, words, seconds=60):
        seen, end = "", time.monotonic() + seconds
        while words not in seen:
            self.assertLess(time.monotonic(), end, seen)
            self.assertIsNone(p.poll(), seen)
            time.sleep(0.05)
            seen += (p.stderr.read() or b"").decode()

    # ---- Conversation ----

    def test_chat(self):
        self.index("-q")
        done = self.ok(self.run_on("chat", "--rag", "town", "--mode", "extract",
                                   stdin="When does the bakery open?\nAnd when does it close?\n".encode()))
        out = done.out.decode()
        self.assertIn("half past six", out)
        self.assertIn("two in the afternoon", out)
        self.assertGreaterEqual(len(re.findall(r"(?m)^\[1\] \S*bakery\.md", out)), 2, out)

    def test_generate(self):
        self.index("-q")
        done = self.ask("What is the crane for?", "--mode", "generate", "-n", "40", "--temp", "0")
        self.assertTrue(done.out.strip())
        whole = self.ask("What is the crane for?", "--mode", "generate", "-n", "40", "--json").json
        self.assertEqual(whole["mode"], "generate")

    # ---- What is refused ----

    def test_hints(self):
        for command, args in (("search", ["crane"]), ("ask", ["crane"]), ("reindex", ["--model", EMBEDDING])):
            words = [command] + (["nowhere"] + args if command == "reindex" else args + ["--collection", "nowhere"])
            done = self.run_on(*words)
            self.assertEqual(done.rc, 1, str(done))
            self.assertIn("nexus index FOLDER --collection nowhere", done.err)

    def test_misuse(self):
        self.refused(nexus("index"), 2, "no PATH")
        self.refused(nexus("search"), 2, "no words")
        self.refused(nexus("ask"), 2, "no QUESTION")
        self.refused(nexus("index", self.folder, "--overlap", "40", "--chunk-size", "40"), 2, "--overlap")
        self.refused(nexus("index", self.folder, "--metadata", "year"), 2, "KEY=VALUE")
        self.refused(nexus("index", os.path.join(self.tmp, "none")), 1, "none", "no such file")
        self.refused(nexus("reindex", "town"), 2, "--model")
        self.refused(nexus("chat", "--rag", "town", "--system", "Be brief."), 2, "--rag")


class WithServer(Alone):
    """A server runs over the folder, and does the work."""

    def setUp(self):
        super().setUp()
        self.server = Server("--model", "second=" + EMBEDDING, data=self.data)
        self.addCleanup(self.server.close)

    def test_reindex(self):
        self.index("-q")
        out = self.ok(self.run_on("reindex", "town", "--model", "second")).out.decode()
        self.assertIn("second", out)
        self.assertEqual(self.sources_of("crane", "-k", "1"), ["harbour.txt"])
        self.assertEqual(self.counts()[0], [4, 0, 0, 4, 0, 0])

    def test_the_old_one_serves_while_it_moves(self):
        for i in range(250):
            self.write(f"note{i}.txt", f"Note {i}: barrel {i * 7} is kept in cellar {i % 13}, behind the {i % 5}th door.\n")
        self.index("-q")
        moving = subprocess.Popen([harness.NEXUS, "reindex", "town", "--model", "second", "--data", self.data],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        n = 0
        while moving.poll() is None:
            got = self.server.post("/rag/search", {"query": "crane", "collection_name": "town", "min_score": 0,
                                                   "search": "words"})
            self.assertEqual(got.status, 200, got)
            self.assertIn("harbour.txt", got.json["documents"][0]["metadata"]["source"])
            self.assertEqual(self.server.get("/rag/collections").json, ["town"])
            n += 1
        self.assertEqual(moving.returncode, 0, moving.stderr.read().decode())
        moving.stderr.close()
        self.assertGreater(n, 1)
        got = self.server.get("/rag/documents?collection=town&state=ready").json
        self.assertEqual(got["total"], 254)

    def test_the_server_leaves_meanwhile(self):
        for i in range(300):
            self.write(f"note{i}.txt", f"Note {i}: barrel {i * 7} is kept in cellar {i % 13}, behind the {i % 5}th door.\n")
        p = subprocess.Popen([harness.NEXUS, "index", self.folder, "--collection", "town", "--data", self.data],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        end = time.monotonic() + 60
        while self.server.get("/rag/documents?collection=town&limit=1").status != 200:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        self.server.process.kill()
        self.server.process.wait()
        said = p.communicate(timeout=60)[1].decode()
        self.assertEqual(p.returncode, 1, said)
        self.assertIn("the server left without an answer", said)

    def test_an_empty_question_says_what_is_wrong(self):
        self.index("-q")
        self.refused(self.run_on("search", "", "--collection", "town"), 1, "query: expected a string of 1 to")


if __name__ == "__main__":
    harness.main()
