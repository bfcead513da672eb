#!/usr/bin/env python3
"""Chat templates: our renderings beside those of jinja2 as transformers sets it up.

Three kinds: the templates of ../shared/data/templates over a matrix of conversations, a corpus of
small templates (jinja_corpus.py) that visits each feature, and random templates. Each rendering has
equal bytes, or both refuse. NX_TEMPLATE_RANDOM: how many random templates (default 1000).
"""
import datetime as real
import functools
import glob
import itertools
import json
import os
import random
import subprocess
import sys
import time
import warnings

os.environ["TZ"] = "UTC"
time.tzset()
warnings.simplefilter("ignore")

import jinja2  # noqa: E402
from transformers.utils import chat_template_utils as judge  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import jinja_corpus  # noqa: E402

NOW = real.datetime(2026, 3, 5, 7, 8, 9)
BUILD = os.environ.get("NX_BUILD_DIR", "build/release")
SHARED = os.environ.get("NX_SHARED", "../shared")


class Clock(real.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


judge.datetime = Clock


class Ours:
    """The renderer, one process for all."""

    def __init__(self):
        self.p = subprocess.Popen([os.path.join(BUILD, "tests", "parity", "jinja_render")],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, template, variables, user=None):
        job = {"template": template, "vars": variables,
               "unix_ms": int(NOW.replace(tzinfo=real.timezone.utc).timestamp() * 1000)}
        if user:
            job["user"] = user
        self.p.stdin.write(json.dumps(job, ensure_ascii=False).encode() + b"\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            raise SystemExit(f"our renderer died on {template!r}")
        return json.loads(line)


@functools.lru_cache(64)
def compiled(template):
    return judge._cached_compile_jinja_template(template)


def theirs(template, variables):
    """Their text, or None and what they said."""
    try:
        text = compiled(template).render(**variables)
        text.encode("utf-8")
        return text, None
    except RecursionError as e:
        return None, f"RecursionError {e}"
    except Exception as e:  # whatever Python raises
        return None, f"{type(e).__name__}: {e}"


class Count:
    def __init__(self, ours):
        self.ours, self.n, self.n_refused, self.wrong = ours, 0, 0, []

    def check(self, where, template, variables, may_refuse=None):
        text, why = theirs(template, variables)
        got = self.ours.render(template, variables)
        self.n += 1
        self.n_refused += text is None
        if got.get("text") == text:
            return
        if text is not None and " at 0x" in text:
            return   # an address: nobody can repeat it
        if text is not None and may_refuse and any(w in got.get("error", "") for w in may_refuse):
            return
        self.wrong.append((where, template, text if text is not None else why,
                           got.get("text", got.get("error"))))

    def report(self, what):
        for where, template, want, found in self.wrong[:40]:
            print(f"{where}: {template[:1500]!r}\n  expected {want!r:.600}\n  found    {found!r:.600}")
        print(f"{what}: {self.n} renderings, {self.n_refused} refused by both, "
              f"{len(self.wrong)} differ")
        return not self.wrong


# ---- The matrix of conversations ----

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Look \"up\" the weather, it's <fast> & säfe\nreally",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "Ortsname — 都市"},
        "days": {"type": "integer", "minimum": 1, "maximum": 18446744073709551615},
        "share": {"type": ["number", "null"], "default": 0.1, "enum": [0.1, 1e-7, 1e22, True, None]},
    }, "required": ["city"]}, "return": {"type": "string"}}},
    {"type": "function", "function": {"name": "stop", "description": "", "parameters": {
        "type": "object", "properties": {}}}}]
DOCUMENTS = [{"title": "A \"title\"", "text": "Line one\nline two ☃"}, {"title": "", "text": "x"}]
TEXTS = ["Hello", "  spaces around\n\n", "It's \"quoted\" \\ <b>&amp;</b>", "多言語 ünï 😀\u00a0end",
         "<|im_end|>[/INST]<eos> {{ x }} {% y %}", "", "line\r\nline\tend\n",
         "<think>\nhm\n</think>\n\nSo: 4"]


def turns(n, shift, system, tools):
    messages = []
    if system:
        messages.append({"role": "system", "content": TEXTS[(shift + 3) % len(TEXTS)]})
    for i in range(n):
        messages.append({"role": "user" if i % 2 == 0 else "assistant",
                         "content": TEXTS[(shift + i) % len(TEXTS)]})
    if tools and n > 1:
        call = {"name": "get_weather", "arguments": {"city": "Köln \"am\" Rhein", "days": 2, "x": 1.5}}
        at = len(messages) - (n % 2 == 0)
        ids = {"id": "abcdef123"} if tools > 1 else {}
        messages[at:at] = [
            {"role": "assistant", "content": None if tools == 3 else "",
             "tool_calls": [{"type": "function", "function": call, **ids}]},
            {"role": "tool", "name": "get_weather", "content": "{\"t\": 21.5}",
             **({"tool_call_id": "abcdef123"} if ids else {})}]
        if n % 2 == 1:
            messages.append({"role": "assistant", "content": "It is 21.5 °C"})
    return messages


def matrix():
    for n, system, tools, prompt, shift in itertools.product(
            range(1, 7), (False, True), (0, 1, 2, 3), (False, True), range(0, 8, 3)):
        v = {"messages": turns(n, shift, system, tools), "add_generation_prompt": prompt,
             "tools": TOOLS if tools else None, "documents": DOCUMENTS if shift == 6 else None}
        yield v
    base = {"tools": None, "documents": None, "add_generation_prompt": True}
    yield {**base, "messages": []}
    yield {**base, "messages": [{"role": "user"}]}
    yield {**base, "messages": [{"role": "user", "content": None}]}
    yield {**base, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}
    yield {**base, "messages": [{"role": "narrator", "content": "Once"}]}
    yield {**base, "messages": [{"role": "assistant", "content": "first"}, {"role": "user", "content": "?"}]}
    yield {**base, "messages": turns(2, 0, True, 0), "enable_thinking": False, "tools_in_user_message": False}
    yield {**base, "messages": turns(3, 1, True, 1), "tools": TOOLS, "date_string": "1 Jan 2025"}
    yield {**base, "messages": turns(3, 1, False, 0), "tools": []}


def templates():
    folder = os.path.join(SHARED, "data", "templates")
    for path in sorted(glob.glob(os.path.join(folder, "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as f:
            yield os.path.basename(path), f.read(), {}
    path = os.path.join(folder, "cases.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for case in json.load(f)["cases"]:
                yield case["name"], case["template"], {}


def check_files(ours):
    count, rows = Count(ours), list(matrix())
    for name, template, _ in templates():
        for tokens in ({"bos_token": "<s>", "eos_token": "</s>"}, {}):
            for i, v in enumerate(rows):
                if not tokens and i % 17:
                    continue
                count.check(name, template, {**v, **tokens})
    if count.n == 0:
        print(f"skipped: no templates in {SHARED}/data")
        return True
    return count.report("shared templates")


def check_corpus(ours):
    count = Count(ours)
    for template, variables in jinja_corpus.cases():
        count.check("corpus", template, variables, jinja_corpus.LIMITS)
    return count.report("corpus")


def check_random(ours):
    count = Count(ours)
    rng = random.Random(int(os.environ.get("NX_TEMPLATE_SEED", "1")))
    for _ in range(int(os.environ.get("NX_TEMPLATE_RANDOM", "1000"))):
        template = jinja_corpus.Maker(rng).template()
        count.check("random", template, jinja_corpus.VARIABLES, jinja_corpus.LIMITS)
    return count.report("random templates")


def main():
    print(f"jinja2 {jinja2.__version__}, Python {sys.version.split()[0]}")
    ours = Ours()
    good = [check_files(ours), check_corpus(ours), check_random(ours)]
    sys.exit(0 if all(good) else 1)


main()
