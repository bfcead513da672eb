"""Protects docs/nexus.1: every command and every option that --help shows is in the manual page,
every option in the page exists, and groff reads the page without complaint."""
import os
import re
import shutil
import subprocess
import sys

PAGE = os.path.join(os.environ["NX_SOURCE_DIR"], "docs", "nexus.1")
NEXUS = os.environ["NEXUS_BIN"]


def help_of(*words):
    return subprocess.run([NEXUS, *words], capture_output=True, text=True, check=True).stdout


def main():
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    in_page = set(re.findall(r"(?:Fl|,) -([a-z-]+)", page))
    commands = re.findall(r"^  ([a-z]+) {2,}\S", help_of("help").split("Examples:")[0], re.M)
    wrong, known = [], {"version"}
    if len(commands) < 8:
        wrong.append(f"nexus help lists only {commands}")
    for command in commands:
        if f"Cm {command}\n" not in page:
            wrong.append(f"command {command} is not in nexus.1")
        if command == "help":
            continue
        options = set(re.findall(r"^ +(?:-\w, )?--([a-z-]+)", help_of(command, "--help"), re.M))
        known |= options
        wrong += [f"{command} --{o} is not in nexus.1" for o in sorted(options - in_page)]
    wrong += [f"nexus.1 names --{o}, which no command has" for o in sorted(in_page - known)]
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-mdoc", "-Tutf8", "-ww", PAGE], capture_output=True, text=True,
                              check=False)
        if done.returncode or done.stderr:
            wrong.append("groff: " + done.stderr)
    for line in wrong:
        print(line)
    print(f"{len(commands)} commands, {len(known)} options")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
