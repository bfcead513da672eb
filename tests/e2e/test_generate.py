"""Protects `nexus generate`: what it says, what it prints, that the same question gets the same
answer however it is computed, and every odd prompt that people will try."""
import json
import os
import re
import signal
import subprocess
import time
import unittest

import harness
from harness import Case, Terminal, any_model, environment, nexus, shared

GREEDY = ["--temp", "0", "--ignore-eos", "--json"]
TIE = 1e-3    # logits this near may swap between implementations


def csv(ids):
    return ",".join(map(str, ids))


class Stories(Case):
    """stories260K against what llama.cpp said of it (../shared/data)."""

    @classmethod
    def setUpClass(cls):
        cls.model = shared("models", "stories260K.gguf")
        with open(shared("models", "stories260K.expected.json"), encoding="utf-8") as f:
            cls.cases = json.load(f)["cases"]

    def generate(self, case, *args, **how):
        return self.ok(nexus("generate", "-m", self.model, "-p", case["prompt"], *GREEDY, "-n",
                             str(len(case["tokens"])), *args, **how)).json

    def test_ids_tokens_and_logprobs(self):
        for case in self.cases:
            with self.subTest(prompt=case["prompt"]):
                said = self.generate(case, "--logprobs", "10")
                self.assertEqual(said["prompt_tokens"], case["prompt_tokens"])
                self.assertEqual(said["tokens"], case["tokens"])
                self.assertEqual(said["finish_reason"], "length")
                self.compare_steps(said["steps"], case["steps"])

    def compare_steps(self, ours, theirs):
        self.assertEqual(len(ours), len(theirs))
        for i, (a, b) in enumerate(zip(ours, theirs)):
            self.assertEqual(a["id"], b["id"])
            self.assertAlmostEqual(a["logprob"], b["logprob"], delta=0.01, msg=f"step {i}")
            self.assertEqual(len(a["top"]), 10)
            self.assertEqual(a["top"], sorted(a["top"], key=lambda t: (-t[1], t[0])))
            listed = dict(map(tuple, a["top"]))
            for id_, logprob in b["top"]:
                if id_ in listed:
                    self.assertAlmostEqual(listed[id_], logprob, delta=0.01, msg=f"step {i}")
                else:    # pushed out of our ten by one as likely
                    self.assertAlmostEqual(a["top"][-1][1], logprob, delta=0.01, msg=f"step {i}")

    def test_text_is_that_of_the_reference(self):
        for case in self.cases:
            with self.subTest(prompt=case["prompt"]):
                self.assertEqual(self.generate(case)["text"], case["text"])

    def test_ids_as_prompt(self):
        for case in self.cases[:3]:
            said = self.ok(nexus("generate", "-m", self.model, "--prompt-ids",
                                 csv(case["prompt_tokens"]), *GREEDY, "-n", "48")).json
            self.assertEqual(said["prompt_tokens"], case["prompt_tokens"])
            self.assertEqual(said["tokens"], case["tokens"])


class SameAnswer(Case):
    """One answer, whatever computes it."""

    @classmethod
    def setUpClass(cls):
        cls.model = any_model()
        cls.prompt = "Once upon a time there was a little dog. " * 3

    def greedy(self, *args, **how):
        return self.ok(nexus("generate", "-m", self.model, "-p", self.prompt, *GREEDY, "-n", "40",
                             "--logprobs", "2", *args, **how)).json

    def test_batches(self):
        want = self.greedy()["steps"]
        for batch in ("1", "7", "512"):
            self.assertEqual(self.greedy("--batch", batch)["steps"], want, f"batch {batch}")

    def test_threads(self):
        want = self.greedy("--threads", "1")["steps"]
        for n in ("2", "4"):
            self.assertEqual(self.greedy("--threads", n)["steps"], want, f"{n} threads")

    def test_reference_kernels(self):
        fast, ref = self.greedy()["steps"], self.greedy(env={"NEXUS_CPU": "ref"})["steps"]
        for a, b in zip(fast, ref):
            if abs(a["top"][0][1] - a["top"][1][1]) <= TIE:
                break    # two as likely: either may be taken, and the ways part
            self.assertEqual(a["id"], b["id"])
            self.assertAlmostEqual(a["logprob"], b["logprob"], delta=1e-3)

    def test_unknown_cpu_is_refused(self):
        self.refused(nexus("generate", "-m", self.model, "-p", "x", env={"NEXUS_CPU": "z80"}), 1,
                     "z80", "ref")

    def test_kv_types(self):
        f16, f32 = self.greedy()["steps"], self.greedy("--kv-type", "f32")["steps"]
        self.assertAlmostEqual(f16[0]["logprob"], f32[0]["logprob"], delta=0.02)
        done = nexus("generate", "-m", self.model, "-p", "x", "-n", "2", "--kv-type", "q8_0")
        if done.rc == 0:
            self.assertTrue(done.out)
        else:    # heads too small for blocks of 32: said so
            self.refused(done, 1, "q8_0")

    def test_seeds(self):
        def sampled(seed, *args):
            return self.ok(nexus("generate", "-m", self.model, "-p", self.prompt, "-n", "30",
                                 "--json", "--ignore-eos", "--temp", "20", "--top-k", "0",
                                 "--top-p", "1", "--min-p", "0", "--seed", str(seed),
                                 *args)).json["tokens"]
        once = sampled(42)
        self.assertEqual(sampled(42), once)
        self.assertEqual(sampled(42, "--threads", "1", "--batch", "3"), once)
        self.assertNotEqual(sampled(43), once)

    def test_the_seed_shown_gives_the_text_again(self):
        args = ["generate", "-m", self.model, "-p", self.prompt, "-n", "30", "--temp", "1.2"]
        first = self.ok(nexus(*args))
        self.assertIn(" seed ", first.err)
        seed = first.err.split(" seed ")[1].strip()
        self.assertEqual(self.ok(nexus(*args, "--seed", seed)).out, first.out)


class Answer(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = any_model()

    def args(self, *more):
        return ["generate", "-m", self.model, "--temp", "0", "--ignore-eos", *more]

    def test_json_has_exactly_its_keys(self):
        plain = self.ok(nexus(*self.args("-p", "Once", "-n", "4", "--json"))).json
        self.assertEqual(list(plain),
                         ["prompt_tokens", "tokens", "text", "finish_reason", "timings"])
        full = self.ok(nexus(*self.args("-p", "Once", "-n", "4", "--json", "--logprobs", "3"))).json
        self.assertEqual(set(full), set(plain) | {"steps"})
        for step in full["steps"]:
            self.assertEqual(set(step), {"id", "logprob", "top"})
            self.assertEqual(len(step["top"]), 3)
            self.assertEqual(step["top"][0], [step["id"], step["logprob"]])    # greedy
        for value in full["timings"].values():
            self.assertGreaterEqual(value, 0)

    def test_logprobs_0_lists_none(self):
        said = self.ok(nexus(*self.args("-p", "Once", "-n", "3", "--json", "--logprobs", "0"))).json
        self.assertEqual([s["top"] for s in said["steps"]], [[], [], []])

    def test_logprobs_are_those_before_sampling(self):
        """Penalties, biases and temperature change the choice, not what is reported."""
        plain = self.ok(nexus(*self.args("-p", "Once", "-n", "1", "--json", "--logprobs", "5"))).json
        best = plain["steps"][0]["id"]
        biased = self.ok(nexus(*self.args("-p", "Once", "-n", "1", "--json", "--logprobs", "5",
                                          "--logit-bias", f"{best}=-inf"))).json
        self.assertNotEqual(biased["tokens"][0], best)
        self.assertEqual(biased["steps"][0]["top"], plain["steps"][0]["top"])

    def test_streamed_text_is_that_of_json(self):
        text = self.ok(nexus(*self.args("-p", "Once", "-n", "40", "--json"))).json["text"]
        streamed = self.ok(nexus(*self.args("-p", "Once", "-n", "40")))
        self.assertEqual(streamed.out.decode(), text)
        self.assertRegex(streamed.err, r"prompt \d+ tokens.* · 40 new.* · first after .* · seed \d+")

    def test_figures_follow_the_log_options(self):
        done = self.ok(nexus(*self.args("-p", "Once", "-n", "3", "--log-level", "warn")))
        self.assertEqual(done.err, "")
        done = self.ok(nexus("--log-format", "json", *self.args("-p", "Once", "-n", "3")))
        self.assertIn("3 new", json.loads(done.err)["message"])

    def test_no_colour_nor_progress_in_a_pipe(self):
        done = self.ok(nexus(*self.args("-p", "Once upon a time " * 20, "-n", "3")))
        self.assertNotIn("\033", done.err)
        self.assertNotIn("\r", done.err)

    def test_stop_text(self):
        whole = self.ok(nexus(*self.args("-p", "Once upon a time", "-n", "40", "--json"))).json
        text = whole["text"]
        stop = text[len(text) // 2:len(text) // 2 + 3]
        done = self.ok(nexus(*self.args("-p", "Once upon a time", "-n", "40", "--json", "--stop",
                                        "never said", "--stop", stop))).json
        self.assertEqual(done["text"], text[:text.index(stop)])
        self.assertEqual(done["finish_reason"], "stop")
        self.assertLess(len(done["tokens"]), len(whole["tokens"]))
        streamed = self.ok(nexus(*self.args("-p", "Once upon a time", "-n", "40", "--stop", stop)))
        self.assertEqual(streamed.out.decode(), done["text"])

    def test_empty_stop_text(self):
        self.refused(nexus(*self.args("-p", "x", "--stop", "")), 2, "--stop", "empty")

    def test_logit_bias(self):
        first = self.ok(nexus(*self.args("-p", "Once", "-n", "1", "--json", "--logprobs", "2"))).json
        second = first["steps"][0]["top"][1][0]
        forced = self.ok(nexus(*self.args("-p", "Once", "-n", "3", "--json", "--logit-bias",
                                          f"{second}=1000"))).json
        self.assertEqual(forced["tokens"], [second] * 3)
        for bad, rc in (("5", 2), ("x=1", 2), ("1=much", 2), ("-1=1", 2), ("99999999=1", 1)):
            self.refused(nexus(*self.args("-p", "x", "--logit-bias", bad)), rc, "--logit-bias")

    def test_penalties_change_the_answer(self):
        plain = self.ok(nexus(*self.args("-p", "Once", "-n", "40", "--json"))).json["tokens"]
        for option, value in (("--repeat-penalty", "3"), ("--frequency-penalty", "5"),
                              ("--presence-penalty", "10")):
            with self.subTest(option=option):
                said = self.ok(nexus(*self.args("-p", "Once", "-n", "40", "--json", option,
                                                value))).json["tokens"]
                self.assertNotEqual(said, plain)
                unseen = self.ok(nexus(*self.args("-p", "Once", "-n", "40", "--json", option, value,
                                                  "--penalty-window", "0"))).json["tokens"]
                self.assertEqual(unseen, plain)

    def test_one_candidate_left_is_greedy(self):
        want = self.ok(nexus(*self.args("-p", "Once", "-n", "12", "--json"))).json["tokens"]
        for option, value in (("--top-k", "1"), ("--top-p", "0.000001"), ("--min-p", "1")):
            with self.subTest(option=option):
                said = self.ok(nexus(*self.args("-p", "Once", "-n", "12", "--json", "--temp", "1",
                                                option, value))).json["tokens"]
                self.assertEqual(said, want)


class OddPrompts(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = any_model()

    def args(self, *more):
        return ["generate", "-m", self.model, "--temp", "0", *more]

    def test_stdin_is_the_same_text(self):
        text = "Once upon a time,\n there"
        a = self.ok(nexus(*self.args("-p", text, "-n", "8", "--json"))).json
        b = self.ok(nexus(*self.args("-p", "-", "-n", "8", "--json"), stdin=text.encode())).json
        for key in ("prompt_tokens", "tokens", "text"):
            self.assertEqual(a[key], b[key])

    def test_n_0(self):
        said = self.ok(nexus(*self.args("-p", "Once", "-n", "0", "--json"))).json
        self.assertEqual((said["tokens"], said["text"], said["finish_reason"]), ([], "", "length"))
        done = self.ok(nexus(*self.args("-p", "Once", "-n", "0")))
        self.assertEqual(done.out, b"")
        self.assertIn("0 new", done.err)

    def test_empty(self):
        ids = self.ok(nexus("tokenize", "-m", self.model, "")).out.split()
        for how in (self.args("-p", ""), self.args("-p", "-")):
            done = nexus(*how, "-n", "4", "--json")
            if ids:    # it begins with BOS
                self.assertEqual(self.ok(done).json["prompt_tokens"], [int(i) for i in ids])
                self.assertTrue(done.json["tokens"])
            else:
                self.refused(done, 1, "prompt is empty")

    def test_invalid_utf8(self):
        for raw in (b"\xff\xfe caf\xe9", b"\xc3", b"\xed\xa0\x80", b"a\0b", bytes(range(256))):
            with self.subTest(raw=raw[:8]):
                said = self.ok(nexus(*self.args("-p", "-", "-n", "4", "--json"), stdin=raw)).json
                self.assertGreater(len(said["prompt_tokens"]), 0)
        self.ok(nexus(*self.args("-p", b"caf\xe9", "-n", "2")))

    def test_context_larger_than_the_models(self):
        self.refused(nexus(*self.args("-p", "x", "--ctx", "1000000")), 1, "1000000", "model")

    def test_prompt_larger_than_the_context(self):
        self.refused(nexus(*self.args("-p", "word " * 200, "--ctx", "64")), 1, "64", "--ctx")

    def test_answer_ends_with_the_context(self):
        said = self.ok(nexus(*self.args("-p", "Once", "--ctx", "32", "-n", "1000", "--ignore-eos",
                                        "--json"))).json
        self.assertEqual(said["finish_reason"], "length")
        self.assertIn(len(said["prompt_tokens"]) + len(said["tokens"]), (32, 33))

    def test_bad_ids(self):
        for ids, rc, words in (("1,x", 2, ["'x'"]), ("99999999", 1, ["99999999"]),
                               ("-1", 2, ["-1"]), ("", 2, ["no ids"])):
            self.refused(nexus(*self.args("--prompt-ids", ids)), rc, "--prompt-ids", *words)


class Interrupt(Case):
    """Ctrl-C: what was said so far stands, exit code 130."""

    def start(self, *args):
        p = subprocess.Popen([harness.NEXUS, "generate", "-m", any_model(), "-p", "Once upon a",
                              "-n", "100000", "--ignore-eos", "--temp", "0", *args],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=environment(NEXUS_CPU="ref"), bufsize=0)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.wait)
        return p

    def test_partial_text(self):
        p = self.start("--threads", "1")
        first = os.read(p.stdout.fileno(), 16)
        p.send_signal(signal.SIGINT)
        rest = p.stdout.read()
        err = p.stderr.read().decode()
        if p.wait(timeout=60) == 0:
            self.skipTest("skipped: the answer was complete before the signal came")
        self.assertEqual(p.returncode, 130, err)
        (first + rest).decode("utf-8")    # whole characters
        self.assertIn(" new", err)

    def test_json_is_whole(self):
        p = self.start("--threads", "1", "--json")
        time.sleep(0.1)
        p.send_signal(signal.SIGINT)
        out = p.stdout.read()
        err = p.stderr.read().decode()
        rc = p.wait(timeout=60)
        if rc == -signal.SIGINT:
            self.skipTest("skipped: the signal came before the command had begun")
        if rc == 0:
            self.skipTest("skipped: the answer was complete before the signal came")
        self.assertEqual(rc, 130, err)
        self.assertEqual(json.loads(out)["finish_reason"], "cancelled")


class AtATerminal(Case):
    """What a person sees."""

    def sit_down(self, *args, **env):
        t = Terminal(self, "generate", "-m", any_model(), "--temp", "0", "--ignore-eos", *args,
                     home=self.tmp, **env)
        self.addCleanup(t.close)
        return t

    def test_the_answer_ends_with_a_newline(self):
        t = self.sit_down("-p", "Once upon a time", "-n", "5")
        self.assertRegex(t.until(r"prompt \d+ tokens.*seed \d+\r\n"), r"\n *prompt")
        self.assertEqual(t.end(), 0)

    def test_interrupt(self):
        t = self.sit_down("-p", "Once upon a time", "-n", "100000", NEXUS_CPU="ref")
        t.until(r".{8}")
        t.type("\x03")
        t.until(r" new.*seed \d+\r\n")
        self.assertEqual(t.end(), 130)

    def test_progress_appears_in_long_prompts_and_goes(self):
        t = self.sit_down("-p", "dog " * 100, "--batch", "1", "-n", "5", NEXUS_CPU="ref")
        seen = t.until(r"prompt \d+ tokens.*seed \d+\r\n")
        n, rate, kilo = re.search(r"prompt (\d+) tokens, ([\d.]+)( k)? tok/s", seen).groups()
        if int(n) / float(rate) / (1000 if kilo else 1) < 1:
            self.skipTest("skipped: this machine reads 100 words too fast for a bar")
        self.assertRegex(seen, r"reading the prompt \[[#.]+\] \d+/\d+ tokens, .*/s, .* left")
        self.assertGreater(seen.rindex("\r\033[K"), seen.rindex(" left"))


if __name__ == "__main__":
    harness.main()
