"""Protects `nexus chat`: turns from a pipe, a person at a terminal (a real pseudo-terminal), and
what is left of a conversation when its context is full."""
import os
import re
import signal
import subprocess
import unittest

import harness
from harness import Case, Terminal, any_model, environment, nexus

FIGURES = re.compile(r"prompt (\d+) tokens.* (\d+) new.* seed \d+")


def chatty_model():
    """Arguments for a model and a template that its vocabulary can speak."""
    for model in (harness.SHIPPED, any_model()):
        for template in ([], ["--template", "llama2"]):
            args = ["-m", model, *template]
            if os.path.exists(model) and nexus("chat", *args).rc == 0:
                return args
    raise unittest.SkipTest("skipped: no model at hand that can chat")


class Pipe(Case):
    @classmethod
    def setUpClass(cls):
        cls.args = ["chat", *chatty_model(), "--temp", "0", "-n", "12"]

    def turns(self, *args, stdin):
        """How many prompt tokens each turn read."""
        done = self.ok(nexus(*self.args, "--log-level", "debug", *args, stdin=stdin))
        return [int(n) for n, _ in FIGURES.findall(done.err)]

    def test_the_cache_is_kept_between_turns(self):
        counts = self.turns(stdin=b"Hello there, my friend.\n" * 3)
        self.assertEqual(len(counts), 3)
        # The third conversation is thrice the first and two answers; only its new part is read.
        self.assertLess(counts[2], 2 * counts[0] + 12)

    def test_each_line_is_a_turn(self):
        one = self.ok(nexus(*self.args, stdin=b"Hello.\n"))
        self.assertTrue(one.out.endswith(b"\n"))
        two = self.ok(nexus(*self.args, stdin=b"Hello.\nAnd then?\n"))
        self.assertTrue(two.out.startswith(one.out))
        self.assertGreater(len(two.out), len(one.out))
        self.assertNotIn(b"> ", one.out[:2])
        self.assertNotIn("seed", one.err)

    def test_the_cache_changes_nothing(self):
        """A turn that continues equals the same conversation read in one go by one thread."""
        talk = b"Hello.\nWhat is your name?\nAnd then?\n"
        a = self.ok(nexus(*self.args, stdin=talk))
        b = self.ok(nexus(*self.args, "--threads", "1", "--batch", "1", stdin=talk))
        self.assertEqual(a.out, b.out)

    def test_an_answer_begins_with_its_first_word(self):
        if not os.path.exists(harness.SHIPPED):
            self.skipTest("the model whose answers begin with a space is not here")
        done = self.ok(nexus("chat", "-m", harness.SHIPPED, "--temp", "0", stdin=b"Hello\n"))
        self.assertRegex(done.out, rb"^\S.*\S\n$")

    def test_nothing_said(self):
        for text in (b"", b"\n", b"\n\n"):
            self.assertEqual(self.ok(nexus(*self.args, stdin=text)).out, b"")

    def test_last_line_without_newline_and_continued_lines(self):
        self.assertEqual(nexus(*self.args, stdin=b"Hello.").out,
                         nexus(*self.args, stdin=b"Hello.\n").out)
        self.assertEqual(len(self.turns(stdin=b"Hello.\\\nAgain.\n")), 1)
        self.assertEqual(len(self.turns(stdin=b"Hello.\nAgain.\n")), 2)

    def test_slashes_are_text_in_a_pipe(self):
        self.assertNotIn(b"Ctrl-C", self.ok(nexus(*self.args, stdin=b"/help\n")).out)

    def test_invalid_utf8(self):
        self.ok(nexus(*self.args, stdin=b"caf\xe9 \xff\n"))

    def test_system_text_is_read(self):
        self.assertGreater(self.turns("--system", "You are a sad cat.", stdin=b"Hello.\n")[0],
                           self.turns(stdin=b"Hello.\n")[0])

    def test_interrupt_ends_a_pipe(self):
        p = subprocess.Popen([harness.NEXUS, *self.args, "-n", "100000", "--ignore-eos"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=environment(NEXUS_CPU="ref"), bufsize=0)
        p.stdin.write(b"Once upon a time.\n" * 4)
        p.stdin.close()
        os.read(p.stdout.fileno(), 1)
        p.send_signal(signal.SIGINT)
        p.stdout.read()
        err = p.stderr.read()
        p.stdout.close()
        p.stderr.close()
        self.assertEqual(p.wait(timeout=60), 130, err)

    def test_unknown_template_names_those_known(self):
        self.refused(nexus(*self.args, "--template", "smoke-signals"), 1, "smoke-signals")

    def test_message_beyond_the_context(self):
        done = nexus(*self.args, "--ctx", "64", stdin=b"word " * 300 + b"\nHi.\n")
        self.assertEqual(done.rc, 1, str(done))
        self.assertIn("64", done.err)
        self.assertIn("--ctx", done.err)
        self.assertTrue(done.out.strip(), str(done))    # the next message is answered

    def test_oldest_turns_are_left_out(self):
        done = self.ok(nexus(*self.args, "--ctx", "128", "--ignore-eos",
                             stdin=b"Tell me of the dog and the cat.\n" * 8))
        self.assertIn("left out", done.err)
        self.assertEqual(done.out.count(b"\n") >= 8, True)

    def test_reader_that_leaves(self):
        p = subprocess.Popen([harness.NEXUS, *self.args, "--ignore-eos"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        p.stdout.close()
        _, err = p.communicate(b"Hello.\nHello.\n", timeout=60)
        self.assertEqual((p.returncode, err), (1, b""))


class Person(Case):
    def setUp(self):
        super().setUp()
        self.model = chatty_model()

    def sit_down(self, *args, **env):
        t = Terminal(self, "chat", *self.model, "--temp", "0", "-n", "24", *args, home=self.tmp,
                     **env)
        self.addCleanup(t.close)
        t.until("Ctrl-D leaves")
        t.until("> ")
        return t

    def test_ask_and_leave(self):
        t = self.sit_down()
        t.type("Hello.\n")
        self.assertRegex(t.until(FIGURES.pattern), "Hello")
        t.until("> ")
        t.type("\x04")
        self.assertEqual(t.end(), 0)

    def test_interrupt_stops_the_answer_only(self):
        t = self.sit_down("-n", "100000", "--ignore-eos", NEXUS_CPU="ref")
        t.type("Once upon a time there was a dog.\n")
        t.until(r"dog\.\r\n.{5}")
        t.type("\x03")
        self.assertRegex(t.until(FIGURES.pattern), "new")
        t.until("> ")
        t.type("/exit\n")
        self.assertEqual(t.end(), 0)

    def test_interrupt_while_typing_drops_the_line(self):
        t = self.sit_down()
        t.type("never sent")
        t.until("never sent")
        t.type("\x03")
        t.until("> ")
        t.type("/help\n")
        self.assertNotRegex(t.until("/reset.*Ctrl-C stops"), FIGURES)
        t.until("> ")    # a Ctrl-D before it meets the terminal in its line mode, and is lost
        t.type("\x04")
        self.assertEqual(t.end(), 0)

    def test_commands(self):
        t = self.sit_down("--system", "Be kind.")
        for typed, said in (("/system", "Be kind"), ("/system Be brief.", "begins anew"),
                            ("/system", "Be brief"), ("/reset", "begins anew"),
                            ("/nonsense", "No such command"), ("/help", "/system TEXT")):
            t.type(typed + "\n")
            t.until(re.escape(said))
            t.until("> ")
        t.type("/quit\n")
        self.assertEqual(t.end(), 0)

    def test_reset_forgets(self):
        t = self.sit_down()
        said = []
        for line in ("Hello there.", "Hello there.", "/reset", "Hello there."):
            t.type(line + "\n")
            if line[0] == "/":
                t.until("begins anew")
            else:
                text = t.until(FIGURES.pattern)
                said.append(text[text.index("there.") + 6:text.rindex("prompt ")])
            t.until("> ")
        self.assertEqual(said[0], said[2])

    def test_editing_and_letters_beyond_ascii(self):
        t = self.sit_down()
        t.type("/heap")
        t.type("\x7f\x7flp\n")    # backspace twice
        t.until("/reset")
        t.until("> ")
        t.type("/system né 你好 🙂\n")
        t.until("begins anew")
        t.type("/system\n")
        t.until("né 你好 🙂.*> ")

    def test_history_is_kept_for_its_owner(self):
        t = self.sit_down()
        t.type("/system You are a lighthouse.\n")
        t.until("begins anew.*> ")
        t.type("\x04")
        self.assertEqual(t.end(), 0)
        path = os.path.join(self.tmp, ".local", "state", "nexus", "history")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        t = self.sit_down()
        t.type("\x1b[A")    # arrow up
        t.until("lighthouse")
        t = self.sit_down("--no-history")
        t.type("\x1b[A/help\n")
        self.assertNotIn("lighthouse", t.until("/reset"))


if __name__ == "__main__":
    harness.main()
