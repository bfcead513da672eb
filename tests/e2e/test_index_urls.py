"""Protects the network around us: `nexus index URL` goes only where it was allowed, also when a page sends it on, and
what it is sent ends in a clear line.
"""
import gzip
import http.server
import os
import socket
import threading
import unittest

import harness

PAGE = b"<title>Web</title><p>The lighthouse was built in 1871.</p>"


class Pages(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        to = self.server.sends_to.get(self.path)
        if to:
            self.send_response(302)
            self.send_header("Location", to)
            self.end_headers()
        elif self.path in ("/page", "/bomb"):
            packed = self.path == "/bomb"
            body = gzip.compress(b"\0" * 100000000, 1) if packed else PAGE
            self.send_response(200)
            self.send_header("Content-Type", "text/plain" if packed else "text/html")
            if packed:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif self.path == "/endless":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                pass    # it had heard enough
        else:
            self.send_error(404)


def site(case, host="127.0.0.1"):
    server = http.server.ThreadingHTTPServer((host, 0), Pages)
    server.asked, server.sends_to = [], {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    case.addCleanup(server.server_close)
    case.addCleanup(server.shutdown)
    server.port = server.server_address[1]
    server.url = f"http://127.0.0.1:{server.port}"
    return server


class Addresses(harness.Case):
    def index(self, *urls, allow=()):
        options = [o for host in allow for o in ("--allow-url", host)]
        said = self.ok(harness.nexus("index", *urls, "--data", os.path.join(self.tmp, "data"), "--collection", "w",
                                     "--json", *options)).json
        return said, {s["source"]: s["reason"] for s in said["skips"]}

    def test_nothing_is_fetched_that_nobody_allowed(self):
        s = site(self)
        for allow in ((), ("localhost",), ("example.org",), (f"127.0.0.1:{s.port + 1}",)):
            said, why = self.index(s.url + "/page", allow=allow)
            self.assertEqual((said["added"], said["skipped"]), (0, 1), allow)
            self.assertIn("not allowed (--allow-url)", why[s.url + "/page"])
        self.assertEqual(s.asked, [])

    def test_where_a_page_sends_it(self):
        s, other = site(self), site(self)
        refused = {
            "/private": ("http://192.168.1.1/", "not allowed"),
            "/cloud": ("http://169.254.169.254/latest/", "not allowed"),
            "/name": (f"http://localhost:{other.port}/page", "not allowed"),
            "/port": (f"{other.url}/page", "not allowed"),
            "/number": (f"http://2130706433:{other.port}/page", "not allowed"),
            "/six": (f"http://[::1]:{other.port}/page", "not allowed"),
            "/file": ("file:///etc/passwd", "not a URL of a web page"),
            "/gopher": ("gopher://127.0.0.1/", "only http and https"),
            "/user": (f"http://127.0.0.1:{s.port}@localhost:{other.port}/page", "a name or a password"),
            "/round": (s.url + "/round", "more than 5 redirects"),
        }
        s.sends_to = {path: to for path, (to, _) in refused.items()} | {"/good": "/page"}
        said, why = self.index(s.url + "/good", *(s.url + path for path in refused), allow=(f"127.0.0.1:{s.port}",))
        self.assertEqual((said["added"], said["skipped"]), (1, len(refused)), said)
        for path, (_, words) in refused.items():
            self.assertIn(words, why[s.url + path])
        self.assertEqual(other.asked, [])

    def test_what_is_sent(self):
        s = site(self)
        said, why = self.index(*(s.url + p for p in ("/page", "/missing", "/endless", "/bomb")),
                               allow=(f"127.0.0.1:{s.port}",))
        self.assertEqual((said["added"], said["skipped"]), (1, 3), said)
        for path, words in (("/missing", "404"), ("/endless", "the limit"), ("/bomb", "the limit")):
            self.assertIn(words, why[s.url + path])

    def test_a_name_of_a_private_address(self):
        name = socket.gethostname()
        try:
            address = socket.gethostbyname(name)
        except OSError:
            raise unittest.SkipTest("skipped: this machine's name has no address") from None
        if not address.startswith(("10.", "127.", "192.168.", "172.")):
            raise unittest.SkipTest(f"skipped: {address} is public")
        s = site(self, "0.0.0.0")
        url = f"http://{name}:{s.port}/page"
        said, why = self.index(url, allow=(name,))
        self.assertEqual((said["added"], said["skipped"]), (0, 1), said)
        self.assertRegex(why[url], "no public address")
        self.assertEqual(s.asked, [])


if __name__ == "__main__":
    harness.main()
