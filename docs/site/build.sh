#!/bin/sh
# The documentation as a site, in a folder that is made anew (make docs installs what it takes).  Pages are read from a copy, README as the first of them.
set -eu
out=$(realpath -m "$1")
cd "$(dirname "$0")/../.."
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
cp -r docs/*.md docs/examples docs/pictures META.json docs/site/conf.py "$pages"
cp README.md "$pages/index.md"
rm -rf "$out"
# Debian's Python: that is the one for which Sphinx is packaged
/usr/bin/python3 -m sphinx -q -b html -d "$pages/doctrees" -W --keep-going "$pages" "$out"
