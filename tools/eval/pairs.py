#!/usr/bin/env python3
"""Pairs of a question and the document that answers it, made by rule from manual pages.

A page's NAME section says in one line what the page is about. The line becomes the question; the page
without its NAME section becomes the document. So nobody judges: the right answer is known, and it is
another text than the question.

    tools/eval/pairs.py build/eval/pairs                 # pages of Debian packages, fetched by apt-get
    tools/eval/pairs.py build/eval/pairs --man /usr/share/man
    nexus index build/eval/pairs/docs --collection pairs
    nexus eval retrieval build/eval/pairs/test.jsonl --collection pairs --mode all

OUT/docs/            the documents, roff as it was
OUT/all.jsonl        {"question": ..., "documents": ["openssl/rsa.1"], "kind": "answerable"} each
OUT/dev.jsonl        every other one: to choose settings by
OUT/test.jsonl       the others: to report
OUT/README           how many, of which packages

Left out: pages that only point to another, questions under three words, and questions of which there
are two. Which pages are taken is decided by the hash of their names, so it is the same everywhere with
the same packages. Needs apt-get and dpkg-deb, or --man; nothing beyond Python.
"""
import argparse
import gzip
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys

PACKAGES = """manpages manpages-dev libssl-doc git-man tcl8.6-doc tk8.6-doc perl-doc ncurses-doc
libx11-doc openmpi-doc libcurl4-doc netpbm erlang-manpages coreutils util-linux systemd lvm2
openssh-client nmap postfix samba-common-bin btrfs-progs e2fsprogs iproute2 iptables nftables
ipvsadm grass-doc libbsd-dev libpcap0.8-dev zsh-common bash""".split()
N_DEFAULT = 5000
PAGE_BYTES_MIN, PAGE_BYTES_MAX = 400, 1 << 20


def fetch(packages, folder):
    """Unpacked packages; what was fetched stays for the next time. [(package, folder)]"""
    debs = folder / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    unpacked = []
    for name in packages:
        found = sorted(debs.glob(f"{name}_*.deb"))
        if not found:
            subprocess.run(["apt-get", "-qq", "download", name], cwd=debs, check=True)
            found = sorted(debs.glob(f"{name}_*.deb"))
        into = folder / "unpacked" / name
        if not into.exists():
            into.mkdir(parents=True)
            subprocess.run(["dpkg-deb", "-x", found[-1], into], check=True)
        unpacked.append((name, into, found[-1].name))
    return unpacked


def pages_of(root):
    """Files of the English sections 1 to 8, by name."""
    for path in sorted(root.rglob("*")):
        if re.fullmatch(r"man[1-8]\w*", path.parent.name) and path.parent.parent.name == "man":
            if path.is_file() and not path.is_symlink():
                yield path


def read_page(path):
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    return raw


ESCAPES = [
    (r"\\f(\[\w*\]|\(..|.)", ""), (r"\\s[-+]?\d", ""), (r"\\[&|^%:]", ""), (r"\\\*\(L\"|\\\*\(R\"", '"'),
    (r"\\\*\(Aq|\\\(aq|\\'", "'"), (r"\\\(em|\\\(en", " - "), (r"\\\[?(bu)\]?", " "), (r"\\[-]", "-"),
    (r"\\\((lq|rq)", '"'), (r"\\\((oq|cq)", "'"), (r"\\e", r"\\"), (r"\\[ ~]", " "), (r"\\\".*", ""),
]


def plain(line):
    for pattern, by in ESCAPES:
        line = re.sub(pattern, by, line)
    return line


def split_name(text):
    """The page without its NAME section, and what that section says; (None, None): there is none."""
    lines = text.split("\n")
    heads = [i for i, l in enumerate(lines) if re.match(r"\.\s*(SH|Sh)\b", l)]
    for at, i in enumerate(heads):
        if re.match(r"""\.\s*(SH|Sh)\s+"?\s*(NAME|Name)\s*"?\s*$""", lines[i]):
            end = heads[at + 1] if at + 1 < len(heads) else len(lines)
            return "\n".join(lines[:i] + lines[end:]), lines[i + 1 : end]
    return None, None


def question_of(lines):
    """The description behind the dash (man) or of .Nd (mdoc)."""
    said = []
    for line in lines:
        if line.startswith((".Nd ", ".Nd\t")):
            return clean(plain(line[4:]))
        if line.startswith((".Nm", "'\\\"", ".\\\"", ".ad", ".nh", ".hy", ".na", ".PP", ".br", ".IX")):
            continue
        font = re.match(r"""\.(?:B|I|BR|IR|R|RB|RI|BI|IB|SM|SB)\s+(.*)""", line)
        if font:
            line = font.group(1).replace('"', "")
        elif line.startswith((".", "'")):
            continue
        said.append(plain(line))
    text = " ".join(said)
    parts = re.split(r"\s+(?:-{1,2}|\u2013|\u2014)\s+", text, maxsplit=1)
    return clean(parts[1]) if len(parts) == 2 else ""


def clean(text):
    return re.sub(r"\s+", " ", text).strip(" .\t")


def candidates(sources):
    """(key, question, bytes) of all pages that make a pair, by key."""
    out = {}
    for label, root in sources:
        for path in pages_of(root):
            name = path.name.removesuffix(".gz")
            key = f"{label}/{name}"
            raw = read_page(path)
            body, lines = split_name(raw.decode("utf-8", "surrogateescape"))
            if not body or not PAGE_BYTES_MIN <= len(body) <= PAGE_BYTES_MAX:
                continue
            question = question_of(lines)
            if not 3 <= len(question.split()) <= 40 or "\\" in question:
                continue
            try:
                question.encode("utf-8")
            except UnicodeEncodeError:
                continue
            out[key] = (question, body.encode("utf-8", "surrogateescape"))
    return out


def chosen(found, n):
    """n of them by their names' hashes; no question, and no document, twice."""
    def count(of):
        seen = {}
        for pair in found.values():
            seen[of(pair)] = seen.get(of(pair), 0) + 1
        return seen

    questions = count(lambda p: p[0].casefold())
    bodies = count(lambda p: hashlib.sha256(p[1]).digest())
    single = [k for k, p in found.items()
              if questions[p[0].casefold()] == 1 and bodies[hashlib.sha256(p[1]).digest()] == 1]
    single.sort(key=lambda k: hashlib.sha256(k.encode()).digest())
    return single[:n]


def write(out, found, keys, notes):
    docs = out / "docs"
    if docs.exists():
        shutil.rmtree(docs)
    for key in keys:
        path = docs / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found[key][1])
    lines = [json.dumps({"question": found[k][0], "documents": [k], "kind": "answerable"}, ensure_ascii=False)
             for k in keys]
    for name, some in (("all", lines), ("dev", lines[0::2]), ("test", lines[1::2])):
        (out / f"{name}.jsonl").write_text("".join(l + "\n" for l in some))
    total = sum(len(found[k][1]) for k in keys)
    (out / "README").write_text(f"{len(keys)} pairs of {len(found)} pages, {total} bytes\n" + notes)
    print(f"{out}: {len(keys)} pairs of {len(found)} pages, {total / 1e6:.1f} MB", file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=pathlib.Path, help="a folder, made where missing")
    p.add_argument("-n", type=int, default=N_DEFAULT, help=f"pairs at most (default {N_DEFAULT})")
    p.add_argument("--man", type=pathlib.Path, nargs="+", help="folders of pages, instead of packages")
    p.add_argument("--packages", nargs="+", default=PACKAGES, help="Debian packages to take pages from")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    if a.man:
        sources, notes = [(m.name, m.parent) for m in a.man], "".join(f"{m}\n" for m in a.man)
    else:
        got = fetch(a.packages, a.out)
        sources, notes = [(name, root) for name, root, _ in got], "".join(f"{deb}\n" for _, _, deb in got)
    found = candidates(sources)
    write(a.out, found, chosen(found, a.n), notes)


if __name__ == "__main__":
    main()
