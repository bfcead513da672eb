"""Protects the model cache: what `nexus pull` leaves there huggingface_hub takes as its own, and what
huggingface_hub fetched loads here by name."""
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import harness  # noqa: E402
from fake_hub import Hub  # noqa: E402

ASK = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download("org/mini", local_files_only=sys.argv[1] == "local",
                        allow_patterns=["*.gguf"]))
"""


class Cache(unittest.TestCase):
    def setUp(self):
        self.hub = Hub()
        self.home = tempfile.TemporaryDirectory()
        with open(harness.SHIPPED, "rb") as f:
            self.hub.add("org/mini", {"mini.Q8_0.gguf": f.read(), "README.md": b"hello"})
        self.env = {"HF_HOME": self.home.name, "HF_ENDPOINT": self.hub.url, "HF_TOKEN": "",
                    "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "*",
                    "http_proxy": ""}

    def tearDown(self):
        self.hub.close()
        self.home.cleanup()

    def theirs(self, how):
        p = subprocess.run([sys.executable, "-c", ASK, how], capture_output=True, timeout=120,
                           env={**os.environ, **self.env}, check=False)
        self.assertEqual(p.returncode, 0, p.stderr.decode())
        return p.stdout.decode().strip()

    def ours(self, *args):
        done = harness.nexus(*args, env=self.env)
        self.assertEqual(done.rc, 0, done)
        return done.out.decode().strip()

    def test_they_find_ours(self):
        path = self.ours("pull", "org/mini")
        self.assertEqual(self.theirs("local"), os.path.dirname(path))
        self.hub.sent.clear()
        self.assertEqual(self.theirs("online"), os.path.dirname(path))
        self.assertEqual(self.hub.sent, {}, "nothing is fetched twice")

    def test_we_find_theirs(self):
        folder = self.theirs("online")
        self.ours("generate", "-m", "org/mini", "-p", "Hello", "-n", "1")
        self.hub.sent.clear()
        self.assertEqual(os.path.dirname(self.ours("pull", "org/mini:Q8_0")), folder)
        self.assertEqual(self.hub.sent, {}, "nothing is fetched twice")


if __name__ == "__main__":
    harness.main()
