"""Several models under one budget of memory: loaded when asked for, the least used one makes room, a busy one
stays, an idle one goes after --keep-alive; loading one doesn't stall another; whoever names none that there is
hears which there are. First with the paced server, whose models take their time to open, then with the real
one and two names of the model that ships."""
import json
import re
import threading
import time

import rig

OPEN_MS = 700


def states(server):
    status, raw = server.control("GET", "/admin/models")
    assert status == 200, raw
    return {m["name"]: m["state"] for m in json.loads(raw)["models"]}


def ask(server, model, n=2, **more):
    return server.ask("POST", "/v1/completions", {"model": model, "prompt": "x", "seed": 1, "max_tokens": n,
                                                  **more})


def stream(server, model, n, seed=1):
    s = rig.Stream(server.port, rig.post("/v1/completions", {
        "model": model, "prompt": "x", "seed": seed, "max_tokens": n, "stream": True}))
    s.send()
    return s


def until(server, name, state, seconds=10):
    server.wait_until(lambda: states(server)[name] == state, f"{name} {state}", seconds)


def gaps_while(server, s, what):
    """The longest silence of stream s while what() runs on another thread."""
    done = threading.Event()

    def run():
        what()
        done.set()

    rig.read_all([s], lambda: b"data: " in s.raw, 10)
    t = threading.Thread(target=run)
    t.start()
    last, longest, n = time.monotonic(), 0, len(s.raw)

    def watch():
        nonlocal last, longest, n
        now = time.monotonic()
        if len(s.raw) > n:
            longest, last, n = max(longest, now - last), now, len(s.raw)
        return done.is_set()

    rig.read_all([s], watch, 30)
    t.join()
    return max(longest, time.monotonic() - last)


def on_demand(check):
    with rig.paced(models=3, memory_mb=250, open_ms=OPEN_MS, pace=50) as server:
        check(states(server) == {"m0": "loading", "m1": "unloaded", "m2": "unloaded"}, "the first is being loaded")
        status, raw = ask(server, "m0")
        check(status == 503 and b"being loaded" in raw, f"asked meanwhile: {status}")
        check(server.ask("GET", "/llm/health")[0] == 503, "/llm/health says 503 meanwhile")
        check(server.ask("GET", "/readyz")[0] == 503, "/readyz, too")
        until(server, "m0", "ready")
        check(server.ask("GET", "/readyz")[0] == 200, "/readyz is 200 afterwards")

        s = stream(server, "m0", 100)
        got = []
        begun = time.monotonic()
        gap = gaps_while(server, s, lambda: got.append(ask(server, "m1")))
        took = time.monotonic() - begun
        check(got[0][0] == 200 and took > OPEN_MS / 1000, f"m1 is loaded on demand: {got[0][0]} after {took:.2f} s")
        check(gap < 0.3, f"m0 spoke on meanwhile: its longest silence was {gap * 1e3:.0f} ms")
        rig.read_all([s])
        check(s.text() == (rig.expected(1, 100), ["[DONE]"]), "and said all")
        s.close()

        ask(server, "m0")    # m1 is the least used one now
        check(ask(server, "m2")[0] == 200, "m2 is loaded where there was no room")
        check(states(server) == {"m0": "ready", "m1": "unloaded", "m2": "ready"}, f"m1 gave way: {states(server)}")

        busy = [stream(server, "m0", 200), stream(server, "m2", 200)]
        rig.read_all(busy, lambda: all(b"data: " in b.raw for b in busy), 10)
        c = server.connection()
        c.request("POST", "/v1/completions", json.dumps({"model": "m1", "prompt": "x"}))
        r = c.getresponse()
        text = r.read()
        check(r.status == 503 and r.headers["Retry-After"] and b"in use" in text,
              f"while both are busy, a third gets {r.status}, Retry-After {r.headers['Retry-After']}: {text[:120]!r}")
        c.close()
        check(server.ask("GET", "/readyz")[0] == 200, "and the server stays ready")
        status, raw = server.control("POST", "/admin/models/unload", {"model": "m0"})
        check(status == 409, f"unloading a busy one: {status}")
        rig.read_all(busy)
        check(all(b.text() == (rig.expected(1, 200), ["[DONE]"]) for b in busy), "the busy ones said all")
        for b in busy:
            b.close()


def by_name(check):
    with rig.paced(models=3, memory_mb=350, open_ms=200, pace=0) as server:
        until(server, "m0", "ready")
        status, raw = ask(server, "m9")
        error = json.loads(raw)["error"]
        check(status == 404 and error["code"] == "model_not_found" and "m0, m1, m2" in error["message"],
              f"unknown model: {status} {error}")
        status, raw = server.ask("POST", "/llm/generate", {"prompt": "x", "model": "m9"})
        check(status == 404 and "m0" in json.loads(raw)["detail"], f"in the seed's words: {status}")
        status, raw = server.ask("GET", "/v1/models/m9")
        check(status == 404, f"GET /v1/models/m9: {status}")
        status, raw = server.ask("POST", "/llm/generate", {"prompt": "x", "max_new_tokens": 2})
        check(status == 200 and json.loads(raw)["model"] == "m0", "who names none gets the first")

        status, raw = server.control("POST", "/admin/models/load", {"model": "m1"})
        check(status == 200 and json.loads(raw)["state"] in ("loading", "ready"), f"admin load: {status}")
        until(server, "m1", "ready")
        check(server.control("POST", "/admin/models/load", {"model": "m1"})[0] == 200, "again: nothing to do")
        status, raw = server.control("POST", "/admin/models/unload", {"model": "m1"})
        check(status == 200 and json.loads(raw)["state"] == "unloaded", f"admin unload: {status}")
        check(server.control("POST", "/admin/models/unload", {"model": "m1"})[0] == 200, "again: nothing to do")
        got = []
        threads = [threading.Thread(target=lambda: got.append(ask(server, "m2"))) for _ in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        right = sum(status == 200 and json.loads(raw)["choices"][0]["text"] == rig.expected(1, 2)
                    for status, raw in got)
        check(right == 30, f"{right} of 30 who asked for the same unloaded model at once are answered")
        status, raw = server.control("POST", "/admin/models/unload", {"model": "m0"})
        check(status == 200 and ask(server, "m0")[0] == 200, "the first one comes back when asked for, too")


def keep_alive(check):
    with rig.paced(models=2, keep_alive=1, pace=20) as server:
        until(server, "m0", "ready")
        s = stream(server, "m0", 60)
        check(ask(server, "m1")[0] == 200, "m1 is loaded")
        rig.read_all([s])
        check(s.text() == (rig.expected(1, 60), ["[DONE]"]), "3 seconds of m0 under --keep-alive 1 are whole")
        s.close()
        check(states(server)["m1"] == "unloaded", "m1, idle meanwhile, is unloaded")
        check(states(server)["m0"] == "ready", "m0 was busy, and is there")
        until(server, "m0", "unloaded", 5)
        check(server.ask("GET", "/readyz")[0] == 200, "with none loaded the server is ready: asking loads")
        check(ask(server, "m0")[0] == 200, "m0 comes back")


def real(check):
    model = rig.SHIPPED
    few = ("--ctx", "512", "--positions", "512", "--parallel", "2")
    with rig.nexus_serve("-m", f"a={model}", "-m", f"b={model}", *few) as server:
        models = json.loads(server.control("GET", "/admin/models")[1])["models"]
        planned = models[0]["planned_bytes"]
        check(planned > 1 << 20, f"a model is planned with {planned / 1e6:.1f} MB")
    gb = f"{planned * 1.5 / 1e9:.6f}"
    with rig.nexus_serve("-m", f"a={model}", "-m", f"b={model}", "--memory", gb, *few) as server:
        texts = {}
        for name in "abab":
            status, raw = ask(server, name, 12, temperature=0)
            if not check(status == 200, f"real: {name} answers under --memory {gb}: {status}"):
                print(raw[:300])
                break
            texts.setdefault(name, set()).add(json.loads(raw)["choices"][0]["text"])
            now = states(server)
            check(now == {name: "ready", "ab".replace(name, ""): "unloaded"}, f"real: {now}")
        check(len(texts["a"] | texts.get("b", set())) == 1, "real: the same text each time")
        for what in ("load", "unload"):
            status, raw = server.control("POST", f"/admin/models/{what}", {"model": "nobody"})
            check(status == 404, f"real: {what} of a model that there isn't: {status} {raw[:120]!r}")
        check(sorted(states(server)) == ["a", "b"], "real: and none was added")
    gb = f"{planned * 0.5 / 1e9:.6f}"
    with rig.Process([rig.NEXUS, "serve", "--port", "0", "--data", "{data}", "-m", model, "--memory", gb,
                      *few]) as server:
        check(server.p.wait(timeout=30) == 1 and "needs" in server.err,
              f"real: too little memory for the first model: {server.err.strip()}")


def main():
    check = rig.Checks()
    on_demand(check)
    by_name(check)
    keep_alive(check)
    real(check)
    check.end()


if __name__ == "__main__":
    main()
