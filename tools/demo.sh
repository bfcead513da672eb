#!/bin/sh
# demo.sh - lets the model that ships answer a fixed question from three passages, streamed, with
# its speed at the end (a line that nexus itself prints).
#
#   tools/demo.sh [PROGRAM]        NEXUS_MODEL names another model
#
# The three packages belong to those that the model was not trained on (models/README.md), so that
# the answer is read, not remembered.
set -eu
cd "$(dirname "$0")/.."

program=${1:-build/release/nexus}
question='What is the package cowsay for?'
passages='[1] bzip2 - high-quality block-sorting file compressor - utilities
bzip2 is a freely available, patent free, high-quality data compressor.

[2] cowsay - configurable talking cow
Cowsay (or cowthink) will turn text into happy ASCII cows, with speech (or thought) balloons.

[3] moria - Rogue-like game with an infinite dungeon, also known as umoria
The object of the game is to defeat the Balrog, which lurks in the deeper levels of the dungeon.'

printf '\n%s\n\n%s\n\n>' "$passages" "$question"
# The figures come on stderr: kept aside, so that they stand below the answer in a log as well.
figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
status=0
printf '<|im_start|>user\nAnswer from the passages.\n\n%s\n\n%s<|im_end|>\n<|im_start|>assistant\n' \
    "$passages" "$question" | "$program" generate -p - --temp 0 -n 64 2>"$figures" || status=$?
printf '\n\n'
cat "$figures"
[ $status -ne 0 ] || printf '\nTalk on:  %s chat\n' "$program"
exit $status
