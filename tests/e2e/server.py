"""A `nexus serve` of one's own, for tests: starts, is asked, ends. Python's standard library only.

    with Server("--ctx", "1024") as s:
        s.get("/v1/models").json["data"]
        s.post("/llm/generate", {"prompt": "Hi"}, headers=s.bearer(key))
        s.raw(b"GET / HTTP/1.1\\r\\n\\r\\n")

The port is a free one, read from the block that the server prints; the data folder is new and goes with
the server, unless one is given. What the server writes lies in files: nothing waits for a reader.
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import harness

START_S = 60


class Reply:
    """A whole answer. headers: names in lower case."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.headers}\n  {self.body[:600]!r}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(connection, method, path, body=None, headers=None):
    """One request on a connection of its own. body: bytes as they are, anything else as JSON."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = {}
        for name, value in answer.getheaders():
            found.setdefault(name.lower(), value)
        return Reply(answer.status, found, answer.read())
    finally:
        connection.close()


class Server:
    """Options are those of `nexus serve`. ready=False: don't wait for the model."""

    def __init__(self, *args, data=None, model=harness.SHIPPED, ready=True, env=None):
        self.home = tempfile.mkdtemp(prefix="nexus-")
        self.data = data or os.path.join(self.home, "data")
        self.args = ["serve", "--port", "0", "--data", self.data]
        if model:
            self.args += ["--model", model]
        self.args += args
        self.out_path = os.path.join(self.home, "out")
        self.err_path = os.path.join(self.home, "err")
        self.process = None
        self.port = self.ops_port = None
        try:
            self._start(ready, env or {})
        except BaseException:
            self.close()
            raise

    def _start(self, ready, env):
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen([harness.NEXUS, *self.args], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, env=harness.environment(**env))
        self._until(lambda: re.search(r"^  stop ", self.err, re.M), "its block")
        found = re.search(r"^  address +https?://.*?:(\d+) ", self.err, re.M)
        self.port = int(found[1]) if found else None
        found = re.search(r"^  operators +port (\d+)", self.err, re.M)
        self.ops_port = int(found[1]) if found else None
        if ready:
            self._until(lambda: self.control("GET", "/readyz").status == 200, "readiness")

    def _until(self, there, what):
        end = time.monotonic() + START_S
        while not there():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended ({self.process.returncode}): {self.err}")
            if time.monotonic() > end:
                raise RuntimeError(f"no {what} after {START_S} s: {self.err}")
            time.sleep(0.02)

    # ---- What it wrote ----

    @property
    def err(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    @property
    def log(self):
        """The access log: one object a line."""
        with open(self.out_path, encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    # ---- Asking ----

    def ask(self, method, path, body=None, headers=None, port=None, timeout=60):
        return ask(http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout),
                   method, path, body, headers)

    def get(self, path, **how):
        return self.ask("GET", path, **how)

    def post(self, path, body, **how):
        return self.ask("POST", path, body, **how)

    def ops(self, method, path, body=None, headers=None):
        return self.ask(method, path, body, headers, port=self.ops_port)

    def control(self, method, path, body=None, headers=None, timeout=60):
        """By the socket in the data folder: whoever may open it may do everything."""
        return ask(UnixConnection(os.path.join(self.data, "control.sock"), timeout), method, path,
                   body, headers)

    def connect(self, timeout=60, port=None):
        return socket.create_connection(("127.0.0.1", port or self.port), timeout=timeout)

    def raw(self, data, timeout=60):
        """Send bytes, read until the server closes or is silent for timeout; what came."""
        with self.connect(timeout) as s:
            got = b""
            try:
                s.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass    # it had heard enough
            try:
                while True:
                    more = s.recv(65536)
                    if not more:
                        break
                    got += more
            except (TimeoutError, ConnectionResetError):
                pass
            return got

    @staticmethod
    def bearer(key):
        return {"Authorization": f"Bearer {key}"}

    def new_key(self, *args):
        """`nexus key create`, through the running server: the key."""
        done = harness.nexus("key", "create", "--data", self.data, *args)
        if done.rc:
            raise RuntimeError(str(done))
        return done.out.decode().strip()

    def under_way(self):
        """Requests that run or wait: (running, waiting)."""
        got = self.control("GET", "/admin/requests").json
        return len(got["running"]), len(got["waiting"])

    def until_idle(self, seconds=5):
        """Wait until nothing runs or waits; whether that came in time."""
        end = time.monotonic() + seconds
        while self.under_way() != (0, 0):
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    # ---- The end ----

    def stop(self, sig=signal.SIGTERM, seconds=60):
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(timeout=seconds)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()
