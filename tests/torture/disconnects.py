"""Clients that leave at every stage of a request, by the thousand, against the real server and the model that
ships. Afterwards nothing runs or waits, no page is held, descriptors and threads are exactly as many as at
the start, and a question is answered as it was. Cancellation reaches the engine within a step.

NX_TORTURE_COUNT requests, 300 by default; the issue's run has 10,000."""
import json
import os
import random
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "soak"))
import rig  # noqa: E402

COUNT = int(os.environ.get("NX_TORTURE_COUNT", "300"))
N_CLIENTS = 24
WORDS = "the sky is blue because light of short waves is scattered more than that of long ones and so".split()


def question(r, stream, n_words=None, n_tokens=None):
    prompt = " ".join(r.choice(WORDS) for _ in range(n_words or r.randint(1, 30)))
    body = {"prompt": prompt, "max_tokens": n_tokens or r.randint(1, 40), "stream": stream,
            "temperature": r.choice([0, 1]), "seed": r.randint(0, 9999), "ignore_eos": True}
    if r.random() < 0.1:
        body["n"] = 3
    if r.random() < 0.1:
        body["logprobs"] = 3
    if r.random() < 0.2:
        return rig.post("/llm/generate", {"prompt": prompt, "max_new_tokens": body["max_tokens"],
                                          "stream": stream})
    return rig.post("/v1/completions", body)


class Client:
    """One request that ends somehow; `with` closes it, by FIN or by RST."""

    def __init__(self, port, r):
        self.r = r
        self.s = socket.socket()
        self.s.settimeout(60)
        if r.random() < 0.3:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.port, self.got = port, b""

    def connect(self):
        self.s.connect(("127.0.0.1", self.port))

    def send(self, data):
        self.s.sendall(data)

    def read_until(self, enough):
        """Until enough(got), or the end."""
        while not enough(self.got):
            more = self.s.recv(65536)
            if not more:
                return False
            self.got += more
        return True

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.s.close()


def nap(r, most_ms):
    time.sleep(r.random() * most_ms / 1000)


def while_connecting(c, r):
    c.s.setblocking(False)
    try:
        c.s.connect(("127.0.0.1", c.port))
    except BlockingIOError:
        pass


def without_a_word(c, r):
    c.connect()
    nap(r, 5)


def in_the_head(c, r):
    c.connect()
    q = question(r, True)
    c.send(q[:r.randint(1, q.find(b"\r\n\r\n") + 3)])
    nap(r, 5)


def in_the_body(c, r):
    c.connect()
    q = question(r, True)
    c.send(q[:r.randint(q.find(b"\r\n\r\n") + 4, len(q) - 1)])
    nap(r, 5)


def after_the_request(c, r):
    c.connect()
    c.send(question(r, r.random() < 0.7))


def in_the_queue(c, r):
    c.connect()
    c.send(question(r, r.random() < 0.7))
    nap(r, 30)


def in_the_prefill(c, r):
    c.connect()
    c.send(question(r, r.random() < 0.7, n_words=r.randint(200, 600)))
    nap(r, 60)


def in_the_stream(c, r):
    c.connect()
    c.send(question(r, True, n_tokens=r.randint(10, 60)))
    n = r.randint(1, 10)
    c.read_until(lambda got: got.count(b"data: ") >= n or b"[DONE]" in got or b"HTTP/1.1 429" in got)


def before_the_last_byte(c, r):
    c.connect()
    stream = r.random() < 0.7
    c.send(question(r, stream, n_tokens=r.randint(1, 8)))
    c.read_until(lambda got: b"data: " in got or len(got) > 50)


def half_closed(c, r):
    c.connect()
    c.send(question(r, r.random() < 0.7))
    c.s.shutdown(socket.SHUT_WR)
    c.read_until(lambda got: False)


def two_at_once(c, r):
    c.connect()
    c.send(question(r, True, n_tokens=3) + question(r, False, n_tokens=3))
    if r.random() < 0.5:
        c.read_until(lambda got: got.count(b"HTTP/1.1 ") >= r.randint(1, 2))


def stays(c, r):
    """To the end: and the answer is whole."""
    c.connect()
    c.send(question(r, True, n_tokens=r.randint(1, 8)))
    if not c.read_until(lambda got: got.endswith(b"0\r\n\r\n") or b"HTTP/1.1 429" in got):
        raise AssertionError(f"cut off: {c.got[-200:]!r}")
    if b"HTTP/1.1 200" in c.got and b"data: [DONE]" not in c.got:
        raise AssertionError(f"no end: {c.got[-200:]!r}")


STAGES = [while_connecting, without_a_word, in_the_head, in_the_body, after_the_request, in_the_queue,
          in_the_prefill, in_the_stream, before_the_last_byte, half_closed, two_at_once, stays]


def run(server, first, n, faults, counts):
    lock = threading.Lock()
    left = iter(range(first, first + n))

    def work():
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                return
            r = random.Random(i)
            stage = STAGES[i % len(STAGES)]
            try:
                with Client(server.port, r) as c:
                    stage(c, r)
            except ConnectionError:
                if stage is stays:
                    with lock:
                        faults.append(f"request {i}: the connection broke")
            except (AssertionError, TimeoutError) as e:
                with lock:
                    faults.append(f"request {i}, {stage.__name__}: {e!r}")
            with lock:
                counts[stage.__name__] = counts.get(stage.__name__, 0) + 1

    threads = [threading.Thread(target=work) for _ in range(N_CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def answer(server):
    status, body = server.ask("POST", "/v1/completions", {
        "prompt": "A page cache is", "max_tokens": 40, "temperature": 0, "logprobs": 2})
    assert status == 200, body
    choice = json.loads(body)["choices"][0]
    return choice["text"], choice["logprobs"]["token_logprobs"]


def held(server):
    m = server.metrics()
    time.sleep(0.05)    # until that connection is closed on the other side as well
    return (m['nexus_requests_running{model="nexus-mini"}'], m['nexus_requests_waiting{model="nexus-mini"}'],
            m['nexus_kv_cache_usage_ratio{model="nexus-mini"}'], server.n_fds(), server.n_threads())


def highest(metrics, name):
    """The upper bound of the highest bucket that has something; how many there are in all."""
    below, found = 0, 0.0
    buckets = [(k, v) for k, v in metrics.items() if k.startswith(name + "_bucket")]
    for key, n in buckets:
        if n > below:
            found, below = float(key.split('le="')[1].split('"')[0].replace("+Inf", "inf")), n
    return found, below


def main():
    check = rig.Checks()
    with rig.nexus_serve("--parallel", "8", "--ctx", "2048", "--queue", "64") as server:
        before_text = answer(server)
        for _ in range(3):
            server.ask("GET", "/health", port=server.ops)
        time.sleep(0.5)
        before = held(server)
        print(f"      before: running, waiting, pages, descriptors, threads: {before}")
        check(before[:3] == (0, 0, 0), "nothing is held at the start")
        faults, counts = [], {}
        begun = time.monotonic()
        run(server, 0, COUNT // 2, faults, counts)
        half_kib = server.resident_kib()
        run(server, COUNT // 2, COUNT - COUNT // 2, faults, counts)
        took = time.monotonic() - begun
        print(f"      {COUNT} requests in {took:.1f} s: {counts}")
        check(not faults, f"{len(faults)} faults: {faults[:3]}")
        end = time.monotonic() + 15
        while held(server) != before and time.monotonic() < end:
            time.sleep(0.05)
        after = held(server)
        check(after == before, f"afterwards: {after}, {time.monotonic() - end + 15:.2f} s after the last")
        status, body = server.control("GET", "/admin/requests")
        check(status == 200 and json.loads(body) == {"running": [], "waiting": []}, "/admin/requests is empty")
        check(answer(server) == before_text, "a question is answered as at the start, to the bit")
        grown = server.resident_kib() - half_kib
        check(grown < 16384 or rig.is_sanitized(), f"resident memory grew by {grown} KiB in the second half")
        m = server.metrics()
        cancel, n_cancel = highest(m, "nexus_cancel_latency_seconds")
        step, n_step = highest(m, "nexus_engine_step_seconds")
        check(n_cancel > COUNT / 20, f"{n_cancel:.0f} cancellations, {n_step:.0f} steps")
        check(cancel <= 2 * step, f"the slowest cancellation took at most {cancel} s, the slowest step {step}")
        # A long step meets more of those who leave: so in the mean a cancellation waits longer than a step.
        key = next(k for k in m if k.startswith("nexus_engine_step_seconds_sum"))
        print(f"      in the mean {m['nexus_cancel_latency_seconds_sum'] / n_cancel * 1e3:.2f} ms, a step "
              f"{m[key] / n_step * 1e3:.2f} ms")
    check.end()


if __name__ == "__main__":
    main()
