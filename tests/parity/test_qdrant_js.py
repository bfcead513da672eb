#!/usr/bin/env python3
"""The official Qdrant client for JavaScript against the server: starts it, makes keys, and runs
qdrant_js/test.mjs, whose sixty calls judge. Skips where Node or the package is missing (tools/node.sh)."""
import os
import subprocess
import sys
import unittest

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

import harness  # noqa: E402
from server import Server  # noqa: E402

JUDGE = os.environ.get("NX_QDRANT_JS") or os.path.join(ROOT, "build", "qdrant_js")


class JavaScript(harness.Case):
    def test_sixty_calls(self):
        if not os.path.exists(os.path.join(JUDGE, "node_modules", "@qdrant", "js-client-rest")):
            raise unittest.SkipTest("no build/qdrant_js here; make test installs it, given Node 20")
        with Server(ready=False) as s:
            done = subprocess.run(["node", os.path.join(JUDGE, "test.mjs"), s.url,
                                   s.new_key("--scope", "rag,admin"), s.new_key("--scope", "infer")],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=300, check=False)
            print(done.stdout)
            self.assertEqual(done.returncode, 0)
            self.assertIsNone(s.process.poll(), s.err)


if __name__ == "__main__":
    harness.main()
