"""The end of a server: kill -TERM under 50 streams cuts none within the drain, new questions get 503 and
/readyz says so at once; when the drain is over the rest hear an error event; a second Ctrl-C ends at once;
`nexus stop` does as kill -TERM."""
import json
import os
import signal
import socket
import subprocess
import time

import rig

N = 50


def open_streams(server, n_tokens, n=N):
    streams = [rig.Stream(server.port, rig.post("/v1/completions", {
        "model": "m0", "prompt": "x", "seed": i, "max_tokens": n_tokens, "stream": True}))
        for i in range(n)]
    for s in streams:
        s.send()
    return streams


def all_speak(streams):
    rig.read_all(streams, lambda: all(b"data: " in s.raw for s in streams), 30)


def start(**options):
    server = rig.paced(**options)
    server.wait_until(lambda: server.ask("GET", "/readyz")[0] == 200, "readiness")
    return server


def drain(check, name, stop):
    """50 streams of 4 seconds; a kept connection, one with half a question, new ones."""
    with start(pace=20) as server:
        kept = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        kept.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        kept.recv(4096)
        streams = open_streams(server, 80)
        all_speak(streams)
        begun = time.monotonic()
        stopping = stop(server)
        ready = 200
        while ready == 200 and time.monotonic() - begun < 5:
            ready = server.ask("GET", "/readyz", port=server.ops)[0]
        took = time.monotonic() - begun
        check(ready == 503 and took < 0.5, f"{name}: /readyz says {ready} after {took * 1e3:.0f} ms")
        check(server.ask("GET", "/readyz")[0] == 503, f"{name}: on the main port, too")
        check(server.ask("GET", "/livez")[0] == 200, f"{name}: /livez stays 200")
        status, body = server.ask("POST", "/v1/completions", {"model": "m0", "prompt": "x"})
        check(status == 503 and b"stopping" in body, f"{name}: a new question gets {status}")
        status, body = server.ask("POST", "/llm/generate", {"prompt": "x"})
        check(status == 503 and b"detail" in body, f"{name}: one in the seed's words gets {status}")
        kept.sendall(rig.post("/v1/completions", {"model": "m0", "prompt": "x"}))
        check(kept.recv(4096).startswith(b"HTTP/1.1 503"), f"{name}: so does one on a kept connection")
        rig.read_all(streams, seconds=30)
        good = sum(s.text() == (rig.expected(i, 80), ["[DONE]"]) and s.events()[1]
                   for i, s in enumerate(streams))
        check(good == N, f"{name}: {good} of {N} streams are whole, and end with [DONE]")
        took = time.monotonic() - begun
        rc = server.p.wait(timeout=20)
        late = time.monotonic() - begun - took
        check(rc == 0 and late < 3, f"{name}: the server ends {late:.2f} s after the last one, with {rc}")
        if stopping:
            check(stopping.wait(timeout=20) == 0, f"{name}: the command ends")
        kept.close()
        for s in streams:
            s.close()


def cut(check):
    """A drain of one second, streams of an hour, and a question that is answered whole."""
    with start(pace=20, drain=1) as server:
        streams = open_streams(server, 72000)
        whole = rig.Stream(server.port, rig.post("/v1/completions", {
            "model": "m0", "prompt": "x", "seed": 7, "max_tokens": 72000}))
        whole.send()
        all_speak(streams)
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        check(rig.read_all(streams + [whole], lambda: False, 20) or True, "read on")
        took = time.monotonic() - begun
        check(0.9 < took < 4, f"drain 1: all streams end after {took:.1f} s")
        good = 0
        for i, s in enumerate(streams):
            text, rest = s.text()
            error = json.loads(rest[0]).get("error") if len(rest) == 1 and rest[0] != "[DONE]" else None
            good += bool(rig.expected(i, 200).startswith(text) and error and s.events()[1] and
                         "stopping" in error["message"])
        check(good == N, f"drain 1: {good} of {N} say what they had, an error event, and end")
        check(whole.status == 503 and b"stopping" in whole.raw, f"drain 1: a whole answer gets {whole.status}")
        check(server.p.wait(timeout=10) == 0, "drain 1: the server ends with 0")
        for s in streams + [whole]:
            s.close()


def twice(check):
    with start(pace=20) as server:
        streams = open_streams(server, 72000, 3)
        all_speak(streams)
        server.signal(signal.SIGINT)
        time.sleep(0.3)
        check(server.p.poll() is None, "one SIGINT: the server waits for its streams")
        begun = time.monotonic()
        server.signal(signal.SIGINT)
        rc = server.p.wait(timeout=10)
        took = time.monotonic() - begun
        check(rc == 130 and took < 1, f"two: it ends at once ({took * 1e3:.0f} ms, {rc})")
        for s in streams:
            s.close()


def serve(check):
    """The real program: SIGINT twice, and SIGTERM while it loads or has nothing to do."""
    with rig.nexus_serve() as server:
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        rc = server.p.wait(timeout=20)
        check(rc == 0 and time.monotonic() - begun < 3, f"nexus serve with nothing to do ends with {rc}")
    with rig.nexus_serve() as server:
        s = rig.Stream(server.port, rig.post("/v1/completions", {
            "prompt": "x", "max_tokens": 4000, "stream": True, "ignore_eos": True}))
        s.send()
        all_speak([s])
        server.signal(signal.SIGINT)
        time.sleep(0.2)
        check(server.p.poll() is None, "nexus serve: one SIGINT waits")
        server.signal(signal.SIGINT)
        check(server.p.wait(timeout=5) == 130, "nexus serve: the second ends it")
        s.close()
    with rig.nexus_serve() as server:
        s = rig.Stream(server.port, rig.post("/v1/completions", {
            "prompt": "x", "max_tokens": 100, "stream": True, "ignore_eos": True}))
        s.send()
        done = subprocess.run([rig.NEXUS, "stop", "--data", server.data], timeout=60, check=False)
        rig.read_all([s], seconds=20)
        check(done.returncode == 0 and server.p.wait(timeout=5) == 0, "nexus stop: both end with 0")
        check(s.text()[1] == ["[DONE]"], "nexus stop: the stream under way was whole")
        check(not os.path.exists(os.path.join(server.data, "control.sock")), "no socket file stays")
        s.close()


def main():
    check = rig.Checks()
    drain(check, "SIGTERM", lambda server: server.signal(signal.SIGTERM))
    drain(check, "nexus stop", lambda server: subprocess.Popen(
        [rig.NEXUS, "stop", "--data", server.data]))
    cut(check)
    twice(check)
    serve(check)
    check.end()


if __name__ == "__main__":
    main()
