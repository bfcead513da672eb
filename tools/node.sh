#!/bin/sh
# node.sh - makes build/node, build/openai_js and build/qdrant_js, where the Node judges of our tests
# live: a current llama.cpp, and the official clients of OpenAI and Qdrant for JavaScript, with the
# versions that are pinned in the package.json of tests/parity/{llama_cpp,openai_js,qdrant_js}. Does
# nothing when they are there already.
#
# Needs Node 20 or later with npm. Where they are missing, or nothing can be fetched, it says so and
# succeeds: the tests that want a judge then skip it by name. Of llama.cpp's builds only the
# processor's own is fetched (30 MB), not those for GPUs (700 MB).
set -eu
cd "$(dirname "$0")/.."

npm="npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error"

skip()
{
    echo "node: $*; Node judges nothing more here"
    exit 0
}

# there WANTED FOLDER: it has been installed as pinned. The scripts themselves are always ours of today.
there()
{
    [ ! -d "$2" ] || cp "$1"/*.mjs "$2/"
    [ -d "$2/node_modules" ] && cmp -s "$1/package.json" "$2/.installed"
}

# install WANTED FOLDER WHAT ARGUMENTS...
install()
{
    wanted=$1 folder=$2 what=$3
    shift 3
    echo "node: installing the tests' $what into $folder (once)"
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$wanted/package.json" "$wanted"/*.mjs "$folder/"
    if (cd "$folder" && $npm --omit=optional --omit=peer && { [ $# = 0 ] || $npm --omit=optional "$@"; }); then
        cp "$wanted/package.json" "$folder/.installed"
    else
        rm -rf "$folder/node_modules"
        echo "node: npm could not fetch $what, which won't judge"
    fi
}

llama=tests/parity/llama_cpp client=tests/parity/openai_js qdrant=tests/parity/qdrant_js
missing=
there $llama build/node || missing=yes
there $client build/openai_js || missing=yes
there $qdrant build/qdrant_js || missing=yes
[ "$missing" ] || exit 0

command -v node > /dev/null || skip "no node here"
command -v npm > /dev/null || skip "no npm here"
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || skip "node $major is too old, 20 is needed"

there $client build/openai_js || install $client build/openai_js "OpenAI client"
there $qdrant build/qdrant_js || install $qdrant build/qdrant_js "Qdrant client"

case $(node -p 'process.platform + "-" + process.arch') in
linux-x64) build=linux-x64 ;;
linux-arm64) build=linux-arm64 ;;
*) skip "no build of llama.cpp for this machine" ;;
esac
version=$(sed -n 's/.*"node-llama-cpp": "\([0-9.]*\)".*/\1/p' $llama/package.json)
[ -n "$version" ] || { echo "node: $llama/package.json pins no node-llama-cpp" >&2; exit 1; }
there $llama build/node ||
    install $llama build/node llama.cpp --no-save "@node-llama-cpp/$build@$version"
