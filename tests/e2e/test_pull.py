"""Protects `nexus pull`, `list` and `rm`: what comes is what the hub has, byte for byte, whatever the
network does; a cut transfer doesn't fetch again what it has; every refusal has its own words."""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness
from fake_hub import Hub
from harness import Case, nexus

TOKEN = "hf_secretsecret"


def noise(n, seed):
    return random.Random(seed).randbytes(n)


def tiny_gguf():
    with open(harness.SHIPPED, "rb") as f:
        return f.read()


class Pull(Case):
    def setUp(self):
        self.hub = Hub(page=3, token=TOKEN)
        self.home = tempfile.mkdtemp()
        self.env = {"HF_HOME": self.home, "HF_ENDPOINT": self.hub.url, "HF_TOKEN": "",
                    "HF_HUB_CACHE": "", "HF_HUB_OFFLINE": "", "NEXUS_MODELS": self.home + "/own",
                    "http_proxy": "", "https_proxy": "", "all_proxy": "", "no_proxy": "*"}

    def tearDown(self):
        self.hub.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def run_it(self, *args, **env):
        return nexus(*args, env={**self.env, **env})

    def pull(self, name, **env):
        return self.run_it("pull", name, **env)

    def refused(self, done, *words):
        self.assertEqual(done.rc, 1, done)
        for word in words:
            self.assertIn(word, done.err, done)

    def folder(self, name):
        return os.path.join(self.home, "hub", "models--" + name.replace("/", "--"))

    def check(self, name, paths):
        """The snapshot holds exactly these files, each the hub's bytes behind a relative link."""
        repo = self.hub.repos[name]
        top = os.path.join(self.folder(name), "snapshots", repo.commit)
        found = sorted(os.path.relpath(os.path.join(d, f), top)
                       for d, _, files in os.walk(top) for f in files)
        self.assertEqual(found, sorted(paths))
        for path in paths:
            full = os.path.join(top, path)
            self.assertTrue(os.readlink(full).startswith("../"))
            with open(full, "rb") as f:
                self.assertEqual(f.read(), repo.files[path], path)
        with open(os.path.join(self.folder(name), "refs", "main"), encoding="ascii") as f:
            self.assertEqual(f.read(), repo.commit)
        self.assertEqual([f for f in os.listdir(os.path.join(self.folder(name), "blobs"))
                          if f.endswith(".incomplete")], [])

    def one(self, size=300000):
        self.hub.add("org/one", {"one.Q4_K_M.gguf": noise(size, 1), "README.md": b"hello"})
        return "one.Q4_K_M.gguf"

    # ---- What is fetched ----

    def test_folder(self):
        shards = {f"model-0000{i}-of-00002.safetensors": noise(5000, i) for i in (1, 2)}
        rest = {"config.json": b"{}", "tokenizer.json": noise(2000, 3), "tokenizer_config.json": b"{}",
                "generation_config.json": b"{}", "model.safetensors.index.json": b"{}",
                "chat_template.jinja": b"x", "additional_chat_templates/tool_use.jinja": b"y"}
        self.hub.add("org/full", {**shards, **rest, "pytorch_model.bin": noise(3000, 9),
                                  "consolidated.safetensors": noise(3000, 8), "onnx/model.onnx": b"o",
                                  "README.md": b"r"})
        done = self.ok(self.pull("org/full"))
        self.check("org/full", list(shards) + list(rest))
        self.assertEqual(done.out.decode().strip(), os.path.join(
            self.folder("org/full"), "snapshots", self.hub.repos["org/full"].commit))

    def test_gguf_choices(self):
        parts = [f"big-Q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
        files = {"m.Q4_K_M.gguf": noise(4000, 1), "m.Q5_K_M.gguf": noise(4000, 2),
                 "sub/odd name ä.gguf": noise(4000, 3), **{p: noise(3000, i) for i, p in
                                                          enumerate(parts)},
                 "mmproj-F16.gguf": noise(2000, 5)}
        self.hub.add("org/many", files)
        self.ok(self.pull("org/many"))
        self.check("org/many", ["m.Q4_K_M.gguf"])
        self.ok(self.pull("org/many:q8_0"))
        self.check("org/many", ["m.Q4_K_M.gguf"] + parts)
        done = self.ok(self.pull("org/many:sub/odd name ä.gguf"))
        self.assertTrue(done.out.decode().strip().endswith("sub/odd name ä.gguf"))
        self.refused(self.pull("org/many:Q2_K"), "Q2_K", "Q4_K_M", "Q5_K_M", "Q8_0")
        self.assertNotIn("mmproj-F16.gguf", self.hub.sent)

    def test_no_default(self):
        self.hub.add("org/two", {"a.Q8_0.gguf": noise(2000, 1), "a.Q2_K.gguf": noise(2000, 2)})
        self.refused(self.pull("org/two"), "choose one", "Q8_0", "Q2_K")

    def test_pickles_are_refused(self):
        self.hub.add("org/old", {"config.json": b"{}", "pytorch_model.bin": noise(3000, 1)})
        self.refused(self.pull("org/old"), "pickle", "safetensors")
        self.assertEqual(self.hub.sent, {})

    def test_names(self):
        for bad in ("../x/y", "a/b/c", "/abs", "a b/c", "org/na--me", "org/x:../y", "org/x@../y", ""):
            done = self.pull(bad)
            self.assertEqual(done.rc, 2, done)

    def test_paths_that_would_leave(self):
        for path in ("../evil", "/etc/evil", "a/../../evil", "a\\b", "a/\nb", "."):
            repo = self.hub.add("org/evil", {"config.json": b"{}"})
            repo.tree_extra = [{"type": "file", "path": path, "size": 1, "oid": "0" * 40}]
            self.refused(self.pull("org/evil"), "Refused")
            self.assertFalse(os.path.exists(self.folder("org/evil")))

    # ---- What the network does ----

    def test_token_stays_at_the_hub(self):
        self.one()
        self.ok(self.pull("org/one", HF_TOKEN=TOKEN))
        seen = {role: "Authorization" in headers for role, _, headers in self.hub.asked}
        self.assertEqual(seen, {"front": True, "cdn": False})

    def test_cut_goes_on(self):
        path = self.one()
        self.hub.faults[path] = ["cut:100000", "cut:50000", "cut:1"]
        self.ok(self.pull("org/one"))
        self.check("org/one", [path])
        self.assertEqual(self.hub.sent[path], 300000)

    def test_a_later_pull_goes_on(self):
        path = self.one()
        self.hub.faults[path] = ["cut:100000"] + ["status:404"]
        self.refused(self.pull("org/one"), "no longer there")
        self.ok(self.pull("org/one"))
        self.check("org/one", [path])
        self.assertEqual(self.hub.sent[path], 300000)
        before = len(self.hub.sent)
        done = self.ok(self.pull("org/one"))
        self.assertIn("here already", done.err)
        self.assertEqual(self.hub.sent[path], 300000)
        self.assertEqual(len(self.hub.sent), before)

    def test_interrupted(self):
        path = self.one()
        self.hub.faults[path] = ["slow:200000"]
        p = subprocess.Popen([harness.NEXUS, "pull", "org/one"], stderr=subprocess.PIPE,
                             env=harness.environment(**self.env))
        while self.hub.sent.get(path, 0) < 100000:
            time.sleep(0.02)
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=20)[1].decode()
        self.assertEqual(p.returncode, 130, err)
        self.assertFalse(os.path.exists(os.path.join(self.folder("org/one"), "refs")))
        have = self.kept()
        self.assertGreater(have, 50000)
        self.hub.asked.clear()
        self.ok(self.pull("org/one"))
        self.check("org/one", [path])
        self.assertEqual([h.get("Range") for role, _, h in self.hub.asked if role == "cdn"],
                         [f"bytes={have}-"])

    def kept(self):
        blobs = os.path.join(self.folder("org/one"), "blobs")
        part, = [f for f in os.listdir(blobs) if f.endswith(".incomplete")]
        return os.path.getsize(os.path.join(blobs, part))

    def test_killed(self):
        path = self.one()
        self.hub.faults[path] = ["slow:200000"]
        p = subprocess.Popen([harness.NEXUS, "pull", "org/one"], stderr=subprocess.DEVNULL,
                             env=harness.environment(**self.env))
        while self.hub.sent.get(path, 0) < 100000:
            time.sleep(0.02)
        p.kill()
        p.wait()
        have = self.kept()
        self.hub.asked.clear()
        self.ok(self.pull("org/one"))
        self.check("org/one", [path])
        self.assertEqual([h.get("Range") for role, _, h in self.hub.asked if role == "cdn"],
                         [f"bytes={have}-"])

    def test_server_without_ranges(self):
        path = self.one()
        self.hub.faults[path] = ["cut:100000", "norange"]
        self.ok(self.pull("org/one"))
        self.check("org/one", [path])

    def test_wrong_byte_is_found_and_fetched_again(self):
        path = self.one()
        self.hub.faults[path] = ["wrong:123456"]
        self.ok(self.pull("org/one"))
        self.check("org/one", [path])
        self.assertEqual(self.hub.sent[path], 600000)

    def test_wrong_byte_in_what_was_kept(self):
        path = self.one()
        self.hub.faults[path] = ["cut:100000", "status:404"]
        self.pull("org/one")
        blobs = os.path.join(self.folder("org/one"), "blobs")
        part, = [f for f in os.listdir(blobs) if f.endswith(".incomplete")]
        with open(os.path.join(blobs, part), "r+b") as f:
            f.write(b"XX")
        self.ok(self.pull("org/one"))
        self.check("org/one", [path])

    def test_always_wrong(self):
        path = self.one()
        self.hub.faults[path] = ["wrong:1"] * 9
        self.refused(self.pull("org/one"), "wrong bytes", path)
        self.assertEqual(self.hub.sent[path], 600000)
        self.assertFalse(os.path.exists(os.path.join(self.folder("org/one"), "refs")))

    def test_small_file_wrong(self):
        self.hub.add("org/small", {"config.json": b"{}" * 20, "model.safetensors": noise(2000, 1)})
        self.hub.faults["config.json"] = ["wrong:3"]
        self.ok(self.pull("org/small"))
        self.check("org/small", ["config.json", "model.safetensors"])

    def test_busy_server(self):
        path = self.one()
        self.hub.faults["api:revision"] = ["status:503", "status:429:1"]
        self.hub.faults[path] = ["status:500", "status:429:1", "cut:5000", "status:503:0"]
        self.ok(self.pull("org/one"))
        self.check("org/one", [path])

    def test_rate_limited_for_long(self):
        self.one()
        self.hub.faults["api:tree"] = ["status:429:900"]
        self.refused(self.pull("org/one"), "429", "900 s")

    def test_broken_server(self):
        self.one()
        self.hub.faults["api:revision"] = ["status:503"] * 9
        self.refused(self.pull("org/one"), "has trouble", "503")

    def test_refusals(self):
        self.one()
        self.hub.add("org/gated", {"config.json": b"{}", "model.safetensors": noise(2000, 1)},
                     gated=True)
        self.refused(self.pull("org/none"), "no such model", "HF_TOKEN")
        self.refused(self.pull("org/none", HF_TOKEN="hf_x"), "no such model")
        self.refused(self.pull("org/gated"), "gated", "licence", "HF_TOKEN")
        self.refused(self.pull("org/gated", HF_TOKEN="hf_x"), "gated", "approval")
        self.ok(self.pull("org/gated", HF_TOKEN=TOKEN))
        self.refused(self.pull("org/one@v9"), "no revision", "v9")
        self.refused(self.pull("org/one", HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE")
        self.refused(self.pull("org/one", HF_ENDPOINT="http://127.0.0.1:1"), "no connection")
        self.refused(self.pull("org/one", HF_ENDPOINT="ftp://x"), "HF_ENDPOINT")

    def test_token_file(self):
        self.hub.add("org/gated", {"config.json": b"{}", "model.safetensors": noise(2000, 1)},
                     gated=True)
        with open(os.path.join(self.home, "token"), "w", encoding="ascii") as f:
            f.write(TOKEN + "\n")
        self.ok(self.pull("org/gated"))

    def test_proxy(self):
        self.one()
        done = self.pull("org/one", http_proxy="http://127.0.0.1:1", no_proxy="")
        self.refused(done, "no connection")

    def test_two_at_once(self):
        path = self.one(2000000)
        self.hub.faults[path] = ["slow:2000000"]
        env = harness.environment(**self.env)
        both = [subprocess.Popen([harness.NEXUS, "pull", "org/one"], env=env,
                                 stderr=subprocess.PIPE) for _ in range(2)]
        for p in both:
            err = p.communicate(timeout=60)[1].decode()
            self.assertEqual(p.returncode, 0, err)
        self.check("org/one", [path])
        self.assertEqual(self.hub.sent[path], 2000000)

    def test_two_at_once_one_dies(self):
        path = self.one(1000000)
        self.hub.faults[path] = ["slow:500000"]
        env = harness.environment(**self.env)
        first = subprocess.Popen([harness.NEXUS, "pull", "org/one"], env=env,
                                 stderr=subprocess.DEVNULL)
        while self.hub.sent.get(path, 0) < 200000:
            time.sleep(0.02)
        second = subprocess.Popen([harness.NEXUS, "pull", "org/one"], env=env,
                                  stderr=subprocess.PIPE)
        time.sleep(0.3)
        first.kill()
        first.wait()
        err = second.communicate(timeout=60)[1].decode()
        self.assertEqual(second.returncode, 0, err)
        self.check("org/one", [path])

    def on_a_small_disk(self, size, script):
        """Run a script where $HF_HOME is a file system of that size: needs a mount namespace."""
        small = os.path.join(self.home, "small")
        os.mkdir(small)
        env = harness.environment(**{**self.env, "HF_HOME": small,
                                     "NEXUS": os.path.abspath(harness.NEXUS)})
        p = subprocess.run(["unshare", "-rm", "sh", "-c",
                            f"mount -t tmpfs -o size={size} none {small} && cd / && {script}"],
                           capture_output=True, timeout=60, env=env, check=False)
        text = p.stdout.decode() + p.stderr.decode()
        if "rc=" not in text:
            self.skipTest("skipped: no mount namespaces here: " + text.strip()[:100])
        return p.stdout.decode().splitlines()[-1], text

    def test_full_disk(self):
        """Said before anything is fetched: 64 MB are left to others."""
        self.one(3000000)
        last, text = self.on_a_small_disk("66m", "$NEXUS pull org/one; echo rc=$?")
        self.assertEqual(last, "rc=1", text)
        self.assertIn("not enough room", text)
        self.assertEqual(self.hub.sent, {})

    def test_disk_fills_up(self):
        """Another program takes the room while we fetch; when it is back, the rest comes."""
        path = self.one(1500000)
        self.hub.faults[path] = ["slow:600000"]
        last, text = self.on_a_small_disk(
            "68m", "($NEXUS pull org/one; echo rc=$?) & sleep 1; "
                   "head -c 80000000 /dev/zero > $HF_HOME/ballast; wait; rm $HF_HOME/ballast; "
                   "$NEXUS pull org/one; echo rc=$?")
        self.assertIn("disk is full", text)
        self.assertIn("kept", text)
        self.assertIn("rc=1", text)
        self.assertEqual(last, "rc=0", text)
        ranges = [h.get("Range", "bytes=0-") for role, _, h in self.hub.asked if role == "cdn"]
        self.assertGreater(int(ranges[-1][6:-1]), 200000)

    # ---- Afterwards ----

    def test_used_by_name(self):
        self.hub.add("org/mini", {"mini.Q8_0.gguf": tiny_gguf()})
        done = self.run_it("generate", "-m", "org/mini", "-p", "Hello", "-n", "2")
        self.refused(done, "nexus pull org/mini")
        self.ok(self.pull("org/mini"))
        for name in ("org/mini", "org/mini:Q8_0", "org/mini@main"):
            self.ok(self.run_it("generate", "-m", name, "-p", "Hello", "-n", "2"))
        self.refused(self.run_it("generate", "-m", "org/mini:Q2_K", "-p", "x"), "Q8_0")

    def test_list_and_rm(self):
        self.hub.add("org/a", {"a.Q4_K_M.gguf": noise(9000, 1), "a.Q8_0.gguf": noise(8000, 2)})
        self.hub.add("org/b", {"config.json": b"{}", "model.safetensors": noise(5000, 1)})
        for name in ("org/a", "org/a:Q8_0", "org/b"):
            self.ok(self.pull(name))
        os.mkdir(self.home + "/own")
        shutil.copy(harness.SHIPPED, self.home + "/own/mini.gguf")
        self.ok(self.run_it("generate", "-m", "mini.gguf", "-p", "Hello", "-n", "1"))
        rows = {m["name"]: m for m in self.ok(self.run_it("list", "--json")).json["models"]}
        self.assertEqual(sorted(rows), ["mini.gguf", "org/a", "org/b"])
        self.assertEqual(rows["org/a"]["variants"], "Q4_K_M, Q8_0")
        self.assertEqual(rows["org/a"]["bytes"], 17000)
        self.assertEqual(rows["org/b"]["format"], "safetensors")
        self.assertIn("org/a", self.ok(self.run_it("list")).out.decode())
        self.ok(self.run_it("rm", "org/a:Q8_0"))
        self.check("org/a", ["a.Q4_K_M.gguf"])
        self.assertEqual(len(os.listdir(self.folder("org/a") + "/blobs")), 1)
        self.refused(self.run_it("rm", "org/a:Q8_0"), "not in the model cache")
        self.ok(self.run_it("rm", "org/a"))
        self.assertFalse(os.path.exists(self.folder("org/a")))
        self.ok(self.run_it("rm", "org/b@main"))
        self.ok(self.run_it("rm", "mini.gguf"))
        self.assertEqual(self.ok(self.run_it("list", "--json")).json["models"], [])

    def test_rm_keeps_what_another_revision_uses(self):
        first = self.hub.add("org/c", {"config.json": b"{}", "model.safetensors": noise(5000, 1)})
        self.ok(self.pull("org/c"))
        second = hashlib.sha1(b"second").hexdigest()
        old = first.commit
        first.commit = first.refs["main"] = second
        first.files["config.json"] = b'{"a":1}'
        self.ok(self.pull("org/c"))
        self.ok(self.run_it("rm", "org/c@" + old[:8]))
        self.check("org/c", ["config.json", "model.safetensors"])
        self.assertEqual(len(os.listdir(self.folder("org/c") + "/blobs")), 2)


if __name__ == "__main__":
    harness.main()
