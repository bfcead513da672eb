"""What the tests under load share: a server process, connections by the thousand in one epoll loop,
figures of /proc. Python's standard library only."""
import http.client
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.environ.get("NX_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("NX_BUILD_DIR") or os.path.join(ROOT, "build", "release")
NEXUS = os.environ.get("NEXUS_BIN") or os.path.join(BUILD, "nexus")
SHIPPED = os.path.join(ROOT, "models", "nexus-mini.gguf")
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))


def paced_server():
    for path in (os.path.join(BUILD, "tests", "soak", "paced_server"),
                 os.path.join(BUILD, "paced_server")):
        if os.access(path, os.X_OK):
            return path
    print(f"skipped: no paced_server in {BUILD}")
    sys.exit(77)


def is_sanitized():
    """Is the program built with a sanitizer? Its memory and its pace are others then."""
    with open(NEXUS, "rb") as f:
        program = f.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def allow_descriptors(n):
    """Let us have n; a machine that doesn't skips by name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n:
        print(f"skipped: needs {n} descriptors, this machine allows {hard}")
        sys.exit(77)
    if soft < n:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Process:
    """A server, ours or the product's. soft_fds: the limit of descriptors that it is born with."""

    def __init__(self, args, data=None, soft_fds=None, env=None):
        self.home = tempfile.mkdtemp(prefix="nexus-soak-")
        self.data = data or os.path.join(self.home, "data")
        self.out_path = os.path.join(self.home, "out")
        self.err_path = os.path.join(self.home, "err")
        self.port = self.ops = None
        args = [a.replace("{data}", self.data).replace("{home}", self.home) for a in args]

        def limit():
            if soft_fds:
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft_fds, hard))

        env = {**{k: v for k, v in os.environ.items() if not k.startswith("NEXUS_")}, **(env or {})}
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env,
                                      preexec_fn=limit)

    def wait_until(self, there, what, seconds=120):
        end = time.monotonic() + seconds
        while not there():
            if self.p.poll() is not None:
                raise RuntimeError(f"the server ended ({self.p.returncode}) before {what}: {self.err}")
            if time.monotonic() > end:
                raise RuntimeError(f"no {what} after {seconds} s: {self.err}")
            time.sleep(0.01)

    @property
    def out(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    @property
    def err(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    # ---- Asking ----

    def connection(self, port=None, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)

    @staticmethod
    def ask_on(c, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        c.request(method, path, body, headers)
        r = c.getresponse()
        return r.status, r.read()

    def ask(self, method, path, body=None, headers=None, port=None, timeout=60):
        c = self.connection(port, timeout)
        try:
            return self.ask_on(c, method, path, body, headers)
        finally:
            c.close()

    def control(self, method, path, body=None, timeout=60):
        c = UnixConnection(os.path.join(self.data, "control.sock"), timeout)
        try:
            return self.ask_on(c, method, path, body)
        finally:
            c.close()

    def metrics(self):
        """{line without value: value}; by the listener of the operators, if there is one."""
        status, text = self.ask("GET", "/metrics", port=self.ops or self.port)
        assert status == 200, status
        found = {}
        for line in text.decode().splitlines():
            if line and line[0] != "#":
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
        return found

    # ---- Figures ----

    def resident_kib(self):
        with open(f"/proc/{self.p.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.p.pid}/fd"))

    def n_threads(self):
        return len(os.listdir(f"/proc/{self.p.pid}/task"))

    # ---- The end ----

    def signal(self, sig):
        self.p.send_signal(sig)

    def close(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()


def paced(**options):
    """The product's server over the paced service; its models are m0, m1, ..."""
    soft_fds = options.pop("soft_fds", None)
    data = options.pop("data", None)
    s = Process([paced_server(), "data={data}", *(f"{k}={v}" for k, v in options.items())],
                data=data, soft_fds=soft_fds)
    try:
        s.wait_until(lambda: "port" in s.out and s.out.endswith("\n"), "its port")
        s.port, s.ops = map(int, re.match(r"port (\d+) ops (\d+)", s.out).groups())
    except BaseException:
        s.close()
        raise
    return s


def nexus_serve(*args, data=None, ready=True, env=None, port="0"):
    """`nexus serve` of the shipped model (unless args name another) and listeners on free ports."""
    s = Process([NEXUS, "serve", "--port", port, "--ops-port", "0", "--data", "{data}", *args],
                data=data, env=env)
    try:
        s.wait_until(lambda: re.search(r"^  stop ", s.err, re.M), "its block")
        found = re.search(r"^  address +https?://.*?:(\d+) ", s.err, re.M)
        s.port = int(found[1]) if found else None
        s.ops = int(re.search(r"^  operators +port (\d+)", s.err, re.M)[1])
        if ready:
            s.wait_until(lambda: s.ask("GET", "/readyz", port=s.ops)[0] == 200, "readiness")
    except BaseException:
        s.close()
        raise
    return s


def expected(seed, n, token_bytes=0):
    """What the paced service says (paced.h)."""
    return "".join(f"{seed}.{i}".ljust(token_bytes - 1, ".") + " " for i in range(n))


def post(path, body, headers=""):
    """The bytes of a request."""
    body = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def dechunk(raw):
    """The body of a chunked answer, and whether its end is there."""
    out, at = [], 0
    while True:
        eol = raw.find(b"\r\n", at)
        if eol < 0:
            return b"".join(out), False
        n = int(raw[at:eol], 16)
        if n == 0:
            return b"".join(out), True
        if len(raw) < eol + 2 + n:
            out.append(raw[eol + 2:])
            return b"".join(out), False
        out.append(raw[eol + 2:eol + 2 + n])
        at = eol + 2 + n + 2


class Stream:
    """One request whose answer is read as it comes."""

    def __init__(self, port, request, rcvbuf=None):
        self.request, self.raw, self.closed, self.began = request, bytearray(), False, 0.0
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setblocking(False)

    def send(self):
        self.sock.setblocking(True)
        self.sock.sendall(self.request)
        self.sock.setblocking(False)
        self.began = time.monotonic()

    def read(self):
        """What is there. True: something came."""
        try:
            more = self.sock.recv(262144)
        except BlockingIOError:
            return False
        except ConnectionError:
            more = b""
        if not more:
            self.closed = True
        self.raw += more
        return True

    @property
    def done(self):
        return self.closed or self.raw.endswith(b"0\r\n\r\n")

    @property
    def status(self):
        return int(self.raw[9:12]) if len(self.raw) > 12 else 0

    def events(self):
        """Data of all events, and whether the chunked body has its end."""
        head = self.raw.find(b"\r\n\r\n")
        body, whole = dechunk(bytes(self.raw[head + 4:])) if head >= 0 else (b"", False)
        return [e[6:].decode() for e in body.split(b"\n\n") if e.startswith(b"data: ")], whole

    def text(self):
        """The text of /v1/completions events, and what came after it: [DONE] alone, if all is well."""
        events, _ = self.events()
        text, rest = [], []
        for e in events:
            try:
                text.append(json.loads(e)["choices"][0]["text"])
            except (ValueError, KeyError, IndexError, TypeError):
                rest.append(e)
        return "".join(text), rest

    def close(self):
        self.sock.close()


def read_all(streams, until=None, seconds=120):
    """Read until all are done, or `until()` says so, or the time is over. True: all are done."""
    ep = select.epoll()
    by_fd = {}
    for s in streams:
        if not s.done:
            by_fd[s.sock.fileno()] = s
            ep.register(s.sock.fileno(), select.EPOLLIN)
    end = time.monotonic() + seconds
    while by_fd and time.monotonic() < end and not (until and until()):
        for fd, _ in ep.poll(0.05, 512):
            s = by_fd[fd]
            s.read()
            if s.done:
                ep.unregister(fd)
                del by_fd[fd]
    ep.close()
    return not by_fd


class Checks:
    """Says each thing that was looked at, and remembers what was wrong."""

    def __init__(self):
        self.failed = 0

    def __call__(self, good, what):
        print(("ok    " if good else "FAULT ") + what, flush=True)
        self.failed += not good
        return good

    def end(self):
        print("failed" if self.failed else "passed")
        sys.exit(1 if self.failed else 0)
