"""`nexus serve` on a Unix socket and over TLS: asked by curl and by Python, whole and streamed; certificates
and sockets that are wrong; what is left when it ends."""
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import unittest
import warnings

import harness
from harness import Case

sys.path.insert(0, os.path.join(harness.ROOT, "tests", "soak"))
import rig  # noqa: E402

QUESTION = {"prompt": "A page cache is", "max_tokens": 8, "temperature": 0, "ignore_eos": True}


def curl(*args):
    if not shutil.which("curl"):
        raise unittest.SkipTest("skipped: no curl")
    return subprocess.run(["curl", "-sS", "--max-time", "60", *args], capture_output=True, check=False)


def events(raw):
    return [e[6:] for e in raw.split(b"\n\n") if e.startswith(b"data: ")]


class Serving(Case):
    def start(self, *args, data=None):
        """`nexus serve` until its block is there."""
        p = rig.Process([harness.NEXUS, "serve", "--data", "{data}", *args], data=data)
        self.addCleanup(p.close)
        p.wait_until(lambda: "\n  stop " in p.err, "its block", 30)
        p.wait_until(lambda: p.control("GET", "/readyz")[0] == 200, "readiness")
        return p

    def refuses(self, *args, data=None):
        p = rig.Process([harness.NEXUS, "serve", "--data", "{data}", *args], data=data)
        self.addCleanup(p.close)
        self.assertEqual(p.p.wait(timeout=30), 1, p.err)
        return p.err

    def both_ways(self, ask):
        """ask(body) gives the answer's bytes: whole and streamed they say the same."""
        whole = json.loads(ask(QUESTION))["choices"][0]["text"]
        got = events(ask({**QUESTION, "stream": True}))
        self.assertEqual(got[-1], b"[DONE]")
        text = "".join(json.loads(e)["choices"][0]["text"] for e in got[:-1])
        self.assertEqual(text, whole)
        self.assertTrue(whole)


class UnixSocket(Serving):
    def test_curl_and_python(self):
        path = os.path.join(self.tmp, "nexus.sock")
        server = self.start("--listen", f"unix:{path}")
        self.assertIn(f"unix:{path}", server.err)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.both_ways(lambda body: curl("--unix-socket", path, "-N", "http://localhost/v1/completions",
                                         "-H", "Content-Type: application/json", "-d",
                                         json.dumps(body)).stdout)

        def python(body):
            c = rig.UnixConnection(path, 60)
            try:
                return rig.Process.ask_on(c, "POST", "/v1/completions", body)[1]
            finally:
                c.close()
        self.both_ways(python)
        # The line that it prints to try.
        line = server.err[server.err.index("curl "):]
        command = line[:line.index("}'") + 2].replace("\\\n", " ")
        done = subprocess.run(["sh", "-c", command.replace("curl ", "curl -sS ", 1)], capture_output=True,
                              timeout=60, check=False)
        self.assertIn(b"chat.completion", done.stdout, done.stderr)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.p.wait(timeout=20), 0)
        self.assertFalse(os.path.exists(path))

    def test_no_port_is_open(self):
        path = os.path.join(self.tmp, "nexus.sock")
        server = self.start("--listen", f"unix:{path}", "--port", "0")
        with open(f"/proc/{server.p.pid}/net/tcp", encoding="ascii") as f:
            listening = {line.split()[9] for line in f.readlines()[1:] if line.split()[3] == "0A"}
        ours = {os.stat(f"/proc/{server.p.pid}/fd/{fd}").st_ino
                for fd in os.listdir(f"/proc/{server.p.pid}/fd")
                if os.path.exists(f"/proc/{server.p.pid}/fd/{fd}")}
        self.assertFalse({int(i) for i in listening} & ours)

    def test_stale_and_busy(self):
        path = os.path.join(self.tmp, "nexus.sock")
        first = self.start("--listen", f"unix:{path}")
        err = self.refuses("--listen", f"unix:{path}")
        self.assertIn("in use", err)
        first.signal(signal.SIGKILL)
        first.p.wait()
        self.assertTrue(os.path.exists(path))
        self.start("--listen", f"unix:{path}", data=first.data)    # over what the dead one left
        self.file("text", b"not a socket")
        self.assertIn("no socket", self.refuses("--listen", f"unix:{os.path.join(self.tmp, 'text')}"))
        self.assertIn("socket path", self.refuses("--listen", f"unix:{self.tmp}/{'x' * 120}"))

    def test_one_server_a_folder(self):
        first = self.start("--port", "0")
        err = self.refuses("--port", "0", data=first.data)
        self.assertIn(first.data, err)


class Tls(Serving):
    def certificate(self, name="server"):
        if not shutil.which("openssl"):
            raise unittest.SkipTest("skipped: no openssl")
        cert, key = (os.path.join(self.tmp, f"{name}.{ext}") for ext in ("crt", "key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        return cert, key

    def test_curl_and_python(self):
        cert, key = self.certificate()
        server = self.start("--port", "0", "--tls-cert", cert, "--tls-key", key)
        url = server.err.split("address ")[1].split()[0]
        self.assertTrue(url.startswith("https://"), url)
        port = int(url.rsplit(":", 1)[1])
        self.both_ways(lambda body: curl("--cacert", cert, "-N", f"https://localhost:{port}/v1/completions",
                                         "-H", "Content-Type: application/json", "-d",
                                         json.dumps(body)).stdout)
        context = ssl.create_default_context(cafile=cert)
        kept = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
        self.both_ways(lambda body: rig.Process.ask_on(kept, "POST", "/v1/completions", body)[1])
        self.assertIn(kept.sock.version(), ("TLSv1.2", "TLSv1.3"))
        # A body and an answer that need many records.
        text = "long words " * 40000
        status, raw = rig.Process.ask_on(kept, "POST", "/v1/tokenize", {"text": text})
        self.assertEqual(status, 200)
        ids = json.loads(raw)["tokens"]
        status, raw = rig.Process.ask_on(kept, "POST", "/v1/detokenize", {"tokens": ids})
        self.assertIn(text[:1000], json.loads(raw)["text"] if "text" in json.loads(raw) else raw.decode())
        kept.close()

    def test_old_protocols_and_strangers(self):
        cert, key = self.certificate()
        server = self.start("--port", "0", "--tls-cert", cert, "--tls-key", key)
        port = int(server.err.split("address ")[1].split()[0].rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:    # plain HTTP
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                got = s.recv(4096)
            except ConnectionError:
                got = b""
        self.assertNotIn(b"200", got)
        warnings.simplefilter("ignore", DeprecationWarning)    # of old versions: that is the point
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises(OSError), socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            old.wrap_socket(s)
        self.assertEqual(curl("--cacert", cert, f"https://localhost:{port}/livez").returncode, 0)
        # Clients that leave in the handshake and after it leave nothing behind.
        before = server.n_fds()
        context = ssl.create_default_context(cafile=cert)
        for i in range(40):
            s = socket.create_connection(("127.0.0.1", port), timeout=20)
            if i % 4 == 1:
                s.sendall(b"\x16\x03\x01\x02")
            if i % 4 > 1:
                s = context.wrap_socket(s, server_hostname="localhost")
            if i % 4 == 3:
                s.sendall(rig.post("/v1/completions", {**QUESTION, "max_tokens": 500, "stream": True}))
                s.recv(100)
            s.close()
        server.wait_until(lambda: server.n_fds() <= before, "all descriptors back", 20)
        server.wait_until(lambda: json.loads(server.control("GET", "/admin/requests")[1])["running"] == [],
                          "no request left", 20)

    def test_refusals(self):
        cert, key = self.certificate()
        other = self.certificate("other")[1]
        text = self.file("text.pem", b"hello")
        for args, word in (((cert, None), "go together"), ((None, key), "go together"), ((cert, other), "key"),
                           ((text, key), "PEM"), ((cert, text), "PEM"), ((cert, "/nowhere"), "/nowhere")):
            options = ["--port", "0"]
            if args[0]:
                options += ["--tls-cert", args[0]]
            if args[1]:
                options += ["--tls-key", args[1]]
            self.assertIn(word, self.refuses(*options))

    def test_the_end_under_streams(self):
        cert, key = self.certificate()
        server = self.start("--port", "0", "--tls-cert", cert, "--tls-key", key)
        port = int(server.err.split("address ")[1].split()[0].rsplit(":", 1)[1])
        context = ssl.create_default_context(cafile=cert)
        streams = []
        for _ in range(10):
            s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60),
                                    server_hostname="localhost")
            s.sendall(rig.post("/v1/completions", {**QUESTION, "max_tokens": 60, "stream": True}))
            streams.append([s, s.recv(10)])
        server.signal(signal.SIGTERM)
        for pair in streams:
            while not pair[1].endswith(b"0\r\n\r\n"):
                more = pair[0].recv(65536)
                self.assertTrue(more, pair[1][-200:])
                pair[1] += more
            self.assertIn(b"data: [DONE]", pair[1])
            pair[0].close()
        self.assertEqual(server.p.wait(timeout=20), 0)


if __name__ == "__main__":
    harness.main()
