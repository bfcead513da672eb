#!/bin/sh
# demo.sh - what the product is for, in half a minute: documents in, cited answers out.
#
#   tools/demo.sh [PROGRAM]        NEXUS_MODEL names another model
#
# Starts the real server on a free port with a data folder of its own, indexes examples/docs through it, asks three
# questions, and shows the words that each answer stands on, read back from the documents. Nothing remains.
set -eu
cd "$(dirname "$0")/.."

program=${1:-build/release/nexus}
documents=examples/docs
collection=handbook
unset NEXUS_DATA NEXUS_COLLECTION NEXUS_PORT NEXUS_HOST NEXUS_LISTEN 2>/dev/null || true

folder=$(mktemp -d "${TMPDIR:-/tmp}/nexus-demo.XXXXXX")
server=

leave()
{
    status=$?
    trap - EXIT INT TERM
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

nexus()
{
    command=$1
    shift
    "$program" "$command" --data "$folder/data" "$@"
}

# Until it says that it listens, or has ended.
start_server()
{
    "$program" serve --port 0 --data "$folder/data" --access-log "$folder/access.log" \
        >"$folder/out" 2>"$folder/err" </dev/null &
    server=$!
    for _ in $(seq 300); do
        grep -q '^  stop ' "$folder/err" && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    echo "the server did not start:" >&2
    cat "$folder/err" >&2
    server=
    exit 1
}

ask()
{
    printf '\n\n> %s\n\n' "$1"
    nexus ask "$1" --collection "$collection" --show-sources
}

printf '\nA server starts, with a data folder of its own.\n'
start_server
sed -n 's/^  address */  /p' "$folder/err"

printf '\nnexus index %s --collection %s\n' "$documents" "$collection"
nexus index "$documents" --collection "$collection"

printf '\nThree questions. Each answer is followed by its sources, and by the words that stand there, read back\n'
printf 'from the documents.\n'
ask 'Who do I call when the primary database is down?'
ask 'When does a VPN profile expire?'
ask 'How much does Brightlatch want per month in its new offer?'

cat <<END


Now with your own; run it again, and only what changed is read:
  $program index ~/your/folder --collection mine
  $program ask 'your question' --collection mine
  $program chat --rag mine

The model that ships is small, so these answers are sentences of the documents. A larger one writes its own:
  $program pull Qwen/Qwen3-4B
  $program ask 'your question' --collection mine -m Qwen/Qwen3-4B
END
