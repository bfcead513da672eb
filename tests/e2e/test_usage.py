"""Protects the way in: help, mistakes on the command line, files that aren't models. Every wrong
turn ends with the right exit code and a message that says what to do."""
import json
import os
import subprocess
import unittest

import harness
from harness import Case, any_model, environment, gguf, nexus

COMMANDS = ["generate", "chat", "tokenize", "detokenize", "info", "logits", "bench", "perplexity"]


class Help(Case):
    def test_overview_names_every_command(self):
        for args in (["--help"], ["-h"], ["help"]):
            done = self.ok(nexus(*args))
            for name in COMMANDS:
                self.assertIn(f"\n  {name} ", done.out.decode(), str(done))

    def test_each_command_shows_an_example(self):
        for name in COMMANDS:
            done = self.ok(nexus(name, "--help"))
            self.assertIn("Examples:", done.out.decode(), str(done))
            self.assertIn(f"nexus {name} ", done.out.decode(), str(done))
            self.assertEqual(self.ok(nexus("help", name)).out, done.out)

    def test_help_fits_a_terminal(self):
        for name in COMMANDS:
            for line in nexus(name, "--help").out.decode().splitlines():
                self.assertLessEqual(len(line), 100, line)

    def test_version(self):
        self.assertRegex(self.ok(nexus("--version")).out.decode(), r"^nexus \d+\.\d+\.\d+\n$")


class Mistakes(Case):
    def test_no_command(self):
        self.refused(nexus(), 2, "no command")

    def test_unknown_command(self):
        self.refused(nexus("genrate"), 2, "unknown command 'genrate'", "'generate'")
        self.refused(nexus("xyzzy"), 2, "unknown command 'xyzzy'")

    def test_unknown_option(self):
        self.refused(nexus("generate", "--tmep", "1"), 2, "--tmep", "did you mean --temp")
        self.refused(nexus("generate", "-Z"), 2, "-Z")

    def test_values(self):
        for args, words in [
            (["--temp", "warm"], ["--temp", "number", "'warm'"]),
            (["--temp", "-1"], ["--temp", "at least 0", "-1"]),
            (["--temp", "nan"], ["--temp", "number"]),
            (["--top-p", "0"], ["--top-p", "above 0"]),
            (["--top-p", "1.5"], ["--top-p", "at most 1", "1.5"]),
            (["-n", "-5"], ["--n-predict" , "0"]),
            (["-n", "ten"], ["whole number", "'ten'"]),
            (["-n", "5x"], ["whole number", "'5x'"]),
            (["--threads", "100000"], ["--threads", "from 0"]),
            (["--batch", "0"], ["--batch", "from 1"]),
            (["--ctx", "99999999999999999999"], ["--ctx"]),
            (["--kv-type", "f8"], ["--kv-type", "f16|f32|q8_0", "'f8'"]),
            (["--seed", "-1"], ["--seed", "'-1'"]),
            (["--json=yes"], ["--json takes no value"]),
            (["--temp"], ["--temp needs"]),
            (["--log-level", "loud"], ["--log-level", "error|warn|info|debug"]),
            (["stray"], ["unexpected argument 'stray'"]),
        ]:
            with self.subTest(args=args):
                done = nexus("generate", "-p", "x", *args)
                self.refused(done, 2, *[w for w in words if w != "--n-predict"])

    def test_prompt_is_needed_once(self):
        self.refused(nexus("generate"), 2, "no prompt", "-p")
        self.refused(nexus("generate", "-p", "x", "--prompt-ids", "1"), 2, "exclude each other")

    def test_logprobs_need_json(self):
        self.refused(nexus("generate", "-p", "x", "--logprobs", "3"), 2, "--json")

    def test_environment_is_checked_too(self):
        self.refused(nexus("generate", "-p", "x", env={"NEXUS_TEMP": "warm"}), 2, "NEXUS_TEMP",
                     "'warm'")

    def test_arguments_missing(self):
        self.refused(nexus("tokenize"), 2, "no text")
        self.refused(nexus("detokenize"), 2, "no ids")

    def test_log_format_json(self):
        for args, env in ((["--log-format", "json", "nope"], {}),
                          (["generate", "--log-format", "json", "--temp", "nope"], {}),
                          (["nope"], {"NEXUS_LOG_FORMAT": "json"})):
            done = nexus(*args, env=env)
            self.assertEqual(done.rc, 2)
            line = json.loads(done.err)
            self.assertEqual(line["level"], "error")
            self.assertIn("nope", line["message"])
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


class NotAModel(Case):
    """For each command that opens a file."""

    def each(self, path, rc, *words):
        questions = {
            "generate": ["-m", path, "-p", "x"],
            "chat": ["-m", path],
            "tokenize": ["-m", path, "x"],
            "detokenize": ["-m", path, "1"],
            "logits": ["-m", path, "--prompt-ids", "1", "--raw"],
            "info": [path],
            "bench": ["-m", path],
            "perplexity": ["-m", path, __file__],
        }
        for name in COMMANDS:
            with self.subTest(command=name):
                self.refused(nexus(name, *questions[name]), rc, *words)

    def test_missing(self):
        self.each("/nowhere/model.gguf", 1, "/nowhere/model.gguf", "no such file")

    def test_directory(self):
        self.each(self.tmp, 1, self.tmp, "no model in this folder")

    def test_pickle(self):
        self.each(self.file("pytorch_model.bin", b"PK\3\4" + b"\0" * 99), 1, "pytorch_model.bin",
                  "pickle", "safe_serialization")

    def test_folder_of_an_unknown_kind(self):
        self.file("config.json", b'{"model_type": "mamba"}')
        self.each(self.tmp, 1, "config.json: model_type", '"mamba"', "llama, mistral, mixtral")

    def test_text(self):
        self.each(self.file("a.txt", b"Once upon a time there was no model.\n" * 40), 1, "a.txt",
                  "GGUF")

    def test_empty(self):
        self.each(self.file("empty.gguf", b""), 1, "empty.gguf")

    def test_truncated(self):
        whole = gguf({"general.architecture": "llama", "llama.block_count": 5})
        self.each(self.file("cut.gguf", whole[:40]), 1, "cut.gguf")

    def test_without_permission(self):
        path = self.file("secret.gguf", b"GGUF")
        os.chmod(path, 0)
        if os.access(path, os.R_OK):
            self.skipTest("skipped: this user may read everything")
        self.each(path, 1, "ermission")

    def test_unsupported_architecture(self):
        path = self.file("rwkv.gguf", gguf({
            "general.architecture": "rwkv6",
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)],
            "tokenizer.ggml.scores": [0.0] * 259,
            "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256,
        }))
        self.refused(nexus("generate", "-m", path, "-p", "x"), 1, "rwkv6", "llama")

    def test_shipped_model_missing(self):
        """A program somewhere on its own says where it looked."""
        lonely = os.path.join(self.tmp, "bin", "nexus")
        os.mkdir(os.path.dirname(lonely))
        with open(harness.NEXUS, "rb") as f, open(lonely, "wb") as g:
            g.write(f.read())
        os.chmod(lonely, 0o755)
        p = subprocess.run([lonely, "generate", "-p", "x"], capture_output=True, text=True,
                           env=environment(), check=False)
        self.assertEqual(p.returncode, 1, p.stderr)
        for word in ("nexus-mini.gguf", "../share/nexus/models", "-m FILE", "NEXUS_MODEL"):
            self.assertIn(word, p.stderr)

    def test_model_from_the_environment(self):
        self.refused(nexus("tokenize", "x", env={"NEXUS_MODEL": "/nowhere/env.gguf"}), 1,
                     "/nowhere/env.gguf")
        self.refused(nexus("tokenize", "-m", "/nowhere/flag.gguf", "x",
                           env={"NEXUS_MODEL": "/nowhere/env.gguf"}), 1, "/nowhere/flag.gguf")


class Output(Case):
    def run_with_stdout(self, args, stdout=None, preexec_fn=None):
        p = subprocess.run([harness.NEXUS, *args], stdin=subprocess.DEVNULL, stdout=stdout,
                           stderr=subprocess.PIPE, text=True, env=environment(), timeout=300,
                           preexec_fn=preexec_fn, check=False)
        return p.returncode, p.stderr

    def test_closed_stdout(self):
        model = any_model()
        for args in (["--version"], ["tokenize", "-m", model, "x"],
                     ["generate", "-m", model, "-p", "x", "-n", "2"]):
            with self.subTest(args=args[0]):
                rc, err = self.run_with_stdout(args, preexec_fn=lambda: os.close(1))
                self.assertEqual(rc, 1)
                self.assertIn("stdout is closed", err)

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("skipped: no /dev/full")
        with open("/dev/full", "wb") as full:
            for args in (["--version"], ["tokenize", "-m", any_model(), "x"],
                         ["generate", "-m", any_model(), "-p", "x", "-n", "4"]):
                with self.subTest(args=args[0]):
                    rc, err = self.run_with_stdout(args, stdout=full)
                    self.assertEqual(rc, 1)
                    self.assertIn("No space left", err)

    def test_reader_that_leaves(self):
        """`nexus generate | head -c 10` ends soon, quietly, with 1."""
        model = any_model()
        p = subprocess.Popen([harness.NEXUS, "generate", "-m", model, "-p", "Once upon a time",
                              "-n", "100000", "--ignore-eos"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=environment())
        p.stdout.read(10)
        p.stdout.close()
        err = p.stderr.read().decode()
        p.stderr.close()
        self.assertEqual(p.wait(timeout=60), 1)
        self.assertEqual(err, "")


if __name__ == "__main__":
    harness.main()
