"""Protects tools/layers itself: each kind of breach must be found, and a clean tree must pass."""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAYERS = os.path.join(ROOT, "tools", "layers")

CLEAN = {
    "include/nexus/nexus.h": "#include <stdint.h>\n",
    "src/base/error.h": '#include "nexus/nexus.h"\n',
    "src/token/bpe.h": '#include "base/error.h"\n#include <pcre2.h>\n',
    "src/backend/cpu/cpu.h": '#include "base/error.h"\n',
    "src/backend/cpu/ref/norm.c": '#include "backend/cpu/cpu.h"\n#include <math.h>\n',
    "src/lib/backends.c": '#include "backend/cpu/cpu.h"\n',
    "src/model/walk.h": "",
    "src/engine/run.c": '#  include "model/walk.h"\n',
}

# What is added to the clean tree, and what the complaint must say.
BREACHES = [
    ("src/base/bad.c", '#include "token/bpe.h"\n', "goes up"),
    ("src/model/bad.c", '#include "token/bpe.h"\n', "goes across"),
    ("src/model/bad.c", ' #\tinclude "engine/run.c"\n', "goes up"),
    ("src/base/bad.c", '#include "error.h"\n', "without its folder"),
    ("src/base/bad.c", '#include "../base/error.h"\n', "without its folder"),
    ("src/base/bad.c", '#include "base/gone.h"\n', "no such file"),
    ("src/engine/bad.c", "#include <pcre2.h>\n", "belongs to token/"),
    ("src/token/bad.c", "#include <json-c/json.h>\n", "belongs to cli/"),
    ("src/engine/bad.c", '#include "backend/cpu/cpu.h"\n', "may name backend/cpu/"),
    ("src/engine/bad.c", "#include <bzlib.h>\n", "unknown header"),
    ("src/engine/bad.c", "#include HEADER\n", "by macro"),
    ("src/attic/bad.c", "\n", "no folder of the floor plan"),
    ("include/nexus/more.h", '#include "base/error.h"\n', "public header"),
]


def run(extra):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**CLEAN, **extra}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run([LAYERS, root], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


def main():
    failed = 0
    rc, out = run({})
    if rc != 0:
        print("the clean tree does not pass:\n" + out)
        failed += 1
    for path, text, complaint in BREACHES:
        rc, out = run({path: text})
        if rc != 1 or complaint not in out or path not in out:
            print(f"{path}: {text!r}: rc {rc}, expected 1 and \"{complaint}\" in:\n{out}")
            failed += 1
    with tempfile.TemporaryDirectory() as empty:
        if subprocess.run([LAYERS, empty], capture_output=True, check=False).returncode != 1:
            print("a tree without sources passes")
            failed += 1
    print(f"{len(BREACHES) + 2 - failed} of {len(BREACHES) + 2} cases")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
