"""A client that doesn't read: its job pauses, memory stays bounded, after the limit it is cancelled; and
nobody else notices. Nor does a short question notice the long ones that are being cut into tokens."""
import os
import threading
import time

import rig

FULL = os.environ.get("NX_SOAK") == "full"
STALL_S = 30 if FULL else 2
N_SLOW, N_GOOD = (50, 50) if FULL else (10, 10)
TOKEN, PACE = 4096, 50     # bytes of a token, tokens a second: 200 KiB/s, buffers are full in a moment
SLOW_KIB = 1024            # of each: socket's buffer (the kernel's), what waits, what is being sent


def question(i, n):
    return rig.post("/v1/completions", {"model": "m0", "prompt": "x", "seed": i, "max_tokens": n,
                                        "stream": True})


def long_questions(check):
    """Twelve prompts of 7 MB, more than there are threads for them; a short question asked behind them
    overtakes those that still wait."""
    with rig.paced(pace=0) as server:
        server.wait_until(lambda: server.ask("GET", "/readyz")[0] == 200, "readiness")
        long = rig.post("/v1/completions", {"model": "m0", "max_tokens": 1,
                                            "prompt": "many words of a long text, and so on; " * 180000})
        sent, ends = [], []

        def ask_long():
            s = rig.Stream(server.port, long)
            s.send()
            sent.append(s)
            s.sock.setblocking(True)
            while b"\r\n\r\n" not in s.raw:
                s.read()
            ends.append(time.monotonic())
            s.close()

        threads = [threading.Thread(target=ask_long) for _ in range(12)]
        for t in threads:
            t.start()
        server.wait_until(lambda: len(sent) == 12, "all sent")
        time.sleep(0.3)
        begun = time.monotonic()
        status, body = server.ask("POST", "/v1/completions", {"model": "m0", "prompt": "x", "seed": 1,
                                                              "max_tokens": 3})
        took = time.monotonic() - begun
        for t in threads:
            t.join()
        overtaken = sum(end > begun + took for end in ends)
        check(status == 200 and overtaken >= 2, f"a short question is answered ({status}) after "
              f"{took * 1e3:.0f} ms, before {overtaken} of 12 long ones that were there first")


def main():
    check = rig.Checks()
    long_questions(check)
    rig.allow_descriptors(N_SLOW + N_GOOD + 100)
    with rig.paced(pace=PACE, token=TOKEN, stall_ms=STALL_S * 1000) as server:
        server.wait_until(lambda: server.ask("GET", "/readyz")[0] == 200, "readiness")
        start_kib, start_fds = server.resident_kib(), server.n_fds()
        # They would take four times the limit to say all.
        slow = [rig.Stream(server.port, question(i, PACE * STALL_S * 40), rcvbuf=4096)
                for i in range(N_SLOW)]
        for s in slow:
            s.send()
        begun = time.monotonic()
        n_good = int(PACE * STALL_S * 1.5)
        good = [rig.Stream(server.port, question(100 + i, n_good)) for i in range(N_GOOD)]
        for s in good:
            s.send()
        paused_at, gone_at, most_kib, n_paused = None, None, 0, 0

        def watch():
            nonlocal paused_at, gone_at, most_kib, n_paused
            most_kib = max(most_kib, server.resident_kib())
            running = server.ask("GET", "/admin/requests")[1]
            n_paused = max(n_paused, running.count(b'"paused"'))
            if n_paused == N_SLOW and not paused_at:
                paused_at = time.monotonic() - begun
            left = server.metrics()['nexus_http_rejected_total{reason="slow_reader"}']
            if left == N_SLOW and not gone_at:
                gone_at = time.monotonic() - begun
            return False

        check(rig.read_all(good, watch, STALL_S * 2 + 30), "the others came to their end")
        while not gone_at and time.monotonic() - begun < STALL_S * 4 + 20:
            watch()
            time.sleep(0.05)
        check(n_paused == N_SLOW, f"{n_paused} of {N_SLOW} that nobody reads were paused "
              f"({paused_at or -1:.1f} s after they began)")
        check(gone_at is not None and gone_at >= STALL_S, f"all were cancelled after {gone_at or -1:.1f} "
              f"s (the limit is {STALL_S} s without a byte taken)")
        check(gone_at is not None and gone_at < STALL_S * 1.3 + 8, "and not much later")
        each = (most_kib - start_kib) / (N_SLOW + N_GOOD)
        check(each <= SLOW_KIB, f"at most {each:.0f} KiB of memory each, paused or not")
        right = sum(s.text() == (rig.expected(100 + i, n_good, TOKEN), ["[DONE]"])
                    for i, s in enumerate(good))
        check(right == N_GOOD, f"{right} of {N_GOOD} others are right to the last byte")
        broken = 0
        for s in slow:
            s.sock.setblocking(True)
            s.sock.settimeout(10)
            try:
                while s.sock.recv(65536):
                    pass
            except ConnectionError:
                pass
            broken += 1
            s.close()
        check(broken == N_SLOW, "the connections of those that didn't read are closed")
        for s in good:
            s.close()
        server.wait_until(lambda: server.metrics()['nexus_requests_running{model="m0"}'] == 0 and
                          server.n_fds() <= start_fds, "nothing left", 20)
        check(True, "nothing runs, and all descriptors are back")
    check.end()


if __name__ == "__main__":
    main()
