"""Protects the server from what comes in: slow, huge, deep, broken, contradictory. Each is answered
with a 4xx that names the field where there is one, and the server is as before: the same process
answers the same question with the same text, and nothing is left under way."""
import json
import threading
import time

import harness
from server import Server

LIMIT_MB = 1
QUESTION = {"prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 4}
GENERATE = {"prompt": "Hi", "max_new_tokens": 4}


def head(method="POST", path="/v1/completions", *lines, host="Host: localhost\r\n"):
    return (f"{method} {path} HTTP/1.1\r\n{host}" + "".join(f"{line}\r\n" for line in lines) +
            "\r\n").encode("latin-1")


def status_of(raw):
    """Of the first answer in these bytes; 0: there is none."""
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.") else 0


class BadInput(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--ctx", "512", "--parallel", "8", "--max-body", str(LIMIT_MB))
        cls.addClassCleanup(cls.server.close)
        cls.answer = cls.ask()

    @classmethod
    def ask(cls):
        got = cls.server.post("/v1/completions", QUESTION)
        assert got.status == 200, str(got)
        return got.json["choices"][0]["text"]

    def tearDown(self):
        """Whatever came: the server as before."""
        self.assertIsNone(self.server.process.poll(), self.server.err)
        self.assertEqual(self.ask(), self.answer)
        self.assertTrue(self.server.until_idle(5))
        for line in self.server.err.splitlines():
            self.assertNotIn("error", line)

    def refused(self, path, body, *words, status=None):
        """body: bytes, or an object; the words are in the message."""
        got = self.server.post(path, body, headers={"Content-Type": "application/json"})
        what = f"{path} {body if not isinstance(body, bytes) else body[:200]!r}: {got}"
        expected = status or (422 if path.startswith("/llm/") else 400)
        self.assertEqual(got.status, expected, what)
        told = got.json.get("error", got.json.get("detail"))
        for word in words:
            self.assertIn(word, json.dumps(told), what)
        return told

    def both(self, change, *words):
        """The same fault in the fields that OpenAI's chat and the contract's generate share."""
        self.refused("/v1/chat/completions", {**CHAT, **change}, *words)
        self.refused("/llm/generate", {**GENERATE, **change}, *words)

    # ---- Fields ----

    def test_numbers(self):
        for value in (-1, 0, -2**63, 2**31, 2**63, 10**30, 1.5, "4", True, [], {}, 1e300):
            if value != 2**31:
                self.refused("/v1/chat/completions", {**CHAT, "max_completion_tokens": value},
                             "max_completion_tokens")
                self.refused("/v1/completions", {**QUESTION, "max_tokens": value}, "max_tokens") \
                    if value != 0 else None
            for path, body in (("/llm/generate", GENERATE), ("/llm/chat", CHAT),
                               ("/llm/batch/generate", {"prompts": ["Hi"]})):
                self.refused(path, {**body, "max_new_tokens": value}, "max_new_tokens")
        for word in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"2.0001", b"-0.1",
                     b'"hot"', b"true", b"[]", b"1" * 400):
            for path, body in (("/v1/chat/completions", CHAT), ("/llm/generate", GENERATE)):
                text = json.dumps(body).encode()[:-1] + b', "temperature": ' + word + b"}"
                self.refused(path, text, "temperature")
        for word in (b"nan", b"+1", b".5", b"01", b"0x10", b"1.", b"1e", b"--1", b"1_0"):
            text = json.dumps(CHAT).encode()[:-1] + b', "temperature": ' + word + b"}"
            self.refused("/v1/chat/completions", text)
        self.both({"top_p": 1.1}, "top_p")
        self.refused("/llm/generate", {**GENERATE, "top_k": 201}, "top_k")
        self.refused("/llm/generate", {**GENERATE, "repetition_penalty": 0.99}, "repetition_penalty")
        self.refused("/llm/generate", {**GENERATE, "seed": -1}, "seed")
        self.refused("/v1/completions", {**QUESTION, "n": 17}, "n")
        self.refused("/v1/completions", {**QUESTION, "logprobs": 21}, "logprobs")

    def test_messages(self):
        for path in ("/v1/chat/completions", "/llm/chat"):
            for messages, where in (
                    ([], "messages"), (None, "messages"), ("Hi", "messages"), ({}, "messages"),
                    ([1], "messages"), ([None], "messages"), ([[]], "messages"), ([{}], "role"),
                    ([{"role": "user", "content": "a"}, {"role": "wizard", "content": "b"}], "role"),
                    ([{"role": 5, "content": "a"}], "role"), ([{"content": "a"}], "role"),
                    ([{"role": "user", "content": 5}], "content"),
                    ([{"role": "user", "content": "a"}] * 20000, "messages")):
                told = self.refused(path, {"messages": messages}, where)
                if isinstance(told, list):
                    self.assertEqual(told[0]["loc"][:2], ["body", "messages"], told)
                else:
                    self.assertTrue(told["param"].startswith("messages"), told)
        self.refused("/v1/chat/completions", {}, "messages")
        self.refused("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "x"}]}]},
                     "content")

    def test_text(self):
        prompt = b'{"prompt": "a\\ud800b"}'
        messages = b'{"messages": [{"role": "user", "content": "a\\ud800b"}]}'
        for path, where, lone in (("/v1/completions", "prompt", prompt), ("/llm/generate", "prompt", prompt),
                                  ("/v1/chat/completions", "content", messages),
                                  ("/llm/chat", "content", messages)):
            for bad in (b"\\ud800", b"\\udc00", b"\\udc00\\ud800", b"\\ud800\\u0041", b"\\ud83d\\ud83d"):
                self.refused(path, lone.replace(b"\\ud800", bad), where)
            for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82",
                        b"\x80"):
                self.refused(path, lone.replace(b"\\ud800", bad), where)
            for bad in (b"\x00", b"\n", b"\x1f", b"\\x41", b"\\u12", b"\\u12g4"):
                self.refused(path, lone.replace(b"\\ud800", bad))
        # U+0000 is a character like others, and a pair of surrogates one beyond the first 65,536.
        for good in ("a\0b", "\U0001F600", "\uFFFF", "\u202e"):
            got = self.server.post("/v1/completions", {**QUESTION, "prompt": good})
            self.assertEqual(got.status, 200, str(got))
        got = self.server.post("/llm/generate", {**GENERATE, "prompt": "a\0b"})
        self.assertEqual((got.status, got.json["prompt"]), (200, "a\0b"))

    def test_prompts_that_do_not_fit(self):
        long = "word " * 30000
        for path, body in (("/v1/completions", {**QUESTION, "prompt": long}),
                           ("/v1/chat/completions", {"messages": [{"role": "user", "content": long}]}),
                           ("/llm/generate", {**GENERATE, "prompt": long}),
                           ("/llm/chat", {"messages": [{"role": "user", "content": long}]})):
            told = self.refused(path, body, "512")
            if path.startswith("/v1/"):
                self.assertEqual(told["code"], "context_length_exceeded")
        self.refused("/v1/completions", {**QUESTION, "prompt": [10**9]}, "prompt")
        self.refused("/v1/completions", {**QUESTION, "prompt": [-1]}, "prompt")
        self.refused("/v1/completions", {**QUESTION, "prompt": []}, "prompt")
        self.refused("/v1/completions", {**QUESTION, "prompt": [[1], "a"]}, "prompt")
        self.refused("/v1/completions", {**QUESTION, "prompt": ""}, "prompt")
        self.refused("/v1/completions", {**QUESTION, "prompt": [1] * 100000})
        for many in (["a"] * 257, [[1]] * 257):
            self.refused("/v1/completions", {**QUESTION, "prompt": many}, "256", "257")
        self.refused("/llm/batch/generate", {"prompts": []}, "prompts")
        self.refused("/llm/batch/generate", {"prompts": ["a"] * 5000}, "prompts")
        self.refused("/v1/detokenize", {"tokens": [2**31 - 1]}, "tokens")
        self.refused("/v1/tokenize", {}, "text")

    def test_a_prompt_of_10_mb(self):
        """Above the limit: refused by its length. Below one that is large enough: by its tokens."""
        text = ("All work and no play. " * 500000)[:10 << 20]
        self.refused("/v1/completions", {"prompt": text}, "body", status=413)
        with Server("--ctx", "512", "--max-body", "16") as s:
            for path, body in (("/v1/completions", {"prompt": text}), ("/llm/generate", {"prompt": text}),
                               ("/v1/chat/completions", {"messages": [{"role": "user",
                                                                       "content": text}]})):
                began = time.monotonic()
                got = s.post(path, body)
                self.assertIn(got.status, (400, 422), str(got))
                self.assertIn("512", got.body.decode())
                self.assertLess(time.monotonic() - began, 20)
            self.assertEqual(s.post("/v1/completions", QUESTION).status, 200)

    # ---- JSON ----

    def test_json(self):
        for path in ("/v1/chat/completions", "/v1/completions", "/llm/generate", "/llm/chat",
                     "/llm/batch/generate", "/v1/tokenize", "/v1/detokenize", "/admin/models/load",
                     "/admin/models/unload", "/admin/keys", "/admin/stop"):
            for body in (b"{", b"}", b"[", b"[]", b"1", b"null", b'"x"', b"{}{}", b"{} x", b"{,}",
                         b'{"a"}', b'{"a":}', b'{"a":1,}', b"{'a':1}", b"{a:1}", b"\xef\xbb\xbf{}x",
                         b"\xff\xfe{\0}\0", b"/**/{}x", b"\0", b"{}\0", b"nul", b"<a/>", b"prompt=Hi",
                         b"[" * 100000, b'{"a":' * 100000, b"[" * 100000 + b"]" * 100000,
                         b'{"messages":' + b"[" * 100000 + b"]" * 100000 + b"}",
                         b'{"prompt":' + b'{"a":' * 100000 + b"1" + b"}" * 100000 + b"}"):
                if (path, body) != ("/admin/stop", b""):
                    self.refused(path, body)
            if path != "/admin/stop":
                self.refused(path, b"")
                self.refused(path, b"  \n")
                self.refused(path, b"{}")

    def test_fields_twice(self):
        """Two readers could take either one, and what only one of them checked must reach nobody: a
        list of texts before one of calls once ended the server."""
        text = json.dumps(GENERATE).encode()[:-1]
        self.refused("/llm/generate", text + b', "prompt": "Ho"}', "prompt")
        self.refused("/llm/generate", text + b', "max_new_tokens": 5}', "max_new_tokens")
        for twice, where in ((b'"role": "user", "role": "system"', "role"),
                             (b'"role": "user", "content": 5, "content": "x"', "content"),
                             (b'"role": "assistant", "tool_calls": ["' + b"a" * 500000 +
                              b'"], "tool_calls": []', "tool_calls"),
                             (b'"role": "assistant", "tool_calls": [{"id": "1", "type": "function", '
                              b'"function": 5, "function": {"name": "a", "arguments": "{}"}}]',
                              "tool_calls[0].function")):
            told = self.refused("/v1/chat/completions", b'{"messages": [{' + twice + b"}]}", where)
            self.assertTrue(told["param"].startswith("messages[0]." + where), told)

    def test_strange_but_fine(self):
        """Unknown fields, of any name and depth below the limit, and any type of content."""
        for extra in ({"": 1}, {"x" * 1000: None}, {"__proto__": {}}, {"a": [[[[[[[[1]]]]]]]]},
                      {"\0": "\0"}):
            self.assertEqual(self.server.post("/v1/completions", {**QUESTION, **extra}).status, 200)
        for kind in ("text/plain", "application/xml", "", "multipart/form-data; boundary=x", "x" * 300):
            got = self.server.ask("POST", "/v1/completions", json.dumps(QUESTION).encode(),
                                  {"Content-Type": kind})
            self.assertIn(got.status, (200, 400, 415), f"{kind}: {got}")

    # ---- HTTP ----

    def test_a_slow_header_is_cut(self):
        """A byte a second: the deadline (10 s) is of the whole head, not of each byte."""
        with self.server.connect(timeout=20) as s:
            began, i, got = time.monotonic(), 0, None
            text = head("GET", "/v1/models", "X-Slow: " + "y" * 100)
            s.settimeout(1)
            while got is None and time.monotonic() - began < 20:
                try:
                    s.send(text[i:i + 1])
                    i += 1
                    got = s.recv(1000)
                except TimeoutError:
                    pass
                except (ConnectionResetError, BrokenPipeError):
                    got = b""
            took = time.monotonic() - began
        self.assertIn(status_of(got) if got else 0, (0, 408), got)
        self.assertTrue(9 <= took <= 14, took)

    def test_bodies_above_the_limit(self):
        size = (LIMIT_MB << 20) + 1
        got = self.server.raw(head("POST", "/v1/completions", f"Content-Length: {size}"), timeout=3)
        self.assertEqual(status_of(got), 413, got[:300])
        got = self.server.raw(head("POST", "/v1/completions", f"Content-Length: {size}") +
                              b"x" * size, timeout=3)
        self.assertEqual(status_of(got), 413, got[:300])
        chunks = b"".join(b"10000\r\n" + b" " * 0x10000 + b"\r\n" for _ in range(40))
        got = self.server.raw(head("POST", "/v1/completions", "Transfer-Encoding: chunked") + chunks,
                              timeout=3)
        self.assertEqual(status_of(got), 413, got[:300])
        for path in ("/health", "/v1/models", "/docs"):
            got = self.server.raw(head("GET", path, f"Content-Length: {size}"), timeout=3)
            self.assertIn(status_of(got), (400, 413), got[:300])

    def test_lengths(self):
        for lines in (("Content-Length: 99999999999999999999999",),
                      ("Content-Length: 18446744073709551616",),
                      ("Content-Length: -1",), ("Content-Length: +5",), ("Content-Length: 0x5",),
                      ("Content-Length: 5 5",), ("Content-Length: 5,5",), ("Content-Length: ",),
                      ("Content-Length: five",), ("Content-Length: 5", "Content-Length: 6"),
                      ("Content-Length: 5", "Content-Length: 5"),
                      ("Content-Length: 5", "Transfer-Encoding: chunked"),
                      ("Transfer-Encoding: chunked", "Content-Length: 5"),
                      ("Transfer-Encoding: gzip",), ("Transfer-Encoding: gzip, chunked",),
                      ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
                      ("Transfer-Encoding: xchunked",), ("Transfer-Encoding:\x0bchunked",),
                      ("Transfer-Encoding: identity", "Content-Length: 5")):
            got = self.server.raw(head("POST", "/v1/completions", *lines) + b"{}\r\n\r\n", timeout=2)
            self.assertIn(status_of(got), (400, 413, 501), (lines, got[:200]))
            self.assertNotIn(b"HTTP/1.1 2", got, lines)

    def test_chunks(self):
        body = json.dumps(QUESTION).encode()
        start = head("POST", "/v1/completions", "Transfer-Encoding: chunked", "Connection: close")
        pieces = b"".join(b"%x\r\n%s\r\n" % (1, body[i:i + 1]) for i in range(len(body)))
        got = self.server.raw(start + pieces + b"0\r\n\r\n", timeout=5)
        self.assertEqual(status_of(got), 200, got)
        for bad in (b"0x5\r\n", b"+5\r\n", b"-1\r\n", b"g\r\n", b"\r\n", b"5 5\r\n",
                    b"ffffffffffffffffffff\r\n", b"5\n"):
            got = self.server.raw(start + bad + b"{}   \r\n0\r\n\r\n", timeout=2)
            self.assertIn(status_of(got), (0, 400, 413), (bad, got[:200]))

    def test_heads(self):
        paths = [head("GET", path) for path in ("/%zz", "/%0", "/%00", "/%ff", "/ /x", "\xff")]
        for text in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET /\r\n\r\n",
                     b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                     b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
                     b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                     b"GET / HTTP/1.1\nHost: localhost\n\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nname : x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nx: a\0b\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nx: a\rb\r\n\r\n",
                     b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", *paths,
                     b"G\xc3\x89T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"CONNECT evil.com:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            got = self.server.raw(text, timeout=1)
            self.assertIn(status_of(got), (0, 400, 404, 405, 501, 505), (text, got[:200]))
            self.assertNotIn(b"HTTP/1.1 200", got, text)
        long = b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertIn(status_of(self.server.raw(long, timeout=2)), (0, 400, 413, 414, 431))
        many = head("GET", "/", *[f"X-{i}: y" for i in range(10000)])
        self.assertIn(status_of(self.server.raw(many, timeout=2)), (0, 400, 413, 431))
        big = head("GET", "/", "X-Big: " + "y" * 1000000)
        self.assertIn(status_of(self.server.raw(big, timeout=2)), (0, 400, 413, 431))

    def test_methods_and_paths(self):
        for path in ("/nothing", "/v1", "/v1/", "/v1/chat", "/admin", "/docs/x", "/docs/../x", "//",
                     "/docs/%2e%2e/%2e%2e/etc/passwd", "/docs/..%2f..%2fetc%2fpasswd", "/v1%2fmodels",
                     "/V1/models", "/v1/models%20", "/\u202e", "/v1/models/", "/%5c..%5c"):
            got = self.server.ask("GET", path.replace("\u202e", "%E2%80%AE"))
            self.assertEqual(got.status, 404, f"{path}: {got}")
            self.assertEqual(got.headers["content-type"], "application/json")
        got = self.server.ask("GET", "/%76%31/%6dodels")    # only another spelling
        self.assertEqual(got.status, 200)
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
            got = self.server.ask(method, "/v1/models")
            self.assertEqual(got.status, 405, f"{method}: {got}")
            self.assertIn("GET", got.headers["allow"])
        got = self.server.ask("GET", "/v1/chat/completions")
        self.assertEqual((got.status, got.headers["allow"]), (405, "POST"))
        for path in ("/health", "/v1/models", "/openapi.json", "/docs"):
            plain, bare = self.server.ask("GET", path), self.server.ask("HEAD", path)
            self.assertEqual((bare.status, bare.body), (200, b""))
            self.assertEqual(bare.headers["content-type"], plain.headers["content-type"])

    def test_pipelining(self):
        """Three in one piece: three answers, in order; what follows a refusal isn't taken for more."""
        body = json.dumps({**QUESTION, "max_tokens": 1}).encode()
        post = head("POST", "/v1/completions", f"Content-Length: {len(body)}") + body
        last = head("GET", "/nothing", "Connection: close")
        got = self.server.raw(post + head("GET", "/health") + last, timeout=5)
        places = [got.find(b"text_completion"), got.find(b'"uptime_s"'), got.find(b"/docs")]
        self.assertEqual(places, sorted(places), got)
        self.assertEqual(got.count(b"HTTP/1.1 "), 3, got)
        self.assertNotEqual(places[0], -1, got)
        hidden = head("POST", "/v1/completions", "Content-Length: 44", "Transfer-Encoding: chunked") + \
            b"0\r\n\r\n" + head("GET", "/health")
        got = self.server.raw(hidden, timeout=2)
        self.assertEqual((status_of(got), got.count(b"HTTP/1.1 ")), (400, 1), got)

    def test_queries(self):
        for query in ("from=yesterday", "from=2026-13-01", "to=2026-02-30", "from=", "from=%zz",
                      "from=2026-1-1", "to=99999-01-01", "from=2026-01-01%00"):
            got = self.server.get("/admin/usage?" + query)
            self.assertEqual(got.status, 400, f"{query}: {got}")
        for query in ("from=2026-01-01&to=2026-12-31", "key='%20OR%201=1", "x=y", "&&&", "key=" + "k" * 5000):
            got = self.server.get("/admin/usage?" + query)
            self.assertIn(got.status, (200, 400), f"{query}: {got}")
        self.assertEqual(self.server.get("/metrics?compat=none").status, 400)

    def test_models_of_any_name(self):
        """What an administrator may load is a model; any other file does no harm."""
        import os
        fifo = os.path.join(self.tmp, "pipe.gguf")
        os.mkfifo(fifo)
        before = [m["name"] for m in self.server.get("/admin/models").json["models"]]
        broken = self.file("broken.gguf", b"GGUF" + b"\xff" * 100)
        for name in ("", " ", "none", "../../etc/passwd", "/etc/passwd", "/dev/zero", "/dev/urandom",
                     "/proc/self/mem", fifo, broken, self.tmp, "a" * 5000, "a\0b", "\n", "%s%n",
                     "http://127.0.0.1:1/x", "no/such-model", "$(reboot)", "/dev/stdin"):
            for path in ("/admin/models/load", "/admin/models/unload"):
                began = time.monotonic()
                got = self.server.post(path, {"model": name}, timeout=10)
                self.assertIn(got.status, (400, 404), f"{path} {name[:50]!r}: {got}")
                self.assertLess(time.monotonic() - began, 5)
            got = self.server.post("/v1/completions", {**QUESTION, "model": name or "x"})
            self.assertEqual(got.status, 404, f"{name[:50]!r}: {got}")
        after = [m["name"] for m in self.server.get("/admin/models").json["models"]]
        self.assertEqual(after, before)

    def test_unloading_and_loading(self):
        def put(how):
            return self.server.post(f"/admin/models/{how}", {"model": "nexus-mini"})

        body = json.dumps({**QUESTION, "max_tokens": 400, "stream": True, "ignore_eos": True}).encode()
        with self.server.connect() as s:
            s.sendall(head("POST", "/v1/completions", f"Content-Length: {len(body)}") + body)
            s.recv(1000)
            self.assertEqual(put("unload").status, 409)
        self.assertTrue(self.server.until_idle())
        end = time.monotonic() + 5
        while put("unload").status == 409 and time.monotonic() < end:    # its usage is being written
            time.sleep(0.01)
        for _ in range(2):
            got = put("unload")
            self.assertEqual((got.status, got.json["state"]), (200, "unloaded"), str(got))
        for _ in range(2):
            got = put("load")
            self.assertEqual(got.status, 200, str(got))
            self.assertIn(got.json["state"], ("loading", "ready"))
        end = time.monotonic() + 20
        while self.server.get("/readyz").status != 200 and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(put("unload").status, 200)    # and the next question loads it

    def test_leaving_early(self):
        """Half a request, or a whole one whose answer nobody waits for."""
        body = json.dumps({**QUESTION, "max_tokens": 400, "stream": True, "ignore_eos": True}).encode()
        whole = head("POST", "/v1/completions", f"Content-Length: {len(body)}") + body
        for cut in list(range(0, len(whole), 17)) + [len(whole)]:
            with self.server.connect() as s:
                s.sendall(whole[:cut])
        self.assertTrue(self.server.until_idle(5))

    def test_many_bad_at_once(self):
        """None of the above gets in the way of another."""
        bodies = [b"[" * 100000, b'{"prompt": 5}', b'{"prompt": "\xff"}', b"{", b"x" * (2 << 20),
                  json.dumps({"prompt": "word " * 20000}).encode()]
        answers, wrong = [], []

        def bad(i):
            for k in range(10):
                got = self.server.raw(head("POST", "/v1/completions", "Connection: close",
                                           f"Content-Length: {len(bodies[(i + k) % 6])}") +
                                      bodies[(i + k) % 6], timeout=20)
                if status_of(got) not in (400, 413):
                    wrong.append((i, k, got[:200]))

        def good():
            for _ in range(5):
                answers.append(self.ask())

        threads = [threading.Thread(target=bad, args=(i,)) for i in range(6)] + \
            [threading.Thread(target=good) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])
        self.assertEqual(answers, [self.answer] * 10)


if __name__ == "__main__":
    harness.main()
