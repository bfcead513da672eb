#!/bin/sh
# run.sh - the question: how fast does this machine run which model, and how near is that to what
# its memory allows?
#
#   bench/run.sh [NEXUS]       NEXUS: the program; default build/release/nexus. Where bench_store and
#                              bench_qdrant lie beside it, the store is measured as well, from within
#                              and over HTTP.
#
# Environment:
#   BENCH_MODELS   SHAPE:TYPE of random models, or paths of files; "shipped" is the one that ships
#   BENCH_ARGS     what every run gets: "-p 512 -n 128 -r 5"
#   BENCH_OUT      folder of the results; default bench/results
#   BENCH_PYTHON   with what bench/requirements.txt lists; default build/venv, else python3
#   BENCH_ROWS     points of the store's scans; default 1000000 (4 GB of /tmp)
#   BENCH_FILES    manual pages that are put in and asked; default 5000
#   BENCH_VECTOR_SECONDS  how long vectors are made of them; default 60
#   BENCH_SECONDS  how long the store's readers and writers run; default 30
#   BENCH_WRAP     a command before each run, where the machine can't be quiet: "chrt -f 1"
#
# Writes MACHINE.csv (every column of `nexus bench --csv`, with date and commit before) and
# MACHINE.md (the same to read), then the figures of startup.py, serve.py and embed.py where python3 is
# there (every run of the last two in MACHINE-serve.csv and MACHINE-embed.csv), then those of store.c and
# qdrant.c (also in MACHINE-store.csv).
# Close what else runs: the ceiling is measured in the same run, but noise hits the two unequally.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
nexus=${1:-$root/build/release/nexus}
out=${BENCH_OUT:-$root/bench/results}
models=${BENCH_MODELS:-shipped 1b:q8_0 1b:q4_0 1b:q4_k 1b:q6_k 1b:f16}
args=${BENCH_ARGS:--p 512 -n 128 -r 5}
wrap=${BENCH_WRAP:-}
scratch=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# What bench/embed.py compares with is no part of the system: the tests' environment has most of it.
python=${BENCH_PYTHON:-python3}
[ -n "${BENCH_PYTHON:-}" ] || [ ! -x "$root/build/venv/bin/python" ] || python=$root/build/venv/bin/python

# "Intel(R) Xeon(R) Processor" with 2 processors: intel-xeon-processor-2
machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 |
    sed 's/([A-Za-z]*)//g; s/@.*//' | tr 'A-Z' 'a-z' | tr -cs 'a-z0-9' '-' | sed 's/^-//; s/-$//')
machine=${machine:-unknown}-$(nproc)
commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
git -C "$root" diff --quiet HEAD -- src cmake CMakeLists.txt 2>/dev/null || commit=$commit+
date=$(date -u +%F)

mkdir -p "$out"
for model in $models; do
    echo "bench: $model" >&2
    case $model in
    shipped)
        # Its context is 4096 and a prompt of 512 fits.
        [ -f "$root/models/nexus-mini.gguf" ] || { echo "bench: no shipped model" >&2; continue; }
        # shellcheck disable=SC2086  # args are words
        $wrap "$nexus" bench $args --csv > "$scratch/one.csv"
        sed -i "s|^\"[^\"]*/nexus-mini.gguf\"|\"nexus-mini.gguf\"|" "$scratch/one.csv" ;;
    *:*)
        # shellcheck disable=SC2086
        $wrap "$nexus" bench --synthetic "$model" $args --csv > "$scratch/one.csv" ;;
    *)
        # shellcheck disable=SC2086
        $wrap "$nexus" bench -m "$model" $args --csv > "$scratch/one.csv" ;;
    esac
    [ -s "$scratch/all.csv" ] ||
        sed -n '1s/^/date,commit,/p' "$scratch/one.csv" > "$scratch/all.csv"
    sed "1d; s/^/$date,$commit,/" "$scratch/one.csv" >> "$scratch/all.csv"
done
[ -s "$scratch/all.csv" ] || { echo "bench: nothing was timed" >&2; exit 1; }

# Columns from the right, since a model's name may hold a comma:
#   backend threads batch kv test n depth runs median min max weights kv gb_s ceiling fraction
table() {
    awk -F, 'NR == 1 { next }
        NR == 2 {
            cpu = $(NF - 16); gsub(/"/, "", cpu)
            printf "%s, %s with %d threads, commit %s, %s\n\n", cpu, $(NF - 15), $(NF - 14), $2, $1
            print "| model | test | runs | median tok/s | min | max | GB/s | ceiling GB/s | fraction |"
            print "|---|---|---|---|---|---|---|---|---|"
        }
        {
            name = $3; gsub(/"/, "", name)
            test = $(NF - 11) " " $(NF - 10); if ($(NF - 9) > 0) test = test " @ " $(NF - 9)
            printf "| %s | %s | %d | %.2f | %.2f | %.2f | %s | %s | %s |\n", name, test, $(NF - 8),
                $(NF - 7), $(NF - 6), $(NF - 5), $(NF - 2), $(NF - 1), $NF
        }' "$1"
}

{
    echo "# $machine"
    echo
    echo "Made by \`make bench\` (bench/run.sh). Synthetic models are random weights of a real shape;"
    echo "GB/s is what decoding reads, the ceiling a plain read sweep in the same run."
    [ -z "$wrap" ] || echo "Every run stood under \`$wrap\`, since other programs ran too."
    echo
    table "$scratch/all.csv"
} > "$scratch/all.md"

if command -v python3 > /dev/null; then
    echo "bench: startup" >&2
    # shellcheck disable=SC2086
    $wrap python3 "$root/bench/startup.py" "$nexus" >> "$scratch/all.md" || failed=1
    echo "bench: serving" >&2
    BENCH_CSV="$out/$machine-serve.csv" python3 "$root/bench/serve.py" "$nexus" \
        >> "$scratch/all.md" || failed=1
    echo "bench: embeddings" >&2
    BENCH_CSV="$out/$machine-embed.csv" "$python" "$root/bench/embed.py" "$nexus" \
        >> "$scratch/all.md" || failed=1
fi
csv=$out/$machine-store.csv
rm -f "$csv"
if [ -x "$(dirname "$nexus")/bench_store" ]; then
    echo "bench: store" >&2
    store=$(dirname "$nexus")/bench_store
    rows=${BENCH_ROWS:-1000000}
    {
        printf '\n## Store\n\n```\n'
        for form in sq8 f32; do
            # shellcheck disable=SC2086
            $wrap "$store" scan --rows "$rows" --form $form --csv "$csv" || failed=1
        done
        $wrap "$store" space --csv "$csv" || failed=1
        $wrap "$store" space --trickle --csv "$csv" || failed=1
        $wrap "$store" merging --seconds "${BENCH_SECONDS:-30}" --csv "$csv" || failed=1
        printf '```\n'
    } >> "$scratch/all.md"
fi
qdrant=$(dirname "$nexus")/bench_qdrant
if [ -x "$qdrant" ]; then
    echo "bench: the store over HTTP" >&2
    # shellcheck disable=SC2086
    $wrap "$nexus" serve --port 0 --access-log "" --data "$scratch/data" 2> "$scratch/serve.log" &
    server=$!
    url=
    for _ in $(seq 300); do
        url=$(sed -n 's/^ *address *\(http[^ ]*\).*/\1/p' "$scratch/serve.log")
        [ -z "$url" ] || break
        sleep 0.1
    done
    {
        printf '\n## Store over HTTP\n\n```\n'
        for form in f32 sq8; do
            # shellcheck disable=SC2086
            $wrap "$qdrant" --url "$url" --form $form --csv "$csv" || failed=1
        done
        printf '```\n'
    } >> "$scratch/all.md"
    kill "$server" || true
    wait "$server" || true
    server=
fi
ingest=$(dirname "$nexus")/bench_ingest
if [ -x "$ingest" ] && command -v python3 > /dev/null; then
    echo "bench: documents" >&2
    pairs=$root/build/eval/pairs
    [ -d "$pairs/docs" ] || python3 "$root/tools/eval/pairs.py" "$pairs" >&2 || failed=1
    retrieve=$(dirname "$nexus")/bench_retrieve
    csv=$out/$machine-documents.csv
    rm -f "$csv"
    {
        printf '\n## Documents: %s manual pages put in, and asked\n\n```\n' "${BENCH_FILES:-5000}"
        # shellcheck disable=SC2086
        $wrap "$ingest" "$pairs/docs" --files "${BENCH_FILES:-5000}" \
            --seconds "${BENCH_VECTOR_SECONDS:-60}" || failed=1
        # Vectors of noise: time is asked here, and what is found by make eval.
        # shellcheck disable=SC2086
        $wrap "$retrieve" "$scratch/shelf" --docs "$pairs/docs" --noise || failed=1
        for how in "" "--tag staff" "--busy"; do
            # shellcheck disable=SC2086
            $wrap "$retrieve" "$scratch/shelf" --questions "$pairs/test.jsonl" $how --csv "$csv" ||
                failed=1
        done
        printf '```\n'
    } >> "$scratch/all.md"
fi
mv "$scratch/all.csv" "$out/$machine.csv"
mv "$scratch/all.md" "$out/$machine.md"
cat "$out/$machine.md"
exit "${failed:-0}"
