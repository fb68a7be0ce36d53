#!/bin/sh
# Another libcurl for the tests, into a folder, without installing it: test/libcurl.sh FOLDER [SUITE of Debian]; then LIBCURL=FOLDER test/run.sh ...
# bookworm-backports has the version of Debian 13, built for Debian 12.
set -eu
folder=${1:?a folder}
suite=${2:-bookworm-backports}
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$folder"
echo "deb ${MIRROR:-http://deb.debian.org/debian} $suite main" >"$apt/sources.list"
get()
{
	apt-get -q -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" \
		-o APT::Sandbox::User=root "$@" >"$apt/log" 2>&1 || { cat "$apt/log" >&2; exit 1; }
}
get update
(cd "$apt" && get download "libcurl4/$suite" "libcurl4-openssl-dev/$suite")
for package in "$apt"/*.deb; do
	dpkg-deb -x "$package" "$folder"
done
find "$folder" -name 'libcurl.so.4.*'
