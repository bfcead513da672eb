"""Thousands of idle connections and hundreds of streams at once: every stream has its own text, whole and
in order; a stream costs little memory; /health answers at once, whatever goes on.

2,000 idle connections and 500 streams with NX_SOAK=full; 200 and 50 otherwise. The times of /health are
measured by a process of its own, which also reads how long the kernel let the server's threads wait for a
processor meanwhile: on a machine that builds something besides, that isn't the server's doing."""
import os
import socket
import struct
import time

import rig

FULL = os.environ.get("NX_SOAK") == "full"
N_IDLE, N_STREAMS, SECONDS = (2000, 500, 30) if FULL else (200, 50, 5)
PACE = 20
HEALTH_MS = 50
STREAM_KIB = 64
WAVE = 25    # streams that are asked for at once; 20 waves a second


class Withheld:
    """How long the kernel let threads wait that could have run, because others ran: /proc/PID/task/*/schedstat.
    The longest of the server's threads, and our own."""

    def __init__(self, pid):
        self.files = [open(f"/proc/{pid}/task/{t}/schedstat", "rb", 0) for t in os.listdir(f"/proc/{pid}/task")]
        self.files.append(open("/proc/self/schedstat", "rb", 0))

    def read(self):
        found = []
        for f in self.files:
            f.seek(0)
            found.append(int(f.read(100).split()[1]))
        return found

    @staticmethod
    def between(before, after):
        waited = [(b - a) * 1e-9 for a, b in zip(before, after)]
        return max(waited[:-1]) + waited[-1]


def probe(server, out):
    """Ask /health on both listeners, on kept and on new connections, until our parent closes `out`."""
    withheld = Withheld(server.p.pid)
    kept = {port: server.connection(port) for port in (server.port, server.ops)}
    i = 0
    while True:
        port = (server.port, server.ops)[i % 2]
        before = withheld.read()
        begun = time.monotonic()
        if i % 4 < 2:
            status = server.ask_on(kept[port], "GET", "/health")[0]
        else:
            status = server.ask("GET", "/health", port=port)[0]
        took = time.monotonic() - begun
        waited = withheld.between(before, withheld.read())
        try:
            os.write(out, struct.pack("<Bhddd", i % 2, status, took, waited, begun))
        except BrokenPipeError:
            os._exit(0)
        i += 1
        time.sleep(0.01)


class Prober:
    def __init__(self, server):
        self.fd, out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.fd)
            try:
                probe(server, out)
            finally:
                os._exit(1)
        os.close(out)
        os.set_blocking(self.fd, False)
        self.raw = b""

    def drain(self):
        try:
            while True:
                more = os.read(self.fd, 65536)
                if not more:
                    return
                self.raw += more
        except BlockingIOError:
            pass

    def end(self):
        self.drain()
        os.close(self.fd)
        os.waitpid(self.pid, 0)
        size = struct.calcsize("<Bhddd")
        return [struct.unpack_from("<Bhddd", self.raw, at)
                for at in range(0, len(self.raw) - size + 1, size)]


def open_idle(server, n, check):
    """Connections that asked once and stay."""
    idle = []
    ask = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        s.sendall(ask)
        idle.append(s)
    good = sum(s.recv(4096).startswith(b"HTTP/1.1 200") for s in idle)
    check(good == n, f"{good} of {n} connections were answered, and stay")
    return idle


def still_good(idle, check):
    ask = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for s in idle:
        s.sendall(ask)
    good = sum(s.recv(4096).startswith(b"HTTP/1.1 200") for s in idle)
    check(good == len(idle), f"{good} of {len(idle)} idle connections are answered afterwards")


def open_streams(server, n, n_tokens):
    streams = []
    for i in range(n):
        streams.append(rig.Stream(server.port, rig.post("/v1/completions", {
            "model": "m0", "prompt": f"Stream {i}", "seed": 1000 + i, "max_tokens": n_tokens,
            "stream": True})))
    for i, s in enumerate(streams):
        s.send()
        if i % WAVE == WAVE - 1:
            time.sleep(0.05)
    return streams


def check_texts(streams, n_tokens, check):
    wrong = 0
    for i, s in enumerate(streams):
        text, rest = s.text()
        if text != rig.expected(1000 + i, n_tokens) or rest[-1:] != ["[DONE]"] or len(rest) > 1:
            wrong += 1
            if wrong == 1:
                print(f"  stream {i}: status {s.status}, {len(text)} bytes of text, then {rest}, "
                      f"raw end {bytes(s.raw[-100:])!r}")
    check(wrong == 0, f"{len(streams) - wrong} of {len(streams)} streams are right to the last byte")
    events = [len(s.events()[0]) for s in streams]
    print(f"      {sum(events)} events, {n_tokens} tokens each, {min(events)} to {max(events)} events")


def check_health(probes, check):
    first = probes[0][4]
    worst = sorted(probes, key=lambda p: -p[2])[:5]
    print("      the slowest:", ", ".join(f"{p[2] * 1e3:.0f} ms after {p[4] - first:.1f} s" for p in worst))
    check(len(probes) >= 200, f"/health was asked {len(probes)} times (at least 200)")
    check(all(p[1] == 200 for p in probes), "every answer of /health is 200")
    for which, name in ((0, "main port"), (1, "--ops-port")):
        took = sorted(p[2] * 1e3 for p in probes if p[0] == which)
        own = max((p[2] - p[3]) * 1e3 for p in probes if p[0] == which)
        check(own <= HEALTH_MS, f"/health, {name}: median {took[len(took) // 2]:.1f} ms, p99 "
              f"{took[len(took) * 99 // 100]:.1f}, worst {took[-1]:.1f}; without the time in which the "
              f"processors were others', {own:.1f} at worst (at most {HEALTH_MS})")


def main():
    check = rig.Checks()
    rig.allow_descriptors(N_IDLE + N_STREAMS + 200)
    n_tokens = PACE * SECONDS
    with rig.paced(pace=PACE, soft_fds=256) as server:
        server.wait_until(lambda: server.ask("GET", "/readyz")[0] == 200, "readiness")
        # Once through everything, so that what is there for all isn't counted for each.
        warm = open_streams(server, 4, 20)
        rig.read_all(warm)
        for s in warm:
            s.close()
        start = server.resident_kib()
        idle = open_idle(server, N_IDLE, check)
        time.sleep(0.5)
        with_idle = server.resident_kib()
        print(f"      resident: {start} KiB, with idle connections {with_idle} KiB: "
              f"{(with_idle - start) / N_IDLE:.1f} KiB each")
        prober = Prober(server)
        streams = open_streams(server, N_STREAMS, n_tokens)
        most = [with_idle]
        half = time.monotonic() + SECONDS / 2

        def watch():
            prober.drain()
            most[0] = max(most[0], server.resident_kib())
            if time.monotonic() > half:
                half_way.append(server.metrics())
                return True
            return False

        half_way = []
        rig.read_all(streams, watch)
        n_running = half_way[0]['nexus_requests_running{model="m0"}'] if half_way else -1
        check(n_running == N_STREAMS, f"{n_running:.0f} answers are under way at half time")

        def go_on():
            prober.drain()
            most[0] = max(most[0], server.resident_kib())
            return False

        check(rig.read_all(streams, go_on, SECONDS + 60), "all streams came to their end")
        probes = prober.end()
        each = (most[0] - with_idle) / N_STREAMS
        check(each <= STREAM_KIB, f"a stream takes {each:.1f} KiB of memory (at most {STREAM_KIB})")
        check_texts(streams, n_tokens, check)
        check_health(probes, check)
        still_good(idle, check)
        for s in streams:
            s.close()
        for s in idle:
            s.close()
        server.wait_until(lambda: server.metrics()['nexus_requests_running{model="m0"}'] == 0, "rest", 10)
        print(f"      afterwards {server.resident_kib()} KiB, {server.n_fds()} descriptors")
    check.end()


if __name__ == "__main__":
    main()
