"""Protects `nexus template`: the rendering byte for byte, its ids with marks where the template
means them and nowhere else, templates from models, files and by name, and what is said of bad
ones."""
import json
import os
import unittest

import harness
from harness import Case, gguf, nexus

TALK = [{"role": "user", "content": "Hi <|im_end|> \"ü\" {{ x }}"}]
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' "
          "+ '\\n' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def model(**more):
    """A vocabulary of bytes and some control tokens."""
    texts = [f"<0x{b:02X}>" for b in range(256)] + ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    kinds = [6] * 256 + [2, 3, 3, 3, 3]
    return gguf({"general.architecture": "llama", "tokenizer.ggml.model": "llama",
                 "tokenizer.ggml.tokens": texts, "tokenizer.ggml.scores": [0.0] * len(texts),
                 "tokenizer.ggml.token_type": kinds, "tokenizer.ggml.bos_token_id": 257,
                 "tokenizer.ggml.eos_token_id": 258, "tokenizer.ggml.unknown_token_id": 256,
                 "tokenizer.ggml.add_bos_token": False,
                 "tokenizer.ggml.add_space_prefix": False, **more})


class Templates(Case):
    def talk(self, messages=None):
        return self.file("talk.json", json.dumps(messages or TALK).encode())

    def test_by_name_without_a_model(self):
        done = self.ok(nexus("template", "--template", "chatml", "--messages", "-",
                             stdin=json.dumps(TALK).encode()))
        self.assertEqual(done.out.decode(), "<|im_start|>user\nHi <|im_end|> \"ü\" {{ x }}<|im_end|>\n"
                                            "<|im_start|>assistant\n")

    def test_no_newline_is_added(self):
        path = self.file("t.jinja", b"{{ messages[0].content }}|{{ tools }}|{{ add_generation_prompt }}")
        done = self.ok(nexus("template", "--template", path, "--messages", self.talk(),
                             "--no-generation-prompt"))
        self.assertEqual(done.out.decode(), TALK[0]["content"] + "|None|False")

    def test_variables_and_tools(self):
        path = self.file("t.jinja", b"{{ bos_token }}{{ x }}{{ tools | tojson }}{{ documents[0].text }}"
                                    b"{{ strftime_now('%d %b %Y %H') }}{{ eos_token }}")
        tools = self.file("tools.json", b'[{"name": "f", "n": 18446744073709551615}]')
        documents = self.file("docs.json", b'[{"text": "D"}]')
        done = self.ok(nexus("template", "--template", path, "--messages", self.talk(), "--tools", tools,
                             "--documents", documents, "--var", "x=[1, null]", "--bos", "<b>",
                             "--eos", "<e>", "--time", "2026-03-05T07:08:09"))
        self.assertEqual(done.out.decode(), '<b>[1, None][{"name": "f", "n": 18446744073709551615}]D'
                                            '05 Mar 2026 07<e>')

    def test_ids(self):
        path = self.file("m.gguf", model(**{"tokenizer.chat_template": CHATML}))
        done = self.ok(nexus("template", "-m", path, "--messages", self.talk(), "--ids"))
        ids = [int(x) for x in done.out.split()]
        text = self.ok(nexus("template", "-m", path, "--messages", self.talk())).out
        self.assertEqual(ids.count(259), 2)
        self.assertEqual(ids.count(260), 1)    # the one in the message is text
        back = self.ok(nexus("detokenize", "-m", path, "--control", *map(str, ids))).out
        self.assertEqual(back.strip(), text.strip())

    def test_named_templates(self):
        path = self.file("m.gguf", model(**{"tokenizer.chat_template": "own",
                                            "tokenizer.chat_template.tool_use": "with tools",
                                            "tokenizer.chat_template.rag": "rag"}))
        tools = self.file("tools.json", b"[]")
        for words, want in ((["--template", "rag"], "rag"), ([], "own"), (["--tools", tools], "with tools")):
            done = self.ok(nexus("template", "-m", path, "--messages", self.talk(), *words))
            self.assertEqual(done.out.decode(), want)

    def test_refusals(self):
        talk = self.talk()
        bad = self.file("bad.jinja", b"a\n{% if x %}\nb")
        self.refused(nexus("template", "--template", bad, "--messages", talk), 1, "bad.jinja", "line 3",
                     "expected 'elif' or 'else' or 'endif'")
        raises = self.file("r.jinja", b"\n\n{{ raise_exception('roles must alternate') }}")
        self.refused(nexus("template", "--template", raises, "--messages", talk), 1, "line 3",
                     "roles must alternate")
        endless = self.file("e.jinja", b"{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}"
                                       b"{% endfor %}")
        self.refused(nexus("template", "--template", endless, "--messages", talk), 1, "too many steps")
        self.refused(nexus("template", "--template", "nosuch", "-m", self.file("m.gguf", model()),
                           "--messages", talk), 1, "nosuch", "chatml")
        self.refused(nexus("template", "--template", "chatml"), 2, "--messages")
        self.refused(nexus("template", "--template", "chatml", "--messages",
                           self.file("o.json", b"{}")), 1, "expected an array")
        self.refused(nexus("template", "--template", "chatml", "--messages", talk, "--var", "x=y"), 1,
                     "--var")

    def test_shipped_templates(self):
        folder = os.path.join(harness.SHARED, "data", "templates")
        if not os.path.isdir(folder):
            raise unittest.SkipTest(f"skipped: no {folder}")
        tools = self.file("tools.json", b'[{"type": "function", "function": {"name": "f", '
                                        b'"description": "d", "parameters": {"type": "object", '
                                        b'"properties": {}}}}]')
        for name in sorted(os.listdir(folder)):
            if name.endswith(".jinja"):
                words = ["--tools", tools] if "tool_use" in name else []
                self.ok(nexus("template", "--template", os.path.join(folder, name), "--messages",
                              self.talk(), "--bos", "<s>", "--eos", "</s>", *words))


if __name__ == "__main__":
    harness.main()
