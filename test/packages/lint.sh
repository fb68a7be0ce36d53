#!/bin/sh
# Build the packages in a folder, and have lintian look at them.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
. test/packages/tap.sh
log=$(mktemp)
test/packages/build.sh "$1" >"$log" 2>&1
built=$?
t 'the packages are built' $built
[ $built -eq 0 ] || { tail -60 "$log"; exit 1; }
t 'without a warning of a compiler' "$(! grep -E '^[^ ]+:[0-9]+:.*(warning|error):' "$log" >&2; echo $?)"
lintian --allow-root --fail-on error "$1"/*.changes >"$log.lintian" 2>&1
t 'lintian has no error to tell of' $?
cat "$log.lintian"
# not released: no bug of Debian's is closed, and no key signs
t 'nor a warning' "$(! grep '^W: ' "$log.lintian" | grep -vE 'initial-upload-closes-no-bugs|unreleased-changes' >&2; echo $?)"
echo "1..$n"
