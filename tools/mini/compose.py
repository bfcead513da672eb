"""compose.py - turns the collected rows into conversations and plain text.

Owns:     the forms of passages, questions and answers, and their mixture.
Refuses:  ids and tensors; held-out packages (they are not in its input).
Idea:     a model of this size can't know 60,000 packages, but it can learn to
          find the passage that names what was asked for, to copy its summary,
          and to say that none does. So names, summaries, order, wording and
          form vary freely, and a part of the names and pairings is made up:
          memory doesn't help, looking does.
"""

import dataclasses
import hashlib
import re
import string

from vocab import rows

NOT_SAID = "The passages do not say."
NO_PASSAGES = "I have no passages to answer from."


@dataclasses.dataclass
class Item:
    """One thing a passage can tell about."""
    kind: str        # "package", "command", "function", "word"
    name: str
    summary: str
    detail: str = ""
    section: str = ""
    source: str = ""


@dataclasses.dataclass
class Turn:
    role: str
    text: str
    asked: int = -1  # of a question: where in the text the thing asked for ends


# -- forms ------------------------------------------------------------------

QUESTIONS = {
    "package": ["What is the package {} for?"] * 9 + [
        "What is {} for?", "What does the package {} do?", "what is {} for?", "What is {}?",
        "Tell me what the package {} is for.", "What is the purpose of the package {}?",
        "Describe the package {}.", "What can I use {} for?", "What's the package {} for?",
        "Why would I install {}?", "what is the package {} for", "What does {} do?",
        "What is the package \"{}\" for?", "What is the Debian package {} for?"],
    "command": ["What does the command {} do?"] * 6 + [
        "What is the command {} for?", "What does {} do?", "what does {} do",
        "Tell me what the command {} does.", "What is {}?", "What does `{}` do?"],
    "function": ["What does the function {} do?"] * 3 + [
        "What does {} do?", "What is {} for?", "What does {}() do?"],
    "word": ["What does the word {} mean?"] * 2 + [
        "What is meant by {}?", "Define {}.", "What does \"{}\" mean?"],
}
WHICH = {
    "package": ["Which package does {}?"] * 3 + [
        "Which package is for {}?", "Which package provides {}?", "Which package is this: {}?",
        "What is the name of the package for {}?", "Which of the packages is \"{}\"?",
        "Which package is described as: {}?", "I need {}. Which package?"],
    "command": ["Which command does this: {}?", "Which command is for: {}?",
                "What is the command to {}?", "Which command can {}?"],
    "function": ["Which function does this: {}?", "Which function is for: {}?"],
    "word": ["Which word means {}?", "What is the word for {}?"],
}
QUOTE = ["Quote the line about {}.", "Repeat what the passages say of {}.", "Quote {}."]
FORMS = [
    ("{name} - {summary}\n{detail}", 6), ("{name}: {summary}\n{detail}", 4),
    ("Package: {name}\nDescription: {summary}\n{detail}", 5),
    ("{name} - {summary}. {detail}", 2), ("{name}: {summary}. {detail}", 3),
    ("{name}\n{summary}\n{detail}", 2), ("{name} ({section}) - {summary}\n{detail}", 1),
    ("Package: {name}\nSynopsis: {summary}\nDescription: {detail}", 1),
    ("Package: {name}\nSource: {source}\nSection: {section}\nDescription: {summary}\n{detail}", 1),
    ("Name: {name}\nSummary: {summary}\n{detail}", 1), ("{name} -- {summary}\n\n{detail}", 1),
    ("Package: {name}\nSection: {section}\nDescription: {summary}\n {detail}", 1),
    ("The package {name}: {summary}. {detail}", 1), ("{name} \u2014 {summary}\n{detail}", 1),
    ("Package {name}: {summary}\n{detail}", 1), ("## {name}\n{summary}\n{detail}", 1)]
MARKS = [("[{}] ", 6), ("", 4), ("{}. ", 1), ("- ", 1), ("Passage {}: ", 2), ("[{}]\n", 1),
         ("({}) ", 1), ("Passage {}:\n", 1)]
FRAMES = [
    ("Answer from the passages.\n\n{passages}\n\n{question}", 6),
    ("{passages}\n\n{question}", 5), ("{passages}\n\nQuestion: {question}", 4),
    ("Passages:\n\n{passages}\n\nQuestion: {question}", 3),
    ("Passages:\n{passages}\n\n{question}", 2), ("{question}\n\n{passages}", 2),
    ("Question: {question}\n\nPassages:\n{passages}", 1),
    ("Use only the passages below to answer the question.\n\n{passages}\n\n"
     "Question: {question}\nAnswer:", 1),
    ("Context:\n{passages}\n\nQuestion: {question}", 1),
    ("Here are some passages.\n\n{passages}\n\n{question}", 1),
    ("Answer the question from the passages. If they do not say, say so.\n\n{passages}\n\n"
     "Question: {question}", 2)]
SYSTEMS = [
    "You are Nexus mini, a small language model.", "You are a helpful assistant.",
    "Answer from the passages only.", "Answer questions from the passages that are given. "
    "If the passages do not say, answer: The passages do not say.",
    "You answer questions about Debian packages."]

HELLO = ["Hello! Give me passages and a question, and I answer from them.",
         "Hello. I am Nexus mini. Ask me something about passages that you give me."]
WHO = ["I am Nexus mini, a very small language model that ships with Nexus.",
       "I am Nexus mini, a small language model, trained on text from Debian."]
CAN = ["I answer short questions from passages that you give me. "
       "When they do not say, I tell you so.",
       "I read passages and answer questions from them. I am small and know little else."]
KNOW = ["I am a very small model and do not know that. Give me a passage that says it.",
        "I do not know. I can answer from passages that you give me."]
CHATS = [
    (["Hello", "Hi", "hello", "Hello!", "Hi there", "Good morning", "Hey", "Hello there.",
      "Good evening", "hi!"], HELLO),
    (["Who are you?", "What are you?", "who are you", "What is your name?",
      "Introduce yourself.", "Are you a human?", "Which model are you?",
      "What is Nexus mini?"], WHO),
    (["What can you do?", "Help", "help me", "How can you help me?", "What do you do?",
      "What are you good for?", "How do I use you?"], CAN),
    (["Thank you", "Thanks!", "thanks", "Thank you very much."],
     ["You are welcome.", "You are welcome. Ask me more."]),
    (["Bye", "Goodbye", "See you", "good night"], ["Goodbye.", "Goodbye, until next time."]),
    (["How are you?", "How do you do?", "how are you today?"],
     ["I am a program, but thank you for asking. What may I answer from your passages?"]),
    (["What is the capital of France?", "Tell me a joke.", "Write a poem.", "What is 17 times 23?",
      "What is the weather today?", "Who is the president?", "Write a program in C.",
      "Translate this to German.", "What time is it?", "How tall is a giraffe?",
      "What is the meaning of life?", "Tell me a story.", "Who won the game?"], KNOW),
    (["How were you trained?", "Who made you?", "What were you trained on?", "Where are you from?"],
     ["I was trained from scratch on package descriptions, manual pages, Debian's manuals "
      "and WordNet's glosses.", "I was trained on two processor cores with text from Debian."]),
    (["What is Debian?", "Tell me about Debian.", "what is debian"],
     ["Debian is a free operating system made by volunteers.",
      "Debian is a free operating system. I learned to read from its texts."]),
    (["What is a package?", "What is a Debian package?"],
     ["A package is an archive with the files of a program and a description of it."]),
]

SYLLABLES = ("ba be bi bo bra cal cor da del dor ex fa fer fo gal gen gim go ha hex in jo ka kit "
             "lo lum ma mer mi mon na net no nu ob or pa per pix po qu ra rem ri ro sa sca ser si "
             "sol ta tel ter tor tra u va ver vi wa xa yo za zen zip").split()


# -- choosing ---------------------------------------------------------------

def pick(rng, weighted):
    return rng.choices([w[0] for w in weighted], [w[1] for w in weighted])[0]


def shortened(rng, text, lo=60, hi=360):
    """The first sentences of the text, at most about hi characters."""
    limit = rng.randint(lo, hi)
    if len(text) <= limit:
        return text
    cut = max(text.rfind(". ", 0, limit), text.rfind(".\n", 0, limit))
    return text[:cut + 1] if cut > 30 else text[:text.rfind(" ", 0, limit)].rstrip(",;:")


def made_up(rng):
    """A name that no package has, of the shapes that packages have."""
    if rng.random() < 0.12:
        return "".join(rng.choice(string.ascii_lowercase + string.digits)
                       for _ in range(rng.randint(2, 9)))
    stem = "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4)))
    head = rng.choice(["", "", "", "", "lib", "lib", "python3-", "golang-", "r-cran-", "node-",
                       "ruby-", "fonts-", "librust-", "php-", "gir1.2-", "kde-", "elpa-"])
    tail = rng.choice(["", "", "", "", "-dev", "-doc", "-data", "-common", "-utils", "-perl",
                       "-java", "-tools", "-dbg", "-bin", "-plugins", "-core", "+dev"])
    number = str(rng.randint(0, 99)) if rng.random() < 0.25 else ""
    return head + stem + number + tail


def neighbour(rng, name):
    """A name that looks like the given one and is not it."""
    way = rng.randrange(4)
    if way == 0:
        for tail in ("-dev", "-doc", "-data", "-common", "-utils"):
            if name.endswith(tail):
                return name.removesuffix(tail)
        return name + rng.choice(["-dev", "-doc", "-data", "-common", "2", "-tools"])
    if way == 1 and re.search(r"\d", name):
        return re.sub(r"\d", lambda _: rng.choice(string.digits), name) + rng.choice(["", "1"])
    if way == 2 and "-" in name:
        head, _, tail = name.partition("-")
        return rng.choice([head + "-" + made_up(rng), made_up(rng) + "-" + tail])
    at = rng.randrange(len(name))
    return name[:at] + rng.choice(string.ascii_lowercase) + name[at + 1:]


def is_dev(source):
    """A 256th of the sources is kept aside to follow the training by."""
    return hashlib.sha256(source.encode()).hexdigest()[:2] == "10"


class Composer:
    """Draws conversations and documents; the same rng gives the same ones."""

    def __init__(self, data):
        everything = [
            Item("package", r["name"], r["synopsis"], " ".join(r["description"][:2]),
                 r["section"], r["source"]) for r in rows(data / "packages.jsonl")]
        self.packages = [item for item in everything if not is_dev(item.source)]
        self.dev = [item for item in everything if is_dev(item.source)]
        siblings = {}
        for item in self.packages:
            siblings.setdefault(item.source, []).append(item)
        self.families = [f for f in siblings.values() if len(f) > 1]
        self.pages = [
            Item("command" if r["section"] in "168" else "function", r["name"], r["summary"],
                 detail_of(r["text"]), r["section"], r["package"])
            for r in rows(data / "pages.jsonl")]
        self.commands = [p for p in self.pages if p.kind == "command"]
        glosses = (word_of(r["text"]) for r in rows(data / "glosses.jsonl"))
        self.words = [w for w in glosses if w]
        self.texts = {name: [r["text"] for r in rows(data / f"{name}.jsonl")]
                      for name in ("manuals", "pages", "glosses")}

    # -- plain text

    def document(self, rng):
        way = rng.random()
        if way < 0.5:
            item = rng.choice(self.packages)
            return rng.choice([f"Package: {item.name}\nSection: {item.section}\nDescription: ",
                               f"{item.name} - ", f"Package: {item.name}\nDescription: "]) + \
                f"{item.summary}\n{item.detail}"
        if way < 0.6:
            return "\n".join(rng.choice(self.texts["glosses"]) for _ in range(rng.randint(1, 4)))
        text = rng.choice(self.texts["pages" if way < 0.8 else "manuals"])
        start = rng.randrange(max(1, len(text) - 1500))
        start = text.find("\n", start) + 1 if rng.random() < 0.7 else 0
        return text[start:start + 2500]

    # -- conversations

    def shelf(self, rng, n):
        """n items for the passages and a reserve of things that they don't tell."""
        way = rng.random()
        if way < 0.10:
            pool = rng.sample(self.pages if rng.random() < 0.3 else self.commands, n + 4)
        elif way < 0.16:
            pool = rng.sample(self.words, n + 4)
        elif way < 0.40:
            family = rng.choice(self.families)
            pool = rng.sample(family, min(len(family), n + 1))
            for item in rng.sample(self.packages, n + 4):
                if len(pool) < n + 3:
                    pool.insert(rng.randint(0, len(pool)), item)
        else:
            pool = rng.sample(self.packages, n + 4)
            if rng.random() < 0.08:
                pool[rng.randrange(n)] = rng.choice(self.commands)
        pool = list({item.name: item for item in pool}.values())
        if rng.random() < 0.30:
            pool = self.shuffled(rng, pool)
        return pool[:n], pool[n:]

    def shuffled(self, rng, pool):
        """The same items under made-up names, or with each other's summaries."""
        out = [dataclasses.replace(item) for item in pool]
        rename = rng.random() < 0.7
        if rename:
            stem = made_up(rng)
            family = rng.random() < 0.3   # alike names: only the whole name tells
            for item in out:
                new = neighbour(rng, stem) if family else made_up(rng)
                item.detail = item.detail.replace(item.name, new)
                item.name = new
        if not rename or rng.random() < 0.4:
            donors = rng.sample(self.packages, len(out))
            for item, donor in zip(out, donors):
                item.summary, item.detail = donor.summary, donor.detail
        return list({item.name: item for item in out}.values())

    def ask(self, rng, shown, absent, missing, way):
        """(question, what it asks for, answer) about a shown item, or about one that is not.

        way in [0, 1) chooses the kind of question; 1 is the plain one.
        """
        which, quote = way < 0.16, 0.16 <= way < 0.28
        if missing:
            if which and absent:
                target = rng.choice(absent)
            elif absent and rng.random() < 0.6:
                target = rng.choice(absent)
            else:
                like = rng.choice(shown)
                name = neighbour(rng, like.name) if rng.random() < 0.6 else made_up(rng)
                target = dataclasses.replace(like, name=name)
                which = False
            if any(target.name == s.name or (which and target.summary == s.summary) for s in shown):
                return None
        else:
            target = rng.choice(shown)
            if which and sum(target.summary == s.summary for s in shown) > 1:
                return None
        if quote:                             # the name first, then what followed it
            line = f"{target.name}: {target.summary}"
            return rng.choice(QUOTE).format(target.name), "", NOT_SAID if missing else line
        forms = (WHICH if which else QUESTIONS)[target.kind]
        thing = target.summary.rstrip(".") if which else target.name
        answer = NOT_SAID if missing else target.name if which else target.summary
        return rng.choice(forms).format(thing), thing, answer

    def passages(self, rng, items):
        form, mark = pick(rng, FORMS), pick(rng, MARKS)
        lengths = rng.choice([(0, 0), (0, 0), (40, 200), (60, 360), (60, 360)])
        parts = []
        for i, item in enumerate(items):
            if rng.random() < 0.06:
                form = pick(rng, FORMS)
            told = lengths[1] and rng.random() < 0.9
            detail = shortened(rng, item.detail, *lengths) if told else ""
            shape = form
            if item.kind != "package":
                shape = re.sub("[Pp]ackage", item.kind.title(), form)
            text = shape.format(name=item.name, summary=item.summary, detail=detail,
                                section=item.section or "misc", source=item.source or item.name)
            parts.append(mark.format(i + 1) + text.strip())
        return pick(rng, [("\n\n", 4), ("\n", 1)]).join(parts)

    def conversation(self, rng, n=None, dev=False):
        """A list of turns; n passages, or a number from the usual mixture.

        dev: one question about packages that are kept aside from training.
        """
        way = rng.random()
        if way < 0.015 and not n:
            return self.chat(rng)
        if n is None:
            n = rng.choices([1, 2, 3, 4, 5, 6], [10, 14, 46, 14, 10, 6])[0]
        if dev:
            pool = rng.sample(self.dev, n + 2)
            shown, absent = pool[:n], pool[n:]
        else:
            shown, absent = self.shelf(rng, n)
        rest = list(shown)
        passages = self.passages(rng, shown)
        turns, frame = [], pick(rng, FRAMES)
        in_system = rng.random() < 0.06
        if in_system:
            turns.append(Turn("system", passages))
        elif rng.random() < 0.25:
            turns.append(Turn("system", rng.choice(SYSTEMS)))
        # Further questions about the same passages make each of them teach more.
        for _ in range(1 if dev else rng.randint(1, 5) if n < 8 else 6):
            asked = self.ask(rng, rest or shown, absent, rng.random() < 0.29,
                             1.0 if dev else rng.random())
            if not asked:
                continue
            question, thing, answer = asked
            first = not any(t.role == "user" for t in turns)
            text = frame.format(passages=passages, question=question) \
                if first and not in_system else question
            end = text.rfind(thing) + len(thing) if thing else -1
            turns += [Turn("user", text, end if len(text) - end < 40 else -1),
                      Turn("assistant", answer)]
            rest = [r for r in rest if not answer.endswith(r.summary)] or shown
        return turns if any(t.role == "assistant" for t in turns) else self.chat(rng)

    def chat(self, rng):
        turns = [Turn("system", rng.choice(SYSTEMS))] if rng.random() < 0.25 else []
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.25:
                item = rng.choice(self.packages + self.commands)
                user, answers = rng.choice(QUESTIONS[item.kind]).format(item.name), [NO_PASSAGES]
            else:
                users, answers = rng.choice(CHATS)
                user = rng.choice(users)
            turns += [Turn("user", user), Turn("assistant", rng.choice(answers))]
        return turns


def detail_of(page):
    """The first paragraph of a manual page's DESCRIPTION, folded."""
    match = re.search(r"^DESCRIPTION\n((?:.+\n)+)", page, re.M)
    return re.sub(r"\s+", " ", match.group(1)).strip() if match else ""


def word_of(line):
    words, _, gloss = line.partition(": ")
    summary, _, detail = gloss.partition(";")
    if not 8 <= len(summary) <= 160:
        return None
    return Item("word", words.split(", ")[0], summary.strip(), detail.strip(), "word", words)
