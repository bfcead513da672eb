#!/usr/bin/env python3
"""Protects `make demo`, the first thing a newcomer runs: three right answers, each with a source whose bytes, read back
here from the files themselves, hold the words that the answer relies on; and nothing left behind, also after Ctrl-C."""
import os
import re
import signal
import subprocess
import time

import harness
from harness import Case

# The words that a right answer contains.
WORDS = ["Tomasz Wilk", "180 days", "11,400 euros"]
SECONDS = 60  # on a loaded machine; half a minute is the promise


class Demo(Case):
    def start(self):
        env = harness.environment(TMPDIR=self.tmp)
        return subprocess.Popen([os.path.join(harness.ROOT, "tools", "demo.sh"), harness.NEXUS], env=env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True)

    def cited(self, block):
        """The bytes of each source in a block: from its file; where they are of its text, as they were shown."""
        for shown in re.findall(r"(?m)^\[\d+\] .* of its text\n((?:    .*\n?)+)", block):
            yield shown
        for path, begin, end in re.findall(r"(?m)^\[\d+\] (\S+?),(?: \".*\",)? bytes (\d+)-(\d+)$", block):
            with open(os.path.join(harness.ROOT, path), "rb") as f:
                yield f.read()[int(begin):int(end)].decode()

    def test_three_cited_answers(self):
        p = self.start()
        out, err = p.communicate(timeout=SECONDS)
        self.assertEqual(p.returncode, 0, err + out)
        blocks = re.split(r"(?m)^> ", out.split("\n\n\nNow with your own")[0])[1:]
        self.assertEqual(len(blocks), len(WORDS), out)
        for block, words in zip(blocks, WORDS):
            self.assertIn(words, block.split("\n[1]")[0], block)
            self.assertTrue(any(words in text for text in self.cited(block)), block)
        self.assertEqual(os.listdir(self.tmp), [])

    def test_interrupted(self):
        p = self.start()
        time.sleep(1)
        os.killpg(p.pid, signal.SIGINT)
        p.communicate(timeout=30)
        self.assertEqual(p.returncode, 130)
        self.assertEqual(os.listdir(self.tmp), [])


if __name__ == "__main__":
    harness.main()
