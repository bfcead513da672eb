#!/bin/sh
# kernels.sh - the question: how near is each weight type's kernel to what memory and arithmetic
# allow?
#
#   bench/kernels.sh [TYPE] > bench/results/MACHINE-kernels.csv
#
# Runs the parity tests of matmul, then times what they have just proved: one token over half a
# gigabyte of weights (GB/s, and the fraction of a plain read sweep in the same run), and 128
# tokens over 2048 x 2048 (1e9 multiply-adds per second; all processors together).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
test=$root/build/release/backend_cpu_test_parity
[ -x "$test" ] || { echo "kernels.sh: no $test: run make first" >&2; exit 1; }
commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | tr -d ',')

"$test" --bench ${1:+"$1"} 2>/dev/null |
    sed -n "/^type,/s/^/machine,commit,/p; /,cpu-/s/^/${cpu:-unknown},$commit,/p"
