"""Protects `nexus key`: a key is shown once, alone on stdout, and nothing of its secret stays on the
disk; the data folder is private and one process's; with a server there, the server is asked; every
mistake has its own words."""
import datetime
import fcntl
import http.server
import json
import os
import re
import socketserver
import stat
import subprocess
import threading
import time
import unittest

import harness
from harness import Case, nexus

KEY = r"^nx-[a-z0-9]{8}-[A-Za-z0-9_-]{43}\n$"


class Key(Case):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.tmp, "data")

    def key(self, *args, **how):
        return nexus("key", *args, "--data", self.data, **how)

    def create(self, *args):
        done = self.ok(self.key("create", *args))
        self.assertRegex(done.out.decode(), KEY)
        return done.out.decode().strip()

    def list(self):
        return self.ok(self.key("list", "--json")).json["keys"]


class Alone(Key):
    """Without a server."""

    def test_life_of_a_key(self):
        text = self.create("--name", "Zoë", "--scope", "infer", "--scope", "admin", "--priority", "low",
                           "--rpm", "60", "--tokens-per-day", "50000", "--expires", "30d")
        row, = self.list()
        self.assertEqual(row["id"], text[3:11])
        self.assertEqual((row["name"], row["scopes"], row["priority"]), ("Zoë", ["infer", "admin"], "low"))
        self.assertEqual((row["requests_per_minute"], row["tokens_per_day"]), (60, 50000))
        self.assertAlmostEqual(row["created_at"], time.time(), delta=60)
        self.assertEqual(row["expires_at"] - row["created_at"], 30 * 86400)
        self.assertIsNone(row["revoked_at"])
        self.assertIsNone(row["last_used_at"])
        table = self.ok(self.key("list")).out.decode()
        for word in (row["id"], "Zoë", "valid", "infer,admin", "low", "60", "50000"):
            self.assertIn(word, table)
        done = self.ok(self.key("revoke", row["id"]))
        self.assertEqual(done.out, b"")
        self.assertIn(row["id"], done.err)
        first = self.list()[0]["revoked_at"]
        self.assertAlmostEqual(first, time.time(), delta=60)
        again = self.ok(self.key("revoke", "--json", text)).json    # the whole key names it too
        self.assertEqual(again, {"id": row["id"], "revoked_at": first})
        self.assertIn("revoked", self.ok(self.key("list")).out.decode())

    def test_json_and_defaults(self):
        got = self.ok(self.key("create", "--json")).json
        self.assertRegex(got["key"] + "\n", KEY)
        self.assertEqual(list(got), ["id", "key", "name", "scopes", "priority", "requests_per_minute",
                                     "tokens_per_day", "created_at", "expires_at", "collections",
                                     "read_only", "tags"])
        self.assertEqual(got["scopes"], ["infer", "rag"])
        self.assertEqual((got["name"], got["priority"], got["expires_at"]), ("", "normal", None))

    def test_advice_is_not_on_stdout(self):
        done = self.ok(self.key("create"))
        self.assertIn("shown this once", done.err)
        self.assertNotIn(done.out.decode().strip(), done.err)

    def test_nothing_of_the_secret_stays(self):
        text = self.create("--name", "x")
        self.assertEqual(stat.S_IMODE(os.stat(self.data).st_mode), 0o700)
        for name in os.listdir(self.data):
            path = os.path.join(self.data, name)
            with open(path, "rb") as f:
                self.assertNotIn(text[12:].encode(), f.read(), name)
            if name != "lock":
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, name)

    def test_expiry_by_date(self):
        self.create("--expires", "2096-02-29")
        self.assertEqual(self.list()[0]["expires_at"],
                         int(datetime.datetime(2096, 2, 29, tzinfo=datetime.timezone.utc).timestamp()))

    def test_place_of_the_folder(self):
        self.ok(nexus("key", "create", env={"NEXUS_DATA": os.path.join(self.tmp, "a")}))
        self.ok(nexus("key", "create", env={"XDG_DATA_HOME": os.path.join(self.tmp, "b")}))
        self.ok(nexus("key", "create", env={"XDG_DATA_HOME": "", "HOME": os.path.join(self.tmp, "c")}))
        for path in ("a", "b/nexus", "c/.local/share/nexus"):
            self.assertTrue(os.path.exists(os.path.join(self.tmp, path, "nexus.db")), path)

    def test_many_at_once(self):
        runs = [subprocess.Popen([harness.NEXUS, "key", "create", "--data", self.data],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=harness.environment()) for _ in range(8)]
        keys = set()
        for p in runs:
            out, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
            keys.add(out)
        self.assertEqual(len(keys), 8)
        self.assertEqual(len(self.list()), 8)

    def test_mistakes(self):
        for args, words in [
            ([], ["create, list or revoke"]),
            (["craete"], ["did you mean 'create'"]),
            (["create", "--scope", "infer,root"], ["--scope", "'root'"]),
            (["create", "--scope", ""], ["--scope"]),
            (["create", "--priority", "urgent"], ["--priority"]),
            (["create", "--rpm", "-1"], ["--rpm"]),
            (["create", "--tokens-per-day", "99999999999999999"], ["--tokens-per-day"]),
            (["create", "--expires", "soon"], ["--expires", "'soon'"]),
            (["create", "--expires", "0d"], ["--expires"]),
            (["create", "--expires", "2001-01-01"], ["--expires", "past"]),
            (["create", "--expires", "2096-02-30"], ["--expires"]),
            (["create", "--name", "a\nb"], ["name", "control"]),
            (["create", "--name", "x" * 101], ["name", "101"]),
            (["create", "Zoe"], ["'Zoe'", "--name"]),
            (["list", "all"], ["'all'"]),
            (["list", "--rpm", "3"], ["list", "--data"]),
            (["revoke"], ["nexus key list"]),
            (["revoke", "ABC"], ["id of a key"]),
        ]:
            with self.subTest(args=args):
                self.refused(self.key(*args), 2, *words)
        self.assertFalse(os.path.exists(self.data))
        self.refused(self.key("revoke", "abcd1234"), 1, "abcd1234")

    def test_damaged_files(self):
        self.create()
        pepper = os.path.join(self.data, "pepper")
        with open(pepper, "rb") as f:
            good = f.read()
        os.truncate(pepper, 31)
        self.refused(self.key("create"), 1, "pepper", "31 bytes", "expected 32")
        os.remove(pepper)
        self.refused(self.key("create"), 1, "pepper", "missing")
        with open(pepper, "wb") as f:
            f.write(good)
        self.create()
        with open(os.path.join(self.data, "nexus.db"), "r+b") as f:
            f.write(b"not a database at all")
        self.refused(self.key("list"), 1, "nexus.db", "not a database")

    def test_folder_that_cannot_be(self):
        self.file("data", b"")
        self.refused(self.key("list"), 1, self.data)


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        self.server.asked.append((self.command, self.path, body))
        status, reply = self.server.replies.pop(0)
        raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        return super().get_request()[0], ("unix", 0)


class WithServer(Key):
    """A server holds the folder and answers at its control socket."""

    ROW = {"id": "abcd1234", "name": "n", "scopes": ["infer"], "priority": "high",
           "requests_per_minute": 1, "tokens_per_day": 2, "created_at": 3, "expires_at": None,
           "collections": ["a"], "read_only": True, "tags": ["t"]}

    def setUp(self):
        super().setUp()
        os.mkdir(self.data, 0o700)
        self.lock = open(os.path.join(self.data, "lock"), "w", encoding="ascii")
        self.addCleanup(self.lock.close)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.lock.write("4242\n")
        self.lock.flush()

    def start(self, *replies):
        self.server = Server(os.path.join(self.data, "control.sock"), Handler)
        self.server.asked, self.server.replies = [], list(replies)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def test_create(self):
        key = "nx-abcd1234-" + "A" * 43
        self.start((201, {**self.ROW, "key": key}))
        done = self.ok(self.key("create", "--name", "n", "--scope", "infer", "--rpm", "1"))
        self.assertEqual(done.out.decode(), key + "\n")
        self.assertEqual(self.server.asked, [("POST", "/admin/keys", {
            "name": "n", "scopes": ["infer"], "priority": "normal", "requests_per_minute": 1,
            "tokens_per_day": 0, "expires_at": None, "collections": [], "read_only": False, "tags": []})])
        self.assertNotIn("nexus.db", os.listdir(self.data))

    def test_list(self):
        row = {**self.ROW, "revoked_at": 5, "last_used_at": 6}
        self.start((200, {"keys": [row]}))
        self.assertEqual(self.list(), [row])
        self.assertEqual(self.server.asked, [("GET", "/admin/keys", None)])

    def test_revoke(self):
        self.start((200, {"id": "abcd1234", "revoked_at": 7}))
        self.assertEqual(self.ok(self.key("revoke", "abcd1234", "--json")).json,
                         {"id": "abcd1234", "revoked_at": 7})
        self.assertEqual(self.server.asked, [("DELETE", "/admin/keys/abcd1234", None)])

    def test_refusals(self):
        for status, reply, words in [
            (404, {"error": "no key with the id abcd1234"}, ["no key with the id"]),
            (400, {"error": {"message": "name: too long", "type": "x"}}, ["name: too long"]),
            (500, b"oops", ["500"]),
            (200, b"oops", ["answer", "line 1"]),
            (200, {"id": "../../etc"}, ["answer", "id"]),
            (200, {"keys": 5}, ["answer", "id"]),
            (200, b"", ["answer"]),
        ]:
            with self.subTest(reply=reply):
                self.start((status, reply))
                self.refused(self.key("revoke", "abcd1234"), 1, *words)
                os.remove(os.path.join(self.data, "control.sock"))

    def test_nobody_answers(self):
        done = self.key("list")
        self.refused(done, 1, "process 4242", "control.sock")

    def test_server_that_is_late(self):
        timer = threading.Timer(0.7, lambda: self.start((200, {"keys": []})))
        timer.start()
        self.addCleanup(timer.join)
        self.assertEqual(self.list(), [])


if __name__ == "__main__":
    harness.main()
