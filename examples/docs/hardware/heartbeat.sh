#!/bin/sh
# heartbeat.sh - lists stations that have been silent for longer than a number of minutes.
#
#   heartbeat.sh [MINUTES]      default 5, which is when a station counts as dark
#
# Runs from cron on watch-n1 every two minutes and hands its output to the pager when it is longer
# than 12 lines: one dark station is a ticket, a dozen are an incident.
set -eu

minutes=${1:-5}
limit=12
list=$(mktemp)
trap 'rm -f "$list"' EXIT

# Stations under repair are listed by name in a file that the field service edits.
lockctl status --all --json |
    jq -r --argjson m "$minutes" '.[] | select(.silent_s > $m * 60) | .name' |
    grep -vxFf /etc/lockd/under-repair >"$list" || true

n=$(wc -l <"$list")
if [ "$n" -gt "$limit" ]; then
    page --alarm stations_dark --text "$n stations are silent for more than $minutes minutes"
fi
cat "$list"
