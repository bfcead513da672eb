"""What the end-to-end tests share: the program under test, models to run it on, verdicts.

A test file is a unittest module that ends with harness.main(). It prints "N passed, N failed" and
exits 77 when everything was skipped. Python's standard library only.
"""
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEXUS = os.environ.get("NEXUS_BIN") or os.path.join(ROOT, "build", "release", "nexus")
SHARED = os.environ.get("NX_SHARED") or os.path.join(os.path.dirname(ROOT), "shared")
SHIPPED = os.path.join(ROOT, "models", "nexus-mini.gguf")
STORIES = os.path.join(SHARED, "data", "models", "stories260K.gguf")


def shared(*parts):
    """A file of the data folder, or a skip that names it."""
    path = os.path.join(SHARED, "data", *parts)
    if not os.path.exists(path):
        raise unittest.SkipTest(f"skipped: no {path}")
    return path


def any_model():
    """Some model that answers: one that learned something first, random weights where there is
    nothing else."""
    tiny = os.path.join(ROOT, "tests", "golden", "tiny-llama")
    found = [STORIES, SHIPPED]
    if os.path.isdir(tiny):
        found += sorted(os.path.join(tiny, f) for f in os.listdir(tiny) if f.endswith(".gguf"))
    for path in found:
        if os.path.exists(path) and has_vocabulary(path):
            return path
    raise unittest.SkipTest("skipped: no model at hand (../shared, tests/golden, models)")


def has_vocabulary(path):
    with open(path, "rb") as f:
        return b"tokenizer.ggml.tokens" in f.read(1 << 20)


def environment(**extra):
    """Ours, without what the user of this machine has set for nexus."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("NEXUS_") and k not in ("NO_COLOR", "TERM")}
    env.update(TERM="xterm", **extra)
    return env


class Done:
    """What a run left behind."""

    def __init__(self, args, rc, out, err):
        self.args, self.rc, self.out, self.err = args, rc, out, err

    def __str__(self):
        return (f"nexus {' '.join(map(repr, self.args))}\n  exit {self.rc}\n"
                f"  stdout {self.out[:400]!r}\n  stderr {self.err[-800:]!r}")

    @property
    def json(self):
        return json.loads(self.out.decode("utf-8"))


def nexus(*args, stdin=b"", timeout=300, env=None, **how):
    """Run the program to its end; stdout and stderr as bytes and text."""
    p = subprocess.run([NEXUS, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=timeout, env=environment(**(env or {})), check=False, **how)
    return Done(args, p.returncode, p.stdout, p.stderr.decode("utf-8"))


def gguf(metadata, tensors=(), version=3):
    """The bytes of a GGUF file. Values: int (u32), float (f32), bool, str, lists of them.
    tensors: (name, dims, type, bytes)."""
    def string(s):
        b = s if isinstance(s, bytes) else s.encode("utf-8")
        return struct.pack("<Q", len(b)) + b

    def kind(v):
        return 7 if isinstance(v, bool) else 4 if isinstance(v, int) else \
            6 if isinstance(v, float) else 8

    def plain(v):
        k = kind(v)
        return {7: lambda: struct.pack("<B", v), 4: lambda: struct.pack("<I", v),
                6: lambda: struct.pack("<f", v), 8: lambda: string(v)}[k]()

    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, v in metadata.items():
        out += string(key)
        if isinstance(v, list):
            out += struct.pack("<IIQ", 9, kind(v[0]), len(v)) + b"".join(map(plain, v))
        else:
            out += struct.pack("<I", kind(v)) + plain(v)
    data = b""
    for name, dims, t, raw in tensors:
        out += string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, t, len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    return out + b"\0" * (-len(out) % 32) + data


class Case(unittest.TestCase):
    """assert* with the whole run in the message."""

    def setUp(self):
        if not os.access(NEXUS, os.X_OK):
            self.fail(f"no program at {NEXUS}")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tmp = folder.name

    def file(self, name, content):
        path = os.path.join(self.tmp, name)
        with open(path, "wb") as f:
            f.write(content)
        return path

    def ok(self, done):
        self.assertEqual(done.rc, 0, str(done))
        return done

    def refused(self, done, rc, *words):
        """Ends with rc, nothing on stdout, one message that has all the words."""
        self.assertEqual(done.rc, rc, str(done))
        self.assertEqual(done.out, b"", str(done))
        self.assertIn("nexus: error:", done.err, str(done))
        for word in words:
            self.assertIn(word.lower(), done.err.lower(), str(done))


class Terminal:
    """A person at a terminal of 80 columns, with a home of their own."""

    def __init__(self, case, *args, home, **env):
        self.case, self.seen = case, ""
        self.fd, child_fd = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.p = subprocess.Popen([NEXUS, *args], stdin=child_fd, stdout=child_fd,
                                  stderr=child_fd, close_fds=True, start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                  env=environment(HOME=home, XDG_STATE_HOME="", NO_COLOR="1",
                                                  LANG="C.UTF-8", **env))
        os.close(child_fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def until(self, pattern, timeout=60):
        """Read on until pattern has been seen since the last call; returns what was."""
        end = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.seen, re.DOTALL)
            if found:
                before, self.seen = self.seen[:found.end()], self.seen[found.end():]
                return before
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                self.case.fail(f"never saw {pattern!r} in {self.seen!r}")
            try:
                self.seen += os.read(self.fd, 65536).decode("utf-8", "replace")
            except OSError:    # the other end is closed
                self.case.fail(f"ended before {pattern!r}: {self.seen!r}")

    def end(self):
        """Wait for the program's end; its exit code."""
        end = time.monotonic() + 60
        while select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:    # EIO: nobody holds the other end
                break
        return self.p.wait(timeout=max(1, end - time.monotonic()))

    def close(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        os.close(self.fd)


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    n_failed = len(result.failures) + len(result.errors)
    n_passed = result.testsRun - n_failed - len(result.skipped)
    for test, why in result.skipped:
        print(f"skipped: {test.id().replace('__main__.', '')}: {why}")
    print(f"{n_passed} passed, {n_failed} failed, {len(result.skipped)} skipped")
    sys.exit(1 if n_failed else 77 if n_passed == 0 else 0)
