#!/bin/sh
# node.sh - makes build/node, where the Node judge of our tests lives (a current llama.cpp), with the
# version pinned in tests/parity/llama_cpp/package.json. Does nothing when that is there already.
#
# Needs Node 20 or later with npm. Where they are missing, or nothing can be fetched, it says so and
# succeeds: the tests that want the judge then skip it by name. Of llama.cpp's builds only the
# processor's own is fetched (30 MB), not those for GPUs (700 MB).
set -eu
cd "$(dirname "$0")/.."

node=build/node
wanted=tests/parity/llama_cpp
stamp=$node/.installed

skip()
{
    echo "node: $*; llama.cpp won't judge"
    exit 0
}

# The script itself is always ours of today.
[ ! -d "$node" ] || cp "$wanted/greedy.mjs" "$node/"
if [ -d "$node/node_modules" ] && cmp -s "$wanted/package.json" "$stamp"; then exit 0; fi

command -v node > /dev/null || skip "no node here"
command -v npm > /dev/null || skip "no npm here"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || skip "node $major is too old, 20 is needed"
case $(node -p 'process.platform + "-" + process.arch') in
linux-x64) build=linux-x64 ;;
linux-arm64) build=linux-arm64 ;;
*) skip "no build of llama.cpp for this machine" ;;
esac
version=$(sed -n 's/.*"node-llama-cpp": "\([0-9.]*\)".*/\1/p' "$wanted/package.json")
[ -n "$version" ] || { echo "node: $wanted/package.json pins no node-llama-cpp" >&2; exit 1; }

echo "node: installing the tests' llama.cpp into $node (once)"
rm -rf "$node"
mkdir -p "$node"
cp "$wanted/package.json" "$wanted/greedy.mjs" "$node/"
cd "$node"
npm="npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error"
if ! $npm --omit=optional || ! $npm --omit=optional --no-save "@node-llama-cpp/$build@$version"; then
    rm -rf node_modules
    skip "npm could not fetch it"
fi
cp package.json .installed
