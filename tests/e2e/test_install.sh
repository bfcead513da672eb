#!/bin/sh
# Protects: what `make install` lays down is complete, and a stranger's C program builds and runs
# against it with nothing but pkg-config; the library shows the world nx_* names of nexus.h alone.
set -eu
cd "$NX_SOURCE_DIR"

stage=$NX_BUILD_DIR/stage
prefix=/opt/nexus-test
root=$stage$prefix
failed=0

fail()
{
    echo "FAILED: $*"
    failed=1
}

rm -rf "$stage"
DESTDIR=$stage cmake --install "$NX_BUILD_DIR" --prefix $prefix >"$NX_BUILD_DIR/install.log"
for file in bin/nexus lib/libnexus.so include/nexus/nexus.h lib/pkgconfig/nexus.pc \
    share/man/man1/nexus.1; do
    [ -s "$root/$file" ] || fail "$file is not installed"
done
if grep -n "$stage" "$root/lib/pkgconfig/nexus.pc"; then fail "nexus.pc names the stage"; fi

# ---- Symbols: exported = declared -------------------------------------------------------------

nm -D --defined-only "$root/lib/libnexus.so" | awk '{ print $NF }' | sed 's/@.*//' | sort -u \
    >"$stage/exported"
# Each NX_API declaration, brought to one line; the name stands before the first parenthesis.
awk '/^NX_API/ { on = 1 } on { printf "%s ", $0 } on && /;/ { print ""; on = 0 }' \
    "$root/include/nexus/nexus.h" | sed -n 's/^NX_API [^(]*[ *]\(nx_[a-z0-9_]*\)(.*/\1/p' |
    sort -u >"$stage/declared"
[ "$(wc -l <"$stage/declared")" -ge 10 ] || fail "found only these declarations: $(cat "$stage/declared")"
for name in $(comm -23 "$stage/exported" "$stage/declared"); do
    fail "libnexus.so exports $name, which nexus.h does not declare"
done
for name in $(comm -13 "$stage/exported" "$stage/declared"); do
    fail "nexus.h declares $name, which libnexus.so does not export"
done

# ---- A stranger's program ---------------------------------------------------------------------

export PKG_CONFIG_SYSROOT_DIR="$stage" PKG_CONFIG_LIBDIR="$root/lib/pkgconfig"
flags=$(pkg-config --cflags --libs nexus)
# shellcheck disable=SC2086  # flags are words
gcc -std=c11 -Wall -Wextra -Werror -o "$stage/stream" examples/stream.c $flags || fail "examples/stream.c does not build"
printf '#include <nexus/nexus.h>\nint main() { return nx_version()[0] == 0; }\n' >"$stage/plus.cc"
if command -v g++ >/dev/null; then
    # shellcheck disable=SC2086
    g++ -Wall -Wextra -Werror -o "$stage/plus" "$stage/plus.cc" $flags || fail "nexus.h is no C++"
fi
export LD_LIBRARY_PATH="$root/lib"

if "$stage/stream" "$stage/no-such.gguf" hello 2>"$stage/err"; then fail "opened a missing file"; fi
grep -q 'no-such.gguf' "$stage/err" || fail "the message names no file: $(cat "$stage/err")"

model=$root/share/nexus/models/nexus-mini.gguf
[ -f "$model" ] || model=$NX_SHARED/data/models/stories260K.gguf
if [ -f "$model" ]; then
    "$stage/stream" "$model" "Once upon a time" >"$stage/out" || fail "stream: $(cat "$stage/out")"
    [ "$(wc -c <"$stage/out")" -gt 20 ] || fail "stream wrote only: $(cat "$stage/out")"
    "$root/bin/nexus" generate -m "$model" -p "Once upon a time" -n 48 --temp 0 \
        >"$stage/out2" 2>"$stage/err" </dev/null || fail "nexus: $(cat "$stage/err")"
    echo >>"$stage/out2"    # the example ends its line
    cmp "$stage/out" "$stage/out2" || fail "library and program say different things"
else
    echo "no model here: the example was built, not run"
fi

[ $failed -eq 0 ] && echo "installed, exported and built: $(wc -l <"$stage/exported") symbols"
exit $failed
