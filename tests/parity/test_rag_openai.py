#!/usr/bin/env python3
"""The official `openai` client for Python asks documents: a collection is a model called "rag:NAME", and
what the answer leans on stands in `annotations`, whole and streamed."""
import os
import sys

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

import harness  # noqa: E402
from server import Server  # noqa: E402

try:
    import openai
except ImportError as why:
    print(f"skipped: {why}; make test installs it")
    sys.exit(77)

LOCKER = ("Über the door of a parcel locker hangs a lamp. The code of the locker is valid for seven days; "
          "after that the parcel goes back to the sender.")
FEES = "Storage of a parcel is free for three days. From the fourth day on, each day costs 1.50 euros."
QUESTION = "How long is the code of a locker valid?"


class Documents(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--ctx", "1024")
        cls.addClassCleanup(cls.server.close)
        for name, text, source in (("lockers", LOCKER, "locker.txt"), ("fees", FEES, "https://example.org/fees")):
            got = cls.server.post("/rag/index", {"collection_name": name, "documents": [
                {"text": text, "metadata": {"source": source, "title": f"About {name}"}}]})
            assert got.status == 201, got
        cls.clients = {}
        for name, args in (("both", ("--scope", "infer,rag")), ("infer", ("--scope", "infer")),
                           ("fees", ("--scope", "infer,rag", "--collection", "fees"))):
            cls.clients[name] = openai.OpenAI(base_url=cls.server.url + "/v1", max_retries=0,
                                              api_key=cls.server.new_key(*args))
            cls.addClassCleanup(cls.clients[name].close)

    def ask(self, question=QUESTION, model="rag:lockers", who="both", before=(), **options):
        return self.clients[who].chat.completions.create(
            model=model, messages=[*before, {"role": "user", "content": question}], **options)

    def is_annotation(self, a, content, text, url=None):
        self.assertEqual(a.type, "url_citation")
        u, d = a.url_citation, a.document
        self.assertRegex(content[u.start_index:u.end_index], rf"^\[{d['number']}\]$")
        self.assertEqual(text.encode()[d["start_pos"]:d["end_pos"]].decode(), d["text"])
        self.assertRegex(u.url, url or rf"/rag/documents/{d['document_id']}/content\?range=\d+-\d+&collection=\w+$")

    def test_whole(self):
        got = self.ask()
        message = got.choices[0].message
        self.assertEqual((got.object, got.model), ("chat.completion", "rag:lockers"))
        self.assertIn("seven days", message.content)
        self.assertEqual((message.role, got.choices[0].finish_reason), ("assistant", "stop"))
        self.assertGreater(len(message.annotations), 0)
        for a in message.annotations:
            self.is_annotation(a, message.content, LOCKER)
            self.assertEqual(a.url_citation.title, "About lockers")
        self.assertIsNotNone(got.usage)

    def test_a_url_is_its_own(self):
        got = self.ask("What does the fourth day of storage cost?", model="rag:fees").choices[0].message
        self.assertIn("1.50", got.content)
        for a in got.annotations:
            self.is_annotation(a, got.content, FEES, r"^https://example\.org/fees$")

    def test_streamed(self):
        content, annotations, reasons, role = "", [], [], None
        for chunk in self.ask(stream=True, stream_options={"include_usage": True}):
            if not chunk.choices:
                self.assertIsNotNone(chunk.usage)
                continue
            choice = chunk.choices[0]
            self.assertEqual(reasons, [])
            role = choice.delta.role or role
            content += choice.delta.content or ""
            annotations += getattr(choice.delta, "annotations", None) or []
            reasons += [choice.finish_reason] if choice.finish_reason else []
        self.assertEqual((role, reasons), ("assistant", ["stop"]))
        whole = self.ask().choices[0].message
        self.assertEqual(content, whole.content)
        self.assertEqual([a["document"] for a in annotations], [a.document for a in whole.annotations])

    def test_the_model_answers(self):
        got = self.ask(model="rag:lockers@nexus-mini", max_completion_tokens=12, temperature=0)
        self.assertEqual(got.model, "rag:lockers@nexus-mini")
        self.assertIsInstance(got.choices[0].message.annotations, list)
        self.assertGreater(got.usage.completion_tokens, 0)
        text = "".join(c.choices[0].delta.content or "" for c in self.ask(
            model="rag:lockers@nexus-mini", max_completion_tokens=12, temperature=0, stream=True))
        self.assertEqual(text, got.choices[0].message.content)

    def test_what_no_document_says(self):
        got = self.ask("Which volcanoes are there in Iceland?").choices[0].message
        self.assertEqual((got.content, got.annotations), ("The documents do not say.", []))

    def test_after_a_conversation(self):
        got = self.ask("How long is it valid?", before=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Tell me about the code of a locker."}]},
            {"role": "assistant", "content": "It opens the door."}])
        self.assertIn("seven days", got.choices[0].message.content)

    def test_models(self):
        listed = {who: {m.id for m in client.models.list() if m.id.startswith("rag:")}
                  for who, client in self.clients.items()}
        self.assertEqual(listed, {"both": {"rag:lockers", "rag:fees"}, "infer": set(), "fees": {"rag:fees"}})
        self.assertEqual(self.clients["both"].models.retrieve("rag:fees").id, "rag:fees")
        with self.assertRaises(openai.NotFoundError):
            self.clients["fees"].models.retrieve("rag:lockers")

    def test_refusals(self):
        for kind, how in ((openai.NotFoundError, {"model": "rag:nowhere"}),
                          (openai.PermissionDeniedError, {"who": "infer"}),
                          (openai.PermissionDeniedError, {"who": "fees"}),
                          (openai.PermissionDeniedError, {"who": "fees", "model": "rag:nowhere"}),
                          (openai.NotFoundError, {"model": "rag:lockers@nobody"}),
                          (openai.BadRequestError, {"n": 2})):
            with self.assertRaises(kind, msg=str(how)):
                self.ask(**how)
        with self.assertRaises(openai.BadRequestError):
            self.clients["both"].chat.completions.create(
                model="rag:lockers", messages=[{"role": "system", "content": "x"}])


if __name__ == "__main__":
    harness.main()
