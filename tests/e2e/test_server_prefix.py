"""Protects the tree of prefixes, from outside: what many prompts begin with is read once, whether they
come one after the other or together, and it stays as long as it is used: what goes for want of room is
what was used longest ago.
"""
import concurrent.futures
import random

import harness
from server import Server

PAGE = 16
PREFIX = 1000
ASKS = 20
WORDS = ("network package kernel library window server image format driver editor system file "
         "printer archive protocol compiler music video game shell").split()


def metric(server, name):
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(name + "{"):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"/metrics has no {name}")


class Prefix(harness.Case):
    def text(self, server, n_tokens, seed):
        """Words by chance: a text of exactly so many tokens, cut from a longer one."""
        rng = random.Random(seed)
        text = " ".join(rng.choice(WORDS) for _ in range(n_tokens))
        reply = server.post("/v1/tokenize", {"text": text})
        self.assertEqual(reply.status, 200, reply)
        ids = reply.json["tokens"][:n_tokens]
        return server.post("/v1/detokenize", {"tokens": ids}).json["text"]

    def complete(self, server, prompt):
        """The usage of a short answer: (tokens of the prompt, those that were cached)."""
        reply = server.post("/v1/completions",
                            {"prompt": prompt, "max_tokens": 2, "temperature": 0})
        self.assertEqual(reply.status, 200, reply)
        usage = reply.json["usage"]
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]

    def check_one_prefill(self, server, ask_all):
        """20 prompts over one prefix cost the prefix once, and their own words."""
        prefix = self.text(server, PREFIX, seed=ask_all.__name__)
        prompts = [f"{prefix} {word} question {i}" for i, word in zip(range(ASKS), WORDS * 2)]
        before = {n: metric(server, n) for n in ("nexus_prompt_tokens_total",
                                                 "nexus_prefix_cache_hit_tokens_total",
                                                 "nexus_prefix_cache_queried_tokens_total")}
        usage = ask_all(server, prompts)
        rose = {n: metric(server, n) - v for n, v in before.items()}
        whole = PREFIX // PAGE * PAGE
        cached = sorted(c for _, c in usage)
        self.assertLess(cached[0], PAGE * 2, "somebody had to read it")
        self.assertGreaterEqual(cached[1], whole, f"and nobody else: {cached}")
        n_prompt, n_cached = sum(n for n, _ in usage), sum(cached)
        self.assertGreater(n_prompt, ASKS * PREFIX)
        self.assertEqual(rose["nexus_prefix_cache_queried_tokens_total"], n_prompt)
        self.assertEqual(rose["nexus_prefix_cache_hit_tokens_total"], n_cached)
        self.assertEqual(rose["nexus_prompt_tokens_total"], n_prompt - n_cached)
        self.assertLess(rose["nexus_prompt_tokens_total"], 1.5 * PREFIX)

    def test_asked_one_after_the_other(self):
        def in_turn(server, prompts):
            return [self.complete(server, p) for p in prompts]

        with Server("--ctx", "2048") as s:
            self.check_one_prefill(s, in_turn)

    def test_asked_together(self):
        def together(server, prompts):
            with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
                return list(pool.map(lambda p: self.complete(server, p), prompts))

        with Server("--ctx", "2048") as s:
            self.check_one_prefill(s, together)

    def test_what_was_used_longest_ago_goes_first(self):
        """Room for the prefix and two more prompts: it stays while it is asked between others."""
        with Server("--ctx", "1280", "--positions", "2400", "--parallel", "2") as s:
            prefix = self.text(s, PREFIX, seed=1)
            others = [self.text(s, 500, seed=10 + i) for i in range(6)]
            whole = PREFIX // PAGE * PAGE
            self.complete(s, prefix + " first")
            for i, other in enumerate(others):
                _, cached = self.complete(s, other)
                self.assertLess(cached, PAGE * 2, f"prompt {i} is new")
                _, cached = self.complete(s, f"{prefix} again {i}")
                self.assertGreaterEqual(cached, whole, f"the prefix was used before prompt {i}")
            _, cached = self.complete(s, others[-1])
            self.assertGreaterEqual(cached, 500 // PAGE * PAGE - PAGE, "the last one is there still")
            _, cached = self.complete(s, others[0])
            self.assertLess(cached, PAGE * 2, "the first one had to go")
            for other in others[1:5]:
                self.complete(s, other)
            _, cached = self.complete(s, prefix + " last")
            self.assertLess(cached, whole, "nobody used the prefix while four others came")


if __name__ == "__main__":
    harness.main()
