#!/bin/sh
# prometheus.sh - puts Debian's prometheus and promtool into build/prometheus, for tests alone: the
# package is unpacked there, not installed, so no service starts on this machine. Does nothing when both
# are there already, or installed.
#
# Where nothing can be fetched, it says so and succeeds: the tests that want them then skip by name.
set -eu
cd "$(dirname "$0")/.."

dir=build/prometheus
[ ! -x $dir/usr/bin/prometheus ] || exit 0
if command -v prometheus > /dev/null && command -v promtool > /dev/null; then exit 0; fi

skip()
{
    echo "prometheus: $*; it won't judge"
    exit 0
}

command -v apt-get > /dev/null || skip "no apt-get here"
echo "prometheus: unpacking Debian's package into $dir (once)"
rm -rf $dir
mkdir -p $dir
cd $dir
# A user without rights on apt's lists downloads all the same; apt warns of its sandbox, which is no news.
apt-get download prometheus > /dev/null 2>&1 || {
    rm -f ./*.deb
    skip "apt-get could not fetch it"
}
dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb
[ -x usr/bin/prometheus ] || skip "the package holds no prometheus"
