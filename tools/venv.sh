#!/bin/sh
# venv.sh - makes build/venv, where the Python judges of our tests live, with the versions pinned
# in tests/parity/requirements.txt. Does nothing when the venv already has exactly those.
#
# torch comes first and on its own: the wheel on the general index pulls gigabytes of CUDA on x86,
# the one on PyTorch's CPU index doesn't. Tried in order: a wheel that lies on this machine (pip's
# own find-links setting), the CPU index, the general index.
set -eu
cd "$(dirname "$0")/.."

venv=build/venv
wanted=tests/parity/requirements.txt
stamp=$venv/.installed

fail()
{
    echo "venv: $*" >&2
    exit 1
}

if [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$stamp"; then exit 0; fi

echo "venv: installing the tests' Python packages into $venv (once)"
mkdir -p build
rm -rf "$venv"
python3 -m venv "$venv" || fail "python3 -m venv failed. Debian: ./setup test"
pip="$venv/bin/python -m pip --disable-pip-version-check --quiet install --no-input"

torch=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$wanted")
[ -n "$torch" ] || fail "$wanted pins no torch"
$pip --no-index --no-deps "torch==$torch+cpu" 2>/dev/null ||
    $pip --no-deps --retries 1 --timeout 20 --index-url https://download.pytorch.org/whl/cpu \
        "torch==$torch+cpu" 2>/dev/null ||
    $pip --no-deps "torch==$torch" || fail "torch $torch could not be installed"
$pip -r "$wanted" || fail "the packages of $wanted could not be installed"
cp "$wanted" "$stamp"
