"""Protects the table of routes: every route, with every way to send or omit a key, on every listener,
answers what its scope says and nothing else; strangers' pages and names get nowhere without keys.

The routes are read from /openapi.json, which is written from the table itself (test_openapi.c proves that
it leaves none out), so a new route is tested without a word here.
"""
import itertools
import os
import re
import time

import harness
from server import Server

OPENS, LACKS_SCOPE, UNKNOWN = "opens", "lacks the scope", "not known"


def routes_of(server):
    """(method, path, scope) of all routes, with something in the place of what is in braces."""
    found = []
    for path, item in server.control("GET", "/openapi.json").json["paths"].items():
        for method, operation in item.items():
            found.append((method.upper(), re.sub(r"\{[^}]*\}", "nothing-here", path),
                          operation["x-scope"]))
    return found


SENDS = ("POST", "PUT", "PATCH")
ASKS_FOR_MORE = ("DELETE", "/rag/documents")    # which of them: ?source=
COLLECTIONS = ("/collections", "/aliases", "/cluster")


def is_missing(method, path):
    """What isn't there is 404, but where that is the answer itself."""
    said = path.endswith("/exists") or (method, path) == ("DELETE", "/collections/nothing-here")
    return "nothing-here" in path and not said


def ways(keys):
    """Name, headers, query, and the key that they amount to (None: none at all; "": a wrong one)."""
    good, bad = keys["infer,rag,admin"], "nx-aaaaaaaa-" + "A" * 43
    yield "nothing", {}, "", None
    for name, key in keys.items():
        yield f"Bearer {name}", {"Authorization": f"Bearer {key}"}, "", name
        yield f"x-api-key {name}", {"x-api-key": key}, "", name
    wrong = {
        "empty Authorization": {"Authorization": ""},
        "Bearer alone": {"Authorization": "Bearer"},
        "Bearer and nothing": {"Authorization": "Bearer "},
        "the key without a scheme": {"Authorization": good},
        "Basic": {"Authorization": f"Basic {good}"},
        "Token": {"Authorization": f"Token {good}"},
        "Bearer:": {"Authorization": f"Bearer: {good}"},
        "Bearer glued": {"Authorization": f"Bearer{good}"},
        "Bearer bad": {"Authorization": f"Bearer {bad}"},
        "Bearer no key of ours": {"Authorization": "Bearer sk-proj-123"},
        "Bearer cut": {"Authorization": f"Bearer {good[:-1]}"},
        "Bearer with more": {"Authorization": f"Bearer {good}x"},
        "Bearer in capitals": {"Authorization": f"Bearer {good.upper()}"},
        "Bearer id alone": {"Authorization": f"Bearer {good[3:11]}"},
        "Bearer two keys": {"Authorization": f"Bearer {good}, {good}"},
        "Bearer quoted": {"Authorization": f'Bearer "{good}"'},
        "x-api-key empty": {"x-api-key": ""},
        "x-api-key bad": {"x-api-key": bad},
        "x-api-key with a scheme": {"x-api-key": f"Bearer {good}"},
        "a bad Bearer before a good x-api-key": {"Authorization": f"Bearer {bad}", "x-api-key": good},
        "Basic before a good x-api-key": {"Authorization": "Basic eDp5", "x-api-key": good},
        "Cookie": {"Cookie": f"key={good}; Authorization=Bearer {good}"},
        "Proxy-Authorization": {"Proxy-Authorization": f"Bearer {good}"},
        "X-Authorization": {"X-Authorization": f"Bearer {good}"},
        "X-Forwarded-For this machine": {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
    }
    for name, headers in wrong.items():
        yield name, headers, "", ""
    for parameter in ("key", "api_key", "api-key", "access_token", "token", "Authorization"):
        yield f"?{parameter}=", {}, f"{parameter}={good}", ""
    fine = {
        "lower case": {"authorization": f"bearer {good}"},
        "upper case": {"AUTHORIZATION": f"BEARER {good}"},
        "two spaces": {"Authorization": f"Bearer  {good}"},
        "spaces behind": {"Authorization": f"Bearer {good}   "},
        "tab and spaces around": {"Authorization": f" \t Bearer {good} \t"},
        "X-Api-Key": {"X-Api-Key": good},
        "X-API-KEY and spaces": {"X-API-KEY": f"  {good}  "},
        "a good Bearer before a bad x-api-key": {"Authorization": f"Bearer {good}", "x-api-key": bad},
        "both good": {"Authorization": f"Bearer {good}", "x-api-key": good},
    }
    for name, headers in fine.items():
        yield name, headers, "", "infer,rag,admin"


class Table(harness.Case):
    """A server with keys."""

    @classmethod
    def setUpClass(cls):
        cls.server = s = Server("--ctx", "512", "--ops-port", "0", "--access-log", "")
        cls.addClassCleanup(s.close)
        cls.routes = routes_of(s)
        # Where nobody names a collection, it is this one: there, so that reading it opens.
        s.control("POST", "/rag/index", {"documents": [{"text": "A document."}]})
        scopes = [",".join(c) for n in (1, 2, 3)
                  for c in itertools.combinations(("infer", "rag", "admin"), n)]
        cls.keys = {scope: s.new_key("--scope", scope) for scope in scopes}
        cls.keys["revoked"] = s.new_key("--scope", "infer,rag,admin")
        s.control("DELETE", f"/admin/keys/{cls.keys['revoked'][3:11]}")
        made = s.control("POST", "/admin/keys", {"name": "short", "scopes": ["infer", "rag", "admin"],
                                                 "expires_at": int(time.time()) + 1})
        cls.keys["expired"] = made.json["key"]
        time.sleep(2.1)

    def expected(self, scope, key):
        if scope == "public":
            return OPENS
        if not key or key in ("revoked", "expired"):
            return UNKNOWN
        return OPENS if scope in key.split(",") else LACKS_SCOPE

    def test_table_names_every_scope(self):
        self.assertEqual({scope for _, _, scope in self.routes} - {"rag"}, {"public", "infer", "admin"})
        self.assertGreater(len(self.routes), 25)
        for method, path, scope in self.routes:
            private = path.startswith(("/v1/", "/llm/", "/admin/", "/rag/", *COLLECTIONS)) or \
                path == "/metrics"
            if path != "/llm/health":
                self.assertEqual(scope != "public", private, (method, path))

    def test_every_route_every_way(self):
        n = 0
        for method, path, scope in self.routes:
            # A body that isn't JSON: where a key opens, the fields refuse, so nothing is changed.
            body = b"{" if method in SENDS else None
            for name, headers, query, key in ways(self.keys):
                got = self.server.ask(method, path + ("?" + query if query else ""), body, headers)
                what = f"{method} {path}, {name}: {got}"
                verdict = self.expected(scope, key)
                if verdict == UNKNOWN:
                    self.assertEqual(got.status, 401, what)
                    self.assertEqual(got.headers.get("www-authenticate"), "Bearer", what)
                elif verdict == LACKS_SCOPE:
                    self.assertEqual(got.status, 403, what)
                elif method in SENDS:
                    self.assertIn(got.status, (400, 422), what)
                elif is_missing(method, path):
                    self.assertEqual(got.status, 404, what)
                elif (method, path) == ASKS_FOR_MORE:
                    self.assertEqual(got.status, 422, what)
                else:
                    self.assertIn(got.status, (200, 302), what)
                self.assertIn("x-request-id", got.headers, what)
                if verdict != OPENS:
                    self.assertNotIn("nexus-mini", got.body.decode(), what)
                    self.is_error_of(path, got, what)
                n += 1
        print(f"{len(self.routes)} routes, {n} requests", end=" ", flush=True)

    def is_error_of(self, path, got, what):
        """In the dialect of the route."""
        if path.startswith(COLLECTIONS):
            self.assertTrue(got.headers["content-type"].startswith("text/plain"), what)
            self.assertTrue(got.body, what)
            return
        if path.startswith("/v1/"):
            self.assertEqual(set(got.json["error"]), {"message", "type", "param", "code"}, what)
            kind = "authentication_error" if got.status == 401 else "permission_error"
            self.assertEqual(got.json["error"]["type"], kind, what)
        else:
            self.assertIsInstance(got.json["detail" if path.startswith(("/llm/", "/rag/")) else "error"], str,
                                  what)

    def test_key_is_asked_before_the_body_is_read(self):
        """Who has no key can't make the server read, or learn which fields there are."""
        head = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 5000000\r\n\r\n{")
        self.assertTrue(self.server.raw(head, timeout=5).startswith(b"HTTP/1.1 401"))

    def test_same_header_twice(self):
        """Two readers could take either one."""
        good = self.keys["infer,rag,admin"].encode()
        for first, second in ((b"Bearer x", b"Bearer " + good), (b"Bearer " + good, b"Bearer x")):
            got = self.server.raw(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
                                  + first + b"\r\nAuthorization: " + second +
                                  b"\r\nConnection: close\r\n\r\n", timeout=5)
            self.assertRegex(got, rb"^HTTP/1.1 40[01]", got)

    def test_methods_and_spellings_of_paths(self):
        """No other spelling of a path leads round the key."""
        for method, path, scope in self.routes:
            if scope == "public":
                continue
            tail = path.rsplit("/", 1)
            for spelling in (path.upper(), path + "/", "/" + path, path.replace("/", "//"),
                             "/." + path, tail[0] + "/./" + tail[1], "/docs/.." + path,
                             tail[0] + "/%2e%2e" + path, path.replace("/", "%2f"), path + "%00",
                             path + "%20", path + ";x", path + "%3f", path + ".json",
                             "/%76%31" + path[3:] if path.startswith("/v1") else path + "%2f"):
                got = self.server.ask(method, spelling, b"{" if method in SENDS else None)
                # A collection's name with a slash in it is told so; /collections/ is /collections.
                told = (400, 401, 404, 405, 422) if path.startswith(COLLECTIONS) else (400, 401, 404)
                self.assertIn(got.status, told, f"{method} {spelling}: {got}")
            for other in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "get",
                          "PROPFIND", "GET\t", "X" * 40):
                got = self.server.raw(f"{other} {path} HTTP/1.1\r\nHost: localhost\r\n"
                                      f"Connection: close\r\n\r\n".encode(), timeout=5)
                self.assertRegex(got, rb"^HTTP/1\.[01] (400|401|404|405|501)", (other, path, got))

    def test_operators_port(self):
        """Probes and metrics, for whoever reaches it; of everything else it knows nothing."""
        probes = {"/startupz", "/livez", "/readyz", "/health", "/metrics"}
        seen = set()
        for method, path, _ in self.routes:
            for headers in ({}, self.server.bearer(self.keys["infer,rag,admin"])):
                got = self.server.ops(method, path, b"{" if method in SENDS else None, headers)
                if path in probes:
                    self.assertEqual(got.status, 200, f"{method} {path}: {got}")
                    seen.add(path)
                else:
                    self.assertEqual(got.status, 404, f"{method} {path}: {got}")
        self.assertEqual(seen, probes)

    def test_control_socket(self):
        """Whoever may open it (its owner) may do everything, with or without a key."""
        for method, path, _ in self.routes:
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                got = self.server.control(method, path, b"{" if method in SENDS else None, headers)
                expected = (400, 422) if method in SENDS or (method, path) == ASKS_FOR_MORE else \
                    (404,) if is_missing(method, path) else (200, 302)
                self.assertIn(got.status, expected, f"{method} {path}: {got}")
        for name in ("control.sock", "nexus.db", "pepper"):
            mode = os.stat(os.path.join(self.server.data, name)).st_mode
            self.assertEqual(mode & 0o077, 0, name)

    def test_a_key_works_from_its_creation_to_its_end(self):
        key = self.server.new_key("--scope", "infer")
        self.assertEqual(self.server.get("/v1/models", headers=self.server.bearer(key)).status, 200)
        done = harness.nexus("key", "revoke", key[3:11], "--data", self.server.data)
        self.assertEqual(done.rc, 0, str(done))
        self.assertEqual(self.server.get("/v1/models", headers=self.server.bearer(key)).status, 401)

    def test_keys_are_neither_logged_nor_counted(self):
        self.server.get("/v1/models", headers=self.server.bearer(self.keys["infer"]))
        metrics = self.server.ops("GET", "/metrics").body.decode()
        for key in self.keys.values():
            self.assertNotIn(key[12:], self.server.err)
            self.assertNotIn(key[12:], metrics)
        self.assertRegex(metrics, r'nexus_auth_failures_total\{[^}]*\} [1-9]')


class Strangers(harness.Case):
    """A server without keys: this machine alone, and no page of another site."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--ctx", "512", "--access-log", "", "--allow-host", "my.box",
                            "--cors-origin", "https://app.example")
        cls.addClassCleanup(cls.server.close)

    def test_hosts(self):
        port = self.server.port
        for host in ("localhost", f"localhost:{port}", "127.0.0.1", f"127.0.0.1:{port}", "127.1.2.3",
                     "[::1]", f"[::1]:{port}", "LOCALHOST", "my.box", f"My.Box:{port}"):
            self.assertEqual(self.server.get("/v1/models", headers={"Host": host}).status, 200, host)
        for host in ("evil.com", f"evil.com:{port}", "localhost.evil.com", "127.0.0.1.evil.com",
                     "evil.com:127.0.0.1", "evillocalhost", "my.box.evil.com", "notmy.box", "[::1", "",
                     "[::1].evil.com", "[::1]evil.com", "localhost@evil.com", "localhost evil.com",
                     "0.0.0.0", "10.0.0.1", "127.0.0.1evil.com", "localhost:80:evil.com", "localhost,x"):
            for path in ("/v1/models", "/admin/keys", "/health", "/docs", "/openapi.json"):
                got = self.server.get(path, headers={"Host": host})
                self.assertIn(got.status, (400, 403), f"{host!r} {path}: {got}")
                if host.startswith("evil.com") and got.status == 403:
                    self.assertIn("--allow-host", got.body.decode())

    def test_origins(self):
        for origin in ("http://evil.com", "https://app.example.evil.com", "http://app.example",
                       "https://app.example:444", "null", "", "http://127.0.0.1:1", "file://",
                       "https://evil.com://127.0.0.1", f"https://evil.com://127.0.0.1:{self.server.port}",
                       f"http://evil.com/?://127.0.0.1:{self.server.port}"):
            for method, path, body in (("GET", "/v1/models", None), ("POST", "/llm/generate", b"{}"),
                                       ("POST", "/admin/stop", b""), ("OPTIONS", "/v1/models", None)):
                got = self.server.ask(method, path, body, {"Origin": origin})
                self.assertEqual(got.status, 403, f"{method} {path} {origin!r}: {got}")
                self.assertNotIn("access-control-allow-origin", got.headers)
        self.assertIsNone(self.server.process.poll())

    def test_allowed_origin(self):
        origin = "https://app.example"
        got = self.server.ask("OPTIONS", "/v1/chat/completions", None, {
            "Origin": origin, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"})
        self.assertEqual(got.status, 204, str(got))
        self.assertEqual(got.headers["access-control-allow-origin"], origin)
        self.assertIn("POST", got.headers["access-control-allow-methods"])
        for header in ("authorization", "content-type", "x-api-key"):
            self.assertIn(header, got.headers["access-control-allow-headers"].lower())
        self.assertNotIn("access-control-allow-credentials", got.headers)
        got = self.server.get("/v1/models", headers={"Origin": origin})
        self.assertEqual((got.status, got.headers["access-control-allow-origin"]), (200, origin))
        self.assertEqual(got.headers["vary"].lower(), "origin")
        self.assertIn("x-request-id", got.headers["access-control-expose-headers"])
        got = self.server.post("/llm/generate", {"prompt": ""}, headers={"Origin": origin})
        self.assertEqual((got.status, got.headers["access-control-allow-origin"]), (422, origin))
        with_host = self.server.ask("GET", "/v1/models", None, {"Origin": origin, "Host": "evil.com"})
        self.assertEqual(with_host.status, 403)

    def test_our_own_page(self):
        host = f"127.0.0.1:{self.server.port}"
        got = self.server.post("/llm/generate", {"prompt": ""},
                               headers={"Host": host, "Origin": f"http://{host}"})
        self.assertEqual(got.status, 422, str(got))

    def test_a_form_can_not_ask(self):
        """Pages may send forms and plain text anywhere without asking; browsers say Origin then."""
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
            got = self.server.ask("POST", "/admin/stop", b"", {"Content-Type": kind,
                                                               "Origin": "http://evil.com"})
            self.assertEqual(got.status, 403, kind)


class Any(harness.Case):
    def test_star(self):
        with Server("--ctx", "512", "--cors-origin", "*") as s:
            got = s.get("/v1/models", headers={"Origin": "http://any.where"})
            self.assertEqual(got.status, 200)
            self.assertIn(got.headers["access-control-allow-origin"], ("*", "http://any.where"))


class Stop(harness.Case):
    """/admin/stop, which no test of all routes may call."""

    def test_only_for_administrators(self):
        with Server("--ctx", "512", "--ops-port", "0") as s:
            infer, admin = s.new_key("--scope", "infer,rag"), s.new_key("--scope", "admin")
            for headers, status in (({}, 401), (s.bearer(infer), 403), (s.bearer(admin + "x"), 401)):
                self.assertEqual(s.ask("POST", "/admin/stop", b"", headers).status, status)
            self.assertEqual(s.ops("POST", "/admin/stop", b"", s.bearer(admin)).status, 404)
            for body in (b"[]", b"5", b'{"drain": -1}', b'{"drain": "x"}', b'{"drain": 86401}'):
                self.assertEqual(s.ask("POST", "/admin/stop", body, s.bearer(admin)).status, 400)
            self.assertEqual(s.ask("GET", "/admin/stop", None, s.bearer(admin)).status, 405)
            self.assertIsNone(s.process.poll())
            got = s.post("/admin/stop", {"drain": 7}, headers=s.bearer(admin))
            self.assertEqual((got.status, got.json["status"], got.json["drain"]), (200, "stopping", 7))
            self.assertEqual(s.process.wait(timeout=20), 0)

    def test_without_a_body(self):
        with Server("--ctx", "512", "--drain", "3") as s:
            got = s.ask("POST", "/admin/stop")
            self.assertEqual((got.status, got.json["drain"]), (200, 3), str(got))
            self.assertEqual(s.process.wait(timeout=20), 0)


class Exposure(harness.Case):
    def test_not_beyond_this_machine_without_a_key(self):
        data = os.path.join(self.tmp, "data")
        for host in ("0.0.0.0", "::", "192.0.2.1"):
            done = harness.nexus("serve", "--host", host, "--port", "0", "--data", data,
                                 "-m", harness.SHIPPED, timeout=30)
            self.refused(done, 1, host, "nexus key create")
            self.assertNotIn("is listening", done.err)
        for host in ("127.0.0.1", "localhost", "127.0.0.2"):
            with Server("--host", host, data=data):
                pass

    def test_with_a_key(self):
        data = os.path.join(self.tmp, "data")
        self.ok(harness.nexus("key", "create", "--data", data))
        with Server("--host", "0.0.0.0", data=data) as s:
            self.assertEqual(s.get("/v1/models").status, 401)
            # Names don't matter where keys do.
            self.assertEqual(s.get("/v1/models", headers={"Host": "box.example"}).status, 401)
            self.assertEqual(s.get("/health", headers={"Host": "box.example"}).status, 200)

    def test_the_last_key_gone_does_not_open_the_door(self):
        """Revoking keys must never turn a server with keys into one without."""
        data = os.path.join(self.tmp, "data")
        key = self.ok(harness.nexus("key", "create", "--data", data)).out.decode().strip()
        with Server(data=data) as s:
            self.assertEqual(s.get("/v1/models").status, 401)
            self.ok(harness.nexus("key", "revoke", key[3:11], "--data", data))
            self.assertEqual(s.get("/v1/models", headers=s.bearer(key)).status, 401)
            self.assertEqual(s.get("/v1/models").status, 401)


if __name__ == "__main__":
    harness.main()
