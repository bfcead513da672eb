"""kill -9 at a random moment under load, and start again, in a loop: every answer that a client has seen whole
stands in the usage, and no more than was asked; every key that was made is there, every revoked one is
revoked; the server starts at once over what the dead one left (socket file, lock, journal).

NX_TORTURE_COUNT / 300 rounds, 4 by default."""
import datetime
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "soak"))
import rig  # noqa: E402

ROUNDS = max(4, int(os.environ.get("NX_TORTURE_COUNT", "0")) // 300)
# Such a server answers as much slower, and some answers must be whole.
PATIENCE = 5 if rig.is_sanitized() else 1
N_CLIENTS = 12
MOST_NEW = 8
START_S = 5
PROMPT = "A short question about pages?"


class Books:
    """What clients know."""

    def __init__(self):
        self.lock = threading.Lock()
        self.whole = self.new = self.prompt = self.hanging = 0
        self.made, self.revoked, self.maybe_revoked = set(), set(), set()
        self.n_unsure = 0    # keys whose making was not answered
        self.faults = []


def ask_for_ever(server, key, books, seed):
    """Until the connection breaks."""
    r = random.Random(seed)
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {key}"}
    while True:
        body = {"prompt": PROMPT, "max_tokens": r.randint(1, MOST_NEW), "ignore_eos": True,
                "seed": r.randint(0, 1000)}
        if r.random() < 0.5:
            body.update(stream=True, stream_options={"include_usage": True})
        try:
            status, raw = server.ask_on(c, "POST", "/v1/completions", body, headers)
            if status != 200:
                with books.lock:
                    books.faults.append(f"status {status}: {raw[:200]!r}")
                return
            if "stream" in body:
                events = [e[6:] for e in raw.split(b"\n\n") if e.startswith(b"data: ")]
                if not events or events[-1] != b"[DONE]":
                    raise ConnectionError    # cut, but chunked properly to its end: not whole
                usage = json.loads(events[-2])["usage"]
            else:
                usage = json.loads(raw)["usage"]
        except (OSError, http.client.HTTPException):
            with books.lock:
                books.hanging += 1
            return
        with books.lock:
            books.whole += 1
            books.new += usage["completion_tokens"]
            books.prompt += usage["prompt_tokens"]


def make_keys(server, books, seed):
    r = random.Random(seed)
    while True:
        try:
            status, raw = server.control("POST", "/admin/keys", {"name": "one of many"})
        except (OSError, http.client.HTTPException):
            books.n_unsure += 1
            return
        if status != 201:
            books.faults.append(f"key: {status} {raw[:200]!r}")
            return
        name = json.loads(raw)["id"]
        books.made.add(name)
        if r.random() < 0.5:
            books.maybe_revoked.add(name)
            try:
                status, raw = server.control("DELETE", f"/admin/keys/{name}")
            except (OSError, http.client.HTTPException):
                return
            if status == 200:
                books.revoked.add(name)
            else:
                books.faults.append(f"revoke: {status} {raw[:200]!r}")
        time.sleep(0.01)


def load(server, key, books, seed):
    threads = [threading.Thread(target=ask_for_ever, args=(server, key, books, seed * 100 + i))
               for i in range(N_CLIENTS)]
    threads.append(threading.Thread(target=make_keys, args=(server, books, seed)))
    for t in threads:
        t.start()
    return threads


def usage(server, key):
    """Sums over yesterday and today, of the one key."""
    day = datetime.datetime.now(datetime.timezone.utc).date()
    status, raw = server.control(
        "GET", f"/admin/usage?from={day - datetime.timedelta(days=1)}&to={day}&key={key[3:11]}")
    assert status == 200, raw
    rows = json.loads(raw)["rows"]
    return [sum(row[k] for row in rows) for k in ("requests", "generated_tokens", "prompt_tokens")]


def check_books(server, key, books, each_prompt):
    """A list of what isn't right."""
    wrong = list(books.faults)
    n, new, prompt = usage(server, key)
    if not books.whole <= n <= books.whole + books.hanging:
        wrong.append(f"{n} requests in the books, clients saw {books.whole} whole, {books.hanging} broken")
    if not books.new <= new <= books.new + books.hanging * MOST_NEW:
        wrong.append(f"{new} tokens in the books, clients saw {books.new}")
    if not books.prompt <= prompt <= books.prompt + books.hanging * each_prompt:
        wrong.append(f"{prompt} prompt tokens in the books, clients saw {books.prompt}")
    status, raw = server.control("GET", "/admin/keys")
    keys = {k["id"]: k["revoked_at"] for k in json.loads(raw)["keys"]}
    lost = books.made - set(keys)
    if lost:
        wrong.append(f"{len(lost)} keys are lost")
    # The first key, and those whose making was under way at a kill.
    if len(keys) > len(books.made) + 1 + books.n_unsure:
        wrong.append(f"{len(keys)} keys, {len(books.made)} were made")
    for name in books.revoked:
        if keys.get(name) is None:
            wrong.append(f"key {name} is valid again")
    for name in set(keys) - books.maybe_revoked:
        if keys[name] is not None:
            wrong.append(f"key {name} is revoked, and nobody did that")
    return wrong


def main():
    check = rig.Checks()
    r = random.Random(4)
    with tempfile.TemporaryDirectory() as home:
        data = os.path.join(home, "data")
        done = subprocess.run([rig.NEXUS, "key", "create", "--data", data], capture_output=True,
                              check=True, timeout=60)
        key = done.stdout.decode().strip()
        books, slowest, each_prompt = Books(), 0, 0
        for i in range(ROUNDS):
            begun = time.monotonic()
            with rig.nexus_serve("--parallel", "8", "--ctx", "256", data=data, ready=r.random() < 0.8) as s:
                slowest = max(slowest, time.monotonic() - begun)
                s.wait_until(lambda: s.ask("GET", "/readyz", port=s.ops)[0] == 200, "readiness")
                status, raw = s.ask("POST", "/v1/tokenize", {"text": PROMPT},
                                    headers={"Authorization": f"Bearer {key}"})
                if not check(status == 200, f"round {i}: the key of the beginning is known ({status})"):
                    break
                each_prompt = len(json.loads(raw)["tokens"]) + 2
                wrong = check_books(s, key, books, each_prompt)
                if not check(not wrong, f"round {i}: {books.whole} whole answers, {books.hanging} broken, "
                             f"{len(books.made)} keys: {wrong[:3] or 'as in the books'}"):
                    break
                threads = load(s, key, books, i)
                time.sleep((0.1 + r.random() * 1.4) * PATIENCE)
                s.signal(signal.SIGKILL)
                s.p.wait()
                for t in threads:
                    t.join()
        with rig.nexus_serve("--ctx", "256", data=data) as s:
            wrong = check_books(s, key, books, each_prompt)
            check(not wrong, f"at the end: {books.whole} whole answers, {books.hanging} broken, "
                  f"{len(books.made)} keys: {wrong[:3] or 'as in the books'}")
            s.signal(signal.SIGTERM)
            s.p.wait(timeout=20)
        check(slowest < START_S, f"the server listens again after {slowest:.2f} s at most")
        check(books.whole > ROUNDS * 5, f"{books.whole} answers were whole, {len(books.made)} keys made, "
              f"{len(books.revoked)} revoked")
        left = sorted(os.listdir(data))
        print(f"      the folder holds {left}")
    check.end()


if __name__ == "__main__":
    main()
