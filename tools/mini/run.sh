#!/bin/sh
# run.sh - makes models/nexus-mini.gguf from Debian's archive: collect, vocabulary, training,
# export, verification. A step whose result lies in build/mini is not done again, and a training
# that was cut is taken up at its last checkpoint.
#
# Usage: [THREADS=1] tools/mini/run.sh [MINUTES]      (77 minutes made the model that ships)
#
# Needs Debian 12 (apt, dpkg-deb) and gcc (torch.compile). One thread by default: two are faster
# on a machine that does nothing else, and slower on one that does, since every product waits
# for its slower half.
set -eu
cd "$(dirname "$0")/../.."
minutes=${1:-77}
threads=${THREADS:-1}
mini=tools/mini
python=build/venv/bin/python

tools/venv.sh
[ -f build/mini/pages.jsonl ] || $python $mini/collect.py
[ -f build/mini/vocab.json ] || $python $mini/vocab.py

# The allocator keeps its memory between steps instead of giving it back and clearing it anew.
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=16000000000 MALLOC_TOP_PAD_=268435456 \
OMP_NUM_THREADS=$threads \
    $python $mini/train.py --minutes "$minutes" --threads "$threads" --resume

$python $mini/export.py
$python $mini/verify.py
cp build/mini/run/curve.csv models/nexus-mini.curve.csv
