#!/usr/bin/env python3
"""/openapi.json beside the server that it describes. openapi-spec-validator says whether it is OpenAPI
3.1; schemathesis makes requests of it, well-formed and not, and looks at each answer: no 500, no
undocumented status or type, no body or event that breaks its schema.

NX_SCHEMATHESIS_CASES: how many requests at least (default 300; make torture: 5000).
"""
import collections
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

import harness  # noqa: E402
from server import Server  # noqa: E402

try:
    import openapi_spec_validator
    import schemathesis
except ImportError as why:
    print(f"skipped: {why}; make test installs it")
    sys.exit(77)

CASES = int(os.environ.get("NX_SCHEMATHESIS_CASES", "300"))
SECONDS = 60 + CASES // 5
HOOKS = os.path.join(ROOT, "tests", "parity", "schemathesis_hooks.py")

# positive_data_acceptance isn't asked: that a token isn't in the vocabulary, that a prompt is longer
# than the context, that an expiry has passed: no schema can know.
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_headers_conformance", "response_schema_conformance", "negative_data_rejection",
          "missing_required_header", "unsupported_method", "allow_header_conformance",
          "use_after_free", "ignored_auth"]


# What this server can't give: it has no reranker (test_rerankers.py asks one), files are the control
# socket's (test_collection.py), and documents come as files (test_documents.py).
NEVER_GIVEN = ("/admin/stop", "/v1/rerank", "/admin/backup", "/admin/collections/",
               "/admin/index", "/admin/reindex", "/rag/documents")


def run(server, key, report, *, phases, examples, seed):
    """One run of schemathesis; its output. The one route that isn't asked ends the server."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", server.url + "/openapi.json",
               "--header", f"Authorization: Bearer {key}", "--exclude-path", "/admin/stop",
               "--checks", ",".join(CHECKS), "--phases", phases,
               "--max-examples", str(examples), "--seed", str(seed), "--max-redirects", "0",
               "--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off",
               "--request-timeout", "120", "--no-color"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SECONDS * 10, check=False, cwd=report,
                          env={**os.environ, "NX_KEY_ID": key[3:11], "SCHEMATHESIS_HOOKS": HOOKS})
    return done.returncode, done.stdout


def cases_of(output):
    found = re.search(r"^ +(\d+) generated", output, re.M)
    return int(found[1]) if found else 0


class Description(harness.Case):
    @classmethod
    def setUpClass(cls):
        # A short context: 256 prompts that each go on to its end are answered in time.
        cls.server = Server("--ctx", "128", "--max-new-tokens", "32", "--parallel", "8",
                            model="mini=" + harness.SHIPPED)
        cls.addClassCleanup(cls.server.close)
        cls.key = cls.server.new_key("--scope", "infer,rag,admin")
        # The collection of the alias in the description's example.
        cls.server.control("PUT", "/collections/docs-2", {"vectors": {"size": 4, "distance": "Dot"}})
        # Names that it reads in answers it gives to collections of vectors: these are of documents already.
        for name in ("knowledge_base", "handbook"):
            cls.server.control("POST", "/rag/index", {"collection_name": name, "documents": [
                {"text": "The page cache keeps parts of files in free memory."}]})

    def test_is_openapi(self):
        document = self.server.get("/openapi.json").json
        self.assertEqual(document["openapi"], "3.1.0")
        openapi_spec_validator.validate(document)

    def test_keeps_its_word(self):
        seed, cases, began = int(time.time()) if CASES > 300 else 1, 0, time.monotonic()
        phases = "examples,coverage,fuzzing" if CASES > 300 else "examples,fuzzing"
        while cases < CASES:
            operations = sum(len(item) for item in
                             self.server.get("/openapi.json").json["paths"].values())
            each = max(1, (CASES - cases) // operations + 1)
            with tempfile.TemporaryDirectory() as folder:
                code, output = run(self.server, self.key, folder, phases=phases, examples=each,
                                   seed=seed)
            self.assertEqual(code, 0, output)
            self.assertGreater(cases_of(output), 0, output)
            cases += cases_of(output)
            seed, phases = seed + 1, "fuzzing"
        print(f"schemathesis {schemathesis.__version__}: {cases} cases, "
              f"{time.monotonic() - began:.0f} s")
        self.assertIsNone(self.server.process.poll(), self.server.err)
        self.was_let_in()
        self.assertTrue(self.server.until_idle())
        got = self.server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 3},
                               headers=self.server.bearer(self.key))
        self.assertEqual(got.status, 200, str(got))

    def was_let_in(self):
        """Most requests got past the key, and every route gave what was asked for at least once."""
        seen = collections.defaultdict(collections.Counter)
        for line in self.server.log:
            seen[line["method"], line.get("route")][line["status"]] += 1
        all_of_them = sum(seen.values(), collections.Counter())
        self.assertLess(all_of_them[401], sum(all_of_them.values()) / 2, all_of_them)
        for path, item in self.server.get("/openapi.json").json["paths"].items():
            for method in item:
                statuses = seen[method.upper(), path.replace("{model}", "{model+}")]
                if not path.startswith(NEVER_GIVEN) and "{" not in path:
                    self.assertTrue({200, 201, 204, 302} & set(statuses), f"{method} {path} {statuses}")


if __name__ == "__main__":
    harness.main()
